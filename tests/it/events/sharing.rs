//! One watcher and one encoding for all subscribers, and who sees what of the payer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use upistream::clock::SystemClock;
use upistream::domain::event::{Event, EventKind, Record};
use upistream::domain::id::Kind;
use upistream::domain::money::Money;
use upistream::domain::payment::{Payer, Payment, PaymentState, RefundTotals};
use upistream::domain::personal::{Email, Phone, Sight, Vpa};
use upistream::events::subscription::Pace;
use upistream::events::{Encode, Feed, Filter, Frame, Message, Shown, Start, Subscription, Token};
use upistream::grpc::{EventEncoder, pb};
use upistream::store::sqlite::{SqliteOptions, SqliteStore, Synchronous};
use upistream::store::{AnyStore, Position, partition_of};

use crate::support::StoreTime;
use crate::support::app::{ACCOUNT, PATIENCE};
use crate::support::log::Feeder;

/// An encoder that counts what it is asked for.
#[derive(Default)]
struct Counting {
    asked: Mutex<BTreeMap<(String, &'static str), usize>>,
}

impl Encode for Counting {
    fn encode(&self, event: &Event, position: Position, sight: Sight) -> Bytes {
        let name = if sight == Sight::Clear { "clear" } else { "masked" };
        *self.asked.lock().unwrap().entry((event.id.to_string(), name)).or_default() += 1;
        EventEncoder.encode(event, position, sight)
    }
}

struct Log {
    store: AnyStore,
    feed: Arc<Feed>,
    encoder: Arc<Counting>,
    time: Arc<StoreTime>,
    feeder: Feeder,
    watching: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Log {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let time = Arc::new(StoreTime::start());
        let clock = {
            let time = time.clone();
            Arc::new(move || time.now_ms())
        };
        let options = SqliteOptions { partitions: 16, random: [7; 40], clock, synchronous: Synchronous::Full };
        let store: AnyStore = Arc::new(SqliteStore::open(&folder.path().join("log.db"), options).unwrap());
        let encoder = Arc::new(Counting::default());
        let feed = Feed::new(store.clone(), encoder.clone(), 1024);
        let feeder = Feeder::new(&store, ACCOUNT);
        Self { store, feed, encoder, time, feeder, watching: CancellationToken::new(), _folder: folder }
    }

    async fn watch(&self) {
        self.feed.start().await.unwrap();
        tokio::spawn(self.feed.clone().watch(self.watching.clone()));
    }

    async fn subscribe(&self, start: Start, heartbeat: Duration) -> Subscription {
        self.subscribe_to(&[ACCOUNT], start, heartbeat).await
    }

    async fn subscribe_to(&self, accounts: &[&str], start: Start, heartbeat: Duration) -> Subscription {
        let accounts = accounts.iter().map(|name| name.parse().unwrap()).collect();
        let filter = Filter { accounts: Arc::new(accounts), ..Filter::default() };
        let pace = Pace { heartbeat, ends: Instant::now() + Duration::from_hours(1), page: 100, retry_after: Duration::ZERO };
        let never = CancellationToken::new();
        Subscription::open(self.feed.clone(), filter, start, pace, never, Arc::new(SystemClock)).await.unwrap()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.watching.cancel();
    }
}

async fn next(subscription: &mut Subscription) -> Message {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("something comes in time").unwrap()
}

#[tokio::test]
async fn fifty_subscribers_share_one_encoding_of_each_event() {
    let log = Log::open();
    log.watch().await;
    let mut subscriptions = Vec::new();
    for _ in 0..50 {
        let mut subscription = log.subscribe(Start::Latest, Duration::from_hours(1)).await;
        assert!(matches!(next(&mut subscription).await, Message::CaughtUp { .. }));
        subscriptions.push(subscription);
    }
    let ids = log.feeder.append(20).await;
    let mut shared: Vec<Arc<Frame>> = Vec::new();
    for (number, subscription) in subscriptions.iter_mut().enumerate() {
        for (index, id) in ids.iter().enumerate() {
            let Message::Event(Shown { frame, .. }) = next(subscription).await else { panic!("an event was written") };
            assert_eq!(frame.event.id.as_str(), id);
            match shared.get(index) {
                None => shared.push(frame),
                Some(first) => {
                    for sight in [Sight::Masked, Sight::Clear] {
                        assert_eq!(first.bytes(sight).as_ptr(), frame.bytes(sight).as_ptr(), "subscriber {number} has bytes of its own");
                    }
                }
            }
        }
    }
    let once: BTreeMap<_, _> = ids.iter().flat_map(|id| [((id.clone(), "clear"), 1), ((id.clone(), "masked"), 1)]).collect();
    assert_eq!(*log.encoder.asked.lock().unwrap(), once);
    assert_eq!(log.feed.listeners(), 50);
}

/// Most tokens are made once for all who stand at the same place; each must be the subscriber's own nevertheless.
#[tokio::test]
async fn a_token_tells_the_place_of_the_one_who_got_it_whoever_shares_it() {
    const OTHER_ACCOUNT: &str = "another-shop";
    let log = Log::open();
    let other = Feeder::new(&log.store, OTHER_ACCOUNT);
    log.feeder.append(3).await;
    other.append(2).await;
    log.watch().await;
    let two = [ACCOUNT, OTHER_ACCOUNT];
    let mut subscriptions = Vec::new();
    for (accounts, start) in [
        (&two[..1], Start::Latest),
        (&two, Start::Latest),
        (&two[1..], Start::Latest),
        (&two, Start::Earliest),
        (&two, Start::Latest),
        (&two[..1], Start::Earliest),
    ] {
        let mut subscription = log.subscribe_to(accounts, start, Duration::from_hours(1)).await;
        while !matches!(next(&mut subscription).await, Message::CaughtUp { .. }) {}
        subscriptions.push((accounts, subscription));
    }
    let partition = |account: &str| partition_of(&*log.store, account);
    assert_ne!(partition(ACCOUNT), partition(OTHER_ACCOUNT));
    let mut places = BTreeMap::from([(partition(ACCOUNT), 3), (partition(OTHER_ACCOUNT), 2)]);
    for round in 0..12 {
        let (feeder, account) = if round % 3 == 1 { (&other, OTHER_ACCOUNT) } else { (&log.feeder, ACCOUNT) };
        feeder.append(1).await;
        *places.get_mut(&partition(account)).unwrap() += 1;
        for (accounts, subscription) in &mut subscriptions {
            if !accounts.contains(&account) {
                continue;
            }
            let Message::Event(shown) = next(subscription).await else { panic!("an event was written") };
            let token = Token::decode(shown.token(), &log.store.identity().log).unwrap();
            let told: BTreeMap<_, _> = token.positions.iter().map(|(partition, position)| (partition, position.seq)).collect();
            let own: BTreeMap<_, _> = accounts.iter().map(|account| (partition(account), places[&partition(account)])).collect();
            assert_eq!(told, own, "round {round}");
            assert_eq!(subscription.token(), shown.token());
        }
    }
}

#[tokio::test]
async fn the_payer_is_masked_for_those_without_sight_of_him() {
    let log = Log::open();
    let payment = Payment {
        header: log.feeder.header(Kind::Payment),
        state: PaymentState::Succeeded,
        qr: None,
        debit: None,
        mandate: None,
        expected: None,
        amount: Money::from_paise(100),
        fee: None,
        tax: None,
        refunded: Money::ZERO,
        refunds: RefundTotals::default(),
        refunded_explained: None,
        settled: None,
        rrn: None,
        upi_transaction_id: None,
        payer: Payer {
            vpa: Some(Vpa::parse("asha.rao@examplebank").unwrap()),
            phone: Some(Phone::parse("+919812345610").unwrap()),
            email: Some(Email::parse("asha.rao@example.com").unwrap()),
        },
        pay_time: jiff::Timestamp::now(),
        reported: false,
        credit: None,
        expected_payee: None,
        payee: None,
        provider_statuses: Vec::new(),
    };
    let told = log.feeder.event(Record::Payment(payment), EventKind::PaymentSucceeded);
    log.feeder.write(vec![told]).await;
    log.feeder.append(1).await;
    let mut subscription = log.subscribe(Start::Earliest, Duration::from_hours(1)).await;
    let Message::Event(Shown { frame, .. }) = next(&mut subscription).await else { panic!("an event was written") };

    let shown = |sight| {
        let event = pb::Event::decode(frame.bytes(sight).clone()).unwrap();
        let Some(pb::event::Resource::Payment(payment)) = event.resource else { panic!("it is about a payment") };
        [payment.payer_vpa, payment.payer_phone, payment.payer_email]
    };
    assert_eq!(shown(Sight::Clear), ["asha.rao@examplebank", "+919812345610", "asha.rao@example.com"]);
    assert_eq!(shown(Sight::Masked), ["as***@examplebank", "***10", "a***@example.com"]);
    let masked = frame.bytes(Sight::Masked);
    for personal in ["asha", "rao", "98123"] {
        assert!(!masked.windows(personal.len()).any(|part| part == personal.as_bytes()), "`{personal}` is shown");
    }

    let Message::Event(Shown { frame, .. }) = next(&mut subscription).await else { panic!("another event was written") };
    let (masked, clear) = (frame.bytes(Sight::Masked), frame.bytes(Sight::Clear));
    assert_eq!(masked.as_ptr(), clear.as_ptr(), "where nothing is personal one copy serves both");
}

#[tokio::test]
async fn a_bookmark_says_how_many_events_wait_and_how_old_the_oldest_is() {
    let log = Log::open();
    log.feeder.append(1).await;
    log.time.pass(Duration::from_hours(1));
    log.feeder.append(2).await;
    log.time.pass(Duration::from_secs(10));
    log.feed.start().await.unwrap();

    // With this heartbeat there is nothing but Bookmarks.
    let behind = async |start| match next(&mut log.subscribe(start, Duration::ZERO).await).await {
        Message::Bookmark { events_behind, time_behind, .. } => (events_behind, time_behind.as_secs()),
        other => panic!("{other:?}"),
    };
    assert_eq!(behind(Start::Earliest).await, (3, 3610));
    let mut reader = log.subscribe(Start::Earliest, Duration::from_hours(1)).await;
    let Message::Event(shown) = next(&mut reader).await else { panic!("events were written") };
    let first = Token::decode(shown.token(), &log.store.identity().log).unwrap();
    assert_eq!(behind(Start::After(first)).await, (2, 10), "what was read long ago doesn't wait");
    assert_eq!(behind(Start::Latest).await, (0, 0));
}

#[tokio::test]
async fn what_nobody_gets_is_not_encoded() {
    let log = Log::open();
    log.feeder.append(20).await;
    let mut subscription = log.subscribe(Start::Earliest, Duration::from_hours(1)).await;
    let Message::Event(Shown { frame, .. }) = next(&mut subscription).await else { panic!("events were written") };
    let asked = || log.encoder.asked.lock().unwrap().len();
    assert_eq!(asked(), 0, "the page was read, and nobody needs its bytes yet: {}", frame.event.id);
    assert_eq!(frame.bytes(Sight::Masked), frame.bytes(Sight::Masked));
    assert_eq!(asked(), 1, "nobody sees it in the clear");

    let filter = Filter {
        terminal_only: true,
        kinds: Some([EventKind::QrFailed].into()),
        accounts: Arc::new([ACCOUNT.parse().unwrap()].into()),
        ..Filter::default()
    };
    let pace = Pace { heartbeat: PATIENCE, ends: Instant::now() + Duration::from_hours(1), page: 100, retry_after: Duration::ZERO };
    let never = CancellationToken::new();
    let nothing = Subscription::open(log.feed.clone(), filter, Start::Earliest, pace, never, Arc::new(SystemClock)).await;
    assert!(matches!(next(&mut nothing.unwrap()).await, Message::CaughtUp { .. }));
    assert_eq!(asked(), 1);
}
