//! Lines of JSON: an event's fields as the library writes them, then the spans that it happened in, outermost first, and its
//! place in a trace.

use std::fmt;

use opentelemetry::trace::TraceContextExt as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// What is said to the exporter of traces alone: how it shall name a span, and such.
const FOR_TRACES: &str = "otel.";

/// A span's fields as they will stand in a line, each after a comma. The library's own JSON form is read and written anew with
/// each field that is recorded later, which was a tenth of what a small call costs.
pub(super) struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut members = Members { writer, ended: Ok(()) };
        fields.record(&mut members);
        members.ended
    }
}

struct Members<'writer> {
    writer: Writer<'writer>,
    ended: fmt::Result,
}

impl Members<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.ended.is_ok() && !field.name().starts_with(FOR_TRACES) {
            self.ended = self.begin(field.name()).and_then(|()| value(&mut self.writer));
        }
    }

    fn begin(&mut self, name: &str) -> fmt::Result {
        self.writer.write_str(",\"")?;
        self.writer.write_str(name)?;
        self.writer.write_str("\":")
    }
}

impl Visit for Members<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |writer| write!(writer, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |writer| quote(value, writer));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |writer| quote(&format!("{value:?}"), writer));
    }
}

/// Writes a text as JSON has it.
fn quote(text: &str, writer: &mut impl fmt::Write) -> fmt::Result {
    writer.write_char('"')?;
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        writer.write_str(&text[plain_from..at])?;
        write!(writer, "\\u{byte:04x}")?;
        plain_from = at + 1;
    }
    writer.write_str(&text[plain_from..])?;
    writer.write_char('"')
}

/// Lines that tell the spans and the trace that they belong to.
pub(super) struct WithContext<F>(pub F);

impl<S, F> FormatEvent<S, SpanFields> for WithContext<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: FormatEvent<S, SpanFields>,
{
    fn format_event(&self, context: &FmtContext<'_, S, SpanFields>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let Some(members) = line.strip_suffix("}\n") else { return writer.write_str(&line) };
        writer.write_str(members)?;
        let mut spans = context.event_scope().into_iter().flat_map(|scope| scope.from_root()).peekable();
        if spans.peek().is_some() {
            writer.write_str(",\"spans\":[")?;
            for (number, span) in spans.enumerate() {
                let comma = if number == 0 { "" } else { "," };
                write!(writer, "{comma}{{\"name\":\"{}\"", span.name())?;
                if let Some(fields) = span.extensions().get::<FormattedFields<SpanFields>>() {
                    writer.write_str(&fields.fields)?;
                }
                writer.write_char('}')?;
            }
            writer.write_char(']')?;
        }
        let current = opentelemetry::Context::current();
        let span = current.span();
        let place = span.span_context();
        if place.is_valid() {
            write!(writer, ",\"trace_id\":\"{}\",\"span_id\":\"{}\"", place.trace_id(), place.span_id())?;
        }
        writer.write_str("}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_as_json_reads_it() {
        for text in ["", "plain", "say \"no\"", "back\\slash", "line\nbreak \u{1} and \u{7f}", "₹1 — no ascii"] {
            let mut quoted = String::new();
            quote(text, &mut quoted).expect("a text takes everything");
            let read: String = serde_json::from_str(&quoted).expect("it is JSON");
            assert_eq!(read, text);
        }
    }
}
