//! Leases: who works on a due record, and until when.

use std::collections::HashSet;

use jiff::SignedDuration;
use tokio::task::JoinSet;
use upistream::store::{Fence, Leased, Revision, Wake};

use super::*;

pub async fn due(store: &AnyStore, seconds: i64, limit: usize) -> Vec<Leased> {
    store.take_due(at(seconds), LEASE, limit).await.unwrap()
}

pub fn ids(leased: &[Leased]) -> Vec<&Id> {
    leased.iter().map(|leased| &leased.record.id).collect()
}

/// A record due at second 10, and the fence of its lease, taken by now.
pub async fn a_leased_record(store: &AnyStore) -> (Id, Fence) {
    let id = new_id(Kind::Payment);
    done(store, batch([create_due(&id, 10)])).await;
    let leased = due(store, 10, 1).await;
    assert_eq!(ids(&leased), [&id]);
    (id, leased[0].fence)
}

pub fn with_lease(id: &Id, from: Revision, lease: LeaseStep) -> Change {
    Change { lease, ..update(id, from, "changed") }
}

/// What [`Guard::Unheld`] says.
pub async fn unheld(store: &AnyStore, id: &Id) -> bool {
    let asking = Batch { guards: vec![Guard::Unheld { id: id.clone() }, never()], ..batch([]) };
    match conflict(store, asking).await {
        Conflict::Guard(0) => false,
        Conflict::Guard(1) => true,
        other => panic!("asking whether a lease is free came to {other:?}"),
    }
}

pub async fn holds(store: &AnyStore, id: &Id, fence: Fence) -> bool {
    let asking = Batch { guards: vec![Guard::Held { id: id.clone(), fence }, never()], ..batch([]) };
    match conflict(store, asking).await {
        Conflict::Guard(0) => false,
        Conflict::Guard(1) => true,
        other => panic!("asking for a lease came to {other:?}"),
    }
}

pub async fn what_is_due_is_taken_longest_due_first(place: Place) {
    let made: Vec<Id> = (0..6).map(|_| new_id(Kind::Payment)).collect();
    for (id, seconds) in made.iter().zip([30, 10, 50, 20, 40]) {
        done(&place.a, batch([create_due(id, seconds)])).await;
    }
    done(&place.a, batch([create(&made[5], "at rest")])).await;

    assert!(due(&place.b, 9, 10).await.is_empty());
    assert!(due(&place.b, 40, 0).await.is_empty());
    let first = due(&place.b, 40, 3).await;
    assert_eq!(ids(&first), [&made[1], &made[3], &made[0]]);
    assert_eq!(first[0].record, stored(&made[1], 1, "due"));
    assert_eq!(first.iter().map(|leased| leased.due).collect::<Vec<_>>(), [at(10), at(20), at(30)]);
    assert_eq!(first.iter().map(|leased| leased.fence).collect::<HashSet<_>>().len(), 3);
    let rest = due(&place.a, 40, 3).await;
    assert_eq!(ids(&rest), [&made[4]], "nobody gets what others hold, or what is not due yet");
    assert_eq!(ids(&due(&place.a, 1_000, 9).await), [&made[2]]);
}

pub async fn of_concurrent_takers_each_record_goes_to_one(place: Place) {
    let made: HashSet<Id> = (0..50).map(|_| new_id(Kind::Payment)).collect();
    done(&place.a, batch(made.iter().map(|id| create_due(id, 1)))).await;
    let mut takers = JoinSet::new();
    for taker in 0..16 {
        let store = [&place.a, &place.b][taker % 2].clone();
        takers.spawn(async move { due(&store, 1, 5).await });
    }
    let taken: Vec<Leased> = takers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 50, "none is taken twice");
    assert_eq!(taken.into_iter().map(|leased| leased.record.id).collect::<HashSet<_>>(), made);
}

pub async fn a_lease_that_ran_out_is_free_and_its_fence_stale(place: Place) {
    let (id, first) = a_leased_record(&place.a).await;
    place.clock.pass(LEASE - Duration::from_millis(1));
    assert!(due(&place.b, 99, 1).await.is_empty());
    assert!(holds(&place.b, &id, first).await);

    place.clock.pass(Duration::from_millis(1));
    assert!(!holds(&place.b, &id, first).await, "a lease that is over is nobody's, also if nobody took it");
    assert!(!place.a.renew(&id, first, LEASE).await.unwrap());
    assert!(!place.a.release(&id, first, Look::Rest).await.unwrap());
    assert_eq!(place.a.next_due().await.unwrap(), Some(at(10)));

    let again = due(&place.b, 99, 1).await;
    assert_eq!(ids(&again), [&id]);
    assert_eq!(again[0].due, at(10));
    assert!(again[0].fence > first);
    assert!(holds(&place.a, &id, again[0].fence).await);
    assert!(!holds(&place.a, &id, first).await);
}

pub async fn a_renewed_lease_lasts_from_then(place: Place) {
    let (id, fence) = a_leased_record(&place.a).await;
    place.clock.pass(LEASE / 2);
    assert!(place.b.renew(&id, fence, LEASE).await.unwrap());
    place.clock.pass(LEASE - Duration::from_millis(1));
    assert!(due(&place.b, 99, 1).await.is_empty());
    assert!(place.a.renew(&id, fence, Duration::from_secs(1)).await.unwrap());
    place.clock.pass(Duration::from_secs(1));
    assert!(!place.a.renew(&id, fence, LEASE).await.unwrap());
    assert_eq!(ids(&due(&place.b, 99, 1).await), [&id]);
}

pub async fn a_stale_fence_changes_nothing(place: Place) {
    let (id, stale) = a_leased_record(&place.a).await;
    place.clock.pass(LEASE);
    let fence = due(&place.b, 99, 1).await[0].fence;

    assert!(!place.a.renew(&id, stale, 100 * LEASE).await.unwrap());
    assert!(!place.a.release(&id, stale, Look::At(at(1))).await.unwrap());
    assert!(!place.a.release(&id, stale, Look::Rest).await.unwrap());
    assert!(!place.a.renew(&id, Fence(fence.0 + 1), LEASE).await.unwrap());
    let guards = vec![Guard::Held { id: id.clone(), fence: stale }];
    let guarded = Batch { guards, ..batch([update(&id, 1, "late")]) };
    assert_eq!(conflict(&place.a, guarded).await, Conflict::Guard(0));
    // A change that gives back what it no longer holds is a change all the same.
    done(&place.a, batch([with_lease(&id, 1, LeaseStep::Release(stale))])).await;

    assert_eq!(place.b.get(&id).await.unwrap(), Some(stored(&id, 2, "changed")));
    assert!(holds(&place.b, &id, fence).await);
    place.clock.pass(LEASE);
    assert!(!holds(&place.b, &id, fence).await, "nobody made it longer");
    assert_eq!(due(&place.b, 99, 1).await[0].due, at(10));
}

pub async fn who_holds_no_lease_may_still_change_the_record(place: Place) {
    let (id, fence) = a_leased_record(&place.a).await;
    let learned = Change { look: Look::At(at(500)), event: new_event(), ..update(&id, 1, "learned") };
    done(&place.b, batch([learned])).await;

    assert!(holds(&place.a, &id, fence).await);
    let guards = vec![Guard::Held { id: id.clone(), fence }];
    done(&place.a, Batch { guards, ..batch([update(&id, 2, "by its holder")]) }).await;
    assert!(place.a.release(&id, fence, Look::Keep).await.unwrap());
    assert_eq!(place.b.next_due().await.unwrap(), Some(at(500)));
    assert!(due(&place.b, 499, 1).await.is_empty());
    assert_eq!(due(&place.b, 500, 1).await[0].record, stored(&id, 3, "by its holder"));
}

pub async fn a_change_takes_a_free_lease_and_leaves_a_held_one(place: Place) {
    let id = new_id(Kind::Payment);
    let created = done(&place.a, batch([Change { lease: LeaseStep::Take(LEASE), ..create_due(&id, 10) }])).await;
    let fence = created[0].fence.expect("nobody holds what is new");
    assert!(due(&place.b, 99, 1).await.is_empty());
    assert!(holds(&place.b, &id, fence).await);

    // Not even its holder takes it again.
    let held = done(&place.b, batch([with_lease(&id, 1, LeaseStep::Take(LEASE))])).await;
    assert_eq!(held[0].fence, None);
    assert_eq!(place.a.get(&id).await.unwrap().unwrap().revision, 2, "the commit goes on");
    assert!(holds(&place.a, &id, fence).await);

    place.clock.pass(LEASE);
    let free = done(&place.b, batch([with_lease(&id, 2, LeaseStep::Take(LEASE))])).await;
    assert!(free[0].fence.expect("the lease ran out") > fence);

    let at_rest = new_id(Kind::Payment);
    let resting = Change { lease: LeaseStep::Take(LEASE), ..create(&at_rest, "at rest") };
    assert_eq!(done(&place.a, batch([resting])).await[0].fence, None);
    let resting = Change { look: Look::Rest, ..with_lease(&id, 3, LeaseStep::Take(LEASE)) };
    assert_eq!(done(&place.a, batch([resting])).await[0].fence, None);
}

pub async fn of_concurrent_changes_that_take_a_lease_one_gets_it(place: Place) {
    for _ in 0..20 {
        let id = new_id(Kind::Payment);
        done(&place.a, batch([create_due(&id, 10)])).await;
        let taking = Batch { guards: vec![Guard::At { id: id.clone(), revision: 1 }], ..batch([]) };
        done(&place.a, taking).await;
        let change = || batch([with_lease(&id, 1, LeaseStep::Take(LEASE))]);
        let (one, leased) = tokio::join!(done(&place.a, change()), due(&place.b, 10, 1));
        assert_eq!(usize::from(one[0].fence.is_some()) + leased.len(), 1);
    }
}

pub async fn a_change_gives_its_lease_back(place: Place) {
    let (id, fence) = a_leased_record(&place.a).await;
    let stepped = Change { look: Look::At(at(20)), ..with_lease(&id, 1, LeaseStep::Release(fence)) };
    done(&place.a, batch([stepped])).await;
    assert!(!holds(&place.b, &id, fence).await);
    assert!(due(&place.b, 19, 1).await.is_empty());
    assert_eq!(ids(&due(&place.b, 20, 1).await), [&id]);
}

pub async fn rest_ends_the_lease(place: Place) {
    let (id, fence) = a_leased_record(&place.a).await;
    // Whoever brings the last news need not hold the lease.
    done(&place.b, batch([Change { look: Look::Rest, ..update(&id, 1, "at rest") }])).await;
    assert!(!holds(&place.a, &id, fence).await);
    assert!(!place.a.renew(&id, fence, LEASE).await.unwrap());
    assert!(!place.a.release(&id, fence, Look::At(at(1))).await.unwrap());
    assert_eq!(place.a.next_due().await.unwrap(), None);
    place.clock.pass(LEASE);
    assert!(due(&place.a, 1_000, 9).await.is_empty());

    // Later news may end its rest; the old fence is still stale.
    done(&place.b, batch([Change { look: Look::At(at(5)), ..update(&id, 2, "news") }])).await;
    assert!(!holds(&place.a, &id, fence).await);
    let leased = due(&place.a, 5, 1).await;
    assert!(leased[0].fence > fence);
    assert!(place.b.release(&id, leased[0].fence, Look::Rest).await.unwrap());
    assert_eq!(place.a.next_due().await.unwrap(), None);
    assert!(!place.a.renew(&id, leased[0].fence, LEASE).await.unwrap());
}

pub async fn a_released_record_is_looked_at_when_its_holder_said(place: Place) {
    let (id, fence) = a_leased_record(&place.a).await;
    assert!(place.b.release(&id, fence, Look::At(at(70))).await.unwrap());
    assert!(!place.b.release(&id, fence, Look::At(at(1))).await.unwrap(), "it can be given back once");
    assert!(due(&place.a, 69, 1).await.is_empty());
    let leased = due(&place.a, 70, 1).await;
    assert_eq!((leased[0].record.revision, leased[0].due), (1, at(70)), "looking is no write of the record");
    assert!(place.a.release(&id, leased[0].fence, Look::Keep).await.unwrap());
    assert_eq!(ids(&due(&place.b, 70, 1).await), [&id]);
}

pub async fn a_woken_record_is_due_now_unless_it_was_sooner(place: Place) {
    let id = new_id(Kind::Payment);
    done(&place.a, batch([create_due(&id, 100)])).await;
    assert!(place.b.wake(&id, at(50), Wake::Asked).await.unwrap());
    assert!(place.b.wake(&id, at(60), Wake::News).await.unwrap());
    assert_eq!(place.a.next_due().await.unwrap(), Some(at(50)));
    let leased = due(&place.a, 50, 1).await;
    assert_eq!(leased[0].due, at(50));

    // Whoever holds the lease finds out what is asked.
    assert!(!place.b.wake(&id, at(40), Wake::Asked).await.unwrap());
    assert!(holds(&place.b, &id, leased[0].fence).await);
    assert!(due(&place.b, 99, 1).await.is_empty());
    assert!(place.a.release(&id, leased[0].fence, Look::At(at(70))).await.unwrap());
    assert_eq!(place.a.next_due().await.unwrap(), Some(at(70)));
    assert!(!place.b.wake(&new_id(Kind::Payment), at(1), Wake::News).await.unwrap());
}

pub async fn a_guard_tells_whether_anybody_holds_a_lease(place: Place) {
    let (id, fence) = a_leased_record(&place.a).await;
    assert!(!unheld(&place.b, &id).await, "nor is it free to its holder");
    let guards = vec![Guard::Unheld { id: id.clone() }];
    assert_eq!(conflict(&place.a, Batch { guards, ..batch([update(&id, 1, "late")]) }).await, Conflict::Guard(0));
    place.clock.pass(LEASE - Duration::from_millis(1));
    assert!(!unheld(&place.b, &id).await);
    place.clock.pass(Duration::from_millis(1));
    assert!(unheld(&place.b, &id).await, "a lease that ran out is nobody's, also if nobody took it");

    let again = due(&place.b, 99, 1).await[0].fence;
    assert!(again > fence && !unheld(&place.a, &id).await);
    assert!(place.b.release(&id, again, Look::Keep).await.unwrap());
    assert!(unheld(&place.a, &id).await);
    let taking = Batch { guards: vec![Guard::Unheld { id: id.clone() }], ..batch([with_lease(&id, 1, LeaseStep::Take(LEASE))]) };
    assert!(done(&place.a, taking).await[0].fence.is_some(), "a guard looks at what stood before its commit");
    assert!(!unheld(&place.b, &id).await);
    done(&place.b, batch([Change { look: Look::Rest, ..update(&id, 2, "at rest") }])).await;
    assert!(unheld(&place.b, &id).await);
    assert!(unheld(&place.b, &new_id(Kind::Payment)).await, "what isn't there is nobody's");
}

pub async fn the_next_due_is_the_longest_waiting_that_nobody_holds(place: Place) {
    assert_eq!(place.a.next_due().await.unwrap(), None);
    let (first, second) = (new_id(Kind::Payment), new_id_in(ELSEWHERE, Kind::Payment));
    done(&place.a, batch([create_due(&first, 10)])).await;
    done(&place.a, Batch { partition: ELSEWHERE, ..batch([create_due(&second, 20)]) }).await;
    assert_eq!(place.b.next_due().await.unwrap(), Some(at(10)));
    assert_eq!(ids(&due(&place.a, 10, 9).await), [&first]);
    assert_eq!(place.b.next_due().await.unwrap(), Some(at(20)));
    assert_eq!(ids(&due(&place.a, 20, 9).await), [&second]);
    assert_eq!(place.b.next_due().await.unwrap(), None);
    place.clock.pass(LEASE);
    assert_eq!(place.b.next_due().await.unwrap(), Some(at(10)));
}

pub async fn times_are_cut_to_the_millisecond(place: Place) {
    let id = new_id(Kind::Payment);
    let time = at(10) + SignedDuration::from_nanos(1_999_999);
    done(&place.a, batch([Change { look: Look::At(time), ..create(&id, "due") }])).await;
    let cut = at(10) + SignedDuration::from_millis(1);
    assert_eq!(place.b.next_due().await.unwrap(), Some(cut));
    assert!(due(&place.b, 10, 1).await.is_empty());
    let leased = place.b.take_due(time, LEASE, 1).await.unwrap();
    assert_eq!(leased[0].due, cut);
}
