//! Identifiers and shuffling. The same seed gives the same identifiers, and the position in the
//! sequence is part of the stored state, so a restart doesn't hand out an identifier twice.

use serde::{Deserialize, Serialize};

use super::clock::in_ist;

const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// How many RRNs fit under one date: eight free digits.
const RRNS_A_DAY: u64 = 100_000_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Dice {
    state: u64,
    rrns: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { state: seed, rrns: seed % RRNS_A_DAY }
    }

    /// SplitMix64: small, and its whole state is one number that can be stored.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, or 0 where `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or(0)
    }

    pub fn letters(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(ALPHANUMERIC[self.below(62) as usize])).collect()
    }

    pub fn hex(&mut self) -> String {
        format!("{:016X}{:016X}", self.next(), self.next())
    }

    /// Up to eight digits that come again after 10^8 others, because 61,803,399 has no factor in common with that; their
    /// last seven come again after 10^7.
    pub fn serial(&mut self) -> u64 {
        self.rrns = (self.rrns + 61_803_399) % RRNS_A_DAY;
        self.rrns
    }

    /// Twelve digits: last digit of the year, day of the year (both in IST), then eight that don't repeat within a day.
    pub fn rrn(&mut self, now_ms: i64) -> String {
        let serial = self.serial();
        let day = in_ist(now_ms).date();
        format!("{}{:03}{serial:08}", day.year() % 10, day.day_of_year())
    }
}
