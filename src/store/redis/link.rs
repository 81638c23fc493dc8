//! The way to the server, or to a Cluster's: one connection that all calls of this process share, made again when it breaks.
//! An error of a call says what is known of it: `Unavailable` only where the server certainly did nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError,
    ServerErrorKind, TlsCertificates, Value,
};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::script::Call;
use super::{OpenError, RedisServers};
use crate::store::StoreError;

/// The pause after a connection could not be made; then twice as long each time.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// Calls that may wait to be sent. A caller beyond them waits to queue up.
const QUEUE: usize = 1_024;
/// How often a Cluster's client sends a call again by itself: after a slot moved, or a connection broke. Scripts are made
/// for being sent twice.
const CLUSTER_RETRIES: u32 = 4;
const CLUSTER_RETRY_WAIT_MIN_MS: u64 = 20;
const CLUSTER_RETRY_WAIT_MAX_MS: u64 = 200;

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// What is sent.
#[derive(Clone, Copy)]
enum Question<'a> {
    Command(&'a Cmd),
    Script(&'a Call),
    Together(&'a Pipeline),
    Masters(&'a Cmd),
    /// A command that names no key, to where this one lies.
    At(&'a str, &'a Cmd),
}

impl Connection {
    async fn ask(self, question: Question<'_>) -> Result<Value, RedisError> {
        match self {
            Self::One(mut connection) => match question {
                Question::Command(command) | Question::Masters(command) | Question::At(_, command) => {
                    command.query_async(&mut connection).await
                }
                Question::Script(call) => run(&mut connection, call).await,
                Question::Together(commands) => commands.query_async(&mut connection).await,
            },
            Self::Cluster(mut connection) => match question {
                Question::Command(command) => command.query_async(&mut connection).await,
                Question::Script(call) => run(&mut connection, call).await,
                Question::Together(commands) => commands.query_async(&mut connection).await,
                Question::Masters(command) => {
                    let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::Special)));
                    connection.route_command(command.clone(), everywhere).await
                }
                Question::At(key, command) => {
                    let there = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
                    connection.route_command(command.clone(), RoutingInfo::SingleNode(there)).await
                }
            },
        }
    }
}

async fn run(connection: &mut (impl ConnectionLike + Send), call: &Call) -> Result<Value, RedisError> {
    match call.by_digest().query_async(connection).await {
        // The server does not know the script: nothing was done.
        Err(cause) if cause.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => call.by_text().query_async(connection).await,
        answered => answered,
    }
}

enum Servers {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

/// The connection that calls go over.
pub(super) struct Link {
    line: Arc<Line>,
    /// Connections to single servers: for what a Cluster's client can't do.
    single: Vec<Client>,
}

struct Line {
    servers: Servers,
    config: AsyncConnectionConfig,
    current: RwLock<Option<Connected>>,
    connecting: Mutex<Connecting>,
}

/// A connection, and the how manyth it is.
type Connected = (Connection, u64);
/// How a try to connect ended, once it has.
type Tried = Option<Result<Connected, StoreError>>;

#[derive(Default)]
struct Connecting {
    /// The try that is under way: a task of its own, which all who need a connection wait for. Were it a caller's own, one
    /// that waits for something else meanwhile would keep all others waiting for ever.
    under_way: Option<watch::Receiver<Tried>>,
    made: u64,
    failures: u32,
    not_before: Option<Instant>,
}

impl Link {
    /// Nothing is connected yet.
    pub(super) fn new(servers: &RedisServers) -> Result<Self, OpenError> {
        let RedisServers { urls, cluster, username, password, ca_pem, timeout, connect_timeout } = servers;
        let bad = |cause: RedisError| OpenError::Address(text(&cause));
        let mut infos = Vec::new();
        for url in urls {
            let info: ConnectionInfo = url.as_str().into_connection_info().map_err(bad)?;
            let mut settings = info.redis_settings().clone();
            if let Some(username) = username {
                settings = settings.set_username(username);
            }
            if let Some(password) = password {
                settings = settings.set_password(password.expose_secret());
            }
            infos.push(info.set_redis_settings(settings));
        }
        let certificates = ca_pem.as_ref().map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) });
        let client = |info: &ConnectionInfo| match &certificates {
            Some(certificates) if is_tls(info) => Client::build_with_tls(info.clone(), certificates.clone()),
            _ => Client::open(info.clone()),
        };
        let single = infos.iter().map(client).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        let first = single.first().ok_or_else(|| OpenError::Address("there is none".to_owned()))?;
        let servers = if *cluster {
            let mut builder = ClusterClientBuilder::new(infos)
                .retries(CLUSTER_RETRIES)
                .min_retry_wait(CLUSTER_RETRY_WAIT_MIN_MS)
                .max_retry_wait(CLUSTER_RETRY_WAIT_MAX_MS)
                .connection_timeout(*connect_timeout)
                .response_timeout(*timeout)
                .overall_response_timeout(Some(*timeout));
            if let Some(certificates) = certificates.clone() {
                builder = builder.certs(certificates);
            }
            Servers::Cluster(Box::new(builder.build().map_err(bad)?))
        } else {
            Servers::One(Box::new(first.clone()))
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(*connect_timeout))
            .set_response_timeout(Some(*timeout))
            .set_pipeline_buffer_size(QUEUE);
        let line = Line { servers, config, current: RwLock::default(), connecting: Mutex::default() };
        Ok(Self { line: Arc::new(line), single })
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.line.is_cluster()
    }

    /// The servers that were named, one by one.
    pub(super) fn single(&self) -> &[Client] {
        &self.single
    }

    /// What a command is answered.
    pub(super) async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        read(self.ask(Question::Command(command)).await?)
    }

    /// What a script answers.
    pub(super) async fn run<T: FromRedisValue>(&self, call: &Call) -> Result<T, StoreError> {
        read(self.ask(Question::Script(call)).await?)
    }

    /// What commands that are sent together are answered. They go where the keys that they name lie.
    pub(super) async fn call_together<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, StoreError> {
        read(self.ask(Question::Together(commands)).await?)
    }

    /// What every master answers, each by itself; of a single server, what that answers.
    pub(super) async fn call_masters(&self, command: &Cmd) -> Result<Vec<Value>, StoreError> {
        match self.ask(Question::Masters(command)).await? {
            Value::Map(answers) if self.is_cluster() => Ok(answers.into_iter().map(|(_, answer)| answer).collect()),
            Value::Array(answers) if self.is_cluster() => Ok(answers),
            answer => Ok(vec![answer]),
        }
    }

    /// What a command that names no key is answered by the server that has this one.
    pub(super) async fn call_at<T: FromRedisValue>(&self, key: &str, command: &Cmd) -> Result<T, StoreError> {
        read(self.ask(Question::At(key, command)).await?)
    }

    /// Asks over the connection; where that breaks, once more over a new one. All that is sent bears it: reads, and writes
    /// that find their own work.
    async fn ask(&self, question: Question<'_>) -> Result<Value, StoreError> {
        let (connection, number) = self.line.connection().await?;
        let broken = match connection.ask(question).await {
            Ok(answer) => return Ok(answer),
            // A Cluster's client has done that by itself.
            Err(cause) if cause.is_connection_dropped() && !self.is_cluster() => self.line.failed(number, &cause, true),
            Err(cause) => return Err(self.line.failed(number, &cause, self.is_cluster())),
        };
        // Without a new connection all that is known is that the first one may have carried it.
        let Ok((connection, number)) = self.line.connection().await else { return Err(broken) };
        connection.ask(question).await.map_err(|cause| self.line.failed(number, &cause, true))
    }
}

impl Line {
    fn is_cluster(&self) -> bool {
        matches!(self.servers, Servers::Cluster(_))
    }

    /// The connection there is, or the one that is made.
    async fn connection(self: &Arc<Self>) -> Result<Connected, StoreError> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let mut tried = self.try_to_connect()?;
        let ended = tried.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        // A try that ended without a word went with its runtime.
        ended.unwrap_or_else(|| Err(StoreError::Unavailable("nobody connects any more".to_owned())))
    }

    /// The try to connect that is under way, or a new one.
    fn try_to_connect(self: &Arc<Self>) -> Result<watch::Receiver<Tried>, StoreError> {
        let mut connecting = self.connecting();
        // One whose task has ended without a word (it went with its runtime, or panicked) is none.
        if let Some(under_way) = connecting.under_way.as_ref().filter(|under_way| under_way.has_changed().is_ok()) {
            return Ok(under_way.clone());
        }
        let (tell, told) = watch::channel(None);
        // Whoever had it made may have been here just before.
        if let Some(current) = self.current() {
            tell.send_replace(Some(Ok(current)));
            return Ok(told);
        }
        if connecting.not_before.is_some_and(|time| Instant::now() < time) {
            return Err(StoreError::Unavailable("the last try to connect failed just now".to_owned()));
        }
        connecting.under_way = Some(told.clone());
        let line = Arc::clone(self);
        tokio::spawn(async move {
            let ended = line.connect().await;
            tell.send_replace(Some(line.connected(ended)));
        });
        Ok(told)
    }

    /// Notes how a try to connect ended.
    fn connected(&self, ended: Result<Connection, RedisError>) -> Result<Connected, StoreError> {
        let mut connecting = self.connecting();
        connecting.under_way = None;
        match ended {
            Ok(connection) => {
                if connecting.made > 0 || connecting.failures > 0 {
                    info!("connected to redis again");
                }
                *connecting = Connecting { made: connecting.made + 1, ..Connecting::default() };
                let current = (connection, connecting.made);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(current.clone());
                Ok(current)
            }
            Err(cause) => {
                let pause = RECONNECT_FIRST.saturating_mul(1 << connecting.failures.min(8)).min(RECONNECT_MAX);
                connecting.failures = connecting.failures.saturating_add(1);
                connecting.not_before = Some(Instant::now() + pause);
                let cause = text(&cause);
                if connecting.failures == 1 {
                    warn!("redis can't be connected to, it is tried again: {cause}");
                }
                Err(StoreError::Unavailable(format!("it can't be connected to: {cause}")))
            }
        }
    }

    fn connecting(&self) -> MutexGuard<'_, Connecting> {
        self.connecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Connected> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        match &self.servers {
            Servers::One(client) => client.get_multiplexed_async_connection_with_config(&self.config).await.map(Connection::One),
            Servers::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }

    /// What a call's error tells; a connection that is of no more use is given up.
    fn failed(&self, number: u64, cause: &RedisError, sent_again: bool) -> StoreError {
        // A Cluster's client mends the connections to its servers by itself, unless it has none left or has ended.
        let is_broken = match &self.servers {
            Servers::One(_) => cause.is_unrecoverable_error() || cause.is_io_error(),
            Servers::Cluster(_) => cause.kind() == ErrorKind::ClusterConnectionNotFound || is_clients_end(cause),
        };
        if is_broken {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_some_and(|(_, theirs)| *theirs == number) {
                *current = None;
            }
        }
        told(cause, sent_again)
    }
}

/// Whether a Cluster's client itself is no more, as it says in its own words.
fn is_clients_end(cause: &RedisError) -> bool {
    cause.is_io_error() && cause.to_string().starts_with("redis_cluster: Unable to")
}

fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. })
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    T::from_redis_value(value).map_err(|_| StoreError::Broken("redis answered something else than was asked for".to_owned()))
}

/// Codes of errors with which a server stops a script at its first write: by then the script has looked for its own work,
/// and found none.
const REFUSED_AT_THE_FIRST_WRITE: [&str; 3] = ["OOM", "MISCONF", "NOREPLICAS"];
/// Codes of errors with which a server refuses before it does anything.
const REFUSED: [&str; 8] = ["LOADING", "MASTERDOWN", "READONLY", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK"];

/// What is known of a call that ended with this error. `sent_again`: whether the client may have sent it more than once by
/// itself, so that a refusal may be the answer to the second time only.
pub(super) fn told(cause: &RedisError, sent_again: bool) -> StoreError {
    let text = text(cause);
    match cause.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => match cause.code() {
            Some(code) if REFUSED_AT_THE_FIRST_WRITE.contains(&code) => StoreError::Unavailable(text),
            Some(code) if REFUSED.contains(&code) && !sent_again => StoreError::Unavailable(text),
            Some(code) if REFUSED.contains(&code) => StoreError::InDoubt(text),
            _ => StoreError::Broken(text),
        },
        ErrorKind::AuthenticationFailed | ErrorKind::ClusterConnectionNotFound if !sent_again => StoreError::Unavailable(text),
        ErrorKind::InvalidClientConfig | ErrorKind::Client | ErrorKind::UnexpectedReturnType | ErrorKind::RESP3NotSupported => {
            StoreError::Broken(text)
        }
        // The connection broke, or the answer did not come in time: it may have been done.
        _ => StoreError::InDoubt(text),
    }
}

/// What an error may say in a log: its sort and the server's code, never its details, which can show what is stored.
pub(super) fn text(cause: &RedisError) -> String {
    match (cause.code(), cause.kind()) {
        (Some(code), _) => format!("redis answers {code}"),
        (None, ErrorKind::Io) => format!("redis: {cause}"),
        (None, _) => format!("redis: {}", cause.category()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an error line is a value");
        value.extract_error().expect_err("it is an error")
    }

    const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'. script: abc, on @user_script:1.";
    const BEFORE_ALL: [&str; 5] = [
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "CLUSTERDOWN The cluster is down",
        "BUSY Redis is busy running a script.",
        "MOVED 3999 127.0.0.1:6381",
    ];

    #[test]
    fn only_what_is_certainly_not_done_is_said_not_to_be() {
        for line in [OOM, "MISCONF Redis is configured to save", "NOREPLICAS Not enough good replicas to write."].iter().chain(&BEFORE_ALL)
        {
            assert!(matches!(told(&server(line), false), StoreError::Unavailable(_)), "{line}");
        }
        for line in ["ERR user_script:1: attempt to index a nil value", "WRONGTYPE Operation against a key", "NOPERM this user has none"] {
            assert!(matches!(told(&server(line), false), StoreError::Broken(_)), "{line}");
        }
        for kind in [std::io::ErrorKind::TimedOut, std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::ConnectionReset] {
            assert!(matches!(told(&RedisError::from(std::io::Error::from(kind)), false), StoreError::InDoubt(_)), "{kind:?}");
        }
    }

    #[test]
    fn a_refusal_says_nothing_of_what_was_sent_before_it() {
        for line in BEFORE_ALL {
            assert!(matches!(told(&server(line), true), StoreError::InDoubt(_)), "{line}");
        }
        assert!(matches!(told(&server(OOM), true), StoreError::Unavailable(_)), "the script had looked for its own work");
    }

    #[test]
    fn an_error_shows_nothing_that_is_stored() {
        let shown = text(&server("ERR user_script:1: bad value 'payer@bank' stored under secret"));
        assert!(!shown.contains("payer") && !shown.contains("secret"), "{shown}");
    }
}
