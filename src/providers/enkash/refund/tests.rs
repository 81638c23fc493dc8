//! Refunds as they are asked for, and what a payment shows of them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::tests::{TIMEOUT, TOKEN, TOKEN_REFUSED, answer, at, changed, failure, settings, with};
use super::*;
use crate::domain::account::DoubtCure;
use crate::domain::refund::RefundSpeed;
use crate::providers::mutation::mutated_texts;
use crate::providers::reading::read;
use crate::providers::scripted::{Reply, Server, named};
use crate::providers::{Refunds, fuzz_cases};

const CREATE_REFUND: &str = include_str!("../../../../tests/golden/enkash/create_refund.json");
const REFUND_CREATED: &str = include_str!("../../../../tests/golden/enkash/refund_created.json");
const TRANSACTION: &str = include_str!("../../../../tests/golden/enkash/transaction.json");

fn refunds(server: &Server) -> Refunds {
    at(server).refunds.expect("EnKash refunds")
}

fn order() -> RefundOrder {
    let (amount, speed) = (Money::from_paise(12_000), RefundSpeed::Normal);
    RefundOrder { amount, speed, description: "Torn".to_owned(), notes: BTreeMap::new() }
}

async fn create(server: &Server, sending: Sending) -> Result<RefundSnapshot, CallError> {
    refunds(server).creation.create("EK1", &order(), "rf-381-1", sending, TIMEOUT).await
}

/// A refund of `amount` after `refunded_before`, of a payment of 499 rupees; all in rupees.
fn known(amount: i64, refunded_before: i64) -> KnownRefund {
    KnownRefund {
        provider_ref: None,
        our_ref: Some("rf-381-1".to_owned()),
        payment_ref: "EK1".to_owned(),
        amount: Money::from_paise(amount * 100),
        payment_amount: Money::from_paise(49_900),
        refunded_before: Money::from_paise(refunded_before * 100),
    }
}

#[tokio::test]
async fn a_refund_is_the_documented_request_and_its_answer_says_that_it_was_taken() {
    let server = Server::start(vec![answer(TOKEN), answer(REFUND_CREATED)]).await;
    let taken = create(&server, Sending::First).await.expect("it is taken");
    assert_eq!(taken, snapshot(&known(120, 0), RefundStatus::Pending));
    let asked = &server.heard()[1];
    assert_eq!(asked.line, "POST /api/v0/payment/EK1/refund");
    let documented: Value = serde_json::from_str(CREATE_REFUND).expect("the golden document is JSON");
    assert_eq!(asked.json(), documented);
    assert!(asked.body.contains("\"amount\":120.00,"), "rupees are a number with two decimals: {}", asked.body);

    // Nothing of what the answer carries is known, so nothing of it is read.
    for carried in
        ["{\"response_code\":0}", "{\"response_code\":0,\"payload\":\"EK7\"}", "{\"response_code\":0,\"payload\":{\"amount\":1}}"]
    {
        let server = Server::start(vec![answer(TOKEN), answer(carried)]).await;
        assert_eq!(create(&server, Sending::First).await.ok(), Some(snapshot(&known(120, 0), RefundStatus::Pending)), "{carried}");
    }

    let server = Server::start(vec![answer(TOKEN), answer(REFUND_CREATED)]).await;
    let wordless = RefundOrder { description: String::new(), ..order() };
    assert!(refunds(&server).creation.create("EK1", &wordless, "rf-381-1", Sending::First, TIMEOUT).await.is_ok());
    assert_eq!(server.heard()[1].body, r#"{"amount":120.00,"requestId":"rf-381-1"}"#);
}

#[tokio::test]
async fn whatever_else_answers_a_refund_is_doubt() {
    let doubt = [
        answer(failure(156)),
        answer("<html>"),
        answer("{}"),
        answer(json!({"response_code": null, "payload": {}})),
        Reply::Answer(400, failure(156)),
        Reply::Answer(404, failure(1)),
        Reply::Answer(500, REFUND_CREATED.to_owned()),
        Reply::Nothing,
    ];
    for reply in doubt {
        let server = Server::start(vec![answer(TOKEN), reply]).await;
        let outcome = create(&server, Sending::First).await;
        assert_eq!(named(&outcome), "in_doubt", "{outcome:?}");
        assert_eq!(server.lines().len(), 2, "it is never asked twice");
    }
    for (sending, expected) in [(Sending::First, "not_delivered"), (Sending::Again, "in_doubt")] {
        let server = Server::start(vec![answer(TOKEN), Reply::Answer(429, String::new())]).await;
        assert_eq!(named(&create(&server, sending).await), expected);
    }
    // What a refused token came with was not looked at.
    let server = Server::start(vec![answer(TOKEN), answer(TOKEN_REFUSED), answer(TOKEN), answer(REFUND_CREATED)]).await;
    assert_eq!(named(&create(&server, Sending::First).await), "ok");
}

#[test]
fn what_enkash_has_no_place_for_is_a_violation() {
    let fields = |order: RefundOrder| violations(&order).into_iter().map(|violation| violation.field).collect::<Vec<_>>();
    assert!(fields(order()).is_empty());
    assert!(fields(RefundOrder { amount: Money::from_paise(1), ..order() }).is_empty());
    let notes = BTreeMap::from([("bill".to_owned(), "381".to_owned())]);
    assert_eq!(fields(RefundOrder { amount: Money::ZERO, notes, ..order() }), ["amount", "notes"]);
}

#[test]
fn what_an_account_can_refund_is_data() {
    let provider = with(settings("http://127.0.0.1:9".to_owned()));
    let capabilities = &provider.capabilities;
    for operation in [Operation::CreateRefund, Operation::FetchSettlements] {
        assert_eq!(capabilities.missing(operation), None);
    }
    assert_eq!(capabilities.doubt(Operation::CreateRefund), DoubtCure::None, "nobody can say that it was not made");
    let refunds = capabilities.refunds.as_ref().expect("EnKash refunds");
    assert!(refunds.one_at_a_time && refunds.partial && refunds.speeds == [RefundSpeed::Normal]);
    assert!(capabilities.settlements.as_ref().is_some_and(|settlements| !settlements.lines));
    assert!(provider.settlements.is_some_and(|settlements| settlements.report.is_none()));
}

/// What the payment's status shows of a refund, by what it is of and what was refunded before, in rupees of 499.
const TABLE: &str = r#"
status              amount before | shown
SUCCESS             120    0      | not_yet
SUCCESS             499    0      | not_yet
SUCCESS             120    100    | nothing
PARTIALLY_REFUNDED  120    0      | made
PARTIALLY_REFUNDED  499    0      | cannot_tell
PARTIALLY_REFUNDED  120    100    | cannot_tell
PARTIALLY_REFUNDED  399    100    | not_yet
PARTIALLY_REFUNDED  400    100    | cannot_tell
PARTIALLY_REFUNDED  500    0      | cannot_tell
REFUNDED            499    0      | made
REFUNDED            399    100    | made
REFUNDED            120    0      | cannot_tell
REFUNDED            120    100    | cannot_tell
REFUNDED            500    0      | cannot_tell
CREATED             120    0      | nothing
AUTHORIZED          120    0      | nothing
PENDING_WITH_BANK   120    0      | nothing
FAILED              120    0      | nothing
CANCELLED           120    0      | nothing
REFUND_PENDING      120    0      | nothing
refunded            499    0      | nothing
-                   120    0      | nothing
"#;

#[test]
fn what_a_payment_shows_of_a_refund() {
    let mut seen = String::new();
    for line in TABLE.trim().lines() {
        let (question, _) = line.split_once('|').expect("a bar divides the question from its answer");
        let words: Vec<&str> = question.split_whitespace().collect();
        let [status, amount, before] = words[..] else { panic!("{line}") };
        let (Ok(amount), Ok(before)) = (amount.parse(), before.parse()) else {
            seen = format!("{line}\n");
            continue;
        };
        let told = match shown(Some(status).filter(|status| *status != "-"), &known(amount, before)) {
            Some(Shown::Made) => "made",
            Some(Shown::NotYet) => "not_yet",
            Some(Shown::CannotTell) => "cannot_tell",
            None => "nothing",
        };
        seen += &format!("{question}| {told}\n");
    }
    assert_eq!(seen.trim(), TABLE.trim(), "\n{seen}");
    let uncountable = KnownRefund { refunded_before: Money::from_paise(i64::MAX), ..known(120, 0) };
    assert_eq!(shown(Some("REFUNDED"), &uncountable), None);
}

#[tokio::test]
async fn a_refund_stands_as_its_payment_shows() {
    let ask = async |transaction: String, refund: KnownRefund| {
        let server = Server::start(vec![answer(TOKEN), answer(&transaction), answer(&transaction)]).await;
        let enquiry = refunds(&server).enquiry;
        let (fetched, found) = (enquiry.fetch(&refund).await, enquiry.look_up(&refund).await);
        assert_eq!(server.lines()[1..], ["GET /api/v0/payment/EK1", "GET /api/v0/payment/EK1"]);
        (fetched.ok().map(|refund| refund.status), found.ok().map(|refund| refund.map(|refund| refund.status)))
    };
    let with = |status: Value| changed(TRANSACTION, json!({"status": status}));
    let (pending, processed) = (RefundStatus::Pending, RefundStatus::Processed);
    assert_eq!(ask(TRANSACTION.to_owned(), known(120, 0)).await, (Some(processed.clone()), Some(Some(processed.clone()))));
    assert_eq!(ask(with(json!("SUCCESS")), known(120, 0)).await, (Some(pending), Some(None)));
    assert_eq!(ask(with(json!("REFUNDED")), known(120, 0)).await, (Some(RefundStatus::Undecided), Some(None)));
    assert_eq!(ask(with(json!("REFUNDED")), known(399, 100)).await, (Some(processed.clone()), Some(Some(processed))));
    for silent in [with(json!("FAILED")), with(json!(null)), changed(TRANSACTION, json!({"transactionId": "EK2"})), failure(404)] {
        assert_eq!(ask(silent.clone(), known(120, 0)).await, (None, None), "{silent}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

    #[test]
    fn whatever_is_changed_in_a_payment_a_refund_is_made_only_where_it_says_so(
        answer in mutated_texts(TRANSACTION, &["SUCCESS", "REFUNDED", "PARTIALLY_REFUNDED", "FAILED", "EK1"]),
        amount in 1..500_i64,
        before in 0..500_i64,
    ) {
        let Ok(envelope) = read::<wire::Envelope>("answer", answer.as_bytes()) else { return Ok(()) };
        let Some(payload) = envelope.payload else { return Ok(()) };
        let Ok(transaction) = read::<wire::Transaction>("transaction", payload.get().as_bytes()) else { return Ok(()) };
        if shown(status_of(&transaction), &known(amount, before)) == Some(Shown::Made) {
            let is_all = amount + before == 499;
            let words = if is_all { "\"REFUNDED\"" } else { "\"PARTIALLY_REFUNDED\"" };
            prop_assert!(payload.get().contains(words) && (is_all || (before == 0 && amount < 499)), "{} {} {}", payload, amount, before);
        }
    }
}
