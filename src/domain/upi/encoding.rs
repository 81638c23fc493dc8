//! Percent-encoding as UPI apps understand it: RFC 3986 with `%20` for a space. `+` is never a space
//! here: apps that print it literally exist, and time offsets contain one.

use std::fmt::Write;

/// A value as the generator writes it. `@` and `:` stay bare, as in every link seen in the wild; both
/// are allowed there.
pub(super) fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if is_unreserved(byte) || byte == b'@' || byte == b':' {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String can't fail");
        }
    }
    encoded
}

/// A value as a lenient reader takes it: a `%` that starts no escape stays a `%`, bytes that are no
/// UTF-8 become U+FFFD. The link's own text is kept beside it, so nothing is lost.
pub(super) fn decode(raw: &str) -> String {
    String::from_utf8_lossy(&decoded_bytes(raw.as_bytes())).into_owned()
}

/// What a strict generator would have written otherwise, if anything.
pub(super) fn fault(raw: &str) -> Option<&'static str> {
    let bytes = raw.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b' ' => return Some("has a raw space: it must be `%20`"),
            b'+' => {
                return Some("has a raw `+`, which many readers take for a space: it must be `%2B`");
            }
            b'%' if escape_at(bytes, at).is_none() => {
                return Some("has a `%` without two hexadecimal digits: it must be `%25`");
            }
            _ if byte == b'%' || may_stand_in_a_query(byte) => (),
            _ => return Some("has a character that must be percent-encoded"),
        }
    }
    match std::str::from_utf8(&decoded_bytes(bytes)) {
        Ok(_) => None,
        Err(_) => Some("is percent-encoded, but not from UTF-8"),
    }
}

fn decoded_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = escape_at(bytes, at);
        decoded.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    decoded
}

fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    match bytes.get(at..at + 3)? {
        [b'%', high, low] => {
            let high = char::from(*high).to_digit(16)?;
            let low = char::from(*low).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        }
        _ => None,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 3986's `query` without `&`, which ends a value, and without `+` and `%`.
fn may_stand_in_a_query(byte: u8) -> bool {
    is_unreserved(byte) || b"!$'()*,;=:@/?".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_space_is_percent_20_and_a_plus_is_a_plus() {
        assert_eq!(encode("Demo Stores"), "Demo%20Stores");
        assert_eq!(encode("10:05:00+05:30"), "10:05:00%2B05:30");
        assert_eq!(encode("a&b=c%#é"), "a%26b%3Dc%25%23%C3%A9");
        assert_eq!(decode("Demo%20Stores"), "Demo Stores");
        assert_eq!(decode("10:05:00+05:30"), "10:05:00+05:30");
    }

    #[test]
    fn a_broken_escape_is_read_as_it_stands() {
        assert_eq!(decode("100% cotton%2"), "100% cotton%2");
        assert_eq!(decode("%zz%%41"), "%zz%A");
        assert_eq!(decode("%+1"), "%+1");
        assert_eq!(decode("%FF"), "\u{FFFD}");
        assert!(fault("100%").is_some());
        assert!(fault("%FF").is_some());
        assert!(fault("é").is_some());
        assert!(fault("a#b").is_some());
        assert_eq!(fault("GST:40%7CSGST:20"), None);
        assert_eq!(fault("https://example.com/o?id=1"), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_and_has_no_fault(value: String) {
            let encoded = encode(&value);
            prop_assert_eq!(fault(&encoded), None);
            prop_assert_eq!(decode(&encoded), value);
        }

        #[test]
        fn no_text_makes_it_panic(raw in ".*|[%0-9A-Fa-f+ ]*") {
            decode(&raw);
            fault(&raw);
        }
    }
}
