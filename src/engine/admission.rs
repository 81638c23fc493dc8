//! What forbids a request before anything is written or sent.

use std::time::Duration;

use super::error::Error;
use super::idempotency::Asked;
use super::{Answer, Engine, PROVIDER_RETRY_AFTER};
use crate::domain::account::{AccountName, Operation};
use crate::domain::event::Record;
use crate::domain::id::Id;
use crate::providers::Provider;
use crate::providers::breaker::Purpose;
use crate::store::ClaimStep;

impl Engine {
    /// What forbids a request now does not concern one that was taken before: a repeat of that is answered as every
    /// repeat is. To say NOT_SENT of it would be wrong. `record`: whom the claim would be for; it need not exist.
    pub(super) async fn replay_or(
        &self,
        asked: &Asked,
        account: &AccountName,
        record: Id,
        forbidden: Error,
    ) -> Result<Answer<Record>, Error> {
        let claim = ClaimStep::Take { scope: asked.scope(account.as_str()), fingerprint: asked.fingerprint.to_bytes(), record };
        match self.claimed_by_whom(&claim).await? {
            Some((claim, record)) => self.replay(asked, claim, record).await,
            None => Err(forbidden),
        }
    }

    /// Whether there is time to act at the provider, whether this replica still takes requests, and whether the provider's calls
    /// are made.
    pub(super) fn check_time(&self, asked: &Asked, provider: &Provider) -> Result<(), Error> {
        if self.draining.is_cancelled() {
            return Err(Error::Draining { retry_after: PROVIDER_RETRY_AFTER });
        }
        if asked.time_left() < provider.deadline_floor {
            return Err(Error::DeadlineTooShort { floor: provider.deadline_floor });
        }
        // What would not be sent is not written down either.
        if let Some(retry_after) = provider.line.turn_away() {
            return Err(Error::ProviderUnavailable { id: None, retry_after });
        }
        Ok(())
    }

    /// When a request that did not reach the account's provider is worth repeating.
    pub(super) fn provider_retry_after(&self, account: &AccountName) -> Duration {
        let held_back = self.providers.get(account).and_then(|provider| provider.line.refusal(Purpose::Act));
        held_back.unwrap_or(PROVIDER_RETRY_AFTER)
    }
}

pub(super) fn lacks(operation: Operation, why: &str) -> Error {
    Error::Lacks { operation: operation.as_str(), why: why.to_owned() }
}
