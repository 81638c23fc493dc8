//! For the tests of adapters: documents in which anything may stand anywhere.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::string::string_regex;
use serde_json::{Value, json};

/// Anything that JSON can say, and what providers say. Lists and objects are few and shallow: a reader stops at them, and tens
/// of thousands of cases are to take seconds.
pub fn json_value() -> impl Strategy<Value = Value> {
    // What providers say, where it decides something.
    let words = "SUCCESS PENDING captured refunded closed active qr_code payment true INR 0 5 168 upi://pay?pa=ab@cd 2026-03-02T08:01:33Z";
    let words = words.split(' ').chain(["2024-07-04 11:10:37"]).collect::<Vec<_>>();
    let shapes = [json!(null), json!([]), json!({}), json!([5]), json!(["0"]), json!([[{}]]), json!({"status": 0, "data": {"tid": 5}})];
    prop_oneof![
        select(shapes.to_vec()),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "-?[1-9][0-9]{0,8}\\.[0-9]{1,3}(e-?[0-9]{1,2})?".prop_map(|number| number.parse().expect("it is a number of JSON")),
        (-10..60_000_i64).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "-?[0-9]{0,22}(\\.[0-9]{0,3})?(e-?[0-9]{1,2})?".prop_map(Value::from),
        select(words).prop_map(Value::from),
    ]
}

/// `document` with `value` in one place of it.
pub fn mutated(document: &str, place: &Index, value: Value) -> Value {
    let mut document: Value = serde_json::from_str(document).expect("the document is JSON");
    let mut all = Vec::new();
    places(&document, String::new(), &mut all);
    let place: &String = place.get(&all);
    *document.pointer_mut(place).expect("the place is there") = value;
    document
}

/// JSON texts like `document`, with one to three of its values replaced; some are cut off somewhere. `words` are put in
/// more often than chance would.
pub fn mutated_texts(document: &str, words: &'static [&'static str]) -> impl Strategy<Value = String> + use<> {
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
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    all.push(place.clone());
    for (key, child) in children {
        places(child, format!("{place}/{key}"), all);
    }
}
