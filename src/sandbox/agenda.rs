//! What happens by itself, by time. On disk it is a plain list.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Agenda<D: Ord>(BTreeSet<Appointment<D>>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Appointment<D> {
    at_ms: i64,
    what: D,
}

impl<D: Ord> Agenda<D> {
    pub fn appoint(&mut self, at_ms: i64, what: D) {
        self.0.insert(Appointment { at_ms, what });
    }

    /// Takes out the first thing that fell due by `now_ms`, and its own time.
    pub fn take_due(&mut self, now_ms: i64) -> Option<(i64, D)> {
        self.0.first().filter(|first| first.at_ms <= now_ms)?;
        self.0.pop_first().map(|Appointment { at_ms, what }| (at_ms, what))
    }

    pub fn next_ms(&self) -> Option<i64> {
        self.0.first().map(|first| first.at_ms)
    }
}

impl<D: Ord> Default for Agenda<D> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}
