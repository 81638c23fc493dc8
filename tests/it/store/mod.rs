//! The store: its promises, and what only one backend has.

#[macro_use]
mod promises;
mod redis;
mod redis_cluster;
mod redis_tls;
mod sqlite;
