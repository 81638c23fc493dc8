//! Who may call: credentials, accounts, permissions and limits. What must hold between them is judged in `check.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check::Violation;
use super::takes::must;
use super::{Config, SANDBOX_ACCOUNTS};
use crate::domain::account::AccountName;
use crate::domain::caller::{ApiKeyHash, CallerName, Permission};

/// Each call compares with every hash, so that its time tells nothing.
const CALLERS_MAX: usize = 1_000;
/// Current and previous, and some to spare.
const CREDENTIALS_MAX: usize = 8;

/// Stands for all accounts, those that are added later too.
pub const EVERY_ACCOUNT: &str = "*";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerConfig {
    #[serde(default)]
    pub api_key_hashes: Vec<ApiKeyHash>,
    #[serde(default)]
    pub identities: Vec<String>,
    pub accounts: Vec<String>,
    pub permissions: BTreeSet<Permission>,
    #[serde(default = "calls_per_second")]
    pub calls_per_second: u32,
    #[serde(default = "calls_max")]
    pub calls_max: usize,
    #[serde(default = "streams_max")]
    pub streams_max: usize,
}

fn calls_per_second() -> u32 {
    500
}

fn calls_max() -> usize {
    256
}

fn streams_max() -> usize {
    100
}

impl CallerConfig {
    /// A caller with the limits that hold where none are set.
    pub fn new(accounts: &[&str], permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self {
            api_key_hashes: Vec::new(),
            identities: Vec::new(),
            accounts: accounts.iter().map(|name| (*name).to_owned()).collect(),
            permissions: permissions.into_iter().collect(),
            calls_per_second: calls_per_second(),
            calls_max: calls_max(),
            streams_max: streams_max(),
        }
    }
}

/// What is wrong with the callers among each other and with the accounts.
pub(super) fn violations(config: &Config) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |keys: Vec<String>, what: String, next: &str| found.push(Violation { keys, what, next: next.to_owned() });
    if config.callers.len() > CALLERS_MAX {
        let what = format!("there are {} callers, but at most {CALLERS_MAX} may be", config.callers.len());
        add(vec!["callers".to_owned()], what, "let services that do the same share a name");
    }
    let mut credentials: BTreeMap<String, &CallerName> = BTreeMap::new();
    for (name, caller) in &config.callers {
        let key = |key: &str| format!("callers.{name}.{key}");
        let (hashes, identities) = (key("api_key_hashes"), key("identities"));
        if caller.api_key_hashes.is_empty() && caller.identities.is_empty() {
            let what = format!("caller `{name}` has no credential, so it can never call");
            add(vec![hashes.clone(), identities.clone()], what, "`upistream caller new` makes a key; or name its certificate's identity");
        }
        for (key, count) in [(&hashes, caller.api_key_hashes.len()), (&identities, caller.identities.len())] {
            if count > CREDENTIALS_MAX {
                let what = format!("`{key}` has {count} entries, but at most {CREDENTIALS_MAX} may be");
                add(vec![key.clone()], what, "take out those that are no longer used");
            }
        }
        let of_keys = caller.api_key_hashes.iter().map(|hash| (&hashes, hash.to_string()));
        for (key, credential) in of_keys.chain(caller.identities.iter().map(|identity| (&identities, identity.clone()))) {
            if let Some(other) = credentials.insert(credential, name) {
                let what = format!("`{key}` has a credential that caller `{other}` has too, or has it twice");
                add(vec![key.clone()], what, "keep it once: a credential tells one caller");
            }
        }
        for account in caller.accounts.iter().filter(|account| *account != EVERY_ACCOUNT) {
            let is_of_sandbox = config.sandbox.is_some() && SANDBOX_ACCOUNTS.contains(&account.as_str());
            if !is_of_sandbox && !config.accounts.keys().any(|known| known.as_str() == account) {
                let what = format!("`{}` names `{account}`, which is no account here", key("accounts"));
                add(vec![key("accounts")], what, "name accounts of this configuration, or \"*\" for all");
            }
        }
    }
    found
}

pub(super) const API_KEY_HASHES: &str = "a list of hashes as `upistream caller new` prints them: [\"sha256:…\"]";
pub(super) const IDENTITIES: &str =
    "a list of URI or DNS names of client certificates, such as [\"spiffe://example.org/orders\", \"orders.prod.svc\"]";
pub(super) const ACCOUNTS: &str = "a list of accounts, such as [\"shop\"], or [\"*\"] for all";
pub(super) const PERMISSIONS: &str = "a list of permissions, such as [\"qr:write\", \"qr:read\"]; `upistream caller new --help` names all";

pub(super) fn api_key_hash(text: &str) -> bool {
    text.parse::<ApiKeyHash>().is_ok()
}

/// What a certificate can hold as a URI or DNS name, and no pattern: each name is compared whole, DNS names in lower case.
pub(super) fn identity(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/%@".contains(&b);
    let is_uri = text.contains(':');
    (1..=2_048).contains(&text.len()) && text.bytes().all(|b| plain(b) && (is_uri || !b.is_ascii_uppercase()))
}

pub(super) fn account(text: &str) -> bool {
    text == EVERY_ACCOUNT || text.parse::<AccountName>().is_ok()
}

pub(super) fn permission(text: &str) -> bool {
    text.parse::<Permission>().is_ok()
}

pub(super) fn judge_texts(texts: &[toml::Value], fits: fn(&str) -> bool, be: &str) -> Result<(), String> {
    must(texts.iter().all(|text| text.as_str().is_some_and(fits)), be)
}
