//! The service is killed in the middle of debits, at a provider that debits as often as it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use serde_json::Value;
use upistream::grpc::pb;
use upistream::sandbox::FaultKind;

use super::super::shop::{At, account};
use super::{A_DAY_AND_MORE, approved, bodies, open, order_without_day, settled, spoken, words};
use crate::mandate::{debit_order, execute_order};
use crate::support::app::{App, check_revisions, until, within};
use crate::support::replica::Replica;
use crate::support::rounds;

/// Rounds of an ordinary run: a tenth of what is run by hand.
const ROUNDS: u32 = 8;

/// How often EnKash was asked to debit this mandate.
fn sent(app: &App, mandate: &pb::Mandate) -> usize {
    bodies(app, "mandate.execute").iter().filter(|body| body["mandate_id"].as_str() == Some(mandate.provider_ref.as_str())).count()
}

/// The orders that debits made at EnKash, by their sums in paise: each round has its own.
fn made(app: &App) -> BTreeMap<i64, Vec<String>> {
    let paise = |amount: &Value| (amount.as_f64().expect("an amount") * 100.0).round() as i64;
    let mut made: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for order in app.provider.qr_codes(At::Enkash.account()).expect("the sandbox knows the account") {
        let id = order["orderId"].as_str().expect("an order has an id").to_owned();
        made.entry(paise(&order["amount"])).or_default().push(id);
    }
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_or_killed_nothing_is_executed_twice() {
    let (seed, rounds) = (rounds::seed(), rounds::of(ROUNDS));
    println!("{rounds} rounds, UPISTREAM_SEED={seed}");
    let mut dice = rounds::dice(seed);
    let shop = open().await;
    let mut mandates = Vec::new();
    for round in 0..rounds {
        let key = format!("mandate-{round}");
        mandates.push(approved(&shop.app, order_without_day(&shop.app, &key, pb::MandateFrequency::Daily)).await);
    }
    let (folder, clock, provider) = shop.app.halt().await;
    let start = async || {
        let there = account(At::Enkash, &provider);
        let change = |config: &mut upistream::config::Config| {
            config.accounts.extend(there);
            spoken(config, &words());
        };
        Replica::start_at(Arc::clone(&folder), Arc::clone(&clock), provider.clone(), change).await
    };

    let mut replica = start().await;
    let mut debits = Vec::new();
    for (round, mandate) in mandates.iter().enumerate() {
        let lost = [
            FaultKind::AnswerLost,
            FaultKind::StatusAfter { status: 500 },
            FaultKind::StatusAfter { status: 400 },
            FaultKind::StatusBefore { status: 502 },
            FaultKind::Stall,
            FaultKind::Garbage,
            FaultKind::RequestLost,
            FaultKind::Delay { ms: 30 },
        ];
        replica.app().fault("mandate.execute", lost[dice.random_range(0..lost.len())].clone());
        let by_hand = dice.random_bool(0.5);
        let paise = 10_000 + i64::try_from(round).expect("few rounds") * 100;
        let wish = pb::CreateDebitRequest { auto_execute: Some(!by_hand), ..debit_order(&format!("debit-{round}"), mandate, paise) };
        let mut client = replica.app().mandates();
        let execute = format!("now-{round}");
        let asking = tokio::spawn({
            let (wish, execute) = (within(Duration::from_secs(2), wish.clone()), execute.clone());
            async move {
                let debit = client.create_debit(wish).await.ok()?.into_inner().debit?;
                let now = within(Duration::from_secs(2), execute_order(&execute, &debit));
                if by_hand { client.execute_debit(now).await.ok().map(|_| ()) } else { Some(()) }
            }
        });
        // Killed somewhere between the request and its answer.
        tokio::time::sleep(Duration::from_micros(dice.random_range(0..60_000))).await;
        replica.kill().await;
        let _ = asking.await;
        replica = start().await;
        // The caller repeats with the same keys, as he is told.
        let app = replica.app();
        let debit = until("the debit", async || {
            let wish = within(Duration::from_secs(2), wish.clone());
            app.mandates().create_debit(wish).await.ok()?.into_inner().debit
        })
        .await;
        if by_hand {
            until("an answer", async || {
                let now = within(Duration::from_secs(2), execute_order(&execute, &debit));
                app.mandates().execute_debit(now).await.ok()
            })
            .await;
        }
        app.debit_when(&debit.id, "its attempt", |debit| !debit.attempts.is_empty()).await;
        debits.push((paise, debit));
        app.provider.clear_faults();
    }

    let app = replica.app();
    app.advance(Duration::from_secs(120));
    settled(app).await;
    let made_once = made(app);
    for (mandate, (paise, debit)) in mandates.iter().zip(&debits) {
        let (sent, made) = (sent(app, mandate), made_once.get(paise).map_or(0, Vec::len));
        assert!(sent <= 1 && made <= sent, "{sent} sent, {made} made: {debit:?}");
        let now = app.get_debit(&debit.id).await;
        if !now.in_doubt {
            continue;
        }
        let request = pb::ListDoubtsRequest { account: "enkash".to_owned(), ..Default::default() };
        let doubts = app.admin().list_doubts(request).await.expect("doubts are listed").into_inner().doubts;
        assert!(doubts.iter().any(|doubt| doubt.resource_id == debit.id), "{debit:?} is not in {doubts:?}");
    }
    // However long nobody decides.
    for _ in 0..3 {
        app.advance(A_DAY_AND_MORE);
        settled(app).await;
    }
    assert_eq!(made(app), made_once);
    for (mandate, (paise, debit)) in mandates.iter().zip(&debits) {
        assert!(sent(app, mandate) <= 1);
        let now = app.get_debit(&debit.id).await;
        if !now.in_doubt {
            continue;
        }
        let decision = match made_once.get(paise) {
            Some(orders) => pb::resolve_doubt_request::Decision::Happened(pb::Happened { provider_ref: orders[0].clone() }),
            None => pb::resolve_doubt_request::Decision::DidNotHappen(pb::DidNotHappen {}),
        };
        let request = pb::ResolveDoubtRequest {
            idempotency_key: format!("decide-{}", debit.id),
            id: debit.id.clone(),
            note: "looked at the dashboard".to_owned(),
            decision: Some(decision),
            expected_revision: None,
        };
        app.admin().resolve_doubt(request).await.expect("it is decided");
    }
    for _ in 0..2 {
        app.advance(A_DAY_AND_MORE);
        settled(app).await;
    }
    for (mandate, (paise, debit)) in mandates.iter().zip(&debits) {
        let made = made_once.contains_key(paise);
        // Its day has gone by: no other attempt was possible any more.
        let expected = if made { pb::DebitState::Succeeded } else { pb::DebitState::Failed };
        app.debit_until(&debit.id, expected).await;
        assert_eq!(app.get_mandate(&mandate.id).await.debit_count, i64::from(made));
        assert!(sent(app, mandate) <= 1);
    }
    assert_eq!(made(app), made_once);
    check_revisions(&app.log().await);
}
