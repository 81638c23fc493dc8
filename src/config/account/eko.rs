//! An account at Eko.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DEADLINE_FLOOR_MS, TIMEOUT_MS, cycle_days_default, given};
use crate::config::secrets::Secrets;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EkoConfig {
    /// Host and context path; the generation (`/v3`) is not part of it.
    #[serde(default = "base_url_default")]
    pub base_url: String,
    pub developer_key: String,
    /// Never sent: what each request's key is made with.
    pub access_key: Secrets,
    pub initiator_id: String,
    pub user_code: String,
    /// Which bank's rail codes are made on.
    #[serde(default = "service_code_default")]
    pub service_code: u32,
    #[serde(default)]
    pub activate_service: bool,
    #[serde(default = "cycle_days_default")]
    pub settlement_cycle_days: u32,
    #[serde(default = "given::<TIMEOUT_MS>")]
    pub timeout_ms: u64,
    #[serde(default = "given::<DEADLINE_FLOOR_MS>")]
    pub deadline_floor_ms: u64,
}

/// Static codes on Razorpay's rail, and on AU Bank's.
pub(in crate::config) const SERVICE_CODES: &[u64] = &[59, 85];

fn base_url_default() -> String {
    "https://api.eko.in/ekoicici".to_owned()
}

fn service_code_default() -> u32 {
    59
}

impl EkoConfig {
    /// With everything that has a default at its default.
    pub fn new(
        developer_key: impl Into<String>,
        access_key: Secrets,
        initiator_id: impl Into<String>,
        user_code: impl Into<String>,
    ) -> Self {
        Self {
            base_url: base_url_default(),
            developer_key: developer_key.into(),
            access_key,
            initiator_id: initiator_id.into(),
            user_code: user_code.into(),
            service_code: service_code_default(),
            activate_service: false,
            settlement_cycle_days: cycle_days_default(),
            timeout_ms: TIMEOUT_MS,
            deadline_floor_ms: DEADLINE_FLOOR_MS,
        }
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub fn deadline_floor(&self) -> Duration {
        Duration::from_millis(self.deadline_floor_ms)
    }
}
