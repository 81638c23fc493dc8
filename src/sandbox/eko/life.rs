//! The life of a payment: initiated by a payer, held once his bank said yes, credited to the merchant's wallet days
//! later. Every step is told but the first, so of a payment that waits the merchant knows nothing.

use super::callback;
use super::desk::{Desk, Due};
use super::payment::{Payment, Status};
use crate::sandbox::clock::SECOND_MS;

/// The tax on a fee, in percent.
const GST: i64 = 18;

impl Desk<'_> {
    /// A payment on the code of this `utility_acc_no`, which stands in no book yet.
    pub fn new_payment(&mut self, utility_acc_no: &str, amount: i64, vpa: &str) -> Payment {
        Payment {
            tid: self.new_tid(),
            created_ms: self.now_ms,
            client_ref_id: utility_acc_no.to_owned(),
            amount,
            status: Status::Initiated,
            fee: 0,
            gst: 0,
            vpa: vpa.to_owned(),
            rrn: self.dice.rrn(self.now_ms),
        }
    }

    /// The payer's bank says yes.
    pub fn accept(&mut self, tid: &str) {
        let switches = &self.switches.eko;
        let Some(payment) = self.books.payments.get_mut(tid) else {
            return;
        };
        charge(payment, switches.fee_paise);
        if switches.single_callback {
            return self.turn(tid, Status::Success);
        }
        self.turn(tid, Status::Held);
        let delay_ms = i64::from(switches.credit_delay_s) * SECOND_MS;
        self.appoint(self.now_ms.saturating_add(delay_ms), Due::Credit(tid.to_owned()));
    }

    /// The day of a held payment has come. A payment that is no longer held was decided otherwise.
    pub fn settle(&mut self, tid: &str) {
        let switches = &self.switches.eko;
        let held = self.books.payments.get(tid).is_some_and(|payment| payment.status == Status::Held);
        if held && !switches.never_credited {
            self.turn(tid, if switches.fails_after { Status::Fail } else { Status::Success });
        }
    }

    /// Puts a payment into another state, and tells the merchant.
    pub fn turn(&mut self, tid: &str, to: Status) {
        let Some(payment) = self.books.payments.get_mut(tid) else {
            return;
        };
        let from = std::mem::replace(&mut payment.status, to);
        let news = callback::write(payment, from, &self.switches.eko);
        self.tell(vec![news]);
    }
}

/// What Eko keeps for itself, taken before the credit.
pub fn charge(payment: &mut Payment, fee_paise: u32) {
    payment.gst = i64::from(fee_paise) * GST / 100;
    payment.fee = i64::from(fee_paise) + payment.gst;
}
