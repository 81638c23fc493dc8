//! Mandates: create, get, revoke. Nothing is written or sent that would be refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::act::{Act, Work};
use super::admission::lacks;
use super::error::{Error, STORE_RETRY_AFTER};
use super::idempotency::Asked;
use super::index::list_of_open_debits;
use super::learn::{as_mandate, decode};
use super::{Answer, Engine, reference};
use crate::domain::account::{AccountName, MandateCapability, Operation};
use crate::domain::event::{EventKind, Fact, Record};
use crate::domain::fact::{Evidence, Learned};
use crate::domain::header::Header;
use crate::domain::id::{Id, Kind};
use crate::domain::mandate::{Mandate, MandateFact, MandateOrder, MandateState};
use crate::domain::upi::Pattern;
use crate::domain::working_days::day_in_india;
use crate::providers::mandate::{KnownMandate, MandateRevoking};
use crate::providers::{Mandates, Provider, Violation};
use crate::store::{ClaimStep, ListKey, StoreError};

/// How often a change is derived anew after the record moved meanwhile.
const RACES_MAX: usize = 8;
/// Debits of one mandate that are made due at once; more come at their own time.
const DEBITS_WOKEN_MAX: usize = 200;

/// A mandate that a caller wants.
#[derive(Clone, Debug)]
pub struct MandateWish {
    pub account: AccountName,
    pub reference: String,
    pub labels: BTreeMap<String, String>,
    pub order: MandateOrder,
}

impl Engine {
    /// Asks the account's provider to register a mandate, so that its payer can approve it.
    pub async fn create_mandate(self: &Arc<Self>, asked: Asked, wish: MandateWish) -> Result<Answer<Mandate>, Error> {
        let provider = self.provider(&wish.account)?.clone();
        let now = self.clock.now();
        let partition = self.partition_of(wish.account.as_str());
        let id = self.randomness.id(Kind::Mandate, partition, now);
        let (creation, linking) = match self.may_register(&asked, &provider, &wish.order, now) {
            Ok(mandates) => (Arc::clone(&mandates.creation), mandates.linking.clone()),
            Err(forbidden) => {
                let Answer { resource, replayed } = self.replay_or(&asked, &wish.account, id, forbidden).await?;
                return Ok(Answer { resource: as_mandate(resource)?, replayed });
            }
        };
        let MandateWish { account, reference, labels, order } = wish;
        let our_ref = reference::derive(&asked.caller, account.as_str(), asked.method, &asked.key);
        let scope = asked.scope(account.as_str());
        let header = Header {
            our_ref: Some(our_ref.clone()),
            reference,
            labels,
            claim: Some(scope.0.clone()),
            traceparent: asked.traceparent.clone(),
            ..Header::first(id, &account, provider.id, now)
        };
        let intent = Record::Mandate(Mandate::requested(header, order.clone()));
        let claim = ClaimStep::Take { scope, fingerprint: asked.fingerprint.to_bytes(), record: intent.id().clone() };
        let act = Act::CreateMandate { creation, linking, order, our_ref };
        let work = Box::new(Work {
            asked,
            provider,
            before: None,
            intent,
            event: EventKind::MandateRequested,
            claim,
            act,
            parent: None,
            turn: None,
        });
        match self.write_then_act(work).await? {
            Some(Answer { resource, replayed }) => Ok(Answer { resource: as_mandate(resource)?, replayed }),
            None => {
                tracing::error!("a new id was taken already");
                Err(Error::Internal)
            }
        }
    }

    /// All that the account's provider would refuse about `order`, for a request that is refused anyway.
    pub fn mandate_violations(&self, account: &AccountName, order: &MandateOrder) -> Vec<Violation> {
        let mandates = self.providers.get(account).and_then(|provider| provider.mandates.as_ref());
        mandates.map_or_else(Vec::new, |mandates| mandates.creation.violations(order, self.clock.now()))
    }

    pub async fn get_mandate(&self, id: &Id) -> Result<Mandate, Error> {
        match self.store.get(id).await.map_err(Error::of_read)? {
            Some(stored) => as_mandate(decode(&stored).map_err(Error::of_read)?),
            None => Err(Error::no_such("mandate", id)),
        }
    }

    /// Asks the provider to revoke a mandate. From the intent on no debit of it is begun.
    pub async fn revoke_mandate(self: &Arc<Self>, asked: Asked, mut mandate: Mandate) -> Result<Answer<Mandate>, Error> {
        let provider = self.provider(&mandate.header.account)?.clone();
        let id = mandate.header.id.clone();
        let account = mandate.header.account.clone();
        let revoking = match self.check_time(&asked, &provider).and_then(|()| may_revoke(&provider)) {
            Ok(revoking) => revoking,
            Err(forbidden) => return self.replay_mandate_or(&asked, &account, &id, forbidden).await,
        };
        let scope = asked.scope(account.as_str());
        let claim = ClaimStep::Take { scope: scope.clone(), fingerprint: asked.fingerprint.to_bytes(), record: id.clone() };
        for _ in 0..RACES_MAX {
            let fact = Fact::Mandate(MandateFact::RevokeAsked { claim: scope.0.clone() });
            let before = Record::Mandate(mandate.clone());
            let is_known_there =
                provider.capabilities.mandates.as_ref().is_some_and(|can| !can.approval_link) || mandate.header.provider_ref.is_some();
            let learned = before.learn(&fact, Evidence::Answer, self.clock.now());
            let (Ok(Learned::Moved(intent, event)), true) = (learned, is_known_there) else {
                // Not possible now; but it may be this very request that made it so, when it came first.
                let state = mandate.state.name();
                let forbidden = match &mandate.state {
                    // What is asked for is so already.
                    MandateState::Revoked => {
                        return match self.claimed_by_whom(&claim).await? {
                            Some((claim, record)) => {
                                let Answer { resource, replayed } = self.replay(&asked, claim, record).await?;
                                Ok(Answer { resource: as_mandate(resource)?, replayed })
                            }
                            None => Ok(Answer { resource: mandate, replayed: false }),
                        };
                    }
                    _ if mandate.pending_change.is_some() => Error::ChangePending { id: id.clone() },
                    MandateState::AwaitingApproval => Error::StateForbids {
                        state,
                        message: "the provider has no id yet by which it could be revoked: it ends by itself unless the payer approves"
                            .to_owned(),
                    },
                    _ => Error::StateForbids { state, message: format!("a mandate that is {state} can't be revoked") },
                };
                return self.replay_mandate_or(&asked, &account, &id, forbidden).await;
            };
            let act = Act::RevokeMandate { revoking: Arc::clone(&revoking), mandate: known_mandate(&mandate) };
            let (asked, provider, claim) = (asked.clone(), provider.clone(), claim.clone());
            let work = Box::new(Work { asked, provider, before: Some(before), intent, event, claim, act, parent: None, turn: None });
            match self.write_then_act(work).await? {
                Some(Answer { resource, replayed }) => return Ok(Answer { resource: as_mandate(resource)?, replayed }),
                None => mandate = self.get_mandate(&id).await?,
            }
        }
        Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER })
    }

    /// Answers a request for a change that no provider of this release makes: a repeat is answered as every repeat is.
    pub async fn refuse_change(&self, asked: &Asked, mandate: &Mandate, operation: Operation) -> Result<Answer<Mandate>, Error> {
        let provider = self.provider(&mandate.header.account)?;
        let why = provider.capabilities.missing(operation).unwrap_or("it is not part of this release");
        self.replay_mandate_or(asked, &mandate.header.account, &mandate.header.id, lacks(operation, why)).await
    }

    async fn replay_mandate_or(&self, asked: &Asked, account: &AccountName, id: &Id, forbidden: Error) -> Result<Answer<Mandate>, Error> {
        let Answer { resource, replayed } = self.replay_or(asked, account, id.clone(), forbidden).await?;
        Ok(Answer { resource: as_mandate(resource)?, replayed })
    }

    /// Whether a new mandate may be asked for.
    fn may_register<'p>(&self, asked: &Asked, provider: &'p Provider, order: &MandateOrder, now: Timestamp) -> Result<&'p Mandates, Error> {
        if let Some(why) = provider.capabilities.missing(Operation::CreateMandate) {
            return Err(lacks(Operation::CreateMandate, why));
        }
        let (Some(mandates), Some(can)) = (&provider.mandates, &provider.capabilities.mandates) else {
            return Err(lacks(Operation::CreateMandate, "this provider has no mandates"));
        };
        let years_max = self.settings.mandates.rules.at(now).validity_max_years;
        let first = day_in_india(order.valid_from);
        let last = first.checked_add(jiff::Span::new().years(i64::from(years_max))).unwrap_or(jiff::civil::Date::MAX);
        if day_in_india(order.valid_until) > last {
            return Err(Error::RuleForbids {
                rule: "validity_max",
                message: format!("a mandate is valid for at most {years_max} years"),
                next_permitted_time: None,
            });
        }
        let mut violations = forbidden_by_capability(can, order);
        // One word on each field is enough.
        let named: Vec<String> = violations.iter().map(|found| found.field.clone()).collect();
        let of_provider = mandates.creation.violations(order, now);
        violations.extend(of_provider.into_iter().filter(|found| !named.contains(&found.field)));
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        self.check_time(asked, provider)?;
        Ok(mandates)
    }

    /// A step that lets debits of a mandate go on, or ends them, makes them due.
    pub(super) async fn tell_debits(&self, before: &Record, after: &Record) -> Result<(), StoreError> {
        let (Record::Mandate(was), Record::Mandate(mandate)) = (before, after) else { return Ok(()) };
        let has_ended = mandate.state.is_terminal() && !was.state.is_terminal();
        if !has_ended && was.permits_debits() == mandate.permits_debits() && was.attempt_open == mandate.attempt_open {
            return Ok(());
        }
        let Header { id, account, .. } = &mandate.header;
        let list = ListKey { account: account.to_string(), key: list_of_open_debits(id) };
        for debit in self.store.list(id.partition(), &list, None, DEBITS_WOKEN_MAX).await? {
            self.wake_now(&debit.id).await?;
        }
        Ok(())
    }
}

/// What of a capability forbids `order`.
fn forbidden_by_capability(can: &MandateCapability, order: &MandateOrder) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut forbid = |field: &str, description: String| violations.push(Violation { field: field.to_owned(), description });
    if !can.patterns.contains(&order.pattern) {
        forbid("frequency", "this account's provider has no mandates of this frequency".to_owned());
    }
    if order.max_amount < can.amount_min || order.max_amount > can.amount_max {
        forbid("max_amount", format!("must be {} to {} here", can.amount_min.display(), can.amount_max.display()));
    }
    if can.day_required && order.day.is_none() && order.pattern.days().is_some() {
        forbid("debit_day", "is needed here for this frequency".to_owned());
    }
    if order.block_funds && !can.block_funds {
        forbid("block_funds", "this account's provider blocks no funds".to_owned());
    }
    if !order.revocable && !can.irrevocable {
        forbid("revocable", "this account's mandates are always revocable".to_owned());
    }
    let payer = &order.payer;
    if payer.vpa.is_some() && !can.payer_vpa {
        forbid("payer_vpa", "this account's payers approve by a link: leave it empty".to_owned());
    }
    for field in can.required_fields {
        let is_there = match *field {
            "payer_vpa" => payer.vpa.is_some(),
            "payer_name" => payer.name.is_some(),
            "payer_phone" => payer.phone.is_some(),
            "payer_email" => payer.email.is_some(),
            _ => true,
        };
        if !is_there {
            forbid(field, "is needed here".to_owned());
        }
    }
    if order.pattern != Pattern::OneTime && order.block_funds {
        forbid("block_funds", "only a mandate of one debit can block funds".to_owned());
    }
    violations
}

fn may_revoke(provider: &Provider) -> Result<Arc<dyn MandateRevoking>, Error> {
    if let Some(why) = provider.capabilities.missing(Operation::RevokeMandate) {
        return Err(lacks(Operation::RevokeMandate, why));
    }
    let revoking = provider.mandates.as_ref().and_then(|mandates| mandates.revoking.clone());
    revoking.ok_or_else(|| lacks(Operation::RevokeMandate, "this provider revokes no mandates"))
}

/// What the provider has to be told to find the mandate again.
pub(super) fn known_mandate(mandate: &Mandate) -> KnownMandate {
    KnownMandate {
        provider_ref: mandate.header.provider_ref.clone(),
        registration: mandate.registration.clone(),
        our_ref: mandate.header.our_ref.clone().unwrap_or_default(),
        order: mandate.order.clone(),
    }
}
