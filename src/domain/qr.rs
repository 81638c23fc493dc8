//! A QR code: what was asked for, what the provider made of it, and how it learns.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::fact::{ChangeFailure, Failure, Learned, PendingChange};
use super::header::Header;
use super::id::Id;
use super::money::Money;
use super::personal::{Email, PersonName, Phone};

mod learn;

/// How often a code can be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Usage {
    SingleUse,
    MultipleUse,
}

/// What the caller asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QrOrder {
    pub usage: Usage,
    /// `None`: the payer chooses.
    pub amount: Option<Money>,
    pub name: String,
    pub description: String,
    /// When the caller wants it to close; the provider may decide otherwise.
    pub expire_time: Option<Timestamp>,
    /// Sent to the provider and shown in its dashboard.
    pub notes: BTreeMap<String, String>,
    /// Whom the code is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
}

/// Whom a code is made for. Personal data: shown only with sight of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The provider's id of the customer.
    pub provider_ref: Option<String>,
    pub name: Option<PersonName>,
    pub phone: Option<Phone>,
    pub email: Option<Email>,
}

/// What the provider made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QrCode {
    /// The `upi://` text; empty where the provider gives only an image.
    pub upi_link: String,
    pub image_url: String,
    /// When the provider will close it, in its own words; they hold, not what was asked for.
    pub expire_time: Option<Timestamp>,
    /// The provider's id of the one attempt to pay that this code stands for, where codes have such a thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_ref: Option<String>,
    /// The provider's picture in base64 as it came, kept only where there is no `upi_link`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

impl QrCode {
    /// This code with what is told of it later. What is not told stays: not every answer repeats everything.
    fn completed(&self, told: &QrCode) -> QrCode {
        let text = |known: &String, told: &String| if told.is_empty() { known.clone() } else { told.clone() };
        QrCode {
            upi_link: text(&self.upi_link, &told.upi_link),
            image_url: text(&self.image_url, &told.image_url),
            expire_time: told.expire_time.or(self.expire_time),
            attempt_ref: self.attempt_ref.clone().or_else(|| told.attempt_ref.clone()),
            picture: self.picture.clone().or_else(|| told.picture.clone()),
        }
    }
}

/// Why a code is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseReason {
    Cancelled,
    Paid,
    Expired,
}

/// Where a code stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QrState {
    /// Asked for; what the provider did is not known yet.
    Requested,
    Active,
    /// The reason is `None` where the provider gave one that we don't know.
    Closed {
        reason: Option<CloseReason>,
        at: Timestamp,
    },
    Failed(Failure),
}

/// A QR code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qr {
    pub header: Header,
    pub state: QrState,
    pub order: QrOrder,
    pub code: Option<QrCode>,
    pub pending_change: Option<PendingChange>,
    /// How the last change that did not happen ended.
    pub change_failure: Option<ChangeFailure>,
    /// The sum of its payments that succeeded or came with another amount, and their number.
    pub received: Money,
    pub payment_count: u64,
    /// The record that stands for what our request came to, where that is another one.
    pub duplicate_of: Option<Id>,
    /// The answer to the creation was lost and nobody can be asked: the provider may hold a code that nobody can see.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stray: bool,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A code as the provider shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QrSnapshot {
    pub provider_ref: String,
    /// The reference that we sent, if it carries one.
    pub our_ref: Option<String>,
    pub amount: Option<Money>,
    pub code: QrCode,
    pub status: QrStatus,
}

/// The provider's word on whether a code can be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QrStatus {
    Active,
    Closed { reason: Option<CloseReason>, at: Option<Timestamp> },
}

/// What can be learned about a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QrFact {
    /// The provider showed it.
    Seen(QrSnapshot),
    /// The provider has it under this id; what a payer scans is still to be fetched.
    Registered { provider_ref: String },
    /// The answer to the creation was lost, and the provider lets nobody look.
    AnswerLost,
    /// An operator decided that the provider made it, under this id; the provider lets nobody look.
    Adopted { provider_ref: String },
    /// Its announced end is over, at a provider that lets nobody look.
    Expired,
    /// The provider shows it as paid, and not by which payment.
    PaymentMissing,
    /// The provider said no to the creation.
    Refused { code: String, message: String },
    /// The creation certainly never reached the provider.
    NotSent { message: String },
    /// The provider was searched long enough (or an operator decided): it does not exist there.
    Absent,
    /// What the provider answered with is this other record.
    Duplicate { of: Id },
    /// A caller asked to close it.
    CloseAsked { claim: String },
    /// The provider said no to the close.
    CloseRefused { code: String, message: String },
    /// The close did not happen: the provider still shows the code as active after every wait, or an operator said so.
    CloseNotMade,
    /// The close certainly never reached the provider.
    CloseNotSent,
    /// A payment on it succeeded, or came with another amount. `closes`: that is its end, at a provider that lets nobody
    /// look.
    Received { amount: Money, closes: bool },
    /// A payment on it was taken back.
    TakenBack { amount: Money },
    /// An operator settled its contradictions.
    ContradictionsResolved,
}

impl QrFact {
    /// The fact's name in tables and contradictions.
    pub fn name(&self) -> &'static str {
        match self {
            QrFact::Seen(QrSnapshot { status: QrStatus::Active, .. }) => "seen_active",
            QrFact::Seen(QrSnapshot { status: QrStatus::Closed { .. }, .. }) => "seen_closed",
            QrFact::Registered { .. } => "registered",
            QrFact::AnswerLost => "answer_lost",
            QrFact::Adopted { .. } => "adopted",
            QrFact::Expired => "expired",
            QrFact::PaymentMissing => "payment_missing",
            QrFact::Refused { .. } => "refused",
            QrFact::NotSent { .. } => "not_sent",
            QrFact::Absent => "absent",
            QrFact::Duplicate { .. } => "duplicate",
            QrFact::CloseAsked { .. } => "close_asked",
            QrFact::CloseRefused { .. } => "close_refused",
            QrFact::CloseNotMade => "close_not_made",
            QrFact::CloseNotSent => "close_not_sent",
            QrFact::Received { .. } => "received",
            QrFact::TakenBack { .. } => "taken_back",
            QrFact::ContradictionsResolved => "contradictions_resolved",
        }
    }
}

type QrLearned = Learned<Qr, EventKind>;

impl QrState {
    /// The state's name in tables, lists and filters.
    pub fn name(&self) -> &'static str {
        match self {
            QrState::Requested => "requested",
            QrState::Active => "active",
            QrState::Closed { .. } => "closed",
            QrState::Failed(_) => "failed",
        }
    }
}
