//! What a setting's value may be by itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::cidr::Cidr;
use super::redis::RetentionAtRest;
use super::secrets::SecretRule;

pub(super) enum Takes {
    Number {
        min: u64,
        max: u64,
    },
    /// Says what the text must be when it isn't.
    Text(fn(&str) -> Result<(), String>),
    Networks,
    /// Where redis servers are.
    RedisUrls,
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
            (Self::Text(judge), toml::Value::String(text)) => judge(text),
            (Self::Text(_), _) => Err("a text in quotes".to_owned()),
            (Self::Networks, toml::Value::Array(networks)) => judge_networks(networks),
            (Self::Networks, _) => Err("a list of networks, such as [\"10.0.0.0/8\"]".to_owned()),
            (Self::RedisUrls, toml::Value::Array(urls)) => judge_redis_urls(urls),
            (Self::RedisUrls, _) => Err("a list of addresses, such as [\"redis://127.0.0.1:6379\"]".to_owned()),
            (Self::Flag, toml::Value::Boolean(_)) => Ok(()),
            (Self::Flag, _) => Err("true or false".to_owned()),
            (Self::Secrets(_), _) => Ok(()),
        }
    }
}

fn must(holds: bool, be: &str) -> Result<(), String> {
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

pub(super) fn base_url(text: &str) -> Result<(), String> {
    must(is_https(text, false), "an https:// URL of a host alone, such as https://api.razorpay.com (http:// on loopback only)")
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

fn judge_networks(networks: &[toml::Value]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for network in networks {
        let text = network.as_str().ok_or("a list of networks, such as [\"10.0.0.0/8\"]")?;
        let network: Cidr = text.parse().map_err(|error| format!("a list of networks, and `{text}` is none: {error}"))?;
        if network.is_everything() {
            return Err(format!("a list of your own proxies' networks: `{text}` would believe anybody's forwarded headers"));
        }
        if !seen.insert(network) {
            return Err(format!("a list that names each network once, and `{text}` is there twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{KEYS, Key};

    #[track_caller]
    fn judged(path: &str, value: &str, fits: bool) {
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
        assert_eq!(numbers, 36);
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
}
