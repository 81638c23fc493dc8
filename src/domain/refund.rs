//! A refund: money of one payment sent back to its payer, and how it learns.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::fact::{Failure, Learned};
use super::header::Header;
use super::id::Id;
use super::money::Money;

mod learn;

/// Where a refund stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundState {
    /// Asked for; what the provider did is not known yet.
    Requested,
    /// The provider took it and is at work.
    Pending,
    /// The provider says that it made it.
    Succeeded,
    Failed(Failure),
}

/// Who made a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundOrigin {
    /// A request to this service.
    Ours,
    /// A person in the provider's dashboard, or the provider itself.
    Provider,
}

/// How fast a refund goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundSpeed {
    Normal,
    Instant,
}

/// What the caller asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundOrder {
    pub amount: Money,
    pub speed: RefundSpeed,
    pub description: String,
    /// Sent to the provider where it takes such pairs.
    pub notes: BTreeMap<String, String>,
}

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub header: Header,
    pub state: RefundState,
    pub origin: RefundOrigin,
    /// The payment whose money is sent back, and the provider's id of it.
    pub payment: Id,
    pub payment_ref: String,
    pub amount: Money,
    /// `None`: the provider made it and does not say.
    pub speed_requested: Option<RefundSpeed>,
    /// `None`: not known (yet).
    pub speed_processed: Option<RefundSpeed>,
    pub description: String,
    pub notes: BTreeMap<String, String>,
    /// What the payer's bank can find it by, once known.
    pub rrn: Option<String>,
    pub arn: Option<String>,
    /// When it was made, by the provider's clock.
    pub process_time: Option<Timestamp>,
    /// What the provider takes for it, tax included, and the tax within that.
    pub fee: Option<Money>,
    pub tax: Option<Money>,
    /// What was refunded of the payment before, for providers that only show the payment's whole.
    pub refunded_before: Money,
    /// The record that stands for what our request came to, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<Id>,
    /// The answer was lost and nobody can be asked: the provider may have made it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub answer_lost: bool,
    /// The line of a settlement that it was taken from the merchant by, and when we learned that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
}

/// The line of a settlement that a payment or refund stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    pub entry: Id,
    /// `None`: the provider lists it without one.
    pub settlement: Option<Id>,
    /// By the provider's clock where it tells, else when it was learned.
    pub at: Timestamp,
}

/// The line of a settlement that a refund stands in, and what the provider takes for it: the tax is part of the fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledRefund {
    pub settled: Settled,
    pub fee: Money,
    pub tax: Money,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A refund as the provider shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundSnapshot {
    /// `None`: this provider gives refunds no id of their own.
    pub provider_ref: Option<String>,
    /// The reference that we sent, if it carries one.
    pub our_ref: Option<String>,
    /// The provider's id of the payment.
    pub payment_ref: String,
    pub amount: Money,
    pub status: RefundStatus,
    pub speed_requested: Option<RefundSpeed>,
    pub speed_processed: Option<RefundSpeed>,
    pub rrn: Option<String>,
    pub arn: Option<String>,
    /// When it was made, by the provider's clock.
    pub process_time: Option<Timestamp>,
}

/// The provider's word on where a refund stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundStatus {
    Pending,
    Processed,
    Failed {
        code: String,
        message: String,
    },
    /// The provider took it, and what it says of its outcome is not known to us, or can't be told apart: nothing follows.
    Undecided,
}

/// What can be learned about a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundFact {
    /// The provider showed it.
    Seen(RefundSnapshot),
    /// The answer was lost, and the provider lets nobody look.
    AnswerLost,
    /// The provider said no.
    Refused { code: String, message: String },
    /// It certainly never reached the provider.
    NotSent { message: String },
    /// The provider was searched long enough (or an operator decided): it does not exist there.
    Absent,
    /// An operator decided that the provider made it; `provider_ref` where the provider gives refunds ids.
    Adopted { provider_ref: Option<String> },
    /// What the provider answered with is this other record.
    Duplicate { of: Id },
    /// A settlement has it; `None`: none has it any more.
    Settled(Option<SettledRefund>),
    /// An operator settled its contradictions.
    ContradictionsResolved,
}

impl RefundFact {
    /// The fact's name in tables and contradictions.
    pub fn name(&self) -> &'static str {
        match self {
            RefundFact::Seen(snapshot) => match snapshot.status {
                RefundStatus::Pending => "seen_pending",
                RefundStatus::Processed => "seen_processed",
                RefundStatus::Failed { .. } => "seen_failed",
                RefundStatus::Undecided => "seen_undecided",
            },
            RefundFact::AnswerLost => "answer_lost",
            RefundFact::Refused { .. } => "refused",
            RefundFact::NotSent { .. } => "not_sent",
            RefundFact::Absent => "absent",
            RefundFact::Adopted { .. } => "adopted",
            RefundFact::Duplicate { .. } => "duplicate",
            RefundFact::Settled(Some(_)) => "settled",
            RefundFact::Settled(None) => "not_settled",
            RefundFact::ContradictionsResolved => "contradictions_resolved",
        }
    }
}

type RefundLearned = Learned<Refund, EventKind>;

impl RefundState {
    /// The state's name in tables, lists and filters.
    pub fn name(&self) -> &'static str {
        match self {
            RefundState::Requested => "requested",
            RefundState::Pending => "pending",
            RefundState::Succeeded => "succeeded",
            RefundState::Failed(_) => "failed",
        }
    }

    /// Whether its outcome is open: its amount is reserved.
    pub fn is_open(&self) -> bool {
        matches!(self, RefundState::Requested | RefundState::Pending)
    }

    fn event(&self) -> EventKind {
        match self {
            RefundState::Requested => EventKind::RefundRequested,
            RefundState::Pending => EventKind::RefundPending,
            RefundState::Succeeded => EventKind::RefundSucceeded,
            RefundState::Failed(_) => EventKind::RefundFailed,
        }
    }
}
