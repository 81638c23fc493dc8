//! Mandates against a server that says what it is told to and remembers what it heard.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::domain::account::DoubtCure;
use crate::domain::mandate::MandatePayer;
use crate::domain::money::Money;
use crate::domain::personal::PersonName;
use crate::domain::upi::{AmountRule, Day, DayRule};
use crate::providers::Mandates;
use crate::providers::enkash::tests::{TIMEOUT, TOKEN, answer, changed, failure, settings, with};
use crate::providers::enkash::words::AmountUnit;
use crate::providers::enkash::words::tests::settings as words;
use crate::providers::enkash::{EnkashMandateSettings, EnkashSettings};
use crate::providers::scripted::{Heard, Reply, Server, closed_port, named};

const CREATE: &str = include_str!("../../../../tests/golden/enkash/create_mandate.json");
const MANDATE: &str = include_str!("../../../../tests/golden/enkash/mandate.json");
const CALLBACK: &str = include_str!("../../../../tests/golden/enkash/mandate_callback.json");

fn mandates_by(words: EnkashMandateSettings, base_url: String) -> Mandates {
    with(EnkashSettings { mandates: Some(words), ..settings(base_url) }).mandates.expect("its words are configured")
}

fn mandates(server: &Server) -> Mandates {
    mandates_by(words(), server.url())
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn order() -> MandateOrder {
    MandateOrder {
        max_amount: Money::from_paise(2_540),
        amount_rule: AmountRule::Max,
        pattern: Pattern::Monthly,
        day: Some(Day { number: 5, rule: DayRule::Before }),
        // Half past midnight in India.
        valid_from: at("2026-01-31T19:00:00Z"),
        valid_until: at("2027-01-30T19:00:00Z"),
        block_funds: false,
        revocable: true,
        payer: MandatePayer { vpa: Vpa::parse("asha@examplebank").ok(), name: PersonName::parse("Asha").ok(), phone: None, email: None },
        purpose: "14".to_owned(),
        name: "Newspaper".to_owned(),
        description: "Each month".to_owned(),
        approval_expire_time: Some(at("2026-01-31T20:30:00Z")),
        notes: BTreeMap::new(),
    }
}

fn known() -> KnownMandate {
    KnownMandate { provider_ref: Some("MD1".to_owned()), registration: None, our_ref: "m1001".to_owned(), order: order() }
}

/// What the creation of `order` comes to when the answer is `reply`, and what was heard.
async fn created(
    words: EnkashMandateSettings,
    order: &MandateOrder,
    sending: Sending,
    reply: Reply,
) -> (Result<MandateCreated, CallError>, Heard) {
    let server = Server::start(vec![answer(TOKEN), reply]).await;
    let outcome = mandates_by(words, server.url()).creation.create(order, "m1001", sending, TIMEOUT).await;
    (outcome, server.heard().pop().expect("it was asked"))
}

fn success(payload: Value) -> Reply {
    answer(json!({"response_code": 0, "response_message": "Success", "payload": payload}))
}

fn ready(outcome: Result<MandateCreated, CallError>) -> MandateSnapshot {
    match outcome {
        Ok(MandateCreated::Ready(snapshot)) => *snapshot,
        other => panic!("it is made: {other:?}"),
    }
}

#[tokio::test]
async fn a_mandate_is_the_documented_request_in_the_configured_spelling() {
    let camel = EnkashMandateSettings { naming: Naming::CamelCase, paths: MandatePaths::G2, ..words() };
    let (outcome, heard) = created(camel, &order(), Sending::First, success(json!({"mandateId": "MD1"}))).await;
    assert_eq!(ready(outcome).provider_ref.as_deref(), Some("MD1"));
    assert_eq!(heard.line, "POST /api/v0/upi-autopay/mandates");
    assert_eq!(heard.json(), serde_json::from_str::<Value>(CREATE).expect("the golden document is JSON"));

    let (_, heard) = created(words(), &order(), Sending::First, success(json!({}))).await;
    assert_eq!(heard.line, "POST /api/v0/upi-mandate");
    let sent = heard.json();
    assert_eq!((&sent["reference_id"], &sent["amount_rule"], &sent["block_fund"]), (&json!("m1001"), &json!("MAX"), &json!(false)));
    assert_eq!(sent["payer"]["account_validation"], json!(false));
    assert_eq!(sent["validity"], json!({"start_at": "2026-02-01T00:00:00+05:30", "end_at": "2027-01-31T23:59:59+05:30"}));
    assert!(!heard.body.contains("referenceId") && !heard.body.contains("upi_reference_url"), "{}", heard.body);
}

#[tokio::test]
async fn what_a_mandate_says_of_money_days_and_time_is_what_is_configured() {
    let rupees = EnkashMandateSettings { amount_unit: AmountUnit::Rupees, ..words() };
    let whole = MandateOrder { max_amount: Money::from_paise(250_000), amount_rule: AmountRule::Exact, ..order() };
    let (_, heard) = created(rupees.clone(), &whole, Sending::First, success(json!({}))).await;
    assert_eq!((heard.json()["amount"].clone(), heard.json()["amount_rule"].clone()), (json!(2500), json!("EXACT")));

    let as_presented = MandateOrder { pattern: Pattern::AsPresented, day: None, approval_expire_time: None, ..order() };
    let (outcome, heard) = created(words(), &as_presented, Sending::First, success(json!({}))).await;
    assert_eq!(heard.json()["recurrence"], json!({"period": "ASPRESENTED", "rule": "NA", "value": 0}));
    // The clock of these tests shows 31 December, 23:29:59 UTC.
    assert_eq!(heard.json()["expiry"], json!("2026-01-02T04:59:59+05:30"));
    assert_eq!(ready(outcome).approval_expire_time, Some(at("2026-01-01T23:29:59Z")));

    // What can't be said is not sent, and nothing but what can be is offered.
    let nowhere = closed_port().await;
    let not_sent = async |words: EnkashMandateSettings, order: MandateOrder| {
        let outcome = mandates_by(words, nowhere.clone()).creation.create(&order, "m1001", Sending::First, TIMEOUT).await;
        assert_eq!(named(&outcome), "not_delivered", "{outcome:?}");
    };
    not_sent(rupees, order()).await;
    not_sent(EnkashMandateSettings { no_rule: None, ..words() }, as_presented).await;
    not_sent(EnkashMandateSettings { rules: Vec::new(), ..words() }, order()).await;
    not_sent(EnkashMandateSettings { periods: Vec::new(), ..words() }, order()).await;
    not_sent(words(), MandateOrder { day: None, ..order() }).await;
    not_sent(words(), MandateOrder { payer: MandatePayer::default(), ..order() }).await;
}

#[tokio::test]
async fn of_a_success_only_ids_are_believed() {
    let told = async |reply: Reply| created(words(), &order(), Sending::First, reply).await.0;
    let bare = || json!({"response_code": 0, "response_message": "Success"});
    for reply in [answer(bare()), success(json!("Mandate created.")), success(json!({"status": "ACTIVE"}))] {
        let snapshot = ready(told(reply).await);
        let MandateSnapshot { provider_ref, our_ref, status, approval_link, .. } = snapshot;
        assert_eq!((provider_ref, our_ref.as_deref(), approval_link.as_str()), (None, Some("m1001"), ""));
        assert_eq!(status, MandateStatus::AwaitingApproval, "that the payer approved is for the get to say");
    }
    for spelling in [json!({"mandateId": "MD1", "referenceId": "m1001"}), json!({"mandate_id": "MD1", "reference_id": "m1001"})] {
        assert_eq!(ready(told(success(spelling)).await).provider_ref.as_deref(), Some("MD1"));
    }
    let wrong = [
        json!({"mandateId": "MD1", "referenceId": "another"}),
        json!({"mandateId": "../x"}),
        json!({"mandateId": "MD1", "mandate_id": "MD2"}),
    ];
    for payload in wrong {
        assert_eq!(named(&told(success(payload.clone())).await), "in_doubt", "{payload}");
    }
}

#[tokio::test]
async fn a_failure_of_a_creation_is_a_refusal_unless_money_would_be_blocked() {
    let one_time = || MandateOrder { pattern: Pattern::OneTime, day: None, ..order() };
    let blocking = || MandateOrder { block_funds: true, ..one_time() };
    let check = async |order: MandateOrder, sending: Sending, reply: Reply, expected: &str| {
        let (outcome, _) = created(words(), &order, sending, reply).await;
        assert_eq!(named(&outcome), expected, "{outcome:?}");
    };
    check(order(), Sending::First, answer(failure(156)), "refused").await;
    check(order(), Sending::First, Reply::Answer(400, failure(156)), "refused").await;
    check(one_time(), Sending::First, answer(failure(156)), "refused").await;
    check(blocking(), Sending::First, answer(failure(156)), "in_doubt").await;
    check(order(), Sending::Again, answer(failure(156)), "in_doubt").await;
    let made_all_the_same = || answer(json!({"response_code": 9, "payload": {"mandate_id": "MD1"}}));
    check(order(), Sending::First, made_all_the_same(), "in_doubt").await;
    for reply in [answer("<html>"), answer("{}"), Reply::Answer(500, failure(1)), Reply::Answer(403, failure(1)), Reply::Nothing] {
        check(order(), Sending::First, reply, "in_doubt").await;
    }
    check(order(), Sending::First, Reply::Answer(429, failure(1)), "not_delivered").await;
    let none = json!({"token": "", "resultCode": 1, "resultMessage": "wrong keys"});
    let server = Server::start(vec![answer(none)]).await;
    let outcome = mandates(&server).creation.create(&order(), "m1001", Sending::First, TIMEOUT).await;
    assert_eq!(named(&outcome), "not_delivered", "without a token nothing is sent");
}

async fn fetched(body: String, known: KnownMandate) -> Result<MandateSnapshot, AskError> {
    let server = Server::start(vec![answer(TOKEN), answer(body)]).await;
    let fetched = mandates(&server).enquiry.fetch(&known).await;
    assert_eq!(server.lines()[1], "GET /api/v0/upi-mandate/m1001");
    fetched
}

#[tokio::test]
async fn a_mandate_is_read_in_both_spellings() {
    let camel = MANDATE
        .replace("reference_id", "referenceId")
        .replace("mandate_id", "mandateId")
        .replace("amount_rule", "amountRule")
        .replace("block_fund", "blockFund");
    for document in [MANDATE.to_owned(), camel] {
        let snapshot = fetched(document, known()).await.expect("it is readable");
        let expected = MandateSnapshot {
            provider_ref: Some("MD1".to_owned()),
            our_ref: Some("m1001".to_owned()),
            max_amount: Some(Money::from_paise(2_540)),
            umn: Some("c27f5fc30d344e9594fce0afa34f8859@examplebank".to_owned()),
            payer_vpa: Vpa::parse("asha@examplebank").ok(),
            ..MandateSnapshot::of(MandateStatus::Active)
        };
        assert_eq!(snapshot, expected);
    }
    // The callback has the same fields, as far as they are readable, and no state among them.
    let callback = format!(r#"{{"response_code": 0, "payload": {CALLBACK}}}"#);
    let snapshot = fetched(callback, known()).await.expect("it is readable");
    assert_eq!((snapshot.status, snapshot.max_amount), (MandateStatus::Undecided, Some(Money::from_paise(2_540))));
}

#[tokio::test]
async fn an_answer_about_another_mandate_or_other_money_is_none() {
    let unreadable = [
        json!({"reference_id": "another"}),
        json!({"reference_id": null, "mandate_id": "MD2"}),
        json!({"reference_id": null, "mandate_id": null}),
        json!({"mandate_id": "../x"}),
        json!({"currency": "USD"}),
        json!({"amount": 25.4}),
        json!({"amount": 0}),
        json!({"amount": "a lot"}),
    ];
    for changes in unreadable {
        let outcome = fetched(changed(MANDATE, changes.clone()), known()).await;
        assert!(matches!(outcome, Err(AskError::Unanswered(_))), "{changes}: {outcome:?}");
    }
    // EnKash's own id of it is as good as our reference.
    assert!(fetched(changed(MANDATE, json!({"reference_id": null})), known()).await.is_ok());
    // What is not told is not known.
    let bare = fetched(changed(MANDATE, json!({"amount": null, "payer": "asha", "umn": "one of them", "status": "LIVE"})), known()).await;
    let bare = bare.expect("it is readable");
    assert_eq!((bare.max_amount, bare.payer_vpa, bare.umn, bare.status), (None, None, None, MandateStatus::Undecided));
    assert!(matches!(fetched(failure(404), known()).await, Err(AskError::Unanswered(_))));
}

#[tokio::test]
async fn a_lost_creation_is_found_by_its_reference() {
    let look_up = async |reply: Reply| {
        let server = Server::start(vec![answer(TOKEN), reply]).await;
        let found = mandates(&server).enquiry.look_up(&order(), "m1001", Timestamp::UNIX_EPOCH).await;
        assert_eq!(server.lines()[1], "GET /api/v0/upi-mandate/m1001");
        found
    };
    let Ok(Some(MandateCreated::Ready(found))) = look_up(answer(MANDATE)).await else { panic!("it is there") };
    assert_eq!((found.provider_ref.as_deref(), &found.status), (Some("MD1"), &MandateStatus::Active));
    assert!(matches!(look_up(answer(failure(404))).await, Ok(None)));
    for reply in [
        answer("<html>"),
        Reply::Answer(500, failure(1)),
        Reply::Answer(429, failure(1)),
        answer(changed(MANDATE, json!({"reference_id": "another"}))),
        answer(changed(MANDATE, json!({"reference_id": null}))),
    ] {
        assert!(matches!(look_up(reply).await, Err(AskError::Unanswered(_))), "nothing is known by that");
    }
}

#[tokio::test]
async fn a_revoke_is_taken_or_in_doubt() {
    let revoke = async |words: EnkashMandateSettings, reply: Reply| {
        let server = Server::start(vec![answer(TOKEN), reply]).await;
        let revoking = mandates_by(words, server.url()).revoking.expect("it can be revoked");
        let outcome = revoking.revoke(&known(), TIMEOUT).await;
        (outcome, server.heard().pop().expect("it was asked"))
    };
    for reply in [success(json!({"reference_id": "m1001", "status": "REVOKED"})), answer(json!({"response_code": 0}))] {
        let (outcome, heard) = revoke(words(), reply).await;
        let snapshot = outcome.expect("it is taken");
        assert_eq!((snapshot.status, snapshot.our_ref.as_deref()), (MandateStatus::Revoking, Some("m1001")));
        assert_eq!((heard.line.as_str(), heard.body.as_str()), ("PATCH /api/v0/upi-mandate/revoke", r#"{"reference_id":"m1001"}"#));
    }
    let camel = |paths| EnkashMandateSettings { naming: Naming::CamelCase, paths, ..words() };
    let (_, heard) = revoke(camel(MandatePaths::G3), answer(json!({"response_code": 0}))).await;
    assert_eq!(heard.body, r#"{"referenceId":"m1001"}"#);
    let (_, heard) = revoke(camel(MandatePaths::G2), answer(json!({"response_code": 0}))).await;
    assert_eq!((heard.line.as_str(), heard.body.as_str()), ("PATCH /api/v0/upi-mandate/revoke", r#"{"reference_id":"m1001"}"#));

    let doubtful = [
        answer(failure(156)),
        Reply::Answer(404, failure(156)),
        Reply::Answer(500, String::new()),
        Reply::Nothing,
        success(json!({"reference_id": "another"})),
    ];
    for reply in doubtful {
        assert_eq!(named(&revoke(words(), reply).await.0), "in_doubt");
    }
    assert_eq!(named(&revoke(words(), Reply::Answer(429, String::new())).await.0), "not_delivered");
}

#[test]
fn what_enkash_has_no_place_for_is_a_violation() {
    let fields_by = |words: EnkashMandateSettings, order: MandateOrder| -> Vec<String> {
        violations(&order, &words).into_iter().map(|violation| violation.field).collect()
    };
    let fields = |order: MandateOrder| fields_by(words(), order);
    assert_eq!(fields(order()), [""; 0]);
    let one_time = || MandateOrder { pattern: Pattern::OneTime, day: None, purpose: "01".to_owned(), ..order() };
    assert_eq!(fields(MandateOrder { block_funds: true, ..one_time() }), [""; 0]);
    assert_eq!(fields(MandateOrder { block_funds: true, ..order() }), ["block_funds"]);
    assert_eq!(fields(MandateOrder { purpose: "14".to_owned(), ..one_time() }), ["purpose"]);
    assert_eq!(fields(MandateOrder { purpose: "76".to_owned(), ..order() }), ["purpose"]);
    assert_eq!(fields(MandateOrder { payer: MandatePayer::default(), ..order() }), ["payer_vpa", "payer_name"]);
    assert_eq!(fields(MandateOrder { revocable: false, ..order() }), ["revocable"]);
    assert_eq!(fields(MandateOrder { notes: BTreeMap::from([("a".to_owned(), "b".to_owned())]), ..order() }), ["notes"]);
    assert_eq!(fields(MandateOrder { max_amount: Money::ZERO, ..order() }), ["max_amount"]);
    assert_eq!(fields(MandateOrder { day: None, ..order() }), ["debit_day"]);
    assert_eq!(fields(MandateOrder { pattern: Pattern::Daily, ..order() }), ["debit_day"]);
    assert_eq!(fields_by(EnkashMandateSettings { amount_unit: AmountUnit::Rupees, ..words() }, order()), ["max_amount"]);
    assert_eq!(fields_by(EnkashMandateSettings { no_rule: None, ..words() }, one_time()), ["frequency"]);
    let on = EnkashMandateSettings { rules: vec![(DayRule::On, "ON".to_owned())], ..words() };
    assert_eq!(fields_by(on, order()), ["debit_day_rule"]);
}

#[test]
fn without_its_words_an_account_has_no_mandates_and_says_why() {
    let nowhere = || settings("http://127.0.0.1:9".to_owned());
    let without = with(nowhere());
    assert!(without.mandates.is_none() && without.capabilities.mandates.is_none());
    let why = without.capabilities.missing(Operation::ExecuteDebit).expect("it can't be done");
    assert!(why.contains("set accounts.NAME.enkash.mandates"), "{why}");

    let configured = with(EnkashSettings { mandates: Some(words()), mcc: Some("5411".to_owned()), ..nowhere() });
    assert!(configured.mandates.is_some());
    let capabilities = configured.capabilities;
    let cure = |operation| (capabilities.missing(operation).is_none(), capabilities.doubt(operation));
    assert_eq!(cure(Operation::CreateMandate), (true, DoubtCure::Lookup));
    assert_eq!(cure(Operation::CreateDebit), (true, DoubtCure::SafeResend));
    assert_eq!(cure(Operation::ExecuteDebit), (true, DoubtCure::None));
    assert!(capabilities.missing(Operation::PauseMandate).is_some());
    let capability = capabilities.mandates.expect("there are mandates");
    assert!(capability.payer_vpa && !capability.approval_link && capability.day_required && !capability.irrevocable);
    assert_eq!((capability.amount_max, capability.mcc.as_deref()), (Money::from_paise(10_000_000), Some("5411")));
}
