//! Debits: told of, collected, failed, late, and what the bank and the mandate don't let through.

use jiff::civil::time;

use super::*;

impl Client {
    /// The order of a debit, with which the payer is told of it.
    pub(super) async fn debit_order(&self, mandate: &Mandate, amount: i64) -> Value {
        let payment_after = self.sandbox.now().as_second() + 25 * 3_600;
        let body = json!({
            "amount": amount, "currency": "INR", "payment_capture": true, "receipt": "gold-2026-02",
            "notification": {"token_id": mandate.token, "payment_after": payment_after}, "notes": {"cycle": "2026-02"}
        });
        let (status, order) = self.post("/orders", body).await;
        assert_eq!(status, 200, "{order}");
        order
    }

    /// The same, a day after the payer was told.
    async fn due_order(&self, mandate: &Mandate) -> Value {
        let order = self.debit_order(mandate, 99_900).await;
        self.sandbox.advance(A_DAY + STEP);
        order
    }

    /// Answers the payment's id.
    pub(super) async fn debit(&self, mandate: &Mandate, order: &Value) -> String {
        let (status, made) = self.post("/payments/create/recurring", debit(mandate, order)).await;
        assert_eq!((status, &made["razorpay_order_id"]), (200, &order["id"]), "{made}");
        text(&made, "razorpay_payment_id").to_owned()
    }

    /// The debit's status and error, half a minute later.
    async fn outcome(&self, payment: &str) -> (String, Value) {
        assert_eq!(self.payment(payment).await["status"], "created");
        self.sandbox.advance(STEP);
        let payment = self.payment(payment).await;
        (text(&payment, "status").to_owned(), payment["error_reason"].clone())
    }

    async fn end(&self, debit: &str, how: DebitEnd) -> Result<(), ControlError> {
        self.sandbox.end_debit("shop", debit, how).await
    }
}

pub(super) fn debit(mandate: &Mandate, order: &Value) -> Value {
    json!({
        "email": "asha.rao@example.com", "contact": "+919000000001", "amount": order["amount"], "currency": "INR",
        "order_id": order["id"], "customer_id": mandate.customer, "token": mandate.token, "recurring": true,
        "description": "Gold, February", "notes": {"debit": "d-1"}
    })
}

fn failed(reason: &str) -> (String, Value) {
    ("failed".to_owned(), json!(reason))
}

fn captured() -> (String, Value) {
    ("captured".to_owned(), Value::Null)
}

fn no_funds() -> DebitEnd {
    DebitEnd::Failed { reason: "insufficient_funds".to_owned() }
}

#[tokio::test]
async fn a_debit_is_told_of_and_collected() {
    let client = start().await;
    let mandate = client.token().await;
    let receiver = Receiver::start(&client).await;
    let order = client.debit_order(&mandate, 99_900).await;
    let notice = &order["notification"];
    let expected = json!({"token_id": mandate.token, "payment_after": notice["payment_after"], "id": notice["id"]});
    assert_eq!(notice, &expected);
    assert!(text(notice, "id").starts_with("notification_") && text(notice, "id").len() == 27, "{notice}");
    client.sandbox.advance(STEP);
    let delivered = client.order(&order).await["notification"].clone();
    assert_eq!(delivered["status"], "delivered");
    let told_at = delivered["delivered_at"].as_i64().unwrap();
    assert!((29..=31).contains(&(told_at - order["created_at"].as_i64().unwrap())), "{delivered}");
    let event = receiver.wait_for(1).await[0].json();
    assert_like(&event, include_str!("../../../../tests/golden/razorpay/event.order.notification.delivered.json"));
    let entity = &event["payload"]["notification"]["entity"];
    assert_eq!((&entity["id"], &entity["order_id"]), (&notice["id"], &order["id"]));
    assert_eq!((&entity["delivered_at"], &entity["status"]), (&json!(told_at), &json!("delivered")));

    client.sandbox.advance(A_DAY);
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, captured());
    assert_eq!(receiver.events(4).await, ["order.notification.delivered", "order.paid", "payment.authorized", "payment.captured"]);
    let paid = client.payment(&payment).await;
    let expected = json!({
        "amount": 99_900, "order_id": order["id"], "customer_id": mandate.customer, "token_id": mandate.token,
        "notes": {"debit": "d-1"}, "description": "Gold, February", "vpa": "asha.rao@examplebank", "captured": true,
        "fee": 2_357, "tax": 359
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&paid[field], value, "{field}");
    }
    let order_paid = told(&receiver.wait_for(4).await, "order.paid");
    assert_eq!(order_paid["payload"]["payment"]["entity"]["token_id"], json!(mandate.token));
    assert_eq!(order_paid["payload"]["order"]["entity"]["notification"]["status"], "delivered");

    let (status, error) = client.post("/payments/create/recurring", debit(&mandate, &order)).await;
    assert!(status == 400 && description(&error).contains("the order is already paid"), "{error}");
    let (status, refund) = client.post(&format!("/payments/{payment}/refund"), json!({"amount": 9_900})).await;
    assert_eq!((status, &refund["status"]), (200, &json!("pending")));
    client.sandbox.advance(7 * A_DAY);
    let (_, settlements) = client.get("/settlements").await;
    let settled: i64 = settlements["items"].as_array().unwrap().iter().map(|one| one["amount"].as_i64().unwrap()).sum();
    // The authorisation costs two paise and nothing on them.
    assert_eq!(settled, (100 - 2) + (99_900 - 2_357) - 9_900);
}

#[tokio::test]
async fn a_notice_without_a_time_is_for_an_hour_after_the_day() {
    let client = start().await;
    let mandate = client.token().await;
    let body = json!({"amount": 100, "currency": "INR", "notification": {"token_id": mandate.token}});
    let (_, order) = client.post("/orders", body).await;
    assert_eq!(order["notification"]["payment_after"], Value::Null);
    client.sandbox.advance(STEP);
    let notice = client.order(&order).await["notification"].clone();
    let told_at = notice["delivered_at"].as_i64().unwrap();
    assert_eq!(notice["payment_after"], told_at + 25 * 3_600);
}

#[tokio::test]
async fn a_debit_without_a_notice_that_came_a_day_before_fails() {
    let client = start().await;
    let mandate = client.token().await;
    let early = failed("pre_debit_notification_failed");
    let order = client.debit_order(&mandate, 99_900).await;
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, early, "not delivered yet when it was asked for");
    client.sandbox.advance(A_DAY - 2 * STEP);
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, early, "a little less than a day");
    client.sandbox.advance(STEP);
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, captured());

    client.switch(|switches| switches.mandates.notices = NoticeCourse::Fail);
    let receiver = Receiver::start(&client).await;
    let order = client.due_order(&mandate).await;
    let notice = client.order(&order).await["notification"].clone();
    assert_eq!((&notice["status"], &notice["delivered_at"]), (&json!("failed"), &Value::Null));
    let event = told(&receiver.wait_for(1).await, "order.notification.failed");
    assert_like(&event, include_str!("../../../../tests/golden/razorpay/event.order.notification.failed.json"));
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, early);
}

#[tokio::test]
async fn the_switch_puts_a_notices_time_inside() {
    let client = start().await;
    let mandate = client.token().await;
    client.switch(|switches| switches.speed_changed_at_inside = true);
    let receiver = Receiver::start(&client).await;
    client.debit_order(&mandate, 100).await;
    client.sandbox.advance(STEP);
    let event = receiver.wait_for(1).await[0].json();
    assert!(event.get("created_at").is_none() && event["payload"]["created_at"].is_i64(), "{event}");
}

#[tokio::test]
async fn a_debit_that_failed_is_collected_late() {
    let client = start().await;
    let mandate = client.token().await;
    client.switch(|switches| switches.mandates.debits = DebitCourse::Fail { reason: "bank_not_available".to_owned() });
    let order = client.due_order(&mandate).await;
    let payment = client.debit(&mandate, &order).await;
    let receiver = Receiver::start(&client).await;
    assert_eq!(client.outcome(&payment).await, failed("bank_not_available"));
    assert_eq!(client.payment(&payment).await["error_code"], "GATEWAY_ERROR");
    client.sandbox.advance(A_DAY);
    client.end(&payment, DebitEnd::Collected).await.unwrap();
    assert_eq!(receiver.events(4).await, ["order.paid", "payment.authorized", "payment.captured", "payment.failed"]);
    let late = client.payment(&payment).await;
    assert_eq!((&late["status"], &late["error_reason"]), (&json!("captured"), &Value::Null));
    assert!(client.end(&payment, no_funds()).await.is_err(), "it is at its end");

    let order = client.due_order(&mandate).await;
    let payment = client.debit(&mandate, &order).await;
    client.sandbox.advance(4 * A_DAY);
    let late = client.end(&payment, DebitEnd::Collected).await;
    assert!(matches!(late, Err(ControlError::WrongState { .. })), "the bank is asked for three days: {late:?}");
}

#[tokio::test]
async fn an_order_is_debited_once_however_often_it_is_tried() {
    let client = start().await;
    let mandate = client.token().await;
    client.switch(|switches| switches.mandates.debits = DebitCourse::WhenTold);
    let order = client.due_order(&mandate).await;
    client.sandbox.fault(Fault::on("payment.create_recurring", FaultKind::AnswerLost)).unwrap();
    let body = Some(debit(&mandate, &order));
    assert!(client.send(Method::POST, "/payments/create/recurring", body).await.is_err());
    let (second, third) = (client.debit(&mandate, &order).await, client.debit(&mandate, &order).await);
    client.sandbox.advance(2 * A_DAY);
    assert_eq!(client.payment(&second).await["status"], "created", "it waits to be told");
    client.end(&second, no_funds()).await.unwrap();
    assert_eq!(client.payment(&second).await["error_code"], "BAD_REQUEST_ERROR");
    client.end(text(&order, "id"), DebitEnd::Collected).await.unwrap();
    assert_eq!(client.payment(&third).await["status"], "captured", "the newest of the order");

    let payments = format!("/orders/{}/payments", text(&order, "id"));
    let (_, all) = client.get(&payments).await;
    let ids: Vec<_> = all["items"].as_array().unwrap().iter().map(|payment| text(payment, "id")).collect();
    for payment in &ids {
        let again = client.end(payment, DebitEnd::Collected).await;
        assert!(matches!(again, Err(ControlError::WrongState { .. })), "{payment}: {again:?}");
    }
    let late = client.sandbox.authorize_late("shop", ids[2]).await;
    assert!(matches!(late, Err(ControlError::WrongState { .. })), "{late:?}");
    let (_, all) = client.get(&payments).await;
    let statuses: Vec<_> = all["items"].as_array().unwrap().iter().map(|payment| text(payment, "status")).collect();
    assert_eq!(statuses, ["captured", "failed", "created"]);
    assert_eq!(client.order(&order).await["amount_paid"], 99_900);
}

#[tokio::test]
async fn two_debits_of_an_order_under_way_are_not_both_collected() {
    let client = start().await;
    let mandate = client.token().await;
    let order = client.due_order(&mandate).await;
    let (first, second) = (client.debit(&mandate, &order).await, client.debit(&mandate, &order).await);
    client.sandbox.advance(STEP);
    let mut ends = Vec::new();
    for payment in [first, second] {
        ends.push(client.payment(&payment).await["error_reason"].clone());
    }
    ends.sort_by_key(Value::is_null);
    assert_eq!(ends, [json!("order_already_paid"), Value::Null]);
}

#[tokio::test]
async fn of_two_debits_that_wait_for_their_capture_one_is_captured() {
    let client = start().await;
    let mandate = client.token().await;
    let body = json!({"amount": 100, "currency": "INR", "payment_capture": false, "notification": {"token_id": mandate.token}});
    let (_, order) = client.post("/orders", body).await;
    client.sandbox.advance(A_DAY + STEP);
    let (first, second) = (client.debit(&mandate, &order).await, client.debit(&mandate, &order).await);
    client.sandbox.advance(STEP);
    assert_eq!(client.payment(&first).await["status"], "authorized");
    client.sandbox.capture("shop", &first).await.unwrap();
    let refused = client.sandbox.capture("shop", &second).await;
    assert!(matches!(refused, Err(ControlError::WrongState { .. })), "{refused:?}");
    assert_eq!(client.order(&order).await["amount_paid"], 100);
}

#[tokio::test]
async fn a_mandate_that_may_not_be_debited_says_why_as_a_payment() {
    let client = start().await;
    let mandate = client.token().await;
    // Whatever is told later, the bank doesn't take these.
    client.switch(|switches| switches.mandates.debits = DebitCourse::WhenTold);
    let order = client.due_order(&mandate).await;
    client.act(&mandate.token, PayerAct::Pause).await.unwrap();
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, failed("mandate_paused"));
    client.act(&mandate.token, PayerAct::Resume).await.unwrap();
    client.switch(|switches| (switches.mandates.cancelling_stays, switches.mandates.debits) = (true, DebitCourse::WhenTold));
    client.send(Method::PUT, &format!("{}/cancel", mandate.path()), None).await.unwrap();
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, failed("mandate_cancelled"));
    client.act(&mandate.token, PayerAct::Revoke).await.unwrap();
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, failed("mandate_cancelled"));

    let mandate = client.token().await;
    let order = client.debit_order(&mandate, 150_001).await;
    client.sandbox.advance(A_DAY + STEP);
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, failed("amount_does_not_match_mandate_amount"));
    let order = client.due_order(&mandate).await;
    client.sandbox.advance(Duration::from_secs((4 * A_YEAR_S).unsigned_abs()));
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, failed("mandate_expired"));
}

#[tokio::test]
async fn a_mandate_that_ends_takes_the_debit_under_way_with_it() {
    let client = start().await;
    let mandate = client.token().await;
    client.switch(|switches| switches.mandates.debits = DebitCourse::WhenTold);
    let order = client.due_order(&mandate).await;
    let payment = client.debit(&mandate, &order).await;
    let receiver = Receiver::start(&client).await;
    client.send(Method::PUT, &format!("{}/cancel", mandate.path()), None).await.unwrap();
    client.sandbox.advance(STEP);
    assert_eq!(receiver.events(3).await, ["payment.failed", "token.cancellation_initiated", "token.cancelled"]);
    assert_eq!(client.payment(&payment).await["error_reason"], "mandate_cancelled");
    client.switch(|_| ());
    let order = client.due_order_of_dead(&mandate).await;
    assert_eq!(order["notification"]["status"], "failed", "nobody is told of what can't be");
}

impl Client {
    async fn due_order_of_dead(&self, mandate: &Mandate) -> Value {
        let order = self.due_order(mandate).await;
        self.order(&order).await
    }
}

#[tokio::test]
async fn a_bank_that_enforces_the_rules_knows_hours_days_and_cycles() {
    let client = start().await;
    let mandate = client.token().await;
    let today = in_ist(client.sandbox.now().as_millisecond()).date();
    let month = today.first_of_month().saturating_add(1.month());
    client.advance_until(month.at(6, 0, 0, 0));
    client.switch(|switches| switches.mandates.bank_enforces_rules = true);
    let order = client.due_order(&mandate).await;
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, failed("execution_day_rule_mismatch"), "the second, and not from the fifth on");

    client.advance_until(month.saturating_add(4.days()).at(9, 59, 0, 0));
    let mut outcomes = Vec::new();
    for (hour, minute) in [(10, 0), (12, 59), (17, 0), (21, 29)] {
        client.advance_to(time(hour, minute, 0, 0));
        let payment = client.debit(&mandate, &order).await;
        outcomes.push(client.outcome(&payment).await);
    }
    assert_eq!(outcomes, vec![failed("payment_declined_due_to_high_traffic"); 4]);
    client.advance_to(time(13, 0, 0, 0));
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, captured());

    let order = client.due_order(&mandate).await;
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, failed("mandate_current_cycle_allowed_debit_exceeds"));
    client.advance_until(month.saturating_add(1.month()).saturating_add(5.days()).at(22, 0, 0, 0));
    let payment = client.debit(&mandate, &order).await;
    assert_eq!(client.outcome(&payment).await, captured(), "the next month");
}

#[tokio::test]
async fn faults_hit_what_mandates_are_asked_with() {
    let client = start().await;
    let mandate = client.token().await;
    client.switch(|switches| switches.mandates.debits = DebitCourse::WhenTold);
    let order = client.due_order(&mandate).await;
    let payments = format!("/orders/{}/payments", text(&order, "id"));
    let kinds = [
        (FaultKind::RequestLost, None, 0),
        (FaultKind::AnswerLost, None, 1),
        (FaultKind::StatusBefore { status: 502 }, Some(502), 0),
        (FaultKind::StatusAfter { status: 500 }, Some(500), 1),
        (FaultKind::Garbage, Some(200), 1),
    ];
    let mut made = 0;
    for (kind, status, more) in kinds {
        client.sandbox.fault(Fault::on("payment.create_recurring", kind.clone())).unwrap();
        let answer = client.send(Method::POST, "/payments/create/recurring", Some(debit(&mandate, &order))).await;
        assert_eq!(answer.ok().map(|(status, _)| status), status, "{kind:?}");
        made += more;
        assert_eq!(client.get(&payments).await.1["count"], made, "{kind:?}");
    }
    let url = format!("{}/v1/payments/create/recurring", client.sandbox.razorpay_url());
    client.sandbox.fault(Fault::on("payment.create_recurring", FaultKind::Stall)).unwrap();
    let request = client.http.post(url).basic_auth("rzp_test_shop", Some("secret")).json(&debit(&mandate, &order));
    assert!(request.timeout(Duration::from_millis(100)).send().await.unwrap_err().is_timeout());
    assert_eq!(client.get(&payments).await.1["count"], made + 1);

    let tokens = format!("/customers/{}/tokens", mandate.customer);
    let cancel = format!("{}/cancel", mandate.path());
    for (operation, method, path) in [
        ("token.fetch", Method::GET, mandate.path()),
        ("token.list", Method::GET, tokens),
        ("token.cancel", Method::PUT, cancel),
        ("token.delete", Method::DELETE, mandate.path()),
    ] {
        client.sandbox.fault(Fault::on(operation, FaultKind::AnswerLost)).unwrap();
        assert!(client.send(method, &path, None).await.is_err(), "{operation}");
        assert_eq!(client.sandbox.seen().last().unwrap().operation, operation);
    }
    assert_eq!(client.get(&mandate.path()).await.0, 400, "it was deleted, unsaid");
}
