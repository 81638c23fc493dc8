//! EnKash's JSON of mandates and debits as documented for G2, in camelCase [P26] to [P29]. Of G3 one fragment is known, and it
//! is in snake_case [P30]: so requests are spelt as configured, and answers are read in both spellings. Every field that is
//! read may be missing.

use std::collections::BTreeMap;

use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::words::Naming;
use crate::domain::money::Money;
use crate::providers::reading::{text, word};
use crate::providers::rupees::rupees;

/// `POST /api/v0/upi-mandate` [P26].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateMandate<'a> {
    pub reference_id: &'a str,
    /// In the configured unit: which one it is is not published.
    pub amount: i64,
    /// `EXACT` or `MAX`.
    pub amount_rule: &'static str,
    pub currency: &'static str,
    pub payer: Payer,
    pub mandate_name: &'a str,
    /// Until when the payer may approve [inferred].
    pub expiry: String,
    pub block_fund: bool,
    pub recurrence: Recurrence<'a>,
    pub validity: Validity,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
}

/// Whom a mandate is asked of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Payer {
    pub name: String,
    pub vpa: String,
    pub account: &'static str,
    /// Whether the payer's account has to be `account` [inferred].
    pub account_validation: bool,
}

#[derive(Serialize)]
pub struct Recurrence<'a> {
    pub period: &'a str,
    pub rule: &'a str,
    /// The number of a day [inferred].
    pub value: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validity {
    pub start_at: String,
    pub end_at: String,
}

/// `PATCH /api/v0/upi-mandate/revoke`: its first field, which is all that is readable [P30].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RevokeMandate<'a> {
    pub reference_id: &'a str,
}

/// `POST /api/v0/upi-mandate/notify` [P27].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notify<'a> {
    pub mandate_id: &'a str,
    /// Rupees with two decimals.
    pub amount: Box<RawValue>,
    pub debit_date: String,
}

/// `POST /api/v0/upi-mandate/execute` [P28]. It has no reference of the merchant's and no key that makes it safe to repeat.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Execute<'a> {
    pub mandate_id: &'a str,
    /// Rupees with two decimals.
    pub amount: Box<RawValue>,
    pub remarks: &'a str,
}

/// A mandate as it is shown. What creating, revoking and asking answer is not published: these are the fields of the callback
/// [P29] by which it is known again, and `status`, which the page of the get names in prose alone [P34].
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mandate {
    #[serde(alias = "reference_id", deserialize_with = "word")]
    pub reference_id: Option<String>,
    #[serde(alias = "mandate_id", deserialize_with = "word")]
    pub mandate_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    pub amount: Option<Box<RawValue>>,
    #[serde(deserialize_with = "text")]
    pub currency: Option<String>,
    #[serde(deserialize_with = "text")]
    pub umn: Option<String>,
    pub payer: Option<Box<RawValue>>,
}

/// Who is to be debited, as far as it is told.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ShownPayer {
    #[serde(deserialize_with = "text")]
    pub vpa: Option<String>,
}

/// What a notice is answered with [P27]. Its `predebitNotificationId` is of no use: nothing can be asked by it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Notified {
    #[serde(alias = "mandate_id", deserialize_with = "word")]
    pub mandate_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    /// A text, unlike the request's.
    #[serde(deserialize_with = "rupees")]
    pub amount: Option<Money>,
    #[serde(alias = "debit_date", deserialize_with = "text")]
    pub debit_date: Option<String>,
}

/// The order that a debit makes: an `OrderGetResponse` [P28], as far as the debit is known by it again.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DebitOrder {
    #[serde(alias = "order_id", deserialize_with = "word")]
    pub order_id: Option<String>,
    #[serde(deserialize_with = "rupees")]
    pub amount: Option<Money>,
    #[serde(deserialize_with = "text")]
    pub currency: Option<String>,
    pub transactions: Option<Vec<Box<RawValue>>>,
}

/// One attempt at a debit.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DebitTransaction {
    #[serde(alias = "transaction_id", deserialize_with = "word")]
    pub transaction_id: Option<String>,
}

/// A callback, as far as it may be about a mandate [P29].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MandateNews {
    #[serde(alias = "reference_id", deserialize_with = "word")]
    pub reference_id: Option<String>,
    #[serde(alias = "mandate_id", deserialize_with = "word")]
    pub mandate_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
}

/// A body that is written with the names of its fields spelt as the naming says, in all depths; numbers keep their digits.
pub struct Spelt<'a, T>(pub Naming, pub &'a T);

impl<T: Serialize> Serialize for Spelt<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(naming, body) = self;
        let json = to_raw_value(body).map_err(S::Error::custom)?;
        match naming {
            Naming::CamelCase => json.serialize(serializer),
            Naming::SnakeCase => in_snake_case(json).map_err(S::Error::custom)?.serialize(serializer),
        }
    }
}

fn in_snake_case(json: Box<RawValue>) -> Result<Box<RawValue>, serde_json::Error> {
    if !json.get().starts_with('{') {
        return Ok(json);
    }
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json.get())?;
    let fields = fields.into_iter().map(|(name, value)| Ok((snake_case(&name), in_snake_case(value)?)));
    to_raw_value(&fields.collect::<Result<BTreeMap<_, _>, serde_json::Error>>()?)
}

fn snake_case(name: &str) -> String {
    let mut spelt = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            spelt.push('_');
        }
        spelt.push(c.to_ascii_lowercase());
    }
    spelt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_spelt_as_configured_and_keeps_its_digits() {
        let amount = || RawValue::from_string("299.00".to_owned()).expect("it is JSON");
        let notify = Notify { mandate_id: "MD1", amount: amount(), debit_date: "2026-02-01".to_owned() };
        let text = |naming| serde_json::to_string(&Spelt(naming, &notify)).expect("it can be written");
        assert_eq!(text(Naming::CamelCase), r#"{"mandateId":"MD1","amount":299.00,"debitDate":"2026-02-01"}"#);
        assert_eq!(text(Naming::SnakeCase), r#"{"amount":299.00,"debit_date":"2026-02-01","mandate_id":"MD1"}"#);
        assert_eq!(snake_case("accountValidation"), "account_validation");
    }
}
