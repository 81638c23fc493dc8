//! Answers that were overtaken: the provider was asked, something happened and was told by callback, and only then the
//! answer came. It is old news, which contradicts nothing.

use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, Outcome, PayOptions, Switches, WebhookFault, WebhookFaultKind};

use crate::support::app::{ACCOUNT, App, minutes, order, until};

/// How long the answer travels: the callback is faster.
const TRAVEL: FaultKind = FaultKind::Delay { ms: 700 };

#[tokio::test]
async fn an_old_answer_about_a_payment_contradicts_nothing() {
    let app = App::start().await;
    app.provider.switches(Switches { auto_capture: false, ..Switches::default() });
    let qr = app.create("counter", 49_900).await;
    let paying = PayOptions { outcome: Outcome::Pending, ..PayOptions::default() };
    let payment = app.pay(&qr.upi_link, paying).await;
    app.advance(minutes(2));
    app.payment_until(&qr.id, pb::PaymentState::Pending).await;
    lose_next_callback(&app, "payment.authorized");
    app.provider.authorize_late(ACCOUNT, &payment).await.unwrap();

    let learned = steps(&app);
    app.fault("payment.fetch", TRAVEL);
    app.advance_until_asked(minutes(2), "payment.fetch").await;
    app.provider.capture(ACCOUNT, &payment).await.unwrap();
    app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    until("the old answer to be learned", async || (steps(&app) > learned).then_some(())).await;

    let payment = app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    assert_eq!(payment.contradictions, []);
    assert!(app.running.stop().await);
}

#[tokio::test]
async fn an_old_answer_about_a_code_contradicts_nothing() {
    let app = App::start().await;
    app.fault("qr.create", FaultKind::AnswerLost);
    lose_next_callback(&app, "qr_code.created");
    app.fault("qr.list", TRAVEL);
    let qr = app.qrs().create_qr(order("counter", 49_900)).await.unwrap().into_inner().qr.unwrap();
    assert_eq!(qr.state(), pb::QrState::Requested);

    let learned = steps(&app);
    app.advance_until_asked(minutes(2), "qr.list").await;
    app.at_provider(&format!("payments/qr_codes/{}/close", app.only_code()), &serde_json::Value::Null).await;
    app.qr_until(&qr.id, "the close", |qr| qr.state() == pb::QrState::Closed).await;
    until("the old answer to be learned", async || (steps(&app) > learned).then_some(())).await;

    let qr = app.get_qr(&qr.id).await;
    assert_eq!((qr.state(), qr.close_reason()), (pb::QrState::Closed, pb::QrCloseReason::Cancelled));
    assert_eq!(qr.contradictions, []);
    assert!(app.running.stop().await);
}

fn lose_next_callback(app: &App, event: &str) {
    app.provider.webhook_fault(WebhookFault::on(event, WebhookFaultKind::Drop)).unwrap();
}

/// Looks that came to something.
fn steps(app: &App) -> u64 {
    let steps = &app.running.engine().metrics().reconciler_steps;
    ["qr", "pay"].iter().map(|kind| steps.with_label_values(&[*kind, "learned"]).get()).sum()
}
