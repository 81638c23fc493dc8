//! A caller: who may call, named in the configuration; what callers may be permitted; and the keys that they show.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The most characters of a caller's name.
const NAME_MAX: usize = 40;

/// The name of a caller in the configuration: a lower-case letter, then letters, digits and dashes. Idempotency keys belong to
/// it, whatever credential was shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallerName(Box<str>);

/// Why a text names no caller.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a caller's name is a lower-case letter, then up to 39 lower-case letters, digits and dashes")]
pub struct NotACallerName;

impl CallerName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallerName {
    type Err = NotACallerName;

    fn from_str(text: &str) -> Result<Self, NotACallerName> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        let goes_on_well = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if starts_well && goes_on_well && text.len() <= NAME_MAX { Ok(Self(text.into())) } else { Err(NotACallerName) }
    }
}

impl TryFrom<String> for CallerName {
    type Error = NotACallerName;
    fn try_from(text: String) -> Result<Self, NotACallerName> {
        text.parse()
    }
}

impl From<CallerName> for String {
    fn from(name: CallerName) -> String {
        name.0.into()
    }
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a caller may do. None implies another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Permission {
    /// Read the quarantine and what is in doubt, and replay what is kept.
    Admin,
    DebitRead,
    DebitWrite,
    /// Decide what is in doubt, and read what is.
    DoubtResolve,
    EventsRead,
    MandateRead,
    MandateWrite,
    PaymentRead,
    /// See VPAs, phone numbers and e-mail addresses unmasked.
    PiiRead,
    QrRead,
    QrWrite,
    RefundRead,
    RefundWrite,
    SettlementRead,
}

impl Permission {
    /// In alphabetical order of their names.
    pub const ALL: [Self; 14] = [
        Self::Admin,
        Self::DebitRead,
        Self::DebitWrite,
        Self::DoubtResolve,
        Self::EventsRead,
        Self::MandateRead,
        Self::MandateWrite,
        Self::PaymentRead,
        Self::PiiRead,
        Self::QrRead,
        Self::QrWrite,
        Self::RefundRead,
        Self::RefundWrite,
        Self::SettlementRead,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::DebitRead => "debit:read",
            Self::DebitWrite => "debit:write",
            Self::DoubtResolve => "doubt:resolve",
            Self::EventsRead => "events:read",
            Self::MandateRead => "mandate:read",
            Self::MandateWrite => "mandate:write",
            Self::PaymentRead => "payment:read",
            Self::PiiRead => "pii:read",
            Self::QrRead => "qr:read",
            Self::QrWrite => "qr:write",
            Self::RefundRead => "refund:read",
            Self::RefundWrite => "refund:write",
            Self::SettlementRead => "settlement:read",
        }
    }
}

/// Why a text is no permission.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no such permission")]
pub struct NotAPermission;

impl FromStr for Permission {
    type Err = NotAPermission;

    fn from_str(text: &str) -> Result<Self, NotAPermission> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text).ok_or(NotAPermission)
    }
}

impl TryFrom<String> for Permission {
    type Error = NotAPermission;
    fn try_from(text: String) -> Result<Self, NotAPermission> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> String {
        permission.as_str().to_owned()
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What every key begins with, so that a scanner for leaked secrets knows one.
pub const API_KEY_PREFIX: &str = "upk_";

/// A new API key of 256 random bits.
pub fn api_key(random: [u8; 32]) -> String {
    format!("{API_KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

const HASH_PREFIX: &str = "sha256:";

/// The SHA-256 of an API key. A key has 256 random bits, so that a slow hash would add nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiKeyHash([u8; 32]);

/// Why a text is no hash of a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the hash of an API key is `sha256:` and 64 hexadecimal digits, as `upistream caller new` prints it")]
pub struct NotAnApiKeyHash;

impl ApiKeyHash {
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Whether both are the same, in a time that tells nothing.
    pub fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl FromStr for ApiKeyHash {
    type Err = NotAnApiKeyHash;

    fn from_str(text: &str) -> Result<Self, NotAnApiKeyHash> {
        let digits = text.strip_prefix(HASH_PREFIX).ok_or(NotAnApiKeyHash)?;
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(NotAnApiKeyHash);
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).map_err(|_| NotAnApiKeyHash)?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ApiKeyHash {
    type Error = NotAnApiKeyHash;
    fn try_from(text: String) -> Result<Self, NotAnApiKeyHash> {
        text.parse()
    }
}

impl From<ApiKeyHash> for String {
    fn from(hash: ApiKeyHash) -> String {
        hash.to_string()
    }
}

impl fmt::Display for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Enough to tell two apart.
impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH_PREFIX}{:02x}{:02x}…", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_read_as_they_are_written_and_stand_in_order() {
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(permission));
        }
        assert!(Permission::ALL.is_sorted_by_key(|permission| permission.as_str()));
        for text in ["", "qr", "qr:", "QR:READ", "*", "qr:read "] {
            assert_eq!(text.parse::<Permission>(), Err(NotAPermission), "{text}");
        }
    }

    #[test]
    fn a_key_is_known_by_its_hash_alone() {
        let (one, other) = (api_key([7; 32]), api_key([8; 32]));
        assert_eq!(one.len(), API_KEY_PREFIX.len() + 43);
        let hash = ApiKeyHash::of(&one);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!(bool::from(hash.matches(&ApiKeyHash::of(&one))) && !bool::from(hash.matches(&ApiKeyHash::of(&other))));
        assert!(!format!("{hash:?}").contains(&hash.to_string()));
        // As another tool computes it: printf %s abc | sha256sum
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(ApiKeyHash::of("abc").to_string(), abc);
        for text in ["", "sha256:", &abc[7..], &abc.to_uppercase(), &format!("{abc}0"), &abc.replace("ba78", "zz78")] {
            assert_eq!(text.parse::<ApiKeyHash>(), Err(NotAnApiKeyHash), "{text}");
        }
    }

    #[test]
    fn names_of_callers() {
        for name in ["orders", "a", "billing-2", &"a".repeat(40)] {
            assert!(name.parse::<CallerName>().is_ok(), "{name}");
        }
        for name in ["", "Orders", "2nd", "-a", "a_b", "a.b", &"a".repeat(41)] {
            assert_eq!(name.parse::<CallerName>(), Err(NotACallerName), "{name}");
        }
    }
}
