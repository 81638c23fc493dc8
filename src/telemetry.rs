//! The name of every metric, and the trace context of requests. How logs are shown is the command line's business.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

/// Up to the longest time that a call to a provider is usually given.
const CALL_SECONDS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// All metrics of the process. Their names stand here and in the README.
pub struct Metrics {
    registry: Registry,
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
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A W3C `traceparent` header's value, if it is one.
pub fn traceparent(value: &[u8]) -> Option<String> {
    const LEN: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();
    let fits = value.len() == LEN && value.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let text = std::str::from_utf8(value).ok()?;
    fits.then(|| text.to_owned())
}
