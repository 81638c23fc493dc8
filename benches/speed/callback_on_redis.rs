//! Callbacks of payments on redis: how many are taken, each of a code that nobody has paid yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tonic::transport::Channel;
use upistream::app::Running;

use super::callback::{self, Commit, Door, Paid};
use super::creation::{Creation, Owner};
use super::figure::{Figure, Wanted, alternate};
use super::load::{Load, connect, per_second};
use super::own_redis::OwnRedis;
use super::provider::Provider;
use super::subscribers::log_is_read;
use super::{Failed, Scale, service};

/// Callbacks that are under way at once.
const SENDERS: usize = 32;
/// Events of a payment: its own, and that of its code.
pub const EVENTS: usize = 2;
/// Codes that are made for each second of a run: more than can be paid.
const CODES_PER_SECOND: u32 = 8_000;
/// How many codes may still wait for a look when the service counts as done with those that were paid.
const FEW: u64 = 16;
/// How long it may take until then, or until a callback is answered.
const PATIENCE: Duration = Duration::from_mins(1);
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The service on a redis of its own, with the creation of a code as it was watched there.
pub struct Shop {
    pub redis: OwnRedis,
    pub running: Running,
    pub channel: Channel,
    pub creation: Arc<Creation>,
    client: reqwest::Client,
    _provider: Arc<Provider>,
}

/// Who tells of payments.
pub struct Sender {
    client: reqwest::Client,
    url: String,
    creation: Arc<Creation>,
    /// In whose keys the codes are.
    pub owner: Owner,
    /// The numbers of codes that nobody has paid yet.
    unpaid: Mutex<VecDeque<u64>>,
}

impl Sender {
    /// A payment that nobody was told of.
    pub fn next(&self) -> Result<Paid, Failed> {
        let number = self.unpaid.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        Ok(Paid::of(&self.creation, number.ok_or("all codes are paid: there were too few")?))
    }

    /// How many codes nobody has paid yet.
    fn left(&self) -> usize {
        self.unpaid.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub async fn send(&self, paid: &Paid) -> Result<(), Failed> {
        callback::send(&self.client, &self.url, paid).await
    }
}

impl Shop {
    pub async fn open() -> Result<Self, Failed> {
        let (redis, provider) = (OwnRedis::start()?, Provider::start());
        let running = service::start(service::on_redis(&redis), &provider).await?;
        let channel = connect(running.grpc).await?.swap_remove(0);
        let creation = Arc::new(Creation::watched(&redis, &provider, channel.clone()).await?);
        let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { redis, running, channel, creation, client, _provider: provider })
    }

    /// Has the service told of a payment of the code that was watched, and looks on.
    pub async fn commit(&self) -> Result<Arc<Commit>, Failed> {
        let watch = self.redis.watch()?;
        callback::send(&self.client, &callback::url(self.running.webhooks), &Paid::watched(&self.creation)).await?;
        Ok(Arc::new(Commit::of(self.redis.told(watch)?, &self.creation)?))
    }

    /// Who tells the service, and who tells `door`.
    pub fn senders(&self, door: &Door) -> [Arc<Sender>; 2] {
        [(self.running.webhooks, Owner::Service), (door.address, Owner::Floor)].map(|(address, owner)| {
            let (client, url, creation) = (self.client.clone(), callback::url(address), Arc::clone(&self.creation));
            Arc::new(Sender { client, url, creation, owner, unpaid: Mutex::default() })
        })
    }

    /// Makes codes until `sender` has as many that nobody has paid.
    pub async fn stock(&self, sender: &Sender, codes: usize) -> Result<(), Failed> {
        let (mut connection, missing) = (self.redis.connection().await?, codes.saturating_sub(sender.left()));
        let made = self.creation.make_many(&mut connection, sender.owner, missing).await?;
        sender.unpaid.lock().unwrap_or_else(PoisonError::into_inner).extend(made);
        Ok(())
    }

    /// How many events were written in the keys of who is told.
    async fn events(&self, sender: &Sender) -> Result<usize, Failed> {
        let mut count = redis::cmd("XLEN");
        count.arg(self.creation.log(sender.owner));
        Ok(count.query_async(&mut self.redis.connection().await?).await?)
    }

    /// Returns once the service has come to the codes that were paid: it looks at each of them beside the callbacks, at a few
    /// and sends the others away. What is left of that would fall into the floor's next run.
    pub async fn settle(&self) -> Result<(), Failed> {
        let (mut connection, end) = (self.redis.connection().await?, Instant::now() + PATIENCE);
        loop {
            let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
            let mut count = redis::cmd("ZCOUNT");
            count.arg(self.creation.due()).arg("-inf").arg(now);
            let due: u64 = count.query_async(&mut connection).await?;
            if due <= FEW {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("the service does not come to {due} codes that were paid").into());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

/// Callbacks that are answered, over a server that runs the commit of each and nothing else.
pub async fn answered(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let shop = Shop::open().await?;
    let door = Door::open(shop.commit().await?, shop.redis.connection().await?).await?;
    let [ours, floors] = shop.senders(&door);
    let runs = alternate(scale.runs, async || run(&shop, &ours, scale).await, async || run(&shop, &floors, scale).await).await?;
    shop.running.stop().await;
    let floor = "a bare server, HMAC and the same commit";
    Ok(vec![Figure::ratio("callback of a payment to its 200, on redis", floor, "callbacks/s", Wanted::AtLeast(0.60), &runs)])
}

async fn run(shop: &Shop, sender: &Arc<Sender>, scale: Scale) -> Result<f64, Failed> {
    shop.stock(sender, usize::try_from((scale.time * CODES_PER_SECOND).as_secs())?).await?;
    // Nobody reads the floor's.
    if sender.owner == Owner::Service {
        log_is_read(&shop.channel, &shop.creation, &shop.redis, Owner::Service).await?;
    }
    let load = Load { callers: SENDERS, time: scale.time };
    let tell = |sender: Arc<Sender>| async move { sender.send(&sender.next()?).await };
    let (written, left) = (shop.events(sender).await?, sender.left());
    let rate = per_second(load, &[Arc::clone(sender)], tell).await?;
    let (written, paid) = (shop.events(sender).await? - written, left - sender.left());
    // A callback that is only kept, since its code is not found, is answered 200 as well.
    if written < paid * EVENTS {
        return Err(format!("{paid} payments made {written} events").into());
    }
    shop.settle().await?;
    Ok(rate)
}
