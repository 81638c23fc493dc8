//! What is told, how it is signed, and how often.

use super::*;
use crate::sandbox::webhooks::sign;

#[tokio::test]
async fn a_payment_sends_three_signed_events() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    let qr = client.qr().await;
    let payment = client.pay(&qr, Outcome::Captured).await;

    let events = receiver.events(4).await;
    assert_eq!(events, ["payment.authorized", "payment.captured", "qr_code.created", "qr_code.credited"]);
    for webhook in receiver.wait_for(4).await {
        assert_eq!(webhook.signature, sign(SECRET, webhook.body.as_bytes()));
        assert!(webhook.body.starts_with(r#"{"entity":"event","account_id":"acc_AAAAAAAAAAAAAA","event":"#));
        let (event, json) = (webhook.event(), webhook.json());
        assert_eq!(webhook.body.contains(r"https:\/\/a.in"), event.starts_with("qr_code."), "{}", webhook.body);
        let code = &json["payload"]["qr_code"]["entity"];
        let told = &json["payload"]["payment"]["entity"];
        match event.as_str() {
            "qr_code.created" => assert_eq!(text(code, "close_by"), qr["close_by"].to_string()),
            "qr_code.credited" => {
                assert_eq!((&code["status"], &code["payments_count_received"]), (&json!("active"), &json!(0)));
                assert_eq!((&told["id"], &told["notes"]["bill"]), (&payment["id"], &json!("381")));
            }
            "payment.authorized" => assert_eq!((&told["status"], &told["fee"]), (&json!("authorized"), &Value::Null)),
            _ => assert_eq!((&told["status"], &told["base_amount"]), (&json!("captured"), &json!(45_000))),
        }
    }
}

#[tokio::test]
async fn a_failed_delivery_is_repeated_byte_for_byte() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    receiver.answer(&[500, 302]);
    client.qr().await;
    let got = receiver.wait_for(3).await;
    assert!(got.iter().all(|webhook| webhook == &got[0]), "{got:?}");
    let deliveries = client.sandbox.deliveries();
    assert_eq!((deliveries[0].attempt, deliveries[0].status), (1, DeliveryStatus::Answered(500)));
    assert_eq!((deliveries[1].attempt, deliveries[1].status), (2, DeliveryStatus::Answered(302)));
}

#[tokio::test]
async fn strict_order_sends_one_after_the_other() {
    let client = start().await;
    client.sandbox.switches(Switches { strict_order: true, ..Switches::default() });
    let receiver = Receiver::start(&client).await;
    let qr = client.qr().await;
    client.pay(&qr, Outcome::Captured).await;
    let got: Vec<_> = receiver.wait_for(4).await.iter().map(Webhook::event).collect();
    assert_eq!(got, ["qr_code.created", "payment.authorized", "payment.captured", "qr_code.credited"]);
}

#[tokio::test]
async fn faults_drop_repeat_reverse_forge_and_hold() {
    let client = start().await;
    let sandbox = &client.sandbox;
    let receiver = Receiver::start(&client).await;
    let fault = |event: &str, kind| sandbox.webhook_fault(WebhookFault::on(event, kind)).unwrap();

    fault("qr_code.created", WebhookFaultKind::Drop);
    fault("payment.captured", WebhookFaultKind::Duplicate);
    fault("*", WebhookFaultKind::Reverse);
    let qr = client.qr().await;
    client.pay(&qr, Outcome::Captured).await;
    let got = receiver.wait_for(4).await;
    let events: Vec<_> = got.iter().map(Webhook::event).collect();
    assert_eq!((events[0].as_str(), events[3].as_str()), ("qr_code.credited", "payment.authorized"), "{events:?}");
    assert_eq!(got[1], got[2]);

    fault("*", WebhookFaultKind::Forge);
    client.qr().await;
    let forged = receiver.wait_for(5).await[4].clone();
    assert_ne!(forged.signature, sign(SECRET, forged.body.as_bytes()));

    fault("*", WebhookFaultKind::Hold);
    let held = client.qr().await;
    let sent = client.qr().await;
    let id = |webhook: &Webhook| webhook.json()["payload"]["qr_code"]["entity"]["id"].clone();
    assert_eq!(id(&receiver.wait_for(6).await[5]), sent["id"]);
    sandbox.release_webhooks();
    assert_eq!(id(&receiver.wait_for(7).await[6]), held["id"]);
}

#[tokio::test]
async fn an_order_tells_of_its_payment_without_escaped_slashes() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    let (_, order) = client.post("/orders", json!({"amount": 500, "currency": "INR", "notes": {"u": "a/b"}})).await;
    client.sandbox.pay_order("shop", text(&order, "id"), PayOptions::default()).await.unwrap();
    assert_eq!(receiver.events(3).await, ["order.paid", "payment.authorized", "payment.captured"]);
    let paid = receiver.wait_for(3).await.into_iter().find(|webhook| webhook.event() == "order.paid").unwrap();
    assert!(paid.body.contains(r#""notes":{"u":"a/b"}"#), "{}", paid.body);
}

#[tokio::test]
async fn money_on_a_closed_code_is_captured_and_given_back() {
    let client = start().await;
    let receiver = Receiver::start(&client).await;
    let qr = client.qr().await;
    client.pay(&qr, Outcome::Captured).await;
    receiver.wait_for(4).await;
    let second = client.pay(&qr, Outcome::Captured).await;
    assert_eq!((&second["status"], &second["refund_status"]), (&json!("refunded"), &json!("full")));
    assert_eq!(client.fetch(&qr).await["payments_count_received"], 1);
    let mut events: Vec<_> = receiver.wait_for(8).await[4..].iter().map(Webhook::event).collect();
    events.sort();
    assert_eq!(events, ["payment.authorized", "payment.captured", "refund.created", "refund.processed"]);
    let refund = receiver.wait_for(8).await.into_iter().find(|webhook| webhook.event() == "refund.created").unwrap();
    assert!(refund.body.starts_with(r#"{"account_id":"#), "alphabetical: {}", refund.body);

    client.sandbox.switches(Switches { closed_code_cannot_be_paid: true, ..Switches::default() });
    let refused = client.sandbox.pay_qr("shop", text(&qr, "id"), PayOptions::default()).await;
    assert!(matches!(refused, Err(ControlError::WrongState { .. })), "{refused:?}");
}
