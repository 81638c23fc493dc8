//! Payments: one attempt, asked for by its id. Where it names its order, the order decides.

use async_trait::async_trait;
use http::Method;

use super::qr::read_order;
use super::{Api, wire};
use crate::domain::account::Operation;
use crate::providers::reading::{read, unreadable};
use crate::providers::{AskError, PaymentOrigin, Payments, ShownPayment};

/// Payments of one account.
pub struct EnkashPayments {
    pub(super) api: Api,
}

#[async_trait]
impl Payments for EnkashPayments {
    /// `GET /api/v0/payment/{transactionId}` [P18], and then its order [P4].
    async fn fetch(&self, provider_ref: &str) -> Result<ShownPayment, AskError> {
        let path = ["api", "v0", "payment", provider_ref];
        let payload = self.api.ask_for(self.api.request(Operation::FetchPayment.as_str(), Method::GET, &path, &[])).await?;
        let transaction: wire::Transaction = read("transaction", payload.get().as_bytes())?;
        if transaction.transaction_id.as_deref() != Some(provider_ref) {
            return Err(unreadable("the answer is about another transaction than was asked for").into());
        }
        let order_id = match transaction.order_id {
            Some(order_id) => order_id,
            // Of a transaction's fields three are documented, and none of them names its order.
            None => upi_status(&self.api, provider_ref)
                .await?
                .order_id
                .ok_or_else(|| unreadable("nothing names the transaction's order, which alone says what was paid"))?,
        };
        let order = read_order(&self.api, &order_id).await?;
        let succeeded = order.leaves_open_which_was_paid() && has_succeeded(&self.api, provider_ref, &order.id).await?;
        let origin = PaymentOrigin::Qr { provider_ref: Some(order.id.clone()), our_ref: order.our_ref.clone() };
        let of_it =
            order.payments(succeeded.then_some(provider_ref)).readable.into_iter().find(|payment| payment.provider_ref == provider_ref);
        let snapshot = of_it.ok_or_else(|| unreadable("the order does not say how this attempt stands"))?;
        Ok(ShownPayment { snapshot, origin })
    }
}

/// Whether an attempt by UPI succeeded. What is read without credentials decides nothing alone: it is asked for only where
/// the order is paid.
pub(super) async fn has_succeeded(api: &Api, attempt: &str, order_id: &str) -> Result<bool, AskError> {
    let wire::UpiStatus { status, order_id: named } = upi_status(api, attempt).await?;
    Ok(status.as_deref() == Some("SUCCESS") && named.is_none_or(|named| named == order_id))
}

/// `GET /pay/checkout/status/upi/{transactionId}` [P10].
async fn upi_status(api: &Api, attempt: &str) -> Result<wire::UpiStatus, AskError> {
    let payload = api.ask_for(api.request("FetchUpiStatus", Method::GET, &["pay", "checkout", "status", "upi", attempt], &[])).await?;
    Ok(read("UPI status", payload.get().as_bytes())?)
}
