//! Traces and metrics on their way to a collector, over OTLP. Whatever becomes of the collector, no call waits for it or
//! fails with it: what it does not take in time is dropped, and the log says so once.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::resource::v1::Resource as PbResource;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tracing::{info, warn};

use super::Metrics;
use super::otlp;

/// How long a connection to the collector may take, and one export. Nobody waits for it but the exporter itself.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long spans wait for others to go with, and how many go at once.
const SPANS_EVERY: Duration = Duration::from_secs(1);
const SPANS_AT_ONCE_MAX: usize = 512;
/// How long the end of the process waits for the last of it.
const FLUSH_MAX: Duration = Duration::from_secs(3);
/// The name under which the spans are exported.
const SCOPE: &str = "upistream";

/// Where to, and how much.
#[derive(Clone, Debug)]
pub struct ExportSettings {
    /// `http://HOST:PORT`, or `https://…` for TLS.
    pub endpoint: String,
    /// Of how many traces in a hundred the spans are exported. What the caller decided for his own goes before it.
    pub trace_percent: u8,
    /// How often metrics are exported.
    pub every: Duration,
    /// Spans that wait for their export; more are dropped.
    pub queue_spans: usize,
    pub service_name: String,
    /// Which replica this is.
    pub service_instance: String,
}

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
#[error("the collector at `{endpoint}` can't be used: {cause}")]
pub struct NoExport {
    endpoint: String,
    cause: String,
}

/// The export of one process.
pub struct Export {
    provider: SdkTracerProvider,
    channel: Channel,
    resource: PbResource,
    every: Duration,
    /// The metrics' way out, once there are any.
    metrics: Option<(AbortOnDropHandle<()>, CancellationToken)>,
}

impl Export {
    /// Connects when there is something to tell: a collector that is away holds up no start. To be called within the runtime.
    pub fn start(settings: &ExportSettings) -> Result<Self, NoExport> {
        let ExportSettings { endpoint, trace_percent, every, queue_spans, service_name, service_instance } = settings;
        let no_export = |cause: String| NoExport { endpoint: endpoint.clone(), cause };
        let channel = connection(endpoint).map_err(|cause| no_export(cause.to_string()))?;
        let attributes = [
            ("service.name", service_name.as_str()),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", service_instance.as_str()),
        ];
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_channel(channel.clone())
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|cause| no_export(cause.to_string()))?;
        let queue = BatchConfigBuilder::default()
            .with_max_queue_size(*queue_spans)
            .with_max_export_batch_size(SPANS_AT_ONCE_MAX.min(*queue_spans))
            .with_scheduled_delay(SPANS_EVERY)
            .build();
        let spans = BatchSpanProcessor::builder(Reported { exporter, state: Arc::new(Reporting::new("traces")) }).with_batch_config(queue);
        let resource = Resource::builder_empty().with_attributes(attributes.map(|(key, value)| KeyValue::new(key, value.to_owned())));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(spans.build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(f64::from(*trace_percent) / 100.0))))
            .with_resource(resource.build())
            .build();
        Ok(Self { provider, channel, resource: otlp::resource(&attributes), every: *every, metrics: None })
    }

    /// What spans are given to.
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer(SCOPE)
    }

    /// Exports these metrics from now on.
    pub fn watch(&mut self, metrics: &Metrics) {
        let stop = CancellationToken::new();
        let task = push(self.channel.clone(), self.resource.clone(), metrics.clone(), self.every, stop.clone());
        self.metrics = Some((AbortOnDropHandle::new(tokio::spawn(task)), stop));
    }

    /// Sends what is left. It takes a few seconds at most, whatever the collector does.
    pub async fn stop(self) {
        if let Some((task, stop)) = self.metrics {
            stop.cancel();
            let _ = tokio::time::timeout(FLUSH_MAX, task).await;
        }
        let provider = self.provider;
        // It blocks its thread.
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_MAX));
        let _ = tokio::time::timeout(FLUSH_MAX, flushed).await;
    }
}

fn connection(endpoint: &str) -> Result<Channel, tonic::transport::Error> {
    let mut connection = Endpoint::from_shared(endpoint.to_owned())?.connect_timeout(CONNECT_TIMEOUT).timeout(EXPORT_TIMEOUT);
    if endpoint.starts_with("https://") {
        connection = connection.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    Ok(connection.connect_lazy())
}

/// Sends all metrics again and again, and once more at the end.
async fn push(channel: Channel, resource: PbResource, metrics: Metrics, every: Duration, stop: CancellationToken) {
    let started = SystemTime::now();
    let state = Reporting::new("metrics");
    let mut collector = MetricsServiceClient::new(channel);
    loop {
        let is_last = tokio::select! { () = stop.cancelled() => true, () = tokio::time::sleep(every) => false };
        let request = otlp::request(&resource, &metrics.gather(), started, SystemTime::now());
        match collector.export(request).await {
            Ok(_) => state.taken(),
            Err(status) => state.refused(&format_args!("{:?}", status.code())),
        }
        if is_last {
            return;
        }
    }
}

/// Says when a collector stops taking what it is sent, and when it takes it again: once each.
#[derive(Debug)]
struct Reporting {
    what: &'static str,
    is_refused: AtomicBool,
}

impl Reporting {
    fn new(what: &'static str) -> Self {
        Self { what, is_refused: AtomicBool::new(false) }
    }

    fn taken(&self) {
        if self.is_refused.swap(false, Ordering::Relaxed) {
            info!("the collector takes {} again", self.what);
        }
    }

    fn refused(&self, cause: &dyn fmt::Display) {
        if !self.is_refused.swap(true, Ordering::Relaxed) {
            warn!("the collector does not take {}, they are dropped until it does: {cause}", self.what);
        }
    }
}

/// An exporter whose failures are told.
#[derive(Debug)]
struct Reported<E> {
    exporter: E,
    state: Arc<Reporting>,
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let (exported, state) = (self.exporter.export(batch), Arc::clone(&self.state));
        async move {
            let exported = exported.await;
            match &exported {
                Ok(()) => state.taken(),
                Err(cause) => state.refused(cause),
            }
            exported
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
