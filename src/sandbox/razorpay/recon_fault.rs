//! What can be wrong with a settlement and the report of its lines. Faults change what is answered alone; the books stay
//! as they are, and so do webhooks.

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::settlement::{Content, Settlement, Status};
use crate::sandbox::ReconFault;
use crate::sandbox::control::ControlError;

/// Faults that wait to be mended. A test sets a handful; this only keeps a loop from filling memory.
const FAULTS_MAX: usize = 1_000;

/// A fault at its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    settlement: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Missing(usize),
    Doubled(usize),
    OffBy(usize, i64),
    /// A line of another settlement shows here too.
    AlsoHere(String, usize),
    AmountOffBy(i64),
    /// A payment that nobody knows.
    Nobodys(String),
}

/// What stands at one place of a settlement's report.
#[derive(Clone)]
pub enum Entry<'a> {
    Real { of: &'a Settlement, index: usize, off_by: i64 },
    Nobodys(&'a str, &'a Settlement),
}

impl Desk<'_> {
    /// Answers the id of the line or settlement that is wrong from now on.
    pub fn set_recon_fault(&mut self, fault: ReconFault) -> Result<String, ControlError> {
        if self.books.recon_faults.len() >= FAULTS_MAX {
            return Err(ControlError::TooManyFaults("recon"));
        }
        let (id, settlement, what) = match fault {
            ReconFault::Missing { entity_id } => self.place(entity_id, What::Missing)?,
            ReconFault::Doubled { entity_id } => self.place(entity_id, What::Doubled)?,
            ReconFault::OffBy { entity_id, paise } => self.place(entity_id, |index| What::OffBy(index, paise))?,
            ReconFault::InOtherSettlementToo { entity_id } => {
                let (settlement, index) = self.find_line(&entity_id)?;
                let other = self.newest_processed(Some(&settlement))?;
                (entity_id, other, What::AlsoHere(settlement, index))
            }
            ReconFault::SettlementOffBy { settlement_id, paise } => {
                self.books.settlements.get(&settlement_id).ok_or_else(|| ControlError::NotFound(settlement_id.clone()))?;
                (settlement_id.clone(), settlement_id, What::AmountOffBy(paise))
            }
            ReconFault::Unknown => {
                let settlement = self.newest_processed(None)?;
                let id = self.new_id("pay");
                (id.clone(), settlement, What::Nobodys(id))
            }
        };
        self.books.recon_faults.push(Placed { settlement, what });
        Ok(id)
    }

    pub fn mend_recon(&mut self) {
        self.books.recon_faults.clear();
    }

    pub fn settlement_off_by(&self, settlement: &str) -> i64 {
        self.faults_of(settlement).map(|what| if let What::AmountOffBy(paise) = what { *paise } else { 0 }).sum()
    }

    /// What the report shows of a settlement, in order, or None where that is its lines: a doubled one follows itself, what
    /// doesn't belong comes last.
    pub fn faulty_entries<'s>(&'s self, settlement: &'s Settlement) -> Option<Vec<Entry<'s>>> {
        self.faults_of(&settlement.id).next()?;
        let real = |index| vec![Entry::Real { of: settlement, index, off_by: 0 }];
        let mut entries: Vec<_> = (0..settlement.lines()).map(real).collect();
        let mut strangers = Vec::new();
        for what in self.faults_of(&settlement.id) {
            match what {
                What::Missing(index) => entries[*index].clear(),
                What::Doubled(index) => {
                    let again = entries[*index].first().cloned();
                    entries[*index].extend(again);
                }
                What::OffBy(index, paise) => {
                    for entry in &mut entries[*index] {
                        if let Entry::Real { off_by, .. } = entry {
                            *off_by += paise;
                        }
                    }
                }
                What::AlsoHere(other, index) => {
                    let other = self.books.settlements.get(other);
                    strangers.extend(other.map(|of| Entry::Real { of, index: *index, off_by: 0 }));
                }
                What::Nobodys(id) => strangers.push(Entry::Nobodys(id, settlement)),
                What::AmountOffBy(_) => (),
            }
        }
        Some(entries.into_iter().flatten().chain(strangers).collect())
    }

    fn faults_of<'s>(&'s self, settlement: &'s str) -> impl Iterator<Item = &'s What> {
        self.books.recon_faults.iter().filter(move |fault| fault.settlement == settlement).map(|fault| &fault.what)
    }

    fn place(&self, entity_id: String, what: impl Fn(usize) -> What) -> Result<(String, String, What), ControlError> {
        let (settlement, index) = self.find_line(&entity_id)?;
        Ok((entity_id, settlement, what(index)))
    }

    /// The settlement that a line is in, and its place there.
    fn find_line(&self, entity_id: &str) -> Result<(String, usize), ControlError> {
        let place = |settlement: &Settlement| match &settlement.content {
            Content::Booked(items) => items.iter().position(|item| item.id() == entity_id),
            Content::MadeUp(bulk) => bulk.find(entity_id),
        };
        let mut settlements = self.books.settlements.newest_first();
        let found = settlements.find_map(|settlement| Some((settlement.id.clone(), place(settlement)?)));
        found.ok_or_else(|| ControlError::NotFound(entity_id.to_owned()))
    }

    fn newest_processed(&self, other_than: Option<&str>) -> Result<String, ControlError> {
        let mut settlements = self.books.settlements.newest_first();
        let found = settlements.find(|settlement| settlement.status == Status::Processed && Some(settlement.id.as_str()) != other_than);
        found.map(|settlement| settlement.id.clone()).ok_or_else(|| ControlError::NotFound("settlement to show it in".to_owned()))
    }
}
