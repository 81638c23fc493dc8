//! grpc.health.v1, for each service, and readiness on the operators' port.

use std::sync::Arc;

use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use upistream::app::{self, Options};
use upistream::clock::{Randomness, TestClock};
use upistream::grpc::SERVICES;

use crate::support::app::{App, PATIENCE, channel, config, install_crypto, provider, until};

type Client = HealthClient<tonic::transport::Channel>;

/// The services' names, and the empty one: the server as a whole.
fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().chain([""])
}

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn watch(client: &mut Client, service: &str) -> tonic::Streaming<HealthCheckResponse> {
    client.watch(about(service)).await.expect("health can be watched").into_inner()
}

async fn next(watched: &mut tonic::Streaming<HealthCheckResponse>) -> ServingStatus {
    let message = tokio::time::timeout(PATIENCE, watched.message()).await.expect("news in time");
    message.expect("the stream goes on").expect("and does not end").status()
}

#[tokio::test]
async fn every_service_is_serving_and_others_are_not_known() {
    let app = App::start().await;
    let mut health = HealthClient::new(app.channel.clone());
    for name in names() {
        assert_eq!(health.check(about(name)).await.unwrap().into_inner().status(), ServingStatus::Serving, "{name}");
        assert_eq!(next(&mut watch(&mut health, name).await).await, ServingStatus::Serving, "{name}");
    }
    for name in ["upistream.v1.PayoutService", "QrService"] {
        assert_eq!(health.check(about(name)).await.unwrap_err().code(), tonic::Code::NotFound, "{name} is not built");
        assert_eq!(health.watch(about(name)).await.unwrap_err().code(), tonic::Code::NotFound, "{name} is not built");
    }
}

#[tokio::test]
async fn while_it_drains_it_serves_on_but_says_that_it_is_not_serving() {
    install_crypto();
    let provider = provider().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), &provider.razorpay_url());
    // Long: the test ends the process' part in it sooner.
    config.drain.delay_ms = 60_000;
    let options = Options { clock: Arc::new(TestClock::default()), randomness: Arc::new(Randomness::of_system()), ..Options::default() };
    let running = app::start(config, options).await.unwrap();
    let (grpc, admin) = (running.grpc, running.admin);
    let mut health = HealthClient::new(channel(grpc).await);
    let mut watched = Vec::new();
    for name in names() {
        let mut watching = watch(&mut health, name).await;
        assert_eq!(next(&mut watching).await, ServingStatus::Serving);
        watched.push(watching);
    }
    let ready = async || reqwest::get(format!("http://{admin}/readyz")).await.unwrap().status().as_u16();
    assert_eq!(ready().await, 200);

    let stopping = tokio::spawn(running.stop());
    for watching in &mut watched {
        assert_eq!(next(watching).await, ServingStatus::NotServing);
    }
    // New connections are taken and calls are answered until the endpoints have spread.
    let mut late = HealthClient::new(channel(grpc).await);
    for name in names() {
        assert_eq!(late.check(about(name)).await.unwrap().into_inner().status(), ServingStatus::NotServing, "{name}");
    }
    until("readiness to turn", async || (ready().await == 503).then_some(())).await;
    assert_eq!(reqwest::get(format!("http://{admin}/livez")).await.unwrap().status(), 200, "it lives");
    let mut accounts = upistream::grpc::pb::account_service_client::AccountServiceClient::new(channel(grpc).await);
    accounts.list_accounts(upistream::grpc::pb::ListAccountsRequest {}).await.expect("it serves on");
    stopping.abort();
}
