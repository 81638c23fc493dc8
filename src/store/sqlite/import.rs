//! Fills a new embedded store with what another held. Until it is whole it says so, and nobody opens it.

use std::fs::File;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{OpenError, SqliteOptions, kept, log, place};
use crate::domain::id::Partition;
use crate::store::StoreError;
use crate::store::transfer::{ClaimPiece, EventPiece, HeadPiece, Origin, Piece, RecordPiece, Sink};

/// A store that is being filled.
pub struct SqliteImport {
    /// `None` only while a page is written.
    connection: Option<Connection>,
    path: PathBuf,
    fence: i64,
    _lock: File,
}

impl SqliteImport {
    /// Begins to fill the store at `path`, which must be new. Its log gets an identity of its own, by `options.random`. Blocks.
    pub fn begin(path: &Path, options: &SqliteOptions, origin: &Origin) -> Result<Self, OpenError> {
        if origin.partitions != options.partitions {
            return Err(OpenError::Partitions { path: path.to_owned(), found: origin.partitions, asked: options.partitions });
        }
        place::make_folder(path)?;
        let lock = place::lock(path)?;
        let mut connection = place::connect(path, options.synchronous)?;
        let mut options = options.clone();
        options.random[8..].copy_from_slice(&origin.fingerprint_key);
        place::create_half(&mut connection, path, &options)?;
        // Above all that any lease of the store before had.
        let fence = kept((options.clock)().saturating_mul(1_000));
        Ok(Self { connection: Some(connection), path: path.to_owned(), fence, _lock: lock })
    }

    /// Says that the store is whole. Blocks.
    pub fn finish(mut self) -> Result<(), OpenError> {
        let failed = |source| OpenError::Sqlite { path: self.path.clone(), source };
        let Some(connection) = self.connection.take() else { return Err(OpenError::HalfMade { path: self.path.clone() }) };
        let done = || {
            connection.execute("UPDATE meta SET value = max(value, ?1) WHERE key = 'fence'", [self.fence])?;
            place::whole(&connection)
        };
        done().map_err(failed)
    }
}

#[async_trait]
impl Sink for SqliteImport {
    async fn put(&mut self, page: Vec<Piece>) -> Result<(), StoreError> {
        let lost = || StoreError::Broken("an earlier page was not written".to_owned());
        let mut connection = self.connection.take().ok_or_else(lost)?;
        let writing = tokio::task::spawn_blocking(move || put(&mut connection, &page).map(|()| connection));
        self.connection = Some(writing.await.map_err(|_| lost())??);
        Ok(())
    }
}

fn put(connection: &mut Connection, page: &[Piece]) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for piece in page {
        match piece {
            Piece::Head(head) => put_head(&transaction, head)?,
            Piece::Record(record) => put_record(&transaction, record)?,
            Piece::Event(event) => put_event(&transaction, event)?,
            Piece::Claim(claim) => put_claim(&transaction, claim)?,
        }
    }
    Ok(transaction.commit()?)
}

fn put_head(connection: &Connection, head: &HeadPiece) -> Result<(), StoreError> {
    let HeadPiece { partition, ms, seq, trimmed_ms } = head;
    let mut update = connection.prepare_cached("UPDATE head SET ms = ?2, seq = ?3, trimmed_ms = ?4 WHERE \"partition\" = ?1")?;
    update.execute(params![partition, kept(*ms), kept(*seq), kept(*trimmed_ms)])?;
    Ok(())
}

fn put_record(connection: &Connection, record: &RecordPiece) -> Result<(), StoreError> {
    let RecordPiece { id, revision, body, lists, references, due, rested_ms: _ } = record;
    let partition = id.partition().0;
    let mut insert = connection.prepare_cached("INSERT INTO record (id, revision, body) VALUES (?1, ?2, ?3)")?;
    let n = insert.insert(params![id.as_str(), kept(*revision), body])?;
    for (account, key) in lists {
        let mut count = connection.prepare_cached(
            "INSERT INTO list (\"partition\", account, key, entries) VALUES (?1, ?2, ?3, 1)
             ON CONFLICT DO UPDATE SET entries = entries + 1 RETURNING n",
        )?;
        let list: i64 = count.query_row(params![partition, account, key], |row| row.get(0))?;
        let mut insert = connection.prepare_cached("INSERT INTO entry (list, id, record) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![list, id.as_str(), n])?;
    }
    for (account, sort, value) in references {
        let mut insert =
            connection.prepare_cached("INSERT INTO reference (\"partition\", account, sort, value, record) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        insert.execute(params![partition, account, sort, value, n])?;
    }
    if let Some(due) = due {
        let mut insert = connection.prepare_cached("INSERT INTO due (record, at, news) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![n, due.at, due.news])?;
    }
    if record.is_unseen() {
        let mut insert = connection.prepare_cached("INSERT INTO unseen (\"partition\", id) VALUES (?1, ?2)")?;
        insert.execute(params![partition, id.as_str()])?;
    }
    Ok(())
}

fn put_event(connection: &Connection, event: &EventPiece) -> Result<(), StoreError> {
    let EventPiece { partition, seq, ms, id, body } = event;
    let mut insert = connection.prepare_cached("INSERT INTO event (at, ms, id, body) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![log::key(Partition(*partition), *seq), kept(*ms), id.as_str(), body])?;
    Ok(())
}

fn put_claim(connection: &Connection, claim: &ClaimPiece) -> Result<(), StoreError> {
    let ClaimPiece { partition, scope, record, fingerprint, outcome, over_ms } = claim;
    let mut insert = connection
        .prepare_cached("INSERT INTO claim (\"partition\", scope, record, fingerprint, outcome, over) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    insert.execute(params![partition, scope, record.as_str(), fingerprint, outcome, over_ms.map(kept)])?;
    Ok(())
}
