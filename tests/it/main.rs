//! All tests that use the crate from outside, in one binary: linking is what costs.

mod store;
mod support;
