//! The shelf that replicas share in Redis: its promises, by a clock that the tests move.

use std::sync::Arc;

use super::promises::Place;
use super::{ACCOUNT, passing};
use crate::support::StoreTime;
use crate::support::redis::{TestRedis, by_clock, open};
use upistream::app::tokens::shelf_in;

shelf_promises!(two_handles);

async fn two_handles() -> Place {
    let redis = TestRedis::start().await;
    let clock = Arc::new(StoreTime::start());
    let stores = [(); 2].map(|()| open(by_clock(redis.options("store"), &clock)));
    let [a, b] = stores.map(async |store| shelf_in(&store.await, ACCOUNT.parse().expect("a plain name")));
    Place { a: a.await, b: b.await, pass: passing(clock), _keep: Box::new(redis) }
}
