//! Where it is kept: the contract that every backend fulfils. The store knows no nouns: records and events
//! are bytes to it, under an id, a revision, and the lists they stand in.
//!
//! Every promise in these comments is a test in `tests/it/store/promises.rs`, run against every backend.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::domain::account::AccountName;
use crate::domain::id::{Id, Kind, Partition};

mod batch;
pub mod record;
pub mod redis;
pub mod sqlite;
pub mod transfer;

/// The most changes that one commit may hold: it bounds the time that a commit keeps others waiting.
pub const CHANGES_MAX: usize = 64;
/// The most entries that one page of a list or of the log returns.
pub const PAGE_MAX: usize = 1_000;

/// A record's revision: 1 when it is created, then one more with each write.
pub type Revision = u64;

/// Proof of having taken a lease. Of two holders of one record's lease, the later has the higher fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// Where an event stands in its partition's log. `ms` (the store's clock) never goes back, `seq` is gapless from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub ms: u64,
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub id: Id,
    pub revision: Revision,
    pub body: Bytes,
}

/// The scope of an idempotency key, as text: caller, account, method and key. Unique within a partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimScope(pub String);

/// A claim on an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What the claim's request made or changes.
    pub record: Id,
    /// Digests of the request that claimed, as its maker wrote them.
    pub fingerprint: Bytes,
    /// How it ended, as its maker wrote it; `None` while its record is not at rest for it.
    pub outcome: Option<Bytes>,
}

/// What a commit does to one claim. No step writes to a claim without looking. A commit may take a claim and then
/// settle it, but not take one that it took another step on before.
#[derive(Clone, Debug)]
pub enum ClaimStep {
    /// Takes the claim, or conflicts with [`Conflict::Claimed`].
    Take { scope: ClaimScope, fingerprint: Bytes, record: Id },
    /// Notes how it ended; its retention starts now (by the store's clock), or only with
    /// [`ClaimStep::StartRetention`] where `keep` is `None`.
    /// `answer` is the record that later requests are answered with: the claim's record from now on. Does nothing if
    /// the claim is not `record`'s or has been settled already.
    Settle { scope: ClaimScope, record: Id, outcome: Bytes, answer: Id, keep: Option<Duration> },
    /// Its record came to rest: its retention starts now (by the store's clock). Does nothing if the claim is not
    /// `record`'s, is not settled, or if its retention runs already.
    StartRetention { scope: ClaimScope, record: Id, keep: Duration },
    /// Gives the key free. Does nothing if the claim is not `record`'s.
    Free { scope: ClaimScope, record: Id },
}

/// Another name of a record within its account, such as the provider's id of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    pub account: String,
    /// What sort of name this is: `qr.provider`, `qr.ours` …
    pub sort: &'static str,
    pub value: String,
}

/// A reference that a change makes. All references of one sort are made the same way. When its record is removed
/// nobody has it.
#[derive(Clone, Debug)]
pub enum ReferenceStep {
    /// Fails with [`Conflict::Referenced`] if another record has it.
    Unique(Reference),
    /// The newest record (the highest id) wins, whoever comes last.
    Latest(Reference),
}

/// A list that records stand in, newest first: within one account, by a key such as `qr` or `payment/of/qr_01…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListKey {
    pub account: String,
    pub key: String,
}

/// An event to append: its own id and its body.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub id: Id,
    /// Whose it is, for those who count; what is kept of it is in the body.
    pub account: AccountName,
    pub body: Bytes,
}

/// When somebody should look at a record again, by the business clock, in whole milliseconds: a fraction is cut off.
/// A record is at rest until a change says when to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As it was.
    Keep,
    /// Not before this time. Said by a change that neither takes nor releases the lease which somebody holds, it is
    /// news to the holder: what he says later makes it no later.
    At(Timestamp),
    /// The record is at rest: never, until a later change or wake says otherwise. Also ends any lease on it.
    /// A look that news demands (see [`Wake::News`]) stands nevertheless.
    Rest,
}

/// What a change does to its record's lease, after its [`Look`]. A record at rest has none and gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    Keep,
    /// Takes it for this long (the store's clock) if nobody holds it; the fence is in [`Written`], `None` if it is held
    /// or the record is at rest. The commit goes on either way.
    Take(Duration),
    /// Ends it, if this fence still holds it; otherwise nothing happens to the lease.
    Release(Fence),
}

/// Why a record is looked at now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody asked how it stands. Whoever holds its lease finds that out.
    Asked,
    /// Something happened to it just now: it must be looked at. No change and no release makes that look later or takes
    /// it away; only [`Leases::take_due`] does, by handing the record to somebody who looks. Where somebody holds the
    /// lease he may have missed the news, so it is looked at again afterwards.
    News,
}

/// One record's step within a commit.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: Id,
    /// The revision it must be at; `None`: it must not exist.
    pub from: Option<Revision>,
    /// Its new body; `None` removes it, from its lists, references and the due-index too. A removal makes nothing
    /// but its event.
    pub body: Option<Bytes>,
    /// The event of this write. Every write of a resource has one; only kept callbacks have none.
    pub event: Option<NewEvent>,
    pub references: Vec<ReferenceStep>,
    /// Lists that it stands in after this change, if it doesn't yet; it first leaves those that it is to leave.
    pub join: Vec<ListKey>,
    pub leave: Vec<ListKey>,
    pub look: Look,
    pub lease: LeaseStep,
}

/// What must also hold for a commit to happen, before it.
#[derive(Clone, Debug)]
pub enum Guard {
    /// The record is at this revision; else [`Conflict::Moved`].
    At { id: Id, revision: Revision },
    /// This fence still holds the record's lease: nobody took it since, and it has not run out.
    Held { id: Id, fence: Fence },
    /// Nobody holds the record's lease: it was never taken, was given back, has run out, or the record is at rest.
    Unheld { id: Id },
    /// The list has fewer entries than this.
    ShorterThan { list: ListKey, entries: u64 },
}

/// What becomes true together, in one partition, or not at all. A batch that changes a record twice, names ids of
/// another partition, or has more than [`CHANGES_MAX`] changes, claim steps or guards is [`StoreError::Broken`].
#[derive(Clone, Debug)]
pub struct Batch {
    pub partition: Partition,
    /// Names this commit: the same batch sent again within ten minutes finds its own work and gives the same reply, on an
    /// embedded store if not 200,000 others came since. (A conflict did no work; sent again, the batch is tried again.)
    pub write: u128,
    pub claims: Vec<ClaimStep>,
    pub changes: Vec<Change>,
    pub guards: Vec<Guard>,
}

/// What a change of a commit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where its event stands.
    pub position: Option<Position>,
    /// Its lease, where [`LeaseStep::Take`] got it.
    pub fence: Option<Fence>,
}

/// How a commit ended. A conflict wrote nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// One entry for each change, in their order.
    Done(Vec<Written>),
    Conflict(Conflict),
}

/// Why a commit wrote nothing. Checked in this order, against what stood before the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The key is taken: by this claim, whose record is now this (`None`: it was removed).
    Claimed { claim: Claim, record: Option<Stored> },
    /// A record is not at the revision that the change or guard names.
    Moved { id: Id },
    /// A unique reference belongs to another record, or another change of the same batch makes it.
    Referenced { reference: Reference, holder: Id },
    /// The guard at this index (a lease or a list) does not hold.
    Guard(usize),
}

/// A record whose lease was taken because it was due.
#[derive(Clone, Debug)]
pub struct Leased {
    pub record: Stored,
    pub fence: Fence,
    /// Since when it is due (business clock).
    pub due: Timestamp,
}

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub partition: Partition,
    pub position: Position,
    pub body: Bytes,
}

/// The ends of one partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub partition: Partition,
    /// The oldest entry that is still there.
    pub first: Option<Position>,
    /// The newest entry that ever was; zero if none was.
    pub last: Position,
    /// The time of the newest entry that was removed by trimming; zero if none was.
    pub trimmed_ms: u64,
}

/// How often each partition's log grew, as far as was heard: where it differs from an earlier copy there is something to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth(Vec<u64>);

impl Growth {
    /// The log of this partition grew, or may have.
    pub fn note(&mut self, partition: Partition) {
        let index = usize::from(partition.0);
        if self.0.len() <= index {
            self.0.resize(index + 1, 0);
        }
        self.0[index] += 1;
    }

    /// The partitions that grew since `earlier`.
    pub fn since(&self, earlier: &Self) -> Vec<Partition> {
        let grew = |index: &usize| self.0.get(*index) != earlier.0.get(*index);
        let indexes = (0..self.0.len()).filter(grew);
        indexes.filter_map(|index| u16::try_from(index).ok()).map(Partition).collect()
    }
}

/// What a store is, decided when it was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Names this log; another after a restore or a copy.
    pub log: [u8; 8],
    /// The key of the fingerprints of requests.
    pub fingerprint_key: [u8; 32],
    pub partitions: u16,
}

/// Why the store gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Certainly nothing was written.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It may have been written. The same batch may be sent again.
    #[error("the store gave no answer: {0}")]
    InDoubt(String),
    /// What is stored can't be read, or what was asked can't be done. Repeating changes nothing.
    #[error("the store can't do this: {0}")]
    Broken(String),
}

/// Records: read, listed, and changed by atomic commits.
#[async_trait]
pub trait Records: Send + Sync {
    async fn get(&self, id: &Id) -> Result<Option<Stored>, StoreError>;

    /// The record that has this reference.
    async fn find(&self, partition: Partition, reference: &Reference) -> Result<Option<Stored>, StoreError>;

    /// At most `limit` (and [`PAGE_MAX`]) records of a list, newest (highest id) first, those below `before` only.
    async fn list(&self, partition: Partition, list: &ListKey, before: Option<&Id>, limit: usize) -> Result<Vec<Stored>, StoreError>;

    /// How many records stand in a list.
    async fn count(&self, partition: Partition, list: &ListKey) -> Result<u64, StoreError>;

    /// Applies all of `batch`, or nothing. Once it has answered [`Commit::Done`] the writes are on disk and in the log.
    async fn commit(&self, batch: Arc<Batch>) -> Result<Commit, StoreError>;
}

/// One lease per record, judged by the store's clock.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease of up to `limit` (and [`PAGE_MAX`]) records that are due at `now` (business clock) and that
    /// nobody holds, longest due first. Of several callers, one gets each.
    async fn take_due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<Leased>, StoreError>;

    /// Makes the lease last `lease` from now. False: the fence holds it no longer.
    async fn renew(&self, id: &Id, fence: Fence, lease: Duration) -> Result<bool, StoreError>;

    /// Gives the lease back and says when to look again. A wake by [`Wake::News`] in between is sooner than that.
    /// False: the fence holds it no longer, and nothing happened.
    async fn release(&self, id: &Id, fence: Fence, look: Look) -> Result<bool, StoreError>;

    /// Makes a record due at `now` unless it is due sooner, one at rest too. False: there is no such record, or `why` is
    /// [`Wake::Asked`] and somebody holds its lease.
    async fn wake(&self, id: &Id, now: Timestamp, why: Wake) -> Result<bool, StoreError>;

    /// The time at which the longest-waiting record that nobody holds is due.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// The durable, append-only log of events: one sequence per partition.
#[async_trait]
pub trait Log: Send + Sync {
    /// Up to `limit` (and [`PAGE_MAX`]) entries after `seq`, oldest first. The caller checks that none is missing.
    async fn events_after(&self, partition: Partition, seq: u64, limit: usize) -> Result<Vec<Logged>, StoreError>;

    /// The entry at `seq`, if it is still there.
    async fn entry(&self, partition: Partition, seq: u64) -> Result<Option<Logged>, StoreError>;

    /// The entry of the event with this id, if it is still there.
    async fn event(&self, id: &Id) -> Result<Option<Logged>, StoreError>;

    /// The sequence number of the last entry before `ms`, among those that are still there; one less than the first
    /// of them where none is before, and that of the last that ever was where none is left.
    async fn seq_before(&self, partition: Partition, ms: u64) -> Result<u64, StoreError>;

    /// The ends of one partition's log.
    async fn head(&self, partition: Partition) -> Result<Head, StoreError>;

    /// The ends of every partition's log, in the partitions' order.
    async fn heads(&self) -> Result<Vec<Head>, StoreError>;

    /// Removes entries older than `ms`, at most `limit` of them, the oldest of each partition first; says how many.
    /// The sequence goes on where it was.
    async fn trim(&self, ms: u64, limit: usize) -> Result<usize, StoreError>;

    /// Changes after each commit that appended something, made by any handle on this store, and tells in which partition. It
    /// may be late or spurious: it only means "look again".
    fn wakeups(&self) -> watch::Receiver<Growth>;
}

/// What is held back since this store was made from a backup or a copy: what it knows is old, so nothing that moves something
/// is sent until each record that was not at rest then was looked up once.
#[async_trait]
pub trait Hold: Send + Sync {
    /// How many records were not looked up yet; `None`: nothing is held back.
    async fn unseen(&self) -> Result<Option<u64>, StoreError>;

    /// Up to `limit` (and [`PAGE_MAX`]) of those records of one partition, lowest id first, those above `after` only.
    async fn unseen_after(&self, partition: Partition, after: Option<&Id>, limit: usize) -> Result<Vec<Id>, StoreError>;

    /// The record was looked up, or is no longer there.
    async fn seen(&self, id: &Id) -> Result<(), StoreError>;

    /// Ends it, if all records were looked up. False: some were not.
    async fn lift_hold(&self) -> Result<bool, StoreError>;

    /// Whether this store was ever made from another: then providers may know of what no record tells.
    async fn was_filled(&self) -> Result<bool, StoreError>;
}

/// A store: records, leases and log of one place.
#[async_trait]
pub trait Store: Records + Leases + Log + Hold {
    fn identity(&self) -> &Identity;

    /// The store's clock, in ms since 1970.
    async fn now_ms(&self) -> Result<u64, StoreError>;

    /// Whether it can be read and takes writes now: asks those who do both, and fails while they don't.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Returns once as many copies as the store is told to want have all that was committed in this partition before, the
    /// commit `write` of late among it; [`StoreError::InDoubt`] where they don't have it in time, or it is no longer there.
    async fn replicated(&self, partition: Partition, write: Option<u128>) -> Result<(), StoreError>;

    /// Removes what its retention no longer keeps, at most `limit` things; says how many. Those are claims whose retention
    /// is over, and, where the store was told how long to keep them, records at rest with the claims that made them.
    /// Until then they stand.
    async fn forget(&self, limit: usize) -> Result<usize, StoreError>;

    /// How much of the memory that it may use is used, in percent; `None` where it has no such limit.
    async fn memory_percent(&self) -> Result<Option<u8>, StoreError>;
}

/// Where a store takes its time from: ms since 1970. Leases, retentions and log positions go by it.
pub type StoreClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A store of some backend.
pub type AnyStore = Arc<dyn Store>;

/// The partition of an account in this store.
pub fn partition_of(store: &dyn Store, account: &str) -> Partition {
    Partition::of_account(account, store.identity().partitions)
}

/// The kinds of record that are resources, which every write of makes an event of.
pub fn is_resource(kind: Kind) -> bool {
    !matches!(kind, Kind::Event | Kind::Quarantined | Kind::SettlementEntry | Kind::SettlementSync)
}
