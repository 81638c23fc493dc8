//! Debits: each makes an order with one transaction, which then goes on as any other. The request has no reference of the
//! merchant's, so a second one is a second debit.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::no_such_mandate;
use crate::sandbox::DebitCourse;
use crate::sandbox::clock::SECOND_MS;
use crate::sandbox::enkash::desk::{Desk, Due, room_on};
use crate::sandbox::enkash::failure::Failure;
use crate::sandbox::enkash::input;
use crate::sandbox::enkash::order::no_such_order;
use crate::sandbox::enkash::transaction::{Pays, Status};

/// How long the bank takes over a debit that goes on by itself.
const DEBIT_MS: i64 = 30 * SECOND_MS;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExecuteRequest<'a> {
    #[serde(alias = "mandate_id")]
    mandate_id: String,
    #[serde(borrow)]
    amount: &'a RawValue,
    remarks: String,
}

impl Desk<'_> {
    /// Answers the order, as fetching it would.
    pub fn execute_mandate(&mut self, body: &[u8]) -> Result<String, Failure> {
        room_on(&self.books.orders)?;
        room_on(&self.books.transactions)?;
        let ExecuteRequest { mandate_id, amount, remarks } = input::read(body)?;
        let amount = input::amount("amount", amount)?;
        if remarks.trim().is_empty() {
            return Err(Failure::other("remarks must not be empty."));
        }
        let mandate = self.books.mandates.get(&mandate_id).ok_or_else(no_such_mandate)?;
        mandate.expect_active(self.words(), amount)?;
        let vpa = mandate.payer.vpa.clone();
        let order = self.new_debit_order(&mandate_id, amount);
        let order_id = order.id.clone();
        self.books.orders.put(order);
        let transaction = self.open_attempt(Pays::Order(order_id.clone()), amount);
        if let Some(transaction) = self.books.transactions.get_mut(&transaction) {
            transaction.vpa = Some(vpa);
        }
        if let Some(mandate) = self.books.mandates.get_mut(&mandate_id) {
            mandate.debits.push(transaction.clone());
        }
        self.move_on(&transaction, Status::PendingWithBank);
        let refusal = self.bank_refusal(&transaction).map(str::to_owned);
        let failure = match (&self.switches.mandates.debits, refusal) {
            (_, Some(refusal)) => Some(refusal),
            (DebitCourse::Fail { reason }, None) => Some(reason.clone()),
            (DebitCourse::ByThemselves | DebitCourse::WhenTold, None) => None,
        };
        if failure.is_some() || self.switches.mandates.debits != DebitCourse::WhenTold {
            self.appoint(self.now_ms + DEBIT_MS, Due::DebitEnds { transaction, failure });
        }
        let order = self.books.orders.get(&order_id).ok_or_else(no_such_order)?;
        Ok(self.success(self.view_order(order)))
    }

    /// The bank decides on a debit by itself, and looks once more whether it may be collected.
    pub fn end_debit_by_itself(&mut self, transaction: &str, failure: Option<&str>) {
        if !self.books.transactions.get(transaction).is_some_and(|transaction| transaction.status == Status::PendingWithBank) {
            return;
        }
        let refusal = self.bank_refusal(transaction).map(str::to_owned);
        match failure.map(str::to_owned).or(refusal) {
            Some(reason) => self.fail_debit(transaction, reason),
            None => self.decide(transaction, Status::Success),
        }
    }

    pub fn fail_debit(&mut self, transaction: &str, reason: String) {
        if let Some(transaction) = self.books.transactions.get_mut(transaction) {
            transaction.failure = Some(reason);
        }
        self.decide(transaction, Status::Failed);
    }
}
