//! What no settlement has brought: overdue after the account's settlement time; and credits that a callback tells of
//! without any settlement.

use jiff::Timestamp;

use super::draft::Draft;
use super::lines::Linked;
use super::progress::{Kept, SyncStep};
use super::sync::{Committed, Progress};
use crate::clock::after;
use crate::domain::account::SettlementCapability;
use crate::domain::event::Record;
use crate::domain::id::{Id, Kind};
use crate::domain::money::Money;
use crate::domain::payment::{Credit, Payment};
use crate::domain::settlement::{EntryKind, SettlementEntry, SettlementLine};
use crate::domain::working_days::{begin_of_day, day_in_india, days_before, next_day};
use crate::engine::Engine;
use crate::engine::index::list_of_unsettled;
use crate::engine::learn::{Told, decode};
use crate::providers::Provider;
use crate::store::{ListKey, StoreError};

/// Payments or refunds that are looked through at once.
const LOOKED_AT_ONCE: usize = 50;

impl Engine {
    /// A page of what no settlement has brought yet.
    pub(super) async fn look_for_overdue(
        &self,
        provider: &Provider,
        kept: &mut Kept,
        kind: Kind,
        before: Option<Id>,
        told: &Told,
    ) -> Result<Progress, StoreError> {
        let Some(capability) = provider.capabilities.settlements.as_ref().filter(|told| told.lines) else {
            return self.go_on(kept, SyncStep::Rechecking { before: None }, told).await;
        };
        let list = ListKey { account: kept.sync.account.to_string(), key: list_of_unsettled(kind) };
        // Nothing younger than the settlement time can be late; credits that are told one by one may be of today.
        let before = match before {
            None if provider.settlements.is_some() => {
                let days = days_before(day_in_india(self.clock.now()), capability.cycle_days);
                let ms = u64::try_from(begin_of_day(next_day(days)).as_millisecond()).unwrap_or(0);
                Some(Id::new(kind, kept.id.partition(), ms, 0))
            }
            before => before,
        };
        let page = self.store.list(kept.id.partition(), &list, before.as_ref(), LOOKED_AT_ONCE).await?;
        let mut draft = Draft::default();
        let (mut cursor, mut looked_at) = (before, 0);
        for stored in &page {
            if draft.is_full() {
                break;
            }
            looked_at += 1;
            cursor = Some(stored.id.clone());
            match decode(stored)? {
                Record::Payment(payment) => self.draft_unsettled_payment(provider, capability, &mut draft, payment, told).await?,
                Record::Refund(refund) => {
                    let made = refund.process_time.unwrap_or(refund.header.create_time);
                    if self.is_overdue(capability, made) {
                        self.draft_overdue_refund(provider, &mut draft, &refund).await?;
                    }
                }
                Record::Qr(_) | Record::Mandate(_) | Record::Debit(_) | Record::Settlement(_) | Record::SettlementBreak(_) => {}
            }
        }
        let is_last = page.len() < LOOKED_AT_ONCE && looked_at == page.len();
        kept.sync.step = match (is_last, kind) {
            (false, kind) => SyncStep::Overdue { kind, before: cursor },
            (true, Kind::Payment) => SyncStep::Overdue { kind: Kind::Refund, before: None },
            (true, _) => SyncStep::Rechecking { before: None },
        };
        match self.commit_draft(kept, draft, told).await? {
            Committed::Done => Ok(Progress::More),
            // This page is looked through once more, in a while.
            Committed::Moved => Ok(Progress::Unanswered),
            Committed::Overtaken => Ok(Progress::Overtaken),
        }
    }

    async fn draft_unsettled_payment(
        &self,
        provider: &Provider,
        capability: &SettlementCapability,
        draft: &mut Draft,
        payment: Payment,
        told: &Told,
    ) -> Result<(), StoreError> {
        if let Some(Credit::Made { at }) = payment.credit {
            let entry = self.credit_entry(&payment, at);
            let id = payment.header.id.clone();
            let linked = Linked { payment: Some(Record::Payment(payment)), ..Linked::default() };
            self.draft_settled(draft, &entry, &linked, told);
            // A payment that only a newer release can write is left to that, with its line.
            if draft.record(&id).is_some() {
                draft.put_entry(None, entry);
            }
            return Ok(());
        }
        if self.is_overdue(capability, payment.pay_time) {
            self.draft_overdue_payment(provider, draft, &payment).await?;
        }
        Ok(())
    }

    /// The line of a payment that the provider credited without naming a settlement.
    fn credit_entry(&self, payment: &Payment, at: Timestamp) -> SettlementEntry {
        let now = self.clock.now();
        let fee = payment.fee.unwrap_or(Money::ZERO);
        let line = SettlementLine {
            kind: EntryKind::Payment,
            entity_ref: payment.header.provider_ref.clone().unwrap_or_default(),
            payment_ref: None,
            settlement_ref: None,
            gross: payment.amount,
            fee,
            tax: payment.tax.unwrap_or(Money::ZERO),
            net: payment.amount.checked_sub(fee).unwrap_or(payment.amount),
            utr: None,
            transact_time: Some(payment.pay_time),
            settle_time: Some(at),
            description: String::new(),
            foreign: false,
            other_product: false,
        };
        SettlementEntry {
            id: self.randomness.id(Kind::SettlementEntry, payment.header.id.partition(), now),
            line,
            settlement: None,
            payment: Some(payment.header.id.clone()),
            refund: None,
            day: None,
            ordinal: 0,
            pass: 0,
            create_time: now,
        }
    }

    /// Whether what happened at `time` should stand in a settlement by now.
    fn is_overdue(&self, capability: &SettlementCapability, time: Timestamp) -> bool {
        let settings = &self.settings.settlements;
        let last_day = settings.holidays.working_day_after(time, capability.cycle_days);
        self.clock.now() >= after(begin_of_day(next_day(last_day)), settings.report_lag)
    }
}
