//! Everything of somebody in a store that nobody else has open: found, counted, and removed by who owns it. `erase.rs` and
//! `restore.rs` call it.

use super::person::{Person, Reader};
use crate::calls::directory::Directory;
use crate::calls::journal::{Entry, Journal, QUEUE_POSTS_DEFAULT};
use crate::calls::lately::Lately;
use crate::calls::ledger::{Forgotten, Ledger};
use crate::calls::outbox::Outbox;
use crate::contacts::memory::{Found, Memory};
use crate::phonebook::directory::{Condition, ContactBook, WriteFault};
use crate::store::{Store, StoreFault};
use crate::terms::contact::{Contact, ContactId, Fields};
use crate::terms::ids::CustomerId;
use crate::terms::number::NumberPlan;
use std::collections::{BTreeMap, BTreeSet};

/// Read together.
const PAGE: usize = 500;

/// What goes, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    pub calls: usize,
    pub events: usize,
    /// Calls and texts of these that were still owed, or not over: they are not logged any more.
    pub unfinished: usize,
    /// Of the built-in phone book.
    pub contacts: usize,
    /// Of the contact syncs, both sides.
    pub synced: usize,
    /// What the same people are found by too, which may be in other records.
    pub also: BTreeSet<String>,
}

/// Why somebody wasn't removed, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum ShelfFault {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error("the built-in phone book: {0}")]
    Book(#[from] WriteFault),
}

/// All that is looked through.
pub(super) struct Shelves {
    journal: Journal,
    ledger: Ledger,
    outbox: Outbox,
    directory: Directory,
    lately: Lately,
    book: ContactBook,
    syncs: BTreeMap<String, Memory>,
}

/// What was found of somebody.
pub(super) struct All {
    calls: Forgotten,
    contacts: Vec<(ContactId, Fields)>,
    syncs: BTreeMap<String, Found>,
}

impl Shelves {
    pub(super) fn open(store: &Store) -> Result<Self, StoreFault> {
        let outbox = Outbox::open(store);
        let names = Memory::integrations(store)?;
        let memory = |name: String| {
            let memory = Memory::open(store, &name);
            (name, memory)
        };
        Ok(Self {
            journal: Journal::open(store.clone(), QUEUE_POSTS_DEFAULT)?,
            ledger: Ledger::open(store, &outbox),
            directory: Directory::open(store),
            lately: Lately::open(store),
            book: ContactBook::open(store)?,
            syncs: names.into_iter().map(memory).collect(),
            outbox,
        })
    }

    /// Whether everything that was taken has been read: only then is every event in a call.
    pub(super) fn are_read(&self) -> Result<bool, StoreFault> {
        self.ledger.has_read(self.journal.last_seq())
    }

    /// Everything of theirs. A customer's numbers and e-mails count as theirs, and are learned.
    pub(super) fn find(
        &self,
        person: &mut Person,
        plans: &[&NumberPlan],
    ) -> Result<All, StoreFault> {
        self.get_to_know(person)?;
        let theirs = |contact: &Contact| {
            let (at, mut sources) = (contact.updated_at, contact.sources.iter());
            person.has_any_of(&contact.fields, at)
                || sources.any(|source| person.is_whose(None, Some(&source.customer), at))
        };
        let mut syncs = BTreeMap::new();
        for (name, memory) in &self.syncs {
            let found = memory.find_all(|customer| person.is_customer(customer), theirs)?;
            syncs.insert(name.clone(), found);
        }
        let mut contacts = Vec::new();
        let mut after: Option<ContactId> = None;
        loop {
            let page = self.book.list(after.as_ref(), PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.contact.id.clone());
            let found = page.into_iter().filter(|entry| theirs(&entry.contact));
            contacts.extend(found.map(|entry| (entry.contact.id, entry.contact.fields)));
        }
        let reader = Reader::new(person, plans);
        let mut events = BTreeMap::new();
        let mut cursor = 0;
        loop {
            let page = self.journal.after(cursor, PAGE)?;
            let Some(last) = page.last() else { break };
            cursor = last.seq;
            let theirs = page.into_iter().filter(|event| is_theirs(event, &reader));
            events.extend(theirs.map(|event| (event.seq, event.posted.pbx)));
        }
        let mut calls = Forgotten::default();
        for delivery in self.outbox.all() {
            let delivery = delivery?;
            let (number, customer) = (delivery.number.as_ref(), delivery.customer.as_deref());
            // When we heard of it: a phone system's clock may be wrong.
            let record = self.ledger.record(&delivery.key)?;
            let heard = record.map_or(delivery.entry.created_at, |record| record.last_event);
            if person.is_whose(number, customer, heard) {
                calls.add(&delivery);
            }
        }
        self.ledger
            .add_all_of(&mut calls, &events, |key, at| reader.is_theirs(key, at))?;
        Ok(All {
            calls,
            contacts,
            syncs,
        })
    }

    /// What a customer is found by: as the sync knows them, and as their calls came.
    fn get_to_know(&self, person: &mut Person) -> Result<(), StoreFault> {
        for memory in self.syncs.values() {
            let mut after = None;
            loop {
                let ids = memory.customers(after.as_ref(), PAGE)?;
                let Some(last) = ids.last().cloned() else {
                    break;
                };
                after = Some(last);
                for id in ids {
                    let Some(until) = person.until_customer(&id) else {
                        continue;
                    };
                    let known = memory.customer(&id)?.and_then(|row| row.customer);
                    if let Some(customer) = known {
                        person.learn(&customer.fields, until);
                    }
                }
            }
        }
        for delivery in self.outbox.all() {
            let delivery = delivery?;
            let customer = delivery.customer.filter(|_| !delivery.fixed);
            let until = customer.and_then(|id| person.until_customer(&CustomerId(id)));
            if let (Some(until), Some(number)) = (until, delivery.number) {
                person.learn_number(number, until);
            }
        }
        Ok(())
    }

    pub(super) fn told(all: &All, person: &Person) -> Erased {
        let mut erased = Erased {
            calls: all.calls.calls.len(),
            events: all.calls.events.len(),
            unfinished: all.calls.unfinished,
            contacts: all.contacts.len(),
            ..Erased::default()
        };
        let synced = all.syncs.values();
        erased.synced = synced
            .clone()
            .map(|found| found.customers.len() + found.contacts.len())
            .sum();
        let fields = synced.flat_map(|found| &found.fields);
        for fields in fields.chain(all.contacts.iter().map(|(_, fields)| fields)) {
            erased.also.extend(person.others_in(fields));
        }
        erased
    }

    /// Removes it. The same again goes on where one was ended before its end.
    pub(super) async fn erase(
        &self,
        all: All,
        person: &Person,
        plans: &[&NumberPlan],
    ) -> Result<(), ShelfFault> {
        for (name, found) in &all.syncs {
            if let Some(memory) = self.syncs.get(name) {
                memory.erase(found).await?;
            }
        }
        for (id, _) in &all.contacts {
            self.book.delete(id, Condition::default()).await?;
        }
        self.directory
            .erase(|number, customer, at| person.is_whose(Some(number), Some(customer), at))
            .await?;
        self.lately
            .erase(|number, at| person.is_whose(Some(number), None, at))
            .await?;
        let reader = Reader::new(person, plans);
        let is_theirs = |other: &str, at| reader.is_theirs(other, at);
        self.ledger.erase_exchanges(is_theirs).await?;
        let mut events = Vec::new();
        for seq in all.calls.events.keys() {
            events.extend(self.journal.get(*seq)?.map(|event| (event.seq, event.id)));
        }
        // The counts go last, so that a run that is ended in between and done again counts no event twice.
        for page in events.chunks(PAGE) {
            self.journal.remove(page.to_vec()).await?;
        }
        self.ledger.erase(all.calls).await?;
        Ok(())
    }
}

fn is_theirs(event: &Entry, reader: &Reader<'_>) -> bool {
    let posted = &event.posted;
    let body = String::from_utf8_lossy(&posted.body);
    let query = posted.query.as_deref().unwrap_or_default();
    reader.is_theirs(&body, posted.received) || reader.is_theirs(query, posted.received)
}
