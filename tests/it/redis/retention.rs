//! What is kept how long: records at rest as long as was chosen, with all that leads to them, and the claims that made them.

use std::sync::Arc;
use std::time::Duration;

use upistream::domain::id::Kind;
use upistream::store::redis::RedisOptions;
use upistream::store::{AnyStore, Batch, Change, Look, ReferenceStep};

use crate::store::promises::{HERE, LEASE};
use crate::store::promises::{at, batch, claim_on, create, create_due, done, list_of, new_event, new_id, reference, take, update};
use crate::support::StoreTime;
use crate::support::redis::{TestRedis, by_clock, open};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const KEEP: Duration = Duration::from_secs(200 * 24 * 3_600);

async fn place(keep: Option<Duration>) -> (TestRedis, AnyStore, Arc<StoreTime>) {
    let redis = TestRedis::start().await;
    let clock = Arc::new(StoreTime::start());
    let store = open(by_clock(RedisOptions { retention_at_rest: keep, ..redis.options("store") }, &clock)).await;
    (redis, Arc::new(store), clock)
}

#[tokio::test]
async fn a_record_at_rest_is_forgotten_when_its_time_is_over_with_all_that_leads_to_it() {
    let (redis, store, clock) = place(Some(KEEP)).await;
    let (id, other) = (new_id(Kind::Payment), new_id(Kind::Payment));
    let made = Change {
        event: new_event(),
        references: vec![ReferenceStep::Unique(reference("r")), ReferenceStep::Latest(reference("latest"))],
        join: vec![list_of("all"), list_of("other")],
        ..create_due(&id, 10)
    };
    done(&store, Batch { claims: vec![take("k", &id)], ..batch([made]) }).await;
    clock.pass(2 * KEEP);
    assert_eq!(store.forget(100).await.unwrap(), 0, "it does not rest");
    done(&store, batch([Change { look: Look::Rest, leave: vec![list_of("other")], ..update(&id, 1, "at rest") }])).await;
    done(&store, batch([Change { references: vec![ReferenceStep::Latest(reference("latest"))], ..create(&other, "newer") }])).await;
    clock.pass(KEEP - Duration::from_millis(1));
    assert_eq!(store.forget(100).await.unwrap(), 0);
    clock.pass(Duration::from_millis(1));
    assert_eq!(store.forget(1).await.unwrap(), 1);
    assert_eq!(store.forget(100).await.unwrap(), 1);
    assert_eq!(store.forget(100).await.unwrap(), 0);

    assert_eq!(store.get(&id).await.unwrap(), None);
    assert_eq!(store.find(HERE, &reference("r")).await.unwrap(), None);
    assert_eq!(store.count(HERE, &list_of("all")).await.unwrap(), 0);
    assert_eq!(claim_on(&store, "k").await, None, "the claim lives as long as its record");
    assert_eq!(store.events_after(HERE, 0, 10).await.unwrap().len(), 1, "its events have a retention of their own");
    let left: Vec<String> = redis.ask("KEYS store:{p1}:*");
    for key in left {
        let what = key.split_once("}:").expect("a key of a partition").1;
        assert!(["head", "log", "event_ids", "fence"].contains(&what) || what.starts_with("w:"), "{key} is left");
    }
}

#[tokio::test]
async fn what_moves_again_begins_its_rest_anew() {
    let (_redis, store, clock) = place(Some(KEEP)).await;
    let id = new_id(Kind::Payment);
    done(&store, batch([create(&id, "at rest")])).await;
    clock.pass(KEEP - DAY);
    done(&store, batch([update(&id, 1, "still at rest, but touched")])).await;
    clock.pass(2 * DAY);
    assert_eq!(store.forget(100).await.unwrap(), 0);
    assert!(store.wake(&id, at(10), upistream::store::Wake::News).await.unwrap());
    clock.pass(KEEP);
    assert_eq!(store.forget(100).await.unwrap(), 0, "somebody is to look at it");
    let leased = store.take_due(at(10), LEASE, 1).await.unwrap();
    assert!(store.release(&id, leased[0].fence, Look::Rest).await.unwrap());
    clock.pass(KEEP - DAY);
    assert_eq!(store.forget(100).await.unwrap(), 0);
    clock.pass(DAY);
    assert_eq!(store.forget(100).await.unwrap(), 1);
}

#[tokio::test]
async fn for_ever_is_for_ever() {
    let (_redis, store, clock) = place(None).await;
    let id = new_id(Kind::Payment);
    done(&store, batch([create(&id, "at rest")])).await;
    clock.pass(100 * KEEP);
    assert_eq!(store.forget(100).await.unwrap(), 0);
    assert!(store.get(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn what_waits_for_a_person_is_kept_and_stands_in_nobodys_way() {
    let (_redis, store, clock) = place(Some(KEEP)).await;
    let (waits, rests) = (new_id(Kind::Quarantined), new_id(Kind::Payment));
    done(&store, batch([Change { join: vec![list_of("mine")], ..create(&waits, "for a person") }])).await;
    clock.pass(Duration::from_millis(1));
    done(&store, batch([create(&rests, "at rest")])).await;
    clock.pass(KEEP);
    assert_eq!(store.forget(1).await.unwrap(), 1, "the one behind it");
    assert_eq!(store.forget(100).await.unwrap(), 0);
    assert!(store.get(&waits).await.unwrap().is_some() && store.get(&rests).await.unwrap().is_none());
    // Once nobody waits for it any more, its rest counts.
    done(&store, batch([Change { leave: vec![list_of("mine")], ..update(&waits, 1, "settled") }])).await;
    clock.pass(KEEP);
    assert_eq!(store.forget(100).await.unwrap(), 1);
}

#[tokio::test]
async fn rest_that_was_noted_before_it_was_to_be_kept_for_ever_counts_no_more() {
    let (redis, store, clock) = place(Some(KEEP)).await;
    let id = new_id(Kind::Payment);
    done(&store, batch([create(&id, "at rest")])).await;
    // A replica of a newer configuration notes no rest.
    let for_ever: AnyStore = Arc::new(open(by_clock(redis.options("store"), &clock)).await);
    clock.pass(KEEP - DAY);
    assert!(for_ever.wake(&id, at(10), upistream::store::Wake::News).await.unwrap());
    let leased = for_ever.take_due(at(10), LEASE, 1).await.unwrap();
    assert!(for_ever.release(&id, leased[0].fence, Look::Rest).await.unwrap());
    clock.pass(2 * DAY);
    assert_eq!(store.forget(100).await.unwrap(), 0, "it moved two days ago");
}
