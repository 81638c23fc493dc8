//! The creation of a code as redis sees it, to be made again and again with other names.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::Cmd;
use redis::aio::MultiplexedConnection;
use tonic::transport::Channel;
use upistream::grpc::pb;

use super::own_redis::{OwnRedis, Told};
use super::progress::Progress;
use super::provider::{self, Provider};
use super::recorded::{Recorded, find, names, number_at_end, renamed};
use super::{Failed, service};

/// What the service's keys begin with, and as long a prefix of the floor's own.
const PREFIX: &[u8] = b"upistream:";
const FLOORS_PREFIX: &[u8] = b"barefloor:";
/// Creations that are written together.
const TOGETHER: usize = 250;
/// Names of one code at most, with those of its payment. The n-th name of a code ends with its number times this, and n.
const NAMES_MAX: u64 = 16;
/// The number of the first code: the provider and the callers count from zero, and their names must not be met.
const FIRST: u64 = 50_000_000_000;

/// Whose keys they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Service,
    Floor,
}

/// Where a name stands among those of its code.
const PREFIX_AT: usize = 0;
const OUR_REF_AT: usize = 3;
const PROVIDER_REF_AT: usize = 4;
/// The last one: it is not derived from the code's number, but told by redis.
const FENCE_AT: usize = 9;

/// The two scripts of a creation: that of the intent, and that of what the provider answered.
pub struct Creation {
    intent: Recorded,
    outcome: Recorded,
    /// The key of the log that both append to.
    log: Vec<u8>,
    /// The key of the index of what is to be looked at.
    due: Vec<u8>,
    /// As they were seen.
    names: Vec<Vec<u8>>,
    /// What the provider was asked.
    pub asked: provider::Creation,
    /// What the caller was answered.
    pub response: pb::CreateQrResponse,
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
        let calls: Vec<Told> = told.into_iter().filter(|told| is_commit(told) && names(told, &id)).collect();
        let [intent, outcome] = &calls[..] else {
            return Err(format!("a creation takes two commits, and {} were seen", calls.len()).into());
        };
        let mut names = vec![PREFIX.to_vec()];
        names.extend([&id, &key, &asked.our_ref, &asked.provider_ref].map(|name| name.as_bytes().to_vec()));
        for call in [intent, outcome] {
            names.extend([event(call)?, write(call)?]);
        }
        names.push(fence(outcome)?);
        let (log, due) = (key_of(intent, LOG_AT, ":log")?, key_of(intent, DUE_AT, ":due")?);
        let (intent, outcome) = (Recorded::of(intent, &names), Recorded::of(outcome, &names));
        Ok(Self { intent, outcome, log, due, names, response, asked })
    }

    /// The names of the code that was watched which a payment of it has as well.
    pub fn kept_names(&self) -> &[Vec<u8>] {
        &self.names[..FENCE_AT]
    }

    /// The key of the log in the keys of `owner`.
    pub fn log(&self, owner: Owner) -> Vec<u8> {
        [prefix(owner), &self.log[PREFIX.len()..]].concat()
    }

    /// The service's index of what is to be looked at.
    pub fn due(&self) -> &[u8] {
        &self.due
    }

    /// What the code with this number is called at the provider, and our reference that it carries there.
    pub fn refs(&self, number: u64) -> [String; 2] {
        [PROVIDER_REF_AT, OUR_REF_AT].map(|place| text(&name_of(&self.names[place], number, place)))
    }

    fn names_of(&self, number: u64, owner: Owner) -> Vec<Vec<u8>> {
        names_of(&self.names, number, owner)
    }

    fn intent(&self, names: &[Vec<u8>]) -> Cmd {
        self.intent.with(names)
    }

    /// The second script, from what the first one was answered.
    fn outcome(&self, names: &mut [Vec<u8>], (kind, written): (String, String)) -> Result<Cmd, Failed> {
        done(&kind)?;
        let fence = written.rsplit('-').next().ok_or("a commit without a fence")?;
        names[FENCE_AT] = fence.as_bytes().to_vec();
        Ok(self.outcome.with(names))
    }

    /// Makes another one in the floor's keys.
    pub async fn make(&self, connection: &mut MultiplexedConnection) -> Result<(), Failed> {
        let mut names = self.names_of(numbers(1).start, Owner::Floor);
        let written = self.intent(&names).query_async(connection).await?;
        let (kind, _): (String, String) = self.outcome(&mut names, written)?.query_async(connection).await?;
        done(&kind)
    }

    /// Makes many as the service would, in the keys of `owner`. Their numbers.
    pub async fn make_many(&self, connection: &mut MultiplexedConnection, owner: Owner, count: usize) -> Result<Range<u64>, Failed> {
        let numbers = numbers(u64::try_from(count)?);
        let mut progress = Progress::of("codes are made", count);
        let mut left = numbers.clone();
        while !left.is_empty() {
            let mut all: Vec<_> = left.by_ref().take(TOGETHER).map(|number| self.names_of(number, owner)).collect();
            let (mut intents, mut outcomes) = (redis::pipe(), redis::pipe());
            for names in &all {
                intents.add_command(self.intent(names));
            }
            let written: Vec<(String, String)> = intents.query_async(connection).await?;
            for (names, written) in all.iter_mut().zip(written) {
                outcomes.add_command(self.outcome(names, written)?);
            }
            let ended: Vec<(String, String)> = outcomes.query_async(connection).await?;
            ended.iter().try_for_each(|(kind, _)| done(kind))?;
            progress.add(all.len());
        }
        Ok(numbers)
    }
}

/// Numbers that no code has yet.
fn numbers(count: u64) -> Range<u64> {
    static NEXT: AtomicU64 = AtomicU64::new(FIRST);
    let first = NEXT.fetch_add(count, Ordering::Relaxed);
    first..first + count
}

fn prefix(owner: Owner) -> &'static [u8] {
    match owner {
        Owner::Service => PREFIX,
        Owner::Floor => FLOORS_PREFIX,
    }
}

/// The names that the code with this number has in place of `names`, in the keys of `owner`.
pub fn names_of(names: &[Vec<u8>], number: u64, owner: Owner) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = names.iter().enumerate().map(|(place, name)| name_of(name, number, place)).collect();
    all[PREFIX_AT] = prefix(owner).to_vec();
    all
}

/// The name that the code with this number has in place of `name`: two of its names may differ in nothing but their ends.
pub fn name_of(name: &[u8], number: u64, place: usize) -> Vec<u8> {
    renamed(name, number * NAMES_MAX + place as u64)
}

/// A name as the text that it is.
pub fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// The number of the code that a name is of, and the name's place; `None`: it is no such name.
pub fn number_and_place(name: &[u8]) -> Option<(u64, usize)> {
    let end = number_at_end(name)?;
    Some((end / NAMES_MAX, usize::try_from(end % NAMES_MAX).ok()?))
}

pub fn done(kind: &str) -> Result<(), Failed> {
    if kind == "done" { Ok(()) } else { Err(format!("a commit ended with `{kind}`").into()) }
}

/// Whether a record is written. What is only read may be of somebody who looks around beside what is watched.
pub fn is_commit(call: &Told) -> bool {
    call.iter().any(|word| word == b"put")
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

/// Where a commit's keys stand: EVALSHA, the digest and how many they are come first.
const WRITE_AT: usize = 3;
const LOG_AT: usize = 4;
const DUE_AT: usize = 7;

/// The key of a commit at this place, which ends so.
fn key_of(call: &Told, at: usize, end: &str) -> Result<Vec<u8>, Failed> {
    let key = call.get(at).filter(|key| key.starts_with(PREFIX) && key.ends_with(end.as_bytes()));
    key.cloned().ok_or_else(|| format!("a commit without `{end}`").into())
}

/// The write's name, which ends its first key.
pub fn write(call: &Told) -> Result<Vec<u8>, Failed> {
    const BEFORE: &[u8] = b":w:";
    let key = call.get(WRITE_AT).ok_or("a commit without keys")?;
    let at = find(key, BEFORE).ok_or("a commit without a name")?;
    Ok(key[at + BEFORE.len()..].to_vec())
}
