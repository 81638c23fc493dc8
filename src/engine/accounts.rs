//! The accounts and what each can do.

use super::Engine;
use crate::domain::account::AccountName;
use crate::providers::Provider;

impl Engine {
    /// All configured accounts, by name.
    pub fn accounts(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values().map(|provider| &**provider)
    }

    pub fn has_account(&self, account: &AccountName) -> bool {
        self.providers.contains_key(account)
    }
}
