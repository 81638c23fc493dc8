//! The load, the same for floor and subject: callers who each ask again as soon as they are answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::Failed;

/// Connections that the callers share.
const CONNECTIONS: usize = 4;

#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub callers: usize,
    pub time: Duration,
}

pub async fn connect(address: SocketAddr) -> Result<Vec<Channel>, Failed> {
    connections(address, CONNECTIONS).await
}

pub async fn connections(address: SocketAddr, count: usize) -> Result<Vec<Channel>, Failed> {
    let mut channels = Vec::new();
    for _ in 0..count {
        channels.push(Channel::from_shared(format!("http://{address}"))?.connect().await?);
    }
    Ok(channels)
}

/// How many times a second `call` was answered; the callers share what they call by. A call that fails ends the bench: a
/// figure with errors in it is none.
pub async fn per_second<T, F, E>(load: Load, shared: &[T], call: impl Fn(T) -> F + Clone + Send + Sync + 'static) -> Result<f64, Failed>
where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<Failed> + Send + 'static,
{
    let begun = Instant::now();
    let mut callers: JoinSet<Result<u32, E>> = JoinSet::new();
    for caller in 0..load.callers {
        let (by, call) = (shared[caller % shared.len()].clone(), call.clone());
        callers.spawn(async move {
            let mut answered = 0;
            while begun.elapsed() < load.time {
                call(by.clone()).await?;
                answered += 1;
            }
            Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(caller) = callers.join_next().await {
        answered += caller?.map_err(Into::into)?;
    }
    Ok(f64::from(answered) / begun.elapsed().as_secs_f64())
}
