//! A request that acts at a provider: written down first, then made, then its answer learned. All of it outlives its
//! call, so a caller who hangs up or runs out of time takes nothing with him.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tracing::{Instrument, error, info_span, warn};

use super::error::{Error, STORE_RETRY_AFTER};
use super::idempotency::Asked;
use super::learn::{Told, fence_of};
use super::mandate::known_mandate;
use super::outlive::{Outliving, Panicked};
use super::qr::known;
use super::{Answer, Engine, PROVIDER_RETRY_AFTER};
use crate::domain::event::{EventKind, Fact, Record};
use crate::domain::fact::{Cause, Evidence};
use crate::domain::id::Partition;
use crate::domain::mandate::{MandateFact, MandateState, Registration};
use crate::domain::qr::{QrFact, QrState};
use crate::providers::breaker::Purpose;
use crate::providers::{CallError, Provider};
use crate::store::{Claim, ClaimStep, Commit, Conflict, Fence, Guard, LeaseStep, StoreError, Stored};

mod request;

use request::Called;
pub(super) use request::{Act, refused_attempt};

/// The pause before a call that was not delivered is tried again; then twice as long each time.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How often a call that was not delivered is tried.
const DELIVERY_TRIES_MAX: u32 = 5;
/// The pause while somebody else looks at the record: looks are short.
pub(super) const LEASE_PAUSE: Duration = Duration::from_millis(50);

/// A request on its way to a provider.
pub(super) struct Work {
    pub asked: Asked,
    pub provider: Arc<Provider>,
    /// The record before the request; `None`: the request makes it.
    pub before: Option<Record>,
    /// What is written before the provider is asked.
    pub intent: Record,
    pub event: EventKind,
    pub claim: ClaimStep,
    pub act: Act,
    /// What is written of the record that the request is about, with the intent.
    pub parent: Option<Box<ParentIntent>>,
    /// The turn at that record within this process, until the intent is written.
    pub turn: Option<OwnedMutexGuard<()>>,
}

/// A record that the intent moves too: before, after, and what is told of it.
pub(super) struct ParentIntent {
    pub before: Record,
    pub after: Record,
    pub event: EventKind,
}

/// How the task ended.
enum Ended {
    Answer(Box<Answer<Record>>),
    /// Nothing was written: the record moved meanwhile.
    Moved,
    /// Nothing was written: an earlier request has the key.
    Claimed(Claim, Option<Stored>),
}

/// The right to act for a record.
struct Hold {
    fence: Fence,
    until: Instant,
}

impl Engine {
    /// Writes the intent with its claim, calls the provider, and answers; with what is committed where the caller's time
    /// is over before. `None`: nothing was written, since the record moved meanwhile.
    pub(super) async fn write_then_act(self: &Arc<Self>, work: Box<Work>) -> Result<Option<Answer<Record>>, Error> {
        let asked = work.asked.clone();
        let committed: Arc<OnceLock<Record>> = Arc::default();
        let span = info_span!("act", resource.id = %work.intent.id(), account = %work.provider.account);
        let (engine, intent) = (Arc::clone(self), Arc::clone(&committed));
        let answer = Outliving::new(&self.tasks, async move { engine.make(work, &intent).await }.instrument(span));
        match tokio::time::timeout_at(asked.deadline, answer).await {
            Ok(Ok(Ok(Ended::Answer(answer)))) => Ok(Some(*answer)),
            Ok(Ok(Ok(Ended::Moved))) => Ok(None),
            Ok(Ok(Ok(Ended::Claimed(claim, record)))) => Box::pin(self.replay(&asked, claim, record)).await.map(Some),
            Ok(Ok(Err(error))) => Err(error),
            // The work goes on; the caller gets what is committed.
            Err(_) | Ok(Err(Panicked)) => match committed.get() {
                Some(intent) => Ok(Some(Answer { resource: intent.clone(), replayed: false })),
                None => Err(Error::StoreInDoubt { retry_after: STORE_RETRY_AFTER }),
            },
        }
    }

    async fn make(&self, mut work: Box<Work>, committed: &OnceLock<Record>) -> Result<Ended, Error> {
        let lease = self.settings.patience.lease;
        let told = self.told_by_caller(&work.asked, None);
        if let Some((claim, record)) = self.held_back(&work.claim).await? {
            return Ok(Ended::Claimed(claim, record));
        }
        if let Some(ended) = self.wait_for_replicas(&work).await? {
            return Ok(ended);
        }
        loop {
            let mut step = self.step(work.before.clone(), work.intent.clone(), work.event, &told);
            step.lease = LeaseStep::Take(lease);
            let parent = work
                .parent
                .as_deref()
                .map(|ParentIntent { before, after, event }| self.step(Some(before.clone()), after.clone(), *event, &told));
            let steps = std::iter::once(step).chain(parent).collect();
            let mut batch = self.batch(steps, vec![work.claim.clone()], &told).map_err(Error::of_write)?;
            if work.before.is_some() {
                // Only who holds the lease may send: while somebody looks at the record nothing is written.
                batch.guards.push(Guard::Unheld { id: work.intent.id().clone() });
            }
            let (taken, write) = (Instant::now(), batch.write);
            match self.commit_until(batch, work.asked.deadline).await.map_err(Error::of_write)? {
                Commit::Done(written) => {
                    let _ = committed.set(work.intent.clone());
                    drop(work.turn.take());
                    let Some(fence) = fence_of(&written) else {
                        error!("the lease of `{}` was not to be had although nobody held it", work.intent.id());
                        return Ok(Ended::Answer(Box::new(Answer { resource: work.intent, replayed: false })));
                    };
                    let hold = Hold { fence, until: taken + lease };
                    if let Err(cause) = self.store.replicated(work.intent.id().partition(), Some(write)).await {
                        self.lacking_replicas().insert(work.intent.id().partition());
                        return Err(Box::pin(self.withdraw(&work, fence, &cause)).await);
                    }
                    return Box::pin(self.act(&work, hold)).await.map(|answer| Ended::Answer(Box::new(answer)));
                }
                Commit::Conflict(Conflict::Claimed { claim, record }) => return Ok(Ended::Claimed(claim, record)),
                Commit::Conflict(Conflict::Guard(_)) => {
                    if work.asked.time_left() < work.provider.deadline_floor + LEASE_PAUSE {
                        return Err(Error::ProviderUnavailable { id: Some(work.intent.id().clone()), retry_after: PROVIDER_RETRY_AFTER });
                    }
                    tokio::time::sleep(LEASE_PAUSE).await;
                }
                Commit::Conflict(Conflict::Moved { .. } | Conflict::Referenced { .. }) => return Ok(Ended::Moved),
            }
        }
    }

    /// While the store lacks replicas no intent is written that would only be taken back: each would leave a record. A repeat
    /// is answered all the same, since it writes nothing: it is how the wait ended.
    async fn wait_for_replicas(&self, work: &Work) -> Result<Option<Ended>, Error> {
        let partition = work.intent.id().partition();
        if !self.lacking_replicas().contains(&partition) {
            return Ok(None);
        }
        let waited = tokio::time::timeout_at(work.asked.deadline, self.store.replicated(partition, None)).await;
        if matches!(waited, Ok(Ok(()))) {
            self.lacking_replicas().remove(&partition);
            let floor = work.provider.deadline_floor;
            return if work.asked.time_left() < floor { Err(Error::DeadlineTooShort { floor }) } else { Ok(None) };
        }
        match self.claimed_by_whom(&work.claim).await? {
            Some((claim, record)) => Ok(Some(Ended::Claimed(claim, record))),
            None => Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER }),
        }
    }

    fn lacking_replicas(&self) -> MutexGuard<'_, BTreeSet<Partition>> {
        self.lacking_replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back an intent that too few copies have: the provider was not asked, and a repeat begins anew. What the caller
    /// is told stays true if the store itself is lost meanwhile.
    async fn withdraw(&self, work: &Work, fence: Fence, cause: &StoreError) -> Error {
        warn!("the provider is not asked for `{}`: {cause}", work.intent.id());
        let fact = work.act.not_sent(self, &work.intent, "too few replicas of the store had the request").await;
        let told = self.told_by_caller(&work.asked, Some(fence));
        if let Err(cause) = self.learn(work.intent.clone(), &fact, &told).await {
            completion_lost(cause);
        }
        Error::StoreInDoubt { retry_after: STORE_RETRY_AFTER }
    }

    /// Calls the provider within the hold on the record, and learns the answer.
    async fn act(&self, work: &Work, mut hold: Hold) -> Result<Answer<Record>, Error> {
        let Work { asked, provider, intent, act, .. } = work;
        let told = self.told_by_caller(asked, Some(hold.fence));
        let mut pause = RETRY_PAUSE;
        for attempt in 1.. {
            if !self.holds_for_a_call(work, &mut hold).await {
                return undecided(intent);
            }
            if !self.is_still_permitted(work).await {
                let fact = act.not_sent(self, intent, "it was no longer permitted when it was to be sent").await;
                return self.learn_own(work, intent.clone(), fact, &told).await;
            }
            let fact = match act.call(self, intent, provider.call_timeout).await {
                Ok(Called::Fact(fact)) => *fact,
                Ok(Called::Registered { provider_ref }) => return Box::pin(self.register_then_draw(work, hold, provider_ref)).await,
                Ok(Called::MandateRegistered(registration)) => return Box::pin(self.register_then_link(work, hold, registration)).await,
                Err(CallError::Refused { code, message }) => act.refused(self, intent, code, message).await,
                Err(CallError::NotDelivered(cause)) => {
                    let time_for_another = asked.time_left() > pause + provider.deadline_floor;
                    // While calls are held back the next one would be, too.
                    let is_held_back = provider.line.refusal(Purpose::Act).is_some();
                    if attempt < DELIVERY_TRIES_MAX && time_for_another && !is_held_back {
                        warn!("a call for `{}` was not delivered, it is tried again: {cause}", intent.id());
                        // Beyond the pause too: a lease that ran out is not to be had again.
                        self.holds_for(work, &mut hold, pause * 2 + provider.call_timeout).await;
                        tokio::time::sleep(self.randomness.jittered(pause)).await;
                        pause *= 2;
                        continue;
                    }
                    warn!("a call for `{}` was not delivered: {cause}", intent.id());
                    // Every attempt of this record was not delivered: it certainly did not happen.
                    act.not_sent(self, intent, "the provider could not be reached").await
                }
                Err(CallError::InDoubt(cause)) => match act.answer_lost(provider) {
                    Some(fact) => {
                        warn!("no answer about `{}`, and nobody can be asked: an operator has to decide: {cause}", intent.id());
                        fact
                    }
                    None => {
                        warn!("no answer about `{}`, it will be looked up: {cause}", intent.id());
                        self.give_back(intent, &told).await.map_err(completion_lost).ok();
                        self.woken.notify_waiters();
                        return undecided(intent);
                    }
                },
            };
            return self.learn_own(work, intent.clone(), fact, &told).await;
        }
        undecided(intent)
    }

    /// The provider made what a payer approves by, and his link is a call of its own: what is known is written down first.
    async fn register_then_link(&self, work: &Work, mut hold: Hold, registration: Registration) -> Result<Answer<Record>, Error> {
        let Work { asked, provider, intent, act, .. } = work;
        let fact = Fact::Mandate(MandateFact::Registered(registration));
        // The right to act is kept for the next call.
        let registered = match self.learn(intent.clone(), &fact, &self.told_by_caller(asked, None)).await {
            Ok(outcome) => outcome.record(),
            Err(cause) => {
                completion_lost(cause);
                return undecided(intent);
            }
        };
        let told = self.told_by_caller(asked, Some(hold.fence));
        if let (Record::Mandate(mandate), Act::CreateMandate { linking: Some(linking), .. }) = (&registered, act)
            && mandate.state == MandateState::Requested
            && self.holds_for_a_call(work, &mut hold).await
        {
            match linking.link(&known_mandate(mandate), provider.call_timeout).await {
                Ok(snapshot) => return self.learn_own(work, registered, Fact::Mandate(MandateFact::Seen(snapshot)), &told).await,
                Err(cause) => warn!("the mandate of `{}` is registered and its link not fetched, it will be: {cause}", registered.id()),
            }
        }
        // It stands for another record, was contradicted, or its link is fetched by the reconciler.
        self.give_back(&registered, &told).await.map_err(completion_lost).ok();
        self.woken.notify_waiters();
        self.answer(asked, registered, false).await
    }

    /// The provider made the code, and what a payer scans is a call of its own: what is known is written down first.
    async fn register_then_draw(&self, work: &Work, mut hold: Hold, provider_ref: String) -> Result<Answer<Record>, Error> {
        let Work { asked, provider, intent, .. } = work;
        let fact = Fact::Qr(QrFact::Registered { provider_ref });
        // The right to act is kept for the next call.
        let registered = match self.learn(intent.clone(), &fact, &self.told_by_caller(asked, None)).await {
            Ok(outcome) => outcome.record(),
            Err(cause) => {
                completion_lost(cause);
                return undecided(intent);
            }
        };
        let told = self.told_by_caller(asked, Some(hold.fence));
        let to_draw = match (&registered, provider.qr.as_ref().and_then(|codes| codes.drawing.as_ref())) {
            (Record::Qr(qr), Some(drawing)) if qr.state == QrState::Requested => known(qr).map(|code| (drawing, code)),
            _ => None,
        };
        // It stands for another record, or was contradicted: there is nothing to draw.
        let Some((drawing, code)) = to_draw else {
            self.give_back(&registered, &told).await.map_err(completion_lost).ok();
            return self.answer(asked, registered, false).await;
        };
        let mut pause = RETRY_PAUSE;
        for attempt in 1.. {
            if !self.holds_for_a_call(work, &mut hold).await {
                return undecided(&registered);
            }
            let cause = match drawing.draw(&code, provider.call_timeout).await {
                Ok(snapshot) => return self.learn_own(work, registered, Fact::Qr(QrFact::Seen(snapshot)), &told).await,
                Err(cause) => cause,
            };
            let time_for_another = asked.time_left() > pause + provider.deadline_floor;
            if !matches!(cause, CallError::NotDelivered(_)) || attempt >= DELIVERY_TRIES_MAX || !time_for_another {
                warn!("the code of `{}` is made and not fetched, it will be: {cause}", registered.id());
                break;
            }
            tokio::time::sleep(self.randomness.jittered(pause)).await;
            pause *= 2;
        }
        self.give_back(&registered, &told).await.map_err(completion_lost).ok();
        self.woken.notify_waiters();
        undecided(&registered)
    }

    /// Whether the next call will be over before the lease is: nobody else may act for this record meanwhile.
    async fn holds_for_a_call(&self, work: &Work, hold: &mut Hold) -> bool {
        self.holds_for(work, hold, work.provider.call_timeout).await
    }

    /// Whether the lease lasts for longer than `time`, renewed if need be.
    async fn holds_for(&self, work: &Work, hold: &mut Hold, time: Duration) -> bool {
        if hold.until.saturating_duration_since(Instant::now()) > time {
            return true;
        }
        let lease = self.settings.patience.lease;
        let renewed_from = Instant::now();
        match self.store.renew(work.intent.id(), hold.fence, lease).await {
            Ok(true) => {}
            Ok(false) => {
                self.metrics.lease_takeovers.with_label_values(&[work.intent.id().kind().prefix()]).inc();
                return false;
            }
            Err(_) => return false,
        }
        hold.until = renewed_from + lease;
        true
    }

    /// Whether what is to be sent is still permitted: an attempt at a debit is not at any time.
    async fn is_still_permitted(&self, work: &Work) -> bool {
        match (&work.act, &work.before) {
            (Act::Execute { .. }, Some(Record::Debit(debit))) => self.permits_an_attempt(debit).await,
            _ => true,
        }
    }

    /// Learns what our own call came to, and answers with it.
    async fn learn_own(&self, work: &Work, record: Record, fact: Fact, told: &Told) -> Result<Answer<Record>, Error> {
        match self.learn(record.clone(), &fact, told).await {
            Ok(outcome) => self.answer(&work.asked, outcome.record(), false).await,
            // The answer is lost to us; the intent stands, and the reconciler looks it up.
            Err(cause) => {
                completion_lost(cause);
                undecided(&record)
            }
        }
    }

    pub(super) fn told_by_caller(&self, asked: &Asked, fence: Option<Fence>) -> Told {
        let traceparent = asked.traceparent.clone();
        Told { cause: Cause::Rpc, evidence: Evidence::Answer, occur_time: self.clock.now(), traceparent, fence, asked: None }
    }
}

/// What stands is committed; what became of it is not known here.
fn undecided(record: &Record) -> Result<Answer<Record>, Error> {
    Ok(Answer { resource: record.clone(), replayed: false })
}

fn completion_lost(cause: StoreError) {
    error!("the provider's answer could not be written, it will be looked up: {cause}");
}
