//! Things in the order they were made, found by id. On disk it is a plain list.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Things of one kind on one account. Beyond it creating fails, so that a soak test can't eat the machine.
pub const SHELF_MAX: usize = 1_000_000;

/// What can stand on a shelf.
pub trait Labelled {
    fn id(&self) -> &str;
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<T>", into = "Vec<T>")]
#[serde(bound(serialize = "T: Labelled + Clone + Serialize", deserialize = "T: Labelled + Deserialize<'de>"))]
pub struct Shelf<T> {
    items: Vec<T>,
    places: HashMap<String, usize>,
}

impl<T: Labelled> Shelf<T> {
    pub fn is_full(&self) -> bool {
        self.items.len() >= SHELF_MAX
    }

    pub fn put(&mut self, item: T) {
        self.places.insert(item.id().to_owned(), self.items.len());
        self.items.push(item);
    }

    pub fn get(&self, id: &str) -> Option<&T> {
        self.items.get(*self.places.get(id)?)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.items.get_mut(*self.places.get(id)?)
    }

    pub fn oldest_first(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn newest_first(&self) -> impl Iterator<Item = &T> {
        self.items.iter().rev()
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { items: Vec::new(), places: HashMap::new() }
    }
}

impl<T: Labelled> From<Vec<T>> for Shelf<T> {
    fn from(items: Vec<T>) -> Self {
        let mut shelf = Self::default();
        items.into_iter().for_each(|item| shelf.put(item));
        shelf
    }
}

impl<T> From<Shelf<T>> for Vec<T> {
    fn from(shelf: Shelf<T>) -> Self {
        shelf.items
    }
}
