//! What people ask of ended events: take them up again, or give them up for good. Part of `book`.

use super::super::ledger::{End, EventMark, Stage};
use super::{Book, Turn};
use crate::store::StoreFault;

impl Book {
    /// Takes an ended event up again: dead and filtered ones only, a logged call is never logged anew.
    pub fn replay(&mut self, seq: u64, turn: &mut Turn) -> Result<bool, StoreFault> {
        let Some(mark) = self.ledger.mark(seq)? else {
            return Ok(false);
        };
        match mark.end {
            Some(End::Dead { .. } | End::Filtered { .. }) => {}
            None | Some(End::Logged | End::Joined | End::Erased) => return Ok(false),
        }
        let Some(event) = self.journal.get(seq)? else {
            return Ok(false);
        };
        let home = mark.key.clone();
        if let Some(key) = mark.key
            && let Some(mut record) = self.current(&key, turn)?
            && record.stage == Stage::Ended
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
            record.late = 0;
            for seq in record.events.clone() {
                self.mark(
                    seq,
                    &event.posted.pbx,
                    EventMark {
                        key: Some(key.clone()),
                        end: None,
                    },
                    turn,
                )?;
            }
            turn.changes.records.insert(key, record);
        }
        self.take(&event, home, turn)?;
        Ok(true)
    }

    /// Gives a dead event up for good.
    pub fn give_up(&mut self, seq: u64, turn: &mut Turn) -> Result<bool, StoreFault> {
        let mark = self.ledger.mark(seq)?;
        let Some(mark) = mark.filter(|mark| matches!(mark.end, Some(End::Dead { .. }))) else {
            return Ok(false);
        };
        let Some(event) = self.journal.get(seq)? else {
            return Ok(false);
        };
        self.mark(
            seq,
            &event.posted.pbx,
            EventMark {
                key: mark.key,
                end: Some(End::Erased),
            },
            turn,
        )?;
        Ok(true)
    }
}
