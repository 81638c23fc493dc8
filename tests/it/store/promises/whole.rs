//! What a store tells of itself as a whole.

use upistream::store::Position;

use super::*;

pub async fn both_handles_know_one_identity_and_one_time(place: Place) {
    assert_eq!(place.a.identity(), place.b.identity());
    assert_eq!(place.a.identity().partitions, PARTITIONS);
    let before = place.a.now_ms().await.unwrap();
    place.clock.pass(LEASE);
    assert_eq!(place.b.now_ms().await.unwrap(), before + 30_000);
}

pub async fn a_store_that_is_read_and_written_answers_a_ping(place: Place) {
    for store in [&place.a, &place.b, &place.a] {
        store.ping().await.unwrap();
        done(store, batch([create(&new_id(Kind::Qr), "x")])).await;
    }
    assert_eq!(place.a.heads().await.unwrap()[1].last, Position::default(), "asking leaves nothing behind");
}
