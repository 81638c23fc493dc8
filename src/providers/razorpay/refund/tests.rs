//! The documents of Razorpay's about refunds, field by field; orders as its requests; and what comes of its answers.

use serde_json::{Value, json};

use super::super::tests::{TIMEOUT, changed, page, provider_at};
use super::*;
use crate::providers::Refunds;
use crate::providers::scripted::{Heard, Reply, Server, named};

const REFUND: &str = include_str!("../../../../tests/golden/razorpay/refund.json");
const PAYMENT: &str = "pay_Pz4kQ1xV7mT2Ld";
const OUR_REF: &str = "UPC4MK262NE9JES3ZN8Q154DK7WWHFS5QP";

/// What is read of the documented refund, with `changes` made to it. A null takes the field away.
fn read_with(changes: Value) -> Result<RefundSnapshot, Unreadable> {
    let read = |document: &Value| to_snapshot(wire::read("refund", document.to_string().as_bytes())?);
    let document = changed(REFUND, changes);
    let told = read(&document);
    let mut without_nulls = document.clone();
    without_nulls.as_object_mut().expect("a refund is an object").retain(|_, value| !value.is_null());
    assert_eq!(read(&without_nulls).ok(), read(&document).ok(), "null and absence differ");
    told
}

fn documented() -> RefundSnapshot {
    RefundSnapshot {
        provider_ref: Some("rfnd_Pz5aH2gK9sU1Qe".to_owned()),
        our_ref: Some("rf-381-1".to_owned()),
        payment_ref: PAYMENT.to_owned(),
        amount: Money::from_paise(12_000),
        status: RefundStatus::Pending,
        speed_requested: Some(RefundSpeed::Normal),
        speed_processed: Some(RefundSpeed::Normal),
        rrn: None,
        arn: None,
        process_time: None,
    }
}

#[test]
fn the_documented_refund_is_read_field_by_field() {
    assert_eq!(read_with(json!({})), Ok(documented()));
    let processed = json!({"status": "processed", "acquirer_data": {"rrn": "600298765432"}});
    let process_time = time(1_767_326_400).ok();
    let expected = RefundSnapshot { status: RefundStatus::Processed, rrn: Some("600298765432".to_owned()), process_time, ..documented() };
    assert_eq!(read_with(processed), Ok(expected));
}

#[test]
fn what_may_be_missing_may_be_missing() {
    for unused in ["entity", "notes", "batch_id", "created_at", "acquirer_data"] {
        assert_eq!(read_with(json!({unused: null})), Ok(documented()), "{unused}");
    }
    assert_eq!(read_with(json!({"receipt": null})), Ok(RefundSnapshot { our_ref: None, ..documented() }));
    assert_eq!(read_with(json!({"something_new": {"deep": [1.5]}, "notes": [], "acquirer_data": []})), Ok(documented()));
    let without_speeds = RefundSnapshot { speed_requested: None, speed_processed: None, ..documented() };
    assert_eq!(read_with(json!({"speed_requested": null, "speed_processed": null})), Ok(without_speeds.clone()));
    assert_eq!(read_with(json!({"speed_requested": "teleport", "speed_processed": 7})), Ok(without_speeds));
    for (name, rrn, arn) in [("rrn", Some("7"), None), ("utr", Some("7"), None), ("arn", None, Some("7"))] {
        let read = read_with(json!({"acquirer_data": {name: "7"}})).expect("it is readable");
        assert_eq!((read.rrn.as_deref(), read.arn.as_deref()), (rrn, arn), "{name}");
    }
}

#[test]
fn each_word_has_one_meaning() {
    let failed = RefundStatus::Failed { code: String::new(), message: String::new() };
    for (word, status) in [
        ("pending", RefundStatus::Pending),
        ("processed", RefundStatus::Processed),
        ("failed", failed),
        ("created", RefundStatus::Undecided),
        ("reversed", RefundStatus::Undecided),
        ("Processed", RefundStatus::Undecided),
    ] {
        let made_at = (status == RefundStatus::Processed).then_some(1_767_326_400);
        let read = read_with(json!({"status": word})).expect("it is readable");
        assert_eq!((read.status, read.process_time.map(Timestamp::as_second)), (status, made_at), "{word}");
    }
    let speeds = |requested: &str, processed: &str| {
        let read = read_with(json!({"speed_requested": requested, "speed_processed": processed})).expect("it is readable");
        (read.speed_requested, read.speed_processed)
    };
    assert_eq!(speeds("optimum", "instant"), (Some(RefundSpeed::Instant), Some(RefundSpeed::Instant)));
    assert_eq!(speeds("optimum", "normal"), (Some(RefundSpeed::Instant), Some(RefundSpeed::Normal)));
    assert_eq!(speeds("optimum", "optimum"), (Some(RefundSpeed::Instant), None), "what was wanted is not what came of it");
}

#[test]
fn what_is_near_money_is_read_exactly_or_not_at_all() {
    let unreadable = [
        json!({"amount": 120.0}),
        json!({"amount": 12_000.0}),
        json!({"amount": "12000"}),
        json!({"amount": null}),
        json!({"amount": 0}),
        json!({"amount": -12_000}),
        json!({"amount": 9_223_372_036_854_775_808_u64}),
        json!({"currency": "USD"}),
        json!({"currency": null}),
        json!({"status": null}),
        json!({"status": 3}),
        json!({"created_at": "yesterday"}),
        json!({"created_at": i64::MAX}),
        json!({"id": null}),
        json!({"id": "rfnd_/../x"}),
        json!({"payment_id": null}),
        json!({"payment_id": "pay 1"}),
        json!({"entity": "payment"}),
    ];
    for changes in unreadable {
        assert!(read_with(changes.clone()).is_err(), "{changes}");
    }
    assert!(wire::read::<wire::Refund>("refund", br#"["rfnd_1", "refund", 12000, "INR", "pay_1"]"#).is_err(), "a list is no refund");
}

fn order() -> RefundOrder {
    RefundOrder {
        amount: Money::from_paise(12_000),
        speed: RefundSpeed::Normal,
        description: String::new(),
        notes: BTreeMap::from([("reason".to_owned(), "damaged".to_owned())]),
    }
}

#[test]
fn an_order_becomes_the_documented_request() {
    let check = |order: RefundOrder, expected: &str| {
        assert_eq!(serde_json::to_string(&to_request(&order, "rf-381-1")).expect("it is JSON"), expected);
    };
    check(order(), r#"{"amount":12000,"speed":"normal","receipt":"rf-381-1","notes":{"reason":"damaged"}}"#);
    check(
        RefundOrder { speed: RefundSpeed::Instant, notes: BTreeMap::new(), ..order() },
        r#"{"amount":12000,"speed":"optimum","receipt":"rf-381-1"}"#,
    );
    let description = || "Torn".to_owned();
    check(
        RefundOrder { description: description(), ..order() },
        r#"{"amount":12000,"speed":"normal","receipt":"rf-381-1","notes":{"description":"Torn","reason":"damaged"}}"#,
    );
    let notes = BTreeMap::from([("description".to_owned(), "the caller's".to_owned())]);
    check(
        RefundOrder { description: description(), notes, ..order() },
        r#"{"amount":12000,"speed":"normal","receipt":"rf-381-1","notes":{"description":"the caller's"}}"#,
    );
}

#[test]
fn violations_are_found_all_at_once_and_by_field() {
    let check = |order: RefundOrder, expected: &[&str]| {
        let found = violations(&order, 256);
        let fields: Vec<_> = found.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, expected, "{found:?}");
    };
    let pairs = |count: usize| (0..count).map(|index| (format!("k{index}"), String::new())).collect::<BTreeMap<_, _>>();
    check(order(), &[]);
    check(RefundOrder { amount: Money::from_paise(100), speed: RefundSpeed::Instant, ..order() }, &[]);
    check(RefundOrder { amount: Money::from_paise(99), ..order() }, &["amount"]);
    check(RefundOrder { notes: pairs(15), ..order() }, &[]);
    check(RefundOrder { notes: pairs(16), ..order() }, &["notes"]);
    check(RefundOrder { notes: pairs(15), description: "Torn".to_owned(), ..order() }, &["notes"]);
    check(RefundOrder { description: "é".repeat(256), ..order() }, &[]);
    check(RefundOrder { description: "é".repeat(257), ..order() }, &["description"]);
    check(RefundOrder { amount: Money::ZERO, description: "🍵".to_owned(), ..order() }, &["amount", "description"]);
    let mut notes = BTreeMap::from([("description".to_owned(), "x".to_owned()), ("🍵".to_owned(), "é".repeat(257))]);
    check(RefundOrder { notes: notes.clone(), description: "é".repeat(257), ..order() }, &["notes[\"🍵\"]", "notes[\"🍵\"]"]);
    notes = BTreeMap::from([(String::new(), String::new()), ("k".repeat(255), "é".repeat(256))]);
    check(RefundOrder { notes, ..order() }, &["notes[\"\"]"]);
    check(
        RefundOrder { notes: BTreeMap::from([("k".repeat(256), String::new())]), ..order() },
        &[&format!("notes[{:?}]", "k".repeat(256))],
    );
}

fn refunds(server: &Server) -> Refunds {
    provider_at(&server.url()).refunds.expect("Razorpay refunds")
}

async fn create(server: &Server, sending: Sending, timeout: Duration) -> Result<RefundSnapshot, CallError> {
    refunds(server).creation.create(PAYMENT, &order(), OUR_REF, sending, timeout).await
}

fn known(provider_ref: Option<&str>, our_ref: Option<&str>) -> KnownRefund {
    KnownRefund {
        provider_ref: provider_ref.map(str::to_owned),
        our_ref: our_ref.map(str::to_owned),
        payment_ref: PAYMENT.to_owned(),
        amount: Money::from_paise(12_000),
        payment_amount: Money::from_paise(45_000),
        refunded_before: Money::ZERO,
    }
}

fn ours(changes: Value) -> Value {
    changed(&changed(REFUND, json!({"receipt": OUR_REF})).to_string(), changes)
}

fn error(status: u16, description: &str) -> Reply {
    Reply::Answer(status, json!({"error": {"code": "BAD_REQUEST_ERROR", "description": description}}).to_string())
}

fn is_unanswered<T>(outcome: &Result<T, AskError>) -> bool {
    matches!(outcome, Err(AskError::Unanswered(_)))
}

#[tokio::test]
async fn a_refund_is_asked_for_as_documented_and_again_with_the_same_bytes() {
    let first = Server::answering(200, ours(json!({}))).await;
    let made = create(&first, Sending::First, TIMEOUT).await.expect("it is made");
    assert_eq!(made, RefundSnapshot { our_ref: Some(OUR_REF.to_owned()), ..documented() });
    let Heard { line, body, .. } = first.the_only_request();
    assert_eq!(line, format!("POST /v1/payments/{PAYMENT}/refund"));
    let documented = json!({"amount": 12_000, "speed": "normal", "receipt": OUR_REF, "notes": {"reason": "damaged"}});
    assert_eq!(serde_json::from_str::<Value>(&body).ok(), Some(documented));
    assert_eq!(first.the_only_request().header("x-refund-idempotency"), Some(OUR_REF));
    assert!(first.the_only_request().header("authorization").is_some_and(|scheme| scheme.starts_with("Basic ")));

    let again = Server::answering(200, ours(json!({"status": "processed"}))).await;
    assert!(create(&again, Sending::Again, TIMEOUT).await.is_ok());
    assert_eq!((again.the_only_request().body, again.the_only_request().header("x-refund-idempotency")), (body, Some(OUR_REF)));
}

#[tokio::test]
async fn an_answer_that_differs_from_what_was_asked_is_handed_on_as_it_is() {
    for changes in [json!({"amount": 13_000}), json!({"payment_id": "pay_Another"}), json!({"receipt": null})] {
        let server = Server::answering(200, ours(changes.clone())).await;
        let read = to_snapshot(wire::read("refund", ours(changes.clone()).to_string().as_bytes()).expect("it is JSON"));
        assert_eq!(create(&server, Sending::First, TIMEOUT).await.ok(), read.ok(), "{changes}");
    }
}

#[tokio::test]
async fn every_answer_to_a_refund_has_one_meaning() {
    let in_progress = "Another request with the same idempotency key is still in progress.";
    let doubt = [
        Reply::Answer(200, "garbage".to_owned()),
        Reply::Answer(200, String::new()),
        Reply::Answer(200, "{}".to_owned()),
        Reply::Answer(200, ours(json!({"amount": null})).to_string()),
        Reply::Answer(200, ours(json!({"amount": "12000"})).to_string()),
        Reply::Answer(200, ours(json!({"payment_id": null})).to_string()),
        Reply::Answer(200, ours(json!({"receipt": "another"})).to_string()),
        Reply::Answer(302, String::new()),
        error(409, in_progress),
        error(409, "Different request with the same idempotency key has already been processed."),
        error(400, "Refund has already been processed."),
        error(400, "invalid request sent"),
        // It may have acted before it failed.
        Reply::Answer(500, json!({"error": {"code": "SERVER_ERROR", "description": "Internal server error"}}).to_string()),
        Reply::Answer(502, "<html>".to_owned()),
        Reply::Nothing,
        Reply::Silence,
    ];
    for reply in doubt {
        let server = Server::start(vec![reply]).await;
        let outcome = create(&server, Sending::First, Duration::from_millis(500)).await;
        assert_eq!(named(&outcome), "in_doubt", "{outcome:?}");
        assert_eq!(server.lines().len(), 1, "it is never asked twice");
    }

    let too_little = "Your account does not have enough balance to carry out the refund operation.";
    let outcome = create(&Server::start(vec![error(400, too_little)]).await, Sending::First, TIMEOUT).await;
    let Err(CallError::Refused { message, .. }) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(message, too_little);
    let busy = "Request failed because another payment operation is in progress.";
    for (reply, expected) in [(error(400, busy), "not_delivered"), (Reply::Answer(429, String::new()), "not_delivered")] {
        assert_eq!(named(&create(&Server::start(vec![reply]).await, Sending::First, TIMEOUT).await), expected);
    }
    for reply in [error(400, too_little), error(400, busy), Reply::Answer(429, String::new())] {
        let outcome = create(&Server::start(vec![reply]).await, Sending::Again, TIMEOUT).await;
        assert_eq!(named(&outcome), "in_doubt", "an earlier send may have been acted on");
    }
}

#[tokio::test]
async fn a_receipt_that_is_taken_leads_to_the_refund_that_has_it() {
    let taken = || error(400, "Duplicate receipt found for this refund request.");
    let others = |first: usize| (first..first + 100).map(|index| changed(REFUND, json!({"id": format!("rfnd_{index}")}))).collect();
    for sending in [Sending::First, Sending::Again] {
        let server = Server::start(vec![taken(), page(others(0)), page(vec![ours(json!({"status": "processed"}))])]).await;
        let found = create(&server, sending, TIMEOUT).await.expect("it is found");
        assert_eq!((found.our_ref.as_deref(), found.status), (Some(OUR_REF), RefundStatus::Processed));
        let list = format!("GET /v1/payments/{PAYMENT}/refunds?from=946684800&count=100&skip=");
        assert_eq!(server.lines()[1..], [format!("{list}0"), format!("{list}100")]);
    }
    let unlisted = [
        page(Vec::new()),
        page(vec![changed(REFUND, json!({}))]),
        page(vec![ours(json!({"amount": null}))]),
        error(400, "The id provided does not exist"),
        Reply::Answer(500, String::new()),
        Reply::Nothing,
        Reply::Silence,
    ];
    for reply in unlisted {
        let server = Server::start(vec![taken(), reply]).await;
        assert_eq!(named(&create(&server, Sending::First, Duration::from_millis(500)).await), "in_doubt");
    }
}

#[tokio::test]
async fn a_refund_is_fetched_by_its_id_or_found_by_our_reference() {
    let server = Server::answering(200, REFUND).await;
    let shown = refunds(&server).enquiry.fetch(&known(Some("rfnd_Pz5aH2gK9sU1Qe"), None)).await.expect("it is there");
    assert_eq!(shown, documented());
    assert_eq!(server.lines(), ["GET /v1/refunds/rfnd_Pz5aH2gK9sU1Qe"]);
    let another = refunds(&Server::answering(200, REFUND).await).enquiry.fetch(&known(Some("rfnd_Another"), None)).await;
    assert!(is_unanswered(&another));
    let absent = Server::start(vec![error(400, "The id provided does not exist")]).await;
    assert!(matches!(refunds(&absent).enquiry.fetch(&known(Some("rfnd_1"), None)).await, Err(AskError::Absent)));

    let server = Server::start(vec![page(vec![ours(json!({}))]), page(Vec::new())]).await;
    let enquiry = refunds(&server).enquiry;
    assert!(enquiry.fetch(&known(None, Some(OUR_REF))).await.is_ok());
    assert!(is_unanswered(&enquiry.fetch(&known(None, Some(OUR_REF))).await));
    assert!(is_unanswered(&enquiry.fetch(&known(None, None)).await));
}

#[tokio::test]
async fn a_lost_refund_is_searched_among_those_of_its_payment() {
    let look_up = async |replies: Vec<Reply>| {
        let server = Server::start(replies).await;
        refunds(&server).enquiry.look_up(&known(None, Some(OUR_REF))).await
    };
    let full = || page((0..100).map(|index| changed(REFUND, json!({"id": format!("rfnd_{index}")}))).collect());
    // One that can't be read hides ours only where it may be ours.
    let odd = changed(REFUND, json!({"currency": "USD"}));
    let found = look_up(vec![full(), page(vec![odd.clone(), ours(json!({}))])]).await.expect("it is answered").expect("it is found");
    assert_eq!(found.our_ref.as_deref(), Some(OUR_REF));
    assert_eq!(look_up(vec![full(), page(vec![odd])]).await.expect("it is answered"), None);
    let unanswered = [
        page(vec![json!("text")]),
        page(vec![ours(json!({"currency": "USD"}))]),
        Reply::Answer(200, json!({"count": 2, "items": [ours(json!({"receipt": "x"}))]}).to_string()),
        Reply::Answer(200, json!({"count": 0}).to_string()),
        Reply::Answer(500, String::new()),
    ];
    for reply in unanswered {
        assert!(is_unanswered(&look_up(vec![reply]).await));
    }
    let cut_off = look_up((0..PAGES_MAX).map(|_| full()).collect()).await;
    assert!(is_unanswered(&cut_off), "what is not read may be ours: {cut_off:?}");
}

#[tokio::test]
async fn the_refunds_of_a_payment_are_all_told_or_none() {
    let of_payment = async |replies: Vec<Reply>| {
        let server = Server::start(replies).await;
        refunds(&server).of_payment.expect("Razorpay lists them").of_payment(PAYMENT).await
    };
    let numbered = |index: usize| changed(REFUND, json!({"id": format!("rfnd_{index}")}));
    let pages = vec![page((0..100).map(numbered).collect()), page(vec![numbered(99), numbered(100)])];
    let all = of_payment(pages).await.expect("it is answered");
    assert_eq!(all.len(), 101, "an item that moved to a later page is one all the same");
    assert!(of_payment(vec![page(Vec::new())]).await.expect("it is answered").is_empty());
    assert!(is_unanswered(&of_payment(vec![page(vec![numbered(1), changed(REFUND, json!({"amount": 1.5}))])]).await));
}
