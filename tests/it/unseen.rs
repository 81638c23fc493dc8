//! What happened at the provider while no callback came, and is found by asking.

use std::time::Duration;

use upistream::grpc::pb;
use upistream::sandbox::{Outcome, PayOptions, Switches};

use crate::support::app::{ACCOUNT, App, minutes};

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
