//! A backup of the running store: all of it as of one moment, while others go on writing.
//!
//! ```text
//! begin (in the writer) ─> copy all, as it comes ─> copy again what was written meanwhile, until little is left
//!                       ─> the rest within one turn of the writer: that is the moment
//! ```
//! Later lines override earlier ones (`lines.rs`), so that what stands at the end is the store of that moment.

use super::lines::{Exported, Lines};
use super::{Store, StoreFault, tree};
use crate::clock;
use crate::offload::off_the_runtime;
use std::collections::BTreeSet;
use std::io::Write;

/// Records read within a turn of the writer, which holds up every write: a few milliseconds.
const LAST_KEYS_MAX: usize = 512;
/// Their bytes, which are held in memory until the writer goes on. With more the backup looks once more outside of it.
const LAST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Passes over what was written meanwhile. Each is as much shorter than the one before as reading is faster than
/// writing; one that isn't after so many never will be.
const PASSES_MAX: usize = 20;

/// A record as it is at the end; none: it is gone.
type Last = Vec<(Vec<u8>, Option<sled::IVec>)>;

/// Ends the noting, whatever becomes of the backup.
struct Noting(Store);

impl Drop for Noting {
    fn drop(&mut self) {
        self.0.0.shared.changed.end();
    }
}

impl Store {
    /// Writes the whole store to `out`, as of one moment between the call and the answer, between two group commits.
    /// Everything that was acknowledged before the call is in it. `out` blocks a thread of its own, not the runtime.
    /// In memory are the keys that are written meanwhile (32 MiB) and what is read at the end (16 MiB).
    ///
    /// # Errors
    /// `BackupRuns` if another one is under way, `Export` if `out` fails or too much is written meanwhile, or a fault of
    /// the store.
    pub async fn backup(&self, out: impl Write + Send + 'static) -> Result<Exported, StoreFault> {
        let (store, taken) = (self.clone(), clock::now());
        // In the writer: what is written from the next group on is noted, what was before can be read.
        self.commit(move |_| store.0.shared.changed.begin()).await?;
        let noting = Noting(self.clone());
        let store = self.clone();
        let mut lines = blocking(move || {
            let mut lines = Lines::begin(out, taken)?;
            store.copy_all(&mut lines)?;
            Ok(lines)
        })
        .await?;
        for _ in 0..PASSES_MAX {
            let keys = self.0.shared.changed.take()?;
            if keys.len() > LAST_KEYS_MAX {
                lines = self.copy_again(lines, keys).await?;
                continue;
            }
            let store = self.clone();
            let (keys, last) = self.commit(move |_| store.last(keys)).await?;
            lines = match last {
                Some(last) => {
                    drop(noting);
                    return blocking(move || end(lines, last)).await;
                }
                None => self.copy_again(lines, keys).await?,
            };
        }
        Err(StoreFault::Export {
            why: format!(
                "after {PASSES_MAX} passes as much is still written as can be read; take it in a quieter hour"
            ),
        })
    }

    fn copy_all<W: Write>(&self, lines: &mut Lines<W>) -> Result<(), StoreFault> {
        for entry in self.0.shared.engine.prefix(&[]) {
            let (stored, head) = entry?;
            let Some((name, key)) = tree::parse_key(&stored) else {
                continue;
            };
            if let Some(value) = tree::read(&self.0.shared.engine, "backup", &stored, Some(head))? {
                lines.record(name, key, &value)?;
            }
        }
        Ok(())
    }

    async fn copy_again<W: Write + Send + 'static>(
        &self,
        mut lines: Lines<W>,
        keys: BTreeSet<Vec<u8>>,
    ) -> Result<Lines<W>, StoreFault> {
        let store = self.clone();
        blocking(move || {
            for stored in keys {
                let value = store.now(&stored)?;
                lines.put(&stored, value.as_deref())?;
            }
            Ok(lines)
        })
        .await
    }

    fn now(&self, stored: &[u8]) -> Result<Option<sled::IVec>, StoreFault> {
        tree::read(
            &self.0.shared.engine,
            "backup",
            stored,
            self.0.shared.engine.get(stored)?,
        )
    }

    /// Runs in the writer: nothing is written meanwhile. What the jobs before it in its group want to write isn't applied
    /// yet, so this is the moment behind the group before. Without values if there is too much.
    fn last(
        &self,
        mut keys: BTreeSet<Vec<u8>>,
    ) -> Result<(BTreeSet<Vec<u8>>, Option<Last>), StoreFault> {
        keys.extend(self.0.shared.changed.take()?);
        if keys.len() > LAST_KEYS_MAX.saturating_mul(2) {
            return Ok((keys, None));
        }
        let (mut last, mut bytes) = (Vec::with_capacity(keys.len()), 0_usize);
        for stored in &keys {
            let value = self.now(stored)?;
            bytes = bytes.saturating_add(value.as_ref().map_or(0, |value| value.len()));
            if bytes > LAST_BYTES_MAX {
                return Ok((keys, None));
            }
            last.push((stored.clone(), value));
        }
        Ok((BTreeSet::new(), Some(last)))
    }
}

fn end<W: Write>(mut lines: Lines<W>, last: Last) -> Result<Exported, StoreFault> {
    for (stored, value) in last {
        lines.put(&stored, value.as_deref())?;
    }
    lines.end()
}

/// Reading and writing files waits: not on the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, StoreFault> {
    let done = off_the_runtime(work).await;
    done.map_err(|error| StoreFault::Export {
        why: error.to_string(),
    })?
}
