//! The subject: the service as it is configured where nothing is said otherwise, in this process, with one account at the
//! bench's own provider.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use secrecy::SecretString;
use tonic::transport::Channel;
use tonic::{Response, Status};
use upistream::app::{self, Options, Running};
use upistream::config::{
    AccountConfig, Backend, Config, EmbeddedConfig, ProviderConfig, RazorpayConfig, RedisConfig, RetentionAtRest, Secrets,
};
use upistream::grpc::pb;
use upistream::grpc::pb::qr_service_client::QrServiceClient;
use upistream::providers::http::Transport;

use super::Failed;
use super::own_redis::OwnRedis;
use super::provider::Provider;

pub const ACCOUNT: &str = "shop";
/// What its callbacks are told by: the end of their address, and what they are signed with.
pub const URL_SECRET: &str = "an-unguessable-part";
pub const WEBHOOK_SECRET: &str = "the-webhook-secret";
/// What every code asks for.
pub const PAISE: i64 = 49_900;
/// Longer than any bench: that codes are looked at when nobody paid them is another load, which comes later than a bench ends.
const FIRST_LOOK_S: u64 = 12 * 3_600;

/// A service on `backend`.
pub async fn start(backend: Backend, provider: &Arc<Provider>) -> Result<Running, Failed> {
    let secret = |text: &str| Secrets::one(SecretString::from(text));
    let mut razorpay = RazorpayConfig::new("rzp_test_bench".to_owned(), secret("the-key-secret"), secret(WEBHOOK_SECRET));
    razorpay.base_url = "http://127.0.0.1:9".to_owned();
    let account = AccountConfig { webhook_url_secrets: secret(URL_SECRET), provider: ProviderConfig::Razorpay(razorpay) };
    let any: SocketAddr = "127.0.0.1:0".parse()?;
    let mut config = Config { accounts: BTreeMap::from([(ACCOUNT.parse()?, account)]), ..Config::default() };
    config.grpc.listen = any;
    config.webhooks.listen = any;
    config.admin.listen = any;
    // The bench's subscribers are one caller.
    config.grpc.streams_per_caller_max = config.grpc.streams_max;
    config.store.backend = backend;
    config.reconciler.first_look_s = FIRST_LOOK_S;
    config.reconciler.look_max_s = config.reconciler.look_max_s.max(FIRST_LOOK_S);
    // This provider has none.
    config.settlements.fetch = false;
    let transport: Arc<dyn Transport> = Arc::<Provider>::clone(provider);
    app::start(config, Options { drain: false, transport: Some(transport), ..Options::default() })
        .await
        .map_err(|cause| cause.to_string().into())
}

pub fn on_redis(redis: &OwnRedis) -> Backend {
    Backend::Redis(Box::new(RedisConfig::new(vec![redis.url()], RetentionAtRest::Forever)))
}

pub fn on_file(folder: &Path) -> Backend {
    Backend::Embedded(EmbeddedConfig { path: folder.join("upistream.db") })
}

/// A key that no other request has, of the same length as all others.
pub fn new_key() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("bench-{:018}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// An ordinary order of a code.
pub fn order(key: &str) -> pb::CreateQrRequest {
    pb::CreateQrRequest {
        idempotency_key: key.to_owned(),
        account: ACCOUNT.to_owned(),
        usage: pb::QrUsage::SingleUse.into(),
        amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: PAISE }),
        reference: format!("order-{key}"),
        name: "Order at the counter".to_owned(),
        labels: BTreeMap::from([("counter".to_owned(), "7".to_owned())]),
        ..Default::default()
    }
}

pub async fn create(channel: Channel, key: String) -> Result<pb::CreateQrResponse, Status> {
    QrServiceClient::new(channel).create_qr(order(&key)).await.map(Response::into_inner)
}

/// The first page of the account's codes.
pub async fn list(channel: Channel, page_size: i32) -> Result<pb::ListQrsResponse, Status> {
    let request = pb::ListQrsRequest { account: ACCOUNT.to_owned(), page_size, ..Default::default() };
    QrServiceClient::new(channel).list_qrs(request).await.map(Response::into_inner)
}

pub async fn get(channel: Channel, id: String) -> Result<pb::GetQrResponse, Status> {
    QrServiceClient::new(channel).get_qr(pb::GetQrRequest { id }).await.map(Response::into_inner)
}

/// The code of a creation that went well.
pub fn made(response: &pb::CreateQrResponse) -> Result<&pb::Qr, Failed> {
    let qr = response.qr.as_ref().ok_or("an answer without a code")?;
    if qr.state() != pb::QrState::Active {
        return Err(format!("a code is {:?}", qr.state()).into());
    }
    Ok(qr)
}
