//! Each rule of UPI broken, and refused by its name; where waiting helps it says until when, and then it succeeds, not a
//! minute before.

use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use tonic::Code;
use upistream::clock::Clock as _;
use upistream::grpc::pb;
use upistream::sandbox::DebitCourse;

use super::{MAX, debit_order, execute_order, forbidden, india, instant, mandate_order, money, stamp, switched};
use crate::support::app::{App, minutes, told};

const PAISE: i64 = 49_900;

fn by_hand(key: &str, mandate: &pb::Mandate) -> pb::CreateDebitRequest {
    pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order(key, mandate, PAISE) }
}

/// It is refused by `rule` now and a minute before the time that this names, and not from then on.
async fn permitted_from(app: &App, debit: &pb::Debit, rule: &str) {
    let refused = told(&app.execute_debit(execute_order("early", debit)).await.unwrap_err());
    assert_eq!(refused.code, Code::FailedPrecondition);
    let (named, next) = forbidden(&refused);
    let next = next.expect("waiting helps");
    assert_eq!(named, rule);
    app.advance_to(next.saturating_sub(60.seconds()).expect("a time of our days"));
    let still = told(&app.execute_debit(execute_order("a minute before", debit)).await.unwrap_err());
    assert_eq!((still.reason.as_str(), forbidden(&still).1), ("RULE_FORBIDS", Some(next)), "{still:?}");
    assert_eq!(app.asked("payment.create_recurring"), 0);
    app.advance_to(next);
    let executing = app.execute_debit(execute_order("early", debit)).await.expect("it is permitted, and the key was free");
    assert_eq!(executing.attempts.len(), 1);
    app.advance(minutes(1));
    app.debit_until(&debit.id, pb::DebitState::Succeeded).await;
}

/// An aggregator that enforces the rules itself agrees with every execution.
async fn strict_app() -> App {
    let app = App::start().await;
    switched(&app.provider, |mandates| mandates.bank_enforces_rules = true);
    app
}

#[tokio::test]
async fn the_payer_is_told_a_day_before() {
    let app = strict_app().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let debit = app.announced(by_hand("one", &mandate)).await;
    permitted_from(&app, &debit, "pre_debit_notice").await;
}

#[tokio::test]
async fn before_its_notice_is_delivered_it_is_not_said_when() {
    let app = strict_app().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let debit = app.debit(by_hand("one", &mandate)).await;
    let refused = told(&app.execute_debit(execute_order("now", &debit)).await.unwrap_err());
    assert_eq!(forbidden(&refused), ("pre_debit_notice", None));
}

#[tokio::test]
async fn nothing_is_executed_in_peak_hours() {
    let app = strict_app().await;
    app.advance_to_day(2, 8, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let debit = app.announced(by_hand("one", &mandate)).await;
    // The day after the notice, in the first of the two peaks.
    app.advance_to_day(3, 10, 30);
    let refused = told(&app.execute_debit(execute_order("peak", &debit)).await.unwrap_err());
    let next = forbidden(&refused).1.map(india).expect("waiting helps");
    assert_eq!((next.hour(), next.minute()), (13, 0));
    permitted_from(&app, &debit, "peak_hours").await;
}

#[tokio::test]
async fn a_debit_keeps_to_the_mandates_day() {
    let app = strict_app().await;
    app.advance_to_day(2, 6, 0);
    let order = pb::CreateMandateRequest { debit_day: Some(4), ..mandate_order(&app, "mandate") };
    let mandate = app.approved(order).await;
    let debit = app.announced(by_hand("one", &mandate)).await;
    app.advance_to_day(3, 8, 0);
    let refused = told(&app.execute_debit(execute_order("early", &debit)).await.unwrap_err());
    assert_eq!(india(forbidden(&refused).1.expect("waiting helps")).day(), 4);
    permitted_from(&app, &debit, "debit_day").await;
}

#[tokio::test]
async fn on_its_day_alone_where_the_mandate_says_so() {
    let app = strict_app().await;
    app.advance_to_day(2, 6, 0);
    // At this provider a mandate for one day is made on that day.
    let order = pb::CreateMandateRequest {
        debit_day: Some(2),
        debit_day_rule: pb::MandateDebitDayRule::On.into(),
        ..mandate_order(&app, "mandate")
    };
    let mandate = app.approved(order).await;
    // A notice of now would be too old by then: it is sent in time.
    let debit = app.debit(debit_order("one", &mandate, PAISE)).await;
    assert_eq!((debit.state(), debit.in_doubt, debit.notify_count), (pb::DebitState::Requested, false, 0), "{debit:?}");
    let permitted = instant(debit.next_permitted_time.as_ref()).expect("it is told when");
    let next_month = india(app.clock.now()).checked_add(1.month()).expect("a month").month();
    assert_eq!((india(permitted).day(), india(permitted).month()), (2, next_month));
    app.advance_to(permitted.saturating_sub(27.hours()).expect("a time of our days"));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(app.get_debit(&debit.id).await.notify_count, 0);
    app.passing(minutes(30), "the notice", async || Some(app.get_debit(&debit.id).await).filter(|debit| debit.notify_count == 1)).await;
    app.advance(minutes(1));
    let waiting = app.debit_until(&debit.id, pb::DebitState::Scheduled).await;
    let done = app.collected(&waiting).await;
    assert_eq!(india(instant(done.attempts[0].start_time.as_ref()).expect("it was begun")).day(), 2);
}

/// One success in a cycle. What it says is when another one may be asked for.
#[tokio::test]
async fn one_debit_is_collected_in_a_cycle() {
    let app = strict_app().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let first = app.announced(debit_order("one", &mandate, PAISE)).await;
    // Already while the first one waits.
    let refused = told(&app.create_debit(debit_order("two", &mandate, PAISE)).await.unwrap_err());
    assert_eq!(forbidden(&refused).0, "once_per_cycle");
    app.collected(&first).await;
    let refused = told(&app.create_debit(debit_order("two", &mandate, PAISE)).await.unwrap_err());
    let (rule, next) = forbidden(&refused);
    let next = next.expect("waiting helps");
    assert_eq!(rule, "once_per_cycle");
    app.advance_to(next.saturating_sub(60.seconds()).expect("a time of our days"));
    let still = told(&app.create_debit(debit_order("two", &mandate, PAISE)).await.unwrap_err());
    assert_eq!(forbidden(&still).0, "once_per_cycle");
    app.advance_to(next);
    let second = app.announced(debit_order("two", &mandate, PAISE)).await;
    assert_ne!(first.cycle, second.cycle);
    app.collected(&second).await;
    // What is asked for ahead is counted in the cycle in which it is made.
    let ahead = india(app.clock.now()).checked_add(2.months()).expect("a time of our days").timestamp();
    let later = pb::CreateDebitRequest { execute_after: Some(stamp(ahead)), ..debit_order("three", &mandate, PAISE) };
    let later = app.debit(later).await;
    assert!(later.cycle > second.cycle, "{later:?}");
}

#[tokio::test]
async fn sixteen_that_ask_for_the_same_cycle_at_once_make_one_debit() {
    let app = strict_app().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let asked = (0..16).map(|number| {
        let (client, order) = (app.mandates(), debit_order(&format!("key-{number}"), &mandate, PAISE));
        tokio::spawn(async move { client.clone().create_debit(order).await })
    });
    let mut taken = 0;
    for answer in asked.collect::<Vec<_>>() {
        match answer.await.expect("it does not panic") {
            Ok(_) => taken += 1,
            Err(refused) => assert_eq!(forbidden(&told(&refused)).0, "once_per_cycle"),
        }
    }
    assert_eq!((taken, app.debits_of(&mandate).await.len()), (1, 1));
}

#[tokio::test]
async fn the_amount_is_the_mandates() {
    let app = App::start().await;
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let refused = told(&app.create_debit(debit_order("one", &mandate, MAX + 1)).await.unwrap_err());
    assert_eq!(forbidden(&refused), ("amount_rule", None));
    assert!(app.debits_of(&mandate).await.is_empty());
    app.debit(debit_order("one", &mandate, MAX)).await;
}

#[tokio::test]
async fn after_its_last_day_no_debit_is_made() {
    let app = App::start().await;
    app.advance_to_day(2, 6, 0);
    let until = india(app.clock.now()).checked_add(20.days()).expect("a time of our days").timestamp();
    let mandate = app.approved(pb::CreateMandateRequest { valid_until: Some(stamp(until)), ..mandate_order(&app, "mandate") }).await;
    let after = until.saturating_add(48.hours()).expect("a time of our days");
    let too_late = pb::CreateDebitRequest { execute_after: Some(stamp(after)), ..debit_order("one", &mandate, PAISE) };
    let refused = told(&app.create_debit(too_late).await.unwrap_err());
    assert_eq!(forbidden(&refused), ("mandate_validity", None));
}

#[tokio::test]
async fn a_mandate_lives_for_thirty_years_at_most() {
    let app = App::start().await;
    let until = |years: i64| india(app.clock.now()).checked_add(years.years()).expect("a time of our days");
    let long = pb::CreateMandateRequest {
        valid_until: Some(stamp(until(30).checked_add(2.days()).expect("a day").timestamp())),
        ..mandate_order(&app, "long")
    };
    let refused = told(&app.mandates().create_mandate(long).await.unwrap_err());
    assert_eq!(forbidden(&refused), ("validity_max", None));
    app.mandate(pb::CreateMandateRequest { valid_until: Some(stamp(until(29).timestamp())), ..mandate_order(&app, "fits") }).await;
}

/// Above the limit it is no refusal: the payer has to approve this one.
#[tokio::test]
async fn above_the_limit_without_a_pin_the_payer_approves_each() {
    let app = App::start().await;
    let order = pb::CreateMandateRequest { max_amount: Some(money(5_000_000)), ..mandate_order(&app, "mandate") };
    let mandate = app.approved(order).await;
    let debit = app.debit(debit_order("one", &mandate, 1_500_001)).await;
    assert!(debit.requires_payer_approval);
    let cancel = pb::CancelDebitRequest { idempotency_key: "stop".to_owned(), id: debit.id.clone() };
    app.mandates().cancel_debit(cancel).await.expect("it can be cancelled");
    assert!(!app.debit(debit_order("two", &mandate, 1_500_000)).await.requires_payer_approval);
}

/// After a reason that is no final one, another attempt waits until the first can't come any more.
#[tokio::test]
async fn after_an_open_failure_another_attempt_waits_out_the_late_window() {
    let app = strict_app().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::Fail { reason: "payment_timed_out".to_owned() });
    let debit = app.announced(by_hand("one", &mandate)).await;
    app.advance_to(instant(debit.next_permitted_time.as_ref()).expect("it is told when"));
    app.execute_debit(execute_order("first", &debit)).await.expect("it is permitted");
    app.advance(minutes(1));
    app.debit_when(&debit.id, "its failure", |debit| debit.attempts[0].failure.is_some()).await;
    let refused = told(&app.execute_debit(execute_order("second", &debit)).await.unwrap_err());
    let (rule, next) = forbidden(&refused);
    assert_eq!(rule, "late_window");
    let next = next.expect("waiting helps");
    assert!(next.duration_since(app.clock.now()).as_hours() >= 72, "{next}");
    app.advance_to(next.saturating_sub(60.seconds()).expect("a time of our days"));
    let still = told(&app.execute_debit(execute_order("second", &debit)).await.unwrap_err());
    assert_eq!(forbidden(&still).0, "late_window");
    assert_eq!(app.asked("payment.create_recurring"), 1);
    // Then its notice is too old, and with another one it is permitted.
    switched(&app.provider, |mandates| mandates.debits = DebitCourse::ByThemselves);
    app.advance_to(next);
    let refused = told(&app.execute_debit(execute_order("second", &debit)).await.unwrap_err());
    let (rule, next) = forbidden(&refused);
    assert_eq!(rule, "pre_debit_notice");
    app.debit_when(&debit.id, "another notice", |debit| debit.notify_count == 2).await;
    app.advance(minutes(1));
    app.debit_when(&debit.id, "its delivery", |debit| debit.notify_deliver_time.is_some()).await;
    app.advance_to(next.expect("waiting helps"));
    app.execute_debit(execute_order("second", &debit)).await.expect("it is permitted");
    app.advance(minutes(1));
    app.debit_until(&debit.id, pb::DebitState::Succeeded).await;
}

#[tokio::test]
async fn not_before_the_time_that_was_asked_for() {
    let app = strict_app().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let wanted = app.clock.now().saturating_add(30.hours()).expect("a time of our days");
    let order = pb::CreateDebitRequest { execute_after: Some(stamp(wanted)), ..by_hand("one", &mandate) };
    let debit = app.announced(order).await;
    let permitted = instant(debit.next_permitted_time.as_ref()).expect("it is told when");
    assert!(permitted >= truncated(wanted));
    app.advance(Duration::from_secs(25 * 3_600));
    let refused = told(&app.execute_debit(execute_order("early", &debit)).await.unwrap_err());
    assert!(["execute_after", "peak_hours"].contains(&forbidden(&refused).0), "{refused:?}");
}

fn truncated(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).expect("a time of our days")
}
