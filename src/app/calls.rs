//! How calls to providers go, as metrics.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::account::AccountName;
use crate::providers::BreakerState;
use crate::providers::line::{CallEnd, CallObserver, HeldBack};
use crate::telemetry::Metrics;

pub(super) struct CallMetrics(pub Arc<Metrics>);

impl CallObserver for CallMetrics {
    fn breaker(&self, account: &AccountName, state: BreakerState) {
        let value = match state {
            BreakerState::Closed => 0,
            BreakerState::Open { .. } => 1,
            BreakerState::HalfOpen => 2,
        };
        self.0.provider_breaker_open.with_label_values(&[account.as_str()]).set(value);
    }

    fn begun(&self, account: &AccountName) {
        self.0.provider_calls_in_flight.with_label_values(&[account.as_str()]).inc();
    }

    fn ended(&self, account: &AccountName, operation: &'static str, end: CallEnd, took: Duration) {
        let account = account.as_str();
        self.0.provider_calls_in_flight.with_label_values(&[account]).dec();
        let outcome = outcome(end);
        self.0.provider_call_duration.with_label_values(&[account, operation, outcome]).observe(took.as_secs_f64());
        if !matches!(outcome, "answered" | "given_up") {
            self.0.provider_errors.with_label_values(&[account, outcome]).inc();
        }
    }

    fn held_back(&self, account: &AccountName, why: HeldBack) {
        let class = match why {
            HeldBack::BreakerOpen { .. } => "breaker_open",
            HeldBack::Full => "too_many_calls",
        };
        self.0.provider_errors.with_label_values(&[account.as_str(), class]).inc();
    }
}

/// How a call ended, in a word. That the provider said no, or has no such thing, is its right.
fn outcome(end: CallEnd) -> &'static str {
    match end {
        CallEnd::Answered(status) if status.as_u16() == 429 => "asked_to_wait",
        CallEnd::Answered(status) if status.is_server_error() => "server_error",
        CallEnd::Answered(status) if status.is_client_error() => "refused",
        CallEnd::Answered(_) => "answered",
        CallEnd::NotConnected => "not_connected",
        CallEnd::NoAnswer => "no_answer",
        CallEnd::GivenUp => "given_up",
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn each_way_for_a_call_to_end_is_told() {
        let metrics = Arc::new(Metrics::new());
        let calls = CallMetrics(Arc::clone(&metrics));
        let account = "shop".parse().expect("a plain name");
        calls.breaker(&account, BreakerState::Open { retry_after: Duration::from_secs(1) });
        let ends = [
            CallEnd::Answered(StatusCode::OK),
            CallEnd::Answered(StatusCode::BAD_GATEWAY),
            CallEnd::Answered(StatusCode::TOO_MANY_REQUESTS),
            CallEnd::Answered(StatusCode::NOT_FOUND),
            CallEnd::NotConnected,
            CallEnd::NoAnswer,
            CallEnd::GivenUp,
        ];
        for end in ends {
            calls.begun(&account);
            calls.ended(&account, "CreateQr", end, Duration::from_millis(300));
        }
        calls.begun(&account);
        calls.held_back(&account, HeldBack::Full);
        calls.held_back(&account, HeldBack::BreakerOpen { retry_after: Duration::from_secs(1) });
        let text = metrics.text();
        let is_told = |line: &str| assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        is_told(r#"upistream_provider_breaker_open{account="shop"} 1"#);
        is_told(r#"upistream_provider_calls_in_flight{account="shop"} 1"#);
        for class in ["server_error", "asked_to_wait", "refused", "not_connected", "no_answer", "too_many_calls", "breaker_open"] {
            is_told(&format!(r#"upistream_provider_errors_total{{account="shop",class="{class}"}} 1"#));
        }
        assert!(!text.contains(r#"class="answered""#) && !text.contains(r#"class="given_up""#), "{text}");
        let ended = r#"upistream_provider_call_duration_seconds_bucket{account="shop",operation="CreateQr",outcome="answered",le="0.5"} 1"#;
        is_told(ended);
    }
}
