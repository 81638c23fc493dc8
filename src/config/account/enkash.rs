//! An account at EnKash.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DEADLINE_FLOOR_MS, TIMEOUT_MS, given};
use crate::config::empty_is_none;
use crate::config::secrets::Secrets;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnkashConfig {
    #[serde(default = "base_url_default")]
    pub base_url: String,
    pub access_key: String,
    pub secret_key: Secrets,
    /// What the login sends as `API-Key`; `None`: the access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Secrets>,
    #[serde(default)]
    pub authorization: Authorization,
    /// Where an order is found by our reference, with `{merchantOrderId}` in it; `None`: nobody knows where.
    #[serde(default, with = "empty_is_none")]
    pub order_lookup_path: Option<String>,
    #[serde(default)]
    pub allow_unobservable_qr: bool,
    #[serde(default = "given::<TIMEOUT_MS>")]
    pub timeout_ms: u64,
    #[serde(default = "given::<DEADLINE_FLOOR_MS>")]
    pub deadline_floor_ms: u64,
}

/// How the token stands in the `Authorization` header: EnKash's guide says one, some accounts are said to want the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authorization {
    /// `Bearer TOKEN`
    #[default]
    Bearer,
    /// `TOKEN`
    Bare,
}

fn base_url_default() -> String {
    "https://olympus-pg.enkash.in".to_owned()
}

impl EnkashConfig {
    /// With everything that has a default at its default.
    pub fn new(access_key: impl Into<String>, secret_key: Secrets) -> Self {
        Self {
            base_url: base_url_default(),
            access_key: access_key.into(),
            secret_key,
            api_key: None,
            authorization: Authorization::default(),
            order_lookup_path: None,
            allow_unobservable_qr: false,
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
