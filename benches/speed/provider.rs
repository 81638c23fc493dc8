//! The least that can stand for a provider, in this process and without a network: it answers the creation of a code at once,
//! and whoever asks for a code is told that it was paid just now, since nobody is asked about others. It remembers nothing. It
//! is no simulator, so that what is measured is neither the simulator's speed nor an HTTP client's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use http::{Method, StatusCode, header};
use serde::Deserialize;
use upistream::providers::http::Transport;

use super::Failed;
use super::service::PAISE;

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
    pub our_ref: String,
    pub provider_ref: String,
}

/// The provider of one service.
#[derive(Default)]
pub struct Provider {
    created: AtomicU64,
    last: Mutex<Option<Creation>>,
    /// Whether the next creation is noted as the last one: only while nothing is measured.
    is_watched: AtomicBool,
}

impl Provider {
    pub fn start() -> Arc<Self> {
        Arc::default()
    }

    /// Has the next creation noted.
    pub fn watch(&self) {
        self.is_watched.store(true, Ordering::SeqCst);
    }

    /// The creation that was noted.
    pub fn last(&self) -> Result<Creation, Failed> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.ok_or_else(|| "the provider was not asked for a code".into())
    }

    fn answer(&self, request: &reqwest::Request) -> (StatusCode, String) {
        let path = request.url().path();
        match path.strip_prefix(PATH) {
            Some("") if request.method() == Method::POST => {
                self.create(request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default())
            }
            Some(rest) if rest.ends_with("/payments") => (StatusCode::OK, NO_PAYMENTS.to_owned()),
            Some(rest) => (StatusCode::OK, paid(rest.trim_start_matches('/'))),
            None => (StatusCode::NOT_FOUND, String::new()),
        }
    }

    fn create(&self, body: &[u8]) -> (StatusCode, String) {
        let Ok(Asked { payment_amount, notes: Notes { upistream_ref } }) = serde_json::from_slice(body) else {
            return (StatusCode::BAD_REQUEST, String::new());
        };
        let id = format!("qr_{:014}", self.created.fetch_add(1, Ordering::Relaxed));
        let text = format!(
            r#"{{"id":"{id}","entity":"qr_code","created_at":1790000000,"name":null,"usage":"single_use","type":"upi_qr","image_url":"https://rzp.io/i/{id}","image_content":"upi://pay?ver=01&mode=15&pa=rpy.shop@icici&pn=Shop&tr={id}&cu=INR&mc=5411&am={payment_amount}","payment_amount":{payment_amount},"status":"active","description":null,"fixed_amount":true,"payments_amount_received":0,"payments_count_received":0,"notes":{{"upistream_ref":"{upistream_ref}"}},"customer_id":null,"close_by":null}}"#
        );
        if self.is_watched.swap(false, Ordering::SeqCst) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Creation { our_ref: upistream_ref, provider_ref: id });
        }
        (StatusCode::OK, text)
    }
}

impl Transport for Provider {
    fn execute(&self, request: reqwest::Request) -> BoxFuture<'_, Result<reqwest::Response, reqwest::Error>> {
        let (status, text) = self.answer(&request);
        let mut response = http::Response::new(text);
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        Box::pin(std::future::ready(Ok(response.into())))
    }
}

const PATH: &str = "/v1/payments/qr_codes";
/// The list of a code's payments lags behind.
const NO_PAYMENTS: &str = r#"{"entity":"collection","count":0,"items":[]}"#;

fn paid(id: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!(
        r#"{{"id":"{id}","entity":"qr_code","created_at":1790000000,"name":null,"usage":"single_use","type":"upi_qr","image_url":"https://rzp.io/i/{id}","payment_amount":{PAISE},"status":"closed","description":null,"fixed_amount":true,"payments_amount_received":{PAISE},"payments_count_received":1,"notes":{{}},"customer_id":null,"close_by":null,"closed_at":{now},"close_reason":"paid"}}"#
    )
}
