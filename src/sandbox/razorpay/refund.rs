//! Refunds that the provider makes by itself: of a payment on a closed code, of a second payment of
//! a paid order, of a payment that was never captured. They can be read like any other.

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::error::ApiError;
use super::event;
use super::input::{Notes, Page, check_id};
use super::payment::Status;
use super::{Call, Collection, notes_as_printed, to_json};
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
    pub fn fetch_refund(&self, id: &str, call: &Call) -> Result<String, ApiError> {
        self.fetch_refund_where(id, call, |_| true)
    }

    pub fn fetch_payment_refund(&self, payment_id: &str, id: &str, call: &Call) -> Result<String, ApiError> {
        self.check_payment(payment_id)?;
        self.fetch_refund_where(id, call, |refund| refund.payment_id == payment_id)
    }

    pub fn list_refunds(&self, call: &Call) -> Result<String, ApiError> {
        self.list_refunds_where(call, |_| true)
    }

    pub fn list_payment_refunds(&self, payment_id: &str, call: &Call) -> Result<String, ApiError> {
        self.check_payment(payment_id)?;
        self.list_refunds_where(call, |refund| refund.payment_id == payment_id)
    }

    fn check_payment(&self, id: &str) -> Result<(), ApiError> {
        check_id("pay", id)?;
        self.books.payments.get(id).map(|_| ()).ok_or_else(ApiError::no_such_id)
    }

    fn fetch_refund_where(&self, id: &str, call: &Call, wanted: impl Fn(&Refund) -> bool) -> Result<String, ApiError> {
        call.expect_bare(&[])?;
        check_id("rfnd", id)?;
        let refund = self.books.refunds.get(id).filter(|refund| wanted(refund)).ok_or_else(ApiError::no_such_id)?;
        Ok(to_json(&view(refund)))
    }

    fn list_refunds_where(&self, call: &Call, wanted: impl Fn(&Refund) -> bool) -> Result<String, ApiError> {
        let page = Page::of(&call.query, &[], self.switches.clamp_count)?;
        call.expect_no_body()?;
        let listed = |refund: &&Refund| self.is_listed(refund.created_ms) && wanted(refund);
        let found = page.collect(self.books.refunds.newest_first().filter(listed), |refund| refund.created_ms / 1_000);
        Ok(to_json(&Collection::of(found.into_iter().map(view).collect())))
    }

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
