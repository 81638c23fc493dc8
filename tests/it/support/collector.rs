//! A collector of our own: takes traces and metrics over OTLP as any other would, and shows what it was sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{MetricsService, MetricsServiceServer};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A running collector.
pub struct Collector {
    address: SocketAddr,
    taken: Taken,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Exports>>);

#[derive(Default)]
struct Exports {
    traces: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
}

/// A span as it was exported; ids are hexadecimal.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub trace_state: String,
    /// The spans that it refers to.
    pub links: Vec<String>,
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let taken = Taken::default();
        let server = Server::builder()
            .add_service(TraceServiceServer::new(taken.clone()))
            .add_service(MetricsServiceServer::new(taken.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move { server.await.expect("the collector serves") });
        Self { address, taken, _serving: AbortOnDropHandle::new(serving) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans so far, in the order in which they ended.
    pub fn spans(&self) -> Vec<Seen> {
        let exports = self.taken.exports();
        let spans = exports.traces.iter().flat_map(|export| &export.resource_spans).flat_map(|of| &of.scope_spans);
        spans.flat_map(|scope| &scope.spans).map(seen).collect()
    }

    /// The names of the metrics so far.
    pub fn metrics(&self) -> Vec<String> {
        let exports = self.taken.exports();
        let metrics = exports.metrics.iter().flat_map(|export| &export.resource_metrics).flat_map(|of| &of.scope_metrics);
        metrics.flat_map(|scope| &scope.metrics).map(|metric| metric.name.clone()).collect()
    }

    /// All that it was sent, as text.
    pub fn text(&self) -> String {
        let exports = self.taken.exports();
        format!("{:#?}\n{:#?}", exports.traces, exports.metrics)
    }
}

impl Taken {
    fn exports(&self) -> MutexGuard<'_, Exports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seen(span: &Span) -> Seen {
    Seen {
        name: span.name.clone(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        trace_state: span.trace_state.clone(),
        links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
        attributes: span.attributes.iter().map(|attribute| (attribute.key.clone(), value(attribute))).collect(),
    }
}

fn value(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.exports().traces.push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Taken {
    async fn export(&self, request: Request<ExportMetricsServiceRequest>) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.exports().metrics.push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
