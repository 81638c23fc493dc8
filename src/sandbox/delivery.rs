//! Sends webhooks that are due, and wakes up for whatever else falls due.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::Inner;
use super::webhooks::{DeliveryStatus, Sending};

/// The longest sleep: system time may jump, and this is how long that goes unnoticed.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Follows no redirect: a 3xx is a failure like any other.
pub fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    // Only one provider may be installed; the service may have done it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy().timeout(timeout).redirect(reqwest::redirect::Policy::none());
    builder.tls_certs_only([]).http1_title_case_headers().user_agent("Razorpay-Webhook/v1").build()
}

pub async fn run(inner: Arc<Inner>) {
    loop {
        let (sendings, due_ms, now_ms) = inner.read(|state, now_ms| (state.queue.take_due(now_ms), state.next_due_ms(), now_ms));
        for sending in sendings {
            inner.tasks.spawn(deliver(inner.clone(), sending));
        }
        let until_due = |due_ms: i64| Duration::from_millis(u64::try_from(due_ms - now_ms).unwrap_or(0));
        let sleep = due_ms.map_or(SLEEP_MAX, until_due).min(SLEEP_MAX);
        tokio::select! {
            () = inner.stop.cancelled() => return,
            () = inner.wake.notified() => (),
            () = tokio::time::sleep(sleep) => (),
        }
    }
}

async fn deliver(inner: Arc<Inner>, sending: Sending) {
    let ticket = sending.ticket;
    let status = tokio::select! {
        // Left in the queue: a stored state sends it after the restart.
        () = inner.stop.cancelled() => return,
        status = post(&inner, sending) => status,
    };
    let scale = inner.config.webhook_time_scale;
    inner.change(|state, now_ms| state.queue.attempted(ticket, status, now_ms, scale));
}

async fn post(inner: &Inner, sending: Sending) -> DeliveryStatus {
    let url = inner.read(|state, _| state.webhook_urls.get(&sending.account).cloned());
    let Some(url) = url else {
        return DeliveryStatus::Dropped;
    };
    let secret = inner.account(&sending.account).map(|account| account.webhook_secret.expose_secret());
    let mut request = inner.client.post(url);
    // A webhook without a secret is sent unsigned.
    if secret.is_some_and(|secret| !secret.is_empty()) {
        request = request.header("X-Razorpay-Signature", &sending.signature);
    }
    let request = request
        .header("Content-Type", "application/json")
        .header("x-razorpay-event-id", &sending.event_id)
        .header("Request-Id", &sending.event_id)
        .header("Accept-Encoding", "gzip")
        .body(sending.body);
    match request.send().await {
        Ok(response) => DeliveryStatus::Answered(response.status().as_u16()),
        Err(error) if error.is_timeout() => DeliveryStatus::TimedOut,
        Err(_) => DeliveryStatus::Unreachable,
    }
}
