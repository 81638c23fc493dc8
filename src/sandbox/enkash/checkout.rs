//! What a checkout page asks for, without a token: an order's QR code, links into UPI apps, how an attempt stands.

use serde::Serialize;

use super::desk::{Desk, room_on};
use super::failure::Failure;
use super::order::{Status as OrderStatus, no_such_order};
use super::transaction::{Pays, no_such_transaction};
use super::{link, picture};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QrCodeView<'a> {
    ek_pay_id: &'a str,
    /// A picture, in base64.
    qr_code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qr_url: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IntentView<'a> {
    transaction_id: &'a str,
    gpay: String,
    phonepe: String,
    paytm: String,
    upi: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UpiStatusView<'a> {
    status: &'static str,
    transaction_message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'a str>,
}

impl Desk<'_> {
    /// Every call makes another attempt.
    pub fn show_qr(&mut self, order_id: &str) -> Result<String, Failure> {
        let id = self.attempt_at(order_id)?;
        let text = self.text_of(&id).ok_or_else(no_such_transaction)?;
        let qr_url = self.our_switches().qr_url.then_some(text.as_str());
        Ok(self.success(QrCodeView { ek_pay_id: &id, qr_code: picture::base64_png(&text), qr_url }))
    }

    /// Takes an order's id or that of an attempt, since it is not known which of them the real path has.
    pub fn show_intent_links(&mut self, id: &str) -> Result<String, Failure> {
        let id = if self.books.transactions.get(id).is_some() { id.to_owned() } else { self.attempt_at(id)? };
        let text = self.text_of(&id).ok_or_else(no_such_transaction)?;
        let with = |scheme: &str| text.replacen("upi://", scheme, 1);
        let (gpay, phonepe, paytm) = (with("tez://upi/"), with("phonepe://"), with("paytmmp://"));
        Ok(self.success(IntentView { transaction_id: &id, gpay, phonepe, paytm, upi: &text }))
    }

    pub fn show_upi_status(&self, id: &str) -> Result<String, Failure> {
        let transaction = self.books.transactions.get(id).ok_or_else(no_such_transaction)?;
        let order_id = match &transaction.pays {
            Pays::Order(order) => Some(order.as_str()),
            Pays::QrCode(_) => None,
        };
        let status = self.status(transaction.status.upi_word());
        Ok(self.success(UpiStatusView { status, transaction_message: transaction.message(), order_id }))
    }

    /// Makes an attempt that waits for its payer, at an order that may still be paid. That of a debit never may: the payer's
    /// bank alone does.
    fn attempt_at(&mut self, order_id: &str) -> Result<String, Failure> {
        room_on(&self.books.transactions)?;
        let order = self.books.orders.get(order_id).filter(|order| order.mandate_id.is_none()).ok_or_else(no_such_order)?;
        match self.books.status_of(order, self.now_ms) {
            status @ (OrderStatus::Paid | OrderStatus::Expired) => Err(Failure::other(format!("Order is {}.", status.word()))),
            OrderStatus::Created | OrderStatus::CheckoutRendered | OrderStatus::Attempted | OrderStatus::PaymentConfirmationPending => {
                let amount = order.amount;
                Ok(self.open_attempt(Pays::Order(order_id.to_owned()), amount))
            }
        }
    }

    /// The text inside the QR code of an attempt to pay an order.
    fn text_of(&self, id: &str) -> Option<String> {
        let Pays::Order(order) = &self.books.transactions.get(id)?.pays else {
            return None;
        };
        let order = self.books.orders.get(order)?;
        Some(link::write(id, self.account, Some(order.amount), order.merchant_order_id.as_deref().unwrap_or_default()))
    }
}
