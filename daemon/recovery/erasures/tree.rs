//! Which erasures a store has had, in the store itself, so that each backup tells. Owns the tree `erasures`: one record,
//! the ledger's lines.

use super::{Erasures, ErasuresFault};
use crate::store::{Store, StoreFault, Stored, Tree};

/// The tree's name, for imports.
pub const TREE: &str = "erasures";

const KEY: &[u8] = b"d";

impl Stored for Erasures {
    fn to_bytes(&self, _tree: &'static str) -> Result<Vec<u8>, StoreFault> {
        Ok(self.to_text().into_bytes())
    }

    fn from_bytes(tree: &'static str, bytes: &[u8]) -> Result<Self, StoreFault> {
        let text = std::str::from_utf8(bytes).map_err(|_| ErasuresFault::Damaged("it is no text"));
        let read = text.and_then(Self::parse);
        read.map_err(|why| StoreFault::BadRecord {
            tree,
            why: why.to_string(),
        })
    }
}

/// The erasures that were done in a store.
pub struct Done {
    store: Store,
    tree: Tree<Erasures>,
}

impl Done {
    pub fn open(store: &Store) -> Self {
        Self {
            store: store.clone(),
            tree: store.tree(TREE),
        }
    }

    /// # Errors
    /// A fault of the store.
    pub fn read(&self) -> Result<Erasures, StoreFault> {
        Ok(self.tree.get(KEY)?.unwrap_or_default())
    }

    /// Notes that all of these were done.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn note(&self, all: Erasures) -> Result<(), StoreFault> {
        let tree = self.tree.clone();
        self.store
            .commit(move |writes| writes.put(&tree, KEY, &all))
            .await
    }
}
