//! Codes on redis: reading one, asking for one again, asking for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use prost::Message;
use tonic::transport::Channel;
use upistream::app::Running;

use super::bare::{Floor, first_text};
use super::creation::Creation;
use super::figure::{Figure, Wanted, alternate};
use super::load::{Load, connect, per_second};
use super::own_redis::{OwnRedis, Told};
use super::provider::Provider;
use super::recorded::{Recorded, names};
use super::{Failed, Scale, service};

const CALLERS: usize = 32;

/// The service on a redis of its own, and the clients' connections to it.
struct Shop {
    redis: OwnRedis,
    provider: Arc<Provider>,
    running: Running,
    channels: Vec<Channel>,
}

/// Codes, by the keys of their requests and by their ids.
struct Codes {
    keys: Vec<String>,
    ids: Vec<String>,
}

/// Texts in turn.
#[derive(Clone)]
struct Turns(Arc<(Vec<String>, AtomicUsize)>);

impl Turns {
    fn of(texts: Vec<String>) -> Self {
        Self(Arc::new((texts, AtomicUsize::new(0))))
    }

    fn next(&self) -> String {
        let (texts, turn) = &*self.0;
        texts[turn.fetch_add(1, Ordering::Relaxed) % texts.len()].clone()
    }
}

impl Shop {
    async fn open() -> Result<Self, Failed> {
        let (redis, provider) = (OwnRedis::start()?, Provider::start());
        let running = service::start(service::on_redis(&redis), &provider).await?;
        let channels = connect(running.grpc).await?;
        Ok(Self { redis, provider, running, channels })
    }

    fn channel(&self) -> Channel {
        self.channels[0].clone()
    }

    async fn codes(&self, count: usize) -> Result<Codes, Failed> {
        let mut codes = Codes { keys: Vec::new(), ids: Vec::new() };
        for _ in 0..count {
            let key = service::new_key();
            let response = service::create(self.channel(), key.clone()).await?;
            codes.ids.push(service::made(&response)?.id.clone());
            codes.keys.push(key);
        }
        Ok(codes)
    }

    /// The only thing that redis is told about `name` while `call` is made, and what the caller is answered.
    async fn only_round_trip<T>(&self, name: &str, call: impl Future<Output = Result<T, tonic::Status>>) -> Result<(Told, T), Failed> {
        let watch = self.redis.watch()?;
        let answer = call.await?;
        let told = self.redis.told(watch)?;
        let mut told: Vec<Told> = told.into_iter().filter(|told| names(told, name)).collect();
        match (told.pop(), told.len()) {
            (Some(only), 0) => Ok((only, answer)),
            (_, others) => Err(format!("one round trip to redis was to be seen, and there were {others} besides or none").into()),
        }
    }
}

fn load(scale: Scale) -> Load {
    Load { callers: CALLERS, time: scale.time }
}

/// GetQr, over a server that reads the same bytes from redis and answers others of the right size.
pub async fn get(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let shop = Shop::open().await?;
    let Codes { ids, .. } = shop.codes(scale.codes).await?;
    let (read, answer) = shop.only_round_trip(&ids[0], service::get(shop.channel(), ids[0].clone())).await?;
    let (read, answer) = (Arc::new(Recorded::of(&read, &[ids[0].as_bytes().to_vec()])), Bytes::from(answer.encode_to_vec()));
    let connection = shop.redis.connection().await?;
    let floor = Floor::of_calls(move |request| {
        let (read, answer, mut connection) = (Arc::clone(&read), answer.clone(), connection.clone());
        async move {
            let id = first_text(&request).ok_or("a request without an id")?;
            let kept: Vec<u8> = read.with(&[id.to_vec()]).query_async(&mut connection).await?;
            if kept.is_empty() {
                return Err("nothing is kept there".into());
            }
            Ok::<_, Failed>(answer)
        }
    })
    .await?;
    let (floors, ids) = (connect(floor.address).await?, Turns::of(ids));
    let call = move |channel| get_one(channel, ids.next());
    let load = load(scale);
    let runs = alternate(
        scale.runs,
        async || per_second(load, &shop.channels, call.clone()).await,
        async || per_second(load, &floors, call.clone()).await,
    );
    let figure = Figure::ratio("GetQr on redis", "bare tonic and one read", "calls/s", Wanted::AtLeast(0.75), &runs.await?);
    shop.running.stop().await;
    Ok(vec![figure])
}

async fn get_one(channel: Channel, id: String) -> Result<(), tonic::Status> {
    service::get(channel, id).await.map(drop)
}

/// CreateQr with a key that was used before, over a server that runs the same script with the same arguments.
pub async fn replay(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let shop = Shop::open().await?;
    let Codes { keys, .. } = shop.codes(scale.codes).await?;
    let (script, answer) = shop.only_round_trip(&keys[0], service::create(shop.channel(), keys[0].clone())).await?;
    if !answer.idempotency_replayed {
        return Err("a request that was repeated is not known".into());
    }
    let (script, answer) = (Arc::new(Recorded::of(&script, &[keys[0].as_bytes().to_vec()])), Bytes::from(answer.encode_to_vec()));
    let connection = shop.redis.connection().await?;
    let floor = Floor::of_calls(move |request| {
        let (script, answer, mut connection) = (Arc::clone(&script), answer.clone(), connection.clone());
        async move {
            let key = first_text(&request).ok_or("a request without a key")?;
            let (kind, _, _, _, kept): (String, String, Vec<u8>, Vec<u8>, Vec<u8>) =
                script.with(&[key.to_vec()]).query_async(&mut connection).await?;
            if kind != "claimed" || kept.is_empty() {
                return Err("the key is not claimed".into());
            }
            Ok::<_, Failed>(answer)
        }
    })
    .await?;
    let (floors, keys) = (connect(floor.address).await?, Turns::of(keys));
    let call = move |channel| create_one(channel, keys.next());
    let load = load(scale);
    let runs = alternate(
        scale.runs,
        async || per_second(load, &shop.channels, call.clone()).await,
        async || per_second(load, &floors, call.clone()).await,
    );
    let figure = Figure::ratio("replay of CreateQr on redis", "bare tonic and one script", "calls/s", Wanted::AtLeast(0.70), &runs.await?);
    shop.running.stop().await;
    Ok(vec![figure])
}

async fn create_one(channel: Channel, key: String) -> Result<(), tonic::Status> {
    service::create(channel, key).await.map(drop)
}

/// CreateQr, over a server that runs the same two scripts with arguments of the same sizes.
pub async fn create(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let shop = Shop::open().await?;
    let creation = Arc::new(Creation::watched(&shop.redis, &shop.provider, shop.channel()).await?);
    let answer = Bytes::from(creation.response.encode_to_vec());
    let connection = shop.redis.connection().await?;
    let floor = Floor::of_calls(move |_| {
        let (mut connection, creation, answer) = (connection.clone(), Arc::clone(&creation), answer.clone());
        async move {
            creation.make(&mut connection).await?;
            Ok::<_, Failed>(answer)
        }
    })
    .await?;
    let floors = connect(floor.address).await?;
    let call = move |channel| create_one(channel, service::new_key());
    let load = load(scale);
    let runs = alternate(scale.runs, async || per_second(load, &shop.channels, call).await, async || per_second(load, &floors, call).await);
    let figure = Figure::ratio("CreateQr on redis", "bare tonic and the same two scripts", "calls/s", Wanted::AtLeast(0.60), &runs.await?);
    shop.running.stop().await;
    Ok(vec![figure])
}
