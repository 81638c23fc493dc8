//! What a payment's refunds may come to, and what forbids one.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tonic::Code;
use upistream::grpc::pb;

use super::{paise, refund_order};
use crate::support::app::{ACCOUNT, App, callback, minutes, told, until};

#[tokio::test]
async fn the_refunds_of_a_payment_never_exceed_it_and_what_is_left_is_told() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.refund("a", &payment, 20_000).await;
    app.refund("b", &payment, 24_900).await;
    let refused = told(&app.create_refund(refund_order("c", &payment, 101)).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.reason.as_str(), refused.outcome()),
        (Code::FailedPrecondition, "REFUND_EXCEEDS_PAYMENT", "NOT_SENT")
    );
    assert_eq!(
        (refused.metadata["refundable_minor_units"].as_str(), refused.metadata["resource_id"].as_str()),
        ("100", payment.id.as_str())
    );
    app.refund("c", &payment, 100).await;
    let refused = told(&app.create_refund(refund_order("d", &payment, 100)).await.unwrap_err());
    assert_eq!(refused.metadata["refundable_minor_units"], "0");
    // A repeat of one that was taken is answered as ever.
    let again = app.create_refund(refund_order("a", &payment, 20_000)).await.unwrap();
    assert!(again.idempotency_replayed);
    let other = told(&app.create_refund(refund_order("a", &payment, 20_001)).await.unwrap_err());
    assert_eq!(
        (other.code, other.reason.as_str(), other.metadata["differing_fields"].as_str()),
        (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", "amount")
    );
    assert_eq!(app.asked("refund.create"), 3);
}

#[tokio::test]
async fn a_payment_that_is_too_old_is_refused_before_anything_is_written() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.advance(minutes(181 * 24 * 60));
    let refused = told(&app.create_refund(refund_order("a", &payment, 100)).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.reason.as_str(), refused.metadata["rule"].as_str()),
        (Code::FailedPrecondition, "RULE_FORBIDS", "refund_age")
    );
    assert!(app.refunds_of(&payment).await.is_empty());
}

#[tokio::test]
async fn a_contradiction_blocks_refunds_until_it_is_resolved() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    let refund = app.refund("a", &payment, 20_000).await;
    // The provider says of the same refund that it is over another amount.
    let mut entity = app.refunds_at_provider().remove(0);
    entity["amount"] = 20_001.into();
    let of_payment = app.provider.payments(ACCOUNT).unwrap().remove(0);
    let payload = serde_json::json!({"refund": {"entity": entity}, "payment": {"entity": of_payment}});
    assert_eq!(app.post_signed(&callback("refund.processed", payload, app.provider.now().as_second())).await, 200);
    let contradicted =
        until("the contradiction", async || Some(app.get_refund(&refund.id).await).filter(|refund| !refund.contradictions.is_empty()))
            .await;
    assert_eq!(paise(&contradicted.amount), 20_000, "it is not applied");

    let refused = told(&app.create_refund(refund_order("b", &payment, 100)).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "CONTRADICTION_BLOCKS"));
    assert_eq!(refused.metadata["resource_id"], refund.id);
    let doubts = app.doubts().await;
    assert!(doubts.iter().any(|doubt| doubt.resource_id == refund.id && doubt.kind() == pb::DoubtKind::Contradiction), "{doubts:?}");
    let resolve = pb::ResolveDoubtRequest {
        idempotency_key: "resolve".to_owned(),
        id: refund.id.clone(),
        decision: Some(pb::resolve_doubt_request::Decision::Happened(pb::Happened { provider_ref: String::new() })),
        note: "the callback was a mistake of theirs".to_owned(),
        expected_revision: None,
    };
    app.admin().resolve_doubt(resolve).await.unwrap();
    app.refund("b", &payment, 100).await;
}

/// Sixty-four partial refunds of one payment at once: as many are taken as fit.
pub(crate) async fn never_more_than_was_paid(replicas: &[&App], payment: &pb::Payment) {
    const EACH: i64 = 1_000;
    let mut asking = JoinSet::new();
    for number in 0..64 {
        let mut client = replicas[number % replicas.len()].refunds();
        let request =
            crate::support::app::within(std::time::Duration::from_secs(60), refund_order(&format!("part-{number}"), payment, EACH));
        asking.spawn(async move { client.create_refund(request).await });
    }
    let (mut taken, mut refused) = (BTreeMap::new(), 0);
    while let Some(answer) = asking.join_next().await {
        match answer.unwrap() {
            Ok(made) => {
                let refund = made.into_inner().refund.unwrap();
                assert!(taken.insert(refund.id.clone(), paise(&refund.amount)).is_none(), "each is another one");
            }
            Err(status) => {
                let told = told(&status);
                assert_eq!((told.code, told.reason.as_str()), (Code::FailedPrecondition, "REFUND_EXCEEDS_PAYMENT"), "{status:?}");
                assert_eq!(told.metadata["refundable_minor_units"], (paise(&payment.amount) % EACH).to_string());
                refused += 1;
            }
        }
    }
    let fits = paise(&payment.amount) / EACH;
    assert_eq!((taken.len() as i64, refused), (fits, 64 - fits), "the sum that is accepted is what fits into the payment");
    let app = replicas[0];
    until("all to be at the provider", async || (app.refunds_at_provider().len() as i64 == fits).then_some(())).await;
    let theirs: i64 = app.refunds_at_provider().iter().map(|refund| refund["amount"].as_i64().unwrap()).sum();
    assert_eq!(theirs, fits * EACH, "the provider agrees");
    let (done, pending) = app.refunded(payment).await;
    assert_eq!(done + pending, fits * EACH);
    assert_eq!(app.provider.payments(ACCOUNT).unwrap()[0]["amount_refunded"].as_i64(), Some(fits * EACH));
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_partial_refunds_at_once_never_exceed_the_payment() {
    let app = App::start().await;
    let payment = app.paid("one", 20_000).await;
    never_more_than_was_paid(&[&app], &payment).await;
}
