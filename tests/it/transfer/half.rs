//! What is not whole is not used: a restore that did not come to its end, a file that is damaged or another.

use std::path::Path;
use std::sync::Arc;

use upistream::app::{self, transfer};
use upistream::config::Config;
use upistream::store::redis::RedisImport;
use upistream::store::sqlite::{self, SqliteImport, SqliteOptions, Synchronous};
use upistream::store::transfer::Sink;
use upistream::store::transfer::file::Backup;

use super::{QUIET, embedded, folder, in_redis, used};
use crate::support::redis::TestRedis;

/// Why a service does not start on this store.
async fn refusal(config: Config) -> String {
    let started = app::start(config, app::Options { drain: false, ..app::Options::default() }).await;
    started.err().expect("it does not start").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_store_says_what_to_do_and_is_not_served() {
    let (app, _) = used().await;
    let path = app.folder.path().join("upistream.db");
    let (there, redis) = (folder(), TestRedis::start().await);
    {
        let (origin, mut pages) = sqlite::read_all(&path).expect("the store is there");
        let page = pages.recv().await.expect("a page").expect("it is read");
        let options = SqliteOptions { partitions: 16, random: [7; 40], clock: Arc::new(|| 1), synchronous: Synchronous::Full };
        let mut half = SqliteImport::begin(&there.path().join("upistream.db"), &options, &origin).expect("it is new");
        half.put(page.clone()).await.expect("it is written");
        let mut half = RedisImport::begin(&redis.options_of_app(), &origin, 1).await.expect("it is new");
        half.put(page).await.expect("it is written");
        // Neither is finished: as if the process had been killed here.
    }
    let files = folder();
    let file = files.path().join("backup");
    transfer::back_up(&embedded(app.folder.path()), &file, QUIET).await.expect("it is written");
    assert!(app.running.stop().await);
    for config in [embedded(there.path()), in_redis(&redis)] {
        let restored = transfer::restore(&config, &file, QUIET).await.expect_err("it is not new").to_string();
        let backed_up = transfer::back_up(&config, &files.path().join("half"), QUIET).await.expect_err("it is half").to_string();
        for told in [refusal(config.clone()).await, restored, backed_up] {
            assert!(told.contains("half made") && told.contains("remove"), "{told}");
        }
    }
    // The next step, as it is told.
    for name in ["upistream.db", "upistream.db-wal", "upistream.db-shm"] {
        let _ = std::fs::remove_file(there.path().join(name));
    }
    transfer::restore(&embedded(there.path()), &file, QUIET).await.expect("it is new again");
}

fn told(path: &Path) -> String {
    Backup::check(path).expect_err("it is refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_whole_or_not_ours_is_refused_before_anything_is_written() {
    let (app, _) = used().await;
    let files = folder();
    let file = files.path().join("backup");
    transfer::back_up(&embedded(app.folder.path()), &file, QUIET).await.expect("it is written");
    let good = std::fs::read(&file).unwrap();
    assert!(Backup::check(&file).is_ok());
    let there = folder();
    let bad = files.path().join("bad");
    let check = async |bytes: &[u8], what: &str| {
        std::fs::write(&bad, bytes).unwrap();
        let said = told(&bad);
        assert!(said.contains(what), "{what}: {said}");
        assert!(!said.contains("payer") && !said.contains("shop"), "{said}");
        assert_eq!(transfer::restore(&embedded(there.path()), &bad, QUIET).await.expect_err("it is refused").to_string(), said);
        assert!(!there.path().join("upistream.db").exists());
    };
    // One digit of an amount, anywhere in the middle: only the checksum tells.
    let mut changed = good.clone();
    let at = (good.len() / 2..good.len()).find(|at| changed[*at].is_ascii_digit()).expect("there are digits");
    changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
    check(&changed, "damaged").await;
    for length in [good.len() - 1, good.len() / 2, 40, 18] {
        check(&good[..length], "damaged").await;
    }
    check(&[&good[..], b"x"].concat(), "after its end").await;
    check(b"", "not a backup").await;
    check(b"SQLite format 3\0 and more", "not a backup").await;
    check(&[&good[..16], &u32::MAX.to_be_bytes(), b"{}"].concat(), "larger than any can be").await;
    let header = br#"{"header":{"version":2,"anything":"else"}}"#;
    check(&[&good[..16], &u32::try_from(header.len()).unwrap().to_be_bytes(), header].concat(), "version 2").await;
    let text = String::from_utf8_lossy(&good[20..]).replacen("\"record_format\":1", "\"record_format\":9", 1);
    check(&[&good[..20], text.as_bytes()].concat(), "format 9").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_that_is_written_is_raised_once() {
    let (app, _) = used().await;
    let redis = TestRedis::start().await;
    let from = embedded(app.folder.path());
    assert!(app.running.stop().await);
    assert_eq!(transfer::upgrade(&from).await.expect("it is there"), (1, 1));
    assert!(transfer::upgrade(&in_redis(&redis)).await.unwrap_err().to_string().contains("there is no store"));
    transfer::copy(&from, &in_redis(&redis), QUIET).await.expect("it is copied");
    // As the release before would have left it.
    redis.ask::<i64>("HSET upistream:meta write_format 0");
    assert!(refusal(in_redis(&redis)).await.contains("store upgrade"));
    assert_eq!(transfer::upgrade(&in_redis(&redis)).await.expect("it is there"), (0, 1));
    assert_eq!(transfer::upgrade(&in_redis(&redis)).await.expect("it is there"), (1, 1));
    redis.ask::<i64>("HSET upistream:meta write_format 2");
    assert!(transfer::upgrade(&in_redis(&redis)).await.unwrap_err().to_string().contains("use a newer one"));
}
