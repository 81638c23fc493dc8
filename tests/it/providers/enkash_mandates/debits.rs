//! EnKash's debits: announced by a notice that is answered at once, executed by an order that EnKash makes, and known by asking
//! about that order.

use std::time::Duration;

use tonic::Code;
use upistream::clock::Clock as _;
use upistream::grpc::pb;
use upistream::sandbox::{DebitCourse, DebitEnd, FaultKind, NoticeCourse, PayerAct};

use super::{
    A_DAY_AND_MORE, PAISE, approved, bodies, debit_in_time, mandate_in_time, open, order, order_without_day, payer, reads, settled,
};
use crate::mandate::{MAX, debit_order, execute_order, forbidden, india, instant, is_peak, stamp, switched, told_of};
use crate::refund::{paise, refund_order};
use crate::support::app::{App, check_revisions, minutes, told};

/// Time passes until the debit may be executed, and EnKash has taken it.
async fn executed(app: &App, debit: &pb::Debit) -> pb::Debit {
    app.advance_to(instant(debit.next_permitted_time.as_ref()).expect("it is told when"));
    app.attempted(&debit.id, debit.attempts.len() + 1).await
}

#[tokio::test]
async fn it_is_announced_waits_a_day_and_is_collected_at_the_first_permitted_time() {
    let shop = open().await;
    let app = &shop.app;
    let mandate = approved(app, order(app, "one")).await;
    let waiting = app.debit(debit_order("one", &mandate, PAISE)).await;
    assert_eq!((waiting.state(), waiting.notify_count, waiting.in_doubt), (pb::DebitState::Scheduled, 1, false), "{waiting:?}");
    let delivered = instant(waiting.notify_deliver_time.as_ref()).expect("the answer says that it was");
    let permitted = instant(waiting.next_permitted_time.as_ref()).expect("it is told when");
    assert!(permitted.duration_since(delivered).as_hours() >= 24 && !is_peak(permitted), "{delivered} {permitted}");
    let notice = bodies(app, "mandate.notify").remove(0);
    assert_eq!((notice["mandate_id"].as_str(), notice["amount"].as_f64()), (Some(mandate.provider_ref.as_str()), Some(499.0)));
    assert_eq!(notice["debit_date"].as_str(), Some(india(permitted).date().to_string().as_str()));
    app.advance(minutes(60));
    settled(app).await;
    assert_eq!(shop.asked("mandate.execute"), 0);

    let begun = executed(app, &waiting).await;
    let start = instant(begun.attempts[0].start_time.as_ref()).expect("it was begun");
    assert!(start >= permitted && !is_peak(start), "{start} {permitted}");
    assert!(!begun.provider_ref.is_empty(), "the order is known: {begun:?}");
    let sent = bodies(app, "mandate.execute").remove(0);
    assert_eq!((sent["mandate_id"].as_str(), sent["amount"].as_f64()), (Some(mandate.provider_ref.as_str()), Some(499.0)));
    app.advance(minutes(1));
    let done = app.debit_until(&waiting.id, pb::DebitState::Succeeded).await;
    let payments = app.payments_of_debit(&done).await;
    assert_eq!((payments.len(), payments[0].state(), paise(&payments[0].amount)), (1, pb::PaymentState::Succeeded, PAISE));
    assert_eq!((payments[0].debit_id.as_str(), payments[0].mandate_id.as_str()), (done.id.as_str(), mandate.id.as_str()));
    assert_eq!((payments[0].reference.as_str(), done.payment_id.as_str()), ("ref-one", payments[0].id.as_str()));
    assert_eq!(app.story(&payments[0].id, 1).await.last().expect("it is told").evidence(), pb::Evidence::Enquiry);
    let mandate = app.get_mandate(&mandate.id).await;
    assert_eq!((mandate.debit_count, paise(&mandate.amount_debited)), (1, PAISE));
    let types = told_of(app, &done.id).await;
    let states: Vec<&str> = types.iter().map(String::as_str).filter(|kind| !kind.ends_with("updated")).collect();
    assert_eq!(states, ["debit.requested", "debit.scheduled", "debit.executing", "debit.succeeded"]);

    let again = app.create_debit(debit_order("two", &mandate, PAISE)).await.expect_err("its month has had its debit");
    assert_eq!(forbidden(&told(&again)).0, "once_per_cycle");
    let refund = app.create_refund(refund_order("back", &payments[0], PAISE)).await.expect("it can be refunded").refund;
    shop.refund_made(&refund.expect("the answer has it").id).await;
    assert_eq!(shop.asked("mandate.execute"), 1);
    check_revisions(&app.log().await);
}

/// Callbacks may be lost: the order tells what they would have told.
#[tokio::test]
async fn without_any_callback_the_outcome_is_found_by_asking_about_the_order() {
    let shop = open().await;
    shop.app.lose_callbacks();
    let asked = shop.app.mandate(order(&shop.app, "one")).await;
    payer(&shop.app, &asked, PayerAct::Approve).await;
    let mandate = mandate_in_time(&shop, &asked.id, minutes(20), pb::MandateState::Active).await;
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    let begun = executed(&shop.app, &waiting).await;
    let done = debit_in_time(&shop, &begun.id, minutes(3), pb::DebitState::Succeeded).await;
    assert_eq!((done.attempts.len(), shop.asked("mandate.execute")), (1, 1));
    assert_eq!(shop.app.payments_of_debit(&done).await.len(), 1);
}

/// Somebody who knows every id says that the debit succeeded, while its bank has yet to decide.
#[tokio::test]
async fn a_forged_success_of_a_debit_moves_nothing() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    switched(&shop.app.provider, |mandates| mandates.debits = DebitCourse::WhenTold);
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    let begun = executed(&shop.app, &waiting).await;
    let before = shop.answered();
    shop.app.provider.send_forged("enkash", &begun.provider_ref, Some(PAISE)).await.expect("the sandbox can forge");
    shop.answered_is(before + 1).await;
    assert_eq!(shop.app.get_debit(&begun.id).await.state(), pb::DebitState::Executing);
    assert_eq!(shop.app.get_mandate(&mandate.id).await.debit_count, 0);
    for payment in shop.app.payments_of_debit(&begun).await {
        assert_eq!(payment.state(), pb::PaymentState::Pending);
    }
    shop.app.provider.end_debit("enkash", &begun.provider_ref, DebitEnd::Collected).await.expect("the bank says yes");
    debit_in_time(&shop, &begun.id, minutes(3), pb::DebitState::Succeeded).await;
    assert_eq!(shop.asked("mandate.execute"), 1);
}

#[tokio::test]
async fn by_hand_it_waits_for_its_caller_and_a_repeat_executes_nothing() {
    let shop = open().await;
    let app = &shop.app;
    let mandate = approved(app, order(app, "one")).await;
    let manual = pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order("one", &mandate, PAISE) };
    let waiting = app.debit(manual).await;
    assert_eq!(waiting.state(), pb::DebitState::Notified);
    let early = told(&app.execute_debit(execute_order("early", &waiting)).await.expect_err("the payer has a day"));
    let (rule, next) = forbidden(&early);
    let (next, permitted) = (next.expect("it is told when"), instant(waiting.next_permitted_time.as_ref()).expect("so is this"));
    assert_eq!((rule, next.duration_since(permitted).as_secs()), ("pre_debit_notice", 0));
    app.advance_to(next);
    app.advance(minutes(30));
    settled(app).await;
    assert_eq!(app.get_debit(&waiting.id).await.state(), pb::DebitState::Notified);
    let executing = app.execute_debit(execute_order("now", &waiting)).await.expect("it is permitted");
    assert_eq!((executing.state(), executing.attempts.len(), executing.in_doubt), (pb::DebitState::Executing, 1, false));
    app.advance(minutes(1));
    app.debit_until(&waiting.id, pb::DebitState::Succeeded).await;
    let again = app.mandates().execute_debit(execute_order("now", &waiting)).await.expect("it is replayed").into_inner();
    assert!(again.idempotency_replayed);
    let other = app.execute_debit(execute_order("again", &waiting)).await.expect_err("it is made");
    assert_eq!((other.code(), told(&other).reason.as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
    assert_eq!(shop.asked("mandate.execute"), 1);
}

/// The payer is told of a day: nothing is debited before it, even where the notice is old enough.
#[tokio::test]
async fn it_is_executed_on_the_day_that_the_payer_was_told_of() {
    let shop = open().await;
    // A notice may take an hour to be delivered, which leads past midnight.
    shop.app.advance_to_day(2, 23, 20);
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    let told_of = bodies(&shop.app, "mandate.notify")[0]["debit_date"].as_str().map(str::to_owned);
    let begun = executed(&shop.app, &waiting).await;
    let start = instant(begun.attempts[0].start_time.as_ref()).expect("it was begun");
    assert_eq!(told_of, Some(india(start).date().to_string()));
    assert_eq!(shop.asked("mandate.notify"), 1);
    shop.app.advance(minutes(1));
    shop.app.debit_until(&waiting.id, pb::DebitState::Succeeded).await;
    // By hand it is no different.
    let manual = pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order("two", &mandate, PAISE) };
    shop.app.advance_to_day(2, 23, 20);
    let waiting = shop.app.debit(manual).await;
    let a_day_later = upistream::clock::after(shop.app.clock.now(), Duration::from_secs(24 * 3_600 + 60));
    shop.app.advance_to(a_day_later);
    let early = told(&shop.app.execute_debit(execute_order("early", &waiting)).await.expect_err("it is the day before"));
    let (rule, next) = forbidden(&early);
    assert_eq!((rule, next.map(|next| next > a_day_later)), ("pre_debit_notice", Some(true)));
}

/// A notice that is not known to be delivered is none, and nobody can ask about it later.
#[tokio::test]
async fn a_notice_that_is_pending_debits_nothing_and_its_cycle_passes() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    switched(&shop.app.provider, |mandates| mandates.notices = NoticeCourse::WhenTold);
    let asked = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    assert_eq!((asked.state(), asked.notify_count, asked.in_doubt), (pb::DebitState::Requested, 1, false), "{asked:?}");
    let refused = told(&shop.app.execute_debit(execute_order("now", &asked)).await.expect_err("the payer may not know"));
    assert_eq!(forbidden(&refused).0, "pre_debit_notice");
    shop.app.advance(Duration::from_secs(20 * 24 * 3_600));
    settled(&shop.app).await;
    assert_eq!((shop.app.get_debit(&asked.id).await.state(), shop.asked("mandate.notify")), (pb::DebitState::Requested, 1));
    shop.app.advance(Duration::from_secs(10 * 24 * 3_600));
    let failed = debit_in_time(&shop, &asked.id, A_DAY_AND_MORE, pb::DebitState::Failed).await;
    assert_eq!(failed.failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::NotificationFailed));
    assert_eq!(shop.asked("mandate.execute"), 0);
}

/// Nor is one of which EnKash says a word that nobody has heard of.
#[tokio::test]
async fn a_notice_with_an_unheard_of_word_debits_nothing() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    reads(&shop.app, |enkash| enkash.unheard_statuses = true);
    let asked = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    assert_eq!(asked.state(), pb::DebitState::Requested);
    // Nor do the notices that are sent after it, since nobody told that it was delivered.
    for _ in 0..3 {
        shop.app.advance(A_DAY_AND_MORE);
        settled(&shop.app).await;
    }
    assert_eq!((shop.app.get_debit(&asked.id).await.state(), shop.asked("mandate.execute")), (pb::DebitState::Requested, 0));
}

#[tokio::test]
async fn a_notice_that_failed_is_sent_anew() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    switched(&shop.app.provider, |mandates| mandates.notices = NoticeCourse::Fail);
    let asked = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    assert_eq!(asked.state(), pb::DebitState::Requested);
    switched(&shop.app.provider, |mandates| mandates.notices = NoticeCourse::ByThemselves);
    let waiting = debit_in_time(&shop, &asked.id, minutes(1), pb::DebitState::Scheduled).await;
    assert!(waiting.notify_count >= 2, "{waiting:?}");
    let begun = executed(&shop.app, &waiting).await;
    shop.app.advance(minutes(1));
    shop.app.debit_until(&begun.id, pb::DebitState::Succeeded).await;
    assert_eq!(shop.asked("mandate.execute"), 1);
}

/// What comes each day needs no notice; one success a day.
#[tokio::test]
async fn a_daily_mandate_is_debited_at_the_next_permitted_time_without_a_notice() {
    let shop = open().await;
    let app = &shop.app;
    let mandate = approved(app, order_without_day(app, "one", pb::MandateFrequency::Daily)).await;
    let debit = app.debit(debit_order("one", &mandate, PAISE)).await;
    assert_eq!((debit.state(), debit.notify_count), (pb::DebitState::Scheduled, 0), "{debit:?}");
    app.attempted(&debit.id, 1).await;
    app.advance(minutes(1));
    app.debit_until(&debit.id, pb::DebitState::Succeeded).await;
    let (rule, next) = {
        let refused = told(&app.create_debit(debit_order("two", &mandate, PAISE)).await.expect_err("the day has had its debit"));
        let (rule, next) = forbidden(&refused);
        (rule.to_owned(), next.expect("it is told when"))
    };
    assert_eq!(rule, "once_per_cycle");
    // In a peak hour it waits for its end.
    app.advance_to(next);
    app.advance_to_day(3, 10, 30);
    let second = app.debit(debit_order("three", &mandate, MAX)).await;
    assert!(!is_peak(instant(second.next_permitted_time.as_ref()).expect("it is told when")), "{second:?}");
    app.advance(minutes(60));
    settled(app).await;
    assert_eq!(shop.asked("mandate.execute"), 1);
    app.advance_to(instant(second.next_permitted_time.as_ref()).expect("it is told when"));
    let second = debit_in_time(&shop, &second.id, minutes(1), pb::DebitState::Succeeded).await;
    assert!(!is_peak(instant(second.attempts[0].start_time.as_ref()).expect("it was begun")), "{second:?}");
    assert_eq!((shop.asked("mandate.notify"), shop.asked("mandate.execute")), (0, 2));
}

/// Money that is blocked already is taken without a notice, and the mandate is used up by it.
#[tokio::test]
async fn a_one_time_mandate_with_blocked_funds_is_debited_without_a_notice_and_is_completed() {
    let shop = open().await;
    let app = &shop.app;
    let wish = pb::CreateMandateRequest { block_funds: true, ..order_without_day(app, "one", pb::MandateFrequency::OneTime) };
    let mandate = approved(app, wish).await;
    assert_eq!(bodies(app, "mandate.create")[0]["block_fund"].as_bool(), Some(true));
    let debit = app.debit(debit_order("one", &mandate, PAISE)).await;
    assert_eq!((debit.state(), debit.notify_count), (pb::DebitState::Scheduled, 0));
    let second = app.create_debit(debit_order("two", &mandate, PAISE)).await.expect_err("it permits one debit");
    assert_eq!(forbidden(&told(&second)).0, "once_per_cycle");
    app.attempted(&debit.id, 1).await;
    app.advance(minutes(1));
    app.debit_until(&debit.id, pb::DebitState::Succeeded).await;
    let over = app.mandate_until(&mandate.id, pb::MandateState::Completed).await;
    assert_eq!((over.debit_count, paise(&over.amount_debited)), (1, PAISE));
    let late = app.create_debit(debit_order("three", &mandate, PAISE)).await.expect_err("it is used up");
    assert_eq!(told(&late).reason, "STATE_FORBIDS");
    assert_eq!((shop.asked("mandate.notify"), shop.asked("mandate.execute")), (0, 1));
}

/// One time without a block needs a notice like any other.
#[tokio::test]
async fn a_one_time_mandate_without_blocked_funds_is_announced() {
    let shop = open().await;
    let mandate = approved(&shop.app, order_without_day(&shop.app, "one", pb::MandateFrequency::OneTime)).await;
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    assert_eq!(waiting.notify_count, 1);
    executed(&shop.app, &waiting).await;
    shop.app.advance(minutes(1));
    shop.app.debit_until(&waiting.id, pb::DebitState::Succeeded).await;
    shop.app.mandate_until(&mandate.id, pb::MandateState::Completed).await;
}

/// EnKash publishes no reasons, so none is known to be final: the money may come late, and another attempt waits that out.
#[tokio::test]
async fn after_an_attempt_that_failed_another_one_waits_out_the_late_window() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    switched(&shop.app.provider, |mandates| mandates.debits = DebitCourse::Fail { reason: "insufficient_funds".to_owned() });
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    executed(&shop.app, &waiting).await;
    shop.app.advance(minutes(1));
    let failed = shop.app.debit_when(&waiting.id, "its failure", |debit| debit.attempts[0].failure.is_some()).await;
    assert_eq!(failed.attempts[0].failure.as_ref().map(pb::Failure::reason), Some(pb::FailureReason::ProviderFailed));
    assert_eq!(failed.state(), pb::DebitState::Executing);
    switched(&shop.app.provider, |mandates| mandates.debits = DebitCourse::ByThemselves);
    let by_hand = told(&shop.app.execute_debit(execute_order("again", &failed)).await.expect_err("it may come late"));
    assert_eq!(forbidden(&by_hand).0, "late_window");
    for _ in 0..3 {
        shop.app.advance(A_DAY_AND_MORE);
        settled(&shop.app).await;
        assert_eq!(shop.asked("mandate.execute"), 1);
    }
    let done = debit_in_time(&shop, &failed.id, minutes(50), pb::DebitState::Succeeded).await;
    assert_eq!((done.attempts.len(), shop.asked("mandate.execute"), done.notify_count), (2, 2, 2));
    let start = |index: usize| instant(done.attempts[index].start_time.as_ref()).expect("it was begun");
    assert!(start(1).duration_since(start(0)).as_hours() >= 4 * 24);
}

/// The bank says yes after it said no, before another attempt is made: none is.
#[tokio::test]
async fn one_that_failed_and_is_collected_late_is_collected_once() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    switched(&shop.app.provider, |mandates| mandates.debits = DebitCourse::Fail { reason: "timed_out".to_owned() });
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    executed(&shop.app, &waiting).await;
    shop.app.advance(minutes(1));
    let failed = shop.app.debit_when(&waiting.id, "its failure", |debit| debit.attempts[0].failure.is_some()).await;
    shop.app.advance(A_DAY_AND_MORE);
    shop.app.provider.end_debit("enkash", &failed.provider_ref, DebitEnd::Collected).await.expect("the bank says yes after all");
    let done = debit_in_time(&shop, &failed.id, minutes(30), pb::DebitState::Succeeded).await;
    assert_eq!((done.attempts.len(), done.failure), (1, None));
    for _ in 0..6 {
        shop.app.advance(A_DAY_AND_MORE);
        settled(&shop.app).await;
    }
    assert_eq!(shop.asked("mandate.execute"), 1);
    assert_eq!(shop.app.get_mandate(&mandate.id).await.debit_count, 1);
}

/// A throttled request was not acted on: it counts for nothing, and is made again.
#[tokio::test]
async fn an_attempt_that_was_throttled_counts_for_nothing() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    shop.fault("mandate.execute", FaultKind::TooManyRequests { retry_after: None });
    shop.app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    let done = debit_in_time(&shop, &waiting.id, minutes(1), pb::DebitState::Succeeded).await;
    assert_eq!((done.attempts.len(), shop.asked("mandate.execute")), (1, 2));
    assert!(shop.doubts().await.is_empty());
}

/// A token that ended meanwhile is a reason to log in, not a doubt: with it nothing was acted on.
#[tokio::test]
async fn a_token_that_is_no_longer_taken_leaves_no_doubt() {
    let shop = open().await;
    let mandate = approved(&shop.app, order_without_day(&shop.app, "one", pb::MandateFrequency::Daily)).await;
    let manual = pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order("one", &mandate, PAISE) };
    let waiting = shop.app.debit(manual).await;
    shop.app.advance(Duration::from_millis(1));
    let now = shop.app.provider.now().as_millisecond();
    reads(&shop.app, |enkash| enkash.tokens_valid_from = now);
    let taken = shop.app.execute_debit(execute_order("now", &waiting)).await.expect("it is permitted");
    assert_eq!((taken.attempts.len(), taken.in_doubt), (1, false));
    shop.app.advance(minutes(1));
    shop.app.debit_until(&waiting.id, pb::DebitState::Succeeded).await;
    let payments = shop.app.provider.payments("enkash").expect("the sandbox knows the account");
    assert_eq!(payments.len(), 1, "{payments:?}");
}

/// The payer revokes between the notice and the debit.
#[tokio::test]
async fn what_the_payer_revoked_is_not_debited() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    payer(&shop.app, &mandate, PayerAct::Revoke).await;
    shop.app.debit_until(&waiting.id, pb::DebitState::Cancelled).await;
    for _ in 0..3 {
        shop.app.advance(A_DAY_AND_MORE);
        settled(&shop.app).await;
    }
    assert_eq!(shop.asked("mandate.execute"), 0);
}

/// One that lies far ahead is announced late enough that its notice still holds by then.
#[tokio::test]
async fn one_that_lies_far_ahead_is_announced_in_time_for_it() {
    let shop = open().await;
    let mandate = approved(&shop.app, order(&shop.app, "one")).await;
    let ahead = upistream::clock::after(shop.app.clock.now(), Duration::from_secs(10 * 24 * 3_600));
    let later = pb::CreateDebitRequest { execute_after: Some(stamp(ahead)), ..debit_order("one", &mandate, PAISE) };
    let asked = shop.app.debit(later).await;
    assert_eq!((asked.state(), shop.asked("mandate.notify")), (pb::DebitState::Requested, 0));
    shop.app.advance(Duration::from_secs(8 * 24 * 3_600 + 12 * 3_600));
    settled(&shop.app).await;
    assert_eq!(shop.asked("mandate.notify"), 0, "it would be too old by then");
    let done = debit_in_time(&shop, &asked.id, minutes(50), pb::DebitState::Succeeded).await;
    let start = instant(done.attempts[0].start_time.as_ref()).expect("it was begun");
    assert!(start >= ahead, "{start} {ahead}");
    assert_eq!((done.notify_count, shop.asked("mandate.notify")), (1, 1));
    assert_eq!(bodies(&shop.app, "mandate.notify")[0]["debit_date"].as_str(), Some(india(start).date().to_string().as_str()));
}
