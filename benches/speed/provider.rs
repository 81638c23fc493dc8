//! The least that can stand for a provider: it answers the creation of a code at once, and knows nothing else. It is no
//! simulator, so that what is measured is not the simulator's speed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::Failed;

/// What is read of a request.
#[derive(Deserialize)]
struct Asked {
    payment_amount: i64,
    notes: Notes,
}

#[derive(Deserialize)]
struct Notes {
    upistream_ref: String,
}

/// The last creation, which the floor's calls are made after.
#[derive(Clone)]
pub struct Creation {
    pub body: Bytes,
    pub our_ref: String,
    pub provider_ref: String,
}

/// A running provider. It ends when dropped.
pub struct Provider {
    pub address: SocketAddr,
    desk: Arc<Desk>,
    server: AbortHandle,
}

#[derive(Default)]
struct Desk {
    created: AtomicU64,
    last: Mutex<Option<Creation>>,
    /// Whether the next creation is noted as the last one: only while nothing is measured.
    is_watched: AtomicBool,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Provider {
    pub async fn start() -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, desk) = (listener.local_addr()?, Arc::new(Desk::default()));
        let router = Router::new().route(PATH, post(create)).with_state(Arc::clone(&desk));
        let listener = listener.tap_io(|stream| {
            // Where it can't be set, answers are only slower.
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, desk, server: server.abort_handle() })
    }

    /// Has the next creation noted.
    pub fn watch(&self) {
        self.desk.is_watched.store(true, Ordering::SeqCst);
    }

    /// The creation that was noted.
    pub fn last(&self) -> Result<Creation, Failed> {
        let last = self.desk.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.ok_or_else(|| "the provider was not asked for a code".into())
    }

    /// Where codes are created.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }
}

const PATH: &str = "/v1/payments/qr_codes";

async fn create(State(desk): State<Arc<Desk>>, body: Bytes) -> impl IntoResponse {
    let Ok(Asked { payment_amount, notes: Notes { upistream_ref } }) = serde_json::from_slice(&body) else {
        return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], String::new());
    };
    let id = format!("qr_{:014}", desk.created.fetch_add(1, Ordering::Relaxed));
    let answer = format!(
        r#"{{"id":"{id}","entity":"qr_code","created_at":1790000000,"name":null,"usage":"single_use","type":"upi_qr","image_url":"https://rzp.io/i/{id}","image_content":"upi://pay?ver=01&mode=15&pa=rpy.shop@icici&pn=Shop&tr={id}&cu=INR&mc=5411&am={payment_amount}","payment_amount":{payment_amount},"status":"active","description":null,"fixed_amount":true,"payments_amount_received":0,"payments_count_received":0,"notes":{{"upistream_ref":"{upistream_ref}"}},"customer_id":null,"close_by":null}}"#
    );
    if desk.is_watched.swap(false, Ordering::SeqCst) {
        let creation = Creation { body, our_ref: upistream_ref, provider_ref: id };
        *desk.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(creation);
    }
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], answer)
}
