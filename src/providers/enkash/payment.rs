//! Payments: one attempt, asked for by its id. Where it names its order, the order decides.

use async_trait::async_trait;
use http::Method;

use super::qr::{payments_of, read_order, upi_status};
use super::{Api, wire};
use crate::domain::account::Operation;
use crate::domain::qr::Usage;
use crate::providers::reading::{read, unreadable};
use crate::providers::{AskError, KnownQr, PaymentOrigin, Payments, ShownPayment};

/// Payments of one account.
pub struct EnkashPayments {
    pub(super) api: Api,
}

#[async_trait]
impl Payments for EnkashPayments {
    async fn fetch(&self, provider_ref: &str, code: Option<&KnownQr>) -> Result<ShownPayment, AskError> {
        let order_id = match code {
            Some(code) if code.usage == Usage::SingleUse => code.provider_ref.clone(),
            Some(_) | None => self.order_of(provider_ref).await?,
        };
        let order = read_order(&self.api, &order_id).await?;
        let listed = payments_of(&self.api, &order, Some(provider_ref)).await?;
        let of_it = listed.readable.into_iter().find(|payment| payment.provider_ref == provider_ref);
        let snapshot = of_it.ok_or_else(|| unreadable("the order does not say how this attempt stands"))?;
        let origin = PaymentOrigin::Named { provider_ref: Some(order.id), our_ref: order.our_ref };
        Ok(ShownPayment { snapshot, origin })
    }
}

impl EnkashPayments {
    /// That a transaction names its order is not documented; how an attempt by UPI stands does [P10].
    async fn order_of(&self, provider_ref: &str) -> Result<String, AskError> {
        match read_transaction(&self.api, provider_ref).await?.order_id {
            Some(order_id) => Ok(order_id),
            None => {
                let told = upi_status(&self.api, provider_ref).await?.order_id;
                Ok(told.ok_or_else(|| unreadable("nothing names the transaction's order, which alone says what was paid"))?)
            }
        }
    }
}

/// `GET /api/v0/payment/{transactionId}` [P18].
pub(super) async fn read_transaction(api: &Api, provider_ref: &str) -> Result<wire::Transaction, AskError> {
    let path = ["api", "v0", "payment", provider_ref];
    let payload = api.ask_for(api.request(Operation::FetchPayment.as_str(), Method::GET, &path, &[])).await?;
    let transaction: wire::Transaction = read("transaction", payload.get().as_bytes())?;
    if transaction.transaction_id.as_deref() != Some(provider_ref) {
        return Err(unreadable("the answer is about another transaction than was asked for").into());
    }
    Ok(transaction)
}
