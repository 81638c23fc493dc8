//! How often a mandate may be debited, as links and NPCI spell it. Providers' own spellings
//! (`half_yearly`, `biWeekly`) belong to their folders.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Violation;

/// How often. `BiMonthly` is ambiguous out there: every two months in UPI, twice a month at NACH. Here it
/// means two months, so only a provider that means the same may be asked for it; in a link it is passed
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pattern {
    OneTime,
    Daily,
    Weekly,
    Fortnightly,
    Monthly,
    BiMonthly,
    Quarterly,
    HalfYearly,
    Yearly,
    /// Whenever the merchant presents a debit.
    AsPresented,
}

/// Whether the debit comes on the day, from the period's first day until it, or from it until the
/// period's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DayRule {
    On,
    Before,
    After,
}

/// The day of the period. 31 in a shorter month means its last; a week's days count from Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Day {
    pub number: u8,
    pub rule: DayRule,
}

/// A pattern with a day exactly where the pattern has one, as a link needs it. A mandate of the API may
/// go without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recurrence {
    pattern: Pattern,
    day: Option<Day>,
}

impl Pattern {
    pub const ALL: [Pattern; 10] = [
        Pattern::OneTime,
        Pattern::Daily,
        Pattern::Weekly,
        Pattern::Fortnightly,
        Pattern::Monthly,
        Pattern::BiMonthly,
        Pattern::Quarterly,
        Pattern::HalfYearly,
        Pattern::Yearly,
        Pattern::AsPresented,
    ];

    /// The spelling of links.
    pub const fn code(self) -> &'static str {
        match self {
            Pattern::OneTime => "ONETIME",
            Pattern::Daily => "DAILY",
            Pattern::Weekly => "WEEKLY",
            Pattern::Fortnightly => "FORTNIGHTLY",
            Pattern::Monthly => "MONTHLY",
            Pattern::BiMonthly => "BIMONTHLY",
            Pattern::Quarterly => "QUARTERLY",
            Pattern::HalfYearly => "HALFYEARLY",
            Pattern::Yearly => "YEARLY",
            Pattern::AsPresented => "ASPRESENTED",
        }
    }

    pub fn from_code(code: &str) -> Option<Pattern> {
        Self::ALL.into_iter().find(|pattern| pattern.code().eq_ignore_ascii_case(code))
    }

    /// The days that can be named, or `None` where naming one makes no sense.
    pub const fn days(self) -> Option<RangeInclusive<u8>> {
        match self {
            Pattern::OneTime | Pattern::Daily | Pattern::AsPresented => None,
            Pattern::Weekly => Some(1..=7),
            // One page of a provider says 15, another 16, a third 31. We read all of them; the
            // strict check draws its line at 16.
            Pattern::Fortnightly | Pattern::Monthly | Pattern::BiMonthly | Pattern::Quarterly | Pattern::HalfYearly | Pattern::Yearly => {
                Some(1..=31)
            }
        }
    }
}

impl DayRule {
    pub const ALL: [DayRule; 3] = [DayRule::On, DayRule::Before, DayRule::After];

    pub const fn code(self) -> &'static str {
        match self {
            DayRule::On => "ON",
            DayRule::Before => "BEFORE",
            DayRule::After => "AFTER",
        }
    }

    pub fn from_code(code: &str) -> Option<DayRule> {
        Self::ALL.into_iter().find(|rule| rule.code().eq_ignore_ascii_case(code))
    }
}

impl Recurrence {
    pub fn new(pattern: Pattern, day: Option<Day>) -> Result<Recurrence, Violation> {
        let code = pattern.code();
        let fault = |reason: String| Err(Violation::new("recurvalue", reason));
        match (pattern.days(), day) {
            (None, None) => Ok(Recurrence { pattern, day }),
            (None, Some(_)) => fault(format!("has no meaning for {code}, which has no day")),
            (Some(days), Some(day)) if days.contains(&day.number) => Ok(Recurrence { pattern, day: Some(day) }),
            (Some(days), Some(_)) => fault(format!("must be {} to {} for {code}", days.start(), days.end())),
            (Some(_), None) => fault(format!("is needed for {code}")),
        }
    }

    pub fn pattern(self) -> Pattern {
        self.pattern
    }

    pub fn day(self) -> Option<Day> {
        self.day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_a_day_or_has_none() {
        let check = |pattern: Pattern, number: Option<u8>, reason: Option<&str>| {
            let day = number.map(|number| Day { number, rule: DayRule::On });
            let fault = Recurrence::new(pattern, day).err().map(|violation| violation.to_string());
            assert_eq!(fault.as_deref(), reason, "{pattern:?} {number:?}");
        };
        check(Pattern::OneTime, None, None);
        check(Pattern::OneTime, Some(1), Some("`recurvalue` has no meaning for ONETIME, which has no day"));
        check(Pattern::Daily, None, None);
        check(Pattern::AsPresented, Some(1), Some("`recurvalue` has no meaning for ASPRESENTED, which has no day"));
        check(Pattern::Weekly, Some(7), None);
        check(Pattern::Weekly, Some(0), Some("`recurvalue` must be 1 to 7 for WEEKLY"));
        check(Pattern::Weekly, Some(9), Some("`recurvalue` must be 1 to 7 for WEEKLY"));
        check(Pattern::Monthly, Some(31), None);
        check(Pattern::Monthly, Some(32), Some("`recurvalue` must be 1 to 31 for MONTHLY"));
        check(Pattern::Yearly, None, Some("`recurvalue` is needed for YEARLY"));
    }

    #[test]
    fn codes_are_read_back_in_any_case() {
        for pattern in Pattern::ALL {
            assert_eq!(Pattern::from_code(&pattern.code().to_lowercase()), Some(pattern));
        }
        for rule in DayRule::ALL {
            assert_eq!(DayRule::from_code(rule.code()), Some(rule));
        }
        assert_eq!(Pattern::from_code("half_yearly"), None);
    }
}
