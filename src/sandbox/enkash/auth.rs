//! Who calls: the key pair gets a token, and the token with the access key gets everything else under `/api`. What lies
//! under `/pay` is for whoever knows an id.

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::Operation;
use super::desk::{Books, Desk, milliseconds};
use super::failure::Failure;
use super::print::to_json;
use super::switches::EnkashSwitches;
use crate::sandbox::simulated::{Asked, Reply};
use crate::sandbox::state::State;
use crate::sandbox::{EnkashMerchant, Merchant, SandboxAccount};

/// Tokens of one account that are remembered; the oldest go first.
const TOKENS_MAX: usize = 1_000;
/// The `resultCode` for a wrong pair of keys: the real one is not known.
const WRONG_KEYS: i64 = 401;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    text: String,
    given_ms: i64,
    expires_ms: i64,
}

impl Token {
    fn is_valid(&self, switches: &EnkashSwitches, now_ms: i64) -> bool {
        now_ms < self.expires_ms && self.given_ms >= switches.tokens_valid_from
    }
}

/// The answer of the token endpoint, which has no envelope.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenView<'a> {
    token: &'a str,
    expiry: i64,
    result_code: i64,
    result_message: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    access_key: String,
    secret_key: String,
}

/// Whose request it is, or what a stranger is answered.
pub fn authenticate<'a>(asked: &Asked, accounts: &'a [SandboxAccount], state: &State, now_ms: i64) -> Result<&'a SandboxAccount, Reply> {
    let switches = &state.switches.enkash;
    let operation = Operation::of(&asked.method, &asked.path).ok_or_else(|| Failure::NotServed.reply(switches))?;
    let ours: Vec<_> = accounts.iter().filter_map(|account| Some((account, merchant(account)?))).collect();
    let whose = |knows: &dyn Fn(&Books) -> bool| {
        let found = ours.iter().find(|(account, _)| state.enkash.get(&account.name).is_some_and(knows));
        found.map(|(account, _)| *account).ok_or_else(|| Failure::other("No such id.").reply(switches))
    };
    match &operation {
        Operation::TokenCreate => with_keys(&asked.body, &ours).ok_or_else(refusal),
        Operation::OrderQr(id) | Operation::OrderIntent(id) | Operation::UpiStatus(id) => {
            whose(&|books| books.orders.get(id).is_some() || books.transactions.get(id).is_some())
        }
        _ => with_token(asked, &ours, state, now_ms).map_err(|failure| failure.reply(switches)),
    }
}

fn with_keys<'a>(body: &[u8], ours: &[(&'a SandboxAccount, &EnkashMerchant)]) -> Option<&'a SandboxAccount> {
    let Keys { access_key, secret_key } = serde_json::from_slice(body).ok()?;
    let (account, merchant) = ours.iter().find(|(_, merchant)| merchant.access_key == access_key)?;
    let expected = merchant.secret_key.expose_secret().as_bytes();
    bool::from(expected.ct_eq(secret_key.as_bytes())).then_some(*account)
}

fn refusal() -> Reply {
    let view = TokenView { token: "", expiry: 0, result_code: WRONG_KEYS, result_message: "Access key or secret key is invalid." };
    Reply::of(200, to_json(&view))
}

fn with_token<'a>(
    asked: &Asked,
    ours: &[(&'a SandboxAccount, &EnkashMerchant)],
    state: &State,
    now_ms: i64,
) -> Result<&'a SandboxAccount, Failure> {
    let switches = &state.switches.enkash;
    let sent = asked.header("authorization").ok_or(Failure::InvalidToken)?;
    let text = match sent.strip_prefix("Bearer ") {
        Some(_) if switches.bearer_refused => return Err(Failure::InvalidToken),
        Some(text) => text,
        None => sent,
    };
    let gave = |account: &SandboxAccount| {
        let mut tokens = state.enkash.get(&account.name).into_iter().flat_map(|books| &books.tokens);
        tokens.any(|token| token.text == text && token.is_valid(switches, now_ms))
    };
    let (account, merchant) = ours.iter().find(|(account, _)| gave(account)).ok_or(Failure::InvalidToken)?;
    match asked.header("merchantaccesskey") {
        Some(key) if key == merchant.access_key => Ok(account),
        _ => Err(Failure::WrongMerchantKey),
    }
}

fn merchant(account: &SandboxAccount) -> Option<&EnkashMerchant> {
    match &account.merchant {
        Merchant::Enkash(merchant) => Some(merchant),
        Merchant::Razorpay(_) | Merchant::Oqpay(_) | Merchant::Eko(_) => None,
    }
}

impl Desk<'_> {
    /// A token for the merchant, whose keys were checked. The ones before it stay valid.
    pub fn create_token(&mut self) -> String {
        let lifetime_ms = milliseconds(self.our_switches().token_lifetime_s);
        let expires_ms = self.now_ms.saturating_add(lifetime_ms);
        let token = Token { text: format!("tkn-{}", self.dice.letters(32)), given_ms: self.now_ms, expires_ms };
        let expiry = if self.our_switches().token_expiry_is_duration { lifetime_ms } else { expires_ms };
        let result_code = self.our_switches().token_result_code;
        let answer = to_json(&TokenView { token: &token.text, expiry, result_code, result_message: "Token generated successfully." });
        let now_ms = self.now_ms;
        let tokens = &mut self.books.tokens;
        tokens.retain(|token| token.expires_ms > now_ms);
        if tokens.len() >= TOKENS_MAX {
            tokens.remove(0);
        }
        tokens.push(token);
        answer
    }
}
