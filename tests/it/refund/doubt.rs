//! What became of a refund is not known: it is looked for by its reference, and sent again only as the very same request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use upistream::clock::TestClock;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, Switches};

use super::refund_order;
use crate::support::app::{ACCOUNT, App, minutes, until};
use crate::support::replica::Replica;
use crate::support::rounds;

const A_MOMENT: Duration = Duration::from_secs(5);

/// One refund for one key, whatever became of the first answer.
async fn is_made_once(fault: FaultKind) {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.lose_callbacks();
    app.fault("refund.create", fault.clone());
    let made = app.create_refund(refund_order("back", &payment, 12_000)).await.expect("doubt is no error").refund.unwrap();
    assert_eq!((made.state(), made.in_doubt), (pb::RefundState::Requested, true), "{fault:?}");
    assert_eq!(app.refunded(&payment).await, (0, 12_000), "its amount stays reserved");
    app.advance(A_MOMENT);
    until("the refund to be found", async || Some(app.get_refund(&made.id).await).filter(|refund| !refund.in_doubt)).await;
    app.advance(minutes(5));
    app.refund_until(&made.id, pb::RefundState::Succeeded).await;
    assert_eq!(app.refunds_at_provider().len(), 1, "{fault:?}");
    assert_eq!(app.refunded(&payment).await, (12_000, 0));
    let again = app.create_refund(refund_order("back", &payment, 12_000)).await.unwrap();
    assert!(again.idempotency_replayed && again.refund.unwrap().id == made.id);
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_made_once() {
    is_made_once(FaultKind::AnswerLost).await;
    is_made_once(FaultKind::Stall).await;
    is_made_once(FaultKind::Garbage).await;
    is_made_once(FaultKind::StatusAfter { status: 500 }).await;
    is_made_once(FaultKind::StatusAfter { status: 502 }).await;
}

#[tokio::test]
async fn a_refund_that_did_not_arrive_is_sent_again_as_it_was() {
    is_made_once(FaultKind::RequestLost).await;
    is_made_once(FaultKind::StatusBefore { status: 500 }).await;
    is_made_once(FaultKind::ActLate { ms: 1_300 }).await;
}

#[tokio::test]
async fn a_refund_that_the_list_does_not_show_yet_is_sent_again_and_made_once() {
    let app = App::start().await;
    // The list lags and the provider takes the repetition for a duplicate: adopted as soon as it shows.
    app.provider.switches(Switches { receipt_wins: true, ..app.provider.current_switches() });
    let payment = app.paid("one", 45_000).await;
    app.lose_callbacks();
    app.provider.set_list_lag(120);
    app.fault("refund.create", FaultKind::AnswerLost);
    let made = app.create_refund(refund_order("back", &payment, 12_000)).await.unwrap().refund.unwrap();
    app.advance_until_asked(A_MOMENT, "refund.create").await;
    assert_eq!(app.get_refund(&made.id).await.state(), pb::RefundState::Requested);
    app.advance(minutes(4));
    until("the refund to be found", async || Some(app.get_refund(&made.id).await).filter(|refund| !refund.in_doubt)).await;
    assert_eq!(app.refunds_at_provider().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_made_up_for_by_the_callback() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.fault("refund.create", FaultKind::AnswerLost);
    let made = app.create_refund(refund_order("back", &payment, 12_000)).await.unwrap().refund.unwrap();
    // The clock stands still for the reconciler: only the callback can have told.
    until("the refund to be known", async || Some(app.get_refund(&made.id).await).filter(|refund| !refund.in_doubt)).await;
    assert_eq!(app.refunds_of(&payment).await.len(), 1, "it is not taken for the provider's own");
}

#[tokio::test]
async fn what_the_provider_never_had_is_given_up_only_when_that_is_certain() {
    let app = App::start().await;
    let payment = app.paid("one", 45_000).await;
    app.lose_callbacks();
    app.always("refund.create", FaultKind::StatusBefore { status: 500 });
    let made = app.create_refund(refund_order("back", &payment, 12_000)).await.unwrap().refund.unwrap();
    // It is sent again while that is safe, and stays open while nothing proves that it was not made.
    app.advance_until_asked(A_MOMENT, "refund.create").await;
    for _ in 0..4 {
        app.advance_and_look(minutes(6), "payment.refunds").await;
        assert_eq!(app.get_refund(&made.id).await.state(), pb::RefundState::Requested);
    }
    let failed = until("the refund to be given up", async || {
        app.advance(minutes(2));
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some(app.get_refund(&made.id).await).filter(|refund| refund.state() == pb::RefundState::Failed)
    })
    .await;
    assert_eq!(failed.failure.unwrap().reason(), pb::FailureReason::AbsentAtProvider);
    assert_eq!(app.refunded(&payment).await, (0, 0));
    let sent = app.asked("refund.create");
    app.advance(minutes(30));
    assert_eq!(app.asked("refund.create"), sent, "what is given up is not sent");
}

/// Rounds of an ordinary run: a tenth of what is run by hand.
const ROUNDS: u32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_or_killed_each_key_makes_one_refund() {
    let (seed, rounds) = (rounds::seed(), rounds::of(ROUNDS));
    println!("{rounds} rounds, UPISTREAM_SEED={seed}");
    let mut dice = rounds::dice(seed);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let clock = Arc::new(TestClock::default());
    let provider = crate::support::app::provider().await;
    let mut replica = Replica::start_at(Arc::clone(&folder), Arc::clone(&clock), provider.clone(), |_| ()).await;
    let mut refunds: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..rounds {
        let app = replica.app();
        let payment = app.paid(&format!("round-{round}"), 10_000).await;
        let lost = [
            FaultKind::AnswerLost,
            FaultKind::StatusAfter { status: 500 },
            FaultKind::StatusAfter { status: 502 },
            FaultKind::Stall,
            FaultKind::Garbage,
            FaultKind::RequestLost,
            FaultKind::Delay { ms: 30 },
        ];
        app.fault("refund.create", lost[dice.random_range(0..lost.len())].clone());
        let key = format!("back-{round}");
        let request = refund_order(&key, &payment, dice.random_range(100..=10_000));
        let mut client = app.refunds();
        let asking = tokio::spawn({
            let request = request.clone();
            async move { client.create_refund(request).await }
        });
        // Killed somewhere between the request and its answer.
        tokio::time::sleep(Duration::from_micros(dice.random_range(0..40_000))).await;
        replica.kill().await;
        let _ = asking.await;
        replica = Replica::start_at(Arc::clone(&folder), Arc::clone(&clock), provider.clone(), |_| ()).await;
        let app = replica.app();
        // The caller repeats with the same key, as he is told.
        let refund = until("an answer", async || app.create_refund(request.clone()).await.ok()?.refund).await;
        refunds.insert(key, refund.id);
    }
    let app = replica.app();
    for id in refunds.values() {
        until("the refund to be made", async || {
            app.advance(A_MOMENT);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some(app.get_refund(id).await).filter(|refund| refund.state() == pb::RefundState::Succeeded)
        })
        .await;
    }
    let theirs = provider.refunds(ACCOUNT).unwrap();
    assert_eq!(theirs.len(), refunds.len(), "one refund at the provider for each key, none lost");
    let mut receipts: Vec<_> = theirs.iter().map(|refund| refund["receipt"].as_str().unwrap()).collect();
    receipts.sort_unstable();
    receipts.dedup();
    assert_eq!(receipts.len(), refunds.len());
}
