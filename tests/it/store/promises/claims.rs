//! Claims on idempotency keys: taken once, settled once, kept as long as they said.

use std::time::Duration;

use tokio::task::JoinSet;
use upistream::store::ClaimScope;

use super::*;

const KEEP: Duration = Duration::from_secs(72 * 3_600);

fn settle(name: &str, record: &Id, answer: &Id, keep: Option<Duration>) -> ClaimStep {
    let outcome = Bytes::from(format!("end of {name}"));
    ClaimStep::Settle { scope: scope(name), record: record.clone(), outcome, answer: answer.clone(), keep }
}

fn free(name: &str, record: &Id) -> ClaimStep {
    ClaimStep::Free { scope: scope(name), record: record.clone() }
}

fn claims(claims: impl IntoIterator<Item = ClaimStep>) -> Batch {
    Batch { claims: claims.into_iter().collect(), ..batch([]) }
}

fn open_claim(record: &Id) -> Claim {
    Claim { record: record.clone(), fingerprint: Bytes::from_static(b"print"), outcome: None }
}

fn settled_claim(answer: &Id, name: &str) -> Claim {
    Claim { outcome: Some(Bytes::from(format!("end of {name}"))), ..open_claim(answer) }
}

pub async fn a_claim_is_taken_once_and_shows_its_record_as_it_is(place: Place) {
    let (mine, yours) = (new_id(Kind::Qr), new_id(Kind::Qr));
    let first = Batch { claims: vec![take("k", &mine)], ..batch([create(&mine, "first")]) };
    done(&place.a, first).await;
    done(&place.a, batch([update(&mine, 1, "second")])).await;

    let late = Batch { claims: vec![take("k", &yours)], ..batch([create(&yours, "late")]) };
    let expected = Conflict::Claimed { claim: open_claim(&mine), record: Some(stored(&mine, 2, "second")) };
    assert_eq!(conflict(&place.b, late).await, expected);
    // The record's own later commits conflict no less: only the same batch is the same.
    let again = Batch { claims: vec![take("k", &mine)], ..batch([update(&mine, 2, "third")]) };
    assert_eq!(conflict(&place.a, again).await, expected);
    assert_eq!(place.b.get(&yours).await.unwrap(), None);

    // A claim may come before its record, and outlives it.
    done(&place.a, claims([take("early", &yours)])).await;
    assert_eq!(claim_on(&place.b, "early").await, Some((open_claim(&yours), None)));
    done(&place.a, batch([remove(&mine, 2)])).await;
    assert_eq!(claim_on(&place.b, "k").await, Some((open_claim(&mine), None)));
}

pub async fn of_concurrent_claimers_exactly_one_wins(place: Place) {
    for round in 0..50 {
        let name = format!("round {round}");
        let mut claimers = JoinSet::new();
        for claimer in 0..8 {
            let store = [&place.a, &place.b][claimer % 2].clone();
            let id = new_id(Kind::Qr);
            let batch = Batch { claims: vec![take(&name, &id)], ..batch([Change { event: new_event(), ..create(&id, "mine") }]) };
            claimers.spawn(async move { (id, store.commit(batch.into()).await.unwrap()) });
        }
        let ends = claimers.join_all().await;
        let winners: Vec<&Id> = ends.iter().filter(|(_, end)| matches!(end, Commit::Done(_))).map(|(id, _)| id).collect();
        assert_eq!(winners.len(), 1, "{ends:?}");
        let expected = Conflict::Claimed { claim: open_claim(winners[0]), record: Some(stored(winners[0], 1, "mine")) };
        for (id, end) in &ends {
            if id != winners[0] {
                assert_eq!(end, &Commit::Conflict(expected.clone()));
                assert_eq!(place.a.get(id).await.unwrap(), None);
            }
        }
    }
    assert_eq!(place.b.heads().await.unwrap()[1].last.seq, 50);
}

pub async fn a_settled_claim_tells_how_it_ended_and_by_what_to_answer(place: Place) {
    let (debit, payment) = (new_id(Kind::Debit), new_id(Kind::Payment));
    done(&place.a, Batch { claims: vec![take("k", &debit)], ..batch([create(&debit, "asked")]) }).await;
    let end = Batch { claims: vec![settle("k", &debit, &payment, None)], ..batch([create(&payment, "paid")]) };
    done(&place.b, end).await;

    let expected = Some((settled_claim(&payment, "k"), Some(stored(&payment, 1, "paid"))));
    assert_eq!(claim_on(&place.a, "k").await, expected);
    assert!(matches!(conflict(&place.b, claims([take("k", &debit)])).await, Conflict::Claimed { .. }));
}

pub async fn only_the_record_of_a_claim_settles_or_frees_it(place: Place) {
    let (mine, yours) = (new_id(Kind::Qr), new_id(Kind::Qr));
    done(&place.a, claims([take("k", &mine)])).await;

    done(&place.b, claims([settle("k", &yours, &yours, Some(Duration::ZERO))])).await;
    done(&place.b, claims([free("k", &yours)])).await;
    done(&place.b, claims([settle("nobody's", &yours, &yours, None), free("nobody's", &yours)])).await;

    assert_eq!(claim_on(&place.a, "k").await, Some((open_claim(&mine), None)));
    assert_eq!(claim_on(&place.a, "nobody's").await, None);
    place.clock.pass(KEEP);
    assert_eq!(place.a.forget(10).await.unwrap(), 0);
}

pub async fn a_claim_is_settled_once(place: Place) {
    let id = new_id(Kind::Qr);
    done(&place.a, claims([take("k", &id)])).await;
    done(&place.a, claims([settle("k", &id, &id, Some(KEEP))])).await;

    let other_end = ClaimStep::Settle {
        scope: scope("k"),
        record: id.clone(),
        outcome: Bytes::from_static(b"another end"),
        answer: new_id(Kind::Qr),
        keep: None,
    };
    done(&place.b, claims([other_end])).await;

    assert_eq!(claim_on(&place.b, "k").await, Some((settled_claim(&id, "k"), None)));
    place.clock.pass(KEEP);
    assert_eq!(place.a.forget(10).await.unwrap(), 1, "its retention is still the first one");
}

pub async fn a_freed_claim_is_anybodys(place: Place) {
    let (mine, yours) = (new_id(Kind::Qr), new_id(Kind::Qr));
    done(&place.a, claims([take("k", &mine)])).await;
    done(&place.b, claims([free("k", &mine)])).await;
    assert_eq!(claim_on(&place.a, "k").await, None);
    done(&place.a, claims([take("k", &yours)])).await;
    assert_eq!(claim_on(&place.b, "k").await, Some((open_claim(&yours), None)));
}

pub async fn a_claim_may_be_taken_and_settled_at_once(place: Place) {
    let id = new_id(Kind::Qr);
    done(&place.a, claims([take("k", &id), settle("k", &id, &id, None)])).await;
    assert_eq!(claim_on(&place.b, "k").await, Some((settled_claim(&id, "k"), None)));
}

pub async fn a_settled_claim_is_kept_as_long_as_it_said(place: Place) {
    let id = new_id(Kind::Qr);
    done(&place.a, claims([take("k", &id)])).await;
    place.clock.pass(KEEP);
    done(&place.a, claims([settle("k", &id, &id, Some(KEEP))])).await;

    place.clock.pass(KEEP - Duration::from_millis(1));
    assert_eq!(place.b.forget(10).await.unwrap(), 0, "retention counts from the end, not from the beginning");
    assert!(claim_on(&place.b, "k").await.is_some());

    place.clock.pass(Duration::from_millis(1));
    assert!(matches!(conflict(&place.a, claims([take("k", &id)])).await, Conflict::Claimed { .. }), "it stands until it is forgotten");
    assert_eq!(place.b.forget(10).await.unwrap(), 1);
    assert_eq!(claim_on(&place.a, "k").await, None);
    assert_eq!(place.a.forget(10).await.unwrap(), 0);
}

pub async fn what_is_not_settled_or_kept_for_ever_is_never_forgotten(place: Place) {
    let (open, for_ever) = (new_id(Kind::Qr), new_id(Kind::Refund));
    done(&place.a, claims([take("open", &open), take("for ever", &for_ever)])).await;
    done(&place.a, claims([settle("for ever", &for_ever, &for_ever, None)])).await;

    place.clock.pass(100 * 365 * KEEP);

    assert_eq!(place.b.forget(10).await.unwrap(), 0);
    assert_eq!(claim_on(&place.a, "open").await, Some((open_claim(&open), None)));
    assert_eq!(claim_on(&place.a, "for ever").await, Some((settled_claim(&for_ever, "for ever"), None)));
}

pub async fn a_claim_settled_before_its_record_rests_is_kept_from_then_on(place: Place) {
    let (id, answer) = (new_id(Kind::Refund), new_id(Kind::Refund));
    let start = |record: &Id, keep: Duration| ClaimStep::StartRetention { scope: scope("k"), record: record.clone(), keep };
    done(&place.a, claims([take("k", &id), settle("k", &id, &answer, None)])).await;
    place.clock.pass(10 * KEEP);
    assert_eq!(place.b.forget(10).await.unwrap(), 0);
    assert_eq!(claim_on(&place.b, "k").await, Some((settled_claim(&answer, "k"), None)));

    done(&place.b, claims([start(&answer, KEEP)])).await;
    place.clock.pass(KEEP - Duration::from_millis(1));
    assert_eq!(place.a.forget(10).await.unwrap(), 0);
    assert_eq!(claim_on(&place.a, "k").await, Some((settled_claim(&answer, "k"), None)), "it stands as it was settled");
    place.clock.pass(Duration::from_millis(1));
    assert_eq!(place.a.forget(10).await.unwrap(), 1);
    assert_eq!(claim_on(&place.a, "k").await, None);

    // All of it in one commit.
    done(&place.a, claims([take("k", &id), settle("k", &id, &id, None), start(&id, KEEP)])).await;
    place.clock.pass(KEEP);
    assert_eq!(place.b.forget(10).await.unwrap(), 1);
}

pub async fn retention_starts_once_and_only_for_the_record_of_a_settled_claim(place: Place) {
    let (mine, yours) = (new_id(Kind::Refund), new_id(Kind::Refund));
    let start = |name: &str, record: &Id, keep: Duration| ClaimStep::StartRetention { scope: scope(name), record: record.clone(), keep };
    done(&place.a, claims([take("open", &mine), take("settled", &mine), take("running", &mine)])).await;
    done(&place.a, claims([settle("settled", &mine, &mine, None), settle("running", &mine, &mine, Some(2 * KEEP))])).await;

    done(&place.b, claims([start("open", &mine, Duration::ZERO), start("nobody's", &mine, Duration::ZERO)])).await;
    done(&place.b, claims([start("settled", &yours, Duration::ZERO), start("running", &mine, Duration::ZERO)])).await;

    assert_eq!(claim_on(&place.a, "nobody's").await, None);
    place.clock.pass(KEEP);
    assert_eq!(place.a.forget(10).await.unwrap(), 0);
    done(&place.b, claims([start("running", &mine, 2 * KEEP)])).await;
    place.clock.pass(KEEP);
    assert_eq!(place.a.forget(10).await.unwrap(), 1, "neither sooner nor later than it was to end");
    assert_eq!(claim_on(&place.a, "running").await, None);

    // What was asked too early changed nothing that comes later.
    done(&place.a, claims([settle("open", &mine, &mine, None)])).await;
    place.clock.pass(KEEP);
    assert_eq!(place.a.forget(10).await.unwrap(), 0);
    done(&place.a, claims([start("open", &mine, KEEP), start("settled", &mine, KEEP)])).await;
    place.clock.pass(KEEP);
    assert_eq!(place.a.forget(10).await.unwrap(), 2);
}

pub async fn forgetting_stops_at_its_limit(place: Place) {
    for partition in (0..PARTITIONS).map(Partition) {
        let id = new_id_in(partition, Kind::Qr);
        for name in ["1", "2", "3"] {
            let steps = vec![take(name, &id), settle(name, &id, &id, Some(KEEP))];
            done(&place.a, Batch { partition, claims: steps, ..batch([]) }).await;
        }
    }
    place.clock.pass(KEEP);
    assert_eq!(place.a.forget(0).await.unwrap(), 0);
    assert_eq!(place.a.forget(5).await.unwrap(), 5);
    assert_eq!(place.b.forget(5).await.unwrap(), 5);
    assert_eq!(place.a.forget(5).await.unwrap(), 2);
    assert_eq!(place.a.forget(5).await.unwrap(), 0);
}

pub async fn claims_of_two_partitions_are_apart(place: Place) {
    let (here, there) = (new_id(Kind::Qr), new_id_in(ELSEWHERE, Kind::Qr));
    done(&place.a, claims([take("k", &here)])).await;
    done(&place.a, Batch { partition: ELSEWHERE, ..claims([take("k", &there)]) }).await;
    // And so are keys whose parts run together.
    let step = |text: &str| ClaimStep::Take { scope: ClaimScope(text.to_owned()), fingerprint: Bytes::new(), record: here.clone() };
    done(&place.a, claims([step("caller/account/method/K"), step("caller/account/method/k ")])).await;
    assert_eq!(claim_on(&place.b, "k").await, Some((open_claim(&here), None)));
}
