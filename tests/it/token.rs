//! Access tokens that replicas share: one login for all of them, and what lies in the store meanwhile.

#[macro_use]
mod promises;
mod memory;
mod redis;
mod redis_cluster;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use secrecy::ExposeSecret;
use upistream::app::tokens::shelf_in;
use upistream::providers::token::{Login, NewToken, NoToken, SealKey, TokenCache, TokenParts};
use upistream::store::redis::RedisStore;

use crate::support::StoreTime;
use crate::support::app::until;
use crate::support::redis::{TestRedis, by_clock, open};

const ACCOUNT: &str = "shop";
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_KEY: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// How long a caller of these tests waits for a token.
const PATIENCE: Duration = Duration::from_secs(20);
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

/// Moves a store's clock.
fn passing(clock: Arc<StoreTime>) -> Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync> {
    Box::new(move |by| {
        clock.pass(by);
        std::future::ready(()).boxed()
    })
}

/// A provider's login: it takes a moment, and gives `secret-token-<number>`.
struct LoginEndpoint {
    logins: AtomicU32,
    expires_in: Duration,
}

impl LoginEndpoint {
    fn of_tokens_for(expires_in: Duration) -> Arc<Self> {
        Arc::new(Self { logins: AtomicU32::new(0), expires_in })
    }

    fn logins(&self) -> u32 {
        self.logins.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Login for LoginEndpoint {
    async fn login(&self, _timeout: Duration) -> Result<NewToken, NoToken> {
        let number = self.logins.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(NewToken { token: format!("secret-token-{number}").into(), expires_in: self.expires_in })
    }

    fn credentials(&self) -> u64 {
        0
    }
}

/// One replica's cache.
fn cache(store: &RedisStore, login: &Arc<LoginEndpoint>, key: Option<&str>) -> TokenCache {
    TokenCache::new(TokenParts {
        account: ACCOUNT.parse().expect("a plain name"),
        login: Arc::clone(login) as Arc<dyn Login>,
        shelf: shelf_in(store, ACCOUNT.parse().expect("a plain name")),
        key: key.map(|key| SealKey::read(&key.into()).expect("a good key")),
        random: Arc::new(rand::random::<u128>),
        told: Arc::new(|_| ()),
    })
}

async fn token(cache: &TokenCache) -> String {
    cache.token(PATIENCE).await.expect("there is one").text().expose_secret().to_owned()
}

/// The different tokens that a hundred callers, spread over two replicas, are given at once.
async fn tokens_at_once(one: &TokenCache, other: &TokenCache) -> BTreeSet<String> {
    join_all((0..100).map(|caller| token(if caller % 2 == 0 { one } else { other }))).await.into_iter().collect()
}

/// All that lies in a redis under string keys, and the names of all keys.
fn all_that_lies_in(redis: &TestRedis) -> Vec<u8> {
    let mut all = Vec::new();
    for key in redis.ask::<Vec<String>>("KEYS *") {
        all.extend_from_slice(key.as_bytes());
        if redis.ask::<String>(&format!("TYPE {key}")) == "string" {
            all.extend(redis.ask::<Vec<u8>>(&format!("GET {key}")));
        }
    }
    all
}

fn has(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_with_a_hundred_callers_at_the_moment_of_expiry_one_logs_in_once() {
    let redis = TestRedis::start().await;
    let (here, there) = (open(redis.options("store")).await, open(redis.options("store")).await);
    // So long that no busy machine outlives it within one look.
    let login = LoginEndpoint::of_tokens_for(Duration::from_secs(3));
    let (one, other) = (cache(&here, &login, Some(KEY)), cache(&there, &login, Some(KEY)));
    let shelf = shelf_in(&here, ACCOUNT.parse().expect("a plain name"));
    for life in 1..=3 {
        assert_eq!(tokens_at_once(&one, &other).await, BTreeSet::from([format!("secret-token-{life}")]));
        assert_eq!(login.logins(), life);
        // The shelf and the mirrors cut their times to milliseconds, each by itself: the last of them ends by the next look.
        let looks_without = AtomicU32::new(0);
        let is_over = async || {
            let is_gone = shelf.get().await.expect("it answers").is_none();
            (is_gone && looks_without.fetch_add(1, Ordering::SeqCst) > 0).then_some(())
        };
        until("the token expires", is_over).await;
    }
}

#[tokio::test]
async fn what_lies_in_the_store_is_not_the_token_where_a_key_is_configured() {
    let redis = TestRedis::start().await;
    let store = open(redis.options("store")).await;
    let login = LoginEndpoint::of_tokens_for(HALF_AN_HOUR);
    assert_eq!(token(&cache(&store, &login, Some(KEY))).await, "secret-token-1");
    let all = all_that_lies_in(&redis);
    assert!(has(&all, "store:{t-shop}:token") && !has(&all, "secret-token") && !has(&all, &KEY[..16]), "{}", all.escape_ascii());

    // The same look finds one that was not sealed.
    assert_eq!(token(&cache(&store, &login, None)).await, "secret-token-2");
    assert!(has(&all_that_lies_in(&redis), "secret-token-2"));
}

#[tokio::test]
async fn another_key_flushes_the_cache() {
    let redis = TestRedis::start().await;
    let store = open(redis.options("store")).await;
    let login = LoginEndpoint::of_tokens_for(HALF_AN_HOUR);
    assert_eq!(token(&cache(&store, &login, Some(KEY))).await, "secret-token-1");
    assert_eq!(token(&cache(&store, &login, Some(KEY))).await, "secret-token-1");
    assert_eq!(token(&cache(&store, &login, Some(OTHER_KEY))).await, "secret-token-2");
    assert_eq!(token(&cache(&store, &login, Some(OTHER_KEY))).await, "secret-token-2");
    assert_eq!(login.logins(), 2);
}

#[tokio::test]
async fn a_refused_token_is_gone_for_all_replicas_and_a_newer_one_stays() {
    let redis = TestRedis::start().await;
    let (here, there) = (open(redis.options("store")).await, open(redis.options("store")).await);
    let login = LoginEndpoint::of_tokens_for(HALF_AN_HOUR);
    let (one, other) = (cache(&here, &login, Some(KEY)), cache(&there, &login, Some(KEY)));
    let (first, theirs) = (one.token(PATIENCE).await.expect("there is one"), other.token(PATIENCE).await.expect("there is one"));
    one.refused(&first).await;
    assert_eq!(token(&one).await, "secret-token-2");
    // They were told the same by the provider, and a little later.
    other.refused(&theirs).await;
    assert_eq!((token(&other).await, login.logins()), ("secret-token-2".to_owned(), 2));
}

#[tokio::test]
async fn each_script_sent_twice_has_one_effect_and_one_reply() {
    let redis = TestRedis::start().await;
    let clock = Arc::new(StoreTime::start());
    let mut options = by_clock(redis.options("store"), &clock);
    // Every call has the same name, as one that is sent again has.
    options.names = Arc::new(|| 7);
    let tokens = open(options).await.tokens();
    let lease = Duration::from_secs(15);

    let fence = tokens.begin_login(ACCOUNT, lease).await.unwrap().expect("nobody has the turn");
    clock.pass(Duration::from_millis(10));
    assert_eq!(tokens.begin_login(ACCOUNT, lease).await.unwrap(), Some(fence));
    // The second time did not make the lease longer.
    clock.pass(lease - Duration::from_millis(11));
    for _ in 0..2 {
        assert!(tokens.finish_login(ACCOUNT, fence, b"token", HALF_AN_HOUR).await.unwrap());
    }
    for _ in 0..2 {
        let kept = tokens.get(ACCOUNT).await.unwrap().expect("it is kept");
        assert_eq!((kept.version, kept.left, &kept.body[..]), (fence, HALF_AN_HOUR, &b"token"[..]));
    }
    for _ in 0..2 {
        tokens.discard(ACCOUNT, fence).await.unwrap();
        assert!(tokens.get(ACCOUNT).await.unwrap().is_none());
    }

    let others = open(by_clock(redis.options("store"), &clock)).await.tokens();
    let second = others.begin_login(ACCOUNT, lease).await.unwrap().expect("the turn was given back");
    for _ in 0..2 {
        assert!(!tokens.finish_login(ACCOUNT, fence, b"late", HALF_AN_HOUR).await.unwrap());
        tokens.abandon_login(ACCOUNT, fence).await.unwrap();
        assert_eq!(others.begin_login(ACCOUNT, lease).await.unwrap(), None);
    }
    for _ in 0..2 {
        others.abandon_login(ACCOUNT, second).await.unwrap();
    }
    let third = others.begin_login(ACCOUNT, lease).await.unwrap().expect("it was abandoned");
    assert!(third > second && second > fence);
}

#[tokio::test]
async fn a_call_sent_again_does_not_get_a_turn_that_others_had_meanwhile() {
    let redis = TestRedis::start().await;
    let clock = Arc::new(StoreTime::start());
    let mut options = by_clock(redis.options("store"), &clock);
    options.names = Arc::new(|| 7);
    let slow = open(options).await.tokens();
    let others = open(by_clock(redis.options("store"), &clock)).await.tokens();
    let lease = Duration::from_secs(15);
    let stale = slow.begin_login(ACCOUNT, lease).await.unwrap().expect("nobody has the turn");
    clock.pass(lease);
    let living = others.begin_login(ACCOUNT, lease).await.unwrap().expect("the lease ended");
    assert_eq!(slow.begin_login(ACCOUNT, lease).await.unwrap(), Some(stale), "the reply to the first time");
    assert!(!slow.finish_login(ACCOUNT, stale, b"late", HALF_AN_HOUR).await.unwrap());
    assert!(others.finish_login(ACCOUNT, living, b"token", HALF_AN_HOUR).await.unwrap());
}

#[tokio::test]
async fn a_fence_is_not_given_twice_by_a_store_that_was_set_back_or_whose_clock_was() {
    let redis = TestRedis::start().await;
    let clock = Arc::new(StoreTime::start());
    let tokens = open(by_clock(redis.options("store"), &clock)).await.tokens();
    let lease = Duration::from_secs(15);
    let first = tokens.begin_login(ACCOUNT, lease).await.unwrap().expect("nobody has the turn");
    assert_eq!(redis.ask::<i64>("DEL store:{t-shop}:fence store:{t-shop}:turn"), 2);
    clock.pass(Duration::from_millis(1));
    let second = tokens.begin_login(ACCOUNT, lease).await.unwrap().expect("nothing is known of the first");
    assert!(second > first);
    assert!(!tokens.finish_login(ACCOUNT, first, b"late", HALF_AN_HOUR).await.unwrap());

    tokens.abandon_login(ACCOUNT, second).await.unwrap();
    clock.go_back(Duration::from_secs(60));
    assert!(tokens.begin_login(ACCOUNT, lease).await.unwrap().is_some_and(|third| third > second));
}

#[tokio::test]
async fn accounts_are_apart_and_nothing_is_kept_for_ever_but_the_fence() {
    let redis = TestRedis::start().await;
    let tokens = open(redis.options("store")).await.tokens();
    let lease = Duration::from_secs(15);
    let shop = tokens.begin_login("shop", lease).await.unwrap().expect("nobody has the turn");
    let kiosk = tokens.begin_login("kiosk", lease).await.unwrap().expect("nobody has this one either");
    assert!(tokens.finish_login("shop", shop, b"token", HALF_AN_HOUR).await.unwrap());
    assert!(tokens.get("kiosk").await.unwrap().is_none());
    tokens.discard("kiosk", shop).await.unwrap();
    assert!(tokens.get("shop").await.unwrap().is_some());
    assert!(tokens.finish_login("kiosk", kiosk, b"token", HALF_AN_HOUR).await.unwrap());

    let lasting: Vec<String> =
        redis.ask::<Vec<String>>("KEYS store:{t-*").into_iter().filter(|key| redis.ask::<i64>(&format!("PTTL {key}")) < 0).collect();
    let expected = BTreeSet::from(["store:{t-shop}:fence".to_owned(), "store:{t-kiosk}:fence".to_owned()]);
    assert_eq!(BTreeSet::from_iter(lasting), expected);
}

#[tokio::test]
async fn a_redis_that_is_away_stops_no_login_and_is_used_again_when_it_is_back() {
    let redis = Arc::new(TestRedis::start().await);
    let (here, there) = (open(redis.options("store")).await, open(redis.options("store")).await);
    let login = LoginEndpoint::of_tokens_for(HALF_AN_HOUR);
    let (one, other) = (cache(&here, &login, Some(KEY)), cache(&there, &login, Some(KEY)));
    redis.kill();
    let alone = one.token(PATIENCE).await.expect("there is one");
    assert_eq!((token(&one).await, token(&other).await), ("secret-token-1".to_owned(), "secret-token-2".to_owned()));
    redis.start_again().await;

    let shelf = shelf_in(&here, ACCOUNT.parse().expect("a plain name"));
    until("redis is back", async || shelf.get().await.ok()).await;
    one.refused(&alone).await;
    assert_eq!(token(&one).await, "secret-token-3");
    assert_eq!(token(&cache(&here, &login, Some(KEY))).await, "secret-token-3", "it is shared");
}
