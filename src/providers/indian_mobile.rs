//! Indian mobile numbers: ten digits, however they were written.

use crate::domain::personal::{Phone, Sight};

/// The ten digits of an Indian mobile number, without a country code or a trunk zero. `None`: it is another number, or
/// none at all.
pub fn ten_digits(phone: &Phone) -> Option<String> {
    let plain: String = phone.show(Sight::Clear).chars().filter(|c| !" -.()".contains(*c)).collect();
    let ten = |digits: &str| digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits >= "6";
    let prefixes = ["+91", "0091", "91", "0", ""];
    let without = |prefix: &&str| plain.strip_prefix(*prefix).filter(|digits| ten(digits)).map(str::to_owned);
    prefixes.iter().find_map(without)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_digits_are_found_however_they_are_written() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Phone::parse(text).ok().and_then(|phone| ten_digits(&phone)).as_deref(), expected, "{text}");
        };
        for text in ["9000000001", "+919000000001", "+91 90000-00001", "919000000001", "09000000001", "0091 9000000001", "(0) 90000 00001"]
        {
            check(text, Some("9000000001"));
        }
        // One that begins like a country code.
        check("9100000001", Some("9100000001"));
        check("6000000000", Some("6000000000"));
        for text in
            ["5900000001", "900000001", "90000000011", "+449000000001", "98xxxxxx10", "+9109000000001", "9000000001#2", "022 2345 6789"]
        {
            check(text, None);
        }
    }
}
