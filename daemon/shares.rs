//! Places that several share: one who takes many leaves room for the others. Nobody comes to hold more than a multiple
//! of what is free just then; so that whoever comes new finds room, and whoever is alone loses little. Ten that are as
//! greedy as they may and give nothing back leave one place of 1,024. (Choudhury and Hahne, Dynamic Queue Length
//! Thresholds, 1998.) The listener shares its connections, requests and bodies so, the journal its queue.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of places. Those who hold some are told apart by `K`.
#[derive(Debug)]
pub struct Shares<K> {
    places: usize,
    greed: usize,
    held: Mutex<Held<K>>,
}

#[derive(Debug)]
struct Held<K> {
    all: usize,
    /// Nobody with none: it holds no more keys than places.
    by: HashMap<K, usize>,
}

/// Some places, given back when it is dropped.
#[derive(Debug)]
pub struct Share<K: Hash + Eq> {
    shares: Arc<Shares<K>>,
    key: K,
    places: usize,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// One may hold `greed` times what is free: alone, 1 gives half of all places, 3 three quarters.
    pub fn new(places: usize, greed: usize) -> Arc<Self> {
        Arc::new(Self {
            places,
            greed,
            held: Mutex::new(Held {
                all: 0,
                by: HashMap::new(),
            }),
        })
    }

    /// Takes places, or none if that would be more than a share.
    pub fn take(self: &Arc<Self>, key: K, places: usize) -> Option<Share<K>> {
        let mut held = self.held();
        let own = held.by.get(&key).copied().unwrap_or_default();
        let free = self.places.saturating_sub(held.all);
        let share = free.saturating_mul(self.greed);
        if places > free || own.saturating_add(places) > share {
            return None;
        }
        held.all += places;
        *held.by.entry(key.clone()).or_default() += places;
        drop(held);
        Some(Share {
            shares: Arc::clone(self),
            key,
            places,
        })
    }
}

impl<K> Shares<K> {
    /// Nothing in here panics half-way through a change, so a poisoned lock still holds true counts.
    fn held(&self) -> MutexGuard<'_, Held<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        held.all = held.all.saturating_sub(self.places);
        if let Some(own) = held.by.get_mut(&self.key) {
            *own = own.saturating_sub(self.places);
            if *own == 0 {
                held.by.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grab(shares: &Arc<Shares<u8>>, key: u8) -> Vec<Share<u8>> {
        std::iter::from_fn(|| shares.take(key, 1)).collect()
    }

    #[test]
    fn whoever_is_alone_has_most_and_leaves_room() {
        for (greed, most) in [(1, 50), (3, 75)] {
            let shares = Shares::new(100, greed);
            let first = grab(&shares, 1);
            assert_eq!(first.len(), most);
            let second = grab(&shares, 2);
            assert!(second.len() >= 19, "{}", second.len());
            assert!(shares.take(3, 1).is_some());
            drop((first, second));
            assert_eq!(grab(&shares, 3).len(), most);
        }
        // A house of one room isn't shared, but it is let.
        assert_eq!(grab(&Shares::new(1, 1), 1).len(), 1);
        // The largest that there is room for goes in while nobody is there.
        assert!(Shares::new(100, 1).take(1, 100).is_some());
    }

    proptest! {
        #[test]
        fn a_crowd_keeps_no_newcomer_out(wanted in prop::collection::vec(0_u8..6, 0..400)) {
            let shares = Shares::new(100, 1);
            let mut held = Vec::new();
            for key in wanted {
                held.extend(shares.take(key, 1));
                prop_assert!(shares.take(99, 1).is_some());
            }
            drop(held);
            prop_assert_eq!(shares.held().all, 0);
            prop_assert!(shares.held().by.is_empty());
        }
    }
}
