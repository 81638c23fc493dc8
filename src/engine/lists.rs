//! Lists of records: a page looks at a bounded number of entries and may be short with more to come.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Engine;
use super::error::Error;
use super::index::{BREAKS_OPEN, list_of_customer, list_of_kind, list_of_open_breaks, list_of_parent, list_of_reference};
use super::learn::decode;
use crate::domain::account::AccountName;
use crate::domain::event::Record;
use crate::domain::id::{Id, Kind};
use crate::domain::settlement::BreakKind;
use crate::store::{ListKey, PAGE_MAX};

/// Which records of an account.
#[derive(Clone, Debug)]
pub struct ListQuery {
    pub account: AccountName,
    pub kind: Kind,
    /// Names of states; empty: all.
    pub states: Vec<&'static str>,
    /// Made at this time or later.
    pub from: Option<Timestamp>,
    /// Made before this time.
    pub to: Option<Timestamp>,
    /// Empty: any.
    pub reference: String,
    /// The provider's id of the customer that codes were made for. Empty: any.
    pub customer: String,
    pub parent: Option<Id>,
    pub labels: BTreeMap<String, String>,
    /// Of settlement breaks; empty: all.
    pub break_kinds: Vec<BreakKind>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    pub records: Vec<Record>,
    /// Where the next page begins; `None`: this is the last.
    pub next: Option<Id>,
}

impl ListQuery {
    /// Everything of `kind` in `account`.
    pub fn all_of(account: AccountName, kind: Kind) -> Self {
        Self {
            account,
            kind,
            states: Vec::new(),
            from: None,
            to: None,
            reference: String::new(),
            customer: String::new(),
            parent: None,
            labels: BTreeMap::new(),
            break_kinds: Vec::new(),
        }
    }

    /// The shortest list that holds everything asked for.
    fn list(&self) -> ListKey {
        let open_breaks = self.kind == Kind::SettlementBreak && self.states == ["open"];
        let key = match &self.parent {
            Some(settlement) if open_breaks => list_of_open_breaks(settlement),
            None if open_breaks => BREAKS_OPEN.to_owned(),
            Some(parent) => list_of_parent(self.kind, parent),
            None if !self.customer.is_empty() => list_of_customer(self.kind, &self.customer),
            None if !self.reference.is_empty() => list_of_reference(self.kind, &self.reference),
            None => list_of_kind(self.kind),
        };
        ListKey { account: self.account.to_string(), key }
    }

    fn admits(&self, record: &Record) -> bool {
        let header = record.header();
        (self.states.is_empty() || self.states.contains(&record.state_name()))
            && self.from.is_none_or(|from| header.create_time >= from)
            && self.to.is_none_or(|to| header.create_time < to)
            && (self.reference.is_empty() || header.reference == self.reference)
            && self.admits_break(record)
            && self.labels.iter().all(|(key, value)| header.labels.get(key) == Some(value))
    }
}

impl ListQuery {
    fn admits_break(&self, record: &Record) -> bool {
        match record {
            Record::SettlementBreak(difference) => self.break_kinds.is_empty() || self.break_kinds.contains(&difference.kind),
            _ => true,
        }
    }
}

impl Engine {
    /// The next page below `before`, newest first. Looks at no more than [`PAGE_MAX`] entries.
    pub async fn list(&self, query: &ListQuery, before: Option<Id>, limit: usize) -> Result<Page, Error> {
        self.provider(&query.account)?;
        let partition = self.partition_of(query.account.as_str());
        let list = query.list();
        let mut records = Vec::new();
        // Ids are ordered by time: what was made later than asked for is passed over without a look.
        let mut cursor = match query.to {
            Some(to) => {
                let ms = u64::try_from(to.as_millisecond()).unwrap_or(0);
                let end = Id::new(query.kind, partition, ms, 0);
                Some(before.map_or(end.clone(), |before| before.min(end)))
            }
            None => before,
        };
        let mut looked_at = 0;
        loop {
            let wanted = (limit - records.len()).max(1).min(PAGE_MAX - looked_at);
            let page = self.store.list(partition, &list, cursor.as_ref(), wanted).await.map_err(Error::of_read)?;
            looked_at += page.len();
            let ended = page.len() < wanted;
            for stored in &page {
                cursor = Some(stored.id.clone());
                let record = decode(stored).map_err(Error::of_read)?;
                if query.from.is_some_and(|from| record.header().create_time < from) {
                    return Ok(Page { records, next: None });
                }
                if query.admits(&record) {
                    records.push(record);
                }
            }
            if ended {
                return Ok(Page { records, next: None });
            }
            if records.len() >= limit || looked_at >= PAGE_MAX {
                return Ok(Page { records, next: cursor });
            }
        }
    }
}
