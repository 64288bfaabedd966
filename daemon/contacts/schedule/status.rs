//! What `tieline status` shows of a contact sync.

use super::super::apply::{Halt, Written};
use super::super::rounds::{Counts, PlanId};
use jiff::Timestamp;

/// One sync, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncStatus {
    /// What takes longer, while it goes on.
    pub work: Option<Work>,
    /// When both sides were last brought together.
    pub last_run: Option<Timestamp>,
    /// Since the start.
    pub written: Written,
    /// A plan that waits for approval.
    pub stopped: Option<Stopped>,
    /// Why nothing goes on, and since when that is known.
    pub fault: Option<(Timestamp, String)>,
    /// The fault needs somebody.
    pub needs_operator: bool,
}

/// What takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Kustomer's customers are read for the first time.
    Import,
    /// A plan is carried out.
    Write,
}

impl Task {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Write => "write",
        }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    pub task: Task,
    /// Customers, or writes.
    pub done: u64,
    pub total: Option<u64>,
    /// When this process went on with it, and how far it was then.
    pub since: Timestamp,
    pub done_then: u64,
}

impl Work {
    /// Of a task that may have been under way before: what is measured begins now.
    pub fn at(
        before: Option<Self>,
        task: Task,
        done: u64,
        total: Option<u64>,
        now: Timestamp,
    ) -> Self {
        let before = before.filter(|work| work.task == task);
        Self {
            task,
            done,
            total,
            since: before.map_or(now, |work| work.since),
            done_then: before.map_or(done, |work| work.done_then),
        }
    }

    /// Customers or writes a second.
    pub fn rate(&self, now: Timestamp) -> f64 {
        let seconds = now.duration_since(self.since).as_secs_f64();
        let done = self.done.saturating_sub(self.done_then);
        if seconds > 0.0 {
            f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / seconds
        } else {
            0.0
        }
    }

    /// Seconds to go, where that can be told.
    pub fn seconds_left(&self, now: Timestamp) -> Option<f64> {
        let left = self.total?.saturating_sub(self.done);
        let rate = self.rate(now);
        (rate > 0.0).then(|| f64::from(u32::try_from(left).unwrap_or(u32::MAX)) / rate)
    }
}

/// A plan that the guard stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    pub why: String,
    pub plan: PlanId,
    pub counts: Counts,
}

impl SyncStatus {
    pub(super) fn ended(&mut self, at: Timestamp, stopped: Option<Stopped>) {
        self.last_run = Some(at);
        self.stopped = stopped;
        self.fault = None;
        self.needs_operator = false;
    }

    pub(super) fn fault(&mut self, halt: &Halt, at: Timestamp) {
        self.needs_operator = matches!(halt, Halt::Operator(_));
        self.fault = Some((at, halt.to_string()));
    }
}
