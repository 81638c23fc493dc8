//! What the service tells of itself: one trace of a payment from its caller to its events, metrics that are all written
//! down, logs that name their trace; and a collector that is away, which nobody notices.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;
use tonic::Request;
use upistream::grpc::pb;
use upistream::grpc::pb::event_service_client::EventServiceClient;
use upistream::grpc::pb::qr_service_client::QrServiceClient;
use upistream::sandbox::{FaultKind, PayOptions, Sandbox};

use crate::providers::shop::{At, Shop};
use crate::support::app::{ACCOUNT, App, order, provider, until};
use crate::support::collector::{Collector, Seen};
use crate::support::process::{Process, serve};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

struct Story {
    provider: Sandbox,
    folder: TempDir,
}

impl Story {
    async fn begin() -> Self {
        Self { provider: provider().await, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The service as a process that exports to `collector`, and logs for machines.
    async fn start(&self, collector: &str) -> Process {
        Process::start_as(self.folder.path(), &self.provider, |config| exporting(config, collector)).await
    }
}

fn exporting(config: &Path, collector: &str) -> Command {
    let mut command = serve(config);
    command.env("UPISTREAM__TELEMETRY__OTLP_ENDPOINT", collector).env("UPISTREAM__TELEMETRY__EXPORT_EVERY_MS", "1000");
    // Callbacks tell first, however slow the machine is.
    command.env("UPISTREAM__RECONCILER__FIRST_LOOK_S", "60");
    command.env("UPISTREAM__LOG__FORMAT", "json").env("UPISTREAM__LOG__LEVEL", "upistream=debug");
    command
}

/// A code over ₹499, asked for by a caller who has a trace.
async fn create_traced(process: &Process) -> pb::Qr {
    let mut request = Request::new(order("one", 49_900));
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{CALLER}-01").parse().expect("it is ASCII"));
    request.metadata_mut().insert("tracestate", "shop=till4".parse().expect("it is ASCII"));
    let created = QrServiceClient::new(process.channel.clone()).create_qr(request).await;
    created.expect("the code is created").into_inner().qr.expect("the answer has the code")
}

async fn events(process: &Process) -> Vec<pb::Event> {
    let request = pb::ListEventsRequest { page_size: 200, ..Default::default() };
    EventServiceClient::new(process.channel.clone()).list_events(request).await.expect("events are listed").into_inner().events
}

fn named<'a>(spans: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The trace and the span that a `traceparent` names.
fn place(traceparent: &str) -> (&str, &str) {
    let mut parts = traceparent.split('-').skip(1);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

#[tokio::test]
async fn a_payment_is_one_trace_from_its_caller_to_its_events() {
    let collector = Collector::start().await;
    let story = Story::begin().await;
    let process = story.start(&collector.url()).await;
    let qr = create_traced(&process).await;
    story.provider.pay_qr(ACCOUNT, &qr.provider_ref, PayOptions::default()).await.expect("the code can be paid");
    let log = until("the payment and the close of its code", async || {
        let events = events(&process).await;
        let has = |name: &str| events.iter().any(|event| event.r#type == name);
        (has("payment.succeeded") && has("qr.closed")).then_some(events)
    })
    .await;
    let learned = until("the spans of what was learned", async || {
        let spans = collector.spans();
        let all_there = log.iter().all(|event| spans.iter().any(|span| span.id == place(&event.traceparent).1));
        all_there.then_some(spans)
    })
    .await;

    // Caller, service, provider: each within the one before.
    let rpc = named(&learned, "upistream.v1.QrService/CreateQr")[0];
    assert_eq!((rpc.trace.as_str(), rpc.parent.as_str(), rpc.trace_state.as_str()), (TRACE, CALLER, "shop=till4"));
    assert_eq!(rpc.attributes["rpc.response.status_code"], "OK");
    let acts: Vec<_> = named(&learned, "act").into_iter().filter(|span| span.parent == rpc.id).collect();
    assert_eq!(acts.len(), 1, "{acts:#?}");
    let call = named(&learned, "provider.call").into_iter().find(|span| span.parent == acts[0].id).expect("the provider was called");
    assert_eq!(call.attributes["account"], ACCOUNT);

    // The provider's callback tells of it in a trace of its own, and what is learned from it joins the caller's.
    let webhooks: BTreeSet<&str> = named(&learned, "webhook").iter().map(|span| span.id.as_str()).collect();
    assert!(named(&learned, "webhook").iter().all(|span| span.trace != TRACE), "a provider chooses no trace");
    let from_callback: Vec<_> = log.iter().filter(|event| event.cause() == pb::Cause::Webhook).collect();
    assert!(from_callback.iter().any(|event| event.r#type == "payment.succeeded" || event.r#type == "payment.authorized"), "{log:#?}");
    for event in from_callback {
        let span = learned.iter().find(|span| span.id == place(&event.traceparent).1).expect("it was waited for");
        assert_eq!(span.name, "learn");
        // Where another writer came first it is learned again, within the first try.
        let span = learned.iter().find(|outer| span.links.is_empty() && outer.id == span.parent).unwrap_or(span);
        assert!(span.links.iter().any(|link| webhooks.contains(link.as_str())), "{} does not say what told it: {span:#?}", event.r#type);
    }

    // Each event carries its place in the same trace.
    assert!(log.len() >= 4, "{log:#?}");
    for event in &log {
        assert_eq!(place(&event.traceparent).0, TRACE, "{} is of another trace", event.r#type);
    }

    until("the metrics", async || collector.metrics().iter().any(|name| name == "rpc.server.call.duration").then_some(())).await;
    assert!(process.terminate().await.success());
}

#[tokio::test]
async fn what_is_left_is_sent_before_the_process_ends() {
    let collector = Collector::start().await;
    let story = Story::begin().await;
    let process = story.start(&collector.url()).await;
    create_traced(&process).await;
    assert!(process.terminate().await.success());
    let spans = collector.spans();
    assert_eq!(named(&spans, "upistream.v1.QrService/CreateQr").len(), 1, "{spans:#?}");
    assert!(collector.metrics().iter().any(|name| name == "upistream_events_appended_total"), "{:?}", collector.metrics());
}

#[tokio::test]
async fn a_log_line_names_the_trace_that_it_belongs_to() {
    let collector = Collector::start().await;
    let story = Story::begin().await;
    let process = story.start(&collector.url()).await;
    let mut events = EventServiceClient::new(process.channel.clone());
    let wish = pb::SubscribeRequest {
        start: Some(pb::subscribe_request::Start::Latest(true)),
        subscriber_name: "desk".to_owned(),
        ..Default::default()
    };
    let mut request = Request::new(wish);
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{CALLER}-01").parse().expect("it is ASCII"));
    let _stream = events.subscribe(request).await.expect("a subscription starts");
    let line = until("the line of the subscription", async || {
        let log = process.log();
        log.lines().find(|line| line.contains("a subscription starts")).map(str::to_owned)
    })
    .await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("a line is one object");
    assert_eq!((line["trace_id"].as_str(), line["subscriber"].as_str()), (Some(TRACE), Some("desk")), "{line}");
    assert_eq!(line["span_id"].as_str().map(str::len), Some(16), "{line}");
}

#[tokio::test]
async fn a_collector_that_is_away_holds_up_and_fails_nothing() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    // It takes connections and never says a word.
    let collector = format!("http://{}", nobody.local_addr().expect("it is bound"));
    let story = Story::begin().await;
    let process = story.start(&collector).await;
    for number in 0..20 {
        let begun = Instant::now();
        let created = QrServiceClient::new(process.channel.clone()).create_qr(order(&format!("key-{number}"), 10_000)).await;
        assert!(created.is_ok(), "{created:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    assert!(process.terminate().await.success());
    assert!(begun.elapsed() < Duration::from_secs(15), "the end waits for nobody: {:?}", begun.elapsed());
}

/// The rows of the README's table of metrics.
fn documented() -> BTreeSet<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("there is a README");
    let (_, table) = readme.split_once("| metric | meaning |").expect("it has a table of metrics");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| row.split('`').nth(1)).map(str::to_owned).collect()
}

/// The names in the code: all stand in one file.
fn written() -> BTreeSet<String> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/telemetry.rs");
    let text = fs::read_to_string(file).expect("it is there");
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let names = code.split('"').filter(|text| text.starts_with("upistream_") || text.starts_with("rpc_server_"));
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_metric_is_registered_and_documented_and_no_other() {
    assert_eq!(documented(), written());
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    let text = app.metrics().await;
    let shown: BTreeSet<String> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(str::to_owned).collect();
    assert!(shown.is_subset(&documented()), "{shown:?}");
    for name in ["rpc_server_call_duration_seconds", "upistream_events_appended_total", "upistream_webhooks_total", "upistream_store_up"] {
        assert!(shown.contains(name), "{name} is not among {shown:?}");
    }
    let calls = "rpc_server_call_duration_seconds_count{rpc_method=\"upistream.v1.QrService/CreateQr\",rpc_response_status_code=\"OK\",rpc_system_name=\"grpc\"} 1";
    assert!(text.contains(calls), "{text}");
}

#[tokio::test]
async fn a_doubt_shows_its_age_until_somebody_decides_it() {
    let app = App::start().await;
    let age = async || {
        app.running.engine().tidy_once().await.expect("the store answers");
        let line = format!("upistream_doubt_oldest_seconds{{account=\"{ACCOUNT}\"}} ");
        app.metrics().await.lines().find_map(|found| found.strip_prefix(&line)?.parse::<u64>().ok())
    };
    assert_eq!(age().await, Some(0));
    // Nobody finds out what became of it.
    app.lose_callbacks();
    app.provider.set_list_lag(1_000_000_000);
    app.fault("qr.create", FaultKind::AnswerLost);
    assert_eq!(app.create("one", 49_900).await.state(), pb::QrState::Requested);
    app.advance(Duration::from_secs(600));
    let old = age().await.expect("it is measured");
    assert!((600..700).contains(&old), "{old}");
}

#[tokio::test]
async fn logins_are_counted() {
    let shop = Shop::open(At::Enkash).await;
    shop.code("one").await;
    let metrics = shop.app.metrics().await;
    assert!(metrics.contains("upistream_token_logins_total{account=\"enkash\",result=\"ok\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_subscriber_who_does_not_read_is_seen_to_fall_behind() {
    let app = App::start().await;
    let wish = pb::SubscribeRequest {
        start: Some(pb::subscribe_request::Start::Earliest(true)),
        subscriber_name: "slow".to_owned(),
        ..Default::default()
    };
    let stream = app.events().subscribe(wish).await.expect("a subscription starts");
    let lag = async || {
        let line = "upistream_subscriber_lag_events{subscriber=\"slow\"} ";
        app.metrics().await.lines().find_map(|found| found.strip_prefix(line)?.parse::<u64>().ok())
    };
    // Larger than what fits on the way to him.
    crate::support::log::Feeder::of(&app).fat().append(2_000).await;
    until("him to be behind", async || lag().await.filter(|behind| *behind > 100)).await;
    drop(stream);
    until("him to be gone", async || lag().await.is_none().then_some(())).await;
}
