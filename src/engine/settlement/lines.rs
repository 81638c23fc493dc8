//! The lines of a report: kept, linked with our payments and refunds, and compared with them.

use std::collections::BTreeSet;

use jiff::civil::Date;
use tracing::warn;

use super::decode_entry;
use super::draft::{Draft, identity};
use super::progress::{DayRead, Kept, SyncStep};
use super::sync::{Committed, Progress};
use crate::clock::since;
use crate::domain::event::{Fact, Record};
use crate::domain::id::{Id, Kind};
use crate::domain::payment::PaymentFact;
use crate::domain::refund::{RefundFact, Settled, SettledRefund};
use crate::domain::settlement::{EntriesRead, EntryKind, Settlement, SettlementEntry, SettlementFact, SettlementLine};
use crate::engine::Engine;
use crate::engine::index::{PAYMENT_AT_PROVIDER, REFUND_AT_PROVIDER, SETTLEMENT_AT_PROVIDER, SETTLEMENT_ENTRY, list_of_day};
use crate::engine::learn::{Outcome, Told};
use crate::providers::{AskError, Provider};
use crate::store::{ListKey, Reference, Revision, StoreError};

/// How often a commit is drafted anew after a record of it moved meanwhile.
const RACES_MAX: usize = 16;
/// The most lines about the same thing in one settlement that are told apart.
const ORDINALS_MAX: u32 = 64;
/// Lines of a day that are looked through at once for those that are gone.
const PRUNED_AT_ONCE: usize = 200;

/// A refund's line, with what the provider takes for it.
fn cost(settled: Settled, entry: &SettlementEntry) -> SettledRefund {
    SettledRefund { settled, fee: entry.line.fee, tax: entry.line.tax }
}

/// What a line is about, as far as it is known here.
#[derive(Clone, Debug, Default)]
pub(super) struct Linked {
    pub settlement: Option<Id>,
    pub payment: Option<Record>,
    pub refund: Option<Record>,
}

/// Where a line stands among several about the same thing, and what stood there before.
struct Place {
    before: Option<(Revision, SettlementEntry)>,
    ordinal: u32,
}

impl Engine {
    /// A page of a report whose lines are kept.
    pub(super) async fn apply_report(
        &self,
        provider: &Provider,
        kept: &mut Kept,
        (day, skip, mut done, mut read): (Date, u64, u64, DayRead),
        told: &Told,
    ) -> Result<Progress, StoreError> {
        let page = match self.page_of_report(provider, day, skip).await {
            Ok(page) => page,
            Err(progress) => return Ok(progress),
        };
        let mut lines = page.items.iter().skip(usize::try_from(done).unwrap_or(usize::MAX)).peekable();
        let mut races = 0;
        while lines.peek().is_some() {
            let mut draft = Draft::default();
            let (mut rest, mut now_read, mut taken) = (lines.clone(), read.clone(), 0);
            while !draft.is_full()
                && let Some(line) = rest.next()
            {
                self.draft_line(provider, (kept, day), &mut draft, line, told).await?;
                now_read.count(line);
                taken += 1;
            }
            now_read.unlinked |= draft.unlinked;
            let before = kept.sync.step.clone();
            kept.sync.step = SyncStep::Applying { day, skip, done: done + taken, read: now_read.clone() };
            match self.commit_draft(kept, draft, told).await? {
                Committed::Done => (lines, read, done, races) = (rest, now_read, done + taken, 0),
                Committed::Overtaken => return Ok(Progress::Overtaken),
                Committed::Moved if races < RACES_MAX => {
                    kept.sync.step = before;
                    races += 1;
                }
                Committed::Moved => return Err(StoreError::Unavailable(format!("other writers came first {RACES_MAX} times"))),
            }
        }
        if page.more && page.read > 0 {
            return self.go_on(kept, SyncStep::Applying { day, skip: skip + page.read, done: 0, read }, told).await;
        }
        let step = match kept.sync.days.contains_key(&day) {
            true => SyncStep::Pruning { day, before: None, read },
            // Nothing was there before that could be gone.
            false => SyncStep::Totalling { day, read },
        };
        self.go_on(kept, step, told).await
    }

    /// One line: kept as what it is in this reading, with what it means for the payment or refund that it is about.
    async fn draft_line(
        &self,
        provider: &Provider,
        (kept, day): (&Kept, Date),
        draft: &mut Draft,
        line: &SettlementLine,
        told: &Told,
    ) -> Result<(), StoreError> {
        let linked = self.link(provider, draft, line, told).await?;
        let Some(Place { before, ordinal }) = self.place_of(kept, draft, line).await? else { return Ok(()) };
        let entry = SettlementEntry {
            id: match &before {
                Some((_, entry)) => entry.id.clone(),
                None => self.randomness.id(Kind::SettlementEntry, kept.id.partition(), self.clock.now()),
            },
            line: line.clone(),
            settlement: linked.settlement.clone(),
            payment: linked.payment.as_ref().map(|record| record.id().clone()),
            refund: linked.refund.as_ref().map(|record| record.id().clone()),
            day: Some(day),
            ordinal,
            pass: kept.sync.pass,
            create_time: before.as_ref().map_or_else(|| self.clock.now(), |(_, entry)| entry.create_time),
        };
        draft.put_entry(before, entry.clone());
        self.draft_settled(draft, &entry, &linked, told);
        self.draft_breaks_of_entry(provider, draft, &entry, &linked).await
    }

    /// Which of several lines about the same thing this is: the first that this reading has not seen yet.
    async fn place_of(&self, kept: &Kept, draft: &Draft, line: &SettlementLine) -> Result<Option<Place>, StoreError> {
        for ordinal in 0..ORDINALS_MAX {
            let identity = identity(line.kind, &line.entity_ref, line.settlement_ref.as_deref(), ordinal);
            if draft.entry_of(&identity).is_some() {
                continue;
            }
            let account = kept.sync.account.to_string();
            let reference = Reference { account, sort: SETTLEMENT_ENTRY, value: identity };
            let Some(stored) = self.store.find(kept.id.partition(), &reference).await? else {
                return Ok(Some(Place { before: None, ordinal }));
            };
            let entry = decode_entry(&stored)?;
            if entry.pass < kept.sync.pass {
                return Ok(Some(Place { before: Some((stored.revision, entry)), ordinal }));
            }
        }
        warn!(account = %kept.sync.account, "a report has more than {ORDINALS_MAX} lines about the same thing: the others are not kept");
        Ok(None)
    }

    /// What of ours a line is about.
    pub(super) async fn link(
        &self,
        provider: &Provider,
        draft: &mut Draft,
        line: &SettlementLine,
        told: &Told,
    ) -> Result<Linked, StoreError> {
        let account = provider.account.as_str();
        let mut linked = Linked::default();
        if let Some(settlement_ref) = &line.settlement_ref {
            linked.settlement = match draft.settlement(settlement_ref) {
                Some(known) => known,
                None => self.settlement_of(provider, draft, settlement_ref, told).await?,
            };
            draft.put_settlement(settlement_ref, linked.settlement.clone());
        }
        if line.foreign {
            return Ok(linked);
        }
        match line.kind {
            EntryKind::Payment => linked.payment = self.find(account, PAYMENT_AT_PROVIDER, &line.entity_ref).await?,
            EntryKind::Refund => {
                linked.refund = self.find(account, REFUND_AT_PROVIDER, &line.entity_ref).await?;
                linked.payment = match (&linked.refund, &line.payment_ref) {
                    (Some(Record::Refund(refund)), _) => self.drafted(draft, &refund.payment).await?,
                    (_, Some(payment_ref)) => self.find(account, PAYMENT_AT_PROVIDER, payment_ref).await?,
                    _ => None,
                };
            }
            EntryKind::Adjustment => {}
        }
        for found in [&mut linked.payment, &mut linked.refund] {
            if let Some(record) = found
                && let Some(drafted) = draft.record(record.id())
            {
                *record = drafted.clone();
            }
        }
        Ok(linked)
    }

    /// The settlement that a line names. One that the list did not bring is asked for; while there is no answer, or none that
    /// can be read, the line stands without it.
    async fn settlement_of(
        &self,
        provider: &Provider,
        draft: &mut Draft,
        settlement_ref: &str,
        told: &Told,
    ) -> Result<Option<Id>, StoreError> {
        if let Some(known) = self.find(provider.account.as_str(), SETTLEMENT_AT_PROVIDER, settlement_ref).await? {
            return Ok(Some(known.id().clone()));
        }
        let Some(settlements) = &provider.settlements else { return Ok(None) };
        match settlements.listing.fetch(settlement_ref).await {
            Ok(snapshot) => Ok(Some(self.observe_settlement(provider, &snapshot, told).await?.id().clone())),
            Err(AskError::Absent) => Ok(None),
            Err(AskError::Unanswered(cause)) => {
                self.unanswered(provider, &format!("a settlement that a line names is not known: {cause}"));
                draft.unlinked = true;
                Ok(None)
            }
        }
    }

    /// The payment or refund that a line settles, unless another line did.
    pub(super) fn draft_settled(&self, draft: &mut Draft, entry: &SettlementEntry, linked: &Linked, told: &Told) {
        let now = self.clock.now();
        let may_settle = |known: &Option<Settled>| known.as_ref().is_none_or(|known| known.entry == entry.id);
        // What was learned once keeps its time, where the line tells none.
        let settled = |known: &Option<Settled>| Settled {
            entry: entry.id.clone(),
            settlement: entry.settlement.clone(),
            at: entry.line.settle_time.or(known.as_ref().map(|known| known.at)).unwrap_or(now),
        };
        let told = &Told { occur_time: entry.line.settle_time.unwrap_or(now), ..told.clone() };
        match (entry.line.kind, &linked.payment, &linked.refund) {
            (EntryKind::Payment, Some(record @ Record::Payment(payment)), _) if may_settle(&payment.settled) => {
                draft.learn(record, &Fact::Payment(PaymentFact::Settled(Some(settled(&payment.settled)))), told, now);
            }
            (EntryKind::Refund, _, Some(record @ Record::Refund(refund))) if may_settle(&refund.settled) => {
                draft.learn(record, &Fact::Refund(RefundFact::Settled(Some(cost(settled(&refund.settled), entry)))), told, now);
            }
            _ => {}
        }
    }

    /// Lines that this reading of the report did not bring are gone.
    pub(super) async fn prune_report(
        &self,
        kept: &mut Kept,
        (day, before, read): (Date, Option<Id>, DayRead),
        told: &Told,
    ) -> Result<Progress, StoreError> {
        let list = ListKey { account: kept.sync.account.to_string(), key: list_of_day(day) };
        let page = self.store.list(kept.id.partition(), &list, before.as_ref(), PRUNED_AT_ONCE).await?;
        let mut draft = Draft::default();
        let mut cursor = before;
        for stored in &page {
            if draft.is_full() {
                break;
            }
            cursor = Some(stored.id.clone());
            let entry = decode_entry(stored)?;
            if entry.pass < kept.sync.pass && entry.day == Some(day) {
                self.draft_unsettled(&mut draft, &entry, told).await?;
                draft.remove_entry(stored.revision, entry);
            }
        }
        let is_last = page.len() < PRUNED_AT_ONCE && page.last().is_none_or(|last| Some(&last.id) == cursor.as_ref());
        kept.sync.step = match is_last {
            true => SyncStep::Totalling { day, read },
            false => SyncStep::Pruning { day, before: cursor, read },
        };
        match self.commit_draft(kept, draft, told).await? {
            Committed::Done => Ok(Progress::More),
            // This page is looked through once more.
            Committed::Moved => Ok(Progress::Unanswered),
            Committed::Overtaken => Ok(Progress::Overtaken),
        }
    }

    /// What a line had settled is settled no longer.
    async fn draft_unsettled(&self, draft: &mut Draft, entry: &SettlementEntry, told: &Told) -> Result<(), StoreError> {
        let now = self.clock.now();
        let was_by_it = |settled: &Option<Settled>| settled.as_ref().is_some_and(|settled| settled.entry == entry.id);
        for id in [&entry.payment, &entry.refund].into_iter().flatten() {
            match self.drafted(draft, id).await? {
                Some(Record::Payment(payment)) if was_by_it(&payment.settled) => {
                    draft.learn(&Record::Payment(payment), &Fact::Payment(PaymentFact::Settled(None)), told, now);
                }
                Some(Record::Refund(refund)) if was_by_it(&refund.settled) => {
                    draft.learn(&Record::Refund(refund), &Fact::Refund(RefundFact::Settled(None)), told, now);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The settlements of a day: how many lines each has, and whether they add up to it.
    pub(super) async fn total_day(
        &self,
        provider: &Provider,
        kept: &mut Kept,
        day: Date,
        read: DayRead,
        told: &Told,
    ) -> Result<Progress, StoreError> {
        let before = kept.sync.days.get(&day).map(|day| day.settlements.clone()).unwrap_or_default();
        let expected = kept.sync.due_days.get(&day).cloned().unwrap_or_default();
        let without_lines = before.keys().chain(&expected).filter(|settlement| !read.settlements.contains_key(*settlement));
        let without_lines: BTreeSet<String> = without_lines.cloned().collect();
        let all = read.settlements.clone().into_iter().chain(without_lines.into_iter().map(|settlement| (settlement, Default::default())));
        for (settlement_ref, (count, net)) in all {
            let Some(record) = self.find(provider.account.as_str(), SETTLEMENT_AT_PROVIDER, &settlement_ref).await? else { continue };
            // Its lines stood in another day's report.
            if count == 0 && !before.contains_key(&settlement_ref) && has_lines(&record) {
                continue;
            }
            let complete = self.is_complete(&record);
            let fact = Fact::Settlement(SettlementFact::EntriesRead(EntriesRead { count, net, complete }));
            let outcome = self.learn(record, &fact, told).await.map(Outcome::record)?;
            if let Record::Settlement(settlement) = outcome {
                let mut draft = Draft::default();
                self.draft_break_of_settlement(&mut draft, &settlement).await?;
                if !draft.is_empty() && matches!(self.commit_draft(kept, draft, told).await?, Committed::Overtaken) {
                    return Ok(Progress::Overtaken);
                }
            }
        }
        kept.sync.days.insert(day, read);
        kept.sync.due_days.remove(&day);
        self.next_day(kept, told).await
    }

    /// Whether the report of a settlement can be taken for whole.
    fn is_complete(&self, record: &Record) -> bool {
        let Record::Settlement(Settlement { settle_time, header, .. }) = record else { return false };
        since(settle_time.unwrap_or(header.create_time), self.clock.now()) >= self.settings.settlements.report_lag
    }
}

fn has_lines(record: &Record) -> bool {
    matches!(record, Record::Settlement(settlement) if settlement.entries.count > 0)
}
