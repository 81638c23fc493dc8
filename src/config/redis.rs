//! The store in Redis, for many replicas.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::empty_is_none;
use super::secrets::Secrets;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    pub urls: Vec<String>,
    pub retention_at_rest: RetentionAtRest,
    #[serde(default)]
    pub cluster: bool,
    #[serde(default, with = "empty_is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secrets>,
    #[serde(default, with = "empty_is_none")]
    pub ca_file: Option<PathBuf>,
    #[serde(default = "prefix_default")]
    pub prefix: String,
    #[serde(default = "given::<TIMEOUT_MS>")]
    pub timeout_ms: u64,
    #[serde(default = "given::<CONNECT_TIMEOUT_MS>")]
    pub connect_timeout_ms: u64,
    #[serde(default)]
    pub allow_data_loss: bool,
    #[serde(default)]
    pub wait_replicas: u32,
    #[serde(default = "given::<WAIT_TIMEOUT_MS>")]
    pub wait_timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_key: Option<Secrets>,
}

/// How long a record is kept once it is at rest. Nobody can say for others: it is memory on the one side, and what can still
/// be asked for on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RetentionAtRest {
    Forever,
    Days(u32),
}

/// Razorpay refunds payments up to six months old; a record must be there as long as it can be asked to be refunded.
pub(super) const RETENTION_DAYS_MIN: u32 = 184;
const RETENTION_DAYS_MAX: u32 = 36_600;

const TIMEOUT_MS: u64 = 2_000;
const CONNECT_TIMEOUT_MS: u64 = 1_000;
const WAIT_TIMEOUT_MS: u64 = 500;

impl RedisConfig {
    /// The defaults, for these servers.
    pub fn new(urls: Vec<String>, retention_at_rest: RetentionAtRest) -> Self {
        Self {
            urls,
            retention_at_rest,
            cluster: false,
            username: None,
            password: None,
            ca_file: None,
            prefix: prefix_default(),
            timeout_ms: TIMEOUT_MS,
            connect_timeout_ms: CONNECT_TIMEOUT_MS,
            allow_data_loss: false,
            wait_replicas: 0,
            wait_timeout_ms: WAIT_TIMEOUT_MS,
            token_key: None,
        }
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub fn wait_timeout(&self) -> Duration {
        Duration::from_millis(self.wait_timeout_ms)
    }
}

impl RetentionAtRest {
    /// `None`: for ever.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::Days(days) => Some(Duration::from_secs(u64::from(days) * 24 * 60 * 60)),
        }
    }
}

impl TryFrom<String> for RetentionAtRest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
        match days {
            _ if text == "forever" => Ok(Self::Forever),
            Some(days) if (RETENTION_DAYS_MIN..=RETENTION_DAYS_MAX).contains(&days) => Ok(Self::Days(days)),
            Some(_) | None => {
                let why = "a payment can be asked to be refunded that long";
                Err(format!("\"forever\", or days from \"{RETENTION_DAYS_MIN}d\" ({why}) to \"{RETENTION_DAYS_MAX}d\""))
            }
        }
    }
}

impl From<RetentionAtRest> for String {
    fn from(retention: RetentionAtRest) -> String {
        match retention {
            RetentionAtRest::Forever => "forever".to_owned(),
            RetentionAtRest::Days(days) => format!("{days}d"),
        }
    }
}

fn prefix_default() -> String {
    "upistream".to_owned()
}

/// serde takes a default as a function only.
fn given<const N: u64>() -> u64 {
    N
}
