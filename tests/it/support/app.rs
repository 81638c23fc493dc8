//! The service as its users meet it: real listeners on loopback, a real store in a folder of its own, and the sandbox
//! as its provider.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use upistream::app::{self, Options, Running};
use upistream::clock::{Clock as _, Randomness, TestClock};
use upistream::config::{AccountConfig, Backend, Config, EmbeddedConfig, ProviderConfig, RazorpayConfig, Secrets};
use upistream::grpc::pb;
use upistream::sandbox::{self, Merchant, RazorpayMerchant, Sandbox, SandboxAccount, SandboxConfig};

use super::redis;

/// The account that stories use, and the part of its callbacks' URL that nobody guesses.
pub const ACCOUNT: &str = "shop";
pub const URL_SECRET: &str = "an-unguessable-part";
pub const WEBHOOK_SECRET: &str = "the-webhook-secret";
pub const KEY_ID: &str = "rzp_test_story";
pub const KEY_SECRET: &str = "the-key-secret";
pub const MERCHANT: &str = "acc_StoryMerchant1";
/// No story waits longer for something than this.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The simulated provider, which outlives the services of a story.
pub async fn provider() -> Sandbox {
    provider_on(TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port")).await
}

/// The merchant that the account of stories stands for at Razorpay.
pub fn razorpay_merchant() -> RazorpayMerchant {
    RazorpayMerchant {
        key_id: KEY_ID.to_owned(),
        key_secret: SecretString::from(KEY_SECRET),
        account_id: MERCHANT.to_owned(),
        webhook_secret: SecretString::from(WEBHOOK_SECRET),
    }
}

/// A provider that listens here.
pub async fn provider_on(listener: TcpListener) -> Sandbox {
    let account = SandboxAccount { name: ACCOUNT.to_owned(), webhook_url: None, merchant: Merchant::Razorpay(razorpay_merchant()) };
    let config = SandboxConfig { accounts: vec![account], event_spread_ms: 20, webhook_time_scale: 20, ..SandboxConfig::default() };
    sandbox::start(listener, config).await.expect("the sandbox starts on loopback")
}

/// The configuration of a service on `folder` whose account is at `provider`. Leases and timeouts are short, so that
/// what waits for them waits in earnest but not long.
pub fn config(folder: &Path, provider_url: &str) -> Config {
    let secret = |text: &str| Secrets::one(SecretString::from(text));
    let mut razorpay = RazorpayConfig::new(KEY_ID.to_owned(), secret(KEY_SECRET), secret(WEBHOOK_SECRET));
    razorpay.base_url = provider_url.to_owned();
    razorpay.timeout_ms = 1_000;
    razorpay.deadline_floor_ms = 300;
    razorpay.account_id = Some(MERCHANT.to_owned());
    let account = AccountConfig { webhook_url_secrets: secret(URL_SECRET), provider: ProviderConfig::Razorpay(razorpay) };
    let any = "127.0.0.1:0".parse().expect("an address");
    let mut config = Config { accounts: BTreeMap::from([(ACCOUNT.parse().expect("a name"), account)]), ..Config::default() };
    config.grpc.listen = any;
    config.webhooks.listen = any;
    config.admin.listen = any;
    config.store.backend = backend(folder);
    config.reconciler.lease_ms = 3_000;
    config.reconciler.lookups_per_second = 1_000;
    config.events.heartbeat_min_ms = 50;
    // Stories about what is held back from a provider that fails say when: in others what fails is asked again as they say.
    config.provider_calls.breaker_failures = 100;
    // Stories about settlements switch this on: in others nothing is to be looked at that they did not ask for.
    config.settlements.fetch = false;
    config
}

/// The store in `folder`: a file, or where `UPISTREAM_TEST_STORE=redis` says so a redis of that folder's own.
fn backend(folder: &Path) -> Backend {
    match std::env::var("UPISTREAM_TEST_STORE").as_deref() {
        Ok("redis") => redis::backend(redis::in_folder(folder)),
        Ok("embedded") | Err(_) => Backend::Embedded(EmbeddedConfig { path: folder.join("upistream.db") }),
        Ok(other) => panic!("UPISTREAM_TEST_STORE is `{other}`, and there are `embedded` and `redis`"),
    }
}

/// A running service.
pub struct App {
    pub running: Running,
    pub clock: Arc<TestClock>,
    pub provider: Sandbox,
    pub folder: Arc<TempDir>,
    pub channel: Channel,
}

impl App {
    /// A service with a store and a provider of its own.
    pub async fn start() -> Self {
        Self::start_with(provider().await, |_| ()).await
    }

    /// The same, with the configuration changed by `change`.
    pub async fn start_with(provider: Sandbox, change: impl FnOnce(&mut Config)) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Self::start_at(folder, Arc::new(TestClock::default()), provider, change).await
    }

    /// A service on a store that may have been used before.
    pub async fn start_at(folder: Arc<TempDir>, clock: Arc<TestClock>, provider: Sandbox, change: impl FnOnce(&mut Config)) -> Self {
        install_crypto();
        let mut config = config(folder.path(), &provider.razorpay_url());
        change(&mut config);
        let options = Options { clock: clock.clone(), randomness: Arc::new(Randomness::of_system()), drain: false, ..Options::default() };
        let running = app::start(config, options).await.expect("the service starts");
        let hook = format!("http://{}/webhooks/{ACCOUNT}/{URL_SECRET}", running.webhooks);
        provider.set_webhook_url(ACCOUNT, &hook).expect("the sandbox knows the account");
        let channel = channel(running.grpc).await;
        Self { running, clock, provider, folder, channel }
    }

    /// Time passes, here and at the provider.
    pub fn advance(&self, by: Duration) {
        self.provider.advance(by);
        self.clock.advance(by);
    }

    pub fn qrs(&self) -> pb::qr_service_client::QrServiceClient<Channel> {
        pb::qr_service_client::QrServiceClient::new(self.channel.clone())
    }

    pub fn payments(&self) -> pb::payment_service_client::PaymentServiceClient<Channel> {
        pb::payment_service_client::PaymentServiceClient::new(self.channel.clone())
    }

    pub fn refunds(&self) -> pb::refund_service_client::RefundServiceClient<Channel> {
        pb::refund_service_client::RefundServiceClient::new(self.channel.clone())
    }

    pub fn settlements(&self) -> pb::settlement_service_client::SettlementServiceClient<Channel> {
        pb::settlement_service_client::SettlementServiceClient::new(self.channel.clone())
    }

    pub fn events(&self) -> pb::event_service_client::EventServiceClient<Channel> {
        pb::event_service_client::EventServiceClient::new(self.channel.clone())
    }

    pub fn accounts(&self) -> pb::account_service_client::AccountServiceClient<Channel> {
        pb::account_service_client::AccountServiceClient::new(self.channel.clone())
    }

    pub fn admin(&self) -> pb::admin_service_client::AdminServiceClient<Channel> {
        pb::admin_service_client::AdminServiceClient::new(self.channel.clone())
    }

    /// Creates a code, which the provider takes at once.
    pub async fn create(&self, key: &str, paise: i64) -> pb::Qr {
        self.qrs().create_qr(order(key, paise)).await.expect("the code is created").into_inner().qr.expect("the answer has the code")
    }

    pub async fn get_qr(&self, id: &str) -> pb::Qr {
        let request = pb::GetQrRequest { id: id.to_owned() };
        self.qrs().get_qr(request).await.expect("the code is there").into_inner().qr.expect("the answer has the code")
    }

    /// Waits until the code `id` is as `wanted`.
    pub async fn qr_until(&self, id: &str, what: &str, wanted: impl Fn(&pb::Qr) -> bool) -> pb::Qr {
        until(what, async || Some(self.get_qr(id).await).filter(|qr| wanted(qr))).await
    }

    /// The payments of a code, newest first.
    pub async fn payments_of(&self, qr_id: &str) -> Vec<pb::Payment> {
        let request = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), qr_id: qr_id.to_owned(), ..Default::default() };
        self.payments().list_payments(request).await.expect("payments are listed").into_inner().payments
    }

    /// Waits until the code has one payment, and that is in `state`.
    pub async fn payment_until(&self, qr_id: &str, state: pb::PaymentState) -> pb::Payment {
        until(&format!("a payment that is {state:?}"), async || {
            let payments = self.payments_of(qr_id).await;
            assert!(payments.len() <= 1, "the code has several payments: {payments:?}");
            payments.into_iter().next().filter(|payment| payment.state() == state)
        })
        .await
    }

    /// All events of the log, oldest first.
    pub async fn log(&self) -> Vec<pb::Event> {
        let mut events = Vec::new();
        let mut request = pb::ListEventsRequest { page_size: 200, ..Default::default() };
        loop {
            let page = self.events().list_events(request.clone()).await.expect("events are listed").into_inner();
            events.extend(page.events);
            if page.next_page_token.is_empty() {
                return events;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The entry of an event vanishes from the log, as nothing of ours makes it vanish.
    pub async fn damage_log(&self, event: &str) {
        let store = self.running.store();
        let id = event.parse().expect("an id");
        let entry = store.event(&id).await.expect("the store answers").expect("the event is there");
        let (ms, seq) = (entry.position.ms, entry.position.seq);
        let removed = match std::env::var("UPISTREAM_TEST_STORE").as_deref() {
            Ok("redis") => {
                let log = format!("upistream:{{p{}}}:log", entry.partition.0);
                redis::ask::<usize>(&redis::in_folder(self.folder.path()), &format!("XDEL {log} {seq}-{ms}"))
            }
            _ => {
                let file = rusqlite::Connection::open(self.folder.path().join("upistream.db")).expect("the store's file");
                file.execute("DELETE FROM event WHERE id = ?1", [event]).expect("it can be written")
            }
        };
        assert_eq!(removed, 1);
    }
}

/// A single-use code over `paise`.
pub fn order(key: &str, paise: i64) -> pb::CreateQrRequest {
    pb::CreateQrRequest {
        idempotency_key: key.to_owned(),
        account: ACCOUNT.to_owned(),
        usage: pb::QrUsage::SingleUse.into(),
        amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: paise }),
        reference: format!("ref-{key}"),
        ..Default::default()
    }
}

/// Asks `look` until it has an answer, for at most [`PATIENCE`].
pub async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        loop {
            pause.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub async fn channel(address: std::net::SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).expect("an address").connect().await.expect("the service accepts connections")
}

/// rustls needs one provider of cryptography per process.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Each resource's revisions, in the order of the log: gapless from 1, and each event once.
pub fn check_revisions(events: &[pb::Event]) {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for event in events {
        assert!(ids.insert(&event.id), "the event {} comes twice", event.id);
        let before = last.insert(&event.resource_id, event.revision).unwrap_or(0);
        assert_eq!(event.revision, before + 1, "the revisions of {} have a gap at {}", event.resource_id, event.r#type);
    }
}

/// How an error of the service reads to a program.
#[derive(Debug)]
pub struct Told {
    pub code: tonic::Code,
    pub reason: String,
    pub metadata: std::collections::HashMap<String, String>,
    /// The fields that are not valid.
    pub fields: Vec<String>,
    pub retry_after: Option<Duration>,
}

impl Told {
    pub fn outcome(&self) -> &str {
        self.metadata.get("outcome").map_or("", String::as_str)
    }
}

/// What an error tells. Every error of the service carries our ErrorInfo.
pub fn told(status: &tonic::Status) -> Told {
    use tonic_types::StatusExt;
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("the error has no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "upistream");
    Told {
        code: status.code(),
        reason: info.reason.clone(),
        metadata: info.metadata.clone(),
        fields: details.bad_request().map_or_else(Vec::new, |bad| bad.field_violations.iter().map(|found| found.field.clone()).collect()),
        retry_after: details.retry_info().and_then(|info| info.retry_delay),
    }
}

/// `message` as a request whose caller waits for `time`.
pub fn within<T>(time: Duration, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(time);
    request
}

/// The account's settings.
pub fn razorpay(config: &mut Config) -> &mut RazorpayConfig {
    let account = config.accounts.get_mut(ACCOUNT).expect("the account is configured");
    let ProviderConfig::Razorpay(razorpay) = &mut account.provider else { panic!("the account is at Razorpay") };
    razorpay
}

/// Calls to the provider may take long, so that a caller's time can end in the middle of one. His answer leaves early, so
/// that it is in time on a busy machine.
pub fn patient(config: &mut Config) {
    razorpay(config).timeout_ms = 10_000;
    config.reconciler.lease_ms = 30_000;
    config.grpc.deadline_margin_ms = 1_500;
}

/// With a caller who waits for [`A_WHILE`] there is time for a few tries, and to write down what became of them.
pub fn hasty(config: &mut Config) {
    razorpay(config).deadline_floor_ms = 2_000;
}

pub const A_WHILE: Duration = Duration::from_millis(3_500);

pub fn close_order(key: &str, id: &str) -> pb::CloseQrRequest {
    pb::CloseQrRequest { idempotency_key: key.to_owned(), id: id.to_owned() }
}

pub fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// A callback's envelope around `payload`, as the provider would write it now.
pub fn callback(event: &str, payload: serde_json::Value, created_at: i64) -> String {
    let body = serde_json::json!({
        "entity": "event", "account_id": MERCHANT, "event": event, "contains": [], "payload": payload, "created_at": created_at,
    });
    body.to_string()
}

impl App {
    /// Something goes wrong with the next call of `operation`.
    pub fn fault(&self, operation: &str, kind: sandbox::FaultKind) {
        self.provider.fault(sandbox::Fault::on(operation, kind)).expect("there is room for a fault");
    }

    /// Something goes wrong with every call of `operation` from now on.
    pub fn always(&self, operation: &str, kind: sandbox::FaultKind) {
        let fault = sandbox::Fault { times: u32::MAX, ..sandbox::Fault::on(operation, kind) };
        self.provider.fault(fault).expect("there is room for a fault");
    }

    /// Every callback named `event` (`*`: every one) meets `kind` from now on.
    pub fn callbacks(&self, event: &str, kind: sandbox::WebhookFaultKind) {
        let fault = sandbox::WebhookFault { times: u32::MAX, ..sandbox::WebhookFault::on(event, kind) };
        self.provider.webhook_fault(fault).expect("there is room for a fault");
    }

    /// No callback leaves the provider from now on.
    pub fn lose_callbacks(&self) {
        self.callbacks("*", sandbox::WebhookFaultKind::Drop);
    }

    /// How often the provider was asked for `operation`.
    pub fn asked(&self, operation: &str) -> usize {
        self.provider.seen().iter().filter(|request| request.operation == operation).count()
    }

    /// Waits until the provider was asked for `operation` more than `before` times.
    pub async fn asked_again(&self, operation: &str, before: usize) {
        until(&format!("another {operation}"), async || (self.asked(operation) > before).then_some(())).await;
    }

    /// Time passes, and the provider is asked for `operation` again since.
    ///
    /// A look that is still under way would set its next time by the clock as it then is: it is waited for first.
    pub async fn advance_until_asked(&self, by: Duration, operation: &str) {
        until("the reconciler to have nothing at hand", async || {
            let due = self.running.store().next_due().await.expect("the store answers");
            due.filter(|due| *due > self.clock.now())
        })
        .await;
        let before = self.asked(operation);
        self.advance(by);
        self.asked_again(operation, before).await;
    }

    /// Time passes, and the provider is asked for `operation` about the only record that is not at rest; what it said is
    /// learned, and the next look lies ahead.
    pub async fn advance_and_look(&self, by: Duration, operation: &str) {
        use upistream::clock::Clock;
        self.advance_until_asked(by, operation).await;
        until("the look to be over", async || {
            let due = self.running.store().next_due().await.expect("the store answers");
            due.is_some_and(|due| due > self.clock.now()).then_some(())
        })
        .await;
    }

    /// The references of ours that creations carried, oldest first.
    pub fn references_sent(&self) -> Vec<String> {
        let creations = self.provider.seen().into_iter().filter(|request| request.operation == "qr.create");
        creations.filter_map(|request| request.body["notes"]["upistream_ref"].as_str().map(str::to_owned)).collect()
    }

    /// The references of ours that the provider's codes carry.
    pub fn references_at_provider(&self) -> Vec<String> {
        self.codes().iter().filter_map(|code| code["notes"]["upistream_ref"].as_str().map(str::to_owned)).collect()
    }

    /// The codes that the provider has, newest first.
    pub fn codes(&self) -> Vec<serde_json::Value> {
        self.provider.qr_codes(ACCOUNT).expect("the sandbox knows the account")
    }

    /// The provider's id of its only code.
    pub fn only_code(&self) -> String {
        let codes = self.codes();
        assert_eq!(codes.len(), 1, "the provider has {codes:?}");
        codes[0]["id"].as_str().expect("a code has an id").to_owned()
    }

    /// A payer pays the code with this provider's id; the payment's id at the provider.
    pub async fn pay(&self, code: &str, pay: sandbox::PayOptions) -> String {
        self.provider.pay_qr(ACCOUNT, code, pay).await.expect("the code can be paid")
    }

    pub async fn get_payment(&self, id: &str) -> pb::Payment {
        let request = pb::GetPaymentRequest { id: id.to_owned() };
        self.payments().get_payment(request).await.expect("the payment is there").into_inner().payment.expect("the answer has it")
    }

    /// The events of one resource, oldest first, once the log has all of its `revision`s; the whole log is gapless.
    pub async fn story(&self, id: &str, revision: i64) -> Vec<pb::Event> {
        until(&format!("revision {revision} of {id} in the log"), async || {
            let log = self.log().await;
            check_revisions(&log);
            let story: Vec<_> = log.into_iter().filter(|event| event.resource_id == id).collect();
            story.last().is_some_and(|event| event.revision >= revision).then_some(story)
        })
        .await
    }

    /// The names of a code's events, oldest first, up to its revision now.
    pub async fn names_of_qr(&self, id: &str) -> Vec<String> {
        let story = self.story(id, self.get_qr(id).await.revision).await;
        story.into_iter().map(|event| event.r#type).collect()
    }

    /// The names of a payment's events, oldest first, up to its revision now.
    pub async fn names_of_payment(&self, id: &str) -> Vec<String> {
        let story = self.story(id, self.get_payment(id).await.revision).await;
        story.into_iter().map(|event| event.r#type).collect()
    }

    pub async fn list_qrs(&self) -> Vec<pb::Qr> {
        let request = pb::ListQrsRequest { account: ACCOUNT.to_owned(), page_size: 200, ..Default::default() };
        self.qrs().list_qrs(request).await.expect("codes are listed").into_inner().qrs
    }

    pub async fn quarantine(&self) -> Vec<pb::QuarantineEntry> {
        let request = pb::ListQuarantineRequest { account: ACCOUNT.to_owned(), ..Default::default() };
        self.admin().list_quarantine(request).await.expect("the quarantine is listed").into_inner().entries
    }

    pub async fn doubts(&self) -> Vec<pb::Doubt> {
        let request = pb::ListDoubtsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
        self.admin().list_doubts(request).await.expect("doubts are listed").into_inner().doubts
    }

    /// Posts a callback to the service with this signature; the status of the answer.
    pub async fn post(&self, url_secret: &str, body: impl Into<reqwest::Body>, signature: &str) -> u16 {
        let url = format!("http://{}/webhooks/{ACCOUNT}/{url_secret}", self.running.webhooks);
        let request = http_client().post(url).header("x-razorpay-signature", signature).body(body);
        request.send().await.expect("the service answers").status().as_u16()
    }

    /// Posts a callback that the provider might have signed; the status of the answer.
    pub async fn post_signed(&self, body: &str) -> u16 {
        self.post(URL_SECRET, body.to_owned(), &signature(WEBHOOK_SECRET, body)).await
    }

    /// What somebody else who has the account's credentials does at the provider: POSTs `body` to `path`.
    pub async fn at_provider(&self, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let url = format!("{}/v1/{path}", self.provider.razorpay_url());
        let mut request = http_client().post(url).basic_auth(KEY_ID, Some(KEY_SECRET));
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.expect("the provider answers");
        assert!(answer.status().is_success(), "the provider answers {}", answer.status());
        answer.json().await.expect("the provider answers JSON")
    }

    /// Waits until the provider has nothing left to tell: each callback that it sent was answered with success.
    pub async fn callbacks_delivered(&self, count: usize) {
        until(&format!("{count} callbacks to be delivered"), async || {
            let delivered = self.provider.deliveries().iter().filter(|delivery| delivery.status.is_success()).count();
            (delivered >= count).then_some(())
        })
        .await;
    }

    /// The service's metrics, as text.
    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.running.admin);
        http_client().get(url).send().await.expect("the service answers").text().await.expect("metrics are text")
    }
}

fn http_client() -> reqwest::Client {
    reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("a client for loopback")
}

/// Lower-case hex HMAC-SHA256, as the provider signs.
pub fn signature(secret: &str, body: &str) -> String {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl App {
    /// Stops the service and waits until its store can be opened again. Nothing else may hold it: no feeder, no reader of a stream.
    pub async fn halt(self) -> (Arc<TempDir>, Arc<TestClock>, Sandbox) {
        let lock = self.folder.path().join("upistream.db.lock");
        let Self { running, clock, provider, folder, channel } = self;
        drop(channel);
        assert!(running.stop().await, "nothing was under way");
        if lock.exists() {
            until("the store to be given back", async || std::fs::File::open(&lock).ok()?.try_lock().ok()).await;
        }
        (folder, clock, provider)
    }
}
