//! The stories. Each begins by reading what the account can do, and what it can't is shown to be refused by name.

use std::time::Duration;

use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, PayOptions, WebhookFaultKind};

use super::shop::{At, LEASE, PAISE, Shop, rupees};
use crate::support::app::{check_revisions, minutes, told, until};

mod mandates;
mod refunds;

pub use mandates::*;
pub use refunds::*;

const A_MOMENT: Duration = Duration::from_secs(5);
/// By then the absence of something is believed.
const LONG_ENOUGH: Duration = Duration::from_secs(20 * 60);

/// The service refuses by the name of the missing capability.
#[track_caller]
fn is_lacking(refused: &tonic::Status, reason: &str) {
    let why = told(refused);
    assert_eq!((why.code, why.reason.as_str(), why.outcome()), (Code::FailedPrecondition, "PROVIDER_LACKS_CAPABILITY", "NOT_SENT"));
    assert!(refused.message().contains(reason), "`{}` does not say `{reason}`", refused.message());
}

/// Codes of a usage that the account lacks are refused in the words of its capabilities; those of the other are made once.
pub async fn a_code_is_made_once_and_read(at: At) {
    let shop = Shop::open(at).await;
    for usage in [pb::QrUsage::SingleUse, pb::QrUsage::MultipleUse] {
        let order = pb::CreateQrRequest { usage: usage.into(), ..shop.order(&format!("of-{}", usage.as_str_name())) };
        match shop.lacks_usage(usage) {
            Some(reason) => is_lacking(&shop.ask_for(order).await.expect_err("it is lacking"), reason),
            None => {
                let first = shop.ask_for(order.clone()).await.expect("it is made");
                let again = shop.ask_for(order).await.expect("it is repeated");
                assert!(!first.idempotency_replayed && again.idempotency_replayed);
                assert_eq!(first.qr, again.qr);
                let qr = first.qr.expect("the answer has the code");
                assert_eq!((qr.state(), qr.usage(), qr.in_doubt), (pb::QrState::Active, usage, false), "{qr:?}");
                assert!(!qr.provider_ref.is_empty());
                assert_eq!((qr.account.as_str(), qr.provider.as_str()), (at.account(), at.name()));
                assert_eq!(shop.app.get_qr(&qr.id).await, qr);
            }
        }
    }
    check_revisions(&shop.app.log().await);
}

/// A code with a text is drawn, as PNG and as SVG; of one with a picture alone that is answered as it came.
pub async fn a_code_has_a_picture(at: At) {
    let shop = Shop::open(at).await;
    for usage in [pb::QrUsage::SingleUse, pb::QrUsage::MultipleUse] {
        if shop.lacks_usage(usage).is_some() {
            continue;
        }
        let order = pb::CreateQrRequest { usage: usage.into(), ..shop.order(&format!("of-{}", usage.as_str_name())) };
        let qr = shop.ask_for(order).await.expect("it is made").qr.expect("the answer has the code");
        let draw = async |format: pb::QrImageFormat| {
            let request = pb::GetQrImageRequest { id: qr.id.clone(), format: format.into(), ..pb::GetQrImageRequest::default() };
            shop.app.qrs().get_qr_image(request).await.map(tonic::Response::into_inner)
        };
        let png = draw(pb::QrImageFormat::Png).await.expect("there is a picture");
        assert_eq!(png.media_type, "image/png");
        assert!(png.image.starts_with(b"\x89PNG\r\n\x1a\n"));
        let svg = draw(pb::QrImageFormat::Svg).await;
        if qr.upi_link.is_empty() {
            is_lacking(&svg.expect_err("there is no text to draw"), "PNG");
        } else {
            assert!(qr.upi_link.starts_with("upi://pay?"), "{}", qr.upi_link);
            assert_eq!(svg.expect("it is drawn").media_type, "image/svg+xml");
        }
    }
}

pub async fn codes_are_listed(at: At) {
    let shop = Shop::open(at).await;
    let (one, two) = (shop.code("one").await, shop.code("two").await);
    let list = async |request: pb::ListQrsRequest| {
        let request = pb::ListQrsRequest { account: at.account().to_owned(), ..request };
        let listed = shop.app.qrs().list_qrs(request).await.expect("codes are listed").into_inner();
        listed.qrs.into_iter().map(|qr| qr.id).collect::<Vec<_>>()
    };
    assert_eq!(list(pb::ListQrsRequest::default()).await, [two.id.clone(), one.id.clone()]);
    assert_eq!(list(pb::ListQrsRequest { reference: "ref-one".to_owned(), ..Default::default() }).await, [one.id]);
    assert!(list(pb::ListQrsRequest { states: vec![pb::QrState::Closed.into()], ..Default::default() }).await.is_empty());
}

/// A code that can be closed is CANCELLED, and one that can't is refused in the words of the capabilities.
pub async fn a_code_is_closed(at: At) {
    let shop = Shop::open(at).await;
    for capability in shop.account.capabilities.clone().expect("it says what it can do").qrs {
        if !capability.supported {
            continue;
        }
        let key = format!("close-{}", capability.usage().as_str_name());
        let order = pb::CreateQrRequest { usage: capability.usage, ..shop.order(&key) };
        let qr = shop.ask_for(order).await.expect("it is made").qr.expect("the answer has the code");
        let closed = shop.app.qrs().close_qr(pb::CloseQrRequest { idempotency_key: key, id: qr.id.clone() }).await;
        if capability.close_supported {
            let closed = closed.expect("it is closed").into_inner().qr.expect("the answer has the code");
            assert_eq!((closed.state(), closed.close_reason()), (pb::QrState::Closed, pb::QrCloseReason::Cancelled));
        } else {
            is_lacking(&closed.expect_err("it can't be closed"), &capability.close_missing_reason);
            assert_eq!(shop.app.get_qr(&qr.id).await, qr);
        }
    }
}

/// The payment succeeds with the evidence that the capabilities name, and a code to be paid once is closed by it.
pub async fn a_code_is_paid(at: At) {
    let shop = Shop::open(at).await;
    let qr = shop.code("one").await;
    let paid = shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    assert_eq!((shop.named(&payment), payment.amount.clone()), (paid.as_str(), Some(rupees(PAISE))));
    assert_eq!((payment.reference.as_str(), payment.reported, payment.in_doubt), ("ref-one", false, false));
    let story = shop.app.story(&payment.id, 1).await;
    let succeeded = story.iter().find(|event| event.r#type == "payment.succeeded").expect("it is told");
    // Where callbacks are signed, asking may have come first.
    let expected = shop.codes().callback_evidence();
    let asked_first = expected == pb::Evidence::Signature && succeeded.evidence() == pb::Evidence::Enquiry;
    assert!(asked_first || succeeded.evidence() == expected, "{succeeded:?}");

    let qr = shop.app.qr_until(&qr.id, "the money to be counted", |qr| qr.payment_count == 1).await;
    assert_eq!(qr.amount_received, Some(rupees(PAISE)));
    match qr.usage() {
        pb::QrUsage::SingleUse => {
            let closed = shop.app.qr_until(&qr.id, "the code to be closed", |qr| qr.state() == pb::QrState::Closed).await;
            assert_eq!(closed.close_reason(), pb::QrCloseReason::Paid);
        }
        _ => assert_eq!(qr.state(), pb::QrState::Active),
    }
    check_revisions(&shop.app.log().await);
}

/// A code that nobody paid is EXPIRED when its provider says or said so, and stays where it has no end.
pub async fn a_code_comes_to_its_end(at: At) {
    let shop = Shop::open(at).await;
    let mut order = shop.order("one");
    if shop.codes().expire_time_supported {
        let end = shop.app.provider.now().as_second() + 1_800;
        order.expire_time = Some(prost_types::Timestamp { seconds: end, nanos: 0 });
    }
    let qr = shop.ask_for(order).await.expect("it is made").qr.expect("the answer has the code");
    shop.app.advance(minutes(26 * 60));
    if shop.codes().usage() == pb::QrUsage::MultipleUse {
        // It has no end: it can still be paid.
        shop.pay(&qr).await;
        shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
        assert_eq!(shop.app.get_qr(&qr.id).await.state(), pb::QrState::Active);
        return;
    }
    let ended = shop.app.qr_until(&qr.id, "the code to come to its end", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!(ended.close_reason(), pb::QrCloseReason::Expired);
    assert!(shop.payments_of(&qr).await.is_empty());
}

/// The provider never saw the request. What becomes of it follows from how doubt is cured there.
pub async fn a_lost_request_is_found_out(at: At) {
    let shop = Shop::open(at).await;
    shop.fault(at.creation(), FaultKind::RequestLost);
    let qr = shop.ask_for(shop.order("one")).await.expect("doubt is no error").qr.expect("the answer has the code");
    assert_eq!((qr.state(), qr.in_doubt), (pb::QrState::Requested, true), "{qr:?}");
    match shop.codes().doubt() {
        pb::DoubtRemedy::Lookup => {
            until("the absence to be believed", async || {
                shop.app.advance(LONG_ENOUGH);
                Some(shop.app.get_qr(&qr.id).await).filter(|qr| qr.state() == pb::QrState::Failed)
            })
            .await;
            assert_eq!(shop.app.get_qr(&qr.id).await.failure.expect("it failed").reason(), pb::FailureReason::AbsentAtProvider);
        }
        pb::DoubtRemedy::SafeResend => {
            shop.app.advance(A_MOMENT);
            shop.app.qr_until(&qr.id, "the request to be sent again", |qr| qr.state() == pb::QrState::Active).await;
            assert_eq!(shop.asked(at.creation()), 2);
        }
        pb::DoubtRemedy::None => {
            let doubtful = waits_for_an_operator(&shop, &qr).await;
            let decided = shop.decide("decided", &doubtful.id, None).await.expect("it is decided");
            let Some(pb::resolve_doubt_response::Resource::Qr(decided)) = decided.resource else { panic!("{decided:?}") };
            assert_eq!(decided.failure.expect("it failed").reason(), pb::FailureReason::OperatorDecided);
        }
        pb::DoubtRemedy::Unspecified => panic!("the doubt of a creation has a remedy, or none"),
    }
    assert!(shop.doubts().await.is_empty());
}

/// The provider made the code and nobody heard of it.
pub async fn a_lost_answer_is_found_out(at: At) {
    let shop = Shop::open(at).await;
    shop.fault(at.creation(), FaultKind::AnswerLost);
    let qr = shop.ask_for(shop.order("one")).await.expect("doubt is no error").qr.expect("the answer has the code");
    assert_eq!((qr.state(), qr.in_doubt), (pb::QrState::Requested, true), "{qr:?}");
    match shop.codes().doubt() {
        pb::DoubtRemedy::Lookup | pb::DoubtRemedy::SafeResend => {
            shop.app.advance(A_MOMENT);
            let found = shop.app.qr_until(&qr.id, "the code to be found", |qr| qr.state() == pb::QrState::Active).await;
            assert!(!found.in_doubt && !found.stray_possible);
            let expected = if shop.codes().doubt() == pb::DoubtRemedy::Lookup { 1 } else { 2 };
            assert_eq!(shop.asked(at.creation()), expected, "a creation is sent again only where that is safe");
            shop.pay(&found).await;
            shop.payment_until(&found, pb::PaymentState::Succeeded).await;
        }
        pb::DoubtRemedy::None => {
            let doubtful = waits_for_an_operator(&shop, &qr).await;
            // Money comes to the code that nobody can see: it is kept, and shown.
            let stray = shop.app.provider.qr_codes(at.account()).expect("the sandbox knows the account");
            let provider_ref = stray[0]["refId"].as_str().expect("a code has an id").to_owned();
            shop.app.provider.pay_qr(at.account(), &provider_ref, PayOptions::default()).await.expect("it can be paid");
            let kept = until("the callback to be kept", async || shop.quarantine().await.into_iter().next()).await;
            assert!(kept.provider_refs.len() == 1, "{kept:?}");
            shop.decide("decided", &doubtful.id, Some(&provider_ref)).await.expect("it is decided");
            // The record has learned its reference: the payment is replayed by itself.
            until("the kept payment to be applied", async || {
                shop.app.advance(A_MOMENT);
                shop.payments_of(&qr).await.into_iter().find(|payment| payment.state() == pb::PaymentState::Succeeded)
            })
            .await;
            until("nothing to be kept", async || shop.quarantine().await.is_empty().then_some(())).await;
        }
        pb::DoubtRemedy::Unspecified => panic!("the doubt of a creation has a remedy, or none"),
    }
    assert!(shop.doubts().await.is_empty());
    check_revisions(&shop.app.log().await);
}

/// A code whose answer was lost where nobody can be asked: it says so, is listed, and stays as it is.
async fn waits_for_an_operator(shop: &Shop, qr: &pb::Qr) -> pb::Qr {
    shop.app.advance(LEASE);
    let doubtful = shop.app.qr_until(&qr.id, "the doubt to be told", |qr| qr.stray_possible).await;
    assert_eq!((doubtful.state(), doubtful.in_doubt), (pb::QrState::Requested, true));
    let doubts = shop.doubts().await;
    assert_eq!(doubts.len(), 1);
    assert_eq!((doubts[0].resource_id.as_str(), doubts[0].kind()), (qr.id.as_str(), pb::DoubtKind::OutcomeUnknown));
    assert_eq!(doubts[0].next_look_time, None, "nobody looks by himself");
    shop.app.advance(minutes(3 * 24 * 60));
    let again = shop.ask_for(shop.order("one")).await.expect("it is repeated");
    assert!(again.idempotency_replayed);
    assert_eq!(shop.asked(shop.at.creation()), 1, "it is not sent again");
    assert_eq!(shop.app.get_qr(&qr.id).await.state(), pb::QrState::Requested);
    doubtful
}

pub async fn a_callback_that_comes_twice_counts_once(at: At) {
    let shop = Shop::open(at).await;
    let qr = shop.code("one").await;
    let before = shop.answered();
    shop.callbacks(WebhookFaultKind::Duplicate);
    shop.pay(&qr).await;
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    shop.answered_is(before + 2).await;
    assert_eq!(shop.payments_of(&qr).await.len(), 1);
    let story = shop.app.story(&payment.id, 1).await;
    assert_eq!(story.iter().filter(|event| event.r#type == "payment.succeeded").count(), 1);
    assert_eq!(shop.app.get_qr(&qr.id).await.payment_count, 1);
}

/// The callback comes when the code is long over.
pub async fn a_late_callback_still_counts(at: At) {
    let shop = Shop::open(at).await;
    let qr = shop.code("one").await;
    shop.callbacks(WebhookFaultKind::Hold);
    shop.pay(&qr).await;
    shop.app.advance(minutes(60));
    if shop.codes().doubt() == pb::DoubtRemedy::None {
        // Nobody could be asked: for all that is known the code was never paid.
        let closed = shop.app.qr_until(&qr.id, "the code to come to its end", |qr| qr.state() == pb::QrState::Closed).await;
        assert_eq!(closed.close_reason(), pb::QrCloseReason::Expired);
    }
    shop.app.provider.release_webhooks();
    shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    shop.app.qr_until(&qr.id, "the money to be counted", |qr| qr.payment_count == 1).await;
    check_revisions(&shop.app.log().await);
}

/// Somebody who knows every id says that the code was paid. Where callbacks prove nothing at all, what he says is shown to
/// an operator and moves nothing; when the provider's own state changes, that is believed.
pub async fn a_forged_callback_changes_nothing(at: At) {
    let shop = Shop::open_with(at, |config| {
        for account in config.accounts.values_mut() {
            if let upistream::config::ProviderConfig::Oqpay(oqpay) = &mut account.provider {
                oqpay.callbacks_prove = false;
                oqpay.callback_networks.clear();
            }
        }
    })
    .await;
    let qr = shop.code("one").await;
    let before = shop.answered();
    shop.app.provider.send_forged(at.account(), &qr.provider_ref, Some(PAISE)).await.expect("the sandbox can forge");
    shop.answered_is(before + 1).await;
    let after = shop.app.get_qr(&qr.id).await;
    assert_eq!((after.state(), after.payment_count), (pb::QrState::Active, 0));
    if shop.codes().callback_evidence() == pb::Evidence::Unspecified {
        let reported = shop.payment_until(&qr, pb::PaymentState::Pending).await;
        assert!(reported.reported && reported.in_doubt);
        // The truth comes by the same way, and is worth as much: an operator decides.
        shop.decide("decided", &reported.id, Some("")).await.expect("it is decided");
        let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
        assert!(!payment.reported);
        let story = shop.app.story(&payment.id, payment.revision).await;
        assert_eq!(story.last().expect("it is told").evidence(), pb::Evidence::Operator);
        return;
    }
    assert!(shop.payments_of(&qr).await.is_empty());
    // Now it happens, and no true callback comes: another forgery is reason enough to ask.
    shop.callbacks(WebhookFaultKind::Drop);
    shop.pay(&qr).await;
    shop.app.provider.clear_faults();
    shop.app.provider.send_forged(at.account(), &qr.provider_ref, Some(PAISE)).await.expect("the sandbox can forge");
    if shop.codes().callback_evidence() == pb::Evidence::Signature {
        // There a forgery is turned away; asking comes in its own time.
        shop.app.advance(minutes(2));
    }
    let payment = shop.payment_until(&qr, pb::PaymentState::Succeeded).await;
    let story = shop.app.story(&payment.id, 1).await;
    let succeeded = story.iter().find(|event| event.r#type == "payment.succeeded").expect("it is told");
    assert_eq!(succeeded.evidence(), pb::Evidence::Enquiry);
}

/// Another sum than the code's is MISMATCHED and never told as success. A code that has no sum of its own takes any.
pub async fn another_amount_is_a_mismatch(at: At) {
    let shop = Shop::open(at).await;
    let qr = shop.code("one").await;
    let other = PAISE + 10_000;
    shop.pay_with(&qr, PayOptions { amount: Some(other), any_amount: true, ..PayOptions::default() }).await;
    if !shop.codes().amount_supported {
        assert_eq!(shop.payment_until(&qr, pb::PaymentState::Succeeded).await.amount, Some(rupees(other)));
        return;
    }
    let payment = shop.payment_until(&qr, pb::PaymentState::Mismatched).await;
    assert_eq!((payment.amount, payment.expected_amount), (Some(rupees(other)), Some(rupees(PAISE))));
    assert_eq!(payment.failure.expect("it says why").reason(), pb::FailureReason::Mismatched);
    let types: Vec<_> = shop.app.log().await.into_iter().map(|event| event.r#type).collect();
    assert!(!types.iter().any(|name| name == "payment.succeeded"), "{types:?}");
    assert!(types.iter().any(|name| name == "payment.mismatched"), "{types:?}");
}

/// What was told of one account's code, posted at another account's door, is nothing to that account.
pub async fn another_accounts_callback_changes_nothing(at: At) {
    let shop = Shop::open_with(at, |config| {
        // The same merchant under another name is refused by `config check`; here it stands for any other account.
        let twin = config.accounts[at.account()].clone();
        config.accounts.insert("twin".parse().expect("a name"), twin);
    })
    .await;
    let qr = shop.code("one").await;
    shop.callbacks(WebhookFaultKind::Drop);
    shop.pay(&qr).await;
    let delivery = shop.app.provider.deliveries().into_iter().next_back().expect("something was to be told");
    let (status, _) = shop.post_to("twin", delivery.body).await;
    // Where callbacks are signed this one's signature is missing.
    let signs = shop.codes().callback_evidence() == pb::Evidence::Signature;
    assert_eq!(status, if signs { 401 } else { 200 });
    shop.answered_is(0).await;
    assert!(shop.payments_of(&qr).await.is_empty());
    let request = pb::ListPaymentsRequest { account: "twin".to_owned(), ..pb::ListPaymentsRequest::default() };
    assert!(shop.app.payments().list_payments(request).await.expect("payments are listed").into_inner().payments.is_empty());
}
