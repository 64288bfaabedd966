//! What is known of each connection, for `status`, metrics and the log. Written by `desk`, `life` and `pickup`.

use super::memory::Gap;
use super::pickup::PickupStats;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Not logged in, for the first time since the start.
    Connecting,
    /// Logged in, since then.
    Connected(Timestamp),
    /// Not logged in; since when, and why.
    Down(Timestamp, String),
}

/// One connection since the start; the gaps are older too.
#[derive(Clone, Debug)]
pub struct LinkStatus {
    pub pbx: String,
    /// `ami://10.1.2.3:5038`
    pub address: String,
    pub state: LinkState,
    /// Events that were journaled, and those that say nothing of calls.
    pub events: u64,
    pub left_out: u64,
    /// Lines and events that were too long, or no events.
    pub malformed: u64,
    pub logins: u64,
    /// Calls whose end was missed and found out by asking.
    pub missed_ends: u64,
    /// Rows of call records read back.
    pub rows: u64,
    /// What the user isn't allowed to see, in words.
    pub lacking: BTreeSet<String>,
    /// The latest ones; counts are of all.
    pub gaps: Vec<Gap>,
    pub gap_count: u64,
    pub gap_seconds: u64,
}

impl LinkStatus {
    pub fn new(pbx: &str, address: String) -> Self {
        Self {
            pbx: pbx.to_owned(),
            address,
            state: LinkState::Connecting,
            events: 0,
            left_out: 0,
            malformed: 0,
            logins: 0,
            missed_ends: 0,
            rows: 0,
            lacking: BTreeSet::new(),
            gaps: Vec::new(),
            gap_count: 0,
            gap_seconds: 0,
        }
    }
}

/// One connection's status, seen by it and by the admin interface.
#[derive(Clone, Debug)]
pub struct Seen(Arc<Mutex<LinkStatus>>);

impl Seen {
    pub fn new(status: LinkStatus) -> Self {
        Self(Arc::new(Mutex::new(status)))
    }

    /// Nothing in here panics half-way through a change.
    pub fn change(&self) -> MutexGuard<'_, LinkStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All connections and folders, for the admin interface.
#[derive(Clone, Debug, Default)]
pub struct Links {
    pub(super) links: Vec<Seen>,
    pub(super) pickups: Vec<(String, Arc<PickupStats>)>,
}

impl Links {
    pub fn all(&self) -> Vec<LinkStatus> {
        self.links
            .iter()
            .map(|seen| seen.change().clone())
            .collect()
    }

    /// By phone system.
    pub fn pickups(&self) -> &[(String, Arc<PickupStats>)] {
        &self.pickups
    }
}
