//! Events that go to many live subscribers at once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use redis::aio::MultiplexedConnection;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tonic::Status;
use tonic::transport::Channel;

use super::bare::Floor;
use super::creation::{Creation, Owner};
use super::figure::{Figure, Wanted, alternate};
use super::load::connect;
use super::own_redis::OwnRedis;
use super::provider::Provider;
use super::subscribers::{CAUGHT_UP, EVENT, Subscribers, first_messages, next, subscribe};
use super::{Failed, Scale, service};

const CONNECTIONS: usize = 20;
/// Events of a creation.
const EVENTS: usize = 2;
/// How long the events may take that are looked at before the measurement.
const PATIENCE: Duration = Duration::from_secs(20);

/// The service's stream of what is written, over bare streams that are fed the same bytes from one channel while as much is
/// written: who writes is no part of what is compared. The events are fewer than the service holds for live subscribers, so that
/// whoever is slow falls behind nowhere.
pub async fn deliver(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let (redis, provider) = (OwnRedis::start()?, Provider::start());
    let running = service::start(service::on_redis(&redis), &provider).await?;
    let channel = connect(running.grpc).await?.swap_remove(0);
    let creation = Creation::watched(&redis, &provider, channel.clone()).await?;
    let connection = redis.connection().await?;
    let (subscribers, creations) = (scale.live, scale.live_events / EVENTS);
    let messages = samples(channel, &creation, connection.clone(), creations).await?;
    let feed = broadcast::Sender::<Bytes>::new(messages.len());
    let floor = Floor::of_streams({
        let feed = feed.clone();
        move || {
            let live = BroadcastStream::new(feed.subscribe());
            let live = live.map(|message| message.map_err(|lost| Status::data_loss(lost.to_string())));
            Box::pin(stream::iter(first_messages().into_iter().map(Ok)).chain(live))
        }
    })
    .await?;
    let mut ours = Subscribers::of(running.grpc, CONNECTIONS, subscribers, CAUGHT_UP).await?;
    let mut floors = Subscribers::of(floor.address, CONNECTIONS, subscribers, CAUGHT_UP).await?;
    let runs = alternate(
        scale.runs,
        async || per_second(&mut ours, messages.len(), append(&creation, connection.clone(), Owner::Service, creations)).await,
        async || {
            let fed = async {
                send(&feed, &messages)?;
                append(&creation, connection.clone(), Owner::Floor, creations).await
            };
            per_second(&mut floors, messages.len(), fed).await
        },
    )
    .await?;
    running.stop().await;
    let case = format!("events to {subscribers} live subscribers on {CONNECTIONS} connections");
    Ok(vec![Figure::ratio(case, "a channel and bare streams", "deliveries/s", Wanted::AtLeast(0.80), &runs)])
}

/// How many events a second all of them get together, from the begin of `append` on.
async fn per_second(subscribers: &mut Subscribers, events: usize, append: impl Future<Output = Result<(), Failed>>) -> Result<f64, Failed> {
    let begun = Instant::now();
    let deliveries = subscribers.all_get(events, append).await?;
    Ok(f64::from(u32::try_from(deliveries)?) / begun.elapsed().as_secs_f64())
}

/// Writes what creations write, past the service.
async fn append(creation: &Creation, mut connection: MultiplexedConnection, owner: Owner, creations: usize) -> Result<(), Failed> {
    creation.make_many(&mut connection, owner, creations).await.map(drop)
}

fn send(feed: &broadcast::Sender<Bytes>, messages: &[Bytes]) -> Result<(), Failed> {
    for message in messages {
        feed.send(message.clone())?;
    }
    Ok(())
}

/// The messages of so many creations, as a subscriber gets them.
async fn samples(channel: Channel, creation: &Creation, connection: MultiplexedConnection, creations: usize) -> Result<Vec<Bytes>, Failed> {
    let got = async {
        let mut stream = subscribe(channel).await?;
        next(&mut stream, CAUGHT_UP).await?;
        append(creation, connection, Owner::Service, creations).await?;
        let mut messages = Vec::new();
        while messages.len() < creations * EVENTS {
            messages.push(next(&mut stream, EVENT).await?);
        }
        Ok(messages)
    };
    tokio::time::timeout(PATIENCE, got).await.map_err(|_| "the service does not tell of what is written in time")?
}
