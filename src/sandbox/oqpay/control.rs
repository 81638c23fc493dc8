//! OQPay for whoever plays the payer and the bank.

use serde_json::Value;

use super::payment::{Payment, Status};
use super::qr::Qr;
use super::{Desk, invent, operation};
use crate::sandbox::control::{ControlError, Outcome, PayOptions, amount_of};
use crate::sandbox::desk::Provider;
use crate::sandbox::simulated::{Asked, Reply, Simulated};
use crate::sandbox::upi;

impl Provider for Desk<'_> {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match operation(&asked.method, &asked.path) {
            Some(_) => self.create_qr(asked).unwrap_or_else(|refusal| refusal),
            None => invent(404),
        }
    }

    /// Nothing happens by itself: not even a code's end is told.
    fn keep_appointments(&mut self) -> bool {
        false
    }

    fn pay_qr(&mut self, code: &str, pay: &PayOptions) -> Result<String, ControlError> {
        let qr = self.find(code)?;
        let amount = amount_of(&qr.ref_id, pay, Some(qr.amount()), Some(qr.amount()))?;
        if amount % 100 != 0 && !pay.any_amount {
            return Err(ControlError::NotWholeRupees);
        }
        if self.books.payments.is_full() {
            return Err(ControlError::Full);
        }
        let ref_id = qr.ref_id.clone();
        let utr = self.dice.rrn(self.now_ms);
        self.books.payments.put(Payment { utr: utr.clone(), ref_id, amount, status: Status::Pending, at_ms: self.now_ms });
        match pay.outcome {
            Outcome::Captured => self.decide(&utr, Status::Success),
            Outcome::Failed => self.decide(&utr, Status::Failed),
            Outcome::Authorized | Outcome::Pending => (),
        }
        Ok(utr)
    }

    fn fail_payment(&mut self, id: &str) -> Result<(), ControlError> {
        self.expect_payment(id, |status| status == Status::Pending)?;
        self.decide(id, Status::Failed);
        Ok(())
    }

    /// Also after it was said to have failed, since nothing says that it can't be.
    fn authorize_late(&mut self, id: &str) -> Result<(), ControlError> {
        self.expect_payment(id, |status| status != Status::Success)?;
        self.decide(id, Status::Success);
        Ok(())
    }

    fn reverse_payment(&mut self, _id: &str) -> Result<(), ControlError> {
        Err(ControlError::NotOffered(Simulated::Oqpay))
    }

    fn send_forged(&mut self, code: &str, amount: Option<i64>) -> Result<(), ControlError> {
        let qr = self.find(code)?;
        let pay = PayOptions { amount, any_amount: true, ..PayOptions::default() };
        let amount = amount_of(&qr.ref_id, &pay, Some(qr.amount()), None)?;
        let qr = qr.clone();
        let newest = self.books.payments.newest_first().find(|payment| payment.ref_id == qr.ref_id);
        let utr = newest.map(|payment| payment.utr.clone()).unwrap_or_else(|| self.dice.rrn(self.now_ms));
        let forged = Payment { utr, ref_id: qr.ref_id.clone(), amount, status: Status::Success, at_ms: self.now_ms };
        let news = self.news_of(&forged, &qr);
        self.forge(news);
        Ok(())
    }

    /// As their creation was answered: OQPay prints a code nowhere else.
    fn print_qrs(&self) -> Vec<Value> {
        self.books.qrs.newest_first().map(|qr| qr.view(self.switches.oqpay.declared_types)).collect()
    }

    /// As callbacks print them.
    fn print_payments(&self) -> Vec<Value> {
        let payments = self.books.payments.newest_first();
        let with_codes = payments.filter_map(|payment| Some((payment, self.books.qrs.get(&payment.ref_id)?)));
        let print = |view| serde_json::to_value(view).expect("our own views have string keys and no failing parts");
        with_codes.map(|(payment, qr)| print(self.view(payment, qr))).collect()
    }
}

impl Desk<'_> {
    /// By `refId`, by `txnId`, or by the text inside, be it re-encoded.
    fn find(&self, code: &str) -> Result<&Qr, ControlError> {
        let reference = upi::value(code, "tr");
        let is_meant = |qr: &&Qr| qr.ref_id == code || qr.txn_id == code || Some(qr.reference.as_str()) == reference;
        self.books.qrs.newest_first().find(is_meant).ok_or_else(|| ControlError::NotFound(code.to_owned()))
    }

    fn expect_payment(&self, id: &str, is_right: impl Fn(Status) -> bool) -> Result<(), ControlError> {
        match self.books.payments.get(id) {
            None => Err(ControlError::NotFound(id.to_owned())),
            Some(payment) if is_right(payment.status) => Ok(()),
            Some(payment) => Err(ControlError::WrongState { id: id.to_owned(), state: format!("{:?}", payment.status).to_lowercase() }),
        }
    }
}
