//! JSON that others write, read leniently: unknown fields, missing ones, numbers in quotes. It knows no provider; what is
//! near money is read by `rupees`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{AskError, CallError, Cause, NotUnderstood};

/// The most characters of an id. The longest known has 36.
const ID_CHARS_MAX: usize = 64;
/// The most characters that are kept of a bank's reference. An RRN has twelve.
const REFERENCE_CHARS_MAX: usize = 128;

/// What can't be read as what it should be. It names no value: values may be personal data.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// Reads `json`, an object, as a `what`. Left to itself the reader would also take a list, its items for the fields in the
/// order in which we happen to declare them.
pub fn read<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, Unreadable> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(Unreadable(format!("the {what} is no JSON object")));
    }
    serde_json::from_slice(json).map_err(|error| {
        let (kind, line, column) = (error.classify(), error.line(), error.column());
        Unreadable(format!("the {what} can't be read: {kind:?} error at line {line}, column {column}"))
    })
}

/// A text; `None` for everything else, the empty text included.
pub fn text<'de, D: Deserializer<'de>>(json: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(json)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

/// A text, or a whole number as a text: ids and codes come as either. `None` for everything else.
pub fn word<'de, D: Deserializer<'de>>(json: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(json)? {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        _ => None,
    })
}

/// A whole number, also as its digits; `None` for everything else.
pub fn whole<'de, D: Deserializer<'de>>(json: D) -> Result<Option<i64>, D::Error> {
    Ok(match Value::deserialize(json)? {
        Value::Number(number) => number.as_i64(),
        Value::String(digits) => digits.trim().parse().ok(),
        _ => None,
    })
}

/// Yes or no, also as a word; `None` for everything else.
pub fn flag<'de, D: Deserializer<'de>>(json: D) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(json)? {
        Value::Bool(flag) => Some(flag),
        Value::String(word) if word.eq_ignore_ascii_case("true") => Some(true),
        Value::String(word) if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    })
}

/// An entity's id: what goes into paths and references is a plain word.
pub fn id(what: &str, id: Option<String>) -> Result<String, Unreadable> {
    let plain = |id: &String| id.len() <= ID_CHARS_MAX && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    id.filter(plain).ok_or_else(|| Unreadable(format!("the {what} has no id, or none that is a plain word")))
}

/// A bank's reference, unless it is too long to be one.
pub fn bank_reference(text: Option<String>) -> Option<String> {
    text.filter(|text| text.chars().count() <= REFERENCE_CHARS_MAX)
}

pub fn unreadable(text: &str) -> Unreadable {
    Unreadable(text.to_owned())
}

impl From<Unreadable> for AskError {
    fn from(error: Unreadable) -> Self {
        AskError::Unanswered(Cause(error.0))
    }
}

/// An answer to a request that we can't read is doubt, whatever its status.
impl From<Unreadable> for CallError {
    fn from(error: Unreadable) -> Self {
        CallError::InDoubt(Cause(error.0))
    }
}

impl From<Unreadable> for NotUnderstood {
    fn from(error: Unreadable) -> Self {
        NotUnderstood(error.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(default)]
    struct Named {
        #[serde(deserialize_with = "word")]
        name: Option<String>,
    }

    #[test]
    fn a_list_is_no_object() {
        assert_eq!(read("name", b" {\"name\":7}").ok(), Some(Named { name: Some("7".to_owned()) }));
        for json in ["[7]", "[]", "null", "7", "\"name\"", ""] {
            assert!(read::<Named>("name", json.as_bytes()).is_err(), "{json}");
        }
    }
}
