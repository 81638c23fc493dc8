//! What a step means for the record that its own belongs to: a payment for its code, a refund for its payment. Both are
//! written together or not at all.

use super::Engine;
use super::learn::{Step, Told, decode};
use crate::domain::event::{Fact, Record};
use crate::domain::fact::Learned;
use crate::domain::payment::{Payment, PaymentFact, RefundTotals};
use crate::domain::qr::{QrFact, Usage};
use crate::domain::refund::Refund;
use crate::store::{LeaseStep, Look, StoreError};

impl Engine {
    /// What a step means for the record that its own belongs to, to be written with it.
    pub(super) async fn parent_step(&self, step: &Step, told: &Told) -> Result<Option<Step>, StoreError> {
        match (&step.before, &step.after) {
            (Some(Record::Payment(before)), Record::Payment(after)) => self.code_step(before.state.is_collected(), after, told).await,
            (None, Record::Payment(after)) => self.code_step(false, after, told).await,
            (Some(Record::Refund(before)), Record::Refund(after)) => self.payment_step(RefundTotals::of(before), after, told).await,
            (None, Record::Refund(after)) => self.payment_step(RefundTotals::default(), after, told).await,
            _ => Ok(None),
        }
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
    async fn code_step(&self, was_collected: bool, after: &Payment, told: &Told) -> Result<Option<Step>, StoreError> {
        let amount = after.amount;
        let is_collected = after.state.is_collected();
        if was_collected == is_collected {
            return Ok(None);
        }
        let Some(parent) = &after.qr else { return Ok(None) };
        // A code that came to rest long ago may be forgotten before its payments are.
        let Some(qr) = self.store.get(parent).await?.as_ref().map(decode).transpose()? else { return Ok(None) };
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
