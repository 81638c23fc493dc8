//! Wake-ups: commits tell of what they appended on a channel, and a subscription of its own hears it. It only means "look
//! again", so one that is lost costs a moment and nothing else.

use std::sync::Arc;
use std::time::Duration;

use redis::{Client, RedisError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tracing::warn;

use super::OpenError;
use super::link::{self, Link};
use crate::domain::id::Partition;
use crate::store::{Growth, StoreError};

/// The pause before a subscription that broke is made again.
const PAUSE: Duration = Duration::from_millis(200);
/// A silent connection is asked this often whether it lives, and given up after this long.
const ASK_EVERY: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The subscription. It ends when it is dropped.
pub(super) struct Wakeups {
    heard: watch::Receiver<Growth>,
    task: JoinHandle<()>,
}

impl Wakeups {
    /// Listens at one of `servers` after the other: a Cluster tells all of them.
    pub(super) fn listen(servers: Vec<Client>, channel: String, partitions: u16) -> Self {
        let (hear, heard) = watch::channel(Growth::default());
        let hear = Arc::new(hear);
        let task = tokio::spawn(async move {
            let mut last = String::new();
            for client in servers.iter().cycle() {
                if let Err(cause) = listen_at(client, &channel, &hear, partitions).await {
                    let cause = link::text(&cause);
                    // The same trouble is said once. Meanwhile the log is looked at once a second.
                    if cause != last {
                        warn!("wake-ups are not heard, events come up to a second later: {cause}");
                    }
                    last = cause;
                } else {
                    // It was heard, and the server ended it.
                    last.clear();
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { heard, task }
    }

    pub(super) fn receiver(&self) -> watch::Receiver<Growth> {
        self.heard.clone()
    }
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tries whether wake-ups may be told: by one that means nothing.
pub(super) async fn check_allowed(link: &Link, channel: &str) -> Result<(), OpenError> {
    let mut command = redis::cmd("PUBLISH");
    command.arg(channel).arg("");
    match link.call::<i64>(&command).await {
        Ok(_) => Ok(()),
        Err(StoreError::Broken(_)) => Err(OpenError::Channel { channel: channel.to_owned() }),
        Err(cause) => Err(OpenError::Store(cause)),
    }
}

async fn listen_at(client: &Client, channel: &str, hear: &watch::Sender<Growth>, partitions: u16) -> Result<(), RedisError> {
    let all = |growth: &mut Growth| (0..partitions).for_each(|partition| growth.note(Partition(partition)));
    let silent = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let connected = tokio::time::timeout(ANSWER_TIMEOUT, async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        Ok::<_, RedisError>(subscription)
    });
    let (mut ask, mut messages) = connected.await.map_err(|_| silent())??.split();
    // What was told before is looked for.
    hear.send_modify(all);
    let mut next_ask = tokio::time::interval(ASK_EVERY);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => match message.get_payload::<u16>() {
                    Ok(partition) if partition < partitions => hear.send_modify(|growth| growth.note(Partition(partition))),
                    Ok(_) | Err(_) => hear.send_modify(all),
                },
                None => return Ok(()),
            },
            _ = next_ask.tick() => {
                tokio::time::timeout(ANSWER_TIMEOUT, ask.ping::<redis::Value>()).await.map_err(|_| silent())??;
            }
        }
    }
}
