//! The stored form of records and events: JSON behind a format version, so that a release can tell what it reads.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::StoreError;

/// The format that this release writes.
pub const FORMAT: u32 = 1;
/// The formats that it reads: its own, the one before and the next, so that replicas of two releases run side by side.
const READABLE: std::ops::RangeInclusive<u32> = FORMAT.saturating_sub(1)..=FORMAT + 1;

/// Whether this release can write records in `format`.
pub fn can_write(format: u32) -> bool {
    format == FORMAT
}

/// Whether this release can read records in `format`.
pub fn can_read(format: u32) -> bool {
    READABLE.contains(&format)
}

#[derive(Serialize)]
struct Writing<'a, T> {
    format: u32,
    value: &'a T,
}

#[derive(Deserialize)]
struct Reading<T> {
    value: T,
}

/// How what this release writes begins, up to the value.
const BEGIN: &[u8] = br#"{"format":1,"value":"#;

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// `value` as it stands in a stored form, for all that it is a part of.
pub fn written<T: Serialize>(value: &T) -> Result<Box<RawValue>, StoreError> {
    serde_json::value::to_raw_value(value).map_err(|cause| StoreError::Broken(format!("a record can't be written: {cause}")))
}

/// The stored form of `value`.
pub fn encode<T: Serialize>(value: &T) -> Result<Bytes, StoreError> {
    let written = serde_json::to_vec(&Writing { format: FORMAT, value });
    written.map(Bytes::from).map_err(|cause| StoreError::Broken(format!("a record can't be written: {cause}")))
}

/// What is stored in `body`; `what` names it in the error. The error tells no content.
pub fn decode<T: DeserializeOwned>(what: &dyn std::fmt::Display, body: &[u8]) -> Result<T, StoreError> {
    decode_with_format(what, body).map(|(value, _)| value)
}

/// The same, and whether that is all that stands in `body`. A newer release may have written more: to write the value again
/// would lose it.
pub fn decode_whole<T: DeserializeOwned + Serialize>(what: &dyn std::fmt::Display, body: &[u8]) -> Result<(T, bool), StoreError> {
    let (value, format) = decode_with_format(what, body)?;
    let is_whole = format <= FORMAT || is_all_of(&value, body);
    Ok((value, is_whole))
}

fn is_all_of<T: Serialize>(value: &T, body: &[u8]) -> bool {
    let stored = serde_json::from_slice::<Reading<serde_json::Value>>(body).map(|Reading { value }| value);
    stored.is_ok_and(|stored| serde_json::to_value(value).is_ok_and(|known| known == stored))
}

fn decode_with_format<T: DeserializeOwned>(what: &dyn std::fmt::Display, body: &[u8]) -> Result<(T, u32), StoreError> {
    // Nearly everything was written by this very release, and is read once; whatever is not is looked at twice. That it is UTF-8
    // is seen faster of the whole than of each text in it.
    if let Some(value) = body.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(b"}"))
        && let Ok(value) = std::str::from_utf8(value)
        && let Ok(value) = serde_json::from_str(value)
    {
        return Ok((value, FORMAT));
    }
    let unreadable =
        |cause: serde_json::Error| StoreError::Broken(format!("{what} can't be read (line {}, column {})", cause.line(), cause.column()));
    let Version { format } = serde_json::from_slice(body).map_err(unreadable)?;
    if !READABLE.contains(&format) {
        let (first, last) = (READABLE.start(), READABLE.end());
        return Err(StoreError::Broken(format!("{what} is stored in format {format}, and this release reads {first} to {last}")));
    }
    serde_json::from_slice(body).map(|Reading { value }| (value, format)).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again_and_names_its_format() {
        let body = encode(&vec![1, 2]).unwrap();
        assert_eq!(&body[..], br#"{"format":1,"value":[1,2]}"#);
        assert!(body.starts_with(BEGIN));
        assert_eq!(decode::<Vec<i32>>(&"it", &body).unwrap(), [1, 2]);
    }

    #[test]
    fn another_format_and_what_is_no_record_are_refused_without_their_content() {
        for (body, told) in [
            (r#"{"format":3,"value":[1]}"#, "format 3"),
            (r#"{"value":["secret"]}"#, "line 1"),
            (r#"{"format":1,"value":"secret"}"#, "line 1"),
        ] {
            let error = decode::<Vec<i32>>(&"it", body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Known {
        a: u8,
    }

    #[test]
    fn the_formats_before_and_after_are_read_and_what_is_not_known_of_them_is_noticed() {
        for (body, whole) in [
            (r#"{"format":0,"value":{"a":1}}"#, true),
            (r#"{"format":1,"value":{"a":1,"dropped_long_ago":2}}"#, true),
            (r#"{"format":2,"value":{"a":1}}"#, true),
            (r#"{"format":2,"value":{"a":1,"new":2}}"#, false),
        ] {
            assert_eq!(decode_whole::<Known>(&"it", body.as_bytes()).unwrap(), (Known { a: 1 }, whole), "{body}");
        }
    }
}
