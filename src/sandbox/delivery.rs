//! Sends webhooks that are due, and wakes up for whatever else falls due.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::webhooks::{DeliveryStatus, Sending};

/// The most of a receiver's answer that is read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// The longest sleep: system time may jump, and this is how long that goes unnoticed.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Follows no redirect: a 3xx is a failure like any other.
pub fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    // Only one provider may be installed; the service may have done it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy().timeout(timeout).redirect(reqwest::redirect::Policy::none());
    builder.tls_certs_only([]).http1_title_case_headers().build()
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
    let (ticket, provider) = (sending.ticket, sending.provider);
    let status = tokio::select! {
        // Left in the queue: a stored state sends it after the restart.
        () = inner.stop.cancelled() => return,
        status = post(&inner, sending) => status,
    };
    let scale = inner.config.webhook_time_scale;
    inner.change(|state, now_ms| state.queue.attempted(ticket, status, now_ms, &provider.schedule(&state.switches), scale));
}

async fn post(inner: &Inner, sending: Sending) -> DeliveryStatus {
    let registered = || inner.read(|state, _| state.webhook_urls.get(&sending.account).cloned());
    let Some(url) = sending.url.clone().or_else(registered) else {
        return DeliveryStatus::Dropped;
    };
    let mut request = inner.client.post(url).header("Content-Type", &sending.content_type);
    for (name, value) in sending.provider.callback_headers(&sending) {
        request = request.header(name, value);
    }
    let answered = async {
        let response = request.body(sending.body).send().await?;
        let status = response.status().as_u16();
        match sending.provider.judge() {
            Some(is_content) if (200..300).contains(&status) && !(status == 200 && is_content(&read(response).await?)) => {
                Ok(DeliveryStatus::NotAccepted(status))
            }
            _ => Ok(DeliveryStatus::Answered(status)),
        }
    };
    answered.await.unwrap_or_else(|error: reqwest::Error| match error.is_timeout() {
        true => DeliveryStatus::TimedOut,
        false => DeliveryStatus::Unreachable,
    })
}

/// The beginning of an answer's body.
async fn read(mut response: reqwest::Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX_BYTES {
            break;
        }
    }
    Ok(body)
}
