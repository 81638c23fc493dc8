//! One watcher a process: a wake-up, then one read of the new entries into one ring that all live subscribers share.
//! An event is decoded and encoded once, however many they are.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::subscription::Progress;
use super::token::Positions;
use crate::domain::event::Event;
use crate::domain::id::Partition;
use crate::domain::personal::Sight;
use crate::store::record;
use crate::store::{AnyStore, Head, Logged, Position, StoreError};

/// A look at the log without a wake-up, in case one was lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pause after the store gave no answer.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(200);
/// Entries that the watcher reads at once from one partition.
const PAGE: usize = 512;

/// Puts an event into the bytes that subscribers get, without its token. The service's API gives one.
pub trait Encode: Send + Sync {
    fn encode(&self, event: &Event, position: Position, sight: Sight) -> Bytes;
}

/// An entry of the log, for every subscriber.
pub struct Frame {
    pub partition: Partition,
    pub position: Position,
    pub event: Event,
    encoder: Arc<dyn Encode>,
    /// Each is made when the first reader needs it.
    masked: OnceLock<Bytes>,
    clear: OnceLock<Bytes>,
    step: OnceLock<Step>,
}

/// How the first who took a frame at the live end came past it: nearly all others come the same way.
pub(super) struct Step {
    from: Stand,
    to: Stand,
    positions: Positions,
    /// The token of these.
    token: String,
}

/// Names positions that several readers have, so that they are compared by it. What many threads would count by, as they do
/// with a shared allocation, costs each of them more than all else that a delivery is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stand(u64);

impl Stand {
    /// That of positions which nobody else is known to have.
    pub(super) const APART: Self = Self(0);
}

impl Frame {
    /// Where somebody stands now who came from `stand`, if another came past this frame from there.
    pub(super) fn step_from(&self, stand: Stand) -> Option<Stand> {
        let step = self.step.get().filter(|step| stand != Stand::APART && step.from == stand)?;
        Some(step.to)
    }

    /// The same of one whose positions are `positions` now; whoever comes first is whom the others are compared with.
    /// `APART`: the first one stands elsewhere.
    pub(super) fn step_to(&self, feed: &Feed, from: Stand, positions: &Positions) -> Stand {
        let first = || Step {
            from,
            to: Stand(feed.stands.fetch_add(1, Ordering::Relaxed)),
            positions: positions.clone(),
            token: super::token::encode(&feed.store.identity().log, positions),
        };
        let step = self.step.get_or_init(first);
        if step.positions == *positions { step.to } else { Stand::APART }
    }

    /// The event as a reader with this sight may see it.
    pub fn bytes(&self, sight: Sight) -> &Bytes {
        let (own, other) = match sight {
            Sight::Masked => (&self.masked, &self.clear),
            Sight::Clear => (&self.clear, &self.masked),
        };
        own.get_or_init(|| {
            let bytes = self.encoder.encode(&self.event, self.position, sight);
            // Most events carry nothing personal: one copy of the bytes then serves both.
            other.get().filter(|other| **other == bytes).cloned().unwrap_or(bytes)
        })
    }
}

/// A frame as it is shown to one subscriber.
#[derive(Clone, Debug)]
pub struct Shown {
    pub frame: Arc<Frame>,
    /// `None`: the one that all have who took the frame as the first of them did.
    own_token: Option<String>,
}

impl Shown {
    pub(super) fn with_token(frame: Arc<Frame>, token: String) -> Self {
        Self { frame, own_token: Some(token) }
    }

    /// To one who stands where the first who took it does.
    pub(super) fn in_step(frame: Arc<Frame>) -> Self {
        Self { frame, own_token: None }
    }

    /// The token with which this subscriber goes on after the frame.
    pub fn token(&self) -> &str {
        let shared = || self.frame.step.get().map(|step| step.token.as_str());
        self.own_token.as_deref().or_else(shared).unwrap_or_default()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Frame({:?} {})", self.partition, self.event.id)
    }
}

/// What happens at the live end of the log.
#[derive(Clone, Debug)]
pub enum Live {
    Frame(Arc<Frame>),
    /// The log was set back, as by a failover that lost its end: what was read of it may be of another course.
    SetBack,
}

/// The live end of the log.
pub struct Feed {
    store: AnyStore,
    encoder: Arc<dyn Encode>,
    ring: broadcast::Sender<Live>,
    /// How far the watcher has read.
    read: Mutex<Positions>,
    /// The next [`Stand`].
    stands: AtomicU64,
}

impl Feed {
    /// A feed whose ring holds `ring_frames` frames. Nothing is read before [`Feed::watch`] runs.
    pub fn new(store: AnyStore, encoder: Arc<dyn Encode>, ring_frames: usize) -> Arc<Self> {
        let (ring, _) = broadcast::channel(ring_frames.max(2));
        Arc::new(Self { store, encoder, ring, read: Mutex::default(), stands: AtomicU64::new(1) })
    }

    pub fn store(&self) -> &AnyStore {
        &self.store
    }

    /// All that happens from now on. A reader that falls behind the ring is told so.
    pub fn listen(&self) -> broadcast::Receiver<Live> {
        self.ring.subscribe()
    }

    pub fn listeners(&self) -> usize {
        self.ring.receiver_count()
    }

    fn read(&self) -> MutexGuard<'_, Positions> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many events of its partitions a subscription has not read, as far as the watcher has read itself.
    pub fn behind(&self, progress: &Progress) -> u64 {
        let known: u64 =
            self.read().iter().filter(|(partition, _)| progress.partitions.contains(partition)).map(|(_, last)| last.seq).sum();
        known.saturating_sub(progress.read.load(Ordering::Relaxed))
    }

    /// An entry of the log as a frame.
    pub fn frame(&self, logged: &Logged) -> Result<Frame, StoreError> {
        Ok(self.encoded(logged, event(logged)?))
    }

    /// The frame of an entry, which holds `event`.
    pub(super) fn encoded(&self, logged: &Logged, event: Event) -> Frame {
        let (partition, position, encoder) = (logged.partition, logged.position, Arc::clone(&self.encoder));
        Frame { partition, position, event, encoder, masked: OnceLock::new(), clear: OnceLock::new(), step: OnceLock::new() }
    }

    /// Starts at the log's present end. To be called once, before subscribers come.
    pub async fn start(&self) -> Result<(), StoreError> {
        let heads = self.store.heads().await?;
        *self.read() = heads.into_iter().map(|head| (head.partition, head.last)).collect();
        Ok(())
    }

    /// Reads the log into the ring until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut wakeups = self.store.wakeups();
        let mut heard = wakeups.borrow_and_update().clone();
        let mut trouble = None;
        // Where to look; `None`: everywhere.
        let mut grown: Option<Vec<Partition>> = None;
        let mut look_everywhere = Instant::now() + LOOK_EVERY;
        loop {
            let pause = match self.read_news(grown.as_deref()).await {
                Ok(()) => {
                    if grown.is_none() {
                        trouble = None;
                    }
                    look_everywhere.saturating_duration_since(Instant::now())
                }
                Err(cause) => {
                    // An entry that can't be read stays so: it is said once, not at each look.
                    let said = trouble.replace(cause.to_string());
                    if said != trouble {
                        warn!("some of the event log can't be read now, its live subscribers wait: {cause}");
                    }
                    PAUSE_AFTER_ERROR
                }
            };
            let woken = tokio::select! {
                () = stop.cancelled() => return,
                woken = tokio::time::timeout(pause, wakeups.changed()) => woken,
            };
            grown = match woken {
                // While something is wrong all is looked at, wherever the wake-up came from.
                Ok(Ok(())) if trouble.is_none() && Instant::now() < look_everywhere => {
                    let now = wakeups.borrow_and_update().clone();
                    let grown = now.since(&heard);
                    heard = now;
                    Some(grown)
                }
                Ok(Ok(())) | Err(_) => {
                    heard = wakeups.borrow_and_update().clone();
                    look_everywhere = Instant::now() + LOOK_EVERY;
                    None
                }
                Ok(Err(_)) => {
                    error!("the store is gone, the live end of the event log stops");
                    return;
                }
            };
        }
    }

    /// One look at these partitions, or at every one. What is wrong with one of them doesn't keep the news of the others.
    async fn read_news(&self, grown: Option<&[Partition]>) -> Result<(), StoreError> {
        let every = || (0..self.store.identity().partitions).map(Partition).collect();
        let partitions: Vec<Partition> = grown.map_or_else(every, <[Partition]>::to_vec);
        let read = self.read().clone();
        // Where the log grew and somebody listens there is something to read: it is asked for with the head, not after it.
        let is_to_read = grown.is_some() && self.listeners() > 0;
        let looks = partitions.into_iter().map(|partition| {
            let known = read.get(partition).unwrap_or_default();
            async move {
                let head = self.store.head(partition);
                let (head, entries) = match is_to_read {
                    true => {
                        let (head, entries) = tokio::try_join!(head, entries_from(&self.store, partition, known, PAGE))?;
                        (head, Some(entries))
                    }
                    false => (head.await?, None),
                };
                Ok((head, known, entries))
            }
        });
        let mut first_error = None;
        for look in join_all(looks).await {
            let read = match look {
                Ok((head, known, entries)) => self.read_partition(head, known, entries).await,
                Err(cause) => Err(cause),
            };
            if let Err(cause) = read {
                first_error.get_or_insert(cause);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// `entries`: what was found after `known`, where it was looked for at the same time as the head.
    async fn read_partition(&self, head: Head, mut known: Position, entries: Option<Vec<Logged>>) -> Result<(), StoreError> {
        if self.listeners() == 0 && head.last.seq >= known.seq {
            // Whoever begins to listen now looks at the log after that, where all this stands.
            self.read().insert(head.partition, head.last);
            return Ok(());
        }
        // Less than the head tells of was found before the head was: that is read anew.
        let mut entries = entries.filter(|entries| entries.last().is_some_and(|last| last.position.seq >= head.last.seq));
        loop {
            let next = match entries.take() {
                Some(entries) => after(&head, known, entries, PAGE),
                None => next_entries(&self.store, &head, known, PAGE).await?,
            };
            let Next::Entries(page) = next else {
                warn!("the log of partition {} was set back: it ends at {}, and {known} was read", head.partition.0, head.last);
                self.read().insert(head.partition, head.last);
                let _ = self.ring.send(Live::SetBack);
                break;
            };
            let Some(last) = page.last() else { break };
            known = last.position;
            for logged in &page {
                let frame = Arc::new(self.frame(logged)?);
                // No receiver is no error: nobody listens now.
                let _ = self.ring.send(Live::Frame(frame));
                self.read().insert(logged.partition, logged.position);
            }
            // Beyond what the head told of there may be more by now: the next look brings it.
            if known.seq >= head.last.seq {
                break;
            }
        }
        Ok(())
    }
}

/// What comes after a position that was read.
pub(super) enum Next {
    Entries(Vec<Logged>),
    /// The log has something else at that position, or ends before it: it was set back.
    SetBack,
}

/// The entries after `own`, at most `limit`.
pub(super) async fn next_entries(store: &AnyStore, head: &Head, own: Position, limit: usize) -> Result<Next, StoreError> {
    if head.last.seq <= own.seq {
        return Ok(after(head, own, Vec::new(), limit));
    }
    let entries = entries_from(store, head.partition, own, limit).await?;
    Ok(after(head, own, entries, limit))
}

/// The entry at `own` and at most `limit` after it: only the former tells a log that goes on from one that was set back and has
/// gone past the position on another course.
async fn entries_from(store: &AnyStore, partition: Partition, own: Position, limit: usize) -> Result<Vec<Logged>, StoreError> {
    store.events_after(partition, own.seq.saturating_sub(1), limit.saturating_add(1)).await
}

/// What of `entries`, read from `own` on, comes after it.
fn after(head: &Head, own: Position, mut entries: Vec<Logged>, limit: usize) -> Next {
    // A position before the first entry that was still there carries no time.
    let is_another = |found: Position| own.ms != 0 && found.ms != own.ms;
    if head.last.seq < own.seq || (head.last.seq == own.seq && is_another(head.last)) {
        return Next::SetBack;
    }
    if head.last.seq == own.seq {
        return Next::Entries(Vec::new());
    }
    let stands_there = entries.first().is_some_and(|first| first.position.seq == own.seq);
    if stands_there && is_another(entries.remove(0).position) {
        return Next::SetBack;
    }
    entries.truncate(limit);
    Next::Entries(entries)
}

/// The event of an entry. One that can't be read is an error, never skipped: that would lose it.
pub(super) fn event(logged: &Logged) -> Result<Event, StoreError> {
    record::decode(&format_args!("entry {} of partition {}", logged.position, logged.partition.0), &logged.body)
}
