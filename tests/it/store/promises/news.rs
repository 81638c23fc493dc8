//! News of a record: what must be looked at, whatever is said about its next look meanwhile.

use upistream::store::Wake;

use super::leases::{a_leased_record, due, holds, ids, unheld, with_lease};
use super::*;

pub async fn a_record_at_rest_can_be_woken(place: Place) {
    let id = new_id(Kind::Payment);
    done(&place.a, batch([create_due(&id, 100)])).await;
    done(&place.a, batch([Change { look: Look::Rest, ..update(&id, 1, "at rest") }])).await;
    assert_eq!(place.b.next_due().await.unwrap(), None);
    assert!(place.b.wake(&id, at(50), Wake::News).await.unwrap());
    assert_eq!(ids(&due(&place.a, 50, 1).await), [&id]);
}

pub async fn news_outlive_what_the_holder_of_the_lease_says(place: Place) {
    for (later, by_change) in
        [(Look::At(at(500)), false), (Look::Rest, false), (Look::Keep, false), (Look::At(at(500)), true), (Look::Rest, true)]
    {
        let (id, fence) = a_leased_record(&place.a).await;
        assert!(place.b.wake(&id, at(30), Wake::News).await.unwrap());
        assert!(holds(&place.b, &id, fence).await, "the lease stays");
        assert!(due(&place.b, 99, 1).await.is_empty());
        if by_change {
            done(&place.a, batch([Change { look: later, lease: LeaseStep::Release(fence), ..update(&id, 1, "learned") }])).await;
        } else {
            assert!(place.a.release(&id, fence, later).await.unwrap());
        }
        let leased = due(&place.b, 30, 1).await;
        assert_eq!(ids(&leased), [&id], "{later:?}");
        // Heard once: the next holder's word counts again.
        assert!(place.b.release(&id, leased[0].fence, Look::Rest).await.unwrap());
        assert_eq!(place.a.next_due().await.unwrap(), None);
    }
}

pub async fn no_change_makes_the_look_that_news_demand_later_or_takes_it_away(place: Place) {
    for look in [Look::Keep, Look::At(at(500)), Look::Rest] {
        for taken in [false, true] {
            let id = new_id(Kind::Payment);
            done(&place.a, batch([create_due(&id, 100)])).await;
            assert!(place.b.wake(&id, at(30), Wake::News).await.unwrap());
            assert!(place.b.wake(&id, at(40), Wake::News).await.unwrap());
            assert!(unheld(&place.b, &id).await, "there was nobody to miss them");
            let mut revision = 1;
            // Who takes the lease for a change of his own looks at nothing, and gives it back.
            if taken {
                let took = done(&place.a, batch([with_lease(&id, 1, LeaseStep::Take(LEASE))])).await;
                let fence = took[0].fence.expect("nobody held it");
                let stepped = Change { look, ..with_lease(&id, 2, LeaseStep::Release(fence)) };
                done(&place.a, batch([stepped])).await;
                revision = 3;
            }
            done(&place.b, batch([Change { look, ..update(&id, revision, "changed") }])).await;
            done(&place.b, batch([Change { look, ..update(&id, revision + 1, "changed again") }])).await;

            assert_eq!(place.a.next_due().await.unwrap(), Some(at(30)), "{look:?}, {taken}");
            assert!(due(&place.a, 29, 1).await.is_empty());
            let leased = due(&place.a, 30, 1).await;
            assert_eq!((ids(&leased), leased[0].due), (vec![&id], at(30)));
            // Told once: from now on it is as its holder says.
            assert!(place.b.release(&id, leased[0].fence, Look::At(at(500))).await.unwrap());
            assert_eq!(place.a.next_due().await.unwrap(), Some(at(500)));
            done(&place.b, batch([Change { look: Look::Rest, ..update(&id, revision + 2, "at rest") }])).await;
            assert_eq!(place.a.next_due().await.unwrap(), None);
        }
    }
}

pub async fn news_to_a_record_at_rest_are_looked_at_before_it_rests_again(place: Place) {
    let id = new_id(Kind::Payment);
    done(&place.a, batch([create(&id, "at rest")])).await;
    assert!(place.b.wake(&id, at(30), Wake::News).await.unwrap());
    done(&place.a, batch([Change { look: Look::Rest, ..update(&id, 1, "at rest") }])).await;
    let leased = due(&place.a, 30, 1).await;
    assert_eq!(ids(&leased), [&id]);
    // His look ends what he was told of. A look that was merely asked for is no news.
    assert!(place.b.release(&id, leased[0].fence, Look::Rest).await.unwrap());
    assert!(place.b.wake(&id, at(40), Wake::Asked).await.unwrap());
    done(&place.a, batch([Change { look: Look::Rest, ..update(&id, 2, "at rest") }])).await;
    assert_eq!(place.a.next_due().await.unwrap(), None);
}

pub async fn news_under_a_lease_stand_when_a_change_ends_it(place: Place) {
    let (id, fence) = a_leased_record(&place.a).await;
    assert!(place.b.wake(&id, at(30), Wake::News).await.unwrap());
    // The rest that somebody else brings ends the lease, not the news.
    done(&place.b, batch([Change { look: Look::Rest, ..update(&id, 1, "at rest") }])).await;
    assert!(!holds(&place.a, &id, fence).await);
    assert!(unheld(&place.a, &id).await);
    assert!(!place.a.release(&id, fence, Look::At(at(500))).await.unwrap());
    assert_eq!(place.b.next_due().await.unwrap(), Some(at(30)));

    // Nor does a lease that ran out, with a change of whoever comes then.
    let next = due(&place.a, 30, 1).await[0].fence;
    assert!(place.b.wake(&id, at(40), Wake::News).await.unwrap());
    place.clock.pass(LEASE);
    let stepped = Change { look: Look::At(at(500)), ..with_lease(&id, 2, LeaseStep::Take(LEASE)) };
    let fence = done(&place.b, batch([stepped])).await[0].fence.expect("the lease ran out");
    assert!(fence > next);
    assert!(place.b.release(&id, fence, Look::Rest).await.unwrap());
    assert_eq!(place.b.next_due().await.unwrap(), Some(at(40)));

    // With its record they go.
    done(&place.a, batch([remove(&id, 3)])).await;
    assert_eq!(place.b.next_due().await.unwrap(), None);
    done(&place.a, batch([create(&id, "again")])).await;
    assert_eq!(place.b.next_due().await.unwrap(), None);
}

pub async fn a_time_set_beside_the_lease_outlives_what_its_holder_says(place: Place) {
    let (id, fence) = a_leased_record(&place.a).await;
    done(&place.b, batch([Change { look: Look::At(at(30)), ..update(&id, 1, "somebody else's news") }])).await;
    assert!(holds(&place.b, &id, fence).await);
    assert!(place.a.release(&id, fence, Look::At(at(500))).await.unwrap());
    assert_eq!(ids(&due(&place.b, 30, 1).await), [&id]);
}

pub async fn a_time_set_beside_the_lease_binds_only_its_holder(place: Place) {
    let (id, fence) = a_leased_record(&place.a).await;
    let beside = |from, look| batch([Change { look, ..update(&id, from, "learned beside") }]);
    done(&place.b, beside(1, Look::At(at(30)))).await;
    assert!(place.a.release(&id, fence, Look::Rest).await.unwrap());
    assert_eq!(place.b.next_due().await.unwrap(), Some(at(30)));
    done(&place.b, beside(2, Look::At(at(70)))).await;
    assert_eq!(place.b.next_due().await.unwrap(), Some(at(70)));
    done(&place.b, beside(3, Look::Rest)).await;
    assert_eq!(place.b.next_due().await.unwrap(), None);
}
