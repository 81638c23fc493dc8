//! Subscribers who count what they get and look no further: a message is bytes to them, and its kind is the tag of its only
//! field. So what a client does with an event is in no figure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Streaming};
use upistream::grpc::pb;
use upistream::grpc::pb::subscribe_request::Start;
use upistream::grpc::pb::subscribe_response::Message;

use super::Failed;
use super::bare::AsItIs;
use super::creation::{Creation, Owner};
use super::load::connections;
use super::own_redis::OwnRedis;
use super::progress::Progress;

/// How long all of them may wait for what is to come.
const PATIENCE: Duration = Duration::from_mins(2);

/// The kinds of messages, by the first byte of each: the field's number, and that it has a length.
pub const CONFIRMATION: u8 = (1 << 3) | 2;
pub const EVENT: u8 = (2 << 3) | 2;
pub const CAUGHT_UP: u8 = (3 << 3) | 2;
const FELL_BEHIND: u8 = (4 << 3) | 2;
const GOODBYE: u8 = (6 << 3) | 2;

/// Live subscriptions on shared connections.
pub struct Subscribers {
    streams: Vec<Streaming<Bytes>>,
    /// A connection ends with the last that can call by it.
    _connections: Vec<Channel>,
}

impl Subscribers {
    /// As many as `count`, each of whom has got a message of this kind.
    pub async fn of(address: SocketAddr, connected: usize, count: usize, kind: u8) -> Result<Self, Failed> {
        let connections = connections(address, connected).await?;
        let mut subscribing: JoinSet<Result<Vec<Streaming<Bytes>>, Failed>> = JoinSet::new();
        for (number, channel) in connections.iter().enumerate() {
            let (channel, count) = (channel.clone(), count / connected + usize::from(number < count % connected));
            subscribing.spawn(async move {
                let mut streams = Vec::new();
                for _ in 0..count {
                    let mut stream = subscribe(channel.clone()).await?;
                    next(&mut stream, kind).await?;
                    streams.push(stream);
                }
                Ok(streams)
            });
        }
        let (mut streams, mut progress) = (Vec::new(), Progress::of("subscriptions run", count));
        let late = |_| "not all subscriptions run in time";
        while let Some(subscribed) = tokio::time::timeout(PATIENCE, subscribing.join_next()).await.map_err(late)? {
            let subscribed = subscribed??;
            progress.add(subscribed.len());
            streams.extend(subscribed);
        }
        Ok(Self { streams, _connections: connections })
    }

    /// Returns once each of them has got `events` events, which `append` makes: how many that were together.
    pub async fn all_get(&mut self, events: usize, append: impl Future<Output = Result<(), Failed>>) -> Result<usize, Failed> {
        let mut reading: JoinSet<Result<Streaming<Bytes>, Failed>> = JoinSet::new();
        for mut stream in self.streams.drain(..) {
            reading.spawn(async move {
                for _ in 0..events {
                    next(&mut stream, EVENT).await?;
                }
                Ok(stream)
            });
        }
        append.await?;
        let late = |_| "not all subscribers got all events in time";
        while let Some(read) = tokio::time::timeout(PATIENCE, reading.join_next()).await.map_err(late)? {
            self.streams.push(read??);
        }
        Ok(self.streams.len() * events)
    }
}

/// Subscribes to what is written from now on.
pub async fn subscribe(channel: Channel) -> Result<Streaming<Bytes>, Failed> {
    let request = pb::SubscribeRequest { start: Some(Start::Latest(true)), ..Default::default() };
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let path = PathAndQuery::from_static("/upistream.v1.EventService/Subscribe");
    let request = Request::new(Bytes::from(request.encode_to_vec()));
    Ok(client.server_streaming(request, path, AsItIs).await?.into_inner())
}

/// The next message of this kind. What comes before it is passed over, but nobody may be interrupted.
pub async fn next(stream: &mut Streaming<Bytes>, kind: u8) -> Result<Bytes, Failed> {
    loop {
        let message = stream.message().await?.ok_or("a stream that ended")?;
        match message.first() {
            Some(&first) if first == kind => return Ok(message),
            Some(&(FELL_BEHIND | GOODBYE)) => return Err("a subscription was interrupted".into()),
            _ => {}
        }
    }
}

/// Returns once whoever serves `channel` has read the log of `owner` to its end: a subscriber gets what is written now. Else the
/// reading of what was written before would fall into the measurement.
pub async fn log_is_read(channel: &Channel, creation: &Creation, redis: &OwnRedis, owner: Owner) -> Result<(), Failed> {
    let (mut connection, end) = (redis.connection().await?, Instant::now() + PATIENCE);
    loop {
        let got = async {
            let mut stream = subscribe(channel.clone()).await?;
            next(&mut stream, CAUGHT_UP).await?;
            creation.make_many(&mut connection, owner, 1).await?;
            next(&mut stream, EVENT).await
        };
        match tokio::time::timeout_at(end.into(), got).await.map_err(|_| "the log is not read to its end in time")? {
            Ok(_) => return Ok(()),
            Err(cause) if Instant::now() > end => return Err(cause),
            // There was so much that this subscriber fell behind meanwhile.
            Err(_) => {}
        }
    }
}

/// What a subscription begins with, as the floor tells it.
pub fn first_messages() -> Vec<Bytes> {
    let time = Some(prost_types::Timestamp::default());
    let messages = [Message::Confirmation(pb::Confirmation::default()), Message::CaughtUp(pb::CaughtUp { token: String::new(), time })];
    messages.map(|message| Bytes::from(pb::SubscribeResponse { message: Some(message) }.encode_to_vec())).to_vec()
}
