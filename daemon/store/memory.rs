//! A disk in memory, for the simulation (`tests/simulate/`): it keeps what was synced over a crash, may lose the rest,
//! fills when it is told to, and asks its owner at each moment of a write whether it goes on. `engine.rs` writes and
//! reads it as it does sled.

use super::engine::Row;
use sled::IVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a group of writes has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of it is applied.
    Staged,
    /// Readers see it; a crash may lose it.
    Applied,
    /// It is on disk, and nobody was told.
    Synced,
}

/// Asked at each moment; the write goes on when the answer is there, a crashed one never.
pub type OnMoment = dyn Fn(Moment) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// The disk, which outlives the stores that are opened on it. Clones are the same disk.
#[derive(Clone)]
pub struct MemoryDisk {
    held: Arc<Mutex<Held>>,
    on_moment: Arc<OnMoment>,
}

#[derive(Default)]
struct Held {
    rows: BTreeMap<Vec<u8>, IVec>,
    /// What rows were before each write since the last sync, oldest first.
    unsynced: Vec<Vec<(Vec<u8>, Option<IVec>)>>,
    full: bool,
    /// The store that was opened last; what an earlier one still writes is lost.
    owner: u64,
}

impl MemoryDisk {
    pub fn new(on_moment: Arc<OnMoment>) -> Self {
        Self {
            held: Arc::default(),
            on_moment,
        }
    }

    /// Ends the store that is open on it. Of what wasn't synced the first `kept` writes stay, each whole.
    pub fn crash(&self, kept: usize) {
        let mut held = self.held();
        held.owner += 1;
        while held.unsynced.len() > kept {
            for (key, before) in held.unsynced.pop().into_iter().flatten().rev() {
                match before {
                    Some(value) => drop(held.rows.insert(key, value)),
                    None => drop(held.rows.remove(&key)),
                }
            }
        }
        held.unsynced.clear();
    }

    /// How many writes a crash may lose.
    pub fn unsynced(&self) -> usize {
        self.held().unsynced.len()
    }

    /// Whether it has no space left.
    pub fn fill(&self, full: bool) {
        self.held().full = full;
    }

    pub(super) fn open(&self) -> Handle {
        let mut held = self.held();
        held.owner += 1;
        Handle {
            owner: held.owner,
            disk: self.clone(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One store's hold on the disk.
#[derive(Clone)]
pub(super) struct Handle {
    disk: MemoryDisk,
    owner: u64,
}

impl Handle {
    pub async fn reach(&self, moment: Moment) {
        (self.disk.on_moment)(moment).await;
    }

    pub fn get(&self, key: &[u8]) -> Option<IVec> {
        self.disk.held().rows.get(key).cloned()
    }

    pub fn range(&self, (first, end): (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Rows {
        let disk = self.disk.clone();
        Rows { disk, first, end }
    }

    pub fn prefix(&self, prefix: &[u8]) -> Rows {
        let mut end = prefix.to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        let end = match end.last_mut() {
            Some(last) => {
                *last = last.saturating_add(1);
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        self.range((Bound::Included(prefix.to_vec()), end))
    }

    pub fn write(&self, rows: impl Iterator<Item = (Vec<u8>, Option<IVec>)>) {
        let mut held = self.disk.held();
        if held.owner != self.owner {
            return;
        }
        let mut write = Vec::new();
        for (key, value) in rows {
            let before = match value {
                Some(value) => held.rows.insert(key.clone(), value),
                None => held.rows.remove(&key),
            };
            write.push((key, before));
        }
        held.unsynced.push(write);
    }

    pub fn sync(&self) {
        let mut held = self.disk.held();
        if held.owner == self.owner {
            held.unsynced.clear();
        }
    }

    pub fn free(&self) -> u64 {
        if self.disk.held().full { 0 } else { u64::MAX }
    }

    pub fn bytes(&self) -> u64 {
        let held = self.disk.held();
        let bytes = held.rows.iter().map(|(key, value)| key.len() + value.len());
        u64::try_from(bytes.sum::<usize>()).unwrap_or(u64::MAX)
    }
}

/// Rows between two keys; each is looked for when it is asked for.
pub(super) struct Rows {
    disk: MemoryDisk,
    first: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl Rows {
    fn look(&self, last: bool) -> Option<Row> {
        if nothing_between(&self.first, &self.end) {
            return None;
        }
        let held = self.disk.held();
        let mut rows = held.rows.range((self.first.clone(), self.end.clone()));
        let found = if last { rows.next_back() } else { rows.next() };
        found.map(|(key, value)| (key.as_slice().into(), value.clone()))
    }
}

impl Iterator for Rows {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let row = self.look(false)?;
        self.first = Bound::Excluded(row.0.to_vec());
        Some(row)
    }
}

impl DoubleEndedIterator for Rows {
    fn next_back(&mut self) -> Option<Row> {
        let row = self.look(true)?;
        self.end = Bound::Excluded(row.0.to_vec());
        Some(row)
    }
}

/// Whether a map would refuse such a range, or find nothing in it anyway.
fn nothing_between(first: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) -> bool {
    match (first, end) {
        (Bound::Included(first), Bound::Included(end)) => first > end,
        (
            Bound::Included(first) | Bound::Excluded(first),
            Bound::Included(end) | Bound::Excluded(end),
        ) => first >= end,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}
