//! When providers settle: on working days at eleven in India. Sundays and the second and fourth Saturdays are none; of
//! bank holidays nothing is known here.

use jiff::civil::{Date, Weekday};

use super::clock::{in_ist, ist};

const RUN_HOUR: i8 = 11;

/// The first run later than a moment.
pub fn next_run(at_ms: i64) -> i64 {
    let today = in_ist(at_ms).date();
    let run = run_on(today);
    if is_working_day(today) && run > at_ms { run } else { run_after(at_ms, 1) }
}

/// The run on the `days`th working day after the day of a moment.
pub fn run_after(at_ms: i64, days: u32) -> i64 {
    let mut date = in_ist(at_ms).date();
    for _ in 0..days {
        date = next_day(date);
        while !is_working_day(date) {
            date = next_day(date);
        }
    }
    run_on(date)
}

fn is_working_day(date: Date) -> bool {
    match date.weekday() {
        Weekday::Sunday => false,
        Weekday::Saturday => !matches!((date.day() + 6) / 7, 2 | 4),
        _ => true,
    }
}

/// The calendar's last day has none after it, and is thousands of years beyond the sandbox's clock.
fn next_day(date: Date) -> Date {
    date.tomorrow().unwrap_or(Date::MAX)
}

fn run_on(date: Date) -> i64 {
    let run = date.at(RUN_HOUR, 0, 0, 0).to_zoned(ist());
    run.map_or(i64::MAX, |run| run.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn sundays_and_two_saturdays_a_month_are_left_out() {
        // A Thursday evening in India; the third of January 2026 is the month's first Saturday.
        let thursday = ms("2026-01-01T20:00:00+05:30");
        assert_eq!(run_after(thursday, 1), ms("2026-01-02T11:00:00+05:30"));
        assert_eq!(run_after(thursday, 2), ms("2026-01-03T11:00:00+05:30"));
        assert_eq!(run_after(thursday, 3), ms("2026-01-05T11:00:00+05:30"));
        // The tenth is its second.
        assert_eq!(run_after(ms("2026-01-08T00:30:00+05:30"), 2), ms("2026-01-12T11:00:00+05:30"));
        // Late in the day in Greenwich it is the next day in India.
        assert_eq!(run_after(ms("2026-01-05T20:00:00Z"), 1), ms("2026-01-07T11:00:00+05:30"));
    }

    #[test]
    fn the_next_run_is_todays_until_eleven() {
        assert_eq!(next_run(ms("2026-01-02T10:59:59+05:30")), ms("2026-01-02T11:00:00+05:30"));
        assert_eq!(next_run(ms("2026-01-02T11:00:00+05:30")), ms("2026-01-03T11:00:00+05:30"));
        assert_eq!(next_run(ms("2026-01-10T09:00:00+05:30")), ms("2026-01-12T11:00:00+05:30"));
    }
}
