//! The service as a process of its own on a new file: how long its start takes, and what it holds in memory while nobody calls.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::figure::{Figure, Wanted};
use super::{Failed, Scale};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked whether it serves: what is measured is no finer.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// All that is in memory, the code included.
const RESIDENT: &str = "VmRSS:";
/// The service that the health check asks for.
const SERVICE: &str = "upistream.v1.QrService";

/// A process. It is killed when dropped.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The service, on a new file.
pub struct Served {
    pub process: Process,
    pub grpc: SocketAddr,
    /// From its start until it served.
    started_in: Duration,
    _folder: TempDir,
}

impl Served {
    /// `grpc`: further settings of its listener.
    pub async fn start(grpc: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let addresses = free_addresses()?;
        let config = folder.path().join("upistream.toml");
        std::fs::write(&config, settings(folder.path(), addresses, grpc))?;
        let log = folder.path().join("serve.log");
        let begun = Instant::now();
        let mut process = serve(&config, &log)?;
        let [grpc, ..] = addresses;
        serving(&mut process, grpc, &log).await?;
        Ok(Self { process, grpc, started_in: begun.elapsed(), _folder: folder })
    }
}

pub async fn start(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..scale.runs {
        let served = Served::start("").await?;
        times.push(served.started_in.as_secs_f64() * 1_000.0);
        // Idle for as long as a run takes.
        tokio::time::sleep(scale.time).await;
        sizes.push(memory_kib(&served.process, RESIDENT)? / 1_024.0);
    }
    Ok(vec![
        Figure::amount("start to SERVING, on a new file", "ms", Wanted::AtMost(150.0), &times),
        Figure::amount("resident memory when idle", "MiB", Wanted::AtMost(30.0), &sizes),
    ])
}

fn serve(config: &Path, log: &Path) -> Result<Process, Failed> {
    let log = File::create(log)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_upistream"));
    command.arg("serve").arg("--config").arg(config).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(Process(command.spawn()?))
}

/// Returns once it serves.
async fn serving(process: &mut Process, grpc: SocketAddr, log: &Path) -> Result<(), Failed> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Ok(channel) = Channel::from_shared(format!("http://{grpc}"))?.connect().await
            && let Ok(health) = HealthClient::new(channel).check(HealthCheckRequest { service: SERVICE.to_owned() }).await
            && health.into_inner().status() == ServingStatus::Serving
        {
            return Ok(());
        }
        if process.0.try_wait()?.is_some() || Instant::now() > end {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            return Err(format!("the service does not come up; its log:\n{log}").into());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// What a process has in memory, as this line of its status tells.
pub fn memory_kib(process: &Process, name: &str) -> Result<f64, Failed> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("the system does not say what is in memory")?;
    let kib: u32 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(f64::from(kib))
}

fn settings(folder: &Path, [grpc, webhooks, admin]: [SocketAddr; 3], more: &str) -> String {
    format!(
        r#"
[grpc]
listen = "{grpc}"
{more}
[webhooks]
listen = "{webhooks}"
[admin]
listen = "{admin}"
[store.embedded]
path = '{store}'
[settlements]
fetch = false
[accounts.shop]
webhook_url_secrets = "an-unguessable-part"
[accounts.shop.razorpay]
base_url = "http://127.0.0.1:9"
key_id = "rzp_test_bench"
key_secret = "the-key-secret"
webhook_secrets = "the-webhook-secret"
"#,
        store = folder.join("upistream.db").display(),
    )
}

/// Three addresses that were free just now.
fn free_addresses() -> Result<[SocketAddr; 3], Failed> {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [free()?, free()?, free()?];
    let [grpc, webhooks, admin] = &listeners;
    Ok([grpc.local_addr()?, webhooks.local_addr()?, admin.local_addr()?])
}
