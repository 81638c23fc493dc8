//! What a provider is asked to do, and what each answer means for the record.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::account::{DoubtCure, Operation};
use crate::domain::debit::{AttemptFailure, DebitFact, FailureMeaning};
use crate::domain::event::{Fact, Record};
use crate::domain::fact::{Failure, FailureReason};
use crate::domain::mandate::{MandateFact, MandateOrder, Registration};
use crate::domain::qr::{QrFact, QrOrder};
use crate::domain::refund::{RefundFact, RefundOrder};
use crate::engine::Engine;
use crate::engine::qr::doubt_of;
use crate::providers::mandate::{
    AttemptOrder, AttemptTaken, DebitExecution, DebitNotices, KnownMandate, MandateCreated, MandateCreation, MandateLinking,
    MandateRevoking, NoticeOrder,
};
use crate::providers::{CallError, Created, KnownQr, Provider, QrClosing, QrCreation, RefundCreation, Sending};

/// What a provider is asked to do, and who does it.
pub(in crate::engine) enum Act {
    CreateQr { creation: Arc<dyn QrCreation>, order: QrOrder, our_ref: String },
    CloseQr { closing: Arc<dyn QrClosing>, code: KnownQr },
    CreateRefund { creation: Arc<dyn RefundCreation>, payment_ref: String, order: RefundOrder, our_ref: String },
    CreateMandate { creation: Arc<dyn MandateCreation>, linking: Option<Arc<dyn MandateLinking>>, order: MandateOrder, our_ref: String },
    RevokeMandate { revoking: Arc<dyn MandateRevoking>, mandate: KnownMandate },
    Notify { notices: Arc<dyn DebitNotices>, notice: NoticeOrder },
    Execute { execution: Arc<dyn DebitExecution>, attempt: AttemptOrder },
}

/// What an answer came to.
pub(super) enum Called {
    Fact(Box<Fact>),
    /// The code is made, and what a payer scans is a call of its own.
    Registered {
        provider_ref: String,
    },
    /// What a payer approves a mandate by is made, and his link is a call of its own.
    MandateRegistered(Registration),
}

impl Act {
    /// Makes the call, once. `record`: as it stands since the intent.
    pub(super) async fn call(&self, engine: &Engine, record: &Record, timeout: Duration) -> Result<Called, CallError> {
        Ok(Called::Fact(Box::new(match self {
            Act::CreateQr { creation, order, our_ref } => match creation.create(order, our_ref, Sending::First, timeout).await? {
                Created::Ready(snapshot) => Fact::Qr(QrFact::Seen(*snapshot)),
                Created::Registered { provider_ref } => return Ok(Called::Registered { provider_ref }),
            },
            Act::CloseQr { closing, code } => Fact::Qr(QrFact::Seen(closing.close(code, timeout).await?)),
            Act::CreateRefund { creation, payment_ref, order, our_ref } => {
                let snapshot = creation.create(payment_ref, order, our_ref, Sending::First, timeout).await?;
                Fact::Refund(RefundFact::Seen(snapshot))
            }
            Act::CreateMandate { creation, linking: _, order, our_ref } => {
                match creation.create(order, our_ref, Sending::First, timeout).await? {
                    MandateCreated::Ready(snapshot) => Fact::Mandate(MandateFact::Seen(*snapshot)),
                    MandateCreated::Registered(registration) => return Ok(Called::MandateRegistered(registration)),
                }
            }
            Act::RevokeMandate { revoking, mandate } => Fact::Mandate(MandateFact::Seen(revoking.revoke(mandate, timeout).await?)),
            Act::Notify { notices, notice } => {
                let snapshot = match engine.notice_sent_before(record, notice).await? {
                    Some(sent) => sent,
                    None => notices.notify(notice, Sending::First, timeout).await?,
                };
                engine
                    .debit_fact(record, |next| DebitFact::NoticeSeen {
                        our_ref: notice.our_ref.clone(),
                        snapshot: snapshot.clone(),
                        expires: None,
                        next,
                    })
                    .await
            }
            Act::Execute { execution, attempt } => {
                let AttemptTaken { payment_ref, order_ref } = execution.execute(attempt, timeout).await?;
                Fact::Debit(DebitFact::AttemptTaken { payment_ref, order_ref })
            }
        })))
    }

    /// The provider said no.
    pub(super) async fn refused(&self, engine: &Engine, record: &Record, code: String, message: String) -> Fact {
        match self {
            Act::CreateQr { .. } => Fact::Qr(QrFact::Refused { code, message }),
            Act::CloseQr { .. } => Fact::Qr(QrFact::CloseRefused { code, message }),
            Act::CreateRefund { .. } => Fact::Refund(RefundFact::Refused { code, message }),
            Act::CreateMandate { .. } => Fact::Mandate(MandateFact::Refused { code, message }),
            Act::RevokeMandate { .. } => Fact::Mandate(MandateFact::RevokeRefused { code, message }),
            Act::Notify { notice, .. } => Fact::Debit(DebitFact::NoticeRefused { our_ref: notice.our_ref.clone(), code, message }),
            Act::Execute { execution, .. } => {
                let failed = refused_attempt(&**execution, code, message);
                engine.debit_fact(record, |next| DebitFact::AttemptRefused { failed: failed.clone(), next }).await
            }
        }
    }

    /// It certainly did not reach the provider; why, for people.
    pub(super) async fn not_sent(&self, engine: &Engine, record: &Record, message: &str) -> Fact {
        let message = message.to_owned();
        match self {
            Act::CreateQr { .. } => Fact::Qr(QrFact::NotSent { message }),
            Act::CloseQr { .. } => Fact::Qr(QrFact::CloseNotSent),
            Act::CreateRefund { .. } => Fact::Refund(RefundFact::NotSent { message }),
            Act::CreateMandate { .. } => Fact::Mandate(MandateFact::NotSent { message }),
            Act::RevokeMandate { .. } => Fact::Mandate(MandateFact::RevokeNotSent),
            Act::Notify { notice, .. } => Fact::Debit(DebitFact::NoticeNotSent { our_ref: notice.our_ref.clone(), message }),
            Act::Execute { .. } => engine.debit_fact(record, |next| DebitFact::AttemptNotSent { message: message.clone(), next }).await,
        }
    }

    /// What a lost answer comes to at once, where nobody can be asked for certain.
    pub(super) fn answer_lost(&self, provider: &Provider) -> Option<Fact> {
        let nobody = |operation| provider.capabilities.doubt(operation) == DoubtCure::None;
        match self {
            Act::CreateQr { order, .. } => (doubt_of(provider, order.usage) == DoubtCure::None).then_some(Fact::Qr(QrFact::AnswerLost)),
            Act::CreateRefund { .. } => nobody(Operation::CreateRefund).then_some(Fact::Refund(RefundFact::AnswerLost)),
            Act::Execute { .. } => nobody(Operation::ExecuteDebit).then_some(Fact::Debit(DebitFact::AttemptLost)),
            Act::CloseQr { .. } | Act::CreateMandate { .. } | Act::RevokeMandate { .. } | Act::Notify { .. } => None,
        }
    }
}

/// An attempt that the provider refused before any effect: the same would be refused again, unless its reason says otherwise.
pub(in crate::engine) fn refused_attempt(execution: &dyn DebitExecution, code: String, message: String) -> AttemptFailure {
    let meaning = match execution.meaning(&code).0 {
        FailureMeaning::Retry => FailureMeaning::Retry,
        FailureMeaning::GiveUp | FailureMeaning::MayComeLate => FailureMeaning::GiveUp,
    };
    let failure = Failure {
        provider_code: code,
        provider_message: message,
        ..Failure::ours(FailureReason::ProviderRefused, "the provider refused the debit")
    };
    AttemptFailure { failure, meaning }
}
