//! Whatever is wrong with a request is named, all of it, and nothing is done.

mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet, Timestamp};
use tonic::{Code, Response, Status};
use upistream::domain::id::{Id, Kind, Partition};
use upistream::domain::money::Amount;
use upistream::grpc::{SERVICES, pb};

use crate::support::app::{ACCOUNT, App, order, told};

/// What a case shows.
#[derive(Clone, Copy, PartialEq)]
enum Shows {
    /// INVALID_FIELDS that names the field.
    Field,
    /// The same; it can't be sent together with the other cases.
    Alone,
    /// INVALID_TOKEN.
    Token,
    /// Nothing: every value is good.
    Free,
}
use Shows::{Alone, Field, Free, Token};

/// A field and what makes it bad.
type Case<R> = (&'static str, Shows, fn(&mut R));

/// All requests' fields that have a case.
#[derive(Default)]
struct Checked(BTreeSet<String>);

impl Checked {
    async fn request<R, T, F>(&mut self, name: &str, good: R, send: impl Fn(R) -> F, cases: &[Case<R>])
    where
        R: Clone + std::fmt::Debug,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        // Without a fault of ours it is not refused as invalid: what follows is the faults' doing.
        if let Err(refused) = send(good.clone()).await {
            assert_ne!(refused.code(), Code::InvalidArgument, "{name} {good:?}: {refused:?}");
        }
        let mut all = good.clone();
        let mut fields = BTreeSet::new();
        for (field, shows, spoil) in cases {
            self.0.insert(format!("{name}.{field}"));
            let mut bad = good.clone();
            spoil(&mut bad);
            match shows {
                Free => {
                    if let Err(refused) = send(bad).await {
                        assert_ne!(refused.code(), Code::InvalidArgument, "{name}.{field}: {refused:?}");
                    }
                }
                Token => {
                    let refused = told(&send(bad).await.err().unwrap_or_else(|| panic!("{name}.{field} is accepted")));
                    assert_eq!(
                        (refused.code, refused.reason.as_str(), refused.outcome()),
                        (Code::InvalidArgument, "INVALID_TOKEN", "NOT_SENT")
                    );
                }
                Field | Alone => {
                    let text = format!("{bad:.300?}");
                    check(&format!("{name}.{field} {text}"), send(bad).await.err(), &BTreeSet::from([*field]));
                    if *shows == Field && fields.insert(*field) {
                        spoil(&mut all);
                    }
                }
            }
        }
        if !fields.is_empty() {
            check(&format!("{name} with faults in {fields:?}"), send(all).await.err(), &fields);
        }
    }
}

/// The error names exactly these fields, or parts of them.
fn check(what: &str, refused: Option<Status>, fields: &BTreeSet<&str>) {
    let refused = told(&refused.unwrap_or_else(|| panic!("{what} is accepted")));
    assert_eq!((refused.code, refused.reason.as_str(), refused.outcome()), (Code::InvalidArgument, "INVALID_FIELDS", "NOT_SENT"), "{what}");
    let is_about = |named: &str, field: &str| named == field || named.strip_prefix(field).is_some_and(|rest| rest.starts_with('['));
    for field in fields {
        assert!(refused.fields.iter().any(|named| is_about(named, field)), "{what}: `{field}` is not named in {:?}", refused.fields);
    }
    for named in &refused.fields {
        assert!(fields.iter().any(|field| is_about(named, field)), "{what}: `{named}` is named too");
    }
}

fn text(length: usize) -> String {
    "a".repeat(length)
}

fn id(kind: Kind) -> String {
    Id::new(kind, Partition(3), 1_767_240_000_000, 42).to_string()
}

fn pairs(count: usize) -> BTreeMap<String, String> {
    (0..count).map(|number| (format!("key-{number}"), "value".to_owned())).collect()
}

fn pair(key: impl Into<String>, value: impl Into<String>) -> BTreeMap<String, String> {
    BTreeMap::from([(key.into(), value.into())])
}

fn time(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

fn beat(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

/// The cases of one field: `cases!(field shows; |request| bad; …)`.
macro_rules! cases {
    ($($field:literal $shows:ident: $(|$request:ident| $spoil:expr),+;)*) => {
        &[$($(($field, $shows, |$request| { $spoil; }),)+)*]
    };
}

/// The cases of the fields that several requests have.
macro_rules! key_cases {
    ($request:ty) => {{
        let cases: &[Case<$request>] = cases! {
            "idempotency_key" Field:
                |r| r.idempotency_key = String::new(),
                |r| r.idempotency_key = text(256),
                |r| r.idempotency_key = "line\nbreak".to_owned(),
                |r| r.idempotency_key = "schlüssel".to_owned();
        };
        cases
    }};
}

macro_rules! id_cases {
    ($request:ty, $other:expr) => {{
        let cases: &[Case<$request>] = cases! {
            "id" Field:
                |r| r.id = String::new(),
                |r| r.id = "nonsense".to_owned(),
                |r| r.id = id($other),
                |r| r.id = r.id.to_lowercase(),
                |r| r.id.push('0'),
                |r| r.id = text(100_000),
                |r| r.id = "qr_\u{0}".to_owned();
        };
        cases
    }};
}

macro_rules! list_cases {
    ($request:ty) => {{
        let cases: &[Case<$request>] = cases! {
            "account" Field:
                |r| r.account = String::new(),
                |r| r.account = "Shop".to_owned(),
                |r| r.account = text(41),
                |r| r.account = "shop\u{0}".to_owned();
            "page_size" Field: |r| r.page_size = -1, |r| r.page_size = i32::MIN;
            "page_size" Free: |r| r.page_size = i32::MAX;
            "page_token" Token: |r| r.page_token = "nonsense".to_owned(), |r| r.page_token = text(1 << 17), |r| r.page_token = "\u{0}".to_owned();
        };
        cases
    }};
}

macro_rules! time_cases {
    ($request:ty, $name:literal, $field:ident) => {{
        let cases: &[Case<$request>] = cases! {
            $name Field:
                |r| r.$field = time(-1, 0),
                |r| r.$field = time(0, -1),
                |r| r.$field = time(0, 1_000_000_000),
                |r| r.$field = time(i64::MAX, 0),
                |r| r.$field = time(i64::MIN, i32::MIN);
        };
        cases
    }};
}

macro_rules! text_cases {
    ($request:ty, $name:literal, $field:ident, $max:literal) => {{
        let cases: &[Case<$request>] = cases! {
            $name Field: |r| r.$field = text($max + 1), |r| r.$field = "bell\u{7}".to_owned(), |r| r.$field = "nul\u{0}".to_owned();
            $name Free: |r| r.$field = "ä".repeat($max);
        };
        cases
    }};
}

macro_rules! label_cases {
    ($request:ty, $name:literal, $($field:ident).+) => {{
        let cases: &[Case<$request>] = cases! {
            $name Field:
                |r| r.$($field).+ = pairs(17),
                |r| r.$($field).+ = pair("", "x"),
                |r| r.$($field).+ = pair(text(41), "x"),
                |r| r.$($field).+ = pair("Upper", "x"),
                |r| r.$($field).+ = pair("two words", "x"),
                |r| r.$($field).+ = pair("ä", "x"),
                |r| r.$($field).+ = pair("x", text(129)),
                |r| r.$($field).+ = pair("x", "line\nbreak");
            $name Free: |r| r.$($field).+ = pair("a-z_0.9", "Any Text, ä");
        };
        cases
    }};
}

macro_rules! enum_cases {
    ($request:ty, $name:literal, $field:ident) => {{
        let cases: &[Case<$request>] = cases! {
            $name Field: |r| r.$field = vec![99], |r| r.$field = vec![1, -1], |r| r.$field = vec![0];
        };
        cases
    }};
}

fn long<T>(count: usize, one: impl Fn(usize) -> T) -> Vec<T> {
    (0..count).map(one).collect()
}

fn amount(request: &mut pb::CreateQrRequest) -> &mut pb::Money {
    request.amount.as_mut().expect("the good request has one")
}

fn customer(request: &mut pb::CreateQrRequest) -> &mut pb::QrCustomer {
    request.customer.get_or_insert_default()
}

fn filter_of_subscribe(request: &mut pb::SubscribeRequest) -> &mut pb::EventFilter {
    request.filter.get_or_insert_default()
}

fn filter_of_list(request: &mut pb::ListEventsRequest) -> &mut pb::EventFilter {
    request.filter.get_or_insert_default()
}

/// The cases of an event filter.
macro_rules! filter_cases {
    ($request:ty, $filter:ident) => {{
        let cases: &[Case<$request>] = cases! {
            "filter.accounts" Field:
                |r| $filter(r).accounts = vec!["Shop".to_owned()],
                |r| $filter(r).accounts = vec![String::new()],
                |r| $filter(r).accounts = long(101, |_| ACCOUNT.to_owned());
            "filter.providers" Field: |r| $filter(r).providers = vec!["paypal".to_owned()], |r| $filter(r).providers = vec![String::new()];
            "filter.types" Field:
                |r| $filter(r).types = vec!["payment.*".to_owned(), "card.*".to_owned()],
                |r| $filter(r).types = vec![String::new()],
                |r| $filter(r).types = vec!["*".repeat(65)],
                |r| $filter(r).types = long(51, |_| "*".to_owned());
            "filter.resource_ids" Field:
                |r| $filter(r).resource_ids = vec!["nonsense".to_owned()],
                |r| $filter(r).resource_ids = long(101, |_| id(Kind::Qr));
            "filter.labels" Field:
                |r| $filter(r).labels = pairs(17),
                |r| $filter(r).labels = pair("", "x"),
                |r| $filter(r).labels = pair("Upper", "x"),
                |r| $filter(r).labels = pair("x", text(129));
            "filter.terminal_only" Free: |r| $filter(r).terminal_only = true;
        };
        cases
    }};
}

fn together<R: Clone>(groups: &[&[Case<R>]]) -> Vec<Case<R>> {
    groups.concat()
}

/// Says how many requests for a code were good.
async fn check_qr_service(app: &App, checked: &mut Checked) -> usize {
    let own: &[Case<pb::CreateQrRequest>] = cases! {
        "account" Field: |r| r.account = String::new(), |r| r.account = "Shop".to_owned(), |r| r.account = text(41);
        "usage" Field: |r| r.usage = 0, |r| r.usage = 99, |r| r.usage = -1;
        "amount.currency_code" Field:
            |r| amount(r).currency_code = String::new(),
            |r| amount(r).currency_code = "USD".to_owned(),
            |r| amount(r).currency_code = "inr".to_owned();
        "amount.minor_units" Field:
            |r| amount(r).minor_units = 0,
            |r| amount(r).minor_units = -1,
            |r| amount(r).minor_units = Amount::MAX_PAISE + 1,
            |r| amount(r).minor_units = i64::MAX,
            |r| amount(r).minor_units = i64::MIN;
        "amount" Alone: |r| r.amount = None;
        "expire_time" Alone: |r| r.expire_time = time(1_000_000_000, 0), |r| r.expire_time = time(200_000_000_000, 0);
        "notes" Field:
            |r| r.notes = pairs(16),
            |r| r.notes = pair("", "x"),
            |r| r.notes = pair(text(257), "x"),
            |r| r.notes = pair("x", text(257));
        "notes" Alone: |r| r.notes = pairs(15), |r| r.notes = pair("x", "\u{1f600}");
        "customer.provider_ref" Field:
            |r| customer(r).provider_ref = text(65),
            |r| customer(r).provider_ref = "cust/1".to_owned(),
            |r| customer(r).provider_ref = "cust 1".to_owned();
        "customer.name" Field:
            |r| customer(r).name = text(101),
            |r| customer(r).name = "12".to_owned(),
            |r| customer(r).name = "Asha\nRao".to_owned();
        "customer.phone" Field:
            |r| customer(r).phone = "9".repeat(33),
            |r| customer(r).phone = "asha".to_owned(),
            |r| customer(r).phone = "९८७६५".to_owned();
        "customer.email" Field:
            |r| customer(r).email = "asha".to_owned(),
            |r| customer(r).email = "@example.com".to_owned(),
            |r| customer(r).email = format!("a@{}", text(253));
        "customer" Free: |r| r.customer = Some(pb::QrCustomer::default());
    };
    let cases = together(&[
        key_cases!(pb::CreateQrRequest),
        text_cases!(pb::CreateQrRequest, "reference", reference, 64),
        label_cases!(pb::CreateQrRequest, "labels", labels),
        text_cases!(pb::CreateQrRequest, "name", name, 64),
        text_cases!(pb::CreateQrRequest, "description", description, 255),
        time_cases!(pb::CreateQrRequest, "expire_time", expire_time),
        own,
    ]);
    // What is Free is accepted, so each request needs a key of its own; the bad ones need none.
    let (keys, made) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let send = async |mut request: pb::CreateQrRequest| {
        if request.idempotency_key == "good" {
            keys.set(keys.get() + 1);
            request.idempotency_key = format!("good-{}", keys.get());
        }
        app.qrs().create_qr(request).await.inspect(|_| made.set(made.get() + 1))
    };
    checked.request("CreateQrRequest", order("good", 100), send, &cases).await;

    let good = pb::GetQrRequest { id: id(Kind::Qr) };
    checked.request("GetQrRequest", good, async |r| app.qrs().get_qr(r).await, id_cases!(pb::GetQrRequest, Kind::Payment)).await;

    let good = pb::CloseQrRequest { idempotency_key: "k".to_owned(), id: id(Kind::Qr) };
    let cases = together(&[key_cases!(pb::CloseQrRequest), id_cases!(pb::CloseQrRequest, Kind::Event)]);
    checked.request("CloseQrRequest", good, async |r| app.qrs().close_qr(r).await, &cases).await;

    let own: &[Case<pb::GetQrImageRequest>] = cases! {
        "format" Field: |r| r.format = 3, |r| r.format = -1;
        "size_pixels" Field: |r| r.size_pixels = 63, |r| r.size_pixels = 2049, |r| r.size_pixels = -1, |r| r.size_pixels = i32::MIN;
        "error_correction" Field: |r| r.error_correction = 5, |r| r.error_correction = i32::MAX;
    };
    let good = pb::GetQrImageRequest { id: id(Kind::Qr), ..Default::default() };
    let cases = together(&[id_cases!(pb::GetQrImageRequest, Kind::Payment), own]);
    checked.request("GetQrImageRequest", good, async |r| app.qrs().get_qr_image(r).await, &cases).await;

    let customers: &[Case<pb::ListQrsRequest>] = cases! {
        "customer_ref" Field: |r| r.customer_ref = text(65), |r| r.customer_ref = "cust/1".to_owned();
    };
    let cases = together(&[
        list_cases!(pb::ListQrsRequest),
        enum_cases!(pb::ListQrsRequest, "states", states),
        time_cases!(pb::ListQrsRequest, "create_time_from", create_time_from),
        time_cases!(pb::ListQrsRequest, "create_time_to", create_time_to),
        text_cases!(pb::ListQrsRequest, "reference", reference, 64),
        label_cases!(pb::ListQrsRequest, "labels", labels),
        customers,
    ]);
    let good = pb::ListQrsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    checked.request("ListQrsRequest", good, async |r| app.qrs().list_qrs(r).await, &cases).await;
    made.get()
}

// After the macros, which it uses.
mod mandates;
mod refunds;

async fn check_payment_service(app: &App, checked: &mut Checked) {
    let good = pb::GetPaymentRequest { id: id(Kind::Payment) };
    let cases = id_cases!(pb::GetPaymentRequest, Kind::Qr);
    checked.request("GetPaymentRequest", good, async |r| app.payments().get_payment(r).await, cases).await;

    let good = pb::RefreshPaymentRequest { id: id(Kind::Payment) };
    let cases = id_cases!(pb::RefreshPaymentRequest, Kind::Qr);
    checked.request("RefreshPaymentRequest", good, async |r| app.payments().refresh_payment(r).await, cases).await;

    let own: &[Case<pb::ListPaymentsRequest>] = cases! {
        "qr_id" Field: |r| r.qr_id = "nonsense".to_owned(), |r| r.qr_id = id(Kind::Payment);
        "debit_id" Alone: |r| r.debit_id = "nonsense".to_owned(), |r| r.debit_id = id(Kind::Qr);
        "debit_id" Alone: |r| (r.qr_id, r.debit_id) = (id(Kind::Qr), id(Kind::Debit));
    };
    let cases = together(&[
        list_cases!(pb::ListPaymentsRequest),
        enum_cases!(pb::ListPaymentsRequest, "states", states),
        time_cases!(pb::ListPaymentsRequest, "create_time_from", create_time_from),
        time_cases!(pb::ListPaymentsRequest, "create_time_to", create_time_to),
        text_cases!(pb::ListPaymentsRequest, "reference", reference, 64),
        label_cases!(pb::ListPaymentsRequest, "labels", labels),
        own,
    ]);
    let good = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    checked.request("ListPaymentsRequest", good, async |r| app.payments().list_payments(r).await, &cases).await;
}

async fn check_event_service(app: &App, checked: &mut Checked) {
    use pb::list_events_request::Start as From;
    use pb::subscribe_request::Start;
    let own: &[Case<pb::SubscribeRequest>] = cases! {
        "start" Field: |r| r.start = None;
        "earliest" Alone: |r| r.start = Some(Start::Earliest(false));
        "latest" Alone: |r| r.start = Some(Start::Latest(false));
        "after_token" Token:
            |r| r.start = Some(Start::AfterToken(String::new())),
            |r| r.start = Some(Start::AfterToken("nonsense".to_owned())),
            |r| r.start = Some(Start::AfterToken(text(1 << 17)));
        "at_time" Alone: |r| r.start = time(-1, 0).map(Start::AtTime), |r| r.start = time(i64::MAX, -1).map(Start::AtTime);
        "heartbeat_interval" Field:
            |r| r.heartbeat_interval = beat(0, 0),
            |r| r.heartbeat_interval = beat(-1, 0),
            |r| r.heartbeat_interval = beat(1, -1),
            |r| r.heartbeat_interval = beat(301, 0),
            |r| r.heartbeat_interval = beat(i64::MAX, i32::MAX),
            |r| r.heartbeat_interval = beat(i64::MIN, i32::MIN);
        "subscriber_name" Field:
            |r| r.subscriber_name = text(65),
            |r| r.subscriber_name = "two words".to_owned(),
            |r| r.subscriber_name = "ä".to_owned();
    };
    let cases = together(&[own, filter_cases!(pb::SubscribeRequest, filter_of_subscribe)]);
    let good = pb::SubscribeRequest { start: Some(Start::Latest(true)), ..Default::default() };
    checked.request("SubscribeRequest", good, async |r| app.events().subscribe(r).await, &cases).await;

    let own: &[Case<pb::ListEventsRequest>] = cases! {
        "after_token" Token: |r| r.start = Some(From::AfterToken("nonsense".to_owned()));
        "at_time" Field: |r| r.start = time(-1, 0).map(From::AtTime), |r| r.start = time(0, i32::MIN).map(From::AtTime);
        "page_size" Field: |r| r.page_size = -1, |r| r.page_size = i32::MIN;
        "page_token" Token: |r| r.page_token = "nonsense".to_owned(), |r| r.page_token = text(1 << 17);
    };
    let cases = together(&[own, filter_cases!(pb::ListEventsRequest, filter_of_list)]);
    checked.request("ListEventsRequest", pb::ListEventsRequest::default(), async |r| app.events().list_events(r).await, &cases).await;

    let good = pb::GetEventRequest { id: id(Kind::Event) };
    checked.request("GetEventRequest", good, async |r| app.events().get_event(r).await, id_cases!(pb::GetEventRequest, Kind::Qr)).await;
}

async fn check_admin_service(app: &App, checked: &mut Checked) {
    let cases = together(&[
        list_cases!(pb::ListQuarantineRequest),
        enum_cases!(pb::ListQuarantineRequest, "reasons", reasons),
        time_cases!(pb::ListQuarantineRequest, "receive_time_from", receive_time_from),
        time_cases!(pb::ListQuarantineRequest, "receive_time_to", receive_time_to),
    ]);
    let good = pb::ListQuarantineRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    checked.request("ListQuarantineRequest", good, async |r| app.admin().list_quarantine(r).await, &cases).await;

    let good = pb::ReplayQuarantinedRequest { idempotency_key: "k".to_owned(), id: id(Kind::Quarantined) };
    let cases = together(&[key_cases!(pb::ReplayQuarantinedRequest), id_cases!(pb::ReplayQuarantinedRequest, Kind::Qr)]);
    checked.request("ReplayQuarantinedRequest", good, async |r| app.admin().replay_quarantined(r).await, &cases).await;

    let own: &[Case<pb::ListDoubtsRequest>] = cases! { "operator_needed_only" Free: |r| r.operator_needed_only = true; };
    let cases = together(&[list_cases!(pb::ListDoubtsRequest), enum_cases!(pb::ListDoubtsRequest, "kinds", kinds), own]);
    let good = pb::ListDoubtsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    checked.request("ListDoubtsRequest", good, async |r| app.admin().list_doubts(r).await, &cases).await;

    use pb::resolve_doubt_request::Decision;
    fn happened(provider_ref: impl Into<String>) -> Option<Decision> {
        Some(Decision::Happened(pb::Happened { provider_ref: provider_ref.into() }))
    }
    let own: &[Case<pb::ResolveDoubtRequest>] = cases! {
        "decision" Alone: |r| r.decision = None;
        "happened.provider_ref" Field:
            |r| r.decision = happened(text(129)),
            |r| r.decision = happened("two words"),
            |r| r.decision = happened("../../x"),
            |r| r.decision = happened("qr_\u{0}");
        "did_not_happen" Free: |r| r.decision = Some(Decision::DidNotHappen(pb::DidNotHappen {}));
        "note" Field: |r| r.note = String::new(), |r| r.note = "  ".to_owned(), |r| r.note = text(501), |r| r.note = "nul\u{0}".to_owned();
        "expected_revision" Field: |r| r.expected_revision = Some(0), |r| r.expected_revision = Some(-1), |r| r.expected_revision = Some(i64::MIN);
    };
    let good = pb::ResolveDoubtRequest {
        idempotency_key: "k".to_owned(),
        id: id(Kind::Payment),
        decision: happened("pay_1"),
        note: "seen".to_owned(),
        expected_revision: Some(1),
    };
    let cases = together(&[key_cases!(pb::ResolveDoubtRequest), id_cases!(pb::ResolveDoubtRequest, Kind::Event), own]);
    checked.request("ResolveDoubtRequest", good, async |r| app.admin().resolve_doubt(r).await, &cases).await;
}

#[tokio::test]
async fn every_bad_field_of_every_request_is_named_and_so_are_all_at_once() {
    let app = App::start().await;
    let mut checked = Checked::default();
    let good = check_qr_service(&app, &mut checked).await;
    check_payment_service(&app, &mut checked).await;
    refunds::check_refund_service(&app, &mut checked).await;
    refunds::check_settlement_service(&app, &mut checked).await;
    mandates::check_mandates(&app, &mut checked).await;
    mandates::check_debits(&app, &mut checked).await;
    check_event_service(&app, &mut checked).await;
    check_admin_service(&app, &mut checked).await;

    let missing: Vec<String> = fields_of_requests().into_iter().filter(|field| !checked.0.contains(field)).collect();
    assert!(missing.is_empty(), "these fields have no case above: {missing:#?}");
    // Of all that was refused nothing is kept.
    let requested = app.log().await.iter().filter(|event| event.r#type == "qr.requested").count();
    let made: usize = app.provider.qr_codes(ACCOUNT).unwrap().len();
    assert_eq!((requested, made), (good, good), "each good request made one code, and no other did");
}

/// Every field of every request of the services, `Request.field`; of a message of ours, its fields.
fn fields_of_requests() -> Vec<String> {
    let files = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap().file;
    let messages: BTreeMap<String, DescriptorProto> = files
        .iter()
        .flat_map(|file| file.message_type.iter().map(move |message| (format!(".{}.{}", file.package(), message.name()), message.clone())))
        .collect();
    let services =
        files.iter().flat_map(|file| file.service.iter().map(move |service| (format!("{}.{}", file.package(), service.name()), service)));
    let methods = services.filter(|(name, _)| SERVICES.contains(&name.as_str())).flat_map(|(_, service)| &service.method);
    let mut found = Vec::new();
    for method in methods {
        let request = &messages[method.input_type()];
        collect(&messages, request, request.name(), &mut found);
    }
    assert!(found.len() > 50, "the descriptors are read: {found:?}");
    found
}

fn collect(messages: &BTreeMap<String, DescriptorProto>, message: &DescriptorProto, path: &str, found: &mut Vec<String>) {
    for field in &message.field {
        // A oneof's fields are named without it.
        let path = format!("{path}.{}", field.name());
        let inner = messages.get(field.type_name()).filter(|inner| field.r#type() == Type::Message && inner.name() != "Timestamp");
        match inner.filter(|_| field.type_name().starts_with(".upistream.")) {
            Some(inner) if !inner.field.is_empty() => collect(messages, inner, &path, found),
            _ => found.push(path),
        }
    }
}

#[tokio::test]
async fn our_own_rules_and_the_providers_are_told_together() {
    let app = App::start().await;
    let bad = pb::CreateQrRequest {
        idempotency_key: String::new(),
        reference: text(65),
        labels: pair("Upper", "x"),
        amount: None,
        name: text(65),
        expire_time: time(1_000_000_000, 0),
        notes: pair("smile", "\u{1f600}"),
        ..order("k", 100)
    };
    let fields = BTreeSet::from(["idempotency_key", "reference", "labels", "amount", "name", "expire_time", "notes"]);
    let refused = app.qrs().create_qr(bad.clone()).await.unwrap_err();
    let named = told(&refused).fields;
    check("both", Some(refused), &fields);
    assert_eq!(named.len(), fields.len(), "each once: {named:?}");

    // What can't be read is not said to be missing.
    let amount = Some(pb::Money { currency_code: "INR".to_owned(), minor_units: -1 });
    let refused = app.qrs().create_qr(pb::CreateQrRequest { amount, ..bad.clone() }).await.unwrap_err();
    let named = told(&refused).fields;
    assert!(named.contains(&"amount.minor_units".to_owned()) && !named.contains(&"amount".to_owned()), "{named:?}");

    // Of an account that is not there nothing is told but that, once the request is right in itself.
    let elsewhere = pb::CreateQrRequest { account: "nobody".to_owned(), ..order("k", 100) };
    assert_eq!(told(&app.qrs().create_qr(elsewhere).await.unwrap_err()).reason, "NOT_FOUND");
    let of_nobody = app.qrs().create_qr(pb::CreateQrRequest { account: "nobody".to_owned(), ..bad }).await.unwrap_err();
    assert!(!told(&of_nobody).fields.contains(&"amount".to_owned()));
}

#[tokio::test]
async fn a_request_that_was_refused_leaves_its_key_free() {
    let app = App::start().await;
    let bad = pb::CreateQrRequest { reference: text(65), ..order("the-key", 100) };
    assert_eq!(told(&app.qrs().create_qr(bad).await.unwrap_err()).reason, "INVALID_FIELDS");
    let made = app.qrs().create_qr(order("the-key", 100)).await.unwrap().into_inner();
    assert!(!made.idempotency_replayed);
}
