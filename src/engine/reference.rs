//! The reference that we send to a provider: the same for the same request, even after the store was lost.

use sha2::{Digest, Sha256};

/// Crockford's alphabet: no letter that looks like another.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Names the derivation, so that a later one can't collide with it.
const VERSION: &str = "upistream.reference.1";
/// Five bits a character: 160 bits. With the prefix it stays below the 35 alphanumerics that UPI allows.
const HASH_CHARS: usize = 32;
const PREFIX: &str = "UP";

/// The reference of the request that `caller` made to `method` with `key` for `account`.
pub fn derive(caller: &str, account: &str, method: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    for part in [VERSION, caller, account, method, key] {
        // Each part's length goes first, so that no two lists of parts read alike.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut text = String::with_capacity(PREFIX.len() + HASH_CHARS);
    text.push_str(PREFIX);
    for index in 0..HASH_CHARS {
        let (byte, shift) = (index * 5 / 8, index * 5 % 8);
        let window = u16::from_be_bytes([digest[byte], digest.get(byte + 1).copied().unwrap_or(0)]);
        let five = (window >> (11 - shift)) & 0x1f;
        text.push(char::from(ALPHABET[usize::from(five)]));
    }
    text
}

/// The reference of what the request with the reference `first` needs `number` times more, such as another notice.
pub fn further(first: &str, number: u64) -> String {
    derive("", "", first, &number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_at_most_35_alphanumerics_and_always_the_same() {
        let reference = derive("shop", "main", "CreateQr", "order-1");
        assert_eq!(reference, derive("shop", "main", "CreateQr", "order-1"));
        assert!(reference.len() <= 35 && reference.chars().all(|c| c.is_ascii_alphanumeric()), "{reference}");
        // Providers remember it: a change of the derivation would let a retry act twice.
        assert_eq!(reference, "UPC4MK262NE9JES3ZN8Q154DK7WWHFS5QP");
    }

    #[test]
    fn every_part_counts() {
        let base = derive("a", "b", "c", "d");
        for other in [
            derive("x", "b", "c", "d"),
            derive("a", "x", "c", "d"),
            derive("a", "b", "x", "d"),
            derive("a", "b", "c", "x"),
            derive("ab", "", "c", "d"),
        ] {
            assert_ne!(base, other);
        }
    }
}
