//! Redis stalls, is full, forgets its scripts, throws everybody out, or fails over: an answer of the contract each time, none
//! later than its deadline allows, and all of it heals without a restart.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use upistream::config::{Backend, Config};
use upistream::domain::id::{Id, Kind, Partition};
use upistream::grpc::pb;
use upistream::store::Records;

use super::app_at;
use super::calls::{Answer, Calls};
use crate::support::app::{ACCOUNT, App, callback, order, provider, told, until};
use crate::support::redis::{TestRedis, ask, open, signal};
use crate::support::redis_cluster::TestCluster;

const DEADLINE: Duration = Duration::from_secs(3);
/// Answers leave before the deadline; a busy machine may be late with them by this much.
const LATE_MAX: Duration = Duration::from_millis(900);

/// With answers that leave early enough to be in time on a busy machine.
fn early(config: &mut Config) {
    config.grpc.deadline_margin_ms = 800;
}

/// Callers go on while `trouble` lasts, and until all works again.
async fn under_load(app: &App, name: &str, trouble: impl AsyncFnOnce()) -> Calls {
    let (calls, over) = (Calls::default(), CancellationToken::new());
    let mut people = calls.begin(std::slice::from_ref(&app.channel), 4, name, DEADLINE, &over);
    until("a few answers", async || (calls.count(|_| true) > 8).then_some(())).await;
    trouble().await;
    let ok = |calls: &Calls| calls.count(|answer| matches!(answer, Answer::Ok(_)));
    let before = ok(&calls);
    until("all to work again", async || (ok(&calls) > before + 8).then_some(())).await;
    over.cancel();
    while let Some(left) = people.join_next().await {
        left.expect("nobody panics");
    }
    // Nobody was left to his own library's clock: each answer is one of ours, and in time.
    assert_eq!(calls.count(|answer| matches!(answer, Answer::CutOff)), 0);
    assert!(calls.slowest() < DEADLINE + LATE_MAX, "an answer took {:?}", calls.slowest());
    calls
}

fn counts(calls: &Calls) -> [usize; 3] {
    [
        calls.count(|answer| matches!(answer, Answer::Ok(_))),
        calls.count(|answer| matches!(answer, Answer::NotSent)),
        calls.count(|answer| matches!(answer, Answer::Unknown)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stalls_for_ten_seconds_leaves_nobody_hanging() {
    let redis = TestRedis::start().await;
    let app = app_at(redis.url(), &provider().await, early).await;
    let calls = under_load(&app, "stalled", async || {
        redis.pause();
        tokio::time::sleep(Duration::from_secs(10)).await;
        redis.resume();
    })
    .await;
    println!("ok, not sent, unknown: {:?}; slowest {:?}", counts(&calls), calls.slowest());
    calls.check(&app).await;
    assert!(calls.count(|answer| matches!(answer, Answer::Ok(_))) > 16);
}

#[tokio::test]
async fn a_caller_who_is_not_driven_on_keeps_nobody_from_connecting() {
    let redis = TestRedis::start().await;
    let store = open(redis.options("store")).await;
    let id = Id::new(Kind::Qr, Partition(1), 1, 1);
    redis.ask::<()>("CLIENT KILL TYPE normal SKIPME yes");
    redis.pause();
    // He begins to connect, and then waits for something else for ever.
    let mut left = store.get(&id);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut left).await.is_err(), "redis does not answer");
    redis.resume();
    let answered = tokio::time::timeout(Duration::from_secs(4), store.get(&id)).await.expect("nobody waits for him");
    assert_eq!(answered.expect("redis answers again"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_refuses_what_is_new_and_answers_the_rest() {
    let redis = TestRedis::start().await;
    let app = app_at(redis.url(), &provider().await, early).await;
    let qr = app.create("before", 10_000).await;
    let calls = under_load(&app, "full", async || {
        redis.ask::<()>("CONFIG SET maxmemory 1");
        let refused = told(&app.qrs().create_qr(order("refused", 10_000)).await.expect_err("there is no room"));
        assert_eq!((refused.code, refused.outcome()), (tonic::Code::Unavailable, "NOT_SENT"));
        assert!(!app.references_at_provider().contains(&upistream::engine::reference::derive("local", ACCOUNT, "CreateQr", "refused")));
        assert_eq!(app.get_qr(&qr.id).await.id, qr.id, "reads go on");
        assert_eq!(app.create("before", 10_000).await.id, qr.id, "so do replays: they write nothing");
        let payload = serde_json::json!({ "payment": { "entity": { "id": "pay_1", "notes": [] } } });
        assert_eq!(app.post_signed(&callback("payment.unheard_of", payload, 1_767_240_000)).await, 503, "a callback can't be kept");
        until("health to say so", async || app.metrics().await.contains("upistream_store_up 0").then_some(())).await;
        redis.ask::<()>("CONFIG SET maxmemory 0");
        until("health to come back", async || app.metrics().await.contains("upistream_store_up 1").then_some(())).await;
    })
    .await;
    println!("ok, not sent, unknown: {:?}", counts(&calls));
    assert!(calls.count(|answer| matches!(answer, Answer::NotSent)) > 0);
    calls.check(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_are_forgotten_and_connections_that_are_cut_are_noticed_by_nobody() {
    let redis = TestRedis::start().await;
    let app = app_at(redis.url(), &provider().await, early).await;
    let calls = under_load(&app, "cut", async || {
        for _ in 0..5 {
            redis.ask::<()>("SCRIPT FLUSH");
            tokio::time::sleep(Duration::from_millis(50)).await;
            redis.ask::<()>("CLIENT KILL TYPE normal SKIPME yes");
            redis.ask::<()>("CLIENT KILL TYPE pubsub");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let [ok, not_sent, unknown] = counts(&calls);
    println!("ok, not sent, unknown: {:?}", [ok, not_sent, unknown]);
    assert_eq!((not_sent, unknown), (0, 0), "each call was carried over");
    calls.check(&app).await;
}

async fn app_on_cluster(cluster: &TestCluster) -> App {
    let on_cluster = |config: &mut Config| {
        early(config);
        if let Backend::Redis(redis) = &mut config.store.backend {
            redis.urls = cluster.urls();
            redis.cluster = true;
        }
    };
    app_at(cluster.urls()[0].clone(), &provider().await, on_cluster).await
}

fn a_key_of_the_account() -> String {
    format!("upistream:{{p{}}}:head", Partition::of_account(ACCOUNT, 16).0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_master_dies_goes_on_with_its_replica() {
    let cluster = TestCluster::own().await;
    let app = app_on_cluster(&cluster).await;
    let master = cluster.master_of(&a_key_of_the_account());
    let calls = under_load(&app, "failover", async || {
        signal(master, "KILL");
        let back = until("the replica to take over", async || app.metrics().await.contains("upistream_store_up 0").then_some(())).await;
        until("health to come back", async || app.metrics().await.contains("upistream_store_up 1").then_some(back)).await;
    })
    .await;
    println!("ok, not sent, unknown: {:?}; slowest {:?}", counts(&calls), calls.slowest());
    // Copies are asynchronous: what the master acknowledged in its last moment may have gone with it. Nothing else may be wrong.
    let lost = calls.check_but_for_the_lost(&app).await;
    println!("{} acknowledged codes went with the master", lost.len());
    assert!(lost.len() <= 4, "no more than one for each caller: {lost:?}");
    assert!(app.get_qr(&app.create("after", 10_000).await.id).await.state() == pb::QrState::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_fails_over_by_hand_is_noticed_by_nobody_for_long() {
    let cluster = TestCluster::own().await;
    let app = app_on_cluster(&cluster).await;
    let key = a_key_of_the_account();
    let before = cluster.master_of(&key);
    let calls = under_load(&app, "handover", async || {
        // A replica that is told to takes over without a loss: its master waits until it has everything.
        ask::<()>(&cluster.replica_of(&key), "CLUSTER FAILOVER");
        until("the replica to be the master", async || (cluster.master_of(&key) != before).then_some(())).await;
    })
    .await;
    println!("ok, not sent, unknown: {:?}; slowest {:?}", counts(&calls), calls.slowest());
    calls.check(&app).await;
}
