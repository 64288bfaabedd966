//! How long things are kept: removes events, ended calls, settled deliveries, exchanges of texts and who talked with
//! whom older than `daemon.keep`, and stale directory entries.
//!
//! Only what has an end goes, and never what is dead: a person decides on that. The counts keep counting it.
//!
//! What goes can't be known again: an event that is told once more afterwards is a new one. So nothing goes by a time that
//! the daemon hasn't lived through: after a clock was set forward, or the machine was off, it waits for a while first.

use super::directory::Directory;
use super::journal::{Entry, Journal};
use super::lately::Lately;
use super::ledger::{CallRecord, End, Ledger, Stage};
use crate::clock;
use crate::store::StoreFault;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// Old events are looked for at least this often: an hour's worth is a small batch.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Where little is kept they are looked for more often: nothing stays longer than a twelfth more than `daemon.keep` says.
const LOOKS_IN_KEEP: u32 = 12;

/// Events removed in one group: a removal must not hold up an append for long.
const PAGE_EVENTS: usize = 256;

/// Longest wait before something is removed by a clock that has moved without us: who tells an event again does it within
/// that time. No longer, so that a machine that is off every night removes something too.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// When it was looked for what is too old, and until when nothing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looks {
    pub last: Timestamp,
    pub wait_until: Option<Timestamp>,
}

impl Looks {
    /// The look at `now`. More than two of the spans between looks without one: the clock was set, or nobody was there.
    pub fn next(before: Option<Self>, now: Timestamp, every: Duration, keep: Duration) -> Self {
        let span = |span: Duration| SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        let after_wait = now.saturating_add(span(keep.min(WAIT_MAX)));
        let after_wait = after_wait.unwrap_or(Timestamp::MAX);
        let missed = before
            .is_some_and(|before| now.duration_since(before.last) > span(every.saturating_mul(2)));
        let waits = before.and_then(|before| before.wait_until);
        let wait_until = if missed { Some(after_wait) } else { waits };
        Self {
            last: now,
            // A clock that was set back must not make it longer.
            wait_until: wait_until
                .filter(|until| now < *until)
                .map(|until| until.min(after_wait)),
        }
    }
}

/// What is kept, and how long.
pub struct Retention {
    pub keep: Duration,
    pub journal: Journal,
    pub ledger: Ledger,
    pub directory: Directory,
    pub lately: Lately,
}

impl Retention {
    /// Runs until `stop` turns true. A store that refuses for now is asked again at the next look.
    ///
    /// # Errors
    /// A fault of the store that doesn't pass.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), StoreFault> {
        let mut ticks = tokio::time::interval(self.every());
        loop {
            tokio::select! {
                biased;
                _ = stop.changed() => return Ok(()),
                _ = ticks.tick() => match self.look(clock::now()).await {
                    Ok(0) => {}
                    Ok(removed) => tracing::info!(removed, "events older than daemon.keep removed"),
                    Err(fault) if fault.passes() => tracing::warn!(%fault, "nothing is removed for now"),
                    Err(fault) => return Err(fault),
                },
            }
        }
    }

    async fn look(&self, now: Timestamp) -> Result<usize, StoreFault> {
        self.directory.prune(now).await?;
        let looks = Looks::next(self.ledger.looks()?, now, self.every(), self.keep);
        self.ledger.note_looks(looks).await?;
        if looks.wait_until.is_some() {
            return Ok(0);
        }
        self.prune(now).await
    }

    /// Between two looks for what is too old.
    pub fn every(&self) -> Duration {
        let every = self.keep.checked_div(LOOKS_IN_KEEP).unwrap_or(EVERY);
        every.clamp(Duration::from_millis(1), EVERY)
    }

    /// What is left of the calls that turned out to be part of this one: no event leads to them any more.
    fn came_home(&self, record: &CallRecord) -> Result<Vec<(String, CallRecord)>, StoreFault> {
        let mut all = Vec::new();
        for key in &record.legs {
            let orphan = self.ledger.record(key)?.filter(CallRecord::is_empty);
            all.extend(orphan.map(|orphan| (key.clone(), orphan)));
        }
        Ok(all)
    }

    /// Removes what is too old at `now`; answers how many events went.
    pub async fn prune(&self, now: Timestamp) -> Result<usize, StoreFault> {
        let keep = SignedDuration::try_from(self.keep).unwrap_or(SignedDuration::MAX);
        let Ok(before) = now.checked_sub(keep) else {
            return Ok(0);
        };
        self.ledger.forget_exchanges(before).await?;
        self.lately.prune(before).await?;
        let (mut removed, mut cursor) = (0, 0);
        loop {
            let page = self.journal.after(cursor, PAGE_EVENTS)?;
            let old: Vec<Entry> = page
                .into_iter()
                .take_while(|entry| entry.posted.received < before)
                .collect();
            let Some(last) = old.last() else {
                return Ok(removed);
            };
            cursor = last.seq;
            let mut events = Vec::new();
            let mut records = BTreeMap::new();
            for entry in &old {
                let mark = self.ledger.mark(entry.seq)?.unwrap_or_default();
                if !matches!(
                    mark.end,
                    Some(End::Logged | End::Joined | End::Filtered { .. } | End::Erased)
                ) {
                    continue;
                }
                let record = mark.key.map(|key| self.ledger.record(&key)).transpose()?;
                if let Some(record) = record.flatten() {
                    // What comes late is understood with all that came before it: a call's events go together.
                    if record.stage != Stage::Ended || record.last_event >= before {
                        continue;
                    }
                    records.extend(self.came_home(&record)?);
                    records.insert(record.key.clone(), record);
                }
                events.push((entry.seq, entry.id));
            }
            removed += events.len();
            // The journal goes first: a mark without its event is only space, an event without its mark would stay for good.
            let seqs = events.iter().map(|(seq, _)| *seq).collect();
            self.journal.remove(events).await?;
            self.ledger
                .forget(seqs, records.into_values().collect())
                .await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(300);
    const KEEP: Duration = Duration::from_secs(3600);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn nothing_goes_by_a_time_that_nobody_lived_through() {
        // Each look's time, and until when nothing goes then.
        let looks = [
            (0, None),
            (300, None),
            (900, None),
            // Set forward by a day.
            (87_600, Some(91_200)),
            (87_900, Some(91_200)),
            // Set back again.
            (1800, Some(5400)),
            (2100, Some(5400)),
            // Off for a quarter of an hour.
            (3000, Some(6600)),
            (3300, Some(6600)),
        ];
        let mut before = None;
        for (second, wait) in looks {
            let look = Looks::next(before, at(second), EVERY, KEEP);
            assert_eq!(look.wait_until, wait.map(at), "at {second} s");
            before = Some(look);
        }
        let late = Looks {
            last: at(6500),
            ..before.unwrap()
        };
        assert_eq!(
            Looks::next(Some(late), at(6600), EVERY, KEEP).wait_until,
            None
        );
    }
}
