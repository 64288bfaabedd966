//! What was last seen of an address book, and what a new look at it means: which contacts changed, which are gone. Pure;
//! `carddav` keeps it, in memory alone: after a restart an address book is read whole.

use super::card::Other;
use crate::phonebook::Token;
use crate::terms::contact::ContactId;
use std::collections::{BTreeMap, BTreeSet};

/// What stands at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub etag: String,
    /// Whose card it is, or why it is nobody's.
    pub is: Result<ContactId, Other>,
}

/// An address book as it was at `token`.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub token: Option<Token>,
    /// What the server calls that point; empty where it has no sync-collection.
    pub sync_token: String,
    pub cards: Cards,
}

/// What stands at each path, found by path and by whose it is: each write asks for one of many thousand.
#[derive(Clone, Debug, Default)]
pub struct Cards {
    by_path: BTreeMap<String, Seen>,
    by_id: BTreeMap<ContactId, BTreeSet<String>>,
}

impl Cards {
    pub fn at(&self, path: &str) -> Option<&Seen> {
        self.by_path.get(path)
    }

    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.by_path.keys()
    }

    pub fn put(&mut self, path: String, seen: Seen) {
        self.remove(&path);
        if let Ok(id) = &seen.is {
            let paths = self.by_id.entry(id.clone()).or_default();
            paths.insert(path.clone());
        }
        self.by_path.insert(path, seen);
    }

    pub fn remove(&mut self, path: &str) {
        let Some(Seen { is: Ok(id), .. }) = self.by_path.remove(path) else {
            return;
        };
        if let Some(paths) = self.by_id.get_mut(&id) {
            paths.remove(path);
            if paths.is_empty() {
                self.by_id.remove(&id);
            }
        }
    }
}

/// Entries that are no contacts, as of the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftAlone {
    pub groups: usize,
    pub nameless: usize,
    pub without_uid: usize,
    pub broken: usize,
    /// Paths of cards with another card's UID; the first by path counts.
    pub doubled: Vec<String>,
}

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Paths whose cards are contacts that changed.
    pub changed: BTreeSet<String>,
    pub removed: Vec<ContactId>,
}

impl Memory {
    /// Where a contact's card is: of several the first.
    pub fn path(&self, id: &ContactId) -> Option<&str> {
        let paths = self.cards.by_id.get(id)?;
        paths.first().map(String::as_str)
    }

    /// Every contact's card.
    pub fn owners(&self) -> BTreeMap<&ContactId, &str> {
        let firsts = self.cards.by_id.iter();
        let firsts = firsts.filter_map(|(id, paths)| Some((id, paths.first()?.as_str())));
        firsts.collect()
    }

    /// What it means that the address book is `after` now, and the cards at `read` were read. None if a contact's card
    /// is another now that was not read: of two with one UID the first went.
    pub fn difference(&self, after: &Self, read: &BTreeSet<String>) -> Option<Difference> {
        let (before, now) = (self.owners(), after.owners());
        let mut changed = BTreeSet::new();
        for (id, path) in &now {
            if read.contains(*path) {
                changed.insert((*path).to_owned());
            } else if before.get(id) != Some(path) {
                return None;
            }
        }
        let gone = before.keys().filter(|id| !now.contains_key(**id));
        Some(Difference {
            changed,
            removed: gone.map(|id| (*id).clone()).collect(),
        })
    }

    pub fn left_alone(&self) -> LeftAlone {
        let mut left = LeftAlone::default();
        let owners = self.owners();
        for (path, seen) in &self.cards.by_path {
            match &seen.is {
                Ok(id) if owners.get(id) == Some(&path.as_str()) => {}
                Ok(_) => left.doubled.push(path.clone()),
                Err(Other::Group) => left.groups += 1,
                Err(Other::Nameless) => left.nameless += 1,
                Err(Other::WithoutUid) => left.without_uid += 1,
                Err(Other::Broken) => left.broken += 1,
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(cards: &[(&str, &str)]) -> Memory {
        let seen = |id: &str| Seen {
            etag: String::new(),
            is: Ok(ContactId(id.to_owned())),
        };
        let mut memory = Memory::default();
        for (path, id) in cards {
            memory.cards.put((*path).to_owned(), seen(id));
        }
        memory
    }

    fn difference(
        before: &[(&str, &str)],
        after: &[(&str, &str)],
        read: &[&str],
    ) -> Option<(Vec<String>, Vec<String>)> {
        let read = read.iter().map(|path| (*path).to_owned()).collect();
        let found = memory(before).difference(&memory(after), &read)?;
        let removed = found.removed.into_iter().map(|id| id.0).collect();
        Some((found.changed.into_iter().collect(), removed))
    }

    #[test]
    fn a_look_tells_changed_and_gone() {
        let told = |changed: &[&str], removed: &[&str]| {
            let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
            Some((owned(changed), owned(removed)))
        };
        let before = [("a", "1"), ("b", "2")];
        assert_eq!(difference(&before, &before, &[]), told(&[], &[]));
        assert_eq!(difference(&before, &before, &["b"]), told(&["b"], &[]));
        assert_eq!(difference(&before, &[("a", "1")], &[]), told(&[], &["2"]));
        // It got another UID: the old contact is gone.
        assert_eq!(
            difference(&before, &[("a", "1"), ("b", "3")], &["b"]),
            told(&["b"], &["2"])
        );
        // It was moved, and is not gone.
        assert_eq!(
            difference(&before, &[("a", "1"), ("c", "2")], &["c"]),
            told(&["c"], &[])
        );
        // A second card with a UID changes nothing, until the first goes.
        let doubled = [("a", "1"), ("b", "1")];
        assert_eq!(difference(&[("a", "1")], &doubled, &["b"]), told(&[], &[]));
        assert_eq!(difference(&doubled, &[("b", "1")], &[]), None);
        assert_eq!(memory(&doubled).left_alone().doubled, ["b"]);
        assert_eq!(memory(&doubled).path(&ContactId("1".to_owned())), Some("a"));
    }
}
