//! The rules of UPI Autopay as data. They change by circular several times a year, so each set of them has the day from
//! which it holds. What follows from them for one debit is worked out elsewhere.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};

use crate::domain::money::Money;
use crate::domain::working_days::day_in_india;

/// The rules as they hold from a day on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The first day on which they hold, in India.
    pub valid_from: Date,
    /// So long before a debit its notice must have been delivered to the payer, in hours.
    pub notice_lead_h: u32,
    /// So long after its delivery a notice is too old for a debit, in hours.
    pub notice_age_max_h: u32,
    /// Whether daily mandates need no notice.
    pub notice_exempt_daily: bool,
    /// Whether one-time mandates need none whose amount is blocked at the payer's bank.
    pub notice_exempt_blocked: bool,
    /// Attempts to execute one debit, the first one included.
    pub attempts_max: u32,
    /// Whether a cycle has one debit that succeeds, and no more.
    pub one_success_per_cycle: bool,
    /// When nothing is executed, in India: by their beginnings, and none overlaps another.
    pub peak_hours: Vec<PeakHours>,
    /// The greatest debit that the payer needs no PIN for (AFA, an additional factor of authentication).
    #[serde(rename = "afa_limit_paise")]
    pub afa_limit: Money,
    /// The same for the categories that are listed in `afa_raised_mccs`.
    #[serde(rename = "afa_limit_raised_paise")]
    pub afa_limit_raised: Money,
    pub afa_raised_mccs: Vec<String>,
    /// The longest life of a mandate, in years.
    pub validity_max_years: u32,
}

/// A part of each day, `10:00-13:00`: its first minute belongs to it, its last is the one before the end. The end may be
/// `24:00`; what goes on past midnight is two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeakHours {
    /// Minutes after midnight, `start < end <= DAY_MINUTES`.
    start: u16,
    end: u16,
}

/// Why a text is no part of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeakHoursError {
    #[error("must be HH:MM-HH:MM, from 00:00 to 24:00")]
    Form,
    #[error("must end after it begins; what goes on past midnight is two parts")]
    Order,
}

/// Sets of rules by the days from which they hold: at least one, and each fit for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTable(Vec<Rules>);

/// All that is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTableError(pub Vec<RuleFault>);

/// One thing wrong with a table. The reason reads on from the field (`attempts_max` must be 1 to 10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// Which set of rules, from 0. `None`: the table as a whole.
    pub entry: Option<usize>,
    pub field: &'static str,
    pub reason: String,
}

pub const DAY_MINUTES: u16 = 24 * 60;

/// A change of rules every month for some years. More than that is no table of circulars.
const ENTRIES_MAX: usize = 64;

/// More parts than hours make no sense.
pub const PEAK_HOURS_MAX: usize = 24;

/// There are fewer than a thousand categories.
const MCCS_MAX: usize = 1_000;

/// A notice that is a month old reminds nobody of anything.
const NOTICE_AGE_MAX_H: u32 = 31 * 24;

/// The most that any rule of UPI ever allowed, an older one [upi.md 8.3].
const ATTEMPTS_MAX: u32 = 10;

/// The longest that is known is 30; this is there to stop nonsense.
const VALIDITY_MAX_YEARS: u32 = 100;

impl Rules {
    /// The part of peak hours that a minute of the day lies in.
    pub fn peak_at(&self, minute: u16) -> Option<PeakHours> {
        self.peak_hours.iter().copied().find(|peak| peak.start <= minute && minute < peak.end)
    }

    /// Above this the payer must enter the PIN for a debit. `mcc`: the merchant's category, where it is known.
    pub fn afa_limit_of(&self, mcc: Option<&str>) -> Money {
        let raised = mcc.is_some_and(|mcc| self.afa_raised_mccs.iter().any(|listed| listed == mcc));
        if raised { self.afa_limit_raised } else { self.afa_limit }
    }

    /// What is wrong with this set by itself, as fields and reasons.
    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut check = |fits: bool, field: &'static str, reason: &str| {
            if !fits {
                faults.push((field, reason.to_owned()));
            }
        };
        check(self.notice_lead_h < self.notice_age_max_h, "notice_lead_h", "must be below `notice_age_max_h`, or no notice is ever of use");
        check(self.notice_age_max_h <= NOTICE_AGE_MAX_H, "notice_age_max_h", &format!("must be at most {NOTICE_AGE_MAX_H}"));
        check((1..=ATTEMPTS_MAX).contains(&self.attempts_max), "attempts_max", &format!("must be 1 to {ATTEMPTS_MAX}"));
        check(self.peak_hours.len() <= PEAK_HOURS_MAX, "peak_hours", &format!("must be at most {PEAK_HOURS_MAX}"));
        for pair in self.peak_hours.windows(2) {
            let [before, after] = [pair[0], pair[1]];
            check(before.end <= after.start, "peak_hours", &format!("must follow each other without overlap: {before}, then {after}"));
        }
        let peak_minutes: u32 = self.peak_hours.iter().map(|peak| u32::from(peak.end - peak.start)).sum();
        check(peak_minutes < u32::from(DAY_MINUTES), "peak_hours", "must leave some time of the day");
        check(self.afa_limit > Money::ZERO, "afa_limit_paise", "must be above zero");
        check(self.afa_limit <= self.afa_limit_raised, "afa_limit_raised_paise", "must not be below `afa_limit_paise`");
        check(self.afa_raised_mccs.len() <= MCCS_MAX, "afa_raised_mccs", &format!("must be at most {MCCS_MAX}"));
        let are_mccs = self.afa_raised_mccs.iter().all(|mcc| mcc.len() == 4 && mcc.bytes().all(|b| b.is_ascii_digit()));
        check(are_mccs, "afa_raised_mccs", "must be category codes of four digits");
        let distinct: BTreeSet<_> = self.afa_raised_mccs.iter().collect();
        check(distinct.len() == self.afa_raised_mccs.len(), "afa_raised_mccs", "must have each code once");
        let years_fit = (1..=VALIDITY_MAX_YEARS).contains(&self.validity_max_years);
        check(years_fit, "validity_max_years", &format!("must be 1 to {VALIDITY_MAX_YEARS}"));
        faults
    }
}

impl PeakHours {
    /// `start` and `end` in minutes after midnight.
    pub const fn new(start: u16, end: u16) -> Result<PeakHours, PeakHoursError> {
        if end > DAY_MINUTES {
            return Err(PeakHoursError::Form);
        }
        if end <= start {
            return Err(PeakHoursError::Order);
        }
        Ok(PeakHours { start, end })
    }

    pub fn parse(text: &str) -> Result<PeakHours, PeakHoursError> {
        let (start, end) = text.split_once('-').ok_or(PeakHoursError::Form)?;
        let (start, end) = minute(start).zip(minute(end)).ok_or(PeakHoursError::Form)?;
        PeakHours::new(start, end)
    }

    /// The first minute after midnight that belongs to it.
    pub const fn start(self) -> u16 {
        self.start
    }

    /// The first minute after midnight that doesn't belong to it any more; 1440 is midnight.
    pub const fn end(self) -> u16 {
        self.end
    }
}

/// `10:00` is 600.
fn minute(text: &str) -> Option<u16> {
    let two_digits = |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok())?;
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = two_digits(hours).zip(two_digits(minutes))?;
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY_MINUTES).then_some(minute)
}

impl fmt::Display for PeakHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PeakHours { start, end } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

impl TryFrom<String> for PeakHours {
    type Error = PeakHoursError;

    fn try_from(text: String) -> Result<PeakHours, PeakHoursError> {
        PeakHours::parse(&text)
    }
}

impl From<PeakHours> for String {
    fn from(peak: PeakHours) -> String {
        peak.to_string()
    }
}

impl RuleTable {
    /// The table, or all of its faults.
    pub fn new(entries: Vec<Rules>) -> Result<RuleTable, RuleTableError> {
        let mut faults = Vec::new();
        if entries.is_empty() || entries.len() > ENTRIES_MAX {
            let reason = format!("must be 1 to {ENTRIES_MAX} sets of rules");
            faults.push(RuleFault { entry: None, field: "rules", reason });
        }
        for (entry, rules) in entries.iter().enumerate().take(ENTRIES_MAX) {
            let own = rules.faults().into_iter().map(|(field, reason)| RuleFault { entry: Some(entry), field, reason });
            faults.extend(own);
            if let Some(before) = entry.checked_sub(1).and_then(|before| entries.get(before))
                && rules.valid_from <= before.valid_from
            {
                let reason = format!("must be after the one before it: {}, then {}", before.valid_from, rules.valid_from);
                faults.push(RuleFault { entry: Some(entry), field: "valid_from", reason });
            }
        }
        if faults.is_empty() { Ok(RuleTable(entries)) } else { Err(RuleTableError(faults)) }
    }

    /// The rules as far as they are known to us, each with where it is said [upi.md 8, 9]. Where two sources differ, what
    /// permits less.
    pub fn standard() -> RuleTable {
        let windows = Rules {
            // NPCI's circular of 21 May 2025: in force on 1 August 2025 by the press. One aggregator's page says after
            // 31 July 2026; the earlier day permits less [8.3].
            valid_from: date(2025, 8, 1),
            // RBI's e-mandate framework, 2026: at least 24 hours before [8.2].
            notice_lead_h: 24,
            // A PSP: sent between 48 and 24 hours before, or the payer's side may fail the debit. Another PSP wants 48 to
            // 72 hours, which is that provider's own affair [8.2].
            notice_age_max_h: 48,
            // The first of these two PSPs [8.2].
            notice_exempt_daily: true,
            // The second one, of one-time mandates with a block [9].
            notice_exempt_blocked: true,
            // The same circular of NPCI: one attempt and three more [8.3].
            attempts_max: 4,
            // An aggregator: one successful debit in a billing cycle [8.3].
            one_success_per_cycle: true,
            // The same. One report lets the second part begin at 17:30; 17:00 permits less [8.3].
            peak_hours: vec![PeakHours { start: 10 * 60, end: 13 * 60 }, PeakHours { start: 17 * 60, end: 21 * 60 + 30 }],
            // RBI's framework: 15,000 rupees without AFA [8.1].
            afa_limit: Money::from_paise(15_000 * 100),
            // RBI's circular of December 2023: one lakh for mutual funds, insurance and credit card bills. An aggregator
            // words it otherwise ("lending and investment"). These are codes of funds and insurance; fewer ask for the
            // PIN more often, and no more [8.1].
            afa_limit_raised: Money::from_paise(100_000 * 100),
            afa_raised_mccs: ["6211", "6300", "5960"].map(str::to_owned).into(),
            // An aggregator's greatest [8.1].
            validity_max_years: 30,
        };
        // For what lies before: only replays and tests ask. Nobody spoke of peak hours then, nor of a raised limit at
        // first. A PSP's older rule had ten attempts; four permit less [8.3].
        let before = Rules {
            valid_from: date(2020, 1, 1),
            peak_hours: Vec::new(),
            afa_limit_raised: windows.afa_limit,
            afa_raised_mccs: Vec::new(),
            ..windows.clone()
        };
        RuleTable(vec![before, windows])
    }

    /// The rules that hold at `time`. Before the first day of the table it is its first ones.
    pub fn at(&self, time: Timestamp) -> &Rules {
        self.on(day_in_india(time))
    }

    /// The rules that hold on a day in India, all day long.
    pub fn on(&self, day: Date) -> &Rules {
        let begun = self.0.partition_point(|rules| rules.valid_from <= day);
        // There is at least one.
        &self.0[begun.saturating_sub(1)]
    }

    pub fn entries(&self) -> &[Rules] {
        &self.0
    }
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RuleFault { entry, field, reason } = self;
        match entry {
            Some(entry) => write!(f, "entry {}: `{field}` {reason}", entry + 1),
            None => write!(f, "`{field}` {reason}"),
        }
    }
}

impl fmt::Display for RuleTableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            let joint = if at == 0 { "" } else { "; " };
            write!(f, "{joint}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleTableError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The newest of the standard rules, changed.
    fn rules(change: impl FnOnce(&mut Rules)) -> Rules {
        let mut rules = RuleTable::standard().0.pop().unwrap();
        change(&mut rules);
        rules
    }

    fn peak(text: &str) -> PeakHours {
        PeakHours::parse(text).unwrap()
    }

    #[test]
    fn the_standard_table_is_fit_for_use() {
        let table = RuleTable::standard();
        assert_eq!(RuleTable::new(table.entries().to_vec()), Ok(table));
    }

    #[test]
    fn rules_hold_from_indian_midnight_of_their_day() {
        let table = RuleTable::standard();
        let check = |time: &str, from: Date| assert_eq!(table.at(time.parse().unwrap()).valid_from, from, "{time}");
        check("1947-08-15T00:00:00Z", date(2020, 1, 1));
        check("2025-07-31T18:29:59.999999999Z", date(2020, 1, 1));
        check("2025-07-31T18:30:00Z", date(2025, 8, 1));
        check("2099-01-01T00:00:00Z", date(2025, 8, 1));
        assert_eq!(table.at(Timestamp::MIN).valid_from, date(2020, 1, 1));
        assert_eq!(table.at(Timestamp::MAX).valid_from, date(2025, 8, 1));
    }

    #[test]
    fn what_no_debit_could_live_by_is_refused() {
        let check = |entries: Vec<Rules>, said: &str| {
            assert_eq!(RuleTable::new(entries).map_err(|error| error.to_string()), Err(said.to_owned()));
        };
        let one = |change: fn(&mut Rules)| vec![rules(change)];
        check(vec![], "`rules` must be 1 to 64 sets of rules");
        let dates = (0..65).map(|year| rules(|rules| rules.valid_from = date(2000 + year, 1, 1))).collect();
        check(dates, "`rules` must be 1 to 64 sets of rules");
        let same_day = "entry 2: `valid_from` must be after the one before it: 2025-08-01, then 2025-08-01";
        check(vec![rules(|_| {}), rules(|_| {})], same_day);
        let backwards = "entry 2: `valid_from` must be after the one before it: 2025-08-01, then 2025-07-31";
        check(vec![rules(|_| {}), rules(|rules| rules.valid_from = date(2025, 7, 31))], backwards);
        check(
            one(|rules| rules.notice_lead_h = 48),
            "entry 1: `notice_lead_h` must be below `notice_age_max_h`, or no notice is ever of use",
        );
        check(one(|rules| rules.notice_age_max_h = 745), "entry 1: `notice_age_max_h` must be at most 744");
        check(one(|rules| rules.attempts_max = 0), "entry 1: `attempts_max` must be 1 to 10");
        check(one(|rules| rules.attempts_max = 11), "entry 1: `attempts_max` must be 1 to 10");
        check(
            one(|rules| rules.peak_hours = vec![peak("10:00-13:00"), peak("12:59-14:00")]),
            "entry 1: `peak_hours` must follow each other without overlap: 10:00-13:00, then 12:59-14:00",
        );
        check(
            one(|rules| rules.peak_hours = vec![peak("17:00-21:30"), peak("10:00-13:00")]),
            "entry 1: `peak_hours` must follow each other without overlap: 17:00-21:30, then 10:00-13:00",
        );
        let all_day = "entry 1: `peak_hours` must leave some time of the day";
        check(one(|rules| rules.peak_hours = vec![peak("00:00-24:00")]), all_day);
        check(one(|rules| rules.peak_hours = vec![peak("00:00-13:00"), peak("13:00-24:00")]), all_day);
        let half_hours = |rules: &mut Rules| rules.peak_hours = (0..25).map(|at| PeakHours::new(at * 30, at * 30 + 1).unwrap()).collect();
        check(one(half_hours), "entry 1: `peak_hours` must be at most 24");
        check(one(|rules| rules.afa_limit = Money::ZERO), "entry 1: `afa_limit_paise` must be above zero");
        check(
            one(|rules| rules.afa_limit_raised = Money::from_paise(1_499_999)),
            "entry 1: `afa_limit_raised_paise` must not be below `afa_limit_paise`",
        );
        for code in ["621", "62111", "621x", "٦٢"] {
            let entry = rules(|rules| rules.afa_raised_mccs.push(code.to_owned()));
            check(vec![entry], "entry 1: `afa_raised_mccs` must be category codes of four digits");
        }
        check(one(|rules| rules.afa_raised_mccs.push("6211".to_owned())), "entry 1: `afa_raised_mccs` must have each code once");
        check(one(|rules| rules.validity_max_years = 0), "entry 1: `validity_max_years` must be 1 to 100");
        check(one(|rules| rules.validity_max_years = 101), "entry 1: `validity_max_years` must be 1 to 100");
        let two = rules(|rules| (rules.attempts_max, rules.validity_max_years) = (0, 0));
        check(vec![two], "entry 1: `attempts_max` must be 1 to 10; entry 1: `validity_max_years` must be 1 to 100");
    }

    #[test]
    fn they_are_read_from_a_configuration() {
        let text = r#"
            valid_from = "2025-08-01"
            notice_lead_h = 24
            notice_age_max_h = 48
            notice_exempt_daily = true
            notice_exempt_blocked = true
            attempts_max = 4
            one_success_per_cycle = true
            peak_hours = ["10:00-13:00", "17:00-21:30"]
            afa_limit_paise = 1500000
            afa_limit_raised_paise = 10000000
            afa_raised_mccs = ["6211", "6300", "5960"]
            validity_max_years = 30
        "#;
        let read: Rules = toml::from_str(text).unwrap();
        assert_eq!(read, rules(|_| {}));
        assert_eq!(toml::from_str::<Rules>(&toml::to_string(&read).unwrap()).unwrap(), read);
        let unknown = toml::from_str::<Rules>(&format!("{text}\npeak = []")).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `peak`"), "{unknown}");
        let nonsense = toml::from_str::<Rules>(&text.replace("21:30", "16:30")).unwrap_err().to_string();
        assert!(nonsense.contains("must end after it begins"), "{nonsense}");
    }

    #[test]
    fn peak_hours_are_read_strictly() {
        let check = |text: &str, read: Result<(u16, u16), PeakHoursError>| {
            assert_eq!(PeakHours::parse(text).map(|peak| (peak.start(), peak.end())), read, "{text}");
        };
        check("10:00-13:00", Ok((600, 780)));
        check("00:00-24:00", Ok((0, 1_440)));
        check("23:59-24:00", Ok((1_439, 1_440)));
        check("13:00-13:00", Err(PeakHoursError::Order));
        check("22:00-06:00", Err(PeakHoursError::Order));
        for text in
            ["", "-", "10:00", "10-13", "10:00-24:01", "10:60-13:00", "1:00-02:00", "10:00 - 13:00", "+1:00-02:00", "10:00-13:00-14:00"]
        {
            check(text, Err(PeakHoursError::Form));
        }
        assert_eq!(PeakHours::new(0, 1_441), Err(PeakHoursError::Form));
    }

    #[test]
    fn a_peak_has_its_first_minute_and_not_its_end() {
        let rules = rules(|_| {});
        let check = |minute, text: Option<&str>| assert_eq!(rules.peak_at(minute), text.map(peak), "{minute}");
        check(0, None);
        check(599, None);
        check(600, Some("10:00-13:00"));
        check(779, Some("10:00-13:00"));
        check(780, None);
        check(1_020, Some("17:00-21:30"));
        check(1_290, None);
    }

    #[test]
    fn the_limit_without_a_pin_is_the_categorys() {
        let rules = rules(|_| {});
        let check = |mcc, shown: &str| assert_eq!(rules.afa_limit_of(mcc).display(), shown, "{mcc:?}");
        check(None, "₹15,000.00");
        check(Some("5411"), "₹15,000.00");
        check(Some("6211"), "₹1,00,000.00");
        check(Some("5960"), "₹1,00,000.00");
    }

    proptest! {
        #[test]
        fn peak_hours_that_are_written_are_read_back(start in 0..DAY_MINUTES, length in 1..=DAY_MINUTES) {
            let peak = PeakHours::new(start, (start + length).min(DAY_MINUTES)).unwrap();
            prop_assert_eq!(PeakHours::parse(&peak.to_string()), Ok(peak));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*|[0-9:-]{0,14}") {
            let _ = PeakHours::parse(&text);
        }
    }
}
