//! The sandbox in this process, where the configuration wants one: its account gets fresh secrets and its callbacks
//! come to our own listener.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::{StartError, listen};
use crate::clock::Randomness;
use crate::config::{Config, ProviderConfig, SANDBOX_ACCOUNT, SandboxSecrets};
use crate::sandbox::{self, Merchant, RazorpayMerchant, Sandbox, SandboxAccount, SandboxConfig};

/// The merchant id of the trial account at the simulated provider.
const MERCHANT: &str = "acc_SandboxTrial01";
/// How the simulated provider's events of one happening are spread: enough to come out of order.
const EVENT_SPREAD_MS: u64 = 50;

/// Starts the sandbox and points its account at it; the configuration as it is then.
pub(super) async fn start_where_wanted(
    config: Config,
    webhooks: SocketAddr,
    randomness: &Randomness,
) -> Result<(Config, Option<Sandbox>), StartError> {
    let Some(settings) = config.sandbox.clone() else { return Ok((config, None)) };
    let secret = || SecretString::from(URL_SAFE_NO_PAD.encode([randomness.bits().to_be_bytes(), randomness.bits().to_be_bytes()].concat()));
    let secrets = SandboxSecrets::made(secret);
    let [url_secret, ..] = &secrets.webhook_urls;
    let webhook_url = format!("http://{webhooks}/webhooks/{SANDBOX_ACCOUNT}/{}", url_secret.expose_secret());
    let (key_secret, webhook_secret) = (secrets.razorpay_key.clone(), secrets.razorpay_webhook.clone());
    let mut config = config.with_sandbox_accounts(secrets);
    let key_id = match config.accounts.get(SANDBOX_ACCOUNT).map(|account| &account.provider) {
        Some(ProviderConfig::Razorpay(razorpay)) => razorpay.key_id.clone(),
        _ => return Ok((config, None)),
    };
    let listener = listen("sandbox.listen", settings.listen).await?;
    let merchant = RazorpayMerchant { key_id, key_secret, account_id: MERCHANT.to_owned(), webhook_secret };
    let account =
        SandboxAccount { name: SANDBOX_ACCOUNT.to_owned(), webhook_url: Some(webhook_url), merchant: Merchant::Razorpay(merchant) };
    let seed = u64::try_from(randomness.bits() >> 64).unwrap_or(1);
    let simulated = SandboxConfig {
        accounts: vec![account],
        seed,
        event_spread_ms: EVENT_SPREAD_MS,
        state_file: settings.state_file,
        ..SandboxConfig::default()
    };
    let running = sandbox::start(listener, simulated).await?;
    config.sandbox_is_at(running.address());
    Ok((config, Some(running)))
}
