//! From a file and the environment to a `Config`. Every problem is collected before the answer is no:
//! each value is judged by itself, then each account for completeness, then the configuration as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::account::PROVIDERS;
use super::check::{self, Violation};
use super::keys::{self, Found, KEYS, Key, PREFIX};
use super::problem::{ConfigError, Origin, Problem};
use super::takes::Takes;
use super::{Config, reference, secrets};
use crate::domain::account::AccountName;
use crate::domain::caller::CallerName;

/// A configuration that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Where each setting that somebody gave came from, by dotted key.
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

impl Config {
    /// Reads the file, if there is one, puts the environment over it, and judges the whole. Without a file and without an
    /// account in the environment it is the trial set-up, whose accounts `with_sandbox_accounts` adds.
    pub fn load(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
        let environment = environment.collect();
        let mut given = Given::default();
        if let Some(path) = path {
            match std::fs::read_to_string(path) {
                Ok(text) => given.read_file(path, &text)?,
                Err(error) => return Err(unreadable(path, &error)),
            }
        }
        given.read_environment(&environment);
        given.settle(path, &environment)
    }
}

/// What was said, before anything is made of it.
#[derive(Default)]
struct Given {
    leaves: BTreeMap<Vec<String>, Leaf>,
    /// Sections that were named, with or without settings: `[sandbox]` alone says something.
    sections: BTreeMap<Vec<String>, Origin>,
    problems: Vec<Problem>,
}

struct Leaf {
    key: &'static Key,
    value: toml::Value,
    origin: Origin,
}

impl Given {
    /// A file that isn't TOML says nothing that could be judged further.
    fn read_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let file = File { path, text };
        let (spans, errors) = DeTable::parse_recoverable(text);
        let table = match text.parse::<toml::Table>() {
            Ok(table) if errors.is_empty() => table,
            Ok(_) => return Err(file.not_toml(&errors)),
            Err(error) if errors.is_empty() => return Err(file.not_toml(&[error])),
            Err(_) => return Err(file.not_toml(&errors)),
        };
        self.read_table(&file, &mut Vec::new(), spans.get_ref(), &table);
        Ok(())
    }

    fn read_table(&mut self, file: &File<'_>, parents: &mut Vec<String>, spans: &DeTable<'_>, table: &toml::Table) {
        for (name, span) in spans {
            let Some(value) = table.get(name.get_ref().as_ref()) else {
                continue;
            };
            let origin = file.at(name.span().start);
            parents.push(name.get_ref().clone().into_owned());
            match (keys::find(parents), span.get_ref(), value) {
                (Found::Setting(key), _, value) => {
                    self.leaves.insert(parents.clone(), Leaf { key, value: value.clone(), origin });
                }
                (Found::Section, DeValue::Table(spans), toml::Value::Table(table)) => {
                    self.sections.insert(parents.clone(), origin);
                    self.read_table(file, parents, spans, table);
                }
                (Found::Section, ..) => {
                    let key = parents.join(".");
                    self.complain(origin, &key, format!("`{key}` is a section, not a setting"), format!("write it as [{key}]"));
                }
                (Found::Unknown, ..) => {
                    let key = parents.join(".");
                    self.complain(origin, &key, format!("there is no setting `{key}`"), keys::suggest(parents));
                }
            }
            parents.pop();
        }
    }

    fn read_environment(&mut self, environment: &BTreeMap<String, String>) {
        let names = self.account_names().into_iter().chain(self.caller_names()).collect();
        let mut seen: BTreeMap<Vec<String>, &str> = BTreeMap::new();
        for (variable, text) in environment {
            let Some((prefix, rest)) = variable.split_at_checked(PREFIX.len()) else {
                continue;
            };
            if !prefix.eq_ignore_ascii_case(PREFIX) {
                continue;
            }
            let origin = Origin::Environment { variable: variable.clone() };
            let Some((key, path)) = keys::find_variable(rest, &names) else {
                let what = "no setting has this name".to_owned();
                self.problems.push(Problem { origin, key: None, what, next: keys::suggest_variable(rest) });
                continue;
            };
            let dotted = path.join(".");
            if let Some(other) = seen.insert(path.clone(), variable) {
                let what = format!("`{dotted}` is set by `{other}` too");
                self.complain(origin, &dotted, what, "keep one of the two".to_owned());
                continue;
            }
            for depth in 1..path.len() {
                self.sections.entry(path[..depth].to_vec()).or_insert_with(|| origin.clone());
            }
            match read_variable(key, text) {
                Ok(value) => {
                    self.leaves.insert(path, Leaf { key, value, origin });
                }
                Err((what, next)) => self.complain(origin, &dotted, format!("`{dotted}` {what}"), next),
            }
        }
    }

    /// Judges all that was said and makes the configuration of it.
    fn settle(mut self, file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Loaded, ConfigError> {
        if file.is_none() && self.account_names().is_empty() {
            self.sections.entry(vec!["sandbox".to_owned()]).or_insert(Origin::Default);
        }
        let mut origins: BTreeMap<String, Origin> = self.sections.iter().map(|(path, origin)| (path.join("."), origin.clone())).collect();
        origins.extend(self.leaves.iter().map(|(path, leaf)| (path.join("."), leaf.origin.clone())));

        let mut tree = self.judge_leaves(environment);
        if let Some(file) = file {
            self.need_an_account(file);
        }
        for name in self.account_names() {
            self.complete_account(&name, &mut tree, &origins);
        }
        for name in self.caller_names() {
            self.complete_caller(&name, &mut tree, &origins);
        }
        self.complete_store(&mut tree, &origins);

        // What is judged as a whole is judged without the values that were refused: defaults stand in for them.
        let config = match Config::deserialize(tree) {
            Ok(config) => config,
            Err(error) => {
                let origin = Origin::Default;
                let next = "correct it".to_owned();
                self.problems.push(Problem { origin, key: None, what: error.message().to_owned(), next });
                return Err(ConfigError::new(self.problems));
            }
        };
        for Violation { keys, what, next } in check::violations(&config) {
            if keys.iter().any(|key| self.refused(key)) {
                continue;
            }
            let given = keys.iter().filter_map(|key| origins.get(key)).find(|&origin| *origin != Origin::Default);
            let origin = given.cloned().unwrap_or(Origin::Default);
            self.problems.push(Problem { origin, key: keys.first().cloned(), what, next });
        }
        if self.problems.is_empty() { Ok(Loaded { config, origins }) } else { Err(ConfigError::new(self.problems)) }
    }

    /// The tree of all values that may stand as they are.
    fn judge_leaves(&mut self, environment: &BTreeMap<String, String>) -> toml::Table {
        let mut tree = toml::Table::new();
        for path in self.sections.keys() {
            section(&mut tree, path);
        }
        for (path, leaf) in std::mem::take(&mut self.leaves) {
            let Leaf { key, value, origin } = leaf;
            let dotted = path.join(".");
            match judge(key, value, environment) {
                Ok(value) => {
                    let (name, parents) = path.split_last().expect("a key has at least one segment");
                    section(&mut tree, parents).insert(name.clone(), value);
                }
                Err(wrongs) => {
                    for (what, next) in wrongs {
                        self.complain(origin.clone(), &dotted, format!("`{dotted}` {what}"), next);
                    }
                }
            }
        }
        tree
    }

    fn need_an_account(&mut self, file: &Path) {
        let sandbox = self.sections.keys().any(|path| path[0] == "sandbox");
        // A misspelt [accounts] or [sandbox] was named already.
        let misspelt = self.problems.iter().any(|problem| problem.key.as_ref().is_some_and(|key| !key.contains('.')));
        if self.account_names().is_empty() && !sandbox && !misspelt {
            self.problems.push(Problem {
                origin: Origin::File { path: file.to_owned(), line: None },
                key: None,
                what: "no account is configured".to_owned(),
                next: "add an [accounts.NAME] with its provider, or a [sandbox] to try the service without one".to_owned(),
            });
        }
    }

    /// Names what an account lacks, and takes it out of the tree if that is something.
    fn complete_account(&mut self, name: &str, tree: &mut toml::Table, origins: &BTreeMap<String, Origin>) {
        let at = format!("accounts.{name}");
        let origin = origins.get(&at).cloned().unwrap_or(Origin::Default);
        let mut whole = true;
        if let Err(error) = name.parse::<AccountName>() {
            whole = false;
            self.complain(origin.clone(), &at, format!("`{name}` can't name an account: {error}"), "rename it".to_owned());
        }
        if PROVIDERS.iter().filter(|provider| origins.contains_key(&format!("{at}.{provider}"))).count() != 1 {
            whole = false;
            let known: Vec<String> = PROVIDERS.iter().map(|provider| format!("[{at}.{provider}]")).collect();
            let what = format!("account `{name}` needs exactly one provider");
            self.complain(origin, &at, what, format!("give it one of {}", known.join(", ")));
        }
        whole &= self.has_all_that_is_needed(|path| path.starts_with("accounts.").then(|| path.replace('*', name)), origins);
        if !whole && let Some(toml::Value::Table(accounts)) = tree.get_mut("accounts") {
            accounts.remove(name);
        }
    }

    /// Names what a caller lacks, and takes it out of the tree if that is something.
    fn complete_caller(&mut self, name: &str, tree: &mut toml::Table, origins: &BTreeMap<String, Origin>) {
        let at = format!("callers.{name}");
        let mut whole = true;
        if let Err(error) = name.parse::<CallerName>() {
            whole = false;
            let origin = origins.get(&at).cloned().unwrap_or(Origin::Default);
            self.complain(origin, &at, format!("`{name}` can't name a caller: {error}"), "rename it".to_owned());
        }
        whole &= self.has_all_that_is_needed(|path| path.starts_with("callers.").then(|| path.replace('*', name)), origins);
        if !whole && let Some(toml::Value::Table(callers)) = tree.get_mut("callers") {
            callers.remove(name);
        }
    }

    /// Names what the store's section lacks, or has too much of, and takes that out of the tree.
    fn complete_store(&mut self, tree: &mut toml::Table, origins: &BTreeMap<String, Origin>) {
        let whole = self.has_all_that_is_needed(|path| path.starts_with("store.").then(|| path.to_owned()), origins);
        let backends = ["store.embedded", "store.redis"];
        let both = backends.iter().all(|backend| origins.contains_key(*backend));
        if both {
            let origin = origins.get("store.redis").cloned().unwrap_or(Origin::Default);
            let what = "`store.embedded` and `store.redis` are both there, and a store has one place".to_owned();
            self.complain(origin, "store.redis", what, "keep one of the two".to_owned());
        }
        if (!whole || both)
            && let Some(toml::Value::Table(store)) = tree.get_mut("store")
        {
            store.remove("redis");
        }
    }

    /// Names each needed setting that is missing from a section which is there. `named`: the dotted key of a setting's path,
    /// where it is one that is asked about.
    fn has_all_that_is_needed(&mut self, named: impl Fn(&str) -> Option<String>, origins: &BTreeMap<String, Origin>) -> bool {
        let mut whole = true;
        for key in KEYS.iter().filter(|key| key.needed) {
            let Some(dotted) = named(key.path) else { continue };
            let section = dotted.rsplit_once('.').and_then(|(section, _)| origins.get(section));
            whole &= !self.refused(&dotted);
            if let Some(section) = section
                && !origins.contains_key(&dotted)
                && !self.refused(&dotted)
            {
                whole = false;
                let next = format!("set it; {}", describes(&key.takes));
                self.complain(section.clone(), &dotted, format!("`{dotted}` is needed and missing"), next);
            }
        }
        whole
    }

    fn account_names(&self) -> BTreeSet<String> {
        self.names_in("accounts")
    }

    fn caller_names(&self) -> BTreeSet<String> {
        self.names_in("callers")
    }

    fn names_in(&self, section: &str) -> BTreeSet<String> {
        let paths = self.sections.keys().chain(self.leaves.keys());
        paths.filter(|path| path.len() >= 2 && path[0] == section).map(|path| path[1].clone()).collect()
    }

    fn refused(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.key.as_deref() == Some(key))
    }

    fn complain(&mut self, origin: Origin, key: &str, what: String, next: String) {
        self.problems.push(Problem { origin, key: Some(key.to_owned()), what, next });
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn not_toml(&self, errors: &[toml::de::Error]) -> ConfigError {
        let problem = |error: &toml::de::Error| Problem {
            origin: self.at(error.span().map_or(0, |span| span.start)),
            key: None,
            // Only the message: the error's own display quotes the line, and a secret may stand on it.
            what: format!("this is not TOML: {}", error.message()),
            next: "correct the line; texts stand in quotes, and each key once in its section".to_owned(),
        };
        ConfigError::new(errors.iter().map(problem).collect())
    }

    fn at(&self, byte: usize) -> Origin {
        let before = &self.text.as_bytes()[..byte.min(self.text.len())];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        Origin::File { path: PathBuf::from(self.path), line: Some(line) }
    }
}

/// A variable is text: for a text it is the value as it stands, so that `12345` stays one; for anything else it is TOML. A
/// secret may be written as in the file where it begins like a list or a table.
fn read_variable(key: &Key, text: &str) -> Result<toml::Value, (String, String)> {
    let (as_toml, next) = match &key.takes {
        Takes::Text(_) => (false, ""),
        Takes::Secrets(_) => (text.starts_with(['[', '{']), "a secret that begins with `[` or `{` is written [\"…\"]"),
        Takes::Number { .. } | Takes::OneOf(_) => (true, "give a whole number"),
        Takes::Networks { .. } => (true, "give a list such as [\"10.0.0.0/8\"]"),
        Takes::Texts { .. } => (true, "give a list such as [\"…\"]"),
        Takes::Vpas => (true, "give a list such as [\"shop.GR0001@kotak\"]"),
        Takes::Days => (true, "give a list such as [\"2026-01-26\"]"),
        Takes::RedisUrls => (true, "give a list such as [\"redis://127.0.0.1:6379\"]"),
        Takes::WordsFor(_) => (true, "give a table such as { monthly = \"…\" }"),
        Takes::Meanings(_) => (true, "give a table such as { \"…\" = \"active\" }"),
        Takes::Flag => (true, "give true or false"),
    };
    if !as_toml {
        return Ok(toml::Value::String(text.to_owned()));
    }
    // The parser's own message may quote what it read.
    text.parse().map_err(|_| ("can't be read as a TOML value".to_owned(), next.to_owned()))
}

/// The value as the settings' types read it, or all that is wrong with it.
fn judge(key: &Key, value: toml::Value, environment: &BTreeMap<String, String>) -> Result<toml::Value, Vec<(String, String)>> {
    if let Takes::Secrets(rule) = key.takes {
        let secrets = secrets::resolve(&value, rule, environment)?;
        return Ok(toml::Value::Array(secrets.into_iter().map(toml::Value::String).collect()));
    }
    match key.takes.judge(&value) {
        Ok(()) => Ok(value),
        Err(be) => {
            let next = match reference::default_of(key.path) {
                Some(default) => format!("correct it, or leave it out for the default {default}"),
                None => "correct it".to_owned(),
            };
            // Where hashes of keys are wanted, a key itself may have been put.
            let what = if matches!(key.takes, Takes::Texts { .. }) {
                format!("must be {be}")
            } else {
                format!("is {}, but must be {be}", shown(&value))
            };
            Err(vec![(what, next)])
        }
    }
}

/// A refused value, as far as it may be shown: what has an `@` in it may be a URL with a password.
fn shown(value: &toml::Value) -> String {
    let text = value.to_string();
    if text.contains('@') {
        "not what it should be".to_owned()
    } else if text.chars().count() > 80 {
        format!("{}…", text.chars().take(80).collect::<String>())
    } else {
        text
    }
}

fn describes(takes: &Takes) -> &'static str {
    match takes {
        Takes::Secrets(_) => "a secret is \"text\", { file = \"path\" } or { env = \"NAME\" }",
        Takes::Number { .. }
        | Takes::OneOf(_)
        | Takes::Text(_)
        | Takes::Networks { .. }
        | Takes::Texts { .. }
        | Takes::Vpas
        | Takes::Days
        | Takes::RedisUrls
        | Takes::WordsFor(_)
        | Takes::Meanings(_)
        | Takes::Flag => "`upistream config default` shows how",
    }
}

/// The section at `path`, made where it isn't there yet.
fn section<'a>(tree: &'a mut toml::Table, path: &[String]) -> &'a mut toml::Table {
    path.iter().fold(tree, |table, name| {
        let below = table.entry(name.clone()).or_insert_with(|| toml::Table::new().into());
        below.as_table_mut().expect("a path is either a section or a setting")
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let problem = Problem {
        origin: Origin::File { path: path.to_owned(), line: None },
        key: None,
        what: format!("this file can't be read: {error}"),
        next: "name a readable TOML file, or none at all for the trial set-up".to_owned(),
    };
    ConfigError::new(vec![problem])
}
