//! Which record an event joins, and what comes home to it. Part of `book`.

use super::super::family::Seen;
use super::super::journal::Entry;
use super::super::judge::Judge;
use super::super::ledger::{CallRecord, EventMark, Stage};
use super::{Book, Turn};
use crate::store::StoreFault;

/// Longest chain of calls of which each turned out to be part of the next: somebody handed on so often.
const HOMES_MAX: usize = 10;

impl Book {
    /// The record of the call an event speaks of: the one it has, a new one, or one under a fresh key if the id was
    /// used by a call that is long over.
    pub(super) fn record_for(
        &self,
        seen: &Seen,
        event: &Entry,
        turn: &Turn,
    ) -> Result<CallRecord, StoreFault> {
        let new = |key: String| CallRecord::new(key, &event.posted.pbx, event.posted.received);
        let stored = seen.key.stored();
        let (key, found) = self.homed(stored, turn)?;
        let Some(record) = found.filter(|record| !record.is_empty()) else {
            return Ok(new(key));
        };
        match Judge::fresh_key(&record, seen) {
            None => Ok(record),
            Some(fresh) => Ok(self
                .current(&fresh.stored(), turn)?
                .unwrap_or_else(|| new(fresh.stored()))),
        }
    }

    /// The record under a key, or the one of the call that it turned out to be part of; and that one's key. Also when that
    /// call is over: an event that nobody ends would be in flight for ever (invariant 2).
    fn homed(&self, key: String, turn: &Turn) -> Result<(String, Option<CallRecord>), StoreFault> {
        let mut key = self.homes.get(&key).cloned().unwrap_or(key);
        let mut found = self.current(&key, turn)?;
        for _ in 0..HOMES_MAX {
            let Some(home) = found.as_ref().and_then(|record| record.home.clone()) else {
                break;
            };
            let Some(record) = self.current(&home, turn)? else {
                break;
            };
            (key, found) = (home, Some(record));
        }
        Ok((key, found))
    }

    /// When somebody who was called is handed on, the next leg names that one as its family, and only the handed-over
    /// leg's own record tells whose it was: what gathered under that name moves to this call.
    pub(super) fn bring_home(
        &mut self,
        seen: &Seen,
        record: &mut CallRecord,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        for name in seen.leg_keys() {
            if name == record.key || self.homes.get(&name) == Some(&record.key) {
                continue;
            }
            if !record.legs.contains(&name) {
                record.legs.push(name.clone());
            }
            self.homes.insert(name.clone(), record.key.clone());
            let Some(mut orphan) = self.current(&name, turn)? else {
                continue;
            };
            // What the orphan's events state, and those that the two share, is this call's from now on.
            self.known.forget(&record.key);
            if orphan.stage != Stage::Gathering {
                continue;
            }
            self.known.forget(&name);
            let guests = std::mem::take(&mut orphan.guests);
            for seq in std::mem::take(&mut orphan.events) {
                let is_guest = guests.contains(&seq);
                if !is_guest && record.guests.remove(&seq) {
                    // It ends with this call now: as one that came with the orphan's.
                    record.events.retain(|known| *known != seq);
                }
                if !record.events.contains(&seq) {
                    record.events.push(seq);
                    record.late += usize::from(record.stage != Stage::Gathering);
                    if is_guest {
                        record.guests.insert(seq);
                    }
                }
                if !is_guest {
                    let (key, end) = (Some(record.key.clone()), None);
                    turn.changes.marks.insert(seq, EventMark { key, end });
                }
            }
            // What had come home to the orphan is of this call too.
            for leg in std::mem::take(&mut orphan.legs) {
                self.homes.insert(leg.clone(), record.key.clone());
                if !record.legs.contains(&leg) {
                    record.legs.push(leg);
                }
            }
            orphan.stage = Stage::Ended;
            orphan.home = Some(record.key.clone());
            self.due.remove(&name);
            turn.changes.records.insert(name, orphan);
        }
        Ok(())
    }
}
