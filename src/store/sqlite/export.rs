//! Reads all of an embedded store, in one read transaction: one state of it, whatever a service that has it open writes
//! meanwhile. (So long the write-ahead log can't be cut: it grows by what is written.)

use std::fs::File;
use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Row, params};

use super::{OpenError, log, number, place, records};
use crate::domain::id::Id;
use crate::store::StoreError;
use crate::store::transfer::{ClaimPiece, DuePiece, EventPiece, Giver, HeadPiece, Origin, Pages, Piece, RecordPiece};

/// All of the store at `path`. A service may have it open.
pub fn read_all(path: &Path) -> Result<(Origin, Pages), OpenError> {
    read(path, None)
}

/// The same of a store that no service has open, nor opens until the last page was given.
pub fn read_alone(path: &Path) -> Result<(Origin, Pages), OpenError> {
    if !path.exists() {
        return Err(OpenError::NoStore { path: path.to_owned() });
    }
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let lock = place::lock(&path)?;
    read(&path, Some(lock))
}

/// The format that the store at `path` is written in: the only one that this release knows.
pub fn format_of(path: &Path) -> Result<u32, OpenError> {
    if !path.exists() {
        return Err(OpenError::NoStore { path: path.to_owned() });
    }
    let connection = place::connect_to_read(path).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
    place::check(&connection, path).map(|_| place::FORMAT)
}

fn read(path: &Path, lock: Option<File>) -> Result<(Origin, Pages), OpenError> {
    if !path.exists() {
        return Err(OpenError::NoStore { path: path.to_owned() });
    }
    let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let connection = place::connect_to_read(path).map_err(failed)?;
    connection.execute_batch("BEGIN").map_err(failed)?;
    // This first read says which state all others read.
    let identity = place::check(&connection, path)?;
    let origin = Origin { fingerprint_key: identity.fingerprint_key, partitions: identity.partitions };
    let (mut giver, pages) = Giver::new();
    tokio::task::spawn_blocking(move || {
        let given = give(&connection, &mut giver);
        drop(connection);
        drop(lock);
        giver.end_blocking(given);
    });
    Ok((origin, pages))
}

/// Gives everything, as long as somebody takes it.
fn give(connection: &Connection, giver: &mut Giver) -> Result<(), StoreError> {
    let mut select = connection.prepare("SELECT \"partition\", ms, seq, trimmed_ms FROM head ORDER BY \"partition\"")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let head = HeadPiece { partition: row.get(0)?, ms: count(row, 1)?, seq: count(row, 2)?, trimmed_ms: count(row, 3)? };
        if !giver.give_blocking(Piece::Head(head)) {
            return Ok(());
        }
    }
    let mut select = connection
        .prepare("SELECT r.n, r.id, r.revision, r.body, d.at, d.news FROM record r LEFT JOIN due d ON d.record = r.n ORDER BY r.n")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if !giver.give_blocking(Piece::Record(record(connection, row)?)) {
            return Ok(());
        }
    }
    let mut select = connection.prepare("SELECT at, ms, id, body FROM event ORDER BY at")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (partition, seq) = log::place_of(row.get(0)?);
        let event = EventPiece { partition: partition.0, seq, ms: count(row, 1)?, id: id(row, 2)?, body: row.get(3)? };
        if !giver.give_blocking(Piece::Event(event)) {
            return Ok(());
        }
    }
    let mut select = connection.prepare("SELECT \"partition\", scope, record, fingerprint, outcome, over FROM claim")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let claim = ClaimPiece {
            partition: row.get(0)?,
            scope: row.get(1)?,
            record: id(row, 2)?,
            fingerprint: row.get(3)?,
            outcome: row.get(4)?,
            over_ms: row.get::<_, Option<i64>>(5)?.map(number),
        };
        if !giver.give_blocking(Piece::Claim(claim)) {
            return Ok(());
        }
    }
    Ok(())
}

fn record(connection: &Connection, row: &Row<'_>) -> Result<RecordPiece, StoreError> {
    let n: i64 = row.get(0)?;
    let mut lists = connection
        .prepare_cached("SELECT l.account, l.key FROM entry e JOIN list l ON l.n = e.list WHERE e.record = ?1 ORDER BY l.account, l.key")?;
    let lists = lists.query_map([n], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut references =
        connection.prepare_cached("SELECT account, sort, value FROM reference WHERE record = ?1 ORDER BY account, sort, value")?;
    let references = references.query_map(params![n], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let at: Option<i64> = row.get(4)?;
    let news = row.get(5)?;
    Ok(RecordPiece {
        id: id(row, 1)?,
        revision: count(row, 2)?,
        body: row.get(3)?,
        lists,
        references: references.collect::<rusqlite::Result<_>>()?,
        due: at.map(|at| DuePiece { at, news }),
        rested_ms: None,
    })
}

fn id(row: &Row<'_>, column: usize) -> Result<Id, StoreError> {
    records::id(get(row, column)?)
}

fn count(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    get(row, column).map(number)
}

fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, StoreError> {
    Ok(row.get(column)?)
}
