//! What a callback that nothing proves gives a reason to look at. It makes a record due, or is kept until the provider was
//! asked; it never moves anything itself. Where the provider can't be asked, what it says is recorded as reported and
//! waits for an operator.

use tracing::{error, warn};

use super::Engine;
use super::index::{DEBIT_ORDER, DOUBTS, MANDATE_AT_PROVIDER, MANDATE_OURS, PAYMENT_AT_PROVIDER};
use super::learn::{Step, Told};
use super::paid_for::PaidFor;
use crate::clock::since;
use crate::domain::debit::Debit;
use crate::domain::event::{Fact, Record};
use crate::domain::fact::{Cause, Evidence};
use crate::domain::payment::{Payment, PaymentFact, PaymentSnapshot, Through};
use crate::domain::qr::{Qr, QrState, Usage};
use crate::providers::{AskError, Hint, PaymentOrigin, Provider};
use crate::store::{Commit, Conflict, LeaseStep, ListKey, StoreError};

/// How often a claim is recorded again after another writer came first.
const RACES_MAX: usize = 16;

/// What of mandates and debits a hint names.
#[derive(Default)]
struct Named {
    any: bool,
    /// Whether looking at what is named finds the payment.
    shows_payment: bool,
}

/// What a hint came to.
pub(super) enum Followed {
    /// A record is due now, or everything that follows is recorded.
    Done,
    /// Only the provider can say what the payment is, and nothing is recorded that could be made due: the hint itself is
    /// kept until it was asked.
    AskAboutPayment,
    /// No record has what it names.
    Unmatched,
}

impl Engine {
    pub(super) async fn follow(&self, provider: &Provider, hint: &Hint, traceparent: Option<String>) -> Result<Followed, StoreError> {
        let Hint { event: _, refs, payment_ref, claim } = hint;
        let account = provider.account.as_str();
        let payment = match payment_ref {
            Some(payment_ref) => self.find(account, PAYMENT_AT_PROVIDER, payment_ref).await?,
            None => None,
        };
        let code = self.code_of_hint(provider, refs).await?;
        // Whether to look at the code finds the payment: it is one payment's, and the provider shows those of such codes.
        let shows_payments = provider.qr.as_ref().is_some_and(|codes| codes.enquiry.is_some());
        let is_found_there = code.as_ref().is_some_and(|code| shows_payments && has_payments_to_show(code));
        if let Some(code) = code.as_ref().filter(|_| is_found_there) {
            self.wake_now(&code.header.id).await?;
        }
        let stands = self.wake_mandates_and_debits(provider, refs).await?;
        match (payment, code) {
            (Some(payment), _) if provider.payments.is_some() => {
                self.wake_now(payment.id()).await?;
                Ok(Followed::Done)
            }
            (Some(payment), _) => {
                if let Some(claim) = claim {
                    self.learn(payment, &Fact::Payment(PaymentFact::Claimed(claim.clone())), &claimed(claim, traceparent)).await?;
                }
                Ok(Followed::Done)
            }
            (None, Some(_)) if is_found_there => Ok(Followed::Done),
            (None, None) if stands.shows_payment || (stands.any && payment_ref.is_none()) => Ok(Followed::Done),
            (None, _) if provider.payments.is_some() && payment_ref.is_some() => Ok(Followed::AskAboutPayment),
            (None, Some(qr)) => match claim {
                // Both ids have to be of the same code.
                Some(claim) if is_of_this_attempt(&qr, &claim.provider_ref) => {
                    self.record_claim(&qr, claim, traceparent).await?;
                    Ok(Followed::Done)
                }
                Some(_) | None => Ok(Followed::Unmatched),
            },
            (None, None) => Ok(Followed::Unmatched),
        }
    }

    /// Makes due the mandates and debits that any of `refs` names, whoever's name it is.
    async fn wake_mandates_and_debits(&self, provider: &Provider, refs: &[String]) -> Result<Named, StoreError> {
        let mut found = Named::default();
        if provider.mandates.is_none() {
            return Ok(found);
        }
        for named in refs {
            for sort in [MANDATE_AT_PROVIDER, MANDATE_OURS, DEBIT_ORDER] {
                if let Some(record) = self.find(provider.account.as_str(), sort, named).await? {
                    self.wake_now(record.id()).await?;
                    found.any = true;
                    // Only an open attempt's order is read by whoever looks at its debit.
                    let open = |debit: &Debit| debit.open_attempt().is_some_and(|attempt| attempt.order_ref.as_ref() == Some(named));
                    found.shows_payment |= matches!(&record, Record::Debit(debit) if open(debit));
                }
            }
        }
        Ok(found)
    }

    /// The code that any of `refs` names, whoever's name it is.
    async fn code_of_hint(&self, provider: &Provider, refs: &[String]) -> Result<Option<Qr>, StoreError> {
        for named in refs {
            if let Some(Record::Qr(qr)) = self.find_qr(provider, Some(named), Some(named)).await? {
                return Ok(Some(qr));
            }
        }
        Ok(None)
    }

    /// Records a payment of which only such a callback has told: PENDING, until an operator decides.
    async fn record_claim(&self, qr: &Qr, claim: &PaymentSnapshot, traceparent: Option<String>) -> Result<(), StoreError> {
        let told = claimed(claim, traceparent);
        let account = qr.header.account.as_str();
        for _ in 0..RACES_MAX {
            let (header, expected) = self.header_of_payment(&PaidFor::Qr(qr.clone()), claim);
            let (payment, event) = Payment::first_claimed(header, Through::Qr(qr.header.id.clone()), expected, claim);
            error!(resource.id = %payment.header.id, "a payment of {} is reported by a callback that nothing proves: an operator has to decide", qr.header.id);
            let step = Step { before: None, after: Record::Payment(payment), event, lease: LeaseStep::Keep, look: None };
            match self.write(vec![step], Vec::new(), &told).await? {
                Commit::Done(_) => return Ok(()),
                Commit::Conflict(Conflict::Referenced { .. }) => {
                    let Some(known) = self.find(account, PAYMENT_AT_PROVIDER, &claim.provider_ref).await? else { continue };
                    let fact = Fact::Payment(PaymentFact::Claimed(Box::new(claim.clone())));
                    return self.learn(known, &fact, &told).await.map(|_| ());
                }
                Commit::Conflict(_) => return Err(StoreError::Broken("a report can't be written".to_owned())),
            }
        }
        Err(StoreError::Unavailable(format!("other writers came first {RACES_MAX} times")))
    }

    /// Whether the account has anything that is not decided yet.
    async fn has_undecided(&self, provider: &Provider) -> Result<bool, StoreError> {
        let list = ListKey { account: provider.account.to_string(), key: DOUBTS.to_owned() };
        Ok(self.store.count(self.partition_of(provider.account.as_str()), &list).await? > 0)
    }

    /// Asks the provider about the payment of a kept hint. True: learned, or certainly nothing of ours.
    pub(super) async fn ask_about_hinted(
        &self,
        provider: &Provider,
        payment_ref: &str,
        received: jiff::Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(payments) = &provider.payments else { return Ok(false) };
        let told = self.told_by_enquiry(None);
        let searched = self.clock.now();
        let is_long_ago = since(received, searched) >= self.settings.patience.absence_after;
        let shown = match payments.fetch(payment_ref, None).await {
            Ok(shown) => shown,
            // A forgery, or news that came before the provider's own books show it.
            Err(AskError::Absent) => return Ok(is_long_ago),
            Err(AskError::Unanswered(cause)) => {
                self.metrics.provider_unanswered.with_label_values(&[provider.account.as_str()]).inc();
                warn!(account = %provider.account, "the provider was asked about a payment and gave no answer: {cause}");
                return Ok(false);
            }
        };
        let (provider_ref, our_ref) = match &shown.origin {
            PaymentOrigin::Named { provider_ref, our_ref } => (provider_ref, our_ref),
            PaymentOrigin::Elsewhere => return Ok(true),
            // It is money, and which code it came through says only what nothing proves: a person has to look.
            PaymentOrigin::Untold => return Ok(false),
        };
        let told = Told { occur_time: shown.snapshot.pay_time, ..told };
        match self.find_paid_for(provider, provider_ref.as_deref(), our_ref.as_deref()).await? {
            Some(paid_for) => {
                self.observe_payment(paid_for, &shown.snapshot, &told).await?;
                Ok(true)
            }
            // Other business, unless it is of something whose id is still to be learned.
            None => Ok(!self.has_undecided(provider).await?),
        }
    }
}

/// Whether a look at the code brings its payments: it was made, and it is for one payment.
fn has_payments_to_show(qr: &Qr) -> bool {
    let is_made = match qr.state {
        QrState::Active | QrState::Closed { .. } => true,
        // Its text is still to be fetched, so nobody can have paid it.
        QrState::Requested | QrState::Failed(_) => false,
    };
    is_made && qr.order.usage == Usage::SingleUse
}

/// Whether a payment is the one attempt that the code stands for, where codes have such a thing.
pub(super) fn is_of_this_attempt(qr: &Qr, payment_ref: &str) -> bool {
    let attempt = qr.code.as_ref().and_then(|code| code.attempt_ref.as_deref());
    attempt.is_none_or(|attempt| attempt == payment_ref)
}

fn claimed(claim: &PaymentSnapshot, traceparent: Option<String>) -> Told {
    Told { cause: Cause::Webhook, evidence: Evidence::Unproven, occur_time: claim.pay_time, traceparent, fence: None, asked: None }
}
