//! UPI QR codes: create, fetch, search, cancel. They stand by themselves, without an order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::desk::{Desk, room_on};
use super::failure::Failure;
use super::print::Printed;
use super::{input, link, picture};
use crate::sandbox::shelf::Labelled;
use crate::sandbox::simulated::Asked;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QrCode {
    pub id: String,
    pub created_ms: i64,
    pub modified_ms: i64,
    pub cancelled: bool,
    /// Successes alone.
    pub payments: u64,
    pub multiple_use: bool,
    pub fixed_amount: bool,
    pub amount: Option<i64>,
    pub texts: Texts,
    pub custom_params: BTreeMap<String, String>,
}

/// What the merchant says of a code, and is told again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Texts {
    #[serde(skip_serializing_if = "Option::is_none")]
    qr_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_mobile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_number: Option<String>,
}

impl Labelled for QrCode {
    fn id(&self) -> &str {
        &self.id
    }
}

impl QrCode {
    pub fn is_used_up(&self) -> bool {
        !self.multiple_use && self.payments > 0
    }

    /// Why nobody can pay it; none if somebody can. Of these words a caller learns `CANCELLED` alone.
    pub fn closed(&self, now_ms: i64) -> Option<&'static str> {
        let expires = self.texts.expiry.as_ref().and_then(|expiry| expiry.parse::<Timestamp>().ok());
        if self.cancelled {
            Some("CANCELLED")
        } else if self.is_used_up() {
            Some("used up")
        } else {
            expires.filter(|expires| expires.as_millisecond() <= now_ms).map(|_| "expired")
        }
    }

    /// What a payer has to pay, where he has no choice.
    pub fn fixed(&self) -> Option<i64> {
        self.amount.filter(|_| self.fixed_amount)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QrCodeCreateRequest<'a> {
    qr_name: Option<String>,
    #[serde(default)]
    multiple_use: bool,
    #[serde(default)]
    fixed_amount: bool,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    description: Option<String>,
    expiry: Option<String>,
    custom_params: Option<BTreeMap<String, String>>,
    customer_name: Option<String>,
    customer_email: Option<String>,
    customer_mobile: Option<String>,
    customer_id: Option<String>,
    reference_number: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QrCodeView<'a> {
    qr_code_id: &'a str,
    multiple_use: bool,
    fixed_amount: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Printed>,
    #[serde(flatten)]
    texts: &'a Texts,
    custom_params: &'a BTreeMap<String, String>,
    status: &'static str,
    qr_code_base64: String,
    created_on: String,
    modified_on: String,
}

impl Desk<'_> {
    pub fn create_qr_code(&mut self, body: &[u8]) -> Result<String, Failure> {
        room_on(&self.books.qr_codes)?;
        let code = self.read_qr_code(body)?;
        let answer = self.success(self.view_qr_code(&code));
        self.books.qr_codes.put(code);
        Ok(answer)
    }

    fn read_qr_code(&mut self, body: &[u8]) -> Result<QrCode, Failure> {
        let QrCodeCreateRequest {
            qr_name,
            multiple_use,
            fixed_amount,
            amount,
            description,
            expiry,
            custom_params,
            customer_name,
            customer_email,
            customer_mobile,
            customer_id,
            reference_number,
        } = input::read(body)?;
        let amount = amount.map(|value| input::amount("amount", value)).transpose()?;
        if fixed_amount && amount.is_none() {
            return Err(Failure::other("amount is needed where it is fixed."));
        }
        let texts = Texts { qr_name, description, expiry, customer_name, customer_email, customer_mobile, customer_id, reference_number };
        Ok(QrCode {
            id: self.new_id("QR"),
            created_ms: self.now_ms,
            modified_ms: self.now_ms,
            cancelled: false,
            payments: 0,
            multiple_use,
            fixed_amount,
            amount,
            texts,
            custom_params: custom_params.unwrap_or_default(),
        })
    }

    pub fn fetch_qr_code(&self, id: &str) -> Result<String, Failure> {
        let code = self.books.qr_codes.get(id).ok_or_else(no_such_code)?;
        Ok(self.success(self.view_qr_code(code)))
    }

    /// Those in which every field that the body names has the value it names.
    pub fn search_qr_codes(&self, asked: &Asked) -> Result<String, Failure> {
        let query = asked.query().ok_or_else(|| Failure::other("Query is not valid."))?;
        let (offset, limit) = input::page(&query)?;
        let wanted: Map<String, Value> = if asked.body.is_empty() { Map::new() } else { input::read(&asked.body)? };
        let mut found = Vec::new();
        for code in self.books.qr_codes.newest_first().filter(|code| self.is_listed(code.created_ms)) {
            if self.has_all(code, &wanted)? {
                found.push(code);
            }
        }
        let page: Vec<_> = found.into_iter().skip(offset).take(limit).map(|code| self.view_qr_code(code)).collect();
        Ok(self.success(page))
    }

    /// Null asks for nothing.
    fn has_all(&self, code: &QrCode, wanted: &Map<String, Value>) -> Result<bool, Failure> {
        let texts = serde_json::to_value(&code.texts).unwrap_or_default();
        let mut all = true;
        for (name, wanted) in wanted.iter().filter(|(_, wanted)| !wanted.is_null()) {
            all &= match name.as_str() {
                "qrCodeId" => *wanted == code.id.as_str(),
                "status" => *wanted == status(code),
                "multipleUse" => *wanted == code.multiple_use,
                "fixedAmount" => *wanted == code.fixed_amount,
                "qrName" | "description" | "expiry" | "customerName" | "customerEmail" | "customerMobile" | "customerId"
                | "referenceNumber" => texts.get(name) == Some(wanted),
                _ => return Err(Failure::other(format!("{name} is no field to search by."))),
            };
        }
        Ok(all)
    }

    pub fn cancel_qr_code(&mut self, id: &str, body: &[u8]) -> Result<String, Failure> {
        let body: Map<String, Value> = if body.is_empty() { Map::new() } else { input::read(body)? };
        if !body.is_empty() {
            return Err(Failure::other("Request is not valid: nothing is expected."));
        }
        let (now_ms, fails) = (self.now_ms, self.our_switches().cancelling_cancelled_fails);
        let code = self.books.qr_codes.get_mut(id).ok_or_else(no_such_code)?;
        if code.cancelled && fails {
            return Err(Failure::other("QR code is already cancelled."));
        }
        if !code.cancelled {
            (code.cancelled, code.modified_ms) = (true, now_ms);
        }
        self.fetch_qr_code(id)
    }

    pub fn view_qr_code<'c>(&self, code: &'c QrCode) -> QrCodeView<'c> {
        let note = code.texts.description.as_deref().unwrap_or_default();
        let text = link::write(&code.id, self.account, code.fixed(), note);
        QrCodeView {
            qr_code_id: &code.id,
            multiple_use: code.multiple_use,
            fixed_amount: code.fixed_amount,
            amount: code.amount.map(|amount| self.amount(amount)),
            texts: &code.texts,
            custom_params: &code.custom_params,
            status: self.status(status(code)),
            qr_code_base64: picture::base64_png(&text),
            created_on: self.time(code.created_ms),
            modified_on: self.time(code.modified_ms),
        }
    }
}

fn status(code: &QrCode) -> &'static str {
    if code.cancelled { "CANCELLED" } else { "ACTIVE" }
}

fn no_such_code() -> Failure {
    Failure::other("QR code not found.")
}
