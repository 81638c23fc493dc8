//! What must never be seen: secrets and personal data, planted in the configuration, in requests and in callbacks, and
//! looked for in all that the process prints, logs, exports and answers to mistakes.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, ToSpan};
use serde_json::json;
use tokio::process::Command;
use tonic::Status;
use upistream::domain::mandate::MandatePayer;
use upistream::domain::payment::Payer;
use upistream::domain::personal::{Email, PersonName, Phone, Vpa};
use upistream::domain::qr::Customer;
use upistream::grpc::pb;
use upistream::grpc::pb::mandate_service_client::MandateServiceClient;
use upistream::grpc::pb::payment_service_client::PaymentServiceClient;
use upistream::grpc::pb::qr_service_client::QrServiceClient;
use upistream::grpc::pb::refund_service_client::RefundServiceClient;
use upistream::sandbox::{Fault, FaultKind, PayOptions, Sandbox};

use crate::support::app::{ACCOUNT, KEY_ID, KEY_SECRET, URL_SECRET, WEBHOOK_SECRET, callback, config, order, provider, signature, until};
use crate::support::collector::Collector;
use crate::support::process::{Process, serve};

const VPA: &str = "planted.payer@okaxis";
const PHONE: &str = "+919812345678";
const EMAIL: &str = "planted.person@mail.example";
const NAME: &str = "Plantagenet Secretive";
/// No address of anybody, a phone and an e-mail that are none: what is refused is not quoted either.
const BAD_VPA: &str = "planted.payer@@okaxis";
const BAD_PHONE: &str = "98123456789812345678981234567898123456789812345678";
const BAD_EMAIL: &str = "planted.person mail.example";

/// What must be seen nowhere.
fn planted() -> Vec<String> {
    let credentials = STANDARD.encode(format!("{KEY_ID}:{KEY_SECRET}"));
    let plain = [KEY_SECRET, WEBHOOK_SECRET, URL_SECRET, VPA, EMAIL, NAME, "9812345678", "planted.p", "plantagenet"];
    plain.into_iter().map(str::to_owned).chain([credentials]).collect()
}

#[track_caller]
fn has_nothing_planted(where_to_look: &str, text: &str) {
    let lower = text.to_lowercase();
    for secret in planted() {
        if let Some(found) = lower.find(&secret.to_lowercase()) {
            let line = lower[..found].rfind('\n').map_or(0, |end| end + 1);
            let rest = lower[found..].find('\n').map_or(lower.len(), |end| found + end);
            panic!("`{secret}` is in {where_to_look}: {}", &lower[line..rest]);
        }
    }
}

/// Everything is logged that can be.
fn talkative(config: &Path, collector: &str) -> Command {
    let mut command = serve(config);
    command.env("UPISTREAM__LOG__LEVEL", "trace").env("UPISTREAM__LOG__FORMAT", "json");
    command.env("UPISTREAM__TELEMETRY__OTLP_ENDPOINT", collector).env("UPISTREAM__TELEMETRY__EXPORT_EVERY_MS", "1000");
    command.env("UPISTREAM__TELEMETRY__PROPAGATE_TO_PROVIDERS", "true").env("RUST_BACKTRACE", "1");
    command
}

struct Story {
    provider: Sandbox,
    process: Process,
    /// What the service answered to mistakes.
    refusals: Vec<Status>,
}

impl Story {
    fn qrs(&self) -> QrServiceClient<tonic::transport::Channel> {
        QrServiceClient::new(self.process.channel.clone())
    }

    fn mandates(&self) -> MandateServiceClient<tonic::transport::Channel> {
        MandateServiceClient::new(self.process.channel.clone())
    }

    fn refused<T>(&mut self, answered: Result<T, Status>) {
        self.refusals.extend(answered.err());
    }

    async fn post(&self, path: &str, body: String, signature: &str) -> u16 {
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("a client for loopback");
        let request = client.post(format!("http://{}{path}", self.process.webhooks)).header("x-razorpay-signature", signature);
        request.body(body).send().await.expect("the service answers").status().as_u16()
    }

    /// A code that somebody named is asked for, paid, and paid back; the payment as the service has it.
    async fn a_payment_and_its_refund(&mut self) -> pb::Payment {
        let customer = pb::QrCustomer { name: NAME.to_owned(), phone: PHONE.to_owned(), email: EMAIL.to_owned(), ..Default::default() };
        let named = pb::CreateQrRequest { customer: Some(customer), ..order("named", 49_900) };
        let qr = match self.qrs().create_qr(named).await {
            Ok(answer) => answer.into_inner().qr,
            // This provider may want nobody named: then that is one more refusal to look at.
            Err(status) => {
                self.refusals.push(status);
                self.qrs().create_qr(order("nameless", 49_900)).await.expect("the code is created").into_inner().qr
            }
        };
        let qr = qr.expect("the answer has the code");
        let pay = PayOptions { vpa: Some(VPA.to_owned()), ..PayOptions::default() };
        self.provider.pay_qr(ACCOUNT, &qr.provider_ref, pay).await.expect("the code can be paid");
        let payments = PaymentServiceClient::new(self.process.channel.clone());
        let payment = until("the payment", async || {
            let wish = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), qr_id: qr.id.clone(), ..Default::default() };
            let listed = payments.clone().list_payments(wish).await.expect("payments are listed").into_inner().payments;
            listed.into_iter().find(|payment| payment.state() == pb::PaymentState::Succeeded)
        })
        .await;
        // The provider's own words come back with a refusal, and so may what it was told.
        let mut refunds = RefundServiceClient::new(self.process.channel.clone());
        let refund = |key: &str, paise| pb::CreateRefundRequest {
            idempotency_key: key.to_owned(),
            payment_id: payment.id.clone(),
            amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: paise }),
            description: format!("for {NAME}"),
            ..Default::default()
        };
        self.refused(refunds.create_refund(refund("too much", 99_900)).await);
        refunds.create_refund(refund("back", 100)).await.expect("it is refunded");
        payment
    }

    /// A mandate of somebody named, and some that are asked for wrongly.
    async fn mandates_of_somebody(&mut self) {
        let until = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).checked_add(3.years()).expect("a time of our days").timestamp();
        let wish = |key: &str| pb::CreateMandateRequest {
            idempotency_key: key.to_owned(),
            account: ACCOUNT.to_owned(),
            max_amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: 150_000 }),
            amount_rule: pb::MandateAmountRule::Max.into(),
            frequency: pb::MandateFrequency::Monthly.into(),
            debit_day: Some(1),
            debit_day_rule: pb::MandateDebitDayRule::After.into(),
            valid_until: Some(prost_types::Timestamp { seconds: until.as_second(), nanos: 0 }),
            payer_name: NAME.to_owned(),
            payer_phone: PHONE.to_owned(),
            payer_email: EMAIL.to_owned(),
            name: "Gold plan".to_owned(),
            ..Default::default()
        };
        self.mandates().create_mandate(wish("by link")).await.expect("the mandate is registered");
        let by_vpa = self.mandates().create_mandate(pb::CreateMandateRequest { payer_vpa: VPA.to_owned(), ..wish("by vpa") }).await;
        self.refused(by_vpa);
        let bad = pb::CreateMandateRequest {
            payer_vpa: BAD_VPA.to_owned(),
            payer_phone: BAD_PHONE.to_owned(),
            payer_email: BAD_EMAIL.to_owned(),
            ..wish("bad")
        };
        let bad = self.mandates().create_mandate(bad).await;
        assert!(bad.is_err(), "nobody has such an address");
        self.refused(bad);
        // The answer is lost with what was asked in it.
        self.provider.fault(Fault::on("customer.create", FaultKind::AnswerLost)).expect("there is room for a fault");
        let lost = self.mandates().create_mandate(wish("lost")).await;
        self.refused(lost);
    }

    async fn bad_requests(&mut self) {
        let customer = pb::QrCustomer {
            name: NAME.to_owned(),
            phone: BAD_PHONE.to_owned(),
            email: BAD_EMAIL.to_owned(),
            provider_ref: VPA.to_owned(),
        };
        let bad = pb::CreateQrRequest { customer: Some(customer), ..order("bad", 49_900) };
        let bad = self.qrs().create_qr(bad).await;
        assert!(bad.is_err(), "nobody has such a number");
        self.refused(bad);
        let unknown = self.qrs().get_qr(pb::GetQrRequest { id: "qr_nothing".to_owned() }).await;
        self.refused(unknown);
    }

    /// Callbacks that are genuine, forged, misdirected, and not to be understood.
    async fn callbacks_about_somebody(&self) {
        let mut entity = self.provider.payments(ACCOUNT).expect("the sandbox knows the account").remove(0);
        entity["email"] = json!(EMAIL);
        entity["contact"] = json!(PHONE);
        entity["vpa"] = json!(VPA);
        let now = Timestamp::now().as_second();
        let door = format!("/webhooks/{ACCOUNT}/{URL_SECRET}");
        let genuine = callback("payment.captured", json!({"payment": {"entity": entity.clone()}}), now);
        assert_eq!(self.post(&door, genuine.clone(), &signature(WEBHOOK_SECRET, &genuine)).await, 200);
        assert_eq!(self.post(&door, genuine.clone(), &signature("a-forger's-guess", &genuine)).await, 401);
        assert_eq!(self.post(&format!("/webhooks/{ACCOUNT}/{URL_SECRET}x"), genuine.clone(), "").await, 404);
        assert_eq!(self.post(&format!("/webhooks/{ACCOUNT}/{VPA}"), genuine.clone(), "").await, 404);
        assert_eq!(self.post(&format!("/{URL_SECRET}?vpa={VPA}"), genuine.clone(), "").await, 404);
        let contradicting = genuine.replace("\"captured\"", "\"failed\"").replace("49900", "49901");
        assert_eq!(self.post(&door, contradicting.clone(), &signature(WEBHOOK_SECRET, &contradicting)).await, 200);
        for odd in
            [format!("{{\"payer\": \"{VPA}\""), format!("[\"{EMAIL}\", \"{PHONE}\"]"), genuine.replace("\"captured\"", "{\"vpa\":1}")]
        {
            assert_eq!(self.post(&door, odd.clone(), &signature(WEBHOOK_SECRET, &odd)).await, 200, "it is kept for a person");
        }
        entity["id"] = json!("pay_Unmatched00001");
        let unmatched = callback("payment.captured", json!({"payment": {"entity": entity}}), now);
        assert_eq!(self.post(&door, unmatched.clone(), &signature(WEBHOOK_SECRET, &unmatched)).await, 200);
    }

    async fn metrics(&self) -> String {
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("a client for loopback");
        let url = format!("http://{}/metrics", self.process.admin);
        client.get(url).send().await.expect("the service answers").text().await.expect("metrics are text")
    }
}

#[tokio::test]
async fn no_secret_and_nobody_s_data_is_seen_in_what_the_service_tells_of_itself() {
    let collector = Collector::start().await;
    let provider = provider().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let process = Process::start_as(folder.path(), &provider, |config| talkative(config, &collector.url())).await;
    let mut story = Story { provider, process, refusals: Vec::new() };

    let payment = story.a_payment_and_its_refund().await;
    // It came all the way: whoever may see it does.
    assert_eq!(payment.payer_vpa, VPA);
    story.mandates_of_somebody().await;
    story.bad_requests().await;
    story.callbacks_about_somebody().await;
    until("the callbacks' spans", async || (collector.spans().iter().filter(|span| span.name == "webhook").count() > 5).then_some(()))
        .await;

    assert!(story.refusals.len() >= 3, "{:?}", story.refusals);
    for status in &story.refusals {
        has_nothing_planted("an error", &format!("{status:?}\n{}", String::from_utf8_lossy(status.details())));
    }
    let metrics = story.metrics().await;
    assert!(metrics.contains("upistream_webhooks_refused_total"), "{metrics}");
    has_nothing_planted("the metrics", &metrics);

    let Story { process, .. } = story;
    assert!(process.terminate().await.success());
    let log = std::fs::read_to_string(folder.path().join("serve.log")).expect("the log is left");
    has_nothing_planted("what was printed and logged", &log);
    has_nothing_planted("what was exported", &collector.text());

    // Ours is told in full, and of other crates nothing that could tell what went through them.
    let mut ours = 0;
    for line in log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        let (level, target) = (line["level"].as_str().unwrap_or_default(), line["target"].as_str().unwrap_or_default());
        let is_ours = target == "upistream" || target.starts_with("upistream::");
        ours += usize::from(is_ours && level == "DEBUG");
        assert!(is_ours || matches!(level, "WARN" | "ERROR"), "{target} logs at {level}: {line}");
    }
    assert!(ours > 0, "the log is at its most talkative:\n{log}");
}

#[test]
fn a_panic_that_shows_settings_and_records_shows_no_secret_and_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = config(folder.path(), "http://127.0.0.1:1");
    let (vpa, phone, email) = (Vpa::parse(VPA).ok(), Phone::parse(PHONE).ok(), Email::parse(EMAIL).ok());
    let name = PersonName::parse(NAME).ok();
    assert!(vpa.is_some() && phone.is_some() && email.is_some() && name.is_some());
    let payer = Payer { vpa: vpa.clone(), phone: phone.clone(), email: email.clone() };
    let customer = Customer { provider_ref: None, name: name.clone(), phone: phone.clone(), email: email.clone() };
    let debtor = MandatePayer { vpa, name, phone, email };
    let shown = BTreeMap::from([("accounts", format!("{:?}", config.accounts)), ("settings", format!("{:?}", config.describe()))]);
    let panicked = catch_unwind(AssertUnwindSafe(|| panic!("{config:?} {shown:?} {payer:?} {customer:?} {debtor:#?}")));
    let said = panicked.expect_err("it is meant to").downcast::<String>().expect("a panic with values says a text");
    assert!(said.contains("razorpay") || said.contains("Razorpay"), "{said}");
    has_nothing_planted("a panic's message", &said);
    // Whoever looks finds what is there.
    let careless = format!("{said}\n{}", EMAIL.to_uppercase());
    assert!(catch_unwind(|| has_nothing_planted("a careless message", &careless)).is_err());
}
