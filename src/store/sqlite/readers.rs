//! Connections that only read, beside the writer. A few are enough: a read takes microseconds.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::place;
use crate::store::StoreError;

/// Reads at the same time. More would only take each other's processor.
const READERS: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, permits: Arc::new(Semaphore::new(READERS)), idle: Mutex::new(Vec::new()) }
    }

    /// Waits for a turn; whoever waits longest is first.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }

    /// Blocks. Whatever `look` reads is of one moment.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => place::connect_to_read(&self.path)?,
        };
        let moment = connection.unchecked_transaction()?;
        let answer = look(&moment);
        // Nothing to keep. A connection that can't even end its reading is not used again.
        if moment.rollback().is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        answer
    }
}
