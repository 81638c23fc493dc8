//! A merchant's books at EnKash, and what is appointed there.

use serde::{Deserialize, Serialize};

use super::auth::Token;
use super::failure::Failure;
use super::order::Order;
use super::qr_code::QrCode;
use super::transaction::Transaction;
use crate::sandbox::EnkashMerchant;
use crate::sandbox::agenda::Agenda;
use crate::sandbox::desk;
use crate::sandbox::shelf::{Labelled, Shelf};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    pub tokens: Vec<Token>,
    pub orders: Shelf<Order>,
    pub transactions: Shelf<Transaction>,
    pub qr_codes: Shelf<QrCode>,
    agenda: Agenda<Due>,
}

impl Books {
    /// When something happens by itself next. Orders don't expire on an appointment: whoever looks at one sees it.
    pub fn next_due_ms(&self) -> Option<i64> {
        self.agenda.next_ms()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// The bank decides on a pending payment.
    BankAnswers(String),
}

pub type Desk<'a> = desk::Desk<'a, EnkashMerchant, Books>;

impl Desk<'_> {
    /// The prefix, the time and five alphanumerics, like the ids in the samples.
    pub fn new_id(&mut self, prefix: &str) -> String {
        format!("{prefix}{}{}", self.now_ms, self.dice.letters(5))
    }

    pub fn appoint(&mut self, at_ms: i64, what: Due) {
        self.books.agenda.appoint(at_ms, what);
    }

    /// Does what fell due, each thing at its own time. True if there was anything.
    pub fn do_what_is_due(&mut self) -> bool {
        let now_ms = self.now_ms;
        let mut any = false;
        while let Some((at_ms, Due::BankAnswers(id))) = self.books.agenda.take_due(now_ms) {
            self.now_ms = at_ms;
            self.bank_answers(&id);
            any = true;
        }
        self.now_ms = now_ms;
        any
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
