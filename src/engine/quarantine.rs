//! Callbacks that could not be applied: verified ones, and hints that nothing recorded answers to. Kept, bounded, shown, and
//! tried again by themselves.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::Engine;
use super::error::Error;
use super::hint::Followed;
use super::learn::Told;
use super::paid_for::PaidFor;
use super::qr::known;
use super::webhook::{Matched, NotReceived, Received};
use crate::clock::{after, since};
use crate::domain::account::{AccountName, ProviderId};
use crate::domain::fact::{Cause, Evidence};
use crate::domain::id::{Id, Kind};
use crate::providers::{AskError, Callback, HintCallback, Observation, Provider, ShownPayment, Verified};
use crate::store::record;
use crate::store::{Batch, Change, Commit, Conflict, Fence, Guard, LeaseStep, ListKey, Look, Reference, ReferenceStep, StoreError, Stored};

/// The list of an account's kept callbacks, and the sort of the references by their content.
pub(super) const QUARANTINE: &str = "quarantine";
/// The first and the longest pause between two tries to apply a kept callback.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);
const RETRY_UNREAD: Duration = Duration::from_secs(6 * 3600);
/// After this long a kept callback only waits for a person.
const RETRY_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why a callback is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// We can't read it.
    NotUnderstood,
    /// It carries a reference of ours that no record has.
    Unmatched,
    /// It does not say which code the payment came through.
    UnlinkedPayment,
    /// Nothing proves it, and what it names is not known (yet) or has to be asked about first.
    Hint,
}

/// A callback to be kept, and what proves it.
pub(super) struct Kept {
    body: Bytes,
    evidence: Evidence,
}

impl Kept {
    pub(super) fn of(callback: &Verified) -> Self {
        Self { body: callback.body().clone(), evidence: callback.evidence() }
    }

    pub(super) fn unproven(body: &Bytes) -> Self {
        Self { body: body.clone(), evidence: Evidence::Unproven }
    }
}

/// A kept callback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quarantined {
    pub id: Id,
    pub account: AccountName,
    pub provider: ProviderId,
    pub reason: Reason,
    /// The provider's name of the event; empty where it could not be read.
    pub event: String,
    pub message: String,
    pub receive_time: Timestamp,
    /// The first time included.
    pub attempts: u32,
    /// The provider's ids that it names.
    pub provider_refs: Vec<String>,
    /// The body as it came. Holds personal data: never shown, never logged.
    body: String,
    /// What proved it when it came.
    #[serde(default = "signature")]
    evidence: Evidence,
}

/// What proved the callbacks that were kept before others could be.
fn signature() -> Evidence {
    Evidence::Signature
}

impl Engine {
    /// Keeps a callback. The same one a second time is one entry.
    pub(super) async fn quarantine(
        &self,
        provider: &Provider,
        kept: Kept,
        reason: Reason,
        event: String,
        message: String,
    ) -> Result<Received, NotReceived> {
        let account = provider.account.clone();
        let now = self.clock.now();
        let partition = self.partition_of(account.as_str());
        let id = self.randomness.id(Kind::Quarantined, partition, now);
        // Its content is another name of it: a repeat finds it.
        let Kept { body, evidence } = kept;
        // The same bytes, proved this time, are worth more than before.
        let named = if evidence == Evidence::Unproven { Sha256::digest([&body[..], b"unproven"].concat()) } else { Sha256::digest(&body) };
        let digest: String = named.iter().map(|byte| format!("{byte:02x}")).collect();
        let content = Reference { account: account.to_string(), sort: QUARANTINE, value: digest };
        let entry = Quarantined {
            id: id.clone(),
            account: account.clone(),
            provider: provider.id,
            reason,
            event,
            message,
            receive_time: now,
            attempts: 1,
            provider_refs: provider_refs(provider, &body, evidence),
            body: String::from_utf8_lossy(&body).into_owned(),
            evidence,
        };
        let list = ListKey { account: account.to_string(), key: QUARANTINE.to_owned() };
        let first = if matches!(reason, Reason::UnlinkedPayment | Reason::Hint) { Duration::ZERO } else { RETRY_FIRST };
        let look = Look::At(after(now, first));
        let change = Change {
            id,
            from: None,
            body: Some(record::encode(&entry)?),
            event: None,
            references: vec![ReferenceStep::Unique(content)],
            join: vec![list.clone()],
            leave: Vec::new(),
            look,
            lease: LeaseStep::Keep,
        };
        let guards = vec![Guard::ShorterThan { list, entries: self.settings.quarantine_max }];
        let batch = Batch { partition, write: self.randomness.bits(), claims: Vec::new(), changes: vec![change], guards };
        match self.commit_surely(batch).await? {
            Commit::Done(_) => {
                warn!(account = %account, "a callback is kept in quarantine: {}", entry.message);
                self.woken.notify_waiters();
                Ok(Received::Quarantined)
            }
            Commit::Conflict(Conflict::Referenced { .. }) => Ok(Received::Quarantined),
            Commit::Conflict(_) => Err(NotReceived::QuarantineFull),
        }
    }

    /// One try to apply a kept callback whose lease `fence` holds.
    pub(super) async fn replay_kept(&self, stored: &Stored, fence: Option<Fence>) -> Result<bool, StoreError> {
        let mut entry = decode(stored)?;
        let applied = match self.providers.get(&entry.account) {
            Some(provider) => self.apply_kept(provider, &entry).await?,
            None => false,
        };
        let now = self.clock.now();
        entry.attempts += 1;
        let age = since(entry.receive_time, now);
        let pause = match entry.reason {
            // Only another release can read it.
            Reason::NotUnderstood => RETRY_UNREAD,
            Reason::Unmatched | Reason::UnlinkedPayment | Reason::Hint => age.clamp(RETRY_FIRST, RETRY_MAX),
        };
        let look = if age >= RETRY_FOR { Look::Rest } else { Look::At(after(now, self.randomness.jittered(pause))) };
        let list = ListKey { account: entry.account.to_string(), key: QUARANTINE.to_owned() };
        let change = Change {
            id: stored.id.clone(),
            from: Some(stored.revision),
            body: if applied { None } else { Some(record::encode(&entry)?) },
            event: None,
            references: Vec::new(),
            join: Vec::new(),
            leave: if applied { vec![list] } else { Vec::new() },
            look: if applied { Look::Rest } else { look },
            lease: fence.map_or(LeaseStep::Keep, LeaseStep::Release),
        };
        let batch = Batch {
            partition: stored.id.partition(),
            write: self.randomness.bits(),
            claims: Vec::new(),
            changes: vec![change],
            guards: Vec::new(),
        };
        match self.commit_surely(batch).await? {
            Commit::Done(_) => {
                if applied {
                    info!(account = %entry.account, "a kept callback was applied");
                }
                Ok(applied)
            }
            // Somebody else tried it at the same time: what was learned is learned, and his word on the entry stands.
            Commit::Conflict(_) => Ok(false),
        }
    }

    /// Whether the callback needs keeping no longer: learned, or other business.
    async fn apply_kept(&self, provider: &Provider, entry: &Quarantined) -> Result<bool, StoreError> {
        let body = Bytes::from(entry.body.clone());
        if entry.evidence == Evidence::Unproven {
            return self.follow_kept(provider, entry, &body).await;
        }
        let Some(proved) = &provider.webhooks.proved else { return Ok(false) };
        let callback = Verified::kept_since_verified(body, entry.evidence);
        let (occur_time, observations) = match proved.read(&callback) {
            Ok(Callback::Facts { occur_time, observations, .. }) => (occur_time, observations),
            Ok(Callback::Foreign { .. }) => return Ok(true),
            Err(_) => return Ok(false),
        };
        let told = Told { cause: Cause::Reconciliation, evidence: entry.evidence, occur_time, traceparent: None, fence: None, asked: None };
        for observation in &observations {
            let settled = match self.observe(provider, observation, &told).await? {
                Matched::Learned | Matched::Foreign => true,
                Matched::Unmatched => false,
                Matched::Unlinked => self.ask_for_code(provider, observation, entry).await?,
            };
            if !settled {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One try to follow a kept hint. True: it needs keeping no longer.
    async fn follow_kept(&self, provider: &Provider, entry: &Quarantined, body: &[u8]) -> Result<bool, StoreError> {
        let hint = match provider.webhooks.hints.as_ref().map(|hints| hints.hint(body)) {
            Some(Ok(HintCallback::Hint(hint))) => hint,
            Some(Ok(HintCallback::Foreign { .. })) => return Ok(true),
            Some(Err(_)) | None => return Ok(false),
        };
        match (self.follow(provider, &hint, None).await?, &hint.payment_ref) {
            (Followed::Done, _) => Ok(true),
            (Followed::AskAboutPayment, Some(payment_ref)) => self.ask_about_hinted(provider, payment_ref, entry.receive_time).await,
            (Followed::AskAboutPayment, None) | (Followed::Unmatched, _) => Ok(false),
        }
    }

    /// Asks the provider which code a payment came through. True: learned, or certainly none of ours.
    async fn ask_for_code(&self, provider: &Provider, observation: &Observation, entry: &Quarantined) -> Result<bool, StoreError> {
        let of_payment = provider.qr.as_ref().and_then(|codes| codes.of_payment.as_ref());
        let (Observation::Payment { snapshot, .. }, Some(codes), Some(payments)) = (observation, of_payment, &provider.payments) else {
            return Ok(false);
        };
        let searched = self.clock.now();
        let code = match codes.of_payment(&snapshot.provider_ref).await {
            Ok(Some(code)) => code,
            // Lists lag: none found is believed only after a while.
            Ok(None) | Err(AskError::Absent) => {
                return Ok(since(entry.receive_time, searched) >= self.settings.patience.absence_after);
            }
            Err(AskError::Unanswered(cause)) => {
                self.metrics.provider_unanswered.with_label_values(&[provider.account.as_str()]).inc();
                warn!(account = %provider.account, "the provider did not say which code a payment came through: {cause}");
                return Ok(false);
            }
        };
        let Some(record) = self.find_qr(provider, Some(&code.provider_ref), code.our_ref.as_deref()).await? else {
            return Ok(code.our_ref.is_none());
        };
        let crate::domain::event::Record::Qr(qr) = record else { return Ok(false) };
        let told = self.told_by_enquiry(None);
        match payments.fetch(&snapshot.provider_ref, known(&qr).as_ref()).await {
            Ok(ShownPayment { snapshot: fresh, .. }) => {
                let told = Told { occur_time: fresh.pay_time, ..told };
                self.observe_payment(PaidFor::Qr(qr), &fresh, &told).await?;
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// An account's kept callbacks, newest first.
    pub async fn list_quarantine(&self, account: &AccountName, before: Option<&Id>, limit: usize) -> Result<Vec<Quarantined>, Error> {
        self.provider(account)?;
        let partition = self.partition_of(account.as_str());
        let list = ListKey { account: account.to_string(), key: QUARANTINE.to_owned() };
        let entries = self.store.list(partition, &list, before, limit).await.map_err(Error::of_read)?;
        entries.iter().map(|stored| decode(stored).map_err(Error::of_read)).collect()
    }

    /// Tries a kept callback now. True: it was applied and is kept no longer.
    pub async fn replay_quarantined(&self, id: &Id) -> Result<bool, Error> {
        // A drain waits for it.
        let _at_work = self.tasks.token();
        let stored = self.store.get(id).await.map_err(Error::of_read)?.ok_or_else(|| Error::no_such("kept callback", id))?;
        self.replay_kept(&stored, None).await.map_err(Error::of_write)
    }

    /// A kept callback, for those who must know whose it is.
    pub async fn get_quarantined(&self, id: &Id) -> Result<Quarantined, Error> {
        let stored = self.store.get(id).await.map_err(Error::of_read)?.ok_or_else(|| Error::no_such("kept callback", id))?;
        decode(&stored).map_err(Error::of_read)
    }
}

/// The account of a kept callback.
pub(super) fn account_of(stored: &Stored) -> Option<AccountName> {
    decode(stored).ok().map(|entry| entry.account)
}

fn decode(stored: &Stored) -> Result<Quarantined, StoreError> {
    record::decode(&format_args!("the kept callback `{}`", stored.id), &stored.body)
}

fn provider_refs(provider: &Provider, body: &Bytes, evidence: Evidence) -> Vec<String> {
    let webhooks = &provider.webhooks;
    if evidence == Evidence::Unproven {
        return match webhooks.hints.as_ref().map(|hints| hints.hint(body)) {
            Some(Ok(HintCallback::Hint(hint))) => hint.payment_ref.into_iter().chain(hint.refs).collect(),
            Some(Ok(HintCallback::Foreign { .. }) | Err(_)) | None => Vec::new(),
        };
    }
    let callback = Verified::kept_since_verified(body.clone(), evidence);
    let Some(Ok(Callback::Facts { observations, .. })) = webhooks.proved.as_ref().map(|proved| proved.read(&callback)) else {
        return Vec::new();
    };
    observations
        .into_iter()
        .filter_map(|observation| match observation {
            Observation::Qr(snapshot) => Some(snapshot.provider_ref),
            Observation::Payment { snapshot, .. } => Some(snapshot.provider_ref),
            Observation::Refund(snapshot) => snapshot.provider_ref,
            Observation::Mandate(snapshot) => snapshot.provider_ref,
            Observation::Notice { order_ref, .. } => Some(order_ref),
            Observation::Settlement(snapshot) => Some(snapshot.provider_ref),
        })
        .collect()
}
