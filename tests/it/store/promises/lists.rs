//! Lists: newest first, counted, and never longer than a guard allows.

use std::slice;

use tokio::task::JoinSet;
use upistream::store::{CHANGES_MAX, PAGE_MAX};

use super::*;

fn joining(id: &Id, key: &str) -> Change {
    Change { join: vec![list_of(key)], ..create(id, "listed") }
}

async fn ids(store: &AnyStore, key: &str, before: Option<&Id>, limit: usize) -> Vec<Id> {
    store.list(HERE, &list_of(key), before, limit).await.unwrap().into_iter().map(|record| record.id).collect()
}

async fn count(store: &AnyStore, key: &str) -> u64 {
    store.count(HERE, &list_of(key)).await.unwrap()
}

pub async fn a_list_is_read_newest_first_in_pages(place: Place) {
    let made: Vec<Id> = (0..7).map(|_| new_id(Kind::Qr)).collect();
    // In whatever order they come.
    for index in [3, 0, 6, 1, 5, 4, 2] {
        done(&place.a, batch([joining(&made[index], "qr")])).await;
    }
    let newest_first: Vec<Id> = made.iter().rev().cloned().collect();
    assert_eq!(ids(&place.b, "qr", None, 100).await, newest_first);
    assert_eq!(ids(&place.b, "qr", None, 3).await, newest_first[..3]);
    assert_eq!(ids(&place.b, "qr", Some(&newest_first[2]), 3).await, newest_first[3..6]);
    assert_eq!(ids(&place.b, "qr", Some(&newest_first[5]), 3).await, newest_first[6..]);
    assert_eq!(ids(&place.b, "qr", Some(&newest_first[6]), 3).await, []);
    assert_eq!(ids(&place.b, "qr", None, 0).await, []);

    // A page begins below an id, whether or not that one stands in the list, or is.
    done(&place.b, batch([remove(&newest_first[2], 1)])).await;
    assert_eq!(ids(&place.a, "qr", Some(&newest_first[2]), 2).await, newest_first[3..5]);
    // What is listed is the record as it is.
    done(&place.b, batch([update(&newest_first[0], 1, "moved")])).await;
    let page = place.a.list(HERE, &list_of("qr"), None, 1).await.unwrap();
    assert_eq!(page, [stored(&newest_first[0], 2, "moved")]);
}

pub async fn a_list_counts_each_record_once(place: Place) {
    assert_eq!(count(&place.a, "qr").await, 0);
    let (one, other) = (new_id(Kind::Qr), new_id(Kind::Qr));
    let twice = Change { join: vec![list_of("qr"), list_of("qr")], ..create(&one, "listed") };
    done(&place.a, batch([twice, joining(&other, "qr")])).await;
    done(&place.b, batch([Change { from: Some(1), ..joining(&one, "qr") }])).await;
    assert_eq!(count(&place.a, "qr").await, 2);
    assert_eq!(ids(&place.b, "qr", None, 10).await, [other, one]);
}

pub async fn a_record_leaves_a_list(place: Place) {
    let (one, other) = (new_id(Kind::Qr), new_id(Kind::Qr));
    let both = Change { join: vec![list_of("qr"), list_of("qr/active")], ..create(&one, "listed") };
    done(&place.a, batch([both, joining(&other, "qr")])).await;
    let leaving = |from| Change { leave: vec![list_of("qr/active"), list_of("never in")], ..update(&one, from, "left") };
    done(&place.b, batch([leaving(1)])).await;
    done(&place.b, batch([leaving(2)])).await;
    assert_eq!((count(&place.a, "qr").await, count(&place.a, "qr/active").await, count(&place.a, "never in").await), (2, 0, 0));
    assert_eq!(ids(&place.a, "qr/active", None, 10).await, []);
    // An emptied list is filled again.
    done(&place.a, batch([Change { from: Some(3), ..joining(&one, "qr/active") }])).await;
    assert_eq!(ids(&place.b, "qr/active", None, 10).await, slice::from_ref(&one));
}

pub async fn a_record_that_leaves_and_joins_stays(place: Place) {
    let id = new_id(Kind::Qr);
    let change = Change { leave: vec![list_of("qr")], ..joining(&id, "qr") };
    done(&place.a, batch([change.clone()])).await;
    done(&place.a, batch([Change { from: Some(1), ..change }])).await;
    assert_eq!((count(&place.b, "qr").await, ids(&place.b, "qr", None, 10).await), (1, vec![id]));
}

pub async fn lists_of_accounts_and_partitions_are_apart(place: Place) {
    let (here, there) = (new_id(Kind::Qr), new_id_in(ELSEWHERE, Kind::Qr));
    done(&place.a, batch([joining(&here, "qr")])).await;
    done(&place.a, Batch { partition: ELSEWHERE, ..batch([joining(&there, "qr")]) }).await;
    assert_eq!(ids(&place.b, "qr", None, 10).await, [here]);
    assert_eq!(place.b.list(ELSEWHERE, &list_of("qr"), None, 10).await.unwrap(), [stored(&there, 1, "listed")]);
    let others = ListKey { account: "shop2".to_owned(), key: "qr".to_owned() };
    assert_eq!(place.b.list(HERE, &others, None, 10).await.unwrap(), []);
    assert_eq!(place.b.count(HERE, &others).await.unwrap(), 0);
}

pub async fn a_list_never_grows_past_its_guard(place: Place) {
    const MOST: u64 = 10;
    let mut joiners = JoinSet::new();
    for joiner in 0..40 {
        let store = [&place.a, &place.b][joiner % 2].clone();
        let guards = vec![Guard::ShorterThan { list: list_of("quarantine"), entries: MOST }];
        let batch = Batch { guards, ..batch([joining(&new_id(Kind::Quarantined), "quarantine")]) };
        joiners.spawn(async move { store.commit(batch.into()).await.unwrap() });
    }
    let ends = joiners.join_all().await;
    let (joined, refused): (Vec<_>, Vec<_>) = ends.into_iter().partition(|end| matches!(end, Commit::Done(_)));
    assert_eq!(joined.len(), 10);
    assert!(refused.iter().all(|end| *end == Commit::Conflict(Conflict::Guard(0))));
    assert_eq!(count(&place.a, "quarantine").await, MOST);

    // Who leaves makes room for one.
    let one = ids(&place.a, "quarantine", None, 1).await.remove(0);
    done(&place.a, batch([remove(&one, 1)])).await;
    let guarded = || {
        let guards = vec![Guard::ShorterThan { list: list_of("quarantine"), entries: MOST }];
        Batch { guards, ..batch([joining(&new_id(Kind::Quarantined), "quarantine")]) }
    };
    done(&place.b, guarded()).await;
    assert_eq!(conflict(&place.a, guarded()).await, Conflict::Guard(0));
}

pub async fn a_page_has_a_limit(place: Place) {
    let many: Vec<Id> = (0..=PAGE_MAX).map(|_| new_id(Kind::Payment)).collect();
    for some in many.chunks(CHANGES_MAX) {
        let changes = some.iter().map(|id| Change { event: new_event(), look: Look::At(at(1)), ..joining(id, "payment") });
        done(&place.a, batch(changes)).await;
    }
    assert_eq!(count(&place.b, "payment").await, 1_001);
    assert_eq!(ids(&place.b, "payment", None, usize::MAX).await.len(), PAGE_MAX);
    assert_eq!(place.b.events_after(HERE, 0, usize::MAX).await.unwrap().len(), PAGE_MAX);
    assert_eq!(place.b.take_due(at(1), LEASE, usize::MAX).await.unwrap().len(), PAGE_MAX);
}
