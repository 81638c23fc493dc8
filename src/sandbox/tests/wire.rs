//! Requests and answers: what is accepted, how it is printed, how it is refused.

use super::*;

#[tokio::test]
async fn a_code_is_created_fetched_listed_and_closed() {
    let client = start().await;
    let qr = client.qr().await;
    assert!(razorpay_id(text(&qr, "id"), "qr_"), "{qr}");
    assert_eq!((&qr["status"], &qr["usage"]), (&json!("active"), &json!("single_use")));
    assert!(qr.get("closed_at").is_none(), "the answer to a creation lacks it");
    let content = text(&qr, "image_content");
    assert!(content.starts_with("upi://pay?ver=01&mode=15&pa=shop.rzp@examplebank&pn=shop&mc=5411&tr=RZP"), "{content}");
    assert!(content.contains("qrv2&cu=INR&am=450.00&tn=Bill%20381&"), "{content}");

    let fetched = client.fetch(&qr).await;
    assert_eq!((&fetched["closed_at"], &fetched["close_reason"]), (&Value::Null, &Value::Null));
    let (_, list) = client.get("/payments/qr_codes?count=5").await;
    assert_eq!((&list["entity"], &list["count"]), (&json!("collection"), &json!(1)));
    assert_eq!(list["items"][0], fetched);

    let path = format!("/payments/qr_codes/{}/close", text(&qr, "id"));
    let (status, closed) = client.send(Method::POST, &path, None).await.unwrap();
    assert_eq!((status, &closed["close_reason"]), (200, &json!("on_demand")));
    assert_eq!(client.send(Method::POST, &path, None).await.unwrap().0, 400);
    client.sandbox.switches(Switches { closing_closed_succeeds: true, ..Switches::default() });
    assert_eq!(client.send(Method::POST, &path, None).await.unwrap(), (200, closed));
}

#[tokio::test]
async fn wrong_requests_are_refused_with_the_documented_texts() {
    let client = start().await;
    let qr = |change: Value| {
        let mut body = fixed_qr();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        ("/payments/qr_codes", body)
    };
    let order = |body: Value| ("/orders", body);
    let soon = client.sandbox.now().as_second() + 60;
    for ((path, body), expected) in [
        (qr(json!({"colour": "red"})), "colour is/are not required and should not be sent"),
        (qr(json!({"type": "paper"})), "The selected type is invalid."),
        (qr(json!({"usage": "single_payment"})), "The selected usage is invalid."),
        (qr(json!({"fixed_amount": false})), "The selected fixed amount is invalid."),
        (qr(json!({"payment_amount": null})), "The payment amount is required."),
        (qr(json!({"payment_amount": 0})), "The payment amount must be at least 1."),
        (qr(json!({"payment_amount": 1.5})), "The payment amount must be an integer."),
        (qr(json!({"customer_id": "cust_1"})), "cust_1 is not a valid id"),
        (qr(json!({"customer_id": "cust_00000000000000"})), "The id provided does not exist"),
        (qr(json!({"close_by": 5})), "close_by must be between 946684800 and 4765046400"),
        (qr(json!({"close_by": soon})), "close_by should be at least 2 minutes after current time"),
        (qr(json!({"usage": "multiple_use", "close_by": soon + 600})), "close_by is/are not required and should not be sent"),
        (qr(json!({"notes": {"a": "x".repeat(257)}})), "Notes value cannot be greater than 256 characters."),
        (order(json!({"currency": "INR"})), "The amount field is required."),
        (order(json!({"amount": 99, "currency": "INR"})), "The amount must be at least INR 1.00"),
        (order(json!({"amount": "500", "currency": "INR"})), "The amount must be an integer."),
        (order(json!({"amount": 500, "currency": 5})), "expected string but provided 5"),
    ] {
        let (status, error) = client.post(path, body.clone()).await;
        assert_eq!((status, description(&error)), (400, expected), "{body}");
        assert_eq!(error["error"]["code"], "BAD_REQUEST_ERROR");
    }
    for (path, expected) in [
        ("/payments/qr_codes/qr_x", "qr_x is not a valid id"),
        ("/payments/qr_codes/qr_00000000000000", "The id provided does not exist"),
        ("/payments/qr_codes?count=0", "The count must be at least 1."),
        ("/payments/qr_codes?count=101", "The count may not be greater than 100."),
        ("/payments?count=x", "The count must be an integer."),
        ("/payments?skip=-1", "The skip must be at least 0."),
        ("/payments?from=1", "from must be between 946684800 and 4765046400"),
        ("/payments?colour=red", "colour is/are not required and should not be sent"),
        ("/paymints/x", "The requested URL was not found on the server."),
    ] {
        let (status, error) = client.get(path).await;
        assert_eq!((status, description(&error)), (400, expected), "{path}");
    }
    assert!(client.sandbox.qr_codes("shop").unwrap().is_empty());
    let (status, error) = client.post("/orders", json!({"amount": 500, "currency": "INR", "receipt": "🙂"})).await;
    assert_eq!((status, &error["error"]["code"]), (500, &json!("SERVER_ERROR")));
}

#[tokio::test]
async fn only_the_exact_scheme_and_key_are_let_in() {
    let client = start().await;
    let url = format!("{}/v1/payments", client.sandbox.razorpay_url());
    let good = "cnpwX3Rlc3Rfc2hvcDpzZWNyZXQ=";
    for (header, expected) in [
        (None, (401, "Authentication failed")),
        (Some(format!("basic {good}")), (401, "Authentication failed")),
        (Some(format!("Basic \"{good}\"")), (401, "Authentication failed")),
        (Some("Basic cnpwX3Rlc3RfbmV3OnNlY3JldA==".to_owned()), (401, "The api key provided is invalid")),
        (Some("Basic cnpwX3Rlc3Rfc2hvcDp3cm9uZw==".to_owned()), (401, "The api secret provided is invalid")),
    ] {
        let mut request = client.http.get(&url);
        if let Some(header) = &header {
            request = request.header("authorization", header);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let error: Value = response.json().await.unwrap();
        assert_eq!((status, description(&error)), expected, "{header:?}");
        assert_eq!(error["error"]["reason"], "NA");
    }
    let request = client.http.get(&url).header("authorization", format!("Basic {good}"));
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn another_accounts_codes_do_not_exist() {
    let client = start().await;
    let qr = client.qr().await;
    let url = format!("{}/v1/payments/qr_codes/{}", client.sandbox.razorpay_url(), text(&qr, "id"));
    let response = client.http.get(url).basic_auth("rzp_test_other", Some("secret")).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(description(&response.json().await.unwrap()), "The id provided does not exist");
}

#[tokio::test]
async fn a_refund_is_read_by_itself_and_through_its_payment() {
    let client = start().await;
    let qr = client.qr().await;
    let kept = client.pay(&qr, Outcome::Captured).await;
    // The code is closed by the first payment, so the second is given back.
    let back = client.pay(&qr, Outcome::Captured).await;
    let (kept, back) = (text(&kept, "id"), text(&back, "id"));

    let (_, all) = client.get("/refunds").await;
    let refund = &all["items"][0];
    let told = (&all["count"], &refund["entity"], &refund["payment_id"], &refund["amount"], &refund["status"]);
    assert_eq!(told, (&json!(1), &json!("refund"), &json!(back), &json!(45_000), &json!("processed")));
    let id = text(refund, "id");
    for path in [format!("/refunds/{id}"), format!("/payments/{back}/refunds/{id}")] {
        assert_eq!(client.get(&path).await, (200, refund.clone()), "{path}");
    }
    assert_eq!(client.get(&format!("/payments/{back}/refunds")).await, (200, all.clone()));
    assert_eq!(client.get(&format!("/payments/{kept}/refunds")).await.1["items"], json!([]));
    assert_eq!(client.get("/refunds?skip=1").await.1["items"], json!([]));

    let refused = [
        (format!("/payments/{kept}/refunds/{id}"), "The id provided does not exist"),
        ("/payments/pay_00000000000000/refunds".to_owned(), "The id provided does not exist"),
        ("/refunds/rfnd_00000000000000".to_owned(), "The id provided does not exist"),
        (format!("/refunds/{back}"), &format!("{back} is not a valid id")),
        (format!("/refunds/{id}?colour=red"), "colour is/are not required and should not be sent"),
        ("/refunds?count=101".to_owned(), "The count may not be greater than 100."),
    ];
    for (path, expected) in refused {
        let (status, error) = client.get(&path).await;
        assert_eq!((status, description(&error)), (400, expected), "{path}");
    }
}

#[tokio::test]
async fn a_payment_is_found_through_its_code_and_the_code_through_its_payment() {
    let client = start().await;
    let (_, customer) = client.post("/customers", json!({"name": "Asha Rao", "contact": "+919000000001"})).await;
    let mut body = fixed_qr();
    body["customer_id"] = customer["id"].clone();
    let (_, qr) = client.post("/payments/qr_codes", body).await;
    let pay = client.sandbox.pay_qr("shop", text(&qr, "image_content"), PayOptions::default()).await.unwrap();

    let (_, payment) = client.get(&format!("/payments/{pay}")).await;
    assert_eq!((&payment["status"], &payment["amount"], &payment["fee"]), (&json!("captured"), &json!(45_000), &json!(0)));
    assert_eq!((&payment["description"], &payment["order_id"]), (&json!("QRv2 Payment"), &Value::Null));
    let rrn = text(&payment["acquirer_data"], "rrn");
    assert!(rrn.len() == 12 && rrn.bytes().all(|byte| byte.is_ascii_digit()), "{rrn}");

    let (_, list) = client.get(&format!("/payments/qr_codes/{}/payments", text(&qr, "id"))).await;
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["notes"]), (&json!(pay), &json!([])));
    let (_, paid) = client.get(&format!("/payments/qr_codes?payment_id={pay}")).await;
    assert_eq!((&paid["count"], &paid["items"][0]["close_reason"]), (&json!(1), &json!("paid")));
    assert_eq!(paid["items"][0]["payments_amount_received"], 45_000);
    let (_, theirs) = client.get(&format!("/payments/qr_codes?customer_id={}", text(&customer, "id"))).await;
    assert_eq!(theirs["count"], 1);
    let (_, none) = client.get("/payments/qr_codes?payment_id=pay_00000000000000").await;
    assert_eq!(none["count"], 0);
}

#[tokio::test]
async fn a_payer_cannot_pay_another_amount_than_a_fixed_one() {
    let client = start().await;
    let qr = client.qr().await;
    let less = PayOptions { amount: Some(44_999), ..PayOptions::default() };
    let refused = client.sandbox.pay_qr("shop", text(&qr, "id"), less.clone()).await;
    assert!(matches!(refused, Err(ControlError::WrongAmount { expected: 45_000, .. })), "{refused:?}");
    let forced = PayOptions { any_amount: true, ..less };
    assert!(client.sandbox.pay_qr("shop", text(&qr, "id"), forced).await.is_ok());
}

#[tokio::test]
async fn an_order_is_paid_once_and_captured_by_hand() {
    let client = start().await;
    let body = json!({"amount": 45_000, "currency": "INR", "receipt": "r1", "unique_receipt": true, "payment_capture": 0});
    let (_, order) = client.post("/orders", body.clone()).await;
    let (_, again) = client.post("/orders", body).await;
    assert_eq!(order, again);
    let id = text(&order, "id");
    let failing = PayOptions { outcome: Outcome::Failed, ..PayOptions::default() };
    client.sandbox.pay_order("shop", id, failing).await.unwrap();
    assert_eq!(client.get(&format!("/orders/{id}")).await.1["status"], "attempted");
    let pay = client.sandbox.pay_order("shop", id, PayOptions::default()).await.unwrap();

    let capture = format!("/payments/{pay}/capture");
    let (status, error) = client.post(&capture, json!({"amount": 1, "currency": "INR"})).await;
    assert_eq!((status, description(&error)), (400, "Capture amount must be equal to the amount authorized"));
    let (status, payment) = client.post(&capture, json!({"amount": 45_000, "currency": "INR"})).await;
    assert_eq!((status, &payment["fee"], &payment["tax"]), (200, &json!(1_062), &json!(162)));
    assert_eq!(client.post(&capture, json!({"amount": 45_000, "currency": "INR"})).await.0, 400);
    let (_, paid) = client.get("/orders?receipt=r1&expand[]=payments").await;
    assert_eq!((&paid["items"][0]["status"], &paid["items"][0]["payments"]["count"]), (&json!("paid"), &json!(2)));
    assert_eq!(client.get(&format!("/orders/{id}/payments")).await.1["count"], 2);
}

#[tokio::test]
async fn pages_come_newest_first() {
    let client = start().await;
    for _ in 0..3 {
        client.qr().await;
        client.sandbox.advance(Duration::from_secs(10));
    }
    let (_, all) = client.get("/payments/qr_codes").await;
    let (_, page) = client.get("/payments/qr_codes?count=1&skip=1").await;
    assert_eq!((&all["count"], &page["items"][0]), (&json!(3), &all["items"][1]));
    assert!(all["items"][0]["created_at"].as_i64() > all["items"][2]["created_at"].as_i64());
    let from = all["items"][1]["created_at"].as_i64().unwrap();
    let (_, window) = client.get(&format!("/payments/qr_codes?from={from}&to={from}")).await;
    assert_eq!((&window["count"], &window["items"][0]), (&json!(1), &all["items"][1]));
}

#[tokio::test]
async fn bare_addresses_and_trailing_slashes_are_served_too() {
    let client = start().await;
    let url = format!("http://{}/v1/payments/", client.sandbox.address());
    let response = client.http.get(url).basic_auth("rzp_test_shop", Some("secret")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let qr = client.qr().await;
    let picture = client.http.get(text(&qr, "image_url")).send().await.unwrap();
    assert_eq!((picture.status().as_u16(), &picture.headers()["content-type"]), (200, &"image/svg+xml".parse().unwrap()));
}

fn razorpay_id(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| rest.len() == 14 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}
