//! Lists: newest first, in pages that join, by filters that the page's token is bound to.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, Outcome, PayOptions};

use crate::support::app::{ACCOUNT, App, order, told};

fn request() -> pb::ListQrsRequest {
    pb::ListQrsRequest { account: ACCOUNT.to_owned(), ..Default::default() }
}

/// All pages of a list, each by the token of the one before.
async fn pages(app: &App, mut request: pb::ListQrsRequest) -> Vec<Vec<pb::Qr>> {
    let mut pages = Vec::new();
    loop {
        let page = app.qrs().list_qrs(request.clone()).await.expect("codes are listed").into_inner();
        pages.push(page.qrs);
        if page.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = page.next_page_token;
    }
}

/// The references of a list's codes, newest first.
async fn references(app: &App, request: pb::ListQrsRequest) -> Vec<String> {
    pages(app, request).await.into_iter().flatten().map(|qr| qr.reference).collect()
}

#[tokio::test]
async fn a_hundred_and_twenty_codes_come_newest_first_in_pages_without_gaps_or_repeats() {
    let app = App::start().await;
    let mut creations = JoinSet::new();
    for number in 0..120 {
        let mut client = app.qrs();
        creations.spawn(async move { client.create_qr(order(&format!("k{number}"), 100)).await.expect("it is created").into_inner() });
    }
    let created: BTreeSet<_> = creations.join_all().await.into_iter().map(|answer| answer.qr.unwrap().id).collect();
    assert_eq!(created.len(), 120);

    let mut listing = request();
    listing.page_size = 50;
    let first = app.qrs().list_qrs(listing.clone()).await.unwrap().into_inner();
    // What comes meanwhile does not shift the pages that follow.
    let newer = app.create("newer", 100).await;
    listing.page_token = first.next_page_token;
    let rest = pages(&app, listing).await;
    let sizes: Vec<_> = rest.iter().map(Vec::len).collect();
    assert_eq!((first.qrs.len(), sizes.as_slice()), (50, &[50, 20][..]));
    let listed: Vec<_> = first.qrs.into_iter().chain(rest.into_iter().flatten()).collect();
    assert!(listed.iter().all(|qr| qr.id != newer.id));
    let ids: Vec<_> = listed.iter().map(|qr| qr.id.clone()).collect();
    assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), created);
    let time = |qr: &pb::Qr| qr.create_time.map(|time| (time.seconds, time.nanos)).expect("it was created");
    assert!(listed.is_sorted_by(|newer, older| time(newer) >= time(older)));
    assert!(ids.is_sorted_by(|newer, older| newer > older));

    // More than the most is the most; nothing asked for is fifty.
    let all = app.qrs().list_qrs(pb::ListQrsRequest { page_size: 10_000, ..request() }).await.unwrap().into_inner();
    assert_eq!((all.qrs.len(), all.next_page_token.as_str()), (121, ""));
    let plain = app.qrs().list_qrs(request()).await.unwrap().into_inner();
    assert_eq!((plain.qrs.len(), plain.qrs[0].id.as_str()), (50, newer.id.as_str()));
}

#[tokio::test]
async fn a_list_that_ends_with_a_full_page_ends() {
    let app = App::start().await;
    for number in 0..4 {
        app.create(&format!("k{number}"), 100).await;
    }
    let pages = pages(&app, pb::ListQrsRequest { page_size: 2, ..request() }).await;
    assert_eq!(pages.iter().flatten().count(), 4);
    assert!(pages.len() <= 3, "at most one page is empty: {pages:?}");
}

#[tokio::test]
async fn codes_are_filtered_by_state_reference_labels_and_time() {
    let app = App::start().await;
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let create = async |key: &str, reference: &str, labels: &[(String, String)]| {
        let order = pb::CreateQrRequest { reference: reference.to_owned(), labels: labels.iter().cloned().collect(), ..order(key, 100) };
        app.qrs().create_qr(order).await.expect("it is created").into_inner().qr.unwrap()
    };
    create("a", "first", &[label("shop", "north"), label("counter", "1")]).await;
    app.advance(Duration::from_secs(60));
    let second = create("b", "twice", &[label("shop", "north"), label("counter", "2")]).await;
    app.advance(Duration::from_secs(60));
    let third = create("c", "twice", &[label("shop", "south")]).await;
    app.advance(Duration::from_secs(60));
    app.lose_callbacks();
    app.fault("qr.create", FaultKind::RequestLost);
    create("d", "last", &[]).await;
    app.qrs().close_qr(crate::support::app::close_order("close", &third.id)).await.expect("it is closed");

    let states = async |states: &[pb::QrState]| {
        let states = states.iter().map(|state| i32::from(*state)).collect();
        references(&app, pb::ListQrsRequest { states, ..request() }).await
    };
    assert_eq!(states(&[]).await, ["last", "twice", "twice", "first"]);
    assert_eq!(states(&[pb::QrState::Active]).await, ["twice", "first"]);
    assert_eq!(states(&[pb::QrState::Closed, pb::QrState::Requested]).await, ["last", "twice"]);
    assert!(states(&[pb::QrState::Failed]).await.is_empty());

    let by_reference = async |reference: &str| references(&app, pb::ListQrsRequest { reference: reference.to_owned(), ..request() }).await;
    assert_eq!(by_reference("twice").await.len(), 2);
    assert_eq!(by_reference("first").await, ["first"]);
    assert!(by_reference("firs").await.is_empty(), "a reference is matched whole");

    let by_labels = async |labels: &[(String, String)]| {
        references(&app, pb::ListQrsRequest { labels: labels.iter().cloned().collect(), ..request() }).await
    };
    assert_eq!(by_labels(&[label("shop", "north")]).await, ["twice", "first"]);
    assert_eq!(by_labels(&[label("shop", "north"), label("counter", "1")]).await, ["first"]);
    assert!(by_labels(&[label("shop", "")]).await.is_empty());

    let by_time = async |from: Option<&pb::Qr>, to: Option<&pb::Qr>| {
        let time = |qr: Option<&pb::Qr>| qr.and_then(|qr| qr.create_time);
        references(&app, pb::ListQrsRequest { create_time_from: time(from), create_time_to: time(to), ..request() }).await
    };
    assert_eq!(by_time(Some(&second), None).await, ["last", "twice", "twice"], "from its own time on");
    assert_eq!(by_time(None, Some(&third)).await, ["twice", "first"], "before its own time");
    assert_eq!(by_time(Some(&second), Some(&third)).await, ["twice"]);
    assert!(by_time(Some(&third), Some(&second)).await.is_empty());

    let several = pb::ListQrsRequest {
        reference: "twice".to_owned(),
        states: vec![pb::QrState::Active.into()],
        create_time_from: second.create_time,
        ..request()
    };
    assert_eq!(pages(&app, several).await.concat(), [app.get_qr(&second.id).await]);
}

#[tokio::test]
async fn a_token_is_bound_to_its_filters() {
    let app = App::start().await;
    for number in 0..4 {
        app.create(&format!("k{number}"), 100).await;
    }
    let page = app.qrs().list_qrs(pb::ListQrsRequest { page_size: 2, ..request() }).await.unwrap().into_inner();
    let token = page.next_page_token;
    let refused = async |request: pb::ListQrsRequest| {
        let told = told(&app.qrs().list_qrs(request).await.expect_err("the token is not for this"));
        assert_eq!((told.code, told.reason.as_str(), told.outcome()), (Code::InvalidArgument, "INVALID_TOKEN", "NOT_SENT"));
    };
    let with_token = pb::ListQrsRequest { page_token: token.clone(), ..request() };
    refused(pb::ListQrsRequest { reference: "ref-k1".to_owned(), ..with_token.clone() }).await;
    refused(pb::ListQrsRequest { states: vec![pb::QrState::Active.into()], ..with_token.clone() }).await;
    refused(pb::ListQrsRequest { create_time_from: Some(prost_types::Timestamp::default()), ..with_token.clone() }).await;
    refused(pb::ListQrsRequest { page_token: "nonsense".to_owned(), ..request() }).await;
    refused(pb::ListQrsRequest { page_token: token[1..].to_owned(), ..request() }).await;
    let payments = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), page_token: token, ..Default::default() };
    let other = told(&app.payments().list_payments(payments).await.expect_err("it is another list's"));
    assert_eq!(other.reason, "INVALID_TOKEN");
    // The size of a page is no filter.
    let next = app.qrs().list_qrs(pb::ListQrsRequest { page_size: 1, ..with_token }).await.expect("the same filters").into_inner();
    assert_eq!(next.qrs.len(), 1);
}

#[tokio::test]
async fn payments_are_listed_by_state_and_by_their_code() {
    let app = App::start().await;
    let usage = pb::QrUsage::MultipleUse.into();
    let mut codes = Vec::new();
    for key in ["a", "b"] {
        let order = pb::CreateQrRequest { usage, amount: None, ..order(key, 1) };
        codes.push(app.qrs().create_qr(order).await.unwrap().into_inner().qr.unwrap());
    }
    for (code, count) in codes.iter().zip([5, 3]) {
        for paise in 1..=count {
            let outcome = if paise == 1 { Outcome::Failed } else { Outcome::Captured };
            app.pay(&code.provider_ref, PayOptions { amount: Some(paise), outcome, ..PayOptions::default() }).await;
        }
    }
    app.callbacks_delivered(2 + 2 + 6 * 3).await;
    let list = async |request: pb::ListPaymentsRequest| {
        let request = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), ..request };
        let page = app.payments().list_payments(request).await.expect("payments are listed").into_inner();
        page.payments
    };
    assert_eq!(list(pb::ListPaymentsRequest::default()).await.len(), 8);
    let of_first = pb::ListPaymentsRequest { qr_id: codes[0].id.clone(), ..Default::default() };
    let found = list(of_first.clone()).await;
    assert!(found.len() == 5 && found.iter().all(|payment| payment.qr_id == codes[0].id), "{found:?}");
    let failed = pb::ListPaymentsRequest { states: vec![pb::PaymentState::Failed.into()], ..Default::default() };
    assert_eq!(list(failed.clone()).await.len(), 2);
    let failed_of_first = pb::ListPaymentsRequest { states: failed.states, ..of_first };
    assert_eq!(list(failed_of_first).await.len(), 1);
    let by_reference = pb::ListPaymentsRequest { reference: "ref-b".to_owned(), ..Default::default() };
    assert_eq!(list(by_reference).await.len(), 3);
}

#[tokio::test]
async fn a_list_of_an_account_that_is_not_there_is_not_found() {
    let app = App::start().await;
    let told =
        told(&app.qrs().list_qrs(pb::ListQrsRequest { account: "elsewhere".to_owned(), ..request() }).await.expect_err("no account"));
    assert_eq!((told.code, told.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
}
