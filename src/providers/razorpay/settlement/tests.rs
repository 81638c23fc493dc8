//! The documents of Razorpay's about settlements, field by field, and its lists page by page.

use serde_json::{Value, json};

use super::super::tests::{changed, page, provider_at};
use super::*;
use crate::providers::Settlements;
use crate::providers::scripted::{Reply, Server};

const SETTLEMENT: &str = include_str!("../../../../tests/golden/razorpay/settlement.json");
const RECON: &str = include_str!("../../../../tests/golden/razorpay/recon.json");

fn at(seconds: i64) -> Option<Timestamp> {
    Some(time(seconds).expect("a time of our days"))
}

fn read_with(changes: Value) -> Result<SettlementSnapshot, Unreadable> {
    to_snapshot(wire::read("settlement", changed(SETTLEMENT, changes).to_string().as_bytes())?)
}

fn documented() -> SettlementSnapshot {
    SettlementSnapshot {
        provider_ref: "setl_Pz9fS4jE2uW0Mx".to_owned(),
        amount: Money::from_paise(31_938),
        fee: Money::ZERO,
        tax: Money::ZERO,
        utr: Some("EXMPN26003000123".to_owned()),
        status: SettlementStatus::Processed,
        settle_time: at(1_767_412_800),
    }
}

#[test]
fn the_documented_settlement_is_read_field_by_field() {
    assert_eq!(read_with(json!({})), Ok(documented()));
    assert_eq!(read_with(json!({"entity": null, "news": [1.5]})), Ok(documented()));
    assert_eq!(
        read_with(json!({"utr": null, "created_at": null})),
        Ok(SettlementSnapshot { utr: None, settle_time: None, ..documented() })
    );
    for (word, status) in [
        ("created", SettlementStatus::Created),
        ("processed", SettlementStatus::Processed),
        ("failed", SettlementStatus::Failed),
        ("on_hold", SettlementStatus::Undecided),
    ] {
        assert_eq!(read_with(json!({"status": word})), Ok(SettlementSnapshot { status, ..documented() }));
    }
}

#[test]
fn what_is_near_money_is_read_exactly_or_not_at_all() {
    for changes in [
        json!({"amount": 319.38}),
        json!({"amount": "31938"}),
        json!({"amount": null}),
        json!({"fees": null}),
        json!({"fees": 0.5}),
        json!({"tax": "0"}),
        json!({"status": null}),
        json!({"id": null}),
        json!({"id": "setl/1"}),
        json!({"entity": "refund"}),
        json!({"created_at": "yesterday"}),
    ] {
        assert!(read_with(changes.clone()).is_err(), "{changes}");
    }
}

/// The documented lines: a payment, its refund, a transfer, an adjustment.
fn items() -> Vec<Value> {
    let recon: Value = serde_json::from_str(RECON).expect("the golden document is JSON");
    recon["items"].as_array().expect("it has items").clone()
}

/// What is read of the documented line about a payment, with `changes` made to it.
fn line_with(changes: Value) -> Result<Option<SettlementLine>, Unreadable> {
    to_line(wire::read("line", changed(&items()[0].to_string(), changes).to_string().as_bytes())?)
}

fn documented_line() -> SettlementLine {
    SettlementLine {
        kind: EntryKind::Payment,
        entity_ref: "pay_Pz4kQ1xV7mT2Ld".to_owned(),
        payment_ref: None,
        settlement_ref: Some("setl_Pz9fS4jE2uW0Mx".to_owned()),
        gross: Money::from_paise(45_000),
        fee: Money::from_paise(1_062),
        tax: Money::from_paise(162),
        net: Money::from_paise(43_938),
        utr: Some("EXMPN26003000123".to_owned()),
        transact_time: at(1_767_240_061),
        settle_time: at(1_767_412_800),
        description: "Order 381".to_owned(),
        foreign: false,
        other_product: true,
    }
}

#[test]
fn the_documented_lines_are_read_field_by_field() {
    assert_eq!(line_with(json!({})), Ok(Some(documented_line())));
    let read: Vec<_> = items().iter().map(|item| to_line(wire::read("line", item.to_string().as_bytes()).expect("it is JSON"))).collect();
    let told: Vec<_> = read.into_iter().map(|line| line.expect("it is readable").expect("it is settled")).collect();
    let figures = |line: &SettlementLine| (line.kind, line.gross.paise(), line.fee.paise(), line.tax.paise(), line.net.paise());
    let expected = [
        (EntryKind::Payment, 45_000, 1_062, 162, 43_938),
        (EntryKind::Refund, -12_000, 0, 0, -12_000),
        (EntryKind::Adjustment, -100_000, 296, 46, -100_296),
        (EntryKind::Adjustment, 5_000, 0, 0, 5_000),
    ];
    assert_eq!(told.iter().map(figures).collect::<Vec<_>>(), expected);
    // The payment of a refund is told; that of a transfer would not be looked for.
    let payments: Vec<_> = told.iter().map(|line| line.payment_ref.as_deref()).collect();
    assert_eq!(payments, [None, Some("pay_Pz4kQ1xV7mT2Ld"), None, None]);
    let of_settlement = told.iter().filter(|line| line.settlement_ref == told[0].settlement_ref).map(|line| line.net);
    assert_eq!(Money::checked_sum(of_settlement), Some(documented().amount), "the lines make up the settlement");
}

#[test]
fn figures_that_do_not_fit_together_are_taken_as_they_are_printed() {
    let line = line_with(json!({"credit": 40_000, "debit": 1})).expect("it is readable").expect("it is settled");
    assert_eq!((line.gross.paise(), line.fee.paise(), line.net.paise()), (45_000, 1_062, 39_999));
}

#[test]
fn what_may_be_missing_may_be_missing() {
    let bare = json!({"settlement_id": null, "settlement_utr": null, "settled_at": null, "created_at": null, "description": null});
    let expected = SettlementLine {
        settlement_ref: None,
        utr: None,
        settle_time: None,
        transact_time: None,
        description: String::new(),
        ..documented_line()
    };
    assert_eq!(line_with(bare), Ok(Some(expected)));
    for unused in ["on_hold", "notes", "credit_type", "posted_at", "settled", "method"] {
        assert_eq!(line_with(json!({unused: null})), Ok(Some(documented_line())), "{unused}");
    }
    // Without an order, or described as payments to codes are, it may be ours though nobody knows it.
    for ours in [json!({"order_id": null}), json!({"description": "QRv2 Payment"})] {
        let line = line_with(ours).expect("it is readable").expect("it is settled");
        assert!(!line.other_product && !line.foreign, "{line:?}");
    }
    assert_eq!(line_with(json!({"settled": false})), Ok(None), "it waits for its settlement");
    assert_eq!(line_with(json!({"method": "card"})), Ok(Some(SettlementLine { foreign: true, ..documented_line() })));
    assert_eq!(line_with(json!({"notes": {"a": 1}, "news": []})), Ok(Some(documented_line())));
    let described = line_with(json!({"description": "for asha@bank"})).expect("it is readable").expect("it is settled").description;
    assert_eq!(described, "for …", "what is kept names nobody");
}

#[test]
fn a_line_is_read_exactly_or_not_at_all() {
    for changes in [
        json!({"amount": 450.0}),
        json!({"amount": null}),
        json!({"credit": "43938"}),
        json!({"credit": null}),
        json!({"debit": null}),
        json!({"fee": 10.62}),
        json!({"fee": null}),
        json!({"tax": null}),
        json!({"currency": "USD"}),
        json!({"currency": null}),
        json!({"type": null}),
        json!({"entity_id": null}),
        json!({"entity_id": "pay/1"}),
        json!({"settlement_id": "setl 1"}),
        json!({"type": "refund", "payment_id": "pay 1"}),
        json!({"type": "refund", "amount": i64::MIN}),
        json!({"credit": i64::MAX, "debit": -1}),
        json!({"settled": "yes"}),
    ] {
        assert!(line_with(changes.clone()).is_err(), "{changes}");
    }
}

fn settlements(server: &Server) -> Settlements {
    provider_at(&server.url()).settlements.expect("Razorpay tells its settlements")
}

fn from() -> Timestamp {
    time(1_767_239_400).expect("a time of our days")
}

#[tokio::test]
async fn settlements_are_listed_page_by_page() {
    let many = |count: usize| page((0..count).map(|index| changed(SETTLEMENT, json!({"id": format!("setl_{index}")}))).collect());
    let server = Server::start(vec![many(100), many(1), many(0)]).await;
    let listing = settlements(&server).listing;
    let shape = |page: PageOf<SettlementSnapshot>| (page.items.len(), page.read, page.more);
    assert_eq!(shape(listing.settlements(from(), 0).await.expect("it is answered")), (100, 100, true));
    assert_eq!(shape(listing.settlements(from(), 100).await.expect("it is answered")), (1, 1, false));
    assert_eq!(shape(listing.settlements(Timestamp::UNIX_EPOCH, 101).await.expect("it is answered")), (0, 0, false));
    let line = |from: &str, skip: u32| format!("GET /v1/settlements?from={from}&count=100&skip={skip}");
    assert_eq!(server.lines(), [line("1767239400", 0), line("1767239400", 100), line("946684800", 101)]);

    // One that can't be read hides none of the others.
    let odd = page(vec![changed(SETTLEMENT, json!({"amount": null})), changed(SETTLEMENT, json!({}))]);
    let read = settlements(&Server::start(vec![odd]).await).listing.settlements(from(), 0).await.expect("it is answered");
    assert_eq!((read.items.len(), read.unreadable.len(), read.read), (1, 1, 2));
    for reply in [Reply::Answer(500, String::new()), Reply::Nothing] {
        let outcome = settlements(&Server::start(vec![reply]).await).listing.settlements(from(), 0).await;
        assert!(matches!(outcome, Err(AskError::Unanswered(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_settlement_is_fetched_by_its_id() {
    let server = Server::answering(200, SETTLEMENT).await;
    let settlement = settlements(&server).listing.fetch("setl_Pz9fS4jE2uW0Mx").await.expect("it is there");
    assert_eq!(settlement, documented());
    assert_eq!(server.lines(), ["GET /v1/settlements/setl_Pz9fS4jE2uW0Mx"]);
    let another = settlements(&Server::answering(200, SETTLEMENT).await).listing.fetch("setl_Another").await;
    assert!(matches!(another, Err(AskError::Unanswered(_))));
    let absent = json!({"error": {"code": "BAD_REQUEST_ERROR", "description": "The id provided does not exist."}});
    let absent = settlements(&Server::answering(400, absent).await).listing.fetch("setl_1").await;
    assert!(matches!(absent, Err(AskError::Absent)));
}

#[tokio::test]
async fn the_lines_of_a_day_are_read_page_by_page_and_what_waits_is_counted() {
    let mut full: Vec<_> = (0..LINES).map(|_| items()[0].clone()).collect();
    full[7]["settled"] = json!(false);
    let server = Server::start(vec![page(full), Reply::Answer(200, RECON.to_owned())]).await;
    let report = settlements(&server).report.expect("Razorpay gives a report");
    let day = jiff::civil::date(2026, 1, 5);
    let first = report.lines(day, 0).await.expect("it is answered");
    assert_eq!((first.items.len(), first.read, first.more), (LINES - 1, LINES as u64, true));
    let last = report.lines(day, first.read).await.expect("it is answered");
    assert_eq!((last.items.len(), last.read, last.more), (4, 4, false));
    let line = |skip: usize| format!("GET /v1/settlements/recon/combined?year=2026&month=01&day=05&count={LINES}&skip={skip}");
    assert_eq!(server.lines(), [line(0), line(LINES)]);

    let mut odd = items();
    odd[1]["amount"] = json!("12000");
    // A line that can't be read hides none of the others.
    let report = settlements(&Server::start(vec![page(odd)]).await).report.expect("Razorpay gives a report");
    let read = report.lines(day, 0).await.expect("it is answered");
    assert_eq!((read.items.len(), read.unreadable.len(), read.read), (items().len() - 1, 1, items().len() as u64));
    for reply in [Reply::Answer(200, json!({"count": 5, "items": items()}).to_string()), Reply::Answer(429, String::new())] {
        let report = settlements(&Server::start(vec![reply]).await).report.expect("Razorpay gives a report");
        let outcome = report.lines(day, 0).await;
        assert!(matches!(outcome, Err(AskError::Unanswered(_))), "{outcome:?}");
    }
}
