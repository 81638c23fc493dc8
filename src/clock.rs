//! The only place that asks the system for the time or for randomness. Business times (due, expiry, windows) come
//! from a [`Clock`], which tests set; leases and log positions use the store's own clock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::id::{Id, Kind, Partition};

/// The business clock.
pub trait Clock: Send + Sync {
    /// Now, to the millisecond.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        to_millisecond(Timestamp::now())
    }
}

/// A clock that goes on with the system's, ahead of it by as much as it was told to be.
#[derive(Debug, Default)]
pub struct TestClock {
    ahead_ms: AtomicI64,
}

impl TestClock {
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_millis(self.ahead_ms.load(Ordering::SeqCst));
        to_millisecond(Timestamp::now().saturating_add(ahead).unwrap_or(Timestamp::MAX))
    }
}

fn to_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// `time` moved by `by`; at the end of time, that end.
pub fn after(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| time.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// How long after `earlier` `later` is; zero where it is before.
pub fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// Where ids and other random numbers come from: the system's generator, or a seed in tests.
pub struct Randomness(Mutex<rand::rngs::StdRng>);

impl Randomness {
    pub fn of_system() -> Self {
        Self(Mutex::new(rand::make_rng()))
    }

    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(rand::SeedableRng::seed_from_u64(seed)))
    }

    pub fn bits(&self) -> u128 {
        rand::RngExt::random(&mut *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// A new id of something made at `now`.
    pub fn id(&self, kind: Kind, partition: Partition, now: Timestamp) -> Id {
        let unix_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Id::new(kind, partition, unix_ms, self.bits())
    }

    /// `span`, up to a tenth longer or shorter, so that many waits don't end together. In whole percents: of what waits equally
    /// long, the neighbours in time then stand side by side in the due-index, and share what of it is written.
    pub fn jittered(&self, span: Duration) -> Duration {
        let percent = u32::try_from(self.bits() % 21).unwrap_or(0) + 90;
        span.saturating_mul(percent) / 100
    }
}
