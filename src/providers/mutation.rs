//! For the tests of adapters: documents in which anything may stand anywhere.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Anything that JSON can say, and what providers say. Lists and objects are few and shallow: a reader stops at them, and tens
/// of thousands of cases are to take seconds.
pub fn json_value() -> impl Strategy<Value = Value> {
    let words = ["SUCCESS", "PENDING", "true", "INR", "0", "5", "168", "upi://pay?pa=ab@cd", "2026-03-02T08:01:33Z", "2024-07-04 11:10:37"];
    let shapes = [json!(null), json!([]), json!({}), json!([5]), json!(["0"]), json!([[{}]]), json!({"status": 0, "data": {"tid": 5}})];
    prop_oneof![
        prop::sample::select(shapes.to_vec()),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "-?[1-9][0-9]{0,8}\\.[0-9]{1,3}(e-?[0-9]{1,2})?".prop_map(|number| number.parse().expect("it is a number of JSON")),
        (-10..60_000_i64).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "-?[0-9]{0,22}(\\.[0-9]{0,3})?(e-?[0-9]{1,2})?".prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
    ]
}

/// `document` with `value` in one place of it.
pub fn mutated(document: &str, place: &prop::sample::Index, value: Value) -> Value {
    let mut document: Value = serde_json::from_str(document).expect("the document is JSON");
    let mut all = Vec::new();
    places(&document, String::new(), &mut all);
    let place: &String = place.get(&all);
    *document.pointer_mut(place).expect("the place is there") = value;
    document
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
