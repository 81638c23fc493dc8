//! How a payment learns: the one door, pure. What each fact does to each state stands in `transitions/payment.txt`.

use jiff::Timestamp;

use super::{
    Credit, Expected, PROVIDER_STATUSES_MAX, Payer, Payment, PaymentFact, PaymentLearned, PaymentSnapshot, PaymentState, PaymentStatus,
    ProviderStatus, RefundTotals, Through,
};
use crate::domain::event::EventKind;
use crate::domain::fact::{Contradiction, Evidence, Failure, FailureReason, Learned};
use crate::domain::header::Header;
use crate::domain::money::Money;

impl Payment {
    /// A payment that is reported for the first time. `header` is its first revision.
    pub fn first_reported(header: Header, through: Through, expected: Expected, snapshot: &PaymentSnapshot) -> (Self, EventKind) {
        let PaymentSnapshot {
            provider_ref: _,
            status,
            amount,
            fee,
            tax,
            refunded,
            rrn,
            upi_transaction_id,
            payer,
            pay_time,
            payee,
            credited,
            provider_status,
        } = snapshot.clone();
        let at = header.create_time;
        let Expected { amount: expected, payee: expected_payee } = expected;
        let (qr, debit, mandate) = match through {
            Through::Qr(qr) => (Some(qr), None, None),
            Through::Debit { debit, mandate } => (None, Some(debit), Some(mandate)),
            Through::Mandate(mandate) => (None, None, Some(mandate)),
        };
        let mut payment = Self {
            header,
            state: PaymentState::Pending,
            qr,
            debit,
            mandate,
            expected,
            amount,
            fee,
            tax,
            refunded: refunded.unwrap_or(Money::ZERO),
            refunds: RefundTotals::default(),
            refunded_explained: None,
            settled: None,
            rrn,
            upi_transaction_id,
            payer,
            pay_time,
            reported: false,
            credit: credit(None, credited, at),
            expected_payee,
            payee,
            provider_statuses: provider_status.map(|word| ProviderStatus { word, at }).into_iter().collect(),
        };
        payment.state = payment.state_for(&status);
        let event = payment.state.event();
        (payment, event)
    }

    /// A payment of which only a callback that nothing proves has told. `header` is its first revision.
    pub fn first_claimed(header: Header, through: Through, expected: Expected, claim: &PaymentSnapshot) -> (Self, EventKind) {
        let claim = PaymentSnapshot { status: PaymentStatus::Pending, credited: None, ..claim.clone() };
        let (payment, event) = Self::first_reported(header, through, expected, &claim);
        (Self { reported: true, ..payment }, event)
    }

    /// The one door: what this payment becomes when `fact`, proved by `evidence`, is learned at `at`.
    pub fn learn(&self, fact: &PaymentFact, evidence: Evidence, at: Timestamp) -> Result<PaymentLearned, Contradiction> {
        match fact {
            PaymentFact::Seen(snapshot) => self.see(snapshot, evidence, at),
            PaymentFact::Claimed(claim) => self.hear(claim, evidence, at),
            PaymentFact::Misplaced => Err(Contradiction {
                fact: fact.name().to_owned(),
                evidence,
                message: "the provider shows it at another code than it was recorded for".to_owned(),
                time: at,
            }),
            PaymentFact::RefundMoved { before, after } => self.count_refund(before, after, evidence, at),
            PaymentFact::RefundedUnknown => Err(Contradiction {
                fact: fact.name().to_owned(),
                evidence,
                message: "the provider shows a refund that is not known here, and not how much it is".to_owned(),
                time: at,
            }),
            PaymentFact::RefundsListed { shown, failed } => Ok(self.explain_refunded(*shown, *failed, at)),
            PaymentFact::Settled(settled) if self.settled == *settled => Ok(Learned::AlreadyKnown),
            PaymentFact::Settled(settled) => {
                let event = if settled.is_some() { EventKind::PaymentSettled } else { EventKind::PaymentUpdated };
                Ok(Learned::Moved(Self { header: self.header.next(at), settled: settled.clone(), ..self.clone() }, event))
            }
            // Who denied it may learn better.
            PaymentFact::Confirmed if self.was_denied() => {
                let mut confirmed = self.clone();
                confirmed.header.contradictions.clear();
                Ok(confirmed.decided(self.state_for(&PaymentStatus::Captured), at))
            }
            PaymentFact::Confirmed | PaymentFact::Denied if !self.is_reported_only() => Ok(Learned::AlreadyKnown),
            PaymentFact::Confirmed => Ok(self.decided(self.state_for(&PaymentStatus::Captured), at)),
            PaymentFact::Denied => {
                let message = "an operator decided that what was reported did not happen".to_owned();
                let (provider_code, provider_message) = (String::new(), String::new());
                let failure = Failure { reason: FailureReason::OperatorDecided, message, provider_code, provider_message };
                Ok(self.decided(PaymentState::Failed(failure), at))
            }
            PaymentFact::ContradictionsResolved if self.header.contradictions.is_empty() => Ok(Learned::AlreadyKnown),
            PaymentFact::ContradictionsResolved => {
                let mut next = Self { header: self.header.next(at), ..self.clone() };
                next.header.contradictions.clear();
                Ok(Learned::Moved(next, EventKind::PaymentUpdated))
            }
        }
    }

    /// Whether the provider's picture says nothing new about state, amount or refunds.
    pub fn agrees_with(&self, snapshot: &PaymentSnapshot) -> bool {
        let shown = self.state_for(&snapshot.status);
        let known = |told| told == self.refunded || Some(told) == self.refunds.sum() || Some(told) == self.refunded_explained;
        let refunded = snapshot.refunded.is_none_or(known);
        shown.name() == self.state.name() && snapshot.amount == self.amount && refunded && !self.reported
    }

    /// What can still be refunded. Both what is known of its refunds and what the provider says of their sum count.
    pub fn refundable(&self) -> Money {
        let known = self.refunds.sum().unwrap_or(self.amount);
        let left = self.amount.checked_sub(known.max(self.refunded)).unwrap_or(Money::ZERO);
        left.max(Money::ZERO)
    }

    /// Whether the provider says that more was refunded than is known one by one.
    pub fn has_unknown_refunds(&self) -> bool {
        self.refunds.sum().is_some_and(|known| self.refunded > known)
    }

    /// What of the provider's sum is beyond the refunds that are known counts some that failed, if those come to as much.
    /// Only for the very sum that they were listed for: lists lag, and a later sum tells of more.
    fn explain_refunded(&self, shown: Money, failed: Money, at: Timestamp) -> PaymentLearned {
        let known = self.refunds.sum().unwrap_or(Money::ZERO);
        let is_explained = shown.checked_sub(known).is_some_and(|beyond| beyond <= failed);
        if !self.has_unknown_refunds() || self.refunded != shown || !is_explained {
            return Learned::AlreadyKnown;
        }
        let header = self.header.next(at);
        let next = Self { header, refunded: known, refunded_explained: Some(shown), ..self.clone() };
        Learned::Moved(next, EventKind::PaymentUpdated)
    }

    /// What was sent back for good: not yet that which is on its way.
    pub fn amount_refunded(&self) -> Money {
        let told = self.refunded.checked_sub(self.refunds.pending).unwrap_or(Money::ZERO);
        self.refunds.succeeded.max(told)
    }

    /// One of its refunds moved. Refunds of more than was paid are counted all the same, and a person has to know.
    fn count_refund(
        &self,
        before: &RefundTotals,
        after: &RefundTotals,
        evidence: Evidence,
        at: Timestamp,
    ) -> Result<PaymentLearned, Contradiction> {
        let contradiction =
            |message: &str| Contradiction { fact: "refund_moved".to_owned(), evidence, message: message.to_owned(), time: at };
        if before == after {
            return Ok(Learned::AlreadyKnown);
        }
        let Some(refunds) = self.refunds.replacing(before, after) else {
            return Err(contradiction("the sums of its refunds can't be counted"));
        };
        let exceeds = |totals: &RefundTotals| totals.sum().is_none_or(|sum| sum > self.amount);
        let next = Self { refunds, ..self.clone() };
        if exceeds(&refunds) && !exceeds(&self.refunds) {
            let too_much = contradiction("its refunds together are more than was paid");
            if let Some(header) = self.header.contradicted(&too_much) {
                return Ok(Learned::Moved(Self { header, ..next }, EventKind::PaymentContradicted));
            }
        }
        Ok(Learned::Moved(Self { header: self.header.next(at), ..next }, EventKind::PaymentUpdated))
    }

    /// Whether nothing but a callback that nobody proves has told of it.
    pub fn is_reported_only(&self) -> bool {
        self.reported && self.state == PaymentState::Pending
    }

    /// Whether an operator decided that it did not happen.
    pub fn was_denied(&self) -> bool {
        matches!(&self.state, PaymentState::Failed(failure) if failure.reason == FailureReason::OperatorDecided)
    }

    fn is_another_transaction(&self, snapshot: &PaymentSnapshot) -> bool {
        matches!((&self.rrn, &snapshot.rrn), (Some(known), Some(told)) if known != told)
    }

    /// An operator's word on what was only reported.
    fn decided(&self, state: PaymentState, at: Timestamp) -> PaymentLearned {
        let event = state.event();
        Learned::Moved(Self { header: self.header.next(at), state, reported: false, ..self.clone() }, event)
    }

    /// What somebody claims who may be anybody: it moves nothing. Where it differs from what is only reported itself, a
    /// person has to know.
    fn hear(&self, claim: &PaymentSnapshot, evidence: Evidence, at: Timestamp) -> Result<PaymentLearned, Contradiction> {
        let contradicts = |message: String| Err(Contradiction { fact: "claimed".to_owned(), evidence, message, time: at });
        let says_success = claim.status == PaymentStatus::Captured;
        match &self.state {
            PaymentState::Failed(failure) if says_success && failure.reason == FailureReason::OperatorDecided => {
                let rrn = claim.rrn.as_deref().unwrap_or("none");
                return contradicts(format!("it is reported after an operator denied it, with the bank reference {rrn}"));
            }
            state if says_success && state.is_collected() && (claim.amount != self.amount || self.is_another_transaction(claim)) => {
                return contradicts(format!("another transaction over {} is reported under the same id", claim.amount.rupees_text()));
            }
            _ => {}
        }
        if self.is_reported_only() && (claim.amount != self.amount || self.is_another_transaction(claim)) {
            let message = format!("it is reported once more, as another transaction over {}", claim.amount.rupees_text());
            return contradicts(message);
        }
        if self.is_reported_only() {
            // A further word on the same transaction, for the person who has to decide.
            return Ok(self.enriched(&PaymentSnapshot { credited: None, ..claim.clone() }, evidence, at));
        }
        Ok(Learned::AlreadyKnown)
    }

    /// Without what was only claimed, for a picture that is proved.
    fn without_claims(&self, snapshot: &PaymentSnapshot) -> Self {
        Self { rrn: None, upi_transaction_id: None, payer: Payer::default(), payee: None, pay_time: snapshot.pay_time, ..self.clone() }
    }

    fn see(&self, snapshot: &PaymentSnapshot, evidence: Evidence, at: Timestamp) -> Result<PaymentLearned, Contradiction> {
        use PaymentState as State;
        use PaymentStatus as Status;
        let fact = snapshot.status.fact_name();
        let contradicts = |message: String| {
            // A callback may be old news: only the provider itself, asked now, can contradict what is recorded.
            if evidence.is_fresh() {
                Err(Contradiction { fact: fact.to_owned(), evidence, message, time: at })
            } else {
                Ok(Learned::AskFirst)
            }
        };

        // What was only reported is worth nothing against what is proved.
        // Nor is the sum of one that was not collected yet certain: what came is told, as a mismatch if it is none of ours.
        let is_open = self.state == State::Pending && snapshot.status == Status::Captured && evidence.is_fresh();
        if snapshot.amount != self.amount && !self.is_reported_only() && !is_open {
            return contradicts("the provider shows another amount for the same payment".to_owned());
        }
        // One id, and two bank transactions: the second one is money that no record stands for.
        if self.state.is_collected() && snapshot.status == Status::Captured && self.is_another_transaction(snapshot) {
            return contradicts("the provider shows another bank reference for the same payment".to_owned());
        }
        match (&self.state, &snapshot.status) {
            (State::Pending, Status::Pending)
            | (State::Authorized, Status::Authorized)
            | (State::Failed(_), Status::Failed { .. } | Status::FailedOrReversed { .. })
            | (State::Succeeded | State::Mismatched, Status::Captured)
            | (State::Reversed, Status::Reversed | Status::FailedOrReversed { .. })
            | (_, Status::Undecided) => Ok(self.enriched(snapshot, evidence, at)),

            (
                State::Pending,
                Status::Authorized | Status::Captured | Status::Failed { .. } | Status::FailedOrReversed { .. } | Status::Reversed,
            )
            | (State::Authorized, Status::Captured | Status::Reversed) => Ok(self.moved(snapshot, at)),

            // Callbacks come out of order: an earlier picture tells nothing new.
            (State::Authorized, Status::Pending)
            | (State::Succeeded | State::Mismatched, Status::Pending | Status::Authorized)
            | (State::Failed(_), Status::Pending)
                if !evidence.is_fresh() =>
            {
                Ok(Learned::AlreadyKnown)
            }

            // The late edges that providers really have: only after a fresh look. A failed payment that was authorized late
            // and not collected is given back; whoever looks after that sees the end alone.
            (State::Failed(_), Status::Authorized | Status::Captured | Status::Reversed)
            | (State::Succeeded | State::Mismatched, Status::Reversed) => {
                if evidence.is_fresh() {
                    Ok(self.moved(snapshot, at))
                } else {
                    Ok(Learned::AskFirst)
                }
            }
            (State::Authorized | State::Succeeded | State::Mismatched, Status::FailedOrReversed { .. }) => {
                if evidence.is_fresh() {
                    Ok(self.moved(&PaymentSnapshot { status: Status::Reversed, ..snapshot.clone() }, at))
                } else {
                    Ok(Learned::AskFirst)
                }
            }

            (
                State::Authorized | State::Failed(_) | State::Succeeded | State::Mismatched | State::Reversed,
                Status::Pending | Status::Authorized | Status::Captured | Status::Failed { .. },
            ) => contradicts(format!("the fact {fact} does not fit a payment that is {}", self.state.name())),
        }
    }

    /// The state that the provider's picture shows, with all its details.
    fn moved(&self, snapshot: &PaymentSnapshot, at: Timestamp) -> PaymentLearned {
        let mut next = if self.is_reported_only() { self.without_claims(snapshot) } else { self.clone() };
        next = next.with_details(snapshot, Evidence::Enquiry, at);
        next.header = self.header.next(at);
        next.amount = snapshot.amount;
        next.state = next.state_for(&snapshot.status);
        next.reported = false;
        let event = next.state.event();
        Learned::Moved(next, event)
    }

    /// The same state, with details that were not known before.
    fn enriched(&self, snapshot: &PaymentSnapshot, evidence: Evidence, at: Timestamp) -> PaymentLearned {
        let mut next = self.with_details(snapshot, evidence, at);
        if next == *self {
            return Learned::AlreadyKnown;
        }
        next.header = self.header.next(at);
        Learned::Moved(next, EventKind::PaymentUpdated)
    }

    fn with_details(&self, snapshot: &PaymentSnapshot, evidence: Evidence, at: Timestamp) -> Self {
        let mut next = self.clone();
        // An old callback knows less than we do; a fresh look knows best.
        let fresh = evidence.is_fresh();
        // Callbacks about a code say that the fee is 0 before it is settled: that is not known yet.
        let newer = |told: &Option<Money>, known: Option<Money>| {
            if fresh || known.is_none_or(|known| known == Money::ZERO) { told.or(known) } else { known }
        };
        next.fee = newer(&snapshot.fee, self.fee);
        next.tax = newer(&snapshot.tax, self.tax);
        // What is known of its refunds one by one says more than their sum: only a sum beyond that is news.
        let known = self.refunds.sum().unwrap_or(Money::ZERO);
        let told = snapshot.refunded.filter(|refunded| Some(*refunded) != self.refunded_explained);
        if let Some(refunded) = told.filter(|refunded| (fresh || *refunded > self.refunded) && (*refunded).max(self.refunded) > known) {
            next.refunded = refunded;
        }
        next.payee = self.payee.clone().or_else(|| snapshot.payee.clone());
        next.credit = credit(self.credit, snapshot.credited, at);
        if let Some(word) =
            snapshot.provider_status.as_ref().filter(|word| self.provider_statuses.last().is_none_or(|last| last.word != **word))
        {
            next.provider_statuses.push(ProviderStatus { word: word.clone(), at });
            let surplus = next.provider_statuses.len().saturating_sub(PROVIDER_STATUSES_MAX);
            next.provider_statuses.drain(..surplus);
        }
        let Payer { vpa, phone, email } = &snapshot.payer;
        next.rrn = self.rrn.clone().or_else(|| snapshot.rrn.clone());
        next.upi_transaction_id = self.upi_transaction_id.clone().or_else(|| snapshot.upi_transaction_id.clone());
        next.payer.vpa = self.payer.vpa.clone().or_else(|| vpa.clone());
        next.payer.phone = self.payer.phone.clone().or_else(|| phone.clone());
        next.payer.email = self.payer.email.clone().or_else(|| email.clone());
        next
    }

    /// Whether the right sum went to the right place, as far as both are told.
    fn is_as_asked(&self) -> bool {
        let amount = self.expected.is_none_or(|expected| expected == self.amount);
        let payee = match (&self.expected_payee, &self.payee) {
            (Some(expected), Some(payee)) => expected == payee,
            _ => true,
        };
        amount && payee
    }

    /// The state that the provider's word on it shows.
    fn state_for(&self, status: &PaymentStatus) -> PaymentState {
        match status {
            PaymentStatus::Pending | PaymentStatus::Undecided => PaymentState::Pending,
            PaymentStatus::Authorized => PaymentState::Authorized,
            PaymentStatus::Captured if !self.is_as_asked() => PaymentState::Mismatched,
            PaymentStatus::Captured => PaymentState::Succeeded,
            PaymentStatus::Failed { code, message } | PaymentStatus::FailedOrReversed { code, message } => PaymentState::Failed(Failure {
                reason: FailureReason::ProviderFailed,
                message: "the provider reports that the payment failed".to_owned(),
                provider_code: code.clone(),
                provider_message: message.clone(),
            }),
            PaymentStatus::Reversed => PaymentState::Reversed,
        }
    }
}

/// How far the credit is when the provider tells `credited`. What was credited once stays so.
fn credit(known: Option<Credit>, credited: Option<bool>, at: Timestamp) -> Option<Credit> {
    match (known, credited) {
        (Some(Credit::Made { .. }), _) | (_, None) => known,
        (_, Some(true)) => Some(Credit::Made { at }),
        (_, Some(false)) => Some(Credit::Awaited),
    }
}
