//! How a code learns: the one door, pure. What each fact does to each state stands in `transitions/qr.txt`.

use jiff::Timestamp;

use super::{CloseReason, Qr, QrCode, QrFact, QrLearned, QrOrder, QrSnapshot, QrState, QrStatus};
use crate::domain::event::EventKind;
use crate::domain::fact::{ChangeFailure, ChangeOperation, Contradiction, Evidence, Failure, FailureReason, Learned, PendingChange};
use crate::domain::header::Header;
use crate::domain::money::Money;

impl Qr {
    /// A code that was asked for just now.
    pub fn requested(header: Header, order: QrOrder) -> Self {
        Self {
            header,
            state: QrState::Requested,
            order,
            code: None,
            pending_change: None,
            change_failure: None,
            received: Money::ZERO,
            payment_count: 0,
            duplicate_of: None,
            stray: false,
        }
    }

    /// Whether nobody waits for the provider's word on a request about it.
    pub fn is_decided(&self) -> bool {
        self.state != QrState::Requested && self.pending_change.is_none()
    }

    /// The one door: what this code becomes when `fact`, proved by `evidence`, is learned at `at`.
    pub fn learn(&self, fact: &QrFact, evidence: Evidence, at: Timestamp) -> Result<QrLearned, Contradiction> {
        let contradiction = |message: String| Contradiction { fact: fact.name().to_owned(), evidence, message, time: at };
        let does_not_fit = || contradiction(format!("the fact {} does not fit a code that is {}", fact.name(), self.state.name()));

        match (fact, &self.state) {
            (QrFact::Seen(snapshot), _) => self.see(snapshot, evidence, at),

            (QrFact::Registered { provider_ref } | QrFact::Adopted { provider_ref }, _)
                if self.header.provider_ref.as_ref().is_some_and(|known| known != provider_ref) =>
            {
                Err(contradiction("the provider has two codes for one request of ours".to_owned()))
            }
            (QrFact::Registered { .. }, QrState::Requested) if self.header.provider_ref.is_some() => Ok(Learned::AlreadyKnown),
            (QrFact::Registered { provider_ref }, QrState::Requested) => Ok(self.moved(EventKind::QrUpdated, at, |next| {
                next.header.provider_ref = Some(provider_ref.clone());
                next.stray = false;
            })),
            (QrFact::Registered { .. }, QrState::Active | QrState::Closed { .. }) => Ok(Learned::AlreadyKnown),
            (QrFact::Registered { .. }, QrState::Failed(_)) => {
                Err(contradiction("the provider has a code that is recorded as not made".to_owned()))
            }

            (QrFact::AnswerLost, QrState::Requested) if self.stray => Ok(Learned::AlreadyKnown),
            (QrFact::AnswerLost, QrState::Requested) => Ok(self.moved(EventKind::QrUpdated, at, |next| next.stray = true)),
            (QrFact::AnswerLost, QrState::Active | QrState::Closed { .. } | QrState::Failed(_)) => Ok(Learned::AlreadyKnown),

            (QrFact::Adopted { provider_ref }, QrState::Requested) => Ok(self.moved(EventKind::QrActivated, at, |next| {
                next.header.provider_ref = Some(provider_ref.clone());
                next.code = Some(QrCode::default());
                next.stray = false;
                next.state = QrState::Active;
            })),
            (QrFact::Adopted { .. }, QrState::Active | QrState::Closed { .. }) => Ok(Learned::AlreadyKnown),
            (QrFact::Adopted { .. }, QrState::Failed(_)) => Err(does_not_fit()),

            (QrFact::PaymentMissing, _) => Err(contradiction("the provider shows it as paid, and not by which payment".to_owned())),
            (QrFact::Expired, QrState::Active) => Ok(self.moved(EventKind::QrClosed, at, |next| {
                let end = next.code.as_ref().and_then(|code| code.expire_time).unwrap_or(at);
                next.pending_change = None;
                next.state = QrState::Closed { reason: Some(CloseReason::Expired), at: end };
            })),
            (QrFact::Expired, QrState::Closed { .. }) => Ok(Learned::AlreadyKnown),
            (QrFact::Expired, QrState::Requested | QrState::Failed(_)) => Err(does_not_fit()),

            // Money came: whatever says that the code was not made is wrong.
            (QrFact::Refused { .. } | QrFact::NotSent { .. } | QrFact::Absent, QrState::Requested) if self.payment_count > 0 => {
                Err(contradiction("money came to a code that is said not to be made".to_owned()))
            }

            // An operator may give up a code that was never fetched.
            (QrFact::Refused { .. } | QrFact::NotSent { .. } | QrFact::Absent, QrState::Requested)
                if self.header.provider_ref.is_some() && evidence != Evidence::Operator =>
            {
                Err(contradiction("the provider has the code that is said not to be made".to_owned()))
            }

            (QrFact::Refused { code, message }, QrState::Requested) => Ok(self.failed(
                Failure {
                    reason: FailureReason::ProviderRefused,
                    message: "the provider refused to create the code".to_owned(),
                    provider_code: code.clone(),
                    provider_message: message.clone(),
                },
                at,
            )),
            (QrFact::NotSent { message }, QrState::Requested) => Ok(self.failed(own_failure(FailureReason::NotSent, message.clone()), at)),
            (QrFact::Absent, QrState::Requested) => {
                let (reason, message) = if evidence == Evidence::Operator {
                    (FailureReason::OperatorDecided, "an operator decided that it was not created")
                } else {
                    (FailureReason::AbsentAtProvider, "the answer was lost and the provider does not have it")
                };
                Ok(self.failed(own_failure(reason, message.to_owned()), at))
            }
            (QrFact::Duplicate { of }, QrState::Requested) => {
                let message = format!("the provider answered with what `{of}` stands for");
                let Learned::Moved(mut next, event) = self.failed(own_failure(FailureReason::DuplicateReference, message), at) else {
                    return Ok(Learned::AlreadyKnown);
                };
                next.duplicate_of = Some(of.clone());
                Ok(Learned::Moved(next, event))
            }
            (QrFact::Refused { .. } | QrFact::NotSent { .. } | QrFact::Absent | QrFact::Duplicate { .. }, QrState::Failed(_)) => {
                Ok(Learned::AlreadyKnown)
            }
            (
                QrFact::Refused { .. } | QrFact::NotSent { .. } | QrFact::Absent | QrFact::Duplicate { .. },
                QrState::Active | QrState::Closed { .. },
            ) => Err(does_not_fit()),

            (QrFact::CloseAsked { claim }, QrState::Active) => match &self.pending_change {
                Some(pending) if pending.claim == *claim => Ok(Learned::AlreadyKnown),
                Some(_) => Err(contradiction("another change is pending".to_owned())),
                None => {
                    let pending = PendingChange { operation: ChangeOperation::Close, since: at, claim: claim.clone() };
                    Ok(self.moved(EventKind::QrChangeRequested, at, |next| {
                        next.pending_change = Some(pending);
                        next.change_failure = None;
                    }))
                }
            },
            (QrFact::CloseAsked { .. }, QrState::Requested | QrState::Closed { .. } | QrState::Failed(_)) => Err(does_not_fit()),
            (QrFact::CloseRefused { .. } | QrFact::CloseNotMade | QrFact::CloseNotSent, QrState::Active)
                if self.pending_change.is_some() =>
            {
                let failure = match fact {
                    QrFact::CloseRefused { code, message } => ChangeFailure::Refused { code: code.clone(), message: message.clone() },
                    QrFact::CloseNotSent => ChangeFailure::NotSent,
                    _ => ChangeFailure::NotMade,
                };
                Ok(self.moved(EventKind::QrChangeSettled, at, |next| {
                    next.pending_change = None;
                    next.change_failure = Some(failure);
                }))
            }
            (QrFact::CloseRefused { .. } | QrFact::CloseNotMade | QrFact::CloseNotSent, QrState::Active | QrState::Closed { .. }) => {
                Ok(Learned::AlreadyKnown)
            }
            (QrFact::CloseRefused { .. } | QrFact::CloseNotMade | QrFact::CloseNotSent, QrState::Requested | QrState::Failed(_)) => {
                Err(does_not_fit())
            }

            // Money may come before the answer to our own request, and after the close.
            (QrFact::Received { amount, closes }, QrState::Requested | QrState::Active | QrState::Closed { .. }) => {
                let closes = *closes && self.state == QrState::Active;
                let event = if closes { EventKind::QrClosed } else { EventKind::QrUpdated };
                match self.received.checked_add(*amount) {
                    Some(received) => Ok(self.moved(event, at, |next| {
                        next.received = received;
                        next.payment_count += 1;
                        if closes {
                            next.pending_change = None;
                            next.state = QrState::Closed { reason: Some(CloseReason::Paid), at };
                        }
                    })),
                    None => Err(contradiction("the sum of its payments is beyond every limit".to_owned())),
                }
            }
            (QrFact::Received { .. }, QrState::Failed(_)) => {
                Err(contradiction("money came to a code that is recorded as not made".to_owned()))
            }
            (QrFact::TakenBack { amount }, _) => match self.received.checked_sub(*amount) {
                Some(received) if self.payment_count > 0 => Ok(self.moved(EventKind::QrUpdated, at, |next| {
                    next.received = received;
                    next.payment_count -= 1;
                })),
                _ => Err(contradiction("more was taken back than was received".to_owned())),
            },

            (QrFact::ContradictionsResolved, _) if self.header.contradictions.is_empty() => Ok(Learned::AlreadyKnown),
            (QrFact::ContradictionsResolved, _) => Ok(self.moved(EventKind::QrUpdated, at, |next| next.header.contradictions.clear())),
        }
    }

    /// What the provider's own picture of the code tells.
    fn see(&self, snapshot: &QrSnapshot, evidence: Evidence, at: Timestamp) -> Result<QrLearned, Contradiction> {
        let fact = QrFact::Seen(snapshot.clone());
        let contradiction = |message: &str| Contradiction { fact: fact.name().to_owned(), evidence, message: message.to_owned(), time: at };

        if self.header.provider_ref.as_ref().is_some_and(|known| *known != snapshot.provider_ref) {
            return Err(contradiction("the provider has two codes for one request of ours"));
        }
        if self.order.amount != snapshot.amount {
            return Err(contradiction("the provider's code asks for another amount"));
        }
        match (&self.state, &snapshot.status) {
            (QrState::Failed(_), _) => Err(contradiction("the provider has a code that is recorded as not made")),
            (QrState::Requested, QrStatus::Active) => Ok(self.moved(EventKind::QrActivated, at, |next| {
                next.adopt(snapshot);
                next.state = QrState::Active;
            })),
            (QrState::Requested | QrState::Active, QrStatus::Closed { reason, at: closed_at }) => {
                Ok(self.moved(EventKind::QrClosed, at, |next| {
                    next.adopt(snapshot);
                    next.pending_change = None;
                    next.state = QrState::Closed { reason: *reason, at: closed_at.unwrap_or(at) };
                }))
            }
            (QrState::Closed { reason: None, at: closed_at }, QrStatus::Closed { reason: Some(reason), .. }) => {
                let state = QrState::Closed { reason: Some(*reason), at: *closed_at };
                Ok(self.moved(EventKind::QrUpdated, at, |next| next.state = state))
            }
            (QrState::Active, QrStatus::Active) | (QrState::Closed { .. }, QrStatus::Closed { .. }) => {
                self.enrich(snapshot, contradiction, at)
            }
            // A callback may be a day old, an answer can be overtaken; only a fresh look contradicts.
            (QrState::Closed { .. }, QrStatus::Active) if evidence.is_fresh() => {
                Err(contradiction("the provider shows a closed code as active"))
            }
            (QrState::Closed { .. }, QrStatus::Active) => Ok(Learned::AlreadyKnown),
        }
    }

    /// Details that the provider gives only later.
    fn enrich(
        &self,
        snapshot: &QrSnapshot,
        contradiction: impl Fn(&str) -> Contradiction,
        at: Timestamp,
    ) -> Result<QrLearned, Contradiction> {
        let known = self.code.clone().unwrap_or_default();
        let told = &snapshot.code;
        if !known.upi_link.is_empty() && !told.upi_link.is_empty() && known.upi_link != told.upi_link {
            return Err(contradiction("the provider shows another UPI link for the same code"));
        }
        let better = known.completed(told);
        if better == known {
            return Ok(Learned::AlreadyKnown);
        }
        Ok(self.moved(EventKind::QrUpdated, at, |next| next.code = Some(better)))
    }

    fn adopt(&mut self, snapshot: &QrSnapshot) {
        self.header.provider_ref = Some(snapshot.provider_ref.clone());
        self.code = Some(self.code.as_ref().map_or_else(|| snapshot.code.clone(), |known| known.completed(&snapshot.code)));
        self.stray = false;
    }

    fn failed(&self, failure: Failure, at: Timestamp) -> QrLearned {
        self.moved(EventKind::QrFailed, at, |next| next.state = QrState::Failed(failure))
    }

    fn moved(&self, event: EventKind, at: Timestamp, change: impl FnOnce(&mut Self)) -> QrLearned {
        let mut next = Self { header: self.header.next(at), ..self.clone() };
        change(&mut next);
        Learned::Moved(next, event)
    }
}

fn own_failure(reason: FailureReason, message: String) -> Failure {
    Failure { reason, message, provider_code: String::new(), provider_message: String::new() }
}
