//! What a write means for the claims on idempotency keys: settled, freed, or kept until later.

use std::time::Duration;

use super::Engine;
use super::idempotency::ClaimOutcome;
use super::learn::Step;
use crate::domain::debit::{Debit, DebitState, NoticeState};
use crate::domain::event::Record;
use crate::domain::fact::{ChangeFailure, Failure, FailureReason, PendingChange};
use crate::domain::header::Header;
use crate::domain::id::Id;
use crate::domain::mandate::{Mandate, MandateState};
use crate::domain::qr::{Qr, QrState};
use crate::domain::refund::{Refund, RefundState};
use crate::store::{ClaimScope, ClaimStep};

impl Engine {
    /// The claims that a step decides: that of the creation, and that of a pending change.
    pub(super) fn claims_settled_by(&self, step: &Step) -> Vec<ClaimStep> {
        match (&step.before, &step.after) {
            (Some(Record::Qr(before)), Record::Qr(after)) => self.claims_of_qr(before, after),
            (Some(Record::Refund(before)), Record::Refund(after)) => self.claim_of_refund(before, after).into_iter().collect(),
            (Some(Record::Mandate(before)), Record::Mandate(after)) => self.claims_of_mandate(before, after),
            (Some(Record::Debit(before)), Record::Debit(after)) => self.claims_of_debit(before, after),
            _ => Vec::new(),
        }
    }

    /// A refund that is decided. What it ended as later is told by the record itself.
    fn claim_of_refund(&self, before: &Refund, after: &Refund) -> Option<ClaimStep> {
        let (RefundState::Requested, Some(claim)) = (&before.state, &before.header.claim) else { return None };
        let scope = ClaimScope(claim.clone());
        let record = after.header.id.clone();
        Some(match &after.state {
            RefundState::Requested => return None,
            RefundState::Failed(failure) if failure.reason == FailureReason::NotSent => ClaimStep::Free { scope, record },
            RefundState::Failed(failure) if failure.reason == FailureReason::ProviderRefused => {
                let outcome = ClaimOutcome::Refused { code: failure.provider_code.clone(), message: failure.provider_message.clone() };
                self.settle(scope, record.clone(), outcome, record, None)
            }
            RefundState::Failed(_) | RefundState::Pending | RefundState::Succeeded => {
                let answer = after.duplicate_of.clone().unwrap_or_else(|| record.clone());
                self.settle(scope, record, ClaimOutcome::Done, answer, None)
            }
        })
    }

    fn claims_of_qr(&self, before: &Qr, after: &Qr) -> Vec<ClaimStep> {
        let mut claims = Vec::new();
        if let (QrState::Requested, Some(claim)) = (&before.state, &before.header.claim) {
            let record = after.header.id.clone();
            let scope = ClaimScope(claim.clone());
            match &after.state {
                QrState::Requested => {}
                QrState::Failed(failure) if failure.reason == FailureReason::NotSent => claims.push(ClaimStep::Free { scope, record }),
                QrState::Failed(failure) if failure.reason == FailureReason::ProviderRefused => {
                    let outcome = ClaimOutcome::Refused { code: failure.provider_code.clone(), message: failure.provider_message.clone() };
                    claims.push(self.settle(scope, record.clone(), outcome, record, None));
                }
                QrState::Failed(_) | QrState::Active | QrState::Closed { .. } => {
                    let answer = after.duplicate_of.clone().unwrap_or_else(|| record.clone());
                    claims.push(self.settle(scope, record, ClaimOutcome::Done, answer, None));
                }
            }
        }
        if let (Some(pending), None) = (&before.pending_change, &after.pending_change) {
            claims.push(self.claim_of_change(&after.header.id, pending, after.change_failure.as_ref()));
        }
        claims
    }

    /// The claim of a change of a standing resource that has ended.
    fn claim_of_change(&self, record: &Id, pending: &PendingChange, failure: Option<&ChangeFailure>) -> ClaimStep {
        let record = record.clone();
        let scope = ClaimScope(pending.claim.clone());
        let keep = Some(self.settings.claim_retention);
        match failure {
            Some(ChangeFailure::NotSent) => ClaimStep::Free { scope, record },
            Some(ChangeFailure::Refused { code, message }) => {
                let outcome = ClaimOutcome::Refused { code: code.clone(), message: message.clone() };
                self.settle(scope, record.clone(), outcome, record, keep)
            }
            Some(ChangeFailure::NotMade) | None => self.settle(scope, record.clone(), ClaimOutcome::Done, record, keep),
        }
    }

    /// The claim of a creation that ended with `failure`, or well. What it ended as later is told by the record itself.
    fn claim_of_creation(&self, header: &Header, failure: Option<&Failure>, duplicate_of: Option<&Id>) -> Option<ClaimStep> {
        let scope = ClaimScope(header.claim.clone()?);
        let record = header.id.clone();
        Some(match failure {
            Some(failure) if failure.reason == FailureReason::NotSent => ClaimStep::Free { scope, record },
            Some(failure) if failure.reason == FailureReason::ProviderRefused => {
                let outcome = ClaimOutcome::Refused { code: failure.provider_code.clone(), message: failure.provider_message.clone() };
                self.settle(scope, record.clone(), outcome, record, None)
            }
            Some(_) | None => {
                let answer = duplicate_of.cloned().unwrap_or_else(|| record.clone());
                self.settle(scope, record, ClaimOutcome::Done, answer, None)
            }
        })
    }

    fn claims_of_mandate(&self, before: &Mandate, after: &Mandate) -> Vec<ClaimStep> {
        let mut claims = Vec::new();
        if before.state == MandateState::Requested && after.state != MandateState::Requested {
            let failure = if let MandateState::Failed(failure) = &after.state { Some(failure) } else { None };
            claims.extend(self.claim_of_creation(&after.header, failure, after.duplicate_of.as_ref()));
        }
        if let (Some(pending), None) = (&before.pending_change, &after.pending_change) {
            claims.push(self.claim_of_change(&after.header.id, pending, after.change_failure.as_ref()));
        }
        claims
    }

    /// That of the creation is decided with its first notice, those of attempts with the provider's word on them.
    fn claims_of_debit(&self, before: &Debit, after: &Debit) -> Vec<ClaimStep> {
        let mut claims = Vec::new();
        let is_asked = |debit: &Debit| debit.notices.first().is_some_and(|notice| notice.state == NoticeState::Asked);
        let was_open = is_asked(before) && !before.state.is_terminal();
        if was_open && (!is_asked(after) || after.state.is_terminal()) {
            let failure = if let DebitState::Failed(failure) = &after.state { Some(failure) } else { None };
            claims.extend(self.claim_of_creation(&after.header, failure, after.duplicate_of.as_ref()));
        }
        for attempt in after.attempts.iter().filter(|attempt| attempt.is_answered()) {
            let was = before.attempts.iter().find(|was| was.start == attempt.start && was.claim == attempt.claim);
            let Some(claim) = attempt.claim.as_ref().filter(|_| was.is_some_and(|was| !was.is_answered())) else { continue };
            let (scope, record) = (ClaimScope(claim.clone()), after.header.id.clone());
            let failure = attempt.failure.as_ref().map(|failed| &failed.failure);
            claims.push(match failure {
                Some(failure) if failure.reason == FailureReason::NotSent => ClaimStep::Free { scope, record },
                Some(failure) if failure.reason == FailureReason::ProviderRefused => {
                    let outcome = ClaimOutcome::Refused { code: failure.provider_code.clone(), message: failure.provider_message.clone() };
                    self.settle(scope, record.clone(), outcome, record, None)
                }
                Some(_) | None => self.settle(scope, record.clone(), ClaimOutcome::Done, record, None),
            });
        }
        claims
    }

    /// Notes how a request ended. The claim of a creation is kept as long as its record is not at rest; that of a change
    /// for its retention from now on.
    pub(super) fn settle(&self, scope: ClaimScope, record: Id, outcome: ClaimOutcome, answer: Id, keep: Option<Duration>) -> ClaimStep {
        ClaimStep::Settle { scope, record, outcome: outcome.to_bytes(), answer, keep }
    }

    /// The start of the retention of the claim that a record was made by: it came to rest.
    pub(super) fn retention_of(&self, record: &Record) -> Option<ClaimStep> {
        let scope = ClaimScope(record.header().claim.clone()?);
        let record = match record {
            Record::Qr(qr) => qr.duplicate_of.clone().unwrap_or_else(|| qr.header.id.clone()),
            Record::Mandate(mandate) => mandate.duplicate_of.clone().unwrap_or_else(|| mandate.header.id.clone()),
            // Its claim lives as long as the record itself: a repeat must never move money twice.
            Record::Refund(_) | Record::Debit(_) => return None,
            Record::Payment(_) | Record::Settlement(_) | Record::SettlementBreak(_) => return None,
        };
        Some(ClaimStep::StartRetention { scope, record, keep: self.settings.claim_retention })
    }
}
