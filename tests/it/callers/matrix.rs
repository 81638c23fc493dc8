//! Caller × RPC × account, whole: what each of them is answered. The calls are those of the services' descriptors.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut};
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};
use upistream::config::{AccountConfig, CallerConfig, ProviderConfig, RazorpayConfig, Secrets};
use upistream::domain::account::AccountName;
use upistream::domain::caller::Permission;
use upistream::grpc::pb;
use upistream::grpc::pb::resolve_doubt_request::Decision;
use upistream::grpc::pb::subscribe_request::Start;

use super::{by, caller, configure, key};
use crate::mandate::{debit_order, mandate_order};
use crate::support::app::{ACCOUNT, App, callback, close_order, order, provider, told};

/// An account that has nothing.
const OTHER: &str = "annex";

/// What is asked for and answered, as it is.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

/// A call about something of the account [`ACCOUNT`].
struct Asked {
    path: String,
    /// One of these is needed; none: only to be known.
    permissions: &'static [Permission],
    body: Vec<u8>,
    /// Answers what the caller sees, also where that is nothing.
    is_for_whoever_asks: bool,
}

/// A service with something of every kind, which only callers may ask from now on.
struct World {
    app: App,
    /// Texts that nobody may see who may not see the account.
    secrets: Vec<String>,
    asked: Vec<Asked>,
}

impl World {
    async fn open() -> World {
        let app = App::start_with(provider().await, |config| {
            crate::settlement::fetching(config);
            let secret = || Secrets::one("of-another-account".to_owned().into());
            let mut razorpay = RazorpayConfig::new("rzp_test_annex".to_owned(), secret(), secret());
            let ProviderConfig::Razorpay(shop) = &config.accounts[&ACCOUNT.parse::<AccountName>().expect("a name")].provider else {
                panic!()
            };
            razorpay.base_url.clone_from(&shop.base_url);
            let annex = AccountConfig {
                webhook_url_secrets: Secrets::one("another-unguessable-part".to_owned().into()),
                provider: ProviderConfig::Razorpay(razorpay),
            };
            config.accounts.insert(OTHER.parse().expect("a name"), annex);
        })
        .await;
        app.advance_to_day(2, 6, 0);
        let qr = app.create("matrix", 70_000).await;
        let payment = app.paid("matrix-paid", 90_000).await;
        let refund = app.refund("matrix-refund", &payment, 10_000).await;
        let mandate = app.approved(mandate_order(&app, "matrix-mandate")).await;
        let debit = app.debit(debit_order("matrix-debit", &mandate, 49_900)).await;
        let settlement = app.settled(&app.settle().await).await;
        let unheard = callback("qr_code.sneezed", serde_json::json!({}), 1_790_000_000);
        assert_eq!(app.post_signed(&unheard).await, 200);
        let kept = app.quarantine().await.remove(0);
        let event = app.log().await.remove(0);
        let secrets = vec![
            ACCOUNT.to_owned(),
            qr.id.clone(),
            payment.id.clone(),
            refund.id.clone(),
            mandate.id.clone(),
            debit.id.clone(),
            settlement.id.clone(),
            kept.id.clone(),
            event.id.clone(),
        ];

        use Permission as P;
        let mut asked = Vec::new();
        let account = || ACCOUNT.to_owned();
        let new_key = |name: &str| format!("matrix-{name}");
        let mut add = |service: &str, method: &str, permissions: &'static [P], body: Vec<u8>| {
            let path = format!("/upistream.v1.{service}/{method}");
            let is_for_whoever_asks = matches!(method, "ListAccounts" | "ListEvents" | "Subscribe");
            asked.push(Asked { path, permissions, body, is_for_whoever_asks });
        };
        let id = || qr.id.clone();
        add("QrService", "CreateQr", &[P::QrWrite], order("matrix-create", 100).encode_to_vec());
        add("QrService", "GetQr", &[P::QrRead], pb::GetQrRequest { id: id() }.encode_to_vec());
        add("QrService", "ListQrs", &[P::QrRead], pb::ListQrsRequest { account: account(), ..Default::default() }.encode_to_vec());
        add("QrService", "CloseQr", &[P::QrWrite], close_order("matrix-close", &qr.id).encode_to_vec());
        let image = pb::GetQrImageRequest { id: id(), format: pb::QrImageFormat::Png.into(), ..Default::default() };
        add("QrService", "GetQrImage", &[P::QrRead], image.encode_to_vec());

        let id = || payment.id.clone();
        add("PaymentService", "GetPayment", &[P::PaymentRead], pb::GetPaymentRequest { id: id() }.encode_to_vec());
        let list = pb::ListPaymentsRequest { account: account(), ..Default::default() };
        add("PaymentService", "ListPayments", &[P::PaymentRead], list.encode_to_vec());
        add("PaymentService", "RefreshPayment", &[P::PaymentRead], pb::RefreshPaymentRequest { id: id() }.encode_to_vec());

        let create = crate::refund::refund_order("matrix-second-refund", &payment, 100);
        add("RefundService", "CreateRefund", &[P::RefundWrite], create.encode_to_vec());
        add("RefundService", "GetRefund", &[P::RefundRead], pb::GetRefundRequest { id: refund.id.clone() }.encode_to_vec());
        let list = pb::ListRefundsRequest { account: account(), ..Default::default() };
        add("RefundService", "ListRefunds", &[P::RefundRead], list.encode_to_vec());

        let (id, of) = (|| mandate.id.clone(), |name: &str| new_key(name));
        add("MandateService", "CreateMandate", &[P::MandateWrite], mandate_order(&app, "matrix-new").encode_to_vec());
        add("MandateService", "GetMandate", &[P::MandateRead], pb::GetMandateRequest { id: id() }.encode_to_vec());
        let list = pb::ListMandatesRequest { account: account(), ..Default::default() };
        add("MandateService", "ListMandates", &[P::MandateRead], list.encode_to_vec());
        let valid_until = mandate.valid_until;
        let update = pb::UpdateMandateRequest { idempotency_key: of("update"), id: id(), max_amount: None, valid_until };
        add("MandateService", "UpdateMandate", &[P::MandateWrite], update.encode_to_vec());
        let pause = pb::PauseMandateRequest { idempotency_key: of("pause"), id: id() };
        add("MandateService", "PauseMandate", &[P::MandateWrite], pause.encode_to_vec());
        let resume = pb::ResumeMandateRequest { idempotency_key: of("resume"), id: id() };
        add("MandateService", "ResumeMandate", &[P::MandateWrite], resume.encode_to_vec());
        add("MandateService", "CreateDebit", &[P::DebitWrite], debit_order("matrix-next", &mandate, 100).encode_to_vec());
        let id = || debit.id.clone();
        let execute = pb::ExecuteDebitRequest { idempotency_key: of("execute"), id: id() };
        add("MandateService", "ExecuteDebit", &[P::DebitWrite], execute.encode_to_vec());
        add("MandateService", "GetDebit", &[P::DebitRead], pb::GetDebitRequest { id: id() }.encode_to_vec());
        let list = pb::ListDebitsRequest { account: account(), ..Default::default() };
        add("MandateService", "ListDebits", &[P::DebitRead], list.encode_to_vec());
        let cancel = pb::CancelDebitRequest { idempotency_key: of("cancel"), id: id() };
        add("MandateService", "CancelDebit", &[P::DebitWrite], cancel.encode_to_vec());
        let revoke = pb::RevokeMandateRequest { idempotency_key: of("revoke"), id: mandate.id.clone() };
        add("MandateService", "RevokeMandate", &[P::MandateWrite], revoke.encode_to_vec());

        let get = pb::GetSettlementRequest { id: settlement.id.clone() };
        add("SettlementService", "GetSettlement", &[P::SettlementRead], get.encode_to_vec());
        let list = pb::ListSettlementsRequest { account: account(), ..Default::default() };
        add("SettlementService", "ListSettlements", &[P::SettlementRead], list.encode_to_vec());
        let list = pb::ListSettlementEntriesRequest { account: account(), settlement_id: settlement.id.clone(), ..Default::default() };
        add("SettlementService", "ListSettlementEntries", &[P::SettlementRead], list.encode_to_vec());
        let list = pb::ListSettlementBreaksRequest { account: account(), include_closed: true, ..Default::default() };
        add("SettlementService", "ListSettlementBreaks", &[P::SettlementRead], list.encode_to_vec());

        let subscribe = pb::SubscribeRequest { start: Some(Start::Earliest(true)), ..Default::default() };
        add("EventService", "Subscribe", &[P::EventsRead], subscribe.encode_to_vec());
        add("EventService", "ListEvents", &[P::EventsRead], pb::ListEventsRequest::default().encode_to_vec());
        add("EventService", "GetEvent", &[P::EventsRead], pb::GetEventRequest { id: event.id.clone() }.encode_to_vec());
        add("AccountService", "ListAccounts", &[], pb::ListAccountsRequest {}.encode_to_vec());

        let list = pb::ListQuarantineRequest { account: account(), ..Default::default() };
        add("AdminService", "ListQuarantine", &[P::Admin], list.encode_to_vec());
        let replay = pb::ReplayQuarantinedRequest { idempotency_key: of("replay"), id: kept.id.clone() };
        add("AdminService", "ReplayQuarantined", &[P::Admin], replay.encode_to_vec());
        let list = pb::ListDoubtsRequest { account: account(), ..Default::default() };
        add("AdminService", "ListDoubts", &[P::Admin, P::DoubtResolve], list.encode_to_vec());
        let resolve = pb::ResolveDoubtRequest {
            idempotency_key: of("resolve"),
            id: qr.id.clone(),
            note: "seen in the dashboard".to_owned(),
            decision: Some(Decision::DidNotHappen(pb::DidNotHappen {})),
            ..Default::default()
        };
        add("AdminService", "ResolveDoubt", &[P::DoubtResolve], resolve.encode_to_vec());
        World { app, secrets, asked }
    }

    /// What the account has, and how it stands.
    async fn state(&self) -> Vec<String> {
        let account = || ACCOUNT.to_owned();
        let app = &self.app;
        let qrs = app.qrs().list_qrs(by("all", pb::ListQrsRequest { account: account(), ..Default::default() })).await;
        let refunds = app.refunds().list_refunds(by("all", pb::ListRefundsRequest { account: account(), ..Default::default() })).await;
        let mandates = pb::ListMandatesRequest { account: account(), ..Default::default() };
        let mandates = app.mandates().list_mandates(by("all", mandates)).await;
        let debits = app.mandates().list_debits(by("all", pb::ListDebitsRequest { account: account(), ..Default::default() })).await;
        let mut state = Vec::new();
        state.extend(qrs.expect("codes").into_inner().qrs.iter().map(|qr| format!("{} {:?}", qr.id, qr.state())));
        state.extend(refunds.expect("refunds").into_inner().refunds.iter().map(|refund| refund.id.clone()));
        state.extend(mandates.expect("mandates").into_inner().mandates.iter().map(|one| format!("{} {:?}", one.id, one.state())));
        state.extend(debits.expect("debits").into_inner().debits.iter().map(|debit| format!("{} {:?}", debit.id, debit.state())));
        state
    }

    /// The first message that is answered to a caller with this key.
    async fn ask(&self, asked: &Asked, header: Option<&str>) -> Result<Vec<u8>, Status> {
        let mut client = tonic::client::Grpc::new(self.app.channel.clone());
        client.ready().await.expect("the service is there");
        let mut request = Request::new(asked.body.clone());
        if let Some(header) = header {
            request.metadata_mut().insert("authorization", header.parse().expect("a header"));
        }
        let path = asked.path.parse().expect("a path");
        let call = async {
            let mut stream = client.server_streaming(request, path, Plain).await?.into_inner();
            Ok(stream.message().await?.expect("one message at least"))
        };
        tokio::time::timeout(crate::support::app::PATIENCE, call).await.expect("it is answered")
    }

    async fn ask_as(&self, asked: &Asked, name: &str) -> Result<Vec<u8>, Status> {
        self.ask(asked, Some(&format!("Bearer {}", key(name)))).await
    }
}

fn may(permissions: &[Permission], asked: &Asked) -> bool {
    asked.permissions.is_empty() || asked.permissions.iter().any(|permission| permissions.contains(permission))
}

/// Names of callers, from a permission.
fn named(prefix: &str, permission: Permission) -> String {
    format!("{prefix}-{}", permission.as_str().replace(':', "-"))
}

#[track_caller]
fn is_denied(answer: &Result<Vec<u8>, Status>, code: Code, what: &str) {
    match answer {
        Ok(_) => panic!("{what}: it is answered"),
        Err(status) => {
            let told = told(status);
            assert_eq!((status.code(), told.outcome()), (code, "NOT_SENT"), "{what}: {status:?}");
        }
    }
}

#[tokio::test]
async fn every_call_is_in_the_matrix() {
    let world = World::open().await;
    let set = prost_types::FileDescriptorSet::decode(pb::DESCRIPTORS).expect("descriptors");
    let mut served = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            served.extend(service.method.iter().map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
        }
    }
    let asked: BTreeSet<String> = world.asked.iter().map(|asked| asked.path.clone()).collect();
    assert_eq!((asked.len(), &asked), (world.asked.len(), &served));
}

#[tokio::test]
async fn who_is_not_known_gets_nothing() {
    let world = World::open().await;
    configure(&world.app, [caller("all", &Permission::ALL)]);
    let hash = upistream::domain::caller::ApiKeyHash::of(&key("all")).to_string();
    let (strange, hashed, basic, bare) =
        (format!("Bearer {}", key("strange")), format!("Bearer {hash}"), format!("Basic {}", key("all")), key("all"));
    for header in [None, Some(strange.as_str()), Some(&hashed), Some(&basic), Some(&bare), Some("Bearer "), Some("Bearer")] {
        for asked in &world.asked {
            is_denied(&world.ask(asked, header).await, Code::Unauthenticated, &format!("{header:?} {}", asked.path));
        }
    }
    let elsewhere =
        Asked { path: "/upistream.v1.QrService/DropQr".to_owned(), permissions: &[], body: Vec::new(), is_for_whoever_asks: false };
    assert_eq!(world.ask_as(&elsewhere, "all").await.expect_err("there is no such call").code(), Code::Unimplemented);
    // A probe shows nothing, and is answered.
    let mut health = tonic_health::pb::health_client::HealthClient::new(world.app.channel.clone());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.expect("anybody may ask whether it serves");
}

#[tokio::test]
async fn a_permission_is_needed_for_each_call_and_none_makes_up_for_it() {
    let world = World::open().await;
    let mut callers: BTreeMap<String, Vec<Permission>> = BTreeMap::from([("none".to_owned(), vec![])]);
    for permission in Permission::ALL {
        callers.insert(named("only", permission), vec![permission]);
        callers.insert(named("not", permission), Permission::ALL.into_iter().filter(|other| *other != permission).collect());
    }
    let unlimited = |(name, config): (String, CallerConfig)| (name, CallerConfig { calls_per_second: 100_000, ..config });
    configure(&world.app, callers.iter().map(|(name, permissions)| unlimited(caller(name, permissions))));
    let mut permitted = 0;
    // What is denied first: what is permitted may change what is there.
    for (name, permissions) in &callers {
        for asked in world.asked.iter().filter(|asked| !may(permissions, asked)) {
            let (what, answer) = (format!("{name} {}", asked.path), world.ask_as(asked, name).await);
            is_denied(&answer, Code::PermissionDenied, &what);
            let told = told(&answer.expect_err("it is denied"));
            assert_eq!(told.metadata.get("permission").map(String::as_str), Some(asked.permissions[0].as_str()), "{what}");
        }
    }
    for (name, permissions) in &callers {
        for asked in world.asked.iter().filter(|asked| may(permissions, asked)) {
            if let Err(status) = world.ask_as(asked, name).await {
                let code = status.code();
                assert!(
                    !matches!(code, Code::PermissionDenied | Code::Unauthenticated | Code::NotFound),
                    "{name} {}: {status:?}",
                    asked.path
                );
            }
            permitted += 1;
        }
    }
    assert!(permitted > world.asked.len() * 10, "{permitted}");
}

#[tokio::test]
async fn what_another_account_has_does_not_exist() {
    let world = World::open().await;
    let before = world.state().await;
    let (name, all) = caller("annex-only", &Permission::ALL);
    configure(&world.app, [(name, CallerConfig { accounts: vec![OTHER.to_owned()], ..all })]);
    for asked in &world.asked {
        let answer = world.ask_as(asked, "annex-only").await;
        let Ok(shown) = answer else {
            assert!(!asked.is_for_whoever_asks, "{}: {answer:?}", asked.path);
            let text = format!("{answer:?}");
            is_denied(&answer, Code::NotFound, &asked.path);
            // But what the caller sent himself.
            let told_more = world.secrets.iter().any(|secret| text.contains(secret.as_str()) && !holds(&asked.body, secret));
            assert!(!told_more, "{}: {text}", asked.path);
            continue;
        };
        assert!(asked.is_for_whoever_asks, "{} is answered", asked.path);
        let seen = world.secrets.iter().find(|secret| holds(&shown, secret));
        assert_eq!(seen, None, "{}", asked.path);
    }
    // Nothing was done, either.
    configure(&world.app, [caller("all", &Permission::ALL)]);
    assert_eq!(world.state().await, before);
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
