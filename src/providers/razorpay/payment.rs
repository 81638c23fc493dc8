//! Payments: their entity to our picture of it.

use async_trait::async_trait;

use super::wire::{self, Unreadable};
use super::{Api, id, is_a, time, unreadable};
use crate::domain::account::Operation;
use crate::domain::money::Money;
use crate::domain::payment::{Payer, PaymentSnapshot, PaymentStatus};
use crate::domain::personal::{Email, Phone, Vpa};
use crate::providers::{AskError, KnownQr, PaymentOrigin, Payments, ShownPayment, told};

/// What stands in place of an e-mail address that the provider doesn't know.
const NO_EMAIL: &str = "void@razorpay.com";
/// The most characters that are kept of a bank's reference. An RRN has twelve.
const REFERENCE_CHARS_MAX: usize = 128;

/// Payments of one account.
pub struct RazorpayPayments {
    pub(super) api: Api,
}

#[async_trait]
impl Payments for RazorpayPayments {
    async fn fetch(&self, provider_ref: &str, _code: Option<&KnownQr>) -> Result<ShownPayment, AskError> {
        let answer = self.api.ask(Operation::FetchPayment.as_str(), &["v1", "payments", provider_ref], &[]).await?;
        let payment = to_snapshot(wire::read("payment", &answer.body)?)?;
        if payment.provider_ref != provider_ref {
            return Err(unreadable("the answer is about another payment than was asked for").into());
        }
        // Which code it came through is asked for where it matters.
        Ok(ShownPayment { snapshot: payment, origin: PaymentOrigin::Untold })
    }
}

/// Their entity as our picture of it.
pub fn to_snapshot(payment: wire::Payment) -> Result<PaymentSnapshot, Unreadable> {
    let wire::Payment {
        id: payment_id,
        entity,
        amount,
        currency,
        status,
        captured,
        amount_refunded,
        refund_status,
        fee,
        tax,
        vpa,
        email,
        contact,
        error_code,
        error_description,
        error_reason,
        acquirer_data: wire::AcquirerData { rrn, upi_transaction_id },
        upi,
        created_at,
    } = payment;
    is_a("payment", entity.as_deref())?;
    if currency.as_deref() != Some("INR") {
        return Err(unreadable("the payment is in another currency than INR, or in none"));
    }
    let amount = amount.filter(|paise| *paise > 0).ok_or_else(|| unreadable("the payment has no amount"))?;

    let refunded = match (amount_refunded, refund_status.as_deref(), status.as_deref()) {
        (Some(paise), _, _) if (0..=amount).contains(&paise) => paise,
        (Some(_), _, _) => return Err(unreadable("the payment has more refunded than was paid, or less than nothing")),
        // Not told, but it follows.
        (None, Some("full"), _) | (None, _, Some("refunded")) => amount,
        (None, None, _) => 0,
        (None, Some(_), _) => return Err(unreadable("the payment does not say how much was refunded")),
    };
    let status = match (status.as_deref(), captured) {
        (Some("created"), _) => PaymentStatus::Pending,
        (Some("authorized"), _) => PaymentStatus::Authorized,
        (Some("captured"), _) | (Some("refunded"), Some(true)) => PaymentStatus::Captured,
        // Given back before it was collected.
        (Some("refunded"), Some(false)) => PaymentStatus::Reversed,
        (Some("refunded"), None) => return Err(unreadable("the payment is refunded and does not say whether it was captured")),
        (Some("failed"), _) => PaymentStatus::Failed {
            code: told::token(error_reason.or(error_code).as_deref().unwrap_or_default()),
            message: told::message(error_description.as_deref()),
        },
        (Some(unheard), _) => return Err(Unreadable(format!("the payment has the unheard-of status `{}`", told::token(unheard)))),
        (None, _) => return Err(unreadable("the payment has no status")),
    };
    let bank_reference = |text: Option<String>| text.filter(|text| text.chars().count() <= REFERENCE_CHARS_MAX);
    Ok(PaymentSnapshot {
        provider_ref: id("payment", payment_id)?,
        status,
        amount: Money::from_paise(amount),
        fee: fee.map(Money::from_paise),
        tax: tax.map(Money::from_paise),
        refunded: Some(Money::from_paise(refunded)),
        rrn: bank_reference(rrn),
        upi_transaction_id: bank_reference(upi_transaction_id),
        // A payer that can't be read is no reason to lose sight of his payment.
        payer: Payer {
            vpa: [upi.vpa, vpa].iter().flatten().find_map(|text| Vpa::parse(text).ok()),
            phone: contact.and_then(|text| Phone::parse(&text).ok()),
            email: email.filter(|text| text != NO_EMAIL).and_then(|text| Email::parse(&text).ok()),
        },
        pay_time: time(created_at.ok_or_else(|| unreadable("the payment has no time"))?)?,
        payee: None,
        credited: None,
        provider_status: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PAYMENT: &str = include_str!("../../../tests/golden/razorpay/payment.json");

    /// What is read of the documented payment, with `changes` made to it. A null takes the field away.
    fn read_with(changes: Value) -> Result<PaymentSnapshot, Unreadable> {
        let mut document: Value = serde_json::from_str(PAYMENT).expect("the golden document is JSON");
        for (key, value) in changes.as_object().expect("changes are an object") {
            let fields = document.as_object_mut().expect("a payment is an object");
            if value.is_null() {
                fields.remove(key)
            } else {
                fields.insert(key.clone(), value.clone())
            };
        }
        let with_removals = read(&document)?;
        // To be told null is to be told nothing.
        for (key, value) in changes.as_object().expect("changes are an object") {
            if value.is_null() {
                document[key] = Value::Null;
            }
        }
        assert_eq!(read(&document).as_ref(), Ok(&with_removals), "null and absence differ: {changes}");
        Ok(with_removals)
    }

    fn read(document: &Value) -> Result<PaymentSnapshot, Unreadable> {
        to_snapshot(wire::read("payment", document.to_string().as_bytes())?)
    }

    fn documented() -> PaymentSnapshot {
        PaymentSnapshot {
            provider_ref: "pay_Pz4kQ1xV7mT2Ld".to_owned(),
            status: PaymentStatus::Captured,
            amount: Money::from_paise(45_000),
            fee: Some(Money::from_paise(1_062)),
            tax: Some(Money::from_paise(162)),
            refunded: Some(Money::ZERO),
            rrn: Some("600112345678".to_owned()),
            upi_transaction_id: Some("5C1E0B6F2A9D4C3B8E7F6A5D4C3B2A10".to_owned()),
            payer: Payer {
                vpa: Vpa::parse("asha.rao@examplebank").ok(),
                phone: Phone::parse("+919000000001").ok(),
                email: Email::parse("asha.rao@example.com").ok(),
            },
            pay_time: time(1_767_240_061).expect("a time of our days"),
            payee: None,
            credited: None,
            provider_status: None,
        }
    }

    #[test]
    fn the_documented_payment_is_read_field_by_field() {
        assert_eq!(read_with(json!({})), Ok(documented()));
    }

    #[test]
    fn what_may_be_missing_may_be_missing() {
        let payer = |change: fn(&mut Payer)| {
            let mut expected = documented();
            change(&mut expected.payer);
            Ok(expected)
        };
        assert_eq!(read_with(json!({"email": "void@razorpay.com"})), payer(|payer| payer.email = None));
        assert_eq!(read_with(json!({"email": null})), payer(|payer| payer.email = None));
        assert_eq!(read_with(json!({"contact": 9_000_000_001_i64})), payer(|payer| payer.phone = None));
        assert_eq!(read_with(json!({"upi": null})), payer(|_| ()));
        assert_eq!(read_with(json!({"upi": "asha@bank"})), payer(|_| ()));
        assert_eq!(read_with(json!({"vpa": null})), payer(|_| ()));
        assert_eq!(read_with(json!({"vpa": null, "upi": null})), payer(|payer| payer.vpa = None));
        assert_eq!(read_with(json!({"vpa": "other@bank"})), payer(|_| ()), "the UPI object knows best");

        assert_eq!(read_with(json!({"fee": null, "tax": null})), Ok(PaymentSnapshot { fee: None, tax: None, ..documented() }));
        assert_eq!(
            read_with(json!({"acquirer_data": {"rrn": null}})),
            Ok(PaymentSnapshot { rrn: None, upi_transaction_id: None, ..documented() })
        );
        assert_eq!(read_with(json!({"acquirer_data": []})), Ok(PaymentSnapshot { rrn: None, upi_transaction_id: None, ..documented() }));
        assert_eq!(read_with(json!({"acquirer_data": null})), Ok(PaymentSnapshot { rrn: None, upi_transaction_id: None, ..documented() }));
        assert_eq!(read_with(json!({"created_at": "1767240061"})), Ok(documented()));
        for unused in ["entity", "order_id", "notes", "method", "bank", "international", "description", "error_code", "error_reason"] {
            assert_eq!(read_with(json!({unused: null})), Ok(documented()), "{unused}");
        }
        assert_eq!(read_with(json!({"something_new": {"deep": [1.5]}, "notes": "text"})), Ok(documented()));
    }

    #[test]
    fn each_status_has_one_meaning() {
        let check = |changes: Value, status: PaymentStatus, refunded: i64| {
            let read = read_with(changes.clone()).map(|payment| (payment.status, payment.refunded.map_or(0, Money::paise)));
            assert_eq!(read, Ok((status, refunded)), "{changes}");
        };
        let failed = |code: &str, message: &str| PaymentStatus::Failed { code: code.to_owned(), message: message.to_owned() };
        check(json!({"status": "created", "captured": false}), PaymentStatus::Pending, 0);
        check(json!({"status": "authorized", "captured": false}), PaymentStatus::Authorized, 0);
        check(json!({"status": "captured"}), PaymentStatus::Captured, 0);
        check(json!({"amount_refunded": 12_000, "refund_status": "partial"}), PaymentStatus::Captured, 12_000);
        check(json!({"status": "refunded", "amount_refunded": 45_000, "refund_status": "full"}), PaymentStatus::Captured, 45_000);
        check(json!({"status": "refunded", "amount_refunded": null, "refund_status": "full"}), PaymentStatus::Captured, 45_000);
        check(json!({"status": "refunded", "captured": false, "amount_refunded": 45_000}), PaymentStatus::Reversed, 45_000);
        check(json!({"status": "failed", "captured": false}), failed("", ""), 0);
        let declined =
            json!({"status": "failed", "error_code": "GATEWAY_ERROR", "error_reason": "payment_declined", "error_description": "No."});
        check(declined, failed("payment_declined", "No."), 0);
        check(json!({"status": "failed", "error_code": "GATEWAY_ERROR", "error_reason": ""}), failed("GATEWAY_ERROR", ""), 0);
        check(json!({"amount_refunded": null}), PaymentStatus::Captured, 0);
    }

    #[test]
    fn what_is_near_money_is_read_exactly_or_not_at_all() {
        let unreadable = [
            json!({"amount": 450.0}),
            json!({"amount": 45_000.0}),
            json!({"amount": "45000"}),
            json!({"amount": null}),
            json!({"amount": 0}),
            json!({"amount": -45_000}),
            json!({"amount": 9_223_372_036_854_775_808_u64}),
            json!({"amount": [45_000]}),
            json!({"fee": 10.62}),
            json!({"tax": "162"}),
            json!({"amount_refunded": "0"}),
            json!({"amount_refunded": 45_001}),
            json!({"amount_refunded": -1}),
            json!({"amount_refunded": null, "refund_status": "partial"}),
            json!({"currency": "USD"}),
            json!({"currency": null}),
            json!({"currency": "inr"}),
            json!({"status": "partially_captured"}),
            json!({"status": null}),
            json!({"status": 3}),
            json!({"status": "refunded", "captured": null}),
            json!({"captured": "true"}),
            json!({"created_at": null}),
            json!({"created_at": 1.5}),
            json!({"created_at": "yesterday"}),
            json!({"created_at": i64::MAX}),
            json!({"id": null}),
            json!({"id": "pay_/../x"}),
            json!({"id": "x".repeat(65)}),
            json!({"entity": "refund"}),
        ];
        for changes in unreadable {
            assert!(read_with(changes.clone()).is_err(), "{changes}");
        }
        let error = read_with(json!({"amount": "asha@examplebank"})).expect_err("that is no amount").to_string();
        assert!(!error.contains("asha"), "{error}");
    }
}
