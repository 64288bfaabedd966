//! The one loop that joins the stages: journal -> decode -> assemble -> filter -> entry -> outbox, and back from the
//! couriers to every event's end. Only this loop writes the ledger; decisions are `judge`'s, pure.

use super::journal::{Entry, Journal};
use super::judge::{Judge, Verdict};
use super::ledger::{CallRecord, Changes, Counts, End, EventMark, Ledger, Stage, Taker};
use super::outbox::DeliveryEnd;
use crate::clock;
use crate::store::StoreFault;
use crate::terms::ids::CallKey;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Events decoded between two commits: large enough to share a sync, small enough that due calls don't wait.
const BATCH_EVENTS_MAX: usize = 256;

/// A store that refuses (disk full) is tried again after this.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The loop turns at least this often, so that the watchdog sees it move.
const TURN_MAX: Duration = Duration::from_secs(5);

/// What other parts tell the line.
#[derive(Debug)]
pub enum Notice {
    /// A courier is done with a delivery.
    Settled {
        integration: String,
        key: String,
        end: DeliveryEnd,
    },
    /// Take these events up again as if they had just come; answers how many were.
    Replay {
        events: Vec<u64>,
        answer: oneshot::Sender<usize>,
    },
    /// A dead event is given up for good: its end stays visible as erased.
    Drop {
        event: u64,
        answer: oneshot::Sender<bool>,
    },
}

/// What a courier is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A delivery of this call is in the outbox.
    Owed(String),
    /// A dead delivery was revived.
    Retry(String),
}

/// Figures for `status` and metrics.
#[derive(Debug, Default)]
pub struct LineStats {
    pub open_calls: AtomicU64,
    pub open_events: AtomicU64,
    /// Unix second of the loop's last turn, for the watchdog.
    pub turned_at: AtomicI64,
}

pub struct Line {
    journal: Journal,
    ledger: Ledger,
    judge: Judge,
    couriers: HashMap<String, mpsc::UnboundedSender<Order>>,
    notices: mpsc::UnboundedReceiver<Notice>,
    stats: Arc<LineStats>,
    counts: Counts,
    /// Calls that are not ended, by key: gathering ones whole, owed ones too (they get late events).
    open: HashMap<String, CallRecord>,
    open_events: u64,
    due: BTreeSet<(Timestamp, String)>,
    due_at: HashMap<String, Timestamp>,
}

/// One commit in the making: changes, and who is told once they are on disk.
#[derive(Default)]
struct Turn {
    changes: Changes,
    orders: Vec<(String, String)>,
}

impl Line {
    pub fn open(
        journal: Journal,
        ledger: Ledger,
        judge: Judge,
        couriers: HashMap<String, mpsc::UnboundedSender<Order>>,
        notices: mpsc::UnboundedReceiver<Notice>,
        stats: Arc<LineStats>,
    ) -> Result<Self, StoreFault> {
        let counts = ledger.counts()?;
        let records = ledger.open_records()?;
        let open_events = records
            .iter()
            .map(|record| record.events.len() as u64)
            .sum();
        let open = records
            .into_iter()
            .map(|record| (record.key.clone(), record))
            .collect();
        let (due, due_at) = (BTreeSet::new(), HashMap::new());
        let mut line = Self {
            journal,
            ledger,
            judge,
            couriers,
            notices,
            stats,
            counts,
            open,
            open_events,
            due,
            due_at,
        };
        line.schedule_all();
        Ok(line)
    }

    /// Runs until `stop` turns true; what is unfinished is found again at the next start.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), StoreFault> {
        let mut arrivals = self.journal.watch();
        self.recheck_owed().await?;
        loop {
            self.read_new(&stop).await?;
            self.decide_due().await?;
            self.show();
            if *stop.borrow() {
                return Ok(());
            }
            let nap = self.nap();
            tokio::select! {
                _ = stop.changed() => {}
                _ = arrivals.changed() => {}
                Some(notice) = self.notices.recv() => self.hear(notice).await?,
                () = tokio::time::sleep(nap) => {}
            }
        }
    }

    /// Reads every event that is journaled and not yet decoded, batch by batch.
    async fn read_new(&mut self, stop: &watch::Receiver<bool>) -> Result<(), StoreFault> {
        while self.counts.cursor < self.journal.last_seq() && !*stop.borrow() {
            let events = self.journal.after(self.counts.cursor, BATCH_EVENTS_MAX)?;
            let Some(last) = events.last().map(|event| event.seq) else {
                return Ok(());
            };
            let mut turn = Turn::default();
            for event in &events {
                self.take(event, &mut turn)?;
            }
            self.counts.cursor = last;
            self.commit(turn).await?;
            self.show();
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// One event: decode it, add it to its call, decide the call if it is complete.
    fn take(&mut self, event: &Entry, turn: &mut Turn) -> Result<(), StoreFault> {
        let (seq, now) = (event.seq, clock::now());
        let keys = match self.judge.read(event) {
            Ok(keys) => keys,
            Err(why) => {
                self.mark(
                    seq,
                    EventMark {
                        key: None,
                        end: Some(End::Dead { why }),
                    },
                    turn,
                )?;
                return Ok(());
            }
        };
        let Some((first, _)) = keys.first().cloned() else {
            let end = End::Filtered {
                rule: "nothing".to_owned(),
                why: "it reports neither a call nor a text".to_owned(),
            };
            return self.mark(
                seq,
                EventMark {
                    key: None,
                    end: Some(end),
                },
                turn,
            );
        };
        let mut primary = None;
        for (key, start) in keys {
            let mut record = self.record_for(&key, start, event, turn)?;
            if !record.events.contains(&seq) {
                record.events.push(seq);
            }
            record.last_event = record.last_event.max(event.posted.received);
            primary.get_or_insert_with(|| record.key.clone());
            self.advance(record, now, false, turn)?;
        }
        let key = primary.unwrap_or_else(|| first.stored());
        let end = self.current(&key, turn)?.and_then(|record| {
            let index = record.events.iter().position(|event| *event == seq)?;
            record.end_of(index)
        });
        self.mark(
            seq,
            EventMark {
                key: Some(key),
                end,
            },
            turn,
        )
    }

    /// The record of that call, a new one, or one under a fresh key if the id was used by a call that is long over.
    fn record_for(
        &self,
        key: &CallKey,
        start: Option<Timestamp>,
        event: &Entry,
        turn: &Turn,
    ) -> Result<CallRecord, StoreFault> {
        let new = |key: String| CallRecord::new(key, &event.posted.pbx, event.posted.received);
        let Some(record) = self.current(&key.stored(), turn)? else {
            return Ok(new(key.stored()));
        };
        match Judge::fresh_key(&record, key, start) {
            None => Ok(record),
            Some(fresh) => Ok(self
                .current(&fresh.stored(), turn)?
                .unwrap_or_else(|| new(fresh.stored()))),
        }
    }

    fn current(&self, key: &str, turn: &Turn) -> Result<Option<CallRecord>, StoreFault> {
        if let Some(record) = turn.changes.records.get(key).or_else(|| self.open.get(key)) {
            return Ok(Some(record.clone()));
        }
        self.ledger.record(key)
    }

    /// Looks at a call after a new event: decided ones only gain the event, gathering ones may be complete.
    fn advance(
        &mut self,
        mut record: CallRecord,
        now: Timestamp,
        ripe: bool,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        if record.stage == Stage::Gathering {
            match self.judge.look(&record, &self.journal, now, ripe)? {
                Verdict::Wait { until } => self.schedule(&record.key, until),
                verdict @ Verdict::Decided { .. } => self.decide(&mut record, verdict, turn)?,
            }
        }
        turn.changes.records.insert(record.key.clone(), record);
        Ok(())
    }

    /// Puts a verdict into the record: who takes the call, and what is owed.
    fn decide(
        &mut self,
        record: &mut CallRecord,
        verdict: Verdict,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        let Verdict::Decided {
            span,
            takers,
            deliveries,
        } = verdict
        else {
            return Ok(());
        };
        record.span = Some(span);
        record.takers = takers;
        self.unschedule(&record.key);
        for delivery in deliveries {
            turn.orders
                .push((delivery.integration.clone(), delivery.key.clone()));
            turn.changes.deliveries.push(delivery);
        }
        self.set_stage(record, turn)
    }

    /// Ended once every taker has its end; then every event gets its own.
    fn set_stage(&mut self, record: &mut CallRecord, turn: &mut Turn) -> Result<(), StoreFault> {
        let all = record.takers.iter().all(|taker| taker.end.is_some());
        record.stage = if all { Stage::Ended } else { Stage::Owed };
        for (index, seq) in record.events.iter().enumerate() {
            let end = record.end_of(index);
            self.mark(
                *seq,
                EventMark {
                    key: Some(record.key.clone()),
                    end,
                },
                turn,
            )?;
        }
        Ok(())
    }

    /// Sets an event's mark and moves the counts with it. An event that belongs to several calls ends with its first.
    fn mark(&mut self, seq: u64, mark: EventMark, turn: &mut Turn) -> Result<(), StoreFault> {
        let before = match turn.changes.marks.get(&seq) {
            Some(mark) => Some(mark.clone()),
            None => self.ledger.mark(seq)?,
        };
        if let Some(before) = &before
            && before.key.is_some()
            && before.key != mark.key
        {
            return Ok(());
        }
        let old = before.and_then(|mark| mark.end);
        self.counts.shift(old.as_ref(), mark.end.as_ref());
        turn.changes.marks.insert(seq, mark);
        Ok(())
    }

    async fn decide_due(&mut self) -> Result<(), StoreFault> {
        let now = clock::now();
        let mut turn = Turn::default();
        while let Some((_, key)) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            self.unschedule(&key);
            if let Some(record) = self.open.get(&key).cloned() {
                self.advance(record, now, true, &mut turn)?;
            }
            if turn.changes.records.len() >= BATCH_EVENTS_MAX {
                self.commit(std::mem::take(&mut turn)).await?;
            }
        }
        self.commit(turn).await
    }

    async fn hear(&mut self, notice: Notice) -> Result<(), StoreFault> {
        let mut turn = Turn::default();
        self.apply(notice, &mut turn)?;
        // Couriers settle many at once after an outage: one sync for all that wait.
        for _ in 1..BATCH_EVENTS_MAX {
            let Ok(notice) = self.notices.try_recv() else {
                break;
            };
            self.apply(notice, &mut turn)?;
        }
        self.commit(turn).await
    }

    fn apply(&mut self, notice: Notice, turn: &mut Turn) -> Result<(), StoreFault> {
        match notice {
            Notice::Settled {
                integration,
                key,
                end,
            } => {
                if let Some(mut record) = self.current(&key, turn)? {
                    set_end(&mut record, &integration, end);
                    self.set_stage(&mut record, turn)?;
                    turn.changes.records.insert(key, record);
                }
            }
            Notice::Replay { events, answer } => {
                let mut replayed = 0;
                for seq in events {
                    replayed += usize::from(self.replay(seq, turn)?);
                }
                // Nobody waiting any more is fine: the replay itself is done.
                let _ = answer.send(replayed);
            }
            Notice::Drop { event, answer } => {
                let mark = self.ledger.mark(event)?;
                let dead = mark.filter(|mark| matches!(mark.end, Some(End::Dead { .. })));
                let dropped = dead.is_some();
                if let Some(mark) = dead {
                    self.mark(
                        event,
                        EventMark {
                            key: mark.key,
                            end: Some(End::Erased),
                        },
                        turn,
                    )?;
                }
                let _ = answer.send(dropped);
            }
        }
        Ok(())
    }

    /// Takes an ended event up again: dead and filtered ones only, a logged call is never logged anew.
    fn replay(&mut self, seq: u64, turn: &mut Turn) -> Result<bool, StoreFault> {
        let Some(mark) = self.ledger.mark(seq)? else {
            return Ok(false);
        };
        match mark.end {
            Some(End::Dead { .. } | End::Filtered { .. }) => {}
            None | Some(End::Logged | End::Joined | End::Erased) => return Ok(false),
        }
        if let Some(mut record) = mark
            .key
            .map(|key| self.current(&key, turn))
            .transpose()?
            .flatten()
        {
            if record
                .takers
                .iter()
                .any(|taker| taker.end == Some(End::Logged))
            {
                return Ok(false);
            }
            record.stage = Stage::Gathering;
            record.takers.clear();
            turn.changes.records.insert(record.key.clone(), record);
        }
        let Some(event) = self.journal.get(seq)? else {
            return Ok(false);
        };
        self.take(&event, turn)?;
        Ok(true)
    }

    /// Deliveries that settled while nobody listened (a stop between the courier's write and ours).
    async fn recheck_owed(&mut self) -> Result<(), StoreFault> {
        let mut turn = Turn::default();
        let owed: Vec<CallRecord> = self
            .open
            .values()
            .filter(|record| record.stage == Stage::Owed)
            .cloned()
            .collect();
        for mut record in owed {
            for (integration, end) in self.judge.settled(&record)? {
                set_end(&mut record, &integration, end);
            }
            self.set_stage(&mut record, &mut turn)?;
            turn.changes.records.insert(record.key.clone(), record);
        }
        self.commit(turn).await
    }

    /// Writes a turn, then lets the world know. A full disk is waited out: nothing is lost, nothing goes on.
    async fn commit(&mut self, mut turn: Turn) -> Result<(), StoreFault> {
        turn.changes.counts = self.counts.clone();
        if turn.changes.records.is_empty() && turn.changes.marks.is_empty() {
            return Ok(());
        }
        loop {
            match self.ledger.write(turn.changes.clone()).await {
                Ok(()) => break,
                Err(fault) if fault.passes() => {
                    tracing::warn!(%fault, "the store refuses; waiting");
                    tokio::time::sleep(STORE_RETRY).await;
                }
                Err(fault) => return Err(fault),
            }
        }
        for (key, record) in turn.changes.records {
            let events = record.events.len() as u64;
            let before = if record.stage == Stage::Ended {
                self.open.remove(&key)
            } else {
                self.open_events += events;
                self.open.insert(key, record)
            };
            self.open_events -= before.map_or(0, |before| before.events.len() as u64);
        }
        for (integration, key) in turn.orders {
            if let Some(courier) = self.couriers.get(&integration) {
                // A courier that is gone means that the process stops; the outbox has the delivery.
                let _ = courier.send(Order::Owed(key));
            }
        }
        Ok(())
    }

    /// Until the next call is due, at most `TURN_MAX`.
    fn nap(&self) -> Duration {
        let due = self
            .due
            .first()
            .map(|(at, _)| at.duration_since(clock::now()));
        due.map_or(TURN_MAX, |wait| {
            Duration::try_from(wait).unwrap_or_default().min(TURN_MAX)
        })
    }

    fn schedule_all(&mut self) {
        let gathering = self
            .open
            .values()
            .filter(|record| record.stage == Stage::Gathering);
        let keys: Vec<(String, Timestamp)> = gathering
            .map(|record| (record.key.clone(), record.last_event))
            .collect();
        for (key, at) in keys {
            self.schedule(&key, at);
        }
    }

    fn schedule(&mut self, key: &str, at: Timestamp) {
        self.unschedule(key);
        self.due.insert((at, key.to_owned()));
        self.due_at.insert(key.to_owned(), at);
    }

    fn unschedule(&mut self, key: &str) {
        if let Some(at) = self.due_at.remove(key) {
            self.due.remove(&(at, key.to_owned()));
        }
    }

    fn show(&self) {
        self.stats
            .open_calls
            .store(self.open.len() as u64, Ordering::Relaxed);
        self.stats
            .open_events
            .store(self.open_events, Ordering::Relaxed);
        self.stats
            .turned_at
            .store(clock::now().as_second(), Ordering::Relaxed);
    }
}

fn set_end(record: &mut CallRecord, integration: &str, end: DeliveryEnd) {
    let end = match end {
        DeliveryEnd::Logged => End::Logged,
        DeliveryEnd::Skipped { why } => End::Filtered {
            rule: "customer".to_owned(),
            why,
        },
        DeliveryEnd::Dead { why } => End::Dead { why },
    };
    match record
        .takers
        .iter_mut()
        .find(|taker| taker.integration == integration)
    {
        Some(taker) => taker.end = Some(end),
        None => record.takers.push(Taker {
            integration: integration.to_owned(),
            end: Some(end),
        }),
    }
}
