//! All integration tests, in one binary: linking is what costs.

mod qr;
mod restart;
mod simulation;
mod support;
