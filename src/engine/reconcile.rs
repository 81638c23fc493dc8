//! What is in doubt, open or overdue: ask the provider, learn. One step of one record, whose lease is held.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::{error, warn};

use super::Engine;
use super::index::PAYMENT_AT_PROVIDER;
use super::learn::{Outcome, Told, decode};
use super::paid_for::PaidFor;
use super::qr::{doubt_of, known};
use super::schedule::{absence_is_proof, local_end};
use crate::clock::since;
use crate::domain::account::DoubtCure;
use crate::domain::event::{Fact, Record};
use crate::domain::fact::{Cause, Evidence};
use crate::domain::id::{Id, Kind};
use crate::domain::payment::{Payment, PaymentFact, PaymentSnapshot};
use crate::domain::qr::{CloseReason, Qr, QrFact, QrState, QrStatus, Usage};
use crate::providers::{
    AskError, CallError, Created, KnownQr, Listed, PaymentOrigin, Provider, QrCodes, QrCreation, QrEnquiry, QrSearch, Sending, ShownPayment,
};
use crate::store::{Fence, Leased, StoreError};

pub(super) mod debit;
mod mandate;
mod refund;
mod settlement;

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
        let stepped = self.look(leased).await?;
        if stepped != Stepped::Unanswered && self.sending_is_held() {
            self.note_seen(&leased.record).await?;
        }
        Ok(stepped)
    }

    async fn look(&self, leased: &Leased) -> Result<Stepped, StoreError> {
        if leased.record.id.kind() == Kind::Quarantined {
            self.replay_kept(&leased.record, Some(leased.fence)).await?;
            return Ok(Stepped::Learned);
        }
        if leased.record.id.kind() == Kind::SettlementSync {
            return self.sync_settlements(leased).await;
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
            Record::Refund(refund) => self.look_at_refund(&provider, refund, &told).await?,
            Record::Settlement(settlement) => self.look_at_settlement(&provider, settlement, &told).await?,
            Record::Mandate(mandate) => self.look_at_mandate(&provider, mandate, &told).await?,
            Record::Debit(debit) => self.look_at_debit(&provider, debit, leased.fence, &told).await?,
            Record::SettlementBreak(_) => Stepped::NobodyToAsk,
        };
        match stepped {
            Stepped::Learned => {}
            Stepped::NobodyToAsk => self.give_back(&record, &told).await?,
            Stepped::Unanswered => self.give_back_unanswered(&record, &told).await?,
        }
        Ok(stepped)
    }

    async fn look_at_qr(&self, provider: &Provider, qr: Qr, told: &Told) -> Result<Stepped, StoreError> {
        let Some(codes) = provider.qr.clone() else { return Ok(Stepped::NobodyToAsk) };
        match (&qr.state, known(&qr)) {
            (QrState::Requested, None) => self.find_out(provider, &codes, qr, told).await,
            (QrState::Requested, Some(code)) => self.draw(provider, &codes, qr, &code, told).await,
            (QrState::Active | QrState::Closed { .. }, Some(code)) => match &codes.enquiry {
                Some(enquiry) => self.look_at_standing_qr(provider, &**enquiry, qr, &code, told).await,
                None => self.end_in_time(qr, provider.late_window, told).await,
            },
            (QrState::Active | QrState::Closed { .. } | QrState::Failed(_), _) => Ok(Stepped::NobodyToAsk),
        }
    }

    /// The answer to the creation was lost: what became of it is found out as the provider allows.
    async fn find_out(&self, provider: &Provider, codes: &QrCodes, qr: Qr, told: &Told) -> Result<Stepped, StoreError> {
        match (doubt_of(provider, qr.order.usage), &codes.search) {
            (DoubtCure::Lookup, Some(search)) => self.look_up_qr(provider, &**search, qr, told).await,
            // To send it again is the only way to ask: later.
            (DoubtCure::SafeResend, _) if self.sending_is_held() => Ok(Stepped::NobodyToAsk),
            (DoubtCure::SafeResend, _) => self.send_again(provider, &*codes.creation, qr, told).await,
            (DoubtCure::Lookup | DoubtCure::None, _) if qr.stray => Ok(Stepped::NobodyToAsk),
            (DoubtCure::Lookup | DoubtCure::None, _) => {
                let told = Told { evidence: Evidence::Answer, ..told.clone() };
                self.learn(Record::Qr(qr), &Fact::Qr(QrFact::AnswerLost), &told).await?;
                Ok(Stepped::Learned)
            }
        }
    }

    /// Searches by our reference.
    async fn look_up_qr(&self, provider: &Provider, search: &dyn QrSearch, qr: Qr, told: &Told) -> Result<Stepped, StoreError> {
        let asked = qr.header.create_time;
        let searched = self.clock.now();
        let our_ref = qr.header.our_ref.clone().unwrap_or_default();
        match search.look_up(&qr.order, &our_ref, asked).await {
            Ok(Some(created)) => self.learn_created(qr, created, told).await,
            Ok(None) | Err(AskError::Absent) => self.learn_absence(provider, qr, searched, told).await,
            Err(AskError::Unanswered(cause)) => Ok(self.unanswered(provider, &cause.to_string())),
        }
    }

    /// Asks for the code once more, at a provider that answers a repetition with what it has. The lease is held for longer
    /// than the call may take.
    async fn send_again(&self, provider: &Provider, creation: &dyn QrCreation, qr: Qr, told: &Told) -> Result<Stepped, StoreError> {
        let sent = self.clock.now();
        let our_ref = qr.header.our_ref.clone().unwrap_or_default();
        match creation.create(&qr.order, &our_ref, Sending::Again, provider.call_timeout).await {
            Ok(created) => self.learn_created(qr, created, told).await,
            // It makes none, and no earlier request can still travel.
            Err(CallError::Refused { .. }) => self.learn_absence(provider, qr, sent, told).await,
            Err(cause @ (CallError::NotDelivered(_) | CallError::InDoubt(_))) => Ok(self.unanswered(provider, &cause.to_string())),
        }
    }

    async fn learn_created(&self, qr: Qr, created: Created, told: &Told) -> Result<Stepped, StoreError> {
        let id = qr.header.id.clone();
        let fact = match created {
            Created::Ready(snapshot) => QrFact::Seen(*snapshot),
            Created::Registered { provider_ref } => QrFact::Registered { provider_ref },
        };
        self.learn(Record::Qr(qr), &Fact::Qr(fact), told).await?;
        // It may have been paid, even closed, while nobody knew it: its payments are listed at once.
        self.wake_now(&id).await?;
        Ok(Stepped::Learned)
    }

    /// The provider does not have it, as of `searched`: believed only when nothing can still be on its way.
    async fn learn_absence(&self, provider: &Provider, qr: Qr, searched: Timestamp, told: &Told) -> Result<Stepped, StoreError> {
        if absence_is_proof(qr.header.create_time, searched, &self.settings.patience, provider.call_timeout) {
            self.learn(Record::Qr(qr), &Fact::Qr(QrFact::Absent), told).await?;
        } else {
            self.give_back(&Record::Qr(qr), told).await?;
        }
        Ok(Stepped::Learned)
    }

    /// The provider made the code and nobody has seen it yet: what a payer scans is fetched, again if need be.
    async fn draw(&self, provider: &Provider, codes: &QrCodes, qr: Qr, code: &KnownQr, told: &Told) -> Result<Stepped, StoreError> {
        let Some(drawing) = &codes.drawing else { return Ok(Stepped::NobodyToAsk) };
        let cause = match drawing.draw(code, provider.call_timeout).await {
            Ok(snapshot) => {
                self.learn(Record::Qr(qr), &Fact::Qr(QrFact::Seen(snapshot)), told).await?;
                return Ok(Stepped::Learned);
            }
            Err(cause) => cause,
        };
        // It may have come to its end meanwhile.
        if let Some(enquiry) = &codes.enquiry
            && let Ok(snapshot) = enquiry.fetch(code).await
            && matches!(snapshot.status, QrStatus::Closed { .. })
        {
            self.learn(Record::Qr(qr), &Fact::Qr(QrFact::Seen(snapshot)), told).await?;
            return Ok(Stepped::Learned);
        }
        Ok(self.unanswered(provider, &cause.to_string()))
    }

    /// A code at a provider that lets nobody look: its announced end is all that is known of it.
    async fn end_in_time(&self, qr: Qr, late_window: Duration, told: &Told) -> Result<Stepped, StoreError> {
        let now = self.clock.now();
        if qr.state != QrState::Active || local_end(&qr, late_window).is_none_or(|end| end > now) {
            return Ok(Stepped::NobodyToAsk);
        }
        let told = Told { cause: Cause::Timer, evidence: Evidence::Answer, asked: None, ..told.clone() };
        self.learn(Record::Qr(qr), &Fact::Qr(QrFact::Expired), &told).await?;
        Ok(Stepped::Learned)
    }

    /// A code that the provider has: its payments first, so that money is told before the close.
    async fn look_at_standing_qr(
        &self,
        provider: &Provider,
        enquiry: &dyn QrEnquiry,
        qr: Qr,
        code: &KnownQr,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        let window = match qr.order.usage {
            Usage::SingleUse => qr.header.create_time,
            Usage::MultipleUse => qr.header.create_time.max(before(self.clock.now(), PAYMENTS_WINDOW)),
        };
        let Listed { readable: payments, unreadable, is_fresh } = match enquiry.payments(code, window).await {
            Ok(listed) => listed,
            Err(AskError::Absent) => Listed::default(),
            Err(AskError::Unanswered(cause)) => return Ok(self.unanswered(provider, &cause.to_string())),
        };
        // Before anything else can go wrong: what is listed is money.
        for listed in &payments {
            self.look_at_listed_payment(provider, &qr, listed, is_fresh, told).await?;
        }
        let searched = self.clock.now();
        let snapshot = match enquiry.fetch(code).await {
            Ok(snapshot) => snapshot,
            Err(AskError::Absent) => return Ok(self.gone(provider, &qr.header.id)),
            Err(AskError::Unanswered(cause)) => return Ok(self.unanswered(provider, &cause.to_string())),
        };
        // The payments may have moved it.
        let qr_id = qr.header.id.clone();
        let current = if payments.is_empty() { Record::Qr(qr) } else { self.read_again(&qr_id).await? };
        let still_active = matches!(snapshot.status, QrStatus::Active);
        if let Record::Qr(Qr { pending_change: Some(pending), .. }) = &current
            && still_active
            && absence_is_proof(pending.since, searched, &self.settings.patience, provider.call_timeout)
        {
            self.learn(current, &Fact::Qr(QrFact::CloseNotMade), told).await?;
            return Ok(Stepped::Learned);
        }
        let outcome = self.learn(current, &Fact::Qr(QrFact::Seen(snapshot)), told).await?;
        if let (Record::Qr(qr), false) = (outcome.record(), unreadable.is_empty()) {
            self.miss_payment(qr, searched, told).await?;
        }
        // What the code itself shows holds all the same; a code that is closed is looked at again for its late payments.
        match unreadable.first() {
            Some(cause) => {
                if self.sending_is_held() {
                    // It was looked up, and looking again would not change what can't be read.
                    self.store.seen(&qr_id).await?;
                }
                Ok(self.unanswered(provider, &format!("{} payments of `{}` can't be read: {cause}", unreadable.len(), qr_id)))
            }
            None => Ok(Stepped::Learned),
        }
    }

    /// A code that is paid, and whose payment can't be read however often it is asked for: a person has to look.
    async fn miss_payment(&self, qr: Qr, searched: Timestamp, told: &Told) -> Result<(), StoreError> {
        let is_paid_by_nobody = qr.payment_count == 0 && matches!(qr.state, QrState::Closed { reason: Some(CloseReason::Paid), .. });
        if let (true, QrState::Closed { at, .. }) = (is_paid_by_nobody, &qr.state)
            && since(*at, searched) >= self.settings.patience.absence_after
        {
            let told = Told { fence: None, ..told.clone() };
            self.learn(Record::Qr(qr), &Fact::Qr(QrFact::PaymentMissing), &told).await?;
        }
        Ok(())
    }

    /// A payment as the provider lists it. Lists lag behind single fetches by minutes, so where one differs from what is
    /// recorded, only a fetch is believed; unless the list itself is as good as one.
    async fn look_at_listed_payment(
        &self,
        provider: &Provider,
        qr: &Qr,
        listed: &PaymentSnapshot,
        is_fresh: bool,
        told: &Told,
    ) -> Result<(), StoreError> {
        let told = Told { occur_time: listed.pay_time, fence: None, ..told.clone() };
        match self.find(provider.account.as_str(), PAYMENT_AT_PROVIDER, &listed.provider_ref).await? {
            Some(Record::Payment(payment)) if !is_fresh && !payment.agrees_with(listed) => {
                self.look_at_payment(provider, payment, &told).await.map(|_| ())
            }
            Some(_) if !is_fresh => Ok(()),
            Some(_) | None => {
                let record = self.observe_payment(PaidFor::Qr(qr.clone()), listed, &told).await?;
                self.learn_unknown_refunds(provider, &record, &told).await
            }
        }
    }

    async fn look_at_payment(&self, provider: &Provider, payment: Payment, told: &Told) -> Result<Stepped, StoreError> {
        let (Some(payments), Some(provider_ref)) = (&provider.payments, payment.header.provider_ref.clone()) else {
            return Ok(Stepped::NobodyToAsk);
        };
        let code = self.code_of(&payment).await?;
        match payments.fetch(&provider_ref, code.as_ref()).await {
            Ok(shown) => {
                let outcome = self.learn_shown(payment, shown, told).await?;
                self.learn_unknown_refunds(provider, &outcome.record(), told).await?;
                Ok(Stepped::Learned)
            }
            Err(AskError::Absent) => Ok(self.gone(provider, &payment.header.id)),
            Err(AskError::Unanswered(cause)) => Ok(self.unanswered(provider, &cause.to_string())),
        }
    }

    /// Learns what the provider shows of a payment that is known.
    pub(super) async fn learn_shown(&self, payment: Payment, shown: ShownPayment, told: &Told) -> Result<Outcome, StoreError> {
        let ShownPayment { snapshot, origin } = shown;
        let fact = if self.is_misplaced(&payment, &origin).await? { PaymentFact::Misplaced } else { PaymentFact::Seen(Box::new(snapshot)) };
        self.learn(Record::Payment(payment), &Fact::Payment(fact), told).await
    }

    /// Whether the provider shows the payment at another code than it was recorded for.
    pub(super) async fn is_misplaced(&self, payment: &Payment, origin: &PaymentOrigin) -> Result<bool, StoreError> {
        let PaymentOrigin::Named { provider_ref: Some(shown_at), .. } = origin else { return Ok(false) };
        Ok(self.code_of(payment).await?.is_some_and(|code| code.provider_ref != *shown_at))
    }

    /// The code that a payment was made for; `None`: it is not known, or was forgotten long after it came to rest.
    pub(super) async fn code_of(&self, payment: &Payment) -> Result<Option<KnownQr>, StoreError> {
        let Some(qr) = &payment.qr else { return Ok(None) };
        Ok(match self.store.get(qr).await?.as_ref().map(decode).transpose()? {
            Some(Record::Qr(qr)) => known(&qr),
            Some(_) | None => None,
        })
    }

    /// The provider says that it does not have what it had: nothing can be learned from that.
    pub(super) fn gone(&self, provider: &Provider, id: &Id) -> Stepped {
        self.metrics.provider_unanswered.with_label_values(&[provider.account.as_str()]).inc();
        error!(resource.id = %id, account = %provider.account, "the provider no longer has what `{id}` stands for");
        Stepped::NobodyToAsk
    }

    pub(super) fn unanswered(&self, provider: &Provider, cause: &str) -> Stepped {
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
