//! A service in this process that can be killed: everything it is runs on a runtime of its own, and goes with it in the
//! middle of whatever it was doing.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use upistream::clock::TestClock;
use upistream::config::Config;
use upistream::sandbox::Sandbox;

use super::app::{App, channel};

/// How long a runtime may take to drop what runs on it. A thread in the middle of a read ends that first.
const DYING_MAX: Duration = Duration::from_secs(10);

pub struct Replica {
    pub app: Option<App>,
    runtime: Option<Runtime>,
}

impl Replica {
    pub async fn start_at(
        folder: Arc<TempDir>,
        clock: Arc<TestClock>,
        provider: Sandbox,
        change: impl FnOnce(&mut Config) + Send + 'static,
    ) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads can be started");
        let started = runtime.spawn(App::start_at(folder, clock, provider, change));
        let mut app = started.await.expect("the service starts");
        // The caller's end of the connection outlives the service.
        app.channel = channel(app.running.grpc).await;
        Self { app: Some(app), runtime: Some(runtime) }
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().expect("it is there until it is killed")
    }

    /// Ends it at once: no drain, no goodbye, tasks dropped wherever they are. Returns when its store is free.
    pub async fn kill(mut self) {
        let (app, runtime) = (self.app.take(), self.runtime.take());
        let killing = move || {
            drop(app);
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(DYING_MAX);
            }
        };
        tokio::task::spawn_blocking(killing).await.expect("dropping a service panics nowhere");
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.app = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
