//! What subscribers are told of a change: its kind, how we know, and the resource as it then was.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::debit::{Debit, DebitFact};
use super::fact::{Cause, Contradiction, Evidence, Learned};
use super::header::Header;
use super::id::Id;
use super::mandate::{Mandate, MandateFact};
use super::payment::{Payment, PaymentFact, PaymentState};
use super::qr::{Qr, QrCode, QrFact, QrState};
use super::refund::{Refund, RefundFact, RefundState};
use super::settlement::{Settlement, SettlementBreak, SettlementFact, SettlementState};

macro_rules! event_kinds {
    ($($variant:ident => $name:literal,)*) => {
        /// The closed list of what can be told. A stored event names its kind by the text that subscribers see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventKind {
            $(#[serde(rename = $name)] $variant,)*
        }

        impl EventKind {
            pub const ALL: &'static [EventKind] = &[$(EventKind::$variant,)*];

            /// The name that subscribers see and filter by.
            pub fn as_str(self) -> &'static str {
                match self { $(EventKind::$variant => $name,)* }
            }
        }
    };
}

event_kinds! {
    QrRequested => "qr.requested",
    QrActivated => "qr.activated",
    QrChangeRequested => "qr.change_requested",
    QrChangeSettled => "qr.change_settled",
    QrUpdated => "qr.updated",
    QrClosed => "qr.closed",
    QrFailed => "qr.failed",
    QrContradicted => "qr.contradicted",
    PaymentPending => "payment.pending",
    PaymentAuthorized => "payment.authorized",
    PaymentSucceeded => "payment.succeeded",
    PaymentMismatched => "payment.mismatched",
    PaymentFailed => "payment.failed",
    PaymentReversed => "payment.reversed",
    PaymentUpdated => "payment.updated",
    PaymentContradicted => "payment.contradicted",
    PaymentSettled => "payment.settled",
    RefundRequested => "refund.requested",
    RefundPending => "refund.pending",
    RefundSucceeded => "refund.succeeded",
    RefundFailed => "refund.failed",
    RefundUpdated => "refund.updated",
    RefundContradicted => "refund.contradicted",
    MandateRequested => "mandate.requested",
    MandateAwaitingApproval => "mandate.awaiting_approval",
    MandateActivated => "mandate.activated",
    MandatePaused => "mandate.paused",
    MandateResumed => "mandate.resumed",
    MandateRevoked => "mandate.revoked",
    MandateRejected => "mandate.rejected",
    MandateExpired => "mandate.expired",
    MandateCompleted => "mandate.completed",
    MandateFailed => "mandate.failed",
    MandateChangeRequested => "mandate.change_requested",
    MandateChangeSettled => "mandate.change_settled",
    MandateUpdated => "mandate.updated",
    MandateContradicted => "mandate.contradicted",
    DebitRequested => "debit.requested",
    DebitNotified => "debit.notified",
    DebitScheduled => "debit.scheduled",
    DebitExecuting => "debit.executing",
    DebitSucceeded => "debit.succeeded",
    DebitFailed => "debit.failed",
    DebitCancelled => "debit.cancelled",
    DebitUpdated => "debit.updated",
    DebitContradicted => "debit.contradicted",
    SettlementCreated => "settlement.created",
    SettlementProcessed => "settlement.processed",
    SettlementFailed => "settlement.failed",
    SettlementUpdated => "settlement.updated",
    SettlementContradicted => "settlement.contradicted",
    SettlementBreakOpened => "settlement_break.opened",
    SettlementBreakClosed => "settlement_break.closed",
}

/// A resource, as it is stored and as an event shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Qr(Qr),
    Payment(Payment),
    Refund(Refund),
    Mandate(Mandate),
    Debit(Debit),
    Settlement(Settlement),
    SettlementBreak(SettlementBreak),
}

impl Record {
    pub fn header(&self) -> &Header {
        match self {
            Record::Qr(qr) => &qr.header,
            Record::Payment(payment) => &payment.header,
            Record::Refund(refund) => &refund.header,
            Record::Mandate(mandate) => &mandate.header,
            Record::Debit(debit) => &debit.header,
            Record::Settlement(settlement) => &settlement.header,
            Record::SettlementBreak(difference) => &difference.header,
        }
    }

    pub fn header_mut(&mut self) -> &mut Header {
        match self {
            Record::Qr(qr) => &mut qr.header,
            Record::Payment(payment) => &mut payment.header,
            Record::Refund(refund) => &mut refund.header,
            Record::Mandate(mandate) => &mut mandate.header,
            Record::Debit(debit) => &mut debit.header,
            Record::Settlement(settlement) => &mut settlement.header,
            Record::SettlementBreak(difference) => &mut difference.header,
        }
    }

    pub fn id(&self) -> &Id {
        &self.header().id
    }

    /// The state's name, as in tables and filters.
    pub fn state_name(&self) -> &'static str {
        match self {
            Record::Qr(qr) => qr.state.name(),
            Record::Payment(payment) => payment.state.name(),
            Record::Refund(refund) => refund.state.name(),
            Record::Mandate(mandate) => mandate.state.name(),
            Record::Debit(debit) => debit.state.name(),
            Record::Settlement(settlement) => settlement.state.name(),
            Record::SettlementBreak(difference) => difference.state_name(),
        }
    }

    /// Whether its state is an end, from which only the late edges lead on.
    pub fn is_terminal(&self) -> bool {
        match self {
            Record::Qr(qr) => matches!(qr.state, QrState::Closed { .. } | QrState::Failed(_)),
            Record::Payment(payment) => match payment.state {
                PaymentState::Pending | PaymentState::Authorized => false,
                PaymentState::Succeeded | PaymentState::Mismatched | PaymentState::Failed(_) | PaymentState::Reversed => true,
            },
            Record::Refund(refund) => matches!(refund.state, RefundState::Succeeded | RefundState::Failed(_)),
            Record::Mandate(mandate) => mandate.state.is_terminal(),
            Record::Debit(debit) => debit.state.is_terminal(),
            Record::Settlement(settlement) => matches!(settlement.state, SettlementState::Processed | SettlementState::Failed(_)),
            Record::SettlementBreak(difference) => difference.close_time.is_some(),
        }
    }

    /// The same record with one more contradiction; `None` where that is kept already or too many are.
    pub fn contradicted(&self, contradiction: &Contradiction) -> Option<(Record, EventKind)> {
        let header = self.header().contradicted(contradiction)?;
        Some(match self {
            Record::Qr(qr) => (Record::Qr(Qr { header, ..qr.clone() }), EventKind::QrContradicted),
            Record::Payment(payment) => (Record::Payment(Payment { header, ..payment.clone() }), EventKind::PaymentContradicted),
            Record::Refund(refund) => (Record::Refund(Refund { header, ..refund.clone() }), EventKind::RefundContradicted),
            Record::Mandate(mandate) => (Record::Mandate(Mandate { header, ..mandate.clone() }), EventKind::MandateContradicted),
            Record::Debit(debit) => (Record::Debit(Debit { header, ..debit.clone() }), EventKind::DebitContradicted),
            Record::Settlement(settlement) => {
                (Record::Settlement(Settlement { header, ..settlement.clone() }), EventKind::SettlementContradicted)
            }
            // It learns nothing that could contradict it.
            Record::SettlementBreak(_) => return None,
        })
    }
}

impl Record {
    /// The record as an event tells of it: without the provider's picture, which is read from the record itself. `None`: as it
    /// is.
    pub fn for_event(&self) -> Option<Record> {
        let Record::Qr(qr) = self else { return None };
        let code = qr.code.as_ref().filter(|code| code.picture.is_some())?;
        Some(Record::Qr(Qr { code: Some(QrCode { picture: None, ..code.clone() }), ..qr.clone() }))
    }
}

/// What can be learned about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Qr(QrFact),
    Payment(PaymentFact),
    Refund(RefundFact),
    Mandate(MandateFact),
    Debit(DebitFact),
    Settlement(SettlementFact),
}

impl Fact {
    /// Whether it says that a request certainly never reached the provider.
    pub fn is_not_sent(&self) -> bool {
        matches!(
            self,
            Fact::Qr(QrFact::NotSent { .. } | QrFact::CloseNotSent)
                | Fact::Refund(RefundFact::NotSent { .. })
                | Fact::Mandate(MandateFact::NotSent { .. } | MandateFact::RevokeNotSent)
                | Fact::Debit(DebitFact::NoticeNotSent { .. } | DebitFact::AttemptNotSent { .. })
        )
    }

    /// The fact's name in tables and contradictions.
    pub fn name(&self) -> &'static str {
        match self {
            Fact::Qr(fact) => fact.name(),
            Fact::Payment(fact) => fact.name(),
            Fact::Refund(fact) => fact.name(),
            Fact::Mandate(fact) => fact.name(),
            Fact::Debit(fact) => fact.name(),
            Fact::Settlement(fact) => fact.name(),
        }
    }
}

impl Record {
    /// The one door: what this record becomes when `fact`, proved by `evidence`, is learned at `at`.
    pub fn learn(&self, fact: &Fact, evidence: Evidence, at: Timestamp) -> Result<Learned<Record, EventKind>, Contradiction> {
        match (self, fact) {
            (Record::Qr(qr), Fact::Qr(fact)) => Ok(qr.learn(fact, evidence, at)?.map(Record::Qr)),
            (Record::Payment(payment), Fact::Payment(fact)) => Ok(payment.learn(fact, evidence, at)?.map(Record::Payment)),
            (Record::Refund(refund), Fact::Refund(fact)) => Ok(refund.learn(fact, evidence, at)?.map(Record::Refund)),
            (Record::Settlement(settlement), Fact::Settlement(fact)) => Ok(settlement.learn(fact, evidence, at)?.map(Record::Settlement)),
            (Record::Mandate(mandate), Fact::Mandate(fact)) => Ok(mandate.learn(fact, evidence, at)?.map(Record::Mandate)),
            (Record::Debit(debit), Fact::Debit(fact)) => Ok(debit.learn(fact, evidence, at)?.map(Record::Debit)),
            (
                Record::Qr(_)
                | Record::Payment(_)
                | Record::Refund(_)
                | Record::Mandate(_)
                | Record::Debit(_)
                | Record::Settlement(_)
                | Record::SettlementBreak(_),
                Fact::Qr(_) | Fact::Payment(_) | Fact::Refund(_) | Fact::Mandate(_) | Fact::Debit(_) | Fact::Settlement(_),
            ) => Err(Contradiction {
                fact: "another_kind".to_owned(),
                evidence,
                message: "the fact is about another kind of resource".to_owned(),
                time: at,
            }),
        }
    }
}

/// One change of one resource. Its record's `revision` numbers the changes without gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event<R = Record> {
    pub id: Id,
    pub kind: EventKind,
    pub cause: Cause,
    pub evidence: Evidence,
    /// When it happened, as far as we know; the log adds when it was recorded.
    pub occur_time: Timestamp,
    /// The W3C trace context of the work that wrote it, in the trace of what it is about.
    pub traceparent: Option<String>,
    /// Whether this write entered a terminal state.
    pub terminal: bool,
    /// The resource; or, where it is only to be written, its stored form.
    pub record: R,
}
