//! The documents of Razorpay's about orders, field by field; and how one is found again.

use serde_json::{Value, json};

use super::super::tests::{changed, page, provider_at};
use super::*;
use crate::domain::payment::PaymentStatus;
use crate::providers::scripted::{Reply, Server};

const ORDER: &str = include_str!("../../../../tests/golden/razorpay/order.json");
const PAYMENT: &str = include_str!("../../../../tests/golden/razorpay/payment.json");
const ID: &str = "order_Pz4jW8nB3cR6Ys";
const RECEIPT: &str = "inv-2026-000381";

/// What is read of the documented order, with `changes` made to it. A null takes the field away.
fn read_with(changes: Value) -> Result<KnownOrder, Unreadable> {
    let read = |document: &Value| to_order(wire::read("order", document.to_string().as_bytes())?);
    let document = changed(ORDER, changes);
    let told = read(&document);
    let mut without_nulls = document.clone();
    without_nulls.as_object_mut().expect("an order is an object").retain(|_, value| !value.is_null());
    assert_eq!(read(&without_nulls).ok(), read(&document).ok(), "null and absence differ");
    told
}

fn documented() -> KnownOrder {
    KnownOrder {
        id: ID.to_owned(),
        amount: Money::from_paise(45_000),
        receipt: Some(RECEIPT.to_owned()),
        customer_ref: None,
        is_paid: false,
        notification: None,
        created: time(1_767_240_000).expect("a time of our days"),
    }
}

#[test]
fn the_documented_order_is_read_field_by_field() {
    assert_eq!(read_with(json!({})), Ok(documented()));
    let notification = Notification {
        entity: None,
        order_id: None,
        token_id: Some("token_Pz6eP3hD1rV9Kc".to_owned()),
        status: Some("delivered".to_owned()),
        delivered_at: Some(1_770_209_990),
    };
    let changes = json!({
        "status": "paid", "customer_id": "cust_Pz2bN7yC5wL8Ga",
        "notification": {
            "token_id": "token_Pz6eP3hD1rV9Kc", "payment_after": 1_770_300_000, "id": "notification_Pz6jF2kV8bS4Xe",
            "status": "delivered", "delivered_at": 1_770_209_990,
        },
    });
    let customer_ref = Some("cust_Pz2bN7yC5wL8Ga".to_owned());
    let expected = KnownOrder { is_paid: true, customer_ref, notification: Some(notification), ..documented() };
    assert_eq!(read_with(changes), Ok(expected));
}

#[test]
fn what_may_be_missing_may_be_missing() {
    for unused in ["entity", "amount_paid", "amount_due", "offer_id", "attempts", "notes", "status"] {
        assert_eq!(read_with(json!({unused: null})), Ok(documented()), "{unused}");
    }
    assert_eq!(read_with(json!({"receipt": null})), Ok(KnownOrder { receipt: None, ..documented() }));
    assert_eq!(read_with(json!({"status": "attempted", "token": {"max_amount": 1.5}, "payments": 7})), Ok(documented()));
}

#[test]
fn what_is_not_certain_is_not_read() {
    let unreadable = [
        json!({"amount": 450.0}),
        json!({"amount": "45000"}),
        json!({"amount": null}),
        json!({"amount": 0}),
        json!({"currency": "USD"}),
        json!({"currency": null}),
        json!({"id": null}),
        json!({"id": "order/1"}),
        json!({"entity": "payment"}),
        json!({"customer_id": "cust 1"}),
        json!({"created_at": null}),
        json!({"created_at": i64::MAX}),
        json!({"notification": "delivered"}),
        json!({"notification": ["notification", "order_1", "token_1", "delivered", 1]}),
        json!({"notification": {"delivered_at": "yesterday"}}),
    ];
    for changes in unreadable {
        assert!(read_with(changes.clone()).is_err(), "{changes}");
    }
}

async fn found(replies: Vec<Reply>) -> (Result<Option<KnownOrder>, AskError>, Vec<String>) {
    let server = Server::start(replies).await;
    let api = super::super::tests::api_at(&server.url());
    (find(&api, RECEIPT).await, server.lines())
}

fn order(changes: Value) -> Value {
    changed(ORDER, changes)
}

#[tokio::test]
async fn an_order_is_found_by_our_reference_and_the_oldest_of_several_is_ours() {
    let (one, lines) = found(vec![page(vec![order(json!({}))])]).await;
    assert_eq!(one.expect("it is answered"), Some(documented()));
    assert_eq!(lines, [format!("GET /v1/orders?receipt={RECEIPT}&count=100")]);

    let newer = order(json!({"id": "order_Newer", "created_at": 1_767_240_100}));
    // Another receipt: the list is of more than was asked for.
    let foreign = order(json!({"id": "order_1", "receipt": "another", "created_at": 1, "amount": 1.5}));
    let (oldest, _) = found(vec![page(vec![newer.clone(), order(json!({})), foreign.clone(), newer])]).await;
    assert_eq!(oldest.expect("it is answered").map(|order| order.id).as_deref(), Some(ID));

    for nothing in [Vec::new(), vec![foreign], vec![order(json!({"receipt": null}))]] {
        assert_eq!(found(vec![page(nothing)]).await.0.expect("it is answered"), None);
    }
}

#[tokio::test]
async fn a_search_that_did_not_see_everything_does_not_say_absent() {
    let full = (0..PAGE).map(|index| order(json!({"id": format!("order_{index}"), "receipt": "another"}))).collect();
    let unanswered = [
        page(full),
        page(vec![order(json!({"amount": null}))]),
        page(vec![json!("text")]),
        Reply::Answer(200, json!({"count": 1, "items": []}).to_string()),
        Reply::Answer(200, json!({"count": 0}).to_string()),
        Reply::Answer(500, String::new()),
        Reply::Nothing,
    ];
    for reply in unanswered {
        assert!(matches!(found(vec![reply]).await.0, Err(AskError::Unanswered(_))));
    }
}

#[tokio::test]
async fn the_payments_of_an_order_are_all_told_or_none() {
    let of_order = async |reply: Reply| {
        let server = Server::start(vec![reply]).await;
        let payments = provider_at(&server.url()).mandates.expect("Razorpay has mandates").payments;
        (payments.of_order(ID).await, server.lines())
    };
    let payment = |changes: Value| changed(PAYMENT, changes);
    let failed = payment(json!({
        "id": "pay_1", "status": "failed", "captured": false, "error_reason": "insufficient_funds", "error_description": "No money.",
    }));
    let (payments, lines) = of_order(page(vec![payment(json!({})), failed, payment(json!({}))])).await;
    assert_eq!(lines, [format!("GET /v1/orders/{ID}/payments")]);
    let payments = payments.expect("it is answered");
    let shown: Vec<_> = payments.iter().map(|payment| (payment.provider_ref.as_str(), &payment.status)).collect();
    let no_money = PaymentStatus::Failed { code: "insufficient_funds".to_owned(), message: "No money.".to_owned() };
    assert_eq!(shown, [("pay_1", &no_money), ("pay_Pz4kQ1xV7mT2Ld", &PaymentStatus::Captured)]);

    assert!(of_order(page(Vec::new())).await.0.expect("it is answered").is_empty());
    let absent = json!({"error": {"code": "BAD_REQUEST_ERROR", "description": "The id provided does not exist"}});
    assert!(matches!(of_order(Reply::Answer(400, absent.to_string())).await.0, Err(AskError::Absent)));
    let unanswered = [
        page(vec![payment(json!({})), payment(json!({"id": "pay_1", "amount": "45000"}))]),
        page(vec![payment(json!({"status": "teleported"}))]),
        page(vec![payment(json!({"order_id": "order_Another"}))]),
        Reply::Answer(200, json!({"count": 2, "items": [payment(json!({}))]}).to_string()),
        Reply::Answer(200, "{}".to_owned()),
    ];
    for reply in unanswered {
        assert!(matches!(of_order(reply).await.0, Err(AskError::Unanswered(_))));
    }
}
