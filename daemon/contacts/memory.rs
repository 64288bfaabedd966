//! What the sync knows, in the store: both sides as they were last seen, the links, who has which value, and who is to be
//! looked at. Called by everything of the sync; written by the one loop of an integration alone, so that what it read is
//! still so when it writes.

mod batch;
mod erase;
mod index;
mod records;

pub use batch::Batch;
pub use erase::Found;
pub use records::{
    ContactRow, CustomerRow, Holding, Meta, Node, Refusal, Role, TREE, Value, check, of_contact,
    of_customer,
};

use super::link::Link;
use crate::store::{Store, StoreFault, Stored, Tree};
use crate::terms::contact::ContactId;
use crate::terms::ids::CustomerId;
use index::Shelf;
use records::Mark;
use std::ops::Bound;

/// One integration's. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    store: Store,
    trees: Trees,
}

#[derive(Clone)]
struct Trees {
    integration: String,
    customers: Tree<CustomerRow>,
    contacts: Tree<ContactRow>,
    links: Tree<Link>,
    marks: Tree<Mark>,
    shelves: Tree<Shelf>,
    refusals: Tree<Refusal>,
    meta: Tree<Meta>,
}

impl Trees {
    fn key(&self, kind: u8, rest: &[u8]) -> Vec<u8> {
        [self.integration.as_bytes(), &[0, kind], rest].concat()
    }
}

impl Memory {
    pub fn open(store: &Store, integration: &str) -> Self {
        Self {
            store: store.clone(),
            trees: Trees {
                integration: integration.to_owned(),
                customers: store.tree(TREE),
                contacts: store.tree(TREE),
                links: store.tree(TREE),
                marks: store.tree(TREE),
                shelves: store.tree(TREE),
                refusals: store.tree(TREE),
                meta: store.tree(TREE),
            },
        }
    }

    /// # Errors
    /// A fault of the store.
    pub fn meta(&self) -> Result<Meta, StoreFault> {
        let key = self.trees.key(b'm', &[]);
        Ok(self.trees.meta.get(&key)?.unwrap_or_default())
    }

    /// # Errors
    /// A fault of the store.
    pub fn customer(&self, id: &CustomerId) -> Result<Option<CustomerRow>, StoreFault> {
        let key = self.trees.key(b'c', id.0.as_bytes());
        self.trees.customers.get(&key)
    }

    /// # Errors
    /// A fault of the store.
    pub fn contact(&self, id: &ContactId) -> Result<Option<ContactRow>, StoreFault> {
        let key = self.trees.key(b'p', id.0.as_bytes());
        self.trees.contacts.get(&key)
    }

    /// # Errors
    /// A fault of the store.
    pub fn link(&self, id: &ContactId) -> Result<Option<Link>, StoreFault> {
        self.trees.links.get(&self.trees.key(b'l', id.0.as_bytes()))
    }

    /// # Errors
    /// A fault of the store.
    pub fn refusal(&self, id: &ContactId) -> Result<Option<Refusal>, StoreFault> {
        let key = self.trees.key(b'f', id.0.as_bytes());
        self.trees.refusals.get(&key)
    }

    /// All that is refused, by link; up to `limit`.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn refusals(&self, limit: usize) -> Result<Vec<(ContactId, Refusal)>, StoreFault> {
        let rows = page(&self.trees.refusals, &self.trees.key(b'f', &[]), &[], limit)?;
        let rows = rows
            .into_iter()
            .map(|(id, refusal)| (contact_id(&id), refusal));
        Ok(rows.collect())
    }

    /// Up to `limit` links behind `after`.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn links(&self, after: Option<&ContactId>, limit: usize) -> Result<Vec<Link>, StoreFault> {
        let after = after.map_or(&[][..], |id| id.0.as_bytes());
        let rows = page(&self.trees.links, &self.trees.key(b'l', &[]), after, limit)?;
        Ok(rows.into_iter().map(|(_, link)| link).collect())
    }

    /// Up to `limit` contacts behind `after`, those too that are gone.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn contacts(
        &self,
        after: Option<&ContactId>,
        limit: usize,
    ) -> Result<Vec<(ContactId, ContactRow)>, StoreFault> {
        let after = after.map_or(&[][..], |id| id.0.as_bytes());
        let rows = page(
            &self.trees.contacts,
            &self.trees.key(b'p', &[]),
            after,
            limit,
        )?;
        Ok(rows
            .into_iter()
            .map(|(id, row)| (contact_id(&id), row))
            .collect())
    }

    /// Up to `limit` customers behind `after`, those too that are gone.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn customers(
        &self,
        after: Option<&CustomerId>,
        limit: usize,
    ) -> Result<Vec<CustomerId>, StoreFault> {
        let after = after.map_or(&[][..], |id| id.0.as_bytes());
        let rows = page(
            &self.trees.customers,
            &self.trees.key(b'c', &[]),
            after,
            limit,
        )?;
        let id =
            |(id, _): (Vec<u8>, CustomerRow)| CustomerId(String::from_utf8_lossy(&id).into_owned());
        Ok(rows.into_iter().map(id).collect())
    }

    /// Up to `limit` of those who are to be looked at, behind `after`.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn dirty(&self, after: Option<&Node>, limit: usize) -> Result<Vec<Node>, StoreFault> {
        self.marked(b'd', after, limit)
    }

    /// Up to `limit` of those of whom something is left out, in conflict or refused, behind `after`.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn remarked(&self, after: Option<&Node>, limit: usize) -> Result<Vec<Node>, StoreFault> {
        self.marked(b'o', after, limit)
    }

    fn marked(
        &self,
        kind: u8,
        after: Option<&Node>,
        limit: usize,
    ) -> Result<Vec<Node>, StoreFault> {
        let after = after.map(Node::key).unwrap_or_default();
        let rows = page(&self.trees.marks, &self.trees.key(kind, &[]), &after, limit)?;
        Ok(rows
            .iter()
            .filter_map(|(key, _)| Node::parse(key))
            .collect())
    }

    /// Whether somebody is to be looked at.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn is_dirty(&self, node: &Node) -> Result<bool, StoreFault> {
        let key = self.trees.key(b'd', &node.key());
        Ok(self.trees.marks.get(&key)?.is_some())
    }

    /// Whether something of somebody is left out, in conflict or refused.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn is_remarked(&self, node: &Node) -> Result<bool, StoreFault> {
        let key = self.trees.key(b'o', &node.key());
        Ok(self.trees.marks.get(&key)?.is_some())
    }
}

/// Rows of one kind behind a key, without what all keys of the kind begin with.
fn page<V: Stored>(
    tree: &Tree<V>,
    prefix: &[u8],
    after: &[u8],
    limit: usize,
) -> Result<Vec<(Vec<u8>, V)>, StoreFault> {
    let mut first = [prefix, after].concat();
    if !after.is_empty() {
        first.push(0);
    }
    // No prefix ends in 0xff: it is a kind, a 0 or a role.
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    let mut rows = Vec::new();
    for row in tree.range(&first, Bound::Excluded(&end)).take(limit) {
        let (key, value) = row?;
        rows.push((key.get(prefix.len()..).unwrap_or_default().to_vec(), value));
    }
    Ok(rows)
}

fn contact_id(key: &[u8]) -> ContactId {
    ContactId(String::from_utf8_lossy(key).into_owned())
}
