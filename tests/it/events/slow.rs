//! Subscribers that are slower than the feed, or come back again and again: nothing is skipped, nothing piles up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::transport::Endpoint;
use upistream::grpc::pb;
use upistream::grpc::pb::event_service_client::EventServiceClient;
use upistream::grpc::pb::subscribe_response::Message;

use crate::support::alone::{is_alone, resident_kb};
use crate::support::app::{App, provider};
use crate::support::log::{Feeder, Reader, after, earliest, latest};

/// Frames of the ring, far fewer than the events below.
const RING: usize = 64;
/// Bytes that a client takes before it has read.
const WINDOW: u32 = 16 * 1024;

/// A subscriber whose connection takes little in advance.
async fn narrow(app: &App, request: pb::SubscribeRequest) -> Reader {
    let endpoint = Endpoint::from_shared(format!("http://{}", app.running.grpc)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let channel = endpoint.connect().await.unwrap();
    Reader::over(EventServiceClient::new(channel), request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_ten_times_slower_gets_everything_and_memory_stays_bounded() {
    const ROUNDS: usize = 8;
    const COMMITS: usize = 10;
    const COMMIT: usize = 64;
    const STALLED: usize = 4;
    /// The events are fifty megabytes for each of the five who don't keep up.
    const GROWTH_MAX_KB: u64 = 64 * 1024;
    if !is_alone("events::slow::a_subscriber_ten_times_slower_gets_everything_and_memory_stays_bounded") {
        return;
    }

    let app = App::start_with(provider().await, |config| config.events.ring_frames = RING).await;
    let feeder = Feeder::of(&app).fat();
    let mut slow = narrow(&app, latest()).await;
    assert!(slow.history().await.is_empty());
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(narrow(&app, latest()).await);
    }

    let mut written = Vec::new();
    let mut read = Vec::new();
    let mut fell_behind = 0;
    let mut take = async |reader: &mut Reader, read: &mut Vec<String>| match reader.news().await.unwrap() {
        Message::Event(event) => {
            read.push(event.id);
            false
        }
        Message::FellBehind(_) => {
            fell_behind += 1;
            false
        }
        Message::CaughtUp(_) => true,
        other => panic!("{other:?}"),
    };

    // A first round, so that caches and pools are as large as they get.
    let (mut before_kb, mut most_kb) = (0, 0);
    for round in 0..ROUNDS {
        for _ in 0..COMMITS {
            written.extend(feeder.append(COMMIT).await);
            most_kb = most_kb.max(resident_kb());
        }
        let enough = written.len() / 10;
        while read.len() < enough {
            take(&mut slow, &mut read).await;
        }
        if round == 0 {
            (before_kb, most_kb) = (resident_kb(), 0);
        }
    }
    while read.len() < written.len() {
        take(&mut slow, &mut read).await;
        most_kb = most_kb.max(resident_kb());
    }
    while !take(&mut slow, &mut read).await {}
    let after_kb = resident_kb();
    assert_eq!(read.len(), written.len());
    assert!(read == written, "in order, each once");
    assert!(fell_behind >= 1);

    // Live again.
    let new = feeder.append(1).await;
    assert_eq!(slow.ids(1).await, new);
    println!(
        "{} events, {STALLED} subscribers who read nothing and one ten times slower, who fell behind {fell_behind} times: \
         resident {before_kb} kB after the first round, at most {most_kb} kB, {after_kb} kB at the end; bound {GROWTH_MAX_KB} kB more",
        written.len(),
    );
    assert!(most_kb < before_kb + GROWTH_MAX_KB, "from {before_kb} kB to {most_kb} kB");
}

#[tokio::test]
async fn whoever_comes_back_with_his_last_token_misses_nothing_and_sees_nothing_twice() {
    const EVENTS: usize = 1_200;
    const BREAKS: usize = 5;
    let app = App::start_with(provider().await, |config| config.events.ring_frames = RING).await;
    let store = app.running.store().clone();
    let feeding = tokio::spawn(async move {
        let feeder = Feeder::new(&store, crate::support::app::ACCOUNT);
        let mut ids = Vec::new();
        while ids.len() < EVENTS {
            ids.extend(feeder.append(6).await);
        }
        ids
    });
    let mut reader = Reader::open(&app, earliest()).await;
    let mut read: Vec<String> = Vec::new();
    let mut breaks = 0;
    while read.len() < EVENTS {
        if breaks < BREAKS && read.len() >= EVENTS * (breaks + 1) / (BREAKS + 1) {
            reader = Reader::open(&app, after(&reader.token)).await;
            breaks += 1;
        }
        if let Message::Event(event) = reader.next().await.unwrap() {
            read.push(event.id);
        }
    }
    let written = feeding.await.unwrap();
    assert_eq!(breaks, BREAKS);
    assert!(read == written, "no gap, no repetition, no other order");
    assert_eq!(Reader::open(&app, after(&reader.token)).await.history_ids().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_catches_up_while_others_go_on_writing() {
    let app = App::start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (store, stop) = (app.running.store().clone(), stop.clone());
            tokio::spawn(async move {
                let feeder = Feeder::new(&store, crate::support::app::ACCOUNT);
                let mut written = 0;
                while !stop.load(Ordering::SeqCst) {
                    written += feeder.append(1).await.len();
                }
                written
            })
        })
        .collect();
    let mut reader = Reader::open(&app, earliest()).await;
    let mut read = reader.history().await;
    // Live: these come through the ring.
    for _ in 0..50 {
        read.push(reader.event().await);
    }
    stop.store(true, Ordering::SeqCst);
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    while read.len() < written {
        match reader.news().await.unwrap() {
            Message::Event(event) => read.push(event),
            other => assert!(matches!(other, Message::FellBehind(_) | Message::CaughtUp(_)), "{other:?}"),
        }
    }
    let log: Vec<String> = app.log().await.into_iter().map(|event| event.id).collect();
    assert!(read.into_iter().map(|event| event.id).eq(log));
}
