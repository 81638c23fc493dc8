//! Access tokens: what a provider wants to see with each call, and gives for a login. A token lies in a place that all
//! replicas share, and is mirrored in each process, so that most calls find it without I/O. An expiry costs one login:
//! not one a caller, and not one a replica. This knows no provider: how to log in, and what a refused token looks like,
//! is the adapter's to say.

mod memory;
mod mirror;
mod renewal;
pub mod seal;
mod shelf;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};

use super::{AskError, CallError, Cause};
use crate::domain::account::AccountName;
pub use memory::MemoryShelf;
use renewal::Renewal;
pub use seal::{Random, SealKey};
pub use shelf::{Fence, ShelfError, Shelved, TokenShelf};

/// How long a new token that was refused is not replaced. Then it isn't the token that is wrong, and logging in with every
/// call would help nobody.
const NEW_TOKEN_DOUBTED: Duration = Duration::from_secs(5);

/// Logs in at a provider, on behalf of one account.
#[async_trait]
pub trait Login: Send + Sync {
    /// Asks for a new token, once. It is given up after `timeout`.
    async fn login(&self, timeout: Duration) -> Result<NewToken, NoToken>;

    /// Which credentials a login is made with: another number each time that they were replaced. A token of other ones is used
    /// no more.
    fn credentials(&self) -> u64;
}

/// What a login brings.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub token: SecretString,
    /// For how long the provider says that it takes it. No margin is to be taken off.
    pub expires_in: Duration,
}

/// There is no token, so nothing was asked of the provider with one. For logs: it shows no credentials.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no access token: {0}")]
pub struct NoToken(pub Cause);

/// Without a token nothing is acted on.
impl From<NoToken> for CallError {
    fn from(none: NoToken) -> Self {
        CallError::NotDelivered(Cause(none.to_string()))
    }
}

impl From<NoToken> for AskError {
    fn from(none: NoToken) -> Self {
        AskError::Unanswered(Cause(none.to_string()))
    }
}

/// A token, and which one it is.
#[derive(Clone)]
pub struct Token {
    text: SecretString,
    version: Version,
    /// This process logged in for it.
    is_ours: bool,
}

/// Tells tokens apart without looking at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Shared(Fence),
    /// Of a login beside the shared place. Others know nothing of it.
    Own(u64),
}

impl Token {
    pub fn text(&self) -> &SecretString {
        &self.text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?})", self.version)
    }
}

/// Why a call that carried a token brought nothing.
#[derive(Debug)]
pub enum CallFailed<E> {
    /// The provider refused the token, so it did not act.
    TokenRefused,
    Otherwise(E),
}

impl<E> From<E> for CallFailed<E> {
    fn from(cause: E) -> Self {
        CallFailed::Otherwise(cause)
    }
}

/// Hears of each login how it ended: true, it brought a token.
pub type LoginTold = Arc<dyn Fn(bool) + Send + Sync>;

/// What a [`TokenCache`] is made of.
pub struct TokenParts {
    pub account: AccountName,
    pub login: Arc<dyn Login>,
    /// Of this account alone.
    pub shelf: Arc<dyn TokenShelf>,
    /// What tokens are sealed with on the shelf; `None`: they lie there as they are.
    pub key: Option<SealKey>,
    pub random: Random,
    pub told: LoginTold,
}

/// One account's access token.
#[derive(Clone)]
pub struct TokenCache {
    renewal: Arc<Renewal>,
    /// Kept across the login on purpose: one renews, and those who wait then find what he found.
    turn: Arc<Mutex<()>>,
}

impl TokenCache {
    pub fn new(parts: TokenParts) -> Self {
        Self { renewal: Arc::new(Renewal::new(parts)), turn: Arc::default() }
    }

    /// A token that is good for a while yet. While this process has one there is no I/O; otherwise it is waited for, for at
    /// most `timeout`.
    pub async fn token(&self, timeout: Duration) -> Result<Token, NoToken> {
        self.renewal.mirror.belong_to(self.renewal.credentials());
        if let Some(token) = self.renewal.mirror.fresh(Instant::now()) {
            return Ok(token);
        }
        let in_time = tokio::time::timeout(timeout, self.renewed()).await;
        in_time.unwrap_or_else(|_| Err(NoToken(Cause(format!("there was none within {} ms", timeout.as_millis())))))
    }

    async fn renewed(&self) -> Result<Token, NoToken> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(told) = self.renewal.mirror.told(Instant::now()) {
            return told;
        }
        // A task of its own: a caller who leaves in the middle would leave the shared turn behind, and all others would
        // wait until its lease is over.
        let renewal = Arc::clone(&self.renewal);
        let renewing = async move {
            let renewed = renewal.renew().await;
            drop(turn);
            renewed
        };
        let renewed = tokio::spawn(renewing.instrument(Span::current())).await;
        renewed.unwrap_or_else(|_| Err(NoToken(Cause("the login did not come to its end".to_owned()))))
    }

    /// The provider refused `token`: from now on nobody gets it any more. A newer one stays.
    pub async fn refused(&self, token: &Token) {
        self.renewal.refused(token).await;
    }

    /// Makes a call that carries a token and takes at most as long as it is told. If the token is refused, logs in once and
    /// makes the call once more, never again. All of it takes at most `timeout`, about.
    pub async fn with_token<T, E, F>(&self, timeout: Duration, call: impl Fn(Token, Duration) -> F) -> Result<T, E>
    where
        E: From<NoToken>,
        F: Future<Output = Result<T, CallFailed<E>>>,
    {
        let deadline = Instant::now() + timeout;
        let no_time_left = || NoToken(Cause(format!("no time was left of {} ms", timeout.as_millis())));
        let left = || Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero()).ok_or_else(no_time_left);

        let first = self.token(left()?).await?;
        match call(first.clone(), left()?).await {
            Ok(done) => return Ok(done),
            Err(CallFailed::Otherwise(cause)) => return Err(cause),
            Err(CallFailed::TokenRefused) => {}
        }
        if self.renewal.mirror.is_doubted(&first, Instant::now()) {
            return Err(NoToken(Cause("the provider refuses a token that was new".to_owned())).into());
        }
        // What this process knows is noted at once, so nothing is lost where the time is up first.
        let _ = timeout_at(deadline, self.refused(&first)).await;

        let second = self.token(left()?).await?;
        match call(second.clone(), left()?).await {
            Ok(done) => Ok(done),
            Err(CallFailed::Otherwise(cause)) => Err(cause),
            Err(CallFailed::TokenRefused) => {
                if second.is_ours {
                    self.renewal.mirror.doubt(&second, Instant::now() + NEW_TOKEN_DOUBTED);
                } else {
                    // Another replica's, and perhaps as old as the first.
                    let _ = timeout_at(deadline, self.refused(&second)).await;
                }
                Err(NoToken(Cause("the provider refused two tokens, one after the other".to_owned())).into())
            }
        }
    }
}
