//! An execute whose answer is lost: EnKash lets nobody look what became of it, and would debit as often as it is asked. So it is
//! asked once, and a person decides.

use std::time::Duration;

use tonic::{Code, Status};
use upistream::grpc::pb;
use upistream::sandbox::{DebitCourse, DebitEnd, FaultKind};

use super::super::shop::{At, LEASE, Shop, account};
use super::{
    A_DAY_AND_MORE, PAISE, approved, bodies, debit_in_time, mandate_in_time, open, order_without_day, reads, settled, spoken, words,
};
use crate::mandate::{debit_order, execute_order, forbidden, instant, switched};
use crate::support::app::{App, check_revisions, minutes, told};

/// Each way in which it is not known what became of a request, and whether EnKash debits all the same.
fn faults() -> [(FaultKind, bool); 9] {
    [
        (FaultKind::AnswerLost, true),
        (FaultKind::Stall, true),
        (FaultKind::Garbage, true),
        (FaultKind::StatusAfter { status: 500 }, true),
        (FaultKind::StatusAfter { status: 400 }, true),
        (FaultKind::StatusBefore { status: 400 }, false),
        (FaultKind::StatusBefore { status: 404 }, false),
        (FaultKind::StatusBefore { status: 500 }, false),
        (FaultKind::RequestLost, false),
    ]
}

/// A debit of a mandate of any number of debits, whose execute met `fault`.
async fn attempted(shop: &Shop, fault: FaultKind) -> (pb::Mandate, pb::Debit) {
    let mandate = approved(&shop.app, order_without_day(&shop.app, "mandate", pb::MandateFrequency::AsPresented)).await;
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    shop.fault("mandate.execute", fault);
    let before = shop.asked("mandate.execute");
    shop.app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    let begun = shop.app.debit_when(&waiting.id, "an attempt", |debit| !debit.attempts.is_empty()).await;
    shop.app.asked_again("mandate.execute", before).await;
    settled(&shop.app).await;
    (mandate, begun)
}

/// It stands as it is, and is listed for a person to decide.
async fn is_in_doubt(shop: &Shop, id: &str) {
    let debit = shop.app.get_debit(id).await;
    assert_eq!((debit.state(), debit.attempts.len(), debit.in_doubt), (pb::DebitState::Executing, 1, true), "{debit:?}");
    assert_eq!((&debit.attempts[0].end_time, debit.attempts[0].payment_id.as_str()), (&None, ""), "{debit:?}");
    let doubts = shop.doubts().await;
    assert_eq!(doubts.len(), 1, "{doubts:?}");
    assert_eq!((doubts[0].resource_id.as_str(), doubts[0].kind()), (id, pb::DoubtKind::OutcomeUnknown));
    assert_eq!(doubts[0].next_look_time, None, "nobody can be asked");
}

/// The ids of the orders that debits made at EnKash, newest first.
fn orders(app: &App) -> Vec<String> {
    let all = app.provider.qr_codes(At::Enkash.account()).expect("the sandbox knows the account");
    let debits = all.iter().filter(|order| order["merchantOrderId"].is_null());
    debits.filter_map(|order| order["orderId"].as_str().map(str::to_owned)).collect()
}

fn debit_of(answer: Result<pb::ResolveDoubtResponse, Status>) -> pb::Debit {
    match answer.expect("it is decided").resource {
        Some(pb::resolve_doubt_response::Resource::Debit(debit)) => debit,
        other => panic!("{other:?}"),
    }
}

/// Over days and a restart, whatever was lost and whoever asks: it is sent once.
async fn is_never_sent_again(fault: FaultKind, made: bool) {
    let shop = open().await;
    let (mandate, begun) = attempted(&shop, fault.clone()).await;
    shop.app.advance(LEASE);
    is_in_doubt(&shop, &begun.id).await;
    let by_hand = told(&shop.app.execute_debit(execute_order("again", &begun)).await.expect_err("one is under way"));
    assert_eq!((by_hand.code, by_hand.reason.as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"), "{fault:?}");
    let stop = pb::CancelDebitRequest { idempotency_key: "stop".to_owned(), id: begun.id.clone() };
    assert_eq!(told(&shop.app.mandates().cancel_debit(stop).await.expect_err("it may have been made")).reason, "STATE_FORBIDS");
    // Another debit of the mandate is announced, and waits.
    let other = shop.app.debit(debit_order("two", &mandate, PAISE)).await;
    for _ in 0..3 {
        shop.app.advance(A_DAY_AND_MORE);
        settled(&shop.app).await;
    }
    let stop = super::revoke(&shop, "revoke", &mandate).await;
    stop.expect("a mandate can be revoked whatever is open");
    // The service begins anew, without any word of EnKash meanwhile.
    let Shop { app, at, account: seen } = shop;
    let (folder, clock, provider) = app.halt().await;
    let there = account(At::Enkash, &provider);
    let app = App::start_at(folder, clock, provider, |config| {
        config.accounts.extend(there);
        spoken(config, &words());
    })
    .await;
    let shop = Shop { app, at, account: seen };
    for _ in 0..5 {
        shop.app.advance(A_DAY_AND_MORE);
        settled(&shop.app).await;
    }
    mandate_in_time(&shop, &mandate.id, A_DAY_AND_MORE, pb::MandateState::Revoked).await;
    assert_eq!((shop.asked("mandate.execute"), orders(&shop.app).len()), (1, usize::from(made)), "{fault:?}");
    is_in_doubt(&shop, &begun.id).await;
    let waits = shop.app.get_debit(&other.id).await;
    assert!(waits.attempts.is_empty() && waits.payment_id.is_empty(), "{fault:?}: {waits:?}");
    assert!(shop.app.payments_of_debit(&begun).await.is_empty());
    check_revisions(&shop.app.log().await);
}

#[tokio::test]
async fn whatever_becomes_of_the_answer_it_is_never_sent_again() {
    for (fault, made) in faults() {
        is_never_sent_again(fault, made).await;
    }
}

/// By hand: the intent stands, and a repeat with its key executes nothing.
#[tokio::test]
async fn a_repeat_of_the_callers_executes_nothing() {
    for (fault, made) in faults() {
        let shop = open().await;
        let mandate = approved(&shop.app, order_without_day(&shop.app, "mandate", pb::MandateFrequency::Daily)).await;
        let manual = pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order("one", &mandate, PAISE) };
        let waiting = shop.app.debit(manual).await;
        shop.fault("mandate.execute", fault.clone());
        let first = shop.app.execute_debit(execute_order("now", &waiting)).await.expect("the intent stands");
        assert_eq!((first.state(), first.attempts.len(), first.in_doubt), (pb::DebitState::Executing, 1, true), "{fault:?}");
        shop.app.advance(LEASE);
        for _ in 0..3 {
            let repeat = crate::support::app::within(Duration::from_secs(2), execute_order("now", &waiting));
            let again = shop.app.mandates().execute_debit(repeat).await.expect("it is replayed").into_inner();
            assert!(again.idempotency_replayed, "{fault:?}");
        }
        let other = told(&shop.app.execute_debit(execute_order("again", &waiting)).await.expect_err("one is under way"));
        assert_eq!(other.reason, "STATE_FORBIDS", "{fault:?}");
        for _ in 0..2 {
            shop.app.advance(A_DAY_AND_MORE);
            settled(&shop.app).await;
        }
        assert_eq!((shop.asked("mandate.execute"), orders(&shop.app).len()), (1, usize::from(made)), "{fault:?}");
        is_in_doubt(&shop, &waiting.id).await;
    }
}

/// Another debit of the same mandate, however long it is due, is executed once the first is decided.
#[tokio::test]
async fn another_debit_of_the_mandate_waits_for_the_decision() {
    let shop = open().await;
    let (mandate, begun) = attempted(&shop, FaultKind::RequestLost).await;
    let manual = pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order("by hand", &mandate, PAISE) };
    let by_hand = shop.app.debit(manual).await;
    shop.app.advance_to(instant(by_hand.next_permitted_time.as_ref()).expect("it is told when"));
    shop.app.advance(minutes(1));
    settled(&shop.app).await;
    let refused = told(&shop.app.execute_debit(execute_order("now", &by_hand)).await.expect_err("another is in doubt"));
    assert_eq!(forbidden(&refused).0, "one_attempt_at_a_time");
    assert_eq!(shop.asked("mandate.execute"), 1);
    debit_of(shop.decide("it did not", &begun.id, None).await);
    let executing = shop.app.execute_debit(execute_order("now", &by_hand)).await.expect("nothing is in its way");
    assert_eq!(executing.attempts.len(), 1);
    shop.app.advance(minutes(1));
    shop.app.debit_until(&by_hand.id, pb::DebitState::Succeeded).await;
}

/// A callback tells that some order was debited, which is nobody's here: it is kept, and moves nothing until a person says
/// whose it is.
#[tokio::test]
async fn a_callback_alone_moves_nothing() {
    let shop = open().await;
    let (mandate, begun) = attempted(&shop, FaultKind::AnswerLost).await;
    let before = shop.answered();
    shop.app.advance(minutes(1));
    shop.answered_is(before + 1).await;
    for _ in 0..2 {
        shop.app.advance(A_DAY_AND_MORE);
        settled(&shop.app).await;
    }
    is_in_doubt(&shop, &begun.id).await;
    assert!(shop.app.payments_of_debit(&begun).await.is_empty());
    assert_eq!(shop.app.get_mandate(&mandate.id).await.debit_count, 0);
    assert_eq!(shop.quarantine().await.len(), 1, "it is kept for whoever decides");
    let order = orders(&shop.app).remove(0);
    debit_of(shop.decide("it happened", &begun.id, Some(&order)).await);
    let done = debit_in_time(&shop, &begun.id, minutes(3), pb::DebitState::Succeeded).await;
    assert_eq!((done.provider_ref.as_str(), shop.app.payments_of_debit(&done).await.len()), (order.as_str(), 1));
    let mandate = shop.app.get_mandate(&mandate.id).await;
    assert_eq!((mandate.debit_count, shop.asked("mandate.execute")), (1, 1));
    shop.app.passing(minutes(10), "nothing to be kept", async || shop.quarantine().await.is_empty().then_some(())).await;
}

/// The order that the operator names has to be the debit's, as far as EnKash shows it.
#[tokio::test]
async fn an_operator_names_the_order_and_no_other_order_will_do() {
    let shop = open().await;
    // An order of a code that was paid with the very sum, and another debit's.
    let qr = shop.ask_for(pb::CreateQrRequest { amount: Some(super::money(PAISE)), ..shop.order("code") }).await;
    let qr = qr.expect("it is made").qr.expect("the answer has the code");
    let pay = upistream::sandbox::PayOptions { amount: Some(PAISE), ..Default::default() };
    shop.pay_with(&qr, pay).await;
    shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    let daily = approved(&shop.app, order_without_day(&shop.app, "daily", pb::MandateFrequency::Daily)).await;
    let same = shop.app.debit(debit_order("same", &daily, PAISE)).await;
    shop.app.attempted(&same.id, 1).await;
    shop.app.advance(minutes(1));
    let same = shop.app.debit_until(&same.id, pb::DebitState::Succeeded).await;
    let daily = approved(&shop.app, order_without_day(&shop.app, "less", pb::MandateFrequency::Daily)).await;
    let less = shop.app.debit(debit_order("less", &daily, PAISE - 100)).await;
    let less = shop.app.attempted(&less.id, 1).await;

    let (mandate, begun) = attempted(&shop, FaultKind::AnswerLost).await;
    shop.app.advance(minutes(1));
    settled(&shop.app).await;
    let order = orders(&shop.app).into_iter().find(|order| *order != same.provider_ref && *order != less.provider_ref);
    let order = order.expect("EnKash has made it");
    let wrong = [
        // EnKash does not say in so many words that it has no such order.
        ("unknown", "ORD0000000000000xxxxx", "PROVIDER_UNAVAILABLE"),
        ("none", "", "INVALID_FIELDS"),
        ("another sum", &less.provider_ref, "INVALID_FIELDS"),
        ("another debit's", &same.provider_ref, "INVALID_FIELDS"),
        ("a code's", &qr.provider_ref, "INVALID_FIELDS"),
    ];
    for (key, wrong, reason) in wrong {
        let refused = told(&shop.decide(key, &begun.id, Some(wrong)).await.expect_err(key));
        assert_eq!(refused.reason, reason, "{key}: {refused:?}");
        is_in_doubt(&shop, &begun.id).await;
    }
    let decided = debit_of(shop.decide("right", &begun.id, Some(&order)).await);
    assert!(!decided.in_doubt);
    let done = debit_in_time(&shop, &begun.id, minutes(3), pb::DebitState::Succeeded).await;
    let story = shop.app.story(&done.id, done.revision).await;
    assert!(story.iter().any(|event| event.evidence() == pb::Evidence::Operator));
    assert_eq!((done.attempts.len(), shop.app.get_mandate(&mandate.id).await.debit_count), (1, 1));
    assert!(shop.doubts().await.is_empty());
    for _ in 0..3 {
        shop.app.advance(A_DAY_AND_MORE);
        settled(&shop.app).await;
    }
    assert_eq!(shop.asked("mandate.execute"), 3, "one of each debit");
    check_revisions(&shop.app.log().await);
}

/// What the operator names may still be pending or have failed: then the debit goes on from there.
#[tokio::test]
async fn an_order_that_is_still_pending_is_waited_for() {
    let shop = open().await;
    switched(&shop.app.provider, |mandates| mandates.debits = DebitCourse::WhenTold);
    let (_, begun) = attempted(&shop, FaultKind::AnswerLost).await;
    shop.app.advance(LEASE);
    let order = orders(&shop.app).remove(0);
    debit_of(shop.decide("it happened", &begun.id, Some(&order)).await);
    shop.app.advance(A_DAY_AND_MORE);
    settled(&shop.app).await;
    let pending = shop.app.get_debit(&begun.id).await;
    assert_eq!((pending.state(), pending.in_doubt), (pb::DebitState::Executing, false));
    shop.app.provider.end_debit("enkash", &order, DebitEnd::Collected).await.expect("the bank says yes");
    debit_in_time(&shop, &begun.id, minutes(3), pb::DebitState::Succeeded).await;
    assert_eq!(shop.asked("mandate.execute"), 1);
}

/// Whoever looked and found nothing lets another attempt be made, later and by all rules.
#[tokio::test]
async fn what_an_operator_says_did_not_happen_is_attempted_again_later() {
    let shop = open().await;
    let (mandate, begun) = attempted(&shop, FaultKind::RequestLost).await;
    shop.app.advance(A_DAY_AND_MORE);
    settled(&shop.app).await;
    let decided = debit_of(shop.decide("it did not", &begun.id, None).await);
    let why = decided.attempts[0].failure.as_ref().map(pb::Failure::reason);
    assert_eq!((decided.state(), why), (pb::DebitState::Executing, Some(pb::FailureReason::OperatorDecided)));
    assert!(shop.doubts().await.is_empty());
    assert_eq!(shop.asked("mandate.execute"), 1);
    let done = debit_in_time(&shop, &begun.id, minutes(240), pb::DebitState::Succeeded).await;
    // The notice was for a day that has gone by, and another waits until the first order can come to nothing any more.
    assert_eq!((done.attempts.len(), done.notify_count), (2, 2));
    let day = instant(done.attempts[1].start_time.as_ref()).map(|start| crate::mandate::india(start).date().to_string());
    assert_eq!(bodies(&shop.app, "mandate.notify")[1]["debit_date"].as_str().map(str::to_owned), day);
    assert_eq!((shop.asked("mandate.execute"), orders(&shop.app).len()), (2, 1));
    assert_eq!(shop.app.get_mandate(&mandate.id).await.debit_count, 1);
}

/// An order whose transactions have unheard-of statuses is no news: the debit waits until they are understood.
#[tokio::test]
async fn an_answer_with_unheard_of_words_is_taken_and_waited_for() {
    let shop = open().await;
    let mandate = approved(&shop.app, order_without_day(&shop.app, "mandate", pb::MandateFrequency::Daily)).await;
    reads(&shop.app, |enkash| enkash.unheard_statuses = true);
    let debit = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    let begun = shop.app.attempted(&debit.id, 1).await;
    assert!(!begun.provider_ref.is_empty() && !begun.in_doubt, "{begun:?}");
    shop.app.advance(minutes(60));
    settled(&shop.app).await;
    assert_eq!(shop.app.get_debit(&begun.id).await.state(), pb::DebitState::Executing);
    reads(&shop.app, |enkash| enkash.unheard_statuses = false);
    debit_in_time(&shop, &begun.id, minutes(20), pb::DebitState::Succeeded).await;
    assert_eq!(shop.asked("mandate.execute"), 1);
}
