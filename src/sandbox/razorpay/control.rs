//! Razorpay for whoever plays the payer and the bank.

use serde::Serialize;
use serde_json::Value;

use super::desk::Desk;
use super::life::{Bill, declined};
use super::payment::{self, PaymentForm, Status};
use super::qr::QrForm;
use super::{act, event, link};
use crate::sandbox::DebitEnd;
use crate::sandbox::control::{ControlError, Outcome, PayOptions, amount_of};
use crate::sandbox::desk::{Mandates, Provider};
use crate::sandbox::simulated::{Asked, Reply, Simulated};

impl Provider for Desk<'_> {
    fn answer(&mut self, asked: &Asked) -> Reply {
        act(self, asked).map_or_else(Reply::from, |body| Reply::of(200, body))
    }

    fn keep_appointments(&mut self) -> bool {
        self.do_what_is_due(|desk, due| desk.happen(due))
    }

    fn pay_qr(&mut self, code: &str, pay: &PayOptions) -> Result<String, ControlError> {
        let scanned = link::read(code);
        let id = scanned.as_ref().map_or(code, |(id, _)| id.as_str()).to_owned();
        self.expire_qr(&id, true);
        let qr = self.books.qrs.get(&id).ok_or_else(|| ControlError::NotFound(id.clone()))?;
        if qr.is_closed() && self.switches.closed_code_cannot_be_paid {
            return Err(ControlError::WrongState { id, state: "closed".to_owned() });
        }
        let asked = scanned.and_then(|(_, amount)| amount).or(qr.payment_amount);
        let amount = amount_of(&id, pay, asked, qr.payment_amount)?;
        self.check_room()?;
        Ok(self.pay(Bill { amount, vpa: pay.vpa().to_owned(), qr_id: Some(id), order_id: None }, pay.outcome))
    }

    fn fail_payment(&mut self, id: &str) -> Result<(), ControlError> {
        self.expect_payment(id, |status| status == Status::Created)?;
        let mut news = Vec::new();
        self.fail(id, declined(), &mut news);
        self.tell(news);
        Ok(())
    }

    /// A `created` or `failed` payment becomes `authorized`, and `captured` where the account captures by itself.
    fn authorize_late(&mut self, id: &str) -> Result<(), ControlError> {
        let payment = self.books.payments.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        if !self.may_authorize_late(payment) {
            return Err(wrong_state(id, payment.status));
        }
        if self.is_authorization(payment) {
            return self.approve(id);
        }
        if self.is_debit(payment) {
            return self.end_debit(id, &DebitEnd::Collected);
        }
        let mut news = Vec::new();
        self.succeed(id, &mut news);
        self.tell(news);
        Ok(())
    }

    fn reverse_payment(&mut self, _id: &str) -> Result<(), ControlError> {
        Err(ControlError::NotOffered(Simulated::Razorpay))
    }

    /// A `qr_code.credited`.
    fn send_forged(&mut self, code: &str, amount: Option<i64>) -> Result<(), ControlError> {
        let id = link::read(code).map_or_else(|| code.to_owned(), |(id, _)| id);
        let not_found = || ControlError::NotFound(id.clone());
        let fixed = self.books.qrs.get(&id).ok_or_else(not_found)?.payment_amount;
        let pay = PayOptions { amount, any_amount: true, ..PayOptions::default() };
        let amount = amount_of(&id, &pay, fixed, None)?;
        let newest = self.books.payments.newest_first().find(|payment| payment.qr_id.as_ref() == Some(&id)).cloned();
        let bill = Bill { amount, vpa: pay.vpa().to_owned(), qr_id: Some(id.clone()), order_id: None };
        let mut payment = newest.unwrap_or_else(|| self.new_payment(bill));
        (payment.status, payment.captured, payment.amount, payment.failure) = (Status::Captured, true, amount, None);
        payment.rrn.get_or_insert_with(|| self.dice.rrn(self.now_ms));
        let qr = self.books.qrs.get(&id).ok_or_else(not_found)?;
        let news = event::qr_credited(self, &payment, qr);
        self.forge(news);
        Ok(())
    }

    fn print_qrs(&self) -> Vec<Value> {
        self.books.qrs.newest_first().map(|qr| to_value(self.view_qr(qr, QrForm::Answer))).collect()
    }

    fn print_payments(&self) -> Vec<Value> {
        self.books.payments.newest_first().map(|payment| to_value(payment::view(payment, PaymentForm::Answer))).collect()
    }
}

impl Desk<'_> {
    /// A payer pays an order, as a checkout would. Answers the payment's id.
    pub fn pay_order(&mut self, id: &str, pay: &PayOptions) -> Result<String, ControlError> {
        let order = self.books.orders.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        if order.is_paid() {
            return Err(ControlError::WrongState { id: id.to_owned(), state: "paid".to_owned() });
        }
        if order.terms.is_some() {
            return Err(ControlError::WrongState { id: id.to_owned(), state: "paid by approving its mandate".to_owned() });
        }
        let due = order.amount - order.paid;
        let amount = amount_of(id, pay, Some(due), Some(due).filter(|_| !order.partial))?;
        let outcome = match (pay.outcome, order.auto_capture.unwrap_or(self.switches.auto_capture)) {
            (Outcome::Captured, false) => Outcome::Authorized,
            (outcome, _) => outcome,
        };
        self.check_room()?;
        Ok(self.pay(Bill { amount, vpa: pay.vpa().to_owned(), qr_id: None, order_id: Some(id.to_owned()) }, outcome))
    }

    /// The merchant captures in the provider's dashboard.
    pub fn capture_by_hand(&mut self, id: &str) -> Result<(), ControlError> {
        self.expect_payment(id, |status| status == Status::Authorized)?;
        if self.books.payments.get(id).is_some_and(|payment| self.is_order_paid(payment)) {
            return Err(ControlError::WrongState { id: id.to_owned(), state: "of an order that is paid".to_owned() });
        }
        let mut news = Vec::new();
        self.capture(id, &mut news);
        self.tell(news);
        Ok(())
    }

    pub fn expect_payment(&self, id: &str, is_right: impl Fn(Status) -> bool) -> Result<(), ControlError> {
        let payment = self.books.payments.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        if is_right(payment.status) { Ok(()) } else { Err(wrong_state(id, payment.status)) }
    }

    fn check_room(&self) -> Result<(), ControlError> {
        if self.books.payments.is_full() { Err(ControlError::Full) } else { Ok(()) }
    }
}

fn wrong_state(id: &str, status: Status) -> ControlError {
    ControlError::WrongState { id: id.to_owned(), state: format!("{status:?}").to_lowercase() }
}

pub fn to_value(view: impl Serialize) -> Value {
    serde_json::to_value(view).expect("our own views have string keys and no failing parts")
}
