//! A payment: one transaction at a provider, recorded when it is first reported, and how it learns.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::fact::{Contradiction, Evidence, Failure, FailureReason, Learned};
use super::header::Header;
use super::id::Id;
use super::money::Money;
use super::personal::{Email, Phone, Vpa};

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentState {
    Pending,
    /// The payer's bank agreed; the money is not collected yet.
    Authorized,
    Succeeded,
    /// Collected, but another amount than was asked for.
    Mismatched,
    Failed(Failure),
    /// Given back by the provider or the bank.
    Reversed,
}

/// Who paid. Personal data: shown only with sight of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payer {
    pub vpa: Option<Vpa>,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub header: Header,
    pub state: PaymentState,
    /// The code that it was paid to.
    pub qr: Option<Id>,
    /// What was asked for; `None`: the payer chose.
    pub expected: Option<Money>,
    /// What the payer paid.
    pub amount: Money,
    /// The provider's fee, tax included, once known.
    pub fee: Option<Money>,
    /// The tax within the fee.
    pub tax: Option<Money>,
    pub refunded: Money,
    /// The bank's reference number, once known.
    pub rrn: Option<String>,
    pub upi_transaction_id: Option<String>,
    pub payer: Payer,
    /// When the payer paid, by the provider's clock.
    pub pay_time: Timestamp,
    /// Only a callback that nothing confirms has said so.
    pub reported: bool,
    /// Where the provider credits a payment some days after it took it: how far that is. `None`: it is not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<Credit>,
    /// Who should have been paid and who was, where both are told. Of a merchant, and no personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_payee: Option<Vpa>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payee: Option<Vpa>,
    /// The provider's own words for where it stood, oldest first, where they say more than our states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provider_statuses: Vec<ProviderStatus>,
}

/// How far the credit of a payment to the merchant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credit {
    Awaited,
    /// Learned at this time.
    Made {
        at: Timestamp,
    },
}

/// What the provider called a payment's status, and when we learned it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    pub word: String,
    pub at: Timestamp,
}

/// The most of the provider's words that are kept: the newest.
const PROVIDER_STATUSES_MAX: usize = 16;

/// A payment as the provider shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentSnapshot {
    pub provider_ref: String,
    pub status: PaymentStatus,
    pub amount: Money,
    pub fee: Option<Money>,
    pub tax: Option<Money>,
    /// `None`: not told.
    pub refunded: Option<Money>,
    pub rrn: Option<String>,
    pub upi_transaction_id: Option<String>,
    pub payer: Payer,
    pub pay_time: Timestamp,
    /// Who was paid, where told.
    pub payee: Option<Vpa>,
    /// Whether the merchant has it; `None`: the provider does not tell that apart.
    pub credited: Option<bool>,
    /// The provider's own word for its status, where it says more than ours.
    pub provider_status: Option<String>,
}

/// What a payment is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// `None`: the payer chooses.
    pub amount: Option<Money>,
    /// `None`: not known.
    pub payee: Option<Vpa>,
}

/// The provider's word on where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentStatus {
    Pending,
    Authorized,
    /// Collected; refunds, full ones too, don't change that.
    Captured,
    Failed {
        code: String,
        message: String,
    },
    /// Given back without having been collected for good.
    Reversed,
    /// The provider has one word for both: it failed, or what was collected was taken back.
    FailedOrReversed {
        code: String,
        message: String,
    },
    /// The provider has not decided, or says something that we don't know: nothing follows for a payment that is known.
    Undecided,
}

impl PaymentStatus {
    /// The fact's name in tables and contradictions.
    pub fn fact_name(&self) -> &'static str {
        match self {
            PaymentStatus::Pending => "seen_pending",
            PaymentStatus::Authorized => "seen_authorized",
            PaymentStatus::Captured => "seen_captured",
            PaymentStatus::Failed { .. } => "seen_failed",
            PaymentStatus::Reversed => "seen_reversed",
            PaymentStatus::FailedOrReversed { .. } => "seen_failed_or_reversed",
            PaymentStatus::Undecided => "seen_undecided",
        }
    }
}

/// What can be learned about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentFact {
    /// The provider showed it.
    Seen(Box<PaymentSnapshot>),
    /// Somebody who knows the URL of the callbacks says so. Changes nothing that is known.
    Claimed(Box<PaymentSnapshot>),
    /// The provider shows it at another code than it was recorded for.
    Misplaced,
    /// An operator decided that what was only reported is true, or is not.
    Confirmed,
    Denied,
    /// An operator settled its contradictions.
    ContradictionsResolved,
}

impl PaymentFact {
    /// The fact's name in tables and contradictions.
    pub fn name(&self) -> &'static str {
        match self {
            PaymentFact::Seen(snapshot) => snapshot.status.fact_name(),
            PaymentFact::Claimed(_) => "claimed",
            PaymentFact::Misplaced => "misplaced",
            PaymentFact::Confirmed => "confirmed",
            PaymentFact::Denied => "denied",
            PaymentFact::ContradictionsResolved => "contradictions_resolved",
        }
    }
}

type PaymentLearned = Learned<Payment, EventKind>;

impl PaymentState {
    /// The state's name in tables, lists and filters.
    pub fn name(&self) -> &'static str {
        match self {
            PaymentState::Pending => "pending",
            PaymentState::Authorized => "authorized",
            PaymentState::Succeeded => "succeeded",
            PaymentState::Mismatched => "mismatched",
            PaymentState::Failed(_) => "failed",
            PaymentState::Reversed => "reversed",
        }
    }

    /// Whether the money is with the merchant.
    pub fn is_collected(&self) -> bool {
        matches!(self, PaymentState::Succeeded | PaymentState::Mismatched)
    }

    fn event(&self) -> EventKind {
        match self {
            PaymentState::Pending => EventKind::PaymentPending,
            PaymentState::Authorized => EventKind::PaymentAuthorized,
            PaymentState::Succeeded => EventKind::PaymentSucceeded,
            PaymentState::Mismatched => EventKind::PaymentMismatched,
            PaymentState::Failed(_) => EventKind::PaymentFailed,
            PaymentState::Reversed => EventKind::PaymentReversed,
        }
    }
}

impl Payment {
    /// A payment that is reported for the first time. `header` is its first revision.
    pub fn first_reported(header: Header, qr: Option<Id>, expected: Expected, snapshot: &PaymentSnapshot) -> (Self, EventKind) {
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
        let mut payment = Self {
            header,
            state: PaymentState::Pending,
            qr,
            expected,
            amount,
            fee,
            tax,
            refunded: refunded.unwrap_or(Money::ZERO),
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
    pub fn first_claimed(header: Header, qr: Option<Id>, expected: Expected, claim: &PaymentSnapshot) -> (Self, EventKind) {
        let claim = PaymentSnapshot { status: PaymentStatus::Pending, credited: None, ..claim.clone() };
        let (payment, event) = Self::first_reported(header, qr, expected, &claim);
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
        let refunded = snapshot.refunded.is_none_or(|refunded| refunded == self.refunded);
        shown.name() == self.state.name() && snapshot.amount == self.amount && refunded && !self.reported
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
        if let Some(refunded) = snapshot.refunded.filter(|refunded| fresh || *refunded > self.refunded) {
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
