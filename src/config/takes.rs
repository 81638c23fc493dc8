//! What a setting's value may be by itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::callers::judge_texts;
use super::cidr::Cidr;
use super::redis::RetentionAtRest;
use super::secrets::SecretRule;
use super::words::{is_word, judge_meanings, judge_words, meanings_of, words_for};
use crate::domain::personal::Vpa;

pub(super) enum Takes {
    Number {
        min: u64,
        max: u64,
    },
    /// A number that is one of these.
    OneOf(&'static [u64]),
    /// Says what the text must be when it isn't.
    Text(fn(&str) -> Result<(), String>),
    Networks {
        /// What a network of all addresses would do, so that it is refused.
        everything: &'static str,
    },
    /// A list of texts, each of which fits; `be` says what it must be.
    Texts {
        fits: fn(&str) -> bool,
        be: &'static str,
    },
    /// UPI addresses.
    Vpas,
    /// Days, such as bank holidays.
    Days,
    /// Where redis servers are.
    RedisUrls,
    /// A provider's word for each of these names, of which none is needed: `{ monthly = "MONTHLY" }`.
    WordsFor(&'static [&'static str]),
    /// What words of a provider's mean, each as one of these names: `{ ACTIVE = "active" }`.
    Meanings(&'static [&'static str]),
    /// True or false.
    Flag,
    Secrets(SecretRule),
}

impl Takes {
    /// What the value must be, if it isn't. Secrets are judged where they are read, since what stands here may only say where.
    pub(super) fn judge(&self, value: &toml::Value) -> Result<(), String> {
        match (self, value) {
            (Self::Number { min, max }, toml::Value::Integer(n)) if u64::try_from(*n).is_ok_and(|n| (*min..=*max).contains(&n)) => Ok(()),
            (Self::Number { min, max }, _) => Err(format!("a whole number from {min} to {max}")),
            (Self::OneOf(known), toml::Value::Integer(n)) if u64::try_from(*n).is_ok_and(|n| known.contains(&n)) => Ok(()),
            (Self::OneOf(known), _) => Err(known.iter().map(u64::to_string).collect::<Vec<_>>().join(" or ")),
            (Self::Text(judge), toml::Value::String(text)) => judge(text),
            (Self::Text(_), _) => Err("a text in quotes".to_owned()),
            (Self::Networks { everything }, toml::Value::Array(networks)) => judge_networks(networks, everything),
            (Self::Networks { .. }, _) => Err("a list of networks, such as [\"10.0.0.0/8\"]".to_owned()),
            (Self::Texts { fits, be }, toml::Value::Array(texts)) => judge_texts(texts, *fits, be),
            (Self::Texts { be, .. }, _) => Err((*be).to_owned()),
            (Self::Vpas, toml::Value::Array(addresses)) => judge_vpas(addresses),
            (Self::Vpas, _) => Err(VPAS.to_owned()),
            (Self::Days, toml::Value::Array(days)) => judge_days(days),
            (Self::Days, _) => Err(DAYS.to_owned()),
            (Self::RedisUrls, toml::Value::Array(urls)) => judge_redis_urls(urls),
            (Self::RedisUrls, _) => Err("a list of addresses, such as [\"redis://127.0.0.1:6379\"]".to_owned()),
            (Self::WordsFor(names), toml::Value::Table(words)) => judge_words(names, words),
            (Self::WordsFor(names), _) => Err(words_for(names)),
            (Self::Meanings(names), toml::Value::Table(meanings)) => judge_meanings(names, meanings),
            (Self::Meanings(names), _) => Err(meanings_of(names)),
            (Self::Flag, toml::Value::Boolean(_)) => Ok(()),
            (Self::Flag, _) => Err("true or false".to_owned()),
            (Self::Secrets(_), _) => Ok(()),
        }
    }
}

const DAYS: &str = "a list of days, such as [\"2026-01-26\"]";

fn judge_days(days: &[toml::Value]) -> Result<(), String> {
    let is_day = |day: &toml::Value| day.as_str().is_some_and(|text| text.parse::<jiff::civil::Date>().is_ok());
    must(days.iter().all(is_day), DAYS)
}

pub(super) fn must(holds: bool, be: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(be.to_owned()) }
}

pub(super) fn address(text: &str) -> Result<(), String> {
    must(text.parse::<SocketAddr>().is_ok(), "an IP address with a port, such as 127.0.0.1:50051")
}

/// Whoever reaches the sandbox commands it: nobody else's machine may.
pub(super) fn loopback_address(text: &str) -> Result<(), String> {
    must(
        text.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()),
        "a loopback address with a port, such as 127.0.0.1:0: whoever reaches the sandbox commands it",
    )
}

pub(super) fn public_url(text: &str) -> Result<(), String> {
    must(
        text.is_empty() || is_https(text, true),
        "empty or an https:// URL without a query or a slash at its end, such as https://pay.example.com",
    )
}

/// The collector is most often the machine's own or the cluster's, which speaks without TLS.
pub(super) fn collector_url(text: &str) -> Result<(), String> {
    let is_plain = |uri: &http::Uri| {
        let has_host =
            uri.host().is_some_and(|host| !host.is_empty()) && !uri.authority().is_some_and(|place| place.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https")) && has_host && matches!(uri.path(), "" | "/") && uri.query().is_none()
    };
    must(
        text.is_empty() || (!text.ends_with('/') && text.parse::<http::Uri>().as_ref().is_ok_and(is_plain)),
        "empty or the URL of a collector that speaks OTLP over gRPC, without a path, such as http://127.0.0.1:4317",
    )
}

pub(super) fn service_name(text: &str) -> Result<(), String> {
    must(!text.is_empty() && is_plain_name(text), "1 to 64 letters, digits, `-`, `_` or `.`")
}

pub(super) fn service_instance(text: &str) -> Result<(), String> {
    must(is_plain_name(text), "empty, or at most 64 letters, digits, `-`, `_` or `.`")
}

fn is_plain_name(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A path would most often be the API's version, which the calls bring along. On loopback it is the sandbox's way of telling
/// its providers apart.
pub(super) fn base_url(text: &str) -> Result<(), String> {
    let may_have_path = text.starts_with("http://");
    must(
        is_https(text, may_have_path),
        "an https:// URL of a host alone, such as https://api.razorpay.com (http:// on loopback only, where it may have a path)",
    )
}

/// Eko's environments differ in a path that belongs to the address; the generation of the API comes after it, with the calls.
pub(super) fn eko_base_url(text: &str) -> Result<(), String> {
    let has_generation = ["/v1", "/v2", "/v3"].iter().any(|generation| text.ends_with(generation));
    must(
        is_https(text, true) && !has_generation,
        "an https:// URL without the /v3 that follows it, such as https://api.eko.in/ekoicici (http:// on loopback only)",
    )
}

/// Credentials in a URL would end up in logs; plain http is for loopback, where nobody listens in.
fn is_https(text: &str, may_have_path: bool) -> bool {
    let Ok(url) = text.parse::<http::Uri>() else {
        return false;
    };
    let Some(host) = url.host() else { return false };
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let scheme_fits = match url.scheme_str() {
        Some("https") => true,
        Some("http") => loopback,
        _ => false,
    };
    scheme_fits && url.query().is_none() && !text.contains(['@', '#']) && !text.ends_with('/') && (may_have_path || url.path() == "/")
}

pub(super) fn path(text: &str) -> Result<(), String> {
    must(!text.trim().is_empty(), "a path")
}

pub(super) fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

pub(super) fn log_level(text: &str) -> Result<(), String> {
    let be = "a level (error, warn, info, debug, trace) or directives such as info,upistream=debug";
    // A bare word that is no level is taken for a module's name, and would silence everything else.
    let mut parts = text.split(',');
    let said = parts.all(|part| part.contains(['=', '[']) || part.parse::<LevelFilter>().is_ok());
    must(!text.trim().is_empty() && said && EnvFilter::try_new(text).is_ok(), be)
}

pub(super) fn log_format(text: &str) -> Result<(), String> {
    must(matches!(text, "text" | "json"), "\"text\" or \"json\"")
}

pub(super) fn client_certificate(text: &str) -> Result<(), String> {
    must(matches!(text, "optional" | "required"), "\"optional\" or \"required\"")
}

pub(super) fn key_id(text: &str) -> Result<(), String> {
    // A colon would end it early in HTTP's basic authentication.
    let plain = |b: u8| b.is_ascii_graphic() && b != b':';
    must(!text.is_empty() && text.bytes().all(plain), "a key id, such as rzp_live_…")
}

pub(super) fn razorpay_account_id(text: &str) -> Result<(), String> {
    let id = text.strip_prefix("acc_");
    let plain = id.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric()));
    must(text.is_empty() || plain, "empty or an account id, such as acc_…")
}

pub(super) fn header_text(text: &str) -> Result<(), String> {
    must(!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()), "a key of visible ASCII characters, since it is sent as a header")
}

pub(super) fn authorization(text: &str) -> Result<(), String> {
    must(matches!(text, "bearer" | "bare"), "\"bearer\" or \"bare\"")
}

/// Our reference takes the place of the braces: what is not to be there was most likely mistyped, and every look-up would fail.
pub(super) fn order_lookup_path(text: &str) -> Result<(), String> {
    let fits = text.split_once("{merchantOrderId}").is_some_and(|(before, after)| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~?=&%".contains(&b);
        before.starts_with('/') && before.bytes().chain(after.bytes()).all(plain)
    });
    must(text.is_empty() || fits, "empty or a path with {merchantOrderId} in it once, such as /api/v0/…/{merchantOrderId}")
}

pub(super) fn mandate_paths(text: &str) -> Result<(), String> {
    must(matches!(text, "g2" | "g3"), "\"g2\" (/api/v0/upi-autopay/mandates) or \"g3\" (/api/v0/upi-mandate)")
}

pub(super) fn mandate_naming(text: &str) -> Result<(), String> {
    must(matches!(text, "snake_case" | "camel_case"), "\"snake_case\" or \"camel_case\"")
}

pub(super) fn mandate_amount_unit(text: &str) -> Result<(), String> {
    must(matches!(text, "paise" | "rupees"), "\"paise\" or \"rupees\"")
}

pub(super) fn mandate_no_rule(text: &str) -> Result<(), String> {
    must(text.is_empty() || is_word(text), "empty or a word")
}

pub(super) fn mcc(text: &str) -> Result<(), String> {
    let is_code = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
    must(text.is_empty() || is_code, "empty or a merchant category code of four digits, such as 5411")
}

pub(super) fn eko_initiator_id(text: &str) -> Result<(), String> {
    must(text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit()), "a mobile number of ten digits, such as 9876543210")
}

/// It stands in paths and queries.
pub(super) fn eko_user_code(text: &str) -> Result<(), String> {
    must(!text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric()), "a user code of letters and digits, such as 20810200")
}

pub(super) fn retention_at_rest(text: &str) -> Result<(), String> {
    RetentionAtRest::try_from(text.to_owned()).map(|_| ())
}

/// A brace would begin a hash tag of its own, and no key must be of another slot than its partition.
pub(super) fn key_prefix(text: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    must((1..=64).contains(&text.len()) && text.bytes().all(plain), "1 to 64 letters, digits, `-`, `_`, `.` or `:`")
}

fn judge_redis_urls(urls: &[toml::Value]) -> Result<(), String> {
    let be = "a list of redis://HOST:PORT, rediss://HOST:PORT (TLS) or unix:///PATH, without credentials (there is store.redis.password)";
    let fits = |url: &toml::Value| {
        let Some(text) = url.as_str() else { return false };
        if let Some(path) = text.strip_prefix("unix://") {
            return path.starts_with('/') && !path.contains(['?', '#']);
        }
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let parsed = text.parse::<http::Uri>();
        let is_plain =
            |uri: &http::Uri| uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none() && !text.contains(['@', '#']);
        matches!(scheme, Some("redis" | "rediss")) && parsed.as_ref().is_ok_and(is_plain)
    };
    must(!urls.is_empty() && urls.iter().all(fits), be)
}

const VPAS: &str = "a list of UPI addresses, such as [\"shop.GR0001@kotak\"]";

fn judge_vpas(addresses: &[toml::Value]) -> Result<(), String> {
    must(addresses.iter().all(|address| address.as_str().is_some_and(|text| Vpa::parse(text).is_ok())), VPAS)
}

fn judge_networks(networks: &[toml::Value], everything: &str) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for network in networks {
        let text = network.as_str().ok_or("a list of networks, such as [\"10.0.0.0/8\"]")?;
        let network: Cidr = text.parse().map_err(|error| format!("a list of networks, and `{text}` is none: {error}"))?;
        if network.is_everything() {
            return Err(format!("a list of networks, and `{text}` is all addresses: it {everything}"));
        }
        if !seen.insert(network) {
            return Err(format!("a list that names each network once, and `{text}` is there twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::keys::{KEYS, Key};

    #[track_caller]
    pub(in crate::config) fn judged(path: &str, value: &str, fits: bool) {
        let key = KEYS.iter().find(|key| key.path == path).unwrap();
        assert_eq!(key.takes.judge(&value.parse().unwrap()).is_ok(), fits, "{path} = {value}");
    }

    #[test]
    fn a_number_is_refused_just_outside_its_range_and_taken_at_its_ends() {
        let mut numbers = 0;
        for Key { path, takes, .. } in KEYS {
            let Takes::Number { min, max } = takes else {
                continue;
            };
            numbers += 1;
            judged(path, &min.to_string(), true);
            judged(path, &max.to_string(), true);
            judged(path, &(max + 1).to_string(), false);
            judged(path, &(*min as i64 - 1).to_string(), false);
            judged(path, &format!("\"{min}\""), false);
            judged(path, &format!("{min}.0"), false);
        }
        assert_eq!(numbers, 64);
    }

    #[test]
    fn texts_are_judged() {
        judged("grpc.listen", "'0.0.0.0:1'", true);
        judged("grpc.listen", "'[::1]:1'", true);
        judged("grpc.listen", "'localhost:1'", false);
        judged("grpc.listen", "'127.0.0.1'", false);
        judged("grpc.listen", "50051", false);
        judged("sandbox.listen", "'127.0.0.1:0'", true);
        judged("sandbox.listen", "'0.0.0.0:0'", false);
        judged("store.embedded.path", "' '", false);
        judged("store.redis.urls", "['redis://10.0.0.1:6379', 'rediss://redis.internal', 'unix:///run/redis.sock']", true);
        judged("store.redis.urls", "['redis://10.0.0.1:6379/3']", true);
        judged("store.redis.urls", "['redis://:password@10.0.0.1']", false);
        judged("store.redis.urls", "['http://10.0.0.1']", false);
        judged("store.redis.urls", "['redis://']", false);
        judged("store.redis.urls", "[]", false);
        judged("store.redis.urls", "'redis://10.0.0.1'", false);
        judged("store.redis.retention_at_rest", "'forever'", true);
        judged("store.redis.retention_at_rest", "'184d'", true);
        judged("store.redis.retention_at_rest", "'183d'", false);
        judged("store.redis.retention_at_rest", "'400'", false);
        judged("store.redis.prefix", "'pay:upi'", true);
        judged("store.redis.prefix", "'{pay}'", false);
        judged("store.redis.prefix", "''", false);
        judged("store.redis.cluster", "true", true);
        judged("store.redis.cluster", "'true'", false);
        judged("webhooks.public_url", "''", true);
        judged("webhooks.public_url", "'https://pay.example.com/upi'", true);
        judged("webhooks.public_url", "'http://pay.example.com'", false);
        judged("webhooks.public_url", "'https://pay.example.com/'", false);
        judged("webhooks.public_url", "'pay.example.com'", false);
        judged("webhooks.public_url", "'https://pay.example.com/?a=b'", false);
        judged("accounts.*.razorpay.base_url", "'https://api.razorpay.com'", true);
        judged("accounts.*.razorpay.base_url", "'http://127.0.0.1:9'", true);
        judged("accounts.*.razorpay.base_url", "'http://[::1]:9'", true);
        judged("accounts.*.razorpay.base_url", "'http://localhost:9'", true);
        judged("accounts.*.razorpay.base_url", "'http://api.razorpay.com'", false);
        judged("accounts.*.razorpay.base_url", "'https://api.razorpay.com/v1'", false);
        judged("accounts.*.razorpay.base_url", "'https://me:pass@api.razorpay.com'", false);
        judged("accounts.*.razorpay.base_url", "''", false);
        judged("accounts.*.razorpay.key_id", "'rzp_test_1'", true);
        judged("accounts.*.razorpay.key_id", "''", false);
        judged("accounts.*.razorpay.key_id", "'a:b'", false);
        judged("accounts.*.razorpay.account_id", "''", true);
        judged("accounts.*.razorpay.account_id", "'acc_Pz4'", true);
        judged("accounts.*.razorpay.account_id", "'acc_'", false);
        judged("accounts.*.razorpay.account_id", "'Pz4'", false);
        judged("accounts.*.razorpay.base_url", "'http://127.0.0.1:9/razorpay'", true);
        judged("accounts.*.razorpay.base_url", "'http://127.0.0.1:9/razorpay/'", false);
        judged("log.level", "'info,upistream=debug'", true);
        judged("log.level", "'off'", true);
        judged("log.level", "'loud'", false);
        judged("log.level", "'upistream=loud'", false);
        judged("log.level", "''", false);
        judged("log.format", "'json'", true);
        judged("log.format", "'xml'", false);
        judged("webhooks.trusted_proxies", "[]", true);
        judged("webhooks.trusted_proxies", "['10.0.0.0/8', '::1']", true);
        judged("webhooks.trusted_proxies", "['10.0.0.1/8']", false);
        judged("webhooks.trusted_proxies", "['0.0.0.0/0']", false);
        judged("webhooks.trusted_proxies", "['10.0.0.0/8', '10.0.0.0/8']", false);
        judged("webhooks.trusted_proxies", "'10.0.0.0/8'", false);
        judged("webhooks.trusted_proxies", "[8]", false);
    }

    #[test]
    fn settings_of_telemetry_are_judged() {
        for url in ["", "http://127.0.0.1:4317", "https://otel.example.com:4317", "http://collector"] {
            judged("telemetry.otlp_endpoint", &format!("'{url}'"), true);
        }
        for url in
            ["127.0.0.1:4317", "http://collector/", "http://collector/v1/traces", "http://me:pass@collector", "grpc://collector", "http://"]
        {
            judged("telemetry.otlp_endpoint", &format!("'{url}'"), false);
        }
        judged("telemetry.service_name", "'pay-upi.1'", true);
        judged("telemetry.service_name", "''", false);
        judged("telemetry.service_instance", "''", true);
        judged("telemetry.service_instance", "'a b'", false);
        judged("telemetry.propagate_to_providers", "true", true);
        judged("telemetry.propagate_to_providers", "'yes'", false);
    }

    #[test]
    fn settings_of_enkash_are_judged() {
        judged("accounts.*.enkash.base_url", "'https://olympus-pg-uat.enkash.in'", true);
        judged("accounts.*.enkash.base_url", "'https://olympus-pg.enkash.in/api/v0'", false);
        judged("accounts.*.enkash.base_url", "'http://olympus-pg.enkash.in'", false);
        judged("accounts.*.enkash.access_key", "'EK-1:2=='", true);
        for text in ["''", "'EK 1'", "'EK-ü'", "7"] {
            judged("accounts.*.enkash.access_key", text, false);
        }
        judged("accounts.*.enkash.authorization", "'bearer'", true);
        judged("accounts.*.enkash.authorization", "'bare'", true);
        judged("accounts.*.enkash.authorization", "'Bearer'", false);
        judged("accounts.*.enkash.authorization", "''", false);
        judged("accounts.*.enkash.order_lookup_path", "''", true);
        judged("accounts.*.enkash.order_lookup_path", "'/api/v0/orders/merchant/{merchantOrderId}'", true);
        judged("accounts.*.enkash.order_lookup_path", "'/api/v0/orders?merchantOrderId={merchantOrderId}&limit=1'", true);
        for path in ["/api/v0/orders/{orderId}", "/api/v0/orders", "orders/{merchantOrderId}", "/{merchantOrderId}/{merchantOrderId}"] {
            judged("accounts.*.enkash.order_lookup_path", &format!("'{path}'"), false);
        }
        judged("accounts.*.enkash.order_lookup_path", "'https://elsewhere.example/{merchantOrderId}'", false);
        judged("accounts.*.enkash.order_lookup_path", "'/orders/{merchantOrderId} '", false);
        judged("accounts.*.enkash.order_lookup_path", "'/orders/{merchantOrderId}#top'", false);
        judged("accounts.*.enkash.allow_unobservable_qr", "true", true);
        judged("accounts.*.enkash.allow_unobservable_qr", "'yes'", false);
    }

    #[test]
    fn a_merchant_category_has_four_digits() {
        for path in ["accounts.*.enkash.mcc", "accounts.*.razorpay.mcc"] {
            judged(path, "''", true);
            judged(path, "'5411'", true);
            judged(path, "'0742'", true);
            for mcc in ["'541'", "'54110'", "'54a1'", "'५४११'", "5411"] {
                judged(path, mcc, false);
            }
        }
    }

    #[test]
    fn settings_of_oqpay_are_judged() {
        judged("accounts.*.oqpay.base_url", "'https://payin.oqpay.in'", true);
        judged("accounts.*.oqpay.base_url", "'https://payin.oqpay.in/api/V5'", false);
        judged("accounts.*.oqpay.callbacks_prove", "false", true);
        judged("accounts.*.oqpay.callbacks_prove", "1", false);
        judged("accounts.*.oqpay.callback_networks", "['203.0.113.7', '2001:db8::/32']", true);
        judged("accounts.*.oqpay.callback_networks", "[]", true);
        for networks in ["['0.0.0.0/0']", "['::/0']", "['203.0.113.7/24']", "['payin.oqpay.in']", "'203.0.113.7'", "[7]"] {
            judged("accounts.*.oqpay.callback_networks", networks, false);
        }
    }

    #[test]
    fn settings_of_eko_are_judged() {
        judged("accounts.*.eko.base_url", "'https://api.eko.in:25002/ekoicici'", true);
        judged("accounts.*.eko.base_url", "'http://127.0.0.1:9/eko'", true);
        for url in
            ["https://api.eko.in/ekoicici/v3", "https://api.eko.in/ekoicici/", "http://api.eko.in/ekoicici", "https://a:b@api.eko.in", ""]
        {
            judged("accounts.*.eko.base_url", &format!("'{url}'"), false);
        }
        judged("accounts.*.eko.developer_key", "'becbbce45f79'", true);
        judged("accounts.*.eko.developer_key", "'becb bce4'", false);
        judged("accounts.*.eko.developer_key", "''", false);
        judged("accounts.*.eko.initiator_id", "'9962981729'", true);
        for id in ["'+919962981729'", "'996298172'", "'996298172x'", "''", "9962981729"] {
            judged("accounts.*.eko.initiator_id", id, false);
        }
        judged("accounts.*.eko.user_code", "'20810200'", true);
        judged("accounts.*.eko.user_code", "'2081/0200'", false);
        judged("accounts.*.eko.user_code", "''", false);
        judged("accounts.*.eko.service_code", "59", true);
        judged("accounts.*.eko.service_code", "85", true);
        for code in ["60", "-59", "'59'", "59.0"] {
            judged("accounts.*.eko.service_code", code, false);
        }
        judged("accounts.*.eko.activate_service", "true", true);
        judged("accounts.*.eko.activate_service", "0", false);
    }
}
