//! What every call brings with it: who calls, until when, and in which trace.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use prost::Message;
use tokio::time::Instant;
use tonic::Request;
use tracing::warn;

use super::callers::Caller;
use super::fingerprint;
use crate::domain::account::AccountName;
use crate::domain::personal::Sight;
use crate::engine::{Asked, Engine, Error, error::STORE_RETRY_AFTER};
use crate::telemetry;

/// The caller where none is configured: whoever reaches the loopback address.
pub const LOCAL_CALLER: &str = "local";

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Where the caller sets none.
    pub default: Duration,
    /// What is taken off, so that our answer arrives before the caller's library gives up.
    pub margin: Duration,
}

/// A call. Who makes it was found out by `authentication.rs`; without that, nobody does.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub caller: Arc<Caller>,
    pub sight: Sight,
    pub deadline: Instant,
    pub traceparent: Option<String>,
}

impl Call {
    pub fn of<T>(request: &Request<T>, deadlines: Deadlines) -> Self {
        let metadata: &HeaderMap = request.metadata().as_ref();
        let time = timeout(metadata).unwrap_or(deadlines.default).min(deadlines.default.max(Duration::from_secs(600)));
        let caller = request.extensions().get::<Arc<Caller>>().cloned().unwrap_or_else(Caller::nobody);
        Self {
            sight: caller.sight(),
            caller,
            deadline: Instant::now() + time.saturating_sub(deadlines.margin),
            traceparent: telemetry::of_request(metadata),
        }
    }

    /// Whether the caller may know of this account.
    pub fn may_see(&self, engine: &Engine, account: &AccountName) -> bool {
        engine.has_account(account) && self.caller.sees(account)
    }

    /// The accounts that the caller may see.
    pub fn accounts(&self, engine: &Engine) -> Vec<AccountName> {
        engine.accounts().map(|provider| provider.account.clone()).filter(|account| self.may_see(engine, account)).collect()
    }

    /// A resource's account, if the caller may see it; else the resource does not exist for him.
    pub fn check_account(&self, engine: &Engine, account: &AccountName, what: &'static str, id: &str) -> Result<(), Error> {
        if self.may_see(engine, account) { Ok(()) } else { Err(Error::no_such(what, id)) }
    }

    /// What `read` finds, or our own word that it takes too long: a read has nothing to wait for but the store.
    pub async fn in_time<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout_at(self.deadline, read).await.unwrap_or_else(|_| {
            warn!("the store did not answer a read while its caller waited");
            Err(Error::StoreUnavailable { retry_after: STORE_RETRY_AFTER })
        })
    }

    /// A mutation as the engine takes it.
    pub fn asked(&self, engine: &Arc<Engine>, method: &'static str, message: &'static str, key: &str, request: &impl Message) -> Asked {
        Asked {
            caller: self.caller.name.clone(),
            method,
            key: key.to_owned(),
            fingerprint: fingerprint::of(engine.fingerprint_key(), message, request),
            deadline: self.deadline,
            traceparent: self.traceparent.clone(),
        }
    }
}

/// The caller's deadline, as gRPC sends it: at most eight digits and a unit.
fn timeout(metadata: &HeaderMap) -> Option<Duration> {
    let text = metadata.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        "M" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_ends_before_its_caller_gives_up() {
        let mut request = Request::new(());
        request.set_timeout(Duration::from_millis(110));
        let call = Call::of(&request, Deadlines { default: Duration::from_secs(30), margin: Duration::from_millis(100) });
        let late = call.in_time(std::future::pending::<Result<(), Error>>()).await;
        assert!(matches!(late, Err(Error::StoreUnavailable { .. })), "{late:?}");
        assert_eq!(call.in_time(async { Ok(7) }).await.ok(), Some(7), "what is there at once is always given");
    }

    #[test]
    fn deadlines_are_read_in_every_unit() {
        let read = |text: &'static str| {
            let mut metadata = HeaderMap::new();
            metadata.insert(GRPC_TIMEOUT, text.parse().unwrap());
            timeout(&metadata)
        };
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("5S"), Some(Duration::from_secs(5)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for text in ["", "S", "123456789S", "1x", "-1S", "1.5S"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
