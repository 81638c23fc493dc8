//! The name of every metric, and the trace context of requests. How logs are shown is the command line's business.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

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
