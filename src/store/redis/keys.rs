//! The names of all keys. Those of one partition share a hash tag, so that they are of one slot and the same code runs on
//! a Cluster.

use crate::domain::id::{Id, Partition};
use crate::store::{ClaimScope, ListKey, Reference};

/// The keys of one store.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What the store is.
    pub(super) fn meta(&self) -> String {
        format!("{}:meta", self.prefix)
    }

    /// The channel on which commits that appended something are told.
    pub(super) fn wakeups(&self) -> String {
        format!("{}:wakeups", self.prefix)
    }

    pub(super) fn of(&self, partition: Partition) -> PartitionKeys {
        PartitionKeys { prefix: format!("{}:{{p{}}}:", self.prefix, partition.0) }
    }

    /// The key of something that belongs to no partition; all of one `name` are of one slot.
    pub(super) fn apart(&self, name: &str, what: &str) -> String {
        format!("{}:{{{name}}}:{what}", self.prefix)
    }
}

/// The keys of one partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionKeys {
    prefix: String,
}

impl PartitionKeys {
    /// What each of them begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn named(&self, name: &str) -> String {
        [&self.prefix, name].concat()
    }

    /// Where the reply to a write is remembered.
    pub(super) fn write(&self, write: u128) -> String {
        format!("{}w:{write:032x}", self.prefix)
    }

    pub(super) fn record(&self, id: &Id) -> String {
        [&self.prefix, "r:", id.as_str()].concat()
    }

    /// The list, reference or claim of a place.
    pub(super) fn place(&self, place: &str) -> String {
        self.named(place)
    }

    /// The stream of events, each under `<seq>-<ms>`: a position's number is what it is found by.
    pub(super) fn log(&self) -> String {
        self.named("log")
    }

    /// The ends of the log.
    pub(super) fn head(&self) -> String {
        self.named("head")
    }

    /// From events' ids to their numbers.
    pub(super) fn event_ids(&self) -> String {
        self.named("event_ids")
    }

    pub(super) fn due(&self) -> String {
        self.named("due")
    }

    pub(super) fn leased(&self) -> String {
        self.named("leased")
    }

    pub(super) fn looks(&self) -> String {
        self.named("looks")
    }

    /// The last fence.
    pub(super) fn fence(&self) -> String {
        self.named("fence")
    }

    /// Records at rest, by since when.
    pub(super) fn rested(&self) -> String {
        self.named("rested")
    }

    /// Scopes of claims, by when they may be forgotten.
    pub(super) fn claim_ends(&self) -> String {
        self.named("claim_ends")
    }

    /// Records that were not at rest when the store was restored or copied, and were not looked up since.
    pub(super) fn unseen(&self) -> String {
        self.named("unseen")
    }

    /// What is written to see whether writing works.
    pub(super) fn probe(&self) -> String {
        self.named("probe")
    }
}

/// Where a record's id stands besides its own key: the rest of that key.
pub(super) fn list_place(list: &ListKey) -> String {
    let ListKey { account, key } = list;
    format!("l:{account}\n{key}")
}

pub(super) fn reference_place(reference: &Reference) -> String {
    let Reference { account, sort, value } = reference;
    reference_named(account, sort, value)
}

pub(super) fn reference_named(account: &str, sort: &str, value: &str) -> String {
    format!("f:{account}\n{sort}\n{value}")
}

pub(super) fn claim_place(scope: &ClaimScope) -> String {
    format!("c:{}", scope.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_partition_share_one_hash_tag() {
        let keys = Keys::new("shop").of(Partition(7));
        let id = Id::new(crate::domain::id::Kind::Qr, Partition(7), 1, 1);
        let list = list_place(&ListKey { account: "a".to_owned(), key: "qr/reference/{other}".to_owned() });
        for key in [keys.log(), keys.write(1), keys.record(&id), keys.place(&list)] {
            assert!(key.starts_with("shop:{p7}:"), "{key}");
        }
        assert_ne!(keys.write(1), keys.write(2));
        assert_eq!(Keys::new("shop").meta(), "shop:meta");
    }
}
