//! What the process is asked from outside: to end (SIGTERM from an orchestrator, SIGINT from a keyboard), or to read its
//! configuration again (SIGHUP).

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
        Ok(Self { term: listen_for(SignalKind::terminate())?, interrupt: listen_for(SignalKind::interrupt())? })
    }

    /// The next one's name. Nothing is lost when this is dropped while waiting.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

pub struct Hangup(Signal);

impl Hangup {
    /// From here on it no longer ends the process.
    pub fn listen() -> Result<Self, Failure> {
        Ok(Self(listen_for(SignalKind::hangup())?))
    }

    /// Waits for the next one. Several that come together are one.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    let cant =
        |error: io::Error| Failure::new(format!("this process can't listen for signals: {error}"), "look at the limits it runs under");
    signal(kind).map_err(cant)
}
