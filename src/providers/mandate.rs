//! Mandates and their debits at a provider: one trait for each thing that not every provider can do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{AskError, CallError, Sending, Violation};
use crate::domain::debit::{DebitOrder, FailureMeaning, NoticeSnapshot};
use crate::domain::fact::FailureReason;
use crate::domain::mandate::{MandateOrder, MandatePayer, MandateSnapshot, Registration};
use crate::domain::money::Money;
use crate::domain::payment::PaymentSnapshot;

/// A mandate that the provider has, with what is known of it: a question about it may need any of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMandate {
    /// `None`: not known yet.
    pub provider_ref: Option<String>,
    pub registration: Option<Registration>,
    /// The reference that we sent.
    pub our_ref: String,
    pub order: MandateOrder,
}

/// What an answer to the creation of a mandate came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MandateCreated {
    /// The payer is asked, or can be by the link in it.
    Ready(Box<MandateSnapshot>),
    /// The provider has what the payer approves by; [`MandateLinking`] fetches his link.
    Registered(Registration),
}

/// Making mandates.
#[async_trait]
pub trait MandateCreation: Send + Sync {
    /// All that the provider would refuse about `order` at `now`, or that it can't do.
    fn violations(&self, order: &MandateOrder, now: Timestamp) -> Vec<Violation>;

    /// Asks the provider to make a mandate that carries `our_ref`. Waits at most `timeout`.
    async fn create(&self, order: &MandateOrder, our_ref: &str, sending: Sending, timeout: Duration) -> Result<MandateCreated, CallError>;
}

/// Fetching the link by which a payer approves, where that is a step of its own. To fetch it again is harmless: what was
/// fetched before and lost is seen by nobody.
#[async_trait]
pub trait MandateLinking: Send + Sync {
    /// Waits at most `timeout`.
    async fn link(&self, mandate: &KnownMandate, timeout: Duration) -> Result<MandateSnapshot, CallError>;
}

/// Asking how a mandate stands.
#[async_trait]
pub trait MandateEnquiry: Send + Sync {
    /// How a mandate stands that the provider has.
    async fn fetch(&self, mandate: &KnownMandate) -> Result<MandateSnapshot, AskError>;

    /// The mandate that carries our reference, asked for at about `asked`, after its answer was lost. `None`: the provider
    /// does not show it (yet); its lists may lag.
    async fn look_up(&self, order: &MandateOrder, our_ref: &str, asked: Timestamp) -> Result<Option<MandateCreated>, AskError>;
}

/// Revoking mandates.
#[async_trait]
pub trait MandateRevoking: Send + Sync {
    /// Asks the provider to revoke a mandate. Waits at most `timeout`. The answer may say that it is under way.
    async fn revoke(&self, mandate: &KnownMandate, timeout: Duration) -> Result<MandateSnapshot, CallError>;
}

/// A notice to a payer of what will be debited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeOrder {
    pub mandate: KnownMandate,
    pub debit: DebitOrder,
    /// When the debit is to be made, at the earliest.
    pub debit_time: Timestamp,
    /// Of this notice alone.
    pub our_ref: String,
    /// When it was asked for, at about.
    pub asked: Timestamp,
}

/// Notifying payers.
#[async_trait]
pub trait DebitNotices: Send + Sync {
    /// All that the provider would refuse about a debit, or that it can't do.
    fn violations(&self, order: &DebitOrder) -> Vec<Violation>;

    /// Asks the provider to notify the payer. Waits at most `timeout`.
    async fn notify(&self, notice: &NoticeOrder, sending: Sending, timeout: Duration) -> Result<NoticeSnapshot, CallError>;
}

/// Asking what became of a notice.
#[async_trait]
pub trait NoticeEnquiry: Send + Sync {
    /// How a notice stands, by the provider's id of it.
    async fn fetch(&self, provider_ref: &str) -> Result<NoticeSnapshot, AskError>;

    /// The notice that carries our reference, after its answer was lost. `None`: the provider does not show it (yet).
    async fn look_up(&self, notice: &NoticeOrder) -> Result<Option<NoticeSnapshot>, AskError>;
}

/// An attempt to collect a debit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptOrder {
    pub mandate: KnownMandate,
    pub payer: MandatePayer,
    pub amount: Money,
    /// The provider's id of the notice that it follows.
    pub notice_ref: Option<String>,
    /// The debit's reference, the same for all its attempts.
    pub our_ref: String,
    pub debit: DebitOrder,
}

/// What the provider calls an attempt that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptTaken {
    pub payment_ref: Option<String>,
    pub order_ref: Option<String>,
}

/// Collecting debits. Never sent again, whatever the answer.
#[async_trait]
pub trait DebitExecution: Send + Sync {
    /// Asks the provider to collect. Waits at most `timeout`.
    async fn execute(&self, attempt: &AttemptOrder, timeout: Duration) -> Result<AttemptTaken, CallError>;

    /// What the provider's reason for a failed debit says about another attempt, and what it is in our words. A reason that
    /// is on none of its lists may come late.
    fn meaning(&self, code: &str) -> (FailureMeaning, FailureReason);
}

/// Asking which payments an order has: a debit's, or that of a mandate's registration.
#[async_trait]
pub trait OrderPayments: Send + Sync {
    async fn of_order(&self, order_ref: &str) -> Result<Vec<PaymentSnapshot>, AskError>;
}

/// Mandates and their debits at a provider. What it can't do is a `None`.
#[derive(Clone)]
pub struct Mandates {
    pub creation: Arc<dyn MandateCreation>,
    pub linking: Option<Arc<dyn MandateLinking>>,
    pub enquiry: Arc<dyn MandateEnquiry>,
    pub revoking: Option<Arc<dyn MandateRevoking>>,
    pub notices: Arc<dyn DebitNotices>,
    pub notice_enquiry: Option<Arc<dyn NoticeEnquiry>>,
    pub execution: Arc<dyn DebitExecution>,
    pub payments: Arc<dyn OrderPayments>,
    /// Whether an order is known before an attempt is made: then an attempt whose answer was lost is found by it.
    pub order_before_attempt: bool,
}
