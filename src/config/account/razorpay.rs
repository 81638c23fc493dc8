//! An account at Razorpay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DEADLINE_FLOOR_MS, TIMEOUT_MS, cycle_days_default, given};
use crate::config::empty_is_none;
use crate::config::secrets::Secrets;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RazorpayConfig {
    #[serde(default = "base_url_default")]
    pub base_url: String,
    pub key_id: String,
    pub key_secret: Secrets,
    pub webhook_secrets: Secrets,
    /// `acc_…`; when set, a webhook of another account is refused.
    #[serde(default, with = "empty_is_none")]
    pub account_id: Option<String>,
    /// The merchant's category: four digits.
    #[serde(default, with = "empty_is_none")]
    pub mcc: Option<String>,
    #[serde(default = "cycle_days_default")]
    pub settlement_cycle_days: u32,
    #[serde(default = "given::<TIMEOUT_MS>")]
    pub timeout_ms: u64,
    #[serde(default = "given::<DEADLINE_FLOOR_MS>")]
    pub deadline_floor_ms: u64,
    #[serde(default = "given::<CLOSE_BY_MIN_S>")]
    pub close_by_min_s: u64,
    #[serde(default = "given::<CLOSE_BY_MAX_S>")]
    pub close_by_max_s: u64,
    #[serde(default = "notes_value_max_default")]
    pub notes_value_max: usize,
}

/// Razorpay publishes two sets of limits for a QR's expiry. What lies between 15 minutes and 2 hours keeps both.
const CLOSE_BY_MIN_S: u64 = 15 * 60;
const CLOSE_BY_MAX_S: u64 = 2 * 60 * 60;
const NOTES_VALUE_MAX: usize = 256;

fn base_url_default() -> String {
    "https://api.razorpay.com".to_owned()
}

fn notes_value_max_default() -> usize {
    NOTES_VALUE_MAX
}

impl RazorpayConfig {
    /// With everything that has a default at its default.
    pub fn new(key_id: impl Into<String>, key_secret: Secrets, webhook_secrets: Secrets) -> Self {
        Self {
            base_url: base_url_default(),
            key_id: key_id.into(),
            key_secret,
            webhook_secrets,
            account_id: None,
            mcc: None,
            settlement_cycle_days: cycle_days_default(),
            timeout_ms: TIMEOUT_MS,
            deadline_floor_ms: DEADLINE_FLOOR_MS,
            close_by_min_s: CLOSE_BY_MIN_S,
            close_by_max_s: CLOSE_BY_MAX_S,
            notes_value_max: NOTES_VALUE_MAX,
        }
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub fn deadline_floor(&self) -> Duration {
        Duration::from_millis(self.deadline_floor_ms)
    }

    pub fn close_by_min(&self) -> Duration {
        Duration::from_secs(self.close_by_min_s)
    }

    pub fn close_by_max(&self) -> Duration {
        Duration::from_secs(self.close_by_max_s)
    }
}
