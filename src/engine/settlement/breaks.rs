//! Where the provider's books and ours differ: found line by line, opened once, and closed when the two agree again.

use super::decode_entry;
use super::draft::Draft;
use super::lines::Linked;
use super::progress::{Kept, SyncStep};
use super::sync::{Committed, Progress};
use crate::domain::event::{EventKind, Record};
use crate::domain::header::Header;
use crate::domain::id::{Id, Kind};
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::domain::refund::{Refund, RefundState};
use crate::domain::settlement::{BreakKind, EntryKind, Settlement, SettlementBreak, SettlementEntry};
use crate::engine::Engine;
use crate::engine::index::{BREAK, BREAKS_OPEN};
use crate::engine::learn::{Told, decode};
use crate::providers::{Provider, RefundsOfPayment};
use crate::store::{ListKey, StoreError};

/// Differences that are looked at again at once.
const RECHECKED_AT_ONCE: usize = 20;
/// Questions to the provider about unknown refunds that one such look asks.
const ASKED_AT_ONCE: usize = 4;

/// A difference, before it is known whether it is open already.
struct Found {
    kind: BreakKind,
    our_amount: Option<Money>,
    provider_amount: Option<Money>,
    message: String,
}

impl Found {
    fn new(kind: BreakKind, our_amount: Option<Money>, provider_amount: Option<Money>, message: impl Into<String>) -> Self {
        Self { kind, our_amount, provider_amount, message: message.into() }
    }
}

/// What a difference is about.
#[derive(Clone, Debug, Default)]
struct About {
    settlement: Option<Id>,
    entry: Option<Id>,
    payment: Option<Id>,
    refund: Option<Id>,
    subject_ref: Option<String>,
}

impl Engine {
    /// The differences that a line shows are opened.
    pub(super) async fn draft_breaks_of_entry(
        &self,
        provider: &Provider,
        draft: &mut Draft,
        entry: &SettlementEntry,
        linked: &Linked,
    ) -> Result<(), StoreError> {
        let about = About {
            settlement: entry.settlement.clone(),
            entry: Some(entry.id.clone()),
            payment: entry.payment.clone(),
            refund: entry.refund.clone(),
            subject_ref: Some(entry.line.entity_ref.clone()),
        };
        for found in differences(entry, linked, draft) {
            self.draft_open(provider, draft, about.clone(), found).await?;
        }
        Ok(())
    }

    /// A settlement whose lines don't add up to it.
    pub(super) async fn draft_break_of_settlement(&self, draft: &mut Draft, settlement: &Settlement) -> Result<(), StoreError> {
        let Some(provider) = self.providers.get(&settlement.header.account) else { return Ok(()) };
        let about = About {
            settlement: Some(settlement.header.id.clone()),
            subject_ref: settlement.header.provider_ref.clone(),
            ..About::default()
        };
        match sum_differs(settlement) {
            Some(found) => self.draft_open(provider, draft, about, found).await,
            None => Ok(()),
        }
    }

    /// A payment that no settlement has brought in time.
    pub(super) async fn draft_overdue_payment(&self, provider: &Provider, draft: &mut Draft, payment: &Payment) -> Result<(), StoreError> {
        let about =
            About { payment: Some(payment.header.id.clone()), subject_ref: payment.header.provider_ref.clone(), ..About::default() };
        let message = "it was received, and no settlement has it within the account's settlement time";
        let found = Found::new(BreakKind::SucceededNotSettled, Some(payment.amount), None, message);
        self.draft_open(provider, draft, about, found).await
    }

    /// A refund that no settlement has brought in time.
    pub(super) async fn draft_overdue_refund(&self, provider: &Provider, draft: &mut Draft, refund: &Refund) -> Result<(), StoreError> {
        let about = About {
            payment: Some(refund.payment.clone()),
            refund: Some(refund.header.id.clone()),
            subject_ref: refund.header.provider_ref.clone(),
            ..About::default()
        };
        let message = "it was made, and no settlement has it within the account's settlement time";
        let found = Found::new(BreakKind::RefundWithoutLine, refund.amount.checked_neg(), None, message);
        self.draft_open(provider, draft, about, found).await
    }

    /// Opens a difference, unless it is open. One whose figures have changed is another one.
    async fn draft_open(&self, provider: &Provider, draft: &mut Draft, about: About, found: Found) -> Result<(), StoreError> {
        let now = self.clock.now();
        let About { settlement, entry, payment, refund, subject_ref } = about;
        let Found { kind, our_amount, provider_amount, message } = found;
        let id = self.randomness.id(Kind::SettlementBreak, self.partition_of(provider.account.as_str()), now);
        let header = Header::first(id, &provider.account, provider.id, now);
        let difference = SettlementBreak {
            header,
            kind,
            settlement,
            entry,
            payment,
            refund,
            subject_ref,
            our_amount,
            provider_amount,
            message,
            close_time: None,
        };
        if draft.opens(&difference.identity()) {
            return Ok(());
        }
        if let Some(Record::SettlementBreak(known)) = self.find(provider.account.as_str(), BREAK, &difference.identity()).await?
            && known.close_time.is_none()
        {
            if (known.our_amount, known.provider_amount) == (our_amount, provider_amount) {
                return Ok(());
            }
            let (closed, event) = known.closed(now);
            draft.move_to(Record::SettlementBreak(known), Record::SettlementBreak(closed), event);
        }
        draft.put_new(Record::SettlementBreak(difference), EventKind::SettlementBreakOpened);
        Ok(())
    }

    /// A page of the open differences: those where the two sides agree again are closed.
    pub(super) async fn recheck_breaks(
        &self,
        provider: &Provider,
        kept: &mut Kept,
        before: Option<Id>,
        told: &Told,
    ) -> Result<Progress, StoreError> {
        let list = ListKey { account: kept.sync.account.to_string(), key: BREAKS_OPEN.to_owned() };
        let page = self.store.list(kept.id.partition(), &list, before.as_ref(), RECHECKED_AT_ONCE).await?;
        let mut draft = Draft::default();
        let mut questions = ASKED_AT_ONCE;
        let mut cursor = before;
        let mut looked_at = 0;
        for stored in &page {
            if draft.is_full() {
                break;
            }
            looked_at += 1;
            cursor = Some(stored.id.clone());
            let record = decode(stored)?;
            let Record::SettlementBreak(difference) = &record else { continue };
            if !self.is_still_open(provider, &mut draft, difference, &mut questions, told).await? && draft.record(record.id()).is_none() {
                let (closed, event) = difference.closed(self.clock.now());
                draft.move_to(record.clone(), Record::SettlementBreak(closed), event);
            }
        }
        let is_last = page.len() < RECHECKED_AT_ONCE && looked_at == page.len();
        if is_last && draft.is_empty() {
            return self.end_round(kept, told).await;
        }
        kept.sync.step = SyncStep::Rechecking { before: cursor };
        match self.commit_draft(kept, draft, told).await? {
            Committed::Done => Ok(Progress::More),
            // This page is looked through once more, in a while.
            Committed::Moved => Ok(Progress::Unanswered),
            Committed::Overtaken => Ok(Progress::Overtaken),
        }
    }

    /// Whether the two sides still differ. What a line is about may have become known since: then it is linked.
    async fn is_still_open(
        &self,
        provider: &Provider,
        draft: &mut Draft,
        difference: &SettlementBreak,
        questions: &mut usize,
        told: &Told,
    ) -> Result<bool, StoreError> {
        let Some(entry_id) = &difference.entry else { return self.is_unsettled_or_unequal(draft, difference).await };
        let Some(stored) = self.store.get(entry_id).await? else { return Ok(false) };
        let mut entry = decode_entry(&stored)?;
        let mut linked = self.link(provider, draft, &entry.line, told).await?;
        if linked.refund.is_none() && *questions > 0 && self.learn_settled_refund(provider, &entry, &linked, told).await? {
            *questions -= 1;
            linked = self.link(provider, draft, &entry.line, told).await?;
        }
        let id_of = |record: &Option<Record>| record.as_ref().map(|record| record.id().clone());
        let (payment, refund) = (id_of(&linked.payment), id_of(&linked.refund));
        if (&entry.payment, &entry.refund, &entry.settlement) != (&payment, &refund, &linked.settlement) {
            let before = entry.clone();
            (entry.payment, entry.refund, entry.settlement) = (payment, refund, linked.settlement.clone());
            draft.put_entry(Some((stored.revision, before)), entry.clone());
        }
        self.draft_settled(draft, &entry, &linked, told);
        // It may differ in another way now: that is opened, and this one closed.
        self.draft_breaks_of_entry(provider, draft, &entry, &linked).await?;
        Ok(differences(&entry, &linked, draft).iter().any(|found| {
            found.kind == difference.kind
                && (found.our_amount, found.provider_amount) == (difference.our_amount, difference.provider_amount)
        }))
    }

    /// A refund that was settled and is not known here may be one that the provider made: it is asked. True: it was.
    async fn learn_settled_refund(
        &self,
        provider: &Provider,
        entry: &SettlementEntry,
        linked: &Linked,
        told: &Told,
    ) -> Result<bool, StoreError> {
        let of_payment = provider.refunds.as_ref().and_then(|refunds| refunds.of_payment.as_ref());
        let (EntryKind::Refund, Some(Record::Payment(payment)), Some(of_payment)) = (entry.line.kind, &linked.payment, of_payment) else {
            return Ok(false);
        };
        let Some(payment_ref) = &payment.header.provider_ref else { return Ok(false) };
        let of_payment: &dyn RefundsOfPayment = &**of_payment;
        if let Ok(listed) = of_payment.of_payment(payment_ref).await {
            for snapshot in listed.iter().filter(|snapshot| snapshot.provider_ref.as_deref() == Some(entry.line.entity_ref.as_str())) {
                self.observe_refund(provider, snapshot, told).await?;
            }
        }
        Ok(true)
    }

    /// Of a difference that is about no line: whether it still is one.
    async fn is_unsettled_or_unequal(&self, draft: &Draft, difference: &SettlementBreak) -> Result<bool, StoreError> {
        let subject = [&difference.refund, &difference.payment, &difference.settlement].into_iter().flatten().next();
        let Some(subject) = subject else { return Ok(false) };
        Ok(match self.drafted(draft, subject).await? {
            Some(Record::Payment(payment)) => payment.state.is_collected() && payment.settled.is_none(),
            Some(Record::Refund(refund)) => refund.state == RefundState::Succeeded && refund.settled.is_none(),
            Some(Record::Settlement(settlement)) => sum_differs(&settlement)
                .is_some_and(|found| (found.our_amount, found.provider_amount) == (difference.our_amount, difference.provider_amount)),
            Some(Record::Qr(_) | Record::Mandate(_) | Record::Debit(_) | Record::SettlementBreak(_)) | None => false,
        })
    }
}

/// Where a settlement's lines don't add up to it. `our_amount` is what we have read of it.
fn sum_differs(settlement: &Settlement) -> Option<Found> {
    let entries = &settlement.entries;
    let differs = entries.complete && entries.net != settlement.amount;
    let message = "the lines of the settlement don't add up to its amount";
    differs.then(|| Found::new(BreakKind::AmountDiffers, Some(entries.net), Some(settlement.amount), message))
}

/// Where a line and our records differ.
fn differences(entry: &SettlementEntry, linked: &Linked, draft: &Draft) -> Vec<Found> {
    let line = &entry.line;
    let is_nothing_of_ours = linked.payment.is_none() && linked.refund.is_none() && line.other_product;
    if line.foreign || line.kind == EntryKind::Adjustment || is_nothing_of_ours {
        return Vec::new();
    }
    let provider_amount = Some(line.gross);
    let (our_amount, is_made, settled_by) = match (line.kind, &linked.payment, &linked.refund) {
        (EntryKind::Payment, Some(Record::Payment(payment)), _) => {
            (payment.amount, payment.state.is_collected(), payment.settled.as_ref().map(|settled| settled.entry.clone()))
        }
        (EntryKind::Refund, _, Some(Record::Refund(refund))) => (
            refund.amount.checked_neg().unwrap_or(Money::ZERO),
            refund.state == RefundState::Succeeded,
            refund.settled.as_ref().map(|settled| settled.entry.clone()),
        ),
        _ => {
            let what = if line.kind == EntryKind::Refund { "refund" } else { "payment" };
            let message = format!("the provider settled a {what} that is not known here");
            return vec![Found::new(BreakKind::SettledUnknown, None, provider_amount, message)];
        }
    };
    // By this very commit, where it has not been written yet.
    let drafted = [&entry.payment, &entry.refund].into_iter().flatten().filter_map(|id| draft.record(id)).find_map(|record| match record {
        Record::Payment(payment) if line.kind == EntryKind::Payment => payment.settled.clone(),
        Record::Refund(refund) => refund.settled.clone(),
        _ => None,
    });
    let settled_by = drafted.map(|settled| settled.entry).or(settled_by);
    let mut found = Vec::new();
    if !is_made {
        let message = "the provider settled it, and here it is not known to have succeeded";
        found.push(Found::new(BreakKind::SettledUnknown, Some(our_amount), provider_amount, message));
    }
    let adds_up = line.gross.checked_sub(line.fee) == Some(line.net);
    if line.gross != our_amount {
        found.push(Found::new(BreakKind::AmountDiffers, Some(our_amount), provider_amount, "the two amounts differ"));
    } else if !adds_up {
        let ours = our_amount.checked_sub(line.fee);
        found.push(Found::new(BreakKind::AmountDiffers, ours, Some(line.net), "its amount less its fee is not what was settled"));
    }
    if settled_by.is_some_and(|by| by != entry.id) {
        let message = "the provider settled it more than once";
        found.push(Found::new(BreakKind::Duplicate, Some(our_amount), provider_amount, message));
    }
    found
}
