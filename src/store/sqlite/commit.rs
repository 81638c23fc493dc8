//! A commit: find its own work, check everything, then write. All checks look at what stood before the commit and
//! come before the first write, so a conflict has nothing to undo.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};

use super::writer::Turn;
use super::{claims, kept, leases, log, number, records};
use crate::domain::id::{Id, Partition};
use crate::store::{
    Batch, Change, Commit, Conflict, Fence, Guard, ListKey, Position, Reference, ReferenceStep, Revision, StoreError, Written,
};

/// How long a commit that is sent again finds its own work: far longer than any caller goes on asking.
const REMEMBERED_MS: u64 = 60 * 60 * 1_000;
/// How many commits are remembered at most, about 60 MB of them.
const REMEMBERED_MAX: i64 = 500_000;
/// With every so manyth commit that is noted, old ones are forgotten: twice as many, so that forgetting catches up.
const FORGET_EVERY: i64 = 16;
const FORGOTTEN_AT_ONCE: i64 = 2 * FORGET_EVERY;

/// A record that a change finds: its number and its revision.
type Standing = Option<(i64, Revision)>;

pub(super) fn commit(turn: &mut Turn<'_>, batch: &Batch) -> Result<Commit, StoreError> {
    if let Some(written) = own_work(turn, batch)? {
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
    note(turn, batch, &written)?;
    Ok(Commit::Done(written))
}

fn find(turn: &Turn<'_>, id: &Id) -> Result<Standing, StoreError> {
    let mut select = turn.connection.prepare_cached("SELECT n, revision FROM record WHERE id = ?1")?;
    let found = select.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.map(|(n, revision)| (n, number(revision))))
}

fn conflict(turn: &Turn<'_>, batch: &Batch, standing: &[Standing]) -> Result<Option<Conflict>, StoreError> {
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
            Guard::ShorterThan { list, entries } => records::count(turn.connection, batch.partition, list)? < *entries,
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
    let fence = leases::look_and_step(turn, n, *look, *lease)?;
    Ok(Written { position, fence })
}

/// Removes a record, and from wherever its number stands.
fn remove(turn: &Turn<'_>, n: i64) -> Result<(), StoreError> {
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

fn join_list(turn: &Turn<'_>, partition: Partition, list: &ListKey, id: &Id, n: i64) -> Result<(), StoreError> {
    let mut upsert = turn.connection.prepare_cached(
        "INSERT INTO list (\"partition\", account, key, entries) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT DO UPDATE SET entries = entries + 1 RETURNING n",
    )?;
    let number: i64 = upsert.query_row(params![partition.0, list.account, list.key], |row| row.get(0))?;
    let mut insert = turn.connection.prepare_cached("INSERT INTO entry (list, id, record) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    if insert.execute(params![number, id.as_str(), n])? == 0 {
        // It stood there already.
        turn.connection.prepare_cached("UPDATE list SET entries = entries - 1 WHERE n = ?1")?.execute([number])?;
    }
    Ok(())
}

fn leave_list(turn: &Turn<'_>, partition: Partition, list: &ListKey, id: &Id) -> Result<(), StoreError> {
    let Some(number) = list_number(turn, partition, list)? else {
        return Ok(());
    };
    let mut delete = turn.connection.prepare_cached("DELETE FROM entry WHERE list = ?1 AND id = ?2")?;
    if delete.execute(params![number, id.as_str()])? > 0 {
        let mut count = turn.connection.prepare_cached("UPDATE list SET entries = entries - 1 WHERE n = ?1 RETURNING entries")?;
        let left: i64 = count.query_row([number], |row| row.get(0))?;
        if left == 0 {
            turn.connection.prepare_cached("DELETE FROM list WHERE n = ?1")?.execute([number])?;
        }
    }
    Ok(())
}

fn list_number(turn: &Turn<'_>, partition: Partition, list: &ListKey) -> Result<Option<i64>, StoreError> {
    let mut select = turn.connection.prepare_cached("SELECT n FROM list WHERE \"partition\" = ?1 AND account = ?2 AND key = ?3")?;
    Ok(select.query_row(params![partition.0, list.account, list.key], |row| row.get(0)).optional()?)
}

/// What this very commit was answered, if it was applied before. A conflict is not remembered: it did nothing.
fn own_work(turn: &Turn<'_>, batch: &Batch) -> Result<Option<Vec<Written>>, StoreError> {
    let mut select = turn.connection.prepare_cached("SELECT reply FROM done WHERE name = ?1")?;
    let reply: Option<Vec<u8>> = select.query_row([name(batch)], |row| row.get(0)).optional()?;
    Ok(reply.map(|reply| decode(&reply)))
}

fn note(turn: &Turn<'_>, batch: &Batch, written: &[Written]) -> Result<(), StoreError> {
    let mut insert = turn.connection.prepare_cached("INSERT INTO done (name, ms, reply) VALUES (?1, ?2, ?3)")?;
    let newest = insert.insert(params![name(batch), kept(turn.now), encode(written)])?;
    if newest % FORGET_EVERY != 0 {
        return Ok(());
    }
    let mut oldest = turn.connection.prepare_cached("SELECT n, ms FROM done ORDER BY n LIMIT ?1")?;
    let oldest = oldest.query_map([FORGOTTEN_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let oldest = oldest.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    for (n, ms) in oldest {
        if number(ms).saturating_add(REMEMBERED_MS) < turn.now || newest - n >= REMEMBERED_MAX {
            turn.connection.prepare_cached("DELETE FROM done WHERE n = ?1")?.execute([n])?;
        }
    }
    Ok(())
}

fn name(batch: &Batch) -> [u8; 16] {
    batch.write.to_be_bytes()
}

/// Three numbers a change: its event's ms and seq and its fence, each 0 where there is none (both count from 1).
fn encode(written: &[Written]) -> Vec<u8> {
    let numbers = written.iter().flat_map(|Written { position, fence }| {
        let Position { ms, seq } = position.unwrap_or_default();
        [ms, seq, fence.map_or(0, |Fence(fence)| fence)]
    });
    numbers.flat_map(u64::to_be_bytes).collect()
}

fn decode(reply: &[u8]) -> Vec<Written> {
    let (numbers, _) = reply.as_chunks::<8>();
    let (changes, _) = numbers.as_chunks::<3>();
    let read = |[ms, seq, fence]: &[[u8; 8]; 3]| {
        let [ms, seq, fence] = [ms, seq, fence].map(|number| u64::from_be_bytes(*number));
        Written { position: (seq > 0).then_some(Position { ms, seq }), fence: (fence > 0).then_some(Fence(fence)) }
    };
    changes.iter().map(read).collect()
}
