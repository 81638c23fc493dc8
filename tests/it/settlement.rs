//! What providers pay out, line by line, and where their books and ours differ.

mod breaks;
mod bulk;

use std::time::Duration;

use upistream::config::Config;
use upistream::grpc::pb;
use upistream::sandbox::{PayOptions, Sandbox, Switches};

use crate::refund::paise;
use crate::support::app::{ACCOUNT, App, minutes, provider, until};

/// Longer than the pause between two rounds.
pub(crate) const A_ROUND: Duration = Duration::from_secs(150);

/// Settlements are fetched every minute, and a report counts as whole at once.
pub(crate) fn fetching(config: &mut Config) {
    config.settlements.fetch = true;
    config.settlements.sync_every_s = 60;
    config.settlements.report_lag_s = 0;
}

pub(crate) async fn app() -> App {
    App::start_with(provider().await, fetching).await
}

impl App {
    pub(crate) async fn all_settlements(&self) -> Vec<pb::Settlement> {
        let request = pb::ListSettlementsRequest { account: ACCOUNT.to_owned(), ..Default::default() };
        self.settlements().list_settlements(request).await.expect("settlements are listed").into_inner().settlements
    }

    pub(crate) async fn entries(&self, request: pb::ListSettlementEntriesRequest) -> Vec<pb::SettlementEntry> {
        let mut request = pb::ListSettlementEntriesRequest { account: ACCOUNT.to_owned(), page_size: 200, ..request };
        let mut entries = Vec::new();
        loop {
            let page = self.settlements().list_settlement_entries(request.clone()).await.expect("entries are listed").into_inner();
            entries.extend(page.entries);
            if page.next_page_token.is_empty() {
                return entries;
            }
            request.page_token = page.next_page_token;
        }
    }

    pub(crate) async fn entries_of(&self, settlement: &pb::Settlement) -> Vec<pb::SettlementEntry> {
        self.entries(pb::ListSettlementEntriesRequest { settlement_id: settlement.id.clone(), ..Default::default() }).await
    }

    /// The settlement with this id at the provider, once its lines were read.
    pub(crate) async fn settled(&self, provider_ref: &str) -> pb::Settlement {
        until("the settlement to be read", async || {
            let all = self.all_settlements().await;
            all.into_iter().find(|settlement| settlement.provider_ref == provider_ref && settlement.entries_complete)
        })
        .await
    }

    pub(crate) async fn breaks(&self, include_closed: bool) -> Vec<pb::SettlementBreak> {
        let request = pb::ListSettlementBreaksRequest { account: ACCOUNT.to_owned(), include_closed, page_size: 200, ..Default::default() };
        self.settlements().list_settlement_breaks(request).await.expect("breaks are listed").into_inner().breaks
    }

    /// Round after round passes until `look` has an answer.
    pub(crate) async fn rounds_until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        until(what, async || {
            self.advance(A_ROUND);
            // A round takes its time on a busy machine.
            tokio::time::sleep(Duration::from_millis(100)).await;
            look().await
        })
        .await
    }

    /// Settles at once all that was not settled yet.
    pub(crate) async fn settle(&self) -> String {
        self.provider.settle(ACCOUNT).await.expect("there is something to settle")
    }
}

fn from_sandbox(provider: &Sandbox, id: &str) -> serde_json::Value {
    let all = provider.settlements(ACCOUNT).expect("the sandbox knows the account");
    all.into_iter().find(|settlement| settlement["id"] == id).expect("the provider has the settlement")
}

#[tokio::test]
async fn a_settlement_comes_in_with_its_lines_and_each_is_linked() {
    let app = app().await;
    app.provider.switches(Switches { qr_fees: true, ..app.provider.current_switches() });
    let (first, second) = (app.paid("one", 45_000).await, app.paid("two", 30_001).await);
    let refund = app.refund("back", &first, 12_000).await;
    app.advance(minutes(1));
    let refund = app.refund_until(&refund.id, pb::RefundState::Succeeded).await;
    let id = app.settle().await;
    let settlement = app.settled(&id).await;
    let theirs = from_sandbox(&app.provider, &id);
    assert_eq!((settlement.state(), settlement.utr.as_str()), (pb::SettlementState::Processed, theirs["utr"].as_str().unwrap()));
    assert_eq!(Some(paise(&settlement.amount)), theirs["amount"].as_i64());
    assert_eq!((settlement.entry_count, paise(&settlement.entries_net)), (3, paise(&settlement.amount)));
    assert_eq!(settlement.open_break_count, 0, "{:?}", app.breaks(true).await);

    let entries = app.entries_of(&settlement).await;
    assert_eq!(entries.iter().map(|entry| paise(&entry.net)).sum::<i64>(), paise(&settlement.amount));
    assert!(entries.iter().all(|entry| paise(&entry.gross) - paise(&entry.fee) == paise(&entry.net)), "{entries:?}");
    let of = |kind| entries.iter().filter(|entry| entry.kind() == kind).collect::<Vec<_>>();
    let (payments, refunds) = (of(pb::SettlementEntryKind::Payment), of(pb::SettlementEntryKind::Refund));
    assert_eq!((payments.len(), refunds.len()), (2, 1));
    // Two percent of ₹450.00 are ₹9.00, and the tax on that ₹1.62.
    let line = payments.iter().find(|line| line.payment_id == first.id).unwrap();
    assert_eq!((paise(&line.gross), paise(&line.fee), paise(&line.tax), paise(&line.net)), (45_000, 1_062, 162, 43_938));
    assert_eq!((refunds[0].refund_id.as_str(), refunds[0].payment_id.as_str()), (refund.id.as_str(), first.id.as_str()));
    assert_eq!(paise(&refunds[0].gross), -12_000);

    for payment in [&first, &second] {
        let settled = app.get_payment(&payment.id).await;
        assert_eq!((settled.settlement_id.as_str(), settled.settle_time.is_some()), (settlement.id.as_str(), true));
        assert!(app.names_of_payment(&payment.id).await.contains(&"payment.settled".to_owned()));
        let lines = app.entries(pb::ListSettlementEntriesRequest { payment_id: payment.id.clone(), ..Default::default() }).await;
        assert_eq!(lines.iter().filter(|line| line.kind() == pb::SettlementEntryKind::Payment).count(), 1);
    }
    assert_eq!(app.get_refund(&refund.id).await.settlement_id, settlement.id);
    let told: Vec<_> = app.log().await.into_iter().map(|event| event.r#type).collect();
    assert_eq!(told.iter().filter(|name| *name == "settlement.processed").count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|name| *name == "payment.settled").count(), 2);
}

#[tokio::test]
async fn what_was_read_before_is_read_again_without_a_write() {
    let app = app().await;
    app.paid("one", 45_000).await;
    let settlement = app.settled(&app.settle().await).await;
    let (asked, events) = (app.asked("settlement.recon"), app.log().await.len());
    app.rounds_until("two more readings", async || (app.asked("settlement.recon") >= asked + 2).then_some(())).await;
    assert_eq!(app.log().await.len(), events, "{:?}", app.log().await);
    assert_eq!(app.all_settlements().await, [settlement]);
}

#[tokio::test]
async fn a_settlement_of_which_no_callback_told_is_found() {
    let app = app().await;
    app.paid("one", 45_000).await;
    app.lose_callbacks();
    app.settle().await;
    app.rounds_until("the settlement to be found", async || (!app.all_settlements().await.is_empty()).then_some(())).await;
    let settlement = app.all_settlements().await.remove(0);
    app.rounds_until("its line to be read", async || (app.entries_of(&settlement).await.len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_report_page_that_fails_is_read_on_later() {
    let app = app().await;
    app.paid("one", 45_000).await;
    app.fault("settlement.recon", upistream::sandbox::FaultKind::StatusBefore { status: 500 });
    let id = app.settle().await;
    until("the report to fail", async || (app.asked("settlement.recon") > 0).then_some(())).await;
    let is_read = async || {
        let all = app.all_settlements().await;
        all.into_iter().find(|settlement| settlement.provider_ref == id && settlement.entries_complete)
    };
    assert_eq!(app.rounds_until("the report to be read", is_read).await.entry_count, 1);
}

#[tokio::test]
async fn the_provider_s_own_runs_settle_two_working_days_later() {
    let app = app().await;
    let payment = app.paid("one", 45_000).await;
    // Working days, Sundays and second and fourth Saturdays, whatever today is.
    for _ in 0..8 {
        app.advance(minutes(24 * 60));
    }
    let is_settled = async || Some(app.get_payment(&payment.id).await).filter(|payment| !payment.settlement_id.is_empty());
    let settled = app.rounds_until("the payment to be settled", is_settled).await;
    assert!(settled.settle_time.is_some());
    assert!(app.breaks(false).await.is_empty(), "{:?}", app.breaks(false).await);
}

#[tokio::test]
async fn a_payment_is_paid_before_it_is_settled_and_told_once() {
    let app = app().await;
    let qr = app.create("one", 45_000).await;
    app.pay(&qr.provider_ref, PayOptions::default()).await;
    let payment = app.payment_until(&qr.id, pb::PaymentState::Succeeded).await;
    assert!(payment.settlement_id.is_empty() && payment.settle_time.is_none());
}
