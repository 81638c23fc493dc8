//! Records and the lists they stand in, as they are read.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::keys::{list_place, reference_place};
use super::script::{Call, FIND};
use super::{RedisStore, commit, record};
use crate::domain::id::{Id, Partition};
use crate::store::{Batch, Commit, ListKey, PAGE_MAX, Records, Reference, StoreError, Stored};

#[async_trait]
impl Records for RedisStore {
    async fn get(&self, id: &Id) -> Result<Option<Stored>, StoreError> {
        self.kept(id).await?.map(|kept| record::stored(id.clone(), kept)).transpose()
    }

    async fn find(&self, partition: Partition, reference: &Reference) -> Result<Option<Stored>, StoreError> {
        let keys = self.keys.of(partition);
        let call = Call::of(&FIND).key(keys.place(&reference_place(reference))).arg(keys.prefix());
        let found: Vec<Option<Vec<u8>>> = self.link.run(&call).await?;
        let mut found = found.into_iter();
        let Some(id) = found.next().flatten() else { return Ok(None) };
        let id = record::id(&String::from_utf8_lossy(&id))?;
        match found.next().flatten() {
            Some(kept) => record::stored(id, kept.into()).map(Some),
            // Its key was not one of the call's: only a look at the key itself says that it isn't there.
            None => self.get(&id).await,
        }
    }

    async fn list(&self, partition: Partition, list: &ListKey, before: Option<&Id>, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let key = self.keys.of(partition).place(&list_place(list));
        let limit = limit.min(PAGE_MAX);
        let mut before = before.cloned();
        let mut page = Vec::new();
        // An entry whose record was removed meanwhile makes no page short: a short page is the last.
        while page.len() < limit {
            let wanted = limit - page.len();
            let highest = before.as_ref().map_or("+".to_owned(), |id| format!("({id}"));
            let mut command = redis::cmd("ZREVRANGEBYLEX");
            command.arg(&key).arg(highest).arg("-").arg("LIMIT").arg(0).arg(wanted);
            let entries: Vec<String> = self.link.call(&command).await?;
            let ids = entries.iter().map(|entry| record::id(entry)).collect::<Result<Vec<_>, _>>()?;
            let was_last = ids.len() < wanted;
            before = ids.last().cloned();
            page.extend(self.get_all(&ids).await?.into_iter().flatten());
            if was_last {
                break;
            }
        }
        Ok(page)
    }

    async fn count(&self, partition: Partition, list: &ListKey) -> Result<u64, StoreError> {
        let mut command = redis::cmd("ZCARD");
        command.arg(self.keys.of(partition).place(&list_place(list)));
        self.link.call(&command).await
    }

    async fn commit(&self, batch: Arc<Batch>) -> Result<Commit, StoreError> {
        commit::commit(self, &batch).await
    }
}

impl RedisStore {
    /// What is kept of a record.
    pub(super) async fn kept(&self, id: &Id) -> Result<Option<Bytes>, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.of(id.partition()).record(id));
        let kept: Option<Vec<u8>> = self.link.call(&command).await?;
        Ok(kept.map(Bytes::from))
    }

    /// What is kept of each of some records, all of one partition.
    pub(super) async fn kept_of_all(&self, ids: &[Id]) -> Result<Vec<Option<Bytes>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        for id in ids {
            command.arg(self.keys.of(id.partition()).record(id));
        }
        let kept: Vec<Option<Vec<u8>>> = self.link.call(&command).await?;
        Ok(kept.into_iter().map(|kept| kept.map(Bytes::from)).collect())
    }

    pub(super) async fn get_all(&self, ids: &[Id]) -> Result<Vec<Option<Stored>>, StoreError> {
        let kept = self.kept_of_all(ids).await?;
        ids.iter().zip(kept).map(|(id, kept)| kept.map(|kept| record::stored(id.clone(), kept)).transpose()).collect()
    }
}
