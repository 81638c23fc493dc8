//! The service as its users meet it: real listeners on loopback, a real store in a folder of its own, and the sandbox
//! as its provider.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use upistream::app::{self, Options, Running};
use upistream::clock::{Randomness, TestClock};
use upistream::config::{AccountConfig, Backend, Config, EmbeddedConfig, ProviderConfig, RazorpayConfig, Secrets};
use upistream::grpc::pb;
use upistream::sandbox::{self, Sandbox, SandboxAccount, SandboxConfig};

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
    let account = SandboxAccount {
        name: ACCOUNT.to_owned(),
        key_id: KEY_ID.to_owned(),
        key_secret: SecretString::from(KEY_SECRET),
        account_id: MERCHANT.to_owned(),
        webhook_secret: SecretString::from(WEBHOOK_SECRET),
        webhook_url: None,
    };
    let config = SandboxConfig { accounts: vec![account], event_spread_ms: 20, webhook_time_scale: 20, ..SandboxConfig::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
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
    config.store.backend = Backend::Embedded(EmbeddedConfig { path: folder.join("upistream.db") });
    config.reconciler.lease_ms = 3_000;
    config.reconciler.lookups_per_second = 1_000;
    config.events.heartbeat_min_ms = 50;
    config
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

    /// The path of the store's file.
    pub fn store_file(&self) -> PathBuf {
        self.folder.path().join("upistream.db")
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
