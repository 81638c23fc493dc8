//! What stories need: the service, its provider, waiting.

pub mod app;
