//! The store: its promises, and what only one backend has.

#[macro_use]
pub mod promises;
mod redis;
mod redis_cluster;
mod redis_tls;
mod redis_twice;
mod sqlite;
