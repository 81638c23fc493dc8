//! `upistream sandbox`: the simulated providers alone, for a service that runs elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;

use super::console::{Console, Tone};
use super::failure::Failure;
use super::logs;
use super::signals::Signals;
use super::table::{self, Cell};
use crate::clock::Randomness;
use crate::config::LogConfig;
use crate::sandbox::{
    self, EkoMerchant, EnkashMerchant, Merchant, OqpayMerchant, RazorpayMerchant, Sandbox, SandboxAccount, SandboxConfig,
};

/// Run the simulated providers alone
///
/// They speak the providers' real formats, hold state, send callbacks, and can be told to fail: Razorpay, EnKash, OQPay and
/// Eko, with one merchant account at each. `upistream serve` without a configuration runs them in its own process; this is
/// for a service of your own. Loopback only: whoever reaches it can make payments up. The secrets printed here are those of
/// the simulator, and open nothing else.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream sandbox
  upistream sandbox --account shop --webhook-url http://127.0.0.1:8080/webhooks/shop/0123456789abcdef

Pay a QR code as a payer's app would, through the control interface that is printed at the start:
  curl -d '{\"qr\": \"upi://pay?…\"}' http://127.0.0.1:8090/control/razorpay/shop/pay

Decide on a mandate as its payer would (approve, reject, pause, resume, revoke), and say what becomes of a notice (delivered,
failed) or of a debit that was executed (collected, or failed and why), each by its link or the provider's id:
  curl -d '{\"mandate\": \"upi://mandate?…\", \"act\": \"approve\"}' http://127.0.0.1:8090/control/razorpay/shop/decide_mandate
  curl -d '{\"notice\": \"order_…\", \"how\": \"delivered\"}' http://127.0.0.1:8090/control/razorpay/shop/end_notice
  curl -d '{\"debit\": \"pay_…\", \"how\": {\"failed\": {\"reason\": \"insufficient_funds\"}}}' http://127.0.0.1:8090/control/razorpay/shop/end_debit")]
pub struct SandboxArgs {
    /// Where it listens; loopback only
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The name of the merchant account at Razorpay
    #[arg(long, default_value = "razorpay-sandbox", value_name = "NAME")]
    account: String,
    /// Its API key's id
    #[arg(long, default_value = "rzp_test_sandbox", value_name = "ID")]
    key_id: String,
    /// Its API key's secret; a new one if left out
    #[arg(long, env = "UPISTREAM_SANDBOX_KEY_SECRET", hide_env_values = true, value_name = "SECRET")]
    key_secret: Option<String>,
    /// Its merchant's id, as callbacks name it
    #[arg(long, default_value = "acc_sandbox0000001", value_name = "ID")]
    account_id: String,
    /// Where Razorpay's callbacks go: the service's webhook URL of the account. None sends none
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// What Razorpay's callbacks are signed with; a new one if left out
    #[arg(long, env = "UPISTREAM_SANDBOX_WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET")]
    webhook_secret: Option<String>,
    /// The secret key of the account at EnKash, which is told with each order where its callbacks go; a new one if left out
    #[arg(long, env = "UPISTREAM_SANDBOX_ENKASH_SECRET_KEY", hide_env_values = true, value_name = "SECRET")]
    enkash_secret_key: Option<String>,
    /// The registration id of the account at OQPay; a new one if left out
    #[arg(long, env = "UPISTREAM_SANDBOX_OQPAY_REGISTRATION_ID", hide_env_values = true, value_name = "ID")]
    oqpay_registration_id: Option<String>,
    /// Where OQPay's callbacks go. None sends none
    #[arg(long, value_name = "URL")]
    oqpay_webhook_url: Option<String>,
    /// The access key of the account at Eko; a new one if left out
    #[arg(long, env = "UPISTREAM_SANDBOX_EKO_ACCESS_KEY", hide_env_values = true, value_name = "SECRET")]
    eko_access_key: Option<String>,
    /// Where Eko's callbacks go. None sends none
    #[arg(long, value_name = "URL")]
    eko_webhook_url: Option<String>,
    /// The file that keeps its state over restarts; none forgets everything
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

pub async fn run(args: SandboxArgs, console: &Console) -> Result<(), Failure> {
    let listen = args.listen;
    if !listen.ip().is_loopback() {
        return Err(Failure::usage(
            format!("{listen} can be reached by other machines"),
            "give --listen an address of loopback, such as 127.0.0.1:8090",
        ));
    }
    logs::start(&LogConfig { level: "warn".to_owned(), ..LogConfig::default() })?;
    let random = Randomness::of_system();
    let state_file = args.state.clone();
    let accounts = accounts(args, &random);
    let seed = u64::try_from(random.bits() >> 64).unwrap_or(1);
    let config = SandboxConfig { accounts: accounts.clone(), seed, state_file, ..SandboxConfig::default() };

    let mut signals = Signals::listen()?;
    let cant = |error: std::io::Error| {
        Failure::new(format!("{listen} can't be listened on: {error}"), "choose another with --listen; port 0 is any free one")
    };
    let listener = TcpListener::bind(listen).await.map_err(cant)?;
    let sandbox =
        sandbox::start(listener, config).await.map_err(|error| Failure::new(error.to_string(), "put this right and start again"))?;

    let title = console.paint(Tone::Strong, "upistream sandbox: simulated providers, no money moves");
    let control = ("control".to_owned(), format!("{}  play the payer, the bank and bad luck here", sandbox.control_url()));
    let blocks = std::iter::once(vec![control]).chain(accounts.iter().map(|account| settings(account, &sandbox)));
    let blocks: Vec<String> = blocks.map(|pairs| block(console, pairs)).collect();
    console.print(&format!("{title}\n{}", blocks.join("\n\n")))?;
    let signal = signals.next().await;
    console.note(&format!("{signal}: stopping"));
    sandbox.stop().await;
    Ok(())
}

/// One account at each provider; what was not given of its secrets is made up.
fn accounts(args: SandboxArgs, random: &Randomness) -> Vec<SandboxAccount> {
    let secret = |given: Option<String>| SecretString::from(given.unwrap_or_else(|| format!("{:032x}", random.bits())));
    let razorpay = RazorpayMerchant {
        key_id: args.key_id,
        key_secret: secret(args.key_secret),
        account_id: args.account_id,
        webhook_secret: secret(args.webhook_secret),
    };
    let enkash = EnkashMerchant { access_key: "EK-SANDBOX".to_owned(), secret_key: secret(args.enkash_secret_key) };
    let registration = args.oqpay_registration_id.unwrap_or_else(|| format!("OQP-{:020}", random.bits() >> 64));
    let eko = EkoMerchant {
        developer_key: "sandbox-developer-key".to_owned(),
        access_key: secret(args.eko_access_key),
        initiator_id: "9000000001".to_owned(),
        user_code: "20810200".to_owned(),
    };
    let account = |name: &str, webhook_url, merchant| SandboxAccount { name: name.to_owned(), webhook_url, merchant };
    vec![
        account(&args.account, args.webhook_url, Merchant::Razorpay(razorpay)),
        account("enkash-sandbox", None, Merchant::Enkash(enkash)),
        account("oqpay-sandbox", args.oqpay_webhook_url, Merchant::Oqpay(OqpayMerchant { registration_id: registration.into() })),
        account("eko-sandbox", args.eko_webhook_url, Merchant::Eko(eko)),
    ]
}

/// What a service's settings of an account are, by their keys, and what else there is to know.
fn settings(account: &SandboxAccount, sandbox: &Sandbox) -> Vec<(String, String)> {
    let shown = |secret: &SecretString| secret.expose_secret().to_owned();
    let (keys, nobody): (Vec<(&str, String)>, &str) = match &account.merchant {
        Merchant::Razorpay(RazorpayMerchant { key_id, key_secret, account_id, webhook_secret }) => (
            vec![
                ("key_id", key_id.clone()),
                ("key_secret", shown(key_secret)),
                ("webhook_secrets", shown(webhook_secret)),
                ("account_id", account_id.clone()),
            ],
            "nobody yet: say where with --webhook-url",
        ),
        Merchant::Enkash(EnkashMerchant { access_key, secret_key }) => {
            (vec![("access_key", access_key.clone()), ("secret_key", shown(secret_key))], "where each order says")
        }
        Merchant::Oqpay(OqpayMerchant { registration_id }) => {
            (vec![("registration_id", shown(registration_id))], "nobody yet: say where with --oqpay-webhook-url")
        }
        Merchant::Eko(EkoMerchant { developer_key, access_key, initiator_id, user_code }) => (
            vec![
                ("developer_key", developer_key.clone()),
                ("access_key", shown(access_key)),
                ("initiator_id", initiator_id.clone()),
                ("user_code", user_code.clone()),
            ],
            "nobody yet: say where with --eko-webhook-url",
        ),
    };
    let provider = account.merchant.provider();
    let mut pairs =
        vec![("account", account.name.clone()), ("provider", provider.name().to_owned()), ("base_url", sandbox.url_of(provider))];
    pairs.extend(keys);
    pairs.push(("callbacks to", account.webhook_url.clone().unwrap_or_else(|| nobody.to_owned())));
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn block(console: &Console, pairs: Vec<(String, String)>) -> String {
    let pairs: Vec<(String, Cell)> = pairs.into_iter().map(|(name, value)| (format!("  {name}"), value.into())).collect();
    table::block(console, &pairs)
}
