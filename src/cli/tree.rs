//! A message of the API as both programs (JSON) and people (names and values) get to see it.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::arguments::{duration_shown, shown};
use super::console::Tone;
use super::table::Cell;
use crate::domain::money::Money;

#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    Text(String),
    Integer(i64),
    Flag(bool),
    Bytes(Vec<u8>),
    /// A value of an enum, `QR_STATE_ACTIVE`, and the prefix `QR_STATE_` that people can do without.
    Choice {
        name: String,
        prefix: String,
    },
    Time(Timestamp),
    Span(Duration),
    Money {
        currency_code: String,
        minor_units: i64,
    },
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
    /// Only the fields that are present, in the order of the .proto.
    Object(Vec<(String, Tree)>),
    /// What people are told in a field's place.
    Told(Cell),
}

impl Tree {
    pub fn time(seconds: i64, nanos: i32) -> Self {
        match Timestamp::new(seconds, nanos) {
            Ok(time) => Self::Time(time),
            Err(_) => Self::Text(format!("{seconds} s and {nanos} ns after 1970")),
        }
    }

    pub fn money(fields: Vec<(String, Tree)>) -> Self {
        let (mut currency_code, mut minor_units) = (String::new(), 0);
        for (_, value) in fields {
            match value {
                Self::Text(text) => currency_code = text,
                Self::Integer(number) => minor_units = number,
                _ => (),
            }
        }
        Self::Money { currency_code, minor_units }
    }

    /// For people: `field` is told as `name` and `cell`, which also say what the `gone` fields would have said. A field that is
    /// absent is not told.
    pub fn telling(self, field: &str, name: &str, cell: Cell, gone: &[&str]) -> Self {
        let Self::Object(fields) = self else { return self };
        let told = fields.into_iter().filter(|(each, _)| !gone.contains(&each.as_str())).map(|(each, value)| match each == field {
            true => (name.to_owned(), Self::Told(cell.clone())),
            false => (each, value),
        });
        Self::Object(told.collect())
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("names are texts and there are no floats")
    }

    /// For people: what is set, one pair a line, fields of fields with a dot between.
    pub fn pairs(&self) -> Vec<(String, Cell)> {
        let mut pairs = Vec::new();
        self.add_to("", &mut pairs);
        pairs
    }

    fn add_to(&self, name: &str, pairs: &mut Vec<(String, Cell)>) {
        match self {
            Self::Object(fields) => {
                for (field, value) in fields {
                    let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                    value.add_to(&name, pairs);
                }
            }
            Self::List(values) if values.iter().any(|value| matches!(value, Self::Object(_))) => {
                for (at, value) in values.iter().enumerate() {
                    value.add_to(&format!("{name}[{at}]"), pairs);
                }
            }
            value => {
                if let Some(cell) = value.cell() {
                    pairs.push((name.to_owned(), cell));
                }
            }
        }
    }

    /// `None` for what is unset: an empty text, a false flag, nothing chosen. A zero is a number like any other.
    fn cell(&self) -> Option<Cell> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Flag(true) => "yes".to_owned(),
            Self::Flag(false) => return None,
            Self::Bytes(bytes) if bytes.is_empty() => return None,
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Choice { name, prefix } => match name.strip_prefix(prefix.as_str()).unwrap_or(name) {
                "UNSPECIFIED" => return None,
                short => return Some(Cell::toned(tone(short), short)),
            },
            Self::Time(time) => format!("{} IST", shown(*time)),
            Self::Span(span) => duration_shown(*span),
            Self::Money { currency_code, minor_units } if currency_code == "INR" => Money::from_paise(*minor_units).display(),
            Self::Money { currency_code, minor_units } => format!("{minor_units} {currency_code} (minor units)"),
            Self::List(values) => {
                let texts: Vec<String> = values.iter().filter_map(|value| value.cell().map(|cell| cell.text)).collect();
                texts.join(", ")
            }
            Self::Map(pairs) => {
                let lines: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| format!("{key} = {}", value.cell().map(|cell| cell.text).unwrap_or_default()))
                    .collect();
                lines.join("\n")
            }
            Self::Object(_) => self.json(),
            Self::Told(cell) => return (!cell.text.is_empty()).then(|| cell.clone()),
        };
        (!text.is_empty()).then(|| text.into())
    }
}

/// How a state looks: what is good, what is bad, what asks for a person's eye.
pub fn tone(state: &str) -> Option<Tone> {
    match state {
        "ACTIVE" | "SUCCEEDED" | "PROCESSED" | "COMPLETED" => Some(Tone::Good),
        "FAILED" | "REVERSED" | "REJECTED" | "REVOKED" => Some(Tone::Bad),
        "REQUESTED" | "PENDING" | "MISMATCHED" | "REPORTED_ONLY" | "CHANGE_UNKNOWN" | "CONTRADICTION" | "OUTCOME_UNKNOWN"
        | "AWAITING_APPROVAL" | "PAUSED" | "EXECUTING" => Some(Tone::Warning),
        _ => None,
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Bytes(bytes) => serializer.serialize_str(&STANDARD.encode(bytes)),
            Self::Choice { name, .. } => serializer.serialize_str(name),
            Self::Told(cell) => serializer.serialize_str(&cell.text),
            Self::Time(time) => serializer.collect_str(time),
            Self::Span(span) => serializer.serialize_str(&seconds(*span)),
            Self::Money { currency_code, minor_units } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("currency_code", currency_code)?;
                map.serialize_entry("minor_units", minor_units)?;
                map.end()
            }
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(value)?;
                }
                list.end()
            }
            Self::Map(pairs) | Self::Object(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (name, value) in pairs {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// As protobuf's JSON writes durations: `90.5s`.
fn seconds(span: Duration) -> String {
    let mut text = span.as_secs().to_string();
    if span.subsec_nanos() > 0 {
        let _ = write!(text, ".{}", format!("{:09}", span.subsec_nanos()).trim_end_matches('0'));
    }
    text + "s"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_is_set() {
        let state = Tree::Choice { name: "QR_STATE_ACTIVE".to_owned(), prefix: "QR_STATE_".to_owned() };
        let unset = Tree::Choice { name: "QR_USAGE_UNSPECIFIED".to_owned(), prefix: "QR_USAGE_".to_owned() };
        let inner = Tree::Object(vec![("message".to_owned(), Tree::Text("no".to_owned()))]);
        let tree = Tree::Object(vec![
            ("state".to_owned(), state),
            ("usage".to_owned(), unset),
            ("name".to_owned(), Tree::Text(String::new())),
            ("in_doubt".to_owned(), Tree::Flag(false)),
            ("payment_count".to_owned(), Tree::Integer(0)),
            ("failure".to_owned(), inner.clone()),
            ("contradictions".to_owned(), Tree::List(vec![inner])),
            ("labels".to_owned(), Tree::Map(vec![("a".to_owned(), Tree::Text("1".to_owned()))])),
            ("amount".to_owned(), Tree::Money { currency_code: "INR".to_owned(), minor_units: 49_900 }),
            ("create_time".to_owned(), Tree::time(1_771_322_400, 0)),
        ]);
        let pairs: Vec<_> = tree.pairs().into_iter().map(|(name, cell)| format!("{name}: {}", cell.text)).collect();
        let expected = [
            "state: ACTIVE",
            "payment_count: 0",
            "failure.message: no",
            "contradictions[0].message: no",
            "labels: a = 1",
            "amount: ₹499.00",
            "create_time: 2026-02-17 15:30:00 IST",
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn a_field_can_speak_for_others() {
        let field = |name: &str, text: &str| (name.to_owned(), Tree::Text(text.to_owned()));
        let tree = Tree::Object(vec![field("from", "1"), field("until", "9"), field("name", "Gold")]);
        let told = tree.telling("from", "valid", "1 to 9".into(), &["until"]).telling("absent", "x", "y".into(), &[]);
        let pairs: Vec<_> = told.pairs().into_iter().map(|(name, cell)| format!("{name}: {}", cell.text)).collect();
        assert_eq!(pairs, ["valid: 1 to 9", "name: Gold"]);
    }

    #[test]
    fn durations_are_written_as_protobuf_does() {
        assert_eq!(seconds(Duration::from_millis(90_500)), "90.5s");
        assert_eq!(seconds(Duration::from_secs(3)), "3s");
        assert_eq!(seconds(Duration::from_nanos(1)), "0.000000001s");
    }
}
