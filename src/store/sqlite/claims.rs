//! Claims on idempotency keys. No statement here writes to a claim without naming whose it must be.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::writer::Turn;
use super::{kept, records, rows};
use crate::domain::id::{Id, Partition};
use crate::store::{Claim, ClaimScope, ClaimStep, Conflict, StoreError};

/// The conflict of a claim that is to be taken and is not free.
pub(super) fn conflict(turn: &Turn<'_>, partition: Partition, step: &ClaimStep) -> Result<Option<Conflict>, StoreError> {
    let ClaimStep::Take { scope, fingerprint: _, record: _ } = step else {
        return Ok(None);
    };
    let Some(claim) = read(turn, partition, scope)? else {
        return Ok(None);
    };
    let record = records::get(turn.connection, &claim.record)?;
    Ok(Some(Conflict::Claimed { claim, record }))
}

fn read(turn: &Turn<'_>, partition: Partition, scope: &ClaimScope) -> Result<Option<Claim>, StoreError> {
    let mut select =
        turn.connection.prepare_cached("SELECT record, fingerprint, outcome FROM claim WHERE \"partition\" = ?1 AND scope = ?2")?;
    let found = select
        .query_row(params![partition.0, scope.0], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Option<Vec<u8>>>(2)?))
        })
        .optional()?;
    let Some((record, fingerprint, outcome)) = found else {
        return Ok(None);
    };
    Ok(Some(Claim { record: records::id(record)?, fingerprint: fingerprint.into(), outcome: outcome.map(Into::into) }))
}

pub(super) fn apply(turn: &Turn<'_>, partition: Partition, step: &ClaimStep) -> Result<(), StoreError> {
    match step {
        ClaimStep::Take { scope, fingerprint, record } => take(turn, partition, scope, fingerprint, record),
        ClaimStep::Settle { scope, record, outcome, answer, keep } => {
            let over = keep.map(|keep| end_of(turn.now, keep));
            let mut update = turn.connection.prepare_cached(
                "UPDATE claim SET outcome = ?4, record = ?5, over = ?6
                 WHERE \"partition\" = ?1 AND scope = ?2 AND record = ?3 AND outcome IS NULL",
            )?;
            update.execute(params![partition.0, scope.0, record.as_str(), &outcome[..], answer.as_str(), over])?;
            Ok(())
        }
        ClaimStep::StartRetention { scope, record, keep } => {
            let mut update = turn.connection.prepare_cached(
                "UPDATE claim SET over = ?4
                 WHERE \"partition\" = ?1 AND scope = ?2 AND record = ?3 AND outcome IS NOT NULL AND over IS NULL",
            )?;
            update.execute(params![partition.0, scope.0, record.as_str(), end_of(turn.now, *keep)])?;
            Ok(())
        }
        ClaimStep::Free { scope, record } => {
            let mut delete = turn.connection.prepare_cached("DELETE FROM claim WHERE \"partition\" = ?1 AND scope = ?2 AND record = ?3")?;
            delete.execute(params![partition.0, scope.0, record.as_str()])?;
            Ok(())
        }
    }
}

fn take(turn: &Turn<'_>, partition: Partition, scope: &ClaimScope, fingerprint: &[u8], record: &Id) -> Result<(), StoreError> {
    let mut insert =
        turn.connection.prepare_cached("INSERT INTO claim (\"partition\", scope, record, fingerprint) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![partition.0, scope.0, record.as_str(), fingerprint])?;
    Ok(())
}

/// Forgets claims whose retention is over, longest over first.
pub(super) fn forget(turn: &Turn<'_>, limit: usize) -> Result<usize, StoreError> {
    let mut select = turn.connection.prepare_cached("SELECT \"partition\", scope FROM claim WHERE over <= ?1 ORDER BY over LIMIT ?2")?;
    let over = select.query_map(params![kept(turn.now), rows(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let over = over.collect::<rusqlite::Result<Vec<(u16, String)>>>()?;
    // One by one, each by its whole key: for `(partition, scope) IN (…)` SQLite searches by the partition alone.
    let mut delete = turn.connection.prepare_cached("DELETE FROM claim WHERE \"partition\" = ?1 AND scope = ?2")?;
    for claim in &over {
        delete.execute(params![claim.0, claim.1])?;
    }
    Ok(over.len())
}

/// When what starts `now` and lasts `this_long` ends, in ms as they are kept.
pub(super) fn end_of(now: u64, this_long: Duration) -> i64 {
    kept(now.saturating_add(u64::try_from(this_long.as_millis()).unwrap_or(u64::MAX)))
}
