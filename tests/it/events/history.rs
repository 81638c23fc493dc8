//! A log that no longer has what a subscriber has not read, or has something else there.

use std::path::Path;
use std::sync::Arc;

use upistream::clock::TestClock;
use upistream::grpc::pb;
use upistream::grpc::pb::subscribe_response::Message;

use super::filters::{OTHER, with_another_account};
use crate::support::app::{ACCOUNT, App, Told, provider, told};
use crate::support::log::{Feeder, Reader, after, earliest};

fn only(account: &str) -> Option<pb::EventFilter> {
    Some(pb::EventFilter { accounts: vec![account.to_owned()], ..Default::default() })
}

/// Removes the oldest `count` events.
async fn trim(app: &App, count: usize) {
    let store = app.running.store();
    let later = store.now_ms().await.unwrap() + 60_000;
    assert_eq!(store.trim(later, count).await.unwrap(), count);
}

async fn refusal(app: &App, request: pb::SubscribeRequest) -> Told {
    told(&Reader::try_open(app, request).await.err().expect("the position is refused"))
}

fn check_lost(lost: &Told) {
    assert_eq!((lost.code, lost.reason.as_str(), lost.outcome()), (tonic::Code::OutOfRange, "HISTORY_LOST", "NOT_SENT"));
}

#[tokio::test]
async fn a_token_whose_next_events_were_removed_is_told_where_to_go_on() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    let mut reader = Reader::open(&app, earliest()).await;
    assert!(reader.history().await.is_empty());
    let before_all = reader.token.clone();
    let ids = feeder.append(6).await;
    let first = reader.event().await;
    let oldest_kept = app.log().await[4].clone();

    trim(&app, 1).await;
    assert_eq!(Reader::open(&app, after(&first.token)).await.history_ids().await, ids[1..], "its own event may go");
    trim(&app, 3).await;
    for token in [&before_all, &first.token] {
        let lost = refusal(&app, after(token)).await;
        check_lost(&lost);
        let time: jiff::Timestamp = lost.metadata["earliest_time"].parse().unwrap();
        let kept = oldest_kept.record_time.unwrap();
        assert_eq!((time.as_second(), time.subsec_nanosecond()), (kept.seconds, kept.nanos));
        let rest = Reader::open(&app, after(&lost.metadata["earliest_token"])).await.history_ids().await;
        assert_eq!(rest, ids[4..]);
    }
    assert_eq!(Reader::open(&app, earliest()).await.history_ids().await, ids[4..], "the beginning is wherever it is");

    let listed =
        pb::ListEventsRequest { start: Some(pb::list_events_request::Start::AfterToken(first.token.clone())), ..Default::default() };
    check_lost(&told(&app.events().list_events(listed).await.unwrap_err()));

    // All of it is gone: still a loss, and the token still leads on.
    trim(&app, 2).await;
    let lost = refusal(&app, after(&first.token)).await;
    check_lost(&lost);
    let mut reader = Reader::open(&app, after(&lost.metadata["earliest_token"])).await;
    assert!(reader.history().await.is_empty());
    let new = feeder.append(1).await;
    assert_eq!(reader.ids(1).await, new);
}

#[tokio::test]
async fn a_quiet_account_gets_no_error_however_much_of_others_is_removed() {
    let app = App::start_with(provider().await, with_another_account).await;
    let (shop, quiet) = (Feeder::of(&app), Feeder::new(app.running.store(), OTHER));
    quiet.append(2).await;
    let mut reader = Reader::open(&app, pb::SubscribeRequest { filter: only(OTHER), ..earliest() }).await;
    assert_eq!(reader.history().await.len(), 2);
    shop.append(20).await;
    trim(&app, 22).await;
    let mut again = Reader::open(&app, pb::SubscribeRequest { filter: only(OTHER), ..after(&reader.token) }).await;
    assert!(again.history().await.is_empty());
    let new = quiet.append(1).await;
    assert_eq!(again.ids(1).await, new);
    assert_eq!(reader.ids(1).await, new, "the one that stood there saw nothing of it");
}

#[tokio::test]
async fn a_hole_in_the_middle_ends_the_stream_and_can_be_passed() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    let ids = feeder.append(10).await;
    app.damage_log(&ids[4]).await;

    let mut reader = Reader::open(&app, earliest()).await;
    let mut seen = Vec::new();
    let end = loop {
        match reader.news().await {
            Ok(Message::Event(event)) => seen.push(event.id),
            Ok(other) => panic!("{other:?}"),
            Err(end) => break told(&end),
        }
    };
    check_lost(&end);
    assert!(ids[..4].starts_with(&seen), "nothing beyond the hole was shown: {seen:?}");
    let rest = Reader::open(&app, after(&end.metadata["earliest_token"])).await.history_ids().await;
    assert!(rest.ends_with(&ids[5..]), "what is still there can be read: {rest:?}");
}

#[tokio::test]
async fn a_token_ahead_of_a_restored_log_or_of_another_course_of_it_is_told_so() {
    let provider = provider().await;
    let app = App::start_with(provider.clone(), |_| ()).await;
    let early = Feeder::of(&app).append(2).await;
    let (folder, ..) = app.halt().await;
    let copy = Arc::new(tempfile::tempdir().unwrap());
    copy_files(folder.path(), copy.path());

    let app = App::start_at(folder, Arc::new(TestClock::default()), provider.clone(), |_| ()).await;
    let late = Feeder::of(&app).append(3).await;
    let mut reader = Reader::open(&app, earliest()).await;
    assert_eq!(reader.history_ids().await, [&early[..], &late[..]].concat());
    let token = reader.token.clone();
    drop(reader);
    app.halt().await;

    let app = App::start_at(copy, Arc::new(TestClock::default()), provider, |_| ()).await;
    let check_rewound = async || {
        let rewound = refusal(&app, after(&token)).await;
        assert_eq!((rewound.code, rewound.reason.as_str(), rewound.outcome()), (tonic::Code::OutOfRange, "HISTORY_REWOUND", "NOT_SENT"));
        Reader::open(&app, after(&rewound.metadata["earliest_token"])).await.history_ids().await
    };
    assert_eq!(check_rewound().await, early);
    // The log goes on with other events: the position exists again, but is another event's.
    let other = Feeder::of(&app).append(8).await;
    assert_eq!(check_rewound().await, [&early[..], &other[..]].concat());
}

#[tokio::test]
async fn what_is_no_token_of_this_log_is_refused() {
    let (app, another) = (App::start().await, App::start().await);
    let mut foreign = Reader::open(&another, earliest()).await;
    foreign.history().await;
    let own = {
        let mut reader = Reader::open(&app, earliest()).await;
        reader.history().await;
        reader.token
    };
    let mut cut = own.clone();
    cut.pop();
    for token in [&foreign.token, &cut, "", "no token", "AAAA", &"A".repeat(100_000), &format!("{own}A")] {
        let refused = refusal(&app, after(token)).await;
        let listed =
            pb::ListEventsRequest { start: Some(pb::list_events_request::Start::AfterToken(token.to_owned())), ..Default::default() };
        for refused in [refused, told(&app.events().list_events(listed).await.unwrap_err())] {
            assert_eq!((refused.code, refused.reason.as_str()), (tonic::Code::InvalidArgument, "INVALID_TOKEN"), "{token:.40}");
            assert_eq!(refused.outcome(), "NOT_SENT");
        }
    }
    assert_eq!(ACCOUNT, foreign.confirmation.filter.unwrap().accounts[0]);
}

/// Copies a store as it lies there: its files, not the socket of a server.
fn copy_files(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let (kind, copy) = (file.file_type().unwrap(), to.join(file.file_name()));
        if kind.is_dir() {
            std::fs::create_dir(&copy).unwrap();
            copy_files(&file.path(), &copy);
        } else if kind.is_file() {
            std::fs::copy(file.path(), copy).unwrap();
        }
    }
}
