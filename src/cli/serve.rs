//! `upistream serve`: the service, until it is told to end.

use std::path::PathBuf;

use clap::Args;

use super::console::{Console, Tone};
use super::failure::Failure;
use super::signals::{Hangup, Signals};
use super::table::{self, Cell};
use super::{config, logs};
use crate::app::{self, Options, Running};
use crate::config::{Config, SANDBOX_ACCOUNT};
use crate::telemetry::Export;

/// Run the service
///
/// Without a configuration it is a trial set-up: an embedded store in ./upistream-data, and an account at a simulated provider
/// in the same process. Everything listens on loopback; no money moves.
///
/// SIGTERM or Ctrl-C drains: requests under way are finished, subscribers are told to reconnect. A second one ends at once.
///
/// The configuration and the files that it names are read again every reload.every_s seconds, and on SIGHUP: certificates and
/// the secrets of accounts change without a restart. What needs one is named in the log.
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
    let config = config::load(file.as_deref())?.config;
    let mut export = logs::start_with_export(&config.log, &config.telemetry)?;
    let ended = serve(config, file, insecure, export.as_mut(), console).await;
    // Whoever ends it at once, or could not start it, does not wait for a collector.
    if let (Some(export), true) = (export, ended.is_ok()) {
        export.stop().await;
    }
    ended
}

/// From start to end. `file`: that of the configuration.
async fn serve(
    config: Config,
    file: Option<PathBuf>,
    insecure: bool,
    export: Option<&mut Export>,
    console: &Console,
) -> Result<(), Failure> {
    let (mut signals, mut hangup) = (Signals::listen()?, Hangup::listen()?);
    // Nobody routes to a trial set-up, so there is nobody to wait for before it stops.
    let is_trial = file.is_none() && config.sandbox.is_some();
    let again = move || config::read(file.as_deref()).map(|loaded| loaded.config).map_err(|error| error.to_string().replace('\n', " "));
    let options = Options { insecure, drain: !is_trial, reload: Some(Box::new(again)), ..Options::default() };
    let started = console.during("starting", app::start(config.clone(), options));
    let running = tokio::select! {
        started = started => started.map_err(|error| not_started(&error))?,
        signal = signals.next() => return Err(Failure::new(format!("{signal} while starting"), "start it again")),
    };
    if let Some(export) = export {
        export.watch(running.engine().metrics());
    }
    console.print(&up(console, &config, &running, is_trial))?;
    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            () = hangup.next() => running.reload(),
            // Not drained: whatever is left of it is not to be trusted with more. What was under way is on disk.
            what = running.broken() => {
                let what = format!("{what} ended by itself, so the service ends too");
                return Err(Failure::new(what, "the log says why; start it again: what was under way is looked up then"));
            }
        }
    };
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

/// Where its own words end in what to do ("…; choose another port"), that is the next step.
pub fn not_started(error: &app::StartError) -> Failure {
    let said = error.to_string();
    match said.rsplit_once("; ") {
        Some((what, next)) => Failure::new(what, next),
        None => Failure::new(said, "put this right and start again; `upistream config check` shows the settings in force"),
    }
}

/// What stands where, and what to try.
fn up(console: &Console, config: &Config, running: &Running, is_trial: bool) -> String {
    let Running { grpc, webhooks, admin, sandbox, accounts, .. } = running;
    let mut pairs: Vec<(String, Cell)> = Vec::new();
    let mut add = |name: &str, value: String| pairs.push((format!("  {name}"), value.into()));
    add("gRPC", format!("{grpc}  internal services call here; reflection is on"));
    add("webhooks", format!("{webhooks}  providers call here: POST /webhooks/<account>/<secret>"));
    add("admin", format!("{admin}  GET /livez, /readyz, /metrics"));
    add("accounts", accounts.join(", "));
    add("store", config.store.backend.place());
    if let Some(sandbox) = sandbox {
        add("sandbox", format!("{}  play the payer, the bank and bad luck here", sandbox.control_url()));
    }
    // The one that a first try can do without saying.
    let address = match grpc.port() {
        50051 if grpc.ip().is_loopback() && !config.grpc.tls.is_on() => String::new(),
        _ => format!(" --address {}://{grpc}", if config.grpc.tls.is_on() { "https" } else { "http" }),
    };
    let address = if config.callers.is_empty() { address } else { format!("{address} --api-key-file FILE") };
    let tried = accounts.iter().find(|account| *account == SANDBOX_ACCOUNT).or(accounts.first());
    let account = tried.filter(|_| accounts.len() > 1).map(|account| format!(" --account {account}")).unwrap_or_default();
    add("try", format!("upistream events tail{address}\nupistream qr create --amount 499{account}{address}"));
    let title = console.paint(Tone::Strong, concat!("upistream ", env!("CARGO_PKG_VERSION"), " serves"));
    let trial = if is_trial { ": a trial set-up, no money moves" } else { "" };
    format!("{title}{trial}\n{}", table::block(console, &pairs))
}
