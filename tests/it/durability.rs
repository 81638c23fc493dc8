//! The disk has a write before anybody is told of it. A killed process can't show that, since the system's cache
//! outlives it; the order of its calls to the system can. With commits that don't wait for the disk the same check
//! goes red.

use std::path::Path;

use tokio::process::Command;
use upistream::app::{self, Options};
use upistream::config::Config;
use upistream::grpc::pb;
use upistream::grpc::pb::qr_service_client::QrServiceClient;
use upistream::sandbox::{PayOptions, Switches, WebhookFault, WebhookFaultKind};
use upistream::store::sqlite::Synchronous;

use crate::support::app::{ACCOUNT, install_crypto, order, provider, until};
use crate::support::process::{Process, serve};
use crate::support::rounds;
use crate::support::trace::{self, Act, Step};

/// Requests of an ordinary run, one after the other.
const REQUESTS: u32 = 20;
/// Tells this test's own process, started once more, to be a service that does not wait for the disk: its
/// configuration's path. No setting of the service does that.
const CARELESS: &str = "UPISTREAM_TEST_CARELESS_SERVICE";

/// What a trace shows: moments at which something had to be on disk, and how often it was not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    moments: usize,
    not_on_disk: usize,
}

#[tokio::test]
async fn the_disk_has_it_before_anybody_is_told() {
    let found = trace_of(serve).await;
    println!("{found:?}");
    assert_eq!(found, Found { moments: 3 * rounds::of(REQUESTS) as usize, not_on_disk: 0 });
}

#[tokio::test]
async fn without_waiting_for_the_disk_nothing_is_there_in_time() {
    if let Some(config) = std::env::var_os(CARELESS) {
        return serve_carelessly(Path::new(&config)).await;
    }
    let careless = |config: &Path| {
        let mut command = Command::new(std::env::current_exe().expect("this process has a program"));
        command.args(["--exact", "durability::without_waiting_for_the_disk_nothing_is_there_in_time", "--nocapture"]).env(CARELESS, config);
        command
    };
    let found = trace_of(careless).await;
    println!("{found:?}");
    let moments = 3 * rounds::of(REQUESTS) as usize;
    assert_eq!(found, Found { moments, not_on_disk: moments });
}

/// The service, but what a commit waits for. Ends when it is killed.
async fn serve_carelessly(config: &Path) {
    install_crypto();
    let config = Config::load(Some(config), std::env::vars()).expect("the configuration is good").config;
    let options = Options { synchronous: Synchronous::Off, ..Options::default() };
    let _running = app::start(config, options).await.expect("the service starts");
    std::future::pending().await
}

/// Creates codes and pays them, one after the other, with the service's calls to the system written down.
async fn trace_of(service: impl Fn(&Path) -> Command) -> Found {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let provider = provider().await;
    // One callback a payment, and none of the creation: what is read and written about each is told apart then.
    provider.switches(Switches { only_credited: true, ..Switches::default() });
    let silence = WebhookFault { times: u32::MAX, ..WebhookFault::on("qr_code.created", WebhookFaultKind::Drop) };
    provider.webhook_fault(silence).expect("there is room for a fault");
    let file = folder.path().join("calls.trace");
    let process = Process::start_as(folder.path(), &provider, |config| trace::traced(&service(config), &file)).await;

    let mut stories = Vec::new();
    for number in 0..rounds::of(REQUESTS) {
        let key = format!("durable-{number:05}-");
        let mut order = order(&key, 10_000);
        order.notes = [("key".to_owned(), key.clone())].into();
        let qr = QrServiceClient::new(process.channel.clone()).create_qr(order).await.expect("it is created").into_inner().qr.expect("it");
        assert_eq!(qr.state(), pb::QrState::Active);
        let payment = provider.pay_qr(ACCOUNT, &qr.upi_link, PayOptions::default()).await.expect("it can be paid");
        until("the callback to be taken", async || {
            provider.deliveries().iter().any(|delivery| delivery.body.contains(&payment) && delivery.status.is_success()).then_some(())
        })
        .await;
        stories.push((key, payment));
    }
    let id = process.id();
    process.kill().await;
    let traced = until("the end of the trace", async || {
        Some(std::fs::read_to_string(&file).unwrap_or_default()).filter(|traced| trace::is_complete(traced, id))
    })
    .await;

    let steps = trace::read(&traced);
    let mut found = Found::default();
    for (key, payment) in &stories {
        let asked = position(&steps, 0, |step| is(step, Act::Read, key)).expect("the request was read");
        let sent = position(&steps, asked, |step| is(step, Act::Write, key)).expect("the provider was asked");
        let answered = position(&steps, sent, |step| is(step, Act::Read, key)).expect("the provider answered");
        let told = position(&steps, answered, |step| is(step, Act::Write, key)).expect("the caller was answered");
        found.judge(&steps[asked..sent], key);
        found.judge(&steps[answered..told], key);

        let called = position(&steps, told, |step| is(step, Act::Read, payment)).expect("the callback was read");
        let connection = &steps[called].what;
        let taken = position(&steps, called, |step| step.act == Act::Write && step.what == *connection).expect("it was answered");
        found.judge(&steps[called..taken], payment);
    }
    found
}

impl Found {
    /// `steps` end where somebody is told: what they wrote about `name` to the log of the store must be on disk by then.
    fn judge(&mut self, steps: &[Step], name: &str) {
        let of_log = |step: &&Step| step.what.ends_with("upistream.db-wal");
        // The first: later commits write the same pages again, for reasons of their own.
        let written = steps.iter().position(|step| of_log(&step) && is(step, Act::WriteAt, name));
        let written = written.unwrap_or_else(|| panic!("nothing about {name} was written before somebody was told"));
        self.moments += 1;
        if !steps[written..].iter().filter(of_log).any(|step| step.act == Act::Synced) {
            self.not_on_disk += 1;
        }
    }
}

fn is(step: &Step, act: Act, name: &str) -> bool {
    step.act == act && step.line.contains(name)
}

fn position(steps: &[Step], from: usize, wanted: impl Fn(&Step) -> bool) -> Option<usize> {
    steps[from..].iter().position(wanted).map(|position| from + position)
}
