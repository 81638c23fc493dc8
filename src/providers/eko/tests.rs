//! The adapter against a server that says what it is told to and remembers what it heard.

use serde_json::{Value, json};

use super::*;
use crate::domain::payment::PaymentStatus;
use crate::domain::personal::Phone;
use crate::domain::qr::{Customer, QrOrder};
use crate::providers::scripted::{Heard, Reply, Server, client, closed_port, named};
use crate::providers::{Created, Payments, QrCreation};

const REQUEST: &str = include_str!("../../../tests/golden/eko/create_qr.request.json");
const CODE: &str = include_str!("../../../tests/golden/eko/code.json");
const INQUIRY: &str = include_str!("../../../tests/golden/eko/inquiry.json");
const FAILED: &str = include_str!("../../../tests/golden/eko/failure.json");
const NO_TID: &str = include_str!("../../../tests/golden/eko/no_such_tid.json");
const TID: &str = "3251640145";
const TIMEOUT: Duration = Duration::from_secs(10);
/// The first vector of the signature.
const ACCESS_KEY: &str = "11111111-2222-4333-8444-555555555555";
const NOW_MS: u64 = 1_767_225_600_000;
const SIGNED: &str = "+X055jGXBygW9eOpHGCyZQDD5t0hqZS7x8pazcEyn38=";

fn keys(developer_key: &str, access_keys: Vec<SecretString>) -> Held<Keys> {
    Held::new(Keys { developer_key: developer_key.to_owned(), access_keys })
}

fn settings(base_url: &str) -> EkoSettings {
    EkoSettings {
        base_url: base_url.to_owned(),
        keys: keys("becbbce45f79c6f5109f848acd540567", vec![ACCESS_KEY.into(), "older".into()]),
        initiator_id: "9962981729".to_owned(),
        user_code: "20810200".to_owned(),
        activate_service: false,
        service_code: RAZORPAY_RAIL,
        timeout: TIMEOUT,
        deadline_floor: Duration::from_secs(2),
        now_ms: Arc::new(|| NOW_MS),
    }
}

fn provider_with(settings: EkoSettings) -> Provider {
    provider("shop".parse().expect("a plain name"), settings, client())
}

fn creation(settings: EkoSettings) -> Arc<dyn QrCreation> {
    provider_with(settings).qr.expect("Eko has QR codes").creation
}

fn payments(server: &Server) -> Arc<dyn Payments> {
    provider_with(settings(&server.url())).payments.expect("Eko has payments")
}

async fn created(server: &Server, sending: Sending, timeout: Duration) -> Result<Created, CallError> {
    creation(settings(&server.url())).create(&order(), "ref1", sending, timeout).await
}

fn order() -> QrOrder {
    QrOrder {
        usage: Usage::MultipleUse,
        amount: None,
        name: "Demo Stores".to_owned(),
        description: String::new(),
        expire_time: None,
        notes: [("bill".to_owned(), "1".to_owned())].into(),
        customer: Some(Customer { phone: Phone::parse("+91 98765 00001").ok(), ..Customer::default() }),
    }
}

fn is_signed(heard: &Heard) -> bool {
    heard.header("developer_key") == Some("becbbce45f79c6f5109f848acd540567")
        && heard.header("secret-key") == Some(SIGNED)
        && heard.header("secret-key-timestamp") == Some("1767225600000")
}

#[test]
fn what_an_account_can_do_is_data() {
    for (service_code, upi_link) in [(59, true), (85, false)] {
        let provider = provider_with(EkoSettings { service_code, ..settings("https://api.eko.in/ekoicici") });
        let capabilities = &provider.capabilities;
        assert_eq!((capabilities.missing(Operation::CreateQr), capabilities.missing(Operation::FetchPayment)), (None, None));
        for operation in [Operation::CloseQr, Operation::CreateRefund, Operation::FetchSettlements] {
            assert!(capabilities.missing(operation).is_some(), "{}", operation.as_str());
        }
        assert!(provider.refunds.is_none() && provider.settlements.is_none());
        let multiple = capabilities.qr_usage(Usage::MultipleUse).expect("it is told of");
        assert_eq!((multiple.refusal(), multiple.upi_link, multiple.doubt), (None, upi_link, DoubtCure::SafeResend));
        assert_eq!((multiple.open_amount, multiple.fixed_amount, multiple.amount_min.paise()), (true, false, 301));
        assert_eq!((multiple.callback_evidence, multiple.required_fields), (Evidence::Enquiry, &["customer.phone"][..]));
        assert!(capabilities.qr_usage(Usage::SingleUse).expect("it is told of").refusal().is_some());
        assert!(provider.webhooks.proved.is_none() && provider.webhooks.hints.is_some());
    }
}

#[tokio::test]
async fn a_code_is_asked_for_as_documented_and_signed_for_the_moment() {
    let server = Server::answering(200, CODE).await;
    let url = format!("{}/ekoicici", server.url());
    let made = creation(settings(&url)).create(&order(), "ref1", Sending::First, TIMEOUT).await.expect("it is made");
    let Created::Ready(made) = made else { panic!("{made:?}") };
    assert_eq!(made.provider_ref, "cust_NbC4aB1cD2eF3g");

    let heard = server.the_only_request();
    assert_eq!(heard.line, "POST /ekoicici/v3/user/collection/upi-razorpay/generate-static-qr");
    assert!(is_signed(&heard), "{}", heard.head);
    assert_eq!(heard.header("content-type"), Some("application/json"));
    assert_eq!(heard.json(), serde_json::from_str::<Value>(REQUEST).expect("the golden document is JSON"));
}

#[tokio::test]
async fn the_au_rail_is_asked_for_by_its_service() {
    let answer = CODE.replace("upi://pay?ver=01", "https://pics.example/?").replace("cust_NbC4aB1cD2eF3g", "43088422");
    let server = Server::answering(200, answer).await;
    let on_au = EkoSettings { service_code: 85, ..settings(&server.url()) };
    assert_eq!(named(&creation(on_au).create(&order(), "ref1", Sending::First, TIMEOUT).await), "ok");
    assert_eq!(server.the_only_request().json()["service_code"], json!(85));
}

#[tokio::test]
async fn every_answer_to_a_creation_has_one_meaning() {
    let doubt = [
        Reply::Answer(200, "garbage".to_owned()),
        Reply::Answer(200, String::new()),
        Reply::Answer(200, "{}".to_owned()),
        Reply::Answer(200, r#"{"status": 0}"#.to_owned()),
        Reply::Answer(200, r#"{"status": 0, "data": []}"#.to_owned()),
        Reply::Answer(200, r#"{"status": 1, "message": "Something new"}"#.to_owned()),
        Reply::Answer(200, CODE.replace("9876500001", "9876500002")),
        Reply::Answer(204, String::new()),
        Reply::Answer(301, String::new()),
        Reply::Answer(400, FAILED.to_owned()),
        Reply::Answer(500, FAILED.to_owned()),
        Reply::Nothing,
        Reply::Silence,
    ];
    for reply in doubt {
        let server = Server::start(vec![reply]).await;
        let outcome = created(&server, Sending::First, Duration::from_millis(500)).await;
        assert_eq!(named(&outcome), "in_doubt", "{outcome:?}");
        assert_eq!(server.lines().len(), 1, "to send it again is the engine's to decide");
    }

    let outcome = created(&Server::answering(200, FAILED).await, Sending::First, TIMEOUT).await;
    let Err(CallError::Refused { code, message }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((code.as_str(), message.as_str()), ("1", "Failed to generate QR"));
    for (status, body, sending, expected) in [
        (403, "<html>", Sending::First, "not_delivered"),
        (429, "", Sending::First, "not_delivered"),
        (403, "<html>", Sending::Again, "in_doubt"),
        (200, FAILED, Sending::Again, "in_doubt"),
        (200, CODE, Sending::Again, "ok"),
    ] {
        let outcome = created(&Server::answering(status, body).await, sending, TIMEOUT).await;
        assert_eq!(named(&outcome), expected, "{status} {sending:?}");
    }
}

#[tokio::test]
async fn what_can_not_be_sent_is_not_delivered() {
    for base_url in [closed_port().await.as_str(), "not a url", "data:x"] {
        let provider = provider_with(settings(base_url));
        let codes = provider.qr.expect("Eko has QR codes");
        let outcome = codes.creation.create(&order(), "ref1", Sending::First, TIMEOUT).await;
        assert_eq!(named(&outcome), "not_delivered", "{base_url}");
        let asked = provider.payments.expect("Eko has payments").fetch(TID, None).await;
        assert!(matches!(asked, Err(AskError::Unanswered(_))), "{base_url}");
    }
    let server = Server::start(Vec::new()).await;
    let here = || settings(&server.url());
    let odd_key = EkoSettings { keys: keys("a\nb", vec![ACCESS_KEY.into()]), ..here() };
    for settings in [EkoSettings { keys: keys("a-developer-key", Vec::new()), ..here() }, odd_key] {
        assert_eq!(named(&creation(settings).create(&order(), "ref1", Sending::First, TIMEOUT).await), "not_delivered");
    }
    let for_nobody = QrOrder { customer: None, ..order() };
    assert_eq!(named(&creation(here()).create(&for_nobody, "ref1", Sending::First, TIMEOUT).await), "not_delivered");
    assert!(server.lines().is_empty());
}

fn activated() -> Reply {
    Reply::Answer(200, r#"{"response_status_id": 0, "status": 0, "data": {}}"#.to_owned())
}

fn code() -> Reply {
    Reply::Answer(200, CODE.to_owned())
}

#[tokio::test]
async fn the_service_is_activated_once_before_the_first_code() {
    let server = Server::start(vec![activated(), code(), code()]).await;
    let codes = creation(EkoSettings { activate_service: true, ..settings(&server.url()) });
    for _ in 0..2 {
        assert_eq!(named(&codes.create(&order(), "ref1", Sending::First, TIMEOUT).await), "ok");
    }
    let heard = server.heard();
    let lines: Vec<_> = heard.iter().map(|heard| heard.line.as_str()).collect();
    let create = "POST /v3/user/collection/upi-razorpay/generate-static-qr";
    assert_eq!(lines, ["PUT /v3/admin/network/agent/20810200/service/59/activate", create, create]);
    assert_eq!(heard[0].json(), json!({"initiator_id": "9962981729"}));
    assert!(heard.iter().all(is_signed));
}

#[tokio::test]
async fn no_code_is_asked_for_while_the_service_is_not_active() {
    let failures = [
        Reply::Answer(403, String::new()),
        Reply::Answer(500, String::new()),
        Reply::Answer(200, "{}".to_owned()),
        Reply::Answer(200, r#"{"status": 319, "message": "invalid initiator"}"#.to_owned()),
        Reply::Nothing,
    ];
    for failure in failures {
        let server = Server::start(vec![failure, activated(), code()]).await;
        let codes = creation(EkoSettings { activate_service: true, ..settings(&server.url()) });
        let outcome = codes.create(&order(), "ref1", Sending::First, TIMEOUT).await;
        assert_eq!(named(&outcome), "not_delivered", "{outcome:?}");
        assert_eq!(server.lines().len(), 1);
        assert_eq!(named(&codes.create(&order(), "ref1", Sending::First, TIMEOUT).await), "ok", "a failure is not remembered");
    }

    let server = Server::start(vec![Reply::Silence]).await;
    let codes = creation(EkoSettings { activate_service: true, ..settings(&server.url()) });
    let outcome = codes.create(&order(), "ref1", Sending::First, Duration::from_millis(300)).await;
    assert_eq!(named(&outcome), "not_delivered", "{outcome:?}");
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_fetch_shows_the_payment_or_that_there_is_none() {
    let server = Server::answering(200, INQUIRY).await;
    let shown = payments(&server).fetch(TID, None).await.expect("it is there");
    assert_eq!((shown.snapshot.status, shown.snapshot.amount.paise()), (PaymentStatus::Captured, 2_100_000));
    let heard = server.the_only_request();
    assert_eq!(heard.line, "GET /v3/tools/reference/transaction/3251640145?initiator_id=9962981729&user_code=20810200");
    assert!(is_signed(&heard), "{}", heard.head);

    assert!(matches!(payments(&Server::answering(200, NO_TID).await).fetch(TID, None).await, Err(AskError::Absent)));
    for (status, body) in [
        (404, String::new()),
        (403, String::new()),
        (500, NO_TID.to_owned()),
        (500, INQUIRY.to_owned()),
        (200, FAILED.to_owned()),
        (200, "{}".to_owned()),
        (200, CODE.to_owned()),
        (200, INQUIRY.replace("\"amount\": \"21000.00\"", "\"amount\": \"21000.005\"")),
        (200, INQUIRY.replace(TID, "3251640146")),
    ] {
        let asked = payments(&Server::answering(status, &body).await).fetch(TID, None).await;
        assert!(matches!(asked, Err(AskError::Unanswered(_))), "{status} {body}");
    }
}
