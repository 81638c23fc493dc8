//! How long it takes from the callback of a payment to its event at a subscriber, while so many come as are said and not as many
//! as are taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use redis::aio::MultiplexedConnection;
use tokio::sync::broadcast;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::BroadcastStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use upistream::grpc::pb;
use upistream::grpc::pb::event::Resource;
use upistream::grpc::pb::event_service_client::EventServiceClient;
use upistream::grpc::pb::subscribe_request::Start;
use upistream::grpc::pb::subscribe_response::Message;

use super::bare::Floor;
use super::callback::{Commit, Door};
use super::callback_on_redis::{EVENTS, Sender, Shop};
use super::creation::{Owner, name_of, number_and_place};
use super::figure::{Figure, Wanted, alternate};
use super::load::connect;
use super::recorded::find;
use super::subscribers::{first_messages, log_is_read};
use super::{Failed, Scale};

/// Callbacks a second, which are sent a few at a time.
const RATE: u32 = 1_000;
const TOGETHER: u32 = 5;
/// How long the last events may take after the last callback.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one read of the floor waits for entries, and how many it takes.
const BLOCK_MS: u32 = 1_000;
const PAGE: usize = 512;
/// Messages that may wait for the floor's subscriber.
const WAITING_MAX: usize = 8_192;

/// Of one run, in milliseconds.
struct Latency {
    p50: f64,
    p99: f64,
}

impl Latency {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let part = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
        let [p50, p99] = [50, 99].map(|percent| part(percent).as_secs_f64() * 1_000.0);
        Self { p50, p99 }
    }
}

/// From a callback to its event, over a server that runs the commit of each and a stream that is fed by reads of the log.
pub async fn latency(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let shop = Shop::open().await?;
    let mut events = subscribe(shop.channel.clone()).await?;
    let commit = shop.commit().await?;
    let samples = Samples::of(&mut events, &commit).await?;
    drop(events);
    let door = Door::open(commit, shop.redis.connection().await?).await?;
    let tail = Tail::of(&shop, samples).await?;
    let floor = Floor::of_streams({
        let messages = tail.messages.clone();
        move || {
            let live = BroadcastStream::new(messages.subscribe());
            let live = live.map(|message| message.map_err(|lost| Status::data_loss(lost.to_string())));
            Box::pin(stream::iter(first_messages().into_iter().map(Ok)).chain(live))
        }
    })
    .await?;
    let (subscribers, [ours, floors]) = ([shop.channel.clone(), connect(floor.address).await?.swap_remove(0)], shop.senders(&door));
    let (ours, floors) = alternate(
        scale.runs,
        async || run(&shop, &ours, &subscribers[0], scale).await,
        async || run(&shop, &floors, &subscribers[1], scale).await,
    )
    .await?;
    shop.running.stop().await;
    let figure = |case: &str, part: fn(&Latency) -> f64| {
        let floor = "a bare server with the same commit, XREAD and a bare stream";
        let runs = (ours.iter().map(part).collect(), floors.iter().map(part).collect());
        Figure::ratio(format!("callback to event, {RATE} a second, {case}"), floor, "ms", Wanted::AtMost(2.0), &runs)
    };
    Ok(vec![figure("p50", |run| run.p50), figure("p99", |run| run.p99)])
}

async fn run(shop: &Shop, sender: &Arc<Sender>, subscriber: &Channel, scale: Scale) -> Result<Latency, Failed> {
    let count = usize::try_from((scale.time * RATE).as_secs())?;
    shop.stock(sender, count).await?;
    log_is_read(subscriber, &shop.creation, &shop.redis, sender.owner).await?;
    let mut events = subscribe(subscriber.clone()).await?;
    let sent: Sent = Arc::default();
    let mut sending = JoinSet::new();
    sending.spawn(send(Arc::clone(sender), count, Arc::clone(&sent)));
    let mut times = Vec::with_capacity(count);
    let all = async {
        while times.len() < count {
            if let Some(payment) = next_payment(&mut events).await? {
                let begun = sent.lock().unwrap_or_else(PoisonError::into_inner).remove(&payment.provider_ref);
                times.push(begun.ok_or("an event of a payment that nobody told of")?.elapsed());
            }
        }
        Ok::<_, Failed>(())
    };
    let in_time = tokio::time::timeout(scale.time + PATIENCE, all).await;
    // What went wrong with a callback tells more than that its event did not come.
    while let Some(ended) = sending.join_next().await {
        ended??;
    }
    in_time.map_err(|_| format!("an event did not come in {PATIENCE:?}"))??;
    shop.settle().await?;
    Ok(Latency::of(times))
}

/// When each payment was told of, by its id at the provider.
type Sent = Arc<Mutex<HashMap<String, Instant>>>;

/// Sends callbacks at their rate, whether or not those before them were answered.
async fn send(sender: Arc<Sender>, count: usize, sent: Sent) -> Result<(), Failed> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) * TOGETHER / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut left = count;
    let mut callbacks: JoinSet<Result<(), Failed>> = JoinSet::new();
    while left > 0 {
        ticks.tick().await;
        for _ in 0..left.min(TOGETHER as usize) {
            let (paid, sender, sent) = (sender.next()?, Arc::clone(&sender), Arc::clone(&sent));
            callbacks.spawn(async move {
                sent.lock().unwrap_or_else(PoisonError::into_inner).insert(paid.payment.clone(), Instant::now());
                sender.send(&paid).await
            });
            left -= 1;
        }
    }
    while let Some(answered) = callbacks.join_next().await {
        answered??;
    }
    Ok(())
}

/// Subscribes to what is written from now on; returns once that comes live.
async fn subscribe(channel: Channel) -> Result<Streaming<pb::SubscribeResponse>, Failed> {
    let subscribed = async {
        let request = pb::SubscribeRequest { start: Some(Start::Latest(true)), ..Default::default() };
        let mut events = EventServiceClient::new(channel).subscribe(request).await?.into_inner();
        while !matches!(events.message().await?.ok_or("a stream that ended")?.message, Some(Message::CaughtUp(_))) {}
        Ok(events)
    };
    tokio::time::timeout(PATIENCE, subscribed).await.map_err(|_| "a subscription does not begin in time")?
}

/// The payment in the next message, where it has one that succeeded.
async fn next_payment(events: &mut Streaming<pb::SubscribeResponse>) -> Result<Option<pb::Payment>, Failed> {
    match events.message().await?.ok_or("a stream that ended")?.message {
        Some(Message::Event(pb::Event { resource: Some(Resource::Payment(payment)), r#type, .. })) if r#type == "payment.succeeded" => {
            Ok(Some(payment))
        }
        Some(Message::FellBehind(_) | Message::Goodbye(_)) => Err("a subscription was interrupted".into()),
        _ => Ok(None),
    }
}

/// The messages of a payment, to be sent again for others.
struct Samples {
    /// The place of the payment's event among the names of its code.
    place: usize,
    payment: BytesMut,
    /// What the provider calls the payment, its place, and where it stands in the message.
    payment_ref: (Vec<u8>, usize, usize),
    code: Bytes,
}

impl Samples {
    /// Those of the payment that was watched.
    async fn of(events: &mut Streaming<pb::SubscribeResponse>, commit: &Commit) -> Result<Self, Failed> {
        let (mut paid, mut code) = (None, None);
        for _ in 0..EVENTS {
            let response = tokio::time::timeout(PATIENCE, events.message()).await??.ok_or("a stream that ended")?;
            let message = response.encode_to_vec();
            match response.message {
                Some(Message::Event(pb::Event { id, resource: Some(Resource::Payment(payment)), .. })) => {
                    paid = Some((id, payment.provider_ref, message));
                }
                _ => code = Some(Bytes::from(message)),
            }
        }
        let (id, payment_ref, message) = paid.ok_or("a callback without the event of a payment")?;
        let at = find(&message, payment_ref.as_bytes()).ok_or("an event without its payment")?;
        let place = |name: &str| commit.place(name).ok_or("an event that was not written");
        let (place, ref_place) = (place(&id)?, place(&payment_ref)?);
        let code = code.ok_or("a callback without the event of a code")?;
        Ok(Self { place, payment: BytesMut::from(&message[..]), payment_ref: (payment_ref.into_bytes(), ref_place, at), code })
    }

    /// The message of an entry of the log, by its event's id.
    fn message(&self, event: &[u8]) -> Option<Bytes> {
        let (number, place) = number_and_place(event)?;
        if place != self.place {
            return Some(self.code.clone());
        }
        let (payment_ref, ref_place, at) = &self.payment_ref;
        let mut message = self.payment.clone();
        message[*at..*at + payment_ref.len()].copy_from_slice(&name_of(payment_ref, number, *ref_place));
        Some(message.freeze())
    }
}

/// What comes to the floor's log, as messages. It ends when dropped.
struct Tail {
    messages: broadcast::Sender<Bytes>,
    reading: AbortHandle,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Tail {
    async fn of(shop: &Shop, samples: Samples) -> Result<Self, Failed> {
        let (messages, log) = (broadcast::Sender::new(WAITING_MAX), shop.creation.log(Owner::Floor));
        let connection = shop.redis.connection().await?;
        let reading = tokio::spawn({
            let messages = messages.clone();
            async move {
                if let Err(cause) = read(connection, log, samples, messages).await {
                    eprintln!("the floor reads its log no more: {cause}");
                }
            }
        });
        Ok(Self { messages, reading: reading.abort_handle() })
    }
}

/// Reads the log from its begin on, and waits for more at its end. Ends with an error alone.
async fn read(
    mut connection: MultiplexedConnection,
    log: Vec<u8>,
    samples: Samples,
    messages: broadcast::Sender<Bytes>,
) -> Result<(), Failed> {
    type Entry = (String, Vec<Vec<u8>>);
    let mut last = "0-0".to_owned();
    loop {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(PAGE).arg("BLOCK").arg(BLOCK_MS).arg("STREAMS").arg(&log[..]).arg(&last);
        let logs: Option<Vec<(Vec<u8>, Vec<Entry>)>> = command.query_async(&mut connection).await?;
        for (entry, fields) in logs.into_iter().flatten().flat_map(|(_, entries)| entries) {
            // `id`, the event's id, `body`, the event.
            let event = fields.get(1).ok_or("an entry without an event")?;
            let message = samples.message(event).ok_or("an event without a number")?;
            // Nobody listens between two runs.
            let _ = messages.send(message);
            last = entry;
        }
    }
}
