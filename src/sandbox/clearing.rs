//! Playing whoever decides on refunds and settlements, from Rust. `control_http.rs` offers the same by HTTP.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::desk::Clearing;
use super::{BulkSettlement, ControlError, Sandbox};

/// How a refund turns out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundEnd {
    Processed,
    Failed,
    /// An instant one becomes a normal one, and is still pending.
    SlowDown,
}

/// What can be wrong with Razorpay's recon report, or with a settlement's own amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ReconFault {
    /// The line is left out.
    Missing { entity_id: String },
    /// The line comes twice.
    Doubled { entity_id: String },
    /// The line's amount, and what it credits or debits, is so much more, or less.
    OffBy { entity_id: String, paise: i64 },
    /// The line stands in the newest of the other settlements as well.
    InOtherSettlementToo { entity_id: String },
    /// The settlement's amount differs from its lines.
    SettlementOffBy { settlement_id: String, paise: i64 },
    /// The newest settlement's report has one more line: a UPI payment that nobody knows.
    Unknown,
}

impl Sandbox {
    /// The account's refunds as the provider prints them, newest first.
    pub fn refunds(&self, account: &str) -> Result<Vec<Value>, ControlError> {
        self.look_at_clearing(account, |desk| desk.print_refunds())
    }

    /// The merchant refunds in the provider's dashboard: `amount` in paise, or all that is left. Answers the refund's id
    /// where it has one that the merchant gets to see.
    pub async fn refund_payment(&self, account: &str, payment: &str, amount: Option<i64>) -> Result<Option<String>, ControlError> {
        self.at_clearing(account, |desk| desk.refund_payment(payment, amount))
    }

    /// Says how a pending refund turns out; one that failed may still be processed, where there is room for it again. At
    /// EnKash the refund is known by its `requestId`, and one that is done may still fail: the bank sends it back.
    pub async fn end_refund(&self, account: &str, refund: &str, how: RefundEnd) -> Result<(), ControlError> {
        self.at_clearing(account, |desk| desk.end_refund(refund, how))
    }

    /// Settles at once all that waits for it, whatever its age. Answers the settlement's id.
    pub async fn settle(&self, account: &str) -> Result<String, ControlError> {
        self.at_clearing(account, |desk| desk.settle())
    }

    /// The account's settlements as the provider prints them, newest first.
    pub fn settlements(&self, account: &str) -> Result<Vec<Value>, ControlError> {
        self.look_at_clearing(account, |desk| desk.print_settlements())
    }

    /// Makes a settlement at Razorpay of so many lines that nobody paid. The same seed gives the same figures, if the
    /// account has as many settlements already.
    pub async fn settle_bulk(&self, account: &str, lines: usize, seed: u64) -> Result<BulkSettlement, ControlError> {
        self.at_razorpay(account, |desk| desk.settle_bulk(lines, seed))
    }

    /// Makes Razorpay's answers about settlements wrong until `mend_recon`. Answers the id of the line or settlement.
    pub async fn recon_fault(&self, account: &str, fault: ReconFault) -> Result<String, ControlError> {
        self.at_razorpay(account, |desk| desk.set_recon_fault(fault))
    }

    pub async fn mend_recon(&self, account: &str) -> Result<(), ControlError> {
        self.at_razorpay(account, |desk| {
            desk.mend_recon();
            Ok(())
        })
    }

    fn at_clearing<R>(&self, account: &str, act: impl FnOnce(&mut dyn Clearing) -> Result<R, ControlError>) -> Result<R, ControlError> {
        let inner = &self.inner;
        let account = inner.account(account).ok_or_else(|| ControlError::UnknownAccount(account.to_owned()))?;
        let not_offered = || ControlError::NotOffered(account.merchant.provider());
        inner.change(|state, now_ms| act(inner.desk(state, account, now_ms).clearing().ok_or_else(not_offered)?))
    }

    fn look_at_clearing<R>(&self, account: &str, look: impl FnOnce(&dyn Clearing) -> R) -> Result<R, ControlError> {
        let inner = &self.inner;
        let account = inner.account(account).ok_or_else(|| ControlError::UnknownAccount(account.to_owned()))?;
        let not_offered = || ControlError::NotOffered(account.merchant.provider());
        inner.read(|state, now_ms| Ok(look(inner.desk(state, account, now_ms).clearing().ok_or_else(not_offered)?)))
    }
}
