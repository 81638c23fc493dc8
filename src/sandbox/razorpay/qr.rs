//! QR codes: create, fetch, list, change notes, close, expire.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::desk::{Desk, Due, room_on};
use super::error::ApiError;
use super::input::{AMOUNT_MAX, Fields, Notes, Page, TIME_MAX, TIME_MIN, check_id, parameter};
use super::{Call, Collection, event, link, notes_as_printed, to_json};
use crate::sandbox::shelf::Labelled;

const TEXT_LENGTH_MAX: usize = 2_048;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Qr {
    pub id: String,
    pub created_ms: i64,
    pub name: Option<String>,
    pub single_use: bool,
    /// The end of the picture's address.
    pub picture: String,
    pub payment_amount: Option<i64>,
    pub description: Option<String>,
    pub received: i64,
    pub payments: i64,
    pub notes: Notes,
    pub customer_id: Option<String>,
    pub close_by: Option<i64>,
    pub closed_at: Option<i64>,
    pub close_reason: Option<String>,
    pub tax_invoice: Option<Value>,
}

impl Labelled for Qr {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Qr {
    pub fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }

    pub fn close(&mut self, at: i64, reason: Option<&str>) {
        self.closed_at = Some(at);
        self.close_reason = reason.map(str::to_owned);
    }

    fn created_at(&self) -> i64 {
        self.created_ms / 1_000
    }
}

/// Where a QR entity is printed; the places differ in small ways.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum QrForm {
    Answer,
    /// Without `closed_at` and `close_reason`.
    CreationAnswer,
    Event,
    /// Without `closed_at` and `close_reason`, and `close_by` is a string of digits.
    CreationEvent,
}

#[derive(Serialize)]
pub struct QrView<'a> {
    id: &'a str,
    entity: &'static str,
    created_at: i64,
    name: Option<&'a str>,
    usage: &'static str,
    r#type: &'static str,
    image_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_content: Option<String>,
    payment_amount: Option<i64>,
    status: &'static str,
    description: Option<&'a str>,
    fixed_amount: bool,
    payments_amount_received: i64,
    payments_count_received: i64,
    #[serde(serialize_with = "notes_as_printed")]
    notes: &'a Notes,
    customer_id: Option<&'a str>,
    close_by: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<Option<i64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close_reason: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tax_invoice: Option<&'a Value>,
}

impl Desk<'_> {
    pub fn view_qr<'q>(&self, qr: &'q Qr, form: QrForm) -> QrView<'q> {
        let made = matches!(form, QrForm::CreationAnswer | QrForm::CreationEvent);
        let answer = matches!(form, QrForm::Answer | QrForm::CreationAnswer);
        let digits = |at: i64| {
            if form == QrForm::CreationEvent { at.to_string().into() } else { at.into() }
        };
        let content = || link::write(qr, self.account);
        QrView {
            id: &qr.id,
            entity: "qr_code",
            created_at: qr.created_at(),
            name: qr.name.as_deref(),
            usage: if qr.single_use { "single_use" } else { "multiple_use" },
            r#type: "upi_qr",
            image_url: format!("{}/i/{}", self.base_url, qr.picture),
            image_content: (answer && self.switches.image_content).then(content),
            payment_amount: qr.payment_amount,
            status: if qr.is_closed() { "closed" } else { "active" },
            description: qr.description.as_deref(),
            fixed_amount: qr.payment_amount.is_some(),
            payments_amount_received: qr.received,
            payments_count_received: qr.payments,
            notes: &qr.notes,
            customer_id: qr.customer_id.as_deref(),
            close_by: qr.close_by.map(digits),
            closed_at: (!made).then_some(qr.closed_at),
            close_reason: (!made).then_some(qr.close_reason.as_deref()),
            tax_invoice: qr.tax_invoice.as_ref(),
        }
    }

    pub fn create_qr(&mut self, call: &Call) -> Result<String, ApiError> {
        call.expect_no_query()?;
        room_on(&self.books.qrs)?;
        let qr = self.read_qr(&call.body)?;
        if let Some(close_by) = qr.close_by {
            self.appoint(close_by * 1_000, Due::QrExpires(qr.id.clone()));
        }
        let answer = to_json(&self.view_qr(&qr, QrForm::CreationAnswer));
        let news = event::qr_created(self, &qr);
        self.books.qrs.put(qr);
        self.tell(vec![news]);
        Ok(answer)
    }

    /// Checks the whole request; draws an id only when all is well.
    fn read_qr(&mut self, body: &Map<String, Value>) -> Result<Qr, ApiError> {
        const KNOWN: [&str; 10] =
            ["type", "usage", "name", "fixed_amount", "payment_amount", "description", "customer_id", "close_by", "notes", "tax_invoice"];
        let fields = Fields::of(body, &KNOWN)?;
        match fields.get("type") {
            None => return Err(ApiError::on("type", "The type is required.")),
            Some(kind) if kind == "upi_qr" => (),
            Some(_) => return Err(ApiError::on("type", "The selected type is invalid.")),
        }
        let single_use = match fields.get("usage") {
            Some(usage) if usage == "single_use" => true,
            Some(usage) if usage == "multiple_use" => false,
            Some(_) => return Err(ApiError::on("usage", "The selected usage is invalid.")),
            None => false,
        };
        let payment_amount = self.read_amount(&fields, single_use)?;
        let (name, description) = (fields.text("name", TEXT_LENGTH_MAX)?, fields.text("description", TEXT_LENGTH_MAX)?);
        let customer_id = fields.text("customer_id", TEXT_LENGTH_MAX)?;
        if let Some(customer) = &customer_id {
            check_id("cust", customer)?;
            self.books.customers.get(customer).ok_or_else(ApiError::no_such_id)?;
        }
        let close_by = self.read_close_by(&fields, single_use)?;
        let notes = fields.notes()?;
        let tax_invoice = fields.get("tax_invoice").map(read_tax_invoice).transpose()?;
        Ok(Qr {
            id: self.new_id("qr"),
            created_ms: self.now_ms,
            name,
            single_use,
            picture: self.dice.letters(8),
            payment_amount,
            description,
            received: 0,
            payments: 0,
            notes,
            customer_id,
            close_by,
            closed_at: None,
            close_reason: None,
            tax_invoice,
        })
    }

    fn read_amount(&self, fields: &Fields<'_>, single_use: bool) -> Result<Option<i64>, ApiError> {
        let fixed = fields.flag("fixed_amount")?.unwrap_or(false);
        if single_use && !fixed {
            let text = self.switches.single_use_text.as_deref();
            return Err(ApiError::on("fixed_amount", text.unwrap_or("The selected fixed amount is invalid.")));
        }
        match (fixed, fields.integer("payment_amount")?) {
            (true, None) => Err(ApiError::on("payment_amount", "The payment amount is required.")),
            (true, Some(..1)) => Err(ApiError::on("payment_amount", "The payment amount must be at least 1.")),
            (true, Some(amount)) if amount > AMOUNT_MAX => Err(ApiError::on("payment_amount", "Amount exceeds maximum amount allowed.")),
            (true, amount) => Ok(amount),
            (false, None) => Ok(None),
            (false, Some(_)) => Err(ApiError::not_required(&["payment_amount".to_owned()])),
        }
    }

    fn read_close_by(&self, fields: &Fields<'_>, single_use: bool) -> Result<Option<i64>, ApiError> {
        let wrong = || ApiError::on("close_by", "close_by must be an integer.");
        let asked = fields.get("close_by").map(|value| value.as_i64().ok_or_else(wrong)).transpose()?;
        if !single_use {
            return match asked {
                Some(_) if !self.switches.close_by_ignored_on_multiple_use => Err(ApiError::not_required(&["close_by".to_owned()])),
                _ => Ok(None),
            };
        }
        if asked.is_some_and(|at| !(TIME_MIN..=TIME_MAX).contains(&at)) {
            return Err(ApiError::on("close_by", format!("close_by must be between {TIME_MIN} and {TIME_MAX}")));
        }
        let older = self.switches.older_close_by;
        let (least, most) = if older { (15 * MINUTE, 45 * DAY) } else { (2 * MINUTE, 2 * HOUR) };
        let latest = self.now() + most;
        match asked {
            Some(at) if at < self.now() + least => {
                let minutes = least / MINUTE;
                let text = format!("close_by should be at least {minutes} minutes after current time");
                Err(ApiError::on("close_by", text))
            }
            Some(at) if older && at > latest.min(i64::from(i32::MAX)) => {
                Err(ApiError::on("close_by", format!("close_by should not be greater than {latest}")))
            }
            // The newer rules answer a time that is too far with the farthest.
            Some(at) => Ok(Some(at.min(latest))),
            None => Ok(Some(latest)),
        }
    }

    pub fn fetch_qr(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_bare(&[])?;
        check_id("qr", id)?;
        self.expire_qr(id, true);
        let qr = self.books.qrs.get(id).ok_or_else(ApiError::no_such_id)?;
        Ok(to_json(&self.view_qr(qr, QrForm::Answer)))
    }

    pub fn list_qrs(&mut self, call: &Call) -> Result<String, ApiError> {
        let page = Page::of(&call.query, &["customer_id", "payment_id"], self.switches.clamp_count)?;
        call.expect_no_body()?;
        let customer = parameter(&call.query, "customer_id");
        customer.map_or(Ok(()), |id| check_id("cust", id))?;
        let payment = parameter(&call.query, "payment_id");
        payment.map_or(Ok(()), |id| check_id("pay", id))?;
        // A payment that came through no code, or that lists don't show yet, finds nothing.
        let through = payment.map(|id| {
            let payment = self.books.payments.get(id).filter(|payment| self.is_listed(payment.created_ms));
            payment.and_then(|payment| payment.qr_id.clone())
        });
        let wanted = |qr: &&Qr| {
            self.is_listed(qr.created_ms)
                && customer.is_none_or(|id| qr.customer_id.as_deref() == Some(id))
                && through.as_ref().is_none_or(|found| found.as_ref() == Some(&qr.id))
        };
        let found = page.collect(self.books.qrs.newest_first().filter(wanted), |qr| qr.created_at());
        let views = found.into_iter().map(|qr| self.view_qr(qr, QrForm::Answer)).collect();
        Ok(to_json(&Collection::of(views)))
    }

    pub fn update_qr(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_no_query()?;
        check_id("qr", id)?;
        let fields = Fields::of(&call.body, &["notes"])?;
        fields.get("notes").ok_or_else(|| ApiError::on("notes", "The notes field is required."))?;
        let notes = fields.notes()?;
        self.books.qrs.get_mut(id).ok_or_else(ApiError::no_such_id)?.notes = notes;
        let qr = self.books.qrs.get(id).ok_or_else(ApiError::no_such_id)?;
        Ok(to_json(&self.view_qr(qr, QrForm::Answer)))
    }

    pub fn close_qr(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_bare(&[])?;
        check_id("qr", id)?;
        self.expire_qr(id, true);
        let now = self.now();
        let qr = self.books.qrs.get_mut(id).ok_or_else(ApiError::no_such_id)?;
        if qr.is_closed() {
            if !self.switches.closing_closed_succeeds {
                return Err(ApiError::invalid("The QR code is already closed."));
            }
        } else {
            qr.close(now, Some("on_demand"));
            let qr = self.books.qrs.get(id).ok_or_else(ApiError::no_such_id)?;
            let news = event::qr_closed(self, qr);
            self.tell(vec![news]);
        }
        let qr = self.books.qrs.get(id).ok_or_else(ApiError::no_such_id)?;
        Ok(to_json(&self.view_qr(qr, QrForm::Answer)))
    }

    /// Closes a code that is past its time: without a reason, and nobody is told.
    pub fn expire_qr(&mut self, id: &str, fetched: bool) {
        let now = self.now();
        if self.switches.expires_when_fetched && !fetched {
            return;
        }
        let Some(qr) = self.books.qrs.get_mut(id).filter(|qr| !qr.is_closed()) else {
            return;
        };
        if let Some(close_by) = qr.close_by.filter(|close_by| *close_by <= now) {
            qr.close(close_by, None);
        }
    }
}

fn read_tax_invoice(value: &Value) -> Result<Value, ApiError> {
    const KNOWN: [&str; 7] = ["number", "date", "customer_name", "business_gstin", "gst_amount", "cess_amount", "supply_type"];
    let object = value.as_object().ok_or_else(|| ApiError::on("tax_invoice", "The tax invoice must be an array."))?;
    let fields = Fields::of(object, &KNOWN)?;
    match fields.get("supply_type") {
        Some(kind) if kind != "interstate" && kind != "intrastate" => {
            Err(ApiError::on("supply_type", "The selected supply type is invalid."))
        }
        _ => Ok(value.clone()),
    }
}
