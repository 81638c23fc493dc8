//! A merchant's books at Razorpay, and what is appointed there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::customer::Customer;
use super::error::ApiError;
use super::order::Order;
use super::payment::Payment;
use super::qr::Qr;
use super::recon_fault::Placed;
use super::refund::Refund;
use super::refund_create::KeptAnswer;
use super::settlement::{Settlement, Unsettled};
use super::token::Token;
use crate::sandbox::RazorpayMerchant;
use crate::sandbox::agenda::Agenda;
use crate::sandbox::desk::{self, Appointments};
use crate::sandbox::shelf::{Labelled, Shelf};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    pub qrs: Shelf<Qr>,
    pub payments: Shelf<Payment>,
    pub orders: Shelf<Order>,
    pub customers: Shelf<Customer>,
    pub tokens: Shelf<Token>,
    pub refunds: Shelf<Refund>,
    /// By the idempotency key that they were made under.
    pub refund_keys: BTreeMap<String, KeptAnswer>,
    /// Captured payments and processed refunds, oldest first.
    pub unsettled: Vec<Unsettled>,
    pub settlements: Shelf<Settlement>,
    pub recon_faults: Vec<Placed>,
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
    /// A QR code reaches `close_by`.
    QrExpires(String),
    /// A `created` payment got no answer from the bank.
    PaymentTimesOut(String),
    /// An authorised payment was not captured in time.
    PaymentLapses(String),
    /// A pending refund ends, or slows down.
    RefundGoesOn(String),
    /// The bank's reference of a processed refund becomes known.
    RefundGetsRrn(String),
    /// What is ready for it is settled.
    SettlementRun,
    /// The transfer of a settlement starts.
    SettlementProcessed(String),
    /// A payer who decides by himself approves the mandate that this payment sets up.
    PayerApproves(String),
    /// The day of a mandate's order is over.
    AuthorizationsLapse(String),
    /// A cancellation that was taken is done.
    TokenCancelled(String),
    /// The notice of an order is delivered, or fails.
    NoticeEnds(String),
    /// The bank answers to a debit.
    DebitEnds(String),
}

pub type Desk<'a> = desk::Desk<'a, RazorpayMerchant, Books>;

impl Desk<'_> {
    pub fn new_id(&mut self, prefix: &str) -> String {
        format!("{prefix}_{}", self.dice.letters(14))
    }

    /// Does what was appointed for now.
    pub fn happen(&mut self, due: &Due) {
        match due {
            Due::QrExpires(id) => self.expire_qr(id, false),
            Due::PaymentTimesOut(id) => self.time_out_payment(id),
            Due::PaymentLapses(id) => self.lapse_payment(id),
            Due::RefundGoesOn(id) => self.refund_goes_on(id),
            Due::RefundGetsRrn(id) => self.refund_gets_rrn(id),
            Due::SettlementRun => self.run_settlement(),
            Due::SettlementProcessed(id) => self.process_settlement(id),
            Due::PayerApproves(id) => self.payer_approves(id),
            Due::AuthorizationsLapse(id) => self.authorizations_lapse(id),
            Due::TokenCancelled(id) => self.token_cancelled(id),
            Due::NoticeEnds(id) => self.notice_ends(id),
            Due::DebitEnds(id) => self.debit_ends(id),
        }
    }
}

/// Refuses to put more on a shelf than it holds.
pub fn room_on<T: Labelled>(shelf: &Shelf<T>) -> Result<(), ApiError> {
    if shelf.is_full() { Err(ApiError::trouble()) } else { Ok(()) }
}
