//! QR codes: an order to their request, their answer to our picture of the code.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::wire;
use super::{Api, classify};
use crate::domain::account::Operation;
use crate::domain::money::{Amount, Money};
use crate::domain::personal::Sight;
use crate::domain::qr::{Customer, QrCode, QrOrder, QrSnapshot, QrStatus, Usage};
use crate::domain::upi::{LinkKind, UpiLink};
use crate::providers::http::NoAnswer;
use crate::providers::indian_mobile::ten_digits;
use crate::providers::reading::{Unreadable, id, read, unreadable};
use crate::providers::told::token;
use crate::providers::{CallError, Created, QrCreation, Sending, Violation};

/// 300 rupees: less is refused (seed 002).
pub const AMOUNT_MIN_PAISE: i64 = 300 * 100;
const PAISE: i64 = 100;

/// QR codes of one account.
pub struct OqpayQrCodes {
    pub(super) api: Api,
}

#[async_trait]
impl QrCreation for OqpayQrCodes {
    fn violations(&self, order: &QrOrder, _now: Timestamp) -> Vec<Violation> {
        violations(order)
    }

    /// There is no place for `our_ref` in the request.
    async fn create(&self, order: &QrOrder, _our_ref: &str, sending: Sending, timeout: Duration) -> Result<Created, CallError> {
        match self.asked(order, timeout).await {
            Ok(answer) if answer.status.is_success() => {
                Ok(Created::Ready(Box::new(to_snapshot(read("answer", &answer.body)?, order.amount)?)))
            }
            Ok(answer) => Err(classify::classify(sending, answer.status, read("answer", &answer.body).ok().as_ref())),
            Err(NoAnswer::NotSent(cause)) => Err(CallError::NotDelivered(cause)),
            Err(NoAnswer::Lost(cause)) => Err(CallError::InDoubt(cause)),
        }
    }
}

impl OqpayQrCodes {
    async fn asked(&self, order: &QrOrder, timeout: Duration) -> Result<crate::providers::http::Answer, NoAnswer> {
        let rupees = order.amount.and_then(whole_rupees).ok_or_else(|| super::not_sent("the order has no amount in whole rupees"))?;
        let person = Person::of(order.customer.as_ref());
        let registration_id = self.api.registration_id()?;
        let body = wire::CreateQr {
            customer_name: person.name.as_deref(),
            customer_mobile: person.mobile.as_deref(),
            customer_email: person.email.as_deref(),
            amount: rupees,
            registration_id: registration_id.expose_secret(),
        };
        self.api.act(Operation::CreateQr, &["api", "V5", "Payin", "DynamicQRCode"], &body, timeout).await
    }
}

/// Who is to pay, as far as the caller says and the provider has a place for it.
#[derive(Default)]
struct Person {
    name: Option<String>,
    mobile: Option<String>,
    email: Option<String>,
}

impl Person {
    fn of(customer: Option<&Customer>) -> Self {
        let Some(Customer { provider_ref: _, name, phone, email }) = customer else { return Self::default() };
        Self {
            name: name.as_ref().map(|name| name.show(Sight::Clear)),
            // The sample has ten digits. Whether another form is taken is not documented: it is sent as it was written.
            mobile: phone.as_ref().map(|phone| ten_digits(phone).unwrap_or_else(|| phone.show(Sight::Clear))),
            email: email.as_ref().map(|email| email.show(Sight::Clear)),
        }
    }
}

/// `name`, `description` and `notes` are not sent: the provider has no place for them.
fn violations(order: &QrOrder) -> Vec<Violation> {
    let QrOrder { usage, amount, name: _, description: _, expire_time, notes: _, customer: _ } = order;
    let mut violations = Vec::new();
    let mut add = |field: &str, description: &str| {
        violations.push(Violation { field: field.to_owned(), description: description.to_owned() });
    };
    if *usage == Usage::MultipleUse {
        add("usage", super::NO_MULTIPLE_USE);
    }
    match amount {
        None => add("amount", "is needed: OQPay's codes have a fixed amount"),
        Some(amount) if amount.paise() < AMOUNT_MIN_PAISE => add("amount", "must be at least 300 rupees: OQPay takes no less"),
        Some(amount) if whole_rupees(*amount).is_none() => add("amount", "must be whole rupees: OQPay has no place for paise"),
        Some(_) => (),
    }
    if expire_time.is_some() {
        add("expire_time", "must be absent: OQPay decides how long its codes live");
    }
    violations
}

fn whole_rupees(amount: Money) -> Option<i64> {
    (amount.paise() % PAISE == 0).then_some(amount.paise() / PAISE)
}

/// Their answer as our picture of the code, if it is the code that was asked for.
pub fn to_snapshot(answer: wire::Answer, asked: Option<Money>) -> Result<QrSnapshot, Unreadable> {
    if !answer.is_success() || answer.status.is_some() {
        return Err(unreadable("the answer is neither a success nor the documented error"));
    }
    let data = answer.data.ok_or_else(|| unreadable("the answer has no data"))?;
    let wire::Code { txn_id, ref_id, amount, qr_string, status, expires_at } = read("QR code", data.get().as_bytes())?;
    let amount = amount.filter(|amount| Some(*amount) == asked);
    let amount = amount.ok_or_else(|| unreadable("the QR code has another amount than was asked for, or none"))?;
    // `PENDING` is the only status that is documented for a new code.
    match status.as_deref() {
        None | Some("PENDING") => (),
        Some(unheard) => return Err(Unreadable(format!("the QR code has the unheard-of status `{}`", token(unheard)))),
    }
    let expire_time = expires_at.map(|text| text.parse()).transpose();
    let expire_time = expire_time.map_err(|_| unreadable("the QR code ends at a time that can't be read"))?;
    let upi_link = payable(&qr_string.ok_or_else(|| unreadable("the QR code has no text"))?, amount)?;
    Ok(QrSnapshot {
        provider_ref: id("QR code", ref_id)?,
        our_ref: None,
        amount: Some(amount),
        code: QrCode { upi_link, expire_time, attempt_ref: Some(id("attempt to pay", txn_id)?), ..QrCode::default() },
        status: QrStatus::Active,
    })
}

/// The code's text as a valid URI (theirs has raw spaces), if it asks for `amount`.
fn payable(text: &str, amount: Money) -> Result<String, Unreadable> {
    // The reader's reason quotes no value.
    let link = UpiLink::parse(text).map_err(|error| Unreadable(format!("the QR code's text {error}")))?;
    if link.kind() != LinkKind::Pay || link.am().map(Amount::money) != Some(amount) {
        return Err(unreadable("the QR code's text asks for another amount, or for something else than a payment"));
    }
    Ok(link.uri())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::personal::{Email, PersonName, Phone};

    const ANSWER: &str = include_str!("../../../tests/golden/oqpay/create_qr.answer.json");
    const FIVE_HUNDRED: Money = Money::from_paise(50_000);

    /// What is read of the documented answer, with `changes` made to its data. A null takes the field away.
    fn read_with(changes: Value) -> Result<QrSnapshot, Unreadable> {
        let mut document: Value = serde_json::from_str(ANSWER).expect("the golden document is JSON");
        for (key, value) in changes.as_object().expect("changes are an object") {
            let fields = document["data"].as_object_mut().expect("the data are an object");
            if value.is_null() {
                fields.remove(key)
            } else {
                fields.insert(key.clone(), value.clone())
            };
        }
        read_document(&document)
    }

    fn read_document(document: &Value) -> Result<QrSnapshot, Unreadable> {
        to_snapshot(read("answer", document.to_string().as_bytes())?, Some(FIVE_HUNDRED))
    }

    fn documented() -> QrSnapshot {
        let upi_link = "upi://pay?pa=shoppingair.payu@axisbank&pn=ABPYM%20INFOMATIC%20SOLUTION%20OPC%20PRIVATE%20LIMITED&tr=27417015484\
                        &tid=PPPL27417015484230226125309699c005d&am=500.00&cu=INR&tn=UPIIntent";
        QrSnapshot {
            provider_ref: "REF-OQP1001V3463548".to_owned(),
            our_ref: None,
            amount: Some(FIVE_HUNDRED),
            code: QrCode {
                upi_link: upi_link.to_owned(),
                expire_time: "2026-02-23T07:28:09.435Z".parse().ok(),
                attempt_ref: Some("TPAY202602230723071213842".to_owned()),
                ..QrCode::default()
            },
            status: QrStatus::Active,
        }
    }

    #[test]
    fn the_documented_code_is_read_field_by_field() {
        assert_eq!(read_with(json!({})), Ok(documented()));
    }

    #[test]
    fn what_comes_in_several_forms_is_read_in_all_of_them() {
        assert_eq!(read_with(json!({"amount": "500", "expiresInSeconds": "300"})), Ok(documented()));
        assert_eq!(read_with(json!({"amount": 500.0, "expiresInSeconds": null})), Ok(documented()));
        assert_eq!(read_with(json!({"status": null, "upiLink": null, "transactionId": 7, "new": {"deep": [1]}})), Ok(documented()));
        let without_end = QrCode { expire_time: None, ..documented().code };
        assert_eq!(read_with(json!({"expiresAt": null})), Ok(QrSnapshot { code: without_end.clone(), ..documented() }));
        assert_eq!(read_with(json!({"expiresAt": ""})), Ok(QrSnapshot { code: without_end, ..documented() }));
        let mut document: Value = serde_json::from_str(ANSWER).expect("the golden document is JSON");
        document["success"] = json!("true");
        document["message"] = json!(null);
        assert_eq!(read_document(&document), Ok(documented()));
    }

    #[test]
    fn what_is_not_the_code_that_was_asked_for_is_no_code() {
        let unreadable = [
            json!({"amount": 501}),
            json!({"amount": 500.01}),
            json!({"amount": 50_000}),
            json!({"amount": null}),
            json!({"amount": "five hundred"}),
            json!({"amount": [500]}),
            json!({"qrString": null}),
            json!({"qrString": "https://example.com/qr.png"}),
            json!({"qrString": "upi://pay?pa=demo@axisbank&cu=INR"}),
            json!({"qrString": "upi://pay?pa=demo@axisbank&am=5000.00"}),
            json!({"qrString": "upi://pay?pa=demo@axisbank&am=500.00&am=5000.00"}),
            json!({"qrString": "upi://pay?am=500.00"}),
            json!({"qrString": "upi://mandate?pa=demo@axisbank&am=500.00"}),
            json!({"status": "FAILED"}),
            json!({"status": "SUCCESS"}),
            json!({"refId": null}),
            json!({"refId": "REF/../x"}),
            json!({"refId": 7}),
            json!({"txnId": null}),
            json!({"txnId": "x".repeat(65)}),
            json!({"expiresAt": "soon"}),
            json!({"expiresAt": 300}),
            json!({"expiresAt": "2026-02-23 07:28:09"}),
        ];
        for changes in unreadable {
            assert!(read_with(changes.clone()).is_err(), "{changes}");
        }
        let error = read_with(json!({"qrString": "upi://pay?pa=asha"})).expect_err("that is no link").to_string();
        assert!(!error.contains("asha"), "{error}");
        for (key, value) in [
            ("success", json!(false)),
            ("success", json!("yes")),
            ("success", json!(null)),
            ("success", json!(1)),
            ("status", json!("ERROR")),
            ("data", json!(null)),
            ("data", json!([])),
        ] {
            let mut document: Value = serde_json::from_str(ANSWER).expect("the golden document is JSON");
            document[key] = value.clone();
            assert!(read_document(&document).is_err(), "{key} {value}");
        }
    }

    fn order() -> QrOrder {
        QrOrder {
            usage: Usage::SingleUse,
            amount: Some(FIVE_HUNDRED),
            name: "Counter 4".to_owned(),
            description: "Tea".to_owned(),
            expire_time: None,
            notes: [("bill".to_owned(), "1".to_owned())].into(),
            customer: None,
        }
    }

    #[test]
    fn what_the_provider_would_refuse_is_found_before() {
        let check = |order: QrOrder, expected: &[&str]| {
            let found: Vec<_> = violations(&order).into_iter().map(|violation| violation.field).collect();
            assert_eq!(found, expected, "{order:?}");
        };
        let of = |paise| QrOrder { amount: Some(Money::from_paise(paise)), ..order() };
        check(order(), &[]);
        check(of(30_000), &[]);
        check(of(29_900), &["amount"]);
        check(of(50_050), &["amount"]);
        check(QrOrder { amount: None, ..order() }, &["amount"]);
        check(QrOrder { expire_time: Some(Timestamp::UNIX_EPOCH), ..order() }, &["expire_time"]);
        check(QrOrder { usage: Usage::MultipleUse, amount: None, ..order() }, &["usage", "amount"]);
    }

    #[test]
    fn only_what_is_known_of_the_customer_is_sent() {
        let customer = Customer {
            provider_ref: None,
            name: PersonName::parse("Asha Rao").ok(),
            phone: Phone::parse("+91 90000 00001").ok(),
            email: Email::parse("asha@example.com").ok(),
        };
        let Person { name, mobile, email } = Person::of(Some(&customer));
        assert_eq!(
            (name.as_deref(), mobile.as_deref(), email.as_deref()),
            (Some("Asha Rao"), Some("9000000001"), Some("asha@example.com"))
        );
        let abroad = Customer { phone: Phone::parse("+44 20 7946 0000").ok(), ..Customer::default() };
        assert_eq!(Person::of(Some(&abroad)).mobile.as_deref(), Some("+44 20 7946 0000"));
        let Person { name, mobile, email } = Person::of(None);
        assert_eq!((name, mobile, email), (None, None, None));
    }
}
