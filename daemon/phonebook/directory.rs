//! The built-in phone book, in the store: engine `directory` of the phone side's port, and what the HTTP API, the import
//! and the caller-name lookup read and write. Its files alone write the tree `contacts`.
//!
//! Every write is one job of the store's group commit and is on disk when it answers. The revision counts writes; a
//! contact's is its etag, and the history of changes is in its order. Not to be confused with `calls/directory.rs`, which
//! remembers which customer a number belongs to.

pub mod history;
pub mod limits;
mod port;
mod record;
mod write;

pub use record::{Claim, TREE, check};
pub use write::{
    Condition, Memory, Outcome, TOMBSTONE_AGE_MAX, TOMBSTONES_MAX, Versions, WriteFault,
};

use super::Entry;
use crate::clock;
use crate::store::{Store, StoreFault};
use crate::terms::contact::{ContactId, Fields};
use crate::terms::number::E164;
use history::{Cursor, Lost, Part};
use record::{Caller, META, Meta, Stored, key};
use std::ops::Bound;
use std::sync::Arc;
use tokio::sync::watch;
use write::{Edited, Trees, entry};

/// What people and programs write of a contact. What only the sync writes (its customers) stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub fields: Fields,
    pub link: Option<String>,
    pub tags: Vec<String>,
}

/// An id for a contact that comes without one.
pub fn fresh_id() -> ContactId {
    ContactId(format!("{:032x}", clock::random_bits()))
}

/// One contact of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: ContactId,
    pub content: Content,
}

/// More writes than there can have been between a backup and its restore; small beside what a number in JSON holds (2^53).
const LOST_REVISIONS_MAX: u64 = 1 << 32;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub contacts: u64,
    pub tombstones: u64,
    pub revision: u64,
}

/// The phone book. Cheap to clone.
#[derive(Clone)]
pub struct ContactBook {
    store: Store,
    trees: Trees,
    /// The last revision that is on disk.
    durable: Arc<watch::Sender<u64>>,
}

impl ContactBook {
    /// # Errors
    /// A fault of the store.
    pub fn open(store: &Store) -> Result<Self, StoreFault> {
        Self::remembering(store, Memory::default())
    }

    /// With other bounds for how long removals are remembered.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn remembering(store: &Store, memory: Memory) -> Result<Self, StoreFault> {
        let trees = Trees::open(store, memory);
        let meta = trees.meta.get(META)?.unwrap_or_default();
        Ok(Self {
            store: store.clone(),
            trees,
            durable: Arc::new(watch::Sender::new(meta.revision)),
        })
    }

    /// The store was restored from a backup: revisions that were given since mean nothing in it. Later ones begin far
    /// behind all of them, and whoever read up to one of the others reads everything again.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn note_restored(&self) -> Result<(), StoreFault> {
        let metas = self.trees.meta.clone();
        self.store
            .commit(move |writes| {
                let mut meta = writes.get(&metas, META)?.unwrap_or_default();
                meta.revision = meta.revision.saturating_add(LOST_REVISIONS_MAX);
                meta.floor = meta.revision;
                writes.put(&metas, META, &meta)
            })
            .await
    }

    /// Tells of every change, whoever made it, once it is on disk: the last revision.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    /// How many listen for changes.
    pub fn waiting(&self) -> usize {
        self.durable.receiver_count()
    }

    /// # Errors
    /// A fault of the store.
    pub fn size(&self) -> Result<Size, StoreFault> {
        let Meta {
            revision,
            contacts,
            tombstones,
            ..
        } = self.trees.meta.get(META)?.unwrap_or_default();
        Ok(Size {
            contacts,
            tombstones,
            revision,
        })
    }

    /// # Errors
    /// A fault of the store.
    pub fn find(&self, id: &ContactId) -> Result<Option<Entry>, StoreFault> {
        let stored = self.trees.records.get(&key(b'r', id.0.as_bytes()))?;
        Ok(stored.map(|stored| entry(id, stored)))
    }

    /// Whose number it is: two reads of the store.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn by_number(&self, number: &E164) -> Result<Option<Entry>, StoreFault> {
        match self.caller(number)? {
            Some(Caller { id, .. }) => self.find(&id),
            None => Ok(None),
        }
    }

    /// The name that phones show for a number: one read of the store.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn name_of(&self, number: &E164) -> Result<Option<String>, StoreFault> {
        match self.caller(number)? {
            Some(Caller { id, name }) if name.is_empty() => {
                let entry = self.find(&id)?;
                Ok(entry.map(|entry| entry.contact.fields.name))
            }
            caller => Ok(caller.map(|caller| caller.name)),
        }
    }

    fn caller(&self, number: &E164) -> Result<Option<Caller>, StoreFault> {
        let key = key(b'n', number.as_str().as_bytes());
        self.trees.callers.get(&key)
    }

    /// Up to `limit` contacts whose ids come after `after`, by id.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn list(&self, after: Option<&ContactId>, limit: usize) -> Result<Vec<Entry>, StoreFault> {
        let mut first = key(b'r', after.map_or(&[], |after| after.0.as_bytes()));
        if after.is_some() {
            first.push(0);
        }
        let rows = self.trees.records.range(&first, Bound::Excluded(b"s"));
        rows.take(limit)
            .map(|row| {
                let (key, stored) = row?;
                let id = key.get(1..).unwrap_or_default();
                let id = ContactId(String::from_utf8_lossy(id).into_owned());
                Ok(entry(&id, stored))
            })
            .collect()
    }

    /// Up to `limit` changes behind `cursor`; without one, of everything.
    ///
    /// # Errors
    /// A fault of the store; inside, that the cursor can't be gone on from.
    pub fn history(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Result<Part, Lost>, StoreFault> {
        self.trees.part(cursor, limit, || *self.durable.borrow())
    }

    /// Writes what people may write of a contact: `edit` makes the new content of the old one.
    ///
    /// # Errors
    /// Each a `WriteFault`; nothing is written then.
    pub async fn edit(
        &self,
        id: &ContactId,
        condition: Condition,
        edit: impl FnOnce(Option<Content>) -> Result<Content, WriteFault> + Send + 'static,
    ) -> Result<Outcome, WriteFault> {
        let edit = move |old: Option<&Stored>| {
            let content = edit(old.map(content_of))?;
            Ok(Some(put_content(old, content)))
        };
        self.change(id, condition, edit).await
    }

    /// # Errors
    /// Each a `WriteFault`; nothing is written then.
    pub async fn delete(
        &self,
        id: &ContactId,
        condition: Condition,
    ) -> Result<Outcome, WriteFault> {
        self.change(id, condition, |_| Ok(None)).await
    }

    /// Writes several contacts together, each for itself: a fault of one leaves the others. With `dry` nothing is written
    /// and the outcomes are what they would be.
    ///
    /// # Errors
    /// A fault of the store: then none was written.
    pub async fn put_all(
        &self,
        rows: Vec<Row>,
        dry: bool,
    ) -> Result<Vec<Result<Outcome, WriteFault>>, StoreFault> {
        let rows = rows.into_iter().map(|Row { id, content }| {
            let edit = |old: Option<&Stored>| Ok(Some(put_content(old, content)));
            (id, Condition::default(), edit)
        });
        self.change_all(rows.collect(), dry).await
    }

    async fn change_all<E>(
        &self,
        rows: Vec<(ContactId, Condition, E)>,
        dry: bool,
    ) -> Result<Vec<Result<Outcome, WriteFault>>, StoreFault>
    where
        E: FnOnce(Option<&Stored>) -> Edited + Send + 'static,
    {
        let (trees, now) = (self.trees.clone(), clock::now());
        let work = self.store.commit(move |writes| {
            let staged = rows
                .into_iter()
                .map(|(id, condition, edit)| trees.stage(writes, &id, &condition, edit, now, dry));
            staged.collect::<Result<Vec<_>, _>>()
        });
        let outcomes = work.await?;
        if !dry {
            outcomes
                .iter()
                .flatten()
                .for_each(|done| self.publish(done));
        }
        Ok(outcomes)
    }

    async fn change(
        &self,
        id: &ContactId,
        condition: Condition,
        edit: impl FnOnce(Option<&Stored>) -> Edited + Send + 'static,
    ) -> Result<Outcome, WriteFault> {
        let (book, id, now) = (self.clone(), id.clone(), clock::now());
        // A task of its own: whoever asked may hang up, and those who wait for changes must still hear of it.
        let done = tokio::spawn(async move {
            let trees = book.trees.clone();
            let commit = book
                .store
                .commit(move |writes| trees.stage(writes, &id, &condition, edit, now, false));
            let done = commit.await??;
            book.publish(&done);
            Ok(done)
        });
        done.await.unwrap_or_else(|error| {
            let why = error.to_string();
            Err(WriteFault::Store(StoreFault::Broken { why }))
        })
    }

    fn publish(&self, done: &Outcome) {
        let revision = match done {
            Outcome::Created(entry) | Outcome::Updated(entry) => {
                entry.etag.0.parse().unwrap_or_default()
            }
            Outcome::Removed(revision) => *revision,
            Outcome::Same(_) => return,
        };
        self.durable.send_if_modified(|durable| {
            let newer = revision > *durable;
            *durable = revision.max(*durable);
            newer
        });
    }
}

fn content_of(stored: &Stored) -> Content {
    // The id isn't part of it.
    let contact = stored.clone().into_contact(ContactId(String::new()));
    Content {
        fields: contact.fields,
        link: contact.link,
        tags: contact.tags,
    }
}

fn put_content(old: Option<&Stored>, content: Content) -> Stored {
    let mut new = old.cloned().unwrap_or_else(Stored::empty);
    new.put_fields(content.fields);
    new.link = content.link;
    new.tags = once(content.tags);
    new
}

/// Each tag once, the first one's place.
fn once(tags: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for tag in tags {
        if !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;
    use crate::terms::contact::{Phone, PhoneKind};
    use record::Owner;

    #[tokio::test]
    async fn a_number_that_was_stored_without_a_name_has_its_contacts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
        let book = ContactBook::open(&store).unwrap();
        let number: E164 = "+4921155500100".parse().unwrap();
        let fields = Fields {
            name: "Eva".to_owned(),
            phones: vec![Phone {
                number: number.clone(),
                kind: PhoneKind::Work,
            }],
            ..Fields::default()
        };
        let (id, content) = (
            ContactId("eva".to_owned()),
            Content {
                fields,
                ..Content::default()
            },
        );
        let rows = vec![Row {
            id: id.clone(),
            content,
        }];
        book.put_all(rows, false).await.unwrap().remove(0).unwrap();
        let (owners, row) = (store.tree(TREE), key(b'n', number.as_str().as_bytes()));
        let version_1 = store.commit(move |writes| writes.put(&owners, &row, &Owner(id)));
        version_1.await.unwrap();
        assert_eq!(book.name_of(&number).unwrap().as_deref(), Some("Eva"));
        let entry = book.by_number(&number).unwrap();
        assert_eq!(entry.unwrap().contact.fields.name, "Eva");
    }
}
