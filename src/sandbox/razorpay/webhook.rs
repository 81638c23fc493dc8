//! How webhooks travel: their headers, and when they are sent again.

use crate::sandbox::webhooks::{DeliveryStatus, Schedule, Sending};

/// Milliseconds from the first delivery to each redelivery, as measured: the gaps double, without jitter.
const RETRIES_MS: [u64; 15] = [
    230, 6_100, 19_000, 40_000, 82_000, 165_000, 326_000, 650_000, 1_293_000, 2_577_000, 5_140_000, 10_267_000, 20_508_000, 40_989_000,
    81_953_000,
];
/// The only events whose first retry comes at once, and that only after a 5xx or a broken connection.
const RETRIED_AT_ONCE: [&str; 3] = ["payment.authorized", "payment.captured", "order.paid"];

pub fn schedule() -> Schedule<'static> {
    Schedule { retries_ms: &RETRIES_MS, first }
}

fn first(event: &str, status: DeliveryStatus) -> usize {
    let broken = matches!(status, DeliveryStatus::Unreachable | DeliveryStatus::Answered(500..=599));
    if broken && RETRIED_AT_ONCE.contains(&event) { 0 } else { 1 }
}

/// A webhook without a secret is sent unsigned.
pub fn headers(sending: &Sending) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("x-razorpay-event-id", sending.event_id.clone()),
        ("Request-Id", sending.event_id.clone()),
        ("Accept-Encoding", "gzip".to_owned()),
        ("User-Agent", "Razorpay-Webhook/v1".to_owned()),
    ];
    if !sending.signature.is_empty() {
        headers.push(("X-Razorpay-Signature", sending.signature.clone()));
    }
    headers
}
