//! Somebody forgotten before their time: what both sides said of them goes, and what they agreed on. The link stays as one
//! that the phone side removed, with ids alone, so that the sync doesn't bring them back. Part of `memory`.

use super::super::fetch::Row;
use super::super::link::{Link, LinkState, Side};
use super::super::world::Customer;
use super::{Batch, Memory, TREE};
use crate::clock;
use crate::store::{Store, StoreFault, Stored};
use crate::terms::contact::{Contact, ContactId, Fields};
use crate::terms::ids::CustomerId;
use std::collections::BTreeSet;

/// Read together.
const PAGE: usize = 500;

/// A record of which only the key is wanted.
struct Any;

impl Stored for Any {
    fn to_bytes(&self, _tree: &'static str) -> Result<Vec<u8>, StoreFault> {
        Ok(Vec::new())
    }

    fn from_bytes(_tree: &'static str, _bytes: &[u8]) -> Result<Self, StoreFault> {
        Ok(Self)
    }
}

/// Customers and contacts that are somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub customers: BTreeSet<CustomerId>,
    pub contacts: BTreeSet<ContactId>,
    /// What the sides have of them, to say what else they may be found by.
    pub fields: Vec<Fields>,
}

impl Memory {
    /// The integrations of which something is known, those too that are in no settings any more.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn integrations(store: &Store) -> Result<BTreeSet<String>, StoreFault> {
        let mut names = BTreeSet::new();
        for row in store.tree::<Any>(TREE).prefix(&[]) {
            let (key, _) = row?;
            let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
            names.insert(String::from_utf8_lossy(name).into_owned());
        }
        Ok(names)
    }

    /// Whom `is_customer` and `is_contact` say, and everybody who is linked with one of them.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn find_all(
        &self,
        is_customer: impl Fn(&Customer) -> bool,
        is_contact: impl Fn(&Contact) -> bool,
    ) -> Result<Found, StoreFault> {
        let mut found = Found::default();
        let mut after = None;
        loop {
            let ids = self.customers(after.as_ref(), PAGE)?;
            let Some(last) = ids.last().cloned() else {
                break;
            };
            after = Some(last);
            for id in ids {
                let customer = self.customer(&id)?.and_then(|row| row.customer);
                if let Some(customer) = customer.filter(|customer| is_customer(customer)) {
                    found.fields.push(customer.fields);
                    found.customers.insert(id);
                }
            }
        }
        let mut after = None;
        loop {
            let rows = self.contacts(after.as_ref(), PAGE)?;
            let Some((last, _)) = rows.last().cloned() else {
                break;
            };
            after = Some(last);
            for (id, row) in rows {
                let contact = row.entry.map(|entry| entry.contact);
                if let Some(contact) = contact.filter(|contact| is_contact(contact)) {
                    found.fields.push(contact.fields);
                    found.contacts.insert(id);
                }
            }
        }
        for link in self.links_with(&found)? {
            found.contacts.insert(link.contact.clone());
            let parts = link.parts.into_iter().map(|part| part.customer);
            found.customers.extend(parts);
        }
        Ok(found)
    }

    fn links_with(&self, found: &Found) -> Result<Vec<Link>, StoreFault> {
        let (mut with, mut after) = (Vec::new(), None);
        loop {
            let links = self.links(after.as_ref(), PAGE)?;
            let Some(last) = links.last() else {
                return Ok(with);
            };
            after = Some(last.contact.clone());
            let theirs = |link: &Link| {
                let parts = &mut link.parts.iter();
                found.contacts.contains(&link.contact)
                    || parts.any(|part| found.customers.contains(&part.customer))
            };
            with.extend(links.into_iter().filter(theirs));
        }
    }

    /// Forgets them. For a store whose sync isn't running.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn erase(&self, found: &Found) -> Result<(), StoreFault> {
        let mut batch = Batch::open(self)?;
        for id in &found.customers {
            if self.customer(id)?.is_some() {
                let id = id.clone();
                batch.note_row(Row::Gone { id, into: None })?;
            }
        }
        for id in &found.contacts {
            if self.contact(id)?.is_some() {
                batch.note_gone(id)?;
            }
            batch.refuse(id, None);
        }
        let at = clock::now();
        for mut link in self.links_with(found)? {
            link.agreed = Fields::default();
            link.parts.iter_mut().for_each(|part| part.seen = None);
            link.state = LinkState::Removed {
                by: Side::Phone,
                at,
            };
            batch.link(&link.contact.clone(), Some(link));
        }
        batch.commit().await
    }
}
