//! The little that the sandbox knows of `upi://pay?…` texts: written by each provider in its own way, read leniently.

/// A parameter's value as it stands in a text, if it is there and not empty.
pub fn value<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let query = text.strip_prefix("upi://pay?")?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, value)| name.eq_ignore_ascii_case(wanted) && !value.is_empty()).map(|(_, value)| value)
}

/// Rupees as a decimal text; no binary fraction comes near them.
pub fn paise(rupees: &str) -> Option<i64> {
    let (whole, part) = rupees.split_once('.').unwrap_or((rupees, ""));
    if part.len() > 2 || !(whole.bytes().chain(part.bytes())).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: i64 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(part)
}

/// Paise as rupees with two decimals.
pub fn rupees(paise: i64) -> String {
    format!("{}.{:02}", paise / 100, paise % 100)
}

pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{paise, rupees};

    #[test]
    fn rupees_become_paise_without_fractions() {
        assert_eq!(paise("450.00"), Some(45_000));
        assert_eq!(paise("450.5"), Some(45_050));
        assert_eq!(paise("1"), Some(100));
        assert_eq!(paise("1.005"), None);
        assert_eq!(paise("-1"), None);
        assert_eq!(rupees(45_005), "450.05");
    }
}
