//! The tour's time: the service's clock and the simulated providers', of which a year passes in seconds.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Clock as _, TestClock, since};
use crate::sandbox::Sandbox;

pub struct Clocks<'a> {
    pub service: &'a TestClock,
    pub providers: &'a Sandbox,
}

impl Clocks<'_> {
    /// The service's time.
    pub fn now(&self) -> Timestamp {
        self.service.now()
    }

    /// Both show the same, the later of what they show.
    pub fn meet(&self) {
        let (ours, theirs) = (self.service.now(), self.providers.now());
        self.providers.advance(since(theirs, ours));
        self.service.advance(since(ours, theirs));
    }

    /// The providers' first: what the service does at a time, a provider must not find too early.
    pub fn pass(&self, by: Duration) {
        self.providers.advance(by);
        self.service.advance(by);
    }

    /// Nothing where it is later already.
    pub fn pass_until(&self, time: Timestamp) {
        self.pass(since(self.now(), time));
    }
}
