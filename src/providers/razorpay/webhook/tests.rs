//! Callbacks: the documented ones, changed ones, and what nobody would send.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::domain::debit::NoticeStatus;
use crate::domain::mandate::{MandateSnapshot, MandateStatus};
use crate::domain::money::Money;
use crate::domain::personal::Vpa;
use crate::domain::qr::{CloseReason, QrStatus};
use crate::domain::refund::RefundStatus;
use crate::domain::settlement::SettlementStatus;

macro_rules! golden {
    ($($event:literal),* $(,)?) => {
        &[$(($event, include_str!(concat!("../../../../tests/golden/razorpay/event.", $event, ".json")))),*]
    };
}

const EVENTS: &[(&str, &str)] = golden![
    "order.notification.delivered",
    "order.notification.failed",
    "order.paid",
    "payment.authorized",
    "payment.captured",
    "payment.failed",
    "payment_link.paid",
    "qr_code.closed",
    "qr_code.created",
    "qr_code.credited",
    "refund.created",
    "refund.failed",
    "refund.processed",
    "refund.speed_changed",
    "settlement.processed",
    "token.cancelled",
    "token.confirmed",
    "token.paused",
    "token.rejected",
    "token.resumed",
];
const ACCOUNT: &str = "acc_Pz1aV7mH5pZ3Qw";

pub(super) fn golden(event: &str) -> Value {
    let (_, text) = EVENTS.iter().find(|(name, _)| *name == event).expect("there is a golden document of it");
    serde_json::from_str(text).expect("the golden document is JSON")
}

fn read_value(callback: &Value) -> Result<Callback, NotUnderstood> {
    read(callback.to_string().as_bytes(), Some(ACCOUNT))
}

/// `event` about the same payment, with `changes` made to the payment.
fn about_payment(event: &str, changes: Value) -> Value {
    let mut callback = golden(event);
    for (key, value) in changes.as_object().expect("changes are an object") {
        callback["payload"]["payment"]["entity"][key] = value.clone();
    }
    callback
}

fn the_only(callback: Result<Callback, NotUnderstood>) -> Observation {
    match callback {
        Ok(Callback::Facts { mut observations, .. }) if observations.len() == 1 => observations.remove(0),
        other => panic!("{other:?} is not one fact"),
    }
}

/// The payment that a callback is about, with its refund or alone.
fn payment_of(callback: &Value) -> (PaymentSnapshot, PaymentOrigin) {
    match read_value(callback) {
        Ok(Callback::Facts { observations, .. }) => match observations.into_iter().next() {
            Some(Observation::Payment { snapshot, origin }) => (snapshot, origin),
            other => panic!("{other:?} is no payment"),
        },
        other => panic!("{other:?} is no fact"),
    }
}

fn origin_of(callback: &Value) -> PaymentOrigin {
    payment_of(callback).1
}

#[test]
fn every_documented_event_comes_to_something() {
    // A status without what it carries.
    fn word(status: &impl std::fmt::Debug) -> String {
        format!("{status:?}").split(' ').next().unwrap_or_default().to_owned()
    }
    let mut seen = String::new();
    for (event, text) in EVENTS {
        let came_to = match read(text.as_bytes(), Some(ACCOUNT)) {
            Ok(Callback::Foreign { .. }) => "foreign".to_owned(),
            Ok(Callback::Facts { observations, .. }) => match observations.as_slice() {
                [Observation::Qr(code)] => format!("code {:?}", code.status),
                [Observation::Payment { snapshot, origin }] => format!("payment {} {origin:?}", word(&snapshot.status)),
                [Observation::Payment { snapshot, origin }, Observation::Refund(refund)] => {
                    format!("payment {} {origin:?}, refund {}", word(&snapshot.status), word(&refund.status))
                }
                [Observation::Settlement(settlement)] => format!("settlement {:?}", settlement.status),
                [Observation::Mandate(mandate)] => format!("mandate {:?}", mandate.status),
                [Observation::Notice { status, .. }] => format!("notice {status:?}"),
                other => format!("{other:?}"),
            },
            Err(error) => error.to_string(),
        };
        seen += &format!("{event:<29} {came_to}\n");
    }
    let expected = r#"
order.notification.delivered  notice Delivered { at: Some(2026-02-04T12:59:50Z) }
order.notification.failed     notice Failed { code: "", message: "" }
order.paid                    foreign
payment.authorized            payment Authorized Named { provider_ref: Some("order_Pz4jW8nB3cR6Ys"), our_ref: None }
payment.captured              payment Captured Named { provider_ref: Some("order_Pz4jW8nB3cR6Ys"), our_ref: None }
payment.failed                payment Failed Named { provider_ref: Some("order_Pz4jW8nB3cR6Ys"), our_ref: None }
payment_link.paid             foreign
qr_code.closed                code Closed { reason: Some(Cancelled), at: Some(2026-01-01T04:16:40Z) }
qr_code.created               code Active
qr_code.credited              payment Captured Named { provider_ref: Some("qr_Pz3dM6vX0tJ4Fb"), our_ref: None }
refund.created                payment Captured Named { provider_ref: Some("order_Pz4jW8nB3cR6Ys"), our_ref: None }, refund Pending
refund.failed                 payment Captured Named { provider_ref: Some("order_Pz4jW8nB3cR6Ys"), our_ref: None }, refund Failed
refund.processed              payment Captured Named { provider_ref: Some("order_Pz4jW8nB3cR6Ys"), our_ref: None }, refund Processed
refund.speed_changed          payment Captured Named { provider_ref: Some("order_Pz4jW8nB3cR6Ys"), our_ref: None }, refund Pending
settlement.processed          settlement Processed
token.cancelled               mandate Revoked
token.confirmed               mandate Active
token.paused                  mandate Paused
token.rejected                mandate Rejected { code: "", message: "Rejected by bank" }
token.resumed                 mandate Active
"#;
    assert_eq!(seen.trim(), expected.trim(), "\n{seen}");
}

#[test]
fn a_credit_is_read_field_by_field_and_names_its_code() {
    let mut callback = golden("qr_code.credited");
    callback["payload"]["qr_code"]["entity"]["notes"]["upistream_ref"] = json!("ref1");
    let Ok(Callback::Facts { event, occur_time, observations }) = read_value(&callback) else { panic!("it is a fact") };
    assert_eq!((event.as_str(), occur_time.as_second()), ("qr_code.credited", 1_767_240_400));
    let [Observation::Payment { snapshot, origin }] = observations.as_slice() else { panic!("{observations:?}") };
    assert_eq!(*origin, PaymentOrigin::Named { provider_ref: Some("qr_Pz3dM6vX0tJ4Fb".to_owned()), our_ref: Some("ref1".to_owned()) });
    assert_eq!(snapshot.provider_ref, "pay_Pz4mC9rG5hB7Nt");
    assert_eq!(snapshot.status, PaymentStatus::Captured);
    assert_eq!((snapshot.amount, snapshot.fee, snapshot.tax), (Money::from_paise(45_000), Some(Money::ZERO), Some(Money::ZERO)));
    assert_eq!(snapshot.rrn.as_deref(), Some("600187654321"));
    assert_eq!(snapshot.pay_time.as_second(), 1_767_240_400);

    let by_the_payments_note = about_payment("qr_code.credited", json!({"notes": {"upistream_ref": "ref2"}, "order_id": "order_1"}));
    assert_eq!(
        origin_of(&by_the_payments_note),
        PaymentOrigin::Named { provider_ref: Some("qr_Pz3dM6vX0tJ4Fb".to_owned()), our_ref: Some("ref2".to_owned()) }
    );
}

#[test]
fn a_credit_counts_whatever_the_code_beside_it_is_like() {
    let mut callback = golden("qr_code.credited");
    let code = callback["payload"]["qr_code"]["entity"].as_object_mut().expect("a code is an object");
    for (key, odd) in
        [("close_by", json!("soon")), ("status", json!("paused")), ("payment_amount", json!("450.00")), ("closed_at", json!([]))]
    {
        code.insert(key.to_owned(), odd);
    }
    assert_eq!(origin_of(&callback), PaymentOrigin::Named { provider_ref: Some("qr_Pz3dM6vX0tJ4Fb".to_owned()), our_ref: None });
    callback["payload"]["qr_code"]["entity"]["id"] = json!("no plain word");
    assert!(read_value(&callback).is_err(), "but which one it is must be said");
}

#[test]
fn a_close_is_read_field_by_field() {
    let Observation::Qr(code) = the_only(read_value(&golden("qr_code.closed"))) else { panic!("it is about a code") };
    assert_eq!(code.provider_ref, "qr_Pz3dM6vX0tJ4Fb");
    let at = Timestamp::from_second(1_767_241_000).ok();
    assert_eq!(code.status, QrStatus::Closed { reason: Some(CloseReason::Cancelled), at });
}

#[test]
fn a_payment_says_what_it_was_for_or_does_not() {
    let plain = json!({"order_id": null, "notes": []});
    let with = |changes: Value| {
        let mut merged = plain.clone();
        merged.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        merged
    };
    let named = |provider_ref: Option<&str>, our_ref: Option<&str>| PaymentOrigin::Named {
        provider_ref: provider_ref.map(str::to_owned),
        our_ref: our_ref.map(str::to_owned),
    };
    for event in PAYMENT_EVENTS.iter().chain(REFUND_EVENTS) {
        let check = |changes: Value, expected: PaymentOrigin| {
            assert_eq!(origin_of(&about_payment(event, changes.clone())), expected, "{event} {changes}");
        };
        check(plain.clone(), PaymentOrigin::Untold);
        check(with(json!({"notes": {"bill": "1"}})), PaymentOrigin::Untold);
        check(with(json!({"method": null})), PaymentOrigin::Untold);
        check(with(json!({"order_id": "order_1", "description": "QRv2 Payment"})), PaymentOrigin::Untold);
        check(with(json!({"invoice_id": "inv_1", "description": "QRv2 Payment"})), PaymentOrigin::Untold);
        check(with(json!({"notes": {"upistream_ref": "ref1"}})), named(None, Some("ref1")));
        check(with(json!({"notes": {"upistream_ref": "ref1"}, "order_id": "order_1"})), named(Some("order_1"), Some("ref1")));
        check(with(json!({"order_id": "order_1"})), named(Some("order_1"), None));
        let of_code = json!({"notes": {"upistream_ref": "ref1"}, "order_id": "order_1", "description": "QRv2 Payment"});
        check(with(of_code), named(None, Some("ref1")));

        let elsewhere = [
            json!({"invoice_id": "inv_1"}),
            json!({"order_id": "order_1", "invoice_id": "inv_1"}),
            json!({"order_id": "order_1", "method": "card"}),
            json!({"method": "card"}),
            json!({"method": "card", "currency": "USD", "amount": "12.50", "status": "odd"}),
        ];
        for changes in elsewhere {
            let callback = read_value(&about_payment(event, with(changes.clone())));
            assert_eq!(callback.ok(), Some(Callback::Foreign { event: (*event).to_owned() }), "{event} {changes}");
        }
        let not_understood = [
            json!({"order_id": "order/1"}),
            json!({"currency": "USD"}),
            json!({"amount": 450.5}),
            json!({"status": "new"}),
            json!({"id": null}),
        ];
        for changes in not_understood {
            assert!(read_value(&about_payment(event, with(changes.clone()))).is_err(), "{event} {changes}");
        }
    }
}

/// A payment that registers a mandate, with `changes` made to it.
fn registering(event: &str, changes: Value) -> Value {
    let notes = json!({"upistream_ref": "ref1", "upistream_for": "mandate"});
    let mut all = json!({"order_id": "order_1", "token_id": "token_1", "customer_id": "cust_1", "notes": notes});
    all.as_object_mut().expect("an object").extend(changes.as_object().expect("changes are an object").clone());
    about_payment(event, all)
}

#[test]
fn a_payment_that_registers_a_mandate_tells_which_token_it_is_after_itself() {
    let told = |callback: &Value| match read_value(callback) {
        Ok(Callback::Facts { observations, .. }) => observations,
        other => panic!("{other:?} is no fact"),
    };
    let mandate = MandateSnapshot {
        provider_ref: Some("token_1".to_owned()),
        registration_ref: Some("order_1".to_owned()),
        customer_ref: Some("cust_1".to_owned()),
        ..MandateSnapshot::of(MandateStatus::Undecided)
    };
    for event in ["payment.authorized", "payment.captured"] {
        let observations = told(&registering(event, json!({})));
        let [Observation::Payment { origin, .. }, Observation::Mandate(told_of)] = observations.as_slice() else {
            panic!("{observations:?}")
        };
        assert_eq!(*origin, PaymentOrigin::Named { provider_ref: Some("order_1".to_owned()), our_ref: Some("ref1".to_owned()) });
        assert_eq!(told_of, &mandate, "{event}");
    }
    // A debit has a token and an order as well, and that order registered nothing.
    let silent = [
        json!({"notes": {"upistream_ref": "ref1"}}),
        json!({"token_id": null}),
        json!({"notes": {"upistream_ref": "ref1", "upistream_for": "debit"}}),
    ];
    for changes in silent {
        assert_eq!(told(&registering("payment.captured", changes.clone())).len(), 1, "{changes}");
    }
    assert_eq!(told(&registering("payment.failed", json!({}))).len(), 1, "a failed one registers nothing");
    assert!(read_value(&registering("payment.captured", json!({"token_id": "token/1"}))).is_err());
}

#[test]
fn a_token_is_read_field_by_field() {
    let Observation::Mandate(told) = the_only(read_value(&golden("token.paused"))) else { panic!("it is about a mandate") };
    let expected = MandateSnapshot {
        provider_ref: Some("token_Pz6eP3hD1rV9Kc".to_owned()),
        max_amount: Some(Money::from_paise(150_000)),
        payer_vpa: Vpa::parse("asha.rao@examplebank").ok(),
        ..MandateSnapshot::of(MandateStatus::Paused)
    };
    assert_eq!(told, expected);
    let mut callback = golden("token.confirmed");
    callback["event"] = json!("token.cancellation_initiated");
    callback["payload"]["token"]["entity"]["recurring_details"]["status"] = json!("cancellation_initiated");
    let Observation::Mandate(told) = the_only(read_value(&callback)) else { panic!("it is about a mandate") };
    assert_eq!((told.status, told.max_amount), (MandateStatus::Revoking, None));

    callback["payload"]["token"]["entity"]["method"] = json!("card");
    let event = "token.cancellation_initiated".to_owned();
    assert_eq!(read_value(&callback).ok(), Some(Callback::Foreign { event }), "cards have tokens too");
    for changes in [json!({"id": null}), json!({"id": "token/1"}), json!({"entity": "card"}), json!({"max_amount": "150000"})] {
        let mut callback = golden("token.paused");
        for (key, value) in changes.as_object().expect("changes are an object") {
            callback["payload"]["token"]["entity"][key] = value.clone();
        }
        assert!(read_value(&callback).is_err(), "{changes}");
    }
}

#[test]
fn a_notice_is_told_of_by_its_order() {
    let order_ref = || "order_Pz6iD7nQ1wM5Zg".to_owned();
    let delivered = NoticeStatus::Delivered { at: Timestamp::from_second(1_770_209_990).ok() };
    let told = the_only(read_value(&golden("order.notification.delivered")));
    assert_eq!(told, Observation::Notice { order_ref: order_ref(), status: delivered });
    let failed = NoticeStatus::Failed { code: String::new(), message: String::new() };
    let told = the_only(read_value(&golden("order.notification.failed")));
    assert_eq!(told, Observation::Notice { order_ref: order_ref(), status: failed });

    // The vendor's own sample has the time of the event within its payload.
    let mut callback = golden("order.notification.delivered");
    callback["payload"]["created_at"] = callback["created_at"].take();
    let Ok(Callback::Facts { occur_time, .. }) = read_value(&callback) else { panic!("it is a fact") };
    assert_eq!(occur_time.as_second(), 1_770_210_000);
    for changes in [json!({"order_id": null}), json!({"order_id": "order/1"}), json!({"entity": "order"}), json!({"delivered_at": 1.5})] {
        let mut callback = golden("order.notification.delivered");
        for (key, value) in changes.as_object().expect("changes are an object") {
            callback["payload"]["notification"]["entity"][key] = value.clone();
        }
        assert!(read_value(&callback).is_err(), "{changes}");
    }
}

#[test]
fn a_refund_comes_with_its_payment() {
    for (event, status, rrn) in [
        ("refund.created", RefundStatus::Pending, None),
        ("refund.processed", RefundStatus::Processed, Some("600298765432")),
        ("refund.failed", RefundStatus::Failed { code: String::new(), message: String::new() }, None),
        ("refund.speed_changed", RefundStatus::Pending, None),
    ] {
        let Ok(Callback::Facts { observations, .. }) = read_value(&about_payment(event, json!({"order_id": null}))) else {
            panic!("{event} is a fact")
        };
        let [Observation::Payment { snapshot, origin }, Observation::Refund(refund)] = observations.as_slice() else {
            panic!("{observations:?}")
        };
        assert_eq!((&snapshot.status, snapshot.refunded), (&PaymentStatus::Captured, None), "{event}: the refund tells what moved");
        assert_eq!(*origin, PaymentOrigin::Untold);
        assert_eq!((&refund.status, refund.rrn.as_deref()), (&status, rrn), "{event}");
        assert_eq!((refund.provider_ref.as_deref(), refund.our_ref.as_deref()), (Some("rfnd_Pz5aH2gK9sU1Qe"), Some("rf-381-1")));
        assert_eq!((refund.payment_ref.as_str(), refund.amount), ("pay_Pz4kQ1xV7mT2Ld", Money::from_paise(12_000)));
    }
}

#[test]
fn a_payment_that_is_given_back_uncollected_is_reversed() {
    let given_back = json!({"order_id": null, "status": "refunded", "captured": false, "amount_refunded": 45_000});
    assert_eq!(payment_of(&about_payment("refund.created", given_back)).0.status, PaymentStatus::Reversed);
}

#[test]
fn a_refund_that_can_not_be_read_is_not_understood() {
    for changes in [
        json!({"amount": "12000"}),
        json!({"amount": null}),
        json!({"currency": "USD"}),
        json!({"id": null}),
        json!({"payment_id": "pay_Another"}),
        json!({"status": null}),
    ] {
        let mut callback = about_payment("refund.processed", json!({"order_id": null}));
        for (key, value) in changes.as_object().expect("changes are an object") {
            callback["payload"]["refund"]["entity"][key] = value.clone();
        }
        assert!(read_value(&callback).is_err(), "{changes}");
    }
    let mut callback = about_payment("refund.processed", json!({"order_id": null}));
    callback["payload"].as_object_mut().expect("a payload is an object").remove("refund");
    assert!(read_value(&callback).is_err());
    // Nobody looks at a refund of somebody else's payment.
    let mut callback = about_payment("refund.processed", json!({"method": "card"}));
    callback["payload"]["refund"]["entity"]["currency"] = json!("USD");
    assert_eq!(read_value(&callback).ok(), Some(Callback::Foreign { event: "refund.processed".to_owned() }));
}

#[test]
fn a_settlement_is_read_field_by_field() {
    let Observation::Settlement(settlement) = the_only(read_value(&golden("settlement.processed"))) else { panic!("it is a settlement") };
    assert_eq!((settlement.provider_ref.as_str(), settlement.amount), ("setl_Pz9fS4jE2uW0Mx", Money::from_paise(31_938)));
    assert_eq!((settlement.fee, settlement.tax, settlement.utr.as_deref()), (Money::ZERO, Money::ZERO, Some("EXMPN26003000123")));
    assert_eq!((settlement.status, settlement.settle_time.map(Timestamp::as_second)), (SettlementStatus::Processed, Some(1_767_412_800)));
    let mut callback = golden("settlement.processed");
    callback["payload"]["settlement"]["entity"]["amount"] = json!(319.38);
    assert!(read_value(&callback).is_err());
}

#[test]
fn the_time_of_an_event_stands_in_either_place() {
    let mut callback = golden("qr_code.closed");
    callback["payload"]["created_at"] = json!("1767241001");
    let time = |callback: &Value| match read_value(callback) {
        Ok(Callback::Facts { occur_time, .. }) => Some(occur_time.as_second()),
        _ => None,
    };
    assert_eq!(time(&callback), Some(1_767_241_000));
    callback["created_at"] = Value::Null;
    assert_eq!(time(&callback), Some(1_767_241_001));
    callback["payload"]["created_at"] = Value::Null;
    assert_eq!(time(&callback), None);
}

#[test]
fn what_we_never_heard_of_is_not_understood() {
    for event in [
        "payment.teleported",
        "token.slept",
        "order.notification.read",
        "refund.arn_updated",
        "order.created",
        "qr_code.expired",
        "settlement.failed",
        "",
        "payout",
    ] {
        let mut callback = golden("qr_code.closed");
        callback["event"] = json!(event);
        assert!(read_value(&callback).is_err(), "{event}");
    }
    for event in
        ["payment.dispute.created", "payment.downtime.started", "subscription.charged", "payout.processed", "product.route.activated"]
    {
        let callback = json!({"account_id": ACCOUNT, "event": event});
        assert_eq!(read_value(&callback).ok(), Some(Callback::Foreign { event: event.to_owned() }));
    }
    for body in ["", "{", "[]", "null", "7", "{}", r#"{"event":"qr_code.closed"}"#, r#"{"event":"qr_code.closed","payload":[]}"#] {
        assert!(read(body.as_bytes(), None).is_err(), "{body}");
    }
    for (event, missing) in [
        ("qr_code.credited", "payment"),
        ("qr_code.credited", "qr_code"),
        ("qr_code.closed", "qr_code"),
        ("refund.created", "payment"),
        ("settlement.processed", "settlement"),
        ("token.confirmed", "token"),
        ("order.notification.failed", "notification"),
    ] {
        let mut callback = golden(event);
        callback["payload"].as_object_mut().expect("a payload is an object").remove(missing);
        assert!(read_value(&callback).is_err(), "{event} without {missing}");
    }
}

#[test]
fn a_callback_that_names_another_account_is_not_read() {
    for named in [json!("acc_OtherOtherOt"), json!(null), json!(7)] {
        for event in ["qr_code.closed", "order.paid"] {
            let mut callback = golden(event);
            callback["account_id"] = named.clone();
            assert!(read_value(&callback).is_err(), "{event} {named}");
            assert!(read(callback.to_string().as_bytes(), None).is_ok(), "without a configured account all are ours");
        }
    }
}

fn sender(headers: &HeaderMap) -> Sender<'_> {
    Sender { address: std::net::Ipv4Addr::LOCALHOST.into(), headers }
}

fn signed(key: &str, body: &[u8]) -> HeaderMap {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderMap::from_iter([(http::HeaderName::from_static("x-razorpay-signature"), HeaderValue::try_from(hex).expect("hex is plain"))])
}

#[test]
fn the_signature_is_over_the_bytes_as_they_came() {
    let secrets = |texts: &[&str]| Held::new(texts.iter().map(|text| SecretString::from(*text)).collect::<Vec<_>>());
    let held = secrets(&["current", "previous", ""]);
    let webhooks = RazorpayWebhooks::new(held.clone(), None);
    let body = Bytes::from_static(br#"{"event":"order.paid","u":"https:\/\/a.in"}"#);
    for key in ["current", "previous"] {
        let verified = webhooks.verify(&sender(&signed(key, &body)), body.clone()).expect("it is signed");
        assert_eq!(webhooks.read(&verified).ok(), Some(Callback::Foreign { event: "order.paid".to_owned() }));
    }
    let as_rewritten = Bytes::from_static(br#"{"event":"order.paid","u":"https://a.in"}"#);
    assert!(webhooks.verify(&sender(&signed("current", &body)), as_rewritten).is_err());
    assert!(webhooks.verify(&sender(&signed("", &body)), body.clone()).is_err(), "an empty secret is none");
    assert!(webhooks.verify(&sender(&signed("other", &body)), body.clone()).is_err());
    assert!(webhooks.verify(&sender(&HeaderMap::new()), body.clone()).is_err());
    assert!(RazorpayWebhooks::new(secrets(&[]), None).verify(&sender(&signed("", &body)), body.clone()).is_err());

    held.replace(vec!["new".into(), "current".into()]);
    let is_taken = |key| webhooks.verify(&sender(&signed(key, &body)), body.clone()).is_ok();
    assert_eq!(["new", "current", "previous"].map(is_taken), [true, true, false], "what is replaced counts from the next one on");
}
