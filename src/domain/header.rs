//! What every resource carries, and how its revision moves.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::account::{AccountName, ProviderId};
use super::fact::{CONTRADICTIONS_MAX, Contradiction};
use super::id::Id;

/// The most characters of a caller's own reference.
pub const REFERENCE_CHARS_MAX: usize = 64;
/// The most labels of a resource, and the most characters of a label's key and value.
pub const LABELS_MAX: usize = 16;
pub const LABEL_KEY_CHARS_MAX: usize = 40;
pub const LABEL_VALUE_CHARS_MAX: usize = 128;

/// For how long what happens to a resource belongs to the trace of its creation. Payments, refunds and debits are over by
/// then; what stands for years, such as a mandate or a shop's code, would make a trace without an end.
const TRACED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What every resource carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub id: Id,
    pub account: AccountName,
    pub provider: ProviderId,
    /// The provider's id of it, once known. Unique per account and kind.
    pub provider_ref: Option<String>,
    /// The reference that we sent to the provider; `None` where the provider made the resource.
    pub our_ref: Option<String>,
    /// Gapless from 1.
    pub revision: u64,
    /// The caller's own.
    pub reference: String,
    /// The caller's own; copied to child resources and events.
    pub labels: BTreeMap<String, String>,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
    /// Facts that did not fit and that nobody has resolved yet.
    pub contradictions: Vec<Contradiction>,
    /// The idempotency claim to settle when the creation is decided.
    pub claim: Option<String>,
    /// What an operator wrote when he decided about it.
    pub operator_note: Option<String>,
    /// The W3C trace context in which it was asked for, where it was in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// A newer release wrote more into this record than is known here: it may be shown, and is not written again, which
    /// would lose that.
    #[serde(skip)]
    pub has_unknown_parts: bool,
}

impl Header {
    /// The header of the first revision of something that nobody here asked for, written at `at`.
    pub fn first(id: Id, account: &AccountName, provider: ProviderId, at: Timestamp) -> Self {
        Self {
            id,
            account: account.clone(),
            provider,
            provider_ref: None,
            our_ref: None,
            revision: 1,
            reference: String::new(),
            labels: BTreeMap::new(),
            create_time: at,
            update_time: at,
            contradictions: Vec::new(),
            claim: None,
            operator_note: None,
            traceparent: None,
            has_unknown_parts: false,
        }
    }

    /// The header of this resource's next revision, written at `at`.
    pub fn next(&self, at: Timestamp) -> Self {
        Self { revision: self.revision + 1, update_time: at.max(self.update_time), ..self.clone() }
    }

    /// The trace that what happens to it at `at` belongs to.
    pub fn trace(&self, at: Timestamp) -> Option<&str> {
        self.traceparent.as_deref().filter(|_| at.duration_since(self.create_time) <= TRACED_FOR)
    }

    /// The next revision, with one more contradiction; `None` where it is kept already or too many are.
    pub fn contradicted(&self, contradiction: &Contradiction) -> Option<Self> {
        let known = self.contradictions.iter().any(|kept| kept.fact == contradiction.fact && kept.message == contradiction.message);
        if known || self.contradictions.len() >= CONTRADICTIONS_MAX {
            return None;
        }
        let mut next = self.next(contradiction.time);
        next.contradictions.push(contradiction.clone());
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{Kind, Partition};

    #[test]
    fn what_happens_within_a_week_belongs_to_the_trace_of_the_creation() {
        let created = Timestamp::UNIX_EPOCH;
        let id = Id::new(Kind::Qr, Partition(0), 0, 1);
        let untraced = Header::first(id, &"shop".parse().expect("a plain name"), ProviderId::Razorpay, created);
        assert_eq!(untraced.trace(created), None);
        let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        let header = Header { traceparent: traceparent.clone(), ..untraced };
        let after = |hours| created + SignedDuration::from_hours(hours);
        assert_eq!(header.trace(after(7 * 24)), traceparent.as_deref());
        assert_eq!(header.trace(after(7 * 24 + 1)), None);
        let kept = serde_json::to_value(&header).expect("a header is JSON");
        assert_eq!(serde_json::from_value::<Header>(kept).expect("it was just written"), header);
    }
}
