//! Orders: create, fetch, list, their payments, their notes.

use serde::{Deserialize, Serialize};

use super::authorization::{deadline_ms, required};
use super::desk::{Desk, Due, room_on};
use super::error::ApiError;
use super::input::{AMOUNT_MAX, Fields, Notes, Page, check_id, parameter};
use super::notice::{self, Notice, NoticeView};
use super::payment::{PaymentForm, PaymentView, Status, view as view_payment};
use super::terms::Terms;
use super::{Call, Collection, notes_as_printed, to_json};
use crate::sandbox::shelf::Labelled;

const AMOUNT_MIN: i64 = 100;
const RECEIPT_LENGTH_MAX: usize = 40;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub created_ms: i64,
    pub amount: i64,
    pub paid: i64,
    pub receipt: Option<String>,
    pub attempts: u64,
    pub notes: Notes,
    pub partial: bool,
    pub auto_capture: Option<bool>,
    /// Whose mandate it sets up.
    #[serde(default)]
    pub customer_id: Option<String>,
    #[serde(default)]
    pub terms: Option<Terms>,
    /// What the payer is told before the debit that it is for.
    #[serde(default)]
    pub notice: Option<Notice>,
}

impl Labelled for Order {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Order {
    pub fn is_paid(&self) -> bool {
        self.paid >= self.amount
    }

    fn created_at(&self) -> i64 {
        self.created_ms / 1_000
    }
}

#[derive(Serialize)]
pub struct OrderView<'a> {
    id: &'a str,
    entity: &'static str,
    amount: i64,
    amount_paid: i64,
    amount_due: i64,
    currency: &'static str,
    receipt: Option<&'a str>,
    offer_id: Option<&'a str>,
    status: &'static str,
    attempts: u64,
    #[serde(serialize_with = "notes_as_printed")]
    notes: &'a Notes,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<NoticeView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payments: Option<Collection<PaymentView<'a>>>,
}

pub fn view(order: &Order) -> OrderView<'_> {
    OrderView {
        id: &order.id,
        entity: "order",
        amount: order.amount,
        amount_paid: order.paid,
        amount_due: order.amount - order.paid,
        currency: "INR",
        receipt: order.receipt.as_deref(),
        offer_id: None,
        status: match order.attempts {
            _ if order.is_paid() => "paid",
            0 => "created",
            _ => "attempted",
        },
        attempts: order.attempts,
        notes: &order.notes,
        created_at: order.created_at(),
        notification: order.notice.as_ref().map(notice::view),
        payments: None,
    }
}

impl Desk<'_> {
    pub fn create_order(&mut self, call: &Call) -> Result<String, ApiError> {
        call.expect_no_query()?;
        room_on(&self.books.orders)?;
        const KNOWN: [&str; 13] = [
            "amount",
            "currency",
            "receipt",
            "notes",
            "unique_receipt",
            "partial_payment",
            "first_payment_min_amount",
            "payment_capture",
            "payment",
            "method",
            "customer_id",
            "token",
            "notification",
        ];
        let fields = Fields::of(&call.body, &KNOWN)?;
        let amount = read_amount(&fields)?;
        check_currency(&fields)?;
        let (customer_id, terms) = self.read_mandate(&fields, amount)?.unzip();
        let receipt = fields.text("receipt", RECEIPT_LENGTH_MAX)?;
        let (notes, partial) = (fields.notes()?, fields.flag("partial_payment")?.unwrap_or(false));
        fields.integer("first_payment_min_amount")?;
        let auto_capture = read_capture(&fields)?;
        if let Some(first) = self.with_receipt(receipt.as_deref()) {
            if fields.flag("unique_receipt")?.unwrap_or(false) {
                return Ok(to_json(&view(first)));
            }
            if self.switches.receipts_unique {
                return Err(ApiError::on("receipt", "Order receipt should be unique."));
            }
        }
        fields.flag("unique_receipt")?;
        let notice = self.read_notice(&fields)?;
        let order = Order {
            id: self.new_id("order"),
            created_ms: self.now_ms,
            amount,
            paid: 0,
            receipt,
            attempts: 0,
            notes,
            partial,
            auto_capture,
            customer_id,
            terms,
            notice,
        };
        let answer = to_json(&view(&order));
        if order.terms.is_some() {
            self.appoint(deadline_ms(&order), Due::AuthorizationsLapse(order.id.clone()));
        }
        if order.notice.is_some() {
            self.send_notice(&order.id);
        }
        self.books.orders.put(order);
        Ok(answer)
    }

    /// Whose mandate an order sets up, and what the payer agrees to with it.
    fn read_mandate(&self, fields: &Fields<'_>, amount: i64) -> Result<Option<(String, Terms)>, ApiError> {
        let Some(token) = fields.get("token") else {
            // With other orders they belong to products that the account doesn't have.
            let sent = ["method", "customer_id"].into_iter().filter(|name| fields.get(name).is_some());
            let sent: Vec<_> = sent.map(str::to_owned).collect();
            return if sent.is_empty() { Ok(None) } else { Err(ApiError::not_required(&sent)) };
        };
        if fields.get("notification").is_some() {
            return Err(ApiError::not_required(&["notification".to_owned()]));
        }
        let token = token.as_object().ok_or_else(|| ApiError::on("token", "The token must be an array."))?;
        let token = Fields::of(token, &["max_amount", "expire_at", "frequency", "recurring_value", "recurring_type"])?;
        let customer_id = required(fields, "customer_id")?;
        self.check_customer(&customer_id)?;
        if required(fields, "method")? != "upi" {
            return Err(ApiError::on("method", "The selected method is invalid."));
        }
        let terms = Terms::read(&token, self.now())?;
        if amount > terms.max_amount {
            let text = "The order amount cannot be greater than the token max amount for upi recurring.";
            return Err(ApiError::on("amount", text));
        }
        Ok(Some((customer_id, terms)))
    }

    /// The first order with a receipt. Uniqueness knows no lag.
    fn with_receipt(&self, receipt: Option<&str>) -> Option<&Order> {
        let receipt = receipt?;
        self.books.orders.newest_first().filter(|order| order.receipt.as_deref() == Some(receipt)).last()
    }

    pub fn fetch_order(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_bare(&["expand[]"])?;
        check_id("order", id)?;
        let order = self.books.orders.get(id).ok_or_else(ApiError::no_such_id)?;
        Ok(to_json(&self.expand(order, call)))
    }

    pub fn list_orders(&mut self, call: &Call) -> Result<String, ApiError> {
        let page = Page::of(&call.query, &["authorized", "receipt", "expand[]"], self.switches.clamp_count)?;
        call.expect_no_body()?;
        let receipt = parameter(&call.query, "receipt");
        let authorized = match parameter(&call.query, "authorized") {
            None => None,
            Some("1" | "true") => Some(true),
            Some("0" | "false") => Some(false),
            Some(_) => {
                return Err(ApiError::on("authorized", "The selected authorized is invalid."));
            }
        };
        let wanted = |order: &&Order| {
            self.is_listed(order.created_ms)
                && receipt.is_none_or(|receipt| order.receipt.as_deref() == Some(receipt))
                && authorized.is_none_or(|yes| yes == self.has_authorized(order))
        };
        let found = page.collect(self.books.orders.newest_first().filter(wanted), |order| order.created_at());
        let views = found.into_iter().map(|order| self.expand(order, call)).collect();
        Ok(to_json(&Collection::of(views)))
    }

    fn has_authorized(&self, order: &Order) -> bool {
        let mut payments = self.books.payments.newest_first();
        payments.any(|payment| {
            let arrived = matches!(payment.status, Status::Authorized | Status::Captured | Status::Refunded);
            arrived && payment.order_id.as_ref() == Some(&order.id)
        })
    }

    fn expand<'o>(&'o self, order: &'o Order, call: &Call) -> OrderView<'o> {
        let wanted = call.query.iter().any(|(name, value)| name == "expand[]" && value.starts_with("payments"));
        let payments = || {
            let payments = self.books.payments.newest_first();
            let ours = payments.filter(|payment| payment.order_id.as_ref() == Some(&order.id));
            Collection::of(ours.map(|payment| view_payment(payment, PaymentForm::Answer)).collect())
        };
        OrderView { payments: wanted.then(payments), ..view(order) }
    }

    pub fn update_order(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        call.expect_no_query()?;
        check_id("order", id)?;
        let fields = Fields::of(&call.body, &["notes"])?;
        fields.get("notes").ok_or_else(|| ApiError::on("notes", "The notes field is required."))?;
        let notes = fields.notes()?;
        let order = self.books.orders.get_mut(id).ok_or_else(ApiError::no_such_id)?;
        order.notes = notes;
        Ok(to_json(&view(order)))
    }

    /// Whatever their status.
    pub fn list_order_payments(&mut self, id: &str, call: &Call) -> Result<String, ApiError> {
        check_id("order", id)?;
        self.books.orders.get(id).ok_or_else(ApiError::no_such_id)?;
        self.list_payments_where(call, &["expand[]"], PaymentForm::Answer, |payment| payment.order_id.as_deref() == Some(id))
    }
}

fn read_amount(fields: &Fields<'_>) -> Result<i64, ApiError> {
    match fields.integer("amount")? {
        None => Err(ApiError::on("amount", "The amount field is required.")),
        Some(..AMOUNT_MIN) => Err(ApiError::on("amount", "The amount must be at least INR 1.00")),
        Some(amount) if amount > AMOUNT_MAX => Err(ApiError::on("amount", "Amount exceeds maximum amount allowed.")),
        Some(amount) => Ok(amount),
    }
}

fn check_currency(fields: &Fields<'_>) -> Result<(), ApiError> {
    match fields.get("currency") {
        None => Err(ApiError::on("currency", "The currency field is required.")),
        Some(value) if !value.is_string() => Err(ApiError::invalid(format!("expected string but provided {value}"))),
        Some(currency) if currency == "INR" => Ok(()),
        Some(_) if fields.get("method").is_some_and(|method| method == "upi") => {
            Err(ApiError::on("currency", "The currency should be INR when method is upi"))
        }
        Some(_) => Err(ApiError::on("currency", "The selected currency is invalid.")),
    }
}

/// What the order says of capturing; none leaves it to the account.
fn read_capture(fields: &Fields<'_>) -> Result<Option<bool>, ApiError> {
    let flag = fields.flag("payment_capture")?;
    let Some(settings) = fields.get("payment") else {
        return Ok(flag);
    };
    let settings = settings.as_object().ok_or_else(|| ApiError::on("payment", "The payment must be an array."))?;
    let settings = Fields::of(settings, &["capture", "capture_options"])?;
    match settings.get("capture") {
        Some(capture) if capture == "automatic" => Ok(Some(true)),
        Some(capture) if capture == "manual" => Ok(Some(false)),
        Some(_) => Err(ApiError::on("capture", "The selected capture is invalid.")),
        None => Ok(flag),
    }
}
