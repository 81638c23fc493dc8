//! Answers about mandates and notices that are lost. None of it moves money: mandates are found by our reference, and a notice
//! may be sent again.

use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, PayerAct};

use super::{approved, mandate_in_time, open, order, order_without_day, payer, revoke};
use crate::mandate::debit_order;
use crate::support::app::{check_revisions, minutes, told};

/// Each way in which what was done is not heard of.
fn unheard() -> [FaultKind; 4] {
    [FaultKind::AnswerLost, FaultKind::StatusAfter { status: 500 }, FaultKind::Garbage, FaultKind::Stall]
}

#[tokio::test]
async fn a_mandate_whose_answer_is_lost_is_found_by_our_reference() {
    for fault in unheard() {
        let shop = open().await;
        shop.fault("mandate.create", fault.clone());
        let asked = shop.app.mandate(order(&shop.app, "one")).await;
        assert_eq!((asked.state(), asked.in_doubt), (pb::MandateState::Requested, true), "{fault:?}");
        let found = mandate_in_time(&shop, &asked.id, minutes(1), pb::MandateState::AwaitingApproval).await;
        assert!(!found.provider_ref.is_empty() && !found.in_doubt, "{fault:?}: {found:?}");
        payer(&shop.app, &found, PayerAct::Approve).await;
        shop.app.mandate_until(&asked.id, pb::MandateState::Active).await;
        assert_eq!(shop.asked("mandate.create"), 1, "{fault:?}");
        assert!(shop.doubts().await.is_empty());
        check_revisions(&shop.app.log().await);
    }
}

#[tokio::test]
async fn a_mandate_whose_request_is_lost_fails_once_its_absence_proves_it() {
    for fault in [FaultKind::RequestLost, FaultKind::StatusBefore { status: 500 }] {
        let shop = open().await;
        shop.fault("mandate.create", fault.clone());
        let asked = shop.app.mandate(order(&shop.app, "one")).await;
        assert_eq!(asked.state(), pb::MandateState::Requested, "{fault:?}");
        let failed = mandate_in_time(&shop, &asked.id, minutes(10), pb::MandateState::Failed).await;
        assert_eq!(failed.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::AbsentAtProvider), "{fault:?}");
        assert_eq!(shop.asked("mandate.create"), 1, "{fault:?}");
    }
}

/// A mandate that was refused would never be debited, so the refusal is believed; unless it would block the payer's money.
#[tokio::test]
async fn a_refused_mandate_is_over_and_one_that_would_block_money_is_looked_for() {
    let shop = open().await;
    shop.fault("mandate.create", FaultKind::StatusBefore { status: 400 });
    let refused = told(&shop.app.mandates().create_mandate(order(&shop.app, "one")).await.expect_err("it is refused"));
    assert_eq!((refused.reason.as_str(), refused.outcome()), ("PROVIDER_REFUSED", "DEFINITE"));
    let failed = shop.app.get_mandate(&refused.metadata["resource_id"]).await;
    assert_eq!((failed.state(), failed.failure.map(|failure| failure.provider_code)), (pb::MandateState::Failed, Some("400".to_owned())));

    let blocking = |key| pb::CreateMandateRequest { block_funds: true, ..order_without_day(&shop.app, key, pb::MandateFrequency::OneTime) };
    shop.fault("mandate.create", FaultKind::StatusBefore { status: 400 });
    let asked = shop.app.mandate(blocking("two")).await;
    assert_eq!((asked.state(), asked.in_doubt), (pb::MandateState::Requested, true));
    let failed = mandate_in_time(&shop, &asked.id, minutes(10), pb::MandateState::Failed).await;
    assert_eq!(failed.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::AbsentAtProvider));

    shop.fault("mandate.create", FaultKind::StatusAfter { status: 400 });
    let asked = shop.app.mandate(blocking("three")).await;
    assert_eq!(asked.state(), pb::MandateState::Requested);
    mandate_in_time(&shop, &asked.id, minutes(1), pb::MandateState::AwaitingApproval).await;
    assert_eq!(shop.asked("mandate.create"), 3);
}

#[tokio::test]
async fn a_revoke_whose_answer_is_lost_is_found_by_asking_and_sent_once() {
    for fault in unheard().into_iter().chain([FaultKind::StatusAfter { status: 400 }]) {
        let shop = open().await;
        let active = approved(&shop.app, order(&shop.app, "one")).await;
        shop.app.lose_callbacks();
        shop.fault("mandate.revoke", fault.clone());
        let pending = revoke(&shop, "revoke", &active).await.expect("the intent stands");
        assert!(pending.pending_change.is_some(), "{fault:?}");
        mandate_in_time(&shop, &active.id, minutes(1), pb::MandateState::Revoked).await;
        assert_eq!(shop.asked("mandate.revoke"), 1, "{fault:?}");
    }
}

/// What EnKash says no to may be revoked all the same: only asking tells.
#[tokio::test]
async fn a_revoke_that_was_not_made_says_so_in_the_end() {
    for fault in [FaultKind::RequestLost, FaultKind::StatusBefore { status: 400 }] {
        let shop = open().await;
        let active = approved(&shop.app, order(&shop.app, "one")).await;
        shop.fault("mandate.revoke", fault.clone());
        revoke(&shop, "revoke", &active).await.expect("the intent stands");
        let now = shop
            .app
            .passing(minutes(10), "that it was not made", async || {
                Some(shop.app.get_mandate(&active.id).await).filter(|mandate| mandate.pending_change.is_none())
            })
            .await;
        assert_eq!(now.state(), pb::MandateState::Active, "{fault:?}");
        assert_eq!(now.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::AbsentAtProvider), "{fault:?}");
        assert_eq!(shop.asked("mandate.revoke"), 1, "{fault:?}");
    }
}

/// Nobody can ask whether a payer was notified; to notify him twice does no harm.
#[tokio::test]
async fn a_notice_whose_answer_is_lost_is_sent_again_and_the_debit_is_made_once() {
    for fault in unheard() {
        let shop = open().await;
        let mandate = approved(&shop.app, order(&shop.app, "one")).await;
        shop.fault("mandate.notify", fault.clone());
        let asked = shop.app.debit(debit_order("one", &mandate, super::PAISE)).await;
        assert_eq!((asked.state(), asked.in_doubt), (pb::DebitState::Requested, true), "{fault:?}");
        let waiting = super::debit_in_time(&shop, &asked.id, minutes(1), pb::DebitState::Scheduled).await;
        assert_eq!((shop.asked("mandate.notify"), shop.asked("mandate.execute")), (2, 0), "{fault:?}");
        shop.app.collected(&waiting).await;
        assert_eq!(shop.asked("mandate.execute"), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refused_notice_is_the_end_of_its_debit() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    shop.fault("mandate.notify", FaultKind::StatusBefore { status: 400 });
    let refused = told(&shop.app.create_debit(debit_order("one", &mandate, super::PAISE)).await.expect_err("it is refused"));
    assert_eq!((refused.reason.as_str(), refused.outcome()), ("PROVIDER_REFUSED", "DEFINITE"));
    assert_eq!(shop.app.get_debit(&refused.metadata["resource_id"]).await.state(), pb::DebitState::Failed);
    // Its cycle is free.
    let waiting = shop.app.announced(debit_order("two", &mandate, super::PAISE)).await;
    shop.app.collected(&waiting).await;
    assert_eq!(shop.asked("mandate.execute"), 1);
}
