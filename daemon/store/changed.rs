//! Which records were written since a backup looked last: what it read before may be old. The writer thread notes keys;
//! `backup.rs` takes them.

use super::fault::StoreFault;
use super::tree;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of noted keys: some 400,000 records written while one pass of a backup runs. A disk that is slower than that
/// needs a quieter hour.
const NOTED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What a key costs in the set beside its bytes.
const KEY_COST: usize = 40;

/// The notes of the one backup that may run; nothing is noted while there is none.
#[derive(Debug, Default)]
pub(super) struct Changed(Mutex<Option<Noted>>);

#[derive(Debug, Default)]
pub(super) struct Noted {
    keys: BTreeSet<Vec<u8>>,
    bytes: usize,
    too_many: bool,
}

impl Noted {
    fn add<'a>(&mut self, keys: impl Iterator<Item = &'a Vec<u8>>) {
        for key in keys.filter(|key| tree::parse_key(key).is_some()) {
            if self.bytes >= NOTED_BYTES_MAX {
                self.too_many = true;
                return;
            }
            if self.keys.insert(key.clone()) {
                self.bytes += key.len() + KEY_COST;
            }
        }
    }
}

impl Changed {
    fn noted(&self) -> MutexGuard<'_, Option<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes from now on.
    ///
    /// # Errors
    /// `BackupRuns` if another backup does.
    pub(super) fn begin(&self) -> Result<(), StoreFault> {
        let mut noted = self.noted();
        if noted.is_some() {
            return Err(StoreFault::BackupRuns);
        }
        *noted = Some(Noted::default());
        Ok(())
    }

    pub(super) fn end(&self) {
        *self.noted() = None;
    }

    /// These are about to be written, and are once the answer is dropped: until then nobody takes them, who would read what
    /// they were. Pieces are left out: what names them is written with them.
    pub(super) fn note<'a>(
        &self,
        keys: impl Iterator<Item = &'a Vec<u8>>,
    ) -> MutexGuard<'_, Option<Noted>> {
        let mut held = self.noted();
        if let Some(noted) = held.as_mut() {
            noted.add(keys);
        }
        held
    }

    /// The keys noted since the last time, and begins anew.
    ///
    /// # Errors
    /// `Export` if there were too many.
    pub(super) fn take(&self) -> Result<BTreeSet<Vec<u8>>, StoreFault> {
        let mut noted = self.noted();
        let taken = noted.as_mut().map(std::mem::take).unwrap_or_default();
        if taken.too_many {
            return Err(StoreFault::Export {
                why: format!(
                    "more than {NOTED_BYTES_MAX} bytes of keys were written while the backup ran; take it in a quieter hour, \
                     or onto a faster disk"
                ),
            });
        }
        Ok(taken.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_noted_once_and_pieces_not_and_only_while_a_backup_runs() {
        let changed = Changed::default();
        let (record, piece) = (tree::stored_key("a", b"k"), tree::piece_key(1, 0));
        drop(changed.note([&record].into_iter()));
        changed.begin().unwrap();
        assert_eq!(changed.begin(), Err(StoreFault::BackupRuns));
        assert!(changed.take().unwrap().is_empty());
        let until_written = changed.note([&record, &piece, &record].into_iter());
        assert!(changed.0.try_lock().is_err(), "taken before it is written");
        drop(until_written);
        assert_eq!(
            changed.take().unwrap().into_iter().collect::<Vec<_>>(),
            [record]
        );
        assert!(changed.take().unwrap().is_empty());
        changed.end();
        changed.begin().unwrap();
    }

    #[test]
    fn more_than_can_be_noted_ends_the_backup_with_a_reason() {
        let changed = Changed::default();
        changed.begin().unwrap();
        let large = vec![b'k'; NOTED_BYTES_MAX / 4];
        for number in 0..5_u8 {
            let key = tree::stored_key("a", &[&[number], large.as_slice()].concat());
            drop(changed.note([&key].into_iter()));
        }
        let fault = changed.take().unwrap_err();
        assert!(fault.to_string().contains("quieter hour"), "{fault}");
    }
}
