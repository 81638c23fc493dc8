//! When somebody should look at a record again: a pure function of the record and the time.
//!
//! Waits grow with the record's age, which is exponential without counting attempts.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{after, since};
use crate::domain::debit::{Debit, NoticeState};
use crate::domain::event::Record;
use crate::domain::fact::FailureReason;
use crate::domain::mandate::{Mandate, MandateState};
use crate::domain::payment::{Credit, Payment, PaymentState};
use crate::domain::qr::{CloseReason, Qr, QrState, Usage};
use crate::domain::refund::{Refund, RefundState};
use crate::domain::settlement::{Settlement, SettlementState};
use crate::domain::working_days::{begin_of_day, day_in_india, next_day};
use crate::store::Look;

/// How patient the reconciler is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The first look at something that should have moved by itself (a paid code, a pending payment).
    pub first_look: Duration,
    /// The longest wait between two looks at something that is open.
    pub look_max: Duration,
    /// How long a worker holds a record.
    pub lease: Duration,
    /// The absence of something from a provider's lists is believed only this long after it could last have been sent.
    pub absence_after: Duration,
}

/// A doubt is looked at this soon, and at most this seldom.
const DOUBT_FIRST: Duration = Duration::from_secs(2);
const DOUBT_MAX: Duration = Duration::from_secs(120);
/// After a code's announced end the provider gets this long to close it.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);
/// After the announced end of a code that nobody can be asked about, a payment that was under way gets this long.
const LOCAL_EXPIRY_GRACE: Duration = Duration::from_secs(60);
/// What nobody can be asked about is passed by this seldom, so that it counts as open and is not forgotten.
const UNASKED_EVERY: Duration = Duration::from_hours(24);
/// A payment that was taken and is not credited yet: providers credit after a day or two.
const CREDIT_FIRST: Duration = Duration::from_hours(1);
const CREDIT_MAX: Duration = Duration::from_hours(12);
/// For how long the bank's reference of a refund that was made is asked for.
const BANK_REFERENCE_FOR: Duration = Duration::from_hours(7 * 24);
/// The longest wait between two looks at a settlement that was announced.
const SETTLEMENT_MAX: Duration = Duration::from_hours(6);
/// The longest wait between two looks at a mandate that stands.
const MANDATE_MAX: Duration = Duration::from_hours(24);
/// The pause before a debit is looked at again whose time is over and of which nothing came.
const OVERDUE_PAUSE: Duration = Duration::from_secs(60);
/// How often a debit is passed by that somebody else has to execute.
const UNEXECUTED_EVERY: Duration = Duration::from_hours(1);
/// The first look at something that has come to an end which may still change.
const LATE_FIRST: Duration = Duration::from_secs(300);

/// What a provider can be asked about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Askable {
    /// What became of a creation whose answer was lost.
    pub lost_creations: bool,
    /// How a code stands, and its payments.
    pub codes: bool,
    /// How a payment stands.
    pub payments: bool,
    /// How a refund stands.
    pub refunds: bool,
    /// How a mandate and its debits stand.
    pub mandates: bool,
    /// How a settlement stands.
    pub settlements: bool,
    /// How long it may change its mind about what has come to an end.
    pub late_window: Duration,
}

/// The next look at `record` as it is at `now`. `asked`: when the provider was asked for what is known now, if it was;
/// what it showed may be older than now.
pub fn next_look(record: &Record, asked: Option<Timestamp>, now: Timestamp, patience: &Patience, askable: Askable) -> Look {
    match record {
        Record::Qr(qr) if askable.codes || qr.state == QrState::Requested => next_look_at_qr(qr, asked, now, patience, askable),
        Record::Qr(qr) => next_look_at_unaskable_qr(qr, now, askable.late_window),
        Record::Payment(payment) if askable.payments => next_look_at_payment(payment, now, patience, askable.late_window),
        Record::Refund(refund) if askable.refunds => next_look_at_refund(refund, now, patience, askable),
        Record::Settlement(settlement) if askable.settlements => next_look_at_settlement(settlement, now, patience, askable.late_window),
        Record::Mandate(mandate) => next_look_at_mandate(mandate, asked, now, patience),
        Record::Debit(debit) => next_look_at_debit(debit, now, patience, askable),
        Record::Payment(_) | Record::Refund(_) | Record::Settlement(_) | Record::SettlementBreak(_) => Look::Rest,
    }
}

fn next_look_at_mandate(mandate: &Mandate, asked: Option<Timestamp>, now: Timestamp, patience: &Patience) -> Look {
    let age = since(mandate.header.create_time, now);
    // After its last day in India it is over, whatever the provider tells.
    let end = after(end_of_day(mandate.order.valid_until), EXPIRY_MARGIN);
    // An answer that was asked for before the end, and came after it, does not tell of it.
    let is_seen_after_it = asked.is_some_and(|asked| asked >= end);
    let until_end = |look: Timestamp| Look::At(if is_seen_after_it { look } else { look.min(end) });
    match &mandate.state {
        MandateState::Requested => Look::At(after(now, grown(age, 50, DOUBT_FIRST, DOUBT_MAX))),
        MandateState::AwaitingApproval | MandateState::Active | MandateState::Paused if let Some(pending) = &mandate.pending_change => {
            Look::At(after(now, grown(since(pending.since, now), 50, DOUBT_FIRST, DOUBT_MAX)))
        }
        MandateState::AwaitingApproval => until_end(after(now, grown(age, 50, patience.first_look, patience.look_max))),
        // A callback that told of the pause may have been an old one.
        MandateState::Paused => {
            let paused_for = since(mandate.header.update_time, now);
            until_end(after(now, grown(paused_for, 50, DOUBT_FIRST, MANDATE_MAX)))
        }
        // That it was revoked or paused is told by callbacks; one may be lost.
        MandateState::Active => until_end(after(now, grown(since(mandate.header.update_time, now), 50, patience.look_max, MANDATE_MAX))),
        MandateState::Revoked
        | MandateState::Rejected(_)
        | MandateState::Expired(_)
        | MandateState::Completed
        | MandateState::Failed(_) => Look::Rest,
    }
}

fn next_look_at_debit(debit: &Debit, now: Timestamp, patience: &Patience, askable: Askable) -> Look {
    if let Some(attempt) = debit.open_attempt() {
        let age = since(attempt.start, now);
        return Look::At(after(
            now,
            match (attempt.is_answered(), attempt.answer_lost && !askable.lost_creations) {
                (true, _) => grown(age, 50, patience.first_look, patience.look_max),
                // A person has to decide, or a callback tells.
                (false, true) => UNASKED_EVERY,
                (false, false) => grown(age, 50, DOUBT_FIRST, DOUBT_MAX),
            },
        ));
    }
    if debit.state.is_terminal() {
        return Look::Rest;
    }
    // What is to be done at its time, and what became of the newest notice.
    let notice_open = debit.notice().is_some_and(|notice| matches!(notice.state, NoticeState::Asked | NoticeState::Taken));
    let step = debit.next_step_time.filter(|_| !notice_open).map(|step| match since(debit.header.update_time, now) {
        _ if step > now => step,
        // It became due by what was just learned.
        age if age < OVERDUE_PAUSE => now,
        // It was looked at, and nothing came of that.
        _ => after(now, OVERDUE_PAUSE),
    });
    let notice = debit.notice().and_then(|notice| {
        let age = since(notice.sent, now);
        match notice.state {
            NoticeState::Asked => Some(after(now, grown(age, 50, DOUBT_FIRST, DOUBT_MAX))),
            NoticeState::Taken => Some(after(now, grown(age, 50, patience.first_look, patience.look_max))),
            NoticeState::Delivered { .. } | NoticeState::Failed(_) => None,
        }
    });
    let soonest = step.into_iter().chain(notice).min();
    // One that waits for somebody to execute it is passed by, so that its cycle does not end unseen.
    Look::At(soonest.unwrap_or_else(|| after(now, UNEXECUTED_EVERY)))
}

/// Whether `look` is no look but something that is to be done then, and not a moment later.
pub fn is_appointment(record: &Record, look: Timestamp) -> bool {
    matches!(record, Record::Debit(debit) if debit.open_attempt().is_none() && debit.next_step_time == Some(look))
}

/// When the day in India that `time` lies on is over.
pub fn end_of_day(time: Timestamp) -> Timestamp {
    begin_of_day(next_day(day_in_india(time)))
}

fn next_look_at_refund(refund: &Refund, now: Timestamp, patience: &Patience, askable: Askable) -> Look {
    let age = since(refund.header.create_time, now);
    match &refund.state {
        // That it was made may still show; that it was not never does, and a person has to decide.
        RefundState::Requested if refund.answer_lost && !askable.lost_creations => {
            Look::At(after(now, grown(age, 50, DOUBT_MAX, UNASKED_EVERY)))
        }
        RefundState::Requested => Look::At(after(now, grown(age, 50, DOUBT_FIRST, DOUBT_MAX))),
        RefundState::Pending => Look::At(after(now, grown(age, 50, patience.first_look, patience.look_max))),
        // What the payer's bank can find it by is told by no callback: it is fetched once it is there.
        RefundState::Succeeded if refund.header.provider_ref.is_some() && refund.rrn.is_none() && refund.arn.is_none() => {
            late_look(refund.header.create_time, now, BANK_REFERENCE_FOR)
        }
        RefundState::Succeeded => Look::Rest,
        // What never reached the provider, or was refused, or is another record, has no late edge.
        RefundState::Failed(failure) => match failure.reason {
            FailureReason::ProviderFailed | FailureReason::AbsentAtProvider | FailureReason::OperatorDecided => {
                late_look(refund.header.create_time, now, askable.late_window)
            }
            _ => Look::Rest,
        },
    }
}

fn next_look_at_settlement(settlement: &Settlement, now: Timestamp, patience: &Patience, late_window: Duration) -> Look {
    let age = since(settlement.header.create_time, now);
    match &settlement.state {
        SettlementState::Created => Look::At(after(now, grown(age, 50, patience.first_look, SETTLEMENT_MAX))),
        SettlementState::Failed(_) => late_look(settlement.header.create_time, now, late_window),
        SettlementState::Processed => Look::Rest,
    }
}

/// When a code that nobody can be asked about counts as ended: some time after what the provider announced, or if that is not
/// known when nobody waits for its one payment any more. `None`: it has no end.
pub fn local_end(qr: &Qr, late_window: Duration) -> Option<Timestamp> {
    let announced = qr.code.as_ref().and_then(|code| code.expire_time);
    match (announced, qr.order.usage) {
        (Some(end), _) => Some(after(end, LOCAL_EXPIRY_GRACE)),
        (None, Usage::SingleUse) => Some(after(qr.header.create_time, late_window)),
        (None, Usage::MultipleUse) => None,
    }
}

fn next_look_at_unaskable_qr(qr: &Qr, now: Timestamp, late_window: Duration) -> Look {
    match (&qr.state, local_end(qr, late_window)) {
        (QrState::Active, Some(end)) => Look::At(end.max(now)),
        (QrState::Active, None) | (QrState::Requested, _) => Look::At(after(now, UNASKED_EVERY)),
        (QrState::Closed { .. } | QrState::Failed(_), _) => Look::Rest,
    }
}

fn next_look_at_qr(qr: &Qr, asked: Option<Timestamp>, now: Timestamp, patience: &Patience, askable: Askable) -> Look {
    let late_window = askable.late_window;
    match &qr.state {
        // A person has to decide.
        QrState::Requested if qr.header.provider_ref.is_none() && qr.stray && !askable.lost_creations => {
            Look::At(after(now, UNASKED_EVERY))
        }
        QrState::Requested => Look::At(after(now, grown(since(qr.header.create_time, now), 50, DOUBT_FIRST, DOUBT_MAX))),
        QrState::Active => {
            if let Some(pending) = &qr.pending_change {
                return Look::At(after(now, grown(since(pending.since, now), 50, DOUBT_FIRST, DOUBT_MAX)));
            }
            let look = after(now, grown(since(qr.header.create_time, now), 50, patience.first_look, patience.look_max));
            let end = qr.code.as_ref().and_then(|code| code.expire_time).map(|end| after(end, EXPIRY_MARGIN));
            Look::At(end.filter(|end| *end > now).map_or(look, |end| look.min(end)))
        }
        // The one payment that a single-use code can have should be here. Lists lag: it may also be a second attempt that
        // the provider gives back, so the list is read once more when it can be believed.
        QrState::Closed { reason: Some(CloseReason::Paid), at } if qr.order.usage == Usage::SingleUse && qr.payment_count > 0 => {
            if asked.is_some_and(|asked| since(*at, asked) >= patience.absence_after) {
                return Look::Rest;
            }
            // Later than need be, so that no jitter makes two looks of it.
            Look::At(after(*at, patience.absence_after.saturating_mul(2)).max(now))
        }
        QrState::Closed { at, .. } => late_look(*at, now, late_window),
        QrState::Failed(_) => Look::Rest,
    }
}

fn next_look_at_payment(payment: &Payment, now: Timestamp, patience: &Patience, late_window: Duration) -> Look {
    match &payment.state {
        PaymentState::Pending | PaymentState::Authorized => {
            Look::At(after(now, grown(since(payment.header.create_time, now), 50, patience.first_look, patience.look_max)))
        }
        PaymentState::Failed(_) => late_look(payment.pay_time, now, late_window),
        PaymentState::Succeeded | PaymentState::Mismatched if payment.credit == Some(Credit::Awaited) => {
            let age = since(payment.pay_time, now);
            // Money that was taken and is not credited for so long is asked about until it is.
            let most = if age >= late_window { UNASKED_EVERY } else { CREDIT_MAX };
            Look::At(after(now, grown(age, 50, CREDIT_FIRST, most)))
        }
        // Its refunds are listed after it was written down: whoever was to do that may be gone.
        PaymentState::Succeeded | PaymentState::Mismatched | PaymentState::Reversed
            if payment.has_unknown_refunds() && payment.header.contradictions.is_empty() =>
        {
            Look::At(after(now, grown(since(payment.pay_time, now), 50, patience.first_look, patience.look_max)))
        }
        PaymentState::Succeeded | PaymentState::Mismatched | PaymentState::Reversed => Look::Rest,
    }
}

/// Looks that become rare quickly, the last one when the provider's late window is over.
fn late_look(ended: Timestamp, now: Timestamp, late_window: Duration) -> Look {
    let age = since(ended, now);
    if age >= late_window {
        return Look::Rest;
    }
    Look::At(after(now, grown(age, 300, LATE_FIRST, late_window)).min(after(ended, late_window)))
}

/// `percent` of `age`, within bounds.
fn grown(age: Duration, percent: u32, least: Duration, most: Duration) -> Duration {
    (age.saturating_mul(percent) / 100).clamp(least, most.max(least))
}

/// Whether the absence of something that was asked for at `asked` can be believed where the provider was searched at
/// `searched`: by then no owner's request can still travel, and the provider's lists have caught up. Not the time at
/// which the answer is judged: a process may stand still in between.
pub fn absence_is_proof(asked: Timestamp, searched: Timestamp, patience: &Patience, call_timeout: Duration) -> bool {
    since(asked, searched) >= proof_after(patience, call_timeout)
}

/// How long after something was asked for its absence proves that it did not happen.
pub fn proof_after(patience: &Patience, call_timeout: Duration) -> Duration {
    patience.lease + call_timeout + patience.absence_after
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        first_look: Duration::from_secs(90),
        look_max: Duration::from_secs(900),
        lease: Duration::from_secs(60),
        absence_after: Duration::from_secs(900),
    };

    #[test]
    fn a_mandate_of_whose_end_nobody_was_asked_is_looked_at_once_it_is_over() {
        let text = include_str!("../../tests/golden/records/v1/mandate.full.json");
        let mut stored: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut mandate: Mandate = serde_json::from_value(stored["mandate"].take()).unwrap();
        mandate.pending_change = None;
        let end = after(end_of_day(mandate.order.valid_until), EXPIRY_MARGIN);
        let (before, over) = (end - Duration::from_secs(1), after(end, Duration::from_secs(1)));
        for state in [MandateState::AwaitingApproval, MandateState::Active, MandateState::Paused] {
            mandate.state = state;
            let look = |asked, now| match next_look_at_mandate(&mandate, asked, now, &PATIENCE) {
                Look::At(time) => time,
                other => panic!("{other:?}"),
            };
            assert_eq!(look(Some(before), before), end);
            // The answer took until it was over, or a callback told of it, or nobody answered.
            assert_eq!(look(Some(before), over), end);
            assert_eq!(look(None, over), end);
            // The provider was asked after the end: it gets its time.
            assert!(look(Some(over), over) > over);
        }
    }
}
