//! The store of many replicas, in Redis 7.0 or newer: standalone or Cluster. It knows neither nouns nor business times; the
//! contract is in [`super`].
//!
//! Each atomic step is a Lua script beside its Rust file, whose comment says what it promises. All keys of a partition
//! share one hash tag, so that a step is of one slot.

mod commit;
mod export;
mod forget;
mod hold;
mod import;
mod keys;
mod leases;
mod link;
mod log;
mod place;
mod record;
mod records;
mod replicas;
pub mod safety;
mod script;
mod tokens;
mod wakeups;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use secrecy::SecretString;

use super::{Identity, Log, Store, StoreClock, StoreError};
use crate::domain::id::Partition;
pub use export::RedisExport;
pub use import::RedisImport;
use keys::Keys;
use link::Link;
use replicas::Replicas;
use safety::{Finding, Severity};
pub use tokens::{RedisTokens, StoredToken};
use wakeups::Wakeups;

/// Where the servers are, and how they are spoken to.
#[derive(Clone, Debug)]
pub struct RedisServers {
    /// `redis://…`, `rediss://…` or `unix://…`; of a Cluster, some of its nodes.
    pub urls: Vec<String>,
    pub cluster: bool,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    /// The certificates that `rediss://` servers are trusted by, as PEM; `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// How long an answer may take.
    pub timeout: Duration,
    pub connect_timeout: Duration,
}

/// How a store is opened.
#[derive(Clone)]
pub struct RedisOptions {
    pub servers: RedisServers,
    /// What every key begins with.
    pub prefix: String,
    /// How many partitions it is created with. One that exists must have been created with as many.
    pub partitions: u16,
    /// What the identity of a store that is created here is made of. One that exists keeps its own.
    pub random: [u8; 40],
    /// Names of writes: each call another one.
    pub names: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// Instead of the servers' clock: for tests.
    pub clock: Option<StoreClock>,
    /// How long a record is kept once it is at rest; `None`: for ever.
    pub retention_at_rest: Option<Duration>,
    /// Lists (by their keys, in any account) whose records are kept however long they rest.
    pub kept_while_listed: Vec<&'static str>,
    /// How many replicas must have an intent before a provider is asked.
    pub wait_replicas: u32,
    pub wait_timeout: Duration,
    /// Use servers that lose what they acknowledged.
    pub allow_data_loss: bool,
}

/// Why a store was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("`store.redis.urls` can't be used: {0}")]
    Address(String),
    #[error("redis can't be used: {}", texts(.0))]
    Unusable(Vec<Finding>),
    #[error(
        "this redis would lose what it acknowledged: {}; where that may be, set store.redis.allow_data_loss = true",
        texts(.0)
    )]
    DataLoss(Vec<Finding>),
    #[error("the store has key layout {found}, which this release does not know: use the release that wrote it")]
    Layout { found: u32 },
    #[error("the store is written in format {found}, which this release can't write: use a newer one")]
    WriteFormat { found: u32 },
    #[error(
        "the store `{prefix}` was created with {found} partitions, the configuration says {asked}; the number can't be changed later: set it to {found}"
    )]
    Partitions { prefix: String, found: u16, asked: u16 },
    #[error("a store has 1 to {max} partitions, the configuration says {asked}", max = crate::domain::id::PARTITIONS_MAX)]
    NoSuchPartitions { asked: u16 },
    #[error(
        "the store is written in format {found}, the one before this release's; run `upistream store upgrade` once no replica of the release before runs"
    )]
    NotUpgraded { found: u32 },
    #[error(
        "the store `{prefix}` is half made: a restore or a copy into it did not come to its end; remove all keys that begin with `{prefix}:`, or choose another store.redis.prefix, and begin that anew"
    )]
    HalfMade { prefix: String },
    #[error("there is something under `{prefix}:` already, and only a store that is new can be filled; choose another store.redis.prefix")]
    NotEmpty { prefix: String },
    #[error("there is no store under `{prefix}:`; see that store.redis.urls and store.redis.prefix are the ones that are meant")]
    NoStore { prefix: String },
    #[error("{replicas} replicas have the store `{prefix}` open; stop all of them, and begin anew")]
    InUse { prefix: String, replicas: u64 },
    #[error("what lies under `{prefix}:meta` is not a store of this service: choose another store.redis.prefix")]
    NotAStore { prefix: String },
    #[error("this user may not publish on the channel `{channel}`; allow it (ACL SETUSER … &{channel})")]
    Channel { channel: String },
    #[error("the store can't be opened: {0}")]
    Store(StoreError),
}

fn texts(findings: &[Finding]) -> String {
    findings.iter().map(|finding| finding.text.as_str()).collect::<Vec<_>>().join("; ")
}

/// A store in Redis. Any number of processes may have it open.
pub struct RedisStore {
    link: Arc<Link>,
    keys: Keys,
    identity: Identity,
    wakeups: Wakeups,
    replicas: Option<Replicas>,
    clock: Option<StoreClock>,
    names: Arc<dyn Fn() -> u128 + Send + Sync>,
    retention_at_rest: Option<Duration>,
    kept_while_listed: Vec<&'static str>,
    /// A write failed since the last one that certainly worked.
    in_trouble: AtomicBool,
    /// The store that was opened is no longer there: nothing is written to what stands in its place.
    is_replaced: AtomicBool,
}

/// What is to be known about the servers of a store; `Err`: they can't keep one, or would lose what they acknowledged.
async fn check_servers(link: &Link, options: &RedisOptions) -> Result<Vec<Finding>, OpenError> {
    let servers = safety::servers(link).await.map_err(OpenError::Store)?;
    let findings = safety::findings(&servers, options.wait_replicas);
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).cloned().collect::<Vec<_>>();
    let (unusable, loss) = (of(Severity::Unusable), of(Severity::Loss));
    if !unusable.is_empty() {
        return Err(OpenError::Unusable(unusable));
    }
    if !loss.is_empty() && !options.allow_data_loss {
        return Err(OpenError::DataLoss(loss));
    }
    Ok(findings)
}

impl RedisStore {
    /// Opens the store, or creates it. Says what is to be known about its servers besides.
    pub async fn open(options: RedisOptions) -> Result<(Self, Vec<Finding>), OpenError> {
        let link = Arc::new(Link::new(&options.servers)?);
        let findings = check_servers(&link, &options).await?;
        let keys = Keys::new(&options.prefix);
        wakeups::check_allowed(&link, &keys.wakeups()).await?;
        let identity = place::create_or_check(&link, &keys, &options).await?;
        let wakeups = Wakeups::listen(link.single().to_vec(), keys.wakeups(), identity.partitions);
        let replicas = match options.wait_replicas {
            0 => None,
            wanted => Some(Replicas::new(&options.servers, wanted, options.wait_timeout, identity.partitions)?),
        };
        let RedisOptions { clock, names, retention_at_rest, kept_while_listed, .. } = options;
        let (in_trouble, is_replaced) = (AtomicBool::new(false), AtomicBool::new(false));
        let store =
            Self { link, keys, identity, wakeups, replicas, clock, names, retention_at_rest, kept_while_listed, in_trouble, is_replaced };
        Ok((store, findings))
    }

    /// What the servers of these options are, and whether the store there, if there is one, is the one that is wanted. Changes
    /// nothing there.
    pub async fn examine(options: &RedisOptions) -> Result<Vec<Finding>, OpenError> {
        let link = Link::new(&options.servers)?;
        let servers = safety::servers(&link).await.map_err(OpenError::Store)?;
        let keys = Keys::new(&options.prefix);
        wakeups::check_allowed(&link, &keys.wakeups()).await?;
        place::check_if_there(&link, &keys, options).await?;
        Ok(safety::findings(&servers, options.wait_replicas))
    }

    /// From which format to which what is written from now on was raised; the same where this release writes no newer one.
    pub async fn upgrade(options: &RedisOptions) -> Result<(u32, u32), OpenError> {
        let link = Link::new(&options.servers)?;
        place::raise_write_format(&link, &Keys::new(&options.prefix), options).await
    }

    fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.identity.partitions).map(Partition)
    }

    /// A name for a call that must have one effect however often it is sent.
    fn name(&self) -> u128 {
        (self.names)()
    }

    fn clock_arg(&self) -> String {
        script::clock_arg(self.clock.as_ref())
    }

    /// Whether scripts note since when records are at rest.
    fn notes_rest(&self) -> &'static str {
        if self.retention_at_rest.is_some() { "1" } else { "" }
    }

    /// Fails once the store was found to be another than the one that was opened.
    fn check_is_ours(&self) -> Result<(), StoreError> {
        if self.is_replaced.load(Ordering::SeqCst) {
            return Err(StoreError::Broken("the store was emptied or replaced while it was open; put it back, or start anew".to_owned()));
        }
        Ok(())
    }

    /// Notes whether a write worked.
    fn watched<T>(&self, ended: Result<T, StoreError>) -> Result<T, StoreError> {
        if ended.is_err() {
            self.in_trouble.store(true, Ordering::SeqCst);
        }
        ended
    }
}

#[async_trait]
impl Store for RedisStore {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    async fn now_ms(&self) -> Result<u64, StoreError> {
        if let Some(clock) = &self.clock {
            return Ok(clock());
        }
        let (seconds, micros): (u64, u64) = self.link.call(&redis::cmd("TIME")).await?;
        Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let is_unchanged = place::is_unchanged(&self.link, &self.keys, &self.identity).await?;
        self.is_replaced.store(!is_unchanged, Ordering::SeqCst);
        self.check_is_ours()?;
        // Nothing is written while writing works.
        if self.in_trouble.load(Ordering::SeqCst) {
            let write = async |partition: Partition| {
                let mut command = redis::cmd("INCR");
                command.arg(self.keys.of(partition).probe());
                self.link.call::<i64>(&command).await
            };
            try_join_all(self.partitions().map(write)).await?;
            self.in_trouble.store(false, Ordering::SeqCst);
            return Ok(());
        }
        try_join_all(self.partitions().map(|partition| self.head(partition))).await?;
        Ok(())
    }

    async fn replicated(&self, partition: Partition, write: Option<u128>) -> Result<(), StoreError> {
        match &self.replicas {
            Some(replicas) => replicas.have_all(&self.keys, partition, write).await,
            None => Ok(()),
        }
    }

    async fn forget(&self, limit: usize) -> Result<usize, StoreError> {
        self.forget_up_to(limit).await
    }

    async fn memory_percent(&self) -> Result<Option<u8>, StoreError> {
        safety::memory_percent(&self.link).await
    }
}
