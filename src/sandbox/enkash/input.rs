//! What a request may hold, and how it is read: amounts from the JSON's own digits.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::Failure;
use crate::sandbox::upi;

/// No documented maximum; this keeps every sum within 64 bits.
const AMOUNT_MAX: i64 = 1_000_000_000_000;
/// Documented for pages of lists.
const LIMIT_MAX: usize = 5_000;

pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::other(format!("Request is not valid: {error}.")))
}

/// Rupees as a JSON number, in paise.
pub fn amount(name: &str, value: &RawValue) -> Result<i64, Failure> {
    let paise = upi::paise(value.get()).filter(|paise| (1..=AMOUNT_MAX).contains(paise));
    paise.ok_or_else(|| Failure::other(format!("{name} must be a number from 0.01, with two decimals at most.")))
}

/// A whole JSON number of paise, or of rupees where `in_rupees`, in paise.
pub fn whole_amount(name: &str, value: &RawValue, in_rupees: bool) -> Result<i64, Failure> {
    let whole = value.get().parse::<i64>().ok();
    let paise = if in_rupees { whole.and_then(|rupees| rupees.checked_mul(100)) } else { whole };
    paise.filter(|paise| (1..=AMOUNT_MAX).contains(paise)).ok_or_else(|| Failure::other(format!("{name} must be an integer from 1.")))
}

/// How many of a list are left out, and how many then printed.
pub fn page(query: &[(String, String)]) -> Result<(usize, usize), Failure> {
    let number = |name: &str, default: usize| {
        let value = query.iter().find(|(key, _)| key == name).map(|(_, value)| value.parse());
        value.unwrap_or(Ok(default)).map_err(|_| Failure::other(format!("{name} must be an integer.")))
    };
    match (number("offset", 0)?, number("limit", LIMIT_MAX)?) {
        (_, limit) if limit > LIMIT_MAX => Err(Failure::other(format!("limit must be at most {LIMIT_MAX}."))),
        page => Ok(page),
    }
}

/// A path's segment without its percent signs; None where it is no text.
pub fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_lose_their_percent_signs() {
        assert_eq!(decoded("a%2Fb%20c").as_deref(), Some("a/b c"));
        assert_eq!(decoded("a%2"), Some("a%2".to_owned()));
        assert_eq!(decoded("%zz"), None);
        assert_eq!(decoded("%FF"), None);
    }

    #[test]
    fn amounts_are_numbers_of_rupees_without_more_than_paise() {
        let read = |json: &str| amount("amount", serde_json::from_str(json).unwrap()).ok();
        assert_eq!(read("499.00"), Some(49_900));
        assert_eq!(read("0.29"), Some(29));
        assert_eq!(read("4503599627.37"), Some(450_359_962_737));
        for refused in ["0", "0.001", "-1", "1e2", "\"499.00\"", "true", "99999999999999999999"] {
            assert_eq!(read(refused), None, "{refused}");
        }
    }

    #[test]
    fn whole_amounts_are_integers_of_either_unit() {
        let read = |json: &str, in_rupees| whole_amount("amount", serde_json::from_str(json).unwrap(), in_rupees).ok();
        assert_eq!((read("2540", false), read("2540", true)), (Some(2_540), Some(254_000)));
        for refused in ["0", "-1", "1.0", "1e2", "\"1\"", "92233720368547759", "99999999999999999999"] {
            assert_eq!((read(refused, false), read(refused, true)), (None, None), "{refused}");
        }
    }
}
