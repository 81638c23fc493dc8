//! What this process knows of an account's token: the one to use, the ones not to use, and how the last login ended. It
//! does no I/O and asks no clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Fence, NoToken, Token, Version};

/// The pause after a login that failed; then twice as long each time. Whoever needs a token meanwhile is told of the
/// failure, so that a burst of calls is no burst of logins.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// A provider that is back is noticed after this long.
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Mirror {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The token to use, until when.
    kept: Option<(Token, Instant)>,
    /// The newest token from the shelf that was refused: it may lie there yet, where it could not be discarded.
    refused: Option<Fence>,
    /// A token that was refused although it was new, until when it is not replaced.
    doubted: Option<(Version, Instant)>,
    /// How the last login failed, and until when it is not tried again.
    failed: Option<(NoToken, Instant)>,
    failures: u32,
    own_logins: u64,
    /// The credentials that all of this was come by with.
    credentials: u64,
    /// What lies on the shelf was come by with others, or may have been.
    shelf_is_from_before: bool,
}

impl Mirror {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all that was come by with other credentials than these.
    pub fn belong_to(&self, credentials: u64) {
        let mut inner = self.inner();
        if inner.credentials == credentials {
            return;
        }
        let Inner { refused, own_logins, .. } = std::mem::take(&mut *inner);
        *inner = Inner { refused, own_logins, credentials, shelf_is_from_before: true, ..Inner::default() };
    }

    /// Whether what lies on the shelf, which is `version`, may have been come by with other credentials. It is taken no more;
    /// what is laid down after it is.
    pub fn takes_nothing_from_before(&self, version: Option<Fence>) -> bool {
        let mut inner = self.inner();
        let is_from_before = std::mem::take(&mut inner.shelf_is_from_before);
        if is_from_before {
            inner.refused = inner.refused.max(version);
        }
        is_from_before
    }

    /// The token, if it is good at `now`.
    pub fn fresh(&self, now: Instant) -> Option<Token> {
        self.inner().kept.as_ref().filter(|(_, until)| now < *until).map(|(token, _)| token.clone())
    }

    /// What whoever needs a token is told at `now`. `None`: somebody must go for one.
    pub fn told(&self, now: Instant) -> Option<Result<Token, NoToken>> {
        if let Some(token) = self.fresh(now) {
            return Some(Ok(token));
        }
        self.inner().failed.as_ref().filter(|(_, until)| now < *until).map(|(cause, _)| Err(cause.clone()))
    }

    /// Notes the token to use, which `credentials` brought. False: it was refused meanwhile, or they were replaced.
    pub fn keep(&self, token: &Token, until: Instant, credentials: u64) -> bool {
        let mut inner = self.inner();
        if inner.credentials != credentials {
            return false;
        }
        if matches!(token.version, Version::Shared(version) if inner.refused == Some(version)) {
            return false;
        }
        inner.kept = Some((token.clone(), until));
        inner.failed = None;
        inner.failures = 0;
        true
    }

    /// Notes that a token is not to be used any more. A newer one stays.
    pub fn refused(&self, token: &Token) {
        let mut inner = self.inner();
        inner.kept.take_if(|(kept, _)| kept.version == token.version);
        if let Version::Shared(version) = token.version {
            inner.refused = inner.refused.max(Some(version));
        }
    }

    /// Notes that a token was refused although it was new.
    pub fn doubt(&self, token: &Token, until: Instant) {
        self.inner().doubted = Some((token.version, until));
    }

    pub fn is_doubted(&self, token: &Token, now: Instant) -> bool {
        self.inner().doubted.is_some_and(|(version, until)| version == token.version && now < until)
    }

    /// Notes that a login failed at `now`. `jittered` varies the pause.
    pub fn failed(&self, cause: &NoToken, now: Instant, jittered: impl FnOnce(Duration) -> Duration) {
        let mut inner = self.inner();
        let pause = PAUSE_FIRST.saturating_mul(1 << inner.failures.min(16)).min(PAUSE_MAX);
        inner.failures = inner.failures.saturating_add(1);
        inner.failed = Some((cause.clone(), now + jittered(pause)));
    }

    /// A version for a token that the shelf knows nothing of.
    pub fn own_version(&self) -> Version {
        let mut inner = self.inner();
        inner.own_logins += 1;
        Version::Own(inner.own_logins)
    }
}
