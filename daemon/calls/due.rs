//! Keys with a due time, soonest first. `line` keeps its gathering calls in one, `dispatch` its deliveries.

use crate::clock;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// A loop over due times turns at least this often: they are wall-clock times, and the wall clock may be set. It also
/// bounds how long a healthy loop seems to stand still.
pub const TURN_MAX: Duration = Duration::from_secs(5);

/// Each key at most once.
#[derive(Debug, Default)]
pub struct Due {
    soonest: BTreeSet<(Timestamp, String)>,
    times: HashMap<String, Timestamp>,
}

impl Due {
    /// Sets the key's time, whether or not it had one.
    pub fn set(&mut self, key: String, at: Timestamp) {
        self.remove(&key);
        self.times.insert(key.clone(), at);
        self.soonest.insert((at, key));
    }

    pub fn remove(&mut self, key: &str) {
        if let Some(at) = self.times.remove(key) {
            self.soonest.remove(&(at, key.to_owned()));
        }
    }

    pub fn time(&self, key: &str) -> Option<Timestamp> {
        self.times.get(key).copied()
    }

    pub fn first(&self) -> Option<&(Timestamp, String)> {
        self.soonest.first()
    }

    /// All keys with their times, soonest first.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &(Timestamp, String)> {
        self.soonest.iter()
    }

    /// When the next key is due that isn't yet.
    pub fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let at = now.checked_add(SignedDuration::from_nanos(1)).ok()?;
        let first = self.soonest.range((at, String::new())..).next();
        first.map(|(at, _)| *at)
    }

    /// Takes the soonest key that is due.
    pub fn pop(&mut self, now: Timestamp) -> Option<String> {
        let (_, key) = self.soonest.first().filter(|(at, _)| *at <= now)?.clone();
        self.remove(&key);
        Some(key)
    }

    /// Makes everything due.
    pub fn hurry(&mut self, now: Timestamp) {
        let keys: Vec<String> = self.times.keys().cloned().collect();
        for key in keys {
            self.set(key, now);
        }
    }

    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

/// `now + wait`, or the end of time where that overflows.
pub fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// How long a loop may rest until `at`, at most [`TURN_MAX`].
pub fn nap(at: Option<Timestamp>) -> Duration {
    let wait = at.map(|at| at.duration_since(clock::now()));
    wait.map_or(TURN_MAX, |wait| {
        Duration::try_from(wait).unwrap_or_default().min(TURN_MAX)
    })
}
