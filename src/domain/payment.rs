//! A payment: one transaction at a provider, recorded when it is first reported, and how it learns.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::fact::{Failure, Learned};
use super::header::Header;
use super::id::Id;
use super::money::Money;
use super::personal::{Email, Phone, Vpa};
use super::refund::{Refund, RefundState, Settled};

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
    /// The debit that it was collected by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debit: Option<Id>,
    /// The mandate of that debit, or that it registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<Id>,
    /// What was asked for; `None`: the payer chose.
    pub expected: Option<Money>,
    /// What the payer paid.
    pub amount: Money,
    /// The provider's fee, tax included, once known.
    pub fee: Option<Money>,
    /// The tax within the fee.
    pub tax: Option<Money>,
    /// What the provider said that was refunded of it, those that it is still at work on included.
    pub refunded: Money,
    /// What is known of its refunds, one by one.
    #[serde(default, skip_serializing_if = "RefundTotals::is_none")]
    pub refunds: RefundTotals,
    /// A sum of the provider's that the list of its refunds has explained: it counts some that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded_explained: Option<Money>,
    /// The line of a settlement that it was paid out by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
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

/// What a payment came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Through {
    Qr(Id),
    Debit {
        debit: Id,
        mandate: Id,
    },
    /// The registration of a mandate.
    Mandate(Id),
}

/// The sums of a payment's refunds, or what one refund adds to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundTotals {
    /// In REQUESTED and PENDING.
    pub pending: Money,
    /// In SUCCEEDED.
    pub succeeded: Money,
    /// How many of them are contradicted.
    #[serde(default)]
    pub contradicted: u32,
}

impl RefundTotals {
    /// What `refund` adds to its payment's sums.
    pub fn of(refund: &Refund) -> Self {
        let (pending, succeeded) = match refund.state {
            RefundState::Requested | RefundState::Pending => (refund.amount, Money::ZERO),
            RefundState::Succeeded => (Money::ZERO, refund.amount),
            RefundState::Failed(_) => (Money::ZERO, Money::ZERO),
        };
        Self { pending, succeeded, contradicted: u32::from(!refund.header.contradictions.is_empty()) }
    }

    /// Both sums together; `None` where they can't be counted.
    pub fn sum(&self) -> Option<Money> {
        self.pending.checked_add(self.succeeded)
    }

    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// These sums with one refund's share replaced; `None` where that can't be counted.
    fn replacing(&self, before: &Self, after: &Self) -> Option<Self> {
        let sum =
            |total: Money, before: Money, after: Money| total.checked_sub(before)?.checked_add(after).filter(|sum| !sum.is_negative());
        Some(Self {
            pending: sum(self.pending, before.pending, after.pending)?,
            succeeded: sum(self.succeeded, before.succeeded, after.succeeded)?,
            contradicted: self.contradicted.checked_sub(before.contradicted)?.checked_add(after.contradicted)?,
        })
    }
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
    /// One of its refunds moved: what it adds to the sums, before and after.
    RefundMoved {
        before: RefundTotals,
        after: RefundTotals,
    },
    /// The provider shows a refund of it, and not how much.
    RefundedUnknown,
    /// Its refunds at the provider were listed because it had shown this sum, and are known one by one; so much of them
    /// failed.
    RefundsListed {
        shown: Money,
        failed: Money,
    },
    /// A settlement has it; `None`: none has it any more.
    Settled(Option<Settled>),
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
            PaymentFact::RefundMoved { .. } => "refund_moved",
            PaymentFact::RefundedUnknown => "refunded_unknown",
            PaymentFact::RefundsListed { .. } => "refunds_listed",
            PaymentFact::Settled(Some(_)) => "settled",
            PaymentFact::Settled(None) => "not_settled",
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
