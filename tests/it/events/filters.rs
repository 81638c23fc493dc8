//! Which events a subscriber gets.

use upistream::config::Config;
use upistream::domain::event::{EventKind, Record};
use upistream::domain::id::Partition;
use upistream::domain::qr::QrState;
use upistream::grpc::pb;

use crate::support::app::{ACCOUNT, App, provider, told};
use crate::support::log::{Feeder, Reader, after, earliest};

/// An account whose events lie in another partition.
pub const OTHER: &str = "stall";

pub fn with_another_account(config: &mut Config) {
    let partition = |name| Partition::of_account(name, config.store.partitions);
    assert_ne!(partition(ACCOUNT), partition(OTHER), "choose another name");
    let account = config.accounts[ACCOUNT].clone();
    config.accounts.insert(OTHER.parse().expect("a name"), account);
}

async fn check(app: &App, filter: pb::EventFilter, expected: &[&String]) {
    let request = pb::SubscribeRequest { filter: Some(filter.clone()), ..earliest() };
    let mut seen = Reader::open(app, request).await.history_ids().await;
    let mut expected: Vec<String> = expected.iter().map(|id| (*id).clone()).collect();
    // Accounts have no common order.
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected, "{filter:?}");
}

#[tokio::test]
async fn every_filter_admits_what_it_names_and_nothing_else() {
    let app = App::start_with(provider().await, with_another_account).await;
    let mut shop = Feeder::of(&app);
    let stall = Feeder::new(app.running.store(), OTHER);

    let mut open = shop.qr();
    open.state = QrState::Requested;
    let requested = shop.write(vec![shop.event(Record::Qr(open.clone()), EventKind::QrRequested)]).await.remove(0);
    let closed = shop.append(1).await.remove(0);
    shop.labels.insert("shift".to_owned(), "night".to_owned());
    shop.labels.insert("till".to_owned(), "4".to_owned());
    let labelled = shop.append(1).await.remove(0);
    let elsewhere = stall.append(1).await.remove(0);

    let none = pb::EventFilter::default();
    let text = |text: &str| vec![text.to_owned()];
    check(&app, none.clone(), &[&requested, &closed, &labelled, &elsewhere]).await;
    check(&app, pb::EventFilter { accounts: text(ACCOUNT), ..none.clone() }, &[&requested, &closed, &labelled]).await;
    check(&app, pb::EventFilter { accounts: text(OTHER), ..none.clone() }, &[&elsewhere]).await;
    check(&app, pb::EventFilter { types: text("qr.requested"), ..none.clone() }, &[&requested]).await;
    check(&app, pb::EventFilter { types: text("*.re*ed"), ..none.clone() }, &[&requested]).await;
    check(&app, pb::EventFilter { types: text("payment.*"), ..none.clone() }, &[]).await;
    let either = vec!["payment.*".to_owned(), "qr.clo*".to_owned()];
    check(&app, pb::EventFilter { types: either, ..none.clone() }, &[&closed, &labelled, &elsewhere]).await;
    let shift = ("shift".to_owned(), "night".to_owned());
    check(&app, pb::EventFilter { labels: [shift.clone()].into(), ..none.clone() }, &[&labelled]).await;
    let both = [shift.clone(), ("till".to_owned(), "5".to_owned())].into();
    check(&app, pb::EventFilter { labels: both, ..none.clone() }, &[]).await;
    check(&app, pb::EventFilter { resource_ids: text(open.header.id.as_str()), ..none.clone() }, &[&requested]).await;
    check(&app, pb::EventFilter { terminal_only: true, ..none.clone() }, &[&closed, &labelled, &elsewhere]).await;
    check(&app, pb::EventFilter { providers: text("razorpay"), ..none.clone() }, &[&requested, &closed, &labelled, &elsewhere]).await;
    check(&app, pb::EventFilter { providers: text("eko"), ..none.clone() }, &[]).await;
    check(&app, pb::EventFilter { accounts: text(ACCOUNT), terminal_only: true, labels: [shift].into(), ..none.clone() }, &[&labelled])
        .await;

    let unknown = pb::EventFilter { accounts: text("nobody"), ..none };
    let refused =
        Reader::try_open(&app, pb::SubscribeRequest { filter: Some(unknown), ..earliest() }).await.err().expect("no such account");
    assert_eq!(told(&refused).reason, "NOT_FOUND");
}

#[tokio::test]
async fn the_confirmation_shows_the_filter_that_is_in_force() {
    let app = App::start_with(provider().await, with_another_account).await;
    let filter = pb::EventFilter { types: vec!["*.failed".to_owned()], terminal_only: true, ..Default::default() };
    let reader = Reader::open(&app, pb::SubscribeRequest { filter: Some(filter), ..earliest() }).await;
    let shown = reader.confirmation.filter.unwrap();
    assert_eq!(shown.accounts, [ACCOUNT, OTHER]);
    assert_eq!(shown.types, ["qr.failed", "payment.failed", "refund.failed", "mandate.failed", "debit.failed", "settlement.failed"]);
    assert!(shown.terminal_only);
}

#[tokio::test]
async fn a_token_taken_under_one_filter_goes_on_under_another() {
    let app = App::start_with(provider().await, with_another_account).await;
    let (shop, stall) = (Feeder::of(&app), Feeder::new(app.running.store(), OTHER));
    let of_shop = shop.append(2).await;
    let of_stall = stall.append(2).await;

    let only = |account: &str| Some(pb::EventFilter { accounts: vec![account.to_owned()], ..Default::default() });
    let mut reader = Reader::open(&app, pb::SubscribeRequest { filter: only(ACCOUNT), ..earliest() }).await;
    assert_eq!(reader.history_ids().await, of_shop);

    // What the token knows nothing of begins with its oldest event: nothing is skipped.
    assert_eq!(Reader::open(&app, after(&reader.token)).await.history_ids().await, of_stall);
    let other = pb::SubscribeRequest { filter: only(OTHER), ..after(&reader.token) };
    assert_eq!(Reader::open(&app, other).await.history_ids().await, of_stall);

    // What another filter passed over does not come again.
    let nothing = pb::EventFilter { types: vec!["payment.*".to_owned()], ..Default::default() };
    let mut narrow = Reader::open(&app, pb::SubscribeRequest { filter: Some(nothing), ..earliest() }).await;
    assert!(narrow.history().await.is_empty());
    let new = shop.append(1).await;
    assert_eq!(Reader::open(&app, after(&narrow.token)).await.history_ids().await, new);
}
