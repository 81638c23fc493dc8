//! Callbacks: proof that Razorpay sent them, and what they tell. It knows nothing of what was asked for: whether a payment
//! belongs to a code of ours is the engine's to find out, unless the callback says so itself.

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use super::qr::REFERENCE_NOTE;
use super::wire::{self, Unreadable};
use super::{is_a, payment, qr, time};
use crate::domain::payment::PaymentSnapshot;
use crate::providers::signature::{Verified, hmac_sha256_hex};
use crate::providers::{BadSignature, Callback, NotUnderstood, Observation, PaymentOrigin, ProvedCallbacks, Sender, told};

#[cfg(test)]
mod tests;

const SIGNATURE: &str = "x-razorpay-signature";
/// What the provider writes into the description of every payment to a code.
const QR_PAYMENT: &str = "QRv2 Payment";

/// Events about a payment.
const PAYMENT_EVENTS: &[&str] = &[
    "payment.authorized",
    "payment.captured",
    "payment.failed",
    "refund.created",
    "refund.processed",
    "refund.failed",
    "refund.speed_changed",
];
/// Events of products that we don't use, or do not use yet: settlements, mandates and their notifications will have
/// readers of their own.
const FOREIGN: &[&str] = &["order.paid", "payment.pending", "settlement.processed", "transaction.created"];
/// The same by the beginnings of their names.
const FOREIGN_FAMILIES: &[&str] = &[
    "account.",
    "fund_account.",
    "invoice.",
    "order.notification.",
    "payment.dispute.",
    "payment.downtime.",
    "payment_link.",
    "payout.",
    "payout_link.",
    "product.route.",
    "subscription.",
    "token.",
    "transfer.",
    "virtual_account.",
];

/// Callbacks about one account.
pub struct RazorpayWebhooks {
    secrets: Vec<SecretString>,
    account_id: Option<String>,
}

impl RazorpayWebhooks {
    pub fn new(secrets: Vec<SecretString>, account_id: Option<String>) -> Self {
        // Anybody can sign with an empty secret.
        let secrets = secrets.into_iter().filter(|secret| !secret.expose_secret().is_empty()).collect();
        Self { secrets, account_id }
    }
}

impl ProvedCallbacks for RazorpayWebhooks {
    fn verify(&self, sender: &Sender<'_>, body: Bytes) -> Result<Verified, BadSignature> {
        let signature = sender.headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).ok_or(BadSignature)?;
        hmac_sha256_hex(&self.secrets, signature, body)
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
    let observation = match event.as_str() {
        "qr_code.created" | "qr_code.closed" => {
            Observation::Qr(qr::to_snapshot(wire::read("QR code", the_code(&payload)?.get().as_bytes())?)?)
        }
        // The code is shown as it was before this payment: all that counts of it is which one it is.
        "qr_code.credited" => {
            let wire::NamedCode { id, entity, mut notes } = wire::read("QR code", the_code(&payload)?.get().as_bytes())?;
            is_a("qr_code", entity.as_deref())?;
            let payment = the_payment(&payload)?;
            let our_ref = notes.remove(REFERENCE_NOTE).or(purpose(payment)?.notes.remove(REFERENCE_NOTE));
            let origin = PaymentOrigin::Qr { provider_ref: Some(super::id("QR code", id)?), our_ref };
            Observation::Payment { snapshot: payment_snapshot(payment)?, origin }
        }
        event_name if PAYMENT_EVENTS.contains(&event_name) => {
            let payment = the_payment(&payload)?;
            match origin(purpose(payment)?) {
                // Not even looked at: it may be by card, or in dollars.
                PaymentOrigin::Elsewhere => return Ok(Callback::Foreign { event }),
                origin => Observation::Payment { snapshot: payment_snapshot(payment)?, origin },
            }
        }
        _ => return Err(NotUnderstood(format!("it tells of the unheard-of event `{}`", told::token(&event)))),
    };
    let occurred = occurred.ok_or_else(|| NotUnderstood("it does not say when it happened".to_owned()))?;
    Ok(Callback::Facts { event, occur_time: time(occurred)?, observations: vec![observation] })
}

/// What a payment was made for, as far as it says so itself.
fn origin(purpose: wire::PaymentPurpose) -> PaymentOrigin {
    let wire::PaymentPurpose { method, order_id, invoice_id, description, mut notes } = purpose;
    if let Some(our_ref) = notes.remove(REFERENCE_NOTE) {
        return PaymentOrigin::Qr { provider_ref: None, our_ref: Some(our_ref) };
    }
    let is_upi = method.is_none_or(|method| method == "upi");
    // One page of the documentation has an order made for every payment to a code; the samples have none.
    let for_other_product = (order_id.is_some() || invoice_id.is_some()) && description.is_none_or(|text| text != QR_PAYMENT);
    if !is_upi || for_other_product { PaymentOrigin::Elsewhere } else { PaymentOrigin::Untold }
}

fn the_code(payload: &wire::Payload) -> Result<&RawValue, NotUnderstood> {
    let carried = payload.qr_code.as_ref().ok_or_else(|| NotUnderstood("it carries no QR code".to_owned()))?;
    Ok(&carried.entity)
}

fn the_payment(payload: &wire::Payload) -> Result<&RawValue, NotUnderstood> {
    let carried = payload.payment.as_ref().ok_or_else(|| NotUnderstood("it carries no payment".to_owned()))?;
    Ok(&carried.entity)
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
