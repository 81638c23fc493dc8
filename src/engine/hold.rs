//! Sending is held: the store was restored from a backup or copied, so what it knows is old. Until each record that was not at
//! rest then was looked up once, nothing that moves something is sent; what providers know is asked for, and learned as ever.
//! It ends by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Engine;
use super::error::Error;
use super::index::PAYMENT_AT_PROVIDER;
use super::learn::{Told, decode};
use super::paid_for::PaidFor;
use super::reconcile::Stepped;
use super::reconcile::debit::order_of;
use crate::domain::debit::{Debit, DebitFact, NoticeSnapshot};
use crate::domain::event::{Fact, Record};
use crate::domain::id::{Id, Kind, Partition};
use crate::domain::mandate::Mandate;
use crate::providers::mandate::NoticeOrder;
use crate::providers::{AskError, CallError, Mandates, Provider};
use crate::store::{Claim, ClaimStep, Fence, PAGE_MAX, StoreError, Stored, Wake};

/// How often it is looked whether it is over.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often what was not looked up yet is made due, and how much of it there is is told.
const WAKE_EVERY: Duration = Duration::from_secs(60);
/// What a caller is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Engine {
    /// Whether nothing that moves something may be sent. Once it is over it does not begin again while this process runs.
    pub fn sending_is_held(&self) -> bool {
        self.sending_held.load(Ordering::SeqCst)
    }

    /// Finds out whether sending is held, and ends that where all was looked up.
    pub async fn find_out_hold(&self) -> Result<(), StoreError> {
        if self.sending_is_held() {
            self.store_was_filled.store(self.store.was_filled().await?, Ordering::SeqCst);
            let is_over = match self.store.unseen().await? {
                None => true,
                Some(0) => self.store.lift_hold().await?,
                Some(_) => false,
            };
            if is_over {
                self.sending_held.store(false, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// Whether the store was once made from another: a caller may repeat what no record tells of.
    pub(super) fn store_was_filled(&self) -> bool {
        self.store_was_filled.load(Ordering::SeqCst)
    }

    /// A notice that was sent by a debit which the store lost, if it was once made from another: it is looked up by its
    /// reference before another is sent, since by another order the same could be debited again.
    pub(super) async fn notice_sent_before(&self, record: &Record, notice: &NoticeOrder) -> Result<Option<NoticeSnapshot>, CallError> {
        let mandates = self.providers.get(&record.header().account).and_then(|provider| provider.mandates.as_ref());
        let Some(enquiry) = mandates.and_then(|mandates| mandates.notice_enquiry.as_ref()).filter(|_| self.store_was_filled()) else {
            return Ok(None);
        };
        match enquiry.look_up(notice).await {
            Ok(found) => Ok(found),
            Err(AskError::Absent) => Ok(None),
            // Nothing was sent.
            Err(AskError::Unanswered(cause)) => Err(CallError::NotDelivered(cause)),
        }
    }

    /// While sending is held, who has this claim already: a repeat is answered as every repeat is.
    pub(super) async fn held_back(&self, claim: &ClaimStep) -> Result<Option<(Claim, Option<Stored>)>, Error> {
        if !self.sending_is_held() {
            return Ok(None);
        }
        match self.claimed_by_whom(claim).await? {
            Some(claimed) => Ok(Some(claimed)),
            None => Err(Error::SendingHeld { retry_after: RETRY_AFTER }),
        }
    }

    /// Has everything looked up, until sending is no longer held or `stop`.
    pub(super) async fn watch_hold(self: Arc<Self>, stop: CancellationToken) {
        let mut next_wake = Instant::now();
        let was_held = self.sending_is_held();
        while self.sending_is_held() && !stop.is_cancelled() {
            let looked = async {
                if Instant::now() >= next_wake {
                    self.wake_unseen().await?;
                    next_wake = Instant::now() + WAKE_EVERY;
                }
                self.find_out_hold().await
            };
            if let Err(cause) = looked.await {
                warn!("sending stays held, the store gave no answer: {cause}");
            }
            tokio::select! { () = stop.cancelled() => {} () = tokio::time::sleep(ASK_EVERY) => {} }
        }
        if was_held && !self.sending_is_held() {
            info!("all that was open when the store was restored or copied was looked up: sending is no longer held");
        }
    }

    /// Makes due what was not looked up yet.
    async fn wake_unseen(&self) -> Result<(), StoreError> {
        let Some(unseen) = self.store.unseen().await? else { return Ok(()) };
        warn!(unseen, "the store was restored or copied: nothing is sent until {unseen} records were looked up");
        let now = self.clock.now();
        for partition in (0..self.store.identity().partitions).map(Partition) {
            let mut after = None;
            loop {
                let ids = self.store.unseen_after(partition, after.as_ref(), PAGE_MAX).await?;
                for id in &ids {
                    // News, so that nothing puts it to rest before it was looked at.
                    if !self.store.wake(id, now, Wake::News).await? {
                        self.store.seen(id).await?;
                    }
                }
                let was_last = ids.len() < PAGE_MAX;
                after = ids.into_iter().next_back();
                if was_last {
                    break;
                }
            }
        }
        self.woken.notify_waiters();
        Ok(())
    }

    /// `looked_at` was looked up, as it stood before the look.
    pub(super) async fn note_seen(&self, looked_at: &Stored) -> Result<(), StoreError> {
        let id = &looked_at.id;
        if crate::store::is_resource(id.kind()) && !self.providers.contains_key(&decode(looked_at)?.header().account) {
            // Another replica may have its account, or this one later.
            return Ok(());
        }
        if id.kind() == Kind::Debit && self.has_new_orders(looked_at).await? {
            // What was paid by them is not known yet.
            return self.wake_now(id).await;
        }
        if crate::store::is_resource(id.kind()) && decode(looked_at)?.header().has_unknown_parts {
            // A replica of the release that wrote it looks at it.
            return Ok(());
        }
        self.store.seen(id).await
    }

    /// Whether it is one of those that were not looked up yet.
    async fn is_unseen(&self, id: &Id) -> Result<bool, StoreError> {
        let mut after: Option<Id> = None;
        loop {
            let ids = self.store.unseen_after(id.partition(), after.as_ref(), PAGE_MAX).await?;
            if ids.contains(id) {
                return Ok(true);
            }
            if ids.len() < PAGE_MAX {
                return Ok(false);
            }
            after = ids.into_iter().next_back();
        }
    }

    /// Whether the look brought orders of a debit to light that were not known before it.
    async fn has_new_orders(&self, looked_at: &Stored) -> Result<bool, StoreError> {
        let (Record::Debit(before), Some(stored)) = (decode(looked_at)?, self.store.get(&looked_at.id).await?) else { return Ok(false) };
        let Record::Debit(after) = decode(&stored)? else { return Ok(false) };
        Ok(notice_orders(&after).any(|order| !notice_orders(&before).any(|known| known == order)))
    }

    /// A debit without an attempt under way, as far as its record knows: the record may be older than one. `None`: none was made
    /// that is not known.
    ///
    /// Where an attempt is made by an order that was there before, the order shows what was paid by it. Where none can be asked
    /// about, one that may have been made counts as one whose answer was lost: an operator decides, and no other is made.
    pub(super) async fn look_for_unknown_attempts(
        &self,
        provider: &Provider,
        mandates: &Mandates,
        mandate: &Mandate,
        debit: &Debit,
        fence: Fence,
        told: &Told,
    ) -> Result<Option<Stepped>, StoreError> {
        let id = &debit.header.id;
        if !mandates.order_before_attempt {
            // One that was looked at before was not due then, and nobody could execute it since.
            if !may_have_been_attempted(debit, self.clock.now()) || !self.is_unseen(id).await? {
                return Ok(None);
            }
            error!(resource.id = %id, "`{id}` may have been executed after the backup was made, and nobody can be asked: an operator has to decide");
            let stands = self.stand_for_unknown_attempt(mandate, debit, fence, told).await?;
            if stands.open_attempt().is_none() && stands.header.contradictions.is_empty() {
                // It has no state to follow an attempt from: that there may be one contradicts it.
                self.learn(Record::Debit(stands), &Fact::Debit(DebitFact::AttemptBegun { claim: None }), told).await?;
            }
            let record = self.read_again(id).await?;
            let is_noted = match &record {
                Record::Debit(now) => now.open_attempt().is_some() || now.state.is_terminal() || !now.header.contradictions.is_empty(),
                _ => true,
            };
            if !is_noted {
                // Something else moved it just then.
                return Ok(Some(Stepped::Unanswered));
            }
            self.give_back(&record, told).await?;
            return Ok(Some(Stepped::Learned));
        }
        let attempted = debit.attempts.iter().filter_map(|attempt| order_of(mandates, attempt));
        let orders: BTreeSet<String> = notice_orders(debit).map(str::to_owned).chain(attempted).collect();
        let mut found = false;
        for order_ref in orders {
            let shown = match mandates.payments.of_order(&order_ref).await {
                Ok(shown) => shown,
                Err(AskError::Absent) => Vec::new(),
                Err(AskError::Unanswered(cause)) => return Ok(Some(self.unanswered(provider, &cause.to_string()))),
            };
            for payment in &shown {
                if self.find(debit.header.account.as_str(), PAYMENT_AT_PROVIDER, &payment.provider_ref).await?.is_some() {
                    continue;
                }
                found = true;
                let Record::Debit(current) = self.read_again(id).await? else { continue };
                let stands = self.stand_for_unknown_attempt(mandate, &current, fence, told).await?;
                let told = Told { occur_time: payment.pay_time, fence: None, ..told.clone() };
                self.observe_payment(PaidFor::Debit(stands), payment, &told).await?;
            }
        }
        if !found {
            return Ok(None);
        }
        let record = self.read_again(id).await?;
        self.give_back(&record, told).await?;
        Ok(Some(Stepped::Learned))
    }

    /// Notes an attempt that may have been made as one whose answer was lost, unless one is open; the debit as it is then.
    async fn stand_for_unknown_attempt(&self, mandate: &Mandate, debit: &Debit, fence: Fence, told: &Told) -> Result<Debit, StoreError> {
        if debit.open_attempt().is_some() || debit.state.is_terminal() {
            return Ok(debit.clone());
        }
        // The mandate counts what is under way: as it is now.
        let mandate = self.mandate_of(debit).await?.unwrap_or_else(|| mandate.clone());
        self.note_attempt(&mandate, debit, fence, told).await?;
        match self.read_again(&debit.header.id).await? {
            Record::Debit(current) => Ok(current),
            _ => Ok(debit.clone()),
        }
    }
}

/// The orders that notices of a debit were sent with, as far as they are known.
pub(super) fn notice_orders(debit: &Debit) -> impl Iterator<Item = &str> {
    debit.notices.iter().filter_map(|notice| notice.provider_ref.as_deref())
}

/// Whether it may have been executed by now, by what its record knows of when it may be.
fn may_have_been_attempted(debit: &Debit, now: Timestamp) -> bool {
    let announced = debit.notices.iter().map(|notice| notice.debit_time).min();
    let earliest = announced.into_iter().chain(debit.next_permitted_time).min();
    earliest.is_none_or(|earliest| earliest <= now)
}
