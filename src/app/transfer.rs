//! Carries a store from one place to another: into a backup file, from one, or from one configured store into another. None of
//! it needs the service, and most of it needs that none runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StartError;
use super::store::{options, random, system_ms};
use crate::clock::Randomness;
use crate::config::{Backend, Config};
use crate::domain::id::{Id, Partition};
use crate::store::redis::{RedisExport, RedisImport, RedisStore};
use crate::store::sqlite::{self, SqliteImport, SqliteOptions, Synchronous};
pub use crate::store::transfer::Totals;
use crate::store::transfer::file::{Backup, FileError, FileWriter};
use crate::store::transfer::{Origin, Pages, Sink, carry};
use crate::store::{PAGE_MAX, StoreError};

/// Hears how much was carried so far.
pub type Tell<'a> = &'a (dyn Fn(&Totals) + Send + Sync);

/// Why a store was not carried.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Place(#[from] StartError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the store can't be read to its end: {0}")]
    Reading(StoreError),
    /// The store that was begun is half made.
    #[error("the store can't be filled: {cause}; it is half made, and `{place}` says so to whoever opens it: remove it and begin anew")]
    Filling { place: String, cause: StoreError },
    #[error("the two configurations name the same store `{place}`; name another one to copy it to")]
    SameStore { place: String },
    #[error("the store has {found} partitions, and the one that is to be filled would have {asked}; set store.partitions = {found} there")]
    Partitions { found: u16, asked: u16 },
    #[error("something went wrong while the store was opened; begin anew")]
    Interrupted,
}

impl From<crate::store::sqlite::OpenError> for TransferError {
    fn from(cause: crate::store::sqlite::OpenError) -> Self {
        StartError::from(cause).into()
    }
}

impl From<crate::store::redis::OpenError> for TransferError {
    fn from(cause: crate::store::redis::OpenError) -> Self {
        StartError::from(cause).into()
    }
}

/// A file that was written.
#[derive(Debug)]
pub struct Written {
    pub totals: Totals,
    pub bytes: u64,
}

/// Writes all of the configured store into `file`, which must not be there yet. A service may have an embedded store open.
pub async fn back_up(config: &Config, file: &Path, tell: Tell<'_>) -> Result<Written, TransferError> {
    let (origin, pages) = read(config, true).await?;
    let mut writer = FileWriter::create(file, &origin, system_ms())?;
    let totals = carry(pages, origin.partitions, &mut writer, tell).await.map_err(TransferError::Reading)?;
    Ok(Written { bytes: writer.finish(&totals)?, totals })
}

/// Fills the configured store, which must be new, with what `file` has.
pub async fn restore(config: &Config, file: &Path, tell: Tell<'_>) -> Result<Totals, TransferError> {
    let path = file.to_owned();
    let checking = tokio::task::spawn_blocking(move || Backup::check(&path));
    let backup = checking.await.map_err(|_| TransferError::Interrupted)??;
    fill(config, &backup.origin, async || Ok(backup.pages()), tell).await
}

/// Fills the store of `to`, which must be new, with all of the store of `from`. No service may have either open.
pub async fn copy(from: &Config, to: &Config, tell: Tell<'_>) -> Result<Totals, TransferError> {
    if same_place(&from.store.backend, &to.store.backend) {
        return Err(TransferError::SameStore { place: from.store.backend.place() });
    }
    let (origin, pages) = read(from, false).await?;
    fill(to, &origin, async || Ok(pages), tell).await
}

/// From which format to which what the configured store is written in was raised; the same where there is nothing to raise.
pub async fn upgrade(config: &Config) -> Result<(u32, u32), TransferError> {
    match &config.store.backend {
        Backend::Redis(redis) => Ok(RedisStore::upgrade(&options(config, redis, [0; 40], Arc::new(|| 0))?).await?),
        Backend::Embedded(embedded) => {
            let path = embedded.path.clone();
            let reading = tokio::task::spawn_blocking(move || sqlite::format_of(&path));
            let format = reading.await.map_err(|_| TransferError::Interrupted)??;
            Ok((format, format))
        }
    }
}

/// Ends the hold on sending though not all was looked up: what was not. `None`: nothing was held. A running service on a store in
/// Redis sees it at once; an embedded one has to be stopped.
pub async fn release(config: &Config) -> Result<Option<Vec<Id>>, TransferError> {
    let (store, _) = super::store::open(config, &Arc::new(Randomness::of_system()), Synchronous::Full).await?;
    let of_store = |cause| TransferError::Place(StartError::Log(cause));
    if store.unseen().await.map_err(of_store)?.is_none() {
        return Ok(None);
    }
    let mut released = Vec::new();
    for partition in (0..store.identity().partitions).map(Partition) {
        loop {
            let ids = store.unseen_after(partition, None, PAGE_MAX).await.map_err(of_store)?;
            if ids.is_empty() {
                break;
            }
            for id in &ids {
                store.seen(id).await.map_err(of_store)?;
            }
            released.extend(ids);
        }
    }
    store.lift_hold().await.map_err(of_store)?;
    Ok(Some(released))
}

/// Whether two configurations certainly mean one store.
fn same_place(from: &Backend, to: &Backend) -> bool {
    let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    match (from, to) {
        (Backend::Embedded(from), Backend::Embedded(to)) => real(&from.path) == real(&to.path),
        (Backend::Redis(from), Backend::Redis(to)) => from.prefix == to.prefix && from.urls.iter().any(|url| to.urls.contains(url)),
        (Backend::Embedded(_), Backend::Redis(_)) | (Backend::Redis(_), Backend::Embedded(_)) => false,
    }
}

/// `may_be_open`: a service may have an embedded store open.
async fn read(config: &Config, may_be_open: bool) -> Result<(Origin, Pages), TransferError> {
    match &config.store.backend {
        Backend::Embedded(embedded) => {
            let path = embedded.path.clone();
            let read = move || if may_be_open { sqlite::read_all(&path) } else { sqlite::read_alone(&path) };
            Ok(tokio::task::spawn_blocking(read).await.map_err(|_| TransferError::Interrupted)??)
        }
        Backend::Redis(redis) => {
            let export = RedisExport::begin(&options(config, redis, [0; 40], Arc::new(|| 0))?).await?;
            Ok((export.origin().clone(), export.pages()))
        }
    }
}

/// Nothing is taken from the source before the place for it is there.
async fn fill(
    config: &Config,
    origin: &Origin,
    pages: impl AsyncFnOnce() -> Result<Pages, TransferError>,
    tell: Tell<'_>,
) -> Result<Totals, TransferError> {
    if origin.partitions != config.store.partitions {
        return Err(TransferError::Partitions { found: origin.partitions, asked: config.store.partitions });
    }
    let random = random(&Randomness::of_system());
    let failed = |cause| TransferError::Filling { place: config.store.backend.place(), cause };
    let carried = async |sink: &mut dyn Sink| carry(pages().await?, origin.partitions, sink, tell).await.map_err(failed);
    match &config.store.backend {
        Backend::Embedded(embedded) => {
            let (path, origin) = (embedded.path.clone(), origin.clone());
            let synchronous = Synchronous::Full;
            let options = SqliteOptions { partitions: config.store.partitions, random, clock: Arc::new(system_ms), synchronous };
            let beginning = tokio::task::spawn_blocking(move || SqliteImport::begin(&path, &options, &origin));
            let mut sink = beginning.await.map_err(|_| TransferError::Interrupted)??;
            let totals = carried(&mut sink).await?;
            tokio::task::spawn_blocking(move || sink.finish()).await.map_err(|_| TransferError::Interrupted)??;
            Ok(totals)
        }
        Backend::Redis(redis) => {
            let options = options(config, redis, random, Arc::new(|| 0))?;
            let mut sink = RedisImport::begin(&options, origin, system_ms()).await?;
            let totals = carried(&mut sink).await?;
            sink.finish().await.map_err(failed)?;
            Ok(totals)
        }
    }
}
