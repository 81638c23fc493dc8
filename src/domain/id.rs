//! Identifiers: a prefix that names the kind, then a ULID whose first ten random bits are the partition.
//! Ordered by time within a partition, so an id alone says where its record lies and how old it is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use ulid::{ULID_LEN, Ulid};

/// The most partitions an id can carry (ten bits).
pub const PARTITIONS_MAX: u16 = 1024;
/// Bits of a ULID's random part below the ten that hold the partition.
const RANDOM_BITS: u32 = 70;

/// A share of the accounts. All that one commit touches lies in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u16);

impl Partition {
    /// The partition of `account` in a store that was created with `partitions` of them.
    pub fn of_account(account: &str, partitions: u16) -> Self {
        let digest = Sha256::digest(account.as_bytes());
        let number = u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 digest has 32 bytes"));
        let index = number % u64::from(partitions.max(1));
        Self(u16::try_from(index).expect("a remainder of a u16 fits a u16"))
    }
}

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    Qr,
    Payment,
    Refund,
    Mandate,
    Debit,
    Settlement,
    SettlementEntry,
    SettlementBreak,
    /// How far the fetching of an account's settlements is.
    SettlementSync,
    Event,
    /// A callback that was kept because it could not be applied.
    Quarantined,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Qr,
        Kind::Payment,
        Kind::Refund,
        Kind::Mandate,
        Kind::Debit,
        Kind::Settlement,
        Kind::SettlementEntry,
        Kind::SettlementBreak,
        Kind::SettlementSync,
        Kind::Event,
        Kind::Quarantined,
    ];

    /// The letters before the underscore.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::Qr => "qr",
            Kind::Payment => "pay",
            Kind::Refund => "rfnd",
            Kind::Mandate => "mndt",
            Kind::Debit => "dbt",
            Kind::Settlement => "setl",
            Kind::SettlementEntry => "sent",
            Kind::SettlementBreak => "sbrk",
            Kind::SettlementSync => "ssyn",
            Kind::Event => "evt",
            Kind::Quarantined => "quar",
        }
    }
}

/// An identifier such as `qr_01JD2M4V9T3K8W6X5Y7Z0A1B2C`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    text: Arc<str>,
    kind: Kind,
    partition: Partition,
}

/// Why a text is not an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("is not an id of this service (expected, for example, qr_ and 26 letters and digits)")]
pub struct NotAnId;

impl Id {
    /// Makes an id for something of `kind` in `partition`, made at `unix_ms`; `random` gives its other bits.
    pub fn new(kind: Kind, partition: Partition, unix_ms: u64, random: u128) -> Self {
        debug_assert!(partition.0 < PARTITIONS_MAX);
        let low = random & ((1 << RANDOM_BITS) - 1);
        let ulid = Ulid::from_parts(unix_ms, (u128::from(partition.0) << RANDOM_BITS) | low);
        Self { text: format!("{}_{ulid}", kind.prefix()).into(), kind, partition }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn partition(&self) -> Partition {
        self.partition
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads an id of one `kind`.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, NotAnId> {
        let id: Self = text.parse()?;
        if id.kind == kind { Ok(id) } else { Err(NotAnId) }
    }
}

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (prefix, rest) = text.split_once('_').ok_or(NotAnId)?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.prefix() == prefix).ok_or(NotAnId)?;
        let ulid = Ulid::from_string(rest).map_err(|_| NotAnId)?;
        // One spelling only: an id is compared as text elsewhere.
        if ulid.array_to_str(&mut [0; ULID_LEN]) != rest {
            return Err(NotAnId);
        }
        let partition = u16::try_from(ulid.random() >> RANDOM_BITS).map_err(|_| NotAnId)?;
        Ok(Self { text: text.into(), kind, partition: Partition(partition) })
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::text::parsed(deserializer)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_kind_and_partition_through_text() {
        for kind in Kind::ALL {
            for partition in [0, 7, 1023] {
                let id = Id::new(kind, Partition(partition), 1_767_240_000_000, u128::MAX);
                let again: Id = id.as_str().parse().unwrap();
                assert_eq!((again.kind(), again.partition().0), (kind, partition));
                assert_eq!(again, id);
            }
        }
    }

    #[test]
    fn ids_of_one_partition_sort_by_time() {
        let early = Id::new(Kind::Qr, Partition(3), 1_000, u128::MAX);
        let late = Id::new(Kind::Qr, Partition(3), 1_001, 0);
        assert!(early < late);
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in ["", "qr_", "qr", "qr_1", "nope_01JD2M4V9T3K8W6X5Y7Z0A1B2C", "qr_01jd2m4v9t3k8w6x5y7z0a1b2c"] {
            assert_eq!(text.parse::<Id>(), Err(NotAnId), "{text}");
        }
        let payment = Id::new(Kind::Payment, Partition(0), 1, 1);
        assert_eq!(Id::parse(Kind::Qr, payment.as_str()), Err(NotAnId));
    }

    #[test]
    fn accounts_spread_over_the_partitions_and_stay_where_they_are() {
        let of = |name: &str| Partition::of_account(name, 16).0;
        assert_eq!(of("shop"), of("shop"));
        let used: std::collections::BTreeSet<u16> = (0..200).map(|n| of(&format!("account-{n}"))).collect();
        assert_eq!(used.len(), 16);
    }
}
