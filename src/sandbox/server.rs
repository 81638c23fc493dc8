//! The door: takes a request apart, applies the faults that wait for it, and answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Query, Request, State as Handle};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{StatusCode, header};
use serde_json::Value;
use tokio::net::TcpListener;

use super::faults::FaultKind;
use super::line::{LineListener, Peer};
use super::razorpay::error::{ApiError, NO_SUCH_URL};
use super::razorpay::{Call, Operation, act, authenticate};
use super::state::{Answered, SeenRequest, State};
use super::switches::Throttle;
use super::{Inner, control_http};

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
    match path.strip_prefix("/razorpay").unwrap_or(&path).strip_prefix("/v1") {
        Some(path) => provider(inner, peer, parts, path, body).await,
        None => json(404, NO_SUCH_URL.into()),
    }
}

/// One request to the simulated provider, read and ready to be acted on.
struct Errand {
    account: Result<String, ApiError>,
    operation: Option<Operation>,
    parts: Parts,
    body: Bytes,
}

async fn provider(inner: Arc<Inner>, peer: Peer, parts: Parts, path: &str, body: Bytes) -> Response {
    let operation = Operation::of(&parts.method, path);
    let (errand, fault, refused) = inner.read(|state, _| {
        let account = authenticate(&parts.headers, &inner.config.accounts, &state.switches);
        let account = account.map(|account| account.name.clone());
        let errand = Errand { account, operation, parts, body };
        let fault = state.faults.take(errand.account.as_deref().ok(), errand.name());
        let gateway = state.switches.gateway_error_status;
        let refused = match (&fault, state.switches.throttle) {
            (Some(FaultKind::StatusBefore { status }), _) => Some(ApiError::of_status(*status, gateway)),
            (Some(FaultKind::TooManyRequests { retry_after }), _) => Some(ApiError::throttled(*retry_after)),
            (_, Throttle::WithRetryAfter) => Some(ApiError::throttled(Some(2))),
            (_, Throttle::WithoutRetryAfter) => Some(ApiError::throttled(None)),
            (_, Throttle::Off) => None,
        };
        (errand, fault, refused)
    });
    // What the errand came to, unless the fault comes first.
    let act = |errand: &Errand| match refused {
        Some(error) => error_response(error),
        None => errand.run(&inner),
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
                    return error_response(ApiError::trouble());
                }
                errand.logged(&late, errand.run(&late))
            });
            acted.await.unwrap_or_else(|_| cut(&peer))
        }
        Some(FaultKind::StatusAfter { status }) => {
            act(&errand);
            let gateway = inner.read(|state, _| state.switches.gateway_error_status);
            errand.logged(&inner, error_response(ApiError::of_status(status, gateway)))
        }
        Some(FaultKind::Garbage) => {
            act(&errand);
            errand.logged(&inner, json(200, "<html><body>Bad gateway</body></html>".to_owned()))
        }
        Some(FaultKind::StatusBefore { .. } | FaultKind::TooManyRequests { .. }) | None => errand.logged(&inner, act(&errand)),
    }
}

impl Errand {
    fn name(&self) -> &'static str {
        self.operation.as_ref().map_or("unknown", Operation::name)
    }

    fn run(&self, inner: &Inner) -> Response {
        match self.act(inner) {
            Ok(body) => json(200, body),
            Err(error) => error_response(error),
        }
    }

    fn act(&self, inner: &Inner) -> Result<String, ApiError> {
        let account = self.account.as_ref().map_err(Clone::clone)?;
        let account = inner.account(account).ok_or_else(ApiError::trouble)?;
        let unknown = || inner.read(|state, _| ApiError::no_such_url(if state.switches.unknown_url_404 { 404 } else { 400 }));
        let operation = self.operation.as_ref().ok_or_else(unknown)?;
        let query = Query::try_from_uri(&self.parts.uri).map_err(|_| ApiError::invalid("The query is not valid."))?.0;
        let call = Call::parse(&self.parts.headers, query, &self.body)?;
        let spread_ms = inner.config.event_spread_ms;
        let work = |state: &mut State, now_ms| act(operation, &mut state.desk(account, now_ms, spread_ms, &inner.base_url), &call);
        if self.parts.method == http::Method::GET { inner.read(work) } else { inner.change(work) }
    }

    fn logged(&self, inner: &Inner, response: Response) -> Response {
        self.log(inner, Answered::Status(response.status().as_u16()));
        response
    }

    fn log(&self, inner: &Inner, answered: Answered) {
        let body = match self.body.len() {
            0 => Value::Null,
            1..=LOGGED_BODY_MAX_BYTES => serde_json::from_slice(&self.body).unwrap_or_else(|_| "not JSON".into()),
            length => format!("{length} bytes").into(),
        };
        let path = self.parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        inner.read(|state, at| {
            state.see(SeenRequest {
                at,
                account: self.account.as_ref().ok().cloned(),
                operation: self.name().to_owned(),
                method: self.parts.method.to_string(),
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

fn error_response(error: ApiError) -> Response {
    let mut response = json(error.status, error.body());
    if let Some(seconds) = error.retry_after {
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
