//! Who may do what: callers, their keys, accounts and permissions, their limits, and what ends when they are taken away.

mod matrix;

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::{Code, Request};
use upistream::config::{CallerConfig, Config};
use upistream::domain::caller::{ApiKeyHash, Permission};
use upistream::grpc::pb;
use upistream::grpc::pb::subscribe_request::Start;
use upistream::grpc::pb::subscribe_response::Message;

use crate::support::app::{ACCOUNT, App, PATIENCE, told};

/// The key of the caller `name`.
pub fn key(name: &str) -> String {
    format!("upk_{name}-of-stories")
}

/// A caller that shows [`key`] and may use all accounts.
pub fn caller(name: &str, permissions: &[Permission]) -> (String, CallerConfig) {
    let hashes = vec![ApiKeyHash::of(&key(name))];
    (name.to_owned(), CallerConfig { api_key_hashes: hashes, ..CallerConfig::new(&["*"], permissions.iter().copied()) })
}

/// From now on these may call, and nobody else.
pub fn configure(app: &App, callers: impl IntoIterator<Item = (String, CallerConfig)>) {
    let callers = callers.into_iter().map(|(name, caller)| (name.parse().expect("a name"), caller)).collect::<BTreeMap<_, _>>();
    app.running.replace_callers(&Config { callers, ..Config::default() });
}

/// `message` as the caller `name` sends it.
pub fn by<T>(name: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", key(name)).parse().expect("a header"));
    request
}

fn from_now() -> pb::SubscribeRequest {
    pb::SubscribeRequest { start: Some(Start::Latest(true)), ..Default::default() }
}

/// The stream of the caller `name`, confirmed and caught up.
async fn subscribed(app: &App, name: &str) -> Result<tonic::Streaming<pb::SubscribeResponse>, tonic::Status> {
    let mut stream = app.events().subscribe(by(name, from_now())).await?.into_inner();
    loop {
        if let Some(Message::CaughtUp(_)) = stream.message().await?.expect("it goes on").message {
            return Ok(stream);
        }
    }
}

/// How the stream ends, with the events that come before.
async fn ended(mut stream: tonic::Streaming<pb::SubscribeResponse>) -> (tonic::Status, Vec<String>) {
    let read = tokio::time::timeout(PATIENCE, async {
        let mut events = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(pb::SubscribeResponse { message: Some(Message::Event(event)) })) => events.push(event.r#type),
                Ok(Some(_)) => (),
                Ok(None) => panic!("it ends without a word"),
                Err(status) => return (status, events),
            }
        }
    });
    read.await.expect("it ends")
}

#[tokio::test]
async fn personal_data_is_masked_for_whom_it_does_not_concern() {
    let app = App::start().await;
    let payment = app.paid("one", 49_900).await;
    assert!(payment.payer_vpa.contains('@'), "{payment:?}");
    let (user, _) = payment.payer_vpa.split_once('@').expect("a VPA");
    configure(
        &app,
        [
            caller("clerk", &[Permission::PaymentRead, Permission::EventsRead]),
            caller("support", &[Permission::PaymentRead, Permission::EventsRead, Permission::PiiRead]),
        ],
    );
    for (name, is_clear) in [("clerk", false), ("support", true)] {
        let get = pb::GetPaymentRequest { id: payment.id.clone() };
        let got = app.payments().get_payment(by(name, get)).await.expect("he may read it").into_inner();
        let list = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
        let listed = app.payments().list_payments(by(name, list)).await.expect("he may list them").into_inner();
        let log = app.events().list_events(by(name, pb::ListEventsRequest::default())).await.expect("he may read the log").into_inner();
        let earliest = pb::SubscribeRequest { start: Some(Start::Earliest(true)), ..Default::default() };
        let mut stream = app.events().subscribe(by(name, earliest)).await.expect("he may subscribe").into_inner();
        let mut streamed = Vec::new();
        loop {
            match stream.message().await.expect("it goes on").and_then(|sent| sent.message).expect("something") {
                Message::Event(event) => streamed.push(event),
                Message::CaughtUp(_) => break,
                _ => (),
            }
        }
        for (what, shown) in
            [("get", format!("{got:?}")), ("list", format!("{listed:?}")), ("log", format!("{log:?}")), ("stream", format!("{streamed:?}"))]
        {
            assert!(shown.contains(&payment.id), "{name} {what}: {shown}");
            assert_eq!(shown.contains(user), is_clear, "{name} {what}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_is_taken_away_loses_its_stream_and_nobody_else_does() {
    let app = App::start().await;
    let reader = |name| caller(name, &[Permission::EventsRead, Permission::QrWrite]);
    configure(&app, [reader("gone"), reader("rekeyed"), reader("demoted"), reader("moved"), reader("stays")]);
    let mut streams = Vec::new();
    for name in ["gone", "rekeyed", "demoted", "moved"] {
        streams.push(subscribed(&app, name).await.expect("it may subscribe"));
    }
    let mut stays = subscribed(&app, "stays").await.expect("it may subscribe");

    let (name, mut rekeyed) = reader("rekeyed");
    rekeyed.api_key_hashes = vec![ApiKeyHash::of("upk_another")];
    let (moved_name, mut moved) = reader("moved");
    moved.accounts = vec!["elsewhere".to_owned()];
    configure(&app, [(name, rekeyed), caller("demoted", &[Permission::QrRead]), (moved_name, moved), reader("stays")]);
    let told_of: Vec<_> = futures_util::future::join_all(streams.into_iter().map(ended)).await;
    let codes: Vec<_> = told_of.iter().map(|(status, _)| (status.code(), told(status).reason)).collect();
    let (unknown, denied) =
        ((Code::Unauthenticated, "UNAUTHENTICATED".to_owned()), (Code::PermissionDenied, "PERMISSION_DENIED".to_owned()));
    assert_eq!(codes, [unknown.clone(), unknown, denied.clone(), denied]);
    assert!(told_of.iter().all(|(_, events)| events.is_empty()));
    for name in ["gone", "rekeyed"] {
        assert_eq!(subscribed(&app, name).await.expect_err("it is nobody").code(), Code::Unauthenticated);
    }

    let order = crate::support::app::order("one", 100);
    let qr = app.qrs().create_qr(by("stays", order)).await.expect("it may").into_inner().qr.expect("the code");
    let next = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(Message::Event(event)) = stays.message().await.expect("it goes on").expect("it goes on").message {
                return event;
            }
        }
    });
    assert_eq!(next.await.expect("it is told").resource_id, qr.id);
}

/// An idempotency key is its caller's: two callers who choose the same one don't meet.
#[tokio::test]
async fn the_same_key_of_two_callers_means_two_things() {
    let app = App::start().await;
    let writer = |name| caller(name, &[Permission::QrWrite]);
    configure(&app, [writer("orders"), writer("billing")]);
    let mut made = Vec::new();
    for name in ["orders", "billing", "orders"] {
        let answer = app.qrs().create_qr(by(name, crate::support::app::order("one", 100))).await.expect("it may").into_inner();
        made.push((answer.qr.expect("the code").id, answer.idempotency_replayed));
    }
    assert_ne!(made[0].0, made[1].0);
    assert_eq!((&made[0].0, made[0].1, made[1].1, made[2].1), (&made[2].0, false, false, true));
}

#[tokio::test]
async fn a_caller_has_its_own_limits_and_is_told_when_to_come_back() {
    let app = App::start().await;
    let (name, hasty) = caller("hasty", &[Permission::QrRead]);
    let hasty = CallerConfig { calls_per_second: 1, ..hasty };
    let (reader_name, reader) = caller("reader", &[Permission::EventsRead]);
    let reader = CallerConfig { streams_max: 2, ..reader };
    configure(&app, [(name.clone(), hasty.clone()), (reader_name, reader), caller("other", &[Permission::QrRead])]);
    let list = |name: &str| {
        let request = by(name, pb::ListQrsRequest { account: ACCOUNT.to_owned(), ..Default::default() });
        let mut qrs = app.qrs();
        async move { qrs.list_qrs(request).await }
    };
    list("hasty").await.expect("one is permitted");
    let refused = list("hasty").await.expect_err("a second one is not");
    let refused = told(&refused);
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::ResourceExhausted, "RESOURCE_EXHAUSTED", "NOT_SENT"));
    let wait = refused.retry_after.expect("it is told when");
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    for _ in 0..20 {
        list("other").await.expect("another's calls are its own");
    }
    tokio::time::sleep(wait).await;
    list("hasty").await.expect("it waited as it was told");

    let _streams = (subscribed(&app, "reader").await.expect("one"), subscribed(&app, "reader").await.expect("two"));
    let third = told(&subscribed(&app, "reader").await.expect_err("three are too many"));
    assert_eq!((third.code, third.retry_after.is_some()), (Code::ResourceExhausted, true));
}

/// The key is no part of what is logged or answered, whether it is known or not.
#[tokio::test]
async fn what_was_shown_is_not_shown_back() {
    let app = App::start().await;
    configure(&app, [caller("orders", &[Permission::QrRead])]);
    for name in ["orders", "strange"] {
        let request = by(name, pb::GetQrRequest { id: "qr_0".to_owned() });
        let status = app.qrs().get_qr(request).await.expect_err("there is none");
        assert!(!format!("{status:?}").contains("upk_"), "{status:?}");
    }
}
