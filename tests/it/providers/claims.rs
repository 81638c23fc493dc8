//! OQPay as it is by default: nothing proves its callbacks and nobody can be asked, so a payment is only reported until an
//! operator decides.

use serde_json::json;
use upistream::config::{Config, ProviderConfig};
use upistream::grpc::pb;
use upistream::sandbox::{PayOptions, WebhookFaultKind};

use super::shop::{At, PAISE, Shop, rupees};
use crate::support::app::{check_revisions, minutes, told, until};

/// Without a list of addresses, callbacks prove nothing.
fn by_default(config: &mut Config) {
    oqpay(config, |oqpay| {
        oqpay.callbacks_prove = false;
        oqpay.callback_networks.clear();
    });
}

fn oqpay(config: &mut Config, change: impl Fn(&mut upistream::config::OqpayConfig)) {
    for account in config.accounts.values_mut() {
        if let ProviderConfig::Oqpay(oqpay) = &mut account.provider {
            change(oqpay);
        }
    }
}

/// A callback about the code as OQPay writes it.
fn callback(qr: &pb::Qr, txn_id: &str, rupees: i64, utr: &str) -> String {
    let body = json!({
        "utr": utr, "amount": rupees, "ref_id": qr.provider_ref, "status": "SUCCESS", "txn_id": txn_id, "message": "SUCCESS",
        "payeeVpa": "demo.GR0001@kotak", "timestamp": "2026-03-02T08:01:33.439Z",
    });
    body.to_string()
}

/// The provider's id of the attempt that a code stands for.
fn attempt(shop: &Shop, qr: &pb::Qr) -> String {
    let codes = shop.app.provider.qr_codes(shop.at.account()).expect("the sandbox knows the account");
    let code = codes.iter().find(|code| code["refId"] == qr.provider_ref.as_str()).expect("the provider has the code");
    code["txnId"].as_str().expect("it stands for an attempt").to_owned()
}

#[tokio::test]
async fn a_reported_payment_waits_for_an_operator_and_is_acknowledged_as_the_provider_expects() {
    let shop = Shop::open_with(At::Oqpay, by_default).await;
    assert_eq!(shop.codes().callback_evidence(), pb::Evidence::Unspecified);
    let qr = shop.code("one").await;
    let (status, answer) = shop.post(callback(&qr, &attempt(&shop, &qr), 500, "605500000001")).await;
    assert_eq!((status, answer.as_str()), (200, r#"{"status":"1","message":"Transaction completed successfully"}"#));

    let payment = shop.payment_until(&qr, pb::PaymentState::Pending).await;
    assert_eq!((payment.reported, payment.in_doubt, payment.amount.clone()), (true, true, Some(rupees(PAISE))));
    assert_eq!(payment.rrn, "605500000001");
    let story = shop.app.story(&payment.id, 1).await;
    assert_eq!((story[0].r#type.as_str(), story[0].evidence()), ("payment.pending", pb::Evidence::Unspecified));
    assert_eq!(shop.app.get_qr(&qr.id).await.payment_count, 0, "it is no money yet");

    let doubts = shop.doubts().await;
    assert_eq!((doubts.len(), doubts[0].kind()), (1, pb::DoubtKind::ReportedOnly));
    assert_eq!(doubts[0].next_look_time, None);
    // However long nobody decides, nothing decides by itself; the code ends by its own time.
    shop.app.advance(minutes(60 * 24 * 30));
    shop.app.qr_until(&qr.id, "the code to come to its end", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!(shop.app.get_payment(&payment.id).await, payment);

    shop.decide("yes", &payment.id, Some("")).await.expect("it is decided");
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    assert_eq!((payment.reported, payment.in_doubt), (false, false));
    let qr = shop.app.get_qr(&qr.id).await;
    assert_eq!((qr.payment_count, qr.amount_received), (1, Some(rupees(PAISE))));
    assert!(shop.doubts().await.is_empty());
    check_revisions(&shop.app.log().await);
}

#[tokio::test]
async fn what_an_operator_denies_is_failed_and_moves_no_money() {
    let shop = Shop::open_with(At::Oqpay, by_default).await;
    let qr = shop.code("one").await;
    shop.post(callback(&qr, &attempt(&shop, &qr), 500, "605500000001")).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Pending).await;
    shop.decide("no", &payment.id, None).await.expect("it is decided");
    let payment = shop.payment_until(&qr, pb::PaymentState::Failed).await;
    assert_eq!(payment.failure.expect("it says why").reason(), pb::FailureReason::OperatorDecided);
    assert_eq!(shop.app.get_qr(&qr.id).await.payment_count, 0);
    // The same report once more moves nothing, and is shown: the operator may have been wrong.
    let (status, _) = shop.post(callback(&qr, &attempt(&shop, &qr), 500, "605500000001")).await;
    assert_eq!(status, 200);
    let again = shop.payment_until(&qr, pb::PaymentState::Failed).await;
    assert_eq!(again.contradictions.len(), 1);
    assert!(again.contradictions[0].message.contains("605500000001"), "{}", again.contradictions[0].message);
    assert_eq!(shop.doubts().await[0].kind(), pb::DoubtKind::Contradiction);
    shop.decide("after all", &again.id, Some("")).await.expect("it is decided");
    shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    assert!(shop.doubts().await.is_empty());
    assert_eq!(shop.app.get_qr(&qr.id).await.payment_count, 1);
}

/// A first word that says nothing, and then success: whoever decides sees both, and the bank's reference.
#[tokio::test]
async fn a_later_word_on_the_same_report_is_added_to_it() {
    let shop = Shop::open_with(At::Oqpay, by_default).await;
    let qr = shop.code("one").await;
    let attempt = attempt(&shop, &qr);
    shop.post(callback(&qr, &attempt, 500, "").replace("\"SUCCESS\"", "\"PENDING\"")).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Pending).await;
    assert_eq!((payment.rrn.as_str(), payment.reported), ("", true));
    shop.post(callback(&qr, &attempt, 500, "605500000001")).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Pending).await;
    assert_eq!((payment.rrn.as_str(), payment.reported), ("605500000001", true));
    assert_eq!(payment.provider_statuses.iter().map(|told| told.status.as_str()).collect::<Vec<_>>(), ["PENDING", "SUCCESS"]);
}

/// What was only reported leaves nothing behind in what is proved.
#[tokio::test]
async fn a_proof_takes_over_nothing_of_a_forged_report() {
    let shop = Shop::open_with(At::Oqpay, by_default).await;
    let qr = shop.code("one").await;
    let attempt = attempt(&shop, &qr);
    shop.post(callback(&qr, &attempt, 700, "000000000000")).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Pending).await;
    // The same store, and addresses that count as evidence now.
    let (folder, clock, provider) = shop.app.halt().await;
    let app = crate::support::app::App::start_at(folder, clock, provider.clone(), |config| {
        config.accounts.clear();
        let (name, account) = super::shop::account(At::Oqpay, &provider).expect("it has one");
        config.accounts.insert(name, account);
    })
    .await;
    let url = format!("http://{}/webhooks/oqpay/{}", app.running.webhooks, crate::support::app::URL_SECRET);
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("a client for loopback");
    let answer = client.post(url).body(callback(&qr, &attempt, 500, "605500000001")).send().await.expect("the service answers");
    assert_eq!(answer.status().as_u16(), 200);
    let proved = app.get_payment(&payment.id).await;
    assert_eq!((proved.state(), proved.rrn.as_str(), proved.reported), (pb::PaymentState::Succeeded, "605500000001", false));
    assert_eq!((proved.amount, proved.contradictions.len()), (Some(rupees(PAISE)), 0));
}

#[tokio::test]
async fn two_reports_that_differ_are_both_shown() {
    let shop = Shop::open_with(At::Oqpay, by_default).await;
    let qr = shop.code("one").await;
    let attempt = attempt(&shop, &qr);
    shop.post(callback(&qr, &attempt, 600, "605500000001")).await;
    shop.post(callback(&qr, &attempt, 500, "605500000002")).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Pending).await;
    assert_eq!(payment.amount, Some(rupees(60_000)), "the first report stands");
    assert_eq!(payment.contradictions.len(), 1);
    assert!(payment.contradictions[0].message.contains("500.00"), "{}", payment.contradictions[0].message);
    // If the first one was true, it was the wrong sum.
    shop.decide("yes", &payment.id, Some("")).await.expect("it is decided");
    shop.payment_until(&qr, pb::PaymentState::Mismatched).await;
}

#[tokio::test]
async fn ids_of_two_codes_are_no_payment_of_either() {
    let shop = Shop::open_with(At::Oqpay, by_default).await;
    let (one, two) = (shop.code("one").await, shop.code("two").await);
    let (status, _) = shop.post(callback(&one, &attempt(&shop, &two), 500, "605500000001")).await;
    assert_eq!(status, 200);
    assert!(shop.payments_of(&one).await.is_empty() && shop.payments_of(&two).await.is_empty());
    let kept = shop.quarantine().await;
    assert_eq!((kept.len(), kept[0].reason()), (1, pb::QuarantineReason::Hint));
}

#[tokio::test]
async fn a_callback_from_an_address_that_is_not_listed_is_only_a_report() {
    let shop = Shop::open_with(At::Oqpay, |config| {
        oqpay(config, |oqpay| oqpay.callback_networks = vec!["203.0.113.0/24".parse().expect("a network")]);
    })
    .await;
    assert_eq!(shop.codes().callback_evidence(), pb::Evidence::UrlSecret);
    let qr = shop.code("one").await;
    shop.pay(&qr).await;
    assert!(shop.payment_until(&qr, pb::PaymentState::Pending).await.reported);
}

/// With a list of addresses the callback is evidence: it outweighs what was only reported, and a second transaction on the
/// same code is not lost.
#[tokio::test]
async fn a_second_transaction_on_a_paid_code_is_told_beside_the_first() {
    let shop = Shop::open(At::Oqpay).await;
    let qr = shop.code("one").await;
    shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    let story = shop.app.story(&payment.id, 1).await;
    assert_eq!(story.last().expect("it is told").evidence(), pb::Evidence::UrlSecret);
    let before = shop.answered();
    shop.pay(&qr).await;
    shop.answered_is(before + 1).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    assert_eq!(payment.contradictions.len(), 1, "{payment:?}");
    assert_eq!(shop.doubts().await[0].kind(), pb::DoubtKind::Contradiction);
}

#[tokio::test]
async fn a_payment_to_another_address_than_the_merchants_is_a_mismatch() {
    let shop = Shop::open_with(At::Oqpay, |config| oqpay(config, |oqpay| oqpay.payee_vpas = vec!["shop.GR0001@kotak".to_owned()])).await;
    let qr = shop.code("one").await;
    // The callback's payee is none of the listed, and not the code's own.
    shop.post(callback(&qr, &attempt(&shop, &qr), 500, "605500000001")).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Mismatched).await;
    assert_eq!(payment.amount, payment.expected_amount);
    assert!(payment.failure.expect("it says why").message.contains("another UPI address"));
    let types: Vec<_> = shop.app.log().await.into_iter().map(|event| event.r#type).collect();
    assert!(!types.iter().any(|name| name == "payment.succeeded"), "{types:?}");
}

/// A status that nobody has heard of is kept, and decides nothing; nor does one that is no callback at all.
#[tokio::test]
async fn an_unheard_of_status_decides_nothing_and_nonsense_is_kept() {
    let shop = Shop::open(At::Oqpay).await;
    let qr = shop.code("one").await;
    shop.callbacks(WebhookFaultKind::Drop);
    let unheard = callback(&qr, &attempt(&shop, &qr), 500, "605500000001").replace("\"SUCCESS\"", "\"ON_HOLD\"");
    assert_eq!(shop.post(unheard).await.0, 200);
    let payment = shop.payment_until(&qr, pb::PaymentState::Pending).await;
    assert!(payment.reported, "nobody can be asked what it means");
    assert_eq!(payment.provider_statuses.iter().map(|told| told.status.as_str()).collect::<Vec<_>>(), ["ON_HOLD"]);
    assert_eq!(shop.post("<html>").await.0, 200);
    let kept = until("the nonsense to be kept", async || shop.quarantine().await.into_iter().next()).await;
    assert_eq!(kept.reason(), pb::QuarantineReason::NotUnderstood);
}

#[tokio::test]
async fn what_oqpay_does_not_take_is_a_violation_before_anything_is_written() {
    let shop = Shop::open(At::Oqpay).await;
    for paise in [29_900, 50_050] {
        let order = pb::CreateQrRequest { amount: Some(rupees(paise)), ..shop.order("small") };
        let refused = told(&shop.ask_for(order).await.expect_err("it is refused"));
        assert_eq!((refused.reason.as_str(), refused.fields), ("INVALID_FIELDS", vec!["amount".to_owned()]));
    }
    assert_eq!(shop.asked("qr.create"), 0);
    // A payment of any sum is possible at the provider, which the options of the sandbox show.
    let qr = shop.code("one").await;
    shop.pay_with(&qr, PayOptions { amount: Some(10_000), any_amount: true, ..PayOptions::default() }).await;
    shop.payment_until(&qr, pb::PaymentState::Mismatched).await;
}
