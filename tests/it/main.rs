//! All integration tests, in one binary: linking is what costs.

mod deadline;
mod doubt;
mod durability;
mod events;
mod idempotency;
mod lease;
mod list;
mod overtaken;
mod payment;
mod qr;
mod quarantine;
mod readme;
mod restart;
mod simulation;
mod store;
mod support;
mod webhook;
