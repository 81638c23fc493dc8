//! A request's canonical form: a keyed digest for each top-level field that is set.
//!
//! It is read off the encoded request, whose maps are sorted and whose defaults are left out, so a field that is added
//! to the API later changes no digest of a request that doesn't set it.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use sha2::Sha256;

use super::pb;
use crate::engine::Fingerprint;

const VERSION: u8 = 1;
/// Hex digits of a digest: 64 bits, enough to tell two values of one field apart.
const DIGEST_CHARS: usize = 16;
const HEX: &[u8; 16] = b"0123456789abcdef";
/// Fields that are not part of what is asked for.
const NOT_COMPARED: [&str; 3] = ["idempotency_key", "page_token", "page_size"];

/// Field names of every message, by number.
static FIELD_NAMES: LazyLock<HashMap<String, BTreeMap<u32, String>>> = LazyLock::new(|| {
    let files = prost_types::FileDescriptorSet::decode(pb::DESCRIPTORS).expect("the descriptors are made by the build");
    let messages = files.file.into_iter().filter(|file| file.package() == "upistream.v1").flat_map(|file| file.message_type);
    messages
        .map(|message| {
            let fields = message.field.iter().map(|field| (u32::try_from(field.number()).unwrap_or(0), field.name().to_owned()));
            (message.name().to_owned(), fields.collect())
        })
        .collect()
});

/// The fingerprint of `request`, a message called `name`.
pub(super) fn of(key: &[u8; 32], name: &str, request: &impl Message) -> Fingerprint {
    let mut keyed = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    keyed.update(name.as_bytes());
    // Few fields are set, and those of one number follow each other.
    let mut digests: Vec<(u32, Hmac<Sha256>)> = Vec::new();
    let encoded = request.encode_to_vec();
    let mut rest = &encoded[..];
    while !rest.is_empty() {
        let before = rest;
        let Ok((number, wire_type)) = decode_key(&mut rest) else { break };
        if skip(wire_type, &mut rest).is_none() {
            break;
        }
        let field = &before[..before.len() - rest.len()];
        match digests.iter_mut().find(|(known, _)| *known == number) {
            Some((_, digest)) => digest.update(field),
            None => digests.push((number, keyed.clone().chain_update(field))),
        }
    }
    let names = FIELD_NAMES.get(name);
    let fields = digests
        .into_iter()
        .map(|(number, digest)| {
            let field = names.and_then(|names| names.get(&number)).cloned().unwrap_or_else(|| number.to_string());
            (field, digest)
        })
        .filter(|(field, _)| !NOT_COMPARED.contains(&field.as_str()))
        .map(|(field, digest)| (field, short(digest)))
        .collect();
    Fingerprint { version: VERSION, fields }
}

/// The first digits of a digest.
fn short(digest: Hmac<Sha256>) -> String {
    let (bytes, mut text) = (digest.finalize().into_bytes(), String::with_capacity(DIGEST_CHARS));
    for byte in &bytes[..DIGEST_CHARS / 2] {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from(HEX[usize::from(nibble)]));
        }
    }
    text
}

/// Passes over a field's value.
fn skip(wire_type: WireType, bytes: &mut &[u8]) -> Option<()> {
    let length = match wire_type {
        WireType::Varint => return decode_varint(bytes).ok().map(|_| ()),
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        // Groups don't exist in proto3.
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    *bytes = bytes.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn request() -> pb::CreateQrRequest {
        pb::CreateQrRequest {
            idempotency_key: "k".to_owned(),
            account: "shop".to_owned(),
            usage: pb::QrUsage::SingleUse.into(),
            labels: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
            amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: 100 }),
            ..Default::default()
        }
    }

    fn of_request(request: &pb::CreateQrRequest) -> Fingerprint {
        of(&KEY, "CreateQrRequest", request)
    }

    #[test]
    fn only_set_fields_are_named_and_the_key_is_not() {
        let fields: Vec<String> = of_request(&request()).fields.into_keys().collect();
        assert_eq!(fields, ["account", "amount", "labels", "usage"]);
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint_and_each_change_shows() {
        assert_eq!(of_request(&request()), of_request(&pb::CreateQrRequest { idempotency_key: "other".to_owned(), ..request() }));
        let other = pb::CreateQrRequest { amount: Some(pb::Money { currency_code: "INR".to_owned(), minor_units: 101 }), ..request() };
        let (a, b) = (of_request(&request()), of_request(&other));
        assert_ne!(a.fields["amount"], b.fields["amount"]);
        assert_eq!(a.fields["labels"], b.fields["labels"]);
        assert_ne!(of(&[8; 32], "CreateQrRequest", &request()).fields["account"], a.fields["account"], "the digest is keyed");
    }
}
