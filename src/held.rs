//! What is replaced while others use it, such as a secret or a certificate. Whoever needs it looks at it then, and keeps it
//! no longer than for what is at hand.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A value that all clones share.
pub struct Held<T>(Arc<RwLock<Inner<T>>>);

struct Inner<T> {
    value: Arc<T>,
    version: u64,
}

impl<T> Held<T> {
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Inner { value: Arc::new(value), version: 0 })))
    }

    /// The value as it is now.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).value)
    }

    /// How often it was replaced: tells whether what was made of an older value still holds.
    pub fn version(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).version
    }

    /// From now on the others get `value`. What they have in hand stays as it was.
    pub fn replace(&self, value: T) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.value = Arc::new(value);
        inner.version += 1;
    }
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<T> for Held<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// Says nothing of the value: most are secrets.
impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_get_the_new_value_and_what_is_in_hand_stays() {
        let held = Held::new("old");
        let (other, in_hand) = (held.clone(), held.get());
        assert_eq!(other.version(), 0);
        held.replace("new");
        assert_eq!(other.version(), 1);
        assert_eq!((*other.get(), *in_hand), ("new", "old"));
        assert_eq!(format!("{held:?}"), "Held(..)");
    }
}
