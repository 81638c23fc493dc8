//! Eko for whoever plays the payer and the bank. A payment's id is its `tid`.

use serde::Serialize;
use serde_json::Value;

use super::desk::Desk;
use super::payment::{self, Payment, Status};
use super::{act, callback, life, qr};
use crate::sandbox::control::{ControlError, Outcome, PayOptions, amount_of};
use crate::sandbox::desk::Provider;
use crate::sandbox::simulated::{Asked, Reply, Simulated};

/// Payments are more than this.
const AMOUNT_FLOOR_PAISE: i64 = 300;

impl Provider for Desk<'_> {
    fn answer(&mut self, asked: &Asked) -> Reply {
        act(self, asked).unwrap_or_else(Reply::from)
    }

    fn keep_appointments(&mut self) -> bool {
        self.do_what_is_due(|desk, due| desk.happen(due))
    }

    /// A static code names no amount, so the payer has to, unless somebody wrote it into the text.
    fn pay_qr(&mut self, code: &str, pay: &PayOptions) -> Result<String, ControlError> {
        let (qr, written) = self.find_qr(code).ok_or_else(|| ControlError::NotFound(code.to_owned()))?;
        let id = qr.utility_acc_no.clone();
        let amount = amount_of(&id, pay, written, None)?;
        if amount <= AMOUNT_FLOOR_PAISE && !pay.any_amount {
            return Err(ControlError::TooLittle(AMOUNT_FLOOR_PAISE));
        }
        // Nothing is authorised here that would have to be captured.
        if pay.outcome == Outcome::Authorized {
            return Err(ControlError::NotOffered(Simulated::Eko));
        }
        if self.books.payments.is_full() {
            return Err(ControlError::Full);
        }
        let payment = self.new_payment(&id, amount, pay.vpa());
        let tid = payment.tid.clone();
        self.books.payments.put(payment);
        match pay.outcome {
            Outcome::Captured | Outcome::Authorized => self.accept(&tid),
            Outcome::Failed => self.turn(&tid, Status::Fail),
            Outcome::Pending => (),
        }
        Ok(tid)
    }

    /// Also to one that is held: its money never arrives.
    fn fail_payment(&mut self, id: &str) -> Result<(), ControlError> {
        self.expect_payment(id, &[Status::Initiated, Status::Held])?;
        self.turn(id, Status::Fail);
        Ok(())
    }

    fn authorize_late(&mut self, id: &str) -> Result<(), ControlError> {
        self.expect_payment(id, &[Status::Initiated])?;
        self.accept(id);
        Ok(())
    }

    fn reverse_payment(&mut self, id: &str) -> Result<(), ControlError> {
        self.expect_payment(id, &[Status::Held, Status::Success])?;
        self.turn(id, Status::Refunded);
        Ok(())
    }

    /// Tells the next thing that would be told of the code's newest payment, or of one that never was where that is
    /// decided or there is none.
    fn send_forged(&mut self, code: &str, amount: Option<i64>) -> Result<(), ControlError> {
        let (qr, written) = self.find_qr(code).ok_or_else(|| ControlError::NotFound(code.to_owned()))?;
        let id = qr.utility_acc_no.clone();
        let newest = self.books.payments.newest_first().find(|payment| payment.client_ref_id == id);
        let open = newest.filter(|payment| matches!(payment.status, Status::Initiated | Status::Held)).cloned();
        let asked = open.as_ref().map(|payment| payment.amount).or(written);
        let pay = PayOptions { amount, any_amount: true, ..PayOptions::default() };
        let amount = amount_of(&id, &pay, asked, None)?;
        let mut forged = match open {
            Some(payment) => Payment { amount, ..payment },
            None => self.new_payment(&id, amount, pay.vpa()),
        };
        let from = forged.status;
        forged.status = if from == Status::Held { Status::Success } else { Status::Held };
        life::charge(&mut forged, self.switches.eko.fee_paise);
        let news = callback::write(&forged, from, &self.switches.eko);
        self.forge(news);
        Ok(())
    }

    fn print_qrs(&self) -> Vec<Value> {
        self.books.qrs.newest_first().map(|qr| to_value(qr::view(qr))).collect()
    }

    fn print_payments(&self) -> Vec<Value> {
        let switches = &self.switches.eko;
        self.books.payments.newest_first().map(|payment| to_value(payment::view(payment, switches))).collect()
    }
}

impl Desk<'_> {
    fn expect_payment(&self, tid: &str, right: &[Status]) -> Result<(), ControlError> {
        let payment = self.books.payments.get(tid).ok_or_else(|| ControlError::NotFound(tid.to_owned()))?;
        match right.contains(&payment.status) {
            true => Ok(()),
            false => Err(ControlError::WrongState { id: tid.to_owned(), state: payment.status.words().to_lowercase() }),
        }
    }
}

fn to_value(view: impl Serialize) -> Value {
    serde_json::to_value(view).expect("our own views have string keys and no failing parts")
}
