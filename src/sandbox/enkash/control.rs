//! EnKash for whoever plays the payer and the bank.

use serde::Serialize;
use serde_json::Value;

use super::desk::Desk;
use super::order::Status as OrderStatus;
use super::transaction::{Pays, Status};
use super::{act, link, notify};
use crate::sandbox::control::{ControlError, PayOptions, amount_of};
use crate::sandbox::desk::Provider;
use crate::sandbox::simulated::{Asked, Reply, Simulated};

impl Provider for Desk<'_> {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match act(self, asked) {
            Ok(body) => Reply::of(200, body),
            Err(failure) => failure.reply(self.our_switches()),
        }
    }

    fn keep_appointments(&mut self) -> bool {
        self.do_what_is_due(|desk, due| desk.happen(due))
    }

    /// Takes the id of an order, of an attempt (`ekPayId`) or of a UPI QR code, or the text inside a code of either kind.
    fn pay_qr(&mut self, code: &str, pay: &PayOptions) -> Result<String, ControlError> {
        let scanned = link::read(code);
        let id = scanned.as_ref().map_or(code, |(id, _)| id.as_str());
        let in_text = scanned.as_ref().and_then(|(_, amount)| *amount);
        if self.books.transactions.is_full() {
            return Err(ControlError::Full);
        }
        let (pays, attempt, amount) = match self.books.qr_codes.get(id) {
            Some(code) => {
                code.closed(self.now_ms).map_or(Ok(()), |state| Err(wrong_state(id, state)))?;
                (Pays::QrCode(id.to_owned()), None, amount_of(id, pay, in_text.or(code.amount), code.fixed())?)
            }
            None => {
                let (order, attempt) = self.payable(id)?;
                let asked = self.books.orders.get(&order).map(|order| order.amount);
                (Pays::Order(order), attempt, amount_of(id, pay, in_text.or(asked), asked)?)
            }
        };
        let id = attempt.unwrap_or_else(|| self.open_attempt(pays, amount));
        self.take_up(&id, amount, pay.vpa(), pay.outcome);
        Ok(id)
    }

    fn fail_payment(&mut self, id: &str) -> Result<(), ControlError> {
        self.expect_attempt(id, |status| matches!(status, Status::PendingWithBank | Status::Authorized))?;
        self.decide(id, Status::Failed);
        Ok(())
    }

    fn authorize_late(&mut self, id: &str) -> Result<(), ControlError> {
        self.expect_attempt(id, |status| matches!(status, Status::PendingWithBank | Status::Authorized | Status::Failed))?;
        if self.is_paid_otherwise(id) {
            return Err(wrong_state(id, "too late: something else was paid first"));
        }
        self.decide(id, Status::Success);
        Ok(())
    }

    fn reverse_payment(&mut self, _id: &str) -> Result<(), ControlError> {
        Err(ControlError::NotOffered(Simulated::Enkash))
    }

    /// A callback as if the order's newest attempt had succeeded, or one that nobody made; for a mandate's id as if its
    /// payer had approved it. On UPI QR codes there are no callbacks.
    fn send_forged(&mut self, code: &str, amount: Option<i64>) -> Result<(), ControlError> {
        let id = link::read(code).map_or_else(|| code.to_owned(), |(id, _)| id);
        if self.books.qr_codes.get(&id).is_some() {
            return Err(ControlError::NotOffered(Simulated::Enkash));
        }
        if let Some(mandate) = self.find_mandate(&id).cloned() {
            self.forge_approval(&mandate, amount.unwrap_or(mandate.amount));
            return Ok(());
        }
        let (order_id, attempt) = self.order_and_attempt(&id)?;
        let order = self.books.orders.get(&order_id).ok_or_else(|| ControlError::NotFound(id.clone()))?;
        let pay = PayOptions { amount, any_amount: true, ..PayOptions::default() };
        let amount = amount_of(&id, &pay, Some(order.amount), None)?;
        let attempt = attempt.or_else(|| order.attempts.last().cloned());
        let attempt = match attempt.and_then(|attempt| self.books.transactions.get(&attempt).cloned()) {
            Some(attempt) => attempt,
            None => self.new_attempt(Pays::Order(order_id), amount),
        };
        let news = notify::of_forgery(self, &attempt, amount).ok_or(ControlError::NotFound(id))?;
        self.forge(news);
        Ok(())
    }

    /// Orders, and UPI QR codes. What debits made are orders too.
    fn print_qrs(&self) -> Vec<Value> {
        let orders = self.books.orders.newest_first().map(|order| (order.created_ms, to_value(self.view_order(order))));
        let codes = self.books.qr_codes.newest_first().map(|code| (code.created_ms, to_value(self.view_qr_code(code))));
        let mut all: Vec<_> = orders.chain(codes).collect();
        all.sort_by_key(|(created_ms, _)| std::cmp::Reverse(*created_ms));
        all.into_iter().map(|(_, printed)| printed).collect()
    }

    /// Without the attempts that no payer took up.
    fn print_payments(&self) -> Vec<Value> {
        let payments = self.books.transactions.newest_first().filter(|transaction| transaction.status != Status::Created);
        payments.map(|transaction| to_value(self.view_transaction(transaction))).collect()
    }
}

impl Desk<'_> {
    /// The order that an id leads to and the attempt that a payer would take up, if there is one.
    fn payable(&self, id: &str) -> Result<(String, Option<String>), ControlError> {
        let (order_id, attempt) = self.order_and_attempt(id)?;
        let order = self.books.orders.get(&order_id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        if order.mandate_id.is_some() {
            return Err(wrong_state(&order_id, "a mandate's debit, which no payer pays"));
        }
        match self.books.status_of(order, self.now_ms) {
            status @ (OrderStatus::Paid | OrderStatus::Expired) => return Err(wrong_state(&order_id, status.word())),
            OrderStatus::Created | OrderStatus::CheckoutRendered | OrderStatus::Attempted | OrderStatus::PaymentConfirmationPending => (),
        }
        match attempt {
            Some(attempt) => {
                self.expect_attempt(&attempt, |status| matches!(status, Status::Created | Status::Failed))?;
                Ok((order_id, Some(attempt)))
            }
            None => {
                let attempts = order.attempts.iter().rev().filter_map(|id| self.books.transactions.get(id));
                let open = attempts.into_iter().find(|attempt| attempt.status == Status::Created);
                Ok((order_id, open.map(|attempt| attempt.id.clone())))
            }
        }
    }

    /// Takes the id of either.
    fn order_and_attempt(&self, id: &str) -> Result<(String, Option<String>), ControlError> {
        match self.books.transactions.get(id).map(|transaction| &transaction.pays) {
            Some(Pays::Order(order)) => Ok((order.clone(), Some(id.to_owned()))),
            None if self.books.orders.get(id).is_some() => Ok((id.to_owned(), None)),
            Some(Pays::QrCode(_)) | None => Err(ControlError::NotFound(id.to_owned())),
        }
    }

    pub fn expect_attempt(&self, id: &str, is_right: impl Fn(Status) -> bool) -> Result<(), ControlError> {
        let transaction = self.books.transactions.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        if is_right(transaction.status) { Ok(()) } else { Err(wrong_state(id, transaction.status.word())) }
    }
}

pub fn wrong_state(id: &str, state: &str) -> ControlError {
    ControlError::WrongState { id: id.to_owned(), state: state.to_owned() }
}

pub fn to_value(view: impl Serialize) -> Value {
    serde_json::to_value(view).expect("our own views have string keys and no failing parts")
}
