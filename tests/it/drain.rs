//! A replica that is told to end while everybody uses it: what it took it finishes, subscribers are told to go on elsewhere
//! and lose nothing, and whoever is refused is told so in time to ask another replica.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use upistream::grpc::pb;
use upistream::grpc::pb::event_service_client::EventServiceClient;
use upistream::grpc::pb::qr_service_client::QrServiceClient;
use upistream::grpc::pb::subscribe_request::Start;
use upistream::grpc::pb::subscribe_response::Message;

use crate::support::agreement::check_no_reference_acted_twice;
use crate::support::app::{ACCOUNT, PATIENCE, channel, order, provider, until};
use crate::support::process::{Process, serve};
use crate::support::redis::{TestRedis, signal};

/// How many subscribe, and how many calls a second there are, in an ordinary run.
const SUBSCRIBERS: usize = 200;
const CALLS_PER_SECOND: u64 = 200;
/// Calls are begun in beats of this.
const BEAT: Duration = Duration::from_millis(10);
/// Subscribers who share a connection.
const SUBSCRIBERS_A_CONNECTION: usize = 8;
/// Connections that calls are spread over.
const CALLERS: usize = 16;
/// One call in so many makes a code; the others read one.
const CREATES_EVERY: u64 = 20;
/// Codes that are made before the replica is told to end, and after it has ended.
const CODES_BETWEEN: u64 = 20;
/// How long a caller waits for an answer.
const DEADLINE: Duration = Duration::from_secs(10);
const DELAY_MS: u64 = 1_000;

/// The same on a redis that may take its time: so many share a small machine here.
fn patiently(config: &Path) -> Command {
    let mut command = with_delay(DELAY_MS)(config);
    command.envs([("UPISTREAM__STORE__REDIS__TIMEOUT_MS", "5000"), ("UPISTREAM__RECONCILER__LEASE_MS", "30000")]);
    command
}

/// The service, which serves on for so long after it was told to end.
fn with_delay(delay_ms: u64) -> impl Fn(&Path) -> Command {
    move |config| {
        let mut command = serve(config);
        command.env("UPISTREAM__DRAIN__DELAY_MS", delay_ms.to_string());
        command
    }
}

fn number(variable: &str, ordinary: u64) -> u64 {
    std::env::var(variable).map_or(ordinary, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// Why a call was not taken, by a replica that goes away. Everything else that goes wrong is a failure of a call that was.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NotTaken {
    /// It said so itself.
    Refused,
    /// The connection was closed before the call was on it, or there was none.
    NotSent,
}

fn not_taken(status: &Status) -> Option<NotTaken> {
    let details = status.get_error_details();
    if let Some(info) = details.error_info() {
        let refused = info.reason == "DRAINING" && info.metadata.get("outcome").is_some_and(|outcome| outcome == "NOT_SENT");
        return refused.then_some(NotTaken::Refused);
    }
    let mut cause = status.source();
    while let Some(error) = cause {
        let is_from_hyper = error.downcast_ref::<hyper::Error>();
        if is_from_hyper.is_some_and(|error| error.is_canceled() || was_turned_away(error)) || error.to_string() == "tcp connect error" {
            return Some(NotTaken::NotSent);
        }
        cause = error.source();
    }
    None
}

/// Whether the connection said goodbye while the call was on its way: by HTTP/2 it is then among those that were not looked at,
/// and nobody else gets this error.
fn was_turned_away(error: &hyper::Error) -> bool {
    error.source().is_some_and(|cause| format!("{cause:?}").contains("GoAway(b\"\", NO_ERROR, Remote)"))
}

/// The two replicas as callers see them, and what became of their calls.
struct Traffic {
    leaving: Vec<Channel>,
    staying: Vec<Channel>,
    /// A code that is read.
    read_id: String,
    number: AtomicU64,
    /// Health said that the one goes away, and everybody who asks has heard of it.
    is_known: AtomicBool,
    over: CancellationToken,
    created: AtomicU64,
    answered: AtomicU64,
    not_taken: [AtomicU64; 2],
    failed: Mutex<Vec<String>>,
}

impl Traffic {
    /// Calls at a steady pace, however long each of them takes.
    async fn flow(self: Arc<Self>, per_second: u64) {
        let mut calls = JoinSet::new();
        // Timers are no finer than a millisecond.
        let mut pace = tokio::time::interval(BEAT);
        // A machine that was busy elsewhere doesn't catch up with a burst.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.over.is_cancelled() {
            pace.tick().await;
            for _ in 0..per_second * u64::try_from(BEAT.as_millis()).expect("it is small") / 1_000 {
                calls.spawn(Arc::clone(&self).call(self.number.fetch_add(1, Ordering::Relaxed)));
            }
            while calls.try_join_next().is_some() {}
        }
        while let Some(call) = calls.join_next().await {
            call.expect("nobody panics");
        }
    }

    /// One call: at the replica that goes away, as long as its caller does not know; where that does not take it, at the other.
    async fn call(self: Arc<Self>, number: u64) {
        let at = number as usize % CALLERS;
        // Half of the callers look at health, the others learn it the hard way.
        let asks_health = number.is_multiple_of(2);
        if !(asks_health && self.is_known.load(Ordering::Relaxed)) {
            match self.ask(&self.leaving[at], number).await {
                Ok(_) => return self.count(number),
                Err(status) => match not_taken(&status) {
                    Some(NotTaken::Refused) => self.not_taken[0].fetch_add(1, Ordering::Relaxed),
                    Some(NotTaken::NotSent) => self.not_taken[1].fetch_add(1, Ordering::Relaxed),
                    None => return self.fail(format!("call {number} was taken and failed: {status:?}")),
                },
            };
        }
        match self.ask(&self.staying[at], number).await {
            Ok(false) => self.count(number),
            Ok(true) => self.fail(format!("call {number} was taken, though it was said that it was not")),
            Err(status) => self.fail(format!("call {number} failed at the replica that stays: {status:?}")),
        }
    }

    /// Whether somebody else's work was found.
    async fn ask(&self, channel: &Channel, number: u64) -> Result<bool, Status> {
        let mut codes = QrServiceClient::new(channel.clone());
        if number.is_multiple_of(CREATES_EVERY) {
            let mut request = Request::new(order(&format!("key-{number}"), 10_000));
            request.set_timeout(DEADLINE);
            return Ok(codes.create_qr(request).await?.into_inner().idempotency_replayed);
        }
        let mut request = Request::new(pb::GetQrRequest { id: self.read_id.clone() });
        request.set_timeout(DEADLINE);
        codes.get_qr(request).await?;
        Ok(false)
    }

    fn count(&self, number: u64) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(CREATES_EVERY) {
            self.created.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fail(&self, text: String) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Waits until so many more codes were made.
    async fn more_codes(&self, count: u64) {
        let before = self.created.load(Ordering::Relaxed);
        until("more codes", async || (self.created.load(Ordering::Relaxed) >= before + count).then_some(())).await;
    }
}

/// A subscriber: what he was told, in its order.
#[derive(Default)]
struct Subscriber {
    ids: Mutex<Vec<String>>,
    last_token: Mutex<Option<String>>,
    said_goodbye: AtomicBool,
    /// How often he came back to the replica that stays because it asked him to.
    resumed: AtomicU64,
    /// How his last stream ended, where it did so without a goodbye.
    broken: Mutex<Option<String>>,
}

/// How a stream of events ended.
enum Ended {
    /// It was said where to go on, and when.
    Goodbye {
        token: String,
        wait: Duration,
    },
    /// The service asks to come back later: to where it was read last.
    Later {
        wait: Duration,
    },
    Broken(String),
}

impl Subscriber {
    /// Follows the log at the one replica until it says goodbye, and from there on at the other until the test has what it wants.
    async fn follow(self: Arc<Self>, leaving: Channel, staying: Channel) {
        let Ended::Goodbye { token, wait } = self.read(&leaving, Start::Earliest(true)).await else { return };
        self.said_goodbye.store(true, Ordering::Relaxed);
        tokio::time::sleep(wait).await;
        let mut from = token;
        while let Ended::Later { wait } = self.read(&staying, Start::AfterToken(from.clone())).await {
            self.resumed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(wait).await;
            let last = self.last_token.lock().unwrap_or_else(PoisonError::into_inner).clone();
            from = last.unwrap_or(from);
        }
    }

    async fn read(&self, channel: &Channel, start: Start) -> Ended {
        let ended = self.read_to_the_end(channel, start).await;
        if let Ended::Broken(how) = &ended {
            *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(how.clone());
        }
        ended
    }

    async fn read_to_the_end(&self, channel: &Channel, start: Start) -> Ended {
        let request = pb::SubscribeRequest { start: Some(start), ..Default::default() };
        let mut stream = match EventServiceClient::new(channel.clone()).subscribe(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return ended_by(&status),
        };
        let goodbye = loop {
            match stream.message().await {
                Ok(Some(pb::SubscribeResponse { message: Some(Message::Event(event)) })) => {
                    *self.last_token.lock().unwrap_or_else(PoisonError::into_inner) = Some(event.token);
                    self.ids().push(event.id);
                }
                Ok(Some(pb::SubscribeResponse { message: Some(Message::Goodbye(goodbye)) })) => break goodbye,
                Ok(Some(_)) => {}
                Ok(None) => return Ended::Broken("without a word".to_owned()),
                Err(status) => return ended_by(&status),
            }
        };
        // It is the last word.
        match stream.message().await {
            Err(end) if end.code() == Code::Unavailable => {}
            other => return Ended::Broken(format!("{other:?} after a goodbye")),
        }
        let wait = goodbye.retry_after.and_then(|wait| wait.try_into().ok());
        wait.map_or_else(
            || Ended::Broken("it does not say how long to wait".to_owned()),
            |wait| Ended::Goodbye { token: goodbye.token, wait },
        )
    }

    /// What is wrong with what he was told, which should be `expected`.
    fn differs_from(&self, expected: &[String]) -> Option<String> {
        let ids = self.ids();
        let same = ids.iter().zip(expected).take_while(|(his, ours)| his == ours).count();
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let (his, all) = (ids.len(), expected.len());
        (*ids != *expected).then(|| format!("he had {his} of {all} events, the first {same} in order; his stream: {broken:?}"))
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended_by(status: &Status) -> Ended {
    match status.get_error_details().retry_info().and_then(|info| info.retry_delay) {
        Some(wait) if status.code() == Code::Unavailable => Ended::Later { wait },
        _ => Ended::Broken(format!("{status:?}")),
    }
}

/// All events, oldest first.
async fn log(channel: &Channel) -> Vec<String> {
    let mut ids = Vec::new();
    let mut request = pb::ListEventsRequest { page_size: 200, ..Default::default() };
    loop {
        let page = EventServiceClient::new(channel.clone()).list_events(request.clone()).await.expect("events are listed").into_inner();
        ids.extend(page.events.into_iter().map(|event| event.id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

async fn channels(process: &Process, count: usize) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..count {
        channels.push(channel(process.grpc).await);
    }
    channels
}

/// In an ordinary run with the numbers above. By hand, from a release build, with more:
///
/// ```sh
/// UPISTREAM_DRAIN_SUBSCRIBERS=1000 UPISTREAM_DRAIN_CALLS=1000 \
///     cargo test --release --test it drain::a_replica_that_is_told_to_end_under_load -- --nocapture
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_told_to_end_under_load_finishes_what_it_took_and_hands_its_subscribers_on() {
    let subscribers = usize::try_from(number("UPISTREAM_DRAIN_SUBSCRIBERS", SUBSCRIBERS as u64)).expect("it is small");
    let per_second = number("UPISTREAM_DRAIN_CALLS", CALLS_PER_SECOND);
    let (redis, provider) = (TestRedis::start().await, provider().await);
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
    let leaving = Process::start_on(folders[0].path(), &provider, &redis.url(), patiently).await;
    // The provider is told of the second: callbacks come there.
    let staying = Process::start_on(folders[1].path(), &provider, &redis.url(), patiently).await;
    let read = QrServiceClient::new(staying.channel.clone()).create_qr(order("read", 10_000)).await.expect("the code is made");
    let read_id = read.into_inner().qr.expect("the answer has the code").id;

    let connections = subscribers.div_ceil(SUBSCRIBERS_A_CONNECTION);
    let (from, to) = (channels(&leaving, connections).await, channels(&staying, connections).await);
    let all: Vec<Arc<Subscriber>> = (0..subscribers).map(|_| Arc::default()).collect();
    let mut following = JoinSet::new();
    for (number, subscriber) in all.iter().enumerate() {
        let at = number / SUBSCRIBERS_A_CONNECTION;
        following.spawn(Arc::clone(subscriber).follow(from[at].clone(), to[at].clone()));
    }
    until("all subscribers to have events", async || all.iter().all(|one| !one.ids().is_empty()).then_some(())).await;
    let traffic = Arc::new(Traffic {
        leaving: channels(&leaving, CALLERS).await,
        staying: channels(&staying, CALLERS).await,
        read_id,
        number: AtomicU64::new(0),
        is_known: AtomicBool::new(false),
        over: CancellationToken::new(),
        created: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        not_taken: Default::default(),
        failed: Mutex::default(),
    });
    let begun = tokio::time::Instant::now();
    let flow = tokio::spawn(Arc::clone(&traffic).flow(per_second));
    traffic.more_codes(CODES_BETWEEN).await;

    // What nobody ends: a connection that never says a word, and a stream that goes on.
    let _silent = TcpStream::connect(leaving.grpc).await.expect("it listens");
    let mut health = HealthClient::new(leaving.channel.clone());
    let mut watched = health.watch(HealthCheckRequest::default()).await.expect("it is watched").into_inner();
    assert_eq!(watched.message().await.expect("it says").map(|said| said.status()), Some(ServingStatus::Serving));

    signal(leaving.id(), "TERM");
    let told = tokio::time::Instant::now();
    assert_eq!(watched.message().await.expect("it says").map(|said| said.status()), Some(ServingStatus::NotServing));
    assert!(TcpStream::connect(leaving.grpc).await.is_ok(), "it serves on for a while");
    traffic.is_known.store(true, Ordering::Relaxed);
    let log_file = leaving.log();
    let ended = leaving.ended().await;
    println!("it ended {} ms after it was told to", told.elapsed().as_millis());
    assert_eq!(ended.code(), Some(0), "it ended with {ended}; its log:\n{log_file}");
    assert!(told.elapsed() >= Duration::from_millis(DELAY_MS));

    traffic.more_codes(CODES_BETWEEN).await;
    traffic.over.cancel();
    flow.await.expect("nobody panics");
    let flowed = begun.elapsed();
    let goodbyes = all.iter().filter(|one| one.said_goodbye.load(Ordering::Relaxed)).count();
    assert_eq!(goodbyes, subscribers, "everybody was told goodbye");
    let expected = log(&staying.channel).await;
    let has_all =
        until("all subscribers to have all events", async || all.iter().all(|one| one.ids().len() >= expected.len()).then_some(()));
    // What they lack is said below.
    let _ = tokio::time::timeout(PATIENCE - Duration::from_secs(1), has_all).await;
    let wrong: Vec<String> = all.iter().filter_map(|one| one.differs_from(&expected)).collect();
    let some = &wrong[..wrong.len().min(5)];
    assert!(wrong.is_empty(), "{} of {subscribers} subscribers missed something, or had it twice: {some:#?}", wrong.len());
    let [refused, not_sent] = traffic.not_taken.each_ref().map(|count| count.load(Ordering::Relaxed));
    let answered = traffic.answered.load(Ordering::Relaxed);
    let resumed: u64 = all.iter().map(|one| one.resumed.load(Ordering::Relaxed)).sum();
    println!("{resumed} times a subscriber was asked to come back later by the replica that stays");
    println!(
        "{answered} calls answered in {} ms; {refused} were refused and {not_sent} not sent, and answered elsewhere",
        flowed.as_millis()
    );
    println!("{subscribers} subscribers had {} events each", expected.len());
    let failed = std::mem::take(&mut *traffic.failed.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(failed.is_empty(), "{} calls failed: {:#?}", failed.len(), &failed[..failed.len().min(5)]);

    let made: BTreeSet<String> =
        provider.qr_codes(ACCOUNT).expect("the sandbox knows the account").iter().map(|code| code["id"].to_string()).collect();
    assert_eq!(made.len() as u64, 1 + traffic.created.load(Ordering::Relaxed), "each code was made once");
    check_no_reference_acted_twice(&provider);
    following.abort_all();
    assert_eq!(staying.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let (folder, provider) = (tempfile::tempdir().expect("a temporary folder"), provider().await);
    let process = Process::start_as(folder.path(), &provider, with_delay(600_000)).await;
    let mut health = HealthClient::new(process.channel.clone());
    // Its listener answers a moment before it is through with its start, which a signal would break off.
    until("the end of the start", async || process.log().contains(" serves").then_some(())).await;
    signal(process.id(), "TERM");
    until("the drain", async || {
        let said = health.clone().check(HealthCheckRequest::default()).await.expect("it serves on").into_inner();
        (said.status() == ServingStatus::NotServing).then_some(())
    })
    .await;
    assert!(health.check(HealthCheckRequest::default()).await.is_ok(), "one is not enough");
    signal(process.id(), "TERM");
    let ended = tokio::time::timeout(PATIENCE, process.ended()).await.expect("it ends");
    assert_eq!(ended.code(), Some(1), "it says that it did not finish");
}
