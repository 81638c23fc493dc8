//! Access tokens of providers, shared by all replicas: one for each account, and the turn to log in for a new one. They are
//! no records: they lie apart from all partitions, an account's keys in one slot. What a token's bytes mean is not known here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::RedisStore;
use super::keys::Keys;
use super::link::Link;
use super::script::{Call, REMEMBERED_MS, TOKEN_ABANDON, TOKEN_BEGIN, TOKEN_DISCARD, TOKEN_FINISH, TOKEN_GET, clock_arg, ms};
use crate::store::{StoreClock, StoreError};

/// The access tokens in a store.
#[derive(Clone)]
pub struct RedisTokens {
    link: Arc<Link>,
    keys: Keys,
    clock: Option<StoreClock>,
    names: Arc<dyn Fn() -> u128 + Send + Sync>,
}

/// A token as it is kept. Without a key its body is the token, so nothing prints it.
pub struct StoredToken {
    /// The fence of the login that brought it.
    pub version: u64,
    /// For how long it is kept yet.
    pub left: Duration,
    pub body: Bytes,
}

impl RedisStore {
    /// The access tokens in this store.
    pub fn tokens(&self) -> RedisTokens {
        let Self { link, keys, clock, names, .. } = self;
        RedisTokens { link: Arc::clone(link), keys: keys.clone(), clock: clock.clone(), names: Arc::clone(names) }
    }
}

impl RedisTokens {
    /// The token of `account`, until its time is over.
    pub async fn get(&self, account: &str) -> Result<Option<StoredToken>, StoreError> {
        let call = Call::of(&TOKEN_GET).key(self.token(account)).arg(self.clock_arg());
        let kept: Option<(u64, u64, Vec<u8>)> = self.link.run(&call).await?;
        Ok(kept.map(|(version, left, body)| StoredToken { version, left: Duration::from_millis(left), body: body.into() }))
    }

    /// Takes the turn to log in to `account`, for `lease` at most; its fence. `None`: somebody has it.
    pub async fn begin_login(&self, account: &str, lease: Duration) -> Result<Option<u64>, StoreError> {
        let name = format!("w:{:032x}", (self.names)());
        let call = Call::of(&TOKEN_BEGIN)
            .key(self.key(account, &name))
            .key(self.turn(account))
            .key(self.key(account, "fence"))
            .arg(self.clock_arg())
            .arg(REMEMBERED_MS)
            .arg(ms_to_keep(lease));
        self.link.run(&call).await
    }

    /// Keeps the token that a login brought in place of the one before, and gives the turn back. False: the fence has the
    /// turn no longer, and nothing happened.
    pub async fn finish_login(&self, account: &str, fence: u64, body: &[u8], keep: Duration) -> Result<bool, StoreError> {
        let call = Call::of(&TOKEN_FINISH)
            .key(self.token(account))
            .key(self.turn(account))
            .arg(self.clock_arg())
            .arg(fence)
            .arg(ms_to_keep(keep))
            .arg(body);
        self.link.run(&call).await
    }

    /// Gives the turn back without a token, if the fence still has it.
    pub async fn abandon_login(&self, account: &str, fence: u64) -> Result<(), StoreError> {
        let call = Call::of(&TOKEN_ABANDON).key(self.turn(account)).arg(self.clock_arg()).arg(fence);
        self.link.run::<bool>(&call).await.map(drop)
    }

    /// Takes away the token of this version, and no other.
    pub async fn discard(&self, account: &str, version: u64) -> Result<(), StoreError> {
        let call = Call::of(&TOKEN_DISCARD).key(self.token(account)).arg(version);
        self.link.run::<bool>(&call).await.map(drop)
    }

    fn token(&self, account: &str) -> String {
        self.key(account, "token")
    }

    fn turn(&self, account: &str) -> String {
        self.key(account, "turn")
    }

    fn key(&self, account: &str, what: &str) -> String {
        self.keys.apart(&format!("t-{account}"), what)
    }

    fn clock_arg(&self) -> String {
        clock_arg(self.clock.as_ref())
    }
}

/// Redis keeps nothing for less than a millisecond.
fn ms_to_keep(span: Duration) -> u64 {
    ms(span).max(1)
}
