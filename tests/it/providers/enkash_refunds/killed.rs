//! The service is killed in the middle of refunds, at a provider that would refund as often as it is asked.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use upistream::grpc::pb;
use upistream::sandbox::{FaultKind, Switches};

use super::super::shop::{At, PAISE, Shop, account};
use super::A_DAY_AND_MORE;
use crate::refund::refund_order;
use crate::support::app::{App, until, within};
use crate::support::replica::Replica;
use crate::support::rounds;

/// Rounds of an ordinary run: a tenth of what is run by hand.
const ROUNDS: u32 = 8;

/// How often the provider was asked to refund this payment.
fn sent(app: &App, payment: &pb::Payment) -> usize {
    let asked = app.provider.seen();
    asked.iter().filter(|asked| asked.operation == "refund.create" && asked.path.contains(&payment.provider_ref)).count()
}

/// How many refunds of this payment the provider has.
fn made(app: &App, payment: &pb::Payment) -> usize {
    let refunds = app.provider.refunds("enkash").expect("the provider has refunds");
    refunds.iter().filter(|refund| refund["transactionId"] == payment.provider_ref).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_or_killed_nothing_is_sent_twice() {
    let (seed, rounds) = (rounds::seed(), rounds::of(ROUNDS));
    println!("{rounds} rounds, UPISTREAM_SEED={seed}");
    let mut dice = rounds::dice(seed);
    let shop = Shop::open(At::Enkash).await;
    let mut payments = Vec::new();
    for round in 0..rounds {
        payments.push(shop.paid(&format!("round-{round}")).await);
    }
    let (folder, clock, provider) = shop.app.halt().await;
    let mut switches = Switches::default();
    switches.enkash.request_ids_ignored = true;
    provider.switches(switches);
    let start = async || {
        let there = account(At::Enkash, &provider);
        Replica::start_at(Arc::clone(&folder), Arc::clone(&clock), provider.clone(), |config| config.accounts.extend(there)).await
    };

    let mut replica = start().await;
    let mut refunds = Vec::new();
    for (round, payment) in payments.iter().enumerate() {
        let lost = [
            FaultKind::AnswerLost,
            FaultKind::StatusAfter { status: 500 },
            FaultKind::StatusBefore { status: 502 },
            FaultKind::Stall,
            FaultKind::Garbage,
            FaultKind::RequestLost,
            FaultKind::Delay { ms: 30 },
        ];
        replica.app().fault("refund.create", lost[dice.random_range(0..lost.len())].clone());
        let amount = if dice.random_bool(0.5) { PAISE } else { dice.random_range(100..PAISE) };
        let request = refund_order(&format!("back-{round}"), payment, amount);
        let mut client = replica.app().refunds();
        let asking = tokio::spawn({
            let request = within(Duration::from_secs(2), request.clone());
            async move { client.create_refund(request).await }
        });
        // Killed somewhere between the request and its answer.
        tokio::time::sleep(Duration::from_micros(dice.random_range(0..40_000))).await;
        replica.kill().await;
        let _ = asking.await;
        replica = start().await;
        // The caller repeats with the same key, as he is told.
        let repeated = until("an answer", async || {
            let request = within(Duration::from_secs(2), request.clone());
            replica.app().refunds().create_refund(request).await.ok()?.into_inner().refund
        });
        refunds.push(repeated.await);
        replica.app().provider.clear_faults();
    }

    let app = replica.app();
    // The newest first, as doubts are listed: each that is decided makes room for the next.
    for (payment, refund) in payments.iter().zip(&refunds).rev() {
        let there = made(app, payment);
        assert!(sent(app, payment) <= 1 && there <= 1, "{refund:?}");
        if there == 1 {
            until("the refund to be found", async || {
                app.advance(Duration::from_secs(600));
                (app.get_refund(&refund.id).await.state() == pb::RefundState::Succeeded).then_some(())
            })
            .await;
            continue;
        }
        // Nothing shows, however long it is looked at, and an operator looks at what is listed.
        app.advance(A_DAY_AND_MORE);
        let request = pb::ListDoubtsRequest { account: "enkash".to_owned(), ..Default::default() };
        let doubts = app.admin().list_doubts(request).await.expect("doubts are listed").into_inner().doubts;
        assert!(doubts.iter().any(|doubt| doubt.resource_id == refund.id), "{refund:?} is not in {doubts:?}");
        assert_eq!(app.get_refund(&refund.id).await.state(), pb::RefundState::Requested);
        let request = pb::ResolveDoubtRequest {
            idempotency_key: format!("decide-{}", refund.id),
            id: refund.id.clone(),
            note: "the dashboard has none".to_owned(),
            decision: Some(pb::resolve_doubt_request::Decision::DidNotHappen(pb::DidNotHappen {})),
            expected_revision: None,
        };
        // Looked for once more before that; where the machine is busy the provider is left alone for a while, and the operator
        // repeats with the same key, as he is told.
        until("the decision", async || match app.admin().resolve_doubt(request.clone()).await {
            Ok(_) => Some(()),
            Err(status) if status.code() == tonic::Code::Unavailable => None,
            Err(status) => panic!("{status:?}"),
        })
        .await;
    }
    app.advance(A_DAY_AND_MORE);
    for (payment, refund) in payments.iter().zip(&refunds) {
        assert!(sent(app, payment) <= 1 && made(app, payment) <= 1);
        let expected = if made(app, payment) == 1 { pb::RefundState::Succeeded } else { pb::RefundState::Failed };
        assert_eq!(app.get_refund(&refund.id).await.state(), expected);
    }
}
