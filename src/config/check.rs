//! What must hold between settings, each of which is fine by itself. Judges what was loaded, before the
//! sandbox's own accounts are added.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::account::{
    AccountConfig, EnkashMandatesConfig, MandateMeaning, Merchant, NoticeMeaning, OqpayConfig, ProviderConfig, RazorpayConfig,
};
use super::{Backend, ClientCertificate, Config, SANDBOX_ACCOUNTS, TlsConfig, callers};
use crate::domain::account::AccountName;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// The settings that don't go together. If one of them was refused already, its stand-in is not worth judging.
    pub keys: Vec<String>,
    pub what: String,
    pub next: String,
}

pub(super) fn violations(config: &Config) -> Vec<Violation> {
    let mut found = Found(Vec::new());
    let Config {
        grpc,
        webhooks,
        admin,
        store,
        idempotency: _,
        events,
        reconciler,
        provider_calls: _,
        settlements: _,
        mandates,
        drain: _,
        reload: _,
        log: _,
        telemetry: _,
        callers: _,
        accounts,
        sandbox,
    } = config;

    found.unless_ordered(
        ("grpc.deadline_margin_ms", grpc.deadline_margin()),
        ("grpc.deadline_default_ms", grpc.deadline_default()),
        Order::Shorter,
    );
    found.unless_ordered(
        ("events.heartbeat_min_ms", events.heartbeat_min()),
        ("events.heartbeat_default_ms", events.heartbeat_default()),
        Order::NotLonger,
    );
    found.unless_ordered(
        ("events.heartbeat_default_ms", events.heartbeat_default()),
        ("events.heartbeat_max_ms", events.heartbeat_max()),
        Order::NotLonger,
    );
    // A subscription that ends before its first heartbeat never gets a bookmark.
    found.unless_ordered(
        ("events.heartbeat_max_ms", events.heartbeat_max()),
        ("events.subscription_age_max_s", events.subscription_age_max()),
        Order::Shorter,
    );
    found.unless_ordered(
        ("reconciler.first_look_s", reconciler.first_look()),
        ("reconciler.look_max_s", reconciler.look_max()),
        Order::NotLonger,
    );
    if let Backend::Redis(redis) = &store.backend {
        // A worker renews its lease each third of it: an answer that takes longer than that would cost it the lease.
        found.unless_ordered(
            ("store.redis.timeout_ms", redis.timeout()),
            ("reconciler.lease_ms", config.reconciler.lease() / 3),
            Order::NotLonger,
        );
        // A key is remembered as long as it was said to be: its claim goes with its record.
        if let Some(at_rest) = redis.retention_at_rest.duration() {
            found.unless_ordered(
                ("idempotency.retention_h", config.idempotency.retention()),
                ("store.redis.retention_at_rest", at_rest),
                Order::NotLonger,
            );
        }
        if redis.urls.len() > 1 && !redis.cluster {
            found.add(
                ["store.redis.urls", "store.redis.cluster"],
                "several servers are named, but it is not said to be a Cluster".to_owned(),
                "set store.redis.cluster = true, or name one server",
            );
        }
    }
    if grpc.streams_per_caller_max > grpc.streams_max {
        found.add(
            ["grpc.streams_per_caller_max", "grpc.streams_max"],
            format!("one caller may have {} streams, but all together only {}", grpc.streams_per_caller_max, grpc.streams_max),
            "lower the one or raise the other",
        );
    }
    found.tls(&grpc.tls);
    if let Err(what) = mandates.rules() {
        let file = mandates.rules_file.display();
        found.add(["mandates.rules_file"], format!("`{file}` {what}"), "`upistream config rules` prints a file to begin with");
    }
    if sandbox.is_some() {
        for name in SANDBOX_ACCOUNTS.into_iter().filter(|&name| accounts.contains_key(name)) {
            found.add(
                [&format!("accounts.{name}"), "sandbox"],
                format!("`{name}` is the name of an account of the sandbox's own"),
                "rename the account, or take out [sandbox]",
            );
        }
    }
    let mut listeners = vec![("grpc.listen", grpc.listen), ("webhooks.listen", webhooks.listen), ("admin.listen", admin.listen)];
    listeners.extend(sandbox.as_ref().map(|sandbox| ("sandbox.listen", sandbox.listen)));
    found.shared_listeners(&listeners);
    for (name, account) in accounts {
        found.limits(config, name, &account.provider);
        match &account.provider {
            ProviderConfig::Razorpay(razorpay) => found.razorpay(name, razorpay),
            ProviderConfig::Oqpay(oqpay) => found.oqpay(name, oqpay),
            ProviderConfig::Enkash(enkash) => {
                if let Some(mandates) = &enkash.mandates {
                    found.enkash_mandates(name, mandates);
                }
            }
            ProviderConfig::Eko(_) => (),
        }
    }
    found.accounts_twice(accounts);
    found.0.extend(callers::violations(config));
    found.0
}

enum Order {
    Shorter,
    NotLonger,
}

struct Found(Vec<Violation>);

impl Found {
    fn add<const N: usize>(&mut self, keys: [&str; N], what: String, next: &str) {
        self.0.push(Violation { keys: keys.map(str::to_owned).into(), what, next: next.to_owned() });
    }

    fn unless_ordered(&mut self, (low, low_value): (&str, Duration), (high, high_value): (&str, Duration), order: Order) {
        let (holds, must) = match order {
            Order::Shorter => (low_value < high_value, "shorter than"),
            Order::NotLonger => (low_value <= high_value, "no longer than"),
        };
        if !holds {
            let what = format!("`{low}` ({low_value:?}) must be {must} `{high}` ({high_value:?})");
            self.add([low, high], what, "lower the one or raise the other");
        }
    }

    /// What of TLS is of no use, or no protection, without the rest of it.
    fn tls(&mut self, tls: &TlsConfig) {
        let TlsConfig { cert_file, key_file, client_ca_file, client_certificate } = tls;
        let [cert, key, client_ca] = ["grpc.tls.cert_file", "grpc.tls.key_file", "grpc.tls.client_ca_file"];
        if cert_file.is_some() != key_file.is_some() {
            let (given, missing) = if cert_file.is_some() { (cert, key) } else { (key, cert) };
            self.add([cert, key], format!("`{given}` is set without `{missing}`"), "set both, or neither to listen without TLS");
        }
        if client_ca_file.is_some() && cert_file.is_none() && key_file.is_none() {
            let what = format!("`{client_ca}` is set, but without `{cert}` there is no TLS that could ask for a certificate");
            self.add([client_ca, cert], what, "set the certificate and its key, or leave the authorities out");
        }
        if *client_certificate == ClientCertificate::Required && client_ca_file.is_none() {
            let what = format!("`grpc.tls.client_certificate` is \"required\", but `{client_ca}` does not say whose certificates are good");
            self.add(["grpc.tls.client_certificate", client_ca], what, "name the file of the authorities, or make it \"optional\"");
        }
    }

    fn shared_listeners(&mut self, listeners: &[(&str, SocketAddr)]) {
        for (at, (one, a)) in listeners.iter().enumerate() {
            for (other, b) in &listeners[at + 1..] {
                // Port 0 is a free one each time.
                let everywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
                if a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || everywhere) {
                    self.add([one, other], format!("`{one}` and `{other}` are both on port {}", a.port()), "give each its own port");
                }
            }
        }
    }

    /// What a provider's time limits must be beside the service's own.
    fn limits(&mut self, config: &Config, name: &AccountName, provider: &ProviderConfig) {
        let key = |key: &str| format!("accounts.{name}.{}.{key}", provider.id());
        // Else another worker could take a record over while its call is still on its way.
        self.unless_ordered((&key("timeout_ms"), provider.timeout()), ("reconciler.lease_ms", config.reconciler.lease()), Order::Shorter);
        // A request at the floor must have something left when the margin is taken off,
        self.unless_ordered(
            ("grpc.deadline_margin_ms", config.grpc.deadline_margin()),
            (&key("deadline_floor_ms"), provider.deadline_floor()),
            Order::Shorter,
        );
        // and one without a deadline of its own must not be refused.
        self.unless_ordered(
            (&key("deadline_floor_ms"), provider.deadline_floor()),
            ("grpc.deadline_default_ms", config.grpc.deadline_default()),
            Order::Shorter,
        );
    }

    fn razorpay(&mut self, name: &AccountName, razorpay: &RazorpayConfig) {
        let key = |key: &str| format!("accounts.{name}.razorpay.{key}");
        self.unless_ordered(
            (&key("close_by_min_s"), razorpay.close_by_min()),
            (&key("close_by_max_s"), razorpay.close_by_max()),
            Order::NotLonger,
        );
    }

    /// Nothing in OQPay's callbacks proves them: where they are to count, it must be said whom to believe.
    fn oqpay(&mut self, name: &AccountName, oqpay: &OqpayConfig) {
        if oqpay.callbacks_prove && oqpay.callback_networks.is_empty() {
            let [prove, networks] = ["callbacks_prove", "callback_networks"].map(|key| format!("accounts.{name}.oqpay.{key}"));
            let what = format!("`{prove}` is true, but `{networks}` names no network, so anybody who learns the URL would be believed");
            self.add([&prove, &networks], what, "name the networks that OQPay calls from, or leave callbacks_prove at false");
        }
    }

    /// What is configured of EnKash's words must be enough to make a mandate of each frequency, and to debit it.
    fn enkash_mandates(&mut self, name: &AccountName, mandates: &EnkashMandatesConfig) {
        let EnkashMandatesConfig { paths: _, naming: _, amount_unit: _, no_rule, periods, rules, statuses, notice_statuses } = mandates;
        let key = |key: &str| format!("accounts.{name}.enkash.mandates.{key}");
        let [periods_key, rules_key, no_rule_key] = ["periods", "rules", "no_rule"].map(key);
        if periods.is_empty() {
            let what = format!("`{periods_key}` has no word, so no mandate could be made");
            self.add([&periods_key], what, "give EnKash's words for the frequencies that are to be offered, or leave the section out");
        }
        if rules.is_empty() && periods.keys().any(|period| period.has_day()) {
            let what =
                format!("`{periods_key}` names frequencies whose debits have a day, but `{rules_key}` has no word for a rule about it");
            self.add([&periods_key, &rules_key], what, "give EnKash's words for the rules, or leave those frequencies out");
        }
        if no_rule.is_none() && periods.keys().any(|period| !period.has_day()) {
            let what = format!(
                "`{periods_key}` names frequencies whose debits have no day (one_time, daily, as_presented), but `{no_rule_key}` does not \
                 say what EnKash's rule is there"
            );
            self.add([&periods_key, &no_rule_key], what, "give that word, or leave those frequencies out");
        }
        if !statuses.values().any(|meaning| *meaning == MandateMeaning::Active) {
            let what = format!("no word of `{}` means active, so no mandate could be debited", key("statuses"));
            self.add([&key("statuses")], what, "give EnKash's word for a mandate that the payer approved");
        }
        if !notice_statuses.values().any(|meaning| *meaning == NoticeMeaning::Delivered) {
            let what = format!("no word of `{}` means delivered, so no debit that needs a notice could be made", key("notice_statuses"));
            self.add([&key("notice_statuses")], what, "give EnKash's word for a notice that the payer got");
        }
    }

    /// Two names for one merchant account would record each of its payments twice.
    fn accounts_twice(&mut self, accounts: &BTreeMap<AccountName, AccountConfig>) {
        let mut seen = BTreeMap::new();
        for (name, AccountConfig { provider, .. }) in accounts {
            let id = provider.id();
            let (keys, same): (&[&str], _) = match provider {
                ProviderConfig::Razorpay(_) => (&["key_id"], "key id"),
                ProviderConfig::Enkash(_) => (&["access_key"], "access key"),
                ProviderConfig::Oqpay(_) => (&["registration_id"], "registration id"),
                ProviderConfig::Eko(_) => (&["initiator_id", "user_code"], "initiator and user code"),
            };
            // One account may have two ids in common with another, and is named once all the same.
            let others: Vec<Option<&AccountName>> = provider
                .merchants()
                .into_iter()
                .map(|Merchant { base_url, known_by }| seen.insert((id, base_url, known_by), name))
                .collect();
            if let Some(other) = others.into_iter().flatten().find(|&other| other != name) {
                let keys = [name, other].into_iter().flat_map(|name| keys.iter().map(move |key| format!("accounts.{name}.{id}.{key}")));
                let what = format!("accounts `{other}` and `{name}` have the same {same}, so they are one account");
                self.0.push(Violation { keys: keys.collect(), what, next: "keep one of the two".to_owned() });
            }
        }
    }
}
