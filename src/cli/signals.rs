//! When the process is asked to end: SIGTERM from an orchestrator, SIGINT from a keyboard.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

pub struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on the two no longer end the process by themselves.
    pub fn listen() -> Result<Self, Failure> {
        let cant =
            |error: io::Error| Failure::new(format!("this process can't listen for signals: {error}"), "look at the limits it runs under");
        Ok(Self { term: signal(SignalKind::terminate()).map_err(cant)?, interrupt: signal(SignalKind::interrupt()).map_err(cant)? })
    }

    /// The next one's name. Nothing is lost when this is dropped while waiting.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
