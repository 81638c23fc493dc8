//! The days on which Indian providers settle: no Sundays, no second and fourth Saturdays, no bank holidays, by India's
//! calendar. Pure.

use std::collections::BTreeSet;

use jiff::civil::{Date, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// The bank holidays that are configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holidays(pub BTreeSet<Date>);

/// India has one time zone and no summer time.
fn india() -> TimeZone {
    TimeZone::fixed(Offset::from_seconds(5 * 3_600 + 1_800).unwrap_or(Offset::UTC))
}

/// The day in India that `time` lies in.
pub fn day_in_india(time: Timestamp) -> Date {
    time.to_zoned(india()).date()
}

/// When a day begins in India.
pub fn begin_of_day(day: Date) -> Timestamp {
    day.to_zoned(india()).map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp())
}

/// The day after.
pub fn next_day(day: Date) -> Date {
    day.tomorrow().unwrap_or(day)
}

/// The day that lies `days` before.
pub fn days_before(day: Date, days: u32) -> Date {
    day.checked_sub(i64::from(days).days()).unwrap_or(day)
}

impl Holidays {
    /// Whether banks work on `day` [razorpay 7.1].
    pub fn is_working_day(&self, day: Date) -> bool {
        let is_free_saturday = day.weekday() == Weekday::Saturday && matches!((day.day() - 1) / 7, 1 | 3);
        day.weekday() != Weekday::Sunday && !is_free_saturday && !self.0.contains(&day)
    }

    /// The `count`th working day after the day of `time`.
    pub fn working_day_after(&self, time: Timestamp, count: u32) -> Date {
        let mut day = day_in_india(time);
        for _ in 0..count {
            day = next_day(day);
            // No calendar has a year without a working day; a configured one might.
            for _ in 0..366 {
                if self.is_working_day(day) {
                    break;
                }
                day = next_day(day);
            }
        }
        day
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_day_is_indias() {
        assert_eq!(day_in_india(at("2026-01-01T18:29:59Z")), date(2026, 1, 1));
        assert_eq!(day_in_india(at("2026-01-01T18:30:00Z")), date(2026, 1, 2));
        assert_eq!(begin_of_day(date(2026, 1, 2)), at("2026-01-01T18:30:00Z"));
    }

    #[test]
    fn sundays_second_and_fourth_saturdays_and_holidays_are_free() {
        let holidays = Holidays([date(2026, 1, 26)].into());
        for (day, works) in [
            (date(2026, 1, 3), true),
            (date(2026, 1, 4), false),
            (date(2026, 1, 10), false),
            (date(2026, 1, 17), true),
            (date(2026, 1, 24), false),
            (date(2026, 1, 26), false),
            (date(2026, 1, 31), true),
        ] {
            assert_eq!(holidays.is_working_day(day), works, "{day}");
        }
    }

    #[test]
    fn a_cycle_counts_working_days_only() {
        let holidays = Holidays([date(2026, 1, 26)].into());
        let day = |time: &str, count| holidays.working_day_after(at(time), count);
        assert_eq!(day("2026-01-05T06:00:00Z", 2), date(2026, 1, 7));
        // Friday; the 24th is a fourth Saturday, the 26th a holiday.
        assert_eq!(day("2026-01-23T06:00:00Z", 2), date(2026, 1, 28));
        assert_eq!(day("2026-01-23T06:00:00Z", 0), date(2026, 1, 23));
        assert_eq!(day("2026-02-28T20:00:00Z", 1), date(2026, 3, 2), "in India it is March the 1st already");
    }
}
