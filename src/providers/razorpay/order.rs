//! Orders: what a mandate is registered by and what each debit is collected with. How one is made, found again by our
//! reference, and which payments it has.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::mandate_wire::{Approval, CreateOrder, Notification, Order};
use super::wire::{self, Unreadable};
use super::{Api, PAGE, id, is_a, page_of, payment, time, unreadable};
use crate::domain::account::Operation;
use crate::domain::money::Money;
use crate::domain::payment::PaymentSnapshot;
use crate::providers::mandate::OrderPayments;
use crate::providers::{AskError, CallError, Sending};

#[cfg(test)]
mod tests;

/// The least that an order can be for: one rupee.
pub const AMOUNT_MIN_PAISE: i64 = 100;
pub const CURRENCY: &str = "INR";

/// An order as we look at it.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownOrder {
    pub id: String,
    pub amount: Money,
    pub receipt: Option<String>,
    pub customer_ref: Option<String>,
    /// Whether one of its payments was collected.
    pub is_paid: bool,
    pub notification: Option<Notification>,
    pub created: Timestamp,
}

/// The payments of one account's orders.
pub struct RazorpayOrders {
    pub(super) api: Api,
}

#[async_trait]
impl OrderPayments for RazorpayOrders {
    async fn of_order(&self, order_ref: &str) -> Result<Vec<PaymentSnapshot>, AskError> {
        // An item that is listed twice is one payment.
        let mut payments = BTreeMap::new();
        for item in payments_of(&self.api, order_ref).await? {
            // One that can't be read is money that may have come: then nothing is told.
            let payment = payment::to_snapshot(wire::read("payment", item.get().as_bytes())?)?;
            payments.insert(payment.provider_ref.clone(), payment);
        }
        Ok(payments.into_values().collect())
    }
}

/// All payments of an order, whatever their status, as they are printed. The list has no pages.
pub async fn payments_of(api: &Api, order_ref: &str) -> Result<Vec<Box<RawValue>>, AskError> {
    let answer = api.ask("ListOrderPayments", &["v1", "orders", order_ref, "payments"], &[]).await?;
    let items = page_of(&answer)?.items;
    for item in &items {
        let Approval { order_id, .. } = wire::read("payment", item.get().as_bytes())?;
        if order_id.is_some_and(|named| named != order_ref) {
            return Err(unreadable("the list of an order's payments has one of another order").into());
        }
    }
    Ok(items)
}

/// Asks for an order, once.
pub async fn place(
    api: &Api,
    operation: Operation,
    sending: Sending,
    order: &CreateOrder<'_>,
    timeout: Duration,
) -> Result<KnownOrder, CallError> {
    let answer = api.act(operation, sending, &["v1", "orders"], Some(order), timeout).await?;
    let made = to_order(wire::read("order", &answer.body)?)?;
    if made.receipt.as_deref().is_some_and(|named| named != order.receipt) {
        return Err(unreadable("the answer is about an order with another receipt than was sent").into());
    }
    if made.amount.paise() != order.amount {
        return Err(unreadable("the answer is about an order of another amount than was sent").into());
    }
    Ok(made)
}

/// An order by its id.
pub async fn fetch(api: &Api, order_ref: &str) -> Result<KnownOrder, AskError> {
    let answer = api.ask("FetchOrder", &["v1", "orders", order_ref], &[]).await?;
    let order = to_order(wire::read("order", &answer.body)?)?;
    if order.id != order_ref {
        return Err(unreadable("the answer is about another order than was asked for").into());
    }
    Ok(order)
}

/// The order whose receipt is our reference.
///
/// Nothing makes the provider refuse a second order with one receipt, and we send each once. Where there are more all the
/// same, it is the oldest: what an answer told of first, and what payers were asked by, can only be that one.
pub async fn find(api: &Api, our_ref: &str) -> Result<Option<KnownOrder>, AskError> {
    let query = [("receipt", our_ref.to_owned()), ("count", PAGE.to_string())];
    let answer = api.ask("LookUpOrder", &["v1", "orders"], &query).await?;
    let page = page_of(&answer)?;
    let mut oldest: Option<KnownOrder> = None;
    for item in &page.items {
        let wire::Receipted { receipt } = wire::read("order's receipt", item.get().as_bytes())?;
        if receipt.as_deref() != Some(our_ref) {
            continue;
        }
        let order = to_order(wire::read("order", item.get().as_bytes())?)?;
        if oldest.as_ref().is_none_or(|oldest| order.created < oldest.created) {
            oldest = Some(order);
        }
    }
    if page.items.len() >= PAGE {
        // Those of one receipt fill no page: it lists others too, and ours may be on the next.
        return Err(unreadable("the list of a receipt's orders is longer than what is read of it").into());
    }
    Ok(oldest)
}

/// Their entity as our picture of it.
pub fn to_order(order: Order) -> Result<KnownOrder, Unreadable> {
    let Order { id: order_id, entity, amount, currency, receipt, status, customer_id, notification, created_at } = order;
    is_a("order", entity.as_deref())?;
    if currency.as_deref() != Some(CURRENCY) {
        return Err(unreadable("the order is in another currency than INR, or in none"));
    }
    Ok(KnownOrder {
        id: id("order", order_id)?,
        amount: Money::from_paise(amount.filter(|paise| *paise > 0).ok_or_else(|| unreadable("the order has no amount"))?),
        receipt,
        customer_ref: customer_id.map(|customer| id("order's customer", Some(customer))).transpose()?,
        is_paid: status.as_deref() == Some("paid"),
        notification,
        created: time(created_at.ok_or_else(|| unreadable("the order has no time"))?)?,
    })
}
