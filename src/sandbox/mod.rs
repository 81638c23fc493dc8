//! Providers to try things with: they speak the real wire formats, hold state, send their callbacks,
//! can be told to fail, and have a clock that tests set. In the same binary as the service and
//! without any knowledge of it: nothing here uses another module of the crate.
//!
//! One listener on loopback serves the providers (`/razorpay/v1/…`, and `/v1/…` for clients that take a bare address;
//! `/enkash/…`, `/oqpay/…`, `/eko/…`) and the control interface (`/control/…`, see `control_http.rs` for the table).

mod agenda;
mod clearing;
mod clock;
mod control;
mod control_http;
mod delivery;
mod desk;
mod dice;
mod eko;
mod enkash;
mod faults;
mod line;
mod mandates;
mod merchant;
mod oqpay;
mod razorpay;
mod server;
mod shelf;
mod simulated;
mod state;
mod switches;
mod upi;
mod webhooks;
mod working_day;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use clearing::{ReconFault, RefundEnd};
use clock::Clock;
pub use control::{ControlError, Outcome, PayOptions};
use desk::AnyDesk;
pub use eko::{EkoSwitches, QrFailure};
pub use enkash::{
    EnkashSwitches, MandateNaming, MandateNoticeStatus, MandatePeriod, MandateRule, MandateStatus, MandateWords, RepeatedMandate,
    RepeatedOrder,
};
pub use faults::{Fault, FaultKind, WebhookFault, WebhookFaultKind};
pub use mandates::{ApprovalCourse, DebitCourse, DebitEnd, MandateSwitches, NoticeCourse, NoticeEnd, PayerAct};
pub use merchant::{EkoMerchant, EnkashMerchant, Merchant, OqpayMerchant, RazorpayMerchant, RazorpaySecrets, SandboxAccount};
pub use oqpay::OqpaySwitches;
pub use razorpay::BulkSettlement;
pub use simulated::Simulated;
use state::State;
pub use state::{Answered, SeenRequest};
pub use switches::{RefundCourse, RefundRrn, Switches, Throttle};
pub use webhooks::{Delivery, DeliveryStatus};

#[derive(Clone, Debug)]
pub struct SandboxConfig {
    pub accounts: Vec<SandboxAccount>,
    /// The same seed gives the same identifiers, so a service that keeps its records over restarts
    /// of the sandbox needs another seed each time, or a `state_file`.
    pub seed: u64,
    /// Per mille of the providers' retry schedules: 1000 is the real one, 1 a thousand times faster.
    pub webhook_time_scale: u64,
    /// The events of one happening are shuffled within this.
    pub event_spread_ms: u64,
    /// How long a receiver of webhooks may take.
    pub webhook_timeout: Duration,
    /// Where the state is kept over restarts.
    pub state_file: Option<PathBuf>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            seed: 1,
            webhook_time_scale: 1_000,
            event_spread_ms: 2_000,
            webhook_timeout: Duration::from_secs(5),
            state_file: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the sandbox serves loopback alone, not `{0}`: anybody who reaches it can make payments up")]
    NotLoopback(SocketAddr),
    #[error("the sandbox has two accounts called `{0}`, and books are kept by name")]
    SameName(String),
    #[error("the sandbox has no address: {0}")]
    Listener(#[source] io::Error),
    #[error("the sandbox can't read its state from `{}`: {source}", .file.display())]
    StateFile { file: PathBuf, source: io::Error },
    #[error("the sandbox can't send webhooks: {0}")]
    Client(#[source] reqwest::Error),
}

/// A running sandbox; clones are handles on the same one. It serves until `stop`.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    config: SandboxConfig,
    address: SocketAddr,
    /// `http://127.0.0.1:PORT`
    base_url: String,
    clock: Clock,
    state: Mutex<State>,
    /// Something may have become due.
    wake: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
    client: reqwest::Client,
}

/// Serves on `listener` until `stop` is called on the handle.
pub async fn start(listener: TcpListener, config: SandboxConfig) -> Result<Sandbox, StartError> {
    let address = listener.local_addr().map_err(StartError::Listener)?;
    if !address.ip().is_loopback() {
        return Err(StartError::NotLoopback(address));
    }
    let mut names = HashSet::new();
    if let Some(twice) = config.accounts.iter().find(|account| !names.insert(account.name.as_str())) {
        return Err(StartError::SameName(twice.name.clone()));
    }
    let state = State::open(&config)?;
    let inner = Inner {
        client: delivery::client(config.webhook_timeout).map_err(StartError::Client)?,
        address,
        base_url: format!("http://{address}"),
        clock: Clock::new(state.offset_ms),
        state: Mutex::new(state),
        wake: Notify::new(),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
        config,
    };
    let sandbox = Sandbox { inner: Arc::new(inner) };
    let tasks = &sandbox.inner.tasks;
    tasks.spawn(server::serve(listener, sandbox.inner.clone()));
    tasks.spawn(delivery::run(sandbox.inner.clone()));
    tasks.close();
    Ok(sandbox)
}

/// What the command line offers: a sandbox on `address`, until `until` is done.
pub async fn run(address: SocketAddr, config: SandboxConfig, until: impl Future<Output = ()>) -> Result<(), StartError> {
    let listener = TcpListener::bind(address).await.map_err(StartError::Listener)?;
    let sandbox = start(listener, config).await?;
    tracing::info!("the sandbox serves its providers at `{address}`");
    until.await;
    sandbox.stop().await;
    Ok(())
}

impl Sandbox {
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// The base that `/v1/…` is appended to.
    pub fn razorpay_url(&self) -> String {
        self.url_of(Simulated::Razorpay)
    }

    /// The base that an adapter appends its own paths to.
    pub fn url_of(&self, provider: Simulated) -> String {
        format!("{}/{}", self.inner.base_url, provider.name())
    }

    pub fn control_url(&self) -> String {
        format!("{}/control", self.inner.base_url)
    }

    /// Closes the listener, cuts what hangs, and returns when all is quiet.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.wait().await;
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

impl Inner {
    /// Changes the state: what fell due before comes first, the file is written after, and whoever
    /// sends webhooks has a look.
    fn change<R>(&self, act: impl FnOnce(&mut State, i64) -> R) -> R {
        let result = self.with_state(true, act);
        self.wake.notify_one();
        result
    }

    /// Looks at the state, in which what fell due has happened.
    fn read<R>(&self, look: impl FnOnce(&mut State, i64) -> R) -> R {
        self.with_state(false, look)
    }

    fn with_state<R>(&self, changes: bool, act: impl FnOnce(&mut State, i64) -> R) -> R {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        let now_ms = self.clock.now_ms();
        let mut moved = changes;
        for account in &self.config.accounts {
            moved |= self.desk(state, account, now_ms).provider().keep_appointments();
        }
        let result = act(state, now_ms);
        state.offset_ms = self.clock.offset_ms();
        if let Some(file) = self.config.state_file.as_deref().filter(|_| moved)
            && let Err(error) = state.save(file)
        {
            tracing::error!("the sandbox can't write its state to `{}`: {error}", file.display());
        }
        result
    }

    fn desk<'a>(&'a self, state: &'a mut State, account: &'a SandboxAccount, now_ms: i64) -> AnyDesk<'a> {
        state.desk(account, now_ms, self.config.event_spread_ms, &self.base_url)
    }

    fn account(&self, name: &str) -> Option<&SandboxAccount> {
        self.config.accounts.iter().find(|account| account.name == name)
    }
}
