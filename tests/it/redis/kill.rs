//! Redis itself is killed under load and started again: nothing acknowledged is lost, no event is, and nothing is doubled.
//! A kill can't show that the disk has a write before its answer leaves (the system's cache survives it): the order of the
//! server's calls to the system can.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use upistream::clock::Clock as _;
use upistream::domain::id::Kind;
use upistream::grpc::pb;
use upistream::grpc::pb::event_service_client::EventServiceClient;
use upistream::grpc::pb::subscribe_request::Start;
use upistream::grpc::pb::subscribe_response::Message;
use upistream::sandbox::{PayOptions, Sandbox};
use upistream::store::{AnyStore, Commit};

use super::app_at;
use super::calls::{Answer, Calls};
use crate::store::promises::{batch, create, new_event, new_id};
use crate::support::agreement::{Paid, check_log, difference};
use crate::support::app::{ACCOUNT, App, PATIENCE, provider, until};
use crate::support::redis::{TestRedis, by_clock, open, options, servers};
use crate::support::trace::{self, Act, Step};
use crate::support::{StoreTime, rounds};

/// Kills of an ordinary run.
const KILLS: u32 = 2;
const CALLERS: usize = 6;
const DEADLINE: Duration = Duration::from_secs(5);

/// The ids of all events that a follower saw, in their order.
type Seen = Arc<Mutex<Vec<String>>>;

/// A subscriber who reconnects by himself with his last token, and notes everything that he sees.
async fn follow(channel: Channel, seen: Seen, over: CancellationToken) {
    let mut token = None;
    while !over.is_cancelled() {
        let start = Some(token.clone().map_or(Start::Earliest(true), Start::AfterToken));
        let request = pb::SubscribeRequest { start, ..Default::default() };
        let Ok(stream) = EventServiceClient::new(channel.clone()).subscribe(request).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut stream = stream.into_inner();
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = over.cancelled() => return,
            };
            match message {
                Ok(Some(response)) => match response.message {
                    Some(Message::Event(event)) => {
                        token = Some(event.token.clone());
                        seen.lock().expect("nobody panics while holding it").push(event.id);
                    }
                    Some(Message::CaughtUp(caught_up)) => token = Some(caught_up.token),
                    _ => {}
                },
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// Pays what was handed out, and notes which payment was of which code.
async fn pay_on(provider: Sandbox, calls: Calls, over: CancellationToken) -> Paid {
    let mut paid = Paid::new();
    while !over.is_cancelled() {
        let unpaid =
            calls.acknowledged().into_iter().find(|qr| !qr.upi_link.is_empty() && !paid.values().any(|code| *code == qr.provider_ref));
        if let Some(qr) = unpaid {
            let payment = provider.pay_qr(ACCOUNT, &qr.upi_link, PayOptions::default()).await.expect("the code can be paid");
            paid.insert(payment, qr.provider_ref);
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    paid
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_under_load_loses_nothing_that_was_acknowledged_and_no_event() {
    let (seed, kills) = (rounds::seed(), rounds::of(KILLS));
    println!("{kills} kills of redis, UPISTREAM_SEED={seed}");
    let mut dice = rounds::dice(seed);
    let redis = Arc::new(TestRedis::start_with(&["--appendfsync", "always"]).await);
    let provider = provider().await;
    let (a, b) = (app_at(redis.url(), &provider, |_| ()).await, app_at(redis.url(), &provider, |_| ()).await);
    let channels = [a.channel.clone(), b.channel.clone()];
    let (calls, over, end_of_stream) = (Calls::default(), CancellationToken::new(), CancellationToken::new());
    let mut people = calls.begin(&channels, CALLERS, "key", DEADLINE, &over);
    let payer = tokio::spawn(pay_on(provider.clone(), calls.clone(), over.clone()));
    let mut followers = JoinSet::new();
    let seen: [Seen; 2] = Default::default();
    for (channel, seen) in channels.iter().zip(&seen) {
        followers.spawn(follow(channel.clone(), Arc::clone(seen), end_of_stream.clone()));
    }
    for _ in 0..kills {
        let before = calls.count(|answer| matches!(answer, Answer::Ok(_)));
        let more = dice.random_range(5..40);
        until("more answers", async || (calls.count(|answer| matches!(answer, Answer::Ok(_))) >= before + more).then_some(())).await;
        redis.kill();
        until("health to say so", async || (a.metrics().await.contains("upistream_store_up 0")).then_some(())).await;
        redis.start_again().await;
        until("health to come back", async || (a.metrics().await.contains("upistream_store_up 1")).then_some(())).await;
    }
    over.cancel();
    while let Some(left) = people.join_next().await {
        left.expect("nobody panics");
    }
    let paid = payer.await.expect("nobody panics");
    calls.check(&a).await;
    check_settles(&a, &b, &paid).await;

    let log = async || check_log(&a).await.into_iter().map(|event| event.id).collect::<Vec<_>>();
    until("both followers to have seen all of the log", async || {
        let log = log().await;
        seen.iter().all(|seen| seen.lock().expect("nobody panics while holding it").len() >= log.len()).then_some(())
    })
    .await;
    end_of_stream.cancel();
    while let Some(ended) = followers.join_next().await {
        ended.expect("nobody panics");
    }
    let log = log().await;
    for seen in &seen {
        let seen = seen.lock().expect("nobody panics while holding it");
        assert!(seen.len() > 10 && log.starts_with(&seen), "no gap, nothing twice");
    }
    let (ok, not_sent, unknown) = (
        calls.count(|answer| matches!(answer, Answer::Ok(_))),
        calls.count(|answer| matches!(answer, Answer::NotSent)),
        calls.count(|answer| matches!(answer, Answer::Unknown)),
    );
    println!("{ok} acknowledged, {not_sent} not sent, {unknown} unknown; {} payments, {} events", paid.len(), log.len());
    assert!(ok > 10 && paid.len() > 1);
}

/// Time passes until the provider's lists are believed: then our records are as the provider's.
async fn check_settles(a: &App, b: &App, paid: &Paid) {
    let differs = std::sync::Mutex::new(String::new());
    let pass = |by: Duration| {
        a.advance(by);
        b.clock.advance(by);
    };
    pass(Duration::from_secs(20 * 60));
    let agreed = until("agreement with the provider", async || {
        pass(Duration::from_secs(150));
        let difference = difference(a, paid).await;
        difference.map(|text| *differs.lock().expect("nobody panics while holding it") = text).is_none().then_some(())
    });
    if tokio::time::timeout(PATIENCE - Duration::from_secs(1), agreed).await.is_err() {
        panic!("{}", differs.lock().expect("nobody panics while holding it"));
    }
    assert!(a.clock.now() > jiff::Timestamp::now());
}

/// Commits of which the trace tells.
const COMMITS: usize = 20;

/// How many of [`COMMITS`] were answered before the disk had them.
async fn not_on_disk_when_answered(append_fsync: &str) -> usize {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (socket, file) = (folder.path().join("redis.sock"), folder.path().join("calls.trace"));
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", append_fsync]);
    command.arg("--unixsocket").arg(&socket).arg("--dir").arg(folder.path());
    let mut server = trace::traced(&command, &file);
    server.stdout(std::process::Stdio::null()).kill_on_drop(true);
    let mut server = server.spawn().expect("strace and redis-server can be run (tests/run installs them)");
    until("redis to listen", async || tokio::net::UnixStream::connect(&socket).await.ok()).await;
    let clock = Arc::new(StoreTime::start());
    let url = format!("unix://{}", socket.display());
    let store: AnyStore = Arc::new(open(by_clock(options(servers([url]), "store"), &clock)).await);
    let mut names = Vec::new();
    // From here on the server knows the script: a commit is one question and one answer.
    store.commit(batch([create(&new_id(Kind::Payment), "first")]).into()).await.expect("the store takes it");
    for number in 0..COMMITS {
        let body = format!("durable-{number:05}-");
        let change = upistream::store::Change { event: new_event(), ..create(&new_id(Kind::Payment), &body) };
        assert!(matches!(store.commit(batch([change]).into()).await.expect("the store takes it"), Commit::Done(_)));
        names.push(body);
    }
    let id = server.id().expect("it runs");
    drop(store);
    server.kill().await.expect("it ran until now");
    let traced = until("the end of the trace", async || {
        Some(std::fs::read_to_string(&file).unwrap_or_default()).filter(|traced| trace::is_complete(traced, id))
    })
    .await;
    let steps = trace::read(&traced);
    names.iter().filter(|name| !was_on_disk(&steps, name, folder.path())).count()
}

/// Whether the append-only file was synced between the write of the commit that holds `name` and its answer.
fn was_on_disk(steps: &[Step], name: &str, folder: &Path) -> bool {
    let of_file = |step: &Step| step.what.contains(".aof") && step.what.contains(&folder.display().to_string());
    let asked = steps.iter().position(|step| step.act == Act::Read && step.line.contains(name)).expect("the commit was read");
    let connection = &steps[asked].what;
    let answered =
        steps[asked..].iter().position(|step| step.act == Act::Write && step.what == *connection).expect("it was answered") + asked;
    let written = steps[asked..answered].iter().position(|step| of_file(step) && step.act == Act::Write && step.line.contains(name));
    let written = written.expect("the file has it before it is answered") + asked;
    steps[written..answered].iter().any(|step| of_file(step) && step.act == Act::Synced)
}

#[tokio::test]
async fn with_appendfsync_always_the_disk_has_a_commit_before_it_is_answered() {
    assert_eq!(not_on_disk_when_answered("always").await, 0);
}

#[tokio::test]
async fn with_less_it_has_not() {
    assert!(not_on_disk_when_answered("no").await > COMMITS / 2);
}
