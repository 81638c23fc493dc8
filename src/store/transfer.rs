//! All that a store holds, in pieces that every backend and the backup file read and write: so that what was written by one
//! can be put into another. A source gives pages of pieces, a sink takes them; neither knows the other.
//!
//! What is not carried: leases (nobody holds anything in a store that is new), the memory of commits of late (their senders
//! are gone), and providers' access tokens (they are fetched again).

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{StoreError, is_resource};
use crate::domain::id::Id;

pub mod file;

/// Pieces in a page: enough to share a write, and few enough to be held in memory several times over.
pub(super) const PAGE: usize = 500;
/// Pages that a source may be ahead of its sink.
const AHEAD: usize = 2;

/// One thing that a store holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    Head(HeadPiece),
    Record(RecordPiece),
    Event(EventPiece),
    /// After the record that it is of.
    Claim(ClaimPiece),
}

/// The newest entry that a partition's log ever had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadPiece {
    pub partition: u16,
    pub ms: u64,
    pub seq: u64,
    /// The time of the newest entry that trimming removed; zero if none was.
    pub trimmed_ms: u64,
}

/// A record, and wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordPiece {
    pub id: Id,
    pub revision: u64,
    #[serde(with = "base64_text")]
    pub body: Vec<u8>,
    /// Accounts and keys of its lists, in order.
    pub lists: Vec<(String, String)>,
    /// Account, sort and value of the references that are its own, in order.
    pub references: Vec<(String, String, String)>,
    /// `None`: it is at rest.
    pub due: Option<DuePiece>,
    /// Since when it is at rest, in ms of the store's clock, where that was noted.
    pub rested_ms: Option<u64>,
}

/// When a record is looked at, in ms of the business clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DuePiece {
    pub at: i64,
    /// Since when there is news of it that nobody was told of.
    pub news: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventPiece {
    pub partition: u16,
    pub seq: u64,
    pub ms: u64,
    pub id: Id,
    #[serde(with = "base64_text")]
    pub body: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimPiece {
    pub partition: u16,
    pub scope: String,
    pub record: Id,
    #[serde(with = "base64_text")]
    pub fingerprint: Vec<u8>,
    #[serde(with = "base64_text_or_none")]
    pub outcome: Option<Vec<u8>>,
    /// When it may be forgotten, in ms of the store's clock; `None`: not yet, or with its record.
    pub over_ms: Option<u64>,
}

impl Piece {
    pub fn partition(&self) -> u16 {
        match self {
            Piece::Head(head) => head.partition,
            Piece::Record(record) => record.id.partition().0,
            Piece::Event(event) => event.partition,
            Piece::Claim(claim) => claim.partition,
        }
    }

    /// Whether it is one of a store with so many partitions: all that it names lies in one of them.
    fn fits(&self, partitions: u16) -> bool {
        let named = match self {
            Piece::Head(_) | Piece::Record(_) => None,
            Piece::Event(event) => Some(event.id.partition().0),
            Piece::Claim(claim) => Some(claim.record.partition().0),
        };
        self.partition() < partitions && named.is_none_or(|named| named == self.partition())
    }
}

impl RecordPiece {
    /// Whether its outcome may be open at a provider, so that it has to be looked up before anything is sent.
    pub(super) fn is_unseen(&self) -> bool {
        self.due.is_some() && is_resource(self.id.kind())
    }
}

/// What of a store goes with it, besides its pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The key of the fingerprints of requests: a repeat must be told as one afterwards too.
    pub fingerprint_key: [u8; 32],
    pub partitions: u16,
}

/// How much was carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// By kind: the letters that its ids begin with.
    pub records: BTreeMap<String, u64>,
    pub events: u64,
    pub claims: u64,
    /// Records whose outcome may be open at a provider.
    pub open: u64,
}

impl Totals {
    fn count(&mut self, piece: &Piece) {
        match piece {
            Piece::Head(_) => {}
            Piece::Record(record) => {
                *self.records.entry(record.id.kind().prefix().to_owned()).or_default() += 1;
                self.open += u64::from(record.is_unseen());
            }
            Piece::Event(_) => self.events += 1,
            Piece::Claim(_) => self.claims += 1,
        }
    }

    /// All that was carried, of whatever sort.
    pub fn all(&self) -> u64 {
        self.records.values().sum::<u64>() + self.events + self.claims
    }
}

/// Pages of a store that is read. An empty one is the last of a whole store: a source that falls silent before has failed.
pub type Pages = mpsc::Receiver<Result<Vec<Piece>, StoreError>>;

/// Where pages go that a source reads.
pub(super) struct Giver {
    pages: mpsc::Sender<Result<Vec<Piece>, StoreError>>,
    page: Vec<Piece>,
}

impl Giver {
    pub(super) fn new() -> (Self, Pages) {
        let (pages, given) = mpsc::channel(AHEAD);
        (Self { pages, page: Vec::with_capacity(PAGE) }, given)
    }

    /// Gives a piece from a thread that may block. False: nobody takes any more.
    pub(super) fn give_blocking(&mut self, piece: Piece) -> bool {
        self.page.push(piece);
        self.page.len() < PAGE || self.pages.blocking_send(Ok(std::mem::take(&mut self.page))).is_ok()
    }

    /// The same for a task.
    pub(super) async fn give(&mut self, piece: Piece) -> bool {
        self.page.push(piece);
        self.page.len() < PAGE || self.pages.send(Ok(std::mem::take(&mut self.page))).await.is_ok()
    }

    /// Gives the rest, or says what went wrong, from a thread that may block.
    pub(super) fn end_blocking(self, ended: Result<(), StoreError>) {
        let Self { pages, page } = self;
        let is_whole = ended.is_ok();
        // Whoever takes no more is told nothing.
        let _ = pages.blocking_send(ended.map(|()| page));
        if is_whole {
            let _ = pages.blocking_send(Ok(Vec::new()));
        }
    }

    /// The same for a task.
    pub(super) async fn end(self, ended: Result<(), StoreError>) {
        let Self { pages, page } = self;
        let is_whole = ended.is_ok();
        let _ = pages.send(ended.map(|()| page)).await;
        if is_whole {
            let _ = pages.send(Ok(Vec::new())).await;
        }
    }
}

/// What takes the pieces of a store.
#[async_trait]
pub trait Sink: Send {
    async fn put(&mut self, page: Vec<Piece>) -> Result<(), StoreError>;
}

/// Has `sink` take all `pages` of a store with so many partitions; how much that was. `tell` hears how much it is so far.
pub async fn carry(
    mut pages: Pages,
    partitions: u16,
    sink: &mut dyn Sink,
    tell: &(dyn Fn(&Totals) + Send + Sync),
) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    let mut last = None;
    while let Some(page) = pages.recv().await {
        let page = page?;
        last = Some(page.is_empty());
        if page.is_empty() {
            continue;
        }
        if !page.iter().all(|piece| piece.fits(partitions)) {
            return Err(StoreError::Broken("something lies in a partition that it does not belong to".to_owned()));
        }
        page.iter().for_each(|piece| totals.count(piece));
        sink.put(page).await?;
        tell(&totals);
    }
    if last != Some(true) {
        return Err(StoreError::Broken("what reads the store ended before it was through".to_owned()));
    }
    Ok(totals)
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(|_| de::Error::custom("not base64"))
    }
}

mod base64_text_or_none {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map_err(|_| de::Error::custom("not base64"))).transpose()
    }
}
