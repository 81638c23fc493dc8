//! Mandates and debits as the API's messages. No `..`: a field that is added to a message doesn't compile here until
//! somebody decides what it means.

use super::pb;
use super::resource::{change_failure, contradiction, failure, money, pending_change, revision, time};
use crate::domain::debit::{Attempt, Debit, DebitOrder, DebitState, Notice, NoticeState};
use crate::domain::mandate::{Mandate, MandateOrder, MandatePayer, MandateState};
use crate::domain::personal::Sight;
use crate::domain::upi::{AmountRule, DayRule, Pattern};

pub(super) fn frequency(pattern: Pattern) -> pb::MandateFrequency {
    match pattern {
        Pattern::OneTime => pb::MandateFrequency::OneTime,
        Pattern::Daily => pb::MandateFrequency::Daily,
        Pattern::Weekly => pb::MandateFrequency::Weekly,
        Pattern::Fortnightly => pb::MandateFrequency::Fortnightly,
        Pattern::Monthly => pb::MandateFrequency::Monthly,
        Pattern::BiMonthly => pb::MandateFrequency::Bimonthly,
        Pattern::Quarterly => pb::MandateFrequency::Quarterly,
        Pattern::HalfYearly => pb::MandateFrequency::HalfYearly,
        Pattern::Yearly => pb::MandateFrequency::Yearly,
        Pattern::AsPresented => pb::MandateFrequency::AsPresented,
    }
}

fn day_rule(rule: DayRule) -> pb::MandateDebitDayRule {
    match rule {
        DayRule::Before => pb::MandateDebitDayRule::Before,
        DayRule::On => pb::MandateDebitDayRule::On,
        DayRule::After => pb::MandateDebitDayRule::After,
    }
}

pub(super) fn mandate(mandate: &Mandate, sight: Sight) -> pb::Mandate {
    let Mandate {
        header,
        state,
        order,
        registration: _,
        approval_link,
        approval_expire_time,
        approve_time,
        approved_by,
        umn,
        pending_change: pending,
        change_failure: refused,
        taken: _,
        attempt_open: _,
        debit_count,
        amount_debited,
        contradicted_debits: _,
        end_time,
        duplicate_of: _,
    } = mandate;
    let MandateOrder {
        max_amount,
        amount_rule,
        pattern,
        day,
        valid_from,
        valid_until,
        block_funds,
        revocable,
        payer,
        purpose,
        name,
        description,
        approval_expire_time: _,
        notes,
    } = order;
    let MandatePayer { vpa, name: payer_name, phone, email } = payer;
    let (pb_state, failed) = match state {
        MandateState::Requested => (pb::MandateState::Requested, None),
        MandateState::AwaitingApproval => (pb::MandateState::AwaitingApproval, None),
        MandateState::Active => (pb::MandateState::Active, None),
        MandateState::Paused => (pb::MandateState::Paused, None),
        MandateState::Revoked => (pb::MandateState::Revoked, None),
        MandateState::Rejected(why) => (pb::MandateState::Rejected, Some(failure(why))),
        MandateState::Expired(why) => (pb::MandateState::Expired, why.as_ref().map(failure)),
        MandateState::Completed => (pb::MandateState::Completed, None),
        MandateState::Failed(why) => (pb::MandateState::Failed, Some(failure(why))),
    };
    let amount_rule = match amount_rule {
        AmountRule::Exact => pb::MandateAmountRule::Exact,
        AmountRule::Max => pb::MandateAmountRule::Max,
    };
    pb::Mandate {
        id: header.id.to_string(),
        account: header.account.to_string(),
        provider: header.provider.to_string(),
        provider_ref: header.provider_ref.clone().unwrap_or_default(),
        state: pb_state.into(),
        revision: revision(header.revision),
        reference: header.reference.clone(),
        labels: header.labels.clone(),
        create_time: Some(time(header.create_time)),
        update_time: Some(time(header.update_time)),
        failure: failed.or_else(|| refused.as_ref().map(change_failure)),
        contradictions: header.contradictions.iter().map(contradiction).collect(),
        in_doubt: !mandate.is_decided(),
        max_amount: Some(money(*max_amount)),
        amount_rule: amount_rule.into(),
        frequency: frequency(*pattern).into(),
        debit_day: day.map(|day| i32::from(day.number)),
        debit_day_rule: day.map_or(pb::MandateDebitDayRule::Unspecified, |day| day_rule(day.rule)).into(),
        valid_from: Some(time(*valid_from)),
        valid_until: Some(time(*valid_until)),
        block_funds: *block_funds,
        revocable: *revocable,
        payer_vpa: approved_by.as_ref().or(vpa.as_ref()).map(|vpa| vpa.show(sight)).unwrap_or_default(),
        payer_name: payer_name.as_ref().map(|name| name.show(sight)).unwrap_or_default(),
        payer_phone: phone.as_ref().map(|phone| phone.show(sight)).unwrap_or_default(),
        payer_email: email.as_ref().map(|email| email.show(sight)).unwrap_or_default(),
        approval_link: approval_link.clone(),
        approval_expire_time: approval_expire_time.map(time),
        approve_time: approve_time.map(time),
        umn: umn.clone().unwrap_or_default(),
        purpose: purpose.clone(),
        name: name.clone(),
        description: description.clone(),
        notes: notes.clone(),
        pending_change: pending.as_ref().map(pending_change),
        pending_max_amount: None,
        pending_valid_until: None,
        debit_count: revision(*debit_count),
        amount_debited: Some(money(*amount_debited)),
        end_time: end_time.map(time),
    }
}

pub(super) fn debit(debit: &Debit) -> pb::Debit {
    let Debit {
        header,
        state,
        mandate,
        order,
        cycle,
        takes_cycle: _,
        needs_notice: _,
        notices,
        attempts,
        requires_payer_approval,
        next_permitted_time,
        next_step_time: _,
        notice_wanted: _,
        payment,
        duplicate_of: _,
    } = debit;
    let DebitOrder { amount, auto_execute, execute_after, description, notes } = order;
    let (pb_state, failed) = match state {
        DebitState::Requested => (pb::DebitState::Requested, None),
        DebitState::Notified => (pb::DebitState::Notified, None),
        DebitState::Scheduled => (pb::DebitState::Scheduled, None),
        DebitState::Executing => (pb::DebitState::Executing, None),
        DebitState::Succeeded => (pb::DebitState::Succeeded, None),
        DebitState::Failed(why) => (pb::DebitState::Failed, Some(failure(why))),
        DebitState::Cancelled => (pb::DebitState::Cancelled, None),
    };
    // What never reached the provider counts for nothing.
    let newest = notices.iter().rev().find(|notice| !notice.was_not_sent());
    let deliver_time = match newest.map(|notice| &notice.state) {
        Some(NoticeState::Delivered { at }) => Some(time(*at)),
        Some(NoticeState::Asked | NoticeState::Taken | NoticeState::Failed(_)) | None => None,
    };
    pb::Debit {
        id: header.id.to_string(),
        account: header.account.to_string(),
        provider: header.provider.to_string(),
        provider_ref: header.provider_ref.clone().unwrap_or_default(),
        state: pb_state.into(),
        revision: revision(header.revision),
        reference: header.reference.clone(),
        labels: header.labels.clone(),
        create_time: Some(time(header.create_time)),
        update_time: Some(time(header.update_time)),
        failure: failed,
        contradictions: header.contradictions.iter().map(contradiction).collect(),
        in_doubt: !debit.is_decided(),
        mandate_id: mandate.to_string(),
        amount: Some(money(*amount)),
        auto_execute: *auto_execute,
        execute_after: execute_after.map(time),
        cycle: cycle.clone(),
        description: description.clone(),
        notes: notes.clone(),
        notify_time: newest.map(|Notice { sent, .. }| time(*sent)),
        notify_deliver_time: deliver_time,
        notify_expire_time: newest.and_then(|notice| notice.expires).map(time),
        notify_count: i32::try_from(debit.notices_made()).unwrap_or(i32::MAX),
        requires_payer_approval: *requires_payer_approval,
        next_permitted_time: next_permitted_time.map(time),
        attempts: (1..).zip(attempts).map(|(number, tried)| attempt(number, tried)).collect(),
        payment_id: payment.as_ref().map(ToString::to_string).unwrap_or_default(),
        pending_change: None,
    }
}

fn attempt(number: i32, attempt: &Attempt) -> pb::DebitAttempt {
    let Attempt { start, end, notice_ref: _, payment_ref: _, order_ref: _, payment, failure: failed, answer_lost: _, claim: _ } = attempt;
    pb::DebitAttempt {
        number,
        start_time: Some(time(*start)),
        end_time: end.map(time),
        payment_id: payment.as_ref().map(ToString::to_string).unwrap_or_default(),
        failure: failed.as_ref().map(|failed| failure(&failed.failure)),
    }
}
