//! The journal: every raw event as it was posted, in the order taken, on disk before the phone system hears yes
//! (invariants 1 and 2). Owns the tree `journal`. `intake/` appends; the processing loop in `line.rs` reads on from its
//! cursor, woken by `watch`.
//!
//! ```text
//! 0x00          -> the highest number ever pruned, so that numbers are never given twice
//! 0x01 number   -> the event
//! 0x02 event id -> its number: a repeat is recognised and not written again
//! ```

use crate::store::{Store, StoreFault, Stored, Tree};
use crate::terms::ids::EventId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::watch;

/// The tree's name, for imports.
pub const TREE: &str = "journal";
const VERSION: u8 = 1;
const FLOOR: &[u8] = &[0x00];
const EVENT: u8 = 0x01;
const ID: u8 = 0x02;

/// What was posted, before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    pub pbx: String,
    pub received: Timestamp,
    pub content_type: Option<String>,
    /// Without `?` and without our own secret.
    pub query: Option<String>,
    /// Exactly as sent.
    pub body: bytes::Bytes,
}

impl Posted {
    /// Phone system and body make the event. The query is left out because FreeSWITCH appends its own to a repeat,
    /// the content type because it says nothing about the call.
    pub fn id(&self) -> EventId {
        let mut sum = Sha256::new();
        sum.update(self.pbx.as_bytes());
        sum.update([0]);
        sum.update(&self.body);
        let mut id = [0_u8; 16];
        for (to, from) in id.iter_mut().zip(sum.finalize()) {
            *to = from;
        }
        EventId(id)
    }
}

/// One accepted event. Numbers are dense from 1 in the order of acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: u64,
    pub id: EventId,
    pub posted: Posted,
}

/// The answer to an append, once it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub id: EventId,
    pub seq: u64,
    /// The event was already held; nothing was written.
    pub repeat: bool,
}

/// The one journal. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    store: Store,
    events: Tree<StoredEvent>,
    numbers: Tree<Number>,
    /// The last number given, on disk or in the group being written. Changed in the writer thread alone.
    given: Arc<AtomicU64>,
    synced: watch::Sender<u64>,
}

impl Journal {
    /// # Errors
    /// A fault of the store.
    pub fn open(store: Store) -> Result<Self, StoreFault> {
        let events = store.tree::<StoredEvent>(TREE);
        let numbers = store.tree::<Number>(TREE);
        let pruned = numbers.get(FLOOR)?.map_or(0, |number| number.0);
        let held = events
            .prefix(&[EVENT])
            .next_back()
            .transpose()?
            .map_or(0, |(key, _)| parse_event_key(&key));
        let last = pruned.max(held);
        Ok(Self {
            store,
            events,
            numbers,
            given: Arc::new(AtomicU64::new(last)),
            synced: watch::Sender::new(last),
        })
    }

    /// Takes an event; answers once it is on disk. A repeat waits for the first one's sync too.
    ///
    /// # Errors
    /// `Busy` when too many wait, `DiskFull`, `Broken`.
    pub async fn append(&self, posted: Posted) -> Result<Accepted, StoreFault> {
        let id = posted.id();
        let (events, numbers, given) = (
            self.events.clone(),
            self.numbers.clone(),
            Arc::clone(&self.given),
        );
        let synced = self.synced.clone();
        let work = move |writes: &mut crate::store::Writes<'_>| {
            let id_key = id_key(id);
            if let Some(Number(seq)) = writes.get(&numbers, &id_key)? {
                return Ok(Accepted {
                    id,
                    seq,
                    repeat: true,
                });
            }
            let seq = given.load(Relaxed) + 1;
            writes.add(&events, &event_key(seq), &StoredEvent(posted))?;
            writes.add(&numbers, &id_key, &Number(seq))?;
            given.store(seq, Relaxed);
            Ok(Accepted {
                id,
                seq,
                repeat: false,
            })
        };
        let wake = move |accepted: &Accepted| {
            synced.send_if_modified(|last| {
                let newer = accepted.seq > *last;
                *last = accepted.seq.max(*last);
                newer
            });
        };
        self.store.try_commit(work, wake).await
    }

    /// # Errors
    /// A fault of the store.
    pub fn get(&self, seq: u64) -> Result<Option<Entry>, StoreFault> {
        Ok(self
            .events
            .get(&event_key(seq))?
            .map(|event| event.entry(seq)))
    }

    /// # Errors
    /// A fault of the store.
    pub fn find(&self, id: EventId) -> Result<Option<Entry>, StoreFault> {
        match self.numbers.get(&id_key(id))? {
            Some(Number(seq)) => self.get(seq),
            None => Ok(None),
        }
    }

    /// The next events after that number, oldest first. Only what is on disk: `last_seq` is the end.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn after(&self, seq: u64, limit: usize) -> Result<Vec<Entry>, StoreFault> {
        let end = event_key(self.last_seq());
        self.events
            .range(&event_key(seq.saturating_add(1)), Bound::Included(&end))
            .take(limit)
            .map(|found| found.map(|(key, event)| event.entry(parse_event_key(&key))))
            .collect()
    }

    /// The last number that is on disk; 0 before the first event.
    pub fn last_seq(&self) -> u64 {
        *self.synced.borrow()
    }

    /// Changes with every new number on disk.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.synced.subscribe()
    }

    /// Removes these events and forgets their ids; a repeat of one would be a new event.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn remove(&self, events: Vec<(u64, EventId)>) -> Result<(), StoreFault> {
        let Some(highest) = events.iter().map(|(seq, _)| *seq).max() else {
            return Ok(());
        };
        let (tree, numbers) = (self.events.clone(), self.numbers.clone());
        self.store
            .commit(move |writes| {
                for (seq, id) in &events {
                    writes.remove(&tree, &event_key(*seq))?;
                    writes.remove(&numbers, &id_key(*id))?;
                }
                let pruned = writes.get(&numbers, FLOOR)?.map_or(0, |number| number.0);
                writes.put(&numbers, FLOOR, &Number(highest.max(pruned)))
            })
            .await
    }
}

fn event_key(seq: u64) -> [u8; 9] {
    prefixed(EVENT, seq.to_be_bytes())
}

fn id_key(id: EventId) -> [u8; 17] {
    prefixed(ID, id.0)
}

fn prefixed<const FROM: usize, const TO: usize>(kind: u8, rest: [u8; FROM]) -> [u8; TO] {
    let mut key = [kind; TO];
    for (to, from) in key.iter_mut().skip(1).zip(rest) {
        *to = from;
    }
    key
}

fn parse_event_key(key: &[u8]) -> u64 {
    let number = key.get(1..).and_then(|rest| rest.first_chunk::<8>());
    number.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// `<version, 1 byte><header length, 4 bytes><header, JSON><body>`: the body stays as it was sent.
struct StoredEvent(Posted);

impl StoredEvent {
    fn entry(self, seq: u64) -> Entry {
        Entry {
            seq,
            id: self.0.id(),
            posted: self.0,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    pbx: String,
    received: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
}

impl Stored for StoredEvent {
    fn to_bytes(&self, tree: &'static str) -> Result<Vec<u8>, StoreFault> {
        let Posted {
            pbx,
            received,
            content_type,
            query,
            body,
        } = &self.0;
        let header = Header {
            pbx: pbx.clone(),
            received: *received,
            content_type: content_type.clone(),
            query: query.clone(),
        };
        let mut bytes = Vec::with_capacity(body.len() + 160);
        bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
        serde_json::to_writer(&mut bytes, &header).map_err(|error| bad(tree, error.to_string()))?;
        let length =
            u32::try_from(bytes.len() - 5).map_err(|error| bad(tree, error.to_string()))?;
        for (to, from) in bytes.iter_mut().skip(1).zip(length.to_be_bytes()) {
            *to = from;
        }
        bytes.extend_from_slice(body);
        Ok(bytes)
    }

    fn from_bytes(tree: &'static str, bytes: &[u8]) -> Result<Self, StoreFault> {
        let cut = || bad(tree, "the event is cut short");
        let (version, rest) = bytes.split_first().ok_or_else(cut)?;
        if *version != VERSION {
            return Err(StoreFault::NewerRecord {
                tree,
                found: u16::from(*version),
                known: u16::from(VERSION),
            });
        }
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_be_bytes(*length))
            .map_err(|error| bad(tree, error.to_string()))?;
        let (header, body) = rest.split_at_checked(length).ok_or_else(cut)?;
        let header: Header =
            serde_json::from_slice(header).map_err(|error| bad(tree, error.to_string()))?;
        Ok(Self(Posted {
            pbx: header.pbx,
            received: header.received,
            content_type: header.content_type,
            query: header.query,
            body: bytes::Bytes::copy_from_slice(body),
        }))
    }
}

/// The number behind an event id, 8 bytes.
struct Number(u64);

impl Stored for Number {
    fn to_bytes(&self, _tree: &'static str) -> Result<Vec<u8>, StoreFault> {
        Ok(self.0.to_be_bytes().to_vec())
    }

    fn from_bytes(tree: &'static str, bytes: &[u8]) -> Result<Self, StoreFault> {
        let bytes = <[u8; 8]>::try_from(bytes).map_err(|error| bad(tree, error.to_string()))?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

fn bad(tree: &'static str, why: impl Into<String>) -> StoreFault {
    StoreFault::BadRecord {
        tree,
        why: why.into(),
    }
}
