//! The commented reference, `config.default.toml`, and what is made of it: defaults in messages and the
//! README's table. A comment right above a setting is its meaning; `#key = value` without a space is a
//! setting that is off; one without a comment was explained further up and only completes its section.

use super::keys::{self, KEYS, Key};
use super::takes::Takes;

/// The commented reference: what holds where nothing else is said.
pub fn default_toml() -> &'static str {
    include_str!("config.default.toml")
}

/// The reference as the README shows it: a row for each setting.
pub fn reference_table() -> String {
    let mut table = "| key | default | meaning |\n|---|---|---|\n".to_owned();
    for Row { key, value, meaning } in rows() {
        let default = match KEYS.iter().find(|known| keys::named(known.path) == key) {
            Some(known) if known.needed => "needed".to_owned(),
            // What the reference shows there is an example.
            Some(Key { takes: Takes::Secrets(_), .. }) => "none".to_owned(),
            _ => format!("`{value}`"),
        };
        table += &format!("| `{key}` | {default} | {} |\n", meaning.replace('|', "\\|"));
    }
    table
}

/// The default of a setting, as TOML; none for one that is needed.
pub(super) fn default_of(path: &str) -> Option<String> {
    let name = keys::named(path);
    rows().into_iter().find(|row| row.key == name && !is_needed(&name)).map(|row| row.value)
}

struct Row {
    key: String,
    value: String,
    meaning: String,
}

fn is_needed(name: &str) -> bool {
    KEYS.iter().any(|key| key.needed && keys::named(key.path) == name)
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut section, mut meaning) = (String::new(), Vec::new());
    for line in default_toml().lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            meaning.push(comment);
            continue;
        }
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, value)) = line.split_once(" = ")
            && !meaning.is_empty()
        {
            let key = any_name(&format!("{section}.{key}"));
            rows.push(Row { key, value: value.to_owned(), meaning: meaning.join(" ") });
        }
        meaning.clear();
    }
    rows
}

/// The callers and accounts of the reference stand for any.
fn any_name(key: &str) -> String {
    match key.split('.').collect::<Vec<_>>().as_slice() {
        [section @ ("accounts" | "callers"), _, rest @ ..] => format!("{section}.NAME.{}", rest.join(".")),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config::account::PROVIDERS;
    use crate::config::{
        Backend, Config, EkoConfig, EnkashConfig, OqpayConfig, ProviderConfig, RazorpayConfig, RedisConfig, SandboxSettings,
    };

    /// The reference with everything that is off switched on, and the store that goes out for it.
    fn all_on() -> String {
        let on = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
            _ => line.to_owned(),
        };
        let embedded = ["[store.embedded]", "path = \"upistream-data/upistream.db\""];
        default_toml().lines().filter(|line| !embedded.contains(line)).map(|line| on(line) + "\n").collect()
    }

    #[test]
    fn the_reference_is_the_default() {
        assert_eq!(toml::from_str::<Config>(default_toml()).unwrap(), Config::default());
    }

    #[test]
    fn the_reference_says_no_more_than_a_whole_configuration() {
        let given: toml::Table = default_toml().parse().unwrap();
        let whole = toml::Table::try_from(Config::default()).unwrap();
        let sections =
            |table: &toml::Table| table.keys().filter(|&key| key != "accounts" && key != "callers").cloned().collect::<BTreeSet<_>>();
        assert_eq!(sections(&given), sections(&whole));
    }

    #[test]
    fn the_reference_names_every_setting_with_its_meaning() {
        let rows = rows();
        let named: BTreeSet<String> = rows.iter().map(|row| row.key.clone()).collect();
        let known: BTreeSet<String> = KEYS.iter().map(|key| keys::named(key.path)).collect();
        assert_eq!(named, known);
        assert_eq!(named.len(), rows.len());
        for Row { key, meaning, .. } in rows {
            assert!(meaning.ends_with('.'), "`{key}` has no meaning, or not a sentence: {meaning}");
        }
    }

    #[test]
    fn what_is_off_in_the_reference_shows_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upistream.toml");
        std::fs::write(&path, all_on()).unwrap();
        let named = default_toml().split("{ env = \"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
        let environment = named.map(|name| (name.clone(), format!("{name}-0123456789-0123456789-0123456789-0123456789")));
        let config = Config::load(Some(Path::new(&path)), environment).unwrap().config;

        assert_eq!(config.sandbox, Some(SandboxSettings::default()));
        let Backend::Redis(redis) = &config.store.backend else { panic!("redis is switched on") };
        let RedisConfig { urls, retention_at_rest, password, token_key, .. } = *redis.clone();
        assert!(password.is_some() && token_key.is_some());
        assert_eq!(**redis, RedisConfig { password, token_key, ..RedisConfig::new(urls, retention_at_rest) });
        assert_eq!(config.accounts.len(), PROVIDERS.len());
        for account in config.accounts.into_values() {
            match account.provider {
                ProviderConfig::Razorpay(shop) => {
                    let RazorpayConfig { key_id, key_secret, webhook_secrets, .. } = shop.clone();
                    assert_eq!(shop, RazorpayConfig::new(key_id, key_secret, webhook_secrets));
                }
                ProviderConfig::Enkash(shop) => {
                    let EnkashConfig { access_key, secret_key, api_key, mandates, .. } = shop.clone();
                    assert!(api_key.is_some());
                    assert_eq!(mandates.as_ref().map(|mandates| mandates.no_rule.clone()), Some(None));
                    assert_eq!(shop, EnkashConfig { api_key, mandates, ..EnkashConfig::new(access_key, secret_key) });
                }
                ProviderConfig::Oqpay(shop) => {
                    let OqpayConfig { registration_id, bearer_token, .. } = shop.clone();
                    assert!(bearer_token.is_some());
                    assert_eq!(shop, OqpayConfig { bearer_token, ..OqpayConfig::new(registration_id) });
                }
                ProviderConfig::Eko(shop) => {
                    let EkoConfig { developer_key, access_key, initiator_id, user_code, .. } = shop.clone();
                    assert_eq!(shop, EkoConfig::new(developer_key, access_key, initiator_id, user_code));
                }
            }
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_setting() {
        let table = reference_table();
        assert_eq!(table.lines().count(), KEYS.len() + 2);
        assert!(table.contains("| `grpc.listen` | `\"127.0.0.1:50051\"` | "), "{table}");
        assert!(table.contains("| `accounts.NAME.razorpay.key_id` | needed | "), "{table}");
        assert_eq!(default_of("accounts.*.razorpay.timeout_ms").as_deref(), Some("10000"));
        assert_eq!(default_of("accounts.*.razorpay.key_id"), None);
        assert_eq!(default_of("accounts.*.eko.service_code").as_deref(), Some("59"));
        assert!(table.contains("| `accounts.NAME.enkash.api_key` | none | "), "{table}");
        assert!(table.contains("| `accounts.NAME.enkash.mandates.periods` | needed | "), "{table}");
    }
}
