//! All integration tests, in one binary: linking is what costs.

mod deadline;
mod doors;
mod doubt;
mod events;
mod idempotency;
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
