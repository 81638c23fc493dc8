//! What only a person can decide, or may want to watch: undecided requests, unconfirmed reports, contradictions.

use std::sync::Arc;

use jiff::Timestamp;

use super::Answer;
use super::Engine;
use super::act::LEASE_PAUSE;
use super::error::Error;
use super::idempotency::{Asked, ClaimOutcome};
use super::index::{DOUBTS, is_doubtful};
use super::learn::{Told, decode};
use super::qr::known;
use super::refund::{known_refund, refunds_have_no_ids};
use super::schedule::proof_after;
use crate::clock::since;
use crate::domain::account::{AccountName, DoubtCure, Operation};
use crate::domain::debit::{Debit, DebitFact};
use crate::domain::event::{Fact, Record};
use crate::domain::fact::{Cause, Evidence};
use crate::domain::id::Id;
use crate::domain::mandate::{Mandate, MandateFact, MandateState};
use crate::domain::payment::PaymentFact;
use crate::domain::qr::{QrFact, QrState, QrStatus, Usage};
use crate::domain::refund::{Refund, RefundFact, RefundState};
use crate::domain::settlement::SettlementFact;
use crate::providers::{AskError, KnownQr, KnownRefund, Violation};
use crate::store::{ClaimStep, Commit, Conflict, Guard, ListKey, Look, PAGE_MAX, StoreError};

mod mandate;

/// Pages that are read to find the oldest doubt, newest first. With more than these anybody is alerted already.
const MEASURED_PAGES_MAX: usize = 10;

/// Why a record is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtKind {
    OutcomeUnknown,
    ChangeUnknown,
    ReportedOnly,
    Contradiction,
}

/// A record in doubt.
#[derive(Clone, Debug)]
pub struct Doubt {
    pub kind: DoubtKind,
    pub since: Timestamp,
    pub record: Record,
}

/// What an operator says.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It happened, and the provider knows it by this id.
    Happened {
        provider_ref: String,
    },
    DidNotHappen,
}

impl Doubt {
    /// Whether what became of a request is not known.
    fn is_of_outcome(record: &Record) -> bool {
        Self::of(record.clone()).is_some_and(|doubt| doubt.kind == DoubtKind::OutcomeUnknown)
    }

    fn of(record: Record) -> Option<Self> {
        let (kind, since) = match &record {
            Record::Qr(qr) if qr.state == QrState::Requested => (DoubtKind::OutcomeUnknown, qr.header.create_time),
            Record::Qr(qr) if qr.pending_change.is_some() => {
                (DoubtKind::ChangeUnknown, qr.pending_change.as_ref().map_or(qr.header.update_time, |pending| pending.since))
            }
            Record::Payment(payment) if payment.is_reported_only() => (DoubtKind::ReportedOnly, payment.header.create_time),
            Record::Refund(refund) if refund.state == RefundState::Requested => (DoubtKind::OutcomeUnknown, refund.header.create_time),
            Record::Mandate(mandate) if mandate.state == MandateState::Requested => (DoubtKind::OutcomeUnknown, mandate.header.create_time),
            Record::Mandate(Mandate { pending_change: Some(pending), .. }) => (DoubtKind::ChangeUnknown, pending.since),
            Record::Debit(debit) if !debit.is_decided() => (DoubtKind::OutcomeUnknown, undecided_since(debit)),
            Record::Refund(refund) if refund.state == RefundState::Pending && refund.header.provider_ref.is_none() => {
                (DoubtKind::OutcomeUnknown, refund.header.create_time)
            }
            _ => (DoubtKind::Contradiction, record.header().contradictions.first()?.time),
        };
        Some(Self { kind, since, record })
    }
}

impl Engine {
    /// An account's records in doubt, newest first. A request that may still be under way (its first lease) is none.
    pub async fn list_doubts(&self, account: &AccountName, before: Option<&Id>, limit: usize) -> Result<(Vec<Doubt>, Option<Id>), Error> {
        self.provider(account)?;
        let partition = self.partition_of(account.as_str());
        let list = ListKey { account: account.to_string(), key: DOUBTS.to_owned() };
        let page = self.store.list(partition, &list, before, limit.min(PAGE_MAX)).await.map_err(Error::of_read)?;
        let next = (page.len() == limit.min(PAGE_MAX)).then(|| page.last().map(|stored| stored.id.clone())).flatten();
        let now = self.clock.now();
        let mut doubts = Vec::with_capacity(page.len());
        for stored in &page {
            let doubt = Doubt::of(decode(stored).map_err(Error::of_read)?);
            doubts.extend(doubt.filter(|doubt| !self.may_be_under_way(doubt, now)));
        }
        Ok((doubts, next))
    }

    /// For how many seconds an account's oldest doubt is one; 0: there is none.
    pub(super) async fn oldest_doubt_s(&self, account: &AccountName) -> Result<u64, StoreError> {
        let partition = self.partition_of(account.as_str());
        let list = ListKey { account: account.to_string(), key: DOUBTS.to_owned() };
        let (now, mut oldest, mut before) = (self.clock.now(), None, None);
        for _ in 0..MEASURED_PAGES_MAX {
            let page = self.store.list(partition, &list, before.as_ref(), PAGE_MAX).await?;
            for stored in &page {
                let doubt = Doubt::of(decode(stored)?).filter(|doubt| !self.may_be_under_way(doubt, now));
                oldest = doubt.map(|doubt| doubt.since).into_iter().chain(oldest).min();
            }
            if page.len() < PAGE_MAX {
                break;
            }
            before = page.last().map(|stored| stored.id.clone());
        }
        Ok(oldest.map_or(0, |oldest| since(oldest, now).as_secs()))
    }

    /// A record that may be in doubt.
    pub async fn get_record(&self, id: &Id) -> Result<Record, Error> {
        match self.store.get(id).await.map_err(Error::of_read)? {
            Some(stored) => decode(&stored).map_err(Error::of_read),
            None => Err(Error::no_such("resource", id)),
        }
    }

    /// Decides a doubt as an operator says. What the provider can still show is asked for, not taken on trust.
    pub async fn resolve_doubt(
        self: &Arc<Self>,
        asked: Asked,
        record: Record,
        decision: Decision,
        note: String,
        expected_revision: Option<u64>,
    ) -> Result<Answer<Record>, Error> {
        // A drain waits for it.
        let _at_work = self.tasks.token();
        let scope = asked.scope(record.header().account.as_str());
        let claim = ClaimStep::Take { scope: scope.clone(), fingerprint: asked.fingerprint.to_bytes(), record: record.id().clone() };
        if let Some(answer) = self.resolved_before(&asked, &claim).await? {
            return Ok(answer);
        }
        if expected_revision.is_some_and(|revision| revision != record.header().revision) {
            return Err(changed_meanwhile(&record));
        }
        if !is_doubtful(&record) {
            return Err(Error::StateForbids { state: record.state_name(), message: format!("`{}` is not in doubt", record.id()) });
        }
        let now = self.clock.now();
        if Doubt::of(record.clone()).is_some_and(|doubt| self.may_be_under_way(&doubt, now)) {
            return Err(Error::StateForbids {
                state: record.state_name(),
                message: "the request may still be under way: there is nothing to decide yet".to_owned(),
            });
        }
        if matches!(decision, Decision::DidNotHappen) && self.is_sent_again(&record, now) {
            return Err(Error::StateForbids {
                state: record.state_name(),
                message: "it is still looked for, and sent again where that is safe: there is nothing to decide yet".to_owned(),
            });
        }
        // What the provider shows is asked for within the caller's time; nothing is written before.
        let unanswered = Error::ProviderUnavailable { id: Some(record.id().clone()), retry_after: super::PROVIDER_RETRY_AFTER };
        let fact = tokio::time::timeout_at(asked.deadline, self.decided_fact(&record, &decision)).await.map_err(|_| unanswered)??;
        let told = Told {
            cause: Cause::Operator,
            evidence: Evidence::Operator,
            occur_time: self.clock.now(),
            traceparent: asked.traceparent.clone(),
            fence: None,
            asked: None,
        };
        let (mut after, event) = match record.learn(&fact, Evidence::Operator, now) {
            Ok(crate::domain::fact::Learned::Moved(after, event)) => (after, event),
            Ok(_) => return Err(Error::StateForbids { state: record.state_name(), message: "this decision changes nothing".to_owned() }),
            Err(contradiction) => return Err(Error::StateForbids { state: record.state_name(), message: contradiction.message }),
        };
        // Once its id is known, it is fetched: that is progress, and no doubt.
        let is_registered = after.header().provider_ref.is_some() && record.header().provider_ref.is_none();
        if !is_registered && Doubt::of(after.clone()).is_some_and(|doubt| doubt.kind != DoubtKind::Contradiction) {
            return Err(Error::StateForbids {
                state: record.state_name(),
                message: "the provider does not show that it happened".to_owned(),
            });
        }
        after.header_mut().operator_note = Some(note);
        let mut step = self.step(Some(record.clone()), after.clone(), event, &told);
        // What holds now is the provider's to say.
        step.look = Some(Look::At(now));
        let parents = self.parent_steps(&step, &told).await.map_err(Error::of_write)?;
        let steps = std::iter::once(step).chain(parents).collect();
        let settled = self.settle(scope, record.id().clone(), ClaimOutcome::Done, record.id().clone(), Some(self.settings.claim_retention));
        let mut batch = self.batch(steps, vec![claim, settled], &told).map_err(Error::of_write)?;
        // Somebody may be sending it again: what is decided meanwhile could come on top of that.
        let guard = (!super::idempotency::is_decided(&record)).then(|| Guard::Unheld { id: record.id().clone() });
        batch.guards.extend(guard);
        let mut committed = self.commit_surely(batch.clone()).await;
        while matches!(committed, Ok(Commit::Conflict(Conflict::Guard(_)))) && asked.time_left() > LEASE_PAUSE {
            tokio::time::sleep(LEASE_PAUSE).await;
            committed = self.commit_surely(batch.clone()).await;
        }
        match committed {
            Ok(Commit::Conflict(Conflict::Guard(_))) => {
                Err(Error::ProviderUnavailable { id: None, retry_after: super::PROVIDER_RETRY_AFTER })
            }
            Ok(Commit::Done(_)) => Ok(Answer { resource: after, replayed: false }),
            Ok(Commit::Conflict(Conflict::Claimed { claim, record: now })) => self.replay(&asked, claim, now).await,
            Ok(Commit::Conflict(Conflict::Referenced { holder, .. })) => Err(Error::StateForbids {
                state: record.state_name(),
                message: format!("`{holder}` stands for what the provider has by this id"),
            }),
            Ok(Commit::Conflict(_)) => Err(changed_meanwhile(&record)),
            Err(cause) => Err(Error::of_write(cause)),
        }
    }

    /// Whether the first owner of an undecided request may still be at it.
    fn may_be_under_way(&self, doubt: &Doubt, now: Timestamp) -> bool {
        // What the provider has already made is only to be fetched: nobody has anything to decide while that may still come.
        let patience = match (doubt.kind, &doubt.record.header().provider_ref) {
            (DoubtKind::OutcomeUnknown, Some(_)) => self.settings.patience.absence_after,
            // The provider took it: its outcome may still show.
            (DoubtKind::OutcomeUnknown, None) if doubt.record.state_name() == "pending" => self.settings.patience.absence_after,
            (DoubtKind::OutcomeUnknown | DoubtKind::ChangeUnknown, _) => self.settings.patience.lease,
            (DoubtKind::ReportedOnly | DoubtKind::Contradiction, _) => return false,
        };
        since(doubt.since, now) < patience
    }

    /// Whether a refund may still be sent again by the reconciler, or was so just now.
    fn is_sent_again(&self, record: &Record, now: Timestamp) -> bool {
        let Record::Refund(refund) = record else { return false };
        let Some(provider) = self.providers.get(&refund.header.account) else { return false };
        let resent_for = proof_after(&self.settings.patience, provider.call_timeout).saturating_mul(2);
        refund.state == RefundState::Requested
            && provider.capabilities.doubt(Operation::CreateRefund) == DoubtCure::SafeResend
            && since(refund.header.create_time, now) < resent_for
    }

    /// When the reconciler asks about a doubt again by itself, at about; `None`: it does not, a person has to decide.
    pub fn looked_at_again(&self, doubt: &Doubt) -> Option<Timestamp> {
        let askable = self.askable(&doubt.record);
        match (doubt.kind, self.look_after(&doubt.record, None, self.clock.now())) {
            (DoubtKind::OutcomeUnknown, _) if doubt.record.header().provider_ref.is_none() && !askable.lost_creations => None,
            (DoubtKind::OutcomeUnknown | DoubtKind::ChangeUnknown, Look::At(time)) => Some(time),
            _ => None,
        }
    }

    async fn resolved_before(&self, asked: &Asked, claim: &ClaimStep) -> Result<Option<Answer<Record>>, Error> {
        match self.claimed_by_whom(claim).await? {
            Some((claim, record)) => self.replay(asked, claim, record).await.map(Some),
            None => Ok(None),
        }
    }

    async fn decided_fact(&self, record: &Record, decision: &Decision) -> Result<Fact, Error> {
        if let (Decision::Happened { provider_ref }, known) = (decision, &record.header().provider_ref) {
            match known {
                None if provider_ref.is_empty() && self.gives_an_id(record) => {
                    return Err(invalid("happened.provider_ref", "is needed: nothing else tells what happened"));
                }
                Some(known) if !provider_ref.is_empty() && provider_ref != known => {
                    return Err(invalid("happened.provider_ref", "is not the resource's"));
                }
                _ => {}
            }
        }
        match (record, decision) {
            (Record::Qr(qr), Decision::Happened { provider_ref }) if qr.state == QrState::Requested => {
                let provider = self.provider(&qr.header.account)?;
                let Some(codes) = &provider.qr else {
                    return Err(Error::Lacks { operation: "CreateQr", why: "this provider has no QR codes".to_owned() });
                };
                // Nobody can check it: the operator's word is all there is.
                let Some(enquiry) = &codes.enquiry else {
                    return Ok(Fact::Qr(QrFact::Adopted { provider_ref: provider_ref.clone() }));
                };
                let code = KnownQr {
                    provider_ref: provider_ref.clone(),
                    our_ref: qr.header.our_ref.clone(),
                    usage: qr.order.usage,
                    amount: qr.order.amount,
                    attempt_ref: None,
                };
                match enquiry.fetch(&code).await {
                    // Every code of ours carries our reference.
                    Ok(snapshot) if snapshot.our_ref != qr.header.our_ref => {
                        Err(invalid("happened.provider_ref", "is another request's code at the provider"))
                    }
                    // What a payer scans is fetched next.
                    Ok(snapshot)
                        if snapshot.status == QrStatus::Active && codes.drawing.is_some() && qr.order.usage == Usage::SingleUse =>
                    {
                        Ok(Fact::Qr(QrFact::Registered { provider_ref: snapshot.provider_ref }))
                    }
                    Ok(snapshot) => Ok(Fact::Qr(QrFact::Seen(snapshot))),
                    Err(AskError::Absent) => Err(invalid("happened.provider_ref", "is not known to the provider")),
                    Err(AskError::Unanswered(_)) => Err(Error::ProviderUnavailable { id: None, retry_after: super::PROVIDER_RETRY_AFTER }),
                }
            }
            (Record::Qr(qr), Decision::DidNotHappen) if qr.state == QrState::Requested => Ok(Fact::Qr(QrFact::Absent)),
            (Record::Qr(qr), Decision::DidNotHappen) if qr.pending_change.is_some() => Ok(Fact::Qr(QrFact::CloseNotMade)),
            (Record::Qr(qr), Decision::Happened { .. }) if qr.pending_change.is_some() => {
                let provider = self.provider(&qr.header.account)?;
                let enquiry = provider.qr.as_ref().and_then(|codes| codes.enquiry.as_ref());
                let (Some(enquiry), Some(code)) = (enquiry, known(qr)) else {
                    return Err(Error::Lacks { operation: "CloseQr", why: "this provider can't be asked about codes".to_owned() });
                };
                match enquiry.fetch(&code).await {
                    Ok(snapshot) => Ok(Fact::Qr(QrFact::Seen(snapshot))),
                    Err(_) => Err(Error::ProviderUnavailable { id: None, retry_after: super::PROVIDER_RETRY_AFTER }),
                }
            }
            (Record::Qr(_), _) => Ok(Fact::Qr(QrFact::ContradictionsResolved)),
            (Record::Payment(payment), Decision::Happened { .. }) if payment.is_reported_only() || payment.was_denied() => {
                Ok(Fact::Payment(PaymentFact::Confirmed))
            }
            (Record::Payment(payment), Decision::DidNotHappen) if payment.is_reported_only() => Ok(Fact::Payment(PaymentFact::Denied)),
            (Record::Payment(_), _) => Ok(Fact::Payment(PaymentFact::ContradictionsResolved)),
            (Record::Refund(refund), _) if Doubt::is_of_outcome(record) => self.decided_refund(refund, decision).await,
            (Record::Refund(_), _) => Ok(Fact::Refund(RefundFact::ContradictionsResolved)),
            (Record::Mandate(mandate), _) if !mandate.is_decided() => self.decided_mandate(mandate, decision).await,
            (Record::Mandate(_), _) => Ok(Fact::Mandate(MandateFact::ContradictionsResolved)),
            (Record::Debit(debit), _) if !debit.is_decided() => self.decided_debit(debit, decision).await,
            (Record::Debit(_), _) => Ok(Fact::Debit(DebitFact::ContradictionsResolved)),
            (Record::Settlement(_), _) => Ok(Fact::Settlement(SettlementFact::ContradictionsResolved)),
            (Record::SettlementBreak(_), _) => {
                Err(Error::StateForbids { state: record.state_name(), message: "a break closes by itself".to_owned() })
            }
        }
    }

    /// Whether the provider gives what `record` stands for an id of its own.
    fn gives_an_id(&self, record: &Record) -> bool {
        let has_none = self.providers.get(&record.header().account).is_some_and(|provider| refunds_have_no_ids(provider));
        match record {
            Record::Refund(_) => !has_none,
            // What was asked for is found by our own reference.
            Record::Mandate(_) => false,
            Record::Qr(_) | Record::Payment(_) | Record::Debit(_) | Record::Settlement(_) | Record::SettlementBreak(_) => true,
        }
    }

    /// What an operator's word on a refund comes to: what the provider shows of it holds all the same.
    async fn decided_refund(&self, refund: &Refund, decision: &Decision) -> Result<Fact, Error> {
        let provider = self.provider(&refund.header.account)?;
        let payment = self.payment_of(refund).await.map_err(Error::of_read)?;
        let (Some(refunds), Some(payment)) = (&provider.refunds, payment) else {
            return Err(Error::Lacks { operation: "CreateRefund", why: "this provider can't be asked about refunds".to_owned() });
        };
        let unavailable = Error::ProviderUnavailable { id: Some(refund.header.id.clone()), retry_after: super::PROVIDER_RETRY_AFTER };
        let known = known_refund(refund, &payment);
        let seen = |snapshot| Ok(Fact::Refund(RefundFact::Seen(snapshot)));
        match decision {
            Decision::Happened { provider_ref } if !self.gives_an_id(&Record::Refund(refund.clone())) => {
                match refunds.enquiry.look_up(&known).await {
                    Ok(Some(snapshot)) => seen(snapshot),
                    // The operator's word is all there is.
                    Ok(None) | Err(AskError::Absent) => {
                        let provider_ref = Some(provider_ref.clone()).filter(|text| !text.is_empty());
                        Ok(Fact::Refund(RefundFact::Adopted { provider_ref }))
                    }
                    Err(AskError::Unanswered(_)) => Err(unavailable),
                }
            }
            Decision::Happened { provider_ref } => {
                let named = KnownRefund { provider_ref: Some(provider_ref.clone()), ..known };
                match refunds.enquiry.fetch(&named).await {
                    // Every refund of ours carries our reference.
                    Ok(snapshot) if snapshot.our_ref != refund.header.our_ref => {
                        Err(invalid("happened.provider_ref", "is another refund at the provider"))
                    }
                    Ok(snapshot) => seen(snapshot),
                    Err(AskError::Absent) => Err(invalid("happened.provider_ref", "is not known to the provider")),
                    Err(AskError::Unanswered(_)) => Err(unavailable),
                }
            }
            Decision::DidNotHappen => match refunds.enquiry.look_up(&known).await {
                Ok(Some(_)) => {
                    Err(Error::StateForbids { state: refund.state.name(), message: "the provider shows that it was made".to_owned() })
                }
                Ok(None) | Err(AskError::Absent) => Ok(Fact::Refund(RefundFact::Absent)),
                Err(AskError::Unanswered(_)) => Err(unavailable),
            },
        }
    }
}

/// Since when a debit waits for the provider's word.
fn undecided_since(debit: &Debit) -> Timestamp {
    let attempt = debit.open_attempt().map(|attempt| attempt.start);
    attempt.or_else(|| debit.notice().map(|notice| notice.sent)).unwrap_or(debit.header.create_time)
}

fn changed_meanwhile(record: &Record) -> Error {
    Error::StateForbids { state: record.state_name(), message: format!("`{}` changed meanwhile: look at it again", record.id()) }
}

fn invalid(field: &str, description: &str) -> Error {
    Error::Invalid(vec![Violation { field: field.to_owned(), description: description.to_owned() }])
}
