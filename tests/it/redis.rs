//! The service on Redis: what only a store of many replicas has to show. (All other stories run on it too: see `tests/run`.)

mod calls;
mod doubt;
mod formats;
mod kill;
mod outages;
mod refunds;
mod replicas;
mod retention;
mod rolled_back;
mod round_trips;
mod startup;

use std::sync::Arc;

use upistream::clock::TestClock;
use upistream::config::Config;
use upistream::sandbox::Sandbox;

use crate::support::app::App;
use crate::support::redis::{TestRedis, backend};

/// A service on this redis.
async fn app_on(redis: &TestRedis, provider: &Sandbox) -> App {
    app_at(redis.url(), provider, |_| ()).await
}

/// A service on the redis at `url`, with the configuration changed by `change`.
async fn app_at(url: String, provider: &Sandbox, change: impl FnOnce(&mut Config)) -> App {
    let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    let configure = |config: &mut Config| {
        config.store.backend = backend(url);
        change(config);
    };
    App::start_at(folder, Arc::new(TestClock::default()), provider.clone(), configure).await
}
