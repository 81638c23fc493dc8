//! Settlement payouts: what waits for one, how it is made and ends, how it is fetched and searched for. The field that
//! the documentation cuts off, and all after it, are left out; `INIT` is its only word of status, the two that end a
//! payout are ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::desk::{Desk, Due};
use super::failure::Failure;
use super::input;
use super::print::Printed;
use crate::sandbox::clock::MINUTE_MS;
use crate::sandbox::shelf::Labelled;
use crate::sandbox::simulated::Asked;
use crate::sandbox::upi;
use crate::sandbox::working_day::{next_run, run_after};

/// Working days from a payment to its payout.
const CYCLE_DAYS: u32 = 1;
/// From `INIT` to the end.
const PAYOUT_MS: i64 = 20 * MINUTE_MS;
/// What a payment costs, and the tax on that.
const CHARGES_PERCENT: i64 = 2;
const GST_PERCENT: i64 = 18;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payout {
    pub id: String,
    pub created_ms: i64,
    pub items: Vec<Item>,
    pub totals: Totals,
    pub status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Init,
    Success,
    Failed,
}

/// What is paid out, or deducted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    Sale(String),
    Refund(String),
    /// A refund that was deducted and then came back.
    SentBack(String),
}

/// What waits for its payout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unsettled {
    ready_ms: i64,
    item: Item,
}

/// In paise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    sale: i64,
    refund: i64,
    charges: i64,
    gst: i64,
    adjustment: i64,
}

impl Totals {
    fn settlement(&self) -> i64 {
        self.sale - self.refund - self.charges - self.gst + self.adjustment
    }
}

impl Labelled for Payout {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PayoutView<'a> {
    settlement_payout_id: &'a str,
    total_sale_amount: Printed,
    total_refund_amount: Printed,
    total_charges: Printed,
    total_gst: Printed,
    total_settlement_amount: Printed,
    refund_chargeback_amount: Printed,
    carry_forward_amount: Printed,
    adjustment_amount: Printed,
    payout_status: &'static str,
}

impl Desk<'_> {
    /// From a success or the end of a refund on.
    pub fn await_payout(&mut self, item: Item) {
        let ready_ms = match &item {
            Item::Sale(_) => run_after(self.now_ms, CYCLE_DAYS),
            Item::Refund(_) | Item::SentBack(_) => next_run(self.now_ms),
        };
        self.books.unsettled.push(Unsettled { ready_ms, item });
        // Runs are appointed for what they are to pay out, not for every day there is.
        self.appoint(ready_ms, Due::PayoutRun);
    }

    /// A refund came back: it is deducted no more, or given back where it was deducted already.
    pub fn take_back_from_payout(&mut self, refund: &str) {
        let item = Item::Refund(refund.to_owned());
        let before = self.books.unsettled.len();
        self.books.unsettled.retain(|waiting| waiting.item != item);
        if self.books.unsettled.len() == before {
            self.await_payout(Item::SentBack(refund.to_owned()));
        }
    }

    pub fn run_payout(&mut self) {
        if self.switches.settlement_runs {
            let _ = self.make_payout(self.now_ms);
        }
    }

    /// Puts what was ready by then into one payout, and answers its id; or leaves all for another run, where nothing would
    /// be paid out, and answers what it comes to.
    pub fn make_payout(&mut self, ready_by_ms: i64) -> Result<String, i64> {
        let is_ready = |waiting: &&Unsettled| waiting.ready_ms <= ready_by_ms;
        let items: Vec<_> = self.books.unsettled.iter().filter(is_ready).map(|waiting| waiting.item.clone()).collect();
        let totals = self.add_up(&items);
        let amount = totals.settlement();
        if amount <= 0 {
            return Err(amount);
        }
        self.books.unsettled.retain(|waiting| !is_ready(&waiting));
        let id = self.new_id("SP");
        self.books.payouts.put(Payout { id: id.clone(), created_ms: self.now_ms, items, totals, status: Status::Init });
        self.appoint(self.now_ms + PAYOUT_MS, Due::PayoutEnds(id.clone()));
        Ok(id)
    }

    fn add_up(&self, items: &[Item]) -> Totals {
        let refunded = |id: &str| self.books.refunds.get(id).map_or(0, |refund| refund.amount);
        let mut totals = Totals::default();
        for item in items {
            match item {
                Item::Sale(id) => {
                    let amount = self.books.transactions.get(id).map_or(0, |transaction| transaction.amount);
                    let charges = amount * CHARGES_PERCENT / 100;
                    totals.sale += amount;
                    totals.charges += charges;
                    totals.gst += charges * GST_PERCENT / 100;
                }
                Item::Refund(id) => totals.refund += refunded(id),
                Item::SentBack(id) => totals.adjustment += refunded(id),
            }
        }
        totals
    }

    /// Once. What a failed payout held waits for the next one that is made.
    pub fn end_payout(&mut self, id: &str) {
        let (fails, ready_ms) = (self.our_switches().payouts_fail, self.now_ms);
        let Some(payout) = self.books.payouts.get_mut(id).filter(|payout| payout.status == Status::Init) else {
            return;
        };
        payout.status = if fails { Status::Failed } else { Status::Success };
        if fails {
            let again = payout.items.iter().map(|item| Unsettled { ready_ms, item: item.clone() });
            self.books.unsettled.extend(again);
        }
    }

    pub fn fetch_payout(&self, id: &str) -> Result<String, Failure> {
        let payout = self.books.payouts.get(id).ok_or_else(|| Failure::other("Settlement payout not found."))?;
        Ok(self.success(self.view_payout(payout)))
    }

    /// A bare list, by the time they were made; what `orderBy` may say is not known, so it changes nothing.
    pub fn search_payouts(&self, asked: &Asked) -> Result<String, Failure> {
        let query = asked.query().ok_or_else(|| Failure::other("Query is not valid."))?;
        let (offset, limit) = input::page(&query)?;
        let oldest_first = match query.iter().find(|(name, _)| name == "direction").map(|(_, value)| value.as_str()) {
            Some("ASC") => true,
            Some("DESC") | None => false,
            Some(_) => return Err(Failure::other("direction must be ASC or DESC.")),
        };
        let wanted: BTreeMap<String, Box<RawValue>> = if asked.body.is_empty() { BTreeMap::new() } else { input::read(&asked.body)? };
        let mut found = Vec::new();
        for payout in self.books.payouts.newest_first().filter(|payout| self.is_listed(payout.created_ms)) {
            if has_all(payout, &wanted)? {
                found.push(payout);
            }
        }
        if oldest_first {
            found.reverse();
        }
        let page: Vec<_> = found.into_iter().skip(offset).take(limit).map(|payout| self.view_payout(payout)).collect();
        Ok(self.success(page))
    }

    pub fn view_payout<'p>(&self, payout: &'p Payout) -> PayoutView<'p> {
        let Totals { sale, refund, charges, gst, adjustment } = payout.totals;
        let word = match payout.status {
            Status::Init => "INIT",
            Status::Success => "SUCCESS",
            Status::Failed => "FAILED",
        };
        PayoutView {
            settlement_payout_id: &payout.id,
            total_sale_amount: self.amount(sale),
            total_refund_amount: self.amount(refund),
            total_charges: self.amount(charges),
            total_gst: self.amount(gst),
            total_settlement_amount: self.amount(payout.totals.settlement()),
            refund_chargeback_amount: self.amount(0),
            carry_forward_amount: self.amount(0),
            adjustment_amount: self.amount(adjustment),
            payout_status: self.status(word),
        }
    }
}

/// Null asks for nothing.
fn has_all(payout: &Payout, wanted: &BTreeMap<String, Box<RawValue>>) -> Result<bool, Failure> {
    let mut all = true;
    for (name, value) in wanted.iter().filter(|(_, value)| value.get() != "null") {
        all &= match (name.as_str(), total(payout, name)) {
            ("settlementPayoutId", _) => input::read::<String>(value.get().as_bytes())? == payout.id,
            ("settlementPayoutIds", _) => input::read::<Vec<String>>(value.get().as_bytes())?.contains(&payout.id),
            (_, Some(total)) => {
                let bound = upi::paise(value.get()).ok_or_else(|| Failure::other(format!("{name} must be a number.")))?;
                if name.ends_with("From") { bound <= total } else { total <= bound }
            }
            (_, None) => return Err(Failure::other(format!("{name} is no field to search by."))),
        };
    }
    Ok(all)
}

/// What a field that ends in `From` or `To` is compared with.
fn total(payout: &Payout, name: &str) -> Option<i64> {
    let Totals { sale, refund, charges, gst, .. } = payout.totals;
    match name.strip_suffix("From").or_else(|| name.strip_suffix("To"))? {
        "totalSaleAmount" => Some(sale),
        "totalRefundAmount" => Some(refund),
        "totalCharges" => Some(charges),
        "totalGst" => Some(gst),
        "totalSettlementAmount" => Some(payout.totals.settlement()),
        _ => None,
    }
}
