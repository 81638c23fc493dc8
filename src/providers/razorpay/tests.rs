//! The adapter against a server that says what it is told to and remembers what it heard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::domain::payment::PaymentStatus;
use crate::domain::qr::Customer;
use crate::domain::qr::{QrOrder, QrStatus};
use crate::providers::line::tests::unhindered;
use crate::providers::scripted::{Heard, Reply, Server, client};
use crate::providers::{Created, KnownQr, Payments, QrClosing, QrEnquiry, QrOfPayment, QrSearch};

const QR_CODE: &str = include_str!("../../../tests/golden/razorpay/qr_code.json");
const PAYMENT: &str = include_str!("../../../tests/golden/razorpay/payment.json");
const ERROR: &str = include_str!("../../../tests/golden/razorpay/error.json");
const QR: &str = "qr_Pz3dM6vX0tJ4Fb";
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The adapter at a scripted server.
trait Razorpay {
    fn provider(&self) -> Provider;
    fn qr(&self) -> QrCodes;
    fn closing(&self) -> Arc<dyn QrClosing>;
    fn enquiry(&self) -> Arc<dyn QrEnquiry>;
    fn search(&self) -> Arc<dyn QrSearch>;
    fn of_payment(&self) -> Arc<dyn QrOfPayment>;
    fn payments(&self) -> Arc<dyn Payments>;
}

impl Razorpay for Server {
    fn provider(&self) -> Provider {
        provider_at(&self.url())
    }

    fn qr(&self) -> QrCodes {
        self.provider().qr.expect("Razorpay has QR codes")
    }

    fn closing(&self) -> Arc<dyn QrClosing> {
        self.qr().closing.expect("Razorpay closes codes")
    }

    fn enquiry(&self) -> Arc<dyn QrEnquiry> {
        self.qr().enquiry.expect("Razorpay can be asked about codes")
    }

    fn search(&self) -> Arc<dyn QrSearch> {
        self.qr().search.expect("Razorpay can be searched")
    }

    fn of_payment(&self) -> Arc<dyn QrOfPayment> {
        self.qr().of_payment.expect("Razorpay says which code a payment came through")
    }

    fn payments(&self) -> Arc<dyn Payments> {
        self.provider().payments.expect("Razorpay has payments")
    }
}

fn key(secrets: &[&str]) -> ApiKey {
    ApiKey { id: "rzp_test_1".to_owned(), secrets: secrets.iter().map(|text| SecretString::from(*text)).collect() }
}

fn settings(base_url: &str) -> RazorpaySettings {
    RazorpaySettings {
        base_url: base_url.to_owned(),
        key: Held::new(key(&["newer", "older"])),
        webhook_secrets: Held::new(vec!["whsec".into()]),
        account_id: None,
        timeout: TIMEOUT,
        deadline_floor: Duration::from_secs(2),
        close_by_min: Duration::from_secs(900),
        close_by_max: Duration::from_secs(7_200),
        notes_value_max: 256,
        mcc: None,
    }
}

/// How the API at `base_url` is called, for what is no trait's.
pub(super) fn api_at(base_url: &str) -> Api {
    let party = Party { account: "shop".parse().expect("a plain name"), provider: ProviderId::Razorpay };
    Api { http: client(), party, base: base_url.parse().ok(), key: Held::new(key(&["newer"])), timeout: TIMEOUT }
}

pub(super) fn provider_at(base_url: &str) -> Provider {
    provider("shop".parse().expect("a plain name"), settings(base_url), client())
}

fn order() -> QrOrder {
    QrOrder {
        usage: Usage::SingleUse,
        amount: Some(Money::from_paise(45_000)),
        name: "Counter 4".to_owned(),
        description: String::new(),
        expire_time: None,
        notes: BTreeMap::new(),
        customer: None,
    }
}

fn known(provider_ref: &str) -> KnownQr {
    let usage = Usage::SingleUse;
    KnownQr { provider_ref: provider_ref.to_owned(), our_ref: None, usage, amount: Some(Money::from_paise(45_000)), attempt_ref: None }
}

/// The documented code with `changes` made to it.
fn code(changes: Value) -> Value {
    changed(QR_CODE, changes)
}

fn payment(changes: Value) -> Value {
    changed(PAYMENT, changes)
}

pub(super) fn changed(document: &str, changes: Value) -> Value {
    let mut document: Value = serde_json::from_str(document).expect("the golden document is JSON");
    for (key, value) in changes.as_object().expect("changes are an object") {
        document[key] = value.clone();
    }
    document
}

pub(super) fn page(items: Vec<Value>) -> Reply {
    Reply::Answer(200, json!({"entity": "collection", "count": items.len(), "items": items}).to_string())
}

/// A full page of codes that are not ours.
fn full_page() -> Reply {
    page((0..PAGE).map(|index| code(json!({"id": format!("qr_{index}")}))).collect())
}

fn named<T: std::fmt::Debug>(outcome: &Result<T, CallError>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(CallError::Refused { .. }) => "refused",
        Err(CallError::NotDelivered(_)) => "not_delivered",
        Err(CallError::InDoubt(_)) => "in_doubt",
    }
}

fn is_unanswered<T>(outcome: Result<T, AskError>) -> bool {
    matches!(outcome, Err(AskError::Unanswered(_)))
}

#[test]
fn what_an_account_can_do_is_data() {
    let provider = provider_at("https://api.razorpay.com");
    let all = [Operation::CreateQr, Operation::CloseQr, Operation::FetchPayment, Operation::CreateRefund, Operation::FetchSettlements];
    let of_mandates =
        [Operation::CreateMandate, Operation::RevokeMandate, Operation::CreateDebit, Operation::ExecuteDebit, Operation::CancelDebit];
    for operation in all.into_iter().chain(of_mandates) {
        assert_eq!(provider.capabilities.missing(operation), None);
    }
    for operation in of_mandates {
        assert_eq!(provider.capabilities.doubt(operation), DoubtCure::Lookup, "{operation:?}");
    }
    for operation in [Operation::UpdateMandate, Operation::PauseMandate, Operation::ResumeMandate] {
        assert!(provider.capabilities.missing(operation).is_some_and(|why| why.contains("at Razorpay")), "{operation:?}");
    }
    let mandates = provider.capabilities.mandates.as_ref().expect("Razorpay has mandates");
    assert!(mandates.approval_link && mandates.day_required && mandates.notice_always);
    assert!(!mandates.payer_vpa && !mandates.block_funds && !mandates.irrevocable);
    assert_eq!(mandates.required_fields, ["payer_name", "payer_phone", "payer_email"]);
    assert_eq!((mandates.amount_min, mandates.amount_max), (Money::from_paise(100), Money::from_paise(9_999_900)));
    assert_eq!(mandates.patterns.len(), 8);
    assert!(provider.mandates.as_ref().is_some_and(|mandates| mandates.order_before_attempt));
    let raised = RazorpaySettings { mcc: Some("6211".to_owned()), ..settings("x") };
    let raised = super::provider("shop".parse().expect("a plain name"), raised, client()).capabilities.mandates.expect("it has mandates");
    assert_eq!((raised.amount_max, raised.mcc.as_deref()), (Money::from_paise(20_000_000), Some("6211")));
    let open = |usage| provider.capabilities.qr_usage(usage).map(|usage| (usage.open_amount, usage.payments_observable));
    assert_eq!((open(Usage::SingleUse), open(Usage::MultipleUse)), (Some((false, true)), Some((true, true))));
    let refunds = provider.capabilities.refunds.as_ref().expect("Razorpay refunds");
    assert_eq!((refunds.amount_min, refunds.partial, refunds.one_at_a_time), (Money::from_paise(100), true, false));
    assert!(provider.capabilities.settlements.as_ref().is_some_and(|settlements| settlements.lines));
    assert!(provider.late_window > Duration::from_hours(3 * 24));
    assert!(!format!("{:?}", settings("x")).contains("older"), "settings show no secrets");
}

#[tokio::test]
async fn a_code_is_asked_for_once_and_as_documented() {
    let server = Server::answering(200, code(json!({"notes": {"upistream_ref": "ref1"}}))).await;
    let made = server.qr().creation.create(&order(), "ref1", Sending::First, TIMEOUT).await.expect("it is made");
    let Created::Ready(made) = made else { panic!("{made:?}") };
    assert_eq!((made.provider_ref.as_str(), made.our_ref.as_deref(), made.status), (QR, Some("ref1"), QrStatus::Active));

    let [Heard { line, head, body }] = server.heard().try_into().expect("one request");
    assert_eq!(line, "POST /v1/payments/qr_codes");
    let head = head.to_ascii_lowercase();
    // `rzp_test_1:newer`, and the scheme exactly so.
    assert!(head.contains(&format!("authorization: basic {}", STANDARD.encode("rzp_test_1:newer").to_ascii_lowercase())), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let expected = json!({
        "type": "upi_qr", "usage": "single_use", "name": "Counter 4", "fixed_amount": true, "payment_amount": 45_000,
        "notes": {"upistream_ref": "ref1"},
    });
    assert_eq!(serde_json::from_str::<Value>(&body).ok(), Some(expected));
}

#[tokio::test]
async fn every_answer_to_a_creation_has_one_meaning() {
    let doubt = [
        Reply::Answer(200, "garbage".to_owned()),
        Reply::Answer(200, String::new()),
        Reply::Answer(200, "{}".to_owned()),
        Reply::Answer(200, "[]".to_owned()),
        Reply::Answer(200, ERROR.to_owned()),
        Reply::Answer(200, code(json!({"status": "new_status"})).to_string()),
        Reply::Answer(200, code(json!({"payment_amount": "45000"})).to_string()),
        Reply::Answer(200, code(json!({"notes": {"upistream_ref": "another"}})).to_string()),
        Reply::Answer(204, String::new()),
        Reply::Answer(301, String::new()),
        Reply::Answer(409, ERROR.to_owned()),
        Reply::Answer(500, ERROR.to_owned()),
        Reply::Answer(503, "<html>".to_owned()),
        Reply::Nothing,
        Reply::Silence,
    ];
    for reply in doubt {
        let server = Server::start(vec![reply]).await;
        let outcome = server.qr().creation.create(&order(), "ref1", Sending::First, Duration::from_millis(500)).await;
        assert_eq!(named(&outcome), "in_doubt", "{outcome:?}");
        assert_eq!(server.lines().len(), 1, "it is never asked twice");
    }

    let outcome = Server::answering(201, QR_CODE).await.qr().creation.create(&order(), "ref1", Sending::First, TIMEOUT).await;
    assert_eq!(named(&outcome), "ok", "every 2xx is a success, and a code without our note is still the answer");
    let outcome = Server::answering(429, "").await.qr().creation.create(&order(), "ref1", Sending::First, TIMEOUT).await;
    assert_eq!(named(&outcome), "not_delivered");
    let outcome = Server::answering(400, ERROR).await.qr().creation.create(&order(), "ref1", Sending::First, TIMEOUT).await;
    let Err(CallError::Refused { code, message }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((code.as_str(), message.as_str()), ("input_validation_failed", "The amount must be at least INR 1.00"));
}

#[tokio::test]
async fn what_can_not_be_sent_is_not_delivered() {
    let closed_port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        format!("http://{}", listener.local_addr().expect("it is bound"))
    };
    for base_url in [closed_port.as_str(), "not a url", "data:x"] {
        let provider = provider_at(base_url);
        let qr = provider.qr.expect("Razorpay has QR codes");
        assert_eq!(named(&qr.creation.create(&order(), "ref1", Sending::First, TIMEOUT).await), "not_delivered", "{base_url}");
        assert_eq!(named(&qr.closing.clone().expect("it closes codes").close(&known(QR), TIMEOUT).await), "not_delivered", "{base_url}");
        assert!(is_unanswered(qr.enquiry.clone().expect("it can be asked").fetch(&known(QR)).await), "{base_url}");
    }

    let server = Server::start(Vec::new()).await;
    let without_secret = RazorpaySettings { key: Held::new(key(&[])), ..settings(&format!("http://{}", server.address)) };
    let http = HttpClient::for_loopback(unhindered()).expect("a client without roots needs nothing from the machine");
    let qr = provider("shop".parse().expect("a plain name"), without_secret, http).qr.expect("Razorpay has QR codes");
    assert_eq!(named(&qr.creation.create(&order(), "ref1", Sending::First, TIMEOUT).await), "not_delivered");
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn a_close_is_believed_when_it_shows_the_code_closed() {
    let closed = json!({"status": "closed", "closed_at": 1_767_241_000, "close_reason": "on_demand"});
    let server = Server::answering(200, code(closed)).await;
    assert_eq!(named(&server.closing().close(&known(QR), TIMEOUT).await), "ok");
    let [Heard { line, body, .. }] = server.heard().try_into().expect("one request");
    assert_eq!((line.as_str(), body.as_str()), ("POST /v1/payments/qr_codes/qr_Pz3dM6vX0tJ4Fb/close", ""));

    let unknown_id = json!({"error": {"code": "BAD_REQUEST_ERROR", "description": "The id provided does not exist"}});
    let closed_before = json!({"error": {"code": "BAD_REQUEST_ERROR", "description": "QR Code is already closed."}});
    for (status, body, expected) in [
        (200, code(json!({})), "in_doubt"),
        (200, code(json!({"id": "qr_Another", "status": "closed"})), "in_doubt"),
        (400, closed_before, "in_doubt"),
        (400, unknown_id, "refused"),
    ] {
        let outcome = Server::answering(status, body).await.closing().close(&known(QR), TIMEOUT).await;
        assert_eq!(named(&outcome), expected, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_fetch_shows_the_code_or_that_there_is_none() {
    let server = Server::answering(200, QR_CODE).await;
    assert_eq!(server.enquiry().fetch(&known(QR)).await.expect("it is there").provider_ref, QR);
    assert_eq!(server.lines(), ["GET /v1/payments/qr_codes/qr_Pz3dM6vX0tJ4Fb"]);

    let unknown_id = json!({"error": {"code": "BAD_REQUEST_ERROR", "description": "The id provided does not exist."}});
    assert!(matches!(Server::answering(400, &unknown_id).await.enquiry().fetch(&known(QR)).await, Err(AskError::Absent)));
    assert!(matches!(Server::answering(400, &unknown_id).await.payments().fetch("pay_1", None).await, Err(AskError::Absent)));
    for (status, body) in [(404, String::new()), (500, unknown_id.to_string()), (401, String::new()), (200, PAYMENT.to_owned())] {
        assert!(is_unanswered(Server::answering(status, &body).await.enquiry().fetch(&known(QR)).await), "{status} {body}");
    }
    assert!(is_unanswered(Server::answering(200, QR_CODE).await.enquiry().fetch(&known("qr_Another")).await));
}

#[tokio::test]
async fn a_fetch_shows_the_payment() {
    let server = Server::answering(200, PAYMENT).await;
    let payment = server.payments().fetch("pay_Pz4kQ1xV7mT2Ld", None).await.expect("it is there").snapshot;
    assert_eq!((payment.status, payment.amount), (PaymentStatus::Captured, Money::from_paise(45_000)));
    assert_eq!(server.lines(), ["GET /v1/payments/pay_Pz4kQ1xV7mT2Ld"]);
    assert!(is_unanswered(Server::answering(200, PAYMENT).await.payments().fetch("pay_Another", None).await));
}

fn asked() -> Timestamp {
    Timestamp::from_second(1_767_240_000).expect("a time of our days")
}

#[tokio::test]
async fn a_lost_code_is_searched_by_our_reference_near_its_time_first() {
    let ours = code(json!({"notes": {"upistream_ref": "ref1"}}));
    let server = Server::start(vec![full_page(), page(vec![code(json!({"id": "qr_1", "notes": []})), ours.clone()])]).await;
    let found = server.search().look_up(&order(), "ref1", asked()).await.expect("it is answered").expect("it is found");
    let Created::Ready(found) = found else { panic!("{found:?}") };
    assert_eq!(found.provider_ref, QR);
    let first = "GET /v1/payments/qr_codes?from=1767239400&count=100&skip=";
    assert_eq!(server.lines(), [format!("{first}0&to=1767240600"), format!("{first}100&to=1767240600")]);

    let server = Server::start(vec![page(Vec::new()), page(vec![ours])]).await;
    assert!(server.search().look_up(&order(), "ref1", asked()).await.expect("it is answered").is_some());
    assert_eq!(server.lines()[1], "GET /v1/payments/qr_codes?from=1767240600&count=100&skip=0&to=1767243600");

    let server = Server::start(vec![page(vec![code(json!({}))]), page(Vec::new())]).await;
    assert_eq!(server.search().look_up(&order(), "ref1", asked()).await.expect("it is answered"), None);
}

#[tokio::test]
async fn a_search_that_did_not_see_everything_does_not_say_absent() {
    let unreadable = [
        page(vec![json!("text")]),
        page(vec![code(json!({"notes": {"upistream_ref": "ref1"}, "status": "new"}))]),
        Reply::Answer(200, json!({"entity": "collection", "count": 2, "items": [code(json!({}))]}).to_string()),
        Reply::Answer(200, json!({"entity": "collection", "count": 0}).to_string()),
        Reply::Answer(500, String::new()),
    ];
    for reply in unreadable {
        assert!(is_unanswered(Server::start(vec![reply]).await.search().look_up(&order(), "ref1", asked()).await));
    }

    let server = Server::start((0..50).map(|_| full_page()).collect()).await;
    let outcome = server.search().look_up(&order(), "ref1", asked()).await;
    let Err(AskError::Unanswered(cause)) = outcome else { panic!("{outcome:?}") };
    assert!(cause.0.contains("longer than the 5000 items"), "{cause}");
    assert_eq!(server.lines().len(), 50);
}

#[tokio::test]
async fn the_payments_of_a_code_are_read_to_the_end_and_once_each() {
    let many: Vec<_> = (0..PAGE).map(|index| payment(json!({"id": format!("pay_{index}")}))).collect();
    let server = Server::start(vec![page(many), page(vec![payment(json!({"id": "pay_99"})), payment(json!({"id": "pay_100"}))])]).await;
    let payments = server.enquiry().payments(&known(QR), asked()).await.expect("it is answered");
    assert_eq!((payments.readable.len(), payments.unreadable.len()), (101, 0));
    // From ten minutes before: the provider's clock may be behind ours.
    assert_eq!(server.lines()[1], format!("GET /v1/payments/qr_codes/{QR}/payments?from=1767239400&count=100&skip=100"));

    let server = Server::start(vec![page(vec![payment(json!({})), payment(json!({"status": "new"}))])]).await;
    let payments = server.enquiry().payments(&known(QR), asked()).await.expect("it is answered");
    assert_eq!((payments.readable.len(), payments.unreadable.len()), (1, 1), "one that can't be read is not left out, and hides no other");

    let server = Server::start(vec![page(Vec::new())]).await;
    assert!(server.enquiry().payments(&known(QR), Timestamp::UNIX_EPOCH).await.expect("it is answered").readable.is_empty());
    assert!(server.lines()[0].contains("from=946684800&"), "{:?}", server.lines());
}

#[tokio::test]
async fn more_payments_than_one_slice_holds_are_read_from_the_oldest_on() {
    let at = |index: usize, seconds: usize| payment(json!({"id": format!("pay_{index}"), "created_at": 1_767_250_000 - seconds}));
    let full = |slice: usize, page_number: usize| {
        page((0..PAGE).map(|index| at(slice * 10_000 + page_number * PAGE + index, slice * 100 + page_number)).collect())
    };
    let mut replies: Vec<Reply> = (0..100).map(|page_number| full(0, page_number)).collect();
    // The oldest second again, and what is older.
    replies.push(page(vec![at(9_999, 99), at(10_001, 150)]));
    let server = Server::start(replies).await;
    let payments = server.enquiry().payments(&known(QR), asked()).await.expect("it is answered");
    assert_eq!(payments.readable.len(), 10_001);
    assert_eq!(
        server.lines().last().expect("it was asked"),
        &format!("GET /v1/payments/qr_codes/{QR}/payments?from=1767239400&count=100&skip=0&to=1767249901")
    );
}

#[tokio::test]
async fn a_code_is_made_for_a_customer_and_searched_among_his_first() {
    let mut order = order();
    order.customer = Some(Customer { provider_ref: Some("cust_Pz2bN7yC5wL8Ga".to_owned()), ..Customer::default() });
    let server = Server::answering(200, code(json!({"notes": {"upistream_ref": "ref1"}}))).await;
    assert_eq!(named(&server.qr().creation.create(&order, "ref1", Sending::First, TIMEOUT).await), "ok");
    let body: Value = serde_json::from_str(&server.heard()[0].body).expect("it is JSON");
    assert_eq!(body["customer_id"], "cust_Pz2bN7yC5wL8Ga");

    let ours = code(json!({"notes": {"upistream_ref": "ref1"}}));
    let server = Server::start(vec![page(vec![code(json!({"id": "qr_1", "notes": []})), ours.clone()])]).await;
    assert!(server.search().look_up(&order, "ref1", asked()).await.expect("it is answered").is_some());
    assert_eq!(server.lines(), ["GET /v1/payments/qr_codes?customer_id=cust_Pz2bN7yC5wL8Ga"]);

    // What his first page lacks may be on another.
    let server = Server::start(vec![page(Vec::new()), page(vec![ours])]).await;
    assert!(server.search().look_up(&order, "ref1", asked()).await.expect("it is answered").is_some());
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn a_payment_came_through_one_code_or_none() {
    let server = Server::start(vec![page(vec![code(json!({}))])]).await;
    assert_eq!(server.of_payment().of_payment("pay_1").await.expect("it is answered").map(|code| code.provider_ref).as_deref(), Some(QR));
    assert_eq!(server.lines(), ["GET /v1/payments/qr_codes?payment_id=pay_1"]);

    assert_eq!(Server::start(vec![page(Vec::new())]).await.of_payment().of_payment("pay_1").await.expect("it is answered"), None);
    let two = page(vec![code(json!({})), code(json!({"id": "qr_2"}))]);
    assert!(is_unanswered(Server::start(vec![two]).await.of_payment().of_payment("pay_1").await));
    let fewer = Reply::Answer(200, json!({"count": 1, "items": []}).to_string());
    assert!(is_unanswered(Server::start(vec![fewer]).await.of_payment().of_payment("pay_1").await));
}
