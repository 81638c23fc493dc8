//! upistream: one gRPC API for UPI money movement over several providers, and one durable stream of
//! payment-status events. The modules in reading order; each may use only those above it that
//! `tests/tidy.rs` allows.

pub mod domain;
pub mod engine;

pub mod events;
pub mod store;

pub mod providers;

pub mod clock;
pub mod config;
pub mod sandbox;
