//! Accounts as configured to providers that can be called: each adapter gets its settings, a client, and what it keeps a
//! token with.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::StartError;
use super::tokens::TokenPlaces;
use crate::clock::{Clock, Randomness};
use crate::config::{
    AccountConfig, Authorization, Config, EkoConfig, EnkashConfig, EnkashMandatesConfig, MandateAmountUnit, MandateMeaning, MandateNaming,
    MandatePaths, NoticeMeaning, OqpayConfig, Period, ProviderConfig, RazorpayConfig, Rule, WebhooksConfig,
};
use crate::domain::account::AccountName;
use crate::domain::personal::Vpa;
use crate::domain::upi::{DayRule, Pattern};
use crate::providers::http::HttpClient;
use crate::providers::{Provider, eko, enkash, oqpay, razorpay};
use crate::telemetry::{self, Metrics};

/// What adapters are made with besides their settings.
pub(super) struct Means {
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<Randomness>,
    pub tokens: TokenPlaces,
    pub metrics: Arc<Metrics>,
}

/// All accounts, ready to be called.
pub(super) fn all(config: &Config, means: &Means) -> Result<Vec<Provider>, StartError> {
    config.accounts.iter().map(|(name, account)| one(config, name, account, means)).collect()
}

fn one(config: &Config, name: &AccountName, account: &AccountConfig, means: &Means) -> Result<Provider, StartError> {
    // A loopback client needs no certificate authorities, which a bare machine may not have.
    let is_loopback = account.provider.base_url().starts_with("http://");
    let client = if is_loopback { HttpClient::for_loopback()? } else { HttpClient::new()? };
    let client = if config.telemetry.propagate_to_providers { client.with_trace_headers(telemetry::add_to) } else { client };
    let name = name.clone();
    let mut provider = match &account.provider {
        ProviderConfig::Razorpay(settings) => razorpay::provider(name, of_razorpay(settings), client),
        ProviderConfig::Enkash(settings) => {
            let notify_url = callback_url(&config.webhooks, &name, account);
            let tokens = means.tokens.of(&name, &means.randomness, &means.metrics);
            enkash::provider(name, of_enkash(settings, notify_url, means), client, tokens)
        }
        ProviderConfig::Oqpay(settings) => oqpay::provider(name, of_oqpay(settings), client),
        ProviderConfig::Eko(settings) => eko::provider(name, of_eko(settings, means), client),
    };
    if let (Some(told), Some(days)) = (&mut provider.capabilities.settlements, cycle_days(&account.provider)) {
        told.cycle_days = days;
    }
    Ok(provider)
}

/// How many working days after a payment it is settled, where that is agreed per account.
fn cycle_days(provider: &ProviderConfig) -> Option<u32> {
    match provider {
        ProviderConfig::Razorpay(settings) => Some(settings.settlement_cycle_days),
        ProviderConfig::Eko(settings) => Some(settings.settlement_cycle_days),
        ProviderConfig::Enkash(_) | ProviderConfig::Oqpay(_) => None,
    }
}

/// Where the account's callbacks reach us, by the address that the internet knows; `None`: it is not configured.
fn callback_url(webhooks: &WebhooksConfig, name: &AccountName, account: &AccountConfig) -> Option<SecretString> {
    let public_url = webhooks.public_url.as_ref()?;
    let secret = account.webhook_url_secrets.first().expose_secret();
    Some(format!("{}/webhooks/{name}/{secret}", public_url.trim_end_matches('/')).into())
}

fn of_razorpay(settings: &RazorpayConfig) -> razorpay::RazorpaySettings {
    razorpay::RazorpaySettings {
        base_url: settings.base_url.clone(),
        key_id: settings.key_id.clone(),
        key_secrets: settings.key_secret.iter().cloned().collect(),
        webhook_secrets: settings.webhook_secrets.iter().cloned().collect(),
        account_id: settings.account_id.clone(),
        timeout: settings.timeout(),
        deadline_floor: settings.deadline_floor(),
        close_by_min: settings.close_by_min(),
        close_by_max: settings.close_by_max(),
        notes_value_max: settings.notes_value_max,
        mcc: None,
    }
}

fn of_enkash(settings: &EnkashConfig, notify_url: Option<SecretString>, means: &Means) -> enkash::EnkashSettings {
    enkash::EnkashSettings {
        base_url: settings.base_url.clone(),
        access_key: settings.access_key.clone(),
        secret_keys: settings.secret_key.iter().cloned().collect(),
        bearer: settings.authorization == Authorization::Bearer,
        api_key: settings.api_key.as_ref().map(|key| key.first().clone()),
        order_lookup_path: settings.order_lookup_path.clone(),
        allow_unobservable_qr: settings.allow_unobservable_qr,
        notify_url,
        mandates: settings.mandates.as_ref().map(of_enkash_mandates),
        mcc: settings.mcc.clone(),
        timeout: settings.timeout(),
        deadline_floor: settings.deadline_floor(),
        now_ms: now_ms(means),
    }
}

fn of_enkash_mandates(settings: &EnkashMandatesConfig) -> enkash::EnkashMandateSettings {
    let EnkashMandatesConfig { paths, naming, amount_unit, no_rule, periods, rules, statuses, notice_statuses } = settings;
    enkash::EnkashMandateSettings {
        paths: match paths {
            MandatePaths::G2 => enkash::MandatePaths::G2,
            MandatePaths::G3 => enkash::MandatePaths::G3,
        },
        naming: match naming {
            MandateNaming::SnakeCase => enkash::Naming::SnakeCase,
            MandateNaming::CamelCase => enkash::Naming::CamelCase,
        },
        amount_unit: match amount_unit {
            MandateAmountUnit::Paise => enkash::AmountUnit::Paise,
            MandateAmountUnit::Rupees => enkash::AmountUnit::Rupees,
        },
        periods: periods.iter().map(|(period, word)| (pattern(*period), word.clone())).collect(),
        rules: rules.iter().map(|(rule, word)| (day_rule(*rule), word.clone())).collect(),
        no_rule: no_rule.clone(),
        statuses: statuses.iter().map(|(word, meaning)| (word.clone(), mandate_word(*meaning))).collect(),
        notice_statuses: notice_statuses.iter().map(|(word, meaning)| (word.clone(), notice_word(*meaning))).collect(),
    }
}

fn pattern(period: Period) -> Pattern {
    match period {
        Period::OneTime => Pattern::OneTime,
        Period::Daily => Pattern::Daily,
        Period::Weekly => Pattern::Weekly,
        Period::Fortnightly => Pattern::Fortnightly,
        Period::Monthly => Pattern::Monthly,
        Period::Bimonthly => Pattern::BiMonthly,
        Period::Quarterly => Pattern::Quarterly,
        Period::HalfYearly => Pattern::HalfYearly,
        Period::Yearly => Pattern::Yearly,
        Period::AsPresented => Pattern::AsPresented,
    }
}

fn day_rule(rule: Rule) -> DayRule {
    match rule {
        Rule::Before => DayRule::Before,
        Rule::On => DayRule::On,
        Rule::After => DayRule::After,
    }
}

fn mandate_word(meaning: MandateMeaning) -> enkash::MandateWord {
    match meaning {
        MandateMeaning::AwaitingApproval => enkash::MandateWord::AwaitingApproval,
        MandateMeaning::Active => enkash::MandateWord::Active,
        MandateMeaning::Paused => enkash::MandateWord::Paused,
        MandateMeaning::Revoked => enkash::MandateWord::Revoked,
        MandateMeaning::Rejected => enkash::MandateWord::Rejected,
        MandateMeaning::Expired => enkash::MandateWord::Expired,
        MandateMeaning::Completed => enkash::MandateWord::Completed,
    }
}

fn notice_word(meaning: NoticeMeaning) -> enkash::NoticeWord {
    match meaning {
        NoticeMeaning::Pending => enkash::NoticeWord::Pending,
        NoticeMeaning::Delivered => enkash::NoticeWord::Delivered,
        NoticeMeaning::Failed => enkash::NoticeWord::Failed,
    }
}

fn of_oqpay(settings: &OqpayConfig) -> oqpay::OqpaySettings {
    let networks = settings.callback_networks.clone();
    oqpay::OqpaySettings {
        base_url: settings.base_url.clone(),
        registration_ids: settings.registration_id.iter().cloned().collect(),
        bearer_token: settings.bearer_token.as_ref().map(|token| token.first().clone()),
        callbacks_prove: settings
            .callbacks_prove
            .then(|| Arc::new(move |address| networks.iter().any(|network| network.contains(address))) as oqpay::CallbacksProve),
        // They were judged when they were loaded.
        payee_vpas: settings.payee_vpas.iter().filter_map(|text| Vpa::parse(text).ok()).collect(),
        timeout: settings.timeout(),
        deadline_floor: settings.deadline_floor(),
    }
}

fn of_eko(settings: &EkoConfig, means: &Means) -> eko::EkoSettings {
    eko::EkoSettings {
        base_url: settings.base_url.clone(),
        developer_key: settings.developer_key.clone(),
        access_keys: settings.access_key.iter().cloned().collect(),
        initiator_id: settings.initiator_id.clone(),
        user_code: settings.user_code.clone(),
        activate_service: settings.activate_service,
        service_code: settings.service_code,
        timeout: settings.timeout(),
        deadline_floor: settings.deadline_floor(),
        now_ms: now_ms(means),
    }
}

fn now_ms(means: &Means) -> Arc<dyn Fn() -> u64 + Send + Sync> {
    let clock = Arc::clone(&means.clock);
    Arc::new(move || u64::try_from(clock.now().as_millisecond()).unwrap_or(0))
}
