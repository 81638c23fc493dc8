//! Debits: a notice to the payer, then an order that EnKash makes and collects by itself. Neither can be asked for by our
//! reference, and the request that collects has none: it is sent once, whatever the answer [enkash 11.5].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::mandate_wire::{self as wire, Spelt};
use super::qr::{payments_of, read_order};
use super::words::EnkashMandateSettings;
use super::{AMOUNT_MIN_PAISE, Api, classify, decimal, is_plain, payload};
use crate::domain::account::Operation;
use crate::domain::debit::{DebitOrder, FailureMeaning, NoticeSnapshot};
use crate::domain::fact::FailureReason;
use crate::domain::money::Money;
use crate::domain::payment::PaymentSnapshot;
use crate::domain::working_days::{begin_of_day, day_in_india, next_day};
use crate::providers::mandate::{AttemptOrder, AttemptTaken, DebitExecution, DebitNotices, KnownMandate, NoticeOrder, OrderPayments};
use crate::providers::reading::{Unreadable, id, read, unreadable};
use crate::providers::{AskError, CallError, Cause, Sending, Violation};

#[cfg(test)]
mod tests;

/// Debits of one account.
pub struct EnkashDebits {
    pub(super) api: Api,
    pub(super) settings: Arc<EnkashMandateSettings>,
}

#[async_trait]
impl DebitNotices for EnkashDebits {
    fn violations(&self, order: &DebitOrder) -> Vec<Violation> {
        violations(order)
    }

    /// `POST /api/v0/upi-mandate/notify` [P27].
    async fn notify(&self, notice: &NoticeOrder, sending: Sending, timeout: Duration) -> Result<NoticeSnapshot, CallError> {
        let (mandate_id, amount, day) = (mandate_id(&notice.mandate)?, notice.debit.amount, day_in_india(notice.debit_time));
        let body = wire::Notify { mandate_id, amount: decimal(amount)?, debit_date: day.to_string() };
        let request = self.api.request(Operation::CreateDebit.as_str(), Method::POST, self.settings.paths.notify(), &[]);
        let answer = self.api.send(&request.json(&Spelt(self.settings.naming, &body)), timeout).await?;
        if !classify::is_success(answer.status, answer.envelope.as_ref()) {
            return Err(classify::classify_notice(sending, answer.status, answer.envelope.as_ref()));
        }
        Ok(notified(payload(answer.envelope)?.get().as_bytes(), &self.settings, mandate_id, amount, day)?)
    }
}

#[async_trait]
impl DebitExecution for EnkashDebits {
    /// `POST /api/v0/upi-mandate/execute` [P28].
    async fn execute(&self, attempt: &AttemptOrder, timeout: Duration) -> Result<AttemptTaken, CallError> {
        let mandate_id = mandate_id(&attempt.mandate)?;
        let body = wire::Execute { mandate_id, amount: decimal(attempt.amount)?, remarks: &attempt.our_ref };
        let request = self.api.request(Operation::ExecuteDebit.as_str(), Method::POST, self.settings.paths.execute(), &[]);
        let answer = self.api.send(&request.json(&Spelt(self.settings.naming, &body)), timeout).await?;
        if !classify::is_success(answer.status, answer.envelope.as_ref()) {
            return Err(classify::classify_unlisted(Sending::First, answer.status, answer.envelope.as_ref()));
        }
        Ok(taken(payload(answer.envelope)?.get().as_bytes(), attempt.amount)?)
    }

    /// No reason is published, so none is known to be final.
    fn meaning(&self, _code: &str) -> (FailureMeaning, FailureReason) {
        (FailureMeaning::MayComeLate, FailureReason::ProviderFailed)
    }
}

#[async_trait]
impl OrderPayments for EnkashDebits {
    /// All payments of the order or none: one that can't be read may be the one that was collected.
    async fn of_order(&self, order_ref: &str) -> Result<Vec<PaymentSnapshot>, AskError> {
        let order = read_order(&self.api, order_ref).await?;
        let listed = payments_of(&self.api, &order, None).await?;
        match listed.unreadable.into_iter().next() {
            Some(cause) => Err(AskError::Unanswered(cause)),
            None => Ok(listed.readable),
        }
    }
}

/// EnKash's id of a mandate. Without it nothing about the mandate can be asked for but how it stands.
fn mandate_id(mandate: &KnownMandate) -> Result<&str, CallError> {
    let not_sent = || CallError::NotDelivered(Cause("EnKash's id of the mandate is not known yet".to_owned()));
    mandate.provider_ref.as_deref().filter(|id| is_plain(id)).ok_or_else(not_sent)
}

/// What became of a notice of `amount` for `day`.
pub(super) fn notified(
    json: &[u8],
    settings: &EnkashMandateSettings,
    mandate_id: &str,
    amount: Money,
    day: Date,
) -> Result<NoticeSnapshot, Unreadable> {
    let wire::Notified { mandate_id: named, status, amount: shown, debit_date } = read("notice", json)?;
    let is_other = named.is_some_and(|named| named != mandate_id)
        || shown.is_some_and(|shown| shown != amount)
        || debit_date.is_some_and(|date| date != day.to_string());
    if is_other {
        return Err(unreadable("the answer is about another notice than was asked for"));
    }
    // It has an id, but not an order's, and nothing can be asked by it.
    Ok(NoticeSnapshot { provider_ref: None, status: settings.notice_status(status.as_deref()), expires: Some(last_second_of(day)) })
}

/// A notice is for its day [inferred]: after it, another is sent.
fn last_second_of(day: Date) -> Timestamp {
    begin_of_day(next_day(day)).saturating_sub(SignedDuration::from_secs(1)).unwrap_or_else(|_| begin_of_day(day))
}

/// The order that a debit of `amount` made. How it stands is asked for by its id, so of a status that is unheard of no word is
/// said here: the id must not be lost for it.
pub(super) fn taken(json: &[u8], amount: Money) -> Result<AttemptTaken, Unreadable> {
    let wire::DebitOrder { order_id, amount: shown, currency, transactions } = read("debit's order", json)?;
    if shown != Some(amount) || currency.is_some_and(|currency| currency != "INR") {
        return Err(unreadable("the debit's order is for another amount than was asked for"));
    }
    let payment_ref = match transactions.as_deref() {
        Some([only]) => read("transaction", only.get().as_bytes()).ok().and_then(|only: wire::DebitTransaction| only.transaction_id),
        Some(_) | None => None,
    };
    Ok(AttemptTaken { payment_ref: payment_ref.filter(|id| is_plain(id)), order_ref: Some(id("debit's order", order_id)?) })
}

fn violations(order: &DebitOrder) -> Vec<Violation> {
    // What a debit is for has no place in either request: the remarks of the one carry our reference.
    let DebitOrder { amount, auto_execute: _, execute_after: _, description: _, notes } = order;
    let mut violations = Vec::new();
    let mut add =
        |field: &str, description: &str| violations.push(Violation { field: field.to_owned(), description: description.to_owned() });
    if amount.paise() < AMOUNT_MIN_PAISE {
        add("amount", "must be at least one paisa");
    }
    if !notes.is_empty() {
        add("notes", "must be absent: EnKash takes none with a debit");
    }
    violations
}
