//! Eko: the key of each request, services, codes.

mod payments;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const SENDER: &str = "9876500001";
const CREATE: &str = "/v3/user/collection/upi-razorpay/generate-static-qr";
const ACTIVATE: &str = "/v3/admin/network/agent/20810200/service/59/activate";

/// A merchant at Eko, with a callback endpoint.
struct Counter {
    client: Client,
    receiver: Receiver,
}

impl Counter {
    async fn start(switches: EkoSwitches) -> Self {
        let client = start().await;
        client.sandbox.switches(Switches { eko: switches, ..Switches::default() });
        let receiver = Receiver::start_for(&client, "counter").await;
        Self { client, receiver }
    }

    fn signed(&self, method: Method, path: &str, timestamp: &str, key: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.client.sandbox.url_of(Simulated::Eko));
        let request = self.client.http.request(method, url).header("developer_key", eko_merchant().developer_key);
        request.header("secret-key", key).header("secret-key-timestamp", timestamp)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let timestamp = jiff::Timestamp::now().as_millisecond().to_string();
        self.signed(method, path, &timestamp, &key_at(&timestamp))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    async fn put(&self, path: &str) -> (u16, Value) {
        self.send(self.request(Method::PUT, path).json(&json!({"initiator_id": "9000000001"}))).await
    }

    /// The data of a new code.
    async fn qr(&self) -> Value {
        let (status, answer) = self.post(CREATE, qr_of(SENDER)).await;
        assert_eq!((status, &answer["status"]), (200, &json!(0)), "{answer}");
        answer["data"].clone()
    }

    async fn pay(&self, code: &str, outcome: Outcome) -> String {
        let pay = PayOptions { amount: Some(40_000), outcome, ..PayOptions::default() };
        self.client.sandbox.pay_qr("counter", code, pay).await.unwrap()
    }

    async fn inquire(&self, which: &str) -> Value {
        let path = format!("/v3/tools/reference/transaction/{which}?initiator_id=9000000001&user_code=20810200");
        let (status, answer) = self.get(&path).await;
        assert_eq!(status, 200);
        answer
    }

    /// The states that the last of `count` callbacks tells of: before and after.
    async fn told(&self, count: usize) -> (Value, Value) {
        let callback = self.receiver.wait_for(count).await[count - 1].json();
        (callback["old_tx_status"].clone(), callback["tx_status"].clone())
    }
}

fn always_active() -> EkoSwitches {
    EkoSwitches { service_always_active: true, ..EkoSwitches::default() }
}

fn qr_of(sender_id: &str) -> Value {
    json!({"initiator_id": "9000000001", "sender_id": sender_id, "name": "Demo Stores"})
}

fn key_at(timestamp: &str) -> String {
    keyed(&STANDARD.encode(eko_merchant().access_key.expose_secret()), timestamp)
}

fn keyed(key: &str, message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn only_the_documented_key_of_the_moment_is_let_in() {
    let counter = Counter::start(EkoSwitches { skew_s: u32::MAX, ..always_active() }).await;
    let path = "/v3/user/account/services?initiator_id=9000000001&user_code=20810200";
    let encoded_key = STANDARD.encode(eko_merchant().access_key.expose_secret());
    let hex_digest = STANDARD.encode(crate::sandbox::webhooks::sign(&encoded_key, b"1767225600000"));
    assert!(hex_digest.starts_with("Zjk3ZDM5ZTYz") && hex_digest.len() == 88, "{hex_digest}");
    for (key, expected) in [
        ("+X055jGXBygW9eOpHGCyZQDD5t0hqZS7x8pazcEyn38=", 200),
        // With the access key as it is, with key and message swapped, as the base64 of the hex digest, of another key.
        ("+zl4aAnw746ENL9ITXrbXW0WLyTGlrNFrmbOZLJ6vzw=", 403),
        ("7M5pkAF8cBVNt2oUyJ4WjQdkoEBFyIRb4TxdB6QWhFc=", 403),
        (&hex_digest, 403),
        ("yx/y/tW0w54Bbx4aO7xVSCre8pvQTkdsbV4FIuwjzTQ=", 403),
        ("", 403),
    ] {
        let request = counter.signed(Method::GET, path, "1767225600000", key);
        assert_eq!(counter.send(request).await.0, expected, "{key}");
    }
    let other_moment = counter.signed(Method::GET, path, "1767225600001", "+X055jGXBygW9eOpHGCyZQDD5t0hqZS7x8pazcEyn38=");
    assert_eq!(counter.send(other_moment).await, (403, Value::Null), "the body is not JSON");
    let url = format!("{}{path}", counter.client.sandbox.url_of(Simulated::Eko));
    assert_eq!(counter.send(counter.client.http.get(&url)).await.0, 403);
    let stranger = counter.client.http.get(&url).header("developer_key", "another-developer-key-of-20");
    let stranger = stranger.header("secret-key", key_at("1767225600000")).header("secret-key-timestamp", "1767225600000");
    assert_eq!(counter.send(stranger).await.0, 403);
}

#[tokio::test]
async fn a_stale_key_is_refused_and_either_clock_counts() {
    let counter = Counter::start(always_active()).await;
    let path = "/v3/user/account/services?initiator_id=9000000001&user_code=20810200";
    let at = async |off_ms: i64| {
        let timestamp = (counter.client.sandbox.now().as_millisecond() + off_ms).to_string();
        counter.send(counter.signed(Method::GET, path, &timestamp, &key_at(&timestamp))).await.0
    };
    assert_eq!((at(0).await, at(-290_000).await, at(290_000).await), (200, 200, 200));
    assert_eq!((at(-310_000).await, at(310_000).await), (403, 403));
    counter.client.sandbox.advance(3 * DAY);
    assert_eq!((at(0).await, at(-310_000).await), (200, 403));
    assert_eq!(counter.get(path).await.0, 200, "by the system's clock");
}

#[tokio::test]
async fn a_service_is_activated_before_codes_are_made() {
    let counter = Counter::start(EkoSwitches::default()).await;
    assert_eq!(counter.post(CREATE, qr_of(SENDER)).await, (403, Value::Null));
    let refusing = EkoSwitches { inactive_answers_200: true, ..EkoSwitches::default() };
    counter.client.sandbox.switches(Switches { eko: refusing, ..Switches::default() });
    let (status, refused) = counter.post(CREATE, qr_of(SENDER)).await;
    assert_eq!((status, text(&refused, "message"), &refused["response_status_id"]), (200, "Agent not allowed", &json!(1)));

    assert_eq!(counter.put(ACTIVATE).await.1["status"], 0);
    assert_eq!(counter.put(ACTIVATE).await.1["status"], 0, "doing it again changes nothing");
    counter.qr().await;
    let (_, list) = counter.get("/v1/user/services/user_code:20810200?initiator_id=9000000001").await;
    let states: Vec<_> = list["data"]["service_status_list"].as_array().unwrap().iter().map(|line| &line["status"]).collect();
    assert_eq!(states, [0, 1, 0], "{list}");

    assert_eq!(counter.put(&ACTIVATE.replace("/activate", "/deactivate")).await.1["status"], 0);
    assert_eq!(counter.post(CREATE, qr_of(SENDER)).await.1["status"], 1);
    let form = [("user_code", "20810200"), ("initiator_id", "9000000001"), ("service_code", "59")];
    let (status, echo) = counter.send(counter.request(Method::PUT, "/v1/user/service/activate").form(&form)).await;
    assert_eq!((status, &echo["data"]["service_code"]), (200, &json!("59")));
    counter.qr().await;
    assert_eq!(counter.put(&ACTIVATE.replace("20810200", "20810201")).await.1["status"], 463);
    let operations: Vec<_> = counter.client.sandbox.seen().iter().map(|seen| seen.operation.clone()).collect();
    assert_eq!(operations[2..6], ["service.activate", "service.activate", "qr.create", "service.list"]);
    assert_eq!(operations[6], "service.deactivate");
}

#[tokio::test]
async fn a_code_is_made_once_for_each_sender() {
    let counter = Counter::start(always_active()).await;
    let (_, answer) = counter.post(CREATE, qr_of(SENDER)).await;
    assert_eq!((&answer["response_status_id"], &answer["response_type_id"]), (&json!(-1), &json!(1888)));
    assert_eq!(text(&answer, "message"), "successfully generated QR code");
    let qr = &answer["data"];
    assert!(text(qr, "utility_acc_no").starts_with("cust_"), "{qr}");
    let code = text(qr, "client_ref_id").strip_prefix("qr_").unwrap();
    let (front, back) = text(qr, "qr_string").split_once("@examplebank").unwrap();
    assert!(front.starts_with("upi://pay?ver=01&mode=01&pa=rpy.qreko"), "{front}");
    assert_eq!(back, format!("&pn=Eko&tr=RZP{code}qrv2&cu=INR&mc=4814&qrMedium=04&tn=PaymenttoEko"));
    assert_eq!((&qr["name"], &qr["sender_id"], &qr["status"]), (&json!("Demo Stores"), &json!(SENDER), &json!(2)));

    let mut again = qr_of(SENDER);
    again["name"] = json!("Other Stores");
    assert_eq!(counter.post(CREATE, again.clone()).await.1, answer);
    assert_eq!(counter.post("/v2/customer/createcustomer", again.clone()).await.1, answer);
    let other = counter.post(CREATE, qr_of("9876500002")).await.1;
    assert_ne!(other["data"]["utility_acc_no"], qr["utility_acc_no"]);
    assert_eq!(counter.client.sandbox.qr_codes("counter").unwrap(), [other["data"].clone(), qr.clone()]);

    let renaming = EkoSwitches { repeat_renames: true, ..always_active() };
    counter.client.sandbox.switches(Switches { eko: renaming, ..Switches::default() });
    assert_eq!(counter.post(CREATE, again).await.1["data"]["name"], "Other Stores");
}

#[tokio::test]
async fn the_au_rail_has_pictures_and_digits() {
    let counter = Counter::start(always_active()).await;
    let mut body = qr_of(SENDER);
    body["service_code"] = json!(85);
    let (_, answer) = counter.post(CREATE, body).await;
    let qr = &answer["data"];
    assert_eq!(qr["client_ref_id"], SENDER);
    let customer = text(qr, "utility_acc_no");
    assert!(customer.len() == 8 && customer.bytes().all(|byte| byte.is_ascii_digit()), "{customer}");
    let picture = text(qr, "qr_string");
    assert!(picture.starts_with("https://") && picture.ends_with(".png"), "{picture}");
    let tid = counter.pay(picture, Outcome::Captured).await;
    assert_eq!(counter.inquire(customer).await["data"]["tid"], json!(tid));
}

#[tokio::test]
async fn wrong_requests_are_refused_in_200_or_by_the_gateway() {
    let counter = Counter::start(always_active()).await;
    let changed = |change: Value| {
        let mut body = qr_of(SENDER);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    for (change, expected) in [
        (json!({"name": null}), 97),
        (json!({"name": ""}), 97),
        (json!({"sender_id": "98765"}), 97),
        (json!({"sender_id": 9_876_500_001_u64}), 97),
        (json!({"sender_id": "987650000x"}), 97),
        (json!({"service_code": "85"}), 97),
        (json!({"initiator_id": null}), 97),
        (json!({"initiator_id": "9000000002"}), 319),
    ] {
        let (status, refused) = counter.post(CREATE, changed(change.clone())).await;
        assert_eq!((status, &refused["status"]), (200, &json!(expected)), "{change}");
        assert!(refused.get("data").is_none(), "{refused}");
    }
    for (failure, expected) in [
        (QrFailure::NoCustomer, "Failed to create a customer ID"),
        (QrFailure::CustomerIsNull, "Customer ID is null"),
        (QrFailure::NoCode, "Failed to generate QR"),
    ] {
        let failing = EkoSwitches { qr_failure: Some(failure), ..always_active() };
        counter.client.sandbox.switches(Switches { eko: failing, ..Switches::default() });
        let (status, refused) = counter.post(CREATE, qr_of(SENDER)).await;
        assert_eq!((status, &refused["status"], text(&refused, "message")), (200, &json!(1), expected));
    }
    assert!(counter.client.sandbox.qr_codes("counter").unwrap().is_empty());

    let create = || counter.request(Method::POST, CREATE);
    assert_eq!(counter.send(create().form(&[("sender_id", SENDER)])).await, (415, Value::Null));
    assert_eq!(counter.send(create().body("{}")).await.0, 415);
    let unreadable = create().header("content-type", "application/json; charset=utf-8").body("{");
    assert_eq!(counter.send(unreadable).await, (500, Value::Null));
    let by_json = counter.request(Method::PUT, "/v1/user/service/activate").json(&json!({}));
    assert_eq!(counter.send(by_json).await.0, 415);
    assert_eq!(counter.get(CREATE).await, (405, Value::Null));
    assert_eq!(counter.post("/v4/customer/createcustomer", json!({})).await, (404, Value::Null));
}
