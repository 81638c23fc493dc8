//! Callbacks: proof that Razorpay sent them, and what they tell. It knows nothing of what was asked for: whether a payment
//! belongs to a code of ours is the engine's to find out, unless the callback says so itself.

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::value::RawValue;

use super::violations::REFERENCE_NOTE;
use super::wire::{self, Unreadable};
use super::{debit, id, is_a, mandate, mandate_wire, payment, qr, refund, settlement, time};
use crate::domain::payment::{PaymentSnapshot, PaymentStatus};
use crate::domain::refund::RefundSnapshot;
use crate::held::Held;
use crate::providers::signature::{Verified, hmac_sha256_hex};
use crate::providers::{BadSignature, Callback, NotUnderstood, Observation, PaymentOrigin, ProvedCallbacks, Sender, told};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

const SIGNATURE: &str = "x-razorpay-signature";
/// What the provider writes into the description of every payment to a code.
pub(super) const QR_PAYMENT: &str = "QRv2 Payment";

/// Events about a payment.
const PAYMENT_EVENTS: &[&str] = &["payment.authorized", "payment.captured", "payment.failed"];
/// Events about a refund and its payment.
const REFUND_EVENTS: &[&str] = &["refund.created", "refund.processed", "refund.failed", "refund.speed_changed"];
/// Events about a mandate.
const TOKEN_EVENTS: &[&str] =
    &["token.confirmed", "token.rejected", "token.cancelled", "token.cancellation_initiated", "token.paused", "token.resumed"];
/// Events about the notice to a payer that was sent with an order.
const NOTICE_EVENTS: &[&str] = &["order.notification.delivered", "order.notification.failed"];
/// Events of products that we don't use, and of what other events tell as well.
const FOREIGN: &[&str] = &["order.paid", "payment.pending", "transaction.created"];
/// The same by the beginnings of their names.
const FOREIGN_FAMILIES: &[&str] = &[
    "account.",
    "fund_account.",
    "invoice.",
    "payment.dispute.",
    "payment.downtime.",
    "payment_link.",
    "payout.",
    "payout_link.",
    "product.route.",
    "subscription.",
    "transfer.",
    "virtual_account.",
];

/// Callbacks about one account.
pub struct RazorpayWebhooks {
    secrets: Held<Vec<SecretString>>,
    account_id: Option<String>,
}

impl RazorpayWebhooks {
    pub fn new(secrets: Held<Vec<SecretString>>, account_id: Option<String>) -> Self {
        Self { secrets, account_id }
    }
}

impl ProvedCallbacks for RazorpayWebhooks {
    fn verify(&self, sender: &Sender<'_>, body: Bytes) -> Result<Verified, BadSignature> {
        let signature = sender.headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).ok_or(BadSignature)?;
        hmac_sha256_hex(&self.secrets.get(), signature, body)
    }

    fn read(&self, callback: &Verified) -> Result<Callback, NotUnderstood> {
        read(callback.body(), self.account_id.as_deref())
    }
}

fn read(body: &[u8], account_id: Option<&str>) -> Result<Callback, NotUnderstood> {
    let wire::Event { account_id: named, event, payload, created_at } = wire::read("callback", body)?;
    if account_id.is_some() && account_id != named.as_deref() {
        return Err(NotUnderstood("it names another account than is configured, or none".to_owned()));
    }
    let event = event.ok_or_else(|| NotUnderstood("it does not say what happened".to_owned()))?;
    if FOREIGN.contains(&event.as_str()) || FOREIGN_FAMILIES.iter().any(|family| event.starts_with(family)) {
        return Ok(Callback::Foreign { event });
    }

    let payload = payload.ok_or_else(|| NotUnderstood("it carries nothing".to_owned()))?;
    let payload: wire::Payload = wire::read("payload", payload.get().as_bytes())?;
    let occurred = created_at.or(payload.created_at);
    let observations = match event.as_str() {
        "qr_code.created" | "qr_code.closed" => {
            let code = qr::to_snapshot(wire::read("QR code", entity(payload.qr_code.as_ref(), "QR code")?.get().as_bytes())?)?;
            vec![Observation::Qr(code)]
        }
        // The code is shown as it was before this payment: all that counts of it is which one it is.
        "qr_code.credited" => {
            let code = entity(payload.qr_code.as_ref(), "QR code")?;
            let wire::NamedCode { id: code_id, entity: kind, mut notes } = wire::read("QR code", code.get().as_bytes())?;
            is_a("qr_code", kind.as_deref())?;
            let payment = entity(payload.payment.as_ref(), "payment")?;
            let our_ref = notes.remove(REFERENCE_NOTE).or(purpose(payment)?.notes.remove(REFERENCE_NOTE));
            let origin = PaymentOrigin::Named { provider_ref: Some(id("QR code", code_id)?), our_ref };
            vec![Observation::Payment { snapshot: payment_snapshot(payment)?, origin }]
        }
        name if PAYMENT_EVENTS.contains(&name) || REFUND_EVENTS.contains(&name) => {
            let payment = entity(payload.payment.as_ref(), "payment")?;
            let purpose = purpose(payment)?;
            let registered = mandate::of_payment(&purpose)?;
            let origin = match origin(purpose)? {
                // Not even looked at, nor is its refund: it may be by card, or in dollars.
                PaymentOrigin::Elsewhere => return Ok(Callback::Foreign { event }),
                origin => origin,
            };
            let snapshot = payment_snapshot(payment)?;
            // After the payment: a mandate is looked at with what it collected already written down.
            let registered = registered.filter(|_| matches!(snapshot.status, PaymentStatus::Authorized | PaymentStatus::Captured));
            let registered = registered.map(Observation::Mandate);
            let refund = REFUND_EVENTS.contains(&name).then(|| refund_of(&snapshot, &payload)).transpose()?;
            // The refund itself says what moved. Whether the sum beside it counts a refund that failed is not published.
            let snapshot = if refund.is_some() { PaymentSnapshot { refunded: None, ..snapshot } } else { snapshot };
            [Observation::Payment { snapshot, origin }].into_iter().chain(refund.map(Observation::Refund)).chain(registered).collect()
        }
        name if TOKEN_EVENTS.contains(&name) => {
            let carried = entity(payload.token.as_ref(), "token")?;
            let token: mandate_wire::Token = wire::read("token", carried.get().as_bytes())?;
            // Cards have tokens too, and so have mandates by other ways than UPI.
            if token.method.as_deref().is_some_and(|method| method != "upi") {
                return Ok(Callback::Foreign { event });
            }
            vec![Observation::Mandate(mandate::to_snapshot(token)?)]
        }
        name if NOTICE_EVENTS.contains(&name) => {
            let carried = entity(payload.notification.as_ref(), "notification")?;
            let (order_ref, status) = debit::of_notification(wire::read("notification", carried.get().as_bytes())?)?;
            vec![Observation::Notice { order_ref, status }]
        }
        "settlement.processed" => {
            let carried = entity(payload.settlement.as_ref(), "settlement")?;
            vec![Observation::Settlement(settlement::to_snapshot(wire::read("settlement", carried.get().as_bytes())?)?)]
        }
        _ => return Err(NotUnderstood(format!("it tells of the unheard-of event `{}`", told::token(&event)))),
    };
    let occurred = occurred.ok_or_else(|| NotUnderstood("it does not say when it happened".to_owned()))?;
    Ok(Callback::Facts { event, occur_time: time(occurred)?, observations })
}

/// What a payment was made for, as far as it says so itself.
fn origin(purpose: wire::PaymentPurpose) -> Result<PaymentOrigin, Unreadable> {
    let wire::PaymentPurpose { method, order_id, invoice_id, description, customer_id: _, token_id: _, mut notes } = purpose;
    let our_ref = notes.remove(REFERENCE_NOTE);
    // One page of the documentation has an order made for every payment to a code; the samples have none.
    let is_of_code = description.is_some_and(|text| text == QR_PAYMENT);
    let order_id = order_id.filter(|_| !is_of_code);
    let is_upi = method.is_none_or(|method| method == "upi");
    Ok(match (order_id, our_ref) {
        (None, our_ref @ Some(_)) => PaymentOrigin::Named { provider_ref: None, our_ref },
        (Some(order), our_ref @ Some(_)) => PaymentOrigin::Named { provider_ref: Some(id("payment's order", Some(order))?), our_ref },
        (_, None) if !is_upi || (invoice_id.is_some() && !is_of_code) => PaymentOrigin::Elsewhere,
        // Whose order it is, whoever keeps the orders of debits and mandates knows.
        (Some(order), None) => PaymentOrigin::Named { provider_ref: Some(id("payment's order", Some(order))?), our_ref: None },
        (None, None) => PaymentOrigin::Untold,
    })
}

/// What a callback carries of one kind.
fn entity<'a>(carried: Option<&'a wire::Carried>, what: &str) -> Result<&'a RawValue, NotUnderstood> {
    let carried = carried.ok_or_else(|| NotUnderstood(format!("it carries no {what}")))?;
    Ok(&carried.entity)
}

/// The refund that comes beside its payment.
fn refund_of(payment: &PaymentSnapshot, payload: &wire::Payload) -> Result<RefundSnapshot, NotUnderstood> {
    let carried = entity(payload.refund.as_ref(), "refund")?;
    let refund = refund::to_snapshot(wire::read("refund", carried.get().as_bytes())?)?;
    if refund.payment_ref != payment.provider_ref {
        return Err(NotUnderstood("its refund is of another payment than it carries".to_owned()));
    }
    Ok(refund)
}

fn purpose(payment: &RawValue) -> Result<wire::PaymentPurpose, NotUnderstood> {
    Ok(wire::read("payment", payment.get().as_bytes())?)
}

fn payment_snapshot(payment: &RawValue) -> Result<PaymentSnapshot, NotUnderstood> {
    Ok(payment::to_snapshot(wire::read("payment", payment.get().as_bytes())?)?)
}

impl From<Unreadable> for NotUnderstood {
    fn from(error: Unreadable) -> Self {
        NotUnderstood(error.0)
    }
}
