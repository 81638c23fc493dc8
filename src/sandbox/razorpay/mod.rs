//! Razorpay, as its documentation describes it. Written from the specification alone: it shares no
//! type with the adapter, since a field misread in both would cancel out.
//!
//! Where the sources are silent this simulator decides (beside the S-rows, see `switches.rs`):
//! - `payment_amount` without `fixed_amount` is an unknown field.
//! - A payment on a closed code is captured and refunded at once; the code counts nothing and
//!   sends no `qr_code.credited`.
//! - An `authorized` payment leaves a `single_use` code open; the capture closes it.
//! - The answer to a creation lacks `closed_at` and `close_reason`, as in the official sample.
//! - A refund's receipt is looked for before its payment's state, and after its idempotency key unless a switch says
//!   otherwise; a failed refund keeps its receipt. Bodies under one key are compared as JSON, and with the payment.
//! - A refund without an amount gives back whatever is left, be it less than a rupee.
//! - An instant refund costs 5 rupees and the tax on them, which its line in the recon report shows. One that is pending
//!   is printed with `speed_processed` `instant` until it slows down.
//! - `settled_at` is a settlement's `created_at`; its lines are reported once it is `processed`. A refund's line has its
//!   payment's order and method. Runs that would pay out nothing leave all they found to the next run.
//! - A mandate's token is made when the payer decides, be it against it, and hangs on the payment from then on. An order
//!   with a `token` must say `max_amount` and `frequency`; without a rule for days it may be debited on any.
//! - Debits that a mandate's state forbids are taken, and fail half a minute later as payments (the other reading of S27).
//!   `payment_after` holds nobody up: 24 hours since the notice was delivered do.
//! - `image_url` points back at the sandbox, since a made-up address at the real host could be somebody's.

mod auth;
mod authorization;
mod bulk;
mod clearing;
mod control;
mod customer;
mod debit;
pub mod desk;
pub mod error;
mod event;
mod input;
mod life;
pub mod link;
mod mandates;
mod notice;
mod order;
mod payment;
mod qr;
mod recon;
mod recon_fault;
mod refund;
mod refund_create;
mod refund_life;
mod settlement;
mod terms;
mod token;
mod webhook;

use http::Method;
use serde::Serialize;
use serde_json::{Map, Value};

pub use auth::authenticate;
pub use bulk::BulkSettlement;
use desk::Desk;
use error::ApiError;
pub use webhook::{headers as webhook_headers, schedule};

use super::simulated::{Asked, Reply};
use super::switches::Switches;

/// What is asked for, by the path and method alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    QrCreate,
    QrList,
    QrFetch(String),
    QrUpdate(String),
    QrClose(String),
    QrPayments(String),
    PaymentList,
    PaymentFetch(String),
    PaymentUpdate(String),
    PaymentCapture(String),
    PaymentCreateUpi,
    PaymentCreateRecurring,
    RefundCreate(String),
    PaymentRefunds(String),
    /// Of a payment: this refund.
    PaymentRefundFetch(String, String),
    RefundList,
    RefundFetch(String),
    SettlementList,
    SettlementFetch(String),
    SettlementRecon,
    OrderCreate,
    OrderList,
    OrderFetch(String),
    OrderUpdate(String),
    OrderPayments(String),
    CustomerCreate,
    CustomerList,
    CustomerFetch(String),
    /// Of a customer.
    TokenList(String),
    TokenFetch(String, String),
    TokenCancel(String, String),
    TokenDelete(String, String),
}

/// A request whose operation is known and whose caller was authenticated.
pub struct Call {
    query: Vec<(String, String)>,
    body: Map<String, Value>,
}

impl Operation {
    /// `path` is what comes after `/v1`; a trailing slash is tolerated.
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        let id = |id: &str| id.to_owned();
        Some(match (method.as_str(), segments.as_slice()) {
            ("POST", ["payments", "qr_codes"]) => Self::QrCreate,
            ("GET", ["payments", "qr_codes"]) => Self::QrList,
            ("GET", ["payments", "qr_codes", qr]) => Self::QrFetch(id(qr)),
            ("PATCH", ["payments", "qr_codes", qr]) => Self::QrUpdate(id(qr)),
            ("POST", ["payments", "qr_codes", qr, "close"]) => Self::QrClose(id(qr)),
            ("GET", ["payments", "qr_codes", qr, "payments"]) => Self::QrPayments(id(qr)),
            ("GET", ["payments"]) => Self::PaymentList,
            ("GET", ["payments", payment]) => Self::PaymentFetch(id(payment)),
            ("PATCH", ["payments", payment]) => Self::PaymentUpdate(id(payment)),
            ("POST", ["payments", payment, "capture"]) => Self::PaymentCapture(id(payment)),
            ("POST", ["payments", "create", "upi"]) => Self::PaymentCreateUpi,
            ("POST", ["payments", "create", "recurring"]) => Self::PaymentCreateRecurring,
            ("POST", ["payments", payment, "refund"]) => Self::RefundCreate(id(payment)),
            ("GET", ["payments", payment, "refunds"]) => Self::PaymentRefunds(id(payment)),
            ("GET", ["payments", payment, "refunds", refund]) => Self::PaymentRefundFetch(id(payment), id(refund)),
            ("GET", ["refunds"]) => Self::RefundList,
            ("GET", ["refunds", refund]) => Self::RefundFetch(id(refund)),
            ("GET", ["settlements"]) => Self::SettlementList,
            ("GET", ["settlements", settlement]) => Self::SettlementFetch(id(settlement)),
            ("GET", ["settlements", "recon", "combined"]) => Self::SettlementRecon,
            ("POST", ["orders"]) => Self::OrderCreate,
            ("GET", ["orders"]) => Self::OrderList,
            ("GET", ["orders", order]) => Self::OrderFetch(id(order)),
            ("PATCH", ["orders", order]) => Self::OrderUpdate(id(order)),
            ("GET", ["orders", order, "payments"]) => Self::OrderPayments(id(order)),
            ("POST", ["customers"]) => Self::CustomerCreate,
            ("GET", ["customers"]) => Self::CustomerList,
            ("GET", ["customers", customer]) => Self::CustomerFetch(id(customer)),
            ("GET", ["customers", customer, "tokens"]) => Self::TokenList(id(customer)),
            ("GET", ["customers", customer, "tokens", token]) => Self::TokenFetch(id(customer), id(token)),
            ("PUT", ["customers", customer, "tokens", token, "cancel"]) => Self::TokenCancel(id(customer), id(token)),
            ("DELETE", ["customers", customer, "tokens", token]) => Self::TokenDelete(id(customer), id(token)),
            _ => return None,
        })
    }

    /// The name that faults and the request log know it by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::QrCreate => "qr.create",
            Self::QrList => "qr.list",
            Self::QrFetch(_) => "qr.fetch",
            Self::QrUpdate(_) => "qr.update",
            Self::QrClose(_) => "qr.close",
            Self::QrPayments(_) => "qr.payments",
            Self::PaymentList => "payment.list",
            Self::PaymentFetch(_) => "payment.fetch",
            Self::PaymentUpdate(_) => "payment.update",
            Self::PaymentCapture(_) => "payment.capture",
            Self::PaymentCreateUpi => "payment.create_upi",
            Self::PaymentCreateRecurring => "payment.create_recurring",
            Self::RefundCreate(_) => "refund.create",
            Self::PaymentRefunds(_) => "payment.refunds",
            Self::PaymentRefundFetch(..) => "payment.refund_fetch",
            Self::RefundList => "refund.list",
            Self::RefundFetch(_) => "refund.fetch",
            Self::SettlementList => "settlement.list",
            Self::SettlementFetch(_) => "settlement.fetch",
            Self::SettlementRecon => "settlement.recon",
            Self::OrderCreate => "order.create",
            Self::OrderList => "order.list",
            Self::OrderFetch(_) => "order.fetch",
            Self::OrderUpdate(_) => "order.update",
            Self::OrderPayments(_) => "order.payments",
            Self::CustomerCreate => "customer.create",
            Self::CustomerList => "customer.list",
            Self::CustomerFetch(_) => "customer.fetch",
            Self::TokenList(_) => "token.list",
            Self::TokenFetch(..) => "token.fetch",
            Self::TokenCancel(..) => "token.cancel",
            Self::TokenDelete(..) => "token.delete",
        }
    }

    fn is_of_qr_codes(&self) -> bool {
        self.name().starts_with("qr.")
    }
}

/// The name of what a path asks for.
pub fn operation(method: &Method, path: &str) -> Option<&'static str> {
    Operation::of(method, path).map(|operation| operation.name())
}

/// The error that goes with a status which a test asked for.
pub fn invent(status: u16, retry_after: Option<u64>, switches: &Switches) -> Reply {
    match status {
        429 => ApiError::throttled(retry_after).into(),
        _ => ApiError::of_status(status, switches.gateway_error_status).into(),
    }
}

/// Does what is asked for, and says what is answered with 200.
fn act(desk: &mut Desk<'_>, asked: &Asked) -> Result<String, ApiError> {
    let operation = Operation::of(&asked.method, &asked.path).filter(|operation| desk.switches.qr_codes || !operation.is_of_qr_codes());
    let unknown = || ApiError::no_such_url(if desk.switches.unknown_url_404 { 404 } else { 400 });
    let operation = operation.ok_or_else(unknown)?;
    let query = asked.query().ok_or_else(|| ApiError::invalid("The query is not valid."))?;
    let call = &Call::parse(asked, query)?;
    match &operation {
        Operation::QrCreate => desk.create_qr(call),
        Operation::QrList => desk.list_qrs(call),
        Operation::QrFetch(id) => desk.fetch_qr(id, call),
        Operation::QrUpdate(id) => desk.update_qr(id, call),
        Operation::QrClose(id) => desk.close_qr(id, call),
        Operation::QrPayments(id) => desk.list_qr_payments(id, call),
        Operation::PaymentList => desk.list_payments(call),
        Operation::PaymentFetch(id) => desk.fetch_payment(id, call),
        Operation::PaymentUpdate(id) => desk.update_payment(id, call),
        Operation::PaymentCapture(id) => desk.capture_payment(id, call),
        Operation::PaymentCreateUpi => desk.create_upi_payment(call),
        Operation::PaymentCreateRecurring => desk.create_recurring_payment(call),
        Operation::RefundCreate(id) => desk.create_refund(id, call, &asked.headers),
        Operation::PaymentRefunds(id) => desk.list_payment_refunds(id, call),
        Operation::PaymentRefundFetch(payment, id) => desk.fetch_payment_refund(payment, id, call),
        Operation::RefundList => desk.list_refunds(call),
        Operation::RefundFetch(id) => desk.fetch_refund(id, call),
        Operation::SettlementList => desk.list_settlements(call),
        Operation::SettlementFetch(id) => desk.fetch_settlement(id, call),
        Operation::SettlementRecon => desk.recon(call),
        Operation::OrderCreate => desk.create_order(call),
        Operation::OrderList => desk.list_orders(call),
        Operation::OrderFetch(id) => desk.fetch_order(id, call),
        Operation::OrderUpdate(id) => desk.update_order(id, call),
        Operation::OrderPayments(id) => desk.list_order_payments(id, call),
        Operation::CustomerCreate => desk.create_customer(call),
        Operation::CustomerList => desk.list_customers(call),
        Operation::CustomerFetch(id) => desk.fetch_customer(id, call),
        Operation::TokenList(customer) => desk.list_tokens(customer, call),
        Operation::TokenFetch(customer, id) => desk.fetch_token(customer, id, call),
        Operation::TokenCancel(customer, id) => desk.cancel_token(customer, id, call),
        Operation::TokenDelete(customer, id) => desk.delete_token(customer, id, call),
    }
}

impl Call {
    /// Reads the body: JSON or nothing, and no emoji, which the real service can't store.
    fn parse(asked: &Asked, mut query: Vec<(String, String)>) -> Result<Self, ApiError> {
        let body = &asked.body;
        // An official client writes `expand[expand]`; any index into the list will do.
        for (name, _) in query.iter_mut().filter(|(name, _)| name.starts_with("expand[")) {
            *name = "expand[]".to_owned();
        }
        let form = asked.header("content-type");
        if form.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) && !body.is_empty() {
            return Err(ApiError::invalid("The request body must be JSON."));
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { query, body: Map::new() });
        }
        let unreadable = |_| ApiError::invalid("The request body is not valid JSON.");
        let body = match serde_json::from_slice(body).map_err(unreadable)? {
            Value::Object(body) => body,
            // PHP clients print an empty object so.
            Value::Array(items) if items.is_empty() => Map::new(),
            _ => return Err(ApiError::invalid("The request body must be a JSON object.")),
        };
        if body.iter().any(|(name, value)| has_emoji(name) || holds_emoji(value)) {
            return Err(ApiError::trouble());
        }
        Ok(Self { query, body })
    }

    /// For calls that take nothing at all.
    fn expect_bare(&self, known: &[&str]) -> Result<(), ApiError> {
        let query = self.query.iter().map(|(name, _)| name);
        let strangers: Vec<_> = query.filter(|name| !known.contains(&name.as_str())).cloned().collect();
        if !strangers.is_empty() {
            return Err(ApiError::not_required(&strangers));
        }
        self.expect_no_body()
    }

    fn expect_no_query(&self) -> Result<(), ApiError> {
        let names: Vec<_> = self.query.iter().map(|(name, _)| name.clone()).collect();
        if names.is_empty() { Ok(()) } else { Err(ApiError::not_required(&names)) }
    }

    fn expect_no_body(&self) -> Result<(), ApiError> {
        let names: Vec<_> = self.body.keys().cloned().collect();
        if names.is_empty() { Ok(()) } else { Err(ApiError::not_required(&names)) }
    }
}

fn holds_emoji(value: &Value) -> bool {
    match value {
        Value::String(text) => has_emoji(text),
        Value::Array(items) => items.iter().any(holds_emoji),
        Value::Object(fields) => fields.iter().any(|(name, value)| has_emoji(name) || holds_emoji(value)),
        _ => false,
    }
}

fn has_emoji(text: &str) -> bool {
    text.chars().any(|c| c >= '\u{1F000}')
}

#[derive(Serialize)]
struct Collection<T> {
    entity: &'static str,
    count: usize,
    items: Vec<T>,
}

impl<T: Serialize> Collection<T> {
    fn of(items: Vec<T>) -> Self {
        Self { entity: "collection", count: items.len(), items }
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own views have string keys and no failing parts")
}

/// Notes are printed as an empty array where there are none.
fn notes_as_printed<S: serde::Serializer>(notes: &input::Notes, to: S) -> Result<S::Ok, S::Error> {
    if notes.is_empty() { to.collect_seq(std::iter::empty::<()>()) } else { to.collect_map(notes) }
}
