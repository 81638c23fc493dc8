//! What the tests stand on: the service, its provider, waiting; and the time of a store.

pub mod agreement;
pub mod alone;
pub mod app;
pub mod authority;
pub mod collector;
pub mod log;
pub mod process;
pub mod redis;
pub mod redis_cluster;
pub mod redis_proxy;
pub mod replica;
pub mod rounds;
mod store_time;
pub mod trace;

pub use store_time::StoreTime;
