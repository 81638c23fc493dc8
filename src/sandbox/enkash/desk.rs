//! A merchant's books at EnKash, and what is appointed there.

use serde::{Deserialize, Serialize};

use super::auth::Token;
use super::failure::Failure;
use super::mandate::{Mandate, Notice};
use super::order::Order;
use super::payout::{Payout, Unsettled};
use super::qr_code::QrCode;
use super::refund::Refund;
use super::transaction::Transaction;
use crate::sandbox::EnkashMerchant;
use crate::sandbox::agenda::Agenda;
use crate::sandbox::desk::{self, Appointments};
use crate::sandbox::shelf::{Labelled, Shelf};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    pub tokens: Vec<Token>,
    pub orders: Shelf<Order>,
    pub transactions: Shelf<Transaction>,
    pub qr_codes: Shelf<QrCode>,
    pub refunds: Shelf<Refund>,
    pub mandates: Shelf<Mandate>,
    /// Those that payers got before debits.
    pub notices: Shelf<Notice>,
    /// Payments that succeeded and refunds that were done, oldest first.
    pub unsettled: Vec<Unsettled>,
    pub payouts: Shelf<Payout>,
    /// Orders don't expire on an appointment: whoever looks at one sees it.
    pub agenda: Agenda<Due>,
}

impl Appointments for Books {
    type Due = Due;

    fn agenda(&mut self) -> &mut Agenda<Due> {
        &mut self.agenda
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// The bank decides on a pending payment.
    BankAnswers(String),
    /// A pending refund ends well.
    RefundEnds(String),
    /// What is ready for it is paid out.
    PayoutRun,
    /// A payout reaches the merchant's bank, or not.
    PayoutEnds(String),
    /// A payer approves a mandate without being told to.
    PayerApproves(String),
    /// A mandate that nobody approved by now never will be.
    ApprovalTimesOut(String),
    /// A mandate's validity is over.
    MandateEnds(String),
    /// The bank decides on a debit; what it says then, if it is no.
    DebitEnds { transaction: String, failure: Option<String> },
}

pub type Desk<'a> = desk::Desk<'a, EnkashMerchant, Books>;

impl Desk<'_> {
    /// The prefix, the time and five alphanumerics, like the ids in the samples.
    pub fn new_id(&mut self, prefix: &str) -> String {
        format!("{prefix}{}{}", self.now_ms, self.dice.letters(5))
    }

    /// Does what was appointed for now.
    pub fn happen(&mut self, due: &Due) {
        match due {
            Due::BankAnswers(id) => self.bank_answers(id),
            Due::RefundEnds(id) => self.end_refund_by_itself(id),
            Due::PayoutRun => self.run_payout(),
            Due::PayoutEnds(id) => self.end_payout(id),
            Due::PayerApproves(id) => self.approve_mandate_by_itself(id),
            Due::ApprovalTimesOut(id) => self.time_out_approval(id),
            Due::MandateEnds(id) => self.end_mandate(id),
            Due::DebitEnds { transaction, failure } => self.end_debit_by_itself(transaction, failure.as_deref()),
        }
    }
}

/// Refuses to put more on a shelf than it holds.
pub fn room_on<T: Labelled>(shelf: &Shelf<T>) -> Result<(), Failure> {
    if shelf.is_full() { Err(Failure::other("Something went wrong.")) } else { Ok(()) }
}

/// Milliseconds of a switch's seconds; more than fits is for ever.
pub fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)
}
