//! Notices and debits against a server that says what it is told to and remembers what it heard.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::domain::debit::NoticeStatus;
use crate::domain::mandate::{MandateOrder, MandatePayer};
use crate::domain::payment::PaymentStatus;
use crate::domain::upi::{AmountRule, Pattern};
use crate::providers::Mandates;
use crate::providers::enkash::tests::{TIMEOUT, TOKEN, TOKEN_REFUSED, answer, changed, failure, settings, with};
use crate::providers::enkash::words::tests::settings as words;
use crate::providers::enkash::{EnkashMandateSettings, EnkashSettings, MandatePaths, Naming};
use crate::providers::scripted::{Heard, Reply, Server, closed_port, named};

const NOTICE: &str = include_str!("../../../../tests/golden/enkash/notice.json");
const DEBIT_ORDER: &str = include_str!("../../../../tests/golden/enkash/debit_order.json");

fn mandates_at(words: EnkashMandateSettings, base_url: String) -> Mandates {
    with(EnkashSettings { mandates: Some(words), ..settings(base_url) }).mandates.expect("its words are configured")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn known(provider_ref: Option<&str>) -> KnownMandate {
    let order = MandateOrder {
        max_amount: Money::from_paise(50_000),
        amount_rule: AmountRule::Max,
        pattern: Pattern::AsPresented,
        day: None,
        valid_from: at("2026-01-01T00:00:00Z"),
        valid_until: at("2027-01-01T00:00:00Z"),
        block_funds: false,
        revocable: true,
        payer: MandatePayer::default(),
        purpose: "14".to_owned(),
        name: "Newspaper".to_owned(),
        description: String::new(),
        approval_expire_time: None,
        notes: BTreeMap::new(),
    };
    KnownMandate { provider_ref: provider_ref.map(str::to_owned), registration: None, our_ref: "m1001".to_owned(), order }
}

fn debit() -> DebitOrder {
    DebitOrder {
        amount: Money::from_paise(29_900),
        auto_execute: true,
        execute_after: None,
        description: "February".to_owned(),
        notes: BTreeMap::new(),
    }
}

fn notice(provider_ref: Option<&str>) -> NoticeOrder {
    NoticeOrder {
        mandate: known(provider_ref),
        debit: debit(),
        // Past midnight in India.
        debit_time: at("2026-01-31T20:00:00Z"),
        our_ref: "n1001".to_owned(),
        asked: at("2026-01-30T20:00:00Z"),
    }
}

fn attempt(provider_ref: Option<&str>) -> AttemptOrder {
    AttemptOrder {
        mandate: known(provider_ref),
        payer: MandatePayer::default(),
        amount: Money::from_paise(29_900),
        notice_ref: None,
        our_ref: "d1001".to_owned(),
        debit: debit(),
    }
}

async fn notified_by(words: EnkashMandateSettings, sending: Sending, reply: Reply) -> (Result<NoticeSnapshot, CallError>, Heard) {
    let server = Server::start(vec![answer(TOKEN), reply]).await;
    let outcome = mandates_at(words, server.url()).notices.notify(&notice(Some("MD1")), sending, TIMEOUT).await;
    (outcome, server.heard().pop().expect("it was asked"))
}

async fn executed_by(words: EnkashMandateSettings, reply: Reply) -> (Result<AttemptTaken, CallError>, Heard) {
    let server = Server::start(vec![answer(TOKEN), reply]).await;
    let outcome = mandates_at(words, server.url()).execution.execute(&attempt(Some("MD1")), TIMEOUT).await;
    assert_eq!(server.heard().len(), 2, "it is sent once");
    (outcome, server.heard().pop().expect("it was asked"))
}

fn camel() -> EnkashMandateSettings {
    EnkashMandateSettings { naming: Naming::CamelCase, paths: MandatePaths::G2, ..words() }
}

#[tokio::test]
async fn a_notice_is_the_documented_request_and_its_answer_the_documented_answer() {
    let (outcome, heard) = notified_by(camel(), Sending::First, answer(NOTICE)).await;
    assert_eq!(heard.line, "POST /api/v0/upi-autopay/mandates/pre-debit-notification");
    assert_eq!(heard.body, r#"{"mandateId":"MD1","amount":299.00,"debitDate":"2026-02-01"}"#);
    let expected = NoticeSnapshot {
        provider_ref: None,
        status: NoticeStatus::Delivered { at: None },
        // The last second of 1 February in India.
        expires: Some(at("2026-02-01T18:29:59Z")),
    };
    assert_eq!(outcome.expect("it is taken"), expected);

    let (_, heard) = notified_by(words(), Sending::First, answer(NOTICE)).await;
    assert_eq!(heard.line, "POST /api/v0/upi-mandate/notify");
    assert_eq!(heard.json(), json!({"mandate_id": "MD1", "amount": 299.0, "debit_date": "2026-02-01"}));
}

#[tokio::test]
async fn what_became_of_a_notice_is_what_the_configured_word_says() {
    let status = async |changes: serde_json::Value| {
        notified_by(words(), Sending::First, answer(changed(NOTICE, changes))).await.0.expect("it is taken").status
    };
    assert_eq!(status(json!({"status": "PENDING"})).await, NoticeStatus::Pending);
    assert_eq!(status(json!({"status": "FAILED"})).await, NoticeStatus::Failed { code: "FAILED".to_owned(), message: String::new() });
    for unheard in [json!({"status": "DELIVERED"}), json!({"status": null}), json!({"status": 1})] {
        assert_eq!(status(unheard).await, NoticeStatus::Pending, "nothing is debited by a word that means nothing");
    }
    // Of another notice, or of nothing that can be read.
    let other = [json!({"mandateId": "MD2"}), json!({"amount": "298.00"}), json!({"amount": 1}), json!({"debitDate": "2026-02-02"})];
    for changes in other {
        let (outcome, _) = notified_by(words(), Sending::First, answer(changed(NOTICE, changes.clone()))).await;
        assert_eq!(named(&outcome), "in_doubt", "{changes}");
    }
}

#[tokio::test]
async fn a_notice_is_refused_or_in_doubt() {
    let check = async |sending: Sending, reply: Reply, expected: &str| {
        let (outcome, _) = notified_by(words(), sending, reply).await;
        assert_eq!(named(&outcome), expected, "{outcome:?}");
    };
    check(Sending::First, answer(failure(156)), "refused").await;
    check(Sending::First, answer(json!({"response_code": 9, "payload": {"mandateId": "MD1"}})), "refused").await;
    check(Sending::Again, answer(failure(156)), "in_doubt").await;
    for reply in [answer("<html>"), answer(json!({"response_code": 0})), Reply::Answer(503, failure(1)), Reply::Nothing] {
        check(Sending::First, reply, "in_doubt").await;
    }
    check(Sending::First, Reply::Answer(429, failure(1)), "not_delivered").await;
    let unknown = mandates_at(words(), closed_port().await).notices;
    assert_eq!(named(&unknown.notify(&notice(None), Sending::First, TIMEOUT).await), "not_delivered", "without EnKash's id");
}

#[tokio::test]
async fn a_debit_is_the_documented_request_and_its_answer_an_order() {
    let (outcome, heard) = executed_by(camel(), answer(DEBIT_ORDER)).await;
    assert_eq!(heard.line, "POST /api/v0/upi-autopay/mandates/debit");
    assert_eq!(heard.body, r#"{"mandateId":"MD1","amount":299.00,"remarks":"d1001"}"#);
    let expected = AttemptTaken { payment_ref: Some("EK7".to_owned()), order_ref: Some("ORD7".to_owned()) };
    assert_eq!(outcome.expect("it is taken"), expected);

    let in_snake_case = DEBIT_ORDER.replace("orderId", "order_id").replace("transactionId", "transaction_id");
    let (outcome, heard) = executed_by(words(), answer(in_snake_case)).await;
    assert_eq!(heard.line, "POST /api/v0/upi-mandate/execute");
    assert_eq!(heard.json(), json!({"mandate_id": "MD1", "amount": 299.0, "remarks": "d1001"}));
    assert_eq!(outcome.expect("it is taken"), expected);
}

#[tokio::test]
async fn the_order_of_a_debit_is_not_lost_for_what_else_the_answer_has() {
    let two = json!({"transactions": [{"transactionId": "EK7"}, {"transactionId": "EK8"}]});
    let strange = json!({"status": "NEWS", "transactions": [{"transactionId": "../x"}]});
    for changes in [two, strange, json!({"transactions": []}), json!({"transactions": null}), json!({"transactions": [7]})] {
        let (outcome, _) = executed_by(words(), answer(changed(DEBIT_ORDER, changes.clone()))).await;
        let expected = AttemptTaken { payment_ref: None, order_ref: Some("ORD7".to_owned()) };
        assert_eq!(outcome.expect("it is taken"), expected, "{changes}");
    }
    let wrong = [
        json!({"amount": 2.99}),
        json!({"amount": null}),
        json!({"amount": 29_900}),
        json!({"currency": "USD"}),
        json!({"orderId": null}),
        json!({"orderId": "../x"}),
    ];
    for changes in wrong {
        let (outcome, _) = executed_by(words(), answer(changed(DEBIT_ORDER, changes.clone()))).await;
        assert_eq!(named(&outcome), "in_doubt", "{changes}");
    }
}

#[tokio::test]
async fn no_failure_of_a_debit_is_a_refusal() {
    for status in [200, 302, 400, 404, 409, 422, 500, 503] {
        let (outcome, _) = executed_by(words(), Reply::Answer(status, failure(156))).await;
        assert_eq!(named(&outcome), "in_doubt", "{status}");
    }
    for reply in [answer("<html>"), answer("{}"), answer(json!({"response_code": 0})), Reply::Nothing] {
        assert_eq!(named(&executed_by(words(), reply).await.0), "in_doubt");
    }
    assert_eq!(named(&executed_by(words(), Reply::Answer(429, failure(1))).await.0), "not_delivered");

    let nobody = mandates_at(words(), closed_port().await).execution;
    assert_eq!(named(&nobody.execute(&attempt(Some("MD1")), TIMEOUT).await), "not_delivered", "nobody was there");
    assert_eq!(named(&nobody.execute(&attempt(None), TIMEOUT).await), "not_delivered", "without EnKash's id");
    let second = TOKEN.replace("tkn-7f2c", "tkn-second");
    let server = Server::start(vec![answer(TOKEN), answer(TOKEN_REFUSED), answer(second), answer(TOKEN_REFUSED)]).await;
    let outcome = mandates_at(words(), server.url()).execution.execute(&attempt(Some("MD1")), TIMEOUT).await;
    assert_eq!(named(&outcome), "not_delivered", "no token was taken");
}

#[tokio::test]
async fn the_payments_of_a_debits_order_are_all_known_or_none() {
    let of_order = async |changes: serde_json::Value| {
        let server = Server::start(vec![answer(TOKEN), answer(changed(DEBIT_ORDER, changes))]).await;
        let payments = mandates_at(words(), server.url()).payments.of_order("ORD7").await;
        assert_eq!(server.lines()[1], "GET /api/v0/orders/ORD7");
        payments
    };
    let only = |payments: Result<Vec<PaymentSnapshot>, AskError>| -> PaymentSnapshot {
        let [only] = payments.expect("it is readable").try_into().expect("one payment");
        only
    };
    let pending = only(of_order(json!({})).await);
    assert_eq!((pending.provider_ref.as_str(), pending.status, pending.amount), ("EK7", PaymentStatus::Pending, Money::from_paise(29_900)));
    let paid = json!({"status": "PAID", "transactions": [{"transactionId": "EK7", "status": "SUCCESS"}]});
    assert_eq!(only(of_order(paid).await).status, PaymentStatus::Captured);
    let failed = only(of_order(json!({"transactions": [{"transactionId": "EK7", "status": "FAILED"}]})).await);
    assert!(matches!(failed.status, PaymentStatus::Failed { code, .. } if code == "FAILED"));
    assert_eq!(of_order(json!({"transactions": []})).await.expect("it is readable"), []);

    let unreadable = [
        json!({"transactions": [{"transactionId": "EK7", "status": "SUCCESS"}, {"transactionId": "EK8", "status": "NEWS"}]}),
        json!({"status": "PAID", "transactions": [{"transactionId": "EK7"}, {"transactionId": "EK8"}]}),
        json!({"status": "NEWS"}),
        json!({"orderId": "ORD8"}),
    ];
    for changes in unreadable {
        assert!(matches!(of_order(changes.clone()).await, Err(AskError::Unanswered(_))), "{changes}");
    }
}

#[test]
fn no_reason_of_a_failed_debit_is_known_to_be_final() {
    let execution = mandates_at(words(), "http://127.0.0.1:9".to_owned()).execution;
    for code in ["FAILED", "CANCELLED", "insufficient_funds", ""] {
        assert_eq!(execution.meaning(code), (FailureMeaning::MayComeLate, FailureReason::ProviderFailed), "{code}");
    }
}

#[test]
fn what_enkash_has_no_place_for_is_a_violation() {
    let fields = |order: DebitOrder| -> Vec<String> { violations(&order).into_iter().map(|violation| violation.field).collect() };
    assert_eq!(fields(debit()), [""; 0]);
    assert_eq!(fields(DebitOrder { amount: Money::ZERO, ..debit() }), ["amount"]);
    assert_eq!(fields(DebitOrder { notes: BTreeMap::from([("a".to_owned(), "b".to_owned())]), ..debit() }), ["notes"]);
}
