//! A store that was set back, as by a failover that lost writes: the caller's repeat sends the provider the same reference,
//! so one that knows references acts once; and who holds a newer token is told.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;
use upistream::clock::{Randomness, TestClock};
use upistream::domain::account::AccountName;
use upistream::domain::money::Amount;
use upistream::domain::qr::{QrCode, QrOrder, QrSnapshot, QrStatus, Usage};
use upistream::domain::upi::rules::RuleTable;
use upistream::domain::working_days::Holidays;
use upistream::engine::debit::MandateSettings;
use upistream::engine::qr::QrWish;
use upistream::engine::schedule::Patience;
use upistream::engine::settlement::SettlementSettings;
use upistream::engine::{Asked, Engine, Fingerprint, Parts, Settings};
use upistream::events::Feed;
use upistream::grpc::pb::subscribe_response::Message;
use upistream::grpc::{EventEncoder, pb};
use upistream::providers::breaker::BreakerSettings;
use upistream::providers::bulkhead::BulkheadSettings;
use upistream::providers::http::HttpClient;
use upistream::providers::line::{CallEnd, CallObserver, HeldBack, Line, LineSettings};
use upistream::providers::{BreakerState, CallError, Created, QrCodes, QrCreation, Sending, Violation, razorpay};
use upistream::store::AnyStore;
use upistream::telemetry::Metrics;

use super::app_on;
use crate::support::app::{ACCOUNT, KEY_ID, install_crypto, order, provider, told, until};
use crate::support::log::{Feeder, Reader, after, earliest};
use crate::support::redis::{TestRedis, open};

/// Sets the redis back to what it was when `copy` was made.
async fn set_back(redis: &Arc<TestRedis>, copy: &Path) {
    redis.kill();
    let kept = redis.folder().join("appendonlydir");
    std::fs::remove_dir_all(&kept).expect("it keeps an append-only file");
    copy_folder(copy, &kept);
    redis.start_again().await;
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder is ours");
    for file in std::fs::read_dir(from).expect("it is a folder") {
        let file = file.expect("it can be read");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("it can be copied");
    }
}

/// A provider that, as for refunds, acts once for a reference and answers a second request with what it did then.
#[derive(Default)]
struct OnceAReference {
    asked: Mutex<Vec<String>>,
    acted: Mutex<Vec<String>>,
}

#[async_trait]
impl QrCreation for OnceAReference {
    fn violations(&self, _: &QrOrder, _: Timestamp) -> Vec<Violation> {
        Vec::new()
    }

    async fn create(&self, order: &QrOrder, our_ref: &str, _: Sending, _: Duration) -> Result<Created, CallError> {
        self.asked.lock().expect("nobody panics while holding it").push(our_ref.to_owned());
        let mut acted = self.acted.lock().expect("nobody panics while holding it");
        if !acted.contains(&our_ref.to_owned()) {
            acted.push(our_ref.to_owned());
        }
        let number = acted.iter().position(|reference| reference == our_ref).expect("it was put there");
        let code = QrCode { upi_link: format!("upi://pay?pa=shop@bank&tr={number}"), ..QrCode::default() };
        let provider_ref = format!("qr_Made{number}");
        let our_ref = Some(our_ref.to_owned());
        Ok(Created::Ready(Box::new(QrSnapshot { provider_ref, our_ref, amount: order.amount, code, status: QrStatus::Active })))
    }
}

/// Nobody looks at the calls: none is made.
struct Unobserved;

impl CallObserver for Unobserved {
    fn breaker(&self, _: &AccountName, _: BreakerState) {}

    fn begun(&self, _: &AccountName) {}

    fn ended(&self, _: &AccountName, _: &'static str, _: CallEnd, _: Duration) {}

    fn held_back(&self, _: &AccountName, _: HeldBack) {}
}

fn line(account: AccountName) -> Line {
    let second = Duration::from_secs(1);
    let breaker = BreakerSettings { failures: 5, failure_percent: 50, window: second, open_for: second, trials: 1 };
    Line::new(account, LineSettings { bulkhead: BulkheadSettings { calls_max: 1, waiting_max: 1 }, breaker }, Arc::new(Unobserved))
}

fn engine(store: AnyStore, fake: &Arc<OnceAReference>) -> Arc<Engine> {
    let settings = razorpay::RazorpaySettings {
        base_url: "http://127.0.0.1:9".to_owned(),
        key: razorpay::ApiKey { id: KEY_ID.to_owned(), secrets: vec!["secret".to_owned().into()] }.into(),
        webhook_secrets: vec!["secret-of-callbacks".to_owned().into()].into(),
        account_id: None,
        timeout: Duration::from_secs(1),
        deadline_floor: Duration::from_millis(100),
        close_by_min: Duration::from_secs(900),
        close_by_max: Duration::from_secs(7_200),
        notes_value_max: 256,
        mcc: None,
    };
    let account: AccountName = ACCOUNT.parse().expect("a name");
    let http = HttpClient::for_loopback(line(account.clone())).expect("a client for loopback");
    let mut provider = razorpay::provider(account, settings, http);
    let codes = provider.qr.take().expect("Razorpay has QR codes");
    provider.qr = Some(QrCodes { creation: Arc::clone(fake) as Arc<dyn QrCreation>, ..codes });
    let seconds = Duration::from_secs;
    let patience = Patience { first_look: seconds(90), look_max: seconds(900), lease: seconds(10), absence_after: seconds(900) };
    Engine::new(Parts {
        store: Arc::clone(&store),
        feed: Feed::new(store, Arc::new(EventEncoder), 64),
        providers: vec![provider],
        clock: Arc::new(TestClock::default()),
        randomness: Arc::new(Randomness::of_system()),
        settings: Settings {
            patience,
            claim_retention: seconds(72 * 3_600),
            event_retention: seconds(168 * 3_600),
            quarantine_max: 100,
            lookups_per_second: 5,
            workers: 1,
            batch: 1,
            idle: seconds(1),
            events_page: 100,
            subscription_age_max: seconds(1_800),
            settlements: SettlementSettings {
                fetch: false,
                sync_every: seconds(3_600),
                backfill_days: 30,
                reread_days: 7,
                report_lag: seconds(3_600),
                holidays: Holidays::default(),
            },
            mandates: MandateSettings { rules: RuleTable::standard(), retry_after: seconds(3_600), notice_delivery: seconds(3_600) },
        },
        metrics: Arc::new(Metrics::new()),
    })
}

fn asked() -> Asked {
    Asked {
        caller: "local".to_owned(),
        method: "CreateQr",
        key: "the-key".to_owned(),
        fingerprint: Fingerprint::default(),
        deadline: Instant::now() + Duration::from_secs(20),
        traceparent: None,
    }
}

fn wish() -> QrWish {
    let order = QrOrder {
        usage: Usage::SingleUse,
        amount: Some(Amount::from_rupees_text("100").expect("an amount").into()),
        description: String::new(),
        name: String::new(),
        notes: Default::default(),
        expire_time: None,
        customer: None,
    };
    QrWish { account: ACCOUNT.parse().expect("a name"), reference: String::new(), labels: Default::default(), order }
}

#[tokio::test]
async fn after_a_set_back_the_same_key_sends_the_same_reference_and_has_one_effect() {
    install_crypto();
    let redis = Arc::new(TestRedis::start().await);
    let store: AnyStore = Arc::new(open(redis.options("store")).await);
    let fake = Arc::new(OnceAReference::default());
    let engine = engine(store, &fake);
    engine.find_out_hold().await.expect("the store answers");
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&redis.folder().join("appendonlydir"), copy.path());

    let first = engine.create_qr(asked(), wish()).await.expect("it is created");
    set_back(&redis, copy.path()).await;
    assert!(engine.get_qr(&first.resource.header.id).await.is_err(), "the store knows nothing of it any more");
    let again = engine.create_qr(asked(), wish()).await.expect("it is created anew");
    assert!(!again.replayed);
    assert_eq!(again.resource.header.provider_ref, first.resource.header.provider_ref);

    let sent = fake.asked.lock().expect("nobody panics while holding it").clone();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], sent[1], "the reference is made of the request, not of the record");
    assert_eq!(fake.acted.lock().expect("nobody panics while holding it").len(), 1);
    let third = engine.create_qr(asked(), wish()).await.expect("it is there");
    assert!(third.replayed && third.resource.header.id == again.resource.header.id);
}

#[tokio::test]
async fn a_token_from_before_a_set_back_is_told_so() {
    let redis = Arc::new(TestRedis::start().await);
    let app = app_on(&redis, &provider().await).await;
    let qr = app.create("a", 10_000).await;
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&redis.folder().join("appendonlydir"), copy.path());
    for key in ["b", "c", "d"] {
        app.qrs().create_qr(order(key, 10_000)).await.expect("it is created");
    }
    let mut reader =
        Reader::open(&app, pb::SubscribeRequest { start: Some(pb::subscribe_request::Start::Earliest(true)), ..Default::default() }).await;
    reader.history().await;
    let token = reader.token.clone();
    drop(reader);

    set_back(&redis, copy.path()).await;
    let request = pb::SubscribeRequest { start: Some(pb::subscribe_request::Start::AfterToken(token)), ..Default::default() };
    let rewound = until("the stream to be refused", async || {
        let refused = app.events().subscribe(request.clone()).await.err().map(|status| told(&status))?;
        // Until the connection stands again it is the store that can't be asked.
        (refused.code == tonic::Code::OutOfRange).then_some(refused)
    })
    .await;
    assert_eq!(rewound.reason, "HISTORY_REWOUND");
    assert_eq!(app.get_qr(&qr.id).await.id, qr.id);
}

#[tokio::test]
async fn a_live_stream_ends_where_the_log_was_set_back_even_if_that_has_gone_on_since() {
    let redis = Arc::new(TestRedis::start().await);
    let app = app_on(&redis, &provider().await).await;
    let feeder = Feeder::of(&app);
    feeder.append(3).await;
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&redis.folder().join("appendonlydir"), copy.path());
    let mut reader = Reader::open(&app, earliest()).await;
    assert_eq!(reader.history_ids().await.len(), 3);
    let lost = feeder.append(4).await;
    assert_eq!(reader.ids(4).await, lost);

    // Another replica writes more than was lost before this one has looked: by its numbers alone nothing is missing.
    set_back(&redis, copy.path()).await;
    let other = Feeder::new(&(Arc::new(open(redis.options_of_app()).await) as AnyStore), ACCOUNT);
    let instead = other.append(6).await;
    let end = loop {
        match reader.news().await {
            Ok(Message::Event(event)) => {
                assert!(!instead.contains(&event.id), "an event of the other course, and those before it are missing")
            }
            Ok(_) => {}
            Err(end) => break told(&end),
        }
    };
    assert_eq!((end.code, end.reason.as_str()), (tonic::Code::OutOfRange, "HISTORY_REWOUND"));
    let again = Reader::open(&app, after(&end.metadata["earliest_token"])).await.history_ids().await;
    assert!(again.ends_with(&instead), "{again:?}");
}
