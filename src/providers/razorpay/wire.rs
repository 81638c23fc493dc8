//! Razorpay's JSON as documented, and nothing else. It reads what may be read: unknown fields and values, missing ones,
//! the same thing in several forms. Only what is near money is strict: an amount that is no integer is no amount.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// What can't be read as what it should be. It names no value: values may be personal data.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// The body that asks for a code.
#[derive(Debug, Serialize)]
pub struct CreateQr<'a> {
    pub r#type: &'static str,
    pub usage: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    pub fixed_amount: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_amount: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_by: Option<i64>,
    pub notes: BTreeMap<&'a str, &'a str>,
}

/// A code.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct QrCode {
    #[serde(deserialize_with = "text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub entity: Option<String>,
    #[serde(deserialize_with = "text")]
    pub image_url: Option<String>,
    /// The `upi://` text; only where the account has it switched on.
    #[serde(deserialize_with = "text")]
    pub image_content: Option<String>,
    pub payment_amount: Option<i64>,
    pub fixed_amount: Option<bool>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "notes")]
    pub notes: BTreeMap<String, String>,
    #[serde(deserialize_with = "seconds")]
    pub close_by: Option<i64>,
    #[serde(deserialize_with = "seconds")]
    pub closed_at: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub close_reason: Option<String>,
}

/// Of any entity, what tells which request of ours it belongs to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Noted {
    #[serde(deserialize_with = "notes")]
    pub notes: BTreeMap<String, String>,
}

/// Of a code, which one it is. Readable whatever the rest is like.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NamedCode {
    #[serde(deserialize_with = "text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub entity: Option<String>,
    #[serde(deserialize_with = "notes")]
    pub notes: BTreeMap<String, String>,
}

/// Of a payment, what tells what it was made for. Readable whatever the rest is like.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PaymentPurpose {
    #[serde(deserialize_with = "text")]
    pub method: Option<String>,
    #[serde(deserialize_with = "text")]
    pub order_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub invoice_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub description: Option<String>,
    /// The payer and the mandate, where it has to do with one.
    #[serde(deserialize_with = "text")]
    pub customer_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub token_id: Option<String>,
    #[serde(deserialize_with = "notes")]
    pub notes: BTreeMap<String, String>,
}

/// A payment.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Payment {
    #[serde(deserialize_with = "text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub entity: Option<String>,
    pub amount: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub currency: Option<String>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    pub captured: Option<bool>,
    pub amount_refunded: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub refund_status: Option<String>,
    pub fee: Option<i64>,
    pub tax: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub vpa: Option<String>,
    #[serde(deserialize_with = "text")]
    pub email: Option<String>,
    #[serde(deserialize_with = "text")]
    pub contact: Option<String>,
    #[serde(deserialize_with = "text")]
    pub error_code: Option<String>,
    #[serde(deserialize_with = "text")]
    pub error_description: Option<String>,
    #[serde(deserialize_with = "text")]
    pub error_reason: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub acquirer_data: AcquirerData,
    #[serde(deserialize_with = "lenient")]
    pub upi: Upi,
    #[serde(deserialize_with = "seconds")]
    pub created_at: Option<i64>,
}

/// What the banks call a payment.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AcquirerData {
    #[serde(deserialize_with = "text")]
    pub rrn: Option<String>,
    #[serde(deserialize_with = "text")]
    pub upi_transaction_id: Option<String>,
}

/// What only UPI payments have.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Upi {
    #[serde(deserialize_with = "text")]
    pub vpa: Option<String>,
}

/// The body that asks for a refund.
#[derive(Debug, Serialize)]
pub struct CreateRefund<'a> {
    pub amount: i64,
    pub speed: &'static str,
    pub receipt: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<&'a str, &'a str>,
}

/// A refund.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Refund {
    #[serde(deserialize_with = "text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub entity: Option<String>,
    pub amount: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub currency: Option<String>,
    #[serde(deserialize_with = "text")]
    pub payment_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub receipt: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub acquirer_data: RefundAcquirerData,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub speed_requested: Option<String>,
    #[serde(deserialize_with = "text")]
    pub speed_processed: Option<String>,
    #[serde(deserialize_with = "seconds")]
    pub created_at: Option<i64>,
}

/// What the banks call a refund: one of these at most.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RefundAcquirerData {
    #[serde(deserialize_with = "text")]
    pub rrn: Option<String>,
    #[serde(deserialize_with = "text")]
    pub arn: Option<String>,
    #[serde(deserialize_with = "text")]
    pub utr: Option<String>,
}

/// Of a refund, what tells which request of ours it belongs to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Receipted {
    #[serde(deserialize_with = "text")]
    pub receipt: Option<String>,
}

/// A settlement.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settlement {
    #[serde(deserialize_with = "text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub entity: Option<String>,
    pub amount: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    pub fees: Option<i64>,
    pub tax: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub utr: Option<String>,
    #[serde(deserialize_with = "seconds")]
    pub created_at: Option<i64>,
}

/// A line of the report on what was settled. It has no `entity`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReconLine {
    #[serde(deserialize_with = "text")]
    pub entity_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub r#type: Option<String>,
    pub debit: Option<i64>,
    pub credit: Option<i64>,
    pub amount: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub currency: Option<String>,
    pub fee: Option<i64>,
    pub tax: Option<i64>,
    pub settled: Option<bool>,
    #[serde(deserialize_with = "seconds")]
    pub created_at: Option<i64>,
    #[serde(deserialize_with = "seconds")]
    pub settled_at: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub settlement_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub settlement_utr: Option<String>,
    #[serde(deserialize_with = "text")]
    pub description: Option<String>,
    /// Of a refund or a transfer: the payment that it belongs to.
    #[serde(deserialize_with = "text")]
    pub payment_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub method: Option<String>,
    #[serde(deserialize_with = "text")]
    pub order_id: Option<String>,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// How many items this page should have.
    #[serde(default)]
    pub count: Option<u64>,
    pub items: Vec<Box<RawValue>>,
}

/// The error of an answer that is no success.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Failure {
    #[serde(deserialize_with = "text")]
    pub code: Option<String>,
    #[serde(deserialize_with = "text")]
    pub description: Option<String>,
    #[serde(deserialize_with = "text")]
    pub reason: Option<String>,
}

/// A callback.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    #[serde(deserialize_with = "text")]
    pub account_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub event: Option<String>,
    pub payload: Option<Box<RawValue>>,
    #[serde(deserialize_with = "seconds")]
    pub created_at: Option<i64>,
}

/// What a callback carries, as far as we look at it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Payload {
    pub payment: Option<Carried>,
    pub qr_code: Option<Carried>,
    pub refund: Option<Carried>,
    pub settlement: Option<Carried>,
    pub token: Option<Carried>,
    pub notification: Option<Carried>,
    /// Some events have their time here.
    #[serde(deserialize_with = "seconds")]
    pub created_at: Option<i64>,
}

/// An entity in a callback.
#[derive(Debug, Deserialize)]
pub struct Carried {
    pub entity: Box<RawValue>,
}

/// Reads `json`, an object, as a `what`. Left to itself the reader would also take a list, its items for the fields in the
/// order in which we happen to declare them.
pub fn read<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, Unreadable> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(Unreadable(format!("the {what} is no JSON object")));
    }
    serde_json::from_slice(json).map_err(|error| {
        let (kind, line, column) = (error.classify(), error.line(), error.column());
        Unreadable(format!("the {what} can't be read: {kind:?} error at line {line}, column {column}"))
    })
}

/// The error in the body of an answer, if there is one.
pub fn failure(json: &[u8]) -> Option<Failure> {
    #[derive(Deserialize)]
    struct Body {
        error: Failure,
    }
    serde_json::from_slice::<Body>(json).ok().map(|body| body.error)
}

/// A text; `None` for everything else, the empty text included.
pub fn text<'de, D: Deserializer<'de>>(json: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(json)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

/// Unix seconds as a number or as digits. Null, zero and the empty text all stand for no time.
pub fn seconds<'de, D: Deserializer<'de>>(json: D) -> Result<Option<i64>, D::Error> {
    let no_time = || D::Error::custom("not a time");
    let seconds = match Value::deserialize(json)? {
        Value::Null => 0,
        Value::Number(number) => number.as_i64().ok_or_else(no_time)?,
        Value::String(digits) if digits.is_empty() => 0,
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| no_time())?,
        _ => return Err(no_time()),
    };
    Ok(Some(seconds).filter(|seconds| *seconds != 0))
}

/// An object's texts. The other forms (an empty list, null, a text) have none.
pub fn notes<'de, D: Deserializer<'de>>(json: D) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(pairs) = Value::deserialize(json)? else { return Ok(BTreeMap::new()) };
    let texts = pairs.into_iter().filter_map(|(key, value)| match value {
        Value::String(text) => Some((key, text)),
        _ => None,
    });
    Ok(texts.collect())
}

/// A part without which the whole still makes sense.
pub fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(json: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(json)?).unwrap_or_default())
}
