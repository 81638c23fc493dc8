//! What the sources on EnKash leave open: a default each, and the other reading.

use serde::{Deserialize, Serialize};

use crate::sandbox::webhooks::A_FEW_RETRIES_MS;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnkashSwitches {
    /// When a callback that was not taken is sent again: milliseconds from its first delivery, within a day.
    pub retries_ms: Vec<u64>,
}

impl Default for EnkashSwitches {
    fn default() -> Self {
        Self { retries_ms: A_FEW_RETRIES_MS.into() }
    }
}
