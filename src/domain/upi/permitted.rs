//! When a debit may be executed: on a day of its cycle on which the mandate's terms allow it, while the mandate is
//! valid, outside peak hours. Of notices, attempts and limits it knows nothing.

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

use super::cycle::{Cycle, Validity, cycle_of, debit_days, next_cycle};
use super::rules::{DAY_MINUTES, PEAK_HOURS_MAX, RuleTable};
use super::{Day, Pattern};
use crate::domain::working_days::day_in_india;

/// What of a mandate's terms decides when it may be debited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    pub pattern: Pattern,
    /// `None`: any day of the cycle.
    pub day: Option<Day>,
    pub validity: &'a Validity,
}

/// A time at which a debit may be executed, and the cycle in which it then counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permitted {
    pub at: Timestamp,
    pub cycle: Cycle,
}

pub const MANDATE_VALIDITY: &str = "mandate_validity";
pub const DEBIT_DAY: &str = "debit_day";
pub const PEAK_HOURS: &str = "peak_hours";

/// One peak may go on in another, across midnight as well; but each day leaves some time, so within two days we are out.
const STEPS_MAX: usize = 2 * PEAK_HOURS_MAX + 1;

/// The first time at or after `earliest` at which `table` and `terms` let a debit be executed, and its cycle. `None`:
/// there is none before the validity ends.
pub fn first_permitted(table: &RuleTable, terms: &Terms, earliest: Timestamp) -> Option<Permitted> {
    let day = day_in_india(earliest).max(terms.validity.first);
    let this = cycle_of(terms.pattern, day, terms.validity);
    // In the first cycle the time may have gone by. The second has yet to begin, so its days are left, unless the
    // validity ends before them; then it ends before those of a third, too.
    let next = next_cycle(terms.pattern, &this, terms.validity);
    [Some(this), next].into_iter().flatten().find_map(|cycle| {
        let at = first_permitted_in(table, terms, &cycle, earliest)?;
        Some(Permitted { at, cycle })
    })
}

/// The first such time that lies in `cycle`. `None`: there is none (any more).
pub fn first_permitted_in(table: &RuleTable, terms: &Terms, cycle: &Cycle, earliest: Timestamp) -> Option<Timestamp> {
    let (first, last) = days(terms, cycle)?;
    let mut at = earliest.max(day_start(first));
    for _ in 0..STEPS_MAX {
        let day = day_in_india(at);
        if day > last {
            return None;
        }
        match table.on(day).peak_at(minute_in_india(at)) {
            None => return Some(at),
            Some(peak) => at = instant(day, peak.end())?,
        }
    }
    None
}

/// The end of the last permitted stretch of `cycle`: from this moment on nothing is permitted in it. `None`: nothing in
/// it ever is.
pub fn last_permitted_end(table: &RuleTable, terms: &Terms, cycle: &Cycle) -> Option<Timestamp> {
    let (_, last) = days(terms, cycle)?;
    let rules = table.on(last);
    let mut end = DAY_MINUTES;
    // Rules leave some time of each day, and their parts are in order.
    for peak in rules.peak_hours.iter().rev() {
        if peak.end() < end {
            break;
        }
        end = peak.start();
    }
    // The calendar's first day is over before the first timestamp.
    Some(nearest_instant(last, end)).filter(|end| *end > Timestamp::MIN)
}

/// The name of the rule that forbids to execute a debit of `cycle` right now, if one does: `mandate_validity`, else
/// `debit_day` (this includes the days of other cycles), else `peak_hours`.
pub fn forbidden_now(table: &RuleTable, terms: &Terms, cycle: &Cycle, now: Timestamp) -> Option<&'static str> {
    let day = day_in_india(now);
    let (first, last) = debit_days(cycle, terms.pattern, terms.day);
    if !terms.validity.contains(day) {
        Some(MANDATE_VALIDITY)
    } else if day < first || last < day {
        Some(DEBIT_DAY)
    } else {
        table.on(day).peak_at(minute_in_india(now)).map(|_| PEAK_HOURS)
    }
}

/// When a day begins in India. At the ends of the calendar the nearest timestamp that there is.
pub fn day_start(day: Date) -> Timestamp {
    nearest_instant(day, 0)
}

/// When a day is over in India: the beginning of the next. At the ends of the calendar the nearest timestamp that there
/// is.
pub fn day_end(day: Date) -> Timestamp {
    nearest_instant(day, DAY_MINUTES)
}

/// The first and the last day of `cycle` on which the terms allow a debit.
fn days(terms: &Terms, cycle: &Cycle) -> Option<(Date, Date)> {
    let (first, last) = debit_days(cycle, terms.pattern, terms.day);
    let (first, last) = (first.max(terms.validity.first), last.min(terms.validity.last));
    (first <= last).then_some((first, last))
}

/// India has one time zone and no summer time.
fn india() -> Offset {
    Offset::from_seconds((5 * 60 + 30) * 60).expect("5 h 30 min is a possible offset")
}

/// How many minutes of the day have gone by in India.
fn minute_in_india(time: Timestamp) -> u16 {
    let time = india().to_datetime(time);
    u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
}

/// The moment `minute` minutes after a day's midnight in India. `None`: there is no timestamp for it.
fn instant(day: Date, minute: u16) -> Option<Timestamp> {
    let time = day.to_datetime(Time::midnight()).checked_add(i64::from(minute).minutes()).ok()?;
    india().to_timestamp(time).ok()
}

fn nearest_instant(day: Date, minute: u16) -> Timestamp {
    instant(day, minute).unwrap_or(if day.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::super::cycle::cycle_named;
    use super::super::cycle::tests::{some_day, some_debit_day, some_pattern};
    use super::super::rules::{PeakHours, Rules};
    use super::super::{DayRule, Pattern};
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A year from February the 17th.
    const YEAR: Validity = Validity { first: date(2026, 2, 17), last: date(2027, 2, 16) };

    fn monthly(number: u8, rule: DayRule) -> Terms<'static> {
        Terms { pattern: Pattern::Monthly, day: Some(Day { number, rule }), validity: &YEAR }
    }

    fn any_day(pattern: Pattern) -> Terms<'static> {
        Terms { pattern, day: None, validity: &YEAR }
    }

    /// The standard rules but for the peak hours.
    fn with_peaks(entries: &[(Date, &[&str])]) -> RuleTable {
        let newest = RuleTable::standard().entries().last().unwrap().clone();
        let entry = |(valid_from, peaks): &(Date, &[&str])| Rules {
            valid_from: *valid_from,
            peak_hours: peaks.iter().map(|text| PeakHours::parse(text).unwrap()).collect(),
            ..newest.clone()
        };
        RuleTable::new(entries.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn a_debit_waits_for_its_day_and_for_the_end_of_a_peak() {
        let table = RuleTable::standard();
        let check = |terms: Terms, earliest: &str, expected: Option<(&str, &str)>| {
            let permitted = first_permitted(&table, &terms, at(earliest));
            let expected = expected.map(|(time, name)| (at(time), name.to_owned()));
            assert_eq!(permitted.map(|permitted| (permitted.at, permitted.cycle.name)), expected, "{terms:?} {earliest}");
        };
        // At once.
        check(any_day(Pattern::Monthly), "2026-03-05T09:59:59.999+05:30", Some(("2026-03-05T09:59:59.999+05:30", "2026-03")));
        // After a peak.
        check(any_day(Pattern::Monthly), "2026-03-05T10:00:00+05:30", Some(("2026-03-05T13:00:00+05:30", "2026-03")));
        check(any_day(Pattern::Monthly), "2026-03-05T12:59:59+05:30", Some(("2026-03-05T13:00:00+05:30", "2026-03")));
        check(any_day(Pattern::Monthly), "2026-03-05T16:59:59+05:30", Some(("2026-03-05T16:59:59+05:30", "2026-03")));
        check(any_day(Pattern::Monthly), "2026-03-05T17:00:00+05:30", Some(("2026-03-05T21:30:00+05:30", "2026-03")));
        // Once it is valid.
        check(any_day(Pattern::Monthly), "2026-01-05T10:00:00+05:30", Some(("2026-02-17T00:00:00+05:30", "2026-02")));
        check(any_day(Pattern::Daily), "2026-02-16T18:29:59Z", Some(("2026-02-16T18:30:00Z", "2026-02-17")));
        // On its day, of this month or of the next.
        check(monthly(5, DayRule::On), "2026-03-01T12:00:00+05:30", Some(("2026-03-05T00:00:00+05:30", "2026-03")));
        check(monthly(5, DayRule::On), "2026-03-05T23:59:59+05:30", Some(("2026-03-05T23:59:59+05:30", "2026-03")));
        check(monthly(5, DayRule::On), "2026-03-06T00:00:00+05:30", Some(("2026-04-05T00:00:00+05:30", "2026-04")));
        check(monthly(5, DayRule::On), "2026-02-17T00:00:00+05:30", Some(("2026-03-05T00:00:00+05:30", "2026-03")));
        check(monthly(5, DayRule::Before), "2026-03-06T00:00:00+05:30", Some(("2026-04-01T00:00:00+05:30", "2026-04")));
        check(monthly(5, DayRule::After), "2026-03-01T00:00:00+05:30", Some(("2026-03-05T00:00:00+05:30", "2026-03")));
        check(monthly(31, DayRule::On), "2026-02-20T00:00:00+05:30", Some(("2026-02-28T00:00:00+05:30", "2026-02")));
        check(monthly(31, DayRule::On), "2026-04-01T00:00:00+05:30", Some(("2026-04-30T00:00:00+05:30", "2026-04")));
        // A year that ends within a week.
        check(any_day(Pattern::Weekly), "2027-01-01T00:00:00+05:30", Some(("2027-01-01T00:00:00+05:30", "2026-W53")));
        check(any_day(Pattern::Weekly), "2027-01-04T00:00:00+05:30", Some(("2027-01-04T00:00:00+05:30", "2027-W01")));
        // Up to its last moment, and no longer.
        check(any_day(Pattern::OneTime), "2027-02-16T23:59:59+05:30", Some(("2027-02-16T23:59:59+05:30", "")));
        check(any_day(Pattern::OneTime), "2027-02-17T00:00:00+05:30", None);
        check(any_day(Pattern::AsPresented), "2026-01-01T00:00:00+05:30", Some(("2026-02-17T00:00:00+05:30", "")));
        check(any_day(Pattern::Daily), "2027-02-17T00:00:00+05:30", None);
        check(monthly(5, DayRule::On), "2027-02-06T00:00:00+05:30", None);
        // Its first month is over when it begins.
        let quarterly = Terms { pattern: Pattern::Quarterly, ..monthly(5, DayRule::On) };
        check(quarterly, "2026-02-17T00:00:00+05:30", Some(("2026-04-05T00:00:00+05:30", "2026-04")));
    }

    #[test]
    fn a_leap_day_is_a_day_like_others() {
        let validity = Validity { first: date(2027, 1, 1), last: date(2029, 12, 31) };
        let terms = Terms { validity: &validity, ..monthly(29, DayRule::On) };
        let check = |earliest: &str, expected: &str| {
            let permitted = first_permitted(&RuleTable::standard(), &terms, at(earliest));
            assert_eq!(permitted.map(|permitted| permitted.at), Some(at(expected)), "{earliest}");
        };
        check("2027-02-01T00:00:00+05:30", "2027-02-28T00:00:00+05:30");
        check("2028-02-01T00:00:00+05:30", "2028-02-29T00:00:00+05:30");
        check("2029-02-01T00:00:00+05:30", "2029-02-28T00:00:00+05:30");
    }

    #[test]
    fn the_rules_are_those_of_the_moment_that_is_found() {
        let table = with_peaks(&[(date(2026, 1, 1), &["20:00-24:00"]), (date(2026, 3, 2), &["00:00-06:00", "06:00-07:30"])]);
        let check = |earliest: &str, expected: &str| {
            let permitted = first_permitted(&table, &any_day(Pattern::Daily), at(earliest));
            assert_eq!(permitted.map(|permitted| permitted.at), Some(at(expected)), "{earliest}");
        };
        check("2026-02-28T20:00:00+05:30", "2026-03-01T00:00:00+05:30");
        check("2026-03-01T19:59:59+05:30", "2026-03-01T19:59:59+05:30");
        check("2026-03-01T20:00:00+05:30", "2026-03-02T07:30:00+05:30");
        check("2026-03-02T20:00:00+05:30", "2026-03-02T20:00:00+05:30");
    }

    #[test]
    fn two_days_of_as_many_peaks_as_there_can_be_are_passed() {
        let half_hours = |from: u16| (0..24).map(move |at| PeakHours::new(from + at * 30, from + at * 30 + 30).unwrap()).collect();
        let newest = RuleTable::standard().entries().last().unwrap().clone();
        let entry = |day, from| Rules { valid_from: date(2026, 3, day), peak_hours: half_hours(from), ..newest.clone() };
        let table = RuleTable::new(vec![entry(1, 720), entry(2, 0)]).unwrap();
        let found = first_permitted(&table, &any_day(Pattern::Monthly), at("2026-03-01T12:00:00+05:30")).unwrap();
        assert_eq!(found.at, at("2026-03-02T12:00:00+05:30"));
    }

    #[test]
    fn within_a_cycle_only() {
        let terms = monthly(5, DayRule::Before);
        let march = cycle_named(terms.pattern, "2026-03", &YEAR).unwrap();
        let table = RuleTable::standard();
        let check = |earliest: &str, expected: Option<&str>| {
            assert_eq!(first_permitted_in(&table, &terms, &march, at(earliest)), expected.map(at), "{earliest}");
        };
        check("2026-01-01T00:00:00+05:30", Some("2026-03-01T00:00:00+05:30"));
        check("2026-03-05T20:00:00+05:30", Some("2026-03-05T21:30:00+05:30"));
        check("2026-03-05T23:59:59.999999999+05:30", Some("2026-03-05T23:59:59.999999999+05:30"));
        check("2026-03-06T00:00:00+05:30", None);
        // February's days are over when the mandate begins.
        let february = cycle_named(terms.pattern, "2026-02", &YEAR).unwrap();
        assert_eq!(first_permitted_in(&table, &terms, &february, Timestamp::MIN), None);
        assert_eq!(last_permitted_end(&table, &terms, &february), None);
    }

    #[test]
    fn a_cycle_ends_where_nothing_is_permitted_any_more() {
        let check = |table: &RuleTable, terms: Terms, name: &str, expected: &str| {
            let cycle = cycle_named(terms.pattern, name, &YEAR).unwrap();
            assert_eq!(last_permitted_end(table, &terms, &cycle), Some(at(expected)), "{terms:?} {name}");
        };
        let standard = RuleTable::standard();
        check(&standard, any_day(Pattern::Monthly), "2026-03", "2026-04-01T00:00:00+05:30");
        check(&standard, any_day(Pattern::Monthly), "2027-02", "2027-02-17T00:00:00+05:30");
        check(&standard, any_day(Pattern::OneTime), "", "2027-02-17T00:00:00+05:30");
        check(&standard, monthly(5, DayRule::On), "2026-03", "2026-03-06T00:00:00+05:30");
        let late = with_peaks(&[(date(2026, 1, 1), &["18:00-21:30", "21:30-24:00"]), (date(2026, 4, 1), &[])]);
        check(&late, any_day(Pattern::Monthly), "2026-03", "2026-03-31T18:00:00+05:30");
        check(&late, any_day(Pattern::Monthly), "2026-04", "2026-05-01T00:00:00+05:30");
    }

    #[test]
    fn what_forbids_is_named_in_order() {
        let terms = monthly(5, DayRule::After);
        let table = RuleTable::standard();
        let check = |name: &str, now: &str, rule: Option<&str>| {
            let cycle = cycle_named(terms.pattern, name, &YEAR).unwrap();
            assert_eq!(forbidden_now(&table, &terms, &cycle, at(now)), rule, "{name} {now}");
        };
        check("2026-02", "2026-02-16T23:59:59+05:30", Some("mandate_validity"));
        check("2026-02", "2026-02-17T00:00:00+05:30", None);
        check("2027-02", "2027-02-16T23:59:59+05:30", None);
        check("2027-02", "2027-02-17T00:00:00+05:30", Some("mandate_validity"));
        check("2027-02", "2027-02-17T11:00:00+05:30", Some("mandate_validity"));
        check("2026-03", "2026-03-04T23:59:59+05:30", Some("debit_day"));
        check("2026-03", "2026-03-04T11:00:00+05:30", Some("debit_day"));
        check("2026-03", "2026-03-05T00:00:00+05:30", None);
        check("2026-03", "2026-03-05T10:00:00+05:30", Some("peak_hours"));
        check("2026-03", "2026-03-05T13:00:00+05:30", None);
        check("2026-03", "2026-03-31T23:59:59+05:30", None);
        // A day of April is none of March's, although it is April's.
        check("2026-03", "2026-04-05T00:00:00+05:30", Some("debit_day"));
    }

    #[test]
    fn days_are_indias() {
        assert_eq!(day_start(date(2026, 1, 2)), at("2026-01-01T18:30:00Z"));
        assert_eq!(day_end(date(2026, 1, 2)), at("2026-01-02T18:30:00Z"));
        assert_eq!(day_start(Date::MIN), Timestamp::MIN);
        assert_eq!(day_end(Date::MAX), Timestamp::MAX);
        // No timestamp lies in the calendar's first day.
        let validity = Validity { first: Date::MIN, last: Date::MIN };
        let terms = Terms { validity: &validity, ..any_day(Pattern::Daily) };
        let cycle = cycle_of(terms.pattern, Date::MIN, &validity);
        assert_eq!(last_permitted_end(&RuleTable::standard(), &terms, &cycle), None);
        assert_eq!(first_permitted(&RuleTable::standard(), &terms, Timestamp::MIN), None);
    }

    #[test]
    fn a_validity_without_an_end_is_no_long_search() {
        let ever = Validity { first: Date::MIN, last: Date::MAX };
        for pattern in Pattern::ALL {
            let terms = Terms { pattern, day: None, validity: &ever };
            let found = first_permitted(&RuleTable::standard(), &terms, at("2026-03-05T11:00:00+05:30")).unwrap();
            assert_eq!(found.at, at("2026-03-05T13:00:00+05:30"), "{pattern:?}");
        }
        let none = Validity { first: date(2026, 2, 17), last: date(2026, 2, 16) };
        for pattern in Pattern::ALL {
            assert_eq!(first_permitted(&RuleTable::standard(), &Terms { pattern, day: None, validity: &none }, Timestamp::MIN), None);
        }
    }

    /// Peak hours in order, often ones that touch each other or midnight, and never all day.
    fn some_peaks() -> impl Strategy<Value = Vec<PeakHours>> {
        let minute = prop_oneof![0..=DAY_MINUTES, prop::sample::select(vec![0, 1, 600, 780, 1_020, 1_290, 1_439, DAY_MINUTES])];
        (prop::collection::btree_set(minute, 0..8), any::<bool>()).prop_filter_map("leaves some time", |(edges, touching)| {
            let edges: Vec<u16> = edges.into_iter().collect();
            let step = if touching { 1 } else { 2 };
            let pairs = edges.windows(2).step_by(step);
            let peaks: Vec<_> = pairs.map(|pair| PeakHours::new(pair[0], pair[1]).unwrap()).collect();
            (peaks.iter().map(|peak| peak.end() - peak.start()).sum::<u16>() < DAY_MINUTES).then_some(peaks)
        })
    }

    /// Up to four sets of rules, of which some begin soon after `day`.
    fn some_table(day: Date) -> impl Strategy<Value = RuleTable> {
        let begins = prop::collection::btree_set(prop_oneof![-3..=3i64, -40..=400i64], 1..=4);
        (begins, prop::collection::vec(some_peaks(), 4)).prop_map(move |(begins, peaks)| {
            let newest = RuleTable::standard().entries().last().unwrap().clone();
            let entry = |(days, peak_hours): (i64, Vec<PeakHours>)| Rules { valid_from: day + days.days(), peak_hours, ..newest.clone() };
            RuleTable::new(begins.into_iter().zip(peaks).map(entry).collect()).unwrap()
        })
    }

    #[derive(Clone, Debug)]
    struct Case {
        table: RuleTable,
        pattern: Pattern,
        day: Option<Day>,
        validity: Validity,
        earliest: Timestamp,
    }

    impl Case {
        fn terms(&self) -> Terms<'_> {
            Terms { pattern: self.pattern, day: self.day, validity: &self.validity }
        }

        /// Whether a debit may be executed at `time`, told by a calendar on the wall: no searching, no arithmetic with days.
        fn allows(&self, time: Timestamp) -> bool {
            let wall = (time + SignedDuration::from_mins(330)).to_zoned(jiff::tz::TimeZone::UTC).datetime();
            let cycle = cycle_of(self.pattern, wall.date(), &self.validity);
            let (first, last) = debit_days(&cycle, self.pattern, self.day);
            let entries = self.table.entries();
            let rules = entries.iter().rev().find(|rules| rules.valid_from <= wall.date()).unwrap_or(&entries[0]);
            let minute = i32::from(wall.hour()) * 60 + i32::from(wall.minute());
            let peak = rules.peak_hours.iter().any(|peak| i32::from(peak.start()) <= minute && minute < i32::from(peak.end()));
            (self.validity.first..=self.validity.last).contains(&wall.date()) && (first..=last).contains(&wall.date()) && !peak
        }

        /// The first such time, by looking at each moment at which anything can begin to be permitted: `earliest`, and every
        /// midnight and end of a peak after it.
        fn searched(&self) -> Option<Timestamp> {
            if self.allows(self.earliest) {
                return Some(self.earliest);
            }
            let ends: std::collections::BTreeSet<i64> = self
                .table
                .entries()
                .iter()
                .flat_map(|rules| rules.peak_hours.iter().map(|peak| i64::from(peak.end())))
                .chain([0])
                .collect();
            let mut midnight = (self.earliest + SignedDuration::from_mins(330)).as_second().div_euclid(86_400) * 86_400 - 330 * 60;
            let over = day_end(self.validity.last).as_second();
            while midnight < over {
                let moments = ends.iter().map(|minute| Timestamp::from_second(midnight + minute * 60).unwrap());
                if let Some(found) = moments.filter(|moment| *moment > self.earliest).find(|moment| self.allows(*moment)) {
                    return Some(found);
                }
                midnight += 86_400;
            }
            None
        }
    }

    /// A case of this century; the validity begins and ends near the time that is asked for, or some way off.
    fn some_case() -> impl Strategy<Value = Case> {
        let this_century = |day: &Date| (1990..=2060).contains(&day.year());
        some_day().prop_filter("this century", this_century).prop_flat_map(|day| {
            let begin = prop_oneof![-3..=3i64, -500..=100i64];
            let length = prop_oneof![-1..=3i64, 0..=800i64];
            let second = prop_oneof![0..86_400i64, (0..1_440i64).prop_map(|minute| minute * 60)];
            let nanos = prop_oneof![Just(0i64), prop::sample::select(vec![-1i64, 1, 999_999_999])];
            (some_table(day), some_pattern(), some_debit_day(), begin, length, second, nanos).prop_map(
                move |(table, pattern, debit_day, begin, length, second, nanos)| {
                    let first = day + begin.days();
                    let earliest = day_start(day) + SignedDuration::new(second, 0) + SignedDuration::from_nanos(nanos);
                    let validity = Validity { first, last: first + length.days() };
                    Case { table, pattern, day: debit_day, validity, earliest }
                },
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]

        #[test]
        fn the_first_permitted_time_is_what_a_search_finds(case in some_case()) {
            let found = first_permitted(&case.table, &case.terms(), case.earliest);
            prop_assert_eq!(found.as_ref().map(|found| found.at), case.searched());
            let Some(Permitted { at, cycle }) = found else { return Ok(()) };
            prop_assert!(at >= case.earliest);
            prop_assert_eq!(&cycle, &cycle_of(case.pattern, day_in_india(at), &case.validity));
            prop_assert_eq!(forbidden_now(&case.table, &case.terms(), &cycle, at), None);
            prop_assert_eq!(first_permitted_in(&case.table, &case.terms(), &cycle, case.earliest), Some(at));
            prop_assert_eq!(first_permitted(&case.table, &case.terms(), at).map(|again| again.at), Some(at), "it stays");
            if at > case.earliest {
                let just_before = at - SignedDuration::from_nanos(1);
                prop_assert!(forbidden_now(&case.table, &case.terms(), &cycle, just_before).is_some());
            }
        }

        #[test]
        fn a_moment_is_forbidden_unless_it_is_the_first_permitted_one(case in some_case()) {
            let now = case.earliest;
            let cycle = cycle_of(case.pattern, day_in_india(now), &case.validity);
            let forbidden = forbidden_now(&case.table, &case.terms(), &cycle, now);
            prop_assert_eq!(forbidden.is_none(), case.allows(now));
            prop_assert_eq!(forbidden.is_none(), first_permitted_in(&case.table, &case.terms(), &cycle, now) == Some(now));
        }

        #[test]
        fn after_the_last_end_nothing_is_permitted_in_a_cycle(case in some_case()) {
            let cycle = cycle_of(case.pattern, day_in_india(case.earliest), &case.validity);
            let first_in = |earliest| first_permitted_in(&case.table, &case.terms(), &cycle, earliest);
            match last_permitted_end(&case.table, &case.terms(), &cycle) {
                None => prop_assert_eq!(first_in(Timestamp::MIN), None),
                Some(end) => {
                    prop_assert_eq!(first_in(end), None);
                    let just_before = end - SignedDuration::from_nanos(1);
                    prop_assert_eq!(first_in(just_before), Some(just_before));
                    prop_assert!(case.allows(just_before));
                    prop_assert!(first_in(Timestamp::MIN).is_some_and(|first| first < end));
                }
            }
        }

        #[test]
        fn no_day_of_the_calendar_makes_it_panic(
            pattern in some_pattern(),
            day in some_debit_day(),
            (first, last, within) in (some_day(), some_day(), some_day()),
            (peaks, nanos) in (some_peaks(), prop_oneof![any::<i128>(), Just(i128::MIN), Just(i128::MAX)]),
        ) {
            let newest = RuleTable::standard().entries().last().unwrap().clone();
            let table = RuleTable::new(vec![Rules { peak_hours: peaks, ..newest }]).unwrap();
            let nanos = nanos.clamp(Timestamp::MIN.as_nanosecond(), Timestamp::MAX.as_nanosecond());
            for validity in [Validity { first, last }, Validity { first: Date::MIN, last: Date::MAX }] {
                let terms = Terms { pattern, day, validity: &validity };
                for time in [Timestamp::from_nanosecond(nanos).unwrap(), day_start(within), day_end(within), Timestamp::MIN, Timestamp::MAX] {
                    if let Some(found) = first_permitted(&table, &terms, time) {
                        prop_assert!(found.at >= time);
                        prop_assert_eq!(forbidden_now(&table, &terms, &found.cycle, found.at), None);
                        prop_assert!(last_permitted_end(&table, &terms, &found.cycle).is_some_and(|end| end >= found.at));
                    }
                    let cycle = cycle_of(pattern, within, &validity);
                    let _ = (first_permitted_in(&table, &terms, &cycle, time), forbidden_now(&table, &terms, &cycle, time));
                    let _ = last_permitted_end(&table, &terms, &cycle);
                }
            }
        }
    }
}
