//! A store's clock that only tests move.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// 1 January 2026, about.
const START_MS: u64 = 1_767_225_600_000;

pub struct StoreTime(AtomicU64);

impl StoreTime {
    pub fn start() -> Self {
        Self(AtomicU64::new(START_MS))
    }

    pub fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn pass(&self, by: Duration) {
        self.0.fetch_add(ms(by), Ordering::SeqCst);
    }

    /// Clocks are set back, too.
    pub fn go_back(&self, by: Duration) {
        self.0.fetch_sub(ms(by), Ordering::SeqCst);
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("tests move the clock by less than ages")
}
