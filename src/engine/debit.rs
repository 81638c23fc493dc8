//! Debits: create, execute, cancel, get. What a mandate permits once is counted in the same write as the intent.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::act::{Act, ParentIntent, Work};
use super::admission::lacks;
use super::error::{Error, STORE_RETRY_AFTER};
use super::idempotency::{Asked, ClaimOutcome};
use super::learn::{Outcome, Step, as_debit, decode};
use super::mandate::known_mandate;
use super::{Answer, Engine, reference};
use crate::domain::account::Operation;
use crate::domain::debit::{Debit, DebitFact, DebitOrder, DebitPlan, DebitShare, DebitState, Next, Notice, NoticeState, NoticeStatus};
use crate::domain::event::{EventKind, Fact, Record};
use crate::domain::fact::{Evidence, FailureReason, Learned};
use crate::domain::header::Header;
use crate::domain::id::{Id, Kind};
use crate::domain::mandate::{Mandate, MandateFact, TAKEN_CYCLES_MAX};
use crate::domain::upi::AmountRule;
use crate::providers::mandate::{AttemptOrder, NoticeOrder};
use crate::providers::{Mandates, Provider, Violation};
use crate::store::{ClaimStep, Commit, Conflict, Guard, LeaseStep, StoreError};

mod plan;

pub use plan::MandateSettings;
pub(super) use plan::{Forbidden, Planned, Planner};

/// How often an intent is derived anew after the mandate or the debit moved meanwhile.
const RACES_MAX: usize = 64;

/// A debit that a caller wants.
#[derive(Clone, Debug)]
pub struct DebitWish {
    pub reference: String,
    /// Besides the mandate's, which they win over.
    pub labels: BTreeMap<String, String>,
    pub order: DebitOrder,
}

impl Engine {
    /// Announces a debit to the payer of `mandate`; where he need not be notified it only waits for its time.
    pub async fn create_debit(self: &Arc<Self>, asked: Asked, mut mandate: Mandate, wish: DebitWish) -> Result<Answer<Debit>, Error> {
        let mandate_id = mandate.header.id.clone();
        let account = mandate.header.account.clone();
        let provider = self.provider(&account)?.clone();
        for _ in 0..RACES_MAX {
            // One after the other in this process: each moves the mandate, and all but one would have to begin anew.
            let Ok(turn) = tokio::time::timeout_at(asked.deadline, self.turns.wait_for(&mandate_id)).await else {
                return Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER });
            };
            mandate = self.get_mandate(&mandate_id).await?;
            let now = self.clock.now();
            let id = self.randomness.id(Kind::Debit, mandate_id.partition(), now);
            let (mandates, planned) = match self.may_debit(&asked, &provider, &mandate, &wish.order, now) {
                Ok(allowed) => allowed,
                Err(forbidden) => {
                    drop(turn);
                    return self.replay_debit_or(&asked, &mandate.header, &id, forbidden).await;
                }
            };
            let our_ref = reference::derive(&asked.caller, account.as_str(), asked.method, &asked.key);
            let scope = asked.scope(account.as_str());
            let claim = ClaimStep::Take { scope: scope.clone(), fingerprint: asked.fingerprint.to_bytes(), record: id.clone() };
            let labels = mandate.header.labels.iter().chain(&wish.labels).map(|(key, value)| (key.clone(), value.clone())).collect();
            let header = Header {
                our_ref: Some(our_ref.clone()),
                reference: wish.reference.clone(),
                labels,
                claim: Some(scope.0.clone()),
                traceparent: asked.traceparent.clone(),
                ..Header::first(id, &account, provider.id, now)
            };
            let limit = self.settings.mandates.rules.at(planned.permitted).afa_limit_of(self.mcc_of(&provider));
            let Planned { needs_notice, notice_time, permitted, cycle, takes_cycle } = planned;
            let plan = DebitPlan { cycle, takes_cycle, requires_payer_approval: wish.order.amount > limit };
            if !needs_notice || notice_time > now {
                let (debit, event) = if needs_notice {
                    let debit = Debit::to_be_announced(header, mandate_id.clone(), wish.order.clone(), plan, permitted, notice_time);
                    (debit, EventKind::DebitRequested)
                } else {
                    Debit::without_notice(header, mandate_id.clone(), wish.order.clone(), plan, permitted)
                };
                match self.write_unannounced(&asked, &mandate, debit, event, claim).await? {
                    Some(answer) => return Ok(answer),
                    None => continue,
                }
            }
            let notice = Notice {
                our_ref: our_ref.clone(),
                provider_ref: None,
                sent: now,
                debit_time: permitted,
                state: NoticeState::Asked,
                expires: None,
            };
            let debit = Debit::requested(header, mandate_id.clone(), wish.order.clone(), plan, notice.clone());
            let Some(parent) = counted(&mandate, &DebitShare::default(), &debit, now) else {
                // It is counted against what was just read: nothing can be in its way.
                return Err(Error::Internal);
            };
            let notice = NoticeOrder {
                mandate: known_mandate(&mandate),
                debit: wish.order.clone(),
                debit_time: notice.debit_time,
                our_ref,
                asked: now,
            };
            let work = Box::new(Work {
                asked: asked.clone(),
                provider: provider.clone(),
                before: None,
                intent: Record::Debit(debit),
                event: EventKind::DebitRequested,
                claim,
                act: Act::Notify { notices: Arc::clone(&mandates.notices), notice },
                parent: Some(Box::new(parent)),
                turn: Some(turn),
            });
            if let Some(Answer { resource, replayed }) = self.write_then_act(work).await? {
                return Ok(Answer { resource: as_debit(resource)?, replayed });
            }
        }
        Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER })
    }

    /// Executes a debit now, if nothing forbids it.
    pub async fn execute_debit(self: &Arc<Self>, asked: Asked, mut debit: Debit) -> Result<Answer<Debit>, Error> {
        let id = debit.header.id.clone();
        let account = debit.header.account.clone();
        let provider = self.provider(&account)?.clone();
        let scope = asked.scope(account.as_str());
        for _ in 0..RACES_MAX {
            let mandate = self.get_mandate(&debit.mandate).await?;
            let now = self.clock.now();
            let execution = match self.may_execute(&asked, &provider, &mandate, &debit, now).await {
                // In a store that was made from another there may have been attempts that no record tells of.
                Ok(mandates) if debit.attempts_made() > 0 || self.store_was_filled() => {
                    if let Err(forbidden) = self.check_earlier_attempts(&asked, &provider, mandates, &debit).await {
                        return self.replay_debit_or(&asked, &debit.header, &id, forbidden).await;
                    }
                    Arc::clone(&mandates.execution)
                }
                Ok(mandates) => Arc::clone(&mandates.execution),
                Err(forbidden) => return self.replay_debit_or(&asked, &debit.header, &id, forbidden).await,
            };
            let fact = Fact::Debit(DebitFact::AttemptBegun { claim: Some(scope.0.clone()) });
            let before = Record::Debit(debit.clone());
            let (Ok(Learned::Moved(intent, event)), attempt) =
                (before.learn(&fact, Evidence::Answer, now), attempt_order(&debit, &mandate))
            else {
                let forbidden = attempt_forbidden(&debit);
                return self.replay_debit_or(&asked, &debit.header, &id, forbidden).await;
            };
            let after = as_debit(intent.clone())?;
            let Some(parent) = counted(&mandate, &DebitShare::of(&debit), &after, now) else {
                return Err(Error::Internal);
            };
            let work = Box::new(Work {
                asked: asked.clone(),
                provider: provider.clone(),
                before: Some(before),
                intent,
                event,
                claim: ClaimStep::Take { scope: scope.clone(), fingerprint: asked.fingerprint.to_bytes(), record: id.clone() },
                act: Act::Execute { execution, attempt },
                parent: Some(Box::new(parent)),
                turn: None,
            });
            match self.write_then_act(work).await? {
                Some(Answer { resource, replayed }) => return Ok(Answer { resource: as_debit(resource)?, replayed }),
                None => debit = self.get_debit(&id).await?,
            }
        }
        Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER })
    }

    /// Cancels a debit of which no attempt was begun. No provider is asked: none debits by itself.
    pub async fn cancel_debit(self: &Arc<Self>, asked: Asked, mut debit: Debit) -> Result<Answer<Debit>, Error> {
        // A drain waits for it.
        let _at_work = self.tasks.token();
        let id = debit.header.id.clone();
        let account = debit.header.account.clone();
        let scope = asked.scope(account.as_str());
        let claim = ClaimStep::Take { scope: scope.clone(), fingerprint: asked.fingerprint.to_bytes(), record: id.clone() };
        // Whether it was executed since the backup is not known yet: its cycle must not become free.
        if let Some((claim, record)) = self.held_back(&claim).await? {
            let Answer { resource, replayed } = self.replay(&asked, claim, record).await?;
            return Ok(Answer { resource: as_debit(resource)?, replayed });
        }
        for _ in 0..RACES_MAX {
            let before = Record::Debit(debit.clone());
            let now = self.clock.now();
            let told = self.told_by_caller(&asked, None);
            let Ok(Learned::Moved(after, event)) = before.learn(&Fact::Debit(DebitFact::Cancelled), Evidence::Answer, now) else {
                return match (self.claimed_by_whom(&claim).await?, &debit.state) {
                    (Some((claim, record)), _) => {
                        let Answer { resource, replayed } = self.replay(&asked, claim, record).await?;
                        Ok(Answer { resource: as_debit(resource)?, replayed })
                    }
                    // What is asked for is so already.
                    (None, DebitState::Cancelled) => Ok(Answer { resource: debit, replayed: false }),
                    (None, state) => Err(Error::StateForbids {
                        state: state.name(),
                        message: format!("a debit that is {} can't be cancelled", state.name()),
                    }),
                };
            };
            let step = self.step(Some(before), after.clone(), event, &told);
            let parents = self.parent_steps(&step, &told).await.map_err(Error::of_write)?;
            let steps = std::iter::once(step).chain(parents).collect();
            let keep = Some(self.settings.claim_retention);
            let settled = self.settle(scope.clone(), id.clone(), ClaimOutcome::Done, id.clone(), keep);
            let mut batch = self.batch(steps, vec![claim.clone(), settled], &told).map_err(Error::of_write)?;
            // Whoever holds it may be about to execute it.
            batch.guards.push(Guard::Unheld { id: id.clone() });
            match self.commit_until(batch, asked.deadline).await.map_err(Error::of_write)? {
                Commit::Done(_) => return Ok(Answer { resource: as_debit(after)?, replayed: false }),
                Commit::Conflict(Conflict::Claimed { claim, record }) => {
                    let Answer { resource, replayed } = self.replay(&asked, claim, record).await?;
                    return Ok(Answer { resource: as_debit(resource)?, replayed });
                }
                Commit::Conflict(Conflict::Guard(_)) if asked.time_left() > super::act::LEASE_PAUSE => {
                    tokio::time::sleep(super::act::LEASE_PAUSE).await;
                    debit = self.get_debit(&id).await?;
                }
                Commit::Conflict(Conflict::Guard(_)) => break,
                Commit::Conflict(_) => debit = self.get_debit(&id).await?,
            }
        }
        Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER })
    }

    pub async fn get_debit(&self, id: &Id) -> Result<Debit, Error> {
        match self.store.get(id).await.map_err(Error::of_read)? {
            Some(stored) => as_debit(decode(&stored).map_err(Error::of_read)?),
            None => Err(Error::no_such("debit", id)),
        }
    }

    /// All that the provider would refuse about a debit, for a request that is refused anyway.
    pub fn debit_violations(&self, mandate: &Mandate, order: &DebitOrder) -> Vec<Violation> {
        let mandates = self.providers.get(&mandate.header.account).and_then(|provider| provider.mandates.as_ref());
        mandates.map_or_else(Vec::new, |mandates| mandates.notices.violations(order))
    }

    /// When something follows for debits of `mandate`.
    pub(super) fn planner<'a>(&'a self, mandate: &'a Mandate) -> Planner<'a> {
        let provider = self.providers.get(&mandate.header.account);
        Planner {
            settings: &self.settings.mandates,
            mandate,
            late_window: provider.map_or(std::time::Duration::ZERO, |provider| provider.late_window),
            notice_always: provider
                .and_then(|provider| provider.capabilities.mandates.as_ref())
                .is_none_or(|mandates| mandates.notice_always),
        }
    }

    /// A fact of which it depends on what it makes of the debit when something follows: it is learned on trial first. Where
    /// that can't be told now, the worker finds it out.
    pub(super) async fn with_next(&self, debit: &Debit, fact: impl Fn(Next) -> DebitFact) -> DebitFact {
        self.with_next_by(debit, Evidence::Answer, fact).await
    }

    /// The same, of a fact that this evidence proves.
    pub(super) async fn with_next_by(&self, debit: &Debit, evidence: Evidence, fact: impl Fn(Next) -> DebitFact) -> DebitFact {
        let now = self.clock.now();
        let mandate = match self.mandate_of(debit).await {
            Ok(Some(mandate)) => mandate,
            Ok(None) => return fact(Next::Wait { until: now }),
            Err(cause) => {
                tracing::warn!(resource.id = %debit.header.id, "when something follows is found out later: {cause}");
                return fact(Next::Wait { until: now });
            }
        };
        let planner = self.planner(&mandate);
        let fact = |next| match fact(next) {
            DebitFact::NoticeSeen { our_ref, snapshot, expires: _, next } => {
                let delivered = if let NoticeStatus::Delivered { at: Some(at) } = snapshot.status { at.min(now) } else { now };
                let expires = Some(planner.notice_expires(delivered, snapshot.expires));
                DebitFact::NoticeSeen { our_ref, snapshot, expires, next }
            }
            fact => fact,
        };
        match debit.learn(&fact(Next::Wait { until: now }), evidence, now) {
            Ok(Learned::Moved(after, _)) => fact(planner.next(&after, self.settings.mandates.retry_after, now)),
            Ok(_) | Err(_) => fact(Next::Wait { until: now }),
        }
    }

    /// The same, of a record that is a debit.
    pub(super) async fn debit_fact(&self, record: &Record, fact: impl Fn(Next) -> DebitFact) -> Fact {
        match record {
            Record::Debit(debit) => Fact::Debit(self.with_next(debit, fact).await),
            _ => Fact::Debit(fact(Next::Wait { until: self.clock.now() })),
        }
    }

    /// The mandate of a debit, if it is still there.
    pub(super) async fn mandate_of(&self, debit: &Debit) -> Result<Option<Mandate>, StoreError> {
        Ok(match self.store.get(&debit.mandate).await?.as_ref().map(decode).transpose()? {
            Some(Record::Mandate(mandate)) => Some(mandate),
            Some(_) | None => None,
        })
    }

    fn mcc_of<'p>(&self, provider: &'p Provider) -> Option<&'p str> {
        provider.capabilities.mandates.as_ref().and_then(|mandates| mandates.mcc.as_deref())
    }

    /// Whether `mandate` permits a debit to be announced now, and what it would be counted in.
    fn may_debit<'p>(
        &self,
        asked: &Asked,
        provider: &'p Provider,
        mandate: &Mandate,
        order: &DebitOrder,
        now: Timestamp,
    ) -> Result<(&'p Mandates, Planned), Error> {
        let mandates = mandates_for(provider, Operation::CreateDebit)?;
        let violations = mandates.notices.violations(order);
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        usable(mandate)?;
        let max = mandate.order.max_amount;
        let amount_fits = match mandate.order.amount_rule {
            AmountRule::Exact => order.amount == max,
            AmountRule::Max => order.amount <= max,
        };
        if !amount_fits {
            let at_most = if mandate.order.amount_rule == AmountRule::Exact { "exactly" } else { "at most" };
            return Err(Error::RuleForbids {
                rule: "amount_rule",
                message: format!("this mandate's debits are {at_most} {}", max.display()),
                next_permitted_time: None,
            });
        }
        if mandate.taken.iter().filter(|taken| !taken.succeeded).count() >= TAKEN_CYCLES_MAX {
            let limit = TAKEN_CYCLES_MAX;
            return Err(Error::Exhausted { what: "the number of open debits of this mandate", limit, retry_after: STORE_RETRY_AFTER });
        }
        let planned = self.planner(mandate).plan(order.execute_after, now).map_err(rule_forbids)?;
        self.check_time(asked, provider)?;
        Ok((mandates, planned))
    }

    /// Whether a debit may be executed now.
    async fn may_execute<'p>(
        &self,
        asked: &Asked,
        provider: &'p Provider,
        mandate: &Mandate,
        debit: &Debit,
        now: Timestamp,
    ) -> Result<&'p Mandates, Error> {
        let mandates = mandates_for(provider, Operation::ExecuteDebit)?;
        let state = debit.state.name();
        match &debit.state {
            DebitState::Failed(failure) if failure.reason == FailureReason::AttemptsExhausted => {
                return Err(rule_forbids(Forbidden { rule: "attempt_limit", next_permitted_time: None }));
            }
            DebitState::Requested => {
                // It is known for certain once the notice is delivered.
                let next_permitted_time = debit.next_permitted_time;
                return Err(rule_forbids(Forbidden { rule: "pre_debit_notice", next_permitted_time }));
            }
            DebitState::Succeeded | DebitState::Failed(_) | DebitState::Cancelled => {
                return Err(Error::StateForbids { state, message: format!("a debit that is {state} can't be executed") });
            }
            DebitState::Notified | DebitState::Scheduled | DebitState::Executing => {}
        }
        if debit.open_attempt().is_some() {
            return Err(attempt_forbidden(debit));
        }
        usable(mandate)?;
        if !debit.header.contradictions.is_empty() {
            return Err(Error::ContradictionBlocks { id: debit.header.id.clone() });
        }
        if mandate.attempt_open.as_ref().is_some_and(|open| *open != debit.header.id) {
            return Err(rule_forbids(Forbidden { rule: "one_attempt_at_a_time", next_permitted_time: None }));
        }
        if let Some(forbidden) = self.planner(mandate).forbidden(debit, now) {
            self.send_notice_anew(debit, mandate, &forbidden, now).await;
            return Err(rule_forbids(forbidden));
        }
        self.check_time(asked, provider)?;
        Ok(mandates)
    }

    /// What earlier attempts came to is asked for before another one: one may have come to something that nobody told of.
    async fn check_earlier_attempts(&self, asked: &Asked, provider: &Provider, mandates: &Mandates, debit: &Debit) -> Result<(), Error> {
        let unavailable = Error::ProviderUnavailable { id: Some(debit.header.id.clone()), retry_after: super::PROVIDER_RETRY_AFTER };
        let told = self.told_by_enquiry(None);
        let asking = self.earlier_attempts_failed(mandates, debit, &told);
        match tokio::time::timeout_at(asked.deadline, asking).await {
            // To ask took its time.
            Ok(Ok(Ok(true))) => self.check_time(asked, provider),
            Ok(Ok(Ok(false))) => Err(attempt_forbidden(debit)),
            Ok(Ok(Err(_))) | Err(_) => Err(unavailable),
            Ok(Err(cause)) => Err(Error::of_read(cause)),
        }
    }

    /// A debit that waits for its caller, and whose notice is too old by now: another one is sent.
    async fn send_notice_anew(&self, debit: &Debit, mandate: &Mandate, forbidden: &Forbidden, now: Timestamp) {
        let is_on_its_way = debit.notice().is_some_and(|notice| matches!(notice.state, NoticeState::Asked | NoticeState::Taken));
        let is_too_old = forbidden.rule == "pre_debit_notice" && debit.delivered_notice().is_some() && !is_on_its_way;
        let Next::At { permitted, step } = self.planner(mandate).next(debit, std::time::Duration::ZERO, now) else { return };
        if debit.order.auto_execute || !is_too_old || debit.notice_wanted {
            return;
        }
        let fact = Fact::Debit(DebitFact::NoticeWanted { permitted, step });
        let told = super::learn::Told { evidence: Evidence::Answer, asked: None, ..self.told_by_enquiry(None) };
        match self.learn(Record::Debit(debit.clone()), &fact, &told).await.map(Outcome::record) {
            Ok(_) => self.woken.notify_waiters(),
            Err(cause) => tracing::warn!(resource.id = %debit.header.id, "another notice is sent later: {cause}"),
        }
    }

    /// Writes a debit that needs no notice: nobody has to be asked for it.
    async fn write_unannounced(
        self: &Arc<Self>,
        asked: &Asked,
        mandate: &Mandate,
        debit: Debit,
        event: EventKind,
        claim: ClaimStep,
    ) -> Result<Option<Answer<Debit>>, Error> {
        // A drain waits for it.
        let _at_work = self.tasks.token();
        if let Some((claim, record)) = self.held_back(&claim).await? {
            let Answer { resource, replayed } = self.replay(asked, claim, record).await?;
            return Ok(Some(Answer { resource: as_debit(resource)?, replayed }));
        }
        let now = self.clock.now();
        let told = self.told_by_caller(asked, None);
        let Some(parent) = counted(mandate, &DebitShare::default(), &debit, now) else { return Err(Error::Internal) };
        let id = debit.header.id.clone();
        let after = Record::Debit(debit.clone());
        let mut steps = vec![Step { before: None, after, event, lease: LeaseStep::Keep, look: None }];
        steps.push(Step { before: Some(parent.before), after: parent.after, event: parent.event, lease: LeaseStep::Keep, look: None });
        let settled = self.settle(asked.scope(debit.header.account.as_str()), id.clone(), ClaimOutcome::Done, id, None);
        let batch = self.batch(steps, vec![claim, settled], &told).map_err(Error::of_write)?;
        match self.commit_until(batch, asked.deadline).await.map_err(Error::of_write)? {
            Commit::Done(_) => Ok(Some(Answer { resource: debit, replayed: false })),
            Commit::Conflict(Conflict::Claimed { claim, record }) => {
                let Answer { resource, replayed } = self.replay(asked, claim, record).await?;
                Ok(Some(Answer { resource: as_debit(resource)?, replayed }))
            }
            Commit::Conflict(_) => Ok(None),
        }
    }

    async fn replay_debit_or(&self, asked: &Asked, header: &Header, id: &Id, forbidden: Error) -> Result<Answer<Debit>, Error> {
        let Answer { resource, replayed } = self.replay_or(asked, &header.account, id.clone(), forbidden).await?;
        Ok(Answer { resource: as_debit(resource)?, replayed })
    }
}

/// Whether debits of `mandate` may be announced or begun.
fn usable(mandate: &Mandate) -> Result<(), Error> {
    let state = mandate.state.name();
    if !mandate.header.contradictions.is_empty() || mandate.contradicted_debits > 0 {
        return Err(Error::ContradictionBlocks { id: mandate.header.id.clone() });
    }
    if mandate.pending_change.is_some() {
        return Err(Error::ChangePending { id: mandate.header.id.clone() });
    }
    if !mandate.permits_debits() {
        return Err(Error::StateForbids { state, message: format!("a mandate that is {state} permits no debit") });
    }
    Ok(())
}

fn mandates_for(provider: &Provider, operation: Operation) -> Result<&Mandates, Error> {
    if let Some(why) = provider.capabilities.missing(operation) {
        return Err(lacks(operation, why));
    }
    provider.mandates.as_ref().ok_or_else(|| lacks(operation, "this provider has no mandates"))
}

fn attempt_forbidden(debit: &Debit) -> Error {
    let state = debit.state.name();
    Error::StateForbids { state, message: "an attempt is under way, and no other is made until its outcome is known".to_owned() }
}

/// A rule's refusal, in words.
fn rule_forbids(forbidden: Forbidden) -> Error {
    let Forbidden { rule, next_permitted_time } = forbidden;
    let message = match rule {
        "amount_rule" => "the mandate does not permit this amount",
        "cycle_over" => "no permitted time is left in the debit's cycle",
        "attempt_limit" => "as many attempts as are permitted were made",
        "debit_day" => "the mandate permits no debit on this day",
        "execute_after" => "the debit is not to be executed before the time that was asked for",
        "late_window" => "the last attempt may still succeed",
        "mandate_validity" => "the mandate is not valid then",
        "once_per_cycle" => "a debit is counted in this cycle already",
        "one_attempt_at_a_time" => "an attempt of another debit of this mandate is under way",
        "peak_hours" => "no debit is executed in UPI's peak hours",
        "pre_debit_notice" => "the payer was not notified in time",
        _ => "a rule of UPI forbids this now",
    };
    Error::RuleForbids { rule, message: message.to_owned(), next_permitted_time }
}

/// The mandate with what `debit` adds to it; `None`: that can't be counted.
pub(super) fn counted(mandate: &Mandate, before: &DebitShare, debit: &Debit, now: Timestamp) -> Option<ParentIntent> {
    let after = DebitShare::of(debit);
    let record = Record::Mandate(mandate.clone());
    let fact = Fact::Mandate(MandateFact::DebitMoved { debit: debit.header.id.clone(), before: before.clone(), after });
    match record.learn(&fact, Evidence::Answer, now) {
        Ok(Learned::Moved(after, event)) => Some(ParentIntent { before: record, after, event }),
        Ok(Learned::AlreadyKnown | Learned::AskFirst) | Err(_) => None,
    }
}

/// What the provider is asked for by an attempt.
pub(super) fn attempt_order(debit: &Debit, mandate: &Mandate) -> AttemptOrder {
    AttemptOrder {
        mandate: known_mandate(mandate),
        payer: mandate.order.payer.clone(),
        amount: debit.order.amount,
        notice_ref: debit.delivered_notice().and_then(|(notice, _)| notice.provider_ref.clone()),
        our_ref: debit.header.our_ref.clone().unwrap_or_default(),
        debit: debit.order.clone(),
    }
}
