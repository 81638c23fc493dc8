//! What became of an attempt is not known: no other one is made, until it is known.

use std::time::Duration;

use upistream::grpc::pb;
use upistream::sandbox::{DebitCourse, FaultKind};

use super::{debit_order, execute_order, instant, mandate_order, switched};
use crate::support::app::{App, check_revisions, minutes, told};

const PAISE: i64 = 49_900;

/// A debit whose attempt met `fault`, and its mandate.
async fn attempted(app: &App, fault: FaultKind) -> (pb::Mandate, pb::Debit) {
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(app, "mandate")).await;
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    app.fault("payment.create_recurring", fault);
    app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    let begun = app.debit_when(&waiting.id, "an attempt", |debit| !debit.attempts.is_empty()).await;
    (mandate, begun)
}

#[tokio::test]
async fn an_attempt_whose_answer_is_lost_is_found_by_its_order_and_never_made_again() {
    let faults =
        [FaultKind::AnswerLost, FaultKind::StatusAfter { status: 500 }, FaultKind::StatusAfter { status: 400 }, FaultKind::Garbage];
    for fault in faults {
        let app = App::start().await;
        let (mandate, begun) = attempted(&app, fault.clone()).await;
        app.passing(minutes(1), "the debit", async || {
            Some(app.get_debit(&begun.id).await).filter(|debit| debit.state() == pb::DebitState::Succeeded)
        })
        .await;
        assert_eq!((app.asked("payment.create_recurring"), app.collected_at_provider(&mandate)), (1, vec![PAISE]), "{fault:?}");
        check_revisions(&app.log().await);
    }
}

/// What never arrived, or failed before any effect, looks the same: its absence proves it after a while, and another attempt
/// waits until the first can't come any more.
#[tokio::test]
async fn an_attempt_that_is_not_there_counts_as_failed_and_another_waits_out_the_late_window() {
    for fault in [FaultKind::RequestLost, FaultKind::StatusBefore { status: 500 }] {
        let app = App::start().await;
        let (mandate, begun) = attempted(&app, fault.clone()).await;
        let failed = app
            .passing(minutes(3), "the proof of its absence", async || {
                Some(app.get_debit(&begun.id).await).filter(|debit| debit.attempts[0].end_time.is_some())
            })
            .await;
        let why = failed.attempts[0].failure.as_ref().map(pb::Failure::reason);
        assert_eq!(why, Some(pb::FailureReason::AbsentAtProvider), "{fault:?}");
        app.advance(Duration::from_secs(48 * 3_600));
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(app.asked("payment.create_recurring"), 1, "{fault:?}");
        let done = app
            .passing(minutes(6 * 60), "another attempt", async || {
                Some(app.get_debit(&begun.id).await).filter(|debit| debit.state() == pb::DebitState::Succeeded)
            })
            .await;
        assert_eq!((done.attempts.len(), done.notify_count), (2, 2), "{fault:?}");
        assert_eq!((app.asked("payment.create_recurring"), app.collected_at_provider(&mandate)), (2, vec![PAISE]), "{fault:?}");
    }
}

#[tokio::test]
async fn while_it_is_not_known_no_other_is_made_by_hand_either_and_the_doubt_is_listed() {
    let app = App::start().await;
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::WhenTold);
    let (mandate, begun) = attempted(&app, FaultKind::AnswerLost).await;
    app.always("order.payments", FaultKind::StatusBefore { status: 503 });
    app.advance(minutes(1));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = told(&app.execute_debit(execute_order("again", &begun)).await.unwrap_err());
    assert_eq!(refused.reason, "STATE_FORBIDS");
    // Another debit of the same mandate waits for it as well.
    let ahead = jiff::Timestamp::from_second(upistream::clock::Clock::now(&*app.clock).as_second() + 40 * 24 * 3_600).expect("a time");
    let other = pb::CreateDebitRequest { execute_after: Some(super::stamp(ahead)), ..debit_order("two", &mandate, PAISE) };
    app.create_debit(other).await.expect("it may be announced");
    let cancel = pb::CancelDebitRequest { idempotency_key: "stop".to_owned(), id: begun.id.clone() };
    assert_eq!(told(&app.mandates().cancel_debit(cancel).await.unwrap_err()).reason, "STATE_FORBIDS");
    assert_eq!(app.asked("payment.create_recurring"), 1);
}

/// By hand: what was committed is answered, a repeat with the key executes nothing, whatever became of the first.
#[tokio::test]
async fn a_repeat_of_a_request_whose_answer_was_lost_executes_nothing() {
    let app = App::start().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let manual = pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order("one", &mandate, PAISE) };
    let waiting = app.announced(manual).await;
    app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    app.lose_answer("payment.create_recurring");
    let first = app.execute_debit(execute_order("now", &waiting)).await.expect("the intent stands");
    assert_eq!((first.attempts.len(), first.in_doubt), (1, true), "{first:?}");
    for _ in 0..3 {
        let again = app.mandates().execute_debit(execute_order("now", &waiting)).await.expect("it is replayed").into_inner();
        assert!(again.idempotency_replayed);
    }
    app.passing(minutes(1), "the debit", async || {
        Some(app.get_debit(&waiting.id).await).filter(|debit| debit.state() == pb::DebitState::Succeeded)
    })
    .await;
    assert_eq!((app.asked("payment.create_recurring"), app.collected_at_provider(&mandate)), (1, vec![PAISE]));
}

/// A notice is an order there: whatever answer is lost, it is found by our reference.
#[tokio::test]
async fn a_notice_whose_answer_is_lost_is_found_and_not_sent_twice() {
    for fault in [FaultKind::AnswerLost, FaultKind::StatusAfter { status: 500 }, FaultKind::Garbage] {
        let app = App::start().await;
        app.advance_to_day(2, 6, 0);
        let mandate = app.approved(mandate_order(&app, "mandate")).await;
        let before = app.asked("order.create");
        app.fault("order.create", fault.clone());
        let asked = app.debit(debit_order("one", &mandate, PAISE)).await;
        assert_eq!((asked.state(), asked.in_doubt), (pb::DebitState::Requested, true), "{fault:?}");
        let waiting = app
            .passing(minutes(1), "the notice", async || {
                Some(app.get_debit(&asked.id).await).filter(|debit| debit.state() == pb::DebitState::Scheduled)
            })
            .await;
        assert_eq!((app.asked("order.create") - before, waiting.notify_count), (1, 1), "{fault:?}");
        app.collected(&waiting).await;
    }
}
