//! Which events a subscriber wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::account::{AccountName, ProviderId};
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{Id, Partition};

/// A filter. What is empty admits everything; the accounts are always named, since a caller sees only his own.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Shared with what else lives as long as a stream and needs them.
    pub accounts: Arc<BTreeSet<AccountName>>,
    pub providers: BTreeSet<ProviderId>,
    /// The kinds that the caller's globs matched; `None`: all.
    pub kinds: Option<BTreeSet<EventKind>>,
    pub resources: BTreeSet<Id>,
    pub labels: BTreeMap<String, String>,
    pub terminal_only: bool,
}

impl Filter {
    pub fn admits(&self, event: &Event) -> bool {
        let Self { accounts, providers, kinds, resources, labels, terminal_only } = self;
        let header = event.record.header();
        accounts.contains(&header.account)
            && (providers.is_empty() || providers.contains(&header.provider))
            && kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind))
            && (resources.is_empty() || resources.contains(&header.id))
            && labels.iter().all(|(key, value)| header.labels.get(key) == Some(value))
            && (!terminal_only || event.terminal)
    }

    /// The partitions that its accounts lie in.
    pub fn partitions(&self, partitions: u16) -> BTreeSet<Partition> {
        self.accounts.iter().map(|account| Partition::of_account(account.as_str(), partitions)).collect()
    }
}

/// The kinds whose names `glob` matches; `*` stands for any run of characters. Empty where it matches none.
pub fn kinds_matching(glob: &str) -> BTreeSet<EventKind> {
    EventKind::ALL.iter().copied().filter(|kind| matches(glob, kind.as_str())).collect()
}

fn matches(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let beginning = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(beginning) else { return false };
    let Some(end) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_name_kinds() {
        assert_eq!(kinds_matching("payment.succeeded"), BTreeSet::from([EventKind::PaymentSucceeded]));
        assert!(kinds_matching("payment.*").contains(&EventKind::PaymentFailed));
        assert!(!kinds_matching("payment.*").contains(&EventKind::QrClosed));
        assert_eq!(kinds_matching("*").len(), EventKind::ALL.len());
        assert!(kinds_matching("payment.succeed").is_empty());
        let failed = [
            EventKind::QrFailed,
            EventKind::PaymentFailed,
            EventKind::RefundFailed,
            EventKind::MandateFailed,
            EventKind::DebitFailed,
            EventKind::SettlementFailed,
        ];
        assert_eq!(kinds_matching("*.failed"), BTreeSet::from(failed));
        assert_eq!(kinds_matching("p*.*ed").len(), kinds_matching("payment.*ed").len());
        assert!(kinds_matching("payment").is_empty() && kinds_matching("").is_empty());
    }
}
