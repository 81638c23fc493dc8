//! The login: keys in, an access token out.

use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::{Keys, NowMs, wire};
use crate::held::Held;
use crate::providers::Cause;
use crate::providers::http::{Call, HttpClient, NoAnswer, Party, Url};
use crate::providers::reading::read;
use crate::providers::token::{Login, NewToken, NoToken};

/// An `expiry` below this is no moment of our days but a duration, in ms [enkash 3.1, inferred].
const MOMENT_MIN_MS: i64 = 100_000_000_000;
/// The longest life of a token that is believed: whatever a server's clock says, it is renewed within this.
const LIFE_MAX: Duration = Duration::from_hours(24);
/// The life of a token that says nothing of it: how long they live is not published.
const LIFE_UNTOLD: Duration = Duration::from_mins(5);

pub(super) struct EnkashLogin {
    pub http: HttpClient,
    pub party: Party,
    /// `None`: what is configured is no URL.
    pub url: Option<Url>,
    /// Looked at anew with each login.
    pub keys: Held<Keys>,
    /// Milliseconds since 1970.
    pub now_ms: NowMs,
}

#[async_trait]
impl Login for EnkashLogin {
    async fn login(&self, timeout: Duration) -> Result<NewToken, NoToken> {
        let call = self.call(timeout).map_err(without_token)?;
        let answer = self.http.send(&self.party, call).await.map_err(without_token)?;
        if !answer.status.is_success() {
            return Err(no_token(format!("the login was answered {}", answer.status.as_u16())));
        }
        let wire::Token { token, expiry } = read("token", &answer.body).map_err(|error| no_token(error.0))?;
        match token {
            Some(token) => Ok(NewToken {
                token: SecretString::from(token),
                expires_in: life(expiry, i64::try_from((self.now_ms)()).unwrap_or(i64::MAX)),
            }),
            None => Err(no_token("the login brought no token: the keys may be wrong".to_owned())),
        }
    }

    fn credentials(&self) -> u64 {
        self.keys.version()
    }
}

impl EnkashLogin {
    fn call(&self, timeout: Duration) -> Result<Call, NoAnswer> {
        let not_sent = |text: &str| NoAnswer::NotSent(Cause(text.to_owned()));
        let url = self.url.clone().ok_or_else(|| not_sent("the configured base_url is no URL"))?;
        let keys = self.keys.get();
        let secret_key = keys.secret_keys.first().ok_or_else(|| not_sent("no secret key is configured"))?;
        let api_key = keys.api_key.as_ref().map_or(keys.access_key.as_str(), |key| key.expose_secret());
        let mut api_key = HeaderValue::try_from(api_key).map_err(|_| not_sent("the API key has characters that no header can have"))?;
        api_key.set_sensitive(true);
        let headers = HeaderMap::from_iter([(HeaderName::from_static("api-key"), api_key)]);
        let login = wire::Login { access_key: &keys.access_key, secret_key: secret_key.expose_secret() };
        Call::post("Login", url, headers, timeout).json(&login)
    }
}

/// For how long a token is taken: `expiry` is a moment in epoch ms by the sample; one that lies in the past or is far too
/// small may be a duration.
fn life(expiry: Option<i64>, now_ms: i64) -> Duration {
    let ms = match expiry {
        Some(expiry) if expiry >= MOMENT_MIN_MS && expiry > now_ms => expiry - now_ms,
        Some(expiry @ 1..MOMENT_MIN_MS) => expiry,
        Some(_) | None => return LIFE_UNTOLD,
    };
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(LIFE_MAX)
}

fn without_token(error: NoAnswer) -> NoToken {
    match error {
        NoAnswer::NotSent(cause) | NoAnswer::Lost(cause) => NoToken(cause),
    }
}

fn no_token(text: String) -> NoToken {
    NoToken(Cause(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_token_is_read_field_by_field() {
        let document = include_bytes!("../../../tests/golden/enkash/token.json");
        let wire::Token { token, expiry } = read("token", document).expect("it is readable");
        assert_eq!((token.as_deref(), expiry), (Some("tkn-7f2c"), Some(1_767_225_599_000)));
    }

    #[test]
    fn an_expiry_is_a_moment_or_a_duration() {
        let now_ms = 1_767_225_599_000;
        let check = |expiry: Option<i64>, seconds: u64| assert_eq!(life(expiry, now_ms), Duration::from_secs(seconds), "{expiry:?}");
        check(Some(now_ms + 1_800_000), 1_800);
        check(Some(1_800_000), 1_800);
        // The documented sample, long past: nothing is known then.
        check(Some(1_672_531_199_000), 300);
        check(Some(now_ms), 300);
        check(Some(0), 300);
        check(Some(-5), 300);
        check(None, 300);
        check(Some(i64::MAX), 24 * 3_600);
    }
}
