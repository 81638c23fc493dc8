//! The sandbox's own time: the system's, plus an offset that tests and the control interface push
//! forward. Everything that falls due in the sandbox is judged by it. Time never goes back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::{TimeZone, offset};
use jiff::{SignedDuration, Timestamp, Zoned};

pub const SECOND_MS: i64 = 1_000;
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A hundred years: far beyond any rule, and small enough that no sum of times overflows.
const OFFSET_MAX_MS: i64 = 36_525 * DAY_MS;

pub struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    pub fn new(offset_ms: i64) -> Self {
        Self { offset_ms: AtomicI64::new(offset_ms.clamp(0, OFFSET_MAX_MS)) }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        system_ms().saturating_add(self.offset_ms())
    }

    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }

    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(OFFSET_MAX_MS);
        let forward = |offset: i64| Some(offset.saturating_add(by_ms).min(OFFSET_MAX_MS));
        // The closure always answers `Some`, so this can't fail.
        let _ = self.offset_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, forward);
    }
}

/// Milliseconds since 1970 by the clock that callers have, whatever the sandbox's says.
pub fn system_ms() -> i64 {
    let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(system.as_millis()).unwrap_or(OFFSET_MAX_MS)
}

/// What clocks on Indian walls show.
pub fn in_ist(at_ms: i64) -> Zoned {
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(ist())
}

/// Five and a half hours before Greenwich, all year.
pub fn ist() -> TimeZone {
    TimeZone::fixed(offset(5).saturating_add(SignedDuration::from_mins(30)))
}
