//! Configuration to running service: opens the store, starts the sandbox where the configuration wants it, binds the
//! three listeners, and takes all of it down in the right order.

mod callers;
mod calls;
mod connections;
mod health;
mod providers;
pub mod reload;
mod sandbox;
mod secrets;
pub mod store;
mod tasks;
mod tls;
pub mod tokens;
pub mod transfer;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tracing::{error, info, warn};

use crate::clock::{Clock, Randomness, SystemClock};
use crate::config::{Config, SANDBOX_ACCOUNTS};
use crate::domain::account::AccountName;
use crate::domain::upi::rules::RuleTable;
use crate::domain::working_days::Holidays;
use crate::engine::debit::MandateSettings;
use crate::engine::settlement::SettlementSettings;
use crate::engine::{Engine, Parts, Settings, schedule::Patience};
use crate::events::Feed;
use crate::grpc::{self, ApiSettings, Authentication, CallTelemetry, Callers, Deadlines, FrameworkErrors, Heartbeats};
use crate::http::{self, WebhookSettings};
use crate::providers::http::Transport;
use crate::sandbox::Sandbox;
use crate::store::AnyStore;
use crate::store::sqlite::Synchronous;
use crate::telemetry::{self, Metrics};
use providers::Means;
use reload::{Applier, Reload};
use secrets::AccountSecrets;
use tls::Tls;

/// Connections of the callbacks' and the operators' listeners.
const HTTP_CONNECTIONS_MAX: usize = 1_024;
/// Connections of the gRPC listener: one for each subscription that may run, where nobody shares.
const GRPC_CONNECTIONS_MAX: usize = 10_000;
/// Streams of one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 1_024;
/// A silent client is asked whether it lives, and given up.
const HTTP2_KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const HTTP2_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection takes no new calls after this long, so that no client's certificate counts for much longer than it holds, and
/// clients spread over new replicas. What runs on it goes on.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// How long requests that callers sent before they heard that the listener is closed are still taken. It takes a message there
/// and one back; on a connection that heard of it nothing new can begin.
const ON_THEIR_WAY: Duration = Duration::from_millis(250);
/// How long the last tasks, and then the sandbox, may take to end.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// The longest pause of an idle worker.
const WORKER_IDLE: Duration = Duration::from_millis(500);

/// What differs between a production start and a test's.
pub struct Options {
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<Randomness>,
    /// Serve addresses that others reach although nothing tells callers apart.
    pub insecure: bool,
    /// Whether a stop waits for the endpoints to spread (`drain.delay_ms`).
    pub drain: bool,
    /// Reads the configuration again while the service runs; `None`: all of it stays as it is.
    pub reload: Option<reload::Source>,
    /// What a commit waits for. Anything but the disk is for tests that show the difference.
    pub synchronous: Synchronous,
    /// What carries calls to providers instead of the network.
    pub transport: Option<Arc<dyn Transport>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            randomness: Arc::new(Randomness::of_system()),
            insecure: false,
            drain: true,
            reload: None,
            synchronous: Synchronous::Full,
            transport: None,
        }
    }
}

/// Why the service did not start: what is wrong, and the next step.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the rules for mandates in `{}`: {what}", .file.display())]
    MandateRules { file: std::path::PathBuf, what: String },
    #[error(
        "{} can be reached by others, and nothing tells callers apart; configure [callers] and [grpc.tls], use loopback addresses, or start with --insecure where the network alone decides who may call",
        exposed.join(" and ")
    )]
    Exposed { exposed: Vec<String> },
    #[error("the address {address} ({what}) can't be used: {cause}; choose another port or stop what uses it")]
    Listen { what: &'static str, address: SocketAddr, cause: std::io::Error },
    #[error(transparent)]
    Store(#[from] crate::store::sqlite::OpenError),
    #[error(transparent)]
    Redis(Box<crate::store::redis::OpenError>),
    #[error("store.redis.token_key can't be used: {0}")]
    TokenKey(String),
    #[error("`{}` (store.redis.ca_file) can't be read: {cause}", path.display())]
    CaFile { path: std::path::PathBuf, cause: std::io::Error },
    #[error("gRPC can't be served over TLS: {0}")]
    Tls(#[from] tls::TlsError),
    #[error("the store can't be read: {0}")]
    Log(#[from] crate::store::StoreError),
    #[error("the sandbox can't start: {0}")]
    Sandbox(#[from] crate::sandbox::StartError),
    #[error("calls to providers can't be made: {0}")]
    Client(#[from] crate::providers::http::NoClient),
    #[error("reflection can't be offered: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A running service.
pub struct Running {
    pub grpc: SocketAddr,
    pub webhooks: SocketAddr,
    pub admin: SocketAddr,
    pub sandbox: Option<Sandbox>,
    pub accounts: Vec<String>,
    callers: Arc<Callers>,
    engine: Arc<Engine>,
    store: AnyStore,
    health: health::Health,
    /// The configuration is to be read again.
    reload: Arc<Notify>,
    /// Stops listening.
    closing: CancellationToken,
    /// Stops the workers and the watcher.
    stopping: CancellationToken,
    tasks: tasks::Tasks,
    drain_delay: Duration,
    on_their_way: Duration,
    drain_limit: Duration,
}

/// Starts everything. Once this has returned, all three listeners accept connections.
pub async fn start(config: Config, options: Options) -> Result<Running, StartError> {
    let rules = config.mandates.rules().map_err(|what| StartError::MandateRules { file: config.mandates.rules_file.clone(), what })?;
    let exposed = config.exposure();
    if !exposed.is_empty() && !options.insecure {
        return Err(StartError::Exposed { exposed });
    }
    let Options { clock, randomness, insecure: _, drain, reload: source, synchronous, transport } = options;
    let configured = config.clone();
    let tls = Tls::open(&config.grpc.tls)?;
    let (store, tokens) = store::open(&config, &randomness, synchronous).await?;
    let grpc_listener = listen("grpc.listen", config.grpc.listen).await?;
    let webhook_listener = listen("webhooks.listen", config.webhooks.listen).await?;
    let admin_listener = listen("admin.listen", config.admin.listen).await?;
    let grpc = address(&grpc_listener, "grpc.listen", config.grpc.listen)?;
    let webhooks = address(&webhook_listener, "webhooks.listen", config.webhooks.listen)?;
    let admin = address(&admin_listener, "admin.listen", config.admin.listen)?;

    let (config, simulated) = sandbox::start_where_wanted(config, webhooks, &randomness).await?;
    let metrics = Arc::new(Metrics::new());
    let means = Means {
        clock: Arc::<dyn Clock>::clone(&clock),
        randomness: Arc::clone(&randomness),
        tokens,
        calls: Arc::new(calls::CallMetrics(Arc::clone(&metrics))),
        metrics: Arc::clone(&metrics),
        transport,
    };
    let (providers, secrets) = providers::all(&config, &means)?;
    let feed = Feed::new(Arc::clone(&store), Arc::new(grpc::EventEncoder), config.events.ring_frames);
    feed.start().await?;
    let engine = Engine::new(Parts {
        store: Arc::clone(&store),
        feed: Arc::clone(&feed),
        providers,
        clock,
        randomness,
        settings: settings(&config, rules),
        metrics,
    });

    engine.find_out_hold().await?;

    let (closing, stopping) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = tasks::Tasks::new();
    tasks.spawn("the watcher of the event log", feed.watch(stopping.clone()));
    tasks.spawn("the reconciler", Arc::clone(&engine).work(stopping.clone()));
    let (health, health_service, ready) = health::Health::new(grpc::SERVICES.as_slice()).await;
    tasks.spawn("the watch over the store's health", health.clone().watch(Arc::clone(&engine), stopping.clone()));

    if config.callers.is_empty() && !config.grpc.listen.ip().to_canonical().is_loopback() {
        warn!(%grpc, "no callers are configured: whoever reaches this address may do everything");
    }
    let callers = Callers::new(callers::of(&config));
    let services = grpc::services(Arc::clone(&engine), Arc::clone(&callers), api_settings(&config));
    let routes = grpc::reflection()?.add_service(health_service);
    let framework_errors = FrameworkErrors { request_bytes_max: config.grpc.request_bytes_max };
    let authentication = Authentication { callers: Arc::clone(&callers), request_bytes_max: config.grpc.request_bytes_max };
    let layers = (CallTelemetry::new(engine.metrics()), framework_errors, authentication, services);
    let being_closed = TaskTracker::new();
    let incoming = connections::of(grpc_listener, GRPC_CONNECTIONS_MAX, tls.clone(), being_closed.clone());
    tasks.spawn("the gRPC listener", serve_grpc(incoming, routes, layers, closing.clone(), being_closed));
    let hooks = http::webhooks::router(Arc::clone(&engine), webhook_settings(&config, &secrets));
    tasks.spawn("the webhook listener", http::serve::serve(webhook_listener, hooks, HTTP_CONNECTIONS_MAX, closing.clone()));
    let operators = http::admin::router(Arc::clone(&engine), ready);
    // The operators' port answers until the end: a drain is watched through it.
    tasks.spawn("the admin listener", http::serve::serve(admin_listener, operators, HTTP_CONNECTIONS_MAX, stopping.clone()));

    let reload = Arc::new(Notify::new());
    if let Some(source) = source {
        let again = Reload::new(source, configured, appliers(secrets, tls, Arc::clone(&callers), &config.log.level));
        tasks.spawn("the reload of the configuration", again.run(Arc::clone(&reload), stopping.clone()));
    }

    let accounts = config.accounts.keys().map(ToString::to_string).collect();
    info!(%grpc, %webhooks, %admin, "serving");
    let (drain_delay, on_their_way) = if drain { (config.drain.delay(), ON_THEIR_WAY) } else { (Duration::ZERO, Duration::ZERO) };
    let drain_limit = config.drain.limit();
    Ok(Running {
        grpc,
        webhooks,
        admin,
        sandbox: simulated,
        accounts,
        callers,
        engine,
        store,
        health,
        reload,
        closing,
        stopping,
        tasks,
        drain_delay,
        on_their_way,
        drain_limit,
    })
}

impl Running {
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn store(&self) -> &AnyStore {
        &self.store
    }

    /// Who may call from now on: those of `config`. Answers whether they are others than before.
    pub fn replace_callers(&self, config: &Config) -> bool {
        self.callers.replace(callers::of(config))
    }

    /// Has the configuration read again, soon.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Waits until something has ended without which the service is none; what it was. The log says why.
    pub async fn broken(&self) -> &'static str {
        self.tasks.broken().await
    }

    /// Stops: not serving any more, the time that endpoints need to notice, no more connections, goodbye to every subscriber,
    /// the end of what is under way. False: something was still under way at the limit; it is found again after the next start.
    pub async fn stop(mut self) -> bool {
        info!("stopping");
        self.tasks.may_end();
        self.health.drain().await;
        tokio::time::sleep(self.drain_delay).await;
        self.closing.cancel();
        self.engine.say_goodbye();
        tokio::time::sleep(self.on_their_way).await;
        self.engine.begin_drain();
        let drained = self.engine.drained(self.drain_limit).await;
        if !drained {
            warn!("some work was still under way when the time for it was over; it is looked up after the next start");
        }
        self.stopping.cancel();
        // Whatever connections remain are not waited for.
        let _ = tokio::time::timeout(LAST_WAIT, self.tasks.ended()).await;
        self.tasks.abort();
        if let Some(sandbox) = &self.sandbox
            && tokio::time::timeout(LAST_WAIT, sandbox.stop()).await.is_err()
        {
            warn!("the sandbox does not end, it is left behind");
        }
        info!("stopped");
        drained
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|cause| StartError::Listen { what, address, cause })
}

fn address(listener: &TcpListener, what: &'static str, wanted: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|cause| StartError::Listen { what, address: wanted, cause })
}

fn settings(config: &Config, rules: RuleTable) -> Settings {
    let reconciler = &config.reconciler;
    Settings {
        patience: Patience {
            first_look: reconciler.first_look(),
            look_max: reconciler.look_max(),
            lease: reconciler.lease(),
            absence_after: reconciler.absence_after(),
        },
        claim_retention: config.idempotency.retention(),
        event_retention: config.events.retention(),
        quarantine_max: config.webhooks.quarantine_max as u64,
        lookups_per_second: reconciler.lookups_per_second,
        workers: reconciler.workers,
        batch: reconciler.batch,
        idle: WORKER_IDLE,
        events_page: config.events.page,
        subscription_age_max: config.events.subscription_age_max(),
        settlements: SettlementSettings {
            fetch: config.settlements.fetch,
            sync_every: config.settlements.sync_every(),
            backfill_days: config.settlements.backfill_days,
            reread_days: config.settlements.reread_days,
            report_lag: config.settlements.report_lag(),
            holidays: Holidays(config.settlements.holidays.iter().copied().collect()),
        },
        mandates: MandateSettings { rules, retry_after: config.mandates.retry_after(), notice_delivery: config.mandates.notice_delivery() },
    }
}

fn api_settings(config: &Config) -> ApiSettings {
    let events = &config.events;
    let sandbox_accounts: BTreeSet<AccountName> = config
        .sandbox
        .iter()
        .flat_map(|_| config.accounts.keys())
        .filter(|name| SANDBOX_ACCOUNTS.contains(&name.as_str()))
        .cloned()
        .collect();
    ApiSettings {
        deadlines: Deadlines { default: config.grpc.deadline_default(), margin: config.grpc.deadline_margin() },
        heartbeats: Heartbeats { min: events.heartbeat_min(), default: events.heartbeat_default(), max: events.heartbeat_max() },
        streams_max: config.grpc.streams_max,
        streams_per_caller_max: config.grpc.streams_per_caller_max,
        request_bytes_max: config.grpc.request_bytes_max,
        sandbox_accounts,
    }
}

/// Who takes what without a restart.
fn appliers(secrets: Vec<AccountSecrets>, tls: Option<Tls>, callers: Arc<Callers>, level: &str) -> Vec<Applier> {
    let take_callers = move |config: &Config| Ok(callers.replace(callers::of(config)).then(|| "callers".to_owned()).into_iter().collect());
    let level = Mutex::new(level.to_owned());
    let take_level = move |config: &Config| {
        let mut level = level.lock().unwrap_or_else(PoisonError::into_inner);
        if *level == config.log.level {
            return Ok(Vec::new());
        }
        telemetry::set_level(&config.log.level).map_err(|error| error.to_string())?;
        level.clone_from(&config.log.level);
        Ok(vec!["log.level".to_owned()])
    };
    let mut appliers = vec![
        Applier { keys: &["log.level"], apply: Box::new(take_level) },
        Applier { keys: secrets::KEYS, apply: Box::new(move |config| Ok(secrets::take(&secrets, config))) },
        Applier { keys: &["callers"], apply: Box::new(take_callers) },
    ];
    appliers.extend(tls.map(|tls| Applier { keys: &["grpc.tls"], apply: Box::new(move |config| tls.take(&config.grpc.tls)) }));
    appliers
}

fn webhook_settings(config: &Config, secrets: &[AccountSecrets]) -> WebhookSettings {
    let trusted = config.webhooks.trusted_proxies.clone();
    WebhookSettings {
        url_secrets: secrets.iter().map(|account| (account.name().clone(), account.url_secrets())).collect(),
        body_bytes_max: config.webhooks.body_bytes_max,
        concurrency_max: config.webhooks.concurrency_max,
        read_timeout: config.webhooks.read_timeout(),
        trusted_proxies: Arc::new(move |address: IpAddr| trusted.iter().any(|network| network.contains(address))),
    }
}

/// `layers`: the outermost first.
async fn serve_grpc(
    incoming: impl Stream<Item = std::io::Result<connections::Connection>>,
    routes: tonic::service::Routes,
    layers: (CallTelemetry, FrameworkErrors, Authentication, grpc::Services),
    closing: CancellationToken,
    being_closed: TaskTracker,
) {
    let served = Server::builder()
        // An idle connection that never spoke would hold up a stop otherwise.
        .accept_http1(true)
        .max_concurrent_streams(Some(HTTP2_STREAMS_MAX))
        .http2_keepalive_interval(Some(HTTP2_KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(HTTP2_KEEPALIVE_TIMEOUT))
        .max_connection_age(CONNECTION_AGE_MAX)
        .layer(layers.0)
        .layer(layers.1)
        .layer(layers.2)
        .layer(layers.3)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, closing.cancelled_owned());
    if let Err(cause) = served.await {
        error!("the gRPC listener ended badly: {cause}");
    }
    being_closed.close();
    let _ = tokio::time::timeout(connections::HEARD_OUT_FOR, being_closed.wait()).await;
}
