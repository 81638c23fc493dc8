//! The terms of a mandate as links carry them, and the rules that bind them to each other.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Day, DayRule, Pattern, Recurrence, Violation};
use crate::domain::money::{Amount, AmountError};

/// What the payer allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MandateTerms {
    pub amount: Amount,
    pub rule: AmountRule,
    /// `fam`: what is debited at once, on approval.
    pub first_amount: Option<Amount>,
    pub recurrence: Recurrence,
    pub validity: Validity,
    /// Whether the payer may revoke it.
    pub revocable: bool,
    /// Whether the amount is blocked at once.
    pub block: bool,
}

/// What `amount` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AmountRule {
    /// Any amount up to it.
    Max,
    Exact,
}

/// A mandate's life, both days included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    start: Date,
    end: Date,
}

impl Validity {
    pub fn new(start: Date, end: Date) -> Result<Validity, Violation> {
        if end < start {
            return Err(Violation::new("validityend", "is before `validitystart`"));
        }
        Ok(Validity { start, end })
    }

    pub fn start(self) -> Date {
        self.start
    }

    pub fn end(self) -> Date {
        self.end
    }

    pub fn contains(self, day: Date) -> bool {
        self.start <= day && day <= self.end
    }
}

impl AmountRule {
    pub const fn code(self) -> &'static str {
        match self {
            AmountRule::Max => "MAX",
            AmountRule::Exact => "EXACT",
        }
    }

    pub fn from_code(code: &str) -> Option<AmountRule> {
        [AmountRule::Max, AmountRule::Exact].into_iter().find(|rule| rule.code().eq_ignore_ascii_case(code))
    }
}

/// What the terms say, or all of their faults, not the first. The values may come from a lenient
/// reader or from the strict check.
pub(super) fn read_terms<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Result<MandateTerms, Vec<Violation>> {
    let mut reader = Reader { value, faults: Vec::new() };
    let amount = reader.needed("am", |am| Amount::from_rupees_text(am).map_err(|e| e.to_string()));
    let rule = reader.needed("amrule", |rule| AmountRule::from_code(rule).ok_or("must be MAX or EXACT".to_owned()));
    let first_amount = reader.first_amount();
    if first_amount.zip(amount).is_some_and(|(first, amount)| first > amount) {
        reader.fault("fam", "is above `am`");
    }
    let validity = reader.validity();
    let pattern = reader.needed("recur", |code| Pattern::from_code(code).ok_or("is no recurrence pattern of UPI".to_owned()));
    let recurrence = pattern.and_then(|pattern| reader.recurrence(pattern));
    // Left out, they mean what is usual: the payer may revoke, and nothing is blocked.
    let revocable = reader.flag("rev", true);
    let block = reader.flag("block", false);
    if let (Some(pattern), Some(revocable), Some(block)) = (pattern, revocable, block) {
        reader.check_block(pattern, revocable, block);
    }
    match (amount, rule, recurrence, validity, revocable, block) {
        (Some(amount), Some(rule), Some(recurrence), Some(validity), Some(revocable), Some(block)) if reader.faults.is_empty() => {
            Ok(MandateTerms { amount, rule, first_amount, recurrence, validity, revocable, block })
        }
        _ => Err(reader.faults),
    }
}

/// Reads values one by one and keeps what is wrong with them; a value that can't be had is `None`,
/// and its fault is kept already.
struct Reader<F> {
    value: F,
    faults: Vec<Violation>,
}

impl<'a, F: Fn(&str) -> Option<&'a str>> Reader<F> {
    fn fault(&mut self, field: &'static str, reason: impl Into<String>) {
        self.faults.push(Violation::new(field, reason.into()));
    }

    fn needed<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let read = match (self.value)(name) {
            Some(value) => read(value),
            None => Err("is needed".to_owned()),
        };
        read.map_err(|reason| self.fault(name, reason)).ok()
    }

    fn first_amount(&mut self) -> Option<Amount> {
        match Amount::from_rupees_text((self.value)("fam")?) {
            Ok(amount) => Some(amount),
            // Zero is how some say "none"; of a recurring mandate it is not allowed.
            Err(AmountError::NotPositive) if (self.value)("purpose") != Some("14") => None,
            Err(error) => {
                self.fault("fam", error.to_string());
                None
            }
        }
    }

    fn validity(&mut self) -> Option<Validity> {
        let date = |text: &str| read_date(text).ok_or("must be a date, ddMMyyyy".to_owned());
        let start = self.needed("validitystart", date);
        let end = self.needed("validityend", date);
        let (start, end) = start.zip(end)?;
        Validity::new(start, end).map_err(|fault| self.faults.push(fault)).ok()
    }

    fn recurrence(&mut self, pattern: Pattern) -> Option<Recurrence> {
        let day = match pattern.days() {
            // A day that means nothing is ignored here; the strict check objects.
            None => None,
            Some(_) => {
                let number = self.needed("recurvalue", |number| number.parse().map_err(|_| "must be the number of a day".to_owned()));
                let rule = self.needed("recurtype", |rule| DayRule::from_code(rule).ok_or("must be ON, BEFORE or AFTER".to_owned()));
                let (number, rule) = number.zip(rule)?;
                Some(Day { number, rule })
            }
        };
        Recurrence::new(pattern, day).map_err(|fault| self.faults.push(fault)).ok()
    }

    fn flag(&mut self, name: &'static str, default: bool) -> Option<bool> {
        match (self.value)(name) {
            None => Some(default),
            Some("Y" | "y") => Some(true),
            Some("N" | "n") => Some(false),
            Some(_) => {
                self.fault(name, "must be Y or N");
                None
            }
        }
    }

    fn check_block(&mut self, pattern: Pattern, revocable: bool, block: bool) {
        // A single block with many debits (purposes 76, 77) is the one recurring mandate that blocks.
        let single_block = pattern == Pattern::AsPresented && matches!((self.value)("purpose"), Some("76" | "77"));
        if block && pattern != Pattern::OneTime && !single_block {
            self.fault("block", "must be N for a recurring mandate");
        }
        if !block && !revocable && pattern == Pattern::OneTime {
            self.fault("rev", "must be Y for a one-time mandate that blocks nothing");
        }
    }
}

/// `05012026` is 5 January.
fn read_date(text: &str) -> Option<Date> {
    if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (day, month, year) = (text[..2].parse().ok()?, text[2..4].parse().ok()?, text[4..].parse().ok()?);
    Date::new(year, month, day).ok()
}

pub(super) fn date_text(date: Date) -> String {
    date.strftime("%d%m%Y").to_string()
}

pub(super) const fn yes_or_no(flag: bool) -> &'static str {
    if flag { "Y" } else { "N" }
}
