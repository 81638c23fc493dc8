//! The commented reference, `config.default.toml`, and what is made of it: defaults in messages and the
//! README's table. A comment right above a setting is its meaning; `#key = value` without a space is a
//! setting that is off.

use super::keys::{self, KEYS, Key};
use super::takes::Takes;

/// The account that stands for any in the reference.
const SAMPLE: &str = "accounts.shop.";

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
        } else if let Some((key, value)) = line.split_once(" = ") {
            let key = format!("{section}.{key}").replace(SAMPLE, "accounts.NAME.");
            rows.push(Row { key, value: value.to_owned(), meaning: meaning.join(" ") });
        }
        meaning.clear();
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config::{Backend, Config, ProviderConfig, RazorpayConfig, RedisConfig, SandboxSettings};

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
        let sections = |table: &toml::Table| table.keys().filter(|&key| key != "accounts").cloned().collect::<BTreeSet<_>>();
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
        let names = ["SHOP_KEY_SECRET", "SHOP_WEBHOOK_SECRET", "SHOP_URL_SECRET", "REDIS_PASSWORD", "UPISTREAM_TOKEN_KEY"];
        let environment = names.map(|name| (name.to_owned(), format!("{name}-0123456789-0123456789-0123456789-0123456789")));
        let config = Config::load(Some(Path::new(&path)), environment.into_iter()).unwrap().config;

        assert_eq!(config.sandbox, Some(SandboxSettings::default()));
        let Backend::Redis(redis) = &config.store.backend else { panic!("redis is switched on") };
        let RedisConfig { urls, retention_at_rest, password, token_key, .. } = *redis.clone();
        assert!(password.is_some() && token_key.is_some());
        assert_eq!(**redis, RedisConfig { password, token_key, ..RedisConfig::new(urls, retention_at_rest) });
        let ProviderConfig::Razorpay(shop) = &config.accounts["shop"].provider;
        let RazorpayConfig { key_id, key_secret, webhook_secrets, .. } = shop.clone();
        assert_eq!(*shop, RazorpayConfig::new(key_id, key_secret, webhook_secrets));
    }

    #[test]
    fn the_table_has_a_row_for_each_setting() {
        let table = reference_table();
        assert_eq!(table.lines().count(), KEYS.len() + 2);
        assert!(table.contains("| `grpc.listen` | `\"127.0.0.1:50051\"` | "), "{table}");
        assert!(table.contains("| `accounts.NAME.razorpay.key_id` | needed | "), "{table}");
        assert_eq!(default_of("accounts.*.razorpay.timeout_ms").as_deref(), Some("10000"));
        assert_eq!(default_of("accounts.*.razorpay.key_id"), None);
    }
}
