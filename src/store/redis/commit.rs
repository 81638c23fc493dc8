//! A commit as a call of `commit.lua`, and its reply.

use jiff::Timestamp;
use redis::{FromRedisValue, Value};

use super::keys::{PartitionKeys, claim_place, list_place, reference_place};
use super::script::{COMMIT, Call};
use super::{RedisStore, record};
use crate::store::{
    Batch, Change, Claim, ClaimStep, Commit, Conflict, Fence, Guard, LeaseStep, Look, Position, Records, ReferenceStep, StoreError,
    Written, batch,
};

/// How long a commit that is sent again finds its own work: far longer than any caller goes on asking, and at a thousand
/// commits a second about 100 MB.
const REMEMBERED_MS: u64 = 10 * 60 * 1_000;
/// How often a removal is begun anew because its record came to stand in other places.
const REMOVALS_MAX: usize = 8;

pub(super) async fn commit(store: &RedisStore, batch: &Batch) -> Result<Commit, StoreError> {
    batch::check(batch, store.identity.partitions)?;
    store.check_is_ours()?;
    let keys = store.keys.of(batch.partition);
    for _ in 0..REMOVALS_MAX {
        let mut call = call(store, &keys, batch);
        for change in batch.changes.iter().filter(|change| change.body.is_none()) {
            // A removal writes wherever its record stands: those keys are read before.
            if let Some(kept) = store.kept(&change.id).await? {
                for place in record::places(&change.id, &kept)? {
                    call.number_of(keys.place(&place));
                }
            }
        }
        let reply = store.watched(store.link.run(&call).await)?;
        if let Some(ended) = ended(store, batch, reply).await? {
            return Ok(ended);
        }
    }
    Err(StoreError::Unavailable("a record that is to be removed does not stand still".to_owned()))
}

fn call(store: &RedisStore, keys: &PartitionKeys, batch: &Batch) -> Call {
    let Batch { partition, write, claims, changes, guards } = batch;
    let mut call = Call::of(&COMMIT)
        .key(keys.write(*write))
        .key(keys.log())
        .key(keys.head())
        .key(keys.event_ids())
        .key(keys.due())
        .key(keys.leased())
        .key(keys.looks())
        .key(keys.fence())
        .key(keys.rested())
        .key(keys.claim_ends())
        .arg(store.clock_arg())
        .arg(REMEMBERED_MS)
        .arg(store.notes_rest())
        .arg(keys.prefix())
        .arg(store.keys.wakeups())
        .arg(partition.0);
    call.add(claims.len());
    for step in claims {
        add_claim(&mut call, keys, step);
    }
    call.add(changes.len());
    for change in changes {
        add_change(&mut call, keys, change);
    }
    call.add(guards.len());
    for guard in guards {
        add_guard(&mut call, keys, guard);
    }
    call
}

fn add_claim(call: &mut Call, keys: &PartitionKeys, step: &ClaimStep) {
    let (kind, scope, record, text, answer, keep) = match step {
        ClaimStep::Take { scope, fingerprint, record } => ("take", scope, record, &fingerprint[..], "", None),
        ClaimStep::Settle { scope, record, outcome, answer, keep } => ("settle", scope, record, &outcome[..], answer.as_str(), *keep),
        ClaimStep::StartRetention { scope, record, keep } => ("start", scope, record, &b""[..], "", Some(*keep)),
        ClaimStep::Free { scope, record } => ("free", scope, record, &b""[..], "", None),
    };
    let key = call.number_of(keys.place(&claim_place(scope)));
    call.add(kind);
    call.add(key);
    call.add(&scope.0);
    call.add(record.as_str());
    call.add(text);
    call.add(answer);
    call.add(keep.map_or(String::new(), |keep| keep.as_millis().to_string()));
}

fn add_change(call: &mut Call, keys: &PartitionKeys, change: &Change) {
    let Change { id, from, body, event, references, join, leave, look, lease } = change;
    let key = call.number_of(keys.record(id));
    call.add(id.as_str());
    call.add(key);
    call.add(from.map_or(String::new(), |from| from.to_string()));
    call.add(if body.is_some() { "put" } else { "remove" });
    call.add(body.as_deref().unwrap_or_default());
    call.add(event.as_ref().map_or("", |event| event.id.as_str()));
    call.add(event.as_ref().map_or(&b""[..], |event| &event.body[..]));
    call.add(references.len());
    for step in references {
        let (kind, reference) = match step {
            ReferenceStep::Unique(reference) => ("unique", reference),
            ReferenceStep::Latest(reference) => ("latest", reference),
        };
        let place = reference_place(reference);
        let key = call.number_of(keys.place(&place));
        call.add(kind);
        call.add(key);
        call.add(place);
    }
    for lists in [join, leave] {
        call.add(lists.len());
        for list in lists {
            let place = list_place(list);
            let key = call.number_of(keys.place(&place));
            call.add(key);
            call.add(place);
        }
    }
    let (look, at) = look_args(*look);
    call.add(look);
    call.add(at);
    let (lease, of) = match lease {
        LeaseStep::Keep => ("keep", String::new()),
        LeaseStep::Take(span) => ("take", span.as_millis().to_string()),
        LeaseStep::Release(fence) => ("release", fence.0.to_string()),
    };
    call.add(lease);
    call.add(of);
}

/// A look's kind and time, as scripts take them.
pub(super) fn look_args(look: Look) -> (&'static str, String) {
    match look {
        Look::Keep => ("keep", String::new()),
        Look::At(time) => ("at", business_ms(time)),
        Look::Rest => ("rest", String::new()),
    }
}

/// A business time as it is kept: whole milliseconds.
pub(super) fn business_ms(time: Timestamp) -> String {
    time.as_millisecond().to_string()
}

fn add_guard(call: &mut Call, keys: &PartitionKeys, guard: &Guard) {
    let (kind, key, id, value) = match guard {
        Guard::At { id, revision } => ("at", keys.record(id), id.as_str(), revision.to_string()),
        Guard::Held { id, fence } => ("held", keys.record(id), id.as_str(), fence.0.to_string()),
        Guard::Unheld { id } => ("unheld", keys.record(id), id.as_str(), String::new()),
        Guard::ShorterThan { list, entries } => ("shorter", keys.place(&list_place(list)), "", entries.to_string()),
    };
    let key = call.number_of(key);
    call.add(kind);
    call.add(key);
    call.add(id);
    call.add(value);
}

/// How the commit ended; `None`: it is to be begun anew.
async fn ended(store: &RedisStore, batch: &Batch, reply: Vec<Value>) -> Result<Option<Commit>, StoreError> {
    let strange = || StoreError::Broken("a commit was answered in an unknown way".to_owned());
    let mut reply = reply.into_iter();
    let mut next = || reply.next().ok_or_else(strange);
    let kind: String = of(next()?)?;
    let conflict = match kind.as_str() {
        "done" => return Ok(Some(Commit::Done(written(&of::<String>(next()?)?).ok_or_else(strange)?))),
        "again" => return Ok(None),
        "broken" => return Err(StoreError::Broken(of(next()?)?)),
        "claimed" => {
            let record = record::id(&of::<String>(next()?)?)?;
            let fingerprint = of::<Vec<u8>>(next()?)?.into();
            let outcome = of::<Option<Vec<u8>>>(next()?)?.map(Into::into);
            let stored = match of::<Option<Vec<u8>>>(next()?)? {
                Some(kept) => Some(record::stored(record.clone(), kept.into())?),
                // Its key was not one of the call's: only a look at the key itself says that it isn't there.
                None => store.get(&record).await?,
            };
            Conflict::Claimed { claim: Claim { record, fingerprint, outcome }, record: stored }
        }
        "moved" => Conflict::Moved { id: record::id(&of::<String>(next()?)?)? },
        "referenced" => {
            let (change, step) = (of::<usize>(next()?)?, of::<usize>(next()?)?);
            let holder = record::id(&of::<String>(next()?)?)?;
            let steps = change.checked_sub(1).and_then(|change| batch.changes.get(change)).map(|change| &change.references);
            let step = steps.and_then(|steps| steps.get(step.checked_sub(1)?));
            let (ReferenceStep::Unique(reference) | ReferenceStep::Latest(reference)) = step.ok_or_else(strange)?;
            Conflict::Referenced { reference: reference.clone(), holder }
        }
        "guard" => Conflict::Guard(of::<usize>(next()?)?.checked_sub(1).ok_or_else(strange)?),
        _ => return Err(strange()),
    };
    Ok(Some(Commit::Conflict(conflict)))
}

fn of<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    T::from_redis_value(value).map_err(|_| StoreError::Broken("a commit was answered in an unknown way".to_owned()))
}

/// "<ms>-<seq>-<fence>" for each change, each 0 where there is none.
fn written(reply: &str) -> Option<Vec<Written>> {
    let each = |change: &str| {
        let mut numbers = change.split('-').map(str::parse::<u64>);
        let (ms, seq, fence) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Written { position: (seq > 0).then_some(Position { ms, seq }), fence: (fence > 0).then_some(Fence(fence)) })
    };
    reply.split(',').filter(|change| !change.is_empty()).map(each).collect()
}
