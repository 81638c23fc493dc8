//! What the tests stand on: the service, its provider, waiting; and the time of a store.

pub mod alone;
pub mod app;
pub mod log;
mod store_time;

pub use store_time::StoreTime;
