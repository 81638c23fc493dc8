//! One subscriber's way through the log: history in pages, then the shared ring, and back to the log when he falls
//! behind. Nothing is skipped: every page and every frame is checked to be the next.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::feed::{self, Feed, Frame, Live, Next, Shown, Stand};
use super::filter::Filter;
use super::token::{Positions, Token};
use crate::domain::id::Partition;
use crate::store::{Head, Logged, Position, StoreError};

/// How many frames that a filter does not admit are passed over before others have their turn.
const PASSED_OVER_MAX: usize = 64;

/// Where a subscription starts.
#[derive(Clone, Debug)]
pub enum Start {
    /// With the oldest event that is still there.
    Earliest,
    /// With what comes from now on.
    Latest,
    /// After the event that this token was taken at.
    After(Token),
    /// With the first event recorded at this time or later.
    AtTime(Timestamp),
}

/// What a subscriber is sent, after the confirmation.
#[derive(Clone, Debug)]
pub enum Message {
    Event(Shown),
    CaughtUp { token: String, time: Timestamp },
    FellBehind { token: String, time: Timestamp },
    Bookmark { token: String, server_time: Timestamp, events_behind: u64, time_behind: Duration },
    Goodbye { token: String, retry_after: Duration },
}

/// Why a subscription ended.
#[derive(Clone, Debug)]
pub enum SubscriptionEnd {
    /// Events after the position are gone: trimmed, or lost by the store.
    HistoryLost {
        earliest_token: String,
        earliest_time: Option<Timestamp>,
    },
    /// The log is behind the token, or has another event where it was taken: the store was restored.
    HistoryRewound {
        earliest_token: String,
    },
    /// It was said goodbye to: the service drains, or the subscription is old enough to move on.
    Ended,
    Store(StoreError),
}

impl From<StoreError> for SubscriptionEnd {
    fn from(cause: StoreError) -> Self {
        Self::Store(cause)
    }
}

/// How a subscription runs.
#[derive(Clone, Debug)]
pub struct Pace {
    pub heartbeat: Duration,
    /// When it says goodbye, so that connections spread over new replicas.
    pub ends: Instant,
    /// Entries that it reads from the log at once.
    pub page: usize,
    /// What it tells the subscriber to wait before he comes again.
    pub retry_after: Duration,
}

/// How far a subscription has read, for those who watch it from outside.
#[derive(Debug)]
pub struct Progress {
    pub(super) partitions: BTreeSet<Partition>,
    /// The last entries' numbers, added up.
    pub(super) read: AtomicU64,
}

enum Source {
    /// In a box: whoever waits for news need not keep the place for it.
    Log(Box<History>),
    Ring(broadcast::Receiver<Live>),
    Ended,
}

/// One page of the log, and those that come after it.
#[derive(Default)]
struct History {
    page: VecDeque<Logged>,
    ahead: Option<Ahead>,
}

/// The pages after one that was full, which a task of its own reads: one that waits here, and one in its hands, so that the store
/// answers while what it answered before is sent. Nothing more is held for a subscriber who doesn't read. It ends at the end of
/// the log, and where it can't go on: whoever then looks himself finds out why.
struct Ahead {
    pages: mpsc::Receiver<VecDeque<Logged>>,
    _task: AbortOnDropHandle<()>,
}

/// A subscription. [`Subscription::next`] waits for the next message and can be abandoned and called again.
pub struct Subscription {
    feed: Arc<Feed>,
    filter: Filter,
    positions: Positions,
    /// Names the positions, where others are known to have the same.
    stand: Stand,
    progress: Arc<Progress>,
    source: Source,
    /// Whose page was read last: the next read begins with the partition after it, so that none waits for another.
    served_last: Option<Partition>,
    pace: Pace,
    next_heartbeat: Instant,
    drain: tokio_util::sync::CancellationToken,
    now: Arc<dyn crate::clock::Clock>,
}

impl Subscription {
    /// Finds the starting position and checks that the log still goes on from there.
    pub async fn open(
        feed: Arc<Feed>,
        filter: Filter,
        start: Start,
        pace: Pace,
        drain: tokio_util::sync::CancellationToken,
        now: Arc<dyn crate::clock::Clock>,
    ) -> Result<Self, SubscriptionEnd> {
        let partitions = filter.partitions(feed.store().identity().partitions);
        let positions = starting_positions(&feed, &partitions, start).await?;
        let next_heartbeat = Instant::now() + pace.heartbeat;
        let source = Source::Log(Box::default());
        let read = positions.iter().map(|(_, position)| position.seq).sum();
        let progress = Arc::new(Progress { partitions: positions.partitions().collect(), read: AtomicU64::new(read) });
        Ok(Self { feed, filter, positions, stand: Stand::APART, progress, source, served_last: None, pace, next_heartbeat, drain, now })
    }

    /// How far it is, also while nobody asks it for the next message.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// The token of what was read so far.
    pub fn token(&self) -> String {
        super::token::encode(&self.feed.store().identity().log, &self.positions)
    }

    /// The next message; `Err` ends the subscription.
    pub async fn next(&mut self) -> Result<Message, SubscriptionEnd> {
        loop {
            if matches!(self.source, Source::Ended) {
                return Err(SubscriptionEnd::Ended);
            }
            let now = Instant::now();
            if self.drain.is_cancelled() || now >= self.pace.ends {
                self.source = Source::Ended;
                return Ok(Message::Goodbye { token: self.token(), retry_after: self.pace.retry_after });
            }
            if now >= self.next_heartbeat {
                let bookmark = Box::pin(self.bookmark()).await?;
                self.next_heartbeat = now + self.pace.heartbeat;
                return Ok(bookmark);
            }
            if let Some(message) = self.step().await? {
                return Ok(message);
            }
        }
    }

    /// One step through the source: a message, or `None` to look around again.
    async fn step(&mut self) -> Result<Option<Message>, SubscriptionEnd> {
        match &mut self.source {
            Source::Ended => Err(SubscriptionEnd::Ended),
            Source::Log(history) => {
                let History { page, ahead } = &mut **history;
                if let Some(entry) = page.pop_front() {
                    if let (Some(last), None) = (page.back().filter(|_| page.len() + 1 == self.pace.page), &ahead) {
                        // The first of a page that was full: more is likely to follow.
                        let (send, pages) = mpsc::channel(1);
                        let end = (last.partition, last.position);
                        let reading = read_ahead(Arc::clone(&self.feed), self.positions.clone(), end, self.pace.page, send);
                        *ahead = Some(Ahead { pages, _task: AbortOnDropHandle::new(tokio::spawn(reading)) });
                    }
                    return self.take_logged(&entry);
                }
                if let Some(reading) = ahead {
                    match reading.pages.recv().await {
                        Some(next) => {
                            self.served_last = next.front().map(|entry| entry.partition).or(self.served_last);
                            *page = next;
                            return Ok(None);
                        }
                        None => *ahead = None,
                    }
                }
                // Listening begins before the look, so that nothing falls between log and ring.
                let ring = self.feed.listen();
                // In a box: whoever only waits for news need not keep the place for it.
                let page = Box::pin(read_page(&self.feed, &self.positions, self.served_last, self.pace.page)).await?;
                if page.is_empty() {
                    self.source = Source::Ring(ring);
                    return Ok(Some(Message::CaughtUp { token: self.token(), time: self.now.now() }));
                }
                self.go_on_with(page);
                Ok(None)
            }
            Source::Ring(ring) => {
                let wake = self.next_heartbeat.min(self.pace.ends);
                tokio::select! {
                    biased;
                    () = self.drain.cancelled() => Ok(None),
                    received = ring.recv() => match received {
                        Ok(Live::Frame(frame)) => Ok(self.take_frame(frame)),
                        // The log tells whether it goes on from here.
                        Ok(Live::SetBack) => {
                            self.source = Source::Log(Box::default());
                            Ok(None)
                        }
                        Err(broadcast::error::RecvError::Lagged(_)) => Ok(Some(self.fallen_behind())),
                        Err(broadcast::error::RecvError::Closed) => Err(SubscriptionEnd::Ended),
                    },
                    () = tokio::time::sleep_until(wake) => Ok(None),
                }
            }
        }
    }

    /// The next message of the live end where one is at hand, without waiting; `None`: [`Subscription::next`] knows what is
    /// next. It alone says goodbye and sends bookmarks, so it has to be asked now and then. For the many who get the same burst
    /// this is what they cost: to wait registers with four others, and leaves them.
    pub fn next_at_hand(&mut self) -> Option<Message> {
        for _ in 0..PASSED_OVER_MAX {
            let Source::Ring(ring) = &mut self.source else { return None };
            match ring.try_recv() {
                Ok(Live::Frame(frame)) => {
                    if let Some(message) = self.take_frame(frame) {
                        return Some(message);
                    }
                }
                Ok(Live::SetBack) => self.source = Source::Log(Box::default()),
                Err(broadcast::error::TryRecvError::Lagged(_)) => return Some(self.fallen_behind()),
                Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => return None,
            }
        }
        None
    }

    fn fallen_behind(&mut self) -> Message {
        self.source = Source::Log(Box::default());
        Message::FellBehind { token: self.token(), time: self.now.now() }
    }

    /// Moves past a frame of the ring, and shows it if the filter admits it.
    fn take_frame(&mut self, frame: Arc<Frame>) -> Option<Message> {
        if let Some(to) = frame.step_from(self.stand) {
            // Whoever stood here found that it is the next.
            self.moved_to(frame.partition, frame.position);
            self.stand = to;
            return self.filter.admits(&frame.event).then(|| Message::Event(Shown::in_step(frame)));
        }
        let from = self.stand;
        if !self.moves_to(frame.partition, frame.position) {
            return None;
        }
        self.stand = frame.step_to(&self.feed, from, &self.positions);
        if !self.filter.admits(&frame.event) {
            return None;
        }
        Some(if self.stand == Stand::APART { self.shown(frame) } else { Message::Event(Shown::in_step(frame)) })
    }

    /// Moves past an entry of the log, and shows it if the filter admits it.
    fn take_logged(&mut self, logged: &Logged) -> Result<Option<Message>, SubscriptionEnd> {
        let event = feed::event(logged)?;
        if !self.moves_to(logged.partition, logged.position) || !self.filter.admits(&event) {
            return Ok(None);
        }
        let frame = Arc::new(self.feed.encoded(logged, event));
        Ok(Some(self.shown(frame)))
    }

    fn shown(&self, frame: Arc<Frame>) -> Message {
        Message::Event(Shown::with_token(frame, self.token()))
    }

    /// Moves to the next position; false where this one is not to be shown.
    fn moves_to(&mut self, partition: Partition, next: Position) -> bool {
        // `None`: another account's partition.
        let Some(own) = self.positions.get(partition) else { return false };
        if next.seq <= own.seq {
            return false; // read from the log already
        }
        if next.seq != own.seq + 1 {
            // The ring has no holes, so ours is the fault: the log tells.
            self.source = Source::Log(Box::default());
            return false;
        }
        self.moved_to(partition, next);
        true
    }

    fn moved_to(&mut self, partition: Partition, next: Position) {
        self.positions.insert(partition, next);
        self.stand = Stand::APART;
        self.progress.read.fetch_add(1, Ordering::Relaxed);
    }

    fn go_on_with(&mut self, page: VecDeque<Logged>) {
        self.served_last = page.front().map(|entry| entry.partition).or(self.served_last);
        self.source = Source::Log(Box::new(History { page, ahead: None }));
    }

    /// How far it is. The age of what waits costs a look at the log, but only where something does wait.
    async fn bookmark(&self) -> Result<Message, StoreError> {
        let store = self.feed.store();
        let mut events_behind = 0;
        let mut oldest_unread: Option<u64> = None;
        for head in store.heads().await? {
            let Some(own) = self.positions.get(head.partition).filter(|own| own.seq < head.last.seq) else { continue };
            events_behind += head.last.seq - own.seq;
            let unread = match self.at_hand(head.partition) {
                Some(unread) => Some(unread),
                // `None`: trimmed meanwhile, as the next read will tell.
                None => store.entry(head.partition, own.seq + 1).await?.map(|logged| logged.position),
            };
            if let Some(unread) = unread {
                oldest_unread = Some(oldest_unread.unwrap_or(u64::MAX).min(unread.ms));
            }
        }
        let time_behind = match oldest_unread {
            Some(ms) => Duration::from_millis(store.now_ms().await?.saturating_sub(ms)),
            None => Duration::ZERO,
        };
        Ok(Message::Bookmark { token: self.token(), server_time: self.now.now(), events_behind, time_behind })
    }

    /// The position of the next entry of `partition`, where its page was read.
    fn at_hand(&self, partition: Partition) -> Option<Position> {
        match &self.source {
            Source::Log(history) => history.page.front().filter(|entry| entry.partition == partition).map(|entry| entry.position),
            Source::Ring(_) | Source::Ended => None,
        }
    }
}

/// Reads on after a page that ends at `last`, as long as there is more.
async fn read_ahead(
    feed: Arc<Feed>,
    mut positions: Positions,
    mut last: (Partition, Position),
    limit: usize,
    pages: mpsc::Sender<VecDeque<Logged>>,
) {
    loop {
        positions.insert(last.0, last.1);
        let Ok(page) = read_page(&feed, &positions, Some(last.0), limit).await else { return };
        let Some(its_last) = page.back() else { return };
        last = (its_last.partition, its_last.position);
        if pages.send(page).await.is_err() {
            return;
        }
    }
}

/// The next entries of the first partition that has some, after `served_last`, which had its turn.
async fn read_page(
    feed: &Feed,
    positions: &Positions,
    served_last: Option<Partition>,
    limit: usize,
) -> Result<VecDeque<Logged>, SubscriptionEnd> {
    let mut heads = feed.store().heads().await?;
    let turn = heads.partition_point(|head| served_last.is_some_and(|last| head.partition <= last));
    heads.rotate_left(turn);
    for head in heads {
        let Some(own) = positions.get(head.partition) else { continue };
        let page = match feed::next_entries(feed.store(), &head, own, limit).await? {
            Next::Entries(_) if head.last.seq == own.seq => continue,
            Next::Entries(page) => page,
            Next::SetBack => {
                let earliest_token = earliest(feed, &heads_of(feed, positions.partitions()).await?);
                return Err(SubscriptionEnd::HistoryRewound { earliest_token });
            }
        };
        // There is something to read: if it is not the very next, or not there at all, history was lost.
        if page.is_empty() {
            return Err(history_lost(feed, positions.partitions()).await?);
        }
        if let Some((found, _)) = page.iter().zip(own.seq + 1..).find(|(logged, expected)| logged.position.seq != *expected) {
            return Err(hole(feed, positions.partitions(), found).await?);
        }
        return Ok(page.into());
    }
    Ok(VecDeque::new())
}

async fn starting_positions(feed: &Feed, partitions: &BTreeSet<Partition>, start: Start) -> Result<Positions, SubscriptionEnd> {
    let store = feed.store();
    let heads: Vec<Head> = store.heads().await?.into_iter().filter(|head| partitions.contains(&head.partition)).collect();
    let mut positions = Vec::with_capacity(heads.len());
    for head in &heads {
        let position = match &start {
            Start::Latest => head.last,
            Start::Earliest => before_first(head),
            Start::AtTime(time) => {
                let ms = u64::try_from(time.as_millisecond()).unwrap_or(0);
                if was_trimmed_since(head, ms) {
                    return Err(history_lost(feed, partitions.iter().copied()).await?);
                }
                let seq = store.seq_before(head.partition, ms).await?;
                let entry = store.entry(head.partition, seq).await?;
                Position { ms: entry.map_or(0, |entry| entry.position.ms), seq }
            }
            Start::After(token) => {
                // An account that the token knows nothing of begins with its oldest event: nothing is skipped.
                match token.positions.get(head.partition) {
                    Some(own) => {
                        check_position(feed, head, own, partitions).await?;
                        own
                    }
                    None => before_first(head),
                }
            }
        };
        positions.push((head.partition, position));
    }
    Ok(positions.into_iter().collect())
}

/// Checks that a token's position is of this log, and that the log goes on from there.
async fn check_position(feed: &Feed, head: &Head, own: Position, partitions: &BTreeSet<Partition>) -> Result<(), SubscriptionEnd> {
    let rewound = || async {
        let earliest_token = earliest(feed, &heads_of(feed, partitions.iter().copied()).await?);
        Ok::<_, SubscriptionEnd>(SubscriptionEnd::HistoryRewound { earliest_token })
    };
    if own.seq > head.last.seq {
        return Err(rewound().await?);
    }
    if own.seq > 0 {
        match feed.store().entry(head.partition, own.seq).await? {
            // A position before the first entry that was still there carries no time.
            Some(entry) if own.ms != 0 && entry.position.ms != own.ms => return Err(rewound().await?),
            Some(_) => {}
            None => {
                let goes_on = head.first.is_none_or(|first| first.seq <= own.seq + 1) && (head.first.is_some() || head.last.seq == own.seq);
                if !goes_on {
                    return Err(history_lost(feed, partitions.iter().copied()).await?);
                }
            }
        }
    } else if head.first.map_or(head.last.seq > 0, |first| first.seq > 1) {
        return Err(history_lost(feed, partitions.iter().copied()).await?);
    }
    Ok(())
}

/// Whether events that were recorded at `ms` or later were removed.
fn was_trimmed_since(head: &Head, ms: u64) -> bool {
    head.trimmed_ms > 0 && ms <= head.trimmed_ms
}

/// The position from which all that is still there comes next. Its own entry is gone, so it has no time.
fn before_first(head: &Head) -> Position {
    match head.first {
        Some(first) => Position { ms: 0, seq: first.seq.saturating_sub(1) },
        None => head.last,
    }
}

/// A loss that ends right before `next`. What stands before the hole may still be there, but to begin there would lead
/// into the same hole again: so this partition can be read from `next` on.
async fn hole(feed: &Feed, partitions: impl Iterator<Item = Partition>, next: &Logged) -> Result<SubscriptionEnd, StoreError> {
    let mut heads = heads_of(feed, partitions).await?;
    for head in heads.iter_mut().filter(|head| head.partition == next.partition) {
        head.first = Some(next.position);
    }
    Ok(lost(feed, &heads))
}

async fn history_lost(feed: &Feed, partitions: impl Iterator<Item = Partition>) -> Result<SubscriptionEnd, StoreError> {
    Ok(lost(feed, &heads_of(feed, partitions).await?))
}

fn lost(feed: &Feed, heads: &[Head]) -> SubscriptionEnd {
    let oldest = heads.iter().filter_map(|head| head.first).map(|first| first.ms).min();
    let earliest_time = oldest.and_then(|ms| i64::try_from(ms).ok()).and_then(|ms| Timestamp::from_millisecond(ms).ok());
    SubscriptionEnd::HistoryLost { earliest_token: earliest(feed, heads), earliest_time }
}

/// The token from which everything that is still there can be read.
fn earliest(feed: &Feed, heads: &[Head]) -> String {
    let positions = heads.iter().map(|head| (head.partition, before_first(head))).collect();
    super::token::encode(&feed.store().identity().log, &positions)
}

async fn heads_of(feed: &Feed, partitions: impl Iterator<Item = Partition>) -> Result<Vec<Head>, StoreError> {
    let wanted: BTreeSet<Partition> = partitions.collect();
    Ok(feed.store().heads().await?.into_iter().filter(|head| wanted.contains(&head.partition)).collect())
}
