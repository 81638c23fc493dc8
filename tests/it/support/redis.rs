//! A redis of a test's own: a process on a socket in a folder of its own, which can be killed, stopped and started again.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use upistream::config::{Backend, RedisConfig, RetentionAtRest};
use upistream::store::redis::{RedisOptions, RedisServers, RedisStore};

use super::StoreTime;
use super::app::PATIENCE;

/// How many partitions the stores of tests have, where they don't say.
pub const PARTITIONS: u16 = 4;

/// A server. It ends with the test.
pub struct TestRedis {
    folder: TempDir,
    settings: Vec<String>,
    process: std::sync::Mutex<Option<Child>>,
    /// Where tests that need TCP reach it.
    port: Option<u16>,
    tls: bool,
}

impl TestRedis {
    /// One that keeps what it acknowledges, but doesn't wait for the disk: a test of it is faster so.
    pub async fn start() -> Self {
        Self::start_with(&["--appendfsync", "no"]).await
    }

    /// One with these settings besides.
    pub async fn start_with(settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let started = tokio::task::spawn_blocking(move || Self::begin(settings, None, false));
        started.await.expect("redis-server starts (tests/run installs it)")
    }

    /// One that listens on TCP too, at a port that is free.
    pub async fn start_on_tcp(settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let started = tokio::task::spawn_blocking(move || Self::begin(settings, Some(free_port()), false));
        started.await.expect("redis-server starts (tests/run installs it)")
    }

    /// One that speaks TLS alone on TCP, with a certificate of [`Certificates`].
    pub async fn start_with_tls() -> Self {
        let started = tokio::task::spawn_blocking(|| {
            let certificates = Certificates::of_this_process();
            let settings = [
                ("--tls-cert-file", certificates.certificate()),
                ("--tls-key-file", certificates.key()),
                ("--tls-ca-cert-file", certificates.authority()),
            ];
            let mut settings: Vec<String> = settings.iter().flat_map(|(name, path)| [(*name).to_owned(), text(path)]).collect();
            settings.extend(["--tls-auth-clients", "no", "--appendfsync", "no"].map(str::to_owned));
            Self::begin(settings, Some(free_port()), true)
        });
        started.await.expect("redis-server starts (tests/run installs it)")
    }

    fn begin(settings: Vec<String>, port: Option<u16>, tls: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let redis = Self { folder, settings, process: std::sync::Mutex::new(None), port, tls };
        redis.run();
        redis
    }

    fn run(&self) {
        let mut command = Command::new("redis-server");
        let port = self.port.map_or("0".to_owned(), |port| port.to_string());
        match self.tls {
            true => command.args(["--port", "0", "--tls-port", &port]),
            false => command.args(["--port", &port]),
        };
        command.arg("--unixsocket").arg(self.socket()).arg("--dir").arg(self.folder.path());
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--enable-debug-command", "local"]);
        command.args(&self.settings);
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).expect("the folder is ours");
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server can be run (tests/run installs it)");
        *self.process() = Some(child);
        wait_for(|| ping(&self.socket()), || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().expect("nobody panics while holding it")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn port(&self) -> u16 {
        self.port.expect("it was started on TCP")
    }

    pub fn id(&self) -> u32 {
        self.process().as_ref().expect("it runs").id()
    }

    /// SIGKILL. Returns when it is gone.
    pub fn kill(&self) {
        if let Some(mut child) = self.process().take() {
            child.kill().expect("it ran until now");
            child.wait().expect("the child is ours");
        }
    }

    /// Starts it again on what it had kept.
    pub async fn start_again(self: &Arc<Self>) {
        let redis = Arc::clone(self);
        tokio::task::spawn_blocking(move || redis.run()).await.expect("redis-server starts");
    }

    /// SIGSTOP and SIGCONT.
    pub fn pause(&self) {
        signal(self.id(), "STOP");
    }

    pub fn resume(&self) {
        signal(self.id(), "CONT");
    }

    pub fn url(&self) -> String {
        match (self.port, self.tls) {
            (Some(port), true) => format!("rediss://127.0.0.1:{port}"),
            (Some(port), false) => format!("redis://127.0.0.1:{port}"),
            (None, _) => format!("unix://{}", self.socket().display()),
        }
    }

    pub fn servers(&self) -> RedisServers {
        let ca_pem = self.tls.then(|| std::fs::read(Certificates::of_this_process().authority()).expect("it was written"));
        RedisServers { ca_pem, ..servers([self.url()]) }
    }

    /// A store of this server's own clock.
    pub fn options(&self, prefix: &str) -> RedisOptions {
        options(self.servers(), prefix)
    }

    /// The same store as that of a service here.
    pub fn options_of_app(&self) -> RedisOptions {
        RedisOptions { partitions: 16, ..self.options("upistream") }
    }

    /// What a command answers, over a connection of its own.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        ask(&format!("unix://{}", self.socket().display()), command)
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Servers that answer in time, or not at all.
pub fn servers(urls: impl IntoIterator<Item = String>) -> RedisServers {
    RedisServers {
        urls: urls.into_iter().collect(),
        cluster: false,
        username: None,
        password: None,
        ca_pem: None,
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
    }
}

pub fn options(servers: RedisServers, prefix: &str) -> RedisOptions {
    RedisOptions {
        servers,
        prefix: prefix.to_owned(),
        partitions: PARTITIONS,
        random: [7; 40],
        names: Arc::new(rand::random::<u128>),
        clock: None,
        retention_at_rest: None,
        kept_while_listed: vec!["mine"],
        wait_replicas: 0,
        wait_timeout: Duration::from_millis(500),
        allow_data_loss: false,
    }
}

/// The same options with a clock that the test moves.
pub fn by_clock(options: RedisOptions, clock: &Arc<StoreTime>) -> RedisOptions {
    let clock = Arc::clone(clock);
    RedisOptions { clock: Some(Arc::new(move || clock.now_ms())), ..options }
}

pub async fn open(options: RedisOptions) -> RedisStore {
    super::app::install_crypto();
    RedisStore::open(options).await.expect("the store opens").0
}

/// What a command answers at `url`, over a connection of its own.
pub fn ask<T: redis::FromRedisValue>(url: &str, command: &str) -> T {
    let client = redis::Client::open(url).expect("an address");
    let mut connection = client.get_connection().expect("it accepts connections");
    let mut words = command.split(' ');
    let mut asking = redis::cmd(words.next().expect("a command has a name"));
    for word in words {
        asking.arg(word);
    }
    asking.query(&mut connection).unwrap_or_else(|cause| panic!("{command}: {cause}"))
}

/// Sends a process a signal. A shell has its own `kill`; a bare machine may have no other.
pub fn signal(process: u32, name: &str) {
    let told = Command::new("sh").arg("-c").arg(format!("kill -{name} {process}")).status();
    assert!(told.is_ok_and(|status| status.success()), "process {process} can't be sent {name}");
}

/// A port that was free just now. No two of this process are the same.
pub fn free_port() -> u16 {
    static TAKEN: OnceLock<std::sync::Mutex<std::collections::HashSet<u16>>> = OnceLock::new();
    // Below those that the system gives to whoever asks for any: nobody else's listener gets in between. A Cluster's servers use
    // the port ten thousand above as well.
    loop {
        let port = rand::random_range(11_000..22_000);
        let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) && TAKEN.get_or_init(Default::default).lock().expect("nobody panics").insert(port) {
            return port;
        }
    }
}

/// The settings of a service on this redis.
pub fn backend(url: String) -> Backend {
    Backend::Redis(Box::new(RedisConfig::new(vec![url], RetentionAtRest::Forever)))
}

/// The redis of a folder, started where it isn't yet. It ends when the folder is gone, or this program: a shell sees to it.
pub fn in_folder(folder: &Path) -> String {
    let socket = folder.join("redis.sock");
    let url = format!("unix://{}", socket.display());
    if ping(&socket) {
        return url;
    }
    let script = r#"redis-server "$@" >/dev/null 2>&1 & server=$!; while [ -d "$FOLDER" ] && kill -0 $PPID; do sleep 0.2; done
        kill -9 "$server""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "redis-server", "--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "no"]);
    command.arg("--unixsocket").arg(&socket).arg("--dir").arg(folder).env("FOLDER", folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Nobody waits for the shell: it ends by itself.
    drop(command.spawn().expect("a shell can be run"));
    wait_for(|| ping(&socket), || socket.display().to_string());
    url
}

/// Whether a server answers on this socket.
fn ping(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let mut answer = [0; 5];
    // One that wants a password first answers as well.
    stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok() && [b"+PONG", b"-NOAU"].contains(&&answer)
}

pub fn wait_for(mut is_so: impl FnMut() -> bool, log: impl FnOnce() -> String) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "a server does not come up; its log:\n{}", log());
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A prefix that no other test has.
pub fn new_prefix() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("test-{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// An authority and a server's certificate by it, made once a process.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn of_this_process() -> &'static Self {
        static MADE: OnceLock<Certificates> = OnceLock::new();
        MADE.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let authority_key = rcgen::KeyPair::generate().expect("keys can be made");
            let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("it names nobody");
            authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let authority_certificate = authority.self_signed(&authority_key).expect("it signs itself");
            let issuer = rcgen::Issuer::new(authority, authority_key);
            let key = rcgen::KeyPair::generate().expect("keys can be made");
            let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("names of loopback");
            let certificate = server.signed_by(&key, &issuer).expect("the authority signs");
            for (name, pem) in
                [("ca.pem", authority_certificate.pem()), ("server.pem", certificate.pem()), ("server.key", key.serialize_pem())]
            {
                std::fs::write(folder.path().join(name), pem).expect("the folder is ours");
            }
            Self { folder }
        })
    }

    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }
}
