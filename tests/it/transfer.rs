//! A store that is carried: into a file and out of it, from one backend to another; and what a service on the new one does.

mod debits;
mod half;
mod held;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use upistream::app::transfer::{self, Totals};
use upistream::config::{Backend, Config, EmbeddedConfig, RedisConfig, RetentionAtRest};
use upistream::sandbox::FaultKind;
use upistream::store::redis::{RedisExport, RedisStore};
use upistream::store::sqlite;
use upistream::store::transfer::{Pages, Piece, Sink, carry};
use upistream::store::{AnyStore, StoreError};

use crate::refund::refund_order;
use crate::support::app::{App, config, minutes, provider};
use crate::support::redis::{TestRedis, backend, new_prefix};
use crate::support::redis_cluster::TestCluster;

/// A service's configuration whose store is a file in `folder`.
fn embedded(folder: &Path) -> Config {
    let mut config = config(folder, "http://127.0.0.1:1");
    config.store.backend = Backend::Embedded(EmbeddedConfig { path: folder.join("upistream.db") });
    config
}

/// One whose store is in `redis`.
fn in_redis(redis: &TestRedis) -> Config {
    let mut config = embedded(redis.folder());
    config.store.backend = backend(redis.url());
    config
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a temporary folder"))
}

/// A service whose store is a file, whatever the other stories' is.
async fn app() -> App {
    let folder = folder();
    let path = folder.path().join("upistream.db");
    let change = |config: &mut Config| config.store.backend = Backend::Embedded(EmbeddedConfig { path });
    App::start_at(Arc::clone(&folder), Arc::default(), provider().await, change).await
}

/// Nobody is told how far it is.
const QUIET: &(dyn Fn(&Totals) + Send + Sync) = &|_| ();

/// Each piece as text, in order.
#[derive(Default)]
struct Contents(Vec<String>);

#[async_trait::async_trait]
impl Sink for Contents {
    async fn put(&mut self, page: Vec<Piece>) -> Result<(), StoreError> {
        self.0.extend(page.iter().map(|piece| serde_json::to_string(piece).expect("a piece is written as JSON")));
        Ok(())
    }
}

async fn contents(pages: Pages) -> Vec<String> {
    let mut contents = Contents::default();
    carry(pages, 16, &mut contents, QUIET).await.expect("it is read to its end");
    contents.0.sort();
    contents.0
}

async fn in_file(config: &Config) -> Vec<String> {
    let Backend::Embedded(embedded) = &config.store.backend else { panic!("the store is a file") };
    let (_, pages) = sqlite::read_all(&embedded.path).expect("the store is there");
    contents(pages).await
}

async fn in_server(redis: &TestRedis) -> Vec<String> {
    contents(RedisExport::begin(&redis.options_of_app()).await.expect("the store is there").pages()).await
}

/// A store in which something of many kinds stands, in many states.
async fn used() -> (App, BTreeMap<&'static str, String>) {
    let app = app().await;
    let payment = app.paid("paid", 45_000).await;
    app.refund("back", &payment, 12_000).await;
    app.advance(minutes(5));
    app.create("open", 10_000).await;
    app.lose_callbacks();
    app.fault("refund.create", FaultKind::AnswerLost);
    let lost = app.create_refund(refund_order("lost", &payment, 1_000)).await.expect("doubt is no error").refund.expect("a refund");
    app.fault("qr.create", FaultKind::AnswerLost);
    app.qrs().create_qr(crate::support::app::order("doubted", 20_000)).await.expect("doubt is no error");
    (app, BTreeMap::from([("payment", payment.id), ("lost", lost.id)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_carried_there_and_back_is_the_same() {
    let (app, ids) = used().await;
    let from = embedded(app.folder.path());
    let files = folder();
    let file = files.path().join("backup");
    // While the service runs.
    let written = transfer::back_up(&from, &file, QUIET).await.expect("it is written");
    let identity = app.running.store().identity().clone();
    assert!(app.running.stop().await);
    assert_eq!(written.bytes, std::fs::metadata(&file).unwrap().len());
    assert!(written.totals.records["rfnd"] == 2 && written.totals.records["qr"] == 3 && written.totals.open >= 2, "{written:?}");

    let (first, second, redis) = (folder(), folder(), TestRedis::start().await);
    let restored = transfer::restore(&embedded(first.path()), &file, QUIET).await.expect("it is restored");
    assert_eq!(restored, written.totals);
    let expected = in_file(&embedded(first.path())).await;
    assert!(expected.len() as u64 >= restored.all() && expected.iter().any(|piece| piece.contains(&ids["lost"])));
    let copied = transfer::copy(&embedded(first.path()), &in_redis(&redis), QUIET).await.expect("it is copied");
    assert_eq!(copied, restored);
    assert_eq!(in_server(&redis).await, expected);
    let from_redis = files.path().join("of-redis");
    transfer::back_up(&in_redis(&redis), &from_redis, QUIET).await.expect("it is written");
    transfer::restore(&embedded(second.path()), &from_redis, QUIET).await.expect("it is restored");
    assert_eq!(in_file(&embedded(second.path())).await, expected);

    // Each is another log by the same key of fingerprints, and waits for what was open to be looked up.
    let (there, _) = RedisStore::open(redis.options_of_app()).await.expect("it is whole");
    let there: AnyStore = Arc::new(there);
    assert_eq!(there.identity().fingerprint_key, identity.fingerprint_key);
    assert_ne!(there.identity().log, identity.log);
    assert_eq!(there.unseen().await.unwrap(), Some(restored.open));
    // A replica has it open now.
    let refused = transfer::back_up(&in_redis(&redis), &files.path().join("open"), QUIET).await.unwrap_err().to_string();
    assert!(refused.contains("stop all of them"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_carried_to_a_cluster_and_back_is_the_same() {
    let (app, _) = used().await;
    let from = embedded(app.folder.path());
    assert!(app.running.stop().await);
    let cluster = TestCluster::shared().await;
    let mut there = RedisConfig::new(cluster.urls(), RetentionAtRest::Forever);
    (there.cluster, there.prefix) = (true, new_prefix());
    let mut config = from.clone();
    config.store.backend = Backend::Redis(Box::new(there));
    transfer::copy(&from, &config, QUIET).await.expect("it is copied");
    let back = folder();
    transfer::copy(&config, &embedded(back.path()), QUIET).await.expect("it is copied back");
    assert_eq!(in_file(&embedded(back.path())).await, in_file(&from).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_new_store_of_as_many_partitions_is_filled() {
    let (app, _) = used().await;
    let from = embedded(app.folder.path());
    let (files, redis) = (folder(), TestRedis::start().await);
    let file = files.path().join("backup");
    transfer::back_up(&from, &file, QUIET).await.expect("it is written");
    let told = async |config: &Config| transfer::restore(config, &file, QUIET).await.expect_err("it is refused").to_string();
    // The store of a service that runs, and then of one that doesn't.
    assert!(told(&from).await.contains("open in another process"));
    let copied = transfer::copy(&from, &in_redis(&redis), QUIET).await.unwrap_err().to_string();
    assert!(copied.contains("stop that one"), "{copied}");
    assert!(app.running.stop().await);
    let before = in_file(&from).await;
    assert!(told(&from).await.contains("only a store that is new"));
    assert_eq!(in_file(&from).await, before);
    transfer::copy(&from, &in_redis(&redis), QUIET).await.expect("it is copied");
    assert!(told(&in_redis(&redis)).await.contains("only a store that is new"));
    assert!(transfer::back_up(&from, &file, QUIET).await.unwrap_err().to_string().contains("there already"));
    let other = folder();
    let mut fewer = embedded(other.path());
    fewer.store.partitions = 8;
    let refused = told(&fewer).await;
    assert!(refused.contains("set store.partitions = 16"), "{refused}");
    assert!(transfer::copy(&from, &from, QUIET).await.unwrap_err().to_string().contains("the same store"));
}
