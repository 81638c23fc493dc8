//! Where replicas share access tokens: the store, as providers see it. Providers know no store and the store knows no
//! providers, so this stands between them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Randomness;
use crate::domain::account::AccountName;
use crate::providers::Cause;
use crate::providers::enkash::Tokens;
use crate::providers::token::{Fence, MemoryShelf, SealKey, ShelfError, Shelved, TokenShelf};
use crate::store::StoreError;
use crate::store::redis::{RedisStore, RedisTokens, StoredToken};
use crate::telemetry::Metrics;

/// Where accounts keep their tokens: shared by all replicas where they share a store.
pub(super) struct TokenPlaces {
    store: Option<Arc<RedisStore>>,
    key: Option<SealKey>,
}

impl TokenPlaces {
    /// One process alone: tokens are kept in its memory.
    pub(super) fn own() -> Self {
        Self { store: None, key: None }
    }

    /// `key`: what tokens are sealed with; `None`: they lie in the store as they are.
    pub(super) fn shared(store: Arc<RedisStore>, key: Option<SealKey>) -> Self {
        Self { store: Some(store), key }
    }

    pub(super) fn of(&self, account: &AccountName, randomness: &Arc<Randomness>, metrics: &Metrics) -> Tokens {
        let shelf: Arc<dyn TokenShelf> = match &self.store {
            Some(store) => shelf_in(store, account.clone()),
            None => Arc::new(MemoryShelf::default()),
        };
        let randomness = Arc::clone(randomness);
        let (logins, account) = (metrics.token_logins.clone(), account.clone());
        let told = Arc::new(move |brought_one| {
            logins.with_label_values(&[account.as_str(), if brought_one { "ok" } else { "failed" }]).inc();
        });
        Tokens { shelf, key: self.key.clone(), random: Arc::new(move || randomness.bits()), told }
    }
}

/// The shelf of `account` that all replicas on this store share.
pub fn shelf_in(store: &RedisStore, account: AccountName) -> Arc<dyn TokenShelf> {
    Arc::new(RedisShelf { tokens: store.tokens(), account })
}

struct RedisShelf {
    tokens: RedisTokens,
    account: AccountName,
}

#[async_trait]
impl TokenShelf for RedisShelf {
    async fn get(&self) -> Result<Option<Shelved>, ShelfError> {
        let kept = self.tokens.get(self.account.as_str()).await.map_err(silent)?;
        Ok(kept.map(|StoredToken { version, left, body }| Shelved { version: Fence(version), left, sealed: body }))
    }

    async fn begin_login(&self, lease: Duration) -> Result<Option<Fence>, ShelfError> {
        Ok(self.tokens.begin_login(self.account.as_str(), lease).await.map_err(silent)?.map(Fence))
    }

    async fn finish_login(&self, fence: Fence, sealed: Bytes, keep: Duration) -> Result<bool, ShelfError> {
        self.tokens.finish_login(self.account.as_str(), fence.0, &sealed, keep).await.map_err(silent)
    }

    async fn abandon_login(&self, fence: Fence) -> Result<(), ShelfError> {
        self.tokens.abandon_login(self.account.as_str(), fence.0).await.map_err(silent)
    }

    async fn discard(&self, version: Fence) -> Result<(), ShelfError> {
        self.tokens.discard(self.account.as_str(), version.0).await.map_err(silent)
    }
}

fn silent(cause: StoreError) -> ShelfError {
    ShelfError(Cause(cause.to_string()))
}
