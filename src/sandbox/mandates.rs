//! Playing the payer and his bank about mandates (UPI Autopay), from Rust. `control_http.rs` offers the same by HTTP.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::desk::Mandates;
use super::{ControlError, Sandbox};

/// What a payer does about a mandate in his UPI app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayerAct {
    Approve,
    Reject,
    Pause,
    Resume,
    Revoke,
}

/// What becomes of the notice that a payer gets before a debit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEnd {
    Delivered,
    Failed,
}

/// How a debit that was executed turns out. One that failed may be collected late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebitEnd {
    Collected,
    /// The provider's reason, such as `insufficient_funds` at Razorpay.
    Failed {
        reason: String,
    },
}

/// How mandates and their debits go on by themselves, at every provider that has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MandateSwitches {
    pub approvals: ApprovalCourse,
    pub notices: NoticeCourse,
    pub debits: DebitCourse,
    /// Cancelling stays under way until the payer's side confirms it by `PayerAct::Revoke`.
    pub cancelling_stays: bool,
    /// The bank itself refuses debits in UPI's peak hours or without a notice delivered 24 hours before, as a failed payment.
    /// At Razorpay the notice is needed in any case, and this also keeps debits to the mandate's days, and to one a cycle.
    pub bank_enforces_rules: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalCourse {
    /// The payer decides by `PayerAct` alone.
    #[default]
    WhenTold,
    /// The payer approves half a minute after he was asked.
    ByThemselves,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeCourse {
    /// They are delivered half a minute after they were asked for.
    #[default]
    ByThemselves,
    /// They fail after half a minute.
    Fail,
    WhenTold,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebitCourse {
    /// They are collected half a minute after they were executed.
    #[default]
    ByThemselves,
    /// They fail after half a minute.
    Fail { reason: String },
    /// They stay pending until the control interface says how they end.
    WhenTold,
}

impl Sandbox {
    /// The account's mandates as the provider prints them, newest first.
    pub fn mandates(&self, account: &str) -> Result<Vec<Value>, ControlError> {
        self.look_at_mandates(account, |desk| desk.print_mandates())
    }

    /// The payer acts. `mandate`: the provider's id of it, of what it was asked for by (an order), or its link's text.
    pub async fn decide_mandate(&self, account: &str, mandate: &str, act: PayerAct) -> Result<(), ControlError> {
        self.at_mandates(account, |desk| desk.decide_mandate(mandate, act))
    }

    /// Says what becomes of a notice that waits. `notice`: its id, or that of its order.
    pub async fn end_notice(&self, account: &str, notice: &str, how: NoticeEnd) -> Result<(), ControlError> {
        self.at_mandates(account, |desk| desk.end_notice(notice, how))
    }

    /// Says how a debit that was executed turns out. `debit`: the id of its payment, or of its order (the newest payment of it).
    pub async fn end_debit(&self, account: &str, debit: &str, how: DebitEnd) -> Result<(), ControlError> {
        self.at_mandates(account, |desk| desk.end_debit(debit, &how))
    }

    fn at_mandates<R>(&self, account: &str, act: impl FnOnce(&mut dyn Mandates) -> Result<R, ControlError>) -> Result<R, ControlError> {
        let inner = &self.inner;
        let account = inner.account(account).ok_or_else(|| ControlError::UnknownAccount(account.to_owned()))?;
        let not_offered = || ControlError::NotOffered(account.merchant.provider());
        inner.change(|state, now_ms| act(inner.desk(state, account, now_ms).mandates().ok_or_else(not_offered)?))
    }

    fn look_at_mandates<R>(&self, account: &str, look: impl FnOnce(&dyn Mandates) -> R) -> Result<R, ControlError> {
        let inner = &self.inner;
        let account = inner.account(account).ok_or_else(|| ControlError::UnknownAccount(account.to_owned()))?;
        let not_offered = || ControlError::NotOffered(account.merchant.provider());
        inner.read(|state, now_ms| Ok(look(inner.desk(state, account, now_ms).mandates().ok_or_else(not_offered)?)))
    }
}
