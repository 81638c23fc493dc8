//! How far the fetching of an account's settlements is, as it is kept.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::account::AccountName;
use crate::domain::id::{Id, Kind};
use crate::domain::money::Money;
use crate::domain::settlement::SettlementLine;
use crate::store::{Change, LeaseStep, Look, Revision, StoreError, Stored, record};

/// The most settlements of one day whose totals are kept.
const SETTLEMENTS_A_DAY_MAX: usize = 1_000;

/// How far the fetching of an account's settlements is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SettlementSync {
    pub account: AccountName,
    /// Rounds that were completed.
    pub rounds: u64,
    /// When the round was begun that is under way, or was last.
    pub begun: Timestamp,
    /// The reading of a report that was begun last.
    pub pass: u64,
    pub step: SyncStep,
    /// Days whose reports are still to be read in this round, with the settlements that should stand in them, by the
    /// provider's ids.
    pub due_days: BTreeMap<Date, BTreeSet<String>>,
    /// The reports that were read, as they were.
    pub days: BTreeMap<Date, DayRead>,
}

/// A day's report as it was read last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DayRead {
    /// A digest of all its lines that does not depend on their order, in hex.
    pub digest: String,
    pub lines: u64,
    /// A settlement that lines name could not be asked about: they are read once more in the next round.
    #[serde(default)]
    pub unlinked: bool,
    /// Of each settlement, by the provider's id: how many lines it has, and the sum of their net amounts.
    pub settlements: BTreeMap<String, (u64, Money)>,
}

/// Where a round is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum SyncStep {
    /// For the next round.
    Waiting,
    Listing {
        from: Timestamp,
        skip: u64,
    },
    /// Reading a report again without writing, to see whether it has changed.
    Comparing {
        day: Date,
        skip: u64,
        read: DayRead,
    },
    /// Reading a report and keeping its lines: of the page after `skip`, `done` are kept.
    Applying {
        day: Date,
        skip: u64,
        done: u64,
        read: DayRead,
    },
    /// Removing the lines that the report no longer has.
    Pruning {
        day: Date,
        before: Option<Id>,
        read: DayRead,
    },
    /// Comparing the settlements of a day with their lines.
    Totalling {
        day: Date,
        read: DayRead,
    },
    /// Looking for payments, or refunds, that no settlement has brought in time.
    Overdue {
        kind: Kind,
        before: Option<Id>,
    },
    /// Looking whether the differences that are open still are.
    Rechecking {
        before: Option<Id>,
    },
}

/// The record of how far we are, at a revision.
pub(super) struct Kept {
    pub id: Id,
    pub revision: Revision,
    pub sync: SettlementSync,
}

impl SettlementSync {
    /// Before the first round.
    pub fn of(account: AccountName) -> Self {
        Self {
            account,
            rounds: 0,
            begun: Timestamp::UNIX_EPOCH,
            pass: 0,
            step: SyncStep::Waiting,
            due_days: BTreeMap::new(),
            days: BTreeMap::new(),
        }
    }

    pub fn decode(stored: &Stored) -> Result<Self, StoreError> {
        record::decode(&format_args!("the progress `{}`", stored.id), &stored.body)
    }

    /// A new reading of this day's report.
    pub fn first_page(&mut self, day: Date) -> SyncStep {
        self.pass += 1;
        SyncStep::Applying { day, skip: 0, done: 0, read: DayRead::default() }
    }

    /// Whether its next step asks the provider.
    pub fn asks(&self) -> bool {
        match self.step {
            SyncStep::Listing { .. } | SyncStep::Comparing { .. } | SyncStep::Applying { .. } | SyncStep::Rechecking { .. } => true,
            SyncStep::Waiting | SyncStep::Pruning { .. } | SyncStep::Totalling { .. } | SyncStep::Overdue { .. } => false,
        }
    }

    /// A settlement that should stand in the report of `day`.
    pub fn expect(&mut self, day: Date, settlement_ref: &str) {
        let expected = self.due_days.entry(day).or_default();
        if expected.len() < SETTLEMENTS_A_DAY_MAX {
            expected.insert(settlement_ref.to_owned());
        }
    }

    /// Its write. When to look next is said when the lease is given back.
    pub fn change(&self, id: Id, from: Option<Revision>) -> Result<Change, StoreError> {
        Ok(Change {
            id,
            from,
            body: Some(record::encode(self)?),
            event: None,
            references: Vec::new(),
            join: Vec::new(),
            leave: Vec::new(),
            look: Look::Keep,
            lease: LeaseStep::Keep,
        })
    }
}

impl DayRead {
    /// Counts one more line.
    pub fn count(&mut self, line: &SettlementLine) {
        let written = serde_json::to_vec(line).unwrap_or_default();
        let low = Sha256::digest(&written).iter().take(16).fold(0_u128, |low, byte| low << 8 | u128::from(*byte));
        let sum = u128::from_str_radix(&self.digest, 16).unwrap_or(0).wrapping_add(low);
        self.digest = format!("{sum:032x}");
        self.lines += 1;
        let Some(settlement) = &line.settlement_ref else { return };
        if self.settlements.len() >= SETTLEMENTS_A_DAY_MAX && !self.settlements.contains_key(settlement) {
            return;
        }
        let (count, net) = self.settlements.entry(settlement.clone()).or_default();
        *count += 1;
        *net = net.checked_add(line.net).unwrap_or(*net);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settlement::EntryKind;

    fn line(entity: &str, net: i64) -> SettlementLine {
        SettlementLine {
            kind: EntryKind::Payment,
            entity_ref: entity.to_owned(),
            payment_ref: None,
            settlement_ref: Some("setl_1".to_owned()),
            gross: Money::from_paise(net),
            fee: Money::ZERO,
            tax: Money::ZERO,
            net: Money::from_paise(net),
            utr: None,
            transact_time: None,
            settle_time: None,
            description: String::new(),
            foreign: false,
            other_product: false,
        }
    }

    fn read(lines: &[SettlementLine]) -> DayRead {
        let mut read = DayRead::default();
        lines.iter().for_each(|line| read.count(line));
        read
    }

    #[test]
    fn a_report_is_the_same_in_any_order_and_another_with_any_line_changed() {
        let (a, b) = (line("pay_a", 100), line("pay_b", 200));
        let whole = read(&[a.clone(), b.clone()]);
        assert_eq!(whole, read(&[b.clone(), a.clone()]));
        assert_eq!(whole.settlements["setl_1"], (2, Money::from_paise(300)));
        for other in [vec![a.clone()], vec![a.clone(), b.clone(), b.clone()], vec![a.clone(), line("pay_b", 201)], vec![a.clone(), a, b]] {
            assert_ne!(whole.digest, read(&other).digest, "{other:?}");
        }
    }
}
