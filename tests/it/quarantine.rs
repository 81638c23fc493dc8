//! Callbacks that were signed and can't be applied: kept, bounded, shown, tried again.

use std::time::Duration;

use serde_json::json;
use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, PayOptions, WebhookFaultKind};

use crate::support::app::{App, callback, minutes, order, provider, told, until};

/// A callback about something that this release has never heard of.
fn unheard_of(name: &str) -> String {
    callback(name, json!({"qr_code": {"entity": {"id": "qr_00000000000001"}}}), 1_790_000_000)
}

async fn replay(app: &App, key: &str, id: &str) -> Result<pb::ReplayQuarantinedResponse, tonic::Status> {
    let request = pb::ReplayQuarantinedRequest { idempotency_key: key.to_owned(), id: id.to_owned() };
    app.admin().replay_quarantined(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn an_event_that_nobody_heard_of_is_kept_once_and_shown() {
    let app = App::start().await;
    let body = unheard_of("qr_code.sneezed");
    for _ in 0..3 {
        assert_eq!(app.post_signed(&body).await, 200);
    }
    let kept = app.quarantine().await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((kept[0].reason(), kept[0].account.as_str()), (pb::QuarantineReason::NotUnderstood, "shop"));
    assert!(kept[0].attempts >= 1, "the first try counts: {kept:?}");
    assert!(!format!("{kept:?}").contains("qr_00000000000001"), "nothing of the body is shown: {kept:?}");
    assert!(app.log().await.is_empty());

    let tried = replay(&app, "r1", &kept[0].id).await.expect("it can be tried");
    assert!(!tried.settled);
    assert_eq!(tried.entry.unwrap().id, kept[0].id);
    let kept = app.quarantine().await;
    assert_eq!((kept.len(), kept[0].attempts >= 2), (1, true), "{kept:?}");
}

#[tokio::test]
async fn the_newest_is_shown_first_and_pages_join() {
    let app = App::start().await;
    let names: Vec<String> = (0..7).map(|number| format!("qr_code.sneezed_{number}")).collect();
    for name in &names {
        assert_eq!(app.post_signed(&unheard_of(name)).await, 200);
        app.advance(Duration::from_secs(1));
    }
    let mut request = pb::ListQuarantineRequest { account: "shop".to_owned(), page_size: 3, ..Default::default() };
    let mut shown = Vec::new();
    loop {
        let page = app.admin().list_quarantine(request.clone()).await.unwrap().into_inner();
        assert!(page.entries.len() <= 3);
        shown.extend(page.entries);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let told = |entry: &pb::QuarantineEntry| names.iter().find(|name| entry.message.contains(&format!("`{name}`"))).cloned();
    let shown: Vec<_> = shown.iter().filter_map(told).collect();
    assert_eq!(shown, names.iter().rev().cloned().collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_no_json_is_kept_and_harms_nobody() {
    let app = App::start().await;
    for body in ["", "not JSON", "{}", "[]", "null", "{\"event\":"] {
        assert_eq!(app.post_signed(body).await, 200, "{body}");
    }
    assert_eq!(app.quarantine().await.len(), 6);
    assert_eq!(app.create("one", 49_900).await.state(), pb::QrState::Active);
}

#[tokio::test]
async fn only_what_is_kept_can_be_tried_again() {
    let app = App::start().await;
    app.post_signed(&unheard_of("qr_code.sneezed")).await;
    let id = app.quarantine().await.remove(0).id;
    let unknown = format!("{}0000", &id[..id.len() - 4]);
    assert_eq!(told(&replay(&app, "r", &unknown).await.expect_err("there is none")).code, Code::NotFound);
    let qr = app.create("one", 49_900).await;
    let other = told(&replay(&app, "r", &qr.id).await.expect_err("that is a code"));
    assert_eq!((other.code, other.fields), (Code::InvalidArgument, vec!["id".to_owned()]));
}

#[tokio::test]
async fn a_full_quarantine_sends_the_provider_away_and_evicts_nothing() {
    let app = App::start_with(provider().await, |config| config.webhooks.quarantine_max = 2).await;
    assert_eq!(app.post_signed(&unheard_of("qr_code.sneezed")).await, 200);
    assert_eq!(app.post_signed(&unheard_of("qr_code.coughed")).await, 200);
    let kept: Vec<_> = app.quarantine().await.into_iter().map(|entry| entry.id).collect();
    assert_eq!(kept.len(), 2);
    assert_eq!(app.post_signed(&unheard_of("qr_code.yawned")).await, 503);
    // What is kept already needs no room.
    assert_eq!(app.post_signed(&unheard_of("qr_code.coughed")).await, 200);
    assert_eq!(app.quarantine().await.into_iter().map(|entry| entry.id).collect::<Vec<_>>(), kept);
    // What is understood needs none either.
    let qr = app.create("one", 49_900).await;
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    let refused = "upistream_webhooks_refused_total{account=\"shop\",reason=\"quarantine_full\"} 1";
    assert!(app.metrics().await.contains(refused), "{}", app.metrics().await);
}

#[tokio::test]
async fn a_payment_to_a_code_that_no_record_has_waits_for_the_record() {
    // The first service made the code, and its store was lost; the second asks for the same code again.
    let lost = App::start().await;
    let qr = lost.create("one", 49_900).await;
    let provider = lost.provider.clone();
    lost.callbacks_delivered(1).await;
    assert!(lost.running.stop().await);

    let app = App::start_with(provider, |_| ()).await;
    app.callbacks("payment.authorized", WebhookFaultKind::Drop);
    app.callbacks("payment.captured", WebhookFaultKind::Drop);
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    let kept = until("the callback to be kept", async || app.quarantine().await.pop()).await;
    assert_eq!((kept.reason(), kept.event_name.as_str()), (pb::QuarantineReason::Unmatched, "qr_code.credited"));
    assert_eq!(kept.provider_refs.len(), 1);
    assert!(app.log().await.is_empty());
    assert!(!replay(&app, "r1", &kept.id).await.unwrap().settled, "nothing has come that it could belong to");

    // The answer to the second request is lost, so nothing but the search brings record and code together.
    app.lose_callbacks();
    app.fault("qr.create", FaultKind::RequestLost);
    let again = app.qrs().create_qr(order("one", 49_900)).await.unwrap().into_inner().qr.unwrap();
    assert_eq!(again.state(), pb::QrState::Requested);
    app.advance(Duration::from_secs(10));
    app.qr_until(&again.id, "the code to be found", |qr| qr.state() == pb::QrState::Closed && qr.payment_count == 1).await;
    app.advance(minutes(10));
    until("the quarantine to be empty", async || app.quarantine().await.is_empty().then_some(())).await;
    let payment = app.payment_until(&again.id, pb::PaymentState::Succeeded).await;
    assert_eq!(app.names_of_payment(&payment.id).await.iter().filter(|name| *name == "payment.succeeded").count(), 1);
    assert_eq!(app.get_qr(&again.id).await.payment_count, 1);
    app.names_of_qr(&again.id).await;
}
