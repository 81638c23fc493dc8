//! Accounts: one merchant account at one provider, with its secrets and limits. What an account needs differs from provider
//! to provider, so each has a file of its own.

mod eko;
mod enkash;
mod oqpay;
mod razorpay;

use std::time::Duration;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::secrets::Secrets;
use crate::domain::account::ProviderId;

pub use eko::EkoConfig;
pub(super) use eko::SERVICE_CODES;
pub use enkash::{
    Authorization, EnkashConfig, EnkashMandatesConfig, MandateAmountUnit, MandateMeaning, MandateNaming, MandatePaths, NoticeMeaning,
    Period, Rule,
};
pub(super) use enkash::{MANDATE_MEANINGS, NOTICE_MEANINGS, PERIODS, RULES};
pub use oqpay::OqpayConfig;
pub use razorpay::RazorpayConfig;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "AccountToml", into = "AccountToml")]
pub struct AccountConfig {
    /// The unguessable part of the URL that the provider calls back.
    pub webhook_url_secrets: Secrets,
    pub provider: ProviderConfig,
}

/// Which provider, with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum ProviderConfig {
    Razorpay(RazorpayConfig),
    Enkash(EnkashConfig),
    Oqpay(OqpayConfig),
    Eko(EkoConfig),
}

/// How an account is written: its provider is the one sub-section it has.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountToml {
    webhook_url_secrets: Secrets,
    #[serde(skip_serializing_if = "Option::is_none")]
    razorpay: Option<RazorpayConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enkash: Option<EnkashConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oqpay: Option<OqpayConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eko: Option<EkoConfig>,
}

/// The sub-sections of an account that name a provider.
pub(super) const PROVIDERS: &[&str] = &["razorpay", "enkash", "oqpay", "eko"];

/// How long a call may take, where nothing else is said.
const TIMEOUT_MS: u64 = 10_000;
/// The least time that a mutation must have left, where nothing else is said.
const DEADLINE_FLOOR_MS: u64 = 1_000;

/// serde takes a default as a function only.
fn given<const N: u64>() -> u64 {
    N
}

/// Two working days, as Razorpay and Eko publish it.
fn cycle_days_default() -> u32 {
    2
}

/// What makes an account one merchant account and not another.
pub(super) struct Merchant<'a> {
    pub base_url: &'a str,
    /// What the provider knows the merchant by. May be a secret: to be compared, never to be shown.
    pub known_by: Vec<&'a str>,
}

impl ProviderConfig {
    pub fn id(&self) -> ProviderId {
        match self {
            Self::Razorpay(_) => ProviderId::Razorpay,
            Self::Enkash(_) => ProviderId::Enkash,
            Self::Oqpay(_) => ProviderId::Oqpay,
            Self::Eko(_) => ProviderId::Eko,
        }
    }

    pub fn base_url(&self) -> &str {
        match self {
            Self::Razorpay(razorpay) => &razorpay.base_url,
            Self::Enkash(enkash) => &enkash.base_url,
            Self::Oqpay(oqpay) => &oqpay.base_url,
            Self::Eko(eko) => &eko.base_url,
        }
    }

    /// Points the account at another address of its provider's API.
    pub fn set_base_url(&mut self, base_url: String) {
        match self {
            Self::Razorpay(razorpay) => razorpay.base_url = base_url,
            Self::Enkash(enkash) => enkash.base_url = base_url,
            Self::Oqpay(oqpay) => oqpay.base_url = base_url,
            Self::Eko(eko) => eko.base_url = base_url,
        }
    }

    /// How long one call may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Razorpay(razorpay) => razorpay.timeout_ms,
            Self::Enkash(enkash) => enkash.timeout_ms,
            Self::Oqpay(oqpay) => oqpay.timeout_ms,
            Self::Eko(eko) => eko.timeout_ms,
        })
    }

    /// The least time that a mutation must have left.
    pub fn deadline_floor(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Razorpay(razorpay) => razorpay.deadline_floor_ms,
            Self::Enkash(enkash) => enkash.deadline_floor_ms,
            Self::Oqpay(oqpay) => oqpay.deadline_floor_ms,
            Self::Eko(eko) => eko.deadline_floor_ms,
        })
    }

    /// Takes over what `newer` authenticates with, and nothing else; whether that changed anything. Of an account that is at
    /// another provider now, nothing is taken.
    pub fn take_keys(&mut self, newer: &Self) -> bool {
        let before = self.clone();
        match (&mut *self, newer) {
            (Self::Razorpay(here), Self::Razorpay(RazorpayConfig { key_id, key_secret, webhook_secrets, .. })) => {
                here.key_id.clone_from(key_id);
                here.key_secret = key_secret.clone();
                here.webhook_secrets = webhook_secrets.clone();
            }
            (Self::Enkash(here), Self::Enkash(EnkashConfig { access_key, secret_key, api_key, .. })) => {
                here.access_key.clone_from(access_key);
                here.secret_key = secret_key.clone();
                here.api_key.clone_from(api_key);
            }
            (Self::Oqpay(here), Self::Oqpay(OqpayConfig { registration_id, bearer_token, .. })) => {
                here.registration_id = registration_id.clone();
                here.bearer_token.clone_from(bearer_token);
            }
            (Self::Eko(here), Self::Eko(EkoConfig { developer_key, access_key, .. })) => {
                here.developer_key.clone_from(developer_key);
                here.access_key = access_key.clone();
            }
            (Self::Razorpay(_) | Self::Enkash(_) | Self::Oqpay(_) | Self::Eko(_), _) => return false,
        }
        *self != before
    }

    /// The merchant accounts that this may be: several where what the provider knows one by is just being changed.
    pub(super) fn merchants(&self) -> Vec<Merchant<'_>> {
        let base_url = self.base_url();
        match self {
            Self::Razorpay(razorpay) => vec![Merchant { base_url, known_by: vec![&razorpay.key_id] }],
            Self::Enkash(enkash) => vec![Merchant { base_url, known_by: vec![&enkash.access_key] }],
            Self::Oqpay(oqpay) => {
                oqpay.registration_id.iter().map(|id| Merchant { base_url, known_by: vec![id.expose_secret()] }).collect()
            }
            Self::Eko(eko) => vec![Merchant { base_url, known_by: vec![&eko.initiator_id, &eko.user_code] }],
        }
    }
}

impl TryFrom<AccountToml> for AccountConfig {
    type Error = &'static str;

    fn try_from(account: AccountToml) -> Result<Self, Self::Error> {
        let AccountToml { webhook_url_secrets, razorpay, enkash, oqpay, eko } = account;
        let given = [
            razorpay.map(ProviderConfig::Razorpay),
            enkash.map(ProviderConfig::Enkash),
            oqpay.map(ProviderConfig::Oqpay),
            eko.map(ProviderConfig::Eko),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(provider), None) => Ok(Self { webhook_url_secrets, provider }),
            (None, _) | (Some(_), Some(_)) => Err("an account has exactly one provider"),
        }
    }
}

impl From<AccountConfig> for AccountToml {
    fn from(account: AccountConfig) -> Self {
        let AccountConfig { webhook_url_secrets, provider } = account;
        let none = Self { webhook_url_secrets, razorpay: None, enkash: None, oqpay: None, eko: None };
        match provider {
            ProviderConfig::Razorpay(razorpay) => Self { razorpay: Some(razorpay), ..none },
            ProviderConfig::Enkash(enkash) => Self { enkash: Some(enkash), ..none },
            ProviderConfig::Oqpay(oqpay) => Self { oqpay: Some(oqpay), ..none },
            ProviderConfig::Eko(eko) => Self { eko: Some(eko), ..none },
        }
    }
}
