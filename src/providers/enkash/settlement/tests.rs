//! Settlement payouts, by the fields that are documented.

use serde_json::{Value, json};

use super::super::tests::{TOKEN, answer, at, changed, failure};
use super::*;
use crate::domain::money::Money;
use crate::providers::scripted::{Reply, Server};

const PAYOUT: &str = include_str!("../../../../tests/golden/enkash/settlement_payout.json");

fn payout(changes: Value) -> Value {
    let document: Value = serde_json::from_str(&changed(PAYOUT, changes)).expect("it is JSON");
    document["payload"].clone()
}

fn read_with(changes: Value) -> Result<SettlementSnapshot, Unreadable> {
    to_snapshot(payout(changes).to_string().as_bytes())
}

fn documented() -> SettlementSnapshot {
    SettlementSnapshot {
        provider_ref: "SP1".to_owned(),
        amount: Money::from_paise(36_722),
        fee: Money::from_paise(1_178),
        tax: Money::from_paise(180),
        utr: None,
        status: SettlementStatus::Created,
        settle_time: None,
    }
}

#[test]
fn the_documented_payout_is_read_field_by_field() {
    assert_eq!(read_with(json!({})), Ok(documented()));
    let as_texts = json!({"totalCharges": "9.98", "totalGst": "1.8", "totalSettlementAmount": "367.22"});
    assert_eq!(read_with(as_texts), Ok(documented()));
    assert_eq!(read_with(json!({"totalSaleAmount": null, "adjustmentAmount": "odd", "news": []})), Ok(documented()));
    for (word, status) in [
        (json!("SUCCESS"), SettlementStatus::Processed),
        (json!("FAILED"), SettlementStatus::Failed),
        (json!("PROCESSED"), SettlementStatus::Undecided),
        (json!(null), SettlementStatus::Undecided),
    ] {
        assert_eq!(read_with(json!({"payoutStatus": word})), Ok(SettlementSnapshot { status, ..documented() }));
    }
}

#[test]
fn what_is_near_money_is_read_exactly_or_not_at_all() {
    for changes in [
        json!({"totalSettlementAmount": null}),
        json!({"totalSettlementAmount": 367.225}),
        json!({"totalCharges": null}),
        json!({"totalCharges": "ten"}),
        json!({"totalGst": null}),
        json!({"totalGst": [1]}),
        json!({"settlementPayoutId": null}),
        json!({"settlementPayoutId": "SP/1"}),
    ] {
        assert!(read_with(changes.clone()).is_err(), "{changes}");
    }
}

async fn listed(payload: Value) -> Result<PageOf<SettlementSnapshot>, AskError> {
    let server = Server::start(vec![answer(TOKEN), answer(json!({"response_code": 0, "payload": payload}))]).await;
    let listing = at(&server).settlements.expect("EnKash tells its settlements").listing;
    let page = listing.settlements(Timestamp::UNIX_EPOCH, 100).await;
    let asked = &server.heard()[1];
    assert_eq!(asked.line, "POST /api/v0/settlement-payout/search?offset=100&limit=100&direction=DESC");
    assert_eq!(asked.body, "{}");
    page
}

#[tokio::test]
async fn the_list_is_found_where_there_is_one_only() {
    let one = || payout(json!({}));
    let page = PageOf { items: vec![documented()], read: 1, unreadable: Vec::new(), more: false };
    for payload in [json!([one()]), json!({"content": [one()], "total": 1}), json!({"a": {"b": []}, "content": [one()], "c": null})] {
        assert_eq!(listed(payload.clone()).await.ok(), Some(page.clone()), "{payload}");
    }
    assert_eq!(listed(json!([])).await.ok(), Some(PageOf { items: Vec::new(), read: 0, unreadable: Vec::new(), more: false }));
    let full: Vec<_> = (0..100).map(|index| payout(json!({"settlementPayoutId": format!("SP{index}")}))).collect();
    let full = listed(json!(full)).await.expect("it is answered");
    assert_eq!((full.items.len(), full.read, full.more), (100, 100, true));

    for payload in [json!({}), json!("text"), json!({"content": [one()], "others": []}), json!({"content": {"items": [one()]}})] {
        assert!(matches!(listed(payload.clone()).await, Err(AskError::Unanswered(_))), "{payload}");
    }
    // One that can't be read hides none of the others.
    for odd in [payout(json!({"totalGst": null})), json!(null), json!([])] {
        let page = listed(json!([one(), odd])).await.expect("it is answered");
        assert_eq!((page.items.len(), page.unreadable.len(), page.read), (1, 1, 2));
    }
}

#[tokio::test]
async fn a_payout_is_fetched_by_its_id() {
    let fetch = async |reply: Reply, id: &str| {
        let server = Server::start(vec![answer(TOKEN), reply]).await;
        let fetched = at(&server).settlements.expect("EnKash tells its settlements").listing.fetch(id).await;
        assert_eq!(server.lines()[1], format!("GET /api/v0/settlement-payout/{id}"));
        fetched
    };
    assert_eq!(fetch(answer(PAYOUT), "SP1").await.ok(), Some(documented()));
    for (reply, id) in [(answer(PAYOUT), "SP2"), (answer(failure(404)), "SP1"), (Reply::Answer(500, String::new()), "SP1")] {
        assert!(matches!(fetch(reply, id).await, Err(AskError::Unanswered(_))));
    }
}
