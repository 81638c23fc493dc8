//! Callbacks. One that was verified is read into observations, matched with records, and learned in one commit; of one
//! that nothing proves only what it hints at is looked at (`hint`). The door answers 200 only after the commit.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Engine;
use super::hint::{Followed, is_of_this_attempt};
use super::index::{PAYMENT_AT_PROVIDER, QR_AT_PROVIDER, QR_OURS};
use super::learn::{STORE_PATIENCE, Told};
use super::paid_for::PaidFor;
use super::quarantine::{Kept, Reason};
use crate::clock::after;
use crate::domain::account::AccountName;
use crate::domain::event::{Fact, Record};
use crate::domain::fact::Cause;
use crate::domain::payment::PaymentFact;
use crate::domain::qr::QrFact;
use crate::providers::{
    BadSignature, Callback, HintCallback, HintingCallbacks, NotUnderstood, Observation, PaymentOrigin, ProvedCallbacks, Provider, Sender,
    Verified,
};
use crate::store::{StoreError, Wake};

/// The pause before a callback is tried again that the store did not take.
const STORE_PAUSE: Duration = Duration::from_millis(250);
/// When a provider is asked again that gave no answer about something at rest.
const LATER: Duration = Duration::from_secs(30);

/// What became of a callback. Each answers 200: it is kept, or needs no keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Learned, or known already.
    Learned,
    /// Kept until a person or a later fact makes sense of it.
    Quarantined,
    /// Other business of the same account: not kept.
    Foreign,
}

/// Why a callback was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    #[error("there is no such account")]
    NoSuchAccount,
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
    /// As many as may be kept are kept: the provider has to come again.
    #[error("too many callbacks wait for a person")]
    QuarantineFull,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether an observation found its record.
pub(super) enum Matched {
    Learned,
    Foreign,
    /// Ours by its reference, but no record has it (yet).
    Unmatched,
    /// Only the provider can say which code this payment came through.
    Unlinked,
}

impl Engine {
    /// Takes a callback: learns what it proves, or looks at what it hints at. Once this has answered, nothing of it can be
    /// lost. `sender`: the address that it came from. Answers the body that the provider expects with a 200.
    pub async fn receive_callback(
        &self,
        account: &AccountName,
        sender: IpAddr,
        headers: &http::HeaderMap,
        body: Bytes,
        traceparent: Option<String>,
    ) -> Result<&'static str, NotReceived> {
        // A drain waits for it.
        let _at_work = self.tasks.token();
        let provider = self.providers.get(account).ok_or(NotReceived::NoSuchAccount)?;
        let verified = match &provider.webhooks.proved {
            Some(proved) => proved.verify(&Sender { address: sender, headers }, body.clone()).map(|verified| (proved, verified)),
            None => Err(BadSignature),
        };
        // Of these nobody promises to come again: a store that is away for a moment is waited for.
        let end = Instant::now() + if provider.webhooks.hints.is_some() { STORE_PATIENCE } else { Duration::ZERO };
        loop {
            let received = match (&verified, &provider.webhooks.hints) {
                (Ok((proved, verified)), _) => self.receive_facts(provider, &***proved, verified, traceparent.clone()).await,
                (Err(_), Some(hints)) => self.receive_hint(provider, &**hints, body.clone(), traceparent.clone()).await,
                (Err(BadSignature), None) => Err(BadSignature.into()),
            };
            match received {
                Ok(_) => return Ok(provider.webhooks.acknowledgement),
                Err(NotReceived::Store(StoreError::Unavailable(cause) | StoreError::InDoubt(cause)))
                    if Instant::now() + STORE_PAUSE < end =>
                {
                    warn!(account = %account, "the store does not take a callback, it is tried again: {cause}");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                Err(cause) => return Err(cause),
            }
        }
    }

    /// Learns what a verified callback tells.
    async fn receive_facts(
        &self,
        provider: &Provider,
        proved: &dyn ProvedCallbacks,
        callback: &Verified,
        traceparent: Option<String>,
    ) -> Result<Received, NotReceived> {
        let account = &provider.account;
        let (event, occur_time, observations) = match proved.read(callback) {
            Ok(Callback::Facts { event, occur_time, observations }) => (event, occur_time, observations),
            Ok(Callback::Foreign { event }) => return Ok(self.foreign(account, &event)),
            Err(cause) => return self.keep_what_is_not_understood(provider, Kept::of(callback), &cause).await,
        };
        let evidence = callback.evidence();
        let told = Told { cause: Cause::Webhook, evidence, occur_time, traceparent, fence: None, asked: None };
        let mut received = Received::Foreign;
        for observation in &self.in_order(provider, observations).await? {
            let keep = |reason, message: &str| self.quarantine(provider, Kept::of(callback), reason, event.clone(), message.to_owned());
            let kept = match self.observe(provider, observation, &told).await? {
                Matched::Learned => Received::Learned,
                Matched::Foreign => continue,
                Matched::Unmatched => keep(Reason::Unmatched, "no record has its reference").await?,
                Matched::Unlinked => keep(Reason::UnlinkedPayment, "the callback does not say which code the payment came through").await?,
            };
            received = kept;
        }
        self.count_callback(account, received);
        Ok(received)
    }

    /// Makes due what a callback hints at; what can't be looked at yet is kept.
    async fn receive_hint(
        &self,
        provider: &Provider,
        hints: &dyn HintingCallbacks,
        body: Bytes,
        traceparent: Option<String>,
    ) -> Result<Received, NotReceived> {
        let account = &provider.account;
        let hint = match hints.hint(&body) {
            Ok(HintCallback::Hint(hint)) => hint,
            Ok(HintCallback::Foreign { event }) => return Ok(self.foreign(account, &event)),
            Err(cause) => return self.keep_what_is_not_understood(provider, Kept::unproven(&body), &cause).await,
        };
        let keep = |reason, message: &str| self.quarantine(provider, Kept::unproven(&body), reason, hint.event.clone(), message.to_owned());
        let received = match self.follow(provider, &hint, traceparent).await? {
            Followed::Done => Received::Learned,
            Followed::AskAboutPayment => keep(Reason::Hint, "the provider is asked about the payment").await?,
            Followed::Unmatched => keep(Reason::Hint, "no record has its reference").await?,
        };
        self.count_callback(account, received);
        Ok(received)
    }

    fn foreign(&self, account: &AccountName, event: &str) -> Received {
        debug!(account = %account, event, "a callback about other business of the account is not kept");
        self.count_callback(account, Received::Foreign);
        Received::Foreign
    }

    async fn keep_what_is_not_understood(&self, provider: &Provider, kept: Kept, cause: &NotUnderstood) -> Result<Received, NotReceived> {
        let account = &provider.account;
        warn!(account = %account, "a callback is not understood and kept: {cause}");
        self.metrics.webhooks.with_label_values(&[account.as_str(), "not_understood"]).inc();
        self.quarantine(provider, kept, Reason::NotUnderstood, String::new(), cause.to_string()).await
    }

    fn count_callback(&self, account: &AccountName, received: Received) {
        let result = match received {
            Received::Learned => "learned",
            Received::Quarantined => "quarantined",
            Received::Foreign => "foreign",
        };
        self.metrics.webhooks.with_label_values(&[account.as_str(), result]).inc();
    }

    /// A refund before its payment, whose sums it moves; but where the payment is still to be recorded, that comes first.
    async fn in_order(&self, provider: &Provider, mut observations: Vec<Observation>) -> Result<Vec<Observation>, StoreError> {
        for observation in &observations {
            if let Observation::Refund(snapshot) = observation
                && self.find(provider.account.as_str(), PAYMENT_AT_PROVIDER, &snapshot.payment_ref).await?.is_some()
            {
                observations.sort_by_key(|observation| !matches!(observation, Observation::Refund(_)));
                break;
            }
        }
        Ok(observations)
    }

    /// Finds the record that an observation is about, and learns it.
    pub(super) async fn observe(&self, provider: &Provider, observation: &Observation, told: &Told) -> Result<Matched, StoreError> {
        match observation {
            Observation::Qr(snapshot) => {
                let Some(record) = self.find_qr(provider, Some(&snapshot.provider_ref), snapshot.our_ref.as_deref()).await? else {
                    // Every code of ours carries our reference: one without is somebody else's.
                    return Ok(if snapshot.our_ref.is_some() { Matched::Unmatched } else { Matched::Foreign });
                };
                self.learn(record, &Fact::Qr(QrFact::Seen(snapshot.clone())), told).await?;
                Ok(Matched::Learned)
            }
            Observation::Mandate(snapshot) => self.observe_mandate(provider, snapshot, told).await,
            Observation::Notice { order_ref, status } => self.observe_notice(provider, order_ref, status, told).await,
            Observation::Refund(snapshot) => self.observe_refund(provider, snapshot, told).await,
            Observation::Settlement(snapshot) => self.observe_settlement(provider, snapshot, told).await.map(|_| Matched::Learned),
            Observation::Payment { snapshot, origin } => {
                let known = self.find(provider.account.as_str(), PAYMENT_AT_PROVIDER, &snapshot.provider_ref);
                // Nearly always both are needed, and so they are asked for at once.
                let (known, paid_for) = match origin {
                    PaymentOrigin::Named { provider_ref, our_ref } => {
                        tokio::join!(known, self.find_paid_for(provider, provider_ref.as_deref(), our_ref.as_deref()))
                    }
                    PaymentOrigin::Elsewhere | PaymentOrigin::Untold => (known.await, Ok(None)),
                };
                if let Some(known) = known? {
                    let is_misplaced = match &known {
                        Record::Payment(payment) => self.is_misplaced(payment, origin).await?,
                        _ => false,
                    };
                    let fact = if is_misplaced { PaymentFact::Misplaced } else { PaymentFact::Seen(Box::new(snapshot.clone())) };
                    self.learn(known, &Fact::Payment(fact), told).await?;
                    return Ok(Matched::Learned);
                }
                match origin {
                    PaymentOrigin::Elsewhere => Ok(Matched::Foreign),
                    PaymentOrigin::Untold => Ok(Matched::Unlinked),
                    PaymentOrigin::Named { our_ref, .. } => {
                        match paid_for? {
                            // Where nobody can be asked both ids have to be of the same code.
                            Some(PaidFor::Qr(qr)) if provider.payments.is_none() && !is_of_this_attempt(&qr, &snapshot.provider_ref) => {
                                Ok(Matched::Unmatched)
                            }
                            Some(paid_for) => {
                                self.observe_new_payment(paid_for, snapshot, told).await?;
                                Ok(Matched::Learned)
                            }
                            None if our_ref.is_some() || !provider.carries_our_ref => Ok(Matched::Unmatched),
                            None => Ok(Matched::Foreign),
                        }
                    }
                }
            }
        }
    }

    pub(super) async fn find_qr(
        &self,
        provider: &Provider,
        provider_ref: Option<&str>,
        our_ref: Option<&str>,
    ) -> Result<Option<Record>, StoreError> {
        let account = provider.account.as_str();
        if let Some(provider_ref) = provider_ref
            && let Some(record) = self.find(account, QR_AT_PROVIDER, provider_ref).await?
        {
            return Ok(Some(record));
        }
        match our_ref {
            Some(our_ref) => self.find(account, QR_OURS, our_ref).await,
            None => Ok(None),
        }
    }

    /// Makes a record that stands at rest due in a while.
    pub(super) async fn wake_later(&self, id: &crate::domain::id::Id) -> Result<(), StoreError> {
        self.store.wake(id, after(self.clock.now(), LATER), Wake::News).await?;
        Ok(())
    }

    /// Makes a record due now.
    pub(super) async fn wake_now(&self, id: &crate::domain::id::Id) -> Result<(), StoreError> {
        self.store.wake(id, self.clock.now(), Wake::News).await?;
        self.woken.notify_waiters();
        Ok(())
    }
}
