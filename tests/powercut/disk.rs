//! What a disk holds, step by step, and what of it a power cut leaves.
//!
//! Sure is what POSIX promises: of a file the bytes and the length that were written before an fsync or fdatasync of it was
//! asked for, once that is done; of a folder the names that were changed before an fsync of it. Of everything else nothing,
//! all, or any part may be there: whole pages of 4 KiB in any order, as the kernel writes them back; names in their order,
//! as the file systems with a journal have it.

use super::log::Step;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The kernel writes back whole pages.
const PAGE_BYTES: usize = 4096;

/// What happens to that which nobody has synced.
#[derive(Clone, Copy, Debug)]
pub enum Unsynced {
    Lost,
    Kept,
    /// Each page with this chance, and if it was written several times, any of these.
    Pages(f64),
}

#[derive(Debug, Default)]
pub struct Disk {
    files: Vec<Contents>,
    /// As the process sees them, and as they are sure to be.
    names: BTreeMap<String, Entry>,
    sure: BTreeMap<String, Entry>,
    changes: Vec<(u64, Change)>,
    changed: u64,
    syncs: HashMap<u64, Sync>,
    pub seen: Seen,
}

/// How much of what the test is about happened.
#[derive(Debug, Default)]
pub struct Seen {
    pub writes: usize,
    pub syncs: usize,
    /// Writes to where something else stood, that was synced: a segment of sled's that is used again.
    pub overwrites: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

#[derive(Debug)]
enum Change {
    Set(String, Entry),
    Moved(String, String),
    Removed(String),
}

#[derive(Debug, Default)]
struct Contents {
    sure: Vec<u8>,
    /// How many writes are in `sure`.
    done: usize,
    writes: Vec<Write>,
}

#[derive(Debug)]
enum Write {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

/// What a sync that was asked for will make sure.
#[derive(Clone, Debug)]
enum Sync {
    File(usize, usize),
    Folder(String, u64),
}

impl Disk {
    pub fn take(&mut self, step: Step) {
        match step {
            Step::Created(path) => {
                self.files.push(Contents::default());
                self.set(path, Entry::File(self.files.len() - 1));
            }
            Step::MadeFolder(path) => self.set(path, Entry::Folder),
            Step::Wrote { path, at, bytes } => {
                self.seen.writes += 1;
                let file = self.file(&path);
                let before = file.sure.get(at..(at + bytes.len()).min(file.sure.len()));
                let overwrites =
                    before.is_some_and(|before| before.iter().any(|one| *one != before[0]));
                file.writes.push(Write::Bytes(at, bytes));
                self.seen.overwrites += usize::from(overwrites);
            }
            Step::Truncated { path, length } => self.file(&path).writes.push(Write::Length(length)),
            Step::Renamed { from, to } => {
                let entry = self.names.remove(&from).expect("what is renamed is there");
                self.names.insert(to.clone(), entry);
                self.change(Change::Moved(from, to));
            }
            Step::Unlinked(path) => {
                self.names.remove(&path);
                self.change(Change::Removed(path));
            }
            Step::SyncBegins { path, number } => {
                let sync = match self.names.get(&path) {
                    Some(Entry::File(file)) => {
                        let contents = &self.files[*file];
                        Sync::File(*file, contents.done + contents.writes.len())
                    }
                    Some(Entry::Folder) | None => Sync::Folder(path, self.changed),
                };
                self.syncs.insert(number, sync);
            }
            Step::Synced { number } => {
                self.seen.syncs += 1;
                self.synced(number);
            }
            Step::RangeSynced | Step::Began(_) | Step::Acknowledged(_) | Step::Cut => {}
        }
    }

    fn file(&mut self, path: &str) -> &mut Contents {
        match self.names.get(path) {
            Some(Entry::File(file)) => &mut self.files[*file],
            found => panic!("{path} is written and is {found:?}"),
        }
    }

    fn set(&mut self, path: String, entry: Entry) {
        self.names.insert(path.clone(), entry);
        self.change(Change::Set(path, entry));
    }

    fn change(&mut self, change: Change) {
        self.changes.push((self.changed, change));
        self.changed += 1;
    }

    fn synced(&mut self, number: u64) {
        match self.syncs.remove(&number).expect("a sync begins first") {
            Sync::File(file, until) => {
                let contents = &mut self.files[file];
                let count = until.saturating_sub(contents.done);
                for write in contents.writes.drain(..count) {
                    write.apply(&mut contents.sure);
                }
                contents.done += count;
            }
            Sync::Folder(folder, until) => {
                let all = std::mem::take(&mut self.changes);
                for (number, change) in all {
                    if number < until && change.folder() == folder {
                        change.apply(&mut self.sure);
                    } else {
                        self.changes.push((number, change));
                    }
                }
            }
        }
    }

    /// Writes into `target` what a power cut now would leave.
    pub fn cut(&self, unsynced: Unsynced, chance: &mut fastrand::Rng, target: &Path) {
        let mut names = self.sure.clone();
        let kept = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::Kept => self.changes.len(),
            Unsynced::Pages(_) => chance.usize(..=self.changes.len()),
        };
        for (_, change) in &self.changes[..kept] {
            change.apply(&mut names);
        }
        std::fs::create_dir_all(target).unwrap();
        // A folder stands before what is in it.
        for (name, entry) in names {
            let path = target.join(&name);
            match entry {
                Entry::Folder => std::fs::create_dir_all(path).unwrap(),
                Entry::File(file) if path.parent().is_some_and(Path::exists) => {
                    std::fs::write(path, self.files[file].left(unsynced, chance)).unwrap();
                }
                Entry::File(_) => {}
            }
        }
    }
}

impl Change {
    fn folder(&self) -> &str {
        let path = match self {
            Self::Set(path, _) | Self::Moved(path, _) | Self::Removed(path) => path,
        };
        path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    fn apply(&self, names: &mut BTreeMap<String, Entry>) {
        match self {
            Self::Set(path, entry) => {
                names.insert(path.clone(), *entry);
            }
            Self::Moved(from, to) => {
                if let Some(entry) = names.remove(from) {
                    names.insert(to.clone(), entry);
                }
            }
            Self::Removed(path) => {
                names.remove(path);
            }
        }
    }
}

impl Write {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Bytes(at, bytes) => {
                let end = at + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[*at..end].copy_from_slice(bytes);
            }
            Self::Length(length) => file.resize(*length, 0),
        }
    }

    /// The part of it that lies on each page.
    fn pages(&self) -> Vec<(usize, Self)> {
        let Self::Bytes(at, bytes) = self else {
            return Vec::new();
        };
        let (mut parts, mut from) = (Vec::new(), 0);
        while from < bytes.len() {
            let page = (at + from) / PAGE_BYTES;
            let until = bytes.len().min((page + 1) * PAGE_BYTES - at);
            parts.push((page, Self::Bytes(at + from, bytes[from..until].to_vec())));
            from = until;
        }
        parts
    }
}

impl Contents {
    fn left(&self, unsynced: Unsynced, chance: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = self.sure.clone();
        let share = match unsynced {
            Unsynced::Lost => return bytes,
            Unsynced::Kept => {
                self.writes.iter().for_each(|write| write.apply(&mut bytes));
                return bytes;
            }
            Unsynced::Pages(share) => share,
        };
        let mut versions: HashMap<usize, usize> = HashMap::new();
        for (page, _) in self.writes.iter().flat_map(Write::pages) {
            *versions.entry(page).or_default() += 1;
        }
        // So many of a page's writes had reached it when it was written back.
        let mut left: BTreeMap<usize, usize> = versions.into_iter().collect();
        for count in left.values_mut() {
            *count = if chance.f64() < share {
                chance.usize(1..=*count)
            } else {
                0
            };
        }
        for write in &self.writes {
            if matches!(write, Write::Length(_)) && chance.f64() < share {
                write.apply(&mut bytes);
            }
            for (page, part) in write.pages() {
                let left = left.get_mut(&page).expect("each page was counted");
                if *left > 0 {
                    *left -= 1;
                    part.apply(&mut bytes);
                }
            }
        }
        bytes
    }
}
