//! The callback on a payment, to where its order says, and on a mandate's debit, to the merchant's URL. Its `checksum` is noise here: no source says how the real one is
//! made, so nobody can have verified it.

use serde::Serialize;

use super::desk::Desk;
use super::order::Status as OrderStatus;
use super::print::{Printed, to_json};
use super::transaction::{Pays, Status, Transaction};
use crate::sandbox::webhooks::News;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    order_id: &'a str,
    unique_transaction_id: &'a str,
    transaction_id: &'a str,
    order_status: &'static str,
    transaction_status: &'static str,
    status: &'static str,
    txn_msg: &'a str,
    txn_date: String,
    /// What the order asks for.
    amount: Printed,
    transaction_amount: Printed,
    final_amount: Printed,
    surcharge: Printed,
    surcharge_gst: Printed,
    mdr: Printed,
    mdr_gst: Printed,
    currency: &'static str,
    payment_mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_transaction_id: Option<&'a str>,
    #[serde(flatten)]
    lacking: Option<Lacking>,
    checksum: String,
}

/// What only other ways to pay have, as null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lacking {
    bank_code: (),
    bank_name: (),
    card_scheme: (),
    masked_card_number: (),
    card_holder_name: (),
    payment_token: (),
}

const LACKING: Lacking =
    Lacking { bank_code: (), bank_name: (), card_scheme: (), masked_card_number: (), card_holder_name: (), payment_token: () };

/// What is told of an attempt that succeeded or failed, if it was one to pay an order.
pub fn of_outcome(desk: &mut Desk<'_>, id: &str) -> Option<News> {
    let transaction = desk.books.transactions.get(id)?.clone();
    let Pays::Order(order) = &transaction.pays else {
        return None;
    };
    let order = desk.books.orders.get(order)?;
    let (amount, status) = (order.amount, desk.books.status_of(order, desk.now_ms));
    of(desk, &transaction, amount, status)
}

/// What is told of a success that never was.
pub fn of_forgery(desk: &mut Desk<'_>, attempt: &Transaction, amount: i64) -> Option<News> {
    let rrn = attempt.rrn.clone().unwrap_or_else(|| desk.dice.rrn(desk.now_ms));
    let paid = Transaction { status: Status::Success, amount, rrn: Some(rrn), ..attempt.clone() };
    of(desk, &paid, amount, OrderStatus::Paid)
}

fn of(desk: &mut Desk<'_>, transaction: &Transaction, order_amount: i64, order_status: OrderStatus) -> Option<News> {
    let Pays::Order(order) = &transaction.pays else {
        return None;
    };
    let checksum = desk.dice.hex().to_ascii_lowercase();
    let order = desk.books.orders.get(order)?;
    let status = desk.status(transaction.status.word());
    let by_merchant = desk.our_switches().notify_with_merchant_order_id;
    let body = Body {
        order_id: order.merchant_order_id.as_deref().filter(|_| by_merchant).unwrap_or(&order.id),
        unique_transaction_id: &order.id,
        transaction_id: &transaction.id,
        order_status: desk.status(order_status.word()),
        transaction_status: status,
        status,
        txn_msg: transaction.message(),
        txn_date: desk.time(desk.now_ms),
        amount: desk.amount(order_amount),
        transaction_amount: desk.amount(transaction.amount),
        final_amount: desk.amount(transaction.amount),
        surcharge: desk.amount(0),
        surcharge_gst: desk.amount(0),
        mdr: desk.amount(0),
        mdr_gst: desk.amount(0),
        currency: "INR",
        payment_mode: "UPI",
        bank_transaction_id: transaction.rrn.as_deref(),
        lacking: desk.our_switches().null_card_fields.then_some(LACKING),
        checksum,
    };
    let event = match (order.mandate_id.is_some(), transaction.status) {
        (false, Status::Failed) => "notify.failed",
        (false, _) => "notify.success",
        (true, Status::Failed) => "debit.failed",
        (true, _) => "debit.success",
    };
    Some(News { event, body: to_json(&body), content_type: "application/json", url: order.notify_url.clone() })
}
