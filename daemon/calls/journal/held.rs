//! Which events are held, by id: in memory, so that a repeat is recognised without a look at the disk. Read at the start
//! from the ids on disk, which are written behind the pages, and from the pages that they don't cover yet.

use super::page::{Ids, Page};
use super::{Entry, IDS, page_key, page_with, parse_key};
use crate::store::{StoreFault, Tree};
use crate::terms::ids::EventId;
use std::collections::HashMap;
use std::ops::Bound;

/// Ids in one record: one value of the store holds them.
const RECORD_IDS: usize = 240;

/// Held events' numbers.
pub(super) type Held = HashMap<EventId, u64>;

/// What the pages and ids on disk amount to.
pub(super) struct Found {
    pub held: Held,
    /// The highest number on a page; 0 without any.
    pub last: u64,
    pub unindexed: Unindexed,
}

/// Events whose ids are on their pages alone: fewer than one record's.
#[derive(Clone, Debug, Default)]
pub(super) struct Unindexed(Vec<(u64, EventId)>);

impl Unindexed {
    pub(super) fn add(&mut self, seq: u64, id: EventId) {
        self.0.push((seq, id));
    }

    /// Whole records, to be written now. What was removed meanwhile is left out.
    pub(super) fn take_records(&mut self, held: &Held) -> Vec<Ids> {
        let mut records = Vec::new();
        while self.0.len() >= RECORD_IDS {
            let ids = self.0.drain(..RECORD_IDS);
            let left = ids.filter(|(seq, id)| held.get(id) == Some(seq));
            records.push(Ids(left.collect()));
        }
        records
    }
}

/// Reads what is on disk.
///
/// # Errors
/// A fault of the store.
pub(super) fn find(pages: &Tree<Page>, ids: &Tree<Ids>) -> Result<Found, StoreFault> {
    let (mut held, mut covered, mut last) = (Held::new(), 0, 0);
    for row in ids.prefix(&[IDS]) {
        let (_, Ids(ids)) = row?;
        covered = ids.last().map_or(covered, |(seq, _)| *seq);
        held.extend(ids.into_iter().map(|(seq, id)| (id, seq)));
    }
    let mut unindexed = Unindexed::default();
    let from = page_with(pages, covered + 1)?.map_or(0, |(first, _)| first);
    let end = page_key(u64::MAX);
    for row in pages.range(&page_key(from), Bound::Included(&end)) {
        let (key, page) = row?;
        let first = parse_key(&key);
        last = (first + page.len()?).saturating_sub(1);
        for entry in page.entries(first) {
            let Entry { seq, id, .. } = entry?;
            if seq > covered {
                held.insert(id, seq);
                unindexed.add(seq, id);
            }
        }
    }
    Ok(Found {
        held,
        last,
        unindexed,
    })
}
