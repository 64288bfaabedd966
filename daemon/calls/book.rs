//! The open calls and what each event, due time and courier's report changes about them. `line` drives it and writes
//! the changes; nothing here waits or writes.

mod again;
mod exchanges;
mod held;
mod home;
mod late;

use super::decode::PhoneEvent;
use super::due::Due;
use super::family::Seen;
use super::journal::{Entry, Journal};
use super::judge::{Judge, Verdict};
use super::known::Known;
use super::ledger::{CallRecord, Changes, Counts, End, EventMark, Ledger, Stage, Taker};
use super::outbox::DeliveryEnd;
use crate::clock;
use crate::store::StoreFault;
use crate::trace;
use held::Held;
pub use held::{Difference, Whose};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeSet, HashMap};

/// Most events of one call: a caller who waits an hour while twenty phones ring every fifteen seconds, told live. Beyond
/// it only ends of known legs are taken, so that the call can end. All are written again with each and may have to be read
/// again, so that a phone system that gives every call the same id must not make that endless.
pub const CALL_EVENTS_MAX: usize = 2000;

/// With more events a call isn't looked at with each of them, nor are its notes, but in the next pause: the work would be
/// quadratic.
const LOOKED_AT_EACH_MAX: usize = 100;

/// Such a pause.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// One commit in the making: changes, and who is told once they are on disk.
#[derive(Default)]
pub struct Turn {
    pub changes: Changes,
    /// Integration and call key of what is newly owed, and from when on.
    pub orders: Vec<(String, String, Timestamp)>,
    /// Keys of decided calls that got events.
    late: BTreeSet<String>,
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
    /// What these hold.
    held: Held,
    /// What the events of gathering calls state, so that none is decoded again at each look.
    known: Known,
    /// When a gathering call is looked at again, and when a decided one's notes are asked about late events.
    pub due: Due,
    /// Which open call a leg belongs to, by the key that the leg's own id would make.
    homes: HashMap<String, String>,
}

impl Book {
    pub fn open(journal: Journal, ledger: Ledger, judge: Judge) -> Result<Self, StoreFault> {
        let mut counts = ledger.counts()?;
        counts.accounts.begin(counts.cursor);
        let (open, due, homes) = (HashMap::new(), Due::default(), HashMap::new());
        let mut book = Self {
            journal,
            ledger,
            judge,
            counts,
            open,
            held: Held::default(),
            known: Known::default(),
            due,
            homes,
        };
        for record in book.ledger.open_records()? {
            if record.stage == Stage::Gathering || record.late > 0 {
                book.due.set(record.key.clone(), record.last_event);
            }
            for leg in &record.legs {
                book.homes.insert(leg.clone(), record.key.clone());
            }
            book.held.add(&record, &book.counts.accounts);
            book.open.insert(record.key.clone(), record);
        }
        Ok(book)
    }

    pub fn open_calls(&self) -> u64 {
        self.open.len() as u64
    }

    pub const fn open_events(&self) -> u64 {
        self.held.events
    }

    /// Where the counts aren't what the open calls hold (invariant 2).
    pub fn differences(&self) -> Vec<Difference> {
        self.held.differences(&self.counts)
    }

    /// The next event of the journal.
    pub fn read(&mut self, event: &Entry, turn: &mut Turn) -> Result<(), StoreFault> {
        self.take(event, None, turn)?;
        self.counts.read(event.seq, &event.posted.pbx);
        Ok(())
    }

    /// One event: decode it, add it to its call, decide the call if it is complete. `home`: the key of the call that it is
    /// marked with already; one that speaks of several ends with the first.
    fn take(
        &mut self,
        event: &Entry,
        mut home: Option<String>,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        let (seq, pbx) = (event.seq, event.posted.pbx.as_str());
        let _span = trace::event(pbx, event.id).entered();
        let stated = match self.judge.decode(event) {
            Ok(stated) => stated,
            Err(why) => {
                tracing::warn!("an event can't be read: it is dead, `tieline dead list` says why");
                let end = Some(End::Dead { why });
                return self.mark(seq, pbx, EventMark { key: None, end }, turn);
            }
        };
        let all = self.without_foreign_reports(Seen::all(&stated), turn)?;
        if all.is_empty() {
            let why = "it reports neither a call nor a text".to_owned();
            let rule = "nothing".to_owned();
            let end = Some(End::Filtered { rule, why });
            return self.mark(seq, pbx, EventMark { key: None, end }, turn);
        }
        for seen in all {
            let Some(key) = self.join(&seen, event, &stated, home.as_deref(), turn)? else {
                if home.is_some() {
                    continue;
                }
                let why = format!(
                    "its call has {CALL_EVENTS_MAX} events already: does the phone system give every call an id of its own?"
                );
                let end = Some(End::Dead { why });
                return self.mark(seq, pbx, EventMark { key: None, end }, turn);
            };
            if *home.get_or_insert_with(|| key.clone()) == key {
                let record = turn.changes.records.get(&key);
                let end = record.and_then(|record| record.end_of_event(seq));
                let key = Some(key);
                self.mark(seq, pbx, EventMark { key, end }, turn)?;
            }
        }
        Ok(())
    }

    /// Adds an event to the record of the call that it speaks of, and looks at that; answers the record's key, or none if
    /// it has too many events.
    fn join(
        &mut self,
        seen: &Seen,
        event: &Entry,
        stated: &[PhoneEvent],
        home: Option<&str>,
        turn: &mut Turn,
    ) -> Result<Option<String>, StoreFault> {
        let mut record = self.record_for(seen, event, turn)?;
        let (gathering, before) = (record.stage == Stage::Gathering, record.events.len());
        let new = !record.events.contains(&event.seq);
        if new {
            let last = gathering && seen.ends_one_of(&record);
            if before >= CALL_EVENTS_MAX && !(last && before < CALL_EVENTS_MAX * 2) {
                return Ok(None);
            }
            record.events.push(event.seq);
            if home.is_some_and(|home| home != record.key) {
                record.guests.insert(event.seq);
            }
            record.late += usize::from(!gathering);
        }
        record.last_event = record.last_event.max(event.posted.received);
        if gathering {
            let count = (before, record.events.len());
            self.known.add(&record.key, count, seen.own(stated));
        }
        self.bring_home(seen, &mut record, turn)?;
        let key = record.key.clone();
        trace::joins(&key);
        if !gathering {
            turn.late.insert(key.clone());
            turn.changes.records.insert(key.clone(), record);
        } else if record.events.len() > LOOKED_AT_EACH_MAX {
            let pause = in_a_pause(clock::now());
            self.wait(record, pause, turn);
        } else if new && !Judge::decides(stated) {
            let settled = self.judge.settled_at(&record);
            self.wait(record, settled, turn);
        } else {
            self.look(record, clock::now(), false, turn)?;
        }
        Ok(Some(key))
    }

    /// Looks at the calls whose time has come; answers whether there was one.
    pub fn look_at_due(&mut self, now: Timestamp, turn: &mut Turn) -> Result<bool, StoreFault> {
        let Some(key) = self.due.pop(now) else {
            return Ok(false);
        };
        if let Some(record) = self.current(&key, turn)? {
            match record.stage {
                Stage::Gathering => self.look(record, now, true, turn)?,
                Stage::Owed | Stage::Ended => self.amend_call(record, now, turn)?,
            }
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

    /// Counts what the turn's records say of deliveries, when nothing of them changes any more.
    pub fn count_deliveries(&mut self, turn: &Turn) -> Result<(), StoreFault> {
        for (key, record) in &turn.changes.records {
            match self.open.get(key) {
                Some(before) => self.counts.rewrite(Some(before), record),
                None => {
                    let before = self.ledger.record(key)?;
                    self.counts.rewrite(before.as_ref(), record);
                }
            }
        }
        Ok(())
    }

    /// Takes over what was written.
    pub fn written(&mut self, changes: Changes) {
        let accounts = &self.counts.accounts;
        for (key, record) in changes.records {
            let before = if record.stage == Stage::Ended {
                self.due.remove(&key);
                for leg in &record.legs {
                    self.homes.remove(leg);
                }
                self.open.remove(&key)
            } else {
                self.held.add(&record, accounts);
                self.open.insert(key, record)
            };
            if let Some(before) = before {
                self.held.remove(&before, accounts);
            }
        }
    }

    fn current(&self, key: &str, turn: &Turn) -> Result<Option<CallRecord>, StoreFault> {
        if let Some(record) = turn.changes.records.get(key).or_else(|| self.open.get(key)) {
            return Ok(Some(record.clone()));
        }
        self.ledger.record(key)
    }

    /// Looks at a gathering call, which may be complete. `ripe`: everything journaled was read, so that a settle time that
    /// is over means that nothing more came.
    fn look(
        &mut self,
        mut record: CallRecord,
        now: Timestamp,
        ripe: bool,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        let _span = trace::call(&record.pbx, &record.key).entered();
        let count = record.events.len();
        let facts = match self.known.take(&record.key, count) {
            Some(facts) => facts,
            None => self.judge.facts(&record, &self.journal)?,
        };
        match self.judge.look(&record, &facts, now, ripe) {
            Verdict::Wait { until } => {
                self.known.hold(&record.key, count, facts);
                self.wait(record, until, turn);
            }
            Verdict::Decided {
                span,
                takers,
                deliveries,
                talk,
            } => {
                record.span = Some(span);
                record.takers = takers;
                tracing::info!(takers = record.takers_in_words(), "decided");
                self.due.remove(&record.key);
                for mut delivery in deliveries {
                    self.join_exchange(&mut delivery, talk.as_ref(), turn)?;
                    turn.order(&delivery.integration, &delivery.key, delivery.next_try);
                    turn.changes.deliveries.push(delivery);
                }
                self.set_stage(&mut record, turn)?;
                turn.changes.records.insert(record.key.clone(), record);
            }
        }
        Ok(())
    }

    /// Looks at the call again then.
    fn wait(&mut self, record: CallRecord, until: Timestamp, turn: &mut Turn) {
        self.due.set(record.key.clone(), until);
        turn.changes.records.insert(record.key.clone(), record);
    }

    /// Ended once every taker has its end and no note is to be asked; then every event gets its own.
    fn set_stage(&mut self, record: &mut CallRecord, turn: &mut Turn) -> Result<(), StoreFault> {
        let all = record.late == 0 && record.takers.iter().all(|taker| taker.end.is_some());
        record.stage = if all { Stage::Ended } else { Stage::Owed };
        for (index, seq) in record.events.iter().enumerate() {
            let end = record.end_of(index);
            self.mark(
                *seq,
                &record.pbx,
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
    fn mark(
        &mut self,
        seq: u64,
        pbx: &str,
        mark: EventMark,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
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
        self.counts.shift(seq, pbx, old.as_ref(), mark.end.as_ref());
        turn.changes.marks.insert(seq, mark);
        Ok(())
    }
}

/// The end of a pause that begins now.
fn in_a_pause(now: Timestamp) -> Timestamp {
    now.checked_add(PAUSE).unwrap_or(now)
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
