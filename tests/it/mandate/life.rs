//! A mandate's life: asked for, approved or not, paused and resumed by its payer, revoked, over.

use std::time::Duration;

use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, PayerAct};

use super::{MAX, instant, mandate_order, money, switched, told_of};
use crate::refund::paise;
use crate::support::app::{ACCOUNT, App, check_revisions, minutes, told, until};

fn revoke_order(key: &str, mandate: &pb::Mandate) -> pb::RevokeMandateRequest {
    pb::RevokeMandateRequest { idempotency_key: key.to_owned(), id: mandate.id.clone() }
}

#[tokio::test]
async fn a_payer_approves_by_the_link_and_what_was_collected_for_it_is_a_payment() {
    let app = App::start().await;
    let asked = app.mandate(mandate_order(&app, "one")).await;
    assert_eq!((asked.state(), asked.in_doubt), (pb::MandateState::AwaitingApproval, false), "{asked:?}");
    assert!(asked.approval_link.starts_with("upi://mandate?"), "{}", asked.approval_link);
    assert!(asked.approval_expire_time.is_some());
    assert_eq!((paise(&asked.max_amount), asked.purpose.as_str(), asked.debit_count), (MAX, "14", 0));
    assert_eq!(paise(&asked.amount_debited), 0);

    let active = app.approve(&asked).await;
    assert!(active.provider_ref.starts_with("token_"), "{active:?}");
    assert!(active.approve_time.is_some() && !active.payer_vpa.is_empty());
    // One rupee was collected at the approval: it is money, so it is a payment.
    let payment = until("the registration's payment", async || {
        let request = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
        app.payments().list_payments(request).await.expect("payments are listed").into_inner().payments.into_iter().next()
    })
    .await;
    assert_eq!((payment.state(), paise(&payment.amount)), (pb::PaymentState::Succeeded, 100));
    assert_eq!((payment.mandate_id.as_str(), payment.debit_id.as_str(), payment.qr_id.as_str()), (active.id.as_str(), "", ""));
    assert_eq!(payment.reference, "ref-one");
    let types = told_of(&app, &active.id).await;
    assert_eq!(types.first().map(String::as_str), Some("mandate.requested"));
    assert!(types.iter().any(|kind| kind == "mandate.awaiting_approval") && types.iter().any(|kind| kind == "mandate.activated"));
    assert_eq!(app.asked("order.create"), 1);
}

#[tokio::test]
async fn a_payer_declines() {
    let app = App::start().await;
    let asked = app.mandate(mandate_order(&app, "one")).await;
    app.payer(&asked.approval_link, PayerAct::Reject).await;
    let payments = app.provider.payments(ACCOUNT).expect("the sandbox knows the account");
    assert_eq!(payments[0]["status"], "failed");
    app.advance(minutes(20));
    let now = app.get_mandate(&asked.id).await;
    assert!(matches!(now.state(), pb::MandateState::Rejected | pb::MandateState::AwaitingApproval), "{now:?}");
}

#[tokio::test]
async fn what_nobody_approves_in_time_expires() {
    let app = App::start().await;
    let asked = app.mandate(mandate_order(&app, "one")).await;
    let end = instant(asked.approval_expire_time.as_ref()).expect("Razorpay's orders are good for the day");
    app.advance_to(end);
    app.passing(minutes(20), "the end of the approval", async || {
        Some(app.get_mandate(&asked.id).await).filter(|mandate| mandate.state() == pb::MandateState::Expired)
    })
    .await;
    let expired = app.get_mandate(&asked.id).await;
    assert_eq!(expired.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::ApprovalExpired));
    assert!(expired.end_time.is_some());
}

#[tokio::test]
async fn a_payer_pauses_resumes_and_revokes() {
    let app = App::start().await;
    let active = app.approved(mandate_order(&app, "one")).await;
    app.payer(&active.provider_ref, PayerAct::Pause).await;
    app.mandate_until(&active.id, pb::MandateState::Paused).await;
    app.payer(&active.provider_ref, PayerAct::Resume).await;
    app.mandate_until(&active.id, pb::MandateState::Active).await;
    app.payer(&active.provider_ref, PayerAct::Revoke).await;
    let revoked = app.mandate_until(&active.id, pb::MandateState::Revoked).await;
    assert!(revoked.end_time.is_some());
    let types = told_of(&app, &active.id).await;
    let states: Vec<&str> = types.iter().map(String::as_str).filter(|kind| !kind.ends_with("updated")).collect();
    assert_eq!(states[2..], ["mandate.activated", "mandate.paused", "mandate.resumed", "mandate.revoked"]);
}

/// Callbacks may be lost: looking finds what they would have told.
#[tokio::test]
async fn without_any_callback_approval_and_revocation_are_found_by_looking() {
    let app = App::start().await;
    app.lose_callbacks();
    let asked = app.mandate(mandate_order(&app, "one")).await;
    app.payer(&asked.approval_link, PayerAct::Approve).await;
    let active = app
        .passing(minutes(20), "the approval", async || {
            Some(app.get_mandate(&asked.id).await).filter(|mandate| mandate.state() == pb::MandateState::Active)
        })
        .await;
    app.payer(&active.provider_ref, PayerAct::Revoke).await;
    app.passing(minutes(24 * 60), "the revocation", async || {
        Some(app.get_mandate(&asked.id).await).filter(|mandate| mandate.state() == pb::MandateState::Revoked)
    })
    .await;
    check_revisions(&app.log().await);
}

#[tokio::test]
async fn revoking_is_pending_until_the_network_confirms_it() {
    let app = App::start().await;
    switched(&app.provider, |mandates| mandates.cancelling_stays = true);
    let active = app.approved(mandate_order(&app, "one")).await;
    let revoked = app.mandates().revoke_mandate(revoke_order("revoke", &active)).await.expect("it is taken").into_inner();
    let pending = revoked.mandate.expect("the answer has it");
    assert_eq!(pending.state(), pb::MandateState::Active);
    assert_eq!(pending.pending_change.as_ref().map(pb::PendingChange::operation), Some(pb::Operation::Revoke));
    // Another one meanwhile.
    let other = app.mandates().revoke_mandate(revoke_order("other", &active)).await.unwrap_err();
    assert_eq!((other.code(), told(&other).reason.as_str()), (Code::Aborted, "CHANGE_PENDING"));
    app.payer(&active.provider_ref, PayerAct::Revoke).await;
    let end = app.mandate_until(&active.id, pb::MandateState::Revoked).await;
    assert!(end.pending_change.is_none());
    let again = app.mandates().revoke_mandate(revoke_order("revoke", &active)).await.expect("it is replayed").into_inner();
    assert!(again.idempotency_replayed);
    let once_more = app.mandates().revoke_mandate(revoke_order("third", &active)).await.expect("it is so already").into_inner();
    assert!(!once_more.idempotency_replayed);
    assert_eq!(app.asked("token.cancel"), 1);
}

#[tokio::test]
async fn a_revoke_whose_answer_is_lost_is_found_by_looking_and_sent_once() {
    for fault in [FaultKind::AnswerLost, FaultKind::StatusAfter { status: 500 }, FaultKind::Garbage] {
        let app = App::start().await;
        let active = app.approved(mandate_order(&app, "one")).await;
        app.fault("token.cancel", fault.clone());
        let answer = app.mandates().revoke_mandate(revoke_order("revoke", &active)).await.expect("the intent stands").into_inner();
        assert!(answer.mandate.expect("the answer has it").pending_change.is_some(), "{fault:?}");
        app.passing(minutes(1), "the revocation", async || {
            Some(app.get_mandate(&active.id).await).filter(|mandate| mandate.state() == pb::MandateState::Revoked)
        })
        .await;
        assert_eq!(app.asked("token.cancel"), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_revoke_that_never_arrived_is_not_made_and_says_so() {
    let app = App::start().await;
    let active = app.approved(mandate_order(&app, "one")).await;
    app.fault("token.cancel", FaultKind::RequestLost);
    app.mandates().revoke_mandate(revoke_order("revoke", &active)).await.expect("the intent stands");
    let now = app
        .passing(minutes(10), "that it was not made", async || {
            Some(app.get_mandate(&active.id).await).filter(|mandate| mandate.pending_change.is_none())
        })
        .await;
    assert_eq!(now.state(), pb::MandateState::Active);
    assert_eq!(now.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::AbsentAtProvider));
    assert_eq!(app.asked("token.cancel"), 1);
}

/// Each step of the creation may lose its answer: one order is made, and its link reaches the caller in the end.
#[tokio::test]
async fn whatever_answer_of_the_creation_is_lost_one_order_is_made_and_its_link_is_found() {
    for operation in ["order.create", "payment.create_upi"] {
        for fault in [FaultKind::AnswerLost, FaultKind::StatusAfter { status: 502 }, FaultKind::Garbage] {
            let app = App::start().await;
            app.fault(operation, fault.clone());
            let asked = app.mandate(mandate_order(&app, "one")).await;
            assert_eq!(asked.state(), pb::MandateState::Requested, "{operation} {fault:?}");
            let found = app
                .passing(minutes(1), "the link", async || {
                    Some(app.get_mandate(&asked.id).await).filter(|mandate| mandate.state() == pb::MandateState::AwaitingApproval)
                })
                .await;
            let active = app.approve(&found).await;
            assert_eq!(active.id, asked.id);
            assert_eq!(app.asked("order.create"), 1, "{operation} {fault:?}");
            check_revisions(&app.log().await);
        }
    }
}

#[tokio::test]
async fn a_creation_that_never_arrived_fails_once_its_absence_proves_it() {
    let app = App::start().await;
    app.fault("order.create", FaultKind::RequestLost);
    let asked = app.mandate(mandate_order(&app, "one")).await;
    let failed = app
        .passing(minutes(10), "the proof", async || {
            Some(app.get_mandate(&asked.id).await).filter(|mandate| mandate.state() == pb::MandateState::Failed)
        })
        .await;
    assert_eq!(failed.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::AbsentAtProvider));
    assert_eq!(app.asked("order.create"), 1);
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_first_and_another_request_is_refused() {
    let app = App::start().await;
    let first = app.mandate(mandate_order(&app, "one")).await;
    let without_end = pb::CreateMandateRequest { valid_until: None, ..mandate_order(&app, "one") };
    assert_eq!(app.mandates().create_mandate(without_end).await.unwrap_err().code(), Code::InvalidArgument);
    let mut other = mandate_order(&app, "one");
    other.max_amount = Some(money(1_000));
    let reused = told(&app.mandates().create_mandate(other).await.unwrap_err());
    assert_eq!(reused.reason, "IDEMPOTENCY_KEY_REUSED");
    assert!(reused.metadata["differing_fields"].contains("max_amount"), "{reused:?}");
    assert_eq!(app.get_mandate(&first.id).await.revision, first.revision);
}

#[tokio::test]
async fn its_last_day_over_it_expires() {
    let app = App::start().await;
    let mut order = mandate_order(&app, "one");
    let until = upistream::clock::after(upistream::clock::Clock::now(&*app.clock), Duration::from_secs(40 * 24 * 3_600));
    order.valid_until = Some(super::stamp(until));
    let active = app.approved(order).await;
    app.advance(Duration::from_secs(42 * 24 * 3_600));
    let over = app.mandate_until(&active.id, pb::MandateState::Expired).await;
    assert!(over.failure.is_none() && over.end_time.is_some());
}

#[tokio::test]
async fn what_no_merchant_can_do_there_is_said() {
    let app = App::start().await;
    let active = app.approved(mandate_order(&app, "one")).await;
    let (key, id) = ("k".to_owned(), active.id.clone());
    let pause = app.mandates().pause_mandate(pb::PauseMandateRequest { idempotency_key: key.clone(), id: id.clone() }).await;
    let resume = app.mandates().resume_mandate(pb::ResumeMandateRequest { idempotency_key: key.clone(), id: id.clone() }).await;
    let update = pb::UpdateMandateRequest { idempotency_key: key, id, max_amount: Some(money(1_000)), valid_until: None };
    let update = app.mandates().update_mandate(update).await;
    for refused in [pause.map(|_| ()).unwrap_err(), resume.map(|_| ()).unwrap_err(), update.map(|_| ()).unwrap_err()] {
        assert_eq!((refused.code(), told(&refused).reason.as_str()), (Code::FailedPrecondition, "PROVIDER_LACKS_CAPABILITY"));
    }
    assert_eq!(app.get_mandate(&active.id).await.revision, active.revision);
}
