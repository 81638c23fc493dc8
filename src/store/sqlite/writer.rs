//! The one thread that writes. It takes whatever waits, does all of it in one transaction, commits, and only then answers:
//! many callers share one fsync, and nobody hears of a write that a power cut could take back. Where one of the jobs fails, all
//! is undone and each gets a transaction of its own: a savepoint for each would cost every job what hardly any needs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use super::cache::WriterCache;
use super::done::{Doing, Done};
use super::hot::Hot;
use crate::domain::id::Partition;
use crate::store::{Growth, StoreClock, StoreError, Written};

/// Jobs that may wait. A caller beyond them waits to queue up: that is how a slow disk is felt, not as memory.
const WAITING_MAX: usize = 1_024;
/// Jobs that share a transaction. More would make the first of them wait longer and spare hardly any fsync.
const TOGETHER_MAX: usize = 256;

/// A transaction, for the jobs that share it.
pub(super) struct Turn<'a> {
    pub(super) connection: &'a Connection,
    /// The store's clock.
    pub(super) now: u64,
    /// What of the tables is counted here until the end. Who reads or changes those tables by themselves has it written first.
    pub(super) hot: Hot,
    pub(super) doing: Doing,
    /// Where the log grew.
    pub(super) appended: Vec<Partition>,
    /// The last transaction that had something to write failed: whether writing works again is not known.
    pub(super) after_failure: bool,
    done: &'a mut Done,
}

impl Turn<'_> {
    /// What the commit of this name was answered, if it was applied before.
    pub(super) fn own_work(&mut self, write: u128) -> Result<Option<Vec<Written>>, StoreError> {
        self.doing.own_work(self.done, self.connection, write)
    }

    /// Writes what was kept for the end.
    fn settle(&mut self) -> Result<(), StoreError> {
        self.hot.write(self.connection)?;
        self.doing.write(self.done, self.connection, self.now)
    }
}

/// What a transaction that was committed did.
struct Committed {
    doing: Doing,
    /// The log grew.
    appended: Vec<Partition>,
    /// Something was written, so writing works.
    wrote: bool,
}

trait Job: Send {
    /// False: it failed, and what it did must be undone. May be done again after that.
    fn run(&mut self, turn: &mut Turn<'_>) -> bool;
    fn answer(self: Box<Self>, end: Result<(), StoreError>);
}

struct Asked<T, F> {
    step: F,
    came_to: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: Fn(&mut Turn<'_>) -> Result<T, StoreError> + Send> Job for Asked<T, F> {
    fn run(&mut self, turn: &mut Turn<'_>) -> bool {
        let came_to = (self.step)(turn);
        let went_well = came_to.is_ok();
        self.came_to = Some(came_to);
        went_well
    }

    fn answer(self: Box<Self>, end: Result<(), StoreError>) {
        let not_run = || Err(StoreError::Unavailable("the writer did not come to it".to_owned()));
        let Self { step: _, came_to, reply } = *self;
        let answer = end.and_then(|()| came_to.unwrap_or_else(not_run));
        // A caller who left takes nothing with him.
        let _ = reply.send(answer);
    }
}

/// The way to the writing thread. Dropping it ends the thread, once it has done what was queued, and waits for that.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    grown: watch::Receiver<Growth>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, clock: StoreClock) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let (growing, grown) = watch::channel(Growth::default());
        let writing = Writing { connection, clock, growing, done: Done::default(), cache: WriterCache::default(), after_failure: false };
        let work = move || writing.go_on(waiting);
        let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(work)?;
        Ok(Self { queue: Some(queue), grown, thread: Some(thread) })
    }

    pub(super) fn grown(&self) -> watch::Receiver<Growth> {
        self.grown.clone()
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        step: impl Fn(&mut Turn<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Asked { step, came_to: None, reply });
        let closed = || StoreError::Unavailable("the writer has stopped".to_owned());
        self.queue.as_ref().ok_or_else(closed)?.send(job).await.map_err(|_| closed())?;
        // The job was taken and nobody answers for it: it may have been done.
        answer.await.unwrap_or_else(|_| Err(StoreError::InDoubt("the writer gave up in the middle".to_owned())))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The writing thread.
struct Writing {
    connection: Connection,
    clock: StoreClock,
    growing: watch::Sender<Growth>,
    done: Done,
    cache: WriterCache,
    after_failure: bool,
}

/// How a transaction ended.
enum Ended {
    Committed,
    /// A job failed, and what all of them did was undone.
    Undone,
    Failed(StoreError),
    Panicked,
}

impl Writing {
    fn go_on(mut self, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
        let mut jobs = Vec::with_capacity(TOGETHER_MAX);
        while waiting.blocking_recv_many(&mut jobs, TOGETHER_MAX) > 0 {
            match self.commit(&mut jobs) {
                Ended::Undone if jobs.len() > 1 => {
                    for job in jobs.drain(..) {
                        let mut alone = [job];
                        let ended = self.commit(&mut alone);
                        answer(alone, &ended);
                    }
                }
                ended => answer(jobs.drain(..), &ended),
            }
        }
    }

    /// Does all jobs in one transaction.
    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Ended {
        // A job that panics takes its companions' answers with it (they are in doubt), not the writer.
        let Ok(tried) = catch_unwind(AssertUnwindSafe(|| self.try_to_commit(jobs))) else {
            error!("a write to the store panicked; the writes that shared its transaction are in doubt");
            roll_back(&self.connection);
            self.done.doubt();
            self.after_failure = true;
            return Ended::Panicked;
        };
        let ended = match tried {
            Ok(Some(Committed { doing, appended, wrote })) => {
                self.done.add(doing);
                if !appended.is_empty() {
                    self.growing.send_modify(|growth| appended.iter().for_each(|partition| growth.note(*partition)));
                }
                // One that wrote nothing never asked the disk: it proves nothing.
                self.after_failure &= !wrote;
                return Ended::Committed;
            }
            Ok(None) => Ended::Undone,
            Err(error) => Ended::Failed(error),
        };
        self.after_failure = true;
        ended
    }

    /// `None`: a job failed.
    fn try_to_commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Option<Committed>, StoreError> {
        let ran = self.run(jobs);
        let Ok(Some(committed)) = ran else {
            roll_back(&self.connection);
            return ran;
        };
        match self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            Ok(_) => Ok(Some(committed)),
            Err(error) => {
                roll_back(&self.connection);
                self.done.doubt();
                Err(doubt(error))
            }
        }
    }

    /// Until COMMIT nothing is written for good, so an error here is one that a rollback undoes.
    fn run(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Option<Committed>, StoreError> {
        let Self { connection, clock, growing: _, done, cache, after_failure } = self;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let before = connection.total_changes();
        let mut turn = Turn {
            connection,
            now: clock(),
            hot: Hot::default(),
            doing: Doing::default(),
            appended: Vec::new(),
            after_failure: *after_failure,
            done,
        };
        for job in jobs {
            turn.now = clock();
            if !job.run(&mut turn) {
                return Ok(None);
            }
        }
        turn.settle()?;
        cache.fit(connection)?;
        let Turn { doing, appended, .. } = turn;
        Ok(Some(Committed { doing, appended, wrote: connection.total_changes() != before }))
    }
}

fn answer(jobs: impl IntoIterator<Item = Box<dyn Job>>, ended: &Ended) {
    for job in jobs {
        match ended {
            Ended::Committed | Ended::Undone => job.answer(Ok(())),
            Ended::Failed(error) => job.answer(Err(error.clone())),
            // Nobody answers it: that is doubt.
            Ended::Panicked => drop(job),
        }
    }
}

/// What is known when COMMIT failed.
fn doubt(error: rusqlite::Error) -> StoreError {
    match (error.sqlite_error_code(), StoreError::from(error)) {
        // Some page was refused, and the one that makes the others count is the last: it isn't there.
        (Some(ErrorCode::DiskFull), StoreError::Unavailable(text)) => StoreError::Unavailable(text),
        (_, StoreError::Unavailable(text) | StoreError::InDoubt(text) | StoreError::Broken(text)) => StoreError::InDoubt(text),
    }
}

fn roll_back(connection: &Connection) {
    if connection.is_autocommit() {
        return;
    }
    if let Err(failure) = connection.execute_batch("ROLLBACK") {
        error!("the store could not roll back: {}", StoreError::from(failure));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A writer on a table of numbers, in memory.
    fn writer() -> Writer {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE number (n INTEGER UNIQUE, text TEXT)").unwrap();
        Writer::start(connection, Arc::new(|| 1)).unwrap()
    }

    fn insert(n: i64) -> impl Fn(&mut Turn<'_>) -> Result<(), StoreError> + Send + 'static {
        move |turn| {
            turn.appended.push(Partition(0));
            turn.connection.execute("INSERT INTO number VALUES (?1, 'secret')", [n])?;
            Ok(())
        }
    }

    async fn numbers(writer: &Writer) -> Vec<i64> {
        let read = |turn: &mut Turn<'_>| {
            let mut select = turn.connection.prepare("SELECT n FROM number ORDER BY n")?;
            let numbers = select.query_map([], |row| row.get(0))?;
            Ok(numbers.collect::<rusqlite::Result<_>>()?)
        };
        writer.write(read).await.unwrap()
    }

    /// Does `jobs` in one transaction: the writer is kept busy until all of them wait.
    async fn together<T>(writer: &Writer, jobs: [impl Future<Output = T>; 3]) -> [T; 3] {
        let (begin, mut begun) = mpsc::unbounded_channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let busy = writer.write(move |_| {
            let _ = begin.send(());
            Ok(ended.recv().is_ok())
        });
        let rest = async {
            begun.recv().await.unwrap();
            let [first, second, third] = jobs;
            // Polled in this order: all are queued before the writer is let go.
            let (first, second, third, ()) = tokio::join!(first, second, third, async { end.send(()).unwrap() });
            [first, second, third]
        };
        let (busy, ends) = tokio::join!(busy, rest);
        assert!(busy.unwrap());
        ends
    }

    #[tokio::test]
    async fn a_job_that_fails_leaves_its_companions_alone() {
        let writer = writer();
        let half = |turn: &mut Turn<'_>| {
            insert(3)(turn)?;
            insert(1)(turn)
        };
        let job = |n: i64| move |turn: &mut Turn<'_>| if n == 0 { half(turn) } else { insert(n)(turn) };
        let [one, half, two] = together(&writer, [1, 0, 2].map(|n| writer.write(job(n)))).await;
        one.unwrap();
        two.unwrap();
        // It names what SQLite calls it, and no row.
        let text = half.unwrap_err().to_string();
        assert!(text.contains("constraint") && !text.contains("secret") && !text.contains("number"), "{text}");
        assert_eq!(numbers(&writer).await, [1, 2]);
        assert_eq!(writer.grown().borrow().since(&Growth::default()), [Partition(0)]);
    }

    #[tokio::test]
    async fn a_full_disk_is_certainly_not_written_and_passes() {
        let writer = writer();
        let limit = |pages: u32| move |turn: &mut Turn<'_>| Ok(turn.connection.pragma_update(None, "max_page_count", pages)?);
        writer.write(insert(1)).await.unwrap();
        writer.write(limit(4)).await.unwrap();
        let fill = |turn: &mut Turn<'_>| {
            insert(2)(turn)?;
            turn.connection.execute("INSERT INTO number VALUES (3, hex(zeroblob(100000)))", [])?;
            Ok(())
        };
        assert!(matches!(writer.write(fill).await, Err(StoreError::Unavailable(_))));
        assert_eq!(numbers(&writer).await, [1]);
        writer.write(limit(1_000)).await.unwrap();
        writer.write(fill).await.unwrap();
        assert_eq!(numbers(&writer).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_commit_that_fails_leaves_all_its_jobs_in_doubt() {
        let writer = writer();
        // A constraint that SQLite checks only at COMMIT.
        let schema = "CREATE TABLE parent (n INTEGER PRIMARY KEY);
                      CREATE TABLE child (n INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)";
        writer.write(move |turn| Ok(turn.connection.execute_batch(schema)?)).await.unwrap();
        let job = |n: i64| {
            move |turn: &mut Turn<'_>| match n {
                0 => Ok(turn.connection.execute_batch("INSERT INTO child VALUES (1)")?),
                n => insert(n)(turn),
            }
        };
        for end in together(&writer, [1, 0, 2].map(|n| writer.write(job(n)))).await {
            assert!(matches!(end, Err(StoreError::InDoubt(_))), "{end:?}");
        }
        assert_eq!(numbers(&writer).await, Vec::<i64>::new());
        assert_eq!(*writer.grown().borrow(), Growth::default());
        writer.write(insert(3)).await.unwrap();
        assert_eq!(numbers(&writer).await, [3]);
    }

    #[tokio::test]
    async fn a_panic_is_doubt_and_the_writer_goes_on() {
        let writer = writer();
        let panics = |turn: &mut Turn<'_>| -> Result<(), StoreError> {
            insert(1)(turn)?;
            panic!("a fault of ours")
        };
        assert!(matches!(writer.write(panics).await, Err(StoreError::InDoubt(_))));
        writer.write(insert(2)).await.unwrap();
        assert_eq!(numbers(&writer).await, [2]);
    }

    #[test]
    fn only_a_full_disk_makes_a_failed_commit_certain() {
        let failed = |code| doubt(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        assert!(matches!(failed(rusqlite::ffi::SQLITE_FULL), StoreError::Unavailable(_)));
        for code in [rusqlite::ffi::SQLITE_IOERR_FSYNC, rusqlite::ffi::SQLITE_IOERR_WRITE, rusqlite::ffi::SQLITE_CORRUPT] {
            assert!(matches!(failed(code), StoreError::InDoubt(_)));
        }
    }
}
