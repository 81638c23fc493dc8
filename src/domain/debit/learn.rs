//! How a debit learns: the one door, pure. What each fact does to each state stands in `transitions/debit.txt`.

use jiff::{SignedDuration, Timestamp};

use super::{
    Attempt, AttemptFailure, Debit, DebitFact, DebitLearned, DebitOrder, DebitState, FailureMeaning, Next, Notice, NoticeSnapshot,
    NoticeState, NoticeStatus,
};
use crate::domain::event::EventKind;
use crate::domain::fact::{Contradiction, Evidence, Failure, FailureReason, Learned};
use crate::domain::header::Header;
use crate::domain::id::Id;
use crate::domain::payment::PaymentState;

/// The most notices that a debit keeps: more are not sent.
pub const NOTICES_MAX: usize = 8;
/// The pause before another notice follows one that failed; then twice as long each time, so often.
const NOTICE_PAUSE_S: i64 = 300;
const NOTICE_PAUSE_DOUBLINGS: u32 = 6;

/// What a new debit is counted in, and whether its payer is to be notified and asked.
#[derive(Clone, Debug)]
pub struct DebitPlan {
    pub cycle: String,
    pub takes_cycle: bool,
    pub requires_payer_approval: bool,
}

impl Debit {
    /// A debit that was asked for just now and whose payer is being notified.
    pub fn requested(header: Header, mandate: Id, order: DebitOrder, plan: DebitPlan, notice: Notice) -> Self {
        let bare = Self::bare(header, mandate, order, plan);
        Self { needs_notice: true, notices: vec![notice], ..bare }
    }

    /// A debit that was asked for just now and is to be executed at `permitted`; its payer is notified at `notice_time`, since
    /// a notice of now would be too old by then.
    pub fn to_be_announced(
        header: Header,
        mandate: Id,
        order: DebitOrder,
        plan: DebitPlan,
        permitted: Timestamp,
        notice_time: Timestamp,
    ) -> Self {
        let bare = Self::bare(header, mandate, order, plan);
        Self { needs_notice: true, next_permitted_time: Some(permitted), next_step_time: Some(notice_time), ..bare }
    }

    /// A debit that was asked for just now and whose payer need not be notified; it may be executed at `permitted`.
    pub fn without_notice(header: Header, mandate: Id, order: DebitOrder, plan: DebitPlan, permitted: Timestamp) -> (Self, EventKind) {
        let mut debit = Self::bare(header, mandate, order, plan);
        let event = debit.wait_for_execution(permitted, permitted);
        (debit, event)
    }

    fn bare(header: Header, mandate: Id, order: DebitOrder, plan: DebitPlan) -> Self {
        let DebitPlan { cycle, takes_cycle, requires_payer_approval } = plan;
        Self {
            header,
            state: DebitState::Requested,
            mandate,
            order,
            cycle,
            takes_cycle,
            needs_notice: false,
            notices: Vec::new(),
            attempts: Vec::new(),
            requires_payer_approval,
            next_permitted_time: None,
            next_step_time: None,
            notice_wanted: false,
            payment: None,
            duplicate_of: None,
        }
    }

    /// The one door: what this debit becomes when `fact`, proved by `evidence`, is learned at `at`.
    pub fn learn(&self, fact: &DebitFact, evidence: Evidence, at: Timestamp) -> Result<DebitLearned, Contradiction> {
        use DebitState as State;
        let contradicts = |message: &str| Contradiction { fact: fact.name().to_owned(), evidence, message: message.to_owned(), time: at };
        let does_not_fit = || contradicts(&format!("the fact {} does not fit a debit that is {}", fact.name(), self.state.name()));
        match fact {
            DebitFact::PaymentMoved { payment, payment_ref, to, failed, next } => {
                self.learn_payment((payment, payment_ref), to, (failed.as_ref(), *next), evidence, at)
            }
            DebitFact::ContradictionsResolved if self.header.contradictions.is_empty() => Ok(Learned::AlreadyKnown),
            DebitFact::ContradictionsResolved => Ok(self.moved(EventKind::DebitUpdated, at, |next| next.header.contradictions.clear())),

            DebitFact::NoticeSeen { our_ref, snapshot, expires, next } => Ok(self.learn_notice(our_ref, snapshot, *expires, *next, at)),
            DebitFact::NoticeRefused { our_ref, .. } | DebitFact::NoticeNotSent { our_ref, .. } | DebitFact::NoticeAbsent { our_ref } => {
                Ok(self.lose_notice(our_ref, fact, at))
            }

            // The provider's word on an attempt, whatever became of the debit meanwhile.
            DebitFact::AttemptTaken { payment_ref, order_ref } => self.take_attempt(payment_ref, order_ref, at).map_err(contradicts),
            DebitFact::AttemptRefused { failed, next } => Ok(self.end_attempt(failed.clone(), *next, evidence, at)),
            DebitFact::AttemptNotSent { message, next } => {
                let failure = Failure::ours(FailureReason::NotSent, message);
                Ok(self.end_attempt(AttemptFailure { failure, meaning: FailureMeaning::Retry }, *next, evidence, at))
            }
            DebitFact::AttemptAbsent { next } => {
                let (reason, message, meaning) = if evidence == Evidence::Operator {
                    // What the provider took may come to something all the same.
                    let was_taken = self.open_attempt().is_some_and(Attempt::is_answered);
                    let meaning = if was_taken { FailureMeaning::MayComeLate } else { FailureMeaning::Retry };
                    (FailureReason::OperatorDecided, "an operator decided that it did not happen", meaning)
                } else {
                    let message = "its answer was lost, and the provider does not have it";
                    (FailureReason::AbsentAtProvider, message, FailureMeaning::MayComeLate)
                };
                Ok(self.end_attempt(AttemptFailure { failure: Failure::ours(reason, message), meaning }, *next, evidence, at))
            }
            DebitFact::AttemptLost => match self.open_attempt() {
                Some(attempt) if !attempt.answer_lost && attempt.payment.is_none() => {
                    Ok(self.moved(EventKind::DebitUpdated, at, |next| next.newest_attempt(|attempt| attempt.answer_lost = true)))
                }
                _ => Ok(Learned::AlreadyKnown),
            },

            // Everything else is ours to decide, and only as long as it is not at its end.
            _ if self.state.is_terminal() => match fact {
                DebitFact::NoticeBegun(_) | DebitFact::AttemptBegun { .. } => Err(does_not_fit()),
                DebitFact::Cancelled if self.state != State::Cancelled => Err(does_not_fit()),
                _ => Ok(Learned::AlreadyKnown),
            },
            DebitFact::AttemptBegun { claim } => match (&self.state, self.open_attempt()) {
                (_, Some(open)) if claim.is_some() && open.claim == *claim => Ok(Learned::AlreadyKnown),
                (_, Some(_)) => Err(contradicts("an attempt is under way")),
                (State::Notified | State::Scheduled | State::Executing, None) => Ok(self.moved(EventKind::DebitExecuting, at, |next| {
                    // What never reached the provider counts for nothing.
                    next.attempts.retain(|attempt| !attempt.was_not_sent());
                    next.attempts.push(Attempt {
                        start: at,
                        end: None,
                        notice_ref: self.delivered_notice().and_then(|(notice, _)| notice.provider_ref.clone()),
                        payment_ref: None,
                        order_ref: None,
                        payment: None,
                        failure: None,
                        answer_lost: false,
                        claim: claim.clone(),
                    });
                    next.state = State::Executing;
                    next.rest();
                })),
                (_, None) => Err(does_not_fit()),
            },
            // The rest would end or move what an attempt decides.
            _ if self.open_attempt().is_some() => match fact {
                DebitFact::Cancelled | DebitFact::NoticeBegun(_) => Err(contradicts("an attempt is under way")),
                DebitFact::Duplicate { .. } => Err(contradicts("the provider answered an attempt with what another debit stands for")),
                _ => Ok(Learned::AlreadyKnown),
            },
            DebitFact::NoticeBegun(notice) => {
                let is_open = self.notice().is_some_and(|known| matches!(known.state, NoticeState::Asked | NoticeState::Taken));
                if is_open || !self.needs_notice || self.notices_made() >= NOTICES_MAX {
                    return Err(does_not_fit());
                }
                Ok(self.moved(EventKind::DebitUpdated, at, |next| {
                    // What never reached the provider counts for nothing.
                    next.notices.retain(|known| !known.was_not_sent());
                    next.notices.push(notice.clone());
                    next.notice_wanted = false;
                    next.next_step_time = None;
                }))
            }
            DebitFact::Rescheduled(next) => Ok(self.rescheduled(*next, at)),
            DebitFact::NoticeWanted { permitted, step } => Ok(self.moved(EventKind::DebitUpdated, at, |next| {
                next.notice_wanted = true;
                (next.next_permitted_time, next.next_step_time) = (Some(*permitted), Some(*step));
            })),
            DebitFact::Duplicate { of } => {
                let message = format!("`{of}` stands for what the provider answered with");
                let next = Self { duplicate_of: Some(of.clone()), ..self.clone() };
                Ok(next.failed(Failure::ours(FailureReason::DuplicateReference, message), at))
            }
            DebitFact::MandateEnded if self.state == State::Executing && self.attempts_made() > 0 => {
                Ok(self.failed(Failure::ours(FailureReason::MandateNotUsable, "the mandate ended before the debit was made"), at))
            }
            DebitFact::Cancelled if self.state == State::Executing && self.attempts_made() > 0 => Err(does_not_fit()),
            DebitFact::MandateEnded | DebitFact::Cancelled => Ok(self.moved(EventKind::DebitCancelled, at, |next| {
                next.state = State::Cancelled;
                next.rest();
            })),
        }
    }

    /// What the provider shows of a notice.
    fn learn_notice(
        &self,
        our_ref: &str,
        snapshot: &NoticeSnapshot,
        expires: Option<Timestamp>,
        next: Next,
        at: Timestamp,
    ) -> DebitLearned {
        let Some(index) = self.notices.iter().position(|notice| notice.our_ref == our_ref) else { return Learned::AlreadyKnown };
        let known = &self.notices[index];
        let mut notice = known.clone();
        notice.provider_ref = known.provider_ref.clone().or_else(|| snapshot.provider_ref.clone());
        match (&known.state, &snapshot.status) {
            (NoticeState::Asked, NoticeStatus::Pending) => notice.state = NoticeState::Taken,
            (NoticeState::Asked | NoticeState::Taken | NoticeState::Failed(_), NoticeStatus::Delivered { at: delivered }) => {
                // It can't have been delivered before it was sent.
                let delivered = delivered.unwrap_or(at).max(known.sent).min(at.max(known.sent));
                notice.state = NoticeState::Delivered { at: delivered };
                notice.expires = expires;
            }
            (NoticeState::Asked | NoticeState::Taken, NoticeStatus::Failed { code, message }) => {
                notice.state = NoticeState::Failed(Failure {
                    provider_code: code.clone(),
                    provider_message: message.clone(),
                    ..Failure::ours(FailureReason::NotificationFailed, "the notice to the payer could not be delivered")
                });
            }
            _ => {}
        }
        if notice == *known {
            return Learned::AlreadyKnown;
        }
        let mut debit = Self { header: self.header.next(at), ..self.clone() };
        if index == 0 {
            debit.header.provider_ref = debit.header.provider_ref.take().or_else(|| notice.provider_ref.clone());
        }
        let is_delivered = matches!(notice.state, NoticeState::Delivered { .. }) && !matches!(known.state, NoticeState::Delivered { .. });
        let has_moved = notice.state != known.state;
        let is_newest = index + 1 == self.notices.len();
        debit.notices[index] = notice;
        // An older notice that was delivered all the same lets the debit go on as well.
        let is_first_delivered = is_delivered && self.state == DebitState::Requested;
        if !has_moved || self.state.is_terminal() || self.open_attempt().is_some() || !(is_newest || is_first_delivered) {
            return Learned::Moved(debit, EventKind::DebitUpdated);
        }
        if !is_delivered {
            // A notice that failed is sent anew, as long as there is time.
            debit.next_step_time = matches!(debit.notices[index].state, NoticeState::Failed(_)).then(|| self.notice_again(at));
            return Learned::Moved(debit, EventKind::DebitUpdated);
        }
        match next {
            Next::At { permitted, step } if self.state != DebitState::Executing => {
                let event = debit.wait_for_execution(permitted, step);
                let event = if debit.state == self.state { EventKind::DebitUpdated } else { event };
                Learned::Moved(debit, event)
            }
            Next::At { permitted, step } => {
                let step = debit.order.auto_execute.then_some(step);
                (debit.next_permitted_time, debit.next_step_time) = (Some(permitted), step);
                Learned::Moved(debit, EventKind::DebitUpdated)
            }
            Next::Wait { until } => {
                // The payer knows, whenever it may be executed.
                let event = if is_first_delivered { debit.wait_for_execution(until, until) } else { EventKind::DebitUpdated };
                (debit.next_permitted_time, debit.next_step_time) = (None, Some(until));
                Learned::Moved(debit, event)
            }
            Next::WindowMissed | Next::AttemptsExhausted => debit.out_of_time(next),
        }
    }

    /// A notice was refused, not sent, or is not there. The first decides about the debit; of a later one another is sent.
    fn lose_notice(&self, our_ref: &str, fact: &DebitFact, at: Timestamp) -> DebitLearned {
        let Some(index) = self.notices.iter().position(|notice| notice.our_ref == our_ref) else { return Learned::AlreadyKnown };
        if self.notices[index].state != NoticeState::Asked {
            return Learned::AlreadyKnown;
        }
        let failure = match fact {
            DebitFact::NoticeRefused { code, message, .. } => Failure {
                provider_code: code.clone(),
                provider_message: message.clone(),
                ..Failure::ours(FailureReason::ProviderRefused, "the provider refused the notice to the payer")
            },
            DebitFact::NoticeNotSent { message, .. } => Failure::ours(FailureReason::NotSent, message),
            _ => Failure::ours(FailureReason::AbsentAtProvider, "the answer to the notice was lost, and the provider does not have it"),
        };
        let mut debit = Self { header: self.header.next(at), ..self.clone() };
        debit.notices[index].state = NoticeState::Failed(failure.clone());
        if self.state.is_terminal() || self.open_attempt().is_some() {
            return Learned::Moved(debit, EventKind::DebitUpdated);
        }
        // The caller of the first is told of it, and his key is free or answered; nobody waits for the others.
        let came_with_it = index == 0 && self.notices[0].sent == self.header.create_time;
        if came_with_it && failure.reason != FailureReason::AbsentAtProvider {
            debit.state = DebitState::Failed(failure);
            debit.rest();
            return Learned::Moved(debit, EventKind::DebitFailed);
        }
        debit.next_step_time = Some(self.notice_again(at));
        Learned::Moved(debit, EventKind::DebitUpdated)
    }

    /// When another notice follows one that failed: later each time.
    fn notice_again(&self, at: Timestamp) -> Timestamp {
        let times = u32::try_from(self.notices.len().saturating_sub(1)).unwrap_or(u32::MAX).min(NOTICE_PAUSE_DOUBLINGS);
        let pause = SignedDuration::from_secs(NOTICE_PAUSE_S << times);
        at.checked_add(pause).unwrap_or(at)
    }

    /// The provider took the attempt: it is known by these ids from now on.
    fn take_attempt(&self, payment_ref: &Option<String>, order_ref: &Option<String>, at: Timestamp) -> Result<DebitLearned, &'static str> {
        let Some(attempt) = self.attempts.last() else { return Err("an attempt is answered that was never made") };
        let differs = |known: &Option<String>, told: &Option<String>| known.is_some() && told.is_some() && known != told;
        if differs(&attempt.payment_ref, payment_ref) || differs(&attempt.order_ref, order_ref) {
            return Err("the provider has two payments for one attempt");
        }
        let mut taken = attempt.clone();
        taken.payment_ref = attempt.payment_ref.clone().or_else(|| payment_ref.clone());
        taken.order_ref = attempt.order_ref.clone().or_else(|| order_ref.clone());
        taken.answer_lost = false;
        if (&taken.payment_ref, &taken.order_ref) == (&attempt.payment_ref, &attempt.order_ref) {
            return Ok(Learned::AlreadyKnown);
        }
        if !attempt.is_open() {
            return Err("the provider took an attempt that is recorded as not made");
        }
        Ok(self.moved(EventKind::DebitUpdated, at, |next| {
            next.header.provider_ref = next.header.provider_ref.take().or_else(|| taken.order_ref.clone());
            next.newest_attempt(|attempt| *attempt = taken);
        }))
    }

    /// The open attempt ended without a payment.
    fn end_attempt(&self, failed: AttemptFailure, next: Next, evidence: Evidence, at: Timestamp) -> DebitLearned {
        // What is known by the provider's ids ends by what becomes of its payment; of one that never shows a person decides.
        let Some(attempt) = self.open_attempt() else { return Learned::AlreadyKnown };
        let is_a_persons = evidence == Evidence::Operator && attempt.answer_lost && attempt.payment.is_none();
        if attempt.is_answered() && !is_a_persons {
            return Learned::AlreadyKnown;
        }
        let mut debit = Self { header: self.header.next(at), ..self.clone() };
        debit.newest_attempt(|attempt| attempt.failure = Some(failed.clone()));
        debit.newest_attempt(|attempt| attempt.end = Some(at));
        // An earlier attempt may have come to something meanwhile.
        if self.state.is_terminal() {
            return Learned::Moved(debit, EventKind::DebitUpdated);
        }
        debit.after_failure(failed, next)
    }

    /// What follows the failure of the newest attempt.
    fn after_failure(mut self, failed: AttemptFailure, next: Next) -> DebitLearned {
        if failed.meaning == FailureMeaning::GiveUp {
            self.state = DebitState::Failed(failed.failure);
            self.rest();
            return Learned::Moved(self, EventKind::DebitFailed);
        }
        match next {
            Next::At { permitted, step } => {
                let step = self.order.auto_execute.then_some(step);
                (self.next_permitted_time, self.next_step_time) = (Some(permitted), step);
                Learned::Moved(self, EventKind::DebitUpdated)
            }
            Next::Wait { until } => {
                (self.next_permitted_time, self.next_step_time) = (None, Some(until));
                Learned::Moved(self, EventKind::DebitUpdated)
            }
            Next::WindowMissed | Next::AttemptsExhausted => self.out_of_time(next),
        }
    }

    /// The payment of one of its attempts moved.
    fn learn_payment(
        &self,
        (payment, payment_ref): (&Id, &str),
        to: &PaymentState,
        (failed, next): (Option<&AttemptFailure>, Next),
        evidence: Evidence,
        at: Timestamp,
    ) -> Result<DebitLearned, Contradiction> {
        let contradicts = |message: &str| {
            let fact = "payment_moved".to_owned();
            Contradiction { fact, evidence, message: message.to_owned(), time: at }
        };
        let known = self.attempts.iter().position(|attempt| attempt.payment.as_ref() == Some(payment));
        let named = || self.attempts.iter().position(|attempt| attempt.payment_ref.as_deref() == Some(payment_ref));
        // The answer to the open attempt may still be on its way.
        let awaited = || self.attempts.iter().position(|attempt| attempt.is_open() && attempt.payment_ref.is_none());
        // What was recorded as refused or not there may have made it all the same.
        let lost = || self.attempts.iter().rposition(|attempt| attempt.payment_ref.is_none());
        let Some(index) = known.or_else(named).or_else(awaited).or_else(lost) else {
            return Err(contradicts("the provider shows a payment of it that no attempt of ours made"));
        };
        let mut debit = Self { header: self.header.next(at), ..self.clone() };
        let was_open = self.attempts[index].is_open();
        let is_first_seen = self.attempts[index].payment.is_none();
        let is_newest = index + 1 == self.attempts.len();
        if self.attempts[index].was_not_sent() {
            debit.keep(contradicts("the provider shows a payment of an attempt that is recorded as not sent"));
        }
        let attempt = &mut debit.attempts[index];
        attempt.payment = Some(payment.clone());
        attempt.payment_ref = Some(payment_ref.to_owned());
        attempt.answer_lost = false;
        if is_newest && self.state != DebitState::Succeeded {
            debit.payment = Some(payment.clone());
        }
        match to {
            PaymentState::Succeeded if self.state == DebitState::Succeeded => {
                if self.payment.as_ref() == Some(payment) {
                    return Ok(Learned::AlreadyKnown);
                }
                let contradiction = contradicts("two payments of it were collected");
                if !was_open {
                    return Err(contradiction);
                }
                // Its outcome is known, and nobody waits for it any more.
                debit.end_attempt_at(index, None, at);
                debit.keep(contradiction);
                Ok(Learned::Moved(debit, EventKind::DebitContradicted))
            }
            // What was cancelled stays so; that money came of it all the same is for a person.
            PaymentState::Succeeded if self.state == DebitState::Cancelled => {
                let is_known = self.attempts[index].payment.as_ref() == Some(payment) && self.attempts[index].failure.is_none();
                if is_known {
                    return Ok(Learned::AlreadyKnown);
                }
                debit.end_attempt_at(index, None, at);
                debit.keep(contradicts("a payment of it was collected, and it was cancelled"));
                Ok(Learned::Moved(debit, EventKind::DebitContradicted))
            }
            PaymentState::Succeeded => {
                // Another attempt that is under way stays open: its outcome will show.
                debit.end_attempt_at(index, None, at);
                debit.payment = Some(payment.clone());
                debit.state = DebitState::Succeeded;
                debit.rest();
                Ok(Learned::Moved(debit, EventKind::DebitSucceeded))
            }
            PaymentState::Failed(failure) if was_open || is_first_seen => {
                let failed =
                    failed.cloned().unwrap_or_else(|| AttemptFailure { failure: failure.clone(), meaning: FailureMeaning::MayComeLate });
                debit.end_attempt_at(index, Some(failed.clone()), at);
                if self.state.is_terminal() || !is_newest {
                    return Ok(Learned::Moved(debit, EventKind::DebitUpdated));
                }
                Ok(debit.after_failure(failed, next))
            }
            // What was given back is not taken again by itself.
            PaymentState::Reversed if was_open || is_first_seen => {
                let failure = Failure::ours(FailureReason::ProviderFailed, "the money was given back to the payer");
                let failed = AttemptFailure { failure, meaning: FailureMeaning::GiveUp };
                debit.end_attempt_at(index, Some(failed.clone()), at);
                if self.state.is_terminal() || !is_newest {
                    return Ok(Learned::Moved(debit, EventKind::DebitUpdated));
                }
                Ok(debit.after_failure(failed, next))
            }
            PaymentState::Mismatched => {
                let contradiction = contradicts("another amount was collected than was to be debited");
                if !was_open && !is_first_seen {
                    return Err(contradiction);
                }
                // Money came, and not what was asked for: no other attempt follows, and a person has to look.
                let failure = Failure::ours(FailureReason::ProviderFailed, contradiction.message.clone());
                debit.end_attempt_at(index, Some(AttemptFailure { failure: failure.clone(), meaning: FailureMeaning::GiveUp }), at);
                debit.keep(contradiction);
                if self.state.is_terminal() {
                    return Ok(Learned::Moved(debit, EventKind::DebitContradicted));
                }
                debit.state = DebitState::Failed(failure);
                debit.rest();
                Ok(Learned::Moved(debit, EventKind::DebitFailed))
            }
            // An attempt that failed is under way again: another one would be a second debit.
            PaymentState::Pending | PaymentState::Authorized if !was_open && !self.state.is_terminal() => {
                if !is_newest {
                    return Err(contradicts("an earlier attempt that failed is under way again"));
                }
                let attempt = &mut debit.attempts[index];
                (attempt.end, attempt.failure) = (None, None);
                debit.rest();
                Ok(Learned::Moved(debit, EventKind::DebitUpdated))
            }
            PaymentState::Pending | PaymentState::Authorized | PaymentState::Failed(_) | PaymentState::Reversed => {
                let is_news = debit.attempts != self.attempts || debit.payment != self.payment;
                Ok(if is_news { Learned::Moved(debit, EventKind::DebitUpdated) } else { Learned::AlreadyKnown })
            }
        }
    }

    fn end_attempt_at(&mut self, index: usize, failed: Option<AttemptFailure>, at: Timestamp) {
        let attempt = &mut self.attempts[index];
        (attempt.end, attempt.failure) = (Some(at), failed);
    }

    /// Keeps a contradiction beside what is learned with it, in one revision.
    fn keep(&mut self, contradiction: Contradiction) {
        if let Some(header) = self.header.contradicted(&contradiction) {
            self.header.contradictions = header.contradictions;
        }
    }

    /// The time at which something follows, anew.
    fn rescheduled(&self, next: Next, at: Timestamp) -> DebitLearned {
        let mut debit = Self { header: self.header.next(at), ..self.clone() };
        (debit.next_permitted_time, debit.next_step_time) = match next {
            // By hand nothing is to be done by this service, unless a notice is to be sent.
            Next::At { permitted, step } => (Some(permitted), Some(step).filter(|_| self.order.auto_execute || self.wants_notice())),
            Next::Wait { until } => (None, Some(until)),
            Next::WindowMissed | Next::AttemptsExhausted => return debit.out_of_time(next),
        };
        if (debit.next_permitted_time, debit.next_step_time) == (self.next_permitted_time, self.next_step_time) {
            return Learned::AlreadyKnown;
        }
        Learned::Moved(debit, EventKind::DebitUpdated)
    }

    /// No attempt follows any more.
    fn out_of_time(mut self, next: Next) -> DebitLearned {
        let failure = match next {
            Next::AttemptsExhausted => Failure::ours(FailureReason::AttemptsExhausted, "all attempts that are permitted failed"),
            _ => match self.notice() {
                // Its own word, but for what says that the whole never reached the provider.
                Some(Notice { state: NoticeState::Failed(failure), .. }) if self.attempts.is_empty() => {
                    let not_sent = failure.reason == FailureReason::NotSent;
                    Failure { reason: if not_sent { FailureReason::NotificationFailed } else { failure.reason }, ..failure.clone() }
                }
                _ => Failure::ours(FailureReason::WindowMissed, "no permitted time was left"),
            },
        };
        self.state = DebitState::Failed(failure);
        self.rest();
        Learned::Moved(self, EventKind::DebitFailed)
    }

    /// The payer knows, or need not: it waits for its time, or for somebody to execute it.
    fn wait_for_execution(&mut self, permitted: Timestamp, step: Timestamp) -> EventKind {
        self.next_permitted_time = Some(permitted);
        self.next_step_time = self.order.auto_execute.then_some(step);
        if self.order.auto_execute {
            self.state = DebitState::Scheduled;
            EventKind::DebitScheduled
        } else {
            self.state = DebitState::Notified;
            EventKind::DebitNotified
        }
    }

    fn rest(&mut self) {
        (self.next_permitted_time, self.next_step_time) = (None, None);
    }

    fn newest_attempt(&mut self, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.attempts.last_mut() {
            change(attempt);
        }
    }

    fn failed(&self, failure: Failure, at: Timestamp) -> DebitLearned {
        self.moved(EventKind::DebitFailed, at, |next| {
            next.state = DebitState::Failed(failure);
            next.rest();
        })
    }

    fn moved(&self, event: EventKind, at: Timestamp, change: impl FnOnce(&mut Self)) -> DebitLearned {
        let mut next = Self { header: self.header.next(at), ..self.clone() };
        change(&mut next);
        Learned::Moved(next, event)
    }
}
