//! The creation of a code as redis sees it, to be made again and again with other names.

use std::sync::atomic::{AtomicU64, Ordering};

use redis::Cmd;
use redis::aio::MultiplexedConnection;
use tonic::transport::Channel;
use upistream::grpc::pb;

use super::own_redis::{OwnRedis, Told};
use super::provider::{self, Provider};
use super::recorded::{Recorded, find, names, renamed};
use super::{Failed, service};

/// What the service's keys begin with, and as long a prefix of the floor's own.
const PREFIX: &[u8] = b"upistream:";
const FLOORS_PREFIX: &[u8] = b"barefloor:";
/// Where these two stand among the names.
const PREFIX_AT: usize = 0;
const FENCE_AT: usize = 1;

/// The two scripts of a creation: that of the intent, and that of what the provider answered.
pub struct Creation {
    intent: Recorded,
    outcome: Recorded,
    /// The key of the log that both append to.
    pub log: String,
    /// As they were seen.
    names: Vec<Vec<u8>>,
    /// What the caller was answered.
    pub response: pb::CreateQrResponse,
    /// What the provider was asked.
    pub asked: provider::Creation,
}

impl Creation {
    /// Has the service make one, and looks on.
    pub async fn watched(redis: &OwnRedis, provider: &Provider, channel: Channel) -> Result<Self, Failed> {
        // From here on the server knows the scripts, and the service its provider.
        service::create(channel.clone(), service::new_key()).await?;
        let key = service::new_key();
        provider.watch();
        let watch = redis.watch()?;
        let response = service::create(channel, key.clone()).await?;
        let told = redis.told(watch)?;
        let (id, asked) = (service::made(&response)?.id.clone(), provider.last()?);
        let calls: Vec<Told> = told.into_iter().filter(|told| names(told, &id)).collect();
        let [intent, outcome] = &calls[..] else {
            return Err(format!("a creation takes two round trips to redis, and {} were seen", calls.len()).into());
        };
        let mut names = vec![PREFIX.to_vec(), fence(outcome)?];
        names.extend([&id, &key, &asked.our_ref, &asked.provider_ref].map(|name| name.as_bytes().to_vec()));
        for call in [intent, outcome] {
            names.extend([event(call)?, write(call)?]);
        }
        // EVALSHA, the digest, how many keys, the write's name, the log.
        let log = intent.get(4).filter(|key| key.ends_with(b":log")).ok_or("a commit without a log")?;
        let log = String::from_utf8(log.clone())?;
        let (intent, outcome) = (Recorded::of(intent, &names), Recorded::of(outcome, &names));
        Ok(Self { intent, outcome, log, names, response, asked })
    }

    /// The names of another one: in the floor's own keys, or among the service's.
    pub fn other(&self, is_floors: bool) -> Vec<Vec<u8>> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        // Two names may differ in nothing but their ends.
        let names = self.names.iter().zip(0..).map(|(name, place)| renamed(name, number * self.names.len() as u64 + place));
        let mut names: Vec<Vec<u8>> = names.collect();
        names[PREFIX_AT] = if is_floors { FLOORS_PREFIX.to_vec() } else { PREFIX.to_vec() };
        names
    }

    pub fn intent(&self, names: &[Vec<u8>]) -> Cmd {
        self.intent.with(names)
    }

    /// The second script, from what the first one was answered.
    pub fn outcome(&self, names: &mut [Vec<u8>], (kind, written): (String, String)) -> Result<Cmd, Failed> {
        done(&kind)?;
        let fence = written.rsplit('-').next().ok_or("a commit without a fence")?;
        names[FENCE_AT] = fence.as_bytes().to_vec();
        Ok(self.outcome.with(names))
    }

    /// Makes another one in the floor's keys; `between`: what is done between the two.
    pub async fn make(
        &self,
        connection: &mut MultiplexedConnection,
        between: impl Future<Output = Result<(), Failed>>,
    ) -> Result<(), Failed> {
        let mut names = self.other(true);
        let written = self.intent(&names).query_async(connection).await?;
        between.await?;
        let (kind, _): (String, String) = self.outcome(&mut names, written)?.query_async(connection).await?;
        done(&kind)
    }
}

pub fn done(kind: &str) -> Result<(), Failed> {
    if kind == "done" { Ok(()) } else { Err(format!("a commit ended with `{kind}`").into()) }
}

/// The fence that the outcome gives back.
fn fence(call: &Told) -> Result<Vec<u8>, Failed> {
    let at = call.iter().position(|word| word == b"release").ok_or("the outcome of a creation gives no lease back")?;
    call.get(at + 1).cloned().ok_or_else(|| "a lease without a fence".into())
}

/// The id of the event that is appended.
fn event(call: &Told) -> Result<Vec<u8>, Failed> {
    let is_id = |word: &&Vec<u8>| word.starts_with(b"evt_");
    call.iter().find(is_id).cloned().ok_or_else(|| "a commit without an event".into())
}

/// The write's name, which ends its first key.
fn write(call: &Told) -> Result<Vec<u8>, Failed> {
    const BEFORE: &[u8] = b":w:";
    // EVALSHA, the digest, how many keys, the first key.
    let key = call.get(3).ok_or("a commit without keys")?;
    let at = find(key, BEFORE).ok_or("a commit without a name")?;
    Ok(key[at + BEFORE.len()..].to_vec())
}
