//! Deliveries owed to Kustomer, on disk: what is intended, what was attempted, what is settled (invariant 3).
//!
//! One record per integration and call holds the whole progress. The tree `outbox` is written here only. `line` owes and
//! amends, `log` moves each delivery on and settles it.

mod restored;

pub use super::delivery::{BulkTry, Create, Delivery, DeliveryEnd, Doubts, Step};
use crate::clock;
use crate::kustomer::reserve::{Notebook, counts_for};
use crate::settings::types::KustomerSettings;
use crate::store::{Record, Store, StoreFault, Tree, Writes, readable, unknown_kind};
use jiff::Timestamp;
use restored::Restored;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug, Formatter};
use std::pin::Pin;
use std::time::Duration;

/// The tree's name, for imports.
pub const TREE: &str = "outbox";

/// The tree of deliveries: `r` + integration + 0 + call key holds the record, `p` and `d` with the same key mark the
/// pending and the dead ones, so that a start reads what is owed and not all that was ever logged; `l` has what the note
/// should say by now, if facts came late. `u` + integration: how much of the budget was used. `t`: when a backup was
/// restored into this store.
#[derive(Clone)]
pub struct Outbox {
    store: Store,
    records: Tree<Delivery>,
    marks: Tree<Mark>,
    amendments: Tree<Amendment>,
    usage: Tree<Usage>,
    restored: Tree<Restored>,
}

/// What a delivery's note should say, and which tags its conversation should have, since facts came after it was decided. A
/// record of its own: the line writes it while a courier may be writing the delivery's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment {
    pub integration: String,
    /// The stored call key.
    pub key: String,
    pub note: String,
    /// Somebody must look at it now: the conversation is opened.
    #[serde(default)]
    pub reopens: bool,
    /// All of them, those of the delivery's entry too.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// What came late and isn't in Kustomer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The note's new text.
    pub note: Option<String>,
    /// With it the conversation is opened.
    pub reopens: bool,
    /// Tags to add.
    pub tags: Vec<String>,
}

impl Record for Amendment {
    const VERSION: u16 = 1;
}

/// How many requests an integration may have sent in the budget window before `at`, and until the next note.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Usage {
    at: Timestamp,
    used: u32,
}

/// Where one integration's requests are noted.
pub struct UsageOf {
    outbox: Outbox,
    key: Vec<u8>,
}

impl Debug for UsageOf {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("usage")
    }
}

impl Notebook for UsageOf {
    fn note(&self, requests: u32) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        let (tree, key) = (self.outbox.usage.clone(), self.key.clone());
        let usage = Usage {
            at: clock::now(),
            used: requests,
        };
        let noted = self
            .outbox
            .store
            .commit(move |writes| writes.put(&tree, &key, &usage));
        Box::pin(async move { noted.await.is_ok() })
    }
}

impl Record for Usage {
    const VERSION: u16 = 1;
}

/// Its presence is all it says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Mark;

impl Record for Mark {
    const VERSION: u16 = 1;
}

impl Amendment {
    /// What of it isn't in Kustomer yet.
    fn beyond(self, delivery: &Delivery) -> Option<Late> {
        let said = delivery.amended.as_ref().unwrap_or(&delivery.entry.note);
        let note = Some(self.note).filter(|note| note != said);
        let known =
            |tag: &String| delivery.entry.tags.contains(tag) || delivery.added_tags.contains(tag);
        let tags: Vec<String> = self.tags.into_iter().filter(|tag| !known(tag)).collect();
        let nothing = note.is_none() && tags.is_empty();
        let reopens = self.reopens && note.is_some();
        (!nothing).then_some(Late {
            note,
            reopens,
            tags,
        })
    }
}

impl Outbox {
    pub fn open(store: &Store) -> Self {
        Self {
            store: store.clone(),
            records: store.tree(TREE),
            marks: store.tree(TREE),
            amendments: store.tree(TREE),
            usage: store.tree(TREE),
            restored: store.tree(TREE),
        }
    }

    /// Writes a new delivery within the caller's group commit; one that is already there keeps its progress, so that
    /// deciding a call twice (after a crash) owes it once.
    pub fn owe(&self, writes: &mut Writes<'_>, delivery: &Delivery) -> Result<(), StoreFault> {
        let doubt = self.doubt_of(writes, delivery)?;
        match self.get(&delivery.integration, &delivery.key)? {
            None => {
                let mut new = delivery.clone();
                doubt.into_iter().for_each(|since| new.doubt(since));
                self.write(writes, &new)?;
            }
            // Taken up again: what was done stays done, what was not starts anew.
            Some(mut old)
                if matches!(
                    old.end,
                    Some(DeliveryEnd::Dead { .. } | DeliveryEnd::Skipped { .. })
                ) =>
            {
                if old.conversation.is_none() && old.intent.is_none() {
                    old.entry = delivery.entry.clone();
                }
                // The conversation stands, but a note that was refused may be mended by now.
                if old.note.is_none() && old.intent != Some(Create::Note) {
                    old.entry.note = delivery.entry.note.clone();
                }
                old.revive(delivery.next_try);
                doubt.into_iter().for_each(|since| old.doubt(since));
                self.write(writes, &old)?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Notes within the caller's group commit what the note of a delivery should say by now, and that this is owed; a dead
    /// one learns it when somebody takes it up again.
    pub fn amend(&self, writes: &mut Writes<'_>, amendment: &Amendment) -> Result<(), StoreFault> {
        let at = |mark| store_key(mark, &amendment.integration, &amendment.key);
        let mut amendment = amendment.clone();
        let delivery = self.get(&amendment.integration, &amendment.key)?;
        if let Some(delivery) = &delivery {
            // What an earlier one asked for and wasn't done yet.
            let owed = self.amendment(delivery)?;
            amendment.reopens |= owed.is_some_and(|owed| owed.reopens);
        }
        writes.put(&self.amendments, &at(b'l'), &amendment)?;
        let end = delivery.and_then(|delivery| delivery.end);
        if matches!(end, Some(DeliveryEnd::Dead { .. })) {
            return Ok(());
        }
        writes.put(&self.marks, &at(b'p'), &Mark)
    }

    /// Whether there is such a delivery and it was given up.
    pub fn is_dead(&self, integration: &str, key: &str) -> Result<bool, StoreFault> {
        let delivery = self.get(integration, key)?;
        let end = delivery.and_then(|delivery| delivery.end);
        Ok(matches!(end, Some(DeliveryEnd::Dead { .. })))
    }

    /// What came late for a delivery and isn't in Kustomer yet; none if nothing came or all of it is there.
    pub fn amendment(&self, delivery: &Delivery) -> Result<Option<Late>, StoreFault> {
        let key = store_key(b'l', &delivery.integration, &delivery.key);
        let late = self.amendments.get(&key)?;
        Ok(late.and_then(|late| late.beyond(delivery)))
    }

    /// Makes the progress durable; returns after the sync.
    pub async fn keep(&self, delivery: &Delivery) -> Result<(), StoreFault> {
        self.keep_all(vec![delivery.clone()]).await
    }

    /// The same for several deliveries: all of it or nothing.
    pub async fn keep_all(&self, deliveries: Vec<Delivery>) -> Result<(), StoreFault> {
        let outbox = self.clone();
        self.store
            .commit(move |writes| {
                let mut deliveries = deliveries.iter();
                deliveries.try_for_each(|delivery| outbox.write(writes, delivery))
            })
            .await
    }

    pub fn usage_of(&self, integration: &str) -> UsageOf {
        UsageOf {
            outbox: self.clone(),
            key: store_key(b'u', integration, ""),
        }
    }

    /// How many requests an integration may have sent within the last window, before this start (invariant 7).
    pub fn sent_before(&self, to: &KustomerSettings, now: Timestamp) -> Result<u32, StoreFault> {
        let Some(usage) = self.usage.get(&store_key(b'u', &to.name, ""))? else {
            return Ok(0);
        };
        let age = Duration::try_from(now.duration_since(usage.at)).unwrap_or_default();
        if age >= counts_for(to.budget_window) {
            return Ok(0);
        }
        Ok(usage.used.min(to.requests_per_minute))
    }

    pub fn get(&self, integration: &str, key: &str) -> Result<Option<Delivery>, StoreFault> {
        self.records.get(&store_key(b'r', integration, key))
    }

    /// Every delivery that is held, of all integrations.
    pub fn all(&self) -> impl Iterator<Item = Result<Delivery, StoreFault>> + use<> {
        let rows = self.records.prefix(b"r");
        rows.map(|row| row.map(|(_, delivery)| delivery))
    }

    /// What an integration still has to deliver, in key order.
    pub fn pending(&self, integration: &str) -> Result<Vec<Delivery>, StoreFault> {
        self.marked(b'p', integration)
    }

    /// What an integration gave up.
    pub fn dead(&self, integration: &str) -> Result<Vec<Delivery>, StoreFault> {
        self.marked(b'd', integration)
    }

    /// Removes a settled delivery within the caller's group commit.
    pub fn forget(
        &self,
        writes: &mut Writes<'_>,
        integration: &str,
        key: &str,
    ) -> Result<(), StoreFault> {
        writes.remove(&self.records, &store_key(b'r', integration, key))?;
        writes.remove(&self.amendments, &store_key(b'l', integration, key))?;
        writes.remove(&self.marks, &store_key(b'p', integration, key))?;
        writes.remove(&self.marks, &store_key(b'd', integration, key))
    }

    fn marked(&self, mark: u8, integration: &str) -> Result<Vec<Delivery>, StoreFault> {
        let prefix = store_key(mark, integration, "");
        let mut deliveries = Vec::new();
        for row in self.marks.prefix(&prefix) {
            let (mut key, _) = row?;
            if let Some(first) = key.first_mut() {
                *first = b'r';
            }
            deliveries.extend(self.records.get(&key)?);
        }
        Ok(deliveries)
    }

    fn write(&self, writes: &mut Writes<'_>, delivery: &Delivery) -> Result<(), StoreFault> {
        let at = |mark| store_key(mark, &delivery.integration, &delivery.key);
        writes.put(&self.records, &at(b'r'), delivery)?;
        let (pending, dead) = match &delivery.end {
            None => (true, false),
            Some(DeliveryEnd::Dead { .. }) => (false, true),
            // What came late before this end was written is still owed: a start must find it.
            Some(DeliveryEnd::Logged) => {
                let late = writes.get(&self.amendments, &at(b'l'))?;
                (late.and_then(|late| late.beyond(delivery)).is_some(), false)
            }
            Some(DeliveryEnd::Skipped { .. } | DeliveryEnd::Dropped) => (false, false),
        };
        for (mark, present) in [(b'p', pending), (b'd', dead)] {
            if present {
                writes.put(&self.marks, &at(mark), &Mark)?;
            } else {
                writes.remove(&self.marks, &at(mark))?;
            }
        }
        Ok(())
    }
}

/// Whether this tieline can read a record of the tree, as a backup has it.
///
/// # Errors
/// `NewerRecord` if a later tieline wrote it, `BadRecord` if it makes no sense.
pub fn check(key: &[u8], value: &[u8]) -> Result<(), StoreFault> {
    match key.first() {
        Some(b'r') => readable::<Delivery>(TREE, value),
        Some(b'p' | b'd') => readable::<Mark>(TREE, value),
        Some(b'l') => readable::<Amendment>(TREE, value),
        Some(b'u') => readable::<Usage>(TREE, value),
        Some(b't') => readable::<Restored>(TREE, value),
        kind => Err(unknown_kind(TREE, kind.copied())),
    }
}

fn store_key(mark: u8, integration: &str, key: &str) -> Vec<u8> {
    let mut bytes = vec![mark];
    bytes.extend_from_slice(integration.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(key.as_bytes());
    bytes
}
