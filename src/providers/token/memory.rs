//! A shelf in this process's memory: for the store that only one process has open.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::shelf::{Fence, ShelfError, Shelved, TokenShelf};

/// One account's token. It goes with the process, and a start costs a login.
#[derive(Default)]
pub struct MemoryShelf {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last_fence: u64,
    /// Who has the turn, until when.
    turn: Option<(Fence, Instant)>,
    /// The token, until when it lies here.
    token: Option<(Fence, Instant, Bytes)>,
}

impl MemoryShelf {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn has_turn(&self, fence: Fence) -> bool {
        self.turn.is_some_and(|(holder, till)| holder == fence && till > Instant::now())
    }
}

#[async_trait]
impl TokenShelf for MemoryShelf {
    async fn get(&self) -> Result<Option<Shelved>, ShelfError> {
        let inner = self.inner();
        let Some((version, till, sealed)) = &inner.token else { return Ok(None) };
        let left = till.saturating_duration_since(Instant::now());
        Ok((!left.is_zero()).then(|| Shelved { version: *version, left, sealed: sealed.clone() }))
    }

    async fn begin_login(&self, lease: Duration) -> Result<Option<Fence>, ShelfError> {
        let mut inner = self.inner();
        if inner.turn.is_some_and(|(_, till)| till > Instant::now()) {
            return Ok(None);
        }
        inner.last_fence += 1;
        let fence = Fence(inner.last_fence);
        inner.turn = Some((fence, Instant::now() + lease));
        Ok(Some(fence))
    }

    async fn finish_login(&self, fence: Fence, sealed: Bytes, keep: Duration) -> Result<bool, ShelfError> {
        let mut inner = self.inner();
        if inner.token.as_ref().is_some_and(|(version, ..)| *version == fence) {
            return Ok(true);
        }
        if !inner.has_turn(fence) {
            return Ok(false);
        }
        inner.token = Some((fence, Instant::now() + keep, sealed));
        inner.turn = None;
        Ok(true)
    }

    async fn abandon_login(&self, fence: Fence) -> Result<(), ShelfError> {
        let mut inner = self.inner();
        inner.turn.take_if(|(holder, _)| *holder == fence);
        Ok(())
    }

    async fn discard(&self, version: Fence) -> Result<(), ShelfError> {
        let mut inner = self.inner();
        inner.token.take_if(|(theirs, ..)| *theirs == version);
        Ok(())
    }
}
