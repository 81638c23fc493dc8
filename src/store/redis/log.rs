//! The log of events: one stream per partition, appended to by commits, trimmed from its old end. An entry's id in the
//! stream is `<seq>-<ms>`, so that its number alone finds it.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use redis::Value;
use tokio::sync::watch;

use super::RedisStore;
use super::script::{Call, EVENT, REMEMBERED_MS, SEQ_BEFORE, TRIM};
use crate::domain::id::{Id, Partition};
use crate::store::{Growth, Head, Log, Logged, PAGE_MAX, Position, StoreError};

/// Entries that one call removes: few enough that others hardly wait for it.
const TRIMMED_AT_ONCE: usize = 200;

#[async_trait]
impl Log for RedisStore {
    async fn events_after(&self, partition: Partition, seq: u64, limit: usize) -> Result<Vec<Logged>, StoreError> {
        let (Some(next), 1..) = (seq.checked_add(1), limit) else { return Ok(Vec::new()) };
        let mut command = redis::cmd("XRANGE");
        command.arg(self.keys.of(partition).log()).arg(format!("{next}-0")).arg("+").arg("COUNT").arg(limit.min(PAGE_MAX));
        entries(partition, self.link.call(&command).await?)
    }

    async fn entry(&self, partition: Partition, seq: u64) -> Result<Option<Logged>, StoreError> {
        let mut command = redis::cmd("XRANGE");
        command.arg(self.keys.of(partition).log()).arg(format!("{seq}-0")).arg(format!("{seq}-{}", u64::MAX));
        Ok(entries(partition, self.link.call(&command).await?)?.pop())
    }

    async fn event(&self, id: &Id) -> Result<Option<Logged>, StoreError> {
        let keys = self.keys.of(id.partition());
        let call = Call::of(&EVENT).key(keys.event_ids()).key(keys.log()).arg(id.as_str());
        Ok(entries(id.partition(), self.link.run(&call).await?)?.pop())
    }

    async fn seq_before(&self, partition: Partition, ms: u64) -> Result<u64, StoreError> {
        let keys = self.keys.of(partition);
        let call = Call::of(&SEQ_BEFORE).key(keys.log()).key(keys.head()).arg(ms);
        self.link.run(&call).await
    }

    async fn head(&self, partition: Partition) -> Result<Head, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.of(partition).head());
        let kept: Option<String> = self.link.call(&command).await?;
        let Some(kept) = kept else {
            return Ok(Head { partition, first: None, last: Position::default(), trimmed_ms: 0 });
        };
        head(partition, &kept).ok_or_else(|| StoreError::Broken(format!("the head of partition {} can't be read", partition.0)))
    }

    async fn heads(&self) -> Result<Vec<Head>, StoreError> {
        try_join_all(self.partitions().map(|partition| self.head(partition))).await
    }

    async fn trim(&self, ms: u64, limit: usize) -> Result<usize, StoreError> {
        let mut removed = 0;
        for partition in self.partitions() {
            let keys = self.keys.of(partition);
            while removed < limit {
                let room = (limit - removed).min(TRIMMED_AT_ONCE);
                let call = Call::of(&TRIM)
                    .key(keys.write(self.name()))
                    .key(keys.log())
                    .key(keys.head())
                    .key(keys.event_ids())
                    .arg(REMEMBERED_MS)
                    .arg(ms)
                    .arg(room);
                let now_removed: usize = self.watched(self.link.run(&call).await)?;
                removed += now_removed;
                if now_removed < room {
                    break;
                }
            }
        }
        Ok(removed)
    }

    fn wakeups(&self) -> watch::Receiver<Growth> {
        self.wakeups.receiver()
    }
}

/// "<ms> <seq> <trimmed ms> <first ms> <first seq>", as `commit.lua` writes it.
pub(super) fn head(partition: Partition, kept: &str) -> Option<Head> {
    let numbers: Vec<u64> = kept.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let &[ms, seq, trimmed_ms, first_ms, first_seq] = &numbers[..] else { return None };
    let first = (first_seq > 0).then_some(Position { ms: first_ms, seq: first_seq });
    Some(Head { partition, first, last: Position { ms, seq }, trimmed_ms })
}

fn entries(partition: Partition, value: Value) -> Result<Vec<Logged>, StoreError> {
    let each = each(value).ok_or_else(|| strange(partition))?.into_iter();
    each.map(|value| entry(partition, value).map(|(_, logged)| logged).ok_or_else(|| strange(partition))).collect()
}

/// Entries, each with its event's id.
pub(super) fn entries_with_ids(partition: Partition, value: Value) -> Result<Vec<(Id, Logged)>, StoreError> {
    let with_id = |value| {
        let (event, logged) = entry(partition, value)?;
        Some((std::str::from_utf8(&event).ok()?.parse().ok()?, logged))
    };
    each(value).ok_or_else(|| strange(partition))?.into_iter().map(|value| with_id(value).ok_or_else(|| strange(partition))).collect()
}

fn strange(partition: Partition) -> StoreError {
    StoreError::Broken(format!("the log of partition {} can't be read", partition.0))
}

/// An entry, after the text of its event's id. The values are taken apart by hand: a page has hundreds, of six values each.
fn entry(partition: Partition, value: Value) -> Option<(Vec<u8>, Logged)> {
    let [id, fields] = <[Value; 2]>::try_from(each(value)?).ok()?;
    // "id", the event's id, "body", its body.
    let [_, event, _, body] = <[Value; 4]>::try_from(each(fields)?).ok()?;
    let id = bytes(id)?;
    let (seq, ms) = std::str::from_utf8(&id).ok()?.split_once('-')?;
    let position = Position { ms: ms.parse().ok()?, seq: seq.parse().ok()? };
    Some((bytes(event)?, Logged { partition, position, body: bytes(body)?.into() }))
}

fn each(value: Value) -> Option<Vec<Value>> {
    if let Value::Array(values) = value { Some(values) } else { None }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    if let Value::BulkString(bytes) = value { Some(bytes) } else { None }
}
