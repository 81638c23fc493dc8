//! A mandate is asked for and decided on: the payment of its order, which the payer makes by approving it in his UPI app.
//!
//! Whoever lost an answer asks anew, so an order may have several such payments, each with a link of its own; one of them
//! is ever approved. What the payer has not decided on by the end of the order's day fails.

use super::desk::{Desk, Due, room_on};
use super::error::ApiError;
use super::event;
use super::input::{Fields, check_id};
use super::life::{Bill, failure, timed_out};
use super::order::Order;
use super::payment::{Payment, Status as PaymentStatus};
use super::token::{Status, Token};
use super::{Call, link, to_json};
use crate::sandbox::clock::{SECOND_MS, in_ist, ist};
use crate::sandbox::control::{ControlError, PayOptions};
use crate::sandbox::desk::Mandates;
use crate::sandbox::{ApprovalCourse, PayerAct};

/// From the link to a payer who approves by himself.
const STEP_MS: i64 = 30 * SECOND_MS;
const TEXT_LENGTH_MAX: usize = 2_048;

impl Desk<'_> {
    pub fn create_upi_payment(&mut self, call: &Call) -> Result<String, ApiError> {
        call.expect_no_query()?;
        room_on(&self.books.payments)?;
        const KNOWN: [&str; 14] = [
            "amount",
            "currency",
            "order_id",
            "email",
            "contact",
            "method",
            "upi",
            "ip",
            "referer",
            "user_agent",
            "description",
            "notes",
            "customer_id",
            "recurring",
        ];
        let fields = Fields::of(&call.body, &KNOWN)?;
        let (order_id, customer_id) = (required(&fields, "order_id")?, required(&fields, "customer_id")?);
        check_id("order", &order_id)?;
        self.check_customer(&customer_id)?;
        check_money_of_order(&fields, self.books.orders.get(&order_id).ok_or_else(ApiError::no_such_id)?)?;
        let (email, contact) = (required(&fields, "email")?, required(&fields, "contact")?);
        check_choice(&fields, "method", &["upi"])?;
        // Payments that set no mandate up are not made this way here.
        check_choice(&fields, "recurring", &["1", "preferred"])?;
        check_intent(&fields)?;
        for name in ["ip", "referer", "user_agent"] {
            fields.text(name, TEXT_LENGTH_MAX)?;
        }
        let (description, notes) = (fields.text("description", TEXT_LENGTH_MAX)?, fields.notes()?);
        let order = self.books.orders.get(&order_id).ok_or_else(ApiError::no_such_id)?;
        let Some(terms) = order.terms.clone() else {
            return Err(ApiError::on("order_id", "The order is not an order of a mandate."));
        };
        if order.customer_id.as_ref() != Some(&customer_id) {
            return Err(ApiError::on("customer_id", "The customer is not the one of the order."));
        }
        if self.now_ms >= deadline_ms(order) {
            return Err(ApiError::on("order_id", "A mandate is authorised on the day of its order."));
        }
        let bill = Bill { amount: order.amount, vpa: String::new(), qr_id: None, order_id: Some(order_id) };
        let payment = Payment {
            description,
            email: Some(email),
            contact: Some(contact),
            customer_id: Some(customer_id),
            notes,
            ..self.new_payment(bill)
        };
        let id = self.start_payment(payment);
        if self.switches.mandates.approvals == ApprovalCourse::ByThemselves {
            self.appoint(self.now_ms + STEP_MS, Due::PayerApproves(id.clone()));
        }
        let payment = self.books.payments.get(&id).ok_or_else(ApiError::trouble)?;
        let link = link::write_mandate(payment, &terms, self.account, self.now_ms);
        Ok(to_json(&serde_json::json!({ "razorpay_payment_id": id, "link": link })))
    }

    /// Puts a payment that nobody has decided on into the books. Answers its id.
    pub fn start_payment(&mut self, payment: Payment) -> String {
        let id = payment.id.clone();
        if let Some(order) = payment.order_id.as_ref().and_then(|order| self.books.orders.get_mut(order)) {
            order.attempts += 1;
        }
        self.books.payments.put(payment);
        id
    }

    /// Whether a payment sets a mandate up.
    pub fn is_authorization(&self, payment: &Payment) -> bool {
        let order = payment.order_id.as_ref().and_then(|order| self.books.orders.get(order));
        order.is_some_and(|order| order.terms.is_some())
    }

    /// The payer approves. One who failed may try again in his app, within the day.
    pub fn approve(&mut self, payment_id: &str) -> Result<(), ControlError> {
        let wrong = |state: &str| ControlError::WrongState { id: payment_id.to_owned(), state: state.to_owned() };
        let payment = self.books.payments.get(payment_id).ok_or_else(|| ControlError::NotFound(payment_id.to_owned()))?;
        if !matches!(payment.status, PaymentStatus::Created | PaymentStatus::Failed) {
            return Err(wrong("approved already"));
        }
        let order = payment.order_id.as_ref().and_then(|order| self.books.orders.get(order));
        let order = order.ok_or_else(|| ControlError::NotFound(payment_id.to_owned()))?;
        if self.now_ms >= deadline_ms(order) {
            return Err(wrong("past the day of its order"));
        }
        let approved = |other: &&Payment| {
            let arrived = matches!(other.status, PaymentStatus::Authorized | PaymentStatus::Captured | PaymentStatus::Refunded);
            arrived && other.order_id == payment.order_id
        };
        if self.books.payments.newest_first().find(approved).is_some() {
            return Err(wrong("of an order that another payment was approved for"));
        }
        let token_id = self.make_token(payment_id, Status::Confirmed)?;
        let mut news = Vec::new();
        self.succeed(payment_id, &mut news);
        news.extend(event::token("token.confirmed", self, &token_id));
        self.tell(news);
        Ok(())
    }

    pub fn reject(&mut self, payment_id: &str) -> Result<(), ControlError> {
        self.expect_payment(payment_id, |status| status == PaymentStatus::Created)?;
        let token_id = self.make_token(payment_id, Status::Rejected)?;
        let mut news = Vec::new();
        let text = "Payment was declined by the customer in the UPI app.";
        self.fail(payment_id, failure("GATEWAY_ERROR", text, "customer", "mandate_creation", "payment_declined"), &mut news);
        news.extend(event::token("token.rejected", self, &token_id));
        self.tell(news);
        Ok(())
    }

    /// Makes the token that a payment's decision brings, and writes it on the payment.
    fn make_token(&mut self, payment_id: &str, status: Status) -> Result<String, ControlError> {
        if self.books.tokens.is_full() {
            return Err(ControlError::Full);
        }
        let (id, secret) = (self.new_id("token"), self.dice.letters(14));
        let vpa = PayOptions::default().vpa().to_owned();
        let not_found = || ControlError::NotFound(payment_id.to_owned());
        let payment = self.books.payments.get_mut(payment_id).ok_or_else(not_found)?;
        let order = payment.order_id.as_ref().and_then(|order| self.books.orders.get(order)).ok_or_else(not_found)?;
        let (Some(terms), Some(customer_id)) = (order.terms.clone(), order.customer_id.clone()) else {
            return Err(not_found());
        };
        payment.vpa.clone_from(&vpa);
        payment.token_id = Some(id.clone());
        let (order_id, start_ms, created_ms) = (order.id.clone(), order.created_ms, self.now_ms);
        let token = Token {
            id: id.clone(),
            created_ms,
            customer_id,
            order_id,
            start_ms,
            secret,
            vpa,
            terms,
            status,
            forgotten: false,
            collected_ms: None,
        };
        self.books.tokens.put(token);
        Ok(id)
    }

    /// Approves by itself what nobody decided on meanwhile.
    pub fn payer_approves(&mut self, payment_id: &str) {
        if self.books.payments.get(payment_id).is_some_and(|payment| payment.status == PaymentStatus::Created) {
            // Refused where another payment of the order was approved, and then there is nothing to do.
            let _ = self.decide_mandate(payment_id, PayerAct::Approve);
        }
    }

    /// The day of a mandate's order is over: what waits for the payer fails.
    pub fn authorizations_lapse(&mut self, order_id: &str) {
        let waiting = self.books.payments.newest_first().filter(|payment| payment.status == PaymentStatus::Created);
        let waiting: Vec<_> =
            waiting.filter(|payment| payment.order_id.as_deref() == Some(order_id)).map(|payment| payment.id.clone()).collect();
        let mut news = Vec::new();
        for id in waiting {
            self.fail(&id, timed_out(), &mut news);
        }
        self.tell(news);
    }
}

/// One second before the order's day ends in India; from then on nothing is authorised for it.
pub fn deadline_ms(order: &Order) -> i64 {
    let end = in_ist(order.created_ms).date().at(23, 59, 59, 0).to_zoned(ist());
    end.map_or(i64::MAX, |end| end.timestamp().as_millisecond())
}

pub fn required(fields: &Fields<'_>, name: &str) -> Result<String, ApiError> {
    let text = fields.text(name, TEXT_LENGTH_MAX)?;
    text.ok_or_else(|| ApiError::on(name, format!("The {} field is required.", super::input::words(name))))
}

fn check_choice(fields: &Fields<'_>, name: &str, choices: &[&str]) -> Result<(), ApiError> {
    let value = fields.get(name).ok_or_else(|| ApiError::on(name, format!("The {name} field is required.")))?;
    match value.as_str().is_some_and(|value| choices.contains(&value)) {
        true => Ok(()),
        false => Err(ApiError::on(name, format!("The selected {name} is invalid."))),
    }
}

/// The amount and currency are the order's, and the order is not paid yet.
pub fn check_money_of_order(fields: &Fields<'_>, order: &Order) -> Result<(), ApiError> {
    let amount = fields.integer("amount")?.ok_or_else(|| ApiError::on("amount", "The amount field is required."))?;
    if required(fields, "currency")? != "INR" {
        return Err(ApiError::on("currency", "The selected currency is invalid."));
    }
    if order.is_paid() {
        let text = "Your payment has been declined as the order is already paid. Please initiate the payment with a new order.";
        return Err(ApiError::invalid(text));
    }
    if amount != order.amount {
        let text = "Your payment amount is different from your order amount. To pay successfully, please try using right amount.";
        return Err(ApiError::on("amount", text));
    }
    Ok(())
}

/// Collect requests are no more.
fn check_intent(fields: &Fields<'_>) -> Result<(), ApiError> {
    let upi = fields.get("upi").ok_or_else(|| ApiError::on("upi", "The upi field is required."))?;
    let upi = upi.as_object().ok_or_else(|| ApiError::on("upi", "The upi must be an array."))?;
    check_choice(&Fields::of(upi, &["flow"])?, "flow", &["intent"])
}
