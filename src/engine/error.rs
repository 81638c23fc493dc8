//! What a caller can be told went wrong, and what that says about the outcome.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::id::Id;
use crate::domain::money::Money;
use crate::providers::Violation;
use crate::store::StoreError;

/// Why a request was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("the request has fields that are not valid")]
    Invalid(Vec<Violation>),
    #[error("there is no {what} `{name}`")]
    NotFound { what: &'static str, name: String },
    #[error("this idempotency key was used for another request; these fields differ: {}", fields.join(", "))]
    KeyReused { id: Id, fields: Vec<String> },
    #[error("the first request with this idempotency key is still under way")]
    InFlight { retry_after: Duration },
    #[error("`{id}` has another change pending")]
    ChangePending { id: Id },
    #[error("{message}")]
    StateForbids { state: &'static str, message: String },
    #[error("only {} of the payment can still be refunded", left.display())]
    RefundExceedsPayment { id: Id, left: Money },
    #[error("the refund `{id}` of this payment is still under way, and this provider can't tell two of them apart")]
    RefundInDoubt { id: Id },
    #[error("`{id}` is contradicted by what the provider says: an operator has to resolve that first")]
    ContradictionBlocks { id: Id },
    #[error("{message}")]
    RuleForbids { rule: &'static str, message: String, next_permitted_time: Option<Timestamp> },
    #[error("the provider refused")]
    Refused { id: Id, code: String, message: String, replayed: bool },
    #[error("the provider can't do {operation}: {why}")]
    Lacks { operation: &'static str, why: String },
    /// Nothing reached the provider.
    #[error("the provider can't be reached now")]
    ProviderUnavailable { id: Option<Id>, retry_after: Duration },
    #[error("too little time is left: this needs at least {} ms", floor.as_millis())]
    DeadlineTooShort { floor: Duration },
    /// Nothing was written.
    #[error("the service can't keep records now")]
    StoreUnavailable { retry_after: Duration },
    /// Nothing was written. The store is a restored one, and what was open in it is looked up first.
    #[error("nothing is sent yet: the store was restored or copied, and what was open in it is looked up first")]
    SendingHeld { retry_after: Duration },
    #[error("whether the request was recorded is not known yet: repeat it with the same key")]
    StoreInDoubt { retry_after: Duration },
    #[error("the token is not valid: it {0}")]
    InvalidToken(&'static str),
    #[error("events after this position are no longer there")]
    HistoryLost { earliest_token: String, earliest_time: Option<Timestamp> },
    #[error("the log no longer has what this position was taken from")]
    HistoryRewound { earliest_token: String },
    #[error("{what} is at its limit of {limit}")]
    Exhausted { what: &'static str, limit: usize, retry_after: Duration },
    #[error("the service is shutting down")]
    Draining { retry_after: Duration },
    /// The cause is in the log.
    #[error("something went wrong inside the service")]
    Internal,
}

/// What an error says about whether the request took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Certainly not: nothing was sent to a provider and nothing is kept.
    NotSent,
    /// It was decided, and stays so.
    Definite,
    /// It may have. Repeat with the same key.
    Unknown,
}

impl Error {
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::Invalid(_)
            | Error::NotFound { .. }
            | Error::KeyReused { .. }
            | Error::ChangePending { .. }
            | Error::StateForbids { .. }
            | Error::RefundExceedsPayment { .. }
            | Error::RefundInDoubt { .. }
            | Error::ContradictionBlocks { .. }
            | Error::RuleForbids { .. }
            | Error::Lacks { .. }
            | Error::ProviderUnavailable { .. }
            | Error::DeadlineTooShort { .. }
            | Error::StoreUnavailable { .. }
            | Error::SendingHeld { .. }
            | Error::InvalidToken(_)
            | Error::HistoryLost { .. }
            | Error::HistoryRewound { .. }
            | Error::Exhausted { .. }
            | Error::Draining { .. } => Outcome::NotSent,
            Error::Refused { .. } => Outcome::Definite,
            Error::InFlight { .. } | Error::StoreInDoubt { .. } | Error::Internal => Outcome::Unknown,
        }
    }

    pub fn no_such(what: &'static str, name: impl ToString) -> Self {
        Error::NotFound { what, name: name.to_string() }
    }

    /// A store that did not answer a question: nothing was being written.
    pub fn of_read(cause: StoreError) -> Self {
        match cause {
            StoreError::Unavailable(text) | StoreError::InDoubt(text) => {
                tracing::warn!("the store did not answer a read: {text}");
                Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER }
            }
            StoreError::Broken(text) => {
                tracing::error!("the store can't answer a read: {text}");
                Error::Internal
            }
        }
    }
}

impl Error {
    /// A store that did not take a write.
    pub fn of_write(cause: StoreError) -> Self {
        match cause {
            StoreError::Unavailable(text) => {
                tracing::warn!("the store did not take a write: {text}");
                Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER }
            }
            StoreError::InDoubt(text) => {
                tracing::warn!("whether the store took a write is not known: {text}");
                Error::StoreInDoubt { retry_after: STORE_RETRY_AFTER }
            }
            StoreError::Broken(text) => {
                tracing::error!("the store can't take a write: {text}");
                Error::Internal
            }
        }
    }
}

/// What a caller is told to wait after the store gave no answer.
pub const STORE_RETRY_AFTER: Duration = Duration::from_secs(1);
