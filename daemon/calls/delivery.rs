//! One call or text that one integration has to log, and how far that is (invariant 3). Pure: `next` says what to do,
//! the `note_*` transitions keep what was done. Kept by `outbox`, moved on by `log`.

use super::entry::LogEntry;
use super::exchange::Joins;
use super::extras::Extras;
use crate::store::Record;
use crate::terms::number::E164;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest reason kept with a delivery, in bytes: enough for a status line and Kustomer's own detail.
const FAULT_BYTES_MAX: usize = 400;

/// What people read of a delivery with doubts.
const RESTORED: &str = "a backup was restored: it is looked for in Kustomer before it is created";

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
    /// A text of a running exchange, whose conversation it joins; none: it has its own.
    #[serde(default)]
    pub joins: Option<Joins>,
    pub conversation: Option<String>,
    pub note: Option<String>,
    /// What the note says since later facts were put into it; none: what it was created with.
    #[serde(default)]
    pub amended: Option<String>,
    /// Tags that came late and were added.
    #[serde(default)]
    pub added_tags: Vec<String>,
    /// What its conversation gets beside the entry.
    #[serde(default)]
    pub extras: Extras,
    /// It was logged and is taken up again for what came late.
    #[serde(default)]
    pub logged_before: bool,
    pub message: Option<String>,
    pub status_set: bool,
    /// A create that was begun: until it is settled nobody knows whether Kustomer did it.
    pub intent: Option<Create>,
    /// The create that was begun is one item of a bulk request.
    pub bulk: Option<BulkTry>,
    /// Since a backup was restored: what may stand in Kustomer already is looked for before it is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubts: Option<Doubts>,
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

/// What may have been created by a tieline whose store is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubts {
    /// When the backup was restored: the last request of the lost one may still be done for a while.
    pub since: Timestamp,
    /// Not a customer: that one is always looked up by number first.
    pub creates: Vec<Create>,
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
    /// Find the conversation of the exchange that it is of.
    Join,
    FindCustomer,
    Create(Create),
    /// An earlier create is unclear: look first.
    Verify(Create),
    /// Put the conversation to its final status.
    SetStatus,
    Finish,
}

impl Record for Delivery {
    /// 2: bulk tries, which a tieline that doesn't know them would look for too early. 3: doubts, which it would create
    /// without looking.
    const VERSION: u16 = 3;

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
            joins: None,
            conversation: None,
            note: None,
            amended: None,
            added_tags: Vec::new(),
            extras: Extras::default(),
            logged_before: false,
            message: None,
            status_set: false,
            intent: None,
            bulk: None,
            doubts: None,
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
        if self.conversation.is_none() {
            // First of all: whoever has it has its customer too.
            if self.doubts_since(Create::Conversation).is_some() {
                return Step::Verify(Create::Conversation);
            }
            if self.joins.is_some() {
                return Step::Join;
            }
            if self.customer.is_none() {
                return Step::FindCustomer;
            }
            return Step::Create(Create::Conversation);
        }
        if self.note.is_none() {
            return self.making(Create::Note);
        }
        if self.entry.message.is_some() && self.message.is_none() {
            return self.making(Create::Message);
        }
        if self.status_set {
            Step::Finish
        } else {
            Step::SetStatus
        }
    }

    fn making(&self, create: Create) -> Step {
        match self.doubts_since(create) {
            Some(_) => Step::Verify(create),
            None => Step::Create(create),
        }
    }

    /// A backup was restored: whatever isn't known to be done may be. What was begun is doubted like the rest, for
    /// nobody knows what became of its request.
    pub fn doubt(&mut self, since: Timestamp) {
        self.take_back();
        self.doubts = Some(Doubts {
            since,
            creates: vec![Create::Conversation, Create::Note, Create::Message],
        });
        self.note_fault(RESTORED);
    }

    /// Since when it has to be looked for before it is created; none: it needn't be.
    pub fn doubts_since(&self, create: Create) -> Option<Timestamp> {
        let doubts = self.doubts.as_ref()?;
        doubts.creates.contains(&create).then_some(doubts.since)
    }

    /// It was looked for and isn't there.
    pub fn note_missing(&mut self, create: Create) {
        self.take_back();
        self.settle_doubt(create);
        if create == Create::Conversation && self.joins.is_none() {
            // What would stand in it isn't there either.
            self.doubts = None;
        }
    }

    fn settle_doubt(&mut self, create: Create) {
        if let Some(doubts) = &mut self.doubts {
            doubts.creates.retain(|one| *one != create);
        }
        self.doubts = self.doubts.take().filter(|left| !left.creates.is_empty());
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
        if self.doubts_since(create).is_some() {
            self.settle_doubt(create);
            let last = match self.entry.message {
                Some(_) => Create::Message,
                None => Create::Note,
            };
            // All of it stood there already: by now its status is people's.
            self.status_set |= create == last;
            if create == Create::Conversation {
                // One of its own, whatever was meant for it.
                self.joins = None;
            }
        }
        match create {
            Create::Customer => self.customer = Some(id),
            Create::Conversation => self.conversation = Some(id),
            Create::Note => self.note = Some(id),
            Create::Message => self.message = Some(id),
        }
    }

    /// The conversation to join was found; whose it is need not be known any more.
    pub fn join(&mut self, conversation: String, customer: Option<String>) {
        self.conversation = Some(conversation);
        self.customer = customer.or(self.customer.take());
    }

    /// There is no conversation to join: it gets its own.
    pub fn stand_alone(&mut self, why: &str) {
        self.take_back();
        self.joins = None;
        self.conversation = None;
        self.note_fault(why);
    }

    /// A dead letter starts again: same progress, fresh schedule.
    pub fn revive(&mut self, now: Timestamp) {
        self.end = None;
        self.attempts = 0;
        self.first_try = None;
        self.next_try = now;
    }
}
