//! Answers that nobody would give: none makes the adapter panic, and none makes it say more than it was told.

use std::collections::BTreeMap;

use http::StatusCode;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::order::ReadOrder;
use super::words::AmountUnit;
use super::words::tests::settings;
use super::{EnkashMandateSettings, classify, debit, is_plain, mandate, qr, settlement, wire};
use crate::domain::debit::NoticeStatus;
use crate::domain::mandate::MandateStatus;
use crate::domain::money::Money;
use crate::domain::payment::PaymentStatus;
use crate::domain::qr::Usage;
use crate::domain::settlement::SettlementStatus;
use crate::domain::upi::UpiLink;
use crate::providers::mutation::mutated_texts;
use crate::providers::reading::read;
use crate::providers::{KnownQr, Sending, fuzz_cases, rupees};

const ORDER: &str = include_str!("../../../tests/golden/enkash/order.json");
const DYNAMIC_QR: &str = include_str!("../../../tests/golden/enkash/seed_000_dynamic_qr.json");
const UPI_QR: &str = include_str!("../../../tests/golden/enkash/seed_001_cancelled_qr.json");
const TOKEN: &str = include_str!("../../../tests/golden/enkash/token.json");
const UPI_STATUS: &str = include_str!("../../../tests/golden/enkash/upi_status.json");
const PAYOUT: &str = include_str!("../../../tests/golden/enkash/settlement_payout.json");
const MANDATE: &str = include_str!("../../../tests/golden/enkash/mandate.json");
const NOTICE: &str = include_str!("../../../tests/golden/enkash/notice.json");
const DEBIT_ORDER: &str = include_str!("../../../tests/golden/enkash/debit_order.json");
const MANDATE_WORDS: &[&str] = &["ACTIVE", "LIVE", "REVOKED", "SUCCESS", "PENDING", "INR", "m1001", "MD1", "../x", "299", "2540"];
const WORDS: &[&str] =
    &["PAID", "ATTEMPTED", "SUCCESS", "REFUNDED", "FAILED", "ACTIVE", "CANCELLED", "INR", "ORD1", "EK1", "2026-01-05T10:00:00"];
/// One black pixel, and texts of codes.
const SCANNED: &[&str] = &[
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==",
    "upi://pay?pa=shop@examplebank&am=499.00",
    "upi://pay?pa=shop@examplebank&am=499",
    "upi://pay?pa=shop@examplebank&am=1.00",
    "upi://pay?pa=shop@examplebank&am=499.00&am=1.00",
    "upi://mandate?pa=shop@examplebank&am=499.00",
];
const ASKED: Money = Money::from_paise(49_900);

/// The documented order; one that is not paid; and one with an attempt more, which failed.
fn orders() -> impl Strategy<Value = String> {
    let failed = r#""transactions": [{"transactionId": "EK9", "status": "FAILED", "transactionAmount": "499.00"},"#;
    prop_oneof![
        mutated_texts(ORDER, WORDS),
        mutated_texts(&ORDER.replace(r#""PAID""#, r#""ATTEMPTED""#), WORDS),
        mutated_texts(&ORDER.replace(r#""transactions": ["#, failed), WORDS),
    ]
}

/// What an answer carries, where it is a success.
fn payload(answer: &str) -> Option<Box<RawValue>> {
    let envelope: wire::Envelope = read("answer", answer.as_bytes()).ok()?;
    envelope.payload.filter(|_| envelope.response_code == Some(0))
}

/// All sums that a paid or unpaid attempt of this order may stand for.
fn sums(order: &RawValue) -> Vec<Money> {
    let fields = |json: &RawValue| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(json.get()).unwrap_or_default();
    let sum = |field: &RawValue| rupees::exactly(field.get().trim_matches('"')).ok();
    let order = fields(order);
    let transactions: Vec<Box<RawValue>> =
        order.get("transactions").and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default();
    let told = transactions.iter().flat_map(|transaction| fields(transaction).into_iter()).filter_map(|(name, field)| {
        let names_a_sum = name == "amount" || name == "transactionAmount";
        names_a_sum.then(|| sum(&field)).flatten()
    });
    told.chain(order.get("amount").and_then(|amount| sum(amount))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

    #[test]
    fn whatever_is_changed_in_an_order_no_payment_is_invented(answer in orders(), succeeded in prop::option::of(Just("EK1"))) {
        let Some(json) = payload(&answer) else { return Ok(()) };
        let Ok(order) = ReadOrder::read(json.get().as_bytes()) else { return Ok(()) };
        prop_assert!(order.amount > Money::ZERO);
        let listed = order.payments(succeeded);
        let captured: Vec<_> = listed.readable.iter().filter(|payment| payment.status == PaymentStatus::Captured).collect();
        prop_assert!(captured.len() <= usize::from(json.get().contains("\"PAID\"")), "{:?}", captured);
        prop_assert!(captured.is_empty() || order.is_paid());
        for payment in &listed.readable {
            prop_assert!(payment.amount > Money::ZERO && sums(&json).contains(&payment.amount), "{:?}", payment.amount);
        }
        // A paid order has its payment, or says that it can't be read.
        prop_assert!(!order.is_paid() || captured.len() == 1 || !listed.unreadable.is_empty());
    }

    #[test]
    fn whatever_is_changed_in_a_dynamic_code_it_asks_for_the_orders_amount(answer in mutated_texts(DYNAMIC_QR, SCANNED), url in prop::sample::select(SCANNED)) {
        let Some(json) = payload(&answer) else { return Ok(()) };
        let Ok(dto) = read::<wire::QrCodeDto>("QR code", json.get().as_bytes()) else { return Ok(()) };
        let code = KnownQr {
            provider_ref: "ORD1".to_owned(),
            our_ref: None,
            usage: Usage::SingleUse,
            amount: Some(ASKED),
            attempt_ref: None,
        };
        for qr_url in [None, Some(url.to_owned())] {
            let dto = wire::QrCodeDto { ek_pay_id: dto.ek_pay_id.clone(), qr_code: dto.qr_code.clone(), qr_url };
            let Ok(drawn) = qr::drawn(&code, dto) else { continue };
            prop_assert_eq!(drawn.code.upi_link.is_empty(), drawn.code.picture.is_some(), "one of both");
            if !drawn.code.upi_link.is_empty() {
                let link = UpiLink::parse(&drawn.code.upi_link).expect("what is handed on can be read");
                prop_assert!(link.am().is_none_or(|am| Money::from(am) == ASKED));
            }
        }
    }

    #[test]
    fn whatever_is_changed_in_a_upi_code_no_amount_is_invented(answer in mutated_texts(&UPI_QR.replace(r#""amount": 0"#, r#""amount": 499"#), WORDS)) {
        let Some(json) = payload(&answer) else { return Ok(()) };
        let Ok(code) = qr::upi_qr(json.get().as_bytes()) else { return Ok(()) };
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json.get()).expect("it was read before");
        let told = fields.get("amount").and_then(|amount| rupees::exactly(amount.get().trim_matches('"')).ok());
        prop_assert!(code.amount.is_none_or(|amount| amount > Money::ZERO && Some(amount) == told), "{:?}", code.amount);
    }

    #[test]
    fn whatever_is_changed_in_a_settlement_no_amount_is_invented(answer in mutated_texts(PAYOUT, WORDS)) {
        let Some(json) = payload(&answer) else { return Ok(()) };
        let Ok(read) = settlement::to_snapshot(json.get().as_bytes()) else { return Ok(()) };
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json.get()).expect("it was read before");
        let told = |name: &str| fields.get(name).and_then(|sum| rupees::exactly(sum.get().trim_matches('"')).ok());
        prop_assert_eq!((Some(read.amount), Some(read.tax)), (told("totalSettlementAmount"), told("totalGst")));
        prop_assert_eq!(read.fee.checked_sub(read.tax), told("totalCharges"));
        let says_success = fields.get("payoutStatus").is_some_and(|status| status.get() == "\"SUCCESS\"");
        prop_assert_eq!(read.status == SettlementStatus::Processed, says_success);
    }

    #[test]
    fn whatever_is_changed_in_a_mandate_nothing_is_said_of_it_that_is_not_told(answer in mutated_texts(MANDATE, MANDATE_WORDS), in_rupees: bool) {
        let Some(json) = payload(&answer) else { return Ok(()) };
        let amount_unit = if in_rupees { AmountUnit::Rupees } else { AmountUnit::Paise };
        let words = EnkashMandateSettings { amount_unit, ..settings() };
        let Ok(shown) = mandate::shown(&json, &words, "m1001", Some("MD1")) else { return Ok(()) };
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json.get()).expect("it was read before");
        let is_told = |names: &[&str], word: &str| {
            let word = serde_json::to_string(word).expect("a text is JSON");
            names.iter().any(|name| fields.get(*name).is_some_and(|told| told.get() == word))
        };
        prop_assert!(is_told(&["reference_id", "referenceId"], "m1001") || is_told(&["mandate_id", "mandateId"], "MD1"));
        prop_assert!(shown.status != MandateStatus::Active || is_told(&["status"], "ACTIVE"));
        prop_assert!(shown.provider_ref.is_none_or(|id| is_plain(&id)));
        let told = fields.get("amount").and_then(|amount| rupees::exactly(amount.get().trim_matches('"')).ok());
        let hundredfold = |money: Money| Money::from_paise(money.paise() * if in_rupees { 1 } else { 100 });
        prop_assert!(shown.max_amount.is_none_or(|money| money > Money::ZERO && told == Some(hundredfold(money))), "{:?}", shown.max_amount);
    }

    #[test]
    fn whatever_is_changed_in_a_notice_or_a_debit_only_what_was_asked_for_is_taken(
        notice in mutated_texts(NOTICE, MANDATE_WORDS),
        order in mutated_texts(DEBIT_ORDER, MANDATE_WORDS),
    ) {
        let (amount, day) = (Money::from_paise(29_900), jiff::civil::date(2026, 2, 1));
        let is_that = |told: &RawValue| rupees::exactly(told.get().trim_matches('"')) == Ok(amount);
        let fields = |json: &RawValue| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(json.get()).expect("it was read before");
        if let Some(json) = payload(&notice)
            && let Ok(shown) = debit::notified(json.get().as_bytes(), &settings(), "MD1", amount, day)
        {
            let told = fields(&json);
            let is_delivered = shown.status == NoticeStatus::Delivered { at: None };
            prop_assert!(!is_delivered || told.get("status").is_some_and(|status| status.get() == "\"SUCCESS\""));
            prop_assert!(told.get("amount").is_none_or(|told| matches!(told.get(), "null" | "\"\"") || is_that(told)));
        }
        if let Some(json) = payload(&order)
            && let Ok(taken) = debit::taken(json.get().as_bytes(), amount)
        {
            prop_assert!(fields(&json).get("amount").is_some_and(|told| is_that(told)));
            prop_assert!(taken.order_ref.is_some() && taken.order_ref.iter().chain(&taken.payment_ref).all(|id| is_plain(id)));
        }
    }

    #[test]
    fn no_answer_makes_it_panic(
        answer in prop_oneof![
            mutated_texts(TOKEN, WORDS), mutated_texts(UPI_STATUS, WORDS), mutated_texts(ORDER, WORDS), mutated_texts(PAYOUT, WORDS), ".{0,64}",
        ],
        status in 100_u16..600,
    ) {
        let _ = read::<wire::Token>("token", answer.as_bytes());
        let envelope = read::<wire::Envelope>("answer", answer.as_bytes()).ok();
        let status = StatusCode::from_u16(status).expect("it has three digits");
        let _ = classify::refuses_token(status, envelope.as_ref());
        for sending in [Sending::First, Sending::Again] {
            for classify in [classify::classify, classify::classify_notice, classify::classify_unlisted] {
                let error = classify(sending, status, envelope.as_ref());
                prop_assert!(!error.to_string().contains('@'), "{}", error);
            }
        }
        if let Some(payload) = envelope.and_then(|envelope| envelope.payload) {
            let _ = (wire::items(&payload), wire::the_list(&payload));
            let _ = read::<wire::UpiStatus>("UPI status", payload.get().as_bytes());
        }
    }
}
