//! Debits: announced, executed at the first permitted time or by hand, collected once; retried, cancelled, stopped.

use std::time::Duration;

use tonic::Code;
use upistream::clock::Clock as _;
use upistream::grpc::pb;
use upistream::sandbox::{DebitCourse, DebitEnd, FaultKind, NoticeCourse, NoticeEnd, PayerAct};

use super::{debit_order, execute_order, forbidden, instant, is_peak, mandate_order, switched, told_of};
use crate::refund::{paise, refund_order};
use crate::support::app::{ACCOUNT, App, minutes, told, until};

const PAISE: i64 = 49_900;

fn cancel_order(key: &str, debit: &pb::Debit) -> pb::CancelDebitRequest {
    pb::CancelDebitRequest { idempotency_key: key.to_owned(), id: debit.id.clone() }
}

/// A mandate in force, early in a month and a day, so that its cycle leaves time for everything.
async fn in_force(app: &App) -> pb::Mandate {
    app.advance_to_day(2, 6, 0);
    app.approved(mandate_order(app, "mandate")).await
}

fn end_of(debit: &pb::Debit) -> &str {
    &debit.provider_ref
}

#[tokio::test]
async fn it_is_announced_waits_a_day_and_is_collected_at_the_first_permitted_time() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    let asked = app.debit(debit_order("one", &mandate, PAISE)).await;
    assert_eq!((asked.state(), asked.in_doubt, asked.notify_count), (pb::DebitState::Requested, false, 1), "{asked:?}");
    assert_eq!((asked.mandate_id.as_str(), asked.labels["plan"].as_str()), (mandate.id.as_str(), "gold"));
    app.advance(minutes(1));
    let waiting = app.debit_until(&asked.id, pb::DebitState::Scheduled).await;
    let delivered = instant(waiting.notify_deliver_time.as_ref()).expect("the notice was delivered");
    let permitted = instant(waiting.next_permitted_time.as_ref()).expect("it is told when");
    assert!(permitted.duration_since(delivered).as_hours() >= 24 && !is_peak(permitted), "{delivered} {permitted}");
    assert!(instant(waiting.notify_expire_time.as_ref()).expect("it gets old").duration_since(delivered).as_hours() == 48);
    assert_eq!(app.asked("payment.create_recurring"), 0);

    let done = app.collected(&waiting).await;
    assert_eq!(done.attempts.len(), 1);
    let begun = instant(done.attempts[0].start_time.as_ref()).expect("it was begun");
    assert!(begun >= permitted && !is_peak(begun), "{begun} {permitted}");
    let payments = app.payments_of_debit(&done).await;
    assert_eq!(payments.len(), 1, "{payments:?}");
    assert_eq!((payments[0].state(), paise(&payments[0].amount)), (pb::PaymentState::Succeeded, PAISE));
    assert_eq!((payments[0].debit_id.as_str(), payments[0].mandate_id.as_str()), (done.id.as_str(), mandate.id.as_str()));
    assert_eq!((payments[0].reference.as_str(), done.payment_id.as_str()), ("ref-one", payments[0].id.as_str()));
    let mandate = app.get_mandate(&mandate.id).await;
    assert_eq!((mandate.debit_count, paise(&mandate.amount_debited)), (1, PAISE));
    assert_eq!(app.collected_at_provider(&mandate), [PAISE]);
    let types = told_of(&app, &done.id).await;
    let states: Vec<&str> = types.iter().map(String::as_str).filter(|kind| !kind.ends_with("updated")).collect();
    assert_eq!(states, ["debit.requested", "debit.scheduled", "debit.executing", "debit.succeeded"]);
}

#[tokio::test]
async fn what_was_collected_can_be_refunded() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    let done = app.collected(&waiting).await;
    let payment = app.payments_of_debit(&done).await.remove(0);
    let refund = app.create_refund(refund_order("back", &payment, PAISE)).await.expect("it can be refunded").refund.expect("a refund");
    app.advance(minutes(60));
    app.refund_until(&refund.id, pb::RefundState::Succeeded).await;
    // What it collected stays counted.
    assert_eq!(paise(&app.get_mandate(&mandate.id).await.amount_debited), PAISE);
}

#[tokio::test]
async fn by_hand_it_waits_for_its_caller_and_a_repeat_executes_nothing() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    let manual = pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order("one", &mandate, PAISE) };
    let waiting = app.announced(manual).await;
    let permitted = instant(waiting.next_permitted_time.as_ref()).expect("it is told when");
    app.advance_to(permitted);
    app.advance(minutes(30));
    assert_eq!(app.get_debit(&waiting.id).await.state(), pb::DebitState::Notified);
    let executing = app.execute_debit(execute_order("now", &waiting)).await.expect("it is permitted");
    assert_eq!((executing.state(), executing.attempts.len(), executing.in_doubt), (pb::DebitState::Executing, 1, false));
    app.advance(minutes(1));
    let done = app.debit_until(&waiting.id, pb::DebitState::Succeeded).await;
    let again = app.mandates().execute_debit(execute_order("now", &waiting)).await.expect("it is replayed").into_inner();
    assert!(again.idempotency_replayed && again.debit.expect("it").state() == pb::DebitState::Succeeded);
    let other = app.execute_debit(execute_order("again", &done)).await.unwrap_err();
    assert_eq!((other.code(), told(&other).reason.as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
    assert_eq!(app.asked("payment.create_recurring"), 1);
}

#[tokio::test]
async fn too_little_money_is_tried_again_and_then_collected_once() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::Fail { reason: "insufficient_funds".to_owned() });
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    app.attempted(&waiting.id, 1).await;
    app.advance(minutes(1));
    let failed = app.debit_when(&waiting.id, "its failure", |debit| debit.attempts[0].failure.is_some()).await;
    assert_eq!(failed.attempts[0].failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::InsufficientFunds));
    assert_eq!(failed.state(), pb::DebitState::Executing);
    let next = instant(failed.next_permitted_time.as_ref()).expect("another one follows");
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::ByThemselves);
    app.advance_to(next);
    app.attempted(&waiting.id, 2).await;
    app.advance(minutes(1));
    let done = app.debit_until(&waiting.id, pb::DebitState::Succeeded).await;
    assert_eq!((done.attempts.len(), app.payments_of_debit(&done).await.len()), (2, 2));
    assert_eq!(app.collected_at_provider(&mandate), [PAISE]);
    // Both attempts were of one order, of which at most one payment is captured.
    assert_eq!(app.asked("order.create"), 2, "the mandate's and the debit's");
}

#[tokio::test]
async fn four_attempts_are_made_and_no_more() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::Fail { reason: "insufficient_funds".to_owned() });
    let debit = app.debit(debit_order("one", &mandate, PAISE)).await;
    let failed = app
        .passing(minutes(60), "four attempts", async || {
            Some(app.get_debit(&debit.id).await).filter(|debit| debit.state() == pb::DebitState::Failed)
        })
        .await;
    assert_eq!(failed.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::AttemptsExhausted));
    assert_eq!((failed.attempts.len(), app.asked("payment.create_recurring")), (4, 4));
    for attempt in &failed.attempts {
        assert!(!is_peak(instant(attempt.start_time.as_ref()).expect("it was begun")));
    }
    let more = app.execute_debit(execute_order("more", &failed)).await.unwrap_err();
    assert_eq!(forbidden(&told(&more)), ("attempt_limit", None));
    // The cycle is free again.
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::ByThemselves);
    app.debit(debit_order("two", &mandate, PAISE)).await;
}

#[tokio::test]
async fn what_can_never_succeed_is_given_up_at_once() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::Fail { reason: "bank_account_invalid".to_owned() });
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    app.attempted(&waiting.id, 1).await;
    app.advance(minutes(1));
    let failed = app.debit_until(&waiting.id, pb::DebitState::Failed).await;
    assert_eq!((failed.attempts.len(), failed.failure.expect("it failed").provider_code.as_str()), (1, "bank_account_invalid"));
}

#[tokio::test]
async fn a_notice_that_fails_is_sent_anew() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    switched(&app.provider, |mandates| mandates.notices = NoticeCourse::Fail);
    let asked = app.debit(debit_order("one", &mandate, PAISE)).await;
    // Not at once: whatever kept it may take a while.
    app.passing(minutes(1), "another notice", async || Some(app.get_debit(&asked.id).await).filter(|debit| debit.notify_count == 2)).await;
    switched(&app.provider, |mandates| mandates.notices = NoticeCourse::ByThemselves);
    let waiting = app
        .passing(minutes(1), "a notice that is delivered", async || {
            Some(app.get_debit(&asked.id).await).filter(|debit| debit.state() == pb::DebitState::Scheduled)
        })
        .await;
    assert!(waiting.notify_count >= 2);
    app.collected(&waiting).await;
}

#[tokio::test]
async fn a_notice_that_nobody_delivers_lets_the_cycle_pass() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    switched(&app.provider, |mandates| mandates.notices = NoticeCourse::WhenTold);
    let asked = app.debit(debit_order("one", &mandate, PAISE)).await;
    app.advance(Duration::from_secs(31 * 24 * 3_600));
    let failed = app
        .passing(minutes(24 * 60), "the end of the cycle", async || {
            Some(app.get_debit(&asked.id).await).filter(|debit| debit.state() == pb::DebitState::Failed)
        })
        .await;
    assert_eq!(failed.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::NotificationFailed));
    assert_eq!(app.asked("payment.create_recurring"), 0);
    let late = app.provider.end_notice(ACCOUNT, end_of(&failed), NoticeEnd::Delivered).await;
    late.expect("it is delivered late");
    app.advance(Duration::from_secs(2 * 24 * 3_600));
    assert_eq!(app.get_debit(&asked.id).await.state(), pb::DebitState::Failed);
}

/// All of it was down past the time: it is done at the next permitted one.
#[tokio::test]
async fn a_service_that_was_down_past_the_time_makes_up_for_it() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    let App { running, clock, provider, folder, .. } = app;
    running.stop().await;
    let past = instant(waiting.next_permitted_time.as_ref()).expect("it is told when");
    let by = past.duration_since(clock.now()) + jiff::SignedDuration::from_hours(5);
    let by = Duration::try_from(by).expect("it lies ahead");
    clock.advance(by);
    provider.advance(by);
    let app = App::start_at(folder, clock, provider, |_| ()).await;
    let done = app
        .passing(minutes(30), "the debit", async || {
            Some(app.get_debit(&waiting.id).await).filter(|debit| debit.state() == pb::DebitState::Succeeded)
        })
        .await;
    assert_eq!(done.attempts.len(), 1);
    assert!(!is_peak(instant(done.attempts[0].start_time.as_ref()).expect("it was begun")));
}

#[tokio::test]
async fn a_service_that_was_down_past_the_cycle_fails_it() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    let App { running, clock, provider, folder, .. } = app;
    running.stop().await;
    let by = Duration::from_secs(35 * 24 * 3_600);
    clock.advance(by);
    provider.advance(by);
    let app = App::start_at(folder, clock, provider, |_| ()).await;
    let failed = app.debit_until(&waiting.id, pb::DebitState::Failed).await;
    assert_eq!(failed.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::WindowMissed));
    assert_eq!(app.asked("payment.create_recurring"), 0);
}

#[tokio::test]
async fn cancelled_it_is_never_executed_and_its_cycle_is_free() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    let cancelled = app.mandates().cancel_debit(cancel_order("stop", &waiting)).await.expect("it can be cancelled").into_inner();
    assert_eq!(cancelled.debit.expect("the answer has it").state(), pb::DebitState::Cancelled);
    let again = app.mandates().cancel_debit(cancel_order("stop", &waiting)).await.expect("it is replayed").into_inner();
    assert!(again.idempotency_replayed);
    let other = app.mandates().cancel_debit(cancel_order("twice", &waiting)).await.expect("it is so already").into_inner();
    assert!(!other.idempotency_replayed);
    let next = app.announced(debit_order("two", &mandate, PAISE)).await;
    let done = app.collected(&next).await;
    assert_eq!((done.id.as_str(), app.asked("payment.create_recurring")), (next.id.as_str(), 1));
    let late = app.mandates().cancel_debit(cancel_order("late", &done)).await.unwrap_err();
    assert_eq!((late.code(), told(&late).reason.as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
}

/// Revoked or paused between the notice and the debit; a revoke that is pending counts too.
#[tokio::test]
async fn a_revoke_a_pause_and_a_revoke_that_is_pending_each_stop_a_debit() {
    for act in [Some(PayerAct::Revoke), Some(PayerAct::Pause), None] {
        let app = App::start().await;
        let mandate = in_force(&app).await;
        let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
        match act {
            Some(act) => {
                app.payer(&mandate.provider_ref, act).await;
                let state = if act == PayerAct::Pause { pb::MandateState::Paused } else { pb::MandateState::Revoked };
                app.mandate_until(&mandate.id, state).await;
            }
            None => {
                switched(&app.provider, |mandates| mandates.cancelling_stays = true);
                let request = pb::RevokeMandateRequest { idempotency_key: "revoke".to_owned(), id: mandate.id.clone() };
                app.mandates().revoke_mandate(request).await.expect("it is taken");
            }
        }
        let refused = app.create_debit(debit_order("two", &mandate, PAISE)).await.unwrap_err();
        let reason = if act.is_none() { "CHANGE_PENDING" } else { "STATE_FORBIDS" };
        assert_eq!(told(&refused).reason, reason, "{act:?}");
        let by_hand = app.execute_debit(execute_order("now", &waiting)).await.unwrap_err();
        assert!(["CHANGE_PENDING", "STATE_FORBIDS"].contains(&told(&by_hand).reason.as_str()), "{act:?}");
        app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
        app.advance(minutes(10));
        match act {
            Some(PayerAct::Revoke) => {
                app.debit_until(&waiting.id, pb::DebitState::Cancelled).await;
            }
            _ => {
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                assert_eq!(app.get_debit(&waiting.id).await.state(), pb::DebitState::Scheduled, "{act:?}");
            }
        }
        assert_eq!(app.asked("payment.create_recurring"), 0, "{act:?}");
        if act == Some(PayerAct::Pause) {
            app.payer(&mandate.provider_ref, PayerAct::Resume).await;
            app.mandate_until(&mandate.id, pb::MandateState::Active).await;
            app.passing(minutes(30), "the debit after the pause", async || {
                Some(app.get_debit(&waiting.id).await).filter(|debit| debit.state() == pb::DebitState::Succeeded)
            })
            .await;
            assert_eq!(app.asked("payment.create_recurring"), 1);
        }
    }
}

#[tokio::test]
async fn one_that_failed_and_is_authorized_late_ends_well_and_is_collected_once() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    // A reason after which the money may come all the same.
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::Fail { reason: "payment_timed_out".to_owned() });
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    app.attempted(&waiting.id, 1).await;
    app.advance(minutes(1));
    let failed = app.debit_when(&waiting.id, "its failure", |debit| debit.attempts[0].failure.is_some()).await;
    // No other attempt as long as this one may come late.
    assert_eq!(failed.state(), pb::DebitState::Executing);
    app.advance(Duration::from_secs(24 * 3_600));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(app.asked("payment.create_recurring"), 1);
    app.provider.end_debit(ACCOUNT, end_of(&failed), DebitEnd::Collected).await.expect("the bank says yes after all");
    let done = app
        .passing(minutes(30), "the late success", async || {
            Some(app.get_debit(&waiting.id).await).filter(|debit| debit.state() == pb::DebitState::Succeeded)
        })
        .await;
    assert_eq!((done.attempts.len(), done.failure), (1, None));
    app.advance(Duration::from_secs(10 * 24 * 3_600));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!((app.asked("payment.create_recurring"), app.collected_at_provider(&mandate)), (1, vec![PAISE]));
    let mandate = app.get_mandate(&mandate.id).await;
    assert_eq!((mandate.debit_count, paise(&mandate.amount_debited)), (1, PAISE));
}

#[tokio::test]
async fn one_that_is_pending_for_hours_is_waited_for() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::WhenTold);
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    app.attempted(&waiting.id, 1).await;
    for _ in 0..4 {
        app.advance(minutes(10 * 60));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let pending = app.get_debit(&waiting.id).await;
    assert_eq!((pending.state(), pending.attempts.len(), pending.in_doubt), (pb::DebitState::Executing, 1, false));
    app.provider.end_debit(ACCOUNT, end_of(&pending), DebitEnd::Collected).await.expect("the bank says yes");
    app.debit_until(&waiting.id, pb::DebitState::Succeeded).await;
    assert_eq!(app.asked("payment.create_recurring"), 1);
}

#[tokio::test]
async fn an_attempt_that_was_not_delivered_counts_for_nothing_and_its_key_is_free() {
    let app = App::start().await;
    let mandate = in_force(&app).await;
    let manual = pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order("one", &mandate, PAISE) };
    let waiting = app.announced(manual).await;
    app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    app.always("payment.create_recurring", FaultKind::StatusBefore { status: 429 });
    let refused = app.execute_debit(execute_order("now", &waiting)).await.unwrap_err();
    assert_eq!((refused.code(), told(&refused).outcome()), (Code::Unavailable, "NOT_SENT"));
    app.provider.clear_faults();
    let executing = app.execute_debit(execute_order("now", &waiting)).await.expect("the key is free");
    assert_eq!(executing.attempts.len(), 1);
    app.advance(minutes(1));
    until("the debit", async || Some(app.get_debit(&waiting.id).await).filter(|debit| debit.state() == pb::DebitState::Succeeded)).await;
}
