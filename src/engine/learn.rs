//! The one door by which records change: facts go in, and out comes one atomic write of records, events, claims,
//! lists and next looks. Losing a race against another writer is no error: the fact is learned again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{Instrument, Span, error, info_span, warn};

use super::Engine;
use super::error::Error;
use super::index;
use super::schedule::{is_appointment, next_look};
use crate::clock::{after, since};
use crate::domain::debit::{Debit, DebitFact};
use crate::domain::event::{Event, EventKind, Fact, Record};
use crate::domain::fact::{Cause, Contradiction, Evidence, Learned};
use crate::domain::header::Header;
use crate::domain::id::{Id, Kind};
use crate::domain::mandate::{Mandate, MandateFact};
use crate::domain::payment::Payment;
use crate::domain::qr::{Qr, QrFact};
use crate::domain::refund::{Refund, RefundFact};
use crate::providers::breaker::Purpose;
use crate::store::record;
use crate::store::{
    Batch, Change, ClaimStep, Commit, Conflict, Fence, Guard, LeaseStep, Look, NewEvent, Reference, StoreError, Stored, Written,
};
use crate::telemetry;

/// How often a fact is learned again after another writer came first. Each time that writer got something done.
const RACES_MAX: usize = 16;
/// The pause before a write is repeated after the store gave no answer; then twice as long each time.
const STORE_PAUSE: Duration = Duration::from_millis(50);
const STORE_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long what was learned waits for a store that is away. Beyond that whoever told it tells it again, or it is looked up.
pub(super) const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before a record is looked at again whose account this replica does not have.
const UNKNOWN_ACCOUNT_PAUSE: Duration = Duration::from_mins(5);
/// The pause before a provider that gave no answer is asked again about something that was at rest.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(30);

/// How a fact came to us.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub cause: Cause,
    pub evidence: Evidence,
    pub occur_time: Timestamp,
    pub traceparent: Option<String>,
    /// The lease that its teller holds on the record, to be given back with the write.
    pub fence: Option<Fence>,
    /// When the provider was asked, where it was.
    pub asked: Option<Timestamp>,
}

impl Told {
    /// Whether `record` moved after the question was asked: then what moved it may be newer than the answer, which is
    /// no fresh look any more.
    fn is_overtaken_by(&self, record: &Record) -> bool {
        self.asked.is_some_and(|asked| record.header().update_time >= asked)
    }
}

/// One record's step: where it was, and what it becomes.
pub(super) struct Step {
    pub before: Option<Record>,
    pub after: Record,
    pub event: EventKind,
    pub lease: LeaseStep,
    /// Instead of the time that the schedule gives.
    pub look: Option<Look>,
}

/// What learning came to.
pub(super) enum Outcome {
    /// The record as it is now.
    Known(Record),
    /// The provider should be asked first; the record is due now.
    AskFirst(Record),
    /// The fact contradicts the record and was kept beside it.
    Contradicted(Record),
}

impl Outcome {
    pub fn record(self) -> Record {
        match self {
            Outcome::Known(record) | Outcome::AskFirst(record) | Outcome::Contradicted(record) => record,
        }
    }
}

impl Engine {
    /// Learns `fact` about `record`. Begins with the record as the caller has it, so that no read is needed where
    /// nobody else wrote meanwhile.
    pub(super) async fn learn(&self, record: Record, fact: &Fact, told: &Told) -> Result<Outcome, StoreError> {
        let span = self.span_of_learning(record.header(), told);
        // In a box, as is what seldom happens below: a future is copied into each that waits for it, and a record is large.
        Box::pin(self.learn_once_or_again(record, fact, told)).instrument(span).await
    }

    /// The span of learning about what has this header. What nobody asked for, as a callback tells it, belongs to the trace
    /// of what it is about.
    pub(super) fn span_of_learning(&self, header: &Header, told: &Told) -> Span {
        let span = info_span!("learn", resource.id = %header.id);
        if !matches!(told.cause, Cause::Rpc | Cause::Operator) {
            telemetry::joins(&span, header.trace(self.clock.now()));
        }
        span
    }

    async fn learn_once_or_again(&self, mut record: Record, fact: &Fact, told: &Told) -> Result<Outcome, StoreError> {
        for _ in 0..RACES_MAX {
            let now = self.clock.now();
            let overtaken = told.is_overtaken_by(&record);
            let evidence = if overtaken { Evidence::Answer } else { told.evidence };
            let (mut steps, outcome): (Vec<Step>, fn(Record) -> Outcome) = match record.learn(fact, evidence, now) {
                Ok(Learned::Moved(after, event)) => (vec![self.step(Some(record.clone()), after, event, told)], Outcome::Known),
                Ok(Learned::AlreadyKnown) => {
                    self.give_back(&record, told).await?;
                    return Ok(Outcome::Known(record));
                }
                Ok(Learned::AskFirst) if self.can_be_asked_about(&record) => return Box::pin(self.ask_again(record, told, now)).await,
                Ok(Learned::AskFirst) => {
                    let message = "it would have to be confirmed, and this provider can't be asked".to_owned();
                    let contradiction = Contradiction { fact: fact.name().to_owned(), evidence, message, time: now };
                    match self.keep_contradiction(&record, &contradiction, told) {
                        Some(step) => (vec![step], Outcome::Contradicted),
                        None => {
                            self.give_back(&record, told).await?;
                            return Ok(Outcome::Contradicted(record));
                        }
                    }
                }
                Err(contradiction) if overtaken => {
                    warn!(resource.id = %record.id(), "an answer about `{}` was overtaken, the provider is asked again: {contradiction}", record.id());
                    return Box::pin(self.ask_again(record, told, now)).await;
                }
                Err(contradiction) => match self.keep_contradiction(&record, &contradiction, told) {
                    Some(step) => (vec![step], Outcome::Contradicted),
                    None => {
                        self.give_back(&record, told).await?;
                        return Ok(Outcome::Contradicted(record));
                    }
                },
            };
            let parents = self.parent_steps(&steps[0], told).await?;
            steps.extend(parents);
            let mandates: Vec<(Record, Record)> = steps.iter().filter_map(mandate_moved).collect();
            let after = steps[0].after.clone();
            let mut batch = self.batch(steps, Vec::new(), told)?;
            // That nothing was sent is only sure as long as nobody else could send: whoever stood still for longer than his
            // lease knows nothing.
            let guard = told.fence.filter(|_| fact.is_not_sent()).map(|fence| Guard::Held { id: record.id().clone(), fence });
            batch.guards.extend(guard);
            match self.commit_surely(batch).await? {
                Commit::Conflict(Conflict::Guard(_)) => return Ok(Outcome::Known(self.read_again(record.id()).await?)),
                Commit::Done(_) => {
                    self.tell_settlements(&record, &after).await?;
                    for (before, after) in &mandates {
                        Box::pin(self.tell_debits(before, after)).await?;
                    }
                    return Ok(outcome(after));
                }
                Commit::Conflict(Conflict::Referenced { holder, .. }) => {
                    // The provider answered with what another record stands for: a replay of that record.
                    warn!(resource.id = %record.id(), "the provider answered `{}` with what `{holder}` stands for", record.id());
                    let Some(duplicate) = duplicate_of(&record, holder) else {
                        return Err(StoreError::Broken(format!("another record stands for what `{}` is", record.id())));
                    };
                    return Box::pin(self.learn(record, &duplicate, told)).await;
                }
                Commit::Conflict(_) => {
                    let now = self.read_again(record.id()).await?;
                    if is_of_an_earlier_attempt(fact, &record, &now) {
                        return Box::pin(self.keep_stale_answer(now, fact, told)).await;
                    }
                    record = now;
                }
            }
        }
        Err(StoreError::Unavailable(format!("other writers of `{}` came first {RACES_MAX} times", record.id())))
    }

    /// The answer to an attempt comes after another was begun: what it names is kept for a person to see.
    async fn keep_stale_answer(&self, record: Record, fact: &Fact, told: &Told) -> Result<Outcome, StoreError> {
        let message = "it answers an attempt after which another was begun".to_owned();
        let contradiction = Contradiction { fact: fact.name().to_owned(), evidence: told.evidence, message, time: self.clock.now() };
        if let Some(step) = self.keep_contradiction(&record, &contradiction, told) {
            let parents = self.parent_steps(&step, told).await?;
            let steps = std::iter::once(step).chain(parents).collect();
            self.write(steps, Vec::new(), told).await?;
        }
        Ok(Outcome::Contradicted(record))
    }

    /// Alerts, and the step that keeps the contradiction beside the record; `None`: it is kept already.
    fn keep_contradiction(&self, record: &Record, contradiction: &Contradiction, told: &Told) -> Option<Step> {
        self.alert(record, contradiction);
        let (after, event) = record.contradicted(contradiction)?;
        Some(self.step(Some(record.clone()), after, event, told))
    }

    /// Counts and logs a fact that contradicts `record`.
    pub(super) fn alert(&self, record: &Record, contradiction: &Contradiction) {
        let (id, fact) = (record.id(), contradiction.fact.as_str());
        self.metrics.contradictions.with_label_values(&[record.header().account.as_str(), fact]).inc();
        error!(resource.id = %id, fact, "a fact contradicts `{id}` and is not applied: {contradiction}");
    }

    /// Makes the record due now, for a look that begins after whatever moved it last.
    async fn ask_again(&self, record: Record, told: &Told, now: Timestamp) -> Result<Outcome, StoreError> {
        if let Some(fence) = told.fence {
            self.store.release(record.id(), fence, Look::At(now)).await?;
        }
        self.wake_now(record.id()).await?;
        Ok(Outcome::AskFirst(record))
    }

    /// A step whose lease is given back if the teller holds it.
    pub(super) fn step(&self, before: Option<Record>, after: Record, event: EventKind, told: &Told) -> Step {
        let lease = told.fence.map_or(LeaseStep::Keep, LeaseStep::Release);
        Step { before, after, event, lease, look: None }
    }

    /// Writes all of `steps` with their events, and what they mean for claims, lists and next looks.
    pub(super) async fn write(&self, steps: Vec<Step>, claims: Vec<ClaimStep>, told: &Told) -> Result<Commit, StoreError> {
        let batch = self.batch(steps, claims, told)?;
        self.commit_surely(batch).await
    }

    pub(super) fn batch(&self, steps: Vec<Step>, mut claims: Vec<ClaimStep>, told: &Told) -> Result<Batch, StoreError> {
        let now = self.clock.now();
        let partition =
            steps.first().map(|step| step.after.id().partition()).ok_or_else(|| StoreError::Broken("a write of nothing".to_owned()))?;
        let mut changes = Vec::with_capacity(steps.len());
        for step in &steps {
            let change = self.change(step, told, now)?;
            claims.extend(self.claims_settled_by(step));
            if change.look == Look::Rest {
                claims.extend(self.retention_of(&step.after));
            }
            changes.push(change);
        }
        Ok(Batch { partition, write: self.randomness.bits(), claims, changes, guards: Vec::new() })
    }

    /// Commits what is known and not to be lost: a store that is away is waited for, as long as that helps.
    pub(super) async fn commit_surely(&self, batch: Batch) -> Result<Commit, StoreError> {
        let batch = Arc::new(batch);
        let end = Instant::now() + STORE_PATIENCE;
        let mut pause = STORE_PAUSE;
        loop {
            match self.commit_until(Arc::clone(&batch), end).await {
                Err(StoreError::Unavailable(cause)) if Instant::now() + pause < end => {
                    warn!("the store does not take what was learned, it is repeated: {cause}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(STORE_PAUSE_MAX);
                }
                ended => return ended,
            }
        }
    }

    /// Commits, repeating the same batch until `end` while the store gives no answer: it finds its own work. Once an answer
    /// was lost only an answer ends the doubt: that the store can't be reached now says nothing of the time before.
    pub(super) async fn commit_until(&self, batch: impl Into<Arc<Batch>>, end: Instant) -> Result<Commit, StoreError> {
        let batch = batch.into();
        let mut pause = STORE_PAUSE;
        let mut in_doubt = false;
        loop {
            let cause = match self.store.commit(Arc::clone(&batch)).await {
                Err(StoreError::InDoubt(cause)) => cause,
                Err(StoreError::Unavailable(cause)) if in_doubt => cause,
                Ok(Commit::Done(written)) => {
                    for event in batch.changes.iter().filter_map(|change| change.event.as_ref()) {
                        self.metrics.events_appended.with_label_values(&[event.account.as_str()]).inc();
                    }
                    return Ok(Commit::Done(written));
                }
                ended => return ended,
            };
            in_doubt = true;
            if Instant::now() + pause >= end {
                return Err(StoreError::InDoubt(cause));
            }
            warn!("the store gave no answer to a write, it is repeated: {cause}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(STORE_PAUSE_MAX);
        }
    }

    pub(super) fn change(&self, step: &Step, told: &Told, now: Timestamp) -> Result<Change, StoreError> {
        let Step { before, after, event, lease, look } = step;
        let header = after.header();
        if header.has_unknown_parts {
            // A replica of that release goes on with it.
            return Err(StoreError::Unavailable(format!("`{}` was written by a newer release, and is left to that", header.id)));
        }
        let terminal = after.is_terminal() && before.as_ref().is_none_or(|before| before.state_name() != after.state_name());
        let event_id = self.randomness.id(Kind::Event, header.id.partition(), now);
        let trace = match told.cause {
            Cause::Rpc | Cause::Operator => told.traceparent.clone(),
            Cause::Webhook | Cause::Reconciliation | Cause::Timer => {
                header.trace(now).map(str::to_owned).or_else(|| told.traceparent.clone())
            }
        };
        // Written once, for the record and for the event of it.
        let written = record::written(after)?;
        let without_picture = after.for_event().map(|shown| record::written(&shown)).transpose()?;
        let event = Event {
            id: event_id.clone(),
            kind: *event,
            cause: told.cause,
            evidence: told.evidence,
            occur_time: told.occur_time,
            traceparent: telemetry::from_here(trace),
            terminal,
            record: without_picture.as_ref().unwrap_or(&written),
        };
        let (join, leave) = index::lists(before.as_ref(), after);
        Ok(Change {
            id: header.id.clone(),
            from: before.as_ref().map(|before| before.header().revision),
            body: Some(record::encode(&written)?),
            event: Some(NewEvent { id: event_id, account: header.account.clone(), body: record::encode(&event)? }),
            references: index::references(before.as_ref(), after),
            join,
            leave,
            look: look.unwrap_or_else(|| self.look_after(after, told.asked, now)),
            lease: *lease,
        })
    }

    /// When to look at `record` again, by the schedule.
    pub(super) fn look_after(&self, record: &Record, asked: Option<Timestamp>, now: Timestamp) -> Look {
        if !self.providers.contains_key(&record.header().account) {
            // Another replica may have it, or this one later: what is open stays open.
            return Look::At(after(now, self.randomness.jittered(UNKNOWN_ACCOUNT_PAUSE)));
        }
        match next_look(record, asked, now, &self.settings.patience, self.askable(record)) {
            Look::At(time) if is_appointment(record, time) => Look::At(time),
            Look::At(time) => Look::At(after(now, self.randomness.jittered(since(now, time)))),
            other @ (Look::Keep | Look::Rest) => other,
        }
    }

    /// The lease back, and the next look by the schedule, where nothing was written.
    pub(super) async fn give_back(&self, record: &Record, told: &Told) -> Result<(), StoreError> {
        let Some(fence) = told.fence else { return Ok(()) };
        let look = self.look_after(record, told.asked, self.clock.now());
        if let (Look::Rest, Some(retention)) = (look, self.retention_of(record)) {
            let partition = record.id().partition();
            let claims = vec![retention];
            let batch = Batch { partition, write: self.randomness.bits(), claims, changes: Vec::new(), guards: Vec::new() };
            self.commit_surely(batch).await?;
        }
        self.store.release(record.id(), fence, look).await?;
        Ok(())
    }

    /// The lease back after the provider gave no answer: what was to be found out is still to be found out.
    pub(super) async fn give_back_unanswered(&self, record: &Record, told: &Told) -> Result<(), StoreError> {
        let Some(fence) = told.fence else { return Ok(()) };
        let now = self.clock.now();
        let look = match self.look_after(record, None, now) {
            Look::Rest | Look::Keep => Look::At(after(now, self.randomness.jittered(UNANSWERED_PAUSE))),
            // What is overdue was to be found out just now, and was not.
            Look::At(time) if time <= now => Look::At(after(now, self.randomness.jittered(UNANSWERED_PAUSE))),
            look @ Look::At(_) => look,
        };
        let look = match (look, self.held_back_for(record)) {
            (Look::At(time), Some(wait)) => Look::At(time.min(after(now, wait))),
            (look, _) => look,
        };
        self.store.release(record.id(), fence, look).await?;
        Ok(())
    }

    /// How long questions about a record in doubt are held back, if they are. To ask one as soon as it may be is what finds out
    /// that the provider works again; what is not in doubt can wait for that.
    fn held_back_for(&self, record: &Record) -> Option<Duration> {
        let provider = self.providers.get(&record.header().account).filter(|_| !super::idempotency::is_decided(record))?;
        provider.line.refusal(Purpose::Ask)
    }

    /// A record that is known to be there.
    pub(super) async fn read_again(&self, id: &Id) -> Result<Record, StoreError> {
        match self.store.get(id).await? {
            Some(stored) => decode(&stored),
            None => Err(StoreError::Broken(format!("the record `{id}` is gone"))),
        }
    }

    /// The record that has this reference in `account`.
    pub(super) async fn find(&self, account: &str, sort: &'static str, value: &str) -> Result<Option<Record>, StoreError> {
        let reference = Reference { account: account.to_owned(), sort, value: value.to_owned() };
        let partition = self.partition_of(account);
        self.store.find(partition, &reference).await?.as_ref().map(decode).transpose()
    }
}

/// A mandate's step: before and after.
fn mandate_moved(step: &Step) -> Option<(Record, Record)> {
    match (&step.before, &step.after) {
        (Some(before @ Record::Mandate(_)), after) => Some((before.clone(), after.clone())),
        _ => None,
    }
}

/// Whether `fact` is the answer to an attempt that was the newest when it was made, and is not any more: its teller stood still
/// meanwhile, and what became of it was found out by others.
fn is_of_an_earlier_attempt(fact: &Fact, then: &Record, now: &Record) -> bool {
    let is_answer = matches!(
        fact,
        Fact::Debit(
            DebitFact::AttemptTaken { .. }
                | DebitFact::AttemptRefused { .. }
                | DebitFact::AttemptNotSent { .. }
                | DebitFact::AttemptLost
                | DebitFact::AttemptAbsent { .. }
        )
    );
    let begun = |record: &Record| match record {
        Record::Debit(debit) => debit.attempts.last().map(|attempt| attempt.start),
        _ => None,
    };
    is_answer && begun(then) != begun(now)
}

/// That another record stands for what `record` asked for; `None`: it asked for nothing.
fn duplicate_of(record: &Record, holder: Id) -> Option<Fact> {
    match record {
        Record::Qr(_) => Some(Fact::Qr(QrFact::Duplicate { of: holder })),
        Record::Refund(_) => Some(Fact::Refund(RefundFact::Duplicate { of: holder })),
        Record::Mandate(_) => Some(Fact::Mandate(MandateFact::Duplicate { of: holder })),
        Record::Debit(_) => Some(Fact::Debit(DebitFact::Duplicate { of: holder })),
        Record::Payment(_) | Record::Settlement(_) | Record::SettlementBreak(_) => None,
    }
}

/// A record from its stored form.
pub(super) fn decode(stored: &Stored) -> Result<Record, StoreError> {
    let (mut record, is_whole): (Record, bool) = record::decode_whole(&format_args!("the record `{}`", stored.id), &stored.body)?;
    record.header_mut().has_unknown_parts = !is_whole;
    Ok(record)
}

/// The fence of the first change, if its lease was taken.
pub(super) fn fence_of(written: &[Written]) -> Option<Fence> {
    written.first().and_then(|written| written.fence)
}

impl From<Record> for Error {
    /// A record of another kind than its id says: a fault of ours.
    fn from(record: Record) -> Self {
        error!("`{}` is stored as another kind than its id says", record.id());
        Error::Internal
    }
}

/// The code in `record`.
pub(super) fn as_qr(record: Record) -> Result<Qr, Error> {
    if let Record::Qr(qr) = record { Ok(qr) } else { Err(record.into()) }
}

/// The payment in `record`.
pub(super) fn as_payment(record: Record) -> Result<Payment, Error> {
    if let Record::Payment(payment) = record { Ok(payment) } else { Err(record.into()) }
}

/// The refund in `record`.
pub(super) fn as_refund(record: Record) -> Result<Refund, Error> {
    if let Record::Refund(refund) = record { Ok(refund) } else { Err(record.into()) }
}

/// The mandate in `record`.
pub(super) fn as_mandate(record: Record) -> Result<Mandate, Error> {
    if let Record::Mandate(mandate) = record { Ok(mandate) } else { Err(record.into()) }
}

/// The debit in `record`.
pub(super) fn as_debit(record: Record) -> Result<Debit, Error> {
    if let Record::Debit(debit) = record { Ok(debit) } else { Err(record.into()) }
}
