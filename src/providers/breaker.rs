//! When an account's calls are held back because its provider plainly doesn't work: what it would not answer is not sent,
//! so that nothing gets into doubt that need not. Pure: it is told the time, makes no call, and changes no call's outcome.
//! It decides before a call is sent, and only then: an outcome that is not known stays so.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// The most calls that are remembered. What was before them says little about now.
pub const REMEMBERED_MAX: usize = 100;
/// When the next one is let through is not known while trials are under way: this long is to be waited.
const TRIAL_PAUSE: Duration = Duration::from_secs(1);

/// When a breaker opens, and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures are needed at the least, at most [`REMEMBERED_MAX`].
    pub failures: usize,
    /// And so many of a hundred calls.
    pub failure_percent: usize,
    /// How long a call counts.
    pub window: Duration,
    /// How long nothing is sent, before the first trial.
    pub open_for: Duration,
    /// Trials at the same time, and how many have to succeed.
    pub trials: usize,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It asks, and moves nothing.
    Ask,
    /// It may move money.
    Act,
}

/// What a call told of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It answers, if only by a refusal.
    Works,
    /// No connection, no answer in time, or an error of its own.
    Fails,
    /// Nothing: it asked to wait, or nobody waited for its answer.
    Nothing,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls are made.
    Closed,
    /// None is made.
    Open {
        /// Until the first one is.
        retry_after: Duration,
    },
    /// A few are, to see whether the provider works again.
    HalfOpen,
}

/// The right to make one call; it is to be given back by [`Breaker::ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// What it tells says nothing about another term.
    term: u64,
    purpose: Purpose,
}

/// One account's breaker.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    phase: Phase,
    /// Counts the phases.
    term: u64,
}

#[derive(Debug)]
enum Phase {
    /// The newest calls, oldest first: when they ended, and whether they failed.
    Closed { calls: VecDeque<(Instant, bool)> },
    /// `first`: what will be tried first.
    Open { until: Instant, first: Purpose },
    /// `from`: since when trials are made.
    HalfOpen { from: Instant, first: Purpose, under_way: usize, succeeded: usize },
}

impl Breaker {
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, phase: Phase::Closed { calls: VecDeque::new() }, term: 0 }
    }

    pub fn state(&self, now: Instant) -> BreakerState {
        match &self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { until, .. } if *until > now => BreakerState::Open { retry_after: until.duration_since(now) },
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Why a call may not be made: how long to wait before it may be. `None`: it may.
    pub fn refusal(&self, purpose: Purpose, now: Instant) -> Option<Duration> {
        let (from, first, under_way, succeeded) = match &self.phase {
            Phase::Closed { .. } => return None,
            Phase::Open { until, first } => (*until, *first, 0, 0),
            Phase::HalfOpen { from, first, under_way, succeeded } => (*from, *first, *under_way, *succeeded),
        };
        // Where nobody comes for whom the first trial is kept, it is another's.
        let free_from = if purpose == first || succeeded > 0 { from } else { from + self.settings.open_for / 2 };
        if now < free_from {
            return Some(free_from.duration_since(now));
        }
        (under_way >= self.settings.trials).then_some(TRIAL_PAUSE)
    }

    /// The right to make a call now; `Err`: how long to wait before one may be made.
    pub fn admit(&mut self, purpose: Purpose, now: Instant) -> Result<Ticket, Duration> {
        if let Some(wait) = self.refusal(purpose, now) {
            return Err(wait);
        }
        if let Phase::Open { until, first } = self.phase {
            self.enter(Phase::HalfOpen { from: until, first, under_way: 0, succeeded: 0 });
        }
        if let Phase::HalfOpen { under_way, .. } = &mut self.phase {
            *under_way += 1;
        }
        Ok(Ticket { term: self.term, purpose })
    }

    /// A call is over.
    pub fn ended(&mut self, ticket: Ticket, news: News, now: Instant) {
        if ticket.term != self.term {
            return;
        }
        match &mut self.phase {
            Phase::Closed { calls } => {
                if news == News::Nothing {
                    return;
                }
                calls.push_back((now, news == News::Fails));
                let window = self.settings.window;
                while calls.len() > REMEMBERED_MAX || calls.front().is_some_and(|(at, _)| now.duration_since(*at) > window) {
                    calls.pop_front();
                }
                let failures = calls.iter().filter(|(_, failed)| *failed).count();
                // A success opens nothing, however many failures it leaves as the greater part.
                if news == News::Fails
                    && failures >= self.settings.failures
                    && failures * 100 >= calls.len() * self.settings.failure_percent
                {
                    // A question that fails leaves nothing in doubt.
                    self.open(now, Purpose::Ask);
                }
            }
            // No ticket is of a term in which nothing is sent.
            Phase::Open { .. } => {}
            Phase::HalfOpen { under_way, succeeded, .. } => {
                *under_way = under_way.saturating_sub(1);
                match news {
                    News::Nothing => {}
                    // It may be that only questions fail: they must not keep requests from being tried for ever, nor the other way round.
                    News::Fails => {
                        self.open(now, if ticket.purpose == Purpose::Ask { Purpose::Act } else { Purpose::Ask });
                    }
                    News::Works => {
                        *succeeded += 1;
                        if *succeeded >= self.settings.trials {
                            self.enter(Phase::Closed { calls: VecDeque::new() });
                        }
                    }
                }
            }
        }
    }

    fn open(&mut self, now: Instant, first: Purpose) {
        self.enter(Phase::Open { until: now + self.settings.open_for, first });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.term += 1;
    }
}
