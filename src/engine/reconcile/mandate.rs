//! Looks at mandates.

use super::Stepped;
use crate::domain::mandate::Mandate;
use crate::engine::Engine;
use crate::engine::learn::Told;
use crate::providers::Provider;
use crate::store::StoreError;

impl Engine {
    pub(super) async fn look_at_mandate(&self, _: &Provider, _: Mandate, _: &Told) -> Result<Stepped, StoreError> {
        Ok(Stepped::NobodyToAsk)
    }
}
