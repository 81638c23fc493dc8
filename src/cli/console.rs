//! Where output goes: results to standard output, everything about the work (progress, notes, errors) to standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::failure::Failure;
use crate::engine::qr_image;

/// From when on a person wants to see that something is going on.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the seconds of a progress line are renewed.
const TICK: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct Console {
    out: Sink,
    err: Sink,
    /// Colours on standard output.
    colour: bool,
    /// A person looks at standard error.
    live: bool,
}

type Sink = Arc<Mutex<Box<dyn Write + Send>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Strong,
    Faint,
    Good,
    Bad,
    Warning,
}

impl Console {
    pub fn of_process() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out: Arc::new(Mutex::new(Box::new(io::stdout()))),
            err: Arc::new(Mutex::new(Box::new(io::stderr()))),
            colour: io::stdout().is_terminal() && !plain,
            live: io::stderr().is_terminal(),
        }
    }

    /// Results. A reader who left (`| head`) ends the command without a word.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::NobodyReads,
            _ => Failure::new(format!("standard output can't be written: {error}"), "look at where it goes"),
        })
    }

    /// Anything else that a person should know. It getting lost is no failure.
    pub fn note(&self, text: &str) {
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(err, "{text}");
    }

    /// For text that goes to standard error, which may be a file while standard output is a terminal.
    pub fn of_notes(&self) -> Self {
        Self { colour: self.colour && self.live, ..self.clone() }
    }

    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Warning => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The QR code of `text`, where it can be drawn.
    pub fn qr_code(&self, text: &str) -> Option<String> {
        let drawn = qr_image::terminal(text).ok()?;
        let drawn = if self.colour { drawn } else { without_colours(&drawn) };
        Some(drawn.trim_end_matches('\n').to_owned())
    }

    /// Waits for `work`; from one second on it says so to a person who looks.
    pub async fn during<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        if !self.live {
            return work.await;
        }
        let began = Instant::now();
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + PATIENCE, TICK);
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => {
                    if began.elapsed() > PATIENCE {
                        self.progress("");
                    }
                    return result;
                }
                _ = ticks.tick() => self.progress(&format!("{what} … {} s", began.elapsed().as_secs())),
            }
        }
    }

    /// Replaces the line that the cursor is in.
    fn progress(&self, text: &str) {
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}

fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = escape.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
pub mod captured {
    use super::*;

    /// What was written so far.
    #[derive(Clone, Default)]
    pub struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A console without colours, and what goes to its standard output and standard error.
    pub fn console() -> (Console, Written, Written) {
        let (out, err) = (Written::default(), Written::default());
        let sink = |written: &Written| -> Sink { Arc::new(Mutex::new(Box::new(written.clone()))) };
        (Console { out: sink(&out), err: sink(&err), colour: false, live: false }, out, err)
    }

    /// A console that has colours.
    pub fn coloured() -> Console {
        Console { colour: true, ..console().0 }
    }

    #[test]
    fn colours_are_taken_out_whole() {
        assert_eq!(without_colours("\x1b[38;5;16;48;5;231m█▀\x1b[0m\nx"), "█▀\nx");
        assert_eq!(without_colours("plain"), "plain");
    }

    #[test]
    fn without_colours_nothing_is_painted() {
        let (console, ..) = console();
        assert_eq!(console.paint(Tone::Bad, "FAILED"), "FAILED");
        assert!(!console.qr_code("upi://pay?pa=a@b").unwrap().contains('\x1b'));
    }
}
