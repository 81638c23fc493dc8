//! Somebody refunds in EnKash's dashboard. Refunds have no ids there, so such a one must not be taken for ours.

use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{EnkashSwitches, FaultKind, RefundCourse, RefundEnd};

use super::super::enkash::switched;
use super::super::shop::{PAISE, Shop};
use super::{A_PART, ANOTHER_PART, at_provider, decided, newest_request_id, paid, shown_to_an_operator};
use crate::refund::refund_order;
use crate::support::app::{check_revisions, told};

/// The refund is refused since the payment is contradicted, and nothing is written of it or sent.
async fn is_blocked(shop: &Shop, key: &str, payment: &pb::Payment, amount: i64) {
    let (sent, known) = (shop.asked("refund.create"), shop.refunds_of(payment).await.len());
    let answer = shop.app.create_refund(refund_order(key, payment, amount)).await;
    let refused = told(&answer.expect_err("somebody else has refunded"));
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::FailedPrecondition, "CONTRADICTION_BLOCKS", "NOT_SENT"));
    assert_eq!(refused.metadata["resource_id"], payment.id);
    assert_eq!((shop.asked("refund.create"), shop.refunds_of(payment).await.len()), (sent, known));
    let doubts = shop.doubts().await;
    assert!(doubts.iter().any(|doubt| doubt.resource_id == payment.id && doubt.kind() == pb::DoubtKind::Contradiction), "{doubts:?}");
    assert_eq!(shop.app.get_payment(&payment.id).await.state(), pb::PaymentState::Succeeded);
}

/// Somebody refunds `theirs`, then we are asked for `ours`.
async fn blocks(theirs: i64, ours: i64) {
    let (shop, payment) = paid().await;
    shop.app.provider.refund_payment("enkash", &payment.provider_ref, Some(theirs)).await.expect("it can be refunded");
    is_blocked(&shop, "ours", &payment, ours).await;
    // And once it is written down, nobody needs to ask.
    let asked = shop.asked("payment.fetch");
    is_blocked(&shop, "ours", &payment, ours).await;
    assert_eq!(shop.asked("payment.fetch"), asked);
    check_revisions(&shop.app.log().await);
}

#[tokio::test]
async fn a_part_that_somebody_refunded_blocks_a_part_of_ours() {
    blocks(A_PART, ANOTHER_PART).await;
}

#[tokio::test]
async fn a_part_that_somebody_refunded_blocks_a_whole_refund_of_ours() {
    blocks(A_PART, PAISE).await;
}

#[tokio::test]
async fn a_whole_refund_of_somebody_blocks_a_part_of_ours() {
    blocks(PAISE, A_PART).await;
}

#[tokio::test]
async fn a_whole_refund_of_somebody_blocks_a_whole_one_of_ours() {
    blocks(PAISE, PAISE).await;
}

/// After a part of ours, the rest that somebody refunded shows.
#[tokio::test]
async fn the_rest_that_somebody_refunded_blocks_what_would_come_after_it() {
    for ours in [ANOTHER_PART, PAISE - A_PART] {
        let (shop, payment) = paid().await;
        let first = shop.app.refund("first", &payment, A_PART).await;
        shop.refund_made(&first.id).await;
        shop.app.provider.refund_payment("enkash", &payment.provider_ref, None).await.expect("there is a rest");
        is_blocked(&shop, "ours", &payment, ours).await;
    }
}

/// What the payment shows when it is asked about blocks at once.
#[tokio::test]
async fn a_whole_refund_of_somebody_shows_when_the_payment_is_asked_about() {
    let (shop, payment) = paid().await;
    shop.app.provider.refund_payment("enkash", &payment.provider_ref, None).await.expect("it can be refunded");
    let request = pb::RefreshPaymentRequest { id: payment.id.clone() };
    shop.app.payments().refresh_payment(request).await.expect("it is asked about");
    let asked = shop.asked("payment.fetch");
    is_blocked(&shop, "ours", &payment, A_PART).await;
    assert_eq!(shop.asked("payment.fetch"), asked);
}

/// Where the provider does not say what was refunded before, nothing is sent.
#[tokio::test]
async fn nothing_is_sent_while_the_payment_can_not_be_asked_about() {
    let (shop, payment) = paid().await;
    shop.fault("payment.fetch", FaultKind::StatusBefore { status: 500 });
    let refused = told(&shop.app.create_refund(refund_order("back", &payment, A_PART)).await.expect_err("nobody answers"));
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::Unavailable, "PROVIDER_UNAVAILABLE", "NOT_SENT"));
    assert!(shop.asked("refund.create") == 0 && shop.refunds_of(&payment).await.is_empty());
    // A status that nobody has heard of says as little, and so does an answer that has none.
    let mute: [fn(&mut EnkashSwitches); 3] =
        [|enkash| enkash.unheard_statuses = true, |enkash| enkash.without_payload = true, |enkash| enkash.bare_transactions = true];
    for change in mute {
        switched(&shop, change);
        let refused = told(&shop.app.create_refund(refund_order("back", &payment, A_PART)).await.expect_err("nothing is said"));
        assert_eq!((refused.reason.as_str(), shop.asked("refund.create")), ("PROVIDER_UNAVAILABLE", 0));
    }
    switched(&shop, |_| ());
    let refund = shop.app.refund("back", &payment, A_PART).await;
    shop.refund_made(&refund.id).await;
}

/// A refund that was given up and made all the same is like one of somebody else: it blocks the next.
#[tokio::test]
async fn what_was_given_up_too_early_blocks_the_next_refund() {
    let (shop, payment) = paid().await;
    switched(&shop, |enkash| enkash.refunds = RefundCourse::WhenTold);
    shop.fault("refund.create", FaultKind::AnswerLost);
    let lost = shop.app.refund("lost", &payment, A_PART).await;
    shown_to_an_operator(&shop, &lost.id).await;
    decided(&shop, "it did not", &lost.id, false).await;
    shop.app.provider.end_refund("enkash", &newest_request_id(&shop), RefundEnd::Processed).await.expect("it is pending");
    is_blocked(&shop, "another", &payment, A_PART).await;
    assert_eq!(at_provider(&shop), [(A_PART, "SUCCESS".to_owned())]);
}

/// While ours is under way somebody refunds what is left: what shows then is not taken for ours.
#[tokio::test]
async fn a_refund_of_somebody_while_ours_is_under_way_is_told_apart_by_nobody() {
    let (shop, payment) = paid().await;
    switched(&shop, |enkash| enkash.refunds = RefundCourse::WhenTold);
    let ours = shop.app.refund("ours", &payment, A_PART).await;
    shop.app.provider.end_refund("enkash", &newest_request_id(&shop), RefundEnd::Failed).await.expect("it is pending");
    shop.app.provider.refund_payment("enkash", &payment.provider_ref, None).await.expect("it can be refunded");
    super::stays(&shop, &ours).await;
    shown_to_an_operator(&shop, &ours.id).await;
    decided(&shop, "it did not", &ours.id, false).await;
    // Meanwhile the payment shows that nothing is left of it.
    let sent = shop.asked("refund.create");
    let refused = told(&shop.app.create_refund(refund_order("another", &payment, A_PART)).await.expect_err("nothing is left"));
    assert_eq!((refused.reason.as_str(), refused.metadata["refundable_minor_units"].as_str()), ("REFUND_EXCEEDS_PAYMENT", "0"));
    assert_eq!((shop.asked("refund.create"), shop.app.refunded(&payment).await), (sent, (PAISE, 0)));
}
