//! A listener with limits: so many connections, so long for a request's head.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

/// How long the head of a request may take to arrive: a peer that dribbles it holds a connection no longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of a request's head, and of a body that are read ahead.
const READ_AHEAD_MAX: usize = 64 * 1024;
/// The pause after a connection could not be accepted (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections get to finish what they have begun after the listener is closed.
const LINGER: Duration = Duration::from_secs(5);

/// Serves `router` over HTTP/1.1 until `stop`, at most `connections_max` connections at once; further ones wait to be
/// accepted.
pub async fn serve(listener: TcpListener, router: Router, connections_max: usize, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(connections_max));
    let connections = tokio_util::task::TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, listener.accept().await))
            } => accepted,
        };
        let Some((place, accepted)) = accepted else { break };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(cause) => {
                warn!("a connection could not be accepted: {cause}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let router = router.clone();
        let stop = stop.clone();
        connections.spawn(async move {
            let _place = place;
            let service =
                hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| answer(router.clone(), request, peer));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(READ_AHEAD_MAX);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(cause) = ended {
                debug!("a connection ended early: {cause}");
            }
        });
    }
    drop(listener);
    connections.close();
    let _ = tokio::time::timeout(LINGER, connections.wait()).await;
}

async fn answer(
    router: Router,
    request: hyper::Request<hyper::body::Incoming>,
    peer: SocketAddr,
) -> Result<axum::response::Response, Infallible> {
    let mut request: Request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request).await
}
