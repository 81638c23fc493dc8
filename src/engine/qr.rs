//! QR codes: create, get, close. First it is written down, then the provider is asked; the work runs in a task of its
//! own, so a caller who leaves takes nothing with him.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Instrument, error, info_span, warn};

use super::error::{Error, STORE_RETRY_AFTER};
use super::idempotency::{Asked, decided_answer};
use super::learn::{Told, as_qr, fence_of};
use super::qr_image::{self, ErrorCorrection};
use super::{Answer, Engine, reference};
use crate::domain::account::{AccountName, Operation};
use crate::domain::event::{EventKind, Fact, Record};
use crate::domain::fact::{Cause, Evidence, Learned};
use crate::domain::header::Header;
use crate::domain::id::{Id, Kind};
use crate::domain::qr::{Qr, QrFact, QrOrder, QrState};
use crate::providers::{CallError, Provider, QrCodes, Violation};
use crate::store::{ClaimStep, Commit, Conflict, Fence, LeaseStep, StoreError};

/// The pause before a call that was not delivered is tried again; then twice as long each time.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How often a call that was not delivered is tried.
const DELIVERY_TRIES_MAX: u32 = 5;

/// A code that a caller wants.
#[derive(Clone, Debug)]
pub struct QrWish {
    pub account: AccountName,
    pub reference: String,
    pub labels: BTreeMap<String, String>,
    pub order: QrOrder,
}

/// How a picture of a code should be.
#[derive(Clone, Copy, Debug)]
pub enum ImageFormat {
    Png,
    Svg,
}

/// A call that acts at the provider on behalf of one record.
enum Act {
    Create { order: QrOrder, our_ref: String },
    Close { provider_ref: String },
}

impl Engine {
    /// Asks the account's provider for a code.
    pub async fn create_qr(self: &Arc<Self>, asked: Asked, wish: QrWish) -> Result<Answer<Qr>, Error> {
        let provider = self.provider(&wish.account)?.clone();
        let now = self.clock.now();
        let adapter = match self.may_create(&asked, &provider, &wish.order, now) {
            Ok(adapter) => adapter,
            Err(forbidden) => {
                let partition = crate::store::partition_of(&*self.store, wish.account.as_str());
                let nothing = self.randomness.id(Kind::Qr, partition, now);
                return self.replay_or(&asked, &wish.account, nothing, forbidden).await;
            }
        };

        let QrWish { account, reference, labels, order } = wish;
        let partition = crate::store::partition_of(&*self.store, account.as_str());
        let our_ref = reference::derive(&asked.caller, account.as_str(), asked.method, &asked.key);
        let scope = asked.scope(account.as_str());
        let header = Header {
            id: self.randomness.id(Kind::Qr, partition, now),
            account,
            provider: provider.id,
            provider_ref: None,
            our_ref: Some(our_ref.clone()),
            revision: 1,
            reference,
            labels,
            create_time: now,
            update_time: now,
            contradictions: Vec::new(),
            claim: Some(scope.0.clone()),
            operator_note: None,
        };
        let qr = Record::Qr(Qr::requested(header, order.clone()));
        let claim = ClaimStep::Take { scope, fingerprint: asked.fingerprint.to_bytes(), record: qr.id().clone() };
        self.write_then_act(asked, provider, adapter, None, qr, EventKind::QrRequested, claim, Act::Create { order, our_ref }).await
    }

    /// All that the account's provider would refuse about `order`, for a request that is refused anyway.
    pub fn violations_of(&self, account: &AccountName, order: &QrOrder) -> Vec<Violation> {
        let adapter = self.providers.get(account).and_then(|provider| provider.qr.as_ref());
        adapter.map_or_else(Vec::new, |adapter| adapter.violations(order, self.clock.now()))
    }

    /// Asks the provider to close a code.
    pub async fn close_qr(self: &Arc<Self>, asked: Asked, qr: Qr) -> Result<Answer<Qr>, Error> {
        let provider = self.provider(&qr.header.account)?.clone();
        let adapter = match self.check_time(&asked, &provider).and_then(|()| qr_adapter(&provider, Operation::CloseQr)) {
            Ok(adapter) => adapter,
            Err(forbidden) => return self.replay_or(&asked, &qr.header.account, qr.header.id.clone(), forbidden).await,
        };
        let scope = asked.scope(qr.header.account.as_str());
        let id = qr.header.id.clone();
        let claim = ClaimStep::Take { scope: scope.clone(), fingerprint: asked.fingerprint.to_bytes(), record: id.clone() };

        let asked_to_close = Fact::Qr(QrFact::CloseAsked { claim: scope.0 });
        let before = Record::Qr(qr.clone());
        let after = match (before.learn(&asked_to_close, Evidence::Answer, self.clock.now()), &qr.header.provider_ref) {
            (Ok(Learned::Moved(after, _)), Some(provider_ref)) => Some((after, provider_ref.clone())),
            _ => None,
        };
        let Some((after, provider_ref)) = after else {
            // Not possible now; but it may be this very request that made it so, when it came first.
            return match self.claimed_by_whom(&claim).await? {
                Some((claim, record)) => self.replay_qr(&asked, claim, record).await,
                // What is asked for is so already.
                None if matches!(qr.state, QrState::Closed { .. }) => Ok(Answer { resource: qr, replayed: false }),
                None if qr.pending_change.is_some() => Err(Error::ChangePending { id }),
                None => Err(Error::StateForbids {
                    state: qr.state.name(),
                    message: format!("a code that is {} can't be closed", qr.state.name()),
                }),
            };
        };
        self.write_then_act(asked, provider, adapter, Some(before), after, EventKind::QrChangeRequested, claim, Act::Close { provider_ref })
            .await
    }

    pub async fn get_qr(&self, id: &Id) -> Result<Qr, Error> {
        match self.store.get(id).await.map_err(Error::of_read)? {
            Some(stored) => as_qr(super::learn::decode(&stored).map_err(Error::of_read)?),
            None => Err(Error::no_such("QR code", id)),
        }
    }

    /// A picture of a code, drawn from its UPI text: the bytes and their media type.
    pub fn qr_image(
        &self,
        qr: &Qr,
        format: ImageFormat,
        size_pixels: u32,
        correction: ErrorCorrection,
    ) -> Result<(Vec<u8>, &'static str), Error> {
        let Some(text) = qr.code.as_ref().map(|code| code.upi_link.as_str()).filter(|text| !text.is_empty()) else {
            return Err(Error::StateForbids { state: qr.state.name(), message: "this code has no UPI text to draw".to_owned() });
        };
        let drawn = match format {
            ImageFormat::Png => qr_image::png(text, size_pixels, correction).map(|image| (image, "image/png")),
            ImageFormat::Svg => qr_image::svg(text, size_pixels, correction).map(|image| (image.into_bytes(), "image/svg+xml")),
        };
        drawn.map_err(|cause| Error::Invalid(vec![Violation { field: "size_pixels".to_owned(), description: cause.to_string() }]))
    }

    /// Whether a new code may be asked for: nothing is written or sent that would be refused.
    fn may_create(&self, asked: &Asked, provider: &Provider, order: &QrOrder, now: Timestamp) -> Result<Arc<dyn QrCodes>, Error> {
        let adapter = qr_adapter(provider, Operation::CreateQr)?;
        let usage = provider.capabilities.qr_usage(order.usage);
        if let Some(why) = usage.map_or(Some("this provider has no such codes"), |usage| usage.missing) {
            return Err(Error::Lacks { operation: Operation::CreateQr.as_str(), why: why.to_owned() });
        }
        let violations = adapter.violations(order, now);
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        self.check_time(asked, provider)?;
        Ok(adapter)
    }

    /// What forbids a request now does not concern one that was taken before: a repeat of that is answered as every
    /// repeat is. To say NOT_SENT of it would be wrong. `record`: whom the claim would be for; it need not exist.
    async fn replay_or(&self, asked: &Asked, account: &AccountName, record: Id, forbidden: Error) -> Result<Answer<Qr>, Error> {
        let claim = ClaimStep::Take { scope: asked.scope(account.as_str()), fingerprint: asked.fingerprint.to_bytes(), record };
        match self.claimed_by_whom(&claim).await? {
            Some((claim, record)) => self.replay_qr(asked, claim, record).await,
            None => Err(forbidden),
        }
    }

    fn check_time(&self, asked: &Asked, provider: &Provider) -> Result<(), Error> {
        if self.draining.is_cancelled() {
            return Err(Error::Draining { retry_after: super::PROVIDER_RETRY_AFTER });
        }
        if asked.time_left() < provider.deadline_floor {
            return Err(Error::DeadlineTooShort { floor: provider.deadline_floor });
        }
        Ok(())
    }

    async fn replay_qr(
        &self,
        asked: &Asked,
        claim: crate::store::Claim,
        record: Option<crate::store::Stored>,
    ) -> Result<Answer<Qr>, Error> {
        let Answer { resource, replayed } = self.replay(asked, claim, record).await?;
        Ok(Answer { resource: as_qr(resource)?, replayed })
    }

    /// Writes the intent with its claim, hands the call to a task of its own, and answers with what is committed when
    /// the caller's time is over.
    #[expect(clippy::too_many_arguments, reason = "one step of two use cases; a struct would only rename them")]
    async fn write_then_act(
        self: &Arc<Self>,
        asked: Asked,
        provider: Provider,
        adapter: Arc<dyn QrCodes>,
        before: Option<Record>,
        intent: Record,
        event: EventKind,
        claim: ClaimStep,
        act: Act,
    ) -> Result<Answer<Qr>, Error> {
        let lease = self.settings.patience.lease;
        let told = self.told_by_caller(&asked, Evidence::Answer, None);
        let mut step = self.step(before, intent.clone(), event, &told);
        step.lease = LeaseStep::Take(lease);
        let leased_until = Instant::now() + lease;
        let written = match tokio::time::timeout_at(asked.deadline, self.write(vec![step], vec![claim], &told)).await {
            // Dropping the write does not undo it.
            Err(_) => return Err(Error::StoreInDoubt { retry_after: STORE_RETRY_AFTER }),
            Ok(Err(cause)) => return Err(Error::of_write(cause)),
            Ok(Ok(Commit::Conflict(Conflict::Claimed { claim, record }))) => return self.replay_qr(&asked, claim, record).await,
            Ok(Ok(Commit::Conflict(_))) => {
                return Err(Error::ChangePending { id: intent.id().clone() });
            }
            Ok(Ok(Commit::Done(written))) => written,
        };
        // `None`: somebody looks at the record just now. The call is made all the same, or nobody would make it: the claim
        // keeps other changes out, and that it was not made is believed only a lease, a timeout and more after the intent.
        let fence = fence_of(&written);

        let (done, answer) = oneshot::channel();
        let deadline = asked.deadline;
        let span = info_span!("act", resource.id = %intent.id(), account = %provider.account);
        let (engine, record) = (Arc::clone(self), intent.clone());
        self.tasks.spawn(
            async move {
                let ended = engine.act(&asked, &provider, &*adapter, record, act, fence, leased_until).await;
                // Nobody listens where the caller has left.
                let _ = done.send(ended);
            }
            .instrument(span),
        );
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(ended)) => {
                let Answer { resource, replayed } = ended?;
                Ok(Answer { resource: as_qr(resource)?, replayed })
            }
            // The work goes on; the caller gets what is committed.
            Err(_) | Ok(Err(_)) => Ok(Answer { resource: as_qr(intent)?, replayed: false }),
        }
    }

    /// Calls the provider on behalf of `record`, whose lease `fence` holds, and learns the answer. Without a fence it
    /// may call until `leased_until`, and no longer.
    #[expect(clippy::too_many_arguments, reason = "the body of the task above")]
    async fn act(
        &self,
        asked: &Asked,
        provider: &Provider,
        adapter: &dyn QrCodes,
        record: Record,
        act: Act,
        fence: Option<Fence>,
        mut leased_until: Instant,
    ) -> Result<Answer<Record>, Error> {
        let told = self.told_by_caller(asked, Evidence::Answer, fence);
        let mut pause = RETRY_PAUSE;
        for attempt in 1.. {
            // The call must be over before the lease is: nobody else may act for this record meanwhile.
            if leased_until.saturating_duration_since(Instant::now()) <= provider.call_timeout {
                let lease = self.settings.patience.lease;
                let renewed_from = Instant::now();
                let renewed = match fence {
                    Some(fence) => self.store.renew(record.id(), fence, lease).await.unwrap_or(false),
                    None => false,
                };
                if !renewed {
                    return Ok(Answer { resource: record, replayed: false });
                }
                leased_until = renewed_from + lease;
            }
            let called = match &act {
                Act::Create { order, our_ref } => adapter.create(order, our_ref, provider.call_timeout).await,
                Act::Close { provider_ref } => adapter.close(provider_ref, provider.call_timeout).await,
            };
            let fact = match called {
                Ok(snapshot) => QrFact::Seen(snapshot),
                Err(CallError::Refused { code, message }) => match act {
                    Act::Create { .. } => QrFact::Refused { code, message },
                    Act::Close { .. } => QrFact::CloseRefused { code, message },
                },
                Err(CallError::NotDelivered(cause)) => {
                    let time_for_another = asked.time_left() > pause + provider.deadline_floor;
                    if attempt < DELIVERY_TRIES_MAX && time_for_another {
                        warn!("a call for `{}` was not delivered, it is tried again: {cause}", record.id());
                        tokio::time::sleep(self.randomness.jittered(pause)).await;
                        pause *= 2;
                        continue;
                    }
                    // Every attempt of this record was not delivered: it certainly did not happen.
                    match act {
                        Act::Create { .. } => QrFact::NotSent { message: "the provider could not be reached".to_owned() },
                        Act::Close { .. } => QrFact::CloseNotSent,
                    }
                }
                Err(CallError::InDoubt(cause)) => {
                    warn!("no answer about `{}`, it will be looked up: {cause}", record.id());
                    let given_back = match fence {
                        Some(_) => self.give_back(&record, &told).await,
                        None => self.wake_now(record.id()).await,
                    };
                    given_back.map_err(completion_lost).ok();
                    self.woken.notify_waiters();
                    return Ok(Answer { resource: record, replayed: false });
                }
            };
            return match self.learn(record.clone(), &Fact::Qr(fact), &told).await {
                Ok(outcome) => self.answer_for(asked, outcome.record()).await,
                // The answer is lost to us; the intent stands, and the reconciler looks it up.
                Err(cause) => {
                    completion_lost(cause);
                    Ok(Answer { resource: record, replayed: false })
                }
            };
        }
        Ok(Answer { resource: record, replayed: false })
    }

    /// What the one who asked is answered once `record` is decided.
    async fn answer_for(&self, asked: &Asked, record: Record) -> Result<Answer<Record>, Error> {
        match &record {
            Record::Qr(Qr { duplicate_of: Some(other), .. }) => {
                let resource = self.read_again(other).await.map_err(Error::of_read)?;
                Ok(Answer { resource, replayed: true })
            }
            _ => decided_answer(asked, record, false),
        }
    }

    fn told_by_caller(&self, asked: &Asked, evidence: Evidence, fence: Option<Fence>) -> Told {
        Told { cause: Cause::Rpc, evidence, occur_time: self.clock.now(), traceparent: asked.traceparent.clone(), fence, asked: None }
    }
}

fn completion_lost(cause: StoreError) {
    error!("the provider's answer could not be written, it will be looked up: {cause}");
}

/// The adapter for `operation`, or why there is none.
fn qr_adapter(provider: &Provider, operation: Operation) -> Result<Arc<dyn QrCodes>, Error> {
    let lacks = |why: &str| Error::Lacks { operation: operation.as_str(), why: why.to_owned() };
    if let Some(why) = provider.capabilities.missing(operation) {
        return Err(lacks(why));
    }
    provider.qr.clone().ok_or_else(|| lacks("this provider has no QR codes"))
}

/// Whether the code can still be paid, as far as we know.
pub fn is_open(qr: &Qr) -> bool {
    matches!(qr.state, QrState::Requested | QrState::Active)
}
