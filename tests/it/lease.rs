//! One lease a record: only who holds it may send on its behalf.

use std::time::Duration;

use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::FaultKind;

use crate::support::app::{App, close_order, minutes, order, told, within};

/// A code that somebody looks at for a while.
async fn looked_at(app: &App, ms: u64) -> pb::Qr {
    let qr = app.create("counter", 49_900).await;
    app.fault("qr.fetch", FaultKind::Delay { ms });
    app.advance_until_asked(minutes(2), "qr.fetch").await;
    qr
}

#[tokio::test]
async fn a_close_waits_for_a_look_to_end_and_is_then_sent_once() {
    let app = App::start().await;
    let qr = looked_at(&app, 500).await;
    let closed = app.qrs().close_qr(close_order("close", &qr.id)).await.expect("it is closed").into_inner().qr.unwrap();
    assert_eq!((closed.state(), app.asked("qr.close")), (pb::QrState::Closed, 1));
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated", "qr.change_requested", "qr.closed"]);
}

#[tokio::test]
async fn a_close_without_time_to_wait_for_a_look_writes_nothing_and_says_so() {
    let app = App::start().await;
    let qr = looked_at(&app, 900).await;
    let hurried = within(Duration::from_millis(600), close_order("close", &qr.id));
    let refused = told(&app.qrs().close_qr(hurried).await.expect_err("somebody looks at it"));
    assert_eq!((refused.code, refused.outcome()), (Code::Unavailable, "NOT_SENT"));
    assert_eq!((app.get_qr(&qr.id).await, app.asked("qr.close")), (qr.clone(), 0));

    // The key is free, and a repeat has time to wait.
    let closed = app.qrs().close_qr(close_order("close", &qr.id)).await.expect("it is closed").into_inner();
    assert!(!closed.idempotency_replayed);
    assert_eq!((closed.qr.unwrap().state(), app.asked("qr.close")), (pb::QrState::Closed, 1));
    // What stands in nobody's way waits for nobody.
    app.qrs().create_qr(order("another", 100)).await.expect("it is created");
}
