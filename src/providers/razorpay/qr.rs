//! QR codes: an order to their request, their entity to our picture of it, and the search for a code whose answer was lost.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

use super::payment;
use super::violations::{REFERENCE_NOTE, Violations, notes_with_ours};
use super::wire::{self, Unreadable};
use super::{Api, Range, Walked, id, is_a, longer_than, time, unreadable};
use crate::domain::account::Operation;
use crate::domain::money::Money;
use crate::domain::qr::{CloseReason, QrCode, QrOrder, QrSnapshot, QrStatus, Usage};
use crate::providers::{
    AskError, CallError, Cause, Created, KnownQr, Listed, QrClosing, QrCreation, QrEnquiry, QrOfPayment, QrSearch, Sending, Violation, told,
};

#[cfg(test)]
mod tests;

/// The least that a code can ask for.
pub const AMOUNT_MIN_PAISE: i64 = 1;
/// The provider publishes no limits for these two; these are ours.
const NAME_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 2048;
/// How far the provider's clock may be off when a code or a payment is searched by its time.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(10);
/// How long after the intent a request may still have been on its way.
const ON_ITS_WAY_MAX: SignedDuration = SignedDuration::from_hours(1);
/// 5,000 codes: eight a second for ten minutes.
const LOOK_UP_PAGES_MAX: usize = 50;
/// 10,000 payments of one code in one slice of time, and 200,000 in all since the last look.
const PAYMENT_PAGES_MAX: usize = 100;
const SLICES_MAX: usize = 20;

/// QR codes of one account.
pub struct RazorpayQrCodes {
    pub(super) api: Api,
    pub(super) limits: Limits,
}

/// What differs between accounts.
pub struct Limits {
    pub close_by_min: Duration,
    pub close_by_max: Duration,
    pub notes_value_max: usize,
}

#[async_trait]
impl QrCreation for RazorpayQrCodes {
    fn violations(&self, order: &QrOrder, now: Timestamp) -> Vec<Violation> {
        violations(order, &self.limits, now)
    }

    async fn create(&self, order: &QrOrder, our_ref: &str, sending: Sending, timeout: Duration) -> Result<Created, CallError> {
        let body = to_request(order, our_ref);
        let answer = self.api.act(Operation::CreateQr, sending, &["v1", "payments", "qr_codes"], Some(&body), timeout).await?;
        let made = to_snapshot(wire::read("QR code", &answer.body)?)?;
        if made.our_ref.as_ref().is_some_and(|named| named != our_ref) {
            return Err(unreadable("the answer is about a code with another reference than was sent").into());
        }
        Ok(Created::Ready(Box::new(made)))
    }
}

#[async_trait]
impl QrClosing for RazorpayQrCodes {
    async fn close(&self, code: &KnownQr, timeout: Duration) -> Result<QrSnapshot, CallError> {
        let provider_ref = code.provider_ref.as_str();
        let path = ["v1", "payments", "qr_codes", provider_ref, "close"];
        let answer = self.api.act::<()>(Operation::CloseQr, Sending::First, &path, None, timeout).await?;
        let closed = to_snapshot(wire::read("QR code", &answer.body)?)?;
        if closed.provider_ref != provider_ref {
            return Err(unreadable("the answer is about another code than was to be closed").into());
        }
        match closed.status {
            QrStatus::Closed { .. } => Ok(closed),
            QrStatus::Active => Err(CallError::InDoubt(Cause("the answer to the close shows the code as active".to_owned()))),
        }
    }
}

#[async_trait]
impl QrEnquiry for RazorpayQrCodes {
    async fn fetch(&self, code: &KnownQr) -> Result<QrSnapshot, AskError> {
        let provider_ref = code.provider_ref.as_str();
        let answer = self.api.ask("FetchQr", &["v1", "payments", "qr_codes", provider_ref], &[]).await?;
        let code = to_snapshot(wire::read("QR code", &answer.body)?)?;
        if code.provider_ref != provider_ref {
            return Err(unreadable("the answer is about another code than was asked for").into());
        }
        Ok(code)
    }

    async fn payments(&self, code: &KnownQr, since: Timestamp) -> Result<Listed, AskError> {
        let path = ["v1", "payments", "qr_codes", code.provider_ref.as_str(), "payments"];
        let from = since.saturating_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN);
        // An item that moved to a later page while we read is seen twice; the later picture holds.
        let (mut payments, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
        let mut to = None;
        for _ in 0..SLICES_MAX {
            let mut oldest: Option<Timestamp> = None;
            let range = Range { from, to, pages_max: PAYMENT_PAGES_MAX };
            let walked = self.api.search("ListQrPayments", &path, range, |item| {
                match wire::read("payment", item.get().as_bytes()).and_then(payment::to_snapshot) {
                    Ok(payment) => {
                        oldest = Some(oldest.map_or(payment.pay_time, |oldest| oldest.min(payment.pay_time)));
                        payments.insert(payment.provider_ref.clone(), payment);
                    }
                    Err(cause) => drop(unreadable.insert(item.get().to_owned(), Cause(cause.0))),
                }
                Ok(ControlFlow::<()>::Continue(()))
            });
            match (walked.await?, oldest) {
                // A busy code has more than is read at once: the rest is older than what was seen.
                (Walked::CutOff, Some(oldest)) if to != Some(oldest) => to = Some(oldest),
                (Walked::CutOff, _) => break,
                (Walked::ToTheEnd | Walked::Found(()), _) => {
                    let (readable, unreadable) = (payments.into_values().collect(), unreadable.into_values().collect());
                    return Ok(Listed { readable, unreadable, is_fresh: false });
                }
            }
        }
        Err(longer_than(SLICES_MAX * PAYMENT_PAGES_MAX))
    }
}

impl RazorpayQrCodes {
    /// The code of a customer that carries `our_ref`. How that list is paged is not documented: what its first page lacks is
    /// searched for among all codes.
    async fn of_customer(&self, customer: &str, our_ref: &str) -> Result<Option<QrSnapshot>, AskError> {
        let query = [("customer_id", customer.to_owned())];
        let answer = self.api.ask("ListQrsOfCustomer", &["v1", "payments", "qr_codes"], &query).await?;
        let page: wire::Page = wire::read("list", &answer.body)?;
        for item in &page.items {
            if is_ours(item, our_ref)? {
                return Ok(Some(to_snapshot(wire::read("QR code", item.get().as_bytes())?)?));
            }
        }
        Ok(None)
    }
}

fn is_ours(item: &RawValue, our_ref: &str) -> Result<bool, Unreadable> {
    let wire::Noted { notes } = wire::read("QR code's notes", item.get().as_bytes())?;
    Ok(notes.get(REFERENCE_NOTE).is_some_and(|named| named == our_ref))
}

#[async_trait]
impl QrSearch for RazorpayQrCodes {
    async fn look_up(&self, order: &QrOrder, our_ref: &str, asked: Timestamp) -> Result<Option<Created>, AskError> {
        // A customer has few codes; the account may have thousands.
        if let Some(customer) = order.customer.as_ref().and_then(|customer| customer.provider_ref.as_ref())
            // Whatever goes wrong here, the account's own list is searched.
            && let Ok(Some(found)) = self.of_customer(customer, our_ref).await
        {
            return Ok(Some(Created::Ready(Box::new(found))));
        }
        // Near the intent first: there it nearly always is, and a busy account has many codes in the hour that follows.
        let near = asked.saturating_add(CLOCK_SKEW).unwrap_or(Timestamp::MAX);
        let earliest = asked.saturating_sub(CLOCK_SKEW).unwrap_or(Timestamp::MIN);
        let latest = asked.saturating_add(ON_ITS_WAY_MAX).unwrap_or(Timestamp::MAX);
        for (from, to) in [(earliest, near), (near, latest)] {
            let range = Range { from, to: Some(to), pages_max: LOOK_UP_PAGES_MAX };
            let found = self.api.search("LookUpQr", &["v1", "payments", "qr_codes"], range, |item| {
                if !is_ours(item, our_ref)? {
                    return Ok(ControlFlow::Continue(()));
                }
                Ok(ControlFlow::Break(to_snapshot(wire::read("QR code", item.get().as_bytes())?)?))
            });
            match found.await? {
                Walked::Found(found) => return Ok(Some(Created::Ready(Box::new(found)))),
                Walked::ToTheEnd => {}
                Walked::CutOff => return Err(longer_than(LOOK_UP_PAGES_MAX)),
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl QrOfPayment for RazorpayQrCodes {
    async fn of_payment(&self, payment_ref: &str) -> Result<Option<QrSnapshot>, AskError> {
        let query = [("payment_id", payment_ref.to_owned())];
        let answer = self.api.ask("FindQrOfPayment", &["v1", "payments", "qr_codes"], &query).await?;
        let page: wire::Page = wire::read("list", &answer.body)?;
        match (page.items.as_slice(), page.count) {
            ([], None | Some(0)) => Ok(None),
            ([code], None | Some(1)) => Ok(Some(to_snapshot(wire::read("QR code", code.get().as_bytes())?)?)),
            _ => Err(unreadable("a payment has more codes than one, or fewer than the answer says").into()),
        }
    }
}

fn violations(order: &QrOrder, limits: &Limits, now: Timestamp) -> Vec<Violation> {
    let QrOrder { usage, amount, name, description, expire_time, notes, customer: _ } = order;
    let Limits { close_by_min, close_by_max, notes_value_max } = limits;
    let mut violations = Violations::default();

    match (usage, amount) {
        (Usage::SingleUse, None) => violations.add("amount", "is needed: Razorpay's single-use codes have a fixed amount"),
        (_, Some(amount)) if amount.paise() < AMOUNT_MIN_PAISE => violations.add("amount", "must be at least one paisa"),
        _ => (),
    }
    match (usage, expire_time) {
        (Usage::MultipleUse, Some(_)) => violations.add("expire_time", "must be absent: Razorpay's multiple-use codes don't expire"),
        (Usage::SingleUse, Some(at)) => {
            let ahead = at.duration_since(now);
            let within = |bound: &Duration| SignedDuration::try_from(*bound).unwrap_or(SignedDuration::MAX);
            if ahead < within(close_by_min) || ahead > within(close_by_max) {
                let (min, max) = (close_by_min.as_secs(), close_by_max.as_secs());
                violations.add("expire_time", format!("must lie between {min} and {max} seconds from now for this account"));
            }
        }
        (_, None) => (),
    }
    violations.check_text("name", name, NAME_CHARS_MAX, "a limit of ours: Razorpay publishes none");
    violations.check_text("description", description, DESCRIPTION_CHARS_MAX, "a limit of ours: Razorpay publishes none");

    violations.check_notes_beside_ours(notes, *notes_value_max);
    violations.0
}

fn to_request<'a>(order: &'a QrOrder, our_ref: &'a str) -> wire::CreateQr<'a> {
    let QrOrder { usage, amount, name, description, expire_time, notes, customer } = order;
    let customer_id = customer.as_ref().and_then(|customer| customer.provider_ref.as_deref());
    let (usage, close_by) = match usage {
        Usage::SingleUse => ("single_use", expire_time.map(Timestamp::as_second)),
        Usage::MultipleUse => ("multiple_use", None),
    };
    wire::CreateQr {
        r#type: "upi_qr",
        usage,
        name,
        description,
        fixed_amount: amount.is_some(),
        payment_amount: amount.map(Money::paise),
        customer_id,
        close_by,
        notes: notes_with_ours(notes, our_ref),
    }
}

/// Their entity as our picture of it.
pub fn to_snapshot(code: wire::QrCode) -> Result<QrSnapshot, Unreadable> {
    let wire::QrCode {
        id: code_id,
        entity,
        image_url,
        image_content,
        payment_amount,
        fixed_amount,
        status,
        mut notes,
        close_by,
        closed_at,
        close_reason,
    } = code;
    is_a("qr_code", entity.as_deref())?;
    let amount = match (fixed_amount, payment_amount) {
        (Some(false), _) | (None, None) => None,
        (Some(true) | None, Some(paise)) if paise >= AMOUNT_MIN_PAISE => Some(Money::from_paise(paise)),
        (Some(true) | None, _) => return Err(unreadable("the QR code has a fixed amount that is none")),
    };
    let expire_time = close_by.map(time).transpose()?;
    let closed_at = closed_at.map(time).transpose()?;
    let status = match status.as_deref() {
        Some("active") => QrStatus::Active,
        Some("closed") => {
            let reason = match close_reason.as_deref() {
                Some("on_demand") => Some(CloseReason::Cancelled),
                Some("paid") => Some(CloseReason::Paid),
                // No reason is documented for a code that ran past its time: it was neither cancelled nor paid.
                None if expire_time.is_some() && closed_at >= expire_time => Some(CloseReason::Expired),
                _ => None,
            };
            QrStatus::Closed { reason, at: closed_at }
        }
        Some(unheard) => return Err(Unreadable(format!("the QR code has the unheard-of status `{}`", told::token(unheard)))),
        None => return Err(unreadable("the QR code has no status")),
    };
    Ok(QrSnapshot {
        provider_ref: id("QR code", code_id)?,
        our_ref: notes.remove(REFERENCE_NOTE),
        amount,
        code: QrCode {
            upi_link: image_content.unwrap_or_default(),
            image_url: image_url.unwrap_or_default(),
            expire_time,
            ..QrCode::default()
        },
        status,
    })
}
