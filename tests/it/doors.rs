//! The doors themselves: what comes in that is too much, broken or plainly wrong, and what is told of it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use upistream::grpc::pb;

use crate::support::app::{App, URL_SECRET, order, told, until};

/// Callbacks that were refused for `reason`.
async fn refused(app: &App, account: &str, reason: &str) -> Option<u64> {
    let line = format!("upistream_webhooks_refused_total{{account=\"{account}\",reason=\"{reason}\"}} ");
    app.metrics().await.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok())
}

/// What the webhook listener answers to these bytes, after which nothing follows.
async fn answer_to(app: &App, bytes: &str) -> String {
    let mut connection = TcpStream::connect(app.running.webhooks).await.unwrap();
    connection.write_all(bytes.as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();
    let mut answer = String::new();
    // A listener that has nothing to say to this may cut the connection.
    let _ = connection.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn thousands_of_mistakes_are_told_in_a_header_that_every_client_takes() {
    let app = App::start().await;
    let mut wish = order("one", 49_900);
    wish.labels = (0..5_000).map(|number| (format!("Not A Key {number}"), String::new())).collect();
    wish.notes = (0..500).map(|number| (format!("{}{number}", "🪔".repeat(257)), String::new())).collect();
    let status = app.qrs().create_qr(wish).await.expect_err("hardly anything is right");
    let refused = told(&status);
    assert_eq!((status.code(), refused.reason.as_str(), refused.outcome()), (Code::InvalidArgument, "INVALID_FIELDS", "NOT_SENT"));
    assert_eq!((refused.fields.len(), refused.fields[0].as_str(), refused.fields[20].as_str()), (21, "labels", ""));
    assert!(status.message().len() < 1_000, "{}", status.message());

    let resource_ids = (0..5_000).map(|number| format!("{number}-{}", "x".repeat(100))).collect();
    let filter = Some(pb::EventFilter { resource_ids, ..Default::default() });
    let status = app.events().list_events(pb::ListEventsRequest { filter, ..Default::default() }).await.expect_err("none is an id");
    assert_eq!((told(&status).reason.as_str(), told(&status).fields.len()), ("INVALID_FIELDS", 21));
}

#[tokio::test]
async fn a_request_that_is_too_large_is_told_how_large_it_may_be() {
    let app = App::start().await;
    let wish = pb::CreateQrRequest { description: "x".repeat(1024 * 1024), ..order("one", 49_900) };
    let refused = told(&app.qrs().create_qr(wish).await.expect_err("it is not read"));
    assert_eq!(
        (refused.reason.as_str(), refused.outcome(), refused.metadata["limit"].as_str()),
        ("REQUEST_TOO_LARGE", "NOT_SENT", "1048576")
    );
    assert!(app.list_qrs().await.is_empty());
}

#[tokio::test]
async fn a_callback_to_a_wrong_address_is_counted_under_no_name_of_the_caller_s() {
    let app = App::start().await;
    let post = async |path: &str| {
        answer_to(&app, &format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")).await
    };
    let answers = [post("/webhooks/shop/wrong").await, post("/webhooks/nobody/wrong").await, post("/webhooks/nobody-else/wrong").await];
    let told = |answer: &str| answer.lines().filter(|line| !line.starts_with("date:")).collect::<String>();
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 404 ") && told(answer) == told(&answers[0])), "{answers:?}");
    assert_eq!(refused(&app, "shop", "wrong_url_secret").await, Some(1));
    assert_eq!(refused(&app, "unknown", "unknown_account").await, Some(2));
    assert!(!app.metrics().await.contains("nobody"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_called_too_large() {
    let app = App::start().await;
    answer_to(&app, &format!("POST /webhooks/shop/{URL_SECRET} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")).await;
    until("the refusal to be counted", async || refused(&app, "shop", "body_broken").await).await;
    assert_eq!(refused(&app, "shop", "body_too_large").await, None);
}

#[tokio::test]
async fn a_head_without_end_is_turned_away() {
    let app = App::start().await;
    let answer = answer_to(&app, &format!("POST /webhooks/shop/{URL_SECRET} HTTP/1.1\r\nx: {}", "y".repeat(70 * 1024))).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}
