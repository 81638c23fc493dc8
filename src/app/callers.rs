//! The callers of the configuration, as the API takes them.

use std::collections::BTreeMap;

use crate::config::{CallerConfig, Config, EVERY_ACCOUNT};
use crate::domain::caller::CallerName;
use crate::grpc::KnownCaller;

pub(super) fn of(config: &Config) -> BTreeMap<CallerName, KnownCaller> {
    config.callers.iter().map(|(name, caller)| (name.clone(), known(caller))).collect()
}

fn known(caller: &CallerConfig) -> KnownCaller {
    let CallerConfig { api_key_hashes, identities, accounts, permissions, calls_per_second, calls_max, streams_max } = caller.clone();
    let is_every = accounts.iter().any(|account| account == EVERY_ACCOUNT);
    KnownCaller {
        api_key_hashes,
        identities,
        // What names no account was refused when the configuration was read.
        accounts: (!is_every).then(|| accounts.iter().filter_map(|account| account.parse().ok()).collect()),
        permissions,
        calls_per_second,
        calls_max,
        streams_max,
    }
}
