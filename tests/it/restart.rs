//! The service as a process: killed at any moment it loses nothing that it acknowledged and does nothing twice; told
//! to end it finishes what it began. A kill can't show that the disk has it all (the system's cache survives): that
//! is `durability.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::transport::Channel;
use upistream::clock::TestClock;
use upistream::grpc::pb;
use upistream::grpc::pb::qr_service_client::QrServiceClient;
use upistream::sandbox::{Fault, FaultKind, PayOptions, Sandbox};

use crate::support::agreement::{Paid, all_qrs, check_log, check_no_reference_acted_twice, difference};
use crate::support::app::{ACCOUNT, App, PATIENCE, order, provider, until};
use crate::support::process::{Process, serve};
use crate::support::rounds;

/// Kills of an ordinary run.
const KILLS: u32 = 3;
const CREATORS: usize = 4;
const PAYERS: usize = 2;
/// A kill comes at most so many answers after the start.
const ANSWERS_MAX: usize = 40;
/// Requests that are under way, or about to be, when the service is told to end.
const CALLERS_AT_THE_END: usize = 60;
/// Longer than the reconciler waits between two looks at what is in doubt.
const A_LOOK_LATER: Duration = Duration::from_secs(150);
/// Longer than a lease, a call, and the time for which the provider's lists are doubted.
const ABSENCE_IS_PROOF: Duration = Duration::from_secs(20 * 60);
/// The longest that a kill waits after the answer that it waits for.
const KILL_DELAY_MAX_US: u64 = 20_000;
/// How long a caller waits for an answer.
const DEADLINE: Duration = Duration::from_millis(1_500);

/// What callers and payers know: all that a crash may not take back.
#[derive(Default)]
struct Known {
    /// Each request's last answer.
    acknowledged: BTreeMap<String, pb::Qr>,
    unanswered: BTreeSet<String>,
    /// Codes that somebody pays or paid.
    chosen: BTreeSet<String>,
    paid: Paid,
}

#[derive(Clone)]
struct Story {
    provider: Sandbox,
    known: Arc<Mutex<Known>>,
    next_key: Arc<AtomicU64>,
    folder: Arc<TempDir>,
}

impl Story {
    async fn begin() -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Self { provider: provider().await, known: Arc::default(), next_key: Arc::default(), folder }
    }

    async fn start(&self) -> Process {
        Process::start(self.folder.path(), &self.provider).await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nobody panics while holding it")
    }

    /// Asks for the code of `key`, and notes what came of it. False: no answer came.
    async fn create(&self, channel: &Channel, key: &str) -> bool {
        let mut request = Request::new(order(key, 10_000));
        request.set_timeout(DEADLINE);
        let answered = QrServiceClient::new(channel.clone()).create_qr(request).await;
        let mut known = self.known();
        match answered {
            Ok(answer) => {
                let qr = answer.into_inner().qr.expect("the answer has the code");
                known.unanswered.remove(key);
                known.acknowledged.insert(key.to_owned(), qr);
                true
            }
            Err(status) => {
                // An error without details of ours is one that the client's own library made: the connection broke.
                assert!(status.details().is_empty(), "{key} was refused: {status:?}");
                known.unanswered.insert(key.to_owned());
                false
            }
        }
    }

    /// A caller who asks for one code after the other until he is not answered.
    async fn create_on(self, channel: Channel) {
        while self.create(&channel, &format!("key-{}", self.next_key.fetch_add(1, Ordering::Relaxed))).await {}
    }

    /// A payer who pays what was handed out until `over`.
    async fn pay_on(self, over: CancellationToken) {
        while !over.is_cancelled() {
            if let Some(qr) = self.choose() {
                let payment = self.provider.pay_qr(ACCOUNT, &qr.upi_link, PayOptions::default()).await.expect("the code can be paid");
                self.known().paid.insert(payment, qr.provider_ref);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Some code that was handed out and that nobody pays yet.
    fn choose(&self) -> Option<pb::Qr> {
        let mut known = self.known();
        let Known { acknowledged, chosen, .. } = &*known;
        let payable: Vec<&pb::Qr> = acknowledged.values().filter(|qr| !qr.upi_link.is_empty() && !chosen.contains(&qr.id)).collect();
        let qr = (*payable.choose(&mut rand::rng())?).clone();
        known.chosen.insert(qr.id.clone());
        Some(qr)
    }

    /// Callers and payers do what they do until `end` is over, which ends the service.
    async fn live<T>(&self, process: Process, end: impl AsyncFnOnce(Process) -> T) -> T {
        let over = CancellationToken::new();
        let mut people = JoinSet::new();
        for _ in 0..CREATORS {
            people.spawn(self.clone().create_on(process.channel.clone()));
        }
        for _ in 0..PAYERS {
            people.spawn(self.clone().pay_on(over.clone()));
        }
        let ended = end(process).await;
        over.cancel();
        while let Some(left) = people.join_next().await {
            left.expect("nobody panics");
        }
        ended
    }

    /// Waits until `count` more requests were acknowledged.
    async fn acknowledged(&self, count: usize) {
        let before = self.known().acknowledged.len();
        until("more answers", async || (self.known().acknowledged.len() >= before + count).then_some(())).await;
    }

    /// Those who got no answer ask again with the same key.
    async fn ask_again(&self, process: &Process) {
        let unanswered: Vec<String> = self.known().unanswered.iter().cloned().collect();
        for key in unanswered {
            assert!(self.create(&process.channel, &key).await, "a request that is repeated is answered");
        }
    }

    /// Every acknowledged code is there, at least as far as it was.
    async fn check_nothing_lost(&self, process: &Process) {
        let acknowledged: Vec<pb::Qr> = self.known().acknowledged.values().cloned().collect();
        for then in acknowledged {
            let request = pb::GetQrRequest { id: then.id.clone() };
            let found = QrServiceClient::new(process.channel.clone()).get_qr(request).await;
            let now = found.unwrap_or_else(|status| panic!("{then:?} is lost: {status:?}")).into_inner().qr.expect("the code");
            assert!(now.revision >= then.revision, "{now:?} was {then:?}");
            assert!(now.state() == then.state() || now.revision > then.revision, "{now:?} was {then:?}");
            assert!(then.upi_link.is_empty() || then.upi_link == now.upi_link, "{now:?} was {then:?}");
        }
    }

    /// The last start is in this process, where time can pass for both sides until the provider's lists are believed.
    /// Nothing is in doubt then, and each record is as the provider's.
    async fn check_settles(&self) {
        let app = App::start_at(Arc::clone(&self.folder), Arc::new(TestClock::default()), self.provider.clone(), |_| ()).await;
        app.advance(ABSENCE_IS_PROOF);
        let paid = self.known().paid.clone();
        let differs = Mutex::new(String::new());
        let agreed = until("agreement with the provider", async || {
            // Time goes on: what a look that was under way has read before proves nothing yet.
            app.advance(A_LOOK_LATER);
            let difference = difference(&app, &paid).await;
            difference.map(|text| *differs.lock().expect("nobody panics while holding it") = text).is_none().then_some(())
        });
        if tokio::time::timeout(PATIENCE - Duration::from_secs(1), agreed).await.is_err() {
            panic!("{}", differs.lock().expect("nobody panics while holding it"));
        }
        check_no_reference_acted_twice(&self.provider);
        check_log(&app).await;
        assert!(app.running.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_loses_nothing_and_does_nothing_twice() {
    let (seed, kills) = (rounds::seed(), rounds::of(KILLS));
    println!("{kills} kills, UPISTREAM_SEED={seed}");
    let mut dice = rounds::dice(seed);
    let story = Story::begin().await;
    for _ in 0..kills {
        let process = story.start().await;
        story.ask_again(&process).await;
        story.check_nothing_lost(&process).await;
        let (answers, delay_us) = (dice.random_range(1..=ANSWERS_MAX), dice.random_range(0..=KILL_DELAY_MAX_US));
        let kill = async |process: Process| {
            story.acknowledged(answers).await;
            tokio::time::sleep(Duration::from_micros(delay_us)).await;
            process.kill().await;
        };
        story.live(process, kill).await;
    }
    let process = story.start().await;
    story.ask_again(&process).await;
    story.check_nothing_lost(&process).await;
    process.kill().await;
    story.check_settles().await;
    let known = story.known();
    println!("{} codes acknowledged, {} payments", known.acknowledged.len(), known.paid.len());
    assert!(known.unanswered.is_empty() && known.paid.len() > 1, "everybody was answered, and somebody paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_told_to_end_finishes_what_it_began() {
    let story = Story::begin().await;
    // Slower than what a stop waits for without need, within what a drain waits for.
    let slow = Fault { times: 1_000, ..Fault::on("qr.create", FaultKind::Delay { ms: 2_500 }) };
    story.provider.fault(slow).expect("there is room for a fault");
    let patient = [("UPISTREAM__RECONCILER__LEASE_MS", "10000"), ("UPISTREAM__ACCOUNTS__SHOP__RAZORPAY__TIMEOUT_MS", "8000")];
    let patiently = |config: &Path| {
        let mut command = serve(config);
        command.envs(patient);
        command
    };
    let process = Process::start_as(story.folder.path(), &story.provider, patiently).await;
    let channel = process.channel.clone();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS_AT_THE_END {
        let channel = channel.clone();
        callers.spawn(async move { QrServiceClient::new(channel).create_qr(order(&format!("last-{caller}"), 10_000)).await });
    }
    until("a request to reach the provider", async || {
        let codes = story.provider.qr_codes(ACCOUNT).expect("the sandbox knows the account");
        (!codes.is_empty()).then_some(())
    })
    .await;
    let ended = process.terminate().await;
    assert_eq!(ended.code(), Some(0), "it ended with {ended}");

    let answers = callers.join_all().await;
    let made: Vec<pb::Qr> = answers.into_iter().filter_map(Result::ok).filter_map(|answer| answer.into_inner().qr).collect();
    assert!(made.iter().all(|qr| qr.state() == pb::QrState::Active), "{made:?}");
    let app = App::start_at(Arc::clone(&story.folder), Arc::new(TestClock::default()), story.provider.clone(), |_| ()).await;
    let kept = all_qrs(&app).await;
    println!("{} of {CALLERS_AT_THE_END} requests were begun, {} answered", kept.len(), made.len());
    // Not even a moment of time has passed for the reconciler: it was finished before the end.
    let undecided: Vec<&pb::Qr> = kept.iter().filter(|qr| qr.state() != pb::QrState::Active).collect();
    assert!(undecided.is_empty(), "{undecided:?}");
    assert_eq!(story.provider.qr_codes(ACCOUNT).expect("the sandbox knows the account").len(), kept.len());
    assert!(app.running.stop().await);
}
