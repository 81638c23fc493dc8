//! What every shelf promises (the comments of `upistream::providers::token::TokenShelf`), as tests over two handles on one
//! account's place. A shelf's file says how to open it, and no more: `shelf_promises!(two_handles);`.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use upistream::providers::token::{Fence, TokenShelf};

pub const LEASE: Duration = Duration::from_secs(15);
pub const KEEP: Duration = Duration::from_secs(29 * 60);
const MS: Duration = Duration::from_millis(1);

/// Two handles on one account's shelf.
pub struct Place {
    pub a: Arc<dyn TokenShelf>,
    pub b: Arc<dyn TokenShelf>,
    /// Lets the shelf's time pass.
    pub pass: Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
    /// What must live as long.
    pub _keep: Box<dyn Any + Send + Sync>,
}

/// A test of this shelf for each promise. A promise that is missing here is a warning: nobody calls it.
macro_rules! shelf_promises {
    ($two_handles:ident) => {
        shelf_promises! { @each $two_handles;
            a_token_is_read_through_both_handles_until_its_time_is_over,
            the_turn_is_one_at_a_time,
            of_concurrent_callers_one_gets_the_turn,
            a_lease_that_ran_out_is_free_and_its_fence_stale,
            a_stale_fence_takes_nobodys_turn_away,
            a_newer_token_takes_the_place_of_the_older,
            a_token_sent_twice_is_laid_down_once,
            an_abandoned_turn_is_free_and_leaves_the_token,
            a_token_is_discarded_by_its_version_alone,
            any_bytes_are_kept_as_they_are,
        }
    };
    (@each $two_handles:ident; $($promise:ident,)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                crate::token::promises::$promise($two_handles().await).await;
            }
        )*
    };
}

/// Takes the turn, which nobody has.
pub async fn begin(shelf: &Arc<dyn TokenShelf>) -> Fence {
    shelf.begin_login(LEASE).await.expect("it answers").expect("nobody has the turn")
}

pub async fn finish(shelf: &Arc<dyn TokenShelf>, fence: Fence, sealed: &'static str) -> bool {
    shelf.finish_login(fence, sealed.into(), KEEP).await.expect("it answers")
}

/// The token that lies there, and its version.
pub async fn lying(shelf: &Arc<dyn TokenShelf>) -> Option<(Fence, Bytes)> {
    shelf.get().await.expect("it answers").map(|shelved| (shelved.version, shelved.sealed))
}

pub async fn a_token_is_read_through_both_handles_until_its_time_is_over(place: Place) {
    let Place { a, b, pass, _keep } = place;
    assert_eq!(lying(&b).await, None);
    let fence = begin(&a).await;
    assert!(finish(&a, fence, "token").await);
    for shelf in [&a, &b] {
        let shelved = shelf.get().await.unwrap().expect("it lies there");
        assert_eq!((shelved.version, shelved.left, &shelved.sealed[..]), (fence, KEEP, &b"token"[..]));
    }
    pass(KEEP - MS).await;
    assert_eq!(b.get().await.unwrap().expect("it lies there yet").left, MS);
    pass(MS).await;
    assert_eq!((lying(&a).await, lying(&b).await), (None, None));
}

pub async fn the_turn_is_one_at_a_time(place: Place) {
    let Place { a, b, pass: _, _keep } = place;
    let first = begin(&a).await;
    assert_eq!((a.begin_login(LEASE).await.unwrap(), b.begin_login(LEASE).await.unwrap()), (None, None));
    assert!(finish(&a, first, "token").await);
    let second = begin(&b).await;
    assert!(second > first);
}

pub async fn of_concurrent_callers_one_gets_the_turn(place: Place) {
    let Place { a, b, pass: _, _keep } = place;
    let calls = (0..50).map(|call| if call % 2 == 0 { a.begin_login(LEASE) } else { b.begin_login(LEASE) });
    let given = join_all(calls).await.into_iter().filter(|turn| turn.as_ref().expect("it answers").is_some());
    assert_eq!(given.count(), 1);
}

pub async fn a_lease_that_ran_out_is_free_and_its_fence_stale(place: Place) {
    let Place { a, b, pass, _keep } = place;
    let dead = begin(&a).await;
    pass(LEASE - MS).await;
    assert_eq!(b.begin_login(LEASE).await.unwrap(), None);
    pass(MS).await;
    assert!(!finish(&a, dead, "late").await, "also before anybody else has the turn");
    let living = begin(&b).await;
    assert!(living > dead);
    assert!(!finish(&a, dead, "late").await);
    assert_eq!(lying(&b).await, None);
    assert!(finish(&b, living, "token").await);
    assert!(!finish(&a, dead, "late").await);
    assert_eq!(lying(&a).await, Some((living, "token".into())));
}

pub async fn a_stale_fence_takes_nobodys_turn_away(place: Place) {
    let Place { a, b, pass, _keep } = place;
    let dead = begin(&a).await;
    pass(LEASE).await;
    let living = begin(&b).await;
    a.abandon_login(dead).await.unwrap();
    assert!(!finish(&a, dead, "late").await);
    assert_eq!(a.begin_login(LEASE).await.unwrap(), None);
    assert!(finish(&b, living, "token").await);
}

pub async fn a_newer_token_takes_the_place_of_the_older(place: Place) {
    let Place { a, b, pass, _keep } = place;
    let older = begin(&a).await;
    assert!(finish(&a, older, "older").await);
    pass(KEEP - MS).await;
    let newer = begin(&b).await;
    assert!(finish(&b, newer, "newer").await);
    pass(KEEP - MS).await;
    assert_eq!(lying(&a).await, Some((newer, "newer".into())));
}

pub async fn a_token_sent_twice_is_laid_down_once(place: Place) {
    let Place { a, b, pass, _keep } = place;
    let fence = begin(&a).await;
    assert!(finish(&a, fence, "token").await);
    pass(MS).await;
    assert!(finish(&a, fence, "token").await, "it finds its own work");
    assert_eq!(b.get().await.unwrap().expect("it lies there").left, KEEP - MS, "and its time runs on");
    // Not what was taken away since: that would bring a refused token back.
    b.discard(fence).await.unwrap();
    assert!(!finish(&a, fence, "token").await);
    assert_eq!(lying(&b).await, None);
}

pub async fn an_abandoned_turn_is_free_and_leaves_the_token(place: Place) {
    let Place { a, b, pass: _, _keep } = place;
    let first = begin(&a).await;
    assert!(finish(&a, first, "token").await);
    let second = begin(&a).await;
    a.abandon_login(second).await.unwrap();
    a.abandon_login(second).await.unwrap();
    assert!(!finish(&a, second, "late").await);
    assert!(begin(&b).await > second);
    assert_eq!(lying(&b).await, Some((first, "token".into())));
}

pub async fn a_token_is_discarded_by_its_version_alone(place: Place) {
    let Place { a, b, pass: _, _keep } = place;
    let older = begin(&a).await;
    assert!(finish(&a, older, "older").await);
    let newer = begin(&a).await;
    assert!(finish(&a, newer, "newer").await);
    b.discard(older).await.unwrap();
    assert_eq!(lying(&a).await, Some((newer, "newer".into())));
    for _ in 0..2 {
        b.discard(newer).await.unwrap();
        assert_eq!(lying(&a).await, None);
    }
    // A discard is no turn and gives none back.
    let next = begin(&a).await;
    b.discard(next).await.unwrap();
    assert!(finish(&a, next, "next").await);
}

pub async fn any_bytes_are_kept_as_they_are(place: Place) {
    let Place { a, b, pass: _, _keep } = place;
    let all: Bytes = (0..=255).chain(*b"12 34 \r\n").collect();
    for bytes in [all, Bytes::new(), "7 8 9".into()] {
        let fence = begin(&a).await;
        assert!(a.finish_login(fence, bytes.clone(), KEEP).await.unwrap());
        assert_eq!(lying(&b).await, Some((fence, bytes)));
    }
}
