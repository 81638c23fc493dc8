//! Accounts that lie in different partitions: none waits for another.

use upistream::clock::Randomness;
use upistream::domain::id::{Kind, Partition};
use upistream::grpc::pb;
use upistream::store::{Batch, Change, Commit, LeaseStep, Look, NewEvent};

use super::filters::{OTHER, with_another_account};
use crate::support::app::{ACCOUNT, App, provider};
use crate::support::log::{Feeder, Reader, earliest, latest};

#[tokio::test]
async fn a_busy_account_s_history_does_not_keep_another_waiting() {
    const PAGE: usize = 10;
    let change = |config: &mut upistream::config::Config| {
        config.events.page = PAGE;
        with_another_account(config);
    };
    let app = App::start_with(provider().await, change).await;
    Feeder::of(&app).append(5 * PAGE).await;
    Feeder::new(app.running.store(), OTHER).append(5 * PAGE).await;
    let history = Reader::open(&app, earliest()).await.history().await;
    assert_eq!(history.len(), 10 * PAGE);
    for two_pages in history.chunks(2 * PAGE) {
        assert_eq!(two_pages.iter().filter(|event| event.account == ACCOUNT).count(), PAGE, "they take turns");
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_stops_its_own_partition_only() {
    let app = App::start_with(provider().await, with_another_account).await;
    let partition = |account: &str| Partition::of_account(account, app.running.store().identity().partitions);
    // The one that is looked at first.
    let (broken, sound) = if partition(ACCOUNT) < partition(OTHER) { (ACCOUNT, OTHER) } else { (OTHER, ACCOUNT) };
    let filter = Some(pb::EventFilter { accounts: vec![sound.to_owned()], ..Default::default() });
    let mut reader = Reader::open(&app, pb::SubscribeRequest { filter, ..latest() }).await;
    assert!(reader.history().await.is_empty());

    let randomness = Randomness::of_system();
    let id = |kind| randomness.id(kind, partition(broken), jiff::Timestamp::now());
    let nonsense = Change {
        id: id(Kind::Qr),
        from: None,
        body: Some("{}".into()),
        event: Some(NewEvent { id: id(Kind::Event), account: "shop".parse().expect("a name"), body: "no event".into() }),
        references: Vec::new(),
        join: Vec::new(),
        leave: Vec::new(),
        look: Look::Rest,
        lease: LeaseStep::Keep,
    };
    let batch =
        Batch { partition: partition(broken), write: randomness.bits(), claims: Vec::new(), changes: vec![nonsense], guards: Vec::new() };
    assert!(matches!(app.running.store().commit(batch.into()).await, Ok(Commit::Done(_))));
    let feeder = Feeder::new(app.running.store(), sound);
    for _ in 0..3 {
        let written = feeder.append(1).await;
        assert_eq!(reader.ids(1).await, written);
    }
}
