//! QR codes: made, and never heard of again.

use jiff::tz::{TimeZone, offset};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Desk, fields, refused};
use crate::sandbox::clock::SECOND_MS;
use crate::sandbox::shelf::Labelled;
use crate::sandbox::simulated::{Asked, Reply};
use crate::sandbox::upi::rupees;

/// No maximum is known; this keeps every sum within 64 bits.
const RUPEES_MAX: i64 = 10_000_000_000;
const RUPEES_MIN: i64 = 300;
const LIFE_SECONDS: i64 = 300;
const NOT_SET_UP: &str = "VPA does not exist for the account provided";
/// Seven digits are what ids end in.
const SERIALS: u64 = 10_000_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Qr {
    /// What it goes by here.
    pub ref_id: String,
    pub txn_id: String,
    transaction_id: String,
    created_ms: i64,
    /// In whole rupees.
    rupees: i64,
    /// The `tr` of its text.
    pub reference: String,
    text: String,
}

impl Labelled for Qr {
    fn id(&self) -> &str {
        &self.ref_id
    }
}

impl Qr {
    /// What it asks for, in paise.
    pub fn amount(&self) -> i64 {
        self.rupees * 100
    }

    /// As the answer to its creation prints it.
    pub fn view(&self, declared_types: bool) -> Value {
        let expires_in = if declared_types { json!(LIFE_SECONDS.to_string()) } else { json!(LIFE_SECONDS) };
        json!({
            "txnId": self.txn_id,
            "refId": self.ref_id,
            "amount": self.rupees,
            "qrString": self.text,
            "upiLink": self.text,
            "status": "PENDING",
            "expiresAt": instant(self.created_ms + LIFE_SECONDS * SECOND_MS),
            "expiresInSeconds": expires_in,
            "txnDate": at(self.created_ms).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            "apiStatus": "Success",
            "transactionId": self.transaction_id,
        })
    }
}

impl Desk<'_> {
    /// Every call makes a new code: there is nothing that a repetition could be told by.
    pub fn create_qr(&mut self, asked: &Asked) -> Result<Reply, Reply> {
        let rupees = self.read_amount(&fields(&asked.body)?)?;
        if self.switches.oqpay.account_not_set_up {
            return Err(refused(400, NOT_SET_UP));
        }
        if self.books.qrs.is_full() {
            return Err(super::invent(500));
        }
        let qr = self.new_qr(rupees);
        let declared = self.switches.oqpay.declared_types;
        let success = if declared { json!("true") } else { json!(true) };
        let answer = json!({ "success": success, "data": qr.view(declared), "message": "QR Successfully Generated" });
        self.books.qrs.put(qr);
        Ok(Reply::of(200, answer.to_string()))
    }

    /// Whole rupees, if the rest of the request is right too.
    fn read_amount(&self, fields: &Map<String, Value>) -> Result<i64, Reply> {
        for name in ["customerName", "customerMobile", "customerEmail"] {
            match fields.get(name) {
                Some(Value::String(text)) if !text.is_empty() => (),
                None if !self.switches.oqpay.customer_needed => (),
                _ => return Err(refused(400, &format!("{name} is not valid"))),
            }
        }
        match fields.get("amount").map(Value::as_i64) {
            Some(Some(..RUPEES_MIN)) => Err(refused(400, &self.switches.oqpay.below_minimum_text)),
            Some(Some(rupees)) if rupees <= RUPEES_MAX => Ok(rupees),
            _ => Err(refused(400, "amount is not valid")),
        }
    }

    fn new_qr(&mut self, rupees: i64) -> Qr {
        let merchant: String = self.merchant.registration_id.expose_secret().chars().filter(char::is_ascii_alphanumeric).collect();
        let ref_id = format!("REF-{merchant}V{:07}", self.dice.serial() % SERIALS);
        let txn_id = format!("TPAY{}{:07}", at(self.now_ms).strftime("%Y%m%d%H%M%S"), self.dice.serial() % SERIALS);
        let transaction_id = format!("c{}", self.dice.letters(24).to_ascii_lowercase());
        let reference = format!("27{:09}", self.dice.serial());
        let text = self.text(rupees * 100, &reference);
        Qr { ref_id, txn_id, transaction_id, created_ms: self.now_ms, rupees, reference, text }
    }

    /// What the code holds. Like the real one it has raw spaces, which a valid text would not.
    fn text(&mut self, amount: i64, reference: &str) -> String {
        let ist = TimeZone::fixed(offset(5).saturating_add(SignedDuration::from_mins(30)));
        let made = at(self.now_ms).to_zoned(ist).strftime("%d%m%y%H%M%S").to_string();
        let filler = self.dice.hex()[..8].to_ascii_lowercase();
        format!(
            "upi://pay?pa={}.payu@axisbank&pn=DEMO STORES PRIVATE LIMITED&tr={reference}&tid=PPPL{reference}{made}{filler}&am={}&cu=INR\
             &tn=UPIIntent",
            self.vpa_name(),
            rupees(amount),
        )
    }

    /// What payees' addresses here begin with.
    pub fn vpa_name(&self) -> String {
        let name: String = self.account.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        if name.is_empty() { "merchant".to_owned() } else { name.to_ascii_lowercase() }
    }
}

/// As `expiresAt` and the callbacks' `timestamp` are printed.
pub fn instant(ms: i64) -> String {
    at(ms).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}
