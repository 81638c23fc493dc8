//! Rupees in the JSON of providers: numbers or numeric texts, with decimals and now and then an exponent. They are read
//! from the text as it stands, exactly; what is no whole number of paise is no money.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::money::Money;

/// The most digits of a number that is read, zeros included: no sum of money has nearly as many.
const DIGITS_MAX: usize = 64;
/// The highest exponent, up and down, for the same reason.
const EXPONENT_MAX: i32 = 64;

/// Why something in a provider's JSON is no sum of rupees. It does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sum of rupees in whole paise")]
pub struct NotRupees;

/// Rupees as a number or as a text, for a field of the JSON. Null and the empty text say nothing.
pub fn rupees<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Money>, D::Error> {
    let raw = Box::<RawValue>::deserialize(json)?;
    let told: Option<String> = match raw.get() {
        "null" => None,
        text if text.starts_with('"') => Some(serde_json::from_str(text).map_err(D::Error::custom)?),
        number => Some(number.to_owned()),
    };
    told.filter(|told| !told.is_empty()).map(|told| exactly(&told)).transpose().map_err(D::Error::custom)
}

/// The money behind `400`, `400.0`, `7.08`, `-1.5`, `2.22263731286E9`. No sign but a minus, no grouping, no spaces.
pub fn exactly(text: &str) -> Result<Money, NotRupees> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, decimals) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(NotRupees),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let mut digits = format!("{whole}{decimals}");
    if whole.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotRupees);
    }
    // How far the decimal point lies from the paise: no digit but zero may stand behind them.
    let mut shift = exponent + 2 - i32::try_from(decimals.len()).map_err(|_| NotRupees)?;
    while shift < 0 {
        match digits.pop() {
            None | Some('0') => shift += 1,
            Some(_) => return Err(NotRupees),
        }
    }
    let zeros = usize::try_from(shift).map_err(|_| NotRupees)?;
    let paise = format!("{sign}0{digits}{}", "0".repeat(zeros));
    paise.parse().map(Money::from_paise).map_err(|_| NotRupees)
}

fn exponent_of(text: &str) -> Result<i32, NotRupees> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotRupees);
    }
    text.parse().ok().filter(|exponent: &i32| exponent.abs() <= EXPONENT_MAX).ok_or(NotRupees)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(default)]
    struct Told {
        #[serde(deserialize_with = "rupees")]
        amount: Option<Money>,
    }

    fn told(json: &str) -> Option<Option<i64>> {
        let told: Told = serde_json::from_str(&format!("{{\"amount\":{json}}}")).ok()?;
        Some(told.amount.map(Money::paise))
    }

    #[test]
    fn numbers_and_numeric_texts_are_read_exactly() {
        let check = |json: &str, paise: i64| {
            assert_eq!(told(json), Some(Some(paise)), "{json}");
            assert_eq!(told(&format!("\"{json}\"")), Some(Some(paise)), "{json} as a text");
        };
        check("400", 40_000);
        check("400.0", 40_000);
        check("21000", 2_100_000);
        check("7.08", 708);
        check("0.29", 29);
        check("1.15", 115);
        check("0.0", 0);
        check("-0.0", 0);
        check("-12.5", -1_250);
        check("110.00000", 11_000);
        check("2.22263731286E9", 222_263_731_286);
        check("1e2", 10_000);
        check("1E+2", 10_000);
        check("5e-2", 5);
        check("12300e-4", 123);
        check("0e-60", 0);
        check("92233720368547758.07", i64::MAX);
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        assert_eq!(told("null"), Some(None));
        assert_eq!(told("\"\""), Some(None));
        assert_eq!(serde_json::from_str::<Told>("{}").ok(), Some(Told { amount: None }));
    }

    #[test]
    fn what_is_no_whole_number_of_paise_is_no_money() {
        for json in ["7.085", "1e-3", "0.001", "92233720368547758.08", "1e63", "1e65", "1e99999999999", "true", "[]", "{}", "[400]"] {
            assert_eq!(told(json), None, "{json}");
        }
        let long = "9".repeat(65);
        let texts =
            ["1,000", " 1", "1 ", "+1", "1.", ".5", "1e", "1e+", "--1", "1.2.3", "0x10", "NaN", "Infinity", "٥", "₹5", "1e2e3", &long];
        for text in texts {
            assert_eq!(exactly(text), Err(NotRupees), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_as_rupees_is_read_back(paise: i64) {
            let money = Money::from_paise(paise);
            prop_assert_eq!(exactly(&money.rupees_text()), Ok(money));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*|-?[0-9]{0,30}(\\.[0-9]{0,30})?([eE][+-]?[0-9]{0,6})?") {
            let _ = exactly(&text);
        }
    }
}
