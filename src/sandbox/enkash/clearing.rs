//! EnKash's refunds and payouts for whoever plays the dashboard and the bank.

use serde_json::Value;

use super::control::{to_value, wrong_state};
use super::desk::Desk;
use super::refund::Status;
use super::transaction::Status as TransactionStatus;
use crate::sandbox::RefundEnd;
use crate::sandbox::control::ControlError;
use crate::sandbox::desk::Clearing;

impl Clearing for Desk<'_> {
    /// Done at once, whatever the switches say; the merchant gets no id to see.
    fn refund_payment(&mut self, payment: &str, amount: Option<i64>) -> Result<Option<String>, ControlError> {
        self.expect_attempt(payment, |status| matches!(status, TransactionStatus::Success | TransactionStatus::PartiallyRefunded))?;
        let left = self.books.transactions.get(payment).map_or(0, |transaction| transaction.refundable());
        let amount = amount.unwrap_or(left);
        if amount < 1 {
            return Err(ControlError::BadAmount);
        }
        if amount > left {
            return Err(wrong_state(payment, &format!("good for a refund of {left} paise at most")));
        }
        if self.books.refunds.is_full() {
            return Err(ControlError::Full);
        }
        let id = self.take_refund(payment, amount, None, None);
        self.end_refund_well(&id);
        Ok(None)
    }

    /// `id` is a `requestId`; where several refunds have it, the newest is meant.
    fn end_refund(&mut self, id: &str, how: RefundEnd) -> Result<(), ControlError> {
        let refund = self.books.refunds.newest_first().find(|refund| refund.request_id.as_deref() == Some(id));
        let refund = refund.ok_or_else(|| ControlError::NotFound(id.to_owned()))?;
        let left = self.books.transactions.get(&refund.transaction_id).map_or(0, |transaction| transaction.refundable());
        let (ours, status, fits) = (refund.id.clone(), refund.status, refund.amount <= left);
        match (status, how) {
            (Status::Pending, RefundEnd::Processed) => self.end_refund_well(&ours),
            (Status::Failed, RefundEnd::Processed) if fits => self.end_refund_well(&ours),
            (Status::Pending | Status::Success, RefundEnd::Failed) => self.end_refund_badly(&ours),
            _ => return Err(wrong_state(id, status.word())),
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<String, ControlError> {
        if self.books.payouts.is_full() {
            return Err(ControlError::Full);
        }
        let id = self.make_payout(i64::MAX).map_err(ControlError::NothingToSettle)?;
        self.end_payout(&id);
        Ok(id)
    }

    fn print_settlements(&self) -> Vec<Value> {
        self.books.payouts.newest_first().map(|payout| to_value(self.view_payout(payout))).collect()
    }

    fn print_refunds(&self) -> Vec<Value> {
        self.books.refunds.newest_first().map(|refund| to_value(self.view_refund(refund))).collect()
    }
}
