//! How a record is kept: one text, "<revision> <bytes of places> <places><body>". Places are where its id stands besides,
//! "<bytes>:<place>" one after the other; with them it can be removed from everywhere. `prelude.lua` reads the same.

use bytes::Bytes;

use crate::domain::id::Id;
use crate::store::{StoreError, Stored};

/// The record `id` from what is kept of it.
pub(super) fn stored(id: Id, kept: Bytes) -> Result<Stored, StoreError> {
    let (revision, _, body) = parts(&kept).ok_or_else(|| unreadable(&id))?;
    let body = kept.slice(body..);
    Ok(Stored { id, revision, body })
}

/// Where else the record `id` stands.
pub(super) fn places(id: &Id, kept: &[u8]) -> Result<Vec<String>, StoreError> {
    let (_, places, _) = parts(kept).ok_or_else(|| unreadable(id))?;
    list(places).ok_or_else(|| unreadable(id))
}

/// What is kept of a record that also stands in `places`.
pub(super) fn kept(revision: u64, places: &[String], body: &[u8]) -> Vec<u8> {
    let places: String = places.iter().map(|place| format!("{}:{place}", place.len())).collect();
    [format!("{revision} {} {places}", places.len()).as_bytes(), body].concat()
}

/// An id as it is kept.
pub(super) fn id(text: &str) -> Result<Id, StoreError> {
    // The text itself stays out of the error: whatever it is, it is not an id.
    text.parse().map_err(|_| StoreError::Broken("what is stored as an id is none".to_owned()))
}

fn unreadable(id: &Id) -> StoreError {
    StoreError::Broken(format!("what is kept of `{id}` can't be read"))
}

/// The revision, the places, and where the body begins.
fn parts(kept: &[u8]) -> Option<(u64, &[u8], usize)> {
    let (revision, rest) = number_before(kept, b' ')?;
    let (length, rest) = number_before(rest, b' ')?;
    let places = rest.get(..usize::try_from(length).ok()?)?;
    Some((revision, places, kept.len() - rest.len() + places.len()))
}

fn list(mut places: &[u8]) -> Option<Vec<String>> {
    let mut list = Vec::new();
    while !places.is_empty() {
        let (length, rest) = number_before(places, b':')?;
        let (place, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        list.push(String::from_utf8(place.to_vec()).ok()?);
        places = rest;
    }
    Some(list)
}

fn number_before(text: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let at = text.iter().position(|byte| *byte == end)?;
    let number = std::str::from_utf8(&text[..at]).ok()?.parse().ok()?;
    Some((number, &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{Kind, Partition};

    #[test]
    fn a_record_is_read_as_the_scripts_write_it() {
        let id = Id::new(Kind::Qr, Partition(0), 1, 1);
        let kept = Bytes::from_static(b"12 22 4:l:qr13:f:shop\n3:x\nyz{\"a\": \"1 2 3\"}");
        assert_eq!(places(&id, &kept).unwrap(), ["l:qr", "f:shop\n3:x\nyz"]);
        let stored = stored(id.clone(), kept.clone()).unwrap();
        assert_eq!((stored.revision, &stored.body[..]), (12, &b"{\"a\": \"1 2 3\"}"[..]));
        assert_eq!(super::kept(12, &places(&id, &kept).unwrap(), &stored.body), kept, "and written");
        for broken in ["", "1", "1 ", "x 0 body", "1 99 body", "-1 0 body"] {
            assert!(super::stored(id.clone(), Bytes::from(broken)).is_err(), "{broken}");
        }
        assert!(places(&id, b"1 5 9:ab body").is_err());
    }
}
