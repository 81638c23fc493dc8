//! One HTTP client for all providers: limits, timeouts, spans, and the one distinction that matters to money: a request
//! that certainly never left, or one that may have arrived. It knows no provider and reads no answer.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;
use tokio::time::Instant;
use tracing::{Instrument, Span, field, info_span};

pub use reqwest::Url;

use super::Cause;
use super::breaker::Purpose;
use super::line::{CallEnd, Line};
use crate::domain::account::{AccountName, ProviderId};

/// The largest answer that is read. A page of a hundred entities takes a quarter of it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection may take, with TLS. A call that may take longer ends as not sent where the host can't be
/// reached; one whose own time is up first ends in doubt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an unused connection is kept. Shorter than the minute that servers usually wait, since a request that goes
/// out while the server hangs up is in doubt.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// The most unused connections to one host: more than a replica has in flight at once on an ordinary day.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// What is asked by other methods than GET and moves nothing: searches with a body, and logging in.
const ASKED_WITH_A_BODY: [&str; 3] = ["LookUpQr", "FetchSettlements", "Login"];

/// What carries requests to a provider and brings its answers: a client on the network, or whatever else stands for one.
pub trait Transport: Send + Sync {
    fn execute(&self, request: reqwest::Request) -> BoxFuture<'_, Result<reqwest::Response, reqwest::Error>>;
}

impl Transport for reqwest::Client {
    fn execute(&self, request: reqwest::Request) -> BoxFuture<'_, Result<reqwest::Response, reqwest::Error>> {
        Box::pin(self.execute(request))
    }
}

/// The client that all calls of an account go through. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    transport: Arc<dyn Transport>,
    line: Line,
    /// Adds the trace context of a call to its headers; `None`: providers are told none.
    trace_headers: Option<fn(&mut HeaderMap)>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be made: {0}")]
pub struct NoClient(String);

/// On whose behalf a call is made, for its span.
#[derive(Clone, Debug)]
pub struct Party {
    pub account: AccountName,
    pub provider: ProviderId,
}

/// One call. The body's kind and the credentials are among the headers; credentials are marked as sensitive.
pub struct Call {
    /// What the call is for, in the provider's words or ours: a fixed name, since it goes to traces.
    pub operation: &'static str,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    /// Until the last byte of the answer; the wait for a place is a part of it.
    pub timeout: Duration,
}

/// What came back, whatever it says.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// How long the provider asks us to wait, where it says so in seconds.
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// No byte of the request was sent.
    #[error("{0}")]
    NotSent(Cause),
    /// The request, or a part of it, was sent; no answer came, or not all of it.
    #[error("{0}")]
    Lost(Cause),
}

impl HttpClient {
    /// A client for providers on the internet. It needs the machine's CA certificates.
    pub fn new(line: Line) -> Result<Self, NoClient> {
        Self::build(reqwest::Client::builder(), line)
    }

    /// A client for simulators on this machine, over plain HTTP. It trusts no certificate and needs none.
    pub fn for_loopback(line: Line) -> Result<Self, NoClient> {
        Self::build(reqwest::Client::builder().tls_certs_only([]), line)
    }

    /// A client whose requests `transport` carries.
    pub fn over(transport: Arc<dyn Transport>, line: Line) -> Self {
        Self { transport, line, trace_headers: None }
    }

    /// What all of its calls go through.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The same client, whose calls carry what `add` adds to their headers within the span of each.
    pub fn with_trace_headers(self, add: fn(&mut HeaderMap)) -> Self {
        Self { trace_headers: Some(add), ..self }
    }

    fn build(builder: reqwest::ClientBuilder, line: Line) -> Result<Self, NoClient> {
        // Nothing is ever sent twice behind our back: no redirects, and none of the client's own retries. One repetition
        // can't be turned off and is harmless: a request that found its pooled connection closed before its first byte
        // was written goes out on another one.
        let client = builder
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .user_agent(concat!("upistream/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| NoClient(described(error)))?;
        Ok(Self::over(Arc::new(client), line))
    }

    /// Makes one call, once.
    pub async fn send(&self, party: &Party, call: Call) -> Result<Answer, NoAnswer> {
        let Party { account, provider } = party;
        let span = info_span!(
            "provider.call",
            otel.kind = "client",
            account = account.as_str(),
            provider = provider.as_str(),
            operation = call.operation,
            status = field::Empty,
            duration_ms = field::Empty,
            otel.status_code = field::Empty,
        );
        let started = Instant::now();
        async {
            let outcome = self.exchange(call).await;
            let span = Span::current();
            match &outcome {
                Ok(answer) => span.record("status", answer.status.as_u16()),
                Err(NoAnswer::NotSent(_)) => span.record("status", "not_sent"),
                Err(NoAnswer::Lost(_)) => span.record("status", "lost"),
            };
            if outcome.as_ref().map_or(true, |answer| answer.status.is_server_error()) {
                span.record("otel.status_code", "ERROR");
            }
            span.record("duration_ms", u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
            outcome
        }
        .instrument(span)
        .await
    }

    /// Makes the call once it may be made: what is held back is certainly not sent.
    async fn exchange(&self, call: Call) -> Result<Answer, NoAnswer> {
        let (deadline, purpose) = (Instant::now() + call.timeout, call.purpose());
        let Call { operation, method, url, mut headers, body, timeout } = call;
        if let Some(add) = self.trace_headers {
            add(&mut headers);
        }
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        *request.body_mut() = body.map(reqwest::Body::from);
        let pass = self.line.pass(operation, purpose, timeout).await.map_err(|why| NoAnswer::NotSent(Cause(why.to_string())))?;
        *request.timeout_mut() = Some(deadline.saturating_duration_since(Instant::now()));
        let outcome = self.answered(request, timeout).await;
        pass.ended(match &outcome {
            Ok(answer) => CallEnd::Answered(answer.status),
            Err(NoAnswer::NotSent(_)) => CallEnd::NotConnected,
            Err(NoAnswer::Lost(_)) => CallEnd::NoAnswer,
        });
        outcome
    }

    async fn answered(&self, request: reqwest::Request, timeout: Duration) -> Result<Answer, NoAnswer> {
        let mut response = self.transport.execute(request).await.map_err(|error| unanswered(error, timeout))?;

        let status = response.status();
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cut_off(error, status, timeout))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer::Lost(Cause(format!(
                    "an answer with status {} is larger than {ANSWER_BYTES_MAX} bytes",
                    status.as_u16()
                ))));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, retry_after, body: body.into() })
    }
}

impl Call {
    /// A question without a body.
    pub fn get(operation: &'static str, url: Url, headers: HeaderMap, timeout: Duration) -> Self {
        Self { operation, method: Method::GET, url, headers, body: None, timeout }
    }

    /// What is not known to ask is taken for something that may move money.
    fn purpose(&self) -> Purpose {
        let asks = self.method == Method::GET || ASKED_WITH_A_BODY.contains(&self.operation);
        if asks { Purpose::Ask } else { Purpose::Act }
    }

    /// A request without a body.
    pub fn post(operation: &'static str, url: Url, headers: HeaderMap, timeout: Duration) -> Self {
        Self { operation, method: Method::POST, url, headers, body: None, timeout }
    }

    /// The same call with `body` as JSON.
    pub fn json<T: Serialize>(mut self, body: &T) -> Result<Self, NoAnswer> {
        let body = serde_json::to_vec(body).map_err(|_| NoAnswer::NotSent(Cause("the request can't be written as JSON".to_owned())))?;
        self.body = Some(body.into());
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Ok(self)
    }
}

/// What an error before the answer's head lets us conclude. Only a connection that was never made proves that nothing was
/// sent; a timeout doesn't, nor does a connection that broke, however early.
fn unanswered(error: reqwest::Error, timeout: Duration) -> NoAnswer {
    if error.is_connect() {
        NoAnswer::NotSent(Cause(described(error)))
    } else if error.is_timeout() {
        NoAnswer::Lost(Cause(format!("no answer within {} ms", timeout.as_millis())))
    } else {
        NoAnswer::Lost(Cause(described(error)))
    }
}

fn cut_off(error: reqwest::Error, status: StatusCode, timeout: Duration) -> NoAnswer {
    let why = if error.is_timeout() { format!("not complete within {} ms", timeout.as_millis()) } else { described(error) };
    NoAnswer::Lost(Cause(format!("an answer with status {} broke off: {why}", status.as_u16())))
}

/// An error and what is behind it, without the URL: its query may hold personal data.
fn described(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::providers::line::tests::{opened, unhindered};

    fn client() -> HttpClient {
        client_on(unhindered())
    }

    fn client_on(line: Line) -> HttpClient {
        // Another test may have installed it already: then it is there, which is all we want.
        let _ = rustls::crypto::ring::default_provider().install_default();
        HttpClient::for_loopback(line).expect("a client without roots needs nothing from the machine")
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    async fn call(client: &HttpClient, address: SocketAddr, timeout: Duration) -> Result<Answer, NoAnswer> {
        let url = format!("http://{address}/v1/things?vpa=secret").parse().expect("a plain URL");
        let party = Party { account: "shop".parse().expect("a plain name"), provider: ProviderId::Razorpay };
        let call = Call::post("CreateQr", url, HeaderMap::new(), timeout).json(&[1]).expect("numbers are JSON");
        client.send(&party, call).await
    }

    /// Reads a request whole: head, then the three bytes of its body.
    async fn read_request(stream: &mut TcpStream) -> String {
        let mut read = Vec::new();
        let mut buffer = [0; 1024];
        while !read.ends_with(b"\r\n\r\n[1]") {
            let length = stream.read(&mut buffer).await.expect("the client writes");
            assert!(length > 0, "the client hung up after {:?}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8(read).expect("a request is text")
    }

    /// What the client makes of `answer`, written raw after its request was read; then the connection closes.
    async fn answered(answer: Vec<u8>) -> Result<Answer, NoAnswer> {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody calls");
            read_request(&mut stream).await;
            // The client may hang up before it has read all: that is its right.
            let _ = stream.write_all(&answer).await;
        });
        let outcome = call(&client(), address, Duration::from_secs(10)).await;
        server.await.expect("the server does not panic");
        outcome
    }

    fn assert_lost(outcome: Result<Answer, NoAnswer>, expected: &str) {
        match outcome {
            Err(NoAnswer::Lost(cause)) => {
                assert!(cause.0.contains(expected), "{cause}");
                assert!(!cause.0.contains("secret") && !cause.0.contains("things"), "{cause} tells the URL");
            }
            other => panic!("{other:?} is not doubt"),
        }
    }

    #[tokio::test]
    async fn what_is_held_back_was_certainly_not_sent() {
        let (listener, address) = listener().await;
        let outcome = call(&client_on(opened().await), address, Duration::from_secs(10)).await;
        let Err(NoAnswer::NotSent(cause)) = outcome else { panic!("{outcome:?}") };
        assert!(cause.0.starts_with("held back"), "{cause}");
        assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err(), "nobody calls");
    }

    #[tokio::test]
    async fn a_refused_connection_was_certainly_not_sent() {
        let (listener, address) = listener().await;
        drop(listener);
        let outcome = call(&client(), address, Duration::from_secs(10)).await;
        let Err(NoAnswer::NotSent(cause)) = outcome else { panic!("{outcome:?}") };
        assert!(cause.0.contains("refused"), "{cause}");
        assert!(!cause.0.contains("secret"), "{cause}");
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_was_certainly_not_sent() {
        let url = "http://no-such-host.invalid/".parse().expect("a plain URL");
        let party = Party { account: "shop".parse().expect("a plain name"), provider: ProviderId::Razorpay };
        let outcome = client().send(&party, Call::get("FetchQr", url, HeaderMap::new(), Duration::from_secs(10))).await;
        assert!(matches!(outcome, Err(NoAnswer::NotSent(_))), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_tls_handshake_that_fails_was_certainly_not_sent() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody calls");
            let mut hello = [0; 1];
            stream.read_exact(&mut hello).await.expect("the client says hello");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("the client listens");
        });
        let url = format!("https://{address}/").parse().expect("a plain URL");
        let party = Party { account: "shop".parse().expect("a plain name"), provider: ProviderId::Razorpay };
        let outcome = client().send(&party, Call::get("FetchQr", url, HeaderMap::new(), Duration::from_secs(10))).await;
        assert!(matches!(outcome, Err(NoAnswer::NotSent(_))), "{outcome:?}");
        server.await.expect("the server does not panic");
    }

    #[tokio::test]
    async fn a_connection_that_closes_without_a_word_is_doubt() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move { drop(listener.accept().await.expect("somebody calls")) });
        let outcome = call(&client(), address, Duration::from_secs(10)).await;
        assert!(matches!(outcome, Err(NoAnswer::Lost(_))), "{outcome:?}");
        server.await.expect("the server does not panic");

        assert_lost(answered(Vec::new()).await, "");
    }

    #[tokio::test]
    async fn silence_is_doubt_after_the_calls_own_timeout() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody calls");
            read_request(&mut stream).await;
            stream.read_to_end(&mut Vec::new()).await.expect("the client hangs up")
        });
        let outcome = call(&client(), address, Duration::from_millis(200)).await;
        assert_lost(outcome, "no answer within 200 ms");
        server.await.expect("the server does not panic");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_or_dawdles_is_doubt() {
        assert_lost(answered(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}".to_vec()).await, "status 200 broke off");
        assert_lost(answered(b"HTTP/1.1 20".to_vec()).await, "");
        assert_lost(answered(b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()).await, "");

        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody calls");
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await.expect("the client listens");
            stream.read_to_end(&mut Vec::new()).await.expect("the client hangs up")
        });
        assert_lost(call(&client(), address, Duration::from_millis(300)).await, "status 200 broke off: not complete within 300 ms");
        server.await.expect("the server does not panic");
    }

    #[tokio::test]
    async fn an_oversized_answer_is_doubt_with_and_without_a_length() {
        let body = vec![b' '; ANSWER_BYTES_MAX + 1];
        let with_length = [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
        assert_lost(answered(with_length).await, "larger than");
        assert_lost(answered([b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat()).await, "larger than");

        let largest = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &body[1..]].concat();
        assert_eq!(answered(largest).await.expect("it is just small enough").body.len(), ANSWER_BYTES_MAX);
    }

    #[tokio::test]
    async fn an_answer_comes_with_its_status_its_body_and_the_wait_it_asks_for() {
        let answer = answered(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 4\r\n\r\nbusy".to_vec()).await;
        let Answer { status, retry_after, body } = answer.expect("it is complete");
        assert_eq!((status.as_u16(), retry_after, &body[..]), (429, Some(Duration::from_secs(2)), &b"busy"[..]));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let answer =
            answered(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        assert_eq!(answer.expect("it is complete").status.as_u16(), 307);
    }

    #[tokio::test]
    async fn a_request_on_a_kept_connection_that_then_breaks_is_doubt_and_not_sent_again() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody calls");
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.expect("the client listens");
            // The second request comes on the same connection, is read, and gets no answer.
            read_request(&mut stream).await;
            drop(stream);
            listener
        });
        let client = client();
        assert!(call(&client, address, Duration::from_secs(10)).await.is_ok());
        assert!(matches!(call(&client, address, Duration::from_secs(10)).await, Err(NoAnswer::Lost(_))));

        let listener = server.await.expect("the server does not panic");
        let again = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(again.is_err(), "the request was sent again");
    }

    #[tokio::test]
    async fn a_provider_is_told_of_a_trace_only_where_that_is_wanted() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let mut requests = Vec::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.expect("somebody calls");
                requests.push(read_request(&mut stream).await);
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}").await.expect("the client listens");
            }
            requests
        });
        assert!(call(&client(), address, Duration::from_secs(10)).await.is_ok());
        let telling = client().with_trace_headers(|headers| {
            headers.insert("traceparent", HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        });
        assert!(call(&telling, address, Duration::from_secs(10)).await.is_ok());
        let requests = server.await.expect("the server does not panic");
        let tells = |request: &String| request.contains("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n");
        assert_eq!(requests.iter().map(tells).collect::<Vec<_>>(), [false, true], "{requests:?}");
    }

    /// What was logged, of all crates and at all levels.
    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no test panics with it").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_trace_names_the_account_and_the_operation_and_nothing_that_was_said() {
        use tracing_subscriber::fmt::format::FmtSpan;
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let logged = tracing::subscriber::set_default(subscriber);
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody calls");
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n\"answer\"").await.expect("the client listens");
        });
        let url = format!("http://{address}/v1/things?vpa=secret").parse().expect("a plain URL");
        let party = Party { account: "shop".parse().expect("a plain name"), provider: ProviderId::Razorpay };
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("Basic credentials"))]);
        let call = Call::post("CreateQr", url, headers, Duration::from_secs(10)).json(&[1]).expect("numbers are JSON");
        client().send(&party, call).await.expect("it is answered");
        server.await.expect("the server does not panic");
        drop(logged);

        let log = String::from_utf8(log.0.lock().expect("no test panics with it").clone()).expect("logs are text");
        for told in ["provider.call", "account=\"shop\"", "provider=\"razorpay\"", "operation=\"CreateQr\"", "status=200", "duration_ms="] {
            assert!(log.contains(told), "no {told} in {log}");
        }
        for untold in ["secret", "things", "credentials", "[1]", "answer"] {
            assert!(!log.contains(untold), "{untold} in {log}");
        }
    }
}
