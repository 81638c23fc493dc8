//! How far subscribers are behind. It is measured when somebody asks, so that one who reads nothing any more is seen too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGaugeVec;

/// The most names that are told apart: they are the callers' to choose, and each is a time series for ever.
const NAMES_MAX: usize = 100;
/// Stands for names beyond that, and for none.
const OTHERS: &str = "other";

type Behind = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The subscribers of this process.
#[derive(Clone)]
pub struct Lags {
    gauge: IntGaugeVec,
    subscribers: Arc<Mutex<Subscribers>>,
    /// Two who gather at once would see each other's metric half done.
    gathering: Arc<Mutex<()>>,
}

#[derive(Default)]
struct Subscribers {
    next: u64,
    /// All that were ever told apart.
    names: BTreeSet<String>,
    running: BTreeMap<u64, (String, Behind)>,
}

/// A subscriber who is watched until this is dropped.
pub struct Watched {
    number: u64,
    subscribers: Arc<Mutex<Subscribers>>,
}

impl Lags {
    pub(super) fn new(gauge: IntGaugeVec) -> Self {
        Self { gauge, subscribers: Arc::default(), gathering: Arc::default() }
    }

    /// Watches a subscriber by that name, who is `behind` by so many events.
    pub fn watch(&self, name: &str, behind: impl Fn() -> u64 + Send + Sync + 'static) -> Watched {
        let mut subscribers = locked(&self.subscribers);
        let is_known = subscribers.names.contains(name);
        let name = if is_known || (!name.is_empty() && subscribers.names.len() < NAMES_MAX) { name } else { OTHERS };
        if !is_known && name != OTHERS {
            subscribers.names.insert(name.to_owned());
        }
        let number = subscribers.next;
        subscribers.next += 1;
        subscribers.running.insert(number, (name.to_owned(), Arc::new(behind)));
        Watched { number, subscribers: Arc::clone(&self.subscribers) }
    }

    /// What `gather` reads while the metric is up to date: for each name the one who is furthest behind.
    pub(super) fn measured<T>(&self, gather: impl FnOnce() -> T) -> T {
        let _alone = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        self.measure();
        gather()
    }

    fn measure(&self) {
        let running: Vec<_> = locked(&self.subscribers).running.values().cloned().collect();
        let mut furthest: BTreeMap<String, u64> = BTreeMap::new();
        for (name, behind) in running {
            let most = furthest.entry(name).or_default();
            *most = (*most).max(behind());
        }
        self.gauge.reset();
        for (name, behind) in furthest {
            self.gauge.with_label_values(&[&name]).set(i64::try_from(behind).unwrap_or(i64::MAX));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        locked(&self.subscribers).running.remove(&self.number);
    }
}

fn locked(subscribers: &Mutex<Subscribers>) -> MutexGuard<'_, Subscribers> {
    subscribers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn each_name_shows_its_slowest_and_names_have_a_limit() {
        let metrics = Metrics::new();
        let watched: Vec<_> = (0..150).map(|number| metrics.lags.watch(&format!("s{number}"), move || number)).collect();
        let slow = metrics.lags.watch("s7", || 9_000);
        let nameless = metrics.lags.watch("", || 5);
        let text = metrics.text();
        assert!(text.contains("upistream_subscriber_lag_events{subscriber=\"s7\"} 9000\n"), "{text}");
        assert!(text.contains("upistream_subscriber_lag_events{subscriber=\"other\"} 149\n"), "{text}");
        assert!(text.lines().filter(|line| line.starts_with("upistream_subscriber_lag_events{")).count() <= NAMES_MAX + 1);
        drop((watched, slow, nameless));
        assert!(!metrics.text().contains("upistream_subscriber_lag_events{"));
    }
}
