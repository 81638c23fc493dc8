//! Settlements at the providers that tell them in another way than Razorpay: EnKash without lines, Eko by each credit.

use upistream::grpc::pb;

use super::shop::{At, Shop};
use crate::refund::paise;
use crate::settlement::fetching;
use crate::support::app::{ACCOUNT, minutes};

fn of_account(settlement: &str, payment: &str) -> pb::ListSettlementEntriesRequest {
    pb::ListSettlementEntriesRequest {
        account: ACCOUNT.to_owned(),
        settlement_id: settlement.to_owned(),
        payment_id: payment.to_owned(),
        ..Default::default()
    }
}

async fn breaks(shop: &Shop) -> Vec<pb::SettlementBreak> {
    let request = pb::ListSettlementBreaksRequest { account: shop.at.account().to_owned(), ..Default::default() };
    shop.app.settlements().list_settlement_breaks(request).await.expect("breaks are listed").into_inner().breaks
}

#[tokio::test]
async fn enkash_s_payouts_are_listed_without_lines_and_nothing_is_missed_for_that() {
    let shop = Shop::open_with(At::Enkash, fetching).await;
    let payment = shop.paid("one").await;
    let id = shop.app.provider.settle(shop.at.account()).await.expect("there is something to settle");
    let listed = async || {
        let request = pb::ListSettlementsRequest { account: shop.at.account().to_owned(), ..Default::default() };
        let all = shop.app.settlements().list_settlements(request).await.expect("settlements are listed").into_inner().settlements;
        all.into_iter().find(|settlement| settlement.provider_ref == id && settlement.state() == pb::SettlementState::Processed)
    };
    let settlement = shop.app.rounds_until("the payout", listed).await;
    assert!(paise(&settlement.amount) > 0 && paise(&settlement.fee) >= paise(&settlement.tax), "{settlement:?}");
    assert_eq!((settlement.entry_count, settlement.entries_complete), (0, false));
    let entries = pb::ListSettlementEntriesRequest { account: shop.at.account().to_owned(), ..of_account(&settlement.id, "") };
    assert!(shop.app.settlements().list_settlement_entries(entries).await.unwrap().into_inner().entries.is_empty());
    shop.app.advance(minutes(10 * 24 * 60));
    let before = shop.asked("settlement.search");
    shop.app.rounds_until("three more rounds", async || (shop.asked("settlement.search") >= before + 3).then_some(())).await;
    assert!(breaks(&shop).await.is_empty(), "where no lines are told none can be missed");
    assert!(shop.app.get_payment(&payment.id).await.settlement_id.is_empty());
}

#[tokio::test]
async fn eko_s_credit_settles_its_payment() {
    let shop = Shop::open_with(At::Eko, fetching).await;
    let payment = shop.paid("one").await;
    assert!(payment.settle_time.is_none());
    shop.app.advance(minutes(3 * 24 * 60));
    let settled = shop
        .app
        .rounds_until("the payment to be settled", async || {
            Some(shop.app.get_payment(&payment.id).await).filter(|payment| payment.settle_time.is_some())
        })
        .await;
    assert!(settled.credit_time.is_some() && settled.settlement_id.is_empty(), "{settled:?}");
    assert!(shop.app.names_of_payment(&payment.id).await.contains(&"payment.settled".to_owned()));
    let entries = pb::ListSettlementEntriesRequest { account: shop.at.account().to_owned(), ..of_account("", &payment.id) };
    let entries = shop.app.settlements().list_settlement_entries(entries).await.unwrap().into_inner().entries;
    assert_eq!((entries.len(), paise(&entries[0].gross), entries[0].settlement_id.as_str()), (1, paise(&payment.amount), ""));
}

#[tokio::test]
async fn a_credit_of_eko_s_that_does_not_come_is_missed() {
    let shop = Shop::open_with(At::Eko, fetching).await;
    let switches = shop.app.provider.current_switches();
    let eko = upistream::sandbox::EkoSwitches { never_credited: true, ..switches.eko.clone() };
    shop.app.provider.switches(upistream::sandbox::Switches { eko, ..switches });
    let payment = shop.paid("one").await;
    shop.app.advance(minutes(6 * 24 * 60));
    let missed = shop.app.rounds_until("the payment to be missed", async || breaks(&shop).await.pop()).await;
    assert_eq!((missed.kind(), missed.payment_id.as_str()), (pb::SettlementBreakKind::SucceededNotSettled, payment.id.as_str()));
}
