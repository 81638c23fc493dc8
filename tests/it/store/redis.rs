//! The store in Redis, standalone: its promises, by a clock that the tests move.

use std::sync::Arc;

use super::promises::Place;
use crate::support::StoreTime;
use crate::support::redis::{TestRedis, by_clock, open};

store_promises!(two_handles);

async fn two_handles() -> Place {
    let redis = TestRedis::start().await;
    let clock = Arc::new(StoreTime::start());
    let handle = async || Arc::new(open(by_clock(redis.options("store"), &clock)).await);
    Place { a: handle().await, b: handle().await, clock: Arc::clone(&clock), _keep: Box::new(redis) }
}
