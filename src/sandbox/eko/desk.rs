//! A merchant's books at Eko, and what is appointed there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::input::{Body, Query};
use super::payment::Payment;
use super::qr::Qr;
use super::service::Service;
use crate::sandbox::EkoMerchant;
use crate::sandbox::agenda::Agenda;
use crate::sandbox::desk::{self, Appointments};
use crate::sandbox::shelf::Shelf;

/// Transaction ids have ten digits and don't fit into 32 bits; each account begins somewhere in these.
const TID_FIRST: u64 = 3_000_000_000;
const TIDS_TO_BEGIN_AMONG: u64 = 2_000_000_000;
const TID_STEP_MAX: u64 = 1_000;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    /// By their codes; one that is not here was never activated.
    pub services: BTreeMap<String, Service>,
    pub qrs: Shelf<Qr>,
    /// The code of each `sender_id`.
    pub qr_of_sender: BTreeMap<String, String>,
    /// The newest rail customer on the AU rail.
    pub au_customer: u64,
    pub payments: Shelf<Payment>,
    tid: u64,
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
    /// The money of a held payment reaches the merchant's wallet.
    Credit(String),
}

pub type Desk<'a> = desk::Desk<'a, EkoMerchant, Books>;

impl Desk<'_> {
    pub fn new_tid(&mut self) -> String {
        self.books.tid = match self.books.tid {
            0 => TID_FIRST + self.dice.below(TIDS_TO_BEGIN_AMONG),
            last => last + 1 + self.dice.below(TID_STEP_MAX),
        };
        self.books.tid.to_string()
    }

    /// Does what was appointed for now.
    pub fn happen(&mut self, due: &Due) {
        let Due::Credit(tid) = due;
        self.settle(tid);
    }

    pub fn check_initiator(&self, body: &Body) -> Result<(), Refusal> {
        let initiator = body.text("initiator_id")?.ok_or_else(Refusal::no_key)?;
        if initiator == self.merchant.initiator_id { Ok(()) } else { Err(Refusal::no_such_initiator()) }
    }

    pub fn check_user(&self, user_code: &str) -> Result<(), Refusal> {
        if user_code == self.merchant.user_code { Ok(()) } else { Err(Refusal::no_such_user()) }
    }

    /// Who asks, as queries say it.
    pub fn check_asker(&self, query: &Query, needs_user_code: bool) -> Result<(), Refusal> {
        match query.get("initiator_id") {
            None => return Err(Refusal::no_key()),
            Some(initiator) if initiator != self.merchant.initiator_id => return Err(Refusal::no_such_initiator()),
            Some(_) => (),
        }
        match query.get("user_code") {
            None if needs_user_code => Err(Refusal::no_key()),
            None => Ok(()),
            Some(user_code) => self.check_user(user_code),
        }
    }
}
