//! Whether calls get slower as records grow many: the same calls of two services, of which one has few. Both have the same
//! number more with each creation that is measured.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use tonic::transport::Channel;
use upistream::app::Running;
use upistream::config::Backend;

use super::creation::{Creation, Owner};
use super::figure::{Figure, Wanted, alternate};
use super::load::{Load, connect, per_second};
use super::own_redis::OwnRedis;
use super::progress::{Progress, grouped};
use super::provider::Provider;
use super::subscribers::log_is_read;
use super::{Failed, Scale, service};

const CALLERS: usize = 32;
/// Callers who make the records of an embedded store: they share each wait for the disk.
const MAKERS: usize = 64;
/// Codes of a page.
const PAGE: usize = 50;

struct Shop {
    running: Running,
    channels: Vec<Channel>,
}

impl Shop {
    async fn open(backend: Backend, provider: &Arc<Provider>) -> Result<Self, Failed> {
        let running = service::start(backend, provider).await?;
        let channels = connect(running.grpc).await?;
        Ok(Self { running, channels })
    }

    /// One whose codes were written past it.
    async fn on_redis(redis: &OwnRedis, provider: &Arc<Provider>, codes: usize) -> Result<Self, Failed> {
        let shop = Self::open(service::on_redis(redis), provider).await?;
        let creation = Creation::watched(redis, provider, shop.channels[0].clone()).await?;
        creation.make_many(&mut redis.connection().await?, Owner::Service, codes).await?;
        log_is_read(&shop.channels[0], &creation, redis, Owner::Service).await?;
        Ok(shop)
    }

    /// Asks for codes until there are so many.
    async fn make(&self, codes: usize) -> Result<(), Failed> {
        let (begun, progress) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Progress::of("codes are made", codes))));
        let mut makers: JoinSet<Result<(), Failed>> = JoinSet::new();
        for maker in 0..MAKERS {
            let (begun, progress) = (Arc::clone(&begun), Arc::clone(&progress));
            let channel = self.channels[maker % self.channels.len()].clone();
            makers.spawn(async move {
                while begun.fetch_add(1, Ordering::Relaxed) < codes {
                    create(channel.clone()).await?;
                    progress.lock().unwrap_or_else(PoisonError::into_inner).add(1);
                }
                Ok(())
            });
        }
        while let Some(ended) = makers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

pub async fn on_redis(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let provider = Provider::start();
    let [few, many] = [OwnRedis::start()?, OwnRedis::start()?];
    let few = Shop::on_redis(&few, &provider, scale.few).await?;
    let many = Shop::on_redis(&many, &provider, scale.many).await?;
    compare("redis", scale, few, many).await
}

pub async fn on_file(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let provider = Provider::start();
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let [few, many] = [service::on_file(folders[0].path()), service::on_file(folders[1].path())];
    let (few, many) = (Shop::open(few, &provider).await?, Shop::open(many, &provider).await?);
    few.make(scale.few).await?;
    many.make(scale.many).await?;
    compare("the embedded store", scale, few, many).await
}

/// Pages of codes, and creations, of the one with many over the one with few.
async fn compare(place: &str, scale: Scale, few: Shop, many: Shop) -> Result<Vec<Figure>, Failed> {
    let Scale { runs, time, .. } = scale.in_short_runs();
    let load = Load { callers: CALLERS, time };
    let lists =
        alternate(runs, async || per_second(load, &many.channels, list).await, async || per_second(load, &few.channels, list).await)
            .await?;
    let creations =
        alternate(runs, async || per_second(load, &many.channels, create).await, async || per_second(load, &few.channels, create).await)
            .await?;
    few.running.stop().await;
    many.running.stop().await;
    let (few, many) = (grouped(scale.few), grouped(scale.many));
    let figure = |call: &str, runs| {
        let (case, floor) = (format!("{call} on {place} with {many} codes"), format!("itself with {few}"));
        Figure::ratio(case, floor, "calls/s", Wanted::AtLeast(0.90), &runs)
    };
    Ok(vec![figure("ListQrs, the first page,", lists), figure("CreateQr", creations)])
}

async fn create(channel: Channel) -> Result<(), Failed> {
    service::made(&service::create(channel, service::new_key()).await?).map(drop)
}

async fn list(channel: Channel) -> Result<(), Failed> {
    let page = service::list(channel, i32::try_from(PAGE)?).await?.qrs;
    if page.len() == PAGE { Ok(()) } else { Err(format!("a page has {} codes", page.len()).into()) }
}
