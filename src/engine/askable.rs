//! What a provider can be asked about.

use super::Engine;
use super::qr::doubt_of;
use super::schedule::Askable;
use crate::domain::account::{DoubtCure, Operation};
use crate::domain::event::Record;

impl Engine {
    /// Whether the provider can be asked how `record` stands.
    pub(super) fn can_be_asked_about(&self, record: &Record) -> bool {
        let askable = self.askable(record);
        match record {
            Record::Qr(_) => askable.codes,
            Record::Payment(_) => askable.payments,
            Record::Refund(_) => askable.refunds,
            Record::Settlement(_) => askable.settlements,
            Record::Mandate(_) | Record::Debit(_) => askable.mandates,
            Record::SettlementBreak(_) => false,
        }
    }

    /// What the provider of `record` can be asked about.
    pub(super) fn askable(&self, record: &Record) -> Askable {
        let Some(provider) = self.providers.get(&record.header().account) else { return Askable::default() };
        let codes = provider.qr.as_ref();
        let lost_creations = match record {
            Record::Qr(qr) => doubt_of(provider, qr.order.usage) != DoubtCure::None,
            Record::Refund(_) => provider.capabilities.doubt(Operation::CreateRefund) != DoubtCure::None,
            Record::Mandate(_) => provider.capabilities.doubt(Operation::CreateMandate) != DoubtCure::None,
            Record::Debit(debit) => {
                let operation = if debit.open_attempt().is_some() { Operation::ExecuteDebit } else { Operation::CreateDebit };
                provider.capabilities.doubt(operation) != DoubtCure::None
            }
            Record::Payment(_) | Record::Settlement(_) | Record::SettlementBreak(_) => false,
        };
        Askable {
            lost_creations,
            codes: codes.is_some_and(|codes| codes.enquiry.is_some()),
            payments: provider.payments.is_some(),
            refunds: provider.refunds.is_some(),
            mandates: provider.mandates.is_some(),
            settlements: provider.settlements.is_some(),
            late_window: provider.late_window,
        }
    }
}
