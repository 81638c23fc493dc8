//! Reads all of a store in Redis, of which nothing is written meanwhile: Redis has no state of then to read from. So nobody
//! may have it open, which is looked at before and after.

use std::collections::HashSet;

use super::keys::{Keys, PartitionKeys};
use super::link::{Link, told};
use super::{OpenError, RedisOptions, log, place, record};
use crate::domain::id::{Id, Partition};
use crate::store::StoreError;
use crate::store::transfer::{ClaimPiece, DuePiece, EventPiece, Giver, HeadPiece, Origin, PAGE, Pages, Piece, RecordPiece};

/// Keys that a server looks at in one call: few enough that others hardly wait for it.
const SCANNED: usize = 1_000;

/// A store that is read.
pub struct RedisExport {
    link: Link,
    keys: Keys,
    prefix: String,
    origin: Origin,
}

impl RedisExport {
    /// Finds the store, which nobody may have open.
    pub async fn begin(options: &RedisOptions) -> Result<Self, OpenError> {
        let link = Link::new(&options.servers)?;
        let keys = Keys::new(&options.prefix);
        let identity = place::read(&link, &keys, options).await?;
        let origin = Origin { fingerprint_key: identity.fingerprint_key, partitions: identity.partitions };
        let export = Self { link, keys, prefix: options.prefix.clone(), origin };
        export.check_unused().await?;
        Ok(export)
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether nobody has the store open: whoever has listens for wake-ups.
    pub async fn check_unused(&self) -> Result<(), OpenError> {
        unused(&self.link, &self.keys, &self.prefix).await
    }

    /// All that is in it. They end well only if nobody had it open meanwhile, nor wrote to its log.
    pub fn pages(self) -> Pages {
        let (mut giver, pages) = Giver::new();
        tokio::spawn(async move {
            let given = self.give(&mut giver).await;
            giver.end(given).await;
        });
        pages
    }

    async fn give(&self, giver: &mut Giver) -> Result<(), StoreError> {
        let mut before = Vec::new();
        for partition in (0..self.origin.partitions).map(Partition) {
            let head = self.head(partition).await?;
            let given = giver.give(Piece::Head(head.clone())).await
                && self.give_records(giver, partition).await?
                && self.give_events(giver, partition).await?
                && self.give_claims(giver, partition).await?;
            if !given {
                return Ok(());
            }
            before.push(head);
        }
        for head in before {
            if self.head(Partition(head.partition)).await? != head {
                return Err(StoreError::Broken("it was written to while it was read: stop all replicas, and begin anew".to_owned()));
            }
        }
        self.check_unused().await.map_err(|cause| StoreError::Broken(cause.to_string()))
    }

    async fn head(&self, partition: Partition) -> Result<HeadPiece, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.of(partition).head());
        let kept: Option<String> = self.link.call(&command).await?;
        let head = kept.map(|kept| log::head(partition, &kept).ok_or_else(|| unreadable("the head of a log"))).transpose()?;
        let (last, trimmed_ms) = head.map_or_else(Default::default, |head| (head.last, head.trimmed_ms));
        Ok(HeadPiece { partition: partition.0, ms: last.ms, seq: last.seq, trimmed_ms })
    }

    async fn give_records(&self, giver: &mut Giver, partition: Partition) -> Result<bool, StoreError> {
        let keys = self.keys.of(partition);
        let mut scan = Scan::of(&keys, "r:");
        while let Some(found) = scan.next(&self.link).await? {
            for ids in found.chunks(PAGE) {
                let ids = ids.iter().map(|id| record::id(id)).collect::<Result<Vec<_>, _>>()?;
                for record in self.records(&keys, ids).await? {
                    if !giver.give(Piece::Record(record)).await {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    async fn records(&self, keys: &PartitionKeys, ids: Vec<Id>) -> Result<Vec<RecordPiece>, StoreError> {
        let mut asked = redis::pipe();
        let texts: Vec<&str> = ids.iter().map(Id::as_str).collect();
        asked.cmd("MGET").arg(ids.iter().map(|id| keys.record(id)).collect::<Vec<_>>());
        asked.cmd("HMGET").arg(keys.looks()).arg(&texts);
        asked.cmd("ZMSCORE").arg(keys.rested()).arg(&texts);
        type Found = (Vec<Option<Vec<u8>>>, Vec<Option<String>>, Vec<Option<f64>>);
        let (kept, looks, rested): Found = self.link.call_together(&asked).await?;
        let mut records = Vec::with_capacity(ids.len());
        for (((id, kept), look), rested) in ids.into_iter().zip(kept).zip(looks).zip(rested) {
            // Nobody writes, so one that is found is there: unless its time was over just then, and nothing has one.
            let kept = kept.ok_or_else(|| unreadable("a record"))?;
            let places = record::places(&id, &kept)?;
            let stored = record::stored(id.clone(), kept.into())?;
            let mut lists: Vec<(String, String)> = places.iter().filter_map(|place| list_of(place)).collect();
            lists.sort();
            let references = self.own_references(keys, &id, &places).await?;
            let due = look.map(|line| due_of(&line).ok_or_else(|| unreadable("a line of the due-index"))).transpose()?;
            // A score is a whole number of ms that a double holds exactly.
            let rested_ms = rested.map(|ms| ms as u64);
            records.push(RecordPiece { id, revision: stored.revision, body: stored.body.to_vec(), lists, references, due, rested_ms });
        }
        Ok(records)
    }

    /// Those of its references that a newer record has not taken over.
    async fn own_references(&self, keys: &PartitionKeys, id: &Id, places: &[String]) -> Result<Vec<(String, String, String)>, StoreError> {
        let named: Vec<&String> = places.iter().filter(|place| place.starts_with("f:")).collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        command.arg(named.iter().map(|place| keys.place(place)).collect::<Vec<_>>());
        let holders: Vec<Option<String>> = self.link.call(&command).await?;
        let own = named.iter().zip(holders).filter(|(_, holder)| holder.as_deref() == Some(id.as_str()));
        let own = own.map(|(place, _)| reference_of(place).ok_or_else(|| unreadable("a reference")));
        let mut own = own.collect::<Result<Vec<_>, _>>()?;
        own.sort();
        Ok(own)
    }

    async fn give_events(&self, giver: &mut Giver, partition: Partition) -> Result<bool, StoreError> {
        let key = self.keys.of(partition).log();
        let mut next = 0;
        loop {
            let mut command = redis::cmd("XRANGE");
            command.arg(&key).arg(format!("{next}-0")).arg("+").arg("COUNT").arg(PAGE);
            let entries = log::entries_with_ids(partition, self.link.call(&command).await?)?;
            let was_last = entries.len() < PAGE;
            for (id, logged) in entries {
                let (position, body) = (logged.position, logged.body.to_vec());
                next = position.seq + 1;
                let event = EventPiece { partition: partition.0, seq: position.seq, ms: position.ms, id, body };
                if !giver.give(Piece::Event(event)).await {
                    return Ok(false);
                }
            }
            if was_last {
                return Ok(true);
            }
        }
    }

    async fn give_claims(&self, giver: &mut Giver, partition: Partition) -> Result<bool, StoreError> {
        let keys = self.keys.of(partition);
        let mut scan = Scan::of(&keys, "c:");
        while let Some(found) = scan.next(&self.link).await? {
            for scopes in found.chunks(PAGE) {
                let mut asked = redis::pipe();
                for scope in scopes {
                    asked.cmd("HMGET").arg(keys.place(&format!("c:{scope}"))).arg(&["record", "fingerprint", "outcome"]);
                }
                type Found = (Option<String>, Option<Vec<u8>>, Option<Vec<u8>>);
                let claims: Vec<Found> = self.link.call_together(&asked).await?;
                let mut command = redis::cmd("ZMSCORE");
                command.arg(keys.claim_ends()).arg(scopes);
                let ends: Vec<Option<f64>> = self.link.call(&command).await?;
                for ((scope, claim), end) in scopes.iter().zip(claims).zip(ends) {
                    let (Some(record), Some(fingerprint), outcome) = claim else { return Err(unreadable("a claim")) };
                    let claim = ClaimPiece {
                        partition: partition.0,
                        scope: scope.clone(),
                        record: record::id(&record)?,
                        fingerprint,
                        outcome,
                        over_ms: end.map(|ms| ms as u64),
                    };
                    if !giver.give(Piece::Claim(claim)).await {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }
}

/// Whether nobody has the store open.
pub(super) async fn unused(link: &Link, keys: &Keys, prefix: &str) -> Result<(), OpenError> {
    let mut command = redis::cmd("PUBSUB");
    command.arg("NUMSUB").arg(keys.wakeups());
    let mut replicas = 0;
    // Of a Cluster each server knows its own listeners; replicas of this service listen at the servers that are configured.
    let mut answers = link.call_masters(&command).await.map_err(OpenError::Store)?;
    for server in link.single().iter().filter(|_| link.is_cluster()) {
        let asked = async { command.query_async(&mut server.get_multiplexed_async_connection().await?).await };
        answers.push(asked.await.map_err(|cause| OpenError::Store(told(&cause, false)))?);
    }
    for answer in answers {
        let counts: Vec<(String, u64)> = redis::from_redis_value(answer).map_err(|_| OpenError::Store(unreadable("who listens")))?;
        replicas = counts.iter().map(|(_, count)| *count).sum::<u64>().max(replicas);
    }
    if replicas > 0 { Err(OpenError::InUse { prefix: prefix.to_owned(), replicas }) } else { Ok(()) }
}

/// The keys of a partition of one sort, each once, without what they all begin with.
struct Scan {
    begin: String,
    /// A key of the same slot: where the command goes.
    routed: String,
    cursor: Option<String>,
    found: HashSet<String>,
}

impl Scan {
    fn of(keys: &PartitionKeys, sort: &str) -> Self {
        let begin = keys.place(sort);
        Self { routed: keys.head(), begin, cursor: Some("0".to_owned()), found: HashSet::new() }
    }

    /// Some that were not found before, or none yet; `None`: there are no more.
    async fn next(&mut self, link: &Link) -> Result<Option<Vec<String>>, StoreError> {
        let Some(cursor) = self.cursor.take() else { return Ok(None) };
        let mut command = redis::cmd("SCAN");
        command.arg(&cursor).arg("MATCH").arg(format!("{}*", pattern(&self.begin))).arg("COUNT").arg(SCANNED);
        let (next, keys): (String, Vec<String>) = link.call_at(&self.routed, &command).await?;
        self.cursor = Some(next).filter(|next| next != "0");
        let mut new = Vec::new();
        for key in keys {
            let name = key.strip_prefix(&self.begin).ok_or_else(|| unreadable("a key"))?;
            // A key may be told twice.
            if self.found.insert(name.to_owned()) {
                new.push(name.to_owned());
            }
        }
        Ok(Some(new))
    }
}

/// `text` as a pattern that means itself.
fn pattern(text: &str) -> String {
    text.chars().flat_map(|c| ['\\', c].into_iter().skip(usize::from(!matches!(c, '*' | '?' | '[' | ']' | '\\')))).collect()
}

fn list_of(place: &str) -> Option<(String, String)> {
    let (account, key) = place.strip_prefix("l:")?.split_once('\n')?;
    Some((account.to_owned(), key.to_owned()))
}

fn reference_of(place: &str) -> Option<(String, String, String)> {
    let (account, rest) = place.strip_prefix("f:")?.split_once('\n')?;
    let (sort, value) = rest.split_once('\n')?;
    Some((account.to_owned(), sort.to_owned(), value.to_owned()))
}

/// "at|till|fence|news|beside", as `looks.lua` writes it.
fn due_of(line: &str) -> Option<DuePiece> {
    let parts: Vec<&str> = line.split('|').collect();
    let &[at, _till, _fence, news, _beside] = &parts[..] else { return None };
    let news = if news.is_empty() { None } else { Some(news.parse().ok()?) };
    Some(DuePiece { at: at.parse().ok()?, news })
}

fn unreadable(what: &str) -> StoreError {
    StoreError::Broken(format!("{what} can't be read"))
}
