//! What holds the rows, and how a group of them is written and synced: sled on a disk, or a `MemoryDisk`. Read by
//! `tree.rs`, written by `writer.rs`; nothing else differs between the two.

use super::fault::StoreFault;
use super::memory::{self, MemoryDisk};
use sled::IVec;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

/// A row as it is held: key and value.
pub(super) type Row = (IVec, IVec);
/// Rows to write together; none removes.
pub(super) type Writes = HashMap<Vec<u8>, Option<IVec>>;

#[derive(Clone)]
pub(super) enum Engine {
    Sled(Arc<OnDisk>),
    Memory(memory::Handle),
}

/// sled's database and the file that it lies in.
pub(super) struct OnDisk {
    pub db: sled::Db,
    pub file: File,
    pub dir: PathBuf,
}

impl Engine {
    pub fn memory(disk: &MemoryDisk) -> Self {
        Self::Memory(disk.open())
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreFault> {
        match self {
            Self::Sled(disk) => Ok(disk.db.get(key)?),
            Self::Memory(disk) => Ok(disk.get(key)),
        }
    }

    /// The rows whose key starts so, from both ends.
    pub fn prefix(&self, prefix: &[u8]) -> Rows {
        match self {
            Self::Sled(disk) => Rows::Sled(disk.db.scan_prefix(prefix)),
            Self::Memory(disk) => Rows::Memory(disk.prefix(prefix)),
        }
    }

    pub fn range(&self, range: (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Rows {
        match self {
            Self::Sled(disk) => Rows::Sled(disk.db.range(range)),
            Self::Memory(disk) => Rows::Memory(disk.range(range)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.prefix(&[]).next().is_none()
    }

    pub fn size_on_disk(&self) -> Result<u64, StoreFault> {
        match self {
            Self::Sled(disk) => Ok(disk.db.size_on_disk()?),
            Self::Memory(disk) => Ok(disk.bytes()),
        }
    }

    /// Bytes that the disk has left.
    pub fn free(&self) -> io::Result<u64> {
        match self {
            Self::Sled(disk) => {
                let disk = rustix::fs::statvfs(&disk.dir)?;
                Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
            }
            Self::Memory(disk) => Ok(disk.free()),
        }
    }

    /// One row by itself: after a crash it may be there without what comes next.
    pub fn append(&self, key: Vec<u8>, value: IVec) -> Result<(), StoreFault> {
        match self {
            Self::Sled(disk) => drop(disk.db.insert(key, value)?),
            Self::Memory(disk) => disk.write(std::iter::once((key, Some(value)))),
        }
        Ok(())
    }

    /// All of them or, after a crash, none.
    pub fn apply(&self, writes: &mut Writes) -> Result<(), StoreFault> {
        match self {
            Self::Sled(disk) => {
                let mut batch = sled::Batch::default();
                for (key, value) in writes.drain() {
                    match value {
                        Some(value) => batch.insert(key, value),
                        None => batch.remove(key),
                    }
                }
                disk.db.apply_batch(batch)?;
            }
            Self::Memory(disk) => disk.write(writes.drain()),
        }
        Ok(())
    }

    /// Returns once everything applied survives a power cut.
    pub fn sync(&self) -> Result<(), StoreFault> {
        match self {
            Self::Sled(disk) => {
                disk.db.flush()?;
                disk.file.sync_data().map_err(|error| StoreFault::Broken {
                    why: format!("sync: {error}"),
                })
            }
            Self::Memory(disk) => {
                disk.sync();
                Ok(())
            }
        }
    }
}

/// Rows in the order of their keys, from both ends, as they are when they are reached.
pub(super) enum Rows {
    Sled(sled::Iter),
    Memory(memory::Rows),
}

impl Iterator for Rows {
    type Item = Result<Row, StoreFault>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Sled(rows) => rows.next().map(|row| Ok(row?)),
            Self::Memory(rows) => rows.next().map(Ok),
        }
    }
}

impl DoubleEndedIterator for Rows {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Sled(rows) => rows.next_back().map(|row| Ok(row?)),
            Self::Memory(rows) => rows.next_back().map(Ok),
        }
    }
}
