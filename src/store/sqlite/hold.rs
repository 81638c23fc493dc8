//! What is held back in a store that was restored or copied: a mark in `meta`, and the records that were not looked up yet.

use async_trait::async_trait;
use rusqlite::params;

use super::place::{FILLED, SENDING_HELD, meta};
use super::{SqliteStore, number, records, rows};
use crate::domain::id::{Id, Partition};
use crate::store::{Hold, PAGE_MAX, StoreError};

#[async_trait]
impl Hold for SqliteStore {
    async fn unseen(&self) -> Result<Option<u64>, StoreError> {
        self.read(|connection| {
            // A store that was never filled may have been created before there was the other table.
            if meta::<i64>(connection, SENDING_HELD)?.is_none() {
                return Ok(None);
            }
            let count = connection.query_row("SELECT count(*) FROM unseen", [], |row| row.get(0))?;
            Ok(Some(number(count)))
        })
        .await
    }

    async fn unseen_after(&self, partition: Partition, after: Option<&Id>, limit: usize) -> Result<Vec<Id>, StoreError> {
        let after = after.map_or(String::new(), ToString::to_string);
        self.read(move |connection| {
            let mut select =
                connection.prepare_cached("SELECT id FROM unseen WHERE \"partition\" = ?1 AND id > ?2 ORDER BY id LIMIT ?3")?;
            let found = select.query_map(params![partition.0, after, rows(limit.min(PAGE_MAX))], |row| row.get(0))?;
            found.collect::<rusqlite::Result<Vec<String>>>()?.into_iter().map(records::id).collect()
        })
        .await
    }

    async fn seen(&self, id: &Id) -> Result<(), StoreError> {
        let id = id.clone();
        self.write(move |turn| {
            let mut delete = turn.connection.prepare_cached("DELETE FROM unseen WHERE \"partition\" = ?1 AND id = ?2")?;
            delete.execute(params![id.partition().0, id.as_str()])?;
            Ok(())
        })
        .await
    }

    async fn lift_hold(&self) -> Result<bool, StoreError> {
        self.write(|turn| {
            let mut delete = turn.connection.prepare_cached("DELETE FROM meta WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM unseen)")?;
            Ok(delete.execute([SENDING_HELD])? > 0 || meta::<i64>(turn.connection, SENDING_HELD)?.is_none())
        })
        .await
    }

    async fn was_filled(&self) -> Result<bool, StoreError> {
        self.read(|connection| Ok(meta::<i64>(connection, FILLED)?.is_some())).await
    }
}
