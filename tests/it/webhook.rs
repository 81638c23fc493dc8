//! The door for callbacks: only what the provider signed leaves a trace, and what is not ours leaves none.

use serde_json::json;
use upistream::grpc::pb;
use upistream::sandbox::{DeliveryStatus, PayOptions, WebhookFaultKind};

use crate::support::app::{ACCOUNT, App, URL_SECRET, WEBHOOK_SECRET, callback, minutes, provider, signature, until};

/// Nothing but the creation of the code is recorded.
async fn has_no_trace(app: &App, qr: &pb::Qr) {
    assert_eq!(&app.get_qr(&qr.id).await, qr);
    assert!(app.payments_of(&qr.id).await.is_empty());
    assert!(app.quarantine().await.is_empty());
    assert!(app.doubts().await.is_empty());
    let names: Vec<_> = app.log().await.into_iter().map(|event| event.r#type).collect();
    assert_eq!(names, ["qr.requested", "qr.activated"]);
}

#[tokio::test]
async fn a_forgery_is_turned_away_and_leaves_no_trace() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.callbacks_delivered(1).await;
    app.callbacks("*", WebhookFaultKind::Forge);
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    until("the forgeries to be turned away", async || {
        let deliveries = app.provider.deliveries();
        (deliveries.iter().filter(|delivery| delivery.status == DeliveryStatus::Answered(401)).count() == 3).then_some(())
    })
    .await;
    has_no_trace(&app, &qr).await;
    let refused = "upistream_webhooks_refused_total{account=\"shop\",reason=\"bad_signature\"} 3";
    assert!(app.metrics().await.contains(refused), "{}", app.metrics().await);
    // What the forgeries said happens to be true: asking finds it.
    app.advance(minutes(2));
    app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
}

#[tokio::test]
async fn a_signature_counts_for_exactly_its_bytes() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.callbacks_delivered(1).await;
    let closed = json!({"qr_code": {"entity": {"id": qr.provider_ref, "entity": "qr_code", "status": "closed", "payment_amount": 49_900}}});
    let body = callback("qr_code.closed", closed, app.provider.now().as_second());
    let signed = signature(WEBHOOK_SECRET, &body);
    for (body, signature) in [
        (format!("{body} "), signed.clone()),
        (body.replace("49900", "49901"), signed.clone()),
        (body.clone(), String::new()),
        (body.clone(), signed.chars().rev().collect()),
        (body.clone(), signed[..60].to_owned()),
        (body.clone(), format!("{signed}00")),
        (body.clone(), signature("another-secret", &body)),
        (body.clone(), signature("", &body)),
    ] {
        assert_eq!(app.post(URL_SECRET, body, &signature).await, 401, "{signature}");
    }
    has_no_trace(&app, &qr).await;
    assert_eq!(app.post(URL_SECRET, body, &signed).await, 200);
    assert_eq!(app.get_qr(&qr.id).await.state(), pb::QrState::Closed);
}

#[tokio::test]
async fn a_wrong_address_is_no_address() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.callbacks_delivered(1).await;
    let body = callback("qr_code.closed", json!({}), app.provider.now().as_second());
    let signed = signature(WEBHOOK_SECRET, &body);
    for secret in ["another-part", "an-unguessable-par", "an-unguessable-part0", "%20"] {
        assert_eq!(app.post(secret, body.clone(), &signed).await, 404, "{secret}");
    }
    has_no_trace(&app, &qr).await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_not_read() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.callbacks_delivered(1).await;
    let body = " ".repeat(1024 * 1024 + 1);
    let signed = signature(WEBHOOK_SECRET, &body);
    assert_eq!(app.post(URL_SECRET, body, &signed).await, 413);
    has_no_trace(&app, &qr).await;
}

#[tokio::test]
async fn a_callback_of_another_account_is_kept_for_a_person_and_not_applied() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.callbacks_delivered(1).await;
    let closed = json!({"qr_code": {"entity": {"id": qr.provider_ref, "entity": "qr_code", "status": "closed", "payment_amount": 49_900}}});
    let body = callback("qr_code.closed", closed, app.provider.now().as_second()).replace("acc_Story", "acc_Other");
    assert_eq!(app.post_signed(&body).await, 200);
    assert_eq!(app.get_qr(&qr.id).await, qr);
    assert_eq!(app.quarantine().await[0].reason(), pb::QuarantineReason::NotUnderstood);
}

#[tokio::test]
async fn a_payment_to_somebody_else_s_code_of_the_same_account_is_not_kept() {
    let app = App::start().await;
    let body = json!({"type": "upi_qr", "usage": "single_use", "fixed_amount": true, "payment_amount": 12_300});
    let code = app.at_provider("payments/qr_codes", &body).await;
    app.pay(code["id"].as_str().unwrap(), PayOptions::default()).await;
    app.callbacks_delivered(4).await;
    // Two of them don't say which code was paid: they are kept until the provider has said so.
    until("the quarantine to be empty", async || app.quarantine().await.is_empty().then_some(())).await;
    assert!(app.log().await.is_empty() && app.list_qrs().await.is_empty());
    let all = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    assert!(app.payments().list_payments(all).await.unwrap().into_inner().payments.is_empty());
}

#[tokio::test]
async fn other_business_of_the_account_is_not_kept() {
    let app = App::start().await;
    for event in ["subscription.charged", "virtual_account.credited", "order.paid", "payout.processed"] {
        let body = callback(event, json!({"something": {"entity": {"id": "sub_1"}}}), app.provider.now().as_second());
        assert_eq!(app.post_signed(&body).await, 200);
    }
    let card = json!({"payment": {"entity": {"id": "pay_00000000000001", "entity": "payment", "method": "card", "currency": "USD"}}});
    assert_eq!(app.post_signed(&callback("payment.captured", card, app.provider.now().as_second())).await, 200);
    assert!(app.log().await.is_empty() && app.quarantine().await.is_empty());
    let foreign = "upistream_webhooks_total{account=\"shop\",result=\"foreign\"} 5";
    assert!(app.metrics().await.contains(foreign), "{}", app.metrics().await);
}

#[tokio::test]
async fn a_payment_that_does_not_say_which_code_it_came_through_is_learned_all_the_same() {
    let app = App::start_with(provider().await, |_| ()).await;
    let qr = app.create("one", 49_900).await;
    app.lose_callbacks();
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    let mut entity = app.provider.payments(ACCOUNT).unwrap().remove(0);
    entity["notes"] = json!([]);
    let body = callback("payment.captured", json!({"payment": {"entity": entity}}), app.provider.now().as_second());
    assert_eq!(app.post_signed(&body).await, 200);
    // Time stands still: only that callback can have led there.
    let payment = app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    until("the quarantine to be empty", async || app.quarantine().await.is_empty().then_some(())).await;
    let story = app.story(&payment.id, payment.revision).await;
    assert_eq!((story[0].r#type.as_str(), story[0].evidence()), ("payment.succeeded", pb::Evidence::Enquiry));
    app.qr_until(&qr.id, "the code to be paid", |qr| qr.payment_count == 1 && qr.state() == pb::QrState::Closed).await;
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated", "qr.updated", "qr.closed"]);
}
