//! The sections of the configuration as types. A default here is the service's default;
//! `config.default.toml` says the same and is held to it by a test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cidr::Cidr;
use super::empty_is_none;
use super::redis::RedisConfig;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    pub listen: SocketAddr,
    pub request_bytes_max: usize,
    pub deadline_default_ms: u64,
    pub deadline_margin_ms: u64,
    pub streams_max: usize,
    pub streams_per_caller_max: usize,
    pub tls: TlsConfig,
}

/// Without a certificate the listener speaks no TLS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM: our certificate first, then those between it and its authority.
    #[serde(with = "empty_is_none")]
    pub cert_file: Option<PathBuf>,
    #[serde(with = "empty_is_none")]
    pub key_file: Option<PathBuf>,
    /// PEM: the authorities that callers' certificates come from. `None`: callers are asked for none.
    #[serde(with = "empty_is_none")]
    pub client_ca_file: Option<PathBuf>,
    pub client_certificate: ClientCertificate,
}

/// Whether a caller may connect without a certificate. One that he shows must be good either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    Optional,
    Required,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    pub listen: SocketAddr,
    #[serde(with = "empty_is_none")]
    pub public_url: Option<String>,
    pub body_bytes_max: usize,
    pub concurrency_max: usize,
    pub read_timeout_ms: u64,
    pub trusted_proxies: Vec<Cidr>,
    pub quarantine_max: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    pub listen: SocketAddr,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoreToml", into = "StoreToml")]
pub struct StoreConfig {
    pub partitions: u16,
    pub backend: Backend,
}

/// Where records are kept. A backend carries its settings, so that no wrong combination can be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Backend {
    Embedded(EmbeddedConfig),
    Redis(Box<RedisConfig>),
}

impl Backend {
    /// Where it is, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Embedded(EmbeddedConfig { path }) => path.display().to_string(),
            Self::Redis(redis) => {
                let kind = if redis.cluster { " (Cluster)" } else { "" };
                format!("{}{kind}, keys {}:*", redis.urls.join(", "), redis.prefix)
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    pub path: PathBuf,
}

/// How `[store]` and its backend are written. An enum flattened into a section would swallow unknown keys.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StoreToml {
    partitions: u16,
    embedded: Option<EmbeddedConfig>,
    redis: Option<Box<RedisConfig>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdempotencyConfig {
    pub retention_h: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    pub retention_h: u64,
    pub ring_frames: usize,
    pub page: usize,
    pub heartbeat_default_ms: u64,
    pub heartbeat_min_ms: u64,
    pub heartbeat_max_ms: u64,
    pub subscription_age_max_s: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconcilerConfig {
    pub workers: usize,
    pub lease_ms: u64,
    pub absence_after_s: u64,
    pub first_look_s: u64,
    pub look_max_s: u64,
    pub lookups_per_second: u32,
    pub batch: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderCallsConfig {
    pub calls_max: usize,
    pub waiting_max: usize,
    pub breaker_failures: usize,
    pub breaker_failure_percent: usize,
    pub breaker_window_s: u64,
    pub breaker_open_ms: u64,
    pub breaker_trials: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettlementsConfig {
    pub fetch: bool,
    pub sync_every_s: u64,
    pub backfill_days: u32,
    pub reread_days: u32,
    pub report_lag_s: u64,
    pub holidays: Vec<jiff::civil::Date>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    pub delay_ms: u64,
    pub limit_ms: u64,
}

/// How changes of the configuration are taken while the service runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReloadConfig {
    pub every_s: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A directive of `tracing_subscriber::EnvFilter`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Where traces and metrics are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// `None`: nothing is sent, and no span is kept.
    #[serde(with = "empty_is_none")]
    pub otlp_endpoint: Option<String>,
    pub trace_percent: u8,
    pub export_every_ms: u64,
    pub queue_spans: usize,
    pub service_name: String,
    /// `None`: a new one with each start.
    #[serde(with = "empty_is_none")]
    pub service_instance: Option<String>,
    pub propagate_to_providers: bool,
}

/// That there is a `[sandbox]` is what switches it on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxSettings {
    pub listen: SocketAddr,
    /// `None`: the sandbox forgets everything when the process ends.
    #[serde(with = "empty_is_none")]
    pub state_file: Option<PathBuf>,
}

impl GrpcConfig {
    pub fn deadline_default(&self) -> Duration {
        Duration::from_millis(self.deadline_default_ms)
    }

    pub fn deadline_margin(&self) -> Duration {
        Duration::from_millis(self.deadline_margin_ms)
    }
}

impl TlsConfig {
    /// Whether the listener speaks TLS.
    pub fn is_on(&self) -> bool {
        self.cert_file.is_some()
    }
}

impl WebhooksConfig {
    pub fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }
}

impl IdempotencyConfig {
    pub fn retention(&self) -> Duration {
        hours(self.retention_h)
    }
}

impl EventsConfig {
    pub fn retention(&self) -> Duration {
        hours(self.retention_h)
    }

    pub fn heartbeat_default(&self) -> Duration {
        Duration::from_millis(self.heartbeat_default_ms)
    }

    pub fn heartbeat_min(&self) -> Duration {
        Duration::from_millis(self.heartbeat_min_ms)
    }

    pub fn heartbeat_max(&self) -> Duration {
        Duration::from_millis(self.heartbeat_max_ms)
    }

    pub fn subscription_age_max(&self) -> Duration {
        Duration::from_secs(self.subscription_age_max_s)
    }
}

impl ReconcilerConfig {
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub fn absence_after(&self) -> Duration {
        Duration::from_secs(self.absence_after_s)
    }

    pub fn first_look(&self) -> Duration {
        Duration::from_secs(self.first_look_s)
    }

    pub fn look_max(&self) -> Duration {
        Duration::from_secs(self.look_max_s)
    }
}

impl ProviderCallsConfig {
    pub fn breaker_window(&self) -> Duration {
        Duration::from_secs(self.breaker_window_s)
    }

    pub fn breaker_open(&self) -> Duration {
        Duration::from_millis(self.breaker_open_ms)
    }
}

impl SettlementsConfig {
    pub fn sync_every(&self) -> Duration {
        Duration::from_secs(self.sync_every_s)
    }

    pub fn report_lag(&self) -> Duration {
        Duration::from_secs(self.report_lag_s)
    }
}

impl DrainConfig {
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.limit_ms)
    }
}

impl ReloadConfig {
    pub fn every(&self) -> Duration {
        Duration::from_secs(self.every_s)
    }
}

impl TelemetryConfig {
    pub fn export_every(&self) -> Duration {
        Duration::from_millis(self.export_every_ms)
    }
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            listen: loopback(50051),
            request_bytes_max: 1024 * 1024,
            deadline_default_ms: 30_000,
            deadline_margin_ms: 100,
            streams_max: 10_000,
            streams_per_caller_max: 1_000,
            tls: TlsConfig::default(),
        }
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { cert_file: None, key_file: None, client_ca_file: None, client_certificate: ClientCertificate::Optional }
    }
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            public_url: None,
            body_bytes_max: 1024 * 1024,
            concurrency_max: 256,
            read_timeout_ms: 10_000,
            trusted_proxies: Vec::new(),
            quarantine_max: 10_000,
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: loopback(9090) }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { partitions: 16, backend: Backend::Embedded(EmbeddedConfig::default()) }
    }
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { path: "upistream-data/upistream.db".into() }
    }
}

impl Default for StoreToml {
    fn default() -> Self {
        let StoreConfig { partitions, .. } = StoreConfig::default();
        Self { partitions, embedded: None, redis: None }
    }
}

impl From<StoreToml> for StoreConfig {
    fn from(StoreToml { partitions, embedded, redis }: StoreToml) -> Self {
        // That there is only one of the two was judged before.
        let backend = match redis {
            Some(redis) => Backend::Redis(redis),
            None => Backend::Embedded(embedded.unwrap_or_default()),
        };
        Self { partitions, backend }
    }
}

impl From<StoreConfig> for StoreToml {
    fn from(StoreConfig { partitions, backend }: StoreConfig) -> Self {
        match backend {
            Backend::Embedded(embedded) => Self { partitions, embedded: Some(embedded), redis: None },
            Backend::Redis(redis) => Self { partitions, embedded: None, redis: Some(redis) },
        }
    }
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self { retention_h: 72 }
    }
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            retention_h: 168,
            ring_frames: 8_192,
            page: 500,
            heartbeat_default_ms: 15_000,
            heartbeat_min_ms: 1_000,
            heartbeat_max_ms: 300_000,
            subscription_age_max_s: 1_800,
        }
    }
}

impl Default for ReconcilerConfig {
    fn default() -> Self {
        Self { workers: 4, lease_ms: 60_000, absence_after_s: 900, first_look_s: 90, look_max_s: 900, lookups_per_second: 5, batch: 16 }
    }
}

impl Default for ProviderCallsConfig {
    fn default() -> Self {
        Self {
            calls_max: 64,
            waiting_max: 256,
            breaker_failures: 5,
            breaker_failure_percent: 50,
            breaker_window_s: 60,
            breaker_open_ms: 10_000,
            breaker_trials: 2,
        }
    }
}

impl Default for SettlementsConfig {
    fn default() -> Self {
        Self { fetch: true, sync_every_s: 3_600, backfill_days: 30, reread_days: 7, report_lag_s: 3_600, holidays: Vec::new() }
    }
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { delay_ms: 5_000, limit_ms: 25_000 }
    }
}

impl Default for ReloadConfig {
    fn default() -> Self {
        Self { every_s: 30 }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            trace_percent: 100,
            export_every_ms: 15_000,
            queue_spans: 4_096,
            service_name: "upistream".to_owned(),
            service_instance: None,
            propagate_to_providers: false,
        }
    }
}

impl Default for SandboxSettings {
    fn default() -> Self {
        // Port 0: whatever is free. The state lies beside the embedded store's: each remembers what the other does.
        Self { listen: loopback(8090), state_file: Some("upistream-data/sandbox.json".into()) }
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 60 * 60)
}
