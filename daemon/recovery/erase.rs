//! Somebody forgotten before their time, in a store that nobody has open: every record of theirs is removed by who owns
//! it, then the store is written anew and put in the old one's place, because sled keeps removed bytes in its file until
//! it needs the room.

use super::TREES;
use super::person::Person;
use super::restore::{give_to_owner, sync};
use crate::calls::directory::Directory;
use crate::calls::journal::{Entry, Journal, QUEUE_POSTS_DEFAULT};
use crate::calls::lately::Lately;
use crate::calls::ledger::{Forgotten, Ledger};
use crate::calls::outbox::Outbox;
use crate::contacts::memory::{Found, Memory};
use crate::phonebook::directory::{Condition, ContactBook, WriteFault};
use crate::settings::types::Settings;
use crate::store::{Store, StoreFault, StoreOptions, hold, in_use, released};
use crate::terms::contact::{Contact, ContactId, Fields};
use crate::terms::number::NumberPlan;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Where the store is written anew, and where the old one is until it is removed.
const UNFINISHED: &str = "store.erasing";
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

/// Why nobody was forgotten. What was removed before a fault stays removed; the same command again goes on.
#[derive(Debug, thiserror::Error)]
pub enum EraseFault {
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error("there is no store in {0}")]
    NoStore(String),
    #[error(
        "some events were taken and not read yet: start tieline, wait until `tieline status` shows none unread, stop it, \
         and try again"
    )]
    Unread,
    #[error("the built-in phone book: {0}")]
    Book(#[from] WriteFault),
    #[error("{place}: {source}")]
    Folder { place: String, source: io::Error },
}

/// All that is looked through.
struct Shelves {
    journal: Journal,
    ledger: Ledger,
    outbox: Outbox,
    directory: Directory,
    lately: Lately,
    book: ContactBook,
    syncs: BTreeMap<String, Memory>,
}

/// What was found of somebody.
struct All {
    calls: Forgotten,
    contacts: Vec<(ContactId, Fields)>,
    syncs: BTreeMap<String, Found>,
}

/// Forgets somebody; with `dry_run` only counts. The daemon must not run.
///
/// # Errors
/// `InUse` if it does; see [`EraseFault`].
pub async fn erase(
    settings: &Settings,
    mut person: Person,
    dry_run: bool,
) -> Result<Erased, EraseFault> {
    let state_dir = &settings.daemon.state_dir;
    let (place, unfinished) = (state_dir.join("store"), state_dir.join(UNFINISHED));
    if !place.join("db").exists() {
        return Err(EraseFault::NoStore(state_dir.display().to_string()));
    }
    if in_use(&place)? {
        return Err(StoreFault::InUse { dir: place }.into());
    }
    let store = Store::open(&place, StoreOptions::default())?;
    remove(&unfinished)?;
    let shelves = Shelves::open(&store)?;
    if !shelves.ledger.has_read(shelves.journal.last_seq())? {
        return Err(EraseFault::Unread);
    }
    let mut plans: Vec<&NumberPlan> = vec![&settings.daemon.plan];
    plans.extend(settings.pbxs.iter().map(|pbx| &pbx.plan));
    let all = shelves.find(&mut person, &plans)?;
    let erased = Shelves::told(&all, &person);
    if dry_run {
        return Ok(erased);
    }
    shelves.erase(all, &person, &plans).await?;
    drop(shelves);
    let anew = Store::open(&unfinished, StoreOptions::default())?;
    store.copy_into(&anew, &TREES).await?;
    drop((store, anew));
    released(&place)?;
    released(&unfinished)?;
    // A daemon that is started now would write into the store that goes.
    let _held = hold(&place)?;
    swap(state_dir, &place, &unfinished)?;
    Ok(erased)
}

/// What an erasure left that was ended before its end: a half store, or an old one with what was erased.
///
/// # Errors
/// `Folder` if it can't be removed.
pub fn remove_unfinished(state_dir: &Path) -> Result<(), EraseFault> {
    remove(&state_dir.join(UNFINISHED))
}

fn remove(folder: &Path) -> Result<(), EraseFault> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn at(place: &Path) -> impl FnOnce(io::Error) -> EraseFault + use<> {
    let place = place.display().to_string();
    move |source| EraseFault::Folder { place, source }
}

/// The new store takes the old one's place in one step: there is a whole store at any time.
fn swap(state_dir: &Path, place: &Path, unfinished: &Path) -> Result<(), EraseFault> {
    let dressed = give_to_owner(state_dir, unfinished);
    dressed
        .and_then(|()| sync(unfinished))
        .map_err(at(unfinished))?;
    renameat_with(CWD, unfinished, CWD, place, RenameFlags::EXCHANGE)
        .map_err(|errno| at(place)(errno.into()))?;
    let synced = File::open(state_dir).and_then(|dir| dir.sync_all());
    synced.map_err(at(state_dir))?;
    remove(unfinished)
}

impl Shelves {
    fn open(store: &Store) -> Result<Self, StoreFault> {
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

    /// Everything of theirs. A customer's numbers and e-mails count as theirs.
    fn find(&self, person: &mut Person, plans: &[&NumberPlan]) -> Result<All, StoreFault> {
        if !person.customers.is_empty() {
            self.get_to_know(person)?;
        }
        let theirs = |contact: &Contact| {
            let mut sources = contact.sources.iter();
            person.has_any_of(&contact.fields)
                || sources.any(|source| person.is_whose(None, Some(&source.customer)))
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
        let mut events = BTreeMap::new();
        let mut cursor = 0;
        loop {
            let page = self.journal.after(cursor, PAGE)?;
            let Some(last) = page.last() else { break };
            cursor = last.seq;
            let theirs = page
                .into_iter()
                .filter(|event| is_theirs(event, person, plans));
            events.extend(theirs.map(|event| (event.seq, event.posted.pbx)));
        }
        let mut calls = Forgotten::default();
        for delivery in self.outbox.all() {
            let delivery = delivery?;
            if person.is_whose(delivery.number.as_ref(), delivery.customer.as_deref()) {
                calls.add(&delivery);
            }
        }
        let key_is_theirs = |key: &str| person.is_in(key, plans);
        self.ledger.add_all_of(&mut calls, &events, key_is_theirs)?;
        Ok(All {
            calls,
            contacts,
            syncs,
        })
    }

    /// What a customer is found by: as the sync knows them, and as their calls came.
    fn get_to_know(&self, person: &mut Person) -> Result<(), StoreFault> {
        for memory in self.syncs.values() {
            for id in person.customers.clone() {
                let known = memory.customer(&id)?.and_then(|row| row.customer);
                if let Some(customer) = known {
                    person.learn(&customer.fields);
                }
            }
        }
        for delivery in self.outbox.all() {
            let delivery = delivery?;
            if person.is_whose(None, delivery.customer.as_deref()) && !delivery.fixed {
                person.numbers.extend(delivery.number);
            }
        }
        Ok(())
    }

    fn told(all: &All, person: &Person) -> Erased {
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

    async fn erase(
        &self,
        all: All,
        person: &Person,
        plans: &[&NumberPlan],
    ) -> Result<(), EraseFault> {
        for (name, found) in &all.syncs {
            if let Some(memory) = self.syncs.get(name) {
                memory.erase(found).await?;
            }
        }
        for (id, _) in &all.contacts {
            self.book.delete(id, Condition::default()).await?;
        }
        self.directory.erase(&person.numbers).await?;
        self.lately.erase(&person.numbers).await?;
        let is_theirs = |other: &str| person.is_in(other, plans);
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

fn is_theirs(event: &Entry, person: &Person, plans: &[&NumberPlan]) -> bool {
    let body = String::from_utf8_lossy(&event.posted.body);
    let query = event.posted.query.as_deref().unwrap_or_default();
    person.is_in(&body, plans) || person.is_in(query, plans)
}
