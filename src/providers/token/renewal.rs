//! How a token is come by: from the shelf where another replica has laid one down, else by a login under the shelf's lock.
//! One renewal runs at a time in a process; that is the caller's to see to.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::mirror::Mirror;
use super::seal::Seal;
use super::{Cause, Fence, Login, LoginTold, NewToken, NoToken, Random, ShelfError, Shelved, Token, TokenParts, TokenShelf, Version};

/// How long a login may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the shelf may take to answer. It only saves a login, so a payment doesn't wait for it much longer than for that.
const SHELF_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the turn to log in is held at most: longer than a login and all that its owner says to the shelf about it, so
/// that only somebody who died or stood still loses it.
const LEASE: Duration = Duration::from_secs(15);
const _: () = assert!(LEASE.as_secs() > LOGIN_TIMEOUT.as_secs() + (1 + SAVES_MAX as u64) * SHELF_TIMEOUT.as_secs());
/// How long another replica's login is waited for: until its lease would end, and somebody else's first try.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked for meanwhile: more rarely each time.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_RAREST: Duration = Duration::from_millis(400);
/// How often a token is sent to the shelf that does not say whether it took it. It finds its own work.
const SAVES_MAX: usize = 2;

/// A token is renewed this long before it expires, so that a call that sets out with it arrives in time.
const MARGIN_MAX: Duration = Duration::from_secs(60);
/// A short-lived token can't spare a minute: of its life this part is margin.
const MARGIN_PART: u32 = 10;
/// A token is used at least this long, whatever its provider says of it: clocks differ, and a login a call would be worse
/// than a call that is refused.
const FRESH_MIN: Duration = Duration::from_secs(1);
/// A token is not kept for longer, whatever its provider says: one that leaked from a backup should be of no use for ever.
const FRESH_MAX: Duration = Duration::from_hours(24);
/// The longest token. It travels in a header, and few servers take longer ones.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What it takes to come by a token.
pub(super) struct Renewal {
    pub mirror: Mirror,
    login: Arc<dyn Login>,
    shelf: Arc<dyn TokenShelf>,
    seal: Seal,
    random: Random,
    told: LoginTold,
}

/// Why the shared way brought no token.
enum Short {
    /// Nothing is known of the others.
    Shelf(ShelfError),
    Login(NoToken),
}

impl From<ShelfError> for Short {
    fn from(cause: ShelfError) -> Self {
        Short::Shelf(cause)
    }
}

impl From<NoToken> for Short {
    fn from(cause: NoToken) -> Self {
        Short::Login(cause)
    }
}

impl Renewal {
    pub fn new(parts: TokenParts) -> Self {
        let TokenParts { account, login, shelf, key, random, told } = parts;
        let seal = Seal { account, key, random: Arc::clone(&random) };
        Self { mirror: Mirror::default(), login, shelf, seal, random, told }
    }

    /// Which credentials the next login is made with.
    pub fn credentials(&self) -> u64 {
        self.login.credentials()
    }

    /// Comes by a token and notes how that ended.
    pub async fn renew(&self) -> Result<Token, NoToken> {
        let renewed = match self.shared().await {
            Ok(token) => Ok(token),
            Err(Short::Login(cause)) => Err(cause),
            Err(Short::Shelf(cause)) => {
                // A place that only saves logins must not stop payments: this process logs in for itself, one login at a
                // time, and so may each of the others.
                let account = &self.seal.account;
                warn!(%account, "logging in to `{account}` beside the other replicas: {cause}");
                self.log_in(self.mirror.own_version()).await.map(|(token, _)| token)
            }
        };
        if let Err(cause) = &renewed {
            self.mirror.failed(cause, Instant::now(), |pause| self.jittered(pause));
        }
        renewed
    }

    /// The token that all replicas use.
    async fn shared(&self) -> Result<Token, Short> {
        let give_up = Instant::now() + WAIT_MAX;
        let mut pause = LOOK_FIRST;
        loop {
            if let Some(token) = self.look().await? {
                return Ok(token);
            }
            // Where the answer to this is lost nobody knows that the turn is ours, and the others wait for its lease to end.
            if let Some(fence) = in_time(self.shelf.begin_login(LEASE)).await? {
                return self.in_turn(fence).await;
            }
            if Instant::now() >= give_up {
                return Err(Short::Login(NoToken(Cause("the login of another replica brought none in time".to_owned()))));
            }
            sleep(self.jittered(pause)).await;
            pause = (pause * 2).min(LOOK_RAREST);
        }
    }

    /// The token on the shelf, if it is one that we can open and that nobody here saw refused.
    async fn look(&self) -> Result<Option<Token>, ShelfError> {
        let (asked, credentials) = (Instant::now(), self.credentials());
        let found = in_time(self.shelf.get()).await?;
        if self.mirror.takes_nothing_from_before(found.as_ref().map(|found| found.version)) {
            // Other replicas log in once more for this. Whose credentials brought what lies there, nobody can tell.
            if let Some(Shelved { version, .. }) = found {
                self.discard(version).await;
            }
            return Ok(None);
        }
        let Some(Shelved { version, left, sealed }) = found else { return Ok(None) };
        let Some(text) = self.seal.open(&sealed) else { return Ok(None) };
        let token = Token { text, version: Version::Shared(version), is_ours: false };
        Ok(self.mirror.keep(&token, asked + left.min(FRESH_MAX), credentials).then_some(token))
    }

    /// What whoever has the turn does: looks once more, and logs in.
    async fn in_turn(&self, fence: Fence) -> Result<Token, Short> {
        // Whoever had the turn before may have laid one down since we looked. A shelf that is silent from here on stops
        // nobody: the turn is ours.
        if let Ok(Some(token)) = self.look().await {
            self.abandon(fence).await;
            return Ok(token);
        }
        match self.log_in(Version::Shared(fence)).await {
            Ok((token, until)) => Ok(self.share(fence, token, until).await),
            Err(cause) => {
                self.abandon(fence).await;
                Err(Short::Login(cause))
            }
        }
    }

    /// Logs in, and mirrors the token.
    async fn log_in(&self, version: Version) -> Result<(Token, Instant), NoToken> {
        let logged_in = self.log_in_once(version).await;
        (self.told)(logged_in.is_ok());
        logged_in
    }

    async fn log_in_once(&self, version: Version) -> Result<(Token, Instant), NoToken> {
        // Its life counts from here: later is when we heard of it.
        let (asked, credentials) = (Instant::now(), self.credentials());
        let answered = timeout(LOGIN_TIMEOUT, self.login.login(LOGIN_TIMEOUT)).await;
        let NewToken { token: text, expires_in } = answered
            .unwrap_or_else(|_| Err(NoToken(Cause(format!("the login gave no answer within {} ms", LOGIN_TIMEOUT.as_millis())))))?;
        match text.expose_secret().len() {
            0 => return Err(NoToken(Cause("the login gave an empty one".to_owned()))),
            bytes if bytes > TOKEN_BYTES_MAX => {
                return Err(NoToken(Cause(format!("the login gave one of {bytes} bytes, more than {TOKEN_BYTES_MAX}"))));
            }
            _ => {}
        }
        let token = Token { text, version, is_ours: true };
        let until = asked + fresh_for(expires_in);
        // Where the credentials were replaced meanwhile, it serves whoever waits for it and nobody after him.
        self.mirror.keep(&token, until, credentials);
        Ok((token, until))
    }

    /// Lays our token down for the others, and gives the turn back; the token to use.
    async fn share(&self, fence: Fence, token: Token, until: Instant) -> Token {
        let sealed = self.seal.seal(&token.text);
        for _ in 0..SAVES_MAX {
            let keep = until.saturating_duration_since(Instant::now());
            match in_time(self.shelf.finish_login(fence, sealed.clone(), keep)).await {
                Ok(true) => return token,
                // Our lease ended, so somebody else may have logged in after us. Where he has, the newer token is the one to use:
                // some providers take only their last.
                Ok(false) => return self.look().await.ok().flatten().unwrap_or(token),
                Err(cause) => debug!(account = %self.seal.account, "a token was not shared: {cause}"),
            }
        }
        token
    }

    async fn abandon(&self, fence: Fence) {
        if let Err(cause) = in_time(self.shelf.abandon_login(fence)).await {
            debug!(account = %self.seal.account, "the turn to log in was not given back, it ends by itself: {cause}");
        }
    }

    /// Takes a refused token out of use.
    pub async fn refused(&self, token: &Token) {
        self.mirror.refused(token);
        if let Version::Shared(version) = token.version {
            self.discard(version).await;
        }
    }

    async fn discard(&self, version: Fence) {
        if let Err(cause) = in_time(self.shelf.discard(version)).await {
            debug!(account = %self.seal.account, "a token was not discarded, the next login replaces it: {cause}");
        }
    }

    /// `span`, or up to half of it less, so that replicas don't move in step.
    fn jittered(&self, span: Duration) -> Duration {
        let permille = u32::try_from((self.random)() % 501).unwrap_or(0) + 500;
        span.saturating_mul(permille) / 1_000
    }
}

/// For how long a token is used that expires after `expires_in`.
pub(super) fn fresh_for(expires_in: Duration) -> Duration {
    let margin = (expires_in / MARGIN_PART).min(MARGIN_MAX);
    (expires_in - margin).clamp(FRESH_MIN, FRESH_MAX)
}

/// What the shelf answers, if it does so in time.
async fn in_time<T>(answer: impl Future<Output = Result<T, ShelfError>>) -> Result<T, ShelfError> {
    let silence = || ShelfError(Cause(format!("it is silent for {} ms", SHELF_TIMEOUT.as_millis())));
    timeout(SHELF_TIMEOUT, answer).await.unwrap_or_else(|_| Err(silence()))
}
