//! Eko's JSON as documented, and nothing else. The same field is a number in one place and a text in another, so both are
//! read everywhere. Only what is near money is strict.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::money::Money;
use crate::providers::reading::{text, word};
use crate::providers::rupees::rupees;

/// The body that asks for the code of a mobile number. It has no `Debug`: it holds somebody's data.
#[derive(Serialize)]
pub struct CreateQr<'a> {
    pub initiator_id: &'a str,
    pub sender_id: &'a str,
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<&'a str>,
    /// Only on the AU rail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_code: Option<u32>,
}

/// The body that activates a service.
#[derive(Serialize)]
pub struct Activate<'a> {
    pub initiator_id: &'a str,
}

/// What every answer comes in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Envelope {
    /// 0 and nothing else is success.
    #[serde(deserialize_with = "word")]
    pub status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub message: Option<String>,
    pub data: Option<Box<RawValue>>,
}

/// A code.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Code {
    /// What later callbacks carry as `client_ref_id`. The `client_ref_id` beside it is another thing.
    #[serde(deserialize_with = "word")]
    pub utility_acc_no: Option<String>,
    #[serde(deserialize_with = "word")]
    pub sender_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub qr_string: Option<String>,
    #[serde(deserialize_with = "word")]
    pub status: Option<String>,
}

/// A transaction, as an inquiry shows it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Transaction {
    #[serde(deserialize_with = "word")]
    pub tid: Option<String>,
    #[serde(deserialize_with = "word")]
    pub tx_status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub txstatus_desc: Option<String>,
    /// Of a code, its `utility_acc_no`.
    #[serde(deserialize_with = "word")]
    pub client_ref_id: Option<String>,
    #[serde(deserialize_with = "rupees")]
    pub amount: Option<Money>,
    /// GST included.
    #[serde(deserialize_with = "rupees")]
    pub fee: Option<Money>,
    #[serde(deserialize_with = "rupees")]
    pub gst: Option<Money>,
    #[serde(deserialize_with = "text")]
    pub currency: Option<String>,
    #[serde(deserialize_with = "word")]
    pub bank_ref_num: Option<String>,
    #[serde(deserialize_with = "text")]
    pub customer_vpa: Option<String>,
    #[serde(deserialize_with = "text")]
    pub timestamp: Option<String>,
}

/// Of a callback, what tells which transaction it is about.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Callback {
    #[serde(deserialize_with = "word")]
    pub tid: Option<String>,
    #[serde(deserialize_with = "word")]
    pub client_ref_id: Option<String>,
    #[serde(deserialize_with = "word")]
    pub tx_status: Option<String>,
    // What only transfers to somebody have (E15): the URL is the same for all products of the account.
    pub account: Option<IgnoredAny>,
    pub ifsc: Option<IgnoredAny>,
    pub recipient_name: Option<IgnoredAny>,
    pub beneficiary_account_type: Option<IgnoredAny>,
}
