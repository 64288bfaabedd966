//! Calls and texts forgotten before their time: all that is known of them goes, their events are counted as erased
//! (invariant 2). Part of `ledger`.

use super::{COUNTS_KEY, End, Ledger, Stage, tagged};
use crate::calls::outbox::Delivery;
use crate::store::{StoreFault, Writes};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Calls removed in one group.
const PAGE_CALLS: usize = 256;

/// What is to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Stored call keys, and who was asked about each.
    pub calls: BTreeMap<String, BTreeSet<String>>,
    /// Numbers of events, and whose phone system's they are.
    pub events: BTreeMap<u64, String>,
    /// So many of the calls aren't over, or still owed.
    pub unfinished: usize,
}

impl Forgotten {
    /// A delivery of a call, whatever else is known of it.
    pub fn add(&mut self, delivery: &Delivery) {
        let asked = self.calls.entry(delivery.key.clone()).or_default();
        asked.insert(delivery.integration.clone());
    }
}

impl Ledger {
    /// Adds the calls and texts of these events and of those whose key `is_theirs` says (asked with the time of their last
    /// event), and all events of the calls there are: what shares an event with somebody's call is that call.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn add_all_of(
        &self,
        all: &mut Forgotten,
        events: &BTreeMap<u64, String>,
        is_theirs: impl Fn(&str, Timestamp) -> bool,
    ) -> Result<(), StoreFault> {
        let mut calls: BTreeSet<String> = all.calls.keys().cloned().collect();
        for (seq, pbx) in events {
            all.events.insert(*seq, pbx.clone());
            calls.extend(self.mark(*seq)?.and_then(|mark| mark.key));
        }
        for row in self.records.prefix(b"r") {
            let (_, record) = row?;
            if is_theirs(&record.key, record.last_event) {
                calls.insert(record.key);
            }
        }
        let mut seen = BTreeSet::new();
        while let Some(key) = calls.pop_first() {
            let asked = all.calls.entry(key.clone()).or_default();
            let Some(record) = self.record(&key)?.filter(|_| seen.insert(key)) else {
                continue;
            };
            asked.extend(record.takers.into_iter().map(|taker| taker.integration));
            all.unfinished += usize::from(record.stage != Stage::Ended);
            // What turned out to be part of it.
            calls.extend(record.legs.into_iter().filter(|leg| !seen.contains(leg)));
            for seq in record.events {
                all.events.insert(seq, record.pbx.clone());
                let key = self.mark(seq)?.and_then(|mark| mark.key);
                calls.extend(key.filter(|key| !seen.contains(key)));
            }
        }
        Ok(())
    }

    /// Whether everything that was taken has been read: only then is every event in a call.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn has_read(&self, last: u64) -> Result<bool, StoreFault> {
        Ok(self.counts()?.cursor >= last)
    }

    /// Removes these calls with their deliveries, owed ones too, and counts their events as erased. For a store whose line
    /// isn't running.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn erase(&self, forgotten: Forgotten) -> Result<(), StoreFault> {
        let events: Vec<_> = forgotten.events.into_iter().collect();
        for page in events.chunks(PAGE_CALLS) {
            let (ledger, page) = (self.clone(), page.to_vec());
            let work = move |writes: &mut Writes<'_>| ledger.erase_events(writes, page);
            self.store.commit(work).await?;
        }
        let calls: Vec<_> = forgotten.calls.into_iter().collect();
        for page in calls.chunks(PAGE_CALLS) {
            let (ledger, page) = (self.clone(), page.to_vec());
            let work = move |writes: &mut Writes<'_>| ledger.erase_calls(writes, page);
            self.store.commit(work).await?;
        }
        Ok(())
    }

    fn erase_events(
        &self,
        writes: &mut Writes<'_>,
        events: Vec<(u64, String)>,
    ) -> Result<(), StoreFault> {
        let mut counts = writes.get(&self.counts, COUNTS_KEY)?.unwrap_or_default();
        for (seq, pbx) in events {
            let mark = tagged(b'e', &seq.to_be_bytes());
            // Every event that was read has one; without it a run before this one has counted it.
            if let Some(old) = writes.get(&self.marks, &mark)? {
                counts.shift(seq, &pbx, old.end.as_ref(), Some(&End::Erased));
                writes.remove(&self.marks, &mark)?;
            } else if seq > counts.cursor {
                // A backup may hold some that nobody has read yet.
                counts.erase_unread(seq);
            }
        }
        writes.put(&self.counts, COUNTS_KEY, &counts)
    }

    fn erase_calls(
        &self,
        writes: &mut Writes<'_>,
        calls: Vec<(String, BTreeSet<String>)>,
    ) -> Result<(), StoreFault> {
        let mut counts = writes.get(&self.counts, COUNTS_KEY)?.unwrap_or_default();
        for (key, asked) in calls {
            let stored = tagged(b'r', key.as_bytes());
            // Without it a run before this one has counted it.
            if let Some(record) = writes.get(&self.records, &stored)? {
                counts.erase(&record);
            }
            writes.remove(&self.records, &stored)?;
            writes.remove(&self.open, &tagged(b'o', key.as_bytes()))?;
            for integration in asked {
                self.outbox.forget(writes, &integration, &key)?;
            }
        }
        writes.put(&self.counts, COUNTS_KEY, &counts)
    }

    /// Removes the running exchanges of texts with whom `is_theirs` says, asked with the time of the latest text.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn erase_exchanges(
        &self,
        is_theirs: impl Fn(&str, Timestamp) -> bool,
    ) -> Result<(), StoreFault> {
        let mut keys = Vec::new();
        for row in self.exchanges.prefix(b"x") {
            let (key, exchange) = row?;
            let other = key.rsplit(|byte| *byte == 0).next().unwrap_or_default();
            if is_theirs(&String::from_utf8_lossy(other), exchange.until) {
                keys.push(key);
            }
        }
        let tree = self.exchanges.clone();
        self.store
            .commit(move |writes| keys.iter().try_for_each(|key| writes.remove(&tree, key)))
            .await
    }
}
