//! What the sources on OQPay leave open: a default each, and the other reading.

use serde::{Deserialize, Serialize};

use crate::sandbox::webhooks::A_FEW_RETRIES_MS;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OqpaySwitches {
    /// Answers have the types that the documentation declares, `"true"` and `"300"`, instead of those of its sample.
    pub declared_types: bool,
    /// Every creation is refused with the one error text that is documented: the account is not set up.
    pub account_not_set_up: bool,
    /// What an amount below the minimum is told.
    pub below_minimum_text: String,
    /// Whether a creation without the customer's name, mobile number and e-mail address is refused.
    pub customer_needed: bool,
    /// The bearer token that calls must carry, if any: a sister brand mentions one.
    pub bearer: Option<String>,
    /// The body of callbacks is a form instead of JSON.
    pub form_encoded: bool,
    /// What callbacks call a payment that succeeded; nothing but `SUCCESS` is documented.
    pub success_status: String,
    /// What callbacks call a payment that failed.
    pub failed_status: String,
    /// When a callback that was not taken is sent again: milliseconds from its first delivery, within a day.
    pub retries_ms: Vec<u64>,
}

impl Default for OqpaySwitches {
    fn default() -> Self {
        Self {
            declared_types: false,
            account_not_set_up: false,
            below_minimum_text: "Amount cannot be less than ₹300".to_owned(),
            customer_needed: false,
            bearer: None,
            form_encoded: false,
            success_status: "SUCCESS".to_owned(),
            failed_status: "FAILED".to_owned(),
            retries_ms: A_FEW_RETRIES_MS.into(),
        }
    }
}
