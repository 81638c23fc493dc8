//! A redis of the bench's own: a process on a socket in a folder of its own, which can be watched.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::Failed;

/// How long it may take to come up, or to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// What ends a watch.
const MARK: &str = "the-watch-is-over";

/// A server. It ends when dropped.
pub struct OwnRedis {
    folder: TempDir,
    process: Child,
}

/// What a server was told: each command's name and arguments.
pub type Told = Vec<Vec<u8>>;

/// All that a server is told from now on.
pub struct Watch {
    lines: BufReader<UnixStream>,
}

impl OwnRedis {
    /// One that keeps what it acknowledges but waits for no disk: it is the same for floor and subject, and would hide the
    /// difference between them.
    pub fn start() -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "no"]);
        // It would be rewritten during some runs and not during others.
        command.args(["--auto-aof-rewrite-percentage", "0"]);
        command.arg("--unixsocket").arg(folder.path().join("redis.sock")).arg("--dir").arg(folder.path());
        let log = File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        let process = command.spawn().map_err(|cause| format!("redis-server can't be run: {cause}"))?;
        let redis = Self { folder, process };
        let end = Instant::now() + PATIENCE;
        while !redis.answers() {
            if Instant::now() > end {
                let log = std::fs::read_to_string(redis.folder.path().join("log")).unwrap_or_default();
                return Err(format!("redis-server does not come up; its log:\n{log}").into());
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(redis)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// One connection that all share, as the service has one.
    pub async fn connection(&self) -> Result<MultiplexedConnection, Failed> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        Ok(redis::Client::open(self.url())?.get_multiplexed_async_connection_with_config(&config).await?)
    }

    fn answers(&self) -> bool {
        let mut answer = [0; 7];
        UnixStream::connect(self.socket())
            .and_then(|mut stream| stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut answer)))
            .is_ok_and(|()| answer == *b"+PONG\r\n")
    }

    pub fn watch(&self) -> Result<Watch, Failed> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"MONITOR\r\n")?;
        let mut lines = BufReader::new(stream);
        let mut answer = String::new();
        lines.read_line(&mut answer)?;
        if answer == "+OK\r\n" { Ok(Watch { lines }) } else { Err("redis does not let itself be watched".into()) }
    }

    /// Ends the watch. What was told since its begin, without what scripts did.
    pub fn told(&self, watch: Watch) -> Result<Vec<Told>, Failed> {
        UnixStream::connect(self.socket())?.write_all(format!("ECHO {MARK}\r\n").as_bytes())?;
        let mut lines = watch.lines;
        let mut told = Vec::new();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Err("redis ended a watch".into());
            }
            // `<time> [<database> <client>] "<word>" "<word>"…`, and the client of a script's commands is `lua`.
            let (client, words) = line.trim_end().split_once("] ").ok_or("redis shows what it is told in an unknown way")?;
            let words = words_of(words).ok_or("redis shows what it is told in an unknown way")?;
            if words.iter().any(|word| word == MARK.as_bytes()) {
                return Ok(told);
            }
            if !client.ends_with(" lua") {
                told.push(words);
            }
        }
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The words of a line, each in quotes and with `\`-escapes.
fn words_of(line: &str) -> Option<Told> {
    let mut words = Vec::new();
    let mut rest = line.bytes();
    while let Some(first) = rest.next() {
        match first {
            b' ' => continue,
            b'"' => {}
            _ => return None,
        }
        let mut word = Vec::new();
        loop {
            match rest.next()? {
                b'"' => break,
                b'\\' => word.push(match rest.next()? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let digits = [rest.next()?, rest.next()?];
                        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                    }
                    same => same,
                }),
                byte => word.push(byte),
            }
        }
        words.push(word);
    }
    Some(words)
}
