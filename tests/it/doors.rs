//! The doors themselves: what comes in that is too much, broken or plainly wrong, and what is told of it.

use tonic::Code;
use upistream::grpc::pb;

use crate::support::app::{App, order, told};

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
