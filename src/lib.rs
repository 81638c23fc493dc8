//! upistream: one gRPC API for UPI money movement over several providers, and one durable stream of
//! payment-status events. The modules in reading order; what each may use of the others is the table in
//! `tests/it/tidy.rs`.

pub mod domain;

pub mod store;

pub mod events;

pub mod providers;

pub mod engine;

pub mod grpc;
pub mod http;

pub mod app;

pub mod cli;

pub mod clock;
pub mod config;
pub mod held;
pub mod telemetry;

pub mod sandbox;
