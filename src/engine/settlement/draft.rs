//! What one commit of a settlement's reading holds: lines, the records that they settle, and differences, each once.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::account::AccountName;
use crate::domain::event::{EventKind, Fact, Record};
use crate::domain::fact::Learned;
use crate::domain::id::{Id, Kind};
use crate::domain::settlement::{EntryKind, SettlementEntry};
use crate::engine::Engine;
use crate::engine::index::{SETTLEMENT_ENTRY, list_of_day, list_of_parent};
use crate::engine::learn::{Step, Told, decode};
use crate::store::{Change, LeaseStep, ListKey, Look, Reference, ReferenceStep, Revision, StoreError, record};

/// A commit takes on nothing more beyond this many changes: what one line brings still fits in, and the record of how far
/// we are.
const CHANGES_ENOUGH: usize = 50;

/// A line before and after.
struct EntryChange {
    /// `None`: it is new.
    before: Option<(Revision, SettlementEntry)>,
    /// `None`: it is gone.
    after: Option<SettlementEntry>,
}

/// Changes that are committed together.
#[derive(Default)]
pub(super) struct Draft {
    entries: BTreeMap<Id, EntryChange>,
    records: BTreeMap<Id, (Option<Record>, Record, EventKind)>,
    /// The settlements that lines name, as they were found; `None`: the provider does not have it.
    settlements: BTreeMap<String, Option<Id>>,
    /// One of them could not be asked about.
    pub unlinked: bool,
}

impl Draft {
    /// The settlement that a line names, if that was found out before.
    pub fn settlement(&self, settlement_ref: &str) -> Option<Option<Id>> {
        self.settlements.get(settlement_ref).cloned()
    }

    pub fn put_settlement(&mut self, settlement_ref: &str, found: Option<Id>) {
        self.settlements.insert(settlement_ref.to_owned(), found);
    }

    pub fn is_full(&self) -> bool {
        self.entries.len() + self.records.len() >= CHANGES_ENOUGH
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.records.is_empty()
    }

    /// The line of this identity, if this commit has it.
    pub fn entry_of(&self, identity: &str) -> Option<&SettlementEntry> {
        self.entries.values().filter_map(|change| change.after.as_ref()).find(|entry| identity_of(entry) == identity)
    }

    pub fn put_entry(&mut self, before: Option<(Revision, SettlementEntry)>, after: SettlementEntry) {
        self.entries.insert(after.id.clone(), EntryChange { before, after: Some(after) });
    }

    pub fn remove_entry(&mut self, revision: Revision, entry: SettlementEntry) {
        self.entries.insert(entry.id.clone(), EntryChange { before: Some((revision, entry)), after: None });
    }

    /// The record as this commit leaves it.
    pub fn record(&self, id: &Id) -> Option<&Record> {
        self.records.get(id).map(|(_, after, _)| after)
    }

    pub fn put_new(&mut self, record: Record, event: EventKind) {
        self.records.insert(record.id().clone(), (None, record, event));
    }

    /// What `record` becomes by `fact`. A record moves once in a commit; what else it should learn comes in the next round.
    pub fn learn(&mut self, record: &Record, fact: &Fact, told: &Told, now: Timestamp) {
        if self.records.contains_key(record.id()) || record.header().has_unknown_parts {
            return;
        }
        if let Ok(Learned::Moved(after, event)) = record.learn(fact, told.evidence, now) {
            self.records.insert(record.id().clone(), (Some(record.clone()), after, event));
        }
    }

    /// Whether this commit opens a difference of this identity.
    pub fn opens(&self, identity: &str) -> bool {
        self.records.values().any(|(before, after, _)| {
            before.is_none() && matches!(after, Record::SettlementBreak(difference) if difference.identity() == identity)
        })
    }

    /// `before` as it is after this commit.
    pub fn move_to(&mut self, before: Record, after: Record, event: EventKind) {
        self.records.insert(after.id().clone(), (Some(before), after, event));
    }
}

/// What a line is, whenever it is read.
pub(super) fn identity_of(entry: &SettlementEntry) -> String {
    let line = &entry.line;
    identity(line.kind, &line.entity_ref, line.settlement_ref.as_deref(), entry.ordinal)
}

pub(super) fn identity(kind: EntryKind, entity_ref: &str, settlement_ref: Option<&str>, ordinal: u32) -> String {
    let kind = match kind {
        EntryKind::Payment => "payment",
        EntryKind::Refund => "refund",
        EntryKind::Adjustment => "adjustment",
    };
    format!("{kind}/{entity_ref}/{}#{ordinal}", settlement_ref.unwrap_or_default())
}

impl Engine {
    /// The changes of a draft.
    pub(super) fn changes_of(&self, account: &AccountName, draft: Draft, told: &Told) -> Result<Vec<Change>, StoreError> {
        let now = self.clock.now();
        let Draft { entries, records, settlements: _, unlinked: _ } = draft;
        let mut changes = Vec::with_capacity(entries.len() + records.len() + 1);
        for (id, change) in entries {
            changes.push(entry_change(account, id, change)?);
        }
        for (_, (before, after, event)) in records {
            let step = Step { before, after, event, lease: LeaseStep::Keep, look: None };
            changes.push(self.change(&step, told, now)?);
        }
        Ok(changes)
    }

    /// A record as it is, or as this commit leaves it.
    pub(super) async fn drafted(&self, draft: &Draft, id: &Id) -> Result<Option<Record>, StoreError> {
        match draft.record(id) {
            Some(record) => Ok(Some(record.clone())),
            None => self.store.get(id).await?.as_ref().map(decode).transpose(),
        }
    }
}

fn entry_change(account: &AccountName, id: Id, change: EntryChange) -> Result<Change, StoreError> {
    let EntryChange { before, after } = change;
    let list = |key| ListKey { account: account.to_string(), key };
    let lists = |entry: &SettlementEntry| {
        let parents = [&entry.settlement, &entry.payment, &entry.refund];
        let of_parents = parents.into_iter().flatten().map(|parent| list(list_of_parent(Kind::SettlementEntry, parent)));
        of_parents.chain(entry.day.map(|day| list(list_of_day(day)))).collect::<Vec<_>>()
    };
    let stood_in = before.as_ref().map(|(_, entry)| lists(entry)).unwrap_or_default();
    let stands_in = after.as_ref().map(&lists).unwrap_or_default();
    let named = after
        .as_ref()
        .filter(|_| before.is_none())
        .map(|entry| ReferenceStep::Unique(Reference { account: account.to_string(), sort: SETTLEMENT_ENTRY, value: identity_of(entry) }));
    // One that is removed leaves all its lists by that.
    let leave = stood_in.iter().filter(|list| after.is_some() && !stands_in.contains(list)).cloned().collect();
    Ok(Change {
        id,
        from: before.map(|(revision, _)| revision),
        body: after.as_ref().map(record::encode).transpose()?,
        event: None,
        references: named.into_iter().collect(),
        join: stands_in.into_iter().filter(|list| !stood_in.contains(list)).collect(),
        leave,
        look: Look::Rest,
        lease: LeaseStep::Keep,
    })
}
