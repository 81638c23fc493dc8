//! QR codes: an order with its dynamic code where a code is to be paid once, one of their UPI QR codes where it is for many
//! payments.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

use super::order::ReadOrder;
use super::{AMOUNT_MIN_PAISE, Api, MERCHANT_ORDER_ID, Request, Told, decimal, is_plain, time, wire};
use crate::domain::account::Operation;
use crate::domain::money::Money;
use crate::domain::personal::Sight;
use crate::domain::qr::{CloseReason, Customer, QrCode, QrOrder, QrSnapshot, QrStatus, Usage};
use crate::domain::upi::{LinkError, LinkKind, UpiLink};
use crate::held::Held;
use crate::providers::indian_mobile::ten_digits;
use crate::providers::reading::{Unreadable, id, read, unreadable};
use crate::providers::{
    AskError, CallError, Cause, Created, KnownQr, Listed, QrClosing, QrCreation, QrDrawing, QrEnquiry, QrSearch, Sending, Violation, told,
};

/// The largest picture of a code that is kept.
const PICTURE_BYTES_MAX: usize = 64 * 1024;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const DATA_URL: &str = "data:image/png;base64,";
/// Codes that one search may bring.
const SEARCH_LIMIT: u32 = 100;

/// QR codes of one account.
pub struct EnkashQrCodes {
    pub(super) api: Api,
    pub(super) order_lookup_path: Option<String>,
    pub(super) notify_url: Held<Option<SecretString>>,
}

#[async_trait]
impl QrCreation for EnkashQrCodes {
    fn violations(&self, order: &QrOrder, _now: Timestamp) -> Vec<Violation> {
        violations(order)
    }

    async fn create(&self, order: &QrOrder, our_ref: &str, sending: Sending, timeout: Duration) -> Result<Created, CallError> {
        match order.usage {
            Usage::SingleUse => self.create_order(order, our_ref, sending, timeout).await,
            Usage::MultipleUse => self.create_upi_qr(order, our_ref, sending, timeout).await,
        }
    }
}

#[async_trait]
impl QrDrawing for EnkashQrCodes {
    /// The order's dynamic QR code [seed 000].
    async fn draw(&self, code: &KnownQr, timeout: Duration) -> Result<QrSnapshot, CallError> {
        let request = self.api.request("FetchQrOfOrder", Method::GET, &["pay", "checkout", "qrcode", &code.provider_ref], &[]);
        let payload = self.api.act(request, Sending::Again, timeout).await?;
        Ok(drawn(code, read("QR code", payload.get().as_bytes())?)?)
    }
}

#[async_trait]
impl QrClosing for EnkashQrCodes {
    /// `PATCH /api/v0/qr-code/{qrCodeId}/cancel` [seed 001].
    async fn close(&self, code: &KnownQr, timeout: Duration) -> Result<QrSnapshot, CallError> {
        let path = ["api", "v0", "qr-code", &code.provider_ref, "cancel"];
        let request = self.api.request(Operation::CloseQr.as_str(), Method::PATCH, &path, &[]).json(&serde_json::Map::new());
        // What a failure means for a code that may be cancelled already is not published: it is looked at.
        let payload = self.api.act(request, Sending::Again, timeout).await?;
        let closed = same(code, upi_qr(payload.get().as_bytes())?)?;
        match closed.status {
            QrStatus::Closed { .. } => Ok(closed),
            QrStatus::Active => Err(CallError::InDoubt(Cause("the answer to the close shows the code as active".to_owned()))),
        }
    }
}

#[async_trait]
impl QrEnquiry for EnkashQrCodes {
    async fn fetch(&self, code: &KnownQr) -> Result<QrSnapshot, AskError> {
        match code.usage {
            Usage::SingleUse => Ok(self.order(code).await?.to_snapshot()),
            Usage::MultipleUse => {
                let path = ["api", "v0", "qr-code", &code.provider_ref];
                let payload = self.api.ask_for(self.api.request("FetchQr", Method::GET, &path, &[])).await?;
                Ok(same(code, upi_qr(payload.get().as_bytes())?)?)
            }
        }
    }

    async fn payments(&self, code: &KnownQr, _since: Timestamp) -> Result<Listed, AskError> {
        // How a payment to one of their UPI QR codes is reported is not published.
        if code.usage == Usage::MultipleUse {
            return Ok(Listed::default());
        }
        let order = self.order(code).await?;
        payments_of(&self.api, &order, code.attempt_ref.as_deref()).await
    }
}

#[async_trait]
impl QrSearch for EnkashQrCodes {
    async fn look_up(&self, order: &QrOrder, our_ref: &str, _asked: Timestamp) -> Result<Option<Created>, AskError> {
        match (order.usage, &self.order_lookup_path) {
            (Usage::SingleUse, Some(path)) => self.find_order(path, our_ref).await,
            (Usage::SingleUse, None) => Err(unreadable("where orders are found by our reference is not configured").into()),
            (Usage::MultipleUse, _) => self.find_upi_qr(our_ref).await,
        }
    }
}

impl EnkashQrCodes {
    /// `POST /api/v0/orders` [P3].
    async fn create_order(&self, order: &QrOrder, our_ref: &str, sending: Sending, timeout: Duration) -> Result<Created, CallError> {
        let amount = order.amount.ok_or_else(|| CallError::NotDelivered(Cause("an order needs an amount".to_owned())))?;
        let notify_url = self.notify_url.get();
        let body = wire::CreateOrder {
            order_id: our_ref,
            amount: wire::Amount { value: decimal(amount)?, currency: "INR" },
            notify_url: (*notify_url).as_ref().map(ExposeSecret::expose_secret),
            customer_info: order.customer.as_ref().map(customer_info),
            custom_parameters: &order.notes,
            description: &order.description,
        };
        let request = self.api.request(Operation::CreateQr.as_str(), Method::POST, &["api", "v0", "orders"], &[]).json(&body);
        let payload = self.api.act(request, sending, timeout).await?;
        let wire::OrderCreated { order_id } = read("created order", payload.get().as_bytes())?;
        Ok(Created::Registered { provider_ref: id("created order", order_id)? })
    }

    /// `POST /api/v0/qr-code` [P24]. Its body is not published, so what comes back must be what was wanted.
    async fn create_upi_qr(&self, order: &QrOrder, our_ref: &str, sending: Sending, timeout: Duration) -> Result<Created, CallError> {
        let customer = order.customer.clone().unwrap_or_default();
        let body = wire::CreateUpiQr {
            qr_name: &order.name,
            multiple_use: true,
            fixed_amount: order.amount.is_some(),
            amount: order.amount.map(decimal).transpose()?,
            description: &order.description,
            custom_params: &order.notes,
            reference_number: our_ref,
            customer_name: customer.name.as_ref().map(|name| name.show(Sight::Clear)),
            customer_email: customer.email.as_ref().map(|email| email.show(Sight::Clear)),
            customer_mobile: customer.phone.as_ref().and_then(ten_digits),
        };
        let request = self.api.request(Operation::CreateQr.as_str(), Method::POST, &["api", "v0", "qr-code"], &[]).json(&body);
        let payload = self.api.act(request, sending, timeout).await?;
        let wire::UpiQr { multiple_use, .. } = read("UPI QR code", payload.get().as_bytes())?;
        if multiple_use != Some(true) {
            return Err(unreadable("the answer does not say that the code is for many payments").into());
        }
        let made = upi_qr(payload.get().as_bytes())?;
        if made.our_ref.as_ref().is_some_and(|named| named != our_ref) {
            return Err(unreadable("the answer is about a code with another reference than was sent").into());
        }
        if made.amount != order.amount {
            return Err(unreadable("the answer is about a code with another amount than was asked for").into());
        }
        Ok(Created::Ready(Box::new(made)))
    }

    async fn find_order(&self, path: &str, our_ref: &str) -> Result<Option<Created>, AskError> {
        let request = self.api.request_at("FindOrder", Method::GET, &path.replace(MERCHANT_ORDER_ID, our_ref));
        // A failure in the documented form: it is not there. Should it be there all the same, nobody could pay it.
        let Told::Payload(payload) = self.api.ask(request).await? else { return Ok(None) };
        let found = ReadOrder::read(payload.get().as_bytes())?;
        if found.our_ref.as_deref() != Some(our_ref) {
            return Err(unreadable("the answer is about an order with another reference than was asked for").into());
        }
        Ok(Some(Created::Registered { provider_ref: found.id }))
    }

    /// Searches the UPI QR codes. The shape of the answer is not published, so that none is found proves nothing.
    async fn find_upi_qr(&self, our_ref: &str) -> Result<Option<Created>, AskError> {
        let query = [("offset", "0".to_owned()), ("limit", SEARCH_LIMIT.to_string())];
        let request = self.api.request("LookUpQr", Method::POST, &["api", "v0", "qr-code", "search"], &query);
        let payload = self.api.ask_for(request.json(&wire::SearchUpiQr { reference_number: our_ref })).await?;
        for item in wire::items(&payload) {
            // One that can't be read hides none of the others.
            let Ok(found) = upi_qr(item.get().as_bytes()) else { continue };
            if found.our_ref.as_deref() == Some(our_ref) {
                return Ok(Some(Created::Ready(Box::new(found))));
            }
        }
        Err(unreadable("no code with our reference is among those that were found").into())
    }

    async fn order(&self, code: &KnownQr) -> Result<ReadOrder, AskError> {
        let order = read_order(&self.api, &code.provider_ref).await?;
        if let (Some(ours), Some(theirs)) = (&code.our_ref, &order.our_ref)
            && ours != theirs
        {
            return Err(unreadable("the order carries another reference than was sent").into());
        }
        Ok(order)
    }
}

/// The payments of an order. `attempt`: the one that our picture of its code stands for.
pub(super) async fn payments_of(api: &Api, order: &ReadOrder, attempt: Option<&str>) -> Result<Listed, AskError> {
    match attempt {
        Some(attempt) if order.leaves_open_which_was_paid() && has_succeeded(api, attempt, &order.id).await? => {
            Ok(order.payments(Some(attempt)))
        }
        Some(_) | None => Ok(order.payments(None)),
    }
}

/// Whether an attempt by UPI succeeded. What is read without credentials decides nothing alone: it is asked for only where
/// the order is paid.
async fn has_succeeded(api: &Api, attempt: &str, order_id: &str) -> Result<bool, AskError> {
    let wire::UpiStatus { status, order_id: named } = upi_status(api, attempt).await?;
    Ok(status.as_deref() == Some("SUCCESS") && named.is_none_or(|named| named == order_id))
}

/// How an attempt by UPI stands [P10].
pub(super) async fn upi_status(api: &Api, attempt: &str) -> Result<wire::UpiStatus, AskError> {
    let request = api.request("FetchUpiStatus", Method::GET, &["pay", "checkout", "status", "upi", attempt], &[]);
    let payload = api.ask_for(request).await?;
    Ok(read("UPI status", payload.get().as_bytes())?)
}

/// An order as the provider has it [P4].
pub(super) async fn read_order(api: &Api, order_id: &str) -> Result<ReadOrder, AskError> {
    let request: Request = api.request("FetchOrder", Method::GET, &["api", "v0", "orders", order_id], &[]);
    let payload = api.ask_for(request).await?;
    let order = ReadOrder::read(payload.get().as_bytes())?;
    if order.id != order_id {
        return Err(unreadable("the answer is about another order than was asked for").into());
    }
    Ok(order)
}

fn violations(order: &QrOrder) -> Vec<Violation> {
    let QrOrder { usage, amount, name: _, description: _, expire_time, notes: _, customer: _ } = order;
    let mut violations = Vec::new();
    let mut add =
        |field: &str, description: &str| violations.push(Violation { field: field.to_owned(), description: description.to_owned() });
    match (usage, amount) {
        (Usage::SingleUse, None) => add("amount", "is needed: an EnKash order has a fixed amount"),
        (_, Some(amount)) if amount.paise() < AMOUNT_MIN_PAISE => add("amount", "must be at least one paisa"),
        _ => (),
    }
    if expire_time.is_some() {
        add("expire_time", "must be absent: EnKash publishes no way to say when an order or a code ends");
    }
    violations
}

/// What a payer scans: the text where it is given, else the picture as it came.
pub(super) fn drawn(code: &KnownQr, dto: wire::QrCodeDto) -> Result<QrSnapshot, Unreadable> {
    let wire::QrCodeDto { ek_pay_id, qr_code, qr_url } = dto;
    let link = match qr_url.as_deref().map(UpiLink::parse) {
        Some(Ok(link)) if link.kind() == LinkKind::Pay => Some(link),
        // Another sort of address, or a payee that only we can't read: the picture has the same.
        None | Some(Err(LinkError::NotUpi | LinkError::NoPayee | LinkError::Payee(_))) => None,
        // What it contradicts itself about, a payer's app would decide.
        Some(Ok(_) | Err(_)) => return Err(unreadable("the text of the code can't be read as a request to pay")),
    };
    if let (Some(asked), Some(written)) = (code.amount, link.as_ref().and_then(UpiLink::am))
        && Money::from(written) != asked
    {
        return Err(unreadable("the code asks for another amount than the order"));
    }
    let upi_link = link.map(|link| link.text().to_owned()).unwrap_or_default();
    let picture = if upi_link.is_empty() { Some(picture(qr_code)?) } else { None };
    Ok(QrSnapshot {
        provider_ref: code.provider_ref.clone(),
        our_ref: code.our_ref.clone(),
        amount: code.amount,
        code: QrCode { upi_link, picture, attempt_ref: ek_pay_id.filter(|id| is_plain(id)), ..QrCode::default() },
        status: QrStatus::Active,
    })
}

/// A PNG in base64. The page of the dynamic code has it without the prefix of a data URL [enkash 7.4]; of the other codes
/// that is not told.
fn picture(base64: Option<String>) -> Result<String, Unreadable> {
    let base64 = base64.ok_or_else(|| unreadable("the answer has neither the text nor a picture of the code"))?;
    let plain = base64.strip_prefix(DATA_URL).unwrap_or(&base64);
    match STANDARD.decode(plain) {
        Ok(bytes) if bytes.starts_with(PNG) && bytes.len() <= PICTURE_BYTES_MAX => Ok(plain.to_owned()),
        _ => Err(unreadable("the picture of the code is no PNG, or larger than is kept")),
    }
}

/// A UPI QR code as our picture of it.
pub(super) fn upi_qr(json: &[u8]) -> Result<QrSnapshot, Unreadable> {
    let wire::UpiQr { qr_code_id, multiple_use, fixed_amount, amount, status, qr_code_base64, modified_on, reference_number } =
        read("UPI QR code", json)?;
    if multiple_use == Some(false) {
        return Err(unreadable("the code is for one payment, and was asked for as one for many"));
    }
    let amount = match (fixed_amount, amount) {
        (Some(true) | None, Some(amount)) if amount > Money::ZERO => Some(amount),
        (Some(false), _) | (None, _) => None,
        (Some(true), _) => return Err(unreadable("the code has a fixed amount that is none")),
    };
    let status = match status.as_deref() {
        Some("ACTIVE") => QrStatus::Active,
        Some("CANCELLED") => QrStatus::Closed { reason: Some(CloseReason::Cancelled), at: modified_on.and_then(|text| time(&text)) },
        Some(unheard) => return Err(Unreadable(format!("the code has the unheard-of status `{}`", told::token(unheard)))),
        None => return Err(unreadable("the code has no status")),
    };
    Ok(QrSnapshot {
        provider_ref: id("UPI QR code", qr_code_id)?,
        our_ref: reference_number,
        amount,
        code: QrCode { picture: qr_code_base64.and_then(|base64| picture(Some(base64)).ok()), ..QrCode::default() },
        status,
    })
}

/// That the answer is about the code that was meant.
fn same(code: &KnownQr, shown: QrSnapshot) -> Result<QrSnapshot, Unreadable> {
    if shown.provider_ref == code.provider_ref { Ok(shown) } else { Err(unreadable("the answer is about another code than was meant")) }
}

fn customer_info(customer: &Customer) -> wire::CustomerInfo {
    let Customer { provider_ref: _, name, phone, email } = customer;
    wire::CustomerInfo {
        first_name: name.as_ref().map(|name| name.show(Sight::Clear)),
        email: email.as_ref().map(|email| email.show(Sight::Clear)),
        phone_number: phone.as_ref().and_then(ten_digits),
    }
}
