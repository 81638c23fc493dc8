//! What is typed behind options, read strictly: amounts, durations, times, pairs, names of states. Pure; the current time
//! comes in.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::domain::money::Amount;
use crate::grpc::pb;

/// A hundred years. Longer is a slip of the keyboard, and sums with it could overflow.
const DURATION_MAX: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// India has one offset, all year round, since 1945.
pub fn indian_time() -> TimeZone {
    TimeZone::fixed(Offset::constant(5).saturating_add(SignedDuration::from_mins(30)))
}

/// Rupees as people write them: `499` or `499.50`.
pub fn amount(text: &str) -> Result<Amount, String> {
    Amount::from_rupees_text(text).map_err(|error| format!("{error} (write rupees, such as 499 or 499.50)"))
}

/// `500ms`, `10s`, `15m`, `2h`, `7d`, or several one after the other: `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and a unit: 500ms, 10s, 15m, 2h, 7d, or 1h30m".to_owned();
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60 * 1_000,
            "h" => 60 * 60 * 1_000,
            "d" => 24 * 60 * 60 * 1_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let part = number.checked_mul(unit_ms).map(Duration::from_millis);
        total = part.and_then(|part| total.checked_add(part)).filter(|total| *total <= DURATION_MAX).ok_or("is longer than a century")?;
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// A duration that is more than nothing.
pub fn duration_above_zero(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than nothing".to_owned()),
        duration => Ok(duration),
    }
}

/// A point in time, as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    At(Timestamp),
    /// So long ago, or so long from now.
    Away(Duration),
}

/// `2026-02-17T10:00:00Z` or with an offset; without one Indian time holds: `2026-02-17T10:00`, or `2026-02-17` for its
/// first moment. Or a duration from now: `15m`.
pub fn when(text: &str) -> Result<When, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(When::At(time));
    }
    // jiff's own reading of dates is more generous, down to ignoring an offset that it can't use.
    let is_date = text.len() == 10 && text.chars().all(|c| c.is_ascii_digit() || c == '-');
    let is_time = text.len() >= 16 && text.chars().all(|c| c.is_ascii_digit() || "-:T .".contains(c));
    let civil = if is_date {
        text.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0))
    } else if is_time {
        text.parse::<DateTime>().ok()
    } else {
        None
    };
    if let Some(time) = civil.and_then(|civil| civil.to_zoned(indian_time()).ok()) {
        return Ok(When::At(time.timestamp()));
    }
    duration(text).map(When::Away).map_err(|_| {
        "write a time such as 2026-02-17T10:00:00Z, 2026-02-17T10:00 (Indian time), 2026-02-17, or a duration such as 15m".into()
    })
}

impl When {
    /// A duration counts back from now.
    pub fn past(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Away(by) => SignedDuration::try_from(by).ok().and_then(|by| now.checked_sub(by).ok()).unwrap_or(Timestamp::MIN),
        }
    }

    /// A duration counts on from now.
    pub fn future(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Away(by) => crate::clock::after(now, by),
        }
    }
}

/// A day that counts from its first moment in India: `2026-02-17`.
pub fn first_day(text: &str) -> Result<Timestamp, String> {
    day_at(text, Time::midnight())
}

/// A day that counts as a whole: its last second in India, so that nobody finds it over on its morning.
pub fn last_day(text: &str) -> Result<Timestamp, String> {
    day_at(text, Time::constant(23, 59, 59, 0))
}

fn day_at(text: &str, time: Time) -> Result<Timestamp, String> {
    let is_date = text.len() == 10 && text.chars().all(|c| c.is_ascii_digit() || c == '-');
    let date: Option<Date> = if is_date { text.parse().ok() } else { None };
    let zoned = date.and_then(|date| date.to_datetime(time).to_zoned(indian_time()).ok());
    zoned.map(|zoned| zoned.timestamp()).ok_or_else(|| "write a day, such as 2027-12-31".to_owned())
}

/// `key=value`
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write key=value".to_owned()),
    }
}

/// A value of an enum of the API by its short name, in any case, dashes for underscores: `active`, `not-understood`.
pub fn named<T: TryFrom<i32> + Copy>(text: &str, prefix: &str, name: fn(&T) -> &'static str) -> Result<T, String> {
    let wanted = format!("{prefix}{}", text.to_ascii_uppercase().replace('-', "_"));
    // Enums of the API are dense and short; 0 is "not set", which nobody filters by.
    let all = (1..64).filter_map(|number| T::try_from(number).ok());
    all.clone().find(|value| name(value) == wanted).ok_or_else(|| {
        let names: Vec<String> = all.map(|value| name(&value).trim_start_matches(prefix).to_ascii_lowercase().replace('_', "-")).collect();
        format!("one of {} is needed", names.join(", "))
    })
}

pub fn qr_state(text: &str) -> Result<pb::QrState, String> {
    named(text, "QR_STATE_", pb::QrState::as_str_name)
}

pub fn payment_state(text: &str) -> Result<pb::PaymentState, String> {
    named(text, "PAYMENT_STATE_", pb::PaymentState::as_str_name)
}

pub fn refund_state(text: &str) -> Result<pb::RefundState, String> {
    named(text, "REFUND_STATE_", pb::RefundState::as_str_name)
}

pub fn mandate_state(text: &str) -> Result<pb::MandateState, String> {
    named(text, "MANDATE_STATE_", pb::MandateState::as_str_name)
}

pub fn frequency(text: &str) -> Result<pb::MandateFrequency, String> {
    named(text, "MANDATE_FREQUENCY_", pb::MandateFrequency::as_str_name)
}

pub fn debit_day_rule(text: &str) -> Result<pb::MandateDebitDayRule, String> {
    named(text, "MANDATE_DEBIT_DAY_RULE_", pb::MandateDebitDayRule::as_str_name)
}

pub fn debit_state(text: &str) -> Result<pb::DebitState, String> {
    named(text, "DEBIT_STATE_", pb::DebitState::as_str_name)
}

pub fn settlement_state(text: &str) -> Result<pb::SettlementState, String> {
    named(text, "SETTLEMENT_STATE_", pb::SettlementState::as_str_name)
}

pub fn entry_kind(text: &str) -> Result<pb::SettlementEntryKind, String> {
    named(text, "SETTLEMENT_ENTRY_KIND_", pb::SettlementEntryKind::as_str_name)
}

pub fn break_kind(text: &str) -> Result<pb::SettlementBreakKind, String> {
    named(text, "SETTLEMENT_BREAK_KIND_", pb::SettlementBreakKind::as_str_name)
}

pub fn doubt_kind(text: &str) -> Result<pb::DoubtKind, String> {
    named(text, "DOUBT_KIND_", pb::DoubtKind::as_str_name)
}

pub fn quarantine_reason(text: &str) -> Result<pb::QuarantineReason, String> {
    named(text, "QUARANTINE_REASON_", pb::QuarantineReason::as_str_name)
}

/// As the API writes times.
pub fn to_pb(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    // Before 1970 jiff counts nanoseconds down; the API counts them up from the second before.
    if nanos < 0 {
        prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds, nanos }
    }
}

/// `None` for what is no time between the years -9999 and 9999.
pub fn from_pb(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// For people: Indian time to the second.
pub fn shown(time: Timestamp) -> String {
    time.to_zoned(indian_time()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// For people: the day in India.
pub fn day_shown(time: Timestamp) -> String {
    time.to_zoned(indian_time()).date().to_string()
}

/// For people: the largest two units, `1h 30m`; parts of a second only below ten.
pub fn duration_shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown: Vec<String> =
        parts.iter().skip_while(|(number, _)| *number == 0).take(2).filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    match (shown.is_empty(), seconds < 10 && duration.subsec_millis() > 0) {
        (_, true) => format!("{}ms", duration.as_millis()),
        (true, false) => "0s".to_owned(),
        (false, false) => shown.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_their_unit() {
        let check = |text, ms| assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        check("500ms", 500);
        check("10s", 10_000);
        check("0s", 0);
        check("15m", 900_000);
        check("1h30m", 5_400_000);
        check("7d", 604_800_000);
        for text in ["", "10", "s", "10 s", "-5s", "1.5s", "10S", "10s!", "5y", "99999999999999999999s", "36526d", "१s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration_above_zero("0s").is_err());
    }

    #[test]
    fn times_without_an_offset_are_indian() {
        let check = |text, time: &str| assert_eq!(when(text), Ok(When::At(time.parse().unwrap())), "{text}");
        check("2026-02-17T10:00:00Z", "2026-02-17T10:00:00Z");
        check("2026-02-17T10:00:00+05:30", "2026-02-17T04:30:00Z");
        check("2026-02-17T10:00", "2026-02-17T04:30:00Z");
        check("2026-02-17 10:00:30", "2026-02-17T04:30:30Z");
        check("2026-02-17", "2026-02-16T18:30:00Z");
        assert_eq!(when("15m"), Ok(When::Away(Duration::from_secs(900))));
        for text in ["", "yesterday", "2026-02-30", "2026-02-17T", "17.02.2026", "20260217", "2026-02-17T25:00", "AUXSTIWO-token_0123456"] {
            assert!(when(text).is_err(), "{text}: {:?}", when(text));
        }
    }

    #[test]
    fn a_day_is_a_whole_one_in_india() {
        let (first, last) = (first_day("2027-12-31").unwrap(), last_day("2027-12-31").unwrap());
        assert_eq!([first, last].map(|time| time.to_string()), ["2027-12-30T18:30:00Z", "2027-12-31T18:29:59Z"]);
        assert_eq!([first, last].map(day_shown), ["2027-12-31", "2027-12-31"]);
        for text in ["", "2027-12-32", "2027-12-31T10:00", "31-12-2027", "5d", "2027-1-01"] {
            assert!(first_day(text).is_err() && last_day(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_counts_from_now() {
        let now: Timestamp = "2026-02-17T10:00:00Z".parse().unwrap();
        let away = When::Away(Duration::from_secs(60));
        assert_eq!(away.past(now).to_string(), "2026-02-17T09:59:00Z");
        assert_eq!(away.future(now).to_string(), "2026-02-17T10:01:00Z");
        assert_eq!(When::At(now).past(Timestamp::MAX), now);
    }

    #[test]
    fn times_are_shown_as_in_india() {
        assert_eq!(shown("2026-02-16T18:30:00.9Z".parse().unwrap()), "2026-02-17 00:00:00");
    }

    #[test]
    fn the_api_takes_times_and_gives_them_back() {
        for text in ["2026-02-17T10:00:00.123Z", "1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z"] {
            let time: Timestamp = text.parse().unwrap();
            let pb = to_pb(time);
            assert!((0..1_000_000_000).contains(&pb.nanos), "{text}: {pb:?}");
            assert_eq!(from_pb(&pb), Some(time));
        }
        assert_eq!(from_pb(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), None);
    }

    #[test]
    fn durations_show_two_units() {
        let check = |ms, shown: &str| assert_eq!(duration_shown(Duration::from_millis(ms)), shown);
        check(0, "0s");
        check(250, "250ms");
        check(15_000, "15s");
        check(15_500, "15s");
        check(5_400_000, "1h 30m");
        check(3_600_000, "1h");
        check(604_800_000, "7d");
        check(86_400_000 + 60_000, "1d");
    }

    #[test]
    fn states_are_named_as_people_write_them() {
        assert_eq!(qr_state("active"), Ok(pb::QrState::Active));
        assert_eq!(payment_state("SUCCEEDED"), Ok(pb::PaymentState::Succeeded));
        assert_eq!(refund_state("pending"), Ok(pb::RefundState::Pending));
        assert_eq!(mandate_state("awaiting-approval"), Ok(pb::MandateState::AwaitingApproval));
        assert_eq!(frequency("half-yearly"), Ok(pb::MandateFrequency::HalfYearly));
        assert_eq!(debit_day_rule("before"), Ok(pb::MandateDebitDayRule::Before));
        assert_eq!(debit_state("Notified"), Ok(pb::DebitState::Notified));
        assert_eq!(settlement_state("processed"), Ok(pb::SettlementState::Processed));
        assert_eq!(entry_kind("adjustment"), Ok(pb::SettlementEntryKind::Adjustment));
        assert_eq!(break_kind("succeeded-not-settled"), Ok(pb::SettlementBreakKind::SucceededNotSettled));
        assert_eq!(quarantine_reason("not-understood"), Ok(pb::QuarantineReason::NotUnderstood));
        assert_eq!(doubt_kind("reported_only"), Ok(pb::DoubtKind::ReportedOnly));
        assert_eq!(qr_state("paid").unwrap_err(), "one of requested, active, closed, failed is needed");
        assert!(qr_state("unspecified").is_err());
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(amount("499.50").unwrap().paise(), 49_950);
        assert!(amount("499.505").is_err());
        assert!(amount("0").is_err());
    }

    #[test]
    fn pairs_keep_all_behind_the_first_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(pair("a").is_err());
        assert!(pair("=b").is_err());
    }
}
