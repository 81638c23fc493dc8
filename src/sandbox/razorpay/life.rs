//! The life of a payment: made by a payer, authorised or failed by the bank, captured, refunded by
//! itself. `failed` is not final: a late success turns it into `authorized`, with the same id.

use super::desk::{Desk, Due};
use super::event;
use super::payment::{Failure, Payment, Status};
use super::settlement::Item;
use crate::sandbox::Outcome;
use crate::sandbox::clock::{DAY_MS, MINUTE_MS};
use crate::sandbox::webhooks::News;

/// A payment without an answer from the bank fails after this.
const ANSWER_LIMIT_MS: i64 = 10 * MINUTE_MS;
/// The bank is polled, and an authorised payment waits for its capture, this long from creation.
const LATE_LIMIT_MS: i64 = 3 * DAY_MS;

/// What somebody pays, and with what.
pub struct Bill {
    pub amount: i64,
    pub vpa: String,
    pub qr_id: Option<String>,
    pub order_id: Option<String>,
}

impl Desk<'_> {
    /// A payer pays. Whether he may was checked before.
    pub fn pay(&mut self, bill: Bill, outcome: Outcome) -> String {
        let payment = self.new_payment(bill);
        let id = payment.id.clone();
        if let Some(order) = payment.order_id.as_ref().and_then(|order| self.books.orders.get_mut(order)) {
            order.attempts += 1;
        }
        self.books.payments.put(payment);
        let mut news = Vec::new();
        match outcome {
            Outcome::Pending => self.appoint(self.now_ms + ANSWER_LIMIT_MS, Due::PaymentTimesOut(id.clone())),
            Outcome::Failed => self.fail(&id, declined(), &mut news),
            Outcome::Authorized => self.authorize(&id, &mut news),
            Outcome::Captured => {
                self.authorize(&id, &mut news);
                self.capture(&id, &mut news);
            }
        }
        self.tell(news);
        id
    }

    pub fn new_payment(&mut self, bill: Bill) -> Payment {
        let Bill { amount, vpa, qr_id, order_id } = bill;
        let id = self.new_id("pay");
        let qr = qr_id.as_ref().and_then(|qr| self.books.qrs.get(qr));
        let customer_id = qr.and_then(|qr| qr.customer_id.clone());
        let customer = customer_id.as_ref().and_then(|customer| self.books.customers.get(customer));
        let order = order_id.as_ref().and_then(|order| self.books.orders.get(order));
        Payment {
            id,
            created_ms: self.now_ms,
            amount,
            status: Status::Created,
            amount_refunded: 0,
            captured: false,
            description: qr.map(|_| "QRv2 Payment".to_owned()),
            vpa,
            email: customer.map_or_else(|| order.map(|_| "void@razorpay.com".to_owned()), |who| who.email.clone()),
            contact: customer.map_or_else(|| order.map(|_| "+919000000001".to_owned()), |who| who.contact.clone()),
            customer_id,
            token_id: None,
            notes: qr.map(|qr| qr.notes.clone()).unwrap_or_default(),
            fee: None,
            tax: None,
            failure: None,
            rrn: None,
            upi_transaction_id: None,
            qr_id,
            order_id,
            refunds: Vec::new(),
        }
    }

    /// The bank says yes, be it late.
    pub fn authorize(&mut self, id: &str, news: &mut Vec<News>) {
        let (rrn, transaction) = (self.dice.rrn(self.now_ms), self.dice.hex());
        let Some(payment) = self.books.payments.get_mut(id) else {
            return;
        };
        payment.status = Status::Authorized;
        payment.failure = None;
        payment.rrn = Some(rrn);
        payment.upi_transaction_id = Some(transaction);
        let lapses_at = payment.created_ms.saturating_add(LATE_LIMIT_MS);
        let told = event::payment_authorized(self, id);
        self.tell_of_payment(id, told, news);
        self.appoint(lapses_at, Due::PaymentLapses(id.to_owned()));
        let payment = self.books.payments.get(id);
        if payment.is_some_and(|payment| self.is_order_paid(payment)) {
            self.refund_by_itself(id, news);
        }
    }

    /// Captures an authorised payment and counts it where it belongs.
    pub fn capture(&mut self, id: &str, news: &mut Vec<News>) {
        let now = self.now();
        let Some(payment) = self.books.payments.get_mut(id) else {
            return;
        };
        if payment.status != Status::Authorized {
            return;
        }
        payment.status = Status::Captured;
        payment.captured = true;
        // Two percent and the tax on it for orders; QR payments cost nothing in the samples.
        let costs = payment.order_id.is_some() || self.switches.qr_fees;
        let base = if costs { payment.amount * 2 / 100 } else { 0 };
        let tax = base * 18 / 100;
        (payment.fee, payment.tax) = (Some(base + tax), Some(tax));
        let (amount, order_id, qr_id) = (payment.amount, payment.order_id.clone(), payment.qr_id.clone());
        let told = event::payment_captured(self, id);
        self.tell_of_payment(id, told, news);
        self.await_settlement(Item::Payment(id.to_owned()));

        if let Some(order) = order_id.and_then(|order| self.books.orders.get_mut(&order)) {
            order.paid += amount;
            if order.is_paid() {
                news.extend(event::order_paid(self, id));
            }
        }
        let Some(qr_id) = qr_id else { return };
        self.expire_qr(&qr_id, true);
        if self.books.qrs.get(&qr_id).is_none_or(|qr| qr.is_closed()) {
            self.refund_by_itself(id, news);
            return;
        }
        // Told with the code as it was before this payment was counted.
        let credited = self.books.payments.get(id).zip(self.books.qrs.get(&qr_id));
        news.extend(credited.map(|(payment, qr)| event::qr_credited(self, payment, qr)));
        let Some(qr) = self.books.qrs.get_mut(&qr_id) else {
            return;
        };
        qr.received += amount;
        qr.payments += 1;
        if qr.single_use {
            qr.close(now, Some("paid"));
            if self.switches.closed_event_when_paid {
                let closed = self.books.qrs.get(&qr_id).map(|qr| event::qr_closed(self, qr));
                news.extend(closed);
            }
        }
    }

    /// The bank says yes, and the payment is captured where that happens by itself.
    pub fn succeed(&mut self, id: &str, news: &mut Vec<News>) {
        let order = self.books.payments.get(id).and_then(|payment| self.books.orders.get(payment.order_id.as_ref()?));
        let captures = order.and_then(|order| order.auto_capture).unwrap_or(self.switches.auto_capture);
        self.authorize(id, news);
        if captures {
            self.capture(id, news);
        }
    }

    pub fn fail(&mut self, id: &str, failure: Failure, news: &mut Vec<News>) {
        let Some(payment) = self.books.payments.get_mut(id) else {
            return;
        };
        payment.status = Status::Failed;
        payment.failure = Some(failure);
        payment.rrn = None;
        payment.upi_transaction_id = None;
        news.extend(event::payment_failed(self, id));
    }

    /// A late success, within the days that the bank is polled.
    pub fn may_authorize_late(&self, payment: &Payment) -> bool {
        matches!(payment.status, Status::Created | Status::Failed) && self.now_ms <= payment.created_ms.saturating_add(LATE_LIMIT_MS)
    }

    pub fn time_out_payment(&mut self, id: &str) {
        if self.books.payments.get(id).is_some_and(|payment| payment.status == Status::Created) {
            let mut news = Vec::new();
            self.fail(id, timed_out(), &mut news);
            self.tell(news);
        }
    }

    pub fn lapse_payment(&mut self, id: &str) {
        if self.books.payments.get(id).is_some_and(|payment| payment.status == Status::Authorized) {
            let mut news = Vec::new();
            self.refund_by_itself(id, &mut news);
            self.tell(news);
        }
    }

    pub fn is_order_paid(&self, payment: &Payment) -> bool {
        let order = payment.order_id.as_ref().and_then(|order| self.books.orders.get(order));
        order.is_some_and(|order| order.is_paid())
    }

    /// Payments of QR codes send these two unless S12 says that `qr_code.credited` is all.
    fn tell_of_payment(&self, id: &str, told: Option<News>, news: &mut Vec<News>) {
        let of_qr = self.books.payments.get(id).is_some_and(|payment| payment.qr_id.is_some());
        if !(of_qr && self.switches.only_credited) {
            news.extend(told);
        }
    }
}

/// The payer's bank declined.
pub fn declined() -> Failure {
    let text = "Payment was unsuccessful due to a temporary issue. If amount got deducted, it will be refunded within 5-7 working days.";
    failure("BAD_REQUEST_ERROR", text, "gateway", "payment_response", "payment_failed")
}

pub fn timed_out() -> Failure {
    let text = "Payment was not completed on time.";
    failure("BAD_REQUEST_ERROR", text, "customer", "payment_authentication", "payment_timed_out")
}

pub fn failure(code: &str, description: &str, source: &str, step: &str, reason: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        description: description.to_owned(),
        source: source.to_owned(),
        step: step.to_owned(),
        reason: reason.to_owned(),
    }
}
