//! Refunds: create, get. What was reserved can't be exceeded: the payment's sums move in the same write as the intent.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;

use super::act::{Act, ParentIntent, Work};
use super::admission::lacks;
use super::error::{Error, STORE_RETRY_AFTER};
use super::idempotency::Asked;
use super::index::list_of_parent;
use super::learn::{Outcome, as_payment, as_refund, decode};
use super::{Answer, Engine, reference};
use crate::clock::since;
use crate::domain::account::{Operation, RefundCapability};
use crate::domain::event::{EventKind, Fact, Record};
use crate::domain::fact::{Evidence, Learned};
use crate::domain::header::Header;
use crate::domain::id::{Id, Kind};
use crate::domain::money::Money;
use crate::domain::payment::{Payment, PaymentFact, RefundTotals};
use crate::domain::refund::{Refund, RefundOrder};
use crate::providers::{self, AskError, KnownRefund, Provider, RefundCreation, RefundedSum, Violation};
use crate::store::{ClaimStep, ListKey};

/// How often an intent is derived anew after the payment moved meanwhile. Each time another refund of it got through.
const RACES_MAX: usize = 256;
/// Refunds of one payment that are looked through for one that is under way.
const UNDER_WAY_LOOKED_AT: usize = 200;

/// A refund that a caller wants.
#[derive(Clone, Debug)]
pub struct RefundWish {
    pub reference: String,
    /// Besides the payment's, which they win over.
    pub labels: BTreeMap<String, String>,
    pub order: RefundOrder,
}

impl Engine {
    /// Asks the payment's provider to send money of it back.
    pub async fn create_refund(self: &Arc<Self>, asked: Asked, mut payment: Payment, wish: RefundWish) -> Result<Answer<Refund>, Error> {
        let id = payment.header.id.clone();
        let account = payment.header.account.clone();
        let provider = self.provider(&account)?.clone();
        for _ in 0..RACES_MAX {
            // One after the other in this process: each moves the payment's sums, and all but one would have to begin anew.
            let Ok(turn) = tokio::time::timeout_at(asked.deadline, self.turns.wait_for(&id)).await else {
                return Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER });
            };
            payment = self.get_payment(&id).await?;
            let now = self.clock.now();
            let refund_id = self.randomness.id(Kind::Refund, id.partition(), now);
            let creation = match self.may_refund(&asked, &provider, &payment, &wish.order, now).await {
                Ok(creation) => creation,
                Err(forbidden) => {
                    drop(turn);
                    let Answer { resource, replayed } = self.replay_or(&asked, &account, refund_id, forbidden).await?;
                    return Ok(Answer { resource: as_refund(resource)?, replayed });
                }
            };
            let our_ref = reference::derive(&asked.caller, account.as_str(), asked.method, &asked.key);
            let scope = asked.scope(account.as_str());
            let claim = ClaimStep::Take { scope: scope.clone(), fingerprint: asked.fingerprint.to_bytes(), record: refund_id.clone() };
            let labels = payment.header.labels.iter().chain(&wish.labels).map(|(key, value)| (key.clone(), value.clone())).collect();
            let header = Header {
                our_ref: Some(our_ref.clone()),
                provider_ref: None,
                reference: wish.reference.clone(),
                labels,
                claim: Some(scope.0),
                traceparent: asked.traceparent.clone(),
                ..Header::first(refund_id, &account, provider.id, now)
            };
            let refund = Refund::requested(header, &payment, wish.order.clone());
            let payment_ref = refund.payment_ref.clone();
            let Some(parent) = reserved(&payment, &refund, now) else {
                tracing::error!(resource.id = %id, "a refund of `{id}` can't be counted");
                return Err(Error::Internal);
            };
            let work = Box::new(Work {
                asked: asked.clone(),
                provider: provider.clone(),
                before: None,
                intent: Record::Refund(refund),
                event: EventKind::RefundRequested,
                claim,
                act: Act::CreateRefund { creation, payment_ref, order: wish.order.clone(), our_ref },
                parent: Some(Box::new(parent)),
                turn: Some(turn),
            });
            if let Some(Answer { resource, replayed }) = self.write_then_act(work).await? {
                return Ok(Answer { resource: as_refund(resource)?, replayed });
            }
            // Another replica refunded it, or something else was learned about it.
        }
        Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER })
    }

    pub async fn get_refund(&self, id: &Id) -> Result<Refund, Error> {
        match self.store.get(id).await.map_err(Error::of_read)? {
            Some(stored) => as_refund(decode(&stored).map_err(Error::of_read)?),
            None => Err(Error::no_such("refund", id)),
        }
    }

    /// Whether money of `payment` may be sent back now: nothing is written or sent that would be refused.
    async fn may_refund(
        &self,
        asked: &Asked,
        provider: &Provider,
        payment: &Payment,
        order: &RefundOrder,
        now: Timestamp,
    ) -> Result<Arc<dyn RefundCreation>, Error> {
        if let Some(why) = provider.capabilities.missing(Operation::CreateRefund) {
            return Err(lacks(Operation::CreateRefund, why));
        }
        let (Some(refunds), Some(can)) = (&provider.refunds, &provider.capabilities.refunds) else {
            return Err(lacks(Operation::CreateRefund, "this provider makes no refunds"));
        };
        let violations = refunds.creation.violations(order);
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        forbidden_by_capability(can, payment, order)?;
        if !payment.state.is_collected() {
            let state = payment.state.name();
            return Err(Error::StateForbids { state, message: format!("a payment that is {state} can't be refunded") });
        }
        if !payment.header.contradictions.is_empty() || payment.refunds.contradicted > 0 {
            return Err(Error::ContradictionBlocks { id: self.contradicted_of(payment).await? });
        }
        if let Some(age_max) = can.payment_age_max
            && since(payment.pay_time, now) > age_max
        {
            let days = age_max.as_secs() / (24 * 3_600);
            return Err(Error::RuleForbids {
                rule: "refund_age",
                message: format!("the payment is older than the {days} days within which this provider refunds"),
                next_permitted_time: None,
            });
        }
        if can.one_at_a_time
            && let Some(id) = self.refund_under_way(payment).await?
        {
            return Err(Error::RefundInDoubt { id });
        }
        if refunds.of_payment.is_some() && payment.has_unknown_refunds() {
            // How much of the provider's sum is known here is being found out: until then it can't be said what is left.
            self.wake_now(&payment.header.id).await.map_err(Error::of_read)?;
            return Err(Error::ProviderUnavailable { id: None, retry_after: super::PROVIDER_RETRY_AFTER });
        }
        let left = payment.refundable();
        if order.amount > left {
            return Err(Error::RefundExceedsPayment { id: payment.header.id.clone(), left });
        }
        if let Some(sum) = &refunds.sum {
            self.check_refunded_sum(asked, &**sum, payment).await?;
        }
        self.check_time(asked, provider)?;
        Ok(Arc::clone(&refunds.creation))
    }

    /// Where refunds have no ids, one that somebody made in the dashboard would be taken for ours, or come on top of it: so the
    /// provider is asked before. What shows there and is not known here is a contradiction for an operator.
    async fn check_refunded_sum(&self, asked: &Asked, sum: &dyn RefundedSum, payment: &Payment) -> Result<(), Error> {
        let id = payment.header.id.clone();
        let payment_ref = payment.header.provider_ref.clone().unwrap_or_default();
        let asking = sum.is_known(&payment_ref, payment.amount, payment.refunds.succeeded);
        let overdue = AskError::Unanswered(providers::Cause("the caller's time is over".to_owned()));
        // As of before the question: another replica may refund meanwhile, and then the answer shows that.
        let told = self.told_by_enquiry(None);
        match tokio::time::timeout_at(asked.deadline, asking).await.unwrap_or(Err(overdue)) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let fact = Fact::Payment(PaymentFact::RefundedUnknown);
                match self.learn(Record::Payment(payment.clone()), &fact, &told).await.map_err(Error::of_write)? {
                    Outcome::Contradicted(_) => Err(Error::ContradictionBlocks { id }),
                    Outcome::Known(_) | Outcome::AskFirst(_) => {
                        Err(Error::ProviderUnavailable { id: None, retry_after: super::PROVIDER_RETRY_AFTER })
                    }
                }
            }
            Err(cause) => {
                warn!(resource.id = %id, "the provider did not say what was refunded before, nothing is sent: {cause}");
                Err(Error::ProviderUnavailable { id: None, retry_after: super::PROVIDER_RETRY_AFTER })
            }
        }
    }

    /// A refund of `payment` whose outcome is open, if there is one.
    async fn refund_under_way(&self, payment: &Payment) -> Result<Option<Id>, Error> {
        if payment.refunds.pending == Money::ZERO {
            return Ok(None);
        }
        let refunds = self.refunds_of(payment).await?;
        let open = refunds.iter().find(|refund| refund.state.is_open()).map(|refund| refund.header.id.clone());
        Ok(Some(open.unwrap_or_else(|| payment.header.id.clone())))
    }

    /// What blocks refunds of `payment`: itself, or one of its refunds.
    async fn contradicted_of(&self, payment: &Payment) -> Result<Id, Error> {
        if !payment.header.contradictions.is_empty() {
            return Ok(payment.header.id.clone());
        }
        let refunds = self.refunds_of(payment).await?;
        let contradicted = refunds.iter().find(|refund| !refund.header.contradictions.is_empty());
        Ok(contradicted.map_or_else(|| payment.header.id.clone(), |refund| refund.header.id.clone()))
    }

    /// The newest refunds of a payment.
    async fn refunds_of(&self, payment: &Payment) -> Result<Vec<Refund>, Error> {
        let Header { id, account, .. } = &payment.header;
        let list = ListKey { account: account.to_string(), key: list_of_parent(Kind::Refund, id) };
        let page = self.store.list(id.partition(), &list, None, UNDER_WAY_LOOKED_AT).await.map_err(Error::of_read)?;
        page.iter().map(|stored| as_refund(decode(stored).map_err(Error::of_read)?)).collect()
    }

    /// The payment of a refund, if it is still there.
    pub(super) async fn payment_of(&self, refund: &Refund) -> Result<Option<Payment>, crate::store::StoreError> {
        let stored = self.store.get(&refund.payment).await?;
        Ok(stored.as_ref().map(decode).transpose()?.and_then(|record| as_payment(record).ok()))
    }
}

/// What of a capability forbids `order`.
fn forbidden_by_capability(can: &RefundCapability, payment: &Payment, order: &RefundOrder) -> Result<(), Error> {
    let violation = |field: &str, description: String| Error::Invalid(vec![Violation { field: field.to_owned(), description }]);
    if !can.speeds.contains(&order.speed) {
        return Err(violation("speed", "this account's provider has no refunds of this speed".to_owned()));
    }
    if order.amount < can.amount_min {
        return Err(violation("amount", format!("must be at least {}", can.amount_min.display())));
    }
    if !can.partial && order.amount != payment.amount {
        return Err(violation("amount", "this account's provider refunds whole payments only".to_owned()));
    }
    Ok(())
}

/// The payment with the refund's amount reserved.
fn reserved(payment: &Payment, refund: &Refund, now: Timestamp) -> Option<ParentIntent> {
    let fact = Fact::Payment(PaymentFact::RefundMoved { before: RefundTotals::default(), after: RefundTotals::of(refund) });
    let before = Record::Payment(payment.clone());
    match before.learn(&fact, Evidence::Answer, now) {
        Ok(Learned::Moved(after, event)) => Some(ParentIntent { before, after, event }),
        Ok(Learned::AlreadyKnown | Learned::AskFirst) | Err(_) => None,
    }
}

/// What the provider has to be told to find a refund.
pub(super) fn known_refund(refund: &Refund, payment: &Payment) -> KnownRefund {
    KnownRefund {
        provider_ref: refund.header.provider_ref.clone(),
        our_ref: refund.header.our_ref.clone(),
        payment_ref: refund.payment_ref.clone(),
        amount: refund.amount,
        payment_amount: payment.amount,
        refunded_before: refund.refunded_before,
    }
}

/// Whether the provider gives refunds no ids, and only shows what a payment's come to.
pub(super) fn refunds_have_no_ids(provider: &Provider) -> bool {
    provider.capabilities.refunds.as_ref().is_some_and(|refunds| refunds.one_at_a_time)
}
