//! Which legs are going on, as far as the journal knows: whoever was disconnected asks the phone system which of them are
//! still there.

use crate::calls::decode::LegFacts;
use crate::calls::journal::Journal;
use crate::calls::judge::Judge;
use crate::calls::ledger::{Ledger, Stage};
use crate::store::StoreFault;
use std::time::Duration;

/// How often to look whether the line has read what was journaled.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long to wait for that: after a long outage the line has much to read. Beyond it what it knows must do.
const LOOKS_MAX: usize = 1500;

/// Reads the open calls.
#[derive(Clone)]
pub struct Roll {
    pub journal: Journal,
    pub ledger: Ledger,
    pub judge: Judge,
}

impl Roll {
    /// The legs of this phone system that were live when everything journaled so far is counted in.
    pub async fn live(&self, pbx: &str) -> Result<Vec<LegFacts>, StoreFault> {
        let last = self.journal.last_seq();
        for _ in 0..LOOKS_MAX {
            if self.ledger.counts()?.cursor >= last {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut legs = Vec::new();
        for record in self.ledger.open_records()? {
            if record.pbx == pbx && record.stage == Stage::Gathering {
                legs.extend(self.judge.live_legs(&record, &self.journal)?);
            }
        }
        Ok(legs)
    }
}
