//! Looks at settlements: how one stands that was announced, and the first report of one.

use super::Stepped;
use crate::domain::event::{Fact, Record};
use crate::domain::header::Header;
use crate::domain::id::Kind;
use crate::domain::settlement::{Settlement, SettlementFact, SettlementSnapshot};
use crate::engine::Engine;
use crate::engine::index::SETTLEMENT_AT_PROVIDER;
use crate::engine::learn::{Outcome, Step, Told};
use crate::providers::{AskError, Provider};
use crate::store::{Commit, Conflict, LeaseStep, StoreError};

/// How often a settlement is recorded again after another writer came first.
const RACES_MAX: usize = 16;

impl Engine {
    pub(super) async fn look_at_settlement(&self, provider: &Provider, settlement: Settlement, told: &Told) -> Result<Stepped, StoreError> {
        let (Some(settlements), Some(provider_ref)) = (&provider.settlements, settlement.header.provider_ref.clone()) else {
            return Ok(Stepped::NobodyToAsk);
        };
        match settlements.listing.fetch(&provider_ref).await {
            Ok(snapshot) => {
                self.learn(Record::Settlement(settlement), &Fact::Settlement(SettlementFact::Seen(snapshot)), told).await?;
                Ok(Stepped::Learned)
            }
            Err(AskError::Absent) => Ok(self.gone(provider, &settlement.header.id)),
            Err(AskError::Unanswered(cause)) => Ok(self.unanswered(provider, &cause.to_string())),
        }
    }

    /// Records a settlement that the provider's list shows. Lists lag: where one differs from what is recorded, only a fetch
    /// is believed. Whether it was news.
    pub(in crate::engine) async fn observe_listed_settlement(
        &self,
        provider: &Provider,
        snapshot: &SettlementSnapshot,
        told: &Told,
    ) -> Result<bool, StoreError> {
        let known = self.find(provider.account.as_str(), SETTLEMENT_AT_PROVIDER, &snapshot.provider_ref).await?;
        let Some(Record::Settlement(known)) = known else {
            self.observe_settlement(provider, snapshot, told).await?;
            return Ok(true);
        };
        if known.agrees_with(snapshot) {
            return Ok(false);
        }
        let told = Told { fence: None, asked: Some(self.clock.now()), ..told.clone() };
        self.look_at_settlement(provider, known, &told).await?;
        Ok(true)
    }

    /// Records a settlement that the provider tells of, or learns more about it.
    pub(in crate::engine) async fn observe_settlement(
        &self,
        provider: &Provider,
        snapshot: &SettlementSnapshot,
        told: &Told,
    ) -> Result<Record, StoreError> {
        let account = provider.account.as_str();
        let told = Told { fence: None, ..told.clone() };
        for _ in 0..RACES_MAX {
            if let Some(known) = self.find(account, SETTLEMENT_AT_PROVIDER, &snapshot.provider_ref).await? {
                let fact = Fact::Settlement(SettlementFact::Seen(snapshot.clone()));
                return self.learn(known, &fact, &told).await.map(Outcome::record);
            }
            let now = self.clock.now();
            let id = self.randomness.id(Kind::Settlement, self.partition_of(account), now);
            let header =
                Header { provider_ref: Some(snapshot.provider_ref.clone()), ..Header::first(id, &provider.account, provider.id, now) };
            let (settlement, event) = Settlement::first_seen(header, snapshot);
            let record = Record::Settlement(settlement);
            let first = Step { before: None, after: record.clone(), event, lease: LeaseStep::Keep, look: None };
            match self.write(vec![first], Vec::new(), &told).await? {
                Commit::Done(_) => {
                    // Its lines are to be read.
                    self.wake_settlement_sync(provider).await?;
                    return Ok(record);
                }
                Commit::Conflict(Conflict::Referenced { .. }) => {}
                Commit::Conflict(_) => return Err(StoreError::Broken("a settlement can't be written".to_owned())),
            }
        }
        Err(StoreError::Unavailable(format!("other writers came first {RACES_MAX} times")))
    }
}
