//! When something follows for a debit: the rules of UPI, as they are configured for that time, over its mandate's terms, its
//! notices and its attempts. Pure but for the engine's settings.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;
use crate::domain::debit::{Attempt, Debit, FailureMeaning, NOTICES_MAX, Next, Notice};
use crate::domain::fact::FailureReason;
use crate::domain::mandate::{Mandate, MandateOrder};
use crate::domain::upi::Pattern;
use crate::domain::upi::cycle::{Cycle, Validity, cycle_named};
use crate::domain::upi::permitted::{Terms, first_permitted, first_permitted_in, forbidden_now, last_permitted_end};
use crate::domain::upi::rules::{RuleTable, Rules};
use crate::domain::working_days::{begin_of_day, day_in_india};

/// What the configuration says about debits.
#[derive(Clone, Debug)]
pub struct MandateSettings {
    pub rules: RuleTable,
    /// The pause between an attempt that failed and the next one that this service makes by itself.
    pub retry_after: Duration,
    /// How long a notice may take to be delivered: what is planned allows for it.
    pub notice_delivery: Duration,
}

/// The provider's clock may be so much apart from ours, and tells whole seconds: nothing is executed this soon after a time
/// from which on it is permitted, or before one from which on it is not.
const CLOCKS_APART: Duration = Duration::from_secs(30);
/// The pause before an attempt that never reached the provider is made again.
const UNSENT_PAUSE: Duration = Duration::from_secs(60);

/// More stretches than hours make no day.
const STRETCHES_MAX: u32 = 48;

/// When something follows for debits of one mandate.
pub(in crate::engine) struct Planner<'a> {
    pub settings: &'a MandateSettings,
    pub mandate: &'a Mandate,
    /// For how long the provider may change its mind about an attempt that failed.
    pub late_window: Duration,
    /// Whether every debit needs a notice at this provider.
    pub notice_always: bool,
}

/// What a new debit is counted in.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Planned {
    pub needs_notice: bool,
    /// When the notice is to be sent: now, or where it would be too old by the time of the debit, later.
    pub notice_time: Timestamp,
    /// The first time at which it may be executed, as far as can be told.
    pub permitted: Timestamp,
    pub cycle: String,
    pub takes_cycle: bool,
}

/// What forbids something: the rule, and when it no longer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Forbidden {
    pub rule: &'static str,
    pub next_permitted_time: Option<Timestamp>,
}

/// The days of a mandate's life.
pub(in crate::engine) fn validity_of(order: &MandateOrder) -> Validity {
    Validity::of(order.valid_from, order.valid_until)
}

impl Planner<'_> {
    fn rules(&self, at: Timestamp) -> &Rules {
        self.settings.rules.at(at)
    }

    fn validity(&self) -> Validity {
        validity_of(&self.mandate.order)
    }

    fn pattern(&self) -> Pattern {
        self.mandate.order.pattern
    }

    fn terms<'v>(&self, validity: &'v Validity) -> Terms<'v> {
        Terms { pattern: self.pattern(), day: self.mandate.order.day, validity }
    }

    fn notice_lead(&self, at: Timestamp) -> Duration {
        Duration::from_hours(u64::from(self.rules(at).notice_lead_h))
    }

    /// From asking for a notice until the debit: its delivery, and the rule's lead after that.
    fn notice_and_lead(&self, at: Timestamp) -> Duration {
        self.settings.notice_delivery + self.notice_lead(at)
    }

    /// When a notice that was delivered at `delivered` is too old. `told`: when the provider says so.
    pub fn notice_expires(&self, delivered: Timestamp, told: Option<Timestamp>) -> Timestamp {
        let by_rule = after(delivered, Duration::from_hours(u64::from(self.rules(delivered).notice_age_max_h)));
        told.map_or(by_rule, |told| told.min(by_rule))
    }

    /// Whether the payer has to be notified of a debit that is asked for at `now`.
    pub fn needs_notice(&self, now: Timestamp) -> bool {
        let rules = self.rules(now);
        let order = &self.mandate.order;
        let exempt = (order.pattern == Pattern::Daily && rules.notice_exempt_daily)
            || (order.pattern == Pattern::OneTime && order.block_funds && rules.notice_exempt_blocked);
        self.notice_always || !exempt
    }

    /// What a new debit is counted in, or what forbids it.
    pub fn plan(&self, execute_after: Option<Timestamp>, now: Timestamp) -> Result<Planned, Forbidden> {
        let validity = self.validity();
        let terms = self.terms(&validity);
        let needs_notice = self.needs_notice(now);
        let lead = if needs_notice { self.notice_and_lead(now) } else { Duration::ZERO };
        let earliest = execute_after.unwrap_or(now).max(after(now, lead));
        let over = Forbidden { rule: "mandate_validity", next_permitted_time: None };
        let permitted = first_permitted(&self.settings.rules, &terms, earliest).ok_or(over)?;
        let takes_cycle = self.pattern() != Pattern::AsPresented && self.rules(permitted.at).one_success_per_cycle;
        let cycle = permitted.cycle.name.clone();
        if takes_cycle && self.mandate.taker_of(&cycle).is_some() {
            let next_permitted_time = self.free_cycle_after(&permitted.cycle, lead, now);
            return Err(Forbidden { rule: "once_per_cycle", next_permitted_time });
        }
        let too_old_by_then = after(now, Duration::from_hours(u64::from(self.rules(now).notice_age_max_h))) < permitted.at;
        let notice_time = if too_old_by_then { before(permitted.at, lead) } else { now };
        Ok(Planned { needs_notice, notice_time, permitted: permitted.at, cycle, takes_cycle })
    }

    /// The time from which on a debit would be counted in a cycle that none is counted in yet.
    fn free_cycle_after(&self, taken: &Cycle, lead: Duration, now: Timestamp) -> Option<Timestamp> {
        let validity = self.validity();
        let terms = self.terms(&validity);
        let mut cycle = taken.clone();
        // Each round passes one of the cycles that are taken.
        for _ in 0..=self.mandate.taken.len() {
            let end = last_permitted_end(&self.settings.rules, &terms, &cycle)?;
            let permitted = first_permitted(&self.settings.rules, &terms, end)?;
            if self.mandate.taker_of(&permitted.cycle.name).is_none() {
                return Some(before(end, lead).max(now));
            }
            cycle = permitted.cycle;
        }
        None
    }

    fn cycle_of(&self, debit: &Debit, validity: &Validity) -> Option<Cycle> {
        cycle_named(self.pattern(), &debit.cycle, validity)
    }

    /// What follows for a debit of which no attempt is under way. `retry_after`: the least pause after an attempt that failed.
    pub fn next(&self, debit: &Debit, retry_after: Duration, now: Timestamp) -> Next {
        let validity = self.validity();
        let terms = self.terms(&validity);
        let last = debit.attempts.last();
        // Until then the last attempt may still succeed.
        let late_until = last.and_then(|attempt| self.late_until(attempt)).filter(|until| *until > now);
        let over = |next: Next| late_until.map_or(next, |until| Next::Wait { until });
        if debit.attempts_made() >= usize::try_from(self.rules(now).attempts_max).unwrap_or(usize::MAX) {
            return over(Next::AttemptsExhausted);
        }
        let not_before = [debit.order.execute_after, late_until, last.map(|attempt| pause_after(attempt, retry_after))];
        let base = not_before.into_iter().flatten().fold(now, Timestamp::max);
        let Some(cycle) = self.cycle_of(debit, &validity) else { return over(Next::WindowMissed) };
        let permitted_in = |earliest| self.permitted_in(&terms, &cycle, earliest);
        if !debit.needs_notice {
            return permitted_in(base).map_or(over(Next::WindowMissed), |at| Next::At { permitted: at, step: at });
        }
        if let Some((notice, delivered)) = debit.delivered_notice() {
            let expires = notice.expires.unwrap_or_else(|| self.notice_expires(delivered, None));
            // Nor on a day before the one that the payer was told of.
            let told = after(delivered, self.notice_lead(delivered) + CLOCKS_APART).max(told_day(notice));
            let permitted = permitted_in(base.max(told));
            match permitted {
                Some(at) if at <= expires => return Next::At { permitted: at, step: at },
                None => return over(Next::WindowMissed),
                Some(_) => {}
            }
        }
        // It takes another notice, in time for the first time at which that lets it be executed.
        if debit.notices.len() >= NOTICES_MAX {
            return over(Next::WindowMissed);
        }
        let lead = self.notice_and_lead(now);
        match permitted_in(base.max(after(now, lead))) {
            Some(at) => Next::At { permitted: at, step: before(at, lead).max(now) },
            None => over(Next::WindowMissed),
        }
    }

    /// The first permitted time of the cycle from `earliest` on, away from the ends of what is permitted.
    fn permitted_in(&self, terms: &Terms<'_>, cycle: &Cycle, earliest: Timestamp) -> Option<Timestamp> {
        let first = |from| first_permitted_in(&self.settings.rules, terms, cycle, from);
        let mut at = first(earliest)?;
        // Each round passes one stretch that is about to end, of which a day has few.
        for _ in 0..STRETCHES_MAX {
            // Where it was not permitted a moment ago, it is from here on.
            let begun = first(before(at, CLOCKS_APART))?;
            if begun > before(at, CLOCKS_APART) {
                at = at.max(after(begun, CLOCKS_APART));
            }
            let still = after(at, CLOCKS_APART);
            match first(still)? {
                next if next == still => return Some(at),
                next => at = next,
            }
        }
        None
    }

    /// Until when an attempt that failed may still succeed; `None`: it can't.
    fn late_until(&self, attempt: &Attempt) -> Option<Timestamp> {
        let failed = attempt.failure.as_ref()?;
        (failed.meaning == FailureMeaning::MayComeLate).then(|| after(attempt.end.unwrap_or(attempt.start), self.late_window))
    }

    /// Which rule forbids executing a debit now, and when none does any more; `None`: none does. Whoever asks for it by
    /// hand waits for no pause of ours.
    pub fn forbidden(&self, debit: &Debit, now: Timestamp) -> Option<Forbidden> {
        let forbidden = |rule, next_permitted_time| Some(Forbidden { rule, next_permitted_time });
        let permitted = match self.next(debit, Duration::ZERO, now) {
            Next::At { permitted, .. } if permitted <= now => return None,
            Next::At { permitted, .. } => permitted,
            Next::Wait { until } => return forbidden("late_window", Some(until)),
            Next::AttemptsExhausted => return forbidden("attempt_limit", None),
            Next::WindowMissed => return forbidden("cycle_over", None),
        };
        let late = debit.attempts.last().and_then(|attempt| self.late_until(attempt)).is_some_and(|until| until > now);
        let told = debit.delivered_notice().is_some_and(|(notice, delivered)| {
            let expires = notice.expires.unwrap_or_else(|| self.notice_expires(delivered, None));
            now >= after(delivered, self.notice_lead(delivered) + CLOCKS_APART) && now <= expires
        });
        let validity = self.validity();
        let terms = self.terms(&validity);
        // What begins or ends in a moment counts as well.
        let moments = [now, before(now, CLOCKS_APART), after(now, CLOCKS_APART)];
        let of_the_day = self
            .cycle_of(debit, &validity)
            .and_then(|cycle| moments.into_iter().find_map(|moment| forbidden_now(&self.settings.rules, &terms, &cycle, moment)));
        let rule = if late {
            "late_window"
        } else if debit.needs_notice && !told {
            "pre_debit_notice"
        } else if debit.order.execute_after.is_some_and(|time| time > now) {
            "execute_after"
        } else if let Some(rule) = of_the_day {
            rule
        } else if debit.delivered_notice().is_some_and(|(notice, _)| now < told_day(notice)) {
            "pre_debit_notice"
        } else {
            "peak_hours"
        };
        forbidden(rule, Some(permitted))
    }

    /// Whether the newest notice, should it be delivered now, would still be of use.
    pub fn notice_is_of_use(&self, debit: &Debit, now: Timestamp) -> bool {
        let validity = self.validity();
        let terms = self.terms(&validity);
        let Some(cycle) = self.cycle_of(debit, &validity) else { return false };
        first_permitted_in(&self.settings.rules, &terms, &cycle, after(now, self.notice_lead(now))).is_some()
    }
}

/// When the day of the debit begins that a notice tells of.
fn told_day(notice: &Notice) -> Timestamp {
    begin_of_day(day_in_india(notice.debit_time))
}

/// When the next attempt after `attempt` may be made by this service itself.
fn pause_after(attempt: &Attempt, retry_after: Duration) -> Timestamp {
    let ended = attempt.end.unwrap_or(attempt.start);
    let never_sent = attempt.failure.as_ref().is_some_and(|failed| failed.failure.reason == FailureReason::NotSent);
    after(ended, if never_sent { UNSENT_PAUSE.min(retry_after) } else { retry_after })
}

fn before(time: Timestamp, by: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by).ok().and_then(|by| time.checked_sub(by).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}
