//! A resume position as opaque text: one position per partition, bound to the log that it was read from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::domain::id::{PARTITIONS_MAX, Partition};
use crate::store::Position;

const VERSION: u8 = 1;
/// Bytes of the checksum at the end: enough to tell a typing error from a token.
const CHECKSUM_LEN: usize = 4;
/// The longest text that can be a token: every partition with the longest numbers.
const TEXT_MAX: usize = 32 * 1024;

/// The last position that was read, per partition. They lie in the order of the partitions and in one piece without room for
/// more: most subscribers have one, and ten thousand of them keep it while nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(Vec<(Partition, Position)>);

impl Positions {
    pub fn get(&self, partition: Partition) -> Option<Position> {
        self.find(partition).ok().map(|index| self.0[index].1)
    }

    pub fn insert(&mut self, partition: Partition, position: Position) {
        match self.find(partition) {
            Ok(index) => self.0[index].1 = position,
            Err(index) => self.0.insert(index, (partition, position)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Partition, Position)> + '_ {
        self.0.iter().copied()
    }

    pub fn partitions(&self) -> impl Iterator<Item = Partition> + '_ {
        self.iter().map(|(partition, _)| partition)
    }

    /// Where it stands, or would.
    fn find(&self, partition: Partition) -> Result<usize, usize> {
        self.0.binary_search_by_key(&partition, |(partition, _)| *partition)
    }
}

/// Of two for one partition the last counts.
impl FromIterator<(Partition, Position)> for Positions {
    fn from_iter<T: IntoIterator<Item = (Partition, Position)>>(all: T) -> Self {
        let all = all.into_iter();
        let mut positions = Self(Vec::with_capacity(all.size_hint().0));
        for (partition, position) in all {
            positions.insert(partition, position);
        }
        positions
    }
}

/// A resume position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The log's identity.
    pub log: [u8; 8],
    pub positions: Positions,
}

/// Why a text is no token of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("is not a token of this service")]
    Malformed,
    #[error("is a token of another log")]
    Foreign,
}

/// The text of a token.
pub fn encode(log: &[u8; 8], positions: &Positions) -> String {
    let mut bytes = Vec::with_capacity(16 + positions.0.len() * 10);
    bytes.push(VERSION);
    bytes.extend_from_slice(log);
    put_number(&mut bytes, positions.0.len() as u64);
    let (mut partition_before, mut ms_before) = (0, 0);
    for (partition, position) in positions.iter() {
        put_number(&mut bytes, u64::from(partition.0) - partition_before);
        put_number(&mut bytes, zigzag(position.ms.wrapping_sub(ms_before).cast_signed()));
        put_number(&mut bytes, position.seq);
        (partition_before, ms_before) = (u64::from(partition.0), position.ms);
    }
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum[..CHECKSUM_LEN]);
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Token {
    pub fn encode(&self) -> String {
        encode(&self.log, &self.positions)
    }

    /// Reads a token of the log `log`.
    pub fn decode(text: &str, log: &[u8; 8]) -> Result<Self, TokenError> {
        if text.len() > TEXT_MAX {
            return Err(TokenError::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(TokenError::Malformed)?;
        if Sha256::digest(body)[..CHECKSUM_LEN] != checksum[..] {
            return Err(TokenError::Malformed);
        }
        let token = read(body).ok_or(TokenError::Malformed)?;
        if token.log == *log { Ok(token) } else { Err(TokenError::Foreign) }
    }
}

fn read(body: &[u8]) -> Option<Token> {
    let (version, rest) = body.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (log, mut rest) = rest.split_first_chunk::<8>()?;
    let count = take_number(&mut rest)?;
    if count > u64::from(PARTITIONS_MAX) {
        return None;
    }
    let mut positions = Positions::default();
    let (mut partition, mut ms) = (0u64, 0u64);
    for index in 0..count {
        let delta = take_number(&mut rest)?;
        if index > 0 && delta == 0 {
            return None;
        }
        partition = partition.checked_add(delta)?;
        ms = ms.wrapping_add(unzigzag(take_number(&mut rest)?).cast_unsigned());
        let seq = take_number(&mut rest)?;
        let number = u16::try_from(partition).ok().filter(|number| *number < PARTITIONS_MAX)?;
        positions.insert(Partition(number), Position { ms, seq });
    }
    rest.is_empty().then_some(Token { log: *log, positions })
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// LEB128, as in protobuf.
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(first & 0x7f);
        if shift == 63 && low > 1 {
            return None;
        }
        number |= low << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: [u8; 8] = *b"thelog-1";

    fn positions() -> impl Strategy<Value = Positions> {
        proptest::collection::btree_map(
            (0..PARTITIONS_MAX).prop_map(Partition),
            (any::<u64>(), any::<u64>()).prop_map(|(ms, seq)| Position { ms, seq }),
            0..40,
        )
        .prop_map(|positions| positions.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_token_survives_its_text(positions in positions()) {
            let token = Token { log: LOG, positions };
            prop_assert_eq!(Token::decode(&token.encode(), &LOG), Ok(token));
        }

        #[test]
        fn no_text_panics(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Token::decode(&text, &LOG);
            let _ = Token::decode(&URL_SAFE_NO_PAD.encode(&bytes), &LOG);
            let _ = read(&bytes);
        }
    }

    #[test]
    fn positions_lie_in_order_and_the_last_counts() {
        let at = |seq| Position { ms: 7, seq };
        let mut positions: Positions = [(Partition(5), at(1)), (Partition(2), at(2)), (Partition(5), at(3))].into_iter().collect();
        assert_eq!(positions.iter().collect::<Vec<_>>(), [(Partition(2), at(2)), (Partition(5), at(3))]);
        positions.insert(Partition(3), at(4));
        positions.insert(Partition(2), at(5));
        assert_eq!(positions.iter().collect::<Vec<_>>(), [(Partition(2), at(5)), (Partition(3), at(4)), (Partition(5), at(3))]);
        assert_eq!((positions.get(Partition(3)), positions.get(Partition(4))), (Some(at(4)), None));
    }

    #[test]
    fn a_changed_or_foreign_token_is_told_apart() {
        let token = Token { log: LOG, positions: [(Partition(3), Position { ms: 1_767_240_000_000, seq: 42 })].into_iter().collect() };
        let text = token.encode();
        assert_eq!(Token::decode(&text, b"thelog-2"), Err(TokenError::Foreign));
        let mut changed = text.clone().into_bytes();
        changed[14] = if changed[14] == b'A' { b'B' } else { b'A' };
        assert_eq!(Token::decode(std::str::from_utf8(&changed).unwrap(), &LOG), Err(TokenError::Malformed));
        assert_eq!(Token::decode("", &LOG), Err(TokenError::Malformed));
        assert!(text.len() < 48, "one partition's token is short: {text}");
    }
}
