//! Payments as they are printed, fetched, listed and captured. How they come to be is in `life.rs`.

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::error::ApiError;
use super::input::{Fields, Notes, Page, check_id};
use super::{Call, Collection, notes_as_printed, to_json};
use crate::sandbox::shelf::Labelled;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payment {
    pub id: String,
    pub created_ms: i64,
    pub amount: i64,
    pub status: Status,
    pub order_id: Option<String>,
    /// Not printed anywhere: the service has no link from a payment back to its code but a search.
    pub qr_id: Option<String>,
    pub amount_refunded: i64,
    pub captured: bool,
    pub description: Option<String>,
    /// Empty until it is known who pays.
    pub vpa: String,
    pub email: Option<String>,
    pub contact: Option<String>,
    pub customer_id: Option<String>,
    /// The mandate that it debits, or that came of it.
    #[serde(default)]
    pub token_id: Option<String>,
    pub notes: Notes,
    pub fee: Option<i64>,
    pub tax: Option<i64>,
    pub failure: Option<Failure>,
    pub rrn: Option<String>,
    pub upi_transaction_id: Option<String>,
    /// The ids of its refunds, oldest first.
    #[serde(default)]
    pub refunds: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Created,
    Authorized,
    Captured,
    Refunded,
    Failed,
}

/// Why a payment failed, in the words of the error fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub description: String,
    pub source: String,
    pub step: String,
    pub reason: String,
}

impl Labelled for Payment {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Payment {
    pub fn created_at(&self) -> i64 {
        self.created_ms / 1_000
    }
}

/// Where a payment entity is printed; the places differ in small ways.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PaymentForm {
    Answer,
    /// In the list of a QR code's payments: notes are empty there.
    OfQr,
    /// In `payment.authorized` and `payment.failed`.
    Event,
    /// In events from the capture on: with `base_amount` and `amount_transferred`.
    CapturedEvent,
    /// In `qr_code.credited`: without `upi`.
    Credited,
}

#[derive(Serialize)]
pub struct PaymentView<'a> {
    id: &'a str,
    entity: &'static str,
    amount: i64,
    currency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_amount: Option<i64>,
    status: Status,
    order_id: Option<&'a str>,
    invoice_id: Option<&'a str>,
    international: bool,
    method: &'static str,
    amount_refunded: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_transferred: Option<i64>,
    refund_status: Option<&'static str>,
    captured: bool,
    description: Option<&'a str>,
    card_id: Option<&'a str>,
    bank: Option<&'a str>,
    wallet: Option<&'a str>,
    vpa: Option<&'a str>,
    email: Option<&'a str>,
    contact: Option<&'a str>,
    #[serde(serialize_with = "shown_notes")]
    notes: Option<&'a Notes>,
    fee: Option<i64>,
    tax: Option<i64>,
    error_code: Option<&'a str>,
    error_description: Option<&'a str>,
    error_source: Option<&'a str>,
    error_step: Option<&'a str>,
    error_reason: Option<&'a str>,
    acquirer_data: AcquirerData<'a>,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upi: Option<Upi<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AcquirerData<'a> {
    rrn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upi_transaction_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Upi<'a> {
    payer_account_type: &'static str,
    vpa: Option<&'a str>,
    flow: &'static str,
}

pub fn view(payment: &Payment, form: PaymentForm) -> PaymentView<'_> {
    let failure = payment.failure.as_ref();
    let in_answer = matches!(form, PaymentForm::Answer | PaymentForm::OfQr);
    let vpa = Some(payment.vpa.as_str()).filter(|vpa| !vpa.is_empty());
    let from_capture = form == PaymentForm::CapturedEvent;
    PaymentView {
        id: &payment.id,
        entity: "payment",
        amount: payment.amount,
        currency: "INR",
        base_amount: from_capture.then_some(payment.amount),
        status: payment.status,
        order_id: payment.order_id.as_deref(),
        invoice_id: None,
        international: false,
        method: "upi",
        amount_refunded: payment.amount_refunded,
        amount_transferred: from_capture.then_some(0),
        refund_status: match payment.amount_refunded {
            0 => None,
            refunded if refunded < payment.amount => Some("partial"),
            _ => Some("full"),
        },
        captured: payment.captured,
        description: payment.description.as_deref(),
        card_id: None,
        bank: None,
        wallet: None,
        vpa,
        email: payment.email.as_deref(),
        contact: payment.contact.as_deref(),
        notes: (form != PaymentForm::OfQr).then_some(&payment.notes),
        fee: payment.fee,
        tax: payment.tax,
        error_code: failure.map(|failure| failure.code.as_str()),
        error_description: failure.map(|failure| failure.description.as_str()),
        error_source: failure.map(|failure| failure.source.as_str()),
        error_step: failure.map(|failure| failure.step.as_str()),
        error_reason: failure.map(|failure| failure.reason.as_str()),
        acquirer_data: AcquirerData {
            rrn: payment.rrn.as_deref(),
            upi_transaction_id: payment.upi_transaction_id.as_deref().filter(|_| in_answer),
        },
        created_at: payment.created_at(),
        upi: (form != PaymentForm::Credited).then_some(Upi { payer_account_type: "bank_account", vpa, flow: "intent" }),
        customer_id: payment.customer_id.as_deref(),
        token_id: payment.token_id.as_deref(),
    }
}

impl Desk<'_> {
    pub fn fetch_payment(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_bare(&["expand[]"])?;
        check_id("pay", id)?;
        let payment = self.books.payments.get(id).ok_or_else(ApiError::no_such_id)?;
        Ok(to_json(&view(payment, PaymentForm::Answer)))
    }

    pub fn list_payments(&mut self, call: &Call) -> Result<String, ApiError> {
        self.list_payments_where(call, &["expand[]"], PaymentForm::Answer, |_| true)
    }

    pub fn list_qr_payments(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        check_id("qr", id)?;
        self.books.qrs.get(id).ok_or_else(ApiError::no_such_id)?;
        // Nothing says that failed attempts are left out, so a reader has to look at the status.
        self.list_payments_where(call, &[], PaymentForm::OfQr, |payment| payment.qr_id.as_deref() == Some(id))
    }

    pub fn list_payments_where(
        &self,
        call: &Call,
        parameters: &[&str],
        form: PaymentForm,
        wanted: impl Fn(&Payment) -> bool,
    ) -> Result<String, ApiError> {
        let page = Page::of(&call.query, parameters, self.switches.clamp_count)?;
        call.expect_no_body()?;
        let listed = |payment: &&Payment| self.is_listed(payment.created_ms) && wanted(payment);
        let found = page.collect(self.books.payments.newest_first().filter(listed), |payment| payment.created_at());
        Ok(to_json(&Collection::of(found.into_iter().map(|payment| view(payment, form)).collect())))
    }

    pub fn update_payment(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_no_query()?;
        check_id("pay", id)?;
        let fields = Fields::of(&call.body, &["notes"])?;
        fields.get("notes").ok_or_else(|| ApiError::on("notes", "The notes field is required."))?;
        let notes = fields.notes()?;
        let payment = self.books.payments.get_mut(id).ok_or_else(ApiError::no_such_id)?;
        payment.notes = notes;
        Ok(to_json(&view(payment, PaymentForm::Answer)))
    }

    pub fn capture_payment(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_no_query()?;
        check_id("pay", id)?;
        let fields = Fields::of(&call.body, &["amount", "currency"])?;
        for name in ["amount", "currency"] {
            let text = "Could not validate payment capture request due to";
            fields.get(name).ok_or_else(|| ApiError::on(name, format!("{text}: {name}: cannot be blank.")))?;
        }
        let (amount, currency) = (fields.integer("amount")?, fields.text("currency", 3)?);
        let payment = self.books.payments.get(id).ok_or_else(ApiError::no_such_id)?;
        let refused = match payment.status {
            Status::Captured | Status::Refunded => Some("The payment has already been either captured or voided."),
            Status::Created | Status::Failed => Some("Only payments which have been authorized and not yet captured can be captured."),
            Status::Authorized if currency.as_deref() != Some("INR") => Some("Capture request currency must be same as payment currency."),
            Status::Authorized if amount != Some(payment.amount) => Some("Capture amount must be equal to the amount authorized"),
            Status::Authorized if self.is_order_paid(payment) => {
                Some("Your payment has been declined as the order is already paid. Please initiate the payment with a new order.")
            }
            Status::Authorized => None,
        };
        if let Some(text) = refused {
            return Err(ApiError::invalid(text));
        }
        let mut news = Vec::new();
        self.capture(id, &mut news);
        self.tell(news);
        let payment = self.books.payments.get(id).ok_or_else(ApiError::no_such_id)?;
        Ok(to_json(&view(payment, PaymentForm::Answer)))
    }
}

fn shown_notes<S: serde::Serializer>(notes: &Option<&Notes>, to: S) -> Result<S::Ok, S::Error> {
    match notes {
        Some(notes) => notes_as_printed(notes, to),
        None => to.collect_seq(std::iter::empty::<()>()),
    }
}
