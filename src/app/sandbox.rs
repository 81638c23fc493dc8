//! The sandbox in this process, where the configuration wants one: its accounts get fresh secrets and their callbacks come
//! to our own listener.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::{StartError, listen};
use crate::clock::Randomness;
use crate::config::{AccountConfig, Config, ProviderConfig, SANDBOX_ACCOUNTS, SandboxSecrets};
use crate::sandbox::{
    self, EkoMerchant, EnkashMerchant, Merchant, OqpayMerchant, RazorpayMerchant, Sandbox, SandboxAccount, SandboxConfig,
};

/// The merchant id of the trial account at the simulated Razorpay.
const RAZORPAY_MERCHANT: &str = "acc_SandboxTrial01";
/// How the simulated providers' events of one happening are spread: enough to come out of order.
const EVENT_SPREAD_MS: u64 = 50;

/// Starts the sandbox and points its accounts at it; the configuration as it is then.
pub(super) async fn start_where_wanted(
    config: Config,
    webhooks: SocketAddr,
    randomness: &Randomness,
) -> Result<(Config, Option<Sandbox>), StartError> {
    let Some(settings) = config.sandbox.clone() else { return Ok((config, None)) };
    let secret = || SecretString::from(URL_SAFE_NO_PAD.encode([randomness.bits().to_be_bytes(), randomness.bits().to_be_bytes()].concat()));
    let mut config = config.with_sandbox_accounts(SandboxSecrets::made(secret));
    // Where a provider is told the address of callbacks with each request, the simulated one finds us here.
    config.webhooks.public_url.get_or_insert_with(|| format!("http://{webhooks}"));
    let listener = listen("sandbox.listen", settings.listen).await?;
    let accounts = SANDBOX_ACCOUNTS.iter().filter_map(|name| Some(simulated(name, config.accounts.get(*name)?, webhooks))).collect();
    let seed = u64::try_from(randomness.bits() >> 64).unwrap_or(1);
    let simulated =
        SandboxConfig { accounts, seed, event_spread_ms: EVENT_SPREAD_MS, state_file: settings.state_file, ..SandboxConfig::default() };
    let running = sandbox::start(listener, simulated).await?;
    config.sandbox_is_at(running.address());
    Ok((config, Some(running)))
}

/// The merchant at the simulated provider that an account of ours stands for.
fn simulated(name: &str, account: &AccountConfig, webhooks: SocketAddr) -> SandboxAccount {
    let AccountConfig { webhook_url_secrets, provider } = account;
    let webhook_url = format!("http://{webhooks}/webhooks/{name}/{}", webhook_url_secrets.first().expose_secret());
    let merchant = match provider {
        ProviderConfig::Razorpay(razorpay) => Merchant::Razorpay(RazorpayMerchant {
            key_id: razorpay.key_id.clone(),
            key_secret: razorpay.key_secret.first().clone(),
            account_id: RAZORPAY_MERCHANT.to_owned(),
            webhook_secret: razorpay.webhook_secrets.first().clone(),
        }),
        ProviderConfig::Enkash(enkash) => {
            Merchant::Enkash(EnkashMerchant { access_key: enkash.access_key.clone(), secret_key: enkash.secret_key.first().clone() })
        }
        ProviderConfig::Oqpay(oqpay) => Merchant::Oqpay(OqpayMerchant { registration_id: oqpay.registration_id.first().clone() }),
        ProviderConfig::Eko(eko) => Merchant::Eko(EkoMerchant {
            developer_key: eko.developer_key.clone(),
            access_key: eko.access_key.first().clone(),
            initiator_id: eko.initiator_id.clone(),
            user_code: eko.user_code.clone(),
        }),
    };
    SandboxAccount { name: name.to_owned(), webhook_url: Some(webhook_url), merchant }
}
