//! A code is created, paid and closed.

use std::time::Duration;

use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, PayOptions, Switches};

use crate::support::app::{A_WHILE, ACCOUNT, App, check_revisions, close_order, hasty, minutes, order, patient, provider, told, within};

#[tokio::test]
async fn a_code_is_created_paid_and_its_status_is_told() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    assert_eq!(qr.state(), pb::QrState::Active);
    assert!(qr.upi_link.starts_with("upi://pay?"), "{}", qr.upi_link);

    let again = app.qrs().create_qr(order("one", 49_900)).await.unwrap().into_inner();
    assert!(again.idempotency_replayed);
    assert_eq!(again.qr.unwrap().id, qr.id);

    app.provider.pay_qr(ACCOUNT, &qr.upi_link, PayOptions::default()).await.unwrap();
    let payment = app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    assert_eq!(payment.amount.unwrap().minor_units, 49_900);
    let closed = app.qr_until(&qr.id, "the code to close", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!(closed.close_reason(), pb::QrCloseReason::Paid);
    assert_eq!((closed.payment_count, closed.amount_received.unwrap().minor_units), (1, 49_900));

    let log = app.log().await;
    check_revisions(&log);
    let types: Vec<&str> = log.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(types.iter().filter(|name| **name == "payment.succeeded").count(), 1, "{types:?}");
    assert!(types.starts_with(&["qr.requested", "qr.activated"]), "{types:?}");
    assert_eq!(app.provider.qr_codes(ACCOUNT).unwrap().len(), 1);
    assert!(app.running.stop().await);
}

async fn close(app: &App, key: &str, id: &str) -> pb::Qr {
    app.qrs().close_qr(close_order(key, id)).await.expect("the close is taken").into_inner().qr.expect("the answer has the code")
}

#[tokio::test]
async fn a_code_is_closed_and_a_repeat_finds_it_closed() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let closed = close(&app, "c", &qr.id).await;
    assert_eq!((closed.state(), closed.close_reason()), (pb::QrState::Closed, pb::QrCloseReason::Cancelled));
    assert!(closed.close_time.is_some() && closed.pending_change.is_none() && !closed.in_doubt, "{closed:?}");
    assert_eq!(app.codes()[0]["status"], "closed");
    let story = app.story(&qr.id, 4).await;
    let names: Vec<_> = story.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(names, ["qr.requested", "qr.activated", "qr.change_requested", "qr.closed"]);
    assert!(story[3].terminal && !story[2].terminal);
    let Some(pb::event::Resource::Qr(asked)) = &story[2].resource else { panic!("the event has no code") };
    assert_eq!((asked.state(), asked.pending_change.as_ref().unwrap().operation()), (pb::QrState::Active, pb::Operation::Close));

    let again = app.qrs().close_qr(close_order("c", &qr.id)).await.expect("it is closed").into_inner();
    assert!(again.idempotency_replayed);
    assert_eq!(again.qr, Some(closed));
    assert_eq!(app.asked("qr.close"), 1);
    // The provider's own callback about the close told nothing new.
    app.callbacks_delivered(2).await;
    assert_eq!(app.get_qr(&qr.id).await.revision, 4);
}

#[tokio::test]
async fn a_code_that_is_not_made_can_not_be_closed_and_a_closed_one_is_answered_as_it_is() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let closed = close(&app, "c", &qr.id).await;
    app.lose_callbacks();
    app.fault("qr.create", FaultKind::RequestLost);
    let requested = app.create("two", 49_900).await;
    app.provider.switches(Switches { qr_codes: false, ..Switches::default() });
    app.qrs().create_qr(order("three", 49_900)).await.expect_err("the provider refuses");
    let failed = app.list_qrs().await.remove(0);
    let again = app.qrs().close_qr(close_order("another", &closed.id)).await.expect("it is so already").into_inner();
    assert_eq!((again.qr.as_ref(), again.idempotency_replayed), (Some(&closed), false));
    for (code, state) in [(&requested, "REQUESTED"), (&failed, "FAILED")] {
        let refused = told(&app.qrs().close_qr(close_order("another", &code.id)).await.expect_err("it can't be closed"));
        assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::FailedPrecondition, "STATE_FORBIDS", "NOT_SENT"));
        assert_eq!(refused.metadata["state"], state);
        assert_eq!(&app.get_qr(&code.id).await, code);
    }
    assert_eq!(app.asked("qr.close"), 1);
}

/// A close whose answer does not come is pending, excludes another one, and is found out about by looking.
async fn close_in_doubt(app: &App, qr: &pb::Qr, fault: FaultKind) -> pb::Qr {
    app.lose_callbacks();
    app.fault("qr.close", fault);
    let pending = close(app, "c", &qr.id).await;
    assert_eq!((pending.state(), pending.in_doubt, pending.revision), (pb::QrState::Active, true, 3));
    assert_eq!(pending.pending_change.as_ref().expect("the close is pending").operation(), pb::Operation::Close);

    let second = told(&app.qrs().close_qr(close_order("c2", &qr.id)).await.expect_err("one change at a time"));
    assert_eq!((second.code, second.reason.as_str(), second.outcome()), (Code::Aborted, "CHANGE_PENDING", "NOT_SENT"));
    assert_eq!(second.metadata["resource_id"], qr.id);
    assert!(second.retry_after.is_some());
    pending
}

#[tokio::test]
async fn a_close_whose_answer_was_lost_is_found() {
    for fault in [FaultKind::AnswerLost, FaultKind::Stall, FaultKind::StatusAfter { status: 502 }, FaultKind::Garbage] {
        let app = App::start().await;
        let qr = app.create("one", 49_900).await;
        close_in_doubt(&app, &qr, fault).await;
        app.advance(Duration::from_secs(5));
        let closed = app.qr_until(&qr.id, "the close to be found", |qr| qr.state() == pb::QrState::Closed).await;
        assert_eq!((closed.close_reason(), closed.pending_change.is_some()), (pb::QrCloseReason::Cancelled, false));
        let story = app.story(&qr.id, 4).await;
        assert_eq!((story[3].r#type.as_str(), story[3].evidence(), story.len()), ("qr.closed", pb::Evidence::Enquiry, 4));
        let again = app.qrs().close_qr(close_order("c", &qr.id)).await.unwrap().into_inner();
        assert_eq!((again.idempotency_replayed, again.qr), (true, Some(closed)));
        assert_eq!(app.asked("qr.close"), 1, "a close is never sent twice");
    }
}

#[tokio::test]
async fn a_close_whose_answer_was_lost_is_told_by_the_callback() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.fault("qr.close", FaultKind::AnswerLost);
    assert!(close(&app, "c", &qr.id).await.in_doubt);
    let closed = app.qr_until(&qr.id, "the code to close", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!((closed.close_reason(), closed.pending_change), (pb::QrCloseReason::Cancelled, None));
    assert_eq!(app.story(&qr.id, 4).await[3].evidence(), pb::Evidence::Signature);
}

#[tokio::test]
async fn a_close_that_never_arrived_is_given_up_in_the_end_and_can_be_asked_for_anew() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let pending = close_in_doubt(&app, &qr, FaultKind::RequestLost).await;
    for _ in 0..4 {
        app.advance_and_look(minutes(3), "qr.fetch").await;
        assert!(app.get_qr(&qr.id).await.pending_change.is_some());
    }
    app.advance(minutes(4));
    let settled = app.qr_until(&qr.id, "the pending close to be given up", |qr| qr.pending_change.is_none()).await;
    assert_eq!((settled.state(), settled.in_doubt), (pb::QrState::Active, false));
    assert_eq!(settled.failure.as_ref().expect("it says what became of the close").reason(), pb::FailureReason::AbsentAtProvider);
    let seconds = settled.update_time.unwrap().seconds - pending.update_time.unwrap().seconds;
    assert!(seconds >= 903, "it was given up after {seconds} seconds");
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated", "qr.change_requested", "qr.change_settled"]);
    let again = app.qrs().close_qr(close_order("c", &qr.id)).await.expect("nobody said no").into_inner();
    assert_eq!((again.idempotency_replayed, again.qr), (true, Some(settled)));

    let closed = close(&app, "anew", &qr.id).await;
    assert_eq!((closed.state(), closed.failure), (pb::QrState::Closed, None));
}

#[tokio::test]
async fn a_refused_close_leaves_the_code_active_and_its_refusal_is_replayed() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.provider.switches(Switches { qr_codes: false, ..Switches::default() });
    let refused = told(&app.qrs().close_qr(close_order("c", &qr.id)).await.expect_err("the account may not use codes"));
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::FailedPrecondition, "PROVIDER_REFUSED", "DEFINITE"));
    assert_eq!(refused.metadata["resource_id"], qr.id);
    let active = app.get_qr(&qr.id).await;
    assert_eq!((active.state(), &active.pending_change, active.in_doubt), (pb::QrState::Active, &None, false));
    assert_eq!(active.failure.as_ref().unwrap().reason(), pb::FailureReason::ProviderRefused);
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated", "qr.change_requested", "qr.change_settled"]);

    app.provider.switches(Switches::default());
    let again = told(&app.qrs().close_qr(close_order("c", &qr.id)).await.expect_err("it was refused"));
    assert_eq!((again.reason.as_str(), again.metadata["replayed"].as_str()), ("PROVIDER_REFUSED", "true"));
    assert_eq!(close(&app, "c2", &qr.id).await.state(), pb::QrState::Closed);
    let again = told(&app.qrs().close_qr(close_order("c", &qr.id)).await.expect_err("it was refused, whatever came later"));
    assert_eq!((again.reason.as_str(), again.metadata["replayed"].as_str()), ("PROVIDER_REFUSED", "true"));
}

#[tokio::test]
async fn a_refused_close_does_not_speak_for_the_creation() {
    let app = App::start_with(provider().await, patient).await;
    app.fault("qr.create", FaultKind::Delay { ms: 2_000 });
    let mut client = app.qrs();
    let creation = tokio::spawn(async move { client.create_qr(order("one", 49_900)).await });
    // The callback comes before the answer, and somebody closes what it shows.
    app.asked_again("qr.create", 0).await;
    let id = app.list_qrs().await.remove(0).id;
    app.qr_until(&id, "the callback", |qr| qr.state() == pb::QrState::Active).await;
    app.provider.switches(Switches { qr_codes: false, ..Switches::default() });
    let refused = app.qrs().close_qr(close_order("c", &id)).await.expect_err("the account may not use codes any more");
    assert_eq!(told(&refused).reason, "PROVIDER_REFUSED");

    let created = creation.await.unwrap().expect("the creation was not refused").into_inner().qr.unwrap();
    assert_eq!((created.state(), created.id), (pb::QrState::Active, id));
    let again = app.qrs().create_qr(order("one", 49_900)).await.expect("the creation was not refused").into_inner();
    assert!(again.idempotency_replayed);
}

#[tokio::test]
async fn a_close_is_sent_although_somebody_looks_at_the_code_just_then() {
    let app = App::start_with(provider().await, patient).await;
    let qr = app.create("one", 49_900).await;
    app.lose_callbacks();
    app.fault("qr.fetch", FaultKind::Delay { ms: 2_000 });
    app.advance_until_asked(minutes(3), "qr.fetch").await;
    let closed = close(&app, "c", &qr.id).await;
    assert_eq!((closed.state(), app.asked("qr.close")), (pb::QrState::Closed, 1));
    // What the look brings is older than the close.
    app.advance(minutes(10));
    let names = app.names_of_qr(&qr.id).await;
    assert_eq!(names, ["qr.requested", "qr.activated", "qr.change_requested", "qr.closed"]);
}

#[tokio::test]
async fn a_close_that_is_throttled_for_ever_frees_its_key() {
    let app = App::start_with(provider().await, hasty).await;
    let qr = app.create("one", 49_900).await;
    app.always("qr.close", FaultKind::TooManyRequests { retry_after: None });
    let status = app.qrs().close_qr(within(A_WHILE, close_order("c", &qr.id))).await.expect_err("nothing was sent");
    let unsent = told(&status);
    assert_eq!((unsent.code, unsent.reason.as_str(), unsent.outcome()), (Code::Unavailable, "PROVIDER_UNAVAILABLE", "NOT_SENT"));
    let active = app.get_qr(&qr.id).await;
    assert_eq!((active.state(), &active.pending_change), (pb::QrState::Active, &None));
    assert_eq!(active.failure.as_ref().unwrap().reason(), pb::FailureReason::NotSent);
    app.provider.clear_faults();
    let answer = app.qrs().close_qr(close_order("c", &qr.id)).await.expect("the key is free").into_inner();
    assert!(!answer.idempotency_replayed);
    assert_eq!(answer.qr.unwrap().state(), pb::QrState::Closed);
}

#[tokio::test]
async fn many_closes_with_one_key_at_once_close_once() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (mut client, id) = (app.qrs(), qr.id.clone());
        calls.spawn(async move { client.close_qr(close_order("c", &id)).await.expect("each finds it closed").into_inner() });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| answer.qr.as_ref().unwrap().state() == pb::QrState::Closed));
    assert_eq!(answers.iter().filter(|answer| !answer.idempotency_replayed).count(), 1);
    assert_eq!(app.asked("qr.close"), 1);
    assert_eq!(app.names_of_qr(&qr.id).await.len(), 4);
}

#[tokio::test]
async fn many_closes_with_keys_of_their_own_at_once_close_once() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (mut client, id) = (app.qrs(), qr.id.clone());
        calls.spawn(async move { client.close_qr(close_order(&format!("c{number}"), &id)).await });
    }
    let (closed, refused): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
    // One closes it; who comes when that is done finds it closed, who comes before has to wait for it.
    assert!(!closed.is_empty());
    for answer in closed {
        let answer = answer.expect("it is an answer").into_inner();
        assert_eq!((answer.qr.unwrap().state(), answer.idempotency_replayed), (pb::QrState::Closed, false));
    }
    for status in refused {
        let told = told(&status.expect_err("it is an error"));
        assert_eq!((told.reason.as_str(), told.outcome()), ("CHANGE_PENDING", "NOT_SENT"));
    }
    assert_eq!(app.asked("qr.close"), 1);
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated", "qr.change_requested", "qr.closed"]);
}

#[tokio::test]
async fn a_code_that_was_paid_just_before_its_close_is_closed_as_paid() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.lose_callbacks();
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    // The provider says that the code is closed already, which is not on the list of refusals: it is looked up.
    let pending = close(&app, "c", &qr.id).await;
    if pending.state() != pb::QrState::Closed {
        app.advance(Duration::from_secs(5));
    }
    let closed = app.qr_until(&qr.id, "the code to close", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!((closed.close_reason(), closed.payment_count), (pb::QrCloseReason::Paid, 1));
    app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    let replayed = app.qrs().close_qr(close_order("c", &qr.id)).await.unwrap().into_inner();
    assert_eq!((replayed.idempotency_replayed, replayed.qr.unwrap().state()), (true, pb::QrState::Closed));
    app.names_of_qr(&qr.id).await;
}

#[tokio::test]
async fn a_code_expires_without_any_callback() {
    let app = App::start().await;
    let seconds = app.provider.now().as_second() + 20 * 60;
    let expire_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
    let wanted = pb::CreateQrRequest { expire_time, ..order("one", 49_900) };
    let qr = app.qrs().create_qr(wanted).await.unwrap().into_inner().qr.unwrap();
    assert_eq!(qr.expire_time, expire_time);
    app.callbacks_delivered(1).await;
    app.lose_callbacks();

    app.advance(minutes(21));
    let closed = app.qr_until(&qr.id, "the code to expire", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!((closed.close_reason(), closed.close_time), (pb::QrCloseReason::Expired, expire_time));
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated", "qr.closed"]);
    assert_eq!(app.provider.deliveries().iter().filter(|delivery| delivery.event != "qr_code.created").count(), 0);
}

#[tokio::test]
async fn a_code_without_an_expiry_of_its_own_shows_the_one_that_the_provider_gave_it() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let ahead = qr.expire_time.expect("the provider's default").seconds - app.provider.now().as_second();
    assert!((7_100..=7_200).contains(&ahead), "{ahead}");
    app.advance(minutes(121));
    let closed = app.qr_until(&qr.id, "the code to expire", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!(closed.close_reason(), pb::QrCloseReason::Expired);
}

#[tokio::test]
async fn a_code_that_was_closed_in_the_dashboard_is_closed_here() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.at_provider(&format!("payments/qr_codes/{}/close", qr.provider_ref), &serde_json::Value::Null).await;
    let closed = app.qr_until(&qr.id, "the code to close", |qr| qr.state() == pb::QrState::Closed).await;
    assert_eq!(closed.close_reason(), pb::QrCloseReason::Cancelled);
    let story = app.story(&qr.id, 3).await;
    assert_eq!(
        (story[2].r#type.as_str(), story[2].evidence(), story[2].cause()),
        ("qr.closed", pb::Evidence::Signature, pb::Cause::Webhook)
    );
    assert_eq!(story.len(), 3);
}

#[tokio::test]
async fn a_code_that_many_may_pay_stays_open_and_counts_what_it_got() {
    let app = App::start().await;
    let usage = pb::QrUsage::MultipleUse.into();
    let wanted = pb::CreateQrRequest { usage, amount: None, ..order("one", 1) };
    let qr = app.qrs().create_qr(wanted).await.unwrap().into_inner().qr.unwrap();
    for paise in [100, 2_000, 30_000] {
        app.pay(&qr.provider_ref, PayOptions { amount: Some(paise), ..PayOptions::default() }).await;
    }
    let paid = app.qr_until(&qr.id, "three payments", |qr| qr.payment_count == 3).await;
    assert_eq!((paid.state(), paid.amount_received.as_ref().unwrap().minor_units), (pb::QrState::Active, 32_100));
    let payments = app.payments_of(&qr.id).await;
    assert_eq!(payments.len(), 3);
    for payment in &payments {
        assert_eq!((payment.state(), &payment.expected_amount), (pb::PaymentState::Succeeded, &None));
        assert_eq!(app.names_of_payment(&payment.id).await.iter().filter(|name| *name == "payment.succeeded").count(), 1);
    }
    let closed = close(&app, "c", &qr.id).await;
    assert_eq!((closed.close_reason(), closed.payment_count), (pb::QrCloseReason::Cancelled, 3));
}

async fn image(app: &App, request: pb::GetQrImageRequest) -> pb::GetQrImageResponse {
    app.qrs().get_qr_image(request).await.expect("the code can be drawn").into_inner()
}

#[tokio::test]
async fn a_code_is_drawn_as_png_and_as_svg() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let request = pb::GetQrImageRequest { id: qr.id.clone(), size_pixels: 300, ..Default::default() };
    let picture = image(&app, request.clone()).await;
    assert_eq!(picture.media_type, "image/png");
    let decoded = png::Decoder::new(std::io::Cursor::new(picture.image)).read_info().expect("it is a PNG");
    assert_eq!((decoded.info().width, decoded.info().height), (300, 300));

    let svg = image(&app, pb::GetQrImageRequest { format: pb::QrImageFormat::Svg.into(), ..request.clone() }).await;
    assert_eq!(svg.media_type, "image/svg+xml");
    let text = String::from_utf8(svg.image).expect("an SVG is text");
    assert!(text.contains("<svg") && text.trim_end().ends_with("</svg>"), "{text}");

    let small = told(&app.qrs().get_qr_image(pb::GetQrImageRequest { size_pixels: 3, ..request }).await.expect_err("too small"));
    assert_eq!((small.code, small.fields), (Code::InvalidArgument, vec!["size_pixels".to_owned()]));
}

#[tokio::test]
async fn a_code_that_is_not_made_yet_can_not_be_drawn() {
    let app = App::start().await;
    app.lose_callbacks();
    app.fault("qr.create", FaultKind::RequestLost);
    let qr = app.create("one", 49_900).await;
    let status = app.qrs().get_qr_image(pb::GetQrImageRequest { id: qr.id, ..Default::default() }).await.expect_err("there is no text");
    assert_eq!((told(&status).code, told(&status).reason.as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
}
