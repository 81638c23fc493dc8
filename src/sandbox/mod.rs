//! Providers to try things with. A stand-in until the real ones are merged: it only refuses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;

#[derive(Clone, Debug)]
pub struct SandboxAccount {
    pub name: String,
    pub key_id: String,
    pub key_secret: SecretString,
    pub account_id: String,
    pub webhook_secret: SecretString,
    pub webhook_url: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct SandboxConfig {
    pub accounts: Vec<SandboxAccount>,
    pub seed: u64,
    pub webhook_time_scale: u64,
    pub event_spread_ms: u64,
    pub webhook_timeout: Duration,
    pub state_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
#[error("the sandbox is not part of this build; merge it")]
pub struct StartError;

#[derive(Clone, Debug, thiserror::Error)]
#[error("the sandbox is not part of this build")]
pub struct ControlError;

#[derive(Clone, Debug, Default)]
pub struct PayOptions {
    pub amount: Option<i64>,
    pub vpa: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Sandbox(SocketAddr);

pub async fn start(_listener: TcpListener, _config: SandboxConfig) -> Result<Sandbox, StartError> {
    Err(StartError)
}

impl Sandbox {
    pub fn address(&self) -> SocketAddr {
        self.0
    }

    pub fn razorpay_url(&self) -> String {
        format!("http://{}/razorpay", self.0)
    }

    pub fn control_url(&self) -> String {
        format!("http://{}/control", self.0)
    }

    pub async fn pay_qr(&self, _account: &str, _code: &str, _pay: PayOptions) -> Result<String, ControlError> {
        Err(ControlError)
    }

    pub async fn stop(&self) {}
}
