//! The due-index: which records somebody must look at again, when, and who does so now. A row of `due` is a record
//! that is not at rest; one whose `leased_until` is over is as free as one that has none.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::claims::end_of;
use super::writer::Turn;
use super::{SqliteStore, kept, records, rows};
use crate::domain::id::Id;
use crate::store::{Fence, LeaseStep, Leased, Leases, Look, PAGE_MAX, StoreError, Wake};

/// Leases that one look for work finds over and ends. There are never more alive than there is work in flight, so
/// this is a bound, not a rhythm.
const ENDED_AT_ONCE: i64 = 10_000;

#[async_trait]
impl Leases for SqliteStore {
    async fn take_due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<Leased>, StoreError> {
        self.write(move |turn| take_due(turn, now, lease, limit)).await
    }

    async fn renew(&self, id: &Id, fence: Fence, lease: Duration) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |turn| {
            let mut update = turn.connection.prepare_cached(
                "UPDATE due SET leased_until = ?4
                 WHERE record = (SELECT n FROM record WHERE id = ?1) AND fence = ?2 AND leased_until > ?3",
            )?;
            Ok(update.execute(params![id.as_str(), kept(fence.0), kept(turn.now), end_of(turn.now, lease)])? > 0)
        })
        .await
    }

    async fn release(&self, id: &Id, fence: Fence, next: Look) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |turn| {
            let Some(n) = held(turn, &id, fence)? else {
                return Ok(false);
            };
            look_and_step(turn, n, next, LeaseStep::Release(fence))?;
            Ok(true)
        })
        .await
    }

    async fn wake(&self, id: &Id, now: Timestamp, why: Wake) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |turn| {
            let mut wake = turn.connection.prepare_cached(match why {
                Wake::Asked => {
                    "INSERT INTO due (record, at) SELECT n, ?2 FROM record WHERE id = ?1
                     ON CONFLICT (record) DO UPDATE SET at = min(at, excluded.at) WHERE leased_until IS NULL OR leased_until <= ?3"
                }
                Wake::News => {
                    "INSERT INTO due (record, at, news) SELECT n, ?2, ?2 FROM record WHERE id = ?1
                     ON CONFLICT (record) DO UPDATE SET at = min(at, excluded.at), news = min(ifnull(news, excluded.news), excluded.news)"
                }
            })?;
            let woken = match why {
                Wake::Asked => wake.execute(params![id.as_str(), now.as_millisecond(), kept(turn.now)])?,
                Wake::News => wake.execute(params![id.as_str(), now.as_millisecond()])?,
            };
            Ok(woken > 0)
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = kept(self.now());
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT min(at) FROM (SELECT min(at) AS at FROM due WHERE leased_until IS NULL
                 UNION ALL SELECT min(at) FROM due WHERE leased_until <= ?1)",
            )?;
            let at: Option<i64> = select.query_row([now], |row| row.get(0))?;
            at.map(timestamp).transpose()
        })
        .await
    }
}

fn take_due(turn: &mut Turn<'_>, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<Leased>, StoreError> {
    let mut end = turn.connection.prepare_cached(
        "UPDATE due SET leased_until = NULL
         WHERE record IN (SELECT record FROM due WHERE leased_until <= ?1 ORDER BY leased_until LIMIT ?2)",
    )?;
    end.execute(params![kept(turn.now), ENDED_AT_ONCE])?;
    let mut select = turn.connection.prepare_cached(
        "SELECT r.id, r.revision, r.body, d.record, d.at FROM due d JOIN record r ON r.n = d.record
         WHERE d.leased_until IS NULL AND d.at <= ?1 ORDER BY d.at LIMIT ?2",
    )?;
    let found = select.query_map(params![now.as_millisecond(), rows(limit.min(PAGE_MAX))], |row| {
        Ok((records::row(row)?, row.get::<_, i64>(3)?, row.get::<_, i64>(4)?))
    })?;
    // Read to the end before the first lease: it would move rows under the reading.
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut tell = turn.connection.prepare_cached("UPDATE due SET news = NULL WHERE record = ?1 AND news IS NOT NULL")?;
    let leased = found.into_iter().map(|(record, n, at)| {
        tell.execute([n])?;
        let fence = take(turn, n, lease)?;
        Ok(Leased { record: records::stored(record)?, fence, due: timestamp(at)? })
    });
    leased.collect()
}

/// Does both for a record that this commit created, and that nobody knows of yet.
pub(super) fn begin(turn: &mut Turn<'_>, n: i64, look: Look, lease: LeaseStep) -> Result<Option<Fence>, StoreError> {
    let Look::At(at) = look else {
        return Ok(None);
    };
    let (until, fence) = match lease {
        LeaseStep::Take(lease) => (Some(end_of(turn.now, lease)), Some(turn.hot.next_fence(turn.connection)?)),
        LeaseStep::Keep | LeaseStep::Release(_) => (None, None),
    };
    let mut insert = turn.connection.prepare_cached("INSERT INTO due (record, at, leased_until, fence) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![n, at.as_millisecond(), until, fence.map_or(0, |fence| kept(fence.0))])?;
    Ok(fence)
}

/// Sets a record's next look, then does what the change asks for with its lease; the fence, if it took it.
pub(super) fn look_and_step(turn: &mut Turn<'_>, n: i64, look: Look, lease: LeaseStep) -> Result<Option<Fence>, StoreError> {
    // A time that was set while this holder held the lease stands whatever he says.
    let beside = match (look, lease) {
        (Look::At(at), LeaseStep::Release(fence)) if end_and_set_time(turn, n, fence, at.as_millisecond())? => return Ok(None),
        (Look::Keep | Look::Rest, LeaseStep::Release(fence)) => end(turn, n, fence)?,
        _ => None,
    };
    match (look, beside) {
        (Look::Keep, None) => {}
        (Look::Keep | Look::Rest, Some(beside)) => set_time(turn, n, beside)?,
        (Look::At(at), _) => set_time(turn, n, at.as_millisecond())?,
        (Look::Rest, None) => rest(turn, n)?,
    }
    match lease {
        LeaseStep::Keep | LeaseStep::Release(_) => Ok(None),
        LeaseStep::Take(lease) => {
            let mut select =
                turn.connection.prepare_cached("SELECT 1 FROM due WHERE record = ?1 AND (leased_until IS NULL OR leased_until <= ?2)")?;
            let free = select.exists(params![n, kept(turn.now)])?;
            drop(select);
            if free { take(turn, n, lease).map(Some) } else { Ok(None) }
        }
    }
}

/// Ends a lease if this fence holds it, over or not, and sets the time of the next look, no later than what was set beside the
/// lease or than news demand. False: it didn't hold it, and nothing was done.
fn end_and_set_time(turn: &Turn<'_>, n: i64, fence: Fence, at: i64) -> Result<bool, StoreError> {
    let mut update = turn.connection.prepare_cached(
        "UPDATE due SET at = min(?3, ifnull(beside, ?3), ifnull(news, ?3)), leased_until = NULL, beside = NULL
         WHERE record = ?1 AND fence = ?2 AND leased_until IS NOT NULL",
    )?;
    Ok(update.execute(params![n, kept(fence.0), at])? > 0)
}

/// Sets the time of the next look, no later than news demand it. Where somebody holds the lease it also outlives what
/// he says.
fn set_time(turn: &Turn<'_>, n: i64, at: i64) -> Result<(), StoreError> {
    let mut upsert = turn.connection.prepare_cached(
        "INSERT INTO due (record, at) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET at = min(excluded.at, ifnull(news, excluded.at)),
         beside = CASE WHEN leased_until > ?3 THEN min(ifnull(beside, excluded.at), excluded.at) END",
    )?;
    upsert.execute(params![n, at, kept(turn.now)])?;
    Ok(())
}

/// Puts a record to rest, or has it wait for whoever is to hear its news. Nobody holds it any longer.
fn rest(turn: &Turn<'_>, n: i64) -> Result<(), StoreError> {
    turn.connection.prepare_cached("DELETE FROM due WHERE record = ?1 AND news IS NULL")?.execute([n])?;
    let mut wait = turn.connection.prepare_cached("UPDATE due SET at = news, leased_until = NULL, beside = NULL WHERE record = ?1")?;
    wait.execute([n])?;
    Ok(())
}

/// Ends a lease if this fence holds it, over or not; the earliest time that was set beside it.
fn end(turn: &Turn<'_>, n: i64, fence: Fence) -> Result<Option<i64>, StoreError> {
    let mut select =
        turn.connection.prepare_cached("SELECT beside FROM due WHERE record = ?1 AND fence = ?2 AND leased_until IS NOT NULL")?;
    let beside: Option<Option<i64>> = select.query_row(params![n, kept(fence.0)], |row| row.get(0)).optional()?;
    if beside.is_some() {
        let mut update = turn.connection.prepare_cached("UPDATE due SET leased_until = NULL, beside = NULL WHERE record = ?1")?;
        update.execute([n])?;
    }
    Ok(beside.flatten())
}

/// Takes a lease that is free. News stand: who takes a lease for a change of his own looks at nothing.
fn take(turn: &mut Turn<'_>, n: i64, lease: Duration) -> Result<Fence, StoreError> {
    let fence = turn.hot.next_fence(turn.connection)?;
    let mut update = turn.connection.prepare_cached("UPDATE due SET leased_until = ?2, fence = ?3, beside = NULL WHERE record = ?1")?;
    update.execute(params![n, end_of(turn.now, lease), kept(fence.0)])?;
    Ok(fence)
}

pub(super) fn holds(turn: &Turn<'_>, id: &Id, fence: Fence) -> Result<bool, StoreError> {
    Ok(held(turn, id, fence)?.is_some())
}

/// Whether anybody holds a record's lease.
pub(super) fn is_held(turn: &Turn<'_>, id: &Id) -> Result<bool, StoreError> {
    let mut select =
        turn.connection.prepare_cached("SELECT 1 FROM due d JOIN record r ON r.n = d.record WHERE r.id = ?1 AND d.leased_until > ?2")?;
    Ok(select.exists(params![id.as_str(), kept(turn.now)])?)
}

/// The number of a record whose lease this fence holds.
fn held(turn: &Turn<'_>, id: &Id, fence: Fence) -> Result<Option<i64>, StoreError> {
    let mut select = turn.connection.prepare_cached(
        "SELECT d.record FROM due d JOIN record r ON r.n = d.record WHERE r.id = ?1 AND d.fence = ?2 AND d.leased_until > ?3",
    )?;
    Ok(select.query_row(params![id.as_str(), kept(fence.0), kept(turn.now)], |row| row.get(0)).optional()?)
}

fn timestamp(ms: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(ms).map_err(|_| StoreError::Broken("what is stored as a time is none".to_owned()))
}
