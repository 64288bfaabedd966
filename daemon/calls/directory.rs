//! Who a number belongs to, as Kustomer last said: saves the lookup for a customer met before.
//!
//! Owns the tree `directory`. `log` asks before it searches Kustomer and forgets an entry that turned out wrong.

use crate::store::{Record, Store, StoreFault, Tree, readable};
use crate::terms::number::E164;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The tree's name, for imports.
pub const TREE: &str = "directory";

/// An entry older than this is looked up again: numbers change hands, and one lookup a day per active customer is
/// nothing beside two requests a call.
const KNOWN_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Entries removed in one group: a removal must not hold up an append for long.
const PAGE_ENTRIES: usize = 256;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    customer: String,
    at: Timestamp,
}

impl Record for Known {
    const VERSION: u16 = 1;
}

/// Number -> customer id, per integration.
#[derive(Clone)]
pub struct Directory {
    store: Store,
    tree: Tree<Known>,
}

impl Directory {
    pub fn open(store: &Store) -> Self {
        Self {
            store: store.clone(),
            tree: store.tree(TREE),
        }
    }

    /// The customer, if Kustomer said so within the last day.
    pub fn find(
        &self,
        integration: &str,
        number: &E164,
        now: Timestamp,
    ) -> Result<Option<String>, StoreFault> {
        let known = self.tree.get(&store_key(integration, number))?;
        Ok(known
            .filter(|known| now.duration_since(known.at) < KNOWN_AGE_MAX)
            .map(|known| known.customer))
    }

    pub async fn remember(
        &self,
        integration: &str,
        number: &E164,
        customer: &str,
        now: Timestamp,
    ) -> Result<(), StoreFault> {
        let one = (number.clone(), customer.to_owned());
        self.remember_all(integration, vec![one], now).await
    }

    /// The same for several numbers with their customers.
    pub async fn remember_all(
        &self,
        integration: &str,
        owners: Vec<(E164, String)>,
        now: Timestamp,
    ) -> Result<(), StoreFault> {
        let (tree, integration) = (self.tree.clone(), integration.to_owned());
        self.store
            .commit(move |writes| {
                owners.into_iter().try_for_each(|(number, customer)| {
                    let key = store_key(&integration, &number);
                    writes.put(&tree, &key, &Known { customer, at: now })
                })
            })
            .await
    }

    /// Removes entries too old to be used; answers how many went.
    pub async fn prune(&self, now: Timestamp) -> Result<usize, StoreFault> {
        let mut old = Vec::new();
        for row in self.tree.prefix(&[]) {
            let (key, known) = row?;
            if now.duration_since(known.at) >= KNOWN_AGE_MAX {
                old.push(key);
            }
        }
        let removed = old.len();
        for page in old.chunks(PAGE_ENTRIES) {
            let (tree, page) = (self.tree.clone(), page.to_vec());
            self.store
                .commit(move |writes| page.iter().try_for_each(|key| writes.remove(&tree, key)))
                .await?;
        }
        Ok(removed)
    }

    /// Removes, for all integrations, whose number, customer and time `is_theirs` says.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn erase(
        &self,
        is_theirs: impl Fn(&E164, &str, Timestamp) -> bool,
    ) -> Result<(), StoreFault> {
        let mut keys = Vec::new();
        for row in self.tree.prefix(&[]) {
            let (key, known) = row?;
            if number_in(&key).is_some_and(|number| is_theirs(&number, &known.customer, known.at)) {
                keys.push(key);
            }
        }
        let tree = self.tree.clone();
        self.store
            .commit(move |writes| keys.iter().try_for_each(|key| writes.remove(&tree, key)))
            .await
    }

    pub async fn forget(&self, integration: &str, number: &E164) -> Result<(), StoreFault> {
        let (tree, key) = (self.tree.clone(), store_key(integration, number));
        self.store
            .commit(move |writes| writes.remove(&tree, &key))
            .await
    }
}

/// Whether this tieline can read a record of the tree, as a backup has it.
///
/// # Errors
/// `NewerRecord` if a later tieline wrote it, `BadRecord` if it makes no sense.
pub fn check(value: &[u8]) -> Result<(), StoreFault> {
    readable::<Known>(TREE, value)
}

fn number_in(key: &[u8]) -> Option<E164> {
    let number = key.rsplit(|byte| *byte == 0).next()?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn store_key(integration: &str, number: &E164) -> Vec<u8> {
    let mut bytes = integration.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(number.as_str().as_bytes());
    bytes
}
