//! What the sources on Eko leave open: a default each, and the other reading.

use serde::{Deserialize, Serialize};

use crate::sandbox::webhooks::A_FEW_RETRIES_MS;

/// T+2.
const CREDIT_DELAY_S: u32 = 2 * 24 * 60 * 60;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EkoSwitches {
    /// How far a request's timestamp may be off, either side.
    pub skew_s: u32,
    /// Every service is active, be it activated or not.
    pub service_always_active: bool,
    /// A service that is not active is refused with 200 and "Agent not allowed" instead of 403.
    pub inactive_answers_200: bool,
    /// Every making of a code fails with one of the three documented texts.
    pub qr_failure: Option<QrFailure>,
    /// Asking for a code again under another name changes its name.
    pub repeat_renames: bool,
    /// From a payment to its credit.
    pub credit_delay_s: u32,
    /// A payment is credited at once, with the one callback of older days.
    pub single_callback: bool,
    /// When its day comes a held payment stays as it is.
    pub never_credited: bool,
    /// When its day comes a held payment fails.
    pub fails_after: bool,
    /// Without the tax that comes on top.
    pub fee_paise: u32,
    /// Whether callbacks name the payer.
    pub customer_vpa: bool,
    /// Callbacks print whole rupees as `400.0` instead of `400`.
    pub float_amounts: bool,
    /// What inquiries say instead of the state they know.
    pub unheard_tx_status: Option<String>,
    /// When a callback that was not taken is sent again: milliseconds from its first delivery, within a day.
    pub retries_ms: Vec<u64>,
}

/// Why a code can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QrFailure {
    /// "Failed to create a customer ID"
    NoCustomer,
    /// "Customer ID is null"
    CustomerIsNull,
    /// "Failed to generate QR"
    NoCode,
}

impl Default for EkoSwitches {
    fn default() -> Self {
        Self {
            skew_s: 300,
            service_always_active: false,
            inactive_answers_200: false,
            qr_failure: None,
            repeat_renames: false,
            credit_delay_s: CREDIT_DELAY_S,
            single_callback: false,
            never_credited: false,
            fails_after: false,
            fee_paise: 400,
            customer_vpa: true,
            float_amounts: false,
            unheard_tx_status: None,
            retries_ms: A_FEW_RETRIES_MS.into(),
        }
    }
}
