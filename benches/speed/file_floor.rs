//! The floor of the embedded store: a file with the same tables, and one thread that writes the rows of a creation as they are,
//! whatever waits in one transaction, and rows that all of them change once for all. It looks nothing up and checks nothing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, ToSql, params};
use tokio::sync::{mpsc, oneshot};
use upistream::grpc::pb;

use super::Failed;
use super::recorded::renamed;

/// As the store has it: jobs that wait, and jobs that share a transaction.
const WAITING_MAX: usize = 1_024;
const TOGETHER_MAX: usize = 256;
const WAL_PAGES: u32 = 4_096;
const CACHE_KIB: i64 = 16 * 1_024;

/// What a creation leaves in the store's tables.
#[derive(Clone)]
pub struct Rows {
    /// The tables and indexes.
    schema: Vec<String>,
    id: String,
    body: Vec<u8>,
    /// The ids and bodies of its two events.
    events: Vec<(String, Vec<u8>)>,
    scope: String,
    fingerprint: Vec<u8>,
    outcome: Option<Vec<u8>>,
    /// Account, sort and value of each reference: those that the request brings (digests, which come in no order), and those that
    /// the provider's answer does.
    references_at_first: Vec<(String, String, String)>,
    references_at_last: Vec<(String, String, String)>,
    /// How many lists it stands in.
    lists: u32,
    is_due: bool,
    /// What is noted of one commit.
    note: Vec<u8>,
}

impl Rows {
    /// Those of the only code in the store at `path`.
    pub fn of(path: &Path, qr: &pb::Qr) -> Result<Self, Failed> {
        let store = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        store.busy_timeout(Duration::from_secs(5))?;
        let mut schema = store.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")?;
        let schema = schema.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        let (n, body): (i64, Vec<u8>) =
            store.query_row("SELECT n, body FROM record WHERE id = ?1", [&qr.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut events = store.prepare("SELECT id, body FROM event ORDER BY at")?;
        let events = events.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<Vec<(String, Vec<u8>)>>>()?;
        if events.len() != 2 {
            return Err(format!("a creation appends two events, and {} were seen", events.len()).into());
        }
        let claim = "SELECT scope, fingerprint, outcome FROM claim WHERE record = ?1";
        let (scope, fingerprint, outcome): (String, Vec<u8>, Option<Vec<u8>>) =
            store.query_row(claim, [&qr.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut references = store.prepare("SELECT account, sort, value FROM reference WHERE record = ?1")?;
        let references = references.query_map([n], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let references = references.collect::<rusqlite::Result<Vec<(String, String, String)>>>()?;
        let (references_at_last, references_at_first) = references.into_iter().partition(|(_, _, value)| *value == qr.provider_ref);
        let count = |statement: &str| store.query_row(statement, [n], |row| row.get::<_, u32>(0));
        let lists = count("SELECT count(*) FROM entry WHERE record = ?1")?;
        let is_due = count("SELECT count(*) FROM due WHERE record = ?1")? > 0;
        // Each was a transaction of its own.
        let note = store.query_row("SELECT commits FROM done_together ORDER BY n DESC LIMIT 1", [], |row| row.get(0))?;
        let id = qr.id.clone();
        Ok(Self { schema, id, body, events, scope, fingerprint, outcome, references_at_first, references_at_last, lists, is_due, note })
    }
}

struct Job {
    /// Which creation, and whether it is its end.
    number: i64,
    is_end: bool,
    done: oneshot::Sender<Result<(), String>>,
}

/// The way to the writing thread, which ends with the last of them.
#[derive(Clone)]
pub struct FileFloor {
    queue: mpsc::Sender<Job>,
}

impl FileFloor {
    /// One in a new file.
    pub fn open(path: &Path, rows: Rows) -> Result<Self, Failed> {
        let connection = Connection::open(path)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", WAL_PAGES * 4_096)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(64);
        for statement in &rows.schema {
            connection.execute_batch(statement)?;
        }
        connection.execute("INSERT INTO meta (key, value) VALUES ('fence', 0)", [])?;
        connection.execute("INSERT INTO head (\"partition\", ms, seq, trimmed_ms) VALUES (0, 0, 0, 0)", [])?;
        for list in 0..rows.lists {
            let statement = "INSERT INTO list (n, \"partition\", account, key, entries) VALUES (?1, 0, 'shop', ?2, 0)";
            connection.execute(statement, params![list, format!("list {list}")])?;
        }
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let writer = Writer { connection, rows, appended: 0 };
        std::thread::Builder::new().name("floor-writer".to_owned()).spawn(move || writer.work(waiting))?;
        Ok(Self { queue })
    }

    /// Returns once the rows are on disk.
    pub async fn write(&self, number: i64, is_end: bool) -> Result<(), Failed> {
        let (done, ended) = oneshot::channel();
        self.queue.send(Job { number, is_end, done }).await.map_err(|_| "the floor's writer has ended")?;
        Ok(ended.await??)
    }
}

/// The writing thread.
struct Writer {
    connection: Connection,
    rows: Rows,
    /// Events so far.
    appended: i64,
}

impl Writer {
    fn work(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(TOGETHER_MAX);
        while waiting.blocking_recv_many(&mut jobs, TOGETHER_MAX) > 0 {
            let ended = self.write_together(&jobs).map_err(|cause| cause.to_string());
            for job in jobs.drain(..) {
                // A caller who left has ended the bench himself.
                let _ = job.done.send(ended.clone());
            }
        }
    }

    fn write_together(&mut self, jobs: &[Job]) -> rusqlite::Result<()> {
        self.run("BEGIN IMMEDIATE", &[])?;
        for Job { number, is_end, done: _ } in jobs {
            if *is_end { self.outcome(*number)? } else { self.intent(*number)? }
        }
        self.run("UPDATE head SET ms = ?1, seq = ?2 WHERE \"partition\" = 0", &[&TIME_MS, &self.appended])?;
        let begun = jobs.iter().filter(|job| !job.is_end).count();
        if begun > 0 {
            let begun = i64::try_from(begun).unwrap_or(i64::MAX);
            self.run("UPDATE meta SET value = value + ?1 WHERE key = 'fence'", &[&begun])?;
            for list in 0..self.rows.lists {
                self.run("UPDATE list SET entries = entries + ?2 WHERE n = ?1", &[&list, &begun])?;
            }
        }
        let notes = self.rows.note.repeat(jobs.len());
        self.run("INSERT INTO done_together (ms, commits) VALUES (?1, ?2)", &[&TIME_MS, &notes])?;
        self.run("COMMIT", &[])
    }

    fn run(&self, statement: &str, values: &[&dyn ToSql]) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute(values).map(drop)
    }

    fn intent(&mut self, number: i64) -> rusqlite::Result<()> {
        self.append(0)?;
        let (rows, id) = (&self.rows, other(&self.rows.id, number));
        self.run("INSERT INTO record (n, id, revision, body) VALUES (?1, ?2, 1, ?3)", &[&number, &id, &rows.body])?;
        self.run(
            "INSERT INTO claim (\"partition\", scope, record, fingerprint) VALUES (0, ?1, ?2, ?3)",
            &[&other(&rows.scope, number), &id, &rows.fingerprint],
        )?;
        for reference in &rows.references_at_first {
            self.refer(reference, number, scattered(number))?;
        }
        for list in 0..rows.lists {
            self.run("INSERT INTO entry (list, id, record) VALUES (?1, ?2, ?3)", &[&list, &id, &number])?;
        }
        self.run("INSERT INTO due (record, at, leased_until, fence) VALUES (?1, ?2, ?2, ?1)", &[&number, &TIME_MS])
    }

    fn outcome(&mut self, number: i64) -> rusqlite::Result<()> {
        self.append(1)?;
        let rows = &self.rows;
        self.run("UPDATE record SET revision = revision + 1, body = ?2 WHERE n = ?1", &[&number, &rows.body])?;
        let scope = other(&rows.scope, number);
        self.run("UPDATE claim SET outcome = ?2 WHERE \"partition\" = 0 AND scope = ?1", &[&scope, &rows.outcome])?;
        for reference in &rows.references_at_last {
            self.refer(reference, number, number)?;
        }
        if rows.is_due {
            self.run("UPDATE due SET at = ?2, leased_until = NULL WHERE record = ?1", &[&number, &TIME_MS])?;
        } else {
            self.run("DELETE FROM due WHERE record = ?1", &[&number])?;
        }
        Ok(())
    }

    /// The first or the second event of a creation.
    fn append(&mut self, which: usize) -> rusqlite::Result<()> {
        self.appended += 1;
        let ((id, body), seq) = (&self.rows.events[which], self.appended);
        self.run("INSERT INTO event (at, ms, id, body) VALUES (?1, ?2, ?3, ?4)", &[&seq, &TIME_MS, &other(id, seq), body])
    }

    fn refer(&self, (account, sort, value): &(String, String, String), record: i64, name: i64) -> rusqlite::Result<()> {
        let statement = "INSERT INTO reference (\"partition\", account, sort, value, record) VALUES (0, ?1, ?2, ?3, ?4)";
        self.run(statement, &[account, sort, &other(value, name), &record])
    }
}

/// Some time in ms.
const TIME_MS: i64 = 1_790_000_000_000;

fn other(name: &str, number: i64) -> String {
    String::from_utf8_lossy(&renamed(name.as_bytes(), number.unsigned_abs())).into_owned()
}

/// Another number for each, in no order.
fn scattered(number: i64) -> i64 {
    // Odd and no multiple of five: it has an inverse among the numbers of so many digits.
    number.wrapping_mul(618_033_988_749).rem_euclid(1_000_000_000_000)
}
