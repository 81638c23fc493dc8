//! Looks at mandates: what became of a lost answer, whether the payer approved, paused or revoked, and whether its time is
//! over.

use tracing::warn;

use super::Stepped;
use crate::clock::after;
use crate::domain::account::{DoubtCure, Operation};
use crate::domain::event::{Fact, Record};
use crate::domain::fact::{Cause, Evidence};
use crate::domain::mandate::{Mandate, MandateFact, MandateSnapshot, MandateState, MandateStatus};
use crate::domain::payment::PaymentStatus;
use crate::engine::Engine;
use crate::engine::index::{MANDATE_AT_PROVIDER, MANDATE_OURS, MANDATE_REGISTRATION};
use crate::engine::learn::Told;
use crate::engine::mandate::known_mandate;
use crate::engine::paid_for::PaidFor;
use crate::engine::schedule::{absence_is_proof, end_of_day};
use crate::engine::webhook::Matched;
use crate::providers::mandate::MandateCreated;
use crate::providers::{AskError, Mandates, Provider};
use crate::store::StoreError;

impl Engine {
    pub(super) async fn look_at_mandate(&self, provider: &Provider, mandate: Mandate, told: &Told) -> Result<Stepped, StoreError> {
        let Some(mandates) = provider.mandates.clone() else { return Ok(Stepped::NobodyToAsk) };
        match (&mandate.state, &mandate.registration) {
            (MandateState::Requested, None) => self.find_out_mandate(provider, &mandates, mandate, told).await,
            (MandateState::Requested, Some(_)) if mandates.linking.is_some() => self.link_mandate(provider, &mandates, mandate, told).await,
            (MandateState::Requested | MandateState::AwaitingApproval | MandateState::Active | MandateState::Paused, _) => {
                self.look_at_standing_mandate(provider, &mandates, mandate, told).await
            }
            (
                MandateState::Revoked
                | MandateState::Rejected(_)
                | MandateState::Expired(_)
                | MandateState::Completed
                | MandateState::Failed(_),
                _,
            ) => Ok(Stepped::NobodyToAsk),
        }
    }

    /// The answer to the creation was lost: our reference is looked up.
    async fn find_out_mandate(
        &self,
        provider: &Provider,
        mandates: &Mandates,
        mandate: Mandate,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        if provider.capabilities.doubt(Operation::CreateMandate) == DoubtCure::None {
            return Ok(Stepped::NobodyToAsk);
        }
        let asked = mandate.header.create_time;
        let searched = self.clock.now();
        let our_ref = mandate.header.our_ref.clone().unwrap_or_default();
        match mandates.enquiry.look_up(&mandate.order, &our_ref, asked).await {
            Ok(Some(MandateCreated::Ready(snapshot))) => self.learn_mandate(mandate, MandateFact::Seen(*snapshot), told).await,
            Ok(Some(MandateCreated::Registered(registration))) => {
                let id = mandate.header.id.clone();
                self.learn_mandate(mandate, MandateFact::Registered(registration), told).await?;
                // What the payer approves by is fetched at once.
                self.wake_now(&id).await?;
                Ok(Stepped::Learned)
            }
            Ok(None) | Err(AskError::Absent) if absence_is_proof(asked, searched, &self.settings.patience, provider.call_timeout) => {
                self.learn_mandate(mandate, MandateFact::Absent, told).await
            }
            Ok(None) | Err(AskError::Absent) => {
                self.give_back(&Record::Mandate(mandate), told).await?;
                Ok(Stepped::Learned)
            }
            Err(AskError::Unanswered(cause)) => Ok(self.unanswered(provider, &cause.to_string())),
        }
    }

    /// The provider has what the payer approves by and nobody has seen his link yet: it is fetched, again if need be.
    async fn link_mandate(&self, provider: &Provider, mandates: &Mandates, mandate: Mandate, told: &Told) -> Result<Stepped, StoreError> {
        let Some(linking) = &mandates.linking else { return Ok(Stepped::NobodyToAsk) };
        match linking.link(&known_mandate(&mandate), provider.call_timeout).await {
            Ok(snapshot) => self.learn_mandate(mandate, MandateFact::Seen(snapshot), told).await,
            Err(cause) => {
                // Nobody can approve what nobody has seen: after a while it is given up.
                let now = self.clock.now();
                if absence_is_proof(mandate.header.create_time, now, &self.settings.patience, provider.call_timeout) {
                    warn!(resource.id = %mandate.header.id, "the link of `{}` was never to be had: {cause}", mandate.header.id);
                    return self.learn_mandate(mandate, MandateFact::LinkMissing, told).await;
                }
                Ok(self.unanswered(provider, &cause.to_string()))
            }
        }
    }

    /// A mandate that the provider has: what was collected at its approval first, so that money is told before.
    async fn look_at_standing_mandate(
        &self,
        provider: &Provider,
        mandates: &Mandates,
        mandate: Mandate,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        if let (MandateState::AwaitingApproval, Some(registration)) = (&mandate.state, &mandate.registration)
            && registration.amount.is_some()
        {
            match mandates.payments.of_order(&registration.provider_ref).await {
                Ok(payments) => {
                    let is_money = |status: &PaymentStatus| matches!(status, PaymentStatus::Captured | PaymentStatus::Authorized);
                    for payment in payments.iter().filter(|payment| is_money(&payment.status)) {
                        let told = Told { occur_time: payment.pay_time, fence: None, ..told.clone() };
                        self.observe_payment(PaidFor::Registration(mandate.clone()), payment, &told).await?;
                    }
                }
                Err(AskError::Absent) => {}
                Err(AskError::Unanswered(cause)) => return Ok(self.unanswered(provider, &cause.to_string())),
            }
        }
        let searched = self.clock.now();
        let is_over = searched >= end_of_day(mandate.order.valid_until);
        let shown = match mandates.enquiry.fetch(&known_mandate(&mandate)).await {
            Ok(snapshot) => snapshot,
            // What is over vanishes at some providers.
            Err(AskError::Absent) if is_over => return self.learn_by_time(mandate, MandateFact::ValidityOver, told).await,
            Err(AskError::Absent) => return Ok(self.gone(provider, &mandate.header.id)),
            Err(AskError::Unanswered(cause)) => return Ok(self.unanswered(provider, &cause.to_string())),
        };
        let stands = matches!(
            shown.status,
            MandateStatus::Active | MandateStatus::Paused | MandateStatus::AwaitingApproval | MandateStatus::Undecided
        );
        let is_proof = |asked| absence_is_proof(asked, searched, &self.settings.patience, provider.call_timeout);
        if let Some(pending) = mandate.pending_change.as_ref().filter(|_| stands)
            && is_proof(pending.since)
        {
            return self.learn_mandate(mandate, MandateFact::RevokeNotMade, told).await;
        }
        let approval_over = mandate.approval_expire_time.is_some_and(is_proof);
        if mandate.state == MandateState::AwaitingApproval && shown.status == MandateStatus::AwaitingApproval && (approval_over || is_over)
        {
            return self.learn_by_time(mandate, MandateFact::ApprovalOverdue, told).await;
        }
        if matches!(mandate.state, MandateState::Active | MandateState::Paused) && stands && is_over {
            return self.learn_by_time(mandate, MandateFact::ValidityOver, told).await;
        }
        self.learn_mandate(mandate, MandateFact::Seen(shown), told).await
    }

    async fn learn_mandate(&self, mandate: Mandate, fact: MandateFact, told: &Told) -> Result<Stepped, StoreError> {
        self.learn(Record::Mandate(mandate), &Fact::Mandate(fact), told).await?;
        Ok(Stepped::Learned)
    }

    /// What only the time tells.
    async fn learn_by_time(&self, mandate: Mandate, fact: MandateFact, told: &Told) -> Result<Stepped, StoreError> {
        let told = Told { cause: Cause::Timer, evidence: Evidence::Answer, asked: None, ..told.clone() };
        self.learn_mandate(mandate, fact, &told).await
    }

    /// Finds the mandate that a callback is about, and learns it.
    pub(in crate::engine) async fn observe_mandate(
        &self,
        provider: &Provider,
        snapshot: &MandateSnapshot,
        told: &Told,
    ) -> Result<Matched, StoreError> {
        let account = provider.account.as_str();
        let names = [
            (MANDATE_AT_PROVIDER, &snapshot.provider_ref),
            (MANDATE_REGISTRATION, &snapshot.registration_ref),
            (MANDATE_OURS, &snapshot.our_ref),
        ];
        for (sort, name) in names {
            let Some(name) = name else { continue };
            let Some(known @ Record::Mandate(_)) = self.find(account, sort, name).await? else { continue };
            let id = known.id().clone();
            self.learn(known, &Fact::Mandate(MandateFact::Seen(snapshot.clone())), told).await?;
            if snapshot.status == MandateStatus::Undecided {
                // Its id is told, and how it stands is not.
                self.wake_now(&id).await?;
            } else if snapshot.status == MandateStatus::Paused {
                // It is believed, and looked at: the callback may be an old one.
                self.store.wake(&id, after(self.clock.now(), LOOK_AFTER_PAUSE), crate::store::Wake::News).await?;
            }
            return Ok(Matched::Learned);
        }
        // A mandate's own look finds what is told of it before its id is known here.
        Ok(Matched::Foreign)
    }
}

/// When a pause that a callback told of is looked at.
const LOOK_AFTER_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);
