//! Calls that carry a token: what a refusal of it leads to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;

/// A provider's side of a call: which tokens it takes, and with which it was called.
struct Provider {
    takes: Box<dyn Fn(&str) -> bool + Send + Sync>,
    seen: Mutex<Vec<String>>,
}

impl Provider {
    fn that_takes(takes: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { takes: Box::new(takes), seen: Mutex::default() }
    }

    async fn call(&self, token: Token) -> Result<String, CallFailed<CallError>> {
        let token = text(&token);
        self.seen.lock().unwrap().push(token.clone());
        if (self.takes)(&token) { Ok(format!("done with {token}")) } else { Err(CallFailed::TokenRefused) }
    }

    /// The tokens that it saw since this was asked last.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// As an adapter does it: its traits want futures that may go from thread to thread.
fn call<'a>(cache: &'a TokenCache, provider: &'a Provider) -> BoxFuture<'a, Result<String, CallError>> {
    async { cache.with_token(PATIENCE, |token, _| provider.call(token)).await }.boxed()
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_token_is_taken_is_made_once() {
    let account = Account::new();
    let provider = Provider::that_takes(|_| true);
    assert_eq!(call(&account.replica(), &provider).await.unwrap(), "done with token-1");
    assert_eq!(provider.seen(), ["token-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_costs_one_login_and_one_more_call() {
    let account = Account::new();
    let cache = account.replica();
    let provider = Provider::that_takes(|token| token != "token-1");
    let calls = (0..100).map(|_| call(&cache, &provider));
    for done in futures_util::future::join_all(calls).await {
        assert_eq!(done.unwrap(), "done with token-2");
    }
    assert_eq!(account.logins(), 2);
    provider.seen();
    assert!(call(&cache, &provider).await.is_ok());
    assert_eq!(provider.seen(), ["token-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_never_made_a_third_time_and_a_new_token_that_is_refused_stays_for_a_while() {
    let account = Account::new();
    let cache = account.replica();
    let provider = Provider::that_takes(|_| false);
    let failed = call(&cache, &provider).await.unwrap_err();
    assert!(matches!(failed, CallError::NotDelivered(_)), "{failed}");
    assert_eq!((provider.seen(), account.logins()), (vec!["token-1".to_owned(), "token-2".to_owned()], 2));

    // It isn't the token: others may do well with it, and a login with every call would help nobody.
    for _ in 0..10 {
        assert!(matches!(call(&cache, &provider).await, Err(CallError::NotDelivered(_))));
    }
    assert_eq!((provider.seen(), account.logins()), (vec!["token-2".to_owned(); 10], 2));
    assert_eq!(told_at_once(&cache, 1).await, ["token-2"]);
    advance(NEW_TOKEN_DOUBTED).await;
    assert!(call(&cache, &provider).await.is_err());
    assert_eq!((provider.seen(), account.logins()), (vec!["token-2".to_owned(), "token-3".to_owned()], 3));
}

#[tokio::test(start_paused = true)]
async fn another_replicas_token_that_is_refused_as_well_is_taken_out_of_use() {
    let account = Account::new();
    let (one, other) = (account.replica(), account.replica());
    let provider = Provider::that_takes(|token| token == "token-3");
    let first = one.token(PATIENCE).await.unwrap();
    other.token(PATIENCE).await.unwrap();
    one.refused(&first).await;
    assert_eq!(told_at_once(&one, 1).await, ["token-2"]);

    assert!(call(&other, &provider).await.is_err());
    assert_eq!(provider.seen(), ["token-1", "token-2"]);
    assert_eq!(call(&other, &provider).await.unwrap(), "done with token-3");
    assert_eq!(provider.seen(), ["token-3"]);
}

#[tokio::test(start_paused = true)]
async fn any_other_failure_is_the_calls_own_and_is_not_repeated() {
    let account = Account::new();
    let calls = AtomicU32::new(0);
    let failed: Result<(), CallError> = account
        .replica()
        .with_token(PATIENCE, |_, _| {
            calls.fetch_add(1, Ordering::SeqCst);
            async { Err(CallError::InDoubt(Cause("no answer".to_owned())))? }
        })
        .await;
    assert!(matches!(failed, Err(CallError::InDoubt(_))));
    assert_eq!((calls.load(Ordering::SeqCst), account.logins()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_asked() {
    let account = Account::new();
    account.next_logins([Step::Fail]);
    let provider = Provider::that_takes(|_| true);
    let failed = call(&account.replica(), &provider).await.unwrap_err();
    assert_eq!(failed.to_string(), "the call was not delivered: no access token: the provider knows no such key");
    assert!(provider.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_is_told_what_is_left_of_its_time_and_not_made_when_nothing_is() {
    let account = Account::new();
    let cache = account.replica();
    account.next_logins([Step::After(2 * SECOND)]);
    let left = cache.with_token(5 * SECOND, |_, left| async move { Ok::<_, CallFailed<CallError>>(left) }).await.unwrap();
    assert_eq!(left, 3 * SECOND);

    // The first call takes all the time: its token is known to be refused, and nothing follows.
    let started = Instant::now();
    let calls = AtomicU32::new(0);
    let failed: Result<(), AskError> = cache
        .with_token(SECOND, |_, left| {
            calls.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(left).await;
                Err(CallFailed::TokenRefused)
            }
        })
        .await;
    assert_eq!(failed.unwrap_err().to_string(), "the provider gave no answer: no access token: no time was left of 1000 ms");
    assert_eq!((calls.load(Ordering::SeqCst), started.elapsed()), (1, SECOND));
    assert_eq!(told_at_once(&cache, 1).await, ["token-2"]);
}
