//! All integration tests, in one binary: linking is what costs.

mod qr;
mod readme;
mod store;
mod support;
