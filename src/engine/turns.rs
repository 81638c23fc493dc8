//! Turns at a record within this process, where many would otherwise race for it. It only saves work: what is right is
//! decided by the store.

use std::hash::{BuildHasher, Hasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::domain::id::Id;

/// Records that share a turn by chance wait for each other.
const STRIPES: usize = 64;

pub(super) struct Turns {
    hasher: RandomState,
    stripes: [Mutex<()>; STRIPES],
}

impl Default for Turns {
    fn default() -> Self {
        Self { hasher: RandomState::new(), stripes: std::array::from_fn(|_| Mutex::new(())) }
    }
}

impl Turns {
    /// A turn at the record, until it is dropped.
    pub async fn wait_for(&self, id: &Id) -> MutexGuard<'_, ()> {
        let mut hash = self.hasher.build_hasher();
        hash.write(id.as_str().as_bytes());
        let stripe = usize::try_from(hash.finish() % STRIPES as u64).unwrap_or(0);
        self.stripes[stripe].lock().await
    }
}
