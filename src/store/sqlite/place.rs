//! The place of an embedded store: its folder, its lock, its file, and what it was created as.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::{Identity, SqliteOptions, Synchronous, cache};
use crate::domain::id::PARTITIONS_MAX;

/// The format that this release writes and reads.
pub(super) const FORMAT: u32 = 1;
/// Tells our files from other programs' SQLite files (`upis`).
const APPLICATION_ID: i32 = 0x7570_6973;
/// Noted in `meta` of a store that is being filled.
const HALF_MADE: &str = "half_made";
/// Noted in `meta` of a store that was filled, until all that was not at rest then was looked up.
pub(super) const SENDING_HELD: &str = "sending_held";
/// Noted in `meta` of a store that was filled, for good.
pub(super) const FILLED: &str = "filled";
/// How long a connection waits for a lock. Only opening and recovering ever hold one against another.
const BUSY: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared: all of them, and some room.
const STATEMENTS: usize = 96;
/// Pages that the write-ahead log's file is cut to when it begins anew, more than it usually has (16 MiB), and at which it is
/// copied back where no other thread does that.
const WAL_PAGES: u32 = 4_096;

/// Why a store was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the store `{}` is open in another process; an embedded store serves one at a time: stop that one, or give this one a store of its own",
        path.display()
    )]
    AlreadyOpen { path: PathBuf },
    #[error("the store `{}` has format {found}, this release reads and writes format {FORMAT}{}", path.display(), advice(*found))]
    Format { path: PathBuf, found: u32 },
    #[error(
        "the store `{}` was created with {found} partitions, the configuration says {asked}; the number can't be changed later: set it to {found}",
        path.display()
    )]
    Partitions { path: PathBuf, found: u16, asked: u16 },
    #[error("a store has 1 to {PARTITIONS_MAX} partitions, the configuration says {asked}")]
    NoSuchPartitions { asked: u16 },
    #[error("`{}` is not a store of this service", path.display())]
    NotAStore { path: PathBuf },
    #[error(
        "the store `{0}` is half made: a restore or a copy into it did not come to its end; remove `{0}`, `{0}-wal` and `{0}-shm`, and begin that anew",
        path.display()
    )]
    HalfMade { path: PathBuf },
    #[error("there is something in `{0}` already, and only a store that is new can be filled; give another store.embedded.path, or move `{0}` away", path.display())]
    NotEmpty { path: PathBuf },
    #[error("there is no store `{}`; see that store.embedded.path is the one that is meant", path.display())]
    NoStore { path: PathBuf },
    #[error("can't use `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("can't open the store `{}`: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}

fn advice(found: u32) -> &'static str {
    if found > FORMAT { ": it was written by a newer release, use that one" } else { ": use the release that wrote it to copy it" }
}

/// Makes the folder of `path`. What stands in it is on disk only once its own name is.
pub(super) fn make_folder(path: &Path) -> Result<(), OpenError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => return Ok(()),
    };
    let failed = |source| OpenError::Io { path: folder.to_owned(), source };
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    fs::create_dir_all(folder).map_err(failed)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(above).and_then(|above| above.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// Takes the place for this process; it is free again when the file is closed, also by a crash. The lock's file is
/// beside the store's, since SQLite's own locks on that one must not be mixed with others.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let failed = |source| OpenError::Io { path: name.clone(), source };
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::AlreadyOpen { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// A connection that writes. It changes nothing yet.
pub(super) fn connect(path: &Path, synchronous: Synchronous) -> Result<Connection, OpenError> {
    let connect = || {
        // A path is a path, whatever it begins with: no URIs.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        settle_in(&connection)?;
        let synchronous = match synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Off => "OFF",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", WAL_PAGES * 4_096)?;
        Ok(connection)
    };
    connect().map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })
}

/// A connection that only reads.
pub(super) fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    settle_in(&connection)?;
    Ok(connection)
}

fn settle_in(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    // Plans don't depend on what is bound: otherwise many statements would be compiled anew at each call.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    cache::set(connection, cache::CACHE_KIB)
}

/// Creates the store in an empty file; otherwise checks that it is one, and the one that is wanted.
pub(super) fn create_or_check(connection: &mut Connection, path: &Path, options: &SqliteOptions) -> Result<Identity, OpenError> {
    let asked = options.partitions;
    if asked == 0 || asked > PARTITIONS_MAX {
        return Err(OpenError::NoSuchPartitions { asked });
    }
    let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match (application, tables) {
        (0, 0) => create(connection, options, None).map_err(failed)?,
        (APPLICATION_ID, 1..) => (),
        _ => return Err(OpenError::NotAStore { path: path.to_owned() }),
    }
    let identity = check(connection, path)?;
    if identity.partitions != asked {
        return Err(OpenError::Partitions { path: path.to_owned(), found: identity.partitions, asked });
    }
    remember_together(connection).map_err(failed)?;
    Ok(identity)
}

/// A store from before this format was first released remembered each commit in a row of its own. Nothing of that is needed.
fn remember_together(connection: &Connection) -> rusqlite::Result<()> {
    let is_old = connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'done'")?.exists([])?;
    if is_old {
        let statements = "BEGIN IMMEDIATE; DROP TABLE done;
                          CREATE TABLE done_together (n INTEGER PRIMARY KEY, ms INTEGER NOT NULL, commits BLOB NOT NULL); COMMIT";
        connection.execute_batch(statements)?;
    }
    Ok(())
}

/// What the store is that is there, if this release can use it.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<Identity, OpenError> {
    let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(OpenError::NotAStore { path: path.to_owned() });
    }
    let found: u32 = meta(connection, "format").map_err(failed)?.ok_or_else(|| OpenError::NotAStore { path: path.to_owned() })?;
    if found != FORMAT {
        return Err(OpenError::Format { path: path.to_owned(), found });
    }
    if meta::<i64>(connection, HALF_MADE).map_err(failed)?.is_some() {
        return Err(OpenError::HalfMade { path: path.to_owned() });
    }
    identity(connection).map_err(failed)
}

/// Creates a store in an empty file that is half made until [`whole`] is said of it.
pub(super) fn create_half(connection: &mut Connection, path: &Path, options: &SqliteOptions) -> Result<(), OpenError> {
    let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if tables > 0 {
        // Half a store says what to do with it.
        check(connection, path)?;
        return Err(OpenError::NotEmpty { path: path.to_owned() });
    }
    create(connection, options, Some(HALF_MADE)).map_err(failed)
}

/// The store is whole from now on, and sending held.
pub(super) fn whole(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?1, 1)", [FILLED])?;
    connection.execute("UPDATE meta SET key = ?2 WHERE key = ?1", [HALF_MADE, SENDING_HELD]).map(|_| ())
}

/// All in one transaction: a store is either whole or an empty file. `mark`: what is noted of it besides.
fn create(connection: &mut Connection, options: &SqliteOptions, mark: Option<&str>) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        // Some network file systems can't. Nor could they keep what was acknowledged.
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some("this file system can't keep a write-ahead log".to_owned()),
        ));
    }
    let (log, fingerprint_key) = options.random.split_at(8);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    let mut insert = transaction.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)")?;
    insert.execute(params!["format", FORMAT])?;
    insert.execute(params!["partitions", options.partitions])?;
    insert.execute(params!["log", log])?;
    insert.execute(params!["fingerprint_key", fingerprint_key])?;
    insert.execute(params!["fence", 0])?;
    insert.execute(params!["ping", 0])?;
    if let Some(mark) = mark {
        insert.execute(params![mark, 1])?;
    }
    drop(insert);
    for partition in 0..options.partitions {
        transaction.execute("INSERT INTO head (\"partition\", ms, seq, trimmed_ms) VALUES (?1, 0, 0, 0)", [partition])?;
    }
    transaction.commit()
}

fn identity(connection: &Connection) -> rusqlite::Result<Identity> {
    let all = |key| meta(connection, key)?.ok_or(rusqlite::Error::QueryReturnedNoRows);
    let partitions = meta(connection, "partitions")?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let log: [u8; 8] = all("log")?;
    let fingerprint_key = meta(connection, "fingerprint_key")?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(Identity { log, fingerprint_key, partitions })
}

pub(super) fn meta<T: rusqlite::types::FromSql>(connection: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}
