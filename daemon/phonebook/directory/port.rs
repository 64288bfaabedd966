//! The built-in phone book as the phone side of the contact sync: the port of `phonebook/mod.rs`.

use super::history::{Change, Cursor, Lost};
use super::record::Stored;
use super::write::{Condition, Outcome, WriteFault};
use super::{Claim, ContactBook};
use crate::phonebook::{Changes, Draft, Entry, Etag, PhonebookFault, Token};
use crate::store::StoreFault;
use crate::terms::contact::ContactId;

/// Contacts in one part of the sync's reading: some hundred kilobytes.
const SYNC_PART: usize = 500;

impl ContactBook {
    /// # Errors
    /// A fault of the store.
    pub async fn changes(&self, since: Option<&Token>) -> Result<Changes, PhonebookFault> {
        let cursor = since.and_then(|Token(text)| Cursor::parse(text));
        let part = match self.history(cursor, SYNC_PART)? {
            Ok(part) => part,
            // From the beginning there is nothing to lose.
            Err(Lost) => match self.history(None, SYNC_PART)? {
                Ok(part) => part,
                Err(Lost) => {
                    return Err(PhonebookFault::Unreachable {
                        why: "the phone book changes faster than it can be read".to_owned(),
                        unclear: false,
                    });
                }
            },
        };
        let mut changes = Changes {
            changed: Vec::new(),
            removed: Vec::new(),
            complete: part.walk,
            token: Token(part.next.to_string()),
            more: part.more,
        };
        for change in part.changes {
            match change {
                Change::Contact(entry) => changes.changed.push(*entry),
                Change::Removed(id) => changes.removed.push(id),
            }
        }
        Ok(changes)
    }

    /// # Errors
    /// A fault of the store.
    pub async fn get(&self, id: &ContactId) -> Result<Option<Entry>, PhonebookFault> {
        Ok(self.find(id)?)
    }

    /// # Errors
    /// `Exists`, `Rejected`, or a fault of the store.
    pub async fn create(&self, id: &ContactId, draft: &Draft) -> Result<Etag, PhonebookFault> {
        let draft = draft.clone();
        let edit = move |_: Option<&Stored>| Ok(Some(put_draft(None, draft)));
        let done = self.change(id, Condition::absent(), edit).await;
        etag_of(done.map_err(create_fault)?)
    }

    /// Creates several contacts together, each for itself: one that can't be created leaves the others.
    ///
    /// # Errors
    /// A fault of the store: then none was created.
    pub async fn create_all(
        &self,
        drafts: Vec<(ContactId, Draft)>,
    ) -> Result<Vec<Result<Entry, PhonebookFault>>, StoreFault> {
        let rows = drafts.into_iter().map(|(id, draft)| {
            let edit = |_: Option<&Stored>| Ok(Some(put_draft(None, draft)));
            (id, Condition::absent(), edit)
        });
        let created = self.change_all(rows.collect(), false).await?;
        let entry = |done: Result<Outcome, WriteFault>| {
            let done = done.map_err(create_fault)?;
            done.entry().ok_or(PhonebookFault::Gone)
        };
        Ok(created.into_iter().map(entry).collect())
    }

    /// # Errors
    /// `Changed`, `Gone`, `Rejected`, or a fault of the store.
    pub async fn update(
        &self,
        id: &ContactId,
        etag: &Etag,
        draft: &Draft,
    ) -> Result<Etag, PhonebookFault> {
        let draft = draft.clone();
        let edit = move |old: Option<&Stored>| Ok(Some(put_draft(old, draft)));
        let done = self.change(id, read_as(etag), edit).await;
        etag_of(done.map_err(port_fault)?)
    }

    /// # Errors
    /// `Changed`, `Gone`, or a fault of the store.
    pub async fn remove(&self, id: &ContactId, etag: &Etag) -> Result<(), PhonebookFault> {
        let done = self.delete(id, read_as(etag)).await;
        done.map(|_| ()).map_err(port_fault)
    }
}

fn read_as(Etag(etag): &Etag) -> Condition {
    // What is no revision is the version of no contact: revisions begin with 1.
    Condition::version(etag.parse().unwrap_or_default())
}

fn etag_of(done: Outcome) -> Result<Etag, PhonebookFault> {
    let entry = done.entry().ok_or(PhonebookFault::Gone)?;
    Ok(entry.etag)
}

fn create_fault(fault: WriteFault) -> PhonebookFault {
    match fault {
        WriteFault::Condition(Some(there)) => PhonebookFault::Exists(there),
        other => port_fault(other),
    }
}

fn port_fault(fault: WriteFault) -> PhonebookFault {
    match fault {
        WriteFault::Condition(None) | WriteFault::Missing => PhonebookFault::Gone,
        WriteFault::Condition(Some(_)) => PhonebookFault::Changed,
        // The sync's faults are shown and logged: no number in them.
        WriteFault::Taken { claim, by } => {
            let what = match claim {
                Claim::Number(_) => "a number",
                Claim::Email(_) => "an e-mail",
            };
            PhonebookFault::Rejected(format!("{what} of it is in use by contact {by}"))
        }
        WriteFault::Invalid(why) => PhonebookFault::Rejected(why),
        WriteFault::Store(fault) => PhonebookFault::Store(fault),
    }
}

fn put_draft(old: Option<&Stored>, draft: Draft) -> Stored {
    let mut new = old.cloned().unwrap_or_else(Stored::empty);
    new.put_fields(draft.fields);
    new.link = draft.link;
    let before = new.sync_tag.take();
    new.tags.retain(|tag| Some(tag) != before.as_ref());
    if let Some(tag) = draft.tag
        && !new.tags.contains(&tag)
    {
        new.tags.push(tag.clone());
        new.sync_tag = Some(tag);
    }
    new.sources = draft.sources;
    new
}
