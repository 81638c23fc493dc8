//! Refunds: an order to their request, their entity to our picture of it, and the search for one whose answer was lost.
//!
//! A request carries our reference twice: in a header that makes it safe to send again, and as the refund's receipt, by which
//! the refund is found and a second one is refused.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use tokio::time::Instant;

use super::violations::{NOTES_MAX, Violations};
use super::wire::{self, Unreadable};
use super::{Api, Range, Walked, classify, id, is_a, longer_than, success, time, unreadable};
use crate::domain::account::Operation;
use crate::domain::money::Money;
use crate::domain::refund::{RefundOrder, RefundSnapshot, RefundSpeed, RefundStatus};
use crate::providers::reading::bank_reference;
use crate::providers::{AskError, CallError, Cause, KnownRefund, RefundCreation, RefundEnquiry, RefundsOfPayment, Sending, Violation};

#[cfg(test)]
mod tests;

/// One rupee.
pub const AMOUNT_MIN_PAISE: i64 = 100;
/// The most characters of a note's key; codes are one more generous.
const NOTE_KEY_CHARS_MAX: usize = 255;
/// The note that the order's description goes into, unless the caller has one of that name.
const DESCRIPTION_NOTE: &str = "description";
const IDEMPOTENCY: HeaderName = HeaderName::from_static("x-refund-idempotency");
/// 2,000 refunds of one payment.
const PAGES_MAX: usize = 20;

/// Refunds of one account.
pub struct RazorpayRefunds {
    pub(super) api: Api,
    pub(super) notes_value_max: usize,
}

#[async_trait]
impl RefundCreation for RazorpayRefunds {
    fn violations(&self, order: &RefundOrder) -> Vec<Violation> {
        violations(order, self.notes_value_max)
    }

    async fn create(
        &self,
        payment_ref: &str,
        order: &RefundOrder,
        our_ref: &str,
        sending: Sending,
        timeout: Duration,
    ) -> Result<RefundSnapshot, CallError> {
        let started = Instant::now();
        let key = HeaderValue::try_from(our_ref).map_err(|_| CallError::NotDelivered(Cause("our reference is no header".to_owned())))?;
        let headers = HeaderMap::from_iter([(IDEMPOTENCY, key)]);
        let path = ["v1", "payments", payment_ref, "refund"];
        let answer = self.api.post(Operation::CreateRefund, &path, headers, Some(&to_request(order, our_ref)), timeout).await?;
        if classify::has_receipt_already(answer.status, wire::failure(&answer.body).as_ref()) {
            return self.adopt(payment_ref, our_ref, timeout.saturating_sub(started.elapsed())).await;
        }
        let answer = success(Operation::CreateRefund, sending, answer)?;
        let made = to_snapshot(wire::read("refund", &answer.body)?)?;
        if made.our_ref.as_ref().is_some_and(|named| named != our_ref) {
            return Err(unreadable("the answer is about a refund with another receipt than was sent").into());
        }
        Ok(made)
    }
}

#[async_trait]
impl RefundEnquiry for RazorpayRefunds {
    async fn fetch(&self, refund: &KnownRefund) -> Result<RefundSnapshot, AskError> {
        let Some(provider_ref) = refund.provider_ref.as_deref() else {
            let found = self.look_up(refund).await?;
            return Ok(found.ok_or_else(|| unreadable("the payment lists no refund with our reference"))?);
        };
        let answer = self.api.ask("FetchRefund", &["v1", "refunds", provider_ref], &[]).await?;
        let shown = to_snapshot(wire::read("refund", &answer.body)?)?;
        if shown.provider_ref.as_deref() != Some(provider_ref) {
            return Err(unreadable("the answer is about another refund than was asked for").into());
        }
        Ok(shown)
    }

    async fn look_up(&self, refund: &KnownRefund) -> Result<Option<RefundSnapshot>, AskError> {
        let our_ref = refund.our_ref.as_deref().ok_or_else(|| unreadable("a refund without a reference of ours can't be searched"))?;
        find(&self.api, &refund.payment_ref, our_ref).await
    }
}

#[async_trait]
impl RefundsOfPayment for RazorpayRefunds {
    async fn of_payment(&self, payment_ref: &str) -> Result<Vec<RefundSnapshot>, AskError> {
        let path = ["v1", "payments", payment_ref, "refunds"];
        // An item that moved to a later page while we read is seen twice; the later picture holds.
        let mut refunds = BTreeMap::new();
        let walked = self.api.search("ListRefunds", &path, everything(), |item| {
            // One that can't be read is money that may be gone: then nothing is told.
            let refund = to_snapshot(wire::read("refund", item.get().as_bytes())?)?;
            refunds.insert(refund.provider_ref.clone(), refund);
            Ok(ControlFlow::<()>::Continue(()))
        });
        match walked.await? {
            Walked::ToTheEnd | Walked::Found(()) => Ok(refunds.into_values().collect()),
            Walked::CutOff => Err(longer_than(PAGES_MAX)),
        }
    }
}

impl RazorpayRefunds {
    /// The refund that an earlier request with our reference made: the provider says that there is one.
    async fn adopt(&self, payment_ref: &str, our_ref: &str, timeout: Duration) -> Result<RefundSnapshot, CallError> {
        let doubt = |cause: String| CallError::InDoubt(Cause(format!("the provider has a refund with our reference: {cause}")));
        let api = Api { timeout, ..self.api.clone() };
        match find(&api, payment_ref, our_ref).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(doubt("it is not listed".to_owned())),
            Err(error) => Err(doubt(error.to_string())),
        }
    }
}

/// The refund of a payment that carries `our_ref`.
async fn find(api: &Api, payment_ref: &str, our_ref: &str) -> Result<Option<RefundSnapshot>, AskError> {
    let path = ["v1", "payments", payment_ref, "refunds"];
    let walked = api.search("LookUpRefund", &path, everything(), |item| {
        let wire::Receipted { receipt } = wire::read("refund's receipt", item.get().as_bytes())?;
        if receipt.as_deref() != Some(our_ref) {
            return Ok(ControlFlow::Continue(()));
        }
        Ok(ControlFlow::Break(to_snapshot(wire::read("refund", item.get().as_bytes())?)?))
    });
    match walked.await? {
        Walked::Found(found) => Ok(Some(found)),
        Walked::ToTheEnd => Ok(None),
        Walked::CutOff => Err(longer_than(PAGES_MAX)),
    }
}

/// All refunds of a payment, whenever they were made.
fn everything() -> Range {
    Range { from: Timestamp::MIN, to: None, pages_max: PAGES_MAX }
}

fn violations(order: &RefundOrder, notes_value_max: usize) -> Vec<Violation> {
    // Whether the account can do the speed is told by its capabilities.
    let RefundOrder { amount, speed: _, description, notes } = order;
    let mut violations = Violations::default();
    if amount.paise() < AMOUNT_MIN_PAISE {
        violations.add("amount", "must be at least one rupee");
    }
    let noted = noted_description(order);
    if noted.is_some() {
        violations.check_text("description", description, notes_value_max, "a limit of Razorpay's for notes, where it goes");
    }
    if notes.len() + usize::from(noted.is_some()) > NOTES_MAX {
        violations.add("notes", format!("has more pairs than the {NOTES_MAX} that Razorpay keeps, of which the description is one"));
    }
    violations.check_notes(notes, NOTE_KEY_CHARS_MAX, notes_value_max);
    violations.0
}

/// The description, where there is one and a note for it.
fn noted_description(order: &RefundOrder) -> Option<&str> {
    let is_free = !order.notes.contains_key(DESCRIPTION_NOTE);
    Some(order.description.as_str()).filter(|text| !text.is_empty() && is_free)
}

/// The same bytes for the same order each time: to the provider another body is another request.
fn to_request<'a>(order: &'a RefundOrder, our_ref: &'a str) -> wire::CreateRefund<'a> {
    let RefundOrder { amount, speed, description: _, notes } = order;
    let mut notes: BTreeMap<_, _> = notes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    notes.extend(noted_description(order).map(|text| (DESCRIPTION_NOTE, text)));
    let speed = match speed {
        RefundSpeed::Normal => "normal",
        RefundSpeed::Instant => "optimum",
    };
    // Without an amount the rest of the payment would be refunded, and without a speed the account's own would be taken.
    wire::CreateRefund { amount: amount.paise(), speed, receipt: our_ref, notes }
}

/// Their entity as our picture of it.
pub fn to_snapshot(refund: wire::Refund) -> Result<RefundSnapshot, Unreadable> {
    let wire::Refund {
        id: refund_id,
        entity,
        amount,
        currency,
        payment_id,
        receipt,
        acquirer_data: wire::RefundAcquirerData { rrn, arn, utr },
        status,
        speed_requested,
        speed_processed,
        created_at,
    } = refund;
    is_a("refund", entity.as_deref())?;
    if currency.as_deref() != Some("INR") {
        return Err(unreadable("the refund is in another currency than INR, or in none"));
    }
    let status = match status.as_deref() {
        Some("pending") => RefundStatus::Pending,
        Some("processed") => RefundStatus::Processed,
        // The entity has no field that says why.
        Some("failed") => RefundStatus::Failed { code: String::new(), message: String::new() },
        // `created` and `reversed` have been seen in other places than the list of its words [6.3].
        Some(_) => RefundStatus::Undecided,
        None => return Err(unreadable("the refund has no status")),
    };
    let created = created_at.map(time).transpose()?;
    Ok(RefundSnapshot {
        provider_ref: Some(id("refund", refund_id)?),
        our_ref: receipt,
        payment_ref: id("refund's payment", payment_id)?,
        amount: Money::from_paise(amount.filter(|paise| *paise > 0).ok_or_else(|| unreadable("the refund has no amount"))?),
        speed_requested: match speed_requested.as_deref() {
            Some("normal") => Some(RefundSpeed::Normal),
            Some("optimum") => Some(RefundSpeed::Instant),
            _ => None,
        },
        // Samples have `optimum` here as well, which says what was wanted and not what came of it.
        speed_processed: match speed_processed.as_deref() {
            Some("normal") => Some(RefundSpeed::Normal),
            Some("instant") => Some(RefundSpeed::Instant),
            _ => None,
        },
        // By a transfer between banks it has a UTR, which is the same thing for the payer's bank.
        rrn: bank_reference(rrn.or(utr)),
        arn: bank_reference(arn),
        // When it was taken up is the only time that it has.
        process_time: created.filter(|_| status == RefundStatus::Processed),
        status,
    })
}
