//! Fills a new store in Redis with what another held. Until it is whole it says so, and nobody opens it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use redis::Pipeline;

use super::keys::{Keys, PartitionKeys, claim_place, list_place, reference_named};
use super::link::Link;
use super::{OpenError, RedisOptions, export, place, record};
use crate::domain::id::{Id, Partition};
use crate::store::transfer::{ClaimPiece, EventPiece, HeadPiece, Origin, Piece, RecordPiece, Sink};
use crate::store::{ClaimScope, ListKey, Position, StoreError};

/// A store that is being filled.
pub struct RedisImport {
    link: Link,
    keys: Keys,
    /// When what is at rest came to rest, where its source did not note it; `None`: that is not to be noted.
    rest_ms: Option<u64>,
    heads: BTreeMap<u16, HeadPiece>,
    /// The oldest entry of each log.
    firsts: BTreeMap<u16, Position>,
}

impl RedisImport {
    /// Begins to fill the store that `options` name, which must be new, at `now_ms`. Its log gets an identity of its own, by
    /// `options.random`.
    pub async fn begin(options: &RedisOptions, origin: &Origin, now_ms: u64) -> Result<Self, OpenError> {
        if origin.partitions != options.partitions {
            let prefix = options.prefix.clone();
            return Err(OpenError::Partitions { prefix, found: origin.partitions, asked: options.partitions });
        }
        let mut options = options.clone();
        options.random[8..].copy_from_slice(&origin.fingerprint_key);
        let link = Link::new(&options.servers)?;
        super::check_servers(&link, &options).await?;
        let keys = Keys::new(&options.prefix);
        export::unused(&link, &keys, &options.prefix).await?;
        place::create_half(&link, &keys, &options).await?;
        let rest_ms = options.retention_at_rest.map(|_| now_ms);
        Ok(Self { link, keys, rest_ms, heads: BTreeMap::new(), firsts: BTreeMap::new() })
    }

    /// Says that the store is whole.
    pub async fn finish(self) -> Result<(), StoreError> {
        for (partition, head) in &self.heads {
            let HeadPiece { partition: _, ms, seq, trimmed_ms } = head;
            if *seq == 0 {
                continue;
            }
            let first = self.firsts.get(partition).copied().unwrap_or_default();
            let mut command = redis::cmd("SET");
            command.arg(self.keys.of(Partition(*partition)).head());
            command.arg(format!("{ms} {seq} {trimmed_ms} {} {}", first.ms, first.seq));
            self.link.call::<()>(&command).await?;
        }
        place::whole(&self.link, &self.keys).await
    }

    fn put_record(&self, writes: &mut Pipeline, record: &RecordPiece) {
        let RecordPiece { id, revision, body, lists, references, due, rested_ms } = record;
        let keys = self.keys.of(id.partition());
        let mut places = Vec::new();
        for (account, key) in lists {
            let place = list_place(&ListKey { account: account.clone(), key: key.clone() });
            writes.cmd("ZADD").arg(keys.place(&place)).arg(0).arg(id.as_str()).ignore();
            places.push(place);
        }
        for (account, sort, value) in references {
            let place = reference_named(account, sort, value);
            writes.cmd("SET").arg(keys.place(&place)).arg(id.as_str()).ignore();
            places.push(place);
        }
        writes.cmd("SET").arg(keys.record(id)).arg(record::kept(*revision, &places, body)).ignore();
        match (due, rested_ms.or(self.rest_ms)) {
            (Some(due), _) => {
                let news = due.news.map_or(String::new(), |news| news.to_string());
                writes.cmd("HSET").arg(keys.looks()).arg(id.as_str()).arg(format!("{}|||{news}|", due.at)).ignore();
                writes.cmd("ZADD").arg(keys.due()).arg(due.at).arg(id.as_str()).ignore();
            }
            (None, Some(ms)) => {
                writes.cmd("ZADD").arg(keys.rested()).arg(ms).arg(id.as_str()).ignore();
            }
            (None, None) => {}
        }
        if record.is_unseen() {
            writes.cmd("ZADD").arg(keys.unseen()).arg(0).arg(id.as_str()).ignore();
        }
    }

    fn put_event(&mut self, writes: &mut Pipeline, event: &EventPiece) {
        let EventPiece { partition, seq, ms, id, body } = event;
        let keys = self.keys.of(Partition(*partition));
        writes.cmd("XADD").arg(keys.log()).arg(format!("{seq}-{ms}")).arg("id").arg(id.as_str()).arg("body").arg(&body[..]).ignore();
        writes.cmd("HSET").arg(keys.event_ids()).arg(id.as_str()).arg(*seq).ignore();
        self.firsts.entry(*partition).or_insert(Position { ms: *ms, seq: *seq });
    }

    fn put_claim(&self, writes: &mut Pipeline, claim: &ClaimPiece) {
        let ClaimPiece { partition, scope, record, fingerprint, outcome, over_ms } = claim;
        let keys = self.keys.of(Partition(*partition));
        let key = keys.place(&claim_place(&ClaimScope(scope.clone())));
        let hash = writes.cmd("HSET").arg(&key).arg("record").arg(record.as_str()).arg("fingerprint").arg(&fingerprint[..]);
        if let Some(outcome) = outcome {
            hash.arg("outcome").arg(&outcome[..]);
        }
        hash.ignore();
        if let Some(over) = over_ms {
            writes.cmd("ZADD").arg(keys.claim_ends()).arg(*over).arg(scope).ignore();
        }
    }

    /// A claim that has no end of its own goes when its record is forgotten: the record knows it. They came before.
    async fn bind(&self, keys: &PartitionKeys, claims: &[&ClaimPiece]) -> Result<(), StoreError> {
        let mut of_record: BTreeMap<&Id, Vec<String>> = BTreeMap::new();
        for claim in claims.iter().filter(|claim| claim.over_ms.is_none()) {
            of_record.entry(&claim.record).or_default().push(claim_place(&ClaimScope(claim.scope.clone())));
        }
        for (id, places) in of_record {
            let mut command = redis::cmd("GET");
            command.arg(keys.record(id));
            let Some(kept) = self.link.call::<Option<Vec<u8>>>(&command).await? else { continue };
            let mut all = record::places(id, &kept)?;
            all.extend(places);
            let stored = record::stored(id.clone(), kept.into())?;
            let mut command = redis::cmd("SET");
            command.arg(keys.record(id)).arg(record::kept(stored.revision, &all, &stored.body));
            self.link.call::<()>(&command).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for RedisImport {
    async fn put(&mut self, page: Vec<Piece>) -> Result<(), StoreError> {
        // All that is sent together is of one slot.
        let mut by_partition: BTreeMap<u16, Vec<Piece>> = BTreeMap::new();
        for piece in page {
            by_partition.entry(piece.partition()).or_default().push(piece);
        }
        for (partition, pieces) in by_partition {
            let (mut writes, mut claims) = (redis::pipe(), Vec::new());
            for piece in &pieces {
                match piece {
                    Piece::Head(head) => drop(self.heads.insert(partition, head.clone())),
                    Piece::Record(record) => self.put_record(&mut writes, record),
                    Piece::Event(event) => self.put_event(&mut writes, event),
                    Piece::Claim(claim) => {
                        self.put_claim(&mut writes, claim);
                        claims.push(claim);
                    }
                }
            }
            if writes.cmd_iter().next().is_some() {
                self.link.call_together::<()>(&writes).await?;
            }
            self.bind(&self.keys.of(Partition(partition)), &claims).await?;
        }
        Ok(())
    }
}
