//! A debit by a mandate: its notices to the payer, its attempts, and how it learns.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::fact::{Failure, FailureReason, Learned};
use super::header::Header;
use super::id::Id;
use super::money::Money;
use super::payment::PaymentState;

mod learn;

pub use learn::{DebitPlan, NOTICES_MAX};

/// What the caller asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebitOrder {
    pub amount: Money,
    /// Whether it is executed by itself at the first permitted time.
    pub auto_execute: bool,
    /// Not to be executed before.
    pub execute_after: Option<Timestamp>,
    pub description: String,
    /// Sent to the provider where it takes such pairs.
    pub notes: BTreeMap<String, String>,
}

/// Where a debit stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DebitState {
    /// The notice to the payer is not (or not knowably) delivered.
    Requested,
    /// The payer knows, or need not; it waits for ExecuteDebit.
    Notified,
    /// It is executed by itself at the next permitted time.
    Scheduled,
    /// An attempt is under way, or failed and another follows.
    Executing,
    Succeeded,
    Failed(Failure),
    /// Before any attempt that reached the provider.
    Cancelled,
}

/// A notice to the payer of what will be debited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The reference that we sent with it.
    pub our_ref: String,
    /// The provider's id of it, or of the order that it is of.
    pub provider_ref: Option<String>,
    pub sent: Timestamp,
    /// The time of the debit that it tells of.
    pub debit_time: Timestamp,
    pub state: NoticeState,
    /// After this it is too old; `None`: not known yet.
    pub expires: Option<Timestamp>,
}

impl Notice {
    /// Whether it certainly never reached the provider: then it counts for nothing.
    pub fn was_not_sent(&self) -> bool {
        matches!(&self.state, NoticeState::Failed(failure) if failure.reason == FailureReason::NotSent)
    }
}

/// What became of a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeState {
    /// Asked for; what the provider did is not known yet.
    Asked,
    /// The provider took it.
    Taken,
    Delivered {
        at: Timestamp,
    },
    Failed(Failure),
}

/// An attempt to execute a debit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub start: Timestamp,
    /// When its outcome became known.
    pub end: Option<Timestamp>,
    /// The provider's id of the notice that it follows: the order that it is made for, where notices are orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice_ref: Option<String>,
    /// The provider's ids of the payment that it made and of that payment's order, as far as each is known.
    pub payment_ref: Option<String>,
    pub order_ref: Option<String>,
    /// The payment, once it is recorded.
    pub payment: Option<Id>,
    pub failure: Option<AttemptFailure>,
    /// The answer was lost and nobody can be asked, or what the provider took never comes to anything.
    #[serde(default, skip_serializing_if = "is_false")]
    pub answer_lost: bool,
    /// The idempotency claim of the request that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Why an attempt failed, and what may follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailure {
    pub failure: Failure,
    pub meaning: FailureMeaning,
}

/// What the failure of an attempt says about another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureMeaning {
    /// It is final, and another attempt may succeed.
    Retry,
    /// It is final, and another attempt would fail as well.
    GiveUp,
    /// The money may come all the same: another attempt waits until that can't be any more.
    MayComeLate,
}

impl Attempt {
    /// Whether its outcome is open.
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Whether the provider's word on it is known: it took it, or it has ended.
    pub fn is_answered(&self) -> bool {
        self.end.is_some() || self.payment_ref.is_some() || self.order_ref.is_some()
    }

    /// Whether it certainly never reached the provider: then it counts for nothing.
    pub fn was_not_sent(&self) -> bool {
        self.failure.as_ref().is_some_and(|failed| failed.failure.reason == FailureReason::NotSent)
    }
}

/// A debit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debit {
    pub header: Header,
    pub state: DebitState,
    pub mandate: Id,
    pub order: DebitOrder,
    /// The mandate's cycle that it is counted in; empty where the mandate has none.
    pub cycle: String,
    /// Whether it takes that cycle, so that no other debit is counted in it.
    pub takes_cycle: bool,
    /// Whether the payer has to be notified.
    pub needs_notice: bool,
    pub notices: Vec<Notice>,
    pub attempts: Vec<Attempt>,
    pub requires_payer_approval: bool,
    /// The earliest time of the next attempt; `None`: not known yet, or none follows.
    pub next_permitted_time: Option<Timestamp>,
    /// When this service has to do something for it: send a notice anew, or execute it. `None`: nothing.
    pub next_step_time: Option<Timestamp>,
    /// Its caller executes it by hand, and asked for it when its notice was too old: another one is to be sent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub notice_wanted: bool,
    /// The payment that came of it: of the newest attempt.
    pub payment: Option<Id>,
    /// The record that stands for what our request came to, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<Id>,
}

/// What a debit adds to its mandate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebitShare {
    /// The cycle that it takes, as long as it may succeed or did.
    pub cycle: Option<String>,
    /// What it collected.
    pub collected: Option<Money>,
    pub attempt_open: bool,
    /// When its newest attempt was begun: one that is open again was begun before.
    pub begun: Option<Timestamp>,
    pub contradicted: bool,
}

impl DebitShare {
    pub fn of(debit: &Debit) -> Self {
        let takes = debit.takes_cycle && !matches!(debit.state, DebitState::Failed(_) | DebitState::Cancelled);
        Self {
            cycle: takes.then(|| debit.cycle.clone()),
            collected: (debit.state == DebitState::Succeeded).then_some(debit.order.amount),
            attempt_open: debit.open_attempt().is_some(),
            begun: debit.attempts.last().map(|attempt| attempt.start),
            contradicted: !debit.header.contradictions.is_empty(),
        }
    }
}

/// A notice as the provider shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeSnapshot {
    /// The provider's id of it, or of the order that it is of; `None`: not told.
    pub provider_ref: Option<String>,
    pub status: NoticeStatus,
    /// After this the provider takes it for too old; `None`: it does not say.
    pub expires: Option<Timestamp>,
}

/// The provider's word on a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeStatus {
    Pending,
    /// `at`: by the provider's clock; `None`: it does not say when.
    Delivered {
        at: Option<Timestamp>,
    },
    Failed {
        code: String,
        message: String,
    },
}

/// What may follow, as the rules have it at the time of the fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next attempt is permitted at `permitted`, and this service has something to do at `step`.
    At { permitted: Timestamp, step: Timestamp },
    /// Nothing before `until`: an attempt that failed may still succeed.
    Wait { until: Timestamp },
    /// No permitted time is left in its cycle or its mandate's validity.
    WindowMissed,
    /// As many attempts as are permitted were made.
    AttemptsExhausted,
}

/// What can be learned about a debit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DebitFact {
    /// A notice is about to be sent.
    NoticeBegun(Notice),
    /// The provider showed the notice with our reference.
    NoticeSeen { our_ref: String, snapshot: NoticeSnapshot, expires: Option<Timestamp>, next: Next },
    /// The provider said no to a notice.
    NoticeRefused { our_ref: String, code: String, message: String },
    /// A notice certainly never reached the provider.
    NoticeNotSent { our_ref: String, message: String },
    /// A notice is not known to the provider, as was looked for long enough.
    NoticeAbsent { our_ref: String },
    /// The time at which it may be executed changed.
    Rescheduled(Next),
    /// Its caller asked for it when its notice was too old: another one is to be sent at `step`.
    NoticeWanted { permitted: Timestamp, step: Timestamp },
    /// An attempt is about to be made; `claim`: by this request.
    AttemptBegun { claim: Option<String> },
    /// The provider took the attempt, or an operator says so.
    AttemptTaken { payment_ref: Option<String>, order_ref: Option<String> },
    /// The provider said no to the attempt.
    AttemptRefused { failed: AttemptFailure, next: Next },
    /// The attempt certainly never reached the provider.
    AttemptNotSent { message: String, next: Next },
    /// The attempt's answer was lost, and the provider lets nobody look.
    AttemptLost,
    /// The attempt is not known to the provider, as was looked for long enough, or an operator decided.
    AttemptAbsent { next: Next },
    /// The payment of an attempt moved. `next`: where it failed.
    PaymentMoved { payment: Id, payment_ref: String, to: PaymentState, failed: Option<AttemptFailure>, next: Next },
    /// Its mandate is over, or no time is left for it.
    MandateEnded,
    /// A caller cancelled it.
    Cancelled,
    /// What the provider answered with is this other record.
    Duplicate { of: Id },
    /// An operator settled its contradictions.
    ContradictionsResolved,
}

impl DebitFact {
    /// The fact's name in tables and contradictions.
    pub fn name(&self) -> &'static str {
        match self {
            DebitFact::NoticeBegun(_) => "notice_begun",
            DebitFact::NoticeSeen { snapshot, .. } => match snapshot.status {
                NoticeStatus::Pending => "notice_pending",
                NoticeStatus::Delivered { .. } => "notice_delivered",
                NoticeStatus::Failed { .. } => "notice_failed",
            },
            DebitFact::NoticeRefused { .. } => "notice_refused",
            DebitFact::NoticeNotSent { .. } => "notice_not_sent",
            DebitFact::NoticeAbsent { .. } => "notice_absent",
            DebitFact::Rescheduled(Next::At { .. }) => "rescheduled",
            DebitFact::Rescheduled(Next::Wait { .. }) => "waits",
            DebitFact::Rescheduled(Next::WindowMissed) => "window_missed",
            DebitFact::Rescheduled(Next::AttemptsExhausted) => "attempts_exhausted",
            DebitFact::NoticeWanted { .. } => "notice_wanted",
            DebitFact::AttemptBegun { .. } => "attempt_begun",
            DebitFact::AttemptTaken { .. } => "attempt_taken",
            DebitFact::AttemptRefused { .. } => "attempt_refused",
            DebitFact::AttemptNotSent { .. } => "attempt_not_sent",
            DebitFact::AttemptLost => "attempt_lost",
            DebitFact::AttemptAbsent { .. } => "attempt_absent",
            DebitFact::PaymentMoved { to, .. } => match to {
                PaymentState::Pending => "payment_pending",
                PaymentState::Authorized => "payment_authorized",
                PaymentState::Succeeded => "payment_succeeded",
                PaymentState::Mismatched => "payment_mismatched",
                PaymentState::Failed(_) => "payment_failed",
                PaymentState::Reversed => "payment_reversed",
            },
            DebitFact::MandateEnded => "mandate_ended",
            DebitFact::Cancelled => "cancelled",
            DebitFact::Duplicate { .. } => "duplicate",
            DebitFact::ContradictionsResolved => "contradictions_resolved",
        }
    }
}

type DebitLearned = Learned<Debit, EventKind>;

impl DebitState {
    /// The state's name in tables, lists and filters.
    pub fn name(&self) -> &'static str {
        match self {
            DebitState::Requested => "requested",
            DebitState::Notified => "notified",
            DebitState::Scheduled => "scheduled",
            DebitState::Executing => "executing",
            DebitState::Succeeded => "succeeded",
            DebitState::Failed(_) => "failed",
            DebitState::Cancelled => "cancelled",
        }
    }

    /// Whether it is an end.
    pub fn is_terminal(&self) -> bool {
        matches!(self, DebitState::Succeeded | DebitState::Failed(_) | DebitState::Cancelled)
    }
}

impl Debit {
    /// The attempt whose outcome is open.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        self.attempts.last().filter(|attempt| attempt.is_open())
    }

    /// The newest notice.
    pub fn notice(&self) -> Option<&Notice> {
        self.notices.last()
    }

    /// The newest notice that was delivered, and when. A later one that failed doesn't count.
    pub fn delivered_notice(&self) -> Option<(&Notice, Timestamp)> {
        self.notices.iter().rev().find_map(|notice| match notice.state {
            NoticeState::Delivered { at } => Some((notice, at)),
            _ => None,
        })
    }

    /// How many notices reached the provider, or may have.
    pub fn notices_made(&self) -> usize {
        self.notices.iter().filter(|notice| !notice.was_not_sent()).count()
    }

    /// Whether a notice is to be sent that was asked for, with the debit or by hand, and that nobody has been sent.
    pub fn wants_notice(&self) -> bool {
        self.needs_notice && (self.notice_wanted || self.state == DebitState::Requested)
    }

    /// How many attempts reached the provider, or may have.
    pub fn attempts_made(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.was_not_sent()).count()
    }

    /// Whether nobody waits for the provider's word on a request about it.
    pub fn is_decided(&self) -> bool {
        let notice_open = !self.state.is_terminal() && self.notice().is_some_and(|notice| notice.state == NoticeState::Asked);
        !notice_open && self.attempts.last().is_none_or(|attempt| attempt.is_answered() && !(attempt.is_open() && attempt.answer_lost))
    }
}
