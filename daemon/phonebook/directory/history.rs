//! What changed since a cursor, from the store: pure reads, merged from contacts and tombstones in the order of their
//! revisions. Asked by `directory.rs`.
//!
//! A walk through everything begins without a cursor and goes on until it has caught up with all that was written
//! meanwhile; only then does its cursor become a plain one. So nobody takes a contact for gone that merely moved to the
//! end while he read.

use super::record::{META, Owner, key, revision_key, revision_of};
use super::write::{Trees, entry};
use crate::phonebook::Entry;
use crate::store::StoreFault;
use crate::terms::contact::ContactId;
use std::fmt;
use std::ops::Bound;

/// A place in the history. Written `w<start>.<at>` during a walk that began at revision `start`, else `<at>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) start: Option<u64>,
    pub(super) at: u64,
}

impl Cursor {
    /// None if it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('w') {
            Some(walk) => {
                let (start, at) = walk.split_once('.')?;
                Some(Self {
                    start: Some(start.parse().ok()?),
                    at: at.parse().ok()?,
                })
            }
            None => Some(Self {
                start: None,
                at: text.parse().ok()?,
            }),
        }
    }

    /// Up to where it knows of removals.
    fn known(self) -> u64 {
        self.start.unwrap_or_default().max(self.at)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Some(start) => write!(f, "w{start}.{}", self.at),
            None => write!(f, "{}", self.at),
        }
    }
}

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Contact(Box<Entry>),
    Removed(ContactId),
}

/// A part of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub changes: Vec<Change>,
    pub next: Cursor,
    /// It belongs to a walk through everything.
    pub walk: bool,
    /// There is more at once.
    pub more: bool,
}

/// The cursor is older than the removals that are remembered (or none of this phone book's): read everything again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl Trees {
    /// Up to `limit` changes behind `cursor`. `durable` tells the last revision that is on disk: what isn't could be
    /// given to something else after a power cut, and this cursor's owner would never see it.
    pub fn part(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
        durable: impl Fn() -> u64,
    ) -> Result<Result<Part, Lost>, StoreFault> {
        let upto = durable();
        let cursor = cursor.unwrap_or(Cursor {
            start: Some(upto),
            at: 0,
        });
        if cursor.known() > upto {
            return Ok(Err(Lost));
        }
        let rows = self.rows(cursor, upto, limit)?;
        // Looked at behind the reading: what was forgotten meanwhile may be missing in it.
        let floor = self.meta.get(META)?.unwrap_or_default().floor;
        if floor > cursor.known() {
            return Ok(Err(Lost));
        }
        let cut = rows.len() > limit;
        let mut at = upto;
        let mut changes = Vec::new();
        for (revision, row) in rows.into_iter().take(limit) {
            if cut {
                at = revision;
            }
            match row {
                Row::Removed(id) => changes.push(Change::Removed(id)),
                Row::Contact(id) => {
                    let stored = self.records.get(&key(b'r', id.0.as_bytes()))?;
                    // Changed again meanwhile: it comes with that change.
                    if let Some(stored) = stored.filter(|stored| stored.revision == revision) {
                        changes.push(Change::Contact(Box::new(entry(&id, stored))));
                    }
                }
            }
        }
        let walk = cursor.start.is_some();
        let more = cut || (walk && durable() != upto);
        let start = cursor.start.filter(|_| more);
        Ok(Ok(Part {
            changes,
            next: Cursor { start, at },
            walk,
            more,
        }))
    }

    /// One row more than `limit`, if there is one, by revision.
    fn rows(&self, cursor: Cursor, upto: u64, limit: usize) -> Result<Vec<(u64, Row)>, StoreFault> {
        let wanted = limit.saturating_add(1);
        let mut rows = Vec::new();
        let after = |kind, revision: u64| revision_key(kind, revision.saturating_add(1));
        let (live, dead) = (revision_key(b'c', upto), revision_key(b'x', upto));
        if cursor.at < upto {
            let first = after(b'c', cursor.at);
            for row in self
                .owners
                .range(&first, Bound::Included(&live))
                .take(wanted)
            {
                let (key, Owner(id)) = row?;
                rows.push((revision_of(&key).unwrap_or_default(), Row::Contact(id)));
            }
        }
        if cursor.known() < upto {
            let first = after(b'x', cursor.known());
            let range = self.tombstones.range(&first, Bound::Included(&dead));
            for row in range.take(wanted) {
                let (key, tombstone) = row?;
                let revision = revision_of(&key).unwrap_or_default();
                rows.push((revision, Row::Removed(tombstone.id)));
            }
        }
        rows.sort_by_key(|(revision, _)| *revision);
        rows.truncate(wanted);
        Ok(rows)
    }
}

enum Row {
    Contact(ContactId),
    Removed(ContactId),
}
