//! Money: whole paise, Indian rupees only, no floats anywhere. It knows no limit of a provider and
//! no rule of UPI beyond "an amount that is asked for is above zero".

use serde::{Deserialize, Serialize};

/// Some money, or a lack of it: settlements and adjustments go below zero.
/// On disk it is the integer of paise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money {
    paise: i64,
}

/// Money that somebody asks for: above zero and at most [`Amount::MAX_PAISE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Amount(Money);

/// Why a text is no sum of rupees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RupeesError {
    #[error("is empty")]
    Empty,
    #[error("has `{}` where only digits and one decimal point may stand", .0.escape_debug())]
    Unexpected(char),
    #[error("needs digits before its decimal point, and after it if there is one")]
    Digits,
    #[error("has more than two decimals: a paisa is the smallest unit")]
    Decimals,
    #[error("is more than can be counted in paise")]
    Range,
}

/// Why money can't be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("must be above zero")]
    NotPositive,
    #[error("is above {}, more than UPI ever moves in one payment", Money::from_paise(Amount::MAX_PAISE).display())]
    AboveCap,
    #[error(transparent)]
    Unreadable(#[from] RupeesError),
}

impl Money {
    pub const ZERO: Money = Money { paise: 0 };

    pub const fn from_paise(paise: i64) -> Money {
        Money { paise }
    }

    pub const fn paise(self) -> i64 {
        self.paise
    }

    pub const fn is_negative(self) -> bool {
        self.paise < 0
    }

    pub fn checked_add(self, other: Money) -> Option<Money> {
        self.paise.checked_add(other.paise).map(Money::from_paise)
    }

    pub fn checked_sub(self, other: Money) -> Option<Money> {
        self.paise.checked_sub(other.paise).map(Money::from_paise)
    }

    pub fn checked_neg(self) -> Option<Money> {
        self.paise.checked_neg().map(Money::from_paise)
    }

    /// The sum of all, or `None` where it can't be counted.
    pub fn checked_sum(all: impl IntoIterator<Item = Money>) -> Option<Money> {
        all.into_iter().try_fold(Money::ZERO, Money::checked_add)
    }

    /// Reads decimal rupees exactly: `499`, `499.5`, `499.50`, `-12.00`. Anything that leaves room
    /// for a guess (an exponent, a plus, grouping, spaces, a third decimal) is refused, also where
    /// the guess would be harmless.
    pub fn from_rupees_text(text: &str) -> Result<Money, RupeesError> {
        if text.is_empty() {
            return Err(RupeesError::Empty);
        }
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let (rupees, decimals) = match unsigned.split_once('.') {
            Some((_, "")) => return Err(RupeesError::Digits),
            Some((rupees, decimals)) => (rupees, decimals),
            None => (unsigned, ""),
        };
        if let Some(other) = rupees.chars().chain(decimals.chars()).find(|c| !c.is_ascii_digit()) {
            return Err(RupeesError::Unexpected(other));
        }
        if rupees.is_empty() {
            return Err(RupeesError::Digits);
        }
        if decimals.len() > 2 {
            return Err(RupeesError::Decimals);
        }
        // Counted with its sign, so that the smallest i64 can be read back too.
        let mut paise: i64 = 0;
        for digit in rupees.bytes().chain(decimals.bytes()).chain(b"00"[decimals.len()..].iter().copied()) {
            let digit = sign * i64::from(digit - b'0');
            paise = paise.checked_mul(10).and_then(|tens| tens.checked_add(digit)).ok_or(RupeesError::Range)?;
        }
        Ok(Money { paise })
    }

    /// Decimal rupees with exactly two decimals, as providers and links want them: `-499.50`.
    pub fn rupees_text(self) -> String {
        let (sign, rupees, paise) = self.parts();
        format!("{sign}{rupees}.{paise:02}")
    }

    /// For people: `₹4,99,999.50`. Not a `Display`, so that it can't slip into a request.
    pub fn display(self) -> String {
        let (sign, rupees, paise) = self.parts();
        format!("{sign}₹{}.{paise:02}", indian_grouping(&rupees.to_string()))
    }

    fn parts(self) -> (&'static str, u64, u64) {
        let paise = self.paise.unsigned_abs();
        (if self.is_negative() { "-" } else { "" }, paise / 100, paise % 100)
    }
}

impl Amount {
    /// One crore rupees: twenty times the highest limit of UPI at the time of writing. It is not
    /// there to enforce that limit (it changes by circular) but to stop nonsense early.
    pub const MAX_PAISE: i64 = 10_000_000 * 100;

    pub const fn new(paise: i64) -> Result<Amount, AmountError> {
        match paise {
            i64::MIN..=0 => Err(AmountError::NotPositive),
            1..=Self::MAX_PAISE => Ok(Amount(Money::from_paise(paise))),
            _ => Err(AmountError::AboveCap),
        }
    }

    pub fn from_rupees_text(text: &str) -> Result<Amount, AmountError> {
        Money::from_rupees_text(text)?.try_into()
    }

    pub const fn money(self) -> Money {
        self.0
    }

    pub const fn paise(self) -> i64 {
        self.0.paise
    }

    pub fn rupees_text(self) -> String {
        self.0.rupees_text()
    }

    pub fn display(self) -> String {
        self.0.display()
    }
}

impl From<Amount> for Money {
    fn from(amount: Amount) -> Money {
        amount.0
    }
}

impl From<Amount> for i64 {
    fn from(amount: Amount) -> i64 {
        amount.paise()
    }
}

impl TryFrom<Money> for Amount {
    type Error = AmountError;

    fn try_from(money: Money) -> Result<Amount, AmountError> {
        Amount::new(money.paise)
    }
}

impl TryFrom<i64> for Amount {
    type Error = AmountError;

    fn try_from(paise: i64) -> Result<Amount, AmountError> {
        Amount::new(paise)
    }
}

/// The last three digits stand together, those before them in pairs: 12,34,567.
fn indian_grouping(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() * 3 / 2);
    for (i, digit) in digits.chars().enumerate() {
        let left = digits.len() - i;
        if i > 0 && (left == 3 || (left > 3 && left % 2 == 1)) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rupees_are_read_exactly() {
        let check = |text, paise| assert_eq!(Money::from_rupees_text(text), Ok(Money { paise }), "{text}");
        check("499.50", 49_950);
        check("499.5", 49_950);
        check("499", 49_900);
        check("0.01", 1);
        check("007.00", 700);
        check("-12.34", -1_234);
        check("-0.05", -5);
        check("92233720368547758.07", i64::MAX);
        check("-92233720368547758.08", i64::MIN);
    }

    #[test]
    fn what_leaves_room_for_a_guess_is_refused() {
        let check = |text, error| assert_eq!(Money::from_rupees_text(text), Err(error), "{text}");
        check("", RupeesError::Empty);
        check("499.505", RupeesError::Decimals);
        check("499.500", RupeesError::Decimals);
        check("5e2", RupeesError::Unexpected('e'));
        check("1.5E3", RupeesError::Unexpected('E'));
        check("NaN", RupeesError::Unexpected('N'));
        check("+5", RupeesError::Unexpected('+'));
        check("--5", RupeesError::Unexpected('-'));
        check("4,99,999.50", RupeesError::Unexpected(','));
        check(" 5", RupeesError::Unexpected(' '));
        check("5\n", RupeesError::Unexpected('\n'));
        check("5.0.0", RupeesError::Unexpected('.'));
        check("٥", RupeesError::Unexpected('٥'));
        check("5.", RupeesError::Digits);
        check(".5", RupeesError::Digits);
        check("-", RupeesError::Digits);
        check(".", RupeesError::Digits);
        check("92233720368547758.08", RupeesError::Range);
        check("99999999999999999999999999999999999999999", RupeesError::Range);
    }

    #[test]
    fn people_see_indian_grouping() {
        let check = |paise, shown: &str| assert_eq!(Money { paise }.display(), shown);
        check(0, "₹0.00");
        check(99_999, "₹999.99");
        check(100_000, "₹1,000.00");
        check(49_999_950, "₹4,99,999.50");
        check(1_234_567_800, "₹1,23,45,678.00");
        check(-100_005, "-₹1,000.05");
        check(i64::MIN, "-₹92,23,37,20,36,85,47,758.08");
    }

    #[test]
    fn an_amount_is_above_zero_and_below_the_cap() {
        assert_eq!(Amount::new(0), Err(AmountError::NotPositive));
        assert_eq!(Amount::new(-1), Err(AmountError::NotPositive));
        assert_eq!(Amount::new(i64::MIN), Err(AmountError::NotPositive));
        assert_eq!(Amount::new(1).unwrap().paise(), 1);
        assert_eq!(Amount::new(Amount::MAX_PAISE).unwrap().display(), "₹1,00,00,000.00");
        assert_eq!(Amount::new(Amount::MAX_PAISE + 1), Err(AmountError::AboveCap));
        assert_eq!(AmountError::AboveCap.to_string(), "is above ₹1,00,00,000.00, more than UPI ever moves in one payment");
    }

    #[test]
    fn on_disk_it_is_the_integer_and_a_bad_one_is_not_read() {
        assert_eq!(serde_json::to_string(&Money { paise: -5 }).unwrap(), "-5");
        assert_eq!(serde_json::to_string(&Amount::new(49_950).unwrap()).unwrap(), "49950");
        assert_eq!(serde_json::from_str::<Amount>("49950").unwrap().paise(), 49_950);
        assert!(serde_json::from_str::<Amount>("0").is_err());
        assert!(serde_json::from_str::<Money>("1.5").is_err());
    }

    #[test]
    fn sums_that_cannot_be_counted_are_none() {
        let max = Money { paise: i64::MAX };
        assert_eq!(Money::checked_sum([max, Money { paise: 1 }]), None);
        assert_eq!(Money { paise: i64::MIN }.checked_neg(), None);
        assert_eq!(Money { paise: i64::MIN }.checked_sub(Money { paise: 1 }), None);
        assert_eq!(Money::checked_sum([Money { paise: 5 }, Money { paise: -7 }]), Some(Money { paise: -2 }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(paise: i64) {
            let money = Money { paise };
            prop_assert_eq!(Money::from_rupees_text(&money.rupees_text()), Ok(money));
            prop_assert_eq!(money.display().replace([',', '₹'], ""), money.rupees_text());
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = Money::from_rupees_text(&text);
        }
    }
}
