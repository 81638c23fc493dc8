//! What a second request with the same key is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, Switches};

use crate::support::app::{App, Told, close_order, minutes, order, patient, provider, razorpay, told, within};

#[tokio::test]
async fn a_key_that_was_used_for_another_order_names_what_differs_and_no_values() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let differing = async |change: fn(&mut pb::CreateQrRequest)| {
        let mut other = order("one", 49_900);
        change(&mut other);
        let status = app.qrs().create_qr(other).await.expect_err("the key is taken");
        let told = told(&status);
        assert_eq!((told.code, told.reason.as_str(), told.outcome()), (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", "NOT_SENT"));
        assert_eq!(told.metadata["resource_id"], qr.id);
        let all = format!("{status:?}");
        for value in ["77701", "a-secret-name", "49900"] {
            assert!(!all.contains(value), "the error shows the value {value}: {all}");
        }
        told.metadata["differing_fields"].clone()
    };
    assert_eq!(differing(|order| order.amount.as_mut().unwrap().minor_units = 77_701).await, "amount");
    assert_eq!(differing(|order| order.name = "a-secret-name".to_owned()).await, "name");
    assert_eq!(differing(|order| order.reference = String::new()).await, "reference");
    assert_eq!(differing(|order| order.labels = BTreeMap::from([("shop".to_owned(), "a-secret-name".to_owned())])).await, "labels");
    let several = differing(|order| {
        order.usage = pb::QrUsage::MultipleUse.into();
        order.amount = None;
        order.description = "a-secret-name".to_owned();
    });
    assert_eq!(several.await, "amount,description,usage");
    assert_eq!(app.get_qr(&qr.id).await, qr);
    assert_eq!((app.codes().len(), app.asked("qr.create")), (1, 1));
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated"]);
}

#[tokio::test]
async fn the_order_of_map_entries_makes_no_other_request() {
    let app = App::start().await;
    let notes: Vec<(String, String)> = (0..14).map(|n| (format!("note{n}"), format!("{n}"))).collect();
    let forwards = pb::CreateQrRequest { notes: notes.iter().cloned().collect(), ..order("one", 100) };
    let backwards = pb::CreateQrRequest { notes: notes.into_iter().rev().collect(), ..order("one", 100) };
    let first = app.qrs().create_qr(forwards).await.unwrap().into_inner();
    let second = app.qrs().create_qr(backwards).await.unwrap().into_inner();
    assert_eq!((first.idempotency_replayed, second.idempotency_replayed), (false, true));
    assert_eq!(first.qr, second.qr);
}

#[tokio::test]
async fn many_calls_with_one_key_at_once_make_one_code() {
    let app = App::start().await;
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let mut client = app.qrs();
        calls.spawn(async move { client.create_qr(order("one", 49_900)).await.expect("each gets the code").into_inner() });
    }
    let answers = calls.join_all().await;
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer.qr.as_ref().unwrap().id.clone()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(answers.iter().filter(|answer| !answer.idempotency_replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.qr.as_ref().unwrap().state() == pb::QrState::Active));
    assert_eq!((app.codes().len(), app.asked("qr.create"), app.list_qrs().await.len()), (1, 1, 1));
    assert_eq!(app.names_of_qr(ids.first().unwrap()).await, ["qr.requested", "qr.activated"]);
}

#[tokio::test]
async fn a_key_counts_for_one_method_and_one_account() {
    let app = App::start_with(provider().await, |config| {
        let second = config.accounts.values().next().expect("there is an account").clone();
        config.accounts.insert("kiosk".parse().expect("a name"), second);
    })
    .await;
    let qr = app.create("one", 49_900).await;
    let there = pb::CreateQrRequest { account: "kiosk".to_owned(), ..order("one", 49_900) };
    let there = app.qrs().create_qr(there).await.unwrap().into_inner();
    assert!(!there.idempotency_replayed);
    assert_ne!(there.qr.as_ref().unwrap().id, qr.id);
    let sent = app.references_sent();
    assert!(sent.len() == 2 && sent[0] != sent[1], "{sent:?}");

    let closed = app.qrs().close_qr(close_order("one", &qr.id)).await.expect("a close has keys of its own").into_inner();
    assert!(!closed.idempotency_replayed);
    assert_eq!(closed.qr.unwrap().state(), pb::QrState::Closed);
    let again = app.qrs().close_qr(close_order("one", &qr.id)).await.unwrap().into_inner();
    assert!(again.idempotency_replayed);
}

#[tokio::test]
async fn a_request_that_is_not_valid_leaves_its_key_free() {
    let app = App::start().await;
    let invalid = pb::CreateQrRequest { amount: None, ..order("one", 1) };
    let refused = told(&app.qrs().create_qr(invalid).await.expect_err("a single-use code needs an amount"));
    assert_eq!((refused.code, refused.outcome()), (Code::InvalidArgument, "NOT_SENT"));
    assert_eq!(refused.fields, ["amount"]);
    let qr = app.create("one", 49_900).await;
    assert_eq!((qr.state(), app.log().await.len(), app.asked("qr.create")), (pb::QrState::Active, 2, 1));
}

fn is_refused(status: &tonic::Status, id: &str, replayed: bool) -> Told {
    let told = told(status);
    assert_eq!((told.code, told.reason.as_str(), told.outcome()), (Code::FailedPrecondition, "PROVIDER_REFUSED", "DEFINITE"));
    assert_eq!(told.metadata["resource_id"], id);
    assert_eq!(told.metadata.get("replayed").map(String::as_str), replayed.then_some("true"));
    told
}

#[tokio::test]
async fn a_refusal_is_answered_again_and_again() {
    let app = App::start().await;
    app.provider.switches(Switches { qr_codes: false, ..Switches::default() });
    let first = app.qrs().create_qr(order("one", 49_900)).await.expect_err("the account may not use codes");
    let failed = app.list_qrs().await.remove(0);
    let first_told = is_refused(&first, &failed.id, false);
    assert_eq!(first_told.metadata["provider_code"], "BAD_REQUEST_ERROR");
    let failure = failed.failure.clone().expect("what failed says why");
    assert_eq!((failed.state(), failure.reason(), failed.in_doubt), (pb::QrState::Failed, pb::FailureReason::ProviderRefused, false));
    assert_eq!(failure.provider_message, "The requested URL was not found on the server.");

    // The provider would take it by now. The key stands for the refusal all the same.
    app.provider.switches(Switches::default());
    for _ in 0..2 {
        let again = app.qrs().create_qr(order("one", 49_900)).await.expect_err("it was refused");
        let again_told = is_refused(&again, &failed.id, true);
        assert_eq!((again.code(), again.message()), (first.code(), first.message()));
        assert_eq!(again_told.metadata["provider_code"], first_told.metadata["provider_code"]);
    }
    assert_eq!((app.asked("qr.create"), app.codes().len()), (1, 0));
    assert_eq!(app.names_of_qr(&failed.id).await, ["qr.requested", "qr.failed"]);
    assert_eq!(app.create("two", 49_900).await.state(), pb::QrState::Active);
}

#[tokio::test]
async fn a_refusal_that_came_after_the_caller_had_to_go_is_answered_when_he_comes_again() {
    let app = App::start_with(provider().await, patient).await;
    app.provider.switches(Switches { qr_codes: false, ..Switches::default() });
    app.fault("qr.create", FaultKind::Delay { ms: 4_000 });
    let qr = app.qrs().create_qr(within(Duration::from_millis(2_500), order("one", 49_900))).await.expect("not decided yet").into_inner();
    let qr = qr.qr.unwrap();
    assert_eq!((qr.state(), qr.in_doubt), (pb::QrState::Requested, true));
    // While it is still open, and again at rest.
    for _ in 0..2 {
        let refused = app.qrs().create_qr(order("one", 49_900)).await.expect_err("it was refused meanwhile");
        is_refused(&refused, &qr.id, true);
    }
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.failed"]);
}

#[tokio::test]
async fn a_repeat_is_answered_by_its_code_when_the_order_would_no_longer_be_valid() {
    let app = App::start().await;
    let soon = app.provider.now().as_second() + 16 * 60;
    let expire_time = Some(prost_types::Timestamp { seconds: soon, nanos: 0 });
    let order = pb::CreateQrRequest { expire_time, ..order("one", 49_900) };
    let first = app.qrs().create_qr(order.clone()).await.unwrap().into_inner();
    // By now the expiry is nearer than a new code's may be.
    app.advance(minutes(5));
    let again = app.qrs().create_qr(order.clone()).await.expect("it was taken when it was valid").into_inner();
    assert!(again.idempotency_replayed);
    assert_eq!(again.qr.unwrap().id, first.qr.unwrap().id);
    let new = pb::CreateQrRequest { idempotency_key: "two".to_owned(), ..order };
    assert_eq!(told(&app.qrs().create_qr(new).await.expect_err("too near")).fields, ["expire_time"]);
    assert_eq!(app.codes().len(), 1);
}

#[tokio::test]
async fn a_repeat_with_little_time_is_answered_by_its_code() {
    let app = App::start_with(provider().await, |config| razorpay(config).deadline_floor_ms = 10_000).await;
    let qr = app.create("one", 49_900).await;
    app.provider.stop().await;
    let little = Duration::from_secs(3);
    let again = app.qrs().create_qr(within(little, order("one", 49_900))).await.expect("nothing needs to be sent").into_inner();
    assert_eq!((again.idempotency_replayed, again.qr.unwrap().id), (true, qr.id));
}

#[tokio::test]
async fn a_repeat_with_no_time_to_wait_is_told_that_the_first_is_under_way() {
    let app = App::start_with(provider().await, patient).await;
    app.fault("qr.create", FaultKind::Delay { ms: 3_000 });
    let mut client = app.qrs();
    let first = tokio::spawn(async move { client.create_qr(order("one", 49_900)).await });
    app.asked_again("qr.create", 0).await;

    // What is left of this beyond the margin is no time.
    let nearly_none = Duration::from_millis(1_510);
    let status = app.qrs().create_qr(within(nearly_none, order("one", 49_900))).await.expect_err("no time to wait");
    let told = told(&status);
    assert_eq!((told.code, told.reason.as_str(), told.outcome()), (Code::Aborted, "IDEMPOTENCY_IN_FLIGHT", "UNKNOWN"));
    assert!(told.retry_after.is_some());
    let first = first.await.unwrap().expect("the first is not disturbed").into_inner().qr.unwrap();
    assert_eq!((first.state(), app.asked("qr.create")), (pb::QrState::Active, 1));
}
