//! Settlements at Razorpay: runs by the clock, the recon report, and what can be wrong with it.

use std::collections::BTreeSet;
use std::time::Instant;

use super::*;
use crate::sandbox::clock::in_ist;

/// Longer than two working days ever are, and the transfer after them.
const A_WEEK: Duration = Duration::from_secs(7 * 86_400);

impl Client {
    /// An order of 1000 rupees, paid: its fee is 2 percent and the tax on it.
    async fn paid_order(&self, receipt: &str) -> String {
        let body = json!({"amount": 100_000, "currency": "INR", "receipt": receipt});
        let (_, order) = self.post("/orders", body).await;
        self.sandbox.pay_order("shop", text(&order, "id"), PayOptions::default()).await.unwrap()
    }

    async fn settlement(&self, id: &str) -> Value {
        let (status, settlement) = self.get(&format!("/settlements/{id}")).await;
        assert_eq!(status, 200, "{settlement}");
        settlement
    }

    async fn page(&self, settled_at: &Value, count: usize, skip: usize) -> Vec<Value> {
        let day = in_ist(settled_at.as_i64().unwrap() * 1_000).date();
        let (year, month, day) = (day.year(), day.month(), day.day());
        let path = format!("/settlements/recon/combined?year={year}&month={month:02}&day={day}&count={count}&skip={skip}");
        let (status, page) = self.get(&path).await;
        assert_eq!((status, &page["entity"]), (200, &json!("collection")), "{page}");
        let items = page["items"].as_array().unwrap().clone();
        assert_eq!(page["count"], items.len());
        items
    }

    /// All lines of a settlement's day that name it.
    async fn lines(&self, settlement: &Value) -> Vec<Value> {
        let mut lines = self.page(&settlement["created_at"], 1_000, 0).await;
        lines.retain(|line| line["settlement_id"] == settlement["id"]);
        lines
    }

    async fn wrong(&self, kind: Value) -> String {
        let (status, answer) = self.control(Method::POST, "/razorpay/shop/recon_fault", json!({"kind": kind})).await;
        assert_eq!(status, 200, "{answer}");
        text(&answer, "id").to_owned()
    }

    async fn mend(&self) {
        assert_eq!(self.control(Method::DELETE, "/razorpay/shop/recon_faults", Value::Null).await.0, 200);
    }
}

fn net(lines: &[Value]) -> i64 {
    lines.iter().map(|line| line["credit"].as_i64().unwrap() - line["debit"].as_i64().unwrap()).sum()
}

fn ids(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| text(line, "entity_id")).collect()
}

#[tokio::test]
async fn a_run_settles_payments_less_fees_and_refunds_to_the_paisa() {
    let client = start().await;
    let ordered = client.paid_order("inv-381").await;
    let scanned = client.pay(&client.qr().await, Outcome::Captured).await;
    let authorized = client.pay(&client.qr().await, Outcome::Authorized).await;
    let refund = json!({"amount": 12_345, "speed": "optimum", "notes": {"reason": "damaged"}});
    let (_, refund) = client.post(&format!("/payments/{ordered}/refund"), refund).await;
    let receiver = Receiver::start(&client).await;
    assert_eq!(client.get("/settlements").await.1["count"], 0);
    client.sandbox.advance(A_WEEK);
    let (_, list) = client.get("/settlements").await;
    let settlement = list["items"][0].clone();
    let amount = (100_000 - 2_360) + 45_000 - (12_345 + 590);
    let expected = json!({
        "id": settlement["id"], "entity": "settlement", "amount": amount, "status": "processed", "fees": 0, "tax": 0,
        "utr": settlement["utr"], "created_at": settlement["created_at"]
    });
    assert_eq!((&settlement, &list["count"]), (&expected, &json!(1)));
    assert!(text(&settlement, "id").starts_with("setl_") && text(&settlement, "utr").len() == 16, "{settlement}");
    assert_eq!(client.settlement(text(&settlement, "id")).await, settlement);
    let made = in_ist(settlement["created_at"].as_i64().unwrap() * 1_000);
    assert_eq!((made.hour(), made.minute()), (11, 0));
    assert_eq!(client.sandbox.settlements("shop").unwrap(), [settlement.clone()]);
    let events = receiver.wait_for(3).await;
    let told = events.iter().map(Webhook::json).find(|body| body["event"] == "settlement.processed").unwrap();
    assert_eq!((&told["contains"], &told["payload"]["settlement"]["entity"]), (&json!(["settlement"]), &settlement));
    assert_eq!(told["created_at"].as_i64().unwrap() - settlement["created_at"].as_i64().unwrap(), 20 * 60);

    let lines = client.lines(&settlement).await;
    assert_eq!((ids(&lines), net(&lines)), (vec![ordered.as_str(), text(&scanned, "id"), text(&refund, "id")], amount));
    assert!(lines.iter().all(|line| line["entity_id"] != authorized["id"]));
    let payment = client.get(&format!("/payments/{ordered}")).await.1;
    let expected = json!({
        "entity_id": ordered, "type": "payment", "debit": 0, "credit": 97_640, "amount": 100_000, "currency": "INR",
        "fee": 2_360, "tax": 360, "on_hold": false, "settled": true, "created_at": payment["created_at"],
        "settled_at": settlement["created_at"], "settlement_id": settlement["id"], "posted_at": null,
        "credit_type": "default", "description": null, "notes": null, "payment_id": null,
        "settlement_utr": settlement["utr"], "order_id": payment["order_id"], "order_receipt": "inv-381", "method": "upi",
        "card_network": null, "card_issuer": null, "card_type": null, "dispute_id": null
    });
    assert_eq!(lines[0], expected);
    assert_eq!((&lines[1]["credit"], &lines[1]["fee"]), (&json!(45_000), &json!(0)));
    let back = &lines[2];
    assert_eq!(
        (&back["type"], &back["payment_id"], &back["debit"], &back["credit"]),
        (&json!("refund"), &json!(ordered), &json!(12_935), &json!(0))
    );
    assert_eq!((&back["amount"], &back["fee"], &back["notes"]), (&json!(12_345), &json!(590), &json!(r#"{"reason":"damaged"}"#)));
}

#[tokio::test]
async fn a_settlement_shows_its_lines_when_it_is_processed() {
    let client = start().await;
    client.paid_order("inv-1").await;
    client.switch(|switches| switches.empty_utr_left_out = true);
    while client.sandbox.settlements("shop").unwrap().is_empty() {
        client.sandbox.advance(Duration::from_secs(15 * 60));
    }
    let (_, list) = client.get("/settlements").await;
    let created = &list["items"][0];
    assert_eq!((&created["status"], created.get("utr")), (&json!("created"), None));
    client.switch(|_| ());
    assert_eq!(client.settlement(text(created, "id")).await["utr"], Value::Null);
    assert!(client.lines(created).await.is_empty());
    client.sandbox.advance(Duration::from_secs(20 * 60));
    let processed = client.settlement(text(created, "id")).await;
    assert_eq!((processed["status"].as_str(), client.lines(&processed).await.len()), (Some("processed"), 1));
}

#[tokio::test]
async fn what_comes_to_nothing_waits_for_more() {
    let client = start().await;
    assert_eq!(client.sandbox.settle("shop").await, Err(ControlError::NothingToSettle(0)));
    let payment = client.paid_order("inv-1").await;
    let id = client.sandbox.settle("shop").await.unwrap();
    assert_eq!(client.settlement(&id).await["amount"], 97_640);
    client.post(&format!("/payments/{payment}/refund"), json!({})).await;
    client.sandbox.advance(A_WEEK);
    assert_eq!(client.control(Method::POST, "/razorpay/shop/settle", Value::Null).await.0, 409);
    assert_eq!(client.sandbox.settle("shop").await, Err(ControlError::NothingToSettle(-100_000)));
    for receipt in ["inv-2", "inv-3"] {
        client.paid_order(receipt).await;
    }
    client.sandbox.advance(A_WEEK);
    let settlements = client.sandbox.settlements("shop").unwrap();
    assert_eq!((settlements.len(), &settlements[0]["amount"]), (2, &json!(2 * 97_640 - 100_000)));

    client.paid_order("inv-4").await;
    client.switch(|switches| switches.settlement_runs = false);
    client.sandbox.advance(A_WEEK);
    assert_eq!(client.sandbox.settlements("shop").unwrap().len(), 2);
    client.sandbox.settle("shop").await.unwrap();
    assert_eq!(client.sandbox.settle("stall").await, Err(ControlError::NotOffered(Simulated::Oqpay)));
}

#[tokio::test]
async fn a_report_is_asked_for_with_what_it_knows() {
    let client = start().await;
    for (query, expected) in [
        ("month=1", "The year field is required."),
        ("year=26&month=1", "The year must be 4 digits."),
        ("year=2026", "The month field is required."),
        ("year=2026&month=13", "The month is not a valid month."),
        ("year=2026&month=1&day=100", "The day must be between 1 and 2 digits."),
        ("year=2026&month=1&count=0", "The count must be at least 1."),
        ("year=2026&month=1&count=1001", "The count may not be greater than 1000."),
        ("year=2026&month=1&skip=-1", "The skip must be at least 0."),
        ("year=2026&month=1&from=1", "from is/are not required and should not be sent"),
    ] {
        let (status, error) = client.get(&format!("/settlements/recon/combined?{query}")).await;
        assert_eq!((status, description(&error)), (400, expected), "{query}");
    }
    for (path, expected) in [
        ("/settlements/setl_1", "setl_1 is not a valid id"),
        ("/settlements/setl_00000000000000", "The id provided does not exist"),
        ("/settlements?count=0", "The count must be at least 1."),
        ("/settlements?to=5", "to must be between 946684800 and 4765046400"),
    ] {
        let (status, error) = client.get(path).await;
        assert_eq!((status, description(&error)), (400, expected), "{path}");
    }
}

#[tokio::test]
async fn a_large_settlement_is_paged_through_without_gap_or_double() {
    let client = start().await;
    client.paid_order("inv-1").await;
    let small = client.sandbox.settle("shop").await.unwrap();
    let (status, bulk) = client.control(Method::POST, "/razorpay/shop/settle_bulk", json!({"lines": 5_000, "seed": 7})).await;
    assert_eq!((status, &bulk["lines"]), (200, &json!(5_000)));
    let settlement = client.settlement(text(&bulk, "id")).await;
    assert_eq!((&settlement["amount"], &settlement["status"]), (&bulk["net"], &json!("processed")));
    let mut lines = Vec::new();
    loop {
        let page = client.page(&settlement["created_at"], 700, lines.len()).await;
        let is_last = page.len() < 700;
        lines.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!((lines.len(), &lines[0]["settlement_id"]), (5_001, &json!(small)), "the oldest settlement comes first");
    let lines = lines.split_off(1);
    assert_eq!(ids(&lines).into_iter().collect::<BTreeSet<_>>().len(), 5_000);
    let sum = |name: &str, kind: &str| -> i64 {
        let of_kind = lines.iter().filter(|line| kind.is_empty() || line["type"] == kind);
        of_kind.map(|line| line[name].as_i64().unwrap()).sum()
    };
    let totals = (sum("amount", "payment"), sum("fee", ""), sum("tax", ""), net(&lines));
    assert_eq!(json!([totals.0, totals.1, totals.2, totals.3]), json!([bulk["gross"], bulk["fee"], bulk["tax"], bulk["net"]]));
    let kinds = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert_eq!((kinds("payment"), kinds("refund"), kinds("adjustment")), (4_700, 250, 50));
    assert!(lines.iter().filter(|line| line["method"] == "card" && line["type"] == "payment").count() > 3_000);
    let known: BTreeSet<_> = ids(&lines).into_iter().collect();
    for refund in lines.iter().filter(|line| line["type"] == "refund") {
        assert!(known.contains(text(refund, "payment_id")), "{refund}");
    }
    let adjustment = lines.iter().find(|line| line["type"] == "adjustment").unwrap();
    assert!(adjustment.get("credit_type").is_none() && adjustment["settlement_utr"].is_null(), "{adjustment}");
    for lines in [0, 100_001] {
        assert_eq!(client.sandbox.settle_bulk("shop", lines, 1).await, Err(ControlError::BadCount(100_000)));
    }
    assert_eq!(client.sandbox.settle_bulk("till", 1, 1).await, Err(ControlError::NotOffered(Simulated::Enkash)));
}

#[tokio::test]
async fn the_largest_settlement_takes_no_time_worth_noticing() {
    let client = start().await;
    let began = Instant::now();
    let bulk = client.sandbox.settle_bulk("shop", 100_000, 1).await.unwrap();
    let again = client.sandbox.settle_bulk("shop", 100_000, 1).await.unwrap();
    let settlement = client.settlement(&bulk.id).await;
    let last = client.page(&settlement["created_at"], 1_000, 199_999).await;
    assert_eq!((last.len(), &last[0]["settlement_id"]), (1, &json!(again.id)));
    let first = client.page(&settlement["created_at"], 1, 99_999).await;
    assert_ne!(first[0]["entity_id"], last[0]["entity_id"], "one seed, but other ids");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_report_is_wrong_in_every_way_and_right_again() {
    let client = start().await;
    let (first, second) = (client.paid_order("inv-1").await, client.paid_order("inv-2").await);
    let id = client.sandbox.settle("shop").await.unwrap();
    let right = client.settlement(&id).await;
    let whole = client.lines(&right).await;
    assert_eq!(ids(&whole), [first.as_str(), &second]);

    assert_eq!(client.wrong(json!({"missing": {"entity_id": first}})).await, first);
    assert_eq!(ids(&client.lines(&right).await), [second.as_str()]);
    client.mend().await;
    client.wrong(json!({"doubled": {"entity_id": first}})).await;
    assert_eq!(ids(&client.lines(&right).await), [first.as_str(), &first, &second]);
    assert_eq!(ids(&client.page(&right["created_at"], 1, 1).await), [first.as_str()], "pages agree with it");
    client.mend().await;
    client.wrong(json!({"off_by": {"entity_id": second, "paise": -7}})).await;
    let lines = client.lines(&right).await;
    assert_eq!((&lines[1]["amount"], &lines[1]["credit"], &lines[0]), (&json!(99_993), &json!(97_633), &whole[0]));
    client.mend().await;
    client.wrong(json!({"settlement_off_by": {"settlement_id": id, "paise": 50}})).await;
    assert_eq!(client.settlement(&id).await["amount"], right["amount"].as_i64().unwrap() + 50);
    assert_eq!(client.lines(&right).await, whole);
    client.mend().await;
    let stranger = client.wrong(json!("unknown")).await;
    let lines = client.lines(&right).await;
    assert_eq!((lines.len(), text(&lines[2], "entity_id"), &lines[2]["method"]), (3, stranger.as_str(), &json!("upi")));
    assert_eq!(client.get(&format!("/payments/{stranger}")).await.0, 400);
    client.mend().await;

    let alone =
        client.control(Method::POST, "/razorpay/shop/recon_fault", json!({"kind": {"in_other_settlement_too": {"entity_id": first}}}));
    assert_eq!(alone.await.0, 404, "there is no other");
    let bulk = client.sandbox.settle_bulk("shop", 10, 1).await.unwrap();
    client.wrong(json!({"in_other_settlement_too": {"entity_id": first}})).await;
    let other = client.settlement(&bulk.id).await;
    assert_eq!(ids(&client.lines(&other).await)[10], first);
    assert_eq!(client.lines(&right).await, whole);
    let made_up = text(&client.lines(&other).await[3], "entity_id").to_owned();
    client.wrong(json!({"missing": {"entity_id": made_up}})).await;
    assert_eq!(client.lines(&other).await.len(), 10);
    client.mend().await;
    assert_eq!((client.lines(&right).await, client.lines(&other).await.len()), (whole, 10));
    let nobody = client.sandbox.recon_fault("shop", ReconFault::Missing { entity_id: "pay_1".to_owned() }).await;
    assert_eq!(nobody, Err(ControlError::NotFound("pay_1".to_owned())));
}

#[tokio::test]
async fn a_year_and_more_pass_in_one_step() {
    let client = start().await;
    for index in 0..20 {
        let payment = client.paid_order(&format!("inv-{index}")).await;
        client.post(&format!("/payments/{payment}/refund"), json!({"amount": 1_000})).await;
    }
    // What waits alone for ever asks for no run.
    let payment = client.paid_order("inv-20").await;
    client.sandbox.settle("shop").await.unwrap();
    client.post(&format!("/payments/{payment}/refund"), json!({})).await;
    let began = Instant::now();
    client.sandbox.advance(Duration::from_secs(400 * 86_400));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(client.sandbox.settlements("shop").unwrap().len(), 1);
}

#[tokio::test]
async fn days_are_indias_unless_they_are_greenwichs() {
    let client = start().await;
    // Between midnight in India and midnight in Greenwich, where the days differ.
    while !(1..4).contains(&in_ist(client.sandbox.now().as_millisecond()).hour()) {
        client.sandbox.advance(Duration::from_secs(3_600));
    }
    let id = client.sandbox.settle_bulk("shop", 3, 1).await.unwrap().id;
    let settlement = client.settlement(&id).await;
    assert_eq!(client.lines(&settlement).await.len(), 3);
    client.switch(|switches| switches.recon_day_in_utc = true);
    assert!(client.lines(&settlement).await.is_empty());
}

#[tokio::test]
async fn settlements_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SandboxConfig { state_file: Some(folder.path().join("sandbox.json")), ..config() };
    let client = start_with(config.clone()).await;
    client.paid_order("inv-1").await;
    let bulk = client.sandbox.settle_bulk("shop", 50, 1).await.unwrap();
    client.wrong(json!("unknown")).await;
    let settlement = client.settlement(&bulk.id).await;
    let lines = client.lines(&settlement).await;
    client.sandbox.stop().await;
    let again = start_with(config).await;
    assert_eq!((again.settlement(&bulk.id).await, again.lines(&settlement).await), (settlement, lines));
    again.sandbox.advance(A_WEEK);
    assert_eq!(again.sandbox.settlements("shop").unwrap()[0]["amount"], 97_640);
}
