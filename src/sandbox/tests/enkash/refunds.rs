//! Refunds at EnKash: under the merchant's `requestId`, seen on the transaction alone.

use super::*;

const A_WHILE: Duration = Duration::from_secs(31);

impl Till {
    async fn paid(&self, merchant_order_id: &str) -> String {
        let order = self.order(merchant_order_id).await;
        self.pay(&order, Outcome::Captured).await.unwrap()
    }

    async fn refund(&self, transaction: &str, body: &str) -> (u16, Value) {
        self.send(Method::POST, &format!("/api/v0/payment/{transaction}/refund"), Some(body)).await
    }

    async fn transaction_status(&self, transaction: &str) -> String {
        text(&self.get(&format!("/api/v0/payment/{transaction}")).await, "status").to_owned()
    }
}

#[tokio::test]
async fn a_part_and_then_the_rest_show_on_the_transaction_a_while_later() {
    let till = Till::open().await;
    let paid = till.paid("inv-1").await;
    let part = r#"{"amount": 100.50, "requestId": "rf-1", "remarks": "damaged"}"#;
    let first = till.refund(&paid, part).await;
    assert_eq!(payload(first.clone()), json!({"requestId": "rf-1"}));
    assert_eq!(till.transaction_status(&paid).await, "SUCCESS");
    till.sandbox().advance(A_WHILE);
    assert_eq!(till.transaction_status(&paid).await, "PARTIALLY_REFUNDED");
    assert_eq!(till.refund(&paid, part).await, first, "asked again, nothing more goes back");
    for body in [
        r#"{"amount": 100.50, "requestId": "rf-1"}"#,
        r#"{"amount": 398.51, "requestId": "rf-2"}"#,
        r#"{"amount": 0, "requestId": "rf-2"}"#,
        r#"{"amount": 1.001, "requestId": "rf-2"}"#,
        r#"{"amount": "1", "requestId": "rf-2"}"#,
        r#"{"amount": 1, "requestId": " "}"#,
        r#"{"amount": 1}"#,
        r#"{"requestId": "rf-2"}"#,
        r#"{"amount": 1, "requestId": "rf-2", "speed": "fast"}"#,
    ] {
        refused(till.refund(&paid, body).await);
    }
    payload(till.refund(&paid, r#"{"amount": 398.50, "requestId": "rf-2"}"#).await);
    refused(till.refund(&paid, r#"{"amount": 0.01, "requestId": "rf-3"}"#).await);
    till.sandbox().advance(A_WHILE);
    assert_eq!(till.transaction_status(&paid).await, "REFUNDED");
    assert_eq!(payload(till.refund(&paid, part).await), json!({"requestId": "rf-1"}));
    let refunds = till.sandbox().refunds("till").unwrap();
    assert_eq!(refunds[1], json!({"requestId": "rf-1", "transactionId": paid, "amount": 100.5, "status": "SUCCESS"}));
    assert_eq!(refunds.len(), 2);

    let order = till.order("inv-2").await;
    let failed = till.pay(&order, Outcome::Failed).await.unwrap();
    refused(till.refund(&failed, r#"{"amount": 1, "requestId": "rf-4"}"#).await);
    refused(till.refund("EK1", r#"{"amount": 1, "requestId": "rf-4"}"#).await);
}

#[tokio::test]
async fn a_refund_is_told_how_it_ends_and_the_status_goes_back() {
    let till = Till::open().await;
    let paid = till.paid("inv-1").await;
    till.switch(|switches| switches.refunds = RefundCourse::WhenTold);
    payload(till.refund(&paid, r#"{"amount": 499, "requestId": "rf-1"}"#).await);
    till.sandbox().advance(Duration::from_secs(86_400));
    let till = Till::open_with(till.client).await;
    let end = async |how: &str| {
        let body = json!({"refund_id": "rf-1", "how": how});
        till.client.control(Method::POST, "/enkash/till/end_refund", body).await.0
    };
    assert_eq!(till.transaction_status(&paid).await, "SUCCESS");
    assert_eq!((end("slow_down").await, end("processed").await), (409, 200));
    assert_eq!(till.transaction_status(&paid).await, "REFUNDED");
    assert_eq!(end("failed").await, 200, "the bank sends it back");
    assert_eq!(till.transaction_status(&paid).await, "SUCCESS");
    payload(till.refund(&paid, r#"{"amount": 1, "requestId": "rf-2"}"#).await);
    assert_eq!(end("processed").await, 409, "there is no room for it again");
    till.sandbox().end_refund("till", "rf-2", RefundEnd::Failed).await.unwrap();
    assert_eq!((end("processed").await, till.transaction_status(&paid).await.as_str()), (200, "REFUNDED"));
    assert_eq!(till.sandbox().end_refund("till", "rf-9", RefundEnd::Failed).await, Err(ControlError::NotFound("rf-9".to_owned())));
}

#[tokio::test]
async fn a_provider_may_take_no_notice_of_request_ids() {
    let till = Till::open().await;
    let paid = till.paid("inv-1").await;
    till.switch(|switches| (switches.refunds, switches.request_ids_ignored) = (RefundCourse::AtOnce, true));
    for status in ["PARTIALLY_REFUNDED", "REFUNDED"] {
        payload(till.refund(&paid, r#"{"amount": 249.50, "requestId": "rf-1"}"#).await);
        assert_eq!(till.transaction_status(&paid).await, status);
    }
    refused(till.refund(&paid, r#"{"amount": 249.50, "requestId": "rf-1"}"#).await);
}

#[tokio::test]
async fn what_is_on_its_way_back_cannot_be_asked_back_twice() {
    let till = Arc::new(Till::open().await);
    let paid = till.paid("inv-1").await;
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..64 {
        let (till, paid) = (till.clone(), paid.clone());
        let body = format!(r#"{{"amount": 10.00, "requestId": "rf-{index}"}}"#);
        tasks.spawn(async move { till.refund(&paid, &body).await.1["response_code"] == 0 });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|done| *done).count(), 49);
    till.sandbox().advance(A_WHILE);
    assert_eq!(till.transaction_status(&paid).await, "PARTIALLY_REFUNDED");
    payload(till.refund(&paid, r#"{"amount": 9, "requestId": "rest"}"#).await);
    till.sandbox().advance(A_WHILE);
    assert_eq!(till.transaction_status(&paid).await, "REFUNDED");
}
