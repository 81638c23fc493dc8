//! What became of a refund is not known: it is never sent again. That it was made may show; that it was not never does.

use std::time::Duration;

use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, RefundCourse};

use super::super::enkash::switched;
use super::super::shop::{LEASE, PAISE, Shop};
use super::{A_DAY_AND_MORE, A_PART, ANOTHER_PART, at_provider, decided, paid, shown_to_an_operator, stays, waits_for};
use crate::refund::refund_order;
use crate::support::app::{check_revisions, told, within};

/// A refund whose answer is lost: it says so, is listed, and keeps its amount.
async fn asked_in_vain(shop: &Shop, payment: &pb::Payment, amount: i64, fault: &FaultKind) -> pb::Refund {
    let before = shop.app.refunded(payment).await;
    shop.fault("refund.create", fault.clone());
    let refund = shop.app.refund("lost", payment, amount).await;
    assert_eq!((refund.state(), refund.in_doubt), (pb::RefundState::Requested, true), "{fault:?}");
    assert_eq!(shop.app.refunded(payment).await, (before.0, amount), "{fault:?}");
    shop.app.advance(LEASE);
    let doubts = shop.doubts().await;
    assert_eq!(doubts.len(), 1, "{fault:?}: {doubts:?}");
    assert_eq!((doubts[0].resource_id.as_str(), doubts[0].kind()), (refund.id.as_str(), pb::DoubtKind::OutcomeUnknown), "{fault:?}");
    waits_for(shop, "another", payment, amount, &refund).await;
    // Whoever repeats it waits for the decision as long as he has time.
    let repeat = within(Duration::from_secs(2), refund_order("lost", payment, amount));
    let again = shop.app.refunds().create_refund(repeat).await.expect("it is repeated").into_inner();
    assert!(again.idempotency_replayed && again.refund.is_some_and(|again| again.id == refund.id), "{fault:?}");
    refund
}

/// One that the provider made and whose payment shows that it did.
async fn is_found(amount: i64, fault: FaultKind) {
    let (shop, payment) = paid().await;
    let refund = asked_in_vain(&shop, &payment, amount, &fault).await;
    shop.refund_made(&refund.id).await;
    assert_eq!(shop.app.refunded(&payment).await, (amount, 0), "{fault:?}");
    assert!(shop.doubts().await.is_empty());
    assert_eq!((shop.asked("refund.create"), at_provider(&shop)), (1, vec![(amount, "SUCCESS".to_owned())]), "{fault:?}");
    check_revisions(&shop.app.log().await);
}

#[tokio::test]
async fn a_first_part_whose_answer_is_lost_is_found_by_the_payment() {
    is_found(A_PART, FaultKind::AnswerLost).await;
    is_found(A_PART, FaultKind::StatusAfter { status: 500 }).await;
    is_found(A_PART, FaultKind::StatusAfter { status: 422 }).await;
}

#[tokio::test]
async fn a_whole_refund_whose_answer_is_lost_is_found_by_the_payment() {
    is_found(PAISE, FaultKind::AnswerLost).await;
    is_found(PAISE, FaultKind::Stall).await;
    is_found(PAISE, FaultKind::Garbage).await;
}

#[tokio::test]
async fn the_rest_after_a_part_is_found_too() {
    let (shop, payment) = paid().await;
    let first = shop.app.refund("first", &payment, A_PART).await;
    shop.refund_made(&first.id).await;
    let rest = asked_in_vain(&shop, &payment, PAISE - A_PART, &FaultKind::AnswerLost).await;
    shop.refund_made(&rest.id).await;
    assert_eq!((shop.asked("refund.create"), shop.app.refunded(&payment).await), (2, (PAISE, 0)));
}

/// The provider is still at it when it is looked at first: found when it is done.
#[tokio::test]
async fn one_that_takes_its_time_is_found_when_it_is_made() {
    let (shop, payment) = paid().await;
    switched(&shop, |enkash| enkash.refunds = RefundCourse::WhenTold);
    let refund = asked_in_vain(&shop, &payment, A_PART, &FaultKind::AnswerLost).await;
    stays(&shop, &refund).await;
    let request_id = super::newest_request_id(&shop);
    shop.app.provider.end_refund("enkash", &request_id, upistream::sandbox::RefundEnd::Processed).await.expect("it is pending");
    shop.app.advance_until_asked(A_DAY_AND_MORE, "payment.fetch").await;
    shop.app.refund_until(&refund.id, pb::RefundState::Succeeded).await;
    assert_eq!(shop.asked("refund.create"), 1);
}

/// A second part can't be told apart from the first, so nobody but an operator finds it.
#[tokio::test]
async fn a_second_part_whose_answer_is_lost_waits_for_an_operator() {
    let (shop, payment) = paid().await;
    let first = shop.app.refund("first", &payment, A_PART).await;
    shop.refund_made(&first.id).await;
    let second = asked_in_vain(&shop, &payment, ANOTHER_PART, &FaultKind::AnswerLost).await;
    stays(&shop, &second).await;
    assert_eq!(decided(&shop, "it happened", &second.id, true).await.state(), pb::RefundState::Succeeded);
    assert_eq!((shop.asked("refund.create"), shop.app.refunded(&payment).await), (2, (A_PART + ANOTHER_PART, 0)));
    assert!(shop.doubts().await.is_empty());
}

/// What the provider never saw, or refused: no failure of a refund is published, so none is known to come before any effect.
#[tokio::test]
async fn what_was_not_acted_on_waits_until_an_operator_gives_it_up() {
    for fault in [FaultKind::RequestLost, FaultKind::StatusBefore { status: 500 }, FaultKind::StatusBefore { status: 400 }] {
        let (shop, payment) = paid().await;
        let refund = asked_in_vain(&shop, &payment, PAISE, &fault).await;
        stays(&shop, &refund).await;
        shown_to_an_operator(&shop, &refund.id).await;
        let failed = decided(&shop, "it did not", &refund.id, false).await;
        assert_eq!(failed.failure.expect("it failed").reason(), pb::FailureReason::OperatorDecided, "{fault:?}");
        assert!(shop.doubts().await.is_empty());
        assert_eq!((shop.asked("refund.create"), shop.app.refunded(&payment).await), (1, (0, 0)), "{fault:?}");
        assert!(shop.refunds_there().is_empty());
        let again = shop.app.create_refund(refund_order("lost", &payment, PAISE)).await;
        let replayed = again.expect("the key stands for the refund that was given up");
        assert_eq!(replayed.refund.expect("the answer has it").state(), pb::RefundState::Failed);
        let anew = shop.app.refund("anew", &payment, PAISE).await;
        shop.refund_made(&anew.id).await;
    }
}

/// A throttled request was not acted on: nothing is in doubt.
#[tokio::test]
async fn what_was_throttled_was_not_sent_and_leaves_its_key_and_amount_free() {
    let (shop, payment) = paid().await;
    shop.app.always("refund.create", FaultKind::TooManyRequests { retry_after: None });
    let request = within(Duration::from_secs(2), refund_order("back", &payment, PAISE));
    let refused = told(&shop.app.refunds().create_refund(request).await.expect_err("it was not sent"));
    assert_eq!((refused.reason.as_str(), refused.outcome()), ("PROVIDER_UNAVAILABLE", "NOT_SENT"));
    assert_eq!(shop.app.refunded(&payment).await, (0, 0));
    shop.app.provider.clear_faults();
    let refund = shop.app.refund("back", &payment, PAISE).await;
    shop.refund_made(&refund.id).await;
    assert_eq!(shop.refunds_there().len(), 1);
}

/// A token that ended meanwhile is a reason to log in, not a doubt.
#[tokio::test]
async fn a_token_that_is_no_longer_taken_leaves_no_doubt() {
    let (shop, payment) = paid().await;
    shop.app.provider.advance(Duration::from_millis(1));
    let now = shop.app.provider.now().as_millisecond();
    switched(&shop, |enkash| enkash.tokens_valid_from = now);
    let refund = shop.app.refund("back", &payment, PAISE).await;
    assert_eq!(refund.state(), pb::RefundState::Pending);
    shop.refund_made(&refund.id).await;
    assert_eq!(shop.refunds_there().len(), 1);
}
