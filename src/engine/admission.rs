//! What forbids a request before anything is written or sent.

use super::error::Error;
use super::idempotency::Asked;
use super::{Answer, Engine};
use crate::domain::account::{AccountName, Operation};
use crate::domain::event::Record;
use crate::domain::id::Id;
use crate::providers::Provider;
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

    /// Whether there is time to act at the provider, and whether this replica still takes requests.
    pub(super) fn check_time(&self, asked: &Asked, provider: &Provider) -> Result<(), Error> {
        if self.draining.is_cancelled() {
            return Err(Error::Draining { retry_after: super::PROVIDER_RETRY_AFTER });
        }
        if asked.time_left() < provider.deadline_floor {
            return Err(Error::DeadlineTooShort { floor: provider.deadline_floor });
        }
        Ok(())
    }
}

pub(super) fn lacks(operation: Operation, why: &str) -> Error {
    Error::Lacks { operation: operation.as_str(), why: why.to_owned() }
}
