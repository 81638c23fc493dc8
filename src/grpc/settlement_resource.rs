//! Settlements, their entries and their breaks as the API's messages.

use super::pb;
use super::resource::{contradiction, failure, money, revision, time};
use crate::domain::account::{AccountName, ProviderId};
use crate::domain::id::Id;
use crate::domain::settlement::{
    BreakKind, EntriesRead, EntryKind, Settlement, SettlementBreak, SettlementEntry, SettlementLine, SettlementState,
};

/// `open_breaks`: how many differences of it are open now.
pub(super) fn settlement(settlement: &Settlement, open_breaks: u64) -> pb::Settlement {
    let Settlement { header, state, amount, fee, tax, utr, settle_time, entries } = settlement;
    let EntriesRead { count, net, complete } = entries;
    let (pb_state, failed) = match state {
        SettlementState::Created => (pb::SettlementState::Created, None),
        SettlementState::Processed => (pb::SettlementState::Processed, None),
        SettlementState::Failed(why) => (pb::SettlementState::Failed, Some(failure(why))),
    };
    pb::Settlement {
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
        in_doubt: false,
        amount: Some(money(*amount)),
        fee: Some(money(*fee)),
        tax: Some(money(*tax)),
        utr: utr.clone().unwrap_or_default(),
        settle_time: settle_time.map(time),
        entry_count: revision(*count),
        entries_net: Some(money(*net)),
        entries_complete: *complete,
        open_break_count: revision(open_breaks),
    }
}

fn text(id: &Option<Id>) -> String {
    id.as_ref().map(ToString::to_string).unwrap_or_default()
}

pub(super) fn entry_kind(kind: EntryKind) -> pb::SettlementEntryKind {
    match kind {
        EntryKind::Payment => pb::SettlementEntryKind::Payment,
        EntryKind::Refund => pb::SettlementEntryKind::Refund,
        EntryKind::Adjustment => pb::SettlementEntryKind::Adjustment,
    }
}

pub(super) fn settlement_entry(entry: &SettlementEntry, account: &AccountName, provider: ProviderId) -> pb::SettlementEntry {
    let SettlementEntry { id, line, settlement, payment, refund, day: _, ordinal: _, pass: _, create_time } = entry;
    let SettlementLine {
        kind,
        entity_ref,
        payment_ref: _,
        settlement_ref: _,
        gross,
        fee,
        tax,
        net,
        utr,
        transact_time,
        settle_time,
        description,
        foreign: _,
        other_product: _,
    } = line;
    pb::SettlementEntry {
        id: id.to_string(),
        account: account.to_string(),
        provider: provider.to_string(),
        provider_ref: entity_ref.clone(),
        settlement_id: text(settlement),
        kind: entry_kind(*kind).into(),
        payment_id: text(payment),
        refund_id: text(refund),
        gross: Some(money(*gross)),
        fee: Some(money(*fee)),
        tax: Some(money(*tax)),
        net: Some(money(*net)),
        utr: utr.clone().unwrap_or_default(),
        transact_time: transact_time.map(time),
        settle_time: settle_time.map(time),
        description: description.clone(),
        create_time: Some(time(*create_time)),
    }
}

pub(super) fn break_kind(kind: BreakKind) -> pb::SettlementBreakKind {
    match kind {
        BreakKind::SettledUnknown => pb::SettlementBreakKind::SettledUnknown,
        BreakKind::SucceededNotSettled => pb::SettlementBreakKind::SucceededNotSettled,
        BreakKind::AmountDiffers => pb::SettlementBreakKind::AmountDiffers,
        BreakKind::RefundWithoutLine => pb::SettlementBreakKind::RefundWithoutLine,
        BreakKind::Duplicate => pb::SettlementBreakKind::Duplicate,
    }
}

pub(super) fn settlement_break(difference: &SettlementBreak) -> pb::SettlementBreak {
    let SettlementBreak { header, kind, settlement, entry, payment, refund, subject_ref, our_amount, provider_amount, message, close_time } =
        difference;
    pb::SettlementBreak {
        id: header.id.to_string(),
        account: header.account.to_string(),
        provider: header.provider.to_string(),
        kind: break_kind(*kind).into(),
        settlement_id: text(settlement),
        entry_id: text(entry),
        payment_id: text(payment),
        refund_id: text(refund),
        provider_ref: subject_ref.clone().unwrap_or_default(),
        our_amount: our_amount.map(money),
        provider_amount: provider_amount.map(money),
        message: message.clone(),
        open_time: Some(time(header.create_time)),
        close_time: close_time.map(time),
    }
}
