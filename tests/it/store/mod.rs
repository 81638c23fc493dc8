//! The store: its promises, and what only one backend has.

#[macro_use]
mod promises;
mod sqlite;
