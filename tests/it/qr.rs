//! A code is created, paid and closed.

use upistream::grpc::pb;
use upistream::sandbox::PayOptions;

use crate::support::app::{ACCOUNT, App, check_revisions, order};

#[tokio::test]
async fn a_code_is_created_paid_and_its_status_is_told() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    assert_eq!(qr.state(), pb::QrState::Active);
    assert!(qr.upi_link.starts_with("upi://pay?"), "{}", qr.upi_link);

    let again = app.qrs().create_qr(order("one", 49_900)).await.unwrap().into_inner();
    assert!(again.idempotency_replayed);
    assert_eq!(again.qr.unwrap().id, qr.id);

    app.provider.pay_qr(ACCOUNT, &qr.upi_link, PayOptions::default()).await.unwrap();
    let payment = app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    assert_eq!(payment.amount.unwrap().minor_units, 49_900);
    let closed = app.qr_until(&qr.id, "the code to close", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!(closed.close_reason(), pb::QrCloseReason::Paid);
    assert_eq!((closed.payment_count, closed.amount_received.unwrap().minor_units), (1, 49_900));

    let log = app.log().await;
    check_revisions(&log);
    let types: Vec<&str> = log.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(types.iter().filter(|name| **name == "payment.succeeded").count(), 1, "{types:?}");
    assert!(types.starts_with(&["qr.requested", "qr.activated"]), "{types:?}");
    assert_eq!(app.provider.qr_codes(ACCOUNT).unwrap().len(), 1);
    assert!(app.running.stop().await);
}
