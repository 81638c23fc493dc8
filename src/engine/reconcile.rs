//! What is in doubt, open or overdue: ask the provider, learn. One step of one record, whose lease is held.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::{error, warn};

use super::Engine;
use super::index::PAYMENT_AT_PROVIDER;
use super::learn::{Told, decode};
use super::schedule::absence_is_proof;
use crate::domain::event::{Fact, Record};
use crate::domain::fact::{Cause, Evidence};
use crate::domain::id::{Id, Kind};
use crate::domain::payment::{Payment, PaymentFact, PaymentSnapshot};
use crate::domain::qr::{Qr, QrFact, QrState, Usage};
use crate::providers::{AskError, Listed, Provider, QrCodes};
use crate::store::{Fence, Leased, StoreError};

/// How far back a multiple-use code's payments are read again: longer than any pause between two looks.
const PAYMENTS_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stepped {
    Learned,
    /// The provider did not answer; the record stays due.
    Unanswered,
    /// Nobody here can ask about it.
    NobodyToAsk,
}

impl Engine {
    /// One look at a record whose lease `leased` holds. Gives the lease back.
    pub(super) async fn look_at(&self, leased: &Leased) -> Result<Stepped, StoreError> {
        if leased.record.id.kind() == Kind::Quarantined {
            self.replay_kept(&leased.record, Some(leased.fence)).await?;
            return Ok(Stepped::Learned);
        }
        let record = decode(&leased.record)?;
        let told = self.told_by_enquiry(Some(leased.fence));
        let Some(provider) = self.providers.get(&record.header().account) else {
            // An account that is no longer configured: its records wait.
            self.give_back(&record, &told).await?;
            return Ok(Stepped::NobodyToAsk);
        };
        if record.header().has_unknown_parts {
            // What is found out could not be written here: a replica of the release that wrote it looks at it.
            self.give_back_unanswered(&record, &told).await?;
            return Ok(Stepped::NobodyToAsk);
        }
        let provider = provider.clone();
        let stepped = match record.clone() {
            Record::Qr(qr) => self.look_at_qr(&provider, qr, &told).await?,
            Record::Payment(payment) => self.look_at_payment(&provider, payment, &told).await?,
        };
        match stepped {
            Stepped::Learned => {}
            Stepped::NobodyToAsk => self.give_back(&record, &told).await?,
            Stepped::Unanswered => self.give_back_unanswered(&record, &told).await?,
        }
        Ok(stepped)
    }

    async fn look_at_qr(&self, provider: &Provider, qr: Qr, told: &Told) -> Result<Stepped, StoreError> {
        let Some(adapter) = provider.qr.clone() else { return Ok(Stepped::NobodyToAsk) };
        match (&qr.state, &qr.header.provider_ref) {
            (QrState::Requested, _) => self.look_up_qr(provider, &*adapter, qr, told).await,
            (QrState::Active | QrState::Closed { .. }, Some(provider_ref)) => {
                let provider_ref = provider_ref.clone();
                self.look_at_standing_qr(provider, &*adapter, qr, &provider_ref, told).await
            }
            (QrState::Active | QrState::Closed { .. } | QrState::Failed(_), _) => Ok(Stepped::NobodyToAsk),
        }
    }

    /// The answer to the creation was lost: search by our reference.
    async fn look_up_qr(&self, provider: &Provider, adapter: &dyn QrCodes, qr: Qr, told: &Told) -> Result<Stepped, StoreError> {
        let asked = qr.header.create_time;
        let searched = self.clock.now();
        let our_ref = qr.header.our_ref.clone().unwrap_or_default();
        let fact = match adapter.look_up(&our_ref, asked).await {
            Ok(Some(snapshot)) => QrFact::Seen(snapshot),
            Ok(None) | Err(AskError::Absent) => {
                if !absence_is_proof(asked, searched, &self.settings.patience, provider.call_timeout) {
                    self.give_back(&Record::Qr(qr), told).await?;
                    return Ok(Stepped::Learned);
                }
                QrFact::Absent
            }
            Err(AskError::Unanswered(cause)) => return Ok(self.unanswered(provider, &cause.to_string())),
        };
        let (id, found) = (qr.header.id.clone(), matches!(fact, QrFact::Seen(_)));
        self.learn(Record::Qr(qr), &Fact::Qr(fact), told).await?;
        if found {
            // It may have been paid, even closed, while nobody knew it: its payments are listed at once.
            self.wake_now(&id).await?;
        }
        Ok(Stepped::Learned)
    }

    /// A code that the provider has: its payments first, so that money is told before the close.
    async fn look_at_standing_qr(
        &self,
        provider: &Provider,
        adapter: &dyn QrCodes,
        qr: Qr,
        provider_ref: &str,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        let window = match qr.order.usage {
            Usage::SingleUse => qr.header.create_time,
            Usage::MultipleUse => qr.header.create_time.max(before(self.clock.now(), PAYMENTS_WINDOW)),
        };
        let Listed { readable: payments, unreadable } = match adapter.payments(provider_ref, window).await {
            Ok(listed) => listed,
            Err(AskError::Absent) => Listed::default(),
            Err(AskError::Unanswered(cause)) => return Ok(self.unanswered(provider, &cause.to_string())),
        };
        // Before anything else can go wrong: what is listed is money.
        for listed in &payments {
            self.look_at_listed_payment(provider, &qr, listed, told).await?;
        }
        let searched = self.clock.now();
        let snapshot = match adapter.fetch(provider_ref).await {
            Ok(snapshot) => snapshot,
            Err(AskError::Absent) => return Ok(self.gone(provider, &qr.header.id)),
            Err(AskError::Unanswered(cause)) => return Ok(self.unanswered(provider, &cause.to_string())),
        };
        // The payments may have moved it.
        let qr_id = qr.header.id.clone();
        let current = if payments.is_empty() { Record::Qr(qr) } else { self.read_again(&qr_id).await? };
        let still_active = matches!(snapshot.status, crate::domain::qr::QrStatus::Active);
        if let Record::Qr(Qr { pending_change: Some(pending), .. }) = &current
            && still_active
            && absence_is_proof(pending.since, searched, &self.settings.patience, provider.call_timeout)
        {
            self.learn(current, &Fact::Qr(QrFact::CloseNotMade), told).await?;
            return Ok(Stepped::Learned);
        }
        self.learn(current, &Fact::Qr(QrFact::Seen(snapshot)), told).await?;
        // What the code itself shows holds all the same; a code that is closed is looked at again for its late payments.
        match unreadable.first() {
            Some(cause) => Ok(self.unanswered(provider, &format!("{} payments of `{}` can't be read: {cause}", unreadable.len(), qr_id))),
            None => Ok(Stepped::Learned),
        }
    }

    /// A payment as the provider lists it. Lists lag behind single fetches by minutes, so where one differs from what is
    /// recorded, only a fetch is believed.
    async fn look_at_listed_payment(&self, provider: &Provider, qr: &Qr, listed: &PaymentSnapshot, told: &Told) -> Result<(), StoreError> {
        let told = Told { occur_time: listed.pay_time, fence: None, ..told.clone() };
        match self.find(provider.account.as_str(), PAYMENT_AT_PROVIDER, &listed.provider_ref).await? {
            None => self.observe_payment(qr.clone(), listed, &told).await.map(|_| ()),
            Some(Record::Payment(payment)) if !payment.agrees_with(listed) => {
                self.look_at_payment(provider, payment, &told).await.map(|_| ())
            }
            Some(_) => Ok(()),
        }
    }

    async fn look_at_payment(&self, provider: &Provider, payment: Payment, told: &Told) -> Result<Stepped, StoreError> {
        let (Some(payments), Some(provider_ref)) = (&provider.payments, payment.header.provider_ref.clone()) else {
            return Ok(Stepped::NobodyToAsk);
        };
        match payments.fetch(&provider_ref).await {
            Ok(snapshot) => {
                let fact = Fact::Payment(PaymentFact::Seen(Box::new(snapshot)));
                self.learn(Record::Payment(payment), &fact, told).await?;
                Ok(Stepped::Learned)
            }
            Err(AskError::Absent) => Ok(self.gone(provider, &payment.header.id)),
            Err(AskError::Unanswered(cause)) => Ok(self.unanswered(provider, &cause.to_string())),
        }
    }

    /// The provider says that it does not have what it had: nothing can be learned from that.
    fn gone(&self, provider: &Provider, id: &Id) -> Stepped {
        self.metrics.provider_unanswered.with_label_values(&[provider.account.as_str()]).inc();
        error!(resource.id = %id, account = %provider.account, "the provider no longer has what `{id}` stands for");
        Stepped::NobodyToAsk
    }

    fn unanswered(&self, provider: &Provider, cause: &str) -> Stepped {
        self.metrics.provider_unanswered.with_label_values(&[provider.account.as_str()]).inc();
        warn!(account = %provider.account, "the provider gave no answer, the record is looked at again later: {cause}");
        Stepped::Unanswered
    }

    /// What the provider is about to be asked.
    pub(super) fn told_by_enquiry(&self, fence: Option<Fence>) -> Told {
        let now = self.clock.now();
        Told { cause: Cause::Reconciliation, evidence: Evidence::Enquiry, occur_time: now, traceparent: None, fence, asked: Some(now) }
    }
}

fn before(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| time.checked_sub(by).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}
