//! What comes when a call or text was decided: facts for its note, and reports that are of nothing known. Part of `book`.

use super::super::family::Seen;
use super::super::judge::Late;
use super::super::ledger::{CallRecord, Stage};
use super::{Book, LOOKED_AT_EACH_MAX, Turn, in_a_pause};
use crate::clock;
use crate::store::StoreFault;
use jiff::Timestamp;

impl Book {
    /// Leaves out reports that a text arrived which nobody told of: many systems report on what they don't tell.
    pub(super) fn without_foreign_reports(
        &self,
        seen: Vec<Seen>,
        turn: &Turn,
    ) -> Result<Vec<Seen>, StoreFault> {
        let mut kept = Vec::with_capacity(seen.len());
        for one in seen {
            if !one.report || self.current(&one.key.stored(), turn)?.is_some() {
                kept.push(one);
            }
        }
        Ok(kept)
    }

    /// Decided calls that got events in this turn: what was logged of them, or is about to be, learns what those say.
    /// Once a turn and not for each event, because all events of a call are read for it; of a call with many, in the next
    /// pause. Until then it isn't ended, so that a restart finds it.
    pub fn amend(&mut self, turn: &mut Turn) -> Result<(), StoreFault> {
        let now = clock::now();
        for key in std::mem::take(&mut turn.late) {
            let Some(mut record) = self.current(&key, turn)?.filter(|record| record.late > 0)
            else {
                continue;
            };
            if record.events.len() <= LOOKED_AT_EACH_MAX {
                self.amend_call(record, now, turn)?;
            } else if self.due.time(&key).is_none() {
                self.due.set(key.clone(), in_a_pause(now));
                self.set_stage(&mut record, turn)?;
                turn.changes.records.insert(key, record);
            }
        }
        Ok(())
    }

    /// Asks the notes of a decided call or text about its late events.
    pub(super) fn amend_call(
        &mut self,
        mut record: CallRecord,
        now: Timestamp,
        turn: &mut Turn,
    ) -> Result<(), StoreFault> {
        let Late {
            amendments,
            owed,
            talk,
        } = self.judge.late(&record, &self.journal, now)?;
        record.late = 0;
        for (amendment, at) in amendments {
            if let Some(at) = at {
                owe_again(&mut record, &amendment.integration);
                turn.order(&amendment.integration, &amendment.key, at);
            }
            turn.changes.amendments.push(amendment);
        }
        for mut delivery in owed {
            owe_again(&mut record, &delivery.integration);
            self.join_exchange(&mut delivery, talk.as_ref(), turn)?;
            turn.order(&delivery.integration, &delivery.key, delivery.next_try);
            turn.changes.deliveries.push(delivery);
        }
        let owes = record.takers.iter().any(|taker| taker.end.is_none());
        if owes || record.stage == Stage::Owed {
            self.set_stage(&mut record, turn)?;
        }
        turn.changes.records.insert(record.key.clone(), record);
        Ok(())
    }
}

fn owe_again(record: &mut CallRecord, integration: &str) {
    for taker in &mut record.takers {
        if taker.integration == integration {
            taker.end = None;
        }
    }
}
