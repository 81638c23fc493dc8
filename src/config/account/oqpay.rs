//! An account at OQPay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DEADLINE_FLOOR_MS, TIMEOUT_MS, given};
use crate::config::cidr::Cidr;
use crate::config::secrets::Secrets;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OqpayConfig {
    #[serde(default = "base_url_default")]
    pub base_url: String,
    /// Nothing else tells OQPay who calls, so it is a secret.
    pub registration_id: Secrets,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<Secrets>,
    /// Whether the secret URL and `callback_networks` are evidence enough that OQPay sent a callback.
    #[serde(default)]
    pub callbacks_prove: bool,
    #[serde(default)]
    pub callback_networks: Vec<Cidr>,
    /// The addresses that OQPay collects at for this merchant; empty: callbacks' payees are not compared.
    #[serde(default)]
    pub payee_vpas: Vec<String>,
    #[serde(default = "given::<TIMEOUT_MS>")]
    pub timeout_ms: u64,
    #[serde(default = "given::<DEADLINE_FLOOR_MS>")]
    pub deadline_floor_ms: u64,
}

fn base_url_default() -> String {
    "https://payin.oqpay.in".to_owned()
}

impl OqpayConfig {
    /// With everything that has a default at its default.
    pub fn new(registration_id: Secrets) -> Self {
        Self {
            base_url: base_url_default(),
            registration_id,
            bearer_token: None,
            callbacks_prove: false,
            callback_networks: Vec::new(),
            payee_vpas: Vec::new(),
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
