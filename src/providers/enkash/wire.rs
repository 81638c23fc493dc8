//! EnKash's JSON as documented, and nothing else (`Pn`: the pages by which the facts are known). Every field of every
//! schema is marked optional there, so all may be missing; what is read beyond the documented fields says so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::money::Money;
use crate::providers::reading::{flag, text, whole, word};
use crate::providers::rupees::rupees;

/// The login: `POST /api/v0/merchant/token` [P1].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Login<'a> {
    pub access_key: &'a str,
    pub secret_key: &'a str,
}

/// Its answer, without an envelope [P1] [P2].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Token {
    #[serde(deserialize_with = "text")]
    pub token: Option<String>,
    /// Milliseconds: a moment, by its sample.
    #[serde(deserialize_with = "whole")]
    pub expiry: Option<i64>,
}

/// What nearly every answer is wrapped in [seeds 000, 001].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Envelope {
    /// 0 is success, 117 a refused token.
    #[serde(deserialize_with = "whole")]
    pub response_code: Option<i64>,
    #[serde(deserialize_with = "text")]
    pub response_message: Option<String>,
    /// A plain text on some failures.
    pub payload: Option<Box<RawValue>>,
}

/// `POST /api/v0/orders` [P3].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateOrder<'a> {
    /// The merchant's own id of it.
    pub order_id: &'a str,
    pub amount: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_info: Option<CustomerInfo>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_parameters: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
}

/// Rupees with two decimals.
#[derive(Serialize)]
pub struct Amount {
    pub value: Box<RawValue>,
    pub currency: &'static str,
}

/// Whom an order is for [P3].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomerInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Ten digits in the sample, without the country's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
}

/// What a created order is answered with [P3].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OrderCreated {
    /// EnKash's own id of it.
    #[serde(deserialize_with = "word")]
    pub order_id: Option<String>,
}

/// An order as it is read back [P28].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Order {
    /// EnKash's own id of it.
    #[serde(deserialize_with = "word")]
    pub order_id: Option<String>,
    /// The merchant's.
    #[serde(deserialize_with = "word")]
    pub merchant_order_id: Option<String>,
    #[serde(deserialize_with = "rupees")]
    pub amount: Option<Money>,
    #[serde(deserialize_with = "text")]
    pub currency: Option<String>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub created: Option<String>,
    #[serde(deserialize_with = "text")]
    pub last_modified: Option<String>,
    pub transactions: Option<Vec<Box<RawValue>>>,
}

/// One attempt to pay an order. Three of its 18 fields are documented (`transactionId`, `created`, `lastModified`) [P19];
/// the others are read where they are there, by the names that the Payment Notify has for the same things [P9].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Transaction {
    #[serde(deserialize_with = "word")]
    pub transaction_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub created: Option<String>,
    #[serde(deserialize_with = "text")]
    pub last_modified: Option<String>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub transaction_status: Option<String>,
    #[serde(deserialize_with = "rupees")]
    pub transaction_amount: Option<Money>,
    #[serde(deserialize_with = "rupees")]
    pub amount: Option<Money>,
    #[serde(deserialize_with = "word")]
    pub bank_transaction_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub vpa: Option<String>,
    #[serde(deserialize_with = "text")]
    pub txn_msg: Option<String>,
    #[serde(deserialize_with = "word")]
    pub order_id: Option<String>,
}

/// The dynamic QR code of an order [seed 000]; `qrUrl` is not in the schema [code A].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QrCodeDto {
    /// The attempt that the code stands for.
    #[serde(deserialize_with = "word")]
    pub ek_pay_id: Option<String>,
    /// A PNG in base64, without a `data:` prefix.
    #[serde(deserialize_with = "text")]
    pub qr_code: Option<String>,
    #[serde(deserialize_with = "text")]
    pub qr_url: Option<String>,
}

/// How an attempt by UPI stands [P10]. It has no amount.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpiStatus {
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "word")]
    pub order_id: Option<String>,
}

/// `POST /api/v0/qr-code` [P24]. The body is not readable there: this is the writable part of what comes back [inferred].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateUpiQr<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub qr_name: &'a str,
    pub multiple_use: bool,
    pub fixed_amount: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_params: &'a BTreeMap<String, String>,
    pub reference_number: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_mobile: Option<String>,
}

/// A UPI QR code [seed 001].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpiQr {
    #[serde(deserialize_with = "word")]
    pub qr_code_id: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub multiple_use: Option<bool>,
    #[serde(deserialize_with = "flag")]
    pub fixed_amount: Option<bool>,
    #[serde(deserialize_with = "rupees")]
    pub amount: Option<Money>,
    #[serde(deserialize_with = "text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub qr_code_base64: Option<String>,
    #[serde(deserialize_with = "text")]
    pub modified_on: Option<String>,
    /// Where our reference goes.
    #[serde(deserialize_with = "word")]
    pub reference_number: Option<String>,
}

/// A search for codes by our reference [P24b]; which fields it takes is not readable [inferred].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchUpiQr<'a> {
    pub reference_number: &'a str,
}

/// `POST /api/v0/payment/{transactionId}/refund` [P12].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateRefund<'a> {
    /// Rupees with two decimals.
    pub amount: Box<RawValue>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remarks: &'a str,
    /// Where our reference goes.
    pub request_id: &'a str,
}

/// A settlement: ten of its fields are readable [P14] [P16].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SettlementPayout {
    #[serde(deserialize_with = "word")]
    pub settlement_payout_id: Option<String>,
    #[serde(deserialize_with = "rupees")]
    pub total_charges: Option<Money>,
    #[serde(deserialize_with = "rupees")]
    pub total_gst: Option<Money>,
    #[serde(deserialize_with = "rupees")]
    pub total_settlement_amount: Option<Money>,
    #[serde(deserialize_with = "text")]
    pub payout_status: Option<String>,
}

/// Payment Notify: a callback [P9].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Notify {
    /// Whose id it is is not known.
    #[serde(deserialize_with = "word")]
    pub order_id: Option<String>,
    #[serde(deserialize_with = "word")]
    pub unique_transaction_id: Option<String>,
    #[serde(deserialize_with = "word")]
    pub transaction_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub order_status: Option<String>,
    #[serde(deserialize_with = "text")]
    pub transaction_status: Option<String>,
}

/// The items of a list, which lies bare or under whatever name: the shape of a search's answer is not readable.
pub fn items(json: &RawValue) -> Vec<Box<RawValue>> {
    if let Ok(items) = serde_json::from_str(json.get()) {
        return items;
    }
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json.get()).unwrap_or_default();
    fields.values().find_map(|field| serde_json::from_str(field.get()).ok()).unwrap_or_default()
}

/// The items of the only list there is: it lies bare or under whatever name. `None`: there is none, or which one is meant is
/// not certain.
pub fn the_list(json: &RawValue) -> Option<Vec<Box<RawValue>>> {
    if let Ok(items) = serde_json::from_str(json.get()) {
        return Some(items);
    }
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json.get()).ok()?;
    let mut lists = fields.values().filter_map(|field| serde_json::from_str(field.get()).ok());
    lists.next().filter(|_| lists.next().is_none())
}
