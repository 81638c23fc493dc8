//! Secrets, and where they are read from. Nothing here ever shows one: neither `Debug` nor
//! `Serialize`, and no error says more than the key and the place.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// What stands in a secret's place wherever a configuration is shown.
pub const REDACTED: &str = "<redacted>";

/// No key or password is longer; a path that points at something else is caught early.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The secrets that are valid at once, current one first: a new one is put in front, and the old one
/// is taken away when nobody uses it any more. Never empty.
#[derive(Clone)]
pub struct Secrets {
    first: SecretString,
    others: Vec<SecretString>,
}

impl Secrets {
    pub fn one(secret: SecretString) -> Self {
        Self { first: secret, others: Vec::new() }
    }

    /// `None` for no secret at all.
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Option<Self> {
        let mut secrets = secrets.into_iter();
        Some(Self { first: secrets.next()?, others: secrets.collect() })
    }

    /// The one to use where we are who signs or logs in.
    pub fn first(&self) -> &SecretString {
        &self.first
    }

    /// All that are accepted, current one first.
    pub fn iter(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub fn count(&self) -> usize {
        1 + self.others.len()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", vec![REDACTED; self.count()].join(", "))
    }
}

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        self.count() == other.count()
            && self.iter().zip(other.iter()).all(|(a, b)| a.expose_secret().as_bytes().ct_eq(b.expose_secret().as_bytes()).into())
    }
}

impl Serialize for Secrets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|_| REDACTED))
    }
}

/// Takes what `resolve` made; `{ file }` and `{ env }` are none of serde's business.
impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<SecretString>::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("a secret is needed"))
    }
}

/// What a kind of secret must look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct SecretRule {
    pub chars_min: usize,
    pub goes: Goes,
}

/// Where a secret goes as it is, and so what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goes {
    Anywhere,
    /// Nothing that needs escaping there.
    IntoAUrl,
    /// Visible ASCII alone.
    IntoAHeader,
}

/// Reads `"text"`, `{ file = "…" }`, `{ env = "…" }` or a list of these. On failure: what is wrong and
/// what to do, for each secret of the list.
pub(super) fn resolve(
    value: &toml::Value,
    rule: SecretRule,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<String>, Vec<(String, String)>> {
    let one;
    let sources = match value {
        toml::Value::Array(sources) => sources.as_slice(),
        single => {
            one = [single.clone()];
            &one
        }
    };
    let mut secrets = Vec::new();
    let mut problems = Vec::new();
    for source in sources {
        match resolve_one(source, rule, environment) {
            Ok(secret) if secrets.contains(&secret) => {
                problems.push(("names the same secret twice".to_owned(), "leave one of the two out".to_owned()));
            }
            Ok(secret) => secrets.push(secret),
            Err(problem) => problems.push(problem),
        }
    }
    if sources.is_empty() {
        problems.push(("is an empty list".to_owned(), "give at least one secret".to_owned()));
    }
    if problems.is_empty() { Ok(secrets) } else { Err(problems) }
}

fn resolve_one(source: &toml::Value, rule: SecretRule, environment: &BTreeMap<String, String>) -> Result<String, (String, String)> {
    let (secret, place) = match source {
        toml::Value::String(text) => (text.clone(), "holds a secret".to_owned()),
        toml::Value::Table(table) => match table.iter().next() {
            Some((kind, toml::Value::String(path))) if kind == "file" && table.len() == 1 => {
                (read_file(Path::new(path))?, format!("names the file `{path}`, whose content"))
            }
            Some((kind, toml::Value::String(name))) if kind == "env" && table.len() == 1 => {
                let secret = environment.get(name).cloned().ok_or_else(|| {
                    (
                        format!("names the environment variable `{name}`, which isn't set"),
                        format!("set `{name}`, or take the secret from elsewhere"),
                    )
                })?;
                (secret, format!("names the environment variable `{name}`, whose value"))
            }
            _ => return Err(not_a_source()),
        },
        _ => return Err(not_a_source()),
    };
    judge(&secret, rule).map_err(|wrong| match source {
        toml::Value::String(_) => (format!("{place} that {wrong}"), "put the right one there".to_owned()),
        _ => (format!("{place} {wrong}"), "put the right secret there".to_owned()),
    })?;
    Ok(secret)
}

fn not_a_source() -> (String, String) {
    ("is not a secret".to_owned(), "write \"text\", { file = \"path\" }, { env = \"NAME\" }, or a list of these".to_owned())
}

/// An editor ends a file with one newline, and nobody means it; any other white space at an edge is refused below.
fn read_file(path: &Path) -> Result<String, (String, String)> {
    let cant = |why: &dyn fmt::Display| {
        let what = format!("names the file `{}`, which can't be read: {why}", path.display());
        (what, "make it a file that this process can read".to_owned())
    };
    let mut text = String::new();
    std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)).map_err(|error| cant(&error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(cant(&format_args!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn judge(secret: &str, rule: SecretRule) -> Result<(), String> {
    if secret.is_empty() {
        return Err("is empty".to_owned());
    }
    if secret == REDACTED {
        return Err(format!("is the word {REDACTED}, as `config check` prints it"));
    }
    if secret.trim() != secret {
        return Err("begins or ends with white space".to_owned());
    }
    if secret.chars().any(char::is_control) {
        return Err("has a control character in it".to_owned());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    if rule.goes == Goes::IntoAUrl && !secret.chars().all(plain) {
        return Err("has a character that a URL can't hold as it is (use letters, digits, `-`, `_`, `.`, `~`)".to_owned());
    }
    if rule.goes == Goes::IntoAHeader && !secret.chars().all(|c| c.is_ascii_graphic()) {
        return Err("has a character that an HTTP header can't hold (use visible ASCII characters)".to_owned());
    }
    if secret.chars().count() < rule.chars_min {
        return Err(format!("is shorter than {} characters", rule.chars_min));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SecretRule = SecretRule { chars_min: 1, goes: Goes::Anywhere };

    fn resolved(toml: &str, rule: SecretRule) -> Result<Vec<String>, Vec<(String, String)>> {
        let environment = [("SHOP_KEY", "from-env"), ("EMPTY", "")];
        let environment = environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        resolve(&toml.parse().unwrap(), rule, &environment)
    }

    #[track_caller]
    fn refused(toml: &str, rule: SecretRule, what: &str) {
        let problems = resolved(toml, rule).unwrap_err();
        let whats: Vec<&str> = problems.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(whats, [what], "{toml}");
    }

    #[test]
    fn every_form_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "from-file\n").unwrap();
        let file = format!("{{ file = '{}' }}", path.display());

        assert_eq!(resolved("'plain'", ANY).unwrap(), ["plain"]);
        assert_eq!(resolved("{ env = 'SHOP_KEY' }", ANY).unwrap(), ["from-env"]);
        assert_eq!(resolved(&file, ANY).unwrap(), ["from-file"]);
        let all = format!("['plain', {{ env = 'SHOP_KEY' }}, {file}]");
        assert_eq!(resolved(&all, ANY).unwrap(), ["plain", "from-env", "from-file"]);
    }

    #[test]
    fn a_file_loses_one_newline_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            read_file(&path)
        };
        assert_eq!(read("a b").unwrap(), "a b");
        assert_eq!(read("ab\n").unwrap(), "ab");
        assert_eq!(read("ab\r\n").unwrap(), "ab");
        assert_eq!(read("ab\n\n").unwrap(), "ab\n");
        let (what, _) = read(&"x".repeat(70_000)).unwrap_err();
        assert!(what.ends_with("can't be read: it has more than 65536 bytes"), "{what}");
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        refused("12345", ANY, "is not a secret");
        refused("[]", ANY, "is an empty list");
        refused("{ file = 'a', env = 'b' }", ANY, "is not a secret");
        refused("{ vault = 'a' }", ANY, "is not a secret");
        refused("[['nested']]", ANY, "is not a secret");
        refused("{ env = 'GONE' }", ANY, "names the environment variable `GONE`, which isn't set");
        refused("{ env = 'EMPTY' }", ANY, "names the environment variable `EMPTY`, whose value is empty");
        refused("{ file = '/no/such' }", ANY, "names the file `/no/such`, which can't be read: No such file or directory (os error 2)");
        refused("''", ANY, "holds a secret that is empty");
        refused("' hunter2'", ANY, "holds a secret that begins or ends with white space");
        refused("\"hun\\u0007ter2\"", ANY, "holds a secret that has a control character in it");
        refused("'<redacted>'", ANY, "holds a secret that is the word <redacted>, as `config check` prints it");
        refused("['hunter2', 'hunter2']", ANY, "names the same secret twice");
        refused("'hunter2'", SecretRule { chars_min: 8, goes: Goes::Anywhere }, "holds a secret that is shorter than 8 characters");
        let url = SecretRule { chars_min: 1, goes: Goes::IntoAUrl };
        assert!(resolved("'hunter/2'", url).unwrap_err()[0].0.contains("a URL can't hold"));
        assert_eq!(resolved("'Hunter-2_.~'", url).unwrap(), ["Hunter-2_.~"]);
        let header = SecretRule { chars_min: 1, goes: Goes::IntoAHeader };
        for text in ["'hunter 2'", "'hünter2'"] {
            assert!(resolved(text, header).unwrap_err()[0].0.contains("an HTTP header can't hold"), "{text}");
        }
        assert_eq!(resolved("'hunter/2='", header).unwrap(), ["hunter/2="]);
    }

    #[test]
    fn every_bad_secret_of_a_list_is_named() {
        assert_eq!(resolved("[1, '', { env = 'GONE' }]", ANY).unwrap_err().len(), 3);
    }

    #[test]
    fn secrets_are_equal_when_all_are() {
        let secrets = |texts: &[&str]| Secrets::new(texts.iter().map(|&t| SecretString::from(t))).unwrap();
        assert_eq!(secrets(&["a", "b"]), secrets(&["a", "b"]));
        assert_ne!(secrets(&["a", "b"]), secrets(&["b", "a"]));
        assert_ne!(secrets(&["a"]), secrets(&["a", "b"]));
        assert!(Secrets::new([]).is_none());
        assert_eq!(secrets(&["a", "b"]).first().expose_secret(), "a");
        assert_eq!(format!("{:?}", secrets(&["a", "b"])), "[<redacted>, <redacted>]");
    }
}
