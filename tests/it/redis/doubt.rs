//! The store itself in doubt: what a caller is told where redis did not answer, and that nothing is done twice for it.

use std::time::Duration;

use upistream::grpc::pb;

use super::{app_at, app_on};
use crate::support::app::{App, callback, order, provider, told, until, within};
use crate::support::redis::{TestRedis, backend};
use crate::support::redis_proxy::{Proxy, is_commit};

async fn behind_a_proxy() -> (TestRedis, Proxy, App) {
    let redis = TestRedis::start().await;
    let proxy = Proxy::before(redis.socket()).await;
    let app = app_at(proxy.url(), &provider().await, |_| ()).await;
    (redis, proxy, app)
}

#[tokio::test]
async fn an_intent_whose_reply_was_lost_is_written_once_and_goes_on() {
    let (_redis, proxy, app) = behind_a_proxy().await;
    proxy.lose_answer(is_commit);
    let qr = app.create("a", 10_000).await;
    assert!(proxy.has_lost());
    assert_eq!(qr.state(), pb::QrState::Active);
    assert_eq!(app.codes().len(), 1);
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated"]);
}

#[tokio::test]
async fn an_outcome_whose_reply_was_lost_is_written_once() {
    let (_redis, proxy, app) = behind_a_proxy().await;
    app.lose_callbacks();
    // The second commit of the request: that of the answer.
    let seen = std::sync::atomic::AtomicUsize::new(0);
    proxy.lose_answer(move |words| is_commit(words) && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1);
    let qr = app.create("a", 10_000).await;
    assert!(proxy.has_lost());
    assert_eq!(qr.state(), pb::QrState::Active);
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated"]);
}

#[tokio::test]
async fn a_reply_that_was_lost_is_not_overruled_by_a_server_that_can_no_longer_be_reached() {
    let (redis, proxy, app) = behind_a_proxy().await;
    // From here on the server knows the script: what is lost is a commit's reply.
    app.create("warm", 10_000).await;
    let listening = proxy.listening();
    proxy.lose_answer(move |words| {
        let chosen = is_commit(words);
        if chosen {
            listening.abort();
        }
        chosen
    });
    let asked = app.qrs().create_qr(within(Duration::from_millis(1_500), order("a", 10_000))).await;
    let refused = told(&asked.expect_err("nothing comes of it in time"));
    assert_eq!((refused.reason.as_str(), refused.outcome()), ("STORE_IN_DOUBT", "UNKNOWN"));
    // Rightly so: it was written.
    let other = app_on(&redis, &app.provider).await;
    assert!(other.list_qrs().await.iter().any(|qr| qr.reference == "ref-a"));
}

#[tokio::test]
async fn where_no_answer_comes_in_time_the_outcome_is_unknown_and_a_repeat_tells() {
    let redis = TestRedis::start().await;
    // His answer leaves early enough to be in time on a busy machine.
    let app = app_at(redis.url(), &provider().await, |config| config.grpc.deadline_margin_ms = 800).await;
    app.create("warm", 10_000).await;
    redis.pause();
    let asked = app.qrs().create_qr(within(Duration::from_millis(2_500), order("a", 10_000))).await;
    let refused = told(&asked.expect_err("redis did not answer"));
    assert_eq!((refused.code, refused.reason.as_str()), (tonic::Code::Aborted, "STORE_IN_DOUBT"));
    assert_eq!(refused.outcome(), "UNKNOWN");
    assert!(refused.retry_after.is_some());
    redis.resume();
    let qr = app.create("a", 10_000).await;
    let settled = app.qr_until(&qr.id, "active", |qr| qr.state() == pb::QrState::Active).await;
    assert_eq!(app.codes().len(), 2, "one for each key: {settled:?}");
}

#[tokio::test]
async fn a_redis_that_is_away_is_said_to_be_and_comes_back_by_itself() {
    let redis = std::sync::Arc::new(TestRedis::start().await);
    let app = app_on(&redis, &provider().await).await;
    let qr = app.create("a", 10_000).await;
    redis.kill();

    // The first call may have been under way when the connection broke: nobody can say that it was not sent.
    let _ = app.qrs().create_qr(within(Duration::from_millis(1_500), order("b", 10_000))).await;
    let refused = told(&app.qrs().create_qr(order("c", 10_000)).await.expect_err("there is no redis"));
    assert_eq!((refused.code, refused.outcome()), (tonic::Code::Unavailable, "NOT_SENT"));
    assert!(refused.retry_after.is_some());
    let read = told(&app.qrs().get_qr(pb::GetQrRequest { id: qr.id.clone() }).await.expect_err("there is no redis"));
    assert_eq!(read.code, tonic::Code::Unavailable);
    let payload = serde_json::json!({ "payment": { "entity": { "id": "pay_1" } } });
    assert_eq!(app.post_signed(&callback("payment.captured", payload, 1_767_240_000)).await, 503);
    until("health to say so", async || (!is_serving(&app).await).then_some(())).await;
    until("readiness to say so", async || (status(&app, "readyz").await == 503).then_some(())).await;
    assert_eq!(status(&app, "livez").await, 200, "a restart would mend nothing");

    redis.start_again().await;
    until("health to come back", async || is_serving(&app).await.then_some(())).await;
    until("readiness to come back", async || (status(&app, "readyz").await == 200).then_some(())).await;
    assert_eq!(app.get_qr(&qr.id).await.id, qr.id);
    for key in ["b", "c"] {
        let made = app.create(key, 10_000).await;
        app.qr_until(&made.id, "active", |qr| qr.state() == pb::QrState::Active).await;
    }
    assert_eq!(app.codes().len(), 3);
}

async fn is_serving(app: &App) -> bool {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let request = HealthCheckRequest { service: "upistream.v1.QrService".to_owned() };
    let answer = HealthClient::new(app.channel.clone()).check(request).await.expect("health is always told").into_inner();
    answer.status() == ServingStatus::Serving
}

async fn status(app: &App, path: &str) -> u16 {
    let url = format!("http://{}/{path}", app.running.admin);
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("a client for loopback");
    client.get(url).send().await.expect("the service answers").status().as_u16()
}

#[tokio::test]
async fn without_enough_replicas_the_provider_is_not_asked() {
    let master = TestRedis::start_on_tcp(&["--appendfsync", "no", "--repl-diskless-sync-delay", "0"]).await;
    let follow = format!("127.0.0.1 {}", master.port());
    let replica = std::sync::Arc::new(TestRedis::start_with(&["--appendfsync", "no", "--replicaof", &follow]).await);
    let linked = async || replica.ask::<String>("INFO replication").contains("master_link_status:up").then_some(());
    until("the replica to follow", linked).await;
    let url = master.url();
    let waiting = |config: &mut upistream::config::Config| {
        let mut store = backend(url);
        if let upistream::config::Backend::Redis(redis) = &mut store {
            redis.wait_replicas = 1;
            redis.wait_timeout_ms = 1_000;
        }
        config.store.backend = store;
    };
    let app = app_at(master.url(), &provider().await, waiting).await;
    assert_eq!(app.create("a", 10_000).await.state(), pb::QrState::Active);
    let copied: usize = replica.ask("DBSIZE");
    assert!(copied > 0, "the replica has it");

    replica.kill();
    let refused = told(&app.qrs().create_qr(order("b", 10_000)).await.expect_err("nobody has a copy"));
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (tonic::Code::Aborted, "STORE_IN_DOUBT", "UNKNOWN"));
    assert_eq!(app.asked("qr.create"), 1, "the provider was not asked");
    let kept = app.list_qrs().await.into_iter().find(|qr| qr.reference == "ref-b").expect("the intent was written");
    assert_eq!(kept.state(), pb::QrState::Failed);

    // As long as that is so nothing more is written that would only be taken back.
    assert_eq!(app.create("a", 10_000).await.state(), pb::QrState::Active, "a repeat writes nothing: it is answered");
    for _ in 0..2 {
        let refused = told(&app.qrs().create_qr(order("c", 10_000)).await.expect_err("nobody has a copy"));
        assert_eq!((refused.code, refused.outcome()), (tonic::Code::Unavailable, "NOT_SENT"));
    }
    assert_eq!(app.list_qrs().await.len(), 2);

    replica.start_again().await;
    until("the replica to follow", linked).await;
    // The key is free; he repeats as he was told to until a copy is there again.
    let made = until("a repeat to go through", async || app.qrs().create_qr(order("b", 10_000)).await.ok()).await;
    assert_eq!(made.into_inner().qr.expect("the answer has the code").state(), pb::QrState::Active);
    assert_eq!(app.codes().len(), 2);
}
