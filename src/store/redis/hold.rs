//! What is held back in a store that was restored or copied: a mark in the store's own fields, and in each partition the
//! records that were not looked up yet.

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::place::{FILLED, SENDING_HELD};
use super::{RedisStore, record};
use crate::domain::id::{Id, Partition};
use crate::store::{Hold, PAGE_MAX, StoreError};

#[async_trait]
impl Hold for RedisStore {
    async fn unseen(&self) -> Result<Option<u64>, StoreError> {
        let mut command = redis::cmd("HEXISTS");
        command.arg(self.keys.meta()).arg(SENDING_HELD);
        if !self.link.call::<bool>(&command).await? {
            return Ok(None);
        }
        let counts = try_join_all(self.partitions().map(async |partition| {
            let mut command = redis::cmd("ZCARD");
            command.arg(self.keys.of(partition).unseen());
            self.link.call::<u64>(&command).await
        }));
        Ok(Some(counts.await?.into_iter().sum()))
    }

    async fn unseen_after(&self, partition: Partition, after: Option<&Id>, limit: usize) -> Result<Vec<Id>, StoreError> {
        let lowest = after.map_or("-".to_owned(), |id| format!("({id}"));
        let mut command = redis::cmd("ZRANGEBYLEX");
        command.arg(self.keys.of(partition).unseen()).arg(lowest).arg("+").arg("LIMIT").arg(0).arg(limit.min(PAGE_MAX));
        let ids: Vec<String> = self.link.call(&command).await?;
        ids.iter().map(|id| record::id(id)).collect()
    }

    async fn seen(&self, id: &Id) -> Result<(), StoreError> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.keys.of(id.partition()).unseen()).arg(id.as_str());
        self.link.call::<u64>(&command).await.map(drop)
    }

    /// What is in none of the partitions comes into none any more: the count and the end need not be one step.
    async fn lift_hold(&self) -> Result<bool, StoreError> {
        match self.unseen().await? {
            None => Ok(true),
            Some(0) => {
                let mut command = redis::cmd("HDEL");
                command.arg(self.keys.meta()).arg(SENDING_HELD);
                self.link.call::<u64>(&command).await?;
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    async fn was_filled(&self) -> Result<bool, StoreError> {
        let mut command = redis::cmd("HEXISTS");
        command.arg(self.keys.meta()).arg(FILLED);
        self.link.call(&command).await
    }
}
