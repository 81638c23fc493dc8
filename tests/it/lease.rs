//! One lease a record: who holds it may send on its behalf.

use upistream::grpc::pb;
use upistream::sandbox::FaultKind;

use crate::support::app::{App, close_order, minutes, told, until};

#[tokio::test]
async fn a_close_in_the_middle_of_a_look_is_not_sent_and_says_so() {
    let app = App::start().await;
    let qr = app.create("counter", 49_900).await;
    app.fault("qr.fetch", FaultKind::Delay { ms: 700 });
    app.advance_until_asked(minutes(2), "qr.fetch").await;

    let refused = app.qrs().close_qr(close_order("close", &qr.id)).await.unwrap_err();
    assert_eq!(told(&refused).outcome(), "NOT_SENT");
    assert_eq!(app.asked("qr.close"), 0);
    let standing = app.get_qr(&qr.id).await;
    assert_eq!((standing.state(), standing.pending_change), (pb::QrState::Active, None));

    // Nothing stands in the way of asking again with the same key once the look is over.
    let closed = until("the look to end", async || {
        app.qrs().close_qr(close_order("close", &qr.id)).await.ok().and_then(|answer| answer.into_inner().qr)
    })
    .await;
    assert_eq!(closed.state(), pb::QrState::Closed);
    assert_eq!(app.asked("qr.close"), 1);
    assert!(app.running.stop().await);
}
