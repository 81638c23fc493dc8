//! Payments, and the callbacks that tell of them: the only way to hear of one.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Desk;
use super::qr::{Qr, instant};
use crate::sandbox::shelf::Labelled;
use crate::sandbox::upi::{percent_encode, rupees};
use crate::sandbox::webhooks::News;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payment {
    /// The RRN, which is all that tells payments of one code apart.
    pub utr: String,
    /// The code's.
    pub ref_id: String,
    /// In paise.
    pub amount: i64,
    pub status: Status,
    /// When the bank last had something to say.
    pub at_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Success,
    Failed,
}

impl Labelled for Payment {
    fn id(&self) -> &str {
        &self.utr
    }
}

/// A callback's fields.
#[derive(Serialize)]
pub struct PaymentView<'a> {
    utr: &'a str,
    amount: Box<RawValue>,
    ref_id: &'a str,
    status: &'a str,
    txn_id: &'a str,
    message: &'a str,
    #[serde(rename = "payeeVpa")]
    payee_vpa: String,
    timestamp: String,
}

impl Desk<'_> {
    /// A payment of the code as callbacks print it.
    pub fn view<'v>(&'v self, payment: &'v Payment, qr: &'v Qr) -> PaymentView<'v> {
        let switches = &self.switches.oqpay;
        let status = match payment.status {
            Status::Pending => "PENDING",
            Status::Success => &switches.success_status,
            Status::Failed => &switches.failed_status,
        };
        PaymentView {
            utr: &payment.utr,
            amount: number(payment.amount),
            ref_id: &qr.ref_id,
            status,
            txn_id: &qr.txn_id,
            message: status,
            payee_vpa: format!("{}.GR0001@kotak", self.vpa_name()),
            timestamp: instant(payment.at_ms),
        }
    }

    /// The callback about a payment, which need not be in the books.
    pub fn news_of(&self, payment: &Payment, qr: &Qr) -> News {
        let view = self.view(payment, qr);
        let event = if payment.status == Status::Success { "payment.success" } else { "payment.failed" };
        let (content_type, body) = match self.switches.oqpay.form_encoded {
            true => ("application/x-www-form-urlencoded", as_form(&view)),
            false => ("application/json", serde_json::to_string(&view).expect("our own views have string keys and no failing parts")),
        };
        News { event, body, content_type, url: None }
    }

    /// The bank has decided, and the merchant is told.
    pub fn decide(&mut self, utr: &str, status: Status) {
        let now_ms = self.now_ms;
        let Some(payment) = self.books.payments.get_mut(utr) else {
            return;
        };
        payment.status = status;
        payment.at_ms = now_ms;
        let payment = payment.clone();
        let news = self.books.qrs.get(&payment.ref_id).map(|qr| self.news_of(&payment, qr));
        self.tell(news.into_iter().collect());
    }
}

fn as_form(view: &PaymentView<'_>) -> String {
    let PaymentView { utr, amount, ref_id, status, txn_id, message, payee_vpa, timestamp } = view;
    let fields = [
        ("utr", *utr),
        ("amount", amount.get()),
        ("ref_id", ref_id),
        ("status", status),
        ("txn_id", txn_id),
        ("message", message),
        ("payeeVpa", payee_vpa),
        ("timestamp", timestamp),
    ];
    fields.map(|(name, value)| format!("{name}={}", percent_encode(value))).join("&")
}

/// Rupees as a JSON number: whole ones without decimals, and never by way of a binary fraction.
fn number(paise: i64) -> Box<RawValue> {
    let text = if paise % 100 == 0 { (paise / 100).to_string() } else { rupees(paise) };
    RawValue::from_string(text).expect("digits and one point between them are a JSON number")
}
