//! Notices and debits as Razorpay's requests, and what comes of its answers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::tests::{TIMEOUT, changed, page, provider_at};
use super::*;
use crate::domain::mandate::{MandateOrder, MandatePayer, Registration};
use crate::domain::money::Money;
use crate::domain::personal::{Email, Phone};
use crate::domain::upi::{AmountRule, Pattern};
use crate::providers::Mandates;
use crate::providers::scripted::{Reply, Server, closed_port, named};

const ORDER: &str = include_str!("../../../../tests/golden/razorpay/order.json");
const REQUEST: &str = include_str!("../../../../tests/golden/razorpay/notice_order.request.json");
const OUR_REF: &str = "gold-2026-02";
const ORDER_ID: &str = "order_Pz6iD7nQ1wM5Zg";
const CUSTOMER_ID: &str = "cust_Pz2bN7yC5wL8Ga";
const TOKEN_ID: &str = "token_Pz6eP3hD1rV9Kc";
const PAYMENT_ID: &str = "pay_Pz6kG4wT9cN7Yf";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time of our days")
}

fn payer() -> MandatePayer {
    MandatePayer { phone: Phone::parse("9000000001").ok(), email: Email::parse("asha.rao@example.com").ok(), ..MandatePayer::default() }
}

fn mandate() -> KnownMandate {
    let order = MandateOrder {
        max_amount: Money::from_paise(150_000),
        amount_rule: AmountRule::Max,
        pattern: Pattern::AsPresented,
        day: None,
        valid_from: at(1_767_240_000),
        valid_until: at(1_893_456_000),
        block_funds: false,
        revocable: true,
        payer: payer(),
        purpose: "14".to_owned(),
        name: "Gold plan".to_owned(),
        description: String::new(),
        approval_expire_time: None,
        notes: BTreeMap::new(),
    };
    KnownMandate {
        provider_ref: Some(TOKEN_ID.to_owned()),
        registration: Some(Registration {
            provider_ref: "order_Registration".to_owned(),
            customer_ref: Some(CUSTOMER_ID.to_owned()),
            amount: Some(Money::from_paise(100)),
        }),
        our_ref: "mandate-771".to_owned(),
        order,
    }
}

fn debit() -> DebitOrder {
    DebitOrder {
        amount: Money::from_paise(99_900),
        auto_execute: true,
        execute_after: None,
        description: "February".to_owned(),
        notes: BTreeMap::from([("cycle".to_owned(), "2026-02".to_owned())]),
    }
}

fn notice() -> NoticeOrder {
    let (debit_time, asked) = (at(1_770_300_000), at(1_770_200_000));
    NoticeOrder { mandate: mandate(), debit: debit(), debit_time, our_ref: OUR_REF.to_owned(), asked }
}

fn attempt() -> AttemptOrder {
    AttemptOrder {
        mandate: mandate(),
        payer: payer(),
        amount: Money::from_paise(99_900),
        notice_ref: Some(ORDER_ID.to_owned()),
        our_ref: OUR_REF.to_owned(),
        debit: debit(),
    }
}

/// The documented order as the notice's, `changes` made to its notification.
fn announced(changes: Value) -> Value {
    let notification = json!({"token_id": TOKEN_ID, "payment_after": 1_770_300_000, "id": "notification_Pz6jF2kV8bS4Xe"});
    let notification = changed(&notification.to_string(), changes);
    changed(ORDER, json!({"id": ORDER_ID, "amount": 99_900, "receipt": OUR_REF, "notification": notification}))
}

fn mandates(server: &Server) -> Mandates {
    provider_at(&server.url()).mandates.expect("Razorpay has mandates")
}

fn ok(document: impl ToString) -> Reply {
    Reply::Answer(200, document.to_string())
}

fn error(status: u16, description: &str) -> Reply {
    Reply::Answer(status, json!({"error": {"code": "BAD_REQUEST_ERROR", "description": description}}).to_string())
}

fn is_unanswered<T>(outcome: &Result<T, AskError>) -> bool {
    matches!(outcome, Err(AskError::Unanswered(_)))
}

fn snapshot(status: NoticeStatus) -> NoticeSnapshot {
    NoticeSnapshot { provider_ref: Some(ORDER_ID.to_owned()), status, expires: None }
}

async fn notify(notice: &NoticeOrder, reply: Reply, sending: Sending) -> (Result<NoticeSnapshot, CallError>, usize) {
    let server = Server::start(vec![reply]).await;
    let outcome = mandates(&server).notices.notify(notice, sending, Duration::from_millis(500)).await;
    (outcome, server.lines().len())
}

#[tokio::test]
async fn a_notice_is_the_documented_order() {
    let server = Server::answering(200, announced(json!({}))).await;
    let taken = mandates(&server).notices.notify(&notice(), Sending::First, TIMEOUT).await.expect("it is taken");
    assert_eq!(taken, snapshot(NoticeStatus::Pending));
    let heard = server.the_only_request();
    assert_eq!(heard.line, "POST /v1/orders");
    let mut documented: Value = serde_json::from_str(REQUEST).expect("the golden document is JSON");
    documented["notes"]["upistream_ref"] = json!(OUR_REF);
    assert_eq!(heard.json(), documented);
}

#[tokio::test]
async fn every_answer_to_a_notice_has_one_meaning() {
    let doubt = [
        ok("{}"),
        ok("garbage"),
        // The provider would debit by itself: not an order of ours.
        ok(changed(&announced(json!({})).to_string(), json!({"notification": null}))),
        ok(announced(json!({"token_id": "token_Another"}))),
        ok(changed(&announced(json!({})).to_string(), json!({"amount": 99_901}))),
        ok(changed(&announced(json!({})).to_string(), json!({"receipt": "another"}))),
        error(400, "Order receipt should be unique."),
        error(400, "The token is paused."),
        error(400, "Request failed because another payment operation is in progress."),
        Reply::Answer(500, String::new()),
        Reply::Nothing,
        Reply::Silence,
    ];
    for reply in doubt {
        let (outcome, sent) = notify(&notice(), reply, Sending::First).await;
        assert_eq!((named(&outcome), sent), ("in_doubt", 1), "{outcome:?}");
    }
    for text in ["The id provided does not exist", "The amount must be at least INR 1.00", "Amount exceeds maximum amount allowed."] {
        assert_eq!(named(&notify(&notice(), error(400, text), Sending::First).await.0), "refused", "{text}");
        assert_eq!(named(&notify(&notice(), error(400, text), Sending::Again).await.0), "in_doubt", "{text}");
    }
    assert_eq!(named(&notify(&notice(), Reply::Answer(429, String::new()), Sending::First).await.0), "not_delivered");
    let tokenless = NoticeOrder { mandate: KnownMandate { provider_ref: None, ..mandate() }, ..notice() };
    let server = Server::start(Vec::new()).await;
    let outcome = mandates(&server).notices.notify(&tokenless, Sending::First, TIMEOUT).await;
    assert_eq!((named(&outcome), server.lines().len()), ("not_delivered", 0));
}

#[tokio::test]
async fn a_notice_is_looked_at_by_its_order() {
    let fetch = async |reply: Reply| {
        let server = Server::start(vec![reply]).await;
        (mandates(&server).notice_enquiry.expect("it can be asked").fetch(ORDER_ID).await, server.lines())
    };
    let (pending, lines) = fetch(ok(announced(json!({})))).await;
    assert_eq!((pending.expect("it is answered"), lines), (snapshot(NoticeStatus::Pending), vec![format!("GET /v1/orders/{ORDER_ID}")]));
    let failed = NoticeStatus::Failed { code: String::new(), message: String::new() };
    for (word, delivered_at, expected) in [
        ("delivered", json!(1_770_209_990), NoticeStatus::Delivered { at: Some(at(1_770_209_990)) }),
        ("delivered", json!(null), NoticeStatus::Delivered { at: None }),
        ("failed", json!(null), failed),
        ("on_its_way", json!(null), NoticeStatus::Pending),
    ] {
        let shown = fetch(ok(announced(json!({"status": word, "delivered_at": delivered_at})))).await.0;
        assert_eq!(shown.expect("it is answered"), snapshot(expected), "{word}");
    }
    let bare = changed(&announced(json!({})).to_string(), json!({"notification": null}));
    for reply in [ok(bare), ok("{}"), ok(announced(json!({"delivered_at": i64::MAX, "status": "delivered"}))), Reply::Nothing] {
        assert!(is_unanswered(&fetch(reply).await.0));
    }
    assert!(matches!(fetch(error(400, "The id provided does not exist")).await.0, Err(AskError::Absent)));
}

#[tokio::test]
async fn a_lost_notice_is_looked_up_by_our_reference_and_then_fetched() {
    let look_up = async |replies: Vec<Reply>| {
        let server = Server::start(replies).await;
        (mandates(&server).notice_enquiry.expect("it can be asked").look_up(&notice()).await, server.lines())
    };
    // A list may leave the notification out.
    let listed = || page(vec![changed(&announced(json!({})).to_string(), json!({"notification": null}))]);
    let (found, lines) = look_up(vec![listed(), ok(announced(json!({"status": "delivered"})))]).await;
    assert_eq!(found.expect("it is answered"), Some(snapshot(NoticeStatus::Delivered { at: None })));
    assert_eq!(lines, [format!("GET /v1/orders?receipt={OUR_REF}&count=100"), format!("GET /v1/orders/{ORDER_ID}")]);
    assert_eq!(look_up(vec![page(Vec::new())]).await.0.expect("it is answered"), None);
    let another_amount = changed(&announced(json!({})).to_string(), json!({"amount": 1_000}));
    let bare = changed(&announced(json!({})).to_string(), json!({"notification": null}));
    for document in [another_amount, bare, announced(json!({"token_id": "token_Another"}))] {
        assert!(is_unanswered(&look_up(vec![listed(), ok(document)]).await.0));
    }
}

async fn execute(attempt: &AttemptOrder, replies: Vec<Reply>) -> (Result<AttemptTaken, CallError>, usize) {
    let server = Server::start(replies).await;
    let outcome = mandates(&server).execution.execute(attempt, Duration::from_millis(500)).await;
    (outcome, server.lines().len())
}

#[tokio::test]
async fn a_debit_is_asked_for_once_and_as_documented() {
    let server = Server::answering(200, json!({"razorpay_payment_id": PAYMENT_ID})).await;
    let taken = mandates(&server).execution.execute(&attempt(), TIMEOUT).await.expect("it is taken");
    assert_eq!(taken, AttemptTaken { payment_ref: Some(PAYMENT_ID.to_owned()), order_ref: None });
    let heard = server.the_only_request();
    assert_eq!(heard.line, "POST /v1/payments/create/recurring");
    let documented = json!({
        "email": "asha.rao@example.com", "contact": "+919000000001", "amount": 99_900, "currency": "INR", "order_id": ORDER_ID,
        "customer_id": CUSTOMER_ID, "token": TOKEN_ID, "recurring": true, "description": "February",
        "notes": {"upistream_ref": OUR_REF},
    });
    assert_eq!(heard.json(), documented);

    let signed = json!({"razorpay_payment_id": PAYMENT_ID, "razorpay_order_id": ORDER_ID, "razorpay_signature": "ab"});
    assert_eq!(execute(&attempt(), vec![ok(signed)]).await.0.expect("it is taken"), taken);
}

#[tokio::test]
async fn a_debit_is_refused_only_where_nothing_can_have_moved() {
    let other_order = json!({"razorpay_payment_id": PAYMENT_ID, "razorpay_order_id": "order_Another"});
    let doubt = [
        ok("{}"),
        ok("garbage"),
        ok(json!({"razorpay_payment_id": "pay/1"})),
        ok(other_order),
        // Money has come by it, or is about to.
        error(400, "Your payment has been declined as the order is already paid. Please initiate the payment with a new order."),
        error(400, "Payment already done for this order."),
        error(400, "Request failed because another payment operation is in progress."),
        error(400, "The token is not confirmed."),
        error(400, "The selected recurring is invalid."),
        error(409, "The id provided does not exist"),
        Reply::Answer(302, String::new()),
        Reply::Answer(400, String::new()),
        Reply::Answer(404, String::new()),
        Reply::Answer(500, String::new()),
        Reply::Answer(504, String::new()),
        Reply::Nothing,
        Reply::Silence,
    ];
    for reply in doubt {
        let (outcome, sent) = execute(&attempt(), vec![reply]).await;
        assert_eq!((named(&outcome), sent), ("in_doubt", 1), "{outcome:?}");
    }
    let refusals = [
        "Amount exceeds maximum amount allowed",
        "The requested URL was not found on the server.",
        "The id provided does not exist",
        "token_1 is not a valid id",
        "The email field is required.",
        "token_id is/are not required and should not be sent",
    ];
    for text in refusals {
        assert_eq!(named(&execute(&attempt(), vec![error(400, text)]).await.0), "refused", "{text}");
    }
    for reply in [Reply::Answer(429, String::new()), Reply::Answer(401, String::new())] {
        assert_eq!(named(&execute(&attempt(), vec![reply]).await.0), "not_delivered");
    }
    let closed = provider_at(&closed_port().await).mandates.expect("Razorpay has mandates");
    assert_eq!(named(&closed.execution.execute(&attempt(), TIMEOUT).await), "not_delivered");
}

#[tokio::test]
async fn a_debit_that_lacks_something_is_not_sent() {
    let check = async |change: fn(&mut AttemptOrder)| {
        let mut attempt = attempt();
        change(&mut attempt);
        let (outcome, sent) = execute(&attempt, Vec::new()).await;
        assert_eq!((named(&outcome), sent), ("not_delivered", 0));
        let shown = outcome.expect_err("it is not sent").to_string();
        assert!(!shown.contains("900000") && !shown.contains("example.com"), "{shown}");
    };
    // Without its order the provider would debit by itself.
    check(|attempt| attempt.notice_ref = None).await;
    check(|attempt| attempt.mandate.provider_ref = None).await;
    check(|attempt| attempt.mandate.registration = None).await;
    check(|attempt| attempt.payer.phone = None).await;
    check(|attempt| attempt.payer.phone = Phone::parse("+44 20 7946 0000").ok()).await;
    check(|attempt| attempt.payer.email = None).await;
}

#[test]
fn violations_are_found_all_at_once_and_by_field() {
    let notices = provider_at("http://x").mandates.expect("Razorpay has mandates").notices;
    let check = |order: DebitOrder, expected: &[&str]| {
        let fields: Vec<_> = notices.violations(&order).into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, expected, "{order:?}");
    };
    check(debit(), &[]);
    check(DebitOrder { amount: Money::from_paise(100), ..debit() }, &[]);
    let notes = (0..15).map(|index| (format!("k{index}"), String::new())).collect();
    let all = DebitOrder { amount: Money::from_paise(99), description: "🍵".to_owned(), notes, ..debit() };
    check(all, &["amount", "description", "notes"]);
}

/// The reasons of a debit's failure as they are listed, and what each means.
const REASONS: &str = "
mandate_cancelled                           GiveUp MandateNotUsable
mandate_expired                             GiveUp MandateNotUsable
umn_does_not_exist_payer                    GiveUp MandateNotUsable
invalid_token                               GiveUp MandateNotUsable
payer_account_has_changed                   GiveUp MandateNotUsable
debit_declined                              GiveUp PayerDeclined
debit_instrument_blocked                    GiveUp PayerDeclined
bank_account_invalid                        GiveUp PayerDeclined
remitter_account_dormant                    GiveUp PayerDeclined
mobile_number_invalid                       GiveUp PayerDeclined
number_of_pin_tries_exceeded                GiveUp PayerDeclined
regid_details_must_be_present               GiveUp MandateNotUsable
mandate_paused                              Retry MandateNotUsable
mandate_not_active                          Retry MandateNotUsable
mandate_current_cycle_allowed_debit_exceeds GiveUp ProviderFailed
execution_day_rule_mismatch                 GiveUp ProviderFailed
amount_does_not_match_mandate_amount        GiveUp ProviderFailed
mandate_debit_beyond_psp_amount_cap         GiveUp PayerDeclined
per_transaction_limit_exceeded              GiveUp PayerDeclined
transaction_limit_exceeded                  GiveUp PayerDeclined
limit_exceeded_remitting_bank               GiveUp PayerDeclined
insufficient_funds                          Retry InsufficientFunds
adequate_funds_not_available_blocked        Retry InsufficientFunds
bank_not_available                          MayComeLate ProviderFailed
bank_technical_error                        MayComeLate ProviderFailed
banks_hsm_is_down_remitter                  MayComeLate ProviderFailed
credit_to_beneficiary_failed                MayComeLate ProviderFailed
gateway_technical_error                     MayComeLate ProviderFailed
invalid_response_from_gateway               MayComeLate ProviderFailed
invalid_transaction_beneficiary             MayComeLate ProviderFailed
issuer_dispatch_failed                      MayComeLate ProviderFailed
merchant_error_payee_psp                    MayComeLate ProviderFailed
null_ack_processing_failure                 MayComeLate ProviderFailed
no_original_request_found                   MayComeLate ProviderFailed
payment_failed                              MayComeLate ProviderFailed
payment_timed_out                           MayComeLate ProviderFailed
psp_bank_not_available                      MayComeLate ProviderFailed
psp_not_available                           MayComeLate ProviderFailed
psp_timeout                                 MayComeLate ProviderFailed
remitter_dispatch_failed                    MayComeLate ProviderFailed
request_timed_out                           MayComeLate ProviderFailed
response_not_received_within_tat            MayComeLate ProviderFailed
seqnum_mismatch_payer_psp                   MayComeLate ProviderFailed
payer_seqnum_validation_failure             MayComeLate ProviderFailed
unable_to_process_beneficiary_bank          MayComeLate ProviderFailed
payment_pending                             MayComeLate ProviderFailed
bad_request_error                           MayComeLate ProviderFailed
id_value_must_be_present                    GiveUp ProviderFailed
invalid_vpa                                 GiveUp PayerDeclined
mpin_not_set_by_customer                    GiveUp PayerDeclined
nature_of_debit_not_allowed                 GiveUp PayerDeclined
no_financial_address_record_found           GiveUp PayerDeclined
payment_risk_check_failed                   GiveUp PayerDeclined
payment_stopped_by_court_order              GiveUp PayerDeclined
suspected_fraud_decline                     GiveUp PayerDeclined
transaction_frequency_limit_exceeded        Retry PayerDeclined
transaction_not_allowed                     GiveUp PayerDeclined
transaction_not_permitted_cardholder        GiveUp PayerDeclined
transaction_not_permitted_cardholder_beneficiary GiveUp PayerDeclined
transaction_not_permitted_to_vpa            GiveUp PayerDeclined
vpa_resolution_failed                       MayComeLate ProviderFailed
";

#[test]
fn every_listed_reason_has_one_meaning_and_no_other_is_final() {
    for line in REASONS.trim().lines() {
        let (code, expected) = line.split_once(' ').expect("a reason and its meaning");
        let (meaning, reason) = meaning(code);
        assert_eq!(format!("{meaning:?} {reason:?}"), expected.trim(), "{code}");
    }
    for unlisted in ["", "order_already_paid", "Insufficient_Funds", "insufficient_funds ", "BAD_REQUEST_ERROR", "mandate_cancelled_or_so"]
    {
        assert_eq!(meaning(unlisted), (FailureMeaning::MayComeLate, FailureReason::ProviderFailed), "{unlisted}");
    }
}
