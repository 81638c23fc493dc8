//! Turns at a record within this process, where many would otherwise race for it. It only saves work: what is right is
//! decided by the store.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::domain::id::Id;

/// Records that share a turn by chance wait for each other.
const STRIPES: usize = 64;

pub(super) struct Turns {
    hasher: RandomState,
    stripes: [Arc<Mutex<()>>; STRIPES],
}

impl Default for Turns {
    fn default() -> Self {
        Self { hasher: RandomState::new(), stripes: std::array::from_fn(|_| Arc::default()) }
    }
}

impl Turns {
    /// A turn at the record, until it is dropped.
    pub async fn wait_for(&self, id: &Id) -> OwnedMutexGuard<()> {
        let mut hash = self.hasher.build_hasher();
        hash.write(id.as_str().as_bytes());
        let stripe = usize::try_from(hash.finish() % STRIPES as u64).unwrap_or(0);
        Arc::clone(&self.stripes[stripe]).lock_owned().await
    }
}
