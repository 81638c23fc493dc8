//! Payers, the bank, and what the merchant is told of them.

use super::*;

#[tokio::test]
async fn a_paid_order_takes_no_second_payment() {
    let till = Till::open().await;
    let order = till.order("inv-1").await;
    let (first, second) = (till.qr(&order).await, till.qr(&order).await);
    let paid = till.pay(text(&first, "qrUrl"), Outcome::Captured).await.unwrap();
    assert_eq!(json!(paid), first["ekPayId"]);
    let transaction = till.get(&format!("/api/v0/payment/{paid}")).await;
    assert_eq!((&transaction["status"], &transaction["amount"], &transaction["vpa"]), (&json!("SUCCESS"), &json!(499.0), &json!(VPA)));
    assert_eq!((&transaction["paymentMode"], text(&transaction, "bankTransactionId").len()), (&json!("UPI"), 12));
    assert_eq!(till.fetch(&order).await["transactions"][0], transaction);
    assert_eq!((till.status(&order).await.as_str(), &till.upi_status(&paid).await["status"]), ("PAID", &json!("SUCCESS")));
    for code in [order.as_str(), text(&second, "ekPayId"), text(&first, "qrUrl")] {
        let refused = till.pay(code, Outcome::Captured).await;
        assert!(matches!(refused, Err(ControlError::WrongState { .. })), "{refused:?}");
    }
    refused(till.page(&format!("/pay/checkout/qrcode/{order}")).await);

    till.switch(|switches| switches.bare_transactions = true);
    let bare = till.get(&format!("/api/v0/payment/{paid}")).await;
    assert_eq!(bare.as_object().unwrap().keys().collect::<Vec<_>>(), ["created", "lastModified", "transactionId"]);
}

#[tokio::test]
async fn an_attempt_may_fail_wait_be_authorised_and_still_succeed() {
    let till = Till::open().await;
    let sandbox = till.sandbox();
    let order = till.order("inv-1").await;
    let failed = till.pay(&order, Outcome::Failed).await.unwrap();
    assert_eq!((till.status(&order).await.as_str(), &till.upi_status(&failed).await["status"]), ("ATTEMPTED", &json!("FAILED")));
    let pending = till.pay(&order, Outcome::Pending).await.unwrap();
    assert_ne!(pending, failed);
    assert_eq!(till.status(&order).await, "PAYMENT_CONFIRMATION_PENDING");
    assert_eq!(till.get(&format!("/api/v0/payment/{pending}")).await["status"], "PENDING_WITH_BANK");
    assert_eq!(till.upi_status(&pending).await["status"], "PROCESS");
    sandbox.fail_payment("till", &pending).await.unwrap();
    assert_eq!(till.status(&order).await, "ATTEMPTED");
    let authorised = till.pay(&order, Outcome::Authorized).await.unwrap();
    assert_eq!(till.get(&format!("/api/v0/payment/{authorised}")).await["status"], "AUTHORIZED");
    assert_eq!((till.status(&order).await.as_str(), &till.upi_status(&authorised).await["status"]), ("ATTEMPTED", &json!("PROCESS")));

    sandbox.authorize_late("till", &failed).await.unwrap();
    assert_eq!(till.status(&order).await, "PAID");
    let second = sandbox.authorize_late("till", &authorised).await;
    assert!(matches!(second, Err(ControlError::WrongState { .. })), "{second:?}");
    sandbox.fail_payment("till", &authorised).await.unwrap();
    assert_eq!(sandbox.payments("till").unwrap().len(), 3);
    assert_eq!(till.pay("ORD1", Outcome::Captured).await, Err(ControlError::NotFound("ORD1".to_owned())));
}

#[tokio::test]
async fn an_order_expires_unless_the_bank_is_at_it() {
    let till = Till::open().await;
    let (open, waiting) = (till.order("inv-1").await, till.order("inv-2").await);
    let failed = till.pay(&open, Outcome::Failed).await.unwrap();
    let pending = till.pay(&waiting, Outcome::Pending).await.unwrap();
    till.sandbox().advance(Duration::from_secs(25 * 60 * 60));
    let till = Till::open_with(till.client).await;
    assert_eq!(till.status(&open).await, "EXPIRED");
    assert!(matches!(till.pay(&open, Outcome::Captured).await, Err(ControlError::WrongState { .. })));
    assert_eq!(till.status(&waiting).await, "PAYMENT_CONFIRMATION_PENDING");
    till.sandbox().fail_payment("till", &pending).await.unwrap();
    assert_eq!(till.status(&waiting).await, "EXPIRED");
    till.sandbox().authorize_late("till", &failed).await.unwrap();
    assert_eq!(till.status(&open).await, "PAID");
}

#[tokio::test]
async fn the_bank_may_be_told_when_to_answer() {
    let till = Till::open().await;
    let (first, second) = (till.order("inv-1").await, till.order("inv-2").await);
    till.switch(|switches| switches.pending_lasts_s = Some(90));
    let pending = till.pay(&first, Outcome::Pending).await.unwrap();
    till.pay(&second, Outcome::Pending).await.unwrap();
    till.pay(&second, Outcome::Captured).await.unwrap();
    till.sandbox().advance(Duration::from_secs(60));
    assert_eq!(till.upi_status(&pending).await["status"], "PROCESS");
    till.sandbox().advance(Duration::from_secs(30));
    assert_eq!(till.upi_status(&pending).await["status"], "SUCCESS");
    let statuses: Vec<_> = till.fetch(&second).await["transactions"].as_array().unwrap().iter().map(|t| t["status"].clone()).collect();
    assert_eq!(statuses, ["FAILED", "SUCCESS"]);
}

#[tokio::test]
async fn another_sum_than_the_orders_shows_on_the_transaction() {
    let till = Till::open().await;
    let order = till.order("inv-1").await;
    let pay = PayOptions { amount: Some(100), ..PayOptions::default() };
    let wrong = till.sandbox().pay_qr("till", &order, pay.clone()).await;
    assert_eq!(wrong, Err(ControlError::WrongAmount { id: order.clone(), expected: 49_900 }));
    till.sandbox().pay_qr("till", &order, PayOptions { any_amount: true, ..pay }).await.unwrap();
    let order = till.fetch(&order).await;
    assert_eq!((&order["amount"], &order["transactions"][0]["amount"]), (&json!(499.0), &json!(1.0)));
}

#[tokio::test]
async fn the_merchant_gives_back_a_part_and_then_the_rest() {
    let till = Till::open().await;
    let order = till.order("inv-1").await;
    let paid = till.pay(&order, Outcome::Captured).await.unwrap();
    let refund = async |body: Value| till.client.control(Method::POST, "/enkash/till/refund", body).await.0;
    let status = async || till.get(&format!("/api/v0/payment/{paid}")).await["status"].clone();
    assert_eq!(refund(json!({"payment_id": paid, "amount": 100})).await, 200);
    assert_eq!(status().await, "PARTIALLY_REFUNDED");
    assert_eq!(refund(json!({"payment_id": paid, "amount": 49_900})).await, 409);
    assert_eq!(refund(json!({"payment_id": paid})).await, 200);
    assert_eq!((status().await, till.status(&order).await.as_str()), (json!("REFUNDED"), "PAID"));
    assert_eq!(refund(json!({"payment_id": paid})).await, 409);
    let elsewhere = till.sandbox().refund_payment("stall", "1", None).await;
    assert_eq!(elsewhere, Err(ControlError::NotOffered(Simulated::Oqpay)));
}

#[tokio::test]
async fn a_success_and_a_failure_are_told_to_where_the_order_says() {
    let till = Till::open().await;
    let receiver = Receiver::start_for(&till.client, "other").await;
    receiver.answer(&[500]);
    let silent = till.order("inv-0").await;
    till.pay(&silent, Outcome::Captured).await.unwrap();
    let mut body = order_of("inv-1");
    body["notifyUrl"] = json!(receiver.url);
    let order = till.post("/api/v0/orders", body).await;
    let order = text(&order, "orderId");
    let failed = till.pay(order, Outcome::Failed).await.unwrap();
    let got = receiver.wait_for(2).await;
    assert_eq!((&got[0].body, got[0].signature.as_str()), (&got[1].body, ""), "sent again as it was");
    let told = got[0].json();
    assert_eq!((&told["status"], &told["orderStatus"], &told["transactionId"]), (&json!("FAILED"), &json!("ATTEMPTED"), &json!(failed)));

    till.switch(|switches| (switches.notify_with_merchant_order_id, switches.null_card_fields) = (true, true));
    let paid = till.pay(order, Outcome::Captured).await.unwrap();
    let told = receiver.wait_for(3).await[2].json();
    let transaction = till.get(&format!("/api/v0/payment/{paid}")).await;
    assert_eq!((&told["orderId"], &told["uniqueTransactionId"], &told["transactionId"]), (&json!("inv-1"), &json!(order), &json!(paid)));
    assert_eq!((&told["transactionStatus"], &told["orderStatus"], &told["amount"]), (&json!("SUCCESS"), &json!("PAID"), &json!(499.0)));
    assert_eq!((&told["bankTransactionId"], text(&told, "checksum").len()), (&transaction["bankTransactionId"], 32));
    assert!(told.as_object().unwrap()["maskedCardNumber"].is_null());
    let events: Vec<_> = till.sandbox().deliveries().into_iter().map(|delivery| delivery.event).collect();
    assert_eq!(events[0], "notify.failed");
}

#[tokio::test]
async fn a_forged_callback_says_paid_and_the_books_do_not() {
    let till = Till::open().await;
    let receiver = Receiver::start_for(&till.client, "till").await;
    let order = till.order("inv-1").await;
    till.sandbox().send_forged("till", &order, None).await.unwrap();
    let qr = till.qr(&order).await;
    till.sandbox().send_forged("till", text(&qr, "qrUrl"), Some(100)).await.unwrap();
    let mut told: Vec<_> = receiver.wait_for(2).await.iter().map(Webhook::json).collect();
    told.sort_by_key(|told| told["amount"].to_string());
    for (told, amount) in told.iter().zip([1.0, 499.0]) {
        assert_eq!((&told["status"], &told["orderStatus"], &told["amount"]), (&json!("SUCCESS"), &json!("PAID"), &json!(amount)));
    }
    assert_eq!((&told[0]["transactionId"], &told[0]["orderId"]), (&qr["ekPayId"], &json!(order)));
    assert_eq!(till.status(&order).await, "CHECKOUT_RENDERED");
    assert!(till.sandbox().payments("till").unwrap().is_empty());
}
