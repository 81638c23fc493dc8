//! Accounts at the other providers, and those of the sandbox.

use super::*;

pub(super) const ENKASH: &str = "at-enkash";
pub(super) const OQPAY: &str = "at-oqpay";
pub(super) const EKO: &str = "at-eko";

/// An account at each of the others, with every setting that has no default of its own.
pub(super) const OTHER_SHOPS: &str = r#"
[accounts.at-enkash]
webhook_url_secrets = "url-secret-enkash-0123"
[accounts.at-enkash.enkash]
access_key = "EK-1"
secret_key = "hunter2-enkash"
api_key = "hunter2-api-key"
[accounts.at-enkash.enkash.mandates]
paths = "g2"
naming = "camel_case"
amount_unit = "rupees"
periods = { monthly = "Monthly" }
rules = { on = "On" }
statuses = { live = "active" }
notice_statuses = { sent = "delivered" }
[accounts.at-oqpay]
webhook_url_secrets = "url-secret-oqpay-01234"
[accounts.at-oqpay.oqpay]
registration_id = "OQP-hunter2"
bearer_token = "hunter2-bearer"
[accounts.at-eko]
webhook_url_secrets = "url-secret-eko-0123456"
[accounts.at-eko.eko]
developer_key = "becbbce45f79"
access_key = "hunter2-eko"
initiator_id = "9876543210"
user_code = "20810200"
"#;

fn secret(text: &str) -> Secrets {
    Secrets::one(SecretString::from(text))
}

/// What the shop at EnKash has of mandates.
fn mandates() -> EnkashMandatesConfig {
    let word = |text: &str| text.to_owned();
    EnkashMandatesConfig {
        paths: MandatePaths::G2,
        naming: MandateNaming::CamelCase,
        amount_unit: MandateAmountUnit::Rupees,
        no_rule: None,
        periods: [(Period::Monthly, word("Monthly"))].into(),
        rules: [(Rule::On, word("On"))].into(),
        statuses: [(word("live"), MandateMeaning::Active)].into(),
        notice_statuses: [(word("sent"), NoticeMeaning::Delivered)].into(),
    }
}

/// The shops with `setting` in the section of `provider`.
fn with(provider: &str, setting: &str) -> String {
    let section = format!("[accounts.at-{provider}.{provider}]\n");
    OTHER_SHOPS.replace(&section, &format!("{section}{setting}\n"))
}

/// What is wrong with `text`, sorted by place.
#[track_caller]
fn wrong(text: &str) -> Vec<String> {
    load(text, &[]).unwrap_err().problems.iter().map(ToString::to_string).collect()
}

/// What goes wrong between settings: one problem, which has `what` in it.
#[track_caller]
fn clash(text: &str, what: &str) {
    let problems = wrong(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].starts_with("upistream.toml:") && problems[0].contains(what), "{problems:#?}");
}

#[test]
fn what_is_left_out_has_its_default() {
    let Loaded { config, .. } = load(OTHER_SHOPS, &[]).unwrap();
    let provider = |name: &str| config.accounts[name].provider.clone();
    let enkash = EnkashConfig {
        api_key: Some(secret("hunter2-api-key")),
        mandates: Some(mandates()),
        ..EnkashConfig::new("EK-1", secret("hunter2-enkash"))
    };
    assert_eq!(provider(ENKASH), ProviderConfig::Enkash(enkash));
    let oqpay = OqpayConfig { bearer_token: Some(secret("hunter2-bearer")), ..OqpayConfig::new(secret("OQP-hunter2")) };
    assert_eq!(provider(OQPAY), ProviderConfig::Oqpay(oqpay));
    let eko = EkoConfig::new("becbbce45f79", secret("hunter2-eko"), "9876543210", "20810200");
    assert_eq!(provider(EKO), ProviderConfig::Eko(eko));
    let origin = config.accounts.values().map(|account| account.provider.base_url()).collect::<Vec<_>>();
    assert_eq!(origin, ["https://api.eko.in/ekoicici", "https://olympus-pg.enkash.in", "https://payin.oqpay.in"]);
}

#[test]
fn what_is_given_is_taken() {
    let path = "/api/v0/orders/by-merchant/{merchantOrderId}";
    let given = format!("authorization = 'bare'\norder_lookup_path = '{path}'\nallow_unobservable_qr = true\ntimeout_ms = 5000");
    let config = load(&with("enkash", &given), &[]).unwrap().config;
    let ProviderConfig::Enkash(enkash) = &config.accounts[ENKASH].provider else { panic!("it is at EnKash") };
    assert_eq!((enkash.authorization, enkash.order_lookup_path.as_deref()), (Authorization::Bare, Some(path)));
    assert!(enkash.allow_unobservable_qr);
    assert_eq!(enkash.timeout().as_secs(), 5);

    let config = load(&with("oqpay", "callbacks_prove = true\ncallback_networks = ['203.0.113.7']"), &[]).unwrap().config;
    let ProviderConfig::Oqpay(oqpay) = &config.accounts[OQPAY].provider else { panic!("it is at OQPay") };
    assert!(oqpay.callbacks_prove && oqpay.callback_networks[0].contains("203.0.113.7".parse().unwrap()));

    let config = load(&with("eko", "service_code = 85\nactivate_service = true\ndeadline_floor_ms = 2000"), &[]).unwrap().config;
    let ProviderConfig::Eko(eko) = &config.accounts[EKO].provider else { panic!("it is at Eko") };
    assert_eq!((eko.service_code, eko.activate_service, eko.deadline_floor().as_secs()), (85, true, 2));
}

#[test]
fn the_environment_goes_before_the_file_for_each_provider() {
    let environment = [
        ("UPISTREAM__ACCOUNTS__AT_ENKASH__ENKASH__AUTHORIZATION", "bare"),
        ("UPISTREAM__ACCOUNTS__AT_ENKASH__ENKASH__API_KEY", "12345"),
        ("UPISTREAM__ACCOUNTS__AT_OQPAY__OQPAY__CALLBACKS_PROVE", "true"),
        ("UPISTREAM__ACCOUNTS__AT_OQPAY__OQPAY__CALLBACK_NETWORKS", "['203.0.113.0/24']"),
        ("UPISTREAM__ACCOUNTS__AT_EKO__EKO__INITIATOR_ID", "9000000001"),
        ("UPISTREAM__ACCOUNTS__AT_EKO__EKO__SERVICE_CODE", "85"),
    ];
    let config = load(OTHER_SHOPS, &environment).unwrap().config;
    let ProviderConfig::Enkash(enkash) = &config.accounts[ENKASH].provider else { panic!("it is at EnKash") };
    assert_eq!((enkash.authorization, &enkash.api_key), (Authorization::Bare, &Some(secret("12345"))));
    let described = config.describe();
    let shown = |key: &str| described.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(shown("accounts.at-oqpay.oqpay.callbacks_prove"), Some("true"));
    assert_eq!(shown("accounts.at-oqpay.oqpay.callback_networks"), Some(r#"["203.0.113.0/24"]"#));
    assert_eq!(shown("accounts.at-eko.eko.initiator_id"), Some(r#""9000000001""#));
    assert_eq!(shown("accounts.at-eko.eko.service_code"), Some("85"));

    let service_code = [("UPISTREAM__ACCOUNTS__AT_EKO__EKO__SERVICE_CODE", "eighty-five")];
    let error = load(OTHER_SHOPS, &service_code).unwrap_err();
    assert!(error.to_string().contains("can't be read as a TOML value; give a whole number"), "{error}");
}

#[test]
fn what_is_needed_is_named_where_it_is_missing() {
    for (provider, key) in [
        ("enkash", "access_key"),
        ("enkash", "secret_key"),
        ("oqpay", "registration_id"),
        ("eko", "developer_key"),
        ("eko", "access_key"),
        ("eko", "initiator_id"),
        ("eko", "user_code"),
    ] {
        let (before, after) = OTHER_SHOPS.split_once(&format!("[accounts.at-{provider}.{provider}]")).unwrap();
        let line = after.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        let text = format!("{before}[accounts.at-{provider}.{provider}]{}", after.replacen(line, "", 1));
        clash(&text, &format!("`accounts.at-{provider}.{provider}.{key}` is needed and missing"));
    }
}

#[test]
fn a_wrong_value_is_refused_with_what_it_must_be() {
    clash(
        &with("enkash", "authorization = 'basic'"),
        r#"must be "bearer" or "bare"; correct it, or leave it out for the default "bearer""#,
    );
    clash(&with("enkash", "order_lookup_path = '/orders'"), "must be empty or a path with {merchantOrderId} in it once");
    clash(&with("enkash", "base_url = 'https://olympus-pg.enkash.in/api'"), "must be an https:// URL of a host alone");
    clash(&with("oqpay", "callback_networks = ['0.0.0.0/0']"), "`0.0.0.0/0` is all addresses: it would believe anybody's callbacks");
    clash(&with("eko", "service_code = 45"), "`accounts.at-eko.eko.service_code` is 45, but must be 59 or 85");
    clash(&with("eko", "base_url = 'https://api.eko.in/ekoicici/v3'"), "without the /v3 that follows it");
    clash(&OTHER_SHOPS.replace("9876543210", "+919876543210"), "must be a mobile number of ten digits");
    clash(&OTHER_SHOPS.replace("\"hunter2-bearer\"", "\"hunter 2\""), "has a character that an HTTP header can't hold");
    clash(&OTHER_SHOPS.replace("\"hunter2-api-key\"", "\"\""), "`accounts.at-enkash.enkash.api_key` holds a secret that is empty");
}

#[test]
fn words_for_mandates_are_one_setting_with_their_meanings() {
    let statuses = "statuses = { live = \"active\" }";
    let as_section = OTHER_SHOPS.replace(statuses, "").replace(
        "[accounts.at-oqpay]",
        "[accounts.at-enkash.enkash.mandates.statuses]\nlive = \"active\"\n\"under review\" = \"awaiting_approval\"\n[accounts.at-oqpay]",
    );
    let of_enkash = |loaded: Loaded| match loaded.config.accounts[ENKASH].provider.clone() {
        ProviderConfig::Enkash(enkash) => enkash.mandates.unwrap(),
        other => panic!("{other:?}"),
    };
    let with_section = of_enkash(load(&as_section, &[]).unwrap());
    assert_eq!(with_section.statuses.get("under review"), Some(&MandateMeaning::AwaitingApproval));

    let variable = "UPISTREAM__ACCOUNTS__AT_ENKASH__ENKASH__MANDATES__PERIODS";
    let loaded = load(OTHER_SHOPS, &[(variable, "{ weekly = 'Every week' }")]).unwrap();
    let key = "accounts.at-enkash.enkash.mandates.periods";
    assert_eq!(loaded.origin(key), Origin::Environment { variable: variable.to_owned() });
    let described = loaded.config.describe();
    let shown = described.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(shown, Some("{ weekly = \"Every week\" }"));
    assert_eq!(of_enkash(loaded).periods, [(Period::Weekly, "Every week".to_owned())].into());
}

#[test]
fn words_for_mandates_are_enough_or_refused() {
    let changed = |from: &str, to: &str| OTHER_SHOPS.replace(from, to);
    let at = "accounts.at-enkash.enkash.mandates";
    for key in ["paths", "naming", "amount_unit", "periods", "rules", "statuses", "notice_statuses"] {
        let (_, rest) = OTHER_SHOPS.split_once(&format!("[{at}]\n")).unwrap();
        let line = rest.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        clash(&changed(&format!("{line}\n"), ""), &format!("`{at}.{key}` is needed and missing"));
    }
    clash(
        &changed("amount_unit = \"rupees\"", "amount_unit = \"paisa\""),
        &format!(r#"`{at}.amount_unit` is "paisa", but must be "paise" or "rupees"; correct it."#),
    );
    clash(&changed("monthly = ", "each_month = "), "must be words in quotes for some of one_time, daily, ");
    clash(&changed("\"active\"", "\"live\""), "must be words, each with one of awaiting_approval, active, ");
    clash(&changed("{ monthly = \"Monthly\" }", "{}"), "`accounts.at-enkash.enkash.mandates.periods` has no word");
    clash(&changed("{ on = \"On\" }", "{}"), &format!("but `{at}.rules` has no word for a rule about it"));
    clash(&changed("monthly = ", "daily = "), &format!("but `{at}.no_rule` does not say what EnKash's rule is there"));
    clash(&changed("\"active\"", "\"paused\""), &format!("no word of `{at}.statuses` means active"));
    clash(&changed("\"delivered\"", "\"failed\""), &format!("no word of `{at}.notice_statuses` means delivered"));
    let daily = changed("{ monthly = \"Monthly\" }\nrules = { on = \"On\" }", "{ daily = \"Daily\" }\nrules = {}\nno_rule = \"None\"");
    assert!(load(&daily, &[]).is_ok());
}

#[test]
fn the_names_of_words_are_those_that_can_be_read() {
    let names = |of: &[&str], read: &dyn Fn(&str) -> Option<String>| {
        for name in of {
            assert_eq!(read(name).as_deref(), Some(*name));
        }
    };
    fn again<T: serde::de::DeserializeOwned + serde::Serialize>(name: &str) -> Option<String> {
        let value = toml::Value::from(name).try_into::<T>().ok()?;
        toml::Value::try_from(value).ok()?.as_str().map(str::to_owned)
    }
    names(account::PERIODS, &again::<Period>);
    names(account::RULES, &again::<Rule>);
    names(account::MANDATE_MEANINGS, &again::<MandateMeaning>);
    names(account::NOTICE_MEANINGS, &again::<NoticeMeaning>);
}

#[test]
fn an_account_has_one_provider() {
    let both = format!("{OTHER_SHOPS}[accounts.at-eko.oqpay]\nregistration_id = 'OQP-2'");
    clash(&both, "account `at-eko` needs exactly one provider");
    assert!(toml::from_str::<Config>("[accounts.shop]\nwebhook_url_secrets = ['a']").is_err());
    let both = "[accounts.shop]\nwebhook_url_secrets = ['a']\noqpay = { registration_id = ['b'] }\nenkash = { access_key = 'c', secret_key = ['d'] }";
    let error = toml::from_str::<Config>(both).unwrap_err();
    assert!(error.message().contains("exactly one provider"), "{error}");
}

#[test]
fn time_limits_fit_the_service_for_each_provider() {
    for provider in ["enkash", "oqpay", "eko"] {
        let at = |key: &str| format!("accounts.at-{provider}.{provider}.{key}");
        clash(
            &with(provider, "timeout_ms = 60000"),
            &format!("`{}` (60s) must be shorter than `reconciler.lease_ms` (60s)", at("timeout_ms")),
        );
        let floor = at("deadline_floor_ms");
        clash(
            &with(provider, "deadline_floor_ms = 100"),
            &format!("`grpc.deadline_margin_ms` (100ms) must be shorter than `{floor}` (100ms)"),
        );
        clash(
            &with(provider, "deadline_floor_ms = 30000"),
            &format!("`{floor}` (30s) must be shorter than `grpc.deadline_default_ms` (30s)"),
        );
    }
}

#[test]
fn callbacks_that_are_to_prove_something_come_from_known_networks() {
    clash(
        &with("oqpay", "callbacks_prove = true"),
        "`accounts.at-oqpay.oqpay.callbacks_prove` is true, but `accounts.at-oqpay.oqpay.callback_networks` names no network, so \
         anybody who learns the URL would be believed; name the networks that OQPay calls from, or leave callbacks_prove at false.",
    );
    // A network that was refused is one problem, not two.
    clash(&with("oqpay", "callbacks_prove = true\ncallback_networks = ['oqpay.in']"), "and `oqpay.in` is none");
    assert!(load(&with("oqpay", "callback_networks = ['203.0.113.7']"), &[]).is_ok());
}

#[test]
fn one_merchant_account_has_one_name() {
    let twice = |provider: &str| {
        let account = format!("[accounts.at-{provider}]\n");
        let (_, rest) = OTHER_SHOPS.split_once(&account).unwrap();
        let end = rest.match_indices("[accounts.").map(|(at, _)| at).nth(1).unwrap_or(rest.len());
        format!("{account}{}", &rest[..end]).replace(&format!("at-{provider}"), "again")
    };
    clash(
        &format!("{OTHER_SHOPS}{}", twice("enkash")),
        "accounts `again` and `at-enkash` have the same access key, so they are one account",
    );
    clash(&format!("{OTHER_SHOPS}{}", twice("oqpay")), "accounts `again` and `at-oqpay` have the same registration id");
    clash(&format!("{OTHER_SHOPS}{}", twice("eko")), "accounts `again` and `at-eko` have the same initiator and user code");

    // Elsewhere, or as another user of one initiator, it is another account.
    let elsewhere =
        twice("enkash").replace("[accounts.again.enkash]", "[accounts.again.enkash]\nbase_url = 'https://olympus-pg-uat.enkash.in'");
    assert!(load(&format!("{OTHER_SHOPS}{elsewhere}"), &[]).is_ok());
    let another = twice("eko").replace("20810200", "20810201");
    assert!(load(&format!("{OTHER_SHOPS}{another}"), &[]).is_ok());
    // An id that is about to be replaced is still one.
    let changing = twice("oqpay").replace("\"OQP-hunter2\"", "['OQP-new', 'OQP-hunter2']");
    clash(&format!("{OTHER_SHOPS}{changing}"), "accounts `again` and `at-oqpay` have the same registration id");
}

#[test]
fn no_secret_of_any_provider_is_shown() {
    let Loaded { config, .. } = load(OTHER_SHOPS, &[]).unwrap();
    let config = Config { sandbox: Some(SandboxSettings::default()), ..config }.with_sandbox_accounts(trial_secrets());
    assert_eq!(config.accounts.len(), 7);
    for shown in [format!("{config:?}"), toml::to_string(&config).unwrap(), format!("{:?}", config.describe())] {
        assert!(!shown.contains("hunter2") && !shown.contains("url-secret"), "{shown}");
    }
    let again =
        format!("{OTHER_SHOPS}[accounts.again]\nwebhook_url_secrets = 'url-secret-again-012345'\noqpay.registration_id = 'OQP-hunter2'");
    let error = load(&again, &[]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[test]
fn the_sandbox_stands_behind_an_account_of_each_provider() {
    let mut config = Config::trial(trial_secrets());
    let names: BTreeSet<&str> = config.accounts.keys().map(AccountName::as_str).collect();
    assert_eq!(names, SANDBOX_ACCOUNTS.into());
    assert!(SANDBOX_ACCOUNTS.contains(&SANDBOX_ACCOUNT));

    config.sandbox_is_at("127.0.0.1:4242".parse().unwrap());
    for name in SANDBOX_ACCOUNTS {
        let provider = &config.accounts[name].provider;
        assert_eq!(name, format!("{}-sandbox", provider.id()));
        assert_eq!(provider.base_url(), format!("http://127.0.0.1:4242/{}", provider.id()));
    }
    // What runs in the trial could be written into a file, but for its secrets.
    let written = toml::to_string(&config).unwrap().replace("<redacted>", "a-secret-of-some-length").replace("-sandbox", "-tried");
    assert!(load(&written, &[]).is_ok(), "{:#?}", load(&written, &[]));
}

#[test]
fn all_of_the_sandbox_can_be_tried() {
    let config = Config::trial(trial_secrets());
    let ProviderConfig::Enkash(enkash) = &config.accounts[ENKASH_SANDBOX].provider else { panic!("it is at EnKash") };
    assert!(enkash.allow_unobservable_qr && enkash.order_lookup_path.is_some());
    assert_eq!(enkash.mandates.as_ref().map(|mandates| mandates.periods.len()), Some(account::PERIODS.len()));
    let ProviderConfig::Oqpay(oqpay) = &config.accounts[OQPAY_SANDBOX].provider else { panic!("it is at OQPay") };
    assert!(oqpay.callbacks_prove);
    for address in ["127.0.0.1", "::1"] {
        assert!(oqpay.callback_networks.iter().any(|network| network.contains(address.parse().unwrap())), "{address}");
    }
    let ProviderConfig::Eko(eko) = &config.accounts[EKO_SANDBOX].provider else { panic!("it is at Eko") };
    assert!(eko.activate_service);
}
