//! Codes on the embedded store: asking for one, by many callers who share each wait for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use prost::Message;

use super::bare::Floor;
use super::figure::{Figure, Wanted, alternate};
use super::file_floor::{FileFloor, Rows};
use super::load::{Load, connect, per_second};
use super::provider::Provider;
use super::{Failed, Scale, service};

const CALLERS: usize = 64;

/// CreateQr, over a server that has the same rows written in two steps by a thread that writes what waits together.
pub async fn create(scale: Scale) -> Result<Vec<Figure>, Failed> {
    let (folder, provider) = (tempfile::tempdir()?, Provider::start());
    let running = service::start(service::on_file(folder.path()), &provider).await?;
    let ours = connect(running.grpc).await?;
    let response = service::create(ours[0].clone(), service::new_key()).await?;
    let rows = Rows::of(&folder.path().join("upistream.db"), service::made(&response)?)?;
    let answer = Bytes::from(response.encode_to_vec());
    let writer = FileFloor::open(&folder.path().join("floor.db"), rows)?;
    let last = Arc::new(AtomicI64::new(0));
    let floor = Floor::of_calls(move |_| {
        let (writer, answer, last) = (writer.clone(), answer.clone(), Arc::clone(&last));
        async move {
            let number = last.fetch_add(1, Ordering::Relaxed) + 1;
            writer.write(number, false).await?;
            writer.write(number, true).await?;
            Ok::<_, Failed>(answer)
        }
    })
    .await?;
    let floors = connect(floor.address).await?;
    let call = move |channel| async move { service::create(channel, service::new_key()).await.map(drop) };
    let load = Load { callers: CALLERS, time: scale.time };
    let runs = alternate(scale.runs, async || per_second(load, &ours, call).await, async || per_second(load, &floors, call).await).await?;
    running.stop().await;
    let floor = "bare tonic and the same rows by a batching writer";
    Ok(vec![Figure::ratio("CreateQr on the embedded store, 64 callers", floor, "calls/s", Wanted::AtLeast(0.60), &runs)])
}
