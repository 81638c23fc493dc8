//! All integration tests, in one binary: linking is what costs.

mod bad_input;
mod deadline;
mod doubt;
mod events;
mod golden;
mod health;
mod idempotency;
mod list;
mod payment;
mod qr;
mod quarantine;
mod readme;
mod reflection;
mod store;
mod support;
mod tidy;
mod webhook;
