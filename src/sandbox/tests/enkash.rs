//! EnKash, as its merchants and their payers meet it.

mod debits;
mod mandates;
mod payments;
mod payouts;
mod refunds;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

const KEYS: (&str, &str) = ("EKTEST1", "secret");
const VPA: &str = "ravi.k@examplebank";

/// A merchant of EnKash with a token.
struct Till {
    client: Client,
    token: String,
}

impl Till {
    async fn open() -> Self {
        Self::open_with(start().await).await
    }

    async fn open_with(client: Client) -> Self {
        let token = text(&token(&client, KEYS).await, "token").to_owned();
        Self { client, token }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.client.sandbox
    }

    fn switch(&self, set: impl FnOnce(&mut EnkashSwitches)) {
        let mut switches = Switches::default();
        set(&mut switches.enkash);
        self.sandbox().switches(switches);
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sandbox().url_of(Simulated::Enkash));
        self.client.http.request(method, url)
    }

    /// With what a merchant shows.
    async fn send(&self, method: Method, path: &str, body: Option<&str>) -> (u16, Value) {
        let authorization = format!("Bearer {}", self.token);
        let mut request = self.request(method, path).header("authorization", authorization).header("merchantAccessKey", KEYS.0);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        answer(request).await
    }

    async fn get(&self, path: &str) -> Value {
        payload(self.send(Method::GET, path, None).await)
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        payload(self.send(Method::POST, path, Some(&body.to_string())).await)
    }

    /// As a checkout page asks: with nothing.
    async fn page(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    /// EnKash's id of a new order of 499 rupees.
    async fn order(&self, merchant_order_id: &str) -> String {
        let order = self.post("/api/v0/orders", order_of(merchant_order_id)).await;
        text(&order, "orderId").to_owned()
    }

    async fn fetch(&self, order: &str) -> Value {
        self.get(&format!("/api/v0/orders/{order}")).await
    }

    async fn status(&self, order: &str) -> String {
        text(&self.fetch(order).await, "status").to_owned()
    }

    async fn qr(&self, order: &str) -> Value {
        payload(self.page(&format!("/pay/checkout/qrcode/{order}")).await)
    }

    async fn upi_status(&self, id: &str) -> Value {
        payload(self.page(&format!("/pay/checkout/status/upi/{id}")).await)
    }

    async fn pay(&self, code: &str, outcome: Outcome) -> Result<String, ControlError> {
        let pay = PayOptions { outcome, vpa: Some(VPA.to_owned()), ..PayOptions::default() };
        self.sandbox().pay_qr("till", code, pay).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// What a success holds.
fn payload((status, body): (u16, Value)) -> Value {
    assert_eq!((status, &body["response_code"], &body["response_message"]), (200, &json!(0), &json!("Success")), "{body}");
    body["payload"].clone()
}

/// Checks that an answer is a failure with the code of those that no source knows.
fn refused((status, body): (u16, Value)) {
    assert_eq!((status, &body["response_code"], &body["payload"]), (200, &json!(1), &Value::Null), "{body}");
}

async fn token(client: &Client, (access_key, secret_key): (&str, &str)) -> Value {
    let url = format!("{}/api/v0/merchant/token", client.sandbox.url_of(Simulated::Enkash));
    let (status, token) = answer(client.http.post(url).json(&json!({"accessKey": access_key, "secretKey": secret_key}))).await;
    assert_eq!(status, 200);
    token
}

fn order_of(merchant_order_id: &str) -> Value {
    json!({
        "orderId": merchant_order_id, "amount": {"value": 499.00, "currency": "INR"},
        "customerInfo": {"firstName": "Asha", "phoneNumber": "9000000001"}, "customParameters": {"tenant": "t1"}
    })
}

#[tokio::test]
async fn the_keys_give_a_token_and_wrong_ones_an_empty_one() {
    let till = Till::open().await;
    let given = token(&till.client, KEYS).await;
    assert_eq!((&given["resultCode"], &given["resultMessage"]), (&json!(200), &json!("Token generated successfully.")));
    let lasts_ms = given["expiry"].as_i64().unwrap() - till.sandbox().now().as_millisecond();
    assert!((29 * 60_000..=30 * 60_000).contains(&lasts_ms), "half an hour: {lasts_ms}");
    for wrong in [("EKTEST1", "other"), ("EKTEST2", "secret"), ("rzp_test_shop", "secret")] {
        let refused = token(&till.client, wrong).await;
        assert_eq!((&refused["token"], &refused["resultCode"]), (&json!(""), &json!(401)), "{refused}");
    }
    let seen = till.sandbox().seen();
    assert_eq!((seen[0].operation.as_str(), &seen[0].body["secretKey"]), ("token.create", &json!("left out")));

    till.switch(|switches| (switches.token_result_code, switches.token_expiry_is_duration) = (0, true));
    let given = token(&till.client, KEYS).await;
    assert_eq!((&given["resultCode"], &given["expiry"]), (&json!(0), &json!(30 * 60_000)));
}

#[tokio::test]
async fn a_merchant_needs_a_valid_token_and_his_access_key() {
    let till = Till::open().await;
    let with = async |authorization: &str, key: &str| {
        let request = till.request(Method::GET, "/api/v0/orders/ORD1");
        answer(request.header("authorization", authorization).header("merchantAccessKey", key)).await
    };
    let bearer = format!("Bearer {}", till.token);
    let invalid = json!({"response_code": 117, "response_message": "Token is invalid.", "payload": "Token is invalid."});
    refused(with(&bearer, KEYS.0).await);
    refused(with(&till.token, KEYS.0).await);
    assert_eq!(with("Bearer tkn-other", KEYS.0).await, (200, invalid.clone()));
    assert_eq!(till.page("/api/v0/orders/ORD1").await, (200, invalid.clone()));
    assert_eq!(with(&bearer, "EKTEST2").await.1["response_code"], 2);

    till.switch(|switches| (switches.bearer_refused, switches.invalid_token_401) = (true, true));
    assert_eq!(with(&bearer, KEYS.0).await, (401, invalid.clone()));
    refused(with(&till.token, KEYS.0).await);

    till.sandbox().advance(Duration::from_millis(1));
    let now_ms = till.sandbox().now().as_millisecond();
    till.switch(|switches| switches.tokens_valid_from = now_ms);
    assert_eq!(with(&bearer, KEYS.0).await, (200, invalid.clone()));
    let fresh = token(&till.client, KEYS).await;
    let fresh = format!("Bearer {}", text(&fresh, "token"));
    refused(with(&fresh, KEYS.0).await);
    till.sandbox().advance(Duration::from_secs(30 * 60));
    assert_eq!(with(&fresh, KEYS.0).await, (200, invalid));
}

#[tokio::test]
async fn an_order_is_made_and_read_back() {
    let till = Till::open().await;
    let made = till.post("/api/v0/orders", order_of("inv/1001")).await;
    let id = text(&made, "orderId");
    assert!(id.starts_with("ORD") && id.len() == 21 && text(&made, "redirectionUrl").ends_with(id), "{made}");
    let order = till.fetch(id).await;
    assert_eq!((&order["orderId"], &order["merchantOrderId"]), (&json!(id), &json!("inv/1001")));
    assert_eq!((&order["amount"], &order["currency"], &order["status"]), (&json!(499.0), &json!("INR"), &json!("CREATED")));
    assert_eq!((&order["customParameters"]["tenant"], &order["customerInfo"]["firstName"]), (&json!("t1"), &json!("Asha")));
    assert_eq!((&order["transactions"], &order["merchantIdentifierKey"]), (&json!([]), &json!("EKTEST1")));
    assert!(text(&order, "created").ends_with('Z') && text(&order, "created").len() == 20, "{order}");
    assert_eq!(till.get("/api/v0/orders/merchant/inv%2F1001").await, order);
    refused(till.send(Method::GET, "/api/v0/orders/inv%2F1001", None).await);

    till.switch(|switches| (switches.amounts_as_strings, switches.times_without_offset, switches.order_find) = (true, true, false));
    let order = till.fetch(id).await;
    assert_eq!((&order["amount"], text(&order, "orderDate").len()), (&json!("499.00"), 19));
    assert_eq!(till.send(Method::GET, "/api/v0/orders/merchant/inv%2F1001", None).await.0, 501);
}

#[tokio::test]
async fn an_order_says_exactly_how_much_in_rupees() {
    let till = Till::open().await;
    let create = async |value: &str| {
        let body = format!(r#"{{"orderId":"m","amount":{{"value":{value},"currency":"INR"}}}}"#);
        till.send(Method::POST, "/api/v0/orders", Some(&body)).await
    };
    for value in ["0", "0.001", "-1.00", "\"499.00\"", "1e2"] {
        refused(create(value).await);
    }
    for (value, printed) in [("0.29", "0.29"), ("1", "1.00"), ("8589934592.1", "8589934592.10")] {
        till.switch(|_| ());
        let made = payload(create(value).await);
        till.switch(|switches| switches.amounts_as_strings = true);
        assert_eq!(till.fetch(text(&made, "orderId")).await["amount"], printed);
    }
    till.switch(|_| ());
    for wrong in [
        json!({"orderId": "m", "amount": {"value": 1, "currency": "USD"}}),
        json!({"orderId": " ", "amount": {"value": 1, "currency": "INR"}}),
        json!({"orderId": "m", "amount": {"value": 1, "currency": "INR"}, "notifyURL": "http://127.0.0.1:1"}),
        json!({"orderId": "m", "amount": {"value": 1, "currency": "INR"}, "paymentDetail": {"ifsc": "KKBK1000432"}}),
    ] {
        refused(till.send(Method::POST, "/api/v0/orders", Some(&wrong.to_string())).await);
    }
}

#[tokio::test]
async fn a_merchants_order_id_comes_twice_in_three_ways() {
    let till = Till::open().await;
    let first = till.order("inv-1").await;
    let second = till.order("inv-1").await;
    assert_ne!(first, second);
    assert_eq!(till.get("/api/v0/orders/merchant/inv-1").await["orderId"], second.as_str());
    till.switch(|switches| switches.repeated_order = RepeatedOrder::FirstAnswered);
    assert_eq!(till.order("inv-1").await, first);
    till.switch(|switches| switches.repeated_order = RepeatedOrder::Refused);
    refused(till.send(Method::POST, "/api/v0/orders", Some(&order_of("inv-1").to_string())).await);

    till.sandbox().set_list_lag(60);
    refused(till.send(Method::GET, "/api/v0/orders/merchant/inv-1", None).await);
    assert_eq!(till.status(&first).await, "CREATED");
}

#[tokio::test]
async fn every_showing_of_an_orders_code_is_another_attempt() {
    let till = Till::open().await;
    let order = till.order("inv-1").await;
    let (first, second) = (till.qr(&order).await, till.qr(&order).await);
    assert_ne!(first["ekPayId"], second["ekPayId"]);
    assert!(text(&first, "qrUrl").starts_with("upi://pay?pa=till.enkash@examplebank&pn=till&"), "{first}");
    assert!(text(&first, "qrUrl").contains(&format!("&tr={}&", text(&first, "ekPayId"))));
    assert!(text(&first, "qrUrl").ends_with("&am=499.00&cu=INR"), "{first}");
    let picture = STANDARD.decode(text(&first, "qrCode")).unwrap();
    let reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
    assert!(reader.info().width >= 100 && reader.info().width == reader.info().height);

    let read = till.fetch(&order).await;
    assert_eq!((&read["status"], read["transactions"].as_array().unwrap().len()), (&json!("CHECKOUT_RENDERED"), 2));
    assert_eq!(read["transactions"][1]["transactionId"], second["ekPayId"]);
    let standing = till.upi_status(text(&first, "ekPayId")).await;
    assert_eq!((&standing["status"], &standing["orderId"]), (&json!("PROCESS"), &json!(order)));
    assert!(till.sandbox().payments("till").unwrap().is_empty());

    till.switch(|switches| switches.qr_url = false);
    assert_eq!(till.qr(&order).await["qrUrl"], Value::Null);
    refused(till.page("/pay/checkout/qrcode/ORD1").await);
    let links = payload(till.page(&format!("/pay/checkout/upi-detail/{}", text(&first, "ekPayId"))).await);
    assert_eq!((&links["transactionId"], &links["upi"]), (&first["ekPayId"], &first["qrUrl"]));
    assert!(text(&links, "phonepe").starts_with("phonepe://pay?pa="), "{links}");
}

#[tokio::test]
async fn a_upi_qr_code_is_made_found_paid_and_cancelled() {
    let till = Till::open().await;
    let receiver = Receiver::start_for(&till.client, "till").await;
    let body = json!({"qrName": "Counter 4", "multipleUse": true, "fixedAmount": true, "amount": 20, "customParams": {"a": "b"}});
    let code = till.post("/api/v0/qr-code", body).await;
    let id = text(&code, "qrCodeId").to_owned();
    assert_eq!((&code["status"], &code["amount"], &code["customParams"]["a"]), (&json!("ACTIVE"), &json!(20.0), &json!("b")));
    assert!(STANDARD.decode(text(&code, "qrCodeBase64")).unwrap().starts_with(b"\x89PNG"));
    assert_eq!(till.get(&format!("/api/v0/qr-code/{id}")).await, code);
    let once = till.post("/api/v0/qr-code", json!({"qrName": "Once", "expiry": "2999-01-01T00:00:00Z"})).await;
    let search = async |query: &str, body: Value| till.post(&format!("/api/v0/qr-code/search{query}"), body).await;
    assert_eq!(search("?offset=0&limit=5000", json!({})).await, json!([once, code]));
    assert_eq!(search("?offset=1&limit=1", json!({})).await, json!([code]));
    assert_eq!(search("", json!({"qrName": "Counter 4", "status": "ACTIVE", "multipleUse": true})).await, json!([code]));
    refused(till.send(Method::POST, "/api/v0/qr-code/search?limit=5001", Some("{}")).await);

    till.pay(&id, Outcome::Captured).await.unwrap();
    let paid = till.pay(&id, Outcome::Captured).await.unwrap();
    let transaction = till.get(&format!("/api/v0/payment/{paid}")).await;
    assert_eq!((&transaction["status"], &transaction["amount"]), (&json!("SUCCESS"), &json!(20.0)));
    assert_eq!(till.upi_status(&paid).await["orderId"], Value::Null);
    let pay = PayOptions { amount: Some(700), ..PayOptions::default() };
    till.sandbox().pay_qr("till", text(&once, "qrCodeId"), pay.clone()).await.unwrap();
    let again = till.sandbox().pay_qr("till", text(&once, "qrCodeId"), pay).await;
    assert!(matches!(again, Err(ControlError::WrongState { .. })), "{again:?}");

    let cancel = async || till.send(Method::PATCH, &format!("/api/v0/qr-code/{id}/cancel"), Some("{}")).await;
    assert_eq!(payload(cancel().await)["status"], "CANCELLED");
    assert_eq!(payload(cancel().await)["status"], "CANCELLED");
    till.switch(|switches| switches.cancelling_cancelled_fails = true);
    refused(cancel().await);
    assert!(matches!(till.pay(&id, Outcome::Captured).await, Err(ControlError::WrongState { .. })));
    assert!(till.sandbox().deliveries().is_empty() && receiver.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_sources_leave_out_is_not_served() {
    let till = Till::open().await;
    for path in ["/api/v0/refund/enquiry", "/api/v0/payment/submit", "/pay/charge/process", "/x", ""] {
        let (status, body) = till.send(Method::POST, path, Some("{}")).await;
        assert_eq!((status, &body["response_code"]), (501, &json!(501)), "{path}: {body}");
    }
    let order = till.order("inv-1").await;
    till.switch(|switches| (switches.unheard_statuses, switches.failure_status, switches.failure_code) = (true, 400, 9));
    assert!(!["CREATED", "PAID"].contains(&till.status(&order).await.as_str()));
    let (status, body) = till.send(Method::GET, "/api/v0/orders/ORD1", None).await;
    assert_eq!((status, &body["response_code"]), (400, &json!(9)));
    till.switch(|switches| switches.without_payload = true);
    let bare = till.send(Method::GET, &format!("/api/v0/orders/{order}"), None).await;
    assert_eq!(bare, (200, json!({"response_code": 0, "response_message": "Success"})));
}

#[tokio::test]
async fn a_token_and_an_order_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig { state_file: Some(folder.path().join("sandbox.json")), ..config() };
    let till = Till::open_with(start_with(config.clone()).await).await;
    let order = till.order("inv-1").await;
    let qr = till.qr(&order).await;
    till.pay(text(&qr, "qrUrl"), Outcome::Captured).await.unwrap();
    let before = till.fetch(&order).await;
    till.sandbox().stop().await;
    let again = Till { client: start_with(config).await, token: till.token };
    assert_eq!(again.fetch(&order).await, before);
}
