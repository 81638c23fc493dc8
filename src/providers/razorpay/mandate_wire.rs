//! Razorpay's JSON about mandates and debits as documented, and nothing else: customers, orders, tokens, notifications, and
//! payments that are asked for. What holds personal data has no `Debug`.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::wire::{lenient, seconds, text};

/// The body that asks for a customer, or for the one that there is.
#[derive(Serialize)]
pub struct CreateCustomer<'a> {
    pub name: &'a str,
    pub contact: &'a str,
    pub email: &'a str,
    /// A text: as a number it was ignored or refused.
    pub fail_existing: &'static str,
}

/// A customer, as far as we look at him.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Customer {
    #[serde(deserialize_with = "text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub entity: Option<String>,
}

/// The body that asks for an order: of a mandate's registration with a `token`, of a debit with a `notification`.
#[derive(Debug, Serialize)]
pub struct CreateOrder<'a> {
    pub amount: i64,
    pub currency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Terms>,
    pub payment_capture: bool,
    pub receipt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification: Option<AskedNotification<'a>>,
    pub notes: BTreeMap<&'a str, &'a str>,
}

/// What the payer of a mandate agrees to.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Terms {
    pub max_amount: i64,
    pub expire_at: i64,
    pub frequency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurring_value: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurring_type: Option<&'static str>,
}

/// The notice that an order is made with.
#[derive(Debug, Serialize)]
pub struct AskedNotification<'a> {
    pub token_id: &'a str,
    pub payment_after: i64,
}

/// An order.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Order {
    #[serde(deserialize_with = "text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub entity: Option<String>,
    pub amount: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub currency: Option<String>,
    #[serde(deserialize_with = "text")]
    pub receipt: Option<String>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    /// In no sample of an answer.
    #[serde(deserialize_with = "text")]
    pub customer_id: Option<String>,
    /// Only of orders that were made with one, and not in every answer.
    #[serde(deserialize_with = "notification")]
    pub notification: Option<Notification>,
    #[serde(deserialize_with = "seconds")]
    pub created_at: Option<i64>,
}

/// A notice to a payer: within its order, or alone in a callback.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Notification {
    #[serde(deserialize_with = "text")]
    pub entity: Option<String>,
    /// Only in callbacks.
    #[serde(deserialize_with = "text")]
    pub order_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub token_id: Option<String>,
    /// Missing as long as nothing is known.
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "seconds")]
    pub delivered_at: Option<i64>,
}

/// The body that asks for the payment by which a mandate is approved.
#[derive(Serialize)]
pub struct CreateUpiPayment<'a> {
    pub amount: i64,
    pub currency: &'static str,
    pub order_id: &'a str,
    pub customer_id: &'a str,
    pub recurring: &'static str,
    pub email: &'a str,
    pub contact: &'a str,
    pub method: &'static str,
    pub upi: UpiFlow,
    pub description: &'a str,
    pub notes: BTreeMap<&'a str, &'a str>,
}

/// How a payer is to approve.
#[derive(Debug, Serialize)]
pub struct UpiFlow {
    pub flow: &'static str,
}

/// The body that asks for a debit.
#[derive(Serialize)]
pub struct CreateRecurringPayment<'a> {
    pub email: &'a str,
    pub contact: &'a str,
    pub amount: i64,
    pub currency: &'static str,
    pub order_id: &'a str,
    pub customer_id: &'a str,
    /// The token's id.
    pub token: &'a str,
    pub recurring: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    pub notes: BTreeMap<&'a str, &'a str>,
}

/// A payment that was asked for.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PaymentTaken {
    #[serde(deserialize_with = "text")]
    pub razorpay_payment_id: Option<String>,
    /// Only in some samples.
    #[serde(deserialize_with = "text")]
    pub razorpay_order_id: Option<String>,
    /// Where the payer approves.
    #[serde(deserialize_with = "text")]
    pub link: Option<String>,
}

/// Of a payment, what tells what came of the mandate that it was to register.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Approval {
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub order_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub customer_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub token_id: Option<String>,
}

/// A token, which is what a mandate is called here.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Token {
    #[serde(deserialize_with = "text")]
    pub id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub entity: Option<String>,
    #[serde(deserialize_with = "text")]
    pub method: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub vpa: TokenVpa,
    #[serde(deserialize_with = "lenient")]
    pub recurring_details: RecurringDetails,
    pub max_amount: Option<i64>,
}

/// The payer's address in two parts.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TokenVpa {
    #[serde(deserialize_with = "text")]
    pub username: Option<String>,
    #[serde(deserialize_with = "text")]
    pub handle: Option<String>,
}

/// How a token stands.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RecurringDetails {
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub failure_reason: Option<String>,
}

/// The answer to a cancellation.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Cancelled {
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
}

/// What says how a payer was told is read whole or not at all.
fn notification<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Notification>, D::Error> {
    match Value::deserialize(json)? {
        Value::Null => Ok(None),
        // Errors of parts name values.
        object @ Value::Object(_) => serde_json::from_value(object).map(Some).map_err(|_| D::Error::custom("not a notification")),
        _ => Err(D::Error::custom("not a notification")),
    }
}
