//! Times as Indian systems write them: without a zone, and meaning India's.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// UTC+05:30 all the year round: India has one zone and no summer time.
const INDIA_SECONDS: i32 = (5 * 60 + 30) * 60;

/// The moment that `yyyy-MM-dd HH:mm:ss` names in India. `None`: it is no such text.
pub fn read(text: &str) -> Option<Timestamp> {
    in_india(DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?)
}

/// The moment at which clocks in India show `time`.
pub fn in_india(time: DateTime) -> Option<Timestamp> {
    let india = Offset::from_seconds(INDIA_SECONDS).expect("5 h 30 min is a possible offset");
    india.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_indian() {
        let check = |text: &str, utc: &str| assert_eq!(read(text), utc.parse().ok(), "{text}");
        check("2024-07-04 11:10:37", "2024-07-04T05:40:37Z");
        check("2024-07-03 23:59:16", "2024-07-03T18:29:16Z");
        check("2024-03-01 00:00:00", "2024-02-29T18:30:00Z");
    }

    #[test]
    fn whatever_else_stands_there_is_no_time() {
        let wrong = ["", "2024-07-04", "2024-07-04T11:10:37", "2024-07-04 11:10", "2024-02-30 00:00:00", "2024-07-04 25:00:00", "now"];
        for text in wrong.into_iter().chain(["2024-07-04 11:10:37Z", "2024-07-04 11:10:37 +0000", "0000-99-99 00:00:00"]) {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("9999-12-31 23:59:59"), None, "beyond every calendar");
    }
}
