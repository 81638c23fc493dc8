//! Payments: read, and asked for anew.

use std::sync::Arc;

use tokio::time::Instant;

use super::Engine;
use super::error::Error;
use super::learn::{Outcome, Told, as_payment, decode};
use crate::domain::account::Operation;
use crate::domain::event::Record;
use crate::domain::fact::Cause;
use crate::domain::id::Id;
use crate::domain::payment::Payment;
use crate::providers::{self, AskError};

impl Engine {
    pub async fn get_payment(&self, id: &Id) -> Result<Payment, Error> {
        match self.store.get(id).await.map_err(Error::of_read)? {
            Some(stored) => as_payment(decode(&stored).map_err(Error::of_read)?),
            None => Err(Error::no_such("payment", id)),
        }
    }

    /// Asks the provider how the payment stands now, and learns it. Changes nothing there.
    pub async fn refresh_payment(
        self: &Arc<Self>,
        payment: Payment,
        deadline: Instant,
        traceparent: Option<String>,
    ) -> Result<Payment, Error> {
        // A drain waits for it.
        let _at_work = self.tasks.token();
        let provider = self.provider(&payment.header.account)?;
        if let Some(why) = provider.capabilities.missing(Operation::FetchPayment) {
            return Err(Error::Lacks { operation: Operation::FetchPayment.as_str(), why: why.to_owned() });
        }
        let (Some(payments), Some(provider_ref)) = (&provider.payments, &payment.header.provider_ref) else {
            return Err(Error::Lacks {
                operation: Operation::FetchPayment.as_str(),
                why: "this provider can't be asked about payments".to_owned(),
            });
        };
        let told = Told { cause: Cause::Rpc, traceparent, ..self.told_by_enquiry(None) };
        let time_left = deadline.saturating_duration_since(Instant::now());
        if time_left < provider.deadline_floor {
            return Err(Error::DeadlineTooShort { floor: provider.deadline_floor });
        }
        let code = self.code_of(&payment).await.map_err(Error::of_read)?;
        let fetched = match tokio::time::timeout(time_left, payments.fetch(provider_ref, code.as_ref())).await {
            Ok(fetched) => fetched,
            Err(_) => Err(AskError::Unanswered(providers::Cause("the caller's time is over".to_owned()))),
        };
        match fetched {
            Ok(shown) => {
                let told = Told { occur_time: shown.snapshot.pay_time, ..told };
                let outcome = self.learn_shown(payment, shown, &told).await.map_err(Error::of_write)?;
                let record = Outcome::record(outcome);
                self.learn_unknown_refunds(provider, &record, &told).await.map_err(Error::of_write)?;
                let record = if may_have_moved(&record) { self.read_again(record.id()).await.map_err(Error::of_write)? } else { record };
                as_payment(record)
            }
            Err(AskError::Absent) => {
                tracing::error!(resource.id = %payment.header.id, "the provider no longer has the payment `{}`", payment.header.id);
                Err(Error::ProviderUnavailable { id: None, retry_after: super::PROVIDER_RETRY_AFTER })
            }
            Err(AskError::Unanswered(cause)) => {
                tracing::warn!(resource.id = %payment.header.id, "the provider gave no answer: {cause}");
                Err(Error::ProviderUnavailable { id: None, retry_after: super::PROVIDER_RETRY_AFTER })
            }
        }
    }
}

/// Whether refunds that were learned just now have moved the payment's sums.
fn may_have_moved(record: &Record) -> bool {
    matches!(record, Record::Payment(payment) if payment.has_unknown_refunds())
}
