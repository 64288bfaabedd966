//! The journal: every raw event as it was posted, in the order taken, on disk before the phone system hears yes
//! (invariants 1 and 2). Owns the tree `journal`. `intake/` appends; the processing loop in `line.rs` reads on from its
//! cursor, woken by `watch`.
//!
//! ```text
//! 0x00         -> the highest number ever pruned, so that numbers are never given twice
//! 0x01 number  -> a page: events taken together, from that number on
//! 0x02 number  -> the ids of many events, from that number on, written behind the pages
//! ```
//! The ids of all held events are also in memory (some 50 bytes each); `daemon.keep` bounds them.

mod held;
mod page;
mod scribe;

use crate::shares::Shares;
use crate::store::{Store, StoreFault, Stored, Tree, Writes, readable, unknown_kind};
use crate::terms::ids::EventId;
use held::{Found, Held};
use jiff::Timestamp;
use page::{Ids, Page};
use scribe::{Scribe, Waiting};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// The tree's name, for imports.
pub const TREE: &str = "journal";
/// Posts that wait for the disk, when the settings say nothing else; beyond it `append` answers `Busy`.
pub const QUEUE_POSTS_DEFAULT: usize = 4096;
/// Events without an end, at most: with their calls, which are held in memory, less than 1 GB of the unit's 2 GB. Kustomer
/// may be away for three days at four events a second.
const IN_FLIGHT_MAX: u64 = 1_000_000;
/// Events held: their ids are in memory, in a table that is doubled at this number, to 1.7 GB. A thousand agents' of a month.
const HELD_MAX: u64 = 29_000_000;
/// A phone system may hold as many places of the queue as are free: alone half of it.
const QUEUE_GREED: usize = 1;
const FLOOR: &[u8] = &[0x00];
const PAGE: u8 = 0x01;
const IDS: u8 = 0x02;

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
    pages: Tree<Page>,
    ids: Tree<Ids>,
    floor: Tree<Number>,
    posts: mpsc::Sender<Waiting>,
    /// The queue's places by phone system.
    places: Arc<Shares<String>>,
    limits: JournalLimits,
    shared: Arc<Shared>,
}

/// How much a journal takes; beyond it `append` refuses until there is less.
#[derive(Clone, Copy, Debug)]
pub struct JournalLimits {
    /// Posts that wait for the disk.
    pub queue: usize,
    /// Events without an end, once somebody tells how many have one.
    pub in_flight: u64,
    pub held: u64,
}

impl JournalLimits {
    pub const fn with_queue(queue: usize) -> Self {
        Self {
            queue,
            in_flight: IN_FLIGHT_MAX,
            held: HELD_MAX,
        }
    }
}

/// What the journal and its scribe both see.
struct Shared {
    /// The number of each held event.
    held: Mutex<Held>,
    /// The last number that is on disk.
    synced: watch::Sender<u64>,
    /// How many events have an end; the highest number while nobody has told.
    ended: AtomicU64,
}

impl Shared {
    /// Nothing in here panics half-way through a change, so a poisoned lock still holds a whole map.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Reads the ids of what is held and starts the scribe; needs a tokio runtime. At most `queue` posts wait for the
    /// disk, and of one phone system no more than leave room for another's.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn open(store: Store, queue: usize) -> Result<Self, StoreFault> {
        Self::with(store, JournalLimits::with_queue(queue))
    }

    /// The same within other limits.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn with(store: Store, limits: JournalLimits) -> Result<Self, StoreFault> {
        let queue = limits.queue.max(1);
        let (pages, ids) = (store.tree::<Page>(TREE), store.tree::<Ids>(TREE));
        let floor = store.tree::<Number>(TREE);
        let pruned = floor.get(FLOOR)?.map_or(0, |number| number.0);
        let Found {
            held,
            last,
            unindexed,
        } = held::find(&pages, &ids)?;
        let last = last.max(pruned);
        let shared = Arc::new(Shared {
            held: Mutex::new(held),
            synced: watch::Sender::new(last),
            ended: AtomicU64::new(u64::MAX),
        });
        let (posts, waiting) = mpsc::channel(queue);
        let scribe = Scribe {
            store: store.downgrade(),
            shared: Arc::clone(&shared),
            last,
            unindexed,
        };
        tokio::spawn(scribe.run(waiting));
        Ok(Self {
            store,
            pages,
            ids,
            floor,
            posts,
            places: Shares::new(queue, QUEUE_GREED),
            limits,
            shared,
        })
    }

    /// Takes an event; answers once it is on disk. A repeat waits for the first one's sync too.
    ///
    /// # Errors
    /// `Busy` when too many wait, of this phone system or in all, `TooMany`, `DiskFull`, `Broken`.
    pub async fn append(&self, posted: Posted) -> Result<Accepted, StoreFault> {
        self.has_room()?;
        let place = self.places.take(posted.pbx.clone(), 1);
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            id: posted.id(),
            event: page::event(&posted)?,
            place: place.ok_or(StoreFault::Busy)?,
            answer,
        };
        drop(posted);
        self.posts.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreFault::Busy,
            mpsc::error::TrySendError::Closed(_) => gone(),
        })?;
        answered.await.map_err(|_| gone())?
    }

    /// How many events have an end; so many may come beyond them as may be in flight.
    pub fn tell_ended(&self, ended: u64) {
        self.shared.ended.store(ended, Relaxed);
    }

    /// What every event adds to what is in memory, until it has its end and until it is removed, has a limit too.
    fn has_room(&self) -> Result<(), StoreFault> {
        let ended = self.shared.ended.load(Relaxed);
        let in_flight = self.last_seq().saturating_sub(ended);
        let held = u64::try_from(self.shared.held().len()).unwrap_or(u64::MAX);
        let full = |count, what| Err(StoreFault::TooMany { count, what });
        if in_flight >= self.limits.in_flight {
            return full(in_flight, "wait for their end");
        }
        if held >= self.limits.held {
            return full(held, "are kept (daemon.keep)");
        }
        Ok(())
    }

    /// # Errors
    /// A fault of the store.
    pub fn get(&self, seq: u64) -> Result<Option<Entry>, StoreFault> {
        match page_with(&self.pages, seq)? {
            Some((first, page)) => page.entry(first, seq),
            None => Ok(None),
        }
    }

    /// # Errors
    /// A fault of the store.
    pub fn find(&self, id: EventId) -> Result<Option<Entry>, StoreFault> {
        let seq = self.shared.held().get(&id).copied();
        seq.map_or(Ok(None), |seq| self.get(seq))
    }

    /// The next events after that number, oldest first. Only what is on disk: `last_seq` is the end.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn after(&self, seq: u64, limit: usize) -> Result<Vec<Entry>, StoreFault> {
        let next = seq.saturating_add(1);
        let first = page_with(&self.pages, next)?.map_or(next, |(first, _)| first);
        let end = page_key(self.last_seq());
        let mut entries = Vec::new();
        for row in self.pages.range(&page_key(first), Bound::Included(&end)) {
            let (key, page) = row?;
            for entry in page.entries(parse_key(&key)) {
                let entry = entry?;
                if entry.seq > seq {
                    entries.push(entry);
                }
                if entries.len() == limit {
                    return Ok(entries);
                }
            }
        }
        Ok(entries)
    }

    /// The last number that is on disk; 0 before the first event.
    pub fn last_seq(&self) -> u64 {
        *self.shared.synced.borrow()
    }

    /// Changes with every new number on disk.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.synced.subscribe()
    }

    /// Removes these events and forgets their ids; a repeat of one would be a new event.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn remove(&self, events: Vec<(u64, EventId)>) -> Result<(), StoreFault> {
        let Some(highest) = events.iter().map(|(seq, _)| *seq).max() else {
            return Ok(());
        };
        let (mut of_page, mut of_ids) = (BTreeMap::new(), BTreeMap::new());
        for (seq, _) in &events {
            if let Some((first, _)) = page_with(&self.pages, *seq)? {
                let seqs: &mut Vec<u64> = of_page.entry(first).or_default();
                seqs.push(*seq);
            }
            if let Some((first, _)) = upto(&self.ids, IDS, *seq)? {
                let seqs: &mut Vec<u64> = of_ids.entry(first).or_default();
                seqs.push(*seq);
            }
        }
        let (pages, ids, floor) = (self.pages.clone(), self.ids.clone(), self.floor.clone());
        self.store
            .commit(move |writes| {
                for (first, gone) in &of_page {
                    let page = writes.get(&pages, &page_key(*first))?;
                    let left = page.map(|page| page.without(*first, gone)).transpose()?;
                    keep_or_remove(writes, &pages, &page_key(*first), left.flatten())?;
                }
                for (first, gone) in &of_ids {
                    let left = writes.get(&ids, &ids_key(*first))?.map(|Ids(mut ids)| {
                        ids.retain(|(seq, _)| !gone.contains(seq));
                        Ids(ids)
                    });
                    let left = left.filter(|ids| !ids.0.is_empty());
                    keep_or_remove(writes, &ids, &ids_key(*first), left)?;
                }
                let pruned = writes.get(&floor, FLOOR)?.map_or(0, |number| number.0);
                writes.put(&floor, FLOOR, &Number(highest.max(pruned)))
            })
            .await?;
        let mut held = self.shared.held();
        for (_, id) in &events {
            held.remove(id);
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
        Some(0x00) => readable::<Number>(TREE, value),
        Some(&PAGE) => {
            let page = Page::from_bytes(TREE, value)?;
            page.entries(parse_key(key))
                .try_for_each(|entry| entry.map(drop))
        }
        Some(&IDS) => readable::<Ids>(TREE, value),
        kind => Err(unknown_kind(TREE, kind.copied())),
    }
}

fn keep_or_remove<V: Stored>(
    writes: &mut Writes<'_>,
    tree: &Tree<V>,
    key: &[u8],
    left: Option<V>,
) -> Result<(), StoreFault> {
    match left {
        Some(value) => writes.put(tree, key, &value),
        None => writes.remove(tree, key),
    }
}

/// The page that would hold this number, and the number of its first event.
fn page_with(pages: &Tree<Page>, seq: u64) -> Result<Option<(u64, Page)>, StoreFault> {
    upto(pages, PAGE, seq)
}

/// The last record of a kind whose number is not above this one.
fn upto<V: Stored>(tree: &Tree<V>, kind: u8, seq: u64) -> Result<Option<(u64, V)>, StoreFault> {
    let end = key(kind, seq);
    let mut rows = tree.range(&key(kind, 0), Bound::Included(&end));
    let found = rows.next_back().transpose()?;
    Ok(found.map(|(key, value)| (parse_key(&key), value)))
}

fn gone() -> StoreFault {
    StoreFault::Broken {
        why: "the journal's scribe has ended".to_owned(),
    }
}

fn page_key(first: u64) -> [u8; 9] {
    key(PAGE, first)
}

fn ids_key(first: u64) -> [u8; 9] {
    key(IDS, first)
}

fn key(kind: u8, first: u64) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = first.to_be_bytes();
    [kind, a, b, c, d, e, f, g, h]
}

fn parse_key(key: &[u8]) -> u64 {
    let number = key.get(1..).and_then(|rest| rest.first_chunk::<8>());
    number.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The highest number pruned, 8 bytes.
struct Number(u64);

impl Stored for Number {
    fn to_bytes(&self, _tree: &'static str) -> Result<Vec<u8>, StoreFault> {
        Ok(self.0.to_be_bytes().to_vec())
    }

    fn from_bytes(tree: &'static str, bytes: &[u8]) -> Result<Self, StoreFault> {
        let bytes = <[u8; 8]>::try_from(bytes).map_err(|error| StoreFault::BadRecord {
            tree,
            why: error.to_string(),
        })?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}
