//! The recon report: every line of the settlements of a day or a month, oldest settlement first, so that pages stay as
//! they are once a day is over. A settlement's lines show when it is processed.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::desk::Desk;
use super::error::ApiError;
use super::input::{count_and_skip, parameter};
use super::recon_fault::Entry;
use super::refund::Speed;
use super::settlement::{Content, Item, Settlement, Status};
use super::{Call, Collection, to_json};
use crate::sandbox::clock::{MINUTE_MS, in_ist};

const COUNT_MAX: i64 = 1_000;
/// What an instant refund costs, and the tax in it.
const INSTANT_FEE: i64 = 590;
const INSTANT_TAX: i64 = 90;

/// One line, but for what it has from its settlement.
pub struct Line {
    pub entity_id: String,
    pub kind: &'static str,
    pub debit: i64,
    pub credit: i64,
    pub amount: i64,
    pub fee: i64,
    pub tax: i64,
    pub created_at: i64,
    pub description: Option<String>,
    /// An object printed as text.
    pub notes: Option<String>,
    pub payment_id: Option<String>,
    pub order_id: Option<String>,
    pub order_receipt: Option<String>,
    pub method: Option<&'static str>,
    pub card: Option<Card>,
}

pub struct Card {
    pub network: &'static str,
    pub issuer: &'static str,
    pub kind: &'static str,
}

#[derive(Serialize)]
struct LineView {
    entity_id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    debit: i64,
    credit: i64,
    amount: i64,
    currency: &'static str,
    fee: i64,
    tax: i64,
    on_hold: bool,
    settled: bool,
    created_at: i64,
    settled_at: i64,
    settlement_id: String,
    posted_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_type: Option<&'static str>,
    description: Option<String>,
    notes: Option<String>,
    payment_id: Option<String>,
    settlement_utr: Option<String>,
    order_id: Option<String>,
    order_receipt: Option<String>,
    method: Option<&'static str>,
    card_network: Option<&'static str>,
    card_issuer: Option<&'static str>,
    card_type: Option<&'static str>,
    dispute_id: Option<String>,
}

fn view(line: Line, settlement: &Settlement) -> LineView {
    let is_adjustment = line.kind == "adjustment";
    let card = line.card.as_ref();
    LineView {
        entity_id: line.entity_id,
        kind: line.kind,
        debit: line.debit,
        credit: line.credit,
        amount: line.amount,
        currency: "INR",
        fee: line.fee,
        tax: line.tax,
        on_hold: false,
        settled: true,
        created_at: line.created_at,
        settled_at: settlement.created_ms / 1_000,
        settlement_id: settlement.id.clone(),
        posted_at: None,
        credit_type: (!is_adjustment).then_some("default"),
        description: line.description,
        notes: line.notes,
        payment_id: line.payment_id,
        settlement_utr: settlement.utr.clone().filter(|_| !is_adjustment),
        order_id: line.order_id,
        order_receipt: line.order_receipt,
        method: line.method,
        card_network: card.map(|card| card.network),
        card_issuer: card.map(|card| card.issuer),
        card_type: card.map(|card| card.kind),
        dispute_id: None,
    }
}

/// A day, or a month.
struct Period {
    year: i16,
    month: i8,
    day: Option<i8>,
}

impl Period {
    fn of(query: &[(String, String)]) -> Result<Self, ApiError> {
        let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let required = |name: &str| parameter(query, name).ok_or_else(|| ApiError::on(name, format!("The {name} field is required.")));
        let year = Some(required("year")?).filter(|text| text.len() == 4).and_then(number);
        let year = year.ok_or_else(|| ApiError::on("year", "The year must be 4 digits."))?;
        let month = Some(required("month")?).filter(|text| text.len() <= 2).and_then(number).filter(|month| (1..=12).contains(month));
        let month = month.ok_or_else(|| ApiError::on("month", "The month is not a valid month."))?;
        let read_day = |text| Some(text).filter(|text: &&str| text.len() <= 2).and_then(number);
        let wrong = || ApiError::on("day", "The day must be between 1 and 2 digits.");
        let day = parameter(query, "day").map(|text| read_day(text).ok_or_else(wrong)).transpose()?;
        Ok(Self { year, month: i8::try_from(month).unwrap_or(0), day: day.map(|day| i8::try_from(day).unwrap_or(0)) })
    }

    fn holds(&self, date: Date) -> bool {
        (date.year(), date.month()) == (self.year, self.month) && self.day.is_none_or(|day| day == date.day())
    }
}

impl Desk<'_> {
    pub fn recon(&self, call: &Call) -> Result<String, ApiError> {
        const KNOWN: [&str; 5] = ["year", "month", "day", "count", "skip"];
        call.expect_bare(&KNOWN)?;
        let period = Period::of(&call.query)?;
        let (count, mut skip) = count_and_skip(&call.query, COUNT_MAX, self.switches.clamp_count)?;
        let mut views = Vec::new();
        for settlement in self.books.settlements.oldest_first().filter(|settlement| self.is_reported(settlement, &period)) {
            // A settlement without faults is not walked through: it may be large, and a report asks for many pages.
            let faulty = self.faulty_entries(settlement);
            let shown = faulty.as_ref().map_or(settlement.lines(), Vec::len);
            let first = shown.min(skip);
            skip -= first;
            let end = shown.min(first + count - views.len());
            for place in first..end {
                let plain = Entry::Real { of: settlement, index: place, off_by: 0 };
                let line = self.line_at(faulty.as_ref().map_or(&plain, |entries| &entries[place]));
                views.extend(line.map(|line| view(line, settlement)));
            }
            if views.len() >= count {
                break;
            }
        }
        Ok(to_json(&Collection::of(views)))
    }

    fn is_reported(&self, settlement: &Settlement, period: &Period) -> bool {
        let at = in_ist(settlement.created_ms);
        let at = if self.switches.recon_day_in_utc { at.with_time_zone(TimeZone::UTC) } else { at };
        settlement.status == Status::Processed && period.holds(at.date()) && self.is_listed(settlement.created_ms)
    }

    fn line_at(&self, entry: &Entry<'_>) -> Option<Line> {
        let (settlement, index, off_by) = match entry {
            Entry::Nobodys(id, settlement) => return Some(nobodys_line(id, settlement)),
            Entry::Real { of, index, off_by } => (of, *index, *off_by),
        };
        let mut line = match &settlement.content {
            Content::Booked(items) => self.line_of(items.get(index)?)?,
            Content::MadeUp(bulk) => bulk.line(index, settlement.created_ms / 1_000),
        };
        line.amount += off_by;
        if line.debit > 0 {
            line.debit += off_by;
        } else {
            line.credit += off_by;
        }
        Some(line)
    }

    pub fn line_of(&self, item: &Item) -> Option<Line> {
        let (payment, refund) = match item {
            Item::Payment(id) => (self.books.payments.get(id)?, None),
            Item::Refund(id) => {
                let refund = self.books.refunds.get(id)?;
                (self.books.payments.get(&refund.payment_id)?, Some(refund))
            }
        };
        let order = payment.order_id.as_ref().and_then(|order| self.books.orders.get(order));
        let notes = refund.map_or(&payment.notes, |refund| &refund.notes);
        let line = Line {
            entity_id: payment.id.clone(),
            kind: "payment",
            debit: 0,
            credit: payment.amount - payment.fee.unwrap_or(0),
            amount: payment.amount,
            fee: payment.fee.unwrap_or(0),
            tax: payment.tax.unwrap_or(0),
            created_at: payment.created_at(),
            description: payment.description.clone(),
            notes: (!notes.is_empty()).then(|| to_json(notes)),
            payment_id: None,
            order_id: payment.order_id.clone(),
            order_receipt: order.and_then(|order| order.receipt.clone()),
            method: Some("upi"),
            card: None,
        };
        let Some(refund) = refund else {
            return Some(line);
        };
        let (fee, tax) = if refund.processed == Speed::Instant { (INSTANT_FEE, INSTANT_TAX) } else { (0, 0) };
        Some(Line {
            entity_id: refund.id.clone(),
            kind: "refund",
            debit: refund.amount + fee,
            credit: 0,
            amount: refund.amount,
            fee,
            tax,
            created_at: refund.created_ms / 1_000,
            description: None,
            payment_id: Some(refund.payment_id.clone()),
            ..line
        })
    }
}

fn nobodys_line(id: &str, settlement: &Settlement) -> Line {
    Line {
        entity_id: id.to_owned(),
        kind: "payment",
        debit: 0,
        credit: 10_000,
        amount: 10_000,
        fee: 0,
        tax: 0,
        created_at: (settlement.created_ms - MINUTE_MS) / 1_000,
        description: None,
        notes: None,
        payment_id: None,
        order_id: None,
        order_receipt: None,
        method: Some("upi"),
        card: None,
    }
}
