//! The adapter against a server that says what it is told to and remembers what it heard.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::personal::{Email, PersonName, Phone};
use crate::domain::qr::{Customer, QrOrder, QrSnapshot};
use crate::providers::mutation::{json_value, mutated};
use crate::providers::reading::read;
use crate::providers::scripted::{Heard, Reply, Server, client, closed_port, named};
use crate::providers::{CallError, Created, QrCreation, Sending, fuzz_cases};

const REQUEST: &str = include_str!("../../../tests/golden/oqpay/create_qr.request.json");
const ANSWER: &str = include_str!("../../../tests/golden/oqpay/create_qr.answer.json");
const ERROR: &str = include_str!("../../../tests/golden/oqpay/error.json");
const TIMEOUT: Duration = Duration::from_secs(10);

fn keys(registration_ids: &[&str], bearer_token: Option<&str>) -> Held<Keys> {
    let registration_ids = registration_ids.iter().map(|text| SecretString::from(*text)).collect();
    Held::new(Keys { registration_ids, bearer_token: bearer_token.map(SecretString::from) })
}

fn settings(base_url: &str) -> OqpaySettings {
    OqpaySettings {
        base_url: base_url.to_owned(),
        keys: keys(&["OQP-XXX", "OQP-OLD"], None),
        callbacks_prove: None,
        payee_vpas: Vec::new(),
        timeout: TIMEOUT,
        deadline_floor: Duration::from_secs(2),
    }
}

fn provider_with(settings: OqpaySettings) -> Provider {
    provider("shop".parse().expect("a plain name"), settings, client())
}

fn creation(settings: OqpaySettings) -> Arc<dyn QrCreation> {
    provider_with(settings).qr.expect("OQPay has QR codes").creation
}

async fn created(server: &Server, sending: Sending, timeout: Duration) -> Result<Created, CallError> {
    creation(settings(&server.url())).create(&order(), "ref1", sending, timeout).await
}

fn order() -> QrOrder {
    QrOrder {
        usage: Usage::SingleUse,
        amount: Some(Money::from_paise(50_000)),
        name: "Counter 4".to_owned(),
        description: String::new(),
        expire_time: None,
        notes: [("bill".to_owned(), "1".to_owned())].into(),
        customer: Some(Customer {
            provider_ref: None,
            name: PersonName::parse("Ajay Singh").ok(),
            phone: Phone::parse("+91 98765 43210").ok(),
            email: Email::parse("ajaysingh1898@gmail.com").ok(),
        }),
    }
}

#[test]
fn what_an_account_can_do_is_data() {
    let with_list = OqpaySettings { callbacks_prove: Some(Arc::new(|_| true)), ..settings("https://payin.oqpay.in") };
    for (settings, evidence, proves) in
        [(settings("https://payin.oqpay.in"), Evidence::Unproven, false), (with_list, Evidence::UrlSecret, true)]
    {
        let provider = provider_with(settings);
        let capabilities = &provider.capabilities;
        assert_eq!(capabilities.missing(Operation::CreateQr), None);
        for operation in [Operation::CloseQr, Operation::FetchPayment, Operation::CreateRefund, Operation::FetchSettlements] {
            assert!(capabilities.missing(operation).is_some(), "{}", operation.as_str());
        }
        assert!(provider.refunds.is_none() && provider.settlements.is_none());
        let single = capabilities.qr_usage(Usage::SingleUse).expect("it is told of");
        assert_eq!((single.refusal(), single.callback_evidence, single.doubt), (None, evidence, DoubtCure::None));
        assert!(capabilities.qr_usage(Usage::MultipleUse).expect("it is told of").refusal().is_some());
        assert!(provider.payments.is_none());
        assert_eq!((provider.webhooks.proved.is_some(), provider.webhooks.hints.is_some()), (proves, true));
        let acknowledged: Value = serde_json::from_str(provider.webhooks.acknowledgement).expect("it is JSON");
        assert_eq!(acknowledged, json!({"status": "1", "message": "Transaction completed successfully"}));
    }
}

#[tokio::test]
async fn a_code_is_asked_for_once_and_as_documented() {
    let server = Server::answering(200, ANSWER).await;
    let made = created(&server, Sending::First, TIMEOUT).await.expect("it is made");
    let Created::Ready(made) = made else { panic!("{made:?}") };
    let QrSnapshot { provider_ref, code, .. } = *made;
    assert_eq!((provider_ref.as_str(), code.attempt_ref.as_deref()), ("REF-OQP1001V3463548", Some("TPAY202602230723071213842")));

    let heard = server.the_only_request();
    assert_eq!(heard.line, "POST /api/V5/Payin/DynamicQRCode");
    assert_eq!(heard.header("content-type"), Some("application/json"));
    assert_eq!(heard.header("authorization"), None);
    assert_eq!(heard.json(), serde_json::from_str::<Value>(REQUEST).expect("the golden document is JSON"));
}

#[tokio::test]
async fn nothing_is_sent_that_was_not_given() {
    let server = Server::answering(200, ANSWER).await;
    let with_token = OqpaySettings { keys: keys(&["OQP-XXX"], Some("t0ken")), ..settings(&server.url()) };
    let without_customer = QrOrder { customer: None, ..order() };
    let outcome = creation(with_token).create(&without_customer, "ref1", Sending::First, TIMEOUT).await;
    assert_eq!(named(&outcome), "ok");
    let heard = server.the_only_request();
    assert_eq!(heard.json(), json!({"amount": 500, "registrationID": "OQP-XXX"}));
    assert_eq!(heard.header("authorization"), Some("Bearer t0ken"));
}

#[tokio::test]
async fn every_answer_to_a_creation_has_one_meaning() {
    let doubt = [
        Reply::Answer(200, "garbage".to_owned()),
        Reply::Answer(200, String::new()),
        Reply::Answer(200, "{}".to_owned()),
        Reply::Answer(200, ERROR.to_owned()),
        Reply::Answer(200, ANSWER.replace("\"amount\": 500", "\"amount\": 501")),
        Reply::Answer(200, ANSWER.replace("am=500.00", "am=501.00")),
        Reply::Answer(204, String::new()),
        Reply::Answer(301, String::new()),
        Reply::Answer(404, ERROR.to_owned()),
        Reply::Answer(500, ERROR.to_owned()),
        Reply::Nothing,
        Reply::Silence,
    ];
    for reply in doubt {
        let server = Server::start(vec![reply]).await;
        let outcome = created(&server, Sending::First, Duration::from_millis(500)).await;
        assert_eq!(named(&outcome), "in_doubt", "{outcome:?}");
        assert_eq!(server.lines().len(), 1, "it is never asked twice");
    }

    let outcome = created(&Server::answering(400, ERROR).await, Sending::First, TIMEOUT).await;
    let Err(CallError::Refused { code, message }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((code.as_str(), message.as_str()), ("400", "VPA does not exist for the account provided"));
    for (status, sending, expected) in [
        (403, Sending::First, "not_delivered"),
        (429, Sending::First, "not_delivered"),
        (403, Sending::Again, "in_doubt"),
        (400, Sending::Again, "in_doubt"),
    ] {
        let outcome = created(&Server::answering(status, ERROR).await, sending, TIMEOUT).await;
        assert_eq!(named(&outcome), expected, "{status} {sending:?}");
    }
}

#[tokio::test]
async fn what_can_not_be_sent_is_not_delivered() {
    for base_url in [closed_port().await.as_str(), "not a url", "data:x"] {
        let outcome = creation(settings(base_url)).create(&order(), "ref1", Sending::First, TIMEOUT).await;
        assert_eq!(named(&outcome), "not_delivered", "{base_url}");
    }
    let server = Server::start(Vec::new()).await;
    let here = || settings(&server.url());
    let odd_token = OqpaySettings { keys: keys(&["OQP-XXX"], Some("a\nb")), ..here() };
    for settings in [OqpaySettings { keys: keys(&[], None), ..here() }, odd_token] {
        assert_eq!(named(&creation(settings).create(&order(), "ref1", Sending::First, TIMEOUT).await), "not_delivered");
    }
    let with_paise = QrOrder { amount: Some(Money::from_paise(50_050)), ..order() };
    assert_eq!(named(&creation(here()).create(&with_paise, "ref1", Sending::First, TIMEOUT).await), "not_delivered");
    assert!(creation(here()).violations(&with_paise, Timestamp::UNIX_EPOCH).iter().any(|violation| violation.field == "amount"));
    let heard: Vec<Heard> = server.heard();
    assert!(heard.is_empty(), "{heard:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases()))]

    #[test]
    fn whatever_is_changed_in_an_answer_no_other_code_is_taken(place in any::<prop::sample::Index>(), value in json_value()) {
        let document = mutated(ANSWER, &place, value);
        let asked = Money::from_paise(50_000);
        let Ok(answer) = read("answer", document.to_string().as_bytes()) else { return Ok(()) };
        let _ = classify::classify(Sending::First, http::StatusCode::BAD_REQUEST, Some(&answer));
        if let Ok(code) = qr::to_snapshot(answer, Some(asked)) {
            prop_assert_eq!(code.amount, Some(asked));
            prop_assert!(code.code.upi_link.contains("am=500"));
        }
    }

    #[test]
    fn arbitrary_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = read::<wire::Answer>("answer", &body).map(|answer| qr::to_snapshot(answer, None));
    }
}
