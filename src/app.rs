//! Config to running service. A stand-in until the real one is merged: it only refuses.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;

pub struct Options {
    pub clock: Arc<dyn Clock>,
    pub insecure: bool,
    /// True: honour `drain.delay`.
    pub drain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), insecure: false, drain: true }
    }
}

pub struct Running {
    pub grpc: SocketAddr,
    pub webhooks: SocketAddr,
    pub admin: SocketAddr,
    pub sandbox: Option<crate::sandbox::Sandbox>,
    pub accounts: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("the service is not part of this build; merge it")]
pub struct StartError;

pub async fn start(_config: Config, _options: Options) -> Result<Running, StartError> {
    Err(StartError)
}

impl Running {
    pub async fn stop(self) -> bool {
        true
    }
}
