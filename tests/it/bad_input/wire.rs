//! What is no request at all: broken bytes, too many of them, methods that are not there, peers that never finish.

use std::time::Duration;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tower::Service;
use upistream::grpc::{SERVICES, pb};

use crate::support::app::{ACCOUNT, App, PATIENCE, Told, URL_SECRET, order, provider, told, until};
use crate::support::log::{Reader, latest};

const BYTES_MAX: usize = 4_096;

async fn small() -> App {
    App::start_with(provider().await, |config| config.grpc.request_bytes_max = BYTES_MAX).await
}

/// The paths of all methods.
fn methods() -> Vec<String> {
    let files = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap().file;
    let services =
        files.iter().flat_map(|file| file.service.iter().map(move |service| (format!("{}.{}", file.package(), service.name()), service)));
    let methods = services
        .filter(|(name, _)| SERVICES.contains(&name.as_str()))
        .flat_map(|(name, service)| service.method.iter().map(move |method| format!("/{name}/{}", method.name())));
    methods.collect()
}

/// A message in gRPC's frame: no compression, its length, its bytes.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// Posts bytes as a gRPC call; the status that it ends with.
async fn post(app: &App, path: &str, headers: &[(&'static str, &'static str)], body: Vec<u8>) -> Option<Status> {
    let mut request = http::Request::post(format!("http://{}{path}", app.running.grpc)).header("te", "trailers");
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = tonic::body::Body::new(axum::body::Body::from(body));
    let mut channel = app.channel.clone();
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let answering = channel.call(request.body(body).unwrap());
    let answer = tokio::time::timeout(PATIENCE, answering).await.expect("an answer in time").unwrap();
    Status::from_header_map(answer.headers())
}

async fn refusal(app: &App, path: &str, body: Vec<u8>) -> Told {
    told(&post(app, path, &[], body).await.unwrap_or_else(|| panic!("{path} is not refused at once")))
}

fn check(refused: &Told, code: Code, reason: &str, what: &str) {
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (code, reason, "NOT_SENT"), "{what}: {refused:?}");
}

async fn check_serves(app: &App) {
    app.accounts().list_accounts(pb::ListAccountsRequest {}).await.expect("an ordinary call succeeds");
}

#[tokio::test]
async fn what_is_no_such_message_is_refused_by_every_method_with_our_details() {
    let app = small().await;
    assert_eq!(methods().len(), 35, "{:?}", methods());
    for path in methods() {
        let broken: [(&str, Vec<u8>); 8] = [
            ("no protobuf", framed(&[0xff; 16])),
            ("a field without its value", framed(&[0x0a, 0x20, b'x'])),
            ("a text that is no UTF-8", framed(&[0x0a, 0x02, 0xc3, 0x28])),
            ("no message", Vec::new()),
            ("a frame that is cut off", framed(&[0; 64])[..20].to_vec()),
            ("half a frame's head", vec![0, 0, 0]),
            ("compressed, but how?", [&[1], &framed(&[0x0a, 0x00])[1..]].concat()),
            ("no such flag", [&[7], &framed(&[0x0a, 0x00])[1..]].concat()),
        ];
        for (what, body) in broken {
            // This one has no fields, so field 1 is one of a newer release.
            if path.ends_with("/ListAccounts") && what == "a text that is no UTF-8" {
                continue;
            }
            // Here field 1 is a number.
            if path.ends_with("/Subscribe") && what == "a text that is no UTF-8" {
                continue;
            }
            check(&refusal(&app, &path, body).await, Code::InvalidArgument, "UNDECODABLE_REQUEST", &format!("{path}: {what}"));
        }
        let compressed = post(&app, &path, &[("grpc-encoding", "gzip")], framed(&[])).await.unwrap();
        check(&told(&compressed), Code::InvalidArgument, "UNDECODABLE_REQUEST", &format!("{path}: compressed"));
    }
    check_serves(&app).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_every_method_with_the_limit() {
    let app = small().await;
    for path in methods() {
        let claimed = [&[0], &u32::MAX.to_be_bytes()[..], &[0; 10]].concat();
        for body in [framed(&vec![0x0a; BYTES_MAX + 1]), framed(&vec![0x0a; 100 * BYTES_MAX]), claimed] {
            let refused = refusal(&app, &path, body).await;
            check(&refused, Code::ResourceExhausted, "REQUEST_TOO_LARGE", &path);
            assert_eq!(refused.metadata["limit"], BYTES_MAX.to_string());
        }
    }
    let wordy = pb::CreateQrRequest { description: "x".repeat(BYTES_MAX), ..order("k", 100) };
    check(&told(&app.qrs().create_qr(wordy).await.unwrap_err()), Code::ResourceExhausted, "REQUEST_TOO_LARGE", "an ordinary client");
    app.create("k", 100).await;
}

#[tokio::test]
async fn methods_that_are_not_there_are_unknown() {
    let app = small().await;
    for path in [
        "/upistream.v1.QrService/PaintQr",
        "/upistream.v1.PayoutService/CreatePayout",
        "/upistream.v2.QrService/CreateQr",
        "/upistream.v1.EventService/",
        "/upistream.v1.EventService",
        "/favicon.ico",
        "/",
        "//",
        "/a/b/c",
    ] {
        check(&refusal(&app, path, framed(&[])).await, Code::Unimplemented, "UNKNOWN_METHOD", path);
    }
    check_serves(&app).await;
}

#[tokio::test]
async fn no_more_streams_than_a_caller_may_have() {
    let app = App::start_with(provider().await, |config| config.grpc.streams_per_caller_max = 3).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Reader::open(&app, latest()).await);
    }
    let refused = told(&Reader::try_open(&app, latest()).await.err().expect("one too many"));
    check(&refused, Code::ResourceExhausted, "RESOURCE_EXHAUSTED", "a fourth stream");
    assert_eq!(refused.metadata["limit"], "3");
    assert!(refused.retry_after.is_some());
    // Calls are not streams, and a place is free again when its stream is gone.
    check_serves(&app).await;
    streams.pop();
    until("a place for a stream", async || Reader::try_open(&app, latest()).await.ok()).await;
}

#[tokio::test]
async fn no_more_streams_than_there_are_places_for() {
    let app = App::start_with(provider().await, |config| config.grpc.streams_max = 2).await;
    let _streams = [Reader::open(&app, latest()).await, Reader::open(&app, latest()).await];
    let refused = told(&Reader::try_open(&app, latest()).await.err().expect("one too many"));
    check(&refused, Code::ResourceExhausted, "RESOURCE_EXHAUSTED", "a third stream");
    assert_eq!(refused.metadata["limit"], "2");
}

/// An ordinary call at each of the three doors.
async fn check_all_doors(app: &App) {
    // Not over a connection from before.
    let channel = crate::support::app::channel(app.running.grpc).await;
    let mut accounts = pb::account_service_client::AccountServiceClient::new(channel);
    tokio::time::timeout(PATIENCE, accounts.list_accounts(pb::ListAccountsRequest {})).await.expect("in time").expect("gRPC serves");
    let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
    let alive = client.get(format!("http://{}/livez", app.running.admin)).send().await.expect("the operators' port answers");
    assert_eq!(alive.status(), 200);
    let hook = format!("http://{}/webhooks/{ACCOUNT}/{URL_SECRET}", app.running.webhooks);
    let forged = client.post(hook).body("{}").send().await.expect("the webhooks' port answers");
    assert_eq!(forged.status(), 401, "nothing was signed");
}

/// Whether the peer ends the connection, or says something, once `bytes` were sent. What it says is read to its end.
async fn send(address: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be closed before everything is written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection is ended");
    answer
}

#[tokio::test]
async fn garbage_and_huge_heads_leave_every_door_open() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let app = App::start().await;
    let huge = [b"GET /livez HTTP/1.1\r\nhost: x\r\nx-huge: ".as_slice(), &vec![b'a'; 4 << 20], b"\r\n\r\n"].concat();
    let many: String = (0..10_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let many = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{many}\r\n").into_bytes();
    let noise: Vec<u8> = (0..65_536u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let frames = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0xff, 0xff, 0xff, 9, 0, 0xff, 0xff, 0xff, 0xff], &noise].concat();
    for address in [app.running.grpc, app.running.webhooks, app.running.admin] {
        for bytes in [&noise[..], &huge, &many, &frames, b"\r\n\r\n\r\n", b"GET", &PREFACE[..10], &[0; 1000], &[]] {
            let answer = send(address, bytes).await;
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer[..answer.len().min(80)]));
        }
        check_all_doors(&app).await;
    }
    // As headers of a gRPC call, too.
    let mut request = tonic::Request::new(pb::ListAccountsRequest {});
    request.metadata_mut().insert("x-huge", "a".repeat(1 << 20).parse().unwrap());
    let mut accounts = pb::account_service_client::AccountServiceClient::new(crate::support::app::channel(app.running.grpc).await);
    assert!(accounts.list_accounts(request).await.is_err());
    check_all_doors(&app).await;
}

#[tokio::test]
async fn peers_that_never_finish_keep_nobody_out() {
    const EACH: usize = 60;
    let app = App::start().await;
    let begun: [&[u8]; 5] = [
        b"",
        b"POST /webhooks/shop/x HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"POST /webhooks/shop/an-unguessable-part HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ];
    let mut open = Vec::new();
    for address in [app.running.grpc, app.running.webhooks, app.running.admin] {
        for bytes in begun {
            for _ in 0..EACH / begun.len() {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(bytes).await.unwrap();
                open.push(stream);
            }
        }
        check_all_doors(&app).await;
    }
    // One more byte from each: they are still at it.
    for stream in &mut open {
        let _ = stream.write_all(b"x").await;
    }
    check_all_doors(&app).await;
    // They don't hold up a stop either.
    let stopped = tokio::time::timeout(Duration::from_secs(15), app.running.stop()).await;
    assert!(stopped.expect("the stop comes to its end"));
}
