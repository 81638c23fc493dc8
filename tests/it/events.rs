//! The stream of events: where it begins, what it says, how it ends.

mod filters;
mod history;
mod pages;
mod sharing;
mod slow;
mod turns;

use std::time::Duration;

use upistream::grpc::pb;
use upistream::grpc::pb::subscribe_request::Start;
use upistream::grpc::pb::subscribe_response::Message;

use crate::support::app::{ACCOUNT, App, provider, told, until};
use crate::support::log::{Feeder, Reader, after, duration, earliest, from, latest};

const BEAT: Duration = Duration::from_millis(50);

fn beating(request: pb::SubscribeRequest) -> pb::SubscribeRequest {
    pb::SubscribeRequest { heartbeat_interval: Some(duration(BEAT)), ..request }
}

#[tokio::test]
async fn a_subscription_is_confirmed_then_history_comes_then_what_is_new() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    let old = feeder.append(3).await;

    let mut reader = Reader::open(&app, earliest()).await;
    let pb::Confirmation { filter, heartbeat_interval, retention, log_identity } = reader.confirmation.clone();
    assert_eq!(filter, Some(pb::EventFilter { accounts: vec![ACCOUNT.to_owned()], ..Default::default() }));
    assert_eq!(heartbeat_interval, Some(duration(Duration::from_secs(15))));
    assert_eq!(retention, Some(duration(Duration::from_hours(7 * 24))));
    assert_eq!(log_identity, app.running.engine().log_identity());

    let history = reader.history().await;
    assert_eq!(history.iter().map(|event| event.id.clone()).collect::<Vec<_>>(), old);
    let pb::Event { r#type, account, provider, resource_id, revision, record_time, terminal, resource, .. } = &history[0];
    assert_eq!((r#type.as_str(), account.as_str(), provider.as_str(), *revision, *terminal), ("qr.closed", ACCOUNT, "razorpay", 1, true));
    assert!(record_time.is_some());
    assert!(matches!(resource, Some(pb::event::Resource::Qr(qr)) if qr.id == *resource_id));

    let new = feeder.append(2).await;
    assert_eq!(reader.ids(2).await, new);
}

#[tokio::test]
async fn latest_begins_with_what_is_written_from_now_on() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    feeder.append(3).await;
    let mut reader = Reader::open(&app, latest()).await;
    let new = feeder.append(2).await;
    let mut seen = Vec::new();
    let mut caught_up = 0;
    while seen.len() < new.len() {
        match reader.news().await.unwrap() {
            Message::Event(event) => seen.push(event.id),
            Message::CaughtUp(_) => caught_up += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, new);
    assert!(caught_up <= 1);
}

#[tokio::test]
async fn after_a_token_comes_exactly_what_it_has_not_covered() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    let ids = feeder.append(5).await;
    let mut tokens = Vec::new();
    let mut reader = Reader::open(&app, earliest()).await;
    for _ in &ids {
        tokens.push(reader.event().await.token);
    }
    assert!(matches!(reader.news().await, Ok(Message::CaughtUp(_))));
    tokens.push(reader.token.clone());
    for (index, token) in tokens.iter().enumerate() {
        let rest = &ids[(index + 1).min(ids.len())..];
        assert_eq!(Reader::open(&app, after(token)).await.history_ids().await, rest, "after event {index}");
    }
}

#[tokio::test]
async fn at_a_time_comes_what_was_written_then_or_later() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    let mut ids = Vec::new();
    for _ in 0..4 {
        let before = app.running.store().now_ms().await.unwrap();
        ids.extend(feeder.append(1).await);
        // Each event has a millisecond of its own.
        until("the next millisecond", async || (app.running.store().now_ms().await.unwrap() > before + 1).then_some(())).await;
    }
    let log = app.log().await;
    for (index, event) in log.iter().enumerate() {
        let time = event.record_time.unwrap();
        let mut reader = Reader::open(&app, from(Start::AtTime(time))).await;
        assert_eq!(reader.history_ids().await, ids[index..], "at the time of event {index}");
    }
    let at = |seconds, nanos| from(Start::AtTime(prost_types::Timestamp { seconds, nanos }));
    let first = log[0].record_time.unwrap();
    assert_eq!(
        Reader::open(&app, at(first.seconds - 60, 0)).await.history_ids().await,
        ids,
        "nothing was removed: the time before is no loss"
    );
    assert_eq!(Reader::open(&app, at(first.seconds + 3600, 0)).await.history_ids().await, Vec::<String>::new());
}

#[tokio::test]
async fn at_a_time_whose_events_were_removed_the_loss_is_told() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    feeder.append(3).await;
    let first = app.log().await[0].record_time.unwrap();
    let long_ago = prost_types::Timestamp { seconds: first.seconds - 3600, nanos: 0 };
    let far = app.running.store().now_ms().await.unwrap() + 60_000;
    app.running.store().trim(far, 2).await.unwrap();
    let kept = app.log().await;
    let lost = Reader::try_open(&app, from(Start::AtTime(long_ago))).await.err().expect("events were removed since");
    let lost = told(&lost);
    assert_eq!((lost.code, lost.reason.as_str(), lost.outcome()), (tonic::Code::OutOfRange, "HISTORY_LOST", "NOT_SENT"));
    let rest = Reader::open(&app, after(&lost.metadata["earliest_token"])).await.history_ids().await;
    assert_eq!(rest, kept.iter().map(|event| event.id.clone()).collect::<Vec<_>>());
    // From the oldest kept one's time on nothing is missing.
    let at_kept = from(Start::AtTime(prost_types::Timestamp { seconds: first.seconds + 3600, nanos: 0 }));
    assert!(Reader::try_open(&app, at_kept).await.is_ok());
}

#[tokio::test]
async fn an_idle_subscription_is_told_at_every_heartbeat_that_nothing_waits() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    feeder.append(2).await;
    let mut reader = Reader::open(&app, beating(latest())).await;
    assert_eq!(reader.confirmation.heartbeat_interval, Some(duration(BEAT)));
    assert!(matches!(reader.news().await, Ok(Message::CaughtUp(_))));
    for _ in 0..3 {
        let bookmark = reader.bookmark().await;
        assert_eq!((bookmark.events_behind, bookmark.time_behind), (0, Some(duration(Duration::ZERO))));
    }
    let new = feeder.append(1).await;
    assert_eq!(Reader::open(&app, after(&reader.token)).await.ids(1).await, new);
}

#[tokio::test]
async fn where_every_event_is_filtered_out_the_bookmark_goes_on() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    let nothing = pb::EventFilter { types: vec!["payment.reversed".to_owned()], ..Default::default() };
    let mut reader = Reader::open(&app, beating(pb::SubscribeRequest { filter: Some(nothing), ..earliest() })).await;
    assert!(matches!(reader.news().await, Ok(Message::CaughtUp(_))));
    let before = reader.token.clone();
    feeder.append(10).await;
    // The token moves past events that are never shown.
    let passed = loop {
        let bookmark = reader.bookmark().await;
        if bookmark.events_behind == 0 && bookmark.token != before {
            let rest = Reader::open(&app, after(&bookmark.token)).await.history_ids().await;
            if rest.is_empty() {
                break bookmark;
            }
        }
    };
    let new = feeder.append(2).await;
    assert_eq!(Reader::open(&app, after(&passed.token)).await.history_ids().await, new);
}

#[tokio::test]
async fn on_drain_subscribers_are_said_goodbye_to_and_can_go_on_elsewhere() {
    let app = App::start().await;
    let feeder = Feeder::of(&app);
    feeder.append(2).await;
    let mut reader = Reader::open(&app, earliest()).await;
    reader.history().await;
    let unseen = feeder.append(1).await;
    assert_eq!(reader.ids(1).await, unseen);
    // It holds the store open.
    drop(feeder);

    let ((folder, clock, provider), token) = tokio::join!(app.halt(), async {
        let goodbye = reader.news().await.unwrap();
        let Message::Goodbye(pb::Goodbye { token, retry_after }) = goodbye else { panic!("{goodbye:?}") };
        assert!(retry_after.unwrap().seconds < 60);
        let end = reader.news().await.expect_err("a goodbye is the last message");
        let end = told(&end);
        assert_eq!((end.code, end.reason.as_str(), end.outcome()), (tonic::Code::Unavailable, "DRAINING", "NOT_SENT"));
        assert!(end.retry_after.is_some());
        drop(reader);
        token
    });

    let app = App::start_at(folder, clock, provider, |_| ()).await;
    let mut reader = Reader::open(&app, after(&token)).await;
    assert_eq!(reader.history_ids().await, Vec::<String>::new());
    let new = Feeder::of(&app).append(1).await;
    assert_eq!(reader.ids(1).await, new);
}

#[tokio::test]
async fn a_subscription_that_is_old_enough_ends_by_itself() {
    let app = App::start_with(provider().await, |config| config.events.subscription_age_max_s = 1).await;
    let opened = std::time::Instant::now();
    let mut reader = Reader::open(&app, earliest()).await;
    assert!(reader.history().await.is_empty());
    assert!(matches!(reader.news().await, Ok(Message::Goodbye(_))));
    let age = opened.elapsed();
    assert!(age >= Duration::from_millis(800), "it is a second, a fifth more or less: {age:?}");
    let token = reader.token.clone();
    let end = told(&reader.news().await.expect_err("the stream ends"));
    assert_eq!((end.code, end.reason.as_str()), (tonic::Code::Unavailable, "DRAINING"));
    let new = Feeder::of(&app).append(1).await;
    assert_eq!(Reader::open(&app, after(&token)).await.history_ids().await, new);
}
