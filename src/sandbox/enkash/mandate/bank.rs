//! The rules of UPI that a payer's bank enforces on debits, where the switch says that it does: they apply as of the moment
//! when a debit was executed.

use jiff::civil::Date;

use super::{Mandate, MandateNoticeStatus, MandatePeriod};
use crate::sandbox::clock::{DAY_MS, in_ist};
use crate::sandbox::enkash::desk::Desk;
use crate::sandbox::enkash::transaction::Transaction;

/// Minutes of the day in India, the last of each left out.
const PEAK_MINUTES: [std::ops::Range<i32>; 2] = [10 * 60..13 * 60, 17 * 60..21 * 60 + 30];
const NOTICE_MS: i64 = DAY_MS;

impl Desk<'_> {
    /// Why the bank lets a debit fail; none where it has no reason to, or doesn't look.
    pub fn bank_refusal(&self, transaction: &str) -> Option<&'static str> {
        if !self.switches.mandates.bank_enforces_rules {
            return None;
        }
        let mandate = self.books.mandates.get(&self.mandate_debited(transaction)?)?;
        let debit = self.books.transactions.get(transaction)?;
        if debit.created_ms < mandate.starts_ms {
            Some("Mandate is not valid yet.")
        } else if is_peak(debit.created_ms) {
            Some("Mandates are not executed in peak hours.")
        } else if self.is_collected_this_cycle(mandate, debit) {
            Some("Mandate was debited in this cycle already.")
        } else if needs_notice(mandate) && !self.has_notice(mandate, debit) {
            Some("Payer was not notified of this debit in time.")
        } else {
            None
        }
    }

    fn is_collected_this_cycle(&self, mandate: &Mandate, debit: &Transaction) -> bool {
        let cycle_of = |at_ms| cycle(mandate.recurrence.period, in_ist(at_ms).date());
        cycle_of(debit.created_ms).is_some_and(|this| self.collected(mandate, debit).any(|other| cycle_of(other.created_ms) == Some(this)))
    }

    /// A notice is for one debit that succeeds.
    fn has_notice(&self, mandate: &Mandate, debit: &Transaction) -> bool {
        let used_ms = self.collected(mandate, debit).map(|other| other.created_ms).max().unwrap_or(i64::MIN);
        let notices = self.books.notices.newest_first();
        let mut delivered = notices
            .filter(|notice| notice.mandate_id == mandate.id && notice.amount == debit.amount)
            .filter(|notice| notice.status == MandateNoticeStatus::Delivered)
            .filter_map(|notice| notice.delivered_ms);
        delivered.any(|at_ms| at_ms > used_ms && at_ms.saturating_add(NOTICE_MS) <= debit.created_ms)
    }

    /// The mandate's other debits that succeeded.
    fn collected<'d>(&'d self, mandate: &'d Mandate, debit: &'d Transaction) -> impl Iterator<Item = &'d Transaction> {
        let others = mandate.debits.iter().filter(|other| **other != debit.id);
        others.filter_map(|other| self.books.transactions.get(other)).filter(|other| other.status.is_paid())
    }
}

fn is_peak(at_ms: i64) -> bool {
    let time = in_ist(at_ms).time();
    let minute = i32::from(time.hour()) * 60 + i32::from(time.minute());
    PEAK_MINUTES.iter().any(|peak| peak.contains(&minute))
}

/// Payers are not told of what they see every day, nor of money that is blocked already.
fn needs_notice(mandate: &Mandate) -> bool {
    mandate.recurrence.period != MandatePeriod::Daily && !mandate.block_fund
}

/// Which of a mandate's cycles a day is in, as a year and a number within it; none where any number of debits may be made.
fn cycle(period: MandatePeriod, date: Date) -> Option<(i16, i16)> {
    let (year, month) = (date.year(), i16::from(date.month()));
    Some(match period {
        MandatePeriod::OneTime => (0, 0),
        MandatePeriod::Daily => (year, date.day_of_year()),
        MandatePeriod::Weekly => (date.iso_week_date().year(), i16::from(date.iso_week_date().week())),
        MandatePeriod::Fortnightly => (year, month * 2 + i16::from(date.day() > 15)),
        MandatePeriod::Monthly => (year, month),
        MandatePeriod::Bimonthly => (year, (month - 1) / 2),
        MandatePeriod::Quarterly => (year, (month - 1) / 3),
        MandatePeriod::HalfYearly => (year, (month - 1) / 6),
        MandatePeriod::Yearly => (year, 0),
        MandatePeriod::AsPresented => return None,
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_cycle_is_one_of_the_calendars() {
        let same = |period, first, second| cycle(period, first) == cycle(period, second) && cycle(period, first).is_some();
        let (first, last, next) = (date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 1));
        assert!(!same(MandatePeriod::Daily, first, last) && same(MandatePeriod::Daily, last, last));
        assert!(!same(MandatePeriod::Monthly, first, last) && same(MandatePeriod::Monthly, date(2026, 2, 1), last));
        assert!(same(MandatePeriod::Bimonthly, first, last) && !same(MandatePeriod::Bimonthly, last, next));
        assert!(same(MandatePeriod::Quarterly, first, next) && !same(MandatePeriod::Quarterly, next, date(2026, 4, 1)));
        assert!(same(MandatePeriod::HalfYearly, first, date(2026, 6, 30)) && !same(MandatePeriod::HalfYearly, first, date(2026, 7, 1)));
        assert!(same(MandatePeriod::Yearly, first, date(2026, 12, 31)) && !same(MandatePeriod::Yearly, first, date(2027, 1, 31)));
        assert!(same(MandatePeriod::Fortnightly, date(2026, 2, 16), last) && !same(MandatePeriod::Fortnightly, date(2026, 2, 15), last));
        // From a Monday to a Sunday, over the end of a year.
        assert!(same(MandatePeriod::Weekly, date(2026, 12, 28), date(2027, 1, 3)));
        assert!(!same(MandatePeriod::Weekly, date(2027, 1, 3), date(2027, 1, 4)));
        assert!(same(MandatePeriod::OneTime, first, date(2030, 1, 1)) && !same(MandatePeriod::AsPresented, first, first));
    }

    #[test]
    fn peak_hours_are_indian_ones() {
        let peak = |time: &str| is_peak(format!("2026-01-05T{time}+05:30").parse::<jiff::Timestamp>().unwrap().as_millisecond());
        assert!(peak("10:00:00") && peak("12:59:59") && peak("17:00:00") && peak("21:29:59"));
        assert!(!peak("09:59:59") && !peak("13:00:00") && !peak("16:59:59") && !peak("21:30:00") && !peak("00:00:00"));
    }
}
