//! A large report: brought in within little memory, stopped and resumed in the middle, without a line lost or doubled.

use std::sync::Arc;
use std::time::Duration;

use upistream::clock::TestClock;
use upistream::grpc::pb;
use upistream::sandbox::BulkSettlement;

use super::fetching;
use crate::refund::paise;
use crate::support::app::{ACCOUNT, App, provider};
use crate::support::process::Process;
use crate::support::replica::Replica;
use crate::support::rounds;

/// Lines of an ordinary run: a tenth of what is run by hand.
const LINES: u32 = 5_000;
/// How often the service is killed while it reads.
const KILLS: usize = 4;
/// No run takes longer.
const PATIENCE: Duration = Duration::from_secs(500);

async fn settled(app: &App, bulk: &BulkSettlement) -> Option<pb::Settlement> {
    app.all_settlements().await.into_iter().find(|settlement| settlement.provider_ref == bulk.id)
}

/// How many events told that a difference was opened, once a second: so much was read.
async fn read_so_far(app: &App) -> usize {
    let Some(settlement) = app.all_settlements().await.pop() else { return 0 };
    let request =
        pb::ListSettlementEntriesRequest { account: ACCOUNT.to_owned(), settlement_id: settlement.id, page_size: 1, ..Default::default() };
    let page = app.settlements().list_settlement_entries(request).await.expect("entries are listed").into_inner();
    page.entries.len()
}

/// The most memory that a process has ever had, in KiB.
fn peak(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the system tells it");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

/// How much more memory the service takes, at its peak, to bring in a report of so many lines than to bring in none.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_report_takes_little_memory() {
    const MORE_KIB_MAX: u64 = 48 * 1024;
    let lines = rounds::of(LINES) as usize;
    let provider = provider().await;
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &provider).await;
    let mut client = pb::settlement_service_client::SettlementServiceClient::new(process.channel.clone());
    let before = peak(&process);
    // Its callback tells of it, and its lines are read at once.
    let bulk = provider.settle_bulk(ACCOUNT, lines, 8).await.unwrap();
    let begun = std::time::Instant::now();
    let request = pb::ListSettlementsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
    let read = tokio::time::timeout(PATIENCE, async {
        loop {
            let listed = client.list_settlements(request.clone()).await.expect("settlements are listed").into_inner().settlements;
            if let Some(read) = listed.into_iter().find(|settlement| settlement.entry_count > 0) {
                return read;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("the report is read in time");
    let after = peak(&process);
    println!("{lines} lines in {:.1} s: peak {after} KiB, {before} KiB before", begun.elapsed().as_secs_f64());
    assert_eq!((read.entry_count, paise(&read.entries_net)), (lines as i64, bulk.net));
    assert!(after - before < MORE_KIB_MAX, "{lines} lines took {} KiB more", after - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_report_is_stopped_and_resumed_without_a_double_line() {
    let lines = rounds::of(LINES) as usize;
    let provider = provider().await;
    let bulk = provider.settle_bulk(ACCOUNT, lines, 7).await.unwrap();
    assert_eq!(bulk.lines, lines);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let clock = Arc::new(TestClock::default());
    let start = || Replica::start_at(Arc::clone(&folder), Arc::clone(&clock), provider.clone(), fetching);
    let begun = std::time::Instant::now();
    let mut replica = start().await;
    for _ in 0..KILLS {
        let asked = provider.seen().iter().filter(|request| request.operation == "settlement.recon").count();
        let more =
            async || provider.seen().iter().filter(|request| request.operation == "settlement.recon").count() > asked + lines / 2_000;
        let _ = tokio::time::timeout(Duration::from_secs(20), async {
            while !more().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(read_so_far(replica.app()).await <= 1);
        replica.kill().await;
        replica = start().await;
    }
    let app = replica.app();
    let whole = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(settlement) = settled(app, &bulk).await.filter(|settlement| settlement.entries_complete) {
                return settlement;
            }
            // A lease that went with a killed service runs out first.
            app.advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .expect("the report is read in time");
    println!("{lines} lines, {KILLS} kills: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!((whole.entry_count, paise(&whole.entries_net)), (lines as i64, bulk.net));
    assert_eq!(paise(&whole.amount), bulk.net);

    let entries = app.entries_of(&whole).await;
    assert_eq!(entries.len(), lines);
    let mut ids: Vec<_> = entries.iter().map(|entry| (entry.provider_ref.as_str(), entry.kind)).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), lines, "no line is there twice");
    let sum = |of: fn(&pb::SettlementEntry) -> i64| entries.iter().map(of).sum::<i64>();
    assert_eq!(sum(|entry| paise(&entry.net)), bulk.net);
    assert_eq!(sum(|entry| paise(&entry.fee)), bulk.fee);
    assert_eq!(sum(|entry| paise(&entry.tax)), bulk.tax);
    let paid = entries.iter().filter(|entry| entry.kind() == pb::SettlementEntryKind::Payment);
    assert_eq!(paid.map(|entry| paise(&entry.gross)).sum::<i64>(), bulk.gross);
}
