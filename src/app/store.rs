//! Opens the store that the configuration names.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::StartError;
use super::tokens::TokenPlaces;
use crate::clock::Randomness;
use crate::config::{Backend, Config, EmbeddedConfig, RedisConfig, Secrets};
use crate::engine::LISTS_THAT_WAIT;
use crate::providers::token::SealKey;
pub use crate::store::redis::safety::{Finding, Severity};
use crate::store::redis::{self, RedisOptions, RedisServers, RedisStore};
use crate::store::sqlite::{SqliteOptions, SqliteStore, Synchronous};
use crate::store::{AnyStore, StoreError};

/// The store, and where access tokens are kept.
pub(super) async fn open(
    config: &Config,
    randomness: &Arc<Randomness>,
    synchronous: Synchronous,
) -> Result<(AnyStore, TokenPlaces), StartError> {
    let random = random(randomness);
    match &config.store.backend {
        Backend::Embedded(embedded) => Ok((open_embedded(config, embedded, random, synchronous).await?, TokenPlaces::own())),
        Backend::Redis(redis) => open_redis(config, redis, random, randomness).await,
    }
}

/// What the identity of a new store is made of.
pub(super) fn random(randomness: &Randomness) -> [u8; 40] {
    let mut random = [0; 40];
    for chunk in random.chunks_mut(16) {
        chunk.copy_from_slice(&randomness.bits().to_be_bytes()[..chunk.len()]);
    }
    random
}

/// This machine's clock, in ms since 1970.
pub(super) fn system_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

async fn open_embedded(
    config: &Config,
    EmbeddedConfig { path }: &EmbeddedConfig,
    random: [u8; 40],
    synchronous: Synchronous,
) -> Result<AnyStore, StartError> {
    let path = path.clone();
    let options = SqliteOptions { partitions: config.store.partitions, random, clock: Arc::new(system_ms), synchronous };
    match tokio::task::spawn_blocking(move || SqliteStore::open(&path, options)).await {
        Ok(store) => Ok(Arc::new(store?)),
        Err(cause) => {
            error!("opening the store ended badly: {cause}");
            Err(StartError::Log(StoreError::Broken("opening it ended badly".to_owned())))
        }
    }
}

async fn open_redis(
    config: &Config,
    redis: &RedisConfig,
    random: [u8; 40],
    randomness: &Arc<Randomness>,
) -> Result<(AnyStore, TokenPlaces), StartError> {
    let names = Arc::clone(randomness);
    let (store, findings) = RedisStore::open(options(config, redis, random, Arc::new(move || names.bits()))?).await?;
    for Finding { severity, text } in findings {
        match severity {
            Severity::Fine => info!("redis: {text}"),
            Severity::Warning | Severity::Loss | Severity::Unusable => warn!("redis: {text}"),
        }
    }
    let store = Arc::new(store);
    let tokens = TokenPlaces::shared(Arc::clone(&store), seal_key(redis)?);
    Ok((store, tokens))
}

/// What access tokens are sealed with.
fn seal_key(redis: &RedisConfig) -> Result<Option<SealKey>, StartError> {
    let read = |key: &Secrets| SealKey::read(key.first()).map_err(|cause| StartError::TokenKey(cause.to_string()));
    redis.token_key.as_ref().map(read).transpose()
}

pub(super) fn options(
    config: &Config,
    redis: &RedisConfig,
    random: [u8; 40],
    names: Arc<dyn Fn() -> u128 + Send + Sync>,
) -> Result<RedisOptions, StartError> {
    // A wrong key is told before anything is opened.
    seal_key(redis)?;
    Ok(RedisOptions {
        servers: servers(redis)?,
        prefix: redis.prefix.clone(),
        partitions: config.store.partitions,
        random,
        names,
        clock: None,
        retention_at_rest: redis.retention_at_rest.duration(),
        kept_while_listed: LISTS_THAT_WAIT.to_vec(),
        wait_replicas: redis.wait_replicas,
        wait_timeout: redis.wait_timeout(),
        allow_data_loss: redis.allow_data_loss,
    })
}

fn servers(redis: &RedisConfig) -> Result<RedisServers, StartError> {
    let ca_pem = match &redis.ca_file {
        Some(path) => Some(std::fs::read(path).map_err(|cause| StartError::CaFile { path: path.clone(), cause })?),
        None => None,
    };
    Ok(RedisServers {
        urls: redis.urls.clone(),
        cluster: redis.cluster,
        username: redis.username.clone(),
        password: redis.password.as_ref().map(|password| password.first().clone()),
        ca_pem,
        timeout: redis.timeout(),
        connect_timeout: redis.connect_timeout(),
    })
}

/// What the configured redis would lose, by asking it; `None`: the store is another. Changes nothing there.
pub async fn examine_redis(config: &Config) -> Option<Result<Vec<Finding>, StartError>> {
    let Backend::Redis(redis) = &config.store.backend else { return None };
    // Nothing is created or written: neither randomness nor names are needed.
    let examined = async { Ok(RedisStore::examine(&options(config, redis, [0; 40], Arc::new(|| 0))?).await?) };
    Some(examined.await)
}

impl From<redis::OpenError> for StartError {
    fn from(cause: redis::OpenError) -> Self {
        StartError::Redis(Box::new(cause))
    }
}
