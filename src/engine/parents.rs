//! What a step means for the records above its own: a payment for its code or its debit, a debit for its mandate, a refund
//! for its payment. All are written together or not at all.

use super::Engine;
use super::learn::{Step, Told, decode};
use crate::domain::debit::{AttemptFailure, Debit, DebitFact, DebitShare, FailureMeaning};
use crate::domain::event::{Fact, Record};
use crate::domain::fact::{Failure, Learned};
use crate::domain::mandate::MandateFact;
use crate::domain::payment::{Payment, PaymentFact, PaymentState, RefundTotals};
use crate::domain::qr::{Qr, QrFact, Usage};
use crate::domain::refund::Refund;
use crate::store::{LeaseStep, Look, StoreError};

impl Engine {
    /// What a step means for the records above its own, to be written with it.
    pub(super) async fn parent_steps(&self, step: &Step, told: &Told) -> Result<Vec<Step>, StoreError> {
        self.parent_steps_with(step, told, None).await
    }

    /// The same, where the code above may have been read already. If it has moved since, the write says so.
    pub(super) async fn parent_steps_with(&self, step: &Step, told: &Told, code: Option<&Qr>) -> Result<Vec<Step>, StoreError> {
        let mut parents: Vec<Step> = Vec::new();
        while let Some(parent) = self.parent_step(parents.last().unwrap_or(step), told, code).await? {
            parents.push(parent);
        }
        Ok(parents)
    }

    async fn parent_step(&self, step: &Step, told: &Told, code: Option<&Qr>) -> Result<Option<Step>, StoreError> {
        match (&step.before, &step.after) {
            (Some(Record::Payment(before)), Record::Payment(after)) if after.debit.is_some() => {
                self.debit_step(Some(&before.state), after, told).await
            }
            (None, Record::Payment(after)) if after.debit.is_some() => self.debit_step(None, after, told).await,
            (Some(Record::Payment(before)), Record::Payment(after)) => self.code_step(before.state.is_collected(), after, told, code).await,
            (None, Record::Payment(after)) => self.code_step(false, after, told, code).await,
            (Some(Record::Refund(before)), Record::Refund(after)) => self.payment_step(RefundTotals::of(before), after, told).await,
            (None, Record::Refund(after)) => self.payment_step(RefundTotals::default(), after, told).await,
            (Some(Record::Debit(before)), Record::Debit(after)) => self.mandate_step(DebitShare::of(before), after, told).await,
            _ => Ok(None),
        }
    }

    /// What a payment's step means for the debit that it was collected by.
    async fn debit_step(&self, before: Option<&PaymentState>, after: &Payment, told: &Told) -> Result<Option<Step>, StoreError> {
        if before == Some(&after.state) {
            return Ok(None);
        }
        let (Some(debit), Some(payment_ref)) = (&after.debit, &after.header.provider_ref) else { return Ok(None) };
        // A debit may be forgotten before a payment of it that came late to rest.
        let Some(Record::Debit(debit)) = self.store.get(debit).await?.as_ref().map(decode).transpose()? else { return Ok(None) };
        let failed = match &after.state {
            PaymentState::Failed(failure) => Some(self.attempt_failure(&debit, failure)),
            _ => None,
        };
        let fact = self
            .with_next(&debit, |next| DebitFact::PaymentMoved {
                payment: after.header.id.clone(),
                payment_ref: payment_ref.clone(),
                to: after.state.clone(),
                failed: failed.clone(),
                next,
            })
            .await;
        self.step_of_parent(Record::Debit(debit), &Fact::Debit(fact), None, told)
    }

    /// What the provider's reason for a failed attempt means.
    pub(super) fn attempt_failure(&self, debit: &Debit, failure: &Failure) -> AttemptFailure {
        let mandates = self.providers.get(&debit.header.account).and_then(|provider| provider.mandates.as_ref());
        match mandates.map(|mandates| mandates.execution.meaning(&failure.provider_code)) {
            Some((meaning, reason)) => AttemptFailure { failure: Failure { reason, ..failure.clone() }, meaning },
            None => AttemptFailure { failure: failure.clone(), meaning: FailureMeaning::MayComeLate },
        }
    }

    /// What a debit's step means for its mandate: its cycles, its sums, and whether an attempt is under way.
    async fn mandate_step(&self, before: DebitShare, debit: &Debit, told: &Told) -> Result<Option<Step>, StoreError> {
        let after = DebitShare::of(debit);
        if before == after {
            return Ok(None);
        }
        // A mandate may be forgotten before a debit of it that came late to rest.
        let Some(mandate) = self.store.get(&debit.mandate).await?.as_ref().map(decode).transpose()? else { return Ok(None) };
        let fact = Fact::Mandate(MandateFact::DebitMoved { debit: debit.header.id.clone(), before, after });
        self.step_of_parent(mandate, &fact, None, told)
    }

    /// What a refund's step means for its payment: the sums of its refunds move with it.
    async fn payment_step(&self, before: RefundTotals, refund: &Refund, told: &Told) -> Result<Option<Step>, StoreError> {
        let after = RefundTotals::of(refund);
        if before == after {
            return Ok(None);
        }
        // A payment may be forgotten before a refund of it that came late to rest.
        let Some(payment) = self.store.get(&refund.payment).await?.as_ref().map(decode).transpose()? else { return Ok(None) };
        let fact = Fact::Payment(PaymentFact::RefundMoved { before, after });
        self.step_of_parent(payment, &fact, None, told)
    }

    /// What a payment's step means for the code that it was paid to: money received, or taken back.
    async fn code_step(&self, was_collected: bool, after: &Payment, told: &Told, code: Option<&Qr>) -> Result<Option<Step>, StoreError> {
        let amount = after.amount;
        let is_collected = after.state.is_collected();
        if was_collected == is_collected {
            return Ok(None);
        }
        let Some(parent) = &after.qr else { return Ok(None) };
        let qr = match code.filter(|code| code.header.id == *parent) {
            Some(code) => Record::Qr(code.clone()),
            // A code that came to rest long ago may be forgotten before its payments are.
            None => match self.store.get(parent).await? {
                Some(stored) => decode(&stored)?,
                None => return Ok(None),
            },
        };
        let fact = if is_collected {
            // Where nobody can look, the payment of a single-use code is its end.
            let closes = matches!(&qr, Record::Qr(qr) if qr.order.usage == Usage::SingleUse) && !self.can_be_asked_about(&qr);
            QrFact::Received { amount, closes }
        } else {
            QrFact::TakenBack { amount }
        };
        // The code may be closed by this: ask at once.
        self.step_of_parent(qr, &Fact::Qr(fact), Some(Look::At(self.clock.now())), told)
    }

    /// `parent` as it learns `fact`; a fact that contradicts it is kept beside it.
    fn step_of_parent(&self, parent: Record, fact: &Fact, look: Option<Look>, told: &Told) -> Result<Option<Step>, StoreError> {
        let (next, event) = match parent.learn(fact, told.evidence, self.clock.now()) {
            Ok(Learned::Moved(next, event)) => {
                let kept = next.header().contradictions.len() > parent.header().contradictions.len();
                if let Some(contradiction) = next.header().contradictions.last().filter(|_| kept) {
                    self.alert(&next, contradiction);
                }
                (next, event)
            }
            Ok(Learned::AlreadyKnown | Learned::AskFirst) => return Ok(None),
            Err(contradiction) => {
                self.alert(&parent, &contradiction);
                match parent.contradicted(&contradiction) {
                    Some(contradicted) => contradicted,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(Step { before: Some(parent), after: next, event, lease: LeaseStep::Keep, look }))
    }
}
