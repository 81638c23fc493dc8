//! How an account's settlements come in. A round goes through steps: the list of settlements, the report of each day that
//! is new or may have been corrected, what no settlement has brought, and the differences that are open. Each look does one
//! page of one step and commits it together with how far the round is, so that it goes on where it was, on any replica.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use tracing::warn;

use super::draft::Draft;
use super::progress::{DayRead, Kept, SettlementSync, SyncStep};
use crate::clock::after;
use crate::domain::account::AccountName;
use crate::domain::event::Record;
use crate::domain::id::Kind;
use crate::domain::payment::Credit;
use crate::domain::settlement::{SettlementLine, SettlementSnapshot, SettlementStatus};
use crate::domain::working_days::{begin_of_day, day_in_india, days_before};
use crate::engine::Engine;
use crate::engine::index::{list_of_kind, list_of_unsettled};
use crate::engine::learn::{Told, decode};
use crate::engine::reconcile::Stepped;
use crate::providers::{AskError, PageOf, Provider};
use crate::store::{Batch, Change, Commit, Conflict, Leased, ListKey, Look, StoreError, Stored};

/// After a provider that gave no answer the round goes on after this long.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(30);
/// A settlement may be processed some days after it was made: so much further back the list is read.
const LISTED_BEFORE_DAYS: u32 = 5;

/// Unsettled payments that are looked at for a credit that came during a round.
const NEWEST: usize = 100;

/// What a step came to.
pub(super) enum Progress {
    /// There is more to do at once.
    More,
    /// The round is over.
    Done,
    Unanswered,
    /// Another worker goes on with it.
    Overtaken,
}

/// How the commit of a draft ended.
pub(super) enum Committed {
    Done,
    /// A record of it moved meanwhile: to be drafted anew.
    Moved,
    /// Another worker goes on with the round.
    Overtaken,
}

/// The account whose provider the next step asks; `None`: it asks nobody.
pub(in crate::engine) fn account_of(stored: &Stored) -> Option<AccountName> {
    SettlementSync::decode(stored).ok().filter(SettlementSync::asks).map(|sync| sync.account)
}

impl Engine {
    /// Makes sure that somebody looks after the settlements of an account that tells of any.
    pub(in crate::engine) async fn ensure_settlement_sync(&self, provider: &Provider) -> Result<(), StoreError> {
        let id = self.settlement_sync_id(provider.account.as_str());
        if !self.fetches_settlements_of(provider) || self.store.get(&id).await?.is_some() {
            return Ok(());
        }
        let sync = SettlementSync::of(provider.account.clone());
        let change = Change { look: Look::At(self.clock.now()), ..sync.change(id, None)? };
        let partition = change.id.partition();
        let batch = Batch { partition, write: self.randomness.bits(), claims: Vec::new(), changes: vec![change], guards: Vec::new() };
        // A conflict: another replica came first.
        self.commit_surely(batch).await?;
        self.woken.notify_waiters();
        Ok(())
    }

    /// One step of a round whose lease `leased` holds. Gives the lease back.
    pub(in crate::engine) async fn sync_settlements(&self, leased: &Leased) -> Result<Stepped, StoreError> {
        let (id, revision) = (leased.record.id.clone(), leased.record.revision);
        let mut kept = Kept { id, revision, sync: SettlementSync::decode(&leased.record)? };
        let progress = match self.providers.get(&kept.sync.account).cloned() {
            Some(provider) if self.fetches_settlements_of(&provider) => self.sync_step(&provider, &mut kept).await?,
            // It was switched off here.
            Some(_) => Progress::Done,
            // An account that is no longer configured: another replica may have it.
            None => Progress::Unanswered,
        };
        let now = self.clock.now();
        let (look, stepped) = match progress {
            Progress::More => (now, Stepped::Learned),
            Progress::Done => (after(now, self.randomness.jittered(self.settings.settlements.sync_every)), Stepped::Learned),
            Progress::Unanswered => (after(now, self.randomness.jittered(UNANSWERED_PAUSE)), Stepped::Unanswered),
            Progress::Overtaken => return Ok(Stepped::Learned),
        };
        self.store.release(&kept.id, leased.fence, Look::At(look)).await?;
        if look == now {
            self.woken.notify_waiters();
        }
        Ok(stepped)
    }

    async fn sync_step(&self, provider: &Provider, kept: &mut Kept) -> Result<Progress, StoreError> {
        let told = self.told_by_enquiry(None);
        match kept.sync.step.clone() {
            SyncStep::Waiting => self.begin_round(provider, kept, &told).await,
            SyncStep::Listing { from, skip } => self.list_settlements_of(provider, kept, from, skip, &told).await,
            SyncStep::Comparing { day, skip, read } => self.compare_report(provider, kept, (day, skip, read), &told).await,
            SyncStep::Applying { day, skip, done, read } => self.apply_report(provider, kept, (day, skip, done, read), &told).await,
            SyncStep::Pruning { day, before, read } => self.prune_report(kept, (day, before, read), &told).await,
            SyncStep::Totalling { day, read } => self.total_day(provider, kept, day, read, &told).await,
            SyncStep::Overdue { kind, before } => self.look_for_overdue(provider, kept, kind, before, &told).await,
            SyncStep::Rechecking { before } => self.recheck_breaks(provider, kept, before, &told).await,
        }
    }

    async fn begin_round(&self, provider: &Provider, kept: &mut Kept, told: &Told) -> Result<Progress, StoreError> {
        let settings = &self.settings.settlements;
        let days = if kept.sync.rounds == 0 { settings.backfill_days } else { settings.reread_days + LISTED_BEFORE_DAYS };
        let from = begin_of_day(days_before(day_in_india(self.clock.now()), days));
        kept.sync.due_days.clear();
        kept.sync.begun = self.clock.now();
        let step = if provider.settlements.is_some() { SyncStep::Listing { from, skip: 0 } } else { first_overdue() };
        self.go_on(kept, step, told).await
    }

    /// A page of the list of settlements.
    async fn list_settlements_of(
        &self,
        provider: &Provider,
        kept: &mut Kept,
        from: Timestamp,
        skip: u64,
        told: &Told,
    ) -> Result<Progress, StoreError> {
        let Some(settlements) = &provider.settlements else { return self.next_day(kept, told).await };
        let PageOf { items, read, unreadable, more } = match settlements.listing.settlements(from, skip).await {
            Ok(page) => page,
            Err(AskError::Absent) => PageOf::nothing(),
            Err(AskError::Unanswered(cause)) => return Ok(self.unanswered_round(provider, &cause.to_string())),
        };
        if let Some(cause) = unreadable.first() {
            let count = unreadable.len();
            warn!(account = %provider.account, "{count} settlements can't be read and are not known here: {cause}");
        }
        let (mut reached_the_past, mut news) = (false, false);
        for snapshot in &items {
            if snapshot.settle_time.is_some_and(|time| time < from) {
                reached_the_past = true;
                continue;
            }
            let told = Told { occur_time: snapshot.settle_time.unwrap_or(told.occur_time), ..told.clone() };
            news |= self.observe_listed_settlement(provider, snapshot, &told).await?;
            if settlements.report.is_some()
                && let Some(day) = self.day_to_read(&kept.sync, snapshot)
            {
                kept.sync.expect(day, &snapshot.provider_ref);
            }
        }
        // Where none says when it was made, a page without news is as far back as need be.
        let tells_times = items.iter().any(|snapshot| snapshot.settle_time.is_some());
        reached_the_past |= !news && !tells_times && kept.sync.rounds > 0;
        if more && !reached_the_past && read > 0 {
            return self.go_on(kept, SyncStep::Listing { from, skip: skip + read }, told).await;
        }
        self.next_day(kept, told).await
    }

    /// The day whose report has the lines of this settlement, if it is to be read.
    fn day_to_read(&self, sync: &SettlementSync, snapshot: &SettlementSnapshot) -> Option<Date> {
        let day = day_in_india(snapshot.settle_time.filter(|_| snapshot.status == SettlementStatus::Processed)?);
        let again_since = days_before(day_in_india(self.clock.now()), self.settings.settlements.reread_days);
        (day >= again_since || !sync.days.contains_key(&day)).then_some(day)
    }

    /// On to the next report, or to what comes after them.
    pub(super) async fn next_day(&self, kept: &mut Kept, told: &Told) -> Result<Progress, StoreError> {
        // Its settlements are looked for when it was read.
        let step = match kept.sync.due_days.keys().next().copied() {
            Some(day) if kept.sync.days.contains_key(&day) => SyncStep::Comparing { day, skip: 0, read: DayRead::default() },
            Some(day) => kept.sync.first_page(day),
            None => first_overdue(),
        };
        self.go_on(kept, step, told).await
    }

    /// A page of a report that was read before.
    async fn compare_report(
        &self,
        provider: &Provider,
        kept: &mut Kept,
        (day, skip, mut read): (Date, u64, DayRead),
        told: &Told,
    ) -> Result<Progress, StoreError> {
        let page = match self.page_of_report(provider, day, skip).await {
            Ok(page) => page,
            Err(progress) => return Ok(progress),
        };
        for line in &page.items {
            read.count(line);
        }
        let is_as_before = kept.sync.days.get(&day).is_some_and(|known| *known == read);
        let step = match page.more && page.read > 0 {
            true => SyncStep::Comparing { day, skip: skip + page.read, read },
            false if is_as_before => SyncStep::Totalling { day, read },
            false => kept.sync.first_page(day),
        };
        self.go_on(kept, step, told).await
    }

    /// A page of a day's report; `Err`: there is none now.
    pub(super) async fn page_of_report(&self, provider: &Provider, day: Date, skip: u64) -> Result<PageOf<SettlementLine>, Progress> {
        let Some(report) = provider.settlements.as_ref().and_then(|settlements| settlements.report.as_ref()) else {
            return Ok(PageOf::nothing());
        };
        match report.lines(day, skip).await {
            Ok(page) => {
                if let Some(cause) = page.unreadable.first() {
                    let count = page.unreadable.len();
                    warn!(account = %provider.account, "{count} lines of a report can't be read, its settlement will not add up: {cause}");
                }
                Ok(page)
            }
            Err(AskError::Absent) => Ok(PageOf::nothing()),
            Err(AskError::Unanswered(cause)) => Err(self.unanswered_round(provider, &cause.to_string())),
        }
    }

    /// The round is over.
    pub(super) async fn end_round(&self, kept: &mut Kept, told: &Told) -> Result<Progress, StoreError> {
        kept.sync.rounds += 1;
        // A report that no round asks for any more need not be remembered.
        let settings = &self.settings.settlements;
        let days = settings.backfill_days.max(settings.reread_days) + LISTED_BEFORE_DAYS;
        let oldest = days_before(day_in_india(self.clock.now()), days);
        kept.sync.days.retain(|day, _| *day >= oldest);
        let has_news = self.has_settlement_news(kept).await?;
        Ok(match self.go_on(kept, SyncStep::Waiting, told).await? {
            // What made it due meanwhile was taken by a step that was past it.
            Progress::More if has_news => Progress::More,
            Progress::More => Progress::Done,
            other => other,
        })
    }

    /// Whether something came during this round that the next one need not wait for: a settlement that a callback told of,
    /// or a credit.
    async fn has_settlement_news(&self, kept: &Kept) -> Result<bool, StoreError> {
        let account = kept.sync.account.to_string();
        let newest = async |key: String, limit: usize| {
            let list = ListKey { account: account.clone(), key };
            self.store.list(kept.id.partition(), &list, None, limit).await?.iter().map(decode).collect::<Result<Vec<_>, _>>()
        };
        let begun = kept.sync.begun;
        let told = newest(list_of_kind(Kind::Settlement), 1)
            .await?
            .iter()
            .any(|record| matches!(record, Record::Settlement(told) if told.header.create_time >= begun && told.entries.count == 0));
        let credited = newest(list_of_unsettled(Kind::Payment), NEWEST)
            .await?
            .iter()
            .any(|record| matches!(record, Record::Payment(payment) if matches!(payment.credit, Some(Credit::Made { at }) if at >= begun)));
        Ok(told || credited)
    }

    /// Notes that the round is at `step` now.
    pub(super) async fn go_on(&self, kept: &mut Kept, step: SyncStep, told: &Told) -> Result<Progress, StoreError> {
        kept.sync.step = step;
        match self.commit_draft(kept, Draft::default(), told).await? {
            Committed::Done => Ok(Progress::More),
            Committed::Moved | Committed::Overtaken => Ok(Progress::Overtaken),
        }
    }

    /// Commits a draft together with how far the round is.
    pub(super) async fn commit_draft(&self, kept: &mut Kept, draft: Draft, told: &Told) -> Result<Committed, StoreError> {
        let mut changes = self.changes_of(&kept.sync.account, draft, told)?;
        changes.push(kept.sync.change(kept.id.clone(), Some(kept.revision))?);
        let partition = kept.id.partition();
        let batch = Batch { partition, write: self.randomness.bits(), claims: Vec::new(), changes, guards: Vec::new() };
        match self.commit_surely(batch).await? {
            Commit::Done(_) => {
                kept.revision += 1;
                Ok(Committed::Done)
            }
            Commit::Conflict(Conflict::Moved { id }) if id == kept.id => Ok(Committed::Overtaken),
            Commit::Conflict(_) => Ok(Committed::Moved),
        }
    }

    fn unanswered_round(&self, provider: &Provider, cause: &str) -> Progress {
        self.metrics.provider_unanswered.with_label_values(&[provider.account.as_str()]).inc();
        warn!(account = %provider.account, "the provider gave no answer about settlements, they are read on later: {cause}");
        Progress::Unanswered
    }
}

fn first_overdue() -> SyncStep {
    SyncStep::Overdue { kind: Kind::Payment, before: None }
}
