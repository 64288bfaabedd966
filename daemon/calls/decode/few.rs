//! A set for the little that a leg has of each kind: in order, each once, in no more memory than its values. A tree has
//! room for eleven in its smallest part, half a kilobyte for each set of each leg of each open call.

use std::ops::Deref;
use std::slice;

/// So many have exactly the room that they need; beyond it the room doubles.
const EXACT: usize = 8;

/// Values in order, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<T>(Vec<T>);

impl<T> Few<T> {
    pub const fn new() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Few<T> {
    pub fn insert(&mut self, value: T) {
        if let Err(place) = self.0.binary_search(&value) {
            if self.0.len() < EXACT {
                self.0.reserve_exact(1);
            }
            self.0.insert(place, value);
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Ord> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        for value in values {
            self.insert(value);
        }
    }
}

impl<T: Ord> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut few = Self::new();
        few.extend(values);
        few
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> slice::Iter<'a, T> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_order_and_each_once_however_they_come() {
        let mut few: Few<u32> = [3, 1, 3, 2].into_iter().collect();
        few.extend([2, 9, 0]);
        assert_eq!(few.to_vec(), [0, 1, 2, 3, 9]);
        let again: Few<u32> = [9, 3, 2, 1, 0].into_iter().collect();
        assert_eq!(few, again);
        assert_eq!(few.0.capacity(), 5);
        few.extend(0..1000);
        assert_eq!(few.len(), 1000);
    }
}
