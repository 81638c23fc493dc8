//! EnKash alone: one login for all, an order and its code in two steps, pictures as they came, and what says which attempt
//! was the payment.

use std::sync::Arc;
use std::time::Duration;

use upistream::config::ProviderConfig;
use upistream::grpc::pb;
use upistream::sandbox::{EnkashSwitches, FaultKind, Outcome, PayOptions, Switches, WebhookFaultKind};

use super::shop::{At, LEASE, PAISE, Shop, rupees};
use crate::support::app::{check_revisions, minutes, until};

const A_MOMENT: Duration = Duration::from_secs(5);

pub fn switched(shop: &Shop, change: impl FnOnce(&mut EnkashSwitches)) {
    let mut enkash = EnkashSwitches::default();
    change(&mut enkash);
    shop.app.provider.switches(Switches { enkash, ..Switches::default() });
}

#[tokio::test]
async fn many_calls_cost_one_login_and_a_revoked_token_one_more() {
    let shop = Arc::new(Shop::open(At::Enkash).await);
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let shop = Arc::clone(&shop);
            tokio::spawn(async move { shop.code(&format!("code-{number}")).await })
        })
        .collect();
    for call in calls {
        call.await.expect("it does not panic");
    }
    assert_eq!(shop.asked("token.create"), 1);

    // All tokens so far end.
    shop.app.provider.advance(Duration::from_millis(1));
    let now = shop.app.provider.now().as_millisecond();
    switched(&shop, |enkash| enkash.tokens_valid_from = now);
    let (one, two) = tokio::join!(shop.code("after-1"), shop.code("after-2"));
    assert_ne!(one.provider_ref, two.provider_ref);
    assert_eq!(shop.asked("token.create"), 2);
    assert_eq!(shop.app.log().await.iter().filter(|event| event.r#type == "qr.activated").count(), 22);
}

#[tokio::test]
async fn where_the_bearer_form_is_refused_the_token_goes_out_bare() {
    let shop = Shop::open_with(At::Enkash, |config| {
        for account in config.accounts.values_mut() {
            if let ProviderConfig::Enkash(enkash) = &mut account.provider {
                enkash.authorization = upistream::config::Authorization::Bare;
            }
        }
    })
    .await;
    switched(&shop, |enkash| enkash.bearer_refused = true);
    shop.code("one").await;
}

/// The order's id is written down before its code is asked for, so a lost answer to that makes no second order.
#[tokio::test]
async fn a_code_whose_picture_was_lost_on_the_way_is_fetched_again_and_no_order_made_again() {
    for fault in [FaultKind::RequestLost, FaultKind::AnswerLost, FaultKind::Garbage, FaultKind::StatusAfter { status: 502 }] {
        let shop = Shop::open(At::Enkash).await;
        shop.fault("order.qr", fault.clone());
        let qr = shop.ask_for(shop.order("one")).await.expect("doubt is no error").qr.expect("the answer has the code");
        assert_eq!((qr.state(), qr.revision), (pb::QrState::Requested, 2), "{fault:?}: {qr:?}");
        assert!(!qr.provider_ref.is_empty() && qr.upi_link.is_empty());
        assert!(shop.doubts().await.is_empty(), "nobody has anything to decide");
        shop.app.advance(A_MOMENT);
        let made = shop.app.qr_until(&qr.id, "the code to be fetched", |qr| qr.state() == pb::QrState::Active).await;
        assert_eq!((made.provider_ref.as_str(), shop.asked("order.create")), (qr.provider_ref.as_str(), 1));
        shop.pay(&made).await;
        shop.payment_until(&made, pb::PaymentState::Succeeded).await;
        assert_eq!(shop.app.names_of_qr(&qr.id).await[..3], ["qr.requested", "qr.updated", "qr.activated"]);
    }
}

/// The code is fetched once and kept: to look at it mints no further attempt.
#[tokio::test]
async fn a_code_is_fetched_once_and_kept() {
    let shop = Shop::open(At::Enkash).await;
    let qr = shop.code("one").await;
    for _ in 0..3 {
        shop.app.get_qr(&qr.id).await;
        let image = pb::GetQrImageRequest { id: qr.id.clone(), ..pb::GetQrImageRequest::default() };
        shop.app.qrs().get_qr_image(image).await.expect("there is a picture");
        assert!(shop.ask_for(shop.order("one")).await.expect("it is repeated").idempotency_replayed);
    }
    let before = shop.asked("order.fetch");
    shop.app.advance(minutes(10));
    shop.app.asked_again("order.fetch", before).await;
    assert_eq!((shop.asked("order.qr"), shop.asked("order.create")), (1, 1));
}

#[tokio::test]
async fn a_picture_without_a_text_is_answered_as_it_came() {
    let shop = Shop::open(At::Enkash).await;
    switched(&shop, |enkash| enkash.qr_url = false);
    let qr = shop.code("one").await;
    assert_eq!((qr.upi_link.as_str(), qr.image_url.as_str()), ("", ""));
    let draw = async |format: pb::QrImageFormat| {
        let request =
            pb::GetQrImageRequest { id: qr.id.clone(), format: format.into(), size_pixels: 64, ..pb::GetQrImageRequest::default() };
        shop.app.qrs().get_qr_image(request).await.map(tonic::Response::into_inner)
    };
    let picture = draw(pb::QrImageFormat::Png).await.expect("there is a picture");
    assert!(picture.image.starts_with(b"\x89PNG\r\n\x1a\n") && picture.media_type == "image/png");
    assert_eq!(draw(pb::QrImageFormat::Svg).await.expect_err("there is no text to draw").code(), tonic::Code::FailedPrecondition);
    // Events don't carry it: they would grow by it with each change.
    shop.pay(&qr).await;
    shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    assert_eq!(draw(pb::QrImageFormat::Png).await.expect("it is still there").image, picture.image);
}

/// Paid or not is the order's to say: the attempt's three documented fields are enough.
#[tokio::test]
async fn an_order_with_bare_transactions_is_paid_by_the_one_attempt_that_the_code_stands_for() {
    let shop = Shop::open(At::Enkash).await;
    switched(&shop, |enkash| enkash.bare_transactions = true);
    let qr = shop.code("one").await;
    let paid = shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    assert_eq!(payment.provider_ref, paid);
}

#[tokio::test]
async fn amounts_as_texts_and_times_without_an_offset_are_read_all_the_same() {
    let shop = Shop::open(At::Enkash).await;
    switched(&shop, |enkash| {
        enkash.amounts_as_strings = true;
        enkash.times_without_offset = true;
        enkash.null_card_fields = true;
        enkash.token_result_code = 0;
    });
    let qr = shop.code("one").await;
    shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    let paid = payment.pay_time.expect("it has a time").seconds;
    assert!((paid - shop.app.provider.now().as_second()).abs() < 60, "India's time was read as such");
}

/// A shop without callbacks, a code, and an attempt on it that waits for its bank: its id there, and its payment here.
async fn with_an_attempt_that_waits() -> (Shop, pb::Qr, String, pb::Payment) {
    let shop = Shop::open(At::Enkash).await;
    shop.callbacks(WebhookFaultKind::Drop);
    let qr = shop.code("one").await;
    let waiting = shop.pay_with(&qr, PayOptions { outcome: Outcome::Pending, ..PayOptions::default() }).await;
    shop.app.advance(minutes(3));
    let payment = shop.payment_until(&qr, pb::PaymentState::Pending).await;
    (shop, qr, waiting, payment)
}

/// A bank that has not answered yet is PENDING, not paid; a failed attempt leaves the order payable.
#[tokio::test]
async fn an_attempt_that_waits_for_its_bank_is_pending_and_a_failed_one_leaves_the_code_open() {
    let (shop, qr, waiting, payment) = with_an_attempt_that_waits().await;
    assert_eq!(shop.app.get_qr(&qr.id).await.state(), pb::QrState::Active);

    shop.app.provider.fail_payment(shop.at.account(), &waiting).await.expect("it waits");
    until("the failure to be learned", async || {
        shop.app.advance(minutes(3));
        (shop.app.get_payment(&payment.id).await.state() == pb::PaymentState::Failed).then_some(())
    })
    .await;
    assert_eq!(shop.app.get_qr(&qr.id).await.state(), pb::QrState::Active, "it can still be paid");

    // The bank says yes after all.
    shop.app.provider.authorize_late(shop.at.account(), &waiting).await.expect("it failed");
    until("the late success to be learned", async || {
        shop.app.advance(minutes(30));
        (shop.app.get_payment(&payment.id).await.state() == pb::PaymentState::Succeeded).then_some(())
    })
    .await;
    assert_eq!(shop.app.qr_until(&qr.id, "the code to be paid", |qr| qr.payment_count == 1).await.amount_received, Some(rupees(PAISE)));
    check_revisions(&shop.app.log().await);
}

#[tokio::test]
async fn what_was_refunded_at_the_provider_was_paid_all_the_same() {
    let shop = Shop::open(At::Enkash).await;
    let qr = shop.code("one").await;
    let paid = shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    shop.app.provider.refund_payment(shop.at.account(), &paid, None).await.expect("it can be refunded");
    let refreshed = shop.app.payments().refresh_payment(pb::RefreshPaymentRequest { id: payment.id }).await.expect("it is asked for");
    let refreshed = refreshed.into_inner().payment.expect("the answer has the payment");
    assert_eq!((refreshed.state(), refreshed.amount_refunded), (pb::PaymentState::Succeeded, Some(rupees(PAISE))));
}

/// An unheard-of status is no news, and counted.
#[tokio::test]
async fn an_unheard_of_status_moves_nothing() {
    let shop = Shop::open(At::Enkash).await;
    let qr = shop.code("one").await;
    switched(&shop, |enkash| enkash.unheard_statuses = true);
    shop.pay(&qr).await;
    until("the provider to be asked in vain", async || {
        shop.app.metrics().await.contains("upistream_provider_unanswered_total{account=\"enkash\"}").then_some(())
    })
    .await;
    assert_eq!(shop.app.get_qr(&qr.id).await.state(), pb::QrState::Active);
    assert!(shop.payments_of(&qr).await.is_empty());
    switched(&shop, |_| ());
    shop.app.advance(minutes(3));
    shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
}

/// Where the path of the look-up is not known, a lost order waits for an operator, whom the provider then confirms.
#[tokio::test]
async fn without_a_way_to_look_an_order_up_an_operator_names_it_and_it_is_fetched() {
    let shop = Shop::open_with(At::Enkash, |config| {
        for account in config.accounts.values_mut() {
            if let ProviderConfig::Enkash(enkash) = &mut account.provider {
                enkash.order_lookup_path = None;
            }
        }
    })
    .await;
    assert_eq!(shop.codes().doubt(), pb::DoubtRemedy::None);
    shop.fault("order.create", FaultKind::AnswerLost);
    let qr = shop.ask_for(shop.order("one")).await.expect("doubt is no error").qr.expect("the answer has the code");
    shop.app.advance(LEASE);
    shop.app.qr_until(&qr.id, "the doubt to be told", |qr| qr.stray_possible).await;
    let other = shop.code("two").await;
    shop.decide("wrong", &qr.id, Some(&other.provider_ref)).await.expect_err("it is another request's order");
    shop.decide("unknown", &qr.id, Some("ORD0000000000000xxxxx")).await.expect_err("the provider doesn't have it");
    let orders = shop.app.provider.qr_codes(shop.at.account()).expect("the sandbox knows the account");
    let lost = orders.iter().find_map(|order| order["orderId"].as_str().filter(|id| *id != other.provider_ref)).expect("it was made");
    shop.decide("right", &qr.id, Some(lost)).await.expect("the provider has it");
    let made = shop.app.qr_until(&qr.id, "the code to be fetched", |qr| qr.state() == pb::QrState::Active).await;
    assert_eq!((made.provider_ref.as_str(), made.stray_possible), (lost, false));
    assert!(shop.doubts().await.is_empty());
}

/// Codes whose payments nobody hears of are made only where the configuration asks for them.
#[tokio::test]
async fn codes_whose_payments_nobody_hears_of_are_refused_unless_that_is_wanted() {
    let shop = Shop::open(At::Enkash).await;
    let capability = shop.account.capabilities.clone().expect("it says what it can do");
    let multiple = capability.qrs.iter().find(|usage| usage.usage() == pb::QrUsage::MultipleUse).expect("each usage is told of");
    assert!(!multiple.payments_observable && !multiple.supported);
    assert!(multiple.missing_reason.contains("allow_unobservable_qr"), "{}", multiple.missing_reason);

    let shop = Shop::open_with(At::Enkash, |config| {
        for account in config.accounts.values_mut() {
            if let ProviderConfig::Enkash(enkash) = &mut account.provider {
                enkash.allow_unobservable_qr = true;
            }
        }
    })
    .await;
    assert_eq!(shop.lacks_usage(pb::QrUsage::MultipleUse), None);
    let order = pb::CreateQrRequest { usage: pb::QrUsage::MultipleUse.into(), amount: None, ..shop.order("one") };
    let qr = shop.ask_for(order).await.expect("it is made").qr.expect("the answer has the code");
    let closed = shop.app.qrs().close_qr(pb::CloseQrRequest { idempotency_key: "close".to_owned(), id: qr.id }).await;
    let closed = closed.expect("it is cancelled").into_inner().qr.expect("the answer has the code");
    assert_eq!(closed.close_reason(), pb::QrCloseReason::Cancelled);

    // A lost answer is found by the reference that the code carries.
    shop.fault("qr.create", FaultKind::AnswerLost);
    let order = pb::CreateQrRequest { usage: pb::QrUsage::MultipleUse.into(), ..shop.order("two") };
    let qr = shop.ask_for(order).await.expect("doubt is no error").qr.expect("the answer has the code");
    shop.app.advance(A_MOMENT);
    shop.app.qr_until(&qr.id, "the code to be found", |qr| qr.state() == pb::QrState::Active).await;
    assert_eq!(shop.asked("qr.create"), 2);
}

/// An order that is paid and does not say by which of several attempts: nothing is guessed, and a person is told.
#[tokio::test]
async fn a_paid_order_that_names_no_payment_is_shown_to_an_operator() {
    let shop = Shop::open(At::Enkash).await;
    switched(&shop, |enkash| {
        enkash.bare_transactions = true;
        enkash.unheard_statuses = false;
    });
    shop.callbacks(WebhookFaultKind::Drop);
    let qr = shop.code("one").await;
    // Somebody else fetched the order's code too, and that one was paid.
    let url = format!("{}/pay/checkout/qrcode/{}", shop.app.provider.url_of(upistream::sandbox::Simulated::Enkash), qr.provider_ref);
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("a client for loopback");
    let other: serde_json::Value = client.get(url).send().await.expect("it answers").json().await.expect("it is JSON");
    let other = other["payload"]["ekPayId"].as_str().expect("it names the attempt").to_owned();
    let pay = PayOptions { amount: Some(PAISE), ..PayOptions::default() };
    shop.app.provider.pay_qr(shop.at.account(), &other, pay).await.expect("it can be paid");
    let doubt = until("the doubt to be shown", async || {
        shop.app.advance(minutes(20));
        shop.doubts().await.into_iter().next()
    })
    .await;
    assert_eq!((doubt.resource_id.as_str(), doubt.kind()), (qr.id.as_str(), pb::DoubtKind::Contradiction));
    assert!(shop.payments_of(&qr).await.is_empty(), "nothing is guessed");
}

/// A code that is made and can't be fetched is shown to an operator after a while, who may give it up.
#[tokio::test]
async fn a_code_that_can_never_be_fetched_may_be_given_up() {
    let shop = Shop::open(At::Enkash).await;
    let fault = upistream::sandbox::Fault { times: u32::MAX, ..upistream::sandbox::Fault::on("order.qr", FaultKind::Garbage) };
    shop.app.provider.fault(fault).expect("there is room for a fault");
    let qr = shop.ask_for(shop.order("one")).await.expect("doubt is no error").qr.expect("the answer has the code");
    assert!(shop.doubts().await.is_empty(), "it is being fetched");
    shop.app.advance(minutes(20));
    let doubt = until("the doubt to be shown", async || shop.doubts().await.into_iter().next()).await;
    assert_eq!((doubt.resource_id.as_str(), doubt.kind()), (qr.id.as_str(), pb::DoubtKind::OutcomeUnknown));
    shop.decide("give up", &qr.id, None).await.expect("it is decided");
    assert_eq!(shop.app.get_qr(&qr.id).await.failure.expect("it failed").reason(), pb::FailureReason::OperatorDecided);
    assert!(shop.doubts().await.is_empty());
}

/// A replica that lacks an account leaves its records as they are for one that has it.
#[tokio::test]
async fn what_is_open_in_an_account_that_is_not_configured_stays_open() {
    let (shop, _, waiting, payment) = with_an_attempt_that_waits().await;
    let at = shop.at;
    let (folder, clock, provider) = shop.app.halt().await;
    // Without the account, for a long time.
    let app = crate::support::app::App::start_at(folder, clock, provider, |_| ()).await;
    for _ in 0..5 {
        app.advance(minutes(60));
        until("what is due to be passed by", async || {
            use upistream::clock::Clock;
            let due = app.running.store().next_due().await.expect("the store answers");
            due.is_none_or(|due| due > app.clock.now()).then_some(())
        })
        .await;
    }
    let (folder, clock, provider) = app.halt().await;
    provider.authorize_late(at.account(), &waiting).await.expect("it waits");
    let app = crate::support::app::App::start_at(folder, clock, provider.clone(), |config| {
        config.accounts.extend(super::shop::account(at, &provider));
    })
    .await;
    app.advance(minutes(20));
    until("the success to be learned", async || (app.get_payment(&payment.id).await.state() == pb::PaymentState::Succeeded).then_some(()))
        .await;
}
