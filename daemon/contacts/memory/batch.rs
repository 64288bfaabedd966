//! What is learned together, and written in one group: rows of both sides, links, who is to be looked at for it, and where
//! reading goes on.

use super::super::fetch::Row;
use super::super::link::{Link, LinkState};
use super::records::{ContactRow, CustomerRow, Holding, Mark, Meta, Node, Refusal, Role, Value};
use super::{Memory, Trees, of_contact, of_customer};
use crate::clock;
use crate::phonebook::Entry;
use crate::store::{StoreFault, Writes};
use crate::terms::contact::{Contact, ContactId};
use crate::terms::ids::CustomerId;
use std::collections::{BTreeMap, BTreeSet};

/// Changes to what is known, until they are written.
pub struct Batch {
    memory: Memory,
    meta: Meta,
    customers: BTreeMap<CustomerId, CustomerRow>,
    contacts: BTreeMap<ContactId, ContactRow>,
    links: BTreeMap<ContactId, Option<Link>>,
    marks: BTreeMap<Node, bool>,
    remarks: BTreeMap<Node, bool>,
    refusals: BTreeMap<ContactId, Option<Refusal>>,
}

impl Batch {
    /// # Errors
    /// A fault of the store.
    pub fn open(memory: &Memory) -> Result<Self, StoreFault> {
        Ok(Self {
            memory: memory.clone(),
            meta: memory.meta()?,
            customers: BTreeMap::new(),
            contacts: BTreeMap::new(),
            links: BTreeMap::new(),
            marks: BTreeMap::new(),
            remarks: BTreeMap::new(),
            refusals: BTreeMap::new(),
        })
    }

    pub const fn meta(&mut self) -> &mut Meta {
        &mut self.meta
    }

    /// A customer as it was read. One that is older than what is known changes nothing.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn note_row(&mut self, row: Row) -> Result<(), StoreFault> {
        let (id, new) = match row {
            Row::Here { customer, stamp } => {
                let id = customer.id.clone();
                let known = self.customer(&id)?;
                if known.is_some_and(|known| known.stamp.is_some_and(|known| known >= stamp)) {
                    return Ok(());
                }
                let row = CustomerRow {
                    customer: Some(customer),
                    into: None,
                    stamp: Some(stamp),
                };
                (id, row)
            }
            Row::Gone { id, into } => {
                let known = self.customer(&id)?.unwrap_or_default();
                let into = into.or_else(|| known.into.clone());
                let row = CustomerRow {
                    customer: None,
                    into,
                    stamp: known.stamp,
                };
                if self.customer(&id)?.as_ref() == Some(&row) {
                    return Ok(());
                }
                (id, row)
            }
        };
        self.mark(Node::Customer(id.clone()));
        self.customers.insert(id, new);
        Ok(())
    }

    /// Whether it changed and says no time for that: some clients leave the one on a card, and some servers tell none.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn is_undated(&self, entry: &Entry) -> Result<bool, StoreFault> {
        let known = self.contact(&entry.contact.id)?.and_then(|row| row.entry);
        Ok(known.is_some_and(|known| {
            let at = known.contact.updated_at;
            let as_known = Contact {
                updated_at: at,
                ..entry.contact.clone()
            };
            entry.contact.updated_at <= at && as_known != known.contact
        }))
    }

    /// A contact as it was read. One that changed and doesn't say when changed just now.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn note_entry(&mut self, mut entry: Entry) -> Result<(), StoreFault> {
        let id = entry.contact.id.clone();
        let listing = self.meta.listing;
        let known = self.contact(&id)?;
        let before = known.as_ref().and_then(|row| row.entry.as_ref());
        if self.is_undated(&entry)? {
            entry.contact.updated_at = clock::now();
        } else if let Some(before) = before {
            let at = &mut entry.contact.updated_at;
            *at = (*at).max(before.contact.updated_at);
        }
        if before.is_none_or(|before| before.contact != entry.contact) {
            self.mark(Node::Contact(id.clone()));
        }
        let entry = Some(entry);
        let row = ContactRow { entry, listing };
        if known.as_ref() != Some(&row) {
            self.contacts.insert(id, row);
        }
        Ok(())
    }

    /// A contact that was said to be gone.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn note_gone(&mut self, id: &ContactId) -> Result<(), StoreFault> {
        let known = self.contact(id)?;
        if known.is_some_and(|row| row.entry.is_none()) {
            return Ok(());
        }
        self.mark(Node::Contact(id.clone()));
        let row = ContactRow {
            entry: None,
            listing: self.meta.listing,
        };
        self.contacts.insert(id.clone(), row);
        Ok(())
    }

    /// What becomes of a link; none: it is forgotten, and what was refused of it with it.
    pub fn link(&mut self, id: &ContactId, link: Option<Link>) {
        if link.is_none() {
            self.refuse(id, None);
        }
        self.links.insert(id.clone(), link);
    }

    /// Whether a customer is known otherwise by it.
    pub fn has_news(&self) -> bool {
        !self.customers.is_empty()
    }

    /// To be looked at.
    pub fn mark(&mut self, node: Node) {
        self.marks.insert(node, true);
    }

    /// Looked at, and nothing more to say of it unless [`Self::remark`] does afterwards.
    pub fn clean(&mut self, node: Node) {
        self.remarks.insert(node.clone(), false);
        self.marks.insert(node, false);
    }

    /// Something of it is left out, in conflict or refused.
    pub fn remark(&mut self, node: Node) {
        self.remarks.insert(node, true);
    }

    pub fn refuse(&mut self, link: &ContactId, refusal: Option<Refusal>) {
        self.refusals.insert(link.clone(), refusal);
    }

    /// The customer as it will be known.
    fn customer(&self, id: &CustomerId) -> Result<Option<CustomerRow>, StoreFault> {
        match self.customers.get(id) {
            Some(row) => Ok(Some(row.clone())),
            None => self.memory.customer(id),
        }
    }

    fn contact(&self, id: &ContactId) -> Result<Option<ContactRow>, StoreFault> {
        match self.contacts.get(id) {
            Some(row) => Ok(Some(row.clone())),
            None => self.memory.contact(id),
        }
    }

    /// Writes it all, or nothing.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn commit(mut self) -> Result<(), StoreFault> {
        let diff = self.diff()?;
        for node in self.concerned(&diff)? {
            self.marks.insert(node, true);
        }
        self.lift_refusals()?;
        let store = self.memory.store.clone();
        store.commit(move |writes| self.write(&diff, writes)).await
    }

    /// Index rows that go and that come; counts go along.
    fn diff(&mut self) -> Result<Diff, StoreFault> {
        let mut diff = Diff::default();
        let mut meta = self.meta.clone();
        for (id, row) in &self.customers {
            let old = self.memory.customer(id)?;
            let here = |row: Option<&CustomerRow>| row.is_some_and(|row| row.customer.is_some());
            count(&mut meta.customers, here(old.as_ref()), here(Some(row)));
            diff.note(&of_customer(id, old.as_ref()), &of_customer(id, Some(row)));
        }
        let ids: BTreeSet<&ContactId> = self.contacts.keys().chain(self.links.keys()).collect();
        for id in ids {
            let (old_row, old_link) = (self.memory.contact(id)?, self.memory.link(id)?);
            let row = self.contacts.get(id).or(old_row.as_ref());
            let link = match self.links.get(id) {
                Some(link) => link.as_ref(),
                None => old_link.as_ref(),
            };
            let here = |row: Option<&ContactRow>| row.is_some_and(|row| row.entry.is_some());
            let linked =
                |link: Option<&Link>| link.is_some_and(|link| link.state == LinkState::Linked);
            count(&mut meta.contacts, here(old_row.as_ref()), here(row));
            count(&mut meta.linked, linked(old_link.as_ref()), linked(link));
            let old = of_contact(id, old_row.as_ref(), old_link.as_ref());
            diff.note(&old, &of_contact(id, row, link));
        }
        self.meta = meta;
        Ok(diff)
    }

    /// Whom a change concerns that shares nothing with the changed one any more, or whose value became somebody's or
    /// nobody's own.
    fn concerned(&self, diff: &Diff) -> Result<BTreeSet<Node>, StoreFault> {
        let mut nodes = BTreeSet::new();
        for gone in &diff.gone {
            match &gone.value {
                Value::Number(_) | Value::Email(_) => {
                    if !self.is_nobodys(&gone.value)? {
                        nodes.extend(self.holders(&gone.value)?);
                    }
                }
                // Whoever has a link already keeps it, whatever another's name is now.
                Value::Name(_) => {}
                Value::LinkOf(id) | Value::MergedInto(id) => {
                    nodes.insert(Node::Customer(id.clone()));
                }
                Value::External(id) => {
                    nodes.insert(Node::Contact(ContactId(id.clone())));
                }
            }
        }
        let declared = diff.gone.iter().chain(&diff.come);
        let declared = declared.filter(|one| one.role.is_nobodys());
        let declared: BTreeSet<&Value> = declared.map(|one| &one.value).collect();
        for value in declared {
            if self.was_nobodys(value)? != self.is_nobodys(value)? {
                nodes.extend(self.holders(value)?);
            }
        }
        Ok(nodes)
    }

    fn holders(&self, value: &Value) -> Result<Vec<Node>, StoreFault> {
        let holders = self.memory.holders(value, usize::MAX)?;
        Ok(holders.into_iter().map(|one| one.node).collect())
    }

    fn was_nobodys(&self, value: &Value) -> Result<bool, StoreFault> {
        let nobody = |_: &Node| false;
        Ok(self.memory.declares(value, Role::Shared, nobody)?
            || self.memory.declares(value, Role::Whatsapp, nobody)?)
    }

    fn is_nobodys(&self, value: &Value) -> Result<bool, StoreFault> {
        let changed = |node: &Node| match node {
            Node::Customer(id) => self.customers.contains_key(id),
            Node::Contact(_) => false,
        };
        let says = |(id, row): (&CustomerId, &CustomerRow)| {
            let mut all = of_customer(id, Some(row)).into_iter();
            all.any(|one| one.role.is_nobodys() && one.value == *value)
        };
        Ok(self.customers.iter().any(says)
            || self.memory.declares(value, Role::Shared, changed)?
            || self.memory.declares(value, Role::Whatsapp, changed)?)
    }

    /// What was refused is tried again once something of its link has changed.
    fn lift_refusals(&mut self) -> Result<(), StoreFault> {
        if self.memory.refusals(1)?.is_empty() {
            return Ok(());
        }
        let mut links: BTreeSet<ContactId> = BTreeSet::new();
        for node in self.marks.iter().filter(|(_, dirty)| **dirty) {
            match node.0 {
                Node::Contact(id) => {
                    if self.contacts.contains_key(id) {
                        links.insert(id.clone());
                    }
                }
                Node::Customer(id) => {
                    if self.customers.contains_key(id) {
                        let holders = self
                            .memory
                            .holders(&Value::LinkOf(id.clone()), usize::MAX)?;
                        links.extend(holders.into_iter().filter_map(|one| match one.node {
                            Node::Contact(id) => Some(id),
                            Node::Customer(_) => None,
                        }));
                    }
                }
            }
        }
        for link in links {
            if self.memory.refusal(&link)?.is_some() {
                self.refusals.entry(link).or_insert(None);
            }
        }
        Ok(())
    }

    fn write(self, diff: &Diff, writes: &mut Writes<'_>) -> Result<(), StoreFault> {
        let trees: &Trees = &self.memory.trees;
        trees.index(writes, &diff.gone, &diff.come)?;
        for (id, row) in &self.customers {
            writes.put(&trees.customers, &trees.key(b'c', id.0.as_bytes()), row)?;
        }
        for (id, row) in &self.contacts {
            writes.put(&trees.contacts, &trees.key(b'p', id.0.as_bytes()), row)?;
        }
        for (id, link) in &self.links {
            let key = trees.key(b'l', id.0.as_bytes());
            match link {
                Some(link) => writes.put(&trees.links, &key, link)?,
                None => writes.remove(&trees.links, &key)?,
            }
        }
        for (node, dirty) in &self.marks {
            let key = trees.key(b'd', &node.key());
            if *dirty {
                writes.put(&trees.marks, &key, &Mark::default())?;
            } else if writes.get(&trees.marks, &key)?.is_some() {
                writes.remove(&trees.marks, &key)?;
            }
        }
        for (node, remarked) in &self.remarks {
            let key = trees.key(b'o', &node.key());
            if *remarked {
                writes.put(&trees.marks, &key, &Mark::default())?;
            } else if writes.get(&trees.marks, &key)?.is_some() {
                writes.remove(&trees.marks, &key)?;
            }
        }
        for (id, refusal) in &self.refusals {
            let key = trees.key(b'f', id.0.as_bytes());
            match refusal {
                Some(refusal) => writes.put(&trees.refusals, &key, refusal)?,
                None => writes.remove(&trees.refusals, &key)?,
            }
        }
        writes.put(&trees.meta, &trees.key(b'm', &[]), &self.meta)
    }
}

fn count(total: &mut u64, before: bool, after: bool) {
    match (before, after) {
        (false, true) => *total = total.saturating_add(1),
        (true, false) => *total = total.saturating_sub(1),
        (true, true) | (false, false) => {}
    }
}

#[derive(Default)]
struct Diff {
    gone: Vec<Holding>,
    come: Vec<Holding>,
}

impl Diff {
    fn note(&mut self, old: &BTreeSet<Holding>, new: &BTreeSet<Holding>) {
        self.gone.extend(old.difference(new).cloned());
        self.come.extend(new.difference(old).cloned());
    }
}
