//! Settlements: what waits for one, how it is made and processed, how it is fetched and listed. What is inside one is in
//! `recon.rs`.

use serde::{Deserialize, Serialize};

use super::bulk::Bulk;
use super::desk::{Desk, Due};
use super::error::ApiError;
use super::input::{Page, check_id};
use super::{Call, Collection, event, to_json};
use crate::sandbox::clock::{MINUTE_MS, in_ist};
use crate::sandbox::shelf::Labelled;
use crate::sandbox::working_day::{next_run, run_after};

/// Working days from a capture to its settlement.
const CYCLE_DAYS: u32 = 2;
/// From `created` to `processed`, as in the sample.
const PROCESSING_MS: i64 = 20 * MINUTE_MS;
const SERIALS: u64 = 1_000_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settlement {
    pub id: String,
    pub created_ms: i64,
    pub amount: i64,
    pub status: Status,
    pub utr: Option<String>,
    pub content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Created,
    Processed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Booked(Vec<Item>),
    /// Made up for tests of size; nothing of it stands in the books.
    MadeUp(Bulk),
}

/// What is settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    Payment(String),
    Refund(String),
}

/// What waits for its settlement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unsettled {
    ready_ms: i64,
    item: Item,
}

impl Item {
    pub fn id(&self) -> &str {
        match self {
            Self::Payment(id) | Self::Refund(id) => id,
        }
    }
}

impl Labelled for Settlement {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Settlement {
    pub fn lines(&self) -> usize {
        match &self.content {
            Content::Booked(items) => items.len(),
            Content::MadeUp(bulk) => bulk.lines(),
        }
    }
}

#[derive(Serialize)]
pub struct SettlementView<'a> {
    id: &'a str,
    entity: &'static str,
    amount: i64,
    status: Status,
    fees: i64,
    tax: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    utr: Option<Option<&'a str>>,
    created_at: i64,
}

/// As it is: faults of the recon report don't show here.
pub fn view(settlement: &Settlement, without_empty_utr: bool) -> SettlementView<'_> {
    let utr = settlement.utr.as_deref();
    SettlementView {
        id: &settlement.id,
        entity: "settlement",
        amount: settlement.amount,
        status: settlement.status,
        // The fees of payments were taken from each of them already.
        fees: 0,
        tax: 0,
        utr: (utr.is_some() || !without_empty_utr).then_some(utr),
        created_at: settlement.created_ms / 1_000,
    }
}

impl Desk<'_> {
    /// From a capture or the end of a refund on.
    pub fn await_settlement(&mut self, item: Item) {
        let ready_ms = match &item {
            Item::Payment(_) => run_after(self.now_ms, CYCLE_DAYS),
            Item::Refund(_) => next_run(self.now_ms),
        };
        self.books.unsettled.push(Unsettled { ready_ms, item });
        // Runs are appointed for what they are to settle, not for every day there is.
        self.appoint(ready_ms, Due::SettlementRun);
    }

    pub fn run_settlement(&mut self) {
        if self.switches.settlement_runs {
            let _ = self.make_settlement(self.now_ms);
        }
    }

    /// Puts what was ready by then into one settlement, and answers its id; or leaves all for another run, where that
    /// would pay out nothing, and answers what it comes to.
    pub fn make_settlement(&mut self, ready_by_ms: i64) -> Result<String, i64> {
        let is_ready = |waiting: &&Unsettled| waiting.ready_ms <= ready_by_ms;
        let items: Vec<_> = self.books.unsettled.iter().filter(is_ready).map(|waiting| waiting.item.clone()).collect();
        let lines = items.iter().filter_map(|item| self.line_of(item));
        let amount = lines.map(|line| line.credit - line.debit).sum();
        if amount <= 0 {
            return Err(amount);
        }
        self.books.unsettled.retain(|waiting| !is_ready(&waiting));
        Ok(self.open_settlement(amount, Content::Booked(items)))
    }

    pub fn open_settlement(&mut self, amount: i64, content: Content) -> String {
        let id = self.new_id("setl");
        let (created_ms, status) = (self.now_ms, Status::Created);
        self.books.settlements.put(Settlement { id: id.clone(), created_ms, amount, status, utr: None, content });
        self.appoint(self.now_ms + PROCESSING_MS, Due::SettlementProcessed(id.clone()));
        id
    }

    /// The transfer starts; once.
    pub fn process_settlement(&mut self, id: &str) {
        let (serial, today) = (self.dice.serial() % SERIALS, in_ist(self.now_ms).date());
        let Some(settlement) = self.books.settlements.get_mut(id).filter(|settlement| settlement.status == Status::Created) else {
            return;
        };
        settlement.status = Status::Processed;
        settlement.utr = Some(format!("EXMPN{:02}{:03}{serial:06}", today.year() % 100, today.day_of_year()));
        let news = event::settlement_processed(self, id);
        self.tell(news.into_iter().collect());
    }

    pub fn fetch_settlement(&self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_bare(&[])?;
        check_id("setl", id)?;
        let settlement = self.books.settlements.get(id).ok_or_else(ApiError::no_such_id)?;
        Ok(to_json(&self.view_settlement(settlement)))
    }

    pub fn list_settlements(&self, call: &Call) -> Result<String, ApiError> {
        let page = Page::of(&call.query, &[], self.switches.clamp_count)?;
        call.expect_no_body()?;
        let settlements = self.books.settlements.newest_first().filter(|settlement| self.is_listed(settlement.created_ms));
        let found = page.collect(settlements, |settlement| settlement.created_ms / 1_000);
        Ok(to_json(&Collection::of(found.into_iter().map(|settlement| self.view_settlement(settlement)).collect())))
    }

    /// As it is answered, faults included.
    pub fn view_settlement<'s>(&self, settlement: &'s Settlement) -> SettlementView<'s> {
        let off_by = self.settlement_off_by(&settlement.id);
        let view = view(settlement, self.switches.empty_utr_left_out);
        SettlementView { amount: view.amount + off_by, ..view }
    }
}
