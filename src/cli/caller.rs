//! `upistream caller`: makes credentials for those who call. Nothing is sent anywhere.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::console::Console;
use super::failure::Failure;
use crate::clock::Randomness;
use crate::config::EVERY_ACCOUNT;
use crate::domain::account::AccountName;
use crate::domain::caller::{ApiKeyHash, CallerName, Permission, api_key};

/// Make credentials for those who call the service
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  upistream caller new orders
  upistream caller new orders --accounts shop --permissions qr:write,qr:read,payment:read,events:read
  upistream caller new dashboard --permissions qr:read,payment:read,refund:read,events:read --json")]
pub struct CallerArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an API key and print it, once, with what the configuration needs to know of it
    ///
    /// The service keeps only the key's hash: a key that is lost is replaced. To change a caller's key without a gap, add the
    /// new hash beside the old one, hand out the new key, then take the old hash away.
    #[command(after_help = PERMISSIONS_HELP)]
    New(NewArgs),
}

const PERMISSIONS_HELP: &str = "\
Permissions (none implies another one):
  qr:write          create and close QR codes
  qr:read           read them, and their images
  payment:read      read payments, and have them looked at again
  refund:write      make refunds
  refund:read       read them
  mandate:write     create, update, pause, resume and revoke mandates
  mandate:read      read them
  debit:write       create, execute and cancel debits
  debit:read        read them
  settlement:read   read settlements, their lines and breaks
  events:read       subscribe to events, and read the log
  pii:read          see VPAs, phone numbers and e-mail addresses; without it they are masked
  doubt:resolve     see what is in doubt, and decide it
  admin             see what is in doubt and in quarantine, and replay callbacks";

#[derive(Debug, Args)]
struct NewArgs {
    /// The caller: a lower-case letter, then lower-case letters, digits and dashes. Idempotency keys belong to it
    name: CallerName,
    /// The accounts that it may use; all others do not exist for it. *: all
    #[arg(long, value_delimiter = ',', default_value = EVERY_ACCOUNT, value_parser = account, value_name = "NAMES")]
    accounts: Vec<String>,
    /// What it may do
    #[arg(long, value_delimiter = ',', default_value = "qr:write,qr:read,payment:read,events:read", value_name = "NAMES")]
    permissions: Vec<Permission>,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct NewCaller<'a> {
    name: &'a str,
    api_key: &'a str,
    api_key_hash: String,
    configuration: &'a str,
}

impl CallerArgs {
    pub fn json(&self) -> bool {
        let Verb::New(args) = &self.verb;
        args.json
    }
}

fn account(text: &str) -> Result<String, String> {
    if text == EVERY_ACCOUNT {
        return Ok(text.to_owned());
    }
    text.parse::<AccountName>().map(|name| name.to_string()).map_err(|error| error.to_string())
}

pub fn run(CallerArgs { verb: Verb::New(args) }: CallerArgs, console: &Console) -> Result<(), Failure> {
    let randomness = Randomness::of_system();
    let mut random = [0; 32];
    random[..16].copy_from_slice(&randomness.bits().to_be_bytes());
    random[16..].copy_from_slice(&randomness.bits().to_be_bytes());
    let key = api_key(random);
    let section = section(&args, &ApiKeyHash::of(&key));
    if args.json {
        let hash = ApiKeyHash::of(&key).to_string();
        let made = NewCaller { name: args.name.as_str(), api_key: &key, api_key_hash: hash, configuration: &section };
        let text = serde_json::to_string(&made).map_err(|error| Failure::new(error.to_string(), "tell the developers"))?;
        return console.print(&text);
    }
    console.note(&format!("the key of `{}`, shown this once; it is sent as `authorization: Bearer <key>`:", args.name));
    console.print(&key)?;
    console.note("\nfor the configuration of the service:");
    console.print(&section)
}

fn section(args: &NewArgs, hash: &ApiKeyHash) -> String {
    let list = |texts: Vec<String>| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
    let permissions = Permission::ALL.iter().filter(|permission| args.permissions.contains(permission));
    format!(
        "[callers.{}]\napi_key_hashes = [\"{hash}\"]\naccounts = [{}]\npermissions = [{}]",
        args.name,
        list(args.accounts.clone()),
        list(permissions.map(ToString::to_string).collect())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_help_names_every_permission() {
        let named: Vec<&str> = PERMISSIONS_HELP.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(named.len(), Permission::ALL.len());
        assert!(Permission::ALL.iter().all(|permission| named.contains(&permission.as_str())));
    }

    #[test]
    fn the_section_is_taken_by_the_configuration() {
        let (name, hash) = ("orders".parse::<CallerName>().unwrap(), ApiKeyHash::of("upk_1"));
        let permissions = vec![Permission::QrWrite, Permission::QrRead];
        let args = NewArgs { name: name.clone(), accounts: vec![EVERY_ACCOUNT.to_owned()], permissions: permissions.clone(), json: false };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("upistream.toml");
        std::fs::write(&file, format!("[sandbox]\n{}", section(&args, &hash))).unwrap();
        let config = Config::load(Some(&file), std::iter::empty()).unwrap().config;
        let caller = &config.callers[&name];
        assert_eq!((caller.api_key_hashes.clone(), caller.accounts.clone()), (vec![hash], args.accounts));
        assert_eq!(caller.permissions, permissions.into_iter().collect());
    }
}
