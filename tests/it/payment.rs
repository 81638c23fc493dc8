//! Money comes in: told by callbacks in any order, found without them, and never announced for what it is not.

use std::time::Duration;

use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, Outcome, PayOptions, Switches, WebhookFaultKind};

use crate::support::app::{ACCOUNT, App, minutes, order, patient, provider, told};

fn paying(outcome: Outcome) -> PayOptions {
    PayOptions { outcome, ..PayOptions::default() }
}

/// How often `name` is among `names`.
fn count(names: &[String], name: &str) -> usize {
    names.iter().filter(|told| *told == name).count()
}

/// The code was paid once and in full: one success was told, and the code and its payment say so.
async fn is_paid_once(app: &App, qr: &pb::Qr) -> (Vec<String>, Vec<String>) {
    let payment = app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    let what = "the code to be closed as paid";
    let closed = app.qr_until(&qr.id, what, |qr| qr.state() == pb::QrState::Closed && qr.payment_count == 1).await;
    assert_eq!((closed.close_reason(), closed.amount_received.unwrap().minor_units), (pb::QrCloseReason::Paid, 49_900));
    assert_eq!((payment.amount, payment.expected_amount), (qr.amount.clone(), qr.amount.clone()));
    assert_eq!((payment.reference, payment.qr_id), (qr.reference.clone(), qr.id.clone()));
    assert_eq!(app.provider.payments(ACCOUNT).unwrap()[0]["id"], payment.provider_ref.as_str());
    let (of_qr, of_payment) = (app.names_of_qr(&qr.id).await, app.names_of_payment(&payment.id).await);
    assert_eq!(count(&of_payment, "payment.succeeded"), 1, "{of_payment:?}");
    assert_eq!(count(&of_qr, "qr.closed"), 1, "{of_qr:?}");
    (of_qr, of_payment)
}

#[tokio::test]
async fn a_payment_that_no_callback_told_of_is_found() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.lose_callbacks();
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    app.advance(minutes(2));
    is_paid_once(&app, &qr).await;
    let payment = app.payments_of(&qr.id).await.remove(0);
    let story = app.story(&payment.id, payment.revision).await;
    assert!(story.iter().all(|event| event.evidence() == pb::Evidence::Enquiry), "{story:?}");
}

#[tokio::test]
async fn a_payment_that_lists_show_only_later_is_found_after_its_code_was_closed() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.lose_callbacks();
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    app.provider.set_list_lag(15 * 60);
    app.advance(minutes(2));
    let closed = app.qr_until(&qr.id, "the code to close", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!((closed.close_reason(), closed.payment_count), (pb::QrCloseReason::Paid, 0));
    app.advance(minutes(20));
    let (of_qr, _) = is_paid_once(&app, &qr).await;
    assert_eq!(of_qr, ["qr.requested", "qr.activated", "qr.closed", "qr.updated"]);
}

#[tokio::test]
async fn a_payment_is_found_though_the_provider_s_clock_is_behind_ours() {
    let app = App::start().await;
    app.clock.advance(minutes(5));
    let qr = app.create("one", 49_900).await;
    app.lose_callbacks();
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    app.advance(minutes(2));
    is_paid_once(&app, &qr).await;
}

#[tokio::test]
async fn callbacks_that_come_twice_tell_once() {
    let app = App::start().await;
    app.callbacks("*", WebhookFaultKind::Duplicate);
    let qr = app.create("one", 49_900).await;
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    app.callbacks_delivered(8).await;
    is_paid_once(&app, &qr).await;
}

#[tokio::test]
async fn callbacks_that_come_last_first_tell_once() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.callbacks("*", WebhookFaultKind::Reverse);
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    app.callbacks_delivered(4).await;
    let (_, of_payment) = is_paid_once(&app, &qr).await;
    assert_eq!(count(&of_payment, "payment.authorized"), 0, "old news is no news: {of_payment:?}");
}

#[tokio::test]
async fn a_callback_that_comes_a_day_late_tells_nothing_new() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.callbacks("payment.authorized", WebhookFaultKind::Hold);
    app.callbacks("payment.captured", WebhookFaultKind::Hold);
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    is_paid_once(&app, &qr).await;
    app.advance(Duration::from_secs(23 * 3600));
    app.provider.release_webhooks();
    app.callbacks_delivered(4).await;
    let (_, of_payment) = is_paid_once(&app, &qr).await;
    assert_eq!(count(&of_payment, "payment.authorized"), 0, "{of_payment:?}");
}

#[tokio::test]
async fn only_the_credited_callback_is_enough() {
    let app = App::start().await;
    app.provider.switches(Switches { only_credited: true, ..Switches::default() });
    let qr = app.create("one", 49_900).await;
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    let (_, of_payment) = is_paid_once(&app, &qr).await;
    assert_eq!(of_payment[0], "payment.succeeded");
}

#[tokio::test]
async fn a_callback_about_the_close_of_a_paid_code_adds_nothing() {
    let app = App::start().await;
    app.provider.switches(Switches { closed_event_when_paid: true, ..Switches::default() });
    let qr = app.create("one", 49_900).await;
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    app.callbacks_delivered(5).await;
    is_paid_once(&app, &qr).await;
}

#[tokio::test]
async fn a_payment_may_come_before_our_own_answer_to_the_creation() {
    let app = App::start().await;
    app.callbacks("qr_code.created", WebhookFaultKind::Drop);
    app.fault("qr.create", FaultKind::Stall);
    let mut client = app.qrs();
    let creation = tokio::spawn(async move { client.create_qr(order("one", 49_900)).await });
    app.asked_again("qr.create", 0).await;
    app.pay(&app.only_code(), PayOptions::default()).await;
    let qr = creation.await.unwrap().expect("doubt is no error").into_inner().qr.unwrap();
    let (of_qr, _) = is_paid_once(&app, &qr).await;
    assert_eq!(of_qr[0], "qr.requested");
    assert_eq!((app.asked("qr.create"), app.codes().len(), app.list_qrs().await.len()), (1, 1, 1));
    let whole = app.get_qr(&qr.id).await;
    assert!(whole.provider_ref == app.only_code() && whole.upi_link.starts_with("upi://pay?"), "{whole:?}");
}

#[tokio::test]
async fn a_code_that_was_paid_before_its_lost_answer_was_looked_up_is_found_with_its_payment() {
    let app = App::start().await;
    app.lose_callbacks();
    app.fault("qr.create", FaultKind::AnswerLost);
    let qr = app.create("one", 49_900).await;
    app.pay(&app.only_code(), PayOptions::default()).await;
    app.advance(Duration::from_secs(5));
    app.qr_until(&qr.id, "the code to be found", |qr| qr.state() != pb::QrState::Requested).await;
    app.advance(minutes(6));
    is_paid_once(&app, &qr).await;
}

#[tokio::test]
async fn another_amount_is_a_mismatch_and_no_success() {
    for callbacks in [true, false] {
        let app = App::start().await;
        let qr = app.create("one", 49_900).await;
        if !callbacks {
            app.lose_callbacks();
        }
        app.pay(&qr.provider_ref, PayOptions { amount: Some(48_900), any_amount: true, ..PayOptions::default() }).await;
        app.advance(minutes(2));
        let payment = app.payment_until(&qr.id, pb::PaymentState::Mismatched).await;
        let paise = |money: Option<pb::Money>| money.expect("an amount").minor_units;
        assert_eq!((paise(payment.amount), paise(payment.expected_amount)), (48_900, 49_900));
        let counted = app.qr_until(&qr.id, "the money to be counted", |qr| qr.payment_count == 1).await;
        assert_eq!(paise(counted.amount_received), 48_900);
        app.qr_until(&qr.id, "the code to close", |qr| qr.state() == pb::QrState::Closed).await;
        let names = app.names_of_payment(&payment.id).await;
        assert_eq!((count(&names, "payment.mismatched"), count(&names, "payment.succeeded")), (1, 0), "{names:?}");
        assert!(app.log().await.iter().all(|event| event.r#type != "payment.succeeded"));
    }
}

#[tokio::test]
async fn a_failed_payment_leaves_its_code_open() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.pay(&qr.provider_ref, paying(Outcome::Failed)).await;
    let failed = app.payment_until(&qr.id, pb::PaymentState::Failed).await;
    let failure = failed.failure.expect("what failed says why");
    assert_eq!((failure.reason(), failure.provider_code.as_str()), (pb::FailureReason::ProviderFailed, "payment_failed"));
    let open = app.get_qr(&qr.id).await;
    assert_eq!((open.state(), open.payment_count, open.amount_received.unwrap().minor_units), (pb::QrState::Active, 0, 0));
    assert_eq!(app.names_of_payment(&failed.id).await, ["payment.failed"]);

    // Another try by the payer is another payment.
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    let paid = app.qr_until(&qr.id, "the code to be paid", |qr| qr.payment_count == 1).await;
    assert_eq!(paid.amount_received.unwrap().minor_units, 49_900);
    assert_eq!(app.payments_of(&qr.id).await.len(), 2);
}

#[tokio::test]
async fn a_failed_payment_that_succeeds_late_is_asked_for_before_it_is_believed() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let at_provider = app.pay(&qr.provider_ref, paying(Outcome::Failed)).await;
    let failed = app.payment_until(&qr.id, pb::PaymentState::Failed).await;

    app.provider.authorize_late(ACCOUNT, &at_provider).await.unwrap();
    let (_, of_payment) = is_paid_once(&app, &qr).await;
    assert_eq!(of_payment[..2], ["payment.failed", "payment.succeeded"]);
    let story = app.story(&failed.id, 2).await;
    // The callback alone proves no late success.
    assert_eq!((story[0].evidence(), story[1].evidence()), (pb::Evidence::Signature, pb::Evidence::Enquiry));
    assert!(story[0].terminal && story[1].terminal);
    let Some(pb::event::Resource::Payment(after)) = &story[1].resource else { panic!("the event has no payment") };
    assert!(after.failure.is_none(), "{after:?}");
}

#[tokio::test]
async fn a_failed_payment_that_is_authorized_late_waits_for_its_capture() {
    let app = App::start().await;
    app.provider.switches(Switches { auto_capture: false, ..Switches::default() });
    let qr = app.create("one", 49_900).await;
    let at_provider = app.pay(&qr.provider_ref, paying(Outcome::Failed)).await;
    let failed = app.payment_until(&qr.id, pb::PaymentState::Failed).await;
    app.provider.authorize_late(ACCOUNT, &at_provider).await.unwrap();
    app.payment_until(&qr.id, pb::PaymentState::Authorized).await;
    assert_eq!(app.story(&failed.id, 2).await[1].evidence(), pb::Evidence::Enquiry);
    assert_eq!(app.get_qr(&qr.id).await.payment_count, 0, "authorized is not received");
    app.provider.capture(ACCOUNT, &at_provider).await.unwrap();
    let (_, of_payment) = is_paid_once(&app, &qr).await;
    assert_eq!(of_payment[..3], ["payment.failed", "payment.authorized", "payment.succeeded"]);
}

#[tokio::test]
async fn a_late_success_that_is_told_while_somebody_looks_is_asked_for_at_once() {
    let app = App::start_with(provider().await, patient).await;
    let qr = app.create("one", 49_900).await;
    let at_provider = app.pay(&qr.provider_ref, paying(Outcome::Failed)).await;
    app.payment_until(&qr.id, pb::PaymentState::Failed).await;
    app.fault("payment.fetch", FaultKind::Delay { ms: 2_000 });
    app.advance_until_asked(minutes(6), "payment.fetch").await;
    // The look above is answered with the failure.
    app.provider.authorize_late(ACCOUNT, &at_provider).await.unwrap();
    app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
}

#[tokio::test]
async fn a_late_success_that_no_callback_told_of_is_found() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let at_provider = app.pay(&qr.provider_ref, paying(Outcome::Failed)).await;
    app.payment_until(&qr.id, pb::PaymentState::Failed).await;
    app.lose_callbacks();
    app.advance(minutes(60));
    app.provider.authorize_late(ACCOUNT, &at_provider).await.unwrap();
    app.advance(minutes(600));
    app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
}

#[tokio::test]
async fn an_open_payment_is_followed_to_its_end() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.lose_callbacks();
    let at_provider = app.pay(&qr.provider_ref, paying(Outcome::Pending)).await;
    app.advance(minutes(2));
    let pending = app.payment_until(&qr.id, pb::PaymentState::Pending).await;
    assert!(!pending.reported);
    app.provider.fail_payment(ACCOUNT, &at_provider).await.unwrap();
    app.advance(minutes(3));
    app.payment_until(&qr.id, pb::PaymentState::Failed).await;
    assert_eq!(app.names_of_payment(&pending.id).await, ["payment.pending", "payment.failed"]);
}

#[tokio::test]
async fn a_refresh_asks_the_provider_now() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let at_provider = app.pay(&qr.provider_ref, paying(Outcome::Failed)).await;
    let failed = app.payment_until(&qr.id, pb::PaymentState::Failed).await;
    let refresh = async || app.payments().refresh_payment(pb::RefreshPaymentRequest { id: failed.id.clone() }).await;
    let same = refresh().await.expect("the provider answers").into_inner().payment.unwrap();
    assert_eq!(same, failed, "nothing new, nothing written");

    app.lose_callbacks();
    app.provider.authorize_late(ACCOUNT, &at_provider).await.unwrap();
    let fresh = refresh().await.expect("the provider answers").into_inner().payment.unwrap();
    assert_eq!((fresh.state(), fresh.revision), (pb::PaymentState::Succeeded, failed.revision + 1));
    assert_eq!(app.get_payment(&failed.id).await, fresh);
    let event = app.story(&failed.id, fresh.revision).await.pop().unwrap();
    assert_eq!((event.r#type.as_str(), event.evidence(), event.cause()), ("payment.succeeded", pb::Evidence::Enquiry, pb::Cause::Rpc));
    is_paid_once(&app, &qr).await;
}

#[tokio::test]
async fn a_refresh_without_an_answer_says_so_and_changes_nothing() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.pay(&qr.provider_ref, paying(Outcome::Failed)).await;
    let failed = app.payment_until(&qr.id, pb::PaymentState::Failed).await;
    app.always("payment.fetch", FaultKind::AnswerLost);
    let status = app.payments().refresh_payment(pb::RefreshPaymentRequest { id: failed.id.clone() }).await.expect_err("no answer");
    let told = told(&status);
    assert_eq!((told.code, told.reason.as_str(), told.outcome()), (Code::Unavailable, "PROVIDER_UNAVAILABLE", "NOT_SENT"));
    assert_eq!(app.get_payment(&failed.id).await, failed);
}

#[tokio::test]
async fn money_for_a_closed_code_is_recorded_for_what_it_is() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let first = app.pay(&qr.provider_ref, paying(Outcome::Pending)).await;
    app.at_provider(&format!("payments/qr_codes/{}/close", qr.provider_ref), &serde_json::Value::Null).await;
    app.qr_until(&qr.id, "the code to close", |qr| qr.state() == pb::QrState::Closed).await;
    // The payer's bank agrees too late: the provider takes the money and gives it back by itself.
    app.provider.authorize_late(ACCOUNT, &first).await.unwrap();
    app.advance(minutes(10));
    let payment = app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    assert_eq!(payment.provider_ref, first);
    let known = app.qr_until(&qr.id, "the money to be counted", |qr| qr.payment_count == 1).await;
    assert_eq!((known.state(), known.close_reason()), (pb::QrState::Closed, pb::QrCloseReason::Cancelled));
    app.names_of_qr(&qr.id).await;
    app.names_of_payment(&payment.id).await;
}

#[tokio::test]
async fn payments_carry_the_labels_of_their_code() {
    let app = App::start_with(provider().await, |_| ()).await;
    let labels = std::collections::BTreeMap::from([("counter".to_owned(), "4".to_owned())]);
    let wanted = pb::CreateQrRequest { labels: labels.clone(), ..order("one", 49_900) };
    let qr = app.qrs().create_qr(wanted).await.unwrap().into_inner().qr.unwrap();
    app.pay(&qr.provider_ref, PayOptions { vpa: Some("asha@examplebank".to_owned()), ..PayOptions::default() }).await;
    let payment = app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    assert_eq!((payment.labels, payment.payer_vpa.as_str()), (labels, "asha@examplebank"));
}
