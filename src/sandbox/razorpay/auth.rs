//! Who calls: Basic with the account's key, and the scheme spelled exactly so. Other spellings fail
//! at the real service, so being lenient here would hide a client's fault.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::error::ApiError;
use crate::sandbox::state::State;
use crate::sandbox::{Merchant, RazorpayMerchant, SandboxAccount};

pub fn authenticate<'a>(headers: &HeaderMap, accounts: &'a [SandboxAccount], state: &State) -> Result<&'a SandboxAccount, ApiError> {
    let switches = &state.switches;
    let refused = |description| {
        let status = if switches.auth_status_400 { 400 } else { 401 };
        match switches.auth_old_style {
            true => ApiError::old_style(status, description),
            false => ApiError::not_applicable(status, description),
        }
    };
    let (key_id, key_secret) = credentials(headers).ok_or_else(|| refused("Authentication failed"))?;
    let found = accounts.iter().find_map(|account| Some((account, merchant(account).filter(|merchant| merchant.key_id == key_id)?)));
    let (account, merchant) = found.ok_or_else(|| refused("The api key provided is invalid"))?;
    let given = state.razorpay_secrets.get(&account.name);
    let valid = given.map_or(std::slice::from_ref(&merchant.key_secret), |given| &given.key_secrets);
    match valid.iter().any(|valid| bool::from(valid.expose_secret().as_bytes().ct_eq(key_secret.as_bytes()))) {
        true => Ok(account),
        false => Err(refused("The api secret provided is invalid")),
    }
}

fn merchant(account: &SandboxAccount) -> Option<&RazorpayMerchant> {
    match &account.merchant {
        Merchant::Razorpay(merchant) => Some(merchant),
        Merchant::Enkash(_) | Merchant::Oqpay(_) | Merchant::Eko(_) => None,
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (key_id, key_secret) = decoded.split_once(':')?;
    Some((key_id.to_owned(), key_secret.to_owned()))
}
