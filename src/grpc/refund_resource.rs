//! Refunds as the API's messages. No `..`: a field that is added to a message doesn't compile here until somebody decides
//! what it means.

use super::pb;
use super::resource::{contradiction, failure, money, revision, time};
use crate::domain::refund::{Refund, RefundOrigin, RefundSpeed, RefundState};

pub(super) fn speed(speed: RefundSpeed) -> pb::RefundSpeed {
    match speed {
        RefundSpeed::Normal => pb::RefundSpeed::Normal,
        RefundSpeed::Instant => pb::RefundSpeed::Instant,
    }
}

pub(super) fn refund(refund: &Refund) -> pb::Refund {
    let Refund {
        header,
        state,
        origin,
        payment,
        payment_ref: _,
        amount,
        speed_requested,
        speed_processed,
        description,
        notes,
        rrn,
        arn,
        process_time,
        fee,
        tax,
        refunded_before: _,
        duplicate_of: _,
        answer_lost: _,
        settled,
    } = refund;
    let (pb_state, failed) = match state {
        RefundState::Requested => (pb::RefundState::Requested, None),
        RefundState::Pending => (pb::RefundState::Pending, None),
        RefundState::Succeeded => (pb::RefundState::Succeeded, None),
        RefundState::Failed(why) => (pb::RefundState::Failed, Some(failure(why))),
    };
    let origin = match origin {
        RefundOrigin::Ours => pb::RefundOrigin::Ours,
        RefundOrigin::Provider => pb::RefundOrigin::Provider,
    };
    let known_speed = |known: &Option<RefundSpeed>| known.map_or(pb::RefundSpeed::Unspecified, speed).into();
    pb::Refund {
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
        in_doubt: !refund.is_decided(),
        payment_id: payment.to_string(),
        amount: Some(money(*amount)),
        origin: origin.into(),
        speed_requested: known_speed(speed_requested),
        speed_processed: known_speed(speed_processed),
        description: description.clone(),
        notes: notes.clone(),
        rrn: rrn.clone().unwrap_or_default(),
        arn: arn.clone().unwrap_or_default(),
        process_time: process_time.map(time),
        fee: fee.map(money),
        tax: tax.map(money),
        settlement_id: settled.as_ref().and_then(|settled| settled.settlement.as_ref()).map(ToString::to_string).unwrap_or_default(),
        settle_time: settled.as_ref().map(|settled| time(settled.at)),
    }
}
