//! How a refund learns: the one door, pure. What each fact does to each state stands in `transitions/refund.txt`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Refund, RefundFact, RefundLearned, RefundOrder, RefundOrigin, RefundSnapshot, RefundState, RefundStatus, SettledRefund};
use crate::domain::event::EventKind;
use crate::domain::fact::{Contradiction, Evidence, Failure, FailureReason, Learned};
use crate::domain::header::Header;
use crate::domain::money::Money;
use crate::domain::payment::Payment;

impl Refund {
    /// A refund of `payment` that a caller asks for. `header` is its first revision.
    pub fn requested(header: Header, payment: &Payment, order: RefundOrder) -> Self {
        let RefundOrder { amount, speed, description, notes } = order;
        let payment_ref = payment.header.provider_ref.clone().unwrap_or_default();
        let bare = Self::bare(header, payment, RefundOrigin::Ours, payment_ref, amount);
        Self { speed_requested: Some(speed), description, notes, ..bare }
    }

    /// A refund of `payment` that the provider made by itself or for a person in its dashboard. `header` is its first
    /// revision.
    pub fn first_seen(header: Header, payment: &Payment, snapshot: &RefundSnapshot) -> (Self, EventKind) {
        let bare = Self::bare(header, payment, RefundOrigin::Provider, snapshot.payment_ref.clone(), snapshot.amount);
        let refund = Self { state: state_for(&snapshot.status), ..bare.with_details(snapshot) };
        let event = refund.state.event();
        (refund, event)
    }

    /// A refund of which nothing is known but whose it is and how much.
    fn bare(header: Header, payment: &Payment, origin: RefundOrigin, payment_ref: String, amount: Money) -> Self {
        Self {
            header,
            state: RefundState::Requested,
            origin,
            payment: payment.header.id.clone(),
            payment_ref,
            amount,
            speed_requested: None,
            speed_processed: None,
            description: String::new(),
            notes: BTreeMap::new(),
            rrn: None,
            arn: None,
            process_time: None,
            fee: None,
            tax: None,
            refunded_before: payment.refunds.succeeded,
            duplicate_of: None,
            answer_lost: false,
            settled: None,
        }
    }

    /// The one door: what this refund becomes when `fact`, proved by `evidence`, is learned at `at`.
    pub fn learn(&self, fact: &RefundFact, evidence: Evidence, at: Timestamp) -> Result<RefundLearned, Contradiction> {
        let contradicts = |message: &str| Contradiction { fact: fact.name().to_owned(), evidence, message: message.to_owned(), time: at };
        match fact {
            RefundFact::Seen(snapshot) => self.see(snapshot, evidence, at),
            RefundFact::Settled(settled) => Ok(self.settled(settled.as_ref(), at)),
            RefundFact::ContradictionsResolved if self.header.contradictions.is_empty() => Ok(Learned::AlreadyKnown),
            RefundFact::ContradictionsResolved => {
                let mut next = Self { header: self.header.next(at), ..self.clone() };
                next.header.contradictions.clear();
                Ok(Learned::Moved(next, EventKind::RefundUpdated))
            }
            RefundFact::AnswerLost if self.state == RefundState::Requested && !self.answer_lost => {
                Ok(Learned::Moved(Self { header: self.header.next(at), answer_lost: true, ..self.clone() }, EventKind::RefundUpdated))
            }
            RefundFact::AnswerLost => Ok(Learned::AlreadyKnown),
            RefundFact::Adopted { provider_ref } if self.state.is_open() => {
                let mut next = Self { answer_lost: false, ..self.clone() };
                next.header.provider_ref = self.header.provider_ref.clone().or_else(|| provider_ref.clone());
                Ok(next.moved_to(self, RefundState::Succeeded, at))
            }
            RefundFact::Adopted { .. } => Ok(Learned::AlreadyKnown),
            // A person may decide what the provider took and never tells the outcome of.
            RefundFact::Absent if self.state == RefundState::Pending && evidence == Evidence::Operator => {
                Ok(self.failed(FailureReason::OperatorDecided, "an operator decided that it did not happen", at))
            }
            RefundFact::Refused { .. } | RefundFact::NotSent { .. } | RefundFact::Absent | RefundFact::Duplicate { .. }
                if self.state != RefundState::Requested =>
            {
                // The answer to our own request: what came since knows better. Only what the provider denies now is news.
                match (&self.state, fact) {
                    (RefundState::Pending | RefundState::Succeeded, RefundFact::Absent) => {
                        Err(contradicts("the provider does not have what it had shown"))
                    }
                    (RefundState::Pending | RefundState::Succeeded, RefundFact::Refused { .. }) => {
                        Err(contradicts("the provider refused what it has shown as taken"))
                    }
                    _ => Ok(Learned::AlreadyKnown),
                }
            }
            RefundFact::Refused { code, message } => {
                let failure = Failure {
                    reason: FailureReason::ProviderRefused,
                    message: "the provider refused the refund".to_owned(),
                    provider_code: code.clone(),
                    provider_message: message.clone(),
                };
                Ok(self.moved_to(self, RefundState::Failed(failure), at))
            }
            RefundFact::NotSent { message } => Ok(self.failed(FailureReason::NotSent, message, at)),
            RefundFact::Absent if evidence == Evidence::Operator => {
                Ok(self.failed(FailureReason::OperatorDecided, "an operator decided that it did not happen", at))
            }
            RefundFact::Absent => {
                Ok(self.failed(FailureReason::AbsentAtProvider, "its answer was lost, and the provider does not have it", at))
            }
            RefundFact::Duplicate { of } => {
                let next = Self { duplicate_of: Some(of.clone()), ..self.clone() };
                Ok(next.failed(FailureReason::DuplicateReference, &format!("`{of}` stands for what the provider answered with"), at))
            }
        }
    }

    /// Whether the provider's word on our request is known.
    pub fn is_decided(&self) -> bool {
        self.state != RefundState::Requested
    }

    fn see(&self, snapshot: &RefundSnapshot, evidence: Evidence, at: Timestamp) -> Result<RefundLearned, Contradiction> {
        use RefundState as State;
        use RefundStatus as Status;
        let fact = RefundFact::Seen(snapshot.clone()).name().to_owned();
        let contradicts = |message: &str| {
            // A callback may be old news: only the provider itself, asked now, can contradict what is recorded.
            if evidence.is_fresh() {
                Err(Contradiction { fact: fact.clone(), evidence, message: message.to_owned(), time: at })
            } else {
                Ok(Learned::AskFirst)
            }
        };
        if snapshot.amount != self.amount {
            return Err(Contradiction { fact, evidence, message: "the provider shows another amount for it".to_owned(), time: at });
        }
        if snapshot.payment_ref != self.payment_ref {
            return Err(Contradiction { fact, evidence, message: "the provider shows it at another payment".to_owned(), time: at });
        }
        if let (Some(known), Some(told)) = (&self.header.provider_ref, &snapshot.provider_ref)
            && known != told
        {
            return Err(Contradiction { fact, evidence, message: "the provider shows it under another id".to_owned(), time: at });
        }
        match (&self.state, &snapshot.status) {
            (State::Requested, status) => Ok(self.with_details(snapshot).moved_to(self, state_for(status), at)),
            (State::Pending, Status::Pending | Status::Undecided)
            | (State::Succeeded, Status::Processed | Status::Undecided)
            | (State::Failed(_), Status::Failed { .. } | Status::Undecided) => Ok(self.enriched(snapshot, at)),
            (State::Pending, status @ (Status::Processed | Status::Failed { .. })) => {
                Ok(self.with_details(snapshot).moved_to(self, state_for(status), at))
            }
            // Callbacks come out of order: an earlier picture tells nothing new.
            (State::Succeeded | State::Failed(_), Status::Pending) if !evidence.is_fresh() && self.header.provider_ref.is_some() => {
                Ok(Learned::AlreadyKnown)
            }
            // The late edge that providers really have, and what a wrong decision comes to: only after a fresh look.
            (State::Failed(_), Status::Processed) => {
                if evidence.is_fresh() {
                    Ok(self.with_details(snapshot).moved_to(self, State::Succeeded, at))
                } else {
                    Ok(Learned::AskFirst)
                }
            }
            (State::Failed(_), Status::Pending) => contradicts("the provider is at work on what counted as failed"),
            (State::Succeeded, Status::Pending | Status::Failed { .. }) => {
                contradicts("the provider does not show as made what it had shown as made")
            }
        }
    }

    fn settled(&self, line: Option<&SettledRefund>, at: Timestamp) -> RefundLearned {
        let mut next = Self { settled: line.map(|line| line.settled.clone()), ..self.clone() };
        if let Some(line) = line {
            (next.fee, next.tax) = (Some(line.fee), Some(line.tax));
        }
        if next == *self {
            return Learned::AlreadyKnown;
        }
        next.header = self.header.next(at);
        Learned::Moved(next, EventKind::RefundUpdated)
    }

    fn failed(&self, reason: FailureReason, message: &str, at: Timestamp) -> RefundLearned {
        let (provider_code, provider_message) = (String::new(), String::new());
        let failure = Failure { reason, message: message.to_owned(), provider_code, provider_message };
        self.moved_to(self, RefundState::Failed(failure), at)
    }

    /// This refund in `state`, as the revision after `before`.
    fn moved_to(&self, before: &Self, state: RefundState, at: Timestamp) -> RefundLearned {
        let mut next = self.clone();
        let (provider_ref, contradictions) = (next.header.provider_ref.take(), before.header.contradictions.clone());
        next.header = Header { provider_ref, contradictions, ..before.header.next(at) };
        next.answer_lost = next.answer_lost && state == RefundState::Requested;
        next.state = state;
        let event = next.state.event();
        Learned::Moved(next, event)
    }

    /// The same state, with details that were not known before.
    fn enriched(&self, snapshot: &RefundSnapshot, at: Timestamp) -> RefundLearned {
        let mut next = self.with_details(snapshot);
        if next == *self {
            return Learned::AlreadyKnown;
        }
        let provider_ref = next.header.provider_ref.take();
        next.header = Header { provider_ref, ..self.header.next(at) };
        Learned::Moved(next, EventKind::RefundUpdated)
    }

    fn with_details(&self, snapshot: &RefundSnapshot) -> Self {
        let mut next = self.clone();
        next.header.provider_ref = self.header.provider_ref.clone().or_else(|| snapshot.provider_ref.clone());
        next.speed_requested = self.speed_requested.or(snapshot.speed_requested);
        // An instant refund may fall back to a normal one, never the other way round.
        next.speed_processed = match (self.speed_processed, snapshot.speed_processed) {
            (Some(super::RefundSpeed::Normal), _) => self.speed_processed,
            (known, told) => told.or(known),
        };
        next.rrn = self.rrn.clone().or_else(|| snapshot.rrn.clone());
        next.arn = self.arn.clone().or_else(|| snapshot.arn.clone());
        next.process_time = self.process_time.or(snapshot.process_time);
        next
    }
}

/// The state that the provider's word on it shows.
fn state_for(status: &RefundStatus) -> RefundState {
    match status {
        RefundStatus::Pending | RefundStatus::Undecided => RefundState::Pending,
        RefundStatus::Processed => RefundState::Succeeded,
        RefundStatus::Failed { code, message } => RefundState::Failed(Failure {
            reason: FailureReason::ProviderFailed,
            message: "the provider reports that the refund failed".to_owned(),
            provider_code: code.clone(),
            provider_message: message.clone(),
        }),
    }
}
