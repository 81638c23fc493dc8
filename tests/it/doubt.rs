//! What happened at the provider is not known: it is looked up, never guessed and never asked for twice. What nobody can
//! look up, an operator decides.

use std::time::Duration;

use tonic::Code;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, PayOptions, Sandbox};

use crate::support::app::{
    A_WHILE, ACCOUNT, App, KEY_ID, callback, close_order, hasty, minutes, order, provider, razorpay, told, until, within,
};

const A_MOMENT: Duration = Duration::from_secs(5);
/// Longer than the leases of stories.
const LEASE: Duration = Duration::from_secs(4);

/// A creation whose answer does not come: REQUESTED is answered, and it is said that this is not certain.
async fn create_in_doubt(app: &App, key: &str) -> pb::Qr {
    let answer = app.qrs().create_qr(order(key, 49_900)).await.expect("doubt is no error").into_inner();
    assert!(!answer.idempotency_replayed);
    let qr = answer.qr.expect("the answer has the code");
    assert_eq!((qr.state(), qr.in_doubt, qr.revision), (pb::QrState::Requested, true, 1), "{qr:?}");
    assert!(qr.upi_link.is_empty(), "nobody can pay a code that may not be there");
    qr
}

/// The code of a creation that the provider acted on, whatever became of the answer, is found by the reconciler alone.
async fn is_found(fault: FaultKind) {
    let app = App::start().await;
    app.lose_callbacks();
    app.fault("qr.create", fault);
    let qr = create_in_doubt(&app, "one").await;

    app.advance(A_MOMENT);
    let found = app.qr_until(&qr.id, "the code to be found", |qr| qr.state() == pb::QrState::Active).await;
    assert_eq!(found.provider_ref, app.only_code());
    assert!(!found.in_doubt && found.upi_link.starts_with("upi://pay?"), "{found:?}");
    let story = app.story(&qr.id, 2).await;
    assert_eq!((story[1].r#type.as_str(), story[1].evidence()), ("qr.activated", pb::Evidence::Enquiry));
    assert_eq!((story[1].cause(), story.len()), (pb::Cause::Reconciliation, 2));
    assert_eq!(app.asked("qr.create"), 1, "a creation is never sent twice");

    let again = app.qrs().create_qr(order("one", 49_900)).await.unwrap().into_inner();
    assert!(again.idempotency_replayed);
    assert_eq!(again.qr, Some(found));
}

#[tokio::test]
async fn a_code_whose_answer_was_lost_is_found() {
    is_found(FaultKind::AnswerLost).await;
}

#[tokio::test]
async fn a_code_whose_answer_never_came_is_found() {
    is_found(FaultKind::Stall).await;
}

#[tokio::test]
async fn a_code_that_was_made_behind_a_server_fault_is_found() {
    is_found(FaultKind::StatusAfter { status: 502 }).await;
    is_found(FaultKind::StatusAfter { status: 500 }).await;
}

#[tokio::test]
async fn a_code_whose_answer_was_garbage_is_found() {
    is_found(FaultKind::Garbage).await;
}

#[tokio::test]
async fn a_code_that_was_made_after_we_gave_up_waiting_is_found() {
    is_found(FaultKind::ActLate { ms: 1_300 }).await;
}

#[tokio::test]
async fn a_lost_answer_is_made_up_for_by_the_callback() {
    let app = App::start().await;
    app.fault("qr.create", FaultKind::AnswerLost);
    let qr = app.create("one", 49_900).await;

    // The clock stands still for the reconciler: only the callback can have told.
    let active = app.qr_until(&qr.id, "the code to be active", |qr| qr.state() == pb::QrState::Active).await;
    assert!(active.provider_ref == app.only_code() && active.upi_link.is_empty(), "callbacks carry no text: {active:?}");
    let story = app.story(&qr.id, 2).await;
    assert_eq!((story[1].r#type.as_str(), story[1].evidence()), ("qr.activated", pb::Evidence::Signature));

    app.advance(minutes(3));
    let whole = app.qr_until(&qr.id, "the code's text", |qr| !qr.upi_link.is_empty()).await;
    assert_eq!((whole.state(), whole.revision), (pb::QrState::Active, 3));
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated", "qr.updated"]);
}

#[tokio::test]
async fn a_code_that_lists_do_not_show_yet_is_not_believed_absent() {
    let app = App::start().await;
    app.lose_callbacks();
    app.provider.set_list_lag(300);
    app.fault("qr.create", FaultKind::AnswerLost);
    let qr = create_in_doubt(&app, "one").await;

    for _ in 0..2 {
        app.advance_and_look(minutes(2), "qr.list").await;
        let still = app.get_qr(&qr.id).await;
        assert_eq!((still.state(), still.revision), (pb::QrState::Requested, 1));
    }
    app.advance(minutes(3));
    let found = app.qr_until(&qr.id, "the code to be found", |qr| qr.state() == pb::QrState::Active).await;
    assert_eq!(found.provider_ref, app.only_code());
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated"]);
    assert_eq!(app.asked("qr.create"), 1);
}

/// A creation that the provider never acted on is believed absent only when no request can travel any more and the lists
/// must have caught up: lease (60 s), timeout (1 s) and 15 minutes after it was written down.
async fn is_absent_in_the_end(fault: FaultKind) {
    let app = App::start_with(provider().await, |config| config.reconciler.lease_ms = 60_000).await;
    app.fault("qr.create", fault);
    let qr = create_in_doubt(&app, "one").await;

    for _ in 0..5 {
        app.advance_and_look(Duration::from_secs(150), "qr.list").await;
    }
    // More than 15 minutes have passed, and a look after them: not yet.
    app.advance_and_look(Duration::from_secs(180), "qr.list").await;
    assert_eq!(app.get_qr(&qr.id).await.state(), pb::QrState::Requested);

    app.advance(Duration::from_secs(150));
    let failed = app.qr_until(&qr.id, "the code to fail", |qr| qr.state() == pb::QrState::Failed).await;
    let failure = failed.failure.clone().expect("what failed says why");
    assert_eq!((failure.reason(), failed.in_doubt), (pb::FailureReason::AbsentAtProvider, false));
    let seconds = failed.update_time.expect("it was written").seconds - qr.create_time.expect("it was written").seconds;
    assert!(seconds >= 961, "it was believed absent after {seconds} seconds");
    let story = app.story(&qr.id, 2).await;
    assert_eq!((story[1].r#type.as_str(), story[1].evidence(), story[1].terminal), ("qr.failed", pb::Evidence::Enquiry, true));

    // The key stands for this resource, as it is now; it is not free for another try.
    let again = app.qrs().create_qr(order("one", 49_900)).await.expect("no refusal: nobody said no").into_inner();
    assert!(again.idempotency_replayed);
    assert_eq!(again.qr, Some(failed));
    assert_eq!((app.asked("qr.create"), app.codes().len()), (1, 0));
}

#[tokio::test]
async fn a_creation_that_never_arrived_fails_in_the_end_and_not_before() {
    is_absent_in_the_end(FaultKind::RequestLost).await;
}

#[tokio::test]
async fn a_creation_that_met_a_server_fault_fails_in_the_end_and_not_before() {
    is_absent_in_the_end(FaultKind::StatusBefore { status: 503 }).await;
}

#[tokio::test]
async fn a_list_that_was_read_long_ago_proves_no_absence() {
    let app = App::start().await;
    app.lose_callbacks();
    app.provider.set_list_lag(60);
    app.fault("qr.create", FaultKind::AnswerLost);
    let qr = create_in_doubt(&app, "one").await;
    app.fault("qr.list", FaultKind::Delay { ms: 700 });
    app.advance_until_asked(A_MOMENT, "qr.list").await;
    // Before the list is judged so much time passes that one read now could be believed.
    app.advance(minutes(40));
    app.advance_until_asked(minutes(5), "qr.list").await;
    app.qr_until(&qr.id, "the code to be found", |qr| qr.state() != pb::QrState::Requested).await;
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated"]);
}

#[tokio::test]
async fn while_the_provider_can_not_be_asked_nothing_is_concluded() {
    let app = App::start().await;
    app.lose_callbacks();
    app.fault("qr.create", FaultKind::AnswerLost);
    let qr = create_in_doubt(&app, "one").await;
    app.always("qr.list", FaultKind::StatusBefore { status: 500 });
    app.advance_and_look(minutes(20), "qr.list").await;
    app.advance_and_look(minutes(20), "qr.list").await;
    assert_eq!(app.get_qr(&qr.id).await.state(), pb::QrState::Requested);

    app.provider.clear_faults();
    app.lose_callbacks();
    app.advance(minutes(5));
    app.qr_until(&qr.id, "the code to be found", |qr| qr.state() == pb::QrState::Active).await;
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated"]);
}

#[tokio::test]
async fn a_throttled_creation_is_tried_again_within_the_deadline() {
    let app = App::start().await;
    for _ in 0..2 {
        app.fault("qr.create", FaultKind::TooManyRequests { retry_after: None });
    }
    let qr = app.create("one", 49_900).await;
    assert_eq!(qr.state(), pb::QrState::Active);
    assert_eq!((qr.provider_ref, app.asked("qr.create")), (app.only_code(), 3));
    let sent = app.references_sent();
    assert!(sent.iter().all(|reference| *reference == sent[0]), "{sent:?}");
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated"]);
}

/// The creation is answered with UNAVAILABLE, its record says that nothing was sent, and the key is free.
async fn is_not_sent(app: &App, key: &str) -> pb::Qr {
    let refused = app.qrs().create_qr(within(A_WHILE, order(key, 49_900))).await.expect_err("nothing was sent");
    let told = told(&refused);
    assert_eq!((told.code, told.reason.as_str(), told.outcome()), (Code::Unavailable, "PROVIDER_UNAVAILABLE", "NOT_SENT"));
    assert!(told.retry_after.is_some());
    let failed = app.list_qrs().await.remove(0);
    let reason = failed.failure.clone().expect("what failed says why").reason();
    assert_eq!((failed.state(), reason, failed.in_doubt), (pb::QrState::Failed, pb::FailureReason::NotSent, false));
    assert_eq!(app.names_of_qr(&failed.id).await, ["qr.requested", "qr.failed"]);
    failed
}

#[tokio::test]
async fn a_creation_that_is_throttled_for_ever_frees_its_key_and_keeps_its_reference() {
    let app = App::start_with(provider().await, hasty).await;
    app.always("qr.create", FaultKind::TooManyRequests { retry_after: Some(2) });
    let failed = is_not_sent(&app, "one").await;
    let tries = app.asked("qr.create");
    assert!(tries > 1, "it is tried again while there is time");

    app.provider.clear_faults();
    let qr = app.create("one", 49_900).await;
    assert_eq!((qr.state(), qr.provider_ref), (pb::QrState::Active, app.only_code()));
    assert_ne!(qr.id, failed.id, "the record of the first try stays as it is");
    assert_eq!(app.get_qr(&failed.id).await, failed);
    let sent = app.references_sent();
    assert_eq!(sent.len(), tries + 1);
    assert!(sent.iter().all(|reference| *reference == sent[0]), "a retry carries the same reference: {sent:?}");
}

#[tokio::test]
async fn a_free_key_takes_another_order() {
    let app = App::start_with(provider().await, hasty).await;
    app.always("qr.create", FaultKind::TooManyRequests { retry_after: None });
    is_not_sent(&app, "one").await;
    app.provider.clear_faults();
    let qr = app.create("one", 10_000).await;
    assert_eq!((qr.state(), qr.amount.map(|amount| amount.minor_units)), (pb::QrState::Active, Some(10_000)));
    assert_eq!(qr.provider_ref, app.only_code());
}

#[tokio::test]
async fn wrong_credentials_are_no_refusal_and_send_nothing() {
    let app = App::start_with(provider().await, |config| {
        hasty(config);
        razorpay(config).key_id = format!("{KEY_ID}_of_somebody_else");
    })
    .await;
    is_not_sent(&app, "one").await;
    assert!(app.codes().is_empty());
}

#[tokio::test]
async fn a_provider_that_is_down_gets_nothing_and_the_key_is_free_when_it_is_back() {
    let mut app = App::start_with(provider().await, hasty).await;
    let address = app.provider.address();
    app.provider.stop().await;
    let failed = is_not_sent(&app, "one").await;

    app.provider = provider_again(address).await;
    let qr = app.create("one", 49_900).await;
    assert_eq!((qr.state(), qr.provider_ref), (pb::QrState::Active, app.only_code()));
    assert_ne!(qr.id, failed.id);
    assert_eq!(app.references_sent().len(), 1);
}

/// Another provider where one was, which knows nothing of what the first one did.
async fn provider_again(address: std::net::SocketAddr) -> Sandbox {
    let listener = until("the address to be free", async || tokio::net::TcpListener::bind(address).await.ok()).await;
    crate::support::app::provider_on(listener).await
}

#[tokio::test]
async fn an_operator_says_that_it_happened_and_the_provider_confirms_it() {
    let app = App::start().await;
    app.lose_callbacks();
    app.provider.set_list_lag(1_000_000_000);
    app.fault("qr.create", FaultKind::AnswerLost);
    let qr = create_in_doubt(&app, "one").await;
    app.advance(A_MOMENT);
    let doubts = app.doubts().await;
    assert_eq!(doubts.len(), 1);
    assert_eq!((doubts[0].resource_id.as_str(), doubts[0].kind()), (qr.id.as_str(), pb::DoubtKind::OutcomeUnknown));
    assert_eq!(doubts[0].operation, "create_qr");

    // What the provider doesn't know is not taken on trust.
    let code = app.only_code();
    let refused = app.admin().resolve_doubt(happened("d1", &qr.id, "qr_00000000000000")).await.expect_err("there is no such code");
    let refused = told(&refused);
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::InvalidArgument, "INVALID_FIELDS", "NOT_SENT"));
    assert_eq!(refused.fields, ["happened.provider_ref"]);
    let unnamed = told(&app.admin().resolve_doubt(happened("d1", &qr.id, "")).await.expect_err("which one?"));
    assert_eq!(unnamed.fields, ["happened.provider_ref"]);
    assert_eq!(app.get_qr(&qr.id).await.revision, 1);

    let resolved = app.admin().resolve_doubt(happened("d1", &qr.id, &code)).await.expect("the provider has it").into_inner();
    assert!(!resolved.idempotency_replayed);
    let active = qr_of(resolved);
    assert_eq!((active.state(), active.provider_ref.as_str(), active.in_doubt), (pb::QrState::Active, code.as_str(), false));
    assert!(active.upi_link.starts_with("upi://pay?"), "what the provider shows is taken over");
    let story = app.story(&qr.id, 2).await;
    assert_eq!((story[1].r#type.as_str(), story[1].evidence()), ("qr.activated", pb::Evidence::Operator));
    assert_eq!(story[1].cause(), pb::Cause::Operator);
    assert!(app.doubts().await.is_empty());

    let again = app.admin().resolve_doubt(happened("d1", &qr.id, &code)).await.expect("it was decided").into_inner();
    assert!(again.idempotency_replayed);
    assert_eq!(qr_of(again), active);
    let late = app.admin().resolve_doubt(did_not_happen("d2", &qr.id)).await.expect_err("there is no doubt any more");
    assert_eq!((told(&late).code, told(&late).reason.as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
    let replayed = app.qrs().create_qr(order("one", 49_900)).await.unwrap().into_inner();
    assert_eq!((replayed.idempotency_replayed, replayed.qr), (true, Some(active)));
}

#[tokio::test]
async fn an_operator_can_not_name_the_code_of_another_request() {
    let app = App::start().await;
    let other = app.create("other", 49_900).await;
    app.lose_callbacks();
    app.provider.set_list_lag(1_000_000_000);
    app.fault("qr.create", FaultKind::RequestLost);
    let qr = create_in_doubt(&app, "one").await;
    app.advance(LEASE);
    let refused = app.admin().resolve_doubt(happened("d1", &qr.id, &other.provider_ref)).await.expect_err("that is another one");
    assert_eq!(told(&refused).fields, ["happened.provider_ref"]);
    assert_eq!(app.get_qr(&qr.id).await, qr);
    assert_eq!(app.get_qr(&other.id).await, other);
}

#[tokio::test]
async fn an_operator_does_not_decide_what_may_still_be_under_way() {
    let app = App::start().await;
    app.lose_callbacks();
    app.fault("qr.create", FaultKind::RequestLost);
    let qr = create_in_doubt(&app, "one").await;
    let early = told(&app.admin().resolve_doubt(did_not_happen("d1", &qr.id)).await.expect_err("its lease is not over"));
    assert_eq!((early.code, early.reason.as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
    assert_eq!(app.get_qr(&qr.id).await, qr);
}

#[tokio::test]
async fn an_operator_says_that_it_did_not_happen() {
    let app = App::start().await;
    app.lose_callbacks();
    app.provider.set_list_lag(1_000_000_000);
    app.fault("qr.create", FaultKind::RequestLost);
    let qr = create_in_doubt(&app, "one").await;
    app.advance(LEASE);

    let resolved = app.admin().resolve_doubt(did_not_happen("d1", &qr.id)).await.expect("an operator may say so").into_inner();
    let failed = qr_of(resolved);
    let reason = failed.failure.clone().expect("what failed says why").reason();
    assert_eq!((failed.state(), reason), (pb::QrState::Failed, pb::FailureReason::OperatorDecided));
    let story = app.story(&qr.id, 2).await;
    assert_eq!((story[1].r#type.as_str(), story[1].evidence()), ("qr.failed", pb::Evidence::Operator));

    let again = app.admin().resolve_doubt(did_not_happen("d1", &qr.id)).await.expect("it was decided").into_inner();
    assert!(again.idempotency_replayed);
    let other = app.admin().resolve_doubt(happened("d1", &qr.id, "qr_00000000000000")).await.expect_err("another decision");
    let other = told(&other);
    assert_eq!((other.reason.as_str(), other.metadata["differing_fields"].as_str()), ("IDEMPOTENCY_KEY_REUSED", "did_not_happen,happened"));
    let replayed = app.qrs().create_qr(order("one", 49_900)).await.unwrap().into_inner();
    assert_eq!((replayed.idempotency_replayed, replayed.qr), (true, Some(failed)));
}

#[tokio::test]
async fn an_operator_needs_a_note_and_the_revision_that_he_saw() {
    let app = App::start().await;
    app.lose_callbacks();
    app.provider.set_list_lag(1_000_000_000);
    app.fault("qr.create", FaultKind::RequestLost);
    let qr = create_in_doubt(&app, "one").await;
    app.advance(LEASE);
    let mute = pb::ResolveDoubtRequest { note: "  ".to_owned(), ..did_not_happen("d1", &qr.id) };
    assert_eq!(told(&app.admin().resolve_doubt(mute).await.expect_err("a note is needed")).fields, ["note"]);
    let stale = pb::ResolveDoubtRequest { expected_revision: Some(2), ..did_not_happen("d1", &qr.id) };
    let stale = told(&app.admin().resolve_doubt(stale).await.expect_err("it is at its first revision"));
    assert_eq!((stale.code, stale.reason.as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
    assert_eq!(app.get_qr(&qr.id).await, qr);
    let exact = pb::ResolveDoubtRequest { expected_revision: Some(1), ..did_not_happen("d1", &qr.id) };
    assert_eq!(qr_of(app.admin().resolve_doubt(exact).await.unwrap().into_inner()).revision, 2);
}

#[tokio::test]
async fn an_operator_decides_about_a_close() {
    for happened_there in [true, false] {
        let app = App::start().await;
        let qr = app.create("one", 49_900).await;
        app.lose_callbacks();
        app.fault("qr.close", if happened_there { FaultKind::AnswerLost } else { FaultKind::RequestLost });
        let closing = app.qrs().close_qr(close_order("c", &qr.id)).await.unwrap().into_inner().qr.unwrap();
        assert!(closing.pending_change.is_some() && closing.in_doubt, "{closing:?}");
        assert!(app.doubts().await.is_empty(), "its request may still be under way");
        // The reconciler learns nothing: it asks for the payments first.
        app.always("qr.payments", FaultKind::StatusBefore { status: 500 });
        app.advance(LEASE);
        let doubts = app.doubts().await;
        assert_eq!((doubts[0].kind(), doubts[0].operation.as_str()), (pb::DoubtKind::ChangeUnknown, "close_qr"));

        let decision = if happened_there { happened("d", &qr.id, &qr.provider_ref) } else { did_not_happen("d", &qr.id) };
        let decided = qr_of(app.admin().resolve_doubt(decision).await.expect("an operator may say so").into_inner());
        let state = if happened_there { pb::QrState::Closed } else { pb::QrState::Active };
        assert_eq!((decided.state(), decided.pending_change), (state, None));
        assert_eq!(app.story(&qr.id, decided.revision).await.last().unwrap().evidence(), pb::Evidence::Operator);
        assert!(app.doubts().await.is_empty());
    }
}

#[tokio::test]
async fn another_amount_at_the_provider_is_kept_as_a_contradiction_until_an_operator_resolves_it() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.callbacks_delivered(1).await;
    let entity = with(&app.codes()[0], "payment_amount", 1.into());
    let body = callback("qr_code.created", serde_json::json!({"qr_code": {"entity": entity}}), now(&app));
    assert_eq!(app.post_signed(&body).await, 200);

    let doubted = app.get_qr(&qr.id).await;
    assert_eq!((doubted.state(), doubted.revision, &doubted.amount), (pb::QrState::Active, 3, &qr.amount));
    assert_eq!(doubted.contradictions.len(), 1);
    assert_eq!((doubted.contradictions[0].fact.as_str(), doubted.contradictions[0].evidence()), ("seen_active", pb::Evidence::Signature));
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated", "qr.contradicted"]);
    // Repeated, it is known.
    assert_eq!(app.post_signed(&body).await, 200);
    assert_eq!(app.get_qr(&qr.id).await, doubted);
    let doubts = app.doubts().await;
    assert_eq!((doubts.len(), doubts[0].kind(), doubts[0].operation.as_str()), (1, pb::DoubtKind::Contradiction, ""));

    let stale = pb::ResolveDoubtRequest { expected_revision: Some(2), ..did_not_happen("d", &qr.id) };
    assert_eq!(told(&app.admin().resolve_doubt(stale).await.expect_err("it moved since")).reason, "STATE_FORBIDS");
    let decision = pb::ResolveDoubtRequest { expected_revision: Some(3), ..did_not_happen("d", &qr.id) };
    let resolved = qr_of(app.admin().resolve_doubt(decision).await.expect("the record is right").into_inner());
    assert_eq!((resolved.state(), resolved.revision, resolved.contradictions.len()), (pb::QrState::Active, 4, 0));
    let story = app.story(&qr.id, 4).await;
    assert_eq!((story[3].r#type.as_str(), story[3].evidence()), ("qr.updated", pb::Evidence::Operator));
    assert!(app.doubts().await.is_empty());
}

#[tokio::test]
async fn a_code_that_the_provider_shows_as_active_after_its_close_is_a_contradiction() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    let closed = with(&with(&app.codes()[0], "status", "closed".into()), "closed_at", now(&app).into());
    let body = callback("qr_code.closed", serde_json::json!({"qr_code": {"entity": closed}}), now(&app));
    assert_eq!(app.post_signed(&body).await, 200);
    assert_eq!(app.get_qr(&qr.id).await.state(), pb::QrState::Closed);

    app.advance(minutes(10));
    let doubted = app.qr_until(&qr.id, "the contradiction", |qr| !qr.contradictions.is_empty()).await;
    assert_eq!((doubted.state(), doubted.contradictions[0].evidence()), (pb::QrState::Closed, pb::Evidence::Enquiry));
    assert_eq!(app.names_of_qr(&qr.id).await, ["qr.requested", "qr.activated", "qr.closed", "qr.contradicted"]);
    assert_eq!(app.doubts().await.len(), 1);
}

#[tokio::test]
async fn a_callback_about_a_payment_that_does_not_fit_is_checked_with_the_provider_and_not_believed() {
    let app = App::start().await;
    let qr = app.create("one", 49_900).await;
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    let payment = app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    app.callbacks_delivered(4).await;
    let paid = app.provider.payments(ACCOUNT).unwrap().remove(0);
    let known = app.get_payment(&payment.id).await;
    let before = app.asked("payment.fetch");
    for (field, value) in [("amount", serde_json::json!(1)), ("status", "failed".into())] {
        let entity = with(&paid, field, value);
        let body = callback("payment.captured", serde_json::json!({"payment": {"entity": entity}}), now(&app));
        assert_eq!(app.post_signed(&body).await, 200);
    }
    app.asked_again("payment.fetch", before).await;
    let after = app.get_payment(&payment.id).await;
    assert_eq!((after.state(), &after.amount, after.contradictions.len()), (known.state(), &known.amount, 0));
    let names = app.names_of_payment(&payment.id).await;
    assert!(!names.iter().any(|name| name == "payment.contradicted" || name == "payment.failed"), "{names:?}");
}

fn decision(key: &str, id: &str, decision: pb::resolve_doubt_request::Decision) -> pb::ResolveDoubtRequest {
    pb::ResolveDoubtRequest {
        idempotency_key: key.to_owned(),
        id: id.to_owned(),
        note: "seen in the provider's dashboard".to_owned(),
        expected_revision: None,
        decision: Some(decision),
    }
}

fn happened(key: &str, id: &str, provider_ref: &str) -> pb::ResolveDoubtRequest {
    let happened = pb::Happened { provider_ref: provider_ref.to_owned() };
    decision(key, id, pb::resolve_doubt_request::Decision::Happened(happened))
}

fn did_not_happen(key: &str, id: &str) -> pb::ResolveDoubtRequest {
    decision(key, id, pb::resolve_doubt_request::Decision::DidNotHappen(pb::DidNotHappen {}))
}

fn qr_of(answer: pb::ResolveDoubtResponse) -> pb::Qr {
    match answer.resource {
        Some(pb::resolve_doubt_response::Resource::Qr(qr)) => qr,
        other => panic!("the answer is about something else: {other:?}"),
    }
}

/// The provider's entity with one field as it never said.
fn with(entity: &serde_json::Value, field: &str, value: serde_json::Value) -> serde_json::Value {
    let mut entity = entity.clone();
    entity[field] = value;
    entity
}

fn now(app: &App) -> i64 {
    app.provider.now().as_second()
}
