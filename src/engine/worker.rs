//! The loop: take what is due with a lease, step once within it, give it back. Any number of them run, on any number
//! of replicas; of several that reach for one record, one gets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span, warn};

use super::Engine;
use super::quarantine::QUARANTINE;
use super::reconcile::Stepped;
use crate::clock::after;
use crate::domain::account::AccountName;
use crate::store::{Leased, ListKey, Look, StoreError};

/// The pause after the store gave no answer.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);
/// How long a record waits whose account has used up its questions.
const BUDGET_PAUSE: Duration = Duration::from_millis(500);
/// Events and claims that one round of tidying removes.
const TIDY_LIMIT: usize = 1_000;
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Questions that an account's provider may still be asked: so many a second, saved up for one second.
struct Budget {
    left: u32,
    filled: Instant,
}

/// The budgets of all accounts.
pub(super) struct Budgets {
    per_second: u32,
    accounts: Mutex<BTreeMap<AccountName, Budget>>,
}

impl Budgets {
    fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), accounts: Mutex::default() }
    }

    /// Takes one question from the account's budget, if one is left.
    fn take(&self, account: &AccountName) -> bool {
        let now = Instant::now();
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = accounts.entry(account.clone()).or_insert(Budget { left: self.per_second, filled: now });
        if now.duration_since(budget.filled) >= Duration::from_secs(1) {
            *budget = Budget { left: self.per_second, filled: now };
        }
        let allowed = budget.left > 0;
        budget.left = budget.left.saturating_sub(1);
        allowed
    }
}

impl Engine {
    /// Runs the configured number of workers, and the tidying, until `stop`.
    pub async fn work(self: Arc<Self>, stop: CancellationToken) {
        let budgets = Arc::new(Budgets::new(self.settings.lookups_per_second));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..self.settings.workers {
            workers.spawn(Arc::clone(&self).worker(Arc::clone(&budgets), stop.clone()));
        }
        workers.spawn(Arc::clone(&self).tidy(stop));
        while let Some(ended) = workers.join_next().await {
            if let Err(cause) = ended {
                error!("a worker ended badly: {cause}");
            }
        }
    }

    async fn worker(self: Arc<Self>, budgets: Arc<Budgets>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // Registered before the look, so that a wake-up between look and wait is not missed.
            let woken = self.woken.notified();
            let pause = match self.work_once(&budgets).await {
                Ok(0) => self.settings.idle,
                Ok(_) => continue,
                Err(cause) => {
                    warn!("the reconciler waits, the store gave no answer: {cause}");
                    PAUSE_AFTER_ERROR
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes what is due and steps each once. Says how many there were.
    async fn work_once(&self, budgets: &Budgets) -> Result<usize, StoreError> {
        let due = self.store.take_due(self.clock.now(), self.settings.patience.lease, self.settings.batch).await?;
        for leased in &due {
            self.step_within_lease(leased, budgets).await;
        }
        Ok(due.len())
    }

    /// One step, with the lease renewed as long as it takes. Its failure is handled here: the lease runs out, and the
    /// record comes back.
    async fn step_within_lease(&self, leased: &Leased, budgets: &Budgets) {
        let id = &leased.record.id;
        let lease = self.settings.patience.lease;
        match account_of(leased) {
            Some(account) if !budgets.take(&account) => {
                let look = Look::At(after(self.clock.now(), self.randomness.jittered(BUDGET_PAUSE)));
                if let Err(cause) = self.store.release(id, leased.fence, look).await {
                    warn!("`{id}` waits for the end of its lease: {cause}");
                }
                return;
            }
            Some(_) | None => {}
        }
        let span = info_span!("reconcile", resource.id = %id);
        let step = self.look_at(leased).instrument(span);
        tokio::pin!(step);
        let ended = loop {
            tokio::select! {
                ended = &mut step => break ended,
                () = tokio::time::sleep(lease / 3) => match self.store.renew(id, leased.fence, lease).await {
                    Ok(true) => {}
                    // Somebody else has it: what this step still learns is true all the same.
                    Ok(false) => warn!("the lease on `{id}` ran out during a step"),
                    Err(cause) => warn!("the lease on `{id}` could not be renewed: {cause}"),
                }
            }
        };
        let result = match &ended {
            Ok(Stepped::Learned) => "learned",
            Ok(Stepped::Unanswered) => "unanswered",
            Ok(Stepped::NobodyToAsk) => "nobody_to_ask",
            Err(_) => "store_error",
        };
        self.metrics.reconciler_steps.with_label_values(&[id.kind().prefix(), result]).inc();
        if let Err(cause) = ended {
            warn!("a look at `{id}` could not be completed: {cause}");
        }
    }

    /// Removes what its retention no longer keeps.
    async fn tidy(self: Arc<Self>, stop: CancellationToken) {
        loop {
            if let Err(cause) = self.tidy_once().await {
                warn!("old events and claims are removed later, the store gave no answer: {cause}");
            }
            tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(TIDY_EVERY) => {} }
        }
    }

    /// One round of tidying, in small bites.
    pub async fn tidy_once(&self) -> Result<(), StoreError> {
        let retention = u64::try_from(self.settings.event_retention.as_millis()).unwrap_or(u64::MAX);
        let oldest = self.store.now_ms().await?.saturating_sub(retention);
        while self.store.trim(oldest, TIDY_LIMIT).await? == TIDY_LIMIT {}
        while self.store.forget_claims(TIDY_LIMIT).await? == TIDY_LIMIT {}
        for account in self.providers.keys() {
            let list = ListKey { account: account.to_string(), key: QUARANTINE.to_owned() };
            let kept = self.store.count(crate::store::partition_of(&*self.store, account.as_str()), &list).await?;
            self.metrics.quarantined.with_label_values(&[account.as_str()]).set(i64::try_from(kept).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}

/// The account of a leased record, read from the little that every stored record begins with.
fn account_of(leased: &Leased) -> Option<AccountName> {
    super::learn::decode(&leased.record).ok().map(|record| record.header().account.clone())
}
