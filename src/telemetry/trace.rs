//! Where in a trace we are: W3C trace context in and out of headers, records and events. Where no spans are kept only the
//! caller's context is handed on, and nothing else costs anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The longest `tracestate` that is read: what W3C asks everybody to hand on.
const TRACESTATE_BYTES_MAX: usize = 512;

/// As [`spans_are_kept`] tells.
static SPANS_ARE_KEPT: AtomicBool = AtomicBool::new(false);

pub(super) fn keep_spans(kept: bool) {
    SPANS_ARE_KEPT.store(kept, Ordering::Relaxed);
}

/// Whether spans of this process are kept and sent to a collector.
pub fn spans_are_kept() -> bool {
    SPANS_ARE_KEPT.load(Ordering::Relaxed)
}

/// A W3C `traceparent` header's value, if it is one.
fn traceparent(value: &[u8]) -> Option<String> {
    const LEN: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();
    let fits = value.len() == LEN && value.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let text = std::str::from_utf8(value).ok()?;
    fits.then(|| text.to_owned())
}

/// The `traceparent` of the span that runs now; `None` where none is kept.
fn current() -> Option<String> {
    spans_are_kept().then(Context::current).and_then(|context| written(context.span().span_context()))
}

/// The `traceparent` of a request with these headers: that of its span, which goes on with the caller's; where none is kept, the
/// caller's own.
pub fn of_request(headers: &HeaderMap) -> Option<String> {
    current().or_else(|| headers.get(TRACEPARENT).and_then(|value| traceparent(value.as_bytes())))
}

/// `trace` as it goes on from here: the span that runs now, if it is of the same trace, else as it was.
pub fn from_here(trace: Option<String>) -> Option<String> {
    if !spans_are_kept() {
        return trace;
    }
    let context = Context::current();
    let here = context.span().span_context().clone();
    match trace.as_deref().and_then(|trace| read(trace, None)) {
        Some(there) if there.trace_id() != here.trace_id() => trace,
        Some(_) | None => written(&here).or(trace),
    }
}

/// `span` goes on with the trace of the request that these headers are of. To be said before it is entered.
pub fn continues(span: &Span, headers: &HeaderMap) {
    if !spans_are_kept() {
        return;
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let tracestate = text(TRACESTATE).filter(|state| state.len() <= TRACESTATE_BYTES_MAX);
    if let Some(caller) = text(TRACEPARENT).and_then(|caller| read(caller, tracestate)) {
        // It fails only where the span is not kept.
        let _ = span.set_parent(Context::new().with_remote_span_context(caller));
    }
}

/// `span` belongs to the trace of what it is about, `trace`, and only refers to the span that it began in, where that is of
/// another trace. To be said before it is entered.
pub fn joins(span: &Span, trace: Option<&str>) {
    if !spans_are_kept() {
        return;
    }
    let context = Context::current();
    let here = context.span().span_context().clone();
    if let Some(there) = trace.and_then(|trace| read(trace, None))
        && there.trace_id() != here.trace_id()
    {
        let _ = span.set_parent(Context::new().with_remote_span_context(there));
        span.add_link(here);
    }
}

/// Adds the place of the span that runs now to the headers of a request: ids, and nothing of what the caller's `tracestate`
/// says, which is not meant for strangers.
pub fn add_to(headers: &mut HeaderMap) {
    if let Some(Ok(value)) = current().map(HeaderValue::try_from) {
        headers.insert(TRACEPARENT, value);
    }
}

fn written(span: &SpanContext) -> Option<String> {
    let (trace_id, span_id, flags) = (span.trace_id(), span.span_id(), span.trace_flags().to_u8());
    span.is_valid().then(|| format!("00-{trace_id}-{span_id}-{flags:02x}"))
}

/// The place that a `traceparent` names; `None`: it is none.
fn read(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let mut fields = HashMap::from([(TRACEPARENT.as_str().to_owned(), traceparent.to_owned())]);
    fields.extend(tracestate.map(|state| (TRACESTATE.as_str().to_owned(), state.to_owned())));
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &fields);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_as_it_was() {
        let read = |text: &str| read(text, None).and_then(|span| written(&span));
        assert_eq!(read(CALLER).as_deref(), Some(CALLER));
        for none in ["", "00-0", "00-00000000000000000000000000000000-b7ad6b7169203331-01", &CALLER.replace("00-", "ff-")] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn without_spans_the_callers_context_is_handed_on_as_it_came() {
        assert_eq!(current(), None);
        assert_eq!(from_here(Some(CALLER.to_owned())).as_deref(), Some(CALLER));
        assert_eq!(from_here(None), None);
        let mut headers = HeaderMap::new();
        add_to(&mut headers);
        assert!(headers.is_empty());
    }
}
