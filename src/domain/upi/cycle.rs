//! The cycles of a mandate, each with at most one debit that succeeds, and the days of a cycle on which it may be made.
//! Cycles lie in the calendar, not after a mandate's beginning. All days are India's; no time of day, no rules.

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, ISOWeekDate, Weekday};

use super::{Day, DayRule, Pattern};
use crate::domain::working_days::day_in_india;

/// The whole days on which a mandate is valid, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub first: Date,
    pub last: Date,
}

/// A part of the calendar, both days included, whether or not the mandate is valid on all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    pub first: Date,
    pub last: Date,
    /// `2026-02-17`, `2026-W08`, `2026-02-H1`, `2026-02`: by the pattern. Empty where a mandate has no cycles; then it is
    /// the whole validity.
    pub name: String,
}

impl Validity {
    /// Of a mandate that is valid from one time until another: the days in which they lie count as a whole.
    pub fn of(valid_from: Timestamp, valid_until: Timestamp) -> Validity {
        Validity { first: day_in_india(valid_from), last: day_in_india(valid_until) }
    }

    pub fn contains(&self, day: Date) -> bool {
        self.first <= day && day <= self.last
    }
}

/// The cycle that `day` lies in. Of ONETIME and ASPRESENTED it is the whole validity, wherever the day lies.
pub fn cycle_of(pattern: Pattern, day: Date, validity: &Validity) -> Cycle {
    match pattern {
        Pattern::OneTime | Pattern::AsPresented => Cycle { first: validity.first, last: validity.last, name: String::new() },
        Pattern::Daily => {
            let name = format!("{}-{:02}", month_name(day), day.day());
            Cycle { first: day, last: day, name }
        }
        Pattern::Weekly => {
            let week = day.iso_week_date();
            // The year of the week: 2027-01-01 is a day of 2026-W53.
            let name = format!("{:04}-W{:02}", week.year(), week.week());
            let since_monday = i64::from(week.weekday().to_monday_zero_offset());
            // The calendar begins on a Monday; its last week is cut short by its end.
            let first = day.checked_sub(since_monday.days()).unwrap_or(Date::MIN);
            Cycle { first, last: later(first, 6).unwrap_or(Date::MAX), name }
        }
        Pattern::Fortnightly => {
            let (number, first, last) = match day.day() {
                ..16 => (1, day.first_of_month(), later(day.first_of_month(), 14)),
                16.. => (2, later(day.first_of_month(), 15).unwrap_or(day), Some(day.last_of_month())),
            };
            Cycle { first, last: last.unwrap_or(day), name: format!("{}-H{number}", month_name(day)) }
        }
        Pattern::Monthly => months(day, 1),
        Pattern::BiMonthly => months(day, 2),
        Pattern::Quarterly => months(day, 3),
        Pattern::HalfYearly => months(day, 6),
        Pattern::Yearly => months(day, 12),
    }
}

/// The cycle after `cycle`. `None`: there is none, or the mandate is not valid any more when it begins.
pub fn next_cycle(pattern: Pattern, cycle: &Cycle, validity: &Validity) -> Option<Cycle> {
    if matches!(pattern, Pattern::OneTime | Pattern::AsPresented) {
        return None;
    }
    let day = cycle.last.tomorrow().ok()?;
    (day <= validity.last).then(|| cycle_of(pattern, day, validity))
}

/// The cycle that has this name, letter by letter. `None`: none of this pattern has it.
pub fn cycle_named(pattern: Pattern, name: &str, validity: &Validity) -> Option<Cycle> {
    let day = match pattern {
        Pattern::OneTime | Pattern::AsPresented => validity.first,
        Pattern::Daily => {
            let (month, day) = name.rsplit_once('-')?;
            let month = first_of(month)?;
            Date::new(month.year(), month.month(), day.parse().ok()?).ok()?
        }
        Pattern::Weekly => {
            let (year, week) = name.rsplit_once("-W")?;
            ISOWeekDate::new(year.parse().ok()?, week.parse().ok()?, Weekday::Monday).ok()?.date()
        }
        Pattern::Fortnightly => match name.rsplit_once("-H")? {
            (month, "1") => first_of(month)?,
            (month, _) => later(first_of(month)?, 15)?,
        },
        Pattern::Monthly | Pattern::BiMonthly | Pattern::Quarterly | Pattern::HalfYearly | Pattern::Yearly => first_of(name)?,
    };
    // What was read too kindly (`+2026-2`, a month within a longer cycle) is another name.
    Some(cycle_of(pattern, day, validity)).filter(|cycle| cycle.name == name)
}

/// The first and the last day of a cycle on which a debit may be made, both within it.
///
/// A week's days count from Monday, a fortnight's from its first. Of cycles of several months it is the day of the first
/// month: BEFORE 5 of a quarter is its first five days, AFTER 5 all but its first four. A day that a month, a fortnight or
/// a week doesn't have means its last; 0 means its first.
pub fn debit_days(cycle: &Cycle, pattern: Pattern, day: Option<Day>) -> (Date, Date) {
    let (Some(day), Some(_)) = (day, pattern.days()) else {
        return (cycle.first, cycle.last);
    };
    let span_last = match pattern {
        Pattern::Weekly | Pattern::Fortnightly => cycle.last,
        _ => cycle.first.last_of_month().min(cycle.last),
    };
    let named = later(cycle.first, day.number.saturating_sub(1)).map_or(span_last, |named| named.min(span_last));
    match day.rule {
        DayRule::On => (named, named),
        DayRule::Before => (cycle.first, named),
        DayRule::After => (named, cycle.last),
    }
}

/// The block of `count` months that `day` lies in, counted from January.
fn months(day: Date, count: i8) -> Cycle {
    let first_month = (day.month() - 1) / count * count + 1;
    let month = |month| Date::new(day.year(), month, 1).unwrap_or(day);
    let first = month(first_month);
    Cycle { first, last: month(first_month + count - 1).last_of_month(), name: month_name(first) }
}

/// `2026-02`.
fn month_name(day: Date) -> String {
    format!("{:04}-{:02}", day.year(), day.month())
}

/// The first day of `2026-02`.
fn first_of(month: &str) -> Option<Date> {
    let (year, month) = month.rsplit_once('-')?;
    Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()
}

/// `None`: the calendar ends before.
fn later(day: Date, days: u8) -> Option<Date> {
    day.checked_add(i64::from(days).days()).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    const EVER: Validity = Validity { first: Date::MIN, last: Date::MAX };

    fn on(number: u8) -> Option<Day> {
        Some(Day { number, rule: DayRule::On })
    }

    fn before(number: u8) -> Option<Day> {
        Some(Day { number, rule: DayRule::Before })
    }

    fn after(number: u8) -> Option<Day> {
        Some(Day { number, rule: DayRule::After })
    }

    /// Any day of the calendar; often one near its ends, near a year's end, or one of this century.
    pub fn some_day() -> impl Strategy<Value = Date> {
        let any = (-9999..=9999i16, 1..=12i8, 1..=31i8);
        let now = (1990..=2060i16, 1..=12i8, 1..=31i8);
        let year_ends = (1990..=2060i16, prop::sample::select(vec![1i8, 12]), prop::sample::select(vec![1i8, 2, 3, 4, 28, 29, 30, 31]));
        let ends = (prop::sample::select(vec![-9999i16, -1, 0, 1, 9999]), prop::sample::select(vec![1i8, 2, 12]), 1..=31i8);
        prop_oneof![any, now, year_ends, ends].prop_map(|(year, month, day)| {
            let month = date(year, month, 1);
            Date::new(year, month.month(), day.min(month.days_in_month())).unwrap()
        })
    }

    pub fn some_pattern() -> impl Strategy<Value = Pattern> {
        prop::sample::select(Pattern::ALL.to_vec())
    }

    /// A day, also where it makes no sense, or none.
    pub fn some_debit_day() -> impl Strategy<Value = Option<Day>> {
        let number = prop_oneof![1..=31u8, prop::sample::select(vec![0u8, 1, 7, 15, 16, 28, 29, 30, 31, 32, 255])];
        let day = (number, prop::sample::select(DayRule::ALL.to_vec())).prop_map(|(number, rule)| Day { number, rule });
        prop::option::weighted(0.8, day)
    }

    fn has_cycles(pattern: Pattern) -> bool {
        !matches!(pattern, Pattern::OneTime | Pattern::AsPresented)
    }

    #[test]
    fn cycles_lie_in_the_calendar() {
        let check = |pattern, day: Date, name: &str, first: Date, last: Date| {
            assert_eq!(cycle_of(pattern, day, &EVER), Cycle { first, last, name: name.to_owned() }, "{pattern:?} {day}");
        };
        check(Pattern::Daily, date(2026, 2, 17), "2026-02-17", date(2026, 2, 17), date(2026, 2, 17));
        check(Pattern::Weekly, date(2026, 2, 17), "2026-W08", date(2026, 2, 16), date(2026, 2, 22));
        check(Pattern::Weekly, date(2026, 2, 22), "2026-W08", date(2026, 2, 16), date(2026, 2, 22));
        check(Pattern::Weekly, date(2026, 2, 23), "2026-W09", date(2026, 2, 23), date(2026, 3, 1));
        check(Pattern::Fortnightly, date(2026, 2, 1), "2026-02-H1", date(2026, 2, 1), date(2026, 2, 15));
        check(Pattern::Fortnightly, date(2026, 2, 15), "2026-02-H1", date(2026, 2, 1), date(2026, 2, 15));
        check(Pattern::Fortnightly, date(2026, 2, 16), "2026-02-H2", date(2026, 2, 16), date(2026, 2, 28));
        check(Pattern::Fortnightly, date(2028, 2, 29), "2028-02-H2", date(2028, 2, 16), date(2028, 2, 29));
        check(Pattern::Monthly, date(2026, 2, 28), "2026-02", date(2026, 2, 1), date(2026, 2, 28));
        check(Pattern::Monthly, date(2028, 2, 28), "2028-02", date(2028, 2, 1), date(2028, 2, 29));
        check(Pattern::BiMonthly, date(2026, 2, 28), "2026-01", date(2026, 1, 1), date(2026, 2, 28));
        check(Pattern::BiMonthly, date(2026, 3, 1), "2026-03", date(2026, 3, 1), date(2026, 4, 30));
        check(Pattern::Quarterly, date(2026, 6, 30), "2026-04", date(2026, 4, 1), date(2026, 6, 30));
        check(Pattern::Quarterly, date(2026, 12, 31), "2026-10", date(2026, 10, 1), date(2026, 12, 31));
        check(Pattern::HalfYearly, date(2026, 6, 30), "2026-01", date(2026, 1, 1), date(2026, 6, 30));
        check(Pattern::HalfYearly, date(2026, 7, 1), "2026-07", date(2026, 7, 1), date(2026, 12, 31));
        check(Pattern::Yearly, date(2026, 12, 31), "2026-01", date(2026, 1, 1), date(2026, 12, 31));
    }

    #[test]
    fn a_week_belongs_to_the_year_of_its_thursday() {
        let check = |day: Date, name: &str| assert_eq!(cycle_of(Pattern::Weekly, day, &EVER).name, name, "{day}");
        check(date(2024, 12, 29), "2024-W52");
        check(date(2024, 12, 30), "2025-W01");
        check(date(2026, 12, 31), "2026-W53");
        check(date(2027, 1, 1), "2026-W53");
        check(date(2027, 1, 3), "2026-W53");
        check(date(2027, 1, 4), "2027-W01");
        check(date(2023, 1, 1), "2022-W52");
    }

    #[test]
    fn the_calendars_last_week_is_cut_short() {
        let week = cycle_of(Pattern::Weekly, date(9999, 12, 29), &EVER);
        assert_eq!(week, Cycle { first: date(9999, 12, 27), last: Date::MAX, name: "9999-W52".to_owned() });
        assert_eq!(cycle_of(Pattern::Weekly, Date::MIN, &EVER).first, Date::MIN);
        assert_eq!(next_cycle(Pattern::Weekly, &week, &EVER), None);
        assert_eq!(debit_days(&week, Pattern::Weekly, on(7)), (Date::MAX, Date::MAX));
    }

    #[test]
    fn without_cycles_the_whole_validity_is_one() {
        let validity = Validity { first: date(2026, 2, 17), last: date(2027, 2, 16) };
        for pattern in [Pattern::OneTime, Pattern::AsPresented] {
            let whole = Cycle { first: validity.first, last: validity.last, name: String::new() };
            assert_eq!(cycle_of(pattern, date(2031, 1, 1), &validity), whole);
            assert_eq!(cycle_named(pattern, "", &validity), Some(whole.clone()));
            assert_eq!(cycle_named(pattern, "2026-02", &validity), None);
            assert_eq!(next_cycle(pattern, &whole, &validity), None);
            assert_eq!(debit_days(&whole, pattern, on(3)), (validity.first, validity.last), "a day has no meaning here");
        }
    }

    #[test]
    fn cycles_end_with_the_validity() {
        let validity = Validity { first: date(2026, 2, 17), last: date(2026, 4, 1) };
        let next = |cycle: &Cycle| next_cycle(Pattern::Monthly, cycle, &validity);
        let march = next(&cycle_of(Pattern::Monthly, validity.first, &validity)).unwrap();
        assert_eq!(march.name, "2026-03");
        let april = next(&march).unwrap();
        assert_eq!((april.name.as_str(), april.last), ("2026-04", date(2026, 4, 30)));
        assert_eq!(next(&april), None);
    }

    #[test]
    fn a_day_counts_from_the_beginning_of_what_it_is_a_day_of() {
        let check = |pattern, within: Date, day, first: Date, last: Date| {
            let cycle = cycle_of(pattern, within, &EVER);
            assert_eq!(debit_days(&cycle, pattern, day), (first, last), "{pattern:?} {within} {day:?}");
        };
        let february = date(2026, 2, 10);
        check(Pattern::Monthly, february, None, date(2026, 2, 1), date(2026, 2, 28));
        check(Pattern::Monthly, february, on(17), date(2026, 2, 17), date(2026, 2, 17));
        check(Pattern::Monthly, february, before(17), date(2026, 2, 1), date(2026, 2, 17));
        check(Pattern::Monthly, february, after(17), date(2026, 2, 17), date(2026, 2, 28));
        check(Pattern::Monthly, february, on(31), date(2026, 2, 28), date(2026, 2, 28));
        check(Pattern::Monthly, february, after(31), date(2026, 2, 28), date(2026, 2, 28));
        check(Pattern::Monthly, february, before(31), date(2026, 2, 1), date(2026, 2, 28));
        check(Pattern::Monthly, date(2028, 2, 10), on(31), date(2028, 2, 29), date(2028, 2, 29));
        check(Pattern::Monthly, date(2026, 4, 10), on(31), date(2026, 4, 30), date(2026, 4, 30));
        check(Pattern::Monthly, date(2026, 5, 10), on(31), date(2026, 5, 31), date(2026, 5, 31));
        check(Pattern::Weekly, february, on(7), date(2026, 2, 15), date(2026, 2, 15));
        check(Pattern::Weekly, february, before(1), date(2026, 2, 9), date(2026, 2, 9));
        check(Pattern::Weekly, february, after(6), date(2026, 2, 14), date(2026, 2, 15));
        check(Pattern::Fortnightly, february, on(3), date(2026, 2, 3), date(2026, 2, 3));
        check(Pattern::Fortnightly, february, on(16), date(2026, 2, 15), date(2026, 2, 15));
        check(Pattern::Fortnightly, date(2026, 2, 20), on(3), date(2026, 2, 18), date(2026, 2, 18));
        check(Pattern::Fortnightly, date(2026, 2, 20), on(16), date(2026, 2, 28), date(2026, 2, 28));
        check(Pattern::Fortnightly, date(2026, 3, 20), on(16), date(2026, 3, 31), date(2026, 3, 31));
        check(Pattern::Fortnightly, date(2026, 4, 20), on(16), date(2026, 4, 30), date(2026, 4, 30));
        check(Pattern::Quarterly, february, on(5), date(2026, 1, 5), date(2026, 1, 5));
        check(Pattern::Quarterly, february, before(5), date(2026, 1, 1), date(2026, 1, 5));
        check(Pattern::Quarterly, february, after(5), date(2026, 1, 5), date(2026, 3, 31));
        check(Pattern::Quarterly, date(2026, 5, 1), on(31), date(2026, 4, 30), date(2026, 4, 30));
        check(Pattern::BiMonthly, date(2026, 12, 1), after(31), date(2026, 11, 30), date(2026, 12, 31));
        check(Pattern::Yearly, date(2026, 12, 1), on(31), date(2026, 1, 31), date(2026, 1, 31));
        check(Pattern::Daily, february, on(5), february, february);
    }

    #[test]
    fn another_spelling_is_another_name() {
        let check = |pattern, name: &str| assert_eq!(cycle_named(pattern, name, &EVER), None, "{pattern:?} {name}");
        for name in ["", "2026", "2026-2", "+2026-02", "26-02", "2026-13", "2026-00", "2026-02-01", "2026-02 ", "12026-02", "२०२६-०२"]
        {
            check(Pattern::Monthly, name);
        }
        check(Pattern::Quarterly, "2026-02");
        check(Pattern::Yearly, "2026-07");
        check(Pattern::Daily, "2026-02-29");
        check(Pattern::Daily, "2026-02");
        check(Pattern::Weekly, "2025-W53");
        check(Pattern::Weekly, "2026-W8");
        check(Pattern::Weekly, "2026-W00");
        check(Pattern::Weekly, "2026-08");
        check(Pattern::Fortnightly, "2026-02-H3");
        check(Pattern::Fortnightly, "2026-02-H");
        check(Pattern::Fortnightly, "2026-02");
    }

    #[test]
    fn validity_is_whole_indian_days() {
        let validity = Validity::of("2026-02-16T18:30:00Z".parse().unwrap(), "2026-03-17T18:29:59Z".parse().unwrap());
        assert_eq!(validity, Validity { first: date(2026, 2, 17), last: date(2026, 3, 17) });
        assert!(validity.contains(date(2026, 2, 17)) && validity.contains(date(2026, 3, 17)));
        assert!(!validity.contains(date(2026, 2, 16)) && !validity.contains(date(2026, 3, 18)));
    }

    proptest! {
        #[test]
        fn cycles_tile_the_calendar(pattern in some_pattern().prop_filter("has cycles", |pattern| has_cycles(*pattern)), day in some_day()) {
            let cycle = cycle_of(pattern, day, &EVER);
            prop_assert!(cycle.first <= day && day <= cycle.last, "{cycle:?}");
            for within in [cycle.first, cycle.last] {
                prop_assert_eq!(&cycle_of(pattern, within, &EVER), &cycle);
            }
            let next = next_cycle(pattern, &cycle, &EVER);
            prop_assert_eq!(next.is_none(), cycle.last == Date::MAX);
            if let Some(next) = next {
                prop_assert_eq!(next.first.yesterday().ok(), Some(cycle.last), "no gap and no overlap");
                prop_assert_ne!(next.name, cycle.name);
            }
        }

        #[test]
        fn a_name_leads_back_to_its_cycle(pattern in some_pattern(), day in some_day()) {
            let cycle = cycle_of(pattern, day, &EVER);
            prop_assert_eq!(cycle_named(pattern, &cycle.name, &EVER), Some(cycle));
        }

        #[test]
        fn two_cycles_share_no_name(pattern in some_pattern(), day in some_day(), other in some_day()) {
            let [one, other] = [day, other].map(|day| cycle_of(pattern, day, &EVER));
            prop_assert_eq!(one.name == other.name, one == other, "{:?} {:?}", one, other);
        }

        #[test]
        fn no_name_makes_it_panic(pattern in some_pattern(), name in ".*|[0-9+-]{0,6}-?[WH]?-?[0-9]{0,3}(-[0-9]{0,3})?") {
            if let Some(cycle) = cycle_named(pattern, &name, &EVER) {
                prop_assert_eq!(cycle.name, name);
            }
        }

        #[test]
        fn the_debit_days_lie_within_the_cycle(pattern in some_pattern(), within in some_day(), day in some_debit_day()) {
            let cycle = cycle_of(pattern, within, &EVER);
            let (first, last) = debit_days(&cycle, pattern, day);
            prop_assert!(cycle.first <= first && first <= last && last <= cycle.last, "{cycle:?} {first} {last}");
            let days = |rule| debit_days(&cycle, pattern, day.map(|day| Day { rule, ..day }));
            if day.is_some() && pattern.days().is_some() {
                let (named, also_named) = days(DayRule::On);
                prop_assert_eq!(named, also_named);
                prop_assert_eq!(days(DayRule::Before), (cycle.first, named));
                prop_assert_eq!(days(DayRule::After), (named, cycle.last));
            } else {
                prop_assert_eq!((first, last), (cycle.first, cycle.last));
            }
        }
    }
}
