//! A caller who has to go, leaves or hangs up takes nothing with him.

use std::time::{Duration, Instant};

use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, WebhookFaultKind};

use crate::support::app::{App, close_order, order, patient, provider, razorpay, told, until, within};

/// Far above what the service needs for itself on a busy machine, far below what the provider takes.
const PATIENCE_OF_CALLER: Duration = Duration::from_millis(2_500);
const SLOW_MS: u64 = 4_000;

/// A service that lets the provider take its time, and gets no callback.
async fn patient_app() -> App {
    let app = App::start_with(provider().await, patient).await;
    app.lose_callbacks();
    app
}

/// The work that a call began was completed by itself, by the provider's answer to the one request.
async fn is_completed(app: &App, id: &str) -> pb::Qr {
    let active = app.qr_until(id, "the code to be active", |qr| qr.state() == pb::QrState::Active).await;
    assert_eq!((active.provider_ref.clone(), active.in_doubt), (app.only_code(), false));
    let story = app.story(id, 2).await;
    assert_eq!((story[1].r#type.as_str(), story[1].evidence(), story[1].cause()), ("qr.activated", pb::Evidence::Answer, pb::Cause::Rpc));
    assert_eq!(app.asked("qr.create"), 1);
    let again = app.qrs().create_qr(order("one", 49_900)).await.unwrap().into_inner();
    assert_eq!((again.idempotency_replayed, again.qr.as_ref()), (true, Some(&active)));
    active
}

#[tokio::test]
async fn a_caller_gets_what_is_committed_before_his_time_is_over_and_the_work_goes_on() {
    let app = patient_app().await;
    app.fault("qr.create", FaultKind::Delay { ms: SLOW_MS });
    let asked = Instant::now();
    let answer = app.qrs().create_qr(within(PATIENCE_OF_CALLER, order("one", 49_900))).await.expect("REQUESTED is no error").into_inner();
    assert!(asked.elapsed() < PATIENCE_OF_CALLER);
    let qr = answer.qr.unwrap();
    assert_eq!((qr.state(), qr.in_doubt, qr.revision, answer.idempotency_replayed), (pb::QrState::Requested, true, 1, false));
    assert_eq!((qr.reference.as_str(), qr.amount.as_ref().unwrap().minor_units), ("ref-one", 49_900));
    is_completed(&app, &qr.id).await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_in_mid_call_stops_nothing() {
    let app = patient_app().await;
    app.fault("qr.create", FaultKind::Delay { ms: 1_500 });
    let mut client = app.qrs();
    let call = tokio::spawn(async move { client.create_qr(order("one", 49_900)).await });
    app.asked_again("qr.create", 0).await;
    call.abort();
    assert!(call.await.expect_err("it was cancelled").is_cancelled());
    let qr = app.list_qrs().await.remove(0);
    assert_eq!(qr.state(), pb::QrState::Requested);
    is_completed(&app, &qr.id).await;
}

#[tokio::test]
async fn a_caller_whose_connection_breaks_in_mid_call_stops_nothing() {
    let app = patient_app().await;
    app.fault("qr.create", FaultKind::Delay { ms: 1_500 });
    // A process of its own would look no different to the service: the runtime takes the connection with it.
    let address = app.running.grpc;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let caller = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let mut client = pb::qr_service_client::QrServiceClient::new(crate::support::app::channel(address).await);
            tokio::select! {
                _ = client.create_qr(order("one", 49_900)) => panic!("it was answered before it could break"),
                _ = stopped => {}
            }
        });
    });
    app.asked_again("qr.create", 0).await;
    stop.send(()).expect("the caller waits");
    tokio::task::spawn_blocking(move || caller.join().expect("the caller ends well")).await.unwrap();
    let qr = app.list_qrs().await.remove(0);
    is_completed(&app, &qr.id).await;
}

#[tokio::test]
async fn with_less_time_than_the_provider_needs_nothing_is_written_and_nothing_sent() {
    let app = App::start_with(provider().await, |config| razorpay(config).deadline_floor_ms = 10_000).await;
    let status = app.qrs().create_qr(within(PATIENCE_OF_CALLER, order("one", 49_900))).await.expect_err("too little time");
    let refused = told(&status);
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::DeadlineExceeded, "DEADLINE_TOO_SHORT", "NOT_SENT"));
    assert_eq!((app.log().await.len(), app.list_qrs().await.len(), app.asked("qr.create")), (0, 0, 0));
    // The key is free.
    let qr = app.create("one", 10_000).await;
    assert_eq!(qr.state(), pb::QrState::Active);

    let status = app.qrs().close_qr(within(PATIENCE_OF_CALLER, close_order("c", &qr.id))).await.expect_err("too little time");
    assert_eq!(told(&status).reason, "DEADLINE_TOO_SHORT");
    assert_eq!((app.get_qr(&qr.id).await, app.asked("qr.close")), (qr, 0));
}

#[tokio::test]
async fn a_repeat_while_the_first_is_under_way_waits_and_gets_the_same_code() {
    let app = patient_app().await;
    app.fault("qr.create", FaultKind::Delay { ms: 1_500 });
    let mut client = app.qrs();
    let first = tokio::spawn(async move { client.create_qr(order("one", 49_900)).await });
    app.asked_again("qr.create", 0).await;
    let second = app.qrs().create_qr(order("one", 49_900)).await.expect("it waits").into_inner();
    let first = first.await.unwrap().expect("the first gets its answer").into_inner();
    assert_eq!((first.idempotency_replayed, second.idempotency_replayed), (false, true));
    assert_eq!(first.qr, second.qr);
    assert_eq!(second.qr.unwrap().state(), pb::QrState::Active);
    assert_eq!((app.asked("qr.create"), app.codes().len()), (1, 1));
}

#[tokio::test]
async fn a_repeat_whose_time_ends_too_gets_what_is_committed() {
    let app = patient_app().await;
    app.fault("qr.create", FaultKind::Delay { ms: SLOW_MS });
    let first = app.qrs().create_qr(within(PATIENCE_OF_CALLER, order("one", 49_900))).await.unwrap().into_inner();
    let second = app.qrs().create_qr(within(PATIENCE_OF_CALLER, order("one", 49_900))).await.unwrap().into_inner();
    assert_eq!((first.idempotency_replayed, second.idempotency_replayed), (false, true));
    assert_eq!(first.qr, second.qr);
    is_completed(&app, &first.qr.unwrap().id).await;
}

#[tokio::test]
async fn a_repeat_wakes_the_search_for_a_lost_answer() {
    let app = App::start().await;
    app.callbacks("*", WebhookFaultKind::Drop);
    app.fault("qr.create", FaultKind::AnswerLost);
    let qr = app.create("one", 49_900).await;
    assert_eq!(qr.state(), pb::QrState::Requested);
    // No time passes on the business clock but the little that this takes: nobody would look yet.
    let again = app.qrs().create_qr(order("one", 49_900)).await.expect("it is found").into_inner();
    let found = again.qr.unwrap();
    assert_eq!((again.idempotency_replayed, found.state(), found.id), (true, pb::QrState::Active, qr.id));
    assert_eq!(app.asked("qr.create"), 1);
}

#[tokio::test]
async fn a_close_whose_caller_has_to_go_is_completed() {
    let app = patient_app().await;
    let qr = app.create("one", 49_900).await;
    app.fault("qr.close", FaultKind::Delay { ms: SLOW_MS });
    let answer =
        app.qrs().close_qr(within(PATIENCE_OF_CALLER, close_order("c", &qr.id))).await.expect("it is pending").into_inner().qr.unwrap();
    assert_eq!((answer.state(), answer.in_doubt, answer.pending_change.is_some()), (pb::QrState::Active, true, true));
    let closed = app.qr_until(&qr.id, "the code to close", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!((closed.close_reason(), closed.pending_change), (pb::QrCloseReason::Cancelled, None));
    let story = app.story(&qr.id, 4).await;
    assert_eq!(story[3].evidence(), pb::Evidence::Answer);
    until("the provider to have been asked once", async || (app.asked("qr.close") == 1).then_some(())).await;
}
