//! Refunds at Razorpay: asked for, repeated, ended.

use super::*;

const STEP: Duration = Duration::from_secs(31);
const KEY: &str = "refund-381-1";

impl Client {
    /// A captured payment of 450 rupees.
    async fn captured(&self) -> String {
        let qr = self.qr().await;
        text(&self.pay(&qr, Outcome::Captured).await, "id").to_owned()
    }

    async fn refund(&self, payment: &str, body: Value) -> (u16, Value) {
        self.post(&format!("/payments/{payment}/refund"), body).await
    }

    /// Under an idempotency key; the answer as it came.
    async fn refund_under(&self, key: &str, payment: &str, body: &Value) -> (u16, String) {
        let url = format!("{}/v1/payments/{payment}/refund", self.sandbox.razorpay_url());
        let request = self.http.post(url).basic_auth("rzp_test_shop", Some("secret")).header("X-Refund-Idempotency", key);
        let response = request.json(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn read(&self, refund: &Value) -> Value {
        self.get(&format!("/refunds/{}", text(refund, "id"))).await.1
    }

    /// What a payment says of its refunds.
    async fn refunded(&self, payment: &str) -> (Value, Value, Value) {
        let payment = self.get(&format!("/payments/{payment}")).await.1;
        (payment["amount_refunded"].clone(), payment["refund_status"].clone(), payment["status"].clone())
    }
}

fn told(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_part_and_then_the_rest_are_pending_and_then_processed() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    let payment = client.captured().await;
    receiver.wait_for(4).await;
    let body = json!({"amount": 12_000, "speed": "normal", "receipt": "rf-381-1", "notes": {"reason": "damaged"}});
    let (status, part) = client.refund(&payment, body).await;
    assert_eq!(status, 200, "{part}");
    let expected = json!({
        "id": part["id"], "entity": "refund", "amount": 12_000, "currency": "INR", "payment_id": payment,
        "notes": {"reason": "damaged"}, "receipt": "rf-381-1", "acquirer_data": {"rrn": null},
        "created_at": part["created_at"], "batch_id": null, "status": "pending", "speed_processed": "normal",
        "speed_requested": "normal"
    });
    assert_eq!(part, expected);
    assert!(text(&part, "id").starts_with("rfnd_"));
    assert_eq!(client.refunded(&payment).await, (json!(12_000), json!("partial"), json!("captured")));
    let created = receiver.wait_for(5).await[4].clone();
    let body = created.json();
    assert_eq!((&body["event"], &body["contains"]), (&json!("refund.created"), &json!(["refund", "payment"])));
    assert_eq!(body["payload"]["refund"]["entity"], part);
    assert_eq!(body["payload"]["payment"]["entity"]["amount_refunded"], 12_000);
    assert!(created.body.starts_with(r#"{"account_id":"acc_"#), "keys in order: {}", created.body);

    client.sandbox.advance(STEP);
    let processed = client.read(&part).await;
    assert_eq!((&processed["status"], &processed["acquirer_data"]["rrn"]), (&json!("processed"), &Value::Null));
    assert_eq!(receiver.wait_for(6).await[5].event(), "refund.processed");
    client.sandbox.advance(2 * STEP);
    assert_eq!(text(&client.read(&part).await["acquirer_data"], "rrn").len(), 12);

    let (status, rest) = client.send(Method::POST, &format!("/payments/{payment}/refund"), None).await.unwrap();
    assert_eq!((status, &rest["amount"], &rest["receipt"], &rest["notes"]), (200, &json!(33_000), &Value::Null, &json!([])));
    assert_eq!(client.refunded(&payment).await, (json!(45_000), json!("full"), json!("refunded")));
    let (_, list) = client.get(&format!("/payments/{payment}/refunds")).await;
    assert_eq!((&list["items"][0], &list["items"][1]["id"]), (&rest, &part["id"]));
    assert_eq!(client.sandbox.refunds("shop").unwrap(), list["items"].as_array().unwrap().clone());
}

#[tokio::test]
async fn what_may_not_go_back_is_refused_with_the_documented_texts() {
    let client = start().await;
    let payment = client.captured().await;
    let authorized = client.pay(&client.qr().await, Outcome::Authorized).await;
    for (id, body, expected) in [
        (payment.as_str(), json!({"amount": 45_001}), "The refund amount provided is greater than amount captured"),
        (&payment, json!({"amount": 0}), "Amount cannot be blank."),
        (&payment, json!({"amount": 99}), "The amount must be at least INR 1.00"),
        (&payment, json!({"amount": -100}), "The amount must be at least INR 1.00"),
        (&payment, json!({"amount": "100"}), "The amount must be an integer."),
        (&payment, json!({"amount": 100.5}), "The amount must be an integer."),
        (&payment, json!({"speed": "instant"}), "The selected speed is invalid."),
        (&payment, json!({"notes": {"a": "x".repeat(600)}}), "Notes validation failed."),
        (&payment, json!({"colour": "red"}), "colour is/are not required and should not be sent"),
        ("pay_1", json!({}), "pay_1 is not a valid id"),
        ("pay_00000000000000", json!({}), "The id provided does not exist"),
        (text(&authorized, "id"), json!({}), "The payment status should be captured for action to be taken."),
    ] {
        let (status, error) = client.refund(id, body.clone()).await;
        assert_eq!((status, description(&error)), (400, expected), "{body}");
        assert_eq!(error["error"]["code"], "BAD_REQUEST_ERROR");
    }
    client.switch(|switches| switches.balance = Some(20_000));
    let (status, error) = client.refund(&payment, json!({"amount": 20_001})).await;
    let poor = "Your account does not have enough balance to carry out the refund operation.";
    assert_eq!((status, description(&error), &error["error"]["reason"]), (400, poor, &json!("NA")));
    client.switch(|_| ());
    assert_eq!(client.refund(&payment, json!({})).await.0, 200);
    let (status, error) = client.refund(&payment, json!({"amount": 100})).await;
    assert_eq!((status, description(&error)), (400, "The payment has been fully refunded already"));
    assert_eq!(client.sandbox.refunds("shop").unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_brings_the_first_answer_byte_for_byte() {
    let client = start().await;
    let payment = client.captured().await;
    let other = client.captured().await;
    let body = json!({"amount": 100, "receipt": "r1"});
    for (key, expected) in [
        ("short", "The idempotency key must be at least 10 characters long."),
        ("no blanks here", "The idempotency key must only contain alphanumeric characters, underscores, and hyphens"),
    ] {
        let (status, error) = client.refund_under(key, &payment, &body).await;
        assert_eq!((status, description(&told(&error))), (400, expected));
    }
    // A refusal is not kept.
    assert_eq!(client.refund_under(KEY, &payment, &json!({"amount": 99_999})).await.0, 400);
    let first = client.refund_under(KEY, &payment, &body).await;
    assert_eq!(first.0, 200);
    client.sandbox.advance(400 * 24 * 60 * 2 * STEP);
    assert_eq!(client.read(&told(&first.1)).await["status"], "processed");
    assert_eq!(client.refund_under(KEY, &payment, &body).await, first);
    for (payment, body) in [(&payment, json!({"amount": 101, "receipt": "r1"})), (&payment, json!({"amount": 100})), (&other, body.clone())]
    {
        let (status, error) = client.refund_under(KEY, payment, &body).await;
        let expected = "Different request with the same idempotency key has already been processed.";
        assert_eq!((status, description(&told(&error))), (409, expected), "{body}");
    }
    let (status, error) = client.refund(&payment, body.clone()).await;
    let duplicate = "Duplicate receipt found for this refund request.";
    assert_eq!((status, description(&error)), (400, duplicate));
    assert_eq!(client.refund(&other, body.clone()).await.0, 200, "a receipt is a payment's own");

    client.switch(|switches| switches.receipt_wins = true);
    let (status, error) = client.refund_under(KEY, &payment, &body).await;
    assert_eq!((status, description(&told(&error))), (400, duplicate));
    client.switch(|switches| switches.refund_keys_last_s = Some(60));
    assert_eq!(client.refund_under(KEY, &payment, &json!({"amount": 200})).await.0, 200, "the key is forgotten");
    assert_eq!(client.sandbox.refunds("shop").unwrap().len(), 3);
}

#[tokio::test]
async fn many_at_once_never_give_back_more_than_was_paid() {
    let client = Arc::new(start().await);
    let payment = client.captured().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (client, payment) = (client.clone(), payment.clone());
        tasks.spawn(async move { client.refund(&payment, json!({"amount": 1_000})).await.0 });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 45);
    assert_eq!(client.refunded(&payment).await, (json!(45_000), json!("full"), json!("refunded")));
    let given: i64 = client.sandbox.refunds("shop").unwrap().iter().map(|refund| refund["amount"].as_i64().unwrap()).sum();
    assert_eq!(given, 45_000);
}

#[tokio::test]
async fn an_instant_refund_is_done_at_once_or_slows_down() {
    let client = start().await;
    let payment = client.captured().await;
    let optimum = json!({"amount": 1_000, "speed": "optimum"});
    let (_, instant) = client.refund(&payment, optimum.clone()).await;
    let speeds = |refund: &Value| (refund["status"].clone(), refund["speed_requested"].clone(), refund["speed_processed"].clone());
    assert_eq!(speeds(&instant), (json!("processed"), json!("optimum"), json!("instant")));

    let receiver = Receiver::start(&client).await;
    client.switch(|switches| (switches.instant_falls_back, switches.speed_changed_at_inside) = (true, true));
    let (_, slow) = client.refund(&payment, optimum).await;
    assert_eq!(speeds(&slow), (json!("pending"), json!("optimum"), json!("instant")));
    client.sandbox.advance(STEP);
    assert_eq!(speeds(&client.read(&slow).await), (json!("pending"), json!("optimum"), json!("normal")));
    let changed = receiver.wait_for(2).await[1].json();
    assert_eq!(changed["event"], "refund.speed_changed");
    assert!(changed["payload"]["created_at"].is_i64() && changed.get("created_at").is_none(), "{changed}");
    client.sandbox.advance(STEP);
    assert_eq!(client.read(&slow).await["status"], "processed");
    assert_eq!(receiver.events(3).await, ["refund.created", "refund.processed", "refund.speed_changed"]);
}

#[tokio::test]
async fn refunds_wait_to_be_told_and_a_failed_one_counts_no_more() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    let payment = client.captured().await;
    client.switch(|switches| (switches.refunds, switches.refund_rrn) = (RefundCourse::WhenTold, RefundRrn::AtOnce));
    let (_, full) = client.refund(&payment, json!({"speed": "optimum"})).await;
    client.sandbox.advance(Duration::from_secs(86_400));
    assert_eq!(client.read(&full).await["status"], "pending");
    let end = async |refund: &Value, how: &str| {
        client.control(Method::POST, "/razorpay/shop/end_refund", json!({"refund_id": refund["id"], "how": how})).await.0
    };
    assert_eq!((end(&full, "slow_down").await, end(&full, "slow_down").await), (200, 409));
    assert_eq!(end(&full, "failed").await, 200);
    assert_eq!(client.refunded(&payment).await, (json!(0), Value::Null, json!("captured")));
    let (_, half) = client.refund(&payment, json!({"amount": 20_000})).await;
    assert_eq!(end(&full, "processed").await, 409, "there is no room for it again");
    assert_eq!((end(&half, "failed").await, end(&full, "processed").await), (200, 200));
    assert_eq!(text(&client.read(&full).await["acquirer_data"], "rrn").len(), 12);
    assert_eq!(client.refunded(&payment).await, (json!(45_000), json!("full"), json!("refunded")));
    assert_eq!((end(&full, "failed").await, end(&half, "processed").await), (409, 409));
    let mut events = receiver.events(10).await;
    events.retain(|event| event.starts_with("refund."));
    let told = ["refund.created", "refund.created", "refund.failed", "refund.failed", "refund.processed", "refund.speed_changed"];
    assert_eq!(events, told);

    let second = client.captured().await;
    let stays = |switches: &mut Switches| (switches.refunds, switches.amount_refunded_stays) = (RefundCourse::WhenTold, true);
    client.switch(stays);
    let (_, refund) = client.refund(&second, json!({"amount": 20_000})).await;
    client.sandbox.end_refund("shop", text(&refund, "id"), RefundEnd::Failed).await.unwrap();
    assert_eq!(client.refunded(&second).await, (json!(20_000), json!("partial"), json!("captured")));
}

#[tokio::test]
async fn an_old_payments_refund_fails_or_is_refused() {
    let client = start().await;
    let payment = client.captured().await;
    client.sandbox.advance(Duration::from_secs(200 * 86_400));
    client.switch(|switches| switches.refunds = RefundCourse::AtOnce);
    let (_, refund) = client.refund(&payment, json!({"amount": 1_000})).await;
    assert_eq!(refund["status"], "pending");
    client.sandbox.advance(STEP);
    assert_eq!(client.read(&refund).await["status"], "failed");
    assert_eq!(client.refunded(&payment).await.0, 0);
    client.switch(|switches| switches.old_refunds_refused = true);
    let (status, error) = client.refund(&payment, json!({"amount": 1_000})).await;
    let expected = "Refund is not supported by the bank because the payment is more than 6 months old";
    assert_eq!((status, description(&error)), (400, expected));
    let error = error["error"].as_object().unwrap();
    assert!(["source", "step", "reason"].iter().all(|name| error[*name].is_null()), "{error:?}");
    assert_eq!(client.refund(&payment, json!({"amount": 1_000, "speed": "optimum"})).await.1["status"], "processed");
}

#[tokio::test]
async fn the_dashboard_refunds_too() {
    let client = start().await;
    let payment = client.captured().await;
    let refund = async |body: Value| client.control(Method::POST, "/razorpay/shop/refund", body).await;
    assert_eq!(refund(json!({"payment_id": payment, "amount": 45_001})).await.0, 409);
    let (status, made) = refund(json!({"payment_id": payment, "amount": 50})).await;
    assert_eq!(status, 200);
    client.switch(|switches| switches.refunds = RefundCourse::AtOnce);
    let made = client.get(&format!("/refunds/{}", text(&made, "refund_id"))).await.1;
    assert_eq!((&made["status"], &made["amount"], &made["receipt"]), (&json!("pending"), &json!(50), &Value::Null));
    let rest = client.sandbox.refund_payment("shop", &payment, None).await.unwrap().unwrap();
    let (_, rest) = client.get(&format!("/refunds/{rest}")).await;
    assert_eq!((&rest["status"], &rest["amount"]), (&json!("processed"), &json!(44_950)));
    let (_, all) = client.control(Method::GET, "/razorpay/shop/refunds", Value::Null).await;
    assert_eq!(all["items"][0], rest);
    assert_eq!(client.control(Method::GET, "/oqpay/stall/refunds", Value::Null).await.0, 400);
}
