//! Loading as a whole: a file, an environment, and what comes of them.

use std::collections::BTreeSet;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::domain::caller::CallerName;

mod accounts;

use accounts::{EKO, ENKASH, OQPAY, OTHER_SHOPS};

/// An account with everything that it needs.
const SHOP: &str = r#"
[accounts.shop-one]
webhook_url_secrets = "url-secret-0123456789"
[accounts.shop-one.razorpay]
key_id = "rzp_test_1"
key_secret = "hunter2-key"
webhook_secrets = ["hunter2-webhook-current", "hunter2-webhook-previous"]
"#;

const CALLER: &str = r#"
[callers.orders]
api_key_hashes = ["sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
identities = ["spiffe://example.org/ns/shop/sa/orders"]
accounts = ["shop-one"]
permissions = ["qr:write", "qr:read"]
"#;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upistream.toml");
    std::fs::write(&path, text).unwrap();
    let mut result = Config::load(Some(&path), owned(environment));
    // Only the name matters to the tests, not where the folder happens to lie.
    if let Err(error) = &mut result {
        for problem in &mut error.problems {
            if let Origin::File { path, .. } = &mut problem.origin {
                *path = "upistream.toml".into();
            }
        }
    }
    result
}

fn owned(environment: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

/// The problems of `[accounts.shop-one]`, complete, followed by `text`.
#[track_caller]
fn problems(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let error = load(&format!("{SHOP}{text}"), environment).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

fn trial_secrets() -> SandboxSecrets {
    SandboxSecrets::made(|| SecretString::from("hunter2"))
}

fn shop(config: &Config) -> &RazorpayConfig {
    let ProviderConfig::Razorpay(razorpay) = &config.accounts["shop-one"].provider else { panic!("it is at Razorpay") };
    razorpay
}

#[test]
fn without_a_file_it_is_the_trial_set_up() {
    let loaded = Config::load(None, owned(&[("PATH", "/bin"), ("UPISTREAM_PORT_8080_TCP", "tcp://10.0.0.1:8080")])).unwrap();
    assert_eq!(loaded.config, Config { sandbox: Some(SandboxSettings::default()), ..Config::default() });

    let config = loaded.config.with_sandbox_accounts(trial_secrets());
    assert_eq!(config, Config::trial(trial_secrets()));
    assert!(config.exposure().is_empty());
}

#[test]
fn the_trial_set_up_takes_the_environment_too() {
    let environment = [("UPISTREAM__GRPC__LISTEN", "127.0.0.1:1"), ("UPISTREAM__SANDBOX__STATE_FILE", "")];
    let config = Config::load(None, owned(&environment)).unwrap().config;
    assert_eq!(config.grpc.listen.port(), 1);
    assert_eq!(config.sandbox.unwrap().state_file, None);
}

#[test]
fn an_account_in_the_environment_alone_is_no_trial() {
    let environment = [
        ("UPISTREAM__ACCOUNTS__SHOP_ONE__WEBHOOK_URL_SECRETS", "url-secret-0123456789"),
        ("UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__KEY_ID", "rzp_test_1"),
        ("UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__KEY_SECRET", "hunter2-key"),
        ("UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__WEBHOOK_SECRETS", "['hunter2-webhook-current', 'hunter2-webhook-previous']"),
    ];
    let loaded = Config::load(None, owned(&environment)).unwrap();
    assert_eq!(loaded.config, load(SHOP, &[]).unwrap().config);
    assert_eq!(loaded.config.sandbox, None);

    let error = Config::load(None, owned(&environment[..2])).unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
}

#[test]
fn a_file_alone_is_read() {
    let Loaded { config, .. } = load(SHOP, &[]).unwrap();
    let secrets: Vec<&str> = shop(&config).webhook_secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets, ["hunter2-webhook-current", "hunter2-webhook-previous"]);
    assert_eq!(shop(&config).key_secret.first().expose_secret(), "hunter2-key");
    assert_eq!(config.grpc, GrpcConfig::default());
}

/// What the setting is, as `describe` shows it, when the variable goes before the file.
#[track_caller]
fn check_override(variable: &str, value: &str, key: &str, shown: &str) {
    let loaded = load(SHOP, &[(variable, value)]).unwrap();
    let described = loaded.config.describe();
    let found = described.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(found, Some(shown), "{variable}={value}");
    assert_eq!(loaded.origin(key), Origin::Environment { variable: variable.to_owned() });
}

#[test]
fn the_environment_goes_before_the_file() {
    check_override("UPISTREAM__GRPC__LISTEN", "0.0.0.0:1", "grpc.listen", r#""0.0.0.0:1""#);
    check_override("upistream__grpc__listen", "0.0.0.0:1", "grpc.listen", r#""0.0.0.0:1""#);
    check_override("UPISTREAM__GRPC__STREAMS_MAX", "20_000", "grpc.streams_max", "20000");
    check_override("UPISTREAM__STORE__PARTITIONS", "8", "store.partitions", "8");
    let redis = "UPISTREAM__STORE__REDIS__URLS";
    assert_eq!(
        problems("", &[(redis, "['redis://:hunter2@a']"), ("UPISTREAM__STORE__REDIS__RETENTION_AT_REST", "forever")]).len(),
        1,
        "credentials in an address end up in logs"
    );
    check_override("UPISTREAM__STORE__EMBEDDED__PATH", "a b.db", "store.embedded.path", r#""a b.db""#);
    check_override(
        "UPISTREAM__WEBHOOKS__TRUSTED_PROXIES",
        "['::1', '10.0.0.0/8']",
        "webhooks.trusted_proxies",
        r#"["::1/128", "10.0.0.0/8"]"#,
    );
    check_override("UPISTREAM__LOG__FORMAT", "json", "log.format", r#""json""#);
    check_override("UPISTREAM__LOG__LEVEL", "info,upistream=debug", "log.level", r#""info,upistream=debug""#);
    // A text stays one, even if it looks like something else.
    let key_id = "accounts.shop-one.razorpay.key_id";
    check_override("UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__KEY_ID", "12345", key_id, r#""12345""#);
    check_override("UPISTREAM__ACCOUNTS__shop-one__RAZORPAY__KEY_ID", "true", key_id, r#""true""#);
    let timeout = "accounts.shop-one.razorpay.timeout_ms";
    check_override("UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__TIMEOUT_MS", "5000", timeout, "5000");
}

#[test]
fn every_setting_can_come_from_the_environment() {
    for key in keys::KEYS {
        let rest = key.path.replace('*', "shop_one").replace('.', "__").to_ascii_uppercase();
        let (found, _) = keys::find_variable(&rest, &Default::default()).unwrap();
        assert_eq!(found.path, key.path);
    }
}

#[test]
fn a_secret_can_come_from_the_environment() {
    let variable = "UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__KEY_SECRET";
    let secret = |environment: &[(&str, &str)]| {
        let config = load(SHOP, environment).unwrap().config;
        shop(&config).key_secret.first().expose_secret().to_owned()
    };
    assert_eq!(secret(&[(variable, "12345")]), "12345");
    assert_eq!(secret(&[(variable, "['[odd', 'older']")]), "[odd");
    assert_eq!(secret(&[(variable, "{ env = 'ELSEWHERE' }"), ("ELSEWHERE", "there")]), "there");
    assert_eq!(
        problems("", &[(variable, "[hunter2")]),
        ["UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__KEY_SECRET: `accounts.shop-one.razorpay.key_secret` can't be read as a \
          TOML value; a secret that begins with `[` or `{` is written [\"…\"]."]
    );
}

#[test]
fn a_bad_value_in_the_file_is_forgiven_where_the_environment_overrides_it() {
    let text = SHOP.replace("\"hunter2-key\"", "{ file = '/no/such/file' }");
    assert!(load(&text, &[]).is_err());
    assert!(load(&text, &[("UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__KEY_SECRET", "hunter2")]).is_ok());
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    assert_eq!(
        problems(
            "colour = 'red'\n[grcp]\nlisten = '127.0.0.1:1'\n[drain]\ndelay = 3\n'delay.ms' = 3\n",
            &[("UPISTREAM__GRPC__LISTN", "127.0.0.1:1"),]
        ),
        [
            "upistream.toml:8: there is no setting `accounts.shop-one.razorpay.colour`; what is known there is `account_id`, \
             `base_url`, `close_by_max_s`, `close_by_min_s`, `deadline_floor_ms`, `key_id`, `key_secret`, `mcc`, \
             `notes_value_max`, `settlement_cycle_days`, `timeout_ms`, `webhook_secrets`.",
            "upistream.toml:9: there is no setting `grcp`; did you mean `grpc`?",
            "upistream.toml:12: there is no setting `drain.delay`; did you mean `delay_ms`?",
            "upistream.toml:13: there is no setting `drain.delay.ms`; did you mean `delay_ms`?",
            "UPISTREAM__GRPC__LISTN: no setting has this name; did you mean `UPISTREAM__GRPC__LISTEN`?",
        ]
    );
}

#[test]
fn all_problems_are_named_at_once() {
    let text = "[grpc]\nlisten = 'localhost:1'\nstreams_max = 0\n[events]\nheartbeat_min_ms = 20000\n[drain]\nlimit_ms = '5s'\n";
    let error = load(&format!("{SHOP}{text}log = 3\n"), &[("UPISTREAM__EVENTS__PAGE", "many")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the configuration has 6 problems:
  upistream.toml:9: `grpc.listen` is "localhost:1", but must be an IP address with a port, such as 127.0.0.1:50051; correct it, or leave it out for the default "127.0.0.1:50051".
  upistream.toml:10: `grpc.streams_max` is 0, but must be a whole number from 1 to 1000000; correct it, or leave it out for the default 10000.
  upistream.toml:12: `events.heartbeat_min_ms` (20s) must be no longer than `events.heartbeat_default_ms` (15s); lower the one or raise the other.
  upistream.toml:14: `drain.limit_ms` is "5s", but must be a whole number from 0 to 600000; correct it, or leave it out for the default 25000.
  upistream.toml:15: there is no setting `drain.log`; what is known there is `delay_ms`, `limit_ms`.
  UPISTREAM__EVENTS__PAGE: `events.page` can't be read as a TOML value; give a whole number."#
    );
}

/// What goes wrong between settings: one problem, which begins with `place` and has `what` in it.
#[track_caller]
fn clash(text: &str, what: &str) {
    let problems = problems(text, &[]);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with("upistream.toml:") && problems[0].contains(what), "{problems:#?}");
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    clash("timeout_ms = 60000", "`accounts.shop-one.razorpay.timeout_ms` (60s) must be shorter than `reconciler.lease_ms` (60s)");
    clash("close_by_min_s = 7201", "must be no longer than `accounts.shop-one.razorpay.close_by_max_s`");
    clash("deadline_floor_ms = 100", "`grpc.deadline_margin_ms` (100ms) must be shorter than");
    clash("deadline_floor_ms = 30000", "must be shorter than `grpc.deadline_default_ms` (30s)");
    clash("[events]\nheartbeat_min_ms = 15001", "must be no longer than `events.heartbeat_default_ms`");
    clash("[events]\nheartbeat_max_ms = 14999", "must be no longer than `events.heartbeat_max_ms`");
    clash("[events]\nsubscription_age_max_s = 300", "must be shorter than `events.subscription_age_max_s`");
    clash("[reconciler]\nfirst_look_s = 901", "must be no longer than `reconciler.look_max_s`");
    clash("[grpc]\nstreams_max = 999", "one caller may have 1000 streams, but all together only 999");
    let redis = "[store.redis]\nretention_at_rest = 'forever'\nurls = ['redis://a', 'redis://b']";
    clash(redis, "several servers are named, but it is not said to be a Cluster");
    clash(&format!("{redis}\ncluster = true\ntimeout_ms = 20001"), "`store.redis.timeout_ms` (20.001s) must be no longer than");
    let short = "[idempotency]\nretention_h = 5000\n[store.redis]\nretention_at_rest = '184d'\nurls = ['redis://a']";
    clash(short, "must be no longer than `store.redis.retention_at_rest`");
    clash("[admin]\nlisten = '127.0.0.1:8080'", "`webhooks.listen` and `admin.listen` are both on port 8080");
    clash("[admin]\nlisten = '0.0.0.0:8080'", "`webhooks.listen` and `admin.listen` are both on port 8080");
    clash("[sandbox]\nlisten = '127.0.0.1:9090'", "`admin.listen` and `sandbox.listen` are both on port 9090");
    clash(&SHOP.replace("shop-one", "shop-two"), "accounts `shop-one` and `shop-two` have the same key id");
}

#[test]
fn a_store_has_one_place_and_all_that_is_needed() {
    clash(
        "[store.embedded]\npath = 'x'\n[store.redis]\nurls = ['redis://a']\nretention_at_rest = 'forever'",
        "`store.embedded` and `store.redis` are both there",
    );
    clash("[store.redis]\nurls = ['redis://a']", "`store.redis.retention_at_rest` is needed and missing");
    clash("[store.redis]\nretention_at_rest = '184d'", "`store.redis.urls` is needed and missing");
    clash("[store.redis]\nurls = ['redis://a']\nretention_at_rest = '183d'", "must be \"forever\", or days from \"184d\"");
    let text = format!("{SHOP}[store.redis]\nurls = ['redis://a']\nretention_at_rest = '184d'");
    let Backend::Redis(redis) = load(&text, &[]).unwrap().config.store.backend else { panic!("it is redis") };
    assert_eq!(*redis, RedisConfig::new(vec!["redis://a".to_owned()], RetentionAtRest::Days(184)));
}

#[test]
fn free_ports_and_other_addresses_do_not_clash() {
    let text = "[admin]\nlisten = '127.0.0.1:0'\n[webhooks]\nlisten = '127.0.0.1:0'\n[grpc]\nlisten = '127.0.0.2:0'\n[sandbox]\n";
    assert!(load(&format!("{SHOP}{text}"), &[]).is_ok());
}

#[test]
fn the_margin_below_the_default_deadline() {
    clash("deadline_floor_ms = 20000\n[grpc]\ndeadline_default_ms = 1000", "must be shorter than `grpc.deadline_default_ms` (1s)");
    let text = "deadline_floor_ms = 60000\n[grpc]\ndeadline_margin_ms = 10000\ndeadline_default_ms = 10000";
    assert_eq!(problems(text, &[]).len(), 2);
}

#[test]
fn an_account_is_whole_or_refused() {
    let only = |text: &str| -> Vec<String> { load(text, &[]).unwrap_err().problems.iter().map(ToString::to_string).collect() };
    assert_eq!(
        only(""),
        ["upistream.toml: no account is configured; add an [accounts.NAME] with its provider, or a [sandbox] to try the \
         service without one."]
    );
    assert_eq!(
        only("[accounts.shop]"),
        [
            "upistream.toml:1: account `shop` needs exactly one provider; give it one of [accounts.shop.razorpay], \
             [accounts.shop.enkash], [accounts.shop.oqpay], [accounts.shop.eko].",
            "upistream.toml:1: `accounts.shop.webhook_url_secrets` is needed and missing; set it; a secret is \"text\", { file = \
         \"path\" } or { env = \"NAME\" }.",
        ]
    );
    assert_eq!(
        only(&SHOP.replace("shop-one", "Shop")),
        ["upistream.toml:2: `Shop` can't name an account: an account's name is a lower-case letter, then up to 39 \
         lower-case letters, digits and dashes; rename it."]
    );
    assert_eq!(
        only(&SHOP.replace("key_id = \"rzp_test_1\"", "")),
        ["upistream.toml:4: `accounts.shop-one.razorpay.key_id` is needed and missing; set it; `upistream config default` \
         shows how."]
    );
    assert_eq!(only("accounts = 3"), ["upistream.toml:1: `accounts` is a section, not a setting; write it as [accounts]."]);
    assert_eq!(only("[acounts.shop]"), ["upistream.toml:1: there is no setting `acounts`; did you mean `accounts`?"]);
    for name in SANDBOX_ACCOUNTS {
        assert_eq!(only(&format!("{}[sandbox]", SHOP.replace("shop-one", name))).len(), 1);
    }
}

#[test]
fn one_setting_by_two_variables_is_refused() {
    let environment = [("UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__KEY_ID", "a"), ("UPISTREAM__ACCOUNTS__shop-one__RAZORPAY__KEY_ID", "b")];
    assert_eq!(
        problems("", &environment),
        ["UPISTREAM__ACCOUNTS__shop-one__RAZORPAY__KEY_ID: `accounts.shop-one.razorpay.key_id` is set by \
         `UPISTREAM__ACCOUNTS__SHOP_ONE__RAZORPAY__KEY_ID` too; keep one of the two."]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Some(Path::new("/no/such/upistream.toml")), owned(&[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration has a problem: /no/such/upistream.toml: this file can't be read: No such file or directory (os \
         error 2); name a readable TOML file, or none at all for the trial set-up."
    );
}

#[test]
fn no_secret_is_ever_shown() {
    let Loaded { config, .. } = load(SHOP, &[]).unwrap();
    let config = Config { sandbox: Some(SandboxSettings::default()), ..config }.with_sandbox_accounts(trial_secrets());
    let shown = [
        format!("{config:?}"),
        format!("{config:#?}"),
        format!("{:?}", trial_secrets()),
        toml::to_string(&config).unwrap(),
        serde_json::to_string(&config).unwrap(),
        format!("{:?}", config.describe()),
    ];
    for shown in shown {
        assert!(!shown.contains("hunter2") && !shown.contains("url-secret"), "{shown}");
    }
    let described = config.describe();
    let secrets = described.iter().find(|(key, _)| key == "accounts.shop-one.razorpay.webhook_secrets").unwrap();
    assert_eq!(secrets.1, r#"["<redacted>", "<redacted>"]"#);
}

#[test]
fn no_error_shows_a_secret() {
    let broken = [
        SHOP.replace("\"hunter2-key\"", "hunter2-key"),
        SHOP.replace("\"hunter2-key\"", "\"hunter2-key"),
        SHOP.replace("\"hunter2-key\"", "\" hunter2-key\""),
        SHOP.replace("\"hunter2-key\"", "[\"hunter2-key\", \"hunter2-key\"]"),
        SHOP.replace("\"hunter2-key\"", "{ text = \"hunter2-key\" }"),
        SHOP.replace("hunter2-webhook-current", "hunter2"),
        SHOP.replace("key_secret", "key_secert"),
        SHOP.replace("[accounts.shop-one]", "[accounts]"),
        format!("{SHOP}base_url = 'https://me:hunter2@api.razorpay.com'"),
        format!("{SHOP}key_secret = 'hunter2-again'"),
    ];
    for text in broken {
        let error = load(&text, &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn every_syntax_error_is_named_with_its_line() {
    let error = load("[grpc]\nlisten = 127\nlisten = 'x'\n[drain\n", &[]).unwrap_err();
    let lines: Vec<String> = error.problems.iter().map(|problem| problem.origin.to_string()).collect();
    assert_eq!(lines, ["upistream.toml:3", "upistream.toml:4"], "{error}");
}

#[test]
fn listeners_that_others_can_reach_are_listed() {
    let exposure = |grpc: &str, webhooks: &str, admin: &str| {
        let mut config = Config::default();
        config.grpc.listen = grpc.parse().unwrap();
        config.webhooks.listen = webhooks.parse().unwrap();
        config.admin.listen = admin.parse().unwrap();
        config.exposure()
    };
    assert!(exposure("127.0.0.1:1", "0.0.0.0:2", "[::1]:3").is_empty());
    assert!(exposure("127.8.0.1:1", "0.0.0.0:2", "[::ffff:127.0.0.1]:3").is_empty());
    assert_eq!(exposure("0.0.0.0:1", "0.0.0.0:2", "[::]:3"), ["grpc.listen = 0.0.0.0:1", "admin.listen = [::]:3"]);
    // With TLS and callers it is meant.
    let tls =
        "[grpc]\nlisten = '0.0.0.0:1'\n[grpc.tls]\ncert_file = '/tls/tls.crt'\nkey_file = '/tls/tls.key'\n[admin]\nlisten = '0.0.0.0:2'\n";
    let exposed = |text: &str| load(&format!("{tls}{SHOP}{text}"), &[]).unwrap().config.exposure().len();
    let by_key = CALLER.lines().filter(|line| !line.starts_with("identities")).collect::<Vec<_>>().join("\n");
    assert_eq!((exposed(""), exposed(&by_key)), (2, 0));
}

#[test]
fn what_is_described_names_every_setting() {
    // A store has one backend: two configurations have all settings between them.
    let key = "0123456789abcdef0123456789abcdef0123456789abcdef";
    let redis = format!("[store.redis]\nurls = ['redis://a']\nretention_at_rest = '400d'\npassword = 'hunter2'\ntoken_key = '{key}'");
    let described: BTreeSet<String> = ["", redis.as_str()]
        .iter()
        .flat_map(|backend| load(&format!("{SHOP}{OTHER_SHOPS}{CALLER}[sandbox]\n{backend}"), &[]).unwrap().config.describe())
        .map(|(key, _)| {
            ["shop-one", ENKASH, OQPAY, EKO, "orders"].iter().fold(key, |key, &name| key.replace(&format!("s.{name}."), "s.NAME."))
        })
        .collect();
    let known: BTreeSet<String> = keys::KEYS.iter().map(|key| keys::named(key.path)).collect();
    assert_eq!(described, known);
}

#[test]
fn serde_refuses_unknown_keys_by_itself() {
    for text in [
        "colour = 1",
        "[grpc]\ncolour = 1",
        "[webhooks]\ncolour = 1",
        "[admin]\ncolour = 1",
        "[store]\ncolour = 1",
        "[store.embedded]\ncolour = 1",
        "[store.redis]\ncolour = 1",
        "[idempotency]\ncolour = 1",
        "[events]\ncolour = 1",
        "[reconciler]\ncolour = 1",
        "[drain]\ncolour = 1",
        "[log]\ncolour = 1",
        "[sandbox]\ncolour = 1",
        "[accounts.shop]\ncolour = 1",
        "[accounts.shop.razorpay]\ncolour = 1",
        "[accounts.shop.enkash]\ncolour = 1",
        "[accounts.shop.enkash.mandates]\ncolour = 1",
        "[accounts.shop.oqpay]\ncolour = 1",
        "[accounts.shop.eko]\ncolour = 1",
    ] {
        let error = toml::from_str::<Config>(text).unwrap_err();
        assert!(error.message().starts_with("unknown field `colour`"), "{text}: {error}");
    }
}

#[test]
fn callers_are_read_from_the_file_and_the_environment() {
    let environment = [("UPISTREAM__CALLERS__ORDERS__CALLS_PER_SECOND", "7"), ("UPISTREAM__CALLERS__ORDERS__ACCOUNTS", "['*']")];
    let config = load(&format!("{SHOP}{CALLER}"), &environment).unwrap().config;
    let orders = &config.callers[&"orders".parse::<CallerName>().unwrap()];
    assert_eq!((orders.calls_per_second, orders.accounts.as_slice()), (7, &["*".to_owned()][..]));
    assert_eq!((orders.api_key_hashes.len(), orders.permissions.len(), orders.calls_max), (1, 2, 256));
}

#[test]
fn what_is_wrong_with_callers_is_named() {
    let table = [
        ("api_key_hashes", "api_key_hashes = ['upk_the-key-itself']", "api_key_hashes"),
        ("api_key_hashes", "api_key_hashes = 'sha256:00'", "api_key_hashes"),
        ("identities", "identities = ['*.example.org']", "identities"),
        ("identities", "identities = ['Orders.prod.svc']", "identities"),
        ("accounts", "accounts = ['shop-two']", "which is no account here"),
        ("permissions", "permissions = ['qr']", "permissions"),
        ("permissions", "", "callers.orders.permissions"),
        ("accounts", "", "callers.orders.accounts"),
        ("permissions", "permissions = ['qr:read']\ncalls_max = 0", "calls_max"),
        ("permissions", "permissions = ['qr:read']\nscopes = ['qr:read']", "scopes"),
    ];
    for (key, line, named) in table {
        let text: Vec<&str> = CALLER.lines().map(|known| if known.starts_with(key) { line } else { known }).collect();
        let found = problems(&text.join("\n"), &[]);
        assert!(found.len() == 1 && found[0].contains(named), "{line}: {found:?}");
        // What was meant to be a hash may be the key.
        assert!(!found[0].contains("the-key-itself"), "{found:?}");
    }
    let twice = CALLER.replace("[callers.orders]", "[callers.billing]");
    assert_eq!(problems(&format!("{CALLER}{twice}"), &[]).len(), 2, "one key and one identity are two callers'");
    let bare = "[callers.orders]\naccounts = ['*']\npermissions = []";
    assert_eq!(problems(bare, &[]).len(), 1, "it can never call");
}
