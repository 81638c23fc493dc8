//! What authenticates a call: a signature over the time alone, made anew for each call (section 2.2 of the facts, from E4, E5
//! and E8). Neither the path nor the body is signed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The `secret-key` that goes with `timestamp`, milliseconds since 1970 as decimal text.
pub fn secret_key(access_key: &SecretString, timestamp: &str) -> String {
    // The key is the base64 text itself, not what it stands for.
    let encoded_key = STANDARD.encode(access_key.expose_secret());
    let mut mac = Hmac::<Sha256>::new_from_slice(encoded_key.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(timestamp.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE_UP_KEY: &str = "11111111-2222-4333-8444-555555555555";

    fn check(access_key: &str, timestamp: &str, expected: &str) {
        assert_eq!(secret_key(&access_key.into(), timestamp), expected);
    }

    #[test]
    fn the_documented_vectors_come_out() {
        check(MADE_UP_KEY, "1767225600000", "+X055jGXBygW9eOpHGCyZQDD5t0hqZS7x8pazcEyn38=");
        check("d2fe1d99-6298-4af2-8cc5-d97dcf46df30", "1767225600000", "yx/y/tW0w54Bbx4aO7xVSCre8pvQTkdsbV4FIuwjzTQ=");
        // The pair that the vendor prints in its own samples.
        check("f74c50a1-f705-4634-9cda-30a477df91b7", "1516705204593", "MC6dKW278tBef+AuqL/5rW2K3WgOegF0ZHLW/FriZQw=");
    }

    #[test]
    fn the_well_known_mistakes_are_not_made() {
        let signed = secret_key(&MADE_UP_KEY.into(), "1767225600000");
        let with_the_raw_key = "+zl4aAnw746ENL9ITXrbXW0WLyTGlrNFrmbOZLJ6vzw=";
        let with_key_and_message_swapped = "7M5pkAF8cBVNt2oUyJ4WjQdkoEBFyIRb4TxdB6QWhFc=";
        assert_ne!(signed, with_the_raw_key);
        assert_ne!(signed, with_key_and_message_swapped);
        // Base64 of the hex digest would be twice as long.
        assert!(!signed.starts_with("Zjk3ZDM5ZTYz") && signed.len() == 44);
    }
}
