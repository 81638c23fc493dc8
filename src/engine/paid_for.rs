//! What a payment is made for, by what the provider names: a code, or an order of a debit or of a mandate's registration;
//! and how a payment of it is recorded.

use tracing::Instrument;

use super::Engine;
use super::index::{DEBIT_ORDER, MANDATE_REGISTRATION, PAYMENT_AT_PROVIDER, QR_AT_PROVIDER, QR_OURS};
use super::learn::{Outcome, Step, Told};
use crate::domain::debit::{Debit, DebitState};
use crate::domain::event::{Fact, Record};
use crate::domain::header::Header;
use crate::domain::id::Kind;
use crate::domain::mandate::Mandate;
use crate::domain::payment::{Expected, Payment, PaymentFact, PaymentSnapshot, PaymentStatus, Through};
use crate::domain::qr::{Qr, Usage};
use crate::domain::upi::UpiLink;
use crate::providers::Provider;
use crate::store::{Commit, Conflict, LeaseStep, StoreError};

/// How often a first report is tried again after another writer recorded the payment first.
const RACES_MAX: usize = 16;

/// What a payment is made for.
#[derive(Clone, Debug)]
pub(super) enum PaidFor {
    Qr(Qr),
    Debit(Debit),
    /// What is collected when a mandate is approved.
    Registration(Mandate),
}

impl PaidFor {
    fn header(&self) -> &Header {
        match self {
            PaidFor::Qr(qr) => &qr.header,
            PaidFor::Debit(debit) => &debit.header,
            PaidFor::Registration(mandate) => &mandate.header,
        }
    }

    /// Whether what is asked for here and the payment are one story: a code for many payments is not.
    fn is_for_one_payment(&self) -> bool {
        match self {
            PaidFor::Qr(qr) => qr.order.usage == Usage::SingleUse,
            PaidFor::Debit(_) | PaidFor::Registration(_) => true,
        }
    }

    fn through(&self) -> Through {
        match self {
            PaidFor::Qr(qr) => Through::Qr(qr.header.id.clone()),
            PaidFor::Debit(debit) => Through::Debit { debit: debit.header.id.clone(), mandate: debit.mandate.clone() },
            PaidFor::Registration(mandate) => Through::Mandate(mandate.header.id.clone()),
        }
    }

    /// What a payment of it is compared with.
    fn expected(&self) -> Expected {
        match self {
            PaidFor::Qr(qr) => {
                let link = qr.code.as_ref().and_then(|code| UpiLink::parse(&code.upi_link).ok());
                Expected { amount: qr.order.amount, payee: link.map(|link| link.pa().clone()) }
            }
            PaidFor::Debit(debit) => Expected { amount: Some(debit.order.amount), payee: None },
            PaidFor::Registration(mandate) => {
                Expected { amount: mandate.registration.as_ref().and_then(|registration| registration.amount), payee: None }
            }
        }
    }
}

impl Engine {
    /// What a payment is made for that names this id of the provider's, or this reference of ours.
    pub(super) async fn find_paid_for(
        &self,
        provider: &Provider,
        provider_ref: Option<&str>,
        our_ref: Option<&str>,
    ) -> Result<Option<PaidFor>, StoreError> {
        let account = provider.account.as_str();
        let sorts: &[&str] =
            if provider.mandates.is_some() { &[QR_AT_PROVIDER, DEBIT_ORDER, MANDATE_REGISTRATION] } else { &[QR_AT_PROVIDER] };
        if let Some(provider_ref) = provider_ref {
            for sort in sorts {
                match self.find(account, sort, provider_ref).await? {
                    Some(Record::Qr(qr)) => return Ok(Some(PaidFor::Qr(qr))),
                    Some(Record::Debit(debit)) => return Ok(Some(PaidFor::Debit(debit))),
                    Some(Record::Mandate(mandate)) => return Ok(Some(PaidFor::Registration(mandate))),
                    Some(_) | None => {}
                }
            }
        }
        let Some(our_ref) = our_ref else { return Ok(None) };
        Ok(match self.find(account, QR_OURS, our_ref).await? {
            Some(Record::Qr(qr)) => Some(PaidFor::Qr(qr)),
            Some(_) | None => None,
        })
    }

    /// Records a payment, or learns more about it.
    pub(super) async fn observe_payment(&self, paid_for: PaidFor, snapshot: &PaymentSnapshot, told: &Told) -> Result<Record, StoreError> {
        let span = self.span_of_learning(paid_for.header(), told);
        self.record_payment(paid_for, snapshot, told, false).instrument(span).await
    }

    /// Records a payment of which the caller has just found no record, and what it is for as it is. If either changed meanwhile
    /// the write says so, and both are read.
    pub(super) async fn observe_new_payment(
        &self,
        paid_for: PaidFor,
        snapshot: &PaymentSnapshot,
        told: &Told,
    ) -> Result<Record, StoreError> {
        let span = self.span_of_learning(paid_for.header(), told);
        self.record_payment(paid_for, snapshot, told, true).instrument(span).await
    }

    async fn record_payment(
        &self,
        paid_for: PaidFor,
        snapshot: &PaymentSnapshot,
        told: &Told,
        mut is_just_read: bool,
    ) -> Result<Record, StoreError> {
        let parent = paid_for.header().id.clone();
        let account = paid_for.header().account.clone();
        // One after the other in this process: each moves the parent's totals, and all but one would have to begin anew.
        let _turn = self.turns.wait_for(&parent).await;
        for _ in 0..RACES_MAX {
            let known = match is_just_read {
                true => None,
                false => self.find(account.as_str(), PAYMENT_AT_PROVIDER, &snapshot.provider_ref).await?,
            };
            if let Some(known) = known {
                let told = Told { fence: None, ..told.clone() };
                return self.learn(known, &Fact::Payment(PaymentFact::Seen(Box::new(snapshot.clone()))), &told).await.map(Outcome::record);
            }
            let (header, expected) = self.header_of_payment(&paid_for, snapshot);
            let is_late = matches!(&paid_for, PaidFor::Debit(debit) if matches!(debit.state, DebitState::Failed(_)));
            // That a debit that failed succeeded after all is believed by a fresh look alone.
            let unsure = PaymentSnapshot { status: PaymentStatus::Pending, ..snapshot.clone() };
            let ask_first = is_late && !told.evidence.is_fresh();
            let snapshot = if ask_first { &unsure } else { snapshot };
            let can_be_asked = self.providers.get(&account).is_some_and(|provider| provider.payments.is_some());
            let (payment, event) = match snapshot.status {
                // What the provider means is not known, and nobody can be asked: an operator has to decide.
                PaymentStatus::Undecided if !can_be_asked => Payment::first_claimed(header, paid_for.through(), expected, snapshot),
                _ => Payment::first_reported(header, paid_for.through(), expected, snapshot),
            };
            let first = Step { before: None, after: Record::Payment(payment), event, lease: LeaseStep::Keep, look: None };
            let payment = first.after.clone();
            let code = match &paid_for {
                PaidFor::Qr(code) if is_just_read => Some(code),
                _ => None,
            };
            let parents = self.parent_steps_with(&first, told, code).await?;
            is_just_read = false;
            if parents.is_empty() {
                // Not collected yet: what it is for may have moved all the same.
                self.wake_now(&parent).await?;
            }
            let steps = std::iter::once(first).chain(parents).collect();
            let told = Told { fence: None, ..told.clone() };
            match self.write(steps, Vec::new(), &told).await? {
                Commit::Done(_) => {
                    if ask_first || matches!(&payment, Record::Payment(payment) if payment.has_unknown_refunds()) {
                        self.wake_now(payment.id()).await?;
                    }
                    return Ok(payment);
                }
                // Somebody else recorded it, or moved what it is for: look again.
                Commit::Conflict(Conflict::Referenced { .. } | Conflict::Moved { .. }) => {}
                Commit::Conflict(_) => return Err(StoreError::Broken("a first report can't be written".to_owned())),
            }
        }
        Err(StoreError::Unavailable(format!("other writers came first {RACES_MAX} times")))
    }

    /// The header of the first revision of a payment, and what it is compared with.
    pub(super) fn header_of_payment(&self, paid_for: &PaidFor, snapshot: &PaymentSnapshot) -> (Header, Expected) {
        let now = self.clock.now();
        let parent = paid_for.header();
        let id = self.randomness.id(Kind::Payment, parent.id.partition(), now);
        let header = Header {
            provider_ref: Some(snapshot.provider_ref.clone()),
            reference: parent.reference.clone(),
            labels: parent.labels.clone(),
            traceparent: parent.trace(now).filter(|_| paid_for.is_for_one_payment()).map(str::to_owned),
            ..Header::first(id, &parent.account, parent.provider, now)
        };
        (header, paid_for.expected())
    }
}
