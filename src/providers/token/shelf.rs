//! The place where replicas share an account's access token: the contract. What lies there is bytes; only
//! [`super::seal`] reads them.
//!
//! Every promise in these comments is a test in `tests/it/token/promises.rs`, run against every shelf.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::providers::Cause;

/// Proof of having the turn to log in, and the version of the token that is saved under it. Of two, the later is the
/// higher; none is given twice, also by a place that was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// A token as it lies there.
#[derive(Clone, PartialEq, Eq)]
pub struct Shelved {
    /// Of the login that brought it.
    pub version: Fence,
    /// For how long it lies there yet.
    pub left: Duration,
    pub sealed: Bytes,
}

/// Without a key, the bytes are the token itself.
impl fmt::Debug for Shelved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, left, sealed: _ } = self;
        f.debug_struct("Shelved").field("version", version).field("left", left).finish_non_exhaustive()
    }
}

/// The place did not answer, or not so that it can be read. Something may have been done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the shared place gave no answer: {0}")]
pub struct ShelfError(pub Cause);

/// Where one account's token lies for all replicas. Times are by the place's own clock.
#[async_trait]
pub trait TokenShelf: Send + Sync {
    /// The token, until its time is over.
    async fn get(&self) -> Result<Option<Shelved>, ShelfError>;

    /// Takes the turn to log in, for `lease` at most. `None`: somebody has it.
    async fn begin_login(&self, lease: Duration) -> Result<Option<Fence>, ShelfError>;

    /// Lays down the token that a login brought, in place of the one that lies there, and gives the turn back. False: the
    /// fence has the turn no longer, and nothing happened. The same call again finds its own work and says true.
    async fn finish_login(&self, fence: Fence, sealed: Bytes, keep: Duration) -> Result<bool, ShelfError>;

    /// Gives the turn back without a token. Does nothing if the fence has it no longer.
    async fn abandon_login(&self, fence: Fence) -> Result<(), ShelfError>;

    /// Takes away the token of this version. Does nothing to any other.
    async fn discard(&self, version: Fence) -> Result<(), ShelfError>;
}
