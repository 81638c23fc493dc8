//! OQPay's JSON as documented, and nothing else. Its documentation types flags and numbers as texts where its samples don't,
//! so both are read. Only what is near money is strict.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::money::Money;
use crate::providers::reading::{text, word};
use crate::providers::rupees::rupees;

/// The body that asks for a code. It has no `Debug`: it holds a secret and somebody's data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateQr<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_mobile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_email: Option<&'a str>,
    /// Whole rupees.
    pub amount: i64,
    #[serde(rename = "registrationID")]
    pub registration_id: &'a str,
}

/// An answer to that. A success has `success` and `data`, an error has `status` and `subCode`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Answer {
    pub success: Option<Box<RawValue>>,
    pub data: Option<Box<RawValue>>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "word")]
    pub sub_code: Option<String>,
    #[serde(deserialize_with = "text")]
    pub message: Option<String>,
}

impl Answer {
    /// Whether it says that it is a success, as a flag or as a text.
    pub fn is_success(&self) -> bool {
        self.success.as_ref().is_some_and(|success| matches!(success.get(), "true" | "\"true\""))
    }
}

/// A code.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Code {
    #[serde(deserialize_with = "text")]
    pub txn_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub ref_id: Option<String>,
    #[serde(deserialize_with = "rupees")]
    pub amount: Option<Money>,
    #[serde(deserialize_with = "text")]
    pub qr_string: Option<String>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "time")]
    pub expires_at: Option<String>,
}

/// A callback. Its names are in another style than those of the answers.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Callback {
    #[serde(deserialize_with = "word")]
    pub utr: Option<String>,
    #[serde(deserialize_with = "rupees")]
    pub amount: Option<Money>,
    #[serde(deserialize_with = "text")]
    pub ref_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub txn_id: Option<String>,
    #[serde(rename = "payeeVpa", deserialize_with = "text")]
    pub payee_vpa: Option<String>,
    #[serde(deserialize_with = "text")]
    pub timestamp: Option<String>,
}

/// A time as it stands. What is neither a text nor null is no time, and not the same as none.
fn time<'de, D: Deserializer<'de>>(json: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(json)? {
        Value::Null => None,
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    })
}
