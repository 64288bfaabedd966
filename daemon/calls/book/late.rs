//! What comes when a call or text was decided: facts for its note, and reports that are of nothing known. Part of `book`.

use super::super::family::Seen;
use super::super::judge::Late;
use super::super::ledger::CallRecord;
use super::{Book, Turn};
use crate::clock;
use crate::store::StoreFault;

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
    /// Once a turn and not for each event, because all events of a call are read for it.
    pub fn amend(&mut self, turn: &mut Turn) -> Result<(), StoreFault> {
        let now = clock::now();
        for (key, fresh) in std::mem::take(&mut turn.late) {
            let Some(mut record) = self.current(&key, turn)? else {
                continue;
            };
            let late = self.judge.late(&record, fresh, &self.journal, now)?;
            let Late {
                amendments,
                owed,
                talk,
            } = late;
            let mut changed = !owed.is_empty();
            for (amendment, at) in amendments {
                let Some(at) = at else {
                    turn.changes.amendments.push(amendment);
                    continue;
                };
                changed = true;
                owe_again(&mut record, &amendment.integration);
                turn.order(&amendment.integration, &amendment.key, at);
                turn.changes.amendments.push(amendment);
            }
            for mut delivery in owed {
                owe_again(&mut record, &delivery.integration);
                self.join(&mut delivery, talk.as_ref(), turn)?;
                turn.order(&delivery.integration, &delivery.key, delivery.next_try);
                turn.changes.deliveries.push(delivery);
            }
            if changed {
                self.set_stage(&mut record, turn)?;
                turn.changes.records.insert(key, record);
            }
        }
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
