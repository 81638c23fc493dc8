//! The service as a process of its own, which can be killed as machines kill it.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tonic::transport::Channel;
use upistream::sandbox::Sandbox;

use super::app::{ACCOUNT, KEY_ID, KEY_SECRET, MERCHANT, PATIENCE, URL_SECRET, WEBHOOK_SECRET};
use super::redis::signal;

/// How often a start is tried again whose ports somebody else took between our look and its own.
const STARTS_MAX: u32 = 5;

/// A running process with the account of our stories at a simulated provider.
pub struct Process {
    child: Child,
    pub channel: Channel,
    pub grpc: SocketAddr,
    pub webhooks: SocketAddr,
    pub admin: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// Starts it on the store in `folder`, and tells the provider where it is.
    pub async fn start(folder: &Path, provider: &Sandbox) -> Self {
        Self::start_as(folder, provider, serve).await
    }

    /// The same by another command, which is made from the configuration's path.
    pub async fn start_as(folder: &Path, provider: &Sandbox, command: impl Fn(&Path) -> Command) -> Self {
        let store = format!("[store.embedded]\npath = '{}'", folder.join("upistream.db").display());
        Self::start_in(folder, provider, &store, command).await
    }

    /// Starts it on a redis; what else it needs lies in `folder`.
    pub async fn start_on(folder: &Path, provider: &Sandbox, redis: &str, command: impl Fn(&Path) -> Command) -> Self {
        let store = format!("[store.redis]\nurls = ['{redis}']\nretention_at_rest = 'forever'\ntimeout_ms = 600");
        Self::start_in(folder, provider, &store, command).await
    }

    async fn start_in(folder: &Path, provider: &Sandbox, store: &str, command: impl Fn(&Path) -> Command) -> Self {
        for _ in 0..STARTS_MAX {
            if let Some(process) = Self::try_start(folder, provider, store, &command).await {
                return process;
            }
        }
        panic!("the service did not start; its log:\n{}", read(&folder.join("serve.log")));
    }

    async fn try_start(folder: &Path, provider: &Sandbox, store: &str, command: impl Fn(&Path) -> Command) -> Option<Self> {
        let [grpc, webhooks, admin] = free_addresses();
        let config = folder.join("upistream.toml");
        std::fs::write(&config, settings(store, provider, [grpc, webhooks, admin])).expect("the folder is ours");
        let log = folder.join("serve.log");
        let file = File::create(&log).expect("the folder is ours");
        let mut command = command(&config);
        command
            .current_dir(folder)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stderr(file.try_clone().expect("a file has room for another handle"))
            .stdout(file);
        let mut child = command.spawn().unwrap_or_else(|cause| panic!("{command:?} can't be run: {cause}"));
        let connected = async {
            let mut pause = tokio::time::interval(Duration::from_millis(5));
            loop {
                pause.tick().await;
                if child.try_wait().expect("the child is ours").is_some() {
                    return None;
                }
                let endpoint = Channel::from_shared(format!("http://{grpc}")).expect("an address");
                if let Ok(channel) = endpoint.connect().await {
                    return Some(channel);
                }
            }
        };
        let channel = tokio::time::timeout(PATIENCE, connected).await.ok().flatten()?;
        let hook = format!("http://{webhooks}/webhooks/{ACCOUNT}/{URL_SECRET}");
        provider.set_webhook_url(ACCOUNT, &hook).expect("the sandbox knows the account");
        Some(Self { child, channel, grpc, webhooks, admin, log })
    }

    /// What it has printed and logged.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// SIGKILL: it can do nothing about it. Returns when it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it ran until now");
    }

    /// SIGTERM. Returns how it ended.
    pub async fn terminate(self) -> ExitStatus {
        signal(self.id(), "TERM");
        self.ended().await
    }

    /// Waits until it is gone. How it ended.
    pub async fn ended(mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it did not end; its log:\n{}", read(&self.log))).expect("the child is ours")
    }
}

/// The service, as its users start it.
pub fn serve(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upistream"));
    command.arg("serve").arg("--config").arg(config);
    command
}

fn settings(store: &str, provider: &Sandbox, [grpc, webhooks, admin]: [SocketAddr; 3]) -> String {
    let mut text = String::new();
    let written = write!(
        text,
        r#"
[grpc]
listen = "{grpc}"
[webhooks]
listen = "{webhooks}"
[admin]
listen = "{admin}"
{store}
[reconciler]
lease_ms = 2000
first_look_s = 1
lookups_per_second = 1000
[drain]
delay_ms = 0
[accounts.{ACCOUNT}]
webhook_url_secrets = "{URL_SECRET}"
[accounts.{ACCOUNT}.razorpay]
base_url = "http://{provider}"
key_id = "{KEY_ID}"
key_secret = "{KEY_SECRET}"
webhook_secrets = "{WEBHOOK_SECRET}"
account_id = "{MERCHANT}"
timeout_ms = 1000
deadline_floor_ms = 300
"#,
        provider = provider.address(),
    );
    written.expect("a text takes whatever is written to it");
    text
}

/// Three addresses that were free just now.
fn free_addresses() -> [SocketAddr; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports"));
    listeners.map(|listener| listener.local_addr().expect("it is bound"))
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}
