//! What an operator's word on a mandate or a debit comes to: what the provider shows of it holds all the same.

use super::{Decision, invalid};
use crate::domain::account::Operation;
use crate::domain::debit::{Debit, DebitFact, DebitState};
use crate::domain::event::{Fact, Record};
use crate::domain::mandate::{Mandate, MandateFact, MandateState, MandateStatus};
use crate::domain::payment::PaymentSnapshot;
use crate::engine::admission::lacks;
use crate::engine::error::Error;
use crate::engine::index::{DEBIT_ORDER, PAYMENT_AT_PROVIDER, QR_AT_PROVIDER};
use crate::engine::mandate::known_mandate;
use crate::engine::reconcile::debit::order_of;
use crate::engine::{Engine, PROVIDER_RETRY_AFTER};
use crate::providers::AskError;
use crate::providers::mandate::MandateCreated;

impl Engine {
    pub(super) async fn decided_mandate(&self, mandate: &Mandate, decision: &Decision) -> Result<Fact, Error> {
        let provider = self.provider(&mandate.header.account)?;
        let Some(mandates) = &provider.mandates else {
            return Err(lacks(Operation::CreateMandate, "this provider can't be asked about mandates"));
        };
        let unavailable = Error::ProviderUnavailable { id: Some(mandate.header.id.clone()), retry_after: PROVIDER_RETRY_AFTER };
        let fact = if mandate.state == MandateState::Requested {
            let our_ref = mandate.header.our_ref.clone().unwrap_or_default();
            match (mandates.enquiry.look_up(&mandate.order, &our_ref, mandate.header.create_time).await, decision) {
                (Ok(Some(MandateCreated::Ready(snapshot))), Decision::Happened { .. }) => MandateFact::Seen(*snapshot),
                (Ok(Some(MandateCreated::Registered(registration))), Decision::Happened { .. }) if mandate.registration.is_none() => {
                    MandateFact::Registered(registration)
                }
                // Nobody has seen its link: it can be given up all the same.
                (Ok(Some(MandateCreated::Registered(_))) | Ok(None) | Err(AskError::Absent), Decision::DidNotHappen) => MandateFact::Absent,
                (Ok(Some(_)), _) => return Err(forbids(mandate.state.name(), "the provider has it: it goes on by itself")),
                (Ok(None) | Err(AskError::Absent), Decision::Happened { .. }) => {
                    return Err(forbids(mandate.state.name(), "the provider does not show that it happened"));
                }
                (Err(AskError::Unanswered(_)), _) => return Err(unavailable),
            }
        } else {
            match (mandates.enquiry.fetch(&known_mandate(mandate)).await, decision) {
                (Ok(snapshot), Decision::Happened { .. }) => MandateFact::Seen(snapshot),
                (Ok(snapshot), Decision::DidNotHappen) if snapshot.status == MandateStatus::Revoked => MandateFact::Seen(snapshot),
                (Ok(_) | Err(AskError::Absent), Decision::DidNotHappen) => MandateFact::RevokeNotMade,
                (Err(AskError::Absent), Decision::Happened { .. }) => {
                    return Err(forbids(mandate.state.name(), "the provider does not show that it happened"));
                }
                (Err(AskError::Unanswered(_)), _) => return Err(unavailable),
            }
        };
        Ok(Fact::Mandate(fact))
    }

    pub(super) async fn decided_debit(&self, debit: &Debit, decision: &Decision) -> Result<Fact, Error> {
        let provider = self.provider(&debit.header.account)?;
        let Some(mandates) = &provider.mandates else {
            return Err(lacks(Operation::ExecuteDebit, "this provider can't be asked about debits"));
        };
        let Some(attempt) = debit.open_attempt() else { return decided_notice(debit, decision) };
        let unavailable = Error::ProviderUnavailable { id: Some(debit.header.id.clone()), retry_after: PROVIDER_RETRY_AFTER };
        // Where an order is known before, all that can be named is a payment of it; else the operator names the order.
        let named_before = attempt.notice_ref.clone().filter(|_| mandates.order_before_attempt);
        let order_ref = named_before.clone();
        let known_order = order_of(mandates, attempt);
        let known: Vec<&String> = debit.attempts.iter().filter_map(|attempt| attempt.payment_ref.as_ref()).collect();
        let fact = match decision {
            Decision::Happened { provider_ref } => {
                let asked_about = order_ref.as_ref().unwrap_or(provider_ref);
                let shown = match mandates.payments.of_order(asked_about).await {
                    Ok(shown) => shown,
                    Err(AskError::Absent) => return Err(invalid("happened.provider_ref", "is not known to the provider")),
                    Err(AskError::Unanswered(_)) => return Err(unavailable),
                };
                let is_new = |payment: &&PaymentSnapshot| !known.contains(&&payment.provider_ref);
                let mut fitting = shown.iter().filter(|payment| payment.amount == debit.order.amount).filter(is_new);
                let payment = match &order_ref {
                    Some(_) => fitting.find(|payment| payment.provider_ref == *provider_ref),
                    None => fitting.next(),
                };
                let Some(payment) = payment else {
                    return Err(invalid("happened.provider_ref", "is no payment of this debit's amount at the provider"));
                };
                self.expect_nobodys(debit, asked_about, &payment.provider_ref).await?;
                let payment_ref = Some(payment.provider_ref.clone());
                let order_ref = if order_ref.is_some() { attempt.order_ref.clone() } else { Some(provider_ref.clone()) };
                DebitFact::AttemptTaken { payment_ref, order_ref }
            }
            Decision::DidNotHappen => {
                if let Some(order_ref) = &known_order {
                    match mandates.payments.of_order(order_ref).await {
                        Ok(shown) if shown.iter().any(|payment| !known.contains(&&payment.provider_ref)) => {
                            return Err(forbids(debit.state.name(), "the provider shows that it was made"));
                        }
                        Ok(_) | Err(AskError::Absent) => {}
                        Err(AskError::Unanswered(_)) => return Err(unavailable),
                    }
                }
                self.decided_absent(debit).await
            }
        };
        Ok(Fact::Debit(fact))
    }

    /// That an order, and a payment of it, are not known here as what something else came to.
    async fn expect_nobodys(&self, debit: &Debit, order_ref: &str, payment_ref: &str) -> Result<(), Error> {
        let account = debit.header.account.as_str();
        for (sort, named) in [(QR_AT_PROVIDER, order_ref), (DEBIT_ORDER, order_ref), (PAYMENT_AT_PROVIDER, payment_ref)] {
            let holder = self.find(account, sort, named).await.map_err(Error::of_read)?;
            let is_ours = |holder: &Record| match holder {
                Record::Payment(payment) => payment.debit.as_ref() == Some(&debit.header.id),
                other => *other.id() == debit.header.id,
            };
            if holder.is_some_and(|holder| !is_ours(&holder)) {
                return Err(invalid("happened.provider_ref", "is what something else came to"));
            }
        }
        Ok(())
    }

    /// An attempt that an operator says was never made: what follows for the debit.
    async fn decided_absent(&self, debit: &Debit) -> DebitFact {
        self.with_next_by(debit, crate::domain::fact::Evidence::Operator, |next| DebitFact::AttemptAbsent { next }).await
    }
}

/// A notice moves nothing: that one was sent is found out by itself, and one that was not is sent anew.
fn decided_notice(debit: &Debit, decision: &Decision) -> Result<Fact, Error> {
    match (decision, debit.notice(), &debit.state) {
        (
            Decision::DidNotHappen,
            Some(notice),
            DebitState::Requested | DebitState::Scheduled | DebitState::Notified | DebitState::Executing,
        ) => Ok(Fact::Debit(DebitFact::NoticeAbsent { our_ref: notice.our_ref.clone() })),
        _ => Err(forbids(debit.state.name(), "whether a notice was sent is found out by itself")),
    }
}

fn forbids(state: &'static str, message: &str) -> Error {
    Error::StateForbids { state, message: message.to_owned() }
}
