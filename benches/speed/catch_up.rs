//! A subscriber who reads the log from its beginning until he has caught up.

use std::time::Instant;

use bytes::Bytes;
use futures_util::stream;
use prost::Message as _;
use redis::aio::MultiplexedConnection;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use upistream::config::Config;
use upistream::grpc::pb;
use upistream::grpc::pb::event_service_client::EventServiceClient;
use upistream::grpc::pb::subscribe_request::Start;
use upistream::grpc::pb::subscribe_response::Message;

use super::bare::Floor;
use super::creation::{Creation, Owner};
use super::figure::{Figure, Wanted, alternate};
use super::load::connect;
use super::own_redis::OwnRedis;
use super::provider::Provider;
use super::subscribers::log_is_read;
use super::{Failed, Scale, service};

/// Events of a creation.
const EVENTS: usize = 2;

/// Subscribe from the oldest event on, over a stream that reads the same entries in pages of the same size and sends messages of
/// the right sizes that were encoded before.
pub async fn read(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let (redis, provider) = (OwnRedis::start()?, Provider::start());
    let running = service::start(service::on_redis(&redis), &provider).await?;
    let ours = connect(running.grpc).await?;
    let creation = Creation::watched(&redis, &provider, ours[0].clone()).await?;
    let mut connection = redis.connection().await?;
    creation.make_many(&mut connection, Owner::Service, scale.events / EVENTS).await?;
    log_is_read(&ours[0], &creation, &redis, Owner::Service).await?;
    let (messages, last) = samples(ours[0].clone()).await?;
    let (log, page) = (creation.log(Owner::Service), Config::default().events.page);
    let floor = Floor::of_streams(move || {
        let (connection, log, messages, last) = (connection.clone(), log.clone(), messages.clone(), last.clone());
        let reading = Reading { connection, log, page, next: 1, unsent: 0, messages, last: Some(last) };
        Box::pin(stream::unfold(reading, Reading::message))
    })
    .await?;
    let floors = connect(floor.address).await?;
    let runs = alternate(
        scale.runs,
        async || per_second(ours[0].clone(), scale.events).await,
        async || per_second(floors[0].clone(), scale.events).await,
    )
    .await?;
    running.stop().await;
    let floor = "XRANGE in pages and a bare stream";
    Ok(vec![Figure::ratio("catch-up of one subscriber on redis", floor, "events/s", Wanted::AtLeast(0.60), &runs)])
}

async fn subscribe(channel: Channel) -> Result<Streaming<pb::SubscribeResponse>, Status> {
    let request = pb::SubscribeRequest { start: Some(Start::Earliest(true)), ..Default::default() };
    Ok(EventServiceClient::new(channel).subscribe(request).await?.into_inner())
}

/// The first messages with events, and one that says that all was read.
async fn samples(channel: Channel) -> Result<(Vec<Bytes>, Bytes), Failed> {
    let mut stream = subscribe(channel).await?;
    let (mut messages, mut token) = (Vec::new(), String::new());
    while messages.len() < EVENTS {
        let response = stream.message().await?.ok_or("a stream without events")?;
        if let Some(Message::Event(event)) = &response.message {
            token.clone_from(&event.token);
            messages.push(Bytes::from(response.encode_to_vec()));
        }
    }
    let caught_up = pb::CaughtUp { token, time: Some(prost_types::Timestamp::default()) };
    let last = pb::SubscribeResponse { message: Some(Message::CaughtUp(caught_up)) };
    Ok((messages, Bytes::from(last.encode_to_vec())))
}

/// How many events a second a subscriber gets until he has all.
async fn per_second(channel: Channel, at_least: usize) -> Result<f64, Failed> {
    let begun = Instant::now();
    let mut stream = subscribe(channel).await?;
    let (mut events, mut counted) = (0_usize, 0_u32);
    loop {
        let response = stream.message().await?.ok_or("a stream that ended")?;
        match response.message {
            Some(Message::Event(_)) => (events, counted) = (events + 1, counted + 1),
            Some(Message::CaughtUp(_)) if events >= at_least => return Ok(f64::from(counted) / begun.elapsed().as_secs_f64()),
            Some(Message::CaughtUp(_)) => return Err(format!("{events} events of {at_least} were there").into()),
            Some(Message::Goodbye(_) | Message::FellBehind(_)) => return Err("a subscription was interrupted".into()),
            Some(Message::Confirmation(_) | Message::Bookmark(_)) | None => {}
        }
    }
}

/// The floor's reading of the log.
struct Reading {
    connection: MultiplexedConnection,
    log: Vec<u8>,
    page: usize,
    /// The number of the next entry that is not read.
    next: u64,
    /// Entries that were read and not sent.
    unsent: usize,
    messages: Vec<Bytes>,
    /// `None`: it was sent.
    last: Option<Bytes>,
}

impl Reading {
    async fn message(mut self) -> Option<(Result<Bytes, Status>, Self)> {
        if self.unsent == 0 {
            match self.read().await {
                Ok(count) => self.unsent = count,
                Err(cause) => return Some((Err(Status::internal(cause.to_string())), self)),
            }
        }
        if self.unsent == 0 {
            let last = self.last.take()?;
            return Some((Ok(last), self));
        }
        self.unsent -= 1;
        let message = self.messages[self.unsent % self.messages.len()].clone();
        Some((Ok(message), self))
    }

    async fn read(&mut self) -> Result<usize, Failed> {
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.log).arg(format!("{}-0", self.next)).arg("+").arg("COUNT").arg(self.page);
        let entries: Vec<(String, Vec<Vec<u8>>)> = command.query_async(&mut self.connection).await?;
        if let Some((id, _)) = entries.last() {
            let (seq, _) = id.split_once('-').ok_or("an entry without a number")?;
            self.next = seq.parse::<u64>()? + 1;
        }
        Ok(entries.len())
    }
}
