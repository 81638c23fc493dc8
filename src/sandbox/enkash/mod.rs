//! EnKash, as its documentation describes it. Written from the specification alone: it shares no type with the
//! adapter, since a field misread in both would cancel out.

mod switches;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use switches::EnkashSwitches;

use super::control::{ControlError, PayOptions};
use super::desk::{self, Provider};
use super::simulated::{Asked, Reply, Simulated};
use super::state::State;
use super::{EnkashMerchant, SandboxAccount};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {}

impl Books {
    /// When something happens by itself next.
    pub fn next_due_ms(&self) -> Option<i64> {
        None
    }
}

pub type Desk<'a> = desk::Desk<'a, EnkashMerchant, Books>;

/// The name of what a path asks for.
pub fn operation(_method: &Method, _path: &str) -> Option<&'static str> {
    None
}

/// Whose request it is. Nothing is served yet, so nobody's.
pub fn authenticate<'a>(
    _asked: &Asked,
    _accounts: &'a [SandboxAccount],
    _state: &State,
    _now_ms: i64,
) -> Result<&'a SandboxAccount, Reply> {
    Err(invent(404))
}

/// The error that goes with a status which a test asked for.
pub fn invent(status: u16) -> Reply {
    Reply::of(status, json!({ "response_code": status, "response_message": "Failed" }).to_string())
}

impl Provider for Desk<'_> {
    fn answer(&mut self, _asked: &Asked) -> Reply {
        invent(404)
    }

    fn keep_appointments(&mut self) -> bool {
        false
    }

    fn pay_qr(&mut self, code: &str, _pay: &PayOptions) -> Result<String, ControlError> {
        Err(ControlError::NotFound(code.to_owned()))
    }

    fn fail_payment(&mut self, id: &str) -> Result<(), ControlError> {
        Err(ControlError::NotFound(id.to_owned()))
    }

    fn authorize_late(&mut self, id: &str) -> Result<(), ControlError> {
        Err(ControlError::NotFound(id.to_owned()))
    }

    fn reverse_payment(&mut self, _id: &str) -> Result<(), ControlError> {
        Err(ControlError::NotOffered(Simulated::Enkash))
    }

    fn send_forged(&mut self, code: &str, _amount: Option<i64>) -> Result<(), ControlError> {
        Err(ControlError::NotFound(code.to_owned()))
    }

    fn print_qrs(&self) -> Vec<Value> {
        Vec::new()
    }

    fn print_payments(&self) -> Vec<Value> {
        Vec::new()
    }
}
