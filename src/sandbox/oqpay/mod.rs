//! OQPay, as its documentation describes it. Written from the specification alone: it shares no type with the adapter,
//! since a field misread in both would cancel out.
//!
//! Where the sources are silent this simulator decides (beside `switches.rs`):
//! - Money that comes after the code's 300 seconds, or a second time, is taken and told like any other: nothing in the
//!   code's text tells a payer's app not to.
//! - A payment has no identifier of OQPay's own; here it goes by its RRN, which callbacks call `utr`.
//! - Unknown fields of a request are ignored.
//! - A payment that neither succeeded nor failed is not told, and nothing decides it but the control interface.
//! - Pay-outs are not served.

mod control;
mod payment;
mod qr;
mod switches;

use http::Method;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

pub use switches::OqpaySwitches;

use self::payment::Payment;
use self::qr::Qr;
use super::desk;
use super::shelf::Shelf;
use super::simulated::{Asked, Reply};
use super::switches::Switches;
use super::{Merchant, OqpayMerchant, SandboxAccount};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    qrs: Shelf<Qr>,
    payments: Shelf<Payment>,
}

pub type Desk<'a> = desk::Desk<'a, OqpayMerchant, Books>;

/// The name of what a path asks for.
pub fn operation(method: &Method, path: &str) -> Option<&'static str> {
    match (method.as_str(), path.trim_end_matches('/')) {
        ("POST", "/api/V5/Payin/DynamicQRCode") => Some("qr.create"),
        _ => None,
    }
}

/// Whose request it is: its body says so, and nothing else proves it.
pub fn authenticate<'a>(asked: &Asked, accounts: &'a [SandboxAccount], switches: &Switches) -> Result<&'a SandboxAccount, Reply> {
    if operation(&asked.method, &asked.path).is_none() {
        return Err(invent(404));
    }
    let token = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if let Some(wanted) = &switches.oqpay.bearer
        && token != Some(wanted.as_str())
    {
        return Err(refused(401, "Unauthorized"));
    }
    let fields = fields(&asked.body)?;
    let id = fields.get("registrationID").and_then(Value::as_str).unwrap_or_default();
    let is_his = |account: &&SandboxAccount| match &account.merchant {
        Merchant::Oqpay(merchant) => bool::from(merchant.registration_id.expose_secret().as_bytes().ct_eq(id.as_bytes())),
        Merchant::Razorpay(_) | Merchant::Enkash(_) | Merchant::Eko(_) => false,
    };
    accounts.iter().find(is_his).ok_or_else(|| refused(400, "Invalid registrationID"))
}

/// The error that goes with a status which a test asked for.
pub fn invent(status: u16) -> Reply {
    let message = match status {
        401 | 403 => "Unauthorized",
        404 => "Not found",
        429 => "Too many requests",
        500.. => "Internal server error",
        _ => "Bad request",
    };
    refused(status, message)
}

/// Whether what the receiver of a callback wrote says that he took it.
pub fn is_taken(answer: &[u8]) -> bool {
    serde_json::from_slice::<Value>(answer).is_ok_and(|answer| answer["status"] == "1")
}

/// An error as it is documented: three texts.
fn refused(status: u16, message: &str) -> Reply {
    let body = json!({ "status": "ERROR", "subCode": status.to_string(), "message": message });
    Reply::of(status, body.to_string())
}

/// A request body's fields.
fn fields(body: &[u8]) -> Result<Map<String, Value>, Reply> {
    serde_json::from_slice(body).map_err(|_| refused(400, "Invalid request body"))
}
