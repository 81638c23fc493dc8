//! Accounts as configured to providers that can be called: each adapter gets its settings, a client, and what it keeps a
//! token with.

use std::sync::Arc;

use super::StartError;
use super::secrets::{self, AccountSecrets, CallbackUrl, Cells, EnkashCells, RazorpayCells};
use super::tokens::TokenPlaces;
use crate::clock::{Clock, Randomness};
use crate::config::{
    AccountConfig, Authorization, Config, EkoConfig, EnkashConfig, EnkashMandatesConfig, MandateAmountUnit, MandateMeaning, MandateNaming,
    MandatePaths, NoticeMeaning, OqpayConfig, Period, ProviderCallsConfig, ProviderConfig, RazorpayConfig, Rule,
};
use crate::domain::account::AccountName;
use crate::domain::personal::Vpa;
use crate::domain::upi::{DayRule, Pattern};
use crate::held::Held;
use crate::providers::breaker::BreakerSettings;
use crate::providers::bulkhead::BulkheadSettings;
use crate::providers::http::{HttpClient, Transport};
use crate::providers::line::{CallObserver, Line, LineSettings};
use crate::providers::{Provider, eko, enkash, oqpay, razorpay};
use crate::telemetry::{self, Metrics};

/// What adapters are made with besides their settings.
pub(super) struct Means {
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<Randomness>,
    pub tokens: TokenPlaces,
    pub calls: Arc<dyn CallObserver>,
    pub metrics: Arc<Metrics>,
    /// `None`: the network.
    pub transport: Option<Arc<dyn Transport>>,
}

/// All accounts, ready to be called, and the cells that each of them looks for its secrets in.
pub(super) fn all(config: &Config, means: &Means) -> Result<(Vec<Provider>, Vec<AccountSecrets>), StartError> {
    let made: Result<Vec<_>, _> = config.accounts.iter().map(|(name, account)| one(config, name, account, means)).collect();
    Ok(made?.into_iter().unzip())
}

fn one(config: &Config, name: &AccountName, account: &AccountConfig, means: &Means) -> Result<(Provider, AccountSecrets), StartError> {
    // A loopback client needs no certificate authorities, which a bare machine may not have.
    let is_loopback = account.provider.base_url().starts_with("http://");
    let line = Line::new(name.clone(), of_line(&config.provider_calls), Arc::clone(&means.calls));
    let client = match &means.transport {
        Some(transport) => HttpClient::over(Arc::clone(transport), line),
        None if is_loopback => HttpClient::for_loopback(line)?,
        None => HttpClient::new(line)?,
    };
    let client = if config.telemetry.propagate_to_providers { client.with_trace_headers(telemetry::add_to) } else { client };
    let callbacks = CallbackUrl { public_url: config.webhooks.public_url.clone(), account: name.clone() };
    let name = name.clone();
    let (mut provider, cells) = match &account.provider {
        ProviderConfig::Razorpay(settings) => {
            let cells = RazorpayCells::of(settings);
            (razorpay::provider(name, of_razorpay(settings, &cells), client), Cells::Razorpay(cells))
        }
        ProviderConfig::Enkash(settings) => {
            let cells = EnkashCells::of(settings, callbacks.with(&account.webhook_url_secrets));
            let tokens = means.tokens.of(&name, &means.randomness, &means.metrics);
            (enkash::provider(name, of_enkash(settings, &cells, means), client, tokens), Cells::Enkash(cells))
        }
        ProviderConfig::Oqpay(settings) => {
            let keys = Held::new(secrets::oqpay_keys(settings));
            (oqpay::provider(name, of_oqpay(settings, keys.clone()), client), Cells::Oqpay(keys))
        }
        ProviderConfig::Eko(settings) => {
            let keys = Held::new(secrets::eko_keys(settings));
            (eko::provider(name, of_eko(settings, keys.clone(), means), client), Cells::Eko(keys))
        }
    };
    if let (Some(told), Some(days)) = (&mut provider.capabilities.settlements, cycle_days(&account.provider)) {
        told.cycle_days = days;
    }
    Ok((provider, AccountSecrets::new(callbacks, account.clone(), cells)))
}

/// How many working days after a payment it is settled, where that is agreed per account.
fn cycle_days(provider: &ProviderConfig) -> Option<u32> {
    match provider {
        ProviderConfig::Razorpay(settings) => Some(settings.settlement_cycle_days),
        ProviderConfig::Eko(settings) => Some(settings.settlement_cycle_days),
        ProviderConfig::Enkash(_) | ProviderConfig::Oqpay(_) => None,
    }
}

fn of_line(calls: &ProviderCallsConfig) -> LineSettings {
    let ProviderCallsConfig { calls_max, waiting_max, breaker_failures, breaker_failure_percent, .. } = *calls;
    LineSettings {
        bulkhead: BulkheadSettings { calls_max, waiting_max },
        breaker: BreakerSettings {
            failures: breaker_failures,
            failure_percent: breaker_failure_percent,
            window: calls.breaker_window(),
            open_for: calls.breaker_open(),
            trials: calls.breaker_trials,
        },
    }
}

fn of_razorpay(settings: &RazorpayConfig, cells: &RazorpayCells) -> razorpay::RazorpaySettings {
    razorpay::RazorpaySettings {
        base_url: settings.base_url.clone(),
        key: cells.key.clone(),
        webhook_secrets: cells.webhook_secrets.clone(),
        account_id: settings.account_id.clone(),
        timeout: settings.timeout(),
        deadline_floor: settings.deadline_floor(),
        close_by_min: settings.close_by_min(),
        close_by_max: settings.close_by_max(),
        notes_value_max: settings.notes_value_max,
        mcc: None,
    }
}

fn of_enkash(settings: &EnkashConfig, cells: &EnkashCells, means: &Means) -> enkash::EnkashSettings {
    enkash::EnkashSettings {
        base_url: settings.base_url.clone(),
        keys: cells.keys.clone(),
        bearer: settings.authorization == Authorization::Bearer,
        order_lookup_path: settings.order_lookup_path.clone(),
        allow_unobservable_qr: settings.allow_unobservable_qr,
        notify_url: cells.notify_url.clone(),
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

fn of_oqpay(settings: &OqpayConfig, keys: Held<oqpay::Keys>) -> oqpay::OqpaySettings {
    let networks = settings.callback_networks.clone();
    oqpay::OqpaySettings {
        base_url: settings.base_url.clone(),
        keys,
        callbacks_prove: settings
            .callbacks_prove
            .then(|| Arc::new(move |address| networks.iter().any(|network| network.contains(address))) as oqpay::CallbacksProve),
        // They were judged when they were loaded.
        payee_vpas: settings.payee_vpas.iter().filter_map(|text| Vpa::parse(text).ok()).collect(),
        timeout: settings.timeout(),
        deadline_floor: settings.deadline_floor(),
    }
}

fn of_eko(settings: &EkoConfig, keys: Held<eko::Keys>, means: &Means) -> eko::EkoSettings {
    eko::EkoSettings {
        base_url: settings.base_url.clone(),
        keys,
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
