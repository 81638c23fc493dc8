//! What changes with nearly every commit: the last fence, the ends of the logs, how many entries a list has. A transaction reads
//! each once, counts in memory, and writes each once at its end, however many commits share it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};

use super::{kept, number};
use crate::domain::id::Partition;
use crate::store::{Fence, ListKey, Position, StoreError};

/// What of it this transaction came by.
#[derive(Default)]
pub(super) struct Hot {
    fence: Option<i64>,
    heads: HashMap<Partition, Position>,
    lists: HashMap<(Partition, ListKey), List>,
}

pub(super) struct List {
    /// Its number within the file.
    pub(super) n: i64,
    /// Whoever makes or removes one counts it here.
    pub(super) entries: u64,
}

impl List {
    fn read(connection: &Connection, partition: Partition, key: &ListKey) -> Result<Option<Self>, StoreError> {
        let mut select = connection.prepare_cached("SELECT n, entries FROM list WHERE \"partition\" = ?1 AND account = ?2 AND key = ?3")?;
        let found =
            select.query_row(params![partition.0, key.account, key.key], |row| Ok(Self { n: row.get(0)?, entries: number(row.get(1)?) }));
        Ok(found.optional()?)
    }

    fn create(connection: &Connection, partition: Partition, key: &ListKey) -> Result<Self, StoreError> {
        let mut insert = connection.prepare_cached("INSERT INTO list (\"partition\", account, key, entries) VALUES (?1, ?2, ?3, 0)")?;
        Ok(Self { n: insert.insert(params![partition.0, key.account, key.key])?, entries: 0 })
    }
}

impl Hot {
    /// A fence higher than all before.
    pub(super) fn next_fence(&mut self, connection: &Connection) -> Result<Fence, StoreError> {
        let last = match self.fence {
            Some(last) => last,
            None => connection.prepare_cached("SELECT value FROM meta WHERE key = 'fence'")?.query_row([], |row| row.get(0))?,
        };
        let next = last + 1;
        self.fence = Some(next);
        Ok(Fence(number(next)))
    }

    /// The place after a log's last entry, at `now` or at the time of that one, whichever is later.
    pub(super) fn next_position(&mut self, connection: &Connection, partition: Partition, now: u64) -> Result<Position, StoreError> {
        let last = match self.heads.entry(partition) {
            Entry::Occupied(last) => last.into_mut(),
            Entry::Vacant(unread) => {
                let mut select = connection.prepare_cached("SELECT ms, seq FROM head WHERE \"partition\" = ?1")?;
                let (ms, seq) = select.query_row([partition.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
                unread.insert(Position { ms: number(ms), seq: number(seq) })
            }
        };
        *last = Position { ms: last.ms.max(now), seq: last.seq + 1 };
        Ok(*last)
    }

    /// A list, unless it has no entry and never had one.
    pub(super) fn list(&mut self, connection: &Connection, partition: Partition, key: &ListKey) -> Result<Option<&mut List>, StoreError> {
        Ok(match self.lists.entry((partition, key.clone())) {
            Entry::Occupied(list) => Some(list.into_mut()),
            Entry::Vacant(unread) => List::read(connection, partition, key)?.map(|list| unread.insert(list)),
        })
    }

    /// A list, which may have no entry so far.
    pub(super) fn list_to_join(&mut self, connection: &Connection, partition: Partition, key: &ListKey) -> Result<&mut List, StoreError> {
        Ok(match self.lists.entry((partition, key.clone())) {
            Entry::Occupied(list) => list.into_mut(),
            Entry::Vacant(unread) => unread.insert(match List::read(connection, partition, key)? {
                Some(list) => list,
                None => List::create(connection, partition, key)?,
            }),
        })
    }

    /// Writes all of it, and forgets it: what reads or changes the tables themselves may follow.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let Self { fence, heads, lists } = std::mem::take(self);
        if let Some(fence) = fence {
            connection.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'fence'")?.execute([fence])?;
        }
        for (partition, Position { ms, seq }) in heads {
            let mut update = connection.prepare_cached("UPDATE head SET ms = ?2, seq = ?3 WHERE \"partition\" = ?1")?;
            update.execute(params![partition.0, kept(ms), kept(seq)])?;
        }
        for List { n, entries } in lists.into_values() {
            if entries > 0 {
                // One that was only looked at stays as it is.
                let mut update = connection.prepare_cached("UPDATE list SET entries = ?2 WHERE n = ?1 AND entries <> ?2")?;
                update.execute(params![n, kept(entries)])?;
            } else {
                connection.prepare_cached("DELETE FROM list WHERE n = ?1")?.execute([n])?;
            }
        }
        Ok(())
    }
}
