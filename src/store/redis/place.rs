//! What a store in Redis is: decided when it was created, checked each time it is opened.

use super::keys::Keys;
use super::link::Link;
use super::script::{CREATE, Call};
use super::{OpenError, RedisOptions};
use crate::domain::id::PARTITIONS_MAX;
use crate::store::{Identity, StoreError, record};

/// The layout of keys that this release uses.
const LAYOUT: u32 = 1;

/// Creates the store where there is none; otherwise checks that it is the one that is wanted.
pub(super) async fn create_or_check(link: &Link, keys: &Keys, options: &RedisOptions) -> Result<Identity, OpenError> {
    let asked = options.partitions;
    if asked == 0 || asked > PARTITIONS_MAX {
        return Err(OpenError::NoSuchPartitions { asked });
    }
    let (log, fingerprint_key) = options.random.split_at(8);
    let call = Call::of(&CREATE)
        .key(keys.meta())
        .arg(&["layout", &LAYOUT.to_string(), "write_format", &record::FORMAT.to_string()][..])
        .arg(&["partitions", &asked.to_string(), "log", &hex(log), "fingerprint_key", &hex(fingerprint_key)][..]);
    let fields: Vec<String> = link.run(&call).await.map_err(OpenError::Store)?;
    identity(&fields, options)
}

/// Checks that the store, if there is one, is the one that is wanted.
pub(super) async fn check_if_there(link: &Link, keys: &Keys, options: &RedisOptions) -> Result<(), OpenError> {
    let mut command = redis::cmd("HGETALL");
    command.arg(keys.meta());
    let fields: Vec<(String, String)> = link.call(&command).await.map_err(OpenError::Store)?;
    let fields: Vec<String> = fields.into_iter().flat_map(|(name, value)| [name, value]).collect();
    if fields.is_empty() { Ok(()) } else { identity(&fields, options).map(|_| ()) }
}

/// What a store is by its fields, names and values one after the other, if it is the one that is wanted.
fn identity(fields: &[String], options: &RedisOptions) -> Result<Identity, OpenError> {
    let asked = options.partitions;
    let prefix = &options.prefix;
    let not_a_store = || OpenError::NotAStore { prefix: prefix.clone() };
    let (fields, _) = fields.as_chunks::<2>();
    let field = |name: &str| fields.iter().find(|[key, _]| key == name).map(|[_, value]| value.as_str()).ok_or_else(not_a_store);
    let number = |name: &str| field(name)?.parse::<u32>().map_err(|_| not_a_store());
    let found = number("layout")?;
    if found != LAYOUT {
        return Err(OpenError::Layout { found });
    }
    let found = number("write_format")?;
    if !record::can_write(found) {
        return Err(OpenError::WriteFormat { found });
    }
    let partitions = u16::try_from(number("partitions")?).map_err(|_| not_a_store())?;
    if partitions != asked {
        return Err(OpenError::Partitions { prefix: prefix.clone(), found: partitions, asked });
    }
    let log = bytes(field("log")?).ok_or_else(not_a_store)?;
    let fingerprint_key = bytes(field("fingerprint_key")?).ok_or_else(not_a_store)?;
    Ok(Identity { log, fingerprint_key, partitions })
}

/// Whether the store is the one that was opened; not so where it was emptied, or another is in its place. Only the server's own
/// word on it counts, no failure to ask.
pub(super) async fn is_unchanged(link: &Link, keys: &Keys, identity: &Identity) -> Result<bool, StoreError> {
    let mut command = redis::cmd("HGET");
    command.arg(keys.meta()).arg("log");
    let log: Option<String> = link.call(&command).await?;
    Ok(log == Some(hex(&identity.log)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}
