//! The adapter against a server that says what it is told to and remembers what it heard.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::domain::payment::PaymentStatus;
use crate::domain::personal::{Email, PersonName, Phone};
use crate::domain::qr::{CloseReason, Customer, QrOrder, QrSnapshot, QrStatus};
use crate::providers::scripted::{Heard, Reply, Server, client};
use crate::providers::token::MemoryShelf;
use crate::providers::{Created, KnownQr};

pub(super) const TOKEN: &str = include_str!("../../../tests/golden/enkash/token.json");
pub(super) const TOKEN_REFUSED: &str = include_str!("../../../tests/golden/enkash/token_refused.json");
const CREATE_ORDER: &str = include_str!("../../../tests/golden/enkash/create_order.json");
const ORDER_CREATED: &str = include_str!("../../../tests/golden/enkash/order_created.json");
const ORDER: &str = include_str!("../../../tests/golden/enkash/order.json");
const UPI_STATUS: &str = include_str!("../../../tests/golden/enkash/upi_status.json");
const SEED_000: &str = include_str!("../../../tests/golden/enkash/seed_000_dynamic_qr.json");
const SEED_001: &str = include_str!("../../../tests/golden/enkash/seed_001_cancelled_qr.json");
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// One black pixel.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";

pub(super) fn settings(base_url: String) -> EnkashSettings {
    EnkashSettings {
        base_url,
        keys: Held::new(Keys { access_key: "AK1".to_owned(), secret_keys: vec!["the-secret".into()], api_key: None }),
        bearer: true,
        order_lookup_path: Some("/api/v0/orders/merchant/{merchantOrderId}".to_owned()),
        allow_unobservable_qr: true,
        notify_url: Held::new(Some("https://pay.example/hooks/enkash".into())),
        mandates: None,
        mcc: None,
        timeout: TIMEOUT,
        deadline_floor: Duration::from_secs(2),
        // Half an hour before the token of the sample ends.
        now_ms: Arc::new(|| 1_767_225_599_000 - 1_800_000),
    }
}

pub(super) fn at(server: &Server) -> Provider {
    with(settings(server.url()))
}

pub(super) fn with(settings: EnkashSettings) -> Provider {
    let tokens = Tokens { shelf: Arc::new(MemoryShelf::default()), key: None, random: Arc::new(|| 7), told: Arc::new(|_| ()) };
    provider("shop".parse().expect("a plain name"), settings, client(), tokens)
}

fn codes(server: &Server) -> QrCodes {
    at(server).qr.expect("EnKash has QR codes")
}

fn order(usage: Usage) -> QrOrder {
    QrOrder {
        usage,
        amount: Some(Money::from_paise(49_900)),
        name: String::new(),
        description: String::new(),
        expire_time: None,
        notes: BTreeMap::from([("tenant".to_owned(), "t1".to_owned())]),
        customer: Some(Customer {
            provider_ref: None,
            name: PersonName::parse("Asha").ok(),
            phone: Phone::parse("+91 90000 00001").ok(),
            email: Email::parse("asha@example.in").ok(),
        }),
    }
}

fn known(provider_ref: &str, usage: Usage) -> KnownQr {
    let (our_ref, amount) = (Some("inv-1001".to_owned()), Some(Money::from_paise(49_900)));
    KnownQr { provider_ref: provider_ref.to_owned(), our_ref, usage, amount, attempt_ref: Some("EK9".to_owned()) }
}

pub(super) fn answer(body: impl ToString) -> Reply {
    Reply::Answer(200, body.to_string())
}

/// `document` with `changes` made to what it carries.
pub(super) fn changed(document: &str, changes: Value) -> String {
    let mut document: Value = serde_json::from_str(document).expect("the golden document is JSON");
    for (key, value) in changes.as_object().expect("changes are an object") {
        document["payload"][key] = value.clone();
    }
    document.to_string()
}

pub(super) fn failure(code: i64) -> String {
    json!({"response_code": code, "response_message": "No.", "payload": "No."}).to_string()
}

async fn create(server: &Server, usage: Usage) -> Result<Created, CallError> {
    codes(server).creation.create(&order(usage), "inv-1001", Sending::First, TIMEOUT).await
}

fn is_doubt<T: std::fmt::Debug>(outcome: &Result<T, CallError>) -> bool {
    matches!(outcome, Err(CallError::InDoubt(_)))
}

fn is_unanswered<T>(outcome: &Result<T, AskError>) -> bool {
    matches!(outcome, Err(AskError::Unanswered(_)))
}

#[tokio::test]
async fn an_order_is_the_documented_request_and_its_answer_the_documented_answer() {
    let server = Server::start(vec![answer(TOKEN), answer(ORDER_CREATED)]).await;
    let created = create(&server, Usage::SingleUse).await.expect("it is made");
    assert_eq!(created, Created::Registered { provider_ref: "ORD1".to_owned() });

    let [login, ordered] = server.heard().try_into().expect("a login and an order");
    assert_eq!(login.line, "POST /api/v0/merchant/token");
    assert_eq!(serde_json::from_str::<Value>(&login.body).ok(), Some(json!({"accessKey": "AK1", "secretKey": "the-secret"})));
    assert!(login.head.contains("api-key: AK1"), "{}", login.head);

    let Heard { line, head, body } = ordered;
    assert_eq!(line, "POST /api/v0/orders");
    assert!(head.contains("authorization: Bearer tkn-7f2c") && head.contains("merchantaccesskey: AK1"), "{head}");
    let mut documented: Value = serde_json::from_str(CREATE_ORDER).expect("the golden document is JSON");
    // We have no page that a browser could return to.
    documented.as_object_mut().expect("an object").remove("returnUrl");
    assert_eq!(serde_json::from_str::<Value>(&body).ok(), Some(documented));
    assert!(body.contains("\"value\":499.00,"), "rupees are a number with two decimals: {body}");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_made_once_more() {
    for refused in [Reply::Answer(200, TOKEN_REFUSED.to_owned()), Reply::Answer(401, String::new())] {
        let second = TOKEN.replace("tkn-7f2c", "tkn-second");
        let server = Server::start(vec![answer(TOKEN), refused, answer(second), answer(ORDER_CREATED)]).await;
        assert!(create(&server, Usage::SingleUse).await.is_ok());
        let lines = server.lines();
        assert_eq!(lines[2], "POST /api/v0/merchant/token");
        assert!(server.heard()[3].head.contains("authorization: Bearer tkn-second"));
    }
    let none = json!({"token": "", "resultCode": 1, "resultMessage": "wrong keys"});
    let server = Server::start(vec![answer(none)]).await;
    assert!(matches!(create(&server, Usage::SingleUse).await, Err(CallError::NotDelivered(_))), "without a token nothing is sent");
}

#[tokio::test]
async fn new_keys_and_a_new_url_are_used_from_the_next_call_on() {
    let second = TOKEN.replace("tkn-7f2c", "tkn-second");
    let server = Server::start(vec![answer(TOKEN), answer(ORDER_CREATED), answer(second), answer(ORDER_CREATED)]).await;
    let settings = settings(server.url());
    let (keys, notify_url) = (settings.keys.clone(), settings.notify_url.clone());
    let qr = with(settings).qr.expect("EnKash has QR codes");
    assert!(qr.creation.create(&order(Usage::SingleUse), "inv-1001", Sending::First, TIMEOUT).await.is_ok());
    keys.replace(Keys { access_key: "AK2".to_owned(), secret_keys: vec!["newer".into(), "the-secret".into()], api_key: None });
    notify_url.replace(Some("https://pay.example/hooks/newer".into()));
    assert!(qr.creation.create(&order(Usage::SingleUse), "inv-1002", Sending::First, TIMEOUT).await.is_ok());

    let heard = server.heard();
    assert_eq!(heard[2].line, "POST /api/v0/merchant/token", "a token of the old keys is used no more");
    assert_eq!(serde_json::from_str::<Value>(&heard[2].body).ok(), Some(json!({"accessKey": "AK2", "secretKey": "newer"})));
    assert!(heard[3].head.contains("authorization: Bearer tkn-second") && heard[3].head.contains("merchantaccesskey: AK2"));
    assert!(heard[3].body.contains("https://pay.example/hooks/newer"), "{}", heard[3].body);
}

#[tokio::test]
async fn the_token_goes_out_bare_where_that_is_configured() {
    let server = Server::start(vec![answer(TOKEN), answer(ORDER_CREATED)]).await;
    let qr = with(EnkashSettings { bearer: false, notify_url: Held::new(None), ..settings(server.url()) }).qr.expect("EnKash has QR codes");
    assert!(qr.creation.create(&order(Usage::SingleUse), "inv-1001", Sending::First, TIMEOUT).await.is_ok());
    let ordered = &server.heard()[1];
    assert!(ordered.head.contains("authorization: tkn-7f2c"), "{}", ordered.head);
    assert!(!ordered.body.contains("notifyUrl"));
}

#[tokio::test]
async fn an_answer_to_an_order_is_success_refusal_or_doubt() {
    let server = Server::start(vec![answer(TOKEN), answer(failure(156))]).await;
    let refused = create(&server, Usage::SingleUse).await;
    assert!(matches!(&refused, Err(CallError::Refused { code, message }) if code == "156" && message == "No."), "{refused:?}");
    for reply in [
        answer("<html>"),
        answer(json!({"response_code": 0})),
        answer(json!({"response_code": 0, "payload": {"orderId": null}})),
        answer(json!({"response_code": 0, "payload": "text"})),
        Reply::Answer(500, failure(1)),
        Reply::Nothing,
    ] {
        let server = Server::start(vec![answer(TOKEN), reply]).await;
        let outcome = create(&server, Usage::SingleUse).await;
        assert!(is_doubt(&outcome), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_documented_dynamic_code_is_read_field_by_field() {
    let draw = async |body: String| {
        let server = Server::start(vec![answer(TOKEN), answer(body)]).await;
        let drawn = codes(&server).drawing.expect("it is fetched").draw(&known("ORD1", Usage::SingleUse), TIMEOUT).await;
        assert_eq!(server.lines()[1], "GET /pay/checkout/qrcode/ORD1");
        drawn
    };
    // The page's own example names the types alone: its picture is none.
    assert!(is_doubt(&draw(SEED_000.to_owned()).await));

    let picture = draw(changed(SEED_000, json!({"ekPayId": "EK1", "qrCode": PICTURE}))).await.expect("it is a picture");
    let QrSnapshot { provider_ref, amount, code, status, .. } = picture;
    assert_eq!((provider_ref.as_str(), amount, status), ("ORD1", Some(Money::from_paise(49_900)), QrStatus::Active));
    assert_eq!((code.attempt_ref.as_deref(), code.picture.as_deref(), code.upi_link.as_str()), (Some("EK1"), Some(PICTURE), ""));

    let link = "upi://pay?pa=shop@examplebank&pn=Shop&tr=EK1&am=499.00&cu=INR";
    let text = draw(changed(SEED_000, json!({"ekPayId": "EK1", "qrCode": PICTURE, "qrUrl": link}))).await.expect("it has a text");
    assert_eq!((text.code.upi_link.as_str(), text.code.picture), (link, None), "what can be drawn needs no picture");

    let contradictory = [link.replace("499.00", "498.00"), format!("{link}&am=1.00"), link.replace("pay?", "mandate?")];
    for other in contradictory {
        assert!(is_doubt(&draw(changed(SEED_000, json!({"qrCode": PICTURE, "qrUrl": other}))).await), "{other}");
    }
    for no_text in ["https://shop.example/qr.png", "upi://pay?pa=shop"] {
        let picture = draw(changed(SEED_000, json!({"qrCode": format!("data:image/png;base64,{PICTURE}"), "qrUrl": no_text}))).await;
        assert_eq!(picture.expect("it has a picture").code.picture.as_deref(), Some(PICTURE), "{no_text}");
    }
    assert!(is_doubt(&draw(changed(SEED_000, json!({"qrCode": "bm90IGEgcGljdHVyZQ=="}))).await));
    assert!(is_doubt(&draw(failure(3)).await), "it is fetched again: nothing is refused by that");
}

#[tokio::test]
async fn the_payments_of_an_order_are_as_good_as_asked_for_one_by_one() {
    let server = Server::start(vec![answer(TOKEN), answer(ORDER)]).await;
    let enquiry = codes(&server).enquiry.expect("it can be asked");
    let listed = enquiry.payments(&known("ORD1", Usage::SingleUse), Timestamp::UNIX_EPOCH).await.expect("it is answered");
    assert_eq!((listed.readable.len(), listed.unreadable.len(), listed.is_fresh), (1, 0, true));

    // Which of two bare attempts was paid says the one that the code stands for.
    let bare = json!({"transactions": [{"transactionId": "EK1"}, {"transactionId": "EK9"}]});
    let succeeded = changed(UPI_STATUS, json!({"status": "SUCCESS"}));
    let server = Server::start(vec![answer(TOKEN), answer(changed(ORDER, bare.clone())), answer(succeeded)]).await;
    let enquiry = codes(&server).enquiry.expect("it can be asked");
    let listed = enquiry.payments(&known("ORD1", Usage::SingleUse), Timestamp::UNIX_EPOCH).await.expect("it is answered");
    assert_eq!(server.lines()[2], "GET /pay/checkout/status/upi/EK9");
    assert_eq!(listed.readable.iter().map(|payment| payment.provider_ref.as_str()).collect::<Vec<_>>(), ["EK9"]);

    let server = Server::start(vec![answer(TOKEN), answer(changed(ORDER, bare)), answer(UPI_STATUS)]).await;
    let enquiry = codes(&server).enquiry.expect("it can be asked");
    let listed = enquiry.payments(&known("ORD1", Usage::SingleUse), Timestamp::UNIX_EPOCH).await.expect("it is answered");
    assert_eq!((listed.readable.len(), listed.unreadable.len()), (0, 1));

    for other in [changed(ORDER, json!({"orderId": "ORD2"})), changed(ORDER, json!({"merchantOrderId": "another"})), failure(4)] {
        let server = Server::start(vec![answer(TOKEN), answer(other)]).await;
        let enquiry = codes(&server).enquiry.expect("it can be asked");
        assert!(is_unanswered(&enquiry.payments(&known("ORD1", Usage::SingleUse), Timestamp::UNIX_EPOCH).await));
    }
}

#[tokio::test]
async fn a_payment_stands_as_its_order_says() {
    let transaction = json!({"response_code": 0, "payload": {"transactionId": "EK1", "status": "SUCCESS", "orderId": "ORD1"}});
    let fetch = async |transaction: Value, order: String| {
        let server = Server::start(vec![answer(TOKEN), answer(transaction), answer(order)]).await;
        at(&server).payments.expect("it can be asked").fetch("EK1", None).await
    };
    let shown = fetch(transaction.clone(), ORDER.to_owned()).await.expect("it is answered");
    assert_eq!(shown.snapshot.status, PaymentStatus::Captured);
    let origin = crate::providers::PaymentOrigin::Named { provider_ref: Some("ORD1".to_owned()), our_ref: Some("inv-1001".to_owned()) };
    assert_eq!(shown.origin, origin);
    let shown = fetch(transaction.clone(), changed(ORDER, json!({"status": "ATTEMPTED"}))).await.expect("it is answered");
    assert_eq!(shown.snapshot.status, PaymentStatus::Pending, "the order is not paid yet");

    let another = json!({"response_code": 0, "payload": {"transactionId": "EK2", "orderId": "ORD1"}});
    assert!(is_unanswered(&fetch(another, ORDER.to_owned()).await));
    assert!(is_unanswered(&fetch(transaction, changed(ORDER, json!({"status": "ATTEMPTED", "transactions": []}))).await));

    // Where the code is known, its order is asked for at once.
    let server = Server::start(vec![answer(TOKEN), answer(ORDER)]).await;
    let payments = at(&server).payments.expect("it can be asked");
    let shown = payments.fetch("EK1", Some(&known("ORD1", Usage::SingleUse))).await.expect("it is answered");
    assert_eq!((shown.snapshot.status, server.lines()[1].as_str()), (PaymentStatus::Captured, "GET /api/v0/orders/ORD1"));
}

#[tokio::test]
async fn the_order_of_a_payment_is_asked_for_where_the_payment_does_not_name_it() {
    let bare = json!({"response_code": 0, "payload": {"transactionId": "EK1", "created": "2026-01-05T09:59:30Z"}});
    let two = changed(ORDER, json!({"transactions": [{"transactionId": "EK1"}, {"transactionId": "EK9"}]}));
    let paid = changed(UPI_STATUS, json!({"status": "SUCCESS"}));
    let server = Server::start(vec![answer(TOKEN), answer(&bare), answer(&paid), answer(two), answer(paid)]).await;
    let shown = at(&server).payments.expect("it can be asked").fetch("EK1", None).await.expect("it is answered");
    assert_eq!((shown.snapshot.status, shown.snapshot.provider_ref.as_str()), (PaymentStatus::Captured, "EK1"));
    let asked =
        ["GET /api/v0/payment/EK1", "GET /pay/checkout/status/upi/EK1", "GET /api/v0/orders/ORD1", "GET /pay/checkout/status/upi/EK1"];
    assert_eq!(server.lines()[1..], asked);

    let nameless = changed(UPI_STATUS, json!({"orderId": null}));
    let server = Server::start(vec![answer(TOKEN), answer(bare), answer(nameless)]).await;
    assert!(is_unanswered(&at(&server).payments.expect("it can be asked").fetch("EK1", None).await));
}

/// The seed's example with plausible values in place of the types' names.
fn upi_qr(changes: Value) -> String {
    let plausible = changed(
        SEED_001,
        json!({"qrCodeId": "QR1", "amount": 499, "qrCodeBase64": PICTURE, "referenceNumber": "inv-1001", "modifiedOn": "2026-01-05T15:30:00"}),
    );
    changed(&plausible, changes)
}

#[tokio::test]
async fn the_documented_upi_code_is_made_read_and_cancelled() {
    let server = Server::start(vec![answer(TOKEN), answer(upi_qr(json!({})))]).await;
    let Ok(Created::Ready(made)) = create(&server, Usage::MultipleUse).await else { panic!("it is made") };
    assert_eq!((made.provider_ref.as_str(), made.our_ref.as_deref(), made.status.clone()), ("QR1", Some("inv-1001"), QrStatus::Active));
    assert_eq!((made.amount, made.code.picture.as_deref()), (Some(Money::from_paise(49_900)), Some(PICTURE)));
    assert_eq!(server.lines()[1], "POST /api/v0/qr-code");
    let sent: Value = serde_json::from_str(&server.heard()[1].body).expect("it is JSON");
    assert_eq!((&sent["multipleUse"], &sent["fixedAmount"], &sent["referenceNumber"]), (&json!(true), &json!(true), &json!("inv-1001")));

    // The page's example as it stands: a fixed amount of nothing.
    let server = Server::start(vec![answer(TOKEN), answer(SEED_001)]).await;
    assert!(is_doubt(&create(&server, Usage::MultipleUse).await));
    for changes in [
        json!({"multipleUse": false}),
        json!({"multipleUse": null}),
        json!({"amount": 1}),
        json!({"referenceNumber": "another"}),
        json!({"status": "NEW"}),
    ] {
        let server = Server::start(vec![answer(TOKEN), answer(upi_qr(changes.clone()))]).await;
        let outcome = create(&server, Usage::MultipleUse).await;
        assert!(is_doubt(&outcome), "{changes}: {outcome:?}");
    }

    let server = Server::start(vec![answer(TOKEN), answer(upi_qr(json!({"status": "CANCELLED"})))]).await;
    let closing = codes(&server).closing.expect("it can be closed");
    let closed = closing.close(&known("QR1", Usage::MultipleUse), TIMEOUT).await.expect("it is closed");
    // The page's own example shows the code as active still: the cancel is in doubt.
    let as_documented = upi_qr(json!({"status": "ACTIVE"}));
    let server_that_hesitates = Server::start(vec![answer(TOKEN), answer(as_documented)]).await;
    let closing = codes(&server_that_hesitates).closing.expect("it can be closed");
    assert!(is_doubt(&closing.close(&known("QR1", Usage::MultipleUse), TIMEOUT).await));
    // Without an offset: India's time.
    let at = "2026-01-05T10:00:00Z".parse().ok();
    assert_eq!(closed.status, QrStatus::Closed { reason: Some(CloseReason::Cancelled), at });
    let cancel = &server.heard()[1];
    assert_eq!((cancel.line.as_str(), cancel.body.as_str()), ("PATCH /api/v0/qr-code/QR1/cancel", "{}"));
}

#[tokio::test]
async fn a_lost_order_is_found_by_its_reference_where_that_is_configured() {
    let throttled = Reply::Answer(429, failure(404));
    let server = Server::start(vec![answer(TOKEN), answer(ORDER), answer(failure(404)), answer("<html>"), throttled]).await;
    let search = codes(&server).search.expect("it can be searched");
    let look_up = async || search.look_up(&order(Usage::SingleUse), "inv-1001", Timestamp::UNIX_EPOCH).await;
    assert_eq!(look_up().await.expect("it is answered"), Some(Created::Registered { provider_ref: "ORD1".to_owned() }));
    assert_eq!(server.lines()[1], "GET /api/v0/orders/merchant/inv-1001");
    assert_eq!(look_up().await.expect("it is answered"), None);
    assert!(is_unanswered(&look_up().await));
    assert!(is_unanswered(&look_up().await), "who is throttled learns nothing");

    let unknown_path = with(EnkashSettings { order_lookup_path: None, ..settings("http://127.0.0.1:9".to_owned()) });
    assert_eq!(unknown_path.capabilities.qr_usage(Usage::SingleUse).map(|usage| usage.doubt), Some(DoubtCure::None));
    assert_eq!(unknown_path.capabilities.qr_usage(Usage::MultipleUse).map(|usage| usage.doubt), Some(DoubtCure::Lookup));
}

#[tokio::test]
async fn a_lost_upi_code_is_found_or_nothing_is_known() {
    let listed = |items: Value| json!({"response_code": 0, "payload": items}).to_string();
    let ours: Value = serde_json::from_str::<Value>(&upi_qr(json!({}))).expect("it is JSON")["payload"].clone();
    let nested = json!({"total": 1, "content": [json!("text"), ours.clone()]});
    for (body, is_found) in [(listed(json!([ours])), true), (listed(nested), true), (listed(json!([])), false), (listed(json!({})), false)]
    {
        let server = Server::start(vec![answer(TOKEN), answer(body.clone())]).await;
        let search = codes(&server).search.expect("it can be searched");
        let found = search.look_up(&order(Usage::MultipleUse), "inv-1001", Timestamp::UNIX_EPOCH).await;
        assert_eq!(matches!(found, Ok(Some(Created::Ready(_)))), is_found, "{body}");
        assert_eq!(is_unanswered(&found), !is_found, "that none is found proves nothing: {body}");
        assert_eq!(server.lines()[1], "POST /api/v0/qr-code/search?offset=0&limit=100");
    }
}

#[test]
fn what_enkash_has_no_place_for_is_a_violation() {
    let provider = with(settings("http://127.0.0.1:9".to_owned()));
    let creation = provider.qr.expect("EnKash has QR codes").creation;
    let fields = |order: QrOrder| -> Vec<String> {
        creation.violations(&order, Timestamp::UNIX_EPOCH).into_iter().map(|violation| violation.field).collect()
    };
    assert!(fields(order(Usage::SingleUse)).is_empty());
    assert!(fields(QrOrder { amount: None, ..order(Usage::MultipleUse) }).is_empty());
    assert_eq!(fields(QrOrder { amount: None, ..order(Usage::SingleUse) }), ["amount"]);
    assert_eq!(fields(QrOrder { expire_time: Some(Timestamp::MAX), ..order(Usage::SingleUse) }), ["expire_time"]);
}

#[test]
fn times_are_read_with_an_offset_or_as_indias() {
    let check = |text: &str, expected: Option<&str>| assert_eq!(time(text), expected.and_then(|text| text.parse().ok()), "{text}");
    check("2019-08-24T14:15:22Z", Some("2019-08-24T14:15:22Z"));
    check("2019-08-24T14:15:22.125+05:30", Some("2019-08-24T08:45:22.125Z"));
    check("2019-08-24T14:15:22", Some("2019-08-24T08:45:22Z"));
    check("2019-08-24 14:15:22", Some("2019-08-24T08:45:22Z"));
    check("string", None);
}
