//! All integration tests, in one binary: linking is what costs.

mod bad_input;
mod deadline;
mod doors;
mod doubt;
mod durability;
mod events;
mod golden;
mod health;
mod idempotency;
mod lease;
mod list;
mod overtaken;
mod payment;
mod qr;
mod quarantine;
mod readme;
mod redis;
mod reflection;
mod restart;
mod simulation;
mod store;
mod support;
mod tidy;
mod token;
mod unseen;
mod webhook;
