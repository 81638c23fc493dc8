//! Refunds that the provider makes by itself: of a payment on a closed code, of a second payment of
//! a paid order, of a payment that was never captured.

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::event;
use super::input::Notes;
use super::notes_as_printed;
use super::payment::Status;
use crate::sandbox::shelf::Labelled;
use crate::sandbox::webhooks::News;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refund {
    pub id: String,
    pub created_ms: i64,
    pub payment_id: String,
    pub amount: i64,
}

impl Labelled for Refund {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Serialize)]
pub struct RefundView<'a> {
    id: &'a str,
    entity: &'static str,
    amount: i64,
    currency: &'static str,
    payment_id: &'a str,
    #[serde(serialize_with = "no_notes")]
    notes: (),
    receipt: Option<&'a str>,
    acquirer_data: AcquirerData<'a>,
    created_at: i64,
    batch_id: Option<&'a str>,
    status: &'static str,
    speed_processed: &'static str,
    speed_requested: &'static str,
}

#[derive(Serialize)]
struct AcquirerData<'a> {
    rrn: Option<&'a str>,
}

pub fn view(refund: &Refund) -> RefundView<'_> {
    RefundView {
        id: &refund.id,
        entity: "refund",
        amount: refund.amount,
        currency: "INR",
        payment_id: &refund.payment_id,
        notes: (),
        receipt: None,
        acquirer_data: AcquirerData { rrn: None },
        created_at: refund.created_ms / 1_000,
        batch_id: None,
        // Official samples show it even in `refund.created`.
        status: "processed",
        speed_processed: "normal",
        speed_requested: "normal",
    }
}

impl Desk<'_> {
    /// Gives the whole payment back.
    pub fn refund_by_itself(&mut self, payment_id: &str, news: &mut Vec<News>) {
        let id = self.new_id("rfnd");
        let created_ms = self.now_ms;
        let Some(payment) = self.books.payments.get_mut(payment_id) else {
            return;
        };
        let amount = payment.amount - payment.amount_refunded;
        if amount <= 0 || self.books.refunds.is_full() {
            return;
        }
        payment.amount_refunded = payment.amount;
        payment.status = Status::Refunded;
        self.books.refunds.put(Refund { id: id.clone(), created_ms, payment_id: payment_id.to_owned(), amount });
        news.extend(event::refund("refund.created", self, &id));
        news.extend(event::refund("refund.processed", self, &id));
    }
}

fn no_notes<S: serde::Serializer>(_: &(), to: S) -> Result<S::Ok, S::Error> {
    notes_as_printed(&Notes::new(), to)
}
