//! The promises on a Redis Cluster.

use std::sync::Arc;

use super::promises::Place;
use crate::support::StoreTime;
use crate::support::redis::{by_clock, new_prefix, open, options};
use crate::support::redis_cluster::TestCluster;

store_promises!(two_handles);

async fn two_handles() -> Place {
    let cluster = TestCluster::shared().await;
    let clock = Arc::new(StoreTime::start());
    let prefix = new_prefix();
    let handle = async || Arc::new(open(by_clock(options(cluster.servers(), &prefix), &clock)).await);
    Place { a: handle().await, b: handle().await, clock: Arc::clone(&clock), _keep: Box::new(()) }
}
