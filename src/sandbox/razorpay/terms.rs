//! What a payer agrees to with a mandate: how much, until when, how often and on which days. Read from an order's `token`,
//! and what follows for a day on which somebody wants to debit.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::input::{Fields, TIME_MAX};
use crate::sandbox::clock::in_ist;

/// The parameter table's smallest ceiling. The text that refuses smaller ones speaks of five rupees.
const CEILING_MIN: i64 = 100;
/// Some merchant categories may have twice as much; there is none of them here.
const CEILING_MAX: i64 = 9_999_900;
const LASTS_YEARS_DEFAULT: i32 = 10;
const LASTS_YEARS_MAX: i32 = 30;
/// The first fortnight of a month; the second is what is left of it.
const FORTNIGHT_DAYS: i8 = 15;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub max_amount: i64,
    /// Seconds since 1970.
    pub expire_at: i64,
    pub frequency: Frequency,
    pub rule: Option<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    Daily,
    Weekly,
    Fortnightly,
    /// Every two months here; whether that is meant is said nowhere.
    Bimonthly,
    Monthly,
    Quarterly,
    HalfYearly,
    Yearly,
    AsPresented,
}

/// On which days of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Of the week, from 1 for Monday, or of the month.
    pub value: i8,
    pub kind: RuleKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    On,
    Before,
    After,
}

impl Frequency {
    const ALL: [(&'static str, Self, &'static str); 9] = [
        ("daily", Self::Daily, "DAILY"),
        ("weekly", Self::Weekly, "WEEKLY"),
        ("fortnightly", Self::Fortnightly, "FORTNIGHTLY"),
        ("bimonthly", Self::Bimonthly, "BIMONTHLY"),
        ("monthly", Self::Monthly, "MONTHLY"),
        ("quarterly", Self::Quarterly, "QUARTERLY"),
        ("half_yearly", Self::HalfYearly, "HALFYEARLY"),
        ("yearly", Self::Yearly, "YEARLY"),
        ("as_presented", Self::AsPresented, "ASPRESENTED"),
    ];

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(ours, ..)| *ours == name).map(|(_, frequency, _)| frequency)
    }

    /// As UPI spells it in links.
    pub fn in_links(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, frequency, _)| *frequency == self).map_or("", |(.., spelling)| spelling)
    }

    /// The largest `recurring_value`; none where there may be no rule.
    fn value_max(self) -> Option<i64> {
        match self {
            Self::Daily | Self::AsPresented => None,
            Self::Weekly => Some(7),
            Self::Fortnightly | Self::Bimonthly | Self::Monthly | Self::Quarterly | Self::HalfYearly | Self::Yearly => Some(31),
        }
    }

    /// The billing cycle that a day lies in, as a year and a number in it; none where any number of debits may be made.
    fn cycle(self, date: Date) -> Option<(i16, i16)> {
        let month = i16::from(date.month()) - 1;
        let part = match self {
            Self::AsPresented => return None,
            Self::Weekly => {
                let week = date.iso_week_date();
                return Some((week.year(), i16::from(week.week())));
            }
            Self::Daily => date.day_of_year(),
            Self::Fortnightly => 2 * month + i16::from(date.day() > FORTNIGHT_DAYS),
            Self::Monthly => month,
            Self::Bimonthly => month / 2,
            Self::Quarterly => month / 3,
            Self::HalfYearly => month / 6,
            Self::Yearly => 0,
        };
        Some((date.year(), part))
    }
}

impl RuleKind {
    pub fn in_links(self) -> &'static str {
        match self {
            Self::On => "ON",
            Self::Before => "BEFORE",
            Self::After => "AFTER",
        }
    }
}

impl Terms {
    /// Reads an order's `token`; `now` in seconds since 1970. Its other fields belong to other products.
    pub fn read(token: &Fields<'_>, now: i64) -> Result<Self, ApiError> {
        let max_amount = match token.integer("max_amount")? {
            None => return Err(ApiError::on("max_amount", "The max amount field is required.")),
            Some(..CEILING_MIN) => return Err(ApiError::on("max_amount", "The minimum transaction amount allowed is Re. 5.")),
            Some(amount) if amount > CEILING_MAX => return Err(ApiError::on("max_amount", "Amount exceeds maximum amount allowed.")),
            Some(amount) => amount,
        };
        let last = years_after(now, LASTS_YEARS_MAX);
        let expire_at = token.integer("expire_at")?.unwrap_or_else(|| years_after(now, LASTS_YEARS_DEFAULT));
        if !(now + 1..=last).contains(&expire_at) {
            return Err(ApiError::on("expire_at", format!("expire_at must be between {now} and {last}")));
        }
        let frequency = match token.get("frequency") {
            None => return Err(ApiError::on("frequency", "The frequency field is required.")),
            Some(name) => name.as_str().and_then(Frequency::of),
        };
        let frequency = frequency.ok_or_else(|| ApiError::on("frequency", "The selected frequency is invalid."))?;
        Ok(Self { max_amount, expire_at, frequency, rule: read_rule(token, frequency)? })
    }

    /// Whether a debit may be made on a day, as far as `recurring_value` and `recurring_type` say something of it.
    pub fn permit(&self, date: Date) -> bool {
        let Some(Rule { value, kind }) = self.rule else {
            return true;
        };
        let (day, last) = match self.frequency {
            Frequency::Weekly => (date.weekday().to_monday_one_offset(), 7),
            Frequency::Fortnightly if date.day() > FORTNIGHT_DAYS => (date.day() - FORTNIGHT_DAYS, date.days_in_month() - FORTNIGHT_DAYS),
            Frequency::Fortnightly => (date.day(), FORTNIGHT_DAYS),
            _ => (date.day(), date.days_in_month()),
        };
        // A day that is missing means the last one.
        let value = value.min(last);
        match kind {
            RuleKind::On => day == value,
            RuleKind::Before => day <= value,
            RuleKind::After => day >= value,
        }
    }

    /// Whether two days lie in one cycle, in which there may be but one debit.
    pub fn share_cycle(&self, one: Date, other: Date) -> bool {
        let cycle = self.frequency.cycle(one);
        cycle.is_some() && cycle == self.frequency.cycle(other)
    }
}

fn years_after(now: i64, years: i32) -> i64 {
    let then = in_ist(now.saturating_mul(1_000)).checked_add(years.years());
    then.map_or(TIME_MAX, |then| then.timestamp().as_second()).min(TIME_MAX)
}

/// Both fields or none of them.
fn read_rule(token: &Fields<'_>, frequency: Frequency) -> Result<Option<Rule>, ApiError> {
    let Some(value_max) = frequency.value_max() else {
        let sent = ["recurring_value", "recurring_type"].into_iter().filter(|name| token.get(name).is_some());
        let sent: Vec<_> = sent.map(str::to_owned).collect();
        return if sent.is_empty() { Ok(None) } else { Err(ApiError::not_required(&sent)) };
    };
    let value = token.integer("recurring_value")?;
    let kind = match token.get("recurring_type").map(|kind| kind.as_str()) {
        None => None,
        Some(Some("on")) => Some(RuleKind::On),
        Some(Some("before")) => Some(RuleKind::Before),
        Some(Some("after")) => Some(RuleKind::After),
        Some(_) => return Err(ApiError::on("recurring_type", "The selected recurring type is invalid.")),
    };
    match (value, kind) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ApiError::on("recurring_value", "The recurring value field is required.")),
        (Some(_), None) => Err(ApiError::on("recurring_type", "The recurring type field is required.")),
        (Some(value), Some(kind)) => match i8::try_from(value) {
            Ok(day) if (1..=value_max).contains(&value) => Ok(Some(Rule { value: day, kind })),
            _ => Err(ApiError::on("recurring_value", format!("The recurring value must be between 1 and {value_max}."))),
        },
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn terms(frequency: Frequency, value: i8, kind: RuleKind) -> Terms {
        Terms { max_amount: 150_000, expire_at: 1_893_456_000, frequency, rule: Some(Rule { value, kind }) }
    }

    #[test]
    fn a_rule_says_on_which_days() {
        use {Frequency as F, RuleKind as R};
        let check = |frequency, value, kind, day: Date, permitted: bool| {
            assert_eq!(terms(frequency, value, kind).permit(day), permitted, "{frequency:?} {kind:?} {value}: {day}");
        };
        check(F::Monthly, 17, R::Before, date(2026, 3, 17), true);
        check(F::Monthly, 17, R::Before, date(2026, 3, 18), false);
        check(F::Monthly, 17, R::After, date(2026, 3, 17), true);
        check(F::Monthly, 17, R::After, date(2026, 3, 16), false);
        check(F::Monthly, 31, R::On, date(2026, 2, 28), true);
        check(F::Monthly, 31, R::On, date(2026, 3, 30), false);
        check(F::Weekly, 1, R::On, date(2026, 3, 2), true);
        check(F::Weekly, 1, R::On, date(2026, 3, 3), false);
        check(F::Fortnightly, 5, R::On, date(2026, 3, 20), true);
        check(F::Fortnightly, 16, R::On, date(2026, 3, 15), true);
        check(F::Fortnightly, 5, R::Before, date(2026, 3, 21), false);
    }

    #[test]
    fn cycles_end_with_the_calendar() {
        use Frequency as F;
        let check = |frequency, one: Date, other: Date, same: bool| {
            assert_eq!(terms(frequency, 1, RuleKind::After).share_cycle(one, other), same, "{frequency:?}: {one}, {other}");
        };
        check(F::Daily, date(2026, 1, 5), date(2026, 1, 6), false);
        check(F::Weekly, date(2025, 12, 29), date(2026, 1, 4), true);
        check(F::Weekly, date(2026, 1, 4), date(2026, 1, 5), false);
        check(F::Fortnightly, date(2026, 1, 15), date(2026, 1, 16), false);
        check(F::Monthly, date(2026, 1, 1), date(2026, 1, 31), true);
        check(F::Monthly, date(2026, 1, 31), date(2026, 2, 1), false);
        check(F::Bimonthly, date(2026, 1, 31), date(2026, 2, 1), true);
        check(F::Quarterly, date(2026, 3, 31), date(2026, 4, 1), false);
        check(F::HalfYearly, date(2026, 1, 1), date(2026, 6, 30), true);
        check(F::Yearly, date(2026, 1, 1), date(2027, 1, 1), false);
        check(F::AsPresented, date(2026, 1, 1), date(2026, 1, 1), false);
    }
}
