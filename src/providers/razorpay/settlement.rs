//! Settlements: their list, and the report of what was settled on a day, line by line.
//!
//! Lines are taken as they are printed. One whose figures do not fit together is a difference to be shown, not one to be
//! refused.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::value::RawValue;

use super::webhook::QR_PAYMENT;
use super::wire::{self, Unreadable};
use super::{Api, PAGE, id, is_a, page_of, seconds, time, unreadable};
use crate::domain::account::Operation;
use crate::domain::money::Money;
use crate::domain::settlement::{EntryKind, SettlementLine, SettlementSnapshot, SettlementStatus};
use crate::providers::reading::bank_reference;
use crate::providers::{AskError, PageOf, SettlementListing, SettlementReport, told};

#[cfg(test)]
mod tests;

/// Lines of the report on one page. The provider gives up to 1,000, which with long notes would be more than is read of an
/// answer; of these each may have five thousand bytes.
const LINES: usize = 200;

/// Settlements of one account.
pub struct RazorpaySettlements {
    pub(super) api: Api,
}

#[async_trait]
impl SettlementListing for RazorpaySettlements {
    async fn settlements(&self, from: Timestamp, skip: u64) -> Result<PageOf<SettlementSnapshot>, AskError> {
        let query = [("from", seconds(from)), ("count", PAGE.to_string()), ("skip", skip.to_string())];
        let answer = self.api.ask(Operation::FetchSettlements.as_str(), &["v1", "settlements"], &query).await?;
        let page = page_of(&answer)?;
        let read = |item: &RawValue| wire::read("settlement", item.get().as_bytes()).and_then(to_snapshot).map(Some);
        Ok(PageOf::of(page.items.iter().map(|item| read(item)), PAGE))
    }

    async fn fetch(&self, provider_ref: &str) -> Result<SettlementSnapshot, AskError> {
        let answer = self.api.ask("FetchSettlement", &["v1", "settlements", provider_ref], &[]).await?;
        let settlement = to_snapshot(wire::read("settlement", &answer.body)?)?;
        if settlement.provider_ref != provider_ref {
            return Err(unreadable("the answer is about another settlement than was asked for").into());
        }
        Ok(settlement)
    }
}

#[async_trait]
impl SettlementReport for RazorpaySettlements {
    async fn lines(&self, day: Date, skip: u64) -> Result<PageOf<SettlementLine>, AskError> {
        let query = [
            ("year", format!("{:04}", day.year())),
            ("month", format!("{:02}", day.month())),
            ("day", format!("{:02}", day.day())),
            ("count", LINES.to_string()),
            ("skip", skip.to_string()),
        ];
        let answer = self.api.ask("FetchSettlementLines", &["v1", "settlements", "recon", "combined"], &query).await?;
        let page = page_of(&answer)?;
        let read = |item: &RawValue| wire::read("line of the report", item.get().as_bytes()).and_then(to_line);
        Ok(PageOf::of(page.items.iter().map(|item| read(item)), LINES))
    }
}

/// Their entity as our picture of it.
pub fn to_snapshot(settlement: wire::Settlement) -> Result<SettlementSnapshot, Unreadable> {
    let wire::Settlement { id: settlement_id, entity, amount, status, fees, tax, utr, created_at } = settlement;
    is_a("settlement", entity.as_deref())?;
    let status = match status.as_deref() {
        Some("created") => SettlementStatus::Created,
        Some("processed") => SettlementStatus::Processed,
        Some("failed") => SettlementStatus::Failed,
        Some(_) => SettlementStatus::Undecided,
        None => return Err(unreadable("the settlement has no status")),
    };
    Ok(SettlementSnapshot {
        provider_ref: id("settlement", settlement_id)?,
        amount: told_paise("settlement", "amount", amount)?,
        fee: told_paise("settlement", "fees", fees)?,
        tax: told_paise("settlement", "tax", tax)?,
        utr: bank_reference(utr),
        status,
        settle_time: created_at.map(time).transpose()?,
    })
}

/// A line of their report as ours; `None`: it is not settled (yet).
pub fn to_line(line: wire::ReconLine) -> Result<Option<SettlementLine>, Unreadable> {
    let wire::ReconLine {
        entity_id,
        r#type,
        debit,
        credit,
        amount,
        currency,
        fee,
        tax,
        settled,
        created_at,
        settled_at,
        settlement_id,
        settlement_utr,
        description,
        payment_id,
        method,
        order_id,
    } = line;
    if settled == Some(false) {
        return Ok(None);
    }
    if currency.as_deref() != Some("INR") {
        return Err(unreadable("the line is in another currency than INR, or in none"));
    }
    let kind = match r#type.as_deref() {
        Some("payment") => EntryKind::Payment,
        Some("refund") => EntryKind::Refund,
        // Transfers, adjustments, and what they may think of later.
        Some(_) => EntryKind::Adjustment,
        None => return Err(unreadable("the line does not say what it is about")),
    };
    let paise = |name: &str, paise| told_paise("line", name, paise);
    let (amount, fee, tax) = (paise("amount", amount)?, paise("fee", fee)?, paise("tax", tax)?);
    let uncountable = || unreadable("the line's amounts can't be counted");
    let net = paise("credit", credit)?.checked_sub(paise("debit", debit)?).ok_or_else(uncountable)?;
    let gross = match kind {
        EntryKind::Payment => Some(amount),
        EntryKind::Refund => amount.checked_neg(),
        // Which way it goes is only told by what comes of it.
        EntryKind::Adjustment => net.checked_add(fee),
    };
    Ok(Some(SettlementLine {
        kind,
        entity_ref: id("line's subject", entity_id)?,
        payment_ref: payment_id.filter(|_| kind == EntryKind::Refund).map(|payment| id("refund's payment", Some(payment))).transpose()?,
        settlement_ref: settlement_id.map(|settlement| id("line's settlement", Some(settlement))).transpose()?,
        gross: gross.ok_or_else(uncountable)?,
        fee,
        tax,
        net,
        utr: bank_reference(settlement_utr),
        transact_time: created_at.map(time).transpose()?,
        settle_time: settled_at.map(time).transpose()?,
        // As a payment to a code is told from one of another product in its callbacks.
        other_product: order_id.is_some() && description.as_deref().is_none_or(|text| text != QR_PAYMENT),
        description: told::message(description.as_deref()),
        foreign: method.is_some_and(|method| method != "upi"),
    }))
}

fn told_paise(what: &str, name: &str, paise: Option<i64>) -> Result<Money, Unreadable> {
    paise.map(Money::from_paise).ok_or_else(|| Unreadable(format!("the {what} has no {name}")))
}
