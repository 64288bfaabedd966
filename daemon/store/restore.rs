//! A backup put into an empty store, group by group.

use super::lines::{BackupReader, Exported, Item, export};
use super::{RELEASE_LOOK_EVERY, RELEASE_LOOKS_MAX, Store, StoreFault, lock, tree};
use std::fs::{File, TryLockError};
use std::io::{self, BufRead};
use std::path::Path;

/// Records in one group: few waits.
const GROUP_RECORDS: usize = 512;
/// Bytes in one group: little memory.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

type Group = Vec<(&'static str, Vec<u8>, Option<Vec<u8>>)>;

impl Store {
    /// Reads a backup into this store, which must be empty. `names` are the trees this tieline knows; a record of
    /// another is a fault. The checksum is only known at the end: after a fault, throw the store away.
    ///
    /// # Errors
    /// `NotEmpty`, `Export` if the file is cut, changed or of a tieline that knows more, or a fault of the store.
    pub async fn import<R: BufRead>(
        &self,
        from: &mut BackupReader<R>,
        names: &[&'static str],
    ) -> Result<Exported, StoreFault> {
        if !self.0.shared.engine.is_empty() {
            return Err(StoreFault::NotEmpty);
        }
        let (mut group, mut bytes) = (Group::new(), 0);
        while let Some(item) = from.read()? {
            let (tree, key, value) = match item {
                Item::Record { tree, key, value } => (tree, key, Some(value)),
                Item::Gone { tree, key } => (tree, key, None),
            };
            let name = names.iter().find(|name| **name == tree);
            let name = *name.ok_or_else(|| unknown(&tree))?;
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            group.push((name, key, value));
            if group.len() >= GROUP_RECORDS || bytes >= GROUP_BYTES {
                bytes = 0;
                self.put_all(std::mem::take(&mut group)).await?;
            }
        }
        self.put_all(group).await?;
        Ok(from.exported())
    }

    /// Writes every record of this store into another one, which must be empty: what was removed here isn't in its files.
    ///
    /// # Errors
    /// `NotEmpty`, or a fault of one of the stores.
    pub async fn copy_into(&self, other: &Self, names: &[&'static str]) -> Result<(), StoreFault> {
        if !other.0.shared.engine.is_empty() {
            return Err(StoreFault::NotEmpty);
        }
        let (mut group, mut bytes) = (Group::new(), 0);
        for entry in self.0.shared.engine.prefix(&[]) {
            let (stored, head) = entry?;
            let Some((tree, key)) = tree::parse_key(&stored) else {
                continue;
            };
            let name = names.iter().find(|name| **name == tree);
            let name = *name.ok_or_else(|| unknown(tree))?;
            let value = tree::read(&self.0.shared.engine, name, &stored, Some(head))?;
            let value = value.map(|value| value.to_vec());
            bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            group.push((name, key.to_vec(), value));
            if group.len() >= GROUP_RECORDS || bytes >= GROUP_BYTES {
                bytes = 0;
                other.put_all(std::mem::take(&mut group)).await?;
            }
        }
        other.put_all(group).await
    }

    async fn put_all(&self, group: Group) -> Result<(), StoreFault> {
        self.commit(move |writes| {
            group.iter().try_for_each(|(name, key, value)| match value {
                Some(value) => writes.put_bytes(name, key, value),
                None => writes.remove_bytes(name, key),
            })
        })
        .await
    }
}

/// Waits until a store that this process had open is let go of: sled's threads do that a moment after its last handle
/// went. Only then may its folder be moved.
///
/// # Errors
/// `InUse` if that doesn't happen within 5 s, `NotWritable` if the folder can't be read.
pub fn released(dir: &Path) -> Result<(), StoreFault> {
    for _ in 0..RELEASE_LOOKS_MAX {
        if !in_use(dir)? {
            return Ok(());
        }
        std::thread::park_timeout(RELEASE_LOOK_EVERY);
    }
    Err(StoreFault::InUse {
        dir: dir.to_owned(),
    })
}

/// Whether a process, this one too, has the store in that folder open.
///
/// # Errors
/// `NotWritable` if the folder can't be read.
pub fn in_use(dir: &Path) -> Result<bool, StoreFault> {
    for name in ["lock", "db"] {
        let locked = match File::open(dir.join(name)) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        let locked = locked.map_err(|error| StoreFault::NotWritable {
            dir: dir.to_owned(),
            why: error.to_string(),
        })?;
        if locked {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps everybody from opening the store in that folder as long as what it answers is held.
///
/// # Errors
/// `InUse`, or `NotWritable` if the folder can't be read.
pub fn hold(dir: &Path) -> Result<impl Sized, StoreFault> {
    lock(dir)
}

/// A record of a tree that this tieline doesn't know.
pub fn unknown(tree: &str) -> StoreFault {
    export(&format!(
        "it holds {tree:?}, which this tieline doesn't know; a newer one wrote it: use that one"
    ))
}
