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
        let order_id =
            transaction.order_id.ok_or_else(|| unreadable("the transaction does not name its order, which alone says what was paid"))?;
        let order = read_order(&self.api, &order_id).await?;
        let origin = PaymentOrigin::Qr { provider_ref: Some(order.id.clone()), our_ref: order.our_ref.clone() };
        let of_it = order.payments(None).readable.into_iter().find(|payment| payment.provider_ref == provider_ref);
        let snapshot = of_it.ok_or_else(|| unreadable("the order does not say how this attempt stands"))?;
        Ok(ShownPayment { snapshot, origin })
    }
}
