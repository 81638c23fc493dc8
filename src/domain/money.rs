//! Money in paise.
use serde::{Deserialize, Serialize};
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money {
    paise: i64,
}
impl Money {
    pub const ZERO: Money = Money { paise: 0 };
    pub const fn from_paise(paise: i64) -> Self {
        Self { paise }
    }
    pub const fn paise(self) -> i64 {
        self.paise
    }
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.paise.checked_add(other.paise).map(Self::from_paise)
    }
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.paise.checked_sub(other.paise).map(Self::from_paise)
    }
}
