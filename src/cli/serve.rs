//! `upistream serve`: the service, until it is told to end.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::console::{Console, Tone};
use super::failure::Failure;
use super::signals::Signals;
use super::table::{self, Cell};
use super::{config, logs};
use crate::app::{self, Options, Running};
use crate::clock::Randomness;
use crate::config::{Backend, Config, SandboxSecrets, StoreConfig};

/// Run the service
///
/// Without a configuration it is a trial set-up: an embedded store in ./upistream-data, and an account at a simulated provider
/// in the same process. Everything listens on loopback; no money moves.
///
/// SIGTERM or Ctrl-C drains: requests under way are finished, subscribers are told to reconnect. A second one ends at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream serve
  upistream serve --config upistream.toml
  upistream config check --config upistream.toml   looks at it first")]
pub struct ServeArgs {
    /// The TOML file. None: the environment alone, or the trial set-up
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen where other machines reach it though there is neither TLS nor a caller's credential
    #[arg(long)]
    insecure: bool,
}

pub async fn run(ServeArgs { config: file, insecure }: ServeArgs, console: &Console) -> Result<(), Failure> {
    let config = config::load(file.as_deref())?.config.with_sandbox_account(sandbox_secrets());
    logs::start(&config.log)?;
    let mut signals = Signals::listen()?;
    let started = console.during("starting", app::start(config.clone(), Options { insecure, ..Options::default() }));
    let running = tokio::select! {
        started = started => started.map_err(|error| not_started(&error))?,
        signal = signals.next() => return Err(Failure::new(format!("{signal} while starting"), "start it again")),
    };
    console.print(&up(console, &config, &running, file.is_none()))?;
    let signal = signals.next().await;
    console.note(&format!("{signal}: draining; a second signal ends at once"));
    tokio::select! {
        drained = console.during("draining", running.stop()) => {
            console.note(if drained { "drained" } else { "stopped; not everything was finished in time, the rest goes on at the next start" });
            Ok(())
        }
        signal = signals.next() => {
            Err(Failure::new(format!("{signal} again: stopped at once"), "start it again: what was under way is looked up then"))
        }
    }
}

/// Its own words say what is wrong and what to do.
pub fn not_started(error: &app::StartError) -> Failure {
    Failure::new(error.to_string(), "put this right and start again; `upistream config check` shows the settings in force")
}

/// What the service and its own sandbox agree upon for one run.
pub fn sandbox_secrets() -> SandboxSecrets {
    let random = Randomness::of_system();
    let secret = || SecretString::from(format!("{:032x}", random.bits()));
    SandboxSecrets { key: secret(), webhook: secret(), webhook_url: secret() }
}

/// What stands where, and what to try.
fn up(console: &Console, config: &Config, running: &Running, is_bare: bool) -> String {
    let Running { grpc, webhooks, admin, sandbox, accounts, .. } = running;
    let StoreConfig { backend: Backend::Embedded(embedded), .. } = &config.store;
    let mut pairs: Vec<(String, Cell)> = Vec::new();
    let mut add = |name: &str, value: String| pairs.push((format!("  {name}"), value.into()));
    add("gRPC", format!("{grpc}  internal services call here; reflection is on"));
    add("webhooks", format!("{webhooks}  providers call here: POST /webhooks/<account>/<secret>"));
    add("admin", format!("{admin}  liveness, readiness, metrics"));
    add("accounts", accounts.join(", "));
    add("store", format!("{}", embedded.path.display()));
    if let Some(sandbox) = sandbox {
        add("sandbox", format!("{}  play the payer, the bank and bad luck here", sandbox.control_url()));
    }
    // The one that a first try can do without saying.
    let address = match grpc.port() {
        50051 if grpc.ip().is_loopback() => String::new(),
        _ => format!(" --address http://{grpc}"),
    };
    let account = if accounts.len() > 1 { format!(" --account {}", accounts[0]) } else { String::new() };
    add("try", format!("upistream events tail{address}\nupistream qr create --amount 499{account}{address}"));
    let title = console.paint(Tone::Strong, concat!("upistream ", env!("CARGO_PKG_VERSION"), " serves"));
    let trial = if is_bare && sandbox.is_some() { ": a trial set-up, no money moves" } else { "" };
    format!("{title}{trial}\n{}", table::block(console, &pairs))
}
