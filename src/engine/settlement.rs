//! Settlements: get, and how far their fetching is.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Engine;
use super::error::Error;
use super::index::{list_of_open_breaks, list_of_parent};
use super::learn::decode;
use crate::domain::account::{AccountName, ProviderId};
use crate::domain::event::Record;
use crate::domain::header::Header;
use crate::domain::id::{Id, Kind};
use crate::domain::payment::{Credit, Payment};
use crate::domain::settlement::{EntryKind, Settlement, SettlementEntry};
use crate::domain::working_days::Holidays;
use crate::providers::Provider;
use crate::store::{ListKey, PAGE_MAX, StoreError, Stored, record};

mod breaks;
mod draft;
mod lines;
mod progress;
pub(super) mod sync;
mod unsettled;

/// How settlements are fetched and compared.
#[derive(Clone, Debug)]
pub struct SettlementSettings {
    /// Whether they are fetched at all.
    pub fetch: bool,
    /// The pause between two rounds.
    pub sync_every: Duration,
    /// How far back the first round looks.
    pub backfill_days: u32,
    /// For how long reports that were read before are read again.
    pub reread_days: u32,
    /// How long after a settlement its report counts as whole.
    pub report_lag: Duration,
    pub holidays: Holidays,
}

/// Which lines of settlements.
#[derive(Clone, Debug)]
pub struct EntriesQuery {
    pub account: AccountName,
    /// The settlement, payment or refund that they are of.
    pub parent: Id,
    /// Empty: all.
    pub kinds: Vec<EntryKind>,
}

impl Engine {
    /// The next page of lines below `before`, newest first. Looks at no more than [`PAGE_MAX`] of them.
    pub async fn list_settlement_entries(
        &self,
        query: &EntriesQuery,
        before: Option<Id>,
        limit: usize,
    ) -> Result<(Vec<SettlementEntry>, Option<Id>), Error> {
        let EntriesQuery { account, parent, kinds } = query;
        let partition = self.partition_of(account.as_str());
        let list = ListKey { account: account.to_string(), key: list_of_parent(Kind::SettlementEntry, parent) };
        let (mut entries, mut cursor, mut looked_at) = (Vec::new(), before, 0);
        loop {
            let wanted = (limit - entries.len()).max(1).min(PAGE_MAX - looked_at);
            let page = self.store.list(partition, &list, cursor.as_ref(), wanted).await.map_err(Error::of_read)?;
            looked_at += page.len();
            for stored in &page {
                cursor = Some(stored.id.clone());
                let entry = decode_entry(stored).map_err(Error::of_read)?;
                if kinds.is_empty() || kinds.contains(&entry.line.kind) {
                    entries.push(entry);
                }
            }
            if page.len() < wanted {
                return Ok((entries, None));
            }
            if entries.len() >= limit || looked_at >= PAGE_MAX {
                return Ok((entries, cursor));
            }
        }
    }

    /// How many differences of a settlement are open.
    pub async fn open_breaks_of(&self, settlement: &Settlement) -> Result<u64, Error> {
        let Header { id, account, .. } = &settlement.header;
        let list = ListKey { account: account.to_string(), key: list_of_open_breaks(id) };
        self.store.count(id.partition(), &list).await.map_err(Error::of_read)
    }

    /// The provider of an account.
    pub fn provider_of(&self, account: &AccountName) -> Result<ProviderId, Error> {
        Ok(self.provider(account)?.id)
    }

    pub async fn get_settlement(&self, id: &Id) -> Result<Settlement, Error> {
        match self.store.get(id).await.map_err(Error::of_read)? {
            Some(stored) => match decode(&stored).map_err(Error::of_read)? {
                Record::Settlement(settlement) => Ok(settlement),
                other => Err(other.into()),
            },
            None => Err(Error::no_such("settlement", id)),
        }
    }

    /// The one record of how far the fetching of an account's settlements is.
    pub(super) fn settlement_sync_id(&self, account: &str) -> Id {
        let digest = Sha256::digest(account.as_bytes());
        let low = digest.iter().take(16).fold(0_u128, |low, byte| low << 8 | u128::from(*byte));
        Id::new(Kind::SettlementSync, self.partition_of(account), 0, low)
    }

    /// A provider that credits each payment alone told that it did: that is a line of a settlement.
    pub(super) async fn tell_settlements(&self, before: &Record, after: &Record) -> Result<(), StoreError> {
        let is_credited = |record: &Record| matches!(record, Record::Payment(Payment { credit: Some(Credit::Made { .. }), .. }));
        match self.providers.get(&after.header().account) {
            Some(provider) if is_credited(after) && !is_credited(before) => self.wake_settlement_sync(provider).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the settlements of an account are fetched.
    fn fetches_settlements_of(&self, provider: &Provider) -> bool {
        self.settings.settlements.fetch && provider.capabilities.settlements.is_some()
    }

    /// Makes the fetching of the account's settlements due now.
    pub(super) async fn wake_settlement_sync(&self, provider: &Provider) -> Result<(), StoreError> {
        if !self.fetches_settlements_of(provider) {
            return Ok(());
        }
        self.wake_now(&self.settlement_sync_id(provider.account.as_str())).await
    }
}

/// A line from its stored form.
pub(super) fn decode_entry(stored: &Stored) -> Result<SettlementEntry, StoreError> {
    record::decode(&format_args!("the settlement entry `{}`", stored.id), &stored.body)
}
