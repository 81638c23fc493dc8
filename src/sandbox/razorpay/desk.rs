//! One merchant's desk at the provider: its books, and what acting on them needs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::customer::Customer;
use super::error::ApiError;
use super::order::Order;
use super::payment::Payment;
use super::qr::Qr;
use super::refund::Refund;
use crate::sandbox::SandboxAccount;
use crate::sandbox::dice::Dice;
use crate::sandbox::shelf::{Labelled, Shelf};
use crate::sandbox::switches::Switches;
use crate::sandbox::webhooks::{Manner, News, Queue};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    pub qrs: Shelf<Qr>,
    pub payments: Shelf<Payment>,
    pub orders: Shelf<Order>,
    pub customers: Shelf<Customer>,
    pub refunds: Shelf<Refund>,
    /// What happens by itself, by time.
    pub agenda: BTreeSet<Appointment>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Appointment {
    pub at_ms: i64,
    pub what: Due,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// A QR code reaches `close_by`.
    QrExpires(String),
    /// A `created` payment got no answer from the bank.
    PaymentTimesOut(String),
    /// An authorised payment was not captured in time.
    PaymentLapses(String),
}

pub struct Desk<'a> {
    pub account: &'a SandboxAccount,
    pub books: &'a mut Books,
    pub dice: &'a mut Dice,
    pub queue: &'a mut Queue,
    pub switches: &'a Switches,
    pub now_ms: i64,
    /// Lists and searches don't show what is younger.
    pub list_lag_ms: i64,
    pub spread_ms: u64,
    /// Where pictures of QR codes are served.
    pub base_url: &'a str,
    pub has_webhook: bool,
}

impl Desk<'_> {
    pub fn now(&self) -> i64 {
        self.now_ms / 1_000
    }

    pub fn new_id(&mut self, prefix: &str) -> String {
        format!("{prefix}_{}", self.dice.letters(14))
    }

    /// Tells the merchant, if he gave a URL.
    pub fn tell(&mut self, news: Vec<News>) {
        if !self.has_webhook {
            return;
        }
        let manner = Manner {
            account: &self.account.name,
            secret: &self.account.webhook_secret,
            now_ms: self.now_ms,
            spread_ms: self.spread_ms,
            strict_order: self.switches.strict_order,
        };
        self.queue.push(news, &manner, self.dice);
    }

    /// Whether lists show what was made at `created_ms`.
    pub fn is_listed(&self, created_ms: i64) -> bool {
        self.list_lag_ms == 0 || created_ms.saturating_add(self.list_lag_ms) <= self.now_ms
    }

    pub fn appoint(&mut self, at_ms: i64, what: Due) {
        self.books.agenda.insert(Appointment { at_ms, what });
    }

    /// Does what fell due, each thing at its own time. True if there was anything.
    pub fn keep_appointments(&mut self) -> bool {
        let now_ms = self.now_ms;
        let mut any = false;
        while let Some(first) = self.books.agenda.first().filter(|first| first.at_ms <= now_ms).cloned() {
            self.books.agenda.remove(&first);
            self.now_ms = first.at_ms;
            match &first.what {
                Due::QrExpires(id) => self.expire_qr(id, false),
                Due::PaymentTimesOut(id) => self.time_out_payment(id),
                Due::PaymentLapses(id) => self.lapse_payment(id),
            }
            any = true;
        }
        self.now_ms = now_ms;
        any
    }
}

/// Refuses to put more on a shelf than it holds.
pub fn room_on<T: Labelled>(shelf: &Shelf<T>) -> Result<(), ApiError> {
    if shelf.is_full() { Err(ApiError::trouble()) } else { Ok(()) }
}
