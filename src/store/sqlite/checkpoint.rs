//! Copying the write-ahead log back into the file, beside the thread that writes. All that a copy takes would otherwise come
//! between two transactions: a tenth of the writing thread's processor time with 10,000 codes, a seventh with a million (nearly
//! each new reference then changes a page of its own), and a wait for the disk besides.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tracing::warn;

use super::{Synchronous, place};

/// Frames of the log, of a page each, at which it is copied (12 MiB): a longer one makes reads and a start after a crash slower,
/// a shorter one has hot pages copied more often.
const COPIED_FROM: i32 = 3_072;
/// Frames at which the writing thread copies itself, whoever else should have: so the log has an end.
const FRAMES_MAX: i32 = 2 * COPIED_FROM;
/// Copies in a row. While the first one runs more is written, which the second one copies, and what is written while that
/// runs is little enough for the writing thread, which alone can begin the log anew.
const COPIES: usize = 2;

/// The thread that copies. It ends when the connection that writes is closed.
pub(super) struct Checkpoints {
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// From now on the log of `writing` is copied as it grows.
    pub(super) fn start(writing: &mut Connection, path: PathBuf, synchronous: Synchronous) -> std::io::Result<Self> {
        let (ask, asked) = sync_channel(1);
        let is_copied = Arc::new(AtomicBool::new(false));
        let mut growing = Growing { ask, is_asked: false, is_copied: Arc::clone(&is_copied) };
        writing
            .wal_hook(Some(move |wal: &mut Wal, frames| {
                growing.committed(frames, || wal.checkpoint());
                Ok(())
            }))
            .map_err(std::io::Error::other)?;
        let copy = move || copy_when_asked(&asked, &is_copied, || place::connect(&path, synchronous).map_err(|cause| cause.to_string()));
        let thread = thread::Builder::new().name("store-copier".to_owned()).spawn(copy)?;
        Ok(Self { thread: Some(thread) })
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The log as the writing thread sees it.
struct Growing {
    ask: SyncSender<()>,
    is_asked: bool,
    /// Nearly all of it is in the file.
    is_copied: Arc<AtomicBool>,
}

impl Growing {
    /// The log has so many frames now. `finish` copies what is left of it, so that it begins anew with the next transaction.
    fn committed<E>(&mut self, frames: i32, finish: impl FnOnce() -> Result<(), E>) {
        if self.is_copied.swap(false, Ordering::AcqRel) || frames >= FRAMES_MAX {
            // Whether it succeeds is no matter of the transaction, which is on disk: a reader, or the other thread, may be in
            // the way, and a disk that fails is found out by who writes next.
            let _ = finish();
            self.is_asked = false;
        } else if frames >= COPIED_FROM && !self.is_asked {
            self.is_asked = !matches!(self.ask.try_send(()), Err(TrySendError::Disconnected(())));
        }
    }
}

fn copy_when_asked(asked: &Receiver<()>, is_copied: &AtomicBool, connect: impl Fn() -> Result<Connection, String>) {
    let mut connection = None;
    let mut trouble = None;
    while asked.recv().is_ok() {
        let failed = copy(&mut connection, &connect).err();
        if let Some(cause) = failed.as_ref().filter(|cause| trouble.as_ref() != Some(*cause)) {
            warn!("the store's write-ahead log can't be copied beside what is written: {cause}");
        }
        trouble = failed;
        is_copied.store(true, Ordering::Release);
    }
}

fn copy(connection: &mut Option<Connection>, connect: impl Fn() -> Result<Connection, String>) -> Result<(), String> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(connect()?),
    };
    for _ in 0..COPIES {
        // Passive: nobody waits for it.
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(|cause| cause.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_writing_thread_asks_once_and_finishes_what_was_copied() {
        let (ask, asked) = sync_channel(1);
        let mut growing = Growing { ask, is_asked: false, is_copied: Arc::default() };
        let mut committed = |frames, is_copied: bool| {
            growing.is_copied.store(is_copied, Ordering::Release);
            let mut finishes = 0;
            growing.committed(frames, || {
                finishes += 1;
                Err("a reader is in the way")
            });
            (asked.try_recv().is_ok(), finishes)
        };
        assert_eq!(committed(COPIED_FROM - 1, false), (false, 0));
        assert_eq!(committed(COPIED_FROM, false), (true, 0));
        assert_eq!(committed(COPIED_FROM + 1, false), (false, 0), "it is being copied");
        assert_eq!(committed(COPIED_FROM + 2, true), (false, 1));
        assert_eq!(committed(COPIED_FROM + 3, false), (true, 0), "it did not begin anew");
        assert_eq!(committed(FRAMES_MAX, false), (false, 1), "nobody else does");
        assert_eq!(committed(FRAMES_MAX + 1, false), (false, 1));
    }

    #[test]
    fn the_log_is_copied_and_begins_anew_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let mut writing = place::connect(&path, Synchronous::Off).unwrap();
        writing.pragma_update(None, "journal_mode", "WAL").unwrap();
        let checkpoints = Checkpoints::start(&mut writing, path.clone(), Synchronous::Off).unwrap();
        // Dropped first, also where something fails: the thread ends with it.
        let writing = writing;
        writing.execute_batch("CREATE TABLE blob (bytes BLOB)").unwrap();
        let log = folder.path().join("store.db-wal");
        let frames = || std::fs::metadata(&log).unwrap().len() / 4_120;
        // The log's header has a number that counts up when it begins anew.
        let begun = || {
            let mut header = [0; 16];
            File::open(&log).unwrap().read_exact(&mut header).unwrap();
            header[12..].to_owned()
        };
        let (first, patience) = (begun(), Instant::now() + Duration::from_secs(20));
        let mut rows = 0;
        let mut write = || {
            writing.execute("INSERT INTO blob VALUES (zeroblob(4000))", []).unwrap();
            rows += 1;
            assert!(Instant::now() < patience, "after {rows} rows");
        };
        while frames() <= u64::try_from(COPIED_FROM).unwrap() {
            write();
        }
        // Nothing is written meanwhile, so nobody else copies.
        while std::fs::metadata(&path).unwrap().len() < 4_096 * 512 {
            assert!(Instant::now() < patience, "it is not copied");
            thread::yield_now();
        }
        while begun() == first {
            write();
        }
        assert!(frames() < u64::try_from(2 * FRAMES_MAX).unwrap());
        drop(writing);
        drop(checkpoints);
        let read = Connection::open(&path).unwrap();
        let found: i32 = read.query_row("SELECT count(*) FROM blob", [], |row| row.get(0)).unwrap();
        assert_eq!(found, rows);
    }
}
