//! Refunds. Their answer's fields are not published [enkash 9.1], nor is any way to ask about one by itself: how a refund
//! stands is told by its payment alone, which shows only that some of it, or all, was sent back. So one refund at a time is
//! under way, and what can't be told apart stays open.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;

use super::order::status_of;
use super::payment::read_transaction;
use super::{Api, classify, decimal, wire};
use crate::domain::account::Operation;
use crate::domain::money::Money;
use crate::domain::refund::{RefundOrder, RefundSnapshot, RefundStatus};
use crate::providers::{AskError, CallError, Cause, KnownRefund, RefundCreation, RefundEnquiry, RefundedSum, Sending, Violation};

#[cfg(test)]
mod tests;

/// One paisa: no least sum is published.
pub const AMOUNT_MIN_PAISE: i64 = 1;

/// Refunds of one account.
pub struct EnkashRefunds {
    pub(super) api: Api,
}

/// What a payment shows of one of its refunds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// It was made.
    Made,
    /// Not (yet), or not all of what it would come to.
    NotYet,
    /// Something was sent back, and whether this is it can't be told.
    CannotTell,
}

#[async_trait]
impl RefundCreation for EnkashRefunds {
    fn violations(&self, order: &RefundOrder) -> Vec<Violation> {
        violations(order)
    }

    /// `POST /api/v0/payment/{transactionId}/refund` [P12].
    async fn create(
        &self,
        payment_ref: &str,
        order: &RefundOrder,
        our_ref: &str,
        sending: Sending,
        timeout: Duration,
    ) -> Result<RefundSnapshot, CallError> {
        let path = ["api", "v0", "payment", payment_ref, "refund"];
        let body = wire::CreateRefund { amount: decimal(order.amount)?, remarks: &order.description, request_id: our_ref };
        let request = self.api.request(Operation::CreateRefund.as_str(), Method::POST, &path, &[]).json(&body);
        let answer = self.api.send(&request, timeout).await?;
        if !classify::is_success(answer.status, answer.envelope.as_ref()) {
            return Err(classify::classify_unlisted(sending, answer.status, answer.envelope.as_ref()));
        }
        Ok(RefundSnapshot {
            provider_ref: None,
            our_ref: Some(our_ref.to_owned()),
            payment_ref: payment_ref.to_owned(),
            amount: order.amount,
            // Taken, and no more: what the answer carries is not published.
            status: RefundStatus::Pending,
            speed_requested: None,
            speed_processed: None,
            rrn: None,
            arn: None,
            process_time: None,
        })
    }
}

#[async_trait]
impl RefundEnquiry for EnkashRefunds {
    async fn fetch(&self, refund: &KnownRefund) -> Result<RefundSnapshot, AskError> {
        let status = match self.shown(refund).await? {
            Shown::Made => RefundStatus::Processed,
            Shown::NotYet => RefundStatus::Pending,
            Shown::CannotTell => RefundStatus::Undecided,
        };
        Ok(snapshot(refund, status))
    }

    /// That a payment does not show a refund proves nothing: it may still be made.
    async fn look_up(&self, refund: &KnownRefund) -> Result<Option<RefundSnapshot>, AskError> {
        match self.shown(refund).await? {
            Shown::Made => Ok(Some(snapshot(refund, RefundStatus::Processed))),
            Shown::NotYet | Shown::CannotTell => Ok(None),
        }
    }
}

#[async_trait]
impl RefundedSum for EnkashRefunds {
    async fn is_known(&self, payment_ref: &str, amount: Money, refunded: Money) -> Result<bool, AskError> {
        let transaction = read_transaction(&self.api, payment_ref).await?;
        Ok(match status_of(&transaction) {
            Some("SUCCESS") => refunded == Money::ZERO,
            Some("PARTIALLY_REFUNDED") => refunded > Money::ZERO && refunded < amount,
            Some("REFUNDED") => refunded == amount,
            Some(_) | None => return Err(AskError::Unanswered(Cause("the payment's status says nothing of refunds".to_owned()))),
        })
    }
}

impl EnkashRefunds {
    async fn shown(&self, refund: &KnownRefund) -> Result<Shown, AskError> {
        let transaction = read_transaction(&self.api, &refund.payment_ref).await?;
        let status = status_of(&transaction);
        shown(status, refund).ok_or_else(|| AskError::Unanswered(Cause("the payment's status says nothing of refunds".to_owned())))
    }
}

/// What the payment's status tells of `refund`; `None`: nothing.
fn shown(status: Option<&str>, refund: &KnownRefund) -> Option<Shown> {
    let KnownRefund { provider_ref: _, our_ref: _, payment_ref: _, amount, payment_amount, refunded_before } = refund;
    let is_first = *refunded_before == Money::ZERO;
    let with_it = refunded_before.checked_add(*amount)?;
    match (status?, with_it.cmp(payment_amount)) {
        ("SUCCESS", _) if is_first => Some(Shown::NotYet),
        // One before this came through, so the payment can't show none.
        ("SUCCESS", _) => None,
        ("PARTIALLY_REFUNDED", std::cmp::Ordering::Less) if is_first => Some(Shown::Made),
        // It showed the same before this one.
        ("PARTIALLY_REFUNDED", std::cmp::Ordering::Equal) if !is_first => Some(Shown::NotYet),
        ("REFUNDED", std::cmp::Ordering::Equal) => Some(Shown::Made),
        // Somebody else has refunded too, or the part of before stands for both.
        ("PARTIALLY_REFUNDED" | "REFUNDED", _) => Some(Shown::CannotTell),
        _ => None,
    }
}

/// The refund as it is known, with what its payment shows of it.
fn snapshot(refund: &KnownRefund, status: RefundStatus) -> RefundSnapshot {
    RefundSnapshot {
        provider_ref: None,
        our_ref: refund.our_ref.clone(),
        payment_ref: refund.payment_ref.clone(),
        amount: refund.amount,
        status,
        speed_requested: None,
        speed_processed: None,
        rrn: None,
        arn: None,
        process_time: None,
    }
}

fn violations(order: &RefundOrder) -> Vec<Violation> {
    // Whether the account can do the speed is told by its capabilities. How long remarks may be is not published.
    let RefundOrder { amount, speed: _, description: _, notes } = order;
    let mut violations = Vec::new();
    let mut add =
        |field: &str, description: &str| violations.push(Violation { field: field.to_owned(), description: description.to_owned() });
    if amount.paise() < AMOUNT_MIN_PAISE {
        add("amount", "must be at least one paisa");
    }
    if !notes.is_empty() {
        add("notes", "must be absent: EnKash takes none with a refund");
    }
    violations
}
