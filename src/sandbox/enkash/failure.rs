//! How EnKash says no: in its envelope, with a code that is not zero. Of the codes one alone is known, hence the others
//! are switches, and nobody can come to depend on them.

use serde::Serialize;

use super::print::to_json;
use super::switches::EnkashSwitches;
use crate::sandbox::simulated::Reply;

const TOKEN_INVALID: &str = "Token is invalid.";
const TOKEN_INVALID_CODE: i64 = 117;
const NOT_SERVED: u16 = 501;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The token is missing, unknown, revoked or too old.
    InvalidToken,
    WrongMerchantKey,
    /// The sources don't say enough to serve this.
    NotServed,
    Other(String),
}

#[derive(Serialize)]
struct Envelope<'a> {
    response_code: i64,
    response_message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
}

impl Failure {
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other(message.into())
    }

    pub fn reply(&self, switches: &EnkashSwitches) -> Reply {
        let (status, code, message, payload) = match self {
            Self::InvalidToken => {
                let status = if switches.invalid_token_401 { 401 } else { 200 };
                (status, TOKEN_INVALID_CODE, TOKEN_INVALID, Some(TOKEN_INVALID))
            }
            Self::WrongMerchantKey => (switches.failure_status, switches.wrong_merchant_key_code, "Merchant access key is invalid.", None),
            Self::NotServed => (NOT_SERVED, i64::from(NOT_SERVED), "Not served here.", None),
            Self::Other(message) => (switches.failure_status, switches.failure_code, message.as_str(), None),
        };
        Reply::of(status, to_json(&Envelope { response_code: code, response_message: message, payload }))
    }
}
