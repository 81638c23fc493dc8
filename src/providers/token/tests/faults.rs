//! What happens when the shared place fails, or somebody dies or is late.

use super::place::{Mood, Step};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_shelf_that_does_not_answer_stops_nobody() {
    for mood in [Mood::Fails, Mood::Hangs] {
        let account = Account::new();
        account.set_mood(mood);
        let (one, other) = (account.replica(), account.replica());
        let started = Instant::now();
        assert_eq!(told_at_once(&one, 100).await, ["token-1"], "{mood:?}");
        assert!(started.elapsed() < 2 * SECOND, "{mood:?}: {:?}", started.elapsed());
        // Mirrored all the same.
        let asked = account.asked();
        assert_eq!(told_at_once(&one, 100).await, ["token-1"], "{mood:?}");
        assert_eq!((account.logins(), account.asked()), (1, asked), "{mood:?}");
        assert_eq!(told_at_once(&other, 1).await, ["token-2"], "{mood:?}: each logs in for itself");

        // Once it is back they share again.
        account.set_mood(Mood::Well);
        advance(30 * MINUTE).await;
        let (here, there) = tokio::join!(told_at_once(&one, 10), told_at_once(&other, 10));
        assert_eq!((here, there), (vec!["token-3".to_owned()], vec!["token-3".to_owned()]), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_login_beside_the_shelf_can_be_refused_too() {
    let account = Account::new();
    account.set_mood(Mood::Fails);
    let cache = account.replica();
    let alone = cache.token(PATIENCE).await.unwrap();
    account.set_mood(Mood::Well);
    cache.refused(&alone).await;
    assert_eq!(told_at_once(&cache, 1).await, ["token-2"]);
    cache.refused(&alone).await;
    assert_eq!(told_at_once(&cache, 1).await, ["token-2"], "the newer one stays");
}

#[tokio::test(start_paused = true)]
async fn a_shelf_that_breaks_down_in_the_middle_of_a_turn_costs_no_second_login() {
    let account = Account::new();
    account.set_mood(Mood::FailsInTurn);
    let cache = account.replica();
    assert_eq!(told_at_once(&cache, 100).await, ["token-1"]);
    assert_eq!(account.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_an_owner_dies_in_his_login_another_logs_in_and_his_late_token_goes_nowhere() {
    let account = Account::new();
    let shelf = account.shelf();
    let dead = shelf.begin_login(Duration::from_secs(15)).await.unwrap().expect("nobody has it");
    let cache = account.replica();
    let started = Instant::now();
    assert_eq!(told_at_once(&cache, 100).await, ["token-1"]);
    let waited = started.elapsed();
    assert!(waited > 15 * SECOND && waited < 16 * SECOND, "until the lease ended: {waited:?}");
    assert!(account.asked() < 120, "without hammering the shelf: {}", account.asked());

    assert!(!shelf.finish_login(dead, "\0late".into(), MINUTE).await.unwrap());
    shelf.abandon_login(dead).await.unwrap();
    assert_eq!(told_at_once(&account.replica(), 1).await, ["token-1"]);
    assert_eq!(account.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_replica_keeps_to_his_own_time() {
    let account = Account::new();
    account.shelf().begin_login(Duration::from_secs(15)).await.unwrap().expect("nobody has it");
    let started = Instant::now();
    assert!(account.replica().token(2 * SECOND).await.is_err());
    assert_eq!(started.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn others_whose_turns_never_end_are_not_waited_for_for_ever() {
    let account = Account::new();
    let shelf = account.shelf();
    let cache = account.replica();
    let others = async {
        loop {
            let _ = shelf.begin_login(Duration::from_secs(15)).await;
            tokio::time::sleep(MS).await;
        }
    };
    let started = Instant::now();
    let told = tokio::select! { told = told_at_once(&cache, 100) => told, () = others => unreachable!("it never ends") };
    assert_eq!(told, ["no access token: the login of another replica brought none in time"]);
    assert!(started.elapsed() < 31 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_gets_the_turn_looks_once_more_and_gives_it_back_where_a_token_lies_by_then() {
    let account = Account::new();
    account.set_mood(Mood::Overtaken);
    assert_eq!(told_at_once(&account.replica(), 100).await, ["token-of-another"]);
    assert_eq!(account.logins(), 0);
    account.set_mood(Mood::Well);
    assert!(account.shelf().begin_login(SECOND).await.unwrap().is_some(), "nobody has the turn");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_frees_no_turn_of_this_process() {
    let account = Account::new();
    account.set_mood(Mood::Fails);
    account.next_logins([Step::After(SECOND)]);
    let cache = account.replica();
    assert!(cache.token(100 * MS).await.is_err());
    assert_eq!(told_at_once(&cache, 100).await, ["token-1"]);
    assert_eq!(account.logins(), 1, "no shelf holds a second one back");
}

#[tokio::test(start_paused = true)]
async fn who_was_too_late_uses_the_newer_token() {
    let account = Account::new();
    account.set_mood(Mood::Hurried);
    account.next_logins([Step::After(5 * SECOND)]);
    let (slow, other) = (account.replica(), account.replica());
    let (here, there) = tokio::join!(slow.token(PATIENCE), other.token(PATIENCE));
    assert_eq!((text(&here.unwrap()), text(&there.unwrap())), ("token-2".to_owned(), "token-2".to_owned()));
    assert_eq!(account.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_taken_out_of_use_and_no_newer_one() {
    let account = Account::new();
    let (one, other) = (account.replica(), account.replica());
    let first = one.token(PATIENCE).await.unwrap();
    assert_eq!(told_at_once(&other, 1).await, ["token-1"]);
    one.refused(&first).await;
    assert_eq!(account.shelf().get().await.unwrap(), None);
    assert_eq!(told_at_once(&one, 1).await, ["token-2"]);

    // The other replica finds out later, and so does a call that was under way for long.
    let late = other.token(PATIENCE).await.unwrap();
    assert_eq!(text(&late), "token-1");
    other.refused(&late).await;
    one.refused(&first).await;
    let asked = account.asked();
    assert_eq!(told_at_once(&one, 1).await, ["token-2"]);
    assert_eq!(account.asked(), asked, "the newer one stayed in the mirror");
    assert_eq!(told_at_once(&other, 1).await, ["token-2"]);
    assert_eq!(account.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_could_not_be_discarded_is_not_used_again() {
    let account = Account::new();
    account.set_mood(Mood::KeepsAll);
    let cache = account.replica();
    let first = cache.token(PATIENCE).await.unwrap();
    cache.refused(&first).await;
    assert!(account.shelf().get().await.unwrap().is_some(), "it lies there yet");
    assert_eq!(told_at_once(&cache, 100).await, ["token-2"]);
    assert_eq!(told_at_once(&account.replica(), 1).await, ["token-2"]);
}
