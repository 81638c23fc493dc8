//! An account's places for calls: so many are under way at once and so many wait, so that one provider that hangs takes
//! nothing from the others. Of those who wait, whoever came first goes first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::breaker::Purpose;

/// How many calls there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkheadSettings {
    /// Under way at once.
    pub calls_max: usize,
    /// Requests that wait for a place, and questions that do.
    pub waiting_max: usize,
}

/// One account's places.
pub struct Bulkhead {
    all: Arc<Semaphore>,
    /// Fewer than all: requests that hang must not keep anybody from finding out what became of them.
    for_acts: Arc<Semaphore>,
    waiting_acts: Semaphore,
    waiting_questions: Semaphore,
}

/// A call's place, until it is dropped.
pub struct Place {
    _of_act: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

/// There is no place, and none came free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Bulkhead {
    pub fn new(settings: BulkheadSettings) -> Self {
        let BulkheadSettings { calls_max, waiting_max } = settings;
        // With one place alone everybody shares it.
        let kept_for_questions = calls_max.div_ceil(4).min(calls_max.saturating_sub(1));
        Self {
            all: Arc::new(Semaphore::new(calls_max)),
            for_acts: Arc::new(Semaphore::new(calls_max - kept_for_questions)),
            waiting_acts: Semaphore::new(waiting_max),
            waiting_questions: Semaphore::new(waiting_max),
        }
    }

    /// A place, at once or after a wait of at most `patience`.
    pub async fn place(&self, purpose: Purpose, patience: Duration) -> Result<Place, Full> {
        if let Some(place) = self.free_place(purpose) {
            return Ok(place);
        }
        let waiting = match purpose {
            Purpose::Act => &self.waiting_acts,
            Purpose::Ask => &self.waiting_questions,
        };
        let _waits = waiting.try_acquire().map_err(|_| Full)?;
        tokio::time::timeout(patience, self.next_place(purpose)).await.unwrap_or(Err(Full))
    }

    /// Whether a call would have to be turned away now.
    pub fn is_full(&self, purpose: Purpose) -> bool {
        let (places, waiting) = match purpose {
            Purpose::Act => (&self.for_acts, &self.waiting_acts),
            Purpose::Ask => (&self.all, &self.waiting_questions),
        };
        places.available_permits() == 0 && waiting.available_permits() == 0
    }

    fn free_place(&self, purpose: Purpose) -> Option<Place> {
        let of_act = match purpose {
            Purpose::Act => Some(Arc::clone(&self.for_acts).try_acquire_owned().ok()?),
            Purpose::Ask => None,
        };
        Some(Place { _of_act: of_act, _of_all: Arc::clone(&self.all).try_acquire_owned().ok()? })
    }

    async fn next_place(&self, purpose: Purpose) -> Result<Place, Full> {
        let of_act = match purpose {
            Purpose::Act => Some(Arc::clone(&self.for_acts).acquire_owned().await.map_err(|_| Full)?),
            Purpose::Ask => None,
        };
        Ok(Place { _of_act: of_act, _of_all: Arc::clone(&self.all).acquire_owned().await.map_err(|_| Full)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    fn bulkhead(calls_max: usize, waiting_max: usize) -> Arc<Bulkhead> {
        Arc::new(Bulkhead::new(BulkheadSettings { calls_max, waiting_max }))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_hang_leave_places_for_questions() {
        let bulkhead = bulkhead(4, 2);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(bulkhead.place(Purpose::Act, SHORT).await.expect("there is a place"));
        }
        assert!(bulkhead.place(Purpose::Act, SHORT).await.is_err());
        assert!(bulkhead.place(Purpose::Ask, SHORT).await.is_ok());
        held.pop();
        assert!(bulkhead.place(Purpose::Act, SHORT).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_the_next_place_and_no_more_wait_than_may() {
        let bulkhead = bulkhead(1, 2);
        let held = bulkhead.place(Purpose::Act, SHORT).await.expect("there is a place");
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let bulkhead = Arc::clone(&bulkhead);
                tokio::spawn(async move { bulkhead.place(Purpose::Act, LONG).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(bulkhead.is_full(Purpose::Act));
        // At once, and not after its patience.
        assert_eq!(bulkhead.place(Purpose::Act, LONG).await.err(), Some(Full));
        assert!(!bulkhead.is_full(Purpose::Ask), "questions have a line of their own");
        drop(held);
        for waited in waiting {
            assert_eq!(waited.await.expect("nothing panics"), Ok(()));
        }
        assert!(!bulkhead.is_full(Purpose::Act));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_makes_room() {
        let bulkhead = bulkhead(1, 1);
        let _held = bulkhead.place(Purpose::Ask, SHORT).await.expect("there is a place");
        for _ in 0..3 {
            assert_eq!(bulkhead.place(Purpose::Ask, SHORT).await.err(), Some(Full));
            assert!(!bulkhead.is_full(Purpose::Ask));
        }
    }
}
