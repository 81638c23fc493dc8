//! Waiting until replicas have what was committed. WAIT speaks of its own connection's writes and holds up all that comes
//! after it there: so it has a connection of its own, on which it follows a write that comes after the commit's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::keys::{Keys, PartitionKeys};
use super::link::Link;
use super::{OpenError, RedisServers};
use crate::domain::id::Partition;
use crate::store::StoreError;

pub(super) struct Replicas {
    link: Link,
    wanted: u32,
    timeout: Duration,
    turns: Vec<Turn>,
}

/// Those who wait for one partition share a WAIT: it speaks for all who came before it.
#[derive(Default)]
struct Turn {
    came: AtomicU64,
    last: Mutex<Round>,
}

/// The last WAIT: for how many of those who came it spoke, and how many replicas had everything.
#[derive(Default)]
struct Round {
    came: u64,
    replicas: u32,
}

impl Replicas {
    pub(super) fn new(servers: &RedisServers, wanted: u32, timeout: Duration, partitions: u16) -> Result<Self, OpenError> {
        let servers = RedisServers { timeout: servers.timeout + timeout, ..servers.clone() };
        let turns = (0..partitions).map(|_| Turn::default()).collect();
        Ok(Self { link: Link::new(&servers)?, wanted, timeout, turns })
    }

    /// Returns once as many replicas as are wanted have all that was committed in `partition` before, the commit `write`
    /// among it. A master that took over and does not have that commit waits for nothing.
    pub(super) async fn have_all(&self, keys: &Keys, partition: Partition, write: Option<u128>) -> Result<(), StoreError> {
        let keys = keys.of(partition);
        self.take_part_in_a_wait(&keys, partition).await?;
        let Some(write) = write else { return Ok(()) };
        // Only now: where it still stands after the wait, it stood there before.
        let mut command = redis::cmd("EXISTS");
        command.arg(keys.write(write));
        match self.link.call(&command).await? {
            true => Ok(()),
            false => Err(StoreError::InDoubt("the server that answers now does not have the write".to_owned())),
        }
    }

    async fn take_part_in_a_wait(&self, keys: &PartitionKeys, partition: Partition) -> Result<(), StoreError> {
        let turn = self.turns.get(usize::from(partition.0)).ok_or_else(|| StoreError::Broken("there is no such partition".to_owned()))?;
        let came = turn.came.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = turn.last.lock().await;
        if last.came < came {
            let all = turn.came.load(Ordering::SeqCst);
            // One that failed speaks for all as well: they would only fail one after the other.
            let replicas = self.wait(&keys.probe()).await.unwrap_or(0);
            *last = Round { came: all, replicas };
        }
        if last.replicas >= self.wanted {
            return Ok(());
        }
        let (found, wanted) = (last.replicas, self.wanted);
        Err(StoreError::InDoubt(format!("{found} replicas have the write, of the {wanted} that are wanted")))
    }

    async fn wait(&self, key: &str) -> Result<u32, StoreError> {
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let mut commands = redis::pipe();
        commands.cmd("INCR").arg(key).ignore().cmd("WAIT").arg(self.wanted).arg(timeout_ms);
        let (replicas,) = self.link.call_together(&commands).await?;
        Ok(replicas)
    }
}
