//! Debits that were executed after the backup was made: what a store is restored from knows nothing of that.

use std::time::Duration;

use tonic::Code;
use upistream::app::transfer;
use upistream::config::Config;
use upistream::grpc::pb;
use upistream::sandbox::FaultKind;

use super::held::{is_no_longer_held, restored};
use super::{QUIET, app, embedded, folder};
use crate::mandate::{debit_order, instant, mandate_order};
use crate::providers::enkash_mandates::{approved, order_without_day, reads, spoken, words};
use crate::providers::shop::{At, Shop, account};
use crate::support::app::{App, minutes, told, until};

const PAISE: i64 = 49_900;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_collected_since_is_found_by_its_order_and_not_executed_again() {
    let app = app().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    let app = restored(app, None, async |app| {
        app.collected(&waiting).await;
    })
    .await;
    let done = app.debit_until(&waiting.id, pb::DebitState::Succeeded).await;
    is_no_longer_held(&app).await;
    app.advance(minutes(24 * 60));
    assert_eq!((done.attempts.len(), app.payments_of_debit(&done).await.len()), (1, 1), "{done:?}");
    assert_eq!((app.asked("payment.create_recurring"), app.collected_at_provider(&mandate)), (1, vec![PAISE]));
}

/// Its cycle would be free for another one.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_may_have_been_collected_can_not_be_cancelled_before_it_was_looked_up() {
    let app = app().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    let app = restored(app, None, async |app| {
        app.collected(&waiting).await;
        // What its order was paid by can't be asked for.
        app.always("*", FaultKind::StatusBefore { status: 500 });
    })
    .await;
    let cancel = || pb::CancelDebitRequest { idempotency_key: "stop".to_owned(), id: waiting.id.clone() };
    let held = told(&app.mandates().cancel_debit(cancel()).await.expect_err("it is held"));
    assert_eq!((held.code, held.outcome()), (Code::Unavailable, "NOT_SENT"), "{held:?}");
    app.provider.clear_faults();
    until("the payment to be found", async || {
        app.advance(minutes(1));
        Some(app.get_debit(&waiting.id).await).filter(|debit| debit.state() == pb::DebitState::Succeeded)
    })
    .await;
    is_no_longer_held(&app).await;
    let late = told(&app.mandates().cancel_debit(cancel()).await.expect_err("it is too late"));
    assert_eq!(late.reason, "STATE_FORBIDS");
    assert_eq!(app.collected_at_provider(&mandate), vec![PAISE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_is_executed_once_after_all() {
    let app = app().await;
    app.advance_to_day(2, 6, 0);
    let mandate = app.approved(mandate_order(&app, "mandate")).await;
    let waiting = app.announced(debit_order("one", &mandate, PAISE)).await;
    let app = restored(app, None, async |_| ()).await;
    is_no_longer_held(&app).await;
    app.collected(&waiting).await;
    assert_eq!((app.asked("payment.create_recurring"), app.collected_at_provider(&mandate)), (1, vec![PAISE]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_asked_for_and_collected_since_is_not_collected_again_when_its_caller_repeats_it() {
    let app = app().await;
    app.advance_to_day(2, 6, 0);
    let unlimited = pb::CreateMandateRequest {
        frequency: pb::MandateFrequency::AsPresented.into(),
        debit_day: None,
        debit_day_rule: pb::MandateDebitDayRule::Unspecified.into(),
        ..mandate_order(&app, "mandate")
    };
    let mandate = app.approved(unlimited).await;
    let order = debit_order("one", &mandate, PAISE);
    let app = restored(app, None, async |app| {
        let waiting = app.announced(order.clone()).await;
        app.collected(&waiting).await;
    })
    .await;
    is_no_longer_held(&app).await;
    assert_eq!(app.collected_at_provider(&mandate), [PAISE]);
    let (orders, sent) = (app.asked("order.create"), app.asked("payment.create_recurring"));
    let again = app.debit(order).await;
    app.passing(minutes(6 * 60), "somebody to have to look", async || {
        Some(app.get_debit(&again.id).await).filter(|debit| !debit.contradictions.is_empty())
    })
    .await;
    app.advance(minutes(48 * 60));
    assert_eq!(app.collected_at_provider(&mandate), [PAISE], "it is debited once");
    assert_eq!(app.asked("payment.create_recurring"), sent);
    assert!(app.asked("order.create") <= orders + 1, "at most a notice that is newer");
}

/// EnKash lets nobody ask, and would debit as often as it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_be_asked_one_that_may_have_been_executed_is_an_operators() {
    let here = folder();
    let from = embedded(here.path());
    let store = from.store.backend.clone();
    let shop = Shop::open_with(At::Enkash, |config| {
        spoken(config, &words());
        config.store.backend = store;
    })
    .await;
    reads(&shop.app, |enkash| enkash.token_lifetime_s = 10 * 365 * 24 * 3_600);
    shop.app.advance_to_day(2, 6, 0);
    let mandate = approved(&shop.app, order_without_day(&shop.app, "mandate", pb::MandateFrequency::AsPresented)).await;
    let waiting = shop.app.debit(debit_order("one", &mandate, PAISE)).await;
    let by_hand = pb::CreateDebitRequest { auto_execute: Some(false), ..debit_order("by-hand", &mandate, PAISE) };
    let by_hand = shop.app.debit(by_hand).await;
    let files = folder();
    let file = files.path().join("backup");
    transfer::back_up(&from, &file, QUIET).await.expect("it is written");
    shop.app.advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
    shop.app.attempted(&waiting.id, 1).await;
    until("the debit to be sent", async || (shop.asked("mandate.execute") == 1).then_some(())).await;
    let (_, clock, provider) = shop.app.halt().await;
    let there = folder();
    transfer::restore(&embedded(there.path()), &file, QUIET).await.expect("it is restored");
    let accounts = account(At::Enkash, &provider);
    let store = embedded(there.path()).store.backend;
    let change = |config: &mut Config| {
        config.accounts.extend(accounts);
        spoken(config, &words());
        config.store.backend = store;
    };
    let app = App::start_at(there, clock, provider, change).await;
    for debit in [&waiting, &by_hand] {
        let doubted = app.debit_when(&debit.id, "its doubt", |debit| debit.in_doubt).await;
        assert_eq!((doubted.state(), doubted.attempts.len()), (pb::DebitState::Executing, 1), "{doubted:?}");
    }
    is_no_longer_held(&app).await;
    for _ in 0..3 {
        app.advance(Duration::from_secs(27 * 3_600));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(app.asked("mandate.execute"), 1, "nothing is executed twice");
}
