//! Eko: the key of each request, services, codes, payments and what is told of them.

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
    let mut hex_digest = STANDARD.encode("f97d39e6");
    hex_digest.push_str(&"A".repeat(76));
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
    let stranger = counter.request(Method::GET, path).header("developer_key", "another-developer-key");
    assert_eq!(counter.send(stranger).await.0, 200, "the first header counts");
    let url = format!("{}{path}", counter.client.sandbox.url_of(Simulated::Eko));
    assert_eq!(counter.send(counter.client.http.get(url)).await.0, 403);
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

#[tokio::test]
async fn a_payment_is_told_when_it_is_held_and_again_when_it_is_credited() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let tid = counter.pay(text(&qr, "qr_string"), Outcome::Captured).await;
    assert!(tid.len() == 10 && tid.parse::<u64>().unwrap() > 1 << 31, "{tid}");
    let first = &counter.receiver.wait_for(1).await[0];
    assert_eq!((first.content_type.as_str(), first.signature.as_str()), ("application/json", ""));
    let told = first.json();
    let rrn = text(&told, "bank_ref_num").to_owned();
    let timestamp = text(&told, "timestamp").to_owned();
    let start = format!(
        r#"{{"tx_status":5,"amount":400,"tds":0,"txstatus_desc":"Payment Initiated","customer_vpa":"asha.rao@examplebank","fee":4.72,"gst":0.72,"tid":{tid},"client_ref_id":"{}","old_tx_status":2,"partners_commision":0,"service_code":"27","old_tx_status_desc":"Initiated","#,
        text(&qr, "utility_acc_no")
    );
    assert_eq!(first.body, format!(r#"{start}"bank_ref_num":"{rrn}","timestamp":"{timestamp}"}}"#));
    let at = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &timestamp).unwrap();
    assert_eq!(rrn[..4], format!("{}{:03}", at.year() % 10, at.date().day_of_year()));
    assert_eq!(rrn.len(), 12);

    let found = counter.inquire(&tid).await;
    assert_eq!((&found["status"], &found["response_status_id"]), (&json!(0), &json!(0)));
    let data = &found["data"];
    assert_eq!((text(data, "tx_status"), text(data, "txstatus_desc")), ("5", "Payment Initiated"));
    assert_eq!((text(data, "amount"), text(data, "fee"), text(data, "tds")), ("400.00", "4.72", "0.0"));
    assert_eq!((text(data, "tid"), text(data, "bank_ref_num"), text(data, "currency")), (tid.as_str(), rrn.as_str(), "INR"));
    let utc: jiff::Timestamp = text(data, "timestamp").parse().unwrap();
    assert_eq!(utc.as_second(), at.in_tz("Asia/Kolkata").map_or_else(|_| utc.as_second(), |at| at.timestamp().as_second()));

    counter.client.sandbox.advance(DAY);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "5");
    counter.client.sandbox.advance(DAY);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "0");
    let second = counter.receiver.wait_for(2).await[1].json();
    assert_eq!((&second["old_tx_status"], &second["old_tx_status_desc"]), (&json!(5), &json!("Payment Initiated")));
    assert_eq!((&second["tx_status"], &second["txstatus_desc"]), (&json!(0), &json!("Success")));
    assert_eq!((&second["tid"], text(&second, "timestamp")), (&told["tid"], timestamp.as_str()), "the time of the payment");
    let events: Vec<_> = counter.client.sandbox.deliveries().into_iter().map(|delivery| delivery.event).collect();
    assert!(events.contains(&"payment.held".to_owned()), "{events:?}");
}

#[tokio::test]
async fn switches_print_callbacks_otherwise_and_settle_otherwise() {
    let other = EkoSwitches { float_amounts: true, fee_paise: 0, customer_vpa: false, single_callback: true, ..always_active() };
    let counter = Counter::start(other.clone()).await;
    let qr = counter.qr().await;
    let code = text(&qr, "client_ref_id");
    let set = |eko: EkoSwitches| counter.client.sandbox.switches(Switches { eko, ..Switches::default() });
    let tid = counter.pay(code, Outcome::Captured).await;
    assert_eq!(counter.told(1).await, (json!(2), json!(0)));
    let body = counter.receiver.wait_for(1).await[0].body.clone();
    assert!(body.contains(r#""amount":400.0,"tds":0.0,"txstatus_desc":"Success","fee":0.0,"gst":0.0,"#), "{body}");

    set(EkoSwitches { unheard_tx_status: Some("17".to_owned()), ..always_active() });
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "17");

    set(EkoSwitches { fails_after: true, credit_delay_s: 60, ..always_active() });
    let failing = counter.pay(code, Outcome::Captured).await;
    assert_eq!(counter.told(2).await, (json!(2), json!(5)));
    counter.client.sandbox.advance(Duration::from_secs(61));
    assert_eq!(counter.told(3).await, (json!(5), json!(1)));
    assert_eq!(counter.inquire(&failing).await["data"]["tx_status"], "1");

    set(EkoSwitches { never_credited: true, ..always_active() });
    let held = counter.pay(code, Outcome::Captured).await;
    counter.client.sandbox.advance(30 * DAY);
    assert_eq!(counter.inquire(&held).await["data"]["tx_status"], "5");
    assert_eq!(counter.receiver.wait_for(4).await.len(), 4);
}

#[tokio::test]
async fn banks_say_no_yes_and_take_back() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let (code, sandbox) = (text(&qr, "utility_acc_no"), &counter.client.sandbox);
    let failed = counter.pay(code, Outcome::Failed).await;
    assert_eq!(counter.told(1).await, (json!(2), json!(1)));
    assert!(matches!(sandbox.authorize_late("counter", &failed).await, Err(ControlError::WrongState { .. })));

    let waiting = counter.pay(code, Outcome::Pending).await;
    assert_eq!(counter.inquire(&waiting).await["data"]["tx_status"], "2");
    sandbox.authorize_late("counter", &waiting).await.unwrap();
    assert_eq!(counter.told(2).await, (json!(2), json!(5)), "nothing was told before");
    sandbox.reverse_payment("counter", &waiting).await.unwrap();
    assert_eq!(counter.told(3).await, (json!(5), json!(4)));
    sandbox.advance(3 * DAY);
    assert_eq!(counter.inquire(&waiting).await["data"]["tx_status"], "4", "what went back is not credited");

    let refused = counter.pay(code, Outcome::Pending).await;
    sandbox.fail_payment("counter", &refused).await.unwrap();
    assert_eq!(counter.told(4).await, (json!(2), json!(1)));
    assert!(matches!(sandbox.reverse_payment("counter", &refused).await, Err(ControlError::WrongState { .. })));
    assert!(matches!(sandbox.fail_payment("counter", "1").await, Err(ControlError::NotFound(_))));
    assert_eq!(sandbox.payments("counter").unwrap()[0]["tid"], json!(refused));
}

#[tokio::test]
async fn a_payer_says_how_much_and_more_than_three_rupees() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let pay = async |code: &str, amount, any_amount| {
        let pay = PayOptions { amount, any_amount, ..PayOptions::default() };
        counter.client.sandbox.pay_qr("counter", code, pay).await
    };
    let code = text(&qr, "utility_acc_no");
    assert!(matches!(pay(code, None, false).await, Err(ControlError::AmountNeeded(_))));
    assert_eq!(pay(code, Some(300), false).await, Err(ControlError::TooLittle(300)));
    assert!(pay(code, Some(300), true).await.is_ok());
    assert!(pay(code, Some(301), false).await.is_ok());
    let appended = format!("{}&am=5", text(&qr, "qr_string"));
    let tid = pay(&appended, None, false).await.unwrap();
    assert_eq!(counter.inquire(&tid).await["data"]["amount"], "5.00");
    assert!(matches!(pay("cust_unknown", Some(500), false).await, Err(ControlError::NotFound(_))));
    let authorized = PayOptions { amount: Some(500), outcome: Outcome::Authorized, ..PayOptions::default() };
    let refused = counter.client.sandbox.pay_qr("counter", code, authorized).await;
    assert_eq!(refused, Err(ControlError::NotOffered(Simulated::Eko)));
    let (status, _) = counter.client.control(Method::POST, "/eko/counter/pay", json!({"qr": code, "amount": 300})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn every_generation_finds_a_transaction_by_tid_and_the_newest_one_by_its_code() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let code = text(&qr, "utility_acc_no");
    let first = counter.pay(code, Outcome::Captured).await;
    let second = counter.pay(code, Outcome::Pending).await;
    for (path, expected) in [
        (format!("/v1/transactions/{first}?initiator_id=9000000001"), &first),
        (format!("/v2/transactions/{first}?initiator_id=9000000001&user_code=20810200"), &first),
        (format!("/v3/tools/reference/transaction/{first}?initiator_id=9000000001&user_code=20810200"), &first),
        (format!("/v1/transactions/client_ref_id:{code}?initiator_id=9000000001"), &second),
        (format!("/v2/transactions/client_ref_id%3A{code}?initiator_id=9000000001"), &second),
        (format!("/v3/tools/reference/transaction/{code}?initiator_id=9000000001&user_code=20810200"), &second),
    ] {
        let (status, found) = counter.get(&path).await;
        assert_eq!((status, &found["data"]["tid"]), (200, &json!(expected)), "{path}");
    }
    for (path, expected) in [
        (format!("/v1/transactions/{code}?initiator_id=9000000001"), 168),
        ("/v1/transactions/2147483649?initiator_id=9000000001".to_owned(), 168),
        (format!("/v1/transactions/{first}"), 97),
        (format!("/v1/transactions/{first}?initiator_id=9000000002"), 319),
        (format!("/v1/transactions/{first}?initiator_id=9000000001&user_code=1"), 463),
        (format!("/v3/tools/reference/transaction/{first}?initiator_id=9000000001"), 97),
    ] {
        let (status, refused) = counter.get(&path).await;
        assert_eq!((status, &refused["status"]), (200, &json!(expected)), "{path}");
    }
    assert!(counter.client.sandbox.seen()[1..].iter().all(|seen| seen.operation == "transaction.fetch"));
    assert_eq!(text(&counter.inquire("2147483649").await, "message"), "TID does not exist");
}

#[tokio::test]
async fn a_forged_callback_contradicts_the_inquiry() {
    let counter = Counter::start(always_active()).await;
    let qr = counter.qr().await;
    let (code, sandbox) = (text(&qr, "utility_acc_no"), &counter.client.sandbox);
    assert!(matches!(sandbox.send_forged("counter", code, None).await, Err(ControlError::AmountNeeded(_))));
    sandbox.send_forged("counter", code, Some(50_000)).await.unwrap();
    assert_eq!(counter.told(1).await, (json!(2), json!(5)));
    let forged = counter.receiver.wait_for(1).await[0].json();
    assert_eq!((&forged["client_ref_id"], &forged["amount"]), (&qr["utility_acc_no"], &json!(500)));
    assert_eq!(counter.inquire(&forged["tid"].to_string()).await["status"], 168);

    let tid = counter.pay(code, Outcome::Captured).await;
    counter.told(2).await;
    sandbox.send_forged("counter", code, None).await.unwrap();
    assert_eq!(counter.told(3).await, (json!(5), json!(0)));
    let forged = counter.receiver.wait_for(3).await[2].json();
    assert_eq!(forged["tid"].to_string(), tid);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "5", "the books say otherwise");
}

#[tokio::test]
async fn callbacks_come_twice_late_or_never() {
    let counter = Counter::start(EkoSwitches { credit_delay_s: 60, ..always_active() }).await;
    let qr = counter.qr().await;
    let (code, sandbox) = (text(&qr, "utility_acc_no"), &counter.client.sandbox);
    let fault = |event: &str, kind| sandbox.webhook_fault(WebhookFault::on(event, kind)).unwrap();
    fault("payment.held", WebhookFaultKind::Duplicate);
    counter.pay(code, Outcome::Captured).await;
    let got = counter.receiver.wait_for(2).await;
    assert_eq!(got[0], got[1]);
    fault("payment.credited", WebhookFaultKind::Drop);
    sandbox.advance(Duration::from_secs(61));

    fault("payment.held", WebhookFaultKind::Hold);
    counter.pay(code, Outcome::Captured).await;
    sandbox.advance(Duration::from_secs(61));
    assert_eq!(counter.told(3).await, (json!(5), json!(0)));
    sandbox.release_webhooks();
    assert_eq!(counter.told(4).await, (json!(2), json!(5)), "the first one came last");
}

#[tokio::test]
async fn books_and_appointments_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig { state_file: Some(folder.path().join("sandbox.json")), ..config() };
    let client = start_with(config.clone()).await;
    client.sandbox.switches(Switches { eko: always_active(), ..Switches::default() });
    let receiver = Receiver::start_for(&client, "counter").await;
    let counter = Counter { client, receiver };
    let qr = counter.qr().await;
    let tid = counter.pay(text(&qr, "utility_acc_no"), Outcome::Captured).await;
    counter.client.sandbox.stop().await;

    let counter = Counter { client: start_with(config).await, receiver: counter.receiver };
    assert_eq!(counter.qr().await, qr);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "5");
    counter.client.sandbox.advance(2 * DAY);
    assert_eq!(counter.inquire(&tid).await["data"]["tx_status"], "0");
    assert_ne!(counter.pay(text(&qr, "utility_acc_no"), Outcome::Captured).await, tid);
}
