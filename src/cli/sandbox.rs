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
use crate::sandbox::{self, SandboxAccount, SandboxConfig};

/// Run the simulated providers alone
///
/// They speak the providers' real formats, hold state, send signed callbacks, and can be told to fail. `upistream serve`
/// without a configuration runs them in its own process; this is for a service of your own. Loopback only: whoever reaches it
/// can make payments up. The secrets printed here are those of the simulator, and open nothing else.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream sandbox
  upistream sandbox --account shop --webhook-url http://127.0.0.1:8080/webhooks/shop/0123456789abcdef

Pay a QR code as a payer's app would, through the control interface that is printed at the start:
  curl -d '{\"qr\": \"upi://pay?…\"}' http://127.0.0.1:8090/control/razorpay/shop/pay")]
pub struct SandboxArgs {
    /// Where it listens; loopback only
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The name of the merchant account
    #[arg(long, default_value = "razorpay-sandbox", value_name = "NAME")]
    account: String,
    /// The API key's id
    #[arg(long, default_value = "rzp_test_sandbox", value_name = "ID")]
    key_id: String,
    /// The API key's secret; a new one if left out
    #[arg(long, env = "UPISTREAM_SANDBOX_KEY_SECRET", hide_env_values = true, value_name = "SECRET")]
    key_secret: Option<String>,
    /// The merchant's id, as callbacks name it
    #[arg(long, default_value = "acc_sandbox0000001", value_name = "ID")]
    account_id: String,
    /// Where callbacks go: the service's webhook URL of the account. None sends none
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// What callbacks are signed with; a new one if left out
    #[arg(long, env = "UPISTREAM_SANDBOX_WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET")]
    webhook_secret: Option<String>,
    /// The file that keeps its state over restarts; none forgets everything
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

pub async fn run(args: SandboxArgs, console: &Console) -> Result<(), Failure> {
    let SandboxArgs { listen, account: name, key_id, key_secret, account_id, webhook_url, webhook_secret, state } = args;
    if !listen.ip().is_loopback() {
        return Err(Failure::usage(
            format!("{listen} can be reached by other machines"),
            "give --listen an address of loopback, such as 127.0.0.1:8090",
        ));
    }
    logs::start(&LogConfig { level: "warn".to_owned(), ..LogConfig::default() })?;
    let random = Randomness::of_system();
    let secret = |given: Option<String>| SecretString::from(given.unwrap_or_else(|| format!("{:032x}", random.bits())));
    let account =
        SandboxAccount { name, key_id, key_secret: secret(key_secret), account_id, webhook_secret: secret(webhook_secret), webhook_url };
    let seed = u64::try_from(random.bits() >> 64).unwrap_or(1);
    let config = SandboxConfig { accounts: vec![account.clone()], seed, state_file: state, ..SandboxConfig::default() };

    let mut signals = Signals::listen()?;
    let cant = |error: std::io::Error| {
        Failure::new(format!("{listen} can't be listened on: {error}"), "choose another with --listen; port 0 is any free one")
    };
    let listener = TcpListener::bind(listen).await.map_err(cant)?;
    let sandbox =
        sandbox::start(listener, config).await.map_err(|error| Failure::new(error.to_string(), "put this right and start again"))?;

    let SandboxAccount { name, key_id, key_secret, account_id, webhook_secret, webhook_url } = account;
    let pairs: [(&str, String); 8] = [
        ("control", format!("{}  play the payer, the bank and bad luck here", sandbox.control_url())),
        ("account", name),
        ("base_url", sandbox.razorpay_url()),
        ("key_id", key_id),
        ("key_secret", key_secret.expose_secret().to_owned()),
        ("webhook_secrets", webhook_secret.expose_secret().to_owned()),
        ("account_id", account_id),
        ("callbacks to", webhook_url.unwrap_or_else(|| "nobody yet: say where with --webhook-url".to_owned())),
    ];
    let pairs: Vec<(String, Cell)> = pairs.map(|(name, value)| (format!("  {name}"), value.into())).into();
    let title = console.paint(Tone::Strong, "upistream sandbox: a simulated Razorpay, no money moves");
    console.print(&format!("{title}\n{}", table::block(console, &pairs)))?;
    let signal = signals.next().await;
    console.note(&format!("{signal}: stopping"));
    sandbox.stop().await;
    Ok(())
}
