//! What we come to know, how well, and what it does to a record: moves it, was known, needs a closer look, or
//! contradicts it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The most contradictions that a record keeps. Later ones are counted and logged only.
pub const CONTRADICTIONS_MAX: usize = 16;

/// What proves a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Evidence {
    /// A callback whose signature was checked.
    Signature,
    /// We asked the provider.
    Enquiry,
    /// A callback to an unguessable URL from an allowed address, where the configuration says that is enough.
    UrlSecret,
    /// The provider's answer to our own request; also our own intent.
    Answer,
    /// A person decided.
    Operator,
    /// Nothing: somebody who knows the URL says so, and the provider can't be asked.
    Unproven,
}

impl Evidence {
    /// Whether the provider was asked for it just now, so that it can't be old news.
    pub fn is_fresh(self) -> bool {
        matches!(self, Evidence::Enquiry | Evidence::Operator)
    }
}

/// What made a record change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    Rpc,
    Webhook,
    Reconciliation,
    Timer,
    Operator,
}

/// Why a resource failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// The provider said no to our request.
    ProviderRefused,
    /// Our request certainly never reached the provider.
    NotSent,
    /// Its answer was lost, and the provider was searched long enough without finding it.
    AbsentAtProvider,
    /// An operator decided that it did not happen.
    OperatorDecided,
    /// The provider answered with what another record already stands for.
    DuplicateReference,
    /// The provider reported that it failed.
    ProviderFailed,
    /// The payer, or his bank for him, declined.
    PayerDeclined,
    /// The payer did not approve in time.
    ApprovalExpired,
    /// The payer's account had too little money.
    InsufficientFunds,
    /// The notice to the payer could not be delivered.
    NotificationFailed,
    /// All attempts that are permitted failed.
    AttemptsExhausted,
    /// No permitted time was left.
    WindowMissed,
    /// The mandate ended before the debit was made.
    MandateNotUsable,
}

/// Why a resource failed, in our words and the provider's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub reason: FailureReason,
    pub message: String,
    pub provider_code: String,
    pub provider_message: String,
}

impl Failure {
    /// One that no provider has a word on.
    pub fn ours(reason: FailureReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), provider_code: String::new(), provider_message: String::new() }
    }
}

/// A fact that does not fit a record. Kept, counted, alerted, never applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Contradiction {
    /// The fact, by the name that the transition table gives it.
    pub fact: String,
    pub evidence: Evidence,
    pub message: String,
    pub time: Timestamp,
}

/// What a fact did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learned<R, E> {
    /// The record moved: store this one, and say so by an event of this kind.
    Moved(R, E),
    /// We knew. Providers repeat themselves, and that is no error.
    AlreadyKnown,
    /// It may be true, but only the provider itself can say so: ask it now.
    AskFirst,
}

impl<R, E> Learned<R, E> {
    /// The same, with the record as another type.
    pub fn map<T>(self, wrap: impl FnOnce(R) -> T) -> Learned<T, E> {
        match self {
            Learned::Moved(record, event) => Learned::Moved(wrap(record), event),
            Learned::AlreadyKnown => Learned::AlreadyKnown,
            Learned::AskFirst => Learned::AskFirst,
        }
    }
}

/// A change of a standing resource that was asked for and whose outcome is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChange {
    pub operation: ChangeOperation,
    pub since: Timestamp,
    /// The idempotency claim to settle when the outcome is known.
    pub claim: String,
}

/// What a standing resource can be asked to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeOperation {
    Close,
    Revoke,
}

/// How a change of a standing resource ended that did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeFailure {
    /// The provider said no.
    Refused { code: String, message: String },
    /// The answer was lost, and the provider did not make the change.
    NotMade,
    /// The request certainly never reached the provider.
    NotSent,
}
