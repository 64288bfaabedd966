//! Deliveries owed to Kustomer: what is intended, what was attempted, what is settled (invariant 3).
//!
//! One record per integration and call holds the whole progress. `next` and the `note_*` transitions are pure; the
//! tree `outbox` is written here only. `line` owes, `log` moves each delivery on and settles it.

use super::entry::LogEntry;
use super::group::GROUPS_MAX;
use crate::clock;
use crate::settings::types::KustomerSettings;
use crate::store::{Record, Store, StoreFault, Tree, Writes};
use crate::terms::number::E164;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The tree's name, for imports.
pub const TREE: &str = "outbox";

/// Longest reason kept with a delivery, in bytes: enough for a status line and Kustomer's own detail.
const FAULT_BYTES_MAX: usize = 400;

/// A call or text that one integration has to log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub integration: String,
    /// The stored call key, `call:hq:a1`.
    pub key: String,
    /// Decided once; a later change of the rules doesn't change what was promised.
    pub entry: LogEntry,
    /// The other party; none on anonymous calls, which have a fixed customer.
    pub number: Option<E164>,
    pub customer: Option<String>,
    /// The customer is the one configured for anonymous calls.
    pub fixed: bool,
    /// Other customers with the same number, for the note.
    pub others: Vec<String>,
    pub conversation: Option<String>,
    pub note: Option<String>,
    pub message: Option<String>,
    pub status_set: bool,
    /// A create that was begun: until it is settled nobody knows whether Kustomer did it.
    pub intent: Option<Create>,
    /// The create that was begun is one item of a bulk request.
    pub bulk: Option<BulkTry>,
    pub first_try: Option<Timestamp>,
    pub attempts: u32,
    pub next_try: Timestamp,
    /// The last fault, in words without personal data.
    pub fault: Option<String>,
    pub end: Option<DeliveryEnd>,
}

/// A create that is one item of a bulk request: Kustomer takes those at once and does them later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkTry {
    /// Its number in the request.
    pub item: usize,
    /// The job that does it, as long as there is something to be learned from it.
    pub job: Option<String>,
    /// From then on "not found" means "not done"; none as long as nobody knows when the request was over.
    pub land_at: Option<Timestamp>,
}

/// The creates of a delivery, each with an intent of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Create {
    Customer,
    Conversation,
    Note,
    Message,
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryEnd {
    Logged,
    /// The customer's number is unknown and none is created, or the policy skips shared numbers.
    Skipped {
        rule: String,
        why: String,
    },
    /// A person gave it up.
    Dropped,
    /// Given up; `dead list` shows it and `dead retry` takes it up again.
    Dead {
        why: String,
    },
}

impl DeliveryEnd {
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Logged => "logged",
            Self::Skipped { .. } => "skipped",
            Self::Dropped => "dropped",
            Self::Dead { .. } => "dead",
        }
    }
}

/// What to do next for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    FindCustomer,
    Create(Create),
    /// An earlier create is unclear: look first.
    Verify(Create),
    /// Put the conversation to its final status.
    SetStatus,
    Finish,
}

impl Record for Delivery {
    /// 2: bulk tries, which a tieline that doesn't know them would look for too early.
    const VERSION: u16 = 2;

    fn upgrade(_version: u16, old: serde_json::Value) -> Result<Self, String> {
        serde_json::from_value(old).map_err(|error| error.to_string())
    }
}

impl Delivery {
    /// A delivery to the customer of `number`, or to the fixed `customer`.
    pub fn new(
        integration: &str,
        key: String,
        entry: LogEntry,
        number: Option<E164>,
        customer: Option<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            integration: integration.to_owned(),
            key,
            number,
            fixed: customer.is_some(),
            customer,
            others: Vec::new(),
            entry,
            conversation: None,
            note: None,
            message: None,
            status_set: false,
            intent: None,
            bulk: None,
            first_try: None,
            attempts: 0,
            next_try: now,
            fault: None,
            end: None,
        }
    }

    /// The next step: a pure function of the progress. An unclear create is always verified before anything else.
    pub fn next(&self) -> Step {
        if let Some(create) = self.intent {
            return Step::Verify(create);
        }
        if self.customer.is_none() {
            return Step::FindCustomer;
        }
        if self.conversation.is_none() {
            return Step::Create(Create::Conversation);
        }
        if self.note.is_none() {
            return Step::Create(Create::Note);
        }
        if self.entry.message.is_some() && self.message.is_none() {
            return Step::Create(Create::Message);
        }
        if self.status_set {
            Step::Finish
        } else {
            Step::SetStatus
        }
    }

    /// Keeps a fault for people; cut to a limit on a character's edge.
    pub fn note_fault(&mut self, fault: &str) {
        let mut text = fault.to_owned();
        if text.len() > FAULT_BYTES_MAX {
            let cut = (0..=FAULT_BYTES_MAX)
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            text.truncate(cut);
        }
        self.fault = Some(text);
    }

    /// A create is about to be asked for, alone or as an item of a bulk request.
    pub fn intend(&mut self, create: Create, item: Option<usize>) {
        self.intent = Some(create);
        self.bulk = item.map(|item| BulkTry {
            item,
            job: None,
            land_at: None,
        });
    }

    /// It is certain that the create wasn't done.
    pub fn take_back(&mut self) {
        self.intent = None;
        self.bulk = None;
    }

    /// What is known of the bulk request that the create is part of: its job, and from when on "not found" counts.
    pub fn note_bulk(&mut self, job: Option<&str>, land_at: Timestamp) {
        if let Some(bulk) = &mut self.bulk {
            bulk.job = job.map(str::to_owned);
            bulk.land_at = Some(land_at);
        }
    }

    /// The bulk job that its unclear create is an item of.
    pub fn job(&self) -> Option<&str> {
        self.bulk.as_ref()?.job.as_deref()
    }

    /// The create is settled: its intent is gone and its id kept.
    pub fn note_created(&mut self, create: Create, id: String) {
        self.take_back();
        match create {
            Create::Customer => self.customer = Some(id),
            Create::Conversation => self.conversation = Some(id),
            Create::Note => self.note = Some(id),
            Create::Message => self.message = Some(id),
        }
    }

    /// A dead letter starts again: same progress, fresh schedule.
    pub fn revive(&mut self, now: Timestamp) {
        self.end = None;
        self.attempts = 0;
        self.first_try = None;
        self.next_try = now;
    }
}

/// The tree of deliveries: `r` + integration + 0 + call key holds the record, `p` and `d` with the same key mark the
/// pending and the dead ones (`u` + integration: how much of the budget was used), so that a start reads what is owed and not all that was ever logged.
#[derive(Clone)]
pub struct Outbox {
    store: Store,
    records: Tree<Delivery>,
    marks: Tree<Mark>,
    usage: Tree<Usage>,
}

/// Requests a delivery may make between two times its progress is kept: a lookup with and without plus, the user list,
/// and the create itself.
const STEPS_BETWEEN_KEEPS: usize = 4;

/// How much of an integration's budget was used at a time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Usage {
    at: Timestamp,
    used: usize,
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

impl Outbox {
    pub fn open(store: &Store) -> Self {
        Self {
            store: store.clone(),
            records: store.tree(TREE),
            marks: store.tree(TREE),
            usage: store.tree(TREE),
        }
    }

    /// Writes a new delivery within the caller's group commit; one that is already there keeps its progress, so that
    /// deciding a call twice (after a crash) owes it once. Answers whether it is still to be delivered.
    pub fn owe(&self, writes: &mut Writes<'_>, delivery: &Delivery) -> Result<(), StoreFault> {
        match self.get(&delivery.integration, &delivery.key)? {
            None => self.write(writes, delivery)?,
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
                self.write(writes, &old)?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Makes the progress durable, and how much of the budget's window is `used`; returns after the sync.
    pub async fn keep(&self, delivery: &Delivery, used: usize) -> Result<(), StoreFault> {
        let integration = delivery.integration.clone();
        self.keep_all(&integration, vec![delivery.clone()], used)
            .await
    }

    /// The same for several deliveries of one integration, or for the budget alone: all of it or nothing.
    pub async fn keep_all(
        &self,
        integration: &str,
        deliveries: Vec<Delivery>,
        used: usize,
    ) -> Result<(), StoreFault> {
        let (outbox, key) = (self.clone(), store_key(b'u', integration, ""));
        let usage = Usage {
            at: clock::now(),
            used,
        };
        self.store
            .commit(move |writes| {
                writes.put(&outbox.usage, &key, &usage)?;
                let mut deliveries = deliveries.iter();
                deliveries.try_for_each(|delivery| outbox.write(writes, delivery))
            })
            .await
    }

    /// How much of its budget an integration may have used within the last window, before this start (invariant 7).
    /// What was sent since the last note of it is at most `STEPS_BETWEEN_KEEPS` requests for each delivery in flight.
    pub fn used_before(&self, to: &KustomerSettings, now: Timestamp) -> Result<u32, StoreFault> {
        let Some(usage) = self.usage.get(&store_key(b'u', &to.name, ""))? else {
            return Ok(0);
        };
        let age = Duration::try_from(now.duration_since(usage.at)).unwrap_or_default();
        if age >= to.budget_window {
            return Ok(0);
        }
        // New calls and waiting ones have `parallel` workers each.
        let workers = to.parallel.saturating_mul(2).saturating_add(GROUPS_MAX);
        let unnoted = workers.saturating_mul(STEPS_BETWEEN_KEEPS);
        let used = u32::try_from(usage.used.saturating_add(unnoted)).unwrap_or(u32::MAX);
        Ok(used.min(to.requests_per_minute))
    }

    pub fn get(&self, integration: &str, key: &str) -> Result<Option<Delivery>, StoreFault> {
        self.records.get(&store_key(b'r', integration, key))
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
            Some(DeliveryEnd::Logged | DeliveryEnd::Skipped { .. } | DeliveryEnd::Dropped) => {
                (false, false)
            }
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

fn store_key(mark: u8, integration: &str, key: &str) -> Vec<u8> {
    let mut bytes = vec![mark];
    bytes.extend_from_slice(integration.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(key.as_bytes());
    bytes
}
