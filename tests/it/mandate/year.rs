//! A year of monthly debits over several replicas, one of which is killed again and again: each month is collected once, on
//! permitted days and in permitted hours only, whoever does it.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use upistream::clock::TestClock;
use upistream::config::Config;
use upistream::grpc::pb;
use upistream::sandbox::Sandbox;

use super::{debit_order, india, instant, is_peak, mandate_order, switched};
use crate::refund::paise;
use crate::support::app::{self, ACCOUNT, App, check_revisions};
use crate::support::redis::{self, TestRedis};
use crate::support::replica::Replica;
use crate::support::rounds;

const PAISE: i64 = 49_900;
const MONTHS: usize = 12;
const REPLICAS: usize = 2;
/// Runs in CI; by hand five times as many.
const RUNS: u32 = 10;
const RUNS_AT_ONCE: usize = 5;
/// A dead replica's leases come back after that.
const LEASE_MS: u64 = 1_500;
const TRIES: u32 = 400;

fn settings(url: String) -> impl FnOnce(&mut Config) + Send + 'static {
    move |config: &mut Config| {
        config.store.backend = redis::backend(url);
        config.reconciler.lease_ms = LEASE_MS;
        app::razorpay(config).timeout_ms = 400;
    }
}

/// What a run is made of: replicas come and go, the store and the provider stay.
struct World {
    redis: TestRedis,
    provider: Sandbox,
    clock: Arc<TestClock>,
    replicas: Vec<Replica>,
    seed: u64,
    dice: StdRng,
    kills: usize,
}

impl World {
    async fn start(seed: u64) -> Self {
        let redis = TestRedis::start().await;
        let provider = app::provider().await;
        switched(&provider, |mandates| mandates.bank_enforces_rules = true);
        let clock = Arc::new(TestClock::default());
        let mut world = Self { redis, provider, clock, replicas: Vec::new(), seed, dice: rounds::dice(seed), kills: 0 };
        for _ in 0..REPLICAS {
            world.add().await;
        }
        world
    }

    async fn add(&mut self) {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let (clock, provider) = (Arc::clone(&self.clock), self.provider.clone());
        self.replicas.push(Replica::start_at(folder, clock, provider, settings(self.redis.url())).await);
    }

    fn app(&self) -> &App {
        self.replicas.last().expect("there is one").app()
    }

    /// Ends one of them at once, after a random moment, and starts another.
    async fn kill_one(&mut self) {
        let pause = self.dice.random_range(0..400);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let victim = self.dice.random_range(0..self.replicas.len());
        self.replicas.swap_remove(victim).kill().await;
        self.kills += 1;
        self.add().await;
    }

    /// Asks until an answer comes: a replica may be killed in the middle of it, and the same key is asked of another.
    async fn debit(&mut self, order: pb::CreateDebitRequest) -> pb::Debit {
        let mut last = None;
        for _ in 0..TRIES {
            let kills = self.dice.random_ratio(1, 3);
            let answer = {
                let (client, order) = (self.app().mandates(), order.clone());
                tokio::spawn(async move { client.clone().create_debit(order).await })
            };
            if kills {
                self.kill_one().await;
            }
            match answer.await.expect("asking panics nowhere") {
                Ok(created) => return created.into_inner().debit.expect("the answer has the debit"),
                Err(refused) => last = Some(refused),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody answered: {last:?}");
    }

    /// Time passes in steps of so many seconds until the debit is as `wanted`.
    async fn passing(&self, id: &str, seconds: u64, what: &str, wanted: impl Fn(&pb::Debit) -> bool) -> pb::Debit {
        for _ in 0..TRIES {
            let debit = self.app().get_debit(id).await;
            if wanted(&debit) {
                return debit;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.app().advance(Duration::from_secs(seconds));
        }
        panic!("seed {}: time passed in vain for {what}: {:?}", self.seed, self.app().get_debit(id).await);
    }
}

async fn a_year(seed: u64) -> usize {
    let mut world = World::start(seed).await;
    world.app().advance_to_day(1, 6, 0);
    let mandate = world.app().approved(mandate_order(world.app(), "mandate")).await;
    let mut debits = Vec::new();
    for month in 0..MONTHS {
        let (day, hour) = (world.dice.random_range(2..20), world.dice.random_range(0..24));
        if month > 0 {
            world.app().advance_to_day(1, 0, 30);
        }
        world.app().advance_to_day(day, hour, 0);
        let asked = world.debit(debit_order(&format!("month-{month}"), &mandate, PAISE)).await;
        world.app().advance(Duration::from_secs(40));
        if world.dice.random_ratio(1, 3) {
            world.kill_one().await;
        }
        // It is told by a callback or found by looking, whoever was killed meanwhile.
        let waiting = world.passing(&asked.id, 60, "the notice's delivery", |debit| debit.state() == pb::DebitState::Scheduled).await;
        world.app().advance_to(instant(waiting.next_permitted_time.as_ref()).expect("it is told when"));
        if world.dice.random_ratio(1, 2) {
            world.kill_one().await;
        }
        world.passing(&asked.id, 10, "an attempt", |debit| !debit.attempts.is_empty()).await;
        if world.dice.random_ratio(1, 3) {
            world.kill_one().await;
        }
        // Whoever dies right before the call leaves an attempt that is not there: another one waits until it can't come late.
        debits.push(world.passing(&asked.id, 3_600, "the money", |debit| debit.state() == pb::DebitState::Succeeded).await);
    }
    check(seed, &world, &mandate, &debits).await;
    world.kills
}

/// What must be so in the end, here and at the provider.
async fn check(seed: u64, world: &World, mandate: &pb::Mandate, debits: &[pb::Debit]) {
    let app = world.app();
    let cycles: std::collections::BTreeSet<&str> = debits.iter().map(|debit| debit.cycle.as_str()).collect();
    assert_eq!(cycles.len(), MONTHS, "seed {seed}: {cycles:?}");
    let mandate = &app.get_mandate(&mandate.id).await;
    let sum = PAISE * i64::try_from(MONTHS).expect("a dozen");
    assert_eq!((mandate.debit_count, paise(&mandate.amount_debited)), (12, sum), "seed {seed}");
    assert_eq!(app.collected_at_provider(mandate), [PAISE; MONTHS], "seed {seed}");
    for debit in debits {
        for attempt in &debit.attempts {
            let begun = instant(attempt.start_time.as_ref()).expect("it was begun");
            assert!(!is_peak(begun), "seed {seed}: {debit:?}");
            assert_eq!(format!("{}", india(begun).strftime("%Y-%m")), debit.cycle, "seed {seed}");
        }
        let (last, earlier) = debit.attempts.split_last().expect("it was collected");
        assert!(last.failure.is_none(), "seed {seed}: {debit:?}");
        for attempt in earlier {
            let why = attempt.failure.as_ref().map(pb::Failure::reason);
            assert_eq!(why, Some(pb::FailureReason::AbsentAtProvider), "seed {seed}: {debit:?}");
        }
        let delivered = instant(debit.notify_deliver_time.as_ref()).expect("it was delivered");
        let begun = instant(last.start_time.as_ref()).expect("it was begun");
        assert!(begun.duration_since(delivered).as_hours() >= 24, "seed {seed}: {debit:?}");
    }
    // The bank enforces the rules itself, and found nothing to refuse.
    let payments = app.provider.payments(ACCOUNT).expect("the sandbox knows the account");
    let failed: Vec<_> = payments.iter().filter(|payment| payment["status"] == "failed").collect();
    assert!(failed.is_empty(), "seed {seed}: {failed:?}");
    check_revisions(&app.log().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_months_are_collected_once_each_whoever_is_killed_when() {
    let first = rounds::seed();
    let runs = if rounds::of(1) > 1 { RUNS * 5 } else { RUNS };
    println!("UPISTREAM_SEED={first}, {runs} runs");
    let mut years = JoinSet::new();
    let (mut begun, mut kills) = (0, 0);
    while begun < runs || !years.is_empty() {
        while begun < runs && years.len() < RUNS_AT_ONCE {
            let seed = first.wrapping_add(u64::from(begun));
            years.spawn_blocking(move || Runtime::new().expect("threads can be started").block_on(a_year(seed)));
            begun += 1;
        }
        if let Some(ended) = years.join_next().await {
            kills += ended.unwrap_or_else(|cause| std::panic::resume_unwind(cause.into_panic()));
        }
    }
    println!("{kills} replicas were killed");
    assert!(kills > runs as usize, "hardly anybody was killed: {kills}");
}
