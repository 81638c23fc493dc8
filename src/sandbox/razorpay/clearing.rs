//! Razorpay's refunds and settlements for whoever plays the dashboard and the bank.

use serde_json::Value;

use super::bulk::{Bulk, BulkSettlement};
use super::control::to_value;
use super::desk::Desk;
use super::input::Notes;
use super::payment::Status as PaymentStatus;
use super::refund::{self, Refund, Speed, Status};
use super::refund_life::Wish;
use super::settlement::Content;
use crate::sandbox::RefundEnd;
use crate::sandbox::control::ControlError;
use crate::sandbox::desk::Clearing;

/// A settlement as large as any that is tested; its totals take a moment to add up.
const BULK_LINES_MAX: usize = 100_000;

impl Clearing for Desk<'_> {
    fn refund_payment(&mut self, payment: &str, amount: Option<i64>) -> Result<Option<String>, ControlError> {
        self.expect_payment(payment, |status| status == PaymentStatus::Captured)?;
        let left = self.books.payments.get(payment).map_or(0, |payment| payment.amount - payment.amount_refunded);
        let asked = amount.unwrap_or(left);
        if asked < 1 {
            return Err(ControlError::BadAmount);
        }
        if asked > left {
            let state = format!("good for a refund of {left} paise at most");
            return Err(ControlError::WrongState { id: payment.to_owned(), state });
        }
        if self.books.refunds.is_full() {
            return Err(ControlError::Full);
        }
        let wish = Wish { payment_id: payment.to_owned(), amount, speed: Speed::Normal, notes: Notes::new(), receipt: None };
        Ok(Some(self.make_refund(asked, wish)))
    }

    fn end_refund(&mut self, id: &str, how: RefundEnd) -> Result<(), ControlError> {
        let refund = self.books.refunds.get(id).ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        match (refund.status, how) {
            (Status::Pending, RefundEnd::Processed) => self.process_refund(id),
            (Status::Pending, RefundEnd::Failed) => self.fail_refund(id),
            (Status::Pending, RefundEnd::SlowDown) if refund.processed == Speed::Instant => self.slow_down_refund(id),
            (Status::Failed, RefundEnd::Processed) if self.may_count_again(refund) => self.process_refund(id),
            _ => return Err(ControlError::WrongState { id: id.to_owned(), state: describe(refund).to_owned() }),
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<String, ControlError> {
        if self.books.settlements.is_full() {
            return Err(ControlError::Full);
        }
        let id = self.make_settlement(i64::MAX).map_err(ControlError::NothingToSettle)?;
        self.process_settlement(&id);
        Ok(id)
    }

    fn print_settlements(&self) -> Vec<Value> {
        self.books.settlements.newest_first().map(|settlement| to_value(self.view_settlement(settlement))).collect()
    }

    fn print_refunds(&self) -> Vec<Value> {
        self.books.refunds.newest_first().map(|refund| to_value(refund::view(refund))).collect()
    }
}

impl Desk<'_> {
    /// A settlement of so many lines that nobody paid.
    pub fn settle_bulk(&mut self, lines: usize, seed: u64) -> Result<BulkSettlement, ControlError> {
        if !(1..=BULK_LINES_MAX).contains(&lines) {
            return Err(ControlError::BadCount(BULK_LINES_MAX));
        }
        if self.books.settlements.is_full() {
            return Err(ControlError::Full);
        }
        let bulk = Bulk::new(seed, lines, self.books.settlements.len());
        let totals = bulk.totals();
        let id = self.open_settlement(totals.net, Content::MadeUp(bulk));
        self.process_settlement(&id);
        Ok(BulkSettlement { id, ..totals })
    }
}

fn describe(refund: &Refund) -> &'static str {
    match (refund.status, refund.processed) {
        (Status::Pending, Speed::Normal) => "pending, and no instant one",
        (Status::Pending, Speed::Instant) => "pending",
        (Status::Processed, _) => "processed",
        (Status::Failed, _) => "failed, and perhaps no more of the payment is left",
    }
}
