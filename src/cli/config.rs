//! `upistream config`: looks at the configuration without starting anything.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::console::{Console, Tone};
use super::failure::Failure;
use super::table::{Cell, Table};
use crate::app::StartError;
use crate::app::store::{Finding, Severity, examine_redis};
use crate::config::{Backend, Config, ConfigError, Loaded, Origin, SandboxSecrets, default_mandate_rules, default_toml};

/// Look at the configuration without starting anything
#[derive(Debug, Args)]
#[command(after_help = "\
Every key of the file is also an environment variable, which goes before the file:
grpc.listen is UPISTREAM__GRPC__LISTEN.

Examples:
  upistream config default
  upistream config rules
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
    /// Print the rules of UPI for mandates and debits, and from when each holds, as a file to begin with for mandates.rules_file
    Rules,
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

pub async fn run(ConfigArgs { verb }: ConfigArgs, console: &Console) -> Result<(), Failure> {
    match verb {
        Verb::Default => console.print(default_toml().trim_end()),
        Verb::Rules => console.print(default_mandate_rules().trim_end()),
        Verb::Check(args) => check(args, console).await,
    }
}

/// Reads it as `serve` does.
pub fn load(file: Option<&Path>) -> Result<Loaded, Failure> {
    read(file).map_err(problems)
}

/// The same, for those who have no person to speak to.
pub fn read(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    Config::load(file, std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))))
}

async fn check(CheckArgs { config: file, insecure }: CheckArgs, console: &Console) -> Result<(), Failure> {
    let loaded = load(file.as_deref())?;
    // They are made anew at each start and shown nowhere; here only that they are there counts.
    let secrets = SandboxSecrets::made(|| SecretString::from("made at the start"));
    let config = loaded.config.clone().with_sandbox_accounts(secrets);
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
    if let Some(examined) = console.during("asking redis what it would lose", examine_redis(&config)).await {
        show_redis(&config, examined, console)?;
    }
    console.note(match &config.sandbox {
        Some(_) => "the configuration is fine; a sandbox is part of it, in which no money moves",
        None => "the configuration is fine",
    });
    Ok(())
}

/// What the redis that is reached would lose. One that is not reached is a problem of its own.
fn show_redis(config: &Config, examined: Result<Vec<Finding>, StartError>, console: &Console) -> Result<(), Failure> {
    let findings = examined.map_err(|cause| {
        Failure::new(format!("redis could not be asked: {cause}"), "see that it runs and that store.redis.urls and the password are right")
    })?;
    let mut table = Table::new(&["REDIS", "WHAT IT IS"]);
    for Finding { severity, text } in &findings {
        let (word, tone) = match severity {
            Severity::Fine => ("fine", Tone::Good),
            Severity::Warning => ("warning", Tone::Warning),
            Severity::Loss => ("data loss", Tone::Bad),
            Severity::Unusable => ("unusable", Tone::Bad),
        };
        table.row([Cell::toned(Some(tone), word.to_owned()), text.clone().into()]);
    }
    console.print(&table.text(console))?;
    let worst = findings.iter().map(|finding| finding.severity).max();
    let allowed = matches!(&config.store.backend, Backend::Redis(redis) if redis.allow_data_loss);
    match worst {
        Some(Severity::Unusable) => Err(Failure::new("this redis can't be used", "see the table above")),
        Some(Severity::Loss) if !allowed => Err(Failure::new(
            "this redis would lose what it acknowledged",
            "change its settings as said above, or say that it is meant with store.redis.allow_data_loss = true",
        )),
        _ => Ok(()),
    }
}

/// Each problem says its own next step.
fn problems(error: ConfigError) -> Failure {
    Failure::new(
        error.to_string(),
        "put this right and look again with `upistream config check`; `upistream config default` shows what can be set",
    )
}

#[cfg(test)]
mod tests {
    use super::super::console::captured::console;
    use super::*;
    use crate::config::MandatesConfig;

    #[tokio::test]
    async fn the_rules_that_are_printed_are_a_file_to_begin_with() {
        let (console, out, _) = console();
        assert!(run(ConfigArgs { verb: Verb::Rules }, &console).await.is_ok());
        let folder = tempfile::tempdir().unwrap();
        let rules_file = folder.path().join("rules.toml");
        std::fs::write(&rules_file, out.text()).unwrap();
        let config = MandatesConfig { rules_file, ..MandatesConfig::default() };
        assert_eq!(config.rules(), MandatesConfig::default().rules());
    }
}
