//! What Kustomer's outbound webhooks told: which events were seen, and which customers have to be looked at. Owns the tree
//! `webhooks`. `webhooks/door.rs` puts events in before it answers; the sync takes the customers out and looks at each in
//! Kustomer itself, so that it doesn't matter in which order events come, or how old the state in them is.

pub mod door;
pub mod event;
pub mod watch;

use crate::clock;
use crate::store::{Record, Store, StoreFault, Tree, readable, unknown_kind};
use crate::terms::ids::CustomerId;
use event::Event;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch as channel;

/// The tree's name, for imports.
pub const TREE: &str = "webhooks";

/// How long an event is known again. Kustomer repeats one for about an hour (Kustomer: Delivery and retries).
const SEEN_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Events known again at most, the latest: more than an hour of five changed customers a second.
const SEEN_MAX: usize = 20_000;
/// Customers that wait for the sync. Those beyond it are found by its next look at what changed.
const WAITING_MAX: usize = 10_000;
/// Rows removed with one event: more than come in with it, so that what is old goes, and little, so that nobody waits.
const FORGOTTEN_AT_ONCE: usize = 16;

/// An event that was taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    at: Timestamp,
}

impl Record for Seen {
    const VERSION: u16 = 1;
}

/// A customer to look at.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waits {
    since: Timestamp,
    /// Of how many events since then.
    events: u64,
}

impl Record for Waits {
    const VERSION: u16 = 1;
}

/// Whether this tieline can read a record of the tree, as a backup has it.
///
/// # Errors
/// `NewerRecord` if a later tieline wrote it, `BadRecord` if it makes no sense.
pub fn check(key: &[u8], value: &[u8]) -> Result<(), StoreFault> {
    match key.first() {
        Some(b'e') => readable::<Seen>(TREE, value),
        Some(b'w') => readable::<Waits>(TREE, value),
        kind => Err(unknown_kind(TREE, kind.copied())),
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its customer waits, on disk.
    New,
    /// Seen before; nothing was done.
    Repeated,
    /// Another kind of event, or none with a customer; nothing was done.
    Other,
    /// Too many wait already; the sync finds the customer at its next look at what changed.
    LeftOut,
}

/// One integration's events. Clones share everything.
#[derive(Clone)]
pub struct Webhooks {
    store: Store,
    seen: Tree<Seen>,
    waits: Tree<Waits>,
    integration: Arc<str>,
    held: Arc<Mutex<Held>>,
    told: Arc<channel::Sender<()>>,
}

/// What is held in memory beside the tree.
#[derive(Default)]
struct Held {
    /// Events seen, the oldest first.
    order: VecDeque<(Timestamp, String)>,
    /// The customers waiting, and of how many events each.
    waiting: HashMap<CustomerId, u64>,
    /// The same as it was when `waiting` was asked last.
    shown: HashMap<CustomerId, u64>,
}

impl Webhooks {
    /// Reads what is known of the integration.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn open(store: &Store, integration: &str) -> Result<Self, StoreFault> {
        let (seen, waits) = (store.tree::<Seen>(TREE), store.tree::<Waits>(TREE));
        let mut held = Held::default();
        for row in seen.prefix(&key(b'e', integration, "")) {
            let (stored, seen) = row?;
            held.order.push_back((seen.at, last_part(&stored)));
        }
        held.order.make_contiguous().sort();
        for row in waits.prefix(&key(b'w', integration, "")) {
            let (stored, waits) = row?;
            held.waiting
                .insert(CustomerId(last_part(&stored)), waits.events);
        }
        Ok(Self {
            store: store.clone(),
            seen,
            waits,
            integration: integration.into(),
            held: Arc::new(Mutex::new(held)),
            told: Arc::new(channel::Sender::new(())),
        })
    }

    /// Takes an event; on disk when it answers.
    ///
    /// # Errors
    /// A fault of the store; then nothing was taken.
    pub async fn take(&self, event: Event) -> Result<Taken, StoreFault> {
        let Some(customer) = event.changed else {
            return Ok(Taken::Other);
        };
        let now = clock::now();
        let old = self.forgotten(now);
        if self.is_full(&customer) {
            return Ok(Taken::LeftOut);
        }
        let (seen, waits) = (self.seen.clone(), self.waits.clone());
        let event_key = key(b'e', &self.integration, &event.id);
        let waits_key = key(b'w', &self.integration, &customer.0);
        let old: Vec<_> = old
            .iter()
            .map(|id| key(b'e', &self.integration, id))
            .collect();
        let events = self
            .store
            .commit(move |writes| {
                for key in &old {
                    writes.remove(&seen, key)?;
                }
                if writes.get(&seen, &event_key)?.is_some() {
                    return Ok(None);
                }
                writes.put(&seen, &event_key, &Seen { at: now })?;
                let mut waiting = writes.get(&waits, &waits_key)?.unwrap_or(Waits {
                    since: now,
                    events: 0,
                });
                waiting.events = waiting.events.saturating_add(1);
                writes.put(&waits, &waits_key, &waiting)?;
                Ok(Some(waiting.events))
            })
            .await?;
        let Some(events) = events else {
            return Ok(Taken::Repeated);
        };
        let mut held = self.held();
        held.order.push_back((now, event.id));
        let count = held.waiting.entry(customer).or_default();
        *count = events.max(*count);
        drop(held);
        self.told.send_replace(());
        Ok(Taken::New)
    }

    /// The customers to look at; they wait on until they are `done`.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn waiting(&self) -> Result<Vec<CustomerId>, StoreFault> {
        let mut shown = HashMap::new();
        for row in self.waits.prefix(&key(b'w', &self.integration, "")) {
            let (stored, waits) = row?;
            shown.insert(CustomerId(last_part(&stored)), waits.events);
        }
        let mut ids: Vec<_> = shown.keys().cloned().collect();
        ids.sort();
        self.held().shown = shown;
        Ok(ids)
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.held().waiting.len()
    }

    /// These were looked at after `waiting` named them. One that an event came for in between waits on.
    ///
    /// # Errors
    /// A fault of the store; then they wait on.
    pub async fn done(&self, ids: &[CustomerId]) -> Result<(), StoreFault> {
        let shown: Vec<(CustomerId, u64)> = {
            let held = self.held();
            let shown = |id: &CustomerId| Some((id.clone(), *held.shown.get(id)?));
            ids.iter().filter_map(shown).collect()
        };
        let (waits, integration) = (self.waits.clone(), Arc::clone(&self.integration));
        let gone = self
            .store
            .commit(move |writes| {
                let mut gone = Vec::new();
                for (id, events) in shown {
                    let key = key(b'w', &integration, &id.0);
                    if writes
                        .get(&waits, &key)?
                        .is_some_and(|now| now.events == events)
                    {
                        writes.remove(&waits, &key)?;
                        gone.push((id, events));
                    }
                }
                Ok(gone)
            })
            .await?;
        let mut held = self.held();
        for (id, events) in gone {
            held.shown.remove(&id);
            if held.waiting.get(&id) == Some(&events) {
                held.waiting.remove(&id);
            }
        }
        Ok(())
    }

    /// Changes whenever a customer begins to wait; not for those that waited before the start, so ask `waiting` first.
    pub fn told(&self) -> channel::Receiver<()> {
        self.told.subscribe()
    }

    /// Takes those out of the order that are too old or too many; they are removed with the next event.
    fn forgotten(&self, now: Timestamp) -> Vec<String> {
        let mut held = self.held();
        let mut old = Vec::new();
        while old.len() < FORGOTTEN_AT_ONCE
            && held.order.front().is_some_and(|(at, _)| {
                held.order.len() >= SEEN_MAX || now.duration_since(*at) >= SEEN_FOR
            })
        {
            old.extend(held.order.pop_front().map(|(_, id)| id));
        }
        old
    }

    fn is_full(&self, customer: &CustomerId) -> bool {
        let held = self.held();
        held.waiting.len() >= WAITING_MAX && !held.waiting.contains_key(customer)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `e` events, `w` customers: the kind, the integration, 0, the id.
fn key(kind: u8, integration: &str, id: &str) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(integration.as_bytes());
    key.push(0);
    key.extend_from_slice(id.as_bytes());
    key
}

fn last_part(key: &[u8]) -> String {
    let id = key.rsplit(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(id).into_owned()
}
