//! The outermost layer of all: a span for each call, which goes on with the caller's trace, and how long calls took.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::{Body, Frame, SizeHint};
use prometheus::HistogramVec;
use prost::Message;
use tonic::Code;
use tower::{Layer, Service};
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span, field, info_span};

use super::answering::{Answering, AtItsEnd};
use super::pb;
use crate::telemetry::{self, Metrics};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Stands for every method that is none of ours: a metric's label and a span's name must not be the caller's to choose.
const OTHER: &str = "_OTHER";

/// All methods, as in paths without the slash at the beginning.
static METHODS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let known = [
        pb::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    known.into_iter().flat_map(methods).collect()
});

/// The layer.
#[derive(Clone)]
pub struct CallTelemetry {
    duration: HistogramVec,
}

impl CallTelemetry {
    pub fn new(metrics: &Metrics) -> Self {
        // Not only when somebody waits.
        LazyLock::force(&METHODS);
        Self { duration: metrics.rpc_duration.clone() }
    }
}

/// The methods of all services in an encoded set of descriptors.
fn methods(descriptors: &[u8]) -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(descriptors).unwrap_or_default().file;
    let mut methods = Vec::new();
    for file in files {
        for service in &file.service {
            let names = service.method.iter().map(|method| format!("{}.{}/{}", file.package(), service.name(), method.name()));
            methods.extend(names);
        }
    }
    methods
}

impl<S> Layer<S> for CallTelemetry {
    type Service = Told<S>;

    fn layer(&self, inner: S) -> Told<S> {
        Told { inner, telemetry: self.clone() }
    }
}

/// A service whose calls are told of.
#[derive(Clone)]
pub struct Told<S> {
    inner: S,
    telemetry: CallTelemetry,
}

impl<S, Incoming, Outgoing> Service<Request<Incoming>> for Told<S>
where
    S: Service<Request<Incoming>, Response = Response<Outgoing>>,
    Outgoing: Body<Data = Bytes> + Unpin,
{
    type Response = Response<Answer<Outgoing>>;
    type Error = S::Error;
    type Future = Answering<Instrumented<S::Future>, Call>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let path = request.uri().path().trim_start_matches('/');
        let method = METHODS.get(path).map_or(OTHER, String::as_str);
        let span = info_span!(
            "rpc",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = field::Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = field::Empty,
        );
        telemetry::continues(&span, request.headers());
        // Dropped with the call where the caller hangs up before there is an answer.
        let duration = self.telemetry.duration.clone();
        let call = Call { method, duration, span: span.clone(), start: Instant::now(), code: None };
        Answering::new(self.inner.call(request).instrument(span), call)
    }
}

/// A call, told of when it is dropped.
pub struct Call {
    method: &'static str,
    duration: HistogramVec,
    span: Span,
    start: Instant,
    /// `None` as long as there is no status.
    code: Option<Code>,
}

impl Call {
    fn note(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(GRPC_STATUS) {
            self.code = Some(Code::from_bytes(code.as_bytes()));
        }
    }
}

impl<B> AtItsEnd<Response<B>> for Call {
    type Answer = Response<Answer<B>>;

    fn answer(mut self, response: Response<B>) -> Self::Answer {
        self.note(response.headers());
        response.map(|body| Answer { body, call: self })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Without a status nobody waited for one.
        let code = self.code.unwrap_or(Code::Cancelled);
        let name = name(code);
        // No line of the log comes after it.
        if telemetry::spans_are_kept() {
            self.span.record("rpc.response.status_code", name);
            if is_fault_of_ours(code) {
                self.span.record("otel.status_code", "ERROR");
            }
        }
        let seconds = self.start.elapsed().as_secs_f64();
        self.duration.with_label_values(&["grpc", self.method, name]).observe(seconds);
    }
}

/// An answer on its way, whose status comes at its end.
pub struct Answer<B> {
    body: B,
    call: Call,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.note(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What OpenTelemetry counts as an error of a server: the rest is the caller's, or a no that is meant.
fn is_fault_of_ours(code: Code) -> bool {
    matches!(code, Code::Unknown | Code::DeadlineExceeded | Code::Unimplemented | Code::Internal | Code::Unavailable | Code::DataLoss)
}

/// The status as gRPC's documents write it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_known_by_its_path() {
        for path in ["upistream.v1.QrService/CreateQr", "upistream.v1.EventService/Subscribe", "grpc.health.v1.Health/Check"] {
            assert!(METHODS.contains(path), "{path} of {:?}", *METHODS);
        }
        for service in super::super::SERVICES {
            assert!(METHODS.iter().any(|method| method.starts_with(&format!("{service}/"))), "{service}");
        }
    }
}
