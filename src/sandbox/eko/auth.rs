//! Who calls: a key of his own, and a second one that is made anew for each moment. It binds the time alone, neither
//! path nor body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::answer::Refusal;
use crate::sandbox::clock::{SECOND_MS, system_ms};
use crate::sandbox::simulated::{Asked, Reply};
use crate::sandbox::switches::Switches;
use crate::sandbox::{EkoMerchant, Merchant, SandboxAccount};

pub fn authenticate<'a>(
    asked: &Asked,
    accounts: &'a [SandboxAccount],
    switches: &Switches,
    now_ms: i64,
) -> Result<&'a SandboxAccount, Reply> {
    find(asked, accounts, switches, now_ms).ok_or_else(|| Refusal::Gateway(403).into())
}

fn find<'a>(asked: &Asked, accounts: &'a [SandboxAccount], switches: &Switches, now_ms: i64) -> Option<&'a SandboxAccount> {
    let (developer_key, given) = (asked.header("developer_key")?, asked.header("secret-key")?);
    let timestamp = asked.header("secret-key-timestamp")?;
    let of_caller = |account: &&SandboxAccount| merchant(account).is_some_and(|merchant| merchant.developer_key == developer_key);
    let account = accounts.iter().find(of_caller)?;
    let expected = secret_key(&merchant(account)?.access_key, timestamp);
    let genuine = bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
    (genuine && is_fresh(timestamp, switches.eko.skew_s, now_ms)).then_some(account)
}

/// By the sandbox's clock or by the system's: a caller knows nothing of a clock that a test put forward.
fn is_fresh(timestamp: &str, skew_s: u32, now_ms: i64) -> bool {
    let is_decimal = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let Some(at_ms) = timestamp.parse::<i64>().ok().filter(|_| is_decimal) else {
        return false;
    };
    let skew_ms = i64::from(skew_s) * SECOND_MS;
    [now_ms, system_ms()].into_iter().any(|clock_ms| at_ms.abs_diff(clock_ms) <= skew_ms.unsigned_abs())
}

/// The HMAC's key is the base64 text of the access key, not its bytes.
fn secret_key(access_key: &SecretString, timestamp: &str) -> String {
    let encoded_key = STANDARD.encode(access_key.expose_secret());
    let mut mac = Hmac::<Sha256>::new_from_slice(encoded_key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn merchant(account: &SandboxAccount) -> Option<&EkoMerchant> {
    match &account.merchant {
        Merchant::Eko(merchant) => Some(merchant),
        Merchant::Razorpay(_) | Merchant::Enkash(_) | Merchant::Oqpay(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_moment_is_that_of_the_specification() {
        let check = |access_key: &str, timestamp: &str, expected: &str| {
            assert_eq!(secret_key(&access_key.into(), timestamp), expected);
        };
        check("11111111-2222-4333-8444-555555555555", "1767225600000", "+X055jGXBygW9eOpHGCyZQDD5t0hqZS7x8pazcEyn38=");
        check("d2fe1d99-6298-4af2-8cc5-d97dcf46df30", "1767225600000", "yx/y/tW0w54Bbx4aO7xVSCre8pvQTkdsbV4FIuwjzTQ=");
        // The pair that Eko prints in its own samples.
        check("f74c50a1-f705-4634-9cda-30a477df91b7", "1516705204593", "MC6dKW278tBef+AuqL/5rW2K3WgOegF0ZHLW/FriZQw=");
    }

    #[test]
    fn a_moment_is_decimal_and_near_one_of_the_two_clocks() {
        let check = |timestamp: String, now_ms: i64, expected: bool| assert_eq!(is_fresh(&timestamp, 300, now_ms), expected, "{timestamp}");
        let (system, ahead) = (system_ms(), system_ms() + 1_000_000_000);
        check(system.to_string(), ahead, true);
        check(ahead.to_string(), ahead, true);
        check((ahead - 300_000).to_string(), ahead, true);
        check((ahead - 300_001).to_string(), ahead, false);
        check((ahead + 300_001).to_string(), ahead, false);
        check((system / 1_000).to_string(), ahead, false);
        check(format!("+{ahead}"), ahead, false);
        check(String::new(), ahead, false);
    }
}
