//! Who of ours talked last with a number, for calls that are assigned to them (`last_agent`).
//!
//! Owns the tree `lately`: one small record for each integration and number, written when an answered call is logged, and
//! only where some `assign` asks for it; removed by `retention` after `daemon.keep`, or with `forget`.

use crate::store::{Record, Store, StoreFault, Tree, readable};
use crate::terms::number::E164;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The tree's name, for imports.
pub const TREE: &str = "lately";

/// Records removed in one group: a removal must not hold up an append for long.
const PAGE_RECORDS: usize = 256;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Talk {
    /// The agent's e-mail.
    agent: String,
    /// When the call began.
    at: Timestamp,
}

impl Record for Talk {
    const VERSION: u16 = 1;
}

/// Number -> who talked with it, per integration.
#[derive(Clone)]
pub struct Lately {
    store: Store,
    tree: Tree<Talk>,
}

impl Lately {
    pub fn open(store: &Store) -> Self {
        Self {
            store: store.clone(),
            tree: store.tree(TREE),
        }
    }

    /// The e-mail of who talked last with the number.
    pub fn find(&self, integration: &str, number: &E164) -> Result<Option<String>, StoreFault> {
        let talk = self.tree.get(&store_key(integration, number))?;
        Ok(talk.map(|talk| talk.agent))
    }

    /// Keeps who talked with the number in a call that began `at`; a later call's word stays.
    pub async fn remember(
        &self,
        integration: &str,
        number: &E164,
        agent: &str,
        at: Timestamp,
    ) -> Result<(), StoreFault> {
        let key = store_key(integration, number);
        if self.tree.get(&key)?.is_some_and(|known| known.at >= at) {
            return Ok(());
        }
        let (tree, agent) = (self.tree.clone(), agent.to_owned());
        self.store
            .commit(move |writes| writes.put(&tree, &key, &Talk { agent, at }))
            .await
    }

    /// Removes what is of calls before that time; answers how many records went.
    pub async fn prune(&self, before: Timestamp) -> Result<usize, StoreFault> {
        let mut old = Vec::new();
        for row in self.tree.prefix(&[]) {
            let (key, talk) = row?;
            if talk.at < before {
                old.push(key);
            }
        }
        let removed = old.len();
        for page in old.chunks(PAGE_RECORDS) {
            let (tree, page) = (self.tree.clone(), page.to_vec());
            self.store
                .commit(move |writes| page.iter().try_for_each(|key| writes.remove(&tree, key)))
                .await?;
        }
        Ok(removed)
    }

    /// Removes, for all integrations, whose number `is_theirs` says, asked with the time of the call.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn erase(
        &self,
        is_theirs: impl Fn(&E164, Timestamp) -> bool,
    ) -> Result<(), StoreFault> {
        let mut keys = Vec::new();
        for row in self.tree.prefix(&[]) {
            let (key, talk) = row?;
            if number_in(&key).is_some_and(|number| is_theirs(&number, talk.at)) {
                keys.push(key);
            }
        }
        let tree = self.tree.clone();
        self.store
            .commit(move |writes| keys.iter().try_for_each(|key| writes.remove(&tree, key)))
            .await
    }

    /// Removes what is known of a number.
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
    readable::<Talk>(TREE, value)
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
