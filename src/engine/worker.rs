//! The loop: take what is due with a lease, step once within it, give it back. It runs on every replica; of several that
//! reach for one record, one gets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span, warn};

use super::Engine;
use super::index::BREAKS_OPEN;
use super::quarantine::QUARANTINE;
use super::reconcile::Stepped;
use crate::clock::after;
use crate::domain::account::AccountName;
use crate::domain::id::Kind;
use crate::store::{Leased, ListKey, Look, StoreError};
use crate::telemetry;

/// The pause after the store gave no answer.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);
/// The pause before a record is looked at again that could not be read or written.
const PAUSE_AFTER_BROKEN: Duration = Duration::from_secs(60);
/// Events and claims that one round of tidying removes.
const TIDY_LIMIT: usize = 1_000;
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How many seconds' worth of questions an account saves up while it asks none.
const SAVED_UP: Duration = Duration::from_secs(1);

/// What an account may still ask its provider, and how much of it is under way.
struct Budget {
    /// From when on the next question is free; may lie behind now by what is saved up.
    next_free: Instant,
    /// When the next record that is sent away comes back: one after the other, at the pace of the questions.
    next_return: Instant,
    under_way: usize,
}

/// The budgets of all accounts: so many questions a second, and only a part of the places at once, so that one provider
/// that hangs holds up nobody else.
struct Budgets {
    pace: Duration,
    places_per_account: usize,
    accounts: Mutex<BTreeMap<AccountName, Budget>>,
}

impl Budgets {
    fn new(per_second: u32, places: usize) -> Self {
        let places_per_account = places.div_ceil(2).max(1);
        Self { pace: Duration::from_secs(1) / per_second.max(1), places_per_account, accounts: Mutex::default() }
    }

    /// A question of `account`; `Err`: how long the record has to wait for one. `at_once`: it goes before others.
    fn take(self: &Arc<Self>, account: &AccountName, at_once: bool) -> Result<Question, Duration> {
        let now = Instant::now();
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = accounts.entry(account.clone()).or_insert(Budget { next_free: now, next_return: now, under_way: 0 });
        let free = budget.next_free.max(now.checked_sub(SAVED_UP).unwrap_or(now));
        if budget.under_way < self.places_per_account && (at_once || free <= now) {
            // What goes before others takes from what comes next, and not from all that ever comes.
            budget.next_free = (free + self.pace).min(now + SAVED_UP);
            budget.under_way += 1;
            return Ok(Question { account: account.clone(), budgets: Arc::clone(self) });
        }
        budget.next_return = budget.next_return.max(now) + self.pace;
        Err(budget.next_return.duration_since(now))
    }
}

/// A question that is under way.
struct Question {
    account: AccountName,
    budgets: Arc<Budgets>,
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut accounts = self.budgets.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = accounts.get_mut(&self.account) {
            budget.under_way = budget.under_way.saturating_sub(1);
        }
    }
}

/// A leased record that is to be looked at.
struct About {
    account: AccountName,
    /// Somebody waits for what became of it.
    in_doubt: bool,
    /// The trace that the look belongs to.
    trace: Option<String>,
}

impl Engine {
    /// Looks at what is due, as many records at once as are configured, and tidies, until `stop`. Then leases go back.
    pub async fn work(self: Arc<Self>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.settings.workers));
        let budgets = Arc::new(Budgets::new(self.settings.lookups_per_second, self.settings.workers));
        let mut steps = JoinSet::new();
        steps.spawn(Arc::clone(&self).tidy(stop.clone()));
        steps.spawn(Arc::clone(&self).watch_hold(stop.clone()));
        while !stop.is_cancelled() {
            // Registered before the look, so that a wake-up between look and wait is not missed.
            let woken = self.woken.notified();
            let pause = match self.take_work(&places).await {
                Ok(taken) if taken.is_empty() => self.settings.idle,
                Ok(taken) => {
                    for (leased, place) in taken {
                        steps.spawn(Arc::clone(&self).step_within_lease(leased, Arc::clone(&budgets), place, stop.clone()));
                    }
                    Duration::ZERO
                }
                Err(cause) => {
                    warn!("the reconciler waits, the store gave no answer: {cause}");
                    PAUSE_AFTER_ERROR
                }
            };
            while let Some(ended) = steps.try_join_next() {
                report(ended);
            }
            if pause > Duration::ZERO {
                tokio::select! { () = stop.cancelled() => {} () = woken => {} () = tokio::time::sleep(pause) => {} }
            }
        }
        while let Some(ended) = steps.join_next().await {
            report(ended);
        }
    }

    /// Takes the lease of what is due, for as many records as there are places, and waits until there is one.
    async fn take_work(&self, places: &Arc<Semaphore>) -> Result<Vec<(Leased, OwnedSemaphorePermit)>, StoreError> {
        let Ok(first) = Arc::clone(places).acquire_owned().await else { return Ok(Vec::new()) };
        let more = std::iter::from_fn(|| Arc::clone(places).try_acquire_owned().ok());
        let free: Vec<_> = std::iter::once(first).chain(more).take(self.settings.batch).collect();
        let due = self.store.take_due(self.clock.now(), self.settings.patience.lease, free.len()).await?;
        Ok(due.into_iter().zip(free).collect())
    }

    /// One step, with the lease renewed as long as it takes. Its failure is handled here: the lease runs out, and the
    /// record comes back.
    async fn step_within_lease(
        self: Arc<Self>,
        leased: Leased,
        budgets: Arc<Budgets>,
        place: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) {
        let id = &leased.record.id;
        let about = self.about(&leased);
        let _question = match &about {
            Some(About { account, in_doubt, .. }) => match budgets.take(account, *in_doubt) {
                Ok(question) => Some(question),
                Err(wait) => return self.send_back(&leased, wait).await,
            },
            None => None,
        };
        let span = info_span!("reconcile", resource.id = %id);
        telemetry::joins(&span, about.as_ref().and_then(|about| about.trace.as_deref()));
        // The lease is renewed beside the step, never instead of it: a step that is not driven on could hold what the
        // renewal waits for.
        // Of a debit it may be an attempt that is under way: that is waited for.
        let may_be_cut = id.kind() != Kind::Debit;
        let ended = tokio::select! {
            ended = self.look_at(&leased).instrument(span) => Some(ended),
            () = stop.cancelled(), if may_be_cut => None,
            () = self.keep_lease(&leased) => None,
        };
        // What is cut off here is a question, or the very same request once more, which is looked for and safe to repeat; what it
        // has learned is written.
        let Some(ended) = ended else { return self.send_back(&leased, Duration::ZERO).await };
        drop(place);
        let result = match &ended {
            Ok(Stepped::Learned) => "learned",
            Ok(Stepped::Unanswered) => "unanswered",
            Ok(Stepped::NobodyToAsk) => "nobody_to_ask",
            Err(_) => "store_error",
        };
        self.metrics.reconciler_steps.with_label_values(&[id.kind().prefix(), result]).inc();
        if let Err(cause) = ended {
            warn!("a look at `{id}` could not be completed: {cause}");
            // What can't be done here stays so for a while, and must not be the longest due again and again. In any other
            // case the lease runs out.
            if matches!(cause, StoreError::Broken(_)) {
                self.send_back(&leased, PAUSE_AFTER_BROKEN).await;
            }
        }
    }

    /// Renews a lease again and again. Ends never.
    async fn keep_lease(&self, leased: &Leased) {
        let (id, lease) = (&leased.record.id, self.settings.patience.lease);
        let mut is_lost = false;
        loop {
            tokio::time::sleep(lease / 3).await;
            match self.store.renew(id, leased.fence, lease).await {
                Ok(true) => {}
                // Somebody else has it: what this step still learns is true all the same.
                Ok(false) => {
                    warn!("the lease on `{id}` ran out during a step");
                    if !std::mem::replace(&mut is_lost, true) {
                        self.metrics.lease_takeovers.with_label_values(&[id.kind().prefix()]).inc();
                    }
                }
                Err(cause) => warn!("the lease on `{id}` could not be renewed: {cause}"),
            }
        }
    }

    /// Gives a record back that was not looked at.
    async fn send_back(&self, leased: &Leased, wait: Duration) {
        let look = Look::At(after(self.clock.now(), wait));
        if let Err(cause) = self.store.release(&leased.record.id, leased.fence, look).await {
            warn!("`{}` waits for the end of its lease: {cause}", leased.record.id);
        }
    }

    /// What is to be known of a leased record before it is looked at; `None`: it can't be read.
    fn about(&self, leased: &Leased) -> Option<About> {
        let unasked = |account| About { account, in_doubt: false, trace: None };
        match leased.record.id.kind() {
            Kind::Quarantined => super::quarantine::account_of(&leased.record).map(unasked),
            Kind::SettlementSync => super::settlement::sync::account_of(&leased.record).map(unasked),
            _ => {
                let record = super::learn::decode(&leased.record).ok()?;
                let in_doubt = !super::idempotency::is_decided(&record);
                let trace = record.header().trace(self.clock.now()).map(str::to_owned);
                Some(About { account: record.header().account.clone(), in_doubt, trace })
            }
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
        while self.store.forget(TIDY_LIMIT).await? == TIDY_LIMIT {}
        for provider in self.providers.values() {
            self.ensure_settlement_sync(provider).await?;
        }
        for account in self.providers.keys() {
            let list = ListKey { account: account.to_string(), key: BREAKS_OPEN.to_owned() };
            let open = self.store.count(self.partition_of(account.as_str()), &list).await?;
            self.metrics.settlement_breaks.with_label_values(&[account.as_str()]).set(i64::try_from(open).unwrap_or(i64::MAX));
            let list = ListKey { account: account.to_string(), key: QUARANTINE.to_owned() };
            let kept = self.store.count(self.partition_of(account.as_str()), &list).await?;
            let oldest = self.oldest_doubt_s(account).await?;
            self.metrics.doubt_oldest.with_label_values(&[account.as_str()]).set(i64::try_from(oldest).unwrap_or(i64::MAX));
            self.metrics.quarantined.with_label_values(&[account.as_str()]).set(i64::try_from(kept).unwrap_or(i64::MAX));
        }
        Ok(())
    }
}

/// A step that ended badly: its lease runs out, and the record comes back.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(cause) = ended {
        error!("a step of the reconciler ended badly: {cause}");
    }
}
