//! Debits: the notice to the payer, which is an order of its own, and the collection by that order.
//!
//! Only the flow is used in which nothing is debited unless we say so: an order without a notice would have the provider
//! notify, debit and try again by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::mandate::reached;
use super::mandate_wire as body;
use super::order::{AMOUNT_MIN_PAISE, CURRENCY, KnownOrder, fetch, find, place};
use super::violations::{REFERENCE_NOTE, Violations, notes_with_ours};
use super::wire::{self, Unreadable};
use super::{Api, id, is_a, time, unreadable};
use crate::domain::account::Operation;
use crate::domain::debit::{DebitOrder, FailureMeaning, NoticeSnapshot, NoticeStatus};
use crate::domain::fact::FailureReason;
use crate::providers::mandate::{AttemptOrder, AttemptTaken, DebitExecution, DebitNotices, KnownMandate, NoticeEnquiry, NoticeOrder};
use crate::providers::{AskError, CallError, Cause, Sending, Violation};

#[cfg(test)]
mod tests;

/// The provider publishes none; it is ours.
const DESCRIPTION_CHARS_MAX: usize = 2048;

/// Debits of one account.
pub struct RazorpayDebits {
    pub(super) api: Api,
    pub(super) notes_value_max: usize,
}

#[async_trait]
impl DebitNotices for RazorpayDebits {
    fn violations(&self, order: &DebitOrder) -> Vec<Violation> {
        // When it is made is ours to decide.
        let DebitOrder { amount, auto_execute: _, execute_after: _, description, notes } = order;
        let mut violations = Violations::default();
        if amount.paise() < AMOUNT_MIN_PAISE {
            violations.add("amount", "must be at least one rupee");
        }
        violations.check_text("description", description, DESCRIPTION_CHARS_MAX, "a limit of ours: Razorpay publishes none");
        violations.check_notes_beside_ours(notes, self.notes_value_max);
        violations.0
    }

    async fn notify(&self, notice: &NoticeOrder, sending: Sending, timeout: Duration) -> Result<NoticeSnapshot, CallError> {
        let NoticeOrder { mandate, debit, debit_time, our_ref, asked: _ } = notice;
        let token_id = mandate.provider_ref.as_deref().ok_or_else(|| not_sent("the mandate's token is not known"))?;
        let request = body::CreateOrder {
            amount: debit.amount.paise(),
            currency: CURRENCY,
            customer_id: None,
            method: None,
            token: None,
            payment_capture: true,
            receipt: our_ref,
            notification: Some(body::AskedNotification { token_id, payment_after: debit_time.as_second() }),
            notes: notes_with_ours(&debit.notes, our_ref),
        };
        let made = place(&self.api, Operation::CreateDebit, sending, &request, timeout).await?;
        Ok(to_notice(made, Some(token_id))?)
    }
}

#[async_trait]
impl NoticeEnquiry for RazorpayDebits {
    async fn fetch(&self, provider_ref: &str) -> Result<NoticeSnapshot, AskError> {
        Ok(to_notice(fetch(&self.api, provider_ref).await?, None)?)
    }

    async fn look_up(&self, notice: &NoticeOrder) -> Result<Option<NoticeSnapshot>, AskError> {
        // Whether lists tell of the notice is not documented.
        let Some(listed) = find(&self.api, &notice.our_ref).await? else { return Ok(None) };
        let found = fetch(&self.api, &listed.id).await?;
        if found.amount != notice.debit.amount {
            return Err(unreadable("the order with our reference is of another amount than was sent").into());
        }
        Ok(Some(to_notice(found, notice.mandate.provider_ref.as_deref())?))
    }
}

#[async_trait]
impl DebitExecution for RazorpayDebits {
    async fn execute(&self, attempt: &AttemptOrder, timeout: Duration) -> Result<AttemptTaken, CallError> {
        let AttemptOrder { mandate, payer, amount, notice_ref, our_ref, debit } = attempt;
        let KnownMandate { provider_ref: token, registration, our_ref: _, order: _ } = mandate;
        let order_id = notice_ref.as_deref().ok_or_else(|| not_sent("the debit has no order: its payer was not notified"))?;
        let customer = registration.as_ref().and_then(|registration| registration.customer_ref.as_deref());
        let (Some(token), Some(customer_id)) = (token.as_deref(), customer) else {
            return Err(not_sent("the mandate's token, or its customer, is not known"));
        };
        let (contact, email) = reached(payer).ok_or_else(|| not_sent("the payer's phone number, or e-mail address, is not known"))?;
        let request = body::CreateRecurringPayment {
            email: &email,
            contact: &contact,
            amount: amount.paise(),
            currency: CURRENCY,
            order_id,
            customer_id,
            token,
            recurring: true,
            description: &debit.description,
            notes: BTreeMap::from([(REFERENCE_NOTE, our_ref.as_str())]),
        };
        let path = ["v1", "payments", "create", "recurring"];
        let answer = self.api.act(Operation::ExecuteDebit, Sending::First, &path, Some(&request), timeout).await?;
        let body::PaymentTaken { razorpay_payment_id, razorpay_order_id, link: _ } = wire::read("payment", &answer.body)?;
        if razorpay_order_id.is_some_and(|told| told != order_id) {
            return Err(unreadable("the answer is about a payment of another order than was sent").into());
        }
        // The order is the one that we know.
        Ok(AttemptTaken { payment_ref: Some(id("payment", razorpay_payment_id)?), order_ref: None })
    }

    fn meaning(&self, code: &str) -> (FailureMeaning, FailureReason) {
        meaning(code)
    }
}

fn not_sent(cause: &str) -> CallError {
    CallError::NotDelivered(Cause(cause.to_owned()))
}

/// The notice that an order was made with. `token`: the mandate that it is to be about, where that is known.
///
/// An order without one is none of ours to debit by: the provider would do so by itself.
fn to_notice(order: KnownOrder, token: Option<&str>) -> Result<NoticeSnapshot, Unreadable> {
    let KnownOrder { id, notification, .. } = order;
    let notification = notification.ok_or_else(|| unreadable("the order has no notification"))?;
    if token.zip(notification.token_id.as_deref()).is_some_and(|(asked, told)| asked != told) {
        return Err(unreadable("the order's notification is about another token than was sent"));
    }
    let status = notice_status(notification.status.as_deref(), notification.delivered_at)?;
    Ok(NoticeSnapshot { provider_ref: Some(id), status, expires: None })
}

fn notice_status(word: Option<&str>, delivered_at: Option<i64>) -> Result<NoticeStatus, Unreadable> {
    Ok(match word {
        Some("delivered") => NoticeStatus::Delivered { at: delivered_at.map(time).transpose()? },
        // It does not say why.
        Some("failed") => NoticeStatus::Failed { code: String::new(), message: String::new() },
        Some(_) | None => NoticeStatus::Pending,
    })
}

/// What a callback tells of a notice: the order that it was sent with, and what became of it.
pub fn of_notification(notification: body::Notification) -> Result<(String, NoticeStatus), Unreadable> {
    let body::Notification { entity, order_id, token_id: _, status, delivered_at } = notification;
    is_a("notification", entity.as_deref())?;
    Ok((id("notification's order", order_id)?, notice_status(status.as_deref(), delivered_at)?))
}

/// What a failed debit's reason means [8.10]. The documentation lists the reasons with a sentence each, which code comes with
/// which it does not say, and a failed payment may be collected late. So only what is plainly somebody's verdict is final;
/// whatever sounds like a fault on the way, is general, or is not listed may come late.
fn meaning(code: &str) -> (FailureMeaning, FailureReason) {
    use {FailureMeaning as Meaning, FailureReason as Reason};
    match code {
        // The mandate is over, or never was: there has to be a new one.
        "mandate_cancelled"
        | "mandate_expired"
        | "umn_does_not_exist_payer"
        | "invalid_token"
        | "payer_account_has_changed"
        | "regid_details_must_be_present" => (Meaning::GiveUp, Reason::MandateNotUsable),
        // So is the payer's side of it.
        "debit_declined"
        | "debit_instrument_blocked"
        | "bank_account_invalid"
        | "remitter_account_dormant"
        | "mobile_number_invalid"
        | "number_of_pin_tries_exceeded" => (Meaning::GiveUp, Reason::PayerDeclined),
        // The payer may resume it.
        "mandate_paused" | "mandate_not_active" => (Meaning::Retry, Reason::MandateNotUsable),
        "mandate_current_cycle_allowed_debit_exceeds" | "execution_day_rule_mismatch" => (Meaning::GiveUp, Reason::ProviderFailed),
        // Another attempt is for the same amount.
        "amount_does_not_match_mandate_amount" => (Meaning::GiveUp, Reason::ProviderFailed),
        "mandate_debit_beyond_psp_amount_cap"
        | "per_transaction_limit_exceeded"
        | "transaction_limit_exceeded"
        | "limit_exceeded_remitting_bank" => (Meaning::GiveUp, Reason::PayerDeclined),
        "insufficient_funds" | "adequate_funds_not_available_blocked" => (Meaning::Retry, Reason::InsufficientFunds),
        // So many debits of an account in some hours: later there are fewer.
        "transaction_frequency_limit_exceeded" => (Meaning::Retry, Reason::PayerDeclined),
        // Verdicts. Who suspects fraud is not asked again.
        "payment_risk_check_failed" | "suspected_fraud_decline" | "payment_stopped_by_court_order" => {
            (Meaning::GiveUp, Reason::PayerDeclined)
        }
        "transaction_not_allowed"
        | "transaction_not_permitted_cardholder"
        | "transaction_not_permitted_cardholder_beneficiary"
        | "transaction_not_permitted_to_vpa"
        | "nature_of_debit_not_allowed"
        | "no_financial_address_record_found"
        | "mpin_not_set_by_customer"
        | "invalid_vpa" => (Meaning::GiveUp, Reason::PayerDeclined),
        "id_value_must_be_present" => (Meaning::GiveUp, Reason::ProviderFailed),
        // All that the list calls temporary, `payment_pending`, `bad_request_error` and `vpa_resolution_failed`, which are
        // nobody's verdict, and what it does not have, such as `order_already_paid`.
        _ => (Meaning::MayComeLate, Reason::ProviderFailed),
    }
}
