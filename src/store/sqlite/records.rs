//! Records and the lists they stand in, as they are read.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, commit, number, rows};
use crate::domain::id::{Id, Partition};
use crate::store::{Batch, Commit, ListKey, PAGE_MAX, Records, Reference, StoreError, Stored, batch};

/// Sorts after every id: they begin with a small letter.
const AFTER_ALL_IDS: &str = "~";

#[async_trait]
impl Records for SqliteStore {
    async fn get(&self, id: &Id) -> Result<Option<Stored>, StoreError> {
        let id = id.clone();
        self.read(move |connection| get(connection, &id)).await
    }

    async fn find(&self, partition: Partition, reference: &Reference) -> Result<Option<Stored>, StoreError> {
        let reference = reference.clone();
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT r.id, r.revision, r.body FROM reference f JOIN record r ON r.n = f.record
                 WHERE f.\"partition\" = ?1 AND f.account = ?2 AND f.sort = ?3 AND f.value = ?4",
            )?;
            let Reference { account, sort, value } = reference;
            select.query_row(params![partition.0, account, sort, value], row).optional()?.map(stored).transpose()
        })
        .await
    }

    async fn list(&self, partition: Partition, list: &ListKey, before: Option<&Id>, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let ListKey { account, key } = list.clone();
        let before = before.map_or(AFTER_ALL_IDS.to_owned(), |id| id.as_str().to_owned());
        self.read(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT r.id, r.revision, r.body FROM list l JOIN entry e ON e.list = l.n JOIN record r ON r.n = e.record
                 WHERE l.\"partition\" = ?1 AND l.account = ?2 AND l.key = ?3 AND e.id < ?4 ORDER BY e.id DESC LIMIT ?5",
            )?;
            let found = select.query_map(params![partition.0, account, key, before, rows(limit.min(PAGE_MAX))], row)?;
            found.map(|row| stored(row?)).collect()
        })
        .await
    }

    async fn count(&self, partition: Partition, list: &ListKey) -> Result<u64, StoreError> {
        let list = list.clone();
        self.read(move |connection| count(connection, partition, &list)).await
    }

    async fn commit(&self, batch: Arc<Batch>) -> Result<Commit, StoreError> {
        batch::check(&batch, self.place.identity.partitions)?;
        self.write(move |turn| commit::commit(turn, &batch)).await
    }
}

pub(super) fn get(connection: &Connection, id: &Id) -> Result<Option<Stored>, StoreError> {
    let mut select = connection.prepare_cached("SELECT id, revision, body FROM record WHERE id = ?1")?;
    select.query_row([id.as_str()], row).optional()?.map(stored).transpose()
}

pub(super) fn count(connection: &Connection, partition: Partition, list: &ListKey) -> Result<u64, StoreError> {
    let mut select = connection.prepare_cached("SELECT entries FROM list WHERE \"partition\" = ?1 AND account = ?2 AND key = ?3")?;
    let found: Option<i64> = select.query_row(params![partition.0, list.account, list.key], |row| row.get(0)).optional()?;
    Ok(found.map_or(0, number))
}

/// A record's id, revision and body, in the first three columns.
pub(super) type Raw = (String, i64, Vec<u8>);

pub(super) fn row(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

pub(super) fn stored((text, revision, body): Raw) -> Result<Stored, StoreError> {
    Ok(Stored { id: id(text)?, revision: number(revision), body: body.into() })
}

pub(super) fn id(text: String) -> Result<Id, StoreError> {
    // The text itself stays out of the error: whatever it is, it is not an id.
    text.parse().map_err(|_| StoreError::Broken("what is stored as an id is none".to_owned()))
}
