//! Several replicas on one redis: any of them serves any call, one effect for one key whoever dies when, and streams that
//! move from one to another.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use upistream::grpc::pb;
use upistream::grpc::pb::qr_service_client::QrServiceClient;
use upistream::sandbox::{Fault, FaultKind, Sandbox};

use super::{app_at, app_on};
use crate::support::agreement::check_no_reference_acted_twice;
use crate::support::app::{ACCOUNT, order, provider, told, until, within};
use crate::support::log::Reader;
use crate::support::process::{Process, serve};
use crate::support::redis::{TestRedis, signal};
use crate::support::redis_proxy::Proxy;
use crate::support::rounds;

const CALLERS: usize = 32;
/// Keys of an ordinary run at each of which all callers come at once; ten times as many are the whole.
const KEYS: u32 = 20;
/// Keys that an owner leaves behind at once when he dies.
const KEYS_AT_ONCE: u32 = 20;
const PATIENT: Duration = Duration::from_secs(25);

fn earliest() -> pb::SubscribeRequest {
    pb::SubscribeRequest { start: Some(pb::subscribe_request::Start::Earliest(true)), ..Default::default() }
}

/// Calls with one key, over all channels in turn, until each has an answer. Only IDEMPOTENCY_IN_FLIGHT may be repeated, and
/// what a client's own library says of a connection that broke.
async fn all_at_once(channels: &[Channel], key: &str, callers: usize) -> BTreeSet<String> {
    let mut calls = JoinSet::new();
    for caller in 0..callers {
        let (channels, key) = (channels.to_vec(), key.to_owned());
        calls.spawn(async move {
            for attempt in caller.. {
                let channel = channels[attempt % channels.len()].clone();
                match QrServiceClient::new(channel).create_qr(within(PATIENT, order(&key, 10_000))).await {
                    Ok(answer) => return answer.into_inner().qr.expect("the answer has the code").id,
                    Err(status) if status.details().is_empty() => tokio::task::yield_now().await,
                    Err(status) => {
                        let refused = told(&status);
                        assert_eq!((refused.reason.as_str(), refused.outcome()), ("IDEMPOTENCY_IN_FLIGHT", "UNKNOWN"), "{status:?}");
                    }
                }
            }
            unreachable!("callers don't give up")
        });
    }
    calls.join_all().await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_with_one_key_on_three_replicas_have_one_effect_and_one_answer() {
    let redis = TestRedis::start().await;
    let provider = provider().await;
    let apps = [app_on(&redis, &provider).await, app_on(&redis, &provider).await, app_on(&redis, &provider).await];
    let channels: Vec<Channel> = apps.iter().map(|app| app.channel.clone()).collect();
    let keys = rounds::of(KEYS);
    for number in 0..keys {
        let answers = all_at_once(&channels, &format!("key-{number}"), CALLERS).await;
        assert_eq!(answers.len(), 1, "one answer for all");
        assert_eq!(apps[0].codes().len(), number as usize + 1, "one effect");
    }
    check_no_reference_acted_twice(&provider);
    println!("{keys} keys, {CALLERS} callers each, 3 replicas");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_serves_any_call_and_a_subscriber_of_one_sees_what_another_does() {
    let redis = TestRedis::start().await;
    let provider = provider().await;
    let (a, b) = (app_on(&redis, &provider).await, app_on(&redis, &provider).await);
    let mut reader = Reader::open(&a, earliest()).await;
    assert!(reader.history().await.is_empty());
    let qr = b.create("one", 10_000).await;
    assert_eq!(a.get_qr(&qr.id).await.upi_link, qr.upi_link);
    let seen = reader.ids(2).await;
    assert_eq!(a.create("one", 10_000).await.id, qr.id, "its key is known everywhere");

    // The subscription goes on at the other replica, from its token.
    let token = reader.token.clone();
    drop(reader);
    let other = a.create("two", 10_000).await;
    let request = pb::SubscribeRequest { start: Some(pb::subscribe_request::Start::AfterToken(token)), ..Default::default() };
    let mut moved = Reader::open(&b, request).await;
    let rest = moved.history_ids().await;
    let log: Vec<String> = b.log().await.into_iter().map(|event| event.id).collect();
    assert_eq!([seen, rest].concat(), log[..], "nothing twice, nothing missing: {other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_hands_its_leases_back() {
    let redis = TestRedis::start().await;
    let provider = provider().await;
    // Nobody could take a record from a holder within the story.
    let long = |config: &mut upistream::config::Config| config.reconciler.lease_ms = 300_000;
    let a = app_at(redis.url(), &provider, long).await;
    a.lose_callbacks();
    let qr = a.create("a", 10_000).await;
    a.always("qr.payments", FaultKind::Stall);
    let before = a.asked("qr.payments");
    a.running.store().wake(&qr.id.parse().expect("an id"), jiff::Timestamp::now(), upistream::store::Wake::News).await.expect("it is due");
    a.asked_again("qr.payments", before).await;
    let by_a = a.asked("qr.payments");
    assert!(a.running.stop().await);
    provider.clear_faults();
    let b = app_at(redis.url(), &provider, long).await;
    b.asked_again("qr.payments", by_a).await;
}

/// Three replicas as processes of their own, the first of them behind a proxy.
struct Replicas {
    redis: TestRedis,
    provider: Sandbox,
    folders: [TempDir; 3],
    /// What their configuration is changed by.
    environment: &'static [(&'static str, &'static str)],
}

impl Replicas {
    async fn begin(environment: &'static [(&'static str, &'static str)]) -> Self {
        let folders = [(); 3].map(|()| tempfile::tempdir().expect("a temporary folder"));
        Self { redis: TestRedis::start().await, provider: provider().await, folders, environment }
    }

    async fn start(&self, number: usize, url: String) -> Process {
        let command = |config: &Path| {
            let mut command = serve(config);
            command.envs(self.environment.iter().copied());
            command
        };
        Process::start_on(self.folders[number].path(), &self.provider, &url, command).await
    }

    fn codes(&self) -> usize {
        self.provider.qr_codes(ACCOUNT).expect("the sandbox knows the account").len()
    }

    /// Requests by keys of `round` are at the provider, which has made their codes and is slow to say so; all of them came
    /// to the first replica, and everybody else asks the others for the same.
    async fn leave_behind(&self, round: u32, slow: FaultKind, made: impl Fn(&Proxy), end: impl AsyncFn(Process, Arc<Proxy>)) {
        let proxy = Arc::new(Proxy::before(self.redis.socket()).await);
        let owner = self.start(0, proxy.url()).await;
        let (second, third) = (self.start(1, self.redis.url()).await, self.start(2, self.redis.url()).await);
        let before = self.codes();
        let slow = Fault { times: KEYS_AT_ONCE, ..Fault::on("qr.create", slow) };
        self.provider.fault(slow).expect("there is room for a fault");
        let mut first = JoinSet::new();
        for key in 0..KEYS_AT_ONCE {
            let channel = owner.channel.clone();
            first.spawn(
                async move { QrServiceClient::new(channel).create_qr(within(PATIENT, order(&format!("{round}-{key}"), 10_000))).await },
            );
        }
        until("all codes to be made", async || (self.codes() == before + KEYS_AT_ONCE as usize).then_some(())).await;
        made(&proxy);
        let others = vec![second.channel.clone(), third.channel.clone()];
        let mut keys = JoinSet::new();
        for key in 0..KEYS_AT_ONCE {
            let others = others.clone();
            keys.spawn(async move { all_at_once(&others, &format!("{round}-{key}"), CALLERS - 1).await });
        }
        end(owner, proxy).await;
        for answers in keys.join_all().await {
            assert_eq!(answers.len(), 1, "one answer for all");
        }
        // Nobody was answered by the owner before his end; who asked him asks the others.
        let by_owner = first.join_all().await;
        let active = |answer: &Result<tonic::Response<pb::CreateQrResponse>, tonic::Status>| {
            answer.as_ref().is_ok_and(|answer| answer.get_ref().qr.as_ref().is_some_and(|qr| qr.state() == pb::QrState::Active))
        };
        assert!(by_owner.iter().filter(|answer| active(answer)).count() < KEYS_AT_ONCE as usize, "the owner was too quick for this story");
        self.check_all_active(round, &others[0]).await;
        assert_eq!(self.codes(), before + KEYS_AT_ONCE as usize, "one effect for each key");
        check_no_reference_acted_twice(&self.provider);
    }

    /// Whoever is left finds each code at the provider.
    async fn check_all_active(&self, round: u32, channel: &Channel) {
        for key in 0..KEYS_AT_ONCE {
            until("the code to be found", async || {
                let request = within(PATIENT, order(&format!("{round}-{key}"), 10_000));
                let answer = QrServiceClient::new(channel.clone()).create_qr(request).await.ok()?.into_inner();
                answer.qr.filter(|qr| qr.state() == pb::QrState::Active && answer.idempotency_replayed)
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_is_killed_between_intent_and_answer_leaves_one_effect_and_one_answer() {
    let replicas = Replicas::begin(&[]).await;
    for round in 0..rounds::of(1) {
        replicas.leave_behind(round, FaultKind::Stall, |_| (), async |owner, _proxy| owner.kill().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_is_killed_between_answer_and_commit_leaves_one_effect_and_one_answer() {
    // Long enough that the last code is made before the first answer comes.
    let patient = &[("UPISTREAM__RECONCILER__LEASE_MS", "5000"), ("UPISTREAM__ACCOUNTS__SHOP__RAZORPAY__TIMEOUT_MS", "4500")];
    let replicas = Replicas::begin(patient).await;
    let die = async |owner: Process, proxy: Arc<Proxy>| {
        // Answers come, and nothing of them gets through to the store.
        until("answers to be on their way to the store", async || (proxy.held() > 0).then_some(())).await;
        owner.kill().await;
    };
    for round in 0..rounds::of(1) {
        replicas.leave_behind(round, FaultKind::Delay { ms: 2_000 }, Proxy::hold_from_commit, die).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_stalls_past_his_lease_and_wakes_up_again_does_nothing_twice() {
    let replicas = Replicas::begin(&[]).await;
    for round in 0..rounds::of(1) {
        let stalled = async |owner: Process, _proxy: Arc<Proxy>| {
            signal(owner.id(), "STOP");
            // The others find the codes once the owner's leases are over, two seconds from now.
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            signal(owner.id(), "CONT");
            let request = within(PATIENT, order(&format!("{round}-0"), 10_000));
            let began = std::time::Instant::now();
            let answer = QrServiceClient::new(owner.channel.clone()).create_qr(request).await;
            let answer = answer.unwrap_or_else(|status| panic!("{:?} {status:?}; its log:\n{}", began.elapsed(), owner.log())).into_inner();
            assert!(answer.idempotency_replayed);
            owner.kill().await;
        };
        replicas.leave_behind(round, FaultKind::Delay { ms: 900 }, |_| (), stalled).await;
    }
}
