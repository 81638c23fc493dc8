//! The table of design section 4: what a second request with the same key is answered. The claim and the record that
//! it made lie in one commit, so a second request finds both.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tracing::{error, warn};

use super::error::{Error, STORE_RETRY_AFTER};
use super::learn::decode;
use super::{Answer, Engine};
use crate::domain::debit::DebitState;
use crate::domain::event::Record;
use crate::domain::fact::{ChangeFailure, Failure, FailureReason};
use crate::domain::mandate::MandateState;
use crate::domain::qr::QrState;
use crate::domain::refund::RefundState;
use crate::events::Live;
use crate::store::{Batch, Claim, ClaimScope, ClaimStep, Commit, Conflict, Guard, Stored, Wake};

/// With less time than this before the caller's deadline there is no point in waiting for news.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// What a caller is told to wait before he repeats a request that is under way.
const IN_FLIGHT_RETRY_AFTER: Duration = Duration::from_millis(500);

/// Who asks, for what, until when.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The configured name of the caller, whatever credential he used.
    pub caller: String,
    /// The RPC's name: part of the key's scope.
    pub method: &'static str,
    pub key: String,
    pub fingerprint: Fingerprint,
    /// When the answer must have left, the margin taken off already.
    pub deadline: Instant,
    pub traceparent: Option<String>,
}

impl Asked {
    pub(super) fn scope(&self, account: &str) -> ClaimScope {
        let Self { caller, method, key, .. } = self;
        // Neither callers' nor accounts' names hold a line break, and the key comes last.
        ClaimScope(format!("{caller}\n{account}\n{method}\n{key}"))
    }

    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// A request's canonical form: a keyed digest for each top-level field that is set, so that a second request's
/// differing fields can be named, and a field added to the API later doesn't change the digests of old requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub version: u8,
    pub fields: BTreeMap<String, String>,
}

impl Fingerprint {
    pub(super) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).map(Bytes::from).expect("a map of texts is always JSON")
    }

    /// The fields that are not the same in both.
    fn differing(&self, other: &Self) -> Vec<String> {
        // As it nearly always is.
        if self.fields == other.fields {
            return Vec::new();
        }
        let names = self.fields.keys().chain(other.fields.keys());
        let mut differing: Vec<String> = names.filter(|name| self.fields.get(*name) != other.fields.get(*name)).cloned().collect();
        differing.sort();
        differing.dedup();
        differing
    }
}

/// How a claim's request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ClaimOutcome {
    Done,
    Refused { code: String, message: String },
}

impl ClaimOutcome {
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).map(Bytes::from).expect("texts are always JSON")
    }
}

impl Engine {
    /// Answers a request whose key is claimed already. `undecided` says whether its record still waits for the
    /// provider on behalf of this claim.
    pub(super) async fn replay(&self, asked: &Asked, claim: Claim, record: Option<Stored>) -> Result<Answer<Record>, Error> {
        let first: Fingerprint = serde_json::from_slice(&claim.fingerprint).map_err(|cause| {
            error!("a claim's fingerprint can't be read: {cause}");
            Error::Internal
        })?;
        let fields = first.differing(&asked.fingerprint);
        if !fields.is_empty() {
            return Err(Error::KeyReused { id: claim.record.clone(), fields });
        }
        let Some(stored) = record else {
            error!("the record `{}` of a claim is gone", claim.record);
            return Err(Error::Internal);
        };
        let record = decode(&stored).map_err(Error::of_read)?;
        if let Some(outcome) = &claim.outcome {
            let outcome: ClaimOutcome = serde_json::from_slice(outcome).map_err(|cause| {
                error!("a claim's outcome can't be read: {cause}");
                Error::Internal
            })?;
            return match outcome {
                ClaimOutcome::Done => Ok(Answer { resource: record, replayed: true }),
                ClaimOutcome::Refused { code, message } => Err(Error::Refused { id: record.id().clone(), code, message, replayed: true }),
            };
        }
        Box::pin(self.wait_for_decision(asked, record)).await
    }

    /// The claim that an earlier request with this key holds, and its record. Writes nothing.
    pub(super) async fn claimed_by_whom(&self, claim: &ClaimStep) -> Result<Option<(Claim, Option<Stored>)>, Error> {
        let ClaimStep::Take { record, .. } = claim else { return Ok(None) };
        // A guard that can't hold: the claim is looked at first, and nothing is written.
        let never = Guard::At { id: record.clone(), revision: 0 };
        let batch = Batch {
            partition: record.partition(),
            write: self.randomness.bits(),
            claims: vec![claim.clone()],
            changes: Vec::new(),
            guards: vec![never],
        };
        match self.store.commit(batch.into()).await {
            Ok(Commit::Conflict(Conflict::Claimed { claim, record })) => Ok(Some((claim, record))),
            Ok(Commit::Done(_) | Commit::Conflict(_)) => Ok(None),
            // Whether an earlier request with this key did something is not known.
            Err(cause) => {
                warn!("the store did not say whether a key is claimed: {cause}");
                Err(Error::StoreInDoubt { retry_after: STORE_RETRY_AFTER })
            }
        }
    }

    /// The first request is under way or in doubt: the worker is woken, and the caller gets what is known when his
    /// time is over, or the decision before.
    async fn wait_for_decision(&self, asked: &Asked, mut record: Record) -> Result<Answer<Record>, Error> {
        if asked.time_left() < WAIT_MIN {
            return Err(Error::InFlight { retry_after: IN_FLIGHT_RETRY_AFTER });
        }
        let id = record.id().clone();
        let mut news = self.feed.listen();
        match self.store.wake(&id, self.clock.now(), Wake::Asked).await {
            Ok(_) => self.woken.notify_waiters(),
            Err(cause) => warn!("`{id}` could not be made due, its repeat waits all the same: {cause}"),
        }
        record = self.newest(record).await;
        while !is_decided(&record) {
            match tokio::time::timeout_at(asked.deadline, news.recv()).await {
                Err(_) => break,
                // The news may be older than what was read.
                Ok(Ok(Live::Frame(frame))) if *frame.event.record.id() == id && is_newer(&frame.event.record, &record) => {
                    record = frame.event.record.clone();
                }
                Ok(Ok(Live::Frame(_))) => {}
                Ok(Ok(Live::SetBack) | Err(RecvError::Lagged(_))) => record = self.newest(record).await,
                Ok(Err(RecvError::Closed)) => break,
            }
        }
        self.answer(asked, record, true).await
    }

    /// The record as it is now, or as it was known where the store doesn't answer: the request is recorded, and to say
    /// that nothing was done would be wrong.
    async fn newest(&self, known: Record) -> Record {
        match self.read_again(known.id()).await {
            Ok(record) => record,
            Err(cause) => {
                warn!("`{}` is answered as it was last known: {cause}", known.id());
                known
            }
        }
    }

    /// What the one who asked is answered by `record`, or by the one that stands for it.
    pub(super) async fn answer(&self, asked: &Asked, record: Record, replayed: bool) -> Result<Answer<Record>, Error> {
        let stands_for_it = match &record {
            Record::Qr(qr) => qr.duplicate_of.clone(),
            Record::Refund(refund) => refund.duplicate_of.clone(),
            Record::Mandate(mandate) => mandate.duplicate_of.clone(),
            Record::Debit(debit) => debit.duplicate_of.clone(),
            Record::Payment(_) | Record::Settlement(_) | Record::SettlementBreak(_) => None,
        };
        match stands_for_it {
            Some(other) => match self.read_again(&other).await {
                Ok(resource) => Ok(Answer { resource, replayed: true }),
                Err(cause) => {
                    warn!("`{other}` could not be read: {cause}");
                    Ok(Answer { resource: record, replayed })
                }
            },
            None => {
                let retry_after = self.provider_retry_after(&record.header().account);
                decided_answer(asked, record, replayed, retry_after)
            }
        }
    }
}

/// Whether the provider's word on every request about the record is known.
pub(super) fn is_decided(record: &Record) -> bool {
    match record {
        Record::Qr(qr) => qr.is_decided(),
        Record::Refund(refund) => refund.is_decided(),
        Record::Mandate(mandate) => mandate.is_decided(),
        Record::Debit(debit) => debit.is_decided(),
        Record::Payment(_) | Record::Settlement(_) | Record::SettlementBreak(_) => true,
    }
}

fn is_newer(record: &Record, than: &Record) -> bool {
    record.header().revision > than.header().revision
}

/// The answer that a record gives to those who `asked` for it: itself, or the refusal that it ended with. How a change
/// of it ended says nothing to the one who asked for its creation. `retry_after`: when what was not sent is worth repeating.
fn decided_answer(asked: &Asked, record: Record, replayed: bool, retry_after: Duration) -> Result<Answer<Record>, Error> {
    let header = record.header();
    let (id, created_by_it) = (header.id.clone(), header.claim.as_ref() == Some(&asked.scope(header.account.as_str()).0));
    let refused =
        |code: &str, message: &str| Err(Error::Refused { id: id.clone(), code: code.to_owned(), message: message.to_owned(), replayed });
    match ending(asked, &record, created_by_it) {
        Some(Ending::Refused { code, message }) => refused(&code, &message),
        Some(Ending::NotSent) => Err(Error::ProviderUnavailable { id: Some(id), retry_after }),
        None => Ok(Answer { resource: record, replayed }),
    }
}

/// How a request ended that was not done.
enum Ending {
    Refused { code: String, message: String },
    NotSent,
}

impl Ending {
    fn of_failure(failure: &Failure) -> Option<Self> {
        match failure.reason {
            FailureReason::ProviderRefused => {
                Some(Self::Refused { code: failure.provider_code.clone(), message: failure.provider_message.clone() })
            }
            FailureReason::NotSent => Some(Self::NotSent),
            _ => None,
        }
    }

    fn of_change(failure: &ChangeFailure) -> Option<Self> {
        match failure {
            ChangeFailure::Refused { code, message } => Some(Self::Refused { code: code.clone(), message: message.clone() }),
            ChangeFailure::NotSent => Some(Self::NotSent),
            ChangeFailure::NotMade => None,
        }
    }
}

/// How what was asked for ended, where it was not done.
fn ending(asked: &Asked, record: &Record, created_by_it: bool) -> Option<Ending> {
    match record {
        Record::Refund(refund) => match &refund.state {
            RefundState::Failed(failure) => Ending::of_failure(failure),
            _ => None,
        },
        Record::Qr(qr) => match &qr.state {
            QrState::Failed(failure) => Ending::of_failure(failure),
            QrState::Active if !created_by_it => qr.change_failure.as_ref().and_then(Ending::of_change),
            _ => None,
        },
        Record::Mandate(mandate) => match &mandate.state {
            MandateState::Failed(failure) => Ending::of_failure(failure),
            state if !state.is_terminal() && !created_by_it => mandate.change_failure.as_ref().and_then(Ending::of_change),
            _ => None,
        },
        Record::Debit(debit) if created_by_it => match &debit.state {
            // Only the first notice is the creation's: what a later one came to is told by the record.
            DebitState::Failed(failure) if debit.notices.len() == 1 && debit.attempts.is_empty() => Ending::of_failure(failure),
            _ => None,
        },
        Record::Debit(debit) => {
            let scope = asked.scope(debit.header.account.as_str()).0;
            let attempt = debit.attempts.iter().find(|attempt| attempt.claim.as_ref() == Some(&scope))?;
            attempt.failure.as_ref().and_then(|failed| Ending::of_failure(&failed.failure))
        }
        Record::Payment(_) | Record::Settlement(_) | Record::SettlementBreak(_) => None,
    }
}
