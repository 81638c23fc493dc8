//! How often a request goes to redis and back: counted at a proxy, not timed. What runs beside requests (the reconciler's
//! looks, the watcher of the log, health) is told apart by its keys.

use upistream::grpc::pb;
use upistream::sandbox::FaultKind;

use super::{app_at, app_on};
use crate::support::app::{App, close_order, provider, until};
use crate::support::redis::TestRedis;
use crate::support::redis_proxy::{Proxy, Words, first_key, is_script};

/// What requests ask of redis, in a word each.
fn asked(proxy: &Proxy) -> Vec<String> {
    proxy.take_asked().iter().filter_map(word).collect()
}

fn word(words: &Words) -> Option<String> {
    let key = first_key(words);
    // "<prefix>:{p<n>}:<what>".
    let what = key.split_once("}:").map(|(_, what)| what)?;
    let command = String::from_utf8_lossy(&words[0]).into_owned();
    let keys_given = || words.get(2).and_then(|count| String::from_utf8_lossy(count).parse::<usize>().ok());
    match what.split(':').next()? {
        // What runs beside: the reconciler (what it takes and gives back is named as a write, of few keys), its tidying, the
        // watcher of the log, health.
        "w" if keys_given()? < 10 => None,
        "l" if command == "ZCARD" => None,
        "due" | "looks" | "head" | "log" | "event_ids" | "probe" | "claim_ends" | "rested" => None,
        "w" => Some(format!("{command} commit")),
        "r" if is_script(words) => Some(format!("{command} wake")),
        "r" => Some(format!("{command} record")),
        "f" => Some(format!("{command} find")),
        _ => Some(format!("{command} {what}")),
    }
}

async fn counted() -> (TestRedis, Proxy, App) {
    let redis = TestRedis::start().await;
    let proxy = Proxy::before(redis.socket()).await;
    let app = app_at(proxy.url(), &provider().await, |_| ()).await;
    app.lose_callbacks();
    // From here on the server knows all scripts that requests need.
    let warm = app.create("warm", 10_000).await;
    app.create("warm", 10_000).await;
    app.qrs().close_qr(close_order("warm-close", &warm.id)).await.expect("the code is closed");
    // Now and then the age of doubts is measured: just now, and not again while a story runs.
    let measured = async || app.running.engine().metrics().text().contains("upistream_doubt_oldest_seconds{").then_some(());
    until("the age of doubts", measured).await;
    asked(&proxy);
    (redis, proxy, app)
}

#[tokio::test]
async fn a_creation_is_two_a_replay_one_and_a_read_one() {
    let (_redis, proxy, app) = counted().await;
    let qr = app.create("a", 10_000).await;
    assert_eq!(asked(&proxy), ["EVALSHA commit", "EVALSHA commit"], "the intent, and what came of it");
    assert_eq!(app.create("a", 10_000).await.id, qr.id);
    assert_eq!(asked(&proxy), ["EVALSHA commit"], "a replay");
    app.get_qr(&qr.id).await;
    assert_eq!(asked(&proxy), ["GET record"]);
}

#[tokio::test]
async fn a_change_of_a_standing_record_is_one_more() {
    let (_redis, proxy, app) = counted().await;
    let qr = app.create("a", 10_000).await;
    asked(&proxy);
    app.qrs().close_qr(close_order("close", &qr.id)).await.expect("the code is closed");
    assert_eq!(asked(&proxy), ["GET record", "EVALSHA commit", "EVALSHA commit"]);
}

#[tokio::test]
async fn a_call_that_is_tried_again_is_no_more_and_a_lost_race_two() {
    let (redis, proxy, app) = counted().await;
    app.fault("qr.create", FaultKind::TooManyRequests { retry_after: None });
    app.create("a", 10_000).await;
    assert_eq!(asked(&proxy), ["EVALSHA commit", "EVALSHA commit"], "nothing is to be written about a call that was not delivered");

    // While the provider is slow to answer, another replica hears of the code by its callback.
    let other = app_on(&redis, &app.provider).await;
    app.provider.clear_faults();
    app.fault("qr.create", FaultKind::Delay { ms: 700 });
    asked(&proxy);
    let creating = app.create("b", 10_000);
    let hearing = until("the callback to be learned", async || {
        let listed = other.list_qrs().await;
        listed.into_iter().find(|qr| qr.reference == "ref-b" && qr.state() == pb::QrState::Active)
    });
    let (created, heard) = tokio::join!(creating, hearing);
    assert_eq!((&created.id, created.revision), (&heard.id, heard.revision + 1), "the answer says more than the callback");
    let with_the_race = ["EVALSHA commit", "EVALSHA commit", "GET record", "EVALSHA commit"];
    assert_eq!(asked(&proxy), with_the_race, "the answer came second: the record is read anew, and what is new is written");
}
