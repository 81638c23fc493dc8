//! An account at EnKash.

use std::collections::BTreeMap;
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
    /// The merchant's category: four digits.
    #[serde(default, with = "empty_is_none")]
    pub mcc: Option<String>,
    #[serde(default = "given::<TIMEOUT_MS>")]
    pub timeout_ms: u64,
    #[serde(default = "given::<DEADLINE_FLOOR_MS>")]
    pub deadline_floor_ms: u64,
    /// `None`: nobody knows how mandates are spoken of, and there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandates: Option<EnkashMandatesConfig>,
}

/// How mandates are spoken of with EnKash. It publishes nothing of this, so nothing has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnkashMandatesConfig {
    pub paths: MandatePaths,
    pub naming: MandateNaming,
    pub amount_unit: MandateAmountUnit,
    /// The rule's word where a frequency has no day; `None`: such frequencies are not offered.
    #[serde(default, with = "empty_is_none")]
    pub no_rule: Option<String>,
    /// EnKash's word for each frequency that is to be offered.
    pub periods: BTreeMap<Period, String>,
    /// EnKash's word for each rule about a debit's day.
    pub rules: BTreeMap<Rule, String>,
    /// What each of EnKash's words for how a mandate stands means.
    pub statuses: BTreeMap<String, MandateMeaning>,
    /// What each of EnKash's words for what became of a notice means.
    pub notice_statuses: BTreeMap<String, NoticeMeaning>,
}

/// Which generation of EnKash's paths is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandatePaths {
    /// `/api/v0/upi-autopay/mandates…`
    G2,
    /// `/api/v0/upi-mandate…`
    G3,
}

/// How the fields of requests are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateNaming {
    SnakeCase,
    CamelCase,
}

/// What a mandate's amount counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateAmountUnit {
    Paise,
    Rupees,
}

/// A frequency, named as in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    OneTime,
    Daily,
    Weekly,
    Fortnightly,
    Monthly,
    /// Every two months.
    Bimonthly,
    Quarterly,
    HalfYearly,
    Yearly,
    AsPresented,
}

/// On which side of its day a debit may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    Before,
    On,
    After,
}

/// Where a mandate stands, named as in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateMeaning {
    AwaitingApproval,
    Active,
    Paused,
    Revoked,
    Rejected,
    Expired,
    Completed,
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeMeaning {
    Pending,
    Delivered,
    Failed,
}

/// The names of each, as they stand in the configuration.
pub(in crate::config) const PERIODS: &[&str] =
    &["one_time", "daily", "weekly", "fortnightly", "monthly", "bimonthly", "quarterly", "half_yearly", "yearly", "as_presented"];
pub(in crate::config) const RULES: &[&str] = &["before", "on", "after"];
pub(in crate::config) const MANDATE_MEANINGS: &[&str] =
    &["awaiting_approval", "active", "paused", "revoked", "rejected", "expired", "completed"];
pub(in crate::config) const NOTICE_MEANINGS: &[&str] = &["pending", "delivered", "failed"];

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
            mcc: None,
            timeout_ms: TIMEOUT_MS,
            deadline_floor_ms: DEADLINE_FLOOR_MS,
            mandates: None,
        }
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub fn deadline_floor(&self) -> Duration {
        Duration::from_millis(self.deadline_floor_ms)
    }
}

impl Period {
    /// Whether a debit of such a mandate has a day that a rule is about.
    pub fn has_day(self) -> bool {
        match self {
            Period::OneTime | Period::Daily | Period::AsPresented => false,
            Period::Weekly
            | Period::Fortnightly
            | Period::Monthly
            | Period::Bimonthly
            | Period::Quarterly
            | Period::HalfYearly
            | Period::Yearly => true,
        }
    }
}
