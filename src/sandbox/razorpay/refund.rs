//! Refunds as they are printed, fetched and listed. How one is asked for is in `refund_create.rs`, how it goes on in
//! `refund_life.rs`.

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::error::ApiError;
use super::input::{Notes, Page, check_id};
use super::{Call, Collection, notes_as_printed, to_json};
use crate::sandbox::shelf::Labelled;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refund {
    pub id: String,
    pub created_ms: i64,
    pub payment_id: String,
    pub amount: i64,
    #[serde(default)]
    pub notes: Notes,
    #[serde(default)]
    pub receipt: Option<String>,
    #[serde(default)]
    pub status: Status,
    #[serde(default)]
    pub requested: Speed,
    /// How it goes, or went, once it was taken.
    #[serde(default)]
    pub processed: Speed,
    #[serde(default)]
    pub rrn: Option<String>,
    /// Whether the payment's `amount_refunded` holds it.
    #[serde(default = "yes")]
    pub counted: bool,
}

/// Refunds that were stored before they had a status were done at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    #[default]
    Processed,
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    #[default]
    Normal,
    /// `optimum` to whoever asks for it.
    Instant,
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
    #[serde(serialize_with = "notes_as_printed")]
    notes: &'a Notes,
    receipt: Option<&'a str>,
    acquirer_data: AcquirerData<'a>,
    created_at: i64,
    batch_id: Option<&'a str>,
    status: Status,
    speed_processed: Speed,
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
        notes: &refund.notes,
        receipt: refund.receipt.as_deref(),
        acquirer_data: AcquirerData { rrn: refund.rrn.as_deref() },
        created_at: refund.created_ms / 1_000,
        batch_id: None,
        status: refund.status,
        speed_processed: refund.processed,
        speed_requested: match refund.requested {
            Speed::Normal => "normal",
            Speed::Instant => "optimum",
        },
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
}

fn yes() -> bool {
    true
}
