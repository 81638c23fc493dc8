//! The door: takes a request apart, applies the faults that wait for it, and answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State as Handle};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::Value;
use tokio::net::TcpListener;

use super::faults::FaultKind;
use super::line::{LineListener, Peer};
use super::simulated::{Asked, Reply, Simulated};
use super::state::{Answered, SeenRequest, State};
use super::switches::Throttle;
use super::{Inner, control_http};

/// What a path that belongs to no provider is answered.
const NO_SUCH_URL: &str = "The requested URL was not found on the server.";

/// The largest body that is read.
const BODY_MAX_BYTES: usize = 1024 * 1024;
/// The largest body that the request log keeps whole.
const LOGGED_BODY_MAX_BYTES: usize = 16 * 1024;
/// How long a stalled answer keeps its connection, should the client never give up.
const STALL_MAX: Duration = Duration::from_secs(300);
/// How long a request body may take.
const BODY_LIMIT: Duration = Duration::from_secs(30);

pub async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    let app = Router::new().fallback(door).with_state(inner.clone());
    let app = app.into_make_service_with_connect_info::<Peer>();
    let server = axum::serve(LineListener(listener), app);
    let stopped = inner.clone();
    let served = server.with_graceful_shutdown(async move { stopped.stop.cancelled().await }).await;
    if let Err(error) = served {
        tracing::error!("the sandbox stopped serving: {error}");
    }
}

async fn door(Handle(inner): Handle<Arc<Inner>>, ConnectInfo(peer): ConnectInfo<Peer>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_LIMIT, axum::body::to_bytes(body, BODY_MAX_BYTES));
    let Ok(Ok(body)) = read.await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path().to_owned();
    if let Some(path) = path.strip_prefix("/control/") {
        return control_http::answer(&inner, &parts, path, &body).await;
    }
    if let Some(picture) = path.strip_prefix("/i/") {
        return control_http::picture(&inner, picture);
    }
    match Simulated::of_path(&path) {
        Some((simulated, path)) => {
            let path = path.to_owned();
            let asked = Asked { method: parts.method, uri: parts.uri, path, headers: parts.headers, body };
            provider(inner, peer, simulated, asked).await
        }
        None => json(404, NO_SUCH_URL.into()),
    }
}

/// One request to a simulated provider, ready to be acted on.
struct Errand {
    provider: Simulated,
    /// Whose it is, or what a stranger is answered.
    account: Result<String, Reply>,
    /// The name that faults know it by.
    operation: &'static str,
    asked: Asked,
}

async fn provider(inner: Arc<Inner>, peer: Peer, provider: Simulated, asked: Asked) -> Response {
    let (errand, fault, refused) = inner.read(|state, now_ms| {
        let account = provider.authenticate(&asked, &inner.config.accounts, state, now_ms);
        let account = account.map(|account| account.name.clone());
        let operation = provider.operation(&asked.method, &asked.path).unwrap_or("unknown");
        let errand = Errand { provider, account, operation, asked };
        let fault = state.faults.take(errand.account.as_deref().ok(), operation);
        let invent = |status, retry_after| Some(provider.invent(status, retry_after, &state.switches));
        let refused = match (&fault, state.switches.throttle) {
            (Some(FaultKind::StatusBefore { status }), _) => invent(*status, None),
            (Some(FaultKind::TooManyRequests { retry_after }), _) => invent(429, *retry_after),
            (_, Throttle::WithRetryAfter) => invent(429, Some(2)),
            (_, Throttle::WithoutRetryAfter) => invent(429, None),
            (_, Throttle::Off) => None,
        };
        (errand, fault, refused)
    });
    // What the errand came to, unless the fault comes first.
    let act = |errand: &Errand| match refused {
        Some(reply) => respond(reply),
        None => respond(errand.run(&inner)),
    };
    match fault {
        Some(FaultKind::RequestLost) => {
            errand.log(&inner, Answered::Lost);
            cut(&peer)
        }
        Some(FaultKind::AnswerLost) => {
            act(&errand);
            errand.log(&inner, Answered::Lost);
            cut(&peer)
        }
        Some(FaultKind::Stall) => {
            act(&errand);
            errand.log(&inner, Answered::Lost);
            wait(&inner, STALL_MAX).await;
            cut(&peer)
        }
        Some(FaultKind::Delay { ms }) => {
            let response = errand.logged(&inner, act(&errand));
            wait(&inner, Duration::from_millis(ms)).await;
            response
        }
        Some(FaultKind::ActLate { ms }) => {
            let (late, later) = (inner.clone(), Duration::from_millis(ms));
            // A task of its own: the client who leaves doesn't stop it.
            let acted = inner.tasks.spawn(async move {
                wait(&late, later).await;
                if late.stop.is_cancelled() {
                    return respond(errand.invent(&late, 500));
                }
                errand.logged(&late, respond(errand.run(&late)))
            });
            acted.await.unwrap_or_else(|_| cut(&peer))
        }
        Some(FaultKind::StatusAfter { status }) => {
            act(&errand);
            errand.logged(&inner, respond(errand.invent(&inner, status)))
        }
        Some(FaultKind::Garbage) => {
            act(&errand);
            errand.logged(&inner, json(200, "<html><body>Bad gateway</body></html>".to_owned()))
        }
        Some(FaultKind::StatusBefore { .. } | FaultKind::TooManyRequests { .. }) | None => errand.logged(&inner, act(&errand)),
    }
}

impl Errand {
    fn run(&self, inner: &Inner) -> Reply {
        let account = match &self.account {
            Ok(account) => account,
            Err(reply) => return reply.clone(),
        };
        let Some(account) = inner.account(account) else {
            return self.invent(inner, 500);
        };
        let work = |state: &mut State, now_ms| inner.desk(state, account, now_ms).provider().answer(&self.asked);
        if self.provider.only_reads(&self.asked.method) { inner.read(work) } else { inner.change(work) }
    }

    fn invent(&self, inner: &Inner, status: u16) -> Reply {
        inner.read(|state, _| self.provider.invent(status, None, &state.switches))
    }

    fn logged(&self, inner: &Inner, response: Response) -> Response {
        self.log(inner, Answered::Status(response.status().as_u16()));
        response
    }

    fn log(&self, inner: &Inner, answered: Answered) {
        let Asked { method, uri, body, .. } = &self.asked;
        let mut body = match body.len() {
            0 => Value::Null,
            1..=LOGGED_BODY_MAX_BYTES => serde_json::from_slice(body).unwrap_or_else(|_| "not JSON".into()),
            length => format!("{length} bytes").into(),
        };
        for field in self.provider.secret_fields() {
            if let Some(secret) = body.get_mut(field) {
                *secret = "left out".into();
            }
        }
        let path = uri.path_and_query().map_or_else(String::new, ToString::to_string);
        inner.read(|state, at| {
            state.see(SeenRequest {
                at,
                account: self.account.as_ref().ok().cloned(),
                operation: self.operation.to_owned(),
                method: method.to_string(),
                path,
                body,
                answered,
            });
        });
    }
}

pub fn json(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn respond(reply: Reply) -> Response {
    let mut response = json(reply.status, reply.body);
    if let Some(seconds) = reply.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The connection ends here; nothing of this answer is written.
fn cut(peer: &Peer) -> Response {
    peer.cut();
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

async fn wait(inner: &Inner, time: Duration) {
    tokio::select! {
        () = inner.stop.cancelled() => (),
        () = tokio::time::sleep(time) => (),
    }
}
