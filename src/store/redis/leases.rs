//! The due-index: which records somebody must look at again, when, and who does so now.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;
use tracing::{error, warn};

use super::commit::{business_ms, look_args};
use super::script::{Call, DUE, RELEASE, REMEMBERED_MS, RENEW, TAKE_DUE, WAKE, ms};
use super::{RedisStore, record};
use crate::domain::id::{Id, Partition};
use crate::store::{Fence, Leased, Leases, Look, PAGE_MAX, StoreError, Wake};

#[async_trait]
impl Leases for RedisStore {
    async fn take_due(&self, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<Leased>, StoreError> {
        let limit = limit.min(PAGE_MAX);
        // First a look, so that of all partitions those that wait longest are served.
        let mut due: Vec<(i64, Partition)> = Vec::new();
        for (partition, times) in self.due(limit).await? {
            due.extend(times.into_iter().filter(|at| *at <= now.as_millisecond()).map(|at| (at, partition)));
        }
        due.sort_unstable();
        due.truncate(limit);
        let count_in = |partition| due.iter().filter(|(_, of)| *of == partition).count();
        let wanted = self.partitions().map(|partition| (partition, count_in(partition))).filter(|(_, count)| *count > 0);
        let taken = join_all(wanted.map(|(partition, count)| self.take_in(partition, now, lease, count))).await;
        let mut taken: Vec<Leased> = of_those_that_answer(taken)?.into_iter().flatten().collect();
        taken.sort_by_key(|leased| leased.due);
        Ok(taken)
    }

    async fn renew(&self, id: &Id, fence: Fence, lease: Duration) -> Result<bool, StoreError> {
        let keys = self.keys.of(id.partition());
        let call = Call::of(&RENEW)
            .key(keys.due())
            .key(keys.leased())
            .key(keys.looks())
            .arg(self.clock_arg())
            .arg(id.as_str())
            .arg(fence.0)
            .arg(ms(lease));
        self.watched(self.link.run(&call).await)
    }

    async fn release(&self, id: &Id, fence: Fence, look: Look) -> Result<bool, StoreError> {
        let keys = self.keys.of(id.partition());
        let (look, at) = look_args(look);
        let call = Call::of(&RELEASE)
            .key(keys.write(self.name()))
            .key(keys.due())
            .key(keys.leased())
            .key(keys.looks())
            .key(keys.rested())
            .arg(self.clock_arg())
            .arg(REMEMBERED_MS)
            .arg(self.notes_rest())
            .arg(id.as_str())
            .arg(fence.0)
            .arg(look)
            .arg(at);
        self.watched(self.link.run(&call).await)
    }

    async fn wake(&self, id: &Id, now: Timestamp, why: Wake) -> Result<bool, StoreError> {
        let keys = self.keys.of(id.partition());
        let why = match why {
            Wake::Asked => "asked",
            Wake::News => "news",
        };
        let call = Call::of(&WAKE)
            .key(keys.record(id))
            .key(keys.due())
            .key(keys.leased())
            .key(keys.looks())
            .key(keys.rested())
            .arg(self.clock_arg())
            .arg(id.as_str())
            .arg(business_ms(now))
            .arg(why);
        self.watched(self.link.run(&call).await)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let due = self.due(1).await?;
        due.into_iter().flat_map(|(_, times)| times).min().map(timestamp).transpose()
    }
}

impl RedisStore {
    /// When the longest-waiting records of each partition that nobody holds are due, at most `limit` of each.
    async fn due(&self, limit: usize) -> Result<Vec<(Partition, Vec<i64>)>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let look = async |partition: Partition| {
            let keys = self.keys.of(partition);
            let call = Call::of(&DUE).key(keys.due()).key(keys.leased()).key(keys.looks()).arg(self.clock_arg()).arg(limit);
            Ok((partition, self.link.run(&call).await?))
        };
        of_those_that_answer(join_all(self.partitions().map(look)).await)
    }

    async fn take_in(&self, partition: Partition, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<Leased>, StoreError> {
        let keys = self.keys.of(partition);
        let call = Call::of(&TAKE_DUE)
            .key(keys.write(self.name()))
            .key(keys.due())
            .key(keys.leased())
            .key(keys.looks())
            .key(keys.fence())
            .arg(self.clock_arg())
            .arg(REMEMBERED_MS)
            .arg(business_ms(now))
            .arg(ms(lease))
            .arg(limit);
        let reply: String = self.watched(self.link.run(&call).await)?;
        let taken = reply.split(',').filter(|one| !one.is_empty()).map(taken).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<Id> = taken.iter().map(|(id, _, _)| id.clone()).collect();
        let records = self.kept_of_all(&ids).await?;
        let leased = taken.into_iter().zip(records).filter_map(|((id, fence, due), kept)| {
            // One that was removed since it was taken is nobody's; one that can't be read comes back when its lease is over.
            let record = record::stored(id, kept?).inspect_err(|cause| error!("a record that is due is passed over: {cause}")).ok()?;
            Some(Leased { record, fence, due })
        });
        Ok(leased.collect())
    }
}

/// What the partitions said that answered; the error where none did. One that is away, or can't be read, keeps nobody from the
/// work that lies in the others, and is told of.
fn of_those_that_answer<T>(answers: Vec<Result<T, StoreError>>) -> Result<Vec<T>, StoreError> {
    let mut first_error = None;
    let mut answered = Vec::new();
    for answer in answers {
        match answer {
            Ok(answer) => answered.push(answer),
            Err(cause) => drop(first_error.get_or_insert(cause)),
        }
    }
    match first_error {
        Some(cause) if answered.is_empty() => return Err(cause),
        Some(StoreError::Broken(cause)) => error!("the due records of a partition can't be read, nobody looks at them: {cause}"),
        Some(cause) => warn!("the due records of a partition wait: {cause}"),
        None => {}
    }
    Ok(answered)
}

/// "<id> <fence> <at>".
fn taken(text: &str) -> Result<(Id, Fence, Timestamp), StoreError> {
    let mut parts = text.split(' ');
    let strange = || StoreError::Broken("a lease was given in an unknown way".to_owned());
    let id = record::id(parts.next().ok_or_else(strange)?)?;
    let fence = parts.next().and_then(|fence| fence.parse().ok()).ok_or_else(strange)?;
    let at = parts.next().and_then(|at| at.parse().ok()).ok_or_else(strange)?;
    Ok((id, Fence(fence), timestamp(at)?))
}

fn timestamp(ms: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(ms).map_err(|_| StoreError::Broken("what is stored as a time is none".to_owned()))
}
