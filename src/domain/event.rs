//! What subscribers are told of a change: its kind, how we know, and the resource as it then was.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fact::{Cause, Contradiction, Evidence, Learned};
use super::header::Header;
use super::id::Id;
use super::payment::{Payment, PaymentFact, PaymentState};
use super::qr::{Qr, QrFact, QrState};

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
}

/// A resource, as it is stored and as an event shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Qr(Qr),
    Payment(Payment),
}

impl Record {
    pub fn header(&self) -> &Header {
        match self {
            Record::Qr(qr) => &qr.header,
            Record::Payment(payment) => &payment.header,
        }
    }

    pub fn header_mut(&mut self) -> &mut Header {
        match self {
            Record::Qr(qr) => &mut qr.header,
            Record::Payment(payment) => &mut payment.header,
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
        }
    }

    /// The same record with one more contradiction; `None` where that is kept already or too many are.
    pub fn contradicted(&self, contradiction: &Contradiction) -> Option<(Record, EventKind)> {
        let header = self.header().contradicted(contradiction)?;
        Some(match self {
            Record::Qr(qr) => (Record::Qr(Qr { header, ..qr.clone() }), EventKind::QrContradicted),
            Record::Payment(payment) => (Record::Payment(Payment { header, ..payment.clone() }), EventKind::PaymentContradicted),
        })
    }
}

impl Record {
    /// The record as an event tells of it: without the provider's picture, which is read from the record itself.
    pub fn for_event(&self) -> Record {
        let mut record = self.clone();
        if let Record::Qr(Qr { code: Some(code), .. }) = &mut record {
            code.picture = None;
        }
        record
    }
}

/// What can be learned about a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Qr(QrFact),
    Payment(PaymentFact),
}

impl Fact {
    /// The fact's name in tables and contradictions.
    pub fn name(&self) -> &'static str {
        match self {
            Fact::Qr(fact) => fact.name(),
            Fact::Payment(fact) => fact.name(),
        }
    }
}

impl Record {
    /// The one door: what this record becomes when `fact`, proved by `evidence`, is learned at `at`.
    pub fn learn(&self, fact: &Fact, evidence: Evidence, at: Timestamp) -> Result<Learned<Record, EventKind>, Contradiction> {
        match (self, fact) {
            (Record::Qr(qr), Fact::Qr(fact)) => Ok(qr.learn(fact, evidence, at)?.map(Record::Qr)),
            (Record::Payment(payment), Fact::Payment(fact)) => Ok(payment.learn(fact, evidence, at)?.map(Record::Payment)),
            (Record::Qr(_), Fact::Payment(_)) | (Record::Payment(_), Fact::Qr(_)) => Err(Contradiction {
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
pub struct Event {
    pub id: Id,
    pub kind: EventKind,
    pub cause: Cause,
    pub evidence: Evidence,
    /// When it happened, as far as we know; the log adds when it was recorded.
    pub occur_time: Timestamp,
    /// The W3C trace context of the request or callback behind it.
    pub traceparent: Option<String>,
    /// Whether this write entered a terminal state.
    pub terminal: bool,
    pub record: Record,
}
