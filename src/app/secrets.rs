//! The secrets of accounts, which may change while the service runs: cells that an account's adapter and the door for its
//! callbacks look into each time, and how a configuration that was read again gets into them.

use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

use crate::config::{AccountConfig, Config, EkoConfig, EnkashConfig, OqpayConfig, ProviderConfig, RazorpayConfig, Secrets};
use crate::domain::account::AccountName;
use crate::held::Held;
use crate::providers::{eko, enkash, oqpay, razorpay};

/// The keys of the configuration that are taken here.
pub(super) const KEYS: &[&str] = &[
    "accounts.*.webhook_url_secrets",
    "accounts.*.razorpay.key_id",
    "accounts.*.razorpay.key_secret",
    "accounts.*.razorpay.webhook_secrets",
    "accounts.*.enkash.access_key",
    "accounts.*.enkash.secret_key",
    "accounts.*.enkash.api_key",
    "accounts.*.oqpay.registration_id",
    "accounts.*.oqpay.bearer_token",
    "accounts.*.eko.developer_key",
    "accounts.*.eko.access_key",
];

/// One account's secrets.
pub(super) struct AccountSecrets {
    callbacks: CallbackUrl,
    /// As they are in force, to compare with.
    account: Mutex<AccountConfig>,
    url_secrets: Held<Vec<SecretString>>,
    cells: Cells,
}

/// Where an adapter looks.
pub(super) enum Cells {
    Razorpay(RazorpayCells),
    Enkash(EnkashCells),
    Oqpay(Held<oqpay::Keys>),
    Eko(Held<eko::Keys>),
}

pub(super) struct RazorpayCells {
    pub key: Held<razorpay::ApiKey>,
    pub webhook_secrets: Held<Vec<SecretString>>,
}

pub(super) struct EnkashCells {
    pub keys: Held<enkash::Keys>,
    pub notify_url: Held<Option<SecretString>>,
}

/// Where an account's callbacks reach us, by the address that the internet knows.
pub(super) struct CallbackUrl {
    pub public_url: Option<String>,
    pub account: AccountName,
}

impl CallbackUrl {
    /// `None`: the address is not configured.
    pub fn with(&self, secrets: &Secrets) -> Option<SecretString> {
        let Self { public_url, account } = self;
        let public_url = public_url.as_ref()?.trim_end_matches('/');
        Some(format!("{public_url}/webhooks/{account}/{}", secrets.first().expose_secret()).into())
    }
}

impl RazorpayCells {
    pub fn of(settings: &RazorpayConfig) -> Self {
        Self { key: Held::new(razorpay_key(settings)), webhook_secrets: Held::new(all(&settings.webhook_secrets)) }
    }
}

impl EnkashCells {
    pub fn of(settings: &EnkashConfig, notify_url: Option<SecretString>) -> Self {
        Self { keys: Held::new(enkash_keys(settings)), notify_url: Held::new(notify_url) }
    }
}

impl AccountSecrets {
    pub fn new(callbacks: CallbackUrl, account: AccountConfig, cells: Cells) -> Self {
        let url_secrets = Held::new(all(&account.webhook_url_secrets));
        Self { callbacks, account: Mutex::new(account), url_secrets, cells }
    }

    pub fn name(&self) -> &AccountName {
        &self.callbacks.account
    }

    /// The unguessable parts of the account's URL.
    pub fn url_secrets(&self) -> Held<Vec<SecretString>> {
        self.url_secrets.clone()
    }

    /// Takes what `config` says of this account; what of it is new. An account that is not there any more keeps what it has.
    fn take(&self, config: &Config) -> Vec<String> {
        let name = self.name();
        let Some(AccountConfig { webhook_url_secrets, provider }) = config.accounts.get(name) else { return Vec::new() };
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        if account.webhook_url_secrets != *webhook_url_secrets {
            account.webhook_url_secrets = webhook_url_secrets.clone();
            self.url_secrets.replace(all(webhook_url_secrets));
            if let Cells::Enkash(EnkashCells { keys: _, notify_url }) = &self.cells {
                notify_url.replace(self.callbacks.with(webhook_url_secrets));
            }
            taken.push(format!("the secret URL of `{name}`"));
        }
        if account.provider.take_keys(provider) {
            match (&self.cells, &account.provider) {
                (Cells::Razorpay(RazorpayCells { key, webhook_secrets }), ProviderConfig::Razorpay(settings)) => {
                    key.replace(razorpay_key(settings));
                    webhook_secrets.replace(all(&settings.webhook_secrets));
                }
                (Cells::Enkash(EnkashCells { keys, notify_url: _ }), ProviderConfig::Enkash(settings)) => {
                    keys.replace(enkash_keys(settings))
                }
                (Cells::Oqpay(keys), ProviderConfig::Oqpay(settings)) => keys.replace(oqpay_keys(settings)),
                (Cells::Eko(keys), ProviderConfig::Eko(settings)) => keys.replace(eko_keys(settings)),
                // The cells were made for this provider, and an account keeps its provider.
                (Cells::Razorpay(_) | Cells::Enkash(_) | Cells::Oqpay(_) | Cells::Eko(_), _) => {}
            }
            taken.push(format!("the secrets of `{name}` at {}", provider.id()));
        }
        taken
    }
}

/// Takes what `config` says of all these accounts; what of it is new.
pub(super) fn take(accounts: &[AccountSecrets], config: &Config) -> Vec<String> {
    accounts.iter().flat_map(|account| account.take(config)).collect()
}

fn all(secrets: &Secrets) -> Vec<SecretString> {
    secrets.iter().cloned().collect()
}

fn razorpay_key(settings: &RazorpayConfig) -> razorpay::ApiKey {
    razorpay::ApiKey { id: settings.key_id.clone(), secrets: all(&settings.key_secret) }
}

fn enkash_keys(settings: &EnkashConfig) -> enkash::Keys {
    enkash::Keys {
        access_key: settings.access_key.clone(),
        secret_keys: all(&settings.secret_key),
        api_key: settings.api_key.as_ref().map(|key| key.first().clone()),
    }
}

pub(super) fn oqpay_keys(settings: &OqpayConfig) -> oqpay::Keys {
    oqpay::Keys {
        registration_ids: all(&settings.registration_id),
        bearer_token: settings.bearer_token.as_ref().map(|token| token.first().clone()),
    }
}

pub(super) fn eko_keys(settings: &EkoConfig) -> eko::Keys {
    eko::Keys { developer_key: settings.developer_key.clone(), access_keys: all(&settings.access_key) }
}
