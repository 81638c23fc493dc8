//! One door in: the gRPC API. It sees the engine and the domain; it alone knows `Status`.

mod account;
mod admin;
mod answering;
mod authentication;
mod call;
mod callers;
mod debit;
mod events;
mod fingerprint;
pub mod frame;
mod list;
mod mandate;
mod mandate_resource;
mod outer;
mod page;
mod payment;
pub mod pb;
mod peer;
mod permissions;
mod qr;
mod refund;
mod refund_resource;
mod resource;
mod services;
mod settlement;
mod settlement_resource;
mod status;
mod telemetry;
mod violations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::service::Routes;

pub use authentication::Authentication;
pub use call::{Deadlines, LOCAL_CALLER};
pub use callers::{Callers, KnownCaller};
pub use outer::FrameworkErrors;
pub use peer::PeerIdentity;
pub use resource::EventEncoder;
pub use services::{SERVICES, Services};
pub use telemetry::CallTelemetry;

use crate::domain::account::AccountName;
use crate::engine::Engine;

/// The bounds and the default of a subscription's heartbeat.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeats {
    pub min: Duration,
    pub default: Duration,
    pub max: Duration,
}

/// What the API is told by the configuration.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    pub deadlines: Deadlines,
    pub heartbeats: Heartbeats,
    pub streams_max: usize,
    pub streams_per_caller_max: usize,
    pub request_bytes_max: usize,
    pub sandbox_accounts: BTreeSet<AccountName>,
}

/// The services' common state.
#[derive(Clone)]
pub struct Api {
    engine: Arc<Engine>,
    deadlines: Deadlines,
    heartbeats: Heartbeats,
    streams: Places,
    callers: Arc<Callers>,
    sandbox_accounts: BTreeSet<AccountName>,
}

/// A limited number of places, for all and for each caller.
#[derive(Clone, Debug)]
struct Places {
    limit: usize,
    limit_per_caller: usize,
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// A place, free again when dropped.
struct Place {
    caller: String,
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Places {
    fn new(limit: usize, limit_per_caller: usize) -> Self {
        Self { limit, limit_per_caller, taken: Arc::default() }
    }

    /// A place for `caller`, of which he may have `own_max` himself; `Err`: the limit that is reached.
    fn take(&self, caller: &str, own_max: usize) -> Result<Place, usize> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= self.limit {
            return Err(self.limit);
        }
        let own_max = own_max.min(self.limit_per_caller);
        if taken.get(caller).copied().unwrap_or_default() >= own_max {
            return Err(own_max);
        }
        *taken.entry(caller.to_owned()).or_default() += 1;
        Ok(Place { caller: caller.to_owned(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.caller) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

/// A path's service and method: `/package.Service/Method`.
fn parts_of(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// All services of the API.
pub fn services(engine: Arc<Engine>, callers: Arc<Callers>, settings: ApiSettings) -> Services {
    let ApiSettings { deadlines, heartbeats, streams_max, streams_per_caller_max, request_bytes_max, sandbox_accounts } = settings;
    let streams = Places::new(streams_max, streams_per_caller_max);
    let api = Api { engine, deadlines, heartbeats, streams, callers, sandbox_accounts };
    Services::new(api, request_bytes_max)
}

/// What tells of them. Health is added by the one who knows it.
pub fn reflection() -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for service in SERVICES {
            builder = builder.with_service_name(service);
        }
        builder
    };
    Ok(Routes::new(reflection().build_v1()?).add_service(reflection().build_v1alpha()?))
}
