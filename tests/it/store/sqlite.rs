//! The embedded store: its promises, and what is its alone.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinSet;
use upistream::domain::id::{Id, Kind};
use upistream::store::sqlite::{OpenError, SqliteOptions, SqliteStore, Synchronous};
use upistream::store::{AnyStore, Batch, Change, LeaseStep, Log, Records, ReferenceStep};

use super::promises::{
    HERE, LEASE, PARTITIONS, Place, at, batch, claim_on, create, create_due, done, list_of, new_event, new_id, reference, take, update,
};
use crate::support::StoreTime;

store_promises!(two_handles);

async fn two_handles() -> Place {
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(StoreTime::start());
    let store = open(&folder.path().join("store.db"), &clock).unwrap();
    let (a, b): (AnyStore, AnyStore) = (Arc::new(store.clone()), Arc::new(store));
    Place { a, b, clock, _keep: Box::new(folder) }
}

fn open(path: &Path, clock: &Arc<StoreTime>) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, options(clock))
}

fn options(clock: &Arc<StoreTime>) -> SqliteOptions {
    let clock = clock.clone();
    SqliteOptions { partitions: PARTITIONS, random: [7; 40], clock: Arc::new(move || clock.now_ms()), synchronous: Synchronous::Full }
}

fn place() -> (TempDir, Arc<StoreTime>) {
    (TempDir::new().unwrap(), Arc::new(StoreTime::start()))
}

/// Two records with one event each, in one commit.
fn a_pair() -> Batch {
    let one = || Change { event: new_event(), join: vec![list_of("all")], ..create(&new_id(Kind::Payment), &"body ".repeat(300)) };
    batch([one(), one()])
}

#[tokio::test]
async fn what_was_written_is_there_when_it_is_opened_again() {
    let (folder, clock) = place();
    let path = folder.path().join("new/folders/store.db");
    let id = new_id(Kind::Qr);
    let create = Change {
        event: new_event(),
        references: vec![ReferenceStep::Unique(reference("r"))],
        join: vec![list_of("qr")],
        lease: LeaseStep::Take(LEASE),
        ..create_due(&id, 10)
    };
    let create = Batch { claims: vec![take("k", &id)], ..batch([create]) };

    let store: AnyStore = Arc::new(open(&path, &clock).unwrap());
    let identity = store.identity().clone();
    let written = done(&store, create.clone()).await;
    let claim = claim_on(&store, "k").await;
    drop(store);

    let other_random = SqliteOptions { random: [9; 40], ..options(&clock) };
    let store: AnyStore = Arc::new(SqliteStore::open(&path, other_random).unwrap());
    assert_eq!(store.identity(), &identity);
    assert_eq!((identity.log, identity.fingerprint_key), ([7; 8], [7; 32]));
    assert_eq!(done(&store, create).await, written, "it finds its own work");
    assert_eq!(claim_on(&store, "k").await, claim);
    let record = store.get(&id).await.unwrap();
    assert_eq!(store.find(HERE, &reference("r")).await.unwrap(), record);
    assert_eq!(store.list(HERE, &list_of("qr"), None, 10).await.unwrap(), [record.unwrap()]);
    assert_eq!(store.count(HERE, &list_of("qr")).await.unwrap(), 1);
    assert_eq!(Some(store.heads().await.unwrap()[1].last), written[0].position);
    assert!(store.renew(&id, written[0].fence.unwrap(), LEASE).await.unwrap());

    // Neither sequence begins again, even if nothing is left of what it numbered.
    store.trim(u64::MAX, 10).await.unwrap();
    drop(store);
    clock.pass(LEASE);
    let store: AnyStore = Arc::new(open(&path, &clock).unwrap());
    assert!(store.take_due(at(10), LEASE, 1).await.unwrap()[0].fence > written[0].fence.unwrap());
    let next = done(&store, batch([Change { event: new_event(), ..update(&id, 1, "next") }])).await;
    assert_eq!(next[0].position.map(|position| position.seq), Some(2));
}

#[tokio::test]
async fn a_place_is_open_once() {
    let (folder, clock) = place();
    let path = folder.path().join("store.db");
    let store = open(&path, &clock).unwrap();
    let handle = store.clone();

    let second = open(&path, &clock).err().unwrap();
    let path_text = path.canonicalize().unwrap().display().to_string();
    assert!(matches!(second, OpenError::AlreadyOpen { .. }));
    assert_eq!(
        second.to_string(),
        format!(
            "the store `{path_text}` is open in another process; an embedded store serves one at a time: \
             stop that one, or give this one a store of its own"
        )
    );
    drop(store);
    assert!(matches!(open(&path, &clock), Err(OpenError::AlreadyOpen { .. })), "a handle is still there");
    drop(handle);
    drop(open(&path, &clock).unwrap());
}

#[cfg(unix)]
#[test]
fn another_name_of_a_place_that_is_open_is_refused() {
    let (folder, clock) = place();
    let (path, link) = (folder.path().join("store.db"), folder.path().join("link.db"));
    let store = open(&path, &clock).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(open(&link, &clock), Err(OpenError::AlreadyOpen { .. })));
    drop(store);
}

#[test]
fn another_number_of_partitions_is_refused() {
    let (folder, clock) = place();
    let path = folder.path().join("store.db");
    drop(open(&path, &clock).unwrap());
    let refused = SqliteStore::open(&path, SqliteOptions { partitions: 16, ..options(&clock) }).err().unwrap();
    assert!(
        refused
            .to_string()
            .ends_with("was created with 4 partitions, the configuration says 16; the number can't be changed later: set it to 4")
    );
    for partitions in [0, 1_025] {
        let path = folder.path().join("other.db");
        let refused = SqliteStore::open(&path, SqliteOptions { partitions, ..options(&clock) }).err().unwrap();
        assert!(matches!(refused, OpenError::NoSuchPartitions { .. }));
    }
    drop(open(&path, &clock).unwrap());
}

#[test]
fn another_format_is_refused() {
    let (folder, clock) = place();
    let path = folder.path().join("store.db");
    drop(open(&path, &clock).unwrap());
    for (format, advice) in [(2, "it was written by a newer release, use that one"), (0, "use the release that wrote it to copy it")] {
        let file = rusqlite::Connection::open(&path).unwrap();
        file.execute("UPDATE meta SET value = ?1 WHERE key = 'format'", [format]).unwrap();
        drop(file);
        let refused = open(&path, &clock).err().unwrap().to_string();
        assert!(refused.ends_with(&format!("has format {format}, this release reads and writes format 1: {advice}")), "{refused}");
    }
}

#[test]
fn what_is_not_a_store_is_left_as_it_is() {
    let (folder, clock) = place();
    let path = folder.path().join("other.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("CREATE TABLE meta (key TEXT, value TEXT)").unwrap();
    drop(file);
    let before = fs::read(&path).unwrap();
    assert!(matches!(open(&path, &clock), Err(OpenError::NotAStore { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);

    let path = folder.path().join("text.db");
    fs::write(&path, "not a database at all, but long enough to be read as the header of one, if it were one: ".repeat(9)).unwrap();
    assert!(matches!(open(&path, &clock), Err(OpenError::Sqlite { .. })));
    // A creation that was interrupted left an empty file: it is created now.
    let path = folder.path().join("empty.db");
    fs::write(&path, "").unwrap();
    drop(open(&path, &clock).unwrap());
}

/// What the disk holds at the moment of a crash, as far as `log_bytes` of the write-ahead log got there, opened.
fn after_a_crash(folder: &Path, log_bytes: usize, clock: &Arc<StoreTime>) -> (TempDir, SqliteStore) {
    let copy = TempDir::new().unwrap();
    fs::copy(folder.join("store.db"), copy.path().join("store.db")).unwrap();
    let log = fs::read(folder.join("store.db-wal")).unwrap();
    fs::write(copy.path().join("store.db-wal"), &log[..log_bytes.min(log.len())]).unwrap();
    let store = open(&copy.path().join("store.db"), clock).unwrap();
    (copy, store)
}

#[tokio::test]
async fn a_crash_keeps_what_was_acknowledged_and_cuts_no_commit_in_two() {
    let (folder, clock) = place();
    let store: AnyStore = Arc::new(open(&folder.path().join("store.db"), &clock).unwrap());
    let mut ids: Vec<Id> = Vec::new();
    for _ in 0..40 {
        let pair = a_pair();
        ids.extend(pair.changes.iter().map(|change| change.id.clone()));
        done(&store, pair).await;
    }
    let (_copy, whole) = after_a_crash(folder.path(), usize::MAX, &clock);
    for id in &ids {
        assert!(whole.get(id).await.unwrap().is_some());
    }
    assert_eq!(whole.heads().await.unwrap()[1].last.seq, 80);

    let log_bytes = usize::try_from(fs::metadata(folder.path().join("store.db-wal")).unwrap().len()).unwrap();
    let mut kept_before = 0;
    for part in 20..=40 {
        let (_copy, cut) = after_a_crash(folder.path(), log_bytes * part / 40 + part, &clock);
        let kept = cut.heads().await.unwrap()[1].last.seq;
        assert!(kept % 2 == 0 && kept >= kept_before);
        assert_eq!(cut.count(HERE, &list_of("all")).await.unwrap(), kept);
        assert_eq!(cut.events_after(HERE, 0, 100).await.unwrap().len(), usize::try_from(kept).unwrap());
        for (index, id) in (0..).zip(&ids) {
            assert_eq!(cut.get(id).await.unwrap().is_some(), index < kept);
        }
        kept_before = kept;
    }
    assert_eq!(kept_before, 80);
}

/// Transactions in a write-ahead log: frames that carry the file's size, which only the last of a transaction does.
fn transactions(log: &[u8]) -> usize {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4_096;
    log[HEADER..].chunks_exact(FRAME).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn commits_that_wait_share_a_transaction() {
    let (folder, clock) = place();
    let store: AnyStore = Arc::new(open(&folder.path().join("store.db"), &clock).unwrap());
    let so_far = || transactions(&fs::read(folder.path().join("store.db-wal")).unwrap());

    let before = so_far();
    for _ in 0..10 {
        done(&store, a_pair()).await;
    }
    let one_by_one = so_far();
    assert_eq!(one_by_one - before, 10);

    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let store = store.clone();
        callers.spawn(async move { done(&store, a_pair()).await });
    }
    callers.join_all().await;
    let together = so_far() - one_by_one;
    assert!(together <= 20, "200 commits at once took {together} transactions");
    assert_eq!(store.heads().await.unwrap()[1].last.seq, 420);
    assert_eq!(store.count(HERE, &list_of("all")).await.unwrap(), 420);
}

#[tokio::test]
async fn a_caller_who_leaves_takes_no_write_with_him() {
    let (folder, clock) = place();
    let store: AnyStore = Arc::new(open(&folder.path().join("store.db"), &clock).unwrap());
    let left = a_pair();
    let id = left.changes[0].id.clone();
    {
        let mut commit = store.commit(left.into());
        // Polled once: it is queued, and never asked again.
        std::future::poll_fn(|context| {
            let _ = commit.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    done(&store, a_pair()).await;
    assert!(store.get(&id).await.unwrap().is_some());
}

/// How many commits the file at `path` remembers; in these tests each was a transaction of its own.
fn remembered(path: &Path) -> i64 {
    let file = rusqlite::Connection::open(path).unwrap();
    file.query_row("SELECT count(*) FROM done_together", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn commits_of_long_ago_are_no_longer_remembered() {
    let (folder, clock) = place();
    let path = folder.path().join("store.db");
    let store: AnyStore = Arc::new(open(&path, &clock).unwrap());
    for _ in 0..80 {
        done(&store, a_pair()).await;
    }
    assert_eq!(remembered(&path), 80);
    clock.pass(Duration::from_secs(601));
    let late = a_pair();
    let reply = done(&store, late.clone()).await;
    // 64 go together, and so few as are left then wait for others.
    assert_eq!(remembered(&path), 80 - 64 + 1);
    for _ in 0..50 {
        done(&store, a_pair()).await;
    }
    assert_eq!(remembered(&path), 80 - 64 + 51);
    assert_eq!(done(&store, late.clone()).await, reply);
    drop(store);
    let store: AnyStore = Arc::new(open(&path, &clock).unwrap());
    assert_eq!(done(&store, late).await, reply);
}

#[tokio::test]
async fn a_store_that_remembered_each_commit_by_itself_is_opened() {
    let (folder, clock) = place();
    let path = folder.path().join("store.db");
    drop(open(&path, &clock).unwrap());
    let before = "DROP TABLE done_together;
                  CREATE TABLE done (n INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, ms INTEGER NOT NULL, reply BLOB NOT NULL)";
    rusqlite::Connection::open(&path).unwrap().execute_batch(before).unwrap();
    let store: AnyStore = Arc::new(open(&path, &clock).unwrap());
    let pair = a_pair();
    let reply = done(&store, pair.clone()).await;
    assert_eq!(done(&store, pair).await, reply);
    assert_eq!(remembered(&path), 1);
}
