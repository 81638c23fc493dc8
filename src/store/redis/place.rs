//! What a store in Redis is: decided when it was created, checked each time it is opened.

use super::keys::Keys;
use super::link::Link;
use super::script::{CREATE, Call};
use super::{OpenError, RedisOptions};
use crate::domain::id::{PARTITIONS_MAX, Partition};
use crate::store::{Identity, StoreError, record};

/// The layout of keys that this release uses.
const LAYOUT: u32 = 1;
/// Set while a store is being filled, to the name of who fills it.
const HALF_MADE: &str = "half_made";
/// Set of a store that was filled, until all that was not at rest then was looked up.
pub(super) const SENDING_HELD: &str = "sending_held";
/// Set of a store that was filled, for good.
pub(super) const FILLED: &str = "filled";

/// Creates the store where there is none; otherwise checks that it is the one that is wanted.
pub(super) async fn create_or_check(link: &Link, keys: &Keys, options: &RedisOptions) -> Result<Identity, OpenError> {
    let asked = options.partitions;
    if asked == 0 || asked > PARTITIONS_MAX {
        return Err(OpenError::NoSuchPartitions { asked });
    }
    let (log, fingerprint_key) = options.random.split_at(8);
    let fields: Vec<String> = link.run(&creation(keys, asked, log, fingerprint_key)).await.map_err(OpenError::Store)?;
    identity(&fields, options)
}

fn creation(keys: &Keys, partitions: u16, log: &[u8], fingerprint_key: &[u8]) -> Call {
    Call::of(&CREATE)
        .key(keys.meta())
        .arg(&["layout", &LAYOUT.to_string(), "write_format", &record::FORMAT.to_string()][..])
        .arg(&["partitions", &partitions.to_string(), "log", &hex(log), "fingerprint_key", &hex(fingerprint_key)][..])
}

/// Creates a store where there is none, that is half made until [`whole`] is said of it.
pub(super) async fn create_half(link: &Link, keys: &Keys, options: &RedisOptions) -> Result<(), OpenError> {
    let not_empty = || OpenError::NotEmpty { prefix: options.prefix.clone() };
    let (log, fingerprint_key) = options.random.split_at(8);
    for partition in (0..options.partitions).map(Partition) {
        let keys = keys.of(partition);
        let mut command = redis::cmd("EXISTS");
        for key in [keys.log(), keys.head(), keys.looks(), keys.rested(), keys.claim_ends(), keys.event_ids(), keys.unseen()] {
            command.arg(key);
        }
        if link.call::<u64>(&command).await.map_err(OpenError::Store)? > 0 {
            check_if_there(link, &Keys::new(&options.prefix), options).await?;
            return Err(not_empty());
        }
    }
    let call = creation(keys, options.partitions, log, fingerprint_key).arg(&[HALF_MADE, &hex(log)][..]);
    let fields: Vec<String> = link.run(&call).await.map_err(OpenError::Store)?;
    // Another store is there, or another fills it: that says what to do.
    let (pairs, _) = fields.as_chunks::<2>();
    if pairs.iter().any(|[name, value]| name == HALF_MADE && *value == hex(log)) {
        return Ok(());
    }
    identity(&fields, options)?;
    Err(not_empty())
}

/// The store is whole from now on, and sending held.
pub(super) async fn whole(link: &Link, keys: &Keys) -> Result<(), StoreError> {
    let mut command = redis::cmd("HSET");
    command.arg(keys.meta()).arg(SENDING_HELD).arg(1).arg(FILLED).arg(1);
    link.call::<u64>(&command).await?;
    let mut command = redis::cmd("HDEL");
    command.arg(keys.meta()).arg(HALF_MADE);
    link.call::<u64>(&command).await.map(drop)
}

/// What the store is that is there, whatever number of partitions the configuration says.
pub(super) async fn read(link: &Link, keys: &Keys, options: &RedisOptions) -> Result<Identity, OpenError> {
    let fields = fields(link, keys).await?;
    let found = fields.as_chunks::<2>().0.iter().find(|[name, _]| name == "partitions");
    let partitions = found.and_then(|[_, value]| value.parse().ok());
    match partitions {
        Some(partitions) => identity(&fields, &RedisOptions { partitions, ..options.clone() }),
        None => Err(OpenError::NoStore { prefix: options.prefix.clone() }),
    }
}

/// From which format to which the records that are written from now on were raised: the same, if this release writes no other.
pub(super) async fn raise_write_format(link: &Link, keys: &Keys, options: &RedisOptions) -> Result<(u32, u32), OpenError> {
    let fields = fields(link, keys).await?;
    let found = fields.as_chunks::<2>().0.iter().find(|[name, _]| name == "write_format");
    let Some(found) = found.and_then(|[_, value]| value.parse().ok()) else {
        return Err(OpenError::NoStore { prefix: options.prefix.clone() });
    };
    if found < record::FORMAT && record::can_read(found) {
        let mut command = redis::cmd("HSET");
        command.arg(keys.meta()).arg("write_format").arg(record::FORMAT);
        link.call::<u64>(&command).await.map_err(OpenError::Store)?;
        return Ok((found, record::FORMAT));
    }
    if record::can_write(found) { Ok((found, found)) } else { Err(OpenError::WriteFormat { found }) }
}

/// Checks that the store, if there is one, is the one that is wanted.
pub(super) async fn check_if_there(link: &Link, keys: &Keys, options: &RedisOptions) -> Result<(), OpenError> {
    let fields = fields(link, keys).await?;
    if fields.is_empty() { Ok(()) } else { identity(&fields, options).map(|_| ()) }
}

/// Names and values, one after the other; none where there is no store.
async fn fields(link: &Link, keys: &Keys) -> Result<Vec<String>, OpenError> {
    let mut command = redis::cmd("HGETALL");
    command.arg(keys.meta());
    let fields: Vec<(String, String)> = link.call(&command).await.map_err(OpenError::Store)?;
    Ok(fields.into_iter().flat_map(|(name, value)| [name, value]).collect())
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
        return Err(match found < record::FORMAT && record::can_read(found) {
            true => OpenError::NotUpgraded { found },
            false => OpenError::WriteFormat { found },
        });
    }
    if field(HALF_MADE).is_ok() {
        return Err(OpenError::HalfMade { prefix: prefix.clone() });
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
