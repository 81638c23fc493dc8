//! Who moves the money: one folder a provider, the same file names in each. A provider answers; it keeps nothing,
//! and it knows no store. What a provider can't do is a `None`, never a trait method that always fails.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::account::{AccountName, Capabilities, ProviderId};
use crate::domain::payment::PaymentSnapshot;
use crate::domain::qr::{QrOrder, QrSnapshot};

pub mod http;
pub mod razorpay;
pub mod signature;
pub mod token;

pub use signature::Verified;

/// Why a call that asks a provider to act gave no answer to use. What may be done next hangs on this alone.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The provider said no. Nothing moved; asking again changes nothing.
    #[error("the provider refused: {code}")]
    Refused { code: String, message: String },
    /// It was certainly not acted on (no connection, no credentials, 429). Asking again is safe.
    #[error("the call was not delivered: {0}")]
    NotDelivered(Cause),
    /// It may have been acted on (a timeout, a 5xx, an answer we can't read). Never ask again: look it up.
    #[error("the outcome of the call is not known: {0}")]
    InDoubt(Cause),
}

/// Why a question that changes nothing gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The provider says that it has no such thing.
    #[error("the provider does not have it")]
    Absent,
    /// No answer, or none that we can read. Ask again later.
    #[error("the provider gave no answer: {0}")]
    Unanswered(Cause),
}

/// What went wrong, for logs: never a body, a credential or personal data.
#[derive(Clone, Debug)]
pub struct Cause(pub String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something in a request that the provider would refuse, found before anything was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the API's request, such as `amount` or `notes["bill"]`.
    pub field: String,
    pub description: String,
}

/// What a callback says about one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    Qr(QrSnapshot),
    Payment { snapshot: PaymentSnapshot, origin: PaymentOrigin },
}

/// What a payment was made for, as far as a callback tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentOrigin {
    /// To this code: the provider's id of it, and the reference that we sent with it, where told.
    Qr { provider_ref: Option<String>, our_ref: Option<String> },
    /// The callback doesn't say: ask the provider which code it came through.
    Untold,
    /// Plainly something else: another product of the same account.
    Elsewhere,
}

/// What a verified callback came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    /// When it happened, and what is told.
    Facts { event: String, occur_time: Timestamp, observations: Vec<Observation> },
    /// Understood, and plainly about other business of the same account.
    Foreign { event: String },
}

/// A verified callback that we can't read.
#[derive(Debug, thiserror::Error)]
#[error("the callback is not understood: {0}")]
pub struct NotUnderstood(pub String);

/// A callback whose signature is missing or wrong.
#[derive(Debug, thiserror::Error)]
#[error("the callback's signature is missing or wrong")]
pub struct BadSignature;

/// The payments of a code, as the provider lists them.
#[derive(Debug, Default)]
pub struct Listed {
    pub readable: Vec<PaymentSnapshot>,
    /// Why each of the others can't be read. What they are is not known: money may have come by them.
    pub unreadable: Vec<Cause>,
}

/// QR codes at a provider.
#[async_trait]
pub trait QrCodes: Send + Sync {
    /// All that the provider would refuse about `order` at `now`, or that it can't do.
    fn violations(&self, order: &QrOrder, now: Timestamp) -> Vec<Violation>;

    /// Asks the provider to make a code that carries `our_ref`. Waits at most `timeout`.
    async fn create(&self, order: &QrOrder, our_ref: &str, timeout: Duration) -> Result<QrSnapshot, CallError>;

    /// Asks the provider to close a code. Waits at most `timeout`.
    async fn close(&self, provider_ref: &str, timeout: Duration) -> Result<QrSnapshot, CallError>;

    async fn fetch(&self, provider_ref: &str) -> Result<QrSnapshot, AskError>;

    /// Searches for the code that carries `our_ref`, asked for at about `asked`. The provider's lists may lag:
    /// that it is not found proves nothing yet.
    async fn look_up(&self, our_ref: &str, asked: Timestamp) -> Result<Option<QrSnapshot>, AskError>;

    /// All payments of a code since `since`, whatever their status. One that can't be read hides none of the others.
    async fn payments(&self, provider_ref: &str, since: Timestamp) -> Result<Listed, AskError>;

    /// The code that a payment came through; `None`: through none.
    async fn of_payment(&self, payment_ref: &str) -> Result<Option<QrSnapshot>, AskError>;
}

/// Payments at a provider.
#[async_trait]
pub trait Payments: Send + Sync {
    async fn fetch(&self, provider_ref: &str) -> Result<PaymentSnapshot, AskError>;
}

/// A provider's callbacks.
pub trait Webhooks: Send + Sync {
    /// Checks that the provider sent exactly these bytes.
    fn verify(&self, headers: &HeaderMap, body: Bytes) -> Result<Verified, BadSignature>;

    /// What a verified callback tells.
    fn read(&self, callback: &Verified) -> Result<Callback, NotUnderstood>;
}

/// One account at one provider, ready to be called.
#[derive(Clone)]
pub struct Provider {
    pub id: ProviderId,
    pub account: AccountName,
    pub capabilities: Capabilities,
    /// The longest that one call may take.
    pub call_timeout: Duration,
    /// A mutation with less time left than this is refused before anything is written.
    pub deadline_floor: Duration,
    /// For how long after its first report the provider may still change its mind about a failed payment.
    pub late_window: Duration,
    pub qr: Option<Arc<dyn QrCodes>>,
    pub payments: Option<Arc<dyn Payments>>,
    /// Not optional: every provider's callbacks have a way to be verified, if only by asking it.
    pub webhooks: Arc<dyn Webhooks>,
}
