//! The ledger of events and calls: which event belongs to which call, how far each call is, and every event's end
//! (invariant 2: accepted = the sum of the ends + in flight).
//!
//! Owns the trees `calls` and `ends`; written by `line` only, read by `explain` and `status`. `calls` also has the running
//! exchanges of texts.

mod counts;
mod erase;
mod looks;

pub use counts::{Account, Accounts, Counts, NAMES_MAX, OTHERS, counted_as};
pub use erase::Forgotten;
pub use looks::Looks;

use super::exchange::{Exchange, Pair};
use super::outbox::{Amendment, Delivery, Outbox};
use crate::store::{Record, Store, StoreFault, Tree, Writes, readable, unknown_kind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A call or text from its first event to its end: one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The stored call key, `call:hq:a1`.
    pub key: String,
    pub pbx: String,
    /// Journal numbers of its events, as they came.
    pub events: Vec<u64>,
    /// Those of them that end with another call, because they speak of that one first.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub guests: BTreeSet<u64>,
    pub last_event: Timestamp,
    /// Start and end of the call once decided: a later leg far outside it is another call with a used id.
    pub span: Option<(Timestamp, Timestamp)>,
    pub stage: Stage,
    pub takers: Vec<Taker>,
    /// The keys that its legs' own ids would make: a leg that names one of them as its family is of this call.
    #[serde(default)]
    pub legs: Vec<String>,
    /// So many of the events, the last ones, came after the call was decided, and its notes weren't asked about them yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late: usize,
    /// The key of the call that this one turned out to be part of: what comes under its own key later is that one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// More legs may come.
    Gathering,
    /// Decided; at least one integration still has to log it.
    Owed,
    Ended,
}

/// What one integration makes of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taker {
    pub integration: String,
    /// None while the delivery is under way.
    pub end: Option<End>,
}

/// The visible end of an event, and of a call for one integration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Logged,
    /// Part of a call that another event stands for.
    Joined,
    /// `rule` is the skip reason's key; `why` says it in words.
    Filtered {
        rule: String,
        why: String,
    },
    Dead {
        why: String,
    },
    /// Its content was removed on request.
    Erased,
}

impl End {
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Logged => "logged",
            Self::Joined => "joined",
            Self::Filtered { .. } => "filtered",
            Self::Dead { .. } => "dead",
            Self::Erased => "erased",
        }
    }

    /// The reason, where there is one.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Filtered { why, .. } | Self::Dead { why } => Some(why),
            Self::Logged | Self::Joined | Self::Erased => None,
        }
    }
}

/// What is known of one event besides its raw form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMark {
    /// The call or text it belongs to; none if it could not be read.
    pub key: Option<String>,
    pub end: Option<End>,
}

impl Record for CallRecord {
    const VERSION: u16 = 1;
}
impl Record for Exchange {
    const VERSION: u16 = 1;
}
impl Record for EventMark {
    const VERSION: u16 = 1;
}
/// Its presence says that a call is not ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Open;
impl Record for Open {
    const VERSION: u16 = 1;
}

impl CallRecord {
    pub fn new(key: String, pbx: &str, now: Timestamp) -> Self {
        Self {
            key,
            pbx: pbx.to_owned(),
            events: Vec::new(),
            guests: BTreeSet::new(),
            last_event: now,
            span: None,
            stage: Stage::Gathering,
            takers: Vec::new(),
            legs: Vec::new(),
            late: 0,
            home: None,
        }
    }

    /// Whether nothing of it is left: its events went to another call, and it has nobody to end them.
    pub fn is_empty(&self) -> bool {
        self.stage == Stage::Ended && self.events.is_empty() && self.takers.is_empty()
    }

    /// What each integration makes of it, for the log: fixed words and names of the settings.
    pub fn takers_in_words(&self) -> String {
        let words = self.takers.iter().map(|taker| {
            let end = match &taker.end {
                None => "owed",
                Some(End::Filtered { rule, .. }) => rule,
                Some(end) => end.word(),
            };
            format!("{}: {end}", taker.integration)
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// The end of an event of it by its journal number.
    pub fn end_of_event(&self, seq: u64) -> Option<End> {
        let index = self.events.iter().position(|event| *event == seq)?;
        self.end_of(index)
    }

    /// The end of its event number `index`: one stands for the call, the others joined it.
    pub fn end_of(&self, index: usize) -> Option<End> {
        if self.stage != Stage::Ended {
            return None;
        }
        let ends = || self.takers.iter().filter_map(|taker| taker.end.as_ref());
        if ends().any(|end| *end == End::Logged) {
            return Some(if index == 0 { End::Logged } else { End::Joined });
        }
        let dead = ends().find(|end| matches!(end, End::Dead { .. }));
        dead.or_else(|| ends().next()).cloned()
    }
}

/// Everything one step of the line changes, written as one group commit. Order matters where trees are separate: what
/// is owed comes before the call that owes it, and the call before its events' marks; repeating a part is harmless.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub deliveries: Vec<Delivery>,
    pub amendments: Vec<Amendment>,
    pub records: HashMap<String, CallRecord>,
    pub exchanges: BTreeMap<Pair, Exchange>,
    pub marks: BTreeMap<u64, EventMark>,
    pub counts: Counts,
}

#[derive(Clone)]
pub struct Ledger {
    store: Store,
    outbox: Outbox,
    records: Tree<CallRecord>,
    open: Tree<Open>,
    exchanges: Tree<Exchange>,
    marks: Tree<EventMark>,
    counts: Tree<Counts>,
    looks: Tree<Looks>,
}

/// The trees' names, for imports.
pub const TREES: [&str; 2] = ["calls", "ends"];

/// Exchanges removed in one group: a removal must not hold up an append for long.
const PAGE_EXCHANGES: usize = 256;

const COUNTS_KEY: &[u8] = b"c";
const LOOKS_KEY: &[u8] = b"l";

impl Ledger {
    pub fn open(store: &Store, outbox: &Outbox) -> Self {
        Self {
            store: store.clone(),
            outbox: outbox.clone(),
            records: store.tree(TREES[0]),
            open: store.tree(TREES[0]),
            exchanges: store.tree(TREES[0]),
            marks: store.tree(TREES[1]),
            counts: store.tree(TREES[1]),
            looks: store.tree(TREES[1]),
        }
    }

    pub fn counts(&self) -> Result<Counts, StoreFault> {
        Ok(self.counts.get(COUNTS_KEY)?.unwrap_or_default())
    }

    /// When retention looked for what is too old.
    pub fn looks(&self) -> Result<Option<Looks>, StoreFault> {
        self.looks.get(LOOKS_KEY)
    }

    pub async fn note_looks(&self, looks: Looks) -> Result<(), StoreFault> {
        let tree = self.looks.clone();
        let work = move |writes: &mut Writes<'_>| writes.put(&tree, LOOKS_KEY, &looks);
        self.store.commit(work).await
    }

    pub fn record(&self, key: &str) -> Result<Option<CallRecord>, StoreFault> {
        self.records.get(&tagged(b'r', key.as_bytes()))
    }

    /// All that are kept, by their keys.
    pub fn records(&self) -> impl Iterator<Item = Result<CallRecord, StoreFault>> {
        let rows = self.records.prefix(b"r");
        rows.map(|row| row.map(|(_, record)| record))
    }

    /// The most recent exchange of two numbers.
    pub fn exchange(&self, pair: &Pair) -> Result<Option<Exchange>, StoreFault> {
        self.exchanges.get(&exchange_key(pair))
    }

    pub fn mark(&self, seq: u64) -> Result<Option<EventMark>, StoreFault> {
        self.marks.get(&tagged(b'e', &seq.to_be_bytes()))
    }

    /// Calls that are not ended, read at start.
    pub fn open_records(&self) -> Result<Vec<CallRecord>, StoreFault> {
        let mut records = Vec::new();
        for row in self.open.prefix(b"o") {
            let (mut key, _) = row?;
            if let Some(first) = key.first_mut() {
                *first = b'r';
            }
            records.extend(self.records.get(&key)?);
        }
        Ok(records)
    }

    /// Dead events, oldest first, at most `limit`.
    pub fn dead_events(&self, limit: usize) -> Result<Vec<(u64, EventMark)>, StoreFault> {
        self.ended(|end| matches!(end, End::Dead { .. }))
            .take(limit)
            .collect()
    }

    /// Journal numbers of all dead and/or filtered events, for a replay.
    pub fn ended_events(&self, dead: bool, filtered: bool) -> Result<Vec<u64>, StoreFault> {
        let wanted = |end: &End| match end {
            End::Dead { .. } => dead,
            End::Filtered { .. } => filtered,
            End::Logged | End::Joined | End::Erased => false,
        };
        self.ended(wanted)
            .map(|row| row.map(|(seq, _)| seq))
            .collect()
    }

    fn ended(
        &self,
        wanted: impl Fn(&End) -> bool,
    ) -> impl Iterator<Item = Result<(u64, EventMark), StoreFault>> {
        self.marks.prefix(b"e").filter_map(move |row| match row {
            Ok((key, mark)) => {
                let seq = u64::from_be_bytes(key.get(1..)?.try_into().ok()?);
                mark.end
                    .as_ref()
                    .is_some_and(&wanted)
                    .then_some(Ok((seq, mark)))
            }
            Err(fault) => Some(Err(fault)),
        })
    }

    /// Writes all changes; returns after the sync.
    pub async fn write(&self, changes: Changes) -> Result<(), StoreFault> {
        let ledger = self.clone();
        self.store
            .commit(move |writes| {
                for delivery in &changes.deliveries {
                    ledger.outbox.owe(writes, delivery)?;
                }
                for amendment in &changes.amendments {
                    ledger.outbox.amend(writes, amendment)?;
                }
                for (key, record) in &changes.records {
                    writes.put(&ledger.records, &tagged(b'r', key.as_bytes()), record)?;
                    let open = tagged(b'o', key.as_bytes());
                    if record.stage == Stage::Ended {
                        writes.remove(&ledger.open, &open)?;
                    } else {
                        writes.put(&ledger.open, &open, &Open)?;
                    }
                }
                for (pair, exchange) in &changes.exchanges {
                    writes.put(&ledger.exchanges, &exchange_key(pair), exchange)?;
                }
                for (seq, mark) in &changes.marks {
                    writes.put(&ledger.marks, &tagged(b'e', &seq.to_be_bytes()), mark)?;
                }
                writes.put(&ledger.counts, COUNTS_KEY, &changes.counts)
            })
            .await
    }

    /// Removes exchanges whose last text is older than that; answers how many went.
    pub async fn forget_exchanges(&self, before: Timestamp) -> Result<usize, StoreFault> {
        let mut old = Vec::new();
        for row in self.exchanges.prefix(b"x") {
            let (key, exchange) = row?;
            if exchange.until < before {
                old.push(key);
            }
        }
        for page in old.chunks(PAGE_EXCHANGES) {
            let (tree, page) = (self.exchanges.clone(), page.to_vec());
            self.store
                .commit(move |writes| {
                    for key in &page {
                        // A text may have come since it was looked at.
                        let now = writes.get(&tree, key)?;
                        if now.is_some_and(|now| now.until < before) {
                            writes.remove(&tree, key)?;
                        }
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(old.len())
    }

    /// Removes marks and ended calls with their deliveries; the counts keep counting them.
    pub async fn forget(
        &self,
        events: Vec<u64>,
        records: Vec<CallRecord>,
    ) -> Result<(), StoreFault> {
        let ledger = self.clone();
        self.store
            .commit(move |writes| {
                for seq in events {
                    writes.remove(&ledger.marks, &tagged(b'e', &seq.to_be_bytes()))?;
                }
                for record in records {
                    writes.remove(&ledger.records, &tagged(b'r', record.key.as_bytes()))?;
                    for taker in &record.takers {
                        ledger
                            .outbox
                            .forget(writes, &taker.integration, &record.key)?;
                    }
                }
                Ok(())
            })
            .await
    }
}

/// Whether this tieline can read a record of the tree, as a backup has it.
///
/// # Errors
/// `NewerRecord` if a later tieline wrote it, `BadRecord` if it makes no sense.
pub fn check(tree: &'static str, key: &[u8], value: &[u8]) -> Result<(), StoreFault> {
    match key.first() {
        Some(b'r') => readable::<CallRecord>(tree, value),
        Some(b'o') => readable::<Open>(tree, value),
        Some(b'x') => readable::<Exchange>(tree, value),
        Some(b'e') => readable::<EventMark>(tree, value),
        Some(b'c') => readable::<Counts>(tree, value),
        Some(b'l') => readable::<Looks>(tree, value),
        kind => Err(unknown_kind(tree, kind.copied())),
    }
}

/// What was sent for our number has no zero in it that could be taken for the next part: it is on one line.
fn exchange_key(pair: &Pair) -> Vec<u8> {
    let parts = [&pair.integration, &pair.pbx, &pair.ours, &pair.other];
    let parts = parts.map(String::as_bytes);
    tagged(b'x', &parts.join(&0))
}

fn tagged(tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(rest.len() + 1);
    key.push(tag);
    key.extend_from_slice(rest);
    key
}
