//! Page tokens: opaque, and bound to the filters that they were made with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use sha2::{Digest, Sha256};

use super::fingerprint;
use crate::engine::Error;

/// Bytes of the digest of the filters.
const DIGEST_LEN: usize = 8;
/// The longest text that can be a page token: it may hold a position for each partition.
const TEXT_MAX: usize = 64 * 1024;

/// The digest of what `request` filters by, whatever its page.
fn digest(key: &[u8; 32], name: &str, request: &impl Message) -> [u8; DIGEST_LEN] {
    let mut hash = Sha256::new();
    for (field, digest) in fingerprint::of(key, name, request).fields {
        hash.update(field.as_bytes());
        hash.update(digest.as_bytes());
    }
    let mut short = [0; DIGEST_LEN];
    short.copy_from_slice(&hash.finalize()[..DIGEST_LEN]);
    short
}

/// The token of the page of `request` that begins at `cursor`.
pub(super) fn token(key: &[u8; 32], name: &str, request: &impl Message, cursor: &str) -> String {
    let mut bytes = digest(key, name, request).to_vec();
    bytes.extend_from_slice(cursor.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Where the page of `token` begins; `None` for the first page.
pub(super) fn cursor(key: &[u8; 32], name: &str, request: &impl Message, token: &str) -> Result<Option<String>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let malformed = || Error::InvalidToken("is not a page token of this service");
    if token.len() > TEXT_MAX {
        return Err(malformed());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| malformed())?;
    let (filters, cursor) = bytes.split_first_chunk::<DIGEST_LEN>().ok_or_else(malformed)?;
    if *filters != digest(key, name, request) {
        return Err(Error::InvalidToken("belongs to other filters"));
    }
    String::from_utf8(cursor.to_vec()).map(Some).map_err(|_| malformed())
}
