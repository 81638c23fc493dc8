//! What stories need: the service, its provider, waiting.

pub mod agreement;
pub mod app;
pub mod process;
pub mod replica;
pub mod rounds;
