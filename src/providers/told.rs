//! What a provider told in words: what of it can be kept, shown and logged. Its texts may name anybody.

/// The most characters that are kept of a provider's texts.
const MESSAGE_CHARS_MAX: usize = 500;
const CODE_CHARS_MAX: usize = 64;
/// What stands for what was removed from them.
const REMOVED: &str = "…";
/// A number with this many digits may be somebody's.
const PERSONAL_DIGITS_MIN: usize = 8;

/// A text of a provider's that can be kept and shown to everybody: at a bounded length, and without what may name a
/// person. That is each word with an `@` (a VPA, an e-mail address) and each long run of digits (a phone, an account).
pub fn message(text: Option<&str>) -> String {
    let mut plain = String::new();
    for word in text.unwrap_or_default().split_inclusive(char::is_whitespace) {
        if word.contains('@') {
            plain.push_str(REMOVED);
            plain.extend(word.chars().next_back().filter(|last| last.is_whitespace()));
            continue;
        }
        let mut rest = word;
        while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, digits) = rest.split_at(begin);
            let (digits, after) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
            plain.push_str(before);
            plain.push_str(if digits.len() < PERSONAL_DIGITS_MIN { digits } else { REMOVED });
            rest = after;
        }
        plain.push_str(rest);
    }
    plain.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// A code of a provider's, if it looks like one: what doesn't is not written to logs.
pub fn token(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.len() <= CODE_CHARS_MAX && text.chars().all(plain) { text.to_owned() } else { "(not a plain word)".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_kept_names_nobody() {
        let check = |text: &str, expected: &str| assert_eq!(message(Some(text)), expected);
        check("The amount must be at least INR 1.00", "The amount must be at least INR 1.00");
        check("asha.rao@examplebank is not a valid VPA.", "… is not a valid VPA.");
        check("Paid by  <asha@example.com>,\nwho said no", "Paid by  …\nwho said no");
        check("The contact +919812345610 (9812345610) is wrong", "The contact +… (…) is wrong");
        check("1234567 is short, 12345678 is not", "1234567 is short, … is not");
        check("a१२३४५६७८b12345678", "a१२३४५६७८b…");
        check("", "");
        assert_eq!(message(None), "");
    }

    #[test]
    fn a_code_that_is_kept_is_a_plain_word() {
        assert_eq!(token("input_validation_failed"), "input_validation_failed");
        for text in ["asha@examplebank", "a b", &"x".repeat(65)] {
            assert_eq!(token(text), "(not a plain word)", "{text}");
        }
        assert_eq!(message(Some(&"é".repeat(2_000))).chars().count(), MESSAGE_CHARS_MAX);
    }
}
