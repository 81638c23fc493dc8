//! Debits of mandates at EnKash: the notice before one, and each an order of its own.

use super::mandates::tomorrow;
use super::*;

const HALF_A_MINUTE: Duration = Duration::from_secs(31);
const DAY: Duration = Duration::from_secs(86_400);

impl Till {
    async fn notify(&self, mandate: &str, amount: &str) -> (u16, Value) {
        let body = format!(r#"{{"mandate_id":"{mandate}","amount":{amount},"debit_date":"{}"}}"#, tomorrow(self));
        self.send(Method::POST, "/api/v0/upi-mandate/notify", Some(&body)).await
    }

    async fn execute(&self, mandate: &str, amount: &str) -> (u16, Value) {
        let body = format!(r#"{{"mandate_id":"{mandate}","amount":{amount},"remarks":"January"}}"#);
        self.send(Method::POST, "/api/v0/upi-mandate/execute", Some(&body)).await
    }

    /// What a debit of 299 rupees comes to, half a minute later: the order's status and why.
    async fn debit(&self, mandate: &str) -> (String, String) {
        let order = payload(self.execute(mandate, "299.00").await);
        self.sandbox().advance(HALF_A_MINUTE);
        let order = self.fetch(text(&order, "orderId")).await;
        (text(&order["transactions"][0], "status").to_owned(), text(&order, "orderMessage").to_owned())
    }

    /// Puts the clock on to the next time that clocks in India show this; the token is valid then.
    async fn at_india(self, hour: i8, minute: i8) -> Self {
        let ist = jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(19_800).unwrap());
        let now = self.sandbox().now().to_zoned(ist);
        let today = now.with().time(jiff::civil::time(hour, minute, 0, 0)).build().unwrap();
        let then = if today > now { today } else { today.checked_add(jiff::Span::new().days(1)).unwrap() };
        self.later(then.duration_since(&now).try_into().unwrap()).await
    }

    async fn later(self, by: Duration) -> Self {
        self.sandbox().advance(by);
        Self::open_with(self.client).await
    }

    fn enforce(&self) {
        self.client.switch(|switches| switches.mandates.bank_enforces_rules = true);
    }
}

#[tokio::test]
async fn a_notice_is_delivered_fails_or_waits() {
    let till = Till::open().await;
    let id = till.approved(&till.mandate_of("EN1")).await;
    let told = payload(till.notify(&id, "299.00").await);
    let expected = json!({
        "mandate_id": id, "predebit_notification_id": told["predebit_notification_id"], "status": "SUCCESS",
        "amount": "299.00", "debit_date": tomorrow(&till)
    });
    assert_eq!(told, expected);
    till.client.switch(|switches| {
        switches.mandates.notices = NoticeCourse::Fail;
        switches.enkash.mandate_words.notices.insert(MandateNoticeStatus::Failed, "FAILURE".to_owned());
    });
    assert_eq!(payload(till.notify(&id, "0.29").await)["status"], "FAILURE");
    till.client.switch(|switches| switches.mandates.notices = NoticeCourse::WhenTold);
    let waits = payload(till.notify(&id, "1").await);
    assert_eq!((&waits["status"], &waits["amount"]), (&json!("PENDING"), &json!("1.00")));
    let end = async |id: &str| till.sandbox().end_notice("till", id, NoticeEnd::Delivered).await;
    let notice = text(&waits, "predebit_notification_id");
    assert_eq!(end(notice).await, Ok(()));
    assert!(matches!(end(notice).await, Err(ControlError::WrongState { .. })));
    assert_eq!(end("PN1").await, Err(ControlError::NotFound("PN1".to_owned())));
    till.switch(|_| ());

    for amount in ["299.01", "0", "1.001", "1e1", "\"1.00\""] {
        refused(till.notify(&id, amount).await);
    }
    for date in ["2020-01-01", "2999-01-01", "2026-13-01", "2999-1-1", "tomorrow"] {
        let body = json!({"mandateId": id, "amount": 1, "debitDate": date});
        refused(till.send(Method::POST, "/api/v0/upi-mandate/notify", Some(&body.to_string())).await);
    }
    refused(till.notify("MD1", "1").await);
    till.act(&id, PayerAct::Pause).await.unwrap();
    refused(till.notify(&id, "1").await);
}

#[tokio::test]
async fn a_debit_is_an_order_that_is_paid_told_of_refunded_and_paid_out() {
    let till = Till::open().await;
    till.note_callbacks();
    let id = till.approved(&till.mandate_of("EN1")).await;
    let order = payload(till.execute(&id, "0.29").await);
    let order_id = text(&order, "orderId").to_owned();
    assert_eq!((&order["status"], &order["amount"]), (&json!("PAYMENT_CONFIRMATION_PENDING"), &json!(0.29)));
    assert_eq!((&order["merchantOrderId"], &order["transactions"][0]["status"]), (&Value::Null, &json!("PENDING_WITH_BANK")));
    assert_eq!(till.fetch(&order_id).await, order);
    assert!(matches!(till.pay(&order_id, Outcome::Captured).await, Err(ControlError::WrongState { .. })));
    refused(till.page(&format!("/pay/checkout/qrcode/{order_id}")).await);

    till.sandbox().advance(HALF_A_MINUTE);
    let paid = till.fetch(&order_id).await;
    let transaction = text(&paid["transactions"][0], "transactionId").to_owned();
    assert_eq!((&paid["status"], &paid["transactions"][0]["status"]), (&json!("PAID"), &json!("SUCCESS")));
    let told = till.told()[1].1.clone();
    assert_eq!((&told["orderId"], &told["uniqueTransactionId"]), (&json!(order_id), &json!(order_id)));
    assert_eq!((&told["transactionId"], &told["orderStatus"], &told["status"]), (&json!(transaction), &json!("PAID"), &json!("SUCCESS")));
    assert_eq!((&told["amount"], &told["bankTransactionId"]), (&json!(0.29), &paid["transactions"][0]["bankTransactionId"]));
    assert_eq!(till.events(), ["mandate.approved", "debit.success"]);

    let refund = r#"{"amount": 0.09, "requestId": "rf-1"}"#;
    payload(till.send(Method::POST, &format!("/api/v0/payment/{transaction}/refund"), Some(refund)).await);
    till.sandbox().advance(HALF_A_MINUTE);
    assert_eq!(till.fetch(&order_id).await["transactions"][0]["status"], "PARTIALLY_REFUNDED");
    let payout = till.sandbox().settle("till").await.unwrap();
    let payout = till.get(&format!("/api/v0/settlement-payout/{payout}")).await;
    assert_eq!((&payout["totalSaleAmount"], &payout["totalRefundAmount"]), (&json!(0.29), &json!(0.09)));
}

#[tokio::test]
async fn a_lost_answer_asked_again_is_a_second_debit() {
    let till = Till::open().await;
    let id = till.approved(&till.mandate_of("EN1")).await;
    let body = format!(r#"{{"mandateId":"{id}","amount":299,"remarks":"January"}}"#);
    let ask = async || {
        let request = till.request(Method::POST, "/api/v0/upi-mandate/execute").header("merchantAccessKey", KEYS.0);
        request.header("authorization", format!("Bearer {}", till.token)).body(body.clone()).send().await
    };
    for (kind, debits) in [(FaultKind::RequestLost, 0), (FaultKind::AnswerLost, 1)] {
        till.sandbox().fault(Fault::on("mandate.execute", kind)).unwrap();
        ask().await.unwrap_err();
        assert_eq!(till.sandbox().payments("till").unwrap().len(), debits);
    }
    till.sandbox().fault(Fault::on("mandate.execute", FaultKind::Garbage)).unwrap();
    assert!(ask().await.unwrap().json::<Value>().await.is_err());
    assert!(ask().await.is_ok());
    till.sandbox().advance(HALF_A_MINUTE);
    let statuses: Vec<_> = till.sandbox().payments("till").unwrap().iter().map(|payment| payment["status"].clone()).collect();
    assert_eq!(statuses, ["SUCCESS"; 3]);
    till.sandbox().fault(Fault::on("mandate.notify", FaultKind::StatusBefore { status: 503 })).unwrap();
    assert_eq!(till.notify(&id, "299").await.0, 503);
}

#[tokio::test]
async fn a_debit_that_the_mandate_does_not_allow_is_refused_before_any_effect() {
    let till = Till::open().await;
    let id = till.approved(&till.mandate_of("EN1")).await;
    for amount in ["299.01", "0", "1.001", "\"1.00\"", "2.99e2"] {
        refused(till.execute(&id, amount).await);
    }
    for body in [
        json!({"mandate_id": id, "amount": 1}),
        json!({"mandate_id": id, "amount": 1, "remarks": " "}),
        json!({"mandate_id": id, "amount": 1, "remarks": "x", "reference_id": "d1"}),
        json!({"mandate_id": "MD1", "amount": 1, "remarks": "x"}),
    ] {
        refused(till.send(Method::POST, "/api/v0/upi-mandate/execute", Some(&body.to_string())).await);
    }
    let mut exact = till.mandate_of("EN2");
    exact["amount_rule"] = json!("EXACT");
    let exact = till.approved(&exact).await;
    refused(till.execute(&exact, "298.99").await);
    let waits = payload(till.ask(&till.mandate_of("EN3")).await);
    refused(till.execute(text(&waits, "mandate_id"), "299.00").await);
    till.act(&id, PayerAct::Pause).await.unwrap();
    refused(till.execute(&id, "299.00").await);
    assert!(till.sandbox().payments("till").unwrap().is_empty() && till.sandbox().qr_codes("till").unwrap().is_empty());
    payload(till.execute(&exact, "299").await);
}

#[tokio::test]
async fn a_debit_fails_with_a_reason_and_may_be_collected_late() {
    let till = Till::open().await;
    till.note_callbacks();
    let id = till.approved(&till.mandate_of("EN1")).await;
    till.client.switch(|switches| switches.mandates.debits = DebitCourse::Fail { reason: "Insufficient funds".to_owned() });
    assert_eq!(till.debit(&id).await, ("FAILED".to_owned(), "Insufficient funds".to_owned()));
    let told = till.told()[1].1.clone();
    assert_eq!((&told["transactionStatus"], &told["txnMsg"]), (&json!("FAILED"), &json!("Insufficient funds")));
    let order = text(&told, "orderId").to_owned();
    let end = async |id: &str, how| till.sandbox().end_debit("till", id, how).await;
    let failed = DebitEnd::Failed { reason: "Account frozen".to_owned() };
    assert!(matches!(end(&order, failed.clone()).await, Err(ControlError::WrongState { .. })));
    end(&order, DebitEnd::Collected).await.unwrap();
    let paid = till.fetch(&order).await;
    assert_eq!((&paid["status"], &paid["orderMessage"]), (&json!("PAID"), &json!("Transaction successful.")));
    assert_eq!(till.told()[2].1["transactionStatus"], "SUCCESS");
    assert!(matches!(end(&order, DebitEnd::Collected).await, Err(ControlError::WrongState { .. })));

    till.client.switch(|switches| switches.mandates.debits = DebitCourse::WhenTold);
    assert_eq!(till.debit(&id).await.0, "PENDING_WITH_BANK");
    let transaction = text(&till.sandbox().payments("till").unwrap()[0], "transactionId").to_owned();
    end(&transaction, failed).await.unwrap();
    assert_eq!(till.upi_status(&transaction).await["transactionMessage"], "Account frozen");
    assert_eq!(till.events(), ["mandate.approved", "debit.failed", "debit.success", "debit.failed"]);
    let other = till.order("inv-1").await;
    assert_eq!(end(&other, DebitEnd::Collected).await, Err(ControlError::NotFound(other.clone())));
}

#[tokio::test]
async fn a_one_time_mandate_is_used_up_by_its_debit() {
    let till = Till::open().await;
    let mut once = till.mandate_of("EN1");
    (once["block_fund"], once["recurrence"]) = (json!(true), json!({"period": "ONETIME", "rule": "NA", "value": 0}));
    let id = till.approved(&once).await;
    assert_eq!(till.mandate("EN1").await["revokeable_by_payer"], false);
    assert!(matches!(till.act(&id, PayerAct::Revoke).await, Err(ControlError::WrongState { .. })));
    till.client.switch(|switches| switches.mandates.debits = DebitCourse::Fail { reason: "Bank is down".to_owned() });
    assert_eq!(till.debit(&id).await.0, "FAILED");
    assert_eq!(till.standing("EN1").await, "ACTIVE");
    till.switch(|_| ());
    assert_eq!(till.debit(&id).await.0, "SUCCESS");
    assert_eq!(till.standing("EN1").await, "COMPLETED");
    refused(till.execute(&id, "299.00").await);
    till.sandbox().advance(366 * DAY);
    assert_eq!(till.sandbox().mandates("till").unwrap()[0]["status"], "COMPLETED");
}

#[tokio::test]
async fn the_bank_may_insist_on_a_notice_a_day_before_and_once_a_cycle() {
    let till = Till::open().await;
    let mut yearly = till.mandate_of("EN1");
    yearly["recurrence"]["period"] = json!("YEARLY");
    let mut any = till.mandate_of("EN2");
    any["recurrence"] = json!({"period": "ASPRESENTED", "rule": "NA", "value": 0});
    let (yearly, any) = (till.approved(&yearly).await, till.approved(&any).await);
    let till = till.at_india(14, 0).await;
    till.enforce();
    let unnoticed = ("FAILED".to_owned(), "Payer was not notified of this debit in time.".to_owned());
    assert_eq!(till.debit(&any).await, unnoticed);
    payload(till.notify(&any, "299.00").await);
    payload(till.notify(&yearly, "298.00").await);
    let till = till.later(DAY - 2 * HALF_A_MINUTE).await;
    assert_eq!(till.debit(&any).await, unnoticed, "a moment too early");
    let till = till.later(HALF_A_MINUTE * 2).await;
    assert_eq!(till.debit(&yearly).await, unnoticed, "it was for another amount");
    assert_eq!(till.debit(&any).await.0, "SUCCESS");
    assert_eq!(till.debit(&any).await, unnoticed, "that notice is used up");

    let mut daily = till.mandate_of("EN3");
    daily["recurrence"] = json!({"period": "DAILY", "rule": "NA", "value": 0});
    let daily = till.approved(&daily).await;
    assert_eq!(till.debit(&daily).await.0, "SUCCESS");
    assert_eq!(till.debit(&daily).await, ("FAILED".to_owned(), "Mandate was debited in this cycle already.".to_owned()));
    let till = till.later(DAY).await;
    let executed = [payload(till.execute(&daily, "1").await), payload(till.execute(&daily, "1").await)];
    till.sandbox().advance(HALF_A_MINUTE);
    let mut statuses = Vec::new();
    for order in executed {
        statuses.push(till.fetch(text(&order, "orderId")).await["transactions"][0]["status"].clone());
    }
    statuses.sort_by_key(Value::to_string);
    assert_eq!(statuses, ["FAILED", "SUCCESS"], "both were under way at once");
}

#[tokio::test]
async fn the_bank_may_keep_to_the_hours_of_mandates() {
    let till = Till::open().await;
    let mut daily = till.mandate_of("EN1");
    daily["recurrence"] = json!({"period": "DAILY", "rule": "NA", "value": 0});
    let id = till.approved(&daily).await;
    let mut till = till;
    for (hour, minute, status) in [(9, 58, "SUCCESS"), (10, 0, "FAILED"), (21, 29, "FAILED"), (21, 30, "FAILED"), (0, 1, "SUCCESS")] {
        till = till.at_india(hour, minute).await;
        till.enforce();
        let (ended, why) = till.debit(&id).await;
        assert_eq!(
            (ended.as_str(), why.contains("peak")),
            (status, matches!((hour, minute), (10, 0) | (21, 29))),
            "{hour}:{minute}: {why}"
        );
    }
}

#[tokio::test]
async fn a_notice_counts_from_its_delivery_and_only_if_there_was_one() {
    let till = Till::open().await;
    let mut any = till.mandate_of("EN1");
    any["recurrence"] = json!({"period": "ASPRESENTED", "rule": "NA", "value": 0});
    let id = till.approved(&any).await;
    let till = till.at_india(14, 0).await;
    let notices = async |course| {
        till.client.switch(|switches| (switches.mandates.notices, switches.mandates.bank_enforces_rules) = (course, true));
        payload(till.notify(&id, "299").await)
    };
    assert_eq!(notices(NoticeCourse::Fail).await["status"], "FAILED");
    assert_eq!(notices(NoticeCourse::WhenTold).await["status"], "PENDING");
    let till = till.later(DAY).await;
    assert_eq!(till.debit(&id).await.0, "FAILED");
    till.sandbox().end_notice("till", &id, NoticeEnd::Delivered).await.unwrap();
    assert_eq!(till.debit(&id).await.0, "FAILED");
    let till = till.later(DAY).await;
    assert_eq!(till.debit(&id).await.0, "SUCCESS");
}

#[tokio::test]
async fn a_forged_debit_is_told_and_the_books_do_not_know_it() {
    let till = Till::open().await;
    let receiver = Receiver::start_for(&till.client, "till").await;
    let id = till.approved(&till.mandate_of("EN1")).await;
    receiver.wait_for(1).await;
    till.client.switch(|switches| switches.mandates.debits = DebitCourse::WhenTold);
    let order = payload(till.execute(&id, "299.00").await);
    till.sandbox().send_forged("till", text(&order, "orderId"), None).await.unwrap();
    let told = receiver.wait_for(2).await[1].json();
    assert_eq!((&told["orderId"], &told["status"], &told["amount"]), (&order["orderId"], &json!("SUCCESS"), &json!(299.0)));
    assert_eq!(till.fetch(text(&order, "orderId")).await, order);
}
