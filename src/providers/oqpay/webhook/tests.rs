//! Callbacks: the documented one, changed ones, and what nobody would send.

use std::net::Ipv4Addr;
use std::sync::Arc;

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::fact::Evidence;
use crate::providers::fuzz_cases;
use crate::providers::mutation::{json_value, mutated};

const CALLBACK: &str = include_str!("../../../../tests/golden/oqpay/callback.json");
const LISTED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

fn changed(changes: Value) -> Value {
    let mut document: Value = serde_json::from_str(CALLBACK).expect("the golden document is JSON");
    for (key, value) in changes.as_object().expect("changes are an object") {
        document[key] = value.clone();
    }
    document
}

fn hint(body: &str) -> Result<Hint, NotUnderstood> {
    match hints().hint(body.as_bytes())? {
        HintCallback::Hint(hint) => Ok(hint),
        HintCallback::Foreign { event } => panic!("{event} is not foreign"),
    }
}

fn hint_with(changes: Value) -> Result<Hint, NotUnderstood> {
    hint(&changed(changes).to_string())
}

fn documented() -> PaymentSnapshot {
    PaymentSnapshot {
        provider_ref: "TPAY202601011030001234567".to_owned(),
        status: PaymentStatus::Captured,
        amount: Money::from_paise(40_000),
        fee: None,
        tax: None,
        refunded: None,
        rrn: Some("605500000001".to_owned()),
        upi_transaction_id: None,
        payer: Payer::default(),
        pay_time: "2026-03-02T08:01:33.439Z".parse().expect("a time of our days"),
        payee: None,
        credited: None,
        provider_status: Some("SUCCESS".to_owned()),
    }
}

fn hints() -> OqpayHints {
    OqpayHints { payees: Payees::default() }
}

#[test]
fn a_payee_is_compared_where_it_is_said_who_may_be_paid() {
    let payees = |listed: &[&str]| Payees(listed.iter().map(|text| Vpa::parse(text).expect("an address")).collect());
    let told = Some("demo.GR0001@kotak".to_owned());
    assert_eq!(payees(&[]).to_compare(told.clone()), None, "the page's own examples differ");
    assert_eq!(payees(&["Demo.gr0001@KOTAK"]).to_compare(told.clone()), None);
    assert_eq!(payees(&["other@kotak"]).to_compare(told), Vpa::parse("demo.GR0001@kotak").ok());
    assert_eq!(payees(&["other@kotak"]).to_compare(None), None);
}

#[test]
fn the_documented_callback_is_read_field_by_field() {
    let expected = Hint {
        event: "SUCCESS".to_owned(),
        refs: vec!["REF-OQP101V1234567".to_owned()],
        payment_ref: Some("TPAY202601011030001234567".to_owned()),
        claim: Some(Box::new(documented())),
    };
    assert_eq!(hint(CALLBACK).ok(), Some(expected.clone()));
    let form = "utr=605500000001&amount=400&ref_id=REF-OQP101V1234567&status=SUCCESS&txn_id=TPAY202601011030001234567\
                &message=SUCCESS&payeeVpa=demo.GR0001%40kotak&timestamp=2026-03-02T08%3A01%3A33.439Z\r\n";
    assert_eq!(hint(form).ok(), Some(expected));
}

#[test]
fn from_a_listed_address_it_is_a_fact_with_the_url_as_evidence() {
    let webhooks = OqpayWebhooks { prove: Arc::new(|address| address == LISTED), payees: Payees::default() };
    let headers = HeaderMap::new();
    let body = Bytes::from_static(CALLBACK.as_bytes());
    let verified = webhooks.verify(&Sender { address: LISTED.into(), headers: &headers }, body.clone()).expect("it is listed");
    assert_eq!(verified.evidence(), Evidence::UrlSecret);
    let origin = PaymentOrigin::Named { provider_ref: Some("REF-OQP101V1234567".to_owned()), our_ref: None };
    let expected = Callback::Facts {
        event: "SUCCESS".to_owned(),
        occur_time: documented().pay_time,
        observations: vec![Observation::Payment { snapshot: documented(), origin }],
    };
    assert_eq!(webhooks.read(&verified).ok(), Some(expected));
    assert!(webhooks.verify(&Sender { address: Ipv4Addr::LOCALHOST.into(), headers: &headers }, body).is_err());
}

#[test]
fn only_success_says_that_money_came() {
    for word in ["FAILED", "EXPIRED", "PENDING", "success", "Success", "SUCCESS "] {
        let claim = hint_with(json!({"status": word})).expect("it is read").claim.expect("it says something");
        assert_eq!(claim.status, PaymentStatus::Undecided, "{word}");
        let kept = if word.ends_with(' ') { "(not a plain word)" } else { word };
        assert_eq!(claim.provider_status.as_deref(), Some(kept));
    }
}

#[test]
fn what_may_be_missing_may_be_missing() {
    let claim = |changes: Value| hint_with(changes).ok().and_then(|hint| hint.claim).map(|claim| *claim);
    for changes in [json!({"utr": null, "payeeVpa": null}), json!({"utr": "x".repeat(129), "payeeVpa": "not a vpa"}), json!({"utr": ""})] {
        let PaymentSnapshot { rrn, status, .. } = claim(changes.clone()).expect("it is read");
        assert_eq!((rrn, status), (None, PaymentStatus::Captured), "{changes}");
    }
    assert_eq!(claim(json!({"utr": 605_500_000_001_u64, "amount": "400.00", "message": [], "new": 1.5})), Some(documented()));
    assert_eq!(claim(json!({"amount": 400.29})).map(|claim| claim.amount.paise()), Some(40_029));
}

#[test]
fn what_can_not_be_read_exactly_is_not_understood() {
    let wrong = [
        json!({"amount": null}),
        json!({"amount": 0}),
        json!({"amount": -400}),
        json!({"amount": 400.005}),
        json!({"amount": "four hundred"}),
        json!({"ref_id": null}),
        json!({"ref_id": "REF OQP"}),
        json!({"txn_id": null}),
        json!({"txn_id": "asha@bank"}),
        json!({"status": null}),
        json!({"status": true}),
        json!({"timestamp": null}),
        json!({"timestamp": "2026-03-02 08:01:33"}),
    ];
    for changes in wrong {
        let error = hint_with(changes.clone()).expect_err("it is not understood").to_string();
        assert!(!error.contains("asha"), "{changes}: {error}");
    }
    let twice = "amount=400&amount=500&ref_id=R&status=SUCCESS&txn_id=T&timestamp=2026-03-02T08:01:33Z";
    for body in ["", "{", "[]", "null", "{}", "amount=400", twice, r#"{"amount":400,"amount":500}"#] {
        assert!(hint(body).is_err(), "{body}");
    }
    assert!(hints().hint(b"amount=\xff").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

    #[test]
    fn arbitrary_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = hints().hint(&body);
    }

    #[test]
    fn whatever_is_changed_in_a_callback_no_amount_is_invented(place in any::<prop::sample::Index>(), value in json_value()) {
        let document = mutated(CALLBACK, &place, value);
        let Ok(hint) = hint(&document.to_string()) else { return Ok(()) };
        let claim = hint.claim.expect("every hint says something");
        let amount = document["amount"].to_string();
        prop_assert_eq!(crate::providers::rupees::exactly(amount.trim_matches('"')), Ok(claim.amount));
        prop_assert_eq!(claim.status == PaymentStatus::Captured, document["status"] == "SUCCESS");
    }
}
