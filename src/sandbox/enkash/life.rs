//! The life of an attempt to pay: made when a code is shown, taken up by a payer, decided by the bank. How
//! it is refunded is in `refund.rs`. An order takes one success; `FAILED` is not final, since a late success keeps the id.

use super::desk::{Desk, Due, milliseconds};
use super::notify;
use super::payout::Item;
use super::transaction::{Pays, Status, Transaction};
use crate::sandbox::Outcome;

impl Desk<'_> {
    /// Makes an attempt that waits for its payer.
    pub fn open_attempt(&mut self, pays: Pays, amount: i64) -> String {
        let attempt = self.new_attempt(pays, amount);
        let id = attempt.id.clone();
        if let Pays::Order(order) = &attempt.pays
            && let Some(order) = self.books.orders.get_mut(order)
        {
            order.attempts.push(id.clone());
            order.modified_ms = self.now_ms;
        }
        self.books.transactions.put(attempt);
        id
    }

    pub fn new_attempt(&mut self, pays: Pays, amount: i64) -> Transaction {
        Transaction {
            id: self.new_id("EK"),
            created_ms: self.now_ms,
            modified_ms: self.now_ms,
            amount,
            refunded: 0,
            refunding: 0,
            status: Status::Created,
            pays,
            vpa: None,
            rrn: None,
            failure: None,
        }
    }

    /// A payer takes an attempt up. Whether he may was checked before.
    pub fn take_up(&mut self, id: &str, amount: i64, vpa: &str, outcome: Outcome) {
        if let Some(transaction) = self.books.transactions.get_mut(id) {
            (transaction.amount, transaction.vpa) = (amount, Some(vpa.to_owned()));
        }
        match outcome {
            Outcome::Captured => self.decide(id, Status::Success),
            Outcome::Failed => self.decide(id, Status::Failed),
            Outcome::Authorized => self.move_on(id, Status::Authorized),
            Outcome::Pending => {
                self.move_on(id, Status::PendingWithBank);
                if let Some(seconds) = self.our_switches().pending_lasts_s {
                    self.appoint(self.now_ms.saturating_add(milliseconds(seconds)), Due::BankAnswers(id.to_owned()));
                }
            }
        }
    }

    /// A success or a failure, of which the order's merchant is told.
    pub fn decide(&mut self, id: &str, status: Status) {
        if status == Status::Success {
            let rrn = self.dice.rrn(self.now_ms);
            if let Some(transaction) = self.books.transactions.get_mut(id) {
                (transaction.rrn, transaction.failure) = (Some(rrn), None);
            }
            self.await_payout(Item::Sale(id.to_owned()));
        }
        self.move_on(id, status);
        if status == Status::Success {
            self.use_mandate(id);
        }
        let news = notify::of_outcome(self, id);
        self.tell(news.into_iter().collect());
    }

    /// The bank decides by itself. It says no where another attempt was first.
    pub fn bank_answers(&mut self, id: &str) {
        let waits = self.books.transactions.get(id).is_some_and(|transaction| transaction.status == Status::PendingWithBank);
        if waits {
            let fails = self.our_switches().pending_fails || self.is_paid_otherwise(id);
            self.decide(id, if fails { Status::Failed } else { Status::Success });
        }
    }

    /// Whether what this attempt would pay takes no more money.
    pub fn is_paid_otherwise(&self, id: &str) -> bool {
        let transaction = self.books.transactions.get(id);
        match transaction.map(|transaction| &transaction.pays) {
            Some(Pays::Order(order)) => {
                let attempts = self.books.orders.get(order).map_or(&[][..], |order| &order.attempts);
                let others = attempts.iter().filter(|other| *other != id).filter_map(|other| self.books.transactions.get(other));
                others.into_iter().any(|other| other.status.is_paid())
            }
            Some(Pays::QrCode(code)) => self.books.qr_codes.get(code).is_some_and(|code| code.is_used_up()),
            None => false,
        }
    }

    pub fn move_on(&mut self, id: &str, status: Status) {
        let Some(transaction) = self.books.transactions.get_mut(id) else {
            return;
        };
        let was_paid = transaction.status.is_paid();
        (transaction.status, transaction.modified_ms) = (status, self.now_ms);
        match transaction.pays.clone() {
            Pays::Order(order) => {
                if let Some(order) = self.books.orders.get_mut(&order) {
                    order.modified_ms = self.now_ms;
                }
            }
            Pays::QrCode(code) => {
                // A refund that was sent back ends in a success too, which is no other payment.
                if status == Status::Success
                    && !was_paid
                    && let Some(code) = self.books.qr_codes.get_mut(&code)
                {
                    code.payments += 1;
                }
            }
        }
    }
}
