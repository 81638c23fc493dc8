//! A proxy before a redis that speaks its protocol: it writes down what is asked, can send each script twice, lose an
//! answer, or let nothing more through.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

/// A command as it was sent.
pub type Words = Vec<Vec<u8>>;
type Chooses = Box<dyn Fn(&Words) -> bool + Send>;

#[derive(Default)]
struct State {
    asked: Mutex<Vec<Words>>,
    doubles: AtomicBool,
    /// Scripts that, sent twice, gave two replies.
    differing: Mutex<Vec<String>>,
    holds: AtomicBool,
    holds_from_commit: AtomicBool,
    /// Commits that came and were held.
    held: AtomicUsize,
    lose: Mutex<Option<Chooses>>,
}

/// What the next reply of the server is to.
enum Expected {
    Once,
    Twice(Words),
    Lost,
    Stream,
}

pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Before the redis that listens on this socket.
    pub async fn before(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, state) = (socket.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Ok(server) = UnixStream::connect(socket).await {
                        carry(client, server, state).await;
                    }
                });
            }
        });
        Self { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on each script is sent twice in a row, and the second reply is the one that counts.
    pub fn send_scripts_twice(&self) {
        self.state.doubles.store(true, Ordering::SeqCst);
    }

    pub fn differing(&self) -> Vec<String> {
        self.state.differing.lock().expect("nobody panics while holding it").clone()
    }

    /// The next commit does not get through, nor does anything that is asked after it.
    pub fn hold_from_commit(&self) {
        self.state.holds_from_commit.store(true, Ordering::SeqCst);
    }

    /// What ends its listening: from then on nobody can connect.
    pub fn listening(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    /// How many commits came since nothing gets through.
    pub fn held(&self) -> usize {
        self.state.held.load(Ordering::SeqCst)
    }

    /// The answer to the next command that `chooses` picks is lost, and its connection with it.
    pub fn lose_answer(&self, chooses: impl Fn(&Words) -> bool + Send + 'static) {
        *self.state.lose.lock().expect("nobody panics while holding it") = Some(Box::new(chooses));
    }

    pub fn has_lost(&self) -> bool {
        self.state.lose.lock().expect("nobody panics while holding it").is_none()
    }

    /// What was asked since the last time.
    pub fn take_asked(&self) -> Vec<Words> {
        std::mem::take(&mut *self.state.asked.lock().expect("nobody panics while holding it"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether a command is a script's.
pub fn is_script(words: &Words) -> bool {
    matches!(&words[0][..], b"EVALSHA" | b"EVAL")
}

/// Whether a command is a commit: a script whose first key is its own name, and that has ten keys or more.
pub fn is_commit(words: &Words) -> bool {
    let keys = || String::from_utf8_lossy(&words[2]).parse::<usize>().unwrap_or(0);
    is_script(words) && words.len() > 3 && first_key(words).contains("}:w:") && keys() >= 10
}

/// The first key of a command; of a script, the first that it is given.
pub fn first_key(words: &Words) -> String {
    let at = if is_script(words) { 3 } else { 1 };
    words.get(at).map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default()
}

async fn carry(client: tokio::net::TcpStream, server: UnixStream, state: Arc<State>) {
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let (expect, mut expected) = mpsc::unbounded_channel();
    let asking = async {
        let mut from_client = BufReader::new(from_client);
        while let Some((raw, words)) = read_command(&mut from_client).await {
            if is_commit(&words) && state.holds_from_commit.load(Ordering::SeqCst) {
                state.holds.store(true, Ordering::SeqCst);
            }
            if state.holds.load(Ordering::SeqCst) {
                state.held.fetch_add(usize::from(is_commit(&words)), Ordering::SeqCst);
                continue;
            }
            state.asked.lock().expect("nobody panics while holding it").push(words.clone());
            let is_lost = {
                let mut lose = state.lose.lock().expect("nobody panics while holding it");
                let chosen = lose.as_ref().is_some_and(|chooses| chooses(&words));
                if chosen {
                    *lose = None;
                }
                chosen
            };
            let twice = is_script(&words) && state.doubles.load(Ordering::SeqCst);
            let expectation = match (is_lost, twice, words[0].eq_ignore_ascii_case(b"SUBSCRIBE")) {
                (true, ..) => Expected::Lost,
                (_, true, _) => Expected::Twice(words),
                (.., true) => Expected::Stream,
                _ => Expected::Once,
            };
            let bytes = if twice { [&raw[..], &raw[..]].concat() } else { raw };
            if expect.send(expectation).is_err() || to_server.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let answering = async {
        let mut from_server = BufReader::new(from_server);
        while let Some(expectation) = expected.recv().await {
            let Some(mut reply) = read_value(&mut from_server).await else { return };
            match expectation {
                Expected::Once => {}
                Expected::Lost => return,
                Expected::Twice(words) => {
                    let Some(second) = read_value(&mut from_server).await else { return };
                    // A script that the server got to know in between (by another connection) was run once.
                    if reply != second && !reply.starts_with(b"-NOSCRIPT") {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        let said = format!("{}: {} then {}", first_key(&words), text(&reply), text(&second));
                        state.differing.lock().expect("nobody panics while holding it").push(said);
                    }
                    reply = second;
                }
                Expected::Stream => {
                    let _ = to_client.write_all(&reply).await;
                    let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                    return;
                }
            }
            if to_client.write_all(&reply).await.is_err() {
                return;
            }
        }
    };
    // Where one side ends, the other does too.
    tokio::select! { () = asking => {} () = answering => {} }
}

async fn read_command(from: &mut (impl AsyncBufReadExt + Unpin)) -> Option<(Vec<u8>, Words)> {
    let mut raw = read_line(from).await?;
    let count = number(&raw)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let line = read_line(from).await?;
        let mut word = vec![0; usize::try_from(number(&line)?).ok()? + 2];
        from.read_exact(&mut word).await.ok()?;
        raw.extend(&line);
        raw.extend(&word);
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Some((raw, words))
}

/// One reply, as it was sent.
async fn read_value<R: AsyncRead + Unpin + Send>(from: &mut BufReader<R>) -> Option<Vec<u8>> {
    let mut raw = read_line(from).await?;
    match raw[0] {
        b'$' | b'=' | b'!' if number(&raw)? >= 0 => {
            let mut body = vec![0; usize::try_from(number(&raw)?).ok()? + 2];
            from.read_exact(&mut body).await.ok()?;
            raw.extend(body);
        }
        kind @ (b'*' | b'~' | b'>' | b'%') => {
            let count = number(&raw)?.max(0) * if kind == b'%' { 2 } else { 1 };
            for _ in 0..count {
                raw.extend(Box::pin(read_value(from)).await?);
            }
        }
        _ => {}
    }
    Some(raw)
}

async fn read_line(from: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let count = from.read_until(b'\n', &mut line).await.ok()?;
    (count > 0).then_some(line)
}

fn number(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line.get(1..)?).ok()?.trim().parse().ok()
}
