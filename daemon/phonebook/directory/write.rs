//! One write of one contact, whole: its condition, whether its numbers and e-mails are free, the record, the index, the
//! change. Runs in the store's writer thread, so that nothing comes in between. Called by `directory.rs`.

use super::limits;
use super::record::{
    Caller, Claim, META, Meta, Owner, Removed, Stored, Tombstone, key, revision_key, revision_of,
};
use crate::phonebook::{Entry, Etag};
use crate::store::{Store, StoreFault, Tree, Writes};
use crate::terms::contact::ContactId;
use jiff::{SignedDuration, Timestamp};

/// Tombstones kept: with ids of 36 characters some 30 MB. A phone system that lost the thread of so many removals reads
/// everything again anyway.
pub const TOMBSTONES_MAX: u64 = 100_000;
/// Age of tombstones kept: a phone system that was away for a quarter of a year reads everything again.
pub const TOMBSTONE_AGE_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Tombstones looked at in one write. More than one, so that their number falls again after the limit was lowered.
const PRUNED_AT_ONCE: usize = 8;

/// How long removals are remembered in the history of changes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub tombstones: u64,
    pub age: SignedDuration,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            tombstones: TOMBSTONES_MAX,
            age: TOMBSTONE_AGE_MAX,
        }
    }
}

/// Versions that a write may or must not meet (`If-Match`, `If-None-Match`; RFC 9110, section 13.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    Any,
    These(Vec<u64>),
}

impl Versions {
    fn have(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::These(these), Some(current)) => these.contains(&current),
        }
    }
}

/// What must be so for a request to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    pub is: Option<Versions>,
    pub is_not: Option<Versions>,
}

impl Condition {
    /// There is no contact with this id.
    pub const fn absent() -> Self {
        Self {
            is: None,
            is_not: Some(Versions::Any),
        }
    }

    /// There is one, in this version.
    pub fn version(revision: u64) -> Self {
        Self {
            is: Some(Versions::These(vec![revision])),
            is_not: None,
        }
    }

    /// `current` is the contact's revision, if there is one.
    pub fn holds(&self, current: Option<u64>) -> bool {
        self.is.as_ref().is_none_or(|is| is.have(current))
            && self.is_not.as_ref().is_none_or(|not| !not.have(current))
    }
}

/// Why a contact wasn't written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteFault {
    /// What is there instead.
    #[error("the contact is another version than was asked for")]
    Condition(Option<Box<Entry>>),
    #[error("there is no such contact")]
    Missing,
    #[error("{} is in use by contact {by}", what(.claim))]
    Taken { claim: Claim, by: ContactId },
    /// Whoever wrote it must change it.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// For whoever sent the value; a log gets no number.
fn what(claim: &Claim) -> String {
    match claim {
        Claim::Number(number) => format!("the number {number}"),
        Claim::Email(email) => format!("the e-mail {email}"),
    }
}

/// What a write came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Created(Entry),
    Updated(Entry),
    /// It said so already: nothing was written.
    Same(Entry),
    /// At this revision.
    Removed(u64),
}

impl Outcome {
    /// The contact as it is now; none if it was removed.
    pub fn entry(self) -> Option<Entry> {
        match self {
            Self::Created(entry) | Self::Updated(entry) | Self::Same(entry) => Some(entry),
            Self::Removed(_) => None,
        }
    }
}

/// Views of the one tree.
#[derive(Clone)]
pub(super) struct Trees {
    pub records: Tree<Stored>,
    pub callers: Tree<Caller>,
    pub owners: Tree<Owner>,
    pub tombstones: Tree<Tombstone>,
    pub removed: Tree<Removed>,
    pub meta: Tree<Meta>,
    pub memory: Memory,
}

pub(super) type Edited = Result<Option<Stored>, WriteFault>;

pub(super) fn entry(id: &ContactId, stored: Stored) -> Entry {
    Entry {
        etag: Etag(stored.revision.to_string()),
        contact: stored.into_contact(id.clone()),
    }
}

impl Trees {
    pub fn open(store: &Store, memory: Memory) -> Self {
        let name = super::record::TREE;
        Self {
            records: store.tree(name),
            callers: store.tree(name),
            owners: store.tree(name),
            tombstones: store.tree(name),
            removed: store.tree(name),
            meta: store.tree(name),
            memory,
        }
    }

    /// Stages one write; with a fault, or with `dry`, nothing of it. `edit` makes the new contact of the old one, or none
    /// to remove it. Answers the revision of the last change too, for whoever waits for changes.
    pub fn stage(
        &self,
        writes: &mut Writes<'_>,
        id: &ContactId,
        condition: &Condition,
        edit: impl FnOnce(Option<&Stored>) -> Edited,
        now: Timestamp,
        dry: bool,
    ) -> Result<Result<Outcome, WriteFault>, StoreFault> {
        let old = writes.get(&self.records, &key(b'r', id.0.as_bytes()))?;
        if !condition.holds(old.as_ref().map(|old| old.revision)) {
            let there = old.map(|old| Box::new(entry(id, old)));
            return Ok(Err(WriteFault::Condition(there)));
        }
        let new = match edit(old.as_ref()) {
            Ok(new) => new,
            Err(fault) => return Ok(Err(fault)),
        };
        match (old, new) {
            (None, None) => Ok(Err(WriteFault::Missing)),
            (Some(old), None) => self.remove(writes, id, &old, now, dry).map(Ok),
            (Some(old), Some(new)) if old.says_as(&new) => Ok(Ok(Outcome::Same(entry(id, old)))),
            (old, Some(new)) => {
                if let Err(why) = limits::check(id, &new) {
                    return Ok(Err(WriteFault::Invalid(why)));
                }
                if let Some((claim, by)) = self.taken(writes, id, &new)? {
                    return Ok(Err(WriteFault::Taken { claim, by }));
                }
                self.put(writes, id, old.as_ref(), new, now, dry).map(Ok)
            }
        }
    }

    /// The first number or e-mail of the contact that another one has.
    fn taken(
        &self,
        writes: &Writes<'_>,
        id: &ContactId,
        contact: &Stored,
    ) -> Result<Option<(Claim, ContactId)>, StoreFault> {
        for (key, claim) in contact.index() {
            let owner = match claim {
                Claim::Number(_) => writes.get(&self.callers, &key)?.map(|caller| caller.id),
                Claim::Email(_) => writes.get(&self.owners, &key)?.map(|Owner(id)| id),
            };
            if let Some(owner) = owner.filter(|owner| owner != id) {
                return Ok(Some((claim, owner)));
            }
        }
        Ok(None)
    }

    fn put(
        &self,
        writes: &mut Writes<'_>,
        id: &ContactId,
        old: Option<&Stored>,
        mut new: Stored,
        now: Timestamp,
        dry: bool,
    ) -> Result<Outcome, StoreFault> {
        let mut meta = writes.get(&self.meta, META)?.unwrap_or_default();
        meta.revision += 1;
        new.revision = meta.revision;
        new.updated_at = now;
        let written = entry(id, new.clone());
        let outcome = match old {
            None => Outcome::Created(written),
            Some(_) => Outcome::Updated(written),
        };
        if dry {
            return Ok(outcome);
        }
        self.index(writes, id, old, &new)?;
        match old {
            Some(old) => writes.remove(&self.owners, &revision_key(b'c', old.revision))?,
            None => {
                meta.contacts += 1;
                let grave = key(b'd', id.0.as_bytes());
                if let Some(Removed(revision)) = writes.get(&self.removed, &grave)? {
                    writes.remove(&self.removed, &grave)?;
                    writes.remove(&self.tombstones, &revision_key(b'x', revision))?;
                    meta.tombstones = meta.tombstones.saturating_sub(1);
                }
            }
        }
        writes.put(&self.records, &key(b'r', id.0.as_bytes()), &new)?;
        let owner = Owner(id.clone());
        writes.put(&self.owners, &revision_key(b'c', new.revision), &owner)?;
        writes.put(&self.meta, META, &meta)?;
        Ok(outcome)
    }

    /// Makes the rows that lead to a contact of what they were; what stays as it is isn't written.
    fn index(
        &self,
        writes: &mut Writes<'_>,
        id: &ContactId,
        old: Option<&Stored>,
        new: &Stored,
    ) -> Result<(), StoreFault> {
        let (before, after) = (old.map(Stored::index).unwrap_or_default(), new.index());
        for (key, _) in before.iter().filter(|row| !after.contains(row)) {
            writes.remove(&self.owners, key)?;
        }
        let renamed = old.is_some_and(|old| old.name != new.name);
        let (owner, caller) = (
            Owner(id.clone()),
            Caller {
                id: id.clone(),
                name: new.name.clone(),
            },
        );
        for row in &after {
            let fresh = !before.contains(row);
            match row {
                (key, Claim::Number(_)) if fresh || renamed => {
                    writes.put(&self.callers, key, &caller)?;
                }
                (key, Claim::Email(_)) if fresh => writes.put(&self.owners, key, &owner)?,
                (_, Claim::Number(_) | Claim::Email(_)) => {}
            }
        }
        Ok(())
    }

    fn remove(
        &self,
        writes: &mut Writes<'_>,
        id: &ContactId,
        old: &Stored,
        now: Timestamp,
        dry: bool,
    ) -> Result<Outcome, StoreFault> {
        let mut meta = writes.get(&self.meta, META)?.unwrap_or_default();
        meta.revision += 1;
        let revision = meta.revision;
        if dry {
            return Ok(Outcome::Removed(revision));
        }
        for (key, _) in old.index() {
            writes.remove(&self.owners, &key)?;
        }
        writes.remove(&self.owners, &revision_key(b'c', old.revision))?;
        writes.remove(&self.records, &key(b'r', id.0.as_bytes()))?;
        let tombstone = Tombstone {
            id: id.clone(),
            at: now,
        };
        writes.put(&self.tombstones, &revision_key(b'x', revision), &tombstone)?;
        writes.put(
            &self.removed,
            &key(b'd', id.0.as_bytes()),
            &Removed(revision),
        )?;
        meta.contacts = meta.contacts.saturating_sub(1);
        meta.tombstones += 1;
        self.prune(writes, &mut meta, now)?;
        writes.put(&self.meta, META, &meta)?;
        Ok(Outcome::Removed(revision))
    }

    /// Forgets the oldest removals that are too old or too many.
    fn prune(
        &self,
        writes: &mut Writes<'_>,
        meta: &mut Meta,
        now: Timestamp,
    ) -> Result<(), StoreFault> {
        for row in self.tombstones.prefix(b"x").take(PRUNED_AT_ONCE) {
            let (at, tombstone) = row?;
            let old = now.duration_since(tombstone.at) > self.memory.age;
            if !old && meta.tombstones <= self.memory.tombstones {
                break;
            }
            // The tree shows what is applied; an earlier write of this group may have forgotten this one already.
            if writes.get(&self.tombstones, &at)?.is_some() {
                writes.remove(&self.tombstones, &at)?;
                writes.remove(&self.removed, &key(b'd', tombstone.id.0.as_bytes()))?;
                meta.tombstones = meta.tombstones.saturating_sub(1);
                meta.floor = meta.floor.max(revision_of(&at).unwrap_or_default());
            }
        }
        Ok(())
    }
}
