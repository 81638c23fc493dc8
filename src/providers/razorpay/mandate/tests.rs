//! The documents of Razorpay's about mandates, field by field; orders as its requests; and what comes of its answers.

use serde_json::{Value, json};

use super::super::tests::{TIMEOUT, changed, page, provider_at};
use super::*;
use crate::domain::personal::{Email, PersonName, Phone};
use crate::domain::upi::{AmountRule, Day, DayRule, Pattern};
use crate::providers::Mandates;
use crate::providers::scripted::{Heard, Reply, Server, closed_port, named};

const CUSTOMER: &str = include_str!("../../../../tests/golden/razorpay/customer.json");
const ORDER: &str = include_str!("../../../../tests/golden/razorpay/order.json");
const ORDER_REQUEST: &str = include_str!("../../../../tests/golden/razorpay/mandate_order.request.json");
const AUTHORIZATION: &str = include_str!("../../../../tests/golden/razorpay/authorization_payment.json");
const PAYMENT: &str = include_str!("../../../../tests/golden/razorpay/payment.json");
const TOKEN: &str = include_str!("../../../../tests/golden/razorpay/token.json");
const OUR_REF: &str = "mandate-771";
const ORDER_ID: &str = "order_Pz4jW8nB3cR6Ys";
const CUSTOMER_ID: &str = "cust_Pz2bN7yC5wL8Ga";
const TOKEN_ID: &str = "token_Pz6eP3hD1rV9Kc";
/// 1 January 2026, 9:30 in India.
const NOW: i64 = 1_767_240_000;

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time of our days")
}

pub fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("a time of our days")
}

pub fn payer() -> MandatePayer {
    MandatePayer {
        vpa: None,
        name: PersonName::parse("Asha Rao").ok(),
        phone: Phone::parse("9000000001").ok(),
        email: Email::parse("asha.rao@example.com").ok(),
    }
}

pub fn order() -> MandateOrder {
    MandateOrder {
        max_amount: Money::from_paise(150_000),
        amount_rule: AmountRule::Max,
        pattern: Pattern::Monthly,
        day: Some(Day { number: 5, rule: DayRule::After }),
        valid_from: now(),
        // 1 January 2030, 5:30 in India.
        valid_until: at("2030-01-01T00:00:00Z"),
        block_funds: false,
        revocable: true,
        payer: payer(),
        purpose: "14".to_owned(),
        name: "Gold plan".to_owned(),
        description: String::new(),
        approval_expire_time: None,
        notes: BTreeMap::from([("plan".to_owned(), "gold".to_owned())]),
    }
}

fn registration() -> Registration {
    Registration {
        provider_ref: ORDER_ID.to_owned(),
        customer_ref: Some(CUSTOMER_ID.to_owned()),
        amount: Some(Money::from_paise(COLLECTED_PAISE)),
    }
}

fn known(provider_ref: Option<&str>) -> KnownMandate {
    KnownMandate {
        provider_ref: provider_ref.map(str::to_owned),
        registration: Some(registration()),
        our_ref: OUR_REF.to_owned(),
        order: order(),
    }
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

fn ours(changes: Value) -> Value {
    changed(&changed(ORDER, json!({"receipt": OUR_REF, "amount": COLLECTED_PAISE})).to_string(), changes)
}

fn is_unanswered<T>(outcome: &Result<T, AskError>) -> bool {
    matches!(outcome, Err(AskError::Unanswered(_)))
}

#[tokio::test]
async fn a_mandate_is_a_customer_and_an_order_each_asked_for_once() {
    let server = Server::start(vec![ok(CUSTOMER), ok(ours(json!({})))]).await;
    let made = mandates(&server).creation.create(&order(), OUR_REF, Sending::First, TIMEOUT).await.expect("it is made");
    assert_eq!(made, MandateCreated::Registered(registration()));

    let [customer, asked] = server.heard().try_into().expect("two requests");
    assert_eq!(customer.line, "POST /v1/customers");
    let documented = json!({"name": "Asha Rao", "contact": "+919000000001", "email": "asha.rao@example.com", "fail_existing": "0"});
    assert_eq!(customer.json(), documented);
    assert_eq!(asked.line, "POST /v1/orders");
    let mut documented: Value = serde_json::from_str(ORDER_REQUEST).expect("the golden document is JSON");
    documented["payment_capture"] = json!(true);
    documented["notes"]["upistream_ref"] = json!(OUR_REF);
    documented["token"]["expire_at"] = json!(1_893_522_599);
    assert_eq!(asked.json(), documented);
}

#[tokio::test]
async fn whatever_becomes_of_the_customer_no_order_was_sent() {
    let create = async |reply: Reply, sending| {
        let server = Server::start(vec![reply]).await;
        let outcome = mandates(&server).creation.create(&order(), OUR_REF, sending, Duration::from_millis(600)).await;
        assert_eq!(server.lines(), ["POST /v1/customers"], "nothing else was asked for");
        outcome
    };
    let lost = || {
        [
            Reply::Nothing,
            Reply::Silence,
            Reply::Answer(500, String::new()),
            Reply::Answer(429, String::new()),
            Reply::Answer(401, String::new()),
            ok("garbage"),
            ok("{}"),
            ok(changed(CUSTOMER, json!({"id": "cust/1"}))),
            ok(changed(CUSTOMER, json!({"entity": "order"}))),
            error(400, "Customer already exists for the merchant"),
            error(400, "A rule that we never heard of."),
        ]
    };
    for reply in lost() {
        assert_eq!(named(&create(reply, Sending::First).await), "not_delivered");
    }
    for reply in lost() {
        assert_eq!(named(&create(reply, Sending::Again).await), "in_doubt", "an earlier order may have been sent");
    }
    for text in [
        "Contact number should be at least 8 digits, including country code",
        "The email must be a valid email address.",
        "The name format is invalid.",
        "The name may not be greater than 50 characters.",
    ] {
        assert_eq!(named(&create(error(400, text), Sending::First).await), "refused", "{text}");
    }
    let closed = provider_at(&closed_port().await).mandates.expect("Razorpay has mandates");
    assert_eq!(named(&closed.creation.create(&order(), OUR_REF, Sending::First, TIMEOUT).await), "not_delivered");
    let unnamed = MandateOrder { payer: MandatePayer::default(), ..order() };
    assert_eq!(named(&closed.creation.create(&unnamed, OUR_REF, Sending::First, TIMEOUT).await), "not_delivered");
}

#[tokio::test]
async fn every_answer_to_the_order_has_one_meaning() {
    let create = async |reply: Reply, sending| {
        let server = Server::start(vec![ok(CUSTOMER), reply]).await;
        let outcome = mandates(&server).creation.create(&order(), OUR_REF, sending, Duration::from_millis(800)).await;
        assert_eq!(server.lines().len(), 2, "it is never asked twice");
        named(&outcome)
    };
    let doubt = [
        Reply::Nothing,
        Reply::Silence,
        Reply::Answer(500, String::new()),
        Reply::Answer(302, String::new()),
        ok("garbage"),
        ok("{}"),
        ok(ours(json!({"receipt": "another"}))),
        ok(ours(json!({"amount": 101}))),
        ok(ours(json!({"amount": "100"}))),
        ok(ours(json!({"id": null}))),
        // There is one of ours.
        error(400, "Order receipt should be unique."),
        error(400, "A rule that we never heard of."),
    ];
    for reply in doubt {
        assert_eq!(create(reply, Sending::First).await, "in_doubt");
    }
    assert_eq!(create(ok(ours(json!({"receipt": null}))), Sending::First).await, "ok");
    assert_eq!(create(Reply::Answer(429, String::new()), Sending::First).await, "not_delivered");
    let refusals = [
        "The minimum transaction amount allowed is Re. 5.",
        "The order amount cannot be greater than the token max amount for upi recurring.",
        "The selected frequency is invalid.",
        "The requested URL was not found on the server.",
    ];
    for text in refusals {
        assert_eq!(create(error(400, text), Sending::First).await, "refused", "{text}");
        assert_eq!(create(error(400, text), Sending::Again).await, "in_doubt", "{text}");
    }
}

#[tokio::test]
async fn the_link_is_fetched_by_a_payment_of_the_order() {
    let server = Server::start(vec![ok(ours(json!({}))), ok(AUTHORIZATION)]).await;
    let shown = mandates(&server).linking.expect("it links").link(&known(None), TIMEOUT).await.expect("there is a link");
    let documented: Value = serde_json::from_str(AUTHORIZATION).expect("the golden document is JSON");
    let expected = MandateSnapshot {
        registration_ref: Some(ORDER_ID.to_owned()),
        customer_ref: Some(CUSTOMER_ID.to_owned()),
        approval_link: documented["link"].as_str().expect("it has a link").to_owned(),
        // 23:59 in India on the day of the order.
        approval_expire_time: Some(at("2026-01-01T18:29:00Z")),
        ..MandateSnapshot::of(MandateStatus::AwaitingApproval)
    };
    assert_eq!(shown, expected);
    let [asked, sent] = server.heard().try_into().expect("two requests");
    assert_eq!((asked.line, sent.line.as_str()), (format!("GET /v1/orders/{ORDER_ID}"), "POST /v1/payments/create/upi"));
    let documented = json!({
        "amount": 100, "currency": "INR", "order_id": ORDER_ID, "customer_id": CUSTOMER_ID, "recurring": "1",
        "email": "asha.rao@example.com", "contact": "+919000000001", "method": "upi", "upi": {"flow": "intent"},
        "description": "Gold plan", "notes": {"upistream_ref": OUR_REF, "upistream_for": "mandate"},
    });
    assert_eq!(sent.json(), documented);
}

#[tokio::test]
async fn a_link_that_was_not_to_be_had_leaves_no_doubt_that_matters() {
    let link = async |mandate: KnownMandate, replies: Vec<Reply>| {
        let server = Server::start(replies).await;
        let outcome = mandates(&server).linking.expect("it links").link(&mandate, Duration::from_millis(800)).await;
        (named(&outcome), server.lines().len())
    };
    // The order is only read first: nothing is sent before that is done.
    for reply in [Reply::Nothing, Reply::Answer(500, String::new()), ok("{}"), ok(ours(json!({"id": "order_Another"})))] {
        assert_eq!(link(known(None), vec![reply]).await, ("not_delivered", 1));
    }
    for reply in [Reply::Nothing, Reply::Silence, Reply::Answer(500, String::new()), ok("{}"), ok(json!({"link": "https://a.in"}))] {
        assert_eq!(link(known(None), vec![ok(ours(json!({}))), reply]).await, ("in_doubt", 2));
    }
    let nameless = KnownMandate { registration: Some(Registration { customer_ref: None, ..registration() }), ..known(None) };
    assert_eq!(link(nameless, Vec::new()).await, ("not_delivered", 0));
    assert_eq!(link(KnownMandate { registration: None, ..known(None) }, Vec::new()).await, ("not_delivered", 0));
    // Somebody has approved: there is nothing to be linked to.
    assert_eq!(link(known(None), vec![ok(ours(json!({"status": "paid"})))]).await, ("ok", 1));
}

/// What is read of the documented token, with `changes` made to it. A null takes the field away.
fn read_with(changes: Value) -> Result<MandateSnapshot, Unreadable> {
    let read = |document: &Value| to_snapshot(wire::read("token", document.to_string().as_bytes())?);
    let document = changed(TOKEN, changes);
    let told = read(&document);
    let mut without_nulls = document.clone();
    without_nulls.as_object_mut().expect("a token is an object").retain(|_, value| !value.is_null());
    assert_eq!(read(&without_nulls).ok(), read(&document).ok(), "null and absence differ");
    told
}

fn documented() -> MandateSnapshot {
    MandateSnapshot {
        provider_ref: Some(TOKEN_ID.to_owned()),
        max_amount: Some(Money::from_paise(150_000)),
        payer_vpa: Vpa::parse("asha.rao@examplebank").ok(),
        ..MandateSnapshot::of(MandateStatus::Active)
    }
}

#[test]
fn the_documented_token_is_read_field_by_field() {
    assert_eq!(read_with(json!({})), Ok(documented()));
    for unused in ["entity", "token", "bank", "wallet", "method", "recurring", "auth_type", "mrn", "used_at", "created_at", "expired_at"] {
        assert_eq!(read_with(json!({unused: null})), Ok(documented()), "{unused}");
    }
    assert_eq!(read_with(json!({"max_amount": null})), Ok(MandateSnapshot { max_amount: None, ..documented() }));
    let nobody = Ok(MandateSnapshot { payer_vpa: None, ..documented() });
    for vpa in [json!(null), json!("asha@bank"), json!({"username": "asha"}), json!({"username": "a b", "handle": "bank"}), json!([])] {
        assert_eq!(read_with(json!({"vpa": vpa})), nobody, "{vpa}");
    }
    for changes in [json!({"id": null}), json!({"id": "token/1"}), json!({"entity": "card"}), json!({"max_amount": 1500.5})] {
        assert!(read_with(changes.clone()).is_err(), "{changes}");
    }
}

#[test]
fn each_word_for_a_token_has_one_meaning() {
    let check = |details: Value, status: MandateStatus| {
        assert_eq!(read_with(json!({"recurring_details": details})).map(|shown| shown.status), Ok(status), "{details}");
    };
    let word = |word: &str| json!({"status": word, "failure_reason": null});
    check(word("initiated"), MandateStatus::AwaitingApproval);
    check(word("confirmed"), MandateStatus::Active);
    check(word("resumed"), MandateStatus::Active);
    check(word("paused"), MandateStatus::Paused);
    check(word("cancellation_initiated"), MandateStatus::Revoking);
    check(word("cancelled"), MandateStatus::Revoked);
    let rejected = |message: &str| MandateStatus::Rejected { code: String::new(), message: message.to_owned() };
    check(word("rejected"), rejected(""));
    check(json!({"status": "rejected", "failure_reason": "Rejected by bank of asha@okaxis"}), rejected("Rejected by bank of …"));
    for details in [word("Confirmed"), word("expired"), word(""), json!(null), json!({}), json!("confirmed"), json!({"status": 1})] {
        check(details, MandateStatus::Undecided);
    }
}

fn token(changes: Value) -> Reply {
    ok(changed(TOKEN, changes))
}

fn stands(word: &str) -> Value {
    json!({"recurring_details": {"status": word, "failure_reason": null}})
}

async fn fetched(mandate: &KnownMandate, replies: Vec<Reply>) -> (Result<MandateSnapshot, AskError>, Vec<String>) {
    let server = Server::start(replies).await;
    (mandates(&server).enquiry.fetch(mandate).await, server.lines())
}

#[tokio::test]
async fn a_mandate_with_a_token_is_fetched_by_it() {
    let (shown, lines) = fetched(&known(Some(TOKEN_ID)), vec![token(stands("paused"))]).await;
    let named_by = |shown: MandateSnapshot| MandateSnapshot {
        registration_ref: Some(ORDER_ID.to_owned()),
        customer_ref: Some(CUSTOMER_ID.to_owned()),
        ..shown
    };
    assert_eq!(shown.expect("it is answered"), named_by(MandateSnapshot { status: MandateStatus::Paused, ..documented() }));
    assert_eq!(lines, [format!("GET /v1/customers/{CUSTOMER_ID}/tokens/{TOKEN_ID}")]);

    let gone = error(400, "The id provided does not exist");
    assert!(matches!(fetched(&known(Some(TOKEN_ID)), vec![gone]).await.0, Err(AskError::Absent)), "an expired one vanishes");
    for reply in [token(json!({"id": "token_Another"})), ok("{}"), Reply::Answer(500, String::new()), Reply::Nothing] {
        assert!(is_unanswered(&fetched(&known(Some(TOKEN_ID)), vec![reply]).await.0));
    }
    assert!(is_unanswered(&fetched(&KnownMandate { registration: None, ..known(Some(TOKEN_ID)) }, Vec::new()).await.0));
}

fn approval(changes: Value) -> Value {
    let of_order = changed(PAYMENT, json!({"amount": 100, "customer_id": CUSTOMER_ID, "token_id": TOKEN_ID, "fee": 0, "tax": 0}));
    changed(&of_order.to_string(), changes)
}

fn failed(id: &str, token_id: Value) -> Value {
    approval(json!({"id": id, "status": "failed", "captured": false, "token_id": token_id}))
}

#[tokio::test]
async fn what_came_of_a_registration_is_told_by_the_payments_of_its_order() {
    let (shown, lines) = fetched(&known(None), vec![page(vec![failed("pay_1", json!(null)), approval(json!({}))]), token(json!({}))]).await;
    let shown = shown.expect("it is answered");
    assert_eq!((shown.provider_ref.as_deref(), shown.status), (Some(TOKEN_ID), MandateStatus::Active));
    assert_eq!((shown.registration_ref.as_deref(), shown.customer_ref.as_deref()), (Some(ORDER_ID), Some(CUSTOMER_ID)));
    assert_eq!(lines, [format!("GET /v1/orders/{ORDER_ID}/payments"), format!("GET /v1/customers/{CUSTOMER_ID}/tokens/{TOKEN_ID}")]);

    let awaiting = MandateSnapshot { registration_ref: Some(ORDER_ID.to_owned()), ..MandateSnapshot::of(MandateStatus::AwaitingApproval) };
    let pending = || approval(json!({"id": "pay_2", "status": "created", "captured": false, "token_id": null}));
    for payments in [Vec::new(), vec![pending()], vec![failed("pay_1", json!(null))]] {
        assert_eq!(fetched(&known(None), vec![page(payments)]).await.0.expect("it is answered"), awaiting);
    }
    // Another may come of it yet, so that none is named.
    let initiated = fetched(&known(None), vec![page(vec![approval(json!({"status": "created"}))]), token(stands("initiated"))]).await.0;
    assert_eq!(initiated.expect("it is answered"), awaiting);
    let unheard = fetched(&known(None), vec![page(vec![approval(json!({}))]), token(stands("asleep"))]).await.0.expect("it is answered");
    assert_eq!((unheard.status, unheard.provider_ref), (MandateStatus::Undecided, None));
}

#[tokio::test]
async fn one_rejection_is_no_rejection_while_another_payment_may_be_approved() {
    let status = async |payments: Vec<Value>, tokens: Vec<Reply>| {
        let replies = std::iter::once(page(payments)).chain(tokens).collect();
        fetched(&known(None), replies).await.0.expect("it is answered").status
    };
    let rejected = || failed("pay_1", json!("token_1"));
    let rejected_token = || token(changed(&stands("rejected").to_string(), json!({"id": "token_1"})));
    let no = MandateStatus::Rejected { code: String::new(), message: String::new() };
    assert_eq!(status(vec![rejected()], vec![rejected_token()]).await, no);
    let pending = approval(json!({"id": "pay_2", "status": "created", "captured": false, "token_id": null}));
    assert_eq!(status(vec![rejected(), pending], vec![rejected_token()]).await, MandateStatus::AwaitingApproval);
    assert_eq!(status(vec![rejected(), approval(json!({}))], vec![token(json!({}))]).await, MandateStatus::Active);
    // A technical payment fails, and its mandate stands.
    let dummy = vec![rejected(), failed("pay_2", json!(TOKEN_ID))];
    assert_eq!(status(dummy, vec![rejected_token(), token(json!({}))]).await, MandateStatus::Active);
}

#[tokio::test]
async fn a_customer_that_is_not_known_is_learned_from_the_payment() {
    let nameless = KnownMandate { registration: Some(Registration { customer_ref: None, ..registration() }), ..known(Some(TOKEN_ID)) };
    let (shown, lines) =
        fetched(&nameless, vec![page(vec![failed("pay_1", json!("token_1")), approval(json!({}))]), token(json!({}))]).await;
    assert_eq!(shown.expect("it is answered").customer_ref.as_deref(), Some(CUSTOMER_ID));
    assert_eq!(lines.len(), 2, "no other token is asked for");
    assert!(is_unanswered(&fetched(&nameless, vec![page(vec![approval(json!({"customer_id": null}))])]).await.0));
    assert!(is_unanswered(&fetched(&nameless, vec![page(Vec::new())]).await.0));
    let many = (0..=TOKENS_MAX).map(|index| failed(&format!("pay_{index}"), json!(format!("token_{index}")))).collect();
    let tokens = (0..TOKENS_MAX).map(|index| token(changed(&stands("rejected").to_string(), json!({"id": format!("token_{index}")}))));
    assert!(is_unanswered(&fetched(&known(None), std::iter::once(page(many)).chain(tokens).collect()).await.0));
}

#[tokio::test]
async fn a_lost_mandate_is_looked_up_by_our_reference() {
    let look_up = async |replies: Vec<Reply>| {
        let server = Server::start(replies).await;
        (mandates(&server).enquiry.look_up(&order(), OUR_REF, now()).await, server.heard())
    };
    let found = Some(MandateCreated::Registered(registration()));
    let (told, heard) = look_up(vec![page(vec![ours(json!({"customer_id": CUSTOMER_ID}))])]).await;
    assert_eq!((told.expect("it is answered"), heard.len()), (found.clone(), 1));
    // As documented it does not tell whose it is.
    let (told, heard) = look_up(vec![page(vec![ours(json!({}))]), ok(CUSTOMER)]).await;
    assert_eq!(told.expect("it is answered"), found);
    let [Heard { line: list, .. }, customer] = heard.try_into().expect("two requests");
    assert_eq!(list, format!("GET /v1/orders?receipt={OUR_REF}&count=100"));
    assert_eq!((customer.line.as_str(), &customer.json()["fail_existing"]), ("POST /v1/customers", &json!("0")));

    assert_eq!(look_up(vec![page(Vec::new())]).await.0.expect("it is answered"), None);
    for reply in [Reply::Nothing, error(400, "The name format is invalid."), ok("{}")] {
        assert!(is_unanswered(&look_up(vec![page(vec![ours(json!({}))]), reply]).await.0));
    }
    assert!(is_unanswered(&look_up(vec![Reply::Answer(500, String::new())]).await.0));
}

#[tokio::test]
async fn a_revoke_is_under_way_and_never_asked_twice() {
    let revoke = async |mandate: KnownMandate, replies: Vec<Reply>| {
        let server = Server::start(replies).await;
        let revoking = mandates(&server).revoking.expect("it revokes");
        (revoking.revoke(&mandate, Duration::from_millis(500)).await, server.heard())
    };
    let (under_way, heard) = revoke(known(Some(TOKEN_ID)), vec![ok(json!({"status": "cancellation_initiated"}))]).await;
    let under_way = under_way.expect("it is taken");
    assert_eq!((under_way.status, under_way.provider_ref.as_deref()), (MandateStatus::Revoking, Some(TOKEN_ID)));
    let [Heard { line, body, .. }] = heard.try_into().expect("one request");
    assert_eq!((line, body.as_str()), (format!("PUT /v1/customers/{CUSTOMER_ID}/tokens/{TOKEN_ID}/cancel"), ""));

    let doubt = [
        ok("{}"),
        ok(json!({"status": "confirmed"})),
        Reply::Answer(500, String::new()),
        Reply::Nothing,
        Reply::Silence,
        error(400, "The token cannot be cancelled in its current status."),
    ];
    for reply in doubt {
        let (outcome, heard) = revoke(known(Some(TOKEN_ID)), vec![reply]).await;
        assert_eq!((named(&outcome), heard.len()), ("in_doubt", 1));
    }
    let unknown = error(400, "The id provided does not exist");
    assert_eq!(named(&revoke(known(Some(TOKEN_ID)), vec![unknown]).await.0), "refused");
    assert_eq!(named(&revoke(known(Some(TOKEN_ID)), vec![Reply::Answer(429, String::new())]).await.0), "not_delivered");
    let (tokenless, heard) = revoke(known(None), Vec::new()).await;
    assert_eq!((named(&tokenless), heard.len()), ("not_delivered", 0));
}
