//! What the process tells of itself: the name of every metric, the log, and traces. It knows nothing of what is measured.

mod export;
mod lags;
mod lines;
mod logs;
mod otlp;
mod trace;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

pub use export::{Export, ExportSettings, NoExport};
pub use lags::{Lags, Watched};
pub use logs::{Lines, NoLevel, install, set_level};
pub use trace::{add_to, continues, from_here, joins, of_request, spans_are_kept};

/// Up to the longest time that a call to a provider is usually given.
const CALL_SECONDS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// OpenTelemetry's `rpc.server.call.duration`, as Prometheus writes it.
const RPC_DURATION: &str = "rpc_server_call_duration_seconds";
/// The bounds that OpenTelemetry recommends for it.
const RPC_SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// All metrics of the process. Their names stand here and in the README. A clone counts for the same.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// How long calls took, by method and status; a subscription counts when it ends.
    pub rpc_duration: HistogramVec,
    /// Events that this replica wrote, by account.
    pub events_appended: IntCounterVec,
    /// How long the oldest record in doubt has been so, in seconds, by account; 0 where none is. Alert on it.
    pub doubt_oldest: IntGaugeVec,
    /// Logins for access tokens, by account and how they ended.
    pub token_logins: IntCounterVec,
    /// Leases that ran out under this replica in the middle of its work, by kind of record: another may have taken over. One
    /// that was killed can't count.
    pub lease_takeovers: IntCounterVec,
    /// How far subscribers are behind the log.
    pub lags: Lags,
    /// Callbacks by account and what became of them.
    pub webhooks: IntCounterVec,
    /// Callbacks that were refused, by account and why. Each may be a lost fact: alert on it, but for the account
    /// `unknown`.
    pub webhooks_refused: IntCounterVec,
    /// Facts that did not fit their record, by account and fact. Alert on it.
    pub contradictions: IntCounterVec,
    /// Live subscriptions.
    pub subscribers: IntGauge,
    /// Steps of the reconciler by kind of record and how they ended.
    pub reconciler_steps: IntCounterVec,
    /// Questions that a provider did not answer, by account.
    pub provider_unanswered: IntCounterVec,
    /// Whether the store answers: 1 or 0.
    pub store_up: IntGauge,
    /// How much of the memory that the store may use is used, in percent; 0 where it has no limit. Alert above 75.
    pub store_memory_percent: IntGauge,
    /// Callbacks kept because they could not be applied, by account.
    pub quarantined: IntGaugeVec,
    /// Differences between a provider's settlements and our records that are open, by account.
    pub settlement_breaks: IntGaugeVec,
    /// Whether calls to a provider are held back because it does not work, by account: 0 no, 1 yes, 2 a few are let through to
    /// see whether it works again. Alert above 0.
    pub provider_breaker_open: IntGaugeVec,
    /// Calls to a provider that are under way, by account.
    pub provider_calls_in_flight: IntGaugeVec,
    /// Calls to a provider that failed or were held back, by account and how.
    pub provider_errors: IntCounterVec,
    /// How long calls to a provider took, by account, operation and how they ended. What was held back is not among them.
    pub provider_call_duration: HistogramVec,
}

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters =
                IntCounterVec::new(Opts::new(name, help), labels).expect("the name and labels of a metric are constants that are valid");
            registry.register(Box::new(counters.clone())).expect("each metric is registered once");
            counters
        };
        let webhooks = counters("upistream_webhooks_total", "Callbacks by account and what became of them.", &["account", "result"]);
        let webhooks_refused =
            counters("upistream_webhooks_refused_total", "Callbacks refused, by account and reason.", &["account", "reason"]);
        let contradictions = counters("upistream_contradictions_total", "Facts that did not fit their record.", &["account", "fact"]);
        let reconciler_steps =
            counters("upistream_reconciler_steps_total", "Steps of the reconciler by kind of record and result.", &["kind", "result"]);
        let provider_unanswered =
            counters("upistream_provider_unanswered_total", "Questions that a provider did not answer.", &["account"]);
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("the name of a metric is a constant that is valid");
            registry.register(Box::new(gauge.clone())).expect("each metric is registered once");
            gauge
        };
        let subscribers = gauge("upistream_subscribers", "Live subscriptions.");
        let store_up = gauge("upistream_store_up", "Whether the store answers: 1 or 0.");
        let store_memory_percent =
            gauge("upistream_store_memory_percent", "How much of the memory that the store may use is used, in percent.");
        let gauges = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["account"])
                .expect("the name and labels of a metric are constants that are valid");
            registry.register(Box::new(gauges.clone())).expect("each metric is registered once");
            gauges
        };
        let rpc_duration = HistogramVec::new(
            HistogramOpts::new(RPC_DURATION, "How long calls took, by method and status.").buckets(RPC_SECONDS.to_vec()),
            &["rpc_system_name", "rpc_method", "rpc_response_status_code"],
        )
        .expect("the name, labels and bounds of a metric are constants that are valid");
        registry.register(Box::new(rpc_duration.clone())).expect("each metric is registered once");
        let events_appended = counters("upistream_events_appended_total", "Events written by this replica.", &["account"]);
        let token_logins =
            counters("upistream_token_logins_total", "Logins for access tokens by account and how they ended.", &["account", "result"]);
        let lease_takeovers =
            counters("upistream_lease_takeovers_total", "Leases that ran out under this replica in the middle of its work.", &["kind"]);
        let subscriber_lag = IntGaugeVec::new(
            Opts::new("upistream_subscriber_lag_events", "Events that the slowest subscriber of a name has not taken yet."),
            &["subscriber"],
        )
        .expect("the name and labels of a metric are constants that are valid");
        registry.register(Box::new(subscriber_lag.clone())).expect("each metric is registered once");
        let doubt_oldest = gauges("upistream_doubt_oldest_seconds", "Age of the oldest record in doubt.");
        let quarantined = gauges("upistream_quarantined", "Callbacks kept because they could not be applied.");
        let settlement_breaks = gauges("upistream_settlement_breaks_open", "Open differences between settlements and records.");
        let provider_breaker_open =
            gauges("upistream_provider_breaker_open", "Whether calls to a provider are held back: 0 no, 1 yes, 2 it is tried again.");
        let provider_calls_in_flight = gauges("upistream_provider_calls_in_flight", "Calls to a provider that are under way.");
        let provider_errors = counters(
            "upistream_provider_errors_total",
            "Calls to a provider that failed or were held back, by account and how.",
            &["account", "class"],
        );
        let durations = HistogramOpts::new("upistream_provider_call_duration_seconds", "How long calls to a provider took.");
        let provider_call_duration = HistogramVec::new(durations.buckets(CALL_SECONDS.to_vec()), &["account", "operation", "outcome"])
            .expect("the name, labels and limits of a metric are constants that are valid");
        registry.register(Box::new(provider_call_duration.clone())).expect("each metric is registered once");
        Self {
            registry,
            rpc_duration,
            events_appended,
            doubt_oldest,
            token_logins,
            lease_takeovers,
            lags: Lags::new(subscriber_lag),
            webhooks,
            webhooks_refused,
            contradictions,
            subscribers,
            reconciler_steps,
            provider_unanswered,
            store_up,
            store_memory_percent,
            quarantined,
            settlement_breaks,
            provider_breaker_open,
            provider_calls_in_flight,
            provider_errors,
            provider_call_duration,
        }
    }

    /// The metrics in Prometheus' text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.gather()).unwrap_or_default()
    }

    fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.lags.measured(|| self.registry.gather())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
