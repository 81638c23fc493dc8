//! How far something is that takes long, for who waits for it.

use std::time::{Duration, Instant};

const SAY_EVERY: Duration = Duration::from_secs(2);

/// Said on standard error, and only where it takes longer than that.
pub struct Progress {
    what: &'static str,
    total: usize,
    done: usize,
    next: Instant,
}

impl Progress {
    pub fn of(what: &'static str, total: usize) -> Self {
        Self { what, total, done: 0, next: Instant::now() + SAY_EVERY }
    }

    pub fn add(&mut self, count: usize) {
        self.done += count;
        if Instant::now() >= self.next {
            eprintln!("{}: {} of {}", self.what, grouped(self.done), grouped(self.total));
            self.next = Instant::now() + SAY_EVERY;
        }
    }
}

/// A number as people write it: in groups of three digits.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
