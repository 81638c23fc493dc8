//! What the process logs, and into which traces its spans go: one subscriber, set once. It knows no configuration.

use std::io::stderr;
use std::sync::OnceLock;

use opentelemetry_sdk::trace::SdkTracer;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::lines::{SpanFields, WithContext};

/// The modules whose logs and spans are ours.
const OURS: &str = "upistream";
/// What other crates may log at most, whatever the configured level says: below, HTTP and Redis clients show headers,
/// URLs and commands, and with them secrets and personal data.
const FOREIGN_LEVEL_MAX: LevelFilter = LevelFilter::WARN;
/// The spans that are exported, and the log lines that go with them. It does not follow the level of the log, or a quiet
/// log would make traces with holes.
const TRACED_LEVEL_MAX: LevelFilter = LevelFilter::INFO;

/// The level in force, where this process has a log.
static LEVEL: OnceLock<LevelHandle> = OnceLock::new();

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// For people.
    Text { colours: bool },
    /// For machines: one object a line, with `trace_id` and `span_id` where it belongs to a trace.
    Json,
}

/// Why the level is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLevel {
    #[error("`{0}` is no level and no list of directives")]
    Bad(String),
    #[error("this process has no log whose level could be changed")]
    NoLog,
}

/// Logs go to standard error from now on, and spans to `tracer`. Once a process; a second time changes nothing.
pub fn install(level: &str, lines: Lines, tracer: Option<SdkTracer>) -> Result<(), NoLevel> {
    let is_traced = tracer.is_some();
    let (subscriber, handle) = subscriber(level, lines, stderr, tracer)?;
    if subscriber.try_init().is_ok() {
        let _ = LEVEL.set(handle);
        super::trace::keep_spans(is_traced);
    }
    Ok(())
}

type LevelHandle = reload::Handle<EnvFilter, Registry>;

fn subscriber<W>(
    level: &str,
    lines: Lines,
    writer: W,
    tracer: Option<SdkTracer>,
) -> Result<(impl Subscriber + Send + Sync, LevelHandle), NoLevel>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (level, handle) = reload::Layer::new(filter(level)?);
    let log = tracing_subscriber::fmt::layer().with_writer(writer);
    let log = match lines {
        Lines::Text { colours } => log.with_target(false).with_ansi(colours).boxed(),
        Lines::Json => {
            let log = log.json().flatten_event(true).with_current_span(false).with_span_list(false);
            log.fmt_fields(SpanFields).map_event_format(WithContext).boxed()
        }
    };
    let permitted = filter_fn(may_be_logged).with_max_level_hint(LevelFilter::TRACE);
    let traces = tracer.map(|tracer| {
        let spans = tracing_opentelemetry::layer().with_tracer(tracer);
        // Where in our code a span stands, in which thread, and for how long it waited: nobody pays for that who asks what happened.
        let spans = spans.with_location(false).with_threads(false).with_tracked_inactivity(false);
        spans.with_filter(Targets::new().with_target(OURS, TRACED_LEVEL_MAX))
    });
    Ok((tracing_subscriber::registry().with(log.with_filter(level.and(permitted))).with(traces), handle))
}

/// Changes the level of the log while the process runs: a level, or directives such as `info,upistream=debug`. Traces stay
/// as they are.
pub fn set_level(level: &str) -> Result<(), NoLevel> {
    let filter = filter(level)?;
    LEVEL.get().ok_or(NoLevel::NoLog)?.reload(filter).map_err(|_| NoLevel::NoLog)
}

fn filter(level: &str) -> Result<EnvFilter, NoLevel> {
    // A word that is no level would be taken for a module's name, and silence everything else.
    let is_said = |part: &str| part.contains(['=', '[']) || part.parse::<LevelFilter>().is_ok();
    if level.trim().is_empty() || !level.split(',').all(is_said) {
        return Err(NoLevel::Bad(level.to_owned()));
    }
    EnvFilter::try_new(level).map_err(|_| NoLevel::Bad(level.to_owned()))
}

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    is_ours(metadata.target()) || *metadata.level() <= FOREIGN_LEVEL_MAX
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_level_or_directives_and_nothing_else() {
        for level in ["info", "off", "TRACE", "info,upistream=debug", "upistream=trace,warn"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["", " ", "loud", "upistream=loud"] {
            assert_eq!(filter(level).map(|_| ()), Err(NoLevel::Bad(level.to_owned())), "{level}");
        }
    }

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no test panics with it").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_level_changes_while_the_process_runs_and_other_crates_stay_quiet() {
        let log = Log::default();
        let writer = log.clone();
        let made = subscriber("info", Lines::Text { colours: false }, move || writer.clone(), None);
        let (subscriber, level) = made.expect("it is a level");
        let told = || String::from_utf8(log.0.lock().expect("no test panics with it").clone()).expect("logs are text");
        tracing::subscriber::with_default(subscriber, || {
            let tell = |when: &str| {
                tracing::trace!(target: "upistream", "ours {when}");
                tracing::info!(target: "h2::codec", "theirs {when}");
                tracing::warn!(target: "h2::codec", "their trouble {when}");
            };
            tell("at first");
            assert!(told().contains("their trouble at first") && !told().contains("ours") && !told().contains("theirs"), "{}", told());
            level.reload(filter("trace").expect("it is a level")).expect("the log is there");
            tell("later");
            assert!(told().contains("ours later") && !told().contains("theirs"), "{}", told());
        });
        assert_eq!(set_level("loud"), Err(NoLevel::Bad("loud".to_owned())));
    }

    #[test]
    fn a_line_names_its_spans_without_what_is_meant_for_traces() {
        let log = Log::default();
        let writer = log.clone();
        let (subscriber, _level) = subscriber("info", Lines::Json, move || writer.clone(), None).expect("it is a level");
        tracing::subscriber::with_default(subscriber, || {
            let method = "package.Service/Method";
            let span = tracing::info_span!(target: "upistream", "rpc", otel.name = method, rpc.method = method, size = 7, said = tracing::field::Empty);
            span.record("said", "a \"word\"");
            span.in_scope(|| tracing::info!(target: "upistream", "done"));
        });
        let line: serde_json::Value = serde_json::from_slice(&log.0.lock().expect("no test panics with it")).expect("a line is JSON");
        let span = serde_json::json!({ "name": "rpc", "rpc.method": "package.Service/Method", "size": 7, "said": "a \"word\"" });
        assert_eq!(line["spans"], serde_json::json!([span]));
    }

    #[test]
    fn whose_a_line_is_is_told_by_its_module() {
        for target in ["upistream", concat!("upistream", "::engine::act")] {
            assert!(is_ours(target), "{target}");
        }
        for target in ["h2", "upistreams", "reqwest::connect", "log", ""] {
            assert!(!is_ours(target), "{target}");
        }
    }
}
