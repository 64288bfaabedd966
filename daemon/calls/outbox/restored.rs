//! After a backup was restored: Kustomer has what was done since, the store doesn't. Which deliveries have to look before
//! they create, so that nothing is logged twice (invariant 3). Part of `outbox`.

use super::{Delivery, Outbox};
use crate::store::{Record, StoreFault, Writes};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A phone system's clock or time zone may be wrong by as much: a call that it dates later than that behind the restore
/// is a new one.
const CLOCKS_APART_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Deliveries written in one group: little memory.
const PAGE_DELIVERIES: usize = 256;

/// When a backup was restored into this store.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Restored {
    at: Timestamp,
}

impl Record for Restored {
    const VERSION: u16 = 1;
}

const RESTORED: &[u8] = b"t";

impl Outbox {
    /// When the last backup was restored, if what a new delivery is of may have been logged before it. There is no end to
    /// that: a phone system may post an old call at any time, and a lookup for each is little.
    pub(super) fn doubt_of(
        &self,
        writes: &Writes<'_>,
        delivery: &Delivery,
    ) -> Result<Option<Timestamp>, StoreFault> {
        let restored = writes.get(&self.restored, RESTORED)?;
        let older = |restored: &Restored| {
            let behind = delivery.entry.created_at.duration_since(restored.at);
            behind < CLOCKS_APART_MAX
        };
        Ok(restored.filter(older).map(|restored| restored.at))
    }

    /// Notes that this store was restored from a backup `at` that time, and has every delivery that is owed, or may be
    /// taken up again, look before it creates; answers how many. For a store that nobody else writes.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn note_restored(&self, at: Timestamp) -> Result<usize, StoreFault> {
        let outbox = self.clone();
        self.store
            .commit(move |writes| writes.put(&outbox.restored, RESTORED, &Restored { at }))
            .await?;
        let mut doubted = 0;
        for mark in [b'p', b'd'] {
            let mut keys = Vec::new();
            for row in self.marks.prefix(&[mark]) {
                let (mut key, _) = row?;
                if let Some(first) = key.first_mut() {
                    *first = b'r';
                }
                keys.push(key);
            }
            for page in keys.chunks(PAGE_DELIVERIES) {
                doubted += self.doubt_page(page.to_vec(), at).await?;
            }
        }
        Ok(doubted)
    }

    async fn doubt_page(&self, keys: Vec<Vec<u8>>, at: Timestamp) -> Result<usize, StoreFault> {
        let outbox = self.clone();
        self.store
            .commit(move |writes| {
                let mut doubted = 0;
                for key in &keys {
                    let Some(mut delivery) = outbox.records.get(key)? else {
                        continue;
                    };
                    delivery.doubt(at);
                    if delivery.end.is_none() {
                        // The time to give up began in another life.
                        delivery.revive(at);
                    }
                    outbox.write(writes, &delivery)?;
                    doubted += 1;
                }
                Ok(doubted)
            })
            .await
    }
}
