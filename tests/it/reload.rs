//! What changes without a restart, with the service as a process: secrets in files, certificates aside (`tls.rs`); and what
//! does not, or can't be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use upistream::domain::caller::ApiKeyHash;
use upistream::grpc::pb;
use upistream::grpc::pb::event_service_client::EventServiceClient;
use upistream::grpc::pb::payment_service_client::PaymentServiceClient;
use upistream::grpc::pb::qr_service_client::QrServiceClient;
use upistream::grpc::pb::subscribe_request::Start;
use upistream::sandbox::{PayOptions, RazorpaySecrets, Sandbox};

use crate::callers;
use crate::support::app::{ACCOUNT, KEY_SECRET, PATIENCE, URL_SECRET, WEBHOOK_SECRET, order, provider, until};
use crate::support::process::{Process, serve};
use crate::support::redis::signal;
use crate::support::rounds;

/// Rotations of an ordinary run.
const ROTATIONS: u32 = 3;
const CALLERS: usize = 8;
/// How often each caller is served between two steps of a rotation: what he sent before the first of them has been answered.
const CALLS_BETWEEN: u64 = 2;

/// An account's secrets at one time.
#[derive(Clone)]
struct Generation {
    key: String,
    webhook: String,
    url: String,
}

impl Generation {
    /// The one that the service and its provider begin with.
    fn first() -> Self {
        Self { key: KEY_SECRET.to_owned(), webhook: WEBHOOK_SECRET.to_owned(), url: URL_SECRET.to_owned() }
    }

    fn new(number: u32) -> Self {
        let named = |what: &str| format!("the-{what}-of-generation-{number}");
        Self { key: named("key"), webhook: named("signature"), url: named("url") }
    }

    /// Where a service begun by [`with_files`] finds it, with the one before behind it.
    fn write(&self, folder: &Path, before: &Self) {
        for (name, secret, older) in
            [("key", &self.key, &before.key), ("webhook", &self.webhook, &before.webhook), ("url", &self.url, &before.url)]
        {
            std::fs::write(folder.join(name), secret).expect("the folder is ours");
            std::fs::write(folder.join(format!("{name}.older")), older).expect("the folder is ours");
        }
    }
}

/// The service with its account's secrets in files of `folder`: the current one and the one before.
fn with_files(folder: PathBuf) -> impl Fn(&Path) -> Command {
    move |config| {
        let mut command = serve(config);
        let file = |name: &str| format!("{{ file = '{}' }}", folder.join(name).display());
        for (key, name) in [("RAZORPAY__KEY_SECRET", "key"), ("RAZORPAY__WEBHOOK_SECRETS", "webhook"), ("WEBHOOK_URL_SECRETS", "url")] {
            let variable = format!("UPISTREAM__ACCOUNTS__{}__{key}", ACCOUNT.to_uppercase());
            command.env(variable, format!("[{}, {}]", file(name), file(&format!("{name}.older"))));
        }
        // Only when it is told to.
        command.env("UPISTREAM__RELOAD__EVERY_S", "3600");
        command
    }
}

/// Callers who make codes that are paid, and what became of that.
struct Callers {
    /// How many codes each of them has made.
    made: Vec<AtomicU64>,
    paid: AtomicU64,
    over: CancellationToken,
}

impl Callers {
    async fn call_on(self: Arc<Self>, caller: usize, channel: Channel, provider: Sandbox) {
        while !self.over.is_cancelled() {
            let number = self.made[caller].load(Ordering::Relaxed);
            let made = QrServiceClient::new(channel.clone()).create_qr(order(&format!("key-{caller}-{number}"), 10_000)).await;
            let qr = made.expect("no call fails").into_inner().qr.expect("the answer has the code");
            assert_eq!(qr.state(), pb::QrState::Active, "the provider took it at once: {qr:?}");
            provider.pay_qr(ACCOUNT, &qr.upi_link, PayOptions::default()).await.expect("the code can be paid");
            self.paid.fetch_add(1, Ordering::Relaxed);
            self.made[caller].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until every one of them has been served some more.
    async fn go_on(&self) {
        let before: Vec<u64> = self.made.iter().map(|made| made.load(Ordering::Relaxed)).collect();
        let has_more = |(made, before): (&AtomicU64, &u64)| made.load(Ordering::Relaxed) >= before + CALLS_BETWEEN;
        until("more codes", async || self.made.iter().zip(&before).all(has_more).then_some(())).await;
    }
}

/// Waits until the service has logged `text` for the `times`th time.
async fn logged(process: &Process, text: &str, times: usize) {
    let what = format!("`{text}` in the log, {times} times");
    until(&what, async || (process.log().matches(text).count() >= times).then_some(())).await;
}

async fn succeeded(channel: &Channel) -> u64 {
    let (mut found, mut page_token) = (0, String::new());
    loop {
        let request = pb::ListPaymentsRequest { account: ACCOUNT.to_owned(), page_size: 200, page_token, ..Default::default() };
        let page = PaymentServiceClient::new(channel.clone()).list_payments(request).await.expect("they are listed").into_inner();
        found += page.payments.iter().filter(|payment| payment.state() == pb::PaymentState::Succeeded).count() as u64;
        if page.next_page_token.is_empty() {
            return found;
        }
        page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_secrets_change_under_load_and_neither_a_call_nor_a_callback_fails() {
    let rotations = rounds::of(ROTATIONS);
    let (folder, provider) = (tempfile::tempdir().expect("a temporary folder"), provider().await);
    let mut now = Generation::first();
    now.write(folder.path(), &Generation::new(0));
    let process = Process::start_as(folder.path(), &provider, with_files(folder.path().to_owned())).await;
    let made = (0..CALLERS).map(|_| AtomicU64::new(0)).collect();
    let callers = Arc::new(Callers { made, paid: AtomicU64::new(0), over: CancellationToken::new() });
    let mut calling = JoinSet::new();
    for caller in 0..CALLERS {
        calling.spawn(Arc::clone(&callers).call_on(caller, process.channel.clone(), provider.clone()));
    }
    let hook = |generation: &Generation| format!("http://{}/webhooks/{ACCOUNT}/{}", process.webhooks, generation.url);
    let at_provider = |keys: &[&Generation], signs: &Generation| {
        let key_secrets = keys.iter().map(|generation| generation.key.clone().into()).collect();
        let secrets = RazorpaySecrets { key_secrets, webhook_secret: signs.webhook.clone().into() };
        provider.set_razorpay_secrets(ACCOUNT, secrets).expect("the sandbox knows the account");
    };
    for rotation in 1..=rotations {
        callers.go_on().await;
        let next = Generation::new(rotation);
        // As an operator does it: the new key is made, which is good beside the old one; the service learns all that is new;
        // then the provider is told to use it, and the old key is taken back.
        at_provider(&[&now, &next], &now);
        next.write(folder.path(), &now);
        signal(process.id(), "HUP");
        logged(&process, "reloaded: the secrets of `shop` at razorpay", rotation as usize).await;
        logged(&process, "reloaded: the secret URL of `shop`", rotation as usize).await;
        callers.go_on().await;
        at_provider(&[&next], &next);
        provider.set_webhook_url(ACCOUNT, &hook(&next)).expect("the sandbox knows the account");
        now = next;
    }
    callers.go_on().await;
    callers.over.cancel();
    while let Some(caller) = calling.join_next().await {
        caller.expect("no call fails");
    }
    let paid = callers.paid.load(Ordering::Relaxed);
    until("all payments", async || (succeeded(&process.channel).await == paid).then_some(())).await;
    let deliveries = provider.deliveries();
    let failed: Vec<_> = deliveries.iter().filter(|delivery| !delivery.status.is_success()).collect();
    assert!(failed.is_empty() && !deliveries.is_empty(), "{failed:?}");
    println!("{paid} codes made and paid over {rotations} rotations, {} callbacks", deliveries.len());

    // What two rotations took away is good for nothing any more.
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().expect("a client for loopback");
    let status = async |url: String| client.post(url).body("{}").send().await.expect("it is answered").status().as_u16();
    assert_eq!(status(hook(&Generation::first())).await, 404);
    assert_eq!(status(hook(&now)).await, 401, "the URL is right, and nothing is signed");
    let log = process.log();
    assert!(!log.contains(&now.key) && !log.contains(&now.webhook) && !log.contains(&now.url), "the log tells a secret:\n{log}");
    assert_eq!(process.terminate().await.code(), Some(0));
}

/// A service that looks at its configuration every second, and that file.
async fn watching(provider: &Sandbox) -> (TempDir, Process, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let every_second = |config: &Path| {
        let mut command = serve(config);
        command.env("UPISTREAM__RELOAD__EVERY_S", "1");
        command
    };
    let process = Process::start_as(folder.path(), provider, every_second).await;
    let file = folder.path().join("upistream.toml");
    (folder, process, file)
}

#[tokio::test]
async fn a_configuration_that_cant_be_used_keeps_the_one_that_runs() {
    let provider = provider().await;
    let (_folder, process, file) = watching(&provider).await;
    let good = std::fs::read_to_string(&file).expect("it was written");
    let broken = [
        (good.replace("[drain]", "[drian]"), "there is no setting `drian`; did you mean `drain`?"),
        (good.replace(&format!("key_secret = \"{KEY_SECRET}\"\n"), ""), "`accounts.shop.razorpay.key_secret` is needed and missing"),
        ("not TOML".to_owned(), "this is not TOML"),
    ];
    for (number, (text, said)) in broken.into_iter().enumerate() {
        std::fs::write(&file, text).expect("the folder is ours");
        logged(&process, said, 1).await;
        let made = QrServiceClient::new(process.channel.clone()).create_qr(order(&format!("key-{number}"), 10_000)).await;
        assert!(made.is_ok(), "{made:?}");
    }
    let log = process.log();
    assert_eq!(log.matches("ERROR what was in force stays so, the configuration can't be taken").count(), 3, "each is said once:\n{log}");
    assert_eq!(process.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_not_applied() {
    let provider = provider().await;
    let (_folder, process, file) = watching(&provider).await;
    let text = std::fs::read_to_string(&file).expect("it was written");
    let (before, after) = ("delay_ms = 0", "delay_ms = 20000");
    assert!(text.contains(before));
    std::fs::write(&file, text.replace(before, after)).expect("the folder is ours");
    logged(&process, "WARN drain.delay_ms differs: it needs a restart", 1).await;
    signal(process.id(), "HUP");
    logged(&process, "WARN drain.delay_ms differs: it needs a restart", 2).await;
    // In twenty seconds nobody would wait for it any more.
    assert_eq!(process.terminate().await.code(), Some(0));
}

/// The log's level and the callers are taken at once; a caller that is taken away loses its stream.
#[tokio::test]
async fn callers_and_the_level_of_the_log_change_at_once() {
    let provider = provider().await;
    let (_folder, process, file) = watching(&provider).await;
    let text = std::fs::read_to_string(&file).expect("it was written");
    let section = |name: &str| {
        let hash = ApiKeyHash::of(&callers::key(name));
        format!("\n[callers.{name}]\napi_key_hashes = [\"{hash}\"]\naccounts = [\"*\"]\npermissions = [\"events:read\"]\n")
    };
    let write = |callers: &[&str]| {
        let sections: String = callers.iter().map(|name| section(name)).collect();
        std::fs::write(&file, format!("{text}{sections}")).expect("the folder is ours");
    };
    write(&["stays", "goes"]);
    logged(&process, "reloaded: callers", 1).await;
    let from_now = || pb::SubscribeRequest { start: Some(Start::Latest(true)), ..Default::default() };
    let mut events = EventServiceClient::new(process.channel.clone());
    let unknown = events.subscribe(from_now()).await.expect_err("from now on one has to be known");
    assert_eq!(unknown.code(), tonic::Code::Unauthenticated);
    let mut streams = Vec::new();
    for name in ["stays", "goes"] {
        let mut stream = events.subscribe(callers::by(name, from_now())).await.expect("it may").into_inner();
        stream.message().await.expect("it is confirmed");
        streams.push(stream);
    }
    let (mut goes, mut stays) = (streams.pop().expect("two"), streams.pop().expect("two"));
    write(&["stays"]);
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            match goes.message().await {
                Ok(message) => assert!(message.is_some(), "it ends without a word"),
                Err(status) => return status,
            }
        }
    });
    assert_eq!(ended.await.expect("it ends").code(), tonic::Code::Unauthenticated);
    let silent = tokio::time::timeout(Duration::from_millis(200), async { while stays.message().await.expect("it goes on").is_some() {} });
    assert!(silent.await.is_err(), "the other one goes on");

    // With the last one nobody is let in, rather than everybody.
    write(&[]);
    logged(&process, "reloaded: callers", 3).await;
    assert_eq!(events.subscribe(from_now()).await.expect_err("nobody is known").code(), tonic::Code::Unauthenticated);

    std::fs::write(&file, format!("{text}\n[log]\nlevel = \"debug\"\n")).expect("the folder is ours");
    logged(&process, "reloaded: log.level", 1).await;
}
