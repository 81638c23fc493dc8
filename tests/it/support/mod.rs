//! What the tests stand on.

mod store_time;

pub use store_time::StoreTime;
