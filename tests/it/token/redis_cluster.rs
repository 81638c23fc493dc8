//! The promises on a Redis Cluster.

use std::sync::Arc;

use super::promises::Place;
use super::{ACCOUNT, passing};
use crate::support::StoreTime;
use crate::support::redis::{by_clock, new_prefix, open, options};
use crate::support::redis_cluster::TestCluster;
use upistream::app::tokens::shelf_in;

shelf_promises!(two_handles);

async fn two_handles() -> Place {
    let cluster = TestCluster::shared().await;
    let clock = Arc::new(StoreTime::start());
    let prefix = new_prefix();
    let stores = [(); 2].map(|()| open(by_clock(options(cluster.servers(), &prefix), &clock)));
    let [a, b] = stores.map(async |store| shelf_in(&store.await, ACCOUNT.parse().expect("a plain name")));
    Place { a: a.await, b: b.await, pass: passing(clock), _keep: Box::new(()) }
}
