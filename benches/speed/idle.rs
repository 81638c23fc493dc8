//! What a subscriber holds in memory while nothing happens: the service, and a bare server, each as a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use super::bare::Floor;
use super::figure::{Figure, Wanted};
use super::process::{Process, Served, memory_kib};
use super::subscribers::{CONFIRMATION, Subscribers, first_messages};
use super::{Failed, Scale};

/// The bench's own argument by which it is a floor and measures nothing.
pub const FLOOR: &str = "--floor-streams";
/// What a process has in memory without its code, of which much is looked at for the first time with the first subscriber.
const OWN: &str = "RssAnon:";
const SUBSCRIBERS_PER_CONNECTION: usize = 100;
const CONNECTIONS_MIN: usize = 4;
/// Runs with new processes, which have nothing of one before in them.
const RUNS_MAX: usize = 3;
/// How long a floor may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long they are idle before it is looked.
const IDLE: Duration = Duration::from_secs(1);

/// Memory of a subscriber, over that of a bare stream.
pub async fn memory(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let subscribers = scale.idle;
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..scale.runs.min(RUNS_MAX) {
        let (floor, address) = floor().await?;
        floors.push(kib_of_each(&floor, address, subscribers).await?);
        drop(floor);
        let limits = format!("streams_max = {subscribers}\nstreams_per_caller_max = {subscribers}");
        let served = Served::start(&limits).await?;
        ours.push(kib_of_each(&served.process, served.grpc, subscribers).await?);
    }
    let own: Vec<f64> = ours.iter().zip(&floors).map(|(ours, floor)| ours - floor).collect();
    let case = format!("memory of each of {subscribers} idle subscribers");
    Ok(vec![
        Figure::ratio(case.clone(), "a bare stream", "KiB", Wanted::AtMost(1.5), &(ours, floors)),
        Figure::amount(format!("{case}, beyond a bare stream"), "KiB", Wanted::AtMost(16.0), &own),
    ])
}

async fn kib_of_each(process: &Process, address: SocketAddr, subscribers: usize) -> Result<f64, Failed> {
    let before = memory_kib(process, OWN)?;
    let connections = (subscribers / SUBSCRIBERS_PER_CONNECTION).max(CONNECTIONS_MIN);
    let idle = Subscribers::of(address, connections, subscribers, CONFIRMATION).await?;
    tokio::time::sleep(IDLE).await;
    let after = memory_kib(process, OWN)?;
    drop(idle);
    Ok((after - before) / f64::from(u32::try_from(subscribers)?))
}

/// The bench once more, as a floor, and where it serves.
async fn floor() -> Result<(Process, SocketAddr), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg(FLOOR).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let said = child.stdout.take().ok_or("a process without an output")?;
    let process = Process(child);
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).map(|_| line)
    });
    let line = tokio::time::timeout(PATIENCE, line).await.map_err(|_| "the floor does not come up")???;
    Ok((process, line.trim().parse()?))
}

/// Serves streams of one message and then nothing, until whoever started this ends.
pub async fn serve() -> Result<(), Failed> {
    let floor = Floor::of_streams(|| {
        let first = first_messages().into_iter().take(1).map(Ok);
        Box::pin(stream::iter(first).chain(stream::pending()))
    })
    .await?;
    println!("{}", floor.address);
    // Its other end is closed then.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}
