//! A commit: find its own work, check everything, then write. All checks look at what stood before the commit and
//! come before the first write, so a conflict has nothing to undo.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};

use super::writer::Turn;
use super::{claims, leases, log, number, records};
use crate::domain::id::{Id, Partition};
use crate::store::{Batch, Change, Commit, Conflict, Guard, ListKey, Reference, ReferenceStep, Revision, StoreError, Written};

/// A record that a change finds: its number and its revision.
type Standing = Option<(i64, Revision)>;

pub(super) fn commit(turn: &mut Turn<'_>, batch: &Batch) -> Result<Commit, StoreError> {
    // A conflict is not remembered: it did nothing.
    if let Some(written) = turn.own_work(batch.write)? {
        return Ok(Commit::Done(written));
    }
    let standing = batch.changes.iter().map(|change| find(turn, &change.id)).collect::<Result<Vec<_>, _>>()?;
    if let Some(conflict) = conflict(turn, batch, &standing)? {
        return Ok(Commit::Conflict(conflict));
    }
    for step in &batch.claims {
        claims::apply(turn, batch.partition, step)?;
    }
    let mut written = Vec::with_capacity(batch.changes.len());
    for (change, standing) in batch.changes.iter().zip(standing) {
        written.push(write(turn, batch.partition, change, standing)?);
    }
    turn.doing.note(batch.write, &written);
    Ok(Commit::Done(written))
}

fn find(turn: &Turn<'_>, id: &Id) -> Result<Standing, StoreError> {
    let mut select = turn.connection.prepare_cached("SELECT n, revision FROM record WHERE id = ?1")?;
    let found = select.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.map(|(n, revision)| (n, number(revision))))
}

fn conflict(turn: &mut Turn<'_>, batch: &Batch, standing: &[Standing]) -> Result<Option<Conflict>, StoreError> {
    for step in &batch.claims {
        if let Some(claimed) = claims::conflict(turn, batch.partition, step)? {
            return Ok(Some(claimed));
        }
    }
    for (change, standing) in batch.changes.iter().zip(standing) {
        if standing.map(|(_, revision)| revision) != change.from {
            return Ok(Some(Conflict::Moved { id: change.id.clone() }));
        }
    }
    for guard in &batch.guards {
        if let Guard::At { id, revision } = guard
            && find(turn, id)?.map(|(_, revision)| revision) != Some(*revision)
        {
            return Ok(Some(Conflict::Moved { id: id.clone() }));
        }
    }
    if let Some(referenced) = reference_conflict(turn, batch)? {
        return Ok(Some(referenced));
    }
    for (index, guard) in batch.guards.iter().enumerate() {
        let holds = match guard {
            Guard::At { .. } => true,
            Guard::Held { id, fence } => leases::holds(turn, id, *fence)?,
            Guard::Unheld { id } => !leases::is_held(turn, id)?,
            Guard::ShorterThan { list, entries } => {
                turn.hot.list(turn.connection, batch.partition, list)?.map_or(0, |list| list.entries) < *entries
            }
        };
        if !holds {
            return Ok(Some(Conflict::Guard(index)));
        }
    }
    Ok(None)
}

/// A unique reference that another record has, or another change of this batch makes.
fn reference_conflict(turn: &Turn<'_>, batch: &Batch) -> Result<Option<Conflict>, StoreError> {
    let mut makers: HashMap<&Reference, &Id> = HashMap::new();
    for change in &batch.changes {
        for step in &change.references {
            let ReferenceStep::Unique(reference) = step else {
                continue;
            };
            let maker = makers.entry(reference).or_insert(&change.id);
            let holder = holder(turn, batch.partition, reference)?.unwrap_or_else(|| (*maker).clone());
            if holder != change.id {
                return Ok(Some(Conflict::Referenced { reference: reference.clone(), holder }));
            }
        }
    }
    Ok(None)
}

fn holder(turn: &Turn<'_>, partition: Partition, reference: &Reference) -> Result<Option<Id>, StoreError> {
    let mut select = turn.connection.prepare_cached(
        "SELECT r.id FROM reference f JOIN record r ON r.n = f.record
         WHERE f.\"partition\" = ?1 AND f.account = ?2 AND f.sort = ?3 AND f.value = ?4",
    )?;
    let Reference { account, sort, value } = reference;
    select.query_row(params![partition.0, account, sort, value], |row| row.get(0)).optional()?.map(records::id).transpose()
}

fn write(turn: &mut Turn<'_>, partition: Partition, change: &Change, standing: Standing) -> Result<Written, StoreError> {
    let Change { id, from: _, body, event, references, join, leave, look, lease } = change;
    let position = event.as_ref().map(|event| log::append(turn, partition, event)).transpose()?;
    let is_new = standing.is_none();
    let n = match (body, standing) {
        (None, None) => return Ok(Written { position, fence: None }),
        (None, Some((n, _))) => {
            remove(turn, n)?;
            return Ok(Written { position, fence: None });
        }
        (Some(body), None) => {
            let mut insert = turn.connection.prepare_cached("INSERT INTO record (id, revision, body) VALUES (?1, 1, ?2)")?;
            insert.insert(params![id.as_str(), &body[..]])?
        }
        (Some(body), Some((n, _))) => {
            let mut update = turn.connection.prepare_cached("UPDATE record SET revision = revision + 1, body = ?2 WHERE n = ?1")?;
            update.execute(params![n, &body[..]])?;
            n
        }
    };
    for step in references {
        refer(turn, partition, step, id, n)?;
    }
    for list in leave {
        leave_list(turn, partition, list, id)?;
    }
    for list in join {
        join_list(turn, partition, list, id, n)?;
    }
    let fence = if is_new { leases::begin(turn, n, *look, *lease)? } else { leases::look_and_step(turn, n, *look, *lease)? };
    Ok(Written { position, fence })
}

/// Removes a record, and from wherever its number stands.
fn remove(turn: &mut Turn<'_>, n: i64) -> Result<(), StoreError> {
    turn.hot.write(turn.connection)?;
    for statement in [
        "UPDATE list SET entries = entries - 1 WHERE n IN (SELECT list FROM entry WHERE record = ?1)",
        "DELETE FROM list WHERE entries = 0 AND n IN (SELECT list FROM entry WHERE record = ?1)",
        "DELETE FROM entry WHERE record = ?1",
        "DELETE FROM reference WHERE record = ?1",
        "DELETE FROM due WHERE record = ?1",
        "DELETE FROM record WHERE n = ?1",
    ] {
        turn.connection.prepare_cached(statement)?.execute([n])?;
    }
    Ok(())
}

fn refer(turn: &Turn<'_>, partition: Partition, step: &ReferenceStep, id: &Id, n: i64) -> Result<(), StoreError> {
    // Ids sort by time: who is newer than its holder takes it over. Whether a unique one is another's was looked at before.
    let mut upsert = turn.connection.prepare_cached(
        "INSERT INTO reference (\"partition\", account, sort, value, record) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET record = excluded.record WHERE ifnull((SELECT id FROM record WHERE n = reference.record), '') <= ?6",
    )?;
    let (ReferenceStep::Unique(Reference { account, sort, value }) | ReferenceStep::Latest(Reference { account, sort, value })) = step;
    upsert.execute(params![partition.0, account, sort, value, n, id.as_str()])?;
    Ok(())
}

fn join_list(turn: &mut Turn<'_>, partition: Partition, list: &ListKey, id: &Id, n: i64) -> Result<(), StoreError> {
    let list = turn.hot.list_to_join(turn.connection, partition, list)?;
    let mut insert = turn.connection.prepare_cached("INSERT INTO entry (list, id, record) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    if insert.execute(params![list.n, id.as_str(), n])? > 0 {
        list.entries += 1;
    }
    Ok(())
}

fn leave_list(turn: &mut Turn<'_>, partition: Partition, list: &ListKey, id: &Id) -> Result<(), StoreError> {
    let Some(list) = turn.hot.list(turn.connection, partition, list)? else {
        return Ok(());
    };
    let mut delete = turn.connection.prepare_cached("DELETE FROM entry WHERE list = ?1 AND id = ?2")?;
    if delete.execute(params![list.n, id.as_str()])? > 0 {
        list.entries = list.entries.saturating_sub(1);
    }
    Ok(())
}
