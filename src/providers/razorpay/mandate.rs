//! Mandates: an order to their requests, their token to our picture of it, and the search for one whose answer was lost.
//!
//! A mandate is registered by an order for a customer, approved by a payment of that order, and is then a token. Which token
//! it became is told by the payments of its order; the UPI network's own number is told nowhere.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use super::mandate_wire as body;
use super::order::{AMOUNT_MIN_PAISE, CURRENCY, KnownOrder, fetch, find, payments_of, place};
use super::violations::{REFERENCE_NOTE, notes_with_ours};
use super::wire::{self, Unreadable};
use super::{Api, id, is_a, unreadable};
use crate::domain::account::Operation;
use crate::domain::mandate::{MandateOrder, MandatePayer, MandateSnapshot, MandateStatus, Registration};
use crate::domain::money::Money;
use crate::domain::personal::{Sight, Vpa};
use crate::providers::indian_mobile::ten_digits;
use crate::providers::mandate::{KnownMandate, MandateCreated, MandateCreation, MandateEnquiry, MandateLinking, MandateRevoking};
use crate::providers::{AskError, CallError, Cause, Sending, Violation, told};

mod terms;
#[cfg(test)]
mod tests;

pub use terms::{MAX_AMOUNT_MIN_PAISE, amount_max, patterns};
use terms::{approval_end, check_link, to_terms, violations};

/// What is collected at approval: the approval is a payment, and none is below a rupee [8.3].
const COLLECTED_PAISE: i64 = AMOUNT_MIN_PAISE;
/// The note that tells the payment of a registration from those of debits, which carry an order and a token as well.
const PURPOSE_NOTE: &str = "upistream_for";
const REGISTRATION: &str = "mandate";
/// Tokens of one registration that are asked for: more payers than one approve nothing, and each tries a few times.
const TOKENS_MAX: usize = 8;

/// Mandates of one account.
pub struct RazorpayMandates {
    pub(super) api: Api,
    pub(super) notes_value_max: usize,
    /// The merchant's category, where the configuration names it.
    pub(super) mcc: Option<String>,
}

#[async_trait]
impl MandateCreation for RazorpayMandates {
    fn violations(&self, order: &MandateOrder, now: Timestamp) -> Vec<Violation> {
        violations(order, amount_max(self.mcc.as_deref()), self.notes_value_max, now)
    }

    async fn create(&self, order: &MandateOrder, our_ref: &str, sending: Sending, timeout: Duration) -> Result<MandateCreated, CallError> {
        let started = Instant::now();
        let (Some(payer), Some(terms)) = (Named::of(&order.payer), to_terms(order)) else {
            return Err(not_sent("the mandate lacks something that Razorpay needs"));
        };
        // The order, which is what may be in doubt, keeps half of the time at least.
        let customer_ref = self.customer(&payer, sending, timeout / 2).await.map_err(|error| before_the_order(sending, error))?;
        let request = body::CreateOrder {
            amount: COLLECTED_PAISE,
            currency: CURRENCY,
            customer_id: Some(&customer_ref),
            method: Some("upi"),
            token: Some(terms),
            payment_capture: true,
            receipt: our_ref,
            notification: None,
            notes: notes_with_ours(&order.notes, our_ref),
        };
        let time_left = timeout.saturating_sub(started.elapsed());
        let made = place(&self.api, Operation::CreateMandate, sending, &request, time_left).await?;
        Ok(MandateCreated::Registered(Registration {
            provider_ref: made.id,
            customer_ref: Some(customer_ref),
            amount: Some(Money::from_paise(COLLECTED_PAISE)),
        }))
    }
}

#[async_trait]
impl MandateLinking for RazorpayMandates {
    async fn link(&self, mandate: &KnownMandate, timeout: Duration) -> Result<MandateSnapshot, CallError> {
        let started = Instant::now();
        let KnownMandate { registration, our_ref, order, .. } = mandate;
        let (Some(registration), Some(payer)) = (registration, Named::of(&order.payer)) else {
            return Err(not_sent("the mandate has no order, or its payer is not known"));
        };
        let Registration { provider_ref: order_ref, customer_ref: Some(customer_ref), amount } = registration else {
            return Err(not_sent("the customer of the mandate's order is not known"));
        };
        let asking = Api { timeout: timeout / 2, ..self.api.clone() };
        let registered =
            fetch(&asking, order_ref).await.map_err(|error| not_sent(&format!("the mandate's order can't be read: {error}")))?;
        let waiting = MandateSnapshot {
            registration_ref: Some(order_ref.clone()),
            customer_ref: Some(customer_ref.clone()),
            approval_expire_time: approval_end(registered.created),
            ..MandateSnapshot::of(MandateStatus::AwaitingApproval)
        };
        // Somebody has approved already: there is nothing to be linked to any more, only to be asked about.
        if registered.is_paid {
            return Ok(waiting);
        }
        let collected = amount.unwrap_or(Money::from_paise(COLLECTED_PAISE));
        let description = if order.description.is_empty() { &order.name } else { &order.description };
        let request = body::CreateUpiPayment {
            amount: collected.paise(),
            currency: CURRENCY,
            order_id: order_ref,
            customer_id: customer_ref,
            recurring: "1",
            email: &payer.email,
            contact: &payer.contact,
            method: "upi",
            upi: body::UpiFlow { flow: "intent" },
            description,
            notes: BTreeMap::from([(REFERENCE_NOTE, our_ref.as_str()), (PURPOSE_NOTE, REGISTRATION)]),
        };
        let path = ["v1", "payments", "create", "upi"];
        let time_left = timeout.saturating_sub(started.elapsed());
        let answer = self.api.act(Operation::CreateMandate, Sending::First, &path, Some(&request), time_left).await?;
        let body::PaymentTaken { link, .. } = wire::read("payment", &answer.body)?;
        let link = link.ok_or_else(|| unreadable("the answer has no link"))?;
        check_link(&link, order, collected)?;
        // It is to be used unchanged.
        Ok(MandateSnapshot { approval_link: link, ..waiting })
    }
}

#[async_trait]
impl MandateEnquiry for RazorpayMandates {
    async fn fetch(&self, mandate: &KnownMandate) -> Result<MandateSnapshot, AskError> {
        let nothing_known = || unreadable("nothing is known that the mandate could be asked for by");
        let registration = mandate.registration.as_ref().ok_or_else(nothing_known)?;
        match (&mandate.provider_ref, &registration.customer_ref) {
            (Some(token), Some(customer)) => {
                let shown = self.token(customer, token).await?;
                Ok(MandateSnapshot { registration_ref: Some(registration.provider_ref.clone()), ..shown })
            }
            (known, _) => self.approved(registration, known.as_deref()).await,
        }
    }

    async fn look_up(&self, order: &MandateOrder, our_ref: &str, _asked: Timestamp) -> Result<Option<MandateCreated>, AskError> {
        let Some(KnownOrder { id, amount, customer_ref, .. }) = find(&self.api, our_ref).await? else { return Ok(None) };
        let customer_ref = match (customer_ref, Named::of(&order.payer)) {
            (Some(told), _) => told,
            // Orders don't tell whose they are. To ask for the customer once more changes nothing: there is one.
            (None, Some(payer)) => {
                let asked = self.customer(&payer, Sending::Again, self.api.timeout).await;
                asked.map_err(|error| unreadable(&format!("the order's customer is not known: {error}")))?
            }
            (None, None) => return Err(unreadable("the order's customer is not known, nor who he could be").into()),
        };
        let registration = Registration { provider_ref: id, customer_ref: Some(customer_ref), amount: Some(amount) };
        Ok(Some(MandateCreated::Registered(registration)))
    }
}

#[async_trait]
impl MandateRevoking for RazorpayMandates {
    async fn revoke(&self, mandate: &KnownMandate, timeout: Duration) -> Result<MandateSnapshot, CallError> {
        let customer = mandate.registration.as_ref().and_then(|registration| registration.customer_ref.as_deref());
        let (Some(token), Some(customer)) = (mandate.provider_ref.as_deref(), customer) else {
            return Err(not_sent("the mandate's token, or its customer, is not known"));
        };
        let path = ["v1", "customers", customer, "tokens", token, "cancel"];
        let answer = self.api.put(Operation::RevokeMandate, &path, timeout).await?;
        let body::Cancelled { status } = wire::read("cancellation", &answer.body)?;
        match to_status(status.as_deref(), None) {
            // The UPI network is asked now, and may say no.
            status @ (MandateStatus::Revoking | MandateStatus::Revoked) => {
                Ok(MandateSnapshot { provider_ref: Some(token.to_owned()), ..MandateSnapshot::of(status) })
            }
            _ => Err(CallError::InDoubt(Cause("the answer to the cancellation does not say that it is under way".to_owned()))),
        }
    }
}

impl RazorpayMandates {
    /// The customer that a payer is, made if there is none. However often it is asked, there is one, and nothing moves.
    async fn customer(&self, payer: &Named, sending: Sending, timeout: Duration) -> Result<String, CallError> {
        let Named { name, contact, email } = payer;
        let request = body::CreateCustomer { name, contact, email, fail_existing: "0" };
        let answer = self.api.act(Operation::CreateMandate, sending, &["v1", "customers"], Some(&request), timeout).await?;
        let body::Customer { id: customer_id, entity } = wire::read("customer", &answer.body)?;
        is_a("customer", entity.as_deref())?;
        Ok(id("customer", customer_id)?)
    }

    /// A token of a customer.
    async fn token(&self, customer: &str, token: &str) -> Result<MandateSnapshot, AskError> {
        let answer = self.api.ask("FetchToken", &["v1", "customers", customer, "tokens", token], &[]).await?;
        let shown = to_snapshot(wire::read("token", &answer.body)?)?;
        if shown.provider_ref.as_deref() != Some(token) {
            return Err(unreadable("the answer is about another token than was asked for").into());
        }
        Ok(MandateSnapshot { customer_ref: Some(customer.to_owned()), ..shown })
    }

    /// What came of a registration, by the payments of its order. `known`: its token, where that is known.
    async fn approved(&self, registration: &Registration, known: Option<&str>) -> Result<MandateSnapshot, AskError> {
        let Registration { provider_ref: order_ref, customer_ref, .. } = registration;
        let mut approvals: Vec<body::Approval> = Vec::new();
        for item in payments_of(&self.api, order_ref).await? {
            approvals.push(wire::read("payment", item.get().as_bytes())?);
        }
        // One that the payer may still decide on, or one that came to something.
        let is_open = approvals.iter().any(|approval| approval.status.as_deref() != Some("failed"));
        // Those that came to something first. One can also have failed and its mandate stand: a technical payment does.
        approvals.sort_by_key(|approval| !matches!(approval.status.as_deref(), Some("authorized" | "captured" | "refunded")));

        let of_order = |shown: MandateSnapshot| MandateSnapshot { registration_ref: Some(order_ref.clone()), ..shown };
        let mut asked = Vec::new();
        let mut rejected = None;
        for body::Approval { customer_id, token_id, .. } in approvals {
            let Some(token) = token_id.filter(|token| known.is_none_or(|known| known == token) && !asked.contains(token)) else { continue };
            if asked.len() >= TOKENS_MAX {
                return Err(unreadable("the mandate's order has more tokens than are asked for").into());
            }
            let token = id("payment's token", Some(token))?;
            let customer = customer_id.map(|customer| id("payment's customer", Some(customer))).transpose()?;
            let customer = customer.or_else(|| customer_ref.clone()).ok_or_else(|| unreadable("the token's customer is not known"))?;
            let shown = of_order(self.token(&customer, &token).await?);
            asked.push(token);
            match shown.status {
                // Another may stand.
                MandateStatus::Rejected { .. } => rejected = rejected.or(Some(shown)),
                MandateStatus::AwaitingApproval => {}
                // Which token it will be is not certain yet.
                MandateStatus::Undecided => return Ok(MandateSnapshot { provider_ref: None, ..shown }),
                MandateStatus::Active
                | MandateStatus::Paused
                | MandateStatus::Revoking
                | MandateStatus::Revoked
                | MandateStatus::Expired
                | MandateStatus::Completed => return Ok(shown),
            }
        }
        if known.is_some() && asked.is_empty() {
            return Err(unreadable("the mandate's token is among none of its order's payments").into());
        }
        // Where all have failed and none was rejected, another may come as long as its day lasts.
        Ok(rejected.filter(|_| !is_open).unwrap_or_else(|| of_order(MandateSnapshot::of(MandateStatus::AwaitingApproval))))
    }
}

/// What names a payer, as requests have it. In the clear: it goes into their bodies and nowhere else.
struct Named {
    name: String,
    contact: String,
    email: String,
}

impl Named {
    /// `None`: something is missing.
    fn of(payer: &MandatePayer) -> Option<Self> {
        let MandatePayer { vpa: _, name, phone: _, email: _ } = payer;
        let (contact, email) = reached(payer)?;
        Some(Self { name: name.as_ref()?.show(Sight::Clear), contact, email })
    }
}

/// A payer's phone number and e-mail address as requests have them, in the clear. `None`: one of them is missing.
pub fn reached(payer: &MandatePayer) -> Option<(String, String)> {
    let digits = ten_digits(payer.phone.as_ref()?)?;
    Some((format!("+91{digits}"), payer.email.as_ref()?.show(Sight::Clear)))
}

/// What the call for the customer came to, for the mandate: whatever became of it, the order was not sent yet.
fn before_the_order(sending: Sending, error: CallError) -> CallError {
    match (sending, error) {
        (Sending::First, CallError::InDoubt(cause)) => not_sent(&format!("the mandate has no customer yet: {cause}")),
        (_, error) => error,
    }
}

fn not_sent(cause: &str) -> CallError {
    CallError::NotDelivered(Cause(cause.to_owned()))
}

/// Their token as our picture of it.
pub fn to_snapshot(token: body::Token) -> Result<MandateSnapshot, Unreadable> {
    let body::Token { id: token_id, entity, method: _, vpa, recurring_details, max_amount } = token;
    is_a("token", entity.as_deref())?;
    let body::RecurringDetails { status, failure_reason } = recurring_details;
    // A payer that can't be read is no reason to lose sight of his mandate.
    let payer_vpa = vpa.username.zip(vpa.handle).and_then(|(username, handle)| Vpa::parse(&format!("{username}@{handle}")).ok());
    Ok(MandateSnapshot {
        provider_ref: Some(id("token", token_id)?),
        max_amount: max_amount.map(Money::from_paise),
        payer_vpa,
        ..MandateSnapshot::of(to_status(status.as_deref(), failure_reason.as_deref()))
    })
}

fn to_status(word: Option<&str>, failure_reason: Option<&str>) -> MandateStatus {
    match word {
        Some("initiated") => MandateStatus::AwaitingApproval,
        // The second is how a resumption is told of in a callback.
        Some("confirmed" | "resumed") => MandateStatus::Active,
        Some("paused") => MandateStatus::Paused,
        Some("cancellation_initiated") => MandateStatus::Revoking,
        Some("cancelled") => MandateStatus::Revoked,
        Some("rejected") => MandateStatus::Rejected { code: String::new(), message: told::message(failure_reason) },
        Some(_) | None => MandateStatus::Undecided,
    }
}

/// What a payment tells of the mandate that it registered: which token it is. `None`: it registered none.
pub fn of_payment(purpose: &wire::PaymentPurpose) -> Result<Option<MandateSnapshot>, Unreadable> {
    let wire::PaymentPurpose { order_id: Some(order), token_id: Some(token), customer_id, notes, .. } = purpose else { return Ok(None) };
    // A debit has an order of its own, which registered nothing.
    if notes.get(PURPOSE_NOTE).is_none_or(|purpose| purpose != REGISTRATION) {
        return Ok(None);
    }
    Ok(Some(MandateSnapshot {
        provider_ref: Some(id("payment's token", Some(token.clone()))?),
        registration_ref: Some(id("payment's order", Some(order.clone()))?),
        customer_ref: customer_id.clone().map(|customer| id("payment's customer", Some(customer))).transpose()?,
        ..MandateSnapshot::of(MandateStatus::Undecided)
    }))
}
