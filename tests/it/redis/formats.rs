//! Replicas of two releases side by side: a record of the release before is read and goes on, one of the release after is
//! shown, and left to those who can read all of it.

use upistream::domain::id::Id;
use upistream::grpc::pb;
use upistream::store::Batch;

use super::app_on;
use crate::store::promises::{batch, done, update};
use crate::support::app::{App, close_order, provider, told};
use crate::support::redis::TestRedis;

/// Writes the code's record as another release would: in `format`, with what `change` makes of it.
async fn rewrite(app: &App, id: &str, format: u32, change: impl FnOnce(&mut serde_json::Value)) -> bytes::Bytes {
    let store = app.running.store();
    let id: Id = id.parse().expect("an id");
    let stored = store.get(&id).await.expect("the store answers").expect("the record is there");
    let mut body: serde_json::Value = serde_json::from_slice(&stored.body).expect("records are JSON");
    body["format"] = format.into();
    change(&mut body["value"]);
    // The record names its own revision.
    let next = stored.revision + 1;
    let text = body.to_string().replace(&format!("\"revision\":{}", stored.revision), &format!("\"revision\":{next}"));
    let batch = Batch { partition: id.partition(), ..batch([update(&id, stored.revision, &text)]) };
    done(store, batch).await;
    text.into()
}

async fn body_of(app: &App, id: &str) -> bytes::Bytes {
    let id: Id = id.parse().expect("an id");
    app.running.store().get(&id).await.expect("the store answers").expect("the record is there").body
}

#[tokio::test]
async fn a_record_of_the_former_format_is_read_and_kept() {
    let redis = TestRedis::start().await;
    let app = app_on(&redis, &provider().await).await;
    app.lose_callbacks();
    let qr = app.create("a", 10_000).await;
    rewrite(&app, &qr.id, 0, |_| ()).await;
    assert!(String::from_utf8_lossy(&body_of(&app, &qr.id).await).contains(r#""format":0"#));
    assert_eq!(app.get_qr(&qr.id).await.upi_link, qr.upi_link);
    app.qrs().close_qr(close_order("close", &qr.id)).await.expect("it can be changed");
    let body = body_of(&app, &qr.id).await;
    assert!(body.starts_with(br#"{"format":1,"#), "it is written again in the format of this release");
}

#[tokio::test]
async fn a_record_of_the_next_format_is_shown_and_changed_only_where_all_of_it_is_known() {
    let redis = TestRedis::start().await;
    let app = app_on(&redis, &provider().await).await;
    app.lose_callbacks();
    let (known, unknown) = (app.create("a", 10_000).await, app.create("b", 10_000).await);
    rewrite(&app, &known.id, 2, |_| ()).await;
    let newer = rewrite(&app, &unknown.id, 2, |value| {
        let record = value.as_object_mut().expect("a record").values_mut().next().expect("of one kind");
        record["splits"] = serde_json::json!([{ "to": "another account" }]);
    })
    .await;

    app.qrs().close_qr(close_order("close-a", &known.id)).await.expect("nothing of it is lost");
    let shown = app.get_qr(&unknown.id).await;
    assert_eq!((shown.state(), shown.upi_link), (pb::QrState::Active, unknown.upi_link.clone()));
    assert!(app.list_qrs().await.iter().any(|qr| qr.id == unknown.id));
    let refused = told(&app.qrs().close_qr(close_order("close-b", &unknown.id)).await.expect_err("it would lose what is new"));
    assert_eq!((refused.code, refused.outcome()), (tonic::Code::Unavailable, "NOT_SENT"));
    assert_eq!(app.asked("qr.close"), 1, "the provider was asked about the other one only");
    assert_eq!(body_of(&app, &unknown.id).await, newer, "not a byte of it is changed");
}
