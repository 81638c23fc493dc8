//! Which settings differ between two configurations. Of secrets it says that they do, and never how.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backend, Config, RedisConfig};

impl Config {
    /// The dotted keys of the settings that are others in `other`, or there only. An account or a section that only one of the
    /// two has is named as a whole. The secrets of accounts are compared by their number at most: they may change while the service runs.
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let (ours, theirs) = (settings(self), settings(other));
        let differs = |key: &&String| ours.get(*key) != theirs.get(*key);
        let mut keys: BTreeSet<String> = ours.keys().chain(theirs.keys()).filter(differs).cloned().collect();
        for (name, (here, there)) in sections(self, other) {
            if here != there {
                let below = format!("{name}.");
                keys.retain(|key| !key.starts_with(&below));
                keys.insert(name);
            }
        }
        if let (Some(here), Some(there)) = (redis(self), redis(other)) {
            let secrets = [("password", here.password != there.password), ("token_key", here.token_key != there.token_key)];
            keys.extend(secrets.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| format!("store.redis.{name}")));
        }
        keys
    }
}

fn settings(config: &Config) -> BTreeMap<String, String> {
    config.describe().into_iter().collect()
}

/// What is there or not, and whether it is in each of the two.
fn sections(one: &Config, other: &Config) -> BTreeMap<String, (bool, bool)> {
    let mut found = BTreeMap::from([("sandbox".to_owned(), (one.sandbox.is_some(), other.sandbox.is_some()))]);
    for name in one.accounts.keys().chain(other.accounts.keys()) {
        let is_there = (one.accounts.contains_key(name), other.accounts.contains_key(name));
        found.insert(format!("accounts.{name}"), is_there);
    }
    for name in one.callers.keys().chain(other.callers.keys()) {
        let is_there = (one.callers.contains_key(name), other.callers.contains_key(name));
        found.insert(format!("callers.{name}"), is_there);
    }
    found
}

fn redis(config: &Config) -> Option<&RedisConfig> {
    match &config.store.backend {
        Backend::Redis(redis) => Some(redis),
        Backend::Embedded(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::config::{AccountConfig, OqpayConfig, ProviderConfig, RetentionAtRest, SandboxSettings, Secrets};
    use crate::domain::account::AccountName;

    fn secret(text: &str) -> Secrets {
        Secrets::one(SecretString::from(text))
    }

    #[track_caller]
    fn differ(change: impl FnOnce(&mut Config), keys: &[&str]) {
        let account = AccountConfig {
            webhook_url_secrets: secret("an-unguessable-part"),
            provider: ProviderConfig::Oqpay(OqpayConfig::new(secret("OQP-1"))),
        };
        let mut one = Config::default();
        one.accounts.insert("shop".parse().unwrap(), account);
        one.store.backend = Backend::Redis(Box::new(RedisConfig::new(vec!["redis://127.0.0.1".to_owned()], RetentionAtRest::Forever)));
        let mut other = one.clone();
        change(&mut other);
        let found: Vec<String> = one.differences(&other).into_iter().collect();
        assert_eq!(found, keys);
        assert_eq!(other.differences(&one).into_iter().collect::<Vec<_>>(), keys);
    }

    fn redis_of(config: &mut Config) -> &mut RedisConfig {
        let Backend::Redis(redis) = &mut config.store.backend else { panic!("it is a redis") };
        redis
    }

    #[test]
    fn settings_that_differ_are_named_by_their_keys() {
        differ(|_| (), &[]);
        differ(|config| config.drain.limit_ms += 1, &["drain.limit_ms"]);
        differ(|config| config.grpc.tls.cert_file = Some("cert.pem".into()), &["grpc.tls.cert_file"]);
        differ(
            |config| {
                config.events.page += 1;
                config.log.level = "debug".to_owned();
            },
            &["events.page", "log.level"],
        );
    }

    #[test]
    fn what_is_new_or_gone_is_named_as_a_whole() {
        let name: AccountName = "shop".parse().unwrap();
        differ(|config| drop(config.accounts.remove(&name)), &["accounts.shop"]);
        differ(|config| config.sandbox = Some(SandboxSettings::default()), &["sandbox"]);
        differ(|config| drop(config.accounts.insert("two".parse().unwrap(), config.accounts[&name].clone())), &["accounts.two"]);
    }

    #[test]
    fn of_secrets_only_those_count_that_need_a_restart() {
        let name: AccountName = "shop".parse().unwrap();
        differ(|config| config.accounts.get_mut(&name).unwrap().webhook_url_secrets = secret("another-such-part"), &[]);
        differ(|config| redis_of(config).password = Some(secret("one")), &["store.redis.password"]);
        differ(|config| redis_of(config).token_key = Some(secret(&"k".repeat(43))), &["store.redis.token_key"]);
        let mut with_password = Config::default();
        with_password.store.backend = Backend::Redis(Box::new(RedisConfig::new(Vec::new(), RetentionAtRest::Forever)));
        redis_of(&mut with_password).password = Some(secret("one"));
        let mut with_another = with_password.clone();
        redis_of(&mut with_another).password = Some(secret("two"));
        let found: Vec<String> = with_password.differences(&with_another).into_iter().collect();
        assert_eq!(found, ["store.redis.password"]);
    }
}
