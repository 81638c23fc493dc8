//! What happened at the provider while no callback came, and is found by asking.

use std::time::Duration;

use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, Outcome, PayOptions, Switches, WebhookFaultKind};

use crate::support::app::{ACCOUNT, App, minutes, until};

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[tokio::test]
async fn a_failed_payment_that_was_authorized_and_given_back_unseen_is_reversed() {
    let app = App::start().await;
    app.provider.switches(Switches { auto_capture: false, ..Switches::default() });
    let qr = app.create("counter", 49_900).await;
    let payment = app.pay(&qr.upi_link, PayOptions { outcome: Outcome::Failed, ..PayOptions::default() }).await;
    app.payment_until(&qr.id, pb::PaymentState::Failed).await;

    app.lose_callbacks();
    app.provider.authorize_late(ACCOUNT, &payment).await.unwrap();
    // Nobody asks in time; the provider gives the money back after three days.
    app.advance(3 * DAY + minutes(60));
    let payment = app.payment_until(&qr.id, pb::PaymentState::Reversed).await;
    assert_eq!(payment.contradictions, []);
    assert!(app.running.stop().await);
}

#[tokio::test]
async fn a_payment_behind_a_second_attempt_is_found_once_lists_have_caught_up() {
    let app = App::start().await;
    app.provider.switches(Switches { only_credited: true, ..Switches::default() });
    app.provider.set_list_lag(600);
    let qr = app.create("counter", 49_900).await;
    // Of the payment that closes the code no callback comes, and lists don't show it yet.
    app.callbacks("qr_code.credited", WebhookFaultKind::Drop);
    let first = app.pay(&qr.upi_link, PayOptions::default()).await;
    // The second attempt is given back, which callbacks tell.
    let second = app.pay(&qr.upi_link, PayOptions::default()).await;
    app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    app.qr_until(&qr.id, "the close", |qr| qr.close_reason() == pb::QrCloseReason::Paid).await;

    app.advance(minutes(40));
    let payments = until("both payments", async || Some(app.payments_of(&qr.id).await).filter(|payments| payments.len() == 2)).await;
    let of = |reference: &str| payments.iter().find(|payment| payment.provider_ref == reference).expect("it is recorded");
    assert_eq!(of(&first).amount_refunded.as_ref().unwrap().minor_units, 0);
    assert_eq!(of(&second).amount_refunded.as_ref().unwrap().minor_units, 49_900);
    assert!(app.running.stop().await);
}

#[tokio::test]
async fn the_payment_of_a_code_that_was_paid_before_it_was_found_is_found_too() {
    let app = App::start().await;
    app.lose_callbacks();
    app.fault("qr.create", FaultKind::AnswerLost);
    app.always("qr.list", FaultKind::StatusBefore { status: 500 });
    let qr = app.create("counter", 49_900).await;
    assert_eq!(qr.state(), pb::QrState::Requested);
    let first = app.pay(&app.only_code(), PayOptions::default()).await;

    // Only of a second attempt, which the provider gives back, do callbacks come.
    app.provider.clear_faults();
    app.always("qr.list", FaultKind::StatusBefore { status: 500 });
    let second = app.pay(&app.only_code(), PayOptions::default()).await;
    app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    app.advance(minutes(60));
    assert_eq!(app.get_qr(&qr.id).await.state(), pb::QrState::Requested);

    app.provider.clear_faults();
    app.advance(minutes(5));
    let payments = until("both payments", async || Some(app.payments_of(&qr.id).await).filter(|payments| payments.len() == 2)).await;
    let references: Vec<&str> = payments.iter().map(|payment| payment.provider_ref.as_str()).collect();
    assert!(references.contains(&first.as_str()) && references.contains(&second.as_str()), "{references:?}");
    assert!(app.running.stop().await);
}
