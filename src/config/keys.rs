//! Every setting's name, and what it takes. The file and the environment are both read against this
//! list, which is how all that is wrong can be named at once, and the nearest known name with it. It
//! knows nothing of where a value came from.

use std::collections::BTreeSet;

use super::account::{MANDATE_MEANINGS, NOTICE_MEANINGS, PERIODS, RULES, SERVICE_CODES};
use super::callers::{self, ACCOUNTS, API_KEY_HASHES, IDENTITIES, PERMISSIONS};
use super::secrets::{Goes, SecretRule};
use super::takes::{
    Takes, address, anything, authorization, base_url, client_certificate, collector_url, eko_base_url, eko_initiator_id, eko_user_code,
    header_text, key_id, key_prefix, log_format, log_level, loopback_address, mandate_amount_unit, mandate_naming, mandate_no_rule,
    mandate_paths, mcc, order_lookup_path, path, public_url, razorpay_account_id, retention_at_rest, service_instance, service_name,
};

/// What environment variables that set something begin with. Kubernetes' own `UPISTREAM_PORT_…` don't.
pub(super) const PREFIX: &str = "UPISTREAM__";

pub(super) struct Key {
    /// Dotted; `*` stands for the name of a caller or an account.
    pub path: &'static str,
    pub takes: Takes,
    /// Whether it has no default, so that its section is incomplete without it.
    pub needed: bool,
}

const MS_MAX: u64 = 10 * 60 * 1000;
const DAY_S: u64 = 24 * 60 * 60;

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    text("grpc.listen", address),
    number("grpc.request_bytes_max", 4 * 1024, 16 * 1024 * 1024),
    number("grpc.deadline_default_ms", 1_000, MS_MAX),
    number("grpc.deadline_margin_ms", 1, 10_000),
    number("grpc.streams_max", 1, 1_000_000),
    number("grpc.streams_per_caller_max", 1, 1_000_000),
    text("grpc.tls.cert_file", anything),
    text("grpc.tls.key_file", anything),
    text("grpc.tls.client_ca_file", anything),
    text("grpc.tls.client_certificate", client_certificate),
    text("webhooks.listen", address),
    text("webhooks.public_url", public_url),
    number("webhooks.body_bytes_max", 16 * 1024, 1024 * 1024),
    number("webhooks.concurrency_max", 1, 65_536),
    number("webhooks.read_timeout_ms", 100, 60_000),
    key("webhooks.trusted_proxies", Takes::Networks { everything: "would believe anybody's forwarded headers" }),
    number("webhooks.quarantine_max", 1, 1_000_000),
    text("admin.listen", address),
    number("store.partitions", 1, 256),
    text("store.embedded.path", path),
    needed("store.redis.urls", Takes::RedisUrls),
    needed("store.redis.retention_at_rest", Takes::Text(retention_at_rest)),
    key("store.redis.cluster", Takes::Flag),
    text("store.redis.username", anything),
    key("store.redis.password", secret(1, Goes::Anywhere)),
    text("store.redis.ca_file", anything),
    text("store.redis.prefix", key_prefix),
    number("store.redis.timeout_ms", 50, 60_000),
    number("store.redis.connect_timeout_ms", 50, 60_000),
    key("store.redis.allow_data_loss", Takes::Flag),
    number("store.redis.wait_replicas", 0, 16),
    number("store.redis.wait_timeout_ms", 10, 60_000),
    key("store.redis.token_key", secret(43, Goes::Anywhere)),
    number("idempotency.retention_h", 24, 24 * 366),
    number("events.retention_h", 1, 24 * 366),
    number("events.ring_frames", 64, 1024 * 1024),
    number("events.page", 1, 10_000),
    number("events.heartbeat_default_ms", 100, MS_MAX),
    number("events.heartbeat_min_ms", 100, MS_MAX),
    number("events.heartbeat_max_ms", 100, MS_MAX),
    number("events.subscription_age_max_s", 60, DAY_S),
    number("reconciler.workers", 1, 256),
    number("reconciler.lease_ms", 1_000, MS_MAX),
    number("reconciler.absence_after_s", 60, DAY_S),
    number("reconciler.first_look_s", 1, DAY_S),
    number("reconciler.look_max_s", 1, DAY_S),
    number("reconciler.lookups_per_second", 1, 1_000),
    number("reconciler.batch", 1, 1_000),
    number("provider_calls.calls_max", 1, 10_000),
    number("provider_calls.waiting_max", 0, 100_000),
    // No more calls are remembered.
    number("provider_calls.breaker_failures", 1, 100),
    number("provider_calls.breaker_failure_percent", 1, 100),
    number("provider_calls.breaker_window_s", 1, 60 * 60),
    number("provider_calls.breaker_open_ms", 10, MS_MAX),
    number("provider_calls.breaker_trials", 1, 100),
    key("settlements.fetch", Takes::Flag),
    number("settlements.sync_every_s", 60, DAY_S),
    number("settlements.backfill_days", 1, 366),
    number("settlements.reread_days", 1, 45),
    number("settlements.report_lag_s", 0, DAY_S),
    key("settlements.holidays", Takes::Days),
    number("mandates.retry_after_s", 60, 7 * DAY_S),
    number("mandates.notice_delivery_s", 60, DAY_S),
    text("mandates.rules_file", anything),
    number("drain.delay_ms", 0, MS_MAX),
    number("drain.limit_ms", 0, MS_MAX),
    number("reload.every_s", 1, 60 * 60),
    text("log.level", log_level),
    text("log.format", log_format),
    text("telemetry.otlp_endpoint", collector_url),
    number("telemetry.trace_percent", 0, 100),
    number("telemetry.export_every_ms", 1_000, MS_MAX),
    number("telemetry.queue_spans", 64, 65_536),
    text("telemetry.service_name", service_name),
    text("telemetry.service_instance", service_instance),
    key("telemetry.propagate_to_providers", Takes::Flag),
    key("callers.*.api_key_hashes", Takes::Texts { fits: callers::api_key_hash, be: API_KEY_HASHES }),
    key("callers.*.identities", Takes::Texts { fits: callers::identity, be: IDENTITIES }),
    needed("callers.*.accounts", Takes::Texts { fits: callers::account, be: ACCOUNTS }),
    needed("callers.*.permissions", Takes::Texts { fits: callers::permission, be: PERMISSIONS }),
    number("callers.*.calls_per_second", 1, 1_000_000),
    number("callers.*.calls_max", 1, 65_536),
    number("callers.*.streams_max", 1, 1_000_000),
    text("sandbox.listen", loopback_address),
    text("sandbox.state_file", anything),
    needed("accounts.*.webhook_url_secrets", secret(16, Goes::IntoAUrl)),
    text("accounts.*.razorpay.base_url", base_url),
    needed("accounts.*.razorpay.key_id", Takes::Text(key_id)),
    needed("accounts.*.razorpay.key_secret", secret(1, Goes::Anywhere)),
    needed("accounts.*.razorpay.webhook_secrets", secret(16, Goes::Anywhere)),
    text("accounts.*.razorpay.account_id", razorpay_account_id),
    text("accounts.*.razorpay.mcc", mcc),
    number("accounts.*.razorpay.timeout_ms", 100, MS_MAX),
    number("accounts.*.razorpay.deadline_floor_ms", 100, 60_000),
    number("accounts.*.razorpay.close_by_min_s", 2 * 60, 45 * DAY_S),
    number("accounts.*.razorpay.close_by_max_s", 2 * 60, 45 * DAY_S),
    number("accounts.*.razorpay.notes_value_max", 64, 256),
    number("accounts.*.razorpay.settlement_cycle_days", 0, 30),
    text("accounts.*.enkash.base_url", base_url),
    needed("accounts.*.enkash.access_key", Takes::Text(header_text)),
    needed("accounts.*.enkash.secret_key", secret(1, Goes::Anywhere)),
    key("accounts.*.enkash.api_key", secret(1, Goes::IntoAHeader)),
    text("accounts.*.enkash.authorization", authorization),
    text("accounts.*.enkash.order_lookup_path", order_lookup_path),
    key("accounts.*.enkash.allow_unobservable_qr", Takes::Flag),
    text("accounts.*.enkash.mcc", mcc),
    number("accounts.*.enkash.timeout_ms", 100, MS_MAX),
    number("accounts.*.enkash.deadline_floor_ms", 100, 60_000),
    needed("accounts.*.enkash.mandates.paths", Takes::Text(mandate_paths)),
    needed("accounts.*.enkash.mandates.naming", Takes::Text(mandate_naming)),
    needed("accounts.*.enkash.mandates.amount_unit", Takes::Text(mandate_amount_unit)),
    text("accounts.*.enkash.mandates.no_rule", mandate_no_rule),
    needed("accounts.*.enkash.mandates.periods", Takes::WordsFor(PERIODS)),
    needed("accounts.*.enkash.mandates.rules", Takes::WordsFor(RULES)),
    needed("accounts.*.enkash.mandates.statuses", Takes::Meanings(MANDATE_MEANINGS)),
    needed("accounts.*.enkash.mandates.notice_statuses", Takes::Meanings(NOTICE_MEANINGS)),
    text("accounts.*.oqpay.base_url", base_url),
    needed("accounts.*.oqpay.registration_id", secret(1, Goes::Anywhere)),
    key("accounts.*.oqpay.bearer_token", secret(1, Goes::IntoAHeader)),
    key("accounts.*.oqpay.callbacks_prove", Takes::Flag),
    key("accounts.*.oqpay.payee_vpas", Takes::Vpas),
    key("accounts.*.oqpay.callback_networks", Takes::Networks { everything: "would believe anybody's callbacks" }),
    number("accounts.*.oqpay.timeout_ms", 100, MS_MAX),
    number("accounts.*.oqpay.deadline_floor_ms", 100, 60_000),
    text("accounts.*.eko.base_url", eko_base_url),
    needed("accounts.*.eko.developer_key", Takes::Text(header_text)),
    needed("accounts.*.eko.access_key", secret(1, Goes::Anywhere)),
    needed("accounts.*.eko.initiator_id", Takes::Text(eko_initiator_id)),
    needed("accounts.*.eko.user_code", Takes::Text(eko_user_code)),
    key("accounts.*.eko.service_code", Takes::OneOf(SERVICE_CODES)),
    key("accounts.*.eko.activate_service", Takes::Flag),
    number("accounts.*.eko.settlement_cycle_days", 0, 30),
    number("accounts.*.eko.timeout_ms", 100, MS_MAX),
    number("accounts.*.eko.deadline_floor_ms", 100, 60_000),
];

/// What a dotted path, taken apart, is.
pub(super) enum Found {
    Setting(&'static Key),
    Section,
    Unknown,
}

pub(super) fn find(path: &[String]) -> Found {
    let matches = |key: &&Key| {
        let segments = key.path.split('.');
        segments.zip(path).all(|(known, given)| known == "*" || known == given)
    };
    let depth = |key: &Key| key.path.split('.').count();
    let mut below = KEYS.iter().filter(matches).filter(|key| depth(key) >= path.len()).peekable();
    match below.peek() {
        None => Found::Unknown,
        Some(_) => below.find(|key| depth(key) == path.len()).map_or(Found::Section, Found::Setting),
    }
}

/// Whether a dotted path is a setting, and not a section or nothing.
pub(super) fn is_setting(dotted: &str) -> bool {
    matches!(find(&segments(dotted, "")), Found::Setting(_))
}

/// The key that an environment variable means (`rest` is what follows the prefix), with the name of the
/// caller or account put in. Case doesn't count, and `_` stands for `-`. A name with two dashes in a row
/// looks like a section, so it counts only if it is one of `names`, which the file has.
pub(super) fn find_variable(rest: &str, names: &BTreeSet<String>) -> Option<(&'static Key, Vec<String>)> {
    let rest = rest.to_ascii_lowercase().replace('-', "_");
    KEYS.iter().find_map(|key| {
        let pattern = key.path.replace('.', "__");
        let name = match pattern.split_once('*') {
            None => return (pattern == rest).then(|| (key, segments(key.path, ""))),
            Some((before, after)) => rest.strip_prefix(before)?.strip_suffix(after)?.replace('_', "-"),
        };
        let plain = !name.is_empty() && !name.contains("--");
        (plain || names.contains(&name)).then(|| (key, segments(key.path, &name)))
    })
}

fn segments(path: &str, name: &str) -> Vec<String> {
    path.split('.').map(|segment| if segment == "*" { name } else { segment }.to_owned()).collect()
}

/// "did you mean …?" for a key of the file that nobody knows.
pub(super) fn suggest(path: &[String]) -> String {
    let (last, parents) = path.split_last().expect("a key has at least one segment");
    let here: BTreeSet<&str> = KEYS.iter().filter_map(|key| child(key, parents)).collect();
    if let Some(near) = nearest(last, here.iter().copied())
        && strsim::damerau_levenshtein(last, near) * 2 <= last.len().max(near.len())
    {
        return format!("did you mean `{near}`?");
    }
    // The right name in the wrong section.
    let elsewhere = |key: &&Key| key.path.rsplit('.').next() == Some(last);
    if let Some(key) = KEYS.iter().find(elsewhere) {
        return format!("did you mean `{}`?", named(key.path));
    }
    let here: Vec<String> = here.into_iter().map(|name| format!("`{name}`")).collect();
    format!("what is known there is {}", here.join(", "))
}

/// "did you mean …?" for an environment variable that nobody knows.
pub(super) fn suggest_variable(rest: &str) -> String {
    let upper = rest.to_ascii_uppercase().replace('-', "_");
    let given = match upper.split("__").collect::<Vec<_>>().as_slice() {
        ["ACCOUNTS" | "CALLERS", name, _, ..] => *name,
        _ => "NAME",
    };
    let known: Vec<String> = KEYS.iter().map(|key| key.path.to_ascii_uppercase().replace('.', "__").replace('*', given)).collect();
    let near = nearest(&upper, known.iter().map(String::as_str)).expect("there are known keys");
    format!("did you mean `{PREFIX}{near}`?")
}

/// `key`'s path as documents show it.
pub(super) fn named(path: &str) -> String {
    path.replace('*', "NAME")
}

/// The segment of `key` that follows `parents`, if it lies below them.
fn child(key: &'static Key, parents: &[String]) -> Option<&'static str> {
    let mut segments = key.path.split('.');
    for parent in parents {
        let segment = segments.next()?;
        if segment != "*" && segment != parent {
            return None;
        }
    }
    segments.next()
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|known| strsim::damerau_levenshtein(name, known))
}

const fn key(path: &'static str, takes: Takes) -> Key {
    Key { path, takes, needed: false }
}

const fn needed(path: &'static str, takes: Takes) -> Key {
    Key { path, takes, needed: true }
}

const fn number(path: &'static str, min: u64, max: u64) -> Key {
    key(path, Takes::Number { min, max })
}

const fn text(path: &'static str, judge: fn(&str) -> Result<(), String>) -> Key {
    key(path, Takes::Text(judge))
}

const fn secret(chars_min: usize, goes: Goes) -> Takes {
    Takes::Secrets(SecretRule { chars_min, goes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn suggests(path: &str, suggestion: &str) {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        assert!(matches!(find(&path), Found::Unknown), "{path:?} is known");
        assert_eq!(suggest(&path), suggestion, "{path:?}");
    }

    #[test]
    fn an_unknown_key_gets_the_nearest_known_one() {
        suggests("grcp", "did you mean `grpc`?");
        suggests("grpc.listn", "did you mean `listen`?");
        suggests("reconciler.lease", "did you mean `lease_ms`?");
        suggests("accounts.shop.razorpay.key_secert", "did you mean `key_secret`?");
        suggests("accounts.shop.razopray", "did you mean `razorpay`?");
        suggests("accounts.shop.oqpay.callback_network", "did you mean `callback_networks`?");
        suggests("accounts.shop.eko.authorization", "did you mean `accounts.NAME.enkash.authorization`?");
        suggests("grpc.heartbeat_min_ms", "did you mean `events.heartbeat_min_ms`?");
        suggests("accounts.shop.key_id", "did you mean `accounts.NAME.razorpay.key_id`?");
        suggests("drain.verbosity", "what is known there is `delay_ms`, `limit_ms`");
    }

    #[track_caller]
    fn means(rest: &str, path: Option<&str>) {
        let accounts = ["two--dashes".to_owned()].into();
        let found = find_variable(rest, &accounts).map(|(_, segments)| segments.join("."));
        assert_eq!(found.as_deref(), path, "{rest}");
    }

    #[test]
    fn a_variable_means_a_key() {
        means("GRPC__LISTEN", Some("grpc.listen"));
        means("grpc__Listen", Some("grpc.listen"));
        means("STORE__EMBEDDED__PATH", Some("store.embedded.path"));
        means("STORE__REDIS__URLS", Some("store.redis.urls"));
        means("ACCOUNTS__SHOP_ONE__RAZORPAY__KEY_ID", Some("accounts.shop-one.razorpay.key_id"));
        means("ACCOUNTS__shop-one__RAZORPAY__KEY_ID", Some("accounts.shop-one.razorpay.key_id"));
        means("ACCOUNTS__SHOP_ONE__OQPAY__CALLBACK_NETWORKS", Some("accounts.shop-one.oqpay.callback_networks"));
        means("ACCOUNTS__EKO__ENKASH__ACCESS_KEY", Some("accounts.eko.enkash.access_key"));
        means("ACCOUNTS__RAZORPAY__RAZORPAY__KEY_ID", Some("accounts.razorpay.razorpay.key_id"));
        means("ACCOUNTS__TWO__DASHES__RAZORPAY__KEY_ID", Some("accounts.two--dashes.razorpay.key_id"));
        // Not an account named `shop--razorpay`.
        means("ACCOUNTS__SHOP__RAZORPAY__WEBHOOK_URL_SECRETS", None);
        means("ACCOUNTS____RAZORPAY__KEY_ID", None);
        means("GRPC_LISTEN", None);
        means("GRPC", None);
        means("", None);
    }

    #[test]
    fn an_unknown_variable_gets_the_nearest_known_one() {
        assert_eq!(suggest_variable("GRPC__LISTN"), "did you mean `UPISTREAM__GRPC__LISTEN`?");
        assert_eq!(suggest_variable("GRPC_LISTEN"), "did you mean `UPISTREAM__GRPC__LISTEN`?");
        assert_eq!(suggest_variable("ACCOUNTS__SHOP__RAZORPAY__KEYID"), "did you mean `UPISTREAM__ACCOUNTS__SHOP__RAZORPAY__KEY_ID`?");
    }
}
