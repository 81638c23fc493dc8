//! Looks at debits: sends what is to be sent at its time, and finds out what became of it. All of it within the lease that
//! is held on the debit, so that of many replicas one does it.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{error, warn};

use super::Stepped;
use crate::clock::{after, since};
use crate::domain::account::{DoubtCure, Operation};
use crate::domain::debit::{Attempt, Debit, DebitFact, DebitShare, Next, Notice, NoticeSnapshot, NoticeState, NoticeStatus};
use crate::domain::event::{Fact, Record};
use crate::domain::fact::{Cause, Evidence, Learned};
use crate::domain::mandate::Mandate;
use crate::domain::payment::{PaymentSnapshot, PaymentStatus};
use crate::engine::Engine;
use crate::engine::act::refused_attempt;
use crate::engine::debit::{attempt_order, counted};
use crate::engine::hold::notice_orders;
use crate::engine::index::{DEBIT_ORDER, PAYMENT_AT_PROVIDER};
use crate::engine::learn::{Outcome, Told};
use crate::engine::mandate::known_mandate;
use crate::engine::paid_for::PaidFor;
use crate::engine::reference;
use crate::engine::schedule::absence_is_proof;
use crate::engine::webhook::Matched;
use crate::providers::breaker::Purpose;
use crate::providers::mandate::{AttemptTaken, NoticeOrder};
use crate::providers::{AskError, CallError, Mandates, Provider, Sending};
use crate::store::{Commit, Fence, Guard, LeaseStep, Look, StoreError};

/// When a debit is looked at again that something else holds up: a pause, a change, an attempt of another debit, a provider
/// that does not work. What ends that makes it due at once, where it is seen.
const HELD_UP_PAUSE: Duration = Duration::from_secs(60);

impl Engine {
    pub(super) async fn look_at_debit(&self, provider: &Provider, debit: Debit, fence: Fence, told: &Told) -> Result<Stepped, StoreError> {
        let (Some(mandates), Some(mandate)) = (provider.mandates.clone(), self.mandate_of(&debit).await?) else {
            return Ok(Stepped::NobodyToAsk);
        };
        if let Some(attempt) = debit.open_attempt().cloned() {
            return self.look_at_attempt(provider, &mandates, debit, &attempt, told).await;
        }
        if debit.state.is_terminal() {
            return Ok(Stepped::NobodyToAsk);
        }
        if self.sending_is_held()
            && let Some(stepped) = self.look_for_unknown_attempts(provider, &mandates, &mandate, &debit, fence, told).await?
        {
            return Ok(stepped);
        }
        if mandate.state.is_terminal() {
            return self.learn_in_time(debit, DebitFact::MandateEnded, told).await;
        }
        let now = self.clock.now();
        let next = self.planner(&mandate).next(&debit, self.settings.mandates.retry_after, now);
        // An earlier notice that was delivered may do, whatever became of the newest.
        let may_go_on = matches!(next, Next::At { permitted, step } if permitted == step && step <= now);
        match debit.notice().map(|notice| notice.state.clone()).filter(|_| !may_go_on) {
            Some(NoticeState::Asked) => return self.find_out_notice(provider, &mandates, &mandate, debit, told).await,
            Some(NoticeState::Taken) => return self.look_at_notice(provider, &mandates, &mandate, debit, told).await,
            Some(NoticeState::Delivered { .. } | NoticeState::Failed(_)) | None => {}
        }
        let Next::At { permitted, step } = next else {
            return self.learn_in_time(debit, DebitFact::Rescheduled(next), told).await;
        };
        let wants_notice = permitted > now;
        // By hand it is executed when its caller says so; only a notice that is wanted is sent by this service.
        let by_hand = !debit.order.auto_execute;
        let may_step = !by_hand || (wants_notice && debit.wants_notice());
        if !may_step || step > now {
            return self.learn_in_time(debit, DebitFact::Rescheduled(next), told).await;
        }
        if !mandate.permits_debits() || !mandate.header.contradictions.is_empty() || !debit.header.contradictions.is_empty() {
            return self.hold_up(&debit, fence, now).await;
        }
        // What would not be sent is not written down either.
        if self.sending_is_held() || provider.line.refusal(Purpose::Act).is_some() {
            return self.hold_up(&debit, fence, now).await;
        }
        if wants_notice {
            return self.send_another_notice(provider, &mandates, &mandate, debit, permitted, fence, told).await;
        }
        if mandate.attempt_open.is_some() || mandate.contradicted_debits > 0 || self.draining.is_cancelled() {
            return self.hold_up(&debit, fence, now).await;
        }
        match self.earlier_attempts_failed(&mandates, &debit, told).await? {
            Ok(true) => {}
            Ok(false) => return self.hold_up(&debit, fence, now).await,
            Err(cause) => return Ok(self.unanswered(provider, &cause)),
        }
        // To ask took its time.
        if self.draining.is_cancelled() || self.planner(&mandate).forbidden(&debit, self.clock.now()).is_some() {
            return self.hold_up(&debit, fence, self.clock.now()).await;
        }
        self.attempt(provider, &mandates, &mandate, debit, fence, told).await
    }

    /// Something holds the debit up that is no matter of time.
    async fn hold_up(&self, debit: &Debit, fence: Fence, now: Timestamp) -> Result<Stepped, StoreError> {
        self.store.release(&debit.header.id, fence, Look::At(after(now, HELD_UP_PAUSE))).await?;
        Ok(Stepped::Learned)
    }

    /// Writes down that an attempt is made, with what it means for the mandate, and only as whoever holds the lease on the
    /// debit. A mandate that moved meanwhile, by a revoke say, lets nothing be written. `Err`: nothing was.
    async fn begin_attempt(
        &self,
        mandate: &Mandate,
        debit: &Debit,
        fence: Fence,
        told: &Told,
    ) -> Result<Result<(Debit, u128), Stepped>, StoreError> {
        let now = self.clock.now();
        let by_time = Told { cause: Cause::Timer, evidence: Evidence::Answer, asked: None, fence: None, ..told.clone() };
        let fact = Fact::Debit(DebitFact::AttemptBegun { claim: None });
        let before = Record::Debit(debit.clone());
        let Ok(Learned::Moved(after, event)) = before.learn(&fact, Evidence::Answer, now) else { return Ok(Err(Stepped::NobodyToAsk)) };
        let Record::Debit(begun) = after.clone() else { return Ok(Err(Stepped::NobodyToAsk)) };
        let Some(parent) = counted(mandate, &DebitShare::of(debit), &begun, now) else {
            return Ok(Err(self.hold_up(debit, fence, now).await?));
        };
        let steps =
            vec![self.step(Some(before), after, event, &by_time), self.step(Some(parent.before), parent.after, parent.event, &by_time)];
        let mut batch = self.batch(steps, Vec::new(), &by_time)?;
        batch.guards.push(Guard::Held { id: debit.header.id.clone(), fence });
        let write = batch.write;
        if let Commit::Conflict(_) = self.commit_surely(batch).await? {
            // Somebody else moved it or the mandate: it is looked at anew.
            self.store.release(&debit.header.id, fence, Look::At(now)).await?;
            return Ok(Err(Stepped::Learned));
        }
        Ok(Ok((begun, write)))
    }

    /// Writes down an attempt that may have been made, and that no record tells of: one whose answer was lost. Nothing is sent.
    pub(in crate::engine) async fn note_attempt(
        &self,
        mandate: &Mandate,
        debit: &Debit,
        fence: Fence,
        told: &Told,
    ) -> Result<(), StoreError> {
        if let Ok((begun, _)) = self.begin_attempt(mandate, debit, fence, told).await? {
            let by_time = Told { cause: Cause::Timer, evidence: Evidence::Answer, asked: None, fence: None, ..told.clone() };
            self.learn(Record::Debit(begun), &Fact::Debit(DebitFact::AttemptLost), &by_time).await?;
        }
        Ok(())
    }

    /// Executes the debit: the attempt is written down first.
    async fn attempt(
        &self,
        provider: &Provider,
        mandates: &Mandates,
        mandate: &Mandate,
        debit: Debit,
        fence: Fence,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        // A drain waits for it, or it is not begun.
        let _at_work = self.tasks.token();
        if self.draining.is_cancelled() {
            return self.hold_up(&debit, fence, self.clock.now()).await;
        }
        let (begun, write) = match self.begin_attempt(mandate, &debit, fence, told).await? {
            Ok(begun) => begun,
            Err(stepped) => return Ok(stepped),
        };
        let replicated = self.store.replicated(debit.header.id.partition(), Some(write)).await;
        let told = Told { cause: Cause::Timer, evidence: Evidence::Answer, asked: None, ..told.clone() };
        let lease = self.settings.patience.lease;
        let held = replicated.is_ok() && self.store.renew(&debit.header.id, fence, lease).await.unwrap_or(false);
        let held = held && self.permits_an_attempt(&debit).await;
        let fact = if held && self.settings.patience.lease > provider.call_timeout {
            match mandates.execution.execute(&attempt_order(&debit, mandate), provider.call_timeout).await {
                Ok(AttemptTaken { payment_ref, order_ref }) => DebitFact::AttemptTaken { payment_ref, order_ref },
                Err(CallError::Refused { code, message }) => {
                    let failed = refused_attempt(&*mandates.execution, code, message);
                    self.with_next(&begun, |next| DebitFact::AttemptRefused { failed: failed.clone(), next }).await
                }
                Err(CallError::NotDelivered(cause)) => {
                    warn!(resource.id = %debit.header.id, "an attempt at `{}` was not delivered: {cause}", debit.header.id);
                    self.not_sent(&begun, "the provider could not be reached").await
                }
                Err(CallError::InDoubt(cause)) => {
                    error!(resource.id = %debit.header.id, "no answer to an attempt at `{}`, no other is made: {cause}", debit.header.id);
                    if provider.capabilities.doubt(Operation::ExecuteDebit) != DoubtCure::None {
                        self.give_back(&Record::Debit(begun), &told).await?;
                        return Ok(Stepped::Learned);
                    }
                    DebitFact::AttemptLost
                }
            }
        } else {
            self.not_sent(&begun, "it could not be made sure that nobody else executes it").await
        };
        self.learn(Record::Debit(begun), &Fact::Debit(fact), &told).await?;
        Ok(Stepped::Learned)
    }

    async fn not_sent(&self, begun: &Debit, message: &str) -> DebitFact {
        self.with_next(begun, |next| DebitFact::AttemptNotSent { message: message.to_owned(), next }).await
    }

    /// An attempt is under way, or what became of it is not known: it is never made again meanwhile.
    async fn look_at_attempt(
        &self,
        provider: &Provider,
        mandates: &Mandates,
        debit: Debit,
        attempt: &Attempt,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        if attempt.payment.is_some() {
            // The payment itself is looked at.
            return Ok(Stepped::NobodyToAsk);
        }
        let searched = self.clock.now();
        if let (Some(payment_ref), Some(payments)) = (&attempt.payment_ref, &provider.payments) {
            return match payments.fetch(payment_ref, None).await {
                Ok(shown) => self.observe_attempts(debit, &[shown.snapshot], told).await,
                Err(cause) => {
                    let stepped = match cause {
                        AskError::Absent => self.gone(provider, &debit.header.id),
                        AskError::Unanswered(cause) => self.unanswered(provider, &cause.to_string()),
                    };
                    if since(attempt.start, searched) >= provider.late_window && !attempt.answer_lost {
                        return self.learn_in_time(debit, DebitFact::AttemptLost, told).await;
                    }
                    Ok(stepped)
                }
            };
        }
        let order_ref = order_of(mandates, attempt);
        if let Some(order_ref) = order_ref {
            let known: Vec<&String> = debit.attempts.iter().filter_map(|attempt| attempt.payment_ref.as_ref()).collect();
            let shown = match mandates.payments.of_order(&order_ref).await {
                Ok(shown) => shown,
                Err(AskError::Absent) => Vec::new(),
                Err(AskError::Unanswered(cause)) => {
                    let stepped = self.unanswered(provider, &cause.to_string());
                    if since(attempt.start, searched) >= provider.late_window && !attempt.answer_lost {
                        return self.learn_in_time(debit, DebitFact::AttemptLost, told).await;
                    }
                    return Ok(stepped);
                }
            };
            let new: Vec<PaymentSnapshot> = shown.into_iter().filter(|payment| !known.contains(&&payment.provider_ref)).collect();
            if !new.is_empty() {
                return self.observe_attempts(debit, &new, told).await;
            }
            let is_proof = absence_is_proof(attempt.start, searched, &self.settings.patience, provider.call_timeout);
            let never_shows = since(attempt.start, searched) >= provider.late_window && !attempt.answer_lost;
            if attempt.order_ref.is_some() && never_shows {
                // It was taken, and nothing comes of it: a person has to look.
                return self.learn_in_time(debit, DebitFact::AttemptLost, told).await;
            }
            if attempt.order_ref.is_none() && is_proof {
                let fact = self.with_next(&debit, |next| DebitFact::AttemptAbsent { next }).await;
                self.learn(Record::Debit(debit), &Fact::Debit(fact), told).await?;
            } else {
                self.give_back(&Record::Debit(debit), told).await?;
            }
            return Ok(Stepped::Learned);
        }
        if attempt.answer_lost {
            return Ok(Stepped::NobodyToAsk);
        }
        self.learn_in_time(debit, DebitFact::AttemptLost, told).await
    }

    /// Whether the orders of all attempts so far show nothing but payments that failed and are known to: what else they show is
    /// found out before another attempt. `Err`: the provider gave no answer.
    pub(in crate::engine) async fn earlier_attempts_failed(
        &self,
        mandates: &Mandates,
        debit: &Debit,
        told: &Told,
    ) -> Result<Result<bool, String>, StoreError> {
        let mut orders: Vec<String> = debit.attempts.iter().filter_map(|attempt| order_of(mandates, attempt)).collect();
        if mandates.order_before_attempt && self.store_was_filled() {
            // There may have been attempts that no record tells of.
            orders.extend(notice_orders(debit).map(str::to_owned));
        }
        orders.sort();
        orders.dedup();
        let mut all_failed = true;
        for order_ref in orders {
            let shown = match mandates.payments.of_order(&order_ref).await {
                Ok(shown) => shown,
                Err(AskError::Absent) => Vec::new(),
                Err(AskError::Unanswered(cause)) => return Ok(Err(cause.to_string())),
            };
            for payment in &shown {
                let recorded = self.find(debit.header.account.as_str(), PAYMENT_AT_PROVIDER, &payment.provider_ref).await?;
                let known = recorded.is_some_and(|record| record.state_name() == "failed");
                if known && matches!(payment.status, PaymentStatus::Failed { .. }) {
                    continue;
                }
                all_failed = false;
                // Lists lag: where one differs from what is recorded, only a fetch is believed.
                let evidence = if known { Evidence::Answer } else { told.evidence };
                let told = Told { occur_time: payment.pay_time, fence: None, evidence, ..told.clone() };
                self.observe_payment(PaidFor::Debit(debit.clone()), payment, &told).await?;
            }
        }
        Ok(Ok(all_failed))
    }

    /// Payments that the provider shows of a debit.
    async fn observe_attempts(&self, debit: Debit, shown: &[PaymentSnapshot], told: &Told) -> Result<Stepped, StoreError> {
        let id = debit.header.id.clone();
        for payment in shown {
            let told = Told { occur_time: payment.pay_time, fence: None, ..told.clone() };
            self.observe_payment(PaidFor::Debit(debit.clone()), payment, &told).await?;
        }
        let record = self.read_again(&id).await?;
        self.give_back(&record, told).await?;
        Ok(Stepped::Learned)
    }

    /// The answer to a notice was lost: it is looked up, or sent once more where that is all that can be done. A second notice
    /// moves nothing.
    async fn find_out_notice(
        &self,
        provider: &Provider,
        mandates: &Mandates,
        mandate: &Mandate,
        debit: Debit,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        let Some(notice) = debit.notice().cloned() else { return Ok(Stepped::NobodyToAsk) };
        let searched = self.clock.now();
        let is_proof = absence_is_proof(notice.sent, searched, &self.settings.patience, provider.call_timeout);
        match &mandates.notice_enquiry {
            Some(enquiry) => match enquiry.look_up(&notice_order(&debit, &notice, mandate)).await {
                Ok(Some(snapshot)) => return self.learn_notice(debit, &notice, snapshot, told).await,
                Ok(None) | Err(AskError::Absent) => {}
                Err(AskError::Unanswered(cause)) => {
                    let stepped = self.unanswered(provider, &cause.to_string());
                    return self.no_news_of_notice(mandate, debit, stepped, told).await;
                }
            },
            None if provider.capabilities.doubt(Operation::CreateDebit) == DoubtCure::SafeResend
                && !is_proof
                && !self.sending_is_held() =>
            {
                let order = notice_order(&debit, &notice, mandate);
                return match mandates.notices.notify(&order, Sending::Again, provider.call_timeout).await {
                    Ok(snapshot) => self.learn_notice(debit, &notice, snapshot, told).await,
                    Err(cause) => {
                        let stepped = self.unanswered(provider, &cause.to_string());
                        self.no_news_of_notice(mandate, debit, stepped, told).await
                    }
                };
            }
            None => {}
        }
        if is_proof {
            let our_ref = notice.our_ref;
            self.learn(Record::Debit(debit), &Fact::Debit(DebitFact::NoticeAbsent { our_ref }), told).await?;
        } else {
            self.give_back(&Record::Debit(debit), told).await?;
        }
        Ok(Stepped::Learned)
    }

    /// Whether a notice that the provider took was delivered.
    async fn look_at_notice(
        &self,
        provider: &Provider,
        mandates: &Mandates,
        mandate: &Mandate,
        debit: Debit,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        let Some(notice) = debit.notice().cloned() else { return Ok(Stepped::NobodyToAsk) };
        if let (Some(enquiry), Some(provider_ref)) = (&mandates.notice_enquiry, &notice.provider_ref) {
            match enquiry.fetch(provider_ref).await {
                Ok(snapshot) if snapshot.status != NoticeStatus::Pending => return self.learn_notice(debit, &notice, snapshot, told).await,
                Ok(_) => {}
                Err(AskError::Absent) => {
                    let stepped = self.gone(provider, &debit.header.id);
                    return self.no_news_of_notice(mandate, debit, stepped, told).await;
                }
                Err(AskError::Unanswered(cause)) => {
                    let stepped = self.unanswered(provider, &cause.to_string());
                    return self.no_news_of_notice(mandate, debit, stepped, told).await;
                }
            }
        }
        let now = self.clock.now();
        if since(notice.sent, now) < self.planner(mandate).notice_patience(mandates.notice_enquiry.is_some(), now) {
            return self.no_news_of_notice(mandate, debit, Stepped::NobodyToAsk, told).await;
        }
        // Nobody ever says what became of it: another one is sent.
        let status = NoticeStatus::Failed { code: String::new(), message: "nobody told that it was delivered".to_owned() };
        let told = Told { cause: Cause::Timer, evidence: Evidence::Answer, asked: None, ..told.clone() };
        self.learn_notice(debit, &notice, NoticeSnapshot { provider_ref: None, status, expires: None }, &told).await
    }

    /// Nothing new is known of a notice: the debit ends where even its delivery now would be of no use any more.
    async fn no_news_of_notice(&self, mandate: &Mandate, debit: Debit, stepped: Stepped, told: &Told) -> Result<Stepped, StoreError> {
        match self.planner(mandate).notice_too_late(&debit, self.clock.now()) {
            Some(next) => self.learn_in_time(debit, DebitFact::Rescheduled(next), told).await,
            None => Ok(stepped),
        }
    }

    /// Whether an attempt at a debit is still permitted right before it is sent: time may have passed since it was checked, and
    /// the mandate may have been revoked. `debit`: as it was before the attempt.
    pub(in crate::engine) async fn permits_an_attempt(&self, debit: &Debit) -> bool {
        match self.mandate_of(debit).await {
            Ok(Some(mandate)) => mandate.permits_debits() && self.planner(&mandate).forbidden(debit, self.clock.now()).is_none(),
            Ok(None) | Err(_) => false,
        }
    }

    /// The newest notice failed, or is too old by the time of the next attempt: the payer is notified anew.
    #[expect(clippy::too_many_arguments, reason = "one step of one record, with all that it needs")]
    async fn send_another_notice(
        &self,
        provider: &Provider,
        mandates: &Mandates,
        mandate: &Mandate,
        debit: Debit,
        debit_time: Timestamp,
        fence: Fence,
        told: &Told,
    ) -> Result<Stepped, StoreError> {
        // A drain waits for it, or it is not begun.
        let _at_work = self.tasks.token();
        let now = self.clock.now();
        if self.draining.is_cancelled() {
            return self.hold_up(&debit, fence, now).await;
        }
        let debit_time = self.planner(mandate).announced_time(&debit, debit_time, now);
        let by_time = Told { cause: Cause::Timer, evidence: Evidence::Answer, asked: None, fence: None, ..told.clone() };
        let first = debit.header.our_ref.clone().unwrap_or_default();
        // By their number, so that a store which lost one finds it by the same reference.
        let made = debit.notices_made();
        let notice = Notice {
            our_ref: if made == 0 { first } else { reference::further(&first, u64::try_from(made).unwrap_or(u64::MAX)) },
            provider_ref: None,
            sent: now,
            debit_time,
            state: NoticeState::Asked,
            expires: None,
        };
        let fact = Fact::Debit(DebitFact::NoticeBegun(notice.clone()));
        let before = Record::Debit(debit.clone());
        let Ok(Learned::Moved(begun, event)) = before.learn(&fact, Evidence::Answer, now) else { return Ok(Stepped::NobodyToAsk) };
        let mut step = self.step(Some(before), begun.clone(), event, &by_time);
        step.lease = LeaseStep::Keep;
        let mut batch = self.batch(vec![step], Vec::new(), &by_time)?;
        batch.guards.push(Guard::Held { id: debit.header.id.clone(), fence });
        if let Commit::Conflict(_) = self.commit_surely(batch).await? {
            self.store.release(&debit.header.id, fence, Look::At(now)).await?;
            return Ok(Stepped::Learned);
        }
        let Record::Debit(begun) = begun else { return Ok(Stepped::NobodyToAsk) };
        let told = Told { evidence: Evidence::Answer, asked: None, ..told.clone() };
        let our_ref = notice.our_ref.clone();
        let order = notice_order(&begun, &notice, mandate);
        let sent = match self.notice_sent_before(&Record::Debit(begun.clone()), &order).await {
            Ok(Some(sent)) => Ok(sent),
            Ok(None) => mandates.notices.notify(&order, Sending::First, provider.call_timeout).await,
            Err(cause) => Err(cause),
        };
        match sent {
            Ok(snapshot) => self.learn_notice(begun, &notice, snapshot, &told).await,
            Err(CallError::Refused { code, message }) => {
                let fact = Fact::Debit(DebitFact::NoticeRefused { our_ref, code, message });
                self.learn(Record::Debit(begun), &fact, &told).await?;
                Ok(Stepped::Learned)
            }
            Err(CallError::NotDelivered(cause)) => {
                warn!(resource.id = %debit.header.id, "a notice of `{}` was not delivered: {cause}", debit.header.id);
                let fact = DebitFact::NoticeNotSent { our_ref, message: "the provider could not be reached".to_owned() };
                self.learn(Record::Debit(begun), &Fact::Debit(fact), &told).await?;
                Ok(Stepped::Learned)
            }
            Err(cause @ CallError::InDoubt(_)) => {
                warn!(resource.id = %debit.header.id, "no answer to a notice of `{}`, it is looked for: {cause}", debit.header.id);
                self.give_back(&Record::Debit(begun), &told).await?;
                Ok(Stepped::Learned)
            }
        }
    }

    async fn learn_notice(&self, debit: Debit, notice: &Notice, snapshot: NoticeSnapshot, told: &Told) -> Result<Stepped, StoreError> {
        let our_ref = notice.our_ref.clone();
        let seen = |next| DebitFact::NoticeSeen { our_ref: our_ref.clone(), snapshot: snapshot.clone(), expires: None, next };
        let fact = self.with_next(&debit, seen).await;
        self.learn(Record::Debit(debit), &Fact::Debit(fact), told).await?;
        Ok(Stepped::Learned)
    }

    /// What the time tells, or what was just found out here.
    async fn learn_in_time(&self, debit: Debit, fact: DebitFact, told: &Told) -> Result<Stepped, StoreError> {
        let told = Told { cause: Cause::Timer, evidence: Evidence::Answer, asked: None, ..told.clone() };
        self.learn(Record::Debit(debit), &Fact::Debit(fact), &told).await?;
        Ok(Stepped::Learned)
    }

    /// Finds the debit whose notice a callback is about, and learns what became of it.
    pub(in crate::engine) async fn observe_notice(
        &self,
        provider: &Provider,
        order_ref: &str,
        status: &NoticeStatus,
        told: &Told,
    ) -> Result<Matched, StoreError> {
        let Some(Record::Debit(debit)) = self.find(provider.account.as_str(), DEBIT_ORDER, order_ref).await? else {
            return Ok(Matched::Foreign);
        };
        let Some(notice) = debit.notices.iter().find(|notice| notice.provider_ref.as_deref() == Some(order_ref)).cloned() else {
            return Ok(Matched::Foreign);
        };
        let snapshot = NoticeSnapshot { provider_ref: Some(order_ref.to_owned()), status: status.clone(), expires: None };
        let our_ref = notice.our_ref.clone();
        let seen = |next| DebitFact::NoticeSeen { our_ref: our_ref.clone(), snapshot: snapshot.clone(), expires: None, next };
        let fact = self.with_next(&debit, seen).await;
        self.learn(Record::Debit(debit), &Fact::Debit(fact), told).await.map(Outcome::record)?;
        Ok(Matched::Learned)
    }
}

/// The order that an attempt was made by, as far as the provider has such a thing.
pub(in crate::engine) fn order_of(mandates: &Mandates, attempt: &Attempt) -> Option<String> {
    attempt.order_ref.clone().or_else(|| attempt.notice_ref.clone().filter(|_| mandates.order_before_attempt))
}

/// What the provider is told of a notice.
fn notice_order(debit: &Debit, notice: &Notice, mandate: &Mandate) -> NoticeOrder {
    NoticeOrder {
        mandate: known_mandate(mandate),
        debit: debit.order.clone(),
        debit_time: notice.debit_time,
        our_ref: notice.our_ref.clone(),
        asked: notice.sent,
    }
}
