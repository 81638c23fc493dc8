//! A payment: one transaction at a provider, recorded when it is first reported, and how it learns.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::fact::{Failure, Learned};
use super::header::Header;
use super::id::Id;
use super::money::Money;
use super::personal::{Email, Phone, Vpa};

mod learn;

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
