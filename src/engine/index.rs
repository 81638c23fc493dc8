//! Where records are found again: by references, and in lists.

use crate::domain::account::ProviderId;
use crate::domain::debit::Debit;
use crate::domain::event::Record;
use crate::domain::id::{Id, Kind};
use crate::domain::mandate::Mandate;
use crate::domain::payment::Payment;
use crate::domain::qr::{Customer, Qr, QrOrder};
use crate::domain::refund::RefundState;
use crate::domain::settlement::SettlementBreak;
use crate::store::{ListKey, Reference, ReferenceStep};

/// The sorts of references.
pub(super) const QR_AT_PROVIDER: &str = "qr.provider";
pub(super) const QR_OURS: &str = "qr.ours";
pub(super) const PAYMENT_AT_PROVIDER: &str = "payment.provider";
pub(super) const REFUND_AT_PROVIDER: &str = "refund.provider";
pub(super) const REFUND_OURS: &str = "refund.ours";
pub(super) const MANDATE_AT_PROVIDER: &str = "mandate.provider";
pub(super) const MANDATE_OURS: &str = "mandate.ours";
/// What a payer approves a mandate by.
pub(super) const MANDATE_REGISTRATION: &str = "mandate.registration";
/// An order of a debit: that of a notice, or of an attempt.
pub(super) const DEBIT_ORDER: &str = "debit.order";
pub(super) const SETTLEMENT_AT_PROVIDER: &str = "settlement.provider";
/// A line of a settlement: what it is about, in which settlement, and which of several.
pub(super) const SETTLEMENT_ENTRY: &str = "settlement_entry";
/// The newest difference of a kind about a thing.
pub(super) const BREAK: &str = "settlement_break";
/// The list of what is not at rest for somebody: in doubt, reported only, or contradicted.
pub(super) const DOUBTS: &str = "doubts";

/// The references that a write adds.
pub(super) fn references(before: Option<&Record>, after: &Record) -> Vec<ReferenceStep> {
    let header = after.header();
    let reference = |sort, value: &String| Reference { account: header.account.to_string(), sort, value: value.clone() };
    let (at_provider, ours) = match after {
        Record::Qr(_) => (QR_AT_PROVIDER, Some(QR_OURS)),
        Record::Payment(_) => (PAYMENT_AT_PROVIDER, None),
        Record::Refund(_) => (REFUND_AT_PROVIDER, Some(REFUND_OURS)),
        Record::Mandate(_) => (MANDATE_AT_PROVIDER, Some(MANDATE_OURS)),
        Record::Debit(debit) => return orders_of_debit(before, debit),
        Record::Settlement(_) => (SETTLEMENT_AT_PROVIDER, None),
        Record::SettlementBreak(difference) => {
            let named = ReferenceStep::Latest(reference(BREAK, &difference.identity()));
            return if before.is_none() { vec![named] } else { Vec::new() };
        }
    };
    let mut steps = Vec::new();
    if let (Some(provider_ref), None) = (&header.provider_ref, before.and_then(|before| before.header().provider_ref.as_ref())) {
        steps.push(ReferenceStep::Unique(reference(at_provider, provider_ref)));
    }
    if let (None, Some(our_ref), Some(sort)) = (before, &header.our_ref, ours) {
        steps.push(ReferenceStep::Latest(reference(sort, our_ref)));
    }
    if let Record::Mandate(Mandate { registration: Some(registration), .. }) = after
        && !matches!(before, Some(Record::Mandate(Mandate { registration: Some(_), .. })))
    {
        steps.push(ReferenceStep::Unique(reference(MANDATE_REGISTRATION, &registration.provider_ref)));
    }
    steps
}

/// A debit is found by each order that the provider has of it: a notice's, or an attempt's.
fn orders_of_debit(before: Option<&Record>, debit: &Debit) -> Vec<ReferenceStep> {
    let known = match before {
        Some(Record::Debit(before)) => order_refs(before),
        _ => Vec::new(),
    };
    let account = debit.header.account.to_string();
    let new = order_refs(debit).into_iter().filter(|order_ref| !known.contains(order_ref));
    new.map(|value| ReferenceStep::Unique(Reference { account: account.clone(), sort: DEBIT_ORDER, value })).collect()
}

fn order_refs(debit: &Debit) -> Vec<String> {
    let notices = debit.notices.iter().filter_map(|notice| notice.provider_ref.clone());
    let attempts = debit.attempts.iter().filter_map(|attempt| attempt.order_ref.clone());
    let mut refs: Vec<String> = notices.chain(attempts).collect();
    refs.sort();
    refs.dedup();
    refs
}

/// The key of the list of an account's resources of one kind.
pub(super) fn list_of_kind(kind: Kind) -> String {
    kind.prefix().to_owned()
}

pub(super) fn list_of_reference(kind: Kind, reference: &str) -> String {
    format!("{}/reference/{reference}", kind.prefix())
}

/// The key of the list of an account's codes that were made for one of the provider's customers.
pub(super) fn list_of_customer(kind: Kind, customer: &str) -> String {
    format!("{}/customer/{customer}", kind.prefix())
}

pub(super) fn list_of_parent(kind: Kind, parent: &Id) -> String {
    format!("{}/of/{parent}", kind.prefix())
}

/// The list of an account's differences that are open.
pub(super) const BREAKS_OPEN: &str = "sbrk/open";

pub(super) fn list_of_open_breaks(settlement: &Id) -> String {
    format!("sbrk/open/of/{settlement}")
}

/// The list of a mandate's debits that are not at their end.
pub(super) fn list_of_open_debits(mandate: &Id) -> String {
    format!("dbt/open/of/{mandate}")
}

/// The list of what was collected or sent back and stands in no settlement yet.
pub(super) fn list_of_unsettled(kind: Kind) -> String {
    format!("{}/unsettled", kind.prefix())
}

/// The list of the lines that a day's report has.
pub(super) fn list_of_day(day: jiff::civil::Date) -> String {
    format!("sent/day/{day}")
}

/// Whether a settlement should bring this, and none has yet. Only of providers that tell their settlements line by line.
fn is_unsettled(record: &Record) -> bool {
    if !tells_settlement_lines(record.header().provider) {
        return false;
    }
    match record {
        Record::Payment(payment) => payment.state.is_collected() && payment.settled.is_none(),
        Record::Refund(refund) => refund.state == RefundState::Succeeded && refund.settled.is_none(),
        Record::Qr(_) | Record::Mandate(_) | Record::Debit(_) | Record::Settlement(_) | Record::SettlementBreak(_) => false,
    }
}

/// Whether a provider tells which payment or refund each rupee of a settlement is for. Eko tells it by its callback.
pub(super) fn tells_settlement_lines(provider: ProviderId) -> bool {
    match provider {
        ProviderId::Razorpay | ProviderId::Eko => true,
        ProviderId::Enkash | ProviderId::Oqpay => false,
    }
}

/// The lists that a write has its record join and leave.
pub(super) fn lists(before: Option<&Record>, after: &Record) -> (Vec<ListKey>, Vec<ListKey>) {
    let header = after.header();
    let list = |key| ListKey { account: header.account.to_string(), key };
    let kind = header.id.kind();
    let mut join = Vec::new();
    let mut leave = Vec::new();
    if before.is_none() {
        join.push(list(list_of_kind(kind)));
        if !header.reference.is_empty() {
            join.push(list(list_of_reference(kind, &header.reference)));
        }
        if let Record::Qr(Qr { order: QrOrder { customer: Some(Customer { provider_ref: Some(customer), .. }), .. }, .. }) = after {
            join.push(list(list_of_customer(kind, customer)));
        }
        if let Record::Payment(Payment { qr: Some(qr), .. }) = after {
            join.push(list(list_of_parent(kind, qr)));
        }
        if let Record::Payment(Payment { debit: Some(debit), .. }) = after {
            join.push(list(list_of_parent(kind, debit)));
        }
        if let Record::Refund(refund) = after {
            join.push(list(list_of_parent(kind, &refund.payment)));
        }
        if let Record::Debit(debit) = after {
            join.push(list(list_of_parent(kind, &debit.mandate)));
        }
        if let Record::SettlementBreak(SettlementBreak { settlement: Some(settlement), .. }) = after {
            join.push(list(list_of_parent(kind, settlement)));
        }
    }
    if let Record::SettlementBreak(difference) = after {
        let open = |step: &mut Vec<ListKey>| {
            step.push(list(BREAKS_OPEN.to_owned()));
            step.extend(difference.settlement.as_ref().map(|settlement| list(list_of_open_breaks(settlement))));
        };
        match difference.close_time {
            None => open(&mut join),
            Some(_) => open(&mut leave),
        }
    }
    if let Record::Debit(debit) = after {
        let open = list(list_of_open_debits(&debit.mandate));
        match (before.is_some_and(|before| !before.is_terminal()), !debit.state.is_terminal()) {
            (false, true) => join.push(open),
            (true, false) => leave.push(open),
            (true, true) | (false, false) => {}
        }
    }
    match (before.is_some_and(is_unsettled), is_unsettled(after)) {
        (false, true) => join.push(list(list_of_unsettled(kind))),
        (true, false) => leave.push(list(list_of_unsettled(kind))),
        (true, true) | (false, false) => {}
    }
    match (before.is_some_and(is_doubtful), is_doubtful(after)) {
        (false, true) => join.push(list(DOUBTS.to_owned())),
        (true, false) => leave.push(list(DOUBTS.to_owned())),
        (true, true) | (false, false) => {}
    }
    (join, leave)
}

/// Whether a record may need a person: undecided, known from an unconfirmed report only, or contradicted.
pub(super) fn is_doubtful(record: &Record) -> bool {
    let undecided = match record {
        Record::Qr(qr) => !qr.is_decided(),
        Record::Payment(payment) => payment.is_reported_only(),
        // What has no id at the provider may never show how it ended.
        Record::Refund(refund) => !refund.is_decided() || (refund.state == RefundState::Pending && refund.header.provider_ref.is_none()),
        Record::Mandate(mandate) => !mandate.is_decided(),
        Record::Debit(debit) => !debit.is_decided(),
        Record::Settlement(_) | Record::SettlementBreak(_) => false,
    };
    undecided || !record.header().contradictions.is_empty()
}
