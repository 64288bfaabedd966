//! Backups from the file's side: whether this tieline can read all of one, a store made of one, one written anew without
//! somebody, and the ledger of who was erased. `cli/` calls it; `store/` writes and reads the lines.

mod erase;
pub mod erasures;
mod person;
mod restore;
mod shelves;

pub use erase::{EraseFault, erase, not_done, remove_unfinished};
pub use person::Person;
pub use restore::{Restored, restore};
pub use shelves::Erased;

use erasures::Erasures;

use crate::calls::{directory, journal, lately, ledger, links, outbox};
use crate::contacts::{memory, webhooks};
use crate::phonebook::directory as book;
use crate::store::{BackupReader, Exported, Item, StoreFault, Stored as _, unknown};
use jiff::Timestamp;
use std::io::BufRead;

/// The trees that this tieline knows. One that isn't here can't be restored.
pub const TREES: [&str; 11] = [
    journal::TREE,
    ledger::TREES[0],
    ledger::TREES[1],
    outbox::TREE,
    directory::TREE,
    lately::TREE,
    links::TREE,
    memory::TREE,
    webhooks::TREE,
    book::TREE,
    erasures::TREE,
];

/// What a whole backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub lines: Exported,
    /// When it was begun; none in the oldest format.
    pub taken: Option<Timestamp>,
    /// Those that its store has had.
    pub erasures: Erasures,
}

/// Reads a backup to its end, and each record as what it should be.
///
/// # Errors
/// `Export` if it is cut, changed or of a later format, `NewerRecord` or `BadRecord` if this tieline can't read a record.
pub fn check(from: impl BufRead) -> Result<Checked, StoreFault> {
    let mut reader = BackupReader::open(from)?;
    let mut erasures = Erasures::default();
    while let Some(item) = reader.read()? {
        match item {
            Item::Record { tree, value, .. } if tree == erasures::TREE => {
                erasures = Erasures::from_bytes(erasures::TREE, &value)?;
            }
            Item::Record { tree, key, value } => readable(&tree, &key, &value)?,
            Item::Gone { tree, .. } => known(&tree).map(drop)?,
        }
    }
    Ok(Checked {
        lines: reader.exported(),
        taken: reader.taken,
        erasures,
    })
}

fn known(tree: &str) -> Result<&'static str, StoreFault> {
    let found = TREES.iter().find(|name| **name == tree);
    found.copied().ok_or_else(|| unknown(tree))
}

fn readable(tree: &str, key: &[u8], value: &[u8]) -> Result<(), StoreFault> {
    match known(tree)? {
        journal::TREE => journal::check(key, value),
        outbox::TREE => outbox::check(key, value),
        directory::TREE => directory::check(value),
        lately::TREE => lately::check(value),
        links::TREE => links::check(value),
        memory::TREE => memory::check(key, value),
        webhooks::TREE => webhooks::check(key, value),
        book::TREE => book::check(key, value),
        tree => ledger::check(tree, key, value),
    }
}
