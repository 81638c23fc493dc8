//! The accounts that the in-process sandbox stands behind: one at each simulated provider.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use secrecy::{ExposeSecret, SecretString};

use super::account::{
    AccountConfig, EkoConfig, EnkashConfig, EnkashMandatesConfig, MandateAmountUnit, MandateMeaning, MandateNaming, MandatePaths,
    NoticeMeaning, OqpayConfig, Period, ProviderConfig, RazorpayConfig, Rule,
};
use super::{Cidr, Config, SandboxSettings, Secrets};

pub const RAZORPAY_SANDBOX: &str = "razorpay-sandbox";
pub const ENKASH_SANDBOX: &str = "enkash-sandbox";
pub const OQPAY_SANDBOX: &str = "oqpay-sandbox";
pub const EKO_SANDBOX: &str = "eko-sandbox";

/// The accounts that the in-process sandbox stands behind.
pub const SANDBOX_ACCOUNTS: [&str; 4] = [RAZORPAY_SANDBOX, ENKASH_SANDBOX, OQPAY_SANDBOX, EKO_SANDBOX];

/// The one of them that is taken where one is enough.
pub const SANDBOX_ACCOUNT: &str = RAZORPAY_SANDBOX;

/// With this prefix Razorpay marks keys that move no money.
const RAZORPAY_KEY_ID: &str = "rzp_test_sandbox";
const ENKASH_ACCESS_KEY: &str = "EK-SANDBOX";
/// The simulator's own choice: where the real one lies is not known.
const ENKASH_ORDER_LOOKUP_PATH: &str = "/api/v0/orders/merchant/{merchantOrderId}";
const EKO_DEVELOPER_KEY: &str = "sandbox-developer-key";
const EKO_INITIATOR_ID: &str = "9000000001";
const EKO_USER_CODE: &str = "20810200";

/// The secrets that the service and its own sandbox share, made anew at each start.
#[derive(Debug, Clone)]
pub struct SandboxSecrets {
    pub razorpay_key: SecretString,
    pub razorpay_webhook: SecretString,
    pub enkash_secret_key: SecretString,
    pub oqpay_registration_id: SecretString,
    pub eko_access_key: SecretString,
    /// A part of a URL for each of [`SANDBOX_ACCOUNTS`]: letters, digits, `-` and `_`.
    pub webhook_urls: [SecretString; SANDBOX_ACCOUNTS.len()],
}

impl SandboxSecrets {
    /// Each of them by a call of `secret`, which makes one that is fit for a URL.
    pub fn made(secret: impl Fn() -> SecretString) -> Self {
        Self {
            razorpay_key: secret(),
            razorpay_webhook: secret(),
            enkash_secret_key: secret(),
            // OQPay's are made like this.
            oqpay_registration_id: format!("OQP-{}", secret().expose_secret()).into(),
            eko_access_key: secret(),
            webhook_urls: SANDBOX_ACCOUNTS.map(|_| secret()),
        }
    }
}

impl Config {
    /// What runs where nobody configured anything.
    pub fn trial(secrets: SandboxSecrets) -> Self {
        Self { sandbox: Some(SandboxSettings::default()), ..Self::default() }.with_sandbox_accounts(secrets)
    }

    /// Adds the accounts behind which the sandbox stands, if there is to be one. Their `base_url` is at the address of the
    /// settings until `sandbox_is_at` says which port was free. What a real account has to be asked for is switched on, so
    /// that all of it can be tried.
    pub fn with_sandbox_accounts(mut self, secrets: SandboxSecrets) -> Self {
        let Some(SandboxSettings { listen, .. }) = self.sandbox else { return self };
        let SandboxSecrets { razorpay_key, razorpay_webhook, enkash_secret_key, oqpay_registration_id, eko_access_key, webhook_urls } =
            secrets;
        let razorpay = RazorpayConfig::new(RAZORPAY_KEY_ID, Secrets::one(razorpay_key), Secrets::one(razorpay_webhook));
        let enkash = EnkashConfig {
            order_lookup_path: Some(ENKASH_ORDER_LOOKUP_PATH.to_owned()),
            allow_unobservable_qr: true,
            mandates: Some(enkash_mandates()),
            ..EnkashConfig::new(ENKASH_ACCESS_KEY, Secrets::one(enkash_secret_key))
        };
        let oqpay =
            OqpayConfig { callbacks_prove: true, callback_networks: loopback(), ..OqpayConfig::new(Secrets::one(oqpay_registration_id)) };
        let eko = EkoConfig {
            activate_service: true,
            ..EkoConfig::new(EKO_DEVELOPER_KEY, Secrets::one(eko_access_key), EKO_INITIATOR_ID, EKO_USER_CODE)
        };
        let providers = [
            (RAZORPAY_SANDBOX, ProviderConfig::Razorpay(razorpay)),
            (ENKASH_SANDBOX, ProviderConfig::Enkash(enkash)),
            (OQPAY_SANDBOX, ProviderConfig::Oqpay(oqpay)),
            (EKO_SANDBOX, ProviderConfig::Eko(eko)),
        ];
        for ((name, provider), webhook_url) in providers.into_iter().zip(webhook_urls) {
            let account = AccountConfig { webhook_url_secrets: Secrets::one(webhook_url), provider };
            self.accounts.insert(name.parse().expect("it is a small letter, then small letters and dashes"), account);
        }
        self.sandbox_is_at(listen);
        self
    }

    /// Points the sandbox's accounts at the address that the sandbox really has.
    pub fn sandbox_is_at(&mut self, address: SocketAddr) {
        for name in SANDBOX_ACCOUNTS {
            if let Some(AccountConfig { provider, .. }) = self.accounts.get_mut(name) {
                provider.set_base_url(format!("http://{address}/{}", provider.id()));
            }
        }
    }
}

/// How the simulator speaks of mandates: its own choice, since how EnKash does is not known.
fn enkash_mandates() -> EnkashMandatesConfig {
    let word = |text: &str| text.to_owned();
    EnkashMandatesConfig {
        paths: MandatePaths::G3,
        naming: MandateNaming::SnakeCase,
        amount_unit: MandateAmountUnit::Paise,
        no_rule: Some(word("NA")),
        periods: [
            (Period::OneTime, "ONETIME"),
            (Period::Daily, "DAILY"),
            (Period::Weekly, "WEEKLY"),
            (Period::Fortnightly, "FORTNIGHTLY"),
            (Period::Monthly, "MONTHLY"),
            (Period::Bimonthly, "BIMONTHLY"),
            (Period::Quarterly, "QUARTERLY"),
            (Period::HalfYearly, "HALFYEARLY"),
            (Period::Yearly, "YEARLY"),
            (Period::AsPresented, "ASPRESENTED"),
        ]
        .map(|(period, text)| (period, word(text)))
        .into(),
        rules: [(Rule::On, "ON"), (Rule::Before, "BEFORE"), (Rule::After, "AFTER")].map(|(rule, text)| (rule, word(text))).into(),
        statuses: [
            ("INITIATED", MandateMeaning::AwaitingApproval),
            ("ACTIVE", MandateMeaning::Active),
            ("REJECTED", MandateMeaning::Rejected),
            ("PAUSED", MandateMeaning::Paused),
            ("REVOKED", MandateMeaning::Revoked),
            ("EXPIRED", MandateMeaning::Expired),
            ("COMPLETED", MandateMeaning::Completed),
        ]
        .map(|(text, meaning)| (word(text), meaning))
        .into(),
        notice_statuses: [("SUCCESS", NoticeMeaning::Delivered), ("PENDING", NoticeMeaning::Pending), ("FAILED", NoticeMeaning::Failed)]
            .map(|(text, meaning)| (word(text), meaning))
            .into(),
    }
}

/// Where the sandbox calls back from: it listens, and so lives, on loopback alone.
fn loopback() -> Vec<Cidr> {
    let networks = [Cidr::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8), Cidr::new(Ipv6Addr::LOCALHOST.into(), 128)];
    networks.map(|network| network.expect("no bits are set beyond the prefix")).into()
}
