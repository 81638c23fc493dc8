//! Looks at refunds: what became of a lost answer, how one stands that the provider has, and which the provider made by
//! itself.

use jiff::Timestamp;
use tracing::error;

use super::Stepped;
use crate::clock::after;
use crate::domain::account::{DoubtCure, Operation};
use crate::domain::event::{Fact, Record};
use crate::domain::fact::Evidence;
use crate::domain::header::Header;
use crate::domain::id::Kind;
use crate::domain::money::Money;
use crate::domain::payment::{Payment, PaymentFact};
use crate::domain::refund::{Refund, RefundFact, RefundOrder, RefundSnapshot, RefundSpeed, RefundState, RefundStatus};
use crate::engine::Engine;
use crate::engine::index::{PAYMENT_AT_PROVIDER, REFUND_AT_PROVIDER, REFUND_OURS};
use crate::engine::learn::{Outcome, Step, Told};
use crate::engine::refund::{known_refund, refunds_have_no_ids};
use crate::engine::schedule::{absence_is_proof, proof_after};
use crate::engine::webhook::Matched;
use crate::providers::{AskError, KnownRefund, Provider, Refunds, Sending};
use crate::store::{Commit, Conflict, LeaseStep, StoreError};

/// How often a refund of the provider's is recorded again after another writer came first.
const RACES_MAX: usize = 16;

impl Engine {
    pub(super) async fn look_at_refund(&self, provider: &Provider, refund: Refund, told: &Told) -> Result<Stepped, StoreError> {
        let (Some(refunds), Some(payment)) = (provider.refunds.clone(), self.payment_of(&refund).await?) else {
            return Ok(Stepped::NobodyToAsk);
        };
        let known = known_refund(&refund, &payment);
        match (&refund.state, &known.provider_ref) {
            (RefundState::Requested, _) => self.find_out_refund(provider, &refunds, refund, &known, told).await,
            // Where refunds have no ids, what shows may be any of them: one that has come to an end is never seen in it.
            (RefundState::Failed(_) | RefundState::Succeeded, _) if refunds_have_no_ids(provider) => Ok(Stepped::NobodyToAsk),
            // It was given up without an id: it may show up all the same.
            (RefundState::Failed(_), None) => match refunds.enquiry.look_up(&known).await {
                Ok(Some(snapshot)) => self.learn_refund(refund, snapshot, told).await,
                Ok(None) | Err(AskError::Absent) => Ok(Stepped::NobodyToAsk),
                Err(AskError::Unanswered(cause)) => Ok(self.unanswered(provider, &cause.to_string())),
            },
            (RefundState::Pending | RefundState::Succeeded | RefundState::Failed(_), _) => match refunds.enquiry.fetch(&known).await {
                Ok(snapshot) => self.learn_refund(refund, snapshot, told).await,
                Err(AskError::Absent) => Ok(self.gone(provider, &refund.header.id)),
                Err(AskError::Unanswered(cause)) => Ok(self.unanswered(provider, &cause.to_string())),
            },
        }
    }

    /// The answer to a refund was lost: what became of it is looked up first. Only where the provider makes it safe the very
    /// same request is sent again, and only while the lease is held for longer than the call may take.
    async fn find_out_refund(
        &self,
        provider: &Provider,
        refunds: &Refunds,
        refund: Refund,
        known: &KnownRefund,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        let searched = self.clock.now();
        match refunds.enquiry.look_up(known).await {
            Ok(Some(snapshot)) => return self.learn_refund(refund, snapshot, told).await,
            Ok(None) | Err(AskError::Absent) => {}
            Err(AskError::Unanswered(cause)) => return Ok(self.unanswered(provider, &cause.to_string())),
        }
        match provider.capabilities.doubt(Operation::CreateRefund) {
            DoubtCure::SafeResend if self.sending_is_held() && !self.is_proof_of_absence(provider, &refund, searched) => {
                self.give_back(&Record::Refund(refund), told).await?;
                Ok(Stepped::Learned)
            }
            // For as long as an absence proves nothing. After that it would surprise the caller, and no more is sent.
            DoubtCure::SafeResend if !self.is_proof_of_absence(provider, &refund, searched) => {
                if !self.still_holds(&refund, provider, told).await? {
                    return Ok(self.unanswered(provider, "the lease ran out before it could be sent again"));
                }
                let our_ref = known.our_ref.clone().unwrap_or_default();
                let order = order_of(&refund);
                match refunds.creation.create(&known.payment_ref, &order, &our_ref, Sending::Again, provider.call_timeout).await {
                    Ok(snapshot) => self.learn_refund(refund, snapshot, told).await,
                    Err(cause) => Ok(self.unanswered(provider, &cause.to_string())),
                }
            }
            DoubtCure::SafeResend | DoubtCure::Lookup => self.learn_absent_refund(provider, refund, searched, told).await,
            DoubtCure::None if refund.answer_lost => Ok(Stepped::NobodyToAsk),
            DoubtCure::None => {
                let told = Told { evidence: Evidence::Answer, ..told.clone() };
                self.learn(Record::Refund(refund), &Fact::Refund(RefundFact::AnswerLost), &told).await?;
                Ok(Stepped::Learned)
            }
        }
    }

    /// Whether the lease is held for longer than a call may take: nobody else decides about the refund meanwhile.
    async fn still_holds(&self, refund: &Refund, provider: &Provider, told: &Told) -> Result<bool, StoreError> {
        let (Some(fence), lease) = (told.fence, self.settings.patience.lease) else { return Ok(false) };
        Ok(lease > provider.call_timeout && self.store.renew(&refund.header.id, fence, lease).await?)
    }

    /// Whether a search at `searched` that does not find the refund proves that it was never sent.
    fn is_proof_of_absence(&self, provider: &Provider, refund: &Refund, searched: Timestamp) -> bool {
        absence_is_proof(refund.header.create_time, searched, &self.settings.patience, provider.call_timeout)
    }

    /// The provider does not have it, as of `searched`: believed only when nothing can still be on its way.
    async fn learn_absent_refund(
        &self,
        provider: &Provider,
        refund: Refund,
        searched: Timestamp,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        // The last repetition may have been sent just before the first proof: its own time has to pass as well.
        let last_sent = match provider.capabilities.doubt(Operation::CreateRefund) {
            DoubtCure::SafeResend => after(refund.header.create_time, proof_after(&self.settings.patience, provider.call_timeout)),
            DoubtCure::Lookup | DoubtCure::None => refund.header.create_time,
        };
        let is_proof = absence_is_proof(last_sent, searched, &self.settings.patience, provider.call_timeout);
        let record = Record::Refund(refund);
        if is_proof {
            self.learn(record, &Fact::Refund(RefundFact::Absent), told).await?;
        } else {
            self.give_back(&record, told).await?;
        }
        Ok(Stepped::Learned)
    }

    async fn learn_refund(&self, refund: Refund, snapshot: RefundSnapshot, told: &Told) -> Result<Stepped, StoreError> {
        self.learn(Record::Refund(refund), &Fact::Refund(RefundFact::Seen(snapshot)), told).await?;
        Ok(Stepped::Learned)
    }

    /// Finds the record that a callback's refund is about, and learns it; one that nobody here asked for is recorded as the
    /// provider's.
    pub(in crate::engine) async fn observe_refund(
        &self,
        provider: &Provider,
        snapshot: &RefundSnapshot,
        told: &Told,
    ) -> Result<Matched, StoreError> {
        let account = provider.account.as_str();
        for _ in 0..RACES_MAX {
            if let Some(known) = self.find_refund(account, snapshot).await? {
                // Lists lag: where one differs from what is recorded, only a fetch is believed.
                let told = match told.evidence {
                    Evidence::Enquiry => &Told { evidence: Evidence::Answer, ..told.clone() },
                    _ => told,
                };
                self.learn(known, &Fact::Refund(RefundFact::Seen(snapshot.clone())), told).await?;
                return Ok(Matched::Learned);
            }
            let Some(Record::Payment(payment)) = self.find(account, PAYMENT_AT_PROVIDER, &snapshot.payment_ref).await? else {
                // Of a payment that is none of ours, as far as is known.
                return Ok(Matched::Foreign);
            };
            if snapshot.provider_ref.is_none() {
                return Ok(Matched::Unmatched);
            }
            match self.write_provider_refund(&payment, snapshot, told).await? {
                Commit::Done(_) => return Ok(Matched::Learned),
                // Somebody else recorded it, or moved the payment: look again.
                Commit::Conflict(Conflict::Referenced { .. } | Conflict::Moved { .. }) => {}
                Commit::Conflict(_) => return Err(StoreError::Broken("a first report can't be written".to_owned())),
            }
        }
        Err(StoreError::Unavailable(format!("other writers came first {RACES_MAX} times")))
    }

    async fn find_refund(&self, account: &str, snapshot: &RefundSnapshot) -> Result<Option<Record>, StoreError> {
        if let Some(provider_ref) = &snapshot.provider_ref
            && let Some(known) = self.find(account, REFUND_AT_PROVIDER, provider_ref).await?
        {
            return Ok(Some(known));
        }
        let Some(our_ref) = &snapshot.our_ref else { return Ok(None) };
        // A reference that the merchant used elsewhere may look like one of ours: it is ours if the rest fits.
        let found = self.find(account, REFUND_OURS, our_ref).await?;
        Ok(found.filter(|record| matches!(record, Record::Refund(refund) if refund.payment_ref == snapshot.payment_ref)))
    }

    async fn write_provider_refund(&self, payment: &Payment, snapshot: &RefundSnapshot, told: &Told) -> Result<Commit, StoreError> {
        let now = self.clock.now();
        let id = self.randomness.id(Kind::Refund, payment.header.id.partition(), now);
        let mut header = Header::first(id, &payment.header.account, payment.header.provider, now);
        header.provider_ref = snapshot.provider_ref.clone();
        header.reference = payment.header.reference.clone();
        header.labels = payment.header.labels.clone();
        let (refund, event) = Refund::first_seen(header, payment, snapshot);
        let told = Told { fence: None, ..told.clone() };
        let first = Step { before: None, after: Record::Refund(refund), event, lease: LeaseStep::Keep, look: None };
        let mut steps = vec![first];
        let parents = self.parent_steps(&steps[0], &told).await?;
        steps.extend(parents);
        self.write(steps, Vec::new(), &told).await
    }

    /// The provider says that more of `payment` was refunded than is known here: its refunds are listed, and those that
    /// nobody here asked for are recorded. `shown`: the payment as it was just seen.
    pub(in crate::engine) async fn learn_unknown_refunds(
        &self,
        provider: &Provider,
        shown: &Record,
        told: &Told,
    ) -> Result<(), StoreError> {
        let Record::Payment(payment) = shown else { return Ok(()) };
        let (Some(refunds), Some(payment_ref)) = (&provider.refunds, &payment.header.provider_ref) else { return Ok(()) };
        if !payment.has_unknown_refunds() || !payment.header.contradictions.is_empty() {
            return Ok(());
        }
        let told = Told { fence: None, asked: Some(self.clock.now()), ..told.clone() };
        let Some(of_payment) = &refunds.of_payment else {
            // The one that is under way may be it: that is found out by looking at it.
            if payment.refunds.pending == Money::ZERO {
                self.learn(shown.clone(), &Fact::Payment(PaymentFact::RefundedUnknown), &told).await.map(Outcome::record)?;
            }
            return Ok(());
        };
        match of_payment.of_payment(payment_ref).await {
            Ok(listed) => {
                for snapshot in &listed {
                    self.observe_refund(provider, snapshot, &told).await?;
                }
                let failed = listed.iter().filter(|snapshot| matches!(snapshot.status, RefundStatus::Failed { .. }));
                let failed = Money::checked_sum(failed.map(|snapshot| snapshot.amount)).unwrap_or(Money::ZERO);
                let record = self.read_again(&payment.header.id).await?;
                let fact = Fact::Payment(PaymentFact::RefundsListed { shown: payment.refunded, failed });
                let record = self.learn(record, &fact, &told).await?.record();
                if matches!(&record, Record::Payment(payment) if payment.has_unknown_refunds()) {
                    // The list lags behind the sum.
                    self.wake_later(record.id()).await?;
                }
            }
            Err(AskError::Absent) => error!(resource.id = %payment.header.id, "the provider lists no refunds of `{}`", payment.header.id),
            Err(AskError::Unanswered(cause)) => {
                self.unanswered(provider, &cause.to_string());
                // It stands at rest: it is looked at again for this.
                self.wake_later(&payment.header.id).await?;
            }
        }
        Ok(())
    }
}

/// The order of a refund as it was sent: the same bytes come of it.
fn order_of(refund: &Refund) -> RefundOrder {
    RefundOrder {
        amount: refund.amount,
        speed: refund.speed_requested.unwrap_or(RefundSpeed::Normal),
        description: refund.description.clone(),
        notes: refund.notes.clone(),
    }
}
