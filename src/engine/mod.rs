//! What the service does: use cases over records, providers and the log. It knows neither gRPC nor HTTP.

pub mod accounts;
mod act;
mod admission;
mod askable;
mod claims;
pub mod debit;
pub mod doubts;
pub mod error;
pub mod events;
mod hint;
mod hold;
pub mod idempotency;
mod index;
mod learn;
pub mod lists;
pub mod mandate;
mod outlive;
mod paid_for;
mod parents;
pub mod payment;
pub mod qr;
pub mod qr_image;
pub mod quarantine;
mod reconcile;
pub mod reference;
pub mod refund;
pub mod schedule;
pub mod settlement;
mod turns;
pub mod webhook;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use error::{Error, Outcome};
pub use idempotency::{Asked, Fingerprint};

use crate::clock::{Clock, Randomness};
use crate::domain::account::AccountName;
use crate::domain::id::Partition;
use crate::events::Feed;
use crate::providers::Provider;
use crate::store::{AnyStore, StoreError};
use crate::telemetry::Metrics;

/// Lists whose records wait for a person: they are never forgotten, however long nothing happens to them.
pub const LISTS_THAT_WAIT: [&str; 2] = [index::DOUBTS, quarantine::QUARANTINE];
/// What a caller is told to wait after a provider could not be reached.
pub(crate) const PROVIDER_RETRY_AFTER: Duration = Duration::from_secs(2);

/// What the engine is told by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub patience: schedule::Patience,
    /// How long a settled claim is kept.
    pub claim_retention: Duration,
    /// How long an event is kept.
    pub event_retention: Duration,
    /// Callbacks kept per account because they could not be applied.
    pub quarantine_max: u64,
    /// Questions to a provider that the reconciler asks per second and account.
    pub lookups_per_second: u32,
    pub workers: usize,
    /// Records that a worker takes at once.
    pub batch: usize,
    /// The longest pause of an idle worker.
    pub idle: Duration,
    /// Entries read from the log at once for one subscriber.
    pub events_page: usize,
    pub subscription_age_max: Duration,
    pub settlements: settlement::SettlementSettings,
    pub mandates: debit::MandateSettings,
}

/// The resource that a mutation answers with.
#[derive(Clone, Debug)]
pub struct Answer<R> {
    pub resource: R,
    /// An earlier request with the same key did it.
    pub replayed: bool,
}

/// The service's use cases. Shared by all doors.
pub struct Engine {
    store: AnyStore,
    feed: Arc<Feed>,
    providers: BTreeMap<AccountName, Arc<Provider>>,
    clock: Arc<dyn Clock>,
    randomness: Arc<Randomness>,
    settings: Settings,
    metrics: Arc<Metrics>,
    turns: turns::Turns,
    /// Work that outlives the call that began it. Drain waits for it.
    tasks: TaskTracker,
    /// Something became due now.
    woken: Notify,
    /// Partitions for whose replicas the last wait was in vain.
    lacking_replicas: Mutex<BTreeSet<Partition>>,
    /// The store was restored or copied, and not all that was open in it was looked up; or that is not known yet.
    sending_held: AtomicBool,
    /// The store was once made from another, so providers may know of what no record tells; or that is not known yet.
    store_was_filled: AtomicBool,
    /// Streams say goodbye.
    leaving: CancellationToken,
    /// Mutations are refused.
    draining: CancellationToken,
}

/// What an engine is made of.
pub struct Parts {
    pub store: AnyStore,
    pub feed: Arc<Feed>,
    pub providers: Vec<Provider>,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<Randomness>,
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
}

impl Engine {
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, feed, providers, clock, randomness, settings, metrics } = parts;
        let providers = providers.into_iter().map(|provider| (provider.account.clone(), Arc::new(provider))).collect();
        Arc::new(Self {
            store,
            feed,
            providers,
            clock,
            randomness,
            settings,
            metrics,
            turns: turns::Turns::default(),
            tasks: TaskTracker::new(),
            woken: Notify::new(),
            lacking_replicas: Mutex::default(),
            sending_held: AtomicBool::new(true),
            store_was_filled: AtomicBool::new(true),
            leaving: CancellationToken::new(),
            draining: CancellationToken::new(),
        })
    }

    /// The business time.
    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The key of the fingerprints of requests, the same on every replica.
    pub fn fingerprint_key(&self) -> &[u8; 32] {
        &self.store.identity().fingerprint_key
    }

    /// Whether the store is read and takes writes; why not.
    pub async fn check_ready(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    /// How much of the memory that the store may use is used, in percent; `None` where it has no limit.
    pub async fn store_memory_percent(&self) -> Result<Option<u8>, StoreError> {
        self.store.memory_percent().await
    }

    /// From now on streams say goodbye, and none begins.
    pub fn say_goodbye(&self) {
        self.leaving.cancel();
    }

    /// From now on mutations are refused.
    pub fn begin_drain(&self) {
        self.draining.cancel();
    }

    /// Waits until all work that calls have begun is done, at most `limit`. False: some is not.
    pub async fn drained(&self, limit: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }

    fn partition_of(&self, account: &str) -> Partition {
        crate::store::partition_of(&*self.store, account)
    }

    fn provider(&self, account: &AccountName) -> Result<&Arc<Provider>, Error> {
        self.providers.get(account).ok_or_else(|| Error::no_such("account", account))
    }
}
