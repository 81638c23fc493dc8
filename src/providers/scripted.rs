//! A provider that says what it is told to and remembers what it heard: how adapters are tried.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::CallError;
use super::http::HttpClient;
use super::line::tests::unhindered;

/// What the server does with a request.
pub enum Reply {
    Answer(u16, String),
    /// Hangs up without a word.
    Nothing,
    Silence,
}

/// A request as it was heard: `POST /v1/x?y`, its head, its body.
#[derive(Clone, Debug)]
pub struct Heard {
    pub line: String,
    pub head: String,
    pub body: String,
}

pub struct Server {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    /// A server that replies with `replies` in turn, one connection each.
    pub async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all_heard = heard.clone();
        tokio::spawn(async move {
            let mut replies = VecDeque::from(replies);
            let mut silent = Vec::new();
            while let Some(reply) = replies.pop_front() {
                let (mut stream, _) = listener.accept().await.expect("somebody calls");
                let request = read_request(&mut stream).await;
                all_heard.lock().expect("no test panics with it").push(request);
                match reply {
                    Reply::Answer(status, body) => {
                        let length = body.len();
                        let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                        stream.write_all(answer.as_bytes()).await.expect("the client listens");
                    }
                    Reply::Nothing => (),
                    Reply::Silence => silent.push(stream),
                }
            }
            // Whoever calls once more than was foreseen waits, and his test fails.
            std::future::pending::<()>().await;
        });
        Self { address, heard }
    }

    pub async fn answering(status: u16, body: impl ToString) -> Self {
        Self::start(vec![Reply::Answer(status, body.to_string())]).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn lines(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.line).collect()
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no test panics with it").clone()
    }

    pub fn the_only_request(&self) -> Heard {
        let [heard] = self.heard().try_into().expect("one request");
        heard
    }
}

impl Heard {
    /// The body, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body is JSON")
    }

    /// What a header says. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let says = |line: &&str| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
        self.head.lines().find(says).map(|line| &line[name.len() + 2..])
    }
}

/// The address of a port at which nobody listens.
pub async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

/// What a call came to, in one word.
pub fn named<T>(outcome: &Result<T, CallError>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(CallError::Refused { .. }) => "refused",
        Err(CallError::NotDelivered(_)) => "not_delivered",
        Err(CallError::InDoubt(_)) => "in_doubt",
    }
}

/// A client for such a provider.
pub fn client() -> HttpClient {
    // Another test may have installed it already: then it is there, which is all we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpClient::for_loopback(unhindered()).expect("a client without roots needs nothing from the machine")
}

async fn read_request(stream: &mut TcpStream) -> Heard {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|length| length.parse().ok());
            if body.len() >= head.lines().find_map(header).unwrap_or(0_usize) {
                let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
                return Heard { line, head: head.to_owned(), body: body.to_owned() };
            }
        }
        let length = stream.read(&mut buffer).await.expect("the client writes");
        assert!(length > 0, "the client hung up in the middle of a request");
        read.extend_from_slice(&buffer[..length]);
    }
}
