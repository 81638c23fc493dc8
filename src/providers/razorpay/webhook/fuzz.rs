//! Callbacks and entities that nobody would send: none makes the reader panic, and none makes it say more than it was told.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::order;
use super::tests::golden;
use super::*;
use crate::domain::debit::NoticeStatus;
use crate::domain::mandate::MandateStatus;
use crate::domain::money::Money;
use crate::domain::refund::RefundStatus;
use crate::domain::settlement::{EntryKind, SettlementStatus};
use crate::providers::fuzz_cases;
use crate::providers::mutation::{json_value, mutated};

const REFUND: &str = include_str!("../../../../tests/golden/razorpay/refund.json");
const SETTLEMENT: &str = include_str!("../../../../tests/golden/razorpay/settlement.json");
const TOKEN: &str = include_str!("../../../../tests/golden/razorpay/token.json");
const ORDER: &str = include_str!("../../../../tests/golden/razorpay/order.json");
const RECON: &str = include_str!("../../../../tests/golden/razorpay/recon.json");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

    #[test]
    fn arbitrary_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = read(&body, None);
        let _ = wire::failure(&body);
        let _ = wire::read::<wire::Page>("list", &body);
        let _ = wire::read::<wire::QrCode>("QR code", &body).map(qr::to_snapshot);
        let _ = wire::read::<wire::Payment>("payment", &body).map(payment::to_snapshot);
        let _ = wire::read::<wire::Refund>("refund", &body).map(refund::to_snapshot);
        let _ = wire::read::<mandate_wire::Token>("token", &body).map(mandate::to_snapshot);
        let _ = wire::read::<mandate_wire::Order>("order", &body).map(order::to_order);
        let _ = wire::read::<wire::Settlement>("settlement", &body).map(settlement::to_snapshot);
        let _ = wire::read::<wire::ReconLine>("line", &body).map(settlement::to_line);
    }

    #[test]
    fn arbitrary_json_is_survived(value in json_value()) {
        let body = value.to_string();
        let _ = wire::failure(json!({"error": value}).to_string().as_bytes());
        let _ = wire::read::<wire::Page>("list", json!({"items": value}).to_string().as_bytes());
        let _ = wire::read::<wire::QrCode>("QR code", body.as_bytes()).map(qr::to_snapshot);
        let _ = wire::read::<wire::Payment>("payment", body.as_bytes()).map(payment::to_snapshot);
        let _ = wire::read::<wire::Refund>("refund", body.as_bytes()).map(refund::to_snapshot);
        let _ = wire::read::<mandate_wire::Token>("token", body.as_bytes()).map(mandate::to_snapshot);
        let _ = wire::read::<mandate_wire::Order>("order", body.as_bytes()).map(order::to_order);
        let _ = wire::read::<mandate_wire::Customer>("customer", body.as_bytes());
        let _ = wire::read::<mandate_wire::PaymentTaken>("payment", body.as_bytes());
        let _ = wire::read::<mandate_wire::Approval>("payment", body.as_bytes());
        let _ = wire::read::<mandate_wire::Cancelled>("cancellation", body.as_bytes());
        let _ = wire::read::<wire::Settlement>("settlement", body.as_bytes()).map(settlement::to_snapshot);
        let _ = wire::read::<wire::ReconLine>("line", body.as_bytes()).map(settlement::to_line);
        let events = ["payment.captured", "qr_code.credited", "qr_code.closed", "refund.processed", "settlement.processed"];
        for event in events.into_iter().chain(["token.confirmed", "order.notification.delivered"]) {
            let entity = json!({"entity": value});
            let mut payload = json!({"payment": entity, "qr_code": entity, "refund": entity, "settlement": entity});
            payload["token"] = entity.clone();
            payload["notification"] = entity;
            let callback = json!({"event": event, "created_at": 1, "payload": payload});
            let _ = read(callback.to_string().as_bytes(), None);
        }
    }

    #[test]
    fn whatever_is_changed_in_a_callback_no_amount_is_invented(
        event in prop::sample::select(vec![
            "payment.captured", "payment.failed", "refund.processed", "refund.failed", "qr_code.credited", "qr_code.closed",
            "settlement.processed", "payment.authorized", "token.confirmed", "token.rejected", "token.cancelled",
            "order.notification.delivered", "order.notification.failed",
        ]),
        place in any::<prop::sample::Index>(),
        value in json_value(),
    ) {
        let mut callback = golden(event);
        if event == "payment.authorized" {
            // As the payment that registers a mandate.
            let payment = &mut callback["payload"]["payment"]["entity"];
            payment["token_id"] = json!("token_1");
            payment["notes"] = json!({"upistream_ref": "ref1", "upistream_for": "mandate"});
        } else if callback["payload"]["payment"].is_object() {
            callback["payload"]["payment"]["entity"]["order_id"] = Value::Null;
        }
        let callback = mutated(&callback.to_string(), &place, value);
        let Ok(Callback::Facts { observations, .. }) = read(callback.to_string().as_bytes(), None) else { return Ok(()) };
        for observation in observations {
            match observation {
                Observation::Payment { snapshot, .. } => {
                    let told = &callback["payload"]["payment"]["entity"];
                    prop_assert_eq!(Some(snapshot.amount.paise()), told["amount"].as_i64());
                    prop_assert_eq!(snapshot.fee.map(Money::paise), told["fee"].as_i64());
                }
                Observation::Qr(code) => {
                    let told = &callback["payload"]["qr_code"]["entity"];
                    if let Some(amount) = code.amount {
                        prop_assert_eq!(Some(amount.paise()), told["payment_amount"].as_i64());
                    }
                }
                Observation::Refund(refund) => {
                    let told = &callback["payload"]["refund"]["entity"];
                    prop_assert_eq!(Some(refund.amount.paise()), told["amount"].as_i64());
                    prop_assert_eq!(refund.status == RefundStatus::Processed, told["status"] == "processed");
                }
                Observation::Settlement(settlement) => {
                    let told = &callback["payload"]["settlement"]["entity"];
                    prop_assert_eq!(Some(settlement.amount.paise()), told["amount"].as_i64());
                    prop_assert_eq!(settlement.status == SettlementStatus::Processed, told["status"] == "processed");
                }
                Observation::Mandate(mandate) if event == "payment.authorized" => {
                    let told = &callback["payload"]["payment"]["entity"];
                    prop_assert_eq!(mandate.status, MandateStatus::Undecided);
                    prop_assert_eq!(mandate.provider_ref.as_deref(), told["token_id"].as_str());
                    prop_assert_eq!(mandate.registration_ref.as_deref(), told["order_id"].as_str());
                    prop_assert!(told["notes"]["upistream_for"] == "mandate" && told["status"] != "failed");
                }
                Observation::Mandate(mandate) => {
                    let told = &callback["payload"]["token"]["entity"];
                    prop_assert!(is_told(&mandate.status, told));
                    prop_assert_eq!(mandate.max_amount.map(Money::paise), told["max_amount"].as_i64());
                    prop_assert_eq!(mandate.provider_ref.as_deref(), told["id"].as_str());
                }
                Observation::Notice { order_ref, status } => {
                    let told = &callback["payload"]["notification"]["entity"];
                    prop_assert_eq!(Some(order_ref.as_str()), told["order_id"].as_str());
                    prop_assert_eq!(matches!(status, NoticeStatus::Delivered { .. }), told["status"] == "delivered");
                    prop_assert_eq!(matches!(status, NoticeStatus::Failed { .. }), told["status"] == "failed");
                }
            }
        }
    }

    #[test]
    fn whatever_is_changed_in_a_token_it_stands_as_it_says(place in any::<prop::sample::Index>(), value in json_value()) {
        let document = mutated(TOKEN, &place, value);
        let Ok(read) = wire::read("token", document.to_string().as_bytes()).and_then(mandate::to_snapshot) else { return Ok(()) };
        prop_assert!(is_told(&read.status, &document));
        prop_assert_eq!(read.provider_ref.as_deref(), document["id"].as_str());
        prop_assert_eq!(read.max_amount.map(Money::paise), document["max_amount"].as_i64());
    }

    #[test]
    fn whatever_is_changed_in_an_order_no_amount_is_invented(place in any::<prop::sample::Index>(), value in json_value()) {
        let document = mutated(ORDER, &place, value);
        let Ok(read) = wire::read("order", document.to_string().as_bytes()).and_then(order::to_order) else { return Ok(()) };
        prop_assert_eq!(Some(read.amount.paise()), document["amount"].as_i64());
        prop_assert!(read.amount > Money::ZERO && document["currency"] == "INR");
        prop_assert_eq!(Some(read.id.as_str()), document["id"].as_str());
        prop_assert_eq!(read.is_paid, document["status"] == "paid");
    }

    #[test]
    fn whatever_is_changed_in_a_report_no_amount_is_invented(
        index in 0..4_usize,
        place in any::<prop::sample::Index>(),
        value in json_value(),
    ) {
        let recon: Value = serde_json::from_str(RECON).expect("the golden document is JSON");
        let document = mutated(&recon["items"][index].to_string(), &place, value);
        let Ok(read) = wire::read("line", document.to_string().as_bytes()).and_then(settlement::to_line) else { return Ok(()) };
        prop_assert_eq!(read.is_none(), document["settled"] == false);
        let Some(line) = read else { return Ok(()) };
        let told = |name: &str| document[name].as_i64().expect("only whole numbers are read");
        prop_assert_eq!(line.net.paise(), told("credit") - told("debit"));
        prop_assert_eq!((line.fee.paise(), line.tax.paise()), (told("fee"), told("tax")));
        let gross = match line.kind {
            EntryKind::Payment => told("amount"),
            EntryKind::Refund => -told("amount"),
            EntryKind::Adjustment => line.net.paise() + told("fee"),
        };
        prop_assert_eq!(line.gross.paise(), gross);
        prop_assert_eq!(line.foreign, document["method"].as_str().is_some_and(|method| !method.is_empty() && method != "upi"));
    }

    #[test]
    fn whatever_is_changed_in_a_refund_no_amount_is_invented(place in any::<prop::sample::Index>(), value in json_value()) {
        let document = mutated(REFUND, &place, value);
        let Ok(read) = wire::read("refund", document.to_string().as_bytes()).and_then(refund::to_snapshot) else { return Ok(()) };
        prop_assert_eq!(Some(read.amount.paise()), document["amount"].as_i64());
        prop_assert!(read.amount > Money::ZERO && document["currency"] == "INR");
        prop_assert_eq!(read.status == RefundStatus::Processed, document["status"] == "processed");
        prop_assert_eq!(Some(read.payment_ref.as_str()), document["payment_id"].as_str());
    }

    #[test]
    fn whatever_is_changed_in_a_settlement_no_amount_is_invented(place in any::<prop::sample::Index>(), value in json_value()) {
        let document = mutated(SETTLEMENT, &place, value);
        let Ok(read) = wire::read("settlement", document.to_string().as_bytes()).and_then(settlement::to_snapshot) else { return Ok(()) };
        let told = |name: &str| document[name].as_i64().map(Money::from_paise);
        prop_assert_eq!((Some(read.amount), Some(read.fee), Some(read.tax)), (told("amount"), told("fees"), told("tax")));
        prop_assert_eq!(read.status == SettlementStatus::Processed, document["status"] == "processed");
    }
}

/// Whether a token says in so many words that it stands so.
fn is_told(status: &MandateStatus, token: &Value) -> bool {
    let details = &token["recurring_details"];
    // Read in the order of its fields a list is one too.
    let word = if details.is_array() { details[0].as_str() } else { details["status"].as_str() };
    match status {
        MandateStatus::AwaitingApproval => word == Some("initiated"),
        MandateStatus::Active => matches!(word, Some("confirmed" | "resumed")),
        MandateStatus::Paused => word == Some("paused"),
        MandateStatus::Revoking => word == Some("cancellation_initiated"),
        MandateStatus::Revoked => word == Some("cancelled"),
        MandateStatus::Rejected { .. } => word == Some("rejected"),
        MandateStatus::Undecided => true,
        MandateStatus::Expired | MandateStatus::Completed => false,
    }
}
