//! Settlements, which EnKash calls settlement payouts: how each stands and what it comes to. Its lines are not published, nor
//! are its bank reference and its times [9.2].

use async_trait::async_trait;
use http::Method;
use jiff::Timestamp;

use super::{Api, wire};
use crate::domain::account::Operation;
use crate::domain::settlement::{SettlementSnapshot, SettlementStatus};
use crate::providers::reading::{Unreadable, id, read, unreadable};
use crate::providers::{AskError, PageOf, SettlementListing};

#[cfg(test)]
mod tests;

/// Settlements of one page. The provider gives up to 5,000.
const LIMIT: usize = 100;

/// Settlements of one account.
pub struct EnkashSettlements {
    pub(super) api: Api,
}

#[async_trait]
impl SettlementListing for EnkashSettlements {
    /// `POST /api/v0/settlement-payout/search` [P15]. How a time is searched for is not readable there, so the list is given
    /// from its newest on, whatever `from` is.
    async fn settlements(&self, _from: Timestamp, skip: u64) -> Result<PageOf<SettlementSnapshot>, AskError> {
        let query = [("offset", skip.to_string()), ("limit", LIMIT.to_string()), ("direction", "DESC".to_owned())];
        let path = ["api", "v0", "settlement-payout", "search"];
        let request = self.api.request(Operation::FetchSettlements.as_str(), Method::POST, &path, &query);
        let payload = self.api.ask_for(request.json(&serde_json::Map::new())).await?;
        let listed = wire::the_list(&payload).ok_or_else(|| unreadable("the answer has no list, or more than one"))?;
        Ok(PageOf::of(listed.iter().map(|item| to_snapshot(item.get().as_bytes()).map(Some)), LIMIT))
    }

    /// `GET /api/v0/settlement-payout/{settlementPayoutId}` [P14].
    async fn fetch(&self, provider_ref: &str) -> Result<SettlementSnapshot, AskError> {
        let path = ["api", "v0", "settlement-payout", provider_ref];
        let payload = self.api.ask_for(self.api.request("FetchSettlement", Method::GET, &path, &[])).await?;
        let settlement = to_snapshot(payload.get().as_bytes())?;
        if settlement.provider_ref != provider_ref {
            return Err(unreadable("the answer is about another settlement than was asked for").into());
        }
        Ok(settlement)
    }
}

/// Their payout as our picture of it.
pub fn to_snapshot(json: &[u8]) -> Result<SettlementSnapshot, Unreadable> {
    let wire::SettlementPayout { settlement_payout_id, total_charges, total_gst, total_settlement_amount, payout_status } =
        read("settlement", json)?;
    let tax = total_gst.ok_or_else(|| unreadable("the settlement has no tax"))?;
    let charges = total_charges.ok_or_else(|| unreadable("the settlement has no charges"))?;
    Ok(SettlementSnapshot {
        provider_ref: id("settlement", settlement_payout_id)?,
        amount: total_settlement_amount.ok_or_else(|| unreadable("the settlement has no amount"))?,
        fee: charges.checked_add(tax).ok_or_else(|| unreadable("the settlement's charges can't be counted"))?,
        tax,
        utr: None,
        status: match payout_status.as_deref() {
            Some("INIT") => SettlementStatus::Created,
            // Only `INIT` is on the page: these two are its words for such ends everywhere else.
            Some("SUCCESS") => SettlementStatus::Processed,
            Some("FAILED") => SettlementStatus::Failed,
            Some(_) | None => SettlementStatus::Undecided,
        },
        settle_time: None,
    })
}
