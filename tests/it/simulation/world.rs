//! The world of a story: the service, the provider, the callers and what they know.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tempfile::TempDir;
use upistream::clock::TestClock;
use upistream::config::{Config, ProviderConfig};
use upistream::grpc::pb;
use upistream::sandbox::{Sandbox, Switches};

use super::step::Request;
use crate::support::agreement::{Paid, all_qrs, check_log, check_no_reference_acted_twice, difference};
use crate::support::app::{ACCOUNT, App, provider, until};
use crate::support::replica::Replica;
use crate::support::rounds;

/// A call to the provider takes no longer. Short, since many wait for it in vain.
pub const CALL_TIMEOUT_MS: u64 = 400;
/// A dead service's leases end after this.
const LEASE_MS: u64 = 1_500;
/// Longer than a lease, a call, and the time for which the provider's lists are doubted.
const ABSENCE_IS_PROOF: Duration = Duration::from_secs(40 * 60);
/// How time goes on while the end is waited for: a payment that the provider changed its mind about is looked at for days.
const AT_THE_END: Duration = Duration::from_secs(30 * 60);

pub struct World {
    pub seed: u64,
    pub dice: StdRng,
    pub provider: Sandbox,
    pub clock: Arc<TestClock>,
    folder: Arc<TempDir>,
    replica: Option<Replica>,
    /// Every request that was made, to be made again.
    pub asked: Vec<Request>,
    /// The codes that callers were told of.
    pub known: BTreeSet<String>,
    pub paid: Paid,
    /// Keys of codes that the provider makes late.
    pub travelling: Vec<String>,
    pub is_deaf: bool,
    /// What happened, for whoever wants to know why it failed.
    story: String,
}

impl World {
    pub async fn begin(seed: u64) -> Self {
        let mut dice = rounds::dice(seed);
        let provider = provider().await;
        provider.switches(switches(&mut dice));
        let is_deaf = dice.random_bool(0.3);
        let clock = Arc::new(TestClock::default());
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let mut world = Self {
            seed,
            dice,
            provider,
            clock,
            folder,
            replica: None,
            asked: Vec::new(),
            known: BTreeSet::new(),
            paid: Paid::new(),
            travelling: Vec::new(),
            is_deaf,
            story: String::new(),
        };
        world.tell(format!("{:?}", world.provider.current_switches()));
        world.tell(if world.is_deaf { "no callback comes" } else { "callbacks come" });
        world.keep_deaf();
        world.lists_lag();
        world.start().await;
        world
    }

    pub fn tell(&mut self, what: impl std::fmt::Display) {
        writeln!(self.story, "{what}").expect("a text takes whatever is written to it");
    }

    pub fn app(&self) -> &App {
        self.replica.as_ref().expect("there is a service between two steps").app()
    }

    pub async fn kill(&mut self) {
        if let Some(replica) = self.replica.take() {
            replica.kill().await;
        }
    }

    pub async fn start(&mut self) {
        let (folder, clock, provider) = (Arc::clone(&self.folder), Arc::clone(&self.clock), self.provider.clone());
        self.replica = Some(Replica::start_at(folder, clock, provider, settings).await);
    }

    /// Time passes for both sides. What the provider still has to act on has arrived by the time that its absence
    /// would be believed.
    pub async fn pass(&mut self, time: Duration) {
        for key in std::mem::take(&mut self.travelling) {
            until("a late request to be acted on", async || has_code(&self.provider, &key).then_some(())).await;
        }
        self.app().advance(time);
    }

    /// What must hold at every moment.
    pub async fn check_now(&self) {
        check_no_reference_acted_twice(&self.provider);
        check_log(self.app()).await;
        // Only a request that certainly did nothing makes room for another with its key.
        let mut standing: BTreeMap<String, pb::Qr> = BTreeMap::new();
        for qr in all_qrs(self.app()).await {
            let reason = qr.failure.as_ref().map(pb::Failure::reason);
            if reason != Some(pb::FailureReason::NotSent)
                && let Some(other) = standing.insert(qr.reference.clone(), qr)
            {
                panic!("two codes stand for one request: {other:?} and {:?}", standing[&other.reference]);
            }
        }
    }

    /// Faults stop, time passes: nothing is in doubt, and we and the provider agree about everything.
    pub async fn check_the_end(&mut self) {
        self.tell("the end");
        self.provider.clear_faults();
        self.provider.set_list_lag(0);
        self.provider.release_webhooks();
        self.pass(ABSENCE_IS_PROOF).await;
        let last = Mutex::new(None);
        let waited = tokio::time::timeout(
            Duration::from_secs(18),
            until("agreement", async || {
                self.app().advance(AT_THE_END);
                let differs = difference(self.app(), &self.paid).await;
                let agrees = differs.is_none();
                *last.lock().expect("nobody panics while holding it") = differs;
                agrees.then_some(())
            }),
        )
        .await;
        if waited.is_err() {
            panic!("no agreement: {}", last.lock().expect("nobody panics while holding it").clone().unwrap_or_default());
        }
        self.check_now().await;
        self.kill().await;
        self.provider.stop().await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("story {}:\n{}", self.seed, self.story);
        }
    }
}

pub fn has_code(provider: &Sandbox, key: &str) -> bool {
    let codes = provider.qr_codes(ACCOUNT).expect("the sandbox knows the account");
    codes.iter().any(|code| code["notes"]["key"].as_str() == Some(key))
}

fn settings(config: &mut Config) {
    config.reconciler.lease_ms = LEASE_MS;
    config.grpc.deadline_margin_ms = 20;
    // It opens and closes again and again.
    config.provider_calls.breaker_failures = 2;
    config.provider_calls.breaker_failure_percent = 20;
    config.provider_calls.breaker_open_ms = 150;
    for account in config.accounts.values_mut() {
        let ProviderConfig::Razorpay(razorpay) = &mut account.provider else { panic!("the accounts are at Razorpay") };
        razorpay.timeout_ms = CALL_TIMEOUT_MS;
        razorpay.deadline_floor_ms = 50;
    }
}

/// What the provider's documentation leaves open is decided anew in each story.
fn switches(dice: &mut StdRng) -> Switches {
    Switches {
        expires_when_fetched: dice.random_bool(0.3),
        closed_event_when_paid: dice.random_bool(0.3),
        closing_closed_succeeds: dice.random_bool(0.3),
        closed_code_cannot_be_paid: dice.random_bool(0.3),
        only_credited: dice.random_bool(0.3),
        strict_order: dice.random_bool(0.2),
        escape_unicode: dice.random_bool(0.2),
        auto_capture: dice.random_bool(0.7),
        ..Switches::default()
    }
}
