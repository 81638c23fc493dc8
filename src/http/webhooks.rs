//! Callbacks: have them verified, hand them on, and answer 200 after the commit.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, debug, field, info_span, warn};

use super::client_address::client_address;
use crate::domain::account::AccountName;
use crate::engine::Engine;
use crate::engine::webhook::NotReceived;
use crate::held::Held;
use crate::telemetry;

/// Stands for every account that is not ours: a metric's label must not be the caller's to choose.
const UNKNOWN: &str = "unknown";

/// Networks whose forwarded headers are believed.
pub type TrustedProxies = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What the door is told by the configuration.
#[derive(Clone)]
pub struct WebhookSettings {
    /// The unguessable parts of each account's URL: current and previous. Looked at anew with each callback.
    pub url_secrets: BTreeMap<AccountName, Held<Vec<SecretString>>>,
    pub body_bytes_max: usize,
    pub concurrency_max: usize,
    /// How long a body may take to arrive.
    pub read_timeout: Duration,
    pub trusted_proxies: TrustedProxies,
}

#[derive(Clone)]
struct Door {
    engine: Arc<Engine>,
    settings: WebhookSettings,
    places: Arc<Semaphore>,
}

/// `POST /webhooks/{account}/{secret}`.
pub fn router(engine: Arc<Engine>, settings: WebhookSettings) -> Router {
    let places = Arc::new(Semaphore::new(settings.concurrency_max));
    Router::new().route("/webhooks/{account}/{secret}", post(receive)).with_state(Door { engine, settings, places })
}

async fn receive(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path((account, secret)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // The route's template stands in the span, never the path: it holds a secret.
    // Nor does it go on with a trace that the sender names: he is outside, and may be anybody.
    let span = info_span!(
        "webhook",
        otel.kind = "server",
        http.request.method = "POST",
        http.route = "/webhooks/{account}/{secret}",
        account = field::Empty,
        http.response.status_code = field::Empty,
    );
    let answer = door.answer(peer, &account, &secret, &headers, body).instrument(span.clone()).await;
    span.record("http.response.status_code", answer.status().as_u16());
    answer
}

impl Door {
    async fn answer(&self, peer: SocketAddr, account: &str, secret: &str, headers: &HeaderMap, body: Body) -> Response {
        let client = client_address(peer, headers, &*self.settings.trusted_proxies);
        let account = match self.account_of(account, secret) {
            Ok(account) => account,
            Err(NoDoor { account, reason }) => {
                // An unknown account and a wrong secret look the same from outside. Anybody may try them: no more than
                // a count, which shows a URL that was copied wrong.
                self.engine.metrics().webhooks_refused.with_label_values(&[account, reason]).inc();
                debug!(account, client = %client, reason, "a callback has a wrong address: {reason}");
                return StatusCode::NOT_FOUND.into_response();
            }
        };
        Span::current().record("account", account.as_str());
        let refused = |reason: &'static str, code: StatusCode| {
            self.engine.metrics().webhooks_refused.with_label_values(&[account.as_str(), reason]).inc();
            warn!(account = %account, client = %client, reason, "a callback is refused: {reason}");
            code.into_response()
        };
        let Ok(_place) = self.places.try_acquire() else { return refused("too_many_at_once", StatusCode::SERVICE_UNAVAILABLE) };
        let read = read(body, self.settings.body_bytes_max);
        let body = match tokio::time::timeout(self.settings.read_timeout, read).await {
            Ok(Ok(body)) => body,
            Ok(Err(NotRead::TooLarge)) => return refused("body_too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Ok(Err(NotRead::Broken)) => return refused("body_broken", StatusCode::BAD_REQUEST),
            Err(_) => return refused("body_too_slow", StatusCode::REQUEST_TIMEOUT),
        };
        let traceparent = telemetry::of_request(headers);
        match self.engine.receive_callback(account, client, headers, body, traceparent).await {
            Ok("") => StatusCode::OK.into_response(),
            Ok(acknowledgement) => ([(header::CONTENT_TYPE, "application/json")], acknowledgement).into_response(),
            Err(NotReceived::NoSuchAccount) => StatusCode::NOT_FOUND.into_response(),
            Err(NotReceived::BadSignature(_)) => refused("bad_signature", StatusCode::UNAUTHORIZED),
            Err(NotReceived::QuarantineFull) => refused("quarantine_full", StatusCode::SERVICE_UNAVAILABLE),
            Err(NotReceived::Store(cause)) => {
                warn!("a callback could not be written: {cause}");
                refused("store_unavailable", StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// The account of a URL, if its secret is one of the account's. Every secret is compared in constant time.
    fn account_of(&self, account: &str, secret: &str) -> Result<&AccountName, NoDoor<'_>> {
        let known = self.settings.url_secrets.iter().find(|(name, _)| name.as_str() == account);
        let (name, secrets) = known.ok_or(NoDoor { account: UNKNOWN, reason: "unknown_account" })?;
        let secrets = secrets.get();
        let matches =
            secrets.iter().fold(subtle::Choice::from(0), |found, known| found | known.expose_secret().as_bytes().ct_eq(secret.as_bytes()));
        if bool::from(matches) { Ok(name) } else { Err(NoDoor { account: name.as_str(), reason: "wrong_url_secret" }) }
    }
}

/// Why a URL leads nowhere.
struct NoDoor<'a> {
    account: &'a str,
    reason: &'static str,
}

/// Why a body was not read.
enum NotRead {
    TooLarge,
    /// It ended before its end, or is no HTTP.
    Broken,
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, NotRead> {
    let mut chunks = body.into_data_stream();
    let mut read = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| NotRead::Broken)?;
        if read.len() + chunk.len() > bytes_max {
            return Err(NotRead::TooLarge);
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}
