//! The service's settings: their types, where they come from, and what is wrong with them. One TOML file, each key of which
//! an environment variable can override; without a file, a trial set-up on loopback. Neither asks the system for randomness
//! nor starts anything.

mod account;
mod callers;
mod check;
mod cidr;
mod difference;
mod keys;
mod load;
mod mandates;
mod problem;
mod redis;
mod reference;
mod sandbox;
mod secrets;
mod settings;
mod takes;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::account::AccountName;
use crate::domain::caller::CallerName;

pub use account::{
    AccountConfig, Authorization, EkoConfig, EnkashConfig, EnkashMandatesConfig, MandateAmountUnit, MandateMeaning, MandateNaming,
    MandatePaths, NoticeMeaning, OqpayConfig, Period, ProviderConfig, RazorpayConfig, Rule,
};
pub use callers::{CallerConfig, EVERY_ACCOUNT};
pub use cidr::{Cidr, NotACidr};
pub use load::Loaded;
pub use mandates::{MandatesConfig, default_mandate_rules};
pub use problem::{ConfigError, Origin, Problem};
pub use redis::{RedisConfig, RetentionAtRest};
pub use reference::{default_toml, reference_table};
pub use sandbox::{EKO_SANDBOX, ENKASH_SANDBOX, OQPAY_SANDBOX, RAZORPAY_SANDBOX, SANDBOX_ACCOUNT, SANDBOX_ACCOUNTS, SandboxSecrets};
pub use secrets::{REDACTED, Secrets};
pub use settings::{
    AdminConfig, Backend, ClientCertificate, DrainConfig, EmbeddedConfig, EventsConfig, GrpcConfig, IdempotencyConfig, LogConfig,
    LogFormat, ProviderCallsConfig, ReconcilerConfig, ReloadConfig, SandboxSettings, SettlementsConfig, StoreConfig, TelemetryConfig,
    TlsConfig, WebhooksConfig,
};

/// Everything that can be set. What `load` gives keeps all limits; one put together by hand is not judged.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub grpc: GrpcConfig,
    pub webhooks: WebhooksConfig,
    pub admin: AdminConfig,
    pub store: StoreConfig,
    pub idempotency: IdempotencyConfig,
    pub events: EventsConfig,
    pub reconciler: ReconcilerConfig,
    pub provider_calls: ProviderCallsConfig,
    pub settlements: SettlementsConfig,
    pub mandates: MandatesConfig,
    pub drain: DrainConfig,
    pub reload: ReloadConfig,
    pub log: LogConfig,
    pub telemetry: TelemetryConfig,
    /// Who may call. With none, whoever reaches the gRPC listener may do everything.
    pub callers: BTreeMap<CallerName, CallerConfig>,
    pub accounts: BTreeMap<AccountName, AccountConfig>,
    /// `Some` where an in-process sandbox is to be started.
    pub sandbox: Option<SandboxSettings>,
}

impl Config {
    /// The listeners that other machines can reach though nothing tells callers apart, each as `key = address`: for that it takes
    /// TLS and callers. The one for webhooks is meant to be public.
    pub fn exposure(&self) -> Vec<String> {
        // Over the operators' port nothing can be changed, and nothing personal is read.
        if self.grpc.tls.is_on() && !self.callers.is_empty() {
            return Vec::new();
        }
        let inside = [("grpc.listen", self.grpc.listen), ("admin.listen", self.admin.listen)];
        let exposed = inside.iter().filter(|(_, address)| !address.ip().to_canonical().is_loopback());
        exposed.map(|(key, address)| format!("{key} = {address}")).collect()
    }

    /// Each setting and its value as TOML, secrets redacted.
    pub fn describe(&self) -> Vec<(String, String)> {
        let table = toml::Table::try_from(self).expect("settings are texts, numbers and lists of texts");
        let mut settings = Vec::new();
        flatten("", &table, &mut settings);
        settings
    }
}

fn flatten(parent: &str, table: &toml::Table, settings: &mut Vec<(String, String)>) {
    for (name, value) in table {
        let key = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
        match value {
            // Words are one setting with their meanings.
            toml::Value::Table(table) if !keys::is_setting(&key) => flatten(&key, table, settings),
            value => settings.push((key, value.to_string())),
        }
    }
}

/// TOML has no null: "nothing" is written as an empty text.
mod empty_is_none {
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }

    pub fn deserialize<'de, T: From<String> + DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok((!text.is_empty()).then(|| T::from(text)))
    }
}

#[cfg(test)]
mod tests;
