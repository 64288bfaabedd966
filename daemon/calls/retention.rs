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
use super::ledger::{CallRecord, End, Ledger, Looks, Stage};
use crate::clock;
use crate::store::StoreFault;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// Old events are looked for at least this often: an hour's worth is a small batch.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Where little is kept they are looked for more often: nothing stays longer than a twelfth more than `daemon.keep` says.
const LOOKS_IN_KEEP: u32 = 12;

/// Events removed in one group: a removal must not hold up an append for long.
const PAGE_EVENTS: usize = 256;

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
