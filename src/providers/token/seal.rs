//! Sealing: what a token becomes before it leaves the process. With a key it is AES-256-GCM with the account's name bound
//! in, so that a token can neither be read nor be put in another account's place. A text that doesn't open is no token, and
//! costs one login: after a change of the key there is nothing to migrate.

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

use crate::domain::account::AccountName;
use crate::providers::signature::decode_hex;

/// The first byte says how the rest is to be read. Another form gets another number.
const PLAIN: u8 = 0;
const SEALED: u8 = 1;
/// The size that GCM is made for. A random one is safe for four thousand million tokens under one key.
const NONCE_BYTES: usize = 12;

/// Random bits: each call others.
pub type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// The key that tokens are sealed with.
#[derive(Clone)]
pub struct SealKey {
    cipher: Box<Aes256Gcm>,
}

/// Why a text is no key. It says nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key for access tokens must be 32 bytes, as 64 hex digits or as base64 (44 characters), such as `openssl rand -hex 32` makes")]
pub struct NotASealKey;

impl SealKey {
    /// Reads a key from hex or base64. A file's last line break is no part of it.
    pub fn read(text: &SecretString) -> Result<Self, NotASealKey> {
        let text = text.expose_secret().trim();
        let bytes = decode_hex(text).or_else(|| STANDARD.decode(text).ok()?.try_into().ok()).ok_or(NotASealKey)?;
        Ok(Self { cipher: Box::new(Aes256Gcm::new(&bytes.into())) })
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey([REDACTED])")
    }
}

/// How one account's tokens are sealed.
pub(super) struct Seal {
    pub account: AccountName,
    /// `None`: they are kept as they are.
    pub key: Option<SealKey>,
    pub random: Random,
}

impl Seal {
    pub fn seal(&self, token: &SecretString) -> Bytes {
        let token = token.expose_secret().as_bytes();
        let Some(SealKey { cipher }) = &self.key else {
            return [&[PLAIN], token].concat().into();
        };
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&(self.random)().to_be_bytes()[..NONCE_BYTES]);
        let payload = Payload { msg: token, aad: self.bound() };
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).expect("GCM takes sixty gigabytes, and a token has a limit");
        [&[SEALED], &nonce[..], &sealed].concat().into()
    }

    /// The token in `sealed`; `None` where this key, or the lack of one, doesn't open it.
    pub fn open(&self, sealed: &[u8]) -> Option<SecretString> {
        let (form, rest) = sealed.split_first()?;
        let token = match (*form, &self.key) {
            (PLAIN, None) => rest.to_vec(),
            (SEALED, Some(SealKey { cipher })) => {
                let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
                cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: self.bound() }).ok()?
            }
            _ => return None,
        };
        String::from_utf8(token).ok().filter(|token| !token.is_empty()).map(SecretString::from)
    }

    /// What is sealed in without being kept: it must be the same when it is opened.
    fn bound(&self) -> &[u8] {
        self.account.as_str().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const TOKEN: &str = "tkn-7f2c";

    fn seal(account: &str, key: Option<&str>) -> Seal {
        let drawn = AtomicU64::new(1);
        Seal {
            account: account.parse().expect("a plain name"),
            key: key.map(|key| SealKey::read(&key.into()).expect("a good key")),
            random: Arc::new(move || u128::from(drawn.fetch_add(1, Ordering::SeqCst)) << 96),
        }
    }

    fn opened(seal: &Seal, sealed: &[u8]) -> Option<String> {
        seal.open(sealed).map(|token| token.expose_secret().to_owned())
    }

    #[test]
    fn what_was_sealed_opens_again_and_only_so() {
        let shop = seal("shop", Some(HEX));
        let sealed = shop.seal(&TOKEN.into());
        assert_eq!(opened(&shop, &sealed).as_deref(), Some(TOKEN));
        assert_eq!(opened(&seal("shop", Some(BASE64)), &sealed).as_deref(), Some(TOKEN), "the same key, written otherwise");

        assert_eq!(opened(&seal("shop", Some(OTHER)), &sealed), None, "another key");
        assert_eq!(opened(&seal("kiosk", Some(HEX)), &sealed), None, "another account");
        assert_eq!(opened(&seal("shop", None), &sealed), None, "no key");
    }

    #[test]
    fn a_plain_token_is_none_where_a_key_is_configured() {
        let plain = seal("shop", None);
        let kept = plain.seal(&TOKEN.into());
        assert_eq!(opened(&plain, &kept).as_deref(), Some(TOKEN));
        assert_eq!(opened(&seal("shop", Some(HEX)), &kept), None);
    }

    #[test]
    fn what_was_tampered_with_or_cut_off_is_no_token() {
        let shop = seal("shop", Some(HEX));
        let sealed = shop.seal(&TOKEN.into());
        for at in 0..sealed.len() {
            let mut tampered = sealed.to_vec();
            tampered[at] ^= 1;
            assert_eq!(opened(&shop, &tampered), None, "byte {at}");
            assert_eq!(opened(&shop, &sealed[..at]), None, "its first {at} bytes");
        }
        for kept in [&b""[..], b"\x00", b"\x00\xff", b"\x02tkn"] {
            assert_eq!(opened(&seal("shop", None), kept), None, "{kept:?}");
        }
    }

    #[test]
    fn no_two_seals_are_alike_and_none_shows_the_token() {
        let shop = seal("shop", Some(HEX));
        let (one, other) = (shop.seal(&TOKEN.into()), shop.seal(&TOKEN.into()));
        assert_ne!(one, other);
        assert!(!one.windows(TOKEN.len()).any(|bytes| bytes == TOKEN.as_bytes()));
    }

    #[test]
    fn a_key_is_32_bytes_and_its_error_shows_nothing_of_it() {
        let check = |text: &str| SealKey::read(&text.into()).map(|key| format!("{key:?}"));
        for text in [HEX, BASE64, &HEX.to_uppercase(), &format!("{HEX}\n"), &format!(" {BASE64}\n")] {
            assert_eq!(check(text).as_deref(), Ok("SealKey([REDACTED])"));
        }
        for text in ["", "secret", &HEX[2..], &format!("{HEX}00"), &BASE64[4..], "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8!"] {
            let refused = check(text).expect_err(text).to_string();
            assert!(refused.contains("64 hex digits"), "{refused}");
            assert!(text.is_empty() || !refused.contains(text), "{refused}");
        }
    }
}
