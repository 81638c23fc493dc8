//! The sandbox from outside: over HTTP, as a client of the provider meets it.

mod eko;
mod enkash;
mod faults;
mod mandates;
mod oqpay;
mod providers;
mod refunds;
mod settlements;
mod time;
mod webhooks;
mod wire;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State as Handle;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;

const SECRET: &str = "whsec_test";

struct Client {
    sandbox: Sandbox,
    http: reqwest::Client,
}

fn config() -> SandboxConfig {
    let account = |name: &str, letter: &str| SandboxAccount {
        name: name.to_owned(),
        webhook_url: None,
        merchant: Merchant::Razorpay(RazorpayMerchant {
            key_id: format!("rzp_test_{name}"),
            key_secret: "secret".into(),
            account_id: format!("acc_{}", letter.repeat(14)),
            webhook_secret: SECRET.into(),
        }),
    };
    let at = |name: &str, merchant| SandboxAccount { name: name.to_owned(), webhook_url: None, merchant };
    let accounts = vec![
        account("shop", "A"),
        account("other", "B"),
        at("till", Merchant::Enkash(EnkashMerchant { access_key: "EKTEST1".to_owned(), secret_key: "secret".into() })),
        at("stall", Merchant::Oqpay(OqpayMerchant { registration_id: "OQP-101".into() })),
        at("counter", Merchant::Eko(eko_merchant())),
    ];
    SandboxConfig { accounts, webhook_time_scale: 1, event_spread_ms: 5, ..SandboxConfig::default() }
}

fn eko_merchant() -> EkoMerchant {
    EkoMerchant {
        developer_key: "a-developer-key-of-20".to_owned(),
        access_key: "11111111-2222-4333-8444-555555555555".into(),
        initiator_id: "9000000001".to_owned(),
        user_code: "20810200".to_owned(),
    }
}

async fn start() -> Client {
    start_with(config()).await
}

async fn start_with(config: SandboxConfig) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sandbox = super::start(listener, config).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(10));
    Client { sandbox, http: http.build().unwrap() }
}

impl Client {
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value), reqwest::Error> {
        let url = format!("{}/v1{path}", self.sandbox.razorpay_url());
        let mut request = self.http.request(method, url).basic_auth("rzp_test_shop", Some("secret"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_str(&response.text().await?).unwrap_or(Value::Null)))
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, Some(body)).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None).await.unwrap()
    }

    /// Creates a code for one payment of 450 rupees.
    async fn qr(&self) -> Value {
        let (status, qr) = self.post("/payments/qr_codes", fixed_qr()).await;
        assert_eq!(status, 200, "{qr}");
        qr
    }

    async fn fetch(&self, entity: &Value) -> Value {
        let id = text(entity, "id");
        let path = if id.starts_with("qr_") { "/payments/qr_codes/" } else { "/payments/" };
        self.get(&format!("{path}{id}")).await.1
    }

    async fn pay(&self, qr: &Value, outcome: Outcome) -> Value {
        let pay = PayOptions { outcome, ..PayOptions::default() };
        let id = self.sandbox.pay_qr("shop", text(qr, "id"), pay).await.unwrap();
        self.get(&format!("/payments/{id}")).await.1
    }

    /// All other switches are at their defaults then.
    fn switch(&self, set: impl FnOnce(&mut Switches)) {
        let mut switches = Switches::default();
        set(&mut switches);
        self.sandbox.switches(switches);
    }

    async fn control(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.sandbox.control_url()));
        let response = request.json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

fn fixed_qr() -> Value {
    json!({
        "type": "upi_qr", "usage": "single_use", "fixed_amount": true, "payment_amount": 45_000,
        "name": "Counter 4", "description": "Bill 381", "notes": {"bill": "381", "url": "https://a.in/ü"}
    })
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("`{name}` of {value} is a string"))
}

fn description(error: &Value) -> &str {
    text(&error["error"], "description")
}

/// A webhook endpoint that remembers what it got and answers what it is told.
#[derive(Clone, Default)]
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<Webhook>>>,
    /// Answered first, one each; after them 200.
    answers: Arc<Mutex<Vec<u16>>>,
    /// The body of every answer.
    words: Arc<Mutex<String>>,
    arrived: Arc<Notify>,
}

#[derive(Clone, Debug, PartialEq)]
struct Webhook {
    body: String,
    signature: String,
    event_id: String,
    content_type: String,
}

impl Webhook {
    fn event(&self) -> String {
        text(&self.json(), "event").to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Receiver {
    async fn start(client: &Client) -> Self {
        Self::start_for(client, "shop").await
    }

    async fn start_for(client: &Client, account: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { url, ..Self::default() };
        let app = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        client.sandbox.set_webhook_url(account, &receiver.url).unwrap();
        receiver
    }

    fn answer(&self, statuses: &[u16]) {
        *self.answers.lock().unwrap() = statuses.to_vec();
    }

    /// Waits until `count` webhooks came.
    async fn wait_for(&self, count: usize) -> Vec<Webhook> {
        let enough = async {
            loop {
                let arrived = self.arrived.notified();
                let got = self.got.lock().unwrap().clone();
                if got.len() >= count {
                    return got;
                }
                arrived.await;
            }
        };
        let got = tokio::time::timeout(Duration::from_secs(20), enough).await;
        got.unwrap_or_else(|_| panic!("only {:?} came", self.got.lock().unwrap()))
    }

    /// The events that came, sorted.
    async fn events(&self, count: usize) -> Vec<String> {
        let mut events: Vec<_> = self.wait_for(count).await.iter().map(Webhook::event).collect();
        events.sort();
        events
    }
}

async fn receive(Handle(receiver): Handle<Receiver>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let webhook = Webhook {
        body,
        signature: header("x-razorpay-signature"),
        event_id: header("x-razorpay-event-id"),
        content_type: header("content-type"),
    };
    let mut answers = receiver.answers.lock().unwrap();
    let status = if answers.is_empty() { 200 } else { answers.remove(0) };
    receiver.got.lock().unwrap().push(webhook);
    receiver.arrived.notify_one();
    (StatusCode::from_u16(status).unwrap(), receiver.words.lock().unwrap().clone())
}
