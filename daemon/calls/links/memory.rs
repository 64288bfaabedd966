//! What a connection must know after a restart: until when it was alive, how far the file of call records was read, and the
//! gaps there were. Owns the tree `links`: phone system -> one record.

use crate::store::{Record, Store, StoreFault, Tree, readable};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The tree's name, for imports.
pub const TREE: &str = "links";

/// Gaps kept for `status`: more than anybody looks at; metrics count all.
const GAPS_MAX: usize = 20;

/// A time in which nobody listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// How far a file was read: which file, and from which byte on it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub inode: u64,
    pub offset: u64,
}

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The last time that the connection is known to have been up.
    pub alive: Option<Timestamp>,
    pub csv: Option<Mark>,
    /// The latest last.
    pub gaps: Vec<Gap>,
    pub gap_count: u64,
    pub gap_seconds: u64,
}

impl Record for Remembered {
    const VERSION: u16 = 1;
}

/// Whether this tieline can read a record of the tree, as a backup has it.
///
/// # Errors
/// `NewerRecord` if a later tieline wrote it, `BadRecord` if it makes no sense.
pub fn check(value: &[u8]) -> Result<(), StoreFault> {
    readable::<Remembered>(TREE, value)
}

impl Remembered {
    pub fn add(&mut self, gap: Gap) {
        let seconds = gap.to.duration_since(gap.from).as_secs();
        self.gap_count += 1;
        self.gap_seconds += u64::try_from(seconds).unwrap_or_default();
        self.gaps.push(gap);
        let old = self.gaps.len().saturating_sub(GAPS_MAX);
        self.gaps.drain(..old);
    }
}

/// The record of one phone system.
pub struct Memory {
    store: Store,
    tree: Tree<Remembered>,
    pbx: String,
    pub now: Remembered,
}

impl Memory {
    pub fn open(store: &Store, pbx: &str) -> Result<Self, StoreFault> {
        let tree = store.tree::<Remembered>(TREE);
        let now = tree.get(pbx.as_bytes())?.unwrap_or_default();
        Ok(Self {
            store: store.clone(),
            tree,
            pbx: pbx.to_owned(),
            now,
        })
    }

    /// Puts it on disk. A full disk is no reason to let go of the connection: an older mark only reads more again.
    pub async fn keep(&self) -> Result<(), StoreFault> {
        let (tree, key, record) = (self.tree.clone(), self.pbx.clone(), self.now.clone());
        let kept = self
            .store
            .commit(move |writes| writes.put(&tree, key.as_bytes(), &record))
            .await;
        match kept {
            Err(fault) if fault.passes() => {
                tracing::warn!(pbx = self.pbx, %fault, "the connection's mark was not written");
                Ok(())
            }
            kept => kept,
        }
    }
}
