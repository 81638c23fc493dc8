//! What the service asks of a redis before it trusts it with money, and what it says of one that it does not.

use std::sync::Arc;

use upistream::app::StartError;
use upistream::domain::id::Kind;
use upistream::store::redis::safety::Severity;
use upistream::store::redis::{OpenError, RedisOptions, RedisStore};
use upistream::store::{AnyStore, Change, StoreError};

use super::app_on;
use crate::store::promises::{batch, create, done, new_event, new_id};
use crate::support::app::{provider, until};
use crate::support::redis::{TestRedis, new_prefix, open};

async fn refusal(options: RedisOptions) -> OpenError {
    crate::support::app::install_crypto();
    RedisStore::open(options).await.err().expect("it is refused")
}

#[tokio::test]
async fn a_redis_that_loses_what_it_acknowledged_is_refused_unless_that_is_meant() {
    for (settings, word) in [
        (&["--appendonly", "no"][..], "appendonly no"),
        (&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"][..], "maxmemory-policy allkeys-lru"),
    ] {
        let redis = TestRedis::start_with(settings).await;
        let refused = refusal(redis.options("store")).await;
        let text = StartError::from(refused).to_string();
        assert!(text.contains(word) && text.contains("allow_data_loss"), "{text}");
        assert_eq!(redis.ask::<usize>("DBSIZE"), 0, "nothing was written");
        open(RedisOptions { allow_data_loss: true, ..redis.options("store") }).await;
    }
}

#[tokio::test]
async fn what_could_still_be_lost_is_said() {
    let findings = async |settings: &[&str]| {
        let redis = TestRedis::start_with(settings).await;
        RedisStore::examine(&redis.options("store")).await.expect("it is asked")
    };
    let always = findings(&["--appendfsync", "always"]).await;
    assert_eq!(always.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Fine], "{always:?}");
    let every_second = findings(&["--appendfsync", "everysec"]).await;
    assert_eq!(every_second[0].severity, Severity::Warning);
    assert!(every_second[0].text.contains("appendfsync everysec"), "{every_second:?}");
}

#[tokio::test]
async fn a_store_is_opened_only_as_what_it_was_created() {
    let redis = TestRedis::start().await;
    let first = open(redis.options("store")).await;
    let other = refusal(RedisOptions { partitions: 16, ..redis.options("store") }).await.to_string();
    assert!(other.contains("created with 4 partitions, the configuration says 16"), "{other}");
    redis.ask::<()>("SET other:meta text");
    assert!(matches!(refusal(redis.options("other")).await, OpenError::Store(_) | OpenError::NotAStore { .. }));
    for (field, said) in [("layout", "key layout 2"), ("write_format", "format 2")] {
        let prefix = new_prefix();
        open(redis.options(&prefix)).await;
        redis.ask::<()>(&format!("HSET {prefix}:meta {field} 2"));
        let text = refusal(redis.options(&prefix)).await.to_string();
        assert!(text.contains(said), "{text}");
    }
    drop(first);
}

#[tokio::test]
async fn a_server_that_is_not_there_or_not_right_is_named() {
    let redis = TestRedis::start_with(&["--requirepass", "open-sesame", "--appendfsync", "no"]).await;
    let text = refusal(redis.options("store")).await.to_string();
    assert!(text.contains("NOAUTH") || text.contains("authentication"), "{text}");
    let mut options = redis.options("store");
    options.servers.password = Some("wrong".to_owned().into());
    let text = refusal(options.clone()).await.to_string();
    assert!(!text.contains("wrong"), "a password is never shown: {text}");
    options.servers.password = Some("open-sesame".to_owned().into());
    open(options.clone()).await;
    redis.kill();
    let text = refusal(options).await.to_string();
    assert!(text.contains("can't be connected to"), "{text}");
}

#[tokio::test]
async fn over_tls_another_authority_is_not_trusted() {
    let redis = TestRedis::start_with_tls().await;
    open(redis.options("store")).await;
    let mut options = redis.options("store");
    options.servers.ca_pem = Some(rcgen::generate_simple_self_signed(vec!["other".to_owned()]).expect("it is made").cert.pem().into());
    let text = refusal(options).await.to_string();
    assert!(text.contains("can't be connected to"), "{text}");
}

#[tokio::test]
async fn a_user_who_may_not_tell_of_commits_is_refused_with_what_he_lacks() {
    let redis = TestRedis::start().await;
    redis.ask::<()>("ACL SETUSER service on >open-sesame ~store:* +@all");
    let mut options = redis.options("store");
    options.servers.username = Some("service".to_owned());
    options.servers.password = Some("open-sesame".to_owned().into());
    let text = refusal(options.clone()).await.to_string();
    assert!(text.contains("channel `store:wakeups`"), "{text}");
    redis.ask::<()>("ACL SETUSER service &store:*");
    let store: AnyStore = Arc::new(open(options).await);
    // Taken away again while it runs, it costs time, and no commit is doubted.
    redis.ask::<()>("ACL SETUSER service resetchannels");
    let change = Change { event: new_event(), ..create(&new_id(Kind::Payment), "x") };
    done(&store, batch([change])).await;
}

#[tokio::test]
async fn a_store_that_was_emptied_is_noticed_and_nothing_more_is_written_in_its_place() {
    let redis = TestRedis::start().await;
    let store: AnyStore = Arc::new(open(redis.options("store")).await);
    store.ping().await.expect("it is there");
    redis.ask::<()>("FLUSHALL");
    let cause = store.ping().await.expect_err("it is gone").to_string();
    assert!(cause.contains("emptied or replaced"), "{cause}");
    let written = store.commit(batch([create(&new_id(Kind::Payment), "x")]).into()).await;
    assert!(matches!(written, Err(StoreError::Broken(_))), "{written:?}");
    assert_eq!(redis.ask::<usize>("DBSIZE"), 0);
}

/// What `upistream config check` prints about a configuration on this redis, and its exit code.
async fn config_check(redis: &TestRedis, more: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("upistream.toml");
    let store = format!("[sandbox]\n[store.redis]\nurls = ['{}']\nretention_at_rest = 'forever'\n{more}", redis.url());
    std::fs::write(&file, store).expect("the folder is ours");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_upistream"));
    let ran = command.args(["config", "check", "--config"]).arg(&file).output().await.expect("it can be run");
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    (ran.status.code(), text)
}

#[tokio::test]
async fn config_check_tells_what_the_redis_that_it_reaches_would_lose() {
    let redis = TestRedis::start_with(&["--appendfsync", "everysec"]).await;
    let (code, text) = config_check(&redis, "").await;
    assert!(code == Some(0) && text.contains("warning") && text.contains("appendfsync everysec"), "{text}");
    assert_eq!(redis.ask::<usize>("DBSIZE"), 0, "looking creates nothing");
    redis.ask::<()>("CONFIG SET appendonly no");
    let (code, text) = config_check(&redis, "").await;
    assert!(code == Some(1) && text.contains("data loss") && text.contains("appendonly no"), "{text}");
    let (code, text) = config_check(&redis, "allow_data_loss = true").await;
    assert!(code == Some(0) && text.contains("data loss"), "{text}");

    open(RedisOptions { allow_data_loss: true, ..redis.options_of_app() }).await;
    let (code, text) = config_check(&redis, "allow_data_loss = true\n[store]\npartitions = 8").await;
    assert!(code == Some(1) && text.contains("created with 16 partitions"), "{text}");
    let (code, text) = config_check(&redis, &format!("allow_data_loss = true\ntoken_key = '{}'", "no-key-at-all-".repeat(4))).await;
    assert!(code == Some(1) && text.contains("token_key") && !text.contains("no-key-at-all"), "{text}");
    redis.kill();
    let (code, text) = config_check(&redis, "").await;
    assert!(code == Some(1) && text.contains("could not be asked"), "{text}");
}

#[tokio::test]
async fn a_memory_that_fills_up_is_told_before_it_is_full() {
    let redis = TestRedis::start().await;
    redis.ask::<()>("SETRANGE filler 16000000 x");
    redis.ask::<()>("CONFIG SET maxmemory 20mb");
    let app = app_on(&redis, &provider().await).await;
    let percent = until("the metric", async || {
        let metrics = app.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("upistream_store_memory_percent "))?.to_owned();
        line.parse::<u8>().ok().filter(|percent| *percent > 0)
    })
    .await;
    assert!((75..=100).contains(&percent), "{percent} %");
}
