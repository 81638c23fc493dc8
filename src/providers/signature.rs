//! `Verified`: a callback's body whose origin was checked. Only this module makes one, so a reader that takes it
//! can't be handed a forgery.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::BadSignature;
use crate::domain::fact::Evidence;

/// A callback's body that its provider certainly sent, or that the configuration says to take for it.
#[derive(Clone)]
pub struct Verified {
    body: Bytes,
    evidence: Evidence,
}

impl Verified {
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What proves it.
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// A callback that was verified by `evidence` when it came and has lain in quarantine since. Only the quarantine may
    /// say so.
    pub fn kept_since_verified(body: Bytes, evidence: Evidence) -> Self {
        Self { body, evidence }
    }
}

/// Takes a callback for the provider's own where the configuration says that its secret URL and the address that it comes
/// from are enough. `is_allowed`: whether the account's list has the address.
pub fn url_secret(is_allowed: bool, body: Bytes) -> Result<Verified, BadSignature> {
    if is_allowed { Ok(Verified { body, evidence: Evidence::UrlSecret }) } else { Err(BadSignature) }
}

/// Checks a hex HMAC-SHA256 over the raw body against each of `secrets` (current and previous), in constant time. An empty one
/// proves nothing: anybody can sign with it.
pub fn hmac_sha256_hex(secrets: &[SecretString], signature: &str, body: Bytes) -> Result<Verified, BadSignature> {
    let claimed = decode_hex(signature.trim()).ok_or(BadSignature)?;
    let matches = secrets.iter().filter(|secret| !secret.expose_secret().is_empty()).any(|secret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of every length");
        mac.update(&body);
        mac.verify_slice(&claimed).is_ok()
    });
    if matches { Ok(Verified { body, evidence: Evidence::Signature }) } else { Err(BadSignature) }
}

/// The 32 bytes behind 64 hex digits.
pub(super) fn decode_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"entity":"event","u":"https:\/\/a.in"}"#;
    // From providers' documentation of the rule: key `whsec_example_1`, the body above.
    const SIGNATURE: &str = "35d58aee1051a104fb3ec3bcbc5b7a4fee8cb5e0cce8a0c5b0fe253b18d93661";

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| SecretString::from(*text)).collect()
    }

    #[test]
    fn the_published_vector_verifies_with_the_current_and_with_the_previous_secret() {
        for keys in [&["whsec_example_1"][..], &["newer", "whsec_example_1"][..]] {
            assert!(hmac_sha256_hex(&secrets(keys), SIGNATURE, Bytes::from_static(BODY)).is_ok());
        }
    }

    #[test]
    fn another_secret_body_or_signature_does_not() {
        let good = secrets(&["whsec_example_1"]);
        assert!(hmac_sha256_hex(&secrets(&["other"]), SIGNATURE, Bytes::from_static(BODY)).is_err());
        assert!(hmac_sha256_hex(&good, SIGNATURE, Bytes::from_static(b"{}")).is_err());
        for signature in ["", "zz", &SIGNATURE[..62], &SIGNATURE.replace('3', "é")] {
            assert!(hmac_sha256_hex(&good, signature, Bytes::from_static(BODY)).is_err(), "{signature}");
        }
        assert!(hmac_sha256_hex(&[], SIGNATURE, Bytes::from_static(BODY)).is_err());
    }
}
