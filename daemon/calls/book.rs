//! The open calls and what each event, due time and courier's report changes about them. `line` drives it and writes
//! the changes; nothing here waits or writes.

mod again;
mod exchanges;
mod late;

use super::due::Due;
use super::family::Seen;
use super::journal::{Entry, Journal};
use super::judge::{Judge, Verdict};
use super::ledger::{CallRecord, Changes, Counts, End, EventMark, Ledger, Stage, Taker};
use super::outbox::DeliveryEnd;
use crate::clock;
use crate::store::StoreFault;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;

/// Most events of one call: a caller who waits an hour while twenty phones ring every fifteen seconds, told live. Beyond
/// it only ends of known legs are taken, so that the call can end. All are read again at each look, so that a phone system
/// that gives every call the same id must not make that endless.
pub const CALL_EVENTS_MAX: usize = 2000;

/// With more events a call isn't looked at with each of them, but in the next pause: the work would be quadratic.
const LOOKED_AT_EACH_MAX: usize = 100;

/// Such a pause.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// One commit in the making: changes, and who is told once they are on disk.
#[derive(Default)]
pub struct Turn {
    pub changes: Changes,
    /// Integration and call key of what is newly owed, and from when on.
    pub orders: Vec<(String, String, Timestamp)>,
    /// Decided calls that got events, by key: how many.
    late: HashMap<String, usize>,
}

impl Turn {
    fn order(&mut self, integration: &str, key: &str, at: Timestamp) {
        self.orders
            .push((integration.to_owned(), key.to_owned(), at));
    }
}

/// What is open, in memory; the ledger has it too.
pub struct Book {
    journal: Journal,
    ledger: Ledger,
    judge: Judge,
    pub counts: Counts,
    /// Calls that are not ended, by key: gathering ones, and owed ones (they get late events).
    open: HashMap<String, CallRecord>,
    open_events: u64,
    /// When a gathering call is looked at again.
    pub due: Due,
    /// Which open call a leg belongs to, by the key that the leg's own id would make.
    homes: HashMap<String, String>,
}

impl Book {
    pub fn open(journal: Journal, ledger: Ledger, judge: Judge) -> Result<Self, StoreFault> {
        let counts = ledger.counts()?;
        let (open, due, homes) = (HashMap::new(), Due::default(), HashMap::new());
        let mut book = Self {
            journal,
            ledger,
            judge,
            counts,
            open,
            open_events: 0,
            due,
            homes,
        };
        for record in book.ledger.open_records()? {
            if record.stage == Stage::Gathering {
                book.due.set(record.key.clone(), record.last_event);
            }
            for leg in &record.legs {
                book.homes.insert(leg.clone(), record.key.clone());
            }
            book.open_events += record.events.len() as u64;
            book.open.insert(record.key.clone(), record);
        }
        Ok(book)
    }

    pub fn open_calls(&self) -> u64 {
        self.open.len() as u64
    }

    pub const fn open_events(&self) -> u64 {
        self.open_events
    }

    /// One event: decode it, add it to its call, decide the call if it is complete.
    pub fn take(&mut self, event: &Entry, turn: &mut Turn) -> Result<(), StoreFault> {
        let (seq, now) = (event.seq, clock::now());
        let seen = match self.judge.read(event) {
            Ok(seen) => self.without_foreign_reports(seen, turn)?,
            Err(why) => {
                let end = Some(End::Dead { why });
                return self.mark(seq, EventMark { key: None, end }, turn);
            }
        };
        if seen.is_empty() {
            let why = "it reports neither a call nor a text".to_owned();
            let rule = "nothing".to_owned();
            let end = Some(End::Filtered { rule, why });
            return self.mark(seq, EventMark { key: None, end }, turn);
        }
        let mut primary = None;
        for seen in seen {
            let mut record = self.record_for(&seen, event, turn)?;
            if !record.events.contains(&seq) {
                if record.stage != Stage::Gathering {
                    *turn.late.entry(record.key.clone()).or_default() += 1;
                }
                let count = record.events.len();
                let last = record.stage == Stage::Gathering && seen.ends_one_of(&record);
                if count >= CALL_EVENTS_MAX && !(last && count < CALL_EVENTS_MAX * 2) {
                    let why = format!(
                        "its call has {CALL_EVENTS_MAX} events already: does the phone system give every call an id of its own?"
                    );
                    let end = Some(End::Dead { why });
                    return self.mark(seq, EventMark { key: None, end }, turn);
                }
                record.events.push(seq);
            }
            record.last_event = record.last_event.max(event.posted.received);
            self.bring_home(&seen, &mut record, turn)?;
            primary.get_or_insert_with(|| record.key.clone());
            self.look(record, now, false, turn)?;
        }
        let key = primary.unwrap_or_default();
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

    /// Looks at the gathering calls whose time has come; answers whether there was one.
    pub fn look_at_due(&mut self, now: Timestamp, turn: &mut Turn) -> Result<bool, StoreFault> {
        let Some(key) = self.due.pop(now) else {
            return Ok(false);
        };
        if let Some(record) = self.open.get(&key).cloned() {
            self.look(record, now, true, turn)?;
        }
        Ok(true)
    }

    /// A courier's report: the taker has its end, and with the last one every event has.
    pub fn settle(
        &mut self,
        integration: &str,
        key: &str,
        end: DeliveryEnd,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        if let Some(mut record) = self.current(key, turn)? {
            set_end(&mut record, integration, end);
            self.set_stage(&mut record, turn)?;
            turn.changes.records.insert(record.key.clone(), record);
        }
        Ok(())
    }

    /// A dead delivery was revived: the taker is owed again.
    pub fn revive(
        &mut self,
        integration: &str,
        key: &str,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        if let Some(mut record) = self.current(key, turn)? {
            for taker in &mut record.takers {
                if taker.integration == integration {
                    taker.end = None;
                }
            }
            self.set_stage(&mut record, turn)?;
            turn.changes.records.insert(record.key.clone(), record);
        }
        Ok(())
    }

    /// Deliveries that settled while nobody listened (a stop between the courier's write and ours).
    pub fn settle_missed(&mut self, turn: &mut Turn) -> Result<(), StoreFault> {
        let owed: Vec<CallRecord> = self
            .open
            .values()
            .filter(|record| record.stage == Stage::Owed)
            .cloned()
            .collect();
        for record in owed {
            for (integration, end) in self.judge.settled(&record)? {
                self.settle(&integration, &record.key, end, turn)?;
            }
        }
        Ok(())
    }

    /// Takes over what was written.
    pub fn written(&mut self, changes: Changes) {
        for (key, record) in changes.records {
            let events = record.events.len() as u64;
            let before = if record.stage == Stage::Ended {
                self.due.remove(&key);
                for leg in &record.legs {
                    self.homes.remove(leg);
                }
                self.open.remove(&key)
            } else {
                self.open_events += events;
                self.open.insert(key, record)
            };
            self.open_events -= before.map_or(0, |before| before.events.len() as u64);
        }
    }

    /// The record of the call an event speaks of: the one it has, a new one, or one under a fresh key if the id was
    /// used by a call that is long over.
    fn record_for(
        &self,
        seen: &Seen,
        event: &Entry,
        turn: &Turn,
    ) -> Result<CallRecord, StoreFault> {
        let new = |key: String| CallRecord::new(key, &event.posted.pbx, event.posted.received);
        let key = self
            .homes
            .get(&seen.key.stored())
            .cloned()
            .unwrap_or_else(|| seen.key.stored());
        let Some(record) = self.current(&key, turn)? else {
            return Ok(new(key));
        };
        match Judge::fresh_key(&record, seen) {
            None => Ok(record),
            Some(fresh) => Ok(self
                .current(&fresh.stored(), turn)?
                .unwrap_or_else(|| new(fresh.stored()))),
        }
    }

    /// When somebody who was called is handed on, the next leg names that one as its family, and only the handed-over
    /// leg's own record tells whose it was: what gathered under that name moves to this call.
    fn bring_home(
        &mut self,
        seen: &Seen,
        record: &mut CallRecord,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        for name in seen.leg_keys() {
            if name == record.key {
                continue;
            }
            if !record.legs.contains(&name) {
                record.legs.push(name.clone());
            }
            self.homes.insert(name.clone(), record.key.clone());
            let Some(mut orphan) = self
                .current(&name, turn)?
                .filter(|orphan| orphan.stage == Stage::Gathering)
            else {
                continue;
            };
            for seq in std::mem::take(&mut orphan.events) {
                if !record.events.contains(&seq) {
                    record.events.push(seq);
                }
                turn.changes.marks.insert(
                    seq,
                    EventMark {
                        key: Some(record.key.clone()),
                        end: None,
                    },
                );
            }
            // What had come home to the orphan is of this call too.
            for leg in std::mem::take(&mut orphan.legs) {
                self.homes.insert(leg.clone(), record.key.clone());
                if !record.legs.contains(&leg) {
                    record.legs.push(leg);
                }
            }
            orphan.stage = Stage::Ended;
            self.due.remove(&name);
            turn.changes.records.insert(name, orphan);
        }
        Ok(())
    }

    fn current(&self, key: &str, turn: &Turn) -> Result<Option<CallRecord>, StoreFault> {
        if let Some(record) = turn.changes.records.get(key).or_else(|| self.open.get(key)) {
            return Ok(Some(record.clone()));
        }
        self.ledger.record(key)
    }

    /// Looks at a call: decided ones only keep the event, gathering ones may be complete. `ripe`: everything journaled
    /// was read, so that a settle time that is over means that nothing more came.
    fn look(
        &mut self,
        mut record: CallRecord,
        now: Timestamp,
        ripe: bool,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        let many = !ripe && record.events.len() > LOOKED_AT_EACH_MAX;
        if record.stage == Stage::Gathering && many {
            let pause = now.checked_add(PAUSE).unwrap_or(now);
            self.due.set(record.key.clone(), pause);
        } else if record.stage == Stage::Gathering {
            match self.judge.look(&record, &self.journal, now, ripe)? {
                Verdict::Wait { until } => self.due.set(record.key.clone(), until),
                Verdict::Decided {
                    span,
                    takers,
                    deliveries,
                    talk,
                } => {
                    record.span = Some(span);
                    record.takers = takers;
                    self.due.remove(&record.key);
                    for mut delivery in deliveries {
                        self.join(&mut delivery, talk.as_ref(), turn)?;
                        turn.order(&delivery.integration, &delivery.key, delivery.next_try);
                        turn.changes.deliveries.push(delivery);
                    }
                    self.set_stage(&mut record, turn)?;
                }
            }
        }
        turn.changes.records.insert(record.key.clone(), record);
        Ok(())
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
}

fn set_end(record: &mut CallRecord, integration: &str, end: DeliveryEnd) {
    let end = match end {
        DeliveryEnd::Logged => End::Logged,
        DeliveryEnd::Skipped { rule, why } => End::Filtered { rule, why },
        DeliveryEnd::Dropped => End::Erased,
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
