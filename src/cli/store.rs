//! `upistream store`: carries a store into a file, out of one, or from one place to another.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::json;

use super::config;
use super::console::{Console, Tone};
use super::failure::Failure;
use super::table::{self, Cell};
use crate::app::transfer::{self, Totals, TransferError, Written};
use crate::config::{Backend, Config};

/// How often it is said how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Back up, restore, copy and upgrade the store; without the service
#[derive(Debug, Args)]
#[command(after_help = "\
Stop the service before a restore, a copy, or a backup of a store in Redis; a backup of an embedded store needs no stop.

A store that was restored or copied is another log: subscribers begin anew, and nothing is sent to a provider until what was
open in it was looked up once. Callers repeat what they asked for since the backup with the same idempotency keys.

Examples:
  upistream store backup --config upistream.toml --to upistream.backup
  upistream store restore --config upistream.toml --from upistream.backup
  upistream store copy --from embedded.toml --to redis.toml
  upistream store upgrade --config upistream.toml
  upistream store release --config upistream.toml")]
pub struct StoreArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write all of the store into a file
    Backup(BackupArgs),
    /// Fill a store that is new with what a backup has
    Restore(RestoreArgs),
    /// Fill a store that is new with all of another: from an embedded one to Redis, say
    Copy(CopyArgs),
    /// Have the store written in this release's format, once no replica of the release before runs
    Upgrade(UpgradeArgs),
    /// Send again from a store that was restored or copied, though not all of it could be looked up
    ///
    /// Sending is held until every record that was open was looked up once, and goes on by itself then. Where a provider can't
    /// answer for one, for good, this ends it. What was not looked up is listed: look in the provider's dashboard first, since
    /// what happened there after the backup could happen a second time.
    Release(ReleaseArgs),
}

#[derive(Debug, Args)]
struct BackupArgs {
    /// The TOML file of the service whose store it is. None: the environment alone, or the trial set-up
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file to write, which must not be there yet. It holds all that the store holds: keep it as safe
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// For programs: JSON on standard output, errors as JSON too
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// The TOML file of the service whose store it will be. None: the environment alone, or the trial set-up
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file that `upistream store backup` wrote
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// For programs: JSON on standard output, errors as JSON too
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CopyArgs {
    /// The TOML file of the service whose store is copied
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The TOML file of the service whose store it will be
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// For programs: JSON on standard output, errors as JSON too
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct UpgradeArgs {
    /// The TOML file of the service whose store it is. None: the environment alone, or the trial set-up
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For programs: JSON on standard output, errors as JSON too
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ReleaseArgs {
    /// The TOML file of the service whose store it is. None: the environment alone, or the trial set-up
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For programs: JSON on standard output, errors as JSON too
    #[arg(long)]
    json: bool,
}

impl StoreArgs {
    pub fn json(&self) -> bool {
        match &self.verb {
            Verb::Backup(args) => args.json,
            Verb::Restore(args) => args.json,
            Verb::Copy(args) => args.json,
            Verb::Upgrade(args) => args.json,
            Verb::Release(args) => args.json,
        }
    }
}

pub async fn run(StoreArgs { verb }: StoreArgs, console: &Console) -> Result<(), Failure> {
    match verb {
        Verb::Backup(args) => backup(args, console).await,
        Verb::Restore(args) => restore(args, console).await,
        Verb::Copy(args) => copy(args, console).await,
        Verb::Upgrade(args) => upgrade(args, console).await,
        Verb::Release(args) => release(args, console).await,
    }
}

async fn backup(BackupArgs { config, to, json }: BackupArgs, console: &Console) -> Result<(), Failure> {
    let config = config::load(config.as_deref())?.config;
    if matches!(config.store.backend, Backend::Redis(_)) {
        console.note("no replica may have this redis store open meanwhile: all of them are to be stopped");
    }
    let progress = Progress::new(console);
    let tell = |totals: &Totals| progress.tell(totals);
    let written = console.during("writing the backup", transfer::back_up(&config, &to, &tell)).await;
    let Written { totals, bytes } = written.map_err(|error| failed(&error))?;
    let place = to.display().to_string();
    show(console, json, "file", &place, &totals, Some(bytes))?;
    console.note("this file holds the payers' data and the key of requests' fingerprints: keep it as safe as the store");
    Ok(())
}

async fn restore(RestoreArgs { config, from, json }: RestoreArgs, console: &Console) -> Result<(), Failure> {
    let config = config::load(config.as_deref())?.config;
    let progress = Progress::new(console);
    let tell = |totals: &Totals| progress.tell(totals);
    let restored = console.during("restoring", transfer::restore(&config, &from, &tell)).await;
    filled(console, json, &config, &restored.map_err(|error| failed(&error))?)
}

async fn copy(CopyArgs { from, to, json }: CopyArgs, console: &Console) -> Result<(), Failure> {
    let (from, to) = (config::load(Some(&from))?.config, config::load(Some(&to))?.config);
    let progress = Progress::new(console);
    let tell = |totals: &Totals| progress.tell(totals);
    let copied = console.during("copying", transfer::copy(&from, &to, &tell)).await;
    filled(console, json, &to, &copied.map_err(|error| failed(&error))?)?;
    console.note("start the service on the new store only: two services on two copies would both ask the providers");
    Ok(())
}

async fn upgrade(UpgradeArgs { config, json }: UpgradeArgs, console: &Console) -> Result<(), Failure> {
    let config = config::load(config.as_deref())?.config;
    let (before, now) = transfer::upgrade(&config).await.map_err(|error| failed(&error))?;
    let place = config.store.backend.place();
    if json {
        return console.print(&json!({ "store": place, "format_before": before, "format": now }).to_string());
    }
    console.print(&match before == now {
        true => format!("{place} is written in format {now}, as this release does: there was nothing to do"),
        false => format!("{place} was written in format {before}, and is in format {now} from now on"),
    })
}

async fn release(ReleaseArgs { config, json }: ReleaseArgs, console: &Console) -> Result<(), Failure> {
    let config = config::load(config.as_deref())?.config;
    let released = console.during("releasing", transfer::release(&config)).await.map_err(|error| failed(&error))?;
    let place = config.store.backend.place();
    let Some(unseen) = released else {
        let text = format!("sending is not held in {place}: there was nothing to do");
        return console.print(&if json { json!({ "store": place, "held": false, "not_looked_up": [] }).to_string() } else { text });
    };
    let ids: Vec<String> = unseen.iter().map(ToString::to_string).collect();
    if json {
        return console.print(&json!({ "store": place, "held": true, "not_looked_up": ids }).to_string());
    }
    console.print(&format!("sending is no longer held in {place}; not looked up since: {}", ids.len()))?;
    ids.iter().try_for_each(|id| console.print(&format!("  {id}")))
}

/// What a store was filled with, and what to expect of it.
fn filled(console: &Console, json: bool, config: &Config, totals: &Totals) -> Result<(), Failure> {
    show(console, json, "store", &config.store.backend.place(), totals, None)?;
    console.note(&format!(
        "nothing is sent to a provider until the {} records that were open were looked up once; it goes on by itself then",
        totals.open
    ));
    console.note("its log is a new one: subscribers' tokens are not valid there, they begin anew (from a time, or the earliest event)");
    Ok(())
}

fn show(console: &Console, json: bool, what: &str, place: &str, totals: &Totals, bytes: Option<u64>) -> Result<(), Failure> {
    let Totals { records, events, claims, open } = totals;
    if json {
        let mut shown = json!({ what: place, "records": records, "events": events, "claims": claims, "open": open });
        if let Some(bytes) = bytes {
            shown["bytes"] = bytes.into();
        }
        return console.print(&shown.to_string());
    }
    let mut pairs: Vec<(String, Cell)> = Vec::new();
    let mut add = |name: &str, value: String| pairs.push((format!("  {name}"), value.into()));
    let kinds: Vec<String> = records.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    add("records", if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") });
    add("of them open", open.to_string());
    add("events", events.to_string());
    add("claims", claims.to_string());
    if let Some(bytes) = bytes {
        add("bytes", bytes.to_string());
    }
    console.print(&format!("{}\n{}", console.paint(Tone::Strong, place), table::block(console, &pairs)))
}

/// Where its own words end in what to do, that is the next step.
fn failed(error: &TransferError) -> Failure {
    let said = error.to_string();
    match said.rsplit_once("; ") {
        Some((what, next)) => Failure::new(what, next),
        None => Failure::new(said, "put this right and begin anew; `upistream config check` shows the settings in force"),
    }
}

/// Says how much was carried, from time to time.
struct Progress<'a> {
    console: &'a Console,
    told: Mutex<Instant>,
}

impl<'a> Progress<'a> {
    fn new(console: &'a Console) -> Self {
        Self { console, told: Mutex::new(Instant::now()) }
    }

    fn tell(&self, totals: &Totals) {
        let Ok(mut told) = self.told.lock() else { return };
        if told.elapsed() >= TOLD_EVERY {
            *told = Instant::now();
            self.console.note(&format!("{} records, events and claims so far", totals.all()));
        }
    }
}
