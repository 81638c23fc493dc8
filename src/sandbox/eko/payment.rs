//! Payments as they are kept, and as the inquiry prints them: every number as a text.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Which;
use super::answer::{Refusal, Success};
use super::desk::Desk;
use super::input::Query;
use super::switches::EkoSwitches;
use crate::sandbox::shelf::Labelled;
use crate::sandbox::simulated::Reply;
use crate::sandbox::upi::rupees;

/// The type of this answer is a placeholder: none is documented.
const FOUND: Success = Success { response_status_id: 0, response_type_id: 70, message: "Success" };

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payment {
    pub tid: String,
    pub created_ms: i64,
    /// `utility_acc_no` of the code; all payments on it share it.
    pub client_ref_id: String,
    pub amount: i64,
    pub status: Status,
    /// In paise, with the tax on it.
    pub fee: i64,
    pub gst: i64,
    pub vpa: String,
    pub rrn: String,
}

impl Labelled for Payment {
    fn id(&self) -> &str {
        &self.tid
    }
}

/// Refund pending, 3, is not for payments on codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Success,
    Fail,
    Initiated,
    Refunded,
    /// The payer has paid, the merchant's wallet is not credited yet.
    Held,
}

impl Status {
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Fail => 1,
            Self::Initiated => 2,
            Self::Refunded => 4,
            Self::Held => 5,
        }
    }

    /// As `txstatus_desc` says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Fail => "Fail",
            Self::Initiated => "Initiated",
            Self::Refunded => "Refunded",
            Self::Held => "Payment Initiated",
        }
    }
}

#[derive(Serialize)]
pub struct PaymentView<'a> {
    tx_status: String,
    txstatus_desc: &'static str,
    tid: &'a str,
    client_ref_id: &'a str,
    amount: String,
    fee: String,
    tds: &'static str,
    bank_ref_num: &'a str,
    currency: &'static str,
    timestamp: String,
}

pub fn view<'a>(payment: &'a Payment, switches: &EkoSwitches) -> PaymentView<'a> {
    PaymentView {
        tx_status: switches.unheard_tx_status.clone().unwrap_or_else(|| payment.status.code().to_string()),
        txstatus_desc: payment.status.words(),
        tid: &payment.tid,
        client_ref_id: &payment.client_ref_id,
        amount: rupees(payment.amount),
        fee: rupees(payment.fee),
        tds: "0.0",
        bank_ref_num: &payment.rrn,
        currency: "INR",
        timestamp: in_utc(payment.created_ms),
    }
}

impl Desk<'_> {
    pub fn fetch_transaction(&mut self, which: &Which, needs_user_code: bool, query: &Query) -> Result<Reply, Refusal> {
        self.check_asker(query, needs_user_code)?;
        let payments = &self.books.payments;
        let newest_of = |reference: &str| {
            let mut listed = payments.newest_first().filter(|payment| self.is_listed(payment.created_ms));
            listed.find(|payment| payment.client_ref_id == reference)
        };
        let payment = match which {
            Which::Tid(tid) => payments.get(tid),
            Which::Reference(reference) => newest_of(reference),
            Which::Either(id) => payments.get(id).or_else(|| newest_of(id)),
        };
        let payment = payment.ok_or_else(Refusal::no_such_tid)?;
        Ok(FOUND.with(view(payment, &self.switches.eko)))
    }
}

/// A time as answers print it. Callbacks print it in IST and without a zone.
pub fn in_utc(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
