//! The embedded store: one SQLite file, one process, no other service. It knows neither nouns nor business times;
//! the contract is in [`super`].
//!
//! All writes go through one thread that commits whatever waits in one transaction, so many callers share one
//! fsync ([`writer`]). A second one copies the write-ahead log into the file ([`checkpoint`]). Reads run beside them on a few
//! connections that only read ([`readers`]).

mod cache;
mod checkpoint;
mod claims;
mod commit;
mod done;
mod export;
mod hold;
mod hot;
mod import;
mod leases;
mod log;
mod place;
mod readers;
mod records;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode};

use super::{Identity, Store, StoreClock, StoreError};
use crate::domain::id::Partition;
use checkpoint::Checkpoints;
pub use export::{format_of, read_all, read_alone};
pub use import::SqliteImport;
pub use place::OpenError;
use readers::Readers;
use writer::{Turn, Writer};

/// How a store is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// How many partitions it is created with. One that exists must have been created with as many.
    pub partitions: u16,
    /// What the identity of a store that is created here is made of. One that exists keeps its own.
    pub random: [u8; 40],
    pub clock: StoreClock,
    pub synchronous: Synchronous,
}

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// The disk has it. The only choice where money is moved.
    Full,
    /// Nothing: what was acknowledged is lost with the machine's power. For tests that show the difference.
    Off,
}

/// A store on disk. Clones are handles on the same store and share its writer; when the last is dropped
/// the writer ends and the place may be opened again.
#[derive(Clone)]
pub struct SqliteStore {
    place: Arc<Opened>,
}

// Fields are dropped in this order: the writer's thread ends and with it the one that copies, the readers close, then others may
// open the place.
struct Opened {
    writer: Writer,
    _checkpoints: Checkpoints,
    readers: Readers,
    identity: Identity,
    clock: StoreClock,
    _lock: File,
}

impl SqliteStore {
    /// Opens the store at `path`, or creates it there. Blocks while it does; one process at a time may have it.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        // Two names of one file must meet at one lock.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        place::make_folder(&path)?;
        let lock = place::lock(&path)?;
        let mut connection = place::connect(&path, options.synchronous)?;
        let identity = place::create_or_check(&mut connection, &path, &options)?;
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let checkpoints = Checkpoints::start(&mut connection, path.clone(), options.synchronous).map_err(failed)?;
        let writer = Writer::start(connection, options.clock.clone()).map_err(failed)?;
        let readers = Readers::new(path);
        Ok(Self { place: Arc::new(Opened { writer, _checkpoints: checkpoints, readers, identity, clock: options.clock, _lock: lock }) })
    }

    /// Has the writer do `step` and answers once its commit is on disk. It may be done again after all that it did was undone.
    async fn write<T: Send + 'static>(
        &self,
        step: impl Fn(&mut Turn<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.place.writer.write(step).await
    }

    /// Reads from one state of the store, without waiting for the writer.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.place.clone();
        let permit = place.readers.permit().await?;
        let reading = tokio::task::spawn_blocking(move || {
            let answer = place.readers.read(look);
            // Before the place: the last handle may be this one.
            drop(permit);
            answer
        });
        reading.await.map_err(|_| StoreError::Unavailable("a reader stopped".to_owned()))?
    }

    fn now(&self) -> u64 {
        (self.place.clock)()
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn identity(&self) -> &Identity {
        &self.place.identity
    }

    async fn now_ms(&self) -> Result<u64, StoreError> {
        Ok(self.now())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let read = self.read(|connection| Ok(connection.query_row("SELECT 1 FROM meta WHERE key = 'format'", [], |_| Ok(()))?));
        // Nothing is written while writing works: a transaction that changes nothing waits for no disk.
        let write = self.write(|turn| {
            if turn.after_failure {
                turn.connection.prepare_cached("UPDATE meta SET value = value + 1 WHERE key = 'ping'")?.execute([])?;
            }
            Ok(())
        });
        tokio::try_join!(read, write)?;
        Ok(())
    }

    /// There is one copy, and what is committed is on its disk.
    async fn replicated(&self, _: Partition, _: Option<u128>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn forget(&self, limit: usize) -> Result<usize, StoreError> {
        self.write(move |turn| claims::forget(turn, limit)).await
    }

    async fn memory_percent(&self) -> Result<Option<u8>, StoreError> {
        Ok(None)
    }
}

/// What an error of SQLite *before the end of a transaction* lets us conclude: its writes are rolled back, so nothing
/// was written. The texts are SQLite's names of its errors, never its messages: those may show what is stored.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = error else {
            return StoreError::Broken("what is stored is not what was expected there".to_owned());
        };
        let text = failure.to_string();
        match failure.code {
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::TooBig
            | ErrorCode::Unknown
            | ErrorCode::ApiMisuse
            | ErrorCode::ParameterOutOfRange => StoreError::Broken(text),
            // A full disk, an I/O error, no memory, a lock: another time it may do.
            _ => StoreError::Unavailable(text),
        }
    }
}

/// A number as SQLite keeps it. Ours are times, counts and revisions, all far below the limit.
fn kept(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number as it was kept; never negative.
fn number(kept: i64) -> u64 {
    u64::try_from(kept).unwrap_or(0)
}

/// A limit of rows as SQLite takes it.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    async fn batch_of(store: &SqliteStore, statements: &'static str) -> Result<(), StoreError> {
        store.write(move |turn| Ok(turn.connection.execute_batch(statements)?)).await
    }

    async fn pings_written(store: &SqliteStore) -> i64 {
        store.read(|connection| Ok(connection.query_row("SELECT value FROM meta WHERE key = 'ping'", [], |row| row.get(0))?)).await.unwrap()
    }

    #[tokio::test]
    async fn a_ping_fails_from_a_failed_commit_until_one_succeeds() {
        let folder = TempDir::new().unwrap();
        let options = SqliteOptions { partitions: 1, random: [7; 40], clock: Arc::new(|| 1), synchronous: Synchronous::Full };
        let store = SqliteStore::open(&folder.path().join("store.db"), options).unwrap();
        store.ping().await.unwrap();
        assert_eq!(pings_written(&store).await, 0, "while writing works it is not tried");

        // From now on each change of `meta` fails, and only at COMMIT, as on a full disk.
        let breaking = "CREATE TABLE parent (n INTEGER PRIMARY KEY);
                        CREATE TABLE child (n INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
                        CREATE TRIGGER breaking AFTER UPDATE ON meta BEGIN INSERT INTO child VALUES (1); END";
        batch_of(&store, breaking).await.unwrap();
        store.ping().await.unwrap();
        batch_of(&store, "UPDATE meta SET value = value + 1 WHERE key = 'fence'").await.unwrap_err();
        store.ping().await.unwrap_err();
        // A transaction with nothing to write succeeds on the fullest disk.
        assert_eq!(store.forget(10).await.unwrap(), 0);
        store.ping().await.unwrap_err();

        batch_of(&store, "DROP TRIGGER breaking").await.unwrap();
        store.ping().await.unwrap();
        assert_eq!(pings_written(&store).await, 1, "it found out by itself");
        store.ping().await.unwrap();
        assert_eq!(pings_written(&store).await, 1);
    }

    #[tokio::test]
    async fn any_write_that_succeeds_ends_a_failure() {
        let folder = TempDir::new().unwrap();
        let options = SqliteOptions { partitions: 1, random: [7; 40], clock: Arc::new(|| 1), synchronous: Synchronous::Full };
        let store = SqliteStore::open(&folder.path().join("store.db"), options).unwrap();
        let failing = "CREATE TABLE parent (n INTEGER PRIMARY KEY);
                       CREATE TABLE child (n INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
                       INSERT INTO child VALUES (1)";
        assert!(matches!(batch_of(&store, failing).await, Err(StoreError::InDoubt(_))));
        batch_of(&store, "UPDATE meta SET value = value + 1 WHERE key = 'fence'").await.unwrap();
        store.ping().await.unwrap();
        assert_eq!(pings_written(&store).await, 0);
    }
}
