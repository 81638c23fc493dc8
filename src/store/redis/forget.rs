//! What retention no longer keeps: claims that are over, and records that have been at rest for long.

use futures_util::future::try_join_all;
use tracing::error;

use super::keys::{PartitionKeys, claim_place};
use super::script::{Call, FORGET_CLAIMS, FORGET_RECORD, REMEMBERED_MS, ms};
use super::{RedisStore, record};
use crate::domain::id::{Id, Partition};
use crate::store::{ClaimScope, Store, StoreError};

/// Things that are forgotten at once in one partition: few enough that others hardly wait for it.
const AT_ONCE: usize = 100;

impl RedisStore {
    pub(super) async fn forget_up_to(&self, limit: usize) -> Result<usize, StoreError> {
        let now = self.now_ms().await?;
        let mut forgotten = 0;
        for partition in self.partitions() {
            loop {
                let room = (limit - forgotten).min(AT_ONCE);
                let count = self.forget_claims_in(partition, now, room).await?;
                forgotten += count;
                if count < room || forgotten >= limit {
                    break;
                }
            }
            if let Some(keep) = self.retention_at_rest {
                let since = now.saturating_sub(ms(keep));
                loop {
                    let room = (limit - forgotten).min(AT_ONCE);
                    let (looked_at, count) = self.forget_records_in(partition, since, room).await?;
                    forgotten += count;
                    if looked_at < room || forgotten >= limit {
                        break;
                    }
                }
            }
        }
        Ok(forgotten)
    }

    async fn forget_claims_in(&self, partition: Partition, now: u64, limit: usize) -> Result<usize, StoreError> {
        let keys = self.keys.of(partition);
        let over = self.oldest(&keys.claim_ends(), now, limit).await?;
        if over.is_empty() {
            return Ok(0);
        }
        let mut call = Call::of(&FORGET_CLAIMS).key(keys.write(self.name())).key(keys.claim_ends());
        call.add(self.clock_arg());
        call.add(REMEMBERED_MS);
        for scope in over {
            call.number_of(keys.place(&claim_place(&ClaimScope(scope.clone()))));
            call.add(scope);
        }
        self.watched(self.link.run(&call).await)
    }

    /// How many were looked at, and how many of them forgotten.
    async fn forget_records_in(&self, partition: Partition, since: u64, limit: usize) -> Result<(usize, usize), StoreError> {
        let keys = self.keys.of(partition);
        let rested = self.oldest(&keys.rested(), since, limit).await?;
        let ids = rested.iter().map(|id| record::id(id)).collect::<Result<Vec<_>, _>>()?;
        let kept = self.kept_of_all(&ids).await?;
        let calls: Vec<Call> = ids
            .iter()
            .zip(kept)
            .map(|(id, kept)| match kept.map_or(Ok(Vec::new()), |kept| record::places(id, &kept)) {
                Ok(places) => self.forget_record(&keys, id, &places, since),
                Err(cause) => {
                    // Without its places it stays, and makes way for those behind it.
                    error!("a record that rested long is kept: {cause}");
                    self.forget_record(&keys, id, &[], since)
                }
            })
            .collect();
        let forgotten = try_join_all(calls.iter().map(|call| self.link.run::<usize>(call))).await?.into_iter().sum();
        Ok((ids.len(), forgotten))
    }

    fn forget_record(&self, keys: &PartitionKeys, id: &Id, places: &[String], since: u64) -> Call {
        let mut call = Call::of(&FORGET_RECORD)
            .key(keys.write(self.name()))
            .key(keys.record(id))
            .key(keys.rested())
            .key(keys.looks())
            .key(keys.claim_ends());
        for place in places {
            call.number_of(keys.place(place));
        }
        let stands_in = |list: &str| {
            places.iter().any(|place| place.strip_prefix("l:").and_then(|list| list.split_once('\n')).is_some_and(|(_, key)| key == list))
        };
        let keep = if self.kept_while_listed.iter().any(|list| stands_in(list)) { "1" } else { "" };
        call.arg(self.clock_arg()).arg(REMEMBERED_MS).arg(id.as_str()).arg(since).arg(keys.prefix()).arg(keep)
    }

    /// The members of a sorted set up to `highest`, the lowest first.
    async fn oldest(&self, key: &str, highest: u64, limit: usize) -> Result<Vec<String>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(key).arg("-inf").arg(highest).arg("LIMIT").arg(0).arg(limit);
        self.link.call(&command).await
    }
}
