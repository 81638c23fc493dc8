//! Who moves the money: one folder a provider, the same file names in each. A provider answers; it keeps nothing,
//! and it knows no store. What a provider can't do is a `None`, never a trait method that always fails.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::account::{AccountName, Capabilities, ProviderId};
use crate::domain::debit::NoticeStatus;
use crate::domain::mandate::MandateSnapshot;
use crate::domain::money::Money;
use crate::domain::payment::PaymentSnapshot;
use crate::domain::qr::{QrOrder, QrSnapshot, Usage};
use crate::domain::refund::{RefundOrder, RefundSnapshot};
use crate::domain::settlement::{SettlementLine, SettlementSnapshot};

pub mod breaker;
pub mod bulkhead;
pub mod eko;
pub mod enkash;
pub mod http;
mod indian_mobile;
mod indian_time;
pub mod line;
pub mod mandate;
#[cfg(test)]
mod mutation;
pub mod oqpay;
pub mod razorpay;
mod reading;
mod rupees;
#[cfg(test)]
mod scripted;
pub mod signature;
pub mod token;
mod told;

pub use breaker::BreakerState;
pub use line::Line;
pub use mandate::Mandates;
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    Payment {
        snapshot: PaymentSnapshot,
        origin: PaymentOrigin,
    },
    Refund(RefundSnapshot),
    Mandate(MandateSnapshot),
    /// Of the notice to a payer that was sent with this order.
    Notice {
        order_ref: String,
        status: NoticeStatus,
    },
    Settlement(SettlementSnapshot),
}

/// What a payment was made for, as far as a callback tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentOrigin {
    /// To this code, or by this order: the provider's id of it, and the reference that we sent with it, where told.
    Named { provider_ref: Option<String>, our_ref: Option<String> },
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

/// What a callback that nothing proves came to: ids, no facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HintCallback {
    Hint(Hint),
    /// Plainly about other business of the same account.
    Foreign {
        event: String,
    },
}

/// What a callback that nothing proves gives a reason to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The provider's word for what happened, for people.
    pub event: String,
    /// The code, order or mandate, by the provider's ids of it or by our reference: whose id each is may not be known.
    pub refs: Vec<String>,
    /// The payment, by the provider's id.
    pub payment_ref: Option<String>,
    /// What it says of the payment, told by providers that can't be asked alone: an operator is shown it, and it moves
    /// nothing.
    pub claim: Option<Box<PaymentSnapshot>>,
}

/// A callback that we can't read.
#[derive(Debug, thiserror::Error)]
#[error("the callback is not understood: {0}")]
pub struct NotUnderstood(pub String);

/// A callback that its sender does not prove: a signature is missing or wrong, or the address is none of the provider's.
#[derive(Debug, thiserror::Error)]
#[error("the callback's signature is missing or wrong")]
pub struct BadSignature;

/// Who sent a callback, as far as the connection tells.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub address: IpAddr,
    pub headers: &'a HeaderMap,
}

/// The payments of a code, as the provider lists them.
#[derive(Debug, Default)]
pub struct Listed {
    pub readable: Vec<PaymentSnapshot>,
    /// Why each of the others can't be read. What they are is not known: money may have come by them.
    pub unreadable: Vec<Cause>,
    /// Whether this is as good as asking for each of them: no list that lags.
    pub is_fresh: bool,
}

/// A payment as the provider shows it, and what it was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPayment {
    pub snapshot: PaymentSnapshot,
    pub origin: PaymentOrigin,
}

/// A code that the provider has, with what is known of it: a question about it may need any of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownQr {
    pub provider_ref: String,
    /// The reference that we sent.
    pub our_ref: Option<String>,
    pub usage: Usage,
    pub amount: Option<Money>,
    /// The attempt to pay that the code stands for, where codes have such a thing.
    pub attempt_ref: Option<String>,
}

/// What an answer to a creation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The code as the provider made it.
    Ready(Box<QrSnapshot>),
    /// The provider has it under this id; [`QrDrawing`] fetches what a payer scans.
    Registered { provider_ref: String },
}

/// Whether an earlier send of the same request may have arrived. Then no refusal of this one proves that nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    First,
    Again,
}

/// Making codes.
#[async_trait]
pub trait QrCreation: Send + Sync {
    /// All that the provider would refuse about `order` at `now`, or that it can't do.
    fn violations(&self, order: &QrOrder, now: Timestamp) -> Vec<Violation>;

    /// Asks the provider to make a code that carries `our_ref`. Waits at most `timeout`.
    async fn create(&self, order: &QrOrder, our_ref: &str, sending: Sending, timeout: Duration) -> Result<Created, CallError>;
}

/// Fetching what a payer scans, where that is a step of its own. To fetch it again is harmless: what was fetched before and
/// lost is seen by nobody.
#[async_trait]
pub trait QrDrawing: Send + Sync {
    /// The code as it can be paid now. Waits at most `timeout`.
    async fn draw(&self, code: &KnownQr, timeout: Duration) -> Result<QrSnapshot, CallError>;
}

/// Closing codes.
#[async_trait]
pub trait QrClosing: Send + Sync {
    /// Asks the provider to close a code. Waits at most `timeout`.
    async fn close(&self, code: &KnownQr, timeout: Duration) -> Result<QrSnapshot, CallError>;
}

/// Asking about codes that the provider has.
#[async_trait]
pub trait QrEnquiry: Send + Sync {
    async fn fetch(&self, code: &KnownQr) -> Result<QrSnapshot, AskError>;

    /// All payments of a code since `since`, whatever their status. One that can't be read hides none of the others.
    async fn payments(&self, code: &KnownQr, since: Timestamp) -> Result<Listed, AskError>;
}

/// Searching for a code whose answer was lost.
#[async_trait]
pub trait QrSearch: Send + Sync {
    /// Searches for the code of `order` that carries `our_ref`, asked for at about `asked`. The provider's lists may lag:
    /// that it is not found proves nothing yet.
    async fn look_up(&self, order: &QrOrder, our_ref: &str, asked: Timestamp) -> Result<Option<Created>, AskError>;
}

/// Asking which code a payment came through.
#[async_trait]
pub trait QrOfPayment: Send + Sync {
    /// `None`: through none.
    async fn of_payment(&self, payment_ref: &str) -> Result<Option<QrSnapshot>, AskError>;
}

/// QR codes at a provider. What it can't do is a `None`.
#[derive(Clone)]
pub struct QrCodes {
    pub creation: Arc<dyn QrCreation>,
    pub drawing: Option<Arc<dyn QrDrawing>>,
    pub closing: Option<Arc<dyn QrClosing>>,
    pub enquiry: Option<Arc<dyn QrEnquiry>>,
    pub search: Option<Arc<dyn QrSearch>>,
    pub of_payment: Option<Arc<dyn QrOfPayment>>,
}

/// Payments at a provider.
#[async_trait]
pub trait Payments: Send + Sync {
    /// `code`: the code that it was made for, where that is known.
    async fn fetch(&self, provider_ref: &str, code: Option<&KnownQr>) -> Result<ShownPayment, AskError>;
}

/// A refund that is asked about, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRefund {
    /// `None`: the provider's id of it is not known, or there is none.
    pub provider_ref: Option<String>,
    /// The reference that we sent; `None`: the provider made it.
    pub our_ref: Option<String>,
    /// The provider's id of the payment.
    pub payment_ref: String,
    pub amount: Money,
    /// Of the payment: what was paid, and what was refunded before this refund was asked for.
    pub payment_amount: Money,
    pub refunded_before: Money,
}

/// Making refunds.
#[async_trait]
pub trait RefundCreation: Send + Sync {
    /// All that the provider would refuse about `order`, or that it can't do.
    fn violations(&self, order: &RefundOrder) -> Vec<Violation>;

    /// Asks the provider to refund a payment; the request carries `our_ref`. Waits at most `timeout`.
    async fn create(
        &self,
        payment_ref: &str,
        order: &RefundOrder,
        our_ref: &str,
        sending: Sending,
        timeout: Duration,
    ) -> Result<RefundSnapshot, CallError>;
}

/// Asking how a refund stands.
#[async_trait]
pub trait RefundEnquiry: Send + Sync {
    /// How a refund stands that the provider has.
    async fn fetch(&self, refund: &KnownRefund) -> Result<RefundSnapshot, AskError>;

    /// The refund that carries our reference, after its answer was lost. `None`: the provider does not show it (yet); its
    /// lists may lag.
    async fn look_up(&self, refund: &KnownRefund) -> Result<Option<RefundSnapshot>, AskError>;
}

/// All refunds of a payment, whoever made them.
#[async_trait]
pub trait RefundsOfPayment: Send + Sync {
    async fn of_payment(&self, payment_ref: &str) -> Result<Vec<RefundSnapshot>, AskError>;
}

/// Where refunds have no ids: whether all that was sent back of a payment is known here. Somebody else's would be taken for
/// ours, once ours is asked for.
#[async_trait]
pub trait RefundedSum: Send + Sync {
    /// Whether what the provider shows of the payment is what `refunded` of its `amount` comes to.
    async fn is_known(&self, payment_ref: &str, amount: Money, refunded: Money) -> Result<bool, AskError>;
}

/// Refunds at a provider. What it can't do is a `None`.
#[derive(Clone)]
pub struct Refunds {
    pub creation: Arc<dyn RefundCreation>,
    pub enquiry: Arc<dyn RefundEnquiry>,
    pub of_payment: Option<Arc<dyn RefundsOfPayment>>,
    /// To be asked before a refund is sent.
    pub sum: Option<Arc<dyn RefundedSum>>,
}

/// A page of a list that is read from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOf<T> {
    pub items: Vec<T>,
    /// How many the provider listed on this page, those included that are left out of `items`: the next page begins so many
    /// further on.
    pub read: u64,
    /// Why each of those that can't be read can't. What they are is not known: whoever adds up will miss them.
    pub unreadable: Vec<Cause>,
    /// Whether there may be more after these.
    pub more: bool,
}

impl<T> PageOf<T> {
    /// What a page's items were read as; `None` stands for one that is nothing to us. A page of `full` items may not be the
    /// last. One that can't be read hides none of the others.
    pub fn of<E: fmt::Display>(items: impl ExactSizeIterator<Item = Result<Option<T>, E>>, full: usize) -> Self {
        let count = items.len();
        let mut page = Self { items: Vec::with_capacity(count), read: count as u64, unreadable: Vec::new(), more: count >= full };
        for item in items {
            match item {
                Ok(item) => page.items.extend(item),
                Err(error) => page.unreadable.push(Cause(error.to_string())),
            }
        }
        page
    }

    /// The page of an empty list.
    pub fn nothing() -> Self {
        Self { items: Vec::new(), read: 0, unreadable: Vec::new(), more: false }
    }
}

/// The settlements of an account.
#[async_trait]
pub trait SettlementListing: Send + Sync {
    /// Those made since `from`, after the first `skip` of them.
    async fn settlements(&self, from: Timestamp, skip: u64) -> Result<PageOf<SettlementSnapshot>, AskError>;

    async fn fetch(&self, provider_ref: &str) -> Result<SettlementSnapshot, AskError>;
}

/// The lines of settlements, by the day in India on which they were settled.
#[async_trait]
pub trait SettlementReport: Send + Sync {
    /// The lines of `day` after the first `skip` of them, in an order that stays the same once the day is over.
    async fn lines(&self, day: jiff::civil::Date, skip: u64) -> Result<PageOf<SettlementLine>, AskError>;
}

/// Settlements at a provider. What it can't tell is a `None`.
#[derive(Clone)]
pub struct Settlements {
    pub listing: Arc<dyn SettlementListing>,
    pub report: Option<Arc<dyn SettlementReport>>,
}

/// Callbacks that prove who sent them.
pub trait ProvedCallbacks: Send + Sync {
    /// Checks that the provider sent exactly these bytes.
    fn verify(&self, sender: &Sender<'_>, body: Bytes) -> Result<Verified, BadSignature>;

    /// What a verified callback tells.
    fn read(&self, callback: &Verified) -> Result<Callback, NotUnderstood>;
}

/// Callbacks that nothing proves.
pub trait HintingCallbacks: Send + Sync {
    /// What a callback gives a reason to look at.
    fn hint(&self, body: &[u8]) -> Result<HintCallback, NotUnderstood>;
}

/// A provider's callbacks: proved, or at least hints. Neither: none is taken.
#[derive(Clone)]
pub struct Webhooks {
    pub proved: Option<Arc<dyn ProvedCallbacks>>,
    pub hints: Option<Arc<dyn HintingCallbacks>>,
    /// The body that the provider expects with our 200.
    pub acknowledgement: &'static str,
}

/// One account at one provider, ready to be called.
#[derive(Clone)]
pub struct Provider {
    pub id: ProviderId,
    pub account: AccountName,
    /// What all of its calls go through.
    pub line: Line,
    pub capabilities: Capabilities,
    /// The longest that one call may take.
    pub call_timeout: Duration,
    /// A mutation with less time left than this is refused before anything is written.
    pub deadline_floor: Duration,
    /// For how long after its first report the provider may still change its mind about a payment that came to an end, or
    /// credit one.
    pub late_window: Duration,
    /// Whether codes carry our reference there: then one without it is somebody else's.
    pub carries_our_ref: bool,
    pub qr: Option<QrCodes>,
    pub payments: Option<Arc<dyn Payments>>,
    pub refunds: Option<Refunds>,
    pub mandates: Option<Mandates>,
    pub settlements: Option<Settlements>,
    pub webhooks: Webhooks,
}

/// How many mutated documents each parser of a provider's is shown.
#[cfg(test)]
fn fuzz_cases() -> u32 {
    std::env::var("UPISTREAM_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20_000)
}
