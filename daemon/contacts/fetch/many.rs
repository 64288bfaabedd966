//! Many creates in one bulk request, and what its job says of them. A part of `fetch`.

use super::{Kustomer, unusable, write};
use crate::contacts::plan::NewCustomer;
use crate::kustomer::bulk::{BODY_BYTES_MAX, ITEMS_MAX, Item, JobState, Kind, Told};
use crate::kustomer::fault::KustomerFault;
use std::collections::HashMap;
use std::time::Duration;

/// From a job's start to the first look at it; each further wait is twice as long.
const ASK_FIRST: Duration = Duration::from_millis(250);
const ASK_EVERY_MAX: Duration = Duration::from_secs(15);
/// Looks at one job: some four minutes.
const ASKS_MAX: usize = 20;

/// What fits one request.
#[derive(Default)]
pub struct Many {
    items: Vec<Item>,
    bytes: usize,
}

impl Many {
    /// Takes one more, by the number of those before it; false if it has no room for it.
    pub fn push(&mut self, new: &NewCustomer) -> bool {
        let item = Item::customer_as(self.items.len(), write::create(new));
        let bytes = self.bytes.saturating_add(item.bytes());
        if self.items.len() >= ITEMS_MAX || bytes > BODY_BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        self.items.push(item);
        true
    }
}

impl Kustomer {
    /// Creates customers in one request and asks its job until it is over; what became of each that the job mentions, by
    /// its number. One request to start, some to ask.
    ///
    /// # Errors
    /// `certain_not_done` tells whether anything may have been created.
    pub async fn create_many(&self, many: Many) -> Result<HashMap<usize, Told>, KustomerFault> {
        let job = self.client.start_bulk(Kind::Customers, &many.items).await?;
        let mut wait = ASK_FIRST;
        for _ in 0..ASKS_MAX {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(ASK_EVERY_MAX);
            match self.client.bulk_job(&job).await.map_err(unclear)? {
                JobState::Running => {}
                JobState::Complete | JobState::Odd(_) => {
                    return self.client.bulk_results(&job).await.map_err(unclear);
                }
            }
        }
        Err(unusable("a bulk job that doesn't end"))
    }
}

/// The job is there: a fault of asking it doesn't mean that nothing was created.
fn unclear(fault: KustomerFault) -> KustomerFault {
    if fault.certain_not_done() {
        return unusable(&format!("a bulk job that can't be asked: {fault}"));
    }
    fault
}
