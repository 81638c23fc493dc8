//! How a mandate learns: the one door, pure. What each fact does to each state stands in `transitions/mandate.txt`.

use jiff::Timestamp;

use super::{
    Mandate, MandateFact, MandateLearned, MandateOrder, MandateSnapshot, MandateState, MandateStatus, TAKEN_CYCLES_MAX, TakenCycle,
};
use crate::domain::debit::DebitShare;
use crate::domain::event::EventKind;
use crate::domain::fact::{ChangeFailure, ChangeOperation, Contradiction, Evidence, Failure, FailureReason, Learned, PendingChange};
use crate::domain::header::Header;
use crate::domain::id::Id;
use crate::domain::money::Money;
use crate::domain::upi::Pattern;

impl Mandate {
    /// A mandate that was asked for just now.
    pub fn requested(header: Header, order: MandateOrder) -> Self {
        Self {
            header,
            state: MandateState::Requested,
            order,
            registration: None,
            approval_link: String::new(),
            approval_expire_time: None,
            approve_time: None,
            approved_by: None,
            umn: None,
            pending_change: None,
            change_failure: None,
            taken: Vec::new(),
            attempt_open: None,
            debit_count: 0,
            amount_debited: Money::ZERO,
            contradicted_debits: 0,
            end_time: None,
            duplicate_of: None,
        }
    }

    /// The one door: what this mandate becomes when `fact`, proved by `evidence`, is learned at `at`.
    pub fn learn(&self, fact: &MandateFact, evidence: Evidence, at: Timestamp) -> Result<MandateLearned, Contradiction> {
        use MandateState as State;
        let contradicts = |message: &str| Contradiction { fact: fact.name().to_owned(), evidence, message: message.to_owned(), time: at };
        let does_not_fit = || contradicts(&format!("the fact {} does not fit a mandate that is {}", fact.name(), self.state.name()));
        match (fact, &self.state) {
            (MandateFact::Seen(snapshot), _) => self.see(snapshot, evidence, at),
            (MandateFact::DebitMoved { debit, before, after }, _) => self.count_debit(debit, before, after, evidence, at),

            (MandateFact::Registered(_), State::Failed(_)) => Err(contradicts("the provider has a mandate that is recorded as not made")),
            // What is seen of the mandate itself may overtake the answer to our request.
            (MandateFact::Registered(registration), _) => match &self.registration {
                Some(known) if known.provider_ref != registration.provider_ref => {
                    Err(contradicts("the provider has two mandates for one request of ours"))
                }
                Some(_) => Ok(Learned::AlreadyKnown),
                None => Ok(self.moved(EventKind::MandateUpdated, at, |next| next.registration = Some(registration.clone()))),
            },

            // An operator may give up what was never approved.
            (MandateFact::Refused { .. } | MandateFact::NotSent { .. } | MandateFact::Absent, State::Requested)
                if self.registration.is_some() && evidence != Evidence::Operator =>
            {
                Err(contradicts("the provider has the mandate that is said not to be made"))
            }
            (MandateFact::Refused { code, message }, State::Requested) => {
                let failure = Failure {
                    provider_code: code.clone(),
                    provider_message: message.clone(),
                    ..Failure::ours(FailureReason::ProviderRefused, "the provider refused the mandate")
                };
                Ok(self.ended(State::Failed(failure), at))
            }
            (MandateFact::NotSent { message }, State::Requested) => {
                Ok(self.ended(State::Failed(Failure::ours(FailureReason::NotSent, message)), at))
            }
            (MandateFact::Absent, State::Requested) => {
                let failure = if evidence == Evidence::Operator {
                    Failure::ours(FailureReason::OperatorDecided, "an operator decided that it was not made")
                } else {
                    Failure::ours(FailureReason::AbsentAtProvider, "the answer was lost and the provider does not have it")
                };
                Ok(self.ended(State::Failed(failure), at))
            }
            (MandateFact::LinkMissing, State::Requested) => {
                Ok(self
                    .ended(State::Failed(Failure::ours(FailureReason::ProviderFailed, "the provider gave no link to approve it by")), at))
            }
            (MandateFact::LinkMissing, _) => Ok(Learned::AlreadyKnown),
            (MandateFact::Duplicate { of }, State::Requested) => {
                let message = format!("`{of}` stands for what the provider answered with");
                let next = Self { duplicate_of: Some(of.clone()), ..self.clone() };
                Ok(next.ended(State::Failed(Failure::ours(FailureReason::DuplicateReference, message)), at))
            }
            (
                MandateFact::Refused { .. } | MandateFact::NotSent { .. } | MandateFact::Absent | MandateFact::Duplicate { .. },
                State::Failed(_),
            ) => Ok(Learned::AlreadyKnown),
            (MandateFact::Refused { .. } | MandateFact::NotSent { .. } | MandateFact::Absent | MandateFact::Duplicate { .. }, _) => {
                Err(does_not_fit())
            }

            (MandateFact::RevokeAsked { claim }, State::AwaitingApproval | State::Active | State::Paused) => match &self.pending_change {
                Some(pending) if pending.claim == *claim => Ok(Learned::AlreadyKnown),
                Some(_) => Err(contradicts("another change is pending")),
                None => {
                    let pending = PendingChange { operation: ChangeOperation::Revoke, since: at, claim: claim.clone() };
                    Ok(self.moved(EventKind::MandateChangeRequested, at, |next| {
                        next.pending_change = Some(pending);
                        next.change_failure = None;
                    }))
                }
            },
            (MandateFact::RevokeAsked { .. }, _) => Err(does_not_fit()),
            (MandateFact::RevokeRefused { .. } | MandateFact::RevokeNotMade | MandateFact::RevokeNotSent, _)
                if self.pending_change.is_some() =>
            {
                let failure = match fact {
                    MandateFact::RevokeRefused { code, message } => ChangeFailure::Refused { code: code.clone(), message: message.clone() },
                    MandateFact::RevokeNotSent => ChangeFailure::NotSent,
                    _ => ChangeFailure::NotMade,
                };
                Ok(self.moved(EventKind::MandateChangeSettled, at, |next| {
                    next.pending_change = None;
                    next.change_failure = Some(failure);
                }))
            }
            (MandateFact::RevokeRefused { .. } | MandateFact::RevokeNotMade | MandateFact::RevokeNotSent, _) => Ok(Learned::AlreadyKnown),

            // What was not approved by its last day never will be.
            (MandateFact::ApprovalOverdue | MandateFact::ValidityOver, State::AwaitingApproval) => {
                let failure = Failure::ours(FailureReason::ApprovalExpired, "the payer did not approve in time");
                Ok(self.ended(State::Expired(Some(failure)), at))
            }
            (MandateFact::ApprovalOverdue, State::Requested) => Err(does_not_fit()),
            (MandateFact::ApprovalOverdue, _) => Ok(Learned::AlreadyKnown),
            (MandateFact::ValidityOver, State::Active | State::Paused) => Ok(self.ended(State::Expired(None), at)),
            (MandateFact::ValidityOver, State::Requested) => Err(does_not_fit()),
            (MandateFact::ValidityOver, _) => Ok(Learned::AlreadyKnown),

            (MandateFact::ContradictionsResolved, _) if self.header.contradictions.is_empty() => Ok(Learned::AlreadyKnown),
            (MandateFact::ContradictionsResolved, _) => {
                Ok(self.moved(EventKind::MandateUpdated, at, |next| next.header.contradictions.clear()))
            }
        }
    }

    /// What the provider's own picture of the mandate tells.
    fn see(&self, snapshot: &MandateSnapshot, evidence: Evidence, at: Timestamp) -> Result<MandateLearned, Contradiction> {
        use MandateState as State;
        use MandateStatus as Status;
        let fact = MandateFact::Seen(snapshot.clone()).name();
        let contradicts = |message: &str| Contradiction { fact: fact.to_owned(), evidence, message: message.to_owned(), time: at };
        // A callback may be old news: only the provider itself, asked now, can contradict what is recorded.
        let fresh_only = |message: String| if evidence.is_fresh() { Err(contradicts(&message)) } else { Ok(Learned::AlreadyKnown) };
        let differs = |known: &Option<String>, told: &Option<String>| known.is_some() && told.is_some() && known != told;
        let registration = self.registration.as_ref().map(|known| known.provider_ref.clone());
        if differs(&self.header.provider_ref, &snapshot.provider_ref) || differs(&registration, &snapshot.registration_ref) {
            return Err(contradicts("the provider has two mandates for one request of ours"));
        }
        if snapshot.max_amount.is_some_and(|told| told != self.order.max_amount) {
            return Err(contradicts("the provider's mandate is for another amount"));
        }
        if differs(&self.umn, &snapshot.umn) {
            return Err(contradicts("the provider shows another UMN for the same mandate"));
        }
        let is_known = match (&self.state, &snapshot.status) {
            (State::Failed(_), Status::Undecided) => return Ok(Learned::AlreadyKnown),
            (State::Failed(_), _) => return Err(contradicts("the provider has a mandate that is recorded as not made")),
            (State::Requested | State::AwaitingApproval | State::Active | State::Paused, Status::Undecided | Status::Revoking)
            | (State::AwaitingApproval, Status::AwaitingApproval)
            | (State::Active, Status::Active)
            | (State::Paused, Status::Paused)
            | (State::Revoked, Status::Revoked | Status::Revoking)
            | (State::Rejected(_), Status::Rejected { .. })
            | (State::Expired(_), Status::Expired)
            | (State::Completed, Status::Completed) => true,
            _ => false,
        };
        if is_known {
            return Ok(self.enriched(snapshot, at));
        }
        match (&self.state, &snapshot.status) {
            (State::Revoked | State::Rejected(_) | State::Expired(_) | State::Completed, Status::Undecided | Status::Revoking) => {
                Ok(Learned::AlreadyKnown)
            }
            // Its last day is over here and there; which word the provider has for that end is its own.
            (State::Expired(None), Status::Revoked | Status::Completed) | (State::Completed, Status::Expired | Status::Revoked) => {
                Ok(Learned::AlreadyKnown)
            }
            (State::Revoked | State::Rejected(_) | State::Expired(_) | State::Completed, status) => {
                let word = MandateFact::Seen(MandateSnapshot::of(status.clone())).name();
                fresh_only(format!("the fact {word} does not fit a mandate that is {}", self.state.name()))
            }
            // Whoever paused it may have resumed it since, and the other way round. A pause is believed at once, since it
            // only holds debits up, and looked at again; a resumption only by a fresh look.
            (State::Paused, Status::Active) if !evidence.is_fresh() => Ok(Learned::AskFirst),
            (State::Active | State::Paused, Status::AwaitingApproval) | (State::Active | State::Paused, Status::Rejected { .. }) => {
                fresh_only(format!("the fact {fact} does not fit a mandate that is {}", self.state.name()))
            }
            (_, status) => Ok(self.shown(snapshot, status, at)),
        }
    }

    /// The state that the provider's picture shows, with all its details.
    fn shown(&self, snapshot: &MandateSnapshot, status: &MandateStatus, at: Timestamp) -> MandateLearned {
        let was_paused = self.state == MandateState::Paused;
        let (state, event) = match status {
            MandateStatus::AwaitingApproval | MandateStatus::Undecided | MandateStatus::Revoking => {
                (MandateState::AwaitingApproval, EventKind::MandateAwaitingApproval)
            }
            MandateStatus::Active if was_paused => (MandateState::Active, EventKind::MandateResumed),
            MandateStatus::Active => (MandateState::Active, EventKind::MandateActivated),
            MandateStatus::Paused => (MandateState::Paused, EventKind::MandatePaused),
            MandateStatus::Revoked => (MandateState::Revoked, EventKind::MandateRevoked),
            MandateStatus::Rejected { code, message } => {
                let failure = Failure {
                    provider_code: code.clone(),
                    provider_message: message.clone(),
                    ..Failure::ours(FailureReason::PayerDeclined, "the payer, or the payer's bank, declined")
                };
                (MandateState::Rejected(failure), EventKind::MandateRejected)
            }
            MandateStatus::Expired if matches!(self.state, MandateState::Requested | MandateState::AwaitingApproval) => {
                let failure = Failure::ours(FailureReason::ApprovalExpired, "the payer did not approve in time");
                (MandateState::Expired(Some(failure)), EventKind::MandateExpired)
            }
            MandateStatus::Expired => (MandateState::Expired(None), EventKind::MandateExpired),
            MandateStatus::Completed => (MandateState::Completed, EventKind::MandateCompleted),
        };
        self.moved(event, at, |next| {
            // The state first: when it ended is a detail of an end.
            next.state = state;
            next.take_details(snapshot);
            if matches!(next.state, MandateState::Active | MandateState::Paused) && next.approve_time.is_none() {
                next.approve_time = Some(at);
            }
            next.end(at);
        })
    }

    /// The same state, with details that were not known before.
    fn enriched(&self, snapshot: &MandateSnapshot, at: Timestamp) -> MandateLearned {
        let mut next = self.clone();
        next.take_details(snapshot);
        if next == *self {
            return Learned::AlreadyKnown;
        }
        self.moved(EventKind::MandateUpdated, at, |moved| moved.take_details(snapshot))
    }

    fn take_details(&mut self, snapshot: &MandateSnapshot) {
        let take = |known: &mut Option<String>, told: &Option<String>| *known = known.take().or_else(|| told.clone());
        take(&mut self.header.provider_ref, &snapshot.provider_ref);
        take(&mut self.umn, &snapshot.umn);
        if let Some(registration) = &mut self.registration {
            take(&mut registration.customer_ref, &snapshot.customer_ref);
        }
        if self.approval_link.is_empty() {
            self.approval_link = snapshot.approval_link.clone();
        }
        self.approval_expire_time = self.approval_expire_time.or(snapshot.approval_expire_time);
        self.approve_time = self.approve_time.or(snapshot.approve_time);
        self.approved_by = self.approved_by.clone().or_else(|| snapshot.payer_vpa.clone());
        self.end_time = self.end_time.or(snapshot.end_time.filter(|_| self.has_end_time()));
    }

    /// What one of its debits adds to it.
    fn count_debit(
        &self,
        debit: &Id,
        before: &DebitShare,
        after: &DebitShare,
        evidence: Evidence,
        at: Timestamp,
    ) -> Result<MandateLearned, Contradiction> {
        let contradiction =
            |message: &str| Contradiction { fact: "debit_moved".to_owned(), evidence, message: message.to_owned(), time: at };
        let mut next = Self { header: self.header.next(at), ..self.clone() };
        let mut kept = None;
        if after.attempt_open && !before.attempt_open {
            // One that failed may be under way again, whatever became of the mandate since.
            let is_begun = after.begun != before.begun;
            if is_begun && !self.permits_debits() {
                return Err(contradiction("an attempt is begun although the mandate permits none"));
            }
            if is_begun && self.attempt_open.as_ref().is_some_and(|open| open != debit) {
                return Err(contradiction("attempts of two debits are under way"));
            }
            next.attempt_open = next.attempt_open.or_else(|| Some(debit.clone()));
        }
        if before.attempt_open && !after.attempt_open && self.attempt_open.as_ref() == Some(debit) {
            next.attempt_open = None;
        }
        match (&before.cycle, &after.cycle) {
            (Some(cycle), None) => next.taken.retain(|taken| !(taken.cycle == *cycle && taken.debit == *debit)),
            (None, Some(_)) if after.collected.is_none() && !self.permits_debits() => {
                return Err(contradiction("a debit is asked for although the mandate permits none"));
            }
            (None, Some(cycle)) => match self.taker_of(cycle) {
                Some(taken) if taken.debit != *debit => {
                    // Money that came is counted, whatever else was debited meanwhile.
                    if after.collected.is_none() {
                        return Err(contradiction("two debits are counted in one cycle"));
                    }
                    kept = Some(contradiction("two debits of one cycle were collected"));
                    // The other may still fail, and the cycle is not free then.
                    next.taken.push(TakenCycle { cycle: cycle.clone(), debit: debit.clone(), succeeded: true });
                }
                Some(_) => {}
                None => next.taken.push(TakenCycle { cycle: cycle.clone(), debit: debit.clone(), succeeded: false }),
            },
            (Some(_), Some(_)) | (None, None) => {}
        }
        let mut event = EventKind::MandateUpdated;
        if let (None, Some(amount)) = (before.collected, after.collected) {
            let Some(sum) = self.amount_debited.checked_add(amount) else {
                return Err(contradiction("the sum of its debits is beyond every limit"));
            };
            (next.amount_debited, next.debit_count) = (sum, self.debit_count + 1);
            for taken in next.taken.iter_mut().filter(|taken| taken.debit == *debit) {
                taken.succeeded = true;
            }
            if self.order.pattern == Pattern::OneTime && !self.state.is_terminal() {
                (next.state, event) = (MandateState::Completed, EventKind::MandateCompleted);
                next.end(at);
            }
        }
        next.forget_old_cycles();
        let contradicted = i64::from(after.contradicted) - i64::from(before.contradicted);
        next.contradicted_debits = u32::try_from(i64::from(self.contradicted_debits) + contradicted).unwrap_or(0);
        if let Some(kept) = kept
            && let Some(header) = next.header.contradicted(&kept)
        {
            // One revision for both.
            next.header.contradictions = header.contradictions;
        }
        Ok(Learned::Moved(next, event))
    }

    /// What was collected long ago can't be in the way of anything: names of cycles are in the order of time. Debits under
    /// way push nothing out: they may all be of later cycles than the one that was just collected.
    fn forget_old_cycles(&mut self) {
        while self.taken.iter().filter(|taken| taken.succeeded).count() > TAKEN_CYCLES_MAX {
            let oldest = self.taken.iter().enumerate().filter(|(_, taken)| taken.succeeded).min_by(|a, b| a.1.cycle.cmp(&b.1.cycle));
            let Some(index) = oldest.map(|(index, _)| index) else { return };
            self.taken.remove(index);
        }
    }

    /// What an end means besides the state.
    fn end(&mut self, at: Timestamp) {
        if self.state.is_terminal() {
            self.pending_change = None;
        }
        if self.has_end_time() {
            self.end_time = self.end_time.or(Some(at));
        }
    }

    /// Whether it stood, or was asked to be approved, and does no more. What was declined or never made has no end.
    fn has_end_time(&self) -> bool {
        matches!(self.state, MandateState::Revoked | MandateState::Expired(_) | MandateState::Completed)
    }

    fn ended(&self, state: MandateState, at: Timestamp) -> MandateLearned {
        let event = match &state {
            MandateState::Expired(_) => EventKind::MandateExpired,
            _ => EventKind::MandateFailed,
        };
        self.moved(event, at, |next| {
            next.state = state;
            next.end(at);
        })
    }

    fn moved(&self, event: EventKind, at: Timestamp, change: impl FnOnce(&mut Self)) -> MandateLearned {
        let mut next = Self { header: self.header.next(at), ..self.clone() };
        change(&mut next);
        Learned::Moved(next, event)
    }
}
