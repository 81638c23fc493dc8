//! Documents that nobody would send: documented ones with something changed in them, taken out, or cut off.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::string::string_regex;
use serde_json::Value;

/// JSON texts like `document`, with one to three of its values replaced; some are cut off somewhere. `words` are put in
/// more often than chance would.
pub fn mutated(document: &str, words: &'static [&'static str]) -> impl Strategy<Value = String> + use<> {
    let document: Value = serde_json::from_str(document).expect("the golden document is JSON");
    let mut all = Vec::new();
    places(&document, String::new(), &mut all);
    let changes = prop::collection::vec((any::<Index>(), value(words)), 1..4);
    let cut = prop_oneof![7 => Just(None), 1 => any::<Index>().prop_map(Some)];
    (changes, cut).prop_map(move |(changes, cut)| {
        let mut document = document.clone();
        let mut texts = Vec::new();
        for (place, text) in changes {
            // An earlier change may have taken the place away.
            if let Some(here) = document.pointer_mut(place.get::<String>(&all)) {
                *here = Value::from(mark(texts.len()));
                texts.push(text);
            }
        }
        let mut mutated = document.to_string();
        for (at, text) in texts.iter().enumerate() {
            // As it stands: what goes through a number's binary form would be another number.
            mutated = mutated.replace(&Value::from(mark(at)).to_string(), text);
        }
        match cut {
            Some(cut) => mutated.chars().take(cut.index(mutated.len())).collect(),
            None => mutated,
        }
    })
}

/// What holds the place of a text until the document is written.
fn mark(at: usize) -> String {
    format!("<the changed value {at}>")
}

/// Any JSON value, as text.
fn value(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let quoted = |text: String| Value::from(text).to_string();
    // A pattern that is given as a text is read anew for each case.
    let like = |pattern: &str| string_regex(pattern).expect("the pattern is one of those below");
    prop_oneof![
        3 => select(words).prop_map(move |word| quoted(word.to_owned())),
        2 => like("-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?"),
        1 => like("(0|[1-9][0-9]{0,5})(\\.[0-9]{1,2})?").prop_map(quoted),
        1 => select(vec!["null", "true", "false", "[]", "{}", "[null]", "[{}]", "{\"value\":1}", "0", "\"\""]).prop_map(str::to_owned),
        1 => like(".{0,12}").prop_map(quoted),
    ]
}

/// The pointers to everything in `value`.
fn places(value: &Value, place: String, all: &mut Vec<String>) {
    all.push(place.clone());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, field)| places(field, format!("{place}/{key}"), all)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| places(item, format!("{place}/{at}"), all)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}
