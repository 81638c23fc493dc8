//! Looks at debits.

use super::Stepped;
use crate::domain::debit::Debit;
use crate::engine::Engine;
use crate::engine::learn::Told;
use crate::providers::Provider;
use crate::store::{Fence, StoreError};

impl Engine {
    pub(super) async fn look_at_debit(&self, _: &Provider, _: Debit, _: Fence, _: &Told) -> Result<Stepped, StoreError> {
        Ok(Stepped::NobodyToAsk)
    }
}
