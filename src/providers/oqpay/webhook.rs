//! Callbacks: what they tell of a payment. Nothing signs them; whether the secret URL and the sender's address are proof
//! enough is the configuration's to say. It knows nothing of what was asked for.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{CallbacksProve, wire};
use crate::domain::money::Money;
use crate::domain::payment::{Payer, PaymentSnapshot, PaymentStatus};
use crate::domain::personal::Vpa;
use crate::providers::http::Url;
use crate::providers::reading::{bank_reference, id, read};
use crate::providers::signature::{Verified, url_secret};
use crate::providers::told::token;
use crate::providers::{
    BadSignature, Callback, Hint, HintCallback, HintingCallbacks, NotUnderstood, Observation, PaymentOrigin, ProvedCallbacks, Sender,
};

#[cfg(test)]
mod tests;

/// The only status that is documented.
const SUCCESS: &str = "SUCCESS";
/// The most fields of a form. The documented callback has eight.
const FIELDS_MAX: usize = 64;

/// Callbacks where the sender's address is evidence.
pub struct OqpayWebhooks {
    pub(super) prove: CallbacksProve,
    pub(super) payees: Payees,
}

/// Callbacks that prove nothing.
pub struct OqpayHints {
    pub(super) payees: Payees,
}

/// The addresses that payments may be collected at besides the code's own.
#[derive(Clone, Default)]
pub struct Payees(pub(super) Vec<Vpa>);

impl Payees {
    /// The payee that has to be compared with the code's; `None`: it is fine, or it is not told, or none is compared.
    fn to_compare(&self, told: Option<String>) -> Option<Vpa> {
        let payee = Vpa::parse(&told?).ok()?;
        let compares = !self.0.is_empty() && !self.0.contains(&payee);
        compares.then_some(payee)
    }
}

/// A payment to a code, as a callback tells of it.
struct Told {
    ref_id: String,
    /// The provider's word for what happened.
    event: String,
    snapshot: PaymentSnapshot,
}

impl ProvedCallbacks for OqpayWebhooks {
    fn verify(&self, sender: &Sender<'_>, body: Bytes) -> Result<Verified, BadSignature> {
        url_secret((self.prove)(sender.address), body)
    }

    fn read(&self, callback: &Verified) -> Result<Callback, NotUnderstood> {
        let Told { ref_id, event, snapshot } = told(callback.body(), &self.payees)?;
        let occur_time = snapshot.pay_time;
        let origin = PaymentOrigin::Named { provider_ref: Some(ref_id), our_ref: None };
        Ok(Callback::Facts { event, occur_time, observations: vec![Observation::Payment { snapshot, origin }] })
    }
}

impl HintingCallbacks for OqpayHints {
    fn hint(&self, body: &[u8]) -> Result<HintCallback, NotUnderstood> {
        let Told { ref_id, event, snapshot } = told(body, &self.payees)?;
        let payment_ref = Some(snapshot.provider_ref.clone());
        Ok(HintCallback::Hint(Hint { event, refs: vec![ref_id], payment_ref, claim: Some(Box::new(snapshot)) }))
    }
}

fn told(body: &[u8], payees: &Payees) -> Result<Told, NotUnderstood> {
    let wire::Callback { utr, amount, ref_id, status, txn_id, payee_vpa, timestamp } = callback(body)?;
    let missing = |what: &str| NotUnderstood(format!("it has no {what}, or none that can be read"));
    let amount = amount.filter(|amount| *amount > Money::ZERO).ok_or_else(|| missing("amount"))?;
    let word = status.ok_or_else(|| missing("status"))?;
    // No other status is documented: what another one means for the money is not guessed.
    let status = if word == SUCCESS { PaymentStatus::Captured } else { PaymentStatus::Undecided };
    let provider_status = Some(token(&word));
    let pay_time = timestamp.and_then(|text| text.parse().ok()).ok_or_else(|| missing("timestamp"))?;
    Ok(Told {
        ref_id: id("QR code", ref_id)?,
        event: token(&word),
        snapshot: PaymentSnapshot {
            provider_ref: id("payment", txn_id)?,
            status,
            amount,
            fee: None,
            tax: None,
            refunded: None,
            rrn: bank_reference(utr),
            upi_transaction_id: None,
            payer: Payer::default(),
            pay_time,
            payee: payees.to_compare(payee_vpa),
            credited: None,
            provider_status,
        },
    })
}

/// A callback comes as JSON or "encoded" (Q1). What the latter is, is not said: a form is the usual thing, so that is read
/// too.
fn callback(body: &[u8]) -> Result<wire::Callback, NotUnderstood> {
    if body.trim_ascii_start().starts_with(b"{") {
        return Ok(read("callback", body)?);
    }
    let neither = || NotUnderstood("it is neither JSON nor a form".to_owned());
    let form = std::str::from_utf8(body).map_err(|_| neither())?.trim();
    // The crate that reads URLs reads their queries by the rule for forms.
    let mut url: Url = "form:".parse().map_err(|_| neither())?;
    url.set_query(Some(form));
    let mut fields = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        if fields.len() == FIELDS_MAX || fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(NotUnderstood("it is a form with too many fields, or with one of them twice".to_owned()));
        }
    }
    let json = serde_json::to_vec(&fields).map_err(|_| neither())?;
    Ok(read("callback", &json)?)
}
