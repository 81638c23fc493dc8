//! The shelf of a single process: its promises, by the runtime's clock.

use std::sync::Arc;

use futures_util::FutureExt;
use upistream::providers::token::{MemoryShelf, TokenShelf};

use super::promises::Place;

shelf_promises!(two_handles);

async fn two_handles() -> Place {
    tokio::time::pause();
    let shelf: Arc<dyn TokenShelf> = Arc::new(MemoryShelf::default());
    Place { a: Arc::clone(&shelf), b: shelf, pass: Box::new(|by| tokio::time::advance(by).boxed()), _keep: Box::new(()) }
}
