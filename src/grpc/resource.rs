//! Our resources as the API's messages. No `..`: a field that is added to a message doesn't compile here until
//! somebody decides what it means.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message;

use super::mandate_resource::{debit, mandate};
use super::pb;
use super::refund_resource::refund;
use super::settlement_resource::{settlement, settlement_break};
use crate::domain::event::{Event, Record};
use crate::domain::fact::{Cause, ChangeFailure, ChangeOperation, Contradiction, Evidence, Failure, FailureReason, PendingChange};
use crate::domain::money::Money;
use crate::domain::payment::{Credit, Payer, Payment, PaymentState, ProviderStatus};
use crate::domain::personal::Sight;
use crate::domain::qr::{CloseReason, Customer, Qr, QrCode, QrOrder, QrState, Usage};
use crate::events::Encode;
use crate::store::Position;

/// A provider's words are cut to this many characters.
const PROVIDER_MESSAGE_CHARS_MAX: usize = 512;

pub(super) fn time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

pub(super) fn money(money: Money) -> pb::Money {
    pb::Money { currency_code: "INR".to_owned(), minor_units: money.paise() }
}

pub(super) fn revision(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

pub(super) fn failure(failure: &Failure) -> pb::Failure {
    let Failure { reason, message, provider_code, provider_message } = failure;
    let reason = match reason {
        FailureReason::ProviderRefused => pb::FailureReason::ProviderRefused,
        FailureReason::NotSent => pb::FailureReason::NotSent,
        FailureReason::AbsentAtProvider => pb::FailureReason::AbsentAtProvider,
        FailureReason::OperatorDecided => pb::FailureReason::OperatorDecided,
        FailureReason::DuplicateReference => pb::FailureReason::DuplicateReference,
        FailureReason::ProviderFailed => pb::FailureReason::ProviderFailed,
        FailureReason::PayerDeclined => pb::FailureReason::PayerDeclined,
        FailureReason::ApprovalExpired => pb::FailureReason::ApprovalExpired,
        FailureReason::InsufficientFunds => pb::FailureReason::InsufficientFunds,
        FailureReason::NotificationFailed => pb::FailureReason::NotificationFailed,
        FailureReason::AttemptsExhausted => pb::FailureReason::AttemptsExhausted,
        FailureReason::WindowMissed => pb::FailureReason::WindowMissed,
        FailureReason::MandateNotUsable => pb::FailureReason::MandateNotUsable,
    };
    pb::Failure {
        reason: reason.into(),
        message: message.clone(),
        provider_code: provider_code.clone(),
        provider_message: provider_message.chars().take(PROVIDER_MESSAGE_CHARS_MAX).collect(),
    }
}

pub(super) fn change_failure(failure: &ChangeFailure) -> pb::Failure {
    let (reason, message, provider_code, provider_message) = match failure {
        ChangeFailure::Refused { code, message } => {
            (pb::FailureReason::ProviderRefused, "the provider refused the last change", code.clone(), message.clone())
        }
        ChangeFailure::NotMade => {
            (pb::FailureReason::AbsentAtProvider, "the last change was not made at the provider", String::new(), String::new())
        }
        ChangeFailure::NotSent => {
            (pb::FailureReason::NotSent, "the last change could not be sent to the provider", String::new(), String::new())
        }
    };
    pb::Failure { reason: reason.into(), message: message.to_owned(), provider_code, provider_message }
}

pub(super) fn contradiction(contradiction: &Contradiction) -> pb::Contradiction {
    let Contradiction { fact, evidence: proof, message, time: at } = contradiction;
    pb::Contradiction { fact: fact.clone(), evidence: evidence(*proof).into(), message: message.clone(), time: Some(time(*at)) }
}

pub(super) fn evidence(evidence: Evidence) -> pb::Evidence {
    match evidence {
        Evidence::Signature => pb::Evidence::Signature,
        Evidence::Enquiry => pb::Evidence::Enquiry,
        Evidence::UrlSecret => pb::Evidence::UrlSecret,
        Evidence::Answer => pb::Evidence::Answer,
        Evidence::Operator => pb::Evidence::Operator,
        Evidence::Unproven => pb::Evidence::Unspecified,
    }
}

fn cause(cause: Cause) -> pb::Cause {
    match cause {
        Cause::Rpc => pb::Cause::Rpc,
        Cause::Webhook => pb::Cause::Webhook,
        Cause::Reconciliation => pb::Cause::Reconciliation,
        Cause::Timer => pb::Cause::Timer,
        Cause::Operator => pb::Cause::Operator,
    }
}

pub(super) fn pending_change(pending: &PendingChange) -> pb::PendingChange {
    let PendingChange { operation, since, claim: _ } = pending;
    let operation = match operation {
        ChangeOperation::Close => pb::Operation::Close,
        ChangeOperation::Revoke => pb::Operation::Revoke,
    };
    pb::PendingChange { operation: operation.into(), since: Some(time(*since)) }
}

pub(super) fn usage(usage: Usage) -> pb::QrUsage {
    match usage {
        Usage::SingleUse => pb::QrUsage::SingleUse,
        Usage::MultipleUse => pb::QrUsage::MultipleUse,
    }
}

fn customer(customer: &Customer, sight: Sight) -> pb::QrCustomer {
    let Customer { provider_ref, name, phone, email } = customer;
    pb::QrCustomer {
        provider_ref: provider_ref.clone().unwrap_or_default(),
        name: name.as_ref().map(|name| name.show(sight)).unwrap_or_default(),
        phone: phone.as_ref().map(|phone| phone.show(sight)).unwrap_or_default(),
        email: email.as_ref().map(|email| email.show(sight)).unwrap_or_default(),
    }
}

pub(super) fn qr(qr: &Qr, sight: Sight) -> pb::Qr {
    let Qr {
        header,
        state,
        order,
        code,
        pending_change: pending,
        change_failure: refused,
        received,
        payment_count,
        duplicate_of: _,
        stray,
    } = qr;
    let QrOrder { usage: used, amount, name, description, expire_time: _, notes, customer: made_for } = order;
    let made = code.as_ref().map(|QrCode { upi_link, image_url, expire_time, attempt_ref: _, picture: _ }| {
        (upi_link.clone(), image_url.clone(), expire_time.map(time))
    });
    let (upi_link, image_url, expire_time) = made.unwrap_or_default();
    let (pb_state, close_reason, close_time, failed) = match state {
        QrState::Requested => (pb::QrState::Requested, pb::QrCloseReason::Unspecified, None, None),
        QrState::Active => (pb::QrState::Active, pb::QrCloseReason::Unspecified, None, None),
        QrState::Closed { reason, at } => {
            let reason = match reason {
                Some(CloseReason::Cancelled) => pb::QrCloseReason::Cancelled,
                Some(CloseReason::Paid) => pb::QrCloseReason::Paid,
                Some(CloseReason::Expired) => pb::QrCloseReason::Expired,
                None => pb::QrCloseReason::Unspecified,
            };
            (pb::QrState::Closed, reason, Some(time(*at)), None)
        }
        QrState::Failed(why) => (pb::QrState::Failed, pb::QrCloseReason::Unspecified, None, Some(failure(why))),
    };
    pb::Qr {
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
        in_doubt: !qr.is_decided(),
        usage: usage(*used).into(),
        amount: amount.map(money),
        name: name.clone(),
        description: description.clone(),
        notes: notes.clone(),
        upi_link,
        image_url,
        expire_time,
        close_time,
        close_reason: close_reason.into(),
        pending_change: pending.as_ref().map(pending_change),
        amount_received: Some(money(*received)),
        payment_count: revision(*payment_count),
        customer: made_for.as_ref().map(|made_for| customer(made_for, sight)),
        stray_possible: *stray,
    }
}

/// Why money that came is not what was asked for.
fn mismatch(payment: &Payment) -> pb::Failure {
    let message = match payment.expected {
        Some(expected) if expected != payment.amount => "another amount than was asked for",
        _ => "paid to another UPI address than the QR code names",
    };
    pb::Failure { reason: pb::FailureReason::Mismatched.into(), message: message.to_owned(), ..Default::default() }
}

pub(super) fn payment(payment: &Payment, sight: Sight) -> pb::Payment {
    let Payment {
        header,
        state,
        qr,
        debit,
        mandate,
        expected,
        amount,
        fee,
        tax,
        refunded: _,
        refunds,
        refunded_explained: _,
        settled,
        rrn,
        upi_transaction_id,
        payer,
        pay_time,
        reported,
        credit,
        expected_payee: _,
        payee: _,
        provider_statuses,
    } = payment;
    let Payer { vpa, phone, email } = payer;
    let (pb_state, failed) = match state {
        PaymentState::Pending => (pb::PaymentState::Pending, None),
        PaymentState::Authorized => (pb::PaymentState::Authorized, None),
        PaymentState::Succeeded => (pb::PaymentState::Succeeded, None),
        PaymentState::Mismatched => (pb::PaymentState::Mismatched, Some(mismatch(payment))),
        PaymentState::Failed(why) => (pb::PaymentState::Failed, Some(failure(why))),
        PaymentState::Reversed => (pb::PaymentState::Reversed, None),
    };
    pb::Payment {
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
        in_doubt: payment.is_reported_only(),
        qr_id: qr.as_ref().map(ToString::to_string).unwrap_or_default(),
        debit_id: debit.as_ref().map(ToString::to_string).unwrap_or_default(),
        amount: Some(money(*amount)),
        expected_amount: expected.map(money),
        fee: fee.map(money),
        tax: tax.map(money),
        amount_refunded: Some(money(payment.amount_refunded())),
        amount_refund_pending: Some(money(refunds.pending)),
        rrn: rrn.clone().unwrap_or_default(),
        upi_transaction_id: upi_transaction_id.clone().unwrap_or_default(),
        payer_vpa: vpa.as_ref().map(|vpa| vpa.show(sight)).unwrap_or_default(),
        payer_phone: phone.as_ref().map(|phone| phone.show(sight)).unwrap_or_default(),
        payer_email: email.as_ref().map(|email| email.show(sight)).unwrap_or_default(),
        reported: *reported,
        pay_time: Some(time(*pay_time)),
        mandate_id: mandate.as_ref().map(ToString::to_string).unwrap_or_default(),
        credit_awaited: *credit == Some(Credit::Awaited),
        credit_time: match credit {
            Some(Credit::Made { at }) => Some(time(*at)),
            Some(Credit::Awaited) | None => None,
        },
        provider_statuses: provider_statuses
            .iter()
            .map(|ProviderStatus { word, at }| pb::ProviderStatus { status: word.clone(), time: Some(time(*at)) })
            .collect(),
        settlement_id: settled.as_ref().and_then(|settled| settled.settlement.as_ref()).map(ToString::to_string).unwrap_or_default(),
        settle_time: settled.as_ref().map(|settled| time(settled.at)),
    }
}

/// Events in the API's bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct EventEncoder;

impl Encode for EventEncoder {
    fn encode(&self, event: &Event, position: Position, sight: Sight) -> Bytes {
        Bytes::from(pb_event(event, position, sight).encode_to_vec())
    }
}

/// An event without its token, which depends on the reader.
pub(super) fn pb_event(event: &Event, position: Position, sight: Sight) -> pb::Event {
    let Event { id, kind, cause: made_by, evidence: proof, occur_time, traceparent, terminal, record } = event;
    let header = record.header();
    let resource = match record {
        Record::Qr(record) => pb::event::Resource::Qr(qr(record, sight)),
        Record::Payment(record) => pb::event::Resource::Payment(payment(record, sight)),
        Record::Refund(record) => pb::event::Resource::Refund(refund(record)),
        Record::Mandate(record) => pb::event::Resource::Mandate(mandate(record, sight)),
        Record::Debit(record) => pb::event::Resource::Debit(debit(record)),
        Record::Settlement(record) => pb::event::Resource::Settlement(settlement(record, 0)),
        Record::SettlementBreak(record) => pb::event::Resource::SettlementBreak(settlement_break(record)),
    };
    let recorded = i64::try_from(position.ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    pb::Event {
        id: id.to_string(),
        r#type: kind.as_str().to_owned(),
        account: header.account.to_string(),
        provider: header.provider.to_string(),
        resource_id: header.id.to_string(),
        revision: revision(header.revision),
        cause: cause(*made_by).into(),
        evidence: evidence(*proof).into(),
        occur_time: Some(time(*occur_time)),
        traceparent: traceparent.clone().unwrap_or_default(),
        terminal: *terminal,
        resource: Some(resource),
        record_time: recorded.map(time),
        token: String::new(),
    }
}
