//! Debits by a mandate: asked for, and collected or refused by the payer's bank.
//!
//! Only the flow where the merchant has the notice sent and debits by himself is there. In the other one the provider
//! notifies, waits and tries three times, all by itself, and the merchant has no say in when.

use super::authorization::{check_money_of_order, required};
use super::desk::{Desk, Due, room_on};
use super::error::ApiError;
use super::input::{Fields, check_id};
use super::life::{Bill, failure as failure_of};
use super::payment::{Failure, Payment, Status as PaymentStatus};
use super::token::{Status, Token};
use super::{Call, to_json};
use crate::sandbox::DebitCourse;
use crate::sandbox::clock::{DAY_MS, SECOND_MS, in_ist};

/// From the request to the bank's answer.
const STEP_MS: i64 = 30 * SECOND_MS;
/// From the delivery of a notice to its debit.
const NOTICE_MS: i64 = DAY_MS;
const TEXT_LENGTH_MAX: usize = 2_048;
/// In these minutes of an Indian day UPI makes no debits by mandate: from the first, and before the second.
const PEAK_MINUTES: [(i16, i16); 2] = [(10 * 60, 13 * 60), (17 * 60, 21 * 60 + 30)];

impl Desk<'_> {
    pub fn create_recurring_payment(&mut self, call: &Call) -> Result<String, ApiError> {
        call.expect_no_query()?;
        room_on(&self.books.payments)?;
        const KNOWN: [&str; 10] =
            ["email", "contact", "amount", "currency", "order_id", "customer_id", "token", "recurring", "description", "notes"];
        let fields = Fields::of(&call.body, &KNOWN)?;
        let (email, contact) = (required(&fields, "email")?, required(&fields, "contact")?);
        let (order_id, customer_id) = (required(&fields, "order_id")?, required(&fields, "customer_id")?);
        let token_id = required(&fields, "token")?;
        match fields.get("recurring") {
            None => return Err(ApiError::on("recurring", "The recurring field is required.")),
            // Older samples send text.
            Some(recurring) if *recurring == true || *recurring == "1" => (),
            Some(_) => return Err(ApiError::on("recurring", "The selected recurring is invalid.")),
        }
        let (description, notes) = (fields.text("description", TEXT_LENGTH_MAX)?, fields.notes()?);
        check_id("order", &order_id)?;
        check_id("token", &token_id)?;
        self.check_customer(&customer_id)?;
        let order = self.books.orders.get(&order_id).ok_or_else(ApiError::no_such_id)?;
        check_money_of_order(&fields, order)?;
        // One that expired is found: what the documentation has for it is the reason of a payment that failed.
        let known = |token: &&Token| token.customer_id == customer_id && !token.forgotten;
        let token = self.books.tokens.get(&token_id).filter(known).ok_or_else(ApiError::no_such_id)?;
        let Some(notice) = &order.notice else {
            return Err(ApiError::on("order_id", "The order has no notification."));
        };
        if notice.token_id != token_id {
            return Err(ApiError::on("token", "The token is not the one of the order's notification."));
        }
        let bill = Bill { amount: order.amount, vpa: token.vpa.clone(), qr_id: None, order_id: Some(order_id.clone()) };
        let payment = Payment {
            description,
            email: Some(email),
            contact: Some(contact),
            customer_id: Some(customer_id),
            token_id: Some(token_id),
            notes,
            ..self.new_payment(bill)
        };
        let refused = self.refusal(&payment).is_some();
        let id = self.start_payment(payment);
        if refused || self.switches.mandates.debits != DebitCourse::WhenTold {
            self.appoint(self.now_ms + STEP_MS, Due::DebitEnds(id.clone()));
        }
        Ok(to_json(&serde_json::json!({ "razorpay_payment_id": id, "razorpay_order_id": order_id })))
    }

    /// Whether a payment is made by a mandate rather than setting one up.
    pub fn is_debit(&self, payment: &Payment) -> bool {
        payment.token_id.is_some() && !self.is_authorization(payment)
    }

    /// The bank answers by itself.
    pub fn debit_ends(&mut self, id: &str) {
        let Some(payment) = self.books.payments.get(id).filter(|payment| payment.status == PaymentStatus::Created) else {
            return;
        };
        match (self.refusal(payment), &self.switches.mandates.debits) {
            (Some(reason), _) => self.fail_debit(id, reason),
            (None, DebitCourse::ByThemselves) => self.collect_debit(id),
            (None, DebitCourse::Fail { reason }) => self.fail_debit(id, &reason.clone()),
            (None, DebitCourse::WhenTold) => (),
        }
    }

    /// Be it late.
    pub fn collect_debit(&mut self, id: &str) {
        let Some(payment) = self.books.payments.get(id) else {
            return;
        };
        let (asked_ms, token_id) = (payment.created_ms, payment.token_id.clone());
        if let Some(token) = token_id.and_then(|token| self.books.tokens.get_mut(&token)) {
            token.collected_ms = token.collected_ms.max(Some(asked_ms));
        }
        let mut news = Vec::new();
        self.succeed(id, &mut news);
        self.tell(news);
    }

    pub fn fail_debit(&mut self, id: &str, reason: &str) {
        let mut news = Vec::new();
        self.fail(id, failure(reason), &mut news);
        self.tell(news);
    }

    /// Why a debit is refused whatever the payer has, in the provider's word. Its own time counts for what must have
    /// passed by then, the present state of the mandate for the rest.
    fn refusal(&self, payment: &Payment) -> Option<&'static str> {
        let order = payment.order_id.as_ref().and_then(|order| self.books.orders.get(order))?;
        let token = payment.token_id.as_ref().and_then(|token| self.books.tokens.get(token))?;
        if order.is_paid() {
            return Some("order_already_paid");
        }
        if token.is_expired(self.now_ms) {
            return Some("mandate_expired");
        }
        match token.status {
            Status::Confirmed => (),
            Status::Paused => return Some("mandate_paused"),
            Status::CancellationInitiated | Status::Cancelled => return Some("mandate_cancelled"),
            Status::Rejected => return Some("mandate_not_active"),
        }
        let delivered_ms = order.notice.as_ref().and_then(|notice| notice.delivered_ms());
        if delivered_ms.is_none_or(|delivered_ms| payment.created_ms < delivered_ms + NOTICE_MS) {
            // Listed for authorisations alone; the reasons of debits have none that is nearer.
            return Some("pre_debit_notification_failed");
        }
        if payment.amount > token.terms.max_amount {
            return Some("amount_does_not_match_mandate_amount");
        }
        if self.switches.mandates.bank_enforces_rules { breach(payment, token) } else { None }
    }
}

/// The rule of UPI or of the mandate that a debit breaks.
fn breach(payment: &Payment, token: &Token) -> Option<&'static str> {
    let at = in_ist(payment.created_ms);
    let minute = i16::from(at.hour()) * 60 + i16::from(at.minute());
    if PEAK_MINUTES.iter().any(|(from, before)| (*from..*before).contains(&minute)) {
        // A general reason: those of debits don't speak of hours.
        return Some("payment_declined_due_to_high_traffic");
    }
    if !token.terms.permit(at.date()) {
        return Some("execution_day_rule_mismatch");
    }
    let collected = token.collected_ms.map(|asked_ms| in_ist(asked_ms).date());
    let used = collected.is_some_and(|collected| token.terms.share_cycle(collected, at.date()));
    used.then_some("mandate_current_cycle_allowed_debit_exceeds")
}

/// A failed debit. Which code, source and step go with a reason is said nowhere; the code is that of the general list where
/// the reason stands there.
pub fn failure(reason: &str) -> Failure {
    const OF_GATEWAY: [&str; 10] = [
        "bank_not_available",
        "credit_to_beneficiary_failed",
        "debit_declined",
        "gateway_technical_error",
        "invalid_response_from_gateway",
        "payment_declined_due_to_high_traffic",
        "payment_pending",
        "psp_not_available",
        "request_timed_out",
        "vpa_resolution_failed",
    ];
    let code = if OF_GATEWAY.contains(&reason) { "GATEWAY_ERROR" } else { "BAD_REQUEST_ERROR" };
    let text = "Payment was unsuccessful due to a temporary issue. If amount got deducted, it will be refunded within 5-7 working days.";
    failure_of(code, text, "issuer_bank", "payment_debit_request", reason)
}
