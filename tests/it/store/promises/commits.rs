//! Commits: all of a batch or nothing, and once.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use upistream::domain::id::{Id, Kind, Partition};
use upistream::store::{
    AnyStore, Batch, CHANGES_MAX, Change, ClaimStep, Commit, Conflict, Fence, Guard, LeaseStep, Look, ReferenceStep, StoreError, Wake,
};

use super::*;

/// What a place shows of what these tests write: to be compared before and after.
#[derive(Debug, PartialEq)]
struct View {
    records: Vec<Option<Stored>>,
    found: Vec<Option<Stored>>,
    lists: Vec<(u64, Vec<Stored>)>,
    claims: Vec<Option<(Claim, Option<Stored>)>>,
    log: Vec<upistream::store::Logged>,
    heads: Vec<upistream::store::Head>,
    next_due: Option<jiff::Timestamp>,
}

async fn view(store: &AnyStore, ids: &[&Id]) -> View {
    let mut view = View {
        records: Vec::new(),
        found: Vec::new(),
        lists: Vec::new(),
        claims: Vec::new(),
        log: store.events_after(HERE, 0, 100).await.unwrap(),
        heads: store.heads().await.unwrap(),
        next_due: store.next_due().await.unwrap(),
    };
    for id in ids {
        view.records.push(store.get(id).await.unwrap());
    }
    for value in ["r", "r2", "latest"] {
        view.found.push(store.find(HERE, &reference(value)).await.unwrap());
    }
    for key in ["all", "few"] {
        let list = list_of(key);
        view.lists.push((store.count(HERE, &list).await.unwrap(), store.list(HERE, &list, None, 100).await.unwrap()));
    }
    for name in ["k", "k2", "free"] {
        view.claims.push(claim_on(store, name).await);
    }
    view
}

/// A batch that does a bit of everything to two new records.
fn a_bit_of_everything(first: &Id, second: &Id) -> Batch {
    let first = Change {
        event: new_event(),
        references: vec![ReferenceStep::Unique(reference("r2")), ReferenceStep::Latest(reference("latest"))],
        join: vec![list_of("all"), list_of("few")],
        lease: LeaseStep::Take(LEASE),
        ..create_due(first, 5)
    };
    let second = Change { event: new_event(), join: vec![list_of("all")], look: Look::At(at(1)), ..create(second, "second") };
    let record = first.id.clone();
    Batch { claims: vec![take("k2", &record)], ..batch([first, second]) }
}

/// A record `old` with a claim, a reference, a list, a time to look at it; at revision 1.
async fn an_old_record(store: &AnyStore) -> Id {
    let old = new_id(Kind::Qr);
    let change = Change {
        event: new_event(),
        references: vec![ReferenceStep::Unique(reference("r")), ReferenceStep::Latest(reference("latest"))],
        join: vec![list_of("all"), list_of("few")],
        ..create_due(&old, 100)
    };
    done(store, Batch { claims: vec![take("k", &old)], ..batch([change]) }).await;
    old
}

pub async fn a_created_record_is_read_through_both_handles(place: Place) {
    let id = new_id(Kind::Qr);
    assert_eq!(place.a.get(&id).await.unwrap(), None);

    let written = done(&place.a, batch([create(&id, "first")])).await;

    assert_eq!((written[0].position, written[0].fence), (None, None));
    assert_eq!(place.a.get(&id).await.unwrap(), Some(stored(&id, 1, "first")));
    assert_eq!(place.b.get(&id).await.unwrap(), Some(stored(&id, 1, "first")));

    // Bodies are bytes, none too.
    let raw = Change { body: Some(Bytes::from_static(&[0, 255, 10])), ..update(&id, 1, "") };
    done(&place.b, batch([raw])).await;
    assert_eq!(place.a.get(&id).await.unwrap().unwrap().body, Bytes::from_static(&[0, 255, 10]));
    done(&place.b, batch([update(&id, 2, "")])).await;
    assert_eq!(place.a.get(&id).await.unwrap(), Some(stored(&id, 3, "")));
}

pub async fn a_change_needs_the_revision_that_it_names(place: Place) {
    let (id, other) = (new_id(Kind::Qr), new_id(Kind::Qr));
    done(&place.a, batch([create(&id, "1")])).await;
    done(&place.a, batch([update(&id, 1, "2")])).await;

    for change in [create(&id, "x"), update(&id, 1, "x"), update(&id, 3, "x"), remove(&id, 1)] {
        assert_eq!(conflict(&place.b, batch([change])).await, Conflict::Moved { id: id.clone() });
    }
    for change in [update(&other, 1, "x"), remove(&other, 1)] {
        assert_eq!(conflict(&place.b, batch([change])).await, Conflict::Moved { id: other.clone() });
    }
    for (guarded, revision) in [(&id, 1), (&id, 3), (&other, 1)] {
        let guards = vec![Guard::At { id: guarded.clone(), revision }];
        let moved = conflict(&place.b, Batch { guards, ..batch([create(&new_id(Kind::Refund), "x")]) }).await;
        assert_eq!(moved, Conflict::Moved { id: guarded.clone() });
    }

    let guards = vec![Guard::At { id: id.clone(), revision: 2 }];
    done(&place.b, Batch { guards, ..batch([create(&other, "1")]) }).await;
    assert_eq!(place.a.get(&id).await.unwrap(), Some(stored(&id, 2, "2")));
}

pub async fn of_concurrent_writers_of_one_revision_one_wins(place: Place) {
    let id = new_id(Kind::Qr);
    done(&place.a, batch([create(&id, "0")])).await;
    for revision in 1..=20 {
        let mut writers = JoinSet::new();
        for writer in 0..8 {
            let store = [&place.a, &place.b][writer % 2].clone();
            let change = update(&id, revision, &writer.to_string());
            writers.spawn(async move { store.commit(batch([change]).into()).await.unwrap() });
        }
        let ends = writers.join_all().await;
        assert_eq!(ends.iter().filter(|end| matches!(end, Commit::Done(_))).count(), 1);
        assert_eq!(place.a.get(&id).await.unwrap().unwrap().revision, revision + 1);
    }
}

pub async fn a_conflict_leaves_nothing_behind(place: Place) {
    let old = an_old_record(&place.a).await;
    let (first, second, free) = (new_id(Kind::Qr), new_id(Kind::Payment), new_id(Kind::Qr));
    let ids = [&old, &first, &second, &free];
    let before = view(&place.a, &ids).await;

    let all = || a_bit_of_everything(&first, &second);
    let settle = ClaimStep::Settle {
        scope: scope("k"),
        record: old.clone(),
        outcome: Bytes::from_static(b"end"),
        answer: first.clone(),
        keep: Some(Duration::ZERO),
    };
    let release = ClaimStep::Free { scope: scope("free"), record: free.clone() };
    let claimed = Batch { claims: vec![take("free", &free), release, take("k2", &first), take("k", &first)], ..all() };
    let moved = {
        let mut moved = all();
        moved.claims.push(settle.clone());
        moved.changes.push(update(&old, 7, "x"));
        moved
    };
    let guarded_at = Batch { guards: vec![Guard::At { id: old.clone(), revision: 2 }], ..all() };
    let referenced = {
        let mut referenced = all();
        referenced.changes[1].references.push(ReferenceStep::Unique(reference("r")));
        referenced
    };
    let not_held = Batch { guards: vec![Guard::Held { id: old.clone(), fence: Fence(1) }], ..all() };
    let too_long = Batch {
        claims: vec![settle, take("free", &free)],
        guards: vec![Guard::ShorterThan { list: list_of("few"), entries: 2 }, Guard::ShorterThan { list: list_of("few"), entries: 1 }],
        ..all()
    };
    let removing = Batch { guards: vec![never()], ..batch([remove(&old, 1), Change { event: new_event(), ..create_due(&first, 1) }]) };

    let claim_of_old = before.claims[0].clone().unwrap();
    let expected = [
        (claimed, Conflict::Claimed { claim: claim_of_old.0, record: claim_of_old.1 }),
        (moved, Conflict::Moved { id: old.clone() }),
        (guarded_at, Conflict::Moved { id: old.clone() }),
        (referenced, Conflict::Referenced { reference: reference("r"), holder: old.clone() }),
        (not_held, Conflict::Guard(0)),
        (too_long, Conflict::Guard(1)),
        (removing, Conflict::Guard(0)),
    ];
    for (batch, expected) in expected {
        assert_eq!(conflict(&place.a, batch).await, expected);
        assert_eq!(view(&place.b, &ids).await, before, "after {expected:?}");
    }

    // No lease was taken, no claim was settled, and none of the names is used up.
    place.clock.pass(Duration::from_secs(1));
    assert_eq!(place.a.forget(10).await.unwrap(), 0);
    done(&place.a, all()).await;
    let due = place.b.take_due(at(1_000), LEASE, 10).await.unwrap();
    assert_eq!(due.iter().map(|leased| &leased.record.id).collect::<Vec<_>>(), [&second, &old], "the first is leased");
}

pub async fn conflicts_are_found_in_their_order(place: Place) {
    let old = an_old_record(&place.a).await;
    let new = new_id(Kind::Qr);
    let mut all = Batch { claims: vec![take("k", &new)], guards: vec![never()], ..batch([update(&old, 9, "x"), create(&new, "x")]) };
    all.changes[1].references.push(ReferenceStep::Unique(reference("r")));

    assert!(matches!(conflict(&place.a, all.clone()).await, Conflict::Claimed { .. }));
    all.claims.clear();
    assert!(matches!(conflict(&place.a, all.clone()).await, Conflict::Moved { .. }));
    all.changes[0].from = Some(1);
    all.guards.push(Guard::At { id: old.clone(), revision: 9 });
    assert!(matches!(conflict(&place.a, all.clone()).await, Conflict::Moved { .. }));
    all.guards.pop();
    assert!(matches!(conflict(&place.a, all.clone()).await, Conflict::Referenced { .. }));
    all.changes[1].references.clear();
    assert_eq!(conflict(&place.a, all.clone()).await, Conflict::Guard(0));
    all.guards.clear();
    done(&place.a, all).await;
}

pub async fn several_records_move_together_or_not_at_all(place: Place) {
    let (payment, refund) = (new_id(Kind::Payment), new_id(Kind::Refund));
    done(&place.a, batch([create(&payment, "paid")])).await;

    let changes = |from| [Change { event: new_event(), ..create(&refund, "asked") }, update(&payment, from, "refunding")];
    conflict(&place.a, batch(changes(2))).await;
    assert_eq!(place.b.get(&refund).await.unwrap(), None);
    assert_eq!(place.b.heads().await.unwrap()[1].last.seq, 0);

    let written = done(&place.a, batch(changes(1))).await;
    assert_eq!(written.len(), 2);
    assert_eq!(written[0].position.map(|position| position.seq), Some(1));
    assert_eq!(written[1].position, None);
    assert_eq!(place.b.get(&refund).await.unwrap(), Some(stored(&refund, 1, "asked")));
    assert_eq!(place.b.get(&payment).await.unwrap(), Some(stored(&payment, 2, "refunding")));
}

pub async fn a_commit_sent_twice_is_done_once(place: Place) {
    let old = an_old_record(&place.a).await;
    let (first, second, third) = (new_id(Kind::Qr), new_id(Kind::Payment), new_id(Kind::Quarantined));
    let settle = ClaimStep::Settle {
        scope: scope("k"),
        record: old.clone(),
        outcome: Bytes::from_static(b"end"),
        answer: old.clone(),
        keep: Some(LEASE),
    };
    let leaving = Change { leave: vec![list_of("few")], look: Look::Rest, event: new_event(), ..update(&old, 1, "moved") };
    let steps = [
        // Records, claim, references, lists, looks, events, a lease.
        a_bit_of_everything(&first, &second),
        // An update that leaves a list and settles a claim.
        Batch { claims: vec![settle], guards: vec![Guard::At { id: first.clone(), revision: 1 }], ..batch([leaving]) },
        // Nothing but claims.
        Batch { claims: vec![take("free", &old), ClaimStep::Free { scope: scope("k2"), record: first.clone() }], ..batch([]) },
        // A guard that holds only before.
        Batch {
            guards: vec![Guard::ShorterThan { list: list_of("few"), entries: 2 }],
            ..batch([Change { join: vec![list_of("few")], ..create(&third, "kept") }])
        },
        // A removal, with an event and without.
        batch([Change { event: new_event(), ..remove(&old, 2) }]),
        batch([remove(&third, 1)]),
        // A record that was removed is made again.
        batch([create(&third, "again")]),
    ];
    let ids = [&old, &first, &second, &third];
    for step in steps {
        let reply = done(&place.a, step.clone()).await;
        let after = view(&place.a, &ids).await;
        // Time passes and others write before the repetition comes.
        place.clock.pass(Duration::from_secs(60));
        let other = new_id(Kind::Refund);
        done(&place.b, batch([create(&other, "other")])).await;
        assert_eq!(done(&place.b, step.clone()).await, reply, "{step:?}");
        assert_eq!(done(&place.a, step.clone()).await, reply, "{step:?}");
        assert_eq!(view(&place.b, &ids).await, after, "{step:?}");
    }
}

pub async fn a_commit_sent_through_both_handles_at_once_is_done_once(place: Place) {
    for round in 1..=20 {
        let id = new_id(Kind::Qr);
        let batch = Batch {
            claims: vec![take(&round.to_string(), &id)],
            ..batch([Change { event: new_event(), lease: LeaseStep::Take(LEASE), ..create_due(&id, 1) }])
        };
        let (one, other) = tokio::join!(done(&place.a, batch.clone()), done(&place.b, batch.clone()));
        assert_eq!(one, other);
        assert!(one[0].fence.is_some());
        assert_eq!(place.a.heads().await.unwrap()[1].last.seq, round);
    }
}

pub async fn a_conflict_is_tried_again(place: Place) {
    let old = an_old_record(&place.a).await;
    let claiming = Batch { claims: vec![take("k", &new_id(Kind::Qr))], ..batch([]) };
    conflict(&place.a, claiming.clone()).await;
    done(&place.b, Batch { claims: vec![ClaimStep::Free { scope: scope("k"), record: old }], ..batch([]) }).await;
    done(&place.a, claiming).await;
}

pub async fn a_removed_record_leaves_no_trace(place: Place) {
    let other = new_id(Kind::Qr);
    done(&place.a, batch([Change { join: vec![list_of("all")], ..create(&other, "stays") }])).await;
    let old = an_old_record(&place.a).await;
    let leased = place.a.take_due(at(100), LEASE, 1).await.unwrap();
    assert_eq!(leased[0].record.id, old);

    let written = done(&place.b, batch([Change { event: new_event(), ..remove(&old, 1) }])).await;
    assert_eq!(written[0].position.map(|position| position.seq), Some(2));

    let after = view(&place.a, &[&old]).await;
    assert_eq!(after.records, [None]);
    assert_eq!(after.found, [None, None, None]);
    assert_eq!(after.lists, [(1, vec![stored(&other, 1, "stays")]), (0, vec![])]);
    assert_eq!(after.next_due, None);
    assert!(!place.a.renew(&old, leased[0].fence, LEASE).await.unwrap());
    assert!(!place.a.wake(&old, at(0), Wake::News).await.unwrap());
    let (claim, record) = after.claims[0].clone().expect("a claim outlives its record");
    assert_eq!((claim.record, record), (old.clone(), None));

    // Its names are free, and it begins anew: whoever comes next inherits none of them.
    let references = vec![ReferenceStep::Unique(reference("r"))];
    done(&place.a, batch([Change { references, ..create(&old, "again") }])).await;
    assert_eq!(place.b.find(HERE, &reference("r")).await.unwrap(), Some(stored(&old, 1, "again")));
    assert_eq!(place.b.find(HERE, &reference("latest")).await.unwrap(), None);
    assert_eq!(place.b.list(HERE, &list_of("all"), None, 10).await.unwrap(), [stored(&other, 1, "stays")]);
    assert_eq!(place.b.count(HERE, &list_of("few")).await.unwrap(), 0);
    place.clock.pass(LEASE);
    assert_eq!(place.b.next_due().await.unwrap(), None);
}

pub async fn a_batch_beyond_the_limits_is_refused(place: Place) {
    let ids: Vec<Id> = (0..=CHANGES_MAX).map(|_| new_id(Kind::Debit)).collect();
    let changes = |count: usize| batch(ids[..count].iter().map(|id| create(id, "one of many")));
    let claims = |count: usize| ids[..count].iter().map(|id| take(id.as_str(), id)).collect();
    let guards = |count: usize| vec![Guard::ShorterThan { list: list_of("all"), entries: 1 }; count];

    let too_many = CHANGES_MAX + 1;
    for batch in [changes(too_many), Batch { claims: claims(too_many), ..changes(1) }, Batch { guards: guards(too_many), ..changes(1) }] {
        refused(&place.a, batch).await;
    }
    assert_eq!(place.a.get(&ids[0]).await.unwrap(), None);
    let most = Batch { claims: claims(CHANGES_MAX), guards: guards(CHANGES_MAX), ..changes(CHANGES_MAX) };
    assert_eq!(done(&place.a, most).await.len(), CHANGES_MAX);
}

pub async fn a_batch_that_is_not_of_one_partition_is_refused(place: Place) {
    let (here, there) = (new_id(Kind::Qr), new_id_in(ELSEWHERE, Kind::Qr));
    let nowhere = new_id_in(Partition(PARTITIONS), Kind::Qr);
    let with_claim = |step| Batch { claims: vec![step], ..batch([create(&here, "x")]) };
    let with_guard = |guard| Batch { guards: vec![guard], ..batch([create(&here, "x")]) };
    let (name, outcome) = (scope("k"), Bytes::new());
    for batch in [
        batch([create(&here, "x"), create(&there, "x")]),
        batch([Change { event: new_event_in(ELSEWHERE), ..create(&here, "x") }]),
        with_claim(take("k", &there)),
        with_claim(ClaimStep::Free { scope: name.clone(), record: there.clone() }),
        with_claim(ClaimStep::StartRetention { scope: name.clone(), record: there.clone(), keep: LEASE }),
        with_claim(ClaimStep::Settle { scope: name, record: here.clone(), outcome, answer: there.clone(), keep: None }),
        with_guard(Guard::At { id: there.clone(), revision: 1 }),
        with_guard(Guard::Held { id: there.clone(), fence: Fence(1) }),
        with_guard(Guard::Unheld { id: there.clone() }),
        Batch { partition: nowhere.partition(), ..batch([create(&nowhere, "x")]) },
    ] {
        refused(&place.a, batch).await;
    }
    // Whatever ids clients make up, they only aren't found.
    for id in [&here, &there, &nowhere] {
        assert_eq!(place.b.get(id).await.unwrap(), None);
        assert!(!place.b.wake(id, at(1), Wake::News).await.unwrap());
        assert_eq!(place.b.event(id).await.unwrap(), None);
    }
    assert_eq!(place.b.find(nowhere.partition(), &reference("r")).await.unwrap(), None);
    assert_eq!(place.b.events_after(nowhere.partition(), 0, 10).await.unwrap(), []);
    assert_eq!(claim_on(&place.a, "k").await, None);
}

pub async fn a_batch_that_contradicts_itself_is_refused(place: Place) {
    let (old, new) = (an_old_record(&place.a).await, new_id(Kind::Qr));
    let free = ClaimStep::Free { scope: scope("k"), record: old.clone() };
    for batch in [
        batch([create(&new, "1"), update(&new, 1, "2")]),
        batch([Change { from: None, ..remove(&new, 1) }]),
        batch([Change { references: vec![ReferenceStep::Unique(reference("r2"))], ..remove(&old, 1) }]),
        batch([Change { join: vec![list_of("few")], ..remove(&old, 1) }]),
        batch([Change { lease: LeaseStep::Take(LEASE), ..remove(&old, 1) }]),
        Batch { claims: vec![free, take("k", &new)], ..batch([]) },
        Batch { claims: vec![take("k2", &new), take("k2", &old)], ..batch([]) },
    ] {
        refused(&place.a, batch).await;
    }
    assert_eq!(place.b.get(&old).await.unwrap(), Some(stored(&old, 1, "due")));
    assert_eq!(place.b.get(&new).await.unwrap(), None);
}

async fn refused(store: &AnyStore, batch: Batch) {
    let shown = format!("{batch:?}");
    assert!(matches!(store.commit(batch.into()).await, Err(StoreError::Broken(_))), "{shown}");
}
