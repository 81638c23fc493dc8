//! What a request may hold: known fields alone, of the right kind, and pages within their limits.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::ApiError;

/// The range that the service allows for times.
pub const TIME_MIN: i64 = 946_684_800;
pub const TIME_MAX: i64 = 4_765_046_400;
/// No documented maximum; this keeps every sum within 64 bits.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000;

pub type Notes = BTreeMap<String, String>;
const NOTES_MAX: usize = 15;
const NOTE_LENGTH_MAX: usize = 256;
const PAGE_DEFAULT: i64 = 10;
const PAGE_MAX: i64 = 100;

/// A request body's fields.
pub struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub fn of(body: &'a Map<String, Value>, known: &[&str]) -> Result<Self, ApiError> {
        let strangers: Vec<_> = body.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect();
        if strangers.is_empty() { Ok(Self(body)) } else { Err(ApiError::not_required(&strangers)) }
    }

    /// Null counts as left out.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str, length_max: usize) -> Result<Option<String>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.as_str();
        let text = text.ok_or_else(|| ApiError::on(name, format!("The {} must be a string.", words(name))))?;
        if text.chars().count() > length_max {
            let description = format!("The {} may not be greater than {length_max} characters.", words(name));
            return Err(ApiError::on(name, description));
        }
        Ok(Some(text.to_owned()))
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let wrong = || ApiError::on(name, format!("The {} must be an integer.", words(name)));
        self.get(name).map(|value| value.as_i64().ok_or_else(wrong)).transpose()
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let read = |value: &Value| match value {
            Value::Bool(flag) => Ok(*flag),
            // Older clients send numbers for flags.
            Value::Number(number) if number.as_i64() == Some(0) => Ok(false),
            Value::Number(number) if number.as_i64() == Some(1) => Ok(true),
            _ => Err(ApiError::on(name, format!("The selected {} is invalid.", words(name)))),
        };
        self.get(name).map(read).transpose()
    }

    pub fn notes(&self) -> Result<Notes, ApiError> {
        let object = match self.get("notes") {
            None => return Ok(Notes::new()),
            Some(Value::Array(items)) if items.is_empty() => return Ok(Notes::new()),
            Some(Value::Object(object)) => object,
            Some(_) => return Err(ApiError::on("notes", "The notes must be an array.")),
        };
        if object.len() > NOTES_MAX {
            return Err(ApiError::on("notes", "Notes should not have more than 15 keys."));
        }
        let mut notes = Notes::new();
        for (key, value) in object {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(ApiError::on("notes", "Notes values must be strings.")),
            };
            if key.chars().count() > NOTE_LENGTH_MAX || text.chars().count() > NOTE_LENGTH_MAX {
                return Err(ApiError::on("notes", "Notes value cannot be greater than 256 characters."));
            }
            notes.insert(key.clone(), text);
        }
        Ok(notes)
    }
}

/// Which part of a list is asked for.
#[derive(Debug)]
pub struct Page {
    from: Option<i64>,
    to: Option<i64>,
    count: usize,
    skip: usize,
}

impl Page {
    /// `others` are the parameters that this list knows besides those of every list.
    pub fn of(query: &[(String, String)], others: &[&str], clamp_count: bool) -> Result<Self, ApiError> {
        const OURS: [&str; 4] = ["from", "to", "count", "skip"];
        let known = |name: &str| OURS.contains(&name) || others.contains(&name);
        let strangers: Vec<_> = query.iter().map(|(name, _)| name).filter(|name| !known(name)).cloned().collect();
        if !strangers.is_empty() {
            return Err(ApiError::not_required(&strangers));
        }
        let (from, to) = (time(query, "from")?, time(query, "to")?);
        let (count, skip) = count_and_skip(query, PAGE_MAX, clamp_count)?;
        Ok(Self { from, to, count, skip })
    }

    /// The page of `items`, which come newest first, as a collection.
    pub fn collect<T>(&self, items: impl Iterator<Item = T>, created_at: impl Fn(&T) -> i64) -> Vec<T> {
        let wanted = |item: &T| {
            let at = created_at(item);
            self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at <= to)
        };
        items.filter(wanted).skip(self.skip).take(self.count).collect()
    }
}

/// How much of a list is asked for, and how much of it is passed over.
pub fn count_and_skip(query: &[(String, String)], count_max: i64, clamp_count: bool) -> Result<(usize, usize), ApiError> {
    let mut count = number(query, "count", "The count must be an integer.")?.unwrap_or(PAGE_DEFAULT);
    let skip = number(query, "skip", "The skip must be an integer.")?.unwrap_or(0);
    if count < 1 {
        return Err(ApiError::on("count", "The count must be at least 1."));
    }
    if count > count_max {
        if !clamp_count {
            return Err(ApiError::on("count", format!("The count may not be greater than {count_max}.")));
        }
        count = count_max;
    }
    let skip = usize::try_from(skip).map_err(|_| ApiError::on("skip", "The skip must be at least 0."))?;
    Ok((usize::try_from(count).unwrap_or_default(), skip))
}

pub fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn time(query: &[(String, String)], name: &str) -> Result<Option<i64>, ApiError> {
    let at = number(query, name, &format!("{name} must be an integer."))?;
    match at {
        Some(at) if !(TIME_MIN..=TIME_MAX).contains(&at) => {
            Err(ApiError::on(name, format!("{name} must be between {TIME_MIN} and {TIME_MAX}")))
        }
        at => Ok(at),
    }
}

fn number(query: &[(String, String)], name: &str, otherwise: &str) -> Result<Option<i64>, ApiError> {
    let parse = |text: &str| text.parse().map_err(|_| ApiError::on(name, otherwise));
    parameter(query, name).map(parse).transpose()
}

/// How error texts name a field.
pub fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// Whether `id` is the prefix, an underscore and 14 alphanumerics.
pub fn is_id(prefix: &str, id: &str) -> bool {
    let rest = id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| rest.len() == 14 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

pub fn check_id(prefix: &str, id: &str) -> Result<(), ApiError> {
    if is_id(prefix, id) { Ok(()) } else { Err(ApiError::not_a_valid_id(id)) }
}
