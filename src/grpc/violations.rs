//! What is wrong with a request: all of it, not only the first.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::pb;
use crate::domain::account::AccountName;
use crate::domain::header::{LABEL_KEY_CHARS_MAX, LABEL_VALUE_CHARS_MAX, LABELS_MAX, REFERENCE_CHARS_MAX};
use crate::domain::id::{Id, Kind};
use crate::domain::money::{Amount, Money};
use crate::engine::Error;
use crate::providers::Violation;

/// Printable ASCII characters of an idempotency key, at most.
const KEY_CHARS_MAX: usize = 255;
const NOTES_MAX: usize = 15;
const NOTE_CHARS_MAX: usize = 256;
/// The default and the greatest size of a page.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 200;

/// Violations that are told, one for each line of a screen: who made more mistakes learns of them in the next round.
const TOLD_MAX: usize = 20;
/// Bytes of all fields and descriptions that are told. They travel in a header, in base64, and proxies refuse headers
/// of more than 8 KiB.
const TOLD_BYTES_MAX: usize = 3 * 1024;
/// Bytes of one field's name, which may be the caller's own words, and of one description.
const FIELD_BYTES_MAX: usize = 100;
const DESCRIPTION_BYTES_MAX: usize = 200;

/// Collects violations while a request is taken apart: the first ones, and how many came after them.
#[derive(Debug, Default)]
pub(super) struct Violations {
    told: Vec<Violation>,
    bytes: usize,
    more: usize,
}

impl Violations {
    /// What was found by whoever it was, at a length that can be told.
    pub fn to_be_told(found: &[Violation]) -> Vec<Violation> {
        if found.last().is_some_and(|last| last.field.is_empty()) {
            return found.to_vec(); // ours, cut already
        }
        let mut violations = Self::default();
        for Violation { field, description } in found {
            violations.add(field.as_str(), description.as_str());
        }
        violations.told()
    }

    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        let field = cut(field.into(), FIELD_BYTES_MAX);
        let description = cut(description.into(), DESCRIPTION_BYTES_MAX);
        self.bytes += field.len() + description.len();
        if self.told.len() < TOLD_MAX && self.bytes <= TOLD_BYTES_MAX {
            self.told.push(Violation { field, description });
        } else {
            self.more += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// All that is told. Where there is more, the last one is about no field and says how many.
    fn told(self) -> Vec<Violation> {
        let Self { mut told, bytes: _, more } = self;
        if more > 0 {
            told.push(Violation { field: String::new(), description: format!("and {more} more") });
        }
        told
    }

    /// Adds what somebody else found, except about fields that are named already: what could not be read looks missing
    /// to him.
    pub fn add_further(&mut self, found: Vec<Violation>) {
        let is_within = |named: &str, field: &str| named == field || named.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'));
        let news = |violation: &Violation| !self.told.iter().any(|known| is_within(&known.field, &violation.field));
        let further: Vec<Violation> = found.into_iter().filter(news).collect();
        for Violation { field, description } in further {
            self.add(field, description);
        }
    }

    /// `value`, if nothing was wrong.
    pub fn unless_any<T>(self, value: Option<T>) -> Result<T, Error> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            _ => Err(Error::Invalid(self.told())),
        }
    }

    pub fn key(&mut self, key: &str) {
        if key.is_empty() {
            self.add("idempotency_key", "is needed: it makes the request safe to repeat");
        } else if key.len() > KEY_CHARS_MAX || !key.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
            self.add("idempotency_key", "must be 1 to 255 printable ASCII characters");
        }
    }

    pub fn account(&mut self, account: &str) -> Option<AccountName> {
        if account.is_empty() {
            self.add("account", "is needed");
            return None;
        }
        match account.parse() {
            Ok(name) => Some(name),
            Err(cause) => {
                self.add("account", cause.to_string());
                None
            }
        }
    }

    pub fn id(&mut self, field: &str, kind: Kind, text: &str) -> Option<Id> {
        if text.is_empty() {
            self.add(field, "is needed");
            return None;
        }
        match Id::parse(kind, text) {
            Ok(id) => Some(id),
            Err(_) => {
                self.add(field, format!("is not an id of this kind: it begins with `{}_`", kind.prefix()));
                None
            }
        }
    }

    /// A text of at most `chars_max` characters without control characters.
    pub fn text(&mut self, field: &str, text: &str, chars_max: usize) {
        if text.chars().count() > chars_max {
            self.add(field, format!("must have at most {chars_max} characters"));
        }
        if text.chars().any(char::is_control) {
            self.add(field, "must not contain control characters");
        }
    }

    pub fn reference(&mut self, reference: &str) {
        self.text("reference", reference, REFERENCE_CHARS_MAX);
    }

    pub fn labels(&mut self, field: &str, labels: &BTreeMap<String, String>) {
        if labels.len() > LABELS_MAX {
            self.add(field, format!("must have at most {LABELS_MAX} entries"));
        }
        for (key, value) in labels {
            let named = key.chars().take(LABEL_KEY_CHARS_MAX).collect::<String>().escape_debug().to_string();
            let entry = format!("{field}[\"{named}\"]");
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
            if key.is_empty() || key.len() > LABEL_KEY_CHARS_MAX || !key.bytes().all(fits) {
                self.add(&entry, format!("a label's key must have 1 to {LABEL_KEY_CHARS_MAX} characters of a-z, 0-9, `_`, `-` and `.`"));
            }
            if value.chars().count() > LABEL_VALUE_CHARS_MAX || value.chars().any(char::is_control) {
                self.add(
                    &entry,
                    format!("a label's value must have at most {LABEL_VALUE_CHARS_MAX} characters, none of them control characters"),
                );
            }
        }
    }

    /// Pairs that are sent to the provider.
    pub fn notes(&mut self, field: &str, notes: &BTreeMap<String, String>) {
        if notes.len() > NOTES_MAX {
            self.add(field, format!("must have at most {NOTES_MAX} entries"));
        }
        for (key, value) in notes {
            if key.is_empty() || key.chars().count() > NOTE_CHARS_MAX || value.chars().count() > NOTE_CHARS_MAX {
                let named: String = key.chars().take(40).collect();
                self.add(
                    format!("{field}[\"{}\"]", named.escape_debug()),
                    format!("a note's key and value must have at most {NOTE_CHARS_MAX} characters, the key at least one"),
                );
            }
        }
    }

    /// An amount that is asked for: rupees, above zero, below every limit.
    pub fn amount(&mut self, field: &str, money: &pb::Money) -> Option<Money> {
        let pb::Money { currency_code, minor_units } = money;
        if currency_code != "INR" {
            self.add(format!("{field}.currency_code"), "must be INR");
        }
        match Amount::new(*minor_units) {
            Ok(amount) => Some(amount.money()),
            Err(cause) => {
                self.add(format!("{field}.minor_units"), cause.to_string());
                None
            }
        }
    }

    pub fn time(&mut self, field: &str, time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
        let time = time?;
        let read = (0..1_000_000_000).contains(&time.nanos).then(|| Timestamp::new(time.seconds, time.nanos).ok()).flatten();
        match read {
            // Milliseconds: finer is nothing that a provider or our clock knows.
            Some(time) if time.as_second() >= 0 => Timestamp::from_millisecond(time.as_millisecond()).ok(),
            _ => {
                self.add(field, "is not a time after 1970");
                None
            }
        }
    }

    pub fn page_size(&mut self, size: i32) -> usize {
        match usize::try_from(size) {
            Ok(0) => PAGE_DEFAULT,
            Ok(size) => size.min(PAGE_MAX),
            Err(_) => {
                self.add("page_size", "must not be below 0");
                PAGE_DEFAULT
            }
        }
    }

    /// One of an enum's values, given as its number; `unspecified` tells what 0 means.
    pub fn known<E: TryFrom<i32>>(&mut self, field: &str, number: i32) -> Option<E> {
        if number == 0 {
            self.add(field, "is needed");
            return None;
        }
        match E::try_from(number) {
            Ok(value) => Some(value),
            Err(_) => {
                self.add(field, "is not a value of this field");
                None
            }
        }
    }
}

/// `text`, or as much of it as fits into `bytes_max`.
pub(super) fn cut(mut text: String, bytes_max: usize) -> String {
    const ELLIPSIS: char = '…';
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - ELLIPSIS.len_utf8()));
        text.push(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_there_are_some_are_told_and_the_rest_is_counted() {
        let mut violations = Violations::default();
        for number in 0..1_000 {
            violations.add(format!("labels[\"{number}\"]"), "is wrong");
        }
        let told = violations.told();
        assert_eq!((told.len(), told[19].field.as_str()), (21, "labels[\"19\"]"));
        assert_eq!((told[20].field.as_str(), told[20].description.as_str()), ("", "and 980 more"));
        // Told again, it is the same.
        assert_eq!(Violations::to_be_told(&told), told);
        assert_eq!(Violations::to_be_told(&told[..20]), told[..20]);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let mut violations = Violations::default();
        violations.add("🪔".repeat(1_000), "x".repeat(1_000));
        let told = violations.told();
        assert_eq!(told[0].field, "🪔".repeat(24) + "…");
        assert_eq!(told[0].description.len(), 200);
        assert_eq!(cut("as it is".to_owned(), 8), "as it is");
    }
}
