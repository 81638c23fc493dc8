//! Whether calls should come here: grpc.health.v1 per service, and readiness on the operators' port.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::engine::Engine;
use crate::store::redis::safety::MEMORY_WARNING_PERCENT;

/// How often the store is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the store is asked how full it is.
const MEMORY_EVERY: Duration = Duration::from_secs(10);
/// Readiness turns only after this long, so that a short pause of the store doesn't empty the endpoints.
const READY_GRACE: Duration = Duration::from_secs(5);

/// The service's health.
#[derive(Clone)]
pub(super) struct Health {
    reporter: HealthReporter,
    services: &'static [&'static str],
    ready: Arc<watch::Sender<bool>>,
    draining: CancellationToken,
}

impl Health {
    /// Serving from the start: the store was open before.
    pub async fn new(
        services: &'static [&'static str],
    ) -> (Self, HealthServer<impl tonic_health::pb::health_server::Health>, watch::Receiver<bool>) {
        let (reporter, service) = tonic_health::server::health_reporter();
        let (ready, readiness) = watch::channel(true);
        let health = Self { reporter, services, ready: Arc::new(ready), draining: CancellationToken::new() };
        health.say(ServingStatus::Serving).await;
        (health, service, readiness)
    }

    async fn say(&self, status: ServingStatus) {
        for service in self.services {
            self.reporter.set_service_status(service, status).await;
        }
        // The empty name is the server as a whole.
        self.reporter.set_service_status("", status).await;
    }

    /// Not serving from now on, whatever the store says.
    pub async fn drain(&self) {
        self.draining.cancel();
        self.say(ServingStatus::NotServing).await;
        self.ready.send_replace(false);
    }

    /// Follows the store until `stop` or drain.
    pub async fn watch(self, engine: Arc<Engine>, stop: CancellationToken) {
        let mut last_up = Instant::now();
        let mut up = true;
        let mut memory = Memory::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.draining.cancelled() => return,
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
            let asked = tokio::time::timeout(ANSWER_TIMEOUT, engine.check_ready()).await;
            let cause = match asked {
                Ok(answered) => answered.err().map(|cause| cause.to_string()),
                Err(_) => Some("it gave no answer in time".to_owned()),
            };
            let answers = cause.is_none();
            engine.metrics().store_up.set(i64::from(answers));
            if self.draining.is_cancelled() {
                return;
            }
            if answers {
                last_up = Instant::now();
                memory.watch(&engine).await;
            }
            if answers != up {
                up = answers;
                if up {
                    info!("the store answers again");
                } else {
                    warn!("not serving: {}", cause.unwrap_or_default());
                }
                self.say(if up { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
                if self.draining.is_cancelled() {
                    // The drain may have said it before.
                    return self.say(ServingStatus::NotServing).await;
                }
            }
            // Under the lock by which the drain writes: what begins after the look at the token writes after this.
            self.ready.send_if_modified(|ready| {
                let is_ready = !self.draining.is_cancelled() && last_up.elapsed() < READY_GRACE;
                std::mem::replace(ready, is_ready) != is_ready
            });
        }
    }
}

/// How full the store is.
#[derive(Default)]
struct Memory {
    last_asked: Option<Instant>,
    warned: bool,
}

impl Memory {
    /// Asks now and then, and warns once each time it becomes too full.
    async fn watch(&mut self, engine: &Engine) {
        if self.last_asked.is_some_and(|last| last.elapsed() < MEMORY_EVERY) {
            return;
        }
        self.last_asked = Some(Instant::now());
        // Where it doesn't say, what it said before stands.
        let Ok(Ok(percent)) = tokio::time::timeout(ANSWER_TIMEOUT, engine.store_memory_percent()).await else { return };
        engine.metrics().store_memory_percent.set(i64::from(percent.unwrap_or(0)));
        let is_full = percent.is_some_and(|percent| percent >= MEMORY_WARNING_PERCENT);
        if is_full && !self.warned {
            warn!("the store uses {} % of its memory; when it is full, mutations are refused", percent.unwrap_or(0));
        }
        self.warned = is_full;
    }
}
