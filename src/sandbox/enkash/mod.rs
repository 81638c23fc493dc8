//! EnKash's payment gateway, as its documentation describes it. Written from the specification alone: it shares no type
//! with the adapter, since a field misread in both would cancel out.
//!
//! Where the sources are silent this simulator decides (beside `switches.rs`):
//! - `GET /api/v0/orders/merchant/{merchantOrderId}` finds the newest order with the merchant's id: the real path is not
//!   known.
//! - Fields that no source names are refused, so that a misspelt one shows.
//! - An attempt that failed may be paid again through the same code, or succeed late; it keeps its id.
//! - An order doesn't expire while an attempt waits for the bank; one that did is still paid by a late success.
//! - What is searched for is answered as a bare list, newest first.
//! - A `multipleUse` code is paid any number of times, another one once; an `expiry` that is an RFC 3339 instant ends it.
//!   Nobody is told of payments on UPI QR codes, since how that is done is not known.
//! - A `requestId` is the merchant's for all his transactions; the answer to a refund holds it and no more.
//! - A refund shows on its transaction when it is done, and is gone from it if the bank sends it back later.
//! - A payment costs two percent and the tax on that; what a payout would not cover waits for a later one, and nothing is
//!   carried forward. A failed payout's content goes into another one.
//! - A mandate is asked of the payer by his address; he is told of nothing else, and his bank makes its number once he
//!   approved. Updating one always fails, since what an update may say is not known. A pause lasts to the mandate's end.
//! - While a mandate is paused nobody revokes it; one whose money is blocked the payer doesn't revoke.
//! - A one-time mandate is completed by its first debit that succeeds, be it blocked or not.
//! - A notice is delivered, or not, as soon as it is asked for. That there is one is looked at by the payer's bank alone, and
//!   only if `switches.mandates.bank_enforces_rules`.
//! - The order that a debit makes has no id of the merchant's and names no mandate, and nobody but the bank can pay it. Why
//!   a debit failed is its `txnMsg` and `orderMessage`.
//! - `redirectionUrl` points back at the sandbox, which has no page there.

mod auth;
mod checkout;
mod clearing;
mod control;
mod desk;
mod failure;
mod input;
mod life;
mod link;
mod mandate;
mod notify;
mod order;
mod payout;
mod picture;
mod print;
mod qr_code;
mod refund;
mod switches;
mod transaction;

use http::Method;
use serde_json::json;

pub use auth::authenticate;
pub use desk::{Books, Desk};
use failure::Failure;
use input::decoded;
pub use mandate::{MandateNaming, MandateNoticeStatus, MandatePeriod, MandateRule, MandateStatus, MandateWords};
pub use switches::{EnkashSwitches, RepeatedMandate, RepeatedOrder};

use super::simulated::{Asked, Reply};

/// What is asked for, by the path and method alone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    TokenCreate,
    OrderCreate,
    OrderFetch(String),
    OrderFind(String),
    OrderQr(String),
    OrderIntent(String),
    QrCreate,
    QrFetch(String),
    QrSearch,
    QrClose(String),
    PaymentFetch(String),
    RefundCreate(String),
    UpiStatus(String),
    PayoutFetch(String),
    PayoutSearch,
    MandateCreate(Paths),
    MandateUpdate,
    MandateRevoke,
    MandateFetch(String),
    MandateNotify(Paths),
    MandateExecute,
}

/// Two sets of paths are known for mandates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    Today,
    Older,
}

impl Operation {
    /// A trailing slash is tolerated.
    fn of(method: &Method, path: &str) -> Option<Self> {
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        let id = |id: &str| decoded(id);
        Some(match (method.as_str(), segments.as_slice()) {
            ("POST", ["api", "v0", "merchant", "token"]) => Self::TokenCreate,
            ("POST", ["api", "v0", "orders"]) => Self::OrderCreate,
            ("GET", ["api", "v0", "orders", order]) => Self::OrderFetch(id(order)?),
            ("GET", ["api", "v0", "orders", "merchant", order]) => Self::OrderFind(id(order)?),
            ("GET", ["pay", "checkout", "qrcode", order]) => Self::OrderQr(id(order)?),
            ("GET", ["pay", "checkout", "upi-detail", order]) => Self::OrderIntent(id(order)?),
            ("POST", ["api", "v0", "qr-code"]) => Self::QrCreate,
            ("GET", ["api", "v0", "qr-code", qr]) => Self::QrFetch(id(qr)?),
            ("POST", ["api", "v0", "qr-code", "search"]) => Self::QrSearch,
            ("PATCH", ["api", "v0", "qr-code", qr, "cancel"]) => Self::QrClose(id(qr)?),
            ("GET", ["api", "v0", "payment", transaction]) => Self::PaymentFetch(id(transaction)?),
            ("POST", ["api", "v0", "payment", transaction, "refund"]) => Self::RefundCreate(id(transaction)?),
            ("GET", ["api", "v0", "settlement-payout", payout]) => Self::PayoutFetch(id(payout)?),
            ("POST", ["api", "v0", "settlement-payout", "search"]) => Self::PayoutSearch,
            ("POST", ["api", "v0", "upi-mandate"]) => Self::MandateCreate(Paths::Today),
            ("PATCH", ["api", "v0", "upi-mandate"]) => Self::MandateUpdate,
            ("PATCH", ["api", "v0", "upi-mandate", "revoke"]) => Self::MandateRevoke,
            ("GET", ["api", "v0", "upi-mandate", reference]) => Self::MandateFetch(id(reference)?),
            ("POST", ["api", "v0", "upi-mandate", "notify"]) => Self::MandateNotify(Paths::Today),
            ("POST", ["api", "v0", "upi-mandate", "execute"]) => Self::MandateExecute,
            ("POST", ["api", "v0", "upi-autopay", "mandates"]) => Self::MandateCreate(Paths::Older),
            ("POST", ["api", "v0", "upi-autopay", "mandates", "pre-debit-notification"]) => Self::MandateNotify(Paths::Older),
            ("POST", ["api", "v0", "upi-autopay", "mandates", "debit"]) => Self::MandateExecute,
            ("GET", ["pay", "checkout", "status", "upi", transaction]) => Self::UpiStatus(id(transaction)?),
            _ => return None,
        })
    }

    /// The name that faults and the request log know it by.
    fn name(&self) -> &'static str {
        match self {
            Self::TokenCreate => "token.create",
            Self::OrderCreate => "order.create",
            Self::OrderFetch(_) => "order.fetch",
            Self::OrderFind(_) => "order.find",
            Self::OrderQr(_) => "order.qr",
            Self::OrderIntent(_) => "order.intent",
            Self::QrCreate => "qr.create",
            Self::QrFetch(_) => "qr.fetch",
            Self::QrSearch => "qr.search",
            Self::QrClose(_) => "qr.close",
            Self::PaymentFetch(_) => "payment.fetch",
            Self::RefundCreate(_) => "refund.create",
            Self::PayoutFetch(_) => "settlement.fetch",
            Self::PayoutSearch => "settlement.search",
            Self::UpiStatus(_) => "upi.status",
            Self::MandateCreate(_) => "mandate.create",
            Self::MandateUpdate => "mandate.update",
            Self::MandateRevoke => "mandate.revoke",
            Self::MandateFetch(_) => "mandate.fetch",
            Self::MandateNotify(_) => "mandate.notify",
            Self::MandateExecute => "mandate.execute",
        }
    }
}

/// The name of what a path asks for.
pub fn operation(method: &Method, path: &str) -> Option<&'static str> {
    Operation::of(method, path).map(|operation| operation.name())
}

/// The error that goes with a status which a test asked for.
pub fn invent(status: u16) -> Reply {
    Reply::of(status, json!({ "response_code": status, "response_message": "Failed" }).to_string())
}

/// Does what is asked for, and says what is answered with 200.
fn act(desk: &mut Desk<'_>, asked: &Asked) -> Result<String, Failure> {
    match &Operation::of(&asked.method, &asked.path).ok_or(Failure::NotServed)? {
        Operation::TokenCreate => Ok(desk.create_token()),
        Operation::OrderCreate => desk.create_order(&asked.body),
        Operation::OrderFetch(id) => desk.fetch_order(id),
        Operation::OrderFind(merchant_order_id) => desk.find_order(merchant_order_id),
        Operation::OrderQr(id) => desk.show_qr(id),
        Operation::OrderIntent(id) => desk.show_intent_links(id),
        Operation::QrCreate => desk.create_qr_code(&asked.body),
        Operation::QrFetch(id) => desk.fetch_qr_code(id),
        Operation::QrSearch => desk.search_qr_codes(asked),
        Operation::QrClose(id) => desk.cancel_qr_code(id, &asked.body),
        Operation::PaymentFetch(id) => desk.fetch_transaction(id),
        Operation::RefundCreate(id) => desk.create_refund(id, &asked.body),
        Operation::PayoutFetch(id) => desk.fetch_payout(id),
        Operation::PayoutSearch => desk.search_payouts(asked),
        Operation::UpiStatus(id) => desk.show_upi_status(id),
        Operation::MandateCreate(paths) => desk.create_mandate(&asked.body, *paths),
        Operation::MandateUpdate => desk.update_mandate(),
        Operation::MandateRevoke => desk.revoke_mandate(&asked.body),
        Operation::MandateFetch(reference) => desk.fetch_mandate(reference),
        Operation::MandateNotify(paths) => desk.notify_payer(&asked.body, *paths),
        Operation::MandateExecute => desk.execute_mandate(&asked.body),
    }
}
