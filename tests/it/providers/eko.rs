//! Eko alone: one code for each phone number, acceptance and credit told apart, and callbacks that are only reasons to ask.

use std::time::Duration;

use serde_json::{Value, json};
use upistream::config::ProviderConfig;
use upistream::grpc::pb;
use upistream::sandbox::{EkoSwitches, FaultKind, Outcome, PayOptions, QrFailure, Switches, WebhookFaultKind};

use super::shop::{At, PAISE, Shop, rupees};
use crate::support::app::{check_revisions, minutes, told, until};

const A_MOMENT: Duration = Duration::from_secs(5);

fn switched(shop: &Shop, change: impl FnOnce(&mut EkoSwitches)) {
    let mut eko = EkoSwitches::default();
    change(&mut eko);
    shop.app.provider.switches(Switches { eko, ..Switches::default() });
}

fn days(count: u64) -> Duration {
    minutes(count * 24 * 60)
}

/// Each status that Eko told of a payment, oldest first.
fn statuses(payment: &pb::Payment) -> Vec<&str> {
    payment.provider_statuses.iter().map(|told| told.status.as_str()).collect()
}

#[tokio::test]
async fn a_number_has_one_code_and_whoever_asks_again_gets_that() {
    let shop = Shop::open(At::Eko).await;
    let first = shop.code("one").await;
    let again = pb::CreateQrRequest { idempotency_key: "another key".to_owned(), reference: "another".to_owned(), ..shop.order("one") };
    let answer = shop.ask_for(again.clone()).await.expect("it is answered");
    assert_eq!(answer.qr.as_ref(), Some(&first), "the code that the number has");
    let answer = shop.ask_for(again).await.expect("it is repeated");
    assert_eq!((answer.idempotency_replayed, answer.qr.as_ref()), (true, Some(&first)));
    // Its own record says what it came to.
    let listed = shop.app.qrs().list_qrs(pb::ListQrsRequest { account: "eko".to_owned(), ..pb::ListQrsRequest::default() }).await;
    let listed = listed.expect("codes are listed").into_inner().qrs;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].failure.clone().expect("it stands for nothing").reason(), pb::FailureReason::DuplicateReference);
    // The money of both goes to the one.
    shop.pay(&first).await;
    shop.payment_until(&first, pb::PaymentState::Succeeded).await;
}

/// Acceptance is success, the credit comes a day or two later, and each is asked for.
#[tokio::test]
async fn acceptance_is_success_and_the_credit_follows() {
    let shop = Shop::open(At::Eko).await;
    let qr = shop.code("one").await;
    let tid = shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    assert_eq!((payment.provider_ref.as_str(), payment.credit_awaited, payment.credit_time), (tid.as_str(), true, None));
    assert_eq!((payment.fee.clone(), payment.tax.clone()), (Some(rupees(472)), None), "the inquiry does not tell the tax within the fee");
    assert_eq!(statuses(&payment), ["5"]);
    assert_eq!(payment.rrn.len(), 12);
    let paid = payment.pay_time.expect("it has a time").seconds;
    assert!((paid - shop.app.provider.now().as_second()).abs() < 60, "India's time was read as such");

    shop.app.advance(days(3));
    let credited = until("the credit to be learned", async || {
        Some(shop.app.get_payment(&payment.id).await).filter(|payment| payment.credit_time.is_some())
    })
    .await;
    assert_eq!((credited.state(), credited.credit_awaited, statuses(&credited)), (pb::PaymentState::Succeeded, false, vec!["5", "0"]));
    assert_eq!(shop.app.names_of_payment(&payment.id).await, ["payment.succeeded", "payment.updated"]);
    check_revisions(&shop.app.log().await);
}

#[tokio::test]
async fn a_credit_whose_callback_was_lost_is_found_by_asking() {
    let shop = Shop::open(At::Eko).await;
    let qr = shop.code("one").await;
    shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    shop.callbacks(WebhookFaultKind::Drop);
    shop.app.advance(days(3));
    until("the credit to be learned", async || shop.app.get_payment(&payment.id).await.credit_time).await;
}

#[tokio::test]
async fn what_is_taken_back_later_is_reversed_whatever_the_word_for_it() {
    let shop = Shop::open(At::Eko).await;
    let qr = shop.code("one").await;
    let tid = shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    shop.app.provider.reverse_payment("eko", &tid).await.expect("it can be reversed");
    let reversed = shop.payment_until(&qr, pb::PaymentState::Reversed).await;
    assert_eq!((reversed.id.as_str(), statuses(&reversed)), (payment.id.as_str(), vec!["5", "4"]));
    let after = shop.app.qr_until(&qr.id, "the money to be taken back", |qr| qr.payment_count == 0).await;
    assert_eq!(after.amount_received, Some(rupees(0)));

    // 1 means that it failed; after acceptance that is a reversal too.
    let other = shop.code("two").await;
    let tid = shop.pay(&other).await;
    shop.payment_until(&other, pb::PaymentState::Succeeded).await;
    shop.app.provider.fail_payment("eko", &tid).await.expect("it can fail");
    shop.payment_until(&other, pb::PaymentState::Reversed).await;
    let story = shop.app.story(&shop.payments_of(&other).await[0].id, 2).await;
    assert_eq!((story[1].r#type.as_str(), story[1].evidence()), ("payment.reversed", pb::Evidence::Enquiry));
}

#[tokio::test]
async fn a_payment_that_failed_never_succeeded() {
    let shop = Shop::open(At::Eko).await;
    let qr = shop.code("one").await;
    shop.pay_with(&qr, PayOptions { outcome: Outcome::Failed, ..PayOptions::default() }).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Failed).await;
    assert_eq!(statuses(&payment), ["1"]);
    assert_eq!(shop.app.get_qr(&qr.id).await.payment_count, 0);
}

/// Older accounts get one callback, 2 to 0: success and credit at once.
#[tokio::test]
async fn a_single_callback_is_success_and_credit_at_once() {
    let shop = Shop::open(At::Eko).await;
    switched(&shop, |eko| {
        eko.single_callback = true;
        eko.float_amounts = true;
        eko.customer_vpa = false;
    });
    let qr = shop.code("one").await;
    shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    assert_eq!((statuses(&payment), payment.credit_awaited, payment.payer_vpa.as_str()), (vec!["0"], false, ""));
    assert_eq!(payment.amount, Some(rupees(PAISE)));
}

/// The first callback comes after the second: nothing goes back.
#[tokio::test]
async fn callbacks_in_the_wrong_order_change_nothing_in_what_is_asked_for() {
    let shop = Shop::open(At::Eko).await;
    let qr = shop.code("one").await;
    shop.callbacks(WebhookFaultKind::Hold);
    shop.pay(&qr).await;
    shop.app.advance(days(3));
    shop.app.provider.release_webhooks();
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    until("the credit to be known", async || shop.app.get_payment(&payment.id).await.credit_time).await;
    assert_eq!(shop.payments_of(&qr).await.len(), 1);
    check_revisions(&shop.app.log().await);
}

/// The page's own callbacks, with the ids of our code and a transaction that does not exist, move nothing.
#[tokio::test]
async fn the_documented_callbacks_are_reasons_to_ask_and_no_more() {
    let shop = Shop::open(At::Eko).await;
    let qr = shop.code("one").await;
    let documented: [Value; 3] = [
        json!({"tx_status": 0, "amount": 400.0, "tds": 0.0, "txstatus_desc": "Success", "customer_vpa": "abcde@okhdfcbank", "fee": 0.0, "gst": 0.0,
            "tid": 2_886_142_533_u64, "client_ref_id": qr.provider_ref, "old_tx_status": 2, "partners_commision": 0.0, "service_code": "27",
            "old_tx_status_desc": "Initiated", "bank_ref_num": "313196224563", "timestamp": "2023-07-06 13:11:45"}),
        json!({"tx_status": 5, "amount": 21_000, "tds": 0, "txstatus_desc": "Payment Initiated", "fee": 7.08, "gst": 1.08, "tid": "3251640145",
            "client_ref_id": qr.provider_ref, "old_tx_status": 2, "timestamp": null, "something_new": {"deep": [1]}}),
        json!({"tx_status": "97", "tid": 3_251_569_095_u64, "client_ref_id": qr.provider_ref}),
    ];
    for body in &documented {
        assert_eq!(shop.post(body.to_string()).await.0, 200, "{body}");
    }
    assert_eq!(shop.quarantine().await.len(), 3, "each is kept until the provider was asked");
    until("the provider to be asked", async || (shop.asked("transaction.fetch") >= 3).then_some(())).await;
    assert!(shop.payments_of(&qr).await.is_empty());
    assert_eq!(shop.app.get_qr(&qr.id).await, qr);
    // That there is no such transaction is believed after a while; then nothing is left of it.
    until("the forgeries to be dropped", async || {
        shop.app.advance(minutes(5));
        shop.quarantine().await.is_empty().then_some(())
    })
    .await;
    assert!(shop.payments_of(&qr).await.is_empty());
    assert_eq!(shop.app.log().await.len(), 2);
    assert_eq!(shop.post(r#"{"tx_status": 5}"#).await.0, 200);
    assert_eq!(shop.quarantine().await[0].reason(), pb::QuarantineReason::NotUnderstood);
}

#[tokio::test]
async fn an_unheard_of_status_is_open_and_asked_about_again() {
    let shop = Shop::open(At::Eko).await;
    let qr = shop.code("one").await;
    switched(&shop, |eko| eko.unheard_tx_status = Some("42".to_owned()));
    shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Pending).await;
    assert_eq!(statuses(&payment), ["42"]);
    switched(&shop, |_| ());
    shop.app.advance(minutes(3));
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    assert_eq!(statuses(&payment), ["42", "5"]);
}

/// Before the first code the service is activated, once a process; without that nothing is sent that would be refused.
#[tokio::test]
async fn the_service_is_activated_once_before_the_first_code() {
    let shop = Shop::open(At::Eko).await;
    shop.code("one").await;
    shop.code("two").await;
    assert_eq!((shop.asked("service.activate"), shop.asked("qr.create")), (1, 2));

    let shop = Shop::open_with(At::Eko, |config| {
        for account in config.accounts.values_mut() {
            if let ProviderConfig::Eko(eko) = &mut account.provider {
                eko.activate_service = false;
            }
        }
    })
    .await;
    let refused = told(&shop.ask_for(shop.order("one")).await.expect_err("the service is not active"));
    assert_eq!(
        (refused.reason.as_str(), refused.outcome()),
        ("PROVIDER_UNAVAILABLE", "NOT_SENT"),
        "403 may be the key or the service: nothing was done"
    );
    // In the other form it is a refusal.
    switched(&shop, |eko| eko.inactive_answers_200 = true);
    let refused = told(&shop.ask_for(shop.order("two")).await.expect_err("the service is not active"));
    assert_eq!((refused.reason.as_str(), refused.outcome()), ("PROVIDER_REFUSED", "DEFINITE"));
}

#[tokio::test]
async fn what_eko_needs_and_does_not_take_is_a_violation_before_anything_is_written() {
    let shop = Shop::open(At::Eko).await;
    let check = async |change: fn(&mut pb::CreateQrRequest), field: &str| {
        let mut order = shop.order("one");
        change(&mut order);
        let refused = told(&shop.ask_for(order).await.expect_err("it is refused"));
        assert_eq!((refused.reason.as_str(), refused.fields), ("INVALID_FIELDS", vec![field.to_owned()]));
    };
    check(|order| order.amount = Some(rupees(PAISE)), "amount").await;
    check(|order| order.customer = Some(pb::QrCustomer { name: "Asha".to_owned(), ..pb::QrCustomer::default() }), "customer.phone").await;
    check(|order| order.customer.get_or_insert_default().phone = "12345".to_owned(), "customer.phone").await;
    assert_eq!(shop.asked("qr.create"), 0);
}

/// On the AU rail the provider gives the address of a picture and no text.
#[tokio::test]
async fn a_code_on_the_other_rail_has_the_address_of_a_picture() {
    let shop = Shop::open_with(At::Eko, |config| {
        for account in config.accounts.values_mut() {
            if let ProviderConfig::Eko(eko) = &mut account.provider {
                eko.service_code = 85;
            }
        }
    })
    .await;
    assert!(!shop.codes().upi_link_available);
    let qr = shop.code("one").await;
    assert!(qr.upi_link.is_empty() && qr.image_url.starts_with("https://"), "{qr:?}");
    let image = shop.app.qrs().get_qr_image(pb::GetQrImageRequest { id: qr.id.clone(), ..pb::GetQrImageRequest::default() }).await;
    let refused = image.expect_err("there is nothing to draw");
    assert_eq!(told(&refused).reason, "PROVIDER_LACKS_CAPABILITY");
    assert!(refused.message().contains("image_url"));
}

/// The same request again is safe here, and so a lost answer needs nobody.
#[tokio::test]
async fn a_lost_answer_is_cured_by_asking_again_even_when_that_is_lost_too() {
    let shop = Shop::open(At::Eko).await;
    for _ in 0..3 {
        shop.fault("qr.create", FaultKind::AnswerLost);
    }
    let qr = shop.ask_for(shop.order("one")).await.expect("doubt is no error").qr.expect("the answer has the code");
    until("the code to be known", async || {
        shop.app.advance(A_MOMENT);
        (shop.app.get_qr(&qr.id).await.state() == pb::QrState::Active).then_some(())
    })
    .await;
    assert_eq!(shop.asked("qr.create"), 4);
    assert_eq!(shop.app.provider.qr_codes("eko").expect("the sandbox knows the account").len(), 1);
}

/// The first request may have made the code, and did: no later answer proves that there is none.
#[tokio::test]
async fn a_refusal_of_the_second_request_says_nothing_about_the_first() {
    let shop = Shop::open(At::Eko).await;
    shop.fault("qr.create", FaultKind::AnswerLost);
    let qr = shop.ask_for(shop.order("one")).await.expect("doubt is no error").qr.expect("the answer has the code");
    switched(&shop, |eko| eko.qr_failure = Some(QrFailure::NoCode));
    for _ in 0..6 {
        shop.app.advance_until_asked(minutes(60), "qr.create").await;
        let qr = shop.app.get_qr(&qr.id).await;
        assert_eq!((qr.state(), qr.in_doubt), (pb::QrState::Requested, true), "{qr:?}");
    }
    switched(&shop, |_| ());
    shop.app.advance(minutes(60));
    let found = shop.app.qr_until(&qr.id, "the code to be found", |qr| qr.state() == pb::QrState::Active).await;
    shop.pay(&found).await;
    shop.payment_until(&found, pb::PaymentState::Succeeded).await;
}
