//! A mandate: a payer's standing permission to be debited (UPI Autopay), and how it learns.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::debit::DebitShare;
use super::event::EventKind;
use super::fact::{ChangeFailure, Failure, Learned, PendingChange};
use super::header::Header;
use super::id::Id;
use super::money::Money;
use super::personal::{Email, PersonName, Phone, Vpa};
use super::upi::{AmountRule, Day, Pattern};

mod learn;

/// What the caller asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MandateOrder {
    pub max_amount: Money,
    pub amount_rule: AmountRule,
    pub pattern: Pattern,
    pub day: Option<Day>,
    /// Its first and its last day, in India, hold as a whole.
    pub valid_from: Timestamp,
    pub valid_until: Timestamp,
    /// Whether the amount is blocked in the payer's account at approval.
    pub block_funds: bool,
    /// Whether the payer may revoke it.
    pub revocable: bool,
    pub payer: MandatePayer,
    /// Two digits.
    pub purpose: String,
    /// What the payer is shown.
    pub name: String,
    pub description: String,
    /// Until when the payer may approve; `None`: as the provider has it.
    pub approval_expire_time: Option<Timestamp>,
    /// Sent to the provider where it takes such pairs.
    pub notes: BTreeMap<String, String>,
}

/// Who is to be debited. Personal data: shown only with sight of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MandatePayer {
    /// Set: he is asked in the UPI app of this address.
    pub vpa: Option<Vpa>,
    pub name: Option<PersonName>,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
}

/// Where a mandate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MandateState {
    /// Asked for; what the provider did is not known yet.
    Requested,
    /// The provider took it; the payer has to approve.
    AwaitingApproval,
    Active,
    Paused,
    Revoked,
    /// The payer, or his bank, declined.
    Rejected(Failure),
    /// Past its end; with a failure where it was never approved.
    Expired(Option<Failure>),
    /// All that it permits was debited.
    Completed,
    Failed(Failure),
}

/// What the provider calls the things that a mandate is registered by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// What the payer approves by: at Razorpay the order.
    pub provider_ref: String,
    /// The payer, where providers keep those.
    pub customer_ref: Option<String>,
    /// What is collected at approval; `None`: nothing.
    pub amount: Option<Money>,
}

/// A cycle that a debit is counted in, so that no second one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenCycle {
    pub cycle: String,
    pub debit: Id,
    /// Whether the debit succeeded; otherwise it may.
    pub succeeded: bool,
}

/// The most cycles that a mandate remembers of debits that succeeded, the newest of them; and how many debits of it may be
/// under way at once, each in a cycle of its own.
pub const TAKEN_CYCLES_MAX: usize = 128;

/// A mandate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mandate {
    pub header: Header,
    pub state: MandateState,
    pub order: MandateOrder,
    /// `None`: the provider needs no such step, or it is not known yet.
    pub registration: Option<Registration>,
    /// Where the payer approves; empty where he is asked in his app.
    pub approval_link: String,
    pub approval_expire_time: Option<Timestamp>,
    pub approve_time: Option<Timestamp>,
    /// The payer's address as the provider told it.
    pub approved_by: Option<Vpa>,
    /// The UPI network's own number of it.
    pub umn: Option<String>,
    pub pending_change: Option<PendingChange>,
    /// How the last change that did not happen ended.
    pub change_failure: Option<ChangeFailure>,
    pub taken: Vec<TakenCycle>,
    /// The debit of which an attempt is under way: one at a time.
    pub attempt_open: Option<Id>,
    /// Its debits that succeeded, and their sum.
    pub debit_count: u64,
    pub amount_debited: Money,
    /// How many of its debits are contradicted.
    pub contradicted_debits: u32,
    pub end_time: Option<Timestamp>,
    /// The record that stands for what our request came to, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<Id>,
}

/// A mandate as the provider shows it. What is `None` or empty is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MandateSnapshot {
    pub provider_ref: Option<String>,
    /// The provider's id of what the payer approves by.
    pub registration_ref: Option<String>,
    pub customer_ref: Option<String>,
    /// The reference that we sent, if it carries one.
    pub our_ref: Option<String>,
    pub status: MandateStatus,
    pub max_amount: Option<Money>,
    pub umn: Option<String>,
    pub payer_vpa: Option<Vpa>,
    pub approval_link: String,
    pub approval_expire_time: Option<Timestamp>,
    pub approve_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
}

impl MandateSnapshot {
    /// One of which only the status is told.
    pub fn of(status: MandateStatus) -> Self {
        Self {
            provider_ref: None,
            registration_ref: None,
            customer_ref: None,
            our_ref: None,
            status,
            max_amount: None,
            umn: None,
            payer_vpa: None,
            approval_link: String::new(),
            approval_expire_time: None,
            approve_time: None,
            end_time: None,
        }
    }
}

/// The provider's word on where a mandate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MandateStatus {
    AwaitingApproval,
    Active,
    Paused,
    /// It is being cancelled; that may still fail.
    Revoking,
    Revoked,
    Rejected {
        code: String,
        message: String,
    },
    Expired,
    Completed,
    /// What is said of it is not known to us, or it is not said: nothing follows.
    Undecided,
}

/// What a caller can ask a standing mandate to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MandateChange {
    Update,
    Pause,
    Resume,
    Revoke,
}

/// What can be learned about a mandate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MandateFact {
    /// The provider showed it.
    Seen(MandateSnapshot),
    /// The provider has what the payer approves by; his link is still to be fetched.
    Registered(Registration),
    /// The provider said no to the creation.
    Refused {
        code: String,
        message: String,
    },
    /// The creation certainly never reached the provider.
    NotSent {
        message: String,
    },
    /// The provider was searched long enough (or an operator decided): it does not exist there.
    Absent,
    /// What the payer would approve by was never to be had: nobody has seen it, and nobody can approve.
    LinkMissing,
    /// What the provider answered with is this other record.
    Duplicate {
        of: Id,
    },
    /// A caller asked to revoke it.
    RevokeAsked {
        claim: String,
    },
    RevokeRefused {
        code: String,
        message: String,
    },
    /// The revoke did not happen: the provider still shows the mandate as it was after every wait, or an operator said so.
    RevokeNotMade,
    /// The revoke certainly never reached the provider.
    RevokeNotSent,
    /// The time to approve is over, and the provider shows no approval.
    ApprovalOverdue,
    /// Its last day is over.
    ValidityOver,
    /// One of its debits moved: what it adds to the mandate, before and after.
    DebitMoved {
        debit: Id,
        before: DebitShare,
        after: DebitShare,
    },
    /// An operator settled its contradictions.
    ContradictionsResolved,
}

impl MandateFact {
    /// The fact's name in tables and contradictions.
    pub fn name(&self) -> &'static str {
        match self {
            MandateFact::Seen(snapshot) => match snapshot.status {
                MandateStatus::AwaitingApproval => "seen_awaiting_approval",
                MandateStatus::Active => "seen_active",
                MandateStatus::Paused => "seen_paused",
                MandateStatus::Revoking => "seen_revoking",
                MandateStatus::Revoked => "seen_revoked",
                MandateStatus::Rejected { .. } => "seen_rejected",
                MandateStatus::Expired => "seen_expired",
                MandateStatus::Completed => "seen_completed",
                MandateStatus::Undecided => "seen_undecided",
            },
            MandateFact::Registered(_) => "registered",
            MandateFact::Refused { .. } => "refused",
            MandateFact::NotSent { .. } => "not_sent",
            MandateFact::Absent => "absent",
            MandateFact::LinkMissing => "link_missing",
            MandateFact::Duplicate { .. } => "duplicate",
            MandateFact::RevokeAsked { .. } => "revoke_asked",
            MandateFact::RevokeRefused { .. } => "revoke_refused",
            MandateFact::RevokeNotMade => "revoke_not_made",
            MandateFact::RevokeNotSent => "revoke_not_sent",
            MandateFact::ApprovalOverdue => "approval_overdue",
            MandateFact::ValidityOver => "validity_over",
            MandateFact::DebitMoved { .. } => "debit_moved",
            MandateFact::ContradictionsResolved => "contradictions_resolved",
        }
    }
}

type MandateLearned = Learned<Mandate, EventKind>;

impl MandateState {
    /// The state's name in tables, lists and filters.
    pub fn name(&self) -> &'static str {
        match self {
            MandateState::Requested => "requested",
            MandateState::AwaitingApproval => "awaiting_approval",
            MandateState::Active => "active",
            MandateState::Paused => "paused",
            MandateState::Revoked => "revoked",
            MandateState::Rejected(_) => "rejected",
            MandateState::Expired(_) => "expired",
            MandateState::Completed => "completed",
            MandateState::Failed(_) => "failed",
        }
    }

    /// Whether it is an end.
    pub fn is_terminal(&self) -> bool {
        match self {
            MandateState::Requested | MandateState::AwaitingApproval | MandateState::Active | MandateState::Paused => false,
            MandateState::Revoked
            | MandateState::Rejected(_)
            | MandateState::Expired(_)
            | MandateState::Completed
            | MandateState::Failed(_) => true,
        }
    }
}

impl Mandate {
    /// Whether nobody waits for the provider's word on a request about it.
    pub fn is_decided(&self) -> bool {
        self.state != MandateState::Requested && self.pending_change.is_none()
    }

    /// Whether a debit may be begun by it: it is active, and nothing that would end that is asked for.
    pub fn permits_debits(&self) -> bool {
        self.state == MandateState::Active && self.pending_change.is_none()
    }

    /// The debit that is counted in `cycle`, if there is one.
    pub fn taker_of(&self, cycle: &str) -> Option<&TakenCycle> {
        self.taken.iter().find(|taken| taken.cycle == cycle)
    }
}
