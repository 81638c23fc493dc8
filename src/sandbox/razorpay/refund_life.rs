//! The life of a refund: taken, processed or failed, an instant one perhaps slowed down. It counts on its payment from
//! the moment it is taken; one that failed counts no more. Some the provider makes by itself: of a payment on a closed
//! code, of a second payment of a paid order, of a payment that was never captured.

use super::desk::{Desk, Due};
use super::event;
use super::input::Notes;
use super::payment::Status as PaymentStatus;
use super::refund::{Refund, Speed, Status};
use super::settlement::Item;
use crate::sandbox::clock::{MINUTE_MS, SECOND_MS};
use crate::sandbox::switches::{RefundCourse, RefundRrn};
use crate::sandbox::webhooks::News;

/// From one state of a refund to the next, where it goes on by itself. Days at the real service.
const STEP_MS: i64 = 30 * SECOND_MS;
/// From `processed` to the bank's reference.
const RRN_MS: i64 = MINUTE_MS;

/// What is asked for.
pub struct Wish {
    pub payment_id: String,
    /// None is all that is left.
    pub amount: Option<i64>,
    pub speed: Speed,
    pub notes: Notes,
    pub receipt: Option<String>,
}

impl Desk<'_> {
    /// Takes a refund of `amount`; whether there is so much was checked before. Answers its id.
    pub fn make_refund(&mut self, amount: i64, wish: Wish) -> String {
        let Wish { payment_id, amount: _, speed, notes, receipt } = wish;
        let id = self.new_id("rfnd");
        let created_ms = self.now_ms;
        let refund = Refund {
            id: id.clone(),
            created_ms,
            payment_id,
            amount,
            notes,
            receipt,
            status: Status::Pending,
            requested: speed,
            processed: speed,
            rrn: None,
            counted: false,
        };
        let too_old = speed == Speed::Normal && self.books.payments.get(&refund.payment_id).is_some_and(|payment| self.is_too_old(payment));
        if let Some(payment) = self.books.payments.get_mut(&refund.payment_id) {
            payment.refunds.push(id.clone());
        }
        self.books.refunds.put(refund);
        self.count(&id, true);
        let mut news = Vec::new();
        let at_once = match (self.switches.refunds, speed) {
            (RefundCourse::WhenTold, _) => false,
            (RefundCourse::AtOnce, Speed::Normal) => !too_old,
            (RefundCourse::ByThemselves, Speed::Normal) => false,
            (RefundCourse::AtOnce | RefundCourse::ByThemselves, Speed::Instant) => !self.switches.instant_falls_back,
        };
        if at_once {
            self.set_processed(&id);
        } else if self.switches.refunds != RefundCourse::WhenTold {
            self.appoint(self.now_ms + STEP_MS, Due::RefundGoesOn(id.clone()));
        }
        news.extend(event::refund("refund.created", self, &id));
        if at_once {
            news.extend(event::refund("refund.processed", self, &id));
        }
        self.tell(news);
        id
    }

    /// A pending refund comes to its end, or an instant one to being slow.
    pub fn refund_goes_on(&mut self, id: &str) {
        let Some(refund) = self.books.refunds.get(id).filter(|refund| refund.status == Status::Pending) else {
            return;
        };
        if refund.processed == Speed::Instant {
            self.slow_down_refund(id);
        } else if self.books.payments.get(&refund.payment_id).is_some_and(|payment| self.is_too_old(payment)) {
            self.fail_refund(id);
        } else {
            self.process_refund(id);
        }
    }

    pub fn process_refund(&mut self, id: &str) {
        self.set_processed(id);
        self.tell_of_refund("refund.processed", id);
    }

    pub fn fail_refund(&mut self, id: &str) {
        if let Some(refund) = self.books.refunds.get_mut(id) {
            refund.status = Status::Failed;
        }
        if !self.switches.amount_refunded_stays {
            self.count(id, false);
        }
        self.tell_of_refund("refund.failed", id);
    }

    /// An instant refund turns out impossible and becomes a normal one.
    pub fn slow_down_refund(&mut self, id: &str) {
        if let Some(refund) = self.books.refunds.get_mut(id) {
            refund.processed = Speed::Normal;
        }
        if self.switches.refunds != RefundCourse::WhenTold {
            self.appoint(self.now_ms + STEP_MS, Due::RefundGoesOn(id.to_owned()));
        }
        self.tell_of_refund("refund.speed_changed", id);
    }

    pub fn refund_gets_rrn(&mut self, id: &str) {
        let rrn = self.dice.rrn(self.now_ms);
        if let Some(refund) = self.books.refunds.get_mut(id) {
            refund.rrn.get_or_insert(rrn);
        }
    }

    /// Whether a refund that counts no more could count again.
    pub fn may_count_again(&self, refund: &Refund) -> bool {
        let payment = self.books.payments.get(&refund.payment_id);
        refund.counted || payment.is_some_and(|payment| refund.amount <= payment.amount - payment.amount_refunded)
    }

    /// Gives the whole payment back.
    pub fn refund_by_itself(&mut self, payment_id: &str, news: &mut Vec<News>) {
        let id = self.new_id("rfnd");
        let created_ms = self.now_ms;
        let Some(payment) = self.books.payments.get_mut(payment_id) else {
            return;
        };
        let amount = payment.amount - payment.amount_refunded;
        if amount <= 0 || self.books.refunds.is_full() {
            return;
        }
        payment.refunds.push(id.clone());
        self.books.refunds.put(Refund {
            id: id.clone(),
            created_ms,
            payment_id: payment_id.to_owned(),
            amount,
            notes: Notes::new(),
            receipt: None,
            status: Status::Pending,
            requested: Speed::Normal,
            processed: Speed::Normal,
            rrn: None,
            counted: false,
        });
        self.count(&id, true);
        // Official samples show `processed` even in `refund.created`.
        self.set_processed(&id);
        news.extend(event::refund("refund.created", self, &id));
        news.extend(event::refund("refund.processed", self, &id));
    }

    fn set_processed(&mut self, id: &str) {
        self.count(id, true);
        let Some(refund) = self.books.refunds.get_mut(id) else {
            return;
        };
        refund.status = Status::Processed;
        // Money that was never captured is not settled either.
        if self.books.payments.get(&refund.payment_id).is_some_and(|payment| payment.captured) {
            self.await_settlement(Item::Refund(id.to_owned()));
        }
        match self.switches.refund_rrn {
            RefundRrn::Later => self.appoint(self.now_ms + RRN_MS, Due::RefundGetsRrn(id.to_owned())),
            RefundRrn::AtOnce => self.refund_gets_rrn(id),
            RefundRrn::Never => (),
        }
    }

    /// Counts a refund on its payment, or no more.
    fn count(&mut self, id: &str, counts: bool) {
        let Some(refund) = self.books.refunds.get_mut(id).filter(|refund| refund.counted != counts) else {
            return;
        };
        refund.counted = counts;
        let Some(payment) = self.books.payments.get_mut(&refund.payment_id) else {
            return;
        };
        payment.amount_refunded += if counts { refund.amount } else { -refund.amount };
        if payment.amount_refunded >= payment.amount {
            payment.status = PaymentStatus::Refunded;
        } else if payment.status == PaymentStatus::Refunded {
            payment.status = PaymentStatus::Captured;
        }
    }

    fn tell_of_refund(&mut self, event: &'static str, id: &str) {
        let news = event::refund(event, self, id);
        self.tell(news.into_iter().collect());
    }
}
