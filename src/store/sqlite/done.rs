//! The commits of late and what they were answered, so that one that is sent again finds its own work. All those of a transaction
//! are one row at the end of a table, and their names are looked up in memory: a row for each, by its random name, would have
//! every commit change a page of its own.

use std::collections::{HashMap, VecDeque};

use rusqlite::{Connection, params};

use super::{kept, number};
use crate::store::{Fence, Position, StoreError, Written};

/// How long a commit is remembered: as long as the store's contract says.
const REMEMBERED_MS: u64 = 10 * 60 * 1_000;
/// How many are remembered at most, about 15 MB of names. Whoever had no answer asks again within seconds.
const REMEMBERED_MAX: usize = 200_000;
/// Rows that are forgotten together, in one transaction. They lie side by side in pages that nothing else touches any more: one
/// at a time would have each transaction change such a page once again.
const FORGOTTEN_AT_ONCE: usize = 64;

/// What was done in transactions that are committed.
#[derive(Default)]
pub(super) struct Done {
    /// `None` until it is read, and again where it is not known how a transaction ended: the file says.
    remembered: Option<Remembered>,
}

#[derive(Default)]
struct Remembered {
    /// By a commit's name, the row that tells what it was answered.
    row_of: HashMap<u128, i64>,
    /// Oldest first.
    rows: VecDeque<Row>,
}

struct Row {
    n: i64,
    ms: u64,
    /// Of its commits, so that it need not be read to be forgotten.
    names: Box<[u128]>,
}

/// What a transaction did, which counts once that is committed.
#[derive(Default)]
pub(super) struct Doing {
    noted: HashMap<u128, Vec<Written>>,
    row: Option<Row>,
    /// How many of the oldest rows were removed.
    forgotten: usize,
}

impl Doing {
    /// What this very commit was answered, if it was applied before.
    pub(super) fn own_work(&self, done: &mut Done, connection: &Connection, write: u128) -> Result<Option<Vec<Written>>, StoreError> {
        if let Some(written) = self.noted.get(&write) {
            return Ok(Some(written.clone()));
        }
        let Some(row) = done.remembered(connection)?.row_of.get(&write) else {
            return Ok(None);
        };
        Ok(read(connection, *row)?.into_iter().find_map(|(name, written)| (name == write).then_some(written)))
    }

    pub(super) fn note(&mut self, write: u128, written: &[Written]) {
        self.noted.insert(write, written.to_owned());
    }

    /// Writes it down, and removes what is no longer to be remembered. The last thing before COMMIT.
    pub(super) fn write(&mut self, done: &mut Done, connection: &Connection, now: u64) -> Result<(), StoreError> {
        if self.noted.is_empty() {
            return Ok(());
        }
        let remembered = done.remembered(connection)?;
        let mut insert = connection.prepare_cached("INSERT INTO done_together (ms, commits) VALUES (?1, ?2)")?;
        let n = insert.insert(params![kept(now), encode(&self.noted)])?;
        self.row = Some(Row { n, ms: now, names: self.noted.keys().copied().collect() });
        if let Some(last) = remembered.over(now) {
            connection.prepare_cached("DELETE FROM done_together WHERE n <= ?1")?.execute([last])?;
            self.forgotten = FORGOTTEN_AT_ONCE;
        }
        Ok(())
    }
}

impl Done {
    fn remembered(&mut self, connection: &Connection) -> Result<&mut Remembered, StoreError> {
        match &mut self.remembered {
            Some(_) => (),
            unread => *unread = Some(Remembered::read(connection)?),
        }
        self.remembered.as_mut().ok_or_else(|| StoreError::Broken("what was done is not remembered".to_owned()))
    }

    /// The transaction is committed.
    pub(super) fn add(&mut self, doing: Doing) {
        let (Some(remembered), Some(row)) = (&mut self.remembered, doing.row) else {
            return;
        };
        let oldest = doing.forgotten.min(remembered.rows.len());
        for forgotten in remembered.rows.drain(..oldest) {
            for name in &forgotten.names {
                remembered.row_of.remove(name);
            }
        }
        remembered.row_of.extend(row.names.iter().map(|name| (*name, row.n)));
        remembered.rows.push_back(row);
    }

    /// How a transaction ended is not known.
    pub(super) fn doubt(&mut self) {
        self.remembered = None;
    }
}

impl Remembered {
    /// The last of as many of the oldest rows as are forgotten together, if none of them is to be remembered any longer.
    fn over(&self, now: u64) -> Option<i64> {
        let last = self.rows.get(FORGOTTEN_AT_ONCE - 1)?;
        let is_old = last.ms.saturating_add(REMEMBERED_MS) < now;
        let before_it = || self.rows.iter().take(FORGOTTEN_AT_ONCE - 1).map(|row| row.names.len()).sum::<usize>();
        (is_old || self.row_of.len() - before_it() > REMEMBERED_MAX).then_some(last.n)
    }

    fn read(connection: &Connection) -> Result<Self, StoreError> {
        let mut remembered = Self::default();
        let mut select = connection.prepare("SELECT n, ms, commits FROM done_together ORDER BY n")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (n, ms, commits): (i64, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let names: Box<[u128]> = decode(&commits)?.into_iter().map(|(name, _)| name).collect();
            remembered.row_of.extend(names.iter().map(|name| (*name, n)));
            remembered.rows.push_back(Row { n, ms: number(ms), names });
        }
        Ok(remembered)
    }
}

fn read(connection: &Connection, row: i64) -> Result<Vec<(u128, Vec<Written>)>, StoreError> {
    let mut select = connection.prepare_cached("SELECT commits FROM done_together WHERE n = ?1")?;
    let commits: Vec<u8> = select.query_row([row], |row| row.get(0))?;
    decode(&commits)
}

/// For each commit its name, how many changes it had, and of each its event's ms and seq and its fence, 0 where there is none
/// (both count from 1).
fn encode(noted: &HashMap<u128, Vec<Written>>) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, written) in noted {
        text.extend_from_slice(&name.to_be_bytes());
        text.extend_from_slice(&u64::try_from(written.len()).unwrap_or(u64::MAX).to_be_bytes());
        for Written { position, fence } in written {
            let Position { ms, seq } = position.unwrap_or_default();
            for number in [ms, seq, fence.map_or(0, |Fence(fence)| fence)] {
                text.extend_from_slice(&number.to_be_bytes());
            }
        }
    }
    text
}

fn decode(text: &[u8]) -> Result<Vec<(u128, Vec<Written>)>, StoreError> {
    let broken = || StoreError::Broken("what is stored of commits of late can't be read".to_owned());
    let (numbers, rest) = text.as_chunks::<8>();
    let mut numbers = numbers.iter().map(|number| u64::from_be_bytes(*number));
    let mut commits = Vec::new();
    while let Some(high) = numbers.next() {
        let mut next = || numbers.next().ok_or_else(broken);
        let name = u128::from(high) << 64 | u128::from(next()?);
        let changes = (0..next()?).map(|_| {
            let (ms, seq, fence) = (next()?, next()?, next()?);
            Ok(Written { position: (seq > 0).then_some(Position { ms, seq }), fence: (fence > 0).then_some(Fence(fence)) })
        });
        commits.push((name, changes.collect::<Result<_, StoreError>>()?));
    }
    if rest.is_empty() { Ok(commits) } else { Err(broken()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE done_together (n INTEGER PRIMARY KEY, ms INTEGER, commits BLOB)").unwrap();
        connection
    }

    fn written(seq: u64) -> Vec<Written> {
        vec![
            Written { position: Some(Position { ms: 7, seq }), fence: Some(Fence(9)) },
            Written { position: None, fence: None },
            Written { position: Some(Position { ms: 7, seq: seq + 1 }), fence: None },
        ]
    }

    /// A transaction of commits with these names.
    fn transaction(connection: &Connection, done: &mut Done, names: std::ops::Range<u64>, now: u64) -> Doing {
        let mut doing = Doing::default();
        names.for_each(|name| doing.note(name.into(), &written(name)));
        doing.write(done, connection, now).unwrap();
        doing
    }

    fn found(connection: &Connection, done: &mut Done, name: u64) -> Option<Vec<Written>> {
        Doing::default().own_work(done, connection, name.into()).unwrap()
    }

    #[test]
    fn a_commit_is_found_in_its_transaction_after_it_and_by_the_next_process() {
        let (connection, mut done) = (table(), Done::default());
        let doing = transaction(&connection, &mut done, 1..4, 100);
        assert_eq!(doing.own_work(&mut done, &connection, 2).unwrap(), Some(written(2)));
        assert_eq!(found(&connection, &mut done, 2), None, "it is not committed yet");
        done.add(doing);
        for mut done in [done, Done::default()] {
            assert_eq!(found(&connection, &mut done, 3), Some(written(3)));
            assert_eq!(found(&connection, &mut done, 4), None);
        }
        let nothing = Doing { noted: HashMap::from([(5, Vec::new())]), ..Doing::default() };
        assert_eq!(decode(&encode(&nothing.noted)).unwrap(), [(5, Vec::new())]);
    }

    #[test]
    fn where_the_end_of_a_transaction_is_not_known_the_file_tells() {
        let (connection, mut done) = (table(), Done::default());
        done.add(transaction(&connection, &mut Done::default(), 1..2, 100));
        assert_eq!(found(&connection, &mut done, 1), Some(written(1)));
        // It was committed, and nobody said so.
        drop(transaction(&connection, &mut done, 2..3, 100));
        assert_eq!(found(&connection, &mut done, 2), None);
        done.doubt();
        assert_eq!(found(&connection, &mut done, 2), Some(written(2)));
    }

    #[test]
    fn the_oldest_are_forgotten_together_after_a_time_or_when_there_are_too_many() {
        let (connection, mut done) = (table(), Done::default());
        let together = u64::try_from(FORGOTTEN_AT_ONCE).unwrap();
        let (last, many) = (together + 1, u64::try_from(REMEMBERED_MAX).unwrap());
        let rows = |done: &Done| done.remembered.as_ref().map(|remembered| (remembered.rows.len(), remembered.row_of.len()));
        // Each a millisecond later than the one before.
        for name in 1..=last {
            let doing = transaction(&connection, &mut done, name..name + 1, name);
            done.add(doing);
        }
        // Of those that are forgotten together the youngest is not old enough, then it is.
        let kept = transaction(&connection, &mut done, 1_000..1_001, together + REMEMBERED_MS);
        done.add(kept);
        assert_eq!(rows(&done), Some((FORGOTTEN_AT_ONCE + 2, FORGOTTEN_AT_ONCE + 2)));
        let forgot = transaction(&connection, &mut done, 1_001..1_002, together + 1 + REMEMBERED_MS);
        done.add(forgot);
        assert_eq!(rows(&done), Some((3, 3)));
        let now = last + REMEMBERED_MS;
        for mut done in [done, Done::default()] {
            assert_eq!(
                [1, together, last, 1_000, 1_001].map(|name| found(&connection, &mut done, name).is_some()),
                [false, false, true, true, true]
            );
        }

        // Three and as many as are forgotten together stand before those that are many, which are not too many yet without all but
        // the last of them. With one more they are.
        let mut done = Done::default();
        for name in (1..=together).map(|n| 2_000 + n) {
            let doing = transaction(&connection, &mut done, name..name + 1, now);
            done.add(doing);
        }
        for (names, left) in
            [(10_000..10_000 + many - 4, FORGOTTEN_AT_ONCE + 4), (5_000..5_001, FORGOTTEN_AT_ONCE + 5), (5_001..5_002, 3 + 3)]
        {
            let doing = transaction(&connection, &mut done, names, now);
            done.add(doing);
            assert_eq!(rows(&done).map(|(rows, _)| rows), Some(left));
        }
        let names = [1_001, 2_000 + together - 3, 2_000 + together - 2, 10_000, 5_001];
        assert_eq!(names.map(|name| found(&connection, &mut done, name).is_some()), [false, false, true, true, true]);
    }

    #[test]
    fn what_can_t_be_read_is_no_commit() {
        let text = encode(&HashMap::from([(5, written(1))]));
        for cut in [1, 8, 24, text.len() - 1] {
            assert!(matches!(decode(&text[..cut]), Err(StoreError::Broken(_))), "{cut}");
        }
    }
}
