//! Everything the sandbox holds: records with their indexes and what search may see of them, keys, budgets, faults,
//! counters. One lock around it (`Shared` in mod.rs); the operations in the neighbouring files change it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::bulk::Bulk;
use super::clock::Clock;
use super::faults::Faults;
use super::limits::Limits;
use super::options::{Counts, SandboxOptions};
use super::record::{Kind, Record, fold};
use super::reply::Refusal;
use super::requests::Requests;
use super::roles::Caller;
use super::webhooks::{self, Hooks};

/// Records of all kinds together; a sandbox lives in memory.
const RECORDS_MAX: u64 = 4_000_000;

pub struct State {
    pub options: SandboxOptions,
    pub clock: Clock,
    pub limits: Limits,
    pub faults: Faults,
    pub requests: Requests,
    pub bulks: BTreeMap<String, Bulk>,
    pub hooks: Hooks,
    /// Woken after every change and every request.
    pub changed: watch::Sender<()>,
    callers: HashMap<String, Caller>,
    tables: BTreeMap<Kind, BTreeMap<String, Slot>>,
    index: HashMap<(Kind, &'static str, String), BTreeSet<String>>,
    live: HashMap<Kind, usize>,
    issued: u64,
    chance: fastrand::Rng,
}

/// A record now, and the versions that search still shows or will show.
#[derive(Clone)]
struct Slot {
    current: Arc<Record>,
    versions: VecDeque<(u64, Arc<Record>)>,
}

impl State {
    /// Empty but for one machine user per key.
    pub fn new(options: SandboxOptions, changed: watch::Sender<()>) -> State {
        let mut state = State {
            clock: Clock::start(options.started_at),
            limits: Limits::new(options.limits),
            faults: Faults::new(options.seed),
            requests: Requests::default(),
            bulks: BTreeMap::new(),
            hooks: Hooks::new(),
            changed,
            callers: HashMap::new(),
            tables: BTreeMap::new(),
            index: HashMap::new(),
            live: HashMap::new(),
            issued: 0,
            chance: fastrand::Rng::with_seed(options.seed),
            options,
        };
        for (number, key) in state.options.keys.clone().into_iter().enumerate() {
            let mut user = state.blank(Kind::User, None);
            user.set(
                "name",
                json!(format!("API key {}", number.saturating_add(1))),
            );
            user.set("userType", json!("machine"));
            user.set("roles", json!(key.roles));
            let caller = Caller {
                user: user.id.clone(),
                roles: key.roles,
            };
            state.callers.insert(key.key, caller);
            state.put(user);
        }
        state
    }

    /// The same records, keys and bulk jobs, with fresh budgets and counters, and neither faults nor webhooks.
    pub fn copy(&self, changed: watch::Sender<()>) -> State {
        State {
            options: self.options.clone(),
            clock: self.clock,
            limits: Limits::new(self.options.limits),
            faults: Faults::new(self.options.seed),
            requests: Requests::default(),
            bulks: self.bulks.clone(),
            hooks: Hooks::new(),
            changed,
            callers: self.callers.clone(),
            tables: self.tables.clone(),
            index: self.index.clone(),
            live: self.live.clone(),
            issued: self.issued,
            chance: self.chance.clone(),
        }
    }

    /// Who holds this key.
    pub fn caller(&self, key: &str) -> Option<&Caller> {
        self.callers.get(key)
    }

    /// A new record with id and times.
    pub fn blank(&mut self, kind: Kind, id: Option<String>) -> Record {
        let id = id.unwrap_or_else(|| self.new_id());
        let now = self.clock.stamp();
        let mut attributes = Map::new();
        for name in ["createdAt", "updatedAt", "modifiedAt"] {
            attributes.insert(name.to_owned(), json!(now));
        }
        Record {
            kind,
            id,
            attributes,
            related: BTreeMap::new(),
            deleted: false,
        }
    }

    /// An id like Mongo's: 4 bytes of seconds, 4 of chance, 4 of a counter; it sorts by creation.
    pub fn new_id(&mut self) -> String {
        self.issued = self.issued.saturating_add(1);
        let seconds = self.clock.wall_at(self.clock.elapsed_ms()).as_second();
        let counter = self.issued & 0xffff_ffff;
        format!(
            "{:08x}{counter:08x}{:08x}",
            seconds & 0xffff_ffff,
            self.chance.u32(..)
        )
    }

    /// The id of a record to create: the one sent, when it is free, else a new one.
    pub fn id_for(&mut self, kind: Kind, sent: Option<String>) -> Result<Option<String>, Refusal> {
        if self.issued >= RECORDS_MAX {
            return Err(Refusal::full());
        }
        match sent {
            Some(id) if self.table(kind).is_some_and(|rows| rows.contains_key(&id)) => {
                Err(Refusal::duplicate(self.options.duplicate_status, "id"))
            }
            sent => Ok(sent),
        }
    }

    fn table(&self, kind: Kind) -> Option<&BTreeMap<String, Slot>> {
        self.tables.get(&kind)
    }

    /// A record that is there and not deleted.
    pub fn get(&self, kind: Kind, id: &str) -> Option<Arc<Record>> {
        self.table(kind)?
            .get(id)
            .map(|slot| Arc::clone(&slot.current))
            .filter(|record| !record.deleted)
    }

    /// A record that was there and is deleted.
    pub fn deleted(&self, kind: Kind, id: &str) -> Option<Arc<Record>> {
        let slot = self.table(kind)?.get(id)?;
        Some(Arc::clone(&slot.current)).filter(|record| record.deleted)
    }

    /// As `get`, or 404 in the name of `parameter`.
    pub fn need(&self, kind: Kind, id: &str, parameter: &str) -> Result<Arc<Record>, Refusal> {
        self.get(kind, id)
            .ok_or_else(|| Refusal::not_found(parameter))
    }

    /// The ids under which an index has this value, in order of creation.
    pub fn ids_by(&self, kind: Kind, index: &'static str, value: &str) -> Vec<String> {
        self.index
            .get(&(kind, index, fold(index, value)))
            .map(|ids| ids.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// The oldest record with this value.
    pub fn find(&self, kind: Kind, index: &'static str, value: &str) -> Option<Arc<Record>> {
        self.index
            .get(&(kind, index, fold(index, value)))
            .and_then(BTreeSet::first)
            .and_then(|id| self.get(kind, id))
    }

    /// All records of a kind that are not deleted, in order of id.
    pub fn all(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        self.table(kind)
            .into_iter()
            .flat_map(|rows| rows.values())
            .map(|slot| &slot.current)
            .filter(|record| !record.deleted)
    }

    /// What search sees now: for each record the version whose lag is over, deleted ones included.
    pub fn indexed(&self, kind: Kind) -> impl Iterator<Item = &Arc<Record>> {
        let now_ms = self.clock.elapsed_ms();
        self.table(kind)
            .into_iter()
            .flat_map(|rows| rows.values())
            .filter_map(move |slot| slot.seen_at(now_ms))
    }

    /// What search sees of one record.
    pub fn indexed_one(&self, kind: Kind, id: &str) -> Option<&Arc<Record>> {
        self.table(kind)?.get(id)?.seen_at(self.clock.elapsed_ms())
    }

    /// Stores a record, new or changed, and keeps the indexes.
    pub fn put(&mut self, record: Record) {
        let kind = record.kind;
        let record = Arc::new(record);
        let now_ms = self.clock.elapsed_ms();
        let lag_ms = u64::try_from(self.options.search_lag.as_millis()).unwrap_or(u64::MAX);
        let before = self
            .table(kind)
            .and_then(|rows| rows.get(&record.id))
            .map(|slot| Arc::clone(&slot.current));
        let live = |record: &Record| {
            if record.deleted {
                None
            } else {
                Some(record.keys())
            }
        };
        let old_keys = before.as_deref().and_then(live);
        let new_keys = live(&record);
        let count = self.live.entry(kind).or_default();
        match (&old_keys, &new_keys) {
            (None, Some(_)) => *count = count.saturating_add(1),
            (Some(_), None) => *count = count.saturating_sub(1),
            (Some(_), Some(_)) | (None, None) => {}
        }
        for (index, value) in old_keys.into_iter().flatten() {
            let key = (kind, index, value);
            if let Some(ids) = self.index.get_mut(&key) {
                ids.remove(&record.id);
                if ids.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
        for (index, value) in new_keys.into_iter().flatten() {
            self.index
                .entry((kind, index, value))
                .or_default()
                .insert(record.id.clone());
        }
        let slot = self
            .tables
            .entry(kind)
            .or_default()
            .entry(record.id.clone())
            .or_insert_with(|| Slot {
                current: Arc::clone(&record),
                versions: VecDeque::new(),
            });
        slot.current = Arc::clone(&record);
        slot.versions
            .push_back((now_ms.saturating_add(lag_ms), Arc::clone(&record)));
        slot.forget_unseen(now_ms);
        webhooks::announce(self, before.as_deref(), &record);
        self.changed.send_replace(());
    }

    /// Marks a record deleted.
    pub fn delete(&mut self, record: &Record) {
        let mut gone = record.clone();
        gone.deleted = true;
        gone.set("deleted", json!(true));
        gone.touch(&self.clock.stamp());
        self.put(gone);
    }

    /// Refuses a value of a unique index that another record has.
    pub fn refuse_taken(&self, record: &Record, unique: &[&str]) -> Result<(), Refusal> {
        for (index, value) in record.keys() {
            let taken = || {
                self.index
                    .get(&(record.kind, index, value.clone()))
                    .is_some_and(|ids| ids.iter().any(|id| *id != record.id))
            };
            if unique.contains(&index) && taken() {
                return Err(Refusal::duplicate(self.options.duplicate_status, index));
            }
        }
        Ok(())
    }

    /// The resource objects of a kind that are not deleted.
    pub fn dump(&self, kind: Kind) -> Vec<Value> {
        self.all(kind).map(|record| record.json()).collect()
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        let live = |kind| self.live.get(&kind).copied().unwrap_or(0);
        Counts {
            requests: self.requests.total,
            customers: live(Kind::Customer),
            conversations: live(Kind::Conversation),
            notes: live(Kind::Note),
            messages: live(Kind::Message),
            webhook_posts: self.hooks.posted.len(),
        }
    }
}

impl Slot {
    fn seen_at(&self, now_ms: u64) -> Option<&Arc<Record>> {
        self.versions
            .iter()
            .rev()
            .find(|(visible_ms, _)| *visible_ms <= now_ms)
            .map(|(_, record)| record)
    }

    fn forget_unseen(&mut self, now_ms: u64) {
        while self
            .versions
            .get(1)
            .is_some_and(|(visible_ms, _)| *visible_ms <= now_ms)
        {
            self.versions.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_sees_the_version_whose_lag_is_over() {
        let (changed, _) = watch::channel(());
        let mut state = State::new(SandboxOptions::empty(), changed);
        let version = |state: &mut State, rev: i64| {
            let mut record = state.blank(Kind::Tag, Some("t".to_owned()));
            record.set("rev", json!(rev));
            Arc::new(record)
        };
        let versions = VecDeque::from([
            (100, version(&mut state, 1)),
            (150, version(&mut state, 2)),
            (190, version(&mut state, 3)),
        ]);
        let current = version(&mut state, 3);
        let mut slot = Slot { current, versions };
        let seen = |slot: &Slot, now_ms| {
            slot.seen_at(now_ms)
                .map(|record| record.attributes["rev"].clone())
        };
        assert_eq!(seen(&slot, 99), None);
        assert_eq!(seen(&slot, 149), Some(json!(1)));
        assert_eq!(seen(&slot, 150), Some(json!(2)));
        slot.forget_unseen(160);
        assert_eq!(slot.versions.len(), 2);
        assert_eq!(seen(&slot, 160), Some(json!(2)));
        assert_eq!(seen(&slot, 190), Some(json!(3)));
    }
}
