//! An account's line to its provider: every call goes through it. It holds calls back where there are too many
//! ([`bulkhead`](super::bulkhead)) or the provider doesn't work ([`breaker`](super::breaker)), before a byte of them is sent,
//! and tells of each one how it went. Each process finds out for itself.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use tracing::{info, warn};

use super::breaker::{Breaker, BreakerSettings, BreakerState, News, Purpose, Ticket};
use super::bulkhead::{Bulkhead, BulkheadSettings, Place};
use crate::domain::account::AccountName;

/// When another call is worth its while where there were too many.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a line lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineSettings {
    pub bulkhead: BulkheadSettings,
    pub breaker: BreakerSettings,
}

/// How a call that was made went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    Answered(StatusCode),
    /// No byte of it was sent.
    NotConnected,
    /// It was sent, and no answer came, or not all of it.
    NoAnswer,
    /// Nobody waited for its end.
    GivenUp,
}

/// Why a call was not made. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// The provider did not work of late.
    BreakerOpen { retry_after: Duration },
    /// Too many calls of the account are under way already.
    Full,
}

/// Who is told of calls as they come and go. He is told on the spot, the breaker's state under its lock: he must neither wait nor
/// ask the line.
pub trait CallObserver: Send + Sync {
    /// How the account's breaker stands, whenever that may have changed.
    fn breaker(&self, account: &AccountName, state: BreakerState);

    fn begun(&self, account: &AccountName);

    /// What was begun is over. `operation`: what the call was for; `took`: from its first byte to its end.
    fn ended(&self, account: &AccountName, operation: &'static str, end: CallEnd, took: Duration);

    fn held_back(&self, account: &AccountName, why: HeldBack);
}

/// One account's line. Cheap to clone.
#[derive(Clone)]
pub struct Line(Arc<Inner>);

struct Inner {
    account: AccountName,
    bulkhead: Bulkhead,
    breaker: Mutex<Breaker>,
    observer: Arc<dyn CallObserver>,
}

/// The right to make one call. Dropped without an end, it tells nothing of the provider.
pub struct Pass {
    line: Line,
    operation: &'static str,
    ticket: Ticket,
    begun: Instant,
    end: CallEnd,
    _place: Place,
}

impl Line {
    pub fn new(account: AccountName, settings: LineSettings, observer: Arc<dyn CallObserver>) -> Self {
        let LineSettings { bulkhead, breaker } = settings;
        observer.breaker(&account, BreakerState::Closed);
        let (bulkhead, breaker) = (Bulkhead::new(bulkhead), Mutex::new(Breaker::new(breaker)));
        Self(Arc::new(Inner { account, bulkhead, breaker, observer }))
    }

    pub fn state(&self) -> BreakerState {
        self.breaker().state(Instant::now())
    }

    /// Whether a call would be held back now: how long to wait. `None`: it would be made, or would wait for a place.
    pub fn refusal(&self, purpose: Purpose) -> Option<Duration> {
        self.held_back(purpose).map(HeldBack::retry_after)
    }

    /// The same for a request that is turned away then, before anything is written for it: it counts as held back.
    pub fn turn_away(&self) -> Option<Duration> {
        let why = self.held_back(Purpose::Act)?;
        self.0.observer.held_back(&self.0.account, why);
        Some(why.retry_after())
    }

    /// The right to make a call that may take `timeout` in all. Half of that is the longest wait for it: a request that is
    /// sent with too little time left for its answer would only be one more in doubt.
    pub async fn pass(&self, operation: &'static str, purpose: Purpose, timeout: Duration) -> Result<Pass, HeldBack> {
        let held_back = |why| {
            self.0.observer.held_back(&self.0.account, why);
            why
        };
        let refusal = self.breaker().refusal(purpose, Instant::now());
        if let Some(retry_after) = refusal {
            return Err(held_back(HeldBack::BreakerOpen { retry_after }));
        }
        let place = self.0.bulkhead.place(purpose, timeout / 2).await.map_err(|_| held_back(HeldBack::Full))?;
        // It may have opened meanwhile.
        let begun = Instant::now();
        let admitted = self.admit(purpose, begun);
        let ticket = admitted.map_err(|retry_after| held_back(HeldBack::BreakerOpen { retry_after }))?;
        self.0.observer.begun(&self.0.account);
        Ok(Pass { line: self.clone(), operation, ticket, begun, end: CallEnd::GivenUp, _place: place })
    }

    fn held_back(&self, purpose: Purpose) -> Option<HeldBack> {
        let refusal = self.breaker().refusal(purpose, Instant::now());
        let open = refusal.map(|retry_after| HeldBack::BreakerOpen { retry_after });
        open.or_else(|| self.0.bulkhead.is_full(purpose).then_some(HeldBack::Full))
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.0.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, purpose: Purpose, now: Instant) -> Result<Ticket, Duration> {
        let mut breaker = self.breaker();
        let admitted = breaker.admit(purpose, now);
        // Under the lock, so that what is told last is what holds.
        self.0.observer.breaker(&self.0.account, breaker.state(now));
        admitted
    }

    fn ended(&self, ticket: Ticket, end: CallEnd) {
        let (account, now) = (&self.0.account, Instant::now());
        let mut breaker = self.breaker();
        let before = breaker.state(now);
        breaker.ended(ticket, end.news(), now);
        let after = breaker.state(now);
        self.0.observer.breaker(account, after);
        drop(breaker);
        match (before, after) {
            (BreakerState::Closed | BreakerState::HalfOpen, BreakerState::Open { retry_after }) => {
                let ms = retry_after.as_millis();
                warn!(%account, "the provider of `{account}` does not work: for {ms} ms nothing is sent to it");
            }
            (BreakerState::HalfOpen, BreakerState::Closed) => info!(%account, "the provider of `{account}` works again"),
            _ => {}
        }
    }
}

impl Pass {
    /// The call is over.
    pub fn ended(mut self, end: CallEnd) {
        self.end = end;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.line.ended(self.ticket, self.end);
        self.line.0.observer.ended(&self.line.0.account, self.operation, self.end, self.begun.elapsed());
    }
}

impl CallEnd {
    /// What it says about whether the provider works. A refusal is an answer as good as any; a 429 asks to wait, which is
    /// not the same as not to work.
    fn news(self) -> News {
        match self {
            CallEnd::Answered(StatusCode::TOO_MANY_REQUESTS) | CallEnd::GivenUp => News::Nothing,
            CallEnd::Answered(status) if status.is_server_error() => News::Fails,
            CallEnd::Answered(_) => News::Works,
            CallEnd::NotConnected | CallEnd::NoAnswer => News::Fails,
        }
    }
}

impl HeldBack {
    fn retry_after(self) -> Duration {
        match self {
            HeldBack::BreakerOpen { retry_after } => retry_after,
            HeldBack::Full => FULL_RETRY_AFTER,
        }
    }
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeldBack::BreakerOpen { retry_after } => {
                write!(f, "held back, since the provider did not work of late; it may be tried in {} ms", retry_after.as_millis())
            }
            HeldBack::Full => f.write_str("held back, since too many calls of the account are under way"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Nobody looks.
    struct Unobserved;

    impl CallObserver for Unobserved {
        fn breaker(&self, _account: &AccountName, _state: BreakerState) {}

        fn begun(&self, _account: &AccountName) {}

        fn ended(&self, _account: &AccountName, _operation: &'static str, _end: CallEnd, _took: Duration) {}

        fn held_back(&self, _account: &AccountName, _why: HeldBack) {}
    }

    const SETTINGS: LineSettings = LineSettings {
        bulkhead: BulkheadSettings { calls_max: 2, waiting_max: 2 },
        breaker: BreakerSettings {
            failures: 3,
            failure_percent: 50,
            window: Duration::from_secs(30),
            open_for: Duration::from_secs(10),
            trials: 1,
        },
    };
    const TIMEOUT: Duration = Duration::from_secs(4);

    fn line_with(settings: LineSettings) -> Line {
        Line::new("shop".parse().expect("a plain name"), settings, Arc::new(Unobserved))
    }

    /// A line for adapters under test, which are tried with failures: it holds nothing back.
    pub fn unhindered() -> Line {
        let mut settings = SETTINGS;
        settings.bulkhead.calls_max = 100;
        settings.breaker.failures = usize::MAX;
        line_with(settings)
    }

    /// A line to a provider that did not work until just now.
    pub async fn opened() -> Line {
        let line = line_with(SETTINGS);
        for _ in 0..SETTINGS.breaker.failures {
            pass(&line, Purpose::Ask).await.expect("it works as far as is known").ended(CallEnd::NoAnswer);
        }
        line
    }

    async fn pass(line: &Line, purpose: Purpose) -> Result<Pass, HeldBack> {
        line.pass("CreateQr", purpose, TIMEOUT).await
    }

    #[tokio::test(start_paused = true)]
    async fn it_holds_back_what_a_broken_provider_would_get_and_heals() {
        for end in [CallEnd::NotConnected, CallEnd::NoAnswer, CallEnd::Answered(StatusCode::BAD_GATEWAY)] {
            let line = line_with(SETTINGS);
            for _ in 0..3 {
                assert_eq!(line.refusal(Purpose::Act), None);
                pass(&line, Purpose::Act).await.expect("it works as far as is known").ended(end);
            }
            assert_eq!(line.refusal(Purpose::Act), Some(Duration::from_secs(15)));
            let retry_after = Duration::from_secs(10);
            assert_eq!(pass(&line, Purpose::Ask).await.err(), Some(HeldBack::BreakerOpen { retry_after }));
            tokio::time::advance(retry_after).await;
            pass(&line, Purpose::Ask).await.expect("it is tried").ended(CallEnd::Answered(StatusCode::NOT_FOUND));
            assert_eq!((line.refusal(Purpose::Act), line.state()), (None, BreakerState::Closed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_and_pleas_to_wait_and_what_nobody_waited_for_hold_nothing_back() {
        let line = line_with(SETTINGS);
        for status in [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].repeat(20) {
            pass(&line, Purpose::Act).await.expect("it works").ended(CallEnd::Answered(status));
            drop(pass(&line, Purpose::Ask).await);
        }
        assert_eq!((line.refusal(Purpose::Act), line.state()), (None, BreakerState::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_while_it_opened_is_held_back_too() {
        let line = line_with(SETTINGS);
        let hanging = pass(&line, Purpose::Act).await.expect("there is a place");
        let waits = line.clone();
        let waiting = tokio::spawn(async move { pass(&waits, Purpose::Act).await.err() });
        tokio::task::yield_now().await;
        for _ in 0..3 {
            pass(&line, Purpose::Ask).await.expect("a place is kept for questions").ended(CallEnd::NoAnswer);
        }
        hanging.ended(CallEnd::NoAnswer);
        assert_eq!(waiting.await.expect("nothing panics"), Some(HeldBack::BreakerOpen { retry_after: Duration::from_secs(15) }));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_half_of_his_time() {
        let line = line_with(SETTINGS);
        let _hanging = pass(&line, Purpose::Act).await.expect("there is a place");
        let asked = Instant::now();
        assert_eq!(pass(&line, Purpose::Act).await.err(), Some(HeldBack::Full));
        assert_eq!(asked.elapsed(), TIMEOUT / 2);
    }
}
