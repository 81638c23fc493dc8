//! Tokens of one account, by a clock that stands still: what costs a login, and what doesn't.

mod faults;
mod place;
mod with_token;

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::time::{Instant, advance};

use super::*;
use place::{Account, Step};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// As long as a test's caller waits. Longer than all that can happen.
const PATIENCE: Duration = Duration::from_secs(120);

fn text(token: &Token) -> String {
    token.text().expose_secret().to_owned()
}

/// The texts of the tokens that `count` callers at once are told, each once, or why there was none.
async fn told_at_once(cache: &TokenCache, count: usize) -> Vec<String> {
    let callers = (0..count).map(|_| async { cache.token(PATIENCE).await.map_or_else(|cause| cause.to_string(), |token| text(&token)) });
    let mut told = futures_util::future::join_all(callers).await;
    told.dedup();
    told
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_is_answered_without_io() {
    let account = Account::new();
    let cache = account.replica();
    assert_eq!(told_at_once(&cache, 1).await, ["token-1"]);
    let (logins, asked) = (account.logins(), account.asked());
    assert_eq!(told_at_once(&cache, 100).await, ["token-1"]);
    assert_eq!((account.logins(), account.asked()), (logins, asked));
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_callers_at_the_moment_of_expiry_one_logs_in() {
    let account = Account::new();
    let cache = account.replica();
    assert_eq!(told_at_once(&cache, 100).await, ["token-1"]);
    advance(30 * MINUTE).await;
    assert_eq!(told_at_once(&cache, 100).await, ["token-2"]);
    assert_eq!(account.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_a_margin_before_it_expires() {
    let account = Account::new();
    let cache = account.replica();
    let started = Instant::now();
    cache.token(PATIENCE).await.unwrap();
    // A login takes time, and the token's life counts from its beginning.
    assert!(started.elapsed() > Duration::ZERO);
    advance(29 * MINUTE - MS - started.elapsed()).await;
    assert_eq!(told_at_once(&cache, 1).await, ["token-1"]);
    advance(MS).await;
    assert_eq!(told_at_once(&cache, 1).await, ["token-2"]);
}

#[tokio::test(start_paused = true)]
async fn new_credentials_are_logged_in_with_at_once_wherever_the_token_lies() {
    let account = Account::new();
    let (cache, other) = (account.replica(), account.replica());
    assert_eq!(told_at_once(&cache, 1).await, ["token-1"]);
    account.replace_keys();
    assert_eq!(told_at_once(&cache, 100).await, ["token-2"], "the old one lay here and on the shelf");
    // Nobody can tell it whose credentials brought what lies on the shelf.
    assert_eq!(told_at_once(&other, 100).await, ["token-3"]);
    assert_eq!(told_at_once(&other, 1).await, ["token-3"]);
    assert_eq!(account.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_old_credentials_bring_late_is_used_by_nobody_else() {
    let account = Account::new();
    let cache = account.replica();
    account.next_logins([Step::After(SECOND)]);
    let early = tokio::spawn({
        let cache = cache.clone();
        async move { told_at_once(&cache, 1).await }
    });
    advance(500 * MS).await;
    account.replace_keys();
    assert_eq!(told_at_once(&cache, 10).await, ["token-2"]);
    assert_eq!(early.await.unwrap(), ["token-1"]);
    assert_eq!(told_at_once(&cache, 1).await, ["token-2"]);
}

#[test]
fn the_margin_suits_the_life_of_the_token() {
    let check = |expires_in, used_for| assert_eq!(renewal::fresh_for(expires_in), used_for, "{expires_in:?}");
    check(30 * MINUTE, 29 * MINUTE);
    check(5 * MINUTE, Duration::from_secs(270));
    check(10 * SECOND, 9 * SECOND);
    // Clocks differ: a token may seem to have expired before it was made.
    check(Duration::ZERO, SECOND);
    check(Duration::MAX, Duration::from_secs(24 * 60 * 60));
}

#[tokio::test(start_paused = true)]
async fn replicas_share_one_login() {
    let account = Account::new();
    let (one, other) = (account.replica(), account.replica());
    let (here, there) = tokio::join!(told_at_once(&one, 100), told_at_once(&other, 100));
    assert_eq!((here, there), (vec!["token-1".to_owned()], vec!["token-1".to_owned()]));
    assert_eq!(account.logins(), 1);
    // Who comes later finds it, and for no longer than those who were there.
    advance(28 * MINUTE).await;
    let third = account.replica();
    assert_eq!(told_at_once(&third, 1).await, ["token-1"]);
    advance(MINUTE).await;
    assert_eq!(told_at_once(&third, 1).await, ["token-2"]);
    assert_eq!(told_at_once(&one, 1).await, ["token-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_is_told_to_all_who_waited_and_not_repeated_at_once() {
    let account = Account::new();
    account.next_logins([Step::Fail, Step::Fail]);
    let cache = account.replica();
    assert_eq!(told_at_once(&cache, 100).await, ["no access token: the provider knows no such key"]);
    assert_eq!(account.logins(), 1);
    // Whoever comes in the pause is told the same.
    assert_eq!(told_at_once(&cache, 100).await, ["no access token: the provider knows no such key"]);
    assert_eq!(account.logins(), 1);
    advance(250 * MS).await;
    assert_eq!(told_at_once(&cache, 100).await, ["no access token: the provider knows no such key"]);
    assert_eq!(account.logins(), 2);
    // The second pause is at least as long as the longest first one.
    advance(249 * MS).await;
    assert_eq!(told_at_once(&cache, 100).await, ["no access token: the provider knows no such key"]);
    assert_eq!(account.logins(), 2);
    advance(251 * MS).await;
    assert_eq!(told_at_once(&cache, 100).await, ["token-3"]);
}

#[tokio::test(start_paused = true)]
async fn the_pauses_after_failures_stay_short_enough_to_notice_a_provider_that_is_back() {
    let account = Account::new();
    account.next_logins([const { Step::Fail }; 40]);
    let cache = account.replica();
    for failures in 1..=40 {
        assert!(cache.token(PATIENCE).await.is_err());
        assert_eq!(account.logins(), failures);
        advance(5 * SECOND).await;
    }
    assert_eq!(told_at_once(&cache, 1).await, ["token-41"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_login_another_replica_tries_and_both_have_its_token() {
    let account = Account::new();
    account.next_logins([Step::Fail]);
    let (one, other) = (account.replica(), account.replica());
    let (here, there) = tokio::join!(one.token(PATIENCE), other.token(PATIENCE));
    assert!(here.is_err());
    assert_eq!(text(&there.unwrap()), "token-2");
    advance(250 * MS).await;
    assert_eq!(told_at_once(&one, 1).await, ["token-2"]);
    assert_eq!(account.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_never_ends_is_given_up_and_so_is_the_turn() {
    let account = Account::new();
    account.next_logins([Step::Hang]);
    let (one, other) = (account.replica(), account.replica());
    let started = Instant::now();
    let (here, there) = tokio::join!(one.token(PATIENCE), other.token(PATIENCE));
    assert_eq!(here.unwrap_err().to_string(), "no access token: the login gave no answer within 10000 ms");
    assert_eq!(text(&there.unwrap()), "token-2");
    assert!(started.elapsed() < 11 * SECOND, "the lease is not waited for: {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_login_that_panics_is_a_failure_like_others() {
    let account = Account::new();
    account.next_logins([Step::Panic]);
    let cache = account.replica();
    assert_eq!(told_at_once(&cache, 1).await, ["no access token: the login did not come to its end"]);
    assert_eq!(told_at_once(&cache, 1).await, ["token-2"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_login_gives_must_be_a_token() {
    let account = Account::new();
    account.next_logins([Step::Give(String::new()), Step::Give("t".repeat(16 * 1024 + 1)), Step::Give("t".repeat(16 * 1024))]);
    let cache = account.replica();
    assert_eq!(told_at_once(&cache, 1).await, ["no access token: the login gave an empty one"]);
    advance(SECOND).await;
    assert_eq!(told_at_once(&cache, 1).await, ["no access token: the login gave one of 16385 bytes, more than 16384"]);
    advance(SECOND).await;
    assert!(cache.token(PATIENCE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_takes_nothing_with_him() {
    let account = Account::new();
    account.next_logins([Step::After(SECOND)]);
    let (one, other) = (account.replica(), account.replica());
    let hurried = one.token(100 * MS).await;
    assert_eq!(hurried.unwrap_err().to_string(), "no access token: there was none within 100 ms");
    let (here, there) = tokio::join!(told_at_once(&one, 1), told_at_once(&other, 1));
    assert_eq!((here, there), (vec!["token-1".to_owned()], vec!["token-1".to_owned()]));
    assert_eq!(account.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_key_flushes_the_cache() {
    let account = Account::new();
    let (before, after) = (account.replica_with_key(Some(1)), account.replica_with_key(Some(2)));
    assert_eq!(told_at_once(&before, 1).await, ["token-1"]);
    assert_eq!(told_at_once(&after, 1).await, ["token-2"]);
    assert_eq!(told_at_once(&account.replica_with_key(Some(2)), 1).await, ["token-2"]);
    assert_eq!(told_at_once(&account.replica(), 1).await, ["token-3"], "and so does none");
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_printed_shows_a_token() {
    let account = Account::new();
    let token = account.replica().token(PATIENCE).await.unwrap();
    let shelved = account.shelf().get().await.unwrap().unwrap();
    let new = NewToken { token: "token-1".into(), expires_in: SECOND };
    let key = SealKey::read(&"0f".repeat(32).into()).unwrap();
    let printed = format!("{token:?} {shelved:?} {new:?} {key:?}");
    assert!(!printed.contains("token-1") && !printed.contains("116, 111") && !printed.contains("0f0f"), "{printed}");
}
