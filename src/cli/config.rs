//! `upistream config`: looks at the configuration without starting anything.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::console::{Console, Tone};
use super::failure::Failure;
use super::table::{Cell, Table};
use crate::config::{Config, ConfigError, Loaded, Origin, SandboxSecrets, default_toml};

/// Look at the configuration without starting anything
#[derive(Debug, Args)]
#[command(after_help = "\
Every key of the file is also an environment variable, which goes before the file:
grpc.listen is UPISTREAM__GRPC__LISTEN.

Examples:
  upistream config default
  upistream config check --config upistream.toml")]
pub struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print each setting, its value (secrets hidden) and where it comes from; exit 1 if something is wrong
    Check(CheckArgs),
    /// Print the reference: every setting with its default and its meaning, as a file to begin with
    Default,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The TOML file. None: the environment alone, or the trial set-up
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// As with `serve --insecure`: addresses that other machines reach are no problem
    #[arg(long)]
    insecure: bool,
}

pub fn run(ConfigArgs { verb }: ConfigArgs, console: &Console) -> Result<(), Failure> {
    match verb {
        Verb::Default => console.print(default_toml().trim_end()),
        Verb::Check(args) => check(args, console),
    }
}

/// Reads it as `serve` does.
pub fn load(file: Option<&std::path::Path>) -> Result<Loaded, Failure> {
    Config::load(file, std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))))
        .map_err(problems)
}

fn check(CheckArgs { config: file, insecure }: CheckArgs, console: &Console) -> Result<(), Failure> {
    let loaded = load(file.as_deref())?;
    // They are made anew at each start and shown nowhere; here only that they are there counts.
    let made = || SecretString::from("made at the start");
    let secrets = SandboxSecrets { key: made(), webhook: made(), webhook_url: made() };
    let config = loaded.config.clone().with_sandbox_account(secrets);
    let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
    for (key, value) in config.describe() {
        let origin = loaded.origin(&key);
        let tone = if origin == Origin::Default { Some(Tone::Faint) } else { None };
        table.row([key.into(), value.into(), Cell::toned(tone, origin.to_string())]);
    }
    console.print(&table.text(console))?;
    let exposed = config.exposure();
    if !exposed.is_empty() && !insecure {
        let what = format!("other machines reach {}, and there is neither TLS nor a caller's credential", exposed.join(" and "));
        return Err(Failure::new(what, "listen on loopback, or say that it is meant with --insecure"));
    }
    console.note(match &config.sandbox {
        Some(_) => "the configuration is fine; a sandbox is part of it, in which no money moves",
        None => "the configuration is fine",
    });
    Ok(())
}

/// Each problem says its own next step.
fn problems(error: ConfigError) -> Failure {
    Failure::new(
        error.to_string(),
        "put this right and look again with `upistream config check`; `upistream config default` shows what can be set",
    )
}
