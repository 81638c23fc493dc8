//! The operators' port: liveness, readiness and metrics. Never to be reached from outside.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use crate::engine::Engine;

#[derive(Clone)]
struct Operators {
    engine: Arc<Engine>,
    ready: watch::Receiver<bool>,
}

/// `GET /livez`, `/readyz` and `/metrics`. `ready` says whether calls should come here.
pub fn router(engine: Arc<Engine>, ready: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(Operators { engine, ready })
}

async fn readiness(State(operators): State<Operators>) -> Response {
    if *operators.ready.borrow() { "ready\n".into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response() }
}

async fn metrics(State(operators): State<Operators>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], operators.engine.metrics().text()).into_response()
}
