//! A service on a store that was restored: nothing is sent before what was open was looked up.

use std::time::Duration;

use tonic::Code;
use upistream::app::transfer;
use upistream::config::Config;
use upistream::grpc::pb;
use upistream::sandbox::FaultKind;

use super::{QUIET, app, embedded, folder, in_redis};
use crate::refund::refund_order;
use crate::support::app::{App, minutes, order, told, until};
use crate::support::log::{Reader, after, earliest};
use crate::support::redis::TestRedis;

/// A service on the backup of `app`'s store, which it leaves behind; `between`: what happens after the backup was made.
pub(super) async fn restored(app: App, to: Option<&TestRedis>, between: impl AsyncFnOnce(&App)) -> App {
    let (files, there) = (folder(), folder());
    let file = files.path().join("backup");
    transfer::back_up(&embedded(app.folder.path()), &file, QUIET).await.expect("it is written");
    between(&app).await;
    let (_, clock, provider) = app.halt().await;
    let config = to.map_or_else(|| embedded(there.path()), in_redis);
    transfer::restore(&config, &file, QUIET).await.expect("it is restored");
    let store = config.store.backend;
    App::start_at(there, clock, provider, |config: &mut Config| config.store.backend = store).await
}

pub(super) async fn is_no_longer_held(app: &App) {
    until("sending to be no longer held", async || {
        // What a busy provider did not answer is asked again a little later.
        app.advance(Duration::from_secs(1));
        (!app.running.engine().sending_is_held()).then_some(())
    })
    .await;
    assert_eq!(app.running.store().unseen().await.unwrap(), None);
}

async fn a_refund_that_was_made_is_looked_up_first(to: Option<&TestRedis>) {
    let app = app().await;
    let payment = app.paid("one", 45_000).await;
    app.lose_callbacks();
    // The backup has it as asked for; the provider made it.
    app.fault("refund.create", FaultKind::AnswerLost);
    let made = app.create_refund(refund_order("back", &payment, 12_000)).await.expect("doubt is no error").refund.unwrap();
    let mut reader = Reader::open(&app, earliest()).await;
    reader.history().await;
    let token = reader.token.clone();
    drop(reader);
    app.always("payment.refunds", FaultKind::StatusBefore { status: 500 });
    let app = restored(app, to, async |_| ()).await;

    // The provider does not answer, so nothing new is sent, and what was asked for before is answered as ever.
    let sent = (app.asked("refund.create"), app.asked("qr.create"));
    for _ in 0..3 {
        let held = app.create_refund(refund_order("other", &payment, 1_000)).await.expect_err("it is held");
        let said = told(&held);
        assert_eq!((said.code, said.outcome(), said.retry_after.is_some()), (Code::Unavailable, "NOT_SENT", true), "{said:?}");
        assert!(held.message().contains("restored"), "{held:?}");
        assert_eq!(app.qrs().create_qr(order("new", 10_000)).await.expect_err("it is held").code(), Code::Unavailable);
        app.advance(minutes(1));
    }
    let again = app.create_refund(refund_order("back", &payment, 12_000)).await.expect("a repeat is answered");
    assert!(again.idempotency_replayed && again.refund.unwrap().id == made.id);
    assert_eq!((app.asked("refund.create"), app.asked("qr.create")), sent, "nothing was sent");
    assert!(app.running.engine().sending_is_held());
    let refused = told(&Reader::try_open(&app, after(&token)).await.err().expect("a token of the log before"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_TOKEN"));

    app.provider.clear_faults();
    until("the refund to be found", async || {
        app.advance(minutes(1));
        Some(app.get_refund(&made.id).await).filter(|refund| !refund.in_doubt)
    })
    .await;
    is_no_longer_held(&app).await;
    assert_eq!(app.refunds_at_provider().len(), 1, "exactly one refund");
    app.create_refund(refund_order("other", &payment, 1_000)).await.expect("it is sent");
    assert_eq!(app.refunds_at_provider().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_was_made_is_found_in_a_restored_file_and_not_sent_again() {
    a_refund_that_was_made_is_looked_up_first(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_was_made_is_found_in_a_restored_redis_and_not_sent_again() {
    let redis = TestRedis::start().await;
    a_refund_that_was_made_is_looked_up_first(Some(&redis)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_after_the_backup_is_repeated_and_made_once() {
    let app = app().await;
    let payment = app.paid("one", 45_000).await;
    let app = restored(app, None, async |app| {
        // The store that is lost knew of these.
        app.refund("back", &payment, 12_000).await;
        app.create("late", 30_000).await;
    })
    .await;
    is_no_longer_held(&app).await;
    // The record is gone, the caller's key is not: by it the same reference is sent.
    let again = app.create_refund(refund_order("back", &payment, 12_000)).await.expect("it is taken").refund.unwrap();
    assert_eq!(app.refunds_at_provider().len(), 1, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_never_restored_is_not_held() {
    let app = app().await;
    assert!(!app.running.engine().sending_is_held());
    assert_eq!(app.running.store().unseen().await.unwrap(), None);
    // One without anything open is free at once.
    let app = restored(app, None, async |_| ()).await;
    is_no_longer_held(&app).await;
}

/// A provider may never answer for a record again: then somebody decides that nothing is to be waited for any more.
#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_ended_by_hand_and_says_what_was_not_looked_up() {
    let app = app().await;
    let payment = app.paid("one", 45_000).await;
    app.lose_callbacks();
    app.fault("refund.create", FaultKind::AnswerLost);
    let lost = app.create_refund(refund_order("back", &payment, 12_000)).await.expect("doubt is no error").refund.unwrap();
    app.always("payment.refunds", FaultKind::StatusBefore { status: 500 });
    let app = restored(app, None, async |_| ()).await;
    assert_eq!(app.qrs().create_qr(order("new", 10_000)).await.expect_err("it is held").code(), Code::Unavailable);
    let (folder, clock, provider) = app.halt().await;
    let config = embedded(folder.path());
    let released = transfer::release(&config).await.expect("it is ended").expect("it was held");
    assert!(released.iter().any(|id| id.to_string() == lost.id), "{released:?}");
    assert_eq!(transfer::release(&config).await.expect("there is nothing to do"), None);
    let store = config.store.backend;
    let app = App::start_at(folder, clock, provider, |config: &mut Config| config.store.backend = store).await;
    assert!(!app.running.engine().sending_is_held());
    app.create("new", 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_in_doubt_is_looked_up_and_made_once() {
    let app = app().await;
    app.lose_callbacks();
    app.fault("qr.create", FaultKind::AnswerLost);
    let doubted = app.qrs().create_qr(order("one", 10_000)).await.expect("doubt is no error").into_inner().qr.unwrap();
    assert_eq!(doubted.state(), pb::QrState::Requested);
    let app = restored(app, None, async |_| ()).await;
    app.qr_until(&doubted.id, "the code to be found", |qr| qr.state() == pb::QrState::Active).await;
    is_no_longer_held(&app).await;
    assert_eq!(app.codes().len(), 1);
}
