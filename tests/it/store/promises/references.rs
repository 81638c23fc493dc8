//! References: other names of a record within its account.

use tokio::task::JoinSet;
use upistream::store::ReferenceStep;

use super::*;

fn named(id: &Id, step: ReferenceStep) -> Change {
    Change { references: vec![step], ..create(id, "named") }
}

fn unique(value: &str) -> ReferenceStep {
    ReferenceStep::Unique(reference(value))
}

fn latest(value: &str) -> ReferenceStep {
    ReferenceStep::Latest(reference(value))
}

async fn found(store: &AnyStore, value: &str) -> Option<Id> {
    store.find(HERE, &reference(value)).await.unwrap().map(|record| record.id)
}

pub async fn a_unique_reference_belongs_to_one_record(place: Place) {
    let (mine, yours) = (new_id(Kind::Qr), new_id(Kind::Qr));
    assert_eq!(found(&place.a, "r").await, None);
    done(&place.a, batch([named(&mine, unique("r"))])).await;

    let referenced = Conflict::Referenced { reference: reference("r"), holder: mine.clone() };
    assert_eq!(conflict(&place.b, batch([named(&yours, unique("r"))])).await, referenced);
    assert_eq!(place.b.find(HERE, &reference("r")).await.unwrap(), Some(stored(&mine, 1, "named")));

    // Saying it again is no conflict, and a further name takes none away.
    let again = Change { references: vec![unique("r"), unique("r2")], ..update(&mine, 1, "again") };
    done(&place.b, batch([again])).await;
    assert_eq!(found(&place.a, "r").await, Some(mine.clone()));
    assert_eq!(place.a.find(HERE, &reference("r2")).await.unwrap(), Some(stored(&mine, 2, "again")));
}

pub async fn of_concurrent_makers_of_a_unique_reference_one_wins(place: Place) {
    for round in 0..30 {
        let value = format!("r{round}");
        let mut makers = JoinSet::new();
        for maker in 0..6 {
            let store = [&place.a, &place.b][maker % 2].clone();
            let change = named(&new_id(Kind::Payment), unique(&value));
            makers.spawn(async move { store.commit(batch([change]).into()).await.unwrap() });
        }
        let ends = makers.join_all().await;
        assert_eq!(ends.iter().filter(|end| matches!(end, Commit::Done(_))).count(), 1);
        let holder = found(&place.a, &value).await.unwrap();
        let referenced = Conflict::Referenced { reference: reference(&value), holder };
        assert_eq!(ends.iter().filter(|end| **end == Commit::Conflict(referenced.clone())).count(), 5);
    }
}

pub async fn two_changes_of_one_commit_cant_share_a_unique_reference(place: Place) {
    let (one, other) = (new_id(Kind::Payment), new_id(Kind::Payment));
    let both = batch([named(&one, unique("r")), named(&other, unique("r"))]);
    let referenced = Conflict::Referenced { reference: reference("r"), holder: one.clone() };
    assert_eq!(conflict(&place.a, both).await, referenced);
    assert_eq!(found(&place.b, "r").await, None);
    assert_eq!(place.b.get(&one).await.unwrap(), None);
}

pub async fn a_latest_reference_is_the_newest_records(place: Place) {
    let (oldest, older, newest) = (new_id(Kind::Qr), new_id(Kind::Qr), new_id(Kind::Qr));
    done(&place.a, batch([named(&older, latest("amount"))])).await;
    assert_eq!(found(&place.b, "amount").await, Some(older.clone()));
    done(&place.a, batch([named(&newest, latest("amount"))])).await;
    assert_eq!(found(&place.b, "amount").await, Some(newest.clone()));
    // It goes by the records' age, not by who comes last.
    done(&place.b, batch([named(&oldest, latest("amount"))])).await;
    let again = Change { references: vec![latest("amount")], ..update(&older, 1, "again") };
    done(&place.b, batch([again])).await;
    assert_eq!(found(&place.a, "amount").await, Some(newest.clone()));
    done(&place.a, batch([remove(&newest, 1)])).await;
    assert_eq!(found(&place.a, "amount").await, None);
}

pub async fn references_of_accounts_and_sorts_are_apart(place: Place) {
    let ids = [new_id(Kind::Qr), new_id(Kind::Qr), new_id(Kind::Qr)];
    let references =
        [reference("r"), Reference { account: "shop2".to_owned(), ..reference("r") }, Reference { sort: "qr.ours", ..reference("r") }];
    let changes = ids.iter().zip(&references).map(|(id, reference)| named(id, ReferenceStep::Unique(reference.clone())));
    done(&place.a, batch(changes)).await;
    for (id, reference) in ids.iter().zip(&references) {
        assert_eq!(place.b.find(HERE, reference).await.unwrap().map(|record| record.id), Some(id.clone()));
    }
    assert_eq!(place.b.find(ELSEWHERE, &reference("r")).await.unwrap(), None);
}
