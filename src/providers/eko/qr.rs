//! QR codes: an order to their request, their answer to our picture of the code.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use super::{Api, RAZORPAY_RAIL, left, wire};
use crate::domain::personal::Sight;
use crate::domain::qr::{Customer, QrCode, QrOrder, QrSnapshot, QrStatus, Usage};
use crate::domain::upi::{LinkKind, UpiLink};
use crate::providers::http::Url;
use crate::providers::indian_mobile::ten_digits;
use crate::providers::reading::{Unreadable, id, unreadable};
use crate::providers::told::token;
use crate::providers::{CallError, Cause, Created, QrCreation, Sending, Violation};

/// The most characters of the address of a picture.
const IMAGE_URL_BYTES_MAX: usize = 2048;

/// QR codes of one account.
pub struct EkoQrCodes {
    pub(super) api: Api,
    pub(super) service_code: u32,
    /// Done once in a process; a failure leaves it to be done.
    pub(super) activation: OnceCell<()>,
}

#[async_trait]
impl QrCreation for EkoQrCodes {
    fn violations(&self, order: &QrOrder, _now: Timestamp) -> Vec<Violation> {
        violations(order)
    }

    /// There is no place for `our_ref` in the request: the customer's number is the reference.
    async fn create(&self, order: &QrOrder, _our_ref: &str, sending: Sending, timeout: Duration) -> Result<Created, CallError> {
        let not_sent = |text: &str| CallError::NotDelivered(Cause(text.to_owned()));
        let Person { mobile, name, email } = Person::of(order).ok_or_else(|| not_sent("the order names nobody to make a code for"))?;
        let started = Instant::now();
        self.activated(timeout).await.map_err(CallError::NotDelivered)?;
        let timeout = left(timeout, started).ok_or_else(|| not_sent("no time was left after the service was activated"))?;
        let body = wire::CreateQr {
            initiator_id: &self.api.initiator_id,
            sender_id: &mobile,
            name: &name,
            email: email.as_deref(),
            service_code: Some(self.service_code).filter(|code| *code != RAZORPAY_RAIL),
        };
        let path = ["v3", "user", "collection", "upi-razorpay", "generate-static-qr"];
        let code = self.api.act(sending, &path, &body, timeout).await?;
        let made = to_snapshot(code, &mobile)?;
        match made.status {
            QrStatus::Active => Ok(Created::Ready(Box::new(made))),
            // The number has its one code, and that can't be paid. It is no record of ours: once the provider has made it active
            // it is answered to whoever asks then.
            QrStatus::Closed { .. } => {
                let message = "the number has a code, and Eko shows it as inactive".to_owned();
                Err(CallError::Refused { code: "QR_INACTIVE".to_owned(), message })
            }
        }
    }
}

impl EkoQrCodes {
    /// Sees to it that the service is active, where the configuration wants that. Who comes while another one does it waits.
    async fn activated(&self, timeout: Duration) -> Result<(), Cause> {
        let deadline = Instant::now() + timeout;
        let activate = self.activation.get_or_try_init(|| async {
            // Waiting for another one's turn took some of it.
            self.api.activate(self.service_code, deadline.saturating_duration_since(Instant::now())).await
        });
        let in_time = timeout_at(deadline, activate).await;
        in_time.map_err(|_| Cause(format!("the service was not active within {} ms", timeout.as_millis())))?.map(|_| ())
    }
}

/// Whom a code is made for.
struct Person {
    /// Ten digits: the code's identity at the provider.
    mobile: String,
    name: String,
    email: Option<String>,
}

impl Person {
    fn of(order: &QrOrder) -> Option<Self> {
        let Customer { provider_ref: _, name: _, phone, email } = order.customer.as_ref()?;
        Some(Self { mobile: ten_digits(phone.as_ref()?)?, name: name(order)?, email: email.as_ref().map(|email| email.show(Sight::Clear)) })
    }
}

/// The name that the request must have: the customer's, or that of the code.
fn name(order: &QrOrder) -> Option<String> {
    let customers = order.customer.as_ref().and_then(|customer| customer.name.as_ref()).map(|name| name.show(Sight::Clear));
    customers.or_else(|| Some(order.name.clone())).filter(|name| !name.trim().is_empty())
}

/// `description` and `notes` are not sent: the provider has no place for them.
fn violations(order: &QrOrder) -> Vec<Violation> {
    let QrOrder { usage, amount, name: _, description: _, expire_time, notes: _, customer } = order;
    let mut violations = Vec::new();
    let mut add = |field: &str, description: &str| {
        violations.push(Violation { field: field.to_owned(), description: description.to_owned() });
    };
    if *usage == Usage::SingleUse {
        add("usage", super::NO_SINGLE_USE);
    }
    if amount.is_some() {
        add("amount", "must be absent: Eko's codes leave the amount to the payer");
    }
    if expire_time.is_some() {
        add("expire_time", "must be absent: Eko's codes don't expire");
    }
    let phone = customer.as_ref().and_then(|customer| customer.phone.as_ref());
    match phone.map(ten_digits) {
        None => add("customer.phone", "is needed: Eko has one code for each mobile number"),
        Some(None) => add("customer.phone", "must be an Indian mobile number: ten digits that begin with 6, 7, 8 or 9"),
        Some(Some(_)) => (),
    }
    if name(order).is_none() {
        add("customer.name", "is needed, or `name`: Eko makes no code without a name");
    }
    violations
}

/// Their code as our picture of it, if it is that of `mobile`.
pub fn to_snapshot(code: wire::Code, mobile: &str) -> Result<QrSnapshot, Unreadable> {
    let wire::Code { utility_acc_no, sender_id, qr_string, status } = code;
    // Money to another one's code would go to another one.
    if sender_id.as_deref() != Some(mobile) {
        return Err(unreadable("the answer is about the code of another number than was asked for, or of none"));
    }
    let status = match status.as_deref() {
        // ACTIVE and QR_ACTIVE.
        Some("1" | "2") => QrStatus::Active,
        // INACTIVE and QR_INACTIVE.
        Some("0" | "3") => QrStatus::Closed { reason: None, at: None },
        Some(unheard) => return Err(Unreadable(format!("the QR code has the unheard-of status `{}`", token(unheard)))),
        None => return Err(unreadable("the QR code has no status")),
    };
    let text = qr_string.ok_or_else(|| unreadable("the QR code has neither a text nor a picture"))?;
    let code = if text.starts_with("https://") {
        QrCode { image_url: picture(&text)?, ..QrCode::default() }
    } else {
        QrCode { upi_link: payable(&text)?, ..QrCode::default() }
    };
    Ok(QrSnapshot { provider_ref: id("QR code", utility_acc_no)?, our_ref: None, amount: None, code, status })
}

/// On the AU rail the "string" is the address of a picture.
fn picture(text: &str) -> Result<String, Unreadable> {
    let is_url = text.len() <= IMAGE_URL_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic()) && text.parse::<Url>().is_ok();
    if is_url { Ok(text.to_owned()) } else { Err(unreadable("the QR code's picture has no address that can be read")) }
}

/// The code's text, if it leaves the amount to the payer.
fn payable(text: &str) -> Result<String, Unreadable> {
    // The reader's reason quotes no value.
    let link = UpiLink::parse(text).map_err(|error| Unreadable(format!("the QR code's text {error}")))?;
    if link.kind() != LinkKind::Pay || link.am().is_some() {
        return Err(unreadable("the QR code's text asks for an amount of its own, or for something else than a payment"));
    }
    Ok(link.uri())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::money::Money;
    use crate::domain::personal::{Email, PersonName, Phone};
    use crate::providers::fuzz_cases;
    use crate::providers::mutation::{json_value, mutated};
    use crate::providers::reading::read;

    const CODE: &str = include_str!("../../../tests/golden/eko/code.json");
    const MOBILE: &str = "9876500001";

    fn read_document(document: &Value) -> Result<QrSnapshot, Unreadable> {
        to_snapshot(super::super::data(read("answer", document.to_string().as_bytes()).ok())?, MOBILE)
    }

    /// What is read of the documented code, with `changes` made to it.
    fn read_with(changes: Value) -> Result<QrSnapshot, Unreadable> {
        let mut document: Value = serde_json::from_str(CODE).expect("the golden document is JSON");
        for (key, value) in changes.as_object().expect("changes are an object") {
            document["data"][key] = value.clone();
        }
        read_document(&document)
    }

    fn documented() -> QrSnapshot {
        let upi_link = "upi://pay?ver=01&mode=01&pa=rpy.qreko100000000000000@icici&pn=Eko&tr=RZPNbC4dEf5GhI6jKqrv2&cu=INR&mc=4814\
                        &qrMedium=04&tn=PaymenttoEko";
        QrSnapshot {
            provider_ref: "cust_NbC4aB1cD2eF3g".to_owned(),
            our_ref: None,
            amount: None,
            code: QrCode { upi_link: upi_link.to_owned(), ..QrCode::default() },
            status: QrStatus::Active,
        }
    }

    #[test]
    fn the_documented_code_is_read_field_by_field() {
        assert_eq!(read_with(json!({})), Ok(documented()));
        assert_eq!(read_with(json!({"status": "1", "sender_id": 9_876_500_001_u64, "name": null, "new": [1.5]})), Ok(documented()));
    }

    #[test]
    fn on_the_au_rail_there_is_a_picture_and_no_text() {
        let address = "https://pics.example/qr/43088422.png";
        let expected = QrSnapshot {
            provider_ref: "43088422".to_owned(),
            code: QrCode { image_url: address.to_owned(), ..QrCode::default() },
            ..documented()
        };
        assert_eq!(read_with(json!({"utility_acc_no": 43_088_422, "qr_string": address})), Ok(expected));
    }

    #[test]
    fn an_inactive_code_is_told_as_one_that_can_not_be_paid() {
        for status in [json!(0), json!(3), json!("3")] {
            let closed = QrStatus::Closed { reason: None, at: None };
            assert_eq!(read_with(json!({"status": status})), Ok(QrSnapshot { status: closed, ..documented() }));
        }
    }

    #[test]
    fn what_is_not_certain_is_not_read() {
        let unreadable = [
            json!({"sender_id": "9876500002"}),
            json!({"sender_id": "919876500001"}),
            json!({"sender_id": null}),
            json!({"utility_acc_no": null}),
            json!({"utility_acc_no": "cust/../x"}),
            json!({"utility_acc_no": ""}),
            json!({"status": null}),
            json!({"status": 4}),
            json!({"status": 2.5}),
            json!({"qr_string": null}),
            json!({"qr_string": "http://pics.example/qr.png"}),
            json!({"qr_string": "https://"}),
            json!({"qr_string": "https://pics.example/a b.png"}),
            json!({"qr_string": format!("https://pics.example/{}", "x".repeat(2048))}),
            json!({"qr_string": "upi://pay?pn=Eko"}),
            json!({"qr_string": "upi://pay?pa=rpy.qreko@icici&am=5"}),
            json!({"qr_string": "upi://mandate?pa=rpy.qreko@icici"}),
            json!({"qr_string": "data:image/png;base64,iVBO"}),
        ];
        for changes in unreadable {
            assert!(read_with(changes.clone()).is_err(), "{changes}");
        }
        let error = read_with(json!({"status": "asha@bank"})).expect_err("it is unreadable").to_string();
        assert!(!error.contains("asha"), "{error}");
    }

    fn order() -> QrOrder {
        QrOrder {
            usage: Usage::MultipleUse,
            amount: None,
            name: "Demo Stores".to_owned(),
            description: "Tea".to_owned(),
            expire_time: None,
            notes: [("bill".to_owned(), "1".to_owned())].into(),
            customer: Some(customer("+91 98765 00001")),
        }
    }

    fn customer(phone: &str) -> Customer {
        Customer { phone: Phone::parse(phone).ok(), ..Customer::default() }
    }

    #[test]
    fn what_the_provider_would_refuse_is_found_before() {
        let check = |order: QrOrder, expected: &[&str]| {
            let found: Vec<_> = violations(&order).into_iter().map(|violation| violation.field).collect();
            assert_eq!(found, expected, "{order:?}");
            assert!(!found.is_empty() || Person::of(&order).is_some(), "what violates nothing can be sent");
        };
        check(order(), &[]);
        check(QrOrder { customer: Some(customer("09876500001")), ..order() }, &[]);
        check(QrOrder { customer: Some(customer("+44 20 7946 0000")), ..order() }, &["customer.phone"]);
        check(QrOrder { customer: Some(Customer::default()), ..order() }, &["customer.phone"]);
        check(QrOrder { customer: None, name: " ".to_owned(), ..order() }, &["customer.phone", "customer.name"]);
        check(QrOrder { amount: Some(Money::from_paise(500)), ..order() }, &["amount"]);
        let single = QrOrder { usage: Usage::SingleUse, expire_time: Some(Timestamp::UNIX_EPOCH), ..order() };
        check(single, &["usage", "expire_time"]);
    }

    #[test]
    fn the_customers_own_name_goes_before_that_of_the_code() {
        let named = Customer { name: PersonName::parse("Asha Rao").ok(), email: Email::parse("asha@example.com").ok(), ..customer(MOBILE) };
        let person = Person::of(&QrOrder { customer: Some(named), ..order() }).expect("it names somebody");
        assert_eq!((person.mobile.as_str(), person.name.as_str(), person.email.as_deref()), (MOBILE, "Asha Rao", Some("asha@example.com")));
        let person = Person::of(&order()).expect("it names somebody");
        assert_eq!((person.mobile.as_str(), person.name.as_str(), person.email), (MOBILE, "Demo Stores", None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

        #[test]
        fn whatever_is_changed_in_an_answer_no_other_code_is_taken(place in any::<prop::sample::Index>(), value in json_value()) {
            let document = mutated(CODE, &place, value);
            let Ok(code) = read_document(&document) else { return Ok(()) };
            let sender = document["data"]["sender_id"].to_string();
            prop_assert_eq!(sender.trim_matches('"'), MOBILE);
            prop_assert!(code.code.upi_link.is_empty() != code.code.image_url.is_empty());
        }

        #[test]
        fn arbitrary_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = read::<wire::Envelope>("answer", &body);
            let _ = read::<wire::Code>("QR code", &body).map(|code| to_snapshot(code, MOBILE));
        }
    }
}
