//! The log of events: one sequence per partition, appended to by commits, trimmed from its old end.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;

use super::writer::Turn;
use super::{SqliteStore, kept, number, rows};
use crate::domain::id::{Id, Partition};
use crate::store::{Growth, Head, Log, Logged, NewEvent, PAGE_MAX, Position, StoreError};

/// Bits of an event's key that hold its sequence number; the partition is above them.
const SEQ_BITS: u32 = 48;
/// The highest sequence number there can be: a thousand a second for nine thousand years.
const SEQ_MAX: u64 = (1 << SEQ_BITS) - 1;

#[async_trait]
impl Log for SqliteStore {
    async fn events_after(&self, partition: Partition, seq: u64, limit: usize) -> Result<Vec<Logged>, StoreError> {
        self.read(move |connection| {
            let mut select = connection.prepare_cached("SELECT at, ms, body FROM event WHERE at > ?1 AND at <= ?2 ORDER BY at LIMIT ?3")?;
            let found = select.query_map(params![key(partition, seq), key(partition, SEQ_MAX), rows(limit.min(PAGE_MAX))], |row| {
                Ok(logged(row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn entry(&self, partition: Partition, seq: u64) -> Result<Option<Logged>, StoreError> {
        self.read(move |connection| {
            if seq > SEQ_MAX {
                return Ok(None);
            }
            let mut select = connection.prepare_cached("SELECT at, ms, body FROM event WHERE at = ?1")?;
            let found = select.query_row([key(partition, seq)], |row| Ok(logged(row.get(0)?, row.get(1)?, row.get(2)?)));
            Ok(found.optional()?)
        })
        .await
    }

    async fn event(&self, id: &Id) -> Result<Option<Logged>, StoreError> {
        let id = id.clone();
        self.read(move |connection| {
            let mut select = connection.prepare_cached("SELECT at, ms, body FROM event WHERE id = ?1")?;
            let found = select.query_row([id.as_str()], |row| Ok(logged(row.get(0)?, row.get(1)?, row.get(2)?)));
            Ok(found.optional()?)
        })
        .await
    }

    async fn seq_before(&self, partition: Partition, ms: u64) -> Result<u64, StoreError> {
        self.read(move |connection| Ok(first_from(connection, &span(connection, partition)?, partition, ms)? - 1)).await
    }

    async fn head(&self, partition: Partition) -> Result<Head, StoreError> {
        self.read(move |connection| head(connection, partition)).await
    }

    async fn heads(&self) -> Result<Vec<Head>, StoreError> {
        let partitions = self.place.identity.partitions;
        self.read(move |connection| (0..partitions).map(|partition| head(connection, Partition(partition))).collect()).await
    }

    async fn trim(&self, ms: u64, limit: usize) -> Result<usize, StoreError> {
        let partitions = self.place.identity.partitions;
        self.write(move |turn| {
            turn.hot.write(turn.connection)?;
            let mut removed = 0;
            for partition in (0..partitions).map(Partition) {
                let span = span(turn.connection, partition)?;
                let keep = first_from(turn.connection, &span, partition, ms)?;
                let room = u64::try_from(limit - removed).unwrap_or(u64::MAX);
                let end = keep.min(span.start().saturating_add(room));
                if end == *span.start() {
                    continue;
                }
                let mut note = turn
                    .connection
                    .prepare_cached("UPDATE head SET trimmed_ms = (SELECT ms FROM event WHERE at = ?2) WHERE \"partition\" = ?1")?;
                note.execute(params![partition.0, key(partition, end - 1)])?;
                let mut delete = turn.connection.prepare_cached("DELETE FROM event WHERE at >= ?1 AND at < ?2")?;
                removed += delete.execute(params![key(partition, *span.start()), key(partition, end)])?;
            }
            Ok(removed)
        })
        .await
    }

    fn wakeups(&self) -> watch::Receiver<Growth> {
        self.place.writer.grown()
    }
}

/// Appends an event; its position follows the partition's last, whatever became of that one.
pub(super) fn append(turn: &mut Turn<'_>, partition: Partition, event: &NewEvent) -> Result<Position, StoreError> {
    let position = turn.hot.next_position(turn.connection, partition, turn.now)?;
    if position.seq > SEQ_MAX {
        return Err(StoreError::Broken("a partition's log has no more sequence numbers".to_owned()));
    }
    let mut insert = turn.connection.prepare_cached("INSERT INTO event (at, ms, id, body) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![key(partition, position.seq), kept(position.ms), event.id.as_str(), &event.body[..]])?;
    turn.appended.push(partition);
    Ok(position)
}

pub(super) fn key(partition: Partition, seq: u64) -> i64 {
    (i64::from(partition.0) << SEQ_BITS) | kept(seq.min(SEQ_MAX))
}

/// The partition and the sequence number of a key.
pub(super) fn place_of(key: i64) -> (Partition, u64) {
    (Partition(u16::try_from(key >> SEQ_BITS).unwrap_or(u16::MAX)), number(key) & SEQ_MAX)
}

fn logged(key: i64, ms: i64, body: Vec<u8>) -> Logged {
    let (partition, seq) = place_of(key);
    Logged { partition, position: Position { ms: number(ms), seq }, body: body.into() }
}

fn head(connection: &Connection, partition: Partition) -> Result<Head, StoreError> {
    let mut select = connection.prepare_cached("SELECT ms, seq, trimmed_ms FROM head WHERE \"partition\" = ?1")?;
    let (ms, seq, trimmed_ms) = select.query_row([partition.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let last = Position { ms: number(ms), seq: number(seq) };
    let mut select = connection.prepare_cached("SELECT at, ms FROM event WHERE at >= ?1 AND at <= ?2 ORDER BY at LIMIT 1")?;
    let first = select
        .query_row(params![key(partition, 0), key(partition, SEQ_MAX)], |row| Ok(logged(row.get(0)?, row.get(1)?, Vec::new()).position));
    Ok(Head { partition, first: first.optional()?, last, trimmed_ms: number(trimmed_ms) })
}

/// The sequence numbers that are still there. They have no gaps; where there are none, the span is empty and begins
/// at the next one.
fn span(connection: &Connection, partition: Partition) -> Result<RangeInclusive<u64>, StoreError> {
    let mut select = connection.prepare_cached("SELECT seq FROM head WHERE \"partition\" = ?1")?;
    let last: Option<i64> = select.query_row([partition.0], |row| row.get(0)).optional()?;
    let last = last.map_or(0, number);
    let first = match last {
        0 => None,
        _ => head(connection, partition)?.first,
    };
    Ok(first.map_or(last + 1, |first| first.seq)..=last)
}

/// The first sequence number of `span` that is not older than `ms`, or the one after it. Since ms never goes back a
/// binary search finds it, and the log needs no index by time.
fn first_from(connection: &Connection, span: &RangeInclusive<u64>, partition: Partition, ms: u64) -> Result<u64, StoreError> {
    let mut select = connection.prepare_cached("SELECT ms < ?2 FROM event WHERE at = ?1")?;
    let (mut low, mut high) = (*span.start(), span.end() + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if select.query_row(params![key(partition, middle), kept(ms)], |row| row.get(0))? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
