//! The promises once more, with each script sent twice in a row, as clients of redis do: one effect and one reply.

use std::sync::Arc;

use super::promises::Place;
use crate::support::StoreTime;
use crate::support::redis::{TestRedis, by_clock, open, options, servers};
use crate::support::redis_proxy::Proxy;

store_promises!(two_handles);

async fn two_handles() -> Place {
    let redis = TestRedis::start().await;
    let proxy = Proxy::before(redis.socket()).await;
    proxy.send_scripts_twice();
    let clock = Arc::new(StoreTime::start());
    let handle = async || Arc::new(open(by_clock(options(servers([proxy.url()]), "store"), &clock)).await);
    let (a, b) = (handle().await, handle().await);
    Place { a, b, clock, _keep: Box::new(Twice { proxy, _redis: redis }) }
}

/// When the test is over, both replies were the same each time.
struct Twice {
    proxy: Proxy,
    _redis: TestRedis,
}

impl Drop for Twice {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.proxy.differing(), Vec::<String>::new());
        }
    }
}
