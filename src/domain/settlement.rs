//! Settlements: what a provider pays out to the merchant's bank account, line by line, and where its books and ours
//! differ. A settlement learns like every record; its lines are the provider's own, replaced whole when its report changes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::fact::{Contradiction, Evidence, Failure, FailureReason, Learned};
use super::header::Header;
use super::id::Id;
use super::money::Money;

/// Where a settlement stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettlementState {
    /// The provider announced it.
    Created,
    /// The provider started the transfer to the bank.
    Processed,
    Failed(Failure),
}

/// One payout of a provider to the merchant's bank account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    pub header: Header,
    pub state: SettlementState,
    /// Net: what arrives at the bank, as the provider says.
    pub amount: Money,
    /// What the provider keeps in it, tax included, and the tax within that.
    pub fee: Money,
    pub tax: Money,
    pub utr: Option<String>,
    /// When the provider made or planned it, by its clock.
    pub settle_time: Option<Timestamp>,
    pub entries: EntriesRead,
}

/// What was read of a settlement's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntriesRead {
    pub count: u64,
    /// Sum of their net amounts.
    pub net: Money,
    /// Whether the provider gave them all, as far as can be told.
    pub complete: bool,
}

/// A settlement as the provider shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementSnapshot {
    pub provider_ref: String,
    pub amount: Money,
    pub fee: Money,
    pub tax: Money,
    pub utr: Option<String>,
    pub status: SettlementStatus,
    pub settle_time: Option<Timestamp>,
}

/// The provider's word on where a settlement stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettlementStatus {
    Created,
    Processed,
    Failed,
    /// The provider says something that we don't know.
    Undecided,
}

/// What can be learned about a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettlementFact {
    /// The provider showed it.
    Seen(SettlementSnapshot),
    /// Its lines were read.
    EntriesRead(EntriesRead),
    /// An operator settled its contradictions.
    ContradictionsResolved,
}

/// What a line of a settlement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Payment,
    Refund,
    /// Anything else that the provider adds or takes.
    Adjustment,
}

/// A line as the provider's report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementLine {
    pub kind: EntryKind,
    /// The provider's id of what was settled.
    pub entity_ref: String,
    /// Of a refund: the provider's id of its payment, where told.
    pub payment_ref: Option<String>,
    /// The provider's id of the settlement; `None`: it names none.
    pub settlement_ref: Option<String>,
    /// Before fees; negative where it is taken from the merchant.
    pub gross: Money,
    /// What the provider keeps for it, tax included, and the tax within that.
    pub fee: Money,
    pub tax: Money,
    /// `gross` less `fee`.
    pub net: Money,
    pub utr: Option<String>,
    pub transact_time: Option<Timestamp>,
    pub settle_time: Option<Timestamp>,
    pub description: String,
    /// Plainly about a payment by another method than UPI: none of ours, and not missed here.
    pub foreign: bool,
    /// It looks like another product of the same account: none of ours unless it is known here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub other_product: bool,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A line of a settlement, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementEntry {
    pub id: Id,
    pub line: SettlementLine,
    pub settlement: Option<Id>,
    /// Ours: that which was settled, or that which the refund belongs to.
    pub payment: Option<Id>,
    pub refund: Option<Id>,
    /// The day whose report it stands in; `None`: it comes from no report.
    pub day: Option<jiff::civil::Date>,
    /// Which of several lines about the same thing in the same settlement: 0 for the first.
    pub ordinal: u32,
    /// The reading of its report that it was seen in last.
    pub pass: u64,
    pub create_time: Timestamp,
}

/// What differs between the provider's books and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakKind {
    SettledUnknown,
    SucceededNotSettled,
    AmountDiffers,
    RefundWithoutLine,
    Duplicate,
}

impl BreakKind {
    pub const ALL: [BreakKind; 5] = [
        BreakKind::SettledUnknown,
        BreakKind::SucceededNotSettled,
        BreakKind::AmountDiffers,
        BreakKind::RefundWithoutLine,
        BreakKind::Duplicate,
    ];

    /// The kind's name in references and filters.
    pub fn name(self) -> &'static str {
        match self {
            BreakKind::SettledUnknown => "settled_unknown",
            BreakKind::SucceededNotSettled => "succeeded_not_settled",
            BreakKind::AmountDiffers => "amount_differs",
            BreakKind::RefundWithoutLine => "refund_without_line",
            BreakKind::Duplicate => "duplicate",
        }
    }
}

/// A difference between the provider's books and ours. Revision 1 opens it, revision 2 closes it; should it come back, that
/// is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementBreak {
    pub header: Header,
    pub kind: BreakKind,
    pub settlement: Option<Id>,
    pub entry: Option<Id>,
    pub payment: Option<Id>,
    pub refund: Option<Id>,
    /// The provider's id of what differs.
    pub subject_ref: Option<String>,
    pub our_amount: Option<Money>,
    pub provider_amount: Option<Money>,
    pub message: String,
    pub close_time: Option<Timestamp>,
}

impl SettlementBreak {
    pub fn state_name(&self) -> &'static str {
        if self.close_time.is_some() { "closed" } else { "open" }
    }

    /// What it is, whenever it is found: its kind, and what differs.
    pub fn identity(&self) -> String {
        let subject = [&self.entry, &self.refund, &self.payment, &self.settlement].into_iter().flatten().next();
        format!("{}/{}", self.kind.name(), subject.map(Id::as_str).unwrap_or_default())
    }

    /// The two sides agree again.
    pub fn closed(&self, at: Timestamp) -> (Self, EventKind) {
        (Self { header: self.header.next(at), close_time: Some(at), ..self.clone() }, EventKind::SettlementBreakClosed)
    }
}

type SettlementLearned = Learned<Settlement, EventKind>;

impl SettlementState {
    /// The state's name in tables, lists and filters.
    pub fn name(&self) -> &'static str {
        match self {
            SettlementState::Created => "created",
            SettlementState::Processed => "processed",
            SettlementState::Failed(_) => "failed",
        }
    }

    fn event(&self) -> EventKind {
        match self {
            SettlementState::Created => EventKind::SettlementCreated,
            SettlementState::Processed => EventKind::SettlementProcessed,
            SettlementState::Failed(_) => EventKind::SettlementFailed,
        }
    }
}

impl SettlementFact {
    /// The fact's name in tables and contradictions.
    pub fn name(&self) -> &'static str {
        match self {
            SettlementFact::Seen(snapshot) => match snapshot.status {
                SettlementStatus::Created => "seen_created",
                SettlementStatus::Processed => "seen_processed",
                SettlementStatus::Failed => "seen_failed",
                SettlementStatus::Undecided => "seen_undecided",
            },
            SettlementFact::EntriesRead(_) => "entries_read",
            SettlementFact::ContradictionsResolved => "contradictions_resolved",
        }
    }
}

impl Settlement {
    /// A settlement that is seen for the first time. `header` is its first revision.
    pub fn first_seen(header: Header, snapshot: &SettlementSnapshot) -> (Self, EventKind) {
        let SettlementSnapshot { provider_ref: _, amount, fee, tax, utr, status, settle_time } = snapshot.clone();
        let state = state_for(&status);
        let event = state.event();
        (Self { header, state, amount, fee, tax, utr, settle_time, entries: EntriesRead::default() }, event)
    }

    /// The one door: what this settlement becomes when `fact`, proved by `evidence`, is learned at `at`.
    pub fn learn(&self, fact: &SettlementFact, evidence: Evidence, at: Timestamp) -> Result<SettlementLearned, Contradiction> {
        match fact {
            SettlementFact::Seen(snapshot) => self.see(snapshot, fact.name(), evidence, at),
            SettlementFact::EntriesRead(entries) if *entries == self.entries => Ok(Learned::AlreadyKnown),
            SettlementFact::EntriesRead(entries) => {
                let next = Self { header: self.header.next(at), entries: *entries, ..self.clone() };
                Ok(Learned::Moved(next, EventKind::SettlementUpdated))
            }
            SettlementFact::ContradictionsResolved if self.header.contradictions.is_empty() => Ok(Learned::AlreadyKnown),
            SettlementFact::ContradictionsResolved => {
                let mut next = Self { header: self.header.next(at), ..self.clone() };
                next.header.contradictions.clear();
                Ok(Learned::Moved(next, EventKind::SettlementUpdated))
            }
        }
    }

    /// Whether the provider's picture says nothing new.
    pub fn agrees_with(&self, snapshot: &SettlementSnapshot) -> bool {
        let same_state = snapshot.status == SettlementStatus::Undecided || state_for(&snapshot.status).name() == self.state.name();
        let same_sums = (self.amount, self.fee, self.tax) == (snapshot.amount, snapshot.fee, snapshot.tax);
        same_state && same_sums && (snapshot.utr.is_none() || snapshot.utr == self.utr)
    }

    fn see(
        &self,
        snapshot: &SettlementSnapshot,
        fact: &str,
        evidence: Evidence,
        at: Timestamp,
    ) -> Result<SettlementLearned, Contradiction> {
        use SettlementState as State;
        use SettlementStatus as Status;
        let is_old_news = matches!(
            (&self.state, &snapshot.status),
            (State::Processed | State::Failed(_), Status::Created) | (State::Processed, Status::Failed)
        );
        match (&self.state, &snapshot.status) {
            // Callbacks come out of order.
            _ if is_old_news && !evidence.is_fresh() => Ok(Learned::AlreadyKnown),
            _ if is_old_news => Err(Contradiction {
                fact: fact.to_owned(),
                evidence,
                message: format!("the fact {fact} does not fit a settlement that is {}", self.state.name()),
                time: at,
            }),
            // The late edge that providers really have: they try a failed transfer again.
            (State::Failed(_), Status::Processed) if !evidence.is_fresh() => Ok(Learned::AskFirst),
            (State::Created, Status::Processed | Status::Failed) | (State::Failed(_), Status::Processed) => {
                let state = state_for(&snapshot.status);
                let event = state.event();
                Ok(Learned::Moved(Self { header: self.header.next(at), state, ..self.with_details(snapshot, evidence) }, event))
            }
            (_, Status::Created | Status::Processed | Status::Failed | Status::Undecided) => {
                let next = self.with_details(snapshot, evidence);
                if next == *self {
                    return Ok(Learned::AlreadyKnown);
                }
                Ok(Learned::Moved(Self { header: self.header.next(at), ..next }, EventKind::SettlementUpdated))
            }
        }
    }

    /// Only the provider itself, asked now, changes figures; a callback may be old news.
    fn with_details(&self, snapshot: &SettlementSnapshot, evidence: Evidence) -> Self {
        let mut next = self.clone();
        next.utr = if evidence.is_fresh() { snapshot.utr.clone().or(next.utr) } else { next.utr.or_else(|| snapshot.utr.clone()) };
        next.settle_time = next.settle_time.or(snapshot.settle_time);
        if evidence.is_fresh() {
            (next.amount, next.fee, next.tax) = (snapshot.amount, snapshot.fee, snapshot.tax);
        }
        next
    }
}

/// The state that the provider's word on it shows.
fn state_for(status: &SettlementStatus) -> SettlementState {
    match status {
        SettlementStatus::Created | SettlementStatus::Undecided => SettlementState::Created,
        SettlementStatus::Processed => SettlementState::Processed,
        SettlementStatus::Failed => SettlementState::Failed(Failure {
            reason: FailureReason::ProviderFailed,
            message: "the provider reports that the transfer to the bank failed".to_owned(),
            provider_code: String::new(),
            provider_message: String::new(),
        }),
    }
}
